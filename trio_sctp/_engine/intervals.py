"""Which TSNs have arrived although others before them have not."""

from __future__ import annotations

from array import array
from bisect import bisect_right


class Intervals:
    """Runs of numbers, in ascending order; between any two of them at least one is missing.

    They take memory and time for each run, however long it is.
    """

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: array[int] = array("q")
        self._ends: array[int] = array("q")

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self._starts)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number <= self._ends[at]

    def add(self, number: int) -> bool:
        """Add a number; return whether it was not there before."""
        starts, ends = self._starts, self._ends
        if not starts or number > ends[-1] + 1:
            starts.append(number)
            ends.append(number)
            return True
        if number == ends[-1] + 1:
            ends[-1] = number
            return True
        at = bisect_right(starts, number)  # the first run behind it
        if at and number <= ends[at - 1]:
            return False
        extends = at > 0 and ends[at - 1] == number - 1
        if starts[at : at + 1] == array("q", (number + 1,)):
            if extends:
                ends[at - 1] = ends[at]
                del starts[at], ends[at]
            else:
                starts[at] = number
        elif extends:
            ends[at - 1] = number
        else:
            starts.insert(at, number)
            ends.insert(at, number)
        return True

    def take_through(self, number: int) -> int:
        """Remove all up to this number, and the run that follows it directly.

        Returns the last number of that run; the number itself if none follows.
        """
        starts, ends = self._starts, self._ends
        count = bisect_right(starts, number + 1)
        if not count:
            return number
        last = max(number, ends[count - 1])
        del starts[:count], ends[:count]
        return last

    def missing_after(self, number: int) -> int:
        """Return how many are missing between a number below all runs and the last run."""
        if not self._starts:
            return 0
        there = sum(self._ends) - sum(self._starts) + len(self._starts)
        return self._ends[-1] - number - there

    def offsets(self, base: int, limit: int) -> list[tuple[int, int]]:
        """Return the first runs, at most ``limit`` of them, counted from ``base``."""
        return [
            (start - base, end - base)
            for start, end in zip(self._starts[:limit], self._ends[:limit], strict=True)
        ]
