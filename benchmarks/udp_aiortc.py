"""aiortc's ends of `udp`: its SCTP on an asyncio socket, which it takes for DTLS."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from aiortc.rtcsctptransport import RTCSctpCapabilities, RTCSctpTransport

from . import ends
from .ends import HOST, SCTP_PORT, Meter, RoundTrips

AHEAD = 64
"""Chunks that may be unacknowledged.  With more it gets slower, as it walks over all of them."""


class Dtls(asyncio.DatagramProtocol):
    """A UDP socket that aiortc takes for a DTLS transport."""

    state = "connected"

    def __init__(self, role: str, peer: tuple[str, int] | None) -> None:
        self._role = role
        self._peer = peer
        self._udp: asyncio.DatagramTransport | None = None
        self._packets: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self.handled = asyncio.Event()

    @property
    def port(self) -> int:
        assert self._udp is not None
        port: int = self._udp.get_extra_info("sockname")[1]
        return port

    def connection_made(self, transport: Any) -> None:
        self._udp = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._peer = addr
        self._packets.append(data)
        self._arrived.set()

    async def _send_data(self, data: bytes) -> None:
        assert self._udp is not None
        if self._peer is not None:
            self._udp.sendto(data, self._peer)

    async def carry(self, sctp: Any) -> None:
        """Hand packets to aiortc as they arrive."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._packets:
                await sctp._handle_data(self._packets.popleft())
            self.handled.set()

    def _register_data_receiver(self, receiver: object) -> None:
        pass

    def _unregister_data_receiver(self, receiver: object) -> None:
        pass


async def open_transport(
    role: str, port: int, peer: tuple[str, int] | None
) -> tuple[Any, Dtls, asyncio.Task[None]]:
    loop = asyncio.get_running_loop()
    _, dtls = await loop.create_datagram_endpoint(
        lambda: Dtls(role, peer), sock=ends.udp_socket(port)
    )
    make: Any = RTCSctpTransport
    sctp = make(dtls)
    return sctp, dtls, loop.create_task(dtls.carry(sctp))


async def receive(port: int, size: int) -> None:
    meter = Meter(size)
    enough = asyncio.Event()

    async def count_it(stream_id: int, pp_id: int, data: bytes) -> None:
        if meter.arrived(1):
            enough.set()

    sctp, _, carrying = await open_transport("server", port, None)
    sctp._receive = count_it
    # Both sides start.  There is no peer yet, so the INIT goes nowhere.
    await sctp.start(RTCSctpCapabilities(maxMessageSize=65536), SCTP_PORT)
    ends.ready()
    await enough.wait()
    carrying.cancel()


async def send(port: int, size: int) -> None:
    sctp, dtls, _ = await open_transport("client", 0, (HOST, port))
    await sctp.start(RTCSctpCapabilities(maxMessageSize=65536), SCTP_PORT)
    data = bytes(size)
    while True:
        while len(sctp._outbound_queue) + len(sctp._sent_queue) < AHEAD:
            await sctp._send(0, 51, data)
        dtls.handled.clear()
        await dtls.handled.wait()


async def echo(port: int) -> None:
    sctp, _, carrying = await open_transport("server", port, None)

    async def send_back(stream_id: int, pp_id: int, data: bytes) -> None:
        await sctp._send(stream_id, pp_id, data)

    sctp._receive = send_back
    await sctp.start(RTCSctpCapabilities(maxMessageSize=65536), SCTP_PORT)
    ends.ready()
    await carrying


async def ping(port: int, size: int) -> None:
    sctp, _, _ = await open_transport("client", 0, (HOST, port))
    back = asyncio.Event()
    trips = RoundTrips()

    async def note(stream_id: int, pp_id: int, data: bytes) -> None:
        back.set()

    sctp._receive = note
    await sctp.start(RTCSctpCapabilities(maxMessageSize=65536), SCTP_PORT)
    data = bytes(size)
    while True:
        trips.begin()
        back.clear()
        await sctp._send(0, 51, data)
        await back.wait()
        if trips.ended():
            return


if __name__ == "__main__":
    ends.main(
        {
            "aiortc": (
                lambda port, size: asyncio.run(receive(port, size)),
                lambda port, size: asyncio.run(send(port, size)),
            ),
            "echo": (
                lambda port, size: asyncio.run(echo(port)),
                lambda port, size: asyncio.run(ping(port, size)),
            ),
        }
    )
