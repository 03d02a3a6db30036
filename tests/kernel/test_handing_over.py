"""Sockets handed to another process, and inboxes and channels to another task.

gen_sctp has controlling_process/2 for both.
"""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from trio_sctp import (
    AssociationChange,
    AssociationChannel,
    AssociationState,
    DefaultSendParams,
    Endpoint,
    EventSubscription,
    Inbox,
    InitMsg,
    Linger,
    Listener,
    Message,
    NoDelay,
    ReceiveBuffer,
    RtoInfo,
    SenderDry,
    Window,
    open_association,
    open_endpoint,
    open_listener,
)

from .conftest import LOOPBACK, channel_pair, descriptors, open_server

PROGRAM = """
import sys, trio
from trio_sctp import AssociationChannel, Endpoint, Message

async def main():
    descriptor = int(sys.argv[2])
    if sys.argv[1] == "endpoint":
        endpoint = Endpoint.from_socket(descriptor)
        while not isinstance(message := await endpoint.receive(), Message):
            pass
        await endpoint.send(b"got " + message.data, message.association_id)
        await endpoint.aclose()
    else:
        async with AssociationChannel.from_socket(descriptor) as channel:
            message = await channel.receive()
            await channel.send(b"got " + message.data)

trio.run(main)
"""


@asynccontextmanager
async def another_process(kind: str, descriptor: int) -> AsyncIterator[None]:
    """It adopts the descriptor; ours is closed."""
    async with trio.open_nursery() as nursery:
        run = functools.partial(trio.run_process, pass_fds=[descriptor], stdin=subprocess.DEVNULL)
        await nursery.start(run, [sys.executable, "-c", PROGRAM, kind, str(descriptor)])
        os.close(descriptor)
        yield


# -- another process ---------------------------------------------------------------------------


async def test_an_endpoint_to_another_process() -> None:
    """With a message that nobody has received yet; the peer notices nothing."""
    endpoint = await open_endpoint(hosts=LOOPBACK)
    endpoint.listen()
    async with await open_association(LOOPBACK, endpoint.port) as peer:
        await peer.send(b"hello")
        async with another_process("endpoint", endpoint.detach()):
            assert (await peer.receive()).data == b"got hello"
            with pytest.raises(trio.EndOfChannel):
                await peer.receive()


async def test_an_association_to_another_process() -> None:
    async with open_server() as server:
        channel = await open_association(LOOPBACK, server.port)
        up = await server.receive()
        assert isinstance(up, AssociationChange)
        association = server.associations[up.association_id]  # it may be gone with the answer
        await server.send(b"hello", association)
        async with another_process("channel", channel.detach()):
            message = await server.receive()
            assert isinstance(message, Message)
            assert message.data == b"got hello"
            end = await association.wait_ended()
            assert end.graceful


async def test_a_descriptor_sent_through_a_unix_socket() -> None:
    async with channel_pair() as (connecting, accepting):
        ours, theirs = socket.socketpair(socket.AF_UNIX)
        with ours, theirs:
            descriptor = connecting.detach()
            socket.send_fds(ours, [b"x"], [descriptor])
            os.close(descriptor)
            _, (received,), _, _ = socket.recv_fds(theirs, 1, 1)
        async with AssociationChannel.from_socket(received) as adopted:
            await adopted.send(b"hello")
            assert (await accepting.receive()).data == b"hello"
            accepting.abort()
            await adopted.wait_ended()


# -- what goes along ---------------------------------------------------------------------------


async def test_messages_events_and_the_association_go_along_in_order() -> None:
    async with open_server() as server:
        channel = await open_association(LOOPBACK, server.port)
        for n in range(20):
            await channel.send(b"%d" % n)
        endpoint = Endpoint.from_socket(server.detach())
        up = await endpoint.receive()
        assert isinstance(up, AssociationChange)
        assert up.state is AssociationState.COMM_UP
        assert list(endpoint.associations) == [up.association_id]
        received = [await endpoint.receive() for _ in range(20)]
        assert [r.data for r in received if isinstance(r, Message)] == [
            b"%d" % n for n in range(20)
        ]
        channel.abort()
        await endpoint.aclose()


async def test_options_go_along() -> None:
    options = [
        NoDelay(False),
        InitMsg(num_ostreams=7),
        RtoInfo(max=7000),
        ReceiveBuffer(65536),
        Linger(True, 7),
        DefaultSendParams(ppid=46),
        EventSubscription(address_event=False, sender_dry_event=True),
    ]
    async with open_server() as server, open_server() as second:
        endpoint = await open_endpoint(hosts=LOOPBACK, options=options)
        association = await endpoint.connect(LOOPBACK, server.port)
        endpoint.set_option(DefaultSendParams(ppid=47), association)
        quiet = EventSubscription(sender_dry_event=False)
        endpoint.set_option(quiet, association)
        before = [endpoint.get_option(type(option)) for option in options]
        id, port = association.id, endpoint.port
        own = association.get_option(EventSubscription)

        endpoint = Endpoint.from_socket(endpoint.detach())
        assert endpoint.port == port
        assert [endpoint.get_option(type(option)) for option in options] == before
        assert endpoint.get_option(DefaultSendParams, id).ppid == 47
        assert endpoint.get_option(EventSubscription, id) == own
        await endpoint.send(b"quiet", id)
        other = await endpoint.connect(LOOPBACK, second.port)
        await other.send(b"dry")
        event = await endpoint.receive()
        assert event == SenderDry(association_id=other.id)
        for association in endpoint.associations.values():
            association.abort()
        await endpoint.aclose()


