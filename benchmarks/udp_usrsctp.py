"""libusrsctp's ends of `udp`: FreeBSD's SCTP stack, through ctypes, under Trio.

It is handed packets and hands out packets (AF_CONN).  Its timers are run from here, so that no
thread of its own calls Python.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from . import ends
from .ends import BATCH, HOST, MTU, SCTP_PORT, Meter, RoundTrips

LIBRARY = "libusrsctp.so.2"
AF_CONN, IPPROTO_SCTP = 123, 132
NODELAY, PEER_ADDR_PARAMS = 4, 10
PMTUD_DISABLE = 0x10
MSG_EOR = 0x80
SPACE = 2**20  # bytes of its buffers, as trio_sctp has them
TICK = 10  # milliseconds

Output = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_uint8,
    ctypes.c_uint8,
)


class Usrsctp:
    """The library, with one SCTP socket, on a UDP socket."""

    def __init__(self, udp_port: int, peer: tuple[str, int] | None) -> None:
        # Calls keep the GIL, as giving it up costs more than they take.
        library = self._library = ctypes.PyDLL(LIBRARY, use_errno=True)
        library.usrsctp_socket.restype = ctypes.c_void_p
        library.usrsctp_accept.restype = ctypes.c_void_p
        library.usrsctp_sendv.restype = library.usrsctp_recvv.restype = ctypes.c_ssize_t
        self._udp = ends.udp_socket(udp_port)
        self._peer = peer
        self._output = Output(self._send_packet)  # kept alive here
        library.usrsctp_init_nothreads(0, self._output, None)
        library.usrsctp_sysctl_set_sctp_sendspace(SPACE)
        library.usrsctp_sysctl_set_sctp_recvspace(SPACE)
        self._here = ctypes.c_void_p(1)  # the library's idea of an address
        library.usrsctp_register_address(self._here)
        new = library.usrsctp_socket(AF_CONN, socket.SOCK_STREAM, IPPROTO_SCTP, None, None, 0, None)
        self._sctp = ctypes.c_void_p(new)
        library.usrsctp_set_non_blocking(self._sctp, 1)
        self._set(NODELAY, struct.pack("i", 1))
        # The library counts without the common header.
        mtu = struct.pack("128xIIIIIHBx", 0, 0, MTU - 12, PMTUD_DISABLE, 0, 0, 0)
        self._set(PEER_ADDR_PARAMS, mtu)
        self._buffer = ctypes.create_string_buffer(65536)

    def _set(self, option: int, value: bytes) -> None:
        arguments = (self._sctp, IPPROTO_SCTP, option, value, len(value))
        if self._library.usrsctp_setsockopt(*arguments):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def _address(self, port: int) -> bytes:
        return struct.pack("=H2s4xQ", AF_CONN, port.to_bytes(2, "big"), 1)

    def _send_packet(self, _: Any, data: int, size: int, tos: int, df: int) -> int:
        assert self._peer is not None
        self._udp.sendto(ctypes.string_at(data, size), self._peer)
        return 0

    def listen(self) -> None:
        address = self._address(SCTP_PORT)
        assert not self._library.usrsctp_bind(self._sctp, address, len(address))
        assert not self._library.usrsctp_listen(self._sctp, 1)

    def accept(self) -> bool:
        """Replace the listening socket by its first association; returns whether there is one."""
        accepted = self._library.usrsctp_accept(self._sctp, None, None)
        if accepted:
            self._sctp = ctypes.c_void_p(accepted)
            self._library.usrsctp_set_non_blocking(self._sctp, 1)
        return bool(accepted)

    def connect(self) -> None:
        address = self._address(SCTP_PORT)
        self._library.usrsctp_connect(self._sctp, address, len(address))

    def send(self, data: bytes) -> bool:
        """Send a message; returns whether there was room."""
        sent = self._library.usrsctp_sendv(self._sctp, data, len(data), None, 0, None, 0, 0, 0)
        if sent < 0 and ctypes.get_errno() not in (errno.EWOULDBLOCK, errno.ENOTCONN):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return bool(sent > 0)

    def receive(self) -> int:
        """Take the messages that are there; returns how many they are."""
        flags, kind = ctypes.c_int(0), ctypes.c_uint(0)
        from_size, info_size = ctypes.c_uint32(0), ctypes.c_uint32(0)
        count = 0
        while True:
            flags.value = 0
            size = self._library.usrsctp_recvv(
                self._sctp,
                self._buffer,
                len(self._buffer),
                None,
                ctypes.byref(from_size),
                None,
                ctypes.byref(info_size),
                ctypes.byref(kind),
                ctypes.byref(flags),
            )
            if size <= 0:
                return count
            ctypes.string_at(self._buffer, size)  # a program would want it as bytes
            count += bool(flags.value & MSG_EOR)

    async def packets(self) -> None:
        """Wait for packets, and hand them to the library."""
        await trio.lowlevel.wait_readable(self._udp)
        for _ in range(BATCH):
            try:
                data, self._peer = self._udp.recvfrom(65536)
            except BlockingIOError:
                return
            self._library.usrsctp_conninput(self._here, data, ctypes.c_size_t(len(data)), 0)

    async def timers(self) -> None:
        while True:
            await trio.sleep(TICK / 1000)
            self._library.usrsctp_handle_timers(TICK)


@asynccontextmanager
async def accepted(port: int) -> AsyncIterator[Usrsctp]:
    """Listen, and yield once somebody has connected; its timers run in the block."""
    usrsctp = Usrsctp(port, None)
    usrsctp.listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(usrsctp.timers)
        ends.ready()
        while not usrsctp.accept():
            await usrsctp.packets()
        yield usrsctp
        nursery.cancel_scope.cancel()


async def receive(port: int, size: int) -> None:
    meter = Meter(size)
    async with accepted(port) as usrsctp:
        while not meter.arrived(usrsctp.receive()):
            await usrsctp.packets()


async def send(port: int, size: int) -> None:
    usrsctp = Usrsctp(0, (HOST, port))
    usrsctp.connect()
    data = bytes(size)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(usrsctp.timers)
        while True:
            while usrsctp.send(data):
                pass
            await usrsctp.packets()


async def echo(port: int, size: int) -> None:
    data = bytes(size)
    async with accepted(port) as usrsctp:
        while True:
            for _ in range(usrsctp.receive()):
                usrsctp.send(data)
            await usrsctp.packets()


async def ping(port: int, size: int) -> None:
    usrsctp = Usrsctp(0, (HOST, port))
    usrsctp.connect()
    data = bytes(size)
    trips = RoundTrips()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(usrsctp.timers)
        while True:
            trips.begin()
            while not usrsctp.send(data):
                await usrsctp.packets()
            while not usrsctp.receive():
                await usrsctp.packets()
            if trips.ended():
                break
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    ends.main(
        {
            "usrsctp": (
                lambda port, size: trio.run(receive, port, size),
                lambda port, size: trio.run(send, port, size),
            ),
            "echo": (
                lambda port, size: trio.run(echo, port, size),
                lambda port, size: trio.run(ping, port, size),
            ),
        }
    )
