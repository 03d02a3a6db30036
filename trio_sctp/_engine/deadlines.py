"""The earliest of many timers, of which nearly all are put off before they expire."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from math import inf


class Deadlines:
    """Whose timers expire next, by id.

    A timer that is put off, as with nearly every packet, costs a comparison: its old place in the
    heap is looked at when that time has come.
    """

    __slots__ = ("_changed", "_deadline_of", "_heap", "_scheduled")

    def __init__(self, deadline_of: Callable[[int], float]) -> None:
        """``deadline_of`` is asked for the deadline of an id that was not forgotten."""
        self._deadline_of = deadline_of
        self._heap: list[tuple[float, int]] = []  # stale ones among them
        self._scheduled: dict[int, float] = {}
        self._changed: set[int] = set()  # of many packets in a row, only the last one counts

    def __len__(self) -> int:
        return len(self._heap)

    def update(self, id: int) -> None:
        """Its deadline may have changed."""
        self._changed.add(id)

    def _settle(self) -> None:
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
        """It is gone."""
        self._changed.discard(id)
        self._scheduled.pop(id, None)

    def earliest(self) -> float:
        """The first deadline of all; infinite if there is none."""
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
        """An id whose deadline has come, which is then to be updated; None if there is none."""
        if self.earliest() > now:
            return None
        id = heapq.heappop(self._heap)[1]
        del self._scheduled[id]
        return id
