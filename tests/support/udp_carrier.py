"""Carries an engine's packets over one real UDP socket, in real time (RFC 6951)."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import TypeVar

import trio

from trio_sctp import Message, PeerAddressChange, SenderDry
from trio_sctp._engine import Engine, Route, wire
from trio_sctp._values import (
    FailedFragment,
    Notification,
    Piece,
    SendInfo,
)

HOST = "127.0.0.1"
KERNEL_UDP, ENGINE_UDP = 9899, 9900
"""The UDP ports that the kernel is told to use."""

C = TypeVar("C")
E = TypeVar("E")


class Carrier:
    """An engine whose clock is Trio's and whose network is a UDP socket."""

    def __init__(self, udp: socket.socket, engine: Engine) -> None:
        self.engine = engine  # a test may replace it, as if the old one had crashed
        self.sent: list[wire.Packet] = []
        self.arrived: list[wire.Packet] = []  # without those that were lost
        self.lose: Callable[[wire.Packet, bool], bool] = lambda packet, outbound: False
        self._udp = udp
        self.udp_port: int = udp.getsockname()[1]
        self._waiting = trio.CancelScope()
        self._stepped = trio.lowlevel.ParkingLot()
        self._pieces: dict[tuple[int, int, bool, int | None], list[bytes]] = {}

    @property
    def now(self) -> float:
        return trio.current_time()

    # -- what programs do ---

    def connect(self, port: int, udp: int = KERNEL_UDP) -> int:
        route = Route(HOST, HOST, self.udp_port, udp)
        id = self.engine.connect([route], port, self.now)
        self.step()
        return id

    async def send(
        self,
        id: int,
        data: bytes,
        *,
        stream: int = 0,
        ppid: int = 0,
        unordered: bool = False,
        lifetime: int = 0,
        retransmissions: int | None = None,
        priority: int | None = None,
    ) -> None:
        """Send a message when there is room."""
        info = SendInfo(
            stream,
            ppid,
            unordered,
            0,
            lifetime,
            retransmissions=retransmissions,
            priority=priority,
        )
        while True:
            try:
                self.engine.send(id, data, info, self.now)
            except BlockingIOError:
                await self._stepped.park()
            else:
                break
        self.step()

    def shutdown(self, id: int) -> None:
        self.engine.shutdown(id, self.now)
        self.step()

    def abort(self, id: int, reason: bytes) -> None:
        self.engine.abort(id, reason, self.now)
        self.step()

    async def receive(self) -> Message | Notification | FailedFragment:
        """Wait for the next whole message or event, except `PeerAddressChange` and `SenderDry`."""
        while True:
            taken = self.engine.receive(1, self.now)
            if not taken:
                await self._stepped.park()
                continue
            (arrival,) = taken
            self.step()
            if isinstance(arrival, Piece):
                piece = arrival.message
                self._pieces.setdefault(_message_of(piece), []).append(piece.data)
            elif isinstance(arrival, Message) and _message_of(arrival) in self._pieces:
                data = b"".join([*self._pieces.pop(_message_of(arrival)), arrival.data])
                values = {name: getattr(arrival, name) for name in Message.__dataclass_fields__}
                return Message(**{**values, "data": data})
            elif not isinstance(arrival, (SenderDry, PeerAddressChange)):
                return arrival

    async def expect(self, kind: type[E]) -> E:
        """Wait for the next arrival, which must be of this kind."""
        arrival = await self.receive()
        assert isinstance(arrival, kind), arrival
        return arrival

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds that packets or time bring about."""
        while not condition():
            await self._stepped.park()

    # -- packets ---

    def chunks(self, kind: type[C], *, outbound: bool) -> list[C]:
        """The chunks of a type that were seen so far, in either direction."""
        packets = self.sent if outbound else self.arrived
        return [chunk for packet in packets for chunk in packet.chunks if isinstance(chunk, kind)]

    def step(self) -> None:
        """Send what has to leave, and wait for the next packet or deadline."""
        for data, route, *_ in self.engine.packets_to_send():
            packet = wire.parse_packet_untrusted(data)
            assert isinstance(packet, wire.Packet)
            assert not packet.truncated
            self.sent.append(packet)
            if not self.lose(packet, True):
                self._udp.sendto(data, (route.remote, route.remote_udp))
        deadline = self.engine.next_deadline()
        self._waiting.deadline = inf if deadline is None else deadline
        self._stepped.unpark_all()

    async def run(self) -> None:
        while True:
            self.step()
            deadline = self._waiting.deadline
            with trio.CancelScope(deadline=deadline) as self._waiting:
                await trio.lowlevel.wait_readable(self._udp)
                self._receive()
            self.engine.handle_timeout(self.now)

    def _receive(self) -> None:
        for _ in range(10):  # so that acknowledgements do not wait for all that a sender sends
            try:
                data, (host, port) = self._udp.recvfrom(65536)
            except BlockingIOError:
                return
            packet = wire.parse_packet_untrusted(data)
            assert isinstance(packet, wire.Packet)
            assert not packet.truncated
            if not self.lose(packet, False):
                self.arrived.append(packet)
                route = Route(HOST, host, self.udp_port, port)
                self.engine.receive_packet(data, route, self.now)


def _message_of(part: Message) -> tuple[int, int, bool, int | None]:
    return part.association_id, part.stream, part.unordered, part.mid


@asynccontextmanager
async def carried(engine: Engine, udp_port: int = ENGINE_UDP) -> AsyncIterator[Carrier]:
    """Run an engine on a UDP port of this host."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**23)
        udp.bind((HOST, udp_port))
        carrier = Carrier(udp, engine)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(carrier.run)
            yield carrier
            nursery.cancel_scope.cancel()
