"""Packets into a chart: hosts with a line for each address, and an arrow for each packet.

The chart is data, of which `text` and `svg` make something to look at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .._engine import wire
from . import chunks
from .associations import Association, Associations
from .extensions import Extension, Reconfig
from .flows import Fate, Fated

UdpPorts = tuple[int, int]

_MOST_CHUNKS = 32
"""Chunks of a packet that are kept to be drawn; all are counted."""

_COMMENT = 200
"""Characters of a comment that are shown."""


class CapturedPacket(NamedTuple):
    """A packet as it was sent.

    Attributes:
      time: When, in seconds.
      source: IP address of the sender.
      destination: IP address that it was sent to.
      data: The SCTP packet, without the headers of IP and UDP.
      comment: What became of it, as captures say it; one that was "dropped: lost" did not arrive.
      udp: The UDP ports of the sender and the receiver, if it travelled in a UDP packet.
      missing: Bytes at its end that the capture does not have.
      number: Of the packet in the capture, counted from 1; 0 if it is not from one.
    """

    time: float
    source: str
    destination: str
    data: bytes
    comment: str = ""
    udp: UdpPorts | None = None
    missing: int = 0
    number: int = 0


class End(NamedTuple):
    """Where a packet comes from or goes to; ports are None if they cannot be read."""

    address: str
    port: int | None
    udp: int | None

    def __str__(self) -> str:
        if self.port is None:
            return self.address
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


class Chunk(NamedTuple):
    """A chunk as it is drawn.

    Attributes:
      name: As the RFCs call it.
      tsn: Its TSN, and the number of that in the chart, if it has one.
      remark: "again" if it was sent before, and the like.
      details: What else is in it.
    """

    name: str
    tsn: tuple[int, int] | None = None
    remark: str = ""
    details: str = ""

    def __str__(self) -> str:
        number = "" if self.tsn is None or self.name.startswith("INIT") else str(self.tsn[1])
        name = f"{self.name}:" if self.name in ("ABORT", "ERROR") and self.details else self.name
        return " ".join(word for word in (name, number, self.remark, self.details) if word)


@dataclass(slots=True)
class Arrow(Fated):
    """A packet on its way.

    Attributes:
      source, destination: Where it came from and where it went.
      chunks: What is in it, or the first of many.
      more: How many other chunks are in it.
      notes: What else there is to say of it.
      association: Which one it belongs to, counted from 1; 0 if that cannot be told.
      old_path: The addresses between which user data went so far, if it changes with this packet.
      number: See `CapturedPacket`.
    """

    source: End
    destination: End
    chunks: list[Chunk] = field(default_factory=list[Chunk])
    more: int = 0
    notes: list[str] = field(default_factory=list[str])
    association: int = 0
    old_path: tuple[str, str] | None = None
    number: int = 0

    @property
    def again(self) -> bool:
        """Whether it carries something that was sent before."""
        return any(chunk.remark.startswith("again") for chunk in self.chunks)

    @property
    def late(self) -> bool:
        """Whether it carries user data that others have overtaken, or that was lost before."""
        return any(chunk.remark.startswith("late") for chunk in self.chunks)

    @property
    def all_notes(self) -> list[str]:
        """The notes, with what became of it and whether the path changes."""
        told = list(self.notes)
        if self.fate is Fate.LOST:
            told.append(f"lost? {self.reason}")
        if self.old_path is not None:
            told.append(f"path change: now {self.source.address} > {self.destination.address}")
        return told


class Host(NamedTuple):
    """A host, with the numbers of its lines, which stand side by side."""

    title: str
    lines: range


@dataclass(slots=True)
class Chart:
    """What is drawn.

    Attributes:
      start: The time that is shown as 0.
      hosts: From left to right.
      addresses: What each line stands for.
      arrows: In the order in which the packets were sent.
      associations: All of them, in the order in which they began.
    """

    start: float
    hosts: list[Host]
    addresses: list[str]
    arrows: list[Arrow]
    associations: list[Association]
    _lines: dict[End, int]
    _all_hosts: _Hosts

    def line(self, end: End) -> int:
        """The number of the line on which an arrow begins or ends."""
        for key in (end, end._replace(udp=None), End(end.address, None, None)):
            line = self._lines.get(key)
            if line is not None:
                return line
        raise KeyError(end)

    def only(self, wanted: Callable[[Arrow], bool]) -> Chart:
        """A chart of some of the arrows, with the lines that these need."""
        arrows = [arrow for arrow in self.arrows if wanted(arrow)]
        chosen = {arrow.association for arrow in arrows}
        associations = [one for one in self.associations if one.number in chosen]
        hosts, addresses, lines = self._all_hosts.layout(arrows)
        return dataclasses.replace(
            self,
            hosts=hosts,
            addresses=addresses,
            arrows=arrows,
            associations=associations,
            _lines=lines,
        )


def draw(
    packets: Iterable[CapturedPacket],
    titles: Mapping[str, str] | None = None,
    start: float | None = None,
    *,
    infer: bool,
) -> Chart:
    """Make a chart of packets, which come in the order in which they were sent.

    Args:
      packets: Whatever passed, be it SCTP or not.
      titles: What to call hosts, by IP address; addresses with the same title are of one host.
        None if that is to be found out: addresses at the same side of an association are.
      start: The time that is shown as 0, in seconds; None for that of the first packet.
      infer: Whether packets may have been lost that do not say so.
    """
    hosts = _Hosts(titles)
    associations = Associations(titles or {}, infer=infer)
    arrows = [_arrow(packet, hosts, associations) for packet in packets]
    last = arrows[-1].time if arrows else 0.0
    hosts.learn(associations.all)
    for association in associations.all:
        for side in association.sides:
            side.flow.end(last)
    if start is None:
        start = arrows[0].time if arrows else 0.0
    laid_out, addresses, lines = hosts.layout(arrows)
    return Chart(start, laid_out, addresses, arrows, associations.all, lines, hosts)


def _arrow(packet: CapturedPacket, hosts: _Hosts, associations: Associations) -> Arrow:
    """The arrow of a packet, which is made known to its association."""
    parsed, broken = _parse(packet)
    ports = packet.udp or (None, None)
    known = (parsed.source_port, parsed.destination_port) if parsed else (None, None)
    arrow = Arrow(
        packet.time,
        hosts.see(End(packet.source, known[0], ports[0])),
        hosts.see(End(packet.destination, known[1], ports[1])),
        number=packet.number,
    )
    if packet.comment:
        arrow.notes.append(_harmless(packet.comment))
        if packet.comment.startswith("dropped"):
            arrow.fate, arrow.reason = Fate.DROPPED, packet.comment
    if broken and parsed is not None:
        arrow.notes.append(broken)
    if parsed is None:
        arrow.chunks.append(Chunk("no SCTP packet:", details=broken))
        return arrow
    understood = list(_understood(packet, parsed))
    arrow.more = max(0, len(understood) - _MOST_CHUNKS)
    if broken:
        # Its receiver throws it away, so nothing follows from it.
        arrow.chunks = [
            Chunk(chunks.name(chunk), details=chunks.details(chunk, int, int))
            for chunk in understood[:_MOST_CHUNKS]
        ]
        return arrow
    first = understood[0] if understood else None
    association, sender = associations.find(
        packet.source, packet.destination, parsed, first, packet.time
    )
    arrow.association = association.number
    association.packets += 1
    association.last = packet.time
    if association.packets == 1 and association.instead_of is not None:
        arrow.notes.append(f"restart of association {association.instead_of}")
    for number, chunk in enumerate(understood):
        drawn = _chunk(chunk, arrow, association, sender)
        if number < _MOST_CHUNKS:
            arrow.chunks.append(drawn)
    if packet.missing:
        arrow.notes.append("cut off by the capture")
    elif parsed.truncated:
        arrow.notes.append("and bytes that are no chunk")
    return arrow


def _harmless(text: str) -> str:
    """A text without what would move a terminal's cursor, or what no XML file may contain."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[:_COMMENT])


