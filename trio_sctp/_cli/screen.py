"""What is written: results on standard output, what happens on standard error.

So a pipe gets the results alone.  What a peer has chosen is made harmless before it is shown.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys

from rich.console import Console
from rich.table import Table

_PIPED_WIDTH = 120
"""Columns of a table where there is no terminal: Rich would take 80."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Rich would exit here, within whatever nursery this is."""
        self.quiet = True
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def _console(*, stderr: bool) -> Console:
    piped = not (sys.stderr if stderr else sys.stdout).isatty()
    return _Console(
        stderr=stderr,
        width=_PIPED_WIDTH if piped else None,
        highlight=False,
        markup=False,
        emoji=False,
    )


results = _console(stderr=False)
happenings = _console(stderr=True)


def tell(text: str) -> None:
    """Say on standard error what happens, if anybody is there to read it."""
    with contextlib.suppress(OSError):
        happenings.print(text, soft_wrap=True)


def table(*columns: str, title: str | None = None) -> Table:
    """A table; columns whose names end in a space are numbers, and stand to the right."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        made.add_column(
            column.strip(), justify="right" if column.endswith(" ") else "left", overflow="fold"
        )
    return made


def show(made: Table) -> None:
    """Print a table; in a pipe its lines have no blanks at their ends."""
    if results.is_terminal:
        results.print(made)
        return
    with results.capture() as captured:
        results.print(made)
    for line in captured.get().splitlines():
        results.print(line.rstrip(), soft_wrap=True)


def harmless(text: str) -> str:
    """A text that a peer chose, without what would move a terminal's cursor or colour it."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text
    )


def counted(number: int, what: str) -> str:
    """A number of things, in the singular where there is one."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
