"""The queue of a socket: what was read from the stack and has not been taken yet.

A record is in the stack, in the queue's ``store`` or in an inbox, never in a local variable while
its task may be suspended.  So no cancellation can lose one.
"""

from __future__ import annotations

import enum
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import trio

from .._values import Message, MessageDraft, PartialDeliveryAborted, Passive, Record, freeze
from .waiter import Waiter

if TYPE_CHECKING:
    from .tcb import Tcb

_NOTHING: Final[deque[Any]] = deque(maxlen=0)
"""Stands for an empty deque, each of which has room for 64 records: most stores are empty."""

_UNCOUNTED: Final[Counter[int]] = Counter()
"""Stands for what was never counted."""

STORE_RECORDS = 256
STORE_BYTES = 2**20
"""How far tasks that wait for a state may read ahead of those that take records."""


class Role(enum.Enum):
    """What a socket is to its program."""

    ENDPOINT = enum.auto()
    """Many associations share the queue; `Socket.receive` gives messages and events."""

    CHANNEL = enum.auto()
    """It carries one association; `Socket.receive` gives messages and drops events."""

    LISTENER = enum.auto()
    """Its associations are accepted, each with the records that came for it."""


class ActiveInbox(Protocol):
    """An inbox (active mode) as the queue that it takes records from sees it."""

    credit: int
    """Records that may still be delivered."""

    def fill(self) -> None:
        """Move records from the store into the inbox, as far as there is credit."""
        ...

    def deliver(self) -> None:
        """Move records as `fill` does, and read on if there is credit left."""
        ...

    def delivered(self) -> Iterable[Record]:
        """The delivered records that wait to be taken."""
        ...

    def extract(self, association_id: int) -> list[Record]:
        """Take out all delivered records of one association, in order."""
        ...

    def wake_all(self) -> None:
        """Let everybody who waits for the inbox look again."""
        ...


_SMALL: Final = 512
"""Bytes below which pieces are joined: each takes some 40 bytes beside its own, and a peer may send
pieces of two."""


class Partial:
    """A message of which only some pieces have arrived."""

    __slots__ = ("first", "parts", "size")

    def __init__(self, first: Message) -> None:
        self.first = first
        self.parts: list[bytes | bytearray] = [first.data]
        self.size = len(first.data)

    def add(self, data: bytes) -> None:
        """Add a piece that is not the last."""
        self.size += len(data)
        if len(data) >= _SMALL:
            self.parts.append(data)
            return
        last = self.parts[-1]
        if type(last) is bytearray:
            last += data
        else:
            self.parts.append(bytearray(data))

    def whole(self, last: Message) -> Message:
        """The whole message, given its last piece."""
        first = self.first
        draft = MessageDraft()
        draft.data = b"".join((*self.parts, last.data))
        draft.stream = first.stream
        draft.ppid = first.ppid
        draft.unordered = first.unordered
        draft.association_id = first.association_id
        draft.address = last.address
        draft.ssn = first.ssn
        draft.tsn = first.tsn
        draft.cumulative_tsn = last.cumulative_tsn
        draft.context = last.context
        draft.mid = first.mid
        return freeze(draft)


class Partials:
    """The messages of one association of which only some pieces have arrived.

    There are several at a time only where messages are interleaved.

    Attributes:
      size: Bytes of all pieces.
    """

    __slots__ = ("_messages", "size")

    def __init__(self) -> None:
        # By stream, by whether there is order, and by MID, where the stack tells it.
        self._messages: dict[tuple[int, bool, int | None], Partial] = {}
        self.size: int = 0

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, piece: Message) -> int:
        """Add a piece that is not the last; return the bytes that its message has by now."""
        key = piece.stream, piece.unordered, piece.mid
        partial = self._messages.get(key)
        if partial is None:
            partial = self._messages[key] = Partial(piece)
        else:
            partial.add(piece.data)
        self.size += len(piece.data)
        return partial.size

    def take(self, last: Message) -> Partial | None:
        """Take out the message of which this is the last piece, if it is not the only one."""
        return self._take((last.stream, last.unordered, last.mid))

    def _take(self, key: tuple[int, bool, int | None]) -> Partial | None:
        partial = self._messages.pop(key, None)
        if partial is not None:
            self.size -= partial.size
        return partial

    def drop(self, aborted: PartialDeliveryAborted) -> None:
        """Drop the message that will never be whole; an event about the only one need not say
        which it is."""
        if len(self._messages) == 1:
            self._messages.clear()
            self.size = 0
        else:
            self._take((aborted.stream, aborted.unordered, aborted.mid))


