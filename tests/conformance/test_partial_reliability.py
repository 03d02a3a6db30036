"""Messages that may be given up: lifetimes, retransmissions and priorities (RFC 3758, RFC 7496)."""

from __future__ import annotations

import dataclasses

import pytest
import trio
import trio.testing

from trio_sctp import (
    Abandoned,
    Association,
    AssociationLost,
    DefaultSendParams,
    PrStatus,
    RtoInfo,
    SendFailed,
)

from .helpers import SMALL_BUFFERS, StackUnderTest, take, until

DEFAULTS = [
    DefaultSendParams(lifetime=1),
    DefaultSendParams(retransmissions=0),
    DefaultSendParams(priority=1),
]


def fill(channel: Association, **how: int) -> int:
    """Send messages of 1000 bytes, numbered from 0, until there is no room; return how many."""
    count = 0
    try:
        while True:
            channel.send_nowait(b"%d".ljust(1000) % count, **how)  # type: ignore[arg-type]
            count += 1
    except trio.WouldBlock:
        return count


@pytest.mark.parametrize("default", DEFAULTS, ids=["lifetime", "retransmissions", "priority"])
async def test_a_lifetime_of_0_is_none_whatever_the_default_is(
    stack: StackUnderTest, default: DefaultSendParams
) -> None:
    async with stack.channels(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as (
        client,
        server,
    ):
        client.set_option(default)
        sent = 0
        with trio.move_on_after(0.2):  # Long enough for all of them to be given up.
            while True:
                await client.send(b"%d" % sent, lifetime=0)
                sent += 1
        assert await take(server.receive, sent) == list(range(sent))


@pytest.mark.parametrize("default", DEFAULTS, ids=["lifetime", "retransmissions", "priority"])
async def test_a_default_policy_replaces_the_one_before(
    stack: StackUnderTest, default: DefaultSendParams
) -> None:
    async with stack.channels() as (client, _):
        for before in DEFAULTS:
            client.set_option(before)
            client.set_option(DefaultSendParams(ppid=46))
            client.set_option(default)
            read = client.get_option(DefaultSendParams)
            assert read.ppid == 46
            policy = (read.lifetime, read.retransmissions, read.priority)
            assert policy == (default.lifetime, default.retransmissions, default.priority)


@pytest.mark.parametrize("urgent", [{"priority": 1}, {"lifetime": 0}, {}], ids=str)
async def test_a_more_urgent_message_takes_the_room_of_others(
    stack: StackUnderTest, urgent: dict[str, int]
) -> None:
    """One that may not be given up is more urgent than all that have a priority."""
    async with (
        stack.channels(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as (
            client,
            server,
        ),
        client.events() as events,
    ):
        sent = fill(client, priority=5)
        with pytest.raises(trio.WouldBlock):
            client.send_nowait(b"x", priority=5)
        if stack.stack != "kernel":
            client.send_nowait(b"-1", **urgent)  # type: ignore[arg-type]
        else:  # Linux frees the room of what was sent when the peer knows that it is skipped.
            await client.send(b"-1", **urgent)  # type: ignore[arg-type]
        got: list[object] = []
        while -1 not in got:
            got += await take(server.receive, 1)
        assert got == [number for number in range(sent) if number in got] + [-1]
        assert len(got) < sent + 1
        if stack.stack != "kernel":  # Linux does not tell of each.
            failed = await events.receive()
            assert isinstance(failed, SendFailed)
            assert (failed.error, len(failed.data)) == (0, 1000)
            assert int(failed.data) not in got


async def test_a_priority_does_not_wait_behind_the_messages_of_others(
    stack: StackUnderTest,
) -> None:
    async with (
        stack.channels(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as (client, _),
        trio.open_nursery() as nursery,
    ):
        fill(client, priority=5)
        nursery.start_soon(lambda: client.send(b"waits", retransmissions=100))
        await trio.testing.wait_all_tasks_blocked()
        if stack.stack != "kernel":
            client.send_nowait(b"does not wait".ljust(1000), priority=1)
        await client.send(b"nor does this".ljust(1000), priority=1)
        nursery.cancel_scope.cancel()


async def test_what_is_sent_once_only_arrives_where_nothing_is_lost(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        for number in range(50):
            await client.send(b"%d" % number, retransmissions=0)
        assert await take(server.receive, 50) == list(range(50))


NONE = Abandoned(sent=0, unsent=0)


async def test_nothing_was_given_up(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        for stream in None, 0, 9:
            assert client.get_option(PrStatus, stream=stream) == PrStatus(
                stream=stream, lifetime=NONE, retransmissions=NONE, priority=NONE
            )
        with pytest.raises(ValueError, match="stream must be between 0 and 9, not 10"):
            client.get_option(PrStatus, stream=10)
        with pytest.raises(ValueError, match="RtoInfo takes no stream="):
            client.get_option(RtoInfo, stream=0)
        with pytest.raises(ValueError, match="PrStatus can only be read"):
            client.set_option(client.get_option(PrStatus))
        server.abort()
        await client.wait_ended()
        with pytest.raises(AssociationLost):
            client.get_option(PrStatus)


async def test_what_was_given_up_is_counted_by_policy_and_stream(stack: StackUnderTest) -> None:
    async with stack.pair(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as pair:
        client, association = pair.client, pair.association
        with pytest.raises(ValueError, match="PrStatus belongs to one association: say which"):
            client.get_option(PrStatus)
        with pytest.raises(ValueError, match="PrStatus belongs to one association: say which"):
            client.get_option(PrStatus, stream=1)
        fill(association, stream=1, lifetime=20)
        await until(lambda: association.get_option(PrStatus).lifetime != NONE)
        of_all = client.get_option(PrStatus, association)
        of_1 = client.get_option(PrStatus, association, stream=1)
        assert of_1 == dataclasses.replace(of_all, stream=1)
        assert (of_all.retransmissions, of_all.priority) == (NONE, NONE)
        of_2 = association.get_option(PrStatus, stream=2)
        assert of_2 == PrStatus(stream=2, lifetime=NONE, retransmissions=NONE, priority=NONE)


async def test_what_was_given_up_for_others_is_counted(stack: StackUnderTest) -> None:
    async with stack.channels(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as (
        client,
        server,
    ):
        sent = fill(client, stream=3, priority=5)
        await client.send(b"-1", priority=1)
        status = client.get_option(PrStatus, stream=3)
        assert (status.lifetime, status.retransmissions) == (NONE, NONE)
        got = await take(server.receive, 1)
        while -1 not in got:
            got += await take(server.receive, 1)
        lost = sent + 1 - len(got)
        # What was sent may have arrived although it was given up.
        assert 0 < lost <= status.priority.sent + status.priority.unsent
        assert client.get_option(PrStatus, stream=0).priority == NONE
