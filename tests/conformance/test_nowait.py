"""Taking what is there without waiting, and iterating over an endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from trio_sctp import (
    AssociationChange,
    AssociationChannel,
    AssociationLost,
    AssociationState,
    Message,
    Passive,
)

from .helpers import StackUnderTest, blocked, numbers, send_numbers, take, until


async def taken(receive: Callable[[], object], count: int) -> list[object]:
    """Take so many records, none of which is waited for by the call itself."""
    records: list[object] = []

    def one_more() -> bool:
        try:
            records.append(receive())
        except trio.WouldBlock:
            return False
        return len(records) == count

    await until(one_more)
    return numbers(records)


async def test_a_channel_gives_what_is_there_and_no_more(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        with pytest.raises(trio.WouldBlock):
            server.receive_nowait()
        await send_numbers(client, range(300))
        assert await taken(server.receive_nowait, 300) == list(range(300))
        with pytest.raises(trio.WouldBlock):
            server.receive_nowait()


async def test_an_endpoint_gives_messages_and_events(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        await pair.association.send(b"1")
        assert await taken(pair.server.receive_nowait, 1) == [1]
        pair.association.abort()
        (change,) = await taken(pair.server.receive_nowait, 1)
        assert isinstance(change, AssociationChange)
        assert change.state is AssociationState.COMM_LOST
        with pytest.raises(trio.WouldBlock):
            pair.server.receive_nowait()


async def test_what_was_read_ahead_comes_first(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        await send_numbers(client, range(3))
        async with blocked(server.wait_ended):  # which reads ahead
            await until(lambda: server.queue_statistics().buffered_bytes == 3)
            assert [int(server.receive_nowait().data) for _ in range(3)] == [0, 1, 2]
            client.abort()


async def end_gracefully(client: AssociationChannel) -> None:
    await client.eof()


async def end_at_once(client: AssociationChannel) -> None:
    client.abort()


@pytest.mark.parametrize(
    ("end", "error"), [(end_gracefully, trio.EndOfChannel), (end_at_once, AssociationLost)]
)
async def test_after_the_last_message_the_end_is_told(
    stack: StackUnderTest,
    end: Callable[[AssociationChannel], Awaitable[None]],
    error: type[Exception],
) -> None:
    async with stack.channels() as (client, server):
        await send_numbers(client, range(2))
        await until(lambda: client.status().unackdata == 0)
        await end(client)
        assert await taken(server.receive_nowait, 2) == [0, 1]
        await server.wait_ended()
        with pytest.raises(error):
            server.receive_nowait()


async def test_one_task_receives_at_a_time(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        async with blocked(server.receive):
            with pytest.raises(trio.BusyResourceError):
                server.receive_nowait()
            await client.send(b"x")
        async with server.active(1):
            with pytest.raises(trio.BusyResourceError):
                server.receive_nowait()


async def test_what_is_closed_gives_nothing(stack: StackUnderTest) -> None:
    async with stack.channels() as (_, server), stack.endpoint() as endpoint:
        server.abort()
        with pytest.raises(trio.ClosedResourceError):
            server.receive_nowait()
        await endpoint.aclose()
        with pytest.raises(trio.ClosedResourceError):
            endpoint.receive_nowait()


async def test_an_inbox_gives_what_credit_allows(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        await send_numbers(pair.association, range(5))
        async with pair.server.active(2) as inbox:
            assert await taken(inbox.receive_nowait, 3) == [0, 1, Passive()]
            with pytest.raises(trio.WouldBlock):
                inbox.receive_nowait()
            inbox.grant(10)
            assert await taken(inbox.receive_nowait, 3) == [2, 3, 4]
            messages, events = inbox.split()
            await pair.association.send(b"5")
            assert await taken(messages.receive_nowait, 1) == [5]
            with pytest.raises(trio.WouldBlock):
                events.receive_nowait()
            with pytest.raises(trio.ClosedResourceError):
                inbox.receive_nowait()
        with pytest.raises(trio.ClosedResourceError):
            messages.receive_nowait()


async def test_an_endpoint_is_iterated_over_until_it_is_closed(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        await send_numbers(pair.association, range(3))
        received: list[object] = []
        with pytest.raises(trio.ClosedResourceError):
            async for record in pair.server:
                received += numbers([record])
                assert isinstance(record, Message)
                if len(received) == 3:
                    await trio.aclose_forcefully(pair.server)
        assert received == [0, 1, 2]


async def test_what_is_taken_without_waiting_is_not_taken_again(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        await send_numbers(client, range(4))
        assert await taken(server.receive_nowait, 2) == [0, 1]
        assert await take(server.receive, 2) == [2, 3]
