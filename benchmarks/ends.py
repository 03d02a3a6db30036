"""What the two ends of a measurement over UDP agree on.

An end is a process: ``python -m benchmarks.MODULE NAME receive|send UDP_PORT SIZE``.  The sender
sends until it is killed; the receiver says ``ready``, and then what a message cost.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Mapping
from time import perf_counter

HOST = "127.0.0.1"
SCTP_PORT = 5000
COUNTS = {64: 20_000, 1024: 10_000, 16384: 1_000}
MTU = 1160 + 28
"""aiortc's largest DATA chunk, and its headers."""

BUFFER = 2**22
"""As trio_sctp sets it; aiortc's window does not fit into a default one."""

BATCH = 64
"""Packets that are read before something is sent, as trio_sctp does it."""

End = Callable[[int, int], None]
"""Of a UDP port and a size."""


class Meter:
    """Times messages that arrive, once the congestion window has opened."""

    def __init__(self, size: int) -> None:
        self._count = COUNTS[size]
        self._warm_up = self._count // 4
        self._received = 0
        self._first = 0  # that counts
        self._started = 0.0

    def arrived(self, count: int) -> bool:
        """So many more; returns whether that was enough, and then says what one cost."""
        self._received += count
        if not self._first:
            if self._received >= self._warm_up:
                self._first = self._received
                self._started = perf_counter()
        elif self._received >= self._first + self._count:
            seconds = perf_counter() - self._started
            print(seconds * 1e6 / (self._received - self._first), flush=True)
            return True
        return False


def udp_socket(port: int) -> socket.socket:
    """Non-blocking, and with room for a window."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    sock.bind((HOST, port))
    return sock


def free_port() -> int:
    """A UDP port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
    return port


def ready() -> None:
    """Now the sender may start."""
    print("ready", flush=True)


def main(ends: Mapping[str, tuple[End, End]]) -> None:
    """Be one of these: of each name the receiver and the sender."""
    _, name, what, port, size = sys.argv
    receive, send = ends[name]
    (receive if what == "receive" else send)(int(port), int(size))
