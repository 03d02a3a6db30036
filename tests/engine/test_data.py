"""User data: acknowledgements, windows, fragments, streams (RFC 9260 section 6)."""

from __future__ import annotations

import itertools
import struct
from math import inf

import pytest

from trio_sctp._engine import Engine, Parameters, Route, wire
from trio_sctp._engine.parts import CHUNK_COST
from trio_sctp._engine.path import Path
from trio_sctp._engine.tsn import MASK
from trio_sctp._engine.wire import (
    FIRST,
    LAST,
    UNORDERED,
    WHOLE,
    Cause,
    ChunkType,
    ParameterType,
    Tlv,
)
from trio_sctp._options import StatusState
from trio_sctp._values import (
    AssociationState,
    Message,
    Piece,
    RemoteError,
)

from ..support.engines import (
    B2,
    FULL,
    MTU,
    PEER_PORT,
    PORT,
    A,
    B,
    Sent,
    ends,
    failures,
    info,
    payloads,
)
from ..support.scripted_peer import ScriptedPeer
from .simulation import Pair

OVERHEAD = CHUNK_COST + wire.DATA_OVERHEAD


def sacks(sent: list[Sent]) -> list[wire.Sack]:
    return [sack for packet in sent for sack in packet.chunks(wire.Sack)]


def tsns(peer: ScriptedPeer, sent: list[Sent]) -> list[int]:
    """The TSNs of DATA chunks, counted from 1."""
    return [data.tsn - peer.their_tsn + 1 for packet in sent for data in packet.chunks(wire.Data)]


def begun(peer: ScriptedPeer | None = None) -> ScriptedPeer:
    """An association whose first DATA chunk is acknowledged."""
    peer = peer or ScriptedPeer()
    peer.accept()
    peer.give(peer.unordered())
    peer.events()
    return peer


# -- SACK (6.2) --------------------------------------------------------------------------------


def test_the_first_packet_is_acknowledged_at_once() -> None:
    """Section 5.1."""
    peer = ScriptedPeer()
    peer.accept()
    assert len(sacks(peer.give(peer.unordered()))) == 1
    assert peer.give(peer.unordered()) == []


def test_every_second_packet_is_acknowledged() -> None:
    peer = begun()
    for _ in range(5):
        assert peer.give(peer.unordered()) == []
        (sack,) = sacks(peer.give(peer.unordered()))
        assert sack.cumulative_tsn == peer.tsn - 1


def test_every_second_packet_not_every_second_chunk() -> None:
    peer = begun()
    assert peer.give(peer.unordered(), peer.unordered(), peer.unordered()) == []
    assert len(sacks(peer.give(peer.unordered()))) == 1


def test_a_packet_is_acknowledged_within_200_ms() -> None:
    peer = begun()
    assert peer.give(peer.unordered()) == []
    assert peer.advance(0.199) == []
    (packet,) = peer.advance(0.002)
    assert packet.time == 0.2
    assert packet.chunks(wire.Sack)[0].cumulative_tsn == peer.tsn - 1
    assert sacks(peer.advance(10.0)) == []


def test_a_gap_is_told_of_at_once() -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.tsn += 1
    (sack,) = sacks(peer.give(peer.unordered()))
    assert sack.gaps == [(2, 2)]
    (sack,) = sacks(peer.give(peer.unordered()))
    assert sack.gaps == [(2, 3)]


def test_a_gap_that_is_filled_is_told_of_at_once() -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.give(peer.unordered(tsn=101))
    (sack,) = sacks(peer.give(peer.unordered(tsn=100)))
    assert (sack.cumulative_tsn, sack.gaps) == (101, [])


def test_a_duplicate_is_told_of_at_once() -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.give(peer.unordered())
    peer.advance(1.0)
    (sack,) = sacks(peer.give(peer.unordered(tsn=peer.tsn - 1)))
    assert sack.duplicates == [peer.tsn - 1]
    assert payloads(peer.events()) == [b"x"]


def test_the_i_bit_asks_for_an_acknowledgement_at_once() -> None:
    peer = begun()
    assert len(sacks(peer.give(peer.unordered(immediate=True)))) == 1


def test_duplicates_in_a_sack_are_limited() -> None:
    peer = ScriptedPeer()
    peer.accept()
    first = peer.unordered(tsn=100)
    (sack,) = sacks(peer.give(*[first] * 60))
    assert len(sack.duplicates) == 59
    (sack,) = sacks(peer.give(*[first] * 62, *[peer.unordered(tsn=100)] * 3))
    assert len(sack.duplicates) == Parameters().max_duplicates


def test_an_acknowledgement_goes_to_where_the_data_came_from() -> None:
    peer = ScriptedPeer()
    peer.accept(wire.address_parameter(B2))
    second = Route(A, B2)
    for packet in peer.advance(2.0):
        for heartbeat in packet.chunks(wire.Heartbeat):
            peer.give(wire.heartbeat_chunk(heartbeat.info, ack=True), route=packet.route)
    for route in (second, peer.route, second):
        (packet,) = peer.give(peer.unordered(immediate=True), route=route)
        assert packet.has(wire.Sack)
        assert packet.route == route


def test_the_gap_list_is_cut_to_the_path_mtu() -> None:
    peer = ScriptedPeer()
    peer.accept()
    last: list[Sent] = []
    for number in range(600):
        last = peer.give(peer.unordered(tsn=102 + 2 * number))
    (packet,) = last
    assert packet.size <= MTU
    (sack,) = sacks(last)
    assert sack.gaps == [(2 * n + 3, 2 * n + 3) for n in range(len(sack.gaps))]
    assert len(sack.gaps) == (MTU - 12 - 16) // 4


def test_a_delayed_acknowledgement_shares_a_packet_with_data() -> None:
    peer = begun()
    peer.give(peer.unordered())
    (packet,) = peer.send(b"answer")
    assert [type(chunk) for chunk in packet.packet.chunks] == [wire.Sack, wire.Data]
    assert sacks(peer.advance(1.0)) == []


def test_a_delayed_acknowledgement_does_not_delay_full_packets() -> None:
    """It would leave no room for a full packet, which has to leave at once all the same."""
    peer = begun()
    peer.give(peer.unordered())
    left = peer.send(bytes(2 * FULL))
    assert len(sacks(left)) == 1
    assert tsns(peer, left) == [1, 2]
    assert all(packet.size <= MTU for packet in left)


