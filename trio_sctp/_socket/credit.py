"""Active mode: records delivered as they arrive, against credit.

The arithmetic is that of gen_sctp's ``{active, N}``:

- Credit is a count from 0 to 32767.  Each delivered record, message or event, takes one.
- ``grant(n)`` adds n, which may be negative; a sum below 0 counts as 0.  A value out of range
  changes nothing.  Whenever a grant leaves no credit, a `Passive` is delivered.
- The record that takes the last credit is followed by a `Passive`.
- ``once()`` replaces the count by a credit for one record, which no `Passive` follows; nor does one
  announce that the count was dropped.

Credit is taken when a record moves from the queue's store into the inbox, without a checkpoint in
between.  The pump only reads: whoever takes in what was read makes the move (`Delivery.fill`).
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

import trio
from trio.lowlevel import enable_ki_protection

from .._checks import check_integer, shown
from .._frozen import Frozen, frozen
from .._values import Event, Message, Passive, Record
from .socket import Socket
from .waiter import Waiter

MAX_CREDIT = 32767
MIN_GRANT = -32768


class _Once(enum.Enum):
    ONCE = "once"

    def __repr__(self) -> str:
        return "trio_sctp.ONCE"


ONCE: Final = _Once.ONCE
"""Mode of an inbox that delivers one record and then waits for `Inbox.once` or `Inbox.grant`
(gen_sctp ``{active, once}``)."""


@frozen()
class Window(Frozen):
    """Mode of an inbox that never holds more than ``size`` records, 1 to 32767.

    Taking a record gives its credit back.  The safe form of gen_sctp's ``{active, true}``.
    """

    size: int

    def __post_init__(self) -> None:
        check_integer("Window.size", self.size, 1, MAX_CREDIT)


Mode: TypeAlias = int | Literal[_Once.ONCE] | Window
"""How much an inbox delivers, which is so many records, one, or all with so many waiting."""

R = TypeVar("R", bound=Message | Event)


class Delivery:
    """The inside of an `Inbox`: its credit, and the lanes that records are delivered to.

    To the queue it is the `ActiveInbox`.
    """

    def __init__(self, socket: Socket, mode: Mode, ended: Callable[[], None]) -> None:
        self.credit: int = 0
        self.left: bool = False  # the block was left, or the inbox closed
        self.socket: Socket = socket
        self.whole: Lane[Message | Event] = Lane(self, numbered=False)
        self._queue = socket.queue
        self._ended = ended  # raises if no record can come any more
        self._window = 0
        self._once = False  # the credit is for one record, without a `Passive`
        self._halves: tuple[Lane[Message | Passive], Lane[Event]] | None = None
        self._delivered = 0
        self._idle = False  # the pump waits for credit
        self._error: OSError | trio.BrokenResourceError | None = None  # of the pump
        self._pump_waiter = Waiter(state_only=False)
        if isinstance(mode, Window):
            self.credit = self._window = mode.size
        elif mode is ONCE:
            self.once()
        elif isinstance(mode, int) and not isinstance(mode, bool):
            self.grant(mode)
        else:
            raise TypeError(
                "mode must be an integer ({active, N}), ONCE ({active, once}) or a Window "
                f"({{active, true}}), not {shown(mode)}"
            )

    # -- credit ------------------------------------------------------------------------------

    def grant(self, n: int) -> None:
        """Add to the credit; see `Inbox.grant`."""
        if self._window:
            raise ValueError("a Window grants its own credit")
        check_integer("a grant", n, MIN_GRANT, MAX_CREDIT)
        count = 0 if self._once else self.credit
        if count + n > MAX_CREDIT:
            raise ValueError(f"credit must be at most {MAX_CREDIT}, not {count} and {n} more")
        self._once = False
        self.credit = max(count + n, 0)
        if self.credit == 0:
            self._put(Passive())
            self._pump_waiter.wake()
        else:
            self.deliver()

    def once(self) -> None:
        """Replace the credit by one for a single record; see `Inbox.once`."""
        if self._window:
            raise ValueError("a Window grants its own credit")
        self._once = True
        self.credit = 1
        self.deliver()

    def records_taken(self, records: Sequence[Record | Passive]) -> None:
        """Give a window's credit back, and tell those who wait until records are taken."""
        if self._queue.awaited:
            self._queue.records_taken(records)
        if self._window:
            self.credit += len(records)
            # To refill for every record would cost more than to receive it.
            if self.credit * 2 >= self._window:
                self.deliver()

    # -- delivering --------------------------------------------------------------------------

    def deliver(self) -> None:
        """Deliver what is there; with credit left, the pump waits for more."""
        self.fill()
        if self.credit and self._idle:
            self.look()
            if self.credit:
                self._pump_waiter.wake()

    def look(self) -> None:
        """Take in what has arrived, if there is credit for it.

        That costs less than to wake up the pump, and under load there is something.
        """
        if self.credit and not self.socket.nothing_to_come:
            self.socket.intake.read()

    def fill(self) -> None:
        """Move records from the store as far as there is credit."""
        store = self._queue.store
        if not store or not self.credit or self.left:
            return
        if self._halves is None:
            lane = self.whole
            moved = min(len(store), self.credit)
            if moved == len(store):
                lane.items.extend(store)
                store.clear()
            else:
                popleft, append = store.popleft, lane.items.append
                for _ in range(moved):
                    append(popleft())
            self.credit -= moved
            if lane.waiting:
                lane.waiting.unpark(count=moved)
        else:
            events_closed = self._halves[1].closed_because is not None
            dropped: list[Record] = []
            while store and self.credit:
                record = store.popleft()
                if not events_closed or isinstance(record, Message):
                    self.credit -= 1
                    self._put(record)
                else:
                    dropped.append(record)
            if dropped:
                self._queue.records_taken(dropped)
        if not self.credit:
            if not self._window and not self._once:
                self._put(Passive())
            self._pump_waiter.wake()
        if self._queue.room_waiter is not None:
            self._queue.records_taken(())

    def _put(self, item: Record | Passive) -> None:
        """Add an item to the lane that it belongs to."""
        self._delivered += 1
        if self._halves is None:
            self.whole.put(item, self._delivered)
        elif isinstance(item, (Message, Passive)):
            self._halves[0].put(item, self._delivered)
        else:
            self._halves[1].put(item, self._delivered)

    @enable_ki_protection
    async def pump(self) -> None:
        """Read while there is credit.  Never raises: an error goes to whoever receives."""
        waiter = self._pump_waiter
        socket = self.socket
        try:
            while not socket.nothing_to_come:
                if self.credit:
                    await socket.reader.wait(waiter)
                else:
                    self._idle = True
                    try:
                        await waiter.park()
                    finally:
                        self._idle = False
        except (OSError, trio.BrokenResourceError) as error:
            self._error = error
            self.wake_all()

    # -- what was delivered ------------------------------------------------------------------

    def _lanes(self) -> tuple[Lane[Any], ...]:
        return (self.whole,) if self._halves is None else (self.whole, *self._halves)

    def wake_all(self) -> None:
        """Let the pump and all receivers look again: no record may come any more."""
        self._pump_waiter.wake()
        for lane in self._lanes():
            lane.wake()

    def delivered(self) -> list[Record]:
        """The delivered records that wait to be taken."""
        return [
            item for lane in self._lanes() for item in lane.items if not isinstance(item, Passive)
        ]

    def extract(self, association_id: int) -> list[Record]:
        """Take out all records of one association, in order; they keep the credit they took."""
        extracted = self._take_out(
            lambda item: not isinstance(item, Passive) and item.association_id == association_id
        )
        if self._window:
            self.credit += len(extracted)  # else the window would be smaller for ever
        return extracted

    def _take_out(self, chosen: Callable[[Message | Event], bool]) -> list[Record]:
        """Take the chosen items out of all lanes; those that are records are returned, in order."""
        found: list[tuple[int, Record]] = []
        for lane in self._lanes():
            found += lane.take_out(chosen)
        return [record for _, record in sorted(found, key=lambda pair: pair[0])]

    def split(self) -> tuple[Lane[Message | Passive], Lane[Event]]:
        """Replace the one lane by two, of messages and of events."""
        self.whole.check()
        items = list(self.whole.items)
        self.whole.items.clear()
        messages: Lane[Message | Passive] = Lane(self, numbered=True)
        events: Lane[Event] = Lane(self, numbered=True)
        self._halves = (messages, events)
        for item in items:
            self._put(item)
        self.whole.close("this inbox was split: read its two channels")
        return self._halves

    def close_half(self, lane: Lane[Any]) -> None:
        """Receive no more from one of the two lanes; events are dropped, messages are kept."""
        lane.close("this channel was closed")
        if self._halves is None or lane is not self._halves[1]:
            return
        dropped = list(lane.items)
        lane.drop_all()
        if self._window:
            self.credit += len(dropped)
        self.deliver()
        self._queue.records_taken(dropped)

    # -- the end -----------------------------------------------------------------------------

    def check_open(self) -> None:
        """Raise if nothing can be received any more, whatever is there."""
        self.socket.check_open()
        if self.left:
            raise trio.ClosedResourceError("the block of this inbox was left")

    def check_more(self) -> None:
        """Raise if no record can come any more; what is there has been looked for."""
        if self._error is not None:
            raise self._error
        if not self._queue.store:
            self._ended()

    def leave(self) -> None:
        """End the delivery; what was not taken goes back to the front of the store."""
        if self.left:
            return
        self.left = True
        records = self._take_out(lambda item: True)
        self._queue.inbox = None
        if not self.socket.closing:
            self._queue.put_back(records)
            self._queue.recount()
        self.wake_all()


