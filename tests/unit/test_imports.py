"""What a program gets along with the library: nothing that is for tests."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["trio_sctp", "trio_sctp.testing"])
def test_importing_it_brings_nothing_for_tests(module: str) -> None:
    """``trio.testing`` imports pytest where it is installed."""
    script = (
        f"import {module}, sys; print(*sorted({{'pytest', 'trio.testing'}} & {{*sys.modules}}))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )
    assert found.stdout.split() == []
