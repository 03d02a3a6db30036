"""The userland stack between two processes over UDP on loopback, compared with other stacks."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from trio_sctp._engine import COMPILED

from . import measuring
from .ends import COUNTS, free_port
from .measuring import Costs, Table, Wanted, runs_in_rounds
from .udp_usrsctp import LIBRARY

ROUNDS = 9
SEND, NOWAIT, BARE = "send", "send_nowait", "bare engine"
AIORTC, USRSCTP = "aiortc", "libusrsctp"
PURE = ", pure Python"


@dataclasses.dataclass(frozen=True)
class Contender:
    """A module with ends, and the name that it has for them."""

    module: str
    end: str
    pure: bool = False  # whether ours runs as pure Python, although it is compiled here


ENDS = {
    SEND: Contender("udp_ours", "send"),
    NOWAIT: Contender("udp_ours", "send_nowait"),
    BARE: Contender("udp_ours", "bare"),
    SEND + PURE: Contender("udp_ours", "send", pure=True),
    NOWAIT + PURE: Contender("udp_ours", "send_nowait", pure=True),
    BARE + PURE: Contender("udp_ours", "bare", pure=True),
    AIORTC: Contender("udp_aiortc", "aiortc"),
    USRSCTP: Contender("udp_usrsctp", "usrsctp"),
}
OURS = "trio_sctp"
ECHOES = {
    OURS: Contender("udp_ours", "echo"),
    OURS + PURE: Contender("udp_ours", "echo", pure=True),
    BARE: Contender("udp_ours", "bare_echo"),
    AIORTC: Contender("udp_aiortc", "echo"),
    USRSCTP: Contender("udp_usrsctp", "echo"),
}
COUNTED = {
    NOWAIT: Contender("udp_ours", "counted"),
    NOWAIT + PURE: Contender("udp_ours", "counted", pure=True),
}
WANTED = {  # least speeds
    64: ((NOWAIT, USRSCTP, 1.15), (SEND, USRSCTP, 0.45), (NOWAIT + PURE, USRSCTP, 0.65)),
    1024: ((NOWAIT, USRSCTP, 1.3), (SEND, USRSCTP, 0.9), (NOWAIT + PURE, USRSCTP, 0.8)),
    16384: ((NOWAIT, USRSCTP, 1.1), (SEND, USRSCTP, 1.0), (NOWAIT + PURE, USRSCTP, 0.85)),
}
WANTED_OF_AIORTC = {64: 10, 1024: 4, 16384: 4}  # by NOWAIT + PURE


@dataclasses.dataclass(frozen=True)
class Run:
    """What one run showed, in microseconds per message.

    Attributes:
      cost: Elapsed time.
      sender, receiver: CPU time of the process that sends, and of the one that receives.
    """

    cost: float
    sender: float
    receiver: float


def answer(process: subprocess.Popen[str]) -> list[str]:
    """The words of the next line that a process prints."""
    assert process.stdout is not None
    words = process.stdout.readline().split()
    if not words:
        raise RuntimeError(f"{process.args!r} has failed")
    return words


@contextmanager
def both_ends(
    contender: Contender, size: int
) -> Iterator[tuple[subprocess.Popen[str], subprocess.Popen[str]]]:
    """Run a sender and a receiver; the sender is killed at the end of the block."""
    command = [sys.executable, "-m", f"{__package__}.{contender.module}", contender.end]
    where = [str(free_port()), str(size)]
    environment = {**os.environ, "TRIO_SCTP_PURE": "1" if contender.pure else "0"}

    def start(what: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*command, what, *where], stdout=subprocess.PIPE, text=True, env=environment
        )

    with start("receive") as receiver:
        try:
            assert answer(receiver) == ["ready"]
            with start("send") as sender:
                try:
                    yield sender, receiver
                finally:
                    sender.kill()
        finally:
            receiver.kill()


def cpu_time(process: subprocess.Popen[str]) -> float:
    """The seconds that a process, which has one thread, has run."""
    return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) / 1e9


async def measure(contender: Contender, size: int) -> Run:
    """Send messages of this size from one process to another."""
    with both_ends(contender, size) as ends:
        receiver = ends[1]
        assert answer(receiver) == ["started"]
        before = [cpu_time(end) for end in ends]
        count, cost = map(float, answer(receiver))
        used = [cpu_time(end) - first for end, first in zip(ends, before, strict=True)]
        return Run(cost, *(seconds * 1e6 / count for seconds in used))


async def measure_round_trips(contender: Contender, size: int) -> list[float]:
    """The median and the 99th percentile of round trips, in microseconds."""
    with both_ends(contender, size) as (pinging, _):
        return [float(word) for word in answer(pinging)]


def count_calls(contender: Contender, size: int) -> list[str]:
    """Packets per system call: data that are sent and received, then SACKs."""
    with both_ends(contender, size) as (sender, receiver):
        answer(receiver)
        answer(receiver)
        sent, sends, acks, reads = map(int, answer(sender))
        sacks, sack_sends, received, receives = map(int, answer(receiver))
        pairs = (sent, sends), (received, receives), (sacks, sack_sends), (acks, reads)
        return [f"{packets / calls:.1f}" for packets, calls in pairs]


def has_usrsctp() -> bool:
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


def those_here(contenders: dict[str, Contender]) -> dict[str, Contender]:
    """The contenders that can run: pure Python is a form of its own where ours is compiled."""
    return {
        name: contender
        for name, contender in contenders.items()
        if (name != USRSCTP or has_usrsctp()) and (COMPILED or not contender.pure)
    }


async def run() -> list[Table]:
    costs: dict[str, Costs] = {}
    cpu: dict[str, Costs] = {}
    contenders = those_here(ENDS)
    for size in COUNTS:
        column = measuring.size_name(size)
        runs = await runs_in_rounds(
            {name: partial(measure, one, size) for name, one in contenders.items()}, ROUNDS
        )
        costs[column] = Costs({name: [run.cost for run in runs[name]] for name in runs})
        cpu[f"{column}, sender"] = Costs(
            {name: [run.sender for run in runs[name]] for name in runs}
        )
        cpu[f"{column}, receiver"] = Costs(
            {name: [run.receiver for run in runs[name]] for name in runs}
        )
    title = "Between two processes over UDP, messages/s"
    if not has_usrsctp():
        title += f" (no {LIBRARY} here)"
    if not COMPILED:
        title += " (the engine is not compiled)"
    references = [name for name in (AIORTC, USRSCTP, BARE) if name in contenders]
    tables = [
        measuring.speeds(title, references, costs),
        measuring.costs("CPU time, µs per message", [], cpu),
        await round_trips(),
        calls_table(),
    ]
    for size, bounds in WANTED.items():
        column = measuring.size_name(size)
        wanted = [Wanted(*bound, speed=True) for bound in bounds]
        wanted.append(Wanted(NOWAIT + PURE, AIORTC, WANTED_OF_AIORTC[size], speed=True))
        if COMPILED:
            here = {column: costs[column]}
            tables.append(measuring.wanted(f"Wanted at {column}", wanted, here))
    return tables


async def round_trips() -> Table:
    """How long a message and its echo take when nothing else is on its way."""
    rows = {name: [name] for name in those_here(ECHOES)}
    header = [""]
    for size in COUNTS:
        column = measuring.size_name(size)
        header += [column, "99 %"]
        contenders = {
            name: partial(measure_round_trips, one, size)
            for name, one in those_here(ECHOES).items()
        }
        for name, runs in (await runs_in_rounds(contenders, ROUNDS)).items():
            rows[name] += [f"{median(values):.0f}" for values in zip(*runs, strict=True)]
    return Table(
        "Round trips when idle, median and 99th percentile in µs", header, list(rows.values())
    )


def calls_table() -> Table:
    """How many packets share a system call, in one run each."""
    header = ["", "size", "data sent", "data received", "SACKs sent", "SACKs received"]
    rows = [
        [name, measuring.size_name(size), *count_calls(contender, size)]
        for name, contender in those_here(COUNTED).items()
        for size in COUNTS
    ]
    return Table("Packets per system call", header, rows)
