"""What something costs, as a number of calls or lines: the same on every machine, busy or not."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Count:
    """A number of calls, or of lines."""

    calls = 0


@contextmanager
def counted() -> Iterator[Count]:
    """Count the functions that are called in a block, those written in C included."""
    count = Count()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        count.calls += event in ("call", "c_call")

    gc.disable()  # finalizers of what came before are no part of it
    sys.setprofile(profile)
    try:
        yield count
    finally:
        sys.setprofile(None)
        gc.enable()


def calls(function: Callable[[], object]) -> int:
    """Return how many functions are called while one runs."""
    with counted() as count:
        function()
    return count.calls


@contextmanager
def counted_lines() -> Iterator[Count]:
    """Count the lines of Python that run in a block: loops that call nothing count too."""
    count = Count()

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        count.calls += event == "line"
        return trace

    before = sys.gettrace()
    gc.disable()
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(before)
        gc.enable()


def lines(function: Callable[[], object]) -> int:
    """Return how many lines of Python run while one runs: loops that call nothing count too."""
    with counted_lines() as count:
        function()
    return count.calls
