"""Packets, chunks, parameters and causes as bytes and as values (RFC 9260 section 3).

Anybody may have written what arrives.  Whatever the bytes are, parsing yields values: a chunk that
cannot be understood becomes a `BadChunk`, and bytes that are no packet become a `Malformed`.
Nothing here raises for what a peer has sent, and no byte is parsed twice.

Numbers are in host order.  What is unknown is kept as bytes, for whoever reports it.
"""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import socket
import struct
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Final, NamedTuple

with warnings.catch_warnings():
    # Where it has no compiled part it warns of that, which `python -W error` would make fatal.
    warnings.simplefilter("ignore", RuntimeWarning)
    import google_crc32c

HEADER_SIZE: Final = 12
SMALLEST_PACKET: Final = HEADER_SIZE + 4
MOST_LOOKED_AT: Final = 64
"""Chunks of a stranger's packet, and parameters of an INIT or causes of an ERROR, that are read:
anybody can send thousands in one packet."""
MOST_CONTROL: Final = 256
"""Chunks of a peer's packet, DATA and SACK aside, that are read.  No packet needs as many."""
LEAST_RWND: Final = 1500
"""The smallest receiver window that an INIT may advertise, in bytes (section 3.3.2)."""
DATA_OVERHEAD: Final = 16
"""Bytes of a DATA chunk beside its payload."""
I_DATA_OVERHEAD: Final = 20
"""Bytes of an I-DATA chunk beside its payload."""

AUTH_OVERHEAD: Final = 8
"""Bytes of an AUTH chunk beside its HMAC."""
SACK_SIZE: Final = 16
ECNE_SIZE: Final = 8
"""Bytes of a SACK chunk without gap blocks and duplicate TSNs."""

# Flags of a DATA chunk (section 3.3.1; RFC 7053 section 3).
LAST: Final = 1
FIRST: Final = 2
UNORDERED: Final = 4
IMMEDIATE: Final = 8
WHOLE: Final = FIRST | LAST


class ChunkType(enum.IntEnum):
    """Chunk types (section 3.2, and the RFCs that added to it)."""

    DATA = 0
    INIT = 1
    INIT_ACK = 2
    SACK = 3
    HEARTBEAT = 4
    HEARTBEAT_ACK = 5
    ABORT = 6
    SHUTDOWN = 7
    SHUTDOWN_ACK = 8
    ERROR = 9
    COOKIE_ECHO = 10
    COOKIE_ACK = 11
    ECNE = 12
    CWR = 13
    SHUTDOWN_COMPLETE = 14
    AUTH = 15  # RFC 4895
    I_DATA = 64  # RFC 8260
    ASCONF_ACK = 128  # RFC 5061
    RE_CONFIG = 130  # RFC 6525
    PAD = 132  # RFC 4820
    FORWARD_TSN = 192  # RFC 3758
    ASCONF = 193  # RFC 5061
    I_FORWARD_TSN = 194  # RFC 8260


class ParameterType(enum.IntEnum):
    """Parameters of INIT and INIT ACK (sections 3.3.2.1 and 3.3.3.1)."""

    HEARTBEAT_INFO = 1
    IPV4_ADDRESS = 5
    IPV6_ADDRESS = 6
    STATE_COOKIE = 7
    UNRECOGNIZED = 8
    COOKIE_PRESERVATIVE = 9
    HOST_NAME = 11
    SUPPORTED_ADDRESS_TYPES = 12
    ECN_CAPABLE = 0x8000
    RANDOM = 0x8002  # RFC 4895
    CHUNK_LIST = 0x8003
    HMAC_ALGORITHMS = 0x8004
    PADDING = 0x8005  # RFC 4820
    SUPPORTED_EXTENSIONS = 0x8008  # RFC 5061
    FORWARD_TSN_SUPPORTED = 0xC000  # RFC 3758
    ADAPTATION_INDICATION = 0xC006  # RFC 5061


ADDRESS_SIZES: Final[dict[int, int]] = {
    ParameterType.IPV4_ADDRESS: 4,
    ParameterType.IPV6_ADDRESS: 16,
}
"""Bytes of the address in an Address parameter."""

KNOWN_PARAMETERS = frozenset(ParameterType)
"""Parameter types to which the rule for unknown ones (section 3.2.1) does not apply."""


class AsconfParameter(enum.IntEnum):
    """Parameters of ASCONF and ASCONF ACK (RFC 5061 sections 4.2.1 to 4.2.5)."""

    ADD_ADDRESS = 0xC001
    DELETE_ADDRESS = 0xC002
    ERROR = 0xC003
    SET_PRIMARY = 0xC004
    SUCCESS = 0xC005


class ReconfigParameter(enum.IntEnum):
    """Parameters of RE-CONFIG (RFC 6525 section 4): requests, and the response to them."""

    OUTGOING_RESET = 13
    INCOMING_RESET = 14
    ASSOCIATION_RESET = 15  # "SSN/TSN Reset"
    RESPONSE = 16
    ADD_OUTGOING = 17
    ADD_INCOMING = 18


