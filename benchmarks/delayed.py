"""The userland stack over UDP with delay and loss, and whether a change has made it slower.

    python -m benchmarks.delayed usrsctp ours            how fast this tree is
    python -m benchmarks.delayed usrsctp --old ../main   and how fast beside another checkout

    tools/with-kernel-sctp .venv/bin/python -m benchmarks.delayed kernel --old ../main

A cell is a peer, who of the two sends, a round-trip time and a share of packets lost each way.
Every cell is measured for some seconds from the first message that arrives, slow start included, by
processes of its own.  Old and new take turns within a round, with the same losses, and ``new/old``
is the median of the ratios of all rounds, beside the lowest and the highest.  An ``✗`` marks a cell
in which the new one moves more than 5 % less.

    again     the share of DATA chunks that were sent again; not known for cells without delay and
              loss, whose packets go straight.  Those of the others pass a proxy (delay_line.py),
              which takes some 5 µs of a core for each.
    CPU       the processor time of our end for each message, new/old.  Other programs on the
              machine disturb it much less than the speed.

What is noise can be seen by comparing a checkout with itself (``--old PATH --new PATH``).  Where
packets are lost the few losses of some seconds decide, so that several associations with losses of
their own run at once; more ``--rounds`` narrow it down further.  Cells without loss want the
machine for themselves.  A cell that misses the bound should be measured again, alone (``--rtt``,
``--loss``), before it is believed.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import random
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from rich.console import Console

from .ends import free_port
from .measuring import MISSED, Table
from .program import Program
from .udp import has_usrsctp

HERE = Path(__file__).parents[1]
OURS, USRSCTP, KERNEL = "ours", "usrsctp", "kernel"
RTTS = (0, 20, 100)  # ms
LOSSES = (0.0, 1.0)  # %
AT_ONCE = 4  # associations, where the network is what limits them
START, STALLED = 30, 30  # seconds after which a program is given up
KERNEL_UDP = 9899
WANTED = 0.95
WIDTH = 110

# The stack under test comes from a checkout, and these programs from this one.
RUN = "import sys; sys.path[0] = {tree!r}; import trio_sctp; sys.path[0] = {here!r}; "
RUN += "assert trio_sctp.__file__.startswith({tree!r}), trio_sctp.__file__; "
RUN += "from benchmarks import delayed_ends; delayed_ends.main()"


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is measured."""

    peer: str
    we_send: bool
    rtt: int
    loss: float

    @property
    def limited_by_network(self) -> bool:
        return self.rtt > 0 and self.loss > 0

    def __str__(self) -> str:
        ours = "we send" if self.we_send else "they send"
        who = "ours" if self.peer == OURS else f"{self.peer}, {ours}"
        return f"{who}, {self.rtt} ms, {self.loss:g} %"


@dataclasses.dataclass(frozen=True)
class Result:
    """What was measured, of one association."""

    speed: float  # MB/s
    cpu: float  # seconds of our end for each MB
    again: float | None  # share of DATA chunks that were sent again


class End:
    """A program that `delayed_ends` describes."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process

    async def line(self) -> str:
        assert self._process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            more = await self._process.stdout.receive_some()
            if not more:
                raise RuntimeError(f"{self._process.args!r} has failed")
            line += more
        return line.decode().strip()

    def cpu(self) -> float:
        """The processor time that it has taken so far, in seconds."""
        return time.clock_gettime(~self._process.pid << 3 | 2)  # as clock_getcpuclockid(3) does

    async def go(self) -> None:
        """Have a sender start."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(b"\n")


@asynccontextmanager
async def running(tree: Path, *arguments: object) -> AsyncIterator[End]:
    code = RUN.format(tree=str(tree), here=str(HERE))
    command = [sys.executable, "-c", code, *map(str, arguments)]
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        with trio.fail_after(START):
            end = End(process)
            assert await end.line() == "ready"
        yield end
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


class Bench:
    """Measures cells."""

    def __init__(self, proxies: Program, seconds: float, size: int) -> None:
        self._proxies = proxies
        self._seconds = seconds
        self._size = size

    async def measure(
        self,
        cell: Cell,
        tree: Path,
        seed: int,
        *,
        ready: Callable[[], object] = lambda: None,
        start: trio.Event | None = None,
    ) -> Result:
        """Measure one association.

        Args:
          cell: What to measure.
          tree: The checkout whose stack is ours.
          seed: Chooses the losses.
          ready: Called when both programs are up.
          start: When the sender may start, if others have to be ready before.
        """
        sends, receives = (OURS, cell.peer) if cell.we_send else (cell.peer, OURS)
        port = KERNEL_UDP if receives == KERNEL else free_port()
        with self._proxy(cell, seed, port) as (entrance, counts):
            if sends == KERNEL:
                sysctl("encap_port", entrance)
            how = self._size, self._seconds
            async with (
                running(tree, receives, "receive", port, *how) as receiver,
                running(tree, sends, "send", entrance, *how) as sender,
            ):
                ready()
                if start is not None:
                    await start.wait()
                ours = sender if cell.we_send else receiver
                before = ours.cpu()
                await sender.go()
                with trio.fail_after(self._seconds + STALLED):
                    received = int(await receiver.line())
                cpu = ours.cpu() - before
        again = counts[1] / counts[0] if counts else None
        return Result(received / self._seconds / 1e6, cpu / received * 1e6, again)

    @contextlib.contextmanager
    def _proxy(self, cell: Cell, seed: int, port: int) -> Iterator[tuple[int, list[int]]]:
        """Yield the UDP port to send to, and a list of DATA chunks and those sent again."""
        counts: list[int] = []
        if not cell.rtt and not cell.loss:
            yield port, counts
            return
        delay, loss = cell.rtt / 2000, cell.loss / 100
        entrance = self._proxies.ask("open", f"{delay}", f"{loss}", seed, port)
        yield int(entrance), counts
        chunks, again, dropped = map(int, self._proxies.ask("close", entrance).split())
        counts += [max(chunks, 1), again]
        if dropped:
            print(f"{cell}: the proxy had no room for {dropped} packets", file=sys.stderr)

    async def measure_all(self, cell: Cell, trees: list[Path], number: int) -> list[list[Result]]:
        """Measure a round of a cell with each of the trees; return the results for each."""
        together = AT_ONCE if cell.limited_by_network and cell.peer != KERNEL else 1
        seeds = [number * AT_ONCE + n for n in range(together)]
        results: list[list[Result]] = [[] for _ in trees]
        order = random.sample(range(len(trees)), len(trees))
        if together == 1:
            for n in order:
                results[n].append(await self.measure(cell, trees[n], seeds[0]))
            return results

        start = trio.Event()
        waiting = together * len(trees)

        def ready() -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting:
                start.set()

        async def one(n: int, seed: int) -> None:
            results[n].append(await self.measure(cell, trees[n], seed, ready=ready, start=start))

        async with trio.open_nursery() as nursery:
            for seed in seeds:
                for n in order:
                    nursery.start_soon(one, n, seed)
        return results


