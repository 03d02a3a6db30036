"""A UDP proxy that loses packets or lets others overtake them, and a way to a free UDP port."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import trio

HOST = "127.0.0.1"
_BUFFER = 2**22


class UdpProxy:
    """A proxy: clients send to ``port``, and the server sees all of it come from ``server_side``.

    What the server sends goes to the client that sent last.
    """

    def __init__(
        self, outer: trio.socket.SocketType, inner: trio.socket.SocketType, server: int
    ) -> None:
        self.port: int = outer.getsockname()[1]
        self.server_side: int = inner.getsockname()[1]
        self.lose: Callable[[bytes, bool], bool] = lambda packet, outbound: False
        """Whether to lose a packet, given it and whether it goes to the server."""
        self.hold: Callable[[bytes, bool], bool] = lambda packet, outbound: False
        """Whether the next packet overtakes a packet, given the same."""
        self.passed: list[bytes] = []
        self.lost = self.overtaken = 0
        self._outer = outer
        self._inner = inner
        self._server = (HOST, server)
        self._client: tuple[str, int] | None = None
        self._held: dict[bool, list[bytes]] = {True: [], False: []}

    def mark(self) -> None:
        """Have all packets to the server look as if there was congestion (RFC 3168)."""
        self._inner.setsockopt(trio.socket.IPPROTO_IP, trio.socket.IP_TOS, 3)

    async def to_server(self) -> None:
        while True:
            packet, self._client = await self._outer.recvfrom(65536)
            for leaving in self._passing(packet, True):
                await self._inner.sendto(leaving, self._server)

    async def to_client(self) -> None:
        while True:
            try:
                packet, _ = await self._inner.recvfrom(65536)
            except ConnectionRefusedError:
                continue  # what ICMP says of the server
            for leaving in self._passing(packet, False):
                if self._client is not None:
                    await self._outer.sendto(leaving, self._client)

    def _passing(self, packet: bytes, outbound: bool) -> list[bytes]:
        if self.lose(packet, outbound):
            self.lost += 1
            return []
        self.passed.append(packet)
        if not self._held[outbound] and self.hold(packet, outbound):
            self._held[outbound].append(packet)
            return []
        packets = [packet, *self._held[outbound]]
        self.overtaken += len(packets) - 1
        self._held[outbound].clear()
        return packets


_NOT_GIVEN_OUT = range(10_000, 32_768)
"""UDP ports that no system gives to a socket that asks for any: nobody takes one by chance."""


def free_port() -> int:
    """Find a UDP port that nobody has, and that nobody gets who asks for any."""
    while True:
        port = random.SystemRandom().choice(_NOT_GIVEN_OUT)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
            probe.bind(("", port))
            return port


def sometimes(seed: int, share: float) -> Callable[[bytes, bool], bool]:
    """Choose packets at random, for `UdpProxy.lose` and `UdpProxy.hold`."""
    chance = random.Random(seed)
    return lambda packet, outbound: chance.random() < share


def always(packet: bytes, outbound: bool) -> bool:
    """Choose every packet, for `UdpProxy.lose` and `UdpProxy.hold`."""
    return True


@asynccontextmanager
async def udp_proxy(server: int, port: int = 0) -> AsyncIterator[UdpProxy]:
    """Run a proxy in front of a UDP port of this host, on the port given or on any."""
    with (
        trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as outer,
        trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as inner,
    ):
        for sock in outer, inner:
            sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, _BUFFER)
            await sock.bind((HOST, port if sock is outer else 0))
        proxy = UdpProxy(outer, inner, server)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(proxy.to_server)
            nursery.start_soon(proxy.to_client)
            yield proxy
            nursery.cancel_scope.cancel()
