"""What the two ends of a measurement over UDP agree on.

An end is a process: ``python -m benchmarks.MODULE NAME receive|send UDP_PORT SIZE``.  The receiver
prints ``ready``.  A sender sends until it is killed; when the congestion window has opened, the
receiver prints ``started``, and then how many messages have come and what one has cost, in µs.  Of
the ends that are named after an echo, the sender prints the median and the 99th percentile of the
round trips, in µs.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Mapping
from statistics import quantiles
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


ROUND_TRIPS, FIRST_ROUND_TRIPS = 3000, 300
"""Round trips that are timed, and those that warm up."""


class Meter:
    """Times messages as they arrive, once the congestion window has opened."""

    def __init__(self, size: int) -> None:
        self._count = COUNTS[size]
        self._warm_up = self._count // 4
        self._received = 0
        self._first = 0  # messages that had come when timing began
        self._started = 0.0

    def arrived(self, count: int) -> bool:
        """Count messages that arrived; if they are enough, print what they cost and return True."""
        self._received += count
        if not self._first:
            if self._received >= self._warm_up:
                self._first = self._received
                print("started", flush=True)
                self._started = perf_counter()
        elif self._received >= self._first + self._count:
            seconds = perf_counter() - self._started
            timed = self._received - self._first
            print(timed, seconds * 1e6 / timed, flush=True)
            return True
        return False


class RoundTrips:
    """Times round trips, one after the other."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._started = 0.0

    def begin(self) -> None:
        """Note that a message is about to leave."""
        self._started = perf_counter()

    def ended(self) -> bool:
        """Note that its echo is here; if there were enough, print how long they took and return
        True."""
        self._times.append(perf_counter() - self._started)
        if len(self._times) < FIRST_ROUND_TRIPS + ROUND_TRIPS:
            return False
        percentiles = quantiles(self._times[FIRST_ROUND_TRIPS:], n=100)
        print(percentiles[49] * 1e6, percentiles[98] * 1e6, flush=True)
        return True


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
