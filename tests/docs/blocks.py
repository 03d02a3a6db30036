"""The blocks of code on the pages of docs/, and how they are written so that tests can run them.

A block of ``python`` is run on a host of a simulated network, in virtual time, for ten minutes at
most.  Top-level ``await`` is allowed.  ``trio.run(main)`` runs ``main``, and so does a ``main``
that nobody calls.  Any other function that nothing in the block refers to is called with what its
parameters say by their types or names: an `AssociationChannel` or an `Association` whose peer
echoes, an `Endpoint` that has such an association, its ``id``, and what pytest-trio and
`trio_sctp.testing.fixtures` have.

The addresses in ``hosts=`` of servers and in ``local_hosts=`` are the host's own; if it serves, so
are 127.0.0.1 and ``localhost``.  All others, and names that end in ``.example``, are another
host's.  There, each port that the block names is an echo server's, which shuts an association down
when nothing has come for a minute.  A client comes to each port of the block's own host, says
``b"hello"``, waits for an answer, and leaves.  A block that opens a simulated network of its own is
left alone.  A program that waits for SIGTERM gets one.

What a block prints is what an ``output`` block directly behind it shows, if there is one, where
``...`` is the rest of a line.

A comment in the line above a block changes that:

    <!-- goes on -->               it is the rest of the program that the block before begins
    <!-- beside -->                it runs beside the one before, on the same host
    <!-- with: name = "x" -->      what functions that are called get for parameters of these names
    <!-- not run: a reason -->     it is only compiled; or, in a terminal, nothing at all is done

A block that begins with a comment such as ``# server.py`` is a file of this name.  A program is run
by the ``console`` blocks of its page, which are run in their order, in one folder, each as a
terminal of its own.  A ``$`` begins a command, ``python FILE`` or ``trio-sctp``; below it stands
all that it prints, where ``...`` is anything.  ``^C`` in a line of its own interrupts it; what
stands below that, if anything does, is the rest that it prints.  Blocks of ``sh`` are not run.

    <!-- runs on -->               the block's last command goes on, at most to the page's end
    <!-- of: server.py -->         what this program, which runs on, prints next

Without ``of`` a block that does not begin with ``$`` shows the program that was started last of
those that run on.
"""

from __future__ import annotations

import dataclasses
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))

MARKS = "goes on", "beside", "with", "not run", "runs on", "of"

_BLOCK = re.compile(
    r"(?:^[ ]*<!--[ ](?P<mark>[^\n]+?)[ ]-->\n)?"
    r"^(?P<indent>[ ]*)```(?P<language>\w+)\n(?P<source>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)


@dataclasses.dataclass
class Block:
    """A block of code on a page."""

    page: Path
    line: int
    language: str
    source: str
    mark: str
    """One of `MARKS`, or nothing."""
    argument: str
    """What follows the mark's colon."""

    @property
    def file(self) -> str | None:
        """The name of the file that it is, if it is one."""
        found = re.match(r"# (\w+\.(py|ini))\n", self.source)
        return found[1] if found else None


def blocks(page: Path) -> Iterator[Block]:
    """All blocks of a page that name a language, in their order."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        mark, _, argument = (found["mark"] or "").partition(": ")
        line = text.count("\n", 0, found.start("source"))
        assert mark in {"", *MARKS}, f"{page}:{line} has a mark that says nothing: {mark}"
        source = textwrap.dedent(found["source"])
        yield Block(page, line, found["language"], source, mark, argument)


@dataclasses.dataclass
class Program:
    """What is run as one: a block, or several that go on from each other."""

    source: str
    arguments: str
    """For parameters, such as ``name = "x"``."""
    output: str | None = None


@dataclasses.dataclass
class Run:
    """Programs that run beside each other."""

    page: Path
    line: int
    programs: list[Program]
    reason: str | None
    """Why it is not run."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT / 'docs')}:{self.line}"


def runs(page: Path) -> list[Run]:
    """The programs of a page, but for its files."""
    found: list[Run] = []
    last: Block | None = None
    for block in blocks(page):
        if block.language == "python" and not block.file:
            program = Program(block.source, block.argument if block.mark == "with" else "")
            if block.mark == "goes on":
                found[-1].programs[-1].source += block.source
            elif block.mark == "beside":
                found[-1].programs.append(program)
            else:
                reason = block.argument if block.mark == "not run" else None
                found.append(Run(page, block.line, [program], reason))
        elif block.language == "output":
            assert last is not None, f"{page}:{block.line} is the output of nothing"
            assert last.language == "python", f"{page}:{block.line} is the output of no program"
            found[-1].programs[-1].output = block.source
        last = block
    return found
