"""A chart as a picture: one SVG file, which needs nothing else.

Its colours follow the reader's, light or dark, on a background of its own.  Nothing is said by a
colour alone: a packet that was dropped ends in an X, one that is taken for lost has a question
mark, and what is sent again says so.
"""

from __future__ import annotations

import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from itertools import pairwise
from string import Template
from typing import Final

from .chart import Arrow, Chart, Chunk, Host
from .flows import Fate
from .text import label, listed

_NAMESPACE: Final = "http://www.w3.org/2000/svg"

# Pixels.
_LEFT, _RIGHT, _TOP = 150, 70, 14
_BETWEEN_HOSTS = 480
_LINE = 14  # from one line of text to the next
_ROOM = 13  # below an arrow
_CHARACTER, _SMALL_CHARACTER = 6.65, 6.05  # widths
_HEAD = 7
_PAUSE_HEIGHT = 26
_HOST_ALONE = 40  # to the right of it

_LABEL = int((_BETWEEN_HOSTS - 16) / _CHARACTER)  # characters
_PAUSE = 1.0  # seconds without a packet, which are pointed out

_LIGHT = {
    "back": "#ffffff",
    "ink": "#1f2328",
    "faint": "#59636e",
    "line": "#afb8c1",
    "box": "#eff2f5",
    "again": "#9a6700",
    "lost": "#cf222e",
    "path": "#8250df",
}
_DARK = {
    "back": "#0d1117",
    "ink": "#e6edf3",
    "faint": "#9198a1",
    "line": "#4c5561",
    "box": "#1c2430",
    "again": "#d29922",
    "lost": "#ff7b72",
    "path": "#be8fff",
}
_FORMS = """
text { font: 11px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace }
.title { font-weight: 600; font-size: 13px; text-anchor: middle }
.address, .pause { text-anchor: middle; font-size: 10px }
.time { text-anchor: end }
.label { text-anchor: middle; paint-order: stroke; stroke-width: 4px; stroke-linejoin: round }
.sign { font-size: 14px; font-weight: 700 }
.note { font-style: italic }
.way { fill: none; stroke-width: 1.4 }
.lost:not(.dropped) .way { stroke-dasharray: 6 4 }
.pausing { stroke-dasharray: 1 4 }
"""
_COLOURS = Template("""
text { fill: $ink }
.back { fill: $back }
.box { fill: $box; stroke: $line }
.life { stroke: $line; fill: none }
.address, .pause, .time, .legend { fill: $faint }
.label { stroke: $back }
.way { stroke: $ink }
.head { fill: $ink }
.again .way { stroke: $again }
.again text, .again .head { fill: $again }
.lost .way { stroke: $lost }
.lost text, .lost .head { fill: $lost }
.lost text.time, .again text.time { fill: $faint }
.changes { fill: $path }
""")


def svg(chart: Chart) -> str:
    """Draw a chart as a picture; returns what to write into a file, in UTF-8."""
    return _Picture(chart).text()


