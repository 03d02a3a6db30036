"""Faults of a peer that concern no other one, and silence that has a limit."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Generator

import click
import trio

from trio_sctp import AssociationChannel, Listener

from .interrupting import Interrupts
from .screen import harmless, tell


@contextlib.contextmanager
def one_of_many(association: AssociationChannel | None = None) -> Generator[None, None, None]:
    """A fault of a peer is a line, and the end of its association; the others are not concerned."""
    try:
        yield
    except* trio.EndOfChannel:
        pass  # it has left
    except* (click.ClickException, trio.BrokenResourceError, ValueError) as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if association is not None:
            association.abort(str(error).encode()[:200])
        tell(harmless(f"* {error}"))


async def serve_all(
    listener: Listener,
    interrupts: Interrupts,
    serve_one: Callable[[AssociationChannel, Interrupts], Awaitable[None]],
    *,
    once: bool = False,
) -> None:
    """Serve all who come, or the first one, until Ctrl-C; each has a task of its own."""
    async with trio.open_nursery() as nursery:
        with interrupts.gently():
            async for association in listener:
                nursery.start_soon(serve_one, association, interrupts)
                if once:
                    await listener.aclose()
                    return


@contextlib.contextmanager
def answered_within(
    seconds: float, who: str, association: AssociationChannel | None = None
) -> Generator[None, None, None]:
    """Give up a peer that has not answered within ``--timeout``; abort what there is with it."""
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        if association is not None:
            association.abort(b"there was no answer in time")
        raise click.ClickException(
            f"{who} has not answered within {seconds:g} s; -W waits longer"
        ) from None
