"""``trio-sctp ladder``: a message sequence chart of a capture, as text or as a picture."""

from __future__ import annotations

import contextlib
import io
import math
import shutil
import sys
from collections.abc import Callable, Collection, Generator, Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import cast

import click
import rich.progress

from .._ladder.associations import Association
from .._ladder.capture import Capture, CaptureError
from .._ladder.chart import Arrow, Chart, draw
from .._ladder.extensions import NAMES
from .._ladder.flows import Fate
from .._ladder.svg import svg
from .._ladder.text import NARROWEST, Row, folded, listed, rows
from .screen import counted, happenings, tell

MOST_ARROWS = 5000
"""Arrows in a picture: browsers take long to show more, and nobody finds anything in them."""
MOST_LINES = 50

_DAY = 86400
_NO_DATE = (ValueError, OverflowError, OSError)
"""What Python raises for moments that are too far away to have a date."""


class Moment(click.ParamType[float | datetime | time]):
    """Seconds since the capture began, or a time of day, or a date with a time."""

    name = "time"

    def convert(
        self,
        value: str | float | datetime | time,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float | datetime | time:
        if not isinstance(value, str):
            return value
        for kind in (_finite, time.fromisoformat, datetime.fromisoformat):
            with contextlib.suppress(ValueError):
                return kind(value)
        return self.fail(
            f"{value!r} is no time: give seconds since the capture began, such as 4.5, or a time, "
            "such as 03:12:44 or 2026-11-30T03:12:44"
        )


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("it is not finite")
    return number


class ChunkName(click.ParamType[str]):
    """The name of a chunk, in any case, with hyphens or blanks."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        known = {_plain(name): name for name in NAMES.values()}
        if _plain(value) not in known:
            self.fail(f"{value!r} is no chunk: there are {', '.join(sorted(NAMES.values()))}")
        return known[_plain(value)]


def _plain(name: str) -> str:
    return "".join(char for char in name.upper() if char.isalnum())


@click.command()
@click.argument("trace")
@click.option(
    "-o", "--output", metavar="FILE.svg", type=Path, help="Draw a picture into this file."
)
@click.option(
    "-a",
    "--association",
    "associations",
    metavar="WHICH",
    multiple=True,
    help="Only this one: its number, an address, :PORT, ADDRESS:PORT, or a tag such as 0x1234abcd.",
)
@click.option("--from", "begin", type=Moment(), help="Only from this time on.")
@click.option("--to", "end", type=Moment(), help="Only up to this time.")
@click.option(
    "-c",
    "--chunk",
    "names",
    type=ChunkName(),
    multiple=True,
    help="Only packets with such a chunk: data, init-ack, heartbeat...",
)
def ladder(
    trace: str,
    output: Path | None,
    associations: tuple[str, ...],
    begin: float | datetime | time | None,
    end: float | datetime | time | None,
    names: tuple[str, ...],
) -> None:
    """Draw the SCTP packets of a capture as a message sequence chart.

    TRACE is a pcapng or pcap file that tshark, tcpdump or trio_sctp has written, of SCTP as it is
    or in UDP; - is standard input.  Each address of a host has a line, each packet an arrow.  TSNs
    count from 1 in each direction.

    An X ends a packet that a simulated network has dropped.  A question mark is on one that was
    lost as far as the capture tells: it was sent again, never answered, or reported missing.

    Times are seconds since the capture began, or the time of day.  -a, -c and their like may be
    given several times.
    """
    if output is not None and output.suffix.lower() != ".svg":
        raise click.ClickException(f"-o draws an SVG file: {output} has to end in .svg")
    whole = _read(trace)
    wanted = list(_conditions(whole, associations, begin, end, names))
    chart = whole.only(lambda arrow: all(is_wanted(arrow) for is_wanted in wanted))
    if not chart.arrows:
        last = whole.arrows[-1].time - whole.start
        raise click.ClickException(
            f"no packet is left: {trace} has {counted(len(whole.arrows), 'packet')} in "
            f"{counted(len(whole.associations), 'association')}, from 0 to {last:.3f} s"
        )
    if output is not None:
        _draw(chart, output)
    else:
        _print(trace, whole, chart)


def _read(trace: str) -> Chart:
    """The chart of all of a capture."""
    with _opened(trace) as file:
        try:
            capture = Capture(file, "standard input" if trace == "-" else trace)
            chart = draw(capture.packets(), start=capture.start, infer=not capture.simulated)
        except CaptureError as error:
            raise click.ClickException(str(error)) from None
    if capture.damage:
        tell(f"{trace} is damaged: {capture.damage}; what is before that is drawn")
    if capture.twice:
        one = capture.twice == 1
        tell(
            f"{capture.twice} packet{' was' if one else 's were'} captured at two places; "
            f"{'it' if one else 'each'} is drawn once"
        )
    return chart


@contextlib.contextmanager
def _opened(trace: str) -> Generator[io.BufferedReader]:
    """Open a capture, and show on a terminal how much of it has been read."""
    if trace == "-":
        # The libraries want to know where they are, which nobody knows in a pipe.
        yield io.BufferedReader(io.BytesIO(sys.stdin.buffer.read()))
        return
    with rich.progress.open(
        trace,
        "rb",
        description="Reading",
        console=happenings,
        transient=True,
        disable=not happenings.is_terminal,
    ) as file:
        yield io.BufferedReader(cast(io.RawIOBase, file), 2**20)


def _conditions(
    chart: Chart,
    associations: Collection[str],
    begin: float | datetime | time | None,
    end: float | datetime | time | None,
    names: Collection[str],
) -> Iterator[Callable[[Arrow], bool]]:
    """What has to be true of an arrow that is drawn."""
    if associations:
        numbers = {
            one.number for which in associations for one in _chosen(chart.associations, which)
        }
        yield lambda arrow: arrow.association in numbers
    if begin is not None:
        first = _seconds(begin, chart.start)
        yield lambda arrow: arrow.time >= first
    if end is not None:
        last = _seconds(end, chart.start)
        yield lambda arrow: arrow.time <= last
    if names:
        yield lambda arrow: any(chunk.name in names for chunk in arrow.chunks)


def _chosen(associations: list[Association], which: str) -> list[Association]:
    chosen = [one for one in associations if which.lower() in _names(one)]
    if not chosen:
        raise click.ClickException(
            f"there is no association {which}: give a number from #1 to #{len(associations)}, "
            "an address, :PORT or ADDRESS:PORT"
        )
    return chosen


def _names(association: Association) -> Iterator[str]:
    """What users may call an association."""
    yield f"{association.number}"
    yield f"#{association.number}"
    for side in association.sides:
        yield f":{side.port}"
        yield from side.addresses
        yield from side.spelled()
        yield from (f"0x{tag:08x}" for tag in side.tags)


def _seconds(moment: float | datetime | time, start: float) -> float:
    """A moment as the capture counts time."""
    if not isinstance(moment, datetime | time):
        return start + moment
    try:
        if isinstance(moment, time):
            moment = datetime.combine(date.fromtimestamp(start), moment)
        return moment.timestamp()
    except _NO_DATE:
        raise click.UsageError(
            f"{moment} is no time that can be found in this capture: give seconds since it began"
        ) from None


def _draw(chart: Chart, output: Path) -> None:
    for count, most, what in (
        (len(chart.arrows), MOST_ARROWS, "packets"),
        (len(chart.addresses), MOST_LINES, "addresses"),
    ):
        if count > most:
            raise click.ClickException(
                f"{count} {what} are more than the {most} that a picture can show: "
                "choose with --association, --from, --to or --chunk"
            )
    try:
        output.write_text(svg(chart), encoding="utf-8")
    except OSError as error:
        raise click.ClickException(
            f"cannot write {output}: {error.strerror}; name another file with -o"
        ) from None


def _print(trace: str, whole: Chart, chart: Chart) -> None:
    terminal = sys.stdout.isatty()
    width = max(NARROWEST, shutil.get_terminal_size().columns) if terminal else None
    for head in _head(trace, whole, chart):
        for line in folded(head, width, "    "):
            sys.stdout.write(f"{line}\n")
    for row in rows(chart, width):
        sys.stdout.write(f"{_coloured(row) if terminal else row.text}\n")


def _head(trace: str, whole: Chart, chart: Chart) -> Iterator[str]:
    shown = counted(len(chart.arrows), "SCTP packet")
    if len(chart.arrows) < len(whole.arrows):
        shown = f"{len(chart.arrows)} of {counted(len(whole.arrows), 'SCTP packet')}"
    if whole.start > _DAY:  # or it is a simulation's time, or none at all
        shown += f"; 0 is {_said(whole.start)}"
    yield f"{trace}: {shown}"
    if len(chart.associations) == 1:
        yield from listed(chart.associations, chart.start)


def _said(moment: float) -> str:
    """The date and time of a moment; of damaged captures, some have none."""
    try:
        return datetime.fromtimestamp(moment).astimezone().isoformat(" ", "milliseconds")
    except _NO_DATE:
        return f"{moment:.3f} s since 1970"


def _coloured(row: Row) -> str:
    if row.arrow is None:
        return row.text
    if row.arrow.fate is not Fate.ARRIVED:
        return click.style(row.text, fg="red")
    if row.arrow.old_path is not None:
        return click.style(row.text, fg="magenta")
    return click.style(row.text, fg="yellow") if row.arrow.again else row.text
