"""A task of the library's that runs beside the body of a program's ``async with`` block.

The drivers of the userland stack and of the simulated network use it, and so do the objects above
them, so it has a module of its own below all of these.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import cast

import trio


@contextlib.asynccontextmanager
async def background(task: Callable[[], Awaitable[None]], name: str) -> AsyncGenerator[None, None]:
    """Run ``task`` for the length of a block, and let the body's exception pass unchanged.

    A nursery would wrap that exception in a group, because its tasks may fail as well.  ``task``
    must not fail: all that it can add is its own cancellation.
    """
    failure: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(task, name=name)
            try:
                yield
            except BaseException as error:
                failure = error
            nursery.cancel_scope.cancel()
    except BaseException as error:
        if failure is None or not _only_cancelled(error):
            raise
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # breaks the cycle of its traceback and this frame


def _only_cancelled(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return all(map(_only_cancelled, group.exceptions))
    return isinstance(error, trio.Cancelled)