def _parse(packet: CapturedPacket) -> tuple[wire.Packet | None, str]:
    """A packet, or None if it is none, and what is wrong with it."""
    data = packet.data
    if packet.missing:
        if len(data) < wire.HEADER_SIZE:
            return None, "too little of it is in the capture"
        data += bytes(packet.missing)
    parsed = wire.parse_packet_untrusted(data)
    broken = ""
    if parsed is wire.Malformed.CHECKSUM:
        # Where network cards compute checksums, captures of what is sent have a 0.
        if not packet.missing and any(data[8:12]):
            broken = parsed.value
        source, destination, tag = wire.HEADER.unpack_from(data)
        sealed = wire.seal(source, destination, tag, [data[wire.HEADER_SIZE :]])
        parsed = wire.parse_packet_untrusted(sealed)
    if isinstance(parsed, wire.Malformed):
        return None, parsed.value
    return parsed, broken


def _understood(packet: CapturedPacket, parsed: wire.Packet) -> Iterator[chunks.Understood]:
    """The chunks of a packet."""
    offset = wire.HEADER_SIZE
    data = packet.data + bytes(packet.missing)
    for chunk in parsed.chunks:
        length = int.from_bytes(data[offset + 2 : offset + 4], "big")
        captured = max(0, len(packet.data) - offset)
        yield chunks.understood(chunk, data[offset : offset + length], captured)
        offset += length + (-length & 3)


