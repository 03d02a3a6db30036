"""Engines on a simulated network, in virtual time."""

from __future__ import annotations

import struct
from collections.abc import Callable
from math import inf
from random import Random
from typing import Any

from trio_sctp._engine import Engine, Parameters, Route, wire
from trio_sctp._engine.association import EngineAssociation
from trio_sctp._engine.path import Path
from trio_sctp._options import Status, StatusState
from trio_sctp._values import Arrival, SendInfo
from trio_sctp.testing import Link, Network

from ..support.engines import A2, A3, B2, B3, PEER_PORT, PORT, A, B, Sent, info, parsed


class Simulation:
    """Hosts, the network between them, and the time."""

    def __init__(
        self, seed: int = 0, *, make_engine: Callable[..., Engine] = Engine, **link: Any
    ) -> None:
        """``make_engine`` is called like `Engine`; ``link`` has fields of `Link`."""
        self.make_engine = make_engine
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
        """Where a packet comes from as its receiver sees it, behind a NAT for example."""
        self.encapsulated = (
            False  # whether packets travel in UDP: its ports then precede each packet
        )

    def host(self, *addresses: str, port: int = PORT, **parameters: Any) -> Engine:
        """Add a host with these addresses: its engine listens, and its program reads all."""
        engine = self.make_engine(
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
            for data, route, tos, fragment in engine.packets_to_send():
                sent = Sent(self.now, route, parsed(data), len(data), fragment, tos)
                self.sent.append(sent)
                if not self.drop(sent):
                    header = struct.pack("!HH", *route[2:]) if self.encapsulated else b""
                    self.network.transmit(
                        header + data,
                        route.local,
                        route.remote,
                        self.now,
                        fragment=fragment,
                        tos=tos,
                    )

    def _arrived(self, data: bytes, source: str, destination: str, marked: bool = False) -> None:
        engine = self.hosts.get(destination)
        if engine is None:
            return
        route = Route(destination, source)
        if self.encapsulated:
            there, here = struct.unpack_from("!HH", data)
            route, data = Route(destination, source, here, there), data[4:]
        engine.receive_packet(data, self.translate(route), self.now, marked)

    def read(self) -> None:
        """Let the programs that read take what there is."""
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
            marked = delivery.tos & 3 == 3
            self._arrived(delivery.data, delivery.source, delivery.destination, marked)
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
        """Let time pass until a condition holds."""
        until = self.now + limit
        while not condition():
            assert self.step(until), f"the condition does not hold within {limit} s"

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
        """The packets with a chunk of this type that left, from one address or any."""
        return [
            sent
            for sent in self.sent
            if sent.time >= since and sent.has(kind) and source in (None, sent.route.local)
        ]


class Pair(Simulation):
    """Two hosts with an association, which have one or more addresses each.

    Attributes:
      a: The engine that connects.
      b: The other one.
      id: The id of the association at ``a``.
      routes: From each address of ``a`` to that of ``b`` on the same network.
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
        make_engine: Callable[..., Engine] = Engine,
    ) -> None:
        """Two hosts with ``homes`` addresses each.

        Args:
          here: Parameters of ``a``.
          there: Parameters of ``b``.
          both: Parameters of either.
          link: Fields of `Link`, for the network between them.
          connect: Whether ``a`` connects to ``b``.
          make_engine: Called like `Engine`.
        """
        super().__init__(seed, make_engine=make_engine, **(link or {}))
        own, theirs = [A, A2, A3][:homes], [B, B2, B3][:homes]
        self.a = self.host(*own, **(both or {}) | (here or {}))
        self.b = self.host(*theirs, port=PEER_PORT, **(both or {}) | (there or {}))
        for n, local in enumerate(own):
            for m, remote in enumerate(theirs):
                if n != m:  # No network leads to another one.
                    self.network.partition([local], [remote])
        self.routes = [Route(x, y) for x, y in zip(own, theirs, strict=True)]
        self.id = -1
        if connect:
            self.id = self.a.connect(self.routes, PEER_PORT, self.now)
            self.run_until(lambda: self.up)
            self.run(0.3 + 3 * (homes - 1))  # so that all addresses are confirmed

    @property
    def up(self) -> bool:
        """Whether the association is up at both ends."""
        states = [
            association.state
            for engine in (self.a, self.b)
            for association in engine.associations.values()
        ]
        return states == [StatusState.ESTABLISHED] * 2

    @property
    def association(self) -> EngineAssociation:
        """The association at ``a``."""
        return self.a.associations[self.id]

    @property
    def other(self) -> EngineAssociation:
        """The association at ``b``."""
        (association,) = self.b.associations.values()
        return association

    def path(self, address: str = B) -> Path:
        """A path of the association at ``a``."""
        return self.association.paths[address]

    def send(self, data: bytes, how: SendInfo | None = None) -> None:
        """Send a message from ``a`` to ``b``."""
        self.a.send(self.id, data, how or info(), self.now)

    def answer(self, data: bytes, how: SendInfo | None = None) -> None:
        """Send a message from ``b`` to ``a``."""
        self.b.send(self.other.id, data, how or info(), self.now)

    def status(self) -> Status:
        """The status of the association at ``a``."""
        return self.a.status(self.id)

    def data(self, source: str | None = None, *, since: float = 0.0) -> list[Sent]:
        """The packets with user data that left."""
        return self.packets(wire.Data, source, since=since)

    def cut(self, address: str, remote: str | None = None) -> None:
        """Cut the links between an address of ``a`` and all addresses of ``b``, or one."""
        others = [B, B2, B3] if remote is None else [remote]
        self.network.partition([address], others)

    def heal(self) -> None:
        """Mend all links that were cut."""
        self.network.heal()
        for n, route in enumerate(self.routes):
            for m, other in enumerate(self.routes):
                if n != m:
                    self.network.partition([route.local], [other.remote])
