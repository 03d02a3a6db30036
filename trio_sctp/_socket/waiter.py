"""A task that waits for something on a socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf

import trio


class Waiter:
    """A task that waits for something on a socket: parked, or reading for everybody.

    One that waits only for the state of an association (``state_only``) wants no records, so it
    reads no further ahead than the queue has room.
    """

    __slots__ = ("_scope", "_task", "state_only", "woken")

    def __init__(self, *, state_only: bool) -> None:
        self.state_only: bool = state_only
        self.woken: bool = False
        self._task: trio.lowlevel.Task | None = None
        self._scope: trio.CancelScope | None = None

    @property
    def parked(self) -> bool:
        """Whether the task is suspended in `park`."""
        return self._task is not None

    def wake(self) -> None:
        """Tell the task that what it waits for may have happened."""
        self.woken = True
        self.nudge()

    def nudge(self) -> None:
        """Let the task look again at whose turn it is to read."""
        if self._scope is not None:
            self._scope.cancel()
        elif self._task is not None:
            task, self._task = self._task, None
            trio.lowlevel.reschedule(task)

    async def park(self) -> None:
        """Suspend the calling task until `wake` or `nudge`."""
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED

    async def interruptible(self, wait: Callable[[], Awaitable[None]], until: float = inf) -> None:
        """Run ``wait`` until that time of Trio's clock, or until `wake` or `nudge`."""
        scope = self._scope = trio.CancelScope(deadline=until)
        try:
            with scope:
                await wait()
        finally:
            self._scope = None
