"""libusrsctp that interleaves messages, and sends each back on its stream.

    python -m tests.userland.usrsctp_interleaver [PORT]

It connects to a UDP port, or listens and prints the number of its own.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections import deque

import trio

from benchmarks.udp_usrsctp import MSG_EOR

from .usrsctp_echo import Echo

FRAGMENT_INTERLEAVE, RECVRCVINFO = 16, 31
PLUGGABLE_SCHEDULER, INTERLEAVING_SUPPORTED = 0x1203, 0x1206
ROUND_ROBIN = 1
UNORDERED = 0x0400
RCVINFO = struct.Struct("=HHHxxIIIII")  # stream, SSN, flags, PPID, TSN, cumulative TSN, ...
SNDINFO = struct.Struct("=HHIII")  # stream, flags, PPID, context, association
SENDV_SNDINFO = 1


class Interleaver(Echo):
    """One end of one association."""

    def __init__(self, peer: int | None) -> None:
        super().__init__(peer)
        self._set(FRAGMENT_INTERLEAVE, struct.pack("=i", 2))
        self._set(INTERLEAVING_SUPPORTED, struct.pack("=II", 0, 1))
        self._set(PLUGGABLE_SCHEDULER, struct.pack("=II", 0, ROUND_ROBIN))
        self._set(RECVRCVINFO, struct.pack("=i", 1))
        self._parts: dict[tuple[int, bool], tuple[int, list[bytes]]] = {}
        self._back: deque[tuple[bytes, bytes]] = deque()

    def echo(self) -> None:
        self.take()
        self.send_back()

    def take(self) -> None:
        """Take what is there, and put what is whole to what is sent back."""
        info = ctypes.create_string_buffer(RCVINFO.size)
        from_size, info_size = ctypes.c_uint32(0), ctypes.c_uint32(0)
        kind, flags = ctypes.c_uint(0), ctypes.c_int(0)
        while True:
            flags.value, info_size.value = 0, RCVINFO.size
            size = self._library.usrsctp_recvv(
                self._sctp,
                self._buffer,
                len(self._buffer),
                None,
                ctypes.byref(from_size),
                info,
                ctypes.byref(info_size),
                ctypes.byref(kind),
                ctypes.byref(flags),
            )
            if size <= 0:
                return
            stream, _, how, ppid, *_ = RCVINFO.unpack(info.raw)
            order = stream, how & UNORDERED != 0
            _, parts = self._parts.setdefault(order, (ppid, []))
            parts.append(ctypes.string_at(self._buffer, size))
            if flags.value & MSG_EOR:
                first_ppid, parts = self._parts.pop(order)
                sent = SNDINFO.pack(stream, how & UNORDERED, first_ppid, 0, 0)
                self._back.append((b"".join(parts), sent))

    def send_back(self) -> None:
        """Send back what there is room for."""
        while self._back:
            data, info = self._back[0]
            sent = self._library.usrsctp_sendv(
                self._sctp, data, len(data), None, 0, info, len(info), SENDV_SNDINFO, 0
            )
            if sent < 0:
                return
            self._back.popleft()


if __name__ == "__main__":
    trio.run(Interleaver(int(sys.argv[1]) if sys.argv[1:] else None).run)
