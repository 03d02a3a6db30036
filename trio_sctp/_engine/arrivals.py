"""What has arrived for programs, until they take it: a queue for each association."""

from __future__ import annotations

import dataclasses
from collections import deque
from itertools import repeat
from typing import Final, TypeAlias

from .._values import (
    Address,
    Arrival,
    AssociationChange,
    AssociationReset,
    AssociationState,
    FailedFragment,
    MessageDraft,
    Notification,
    Piece,
    RemoteError,
    StreamChange,
    StreamReset,
    abort_reason_untrusted,
    freeze,
)
from .account import EVENT_COST, Share
from .parts import CHUNK_COST, Parts, cost_of
from .tsn import MASK
from .wire import DATA_CHUNK, DATA_OVERHEAD, I_DATA_CHUNK, I_DATA_OVERHEAD, UNORDERED

_STALE: Final = 64
"""Entries that an order may have for nothing, beside as many as it has for something."""


class Beginning:
    """Chunks at the beginning or in the middle of a message, whose end has not arrived.

    The first may be the header of the message's first chunk only.
    """

    __slots__ = ("parts",)

    def __init__(self, parts: list[bytes]) -> None:
        self.parts: list[bytes] = parts


_Item: TypeAlias = bytes | list[bytes] | Beginning | Notification | FailedFragment | Address

_RECONFIGURED: Final = (StreamReset, AssociationReset, StreamChange)
_NUMBER_COST: Final = 40  # bytes that a number takes in an event

_NOTHING: Final[deque[_Item]] = deque(maxlen=0)
"""Stands for an empty queue: a deque has room for 64 items, and most associations are idle."""


