"""The queue of a socket alone: what it gives to whom, and whom it tells."""

from __future__ import annotations

import tracemalloc
from functools import partial

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_sctp import AssociationState, Message
from trio_sctp._socket.queue import STORE_BYTES, STORE_RECORDS, Partials, Queue, Role
from trio_sctp._socket.waiter import Waiter
from trio_sctp._values import Record

from ..support.fake_stack import change, message

ID, OTHER = 100, 101
EVENT = change(ID, AssociationState.COMM_UP)


class StubInbox:
    """An inbox with the records that a test gives it."""

    def __init__(self, *records: Record) -> None:
        self.credit = 0
        self.records = list(records)

    def fill(self) -> None:
        pass

    def deliver(self) -> None:
        pass

    def wake_all(self) -> None:
        pass

    def delivered(self) -> list[Record]:
        return self.records

    def extract(self, association_id: int) -> list[Record]:
        found = [record for record in self.records if record.association_id == association_id]
        self.records = [record for record in self.records if record not in found]
        return found


@pytest.mark.parametrize("limit", [1, 2, 256])
def test_a_channel_takes_messages_and_an_endpoint_everything(limit: int) -> None:
    records: list[Record] = [EVENT, message(ID, b"1"), EVENT, message(ID, b"2"), EVENT]
    for role, wanted in [
        (Role.CHANNEL, [record for record in records if isinstance(record, Message)]),
        (Role.ENDPOINT, records),
    ]:
        queue = Queue(role)
        queue.put(records)
        taken: list[Record] = []
        while batch := queue.take(limit):
            assert len(batch) <= limit
            taken += batch
        assert taken == wanted
        assert not queue.store


def test_room_ends_with_the_records_or_with_the_bytes_of_whole_and_incomplete_messages() -> None:
    queue = Queue(Role.ENDPOINT)
    queue.put([message(ID) for _ in range(STORE_RECORDS - 1)])
    assert queue.room()
    queue.put([EVENT])
    assert not queue.room()
    queue.take(STORE_RECORDS)
    queue.put([message(ID, bytes(STORE_BYTES // 2))])
    queue.partials[ID] = Partials()
    queue.partials[ID].add(message(ID, bytes(STORE_BYTES // 2 - 1)))
    assert queue.room()
    queue.partials[ID].add(message(ID, b"x"))
    assert not queue.room()


def test_a_message_takes_its_own_bytes_however_small_its_pieces_are() -> None:
    """`max_message_size` is a bound on memory: a peer chooses the size of the pieces."""
    sizes = [2, 600, 1] * 10 + [2] * 50_000 + [600, 2, 600]
    pieces = [bytes([number & 0xFF]) * size for number, size in enumerate(sizes)]
    partials = Partials()
    tracemalloc.start()
    try:
        for number, size in enumerate(sizes):
            data = bytes([number & 0xFF]) * size
            assert partials.add(message(ID, data)) == partials.size
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 2 * partials.size + 10_000
    whole = partials.take(message(ID, b"last"))
    assert whole is not None
    assert whole.whole(message(ID, b"last")).data == b"".join(pieces) + b"last"


def test_extract_puts_what_was_delivered_before_what_waits_and_leaves_the_others() -> None:
    queue = Queue(Role.ENDPOINT)
    queue.inbox = StubInbox(message(ID, b"1"), message(OTHER, b"a"))
    queue.put([message(OTHER, b"b"), message(ID, b"2"), EVENT])
    assert queue.extract(ID) == [message(ID, b"1"), message(ID, b"2"), EVENT]
    assert list(queue.store) == [message(OTHER, b"b")]
    assert queue.inbox.delivered() == [message(OTHER, b"a")]


def test_what_an_association_left_is_handled_at_the_receive_call_after_the_last_record() -> None:
    queue = Queue(Role.ENDPOINT)
    inbox = queue.inbox = StubInbox(message(ID))
    queue.put([message(ID), message(OTHER), message(ID)])
    told: list[str] = []
    queue.when_taken(ID, lambda: told.append("first"))
    queue.when_taken(ID, lambda: told.append("second"))
    queue.put([message(OTHER)])
    for _ in range(4):
        queue.begin_receive_call()
        queue.take(1)
    queue.records_taken([inbox.records.pop()])
    assert told == []
    queue.begin_receive_call()
    assert sorted(told) == ["first", "second"]
    assert not queue.awaited
    queue.when_taken(ID, lambda: told.append("at once"))
    assert told[2:] == ["at once"]


def test_whoever_waits_no_more_is_told_no_more() -> None:
    queue = Queue(Role.ENDPOINT)
    told: list[str] = []
    tell = partial(told.append, "told")
    queue.put([message(ID)])
    queue.when_taken(ID, tell)
    queue.tell_no_more(ID, tell)
    assert not queue.awaited
    queue.when_taken(ID, tell)
    queue.take(1)
    queue.tell_no_more(ID, tell)
    queue.begin_receive_call()
    assert told == []


def test_events_of_a_channel_count_only_while_an_inbox_takes_them() -> None:
    queue = Queue(Role.CHANNEL)
    told: list[str] = []
    queue.put([message(ID), EVENT])
    queue.when_taken(ID, partial(told.append, "told"))
    queue.inbox = inbox = StubInbox()
    queue.recount()
    queue.records_taken([queue.store.popleft()])
    queue.begin_receive_call()
    assert told == []
    queue.inbox = None
    queue.recount()
    queue.begin_receive_call()
    assert told == ["told"]
    assert not inbox.records


def test_whoever_waits_follows_an_association_to_its_new_queue() -> None:
    queue, other = Queue(Role.ENDPOINT), Queue(Role.CHANNEL)
    told: list[str] = []
    queue.put([message(ID), message(OTHER)])
    queue.when_taken(ID, partial(told.append, "told"))
    queue.move(ID, other)
    queue.begin_receive_call()
    assert told == []
    assert other.take(2) == [message(ID)]
    other.begin_receive_call()
    assert told == ["told"]


async def test_closing_lets_nobody_wait_for_what_was_dropped() -> None:
    queue = Queue(Role.CHANNEL)
    queue.put([message(ID)])
    receiver = queue.begin_receive()
    told: list[str] = []
    queue.when_taken(ID, partial(told.append, "told"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receiver.park)
        await wait_all_tasks_blocked()
        queue.close()
    assert receiver.woken
    assert told == ["told"]
    assert not queue.store


async def test_a_reader_behind_a_full_store_is_told_when_half_of_it_is_taken() -> None:
    queue = Queue(Role.ENDPOINT)
    queue.put([message(ID) for _ in range(STORE_RECORDS)])
    queue.room_waiter = Waiter(state_only=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.room_waiter.park)
        await wait_all_tasks_blocked()
        queue.take(STORE_RECORDS // 2 - 1)
        assert queue.room_waiter.parked
        queue.take(1)
        assert not queue.room_waiter.parked


async def test_a_reader_is_not_told_while_the_bytes_of_the_store_leave_no_room() -> None:
    queue = Queue(Role.ENDPOINT)
    queue.put([message(ID, bytes(STORE_BYTES // 2)) for _ in range(3)])
    queue.room_waiter = Waiter(state_only=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.room_waiter.park)
        await wait_all_tasks_blocked()
        queue.take(1)
        assert queue.room_waiter.parked
        queue.take(1)
        assert not queue.room_waiter.parked