class Cause(enum.IntEnum):
    """Error causes (section 3.3.10)."""

    INVALID_STREAM = 1
    MISSING_PARAMETER = 2
    STALE_COOKIE = 3
    OUT_OF_RESOURCE = 4
    UNRESOLVABLE_ADDRESS = 5
    UNRECOGNIZED_CHUNK = 6
    INVALID_PARAMETER = 7
    UNRECOGNIZED_PARAMETERS = 8
    NO_USER_DATA = 9
    COOKIE_WHILE_SHUTTING_DOWN = 10
    RESTART_WITH_NEW_ADDRESSES = 11
    USER_INITIATED_ABORT = 12
    PROTOCOL_VIOLATION = 13
    RESTART_WITH_NEW_ENCAPSULATION_PORT = 14  # RFC 6951
    DELETE_LAST_ADDRESS = 0x00A0  # RFC 5061
    RESOURCE_SHORTAGE = 0x00A1
    DELETE_SOURCE_ADDRESS = 0x00A2
    ILLEGAL_ASCONF_ACK = 0x00A3
    NO_AUTHORIZATION = 0x00A4
    UNSUPPORTED_HMAC = 0x0105  # RFC 4895


class Tlv(NamedTuple):
    """A parameter or an error cause; both consist of a type, a length and a value."""

    type: int
    value: bytes


class _Shown:
    """What dataclasses compile anew for each class whenever a program starts, here once.

    `Frozen` has the same, but the engine can be compiled, and a compiled class cannot inherit from
    one that is not.
    """

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__match_args__)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__qualname__}({values})"


# The `__init__` of this class and of some others is written out: mypyc does not compile one that
# `dataclasses` makes.
@dataclasses.dataclass(slots=True, init=False, eq=False, repr=False)
class Data(_Shown):
    """A DATA chunk (section 3.3.1); ``raw`` is all of it, without padding."""

    tsn: int
    stream: int
    ssn: int
    ppid: int
    raw: bytes
    flags: int

    def __init__(self, tsn: int, stream: int, ssn: int, ppid: int, raw: bytes, flags: int) -> None:
        self.tsn = tsn
        self.stream = stream
        self.ssn = ssn
        self.ppid = ppid
        self.raw = raw
        self.flags = flags

    @property
    def first(self) -> bool:
        """Whether a message begins with it."""
        return self.flags & FIRST != 0

    @property
    def last(self) -> bool:
        """Whether a message ends with it."""
        return self.flags & LAST != 0

    @property
    def unordered(self) -> bool:
        """Whether its message has no place in the order of its stream."""
        return self.flags & UNORDERED != 0

    @property
    def immediate(self) -> bool:
        """Whether it is to be acknowledged at once (RFC 7053)."""
        return self.flags & IMMEDIATE != 0

    @property
    def payload(self) -> bytes:
        """The user data."""
        return self.raw[DATA_OVERHEAD:]


class IData(Data):
    """An I-DATA chunk (RFC 8260 section 2.1).

    ``ssn`` is its MID.  ``ppid`` is the PPID in the first chunk of a message, and the FSN in the
    others.
    """

    __slots__ = ()

    @property
    def mid(self) -> int:
        """Which of its stream's messages it is a part of."""
        return self.ssn

    @property
    def fsn(self) -> int:
        """Which part of the message it is, from 0."""
        return 0 if self.flags & FIRST else self.ppid

    @property
    def payload(self) -> bytes:
        """The user data."""
        return self.raw[I_DATA_OVERHEAD:]


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Init(_Shown):
    """An INIT chunk (section 3.3.2); `InitAck` has the same fields."""

    tag: int
    rwnd: int
    outbound_streams: int
    inbound_streams: int
    tsn: int
    parameters: list[Tlv]


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class InitAck(Init):
    """An INIT ACK chunk (section 3.3.3)."""


