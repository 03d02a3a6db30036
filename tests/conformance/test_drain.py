"""Listener.drain: a server that stops takes no more, and finishes what it has."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

import trio_sctp
from trio_sctp import (
    AssociationChannel,
    AssociationLost,
    AssociationState,
    ConnectFailed,
    Listener,
    Message,
    Window,
)

from .helpers import (
    SMALL_BUFFERS,
    StackUnderTest,
    blocked,
    collect,
    fill,
    keep,
    numbers,
    raises,
    send_numbers,
    take,
)

Accepted = tuple[Listener, AssociationChannel, AssociationChannel]


@contextlib.asynccontextmanager
async def accepted(stack: StackUnderTest, **more: object) -> AsyncIterator[Accepted]:
    """A listener and both ends of an association that it has accepted."""
    async with stack.listener(**more) as listener:
        client = await stack.open_association(listener.port, options=more.get("options", ()))  # type: ignore[arg-type]
        server = await listener.accept()
        try:
            yield listener, client, server
        finally:
            client.abort()
            server.abort()


async def all_arrived(client: AssociationChannel) -> None:
    """Wait until the peer's stack has acknowledged all that was sent."""
    await trio.testing.wait_all_tasks_blocked(0.001)  # nothing is queued that could leave
    while client.status().unackdata:
        await trio.testing.wait_all_tasks_blocked(0.001)


# -- accepted channels -------------------------------------------------------------------------


async def test_what_had_arrived_is_taken_and_then_the_channel_ends(stack: StackUnderTest) -> None:
    async with accepted(stack) as (listener, client, server):
        await send_numbers(client, range(3))
        await all_arrived(client)
        async with blocked(listener.drain):
            await send_numbers(client, range(3, 6))
            await all_arrived(client)
            async with server:
                assert numbers([message async for message in server]) == [0, 1, 2]
                await raises(trio.EndOfChannel, server.receive)
                with pytest.raises(trio.EndOfChannel):
                    server.receive_nowait()
                await raises(trio.EndOfChannel, server.receive_batch)
        assert (await client.wait_ended()).graceful


async def test_more_than_the_store_takes_had_arrived(stack: StackUnderTest) -> None:
    async with accepted(stack) as (listener, client, server):
        await send_numbers(client, range(600))
        await all_arrived(client)
        async with blocked(listener.drain):
            assert numbers([message async for message in server]) == list(range(600))
            await server.aclose()


async def test_those_who_wait_for_messages_are_told(stack: StackUnderTest) -> None:
    async with accepted(stack) as (listener, client, server), blocked(listener.drain) as nursery:
        pass_on: list[object] = []
        nursery.start_soon(collect, server, pass_on)
        await trio.testing.wait_all_tasks_blocked()
        assert not pass_on
        await server.aclose()
        assert (await client.wait_ended()).graceful


async def test_a_receiver_that_waits_when_drain_begins_is_told(stack: StackUnderTest) -> None:
    async with accepted(stack) as (listener, _, server), trio.open_nursery() as nursery:
        async with blocked(raises, trio.EndOfChannel, server.receive):
            nursery.start_soon(listener.drain)
        await server.aclose()


async def test_sending_goes_on(stack: StackUnderTest) -> None:
    async with accepted(stack) as (listener, client, server), blocked(listener.drain):
        await send_numbers(server, range(3))
        assert await take(client.receive, 3) == [0, 1, 2]
        assert server.up
        await server.aclose()
        await raises(trio.EndOfChannel, client.receive)


