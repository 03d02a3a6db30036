"""UDP proxies that delay packets and lose some, in a process of their own.

It reads commands, one a line, and answers each with a line:

    open DELAY LOSS SEED SERVER  start a proxy in front of the UDP port SERVER; DELAY is in seconds
                                 one way, LOSS is the share of packets that are lost each way;
                                 answers the proxy's UDP port
    close PORT                   end it; answers the number of DATA chunks that were sent, of those
                                 that were sent again, and of packets that the operating system
                                 dropped on their way into the proxy

One packet in each 1/LOSS is lost, at a place that the seed chooses.  So the number of losses is the
same in each run, which makes short runs comparable; what follows one another is still random.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import struct
import sys
from collections import deque
from math import inf
from time import monotonic

from .ends import HOST

BUFFER = 2**24
FORCE_RECEIVE_BUFFER = 33  # SO_RCVBUFFORCE, for root
MEMINFO, DROPS = 55, 8  # SO_MEMINFO, and which of its numbers it is
BATCH = 256
HANDSHAKE = 4  # packets, each way

HEADER, DATA = 12, 0  # bytes of the common header, the type of DATA chunks
LAST_TSN = 2**32 - 1


class Direction:
    """One way through a proxy: what comes in by a socket leaves by another after the delay."""

    def __init__(
        self, comes: socket.socket, leaves: socket.socket, delay: float, loss: float, seed: int
    ) -> None:
        self.comes = comes
        self.leaves = leaves
        self.delay = delay
        self.chunks = self.again = 0
        self._highest: int | None = None  # TSN
        self._waiting: deque[tuple[float, bytes]] = deque()  # when each leaves
        self._random = random.Random(seed)
        self._block = round(1 / loss) if loss else 0
        self._place = 0  # in the block of packets one of which is lost
        # The packets of the handshake get through.
        self._lost_at = self._random.randrange(HANDSHAKE, self._block) if loss else -1

    def read(self) -> None:
        """Take the packets that have come."""
        receive, waiting, delay = self.comes.recv, self._waiting, self.delay
        leaves_at = monotonic() + delay
        for _ in range(BATCH):
            try:
                packet = receive(65536)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                continue
            self._count(packet)
            if self._block and self._is_lost():
                continue
            if delay:
                waiting.append((leaves_at, packet))
            else:
                self._send(packet)

    def send_due(self, now: float) -> float:
        """Let packets leave whose time has come; return when the next is due."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            self._send(waiting.popleft()[1])
        return waiting[0][0] if waiting else inf

    def _send(self, packet: bytes) -> None:
        # Nobody is there yet or any more, or its buffer is full.
        with contextlib.suppress(ConnectionRefusedError, BlockingIOError):
            self.leaves.send(packet)

    def _is_lost(self) -> bool:
        lost = self._place == self._lost_at
        self._place += 1
        if self._place == self._block:
            self._place = 0
            self._lost_at = self._random.randrange(self._block)
        return lost

    def _count(self, packet: bytes) -> None:
        """Count its DATA chunks, and those whose TSN is not higher than all before."""
        at = HEADER
        while at + 8 <= len(packet):
            if packet[at] == DATA:
                self.chunks += 1
                tsn = int.from_bytes(packet[at + 4 : at + 8], "big")
                if self._highest is None or 0 < (tsn - self._highest) & LAST_TSN < 2**31:
                    self._highest = tsn
                else:
                    self.again += 1
            at += (max(4, packet[at + 2] << 8 | packet[at + 3]) + 3) & ~3


class Proxy:
    """A proxy between one client, which sends first, and a server."""

    def __init__(self, delay: float, loss: float, seed: int, server: int) -> None:
        self.outer, self._inner = udp_socket(), udp_socket()
        self._inner.connect((HOST, server))
        self.port: int = self.outer.getsockname()[1]
        self._known = False
        self.to_server = Direction(self.outer, self._inner, delay, loss, 2 * seed)
        self.to_client = Direction(self._inner, self.outer, delay, loss, 2 * seed + 1)

    def directions(self) -> tuple[Direction, Direction]:
        return self.to_server, self.to_client

    def learn(self) -> None:
        """Have packets to the client go to where its first came from."""
        if not self._known:
            with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
                self.outer.connect(self.outer.recvfrom(1, socket.MSG_PEEK)[1])
                self._known = True

    def close(self) -> str:
        """End it; return what `close` answers."""
        chunks, again = (
            sum(values)
            for values in zip(*((way.chunks, way.again) for way in self.directions()), strict=True)
        )
        drops = sum(dropped(sock) for sock in (self.outer, self._inner))
        self.outer.close()
        self._inner.close()
        return f"{chunks} {again} {drops}"


def udp_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    for option in (socket.SO_RCVBUF, FORCE_RECEIVE_BUFFER):
        with contextlib.suppress(PermissionError):
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    sock.bind((HOST, 0))
    return sock


def dropped(sock: socket.socket) -> int:
    """The number of packets for which the socket's buffer had no room."""
    info = struct.Struct("=9I")
    return int(info.unpack(sock.getsockopt(socket.SOL_SOCKET, MEMINFO, info.size))[DROPS])


def main() -> None:
    proxies: dict[int, Proxy] = {}
    ways: dict[int, tuple[Proxy, Direction]] = {}  # by the descriptor where packets come in
    commands = sys.stdin.fileno()
    due = inf
    while True:
        # poll() and epoll count in milliseconds, select() does not.
        wait = None if due == inf else max(0.0, due - monotonic())
        ready, _, _ = select.select([commands, *ways], [], [], wait)
        for descriptor in ready:
            if descriptor != commands:
                proxy, way = ways[descriptor]
                if way is proxy.to_server:
                    proxy.learn()
                way.read()
        if commands in ready:
            line = sys.stdin.readline()
            match line.split():
                case ["open", delay, loss, seed, server]:
                    proxy = Proxy(float(delay), float(loss), int(seed), int(server))
                    proxies[proxy.port] = proxy
                    for way in proxy.directions():
                        ways[way.comes.fileno()] = proxy, way
                    answer = str(proxy.port)
                case ["close", port]:
                    proxy = proxies.pop(int(port))
                    for way in proxy.directions():
                        del ways[way.comes.fileno()]
                    answer = proxy.close()
                case []:
                    return
                case _:
                    raise ValueError(f"{line!r} is not a command")
            print(answer, flush=True)
        now = monotonic()
        due = min((way.send_due(now) for _, way in ways.values()), default=inf)


if __name__ == "__main__":
    main()
