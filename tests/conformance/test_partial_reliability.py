"""Messages that may be given up: lifetimes, retransmissions and priorities (RFC 3758, RFC 7496)."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from trio_sctp import AssociationChannel, DefaultSendParams, SendFailed

from .helpers import SMALL_BUFFERS, StackUnderTest, take

DEFAULTS = [
    DefaultSendParams(lifetime=1),
    DefaultSendParams(retransmissions=0),
    DefaultSendParams(priority=1),
]


def fill(channel: AssociationChannel, **how: int) -> int:
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
        if stack.stack != "kernel":  # Linux tells nobody of messages that it gives up for others.
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
