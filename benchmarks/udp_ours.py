"""trio_sctp's ends of `udp`: the public API, and the engine on a socket without Trio."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import trio

import trio_sctp
from trio_sctp import AssociationChannel, Message, PeerAddressFlags, PeerAddressParams
from trio_sctp._engine import Engine, Parameters, Route
from trio_sctp._values import SendInfo

from . import ends
from .calls import counting
from .ends import BATCH, HOST, MTU, SCTP_PORT, Meter, RoundTrips

NO_DISCOVERY = PeerAddressParams(pathmtu=MTU, flags=PeerAddressFlags.PMTUD_DISABLE)


async def receive(port: int, size: int) -> None:
    """Receive in batches."""
    meter = Meter(size)
    async with trio_sctp.userland(udp_port=port):
        listener = await trio_sctp.open_listener(SCTP_PORT, options=[NO_DISCOVERY])
        ends.ready()
        channel = await listener.accept()
        while not meter.arrived(len(await channel.receive_batch())):
            pass
        channel.abort()
        await listener.aclose()


async def send(channel: AssociationChannel, data: bytes) -> None:
    """Send by ``await send()``."""
    while True:
        await channel.send(data)


async def send_nowait(channel: AssociationChannel, data: bytes) -> None:
    """Send by ``send_nowait()`` while there is room."""
    while True:
        try:
            channel.send_nowait(data)
        except trio.WouldBlock:
            await channel.send(data)


def receiver(port: int, size: int) -> None:
    trio.run(receive, port, size)


def sender(how: Callable[[AssociationChannel, bytes], Awaitable[None]]) -> ends.End:
    async def run(port: int, size: int) -> None:
        async with trio_sctp.userland(peer_udp_port=port):
            channel = await trio_sctp.open_association(HOST, SCTP_PORT, options=[NO_DISCOVERY])
            with contextlib.suppress(trio_sctp.AssociationLost):  # the receiver has had enough
                await how(channel, bytes(size))

    return lambda port, size: trio.run(run, port, size)


async def echo(port: int) -> None:
    """Send back what comes, for as long as it comes."""
    async with trio_sctp.userland(udp_port=port):
        listener = await trio_sctp.open_listener(SCTP_PORT, options=[NO_DISCOVERY])
        ends.ready()
        channel = await listener.accept()
        async for message in channel:
            await channel.send(message.data)


async def ping(port: int, size: int) -> None:
    """Send a message when the echo of the one before is here."""
    trips = RoundTrips()
    data = bytes(size)
    async with trio_sctp.userland(peer_udp_port=port):
        channel = await trio_sctp.open_association(HOST, SCTP_PORT, options=[NO_DISCOVERY])
        while True:
            trips.begin()
            await channel.send(data)
            await channel.receive()
            if trips.ended():
                break
        await channel.aclose()


# -- the engine alone ---


class Bare:
    """An engine that is driven by a loop on a UDP socket."""

    def __init__(self, sctp_port: int, udp_port: int) -> None:
        self.engine = Engine(sctp_port, [], parameters=Parameters(path_mtu=MTU))
        self._sock = ends.udp_socket(udp_port)
        self.port: int = self._sock.getsockname()[1]
        self._poll = select.poll()
        self._poll.register(self._sock, select.POLLIN)
        self._routes: dict[Any, Route] = {}

    def send(self) -> None:
        """Send the packets that the engine has queued."""
        for data, route, _, _ in self.engine.packets_to_send():
            self._sock.sendto(data, (route.remote, route.remote_udp))

    def receive(self) -> None:
        """Wait for packets or the next timer, and hand them to the engine."""
        deadline = self.engine.next_deadline()
        wait = None if deadline is None else max(0.0, (deadline - monotonic()) * 1000)
        self._poll.poll(wait)
        now = monotonic()
        self.engine.handle_timeout(now)
        for _ in range(BATCH):
            try:
                data, address = self._sock.recvfrom(65536)
            except BlockingIOError:
                break
            route = self._routes.get(address)
            if route is None:
                route = self._routes[address] = Route(HOST, address[0], self.port, address[1])
            self.engine.receive_packet(data, route, now)
            self.send()


def receive_bare(port: int, size: int) -> None:
    meter = Meter(size)
    bare = Bare(SCTP_PORT, port)
    bare.engine.listening = True
    ends.ready()
    while True:
        bare.receive()
        while arrivals := bare.engine.receive(256, monotonic()):
            if meter.arrived(sum(type(arrival) is Message for arrival in arrivals)):
                return
        bare.send()


def send_bare(port: int, size: int) -> None:
    bare = Bare(SCTP_PORT + 1, 0)
    engine, data, info = bare.engine, bytes(size), SendInfo(0, 0, False, 0, 0)
    id = engine.connect([Route(HOST, HOST, bare.port, port)], SCTP_PORT, monotonic())
    while True:
        try:
            while True:
                engine.queue(id, data, info, monotonic())
        except BlockingIOError:
            pass
        engine.flush(id, monotonic())
        bare.send()
        bare.receive()
        engine.receive(256, monotonic())


def echo_bare(port: int, size: int) -> None:
    bare = Bare(SCTP_PORT, port)
    bare.engine.listening = True
    ends.ready()
    info = SendInfo(0, 0, False, 0, 0)
    while True:
        bare.receive()
        for arrival in bare.engine.receive(256, monotonic()):
            if type(arrival) is Message:
                bare.engine.queue(arrival.association_id, arrival.data, info, monotonic())
                bare.engine.flush(arrival.association_id, monotonic())
        bare.send()


def ping_bare(port: int, size: int) -> None:
    bare = Bare(SCTP_PORT + 1, 0)
    engine, data, info = bare.engine, bytes(size), SendInfo(0, 0, False, 0, 0)
    id = engine.connect([Route(HOST, HOST, bare.port, port)], SCTP_PORT, monotonic())
    trips = RoundTrips()
    while True:
        trips.begin()
        engine.queue(id, data, info, monotonic())
        engine.flush(id, monotonic())
        bare.send()
        while not any(type(arrival) is Message for arrival in engine.receive(256, monotonic())):
            bare.receive()
        if trips.ended():
            return


if __name__ == "__main__":
    ends.main(
        {
            "send": (receiver, sender(send)),
            "send_nowait": (receiver, sender(send_nowait)),
            "counted": (counting(receiver), counting(sender(send_nowait))),
            "bare": (receive_bare, send_bare),
            "echo": (
                lambda port, size: trio.run(echo, port),
                lambda port, size: trio.run(ping, port, size),
            ),
            "bare_echo": (echo_bare, ping_bare),
        }
    )
