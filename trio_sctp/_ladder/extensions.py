"""The chunks that SCTP's extensions have added, as far as a ladder tells of them.

A capture has those of any program, whatever the engine knows, so they are read here.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar

from .._engine import wire
from .._engine.wire import ChunkType, ParameterType
from .._errors import error_string

Number = Callable[[int], int]
"""Numbers the TSNs of one direction, from 1."""

FEW = 8
"""Gap blocks, streams, addresses and so on, that are shown."""

_U32 = struct.Struct("!I")
_DONE = 1
_RECONFIG_RESULTS = {
    0: "nothing to do",
    _DONE: "done",
    2: "denied",
    3: "refused: a wrong stream number",
    4: "refused: another request is in progress",
    5: "refused: a wrong sequence number",
    6: "in progress",
}
_HMACS = {1: "SHA-1", 3: "SHA-256"}


class Extension:
    """A chunk of an extension, which has ``smallest`` bytes at least."""

    __slots__ = ("raw",)
    name: ClassVar[str]
    smallest: ClassVar[int] = 4

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    @property
    def tsn(self) -> int | None:
        """A TSN that it tells of, of what its sender sends; None if there is none."""
        return None

    @property
    def received_tsn(self) -> int | None:
        """A TSN that it tells of, of what its sender receives; None if there is none."""
        return None

    @property
    def asks(self) -> list[int]:
        """The numbers of the requests that it makes, each of which wants an answer."""
        return []

    @property
    def answers(self) -> list[tuple[type[Extension], int]]:
        """The requests that it answers: the kind of their chunk, and the number of each."""
        return []

    def details(self, there: Number, back: Number) -> str:
        """What stands behind the name and the TSN."""
        return ""


class Ecne(Extension):
    """ECNE: packets were marked on their way, this TSN first (RFC 4960 appendix A)."""

    name = "ECNE"
    smallest = 8

    @property
    def received_tsn(self) -> int | None:
        return _u32(self.raw, 4)


class Cwr(Extension):
    """CWR: the congestion window was reduced because of an ECNE."""

    name = "CWR"
    smallest = 8

    @property
    def tsn(self) -> int | None:
        return _u32(self.raw, 4)


class Auth(Extension):
    """AUTH: what follows in the packet is authenticated (RFC 4895 section 4.1)."""

    name = "AUTH"
    smallest = 8

    def details(self, there: Number, back: Number) -> str:
        key, hmac = struct.unpack_from("!HH", self.raw, 4)
        return f"key {key} {hmac_name(hmac)}"


class Reconfig(Extension):
    """RE-CONFIG: streams are reset or added (RFC 6525)."""

    name = "RE-CONFIG"

    @property
    def asks(self) -> list[int]:
        return [_u32(one.value) for one in self._parameters() if one.type in _REQUESTS]

    @property
    def answers(self) -> list[tuple[type[Extension], int]]:
        return [(Reconfig, _u32(one.value)) for one in self._parameters() if one.type == _RESPONSE]

    @property
    def next_tsns(self) -> tuple[int, int] | None:
        """If it says that all was reset: the next TSNs of its sender and of its receiver."""
        for kind, value in self._parameters():
            if kind == _RESPONSE and len(value) >= 16 and _u32(value, 4) == _DONE:
                return _u32(value, 8), _u32(value, 12)
        return None

    def _parameters(self) -> list[wire.Tlv]:
        return [one for one in _tlvs(self.raw[4:]) if len(one.value) >= 4]

    def details(self, there: Number, back: Number) -> str:
        return ", ".join(_reconfig(one, there) for one in self._parameters())


_OUTGOING, _INCOMING, _TSNS, _RESPONSE, _ADD_OUTGOING, _ADD_INCOMING = range(13, 19)
_REQUESTS = (_OUTGOING, _INCOMING, _TSNS, _ADD_OUTGOING, _ADD_INCOMING)


def _reconfig(parameter: wire.Tlv, there: Number) -> str:
    kind, value = parameter
    if kind == _OUTGOING and len(value) >= 12:
        last = there(_u32(value, 8))
        behind = f" after TSN {last}" if last > 0 else ""  # or nothing was sent yet
        return f"reset {_streams(value[12:], 'outgoing')}{behind}"
    if kind == _INCOMING:
        return f"reset {_streams(value[4:], 'incoming')}"
    if kind == _TSNS:
        return "reset all streams and TSNs"
    if kind == _RESPONSE and len(value) >= 8:
        result = _u32(value, 4)
        return f"answer: {_RECONFIG_RESULTS.get(result, f'result {result}')}"
    if kind in (_ADD_OUTGOING, _ADD_INCOMING) and len(value) >= 6:
        way = "outgoing" if kind == _ADD_OUTGOING else "incoming"
        return f"add {int.from_bytes(value[4:6], 'big')} {way} streams"
    return f"parameter {kind}"


def _streams(numbers: bytes, way: str) -> str:
    streams = [str(stream) for (stream,) in struct.iter_unpack("!H", numbers[: len(numbers) & ~1])]
    return f"{way} streams {few(streams)}" if streams else f"all {way} streams"


class Asconf(Extension):
    """ASCONF: addresses come and go (RFC 5061 section 4.1.1)."""

    name = "ASCONF"
    smallest = 8

    @property
    def asks(self) -> list[int]:
        return [_u32(self.raw, 4)]

    def details(self, there: Number, back: Number) -> str:
        return ", ".join(
            f"{_ASCONF_REQUESTS[one.type]} {_address(one.value[4:])}"
            for one in _tlvs(self.raw[8:])
            if one.type in _ASCONF_REQUESTS
        )


_ASCONF_REQUESTS = {0xC001: "add", 0xC002: "delete", 0xC004: "make primary"}
_ASCONF_ERROR = 0xC003


class AsconfAck(Extension):
    """ASCONF ACK: whether that was done (RFC 5061 section 4.1.2)."""

    name = "ASCONF ACK"
    smallest = 8

    @property
    def answers(self) -> list[tuple[type[Extension], int]]:
        return [(Asconf, _u32(self.raw, 4))]

    def details(self, there: Number, back: Number) -> str:
        return ", ".join(
            error_string(cause.type)
            for one in _tlvs(self.raw[8:])
            if one.type == _ASCONF_ERROR
            for cause in _tlvs(one.value[4:])
        )


class IForwardTsn(Extension):
    """I-FORWARD TSN: messages were given up (RFC 8260 section 2.3.1)."""

    name = "I-FORWARD TSN"
    smallest = 8

    @property
    def tsn(self) -> int | None:
        return _u32(self.raw, 4)

    def details(self, there: Number, back: Number) -> str:
        entries = self.raw[8 : len(self.raw) - (len(self.raw) - 8) % 8]
        return skipped(
            f"{stream} to MID {mid}" if not flags & 1 else f"{stream} unordered to MID {mid}"
            for stream, flags, mid in struct.iter_unpack("!HHI", entries)
        )


KINDS: dict[int, type[Extension]] = {
    12: Ecne,
    13: Cwr,
    15: Auth,
    128: AsconfAck,
    130: Reconfig,
    193: Asconf,
    194: IForwardTsn,
}
"""The chunks by their types."""

I_DATA = 64
NAMES = (
    {kind.value: kind.name.replace("_", " ") for kind in ChunkType}
    | {number: kind.name for number, kind in KINDS.items()}
    | {I_DATA: "I-DATA"}
)
"""The names of all chunk types."""


def read_untrusted(kind: int, raw: bytes) -> Extension | wire.BadChunk:
    """A chunk of one of these types."""
    extension = KINDS[kind]
    if len(raw) < extension.smallest:
        return wire.BadChunk(kind, "too short", raw)
    return extension(raw)


# -- what an INIT or INIT ACK says of them ---


def offered(parameters: Iterable[wire.Tlv]) -> str:
    """The extensions that are offered, and for AUTH what is to be authenticated, and how."""
    names: dict[str, None] = {}
    authenticated: list[str] = []
    hmacs: list[str] = []
    for kind, value in parameters:
        if kind == ParameterType.FORWARD_TSN_SUPPORTED:
            names["FORWARD-TSN"] = None
        elif kind == ParameterType.ECN_CAPABLE:
            names["ECN"] = None
        elif kind == ParameterType.SUPPORTED_EXTENSIONS:
            names |= dict.fromkeys(_chunk_names(value))
        elif kind == ParameterType.CHUNK_LIST:
            authenticated = _chunk_names(value)
        elif kind == ParameterType.HMAC_ALGORITHMS:
            hmacs = [
                hmac_name(one) for (one,) in struct.iter_unpack("!H", value[: len(value) & ~1])
            ]
    if authenticated or hmacs:
        names.pop(Auth.name, None)  # to come last
        of = f" ({few(authenticated)} by {few(hmacs)})" if authenticated else ""
        names[f"{Auth.name}{of}"] = None
    return f"with {few(list(names))}" if names else ""


def _chunk_names(kinds: bytes) -> list[str]:
    """The names of chunk types, each as one word, without ASCONF ACK, which ASCONF implies."""
    answer = not any(KINDS.get(kind) is Asconf for kind in kinds)
    return [
        NAMES.get(kind, str(kind)).replace(" ", "-")
        for kind in kinds
        if answer or KINDS.get(kind) is not AsconfAck
    ]


def type_name(number: int) -> str:
    """The RFCs' name of a chunk type, or its number."""
    return NAMES.get(number) or f"chunk of type {number}"


