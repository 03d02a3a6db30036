"""Both forms of the engine, compiled and pure: whatever comes, they say the same."""

from __future__ import annotations

import difflib
import os
import subprocess
import sys

import pytest

import trio_sctp

SEEDS = range(1, 4)


def transcript(form: str, seed: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.engine.transcript", form, str(seed)],
        env=os.environ | {"TRIO_SCTP_PURE": "1" if form == "pure" else "0"},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(not trio_sctp.__compiled__, reason="one form: `make compiled` makes the other")
@pytest.mark.parametrize("seed", SEEDS)
def test_both_say_the_same(seed: int) -> None:
    processes = [transcript(form, seed) for form in ("pure", "compiled")]
    pure, compiled = (process.communicate()[0].splitlines() for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert len(pure) > 10_000
    if pure != compiled:
        pytest.fail("\n".join(list(difflib.unified_diff(pure, compiled, lineterm="", n=1))[:20]))


def test_a_variable_chooses_the_pure_form() -> None:
    program = "import trio_sctp; print(trio_sctp.__compiled__, trio_sctp.stacks()[-1].reason)"
    told = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"TRIO_SCTP_PURE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.startswith("False ")
    assert "pure Python" in told.stdout
