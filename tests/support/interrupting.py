"""Ctrl-C at a chosen step of a run, for tests of what it leaves."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

import trio
import trio.testing

from trio_sctp._background import leaves


class InterruptAtStep(trio.abc.Instrument):
    """Sends SIGINT to this process before the nth step of a task, counted from `arm` on."""

    def __init__(self, nth: int) -> None:
        self._left = nth
        self._armed = False
        self.sent = False

    def arm(self) -> None:
        """Begin to count."""
        self._armed = True

    def disarm(self) -> None:
        """Let no signal come any more."""
        self._armed = False

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if not self._armed:
            return
        self._left -= 1
        if self._left == 0:
            self.sent = True
            signal.raise_signal(signal.SIGINT)


def interrupted(main: Callable[[InterruptAtStep], Awaitable[None]], nth: int) -> bool:
    """Run a program in virtual time, with Ctrl-C at the nth step from where it arms the interrupt.

    All that may leave it is the KeyboardInterrupt.  Returns whether that still came in time.
    """
    interrupt = InterruptAtStep(nth)
    clock = trio.testing.MockClock(autojump_threshold=0)
    try:
        trio.run(main, interrupt, clock=clock, instruments=[interrupt])
    except BaseException as error:
        if {type(one) for one in leaves(error)} != {KeyboardInterrupt}:
            raise
    return interrupt.sent
