"""Ctrl-C: the first one ends what runs gracefully, the second one at once."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Generator
from typing import TypeVar

import click
import trio

import trio_sctp

from .screen import tell

T = TypeVar("T")

USERS_ERRORS = (click.ClickException, OSError, trio_sctp.AssociationLost)
"""What goes wrong by a user's or a peer's doing, the most telling first."""

INTERRUPTED = 130
"""The exit status after an end that was not graceful."""


class Interrupts:
    """What the user has interrupted so far."""

    def __init__(self) -> None:
        self.count = 0
        self.told = False
        """Whether the user knows how to abort."""
        self._at_once = trio.CancelScope()
        self._gently: set[trio.CancelScope] = set()

    @contextlib.contextmanager
    def gently(self) -> Generator[None, None, None]:
        """Cancel the block at the first Ctrl-C; what is around it then has time for a clean end."""
        with trio.CancelScope() as scope:
            if self.count:
                scope.cancel()
            self._gently.add(scope)
            try:
                yield
            finally:
                self._gently.discard(scope)

    async def unless_interrupted(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """What a call gives; None if it was cut short by Ctrl-C."""
        with self.gently():
            return await call()
        return None

    async def _watch(self, task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(*_signals()) as signals:
            task_status.started()
            async for _ in signals:
                self.count += 1
                if self.count > 1:
                    self._at_once.cancel()
                    return
                for scope in [*self._gently]:
                    scope.cancel()

    async def run(self, program: Callable[[Interrupts], Awaitable[int]]) -> int:
        status = INTERRUPTED
        async with trio.open_nursery() as nursery:
            await nursery.start(self._watch)
            with self._at_once:
                status = await program(self)
            nursery.cancel_scope.cancel()
        return status


def _signals() -> list[signal.Signals]:
    """Those that end a program: Ctrl-C, a service manager, a terminal that closes."""
    ends = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        ends.append(signal.SIGHUP)  # nohup has it ignored
    return ends


def run(program: Callable[[Interrupts], Awaitable[int]]) -> int:
    """Run a program to its end, or to its second Ctrl-C; gives the exit status.

    Of a user's errors that several tasks have met, the first that says most is raised, bare.
    """
    try:
        return trio.run(Interrupts().run, program)
    except BaseExceptionGroup as group:
        if group.split(USERS_ERRORS)[1] is not None:
            raise  # a fault of ours
        raise _most_telling(group) from None


def _most_telling(group: BaseExceptionGroup[BaseException]) -> BaseException:
    for kind in USERS_ERRORS:
        error: BaseException | None = group.subgroup(kind)
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if error is not None:
            return error
    return group


def say_how_to_abort(interrupts: Interrupts) -> None:
    """Tell who has pressed Ctrl-C what happens now."""
    if interrupts.count and not interrupts.told:
        interrupts.told = True
        tell("* ending gracefully; Ctrl-C again aborts")
