"""The programs of the README, run against each other, and its picture.

``python -m tests.test_readme`` draws the picture anew.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

import trio_sctp
from trio_sctp.testing import Link, simulated_network

from .support.ladders import in_picture

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SERVER, CLIENT = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
_, WHOLE_SERVER = (ROOT / "docs/active-mode.md").read_text().split("## A whole server\n")
ONE_SOCKET = WHOLE_SERVER.split("```python\n")[1].split("```")[0]

PICTURE = ROOT / "docs/pictures/failing-path.svg"
GNB, AMF = ("10.1.0.2", "10.2.0.2"), ("10.1.0.1", "10.2.0.1")

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


@pytest.mark.usefixtures("default_stack")
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


async def draw() -> str:
    """Send three messages over two networks, of which one fails; give the ladder as a picture."""
    async with simulated_network(seed=1, default_link=Link(delay=0.02)) as network:
        amf, gnb = network.host(*AMF, name="amf"), network.host(*GNB, name="gnb")
        for one in 0, 1:
            network.network.partition([GNB[one]], [AMF[1 - one]])
        async with await trio_sctp.open_listener(38412, hosts=AMF, stack=amf) as listener:
            client = await trio_sctp.open_association(AMF, 38412, local_hosts=GNB, stack=gnb)
            server = await listener.accept()
        await trio.sleep(2)
        for text in b"one", b"two", b"three":
            await client.send(text, stream=1, ppid=trio_sctp.Ppid.NGAP)
            assert (await server.receive()).data == text
            await trio.sleep(0.1)
            network.network.partition(GNB[:1], AMF[:1])
        picture = network.ladder().svg()
        client.abort()
        server.abort()
    return picture


async def test_the_picture_is_what_the_testing_kit_draws(
    autojump_clock: trio.testing.MockClock,
) -> None:
    assert f"]({PICTURE.relative_to(ROOT).as_posix()})" in README
    shown = in_picture(PICTURE.read_text())
    assert any("DATA 2 again" in arrow.label for arrow in shown)
    assert in_picture(await draw()) == shown


if __name__ == "__main__":
    clock = trio.testing.MockClock(autojump_threshold=0)
    PICTURE.write_text(trio.run(draw, clock=clock))
