"""Active mode: records delivered as they arrive, against credit.

The arithmetic is gen_sctp's ``{active, N}``:

- Credit is a count from 0 to 32767.  Each delivered record, message or event, takes one.
- ``grant(n)`` adds n, which may be negative; a sum below 0 is 0.  What is out of range changes
  nothing.  Whenever a grant leaves no credit, a `Passive` is delivered.
- The record that takes the last credit is followed by a `Passive`.
- ``once()`` replaces the count by a credit for one record, which no `Passive` follows; neither does
  one announce that the count was dropped.

Credit is taken when a record moves from the socket's store into the inbox, without a checkpoint in
between.  The pump only reads: the move is made by whoever takes records in (`Inbox.fill`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Final, Generic, Literal, TypeAlias, TypeVar, final

import trio

from ._background import background
from ._socket.reader import Waiter
from ._socket.socket import Socket
from ._values import Event, Message, Passive, Record

MAX_CREDIT = 32767
MIN_GRANT = -32768

DEFAULT_BATCH = 256
"""Records in one batch at the most, unless asked otherwise."""


class _Once(enum.Enum):
    ONCE = "once"

    def __repr__(self) -> str:
        return "trio_sctp.ONCE"


ONCE: Final = _Once.ONCE
"""Mode of an inbox that delivers one record and then waits for `Inbox.once` or `Inbox.grant`
(gen_sctp ``{active, once}``)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """Mode of an inbox that never holds more than ``size`` records, 1 to 32767.

    Taking a record gives its credit back.  The safe form of gen_sctp's ``{active, true}``.
    """

    size: int

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or not 1 <= self.size <= MAX_CREDIT:
            raise ValueError(f"a Window holds 1 to {MAX_CREDIT} records, not {self.size!r}")


Mode: TypeAlias = int | Literal[_Once.ONCE] | Window

R = TypeVar("R", bound=Message | Event)


class _Lane(trio.abc.ReceiveChannel[R], Generic[R]):
    """Delivered records in arrival order, and the tasks that wait for them."""

    def __init__(self) -> None:
        self._items: deque[R] = deque()
        self._numbers: deque[int] | None = None  # their places in arrival order, when split
        self._waiting = trio.lowlevel.ParkingLot()
        self._closed = False

    def _check(self) -> None:
        """Raise if nothing can be received any more, whatever is there."""
        raise NotImplementedError

    def _check_more(self) -> None:
        """Raise if nothing is there and nothing can come any more."""
        raise NotImplementedError

    def _took(self, records: int) -> None:
        """That many items were taken."""
        raise NotImplementedError

    def _wake(self) -> None:
        self._waiting.unpark_all()

    def _put(self, item: R, number: int) -> None:
        self._items.append(item)
        if self._numbers is not None:
            self._numbers.append(number)
        self._waiting.unpark()

    def _look(self) -> None:
        """Take in what has arrived, without waiting for the pump."""
        raise NotImplementedError

    async def _wait(self) -> None:
        self._check()
        if not self._items:
            self._look()
        if self._items:
            await trio.lowlevel.checkpoint()
        while True:
            self._check()
            if self._items:
                return
            self._check_more()
            await self._waiting.park()

    async def receive(self) -> R:
        """Take the next record, waiting for it if need be.

        Returns:
          A `Message`, an event, or `Passive` when the credit is used up.

        Raises:
          trio.EndOfChannel: the association of a channel ended gracefully and all was taken.
          AssociationLost: it ended in another way and all was taken.
          trio.ClosedResourceError: you left the inbox's block, or closed its socket.

        Cancellation: nothing was taken.  Without credit it waits until some is granted.
        """
        await self._wait()
        item = self._items.popleft()
        if self._numbers is not None:
            self._numbers.popleft()
        self._took(1)
        return item

    async def receive_batch(self, limit: int = DEFAULT_BATCH) -> list[R]:
        """Take all that is there, at least one record, for the price of one checkpoint.

        Args:
          limit: Records at the most, 1 or more.

        Raises and cancellation: as `receive`.
        """
        check_limit(limit)
        await self._wait()
        items = self._items
        if len(items) <= limit:
            batch = list(items)
            items.clear()
        else:
            batch = [items.popleft() for _ in range(limit)]
        if self._numbers is not None:
            for _ in batch:
                self._numbers.popleft()
        self._took(len(batch))
        return batch

    async def aclose(self) -> None:
        """Close the channel; see `close`."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Receive no more from here."""
        self._closed = True
        self._wake()


