"""A chart as lines of text.

    seconds  gnb       amf
      0.000  |-------->|  INIT streams 10/65535
      0.020  |<--------|  INIT ACK streams 10/65535
      0.040  |----X    |  COOKIE ECHO [dropped: lost]
      1.060  |----?--->|  DATA 1 stream 0 b'hello' [lost? sent again]

A host that has several addresses has a line for each, as many as its packets use.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from .associations import Association
from .chart import Arrow, Chart, Host
from .flows import Fate

NARROWEST = 40
"""Characters that a line needs at least."""

_APART = 10  # characters between hosts, so that arrows look like arrows
_BESIDE = 3  # characters between the lines of a host
_LONGEST_TITLE = 24
_MOST_RUNGS = 100  # characters
_LEAST_LABEL = 24
_CHUNKS = 8  # of a packet, that are shown
_ASSOCIATIONS = 20  # that are listed
_TIME = 7  # characters, at least


class Row(NamedTuple):
    """A line of text, and the arrow that it shows."""

    text: str
    arrow: Arrow | None = None


def text(chart: Chart, width: int | None = None) -> str:
    """Draw a chart.

    Args:
      chart: The chart.
      width: How many characters fit into a line; None for as many as there are.
    """
    return "\n".join(row.text for row in rows(chart, width))


def rows(chart: Chart, width: int | None = None) -> Iterator[Row]:
    """Draw a chart, line by line; see `text`."""
    several = len(chart.associations) > 1
    if several:
        for line in listed(chart.associations, chart.start):
            yield from map(Row, folded(line, width, "    "))
    layout = _Layout(chart)
    margin = layout.margin
    if layout.width > min(_MOST_RUNGS, (width or 1000) - margin - 2 - _LEAST_LABEL):
        yield from _list(chart, width, several, margin)
        return
    for line in layout.legend():
        yield from map(Row, folded(line, width, "    "))
    yield from map(Row, layout.titles())
    for arrow in chart.arrows:
        rungs = layout.rungs(arrow)
        room = width and width - margin - layout.width - 2
        first, *others = _wrapped(label(arrow, several), room)
        yield Row(f"{_time(arrow, chart):>{margin - 2}}  {rungs}  {first}", arrow)
        for more in others:
            yield Row(f"{'':{margin}}{layout.bars}    {more}", arrow)


def _time(arrow: Arrow, chart: Chart) -> str:
    return f"{arrow.time - chart.start:.3f}"


def _list(chart: Chart, width: int | None, several: bool, margin: int) -> Iterator[Row]:
    """The packets one below the other, if there are too many lines to draw."""
    yield Row(f"{'seconds':>{margin - 2}}")
    for arrow in chart.arrows:
        pieces = [f"{arrow.source} > {arrow.destination}:", *label(arrow, several)]
        first, *others = _wrapped(pieces, width and width - margin)
        yield Row(f"{_time(arrow, chart):>{margin - 2}}  {first}", arrow)
        for more in others:
            yield Row(f"{'':{margin}}  {more}", arrow)


class _Layout:
    """Where the lines of a chart stand."""

    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        longest = max((len(_time(arrow, chart)) for arrow in chart.arrows), default=0)
        self.margin = max(_TIME, longest) + 2  # characters before the lines, for the time
        self._positions: list[int] = []
        position = 0
        for host in chart.hosts:
            self._positions += [position + _BESIDE * n for n in range(len(host.lines))]
            needed = max(len(_title(host)) + 2, _BESIDE * (len(host.lines) - 1) + _APART)
            position += needed
        self._even_out()
        self.width = self._positions[-1] + 1 if self._positions else 0
        self.bars = self._bars()

    def _even_out(self) -> None:
        """Make the distances between hosts equal."""
        starts = [self._positions[host.lines[0]] for host in self._chart.hosts]
        widest = max((b - a for a, b in pairwise(starts)), default=0)
        for number, host in enumerate(self._chart.hosts):
            for line in host.lines:
                self._positions[line] = number * widest + _BESIDE * (line - host.lines[0])

    def _bars(self) -> str:
        line = [" "] * self.width
        for position in self._positions:
            line[position] = "|"
        return "".join(line)

    def titles(self) -> Iterator[str]:
        """The titles of the hosts and, if one has several lines, what these are called."""
        line, numbers = "", ""
        for host in self._chart.hosts:
            start = self._positions[host.lines[0]]
            line = line.ljust(start) + _title(host)
            if len(host.lines) > 1:
                for number, place in enumerate(host.lines, 1):
                    numbers = numbers.ljust(self._positions[place]) + str(number)
        yield f"{'seconds':>{self.margin - 2}}  {line}".rstrip()
        if numbers:
            yield f"{'':{self.margin}}{numbers}"

    def legend(self) -> Iterator[str]:
        """What is too long to stand above the lines."""
        for host in self._chart.hosts:
            if len(host.lines) > 1:
                listed = (
                    f"{number} is {self._chart.addresses[line]}"
                    for number, line in enumerate(host.lines, 1)
                )
                yield f"{host.title}: {', '.join(listed)}"
            elif _title(host) != host.title:
                yield f"{_title(host)} is {host.title}"

    def rungs(self, arrow: Arrow) -> str:
        """The bars of all lines, and an arrow; that of a dropped packet ends halfway, in an X."""
        line = list(self.bars)
        source = self._positions[self._chart.line(arrow.source)]
        destination = self._positions[self._chart.line(arrow.destination)]
        if source == destination:
            line[source] = "X" if arrow.fate is Fate.DROPPED else "o"
            return "".join(line)
        step = 1 if source < destination else -1
        end, head = destination - step, ">" if step == 1 else "<"
        middle = (source + destination) // 2
        if arrow.fate is Fate.DROPPED:
            end, head = middle, "X"
        for position in range(source + step, end, step):
            line[position] = "-"
        if arrow.fate is Fate.LOST:
            line[middle] = "?"
        line[end] = head
        return "".join(line)


def _title(host: Host) -> str:
    """A title that is not too long."""
    if len(host.title) <= _LONGEST_TITLE:
        return host.title
    half = (_LONGEST_TITLE - 3) // 2
    return f"{host.title[:half]}...{host.title[-half:]}"


def label(arrow: Arrow, several: bool) -> list[str]:
    """What stands beside an arrow, in pieces: chunks, then notes.

    The first one says which association it is, if there are several.
    """
    shown = [str(chunk) for chunk in arrow.chunks]
    count = len(shown) + arrow.more
    if count > _CHUNKS:
        shown[_CHUNKS - 1 :] = [f"and {count - _CHUNKS + 1} more chunks"]
    pieces = [f"{piece}," for piece in shown[:-1]] + shown[-1:]
    pieces += [f"[{note}]" for note in arrow.all_notes]
    if several and arrow.association:
        pieces[0] = f"#{arrow.association} {pieces[0]}"
    return pieces


def folded(line: str, width: int | None, indent: str) -> list[str]:
    """A line, in as many as it needs; None means that any length fits."""
    if width is None:
        return [line]
    return textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False)


def _wrapped(pieces: list[str], width: int | None) -> list[str]:
    """Pieces in lines that are no longer than `width`, broken between them if possible."""
    if width is None:
        return [" ".join(pieces)]
    lines = [""]
    for piece in pieces:
        room = width if len(lines) == 1 else width - 2
        if not lines[-1]:
            lines[-1] = piece
        elif len(lines[-1]) + 1 + len(piece) <= room:
            lines[-1] += f" {piece}"
        else:
            lines.append(piece)
    broken: list[str] = []
    for line in lines:
        broken += textwrap.wrap(line, width - 2, break_on_hyphens=False) or [""]
    return broken


def listed(associations: list[Association], start: float) -> Iterator[str]:
    """A line for each association."""
    for one in associations[:_ASSOCIATIONS]:
        began = "" if one.begun else ", began earlier"
        restart = "" if one.instead_of is None else f", restart of #{one.instead_of}"
        ended = f", ended by {one.ended}" if one.ended else ""
        yield (
            f"#{one.number}  {one.sides[0]} > {one.sides[1]}: "
            f"{one.packets} packet{'s' * (one.packets != 1)}, {one.first - start:.3f} to "
            f"{one.last - start:.3f} s{began}{restart}{ended}"
        )
    if len(associations) > _ASSOCIATIONS:
        yield f"and {len(associations) - _ASSOCIATIONS} more associations"
