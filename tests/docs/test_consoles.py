"""What pages show of a terminal is what a reader sees there; tests/docs/blocks.py says how."""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from .blocks import PAGES, ROOT, Block, blocks

HUNG = 120
"""Seconds after which a program surely hangs."""

PROGRAMS = {"python": [sys.executable], "trio-sctp": [sys.executable, "-m", "trio_sctp"]}


class Terminal:
    """A program that runs, and what of its output is still to be compared."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._text = ""

    async def shows(self, expected: str) -> None:
        """Wait until the program has printed that, and check that it is what comes next."""
        while self._text.count("\n") < expected.count("\n") and await self._read():
            pass
        lines = self._text.splitlines(keepends=True)
        count = expected.count("\n")
        compare(expected, "".join(lines[:count]))
        self._text = "".join(lines[count:])

    async def rest(self) -> str:
        """What it prints until it ends."""
        while await self._read():
            pass
        return self._text

    async def interrupt(self, rest: str) -> None:
        """Press Ctrl-C, and check the rest of what is printed, if there is something to expect."""
        self._process.send_signal(signal.SIGINT)
        shown = await self.rest()
        if rest:
            compare(rest, shown)

    async def _read(self) -> bool:
        assert self._process.stdout is not None
        data = await self._process.stdout.receive_some()
        self._text += data.decode()
        return bool(data)


_ID = re.compile(r"^([*<] )\d+: ", re.MULTILINE)
"""The association of a line of the command's: Linux counts those of all programs together."""


def compare(expected: str, shown: str) -> None:
    pattern = re.escape(_ID.sub(r"\1", expected)).replace(r"\.\.\.", ".*")
    assert re.fullmatch(pattern, _ID.sub(r"\1", shown), re.DOTALL), (
        f"expected:\n{expected}\nshown:\n{shown}"
    )


def is_run(block: Block) -> bool:
    return block.language == "console" and block.mark != "not run"


class Step(NamedTuple):
    """One command of a block, or what a program that runs on prints next."""

    command: str | None
    output: str
    interrupted: bool
    rest: str
    """What is printed after Ctrl-C."""


def steps(source: str) -> Iterator[Step]:
    for part in re.split(r"^(?=\$ )", source, flags=re.MULTILINE):
        if part:
            command, text = part[2:].split("\n", 1) if part[0] == "$" else (None, part)
            output, interrupted, rest = text.partition("^C\n")
            yield Step(command, output, bool(interrupted), rest)


class Screen:
    """The terminals of somebody who reads a page."""

    def __init__(self, folder: Path, nursery: trio.Nursery) -> None:
        self._folder = folder
        self._nursery = nursery
        self._running: dict[str, Terminal] = {}

    async def do(self, block: Block) -> None:
        """Do what a block says, and see whether it shows what appears."""
        if block.file:
            (self._folder / block.file).write_text(block.source)
        elif is_run(block):
            *before, last = steps(block.source)
            for step in before:
                await self._do(step, block, runs_on=False)
            await self._do(last, block, runs_on=block.mark == "runs on")

    async def _do(self, step: Step, block: Block, *, runs_on: bool) -> None:
        if step.command and not runs_on and not step.interrupted:
            compare(step.output, await self._run(step.command, step.output))
            return
        if step.command:
            name = step.command.split()[1]
            self._running[name] = await self._start(step.command)
        else:
            name = block.argument if block.mark == "of" else [*self._running][-1]
        await self._running[name].shows(step.output)
        if step.interrupted:
            await self._running.pop(name).interrupt(step.rest)

    async def _run(self, command: str, expected: str) -> str:
        """Run a command to its end; as a reader does, again if its server was not ready yet."""
        while True:
            shown = await (await self._start(command)).rest()
            if "ConnectFailed" not in shown or "ConnectFailed" in expected:
                return shown

    async def _start(self, command: str) -> Terminal:
        name, *arguments = command.split()
        run = functools.partial(
            trio.run_process,
            [*PROGRAMS[name], *arguments],
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        return Terminal(await self._nursery.start(run))

    async def leave(self) -> None:
        """Interrupt whatever still runs."""
        for terminal in self._running.values():
            await terminal.interrupt("")


SHOWN = [
    pytest.param(list(blocks(page)), id=str(page.relative_to(ROOT / "docs")))
    for page in PAGES
    if any(map(is_run, blocks(page)))
]


@pytest.mark.usefixtures("default_stack")
@pytest.mark.parametrize("shown", SHOWN)
async def test_terminals_show_what_the_page_shows(shown: list[Block], tmp_path: Path) -> None:
    with trio.fail_after(HUNG):
        async with trio.open_nursery() as nursery:
            screen = Screen(tmp_path, nursery)
            for block in shown:
                await screen.do(block)
            await screen.leave()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_every_program_is_run(page: Path) -> None:
    """By a terminal, or by another file of the page."""
    consoles = "".join(block.source for block in blocks(page) if is_run(block))
    for block in blocks(page):
        if block.file and block.language == "python":
            name = block.file.removesuffix(".py")
            others = [
                other.source for other in blocks(page) if other.file not in (None, block.file)
            ]
            assert block.file in consoles or any(f"import {name}" in text for text in others)
