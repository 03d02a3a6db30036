"""What stands beside an arrow for each chunk of its packet."""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Callable
from functools import cache, lru_cache
from typing import NamedTuple

from .._engine import wire
from .._errors import error_string
from .._ppid import Ppid

_BYTES = 16  # of a payload or a reason, that are shown
_FEW = 8  # gap blocks, addresses and so on, that are shown

_INIT = struct.Struct("!BBHIIHHI")
_IDATA = struct.Struct("!BBHIHHII")
_IDATA_TYPE, _RECONFIG_TYPE = 64, 130
_NAMES = {
    _IDATA_TYPE: "I-DATA",  # RFC 8260
    _RECONFIG_TYPE: "RE-CONFIG",  # RFC 6525
    194: "I-FORWARD TSN",
}
"""Chunks that the engine does not know, but that are seen in captures."""

_ASCONF_PARAMETERS: dict[int, str] = {
    wire.AsconfParameter.ADD_ADDRESS: "add",
    wire.AsconfParameter.DELETE_ADDRESS: "delete",
    wire.AsconfParameter.SET_PRIMARY: "make primary",
}
_RECONFIG_PARAMETERS = {
    13: "reset outgoing streams",
    14: "reset incoming streams",
    15: "reset TSNs",
    16: "response",
    17: "add outgoing streams",
    18: "add incoming streams",
}


class UserData(NamedTuple):
    """A DATA chunk, or an I-DATA chunk (RFC 8260), which differs in what orders its messages."""

    name: str
    tsn: int
    stream: int
    ppid: int | None  # of I-DATA, only the first piece of a message tells it
    payload: bytes
    size: int
    flags: int


def understood(chunk: wire.Chunk, captured: int) -> wire.Chunk | UserData:
    """A chunk, as user data if it has any.

    Args:
      chunk: The chunk; what a capture does not have of it is 0.
      captured: How many of its bytes the capture has.
    """
    match chunk:
        case wire.Data():
            size = len(chunk.raw) - wire.DATA_OVERHEAD
            payload = chunk.raw[wire.DATA_OVERHEAD : min(captured, wire.DATA_OVERHEAD + _BYTES)]
            return UserData("DATA", chunk.tsn, chunk.stream, chunk.ppid, payload, size, chunk.flags)
        case wire.UnknownChunk(type=number, raw=raw) if number == _IDATA_TYPE:
            if len(raw) <= _IDATA.size:
                return wire.BadChunk(number, "too short", raw)
            _, flags, _, tsn, stream, _, _, ppid = _IDATA.unpack_from(raw)
            payload = raw[_IDATA.size : min(captured, _IDATA.size + _BYTES)]
            known_ppid = ppid if flags & wire.FIRST else None
            size = len(raw) - _IDATA.size
            return UserData("I-DATA", tsn, stream, known_ppid, payload, size, flags)
        case wire.BadChunk(type=number, raw=raw) if len(raw) > captured:
            cut_init = number in (wire.ChunkType.INIT, wire.ChunkType.INIT_ACK)
            if not cut_init or captured < _INIT.size:
                return wire.UnknownChunk(number, raw)  # not its fault
            _, _, _, tag, rwnd, outbound, inbound, tsn = _INIT.unpack_from(raw)
            make = wire.Init if number == wire.ChunkType.INIT else wire.InitAck
            return make(tag, rwnd, outbound, inbound, tsn, [])  # without what is cut off
        case _:
            return chunk


def name(chunk: wire.Chunk | UserData) -> str:
    """The RFCs' name of a chunk."""
    match chunk:
        case UserData():
            return chunk.name
        case wire.UnknownChunk() | wire.BadChunk():
            return type_name(chunk.type)
        case _:
            return _spelled(type(chunk).__name__)