class Lane(Generic[R]):
    """Delivered records in arrival order, and the tasks that wait for them."""

    def __init__(self, delivery: Delivery, *, numbered: bool) -> None:
        self.items: deque[R] = deque()
        self.waiting: trio.lowlevel.ParkingLot = trio.lowlevel.ParkingLot()
        self.closed_because: str | None = None
        self._delivery = delivery
        self._queue = delivery.socket.queue
        # Places of the items in arrival order, if there is another lane.
        self._numbers: deque[int] | None = deque() if numbered else None

    def put(self, item: R, number: int) -> None:
        """Add an item; ``number`` is its place in arrival order."""
        self.items.append(item)
        if self._numbers is not None:
            self._numbers.append(number)
        self.waiting.unpark()

    def wake(self) -> None:
        """Let all tasks that wait look again."""
        self.waiting.unpark_all()

    def close(self, because: str) -> None:
        """Refuse to be received from."""
        self.closed_because = because
        self.wake()

    def check(self) -> None:
        """Raise if nothing can be received from here any more, whatever is there."""
        delivery = self._delivery
        if delivery.left or delivery.socket.closing:
            delivery.check_open()
        if self.closed_because is not None:
            raise trio.ClosedResourceError(self.closed_because)

    def _look(self) -> None:
        """Look for an item, also among what the stack holds."""
        self.check()
        if self._queue.to_tell:
            self._queue.begin_receive_call()
        if not self.items:
            self._delivery.look()

    def check_now(self) -> None:
        """Raise unless there is an item."""
        self._look()
        if not self.items:
            self._delivery.check_more()
            raise trio.WouldBlock

    async def wait(self) -> None:
        """Wait until there is an item, looking for what the stack holds first."""
        self._look()
        if self.items:
            await trio.lowlevel.checkpoint()
        while True:
            self.check()
            if self.items:
                return
            self._delivery.check_more()
            await self.waiting.park()

    def take(self) -> R:
        """Take the first item."""
        item = self.items.popleft()
        if self._numbers is not None:
            self._numbers.popleft()
        self._delivery.records_taken((item,))
        return item

    def take_batch(self, limit: int) -> list[R]:
        """Take up to ``limit`` items."""
        items = self.items
        if len(items) <= limit:
            batch = list(items)
            items.clear()
        else:
            batch = [items.popleft() for _ in range(limit)]
        if self._numbers is not None:
            for _ in batch:
                self._numbers.popleft()
        self._delivery.records_taken(batch)
        return batch

    def take_out(self, chosen: Callable[[R], bool]) -> list[tuple[int, Record]]:
        """Take the chosen items out; those that are records are returned, with their places."""
        found: list[tuple[int, Record]] = []
        kept: deque[R] = deque()
        kept_numbers: deque[int] = deque()
        numbers = self._numbers or range(len(self.items))
        for number, item in zip(numbers, self.items, strict=True):
            if not chosen(item):
                kept.append(item)
                kept_numbers.append(number)
            elif not isinstance(item, Passive):
                found.append((number, item))
        self.items = kept
        if self._numbers is not None:
            self._numbers = kept_numbers
        return found

    def drop_all(self) -> None:
        """Drop all items."""
        self.items.clear()
        if self._numbers is not None:
            self._numbers.clear()
