"""What passes between an association and its peer is counted, without a count for each chunk."""

from __future__ import annotations

import dataclasses
from random import Random

import pytest

from trio_sctp._engine import wire
from trio_sctp._engine.path import Path
from trio_sctp._engine.wire import ParameterType, Tlv

from ..support.engines import A, B, info, parsed
from ..support.scripted_peer import ScriptedPeer
from .simulation import Pair

FORWARD_TSN = Tlv(ParameterType.FORWARD_TSN_SUPPORTED, b"")


class Watched(Pair):
    """Two hosts; what arrives is seen, and not only what leaves."""

    def __init__(self, seed: int, auth_chunks: tuple[int, ...], **link: float) -> None:
        self.arrived: dict[str, list[wire.Packet]] = {A: [], B: []}
        super().__init__(seed=seed, link=link, both={"auth_chunks": auth_chunks})

    def _arrived(self, data: bytes, source: str, destination: str, marked: bool = False) -> None:
        packet = parsed(data)
        if type(packet.chunks[0]) is not wire.Init:  # there is no association yet
            self.arrived[destination].append(packet)
        super()._arrived(data, source, destination, marked)

    def truth(self, address: str) -> dict[str, int]:
        """What the host with this address should have counted, from the wire."""
        packets = [
            one.packet
            for one in self.sent
            if one.route.local == address and not one.has(wire.InitAck)  # nor then
        ]
        sent = [chunk for packet in packets for chunk in packet.chunks]
        received = [chunk for packet in self.arrived[address] for chunk in packet.chunks]
        data_sent = [chunk.tsn for chunk in sent if isinstance(chunk, wire.Data)]
        data = [chunk.tsn for chunk in received if isinstance(chunk, wire.Data)]
        beats = [chunk for chunk in sent if isinstance(chunk, wire.Heartbeat)]
        answers = {chunk.info for chunk in received if isinstance(chunk, wire.HeartbeatAck)}
        return {
            "packets_sent": len(packets),
            "packets_received": len(self.arrived[address]),
            "data_chunks_sent": len(set(data_sent)),
            "data_chunks_received": len(set(data)),
            "control_chunks_sent": len(sent) - len(data_sent),
            "control_chunks_received": len(received) - len(data),
            "sacks_sent": sum(isinstance(chunk, wire.Sack) for chunk in sent),
            "sacks_received": sum(isinstance(chunk, wire.Sack) for chunk in received),
            "retransmitted": len(data_sent) - len(set(data_sent)),
            "duplicates": len(data) - len(set(data)),
            "out_of_order": _overtaking(data),
            "heartbeats_sent": len(beats),
            "heartbeats_answered": len(answers),
        }


def _overtaking(tsns: list[int]) -> int:
    """How many arrived for the first time while one before them was missing."""
    due = min(tsns)
    ahead: set[int] = set()
    for tsn in tsns:
        if tsn > due:
            ahead.add(tsn)
        while due in ahead or due == tsn:
            due += 1
    return len(ahead)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("auth_chunks", [(), (0, 3, 4, 5, 10)], ids=["", "authenticated"])
def test_all_that_is_on_the_wire_is_counted(seed: int, auth_chunks: tuple[int, ...]) -> None:
    """Packets get lost, come twice and overtake each other, in either direction."""
    pair = Watched(seed, auth_chunks, loss=0.1, duplication=0.1, reordering=0.1)
    random = Random(seed)
    for _ in range(200):
        pair.send(bytes(random.randrange(1, 3000)))
        pair.answer(bytes(random.randrange(1, 3000)))
        pair.run(0.02)
    pair.run(200)
    for association, address in ((pair.association, A), (pair.other, B)):
        counts = dataclasses.asdict(association.statistics())
        truth = pair.truth(address)
        assert {name: counts[name] for name in truth} == truth
        assert min(truth[name] for name in ("retransmitted", "duplicates", "out_of_order")) > 0
        assert counts["gaps"] > 0
        assert counts["max_rto"] >= 1000


def test_chunks_that_are_never_sent_are_not_counted() -> None:
    """A TSN stands for the rest of a message that is given up."""
    peer = ScriptedPeer(rwnd=3000)
    peer.accept(FORWARD_TSN)
    peer.send(bytes(10_000), info(lifetime=500))
    sent = peer.association.statistics().data_chunks_sent
    assert sent == sum(len(one.chunks(wire.Data)) for one in peer.sent)
    peer.advance(5.0)
    assert any(one.has(wire.ForwardTsn) for one in peer.sent)
    distinct = {chunk.tsn for one in peer.sent for chunk in one.chunks(wire.Data)}
    assert peer.association.statistics().data_chunks_sent == len(distinct)


def test_a_restart_counts_on() -> None:
    peer = ScriptedPeer()
    peer.accept()
    for count in range(1, 4):
        peer.give(peer.data(), peer.data())
        peer.send(b"one")
        peer.give(peer.sack_first(count))
    before = peer.association.statistics()
    assert (before.data_chunks_sent, before.data_chunks_received) == (3, 6)
    peer.tag, peer.tsn = 0x99, 7000
    peer.learn(peer.begin())
    peer.give(peer.cookie_echo())
    peer.give(peer.data())
    peer.send(b"one")
    after = peer.association.statistics()
    assert (after.data_chunks_sent, after.data_chunks_received) == (4, 7)
    assert (before.max_rto or 0) > 0 == after.max_rto  # its path is new
    for field in dataclasses.fields(before):
        if field.name == "max_rto":
            continue
        assert getattr(after, field.name) >= getattr(before, field.name)


def test_the_largest_timeout_is_remembered() -> None:
    pair = Pair()

    def largest() -> int | None:
        return pair.association.statistics().max_rto

    def now(path: Path) -> int:
        return round(path.rto * 1000)

    assert largest() == 0
    pair.cut(A)
    pair.send(b"lost")
    pair.run(8)
    peak = now(pair.path())
    assert largest() == peak > 1000
    pair.heal()
    for _ in range(50):
        pair.run(1)
        pair.send(b"found")
    assert now(pair.path()) < peak <= (largest() or 0)