@dataclasses.dataclass(slots=True, init=False, eq=False, repr=False)
class Sack(_Shown):
    """A SACK chunk (section 3.3.4).

    ``gaps`` are pairs of offsets from the cumulative TSN, of the first and of the last TSN that has
    arrived.
    """

    cumulative_tsn: int
    rwnd: int
    gaps: list[tuple[int, int]]
    duplicates: list[int]

    def __init__(
        self,
        cumulative_tsn: int,
        rwnd: int,
        gaps: list[tuple[int, int]],
        duplicates: list[int],
    ) -> None:
        self.cumulative_tsn = cumulative_tsn
        self.rwnd = rwnd
        self.gaps = gaps
        self.duplicates = duplicates


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Heartbeat(_Shown):
    """A HEARTBEAT chunk (section 3.3.5); ``info`` is the value of its Heartbeat Info parameter."""

    info: bytes


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class HeartbeatAck(_Shown):
    """A HEARTBEAT ACK chunk (section 3.3.6), with the ``info`` of the HEARTBEAT."""

    info: bytes


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Abort(_Shown):
    """An ABORT chunk (section 3.3.7).

    ``reflected`` is the T bit: the packet has the verification tag that its sender received.
    ``raw_causes`` are the bytes of the causes, even if these cannot be told apart.
    """

    causes: list[Tlv]
    reflected: bool = False
    raw_causes: bytes = b""


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Shutdown(_Shown):
    """A SHUTDOWN chunk (section 3.3.8)."""

    cumulative_tsn: int


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class ShutdownAck(_Shown):
    """A SHUTDOWN ACK chunk (section 3.3.9)."""


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Error(_Shown):
    """An ERROR chunk (section 3.3.10)."""

    causes: list[Tlv]


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class CookieEcho(_Shown):
    """A COOKIE ECHO chunk (section 3.3.11)."""

    cookie: bytes


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class CookieAck(_Shown):
    """A COOKIE ACK chunk (section 3.3.12)."""


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class ShutdownComplete(_Shown):
    """A SHUTDOWN COMPLETE chunk (section 3.3.13); ``reflected`` is the T bit, as in `Abort`."""

    reflected: bool = False


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class ForwardTsn(_Shown):
    """A FORWARD TSN chunk (RFC 3758 section 3.2).

    ``streams`` are pairs of stream and SSN, of the ordered messages that were skipped.
    """

    cumulative_tsn: int
    streams: list[tuple[int, int]]


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Asconf(_Shown):
    """An ASCONF chunk (RFC 5061 section 4.1.1).

    ``address`` is the parameter by which the association is found; the others are requests.
    """

    serial: int
    address: Tlv
    requests: list[Tlv]


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class AsconfAck(_Shown):
    """An ASCONF ACK chunk (RFC 5061 section 4.1.2)."""

    serial: int
    responses: list[Tlv]


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Auth(_Shown):
    """An AUTH chunk (RFC 4895 section 5.1), which stands at ``offset`` in the ``packet``.

    ``key`` and ``hmac`` are its identifiers.  ``end`` is where its HMAC ends.
    """

    key: int
    hmac: int
    packet: bytes
    offset: int
    end: int

    @property
    def mac(self) -> bytes:
        """The HMAC that it holds."""
        return self.packet[self.offset + AUTH_OVERHEAD : self.end]

    @property
    def covered(self) -> bytes:
        """What the HMAC is of: the chunk without it, and all that follows (section 6.2)."""
        start = self.offset + AUTH_OVERHEAD
        return b"".join(
            (self.packet[self.offset : start], bytes(self.end - start), self.packet[self.end :])
        )


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class IForwardTsn(ForwardTsn):
    """An I-FORWARD-TSN chunk (RFC 8260 section 2.3.1).

    ``streams`` are pairs of an order and the last MID that was skipped in it.  An order is twice
    the number of a stream, for ordered messages, and one more for unordered ones.
    """


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class ReconfigRequest(_Shown):
    """A request in a RE-CONFIG chunk (RFC 6525 sections 4.1 to 4.3, 4.5 and 4.6).

    Fields that a kind of request does not have are 0 or empty.

    Attributes:
      kind: Which, a `ReconfigParameter`.
      number: Its request sequence number.
      answers: The number of the receiver's request that it answers; of an outgoing reset only.
      last_tsn: The TSN up to which streams go on as before; of an outgoing reset only.
      streams: The streams that are to be reset; empty for all.
      count: How many streams are to be added.
    """

    kind: int
    number: int
    answers: int = 0
    last_tsn: int = 0
    streams: tuple[int, ...] = ()
    count: int = 0


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class ReconfigResponse(_Shown):
    """A response in a RE-CONFIG chunk (RFC 6525 section 4.4).

    ``next_tsns`` are the Sender's and the Receiver's Next TSN; None if there are none.
    """

    number: int
    result: int
    next_tsns: tuple[int, int] | None = None


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Reconfig(_Shown):
    """A RE-CONFIG chunk (RFC 6525 section 3.1), with one or two parameters."""

    responses: list[ReconfigResponse]
    requests: list[ReconfigRequest]


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Ecne(_Shown):
    """An ECNE chunk: a packet came with a router's mark (RFC 4960 appendix A).

    ``lowest_tsn`` is the lowest in that packet.
    """

    lowest_tsn: int


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Cwr(_Shown):
    """A CWR chunk, with the TSN of the ECNE chunk that it answers (RFC 4960 appendix A)."""

    lowest_tsn: int


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class UnknownChunk(_Shown):
    """A chunk of an unknown type, whose two highest bits say what to do with it (section 3.2)."""

    type: int
    raw: bytes

    @property
    def stop(self) -> bool:
        """Whether the rest of the packet is to be ignored."""
        return not self.type & 0x80

    @property
    def report(self) -> bool:
        """Whether the peer is to be told of it, with an ERROR chunk."""
        return bool(self.type & 0x40)


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class BadChunk(_Shown):
    """A chunk of a known type whose contents make no sense; ``reason`` is for the peer to read."""

    type: int
    reason: str
    raw: bytes


Chunk = (
    Data
    | Init
    | InitAck
    | Sack
    | Heartbeat
    | HeartbeatAck
    | Abort
    | Shutdown
    | ShutdownAck
    | Error
    | CookieEcho
    | CookieAck
    | ShutdownComplete
    | ForwardTsn
    | Asconf
    | AsconfAck
    | Auth
    | Reconfig
    | Ecne
    | Cwr
    | UnknownChunk
    | BadChunk
)


