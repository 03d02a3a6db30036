"""Packets out of a capture: pcapng or pcap, as tshark, tcpdump and this package write them."""

from __future__ import annotations

import importlib
import io
import ipaddress
import struct
import warnings
from collections import OrderedDict, deque
from collections.abc import Iterator
from functools import lru_cache
from heapq import heappop, heappush
from itertools import chain, count, islice
from typing import Any, NamedTuple

from .._engine import wire
from .chart import CapturedPacket, UdpPorts

_SCTP, _UDP = 132, 17
_SCTP_OVER_UDP = 9899  # RFC 6951
_IP = (0x0800, 0x86DD)  # as the type of an Ethernet frame
_IPV6_HEADER = 40
_FRAGMENT = 44  # IPv6's extension header
_UDP_HEADER = struct.Struct("!HHHH")
_LARGEST = 65535

_PCAPNG = b"\x0a\x0d\x0d\x0a"
_PCAP = {
    bytes.fromhex(magic) for magic in ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "a1b2cd34")
}

_MOST_FRAGMENTED = 1000
"""Packets of which some fragments are still missing, that are held."""
_MOST_TRIED = 16
"""Places at which a UDP packet is tried to be cut up."""
_TWICE = 1.0
"""Seconds within which a packet passes two places."""
_PLACES = 8
"""Copies of a packet, of which another one may be the same, that are looked at."""
_DISORDER = 1.0
"""Seconds by which a packet may stand too late in a file."""


class CaptureError(Exception):
    """A capture that cannot be drawn; the text says why, and what to do, in one line."""


class _Frame(NamedTuple):
    """A packet of the file, behind whatever the link puts before it."""

    time: float
    link_type: int
    data: bytes
    place: tuple[int, int]  # the interface, and the direction if the file tells
    comment: str


class _Datagram(NamedTuple):
    """What an IP packet carries."""

    source: str
    destination: str
    protocol: int
    data: bytes
    missing: int  # bytes that the capture does not have
    identity: int  # which IPv4 gives to packets, 0 if there is none


class _Sighting(NamedTuple):
    """An SCTP packet, and where it was captured."""

    packet: CapturedPacket
    place: object
    identity: int


