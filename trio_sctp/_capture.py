"""Writing packets to a pcapng file, for Wireshark and similar tools."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import struct
from collections.abc import Callable
from math import inf
from typing import Any, BinaryIO, Literal, final

from ._checks import check_integer, check_number, check_packet, ip_address, shown

_LINKTYPE_RAW = 101
_SCTP, _UDP = 132, 17
_HOPS = 64
_DIRECTIONS = {"in": 1, "out": 2}  # of pcapng's flags
_DONT_FRAGMENT = 0x4000
_MAX_LENGTH = 65535  # no network carries more, but captures also show packets that were dropped
_IPV4_HEADER = struct.Struct("!BBHHHBBH4s4s")
_IPV6_HEADER = struct.Struct("!IHBB16s16s")
_UDP_HEADER = struct.Struct("!HHHH")

UdpPorts = tuple[int, int]
"""The source and the destination port of a UDP packet."""


def ip_packet(data: bytes, source: str, destination: str, udp: UdpPorts | None = None) -> bytes:
    """An SCTP packet behind the headers that it has between these addresses: IP, and UDP if given.

    The UDP checksum is left out: the packet was not captured on a wire, where it would have one.
    """
    src = ip_address(source)
    dst = ip_address(destination)
    if src.version != dst.version:
        raise ValueError(f"nothing leads from {source} (IPv{src.version}) to {destination}")
    protocol = _SCTP
    if udp is not None:
        protocol = _UDP
        length = min(_UDP_HEADER.size + len(data), _MAX_LENGTH)
        data = _UDP_HEADER.pack(*udp, length, 0) + data
    if src.version == 6:
        length = min(len(data), _MAX_LENGTH)
        return _IPV6_HEADER.pack(6 << 28, length, protocol, _HOPS, src.packed, dst.packed) + data

    def header(checksum: int) -> bytes:
        length = min(_IPV4_HEADER.size + len(data), _MAX_LENGTH)
        return _IPV4_HEADER.pack(
            0x45, 0, length, 0, _DONT_FRAGMENT, _HOPS, protocol, checksum, src.packed, dst.packed
        )

    # The sum of RFC 1071 is the remainder by 0xFFFF: 0x10000 carries over as 1.
    return header(-int.from_bytes(header(0), "big") % 0xFFFF) + data


@final
class Capture:
    """A pcapng file that is being written.  Made by `Network.capture`.

    It is a context manager: leaving the block closes it.
    """

    def __init__(
        self,
        file: str | os.PathLike[str] | BinaryIO,
        closed: Callable[[], None],
        interface: str = "simulated",
    ) -> None:
        """Not for programs to call."""
        if not isinstance(file, (str, os.PathLike)) and (
            isinstance(file, io.TextIOBase) or not hasattr(file, "write")
        ):
            raise TypeError(f"file must be a path or a file open in binary mode, not {shown(file)}")
        try:
            pcapng: Any = importlib.import_module("pcapng")
            self._blocks: Any = importlib.import_module("pcapng.blocks")
        except ImportError as error:
            raise ImportError(
                "capturing needs the package python-pcapng: pip install trio_sctp[capture]"
            ) from error
        self._closed: Callable[[], None] | None = closed
        self._section: Any = self._blocks.SectionHeader(options={"shb_userappl": "trio_sctp"})
        self._section.new_member(
            self._blocks.InterfaceDescription,
            link_type=_LINKTYPE_RAW,
            options={"if_name": interface},
        )
        self._own = contextlib.ExitStack()
        if isinstance(file, (str, os.PathLike)):
            file = self._own.enter_context(open(file, "wb"))  # noqa: SIM115 - close() does
        self._file: BinaryIO = file
        self._block = io.BytesIO()
        self._writer: Any = pcapng.FileWriter(self._block, self._section)
        try:
            self._flush()
        except OSError as error:
            with contextlib.suppress(OSError):  # it says the same
                self._own.close()
            raise OSError(error.errno, error.strerror, getattr(file, "name", None)) from None

    def write(
        self,
        data: bytes,
        source: str,
        destination: str,
        now: float,
        comment: str = "",
        udp: UdpPorts | None = None,
        direction: Literal["in", "out"] | None = None,
    ) -> None:
        """Append one SCTP packet.

        Args:
          data: The packet without an IP header, which is added here.
          source: IP address of the sender.
          destination: IP address of the receiver.
          now: Time in seconds, 0 or more; the file has microseconds.
          comment: A text that Wireshark shows with the packet.
          udp: The UDP ports of the sender and the receiver, if the packet travels in a UDP packet.
          direction: Whether it came in or goes out, if either can be said.

        Raises:
          ValueError: the capture was closed, or an argument is out of range.
          OSError: the file cannot be written.
        """
        if self._closed is None:
            raise ValueError("the capture was closed")
        check_packet(data)
        check_number("now", now)
        if not 0 <= now < inf:
            raise ValueError(f"now must be a finite number of at least 0, not {now!r}")
        if not isinstance(comment, str):
            raise TypeError(f"comment must be a str, not {shown(comment)}")
        if udp is not None:
            if not isinstance(udp, tuple) or len(udp) != 2:
                raise TypeError(f"udp must be a tuple of two ports, not {shown(udp)}")
            for port in udp:
                check_integer("a port of udp", port, 0, 65535)
        if direction not in (None, "in", "out"):
            raise ValueError(f'direction must be "in", "out" or None, not {shown(direction)}')
        options: dict[str, Any] = {"opt_comment": comment} if comment else {}
        if direction is not None:
            options["epb_flags"] = _DIRECTIONS[direction]
        microseconds = round(now * 1e6)  # the format's resolution unless an option says otherwise
        self._writer.write_block(
            self._section.new_member(
                self._blocks.EnhancedPacket,
                timestamp_high=microseconds >> 32,
                timestamp_low=microseconds & 0xFFFFFFFF,
                packet_data=ip_packet(data, source, destination, udp),
                options=options,
            )
        )
        self._flush()

    def _flush(self) -> None:
        """Bring a whole block into the file: a program that crashes leaves one that can be read."""
        self._file.write(self._block.getvalue())
        self._file.flush()
        self._block.seek(0)
        self._block.truncate()

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