def test_nothing_is_acknowledged_twice() -> None:
    pair = Pair()
    for _ in range(50):
        pair.send(bytes(3000))
        pair.run(0.5)
    arrived = len(pair.data(A))
    assert len(pair.packets(wire.Sack, B)) <= arrived


@pytest.mark.parametrize("ahead", [2**16 - 1, 2**16, 2**16 + 1, 2**17, 2**31 - 1])
def test_what_no_gap_block_can_name_is_not_acknowledged(ahead: int) -> None:
    """Its 16 bits would name another chunk."""
    peer = begun()
    at = (peer.tsn - 1 + ahead) & MASK
    left = peer.give(peer.unordered(tsn=at)) + peer.advance(1.0)
    told = [gap for sack in sacks(left) for gap in sack.gaps]
    assert set(told) <= ({(ahead, ahead)} if ahead < 2**16 else set())
    # What has not come is not acknowledged later, either.
    (answer,) = peer.give(peer.unordered(), peer.unordered(immediate=True))
    (sack,) = answer.chunks(wire.Sack)
    assert sack.cumulative_tsn == peer.tsn - 1
    assert all(first >= ahead - 2 for first, _ in sack.gaps)


def test_what_there_is_to_receive() -> None:
    peer = begun()
    peer.engine.take_news()
    assert (peer.engine.has_events(), peer.engine.unread()) == (False, 0)
    peer.give(peer.data())
    assert (peer.engine.has_events(), peer.engine.unread()) == (True, 1)
    assert peer.engine.take_news() == {None}
    assert peer.engine.take_news() == set()
    peer.engine.peel_off(peer.association.id)
    assert not peer.engine.has_events()
    assert peer.engine.has_events(peer.association.id)
    peer.give(peer.data())
    assert peer.engine.take_news() == {peer.association.id}
    assert peer.engine.unread(peer.association.id) == 2
    assert len(peer.engine.receive(9, peer.now, peer.association.id)) == 2
    assert not peer.engine.has_events(peer.association.id)


# -- what SACKs say (6.2.1, 7.2.4) -------------------------------------------------------------


def several(count: int = 8, peer: ScriptedPeer | None = None) -> ScriptedPeer:
    """An engine that has sent ``count`` packets of 100 bytes."""
    peer = peer or ScriptedPeer()
    peer.accept()
    for _ in range(count):
        assert len(peer.send(bytes(100))) == 1
    return peer


def test_three_missing_reports_have_a_chunk_retransmitted() -> None:
    peer = several()
    assert tsns(peer, peer.give(peer.sack(gaps=[(2, 2)]))) == []
    assert tsns(peer, peer.give(peer.sack(gaps=[(2, 3)]))) == []
    assert tsns(peer, peer.give(peer.sack(gaps=[(2, 4)]))) == [1]


def test_a_sack_that_comes_again_is_no_further_report() -> None:
    peer = several()
    for _ in range(5):
        assert tsns(peer, peer.give(peer.sack(gaps=[(2, 2)]))) == []


def test_only_chunks_before_the_highest_newly_acknowledged_are_reported_missing() -> None:
    peer = several()
    peer.give(peer.sack(gaps=[(4, 4)]))  # 1, 2, 3: once
    peer.give(peer.sack(gaps=[(2, 2), (4, 4)]))  # 1: twice; says nothing of 3
    assert tsns(peer, peer.give(peer.sack(gaps=[(2, 2), (4, 5)]))) == [1]
    assert tsns(peer, peer.give(peer.sack(gaps=[(2, 2), (4, 6)]))) == [3]


def test_in_fast_recovery_every_advance_reports_all_that_is_missing() -> None:
    peer = several()
    peer.give(peer.sack(gaps=[(2, 2)]))
    peer.give(peer.sack(gaps=[(2, 2), (4, 4)]))  # 3: once
    assert tsns(peer, peer.give(peer.sack(gaps=[(2, 2), (4, 5)]))) == [1]  # 3: twice
    # 1 has arrived.  Nothing behind 3 is new, but the cumulative TSN advances.
    assert tsns(peer, peer.give(peer.sack_first(2, gaps=[(2, 3)]))) == [3]


def test_a_chunk_is_retransmitted_fast_only_once() -> None:
    peer = several()
    for last in (2, 3, 4):
        peer.give(peer.sack(gaps=[(2, last)]))
    for last in (5, 6, 7, 8):
        assert tsns(peer, peer.give(peer.sack(gaps=[(2, last)]))) == []
    assert tsns(peer, peer.advance(1.1)) == [1]  # T3


def test_nor_is_it_after_a_timeout() -> None:
    """A chunk that left before T3-rtx expired says nothing new when it is acknowledged later."""
    peer = several()
    for last in (2, 3, 4):
        peer.give(peer.sack(gaps=[(2, last)]))
    assert tsns(peer, peer.advance(1.1)) == [1, 5, 6, 7, 8]
    for last in (5, 6, 7, 8):
        assert tsns(peer, peer.give(peer.sack(gaps=[(2, last)]))) == []
    assert peer.association.paths[B].cwnd == MTU


def full_window(peer: ScriptedPeer) -> Path:
    """Put as many full packets in flight as fit into a cwnd of 20,000 bytes."""
    association = peer.accept()
    path = association.paths[B]
    path.cwnd = 20_000
    while path.flight < path.cwnd:
        assert peer.send(bytes(FULL))
    return path


def test_a_later_loss_in_fast_recovery_waits_for_cwnd() -> None:
    """Section 7.2.4, 3: only the first retransmission ignores cwnd."""
    peer = ScriptedPeer()
    path = full_window(peer)
    assert tsns(peer, peer.give(peer.sack(gaps=[(2, 2)]))) == []
    assert tsns(peer, peer.give(peer.sack(gaps=[(2, 2), (4, 4)]))) == []  # 3: once
    assert tsns(peer, peer.give(peer.sack(gaps=[(2, 2), (4, 5)]))) == [1]  # 3: twice
    assert (path.cwnd, path.flight > path.cwnd) == (10_000, True)
    assert tsns(peer, peer.give(peer.sack(gaps=[(2, 2), (4, 6)]))) == []
    assert path.flight > path.cwnd
    assert tsns(peer, peer.give(peer.sack(gaps=[(2, 2), (4, 10)]))) == [3]


