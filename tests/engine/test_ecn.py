"""Explicit congestion notification (RFC 3168; RFC 4960 appendix A)."""

from __future__ import annotations

from typing import Any

import pytest

from trio_sctp._engine import wire
from trio_sctp._engine.extensions import Extension
from trio_sctp._engine.tsn import MASK
from trio_sctp._engine.wire import ParameterType, Tlv
from trio_sctp._options import StatusState

from ..support.engines import FULL, MTU, A, B, Sent, payloads
from ..support.scripted_peer import ScriptedPeer
from .simulation import Pair

ECT_0 = 2
CAPABLE = Tlv(ParameterType.ECN_CAPABLE, b"")
SLOW: dict[str, Any] = {"bandwidth": 1e6, "delay": 0.02, "queue": 100, "marking": 10}
"""A link whose queue grows, and whose router marks packets rather than let it overflow."""


def send(pair: Pair, messages: int) -> None:
    for _ in range(messages):
        pair.send(bytes(FULL))


def agreed_peer() -> ScriptedPeer:
    peer = ScriptedPeer(ecn=True)
    peer.accept(CAPABLE)
    return peer


def echoes(sent: list[Sent]) -> list[int]:
    return [echo.lowest_tsn for one in sent for echo in one.chunks(wire.Ecne)]


# -- agreeing on it ----------------------------------------------------------------------------


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("theirs", [True, False])
def test_both_ends_have_to_offer_it(ours: bool, theirs: bool) -> None:
    pair = Pair(here={"ecn": ours}, there={"ecn": theirs})
    (init,) = pair.packets(wire.Init)[0].chunks(wire.Init)
    (ack,) = pair.packets(wire.InitAck)[0].chunks(wire.InitAck)
    assert (CAPABLE in init.parameters) is ours
    assert (CAPABLE in ack.parameters) is (ours and theirs)
    agreed = ours and theirs
    for association in pair.association, pair.other:
        assert bool(association.extensions & Extension.ECN) is agreed
    send(pair, 3)
    pair.run(1.0)
    assert {sent.tos for sent in pair.data()} == {ECT_0 if agreed else 0}


def test_it_is_off_unless_it_is_asked_for() -> None:
    pair = Pair(link=SLOW)
    send(pair, 200)
    pair.run(10.0)
    assert {sent.tos for sent in pair.sent} == {0}
    assert not pair.packets(wire.Ecne)


@pytest.mark.parametrize("chunk", [wire.ecne_chunk(1), wire.cwr_chunk(1)])
def test_where_it_is_not_agreed_on_its_chunks_are_unknown(chunk: bytes) -> None:
    """The two highest bits of their types say that the rest of the packet is not looked at."""
    peer = ScriptedPeer()
    peer.accept()
    assert peer.give(chunk, wire.heartbeat_chunk(b"x")) == []
    assert peer.give(peer.data(b"x"), marked=True)[0].kinds == [wire.Sack]


# -- which packets may be marked ---------------------------------------------------------------


def test_only_packets_with_new_data_may_be_marked() -> None:
    """RFC 3168, 6.1.4 to 6.1.6: a router drops the others, which is a sign of congestion too."""
    pair = Pair(both={"ecn": True})
    pair.drop = lambda sent: sent.has(wire.Data) and len(pair.data()) == 2
    send(pair, 6)
    pair.run(5.0)
    seen: set[int] = set()
    for sent in pair.sent:
        tsns = {data.tsn for data in sent.chunks(wire.Data)}
        assert sent.tos == (ECT_0 if tsns and not tsns & seen else 0)
        seen |= tsns
    assert len(pair.data()) == 7


def test_the_program_chooses_the_other_bits() -> None:
    pair = Pair(both={"ecn": True})
    pair.association.parameters.tos = 0xB8 | 1
    send(pair, 1)
    pair.run(1.0)
    assert {sent.tos for sent in pair.data()} == {0xB8 | ECT_0}


def test_a_zero_window_probe_may_not_be_marked() -> None:
    window = {"receive_window": 4 * FULL, "first_window": 4 * FULL}
    pair = Pair(both={"ecn": True}, there=window)
    pair.reading.discard(pair.b)
    send(pair, 10)
    pair.run(100.0)
    probes = pair.data(A)[-2:]
    assert probes[1].time - probes[0].time > 1.0
    assert {sent.tos for sent in probes} == {0}


# -- marks -------------------------------------------------------------------------------------


def test_marks_keep_a_queue_short_at_no_cost() -> None:
    """Beside a sender without them, the queue is short, and nothing is lost; it is as fast."""
    seconds: list[float] = []
    round_trips: list[float] = []
    for ecn in True, False:
        pair = Pair(link=SLOW, both={"ecn": ecn})
        send(pair, 400)
        start = pair.now
        pair.run_until(lambda pair=pair: pair.association.outbound.empty)  # type: ignore[misc]
        seconds.append(pair.now - start)
        round_trips.append(pair.path().srtt)
        assert len(payloads(pair.events[pair.b])) == 400
        assert bool(pair.packets(wire.Ecne, B)) is bool(pair.packets(wire.Cwr, A)) is ecn
        assert bool(pair.association.outbound.retransmitted) is not ecn
    assert round_trips[0] < round_trips[1] / 2
    assert seconds[0] < 1.1 * seconds[1]