class Capture:
    """A capture that is being read.

    Attributes:
      start: The time of its first packet of any kind.
      simulated: Whether it is of a simulated network, where packets say what became of them.
      frames: How many packets of all kinds there are so far.
      twice: How many SCTP packets were captured at two places, which count as one.
      damage: What is wrong with the file's end, or "".
    """

    def __init__(self, file: io.BufferedReader, name: str) -> None:
        """Begin to read.

        Raises:
          CaptureError: it is no capture, or a library is missing.
        """
        self.simulated = False
        self.start = 0.0
        self.frames = 0
        self.twice = 0
        self.damage = ""
        self._name = name
        try:
            self._dpkt: Any = importlib.import_module("dpkt")
            self._blocks: Any = importlib.import_module("pcapng.blocks")
            scanner: Any = importlib.import_module("pcapng").FileScanner
        except ImportError as error:
            raise CaptureError(
                f"reading captures needs {error.name}: pip install 'trio_sctp[cli]'"
            ) from error
        self._links = _Links(self._dpkt)
        magic = file.peek(4)[:4]
        if magic == _PCAPNG:
            frames = self._read_pcapng(scanner(file))
        elif magic in _PCAP:
            frames = self._read_pcap(file)
        else:
            what = "is no capture" if magic else "is empty"
            raise CaptureError(f"{name} {what}: give a pcapng or pcap file, of tshark or tcpdump")

        self._frames = self._undamaged(frames)
        # What stands before the first packet says whether it is of a simulated network.
        for first in self._frames:
            self.start = first.time
            self._frames = chain([first], self._frames)
            break

    def packets(self) -> Iterator[CapturedPacket]:
        """The SCTP packets, by time.

        Raises:
          CaptureError: there is none.
        """
        found, time = 0, 0.0
        sightings = _Sightings()
        for sighting in self._in_order():
            time = sighting.packet.time
            if sightings.before(sighting):
                self.twice += 1
            else:
                found += 1
                yield sighting.packet
        for packet in self._links.rest(time):
            found += 1
            yield packet
        if not found:
            raise CaptureError(self._nothing())

    def _in_order(self) -> Iterator[_Sighting]:
        """The SCTP packets by time: of several interfaces, files have them a bit out of order."""
        held: list[tuple[float, int, _Sighting]] = []
        numbers = count()
        for frame in self._frames:
            for sighting in self._links.packets(frame, self.frames):
                heappush(held, (frame.time, next(numbers), sighting))
            while held and held[0][0] < frame.time - _DISORDER:
                yield heappop(held)[2]
        while held:
            yield heappop(held)[2]

    def _nothing(self) -> str:
        if self.damage:
            return f"{self._name} is damaged: {self.damage}"
        if not self.frames:
            return f"{self._name} has no packets: was the capture stopped before any passed?"
        unknown = self._links.unknown
        if unknown:
            return (
                f"{self._name} has packets of link type {min(unknown)}, which cannot be read: "
                "capture on an Ethernet interface, or on any"
            )
        return (
            f"{self._name} has {self.frames} packets, but no SCTP, neither plain nor in UDP: "
            "was it captured at the right interface?"
        )

    def _undamaged(self, frames: Iterator[_Frame]) -> Iterator[_Frame]:
        """The packets of the file up to where it is damaged."""
        while True:
            try:
                with warnings.catch_warnings():
                    # The library warns of options that it has no name for.
                    warnings.simplefilter("ignore")
                    frame = next(frames)
            except StopIteration:
                return
            except MemoryError:
                raise
            except Exception as error:
                # Whatever is in the file, the libraries raise many kinds of errors for it.
                what = str(error) or type(error).__name__
                self.damage = f"it cannot be read behind packet {self.frames} ({what})"
                return
            self.frames += 1
            yield frame

    def _read_pcapng(self, scanner: Any) -> Iterator[_Frame]:
        interfaces: set[str] = set()
        ours = False
        for block in scanner:
            if isinstance(block, self._blocks.SectionHeader):
                ours = block.options.get("shb_userappl", "") == "trio_sctp"
            elif isinstance(block, self._blocks.InterfaceDescription):
                interfaces.add(block.options.get("if_name", "") if ours else "")
                self.simulated = interfaces == {"simulated"}
            elif isinstance(block, self._blocks.BasePacketBlock):
                simple = isinstance(block, self._blocks.SimplePacket)
                options: Any = {} if simple else block.options
                flags: Any = options.get("epb_flags", None)
                direction = ("NA", "inbound", "outbound").index(flags.inout) if flags else 0
                yield _Frame(
                    0.0 if simple else block.timestamp,
                    block.interface.link_type,
                    block.packet_data,
                    (block.interface_id, direction),
                    options.get("opt_comment", ""),
                )

    def _read_pcap(self, file: io.BufferedReader) -> Iterator[_Frame]:
        reader = self._dpkt.pcap.Reader(_Whole(file))
        link_type = reader.datalink()
        for time, data in reader:
            yield _Frame(float(time), link_type, data, (0, 0), "")


class _Whole:
    """A pcap file in which each read gives as much as is asked for, except at its end.

    The library would take what is left of a packet that is cut off for the packet.
    """

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._inside = True  # the file's header or a packet: its end cannot be here

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size and (data or self._inside):
            raise EOFError("it ends within a packet")
        self._inside = not self._inside
        return data


class _Udp:
    """Which UDP packets carry SCTP: those whose CRC32c is right, and more of the same flow."""

    def __init__(self) -> None:
        self._known: set[tuple[str, int, str, int]] = set()

    def packets(
        self, source: str, destination: str, ports: UdpPorts, data: bytes, missing: int
    ) -> list[bytes]:
        """The SCTP packets in a UDP packet."""
        ends = source, ports[0], destination, ports[1]
        pieces = _cut_up(data) if len(data) >= wire.SMALLEST_PACKET else None
        if pieces is not None and not (missing and len(pieces) == 1):
            self._known |= {ends, (destination, ports[1], source, ports[0])}
            return pieces
        return [data] if ends in self._known or _SCTP_OVER_UDP in ports else []


