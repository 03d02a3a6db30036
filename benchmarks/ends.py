"""What the two ends of a measurement over UDP agree on.

An end is a process: ``python -m benchmarks.MODULE NAME receive|send UDP_PORT SIZE``.  The sender
sends until it is killed.  The receiver prints ``ready``, and then the cost of a message in µs.
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
"""The size of aiortc's largest DATA chunk and its headers, in bytes."""

BUFFER = 2**22
"""Bytes of a UDP socket's buffers, as in trio_sctp.  aiortc's window is larger than the default."""

BATCH = 64
"""Packets that are read before any are sent, as in trio_sctp."""

End = Callable[[int, int], None]
"""One end: a function of a UDP port and the size of a message."""


class Meter:
    """Times messages as they arrive, once the congestion window has opened."""

    def __init__(self, size: int) -> None:
        self._count = COUNTS[size]
        self._warm_up = self._count // 4
        self._received = 0
        self._first = 0  # messages that had come when timing began
        self._started = 0.0

    def arrived(self, count: int) -> bool:
        """Count messages that arrived; if they are enough, print what one cost and return True."""
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
    """A non-blocking socket with room for a window."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    sock.bind((HOST, port))
    return sock


def free_port() -> int:
    """A UDP port that is not in use."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
    return port


def ready() -> None:
    """Tell the benchmark that the sender may start."""
    print("ready", flush=True)


def main(ends: Mapping[str, tuple[End, End]]) -> None:
    """Run the end that the command line names, out of a receiver and a sender for each name."""
    _, name, what, port, size = sys.argv
    receive, send = ends[name]
    (receive if what == "receive" else send)(int(port), int(size))
