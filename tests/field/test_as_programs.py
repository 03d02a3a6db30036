"""The programs of the field as a reader runs them: two processes, and what they print."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

ROOT = Path(__file__).parents[2]
LONGEST = 195
"""Lines of a program's own, which somebody reads in five minutes."""

PROGRAMS = {
    "m3ua_application_server": (
        (["gateway", "127.0.0.1"], r"to the SS7 network: Transfer\(opc=2, dpc=1, .* sls=15, "),
        (["asp", "127.0.0.1"], r"from the SS7 network: Transfer\(opc=1, dpc=2, .* sls=15, "),
    ),
    "diameter_peer": (
        (["server", "127.0.0.1"], "open: 'client.example.org'"),
        (["client", "127.0.0.1"], "open: 'server.example.org'"),
    ),
    "ng_setup": (
        (["amf", "127.0.0.1", "127.0.0.2"], "'gnb' is set up"),
        (["gnb", "127.0.0.1", "127.0.0.2"], "UE 1: b'this is UE 1' on stream 2"),
    ),
}


@pytest.fixture(autouse=True)
def needs_pycrate(request: pytest.FixtureRequest) -> None:
    if "ng_setup" in request.node.name and importlib.util.find_spec("pycrate_asn1dir") is None:
        pytest.skip("not installed: pycrate, of the dependency group `examples`")


def command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-u", "-m", f"examples.{name}", *arguments]


async def start(*words: str, task_status: trio.TaskStatus[Any]) -> None:
    await trio.run_process(
        command(*words),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        task_status=task_status,
    )


async def wait_for(process: trio.Process, pattern: str) -> None:
    assert process.stdout is not None
    text = ""
    while not re.search(pattern, text):
        data = await process.stdout.receive_some()
        assert data, f"ended after {text!r}"
        text += data.decode()


@pytest.mark.usefixtures("default_stack")
@pytest.mark.parametrize("name", PROGRAMS)
async def test_both_sides_talk(name: str, nursery: trio.Nursery) -> None:
    (server, served), (client, answered) = PROGRAMS[name]
    there: trio.Process = await nursery.start(start, name, *server)
    here: trio.Process = await nursery.start(start, name, *client)
    await wait_for(here, answered)
    await wait_for(there, served)
    nursery.cancel_scope.cancel()


@pytest.mark.usefixtures("default_stack")
@pytest.mark.parametrize("name", PROGRAMS)
async def test_an_address_of_another_host_is_one_line(name: str) -> None:
    (server, *_), _ = PROGRAMS[name][0]
    done = await trio.run_process(
        command(name, server, "192.0.2.99"), cwd=ROOT, capture_stderr=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1, done.stderr
    assert b"192.0.2.99" in done.stderr


@pytest.mark.parametrize("name", [*PROGRAMS, "file_transfer", "failover_demo", "interleaving"])
def test_a_program_can_be_read_in_five_minutes(name: str) -> None:
    source = (ROOT / "examples" / f"{name}.py").read_text()
    lines = dict(enumerate(source.splitlines(), 1))
    for node in ast.parse(source).body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if docstring or isinstance(node, (ast.Import, ast.ImportFrom)):
            assert node.end_lineno is not None
            for number in range(node.lineno, node.end_lineno + 1):
                del lines[number]
    assert len([line for line in lines.values() if line.strip()]) <= LONGEST
