"""A task of ours beside a block of the program's."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import cast

import trio


@contextlib.asynccontextmanager
async def background(task: Callable[[], Awaitable[None]], name: str) -> AsyncGenerator[None, None]:
    """Run ``task`` for the length of a block, whose own exception leaves it as it is.

    A nursery would wrap that exception in a group, for the sake of tasks that may fail as well.
    Ours may not: all that it can add is its cancellation.
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
            del failure  # its traceback leads back to this frame


def _only_cancelled(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return all(map(_only_cancelled, group.exceptions))
    return isinstance(error, trio.Cancelled)