class _Picture:
    """A picture that is being drawn, from the top down."""

    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        self._several = len(chart.associations) > 1
        self._x = _positions(chart)
        self._column = [n for n, host in enumerate(chart.hosts) for _ in host.lines]
        self._gaps = [  # the middle of what is right of each host
            self._x[host.lines[-1]] + _BETWEEN_HOSTS / 2 for host in chart.hosts
        ]
        self._y = float(_TOP)
        self._root = ET.Element("svg", xmlns=_NAMESPACE, role="img")
        hosts = ", ".join(host.title for host in chart.hosts)
        _add(self._root, "title").text = f"{len(chart.arrows)} SCTP packets between {hosts}"
        _add(self._root, "style").text = _style()
        _add(self._root, "rect", "back", width="100%", height="100%")
        self._width = max([_LEFT, *self._x]) + _RIGHT
        if len(chart.hosts) == 1:  # its labels stand beside it
            self._width = self._gaps[0] + _HOST_ALONE + _BETWEEN_HOSTS / 2

        self._associations()
        self._hosts()
        lives = _add(self._root, "g")  # behind the arrows
        top = self._y
        pauses: list[float] = []
        for before, arrow in pairwise([None, *chart.arrows]):
            assert arrow is not None
            if before is not None and arrow.time - before.time >= _PAUSE:
                pauses.append(self._y)
                self._pause(arrow.time - before.time)
            self._arrow(arrow)
        self._lives(lives, top, pauses)
        self._legend()

    def text(self) -> str:
        """The file."""
        size = {"width": _number(self._width), "height": _number(self._y + 8)}
        self._root.attrib.update(size, viewBox=f"0 0 {size['width']} {size['height']}")
        ET.indent(self._root)
        return ET.tostring(self._root, encoding="unicode") + "\n"

    # -- what stands still ---------------------------------------------------------------------

    def _associations(self) -> None:
        if self._several:
            for line in listed(self._chart.associations, self._chart.start):
                self._y += _LINE
                self._line("legend", 10, line)
            self._y += _LINE

    def _hosts(self) -> None:
        heights = [_LINE * (2 + _shows_addresses(host, self._chart)) for host in self._chart.hosts]
        height = max(heights, default=0)
        for host in self._chart.hosts:
            first, last = self._x[host.lines[0]], self._x[host.lines[-1]]
            half = max(55.0, len(host.title) * 8 / 2 + 10 - (last - first) / 2)
            if _shows_addresses(host, self._chart):
                longest = max(len(self._chart.addresses[line]) for line in host.lines)
                half = max(half, longest * _SMALL_CHARACTER / 2 + 8)
            left, right = first - half, last + half
            self._width = max(self._width, right + 10)
            _add(
                self._root,
                "rect",
                "box",
                x=_number(left),
                y=_number(self._y),
                width=_number(right - left),
                height=_number(height),
                rx="5",
            )
            _write(self._root, "title", (left + right) / 2, self._y + 18, host.title)
            if _shows_addresses(host, self._chart):
                for line in host.lines:
                    address = self._chart.addresses[line]
                    _write(self._root, "address", self._x[line], self._y + 34, address)
        self._y += height

    def _lives(self, parent: ET.Element, top: float, pauses: Sequence[float]) -> None:
        """Draw the lines of all addresses, dotted where nothing passes for a while."""
        edges = [top, *(edge for pause in pauses for edge in (pause, pause + _PAUSE_HEIGHT))]
        for number, (begin, end) in enumerate(pairwise([*edges, self._y])):
            way = "".join(f"M{_number(x)} {_number(begin)}V{_number(end)}" for x in self._x)
            _add(parent, "path", "life pausing" if number % 2 else "life", d=way)

    def _pause(self, seconds: float) -> None:
        middle = self._y + _PAUSE_HEIGHT / 2 + 4
        _write(self._root, "pause", _LEFT / 2, middle, f"{seconds:.1f} s without packets")
        self._y += _PAUSE_HEIGHT

    def _legend(self) -> None:
        arrows = self._chart.arrows
        told = ["TSNs count from 1, the first one in each direction."]
        if any(arrow.fate is Fate.DROPPED for arrow in arrows):
            told.append("\N{MULTIPLICATION X}  the simulated network has dropped it")
        if any(arrow.fate is Fate.LOST for arrow in arrows):
            told.append("?  lost, as far as the capture tells")
        if any(arrow.old_path for arrow in arrows):
            told.append("\N{BLACK DIAMOND}  user data takes another path from here on")
        self._y += _LINE / 2
        for line in told:
            self._y += _LINE
            self._line("legend", 10, line)

    def _line(self, kind: str, x: float, text: str) -> None:
        self._width = max(self._width, x + len(text) * _CHARACTER + 10)
        _write(self._root, kind, x, self._y, text)

    # -- packets -------------------------------------------------------------------------------

    def _arrow(self, arrow: Arrow) -> None:
        group = _add(self._root, "g", _kinds(arrow))
        _add(group, "title").text = "\n".join(_everything(arrow, self._chart))
        source, destination = map(self._chart.line, (arrow.source, arrow.destination))
        start, end = self._x[source], self._x[destination]
        middle = self._middle(source, destination)
        for line, kind in _lines(arrow, self._several):
            self._y += _LINE
            _write(group, kind, middle, self._y, line)
        self._y += 8 if arrow.fate is Fate.ARRIVED else 13  # room for a sign on the arrow
        _write(group, "time", _LEFT - 80, self._y + 4, f"{arrow.time - self._chart.start:.3f}")
        self._way(group, arrow, start, end)
        if arrow.old_path is not None:
            d = f"M{_number(start)} {_number(self._y - 5)}l5 5l-5 5l-5 -5z"
            _add(group, "path", "changes", d=d)
        self._y += _ROOM

    def _way(self, group: ET.Element, arrow: Arrow, start: float, end: float) -> None:
        """Draw the arrow itself."""
        y, step = _number(self._y), 1 if end > start else -1
        sign = (start + end) / 2
        if start == end:  # to itself: a loop beside the line
            _add(group, "path", "way", d=f"M{_number(start)} {y}m0 -6h24v12h-17")
            start, end, step, sign = end + 24, end, -1, end + 34
            self._y += 6
            y = _number(self._y)
        elif arrow.fate is Fate.DROPPED:
            _add(group, "path", "way", d=f"M{_number(start)} {y}H{_number(sign - 8 * step)}")
        else:
            _add(group, "path", "way", d=f"M{_number(start)} {y}H{_number(end - _HEAD * step)}")
        if arrow.fate is Fate.DROPPED:
            _write(group, "label sign", sign, self._y + 5, "\N{MULTIPLICATION X}")
            return
        back = _number(-_HEAD * step)
        _add(group, "path", "head", d=f"M{_number(end)} {y}l{back} -4v8z")
        if arrow.fate is Fate.LOST:
            _write(group, "label sign", sign, self._y + 5, "?")

    def _middle(self, source: int, destination: int) -> float:
        """Where the label of an arrow stands: between two hosts, and not on the lines of one."""
        one, other = self._column[source], self._column[destination]
        if one == other:
            other = one + 1 if one + 1 < len(self._gaps) else one - 1
        return self._gaps[min(one, other)] if other >= 0 else self._gaps[one] + _HOST_ALONE


