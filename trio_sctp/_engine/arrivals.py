"""What has arrived for programs, until they take it: a queue for each socket."""

from __future__ import annotations

from collections import deque

from .._values import Arrival, Piece


class Arrivals:
    """Messages and events in the order in which they came.

    Associations share one queue, named None, except those that were peeled off: each of them has
    one of its own, named by its id.

    Attributes:
      fresh: Names of the queues to which something has come; whoever looks puts an empty set there.
    """

    __slots__ = ("_own", "_shared", "fresh")

    def __init__(self) -> None:
        self._shared: deque[Arrival] = deque()
        self._own: dict[int, deque[Arrival]] = {}
        self.fresh: set[int | None] = set()

    def queue_for(self, id: int) -> deque[Arrival]:
        """Return the queue to which something of an association is going to be added."""
        own = self._own.get(id)
        if own is None:
            self.fresh.add(None)
            return self._shared
        self.fresh.add(id)
        return own

    def queue(self, name: int | None) -> deque[Arrival]:
        """Return a queue, to take from."""
        return self._shared if name is None else self._own[name]

    def count(self, name: int | None) -> int:
        """Return how many messages and events a queue holds."""
        return len(self._shared if name is None else self._own.get(name, ()))

    def has_own(self, id: int) -> bool:
        """Return whether an association was peeled off."""
        return id in self._own

    def peel_off(self, id: int) -> None:
        """Give an association a queue of its own, and what of it is in the shared one."""
        own: deque[Arrival] = deque()
        rest: deque[Arrival] = deque()
        for arrival in self._shared:
            (own if _association_of(arrival) == id else rest).append(arrival)
        self._shared = rest
        self._own[id] = own

    def drop(self, name: int | None) -> None:
        """Forget a queue that nobody will take from any more; the shared one is emptied."""
        if name is None:
            self._shared.clear()
        else:
            self._own.pop(name, None)


def _association_of(arrival: Arrival) -> int:
    if isinstance(arrival, Piece):
        return arrival.message.association_id
    return arrival.association_id