@dataclasses.dataclass(slots=True, init=False, eq=False, repr=False)
class Packet(_Shown):
    """A packet whose checksum is right.

    ``truncated`` says that its chunks are followed by bytes that form no chunk, ``plain`` that all
    of its chunks are well-formed DATA and SACK chunks, as in nearly every packet.
    """

    source_port: int
    destination_port: int
    tag: int
    chunks: list[Chunk]
    truncated: bool = False
    plain: bool = False

    def __init__(
        self,
        source_port: int,
        destination_port: int,
        tag: int,
        chunks: list[Chunk],
        truncated: bool = False,
        plain: bool = False,
    ) -> None:
        self.source_port = source_port
        self.destination_port = destination_port
        self.tag = tag
        self.chunks = chunks
        self.truncated = truncated
        self.plain = plain


class Malformed(enum.Enum):
    """The reason why bytes are no packet; they are dropped silently."""

    TOO_SHORT = "shorter than a header and a chunk"
    CHECKSUM = "wrong CRC32c"
    PORT = "a port that is 0"


HEADER: Final = struct.Struct("!HHI")
"""Source port, destination port and verification tag; the checksum follows."""
_CHECKSUM: Final = struct.Struct("<I")
_CHUNK: Final = struct.Struct("!BBH")
_DATA: Final = struct.Struct("!IHHI")
DATA_CHUNK: Final = struct.Struct("!BBHIHHI")
"""Type, flags, length, TSN, stream, SSN and PPID; the payload follows."""
_I_DATA: Final = struct.Struct("!IHxxII")
I_DATA_CHUNK: Final = struct.Struct("!BBHIHxxII")
"""Type, flags, length, TSN, stream, MID, and PPID or FSN; the payload follows."""
_SKIPPED: Final = struct.Struct("!HHI")  # stream, flags and MID
_INIT: Final = struct.Struct("!IIHHI")
_SACK: Final = struct.Struct("!IIHH")
_PLAIN_SACK: Final = struct.Struct("!BBHIII")  # with its header, and nothing behind its fields
_TLV: Final = struct.Struct("!HH")
_U32: Final = struct.Struct("!I")
_TWO_U32: Final = struct.Struct("!II")
_OUTGOING_RESET: Final = struct.Struct("!III")  # request, response, last TSN; streams follow
_ADD_STREAMS: Final = struct.Struct("!IHxx")
_PAIR: Final = struct.Struct("!HH")
_COMBINATIONS: Final = frozenset(
    [(13,), (14,), (13, 14), (15,), (17,), (18,), (17, 18), (16,), (13, 16), (16, 16)]
)
"""The parameters that a RE-CONFIG chunk may have, in ascending order (RFC 6525 section 3.1)."""
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")

_crc32c: Callable[[bytes], int] = google_crc32c.value  # pyright: ignore
_NO_CHECKSUM = bytes(4)


def seal(source_port: int, destination_port: int, tag: int, chunks: Iterable[bytes]) -> bytes:
    """Return a packet with its checksum (section 3.1 and appendix A)."""
    header = HEADER.pack(source_port, destination_port, tag)
    body = b"".join(chunks)
    return b"".join((header, _CHECKSUM.pack(_crc32c(header + _NO_CHECKSUM + body)), body))


def parse_packet_untrusted(data: bytes) -> Packet | Malformed:
    """Parse a packet with each of its chunks."""
    if len(data) < SMALLEST_PACKET:
        return Malformed.TOO_SHORT
    source, destination, tag = HEADER.unpack_from(data)
    # What `_checksum_fits` does, without a call for each packet.
    if _CHECKSUM.unpack_from(data, 8)[0] != _crc32c(data[:8] + _NO_CHECKSUM + data[12:]):
        return Malformed.CHECKSUM
    if not source or not destination:
        return Malformed.PORT
    chunks: list[Chunk] = []
    append = chunks.append
    plain = True
    control = 0
    offset, size = HEADER_SIZE, len(data)
    while offset + 4 <= size:
        kind, flags, length = _CHUNK.unpack_from(data, offset)
        end = offset + length
        if length < 4 or end > size:
            return Packet(source, destination, tag, chunks, True)
        if kind == 0 and length > DATA_OVERHEAD:
            tsn, stream, ssn, ppid = _DATA.unpack_from(data, offset + 4)
            append(Data(tsn, stream, ssn, ppid, data[offset:end], flags))
        elif kind == 3:
            sack = _parse_sack_untrusted(data[offset + 4 : end], data[offset:end])
            plain = plain and type(sack) is Sack
            append(sack)
        elif kind == 64 and length > I_DATA_OVERHEAD:
            tsn, stream, mid, number = _I_DATA.unpack_from(data, offset + 4)
            append(IData(tsn, stream, mid, number, data[offset:end], flags))
        else:
            plain = False
            control += 1
            if control > MOST_CONTROL:
                break
            if kind == 15:
                append(_parse_auth_untrusted(data, offset, end))
            else:
                append(
                    _parse_chunk_untrusted(kind, flags, data[offset + 4 : end], data[offset:end])
                )
        offset = end + (-length & 3)
    return Packet(source, destination, tag, chunks, offset < size, plain and bool(chunks))


