"""The earliest of many timers, nearly all of which are put off before they expire."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from math import inf


class Deadlines:
    """The deadlines of many owners, each known by an id, and which of them comes next.

    Nearly every packet puts a timer off.  That costs a comparison: the old entry of the timer stays
    in the heap, and is looked at when its time has come.
    """

    __slots__ = ("_changed", "_deadline_of", "_heap", "_scheduled")

    def __init__(self, deadline_of: Callable[[int], float]) -> None:
        """Start without deadlines.

        Args:
          deadline_of: Returns the deadline of an id; it is called for ids that `update` named and
            that were not forgotten since.
        """
        self._deadline_of = deadline_of
        self._heap: list[tuple[float, int]] = []  # some entries are stale
        self._scheduled: dict[int, float] = {}  # the entry of each id that is not stale
        self._changed: set[int] = set()  # ids to look at, once for many packets in a row

    def __len__(self) -> int:
        return len(self._heap)

    def update(self, id: int) -> None:
        """Note that the deadline of an id may have changed."""
        self._changed.add(id)

    def _settle(self) -> None:
        """Bring the heap up to date with deadlines that have come nearer."""
        scheduled = self._scheduled
        for id in self._changed:
            deadline = self._deadline_of(id)
            if deadline < scheduled.get(id, inf):
                scheduled[id] = deadline
                heapq.heappush(self._heap, (deadline, id))
        self._changed.clear()
        if len(self._heap) > 2 * len(scheduled) + 64:
            self._heap[:] = [(deadline, id) for id, deadline in scheduled.items()]
            heapq.heapify(self._heap)

    def forget(self, id: int) -> None:
        """Forget an id, which has no deadline any more."""
        self._changed.discard(id)
        self._scheduled.pop(id, None)

    def earliest(self) -> float:
        """Return the earliest deadline of all; infinite if there is none."""
        if self._changed:
            self._settle()
        heap, scheduled = self._heap, self._scheduled
        while heap:
            place, id = heap[0]
            if scheduled.get(id) == place:
                deadline = self._deadline_of(id)
                if deadline <= place:
                    return deadline
                del scheduled[id]
                if deadline != inf:
                    scheduled[id] = deadline
                    heapq.heapreplace(heap, (deadline, id))
                    continue
            heapq.heappop(heap)
        return inf

    def due(self, now: float) -> int | None:
        """Take out and return an id whose deadline has come; None if there is none.

        The caller has to `update` it.
        """
        if self.earliest() > now:
            return None
        id = heapq.heappop(self._heap)[1]
        del self._scheduled[id]
        return id
