"""Packets as text: a ladder, with a column for each host and a line for each packet.

seconds  gnb       amf
  0.000  |-------->|  INIT streams 10/65535
  0.020  |<--------|  INIT ACK streams 10/65535
  0.040  |----X    |  COOKIE ECHO [dropped: lost]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .._engine import wire
from .._engine.tsn import unwrap
from .._errors import error_string

_NARROWEST = 10  # characters of a column, so that arrows look like arrows
_CHUNKS = 4  # of a packet, that are shown
_BYTES = 16  # of a payload or a reason, that are shown


class CapturedPacket(NamedTuple):
    """A packet as it was sent.

    Attributes:
      time: When, in seconds.
      source: IP address of the sender.
      destination: IP address that it was sent to.
      data: The SCTP packet, without IP header.
      comment: What became of it, as captures say it; one that was "dropped: lost" did not arrive.
    """

    time: float
    source: str
    destination: str
    data: bytes
    comment: str = ""


def ladder(
    packets: Iterable[CapturedPacket], titles: Mapping[str, str] | None = None, start: float = 0.0
) -> str:
    """Draw packets as text.

    TSNs count from 1, the first one of their direction: that of the INIT or INIT ACK, or the first
    that is seen if these are not among the packets.

    Args:
      packets: In the order in which they were sent.
      titles: Of columns, by IP address.  Addresses with the same title share a column; one without
        a title has a column of its own.
      start: The time that is shown as 0, in seconds.
    """
    titled = titles or {}
    rows = [
        _Row(
            packet,
            titled.get(packet.source, packet.source),
            titled.get(packet.destination, packet.destination),
            wire.parse_packet_untrusted(packet.data),
        )
        for packet in packets
    ]
    columns = list(dict.fromkeys(title for row in rows for title in (row.source, row.destination)))
    width = max([_NARROWEST, *(len(title) + 2 for title in columns)])
    lines = ["seconds  " + "".join(title.ljust(width) for title in columns).rstrip()]
    labels = _Labels(rows)
    for row in rows:
        rungs = _rungs(row, columns, width)
        lines.append(f"{row.packet.time - start:7.3f}  {rungs}  {labels.of(row)}")
    return "\n".join(lines)


class _Row(NamedTuple):
    """A packet, the titles of the columns that it leads from and to, and what is in it."""

    packet: CapturedPacket
    source: str
    destination: str
    content: wire.Packet | wire.Malformed


def _rungs(row: _Row, columns: list[str], width: int) -> str:
    """The bars of all columns, and an arrow; that of a dropped packet ends halfway, in an X."""
    line = [" "] * (width * (len(columns) - 1) + 1)
    line[::width] = "|" * len(columns)
    source = columns.index(row.source) * width
    destination = columns.index(row.destination) * width
    if source == destination:
        line[source] = "X" if _dropped(row) else "o"
        return "".join(line)
    step = 1 if source < destination else -1
    end, head = destination - step, ">" if step == 1 else "<"
    if _dropped(row):
        end, head = (source + destination) // 2, "X"
    for position in range(source + step, end, step):
        line[position] = "-"
    line[end] = head
    return "".join(line)


def _dropped(row: _Row) -> bool:
    return row.packet.comment.startswith("dropped")


class _Flow:
    """The DATA chunks that one host sends to another on one association."""

    def __init__(self) -> None:
        self.first: int | None = None
        self.sent: set[int] = set()

    def begin(self, tsn: int) -> None:
        """Count from the TSN that an INIT or INIT ACK tells; another one is that of a restart."""
        if tsn != self.first:
            self.first = tsn
            self.sent.clear()

    def number(self, tsn: int) -> int:
        """The number of a TSN, counted from 1."""
        if self.first is None:
            self.first = tsn
        return unwrap(tsn, self.first) - self.first + 1


class _Labels:
    """What stands beside the rungs: the chunks, and which of several paths or associations."""

    def __init__(self, rows: list[_Row]) -> None:
        addresses: dict[str, set[str]] = {}
        ports: dict[frozenset[str], set[frozenset[tuple[str, int]]]] = {}
        for row in rows:
            addresses.setdefault(row.source, set()).add(row.packet.source)
            addresses.setdefault(row.destination, set()).add(row.packet.destination)
            if isinstance(row.content, wire.Packet):
                hosts = frozenset((row.source, row.destination))
                one = (row.source, row.content.source_port)
                other = (row.destination, row.content.destination_port)
                ports.setdefault(hosts, set()).add(frozenset((one, other)))
        self._several_paths = {title for title, some in addresses.items() if len(some) > 1}
        self._several_associations = {hosts for hosts, some in ports.items() if len(some) > 1}
        self._flows: dict[tuple[str, int, str, int], _Flow] = {}

    def of(self, row: _Row) -> str:
        """The label of a row; those of the rows above it have to be asked for before."""
        where = self._where(row)
        if isinstance(row.content, wire.Malformed):
            what = f"no SCTP packet: {row.content.value}"
        else:
            chunks = [self._chunk(row, row.content, chunk) for chunk in row.content.chunks]
            if len(chunks) > _CHUNKS:
                chunks[_CHUNKS - 1 :] = [f"and {len(chunks) - _CHUNKS + 1} more chunks"]
            if row.content.truncated:
                chunks.append("and bytes that are no chunk")
            what = ", ".join(chunks)
        became = f" [{row.packet.comment}]" if row.packet.comment else ""
        return f"{where}{what}{became}"

    def _where(self, row: _Row) -> str:
        """Which path and association of several: addresses, ports or both, with a blank behind."""
        several_paths = not {row.source, row.destination}.isdisjoint(self._several_paths)
        ends = [row.packet.source, row.packet.destination] if several_paths else ["", ""]
        hosts = frozenset((row.source, row.destination))
        if isinstance(row.content, wire.Packet) and hosts in self._several_associations:
            ports = row.content.source_port, row.content.destination_port
            ends = [f"{end} port {port}".lstrip() for end, port in zip(ends, ports, strict=True)]
        return f"{ends[0]} > {ends[1]}: " if ends[0] else ""

    def _flow(self, row: _Row, packet: wire.Packet, *, back: bool = False) -> _Flow:
        there = (row.source, packet.source_port)
        here = (row.destination, packet.destination_port)
        key = (*here, *there) if back else (*there, *here)
        return self._flows.setdefault(key, _Flow())

    def _chunk(self, row: _Row, packet: wire.Packet, chunk: wire.Chunk) -> str:
        match chunk:
            case wire.Data():
                return self._data(self._flow(row, packet), chunk)
            case wire.Init():  # or an INIT ACK
                self._flow(row, packet).begin(chunk.tsn)
                listed = [wire.address_untrusted(parameter) for parameter in chunk.parameters]
                addresses = [address for address in listed if address is not None]
                also = f" addresses {' '.join(addresses)}" if addresses else ""
                streams = f"{chunk.outbound_streams}/{chunk.inbound_streams}"
                return f"{_name(chunk)} streams {streams}{also}"
            case wire.Sack():
                base = self._flow(row, packet, back=True).number(chunk.cumulative_tsn)
                gaps = "".join(f" {base + first}-{base + last}" for first, last in chunk.gaps)
                also = f" also{gaps}" if gaps else ""
                return f"SACK {base}{also} rwnd {chunk.rwnd}"
            case wire.ForwardTsn() | wire.Shutdown():
                flow = self._flow(row, packet, back=isinstance(chunk, wire.Shutdown))
                return f"{_name(chunk)} {flow.number(chunk.cumulative_tsn)}"
            case wire.Abort() | wire.Error():
                causes = ", ".join(map(_cause, chunk.causes))
                return _name(chunk) + (f": {causes}" if causes else "")
            case wire.UnknownChunk():
                return f"chunk {_type_name(chunk.type)}"
            case wire.BadChunk():
                return f"malformed {_type_name(chunk.type)} ({chunk.reason})"
            case _:
                return _name(chunk)

    def _data(self, flow: _Flow, data: wire.Data) -> str:
        words = [f"DATA {flow.number(data.tsn)}"]
        if data.tsn in flow.sent:
            words.append("again")
        flow.sent.add(data.tsn)
        if not (data.first and data.last):
            words.append("begin" if data.first else "end" if data.last else "middle")
        words.append("unordered" if data.unordered else f"stream {data.stream}")
        if data.ppid:
            words.append(f"ppid {data.ppid}")
        words.append(_some(data.payload))
        return " ".join(words)


def _name(chunk: wire.Chunk) -> str:
    """The RFC's name of a chunk, which is that of its class in other letters."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(chunk).__name__).upper()


def _type_name(number: int) -> str:
    try:
        return wire.ChunkType(number).name.replace("_", " ")
    except ValueError:
        return f"of type {number}"


def _cause(cause: wire.Tlv) -> str:
    text = error_string(cause.type)
    if cause.type in (wire.Cause.USER_INITIATED_ABORT, wire.Cause.PROTOCOL_VIOLATION):
        text += f" {_some(cause.value)}" if cause.value else ""  # their text is for readers
    return text


def _some(data: bytes) -> str:
    """The beginning of some bytes as text or else in hex, and how many there are if not all."""
    shown = data[:_BYTES]
    text = repr(shown) if all(0x20 <= byte < 0x7F for byte in shown) else shown.hex()
    return text if len(data) <= _BYTES else f"{text}... {len(data)} bytes"
