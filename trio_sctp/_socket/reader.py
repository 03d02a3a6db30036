"""Who reads a socket: one task at a time, for all who wait.

Whoever waits first reads for everybody, the others park; when it is served or cancelled it hands
the role on.  No task is started for that, and none is needed: there is a reader whenever there is
somebody to read for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from .socket import Socket

READ_BATCH = 256
"""Arrivals taken from the stack at once.  Other tasks run in between, so a small number would leave
a busy socket behind its senders: what does not fit into its receive buffer is lost on the way and
sent again, at worst until the peer gives up."""

STORE_RECORDS = 256
STORE_BYTES = 2**20
"""How far those who wait for a state may read ahead of those who take records."""

_POLL_FIRST, _POLL_LAST = 0.002, 0.05
"""Seconds between two looks at the state of an association behind a full store."""


class Waiter:
    """A task that waits for something on a socket: parked, or reading for everybody."""

    __slots__ = ("_scope", "_task", "ahead", "woken")

    def __init__(self, *, ahead: bool) -> None:
        # It wants no records: it may read no further than the store has room.
        self.ahead: bool = ahead
        self.woken: bool = False
        self._task: trio.lowlevel.Task | None = None
        self._scope: trio.CancelScope | None = None

    @property
    def parked(self) -> bool:
        return self._task is not None

    def wake(self) -> None:
        """What it waits for may have happened."""
        self.woken = True
        self.nudge()

    def nudge(self) -> None:
        """Let it look at its part anew."""
        if self._scope is not None:
            self._scope.cancel()
        elif self._task is not None:
            task, self._task = self._task, None
            trio.lowlevel.reschedule(task)

    async def park(self) -> None:
        def abort(_: object) -> trio.lowlevel.Abort:
            self._task = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    async def interruptible(self, wait: Callable[[], Awaitable[None]], seconds: float) -> None:
        """Wait for something until then, or until `nudge`."""
        scope = self._scope = trio.CancelScope(deadline=trio.current_time() + seconds)
        try:
            with scope:
                await wait()
        except trio.ClosedResourceError:
            pass  # whoever waits looks at the socket
        finally:
            self._scope = None


class Reader:
    """The role of reading a socket, and those who wait for what is read."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._reader: Waiter | None = None
        self._parked: dict[Waiter, None] = {}
        self._polling: Waiter | None = None

    @property
    def polling(self) -> bool:
        """Whether the reader waits for room in the store."""
        return self._polling is not None

    def room_made(self) -> None:
        """The store has room again."""
        if self._polling is not None:
            self._polling.nudge()

    def wake_all(self) -> None:
        """The socket is gone."""
        for waiter in list(self._parked):
            waiter.wake()

    async def wait(self, waiter: Waiter) -> None:
        """Wait until the waiter is woken, reading for everybody if nobody else does."""
        waiter.woken = False
        try:
            while not waiter.woken and not self._socket.released:
                if self._reader is None:
                    self._reader = waiter
                if self._reader is waiter:
                    await self._read_once(waiter)
                else:
                    if self._polling is not None and not waiter.ahead:
                        self._polling.nudge()
                    self._parked[waiter] = None
                    try:
                        await waiter.park()
                    finally:
                        del self._parked[waiter]
        finally:
            if self._reader is waiter:
                self._hand_on()

    def _hand_on(self) -> None:
        """Make another the reader; preferably one who wants records and may read without end."""
        self._reader = None
        for waiter in self._parked:
            if waiter.parked and (self._reader is None or self._reader.ahead > waiter.ahead):
                self._reader = waiter
        if self._reader is not None:
            self._reader.nudge()

    async def _read_once(self, waiter: Waiter) -> None:
        if waiter.ahead and not self._socket.room():
            if any(not parked.ahead and parked.parked for parked in self._parked):
                self._hand_on()
            else:
                await self._poll(waiter)
            return
        await waiter.interruptible(self._socket.raw.wait_readable, inf)
        if not self._socket.released:
            ahead = STORE_RECORDS - len(self._socket.store)
            self._socket.read(ahead if waiter.ahead else READ_BATCH)

    async def _poll(self, waiter: Waiter) -> None:
        """Behind a full store, ask the stack for the states that somebody waits for."""
        delay = _POLL_FIRST
        self._polling = waiter
        try:
            while not waiter.woken and not self._socket.room():
                await waiter.interruptible(trio.sleep_forever, delay)
                if any(not parked.ahead for parked in self._parked):
                    return
                for tcb in [b for b in self._socket.tcbs.values() if b.waiters]:
                    self._socket.poll_state(tcb)
                delay = min(2 * delay, _POLL_LAST)
        finally:
            self._polling = None
