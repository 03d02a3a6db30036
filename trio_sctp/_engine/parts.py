"""User data that has arrived, as it is kept: the bytes of DATA chunks.

A chunk that waits for others is kept as it came, with its header and without padding.  That takes
a third of the memory of its fields as objects.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import Final, TypeAlias

Parts: TypeAlias = bytes | list[bytes]
"""A DATA chunk, or several that belong to one message and follow one another."""

CHUNK_COST: Final = 72
"""Bytes that a chunk takes beside its own: as an object, and in the lists that it is in."""

_BLOCK: Final = 512


def cost_of(parts: Parts) -> int:
    """Return the bytes of memory that chunks take."""
    if isinstance(parts, bytes):
        return len(parts) + CHUNK_COST
    return sum(map(len, parts)) + CHUNK_COST * len(parts)


class SortedParts:
    """Parts by number, in ascending order.

    They stand in blocks, so that what is put between others moves a block at most, however much a
    peer has sent, and however it is ordered.

    Attributes:
      count: How many numbers have parts.
    """

    __slots__ = ("_firsts", "_numbers", "_parts", "count")

    def __init__(self) -> None:
        self.count: int = 0
        self._firsts: array[int] = array("q")  # the first number of each block
        self._numbers: list[array[int]] = []
        self._parts: list[list[Parts]] = []

    def first(self) -> int:
        """Return the smallest number that has parts; there has to be one."""
        return self._firsts[0]

    def get(self, number: int) -> Parts | None:
        """Return the parts of a number, if there are any."""
        block = bisect_right(self._firsts, number) - 1
        if block < 0:
            return None
        numbers = self._numbers[block]
        at = bisect_left(numbers, number)
        return self._parts[block][at] if at < len(numbers) and numbers[at] == number else None

    def last_through(self, number: int) -> tuple[int, Parts] | None:
        """Return the largest number up to this one that has parts, and these, if there is any."""
        block = bisect_right(self._firsts, number) - 1
        if block < 0:
            return None
        numbers = self._numbers[block]
        at = bisect_right(numbers, number) - 1
        return numbers[at], self._parts[block][at]

    def put(self, number: int, parts: Parts) -> bool:
        """Set the parts of a number; return whether it had none before."""
        firsts = self._firsts
        block = max(bisect_right(firsts, number) - 1, 0)
        if not firsts:
            self._new_block(0, array("q", (number,)), [parts])
            self.count += 1
            return True
        numbers = self._numbers[block]
        at = bisect_left(numbers, number)
        if at < len(numbers) and numbers[at] == number:
            self._parts[block][at] = parts
            return False
        self.count += 1
        if len(numbers) >= _BLOCK:
            if at == len(numbers):
                self._new_block(block + 1, array("q", (number,)), [parts])
                return True
            half = len(numbers) // 2
            self._new_block(block + 1, numbers[half:], self._parts[block][half:])
            del numbers[half:], self._parts[block][half:]
            if at > half:
                block, at = block + 1, at - half
        self._numbers[block].insert(at, number)
        self._parts[block].insert(at, parts)
        if at == 0:
            firsts[block] = number
        return True

    def _new_block(self, block: int, numbers: array[int], parts: list[Parts]) -> None:
        self._firsts.insert(block, numbers[0])
        self._numbers.insert(block, numbers)
        self._parts.insert(block, parts)

    def pop(self, number: int) -> Parts | None:
        """Remove the parts of a number, and return them, if there are any."""
        block = bisect_right(self._firsts, number) - 1
        if block < 0:
            return None
        numbers = self._numbers[block]
        at = bisect_left(numbers, number)
        if at == len(numbers) or numbers[at] != number:
            return None
        parts = self._parts[block].pop(at)
        self._remove(block, at, at + 1)
        return parts

    def pop_range(self, first: int, last: int) -> list[Parts]:
        """Remove the parts of all numbers from ``first`` to ``last``, and return them in order."""
        removed: list[Parts] = []
        block = max(bisect_right(self._firsts, first) - 1, 0)
        while block < len(self._firsts) and self._firsts[block] <= last:
            numbers = self._numbers[block]
            start, end = bisect_left(numbers, first), bisect_right(numbers, last)
            whole = end - start == len(numbers)
            if start < end:
                removed += self._parts[block][start:end]
                del self._parts[block][start:end]
                self._remove(block, start, end)
            if not whole:
                block += 1
        return removed

    def _remove(self, block: int, start: int, end: int) -> None:
        """Remove the numbers of parts that are removed already."""
        numbers = self._numbers[block]
        del numbers[start:end]
        self.count -= end - start
        if not numbers:
            del self._firsts[block], self._numbers[block], self._parts[block]
        elif start == 0:
            self._firsts[block] = numbers[0]