def chunk_types_untrusted(data: bytes) -> list[int]:
    """Return the types of a packet's chunks, one for each that `parse_packet_untrusted` returns."""
    kinds: list[int] = []
    offset, size = HEADER_SIZE, len(data)
    while offset + 4 <= size:
        kind, _, length = _CHUNK.unpack_from(data, offset)
        if length < 4 or offset + length > size:
            break
        kinds.append(kind)
        offset += length + (-length & 3)
    return kinds


class Outline(NamedTuple):
    """What a packet says of itself before its chunks are understood.

    Attributes:
      source_port: The sender's SCTP port.
      tag: The verification tag.
      kinds: The types of its chunks.
      truncated: Whether its chunks are followed by bytes that form no chunk.
      reflected: Whether an ABORT or SHUTDOWN COMPLETE has the T bit.
      stale: Whether an ERROR says, as the first thing, that a cookie is stale.
    """

    source_port: int
    tag: int
    kinds: list[int]
    truncated: bool
    reflected: bool
    stale: bool


def outline_untrusted(data: bytes) -> Outline | None:
    """Return the outline of a packet.

    Returns None if it is none, has no chunk, or has more of them than are looked at.
    """
    source, destination, tag = HEADER.unpack_from(data)
    if not source or not destination:
        return None
    kinds: list[int] = []
    reflected = stale = False
    offset, size = HEADER_SIZE, len(data)
    while offset + 4 <= size:
        kind, flags, length = _CHUNK.unpack_from(data, offset)
        if length < 4 or offset + length > size:
            break
        if len(kinds) == MOST_LOOKED_AT:
            return None
        kinds.append(kind)
        if flags & 1 and kind in (ChunkType.ABORT, ChunkType.SHUTDOWN_COMPLETE):
            reflected = True
        elif kind == ChunkType.ERROR and length >= 8:
            stale = stale or _TLV.unpack_from(data, offset + 4)[0] == Cause.STALE_COOKIE
        offset += length + (-length & 3)
    if not kinds or not _checksum_fits(data):
        return None
    return Outline(source, tag, kinds, offset < size, reflected, stale)


def _checksum_fits(data: bytes) -> bool:
    checksum: int = _CHECKSUM.unpack_from(data, 8)[0]
    return checksum == _crc32c(data[:8] + _NO_CHECKSUM + data[12:])


def _parse_chunk_untrusted(kind: int, flags: int, value: bytes, raw: bytes) -> Chunk:
    match kind:
        case ChunkType.DATA:
            reason = "no user data" if len(value) == _DATA.size else "too short"
            return BadChunk(kind, reason, raw)
        case ChunkType.I_DATA:
            reason = "no user data" if len(value) == _I_DATA.size else "too short"
            return BadChunk(kind, reason, raw)
        case ChunkType.INIT | ChunkType.INIT_ACK:
            return _parse_init_untrusted(kind, value, raw)
        case ChunkType.HEARTBEAT | ChunkType.HEARTBEAT_ACK:
            found = parse_tlvs_untrusted(value)
            if not found or found[0].type != ParameterType.HEARTBEAT_INFO:
                return BadChunk(kind, "no Heartbeat Info", raw)
            return (Heartbeat if kind == ChunkType.HEARTBEAT else HeartbeatAck)(found[0].value)
        case ChunkType.ABORT:
            # An ABORT ends the association whatever its causes are.
            return Abort(parse_tlvs_untrusted(value) or [], bool(flags & 1), value)
        case ChunkType.ERROR:
            causes = parse_tlvs_untrusted(value)
            if not causes:
                return BadChunk(kind, "no cause", raw)
            return Error(causes)
        case ChunkType.SHUTDOWN:
            if len(value) != 4:
                return BadChunk(kind, "wrong length", raw)
            return Shutdown(_U32.unpack(value)[0])
        case ChunkType.SHUTDOWN_ACK:
            return ShutdownAck()
        case ChunkType.COOKIE_ECHO:
            return CookieEcho(value)
        case ChunkType.COOKIE_ACK:
            return CookieAck()
        case ChunkType.SHUTDOWN_COMPLETE:
            return ShutdownComplete(bool(flags & 1))
        case ChunkType.FORWARD_TSN:
            return _parse_forward_tsn_untrusted(value, raw)
        case ChunkType.ASCONF:
            return _parse_asconf_untrusted(value, raw)
        case ChunkType.ASCONF_ACK:
            responses = parse_tlvs_untrusted(value[4:])
            if len(value) < 4 or responses is None:
                return BadChunk(kind, "wrong length", raw)
            return AsconfAck(_U32.unpack_from(value)[0], responses)
        case ChunkType.I_FORWARD_TSN:
            return _parse_i_forward_tsn_untrusted(value, raw)
        case ChunkType.RE_CONFIG:
            return _parse_reconfig_untrusted(value, raw)
        case ChunkType.ECNE | ChunkType.CWR:
            if len(value) != 4:
                return UnknownChunk(kind, raw)  # RFC 9260 knows neither
            return (Ecne if kind == ChunkType.ECNE else Cwr)(_U32.unpack(value)[0])
        case _:
            return UnknownChunk(kind, raw)


