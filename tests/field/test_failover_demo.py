"""The demonstration of a failover prints the switch, and that nothing was lost."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from examples import failover_demo

from ..support import virtual_time

ROOT = Path(__file__).parents[2]
STORY = r"""
 \d+\.\d\d s  message 0 came from (?P<primary>\S+), after 0.\d\d s
 \d+\.\d\d s  the path to (?P<cut>\S+) is cut
(?: \d+\.\d\d s  the client's path to (?P=cut): ADDR_POTENTIALLY_FAILED
)? \d+\.\d\d s  message (?:19|20|21) came from (?P<other>\S+), after \d\.\d\d s
(?: \d+\.\d\d s  the client's path to (?P=cut): ADDR_POTENTIALLY_FAILED
)? \d+\.\d\d s  the client's path to (?P=cut): ADDR_UNREACHABLE
 \d+\.\d\d s  the path to (?P=cut) is mended
 \d+\.\d\d s  the client's path to (?P=cut): ADDR_AVAILABLE
 ?\d+\.\d\d s  message \d\d came from (?P=primary), after \d\.\d\d s
 ?\d+\.\d\d s  100 of 100 messages came, in order; the slowest took \d\.\d\d s
"""


def check(printed: str) -> None:
    told = re.fullmatch(STORY, "\n" + printed)
    assert told, printed
    assert told["primary"] != told["other"]


@pytest.mark.trio(run=virtual_time.run)
async def test_on_a_simulated_network(capsys: pytest.CaptureFixture[str]) -> None:
    await failover_demo.run(failover_demo.simulated_paths)
    check(capsys.readouterr().out)


async def test_over_udp(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failover_demo, "INTERVAL", 0.06)  # it is not there to be watched
    await failover_demo.run(failover_demo.udp_paths)
    check(capsys.readouterr().out)


async def test_as_a_reader_runs_it() -> None:
    command = [sys.executable, "-W", "error", "-m", "examples.failover_demo", "--virtual"]
    done = await trio.run_process(command, cwd=ROOT, capture_stdout=True, stderr=subprocess.STDOUT)
    check(done.stdout.decode())