def _positions(chart: Chart) -> list[float]:
    """Where the lines stand."""
    several = [host for host in chart.hosts if len(host.lines) > 1]
    longest = max(
        (len(chart.addresses[line]) for host in several for line in host.lines), default=0
    )
    beside = max(64.0, longest * _SMALL_CHARACTER + 14)
    positions: list[float] = []
    for host in chart.hosts:
        start = positions[-1] + _BETWEEN_HOSTS if positions else float(_LEFT)
        positions += [start + number * beside for number in range(len(host.lines))]
    return positions


def _shows_addresses(host: Host, chart: Chart) -> bool:
    return [host.title] != [chart.addresses[line] for line in host.lines]


def _kinds(arrow: Arrow) -> str:
    kinds = ["arrow"]
    if arrow.fate is not Fate.ARRIVED:
        kinds.append("lost" if arrow.fate is Fate.LOST else "lost dropped")
    elif arrow.again:
        kinds.append("again")
    return " ".join(kinds)


def _lines(arrow: Arrow, several: bool) -> Iterator[tuple[str, str]]:
    """The lines above an arrow, with their classes."""
    pieces = label(arrow, several)
    notes = len(arrow.all_notes)
    text = pieces[: len(pieces) - notes]
    for line in _filled(text):
        yield line, "label"
    for note in pieces[len(pieces) - notes :]:
        for line in textwrap.wrap(note, _LABEL):
            yield line, "label note"


def _filled(pieces: Sequence[str]) -> list[str]:
    """Pieces in as few lines as possible, each with whole pieces if these are short enough."""
    lines: list[str] = []
    for piece in pieces:
        if lines and len(lines[-1]) + 1 + len(piece) <= _LABEL:
            lines[-1] += f" {piece}"
        else:
            lines += textwrap.wrap(piece, _LABEL, break_on_hyphens=False)
    return lines


def _everything(arrow: Arrow, chart: Chart) -> Iterator[str]:
    """What a reader is shown who points at an arrow."""
    number = f"packet {arrow.number}, " if arrow.number else ""
    yield f"{number}{arrow.time - chart.start:.6f} s"
    yield f"{arrow.source} > {arrow.destination}"
    yield from map(_whole, arrow.chunks)
    if arrow.more:
        yield f"and {arrow.more} more chunks"
    yield from arrow.all_notes


def _whole(chunk: Chunk) -> str:
    return f"{chunk} (TSN {chunk.tsn[0]})" if chunk.tsn else str(chunk)


def _style() -> str:
    light, dark = _COLOURS.substitute(_LIGHT), _COLOURS.substitute(_DARK)
    scheme = "\n:root { color-scheme: light dark }"
    return f"{scheme}{_FORMS}{light}@media (prefers-color-scheme: dark) {{{dark}}}\n"


def _add(parent: ET.Element, tag: str, kind: str = "", **attributes: str) -> ET.Element:
    return ET.SubElement(parent, tag, {"class": kind} if kind else {}, **attributes)


def _write(parent: ET.Element, kind: str, x: float, y: float, text: str) -> None:
    _add(parent, "text", kind, x=_number(x), y=_number(y)).text = text


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