def _parse_init_untrusted(kind: int, value: bytes, raw: bytes) -> Chunk:
    if len(value) < _INIT.size:
        return BadChunk(kind, "too short", raw)
    parameters = parse_tlvs_untrusted(value[_INIT.size :])
    if parameters is None:
        return BadChunk(kind, "a parameter with a wrong length", raw)
    tag, rwnd, outbound, inbound, tsn = _INIT.unpack_from(value)
    make = Init if kind == ChunkType.INIT else InitAck
    return make(tag, rwnd, outbound, inbound, tsn, parameters)


def _parse_forward_tsn_untrusted(value: bytes, raw: bytes) -> Chunk:
    if len(value) < 4 or len(value) % 4:
        return BadChunk(ChunkType.FORWARD_TSN, "wrong length", raw)
    pairs = [_PAIR.unpack_from(value, at) for at in range(4, len(value), 4)]
    return ForwardTsn(_U32.unpack_from(value)[0], pairs)


def _parse_asconf_untrusted(value: bytes, raw: bytes) -> Chunk:
    parameters = parse_tlvs_untrusted(value[4:])
    if not parameters or parameters[0].type not in ADDRESS_SIZES:
        return BadChunk(ChunkType.ASCONF, "no address", raw)
    return Asconf(_U32.unpack_from(value)[0], parameters[0], parameters[1:])


def _parse_auth_untrusted(data: bytes, offset: int, end: int) -> Auth:
    """Parse an AUTH chunk.  One that is too short has an HMAC that never is right: none."""
    if end - offset < AUTH_OVERHEAD:
        return Auth(0, 0, data, offset, offset + AUTH_OVERHEAD)
    key, hmac = _PAIR.unpack_from(data, offset + 4)
    return Auth(key, hmac, data, offset, end)


def _parse_i_forward_tsn_untrusted(value: bytes, raw: bytes) -> Chunk:
    if len(value) % 8 != 4:
        return BadChunk(ChunkType.I_FORWARD_TSN, "wrong length", raw)
    pairs: list[tuple[int, int]] = []
    for at in range(4, len(value), 8):
        stream, flags, mid = _SKIPPED.unpack_from(value, at)
        pairs.append((2 * stream + (flags & 1), mid))
    return IForwardTsn(_U32.unpack_from(value)[0], pairs)


def _parse_reconfig_untrusted(value: bytes, raw: bytes) -> Chunk:
    parameters = parse_tlvs_untrusted(value)
    if parameters is None:
        return BadChunk(ChunkType.RE_CONFIG, "a parameter with a wrong length", raw)
    if tuple(sorted([parameter.type for parameter in parameters])) not in _COMBINATIONS:
        return BadChunk(ChunkType.RE_CONFIG, "parameters that do not go together", raw)
    responses: list[ReconfigResponse] = []
    requests: list[ReconfigRequest] = []
    for parameter in parameters:
        if parameter.type == ReconfigParameter.RESPONSE:
            response = _reconfig_response_untrusted(parameter.value)
            if response is None:
                return BadChunk(ChunkType.RE_CONFIG, "a response with a wrong length", raw)
            responses.append(response)
        else:
            request = _reconfig_request_untrusted(parameter.type, parameter.value)
            if request is None:
                return BadChunk(ChunkType.RE_CONFIG, "a request with a wrong length", raw)
            requests.append(request)
    return Reconfig(responses, requests)


def _reconfig_response_untrusted(value: bytes) -> ReconfigResponse | None:
    if len(value) == 8:
        number, result = _TWO_U32.unpack(value)
        return ReconfigResponse(number, result)
    if len(value) == 16:
        number, result = _TWO_U32.unpack_from(value)
        return ReconfigResponse(number, result, _TWO_U32.unpack_from(value, 8))
    return None


def _reconfig_request_untrusted(kind: int, value: bytes) -> ReconfigRequest | None:
    size = len(value)
    match kind:
        case ReconfigParameter.OUTGOING_RESET:
            if size < _OUTGOING_RESET.size or size & 1:
                return None
            number, answers, last_tsn = _OUTGOING_RESET.unpack_from(value)
            streams = _streams_untrusted(value, _OUTGOING_RESET.size)
            return ReconfigRequest(kind, number, answers, last_tsn, streams)
        case ReconfigParameter.INCOMING_RESET:
            if size < 4 or size & 1:
                return None
            streams = _streams_untrusted(value, 4)
            return ReconfigRequest(kind, _U32.unpack_from(value)[0], streams=streams)
        case ReconfigParameter.ASSOCIATION_RESET:
            return ReconfigRequest(kind, _U32.unpack(value)[0]) if size == 4 else None
        case _:
            if size != _ADD_STREAMS.size:
                return None
            number, count = _ADD_STREAMS.unpack(value)
            return ReconfigRequest(kind, number, count=count)


