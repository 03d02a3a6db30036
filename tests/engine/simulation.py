"""Engines on a simulated network in virtual time, and a peer whose every chunk a test writes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from math import inf
from random import Random
from typing import Any, NamedTuple, TypeVar

from trio_sctp._engine import Engine, Parameters, Route, wire
from trio_sctp._engine.association import EngineAssociation
from trio_sctp._engine.path import Path
from trio_sctp._options import Status, StatusState
from trio_sctp._values import (
    Arrival,
    AssociationChange,
    AssociationState,
    FailedFragment,
    Message,
    PeerAddressChange,
    PeerAddressState,
    Piece,
    SendInfo,
)
from trio_sctp.testing import Link, Network

PORT, PEER_PORT = 1000, 2000
A, B = "10.0.0.1", "10.0.0.2"
A2, B2 = "10.0.1.1", "10.0.1.2"
A3, B3 = "10.0.2.1", "10.0.2.2"
MTU = 1280
FULL = MTU - 12 - 16
"""Bytes of user data that fill a packet."""

C = TypeVar("C")


def info(
    stream: int = 0, *, ppid: int = 0, unordered: bool = False, lifetime: int = 0, context: int = 0
) -> SendInfo:
    """How to send a message."""
    return SendInfo(stream, ppid, unordered, context, lifetime)


class Sent(NamedTuple):
    """A packet that left."""

    time: float
    route: Route
    packet: wire.Packet
    size: int

    def chunks(self, kind: type[C]) -> list[C]:
        """Those of a type."""
        return [chunk for chunk in self.packet.chunks if isinstance(chunk, kind)]

    def has(self, kind: type[object]) -> bool:
        """Whether there is one of a type."""
        return any(isinstance(chunk, kind) for chunk in self.packet.chunks)


def parsed(data: bytes) -> wire.Packet:
    """A packet that is in order."""
    packet = wire.parse_packet_untrusted(data)
    assert isinstance(packet, wire.Packet), packet
    return packet


def ends(events: Sequence[Arrival]) -> list[AssociationChange]:
    """How associations ended."""
    over = (
        AssociationState.COMM_LOST,
        AssociationState.SHUTDOWN_COMP,
        AssociationState.CANT_ASSOC,
    )
    return [e for e in events if isinstance(e, AssociationChange) and e.state in over]


def path_changes(events: Sequence[Arrival]) -> list[tuple[str, PeerAddressState | int]]:
    """What happened to paths."""
    return [(e.address[0], e.state) for e in events if isinstance(e, PeerAddressChange)]


def payloads(events: Sequence[Arrival]) -> list[bytes]:
    """Messages; those that came in pieces are joined."""
    whole: list[bytes] = []
    begun: dict[tuple[int, int, bool], bytes] = {}
    for event in events:
        message = event.message if isinstance(event, Piece) else event
        if not isinstance(message, Message):
            continue
        key = (message.association_id, message.stream, message.unordered)
        data = begun.pop(key, b"") + message.data
        if isinstance(event, Piece):
            begun[key] = data
        else:
            whole.append(data)
    return whole


def failures(events: Sequence[Arrival]) -> list[FailedFragment]:
    """Messages that were reported failed."""
    return [event for event in events if isinstance(event, FailedFragment)]


class Simulation:
    """Hosts, the network between them, and the time."""

    engine_type: type[Engine] = Engine

    def __init__(self, seed: int = 0, **link: Any) -> None:
        self.random = Random(seed)
        link.setdefault("delay", 0.01)
        self.network = Network(seed, default_link=Link(**link))
        self.now = 0.0
        self.hosts: dict[str, Engine] = {}
        self.engines: list[Engine] = []
        self.sent: list[Sent] = []
        self.events: dict[Engine, list[Arrival]] = {}
        self.reading: set[Engine] = set()
        self.drop: Callable[[Sent], bool] = lambda sent: False
        self.translate: Callable[[Route], Route] = lambda route: route
        """What a NAT makes of where a packet comes from, as its receiver sees it."""
        self.encapsulated = False  # in UDP, whose ports stand in front of each packet

    def host(self, *addresses: str, port: int = PORT, **parameters: Any) -> Engine:
        """An engine at these addresses that listens, and whose program reads all."""
        engine = self.engine_type(
            port,
            addresses,
            parameters=Parameters(**parameters),
            randomness=self.random.randbytes,
        )
        engine.listening = True
        self.hosts.update(dict.fromkeys(addresses, engine))
        self.engines.append(engine)
        self.events[engine] = []
        self.reading.add(engine)
        return engine

    def _transmit(self) -> None:
        for engine in self.engines:
            for data, route, _, fragment in engine.packets_to_send():
                sent = Sent(self.now, route, parsed(data), len(data))
                self.sent.append(sent)
                if not self.drop(sent):
                    header = struct.pack("!HH", *route[2:]) if self.encapsulated else b""
                    self.network.transmit(
                        header + data, route.local, route.remote, self.now, fragment=fragment
                    )

    def _arrived(self, data: bytes, source: str, destination: str) -> None:
        engine = self.hosts.get(destination)
        if engine is None:
            return
        route = Route(destination, source)
        if self.encapsulated:
            there, here = struct.unpack_from("!HH", data)
            route, data = Route(destination, source, here, there), data[4:]
        engine.receive_packet(data, self.translate(route), self.now)

    def read(self) -> None:
        """Let programs that read take what there is."""
        for engine in self.reading:
            self.events[engine] += engine.receive(2**30, self.now)

    def step(self, until: float = inf) -> bool:
        """Go to the next thing that happens; returns whether there was one by ``until``."""
        self.read()
        self._transmit()
        deadlines = [engine.next_deadline() for engine in self.engines]
        deadlines.append(self.network.next_deadline())
        earliest = min((deadline for deadline in deadlines if deadline is not None), default=inf)
        if earliest > until or earliest == inf:
            return False
        self.now = max(self.now, earliest)
        for delivery in self.network.deliver(self.now):
            self._arrived(delivery.data, delivery.source, delivery.destination)
        for engine in self.engines:
            engine.handle_timeout(self.now)
        self.read()
        self._transmit()
        return True

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while self.step(until):
            pass
        self.now = until

    def run_until(self, condition: Callable[[], object], limit: float = 1000.0) -> None:
        """Let time pass until something is so."""
        until = self.now + limit
        while not condition():
            assert self.step(until), f"not so within {limit} s"

    def over(self) -> bool:
        """Whether nothing is left: no association, no timer."""
        return not any(engine.associations or engine.next_deadline() for engine in self.engines)

    def finish(self, limit: float = 5000.0) -> None:
        """Run until all is over."""
        self.run_until(self.over, limit)
        self.read()
        assert all(engine.next_deadline() is None for engine in self.engines)

    def packets(
        self, kind: type[object], source: str | None = None, *, since: float = 0.0
    ) -> list[Sent]:
        """Packets that left with such a chunk, from that address."""
        return [
            sent
            for sent in self.sent
            if sent.time >= since and sent.has(kind) and source in (None, sent.route.local)
        ]


class Pair(Simulation):
    """Two hosts with an association, of one or more addresses each.

    ``a`` is the one that connects.
    """

    def __init__(
        self,
        homes: int = 1,
        *,
        seed: int = 0,
        here: dict[str, Any] | None = None,
        there: dict[str, Any] | None = None,
        link: dict[str, Any] | None = None,
        both: dict[str, Any] | None = None,
        connect: bool = True,
    ) -> None:
        super().__init__(seed, **(link or {}))
        own, theirs = [A, A2, A3][:homes], [B, B2, B3][:homes]
        self.a = self.host(*own, **(both or {}) | (here or {}))
        self.b = self.host(*theirs, port=PEER_PORT, **(both or {}) | (there or {}))
        for n, local in enumerate(own):
            for m, remote in enumerate(theirs):
                if n != m:  # Each network is one of its own.
                    self.network.partition([local], [remote])
        self.routes = [Route(x, y) for x, y in zip(own, theirs, strict=True)]
        self.id = -1
        if connect:
            self.id = self.a.connect(self.routes, PEER_PORT, self.now)
            self.run_until(lambda: self.up)
            self.run(0.3 + 3 * (homes - 1))  # so that all addresses are confirmed

    @property
    def up(self) -> bool:
        """Whether it is, at both ends."""
        states = [
            association.state
            for engine in (self.a, self.b)
            for association in engine.associations.values()
        ]
        return states == [StatusState.ESTABLISHED] * 2

    @property
    def association(self) -> EngineAssociation:
        """That of ``a``."""
        return self.a.associations[self.id]

    @property
    def other(self) -> EngineAssociation:
        """That of ``b``."""
        (association,) = self.b.associations.values()
        return association

    def path(self, address: str = B) -> Path:
        """Of ``a``."""
        return self.association.paths[address]

    def send(self, data: bytes, how: SendInfo | None = None) -> None:
        """From ``a`` to ``b``."""
        self.a.send(self.id, data, how or info(), self.now)

    def answer(self, data: bytes, how: SendInfo | None = None) -> None:
        """From ``b`` to ``a``."""
        self.b.send(self.other.id, data, how or info(), self.now)

    def status(self) -> Status:
        """That of ``a``."""
        return self.a.status(self.id)

    def data(self, source: str | None = None, *, since: float = 0.0) -> list[Sent]:
        """Packets with user data."""
        return self.packets(wire.Data, source, since=since)

    def cut(self, address: str, remote: str | None = None) -> None:
        """Nothing passes any more between an address of ``a`` and all others, or one."""
        others = [B, B2, B3] if remote is None else [remote]
        self.network.partition([address], others)

    def heal(self) -> None:
        """Links are as they were at first."""
        self.network.heal()
        for n, route in enumerate(self.routes):
            for m, other in enumerate(self.routes):
                if n != m:
                    self.network.partition([route.local], [other.remote])


class Script:
    """An engine, and a peer that a test plays chunk by chunk; there is no network between them.

    Attributes:
      engine: Under test, at ``A`` and what other addresses it has.
      sent: All that left it.
      tag: The peer's.
      their_tag: The engine's, as far as the peer knows.
      tsn: The peer's next.
    """

    def __init__(
        self,
        addresses: Sequence[str] = (A,),
        *,
        udp: tuple[int, int] = (0, 0),
        seed: int = 0,
        rwnd: int = 100_000,
        parameters: Parameters | None = None,
        **fields: Any,
    ) -> None:
        self.engine = Engine(
            PORT,
            addresses,
            parameters=parameters or Parameters(**fields),
            randomness=Random(seed).randbytes,
        )
        self.engine.listening = True
        self.now = 0.0
        self.sent: list[Sent] = []
        self.route = Route(A, B, *udp)
        self.tag = 0x01020304
        self.their_tag = 0
        self.tsn = 100
        self.first_tsn = 0  # the engine's
        self.rwnd = rwnd
        self.acked = 0
        self.parameters: list[wire.Tlv] = []

    # -- packets ---

    def packet(self, *chunks: bytes, tag: int | None = None) -> bytes:
        """One from the peer."""
        return wire.seal(PEER_PORT, PORT, self.their_tag if tag is None else tag, chunks)

    def give(
        self, *chunks: bytes, tag: int | None = None, route: Route | None = None
    ) -> list[Sent]:
        """Send these; returns what is answered at once."""
        return self.give_raw(self.packet(*chunks, tag=tag), route)

    def give_raw(self, data: bytes, route: Route | None = None) -> list[Sent]:
        """Send bytes."""
        self.engine.receive_packet(data, route or self.route, self.now)
        return self.take()

    def take(self) -> list[Sent]:
        """What leaves the engine now."""
        left = [
            Sent(self.now, route, parsed(data), len(data))
            for data, route, *_ in self.engine.packets_to_send()
        ]
        self.sent += left
        return left

    def wait(self, seconds: float) -> list[Sent]:
        """Let time pass; returns what has left meanwhile."""
        until = self.now + seconds
        left = self.take()
        while (deadline := self.engine.next_deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.engine.handle_timeout(self.now)
            left += self.take()
        self.now = until
        return left

    def events(self) -> list[Arrival]:
        """The engine's program reads."""
        return self.engine.receive(2**30, self.now)

    # -- set-up ---

    def init(self, **fields: Any) -> wire.Init:
        """The peer's INIT."""
        values: dict[str, Any] = {
            "tag": self.tag,
            "rwnd": self.rwnd,
            "outbound_streams": 10,
            "inbound_streams": 10,
            "tsn": self.tsn,
            "parameters": self.parameters,
        }
        return wire.Init(**values | fields)

    def give_init(self, route: Route | None = None, **fields: Any) -> list[Sent]:
        """Send it."""
        return self.give(wire.init_chunk(self.init(**fields)), tag=0, route=route)

    def init_ack(self, route: Route | None = None, **fields: Any) -> wire.InitAck:
        """What the INIT is answered with."""
        (answer,) = self.give_init(route, **fields)
        (ack,) = answer.chunks(wire.InitAck)
        return ack

    def accept(self, *parameters: wire.Tlv) -> EngineAssociation:
        """The peer sets an association up."""
        self.parameters = list(parameters)
        ack = self.init_ack()
        self.their_tag, self.first_tsn = ack.tag, ack.tsn
        self.acked = ack.tsn - 1
        (answer,) = self.give(cookie_echo(ack))
        assert answer.has(wire.CookieAck)
        self.events()
        return self.association

    def connect(self, *routes: Route, until: str = "up", **fields: Any) -> EngineAssociation:
        """The engine sets one up, as far as "wait", "echoed" or "up"."""
        self.engine.connect(list(routes) or [self.route], PEER_PORT, self.now)
        (answer,) = self.take()
        (init,) = answer.chunks(wire.Init)
        self.their_tag, self.first_tsn = init.tag, init.tsn
        self.acked = init.tsn - 1
        if until != "wait":
            self.give(wire.init_chunk(self.ack(**fields)))
            if until != "echoed":
                self.give(wire.chunk(wire.ChunkType.COOKIE_ACK))
                self.events()
        return self.association

    def ack(self, **fields: Any) -> wire.InitAck:
        """The peer's INIT ACK."""
        values: dict[str, Any] = {
            "tag": self.tag,
            "rwnd": self.rwnd,
            "outbound_streams": 10,
            "inbound_streams": 10,
            "tsn": self.tsn,
            "parameters": [wire.Tlv(wire.ParameterType.STATE_COOKIE, b"cookie")],
        }
        return wire.InitAck(**values | fields)

    @property
    def association(self) -> EngineAssociation:
        """The only one."""
        (association,) = self.engine.associations.values()
        return association

    @property
    def state(self) -> StatusState | None:
        """Of the only one."""
        associations = list(self.engine.associations.values())
        return associations[0].state if associations else None

    # -- user data ---

    def send(self, data: bytes, how: SendInfo | None = None) -> list[Sent]:
        """The engine's program sends."""
        self.engine.send(self.association.id, data, how or info(), self.now)
        return self.take()

    def data(self, payload: bytes = b"x", *, tsn: int | None = None, **fields: Any) -> bytes:
        """A DATA chunk of the peer's; it is the next one unless a TSN is given."""
        if tsn is None:
            tsn = self.tsn
            self.tsn += 1
        stream, ssn = fields.get("stream", 0), fields.get("ssn", 0)
        return wire.data_chunk(tsn, stream, ssn, 0, payload, fields.get("flags", 7))

    def sack(
        self,
        acked: int | None = None,
        *,
        gaps: Sequence[tuple[int, int]] = (),
        rwnd: int | None = None,
    ) -> bytes:
        """A SACK for so many of the engine's chunks, counted from its first."""
        if acked is not None:
            self.acked = self.first_tsn + acked - 1
        return wire.sack_chunk(
            self.acked & 0xFFFFFFFF, self.rwnd if rwnd is None else rwnd, gaps, []
        )


def cookie_echo(ack: wire.InitAck) -> bytes:
    """The COOKIE ECHO for an INIT ACK."""
    return wire.chunk(wire.ChunkType.COOKIE_ECHO, cookie_of(ack))


def cookie_of(ack: wire.InitAck) -> bytes:
    """Its State Cookie."""
    (cookie,) = [p.value for p in ack.parameters if p.type == wire.ParameterType.STATE_COOKIE]
    return cookie
