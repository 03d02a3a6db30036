"""Handlers: the program's functions that `serve` and `reconnect` run, each for one association."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import trio
from trio.lowlevel import disable_ki_protection

from ._background import leaves
from ._errors import AssociationLost

if TYPE_CHECKING:
    from ._association import AssociationChannel

    OnError = Callable[[Exception, AssociationChannel], object]

FAILED = b"handler failed"
"""The reason that a peer is given when a handler has failed."""


def check_handler(handler: object, caller: str) -> None:
    """Refuse what is no async function, before anything depends on it."""
    if is_async(handler):
        return
    what = ""
    if inspect.iscoroutine(handler):
        handler.close()  # it would warn that nobody has awaited it
        name = handler.__name__
        what = f"a coroutine object (write {caller}({name}, ...), not {caller}({name}(...), ...)): "
    elif inspect.isasyncgenfunction(handler):
        what = "an async generator function: "
    elif callable(handler):
        what = "one that is not async: "
    raise TypeError(
        f"{caller} was expecting an async function, but instead it got {what}{handler!r}"
    )


def is_async(function: object) -> bool:
    """Whether it is an async function, a method, partial or object that is called like one."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        type(function).__call__
    )


async def run_handler(
    handler: Callable[..., Any], channel: AssociationChannel, *more: object
) -> None:
    """Run a handler; if it fails by itself, its association is aborted with a reason."""
    try:
        await call_handler(handler, channel, *more)
    except BaseException as error:
        _, failed = _split(error)
        if failed is not None and not _only_lost(failed, channel) and _has_failed(failed):
            channel.abort(FAILED)
        raise


@disable_ki_protection
async def call_handler(handler: Callable[..., Any], *arguments: object) -> None:
    """Run the program's own function, which is not protected from KeyboardInterrupt."""
    await handler(*arguments)


class Judged:
    """A block that runs a handler, and keeps its error if it is no fault of ours or was told.

    So it does when the handler was cancelled at that moment: the program's cancel scope takes
    Trio's part out of a group, and what is left would leave that scope as a failure.

    It is no generator, as there is one for each association, and a generator is large.
    """

    __slots__ = ("_channel", "_on_error")

    def __init__(self, channel: AssociationChannel, on_error: OnError | None = None) -> None:
        self._channel = channel
        self._on_error = on_error

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> bool:
        if error is None:
            return False
        cancelled, failed = _split(error)
        if failed is None:
            return False
        if not _only_lost(failed, self._channel):
            if self._on_error is None or not isinstance(failed, Exception):
                return False
            _tell(self._on_error, failed, self._channel)
        if cancelled is not None:
            raise cancelled from None
        return True


@disable_ki_protection
def _tell(on_error: OnError, error: Exception, channel: AssociationChannel) -> None:
    """Call the program's function for failed handlers, which is not protected either."""
    on_error(error, channel)


def _split(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """Part an error into what says that the handler was cancelled, and all else."""
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).split(trio.Cancelled)
    return (error, None) if isinstance(error, trio.Cancelled) else (None, error)


def _has_failed(error: BaseException) -> bool:
    """Whether an error means that a handler failed, and was not just interrupted."""
    return any(isinstance(one, Exception) for one in leaves(error))


def _only_lost(error: BaseException, channel: AssociationChannel) -> bool:
    """Whether an error says only that the channel's own association was lost."""
    return all(
        isinstance(one, AssociationLost) and one.association is channel for one in leaves(error)
    )