def test_a_loss_that_the_end_of_fast_recovery_comes_with_is_another_one() -> None:
    """Section 7.2.4, 6: from then on cwnd may be reduced again."""
    peer = several()
    path = peer.association.paths[B]
    path.cwnd = 40_000
    for last in (2, 3, 4):
        peer.give(peer.sack(gaps=[(2, last)]))
    assert (path.cwnd, path.exit_point) == (20_000, peer.their_tsn + 7)
    for _ in range(4):
        peer.send(bytes(100))  # 9 to 12
    peer.give(peer.sack(gaps=[(2, 8), (10, 10)]))  # 9: once
    peer.give(peer.sack(gaps=[(2, 8), (10, 11)]))
    assert path.fast_recovery
    assert tsns(peer, peer.give(peer.sack_first(8, gaps=[(2, 4)]))) == [9]
    assert (path.cwnd, path.fast_recovery) == (10_000, True)
    assert path.exit_point == peer.their_tsn + 11


def test_new_data_does_not_overtake_a_retransmission_that_did_not_fit() -> None:
    """Section 6.1 C."""
    peer = ScriptedPeer()
    peer.accept()
    peer.association.paths[B].cwnd = FULL + 50
    for size in (100, FULL):
        assert len(peer.send(bytes(size))) == 1
    assert peer.send(bytes(100)) == []  # cwnd is used up
    assert tsns(peer, peer.advance(1.1)) == [1]
    assert tsns(peer, peer.give(peer.sack_first(1))) == [2, 3]


def test_congestion_avoidance_grows_a_window_that_was_in_use() -> None:
    """Section 7.2.2: cwnd or more was in flight."""
    for in_flight, grown in ((9999, 10_000), (10_000, 10_000 + MTU)):
        path = Path(Route(A, B), PEER_PORT, Parameters(), confirmed=True)
        path.ssthresh, path.cwnd = 6000, 10_000
        path.acknowledged(10_000, in_flight, True)
        assert path.cwnd == grown


def test_t3_is_not_restarted_for_later_chunks() -> None:
    """Section 6.3.2, R3: else a lost retransmission would wait as long as others arrive."""
    peer = several(3)
    peer.give(peer.sack_first(1))
    started = peer.now
    for last in range(3, 8):
        peer.advance(0.19)
        peer.give(peer.sack(gaps=[(2, last - 1)]))
        if last == 5:
            started = peer.now  # it was retransmitted fast
        peer.send(bytes(100))
    left = [packet for packet in peer.advance(3.0) if 2 in tsns(peer, [packet])]
    assert left[0].time == pytest.approx(started + 1.0)


def test_a_sack_that_was_overtaken_is_ignored() -> None:
    peer = several(4)
    peer.give(peer.sack_first(4))
    before = peer.association.outbound.rwnd
    peer.give(peer.sack_first(2, rwnd=5))
    assert peer.association.outbound.rwnd == before
    assert peer.association.outbound.empty


def test_a_sack_for_what_was_not_sent_ends_the_association() -> None:
    peer = several(2)
    (answer,) = peer.give(peer.sack_first(3))
    assert answer.chunks(wire.Abort)[0].causes[0].type == Cause.PROTOCOL_VIOLATION
    assert ends(peer.events())[0].state is AssociationState.COMM_LOST


def test_what_the_peer_goes_back_on_is_sent_again() -> None:
    """Section 6.2.1, D iii."""
    peer = several(3)
    peer.give(peer.sack(gaps=[(2, 3)]))
    peer.give(peer.sack_first(1))
    assert tsns(peer, peer.advance(1.1)) == [2, 3]


@pytest.mark.parametrize("earlier", [[(2, 3)], [(2, 5)]])
def test_also_when_it_has_taken_what_earlier_gap_blocks_named(
    earlier: list[tuple[int, int]],
) -> None:
    peer = several(9)
    peer.give(peer.sack(gaps=earlier))
    peer.give(peer.sack_first(4, gaps=[(2, 3)]))
    peer.advance(0.5)
    peer.give(peer.sack_first(4, gaps=[(2, 2)]))
    assert 7 in tsns(peer, peer.advance(5.0))


def test_gap_blocks_beyond_what_was_sent_do_no_harm() -> None:
    peer = several(3)
    peer.give(peer.sack(gaps=[(2, 65535), (65535, 2), (0, 0)]))
    peer.give(peer.sack_first(3))
    assert peer.association.outbound.empty
    assert peer.association.outbound.flight == 0


# -- the window (6.2, 6.1) ---------------------------------------------------------------------


