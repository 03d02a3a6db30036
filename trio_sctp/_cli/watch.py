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

if TYPE_CHECKING:
    from .kernel_associations import KernelAssociation

NONE = "The kernel of this host has no SCTP association now"


def look() -> RenderableType:
    """The table, or a line that says that there is nothing to show."""
    from .kernel_associations import find_owners, read_associations  # Linux has it

    associations = read_associations()
    if not associations:
        return Text(NONE)
    return shown(associations, find_owners({one.inode for one in associations}))


def shown(associations: list[KernelAssociation], owners: dict[int, str]) -> RenderableType:
    made = table(
        "ID ",
        "STATE",
        "LOCAL",
        "PORT ",
        "PEER",
        "PORT ",
        "STREAMS ",
        "RTT ",
        "RTO ",
        "CWND ",
        "QUEUED ",
        "RTX ",
        "OWNER",
    )
    for one in associations:
        primary = one.primary
        made.add_row(
            str(one.id),
            one.state,
            "\n".join(one.local_hosts),
            str(one.local_port),
            "\n".join(map(str, one.paths)),
            str(one.peer_port),
            f"{one.outbound_streams}/{one.inbound_streams}",
            "-" if primary is None else f"{primary.srtt} ms",
            "-" if primary is None else f"{primary.rto} ms",
            "-" if primary is None else str(primary.cwnd),
            f"{one.unsent}/{one.unread}",
            str(one.retransmitted),
            harmless(owners.get(one.inode) or f"user {one.user}"),
        )
    return made


@click.command()
@click.option(
    "-i",
    "--interval",
    type=click.FloatRange(0.1),
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
