"""Peers: other programs, run beside a test, which it talks to by SCTP and whose output it reads."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import pytest
import trio

from trio_sctp import Endpoint, Event, Inbox, Message, Passive

HOST = "127.0.0.1"
CREDIT = 3
PATIENCE = 30  # seconds, many times what a peer needs to say something


class Peer:
    """A program that runs, and what it has written."""

    def __init__(self, process: trio.Process, nursery: trio.Nursery) -> None:
        self._process = process
        self._arrived = trio.lowlevel.ParkingLot()
        self._closed = False
        self.output = bytearray()
        nursery.start_soon(self._read)

    def __str__(self) -> str:
        text = self.output.decode(errors="replace")
        status = self._process.returncode
        return f"{self._process.args!r}, status {status}, wrote:\n{text[-5000:] or '(nothing)'}"

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for data in self._process.stdout:
            self.output += data
            self._arrived.unpark_all()
        self._closed = True
        self._arrived.unpark_all()

    async def expect(self, *texts: str) -> str:
        """Wait until it has written these texts, in this order; give the rest of the line."""
        pattern = "(?s:.*?)".join(map(re.escape, texts)) + "(.*)\n"
        with trio.move_on_after(PATIENCE):
            while not (match := re.search(pattern, self.output.decode(errors="replace"))):
                if self._closed:
                    break
                await self._arrived.park()
            else:
                return match[1]
        pytest.fail(f"{texts} expected, but {self}", pytrace=False)

    async def write(self, data: bytes) -> None:
        """Write to its standard input."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(data)

    async def close_input(self) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.aclose()

    async def wait_success(self) -> bytes:
        """Wait until it ends, with status 0, and give all it wrote."""
        status = await self._wait()
        assert status == 0, str(self)
        return bytes(self.output)

    async def kill(self) -> None:
        """End it and read the rest of what it wrote."""
        self._process.kill()
        await self._wait()

    async def _wait(self) -> int:
        status = await self._process.wait()
        while not self._closed:
            await self._arrived.park()
        return status


class RunPeer(Protocol):
    def __call__(self, *command: str) -> Awaitable[Peer]: ...


@pytest.fixture
async def run_peer(nursery: trio.Nursery) -> AsyncIterator[RunPeer]:
    """Start programs that are killed at the end of the test; pytest shows what they wrote."""
    peers: list[Peer] = []

    async def run(*command: str) -> Peer:
        process: trio.Process = await nursery.start(_run, list(command))
        peers.append(Peer(process, nursery))
        return peers[-1]

    yield run
    for peer in peers:
        await peer.kill()
        print(peer)


async def _run(command: list[str], *, task_status: trio.TaskStatus[Any]) -> None:
    await trio.run_process(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        deliver_cancel=_kill,
        task_status=task_status,
    )


async def _kill(process: trio.Process) -> None:
    process.kill()


# Erlang prints the cause, 12, as Linux gives it: in network byte order.
USER_ABORT = socket.htons(12)


class Erlang(Protocol):
    def __call__(self, module: str, function: str, *arguments: object) -> Awaitable[Peer]: ...


@pytest.fixture(scope="session")
def beams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Erlang programs beside this file, compiled."""
    folder = tmp_path_factory.mktemp("beams")
    sources = sorted(Path(__file__).with_name("erlang").glob("*.erl"))
    subprocess.run(["erlc", "-Werror", "-o", folder, *sources], check=True)
    return folder


@pytest.fixture
def erlang(beams: Path, run_peer: RunPeer) -> Erlang:
    """Run a function of an Erlang module; it gets a list of strings."""

    def run(module: str, function: str, *arguments: object) -> Awaitable[Peer]:
        call = ["-run", module, function, *map(str, arguments)]
        options = ["-noshell", "-env", "ERL_CRASH_DUMP_BYTES", "0", "-pa", str(beams)]
        return run_peer("erl", *options, *call)

    return run


R = TypeVar("R", bound=Message | Event)
Source: TypeAlias = Endpoint | Inbox
"""Where records come from: passive mode, or active mode with `CREDIT`."""


async def take(source: Source, kind: type[R]) -> R:
    """Receive one record, which must be of that kind; grant credit where it is used up."""
    record = await source.receive()
    if isinstance(record, Passive) and isinstance(source, Inbox):
        source.grant(CREDIT)
        record = await source.receive()
    assert isinstance(record, kind), record
    return record