def test_the_window_begins_small_and_grows_with_what_is_seen_to_fit() -> None:
    peer = ScriptedPeer(receive_window=100_000, first_window=100_000 // 64)
    assert peer.begin().rwnd == 100_000 // 64
    peer = ScriptedPeer(receive_window=100_000, first_window=100_000 // 64)
    peer.accept()
    (sack,) = sacks(peer.give(peer.unordered(bytes(FULL), immediate=True)))
    assert sack.rwnd == 100_000 - FULL - OVERHEAD
    for _ in range(9):
        (sack,) = sacks(peer.give(peer.unordered(bytes(FULL), immediate=True)))
    assert sack.rwnd == 100_000 - FULL - OVERHEAD - 9 * FULL  # the edge does not move back


def test_of_small_messages_so_many_are_promised_room_as_fill_twice_the_window() -> None:
    peer = ScriptedPeer(receive_window=1_000_000, first_window=1_000_000 // 64)
    peer.accept()
    for _ in range(100):
        peer.give(*[peer.unordered(bytes(10)) for _ in range(10)])
    cost = 10 + OVERHEAD
    (sack,) = sacks(peer.give(peer.unordered(bytes(10), immediate=True)))
    told = (2_000_000 - 1001 * cost) * 10 // cost
    assert told - 1280 < sack.rwnd <= told


def test_a_flood_of_one_byte_messages_cannot_hold_more_than_twice_the_window() -> None:
    peer = ScriptedPeer(receive_window=200_000, first_window=200_000 // 64)
    peer.accept()
    for _ in range(10_000):
        peer.give(peer.data(b"x"))
    held = len(peer.events())
    assert held <= 400_000 // (1 + OVERHEAD)
    assert sacks(peer.sent)[-1].rwnd == 0


@pytest.mark.parametrize("size", [100, FULL, 16384])
def test_what_a_window_has_promised_is_taken(size: int) -> None:
    """The peer does not count our overhead, so its packets are not dropped because of it."""
    pair = Pair(there={"receive_window": 16384})
    messages = [bytes(size)] * (200_000 // size)
    for message in messages:
        pair.send(message)
    pair.run(60.0)
    assert payloads(pair.events[pair.b]) == messages
    tsns = [data.tsn for sent in pair.data(A) for data in sent.chunks(wire.Data)]
    assert len(tsns) == len(set(tsns))


def test_no_small_window_is_promised_anew() -> None:
    """It would be a silly window, which keeps all packets small for ever.  What was promised is
    told however little of it is left."""
    peer = ScriptedPeer(receive_window=20_000)
    peer.accept()
    edge = 1500
    told = set()
    for number in range(60):
        (sack,) = sacks(peer.give(peer.unordered(bytes(700), immediate=True)))
        told.add(sack.rwnd)
        before, edge = edge, (sack.cumulative_tsn - 99) * 700 + sack.rwnd
        assert edge == before or edge - before >= MTU
        if sack.rwnd < 700:
            break
        if number % 5 == 4:
            peer.engine.receive(2, peer.now)
    assert 0 < min(told) < 700


def test_what_is_offered_fits() -> None:
    """Chunks that are refused would look like lost ones."""
    peer = ScriptedPeer(receive_window=20_000)
    peer.accept()
    while True:
        (sack,) = sacks(peer.give(peer.unordered(bytes(FULL), immediate=True)))
        assert sack.cumulative_tsn == peer.tsn - 1
        if sack.rwnd < FULL:
            break
    (sack,) = sacks(peer.give(peer.unordered(bytes(sack.rwnd), immediate=True)))
    assert sack == wire.Sack(peer.tsn - 1, 0, [], [])


def test_what_is_beyond_the_window_is_refused_and_answered() -> None:
    """The SACK tells of the window as it is now (6.1 A, 6.2)."""
    peer = ScriptedPeer(receive_window=20_000)
    peer.accept()
    for _ in range(15):
        peer.give(peer.unordered(bytes(FULL)))
    last = sacks(peer.sent)[-1]
    assert last.rwnd < FULL
    probe = peer.unordered(bytes(FULL))
    for _ in range(2):
        assert sacks(peer.give(probe)) == [last]
    assert len(peer.events()) == 15
    peer.give(probe)
    assert len(peer.events()) == 1


def test_unread_data_closes_the_window_and_reading_opens_it() -> None:
    peer = ScriptedPeer(receive_window=20_000)
    peer.accept()
    for _ in range(15):
        peer.give(peer.unordered(bytes(FULL)))
    assert sacks(peer.sent)[-1].rwnd < FULL
    assert len(peer.events()) == 15
    assert sacks(peer.take())[-1].rwnd == 20_000
    (sack,) = sacks(peer.give(peer.unordered(immediate=True)))
    assert sack.rwnd == 20_000 - 1


def test_reading_a_little_is_not_told_of() -> None:
    peer = ScriptedPeer(receive_window=20_000)
    peer.accept()
    for _ in range(14):
        peer.give(peer.unordered(bytes(FULL)))
    peer.advance(1.0)
    peer.engine.receive(2, peer.now)
    assert peer.take() == []
    peer.engine.receive(4, peer.now)
    (sack,) = sacks(peer.take())
    assert sack.rwnd >= 5000


def test_a_full_window_still_takes_the_chunk_that_fills_a_gap() -> None:
    peer = ScriptedPeer(receive_window=20_000)
    peer.accept()
    for number in range(1, 40):
        peer.give(peer.data(bytes(FULL), tsn=100 + number, ssn=number))
    assert sacks(peer.sent)[-1].rwnd < FULL
    (sack,) = sacks(peer.give(peer.data(bytes(FULL), tsn=100, ssn=0)))
    assert sack.cumulative_tsn > 110
    assert len(peer.events()) > 10


@pytest.mark.parametrize(("more", "taken"), [(0, True), (1, False)])
def test_but_none_that_goes_beyond_it_by_more_than_the_window(more: int, taken: bool) -> None:
    window = 4096
    peer = ScriptedPeer(receive_window=window, first_window=window)
    peer.accept()
    peer.give(peer.data(bytes(1000), tsn=peer.tsn + 1, ssn=1))
    assert peer.association.inbound is not None
    left = peer.association.inbound.window
    (sack,) = sacks(peer.give(peer.data(bytes(left + window + more))))
    assert sack.cumulative_tsn == peer.tsn - 1 + (1 if taken else -1)


def test_what_a_gap_block_has_acknowledged_is_not_taken_back() -> None:
    """Section 6.2: a receiver should not, and some peers never send it again."""
    peer = ScriptedPeer(receive_window=20_000)
    peer.accept()
    for number in range(2, 40):  # the middle of a message
        peer.give(peer.data(bytes(FULL), tsn=100 + number, flags=0))
    before = sacks(peer.sent)[-1]
    assert before.rwnd < FULL
    ((_, end),) = before.gaps
    for tsn in (100, 101):
        (sack,) = sacks(peer.give(peer.data(bytes(FULL), tsn=tsn, flags=0 if tsn > 100 else 2)))
    assert sack.cumulative_tsn == 99 + end


def test_a_message_that_is_larger_than_the_window_comes_in_parts() -> None:
    pair = Pair(there={"receive_window": 20_000})
    message = bytes(range(256)) * 400
    pair.send(message)
    pair.send(b"next")
    pair.run(60.0)
    events = pair.events[pair.b]
    pieces = [event for event in events if isinstance(event, Piece)]
    assert len(pieces) > 1
    assert payloads(events) == [message, b"next"]
    last = next(event for event in events if isinstance(event, Message))
    assert {(p.message.stream, p.message.ssn) for p in pieces} == {(last.stream, last.ssn)}


def test_nothing_comes_between_the_parts_of_a_message() -> None:
    """RFC 6458 section 8.1.20: else programs could not tell what belongs together."""
    peer = ScriptedPeer(receive_window=5000)
    peer.accept()
    large = [bytes([number]) * FULL for number in range(5)]
    for number in range(3):
        peer.give(peer.data(large[number], tsn=100 + number, flags=0 if number else 2))
    (piece,) = peer.events()
    assert isinstance(piece, Piece)
    assert piece.message.data == large[0] + large[1] + large[2]
    peer.give(peer.data(b"other stream", tsn=105, stream=1))
    peer.give(peer.unordered(b"unordered", tsn=106))
    assert peer.events() == []
    peer.give(peer.data(large[3], tsn=103, flags=0))
    (piece,) = peer.events()
    assert isinstance(piece, Piece)
    peer.give(peer.data(large[4], tsn=104, flags=1))
    messages = [event for event in peer.events() if isinstance(event, Message)]
    assert [message.data for message in messages] == [large[4], b"other stream", b"unordered"]
    peer.give(peer.unordered(tsn=107, immediate=True))
    assert peer.association.inbound is not None
    assert peer.association.inbound.held == 0


def test_a_message_that_fits_comes_whole() -> None:
    pair = Pair()
    message = bytes(range(256)) * 400
    pair.send(message)
    pair.run(10.0)
    assert [e.data for e in pair.events[pair.b] if isinstance(e, Message)] == [message]


def test_no_more_is_sent_than_the_window_of_the_peer() -> None:
    peer = ScriptedPeer(rwnd=3000)
    peer.accept()
    left = peer.send(bytes(20_000))
    assert sum(len(d.payload) for packet in left for d in packet.chunks(wire.Data)) <= 3000
    # With nothing in flight, one packet may leave whatever the window, after an RTO (6.1 A).
    assert peer.give(peer.sack_first(2, rwnd=0)) == []
    assert tsns(peer, peer.advance(1.1)) == [3]
    assert peer.give(peer.sack_first(2, rwnd=0)) == []


def test_a_closed_window_is_probed_with_one_packet() -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.send(bytes(FULL))
    peer.give(peer.sack_first(1, rwnd=0))
    assert peer.send(bytes(5 * FULL)) == []
    assert peer.advance(0.9) == []
    assert tsns(peer, peer.advance(0.2)) == [2]
    assert tsns(peer, peer.advance(2.0)) == [2]
    assert tsns(peer, peer.advance(4.0)) == [2]
    peer.give(peer.sack_first(2, rwnd=50_000))
    assert tsns(peer, peer.sent)[-1] > 2


@pytest.mark.parametrize("told", [False, True])
def test_a_probe_that_the_closed_window_refused_leaves_again_when_it_opens(told: bool) -> None:
    """It says nothing of the network: neither cwnd nor RTO change, and no error is counted."""
    peer = ScriptedPeer(heartbeats=False)
    association = peer.accept()
    peer.send(bytes(FULL))
    peer.give(peer.sack_first(1, rwnd=0))
    path = association.paths[B]
    before = path.cwnd, path.ssthresh, path.rto
    peer.send(bytes(5 * FULL))
    for _ in range(50):
        if peer.advance(1.0) and told:
            peer.give(peer.sack_first(1, rwnd=0))
    assert (path.cwnd, path.ssthresh, path.rto) == before
    assert (association.error_count == 0) == told
    assert tsns(peer, peer.give(peer.sack_first(1, rwnd=50_000)))[:2] == [2, 3]


def test_a_probe_that_nobody_answers_is_an_error_of_the_path() -> None:
    peer = ScriptedPeer(association_max_retrans=3)
    peer.accept()
    peer.send(bytes(FULL))
    peer.give(peer.sack_first(1, rwnd=0))
    peer.send(b"x")
    peer.advance(60.0)
    assert not peer.engine.associations


def taken_back() -> ScriptedPeer:
    """A peer that shuts its window, with three packets under way for which it had promised room.

    They were not acknowledged before T3-rtx expired.
    """
    peer = ScriptedPeer(heartbeats=False)
    peer.accept()
    peer.send(bytes(FULL))
    peer.give(peer.sack_first(1, rwnd=50_000))
    assert tsns(peer, peer.send(bytes(3 * FULL))) == [2, 3, 4]
    peer.give(peer.sack_first(1, rwnd=0))
    assert tsns(peer, peer.advance(1.1)) == [2]
    return peer


def test_a_window_that_was_taken_back_is_probed_like_any_that_is_shut() -> None:
    """What waits leaves when it opens, not when an RTO that was doubled for minutes is over."""
    peer = taken_back()
    association = peer.association
    path = association.paths[B]
    peer.give(peer.sack_first(1, rwnd=0))
    before = path.cwnd, path.ssthresh, path.rto
    probes = []
    for _ in range(120):
        left = peer.advance(0.5)
        if left:
            probes.append(peer.now)
            assert tsns(peer, left) == [2]
            assert peer.give(peer.sack_first(1, rwnd=0)) == []
    waits = [round(later - earlier) for earlier, later in itertools.pairwise(probes)]
    assert waits == [4, 8, 16]
    assert (path.cwnd, path.ssthresh, path.rto) == before
    assert association.error_count == 0
    assert tsns(peer, peer.give(peer.sack_first(1, rwnd=50_000))) == [2]
    assert tsns(peer, peer.give(peer.sack_first(2, rwnd=50_000))) == [3, 4]


def test_a_probe_of_a_window_that_was_taken_back_is_one_chunk() -> None:
    peer = ScriptedPeer(heartbeats=False)
    peer.accept()
    for _ in range(3):
        peer.engine.queue(peer.association.id, b"small", info(), peer.now)
    peer.engine.flush(peer.association.id, peer.now)
    assert tsns(peer, peer.take()) == [1, 2, 3]
    peer.give(peer.sack(rwnd=0))
    assert tsns(peer, peer.advance(1.1)) == [1, 2, 3]
    peer.give(peer.sack(rwnd=0))
    assert tsns(peer, peer.advance(2.1)) == [1]
    assert tsns(peer, peer.give(peer.sack(rwnd=5))) == [1, 2, 3]


def test_what_is_lost_while_a_window_is_shut_counts_as_lost() -> None:
    """There was room for it, and the peer says nothing after T3-rtx has expired."""
    peer = taken_back()
    association = peer.association
    assert association.paths[B].rto == 2.0
    assert tsns(peer, peer.advance(2.1)) == [2]
    assert association.paths[B].rto == 4.0
    assert association.error_count > 0


def test_a_window_that_was_taken_back_may_be_shut_until_a_message_is_given_up() -> None:
    peer = ScriptedPeer(heartbeats=False)
    peer.accept(Tlv(ParameterType.FORWARD_TSN_SUPPORTED, b""))
    peer.send(b"mortal", info(lifetime=5000))
    peer.send(b"immortal")
    peer.give(peer.sack(rwnd=0))
    assert tsns(peer, peer.advance(1.1)) == [1, 2]
    peer.give(peer.sack(rwnd=0))
    assert tsns(peer, peer.advance(2.1)) == [1]
    peer.give(peer.sack(rwnd=0))
    left = peer.advance(4.1)
    assert [f.cumulative_tsn for packet in left for f in packet.chunks(wire.ForwardTsn)] == [
        peer.their_tsn
    ]
    assert tsns(peer, left) == [2]
    assert failures(peer.events())
    assert peer.association.outbound.messages == 1


def test_a_window_that_opens_before_it_is_probed_is_not_probed() -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.send(bytes(FULL))
    peer.give(peer.sack_first(1, rwnd=0))
    peer.send(b"x")
    peer.give(peer.sack_first(1, rwnd=50_000))
    peer.give(peer.sack_first(2, rwnd=0))
    peer.advance(10.0)
    assert peer.association.outbound.probe is None
    peer.send(b"y")
    assert tsns(peer, peer.sent) == [1, 2]


def test_no_chunk_is_larger_than_the_largest_window_of_the_peer() -> None:
    peer = ScriptedPeer(rwnd=1500, path_mtu=9000)
    peer.accept()
    (chunk,) = [c for packet in peer.send(bytes(8000)) for c in packet.chunks(wire.Data)]
    assert len(chunk.payload) == 1500


def test_a_window_that_stays_closed_is_no_failure_while_the_peer_says_so() -> None:
    """Section 6.1 A."""
    pair = Pair(there={"receive_window": 20_000})
    pair.reading.discard(pair.b)
    pair.send(bytes(FULL))
    for _ in range(30):
        pair.send(bytes(FULL))
    pair.run(3600.0)
    assert pair.up
    assert pair.association.error_count == 0
    pair.reading.add(pair.b)
    pair.run(120.0)
    assert len(payloads(pair.events[pair.b])) == 31


def test_a_peer_that_dies_with_its_window_closed_is_found_out() -> None:
    pair = Pair(there={"receive_window": 20_000})
    pair.reading.discard(pair.b)
    for _ in range(30):
        pair.send(bytes(FULL))
    pair.run(100.0)
    pair.cut(A)
    pair.run(1000.0)
    assert ends(pair.events[pair.a])[0].state is AssociationState.COMM_LOST


def test_the_send_buffer_is_limited_in_bytes() -> None:
    peer = ScriptedPeer(rwnd=2000, send_buffer=10_000)
    peer.accept()
    for _ in range(10):
        peer.send(bytes(1000))
    with pytest.raises(BlockingIOError):
        peer.send(b"x")
    while peer.association.outbound.buffered >= 10_000:
        peer.give(peer.sack_first(peer.association.outbound.next_tsn - peer.their_tsn))
    peer.send(b"x")


def test_the_send_buffer_is_limited_in_messages() -> None:
    peer = ScriptedPeer(rwnd=2000, send_buffer_messages=100)
    peer.accept()
    peer.rwnd = 0
    peer.send(b"x")
    peer.give(peer.sack_first(1))
    for _ in range(100):
        peer.send(b"x")
    with pytest.raises(BlockingIOError):
        peer.send(b"x")


def test_the_send_buffer_is_each_associations_own() -> None:
    peer = ScriptedPeer(rwnd=2000, send_buffer=5000)
    first = peer.accept()
    for _ in range(5):
        peer.send(bytes(1000))
    peer.route, peer.tag, peer.tsn = Route(A, B2), 5, 5
    peer.parameters = []
    ack = peer.begin()
    peer.give(wire.chunk(wire.ChunkType.COOKIE_ECHO, ack.parameters[0].value), tag=ack.tag)
    (second,) = [id for id in peer.engine.associations if id != first.id]
    peer.engine.send(second, bytes(1000), info(), peer.now)
    with pytest.raises(BlockingIOError):
        peer.engine.send(first.id, b"x", info(), peer.now)


# -- bursts and time-outs (6.1 D, 6.3) ---------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "at_once", "later"),
    [(1, 0, 1), (FULL - 1, 0, 1), (FULL, 1, 0), (FULL + 1, 1, 1), (3 * FULL, 3, 0)],
)
def test_with_nagle_less_than_a_packet_waits_until_all_is_acknowledged(
    size: int, at_once: int, later: int
) -> None:
    """Section 6.1: what fills a packet does not wait."""
    peer = ScriptedPeer(no_delay=False)
    peer.accept()
    (first,) = peer.send(b"leaves at once: nothing is outstanding")
    assert first.has(wire.Data)
    assert len(peer.send(bytes(size))) == at_once
    left = peer.give(peer.sack_first(1 + at_once))
    assert sum(len(packet.chunks(wire.Data)) for packet in left) == later


def test_with_nagle_the_rest_of_a_message_waits_as_well() -> None:
    peer = ScriptedPeer(no_delay=False, path_mtu=1500)
    peer.accept()
    whole = 1500 - wire.HEADER_SIZE - wire.DATA_OVERHEAD
    # 4096 and what has left have no bit in common: the rest is their difference, and nothing else.
    left = peer.send(bytes(4096))
    assert [len(chunk.payload) for packet in left for chunk in packet.chunks(wire.Data)] == [
        whole,
        whole,
    ]
    left = peer.give(peer.sack_first(2))
    assert [len(chunk.payload) for packet in left for chunk in packet.chunks(wire.Data)] == [
        4096 - 2 * whole
    ]


@pytest.mark.parametrize(
    ("mtu", "window"),
    [
        (512, 2048),
        (1101, 4404),
        (1280, 4404),
        (1500, 4404),
        (2202, 4404),
        (2203, 4406),
        (9000, 18000),
    ],
)
def test_the_congestion_window_begins_as_the_rfc_says(mtu: int, window: int) -> None:
    """Section 7.2.1: min(4 * PMDCS, max(2 * PMDCS, 4404))."""
    peer = ScriptedPeer(path_mtu=mtu)
    association = peer.accept()
    assert peer.engine.status(association.id).primary.cwnd == window


def test_no_more_than_four_packets_leave_at_once() -> None:
    """Max.Burst, section 6.1 D and 16."""
    peer = ScriptedPeer()
    association = peer.accept()
    association.paths[B].cwnd = 100_000
    left = peer.send(bytes(20 * FULL))
    assert len(left) == 4
    assert len(peer.give(peer.sack_first(4))) == 4


def test_the_retransmission_timeout_doubles_up_to_rto_max() -> None:
    pair = Pair(both={"rto_max": 20.0, "path_max_retrans": 20, "association_max_retrans": 7})
    for path in pair.association.paths.values():
        path.heartbeats, path.heartbeat_at = False, inf
    pair.cut(A)
    start = pair.now
    pair.send(b"nobody hears")
    pair.run(200.0)
    times = [round(sent.time - start, 3) for sent in pair.data(A, since=start)]
    assert times == [0, 1, 3, 7, 15, 31, 51, 71]
    (end,) = ends(pair.events[pair.a])
    assert end.state is AssociationState.COMM_LOST
    assert pair.a.next_deadline() is None
    assert len(failures(pair.events[pair.a])) == 1


# -- fragments (6.9) ---------------------------------------------------------------------------


def test_a_message_is_cut_to_the_path_mtu() -> None:
    peer = ScriptedPeer()
    peer.accept()
    left = peer.send(bytes(2 * FULL + 1))
    chunks = [data for packet in left for data in packet.chunks(wire.Data)]
    assert all(packet.size <= MTU for packet in left)
    assert [(c.first, c.last) for c in chunks] == [(True, False), (False, False), (False, True)]
    assert len({(c.stream, c.ssn) for c in chunks}) == 1
    assert [c.tsn - chunks[0].tsn for c in chunks] == [0, 1, 2]


def test_small_messages_share_a_packet() -> None:
    peer = ScriptedPeer()
    association = peer.accept()
    for number in range(5):
        peer.engine.queue(association.id, b"%d" % number, info(), peer.now)
    peer.engine.flush(association.id, peer.now)
    (packet,) = peer.take()
    assert [data.payload for data in packet.chunks(wire.Data)] == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]])
@pytest.mark.parametrize("unordered", [0, 4])
def test_fragments_are_joined_in_whatever_order_they_come(order: list[int], unordered: int) -> None:
    peer = ScriptedPeer()
    peer.accept()
    flags = [2, 0, 0, 1]
    for number in order:
        chunk = peer.data(b"%d" % number, tsn=100 + number, flags=flags[number] | unordered)
        peer.give(chunk)
    assert payloads(peer.events()) == [b"0123"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(5))))