@final
class Half(_Lane[R]):
    """One of the two channels of a split inbox: messages, or events.

    Closing the channel of events drops them, and they take no credit from then on.  Messages of a
    closed channel are kept for the next reader.
    """

    def __init__(self, inbox: Inbox) -> None:
        super().__init__()
        self._inbox = inbox
        self._numbers = deque()

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this channel was closed")
        self._inbox._check_open()

    def _check_more(self) -> None:
        self._inbox._check_more()

    def _look(self) -> None:
        self._inbox._look()

    def _took(self, records: int) -> None:
        self._inbox._took(records)

    def close(self) -> None:
        """Receive no more from here."""
        super().close()
        self._inbox._half_closed(self)


@final
class Inbox(_Lane[Message | Event]):
    """Records of an endpoint or channel in arrival order, delivered against credit.

    Made by ``active``; lives as long as that block.  See the user's guide on active mode.
    """

    def __init__(self, socket: Socket, mode: Mode, ended: Callable[[], None]) -> None:
        super().__init__()
        self._socket = socket
        self._ended = ended
        self._window = mode.size if isinstance(mode, Window) else 0
        self._once = False
        self._credit = self._window
        self._halves: tuple[Half[Message | Passive], Half[Event]] | None = None
        self._number = 0
        self._left = False
        self._idle = False  # the pump waits for credit
        self._error: OSError | None = None
        self._pump_waiter = Waiter(ahead=False)
        if mode is ONCE:
            self.once()
        elif not isinstance(mode, Window):
            self.grant(mode)

    # -- credit ------------------------------------------------------------------------------

    @property
    def credit(self) -> int:
        """Records that may still be delivered."""
        return self._credit

    def grant(self, n: int) -> None:
        """Add to the credit (gen_sctp ``{active, N}``).

        Args:
          n: -32768 to 32767.  A sum below 0 counts as 0, and a sum of 0 delivers a `Passive`,
            also when there was no credit before.

        Raises:
          ValueError: ``n``, or the sum, is out of range, or the mode is a `Window`; nothing
            changed.
        """
        if self._window:
            raise ValueError("a Window grants its own credit")
        if not isinstance(n, int) or isinstance(n, bool):
            raise TypeError(f"credit is granted as an integer, not {n!r}")
        count = 0 if self._once else self._credit
        if not MIN_GRANT <= n <= MAX_CREDIT:
            raise ValueError(f"grant takes {MIN_GRANT} to {MAX_CREDIT}, not {n}")
        if count + n > MAX_CREDIT:
            raise ValueError(f"credit is at most {MAX_CREDIT}: {count} and {n} are more")
        self._once = False
        self._credit = max(count + n, 0)
        if self._credit == 0:
            self._deliver(Passive())
            self._pump_waiter.wake()
        else:
            self._granted()

    def once(self) -> None:
        """Deliver one more record and no `Passive` (gen_sctp ``{active, once}``).

        Whatever credit there was is replaced.

        Raises:
          ValueError: the mode is a `Window`.
        """
        if self._window:
            raise ValueError("a Window grants its own credit")
        self._once = True
        self._credit = 1
        self._granted()

    def _granted(self) -> None:
        """Deliver what is there; the pump waits for the rest."""
        self._fill()
        if self._credit and self._idle:
            self._look()
            if self._credit:
                self._pump_waiter.wake()

    def _look(self) -> None:
        # It costs less than to wake up the pump, and under load there is something.
        if self._credit:
            self._socket.read_now()

    # -- delivery ----------------------------------------------------------------------------

    def _fill(self) -> None:
        """Move records from the store as far as there is credit."""
        store = self._socket.store
        if not store or not self._credit or self._left:
            return
        if self._halves is None:
            items = self._items
            moved = min(len(store), self._credit)
            if moved == len(store):
                items.extend(store)
                store.clear()
            else:
                popleft, append = store.popleft, items.append
                for _ in range(moved):
                    append(popleft())
            self._credit -= moved
            if self._waiting:
                self._waiting.unpark(count=moved)
        else:
            while store and self._credit:
                record = store.popleft()
                if not self._drops(record):
                    self._credit -= 1
                    self._deliver(record)
        if not self._credit:
            if not self._window and not self._once:
                self._deliver(Passive())
            self._pump_waiter.wake()
        if self._socket.attended:
            self._socket.records_taken()

    def _drops(self, record: Record) -> bool:
        assert self._halves is not None
        return self._halves[1]._closed and not isinstance(record, Message)

    def _deliver(self, item: Record | Passive) -> None:
        self._number += 1
        if self._halves is None:
            self._put(item, self._number)
            return
        messages, events = self._halves
        if isinstance(item, (Message, Passive)):
            messages._put(item, self._number)
        else:
            events._put(item, self._number)

    def _took(self, records: int) -> None:
        if self._window:
            self._credit += records
            # To refill for every record would cost more than to receive it.
            if self._credit * 2 >= self._window:
                self._granted()
        if self._socket.attended:
            self._socket.records_taken()

    async def _pump(self) -> None:
        """Read while there is credit.  Never raises: an error goes to whoever receives."""
        waiter = self._pump_waiter
        socket = self._socket
        try:
            while not socket.closing and not (socket.data_only and not socket.tcbs):
                if self._credit:
                    await socket.reader.wait(waiter)
                else:
                    self._idle = True
                    try:
                        await waiter.park()
                    finally:
                        self._idle = False
        except OSError as error:
            self._error = error
            self._wake_all()

    # -- the socket's side -------------------------------------------------------------------

    def _wake_all(self) -> None:
        """The socket was closed, or its association ended: let everybody look."""
        self._pump_waiter.wake()
        for lane in self._lanes():
            lane._wake()

    def _lanes(self) -> tuple[_Lane[Message | Event], ...]:
        return (self,) if self._halves is None else (self, *self._halves)  # type: ignore[return-value]

    def _holds(self, association_id: int) -> bool:
        """Whether delivered records of this association wait to be taken."""
        return any(
            not isinstance(item, Passive) and item.association_id == association_id
            for lane in self._lanes()
            for item in lane._items
        )

    def _extract(self, association_id: int) -> list[Record]:
        """Take out all records of one association, in order; they keep the credit they took."""
        extracted = self._take_out(
            lambda item: not isinstance(item, Passive) and item.association_id == association_id
        )
        if self._window:
            self._credit += len(extracted)  # it would shrink for ever
        return extracted

    def _take_out(self, chosen: Callable[[Message | Event], bool]) -> list[Record]:
        found: list[tuple[int, Record]] = []
        for lane in self._lanes():
            numbers = lane._numbers or range(len(lane._items))
            kept: deque[Message | Event] = deque()
            kept_numbers: deque[int] = deque()
            for number, item in zip(numbers, lane._items, strict=True):
                if not chosen(item):
                    kept.append(item)
                    kept_numbers.append(number)
                elif not isinstance(item, Passive):
                    found.append((number, item))
            lane._items = kept
            if lane._numbers is not None:
                lane._numbers = kept_numbers
        return [record for _, record in sorted(found, key=lambda pair: pair[0])]

    def _leave(self) -> None:
        """The block was left: what was not taken goes back to the front of the store."""
        self._left = True
        records = self._take_out(lambda item: True)
        self._socket.inbox = None
        if not self._socket.closing:
            self._socket.store.extendleft(reversed(records))
        self._wake_all()

    # -- receiving ---------------------------------------------------------------------------

    def _check_open(self) -> None:
        self._socket.check_open()
        if self._left:
            raise trio.ClosedResourceError("the block of this inbox was left")

    def _check(self) -> None:
        if self._left or self._socket.closing:
            self._check_open()
        if self._halves is not None:
            raise trio.ClosedResourceError("this inbox was split: read its two channels")

    def _check_more(self) -> None:
        if self._error is not None:
            raise self._error
        if not self._socket.store:
            self._ended()

    def close(self) -> None:
        """Stop delivery; what was not taken goes back to the next reader."""
        super().close()
        if not self._left:
            self._leave()

    def split(
        self,
    ) -> tuple[trio.abc.ReceiveChannel[Message | Passive], Half[Event]]:
        """Put two channels in the place of this one, for a program with a task for each.

        Returns:
          A channel of messages, on which `Passive` comes too, and a channel of events.  Closing
          the latter drops events, which then take no credit.  Credit stays with the inbox, which
          itself can no longer be received from.

        Raises:
          trio.ClosedResourceError: it is split already, or its block was left.
        """
        self._check()
        items = list(self._items)
        self._items.clear()
        self._halves = (Half(self), Half(self))
        for item in items:
            self._deliver(item)
        self._wake()
        return self._halves

    def _half_closed(self, half: object) -> None:
        if self._halves is None or half is not self._halves[1]:
            return
        events = self._halves[1]
        if self._window:
            self._credit += len(events._items)
        events._items.clear()
        assert events._numbers is not None
        events._numbers.clear()
        self._granted()
        self._socket.records_taken()


def check_limit(limit: int) -> None:
    """Refuse a batch of nothing."""
    if not isinstance(limit, int) or limit < 1:
        raise ValueError(f"a batch has a limit of 1 or more, not {limit!r}")


@contextlib.asynccontextmanager
async def open_inbox(
    socket: Socket, mode: Mode, ended: Callable[[], None]
) -> AsyncGenerator[Inbox, None]:
    """Deliver a socket's records to an inbox for the length of a block."""
    socket.begin_receive()
    try:
        inbox = socket.inbox = Inbox(socket, mode, ended)
    finally:
        socket.end_receive()
    try:
        async with background(inbox._pump, "trio_sctp inbox"):
            inbox._fill()
            yield inbox
    finally:
        if not inbox._left:
            inbox._leave()