def _cut_up(data: bytes) -> list[bytes] | None:
    """SCTP packets, of which all but the last are of one size; None if the first one is none.

    Systems pass whole trains of packets to and from the network card, which cuts them up and puts
    them together.  Captures have the trains.
    """
    if _is_sealed(data):
        return [data]
    begin, size = data[:8], len(data)  # all have the same ports and the same tag
    at = data.find(begin, wire.SMALLEST_PACKET)
    for _ in range(_MOST_TRIED):
        if at < 0:
            return None
        if _is_sealed(data[:at]):
            return [data[start : start + at] for start in range(0, size, at)]
        at = data.find(begin, at + 4)
    return None


def _is_sealed(data: bytes) -> bool:
    return wire.parse_packet_untrusted(data) is not wire.Malformed.CHECKSUM


class _Sightings:
    """Tells packets that were captured at two places from those that were sent twice."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, tuple[object, ...]]] = deque()
        self._copies: dict[tuple[object, ...], deque[set[object]]] = {}  # where each was seen

    def before(self, sighting: _Sighting) -> bool:
        """Whether this packet has just been seen at another place."""
        packet, place, identity = sighting
        while self._recent and self._recent[0][0] < packet.time - _TWICE:
            _, old = self._recent.popleft()
            copies = self._copies[old]
            copies.popleft()
            if not copies:
                del self._copies[old]
        key = (packet.source, packet.destination, packet.udp, identity, packet.data)
        copies = self._copies.setdefault(key, deque())
        for places in islice(reversed(copies), _PLACES):
            if place not in places:
                places.add(place)
                return True
        copies.append({place})
        self._recent.append((packet.time, key))
        return False


class _Pieces:
    """The fragments of an IP packet that have been seen."""

    def __init__(self, datagram: _Datagram) -> None:
        self.first = datagram
        self._by_offset: dict[int, bytes] = {}
        self._size = 0
        self._end: int | None = None

    def add(self, offset: int, last: bool, datagram: _Datagram) -> bool:
        """Take a fragment; return whether there are all now."""
        if offset not in self._by_offset:
            self._by_offset[offset] = datagram.data
            self._size += len(datagram.data)
        if offset == 0:
            self.first = datagram
        if last:
            self._end = offset + len(datagram.data)
        return self._end is not None and self._size >= self._end

    def whole(self) -> bytes:
        return b"".join(self._by_offset[offset] for offset in sorted(self._by_offset))

    def beginning(self) -> bytes | None:
        return self._by_offset.get(0)


class _Fragments:
    """Fragments of IP packets, until there are all of one."""

    def __init__(self) -> None:
        self._held: OrderedDict[object, _Pieces] = OrderedDict()

    def add(self, key: object, offset: int, last: bool, datagram: _Datagram) -> _Datagram | None:
        """Take a fragment; return the packet if this was the last that it lacked."""
        pieces = self._held.setdefault(key, _Pieces(datagram))
        if pieces.add(offset, last, datagram):
            del self._held[key]
            return pieces.first._replace(data=pieces.whole(), missing=datagram.missing)
        if len(self._held) > _MOST_FRAGMENTED:
            self._held.popitem(last=False)
        return None

    def rest(self) -> Iterator[_Datagram]:
        """The beginnings of packets that lack fragments."""
        for pieces in self._held.values():
            beginning = pieces.beginning()
            if beginning is not None:
                yield pieces.first._replace(data=beginning, missing=_LARGEST - len(beginning))


class _Links:
    """Packets of IP, and of what they carry, in the frames of a link."""

    def __init__(self, dpkt: Any) -> None:
        self.unknown: set[int] = set()
        self._fragments = _Fragments()
        self._udp = _Udp()
        # The library's own classes go on to what is inside, which is for us to read.
        self._ethernet: Any = type("Ethernet", (dpkt.ethernet.Ethernet,), {"_typesw": {}})
        self._sll: Any = type("SLL", (dpkt.sll.SLL,), {"_typesw": {}})
        self._sll2: Any = type("SLL2", (dpkt.sll2.SLL2,), {"_typesw": {}})
        self._ip: Any = type("IP", (dpkt.ip.IP,), {"_protosw": {}})
        self._ip6: Any = type("IP6", (dpkt.ip6.IP6,), {"_protosw": {}})
        self._errors = (dpkt.Error, struct.error, IndexError, ValueError)

    def packets(self, frame: _Frame, number: int) -> Iterator[_Sighting]:
        """The SCTP packets that a frame carries or completes."""
        try:
            inside = self._inside(frame)
            if inside is None:
                return
            data, place = inside
            datagram = self._datagram(data)
        except self._errors:
            return  # of a protocol that is not ours, or cut off too early
        if datagram is not None:
            for packet in self._sctp(datagram, frame.time, frame.comment, number):
                yield _Sighting(packet, place, datagram.identity)

    def rest(self, time: float) -> Iterator[CapturedPacket]:
        """What is known of packets of which fragments are missing."""
        for datagram in self._fragments.rest():
            comment = "fragments are not in the capture"
            yield from self._sctp(datagram, time, comment, 0)

    def _inside(self, frame: _Frame) -> tuple[bytes, object] | None:
        """An IP packet, and at which place it was seen."""
        data, place = frame.data, frame.place
        match frame.link_type:
            case 1:
                ethernet = self._ethernet(data)
                return (ethernet.data, place) if ethernet._next_type in _IP else None
            case 12 | 14 | 101 | 228 | 229:  # nothing in front
                return data, place
            case 0 | 108:  # BSD's loopback: a number for the protocol, which IP tells anyway
                return data[4:], place
            case 113:
                sll = self._sll(data)
                return (sll.data, (place, sll.type)) if sll.ethtype in _IP else None
            case 276:
                sll = self._sll2(data)
                return (sll.data, (place, sll.intindex, sll.type)) if sll.ethtype in _IP else None
            case unknown:
                self.unknown.add(unknown)
                return None

    def _datagram(self, data: bytes) -> _Datagram | None:
        """What an IP packet carries; None if that is not complete."""
        if data[:1] and data[0] >> 4 == 4:
            ip = self._ip(data)
            missing = max(0, ip.len - len(data))
            datagram = _Datagram(_address(ip.src), _address(ip.dst), ip.p, ip.data, missing, ip.id)
            offset, more, identity = ip.offset * 8, ip.mf, ip.id
        elif data[:1] and data[0] >> 4 == 6:
            ip = self._ip6(data)
            missing = max(0, ip.plen - (len(data) - _IPV6_HEADER))
            datagram = _Datagram(_address(ip.src), _address(ip.dst), ip.p, ip.data, missing, 0)
            fragment = ip.extension_hdrs.get(_FRAGMENT)
            if fragment is None:
                return datagram
            offset, more, identity = fragment.frag_off * 8, fragment.m_flag, fragment.id
        else:
            return None
        if not offset and not more:
            return datagram
        key = datagram.source, datagram.destination, datagram.protocol, identity
        return self._fragments.add(key, offset, not more, datagram)

    def _sctp(
        self, datagram: _Datagram, time: float, comment: str, number: int
    ) -> Iterator[CapturedPacket]:
        source, destination, protocol, data, missing, _ = datagram
        ports: UdpPorts | None = None
        if protocol == _SCTP:
            packets = [data]
        elif protocol == _UDP and len(data) >= _UDP_HEADER.size:
            here, there, length, _ = _UDP_HEADER.unpack_from(data)
            ports = here, there
            data = data[_UDP_HEADER.size : max(length, _UDP_HEADER.size)]
            packets = self._udp.packets(source, destination, ports, data, missing)
        else:
            return
        for packet in packets[:-1]:
            yield CapturedPacket(time, source, destination, packet, comment, ports, 0, number)
        for packet in packets[-1:]:
            yield CapturedPacket(time, source, destination, packet, comment, ports, missing, number)


@lru_cache(maxsize=10_000)
def _address(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed))