class Queue:
    """Records in arrival order, who takes them, and who waits for them to be taken."""

    def __init__(self, role: Role) -> None:
        self.store: deque[Record] = _NOTHING
        self.partials: dict[int, Partials] = {}  # by association id
        # A listener's: associations to accept.
        self.unaccepted: deque[Tcb] = deque() if role is Role.LISTENER else _NOTHING
        self.inbox: ActiveInbox | None = None
        self.receiver: Waiter | None = None  # the one task that takes records
        self.room_waiter: Waiter | None = None  # the reader, while the store is full for it
        self._messages_only = role is Role.CHANNEL
        self._receive_waiter = Waiter(state_only=False)
        # Who is to be told when all records of an association that has ended are taken, by its id;
        # and while there is somebody, how many there are of each association.
        self._leaving: dict[int, list[Callable[[], None]]] = {}
        self._unread: Counter[int] = _UNCOUNTED
        self.to_tell: list[Callable[[], None]] = []  # at the next receive call

    # -- what it holds -----------------------------------------------------------------------

    def room(self) -> bool:
        """Whether the store may be filled further ahead of those who take from it."""
        return len(self.store) < STORE_RECORDS and self.buffered_bytes() < STORE_BYTES

    def buffered_bytes(self) -> int:
        """Payload held for those who take records, that of incomplete messages included."""
        partial = sum(partial.size for partial in self.partials.values())
        return partial + sum(len(r.data) for r in self.store if type(r) is Message)

    def untaken(self) -> int:
        """How many records of the store a receiver would get."""
        if self._messages_only:
            return sum(type(record) is Message for record in self.store)
        return len(self.store)

    def put(self, records: Sequence[Record]) -> None:
        """Add records that were read from the stack."""
        if self.store is _NOTHING:
            self.store = deque(records)
        else:
            self.store.extend(records)
        if self._leaving:
            self._unread.update(self._ids(records))

    # -- taking ------------------------------------------------------------------------------

    def announce(self) -> None:
        """Deliver what was added to the store, or wake the task that takes it."""
        if self.inbox is not None:
            self.inbox.fill()
        elif self.receiver is not None and (self.store or self.unaccepted):
            self.receiver.wake()

    def begin_receive(self) -> Waiter:
        """Become the receiver, of which there is one at a time, and none while an inbox is open.

        The caller sets ``receiver`` to None when it is done.
        """
        if self.inbox is not None or self.receiver is not None:
            self.check_may_receive()
        self.receiver = self._receive_waiter
        return self.receiver

    def check_may_receive(self) -> None:
        """Refuse a second receiver, and any while an inbox is open."""
        if self.inbox is not None:
            raise trio.BusyResourceError("this socket is in active mode: read its inbox")
        if self.receiver is not None:
            raise trio.BusyResourceError("another task is already receiving from this socket")

    def has_some(self) -> bool:
        """Whether there is something to take; drops the events of a channel that stand before."""
        store = self.store
        if self._messages_only:
            while store and type(store[0]) is not Message:
                store.popleft()
                if not store:
                    self.store = _NOTHING
        return bool(store)

    def take(self, limit: int) -> list[Record]:
        """Take up to ``limit`` records; none if there are none."""
        store = self.store
        if not store or (type(store[0]) is not Message and not self.has_some()):
            return []
        records: list[Record]
        if limit == 1:
            records = [store.popleft()]
            if not store:
                self.store = _NOTHING
        else:
            if len(store) <= limit:
                records = list(store)
                self.store = _NOTHING
            else:
                records = [store.popleft() for _ in range(limit)]
            if self._messages_only:
                records = [record for record in records if type(record) is Message]
        if self.room_waiter is not None or self._leaving:  # as `awaited`, without a call
            self.records_taken(records)
        return records

    def extract(self, association_id: int) -> list[Record]:
        """Take out all records of one association, in order, also those in an open inbox."""
        records = [] if self.inbox is None else self.inbox.extract(association_id)
        records += [record for record in self.store if record.association_id == association_id]
        self.store = deque(
            record for record in self.store if record.association_id != association_id
        )
        if self.inbox is not None:
            self.inbox.deliver()
        self.records_taken(records)
        return records

    def move(self, association_id: int, other: Queue) -> None:
        """Move all that concerns an association to its new queue, behind which nothing stands."""
        told = self._leaving.pop(association_id, [])
        if records := self.extract(association_id):
            other.put(records)
        for tell in told:
            other.when_taken(association_id, tell)

    def wake_all(self) -> None:
        """Let everybody who takes records look again."""
        if self.receiver is not None:
            self.receiver.wake()
        if self.inbox is not None:
            self.inbox.wake_all()

    def put_back(self, records: Sequence[Record]) -> None:
        """Put records that were not taken after all before the others."""
        if records:
            self.store = deque((*records, *self.store))

    # -- being told that records are taken ---------------------------------------------------

    @property
    def awaited(self) -> bool:
        """Whether somebody has to be told that records were taken (`records_taken`)."""
        return self.room_waiter is not None or bool(self._leaving)

    def records_taken(self, records: Iterable[Record | Passive]) -> None:
        """Note that these were taken or dropped, from the store or from an inbox."""
        # To read on for each record that is taken would cost more than to receive it.
        if self.room_waiter is not None and 2 * len(self.store) <= STORE_RECORDS and self.room():
            self.room_waiter.nudge()
        if self._leaving:
            unread = self._unread
            for id in self._ids(records):
                unread[id] -= 1
                if not unread[id] and id in self._leaving:
                    self.to_tell += self._leaving.pop(id)

    def recount(self) -> None:
        """Count anew what is to be taken: an inbox has been opened, or left."""
        if self._leaving:
            self._count()
            for id in [id for id in self._leaving if not self._unread[id]]:
                self.to_tell += self._leaving.pop(id)

    def when_taken(self, association_id: int, tell: Callable[[], None]) -> None:
        """Have somebody told when all records of an association that has ended are handled.

        That is at the receive call after the one that took the last of them; at once if there are
        none.
        """
        if not self._leaving:
            self._count()
        if self._unread[association_id]:
            self._leaving.setdefault(association_id, []).append(tell)
        else:
            tell()

    def tell_no_more(self, association_id: int, tell: Callable[[], None]) -> None:
        """Undo `when_taken`."""
        told = self._leaving.get(association_id, [])
        if tell in told:
            told.remove(tell)
            if not told:
                del self._leaving[association_id]
        elif tell in self.to_tell:
            self.to_tell.remove(tell)

    def begin_receive_call(self) -> None:
        """Note that somebody receives: what was taken before is handled."""
        while self.to_tell:
            self.to_tell.pop()()

    def _ids(self, records: Iterable[Record | Passive]) -> list[int]:
        """The ids of records that somebody will take; a channel without an inbox drops events."""
        if self._messages_only and self.inbox is None:
            return [record.association_id for record in records if type(record) is Message]
        return [record.association_id for record in records if not isinstance(record, Passive)]

    def _count(self) -> None:
        self._unread = Counter(self._ids(self.store))
        if self.inbox is not None:
            self._unread.update(self._ids(self.inbox.delivered()))

    def close(self) -> None:
        """Drop what it holds and wake everybody who waits for it."""
        self.store = _NOTHING
        self.partials.clear()
        self.wake_all()
        for told in self._leaving.values():
            self.to_tell += told
        self._leaving.clear()
        self.begin_receive_call()
