"""Commands as processes: what they write is waited for, and they are interrupted by signals."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol

import pyte
import pytest
import trio

import trio_sctp
from trio_sctp import Listener

from ..support.udp_proxy import free_port

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
PATIENCE = 60  # seconds, many times what a command needs to say something
COLUMNS, LINES = 120, 40


class Output:
    """What a process has written to one of its outputs."""

    def __init__(self, closed: trio.Event) -> None:
        self.data = bytearray()
        self.closed = closed
        self._arrived = trio.lowlevel.ParkingLot()

    def __str__(self) -> str:
        return self.data.decode(errors="replace")

    def add(self, data: bytes | bytearray) -> None:
        self.data += data
        self._arrived.unpark_all()

    def end(self) -> None:
        self.closed.set()
        self._arrived.unpark_all()

    async def until(self, done: Callable[[], object]) -> None:
        """Wait until what it has written makes something true."""
        with trio.move_on_after(PATIENCE):
            while not done():
                if self.closed.is_set():
                    pytest.fail(f"it ended, and wrote:\n{self}")
                await self._arrived.park()
            return
        pytest.fail(f"nothing came of it; it wrote:\n{self}")

    async def expect(self, pattern: str) -> re.Match[str]:
        """Wait until it has written what a regular expression finds."""
        await self.until(lambda: re.search(pattern, str(self)))
        found = re.search(pattern, str(self))
        assert found is not None
        return found


class Running:
    """A command that runs."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.out, self.err = Output(trio.Event()), Output(trio.Event())

    def __str__(self) -> str:
        return f"{self.process.args!r}\nstatus {self.process.returncode}\n{self.out}\n{self.err}"

    async def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(data)

    async def close_input(self) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.aclose()

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    async def wait(self) -> int:
        """Wait until it has ended and all that it wrote is there; gives its status."""
        with trio.fail_after(PATIENCE):
            await self.process.wait()
            await self.out.closed.wait()
            await self.err.closed.wait()
        assert self.process.returncode is not None
        return self.process.returncode


class Screen(Output):
    """A terminal, and what stands on it."""

    def __init__(self, closed: trio.Event, columns: int) -> None:
        super().__init__(closed)
        self.screen = pyte.Screen(columns, LINES)
        self._stream = pyte.ByteStream(self.screen)

    def add(self, data: bytes | bytearray) -> None:
        self._stream.feed(bytes(data))
        super().add(data)

    def __str__(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)


class RunCommand(Protocol):
    async def __call__(
        self, *arguments: object, cwd: Path | None = None, namespace: str | None = None
    ) -> Running: ...


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "trio_sctp", *map(str, arguments)]


def environment() -> dict[str, str]:
    unset = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"}
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    return kept | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "PYTHONUNBUFFERED": "1"}


@pytest.fixture
async def run(nursery: trio.Nursery) -> AsyncIterator[RunCommand]:
    """Start ``trio-sctp`` with pipes; what is left is killed at the end of the test."""
    started: list[Running] = []

    async def start(
        *arguments: object, cwd: Path | None = None, namespace: str | None = None
    ) -> Running:
        where = ["ip", "netns", "exec", namespace] if namespace else []
        process: trio.Process = await nursery.start(_run, where + command(*arguments), cwd)
        running = Running(process)
        nursery.start_soon(_read, process.stdout, running.out)
        nursery.start_soon(_read, process.stderr, running.err)
        started.append(running)
        return running

    yield start
    for running in started:
        print(running)
        running.process.kill()
        await running.wait()


async def _run(
    arguments: list[str], cwd: Path | None, *, task_status: trio.TaskStatus[Any]
) -> None:
    await trio.run_process(
        arguments,
        cwd=cwd,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        check=False,
        deliver_cancel=_kill,
        start_new_session=True,  # or ^C on the terminal of the tests would reach it, too
        task_status=task_status,
    )


async def _kill(process: trio.Process) -> None:
    process.kill()


async def _read(source: trio.abc.ReceiveStream | None, output: Output) -> None:
    assert source is not None
    with contextlib.suppress(trio.ClosedResourceError):  # a test reads no more
        async for data in source:
            output.add(data)
    output.end()


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, process: trio.Process, master: int, columns: int) -> None:
        self.process = process
        self.screen = Screen(trio.Event(), columns)
        self._master = master

    async def type(self, text: str) -> None:
        """Type something; ``\\x03`` is Ctrl-C, ``\\x04`` the end of the input."""
        os.write(self._master, text.encode())
        await trio.lowlevel.checkpoint()

    async def read(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._master)
            try:
                data = os.read(self._master, 65536)
            except OSError:  # what Linux says when the last process has left the terminal
                data = b""
            if not data:
                break
            self.screen.add(data)
        self.screen.end()

    async def wait(self) -> int:
        with trio.fail_after(PATIENCE):
            status: int = await self.process.wait()
            await self.screen.closed.wait()
        return status


class OnTerminal(Protocol):
    async def __call__(
        self, *arguments: object, namespace: str | None = None, columns: int = COLUMNS
    ) -> Terminal: ...


@pytest.fixture
async def terminal(nursery: trio.Nursery) -> AsyncIterator[OnTerminal]:
    """Start ``trio-sctp`` on a terminal."""
    started: list[Terminal] = []

    async def start(
        *arguments: object, namespace: str | None = None, columns: int = COLUMNS
    ) -> Terminal:
        where = ["ip", "netns", "exec", namespace] if namespace else []
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
        process = await trio.lowlevel.open_process(
            where + command(*arguments),
            env=environment(),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        running = Terminal(process, master, columns)
        nursery.start_soon(running.read)
        started.append(running)
        return running

    yield start
    for running in started:
        print(running.screen)
        if running.process.returncode is None:
            running.process.kill()
        await running.wait()
        os.close(running._master)


PORT = r"listening on port (\d+)"


async def listening(run: RunCommand, *arguments: object, namespace: str | None = None) -> Running:
    """``trio-sctp listen``, on a free port, when it listens."""
    server = await run("listen", 0, *arguments, namespace=namespace)
    await server.err.expect(PORT)
    return server


def port_of(server: Running) -> int:
    found = re.search(PORT, str(server.err))
    assert found is not None
    return int(found[1])


@pytest.fixture
async def peer(udp_port: int) -> AsyncIterator[Listener]:
    """The other end is the test itself: a listener on a userland stack with the UDP port."""
    async with (
        trio_sctp.userland(udp_port=udp_port) as stack,
        await trio_sctp.open_listener(0, hosts=HOST, stack=stack) as listener,
    ):
        yield listener


@pytest.fixture
def udp_port() -> int:
    return free_port()


@pytest.fixture(params=[pytest.param("kernel", marks=pytest.mark.kernel), "userland"])
def stack(request: pytest.FixtureRequest, udp_port: int) -> list[object]:
    """The options with which commands use a stack."""
    if request.param == "kernel":
        return ["--stack", "kernel"]
    return ["--stack", "userland", "--udp-port", udp_port]