async def test_a_peer_that_keeps_sending_does_not_hold_up_the_end(stack: StackUnderTest) -> None:
    async with (
        accepted(stack, options=SMALL_BUFFERS) as (listener, client, server),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(flood, client)
        await server.receive()
        async with trio.open_nursery() as draining:
            draining.start_soon(listener.drain)
            await collect(server, [])
            await server.aclose()
        assert (await client.wait_ended()).graceful


async def flood(channel: AssociationChannel) -> None:
    with contextlib.suppress(AssociationLost):
        while True:
            await channel.send(b"0".ljust(1000))


async def test_an_inbox_ends_too(stack: StackUnderTest) -> None:
    async with accepted(stack) as (listener, client, server):
        await send_numbers(client, range(3))
        await all_arrived(client)
        async with server.active(Window(9)) as inbox, blocked(listener.drain):
            received = [record async for record in inbox]
            assert numbers(record for record in received if isinstance(record, Message)) == [
                0,
                1,
                2,
            ]
            await server.aclose()


async def test_a_loss_is_told_as_always(stack: StackUnderTest) -> None:
    async with accepted(stack) as (listener, client, server), blocked(listener.drain):
        client.abort(b"why")
        assert (await server.wait_ended()).reason == b"why"
        await raises(AssociationLost, server.receive)


# -- the listener ------------------------------------------------------------------------------


async def test_nobody_is_let_in_any_more(stack: StackUnderTest) -> None:
    async with accepted(stack) as (listener, _, server):
        port = listener.port
        async with blocked(listener.drain):
            await raises(ConnectFailed, stack.open_association, port)
            await raises(trio.ClosedResourceError, listener.accept)
            await server.aclose()


async def test_who_was_not_accepted_is_aborted(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        client = await stack.open_association(listener.port)
        await listener.drain()
        assert (await client.wait_ended()).state is AssociationState.COMM_LOST
        await client.aclose()


async def test_whoever_accepts_is_woken(stack: StackUnderTest) -> None:
    async with (
        stack.listener() as listener,
        blocked(raises, trio.ClosedResourceError, listener.accept),
    ):
        await listener.drain()


async def test_iterating_over_a_listener_ends_when_it_is_drained(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        served: list[AssociationChannel] = []

        async def accept_all() -> None:
            async for channel in listener:
                served.append(channel)
                channel.abort()

        async with blocked(accept_all):
            for _ in range(3):
                client = await stack.open_association(listener.port)
                await client.wait_ended()
                await client.aclose()
            await listener.drain()
        assert len(served) == 3
        assert [channel async for channel in listener] == []


async def test_iterating_over_a_listener_that_was_closed(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        async with blocked(raises, trio.ClosedResourceError, listener.__anext__):
            await listener.aclose()
        await raises(trio.ClosedResourceError, listener.__anext__)


async def test_without_associations_it_is_done_at_once(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        await listener.drain()
        await listener.drain()


async def test_it_waits_for_all(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        clients = [await stack.open_association(listener.port) for _ in range(3)]
        servers = [await listener.accept() for _ in range(3)]
        drained: list[object] = []
        async with blocked(keep, drained, listener.drain):
            for server in servers:
                assert not drained
                await server.aclose()
        assert drained
        for client in clients:
            assert (await client.wait_ended()).graceful
            await client.aclose()


async def test_a_second_call_waits_for_the_same(stack: StackUnderTest) -> None:
    async with accepted(stack) as (listener, client, server):
        await send_numbers(client, range(3))
        await all_arrived(client)
        drained: list[object] = []
        async with blocked(keep, drained, listener.drain):
            await send_numbers(client, range(3, 6))
            await all_arrived(client)
            async with blocked(keep, drained, listener.drain):
                assert not drained
                assert numbers([message async for message in server]) == [0, 1, 2]
                await server.aclose()
        assert len(drained) == 2


async def test_a_closed_listener_can_be_drained(stack: StackUnderTest) -> None:
    async with accepted(stack) as (listener, client, server):
        await listener.aclose()
        async with blocked(listener.drain):
            await raises(trio.EndOfChannel, server.receive)
            await server.aclose()
        assert (await client.wait_ended()).graceful


@pytest.mark.parametrize("how", ["abort", "aclose_forcefully", "peer"])
async def test_associations_that_end_in_other_ways_have_ended_too(
    stack: StackUnderTest, how: str
) -> None:
    async with accepted(stack) as (listener, client, server), blocked(listener.drain):
        if how == "abort":
            server.abort()
        elif how == "peer":
            client.abort()
        else:
            await trio.aclose_forcefully(server)


async def test_what_has_ended_is_not_waited_for(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        async with await stack.open_association(listener.port) as client:
            await client.send(b"0")
        server = await listener.accept()
        await listener.drain()
        assert numbers([message async for message in server]) == [0]
        await server.aclose()


# -- cancelled ---------------------------------------------------------------------------------


async def test_cancelled_it_aborts_what_is_left(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        clients = [await stack.open_association(listener.port) for _ in range(3)]
        servers = [await listener.accept() for _ in range(3)]
        with trio.move_on_after(0.01) as scope:
            await listener.drain()
        assert scope.cancelled_caught
        for client in clients:
            assert (await client.wait_ended()).state is AssociationState.COMM_LOST
            await client.aclose()
        for server in servers:
            assert server.ended is not None
            await raises(AssociationLost, server.send, b"x")
            await server.aclose()
        await listener.drain()


async def test_cancelled_before_it_began(stack: StackUnderTest) -> None:
    async with accepted(stack) as (listener, client, _):
        await trio.aclose_forcefully(listener)
        with trio.CancelScope() as scope:
            scope.cancel()
            await listener.drain()
        assert scope.cancelled_caught
        assert (await client.wait_ended()).state is AssociationState.COMM_LOST


async def test_cancelled_it_wakes_those_who_are_blocked(stack: StackUnderTest) -> None:
    async with accepted(stack, options=SMALL_BUFFERS) as (listener, _, server):
        await fill(server)
        async with blocked(raises, AssociationLost, server.send, b"x"):
            with trio.move_on_after(0.01):
                await listener.drain()


async def test_cancelled_it_ends_a_shutdown_that_a_peer_holds_up(stack: StackUnderTest) -> None:
    async with accepted(stack, options=SMALL_BUFFERS) as (listener, client, server):
        await fill(server)
        async with blocked(server.aclose):
            with trio.move_on_after(0.01) as scope:
                await listener.drain()
            assert scope.cancelled_caught
        client.abort()


# -- serve -------------------------------------------------------------------------------------


async def echo(channel: AssociationChannel) -> None:
    async for message in channel:
        await channel.send(message.data)


async def test_serve_returns_when_its_listener_is_drained(stack: StackUnderTest) -> None:
    serve = functools.partial(trio_sctp.serve, echo, 0, hosts=stack.host, stack=stack.stack)
    async with trio.open_nursery() as nursery:
        listener = await nursery.start(serve)
        clients = [await stack.open_association(listener.port) for _ in range(3)]
        for number, client in enumerate(clients):
            await client.send(b"%d" % number)
            assert await take(client.receive, 1) == [number]
        await listener.drain()
        for client in clients:
            assert (await client.wait_ended()).graceful
            await client.aclose()


async def test_serve_waits_for_handlers_that_outlive_their_associations(
    stack: StackUnderTest,
) -> None:
    finished = False

    async def handle(channel: AssociationChannel) -> None:
        nonlocal finished
        async with channel:
            await echo(channel)
        await trio.testing.wait_all_tasks_blocked(0.01)
        finished = True

    serve = functools.partial(trio_sctp.serve, handle, 0, hosts=stack.host, stack=stack.stack)
    async with trio.open_nursery() as nursery:
        listener = await nursery.start(serve)
        client = await stack.open_association(listener.port)
        await client.send(b"0")
        assert await take(client.receive, 1) == [0]
        await listener.drain()
    assert finished
    await client.aclose()


async def test_serve_returns_though_its_handlers_run_elsewhere(stack: StackUnderTest) -> None:
    returned: list[None] = []

    async def serve(*, task_status: trio.TaskStatus[Listener]) -> None:
        serving = trio_sctp.serve(
            echo,
            0,
            hosts=stack.host,
            stack=stack.stack,
            handler_nursery=handlers,
            task_status=task_status,
        )
        await serving
        returned.append(None)

    async with trio.open_nursery() as handlers, trio.open_nursery() as nursery:
        listener = await nursery.start(serve)
        async with await stack.open_association(listener.port) as client:
            await client.send(b"0")
            assert await take(client.receive, 1) == [0]
            async with blocked(listener.drain):
                pass
    assert returned == [None]


async def test_serve_ends_quietly_when_the_patience_of_drain_is_over(
    stack: StackUnderTest,
) -> None:
    blocked_in_send = trio.Event()

    async def handle(channel: AssociationChannel) -> None:
        await fill(channel)
        blocked_in_send.set()
        await channel.send(b"more")

    serve = functools.partial(
        trio_sctp.serve, handle, 0, hosts=stack.host, options=SMALL_BUFFERS, stack=stack.stack
    )
    async with trio.open_nursery() as nursery:
        listener = await nursery.start(serve)
        client = await stack.open_association(listener.port, options=SMALL_BUFFERS)
        await blocked_in_send.wait()
        with trio.move_on_after(0.01) as patience:
            await listener.drain()
        assert patience.cancelled_caught
    client.abort()


async def test_cancelling_serve_while_it_drains_leaves_handlers_elsewhere_alone(
    stack: StackUnderTest,
) -> None:
    async with trio.open_nursery() as handlers:
        serve = functools.partial(
            trio_sctp.serve,
            echo,
            0,
            hosts=stack.host,
            stack=stack.stack,
            handler_nursery=handlers,
        )
        async with trio.open_nursery() as nursery:
            listener = await nursery.start(serve)
            client = await stack.open_association(listener.port)
            await client.send(b"0")
            assert await take(client.receive, 1) == [0]
            nursery.cancel_scope.cancel()
        await client.send(b"1")
        assert await take(client.receive, 1) == [1]
        await listener.drain()
        assert (await client.wait_ended()).graceful
        await client.aclose()
