"""What `perf` sends and how it goes: the load, its progress, and the figures in the end."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import statistics
from collections.abc import AsyncGenerator

import click
import trio
from rich.progress import BarColumn, Progress, TextColumn

from trio_sctp import AssociationChannel, AssociationLost, AssociationStatistics, PeerAddressInfo

from .interrupting import Interrupts
from .screen import counted, happenings, show, table

BULK = b"d"
"""What messages of the load begin with."""

STEP = 0.25
"""Seconds from one look at the progress to the next."""


@dataclasses.dataclass(kw_only=True)
class Measured:
    """What came of a client's run: times in milliseconds, sizes in bytes."""

    stack: str
    peer: str
    streams: int
    message_size: int
    bytes: int
    messages: int
    seconds: float
    round_trips: list[float]
    statistics: AssociationStatistics | None
    paths: list[PeerAddressInfo]

    @property
    def bits_per_second(self) -> float:
        return 8 * self.bytes / self.seconds if self.seconds else 0

    def latency(self) -> dict[str, float]:
        times = sorted(self.round_trips)
        if not times:
            return {}
        return {
            "min": times[0],
            "median": statistics.median(times),
            "p99": times[99 * (len(times) - 1) // 100],
            "max": times[-1],
        }

    def as_json(self) -> str:
        return json.dumps(
            {
                "stack": self.stack,
                "peer": self.peer,
                "streams": self.streams,
                "message_size": self.message_size,
                "bytes": self.bytes,
                "messages": self.messages,
                "seconds": self.seconds,
                "bits_per_second": self.bits_per_second,
                "round_trip_ms": self.latency(),
                "statistics": dataclasses.asdict(self.statistics) if self.statistics else None,
                "paths": [
                    {
                        "address": path.address[0],
                        "state": str(path.state),
                        "primary": path.primary,
                        "srtt_ms": path.srtt,
                        "rto_ms": path.rto,
                        "cwnd": path.cwnd,
                        "mtu": path.mtu,
                    }
                    for path in self.paths
                ],
            },
            indent=2,
        )

    def show(self) -> None:
        """The closing table."""
        facts = table("", "")
        facts.show_header = False
        facts.add_row("Peer", f"{self.peer}, {self.stack} stack")
        facts.add_row("Arrived", f"{said(self.bytes)} in {self.seconds:.2f} s")
        facts.add_row(
            "Throughput",
            f"{self.bits_per_second / 1e6:.1f} Mbit/s, "
            f"{self.messages / self.seconds if self.seconds else 0:.0f} messages/s of "
            f"{counted(self.message_size, 'byte')} on {counted(self.streams, 'stream')}",
        )
        if latency := self.latency():
            figures = ", ".join(f"{name} {value:.3f}" for name, value in latency.items())
            facts.add_row("Round trip", f"{figures} ms ({len(self.round_trips)} probes, idle)")
        if (counts := self.statistics) is not None:
            share = 100 * counts.retransmitted / max(counts.data_chunks_sent, 1)
            facts.add_row(
                "Retransmitted",
                f"{counts.retransmitted} of {counts.data_chunks_sent} DATA chunks ({share:.2f}%)",
            )
            facts.add_row("Packets", f"{counts.packets_sent} out, {counts.packets_received} in")
        for path in self.paths:
            facts.add_row(
                f"Path {path.address[0]}",
                f"{path.state}{', primary' if path.primary else ''}, srtt {path.srtt} ms, "
                f"rto {path.rto} ms, cwnd {path.cwnd}, mtu {path.mtu}",
            )
        show(facts)


def said(size: float) -> str:
    """A number of bytes as people say it."""
    for unit in "bytes", "kB", "MB":
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"


class Load:
    """What a client sends as fast as it can."""

    def __init__(self, size: int) -> None:
        self.data = BULK + bytes(size - 1)
        self.sent = 0
        self._silent = False

    async def send(
        self,
        association: AssociationChannel,
        seconds: float,
        patience: float,
        interrupts: Interrupts,
    ) -> None:
        """Send for so long or until Ctrl-C, and wait until all of it is acknowledged.

        Raises:
          click.ClickException: nothing was acknowledged for ``patience`` seconds.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, association, patience, nursery.cancel_scope)
            with interrupts.gently(), trio.move_on_after(seconds):
                await self._send(association)
            await association.wait_sent()
            nursery.cancel_scope.cancel()
        if self._silent:
            association.abort(b"nothing was acknowledged")
            raise click.ClickException(
                f"the server has acknowledged nothing for {patience:g} s; -W waits longer"
            )

    async def _send(self, association: AssociationChannel) -> None:
        streams = association.outbound_streams
        while True:
            stream = self.sent % streams
            try:
                association.send_nowait(self.data, stream=stream)
            except trio.WouldBlock:
                await association.send(self.data, stream=stream)
            self.sent += 1

    async def _watch(
        self, association: AssociationChannel, patience: float, scope: trio.CancelScope
    ) -> None:
        """Give up once nothing has been acknowledged for so long."""
        acknowledged, since = -1, trio.current_time()
        with contextlib.suppress(AssociationLost):
            while trio.current_time() < since + patience:
                await trio.sleep(min(STEP, patience))
                sent = association.statistics().data_chunks_sent
                now = sent - association.status().unackdata
                if now != acknowledged:
                    acknowledged, since = now, trio.current_time()
            self._silent = True
            scope.cancel()


@contextlib.asynccontextmanager
async def progress(
    association: AssociationChannel, load: Load, seconds: float
) -> AsyncGenerator[None, None]:
    """Show on a terminal how it goes."""
    if not happenings.is_terminal:
        yield
        return
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rate]}")
    with Progress(*columns, console=happenings, transient=True) as bar:
        task = bar.add_task("sending", total=seconds, rate="")

        async def look() -> None:
            begun, before = trio.current_time(), 0
            with contextlib.suppress(AssociationLost):
                while True:
                    await trio.sleep(STEP)
                    rate = (load.sent - before) * len(load.data) * 8 / STEP / 1e6
                    before = load.sent
                    again = association.statistics().retransmitted
                    text = f"{rate:.1f} Mbit/s, {again} retransmissions"
                    bar.update(task, completed=trio.current_time() - begun, rate=text)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            yield
            nursery.cancel_scope.cancel()