def prepare_kernel() -> None:
    """Have Linux speak SCTP over UDP.

    Packets that it leaves to the device to cut up would be lost there.
    """
    sysctl("udp_port", KERNEL_UDP)
    subprocess.run(["ip", "link", "set", "lo", "gso_max_size", "1280"], check=True)


def sysctl(name: str, value: object) -> None:
    Path("/proc/sys/net/sctp", name).write_text(str(value))


class Comparison:
    """The results of a cell with each of the trees."""

    def __init__(self, cell: Cell, trees: int) -> None:
        self.cell = cell
        self._speeds: list[list[float]] = [[] for _ in range(trees)]  # by tree and round
        self._cpu: list[list[float]] = [[] for _ in range(trees)]
        self._again: list[list[float]] = [[] for _ in range(trees)]

    def add(self, results: list[list[Result]]) -> None:
        for n, of_one in enumerate(results):
            self._speeds[n].append(statistics.fmean(result.speed for result in of_one))
            self._cpu[n].append(statistics.fmean(result.cpu for result in of_one))
            self._again[n] += [result.again for result in of_one if result.again is not None]

    def row(self) -> list[str]:
        speeds = [statistics.median(speeds) for speeds in self._speeds]
        again = [f"{statistics.fmean(a):.1%}" if a else "" for a in self._again]
        if len(speeds) == 1:
            return [str(self.cell), f"{speeds[0]:.3f}", again[0]]
        ratios = _ratios(*self._speeds)
        ratio = statistics.median(ratios)
        mark = "" if ratio >= WANTED else f" {MISSED}"
        return [
            str(self.cell),
            *(f"{speed:.3f}" for speed in speeds),
            *again,
            f"{statistics.median(_ratios(*self._cpu)):.2f}",
            f"{min(ratios):.2f}-{max(ratios):.2f}",
            f"{ratio:.2f}{mark}",
        ]


def _ratios(old: list[float], new: list[float]) -> list[float]:
    return [b / a for a, b in zip(old, new, strict=True)]


def table(comparisons: list[Comparison], trees: int) -> Table:
    names = ["MB/s"] if trees == 1 else ["old, MB/s", "new, MB/s"]
    names += ["again"] * trees
    if trees == 2:
        names += ["CPU", "range", "new/old"]
    return Table("Throughput with delay and loss", ["", *names], [c.row() for c in comparisons])


async def run(arguments: argparse.Namespace) -> Table:
    trees = [arguments.old, arguments.new] if arguments.old else [arguments.new]
    trees = [tree.resolve() for tree in trees]
    comparisons = [
        Comparison(Cell(peer, we_send, rtt, loss), len(trees))
        for peer in arguments.peers
        for we_send in ((True,) if peer == OURS else (True, False))
        for rtt in arguments.rtt
        for loss in arguments.loss
    ]
    proxies = Program(sys.executable, "-m", f"{__package__}.delay_line")
    bench = Bench(proxies, arguments.seconds, arguments.size)
    for number in range(arguments.rounds):
        for comparison in comparisons:
            comparison.add(await bench.measure_all(comparison.cell, trees, number))
            print(number + 1, *comparison.row(), sep="  ", file=sys.stderr)
    proxies.end()
    return table(comparisons, len(trees))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.delayed",
        description="How fast the userland stack is with delay and loss, beside another checkout.",
    )
    parser.add_argument(
        "peers",
        nargs="+",
        choices=[OURS, USRSCTP, KERNEL],
        help="whom to exchange messages with; kernel needs SCTP in the kernel, and root",
    )
    parser.add_argument("--old", type=Path, help="another checkout to compare with")
    parser.add_argument("--new", type=Path, default=HERE, help="instead of this checkout")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="that each measurement takes")
    parser.add_argument("--size", type=int, default=1024, help="of a message, in bytes")
    parser.add_argument("--rtt", type=int, nargs="+", default=RTTS, metavar="MS")
    parser.add_argument("--loss", type=float, nargs="+", default=LOSSES, metavar="PERCENT")
    arguments = parser.parse_args()
    if USRSCTP in arguments.peers and not has_usrsctp():
        parser.error("there is no libusrsctp here (apt-get install libusrsctp2)")
    if KERNEL in arguments.peers:
        prepare_kernel()
    trio.run(run, arguments).show(Console(width=WIDTH))


if __name__ == "__main__":
    main()
