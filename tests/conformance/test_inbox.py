"""Active mode: gen_sctp's arithmetic, and that nothing is lost or doubled."""

from __future__ import annotations

import itertools

import pytest
import trio
import trio.testing

import trio_sctp
from trio_sctp import (
    ONCE,
    AssociationChange,
    AssociationLost,
    AssociationState,
    EventSubscription,
    Inbox,
    Message,
    Passive,
    ShutdownReceived,
    Window,
)

from .helpers import (
    Pair,
    StackUnderTest,
    blocked,
    keep,
    next_message,
    numbers,
    raises,
    send_numbers,
    take,
    until,
)

PASSIVE = Passive()


async def assert_waits(inbox: Inbox) -> None:
    """Nothing is there to be received."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.receive)
        await trio.testing.wait_all_tasks_blocked(0.005)
        assert nursery.child_tasks, "something was received"
        nursery.cancel_scope.cancel()


# -- arithmetic ------------------------------------------------------------------------------


async def test_active_3_reads_3(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint, endpoint.active(3) as inbox:
        assert inbox.credit == 3
        await assert_waits(inbox)


async def test_a_grant_adds(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint, endpoint.active(3) as inbox:
        inbox.grant(4)
        assert inbox.credit == 7
        inbox.grant(-2)
        assert inbox.credit == 5
        await assert_waits(inbox)


@pytest.mark.parametrize("n", [-3, -4, -32768])
async def test_a_sum_of_0_or_below_is_0_and_delivers_one_passive(
    stack: StackUnderTest, n: int
) -> None:
    async with stack.endpoint() as endpoint, endpoint.active(3) as inbox:
        inbox.grant(n)
        assert inbox.credit == 0
        assert await inbox.receive() == PASSIVE
        await assert_waits(inbox)


@pytest.mark.parametrize("n", [0, -1, -32768])
async def test_to_open_without_credit_delivers_a_passive(stack: StackUnderTest, n: int) -> None:
    async with stack.endpoint() as endpoint, endpoint.active(n) as inbox:
        assert inbox.credit == 0
        assert await inbox.receive() == PASSIVE
        await assert_waits(inbox)


async def test_every_grant_that_leaves_no_credit_delivers_a_passive(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint, endpoint.active(0) as inbox:
        inbox.grant(0)
        inbox.grant(-1)
        inbox.grant(-32768)
        assert await inbox.receive_batch() == [PASSIVE] * 4
        await assert_waits(inbox)


async def test_a_grant_of_0_changes_no_credit(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint, endpoint.active(3) as inbox:
        inbox.grant(0)
        assert inbox.credit == 3
        await assert_waits(inbox)


async def test_a_sum_above_32767_changes_nothing(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint, endpoint.active(32767) as inbox:
        with pytest.raises(ValueError, match="32767"):
            inbox.grant(1)
        assert inbox.credit == 32767
        await assert_waits(inbox)


async def test_3_and_32765_are_too_much(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint, endpoint.active(3) as inbox:
        with pytest.raises(ValueError, match="32765"):
            inbox.grant(32765)
        assert inbox.credit == 3
        inbox.grant(32764)
        assert inbox.credit == 32767


@pytest.mark.parametrize("n", [-32769, 32768, 10**10, -(10**10)])
async def test_a_grant_out_of_range_changes_nothing(stack: StackUnderTest, n: int) -> None:
    async with stack.endpoint() as endpoint, endpoint.active(3) as inbox:
        with pytest.raises(ValueError, match=str(n)):
            inbox.grant(n)
        assert inbox.credit == 3
        await assert_waits(inbox)


@pytest.mark.parametrize("n", [-32769, 32768])
async def test_a_mode_out_of_range_leaves_the_endpoint_passive(
    stack: StackUnderTest, n: int
) -> None:
    async with stack.pair() as pair:
        with pytest.raises(ValueError, match=str(n)):
            async with pair.server.active(n):
                pytest.fail("was entered")
        await pair.association.send(b"1")
        assert (await next_message(pair.server)).data == b"1"


@pytest.mark.parametrize("mode", ["3", 3.0, None, True, False])
async def test_a_mode_of_a_wrong_type(stack: StackUnderTest, mode: object) -> None:
    async with stack.endpoint() as endpoint:
        with pytest.raises(TypeError):
            async with endpoint.active(mode):  # type: ignore[arg-type]
                pytest.fail("was entered")
        async with endpoint.active(1) as inbox:
            assert inbox.credit == 1


@pytest.mark.parametrize("size", [0, -1, 32768])
def test_a_window_out_of_range(size: int) -> None:
    with pytest.raises(ValueError, match=str(size)):
        Window(size)


# -- delivery against credit -----------------------------------------------------------------


async def test_the_last_credit_is_followed_by_one_passive(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(3) as inbox:
        await send_numbers(pair.association, range(5))
        assert await take(inbox.receive, 4) == [0, 1, 2, PASSIVE]
        assert inbox.credit == 0
        await assert_waits(inbox)


async def test_no_more_is_delivered_than_was_granted(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(3) as inbox:
        await send_numbers(pair.association, range(10))
        await until(lambda: inbox.credit == 0)
        assert numbers(await inbox.receive_batch()) == [0, 1, 2, PASSIVE]
        inbox.grant(2)
        await until(lambda: inbox.credit == 0)
        assert numbers(await inbox.receive_batch()) == [3, 4, PASSIVE]


async def test_passive_stands_directly_after_the_record_that_took_the_last_credit(
    stack: StackUnderTest,
) -> None:
    async with stack.pair() as pair, pair.server.active(1) as inbox:
        await send_numbers(pair.association, range(2))
        await until(lambda: inbox.credit == 0)
        inbox.grant(2)
        await pair.association.send(b"2")
        await until(lambda: inbox.credit == 0)
        assert numbers(await inbox.receive_batch()) == [0, PASSIVE, 1, 2, PASSIVE]


async def test_granting_on_every_passive_loses_and_doubles_nothing(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(0) as inbox, trio.open_nursery() as nursery:
        nursery.start_soon(send_numbers, pair.association, range(300))
        received: list[object] = []
        grants = 0
        while len(received) < 300:
            record = await inbox.receive()
            if record == PASSIVE:
                assert len(received) == grants
                inbox.grant(7)
                grants += 7
            else:
                received += numbers([record])
        assert received == list(range(300))


async def test_without_credit_receive_waits_for_a_grant(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(0) as inbox:
        assert await inbox.receive() == PASSIVE
        await pair.association.send(b"1")
        received: list[Message] = []
        async with blocked(keep, received, inbox.receive):
            assert not received
            inbox.grant(1)
        assert numbers(received) == [1]


async def test_an_event_takes_a_credit(stack: StackUnderTest) -> None:
    async with (
        stack.listening() as server,
        stack.endpoint() as client,
        server.active(2) as inbox,
    ):
        association = await client.connect(stack.host, server.port)
        await send_numbers(association, range(2))
        up = await inbox.receive()
        assert isinstance(up, AssociationChange)
        assert await take(inbox.receive, 2) == [0, PASSIVE]
        inbox.grant(2)
        association.abort()
        assert await take(inbox.receive, 1) == [1]
        lost = await inbox.receive()
        assert isinstance(lost, AssociationChange)
        assert lost.state is AssociationState.COMM_LOST
        assert await inbox.receive() == PASSIVE


async def test_an_event_that_is_not_subscribed_to_takes_none(stack: StackUnderTest) -> None:
    silent = EventSubscription(association_event=False, shutdown_event=False)
    async with (
        stack.listening(options=[silent]) as server,
        stack.endpoint() as client,
        server.active(2) as inbox,
    ):
        for number in range(2):
            association = await client.connect(stack.host, server.port)
            await association.send(b"%d" % number)
            await association.eof()
            await association.wait_ended()
        assert await take(inbox.receive, 3) == [0, 1, PASSIVE]


async def test_a_subscription_may_hold_for_one_association(stack: StackUnderTest) -> None:
    async with (
        stack.pair() as pair,
        stack.endpoint() as other,
    ):
        association, _ = await stack.associate(other, pair.server)
        pair.server.set_option(EventSubscription(association_event=False), pair.peer)
        async with pair.server.active(2) as inbox:
            pair.association.abort()
            await pair.peer.wait_ended()
            association.abort()
            await association.wait_ended()
            lost = await inbox.receive()
            assert isinstance(lost, AssociationChange)
            assert lost.association_id != pair.peer.id
            assert inbox.credit == 1


async def test_the_library_sees_what_the_program_does_not(stack: StackUnderTest) -> None:
    silent = EventSubscription(association_event=False, shutdown_event=False)
    async with stack.pair() as pair:
        pair.server.set_option(silent, pair.peer)
        pair.association.abort(b"why")
        end = await pair.peer.wait_ended()
        assert (end.cause, end.reason) == (12, b"why")


async def test_connect_takes_its_own_comm_up_and_no_credit(stack: StackUnderTest) -> None:
    async with (
        stack.listening() as server,
        stack.endpoint() as client,
        client.active(1) as inbox,
    ):
        await client.connect(stack.host, server.port)
        assert inbox.credit == 1
        await assert_waits(inbox)


# -- once ------------------------------------------------------------------------------------


async def test_once_delivers_one_record_and_no_passive(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(ONCE) as inbox:
        await send_numbers(pair.association, range(2))
        assert await take(inbox.receive, 1) == [0]
        assert inbox.credit == 0
        await assert_waits(inbox)
        inbox.once()
        assert await take(inbox.receive, 1) == [1]
        await assert_waits(inbox)


async def test_once_replaces_the_credit(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(5) as inbox:
        inbox.once()
        await send_numbers(pair.association, range(2))
        assert await take(inbox.receive, 1) == [0]
        await assert_waits(inbox)


async def test_once_twice_is_once(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(ONCE) as inbox:
        inbox.once()
        await send_numbers(pair.association, range(2))
        assert await take(inbox.receive, 1) == [0]
        await assert_waits(inbox)


async def test_once_on_a_passive_inbox_delivers_no_passive(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(1) as inbox:
        await send_numbers(pair.association, range(3))
        assert await take(inbox.receive, 2) == [0, PASSIVE]
        inbox.once()
        assert await take(inbox.receive, 1) == [1]
        await assert_waits(inbox)


async def test_a_grant_after_once_starts_from_0(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(ONCE) as inbox:
        inbox.grant(2)
        assert inbox.credit == 2
        await send_numbers(pair.association, range(3))
        assert await take(inbox.receive, 3) == [0, 1, PASSIVE]
        await assert_waits(inbox)


async def test_after_once_the_whole_range_may_be_granted(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint, endpoint.active(ONCE) as inbox:
        inbox.grant(32767)
        assert inbox.credit == 32767
        await assert_waits(inbox)


@pytest.mark.parametrize("n", [0, -1])
async def test_a_grant_of_nothing_after_once_is_passive(stack: StackUnderTest, n: int) -> None:
    async with stack.endpoint() as endpoint, endpoint.active(ONCE) as inbox:
        inbox.grant(n)
        assert inbox.credit == 0
        assert await inbox.receive() == PASSIVE
        await assert_waits(inbox)


async def test_a_refused_grant_leaves_once_as_it_was(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(ONCE) as inbox:
        with pytest.raises(ValueError, match="32768"):
            inbox.grant(32768)
        await send_numbers(pair.association, range(2))
        assert await take(inbox.receive, 1) == [0]
        await assert_waits(inbox)


# -- windows ---------------------------------------------------------------------------------


async def test_a_window_bounds_what_is_out(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(Window(3)) as inbox:
        await send_numbers(pair.association, range(10))
        await until(lambda: inbox.credit == 0)
        received: list[object] = []
        while len(received) < 10:
            batch = numbers(await inbox.receive_batch(100))
            assert len(batch) <= 3
            received += batch
        assert received == list(range(10))


async def test_to_take_from_a_window_gives_the_credit_back(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(Window(3)) as inbox:
        assert inbox.credit == 3
        await send_numbers(pair.association, range(3))
        await until(lambda: inbox.credit == 0)
        assert await take(inbox.receive, 1) == [0]
        assert inbox.credit == 1
        assert numbers(await inbox.receive_batch()) == [1, 2]
        assert inbox.credit == 3
        await assert_waits(inbox)


async def test_a_window_is_refilled_when_half_of_it_is_taken(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(Window(4)) as inbox:
        await send_numbers(pair.association, range(8))
        await until(lambda: inbox.credit == 0)
        assert numbers(await inbox.receive_batch(2)) == [0, 1]
        await until(lambda: inbox.credit == 0)
        assert numbers(await inbox.receive_batch()) == [2, 3, 4, 5]


@pytest.mark.parametrize("size", [1, 2, 3, 8])
async def test_a_window_goes_on_for_ever(stack: StackUnderTest, size: int) -> None:
    async with (
        stack.pair() as pair,
        pair.server.active(Window(size)) as inbox,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(send_numbers, pair.association, range(100))
        assert await take(inbox.receive, 100) == list(range(100))


@pytest.mark.parametrize("n", [1, 0, -1, 32767])
async def test_a_window_takes_no_grant(stack: StackUnderTest, n: int) -> None:
    async with stack.endpoint() as endpoint, endpoint.active(Window(3)) as inbox:
        with pytest.raises(ValueError):  # noqa: PT011
            inbox.grant(n)
        assert inbox.credit == 3
        await assert_waits(inbox)


async def test_a_window_is_not_once(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint, endpoint.active(Window(3)) as inbox:
        with pytest.raises(ValueError):  # noqa: PT011
            inbox.once()
        assert inbox.credit == 3


# -- leaving the block -----------------------------------------------------------------------


async def test_what_was_not_taken_goes_to_receive_in_order(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        async with pair.server.active(4) as inbox:
            await send_numbers(pair.association, range(6))
            await until(lambda: inbox.credit == 0)
            assert await take(inbox.receive, 1) == [0]
        assert await take(pair.server.receive, 5) == [1, 2, 3, 4, 5]


async def test_what_was_not_taken_goes_to_the_next_inbox_and_takes_credit_again(
    stack: StackUnderTest,
) -> None:
    async with stack.pair() as pair:
        async with pair.server.active(4) as inbox:
            await send_numbers(pair.association, range(4))
            await until(lambda: inbox.credit == 0)
            assert await take(inbox.receive, 1) == [0]
        async with pair.server.active(2) as inbox:
            assert await take(inbox.receive, 3) == [1, 2, PASSIVE]
            assert inbox.credit == 0
            await assert_waits(inbox)
        assert await take(pair.server.receive, 1) == [3]


async def test_a_passive_does_not_go_to_the_next_reader(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        async with pair.server.active(1) as inbox:
            inbox.grant(-1)
            await pair.association.send(b"0")
        assert await take(pair.server.receive, 1) == [0]


async def test_a_next_inbox_without_credit_gets_nothing(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        async with pair.server.active(2) as inbox:
            await send_numbers(pair.association, range(2))
            await until(lambda: inbox.credit == 0)
        async with pair.server.active(0) as inbox:
            assert await inbox.receive() == PASSIVE
            await assert_waits(inbox)
        assert await take(pair.server.receive, 2) == [0, 1]


async def test_to_leave_by_an_exception_returns_records_too(stack: StackUnderTest) -> None:
    async def fail() -> None:
        async with pair.server.active(2) as inbox:
            await until(lambda: inbox.credit == 0)
            raise KeyError

    async with stack.pair() as pair:
        await send_numbers(pair.association, range(3))
        await raises(KeyError, fail)
        assert await take(pair.server.receive, 3) == [0, 1, 2]


async def test_to_leave_by_cancellation_returns_records_too(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        with trio.CancelScope() as scope:
            async with pair.server.active(2) as inbox:
                await send_numbers(pair.association, range(3))
                await until(lambda: inbox.credit == 0)
                scope.cancel()
                await trio.sleep_forever()
        assert await take(pair.server.receive, 3) == [0, 1, 2]


async def test_hundreds_of_blocks_lose_and_double_nothing(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, trio.open_nursery() as nursery:
        nursery.start_soon(send_numbers, pair.association, range(500))
        received: list[object] = []
        turn = 0
        while len(received) < 500:
            turn += 1
            async with pair.server.active(1 + turn % 7) as inbox:
                batch = await inbox.receive_batch(1 + turn % 3)
                received += [n for n in numbers(batch) if n != PASSIVE]
        assert received == list(range(500))


async def test_a_left_inbox_is_closed(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint:
        async with endpoint.active(1) as inbox:
            pass
        await raises(trio.ClosedResourceError, inbox.receive)
        await raises(trio.ClosedResourceError, inbox.receive_batch)


async def test_to_leave_wakes_who_still_receives(stack: StackUnderTest) -> None:
    async with (
        stack.endpoint() as endpoint,
        trio.open_nursery() as nursery,
        endpoint.active(1) as inbox,
    ):
        nursery.start_soon(raises, trio.ClosedResourceError, inbox.receive)
        await trio.testing.wait_all_tasks_blocked()


# -- batches ---------------------------------------------------------------------------------


async def test_a_batch_is_all_that_is_there(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(5) as inbox:
        await send_numbers(pair.association, range(5))
        await until(lambda: inbox.credit == 0)
        assert numbers(await inbox.receive_batch()) == [0, 1, 2, 3, 4, PASSIVE]


async def test_a_batch_keeps_to_its_limit(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(5) as inbox:
        await send_numbers(pair.association, range(5))
        await until(lambda: inbox.credit == 0)
        assert numbers(await inbox.receive_batch(2)) == [0, 1]
        assert numbers(await inbox.receive_batch(limit=4)) == [2, 3, 4, PASSIVE]


async def test_a_batch_waits_for_the_first_record(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(5) as inbox:
        batches: list[list[object]] = []
        async with blocked(keep, batches, inbox.receive_batch):
            assert not batches
            await pair.association.send(b"0")
        assert numbers(batches[0]) == [0]


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_batch_of_nothing(stack: StackUnderTest, limit: int) -> None:
    async with stack.endpoint() as endpoint, endpoint.active(5) as inbox:
        with pytest.raises(ValueError, match=str(limit)):
            await inbox.receive_batch(limit)


async def test_to_iterate_is_to_receive(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(2) as inbox:
        await send_numbers(pair.association, range(2))
        received: list[object] = []
        async for record in inbox:
            received += numbers([record])
            if record == PASSIVE:
                break
        assert received == [0, 1, PASSIVE]


async def test_receiving_is_a_checkpoint(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(2) as inbox:
        await send_numbers(pair.association, range(2))
        await until(lambda: inbox.credit == 0)
        with trio.testing.assert_checkpoints():
            await inbox.receive()
        with trio.testing.assert_checkpoints():
            await inbox.receive_batch()


async def test_a_cancelled_receive_took_nothing(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(100) as inbox:
        received: list[object] = []
        sent = 0
        for turn in itertools.count():
            if len(received) == 100:
                break
            if sent < 100 and turn % 3:
                await pair.association.send(b"%d" % sent)
                sent += 1
            with trio.move_on_after(0.0001 * (turn % 5)):
                received.append(await inbox.receive())
        assert numbers(received) == list(range(100))
        assert await inbox.receive() == PASSIVE


# -- split -----------------------------------------------------------------------------------


async def test_split_gives_messages_and_events(stack: StackUnderTest) -> None:
    async with (
        stack.listening() as server,
        stack.endpoint() as client,
        server.active(3) as inbox,
    ):
        messages, events = inbox.split()
        association = await client.connect(stack.host, server.port)
        await association.send(b"0")
        association.abort()
        up, lost = await events.receive(), await events.receive()
        assert isinstance(up, AssociationChange)
        assert isinstance(lost, AssociationChange)
        assert (up.state, lost.state) == (
            AssociationState.COMM_UP,
            AssociationState.COMM_LOST,
        )
        assert await take(messages.receive, 2) == [0, PASSIVE]


async def test_split_divides_what_is_there_already(stack: StackUnderTest) -> None:
    async with (
        stack.listening() as server,
        stack.endpoint() as client,
        server.active(3) as inbox,
    ):
        association = await client.connect(stack.host, server.port)
        await send_numbers(association, range(2))
        await until(lambda: inbox.credit == 0)
        messages, events = inbox.split()
        assert isinstance(await events.receive(), AssociationChange)
        assert await take(messages.receive, 3) == [0, 1, PASSIVE]


async def test_a_split_inbox_is_replaced_by_its_channels(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint, endpoint.active(3) as inbox:
        inbox.split()
        await raises(trio.ClosedResourceError, inbox.receive)
        assert inbox.credit == 3


async def test_a_split_inbox_grants(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(0) as inbox:
        messages, _ = inbox.split()
        assert await messages.receive() == PASSIVE
        await send_numbers(pair.association, range(2))
        inbox.grant(1)
        assert await take(messages.receive, 2) == [0, PASSIVE]
        inbox.once()
        assert await take(messages.receive, 1) == [1]
        inbox.grant(0)
        assert await messages.receive() == PASSIVE


async def test_closed_events_are_dropped_and_take_no_credit(stack: StackUnderTest) -> None:
    async with (
        stack.listening() as server,
        stack.endpoint() as client,
        server.active(1) as inbox,
    ):
        messages, events = inbox.split()
        events.close()
        association = await client.connect(stack.host, server.port)
        await association.send(b"0")
        assert await take(messages.receive, 2) == [0, PASSIVE]


async def test_an_end_that_closed_events_drop_has_been_taken(pair: Pair) -> None:
    """``while_up`` waits for what is still to be taken, and that is not."""
    async with pair.server.active(0) as inbox:
        messages, events = inbox.split()
        await events.aclose()
        assert await messages.receive() == PASSIVE
        async with pair.peer.while_up():
            await pair.association.eof()
            await pair.peer.wait_ended()
            await trio.testing.wait_all_tasks_blocked(0.001)
            inbox.grant(5)
            assert inbox.credit == 5
            await messages.receive()  # the call after the last record was taken
            pytest.fail("the block was left")


async def test_events_are_closed_for_good(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint, endpoint.active(1) as inbox:
        _, events = inbox.split()
        events.close()
        events.close()
        await raises(trio.ClosedResourceError, events.receive)


async def test_a_split_window_gives_credit_back_on_both_sides(stack: StackUnderTest) -> None:
    async with (
        stack.listening() as server,
        stack.endpoint() as client,
        server.active(Window(2)) as inbox,
    ):
        messages, events = inbox.split()
        association = await client.connect(stack.host, server.port)
        await send_numbers(association, range(3))
        await until(lambda: inbox.credit == 0)
        await events.receive()
        assert await take(messages.receive, 3) == [0, 1, 2]
        assert inbox.credit == 2


async def test_closing_the_events_of_a_window_gives_their_credit_back(
    stack: StackUnderTest,
) -> None:
    async with (
        stack.listening() as server,
        stack.endpoint() as client,
        server.active(Window(1)) as inbox,
    ):
        messages, events = inbox.split()
        association = await client.connect(stack.host, server.port)
        await until(lambda: inbox.credit == 0)
        events.close()
        await association.send(b"0")
        assert await take(messages.receive, 1) == [0]


async def test_a_left_split_inbox_returns_records_in_arrival_order(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        async with server.active(4) as inbox:
            inbox.split()
            for number in range(2):
                association = await client.connect(stack.host, server.port)
                await association.send(b"%d" % number)
                association.abort()
                await association.wait_ended()
            await until(lambda: inbox.credit == 0)
        kinds = [type(await server.receive()) for _ in range(6)]
        assert kinds == [AssociationChange, Message, AssociationChange] * 2


async def test_a_task_for_each_half(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        got_messages: list[object] = []
        got_events: list[object] = []
        async with server.active(3) as inbox, trio.open_nursery() as nursery:
            messages, events = inbox.split()
            nursery.start_soon(keep, got_messages, messages.receive)
            nursery.start_soon(keep, got_events, events.receive)
            association = await client.connect(stack.host, server.port)
            await association.send(b"0")
        assert numbers(got_messages) == [0]
        assert isinstance(got_events[0], AssociationChange)


async def test_a_closed_half_of_messages_keeps_them_for_the_next_reader(
    stack: StackUnderTest,
) -> None:
    async with stack.pair() as pair:
        async with pair.server.active(5) as inbox:
            messages, _ = inbox.split()
            await send_numbers(pair.association, range(3))
            assert await take(messages.receive, 1) == [0]
            await messages.aclose()
            await raises(trio.ClosedResourceError, messages.receive)
        assert await take(pair.server.receive, 2) == [1, 2]


async def test_a_closed_inbox_returns_records(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(5) as inbox:
        await send_numbers(pair.association, range(3))
        assert await take(inbox.receive, 1) == [0]
        await inbox.aclose()
        await raises(trio.ClosedResourceError, inbox.receive)
        assert await take(pair.server.receive, 2) == [1, 2]


# -- one reader ------------------------------------------------------------------------------


async def test_no_receive_while_active(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint, endpoint.active(1):
        await raises(trio.BusyResourceError, endpoint.receive)
        await raises(trio.BusyResourceError, endpoint.receive_batch)


async def test_no_second_active(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint, endpoint.active(1) as inbox:
        with pytest.raises(trio.BusyResourceError):
            async with endpoint.active(1):
                pytest.fail("was entered")
        assert inbox.credit == 1
        await assert_waits(inbox)


async def test_no_active_while_a_task_receives(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        received: list[object] = []
        async with blocked(keep, received, pair.server.receive):
            with pytest.raises(trio.BusyResourceError):
                async with pair.server.active(1):
                    pytest.fail("was entered")
            await pair.association.send(b"0")
        assert numbers(received) == [0]


async def test_receive_works_again_after_the_block(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        async with pair.server.active(1):
            pass
        await pair.association.send(b"0")
        assert await take(pair.server.receive, 1) == [0]


# -- what leaves the block -------------------------------------------------------------------


async def test_the_bodys_exception_leaves_unwrapped(stack: StackUnderTest) -> None:
    error = KeyError("mine")
    async with stack.endpoint() as endpoint:
        with pytest.raises(KeyError) as caught:
            async with endpoint.active(1):
                raise error
    assert caught.value is error


async def test_the_bodys_group_leaves_as_it_is(stack: StackUnderTest) -> None:
    error = ExceptionGroup("mine", [KeyError(), ValueError()])
    async with stack.endpoint() as endpoint:
        with pytest.raises(ExceptionGroup) as caught:
            async with endpoint.active(1):
                raise error
    assert caught.value is error


async def test_the_body_may_cancel_itself(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint:
        with trio.CancelScope() as scope:
            async with endpoint.active(1) as inbox:
                scope.cancel()
                await inbox.receive()
        assert scope.cancelled_caught


async def test_closing_the_endpoint_wakes_the_receiver(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(1) as inbox:
        async with blocked(raises, trio.ClosedResourceError, inbox.receive):
            await pair.server.aclose()
        await raises(trio.ClosedResourceError, inbox.receive)


async def test_closing_the_endpoint_wakes_a_receiver_without_credit(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(0) as inbox:
        await inbox.receive()
        async with blocked(raises, trio.ClosedResourceError, inbox.receive_batch):
            await pair.server.aclose()


async def test_closing_the_endpoint_wakes_both_halves(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, pair.server.active(1) as inbox:
        messages, events = inbox.split()
        async with blocked(raises, trio.ClosedResourceError, messages.receive) as nursery:
            nursery.start_soon(raises, trio.ClosedResourceError, events.receive)
            await trio.testing.wait_all_tasks_blocked()
            await pair.server.aclose()


# -- a channel's inbox -----------------------------------------------------------------------


async def test_a_channels_inbox_has_messages_and_events(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        async with server.active(100) as inbox:
            await client.send(b"0")
            await client.eof()
            received = [record async for record in inbox]
        assert 0 in numbers(received)
        kinds = [type(r) for r in received if not isinstance(r, AssociationChange)]
        assert kinds == [Message, ShutdownReceived]
        last = received[-1]
        assert isinstance(last, AssociationChange)
        assert last.state is AssociationState.SHUTDOWN_COMP


async def test_a_channels_inbox_ends_gracefully(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server), server.active(Window(10)) as inbox:
        async with blocked(raises, trio.EndOfChannel, drain, inbox):
            await client.eof()
        await raises(trio.EndOfChannel, inbox.receive)


async def test_a_channels_inbox_ends_by_loss(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server), server.active(Window(10)) as inbox:
        async with blocked(raises, AssociationLost, drain, inbox):
            client.abort()
        await raises(AssociationLost, inbox.receive)


async def test_the_end_of_a_channel_takes_credit_too(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        await client.send(b"0")
        await server.receive()
        async with server.active(0) as inbox:
            assert await inbox.receive() == PASSIVE
            client.abort()
            await server.wait_ended()
            await assert_waits(inbox)
            inbox.grant(1)
            assert isinstance(await inbox.receive(), AssociationChange)
            assert await inbox.receive() == PASSIVE
            await raises(AssociationLost, inbox.receive)


async def test_closing_the_channel_wakes_its_inbox(stack: StackUnderTest) -> None:
    async with (
        stack.channels() as (_, server),
        server.active(Window(10)) as inbox,
        blocked(raises, trio.ClosedResourceError, drain, inbox),
    ):
        await server.aclose()


async def drain(inbox: Inbox) -> None:
    while True:
        await inbox.receive()


def test_once_is_a_constant() -> None:
    assert trio_sctp.ONCE is ONCE
