"""What has arrived for programs, until they take it: a queue for each association and socket."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from .._values import Arrival


class Arrivals:
    """Messages and events in the order in which they came.

    Associations share one queue, named None, except those that were peeled off: each of them has
    one of its own, named by its id.  What an association has in the shared queue is kept apart from
    the start, so that taking it out costs no more than that.

    Attributes:
      fresh: Names of the queues to which something has come; whoever looks puts an empty set there.
    """

    __slots__ = ("_left_out", "_order", "_own", "_shared", "_unheard", "_waiting", "fresh")

    def __init__(self) -> None:
        self._shared: dict[int, deque[Arrival]] = {}  # those that are not empty, by association
        self._order: deque[int] = deque()  # the associations, once for each arrival
        self._left_out: dict[int, int] = {}  # how often an id stands there for nothing
        self._waiting = 0  # arrivals in the shared queue
        self._own: dict[int, deque[Arrival]] = {}
        self._unheard: set[int] = set()  # associations of which nobody wants to hear
        self.fresh: set[int | None] = set()

    def add(self, id: int, arrivals: Sequence[Arrival]) -> None:
        """Put what has come of an association at the end of its queue."""
        if self._unheard and id in self._unheard:
            return
        own = self._own.get(id)
        if own is not None:
            self.fresh.add(id)
            own.extend(arrivals)
            return
        self.fresh.add(None)
        queue = self._shared.get(id)
        if queue is None:
            queue = self._shared[id] = deque()
        queue.extend(arrivals)
        self._waiting += len(arrivals)
        if len(arrivals) == 1:
            self._order.append(id)
        else:
            self._order.extend([id] * len(arrivals))

    def take(self, name: int | None, limit: int) -> list[Arrival]:
        """Take the first arrivals of a queue, at most `limit` of them."""
        if name is not None:
            own = self._own[name]
            return [own.popleft() for _ in range(min(limit, len(own)))]
        taken: list[Arrival] = []
        order, shared = self._order, self._shared
        for _ in range(min(limit, self._waiting)):
            id = order.popleft()
            while self._left_out and self._is_left_out(id):
                id = order.popleft()
            queue = shared[id]
            taken.append(queue.popleft())
            if not queue:
                del shared[id]
        self._waiting -= len(taken)
        return taken

    def _is_left_out(self, id: int) -> bool:
        """Whether an id in the order stands for something that was taken out; then pass over it."""
        left = self._left_out.get(id, 0)
        if left > 1:
            self._left_out[id] = left - 1
        elif left:
            del self._left_out[id]
        return left > 0

    def waiting(self, name: int | None) -> Iterator[Arrival]:
        """Go over what a queue holds: of each association in order, one after the other."""
        if name is not None:
            yield from self._own.get(name, ())
        else:
            for queue in self._shared.values():
                yield from queue

    def count(self, name: int | None) -> int:
        """Return how many messages and events a queue holds."""
        return self._waiting if name is None else len(self._own.get(name, ()))

    def has_own(self, id: int) -> bool:
        """Return whether an association was peeled off."""
        return id in self._own

    def peel_off(self, id: int) -> None:
        """Give an association a queue of its own, and what of it is in the shared one."""
        own = self._shared.pop(id, None)
        if own is None:
            self._own[id] = deque()
            return
        self._own[id] = own
        self._left_out[id] = len(own)
        self._waiting -= len(own)
        if not self._waiting:
            self._order.clear()
            self._left_out.clear()

    def ignore(self, id: int) -> None:
        """Forget what comes of an association, whose program has gone."""
        self._unheard.add(id)

    def forget(self, id: int) -> None:
        """Note that an association has ended, so that nothing more comes of it."""
        self._unheard.discard(id)

    def drop(self, name: int | None) -> None:
        """Forget a queue that nobody will take from any more; the shared one is emptied."""
        if name is not None:
            self._own.pop(name, None)
            return
        self._shared.clear()
        self._order.clear()
        self._left_out.clear()
        self._waiting = 0