def _streams_untrusted(value: bytes, offset: int) -> tuple[int, ...]:
    return struct.unpack_from(f"!{(len(value) - offset) // 2}H", value, offset)


def _parse_sack_untrusted(value: bytes, raw: bytes) -> Chunk:
    if len(value) < _SACK.size:
        return BadChunk(ChunkType.SACK, "too short", raw)
    cumulative, rwnd, gap_count, duplicate_count = _SACK.unpack_from(value)
    if len(value) != _SACK.size + 4 * (gap_count + duplicate_count):
        return BadChunk(ChunkType.SACK, "wrong length", raw)
    if not gap_count and not duplicate_count:
        return Sack(cumulative, rwnd, [], [])
    fields = struct.unpack_from(f"!{2 * gap_count}H{duplicate_count}I", value, _SACK.size)
    ends = iter(fields[: 2 * gap_count])
    return Sack(cumulative, rwnd, list(zip(ends, ends, strict=True)), list(fields[2 * gap_count :]))


def parse_tlvs_untrusted(data: bytes) -> list[Tlv] | None:
    """Parse parameters or causes; return None if their lengths do not add up.

    Of more than `MOST_LOOKED_AT`, one more than that is returned.
    """
    found: list[Tlv] = []
    offset, size = 0, len(data)
    while offset < size and len(found) <= MOST_LOOKED_AT:
        if size - offset < 4:
            return None
        kind, length = _TLV.unpack_from(data, offset)
        if length < 4 or offset + length > size:
            return None
        found.append(Tlv(kind, data[offset + 4 : offset + length]))
        offset += length + (-length & 3)
    return found


# -- building ----------------------------------------------------------------------------------


def chunk(kind: int, value: bytes = b"", flags: int = 0) -> bytes:
    """Return a chunk, padded."""
    return _CHUNK.pack(kind, flags, 4 + len(value)) + value + _PADDING[len(value) & 3]


def tlv(kind: int, value: bytes) -> bytes:
    """Return a parameter or a cause, padded."""
    return _TLV.pack(kind, 4 + len(value)) + value + _PADDING[len(value) & 3]


def tlvs(listed: Iterable[Tlv]) -> bytes:
    """Return parameters or causes; the last is not padded, since the chunk's padding follows it."""
    data, unpadded = b"", 0
    for one in listed:
        data += tlv(*one)
        unpadded = len(data) - (-len(one.value) & 3)
    return data[:unpadded]


def data_chunk(
    tsn: int, stream: int, ssn: int, ppid: int, payload: bytes | memoryview, flags: int
) -> bytes:
    """Return a DATA chunk; ``flags`` is a sum of `LAST`, `FIRST`, `UNORDERED` and `IMMEDIATE`."""
    size = len(payload)
    header = DATA_CHUNK.pack(0, flags, DATA_OVERHEAD + size, tsn, stream, ssn, ppid)
    return b"".join((header, payload, _PADDING[size & 3]))


def i_data_chunk(
    tsn: int, stream: int, mid: int, number: int, payload: bytes | memoryview, flags: int
) -> bytes:
    """Return an I-DATA chunk; ``number`` is the PPID of the first of a message, else the FSN."""
    size = len(payload)
    header = I_DATA_CHUNK.pack(64, flags, I_DATA_OVERHEAD + size, tsn, stream, mid, number)
    return b"".join((header, payload, _PADDING[size & 3]))


def init_chunk(init: Init) -> bytes:
    """Return an INIT or an INIT ACK chunk."""
    kind = ChunkType.INIT_ACK if isinstance(init, InitAck) else ChunkType.INIT
    fixed = _INIT.pack(init.tag, init.rwnd, init.outbound_streams, init.inbound_streams, init.tsn)
    return chunk(kind, fixed + tlvs(init.parameters))


def sack_chunk(
    cumulative_tsn: int, rwnd: int, gaps: Sequence[tuple[int, int]], duplicates: Sequence[int]
) -> bytes:
    """Return a SACK chunk; ``gaps`` are those of `Sack`."""
    if not gaps and not duplicates:  # as nearly all are
        return _PLAIN_SACK.pack(3, 0, SACK_SIZE, cumulative_tsn, rwnd, 0)
    value = _SACK.pack(cumulative_tsn, rwnd, len(gaps), len(duplicates))
    flat = [end for gap in gaps for end in gap]
    value += struct.pack(f"!{len(flat)}H{len(duplicates)}I", *flat, *duplicates)
    return chunk(ChunkType.SACK, value)


def heartbeat_chunk(info: bytes, *, ack: bool = False) -> bytes:
    """Return a HEARTBEAT or a HEARTBEAT ACK chunk."""
    kind = ChunkType.HEARTBEAT_ACK if ack else ChunkType.HEARTBEAT
    return chunk(kind, tlvs([Tlv(ParameterType.HEARTBEAT_INFO, info)]))


def pad_chunk(size: int) -> bytes:
    """Return a PAD chunk of ``size`` bytes, its header included (RFC 4820 section 3)."""
    return chunk(ChunkType.PAD, bytes(size - 4))


def abort_chunk(causes: Iterable[Tlv] = (), *, reflected: bool = False) -> bytes:
    """Return an ABORT chunk."""
    return chunk(ChunkType.ABORT, tlvs(causes), int(reflected))


