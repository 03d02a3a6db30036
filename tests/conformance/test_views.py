"""A channel in other shapes: payloads alone, and a stream of bytes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio
import trio.abc
import trio.testing

from trio_sctp import (
    AssociationChannel,
    AssociationLost,
    DefaultSendParams,
    Ppid,
    SendBuffer,
)

from .helpers import SMALL_BUFFERS, StackUnderTest, blocked, fill, keep, raises, until

Streams = tuple[trio.abc.Stream, trio.abc.Stream]


# -- payloads ----------------------------------------------------------------------------------


async def test_payloads_are_a_channel_of_bytes(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        ours = client.payloads(stream=3, ppid=Ppid.M3UA)
        theirs: trio.abc.Channel[bytes] = server.payloads()
        assert isinstance(ours, trio.abc.Channel)
        await ours.send(b"to stream 3")
        message = await server.receive()
        assert (message.data, message.stream, message.ppid) == (b"to stream 3", 3, 3)
        await client.send(b"on 1", stream=1)
        await ours.send(b"on 3")
        assert [await theirs.receive() for _ in range(2)] == [b"on 1", b"on 3"]
        await theirs.send(b"back")
        assert await ours.receive() == b"back"


async def test_payloads_end_as_the_channel_does(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server), trio.open_nursery() as nursery:
        await client.payloads().send(b"last")
        nursery.start_soon(client.payloads().aclose)
        assert [payload async for payload in server.payloads()] == [b"last"]
        await raises(AssociationLost, server.payloads().send, b"too late")


async def test_payloads_of_a_lost_association(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        client.abort()
        await raises(AssociationLost, server.payloads().receive)
        await raises(trio.ClosedResourceError, client.payloads().receive)
        await raises(trio.ClosedResourceError, client.payloads().send, b"x")


async def test_payloads_have_the_channels_defaults_for_the_rest(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        client.set_option(DefaultSendParams(stream=2, ppid=9, unordered=True))
        await client.payloads().send(b"x")
        message = await server.receive()
        assert (message.stream, message.ppid, message.unordered) == (0, 0, True)


@pytest.mark.parametrize(
    ("arguments", "name"), [({"stream": 65535}, "stream 65535"), ({"ppid": -1}, "ppid")]
)
async def test_what_cannot_be_sent_on_is_refused_at_once(
    stack: StackUnderTest, arguments: dict[str, int], name: str
) -> None:
    async with stack.channels() as (client, _):
        for view in client.payloads, client.as_stream:
            with pytest.raises(ValueError, match=name):
                view(**arguments)


# -- a stream of bytes -------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def streams(stack: StackUnderTest, **more: Any) -> AsyncIterator[Streams]:
    async with stack.channels(**more) as (client, server):
        yield client.as_stream(), server.as_stream()


class Makers:
    """Makes pairs of streams as Trio's tests of streams want them."""

    def __init__(self, stack: StackUnderTest, exits: contextlib.AsyncExitStack) -> None:
        self._stack = stack
        self._exits = exits

    async def client_first(self) -> Streams:
        return await self._exits.enter_async_context(streams(self._stack))

    async def server_first(self) -> Streams:
        client, server = await self.client_first()
        return server, client

    async def clogged(self) -> Streams:
        channels = self._stack.channels(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS)
        client, server = await self._exits.enter_async_context(channels)
        await fill(client)
        return client.as_stream(), server.as_stream()

    async def server_clogged(self) -> Streams:
        channels = self._stack.channels(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS)
        client, server = await self._exits.enter_async_context(channels)
        await fill(server)
        return server.as_stream(), client.as_stream()


async def test_it_is_a_stream_both_ways(stack: StackUnderTest) -> None:
    async with contextlib.AsyncExitStack() as exits:
        await trio.testing.check_two_way_stream(Makers(stack, exits).client_first, None)


async def test_it_is_a_stream_one_way(stack: StackUnderTest) -> None:
    async with contextlib.AsyncExitStack() as exits:
        makers = Makers(stack, exits)
        await trio.testing.check_one_way_stream(makers.client_first, makers.clogged)


async def test_it_is_a_stream_the_other_way(stack: StackUnderTest) -> None:
    async with contextlib.AsyncExitStack() as exits:
        makers = Makers(stack, exits)
        await trio.testing.check_one_way_stream(makers.server_first, makers.server_clogged)
