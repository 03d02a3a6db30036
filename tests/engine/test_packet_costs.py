"""What a packet costs, whoever sends it and whatever is in it: a number of calls that is bounded.

A call takes about 0.1 µs, so these bounds are well below the time that a packet may take: 1 ms for
one from a stranger, and 0.5 ms and 0.5 ms for each KiB of it for one from a peer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from trio_sctp._engine import Route, wire
from trio_sctp._engine.wire import ChunkType, Tlv

from ..support.counting import calls, lines
from ..support.engines import B2, B3, PEER_PORT, PORT, A, B, cookie_echo, info
from ..support.scripted_peer import ScriptedPeer

STRANGER = 3000
PEER, PEER_PER_KIB = 3000, 2000
FULL = 64_000
"""Bytes of the largest packets."""


def filled(chunk: bytes) -> list[bytes]:
    return [chunk] * (FULL // len(chunk))


def init(parameters: Sequence[Tlv]) -> bytes:
    return wire.init_chunk(wire.Init(7, 65536, 10, 10, 99, list(parameters)))


ADDRESSES = [wire.address_parameter(f"fd00::{number}") for number in range(1, 65)]
IPV4, IPV6 = wire.address_parameter("10.1.0.1"), wire.address_parameter("fd00::1")
GAPS = [(2 * n + 2, 2 * n + 2) for n in range(15_000)]

FROM_STRANGERS: dict[str, tuple[int, list[bytes]]] = {
    "INIT": (0, [init([])]),
    "INIT with 64 addresses": (0, [init(ADDRESSES)]),
    "INIT with 64 unknown parameters": (0, [init([Tlv(0xC123, b"x")] * 64)]),
    "INIT with one address, thousands of times": (0, [init([IPV4] * 8000)]),
    "INIT with one IPv6 address, thousands of times": (0, [init([IPV6] * 3200)]),
    "INIT ACK": (7, [wire.init_chunk(wire.InitAck(7, 65536, 10, 10, 99, [IPV6] * 3000))]),
    "COOKIE ECHO": (7, [wire.chunk(ChunkType.COOKIE_ECHO, bytes(60_000))]),
    "unknown chunks": (7, filled(wire.chunk(0xFF))),
    "SACK": (7, [wire.sack_chunk(5, 5, GAPS, [])]),
    "ERROR": (7, [wire.error_chunk([Tlv(7, b"")] * 15_000)]),
    "64 ERRORs": (7, [wire.error_chunk([Tlv(7, b"")] * 64)] * 64),
    "DATA": (7, filled(wire.data_chunk(1, 0, 0, 0, b"x", 3))),
    "no packet": (7, [b"\xff" * FULL]),
}


@pytest.mark.parametrize("kind", FROM_STRANGERS)
def test_a_packet_from_a_stranger(kind: str) -> None:
    tag, chunks = FROM_STRANGERS[kind]
    packet = wire.seal(PEER_PORT, PORT, tag, chunks)
    costs = []
    for associations in (1, 1000):
        peer = ScriptedPeer()
        for number in range(associations):
            route = Route(A, f"10.2.{number >> 8}.{number & 255}")
            peer.engine.connect([route], PEER_PORT, 0.0)
        peer.take()
        receive = functools.partial(peer.engine.receive_packet, packet, Route(A, B3), 0.0)
        receive()  # it fills caches
        costs.append(calls(receive))
    assert costs[0] == costs[1], "a packet of a stranger costs the same with many associations"
    assert costs[0] < STRANGER


FROM_PEERS: dict[str, Callable[[ScriptedPeer], list[bytes]]] = {
    "unknown chunks to be reported": lambda peer: filled(wire.chunk(0xC5)),
    "unknown chunks": lambda peer: filled(wire.chunk(0x85)),
    "HEARTBEAT": lambda peer: filled(wire.heartbeat_chunk(b"")),
    "HEARTBEAT ACK": lambda peer: filled(wire.heartbeat_chunk(bytes(17), ack=True)),
    "SHUTDOWN": lambda peer: filled(wire.shutdown_chunk(peer.their_tsn - 1)),
    "SHUTDOWN ACK": lambda peer: filled(wire.chunk(ChunkType.SHUTDOWN_ACK)),
    "COOKIE ACK": lambda peer: filled(wire.chunk(ChunkType.COOKIE_ACK)),
    "COOKIE ECHO": lambda peer: filled(wire.chunk(ChunkType.COOKIE_ECHO, b"no cookie")),
    "INIT": lambda peer: filled(init([])),
    "ERROR": lambda peer: filled(wire.error_chunk([Tlv(7, b"")])),
    "one ERROR": lambda peer: [wire.error_chunk([Tlv(7, b"")] * 15_000)],
    "SACK": lambda peer: filled(wire.sack_chunk(peer.their_tsn - 1, 65536, [], [])),
    "SACK with gaps": lambda peer: [wire.sack_chunk(peer.their_tsn - 1, 65536, GAPS, [])],
    "FORWARD TSN": lambda peer: [
        wire.forward_tsn_chunk(peer.tsn + n, []) for n in range(FULL // 8)
    ],
    "FORWARD TSN of many streams": lambda peer: [
        wire.forward_tsn_chunk(peer.tsn, [(stream, 5) for stream in range(FULL // 4)])
    ],
    "DATA": lambda peer: [peer.unordered(b"x") for _ in range(FULL // 20)],
    "DATA that comes again": lambda peer: filled(peer.unordered(b"x", tsn=5)),
    "DATA out of order": lambda peer: [
        peer.unordered(b"x", tsn=peer.tsn + 2 * n + 1) for n in range(FULL // 20)
    ],
    "DATA for no stream": lambda peer: [
        peer.unordered(b"x", stream=60_000) for _ in range(FULL // 20)
    ],
}


@pytest.mark.parametrize("kind", FROM_PEERS)
@pytest.mark.parametrize("state", ["up", "shutting down", "peer shuts down"])
def test_a_packet_from_a_peer(kind: str, state: str) -> None:
    peer = ScriptedPeer()
    association = peer.accept()
    if state == "shutting down":
        peer.engine.shutdown(association.id, peer.now)
    elif state == "peer shuts down":
        peer.send(b"unacknowledged")
        peer.give(wire.shutdown_chunk(peer.their_tsn - 1))
    packet = peer.packet(*FROM_PEERS[kind](peer))
    cost = calls(lambda: peer.engine.receive_packet(packet, peer.route, peer.now))
    assert cost < PEER + PEER_PER_KIB * len(packet) / 1024


def test_chunks_behind_a_cookie_echo() -> None:
    peer = ScriptedPeer()
    ack = peer.begin()
    packet = peer.packet(cookie_echo(ack), *filled(wire.heartbeat_chunk(b"")), tag=ack.tag)
    for _ in range(2):
        cost = calls(lambda: peer.engine.receive_packet(packet, peer.route, peer.now))
        assert cost < PEER + PEER_PER_KIB * len(packet) / 1024


# -- what a SACK costs -------------------------------------------------------------------------


def sending(count: int, *, paths: int = 1, **fields: Any) -> ScriptedPeer:
    """A peer to which so many messages of one byte are under way."""
    peer = ScriptedPeer(rwnd=10**6, heartbeats=False, **fields)
    association = peer.accept()
    path = association.paths[B]
    path.cwnd = 10**6
    peer.engine.parameters.max_burst = association.parameters.max_burst = 10**6
    for _ in range(count):
        peer.engine.queue(association.id, b"x", info(), peer.now)
    peer.engine.flush(association.id, peer.now)
    peer.take()
    assert len(association.outbound.outstanding) == count
    if paths == 2:
        association.add_path(peer.route_from(B2), confirmed=True)
    return peer


@pytest.mark.parametrize("paths", [1, 2])
def test_a_sack_with_gaps(paths: int) -> None:
    costs = []
    for count in (1600, 16_000):
        peer = sending(count, paths=paths)
        total = 0
        for number in range(20):  # every fourth chunk is lost
            gaps = [(4 * block + 2, 4 * block + 4) for block in range(number, number + 5)]
            sack = peer.packet(peer.sack(gaps=gaps[:1] if not number else gaps, rwnd=10**6))
            total += lines(functools.partial(peer.engine.receive_packet, sack, peer.route, 0.1))
            peer.take()
        costs.append(total)
    assert abs(costs[1] - costs[0]) <= costs[0] / 10


@pytest.mark.parametrize("outstanding", [1000, 4000])
def test_a_packet_of_sacks_that_take_gap_blocks_back(outstanding: int) -> None:
    """Only the last of them counts, and it costs what it changes."""
    peer = sending(outstanding)
    gaps = [(2, outstanding - 1)]
    sacks = [peer.sack(gaps=gaps if n % 2 else (), rwnd=10**6) for n in range(3200)]
    packet = peer.packet(*sacks[:3200])
    cost = calls(lambda: peer.engine.receive_packet(packet, peer.route, 0.1))
    assert cost < PEER + PEER_PER_KIB * len(packet) / 1024 + 20 * outstanding


def test_gap_blocks_taken_back_are_worked_off_once_in_a_round_trip() -> None:
    peer = sending(4000)
    costs = []
    for number in range(20):
        gaps = [(2, 3999)] if number % 2 else []
        sack = peer.packet(peer.sack(gaps=gaps, rwnd=10**6))
        costs.append(
            calls(functools.partial(peer.engine.receive_packet, sack, peer.route, peer.now))
        )
        peer.take()
        peer.now += 0.001
    assert sum(cost > 2000 for cost in costs) <= 4


def cost_of_sacks(peer: ScriptedPeer, sacks: Sequence[bytes]) -> int:
    """What SACKs in packets of their own cost together, in lines."""
    total = 0
    for sack in sacks:
        packet = peer.packet(sack)
        total += lines(functools.partial(peer.engine.receive_packet, packet, peer.route, peer.now))
        peer.take()
    return total


def test_a_sack_after_one_with_thousands_of_gap_blocks() -> None:
    """Gap blocks that the next SACKs take back at once cost nothing."""
    costs = []
    for count in (1600, 16_000):
        peer = sending(count)
        gaps = [(number, number) for number in range(2, count, 2)]
        for blocks in (gaps, [], gaps):  # that was the one time in a round trip
            peer.give(peer.sack(gaps=blocks, rwnd=10**6))
        costs.append(cost_of_sacks(peer, [peer.sack(gaps=[(4, 4)], rwnd=10**6)] * 20))
    assert abs(costs[1] - costs[0]) <= costs[0] / 10


@pytest.mark.parametrize("paths", [1, 2])
def test_a_sack_for_what_was_sent_again(paths: int) -> None:
    costs = []
    for count in (1600, 16_000):
        peer = sending(count, paths=paths)
        association = peer.association
        peer.advance(1.1)
        for path in association.paths.values():
            path.cwnd = 10**6
        peer.give(peer.sack_first(1, rwnd=10**6))
        assert not association.outbound.peek_marked()
        sacks = [peer.sack(gaps=[(2, 2 + number)], rwnd=10**6) for number in range(20)]
        costs.append(cost_of_sacks(peer, sacks))
    assert abs(costs[1] - costs[0]) <= costs[0] / 10


def test_a_sack_while_another_path_waits_to_be_sent_again() -> None:
    costs = []
    for count in (1600, 16_000):
        peer = sending(count)
        other = peer.association.add_path(peer.route_from(B2), confirmed=True)
        other.cwnd = 1000  # one packet at a time
        peer.advance(1.1)
        total = acked = 0
        for _ in range(5):
            acked += other.flight
            other.cwnd = 1000
            total += cost_of_sacks(peer, [peer.sack_first(acked, rwnd=10**6)])
            assert 0 < other.flight < 100
        costs.append(total)
    assert abs(costs[1] - costs[0]) <= costs[0] / 10


def test_giving_up_messages() -> None:
    """Each costs the same, however many are given up."""
    costs = []
    for count in (800, 8000):
        peer = ScriptedPeer(rwnd=10**6, heartbeats=False)
        peer.parameters = [Tlv(wire.ParameterType.FORWARD_TSN_SUPPORTED, b"")]
        peer.learn(peer.begin())
        peer.give(peer.cookie_echo())
        association = peer.association
        association.paths[B].cwnd = 10**6
        association.parameters.max_burst = 10**6
        for _ in range(count):
            peer.engine.queue(association.id, b"x", info(lifetime=500), peer.now)
        peer.engine.flush(association.id, peer.now)
        peer.take()
        assert len(association.outbound.outstanding) == count
        costs.append(lines(functools.partial(peer.engine.handle_timeout, 1.1)) / count)
        assert len(association.outbound.failed) == 0
        assert association.outbound.messages == 0
    assert abs(costs[1] - costs[0]) <= costs[0] / 5


@pytest.mark.parametrize("streams", [1, 50])
def test_a_sack_while_the_peer_is_told_what_to_skip(streams: int) -> None:
    """Each SACK is answered by a FORWARD TSN, and the peer may acknowledge little by little."""
    costs = []
    for count in (800, 8000):
        peer = ScriptedPeer(rwnd=10**6, heartbeats=False, outbound_streams=streams)
        peer.parameters = [Tlv(wire.ParameterType.FORWARD_TSN_SUPPORTED, b"")]
        peer.learn(peer.begin(inbound_streams=streams))
        peer.give(peer.cookie_echo())
        association = peer.association
        association.paths[B].cwnd = 10**6
        association.parameters.max_burst = 10**6
        for number in range(count):
            how = info(number % streams, lifetime=500)
            peer.engine.queue(association.id, b"x", how, peer.now)
        peer.engine.flush(association.id, peer.now)
        peer.take()
        peer.advance(1.1)
        assert association.outbound.advanced == association.outbound.cumulative + count
        costs.append(cost_of_sacks(peer, [peer.sack_first(n, rwnd=10**6) for n in range(1, 21)]))
    assert abs(costs[1] - costs[0]) <= costs[0] / 10


@pytest.mark.parametrize("sent", [False, True])
def test_giving_up_messages_for_more_urgent_ones(sent: bool) -> None:
    """Each costs the same, however many wait."""
    costs = []
    for count in (800, 8000):
        peer = sending(count // 2, send_buffer_messages=count) if sent else ScriptedPeer()
        if not sent:
            peer.accept()
            peer.association.parameters.send_buffer_messages = count
            peer.association.paths[B].cwnd = 0
        id, association = peer.association.id, peer.association
        for number in range(count - association.outbound.messages):
            peer.engine.queue(id, b"x", info(priority=5 + number % 100), peer.now)
        urgent = functools.partial(peer.engine.queue, id, b"x", info(priority=1), peer.now)
        costs.append(sum(lines(urgent) for _ in range(count // 3)) / count)
        assert association.outbound.messages == count
        assert len(association.outbound.queue) < 2 * count
    assert abs(costs[1] - costs[0]) <= costs[0] / 5


def test_a_small_message_behind_thousands_that_wait() -> None:
    costs = []
    for count in (800, 8000):
        peer = ScriptedPeer(no_delay=False)
        association = peer.accept()
        peer.send(b"x")
        association.outbound.rwnd = 0
        for _ in range(count):
            peer.engine.queue(association.id, b"x", info(), peer.now)
        costs.append(lines(functools.partial(peer.send, b"x")))
    assert abs(costs[1] - costs[0]) <= costs[0] / 10


# -- what comes out of order -------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("flags", [wire.WHOLE | wire.UNORDERED, wire.WHOLE, 0])
def test_a_chunk_that_comes_while_others_are_missing(every: int, flags: int) -> None:
    """It costs the same however many have come before it, with a gap behind each or with one."""
    costs = []
    for count in (400, 4000):
        peer = ScriptedPeer(sack_delay=0.0)
        peer.accept()

        def give(first: int, last: int, peer: ScriptedPeer = peer) -> None:
            for number in range(first, last):
                peer.give(peer.data(tsn=101 + every * number, ssn=number + 1, flags=flags))

        give(0, count)
        costs.append(lines(functools.partial(give, count, count + 10)))
    # Without gaps in between, a SACK has one block; with them as many as fit.
    assert abs(costs[1] - costs[0]) <= costs[0] / 10
