"""A task of the library's that runs beside the body of a program's ``async with`` block.

The drivers of the userland stack and of the simulated network use it, and so do the objects above
them, so it has a module of its own below all of these.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import cast

import trio
from trio.lowlevel import enable_ki_protection


@contextlib.asynccontextmanager
@enable_ki_protection
async def background(task: Callable[[], Awaitable[None]], name: str) -> AsyncGenerator[None, None]:
    """Run ``task`` for the length of a block, and let the body's exception pass unchanged.

    A nursery would wrap that exception in a group, because its tasks may fail as well.  ``task``
    should not fail; if it does all the same, its error leaves the block beside the body's.
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
        if failure is None or (only_cancelled(failure) and not only_cancelled(error)):
            raise
        if not only_cancelled(error):
            raise BaseExceptionGroup(
                f"the body failed, and so did {name}", [failure, error]
            ) from None
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # breaks the cycle of its traceback and this frame


def only_cancelled(error: BaseException) -> bool:
    """Whether an error, or all of a group, is Trio's way to end a task."""
    return all(isinstance(one, trio.Cancelled) for one in leaves(error))


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors that groups are made of, in their order."""
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        for one in group.exceptions:
            yield from leaves(one)
    else:
        yield error
