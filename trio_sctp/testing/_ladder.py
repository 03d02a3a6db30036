"""The last packets on a simulated network, and a drawing of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import final

from .._checks import check_integer
from .._ladder.chart import CapturedPacket, Chart, draw
from .._ladder.svg import svg
from .._ladder.text import NARROWEST, text

KEPT = 10_000
"""Packets that a network remembers: some megabytes, and more than anybody reads."""


@final
class Ladder:
    """A message sequence chart: a line for each address of a host, an arrow for each packet.

    Made by `SimulatedNetwork.ladder`.  ``str(ladder)`` is the chart as text.
    """

    def __init__(self, chart: Chart, left_out: int) -> None:
        """Not for programs to call."""
        self._chart = chart
        self._left_out = left_out

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int | None = None) -> str:
        """The chart as text.

        Args:
          width: How many characters fit into a line, 40 or more; None for as many as there are.
        """
        if width is not None:
            check_integer("width", width, NARROWEST)
        if not self._chart.arrows:
            return "no packet was sent"
        drawn = text(self._chart, width)
        if not self._left_out:
            return drawn
        return f"{self._left_out} packet{'s' * (self._left_out > 1)} before these\n{drawn}"

    def svg(self) -> str:
        """The chart as a picture, to be written into a file whose name ends in ``.svg``."""
        return svg(self._chart)


class Recording:
    """The last packets on a network."""

    def __init__(self, start: float) -> None:
        self._start = start
        self._cells: deque[list[CapturedPacket]] = deque(maxlen=KEPT)  # each has one packet
        self._count = 0

    def write(self, data: bytes, source: str, destination: str, now: float, comment: str) -> None:
        """Take a packet as it is sent."""
        self._cells.append([CapturedPacket(now, source, destination, data, comment)])
        self._count += 1

    def dropped(self, data: bytes, source: str, destination: str) -> None:
        """Mark a packet whose link has gone down since it was sent."""
        for cell in reversed(self._cells):
            packet = cell[0]
            if packet.data is data and packet[1:5] == (source, destination, data, ""):
                cell[0] = packet._replace(comment="dropped: the link went down")
                return

    def ladder(self, titles: Mapping[str, str], last: int) -> Ladder:
        """Draw as many packets as there are, or only the last ones.

        Args:
          titles: What to call hosts, by IP address.
          last: How many packets to draw at most.
        """
        packets = [cell[0] for cell in self._cells][-last:]
        strangers = {
            packet.destination: f"{packet.destination} (no host)"
            for packet in packets
            if packet.destination not in titles
        }
        chart = draw(packets, {**titles, **strangers}, self._start, infer=False)
        return Ladder(chart, self._count - len(packets))