def test_an_echo_goes_with_each_sack_until_the_sender_has_answered() -> None:
    peer = agreed_peer()
    tsn = peer.tsn
    assert echoes(peer.give(peer.data(b"0"), peer.data(b"1"), marked=True)) == [tsn]
    assert echoes(peer.advance(1.0)) == []
    later = peer.give(peer.data(b"2")) + peer.give(peer.data(b"3"))
    assert later
    assert set(echoes(later)) == {tsn}
    # Of the next mark, the lowest TSN is that of its own packet.
    assert echoes(peer.give(peer.data(b"4"), marked=True)) == [tsn + 4]
    peer.give(wire.cwr_chunk(tsn))  # the answer to the first
    assert echoes(peer.give(peer.data(b"5")) + peer.give(peer.data(b"6")))
    peer.give(wire.cwr_chunk(tsn + 4))
    rest = peer.give(peer.data(b"7")) + peer.give(peer.data(b"8"))
    assert rest
    assert echoes(rest) == []


def test_an_echo_goes_with_a_sack_that_goes_with_data() -> None:
    peer = agreed_peer()
    peer.give(peer.data(b"0"), marked=True)
    peer.give(peer.data(b"1"))
    (answer,) = peer.send(b"x")
    assert answer.kinds == [wire.Sack, wire.Ecne, wire.Data]


def test_what_carries_no_data_is_not_echoed() -> None:
    peer = agreed_peer()
    assert echoes(peer.give(wire.heartbeat_chunk(b"x"), marked=True)) == []
    assert echoes(peer.give(peer.data(b"0"))) == []


def test_an_echo_halves_the_window_once_for_all_that_is_under_way() -> None:
    peer = agreed_peer()
    for _ in range(40):
        peer.send(bytes(FULL))
    while peer.association.primary.cwnd < 20 * MTU:  # type: ignore[union-attr]
        for _ in range(40):
            peer.send(bytes(FULL))
        peer.give(peer.sack(peer.association.outbound.next_tsn - 1))
    path = peer.association.primary
    assert path is not None
    for _ in range(40):
        peer.send(bytes(FULL))
    outbound = peer.association.outbound
    first, last, before = outbound.cumulative + 1, outbound.next_tsn - 1, path.cwnd
    for tsn in first, last, first + 1:
        (answer,) = peer.give(wire.ecne_chunk(tsn & MASK))
        assert answer.get(wire.Cwr).lowest_tsn == tsn
        assert path.cwnd == path.ssthresh == before // 2
    peer.give(peer.sack(last))
    later = outbound.next_tsn - 1
    assert later > last
    before = path.cwnd
    peer.give(wire.ecne_chunk(later & MASK))
    assert path.cwnd == before // 2


@pytest.mark.parametrize("echo_first", [True, False])
def test_a_mark_and_a_loss_among_what_is_under_way_halve_the_window_once(echo_first: bool) -> None:
    peer = agreed_peer()
    path = peer.association.primary
    assert path is not None
    path.cwnd = path.ssthresh = 20 * MTU
    peer.association.parameters.max_burst = 0
    for _ in range(20):
        peer.send(bytes(FULL))
    outbound = peer.association.outbound
    first, last = outbound.cumulative + 1, outbound.next_tsn - 1
    echo = wire.ecne_chunk((first + 1) & MASK)
    missing = [peer.sack((first - 1) & MASK, [(2, end)]) for end in (2, 3, 4, 5)]
    for chunk in [echo, *missing] if echo_first else [*missing, echo]:
        peer.give(chunk)
    assert outbound.retransmitted == 1
    assert path.cwnd == path.ssthresh == 10 * MTU
    # Of what was sent afterwards, a loss counts anew.
    peer.give(peer.sack(last & MASK))
    for _ in range(20):
        peer.send(bytes(FULL))
    before = path.cwnd
    for end in 2, 3, 4, 5:
        peer.give(peer.sack(last & MASK, [(2, end)]))
    assert path.cwnd == before // 2


def test_a_small_window_does_not_grow_by_an_echo() -> None:
    peer = agreed_peer()
    peer.send(b"x")
    path = peer.association.primary
    assert path is not None
    path.cwnd = MTU
    peer.give(wire.ecne_chunk(peer.association.outbound.next_tsn - 1))
    assert path.cwnd == MTU


def test_an_echo_of_what_was_not_sent_is_ignored() -> None:
    peer = agreed_peer()
    path = peer.association.primary
    assert path is not None
    before = path.cwnd
    for offset in 0, 1, 2**30:
        assert (
            peer.give(wire.ecne_chunk((peer.association.outbound.next_tsn + offset) & MASK)) == []
        )
    assert path.cwnd == before


def test_many_echoes_in_a_packet_have_one_answer() -> None:
    peer = agreed_peer()
    peer.send(b"x")
    tsn = peer.association.outbound.next_tsn - 1
    (answer,) = peer.give(*[wire.ecne_chunk(tsn)] * 200)
    assert answer.kinds == [wire.Cwr]


@pytest.mark.parametrize("kind", [wire.ChunkType.ECNE, wire.ChunkType.CWR])
@pytest.mark.parametrize("size", [0, 3, 5, 8])
def test_chunks_of_a_wrong_length_are_ignored(kind: int, size: int) -> None:
    peer = agreed_peer()
    peer.give(peer.data(b"0"), marked=True)
    assert peer.give(wire.chunk(kind, bytes(size))) == []
    assert peer.state() is StatusState.ESTABLISHED
