"""Reading a socket: one task at a time reads, for all who wait.

The first task to wait reads for everybody and the others park; when it is served or cancelled, it
hands the role on.  That takes no task of its own: there is a reader whenever there is somebody to
read for.
"""

from __future__ import annotations

import itertools
from math import inf
from typing import TYPE_CHECKING

import trio

from .intake import READ_BATCH
from .queue import STORE_RECORDS
from .waiter import Waiter

if TYPE_CHECKING:
    from .socket import Socket

_POLL_FIRST, _POLL_LAST = 0.002, 0.05
"""Seconds between two looks at the state of an association behind a full store."""


class Reader:
    """The role of reading a socket, and those who wait for what is read."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._queue = socket.queue
        self._current: Waiter | None = None
        # Those who wait for records, and those who wait for states alone; in order.
        self._parked: tuple[dict[Waiter, None], dict[Waiter, None]] = ({}, {})
        self._poll_delay = _POLL_FIRST
        self._poll_at = -inf  # when states are to be asked for next

    def wake_all(self) -> None:
        """Let everybody see that the stack's socket is gone."""
        for waiter in [*self._parked[0], *self._parked[1]]:
            waiter.wake()

    async def wait(self, waiter: Waiter) -> None:
        """Wait until the waiter is woken, reading for everybody if nobody else does."""
        waiter.woken = False
        try:
            while not waiter.woken and not self._socket.released:
                if self._current is None:
                    self._current = waiter
                if self._current is waiter:
                    await self._read_once(waiter)
                else:
                    if self._queue.room_waiter is not None and not waiter.state_only:
                        self._queue.room_waiter.nudge()
                    parked = self._parked[waiter.state_only]
                    parked[waiter] = None
                    try:
                        await waiter.park()
                    finally:
                        del parked[waiter]
        finally:
            if self._current is waiter:
                self._hand_on()

    def _hand_on(self) -> None:
        """Make another the reader, preferably one that wants records and may read without end."""
        self._current = None
        for waiter in itertools.chain(*self._parked):
            if waiter.parked:
                self._current = waiter
                waiter.nudge()
                return

    def _somebody_takes(self) -> bool:
        """Whether somebody waits for records, who may read without end."""
        return any(waiter.parked for waiter in self._parked[0])

    async def _read_once(self, waiter: Waiter) -> None:
        if waiter.state_only and not self._queue.room():
            if self._somebody_takes():
                self._hand_on()
            else:
                await self._poll(waiter)
            return
        try:
            await self._socket.raw.wait_readable(waiter)
        except trio.ClosedResourceError:
            return  # as the caller sees next
        if not self._socket.released:
            ahead = STORE_RECORDS - len(self._queue.store)
            self._socket.intake.read(ahead if waiter.state_only else READ_BATCH)

    async def _poll(self, waiter: Waiter) -> None:
        """Behind a full store, ask the stack for the states that somebody waits for.

        A store that is full again and again, since somebody takes from it, is as one that is full
        all the time: each record that is taken would else cost a call for each association.
        """
        queue = self._queue
        now = trio.current_time()
        if now > self._poll_at + _POLL_LAST:
            self._poll_delay = _POLL_FIRST
            self._poll_at = now + _POLL_FIRST
        queue.room_waiter = waiter
        try:
            while not waiter.woken and not queue.room():
                await waiter.interruptible(trio.sleep_forever, self._poll_at)
                if self._parked[0]:
                    return
                now = trio.current_time()
                if now >= self._poll_at:
                    self._poll_delay = min(2 * self._poll_delay, _POLL_LAST)
                    self._poll_at = now + self._poll_delay
                    for tcb in [tcb for tcb in self._socket.tcbs.values() if tcb.waiters]:
                        self._socket.intake.poll_state(tcb)
        finally:
            queue.room_waiter = None
