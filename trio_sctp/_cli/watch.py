"""``trio-sctp watch``: the associations of this host's kernel, as a live table."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
import trio
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

import trio_sctp

from .interrupting import Interrupts, run
from .screen import harmless, results, table
from .target import Seconds

if TYPE_CHECKING:
    from .kernel_associations import KernelAssociation

WIDE = 110
"""Columns from which on an association has a line."""

NONE = "The kernel of this host has no SCTP association now"


def look() -> RenderableType:
    """The table, or a line that says that there is nothing to show."""
    from .kernel_associations import find_owners, read_associations  # Linux has it

    associations = read_associations()
    if not associations:
        return Text(NONE)
    return shown(associations, find_owners({one.inode for one in associations}))


def shown(associations: list[KernelAssociation], owners: dict[int, str]) -> RenderableType:
    """The table: an association is a line, or where there is little room a few lines."""
    if results.width < WIDE:
        made = table("ID ", "STATE, OWNER", "LOCAL", "PEER", "PATH IN USE", "OUT/IN")
    else:
        names = "ID ", "STATE", "LOCAL", "PEER", "STREAMS ", "RTT ", "RTO ", "CWND ", "QUEUED "
        made = table(*names, "RTX ", "OWNER")
    for one in associations:
        owner = harmless(owners.get(one.inode) or f"user {one.user}")
        local = _ends(one.local_hosts, one.local_port)
        peer = _ends([str(path) for path in one.paths], one.peer_port)
        streams = f"{one.outbound_streams}/{one.inbound_streams}"
        queued = f"{one.unsent}/{one.unread}"
        rtt, rto, cwnd = "-", "-", "-"
        if one.primary is not None:
            rtt, rto = f"{one.primary.srtt} ms", f"{one.primary.rto} ms"
            cwnd = str(one.primary.cwnd)
        if results.width < WIDE:
            made.add_row(
                str(one.id),
                f"{one.state}\n{owner}",
                local,
                peer,
                f"rtt {rtt}\nrto {rto}\ncwnd {cwnd}",
                f"{streams} streams\n{queued} queued\n{one.retransmitted} rtx",
            )
        else:
            again = str(one.retransmitted)
            made.add_row(
                str(one.id), one.state, local, peer, streams, rtt, rto, cwnd, queued, again, owner
            )
    return made


def _ends(hosts: list[str], port: int) -> str:
    """The addresses of one end, a line for each; the port stands with the first."""
    first, *others = hosts or ["?"]
    return "\n".join([f"[{first}]:{port}" if ":" in first else f"{first}:{port}", *others])


@click.command()
@click.option(
    "-i",
    "--interval",
    type=Seconds(0.1),
    default=1,
    metavar="SECONDS",
    help="From one look to the next.  [1]",
)
@click.option("--once", is_flag=True, help="Look once; so it is in a pipe, too.")
def watch(interval: float, once: bool) -> int:
    """Show the associations of this host's kernel, live.

    Each has its state, its streams (out/in), the round trip (rtt), retransmission timeout (rto) and
    congestion window (cwnd) of the path in use, the bytes that are queued (out/in), the chunks that
    were sent again (rtx), and its owner.  A path that is not active has its state behind it.  The
    owners of other users' sockets are known only to root.

    Associations of the userland stack belong to their processes, and are not seen here.
    """
    report = trio_sctp.stacks()[0]
    if not report.available:
        raise click.ClickException(f"{report.reason}; {report.remedy}")
    if once or not results.is_terminal:
        results.print(look())
        return 0

    async def program(interrupts: Interrupts) -> int:
        with Live(console=results, auto_refresh=False) as live, interrupts.gently():
            while True:
                head = Text(f"{time.strftime('%X')}  Ctrl-C ends it", style="dim")
                body = await trio.to_thread.run_sync(look)
                live.update(Group(head, body), refresh=True)
                await trio.sleep(interval)
        return 0

    return run(program)
