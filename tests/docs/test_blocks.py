"""Each block of code on each page runs; tests/docs/blocks.py says how."""

from __future__ import annotations

import ast
import re

import pytest
import trio.testing

from . import blocks
from .blocks import PAGES, Run
from .world import run_beside

RUNS = [run for page in PAGES for run in blocks.runs(page)]


@pytest.mark.parametrize("run", [run for run in RUNS if not run.reason], ids=str)
async def test_a_program_runs(
    run: Run, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    printed = await run_beside(run.programs, monkeypatch)
    for program, text in zip(run.programs, printed, strict=True):
        if program.output is not None:
            pattern = re.escape(program.output).replace(r"\.\.\.", ".*")
            assert re.fullmatch(pattern, text), f"expected:\n{program.output}\nshown:\n{text}"


@pytest.mark.parametrize("run", [run for run in RUNS if run.reason], ids=str)
def test_what_is_not_run_compiles(run: Run) -> None:
    for program in run.programs:
        compile(program.source, str(run), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
