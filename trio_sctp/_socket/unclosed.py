"""Objects that a program lost without closing them.

Nothing of the library refers to a public object but the calls, blocks and objects that the program
has of it.  So what a program loses is collected, and says so.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from .._log import logger

if TYPE_CHECKING:
    from .socket import Socket


def forgotten(face: object, socket: Socket | None) -> None:
    """Warn of an object whose socket was not closed, and have that aborted; for ``__del__``.

    The garbage collector may run in any thread, and in the midst of the engine: so this only posts.
    """
    if socket is None or socket.released:
        return
    text = f"unclosed {face!r}"
    try:
        if socket.token is None:
            _drop(socket)
        else:
            socket.token.run_sync_soon(_release, socket)
    except RuntimeError:  # the run is over
        _drop(socket)
    warnings.warn(text, ResourceWarning, stacklevel=2, source=face)


def _release(socket: Socket) -> None:
    try:
        socket.release(abort=True)
    except Exception:
        # To raise would end the whole run.
        logger.exception("a forgotten socket could not be released")


def _drop(socket: Socket) -> None:
    """Give up what the operating system holds; no task is there to be told, or to send for us."""
    socket.closing = socket.released = True
    socket.raw.drop()