@cache
def _spelled(class_name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", class_name).upper()


def type_name(number: int) -> str:
    """The name of a chunk type, or its number."""
    try:
        return wire.ChunkType(number).name.replace("_", " ")
    except ValueError:
        return _NAMES.get(number, f"chunk of type {number}")


KNOWN_NAMES = frozenset(kind.name.replace("_", " ") for kind in wire.ChunkType) | frozenset(
    _NAMES.values()
)


def details(
    chunk: wire.Chunk | UserData, there: Callable[[int], int], back: Callable[[int], int]
) -> str:
    """What stands behind the name of a chunk and, if it has one, its TSN.

    Args:
      chunk: The chunk.
      there: Numbers a TSN of what this chunk's sender sends.
      back: Numbers a TSN of what it receives.
    """
    match chunk:
        case UserData():
            return _user_data(chunk)
        case wire.Init():  # or an INIT ACK
            listed = [wire.address_untrusted(parameter) for parameter in chunk.parameters]
            addresses = [address for address in listed if address is not None]
            also = f" addresses {_few(addresses)}" if addresses else ""
            return f"streams {chunk.outbound_streams}/{chunk.inbound_streams}{also}"
        case wire.Sack():
            base = back(chunk.cumulative_tsn)
            gaps = [f"{base + first}-{base + last}" for first, last in chunk.gaps[: _FEW + 1]]
            also = f"also {_few(gaps, len(chunk.gaps))} " if gaps else ""
            twice = [str(back(tsn)) for tsn in chunk.duplicates[: _FEW + 1]]
            again = f" twice {_few(twice, len(chunk.duplicates))}" if twice else ""
            return f"{also}rwnd {chunk.rwnd}{again}"
        case wire.Abort() | wire.Error():
            return ", ".join(map(_cause, chunk.causes[:_FEW]))
        case wire.Asconf():
            return ", ".join(
                f"{_ASCONF_PARAMETERS[one.type]} {_asconf_address(one.value)}"
                for one in chunk.requests
                if one.type in _ASCONF_PARAMETERS
            )
        case wire.BadChunk():
            return f"malformed ({chunk.reason})"
        case wire.UnknownChunk():
            return _unknown(chunk)
        case _:
            return ""


def _few(items: list[str], count: int | None = None) -> str:
    """The first few of some items, and how many there are besides."""
    left_out = (len(items) if count is None else count) - _FEW
    return " ".join(items[:_FEW]) + (f" and {left_out} more" if left_out > 0 else "")


def _user_data(data: UserData) -> str:
    words: list[str] = []
    if data.flags & wire.WHOLE != wire.WHOLE:
        first, last = data.flags & wire.FIRST, data.flags & wire.LAST
        words.append("begin" if first else "end" if last else "middle")
    words.append("unordered" if data.flags & wire.UNORDERED else f"stream {data.stream}")
    if data.ppid:
        words.append(f"ppid {_ppid(data.ppid)}")
    words.append(_some(data.payload, data.size))
    return " ".join(words)


@lru_cache
def _ppid(number: int) -> str:
    """A PPID with its name; programs that send it in the wrong byte order are found by this."""
    name = _ppid_name(number)
    if name is not None:
        return f"{number} {name}"
    swapped = _ppid_name(int.from_bytes(number.to_bytes(4, "little"), "big"))
    return f"{number}" + (f" ({swapped} in the wrong byte order?)" if swapped else "")


def _ppid_name(number: int) -> str | None:
    try:
        return Ppid(number).name
    except ValueError:
        return None


def _cause(cause: wire.Tlv) -> str:
    text = error_string(cause.type)
    if cause.type in (wire.Cause.USER_INITIATED_ABORT, wire.Cause.PROTOCOL_VIOLATION):
        text += f" {_some(cause.value)}" if cause.value else ""  # their text is for readers
    return text


def _unknown(chunk: wire.UnknownChunk) -> str:
    """What a RE-CONFIG asks for, since it changes streams."""
    if chunk.type == _RECONFIG_TYPE:
        wanted = wire.parse_tlvs_untrusted(chunk.raw[4:]) or []
        return ", ".join(
            _RECONFIG_PARAMETERS[one.type] for one in wanted if one.type in _RECONFIG_PARAMETERS
        )
    return ""


def _asconf_address(value: bytes) -> str:
    """The address in a parameter, behind the number that its answer refers to."""
    parameters = wire.parse_tlvs_untrusted(value[4:])
    if parameters and len(parameters[0].value) in (4, 16):
        return str(ipaddress.ip_address(parameters[0].value))
    return "an address"


def _some(data: bytes, size: int | None = None) -> str:
    """The beginning of some bytes as text or else in hex, and how many there are if not all."""
    if not data and size:
        return f"{size} bytes"
    shown = data[:_BYTES]
    is_text = all(0x20 <= byte < 0x7F or byte in b"\t\n\r" for byte in shown)
    text = repr(shown) if is_text else shown.hex()
    size = len(data) if size is None else size
    return text if size <= len(shown) else f"{text}... {size} bytes"
