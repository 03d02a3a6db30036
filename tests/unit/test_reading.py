"""Which task reads, how far ahead, and what is left when the reader is cancelled."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import trio_sctp
from trio_sctp import (
    AssociationChange,
    AssociationLost,
    AssociationState,
    ConnectFailed,
    Endpoint,
    InitMsg,
    Message,
    Passive,
    RtoInfo,
    Status,
    StatusState,
    Window,
)

from ..support.counting import counted
from ..support.fake_stack import (
    FakeSocket,
    FakeStack,
    change,
    message,
    opened,
    os_error,
)

UP, LOST, DONE = (
    AssociationState.COMM_UP,
    AssociationState.COMM_LOST,
    AssociationState.SHUTDOWN_COMP,
)
ID = 100


async def open_endpoint() -> tuple[Endpoint, FakeSocket]:
    stack = FakeStack()
    endpoint = opened(await trio_sctp.open_endpoint(stack=stack))
    return endpoint, stack.sockets[0]


async def endpoint_with(*ids: int) -> tuple[Endpoint, FakeSocket]:
    """An endpoint with these associations, whose COMM_UPs have been taken."""
    endpoint, socket = await open_endpoint()
    for id in ids:
        socket.arrive(change(id, UP))
        await endpoint.receive()
    return endpoint, socket


async def test_the_reader_hands_on_when_it_is_cancelled() -> None:
    endpoint, socket = await endpoint_with(ID, ID + 1)
    ended: list[int] = []

    async def wait(id: int) -> None:
        await endpoint.associations[id].wait_ended()
        ended.append(id)

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as first:
            nursery.start_soon(wait, ID)
            await wait_all_tasks_blocked()
            nursery.start_soon(wait, ID + 1)
            await wait_all_tasks_blocked()
        async with trio.open_nursery() as inner:
            with trio.CancelScope() as first:
                inner.start_soon(endpoint.receive)
                await wait_all_tasks_blocked()
                inner.cancel_scope.cancel()
        assert not first.cancelled_caught
        socket.arrive(change(ID + 1, DONE))
        await wait_all_tasks_blocked()
        assert ended == [ID + 1]
        socket.arrive(change(ID, DONE))
    assert ended == [ID + 1, ID]


async def test_whoever_waits_for_a_state_reads_no_further_than_the_store_has_room() -> None:
    endpoint, socket = await endpoint_with(ID)
    socket.arrive(*(message(ID) for _ in range(10_000)))
    with trio.move_on_after(0.05):
        await endpoint.associations[ID].wait_ended()
    assert endpoint.statistics().buffered_records == 256
    assert len(socket.arrivals) == 10_000 - 256


async def test_a_store_that_is_nearly_full_is_filled_to_the_record() -> None:
    endpoint, socket = await endpoint_with(ID)
    socket.arrive(*(message(ID) for _ in range(255)))
    with trio.move_on_after(0.05):
        await endpoint.associations[ID].wait_ended()
    assert endpoint.statistics().buffered_records == 255
    socket.arrive(*(message(ID) for _ in range(300)))
    with trio.move_on_after(0.05):
        await endpoint.associations[ID].wait_ended()
    assert endpoint.statistics().buffered_records == 256
    assert len(socket.arrivals) == 299


async def test_a_connect_fills_the_store_to_the_record_too() -> None:
    endpoint, socket = await endpoint_with(ID)
    socket.arrive(*(message(ID) for _ in range(255)))
    await endpoint.connect_init("192.0.2.9", 2905)
    socket.arrive(*(message(ID) for _ in range(300)))
    await endpoint.connect_init("192.0.2.8", 2905)
    assert endpoint.statistics().buffered_records == 256
    assert len(socket.arrivals) == 299


async def test_large_messages_fill_the_store_by_their_size() -> None:
    endpoint, socket = await endpoint_with(ID)
    socket.arrive(*(message(ID, bytes(2**19)) for _ in range(1000)))
    with trio.move_on_after(0.05):
        await endpoint.associations[ID].wait_ended()
    assert endpoint.statistics().buffered_bytes <= 2**20 + 256 * 2**19
    assert len(socket.arrivals) > 0


async def test_behind_a_full_store_an_end_is_learnt_with_its_cause(
    autojump_clock: MockClock,
) -> None:
    endpoint, socket = await endpoint_with(ID, ID + 1)
    socket.arrive(*(message(ID + 1) for _ in range(300)))
    ends = []

    async def wait() -> None:
        ends.append(await endpoint.associations[ID].wait_ended())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.sleep(1)
        assert endpoint.statistics().buffered_records == 256
        socket.arrive(change(ID, LOST, error=12))
    assert (ends[0].state, ends[0].cause) == (LOST, 12)
    records = [await endpoint.receive() for _ in range(301)]
    assert [isinstance(record, Message) for record in records] == [True] * 300 + [False]


@pytest.mark.parametrize("minutes", [0, 1, 2])
async def test_behind_a_full_store_an_end_is_learnt_at_once_after_however_long(
    minutes: int, autojump_clock: MockClock
) -> None:
    """The state is asked for less often, but not ever less often."""
    endpoint, socket = await endpoint_with(ID, ID + 1)
    socket.arrive(*(message(ID + 1) for _ in range(300)))
    ended: list[float] = []

    async def wait() -> None:
        await endpoint.associations[ID].wait_ended()
        ended.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.sleep(60 * minutes)
        over = trio.current_time()
        socket.arrive(change(ID, LOST))
    assert 0 <= ended[0] - over <= 0.05


async def test_behind_a_full_store_the_stack_is_asked_less_and_less_often(
    autojump_clock: MockClock,
) -> None:
    """Whoever begins to wait soon afterwards goes on in the same way."""
    endpoint, socket = await endpoint_with(ID, ID + 1)
    socket.arrive(*(message(ID + 1) for _ in range(300)))
    association = endpoint.associations[ID]
    asked: list[float] = []
    status = socket.status

    def timed(association_id: int) -> Status:
        asked.append(round(trio.current_time(), 6))
        return status(association_id)

    socket.status = timed  # type: ignore[method-assign]

    async def wait(seconds: float) -> list[float]:
        """When the stack is asked, in seconds from the beginning."""
        asked.clear()
        began = trio.current_time()
        with trio.move_on_after(seconds):
            await association.wait_ended()
        return [round(when - began, 6) for when in asked]

    assert await wait(0.12) == [0.002, 0.006, 0.014, 0.03, 0.062, 0.112]
    await trio.sleep(0.01)  # it would have been asked 0.162 seconds after the beginning
    assert await wait(0.1) == [0.032, 0.082]
    await trio.sleep(1)
    assert await wait(0.01) == [0.002, 0.006]


async def test_whoever_polls_a_full_store_is_relieved_by_the_next_who_waits_for_a_state(
    autojump_clock: MockClock,
) -> None:
    endpoint, socket = await endpoint_with(ID, ID + 1, ID + 2)
    socket.arrive(*(message(ID + 2) for _ in range(300)))
    ended: list[int] = []

    async def wait(id: int) -> None:
        await endpoint.associations[id].wait_ended()
        ended.append(id)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, ID)
        await trio.sleep(1)
        nursery.start_soon(wait, ID + 1)
        await trio.sleep(1)
        for id in ID, ID + 1:  # the first that polls is served, and hands on
            over = trio.current_time()
            socket.arrive(change(id, LOST))
            await trio.sleep(0.05)
            assert ended[-1] == id
            assert trio.current_time() - over <= 0.06


# -- errors of the stack -----------------------------------------------------------------------


async def test_an_error_of_the_stack_reaches_whoever_receives() -> None:
    endpoint, socket = await endpoint_with(ID)
    for receive in endpoint.receive, endpoint.receive_batch:
        socket.receive_error = None
        async with trio.open_nursery() as nursery:

            async def fails(receive: Callable[[], Awaitable[object]] = receive) -> None:
                with pytest.raises(OSError, match="Cannot allocate memory"):
                    await receive()

            nursery.start_soon(fails)
            await wait_all_tasks_blocked()
            socket.fail(os_error(errno.ENOMEM))
    with pytest.raises(OSError, match="Cannot allocate memory"):
        await endpoint.receive()
    socket.receive_error = None
    socket.arrive(message(ID, b"later"))
    record = await endpoint.receive()
    assert isinstance(record, Message)


@pytest.mark.parametrize("split", [False, True])
async def test_an_error_of_the_stack_reaches_whoever_reads_an_inbox(split: bool) -> None:
    """What had been delivered before comes first."""
    endpoint, socket = await endpoint_with(ID)
    async with endpoint.active(Window(5)) as inbox:
        channel = inbox.split()[0] if split else inbox
        socket.arrive(message(ID, b"before"))
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:

            async def fails() -> None:
                assert isinstance(await channel.receive(), Message)
                for _ in range(2):
                    with pytest.raises(OSError, match="Cannot allocate memory") as error:
                        await channel.receive()
                    assert error.value.errno == errno.ENOMEM

            nursery.start_soon(fails)
            await wait_all_tasks_blocked()
            socket.fail(os_error(errno.ENOMEM))


async def test_behind_a_full_store_connect_completes(autojump_clock: MockClock) -> None:
    endpoint, socket = await endpoint_with(ID)
    socket.arrive(*(message(ID) for _ in range(1000)))
    connected = []

    async def connect() -> None:
        connected.append(await endpoint.connect("192.0.2.9", 2905))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connect)
        await trio.sleep(1)
        assert not connected
        (_, id) = socket.calls[-1]
        socket.states[id] = StatusState.ESTABLISHED
        socket.arrive(change(id, UP))
    assert connected[0].id == id
    for _ in range(1000):
        assert isinstance(await endpoint.receive(), Message)
    socket.arrive(change(id, DONE))
    event = await endpoint.receive()
    assert isinstance(event, AssociationChange)
    assert event.state is DONE  # its COMM_UP was connect's own


@pytest.mark.parametrize(
    ("rto", "attempts", "longest", "seconds"),
    [
        ((3000, 60_000), 2, 0, 9),
        ((1000, 60_000), 4, 0, 15),
        ((1000, 3000), 4, 0, 9),
        ((1000, 60_000), 4, 2500, 8),
        ((1000, 60_000), 1, 500, 0.5),
        ((1000, 60_000), 0, 0, None),
    ],
)
async def test_a_refusal_comes_before_the_stack_can_have_given_up(
    rto: tuple[int, int],
    attempts: int,
    longest: int,
    seconds: float | None,
    autojump_clock: MockClock,
) -> None:
    """A one-to-many socket does not say which it was."""
    endpoint, socket = await open_endpoint()
    socket.own[RtoInfo] = RtoInfo(initial=rto[0], max=rto[1], min=100)
    socket.own[InitMsg] = InitMsg(
        num_ostreams=1, max_instreams=1, max_attempts=attempts, max_init_timeo=longest
    )

    async def fail_after(seconds: float) -> int | None:
        async with trio.open_nursery() as nursery:
            failures: list[int | None] = []

            async def connect() -> None:
                with pytest.raises(ConnectFailed) as failed:
                    await endpoint.connect("192.0.2.9", 2905)
                failures.append(failed.value.errno)

            nursery.start_soon(connect)
            await trio.sleep(seconds)
            socket.arrive(change(socket.calls[-1][1], AssociationState.CANT_ASSOC))
        return failures[0]

    if seconds is None:
        assert await fail_after(1e6) == errno.ECONNREFUSED
    else:
        assert await fail_after(seconds - 0.25) == errno.ECONNREFUSED
        assert await fail_after(seconds) == errno.ETIMEDOUT


async def test_connect_returns_an_association_that_came_up_and_ended_before_it_could_look() -> None:
    endpoint, socket = await open_endpoint()
    connected = []

    async def connect() -> None:
        connected.append(await endpoint.connect("192.0.2.9", 2905))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connect)
        await wait_all_tasks_blocked()
        (_, id) = socket.calls[-1]
        socket.arrive(change(id, UP), change(id, LOST, error=12))
    end = await connected[0].wait_ended()
    assert (end.state, end.cause) == (LOST, 12)


async def test_connect_fails_if_the_association_ended_without_having_come_up() -> None:
    endpoint, socket = await open_endpoint()
    async with trio.open_nursery() as nursery:

        async def connect() -> None:
            with pytest.raises(ConnectFailed) as failed:
                await endpoint.connect("192.0.2.9", 2905)
            assert failed.value.errno == errno.ECONNREFUSED

        nursery.start_soon(connect)
        await wait_all_tasks_blocked()
        (_, id) = socket.calls[-1]
        socket.arrive(change(id, LOST))  # of whatever kind its end may be


@pytest.mark.parametrize("first", [True, False])
async def test_a_receiver_takes_over_from_one_that_may_read_no_further(
    first: bool, autojump_clock: MockClock
) -> None:
    """It completes a message that is larger than may be read ahead, at once.

    It comes when the store is full already, or waits while somebody else fills it.
    """
    endpoint, socket = await endpoint_with(ID)
    pieces = [trio_sctp._values.Piece(message(ID, bytes(2**13)))] * 600
    received: list[object] = []

    async def receive() -> None:
        received.append(await endpoint.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(endpoint.associations[ID].wait_ended)
        await wait_all_tasks_blocked()
        if first:
            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
        socket.arrive(*pieces, message(ID, b"end"))
        if not first:
            await trio.sleep(1)
            assert 0 < len(socket.arrivals) < 600
            nursery.start_soon(receive)
        await wait_all_tasks_blocked()
        (record,) = received
        assert isinstance(record, Message)
        assert len(record.data) == 600 * 2**13 + 3
        nursery.cancel_scope.cancel()


async def test_cancelled_at_every_checkpoint_nothing_is_lost_or_doubled() -> None:
    """Receivers of every kind are cancelled after each possible number of checkpoints."""
    endpoint, socket = await endpoint_with(ID)
    total = 600
    received: list[int] = []
    arrived = 0

    async def arrive() -> None:
        nonlocal arrived
        while arrived < total:
            socket.arrive(message(ID, b"%d" % arrived))
            arrived += 1
            await trio.lowlevel.checkpoint()

    def keep(record: object) -> None:
        if isinstance(record, Message):
            received.append(int(record.data))

    async def by_one() -> None:
        while True:
            keep(await endpoint.receive())

    async def by_batch() -> None:
        while True:
            for record in await endpoint.receive_batch(7):
                keep(record)

    async def by_credit() -> None:
        async with endpoint.active(2) as inbox:
            async for record in inbox:
                keep(record)
                if record == Passive():
                    inbox.grant(2)

    async def by_window() -> None:
        async with endpoint.active(Window(3)) as inbox:
            while True:
                for record in await inbox.receive_batch(2):
                    keep(record)

    receivers = (by_one, by_batch, by_credit, by_window)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(arrive)
        round = 0
        while len(received) < total:
            round += 1
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as inner:
                    inner.start_soon(receivers[round % 4])
                    for _ in range(round % 11):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()
    assert received == list(range(total))


async def test_out_of_descriptors_an_association_stays_first_in_the_queue() -> None:
    stack = FakeStack()
    listener = await trio_sctp.open_listener(2905, stack=stack)
    socket = stack.sockets[0]
    socket.arrive(change(ID, UP), message(ID, b"early"), change(ID + 1, UP))
    socket.peel_off_error = os_error(errno.EMFILE)
    for _ in range(3):
        with pytest.raises(OSError, match="Too many open files"):
            await listener.accept()
    socket.peel_off_error = None
    first, second = opened(await listener.accept()), opened(await listener.accept())
    assert (first.id, second.id) == (ID, ID + 1)
    assert (await first.receive()).data == b"early"
    await listener.aclose()


async def test_excess_associations_are_aborted_at_accept() -> None:
    stack = FakeStack()
    listener = opened(await trio_sctp.open_listener(2905, backlog=2, stack=stack))
    socket = stack.sockets[0]
    socket.arrive(*(change(ID + n, UP) for n in range(10)))
    accepted = [opened(await listener.accept()).id for _ in range(3)]
    assert accepted == [ID, ID + 1, ID + 2]
    assert [id for call, id in socket.calls if call == "abort"] == [ID + n for n in range(3, 10)]
    with trio.move_on_after(0.01) as nobody:
        await listener.accept()
    assert nobody.cancelled_caught
    await listener.aclose()


async def test_a_send_cancelled_while_it_waits_was_not_sent() -> None:
    endpoint, socket = await endpoint_with(ID)
    socket.room = 0
    with trio.move_on_after(0.01):
        await endpoint.send(b"cancelled", ID)
    async with trio.open_nursery() as nursery:
        for n in range(5):
            nursery.start_soon(endpoint.send, b"%d" % n, ID)
            await wait_all_tasks_blocked()
        socket.make_room(5)
    assert [data for _, data in socket.sent] == [b"%d" % n for n in range(5)]


async def test_a_blocked_sender_of_an_association_that_ended_unseen_is_told() -> None:
    """The sender finds out by itself, although nobody reads and the stack wakes nobody."""
    endpoint, socket = await endpoint_with(ID)
    socket.room = 0
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            with pytest.raises(AssociationLost) as lost:
                await endpoint.send(b"x", ID)
            assert lost.value.end.cause == 12

        nursery.start_soon(send)
        await wait_all_tasks_blocked()
        socket.arrive(change(ID, LOST, error=12))


async def test_a_blocked_sender_of_another_association_waits_behind_the_first() -> None:
    """They share the buffer: one waits for the stack, and wakes the other."""
    endpoint, socket = await endpoint_with(ID, ID + 1)
    socket.room = 0
    order: list[int] = []

    async def send(id: int) -> None:
        await endpoint.send(b"x", id)
        order.append(id)

    async with trio.open_nursery() as nursery:
        for id in ID, ID + 1:
            nursery.start_soon(send, id)
            await wait_all_tasks_blocked()
        assert endpoint.statistics().tasks_waiting_send == 2
        socket.make_room(1)
        await wait_all_tasks_blocked()
        assert order == [ID]
        assert endpoint.statistics().tasks_waiting_send == 1
        socket.make_room(1)
    assert order == [ID, ID + 1]
    assert [id for id, _ in socket.sent] == order


async def test_a_blocked_sender_behind_another_may_be_cancelled_or_lose_its_association() -> None:
    endpoint, socket = await endpoint_with(ID, ID + 1, ID + 2)
    socket.room = 0
    lost: list[int] = []

    async def send(id: int) -> None:
        try:
            await endpoint.send(b"x", id)
        except AssociationLost:
            lost.append(id)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send, ID)
        await wait_all_tasks_blocked()
        with trio.move_on_after(0.01) as scope:
            await send(ID + 1)
        assert scope.cancelled_caught
        async with trio.open_nursery() as inner:
            inner.start_soon(send, ID + 2)
            await wait_all_tasks_blocked()
            socket.arrive(change(ID + 2, LOST))
            inner.start_soon(endpoint.associations[ID + 2].wait_ended)
        assert lost == [ID + 2]
        socket.make_room(1)
    assert socket.sent == [(ID, b"x")]


async def test_a_blocked_sender_behind_another_finds_out_by_itself_too(
    autojump_clock: MockClock,
) -> None:
    """The one that waits for the stack goes on waiting."""
    endpoint, socket = await endpoint_with(ID, ID + 1)
    socket.room = 0
    lost: list[float] = []

    async def lose() -> None:
        with pytest.raises(AssociationLost):
            await endpoint.send(b"x", ID + 1)
        lost.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(endpoint.send, b"x", ID)
        await wait_all_tasks_blocked()
        nursery.start_soon(lose)
        await trio.sleep(1)
        socket.arrive(change(ID + 1, LOST))
        await trio.sleep(1)
        assert 0 <= lost[0] - (trio.current_time() - 1) <= 0.052
        nursery.cancel_scope.cancel()
    assert socket.sent == []


async def test_blocked_senders_try_again_unasked_and_less_often_the_more_there_are(
    autojump_clock: MockClock,
) -> None:
    """The kernel does not tell each time that there is room."""
    endpoint, socket = await endpoint_with(*range(ID, ID + 12))
    socket.room = 0
    waits: list[float] = []
    wait_writable = socket.wait_writable

    async def timed(id: int | None) -> None:
        began = trio.current_time()
        try:
            await wait_writable(id)
        finally:
            waits.append(round(trio.current_time() - began, 6))

    socket.wait_writable = timed  # type: ignore[method-assign, assignment]
    async with trio.open_nursery() as nursery:
        for id in range(ID, ID + 12):
            nursery.start_soon(endpoint.send, b"x", id)
        await wait_all_tasks_blocked()
        socket.make_room(1)  # one sends, and wakes one of the others
        await wait_all_tasks_blocked()
        assert len(socket.sent) == 1
        assert endpoint.statistics().tasks_waiting_send == 11
        socket.room = 3
        await trio.sleep(0.05)
        assert len(socket.sent) == 1
        await trio.sleep(0.02)
        assert len(socket.sent) == 4
        assert waits[1] == 0.06
        nursery.cancel_scope.cancel()


async def test_eof_with_a_message_on_a_half_open_association_waits_until_it_is_up() -> None:
    endpoint, socket = await open_endpoint()
    association = await endpoint.connect_init("192.0.2.9", 2905)
    id = association.id
    async with trio.open_nursery() as nursery:
        nursery.start_soon(endpoint.eof, id)
        await wait_all_tasks_blocked()
        assert ("shutdown", id) not in socket.calls
        socket.arrive(change(id, UP))
    assert socket.calls[-1] == ("shutdown", id)


async def test_senders_waiting_for_a_peeled_off_association_go_along() -> None:
    endpoint, socket = await endpoint_with(ID)
    socket.room = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(endpoint.send, b"moved", ID)
        await wait_all_tasks_blocked()
        channel = opened(endpoint.peeloff(ID))
    assert socket.peeled[ID].sent == [(ID, b"moved")]
    assert channel.id == ID


async def test_a_message_of_which_a_part_was_read_goes_along_when_it_is_peeled_off() -> None:
    endpoint, socket = await endpoint_with(ID, ID + 1)
    first, rest = message(ID, b"first, "), message(ID, b"rest")
    socket.arrive(trio_sctp._values.Piece(first), message(ID + 1, b"other"))
    record = await endpoint.receive()
    assert isinstance(record, Message)
    assert record.data == b"other"
    channel = opened(endpoint.peeloff(ID))
    socket.peeled[ID].arrive(rest)
    assert (await channel.receive()).data == b"first, rest"


async def test_one_that_ended_unseen_cannot_be_peeled_off_and_says_how_it_ended() -> None:
    endpoint, socket = await endpoint_with(ID)
    socket.arrive(change(ID, LOST, error=13))
    with pytest.raises(AssociationLost) as lost:
        endpoint.peeloff(ID)
    assert lost.value.end.cause == 13


async def test_peeling_off_takes_all_records_in_order_from_a_window_and_what_is_behind_it() -> None:
    endpoint, socket = await endpoint_with(ID, ID + 1)
    for n in range(10):
        socket.arrive(message(ID, b"%d" % n), message(ID + 1, b"%d" % n))
    async with endpoint.active(Window(4)) as inbox:
        await wait_all_tasks_blocked()
        channel = opened(endpoint.peeloff(ID))
        assert [m.data for m in await channel.receive_batch()] == [b"%d" % n for n in range(10)]
        rest: list[object] = []
        while len(rest) < 10:
            batch = await inbox.receive_batch()
            assert len(batch) <= 4
            rest += [(m.association_id, m.data) for m in batch if isinstance(m, Message)]
        assert rest == [(ID + 1, b"%d" % n) for n in range(10)]


# -- what one record costs beside many associations ------------------------------------------


async def receiving_beside(watchers: int) -> int:
    """Take the messages of one association, which the store is full of, beside idle ones."""
    ids = range(ID, ID + watchers)
    endpoint, socket = await endpoint_with(*ids)
    async with trio.open_nursery() as nursery:
        for id in ids:
            nursery.start_soon(endpoint.associations[id].wait_ended)
        await wait_all_tasks_blocked()
        socket.arrive(*(message(ID) for _ in range(3000)))
        await wait_all_tasks_blocked()
        with counted() as count:
            for _ in range(2500):
                await endpoint.receive()
        nursery.cancel_scope.cancel()
    return count.calls


async def test_receiving_costs_the_same_beside_many_watchers(autojump_clock: MockClock) -> None:
    few, many = await receiving_beside(10), await receiving_beside(1000)
    assert many < 1.1 * few


async def draining(associations: int) -> float:
    """Take what associations that have ended left behind; returns the calls for each record."""
    ids = range(ID, ID + associations)
    endpoint, socket = await endpoint_with(*ids)

    async def watch(id: int) -> None:
        async with endpoint.associations[id].while_up():
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for id in ids:
            nursery.start_soon(watch, id)
        await wait_all_tasks_blocked()
        for _ in range(20):
            socket.arrive(*map(message, ids))
        socket.arrive(*(change(id, DONE) for id in ids))
        await endpoint.receive()
        await wait_all_tasks_blocked()
        with counted() as count:
            for _ in range(21 * associations - 1):
                await endpoint.receive()
        await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1  # which handles the last record
        with trio.move_on_after(0):
            await endpoint.receive()
    return count.calls / associations


async def test_draining_many_associations_costs_the_same_for_each() -> None:
    few, many = await draining(20), await draining(1000)
    assert many < 1.1 * few
