"""The examples, run as a reader runs them."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_sctp
from examples import calculator
from trio_sctp import AssociationChange, AssociationState, ShutdownReceived

pytestmark = pytest.mark.usefixtures("default_stack")

HOST = "127.0.0.1"
ROOT = Path(__file__).parent.parent


def command(name: str, *arguments: object) -> list[str]:
    return [sys.executable, "-u", "-m", f"examples.{name}", *map(str, arguments)]


async def run(name: str, *arguments: object, status: int = 0) -> str:
    """Run an example to its end and give what it printed."""
    result = await trio.run_process(
        command(name, *arguments),
        cwd=ROOT,
        capture_stdout=True,
        stderr=subprocess.STDOUT,
        check=False,
    )
    output = result.stdout.decode()
    assert result.returncode == status, output
    return output


async def test_demo() -> None:
    output = await run("demo")
    scenes = re.split(r"^-+$", output, flags=re.MULTILINE)
    conversation, burst, peel_off = scenes[1:]
    for name in "alice", "bob", "carol":
        for stream in 0, 1:
            assert f"{name:<8} 'hello {name}' on stream {stream}, ppid 46" in conversation
    assert conversation.count(" up, 3 streams in") == 3
    assert conversation.count(" ended gracefully") == 2
    assert " lost: user-initiated abort, 'carol hangs up'" in conversation
    # 3 times COMM_UP, 6 messages, 2 times ShutdownReceived and SHUTDOWN_COMP, COMM_LOST: 14 records
    # at least, as the reply that carol did not confirm may come back.
    assert conversation.count("5 records taken: grants 5 more") in (2, 3)

    batches = re.search(r"took 1000 messages in (\d+) batches", burst)
    assert batches
    assert int(batches[1]) < 100
    assert "in order on each stream:" + " 100" * 10 in burst

    assert peel_off.count("erin     from the common queue: ") == 3
    assert peel_off.count("dave     from your own line: ") == 3
    assert re.search(r"line +\d+  ended gracefully: True", peel_off)
    assert max(map(len, output.splitlines())) <= 80, output


async def test_client_and_server(nursery: trio.Nursery) -> None:
    server: trio.Process = await nursery.start(start_server)
    (port,) = await wait_for(server, rf"^Listening on {HOST} port (\d+)\n")

    output = await run("client", HOST, port, "--pause", 0.01)
    assert re.fullmatch(
        r"Connected: association \d+, 5 streams out, 10 in\n"
        r"Stream 0: sent\n"
        r"Stream 5: there is no outbound stream 5.*\n"
        r"Aborted\n",
        output,
    ), output

    await wait_for(
        server,
        r"^Received: association (\d+): COMM_UP, 10 streams out, 5 in\n"
        r"Received: association \1: b'Test 0' on stream 0\n"
        r"Received: association \1: COMM_LOST, user-initiated abort\n",
    )
    server.send_signal(signal.SIGINT)
    assert await server.wait() == 0


async def start_server(*, task_status: trio.TaskStatus[Any]) -> None:
    await trio.run_process(
        command("server", "--host", HOST, "--port", 0),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        task_status=task_status,
    )


async def wait_for(process: trio.Process, pattern: str) -> tuple[str | Any, ...]:
    """Read on until what comes matches."""
    assert process.stdout is not None
    text = ""
    while not (match := re.search(pattern, text)):
        data = await process.stdout.receive_some()
        assert data, f"ended after {text!r}"
        text += data.decode()
    return match.groups()


async def test_calculator(nursery: trio.Nursery) -> None:
    listener: trio_sctp.Listener = await nursery.start(calculator.serve, 0)
    assert await run("calculator", "ask", HOST, listener.port, 17, 4) == "21\n"
    nursery.cancel_scope.cancel()


async def test_client_without_server() -> None:
    async with await trio_sctp.open_endpoint(hosts=HOST) as deaf:
        output = await run("client", HOST, deaf.port, status=1)
        over_udp, hint = r"( over UDP port 9899)?", r"( \(perhaps no program listens there; .*\))?"
        assert re.fullmatch(
            f"cannot associate with {HOST} port {deaf.port}{over_udp}: Connection refused{hint}\n",
            output,
        )


async def test_connect_init() -> None:
    outputs: list[str] = []

    async def run_it() -> None:
        outputs.append(await run("connect_init", HOST, peer.port, HOST, deaf.port))

    async with (
        await trio_sctp.open_endpoint(hosts=HOST) as peer,
        await trio_sctp.open_endpoint(hosts=HOST) as deaf,
        trio.open_nursery() as nursery,
    ):
        peer.listen()
        nursery.start_soon(run_it)
        up = await peer.receive()
        assert isinstance(up, AssociationChange)
        assert (up.state, up.inbound_streams) == (AssociationState.COMM_UP, 5)
        await peer.send(b"hello", up.association_id, stream=1)
        await peer.eof(up.association_id)

    lines = outputs[0].splitlines()
    assert lines[0] == "Connections initiated"
    assert [line for line in lines if line.startswith("Association 1: ")] == [
        "Association 1: COMM_UP",
        "Association 1: received b'hello' on stream 1",
        "Association 1: SHUTDOWN_COMP",
    ]
    assert [line for line in lines if line.startswith("Association 2: ")] == [
        "Association 2: CANT_ASSOC"
    ]


async def test_connect_init_ends_when_nothing_comes() -> None:
    async with (
        await trio_sctp.open_endpoint(hosts=HOST) as silent,
        await trio_sctp.open_endpoint(hosts=HOST) as deaf,
    ):
        silent.listen()
        output = await run("connect_init", HOST, silent.port, HOST, deaf.port, "--idle", 0.1)
        assert "Association 1: COMM_UP\n" in output
        assert output.endswith("Nothing for 0.1 seconds\n")
        await silent.receive()
        assert isinstance(await silent.receive(), ShutdownReceived)


async def test_interleaving() -> None:
    output = await run("interleaving")
    without, interleaved = map(float, re.findall(r"([\d.]+) s$", output, re.M))
    assert interleaved < 1.5 < 5 < without
