"""Messages of different streams, whose parts are interleaved (RFC 8260)."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from trio_sctp import Interleaving, Message, Option, Scheduler, SendBuffer, StreamScheduler

from .helpers import StackUnderTest

ON: list[Option] = [Interleaving(True), StreamScheduler(Scheduler.ROUND_ROBIN)]
OFF: list[Option] = [Interleaving(False)]
LONG = 3 * 2**20
"""Bytes: more than a receive window, so that a message is handed up in pieces."""


async def test_both_sides_have_to_offer_it(stack: StackUnderTest) -> None:
    for client, server in (ON, ON), (ON, OFF), (OFF, ON):
        async with stack.pair(client_options=client, server_options=server) as pair:
            assert pair.client.get_option(Interleaving) == client[0]
            agreed = Interleaving(client is server)
            assert pair.association.get_option(Interleaving) == agreed
            assert pair.peer.get_option(Interleaving) == agreed
            with pytest.raises(ValueError, match="Interleaving holds for associations set up"):
                pair.association.set_option(Interleaving(False))


async def test_it_is_off_unless_it_is_set(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        assert pair.client.get_option(Interleaving) == Interleaving(False)
        assert pair.association.get_option(Interleaving) == Interleaving(False)
        await pair.association.send(b"x")
        record = await pair.server.receive()
        assert isinstance(record, Message)
        assert record.mid is None


async def test_a_message_has_its_mid(stack: StackUnderTest) -> None:
    async with stack.channels(client_options=ON, server_options=ON) as (client, server):
        got: list[Message] = []
        for stream, unordered in ((0, False), (0, True), (1, False), (0, False)):
            await client.send(b"x", stream=stream, unordered=unordered, ppid=60)
            got.append(await server.receive())
        kernel = stack.stack == "kernel"
        assert [message.mid for message in got] == ([None] * 4 if kernel else [0, 0, 0, 1])
        assert [message.unordered for message in got] == [False, True, False, False]
        assert {message.ppid for message in got} == {60}


async def test_long_messages_of_several_streams_arrive_whole(stack: StackUnderTest) -> None:
    options = [*ON, SendBuffer(4 * LONG)]
    async with (
        stack.channels(client_options=options, server_options=ON) as (client, server),
        trio.open_nursery() as nursery,
    ):
        size = min(LONG, client.max_send_size)
        values = [bytes([65 + stream]) * size for stream in range(4)]
        for stream, value in enumerate(values):
            nursery.start_soon(partial(client.send, value, stream=stream, ppid=stream))
        got = [await server.receive() for _ in range(4)]
        assert {message.stream: message.ppid for message in got} == {n: n for n in range(4)}
        assert {message.stream: message.data for message in got} == dict(enumerate(values))
