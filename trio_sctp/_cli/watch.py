"""``trio-sctp watch``: the associations of this host's kernel, as a live table."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click
import trio
from rich.console import Group
from rich.live import Live
from rich.text import Text

import trio_sctp

from .interrupting import Interrupts, run
from .screen import counted, harmless, results
from .target import Seconds

if TYPE_CHECKING:
    from .kernel_associations import KernelAssociation

NONE = "The kernel of this host has no SCTP association now"
NONE_OF_THEM = "None of the associations of this host's kernel is one of these now"

COLUMNS = (
    "ID ",
    "STATE",
    "LOCAL",
    "PEER",
    "STREAMS ",
    "RTT ",
    "RTO ",
    "CWND ",
    "QUEUED ",
    "RTX ",
    "OWNER",
)
"""The names that end in a space are of numbers, which stand to the right."""

DISPENSABLE = "ID ", "STREAMS ", "CWND ", "RTO ", "QUEUED ", "OWNER", "RTX ", "RTT "
"""What is left out of narrow terminals, the first one first."""

_GAP = "  "


def look(wanted: Collection[str], width: int | None, height: int | None) -> tuple[str, str]:
    """How many associations there are, and the lines of a table of them.

    Args:
      wanted: What users call those that are wanted; all are if there is none.
      width: Characters of a line; None for as many as it takes.
      height: Lines of the table; None for as many as it takes.
    """
    from .kernel_associations import find_owners, read_associations  # Linux has it

    found = [one for one in read_associations() if not wanted or {*wanted} & {*_names(one)}]
    if not found:
        return counted(0, "association"), NONE_OF_THEM if wanted else NONE
    lines = table_of(found, find_owners({one.inode for one in found}), width)
    shown = _that_fit([len(row) for row in lines[1:]], height)
    text = "\n".join(line for row in lines[: 1 + shown] for line in row)
    said = counted(len(found), "association")
    return said if shown == len(found) else f"{said}, {shown} shown", text


def _that_fit(sizes: Sequence[int], height: int | None) -> int:
    """How many rows there is room for, besides the headings."""
    left, shown = math.inf if height is None else height - 1, 0
    for size in sizes:
        left -= size
        if left < 0:
            break
        shown += 1
    return shown


def table_of(
    associations: Iterable[KernelAssociation], owners: dict[int, str], width: int | None
) -> list[list[str]]:
    """The headings and the associations, those in trouble first, as rows of one line or more."""
    troubled_first = sorted(
        associations, key=lambda one: (not one.failing, -one.retransmitted, one.id)
    )
    rows = [_cells(one, owners) for one in troubled_first]
    names = list(COLUMNS)
    widths = {
        name: max(len(name.strip()), *(len(line) for row in rows for line in row[name]))
        for name in names
    }
    for name in DISPENSABLE:
        total = sum(widths[name] for name in names) + len(_GAP) * (len(names) - 1)
        if width is None or total <= width:
            break
        names.remove(name)
    headings = {name: [name.strip()] for name in names}
    return [_lines(row, {name: widths[name] for name in names}) for row in (headings, *rows)]


def _lines(row: dict[str, list[str]], widths: dict[str, int]) -> list[str]:
    lines = itertools.zip_longest(*(row[name] for name in widths), fillvalue="")
    return [
        _GAP.join(
            cell.rjust(width) if name.endswith(" ") else cell.ljust(width)
            for cell, (name, width) in zip(line, widths.items(), strict=True)
        ).rstrip()
        for line in lines
    ]


def _cells(one: KernelAssociation, owners: dict[int, str]) -> dict[str, list[str]]:
    """What stands in each column, a line or more."""
    primary = one.primary
    cells: dict[str, str | list[str]] = {
        "ID ": str(one.id),
        "STATE": one.state.replace("ESTABLISHED", "ESTAB").replace("SHUTDOWN", "SHUT"),
        "LOCAL": _ends(one.local_hosts, one.local_port),
        "PEER": _ends([str(path) for path in one.paths], one.peer_port),
        "STREAMS ": f"{one.outbound_streams}/{one.inbound_streams}",
        "RTT ": f"{primary.srtt} ms" if primary else "-",
        "RTO ": f"{primary.rto} ms" if primary else "-",
        "CWND ": str(primary.cwnd) if primary else "-",
        "QUEUED ": f"{one.unsent}/{one.unread}",
        "RTX ": str(one.retransmitted),
        "OWNER": harmless(owners.get(one.inode) or f"user {one.user}"),
    }
    return {name: [cell] if isinstance(cell, str) else cell for name, cell in cells.items()}


def _ends(hosts: Sequence[str], port: int) -> list[str]:
    """The addresses of one end, a line for each; the port stands with the first."""
    first, *others = hosts or ["?"]
    return [_spelled(first, port), *others]


def _spelled(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _names(one: KernelAssociation) -> Iterator[str]:
    """What users may call an association."""
    for hosts, port in (
        (one.local_hosts, one.local_port),
        ([path.host for path in one.paths], one.peer_port),
    ):
        yield f":{port}"
        for host in hosts:
            yield host
            yield _spelled(host, port)


@click.command()
@click.argument("which", nargs=-1)
@click.option(
    "-i",
    "--interval",
    type=Seconds(0.1),
    default=1,
    help="From one look to the next.  [1]",
)
@click.option("--once", is_flag=True, help="Look once; so it is in a pipe, too.")
def watch(which: tuple[str, ...], interval: float, once: bool) -> int:
    """Show the associations of this host's kernel, live.

    WHICH chooses some of them: an address, :PORT or ADDRESS:PORT of either end.

    Each has its state, its streams (out/in), the round trip (rtt), retransmission timeout (rto) and
    congestion window (cwnd) of the path in use, the bytes that are queued (out/in), the chunks that
    were sent again (rtx), and its owner.  A path that is not active has its state behind it.  Those
    with such a path come first, then those that have sent the most chunks again.  Narrow terminals
    have fewer columns.  The owners of other users' sockets are known only to root.

    Associations of the userland stack belong to their processes, and are not seen here.
    """
    report = trio_sctp.stacks()[0]
    if not report.available:
        raise click.ClickException(f"{report.reason}; {report.remedy}")
    wanted = [one.lower() for one in which]
    if once or not results.is_terminal:
        _, text = look(wanted, results.width if results.is_terminal else None, None)
        click.echo(text)
        return 0

    async def program(interrupts: Interrupts) -> int:
        with Live(console=results, auto_refresh=False) as live, interrupts.gently():
            while True:
                room = results.width, results.height - 2  # the head, and the cursor
                said, text = await trio.to_thread.run_sync(look, wanted, *room)
                head = Text(f"{time.strftime('%X')}  {said}; Ctrl-C ends it", style="dim")
                body = Text(text, no_wrap=True, overflow="ellipsis")
                live.update(Group(head, body), refresh=True)
                await trio.sleep(interval)
        return 0

    return run(program)
