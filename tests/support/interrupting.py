"""Ctrl-C at a chosen step of a run, for tests of what it leaves."""

from __future__ import annotations

import signal

import trio


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
