"""``trio-sctp ping``: the round trip and the state of each path, and failover as it happens."""

from __future__ import annotations

import functools
import ipaddress
import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import click
import trio
from rich.live import Live
from rich.table import Table

import trio_sctp
from trio_sctp import (
    Address,
    AssociationChannel,
    Option,
    PathState,
    PeerAddressChange,
    PeerAddressFlags,
    PeerAddressInfo,
    PeerAddressParams,
)

from .interrupting import INTERRUPTED, Interrupts, run
from .peers import answered_within
from .screen import counted, results, table
from .target import (
    Local,
    Number,
    Seconds,
    bind_port_option,
    capture_option,
    hosts_and_port,
    stack_options,
)

GOODBYE = 3
"""Seconds that the peer has for a graceful end, before the association is left to itself."""


@dataclass
class Path:
    """What is known of a path."""

    info: PeerAddressInfo
    sent: int = 0
    times: list[float] = field(default_factory=list[float])  # milliseconds

    @property
    def host(self) -> str:
        return self.info.address[0]

    @property
    def lost(self) -> int:
        return self.sent - len(self.times)

    def figures(self) -> list[str]:
        """The last, least, mean and largest round trip."""
        times = self.times
        if not times:
            return ["-"] * 4
        return [f"{x:.3f}" for x in (times[-1], min(times), statistics.mean(times), max(times))]

    def summary(self, *, alone: bool) -> str:
        """What has come of it, and a hint if it alone has never answered."""
        share = 100 * self.lost / self.sent if self.sent else 0
        text = (
            f"{self.host}: {counted(self.sent, 'heartbeat')}, {len(self.times)} answered, "
            f"{share:.0f}% lost, {self.info.state}"
        )
        if not self.times and self.sent and alone:
            text += ": is it one of the peer's addresses?"
        if self.times:
            figures = (
                min(self.times),
                statistics.mean(self.times),
                max(self.times),
                statistics.pstdev(self.times),
            )
            text += f", rtt min/avg/max/mdev {'/'.join(f'{x:.3f}' for x in figures)} ms"
        return text


class Pinger:
    """The paths of an association, and how their heartbeats fare."""

    def __init__(self, association: AssociationChannel) -> None:
        self.association = association
        # Whether the stack tells of answers to heartbeats.
        self.measures = association.stack.name != "kernel"
        self.paths = {info.address: Path(info) for info in association.paths()}
        self.in_use = self._in_use()
        self._live = Live(console=results, auto_refresh=False, transient=True)

    # -- what is shown ---

    def __enter__(self) -> Pinger:
        if results.is_terminal:
            self._live.start()
            self._refresh()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """A line that stays, above the table where there is one."""
        results.print(text, soft_wrap=True)

    def _table(self) -> Table:
        columns = ["", "PATH", "STATE", "SRTT ", "RTO "]
        if self.measures:
            columns += ["LAST ", "MIN ", "AVG ", "MAX ", "SENT ", "LOST "]
        shown = table(*columns)
        for address, path in self.paths.items():
            row = [
                "→" if address == self.in_use else "",
                path.host,
                str(path.info.state),
                f"{path.info.srtt} ms",
                f"{path.info.rto} ms",
            ]
            if self.measures:
                row += [*path.figures(), str(path.sent), str(path.lost)]
            shown.add_row(*row)
        return shown

    def _refresh(self) -> None:
        if self._live.is_started:
            self._live.update(self._table(), refresh=True)

    # -- what happens ---

    def look(self) -> None:
        """See how the paths are, and which one messages take."""
        for info in self.association.paths():
            self.paths.setdefault(info.address, Path(info)).info = info
        now = self._in_use()
        if now != self.in_use:
            before, self.in_use = self.in_use, now
            if now is not None:
                instead = f", no longer to {before[0]}" if before else ""
                self.say(f"* messages go to {now[0]}{instead}")
        self._refresh()

    def lacks(self, host: str) -> bool:
        """Whether a host that the user gave is an address, and no path goes to it."""
        try:
            wanted = ipaddress.ip_address(host)
        except ValueError:
            return False
        return all(wanted != ipaddress.ip_address(path.host) for path in self.paths.values())

    def _in_use(self) -> Address | None:
        """The primary path while it is active, else another one that is."""
        good = [path.info for path in self.paths.values() if path.info.state is PathState.ACTIVE]
        good.sort(key=lambda info: not info.primary)
        return good[0].address if good else None

    async def follow(self) -> None:
        """Tell of paths that change."""
        async with self.association.events() as events:
            async for event in events:
                if isinstance(event, PeerAddressChange):
                    self.say(f"* path to {event.address[0]}: {event.state}")
                    if self.association.up:
                        self.look()

    async def ping(self, address: Address, patience: float) -> None:
        """Send one heartbeat, and wait for its answer for a while."""
        path = self.paths[address]
        path.sent += 1
        number = path.sent
        try:
            with trio.move_on_after(patience) as waiting:
                path.times.append(1000 * await self.association.ping(address))
        except trio.Cancelled:  # by Ctrl-C: nobody knows what would have become of it
            path.sent -= 1
            raise
        if not self._live.is_started:
            how = "lost" if waiting.cancelled_caught else f"{path.times[-1]:.3f} ms"
            self.say(f"{path.host}: heartbeat {number}, {how}")
        self.look()

    async def ask(self, address: Address) -> None:
        """Have the kernel send a heartbeat, and see what it has made of the one before."""
        path = self.paths[address]
        path.sent += 1
        flags = PeerAddressFlags.HB_DEMAND
        self.association.set_option(PeerAddressParams(address=address, flags=flags))
        self.look()
        if not self._live.is_started:
            info = path.info
            self.say(f"{path.host}: {info.state}, srtt {info.srtt} ms, rto {info.rto} ms")
        await trio.lowlevel.checkpoint()

    async def run(self, count: int | None, interval: float, patience: float) -> None:
        """Ping all paths until they have been pinged so many times."""

        async def ping_path(address: Address) -> None:
            due = trio.current_time()
            for _ in itertools.count() if count is None else range(count):
                await trio.sleep_until(due)
                if self.measures:
                    await self.ping(address, patience)
                else:
                    await self.ask(address)
                due = max(due + interval, trio.current_time())

        async with trio.open_nursery() as follower:
            follower.start_soon(self.follow)
            async with trio.open_nursery() as nursery:
                for address in self.paths:
                    nursery.start_soon(ping_path, address)
            follower.cancel_scope.cancel()

    # -- what has come of it ---

    def sum_up(self, title: str) -> None:
        results.print(f"--- {title} ---", soft_wrap=True)
        for path in self.paths.values():
            info = path.info
            results.print(
                path.summary(alone=self.answered)
                if self.measures
                else f"{path.host}: {info.state}, srtt {info.srtt} ms, rto {info.rto} ms",
                soft_wrap=True,
            )

    @property
    def answered(self) -> bool:
        if self.measures:
            return any(path.times for path in self.paths.values())
        return any(path.info.state is PathState.ACTIVE for path in self.paths.values())


