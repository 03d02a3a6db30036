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
    Message,
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
        payloads = client.payloads()
        client.abort()
        await raises(AssociationLost, server.payloads().receive)
        await raises(trio.ClosedResourceError, payloads.receive)
        await raises(trio.ClosedResourceError, payloads.send, b"x")
        for view in client.payloads, client.as_stream:
            with pytest.raises(trio.ClosedResourceError):
                view()


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
            for argument in arguments:
                with pytest.raises(TypeError, match=f"{argument} must be an integer"):
                    view(**{argument: None})  # type: ignore[arg-type]


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


async def test_a_stream_gives_bytes_as_they_are_asked_for(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        stream = server.as_stream()
        await client.send(b"01234567")
        await client.send(b"89")
        assert await stream.receive_some(3) == b"012"
        assert await stream.receive_some(3) == b"345"
        assert await stream.receive_some() == b"67"
        assert await stream.receive_some(100) == b"89"
        with trio.CancelScope() as scope:
            scope.cancel()
            await stream.receive_some(1)
        await client.send(b"ab")
        assert await stream.receive_some(1) == b"a"
        with trio.CancelScope() as scope:
            scope.cancel()
            await stream.receive_some(1)
        assert await stream.receive_some(1) == b"b"


async def test_a_stream_sends_in_small_messages_in_order(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        client.set_option(
            DefaultSendParams(stream=5, ppid=1, unordered=True, context=7, lifetime=1)
        )
        data = bytes(range(256)) * 200  # 51,200 bytes
        messages: list[Message] = []

        async def receive() -> None:
            while sum(len(message.data) for message in messages) < len(data):
                messages.append(await server.receive())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await client.as_stream(stream=2, ppid=Ppid.DIAMETER).send_all(memoryview(data))
        assert b"".join(message.data for message in messages) == data
        assert [len(message.data) for message in messages] == [16384, 16384, 16384, 2048]
        assert {(m.stream, m.ppid, m.unordered) for m in messages} == {(2, 46, False)}


async def test_a_stream_has_no_lifetime_whatever_is_the_default(stack: StackUnderTest) -> None:
    async with stack.channels(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as (
        client,
        server,
    ):
        client.set_option(DefaultSendParams(unordered=True, lifetime=1))
        received = bytearray()

        async def receive() -> None:
            async for chunk in server.as_stream():
                received.extend(chunk)

        data = b"".join(b"%05d" % number for number in range(20_000))
        async with client.as_stream() as stream, trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, data)
            await trio.sleep(0.2)  # Nobody reads: what had a lifetime would be given up.
            nursery.start_soon(receive)
            await until(lambda: len(received) == len(data))
            nursery.start_soon(stream.aclose)
        assert bytes(received) == data


async def test_a_stream_sends_messages_that_fit_into_the_send_buffer(
    stack: StackUnderTest,
) -> None:
    async with stack.channels(client_options=[SendBuffer(4096)]) as (client, server):
        sizes: list[int] = []

        async def receive() -> None:
            while sum(sizes) < 12_000:
                sizes.append(len(await server.as_stream().receive_some()))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await client.as_stream().send_all(bytes(12_000))
        assert max(sizes) <= client.max_send_size


async def test_an_empty_send_sends_nothing(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        await client.as_stream().send_all(b"")
        await client.as_stream().send_all(b"x")
        assert (await server.receive()).data == b"x"


async def test_a_stream_ends_only_after_a_graceful_end(stack: StackUnderTest) -> None:
    async with streams(stack) as (client, server):
        await client.send_all(b"last")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.aclose)
            assert [chunk async for chunk in server] == [b"last"]
        assert await server.receive_some() == b""
    async with stack.channels() as (channel, peer):
        stream = peer.as_stream()
        await channel.send(b"ab")
        assert await stream.receive_some(1) == b"a"
        channel.abort(b"why")
        await peer.wait_ended()
        assert await stream.receive_some(1) == b"b"
        with pytest.raises(AssociationLost, match="why"):
            await stream.receive_some(1)
        with pytest.raises(AssociationLost, match="why"):
            await stream.send_all(b"x")


async def test_one_task_sends_and_one_receives(stack: StackUnderTest) -> None:
    async with stack.channels(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as (
        client,
        server,
    ):
        await fill(client)
        stream = client.as_stream()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, b"x")
            nursery.start_soon(stream.receive_some)
            await trio.testing.wait_all_tasks_blocked(0.001)
            await raises(trio.BusyResourceError, stream.send_all, b"y")
            await raises(trio.BusyResourceError, stream.wait_send_all_might_not_block)
            await raises(trio.BusyResourceError, stream.receive_some)
            nursery.cancel_scope.cancel()
        await server.payloads().send(b"still works")
        assert await stream.receive_some() == b"still works"


async def test_waiting_for_room_is_behind_other_senders(stack: StackUnderTest) -> None:
    async with stack.channels(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as (
        client,
        server,
    ):
        await client.as_stream().wait_send_all_might_not_block()
        sent = await fill(client)
        order: list[str] = []

        async def note(what: str, call: Callable[[], Any]) -> None:
            await call()
            order.append(what)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(note, "sent", lambda: client.send(b"one more"))
            await trio.testing.wait_all_tasks_blocked(0.001)
            nursery.start_soon(note, "room", client.as_stream().wait_send_all_might_not_block)
            await trio.testing.wait_all_tasks_blocked(0.001)
            assert not order
            for _ in range(sent + 1):
                await server.receive()
        assert order == ["sent", "room"]


@pytest.mark.parametrize("end", ["theirs", "ours", "close"])
async def test_the_end_wakes_who_waits_for_room(stack: StackUnderTest, end: str) -> None:
    async with stack.channels(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as (
        client,
        server,
    ):
        await fill(client)
        error = AssociationLost if end == "theirs" else trio.ClosedResourceError
        stream = client.as_stream()

        async def wait_for_room() -> None:
            try:
                await stream.wait_send_all_might_not_block()
            except error:
                pass
            else:
                assert end == "theirs"  # A send would not block, as there is nobody to send to.

        async with (
            blocked(wait_for_room),
            blocked(raises, error, client.as_stream().send_all, bytes(50_000)),
            blocked(raises, error, stream.receive_some),
        ):
            if end == "theirs":
                server.abort()
            elif end == "ours":
                client.abort()
            else:
                await trio.aclose_forcefully(stream)


async def test_a_cancelled_wait_for_room_is_in_nobodys_way(stack: StackUnderTest) -> None:
    async with stack.channels(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as (
        client,
        server,
    ):
        sent = await fill(client)
        stream = client.as_stream()
        for _ in range(3):
            with trio.move_on_after(0.01) as scope:
                await stream.wait_send_all_might_not_block()
            assert scope.cancelled_caught
        received: list[object] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, b"x")
            for _ in range(sent + 1):
                await keep(received, server.receive)
        assert len(received) == sent + 1


async def test_what_a_stream_refuses(stack: StackUnderTest) -> None:
    async with streams(stack) as (stream, _):
        for wrong in 0, -1:
            with pytest.raises(ValueError, match=f"max_bytes.*{wrong}"):
                await stream.receive_some(wrong)
        with pytest.raises(TypeError, match="data must be bytes"):
            await stream.send_all("text")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="contiguous"):
            await stream.send_all(memoryview(b"abcd")[::2])
        assert not isinstance(stream, trio.abc.HalfCloseableStream)


async def test_a_view_keeps_its_channel(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        stream = (await stack.open_association(listener.port)).as_stream()
        peer: AssociationChannel = await listener.accept()
        await stream.send_all(b"x")
        assert (await peer.receive()).data == b"x"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.aclose)
            await raises(trio.EndOfChannel, peer.receive)
        await peer.aclose()