def _chunk(chunk: chunks.Understood, arrow: Arrow, association: Association, sender: int) -> Chunk:
    """A chunk as it is drawn; what it tells of its association is taken note of."""
    there, back = (association.sides[side].flow for side in (sender, 1 - sender))
    tsn: tuple[int, int] | None = None
    remark = ""
    match chunk:
        case chunks.UserData():
            path = arrow.source.address, arrow.destination.address
            if there.path not in (None, path):
                arrow.old_path = there.path
            there.path = path
            tsn = chunk.tsn, there.number(chunk.tsn)
            remark = there.data(chunk, arrow)
        case wire.Init():  # or an INIT ACK
            there.begin(chunk.tsn)
            tsn = chunk.tsn, 1
        case wire.Sack():
            tsn = chunk.cumulative_tsn, back.number(chunk.cumulative_tsn)
            back.sack(chunk)
        case wire.Shutdown():
            if (number := back.number(chunk.cumulative_tsn)) > 0:  # or there was no user data
                tsn = chunk.cumulative_tsn, number
            back.cumulative(chunk.cumulative_tsn)
        case wire.ForwardTsn():
            tsn = chunk.cumulative_tsn, there.number(chunk.cumulative_tsn)
        case Extension():
            if chunk.tsn is not None:
                tsn = chunk.tsn, there.number(chunk.tsn)
            elif chunk.received_tsn is not None:
                tsn = chunk.received_tsn, back.number(chunk.received_tsn)
            if isinstance(chunk, Reconfig) and chunk.next_tsns is not None:
                for flow, first in zip((there, back), chunk.next_tsns, strict=True):
                    flow.begin_anew(first)
        case _:
            pass
    if not isinstance(chunk, chunks.UserData):
        if arrow.fate is Fate.ARRIVED:
            back.answered(chunk)
        if there.asks(chunk, arrow):
            remark = "again"
    if isinstance(chunk, (wire.Abort, wire.ShutdownComplete)) and arrow.fate is Fate.ARRIVED:
        association.ended = chunks.name(chunk)
        there.finish(arrow.time)
        back.finish(arrow.time)
    return Chunk(chunks.name(chunk), tsn, remark, chunks.details(chunk, there.number, back.number))


class _Hosts:
    """Which addresses are of one host, and which lines are needed."""

    def __init__(self, titles: Mapping[str, str] | None) -> None:
        self._titles = titles
        self._parent: dict[str, str] = {}  # of addresses that are of the same host, a forest
        self._ends: dict[End, End] = {}
        # Hosts that talk to themselves, whose ports have lines of their own; whether those of UDP.
        self._local: dict[str, bool] = {}

    def see(self, end: End) -> End:
        """Take note of an end; equal ones become one object."""
        return self._ends.setdefault(end, end)

    def host(self, address: str) -> str:
        """What all addresses of a host have in common."""
        if self._titles is not None:
            return self._titles.get(address, address)
        parent = self._parent.get(address, address)
        while parent != address:
            grandparent = self._parent.get(parent, parent)
            self._parent[address] = grandparent
            address, parent = parent, grandparent
        return address

    def learn(self, associations: Iterable[Association]) -> None:
        """Find out what associations tell of hosts."""
        if self._titles is None:
            for association in associations:
                for side in association.sides:
                    first, *others = side.addresses
                    for address in others:
                        self._parent[self.host(address)] = self.host(first)
        for association in associations:
            one, other = association.sides
            host = self.host(next(iter(one.addresses)))
            if host == self.host(next(iter(other.addresses))):
                self._local[host] = self._local.get(host, False) or one.port == other.port

    def layout(self, arrows: Iterable[Arrow]) -> tuple[list[Host], list[str], dict[End, int]]:
        """The hosts and the addresses of the lines that arrows need, and the line of each end."""
        columns: dict[tuple[str, int | None, int | None], dict[str, None]] = {}
        for arrow in arrows:
            for end in (arrow.source, arrow.destination):
                host = self.host(end.address)
                port = udp = None
                by_udp = self._local.get(host)
                if by_udp is False or (by_udp and end.udp is not None):
                    port, udp = end.port, end.udp if by_udp else None
                columns.setdefault((host, port, udp), {})[end.address] = None
        hosts: list[Host] = []
        addresses: list[str] = []
        lines: dict[End, int] = {}
        for (host, port, udp), by_address in columns.items():
            title = host if self._titles is not None else next(iter(by_address))
            if port is not None:
                title = str(End(title, port, None)) + (f" over UDP {udp}" if udp else "")
            hosts.append(Host(title, range(len(addresses), len(addresses) + len(by_address))))
            for address in by_address:
                lines[End(address, port, udp)] = len(addresses)
                lines.setdefault(End(address, None, None), len(addresses))
                addresses.append(address)
        return hosts, addresses, lines
