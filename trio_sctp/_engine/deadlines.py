"""The earliest of many timers, nearly all of which are put off before they expire."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from math import inf


class Deadlines:
    """The deadlines of many owners, each known by an id, and which of them comes next.

    Nearly every packet puts a timer off.  That costs a comparison: the old entry of the timer stays
    in the heap, and is looked at when its time has come.

    Attributes:
      changed: Ids whose deadlines may have changed: looked at once for many packets in a row.
    """

    __slots__ = ("_deadline_of", "_heap", "_known", "_scheduled", "changed")

    def __init__(self, deadline_of: Callable[[int], float]) -> None:
        """Start without deadlines.

        Args:
          deadline_of: Returns the deadline of an id; it is called once for each id in `changed`
            that was not forgotten since.
        """
        self._deadline_of = deadline_of
        self._heap: list[tuple[float, int]] = []  # some entries are stale
        self._scheduled: dict[int, float] = {}  # the entry of each id that is not stale
        self._known: dict[int, float] = {}  # the deadline of each id
        self.changed: set[int] = set()

    def __len__(self) -> int:
        return len(self._heap)

    def _settle(self) -> None:
        """Ask for the deadlines that have changed; those that have come nearer get an entry."""
        scheduled = self._scheduled
        for id in self.changed:
            deadline = self._known[id] = self._deadline_of(id)
            if deadline < scheduled.get(id, inf):
                scheduled[id] = deadline
                heapq.heappush(self._heap, (deadline, id))
        self.changed.clear()
        if len(self._heap) > 2 * len(scheduled) + 64:
            self._heap[:] = [(deadline, id) for id, deadline in scheduled.items()]
            heapq.heapify(self._heap)

    def forget(self, id: int) -> None:
        """Forget an id, which has no deadline any more."""
        self.changed.discard(id)
        self._scheduled.pop(id, None)
        self._known.pop(id, None)

    def earliest(self) -> float:
        """Return the earliest deadline of all; infinite if there is none."""
        if self.changed:
            self._settle()
        heap, scheduled = self._heap, self._scheduled
        while heap:
            place, id = heap[0]
            if scheduled.get(id) == place:
                deadline = self._known[id]
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

        The caller has to add it to `changed`.
        """
        if self.earliest() > now:
            return None
        id = heapq.heappop(self._heap)[1]
        del self._scheduled[id]
        return id
