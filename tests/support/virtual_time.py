"""Virtual time for tests: it is counted in steps of tasks, and nobody waits for it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence

import trio
import trio.testing

STEP = 0.0001
"""Seconds that each step of a task takes.  A connect has 13: it lasts as long as in real time."""


def run(
    test: Callable[[], Awaitable[None]],
    *,
    clock: trio.abc.Clock | None,
    instruments: Sequence[trio.abc.Instrument],
) -> None:
    """Run a test in virtual time; for ``pytest.mark.trio(run=...)``."""
    assert clock is None, "this test has a clock already"
    virtual = trio.testing.MockClock(autojump_threshold=0)
    trio.run(test, clock=virtual, instruments=[*instruments, _Passing(virtual)])


class _Passing(trio.abc.Instrument):
    """A clock whose time passes while tasks run, and jumps when all of them wait.

    A clock that only jumps would never let a deadline strike in the middle of a call.
    """

    def __init__(self, clock: trio.testing.MockClock) -> None:
        self._clock = clock

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._clock.jump(STEP)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        # Names are looked up in threads, which take real time: a jump would end their time limits.
        working = trio.to_thread.current_default_thread_limiter().borrowed_tokens
        threshold = math.inf if working else 0
        if self._clock.autojump_threshold != threshold:
            self._clock.autojump_threshold = threshold
