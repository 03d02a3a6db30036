"""How much of a link one association gets, and how two share it (RFC 9260 sections 6.1 and 7.2).

The link has 10 Mbit/s, a drop-tail queue of 50 packets, a path MTU of 1500, and loses one packet in
a thousand at random.  Each run takes a minute of virtual time, and each packet of a sender is held
against the rules.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from statistics import mean

from trio_sctp import StatusState
from trio_sctp._engine import Engine, Parameters, Route
from trio_sctp._values import (
    Message,
    SendInfo,
)
from trio_sctp.testing import Link, Network

from .sending_rules import WatchedEngine

LEFT, RIGHT = "192.0.2.1", "192.0.2.2"
BANDWIDTH = 10e6
MTU = 1500
SECONDS = 60
INFO = SendInfo(0, 0, False, 0, 0)
VALUE = bytes(1400)


class Flow:
    """One association, whose sender always has something to send."""

    def __init__(self, number: int) -> None:
        parameters = Parameters(path_mtu=MTU - 20, receive_window=2**20, send_buffer=2**19)
        self.sender = WatchedEngine(Engine(1000 + number, [], parameters=parameters))
        self.receiver = Engine(2000 + number, [], parameters=parameters)
        self.receiver.listening = True
        self.id = self.sender.connect([Route(LEFT, RIGHT)], 2000 + number, 0.0)
        self.received = 0

    def step(self, now: float) -> None:
        association = self.sender.associations[self.id]
        if association.state is StatusState.ESTABLISHED:
            while association.outbound.has_room():
                self.sender.queue(self.id, VALUE, INFO, now)
            self.sender.flush(self.id, now)
        arrivals = self.receiver.receive(256, now)
        self.received += sum(len(a.data) for a in arrivals if isinstance(a, Message))
        self.sender.receive(256, now)


def shares(seed: int, *, delay: float, flows: int = 1) -> list[float]:
    """The part of the link that each association gets."""
    network = Network(seed)
    link = Link(delay=delay, bandwidth=BANDWIDTH, queue=50, loss=0.001, mtu=MTU)
    network.set_link(LEFT, RIGHT, link)
    running = [Flow(number) for number in range(flows)]
    engines: dict[int, Engine | WatchedEngine] = {}
    for flow in running:
        engines[flow.sender.port] = flow.sender
        engines[flow.receiver.port] = flow.receiver
    now = 0.0
    while now < SECONDS:
        for engine in engines.values():
            for packet in engine.packets_to_send():
                network.transmit(packet.data, packet.route.local, packet.route.remote, now)
        deadlines = [engine.next_deadline() for engine in engines.values()]
        deadlines.append(network.next_deadline())
        now = min(deadline for deadline in deadlines if deadline is not None)
        for delivery in network.deliver(now):
            engine = engines[int.from_bytes(delivery.data[2:4], "big")]
            route = Route(delivery.destination, delivery.source)
            engine.receive_packet(delivery.data, route, now)
        for engine in engines.values():
            engine.handle_timeout(now)
        for flow in running:
            flow.step(now)
    for flow in running:
        seen = flow.sender.rules.seen
        assert seen["packets"] >= flow.received / len(VALUE) > 0
        assert seen["growths"] > 0
        assert seen["fast retransmissions"] > 0
    return [flow.received * 8 / SECONDS / BANDWIDTH for flow in running]


def many(seeds: int, *, delay: float, flows: int = 1) -> list[list[float]]:
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return list(pool.map(partial(shares, delay=delay, flows=flows), range(seeds)))


def test_a_round_trip_of_50_ms() -> None:
    results = [share for (share,) in many(20, delay=0.025)]
    assert mean(results) >= 0.70, results
    assert min(results) >= 0.60, results


def test_a_round_trip_of_100_ms() -> None:
    results = [share for (share,) in many(20, delay=0.05)]
    assert mean(results) >= 0.40, results


def test_two_associations_share_a_link() -> None:
    for first, second in many(16, delay=0.025, flows=2):
        assert 0.4 <= first / (first + second) <= 0.6
