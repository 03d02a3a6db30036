"""What stands beside an arrow for each chunk of its packet."""

from __future__ import annotations

import re
import struct
from functools import cache, lru_cache
from typing import NamedTuple

from .._engine import wire
from .._errors import error_string
from .._ppid import Ppid
from .extensions import (
    FEW,
    I_DATA,
    KINDS,
    Extension,
    Number,
    few,
    offered,
    read_untrusted,
    skipped,
    type_name,
)

_BYTES = 16  # of a payload or a reason, that are shown

_INIT = struct.Struct("!BBHIIHHI")
_IDATA = struct.Struct("!BBHIHHII")


class UserData(NamedTuple):
    """A DATA chunk, or an I-DATA chunk (RFC 8260), which differs in what orders its messages.

    ``mid`` is the number of the message that a piece in I-DATA is of.
    """

    name: str
    tsn: int
    stream: int
    ppid: int | None  # of I-DATA, only the first piece of a message tells it
    payload: bytes
    size: int
    flags: int
    mid: int | None = None


Understood = wire.Chunk | UserData | Extension
"""A chunk as a ladder looks at it."""


def understood(chunk: wire.Chunk, raw: bytes, captured: int) -> Understood:
    """A chunk, as user data if it has any, or as one of an extension if it is.

    Args:
      chunk: The chunk as the engine sees it.
      raw: All its bytes; those that a capture does not have are 0.
      captured: How many of them the capture has.
    """
    kind = raw[0]
    if kind in KINDS:
        extension = read_untrusted(kind, raw[:captured])
        if isinstance(extension, wire.BadChunk) and len(raw) > captured:
            return wire.UnknownChunk(kind, raw)  # not its fault
        return extension
    if kind == I_DATA:
        return _i_data(raw, captured)
    match chunk:
        case wire.Data():
            size = len(chunk.raw) - wire.DATA_OVERHEAD
            payload = chunk.raw[wire.DATA_OVERHEAD : min(captured, wire.DATA_OVERHEAD + _BYTES)]
            return UserData("DATA", chunk.tsn, chunk.stream, chunk.ppid, payload, size, chunk.flags)
        case wire.BadChunk(type=number) if len(raw) > captured:
            cut_init = number in (wire.ChunkType.INIT, wire.ChunkType.INIT_ACK)
            if not cut_init or captured < _INIT.size:
                return wire.UnknownChunk(number, raw)  # not its fault
            _, _, _, tag, rwnd, outbound, inbound, tsn = _INIT.unpack_from(raw)
            make = wire.Init if number == wire.ChunkType.INIT else wire.InitAck
            return make(tag, rwnd, outbound, inbound, tsn, [])  # without what is cut off
        case _:
            return chunk


def _i_data(raw: bytes, captured: int) -> UserData | wire.BadChunk:
    if len(raw) <= _IDATA.size:
        return wire.BadChunk(I_DATA, "too short", raw)
    _, flags, _, tsn, stream, _, mid, ppid = _IDATA.unpack_from(raw)
    payload = raw[_IDATA.size : min(captured, _IDATA.size + _BYTES)]
    known_ppid = ppid if flags & wire.FIRST else None
    size = len(raw) - _IDATA.size
    return UserData("I-DATA", tsn, stream, known_ppid, payload, size, flags, mid)


def name(chunk: Understood) -> str:
    """The RFCs' name of a chunk."""
    match chunk:
        case UserData() | Extension():
            return chunk.name
        case wire.UnknownChunk() | wire.BadChunk():
            return type_name(chunk.type)
        case _:
            return _spelled(type(chunk).__name__)


@cache
def _spelled(class_name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", class_name).upper()


def details(chunk: Understood, there: Number, back: Number) -> str:
    """What stands behind the name of a chunk and, if it has one, its TSN.

    Args:
      chunk: The chunk.
      there: Numbers a TSN of what this chunk's sender sends.
      back: Numbers a TSN of what it receives.
    """
    match chunk:
        case UserData():
            return _user_data(chunk)
        case Extension():
            return chunk.details(there, back)
        case wire.Init():  # or an INIT ACK
            listed = [wire.address_untrusted(parameter) for parameter in chunk.parameters]
            addresses = [address for address in listed if address is not None]
            also = f" addresses {few(addresses)}" if addresses else ""
            words = f"streams {chunk.outbound_streams}/{chunk.inbound_streams}{also}"
            return f"{words} {offered(chunk.parameters)}".rstrip()
        case wire.Sack():
            base = back(chunk.cumulative_tsn)
            gaps = [f"{base + first}-{base + last}" for first, last in chunk.gaps[: FEW + 1]]
            also = f"also {few(gaps, len(chunk.gaps))} " if gaps else ""
            twice = [str(back(tsn)) for tsn in chunk.duplicates[: FEW + 1]]
            again = f" twice {few(twice, len(chunk.duplicates))}" if twice else ""
            return f"{also}rwnd {chunk.rwnd}{again}"
        case wire.Abort() | wire.Error():
            return ", ".join(map(_cause, chunk.causes[:FEW]))
        case wire.ForwardTsn():
            return skipped(f"{stream} to SSN {ssn}" for stream, ssn in chunk.streams)
        case wire.BadChunk():
            return f"malformed ({chunk.reason})"
        case _:
            return ""


def _user_data(data: UserData) -> str:
    words: list[str] = []
    if data.flags & wire.WHOLE != wire.WHOLE:
        first, last = data.flags & wire.FIRST, data.flags & wire.LAST
        words.append("begin" if first else "end" if last else "middle")
        if data.mid is not None:
            words.append(f"of message {data.mid}")
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


def _some(data: bytes, size: int | None = None) -> str:
    """The beginning of some bytes as text or else in hex, and how many there are if not all."""
    if not data and size:
        return f"{size} bytes"
    shown = data[:_BYTES]
    is_text = all(0x20 <= byte < 0x7F or byte in b"\t\n\r" for byte in shown)
    text = repr(shown) if is_text else shown.hex()
    size = len(data) if size is None else size
    return text if size <= len(shown) else f"{text}... {size} bytes"
