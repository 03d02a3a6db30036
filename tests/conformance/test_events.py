"""The events of a channel beside what it receives."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import trio
import trio.testing

from trio_sctp import (
    AssociationChange,
    AssociationLost,
    AssociationState,
    EventSubscription,
    ReceiveBuffer,
    SenderDry,
    ShutdownReceived,
    Window,
)

from .helpers import StackUnderTest, blocked, collect, raises, send_numbers, take, until


async def test_events_come_beside_messages(stack: StackUnderTest) -> None:
    """By default, with no word about which events there are to be."""
    async with stack.channels() as (client, server), trio.open_nursery() as nursery:
        received: list[object] = []
        async with server.events() as events:
            nursery.start_soon(collect, server, received)
            await send_numbers(client, range(3))
            await client.eof()
            first, second = [event async for event in events]
        assert first == ShutdownReceived(association_id=server.id)
        assert isinstance(second, AssociationChange)
        assert second.state is AssociationState.SHUTDOWN_COMP
        assert received == [0, 1, 2]
        assert events.dropped == 0


async def test_events_come_though_nobody_receives(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server), server.events() as events:
        await send_numbers(client, range(3))
        await until(lambda: server.queue_statistics().buffered_bytes == 3)
        client.abort(b"why")
        event = await events.receive()
        assert isinstance(event, AssociationChange)
        assert (event.state, event.reason) == (AssociationState.COMM_LOST, b"why")
        await raises(trio.EndOfChannel, events.receive)
        with pytest.raises(trio.EndOfChannel):
            events.receive_nowait()
        assert await take(server.receive, 3) == [0, 1, 2]
        await raises(AssociationLost, server.receive)


async def test_each_block_gets_all_from_its_beginning(stack: StackUnderTest) -> None:
    dry = EventSubscription(sender_dry_event=True)
    async with (
        stack.channels(client_options=[dry]) as (client, server),
        client.events() as early,
    ):
        await client.send(b"x")
        assert await early.receive() == SenderDry(association_id=client.id)
        async with client.events() as late:
            server.abort()
            for events in early, late:
                (event,) = [event async for event in events]
                assert isinstance(event, AssociationChange)


async def test_an_inbox_notices_nothing(stack: StackUnderTest) -> None:
    async with (
        stack.channels() as (client, server),
        server.active(Window(5)) as inbox,
        server.events() as events,
    ):
        assert isinstance(await inbox.receive(), AssociationChange)  # It came up, before.
        await client.eof()
        assert await inbox.receive() == ShutdownReceived(association_id=server.id)
        assert await events.receive() == ShutdownReceived(association_id=server.id)
        await server.wait_ended()
        assert inbox.credit >= 3
        assert await events.receive() == await inbox.receive()


async def test_events_that_are_not_subscribed_to_do_not_come(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        nothing = EventSubscription(association_event=False, shutdown_event=False)
        server.set_option(nothing)
        async with server.events() as events:
            await client.eof()
            assert [event async for event in events] == []


async def test_the_oldest_are_dropped_and_counted(stack: StackUnderTest) -> None:
    small = [ReceiveBuffer(16384)]
    async with (
        stack.channels(server_options=small) as (client, server),
        client.events() as events,
    ):
        with contextlib.suppress(trio.WouldBlock):
            for number in range(1000):
                client.send_nowait(b"%d" % number)
                if number % 50 == 0 and number < 900:  # the rest is too much to be acknowledged
                    await trio.sleep(0.01)
        server.abort()
        failed = (await client.wait_ended()).undelivered
        assert len(failed) > 64
        *kept, change = [event async for event in events]  # The end comes last.
        assert kept == list(failed[-63:])
        assert isinstance(change, AssociationChange)
        assert events.dropped == len(failed) - 63


async def test_behind_a_full_store_events_wait_for_a_receiver(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server), server.events() as events:
        await send_numbers(client, range(350))
        await client.wait_sent()
        await until(lambda: server.queue_statistics().buffered_records == 256)
        client.abort()
        with trio.move_on_after(0.3) as scope:
            await events.receive()
        assert scope.cancelled_caught
        assert server.queue_statistics().buffered_records == 256
        received = await take(server.receive, 350)
        assert received == list(range(350))
        assert isinstance(await events.receive(), AssociationChange)


async def test_any_number_of_tasks_may_take_events(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server), server.events() as events:
        taken: list[object] = []

        async def take_all() -> None:
            async for event in events:
                taken.append(event)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(take_all)
            await trio.testing.wait_all_tasks_blocked(0.001)
            await client.eof()
        assert len(taken) == 2


async def test_a_cancelled_receive_takes_no_event(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server), server.events() as events:
        with trio.move_on_after(0.01) as scope:
            await events.receive()
        assert scope.cancelled_caught
        await client.eof()
        await server.wait_ended()
        with trio.CancelScope() as scope:
            scope.cancel()
            await events.receive()
        assert scope.cancelled_caught
        assert isinstance(await events.receive(), ShutdownReceived)


async def test_without_waiting(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server), server.events() as events:
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()
        await client.eof()
        await server.wait_ended()
        assert isinstance(events.receive_nowait(), ShutdownReceived)
        assert isinstance(events.receive_nowait(), AssociationChange)


async def test_events_of_what_has_ended(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        client.abort()
        await server.wait_ended()
        async with server.events() as events:
            await raises(trio.EndOfChannel, events.receive)
        with pytest.raises(trio.ClosedResourceError):
            async with client.events():
                pass


async def test_leaving_the_block_ends_the_events_and_nothing_else(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        async with server.events() as events:
            async with blocked(raises, trio.ClosedResourceError, events.receive):
                await events.aclose()
            await raises(trio.ClosedResourceError, events.receive)
        with pytest.raises(trio.ClosedResourceError, match="block"):
            events.receive_nowait()
        with pytest.raises(KeyError):  # And not in a group.
            async with server.events():
                raise KeyError
        await client.send(b"1")
        assert await take(server.receive, 1) == [1]


@pytest.mark.parametrize("how", ["aclose", "abort", "forcefully"])
async def test_closing_wakes_who_waits_for_an_event(stack: StackUnderTest, how: str) -> None:
    async with stack.channels() as (client, _), client.events() as events:
        async with blocked(raises, trio.ClosedResourceError, events.receive):
            if how == "aclose":
                await client.aclose()
            elif how == "abort":
                client.abort()
            else:
                await trio.aclose_forcefully(client)
        await raises(trio.ClosedResourceError, events.receive)


async def test_the_reader_is_handed_on_when_the_block_is_left(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server), trio.open_nursery() as nursery:
        received: list[Any] = []
        async with server.events():
            await trio.testing.wait_all_tasks_blocked(0.001)
            nursery.start_soon(collect, server, received)
            await trio.testing.wait_all_tasks_blocked(0.001)
        await send_numbers(client, range(3))
        await until(lambda: len(received) == 3)
        await client.aclose()