async def test_a_listener_goes_along_with_those_who_wait() -> None:
    listener = await open_listener(0, hosts=LOOPBACK)
    async with await open_association(LOOPBACK, listener.port) as client:
        await client.send(b"early")
        async with Listener.from_socket(listener.detach()) as adopted:
            channel = await adopted.accept()
        assert (await channel.receive()).data == b"early"
        channel.abort()
        await client.wait_ended()


# -- what is refused ---------------------------------------------------------------------------


async def test_after_that_everything_is_closed() -> None:
    async with open_server() as server:
        channel = await open_association(LOOPBACK, server.port)
        opened = descriptors()
        descriptor = channel.detach()
        assert descriptors() == opened
        for call in (channel.receive, lambda: channel.send(b"x"), channel.wait_ended):
            with pytest.raises(trio.ClosedResourceError):
                await call()
        with pytest.raises(trio.ClosedResourceError):
            channel.detach()
        await channel.aclose()
        os.close(descriptor)


async def test_nothing_is_detached_from_under_a_task() -> None:
    async with channel_pair() as (channel, peer), open_server() as server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.receive)
            nursery.start_soon(server.receive)
            await trio.testing.wait_all_tasks_blocked()
            for thing in channel, server:
                with pytest.raises(trio.BusyResourceError, match="a task receives"):
                    thing.detach()
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.wait_ended)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError, match="waits"):
                channel.detach()
            nursery.cancel_scope.cancel()
        async with server.active(3):
            with pytest.raises(trio.BusyResourceError, match="active mode"):
                server.detach()
        with pytest.raises(trio.WouldBlock):
            while True:
                channel.send_nowait(bytes(1000))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.send, b"one more")
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError, match="waits to send"):
                channel.detach()
            nursery.cancel_scope.cancel()
        assert (await peer.receive()).data == bytes(1000)
        os.close(channel.detach())


async def test_nothing_that_was_read_is_left_behind() -> None:
    """Records that are in this process already have to be taken first."""
    async with open_server() as server:
        channel = await open_association(LOOPBACK, server.port)
        await channel.send(b"0")
        (association,) = server.associations.values()
        with trio.move_on_after(0.01):
            await association.wait_ended()  # reads ahead
        assert server.statistics().buffered_records == 2
        with pytest.raises(trio.BusyResourceError, match="2 records"):
            server.detach()
        assert len(await server.receive_batch()) == 2
        endpoint = Endpoint.from_socket(server.detach())
        channel.abort()
        await endpoint.aclose()


# -- another task ------------------------------------------------------------------------------


async def test_an_inbox_and_a_channel_to_another_task() -> None:
    """Whoever has them uses them, the block that they live in stays where it is."""
    received: list[bytes] = []

    async def worker(inbox: Inbox) -> None:
        async for record in inbox:
            if isinstance(record, Message):
                received.append(record.data)

    async def replier(channel: AssociationChannel) -> None:
        async for message in channel:
            await channel.send(b"re: " + message.data)

    async with (
        channel_pair() as (connecting, accepting),
        trio.open_nursery() as nursery,
        connecting.active(Window(5)) as inbox,
    ):
        await connecting.send(b"0")
        nursery.start_soon(replier, accepting)
        record = await inbox.receive()
        assert isinstance(record, Message)
        nursery.start_soon(worker, inbox)  # from here on it is the worker's
        for n in range(20):
            await connecting.send(b"%d" % n)
        while len(received) < 20:
            await trio.testing.wait_all_tasks_blocked(0.001)
        nursery.cancel_scope.cancel()
    assert received == [b"re: %d" % n for n in range(20)]


async def test_a_half_of_a_split_inbox_to_another_task() -> None:
    seen: list[object] = []

    async def watch(events: trio.abc.ReceiveChannel[object]) -> None:
        async for event in events:
            seen.append(event)

    async with open_server() as server, server.active(Window(5)) as inbox:
        messages, events = inbox.split()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, events)
            async with await open_association(LOOPBACK, server.port) as channel:
                await channel.send(b"hello")
                message = await messages.receive()
                assert isinstance(message, Message)
                assert message.data == b"hello"
                channel.abort()
            while len(seen) < 2:
                await trio.testing.wait_all_tasks_blocked(0.001)
            nursery.cancel_scope.cancel()
    assert [e.state for e in seen if isinstance(e, AssociationChange)] == [
        AssociationState.COMM_UP,
        AssociationState.COMM_LOST,
    ]
