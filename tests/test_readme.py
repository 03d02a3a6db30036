"""The programs of the README, run against each other."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing

README = Path(__file__).parents[1] / "README.md"

pytestmark = pytest.mark.usefixtures("default_stack")


def load_main(heading: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Awaitable[None]]:
    """What the program under that heading would hand to ``trio.run``."""
    _, section = README.read_text().split(f"## {heading}\n")
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    mains: list[Callable[[], Awaitable[None]]] = []
    with monkeypatch.context() as patch:
        patch.setattr(trio, "run", mains.append)
        exec(compile(found[1], heading, "exec", dont_inherit=True), {"__name__": heading})
    (main,) = mains
    return main


@pytest.mark.parametrize("server", ["A server", "An endpoint with credit"])
async def test_the_client_gets_its_answer(
    server: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    nursery: trio.Nursery,
) -> None:
    nursery.start_soon(load_main(server, monkeypatch))
    await trio.testing.wait_all_tasks_blocked()
    client = load_main("A client", monkeypatch)
    clients = 50  # more than a hundred records: credit is granted on the way
    for _ in range(clients):
        await client()
    lines = capsys.readouterr().out.splitlines()
    assert lines.count("3 46 b'hello'") == clients
    nursery.cancel_scope.cancel()