def hmac_name(number: int) -> str:
    """The name of an HMAC algorithm (RFC 4895 section 8)."""
    return _HMACS.get(number, f"HMAC {number}")


# -- small things ---


def few(items: list[str], count: int | None = None, between: str = " ") -> str:
    """The first few of some items, and how many there are besides."""
    left_out = (len(items) if count is None else count) - FEW
    return between.join(items[:FEW]) + (f" and {left_out} more" if left_out > 0 else "")


def skipped(streams: Iterator[str]) -> str:
    """What a FORWARD TSN passes over."""
    items = list(streams)
    return f"skips stream {few(items, between=', ')}" if items else ""


def _u32(data: bytes, at: int = 0) -> int:
    number: int = _U32.unpack_from(data, at)[0]
    return number


def _tlvs(data: bytes) -> list[wire.Tlv]:
    """The parameters that are whole: a capture may have cut the chunk."""
    found: list[wire.Tlv] = []
    at = 0
    while at + 4 <= len(data) and len(found) <= wire.MOST_LOOKED_AT:
        kind, length = struct.unpack_from("!HH", data, at)
        if length < 4 or at + length > len(data):
            break
        found.append(wire.Tlv(kind, data[at + 4 : at + length]))
        at += length + (-length & 3)
    return found


def _address(parameter: bytes) -> str:
    """The address in a parameter."""
    for one in _tlvs(parameter):
        if len(one.value) in (4, 16):
            return str(ipaddress.ip_address(one.value))
    return "an address"
