"""Attempts to reach one peer by the addresses of a name: side by side, or in turn."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import outcome
import trio
from trio.lowlevel import enable_ki_protection

from ._background import background
from ._checks import check_number
from ._errors import ConnectFailed

T = TypeVar("T")

DEFAULT_ATTEMPT_DELAY = 0.25
"""Seconds; the Connection Attempt Delay that RFC 8305 section 5 recommends."""


def check_attempt_delay(delay: float) -> None:
    """Refuse a delay that is no number of seconds."""
    check_number("attempt_delay", delay, "a number of seconds")
    if math.isnan(delay) or delay < 0:
        raise ValueError(f"attempt_delay must be 0 seconds or more, or math.inf, not {delay}")


@enable_ki_protection
async def race(
    attempts: Sequence[Callable[[], Awaitable[T]]], delay: float, undo: Callable[[T], None]
) -> T:
    """Return what the first attempt to succeed returns, and leave nothing of the others.

    Args:
      attempts: The next one starts ``delay`` seconds after the one before, or as soon as one fails.
        An `OSError` fails an attempt; any other error ends all of them.
      delay: Seconds; ``math.inf`` makes them follow each other.
      undo: Called with what a loser returned, if it has succeeded in the same moment.
    """
    if len(attempts) == 1:
        return await attempts[0]()
    results: list[outcome.Value[T] | outcome.Error] = []
    failures = trio.Semaphore(0)  # each lets the next attempt start
    decided = trio.Event()

    @enable_ki_protection
    async def run(attempt: Callable[[], Awaitable[T]]) -> None:
        result: outcome.Value[T] | outcome.Error
        try:
            result = outcome.Value(await attempt())
        except Exception as error:
            result = outcome.Error(error)
        results.append(result)
        if not _failure(result) or len(results) == len(attempts):
            decided.set()
        failures.release()

    @enable_ki_protection
    async def start() -> None:
        async with trio.open_nursery() as nursery:
            for attempt in attempts:
                nursery.start_soon(run, attempt, name="trio_sctp attempt")
                with trio.move_on_after(delay):
                    await failures.acquire()

    first: outcome.Value[T] | outcome.Error | None = None
    try:
        async with background(start, "trio_sctp attempts"):
            await decided.wait()
        first = next((result for result in results if not _failure(result)), None)
    finally:
        for result in results:
            if isinstance(result, outcome.Value) and result is not first:
                undo(result.value)
    if first is None:
        raise last_failure([error for result in results if (error := _failure(result))])
    return first.unwrap()


def _failure(result: outcome.Value[T] | outcome.Error) -> OSError | None:
    """The error of a result after which other attempts may succeed."""
    if isinstance(result, outcome.Error) and isinstance(result.error, OSError):
        return result.error
    return None


def last_failure(failures: Sequence[OSError]) -> OSError:
    """The error to raise for attempts that have all failed, in the order in which they did.

    It is that of the last one that got as far as asking the peer; its cause is a group of all.
    """
    asked = [error for error in failures if isinstance(error, ConnectFailed)]
    last = [*failures, *asked][-1]
    if len(failures) > 1:
        last.__cause__ = ExceptionGroup("no address could be reached", failures)
    return last
