"""What an operator reads in the log ``trio_sctp``."""

from __future__ import annotations

import logging

import pytest
import trio

from trio_sctp import AssociationState, ConnectFailed, InitMsg

from ..support.log import Log
from ..support.log import log as log
from .helpers import Pair, StackUnderTest, next_change

WHO = r"association \d+ with 127\.0\.0\.1 port \d+"


async def test_an_association_is_up_at_both_ends_and_ends(stack: StackUnderTest, log: Log) -> None:
    async with stack.listener() as listener:
        client = await stack.open_association(listener.port, options=[InitMsg(num_ostreams=3)])
        server = await listener.accept()
        here = rf"association {client.id} with 127\.0\.0\.1 port {listener.port}"
        log.find(
            rf"association {client.id}: connecting to 127\.0\.0\.1 port {listener.port}",
            logging.DEBUG,
        )
        log.find(rf"{here} is up; streams: 3 out, \d+ in")
        log.find(rf"{WHO} is up; streams: \d+ out, 3 in")
        log.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.wait_ended)
            await client.aclose()
        await server.aclose()
        log.find(rf"{here} ended: it was shut down here")
        log.find(rf"{WHO} ended: it was shut down by the peer")
    assert log.lines(logging.WARNING) == []


async def test_what_the_peer_wrote_is_no_line_of_its_own(pair: Pair, log: Log) -> None:
    pair.association.abort(b"bye\nassociation 7 is up")
    await pair.association.wait_ended()
    assert (await next_change(pair.server)).state is AssociationState.COMM_LOST
    cause = r"b'bye\\nassociation 7 is up' \(user-initiated abort, cause 12\)"
    log.find(rf"{WHO} was lost: it was aborted here: {cause}")
    log.find(rf"{WHO} was lost: it was aborted by the peer: {cause}")


async def test_a_long_reason_is_cut(pair: Pair, log: Log) -> None:
    pair.association.abort(b"x" * 1000)
    assert (await next_change(pair.server)).state is AssociationState.COMM_LOST
    log.find(rf"{WHO} was lost: it was aborted by the peer: b'x{{200}}' and 800 bytes more .*")


async def test_what_was_not_delivered_is_counted(stack: StackUnderTest, log: Log) -> None:
    async with stack.pair() as pair:
        for _ in range(3):
            pair.association.send_nowait(b"never acknowledged")
        pair.peer.abort()
        count = len((await pair.association.wait_ended()).undelivered)
    told = f"; messages not delivered: {count}" if count else ""  # Linux delivers at once
    log.find(rf"{WHO} was lost: it was aborted by the peer \(.*\){told}")


async def test_a_refusal(stack: StackUnderTest, log: Log) -> None:
    async with stack.endpoint() as client, stack.endpoint() as nobody:
        with pytest.raises(ConnectFailed):
            await client.connect(stack.host, nobody.port)
    log.find(rf"{WHO} could not be set up: .*")


async def test_an_attempt_that_is_cancelled(
    stack: StackUnderTest, black_hole: str, log: Log
) -> None:
    async with stack.endpoint(hosts=()) as client:
        with trio.move_on_after(0.05):
            await client.connect(black_hole, 2905)
    assert log.lines() == []
    log.find(r"association \d+: connecting to .* port 2905", logging.DEBUG)
    log.find(r"association \d+.*: the attempt to connect was given up here", logging.DEBUG)


async def test_one_whose_socket_is_closed_at_once(stack: StackUnderTest, log: Log) -> None:
    async with stack.channels() as (client, server):
        with pytest.raises(KeyError):
            async with server:
                raise KeyError
        await client.wait_ended()
    log.find(rf"{WHO} was lost: it was aborted here .*")


async def test_a_message_that_is_too_large_is_dropped(stack: StackUnderTest, log: Log) -> None:
    async with stack.channels(max_message_size=1000) as (client, server):
        await client.send(bytes(1001))
        await server.wait_ended()
        log.find(
            rf"{WHO}: a message larger than 1000 bytes was dropped, and its sender is aborted",
            logging.WARNING,
        )
        log.find(rf"{WHO} was lost: it was aborted here: b'message larger than 1000 bytes' .*")


async def test_clients_beyond_the_backlog_are_counted(stack: StackUnderTest, log: Log) -> None:
    clients = []
    async with stack.listener(backlog=1) as listener:
        for _ in range(5):
            clients.append(await stack.open_association(listener.port))
        (await listener.accept()).abort()
        log.find(rf"{WHO}: it was refused, as 1 associations wait to be accepted", logging.WARNING)
    for client in clients:
        client.abort()


async def test_nothing_is_written_for_messages(pair: Pair, log: Log) -> None:
    await pair.association.send(b"hello")
    log.clear()
    for _ in range(100):
        await pair.association.send(b"hello")
        await pair.server.receive()
    assert log.lines() == log.lines(logging.WARNING) == []