def test_a_fragment_that_continues_nothing_keeps_no_message_from_its_end(
    order: tuple[int, ...],
) -> None:
    """In whatever order they come: the stray one stands before the first, or behind the last."""
    flags = [FIRST, 0, LAST]
    for stray, kind in (99, FIRST), (103, 0):
        peer = ScriptedPeer()
        peer.accept()
        fragments = [(100 + number, flags[number]) for number in range(3)] + [(stray, kind)]
        # The fifth is any chunk between them, so that others than the last run are extended, too.
        fragments.append((150, FIRST))
        for number in order:
            tsn, flag = fragments[number]
            peer.give(peer.data(b"%d" % tsn, tsn=tsn, flags=flag | UNORDERED))
        assert payloads(peer.events()) == [b"100101102"]


def test_a_first_fragment_before_the_message_ended_ends_the_association() -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.give(peer.data(stream=0, flags=2))
    (answer,) = peer.give(peer.data(stream=1, flags=1))
    assert answer.chunks(wire.Abort)[0].causes[0].type == Cause.PROTOCOL_VIOLATION


MALFORMED = {
    "SACK": wire.chunk(ChunkType.SACK, bytes(11)),
    "SACK, counts": wire.chunk(ChunkType.SACK, bytes(8) + b"\0\1\0\0"),
    "HEARTBEAT": wire.chunk(ChunkType.HEARTBEAT, b""),
    "SHUTDOWN": wire.chunk(ChunkType.SHUTDOWN, bytes(8)),
    "FORWARD TSN": wire.chunk(ChunkType.FORWARD_TSN, bytes(6)),
    "DATA": wire.chunk(ChunkType.DATA, bytes(11), WHOLE),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_chunk_ends_the_association(kind: str) -> None:
    """Section 3.3.10.13: with the right tag, it is no stranger's."""
    peer = begun()
    (answer,) = peer.give(MALFORMED[kind], peer.unordered(b"behind it"))
    (cause,) = answer.get(wire.Abort).causes
    assert cause.type == Cause.PROTOCOL_VIOLATION
    assert cause.value
    events = peer.events()
    assert [(e.state, e.error) for e in ends(events)] == [
        (AssociationState.COMM_LOST, Cause.PROTOCOL_VIOLATION)
    ]
    assert payloads(events) == []


@pytest.mark.parametrize(
    "chunk",
    [wire.chunk(ChunkType.HEARTBEAT_ACK, b"\0\2\0\4"), wire.chunk(ChunkType.ERROR, b"")],
    ids=["HEARTBEAT ACK", "ERROR"],
)
def test_a_malformed_chunk_that_asks_for_nothing_is_skipped(chunk: bytes) -> None:
    peer = begun()
    peer.give(chunk, peer.unordered(b"behind it"))
    assert peer.state() is StatusState.ESTABLISHED
    assert payloads(peer.events()) == [b"behind it"]


def test_a_malformed_init_ack_is_dropped_with_what_is_behind_it() -> None:
    """Section 5.2.3: an unexpected one is, well-formed or not."""
    peer = begun()
    assert peer.give(wire.chunk(ChunkType.INIT_ACK, bytes(15))) == []
    assert peer.state() is StatusState.ESTABLISHED
    assert peer.events() == []


def test_a_data_chunk_without_data_ends_the_association() -> None:
    """Section 6.2 and 3.3.10.9."""
    peer = ScriptedPeer()
    peer.accept()
    empty = struct.pack("!BBHIHHI", 0, 3, 16, peer.tsn, 0, 0, 0)
    (answer,) = peer.give(empty)
    (cause,) = answer.chunks(wire.Abort)[0].causes
    assert cause == Tlv(Cause.NO_USER_DATA, peer.tsn.to_bytes(4, "big"))
    assert peer.state() is StatusState.CLOSED


# -- streams (6.5, 6.6) ------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [0, 5])
def test_what_comes_again_for_no_stream_is_reported_once(ahead: int) -> None:
    peer = begun()
    chunk = peer.data(tsn=peer.tsn + ahead, stream=60_000)
    assert [packet.has(wire.Error) for packet in peer.give(chunk)] == [True]
    assert not any(packet.has(wire.Error) for packet in peer.give(chunk))


def test_a_gap_on_one_stream_holds_up_no_other() -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.give(peer.data(b"late", tsn=101, stream=0, ssn=1))
    peer.give(peer.data(b"other", tsn=102, stream=1, ssn=0))
    assert payloads(peer.events()) == [b"other"]
    peer.give(peer.data(b"early", tsn=100, stream=0, ssn=0))
    assert payloads(peer.events()) == [b"early", b"late"]


def test_unordered_messages_wait_for_none() -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.give(peer.unordered(b"at once", tsn=105))
    (message,) = peer.events()
    assert isinstance(message, Message)
    assert (message.data, message.unordered) == (b"at once", True)


def test_a_stream_that_there_is_not_is_told_of_and_the_data_dropped() -> None:
    """Section 6.5."""
    peer = ScriptedPeer(inbound_streams=5)
    peer.accept()
    answers = peer.give(peer.unordered(stream=5, immediate=True))
    (error,) = [error for packet in answers for error in packet.chunks(wire.Error)]
    assert error.causes == [Tlv(Cause.INVALID_STREAM, b"\0\5\0\0")]
    assert sacks(answers)[-1].cumulative_tsn == peer.tsn - 1
    assert payloads(peer.events()) == []
    assert peer.state() is StatusState.ESTABLISHED


def test_a_report_of_an_invalid_stream_reaches_the_program() -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.give(wire.error_chunk([Tlv(Cause.INVALID_STREAM, b"\0\5\0\0")]))
    (event,) = peer.events()
    assert isinstance(event, RemoteError)
    assert event.data == wire.tlv(Cause.INVALID_STREAM, b"\0\5\0\0")


def test_ssns_are_counted_for_each_stream() -> None:
    peer = ScriptedPeer()
    peer.accept()
    ssns = []
    for stream in (0, 1, 0, 1, 2):
        (packet,) = peer.send(b"x", info(stream))
        ssns.append(packet.chunks(wire.Data)[0].ssn)
    assert ssns == [0, 0, 1, 1, 0]


def test_tsns_wrap_around() -> None:
    a = Engine(PORT, [A], randomness=lambda size: b"\xff" * (size - 1) + b"\xfe")
    pair = Pair(connect=False)
    pair.a = pair.engines[0] = pair.hosts[A] = a
    pair.events[a] = []
    pair.id = a.connect(pair.routes, PEER_PORT, 0.0)
    pair.run(1.0)
    sent = [b"%d" % number for number in range(50)]
    pair.drop = lambda packet: packet.has(wire.Data) and len(pair.data()) % 7 == 3
    for message in sent:
        pair.send(message)
    pair.run(30.0)
    seen = {data.tsn for packet in pair.data(A) for data in packet.chunks(wire.Data)}
    assert {0xFFFFFFFE, 0xFFFFFFFF, 0, 1} <= seen
    assert payloads(pair.events[pair.b]) == sent


def test_ssns_wrap_around() -> None:
    pair = Pair()
    pair.association.outbound._ssns[3] = 0xFFFD
    pair.send(b"first", info(3))  # creates the stream at the other end
    inbound = pair.other.inbound
    assert inbound is not None
    pair.run(1.0)
    assert payloads(pair.events[pair.b]) == []  # it waits for SSN 0
    inbound._next_ssns.extend([0] * 4)
    inbound._next_ssns[3] = 0xFFFD
    for number in range(6):
        pair.send(b"%d" % number, info(3))
    pair.run(1.0)
    inbound._next_turns(3)
    assert inbound._next_ssns[3] == 4


def test_no_such_stream_and_no_data_are_errors_of_the_program() -> None:
    peer = ScriptedPeer()
    peer.accept()
    with pytest.raises(OSError, match="Invalid"):
        peer.send(b"x", info(10))
    with pytest.raises(OSError, match="Invalid"):
        peer.send(b"")


def test_an_unknown_chunk_is_skipped_reported_or_stops_the_packet_as_its_high_bits_say() -> None:
    """Section 3.2."""
    peer = ScriptedPeer()
    peer.accept()
    expected = {0x3F: (0, 0), 0x7F: (1, 0), 0xBF: (0, 1), 0xFF: (1, 1)}
    for kind, (reports, messages) in expected.items():
        left = peer.give(wire.chunk(kind, b"what"), peer.unordered(immediate=True))
        assert sum(len(packet.chunks(wire.Error)) for packet in left) == reports
        assert len(payloads(peer.events())) == messages
        peer.tsn -= not messages


def test_the_status_tells_how_many_chunks_are_to_arrive_before_others() -> None:
    """RFC 9260 section 11.1.8, and Linux's `sstat_penddata`."""
    peer = ScriptedPeer()
    association = peer.accept()
    assert peer.engine.status(association.id).penddata == 0
    for offset in (1, 2, 5):
        peer.give(peer.unordered(tsn=peer.tsn + offset))
    assert peer.engine.status(association.id).penddata == 3  # 0, 3 and 4
    peer.give(peer.unordered(tsn=peer.tsn))
    assert peer.engine.status(association.id).penddata == 2
    peer.give(peer.unordered(tsn=peer.tsn + 3), peer.unordered(tsn=peer.tsn + 4))
    assert peer.engine.status(association.id).penddata == 0


def test_a_shutdown_that_acknowledges_a_probe_does_not_hold_up_what_follows() -> None:
    peer = ScriptedPeer(heartbeats=False)
    peer.accept()
    peer.send(bytes(FULL))
    peer.give(peer.sack_first(1, rwnd=0))
    peer.send(bytes(2 * FULL))
    assert tsns(peer, peer.advance(1.1)) == [2]
    peer.give(wire.shutdown_chunk((peer.their_tsn + 1) & MASK))
    assert tsns(peer, peer.advance(3.0))[:1] == [3]


@pytest.mark.parametrize(("burst", "packets"), [(1, 1), (4, 4), (9, 9), (0, 20)])
def test_no_more_than_a_burst_leaves_at_once(burst: int, packets: int) -> None:
    """Section 6.1 D: whatever the congestion window allows; 0 stands for no bound."""
    pair = Pair(both={"max_burst": burst})
    pair.path().cwnd = 100 * MTU
    start = len(pair.data())
    pair.send(bytes(20 * FULL))
    pair.run(0.0)
    assert len(pair.data()) - start == packets
    pair.run(5.0)
    assert [len(data) for data in payloads(pair.events[pair.b])] == [20 * FULL]


def test_a_message_is_handed_over_in_parts_from_the_size_that_is_set_on() -> None:
    """RFC 6458 section 8.1.21."""
    peer = ScriptedPeer(partial_delivery_point=3000)
    peer.accept()
    taken = 0
    for number in range(4):
        peer.give(peer.data(bytes(1000), flags=wire.FIRST if number == 0 else 0))
        pieces = peer.events()
        assert all(isinstance(piece, Piece) for piece in pieces)
        taken += sum(len(piece.message.data) for piece in pieces if isinstance(piece, Piece))
        assert taken == (0, 0, 3000, 4000)[number]
    peer.give(peer.data(b"end", flags=wire.LAST))
    (last,) = peer.events()
    assert isinstance(last, Message)
    assert last.data == b"end"