@click.command()
@hosts_and_port
@click.option("-c", "--count", type=Number(1), metavar="N", help="End after so many heartbeats.")
@click.option(
    "-i",
    "--interval",
    type=Seconds(0.01),
    default=1,
    help="From one heartbeat of a path to the next.  [1]",
)
@click.option(
    "-W",
    "--timeout",
    type=Seconds(0, min_open=True),
    default=5,
    help="After which a heartbeat counts as lost, and connecting is given up.  [5]",
)
@click.option(
    "--detect",
    type=Seconds(1.5),
    help="Choose the association's timers so that a failure is noticed by then.",
)
@bind_port_option
@capture_option
@stack_options
def ping(
    local: Local,
    hosts: Sequence[str],
    port: int | str,
    count: int | None,
    interval: float,
    timeout: float,
    detect: float | None,
) -> int:
    """Measure the round trip on each path to a peer, by SCTP heartbeats.

    It sets up an association and sends no data.  An arrow marks the path that messages would take.
    The kernel's stack does not tell of answers to heartbeats: there it shows the smoothed round
    trip, the retransmission timeout and the state of each path.

    The exit status is 0 if a heartbeat was answered, or on the kernel's stack a path is active, and
    the association has lasted to the end; it is 1 otherwise.  Losses alone do not count.

    \b
    Examples:
      trio-sctp ping 192.0.2.1 2905
      trio-sctp ping 192.0.2.1 198.51.100.1 2905 --count 10 --detect 2
    """
    options: list[Option] = [] if detect is None else trio_sctp.timers(detect)
    title = f"{' '.join(hosts)} port {port}"

    async def program(interrupts: Interrupts) -> int:
        async with local.open_stack() as stack:
            connect = functools.partial(local.connect, stack, hosts, port, options)
            with answered_within(timeout, title):
                association = await interrupts.unless_interrupted(connect)
            if association is None:
                return INTERRUPTED
            return await _ping(association, interrupts)

    async def _ping(association: AssociationChannel, interrupts: Interrupts) -> int:
        pinger = Pinger(association)
        paths = counted(len(pinger.paths), "path")
        pinger.say(f"PING {title}, {paths}, {association.stack.name} stack")
        if not pinger.measures:
            pinger.say(
                "The kernel does not tell of answers to heartbeats, but what it makes of them"
            )
        for host in hosts:
            if pinger.lacks(host):
                pinger.say(f"* {host} is not one of the peer's addresses")
        try:
            with pinger, interrupts.gently():
                await pinger.run(count, interval, timeout)
        finally:
            pinger.sum_up(title)
            with trio.move_on_after(GOODBYE):
                await association.aclose()
        return 0 if pinger.answered else 1

    return run(program)