class Unread:
    """The messages and events of one association that nobody has taken, in order.

    Messages are kept as chunks: a `Message` is made when somebody takes it.

    Attributes:
      id: The association's.
      source: The peer's transport address that the packet at hand came from.
      cumulative: The cumulative TSN when the latest message was delivered.
      context: What the program knows the association by.
      count: Number of messages, pieces and events.
      messages: Bytes of memory that the messages and pieces take.
      events: Bytes of memory that the events take.
      errors: The part of `events` that errors take which the peer has reported.
      reconfigured: The part of `events` that tells of streams that were reset or added.
      own: Whether the association was peeled off, and others do not share its queue.
      closed: Whether nobody will take anything any more: what comes is dropped.
      ended: Whether the association has ended.
      share: Its share of the account, while it is counted.
    """

    __slots__ = (
        "_arrivals",
        "_items",
        "_last_source",
        "_restarted",
        "_taken_source",
        "closed",
        "context",
        "count",
        "cumulative",
        "ended",
        "errors",
        "events",
        "id",
        "messages",
        "own",
        "reconfigured",
        "share",
        "source",
    )

    def __init__(self, arrivals: Arrivals, id: int) -> None:
        self.id: int = id
        self.source: Address = ("", 0)
        self.cumulative: int = 0
        self.context: int = 0
        self.count: int = 0
        self.messages: int = 0
        self.events: int = 0
        self.errors: int = 0
        self.reconfigured: int = 0
        self.own: bool = False
        self.closed: bool = False
        self.ended: bool = False
        self.share: Share | None = None
        self._arrivals: Arrivals = arrivals
        self._items: deque[_Item] = _NOTHING
        # Where a message came from is kept once for all that came from there: as an item that
        # precedes them.
        self._last_source: Address | None = None
        self._taken_source: Address = self.source
        self._restarted: bool = False  # a RESTART is unread, and no message has come since

    # -- adding ---

    def deliver(self, parts: Parts | Beginning) -> None:
        """Add a message, or a piece of one."""
        if self.closed:
            return
        if self._items is _NOTHING:
            self._items = deque()
        if self.source is not self._last_source:
            self._last_source = self.source
            self._items.append(self.source)
        self._items.append(parts)
        self.count += 1
        if isinstance(parts, bytes):
            self.messages += len(parts) + CHUNK_COST
        else:
            self.messages += cost_of(parts.parts if isinstance(parts, Beginning) else parts)
        self._restarted = False
        # As in `report`, without a call for each message.
        arrivals = self._arrivals
        arrivals.fresh_count += 1
        if self.own:
            arrivals.fresh.add(self.id)
        else:
            arrivals.order.append(self)
            arrivals.shared += 1
            arrivals.fresh.add(None)

    def deliver_piece(self, parts: list[bytes]) -> None:
        """Add a piece of a message; it is joined to the piece before if nobody has taken that.

        The first part is a chunk, or the header of one that stands for the pieces before.
        """
        last = self._items[-1] if self._items else None
        # The TSN of its first chunk tells a message from all others.
        if type(last) is Beginning and last.parts[0][4:8] == parts[0][4:8]:
            more = parts[1:]
            last.parts += more
            self.messages += cost_of(more)
        else:
            self.deliver(Beginning(parts))

    def report(self, event: Notification | FailedFragment) -> None:
        """Add an event.

        Of several restarts between which no message has come, only the first is reported: a peer
        could otherwise fill the queue with them.
        """
        if self.closed:
            return
        if type(event) is AssociationChange and event.state == AssociationState.RESTART:
            if self._restarted:
                return
            self._restarted = True
        cost = event_cost(event)
        if type(event) is RemoteError:
            self.errors += cost
        elif type(event) in _RECONFIGURED:
            self.reconfigured += cost
        self.events += cost
        if self._items is _NOTHING:
            self._items = deque()
        self._items.append(event)
        self.count += 1
        arrivals = self._arrivals
        arrivals.fresh_count += 1
        if self.own:
            arrivals.fresh.add(self.id)
        else:
            arrivals.order.append(self)
            arrivals.shared += 1
            arrivals.fresh.add(None)

    # -- taking ---

    def take(self) -> Arrival:
        """Take the first; there has to be one."""
        item = self._items.popleft()
        kind = type(item)
        if kind is tuple:
            self._taken_source = item  # type: ignore[assignment]
            item = self._items.popleft()
            kind = type(item)
        self.count -= 1
        if not self.count:
            self._items = _NOTHING
        if kind is bytes:
            first: bytes = item  # type: ignore[assignment]
            self.messages -= len(first) + CHUNK_COST
            payload = first[DATA_OVERHEAD:]
        elif kind is list or kind is Beginning:
            parts: list[bytes] = item if kind is list else item.parts  # type: ignore[assignment, union-attr]
            self.messages -= cost_of(parts)
            first = parts[0]
            overhead = DATA_OVERHEAD if first[0] == 0 else I_DATA_OVERHEAD
            payload = b"".join([part[overhead:] for part in parts])
        else:
            return self._event(item)  # type: ignore[arg-type]
        draft = MessageDraft()
        draft.data = payload
        interleaved, flags, _, draft.tsn, draft.stream, draft.ssn, draft.ppid = (
            DATA_CHUNK.unpack_from(first)
        )
        draft.unordered = flags & UNORDERED != 0
        draft.association_id = self.id
        draft.address = self._taken_source
        draft.cumulative_tsn = self.cumulative & MASK
        draft.context = self.context
        draft.mid = None
        if interleaved:  # its type: that of DATA is 0
            *_, mid, draft.ppid = I_DATA_CHUNK.unpack_from(first)
            draft.mid, draft.ssn = mid, mid & 0xFFFF
            if kind is bytes:
                draft.data = payload[I_DATA_OVERHEAD - DATA_OVERHEAD :]
        if kind is Beginning:
            return Piece(freeze(draft))
        return freeze(draft)

    def _event(self, event: Notification | FailedFragment) -> Notification | FailedFragment:
        cost = event_cost(event)
        self.events -= cost
        if type(event) is RemoteError:
            self.errors -= cost
        elif type(event) in _RECONFIGURED:
            self.reconfigured -= cost
        elif type(event) is AssociationChange:
            if event.state == AssociationState.RESTART:
                self._restarted = False
            elif event.info:
                # The reason is a part of the causes, and may be long: it is not kept twice.
                return dataclasses.replace(event, reason=abort_reason_untrusted(event.info))
        return event

    # -- dropping ---

    def give_up(self) -> None:
        """Forget the messages, and what the peer wrote into events; what happened is kept.

        If the program has not even heard of the association, nothing is: it never will.
        """
        first = self._items[0] if self._items else None
        if type(first) is AssociationChange and first.state == AssociationState.COMM_UP:
            self.close()
            return
        kept: deque[_Item] = deque()
        count = self.events = self.errors = self.messages = self.reconfigured = 0
        for item in self._items:
            if type(item) in (bytes, list, Beginning, tuple, RemoteError):
                continue
            if type(item) is AssociationChange and item.info:
                item = dataclasses.replace(item, info=b"")
            kept.append(item)
            count += 1
            cost = event_cost(item)  # type: ignore[arg-type]
            self.events += cost
            if type(item) in _RECONFIGURED:
                self.reconfigured += cost
        self._items = kept
        self._last_source = None
        dropped, self.count = self.count - count, count
        if not self.own:
            self._arrivals.leave_out(dropped)

    def close(self) -> None:
        """Forget all, and what is still to come."""
        self.closed = True
        self._items = _NOTHING
        dropped = self.count
        self.count = self.messages = self.events = self.errors = self.reconfigured = 0
        if not self.own:
            self._arrivals.leave_out(dropped)


