"""The programs of `delayed`: each is one end of one association.

Arguments are the stack (ours, usrsctp or kernel), what it does (receive or send), a UDP port, the
size of a message in bytes, and for how many seconds it is measured.

The receiver prints ``ready``, and in the end how many bytes arrived within that time after the
first message.  The sender prints ``ready``, reads a line, connects, and sends until it is killed.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from math import inf

import trio

import trio_sctp
from trio_sctp import PeerAddressFlags, PeerAddressParams

from . import ends
from .ends import HOST, MTU, SCTP_PORT
from .udp_usrsctp import SPACE, Usrsctp, accepted

NO_DISCOVERY = PeerAddressParams(pathmtu=MTU, flags=PeerAddressFlags.PMTUD_DISABLE)

SOL_SCTP, SCTP_NODELAY, SCTP_PEER_ADDR_PARAMS = 132, 3, 9
PADDRPARAMS = struct.Struct("=132xIHIIIIB1x")
PMTUD_DISABLE = 16
IP_AND_UDP = 28  # Linux counts them in the path MTU


class Arrivals:
    """Counts bytes, from the first message until time is up."""

    def __init__(self, scope: trio.CancelScope, seconds: float) -> None:
        self.bytes = 0
        self._scope = scope
        self._seconds = seconds

    def count(self, received: int) -> None:
        if received and self._scope.deadline == inf:
            self._scope.deadline = trio.current_time() + self._seconds
        self.bytes += received


def ready_to_connect() -> None:
    ends.ready()
    sys.stdin.readline()


# -- trio_sctp over UDP ---


async def receive(port: int, size: int, seconds: float) -> None:
    async with trio_sctp.userland(udp_port=port):
        listener = await trio_sctp.open_listener(SCTP_PORT, options=[NO_DISCOVERY])
        ends.ready()
        channel = await listener.accept()
        with trio.CancelScope() as scope:
            arrivals = Arrivals(scope, seconds)
            while True:
                batch = await channel.receive_batch()
                arrivals.count(sum(len(message.data) for message in batch))
        print(arrivals.bytes, flush=True)
        channel.abort()
        await trio.aclose_forcefully(listener)


async def send(port: int, size: int, seconds: float) -> None:
    data = bytes(size)
    async with trio_sctp.userland(peer_udp_port=port):
        ready_to_connect()
        channel = await trio_sctp.open_association(HOST, SCTP_PORT, options=[NO_DISCOVERY])
        with contextlib.suppress(trio_sctp.AssociationLost):  # the receiver has had enough
            while True:
                await channel.send(data)


# -- libusrsctp ---


async def receive_by_usrsctp(port: int, size: int, seconds: float) -> None:
    async with accepted(port) as usrsctp:
        with trio.CancelScope() as scope:
            arrivals = Arrivals(scope, seconds)
            while True:
                arrivals.count(usrsctp.receive() * size)
                await usrsctp.packets()
        print(arrivals.bytes, flush=True)


async def send_by_usrsctp(port: int, size: int, seconds: float) -> None:
    usrsctp = Usrsctp(0, (HOST, port))
    ready_to_connect()
    usrsctp.connect()
    data = bytes(size)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(usrsctp.timers)
        with contextlib.suppress(OSError):  # the receiver has had enough
            while True:
                while usrsctp.send(data):
                    pass
                await usrsctp.packets()
        nursery.cancel_scope.cancel()


# -- Linux, which has to be told of UDP ports by sysctl ---


def kernel_socket() -> trio.socket.SocketType:
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM, SOL_SCTP)
    sock.setsockopt(SOL_SCTP, SCTP_NODELAY, 1)
    params = PADDRPARAMS.pack(0, 0, MTU + IP_AND_UDP, 0, PMTUD_DISABLE, 0, 0)
    sock.setsockopt(SOL_SCTP, SCTP_PEER_ADDR_PARAMS, params)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, SPACE)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return sock


async def receive_by_kernel(port: int, size: int, seconds: float) -> None:
    with kernel_socket() as listening:
        await listening.bind((HOST, SCTP_PORT))
        listening.listen(1)
        ends.ready()
        sock, _ = await listening.accept()
    with trio.CancelScope() as scope:
        arrivals = Arrivals(scope, seconds)
        while True:
            arrivals.count(len(await sock.recv(65536)))
    print(arrivals.bytes, flush=True)


async def send_by_kernel(port: int, size: int, seconds: float) -> None:
    data = bytes(size)
    with kernel_socket() as sock:
        ready_to_connect()
        await sock.connect((HOST, SCTP_PORT))
        with contextlib.suppress(ConnectionResetError):  # the receiver has counted enough
            while True:
                await sock.send(data)


ENDS: dict[tuple[str, str], Callable[[int, int, float], Awaitable[None]]] = {
    ("ours", "receive"): receive,
    ("ours", "send"): send,
    ("usrsctp", "receive"): receive_by_usrsctp,
    ("usrsctp", "send"): send_by_usrsctp,
    ("kernel", "receive"): receive_by_kernel,
    ("kernel", "send"): send_by_kernel,
}


def main() -> None:
    stack, what, port, size, seconds = sys.argv[1:]
    trio.run(ENDS[stack, what], int(port), int(size), float(seconds))