def error_chunk(causes: Iterable[Tlv]) -> bytes:
    """Return an ERROR chunk."""
    return chunk(ChunkType.ERROR, tlvs(causes))


def shutdown_chunk(cumulative_tsn: int) -> bytes:
    """Return a SHUTDOWN chunk."""
    return chunk(ChunkType.SHUTDOWN, _U32.pack(cumulative_tsn))


def ecne_chunk(lowest_tsn: int) -> bytes:
    """Return an ECNE chunk."""
    return chunk(ChunkType.ECNE, _U32.pack(lowest_tsn))


def cwr_chunk(lowest_tsn: int) -> bytes:
    """Return a CWR chunk."""
    return chunk(ChunkType.CWR, _U32.pack(lowest_tsn))


def shutdown_complete_chunk(*, reflected: bool = False) -> bytes:
    """Return a SHUTDOWN COMPLETE chunk."""
    return chunk(ChunkType.SHUTDOWN_COMPLETE, b"", int(reflected))


def forward_tsn_chunk(cumulative_tsn: int, streams: Iterable[tuple[int, int]]) -> bytes:
    """Return a FORWARD TSN chunk; ``streams`` are those of `ForwardTsn`."""
    pairs = b"".join(_PAIR.pack(*pair) for pair in streams)
    return chunk(ChunkType.FORWARD_TSN, _U32.pack(cumulative_tsn) + pairs)


def asconf_chunk(serial: int, address: Tlv, requests: Iterable[Tlv]) -> bytes:
    """Return an ASCONF chunk; the arguments are the fields of `Asconf`."""
    return chunk(ChunkType.ASCONF, _U32.pack(serial) + tlvs([address, *requests]))


def asconf_ack_chunk(serial: int, responses: Iterable[Tlv] = ()) -> bytes:
    """Return an ASCONF ACK chunk."""
    return chunk(ChunkType.ASCONF_ACK, _U32.pack(serial) + tlvs(responses))


def auth_chunk(key: int, hmac: int, mac: bytes) -> bytes:
    """Return an AUTH chunk."""
    return chunk(ChunkType.AUTH, _PAIR.pack(key, hmac) + mac)


def i_forward_tsn_chunk(cumulative_tsn: int, streams: Iterable[tuple[int, int]]) -> bytes:
    """Return an I-FORWARD-TSN chunk; ``streams`` are those of `IForwardTsn`."""
    skipped = b"".join(_SKIPPED.pack(order >> 1, order & 1, mid) for order, mid in streams)
    return chunk(ChunkType.I_FORWARD_TSN, _U32.pack(cumulative_tsn) + skipped)


def reconfig_chunk(reconfig: Reconfig) -> bytes:
    """Return a RE-CONFIG chunk, its responses first."""
    listed: list[Tlv] = []
    for response in reconfig.responses:
        value = _TWO_U32.pack(response.number, response.result)
        if response.next_tsns is not None:
            value += _TWO_U32.pack(*response.next_tsns)
        listed.append(Tlv(ReconfigParameter.RESPONSE, value))
    listed += [Tlv(request.kind, _request_value(request)) for request in reconfig.requests]
    return chunk(ChunkType.RE_CONFIG, tlvs(listed))


def _request_value(request: ReconfigRequest) -> bytes:
    streams = struct.pack(f"!{len(request.streams)}H", *request.streams)
    match request.kind:
        case ReconfigParameter.OUTGOING_RESET:
            fixed = _OUTGOING_RESET.pack(request.number, request.answers, request.last_tsn)
            return fixed + streams
        case ReconfigParameter.INCOMING_RESET:
            return _U32.pack(request.number) + streams
        case ReconfigParameter.ASSOCIATION_RESET:
            return _U32.pack(request.number)
        case _:
            return _ADD_STREAMS.pack(request.number, request.count)


def address_parameter(address: str) -> Tlv:
    """Return an IPv4 or IPv6 Address parameter."""
    if ":" in address:
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
        return Tlv(ParameterType.IPV6_ADDRESS, packed)
    return Tlv(ParameterType.IPV4_ADDRESS, socket.inet_aton(address))


def address_untrusted(parameter: Tlv) -> str | None:
    """Return the address in an Address parameter.

    Returns None if its length is wrong, or if no host can send from that address.
    """
    if len(parameter.value) != ADDRESS_SIZES.get(parameter.type):
        return None
    address = ipaddress.ip_address(parameter.value)
    if address.is_multicast or address.is_unspecified:
        return None
    if address.version == 4:
        # 0.0.0.0/8 and 240.0.0.0/4, with the broadcast address: no host has these.
        return str(address) if 0 < parameter.value[0] < 240 else None
    # An IPv4 address in disguise would pass for one of another scope.
    return str(address) if address.ipv4_mapped is None else None


def unrecognized(parameter: Tlv) -> Tlv:
    """Return the parameter that reports an unknown one, which it contains whole (section 3.2.1)."""
    return Tlv(ParameterType.UNRECOGNIZED, tlvs([parameter]))