class Arrivals:
    """Messages and events of all associations of an endpoint.

    Associations share one order, in which the endpoint's program takes them, except those that were
    peeled off.

    Attributes:
      fresh: For which associations that were peeled off something has come, and None for the
        others; whoever looks puts an empty set there.
      fresh_count: How many have come since then.
      order: Whose the next one is, for each that is to be taken; some entries are stale, because
        their association was peeled off or has nothing left.
      shared: How many can be taken of those that are not peeled off.
    """

    __slots__ = ("_unread", "fresh", "fresh_count", "order", "shared")

    def __init__(self) -> None:
        self._unread: dict[int, Unread] = {}
        self.fresh: set[int | None] = set()
        self.fresh_count: int = 0
        self.order: deque[Unread] = deque()
        self.shared: int = 0

    def open(self, id: int) -> Unread:
        """Return the queue of a new association."""
        unread = self._unread[id] = Unread(self, id)
        return unread

    def of(self, id: int) -> Unread | None:
        """Return the queue of an association, while there is one."""
        return self._unread.get(id)

    def forget(self, unread: Unread) -> None:
        """Remove the queue of an association that has ended."""
        self._unread.pop(unread.id, None)

    def count(self, id: int | None) -> int:
        """Return how many messages and events can be taken: of an association that was peeled off,
        or of the others."""
        if id is None:
            return self.shared
        unread = self._unread.get(id)
        return 0 if unread is None else unread.count

    def take(self, limit: int, id: int | None, read: dict[Unread, None]) -> list[Arrival]:
        """Take at most ``limit`` messages and events, and add to ``read`` whose they are."""
        taken: list[Arrival] = []
        if id is not None:
            own = self._unread.get(id)
            if own is not None and own.count:
                taken = [own.take() for _ in repeat(None, min(limit, own.count))]
                read[own] = None
            return taken
        order = self.order
        latest: Unread | None = None
        while order and len(taken) < limit:
            unread = order.popleft()
            if unread.own or not unread.count:
                continue
            self.shared -= 1
            taken.append(unread.take())
            if unread is not latest:
                latest = unread
                read[unread] = None
        return taken

    def peel_off(self, id: int) -> None:
        """Keep what comes for an association, and what is there, apart from the others'."""
        unread = self._unread[id]
        if unread.own:
            return
        unread.own = True
        self.leave_out(unread.count)

    def leave_out(self, count: int) -> None:
        """Note that so many of those that are not peeled off will not be taken after all."""
        self.shared -= count
        if len(self.order) > 2 * self.shared + _STALE:
            left: dict[Unread, int] = {}
            order: deque[Unread] = deque()
            for unread in self.order:
                known = left.get(unread, -1)
                if known < 0:
                    known = 0 if unread.own else unread.count
                if known:
                    order.append(unread)
                left[unread] = known - 1 if known else 0
            self.order = order

    def drop(self, id: int | None) -> list[Unread]:
        """Forget what nobody will take any more, now and later; return whose it was."""
        if id is None:
            dropped = [unread for unread in self._unread.values() if not unread.own]
        else:
            dropped = [self._unread[id]] if id in self._unread else []
        for unread in dropped:
            unread.close()
        return dropped


def event_cost(event: Notification | FailedFragment) -> int:
    """Return the bytes of memory that an event takes, as far as a peer is the cause.

    What a message contains that could not be delivered is the program's own.
    """
    if type(event) is AssociationChange:
        return EVENT_COST + len(event.info)
    if type(event) is RemoteError:
        return EVENT_COST + len(event.data)
    if type(event) is StreamReset:
        return EVENT_COST + _NUMBER_COST * len(event.streams)
    return EVENT_COST
