"""The programs of the README, and the same server on one socket, run against each other."""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SERVER, CLIENT = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
_, WHOLE_SERVER = (ROOT / "docs/active-mode.md").read_text().split("## A whole server\n")
ONE_SOCKET = WHOLE_SERVER.split("```python\n")[1].split("```")[0]

pytestmark = pytest.mark.usefixtures("default_stack")

Main = Callable[[], Awaitable[None]]


def load_main(source: str, monkeypatch: pytest.MonkeyPatch) -> Main:
    """What that program would have ``trio.run`` run."""
    mains: list[Main] = []

    def run(function: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        mains.append(functools.partial(function, *arguments))

    with monkeypatch.context() as patch:
        patch.setattr(trio, "run", run)
        exec(compile(source, "README.md", "exec", dont_inherit=True), {"__name__": "__main__"})
    (main,) = mains
    return main


@pytest.mark.parametrize("server", [SERVER, ONE_SOCKET], ids=["server", "one socket"])
async def test_the_client_gets_its_answer(
    server: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    nursery: trio.Nursery,
) -> None:
    nursery.start_soon(load_main(server, monkeypatch))
    await trio.testing.wait_all_tasks_blocked()
    client = load_main(CLIENT, monkeypatch)
    clients = 50  # more than a hundred records: credit is granted on the way
    for _ in range(clients):
        await client()
    answer = "Message(data=b'hello', stream=3, ppid=46, "
    assert sum(line.startswith(answer) for line in capsys.readouterr().out.splitlines()) == clients
    nursery.cancel_scope.cancel()
