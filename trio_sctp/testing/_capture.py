"""Writing packets to a pcapng file, for Wireshark and similar tools."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import struct
from collections.abc import Callable
from math import inf
from typing import Any, BinaryIO, final

from ._checks import address_of, check_data, check_number

_LINKTYPE_RAW = 101
_SCTP = 132
_HOPS = 64
_DONT_FRAGMENT = 0x4000
_MAX_LENGTH = 65535  # no network carries more, but captures also show packets that were dropped
_IPV4_HEADER = struct.Struct("!BBHHHBBH4s4s")
_IPV6_HEADER = struct.Struct("!IHBB16s16s")


def ip_packet(data: bytes, source: str, destination: str) -> bytes:
    """An SCTP packet behind the IP header that it has between these addresses."""
    src = address_of(source)
    dst = address_of(destination)
    if src.version != dst.version:
        raise ValueError(f"nothing leads from {source} (IPv{src.version}) to {destination}")
    if src.version == 6:
        length = min(len(data), _MAX_LENGTH)
        return _IPV6_HEADER.pack(6 << 28, length, _SCTP, _HOPS, src.packed, dst.packed) + data

    def header(checksum: int) -> bytes:
        length = min(_IPV4_HEADER.size + len(data), _MAX_LENGTH)
        return _IPV4_HEADER.pack(
            0x45, 0, length, 0, _DONT_FRAGMENT, _HOPS, _SCTP, checksum, src.packed, dst.packed
        )

    # The sum of RFC 1071 is the remainder by 0xFFFF: 0x10000 carries over as 1.
    return header(-int.from_bytes(header(0), "big") % 0xFFFF) + data


@final
class Capture:
    """A pcapng file that is being written.  Made by `Network.capture`.

    It is a context manager: leaving the block closes it.
    """

    def __init__(self, file: str | os.PathLike[str] | BinaryIO, closed: Callable[[], None]) -> None:
        if not isinstance(file, (str, os.PathLike)) and (
            isinstance(file, io.TextIOBase) or not hasattr(file, "write")
        ):
            raise TypeError(f"file must be a path or a file open in binary mode, not {file!r}")
        try:
            pcapng: Any = importlib.import_module("pcapng")
            self._blocks: Any = importlib.import_module("pcapng.blocks")
        except ImportError as error:
            raise ImportError(
                "capturing needs the package python-pcapng: pip install trio_sctp[testing]"
            ) from error
        self._closed: Callable[[], None] | None = closed
        self._section: Any = self._blocks.SectionHeader(options={"shb_userappl": "trio_sctp"})
        self._section.new_member(
            self._blocks.InterfaceDescription,
            link_type=_LINKTYPE_RAW,
            options={"if_name": "simulated"},
        )
        self._own = contextlib.ExitStack()
        if isinstance(file, (str, os.PathLike)):
            file = self._own.enter_context(open(file, "wb"))  # noqa: SIM115 - close() does
        self._writer: Any = pcapng.FileWriter(file, self._section)

    def write(
        self, data: bytes, source: str, destination: str, now: float, comment: str = ""
    ) -> None:
        """Append one SCTP packet.

        Args:
          data: The packet without an IP header, which is added here.
          now: Time in seconds, 0 or more; the file has microseconds.
          comment: A text that Wireshark shows with the packet.

        Raises:
          ValueError: the capture was closed, or an argument is out of range.
        """
        if self._closed is None:
            raise ValueError("the capture was closed")
        check_data(data)
        check_number("now", now)
        if not 0 <= now < inf:
            raise ValueError(f"now must be a finite number of at least 0, not {now!r}")
        if not isinstance(comment, str):
            raise TypeError(f"comment must be a str, not {comment!r}")
        microseconds = round(now * 1e6)  # the format's resolution unless an option says otherwise
        self._writer.write_block(
            self._section.new_member(
                self._blocks.EnhancedPacket,
                timestamp_high=microseconds >> 32,
                timestamp_low=microseconds & 0xFFFFFFFF,
                packet_data=ip_packet(data, source, destination),
                options={"opt_comment": comment} if comment else {},
            )
        )

    def close(self) -> None:
        """Stop capturing, and close the file if it was given as a path.  May be called again."""
        if self._closed is not None:
            self._closed()
            self._closed = None
        self._own.close()

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
