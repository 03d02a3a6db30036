"""Messages that may be given up, and FORWARD TSN (RFC 3758, RFC 7496)."""

from __future__ import annotations

import pytest

from trio_sctp._engine import wire
from trio_sctp._engine.wire import ParameterType, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import (
    AssociationState,
    Message,
    PartialDeliveryAborted,
    Piece,
)

from ..support.engines import FULL, MTU, B, Sent, ends, failures, info, payloads
from ..support.scripted_peer import COOKIE_ACK, ScriptedPeer
from .simulation import Pair

SUPPORTED = Tlv(ParameterType.FORWARD_TSN_SUPPORTED, b"")


def forwards(sent: list[Sent]) -> list[wire.ForwardTsn]:
    return [chunk for packet in sent for chunk in packet.chunks(wire.ForwardTsn)]


def tsns(peer: ScriptedPeer, sent: list[Sent]) -> list[int]:
    """The TSNs of DATA chunks, counted from 1."""
    return [data.tsn - peer.their_tsn + 1 for packet in sent for data in packet.chunks(wire.Data)]


def lossy_then(pair: Pair) -> None:
    """From now on no user data from ``a`` arrives, until the test says otherwise."""
    pair.drop = lambda sent: sent.has(wire.Data) and sent.route.local == pair.routes[0].local


# -- set-up (3.3) ------------------------------------------------------------------------------


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize("there", [True, False])
def test_both_ends_have_to_know_forward_tsn(here: bool, there: bool) -> None:
    pair = Pair(here={"partial_reliability": here}, there={"partial_reliability": there})
    assert pair.association.outbound.may_skip is (here and there)
    assert pair.other.outbound.may_skip is (here and there)


def test_to_a_peer_that_does_not_know_it_what_was_sent_is_never_given_up() -> None:
    pair = Pair(there={"partial_reliability": False})
    lossy_then(pair)
    pair.send(b"mortal", info(lifetime=500))
    pair.run(4.0)
    pair.drop = lambda sent: False
    pair.send(b"next")
    pair.run(20.0)
    assert payloads(pair.events[pair.b]) == [b"mortal", b"next"]
    assert failures(pair.events[pair.a]) == []


def test_to_a_peer_that_does_not_know_it_what_was_not_sent_is_given_up() -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.send(b"x")
    peer.give(peer.sack_first(1, rwnd=1))
    peer.send(b"y")  # fills the window
    peer.send(b"mortal", info(lifetime=500))
    peer.advance(0.9)
    peer.give(peer.sack_first(2))
    (failed,) = failures(peer.events())
    assert (failed.data, failed.sent) == (b"mortal", False)
    assert peer.association.outbound.empty


def test_a_forward_tsn_that_was_not_agreed_on_is_ignored() -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.give(wire.forward_tsn_chunk(peer.tsn + 5, []))
    (answer,) = peer.give(peer.unordered(immediate=True))
    assert answer.chunks(wire.Sack)[0].cumulative_tsn == peer.tsn - 1
    assert peer.state() is StatusState.ESTABLISHED


# -- the sender (3.5) --------------------------------------------------------------------------


def mortal(peer: ScriptedPeer | None = None) -> ScriptedPeer:
    """An association whose two ends know FORWARD TSN."""
    peer = peer or ScriptedPeer()
    peer.accept(SUPPORTED)
    return peer


def test_a_message_that_was_sent_within_its_lifetime_is_not_given_up() -> None:
    pair = Pair()
    pair.send(b"mortal", info(lifetime=50))
    pair.run(5.0)
    assert payloads(pair.events[pair.b]) == [b"mortal"]
    assert failures(pair.events[pair.a]) == []
    assert forwards(pair.sent) == []


def test_a_message_whose_lifetime_is_over_is_not_retransmitted() -> None:
    peer = mortal()
    peer.send(b"mortal", info(lifetime=500))
    left = peer.advance(1.1)
    assert tsns(peer, left) == []
    (forward,) = forwards(left)
    assert forward.cumulative_tsn == peer.their_tsn
    assert forward.streams == [(0, 0)]


def test_a_message_that_is_given_up_is_reported() -> None:
    peer = mortal()
    peer.send(b"mortal", info(3, ppid=7, lifetime=500, context=99))
    peer.advance(1.1)
    (failed,) = failures(peer.events())
    assert failed.data == b"mortal"
    assert failed.sent
    assert (failed.stream, failed.ppid, failed.context) == (3, 7, 99)
    assert failed.association_id == peer.association.id


@pytest.mark.parametrize(("late", "sent"), [(-0.001, [b"data"]), (0.0, []), (0.001, [])])
def test_a_lifetime_is_over_at_the_very_instant_at_which_it_ends(
    late: float, sent: list[bytes]
) -> None:
    peer = ScriptedPeer()
    peer.connect()
    peer.send(b"data", info(lifetime=500))
    peer.now = 0.5 + late
    left = peer.give(peer.init_ack())
    assert [data.payload for packet in left for data in packet.chunks(wire.Data)] == sent
    peer.give(COOKIE_ACK)
    assert len(failures(peer.events())) == 1 - len(sent)


def test_messages_without_a_lifetime_live_for_ever() -> None:
    peer = mortal()
    peer.send(b"immortal")
    left = peer.advance(100.0)
    assert set(tsns(peer, left)) == {1}
    assert forwards(left) == []


def test_all_fragments_are_given_up_together() -> None:
    """Section 3.5, A3."""
    peer = mortal()
    peer.send(bytes(3 * FULL), info(lifetime=500))
    left = peer.advance(1.1)
    assert tsns(peer, left) == []
    assert [f.cumulative_tsn - peer.their_tsn for f in forwards(left)] == [2]
    assert len(failures(peer.events())) == 1


def test_a_message_of_which_a_part_was_sent_is_sent_to_its_end_or_skipped() -> None:
    """The rest has no TSN yet, so the peer could not be told to skip it."""
    pair = Pair()
    pair.send(bytes(200_000), info(lifetime=15))  # more than leaves in 15 ms
    pair.send(b"next")
    pair.run(20.0)
    got = payloads(pair.events[pair.b])
    assert got[-1] == b"next"
    assert len(got) + len(failures(pair.events[pair.a])) == 2


def test_a_message_of_which_a_part_is_acknowledged_is_skipped_too() -> None:
    """The TSN that says so was never sent."""
    peer = mortal()
    peer.send(b"x")
    peer.give(peer.sack_first(1, rwnd=FULL))
    assert tsns(peer, peer.send(bytes(3 * FULL), info(1, lifetime=500))) == [2]
    peer.advance(0.4)
    assert tsns(peer, peer.give(peer.sack_first(2, rwnd=FULL + 100))) == [3]
    peer.advance(0.2)
    left = peer.send(b"next", info(1))
    assert forwards(left) == [wire.ForwardTsn(peer.their_tsn + 3, [(1, 0)])]
    (data,) = [data for packet in left for data in packet.chunks(wire.Data)]
    assert (data.payload, data.ssn, data.tsn) == (b"next", 1, peer.their_tsn + 4)
    (failed,) = failures(peer.events())
    assert len(failed.data) == 3 * FULL


@pytest.mark.parametrize("seed", range(5))
def test_a_large_message_that_dies_under_way_holds_up_none(seed: int) -> None:
    pair = Pair(seed=seed, link={"loss": 0.2})
    for _ in range(3):
        pair.send(bytes(100_000), info(lifetime=1200))
    pair.run(30.0)
    pair.network.default_link.loss = 0.0
    pair.send(b"next")
    pair.run(60.0)
    assert payloads(pair.events[pair.b])[-1] == b"next"
    pair.a.shutdown(pair.id, pair.now)
    pair.finish(100.0)
    got, lost = payloads(pair.events[pair.b]), failures(pair.events[pair.a])
    assert len(got) + len(lost) >= 4
    assert [e.state for e in ends(pair.events[pair.b])] == [AssociationState.SHUTDOWN_COMP]


def test_the_point_moves_only_over_what_is_given_up() -> None:
    """Section 3.5, C2."""
    peer = mortal()
    peer.send(b"mortal", info(lifetime=500))
    peer.send(b"immortal")
    peer.send(b"mortal", info(lifetime=500))
    left = peer.advance(1.1)
    assert [f.cumulative_tsn - peer.their_tsn + 1 for f in forwards(left)] == [1]
    assert tsns(peer, left) == [2]


def test_the_point_moves_on_when_what_is_before_it_is_acknowledged() -> None:
    """Section 3.5, C: with every SACK."""
    peer = mortal()
    peer.send(b"immortal")
    peer.send(b"mortal", info(lifetime=500))
    peer.advance(1.1)
    (forward,) = forwards(peer.give(peer.sack_first(1)))
    assert forward.cumulative_tsn == peer.their_tsn + 1
    peer.give(peer.sack_first(2))
    assert peer.association.outbound.empty
    assert peer.association.paths["10.0.0.2"].t3 > 1e9


def test_a_forward_tsn_that_is_lost_is_sent_again() -> None:
    """Section 3.5, C5: T3-rtx runs for it."""
    peer = mortal()
    peer.send(b"mortal", info(lifetime=500))
    assert len(forwards(peer.advance(1.1))) == 1
    assert len(forwards(peer.advance(2.1))) == 1
    assert len(forwards(peer.advance(4.1))) == 1
    peer.give(peer.sack_first(1))
    assert forwards(peer.advance(20.0)) == []


def test_a_forward_tsn_that_is_never_acknowledged_ends_the_association() -> None:
    peer = mortal(ScriptedPeer(heartbeats=False))
    peer.send(b"mortal", info(lifetime=500))
    peer.advance(1000.0)
    assert ends(peer.events())[0].state is AssociationState.COMM_LOST
    assert peer.engine.next_deadline() is None


def test_a_sack_that_does_not_know_of_it_has_a_forward_tsn_sent_again() -> None:
    """Section 3.5, C3."""
    peer = mortal()
    peer.send(b"mortal", info(lifetime=500))
    peer.advance(1.1)
    assert len(forwards(peer.give(peer.sack_first(0)))) == 1


def test_each_stream_is_in_the_forward_tsn_once_with_its_last_ssn() -> None:
    peer = mortal()
    for stream in (1, 1, 2, 1):
        peer.send(b"mortal", info(stream, lifetime=500))
    (forward,) = forwards(peer.advance(1.1))
    assert sorted(forward.streams) == [(1, 2), (2, 0)]


def test_unordered_messages_are_in_no_stream_of_the_forward_tsn() -> None:
    peer = mortal()
    peer.send(b"mortal", info(1, unordered=True, lifetime=500))
    (forward,) = forwards(peer.advance(1.1))
    assert forward.streams == []


def test_a_forward_tsn_fits_into_a_packet() -> None:
    peer = mortal(ScriptedPeer(outbound_streams=2000, rwnd=100_000))
    peer.association.outbound_streams = 2000
    for stream in range(500):
        peer.send(b"m", info(stream, lifetime=500))
    assert all(packet.size <= MTU for packet in peer.advance(2.0))


def test_a_forward_tsn_goes_no_further_than_its_streams() -> None:
    """Section 3.5, C4: the point is where the list of streams ends; the rest follows."""
    peer = mortal(ScriptedPeer(outbound_streams=2000, path_mtu=600, max_burst=20))
    peer.association.outbound_streams = 2000
    for stream in range(500):
        how = info(stream, lifetime=500, unordered=stream % 5 == 4)
        peer.engine.queue(peer.association.id, b"m", how, peer.now)
    peer.engine.flush(peer.association.id, peer.now)
    peer.take()
    left = peer.advance(2.0)
    forward = forwards(left)[0]
    skipped = forward.cumulative_tsn - peer.their_tsn + 1
    assert 0 < skipped < 500
    assert [stream for stream, _ in forward.streams] == [n for n in range(skipped) if n % 5 < 4]
    (again,) = forwards(peer.give(peer.sack_first(skipped)))
    assert again.cumulative_tsn > forward.cumulative_tsn
    assert not {stream for stream, _ in again.streams} & {stream for stream, _ in forward.streams}


def test_what_is_given_up_is_no_longer_in_flight() -> None:
    peer = mortal()
    peer.send(bytes(1000), info(lifetime=500))
    peer.advance(1.1)
    outbound = peer.association.outbound
    assert (outbound.flight, outbound.buffered, outbound.messages) == (0, 0, 0)


# -- the receiver (3.6) ------------------------------------------------------------------------


def test_what_is_skipped_is_acknowledged() -> None:
    peer = mortal()
    (answer,) = peer.give(wire.forward_tsn_chunk(peer.tsn + 4, []))
    assert answer.chunks(wire.Sack)[0].cumulative_tsn == peer.tsn + 4


def test_an_old_forward_tsn_changes_nothing() -> None:
    peer = mortal()
    peer.give(peer.unordered())
    (answer,) = peer.give(wire.forward_tsn_chunk(peer.tsn - 1, [(0, 9)]))
    assert answer.chunks(wire.Sack)[0].cumulative_tsn == peer.tsn - 1
    peer.give(peer.data(b"y", ssn=0))
    assert payloads(peer.events()) == [b"x", b"y"]


def test_what_waits_behind_a_skipped_message_is_delivered() -> None:
    peer = mortal()
    peer.give(peer.data(b"1", tsn=101, ssn=1))
    peer.give(peer.data(b"3", tsn=103, ssn=3))
    assert payloads(peer.events()) == []
    peer.give(wire.forward_tsn_chunk(100, [(0, 0)]))
    assert payloads(peer.events()) == [b"1"]
    peer.give(wire.forward_tsn_chunk(102, [(0, 2)]))
    assert payloads(peer.events()) == [b"3"]


@pytest.mark.parametrize("stream", [0, 1, 3])
@pytest.mark.parametrize("begin", [0, 0xFFFE])
def test_what_waits_before_the_point_is_delivered_in_the_order_of_its_stream(
    stream: int, begin: int
) -> None:
    """It has arrived, though what is before it was given up; of other streams nothing moves."""
    peer = mortal()
    for skipped in (0x7FFF, begin - 1) if begin else ():
        peer.give(wire.forward_tsn_chunk(peer.tsn, [(stream, skipped), (2, 7)]))
        peer.tsn += 1
    tsn = peer.tsn
    for after in (3, 1, 5):
        ssn = (begin + after) & 0xFFFF
        peer.give(peer.data(b"%d" % after, stream=stream, ssn=ssn, tsn=tsn + after))
    peer.give(peer.data(b"other", stream=2, ssn=9, tsn=tsn + 6))
    assert payloads(peer.events()) == []
    peer.give(wire.forward_tsn_chunk(tsn + 3, [(stream, (begin + 3) & 0xFFFF)]))
    assert payloads(peer.events()) == [b"1", b"3"]
    peer.give(wire.forward_tsn_chunk(tsn + 4, [(stream, (begin + 4) & 0xFFFF)]))
    assert payloads(peer.events()) == [b"5"]


@pytest.mark.parametrize(
    "odd", [(10, 0), (65535, 5), (0, 0xFFFF)], ids=["no such stream", "nor such", "an old SSN"]
)
def test_what_makes_no_sense_in_a_forward_tsn_hides_nothing_of_the_rest(
    odd: tuple[int, int],
) -> None:
    """Streams that there are not, and messages that were delivered."""
    peer = mortal()
    peer.give(peer.data(b"before", stream=0), peer.data(b"before", stream=1))
    peer.events()
    peer.give(peer.data(b"behind", stream=1, ssn=2, tsn=peer.tsn + 1))
    assert payloads(peer.events()) == []
    peer.give(wire.forward_tsn_chunk(peer.tsn, [odd, (1, 1)]))
    assert payloads(peer.events()) == [b"behind"]
    peer.tsn += 2
    peer.give(peer.data(b"next", stream=0))
    assert payloads(peer.events()) == [b"next"]


def test_the_point_joins_what_has_arrived_behind_it() -> None:
    peer = mortal()
    peer.give(peer.unordered(tsn=102))
    peer.give(peer.unordered(tsn=103))
    (answer,) = peer.give(wire.forward_tsn_chunk(101, []))
    sack = answer.chunks(wire.Sack)[0]
    assert (sack.cumulative_tsn, sack.gaps) == (103, [])


def test_fragments_of_a_skipped_message_are_forgotten() -> None:
    peer = mortal(ScriptedPeer(receive_window=50_000))
    peer.give(peer.data(bytes(1000), tsn=100, flags=2))
    peer.give(peer.data(bytes(1000), tsn=101, flags=0))
    (answer,) = peer.give(wire.forward_tsn_chunk(102, [(0, 0)]))
    assert answer.chunks(wire.Sack)[0].rwnd == 50_000
    peer.give(peer.data(b"next", tsn=103, ssn=1))
    assert payloads(peer.events()) == [b"next"]


def test_the_end_of_a_message_that_the_point_cuts_is_forgotten_too() -> None:
    peer = mortal()
    peer.give(peer.data(bytes(1000), tsn=102, flags=wire.LAST))
    (answer,) = peer.give(wire.forward_tsn_chunk(101, [(0, 0)]))
    assert answer.chunks(wire.Sack)[0].cumulative_tsn == 102
    inbound = peer.association.inbound
    assert inbound is not None
    assert inbound.held == 0
    peer.give(peer.data(b"next", tsn=103, ssn=1))
    assert payloads(peer.events()) == [b"next"]


def test_a_partial_delivery_that_is_skipped_is_told_of() -> None:
    peer = mortal(ScriptedPeer(receive_window=5000))
    for number in range(4):
        peer.give(peer.data(bytes(FULL), tsn=100 + number, flags=2 if not number else 0))
    events = peer.events()
    assert any(isinstance(event, Piece) for event in events)
    peer.give(peer.data(b"waits", tsn=109, stream=1))
    assert peer.events() == []
    peer.give(wire.forward_tsn_chunk(110, [(0, 0)]))
    aborted, waited = peer.events()
    assert isinstance(aborted, PartialDeliveryAborted)
    assert isinstance(waited, Message)
    assert waited.data == b"waits"
    peer.give(peer.data(b"next", tsn=111, ssn=1))
    (message,) = [event for event in peer.events() if isinstance(event, Message)]
    assert message.data == b"next"


def test_a_skipped_message_that_comes_late_is_a_duplicate() -> None:
    peer = mortal()
    peer.give(wire.forward_tsn_chunk(100, [(0, 0)]))
    (answer,) = peer.give(peer.data(b"late", tsn=100, ssn=0))
    assert answer.chunks(wire.Sack)[0].duplicates == [100]
    assert payloads(peer.events()) == []


# -- more policies (RFC 7496) ------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_message_is_given_up_after_so_many_retransmissions(limit: int) -> None:
    """RFC 7496 section 3.1."""
    peer = mortal()
    peer.engine.send(peer.association.id, b"m", info(retransmissions=limit), peer.now)
    left = peer.take() + peer.advance(50.0)
    assert tsns(peer, left) == [1] * (1 + limit)
    assert forwards(left)[0].cumulative_tsn == peer.their_tsn
    (failed,) = failures(peer.events())
    assert (failed.data, failed.sent) == (b"m", True)


def test_what_is_retransmitted_fast_counts_as_well() -> None:
    peer = mortal()
    peer.engine.send(peer.association.id, b"m", info(retransmissions=0), peer.now)
    peer.take()
    for number in range(1, 5):
        peer.send(b"later")
        peer.give(peer.sack_first(0, gaps=[(2, number + 1)]))
    assert [failed.data for failed in failures(peer.events())] == [b"m"]


def test_what_is_given_up_in_place_of_a_retransmission_counts_as_lost() -> None:
    """RFC 7496 section 3.1: the window and the RTO change as if it had been sent again."""
    paths = []
    for limit in None, 0:
        peer = mortal(ScriptedPeer(heartbeats=False))
        peer.send(b"m", info(retransmissions=limit))
        peer.advance(1.1)
        assert len(failures(peer.events())) == (limit is not None)
        path = peer.association.paths[B]
        paths.append((path.cwnd, path.ssthresh, path.rto, path.error_count))
    assert paths[0] == paths[1]
    assert paths[0][2] == 2.0


def test_a_limit_holds_only_if_the_peer_knows_forward_tsn() -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.engine.send(peer.association.id, b"m", info(retransmissions=0), peer.now)
    peer.take()
    assert tsns(peer, peer.advance(1.5)) == [1]
    assert failures(peer.events()) == []


def priorities(peer: ScriptedPeer, *numbers: int | None) -> None:
    """Send a message of 1000 bytes for each priority; its data tell which."""
    for number in numbers:
        value = str(number).encode().ljust(1000)
        peer.engine.queue(peer.association.id, value, info(priority=number), peer.now)


def given_up(peer: ScriptedPeer) -> list[str]:
    return [failed.data.decode().strip() for failed in failures(peer.events())]


def test_a_full_buffer_makes_room_for_what_is_more_urgent() -> None:
    """RFC 7496 section 3.2: a lower number is a higher priority."""
    peer = mortal(ScriptedPeer(send_buffer=5000))
    priorities(peer, 5, 9, 7, None, 9)
    priorities(peer, 6)
    assert given_up(peer) == ["9"]
    priorities(peer, 6, 6)
    assert given_up(peer) == ["9", "7"]
    with pytest.raises(BlockingIOError):
        priorities(peer, 6)
    assert given_up(peer) == []


def test_what_may_not_be_given_up_takes_the_room_of_what_has_a_priority() -> None:
    """RFC 7496 section 3.2: it is more urgent than every priority, unless it may be given up in
    another way."""
    peer = mortal(ScriptedPeer(send_buffer=3000))
    priorities(peer, 0, None, 1)
    for other in info(lifetime=500), info(retransmissions=3):
        with pytest.raises(BlockingIOError):
            peer.engine.queue(peer.association.id, b"x", other, peer.now)
    priorities(peer, None, None)
    assert given_up(peer) == ["1", "0"]
    with pytest.raises(BlockingIOError):
        priorities(peer, None)
    assert given_up(peer) == []


def test_what_was_not_sent_is_given_up_before_what_was() -> None:
    peer = mortal(ScriptedPeer(send_buffer=3000))
    peer.engine.send(peer.association.id, b"sent".ljust(1000), info(priority=9), peer.now)
    priorities(peer, 9, 9)
    priorities(peer, 1)
    assert given_up(peer) == ["9"]


def test_nothing_is_given_up_if_that_would_not_make_room() -> None:
    peer = mortal(ScriptedPeer(send_buffer=3000))
    peer.engine.queue(peer.association.id, bytes(5000), info(), peer.now)
    with pytest.raises(BlockingIOError):
        priorities(peer, 1)
    assert given_up(peer) == []
    peer = mortal(ScriptedPeer(send_buffer=3000))
    peer.engine.queue(peer.association.id, bytes(2999), info(), peer.now)
    priorities(peer, 9)
    peer.association.parameters.send_buffer = 1000
    with pytest.raises(BlockingIOError):
        priorities(peer, 1)
    assert given_up(peer) == []
    peer.association.parameters.send_buffer = 3000
    priorities(peer, 1)
    assert given_up(peer) == ["9"]


def test_messages_that_are_done_do_not_hide_those_that_may_be_given_up() -> None:
    peer = mortal(ScriptedPeer(send_buffer=3000))
    for count in range(1, 6):
        peer.engine.send(peer.association.id, bytes(1000), info(priority=9), peer.now)
        peer.take()
        peer.give(peer.sack_first(count))
    priorities(peer, 9, 9, 9)
    priorities(peer, 1, 1, 1)
    assert given_up(peer) == ["9"] * 3


def test_what_was_sent_is_given_up_only_if_the_peer_knows_forward_tsn() -> None:
    for parameters, expected in ([SUPPORTED], ["9"]), ([], None):
        peer = ScriptedPeer(send_buffer=1000)
        peer.accept(*parameters)
        priorities(peer, 9)
        peer.engine.flush(peer.association.id, peer.now)
        if expected is None:
            with pytest.raises(BlockingIOError):
                priorities(peer, 1)
        else:
            priorities(peer, 1)
            assert given_up(peer) == expected


def test_what_was_not_sent_is_given_up_whatever_the_peer_knows() -> None:
    """Of a message that has no TSN the peer need not be told."""
    for parameters in [SUPPORTED], []:
        peer = ScriptedPeer(send_buffer=1000)
        peer.accept(*parameters)
        priorities(peer, 9)
        priorities(peer, 1)
        assert given_up(peer) == ["9"]


def test_priorities_end_to_end() -> None:
    pair = Pair(here={"send_buffer": 20_000}, link={"bandwidth": 1e5})
    sent: list[int] = []
    for number in range(300):
        try:
            pair.a.send(pair.id, b"%d" % number + bytes(900), info(priority=number % 5), pair.now)
        except BlockingIOError:
            pass
        else:
            sent.append(number)
        pair.run(0.02)
    pair.run(100.0)
    got = [int(value.rstrip(b"\0")) for value in payloads(pair.events[pair.b])]
    failed = [int(f.data.rstrip(b"\0")) for f in failures(pair.events[pair.a])]
    assert (
        sorted({*got, *failed}) == sent
    )  # a message that is reported as failed may have been delivered
    assert got == sorted(got)
    assert failed
    urgent = [number for number in got if number % 5 == 0]
    assert len(urgent) > len([number for number in got if number % 5 == 4])
    assert not [number for number in failed if number % 5 == 0]


def abandoned(peer: ScriptedPeer, stream: int | None) -> list[tuple[int, int]]:
    """How many messages were given up, sent and unsent: by lifetime, retransmissions, priority."""
    return peer.association.outbound.abandoned.of(stream)


def test_what_is_given_up_is_counted_by_policy_and_stream() -> None:
    """RFC 7496 sections 4.3 and 4.4."""
    peer = mortal(ScriptedPeer(send_buffer=3000, heartbeats=False))
    assert abandoned(peer, None) == [(0, 0)] * 3
    peer.send(b"m", info(1, lifetime=500))
    peer.send(b"m", info(2, retransmissions=0))
    peer.advance(1.1)
    assert abandoned(peer, 1) == [(1, 0), (0, 0), (0, 0)]
    assert abandoned(peer, 2) == [(0, 0), (1, 0), (0, 0)]
    peer.give(peer.sack_first(2, rwnd=1500))
    peer.send(bytes(1000), info(1, priority=5))
    peer.send(bytes(1000), info(2, priority=5))  # has no room in the peer's window
    peer.send(bytes(1000), info(2, lifetime=100))
    peer.send(b"urgent", info(2, priority=4))
    assert abandoned(peer, 2) == [(0, 0), (1, 0), (0, 1)]
    for _ in range(2):
        peer.send(bytes(1000), info(2, priority=4))
    assert abandoned(peer, 1) == [(1, 0), (0, 0), (1, 0)]
    peer.advance(0.2)
    peer.give(peer.sack_first(3, rwnd=10_000))
    assert abandoned(peer, 2) == [(0, 1), (1, 0), (0, 1)]
    assert abandoned(peer, None) == [(1, 1), (1, 0), (1, 1)]
    assert abandoned(peer, 3) == [(0, 0)] * 3


def test_a_message_of_which_a_part_was_sent_counts_as_sent() -> None:
    peer = mortal()
    peer.send(b"x")
    peer.give(peer.sack_first(1, rwnd=FULL))
    peer.send(bytes(3 * FULL), info(lifetime=500))
    peer.advance(1.1)
    assert abandoned(peer, None)[0] == (1, 0)


def test_what_fails_with_the_association_is_not_given_up() -> None:
    peer = mortal()
    peer.send(b"m", info(lifetime=5000))
    outbound = peer.association.outbound
    peer.engine.abort(peer.association.id, b"", peer.now)
    assert len(failures(peer.events())) == 1
    assert outbound.abandoned.of(None) == [(0, 0)] * 3


# -- end to end --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_under_loss_every_message_is_delivered_or_reported(seed: int) -> None:
    pair = Pair(seed=seed, link={"loss": 0.25})
    sent = []
    for number in range(200):
        message = b"%d/" % number + bytes(number * 7)
        pair.send(message, info(number % 4, lifetime=300 if number % 3 else 0))
        sent.append(message)
        pair.run(0.02)
    pair.network.default_link.loss = 0.0
    pair.run(200.0)
    pair.a.shutdown(pair.id, pair.now)
    pair.finish(400.0)
    got = payloads(pair.events[pair.b])
    failed = [f.data for f in failures(pair.events[pair.a])]
    assert set(got) | set(failed) == set(sent)
    assert len(got) == len(set(got))
    for stream in range(4):
        on_it = [m for m in got if int(m.split(b"/")[0]) % 4 == stream]
        assert on_it == [m for m in sent if m in on_it]
    assert all(message in got for number, message in enumerate(sent) if number % 3 == 0)


def test_a_zero_window_probe_that_is_given_up_is_not_sent_again() -> None:
    peer = mortal(ScriptedPeer(send_buffer_messages=1, heartbeats=False))
    peer.send(b"x")
    peer.give(peer.sack_first(1, rwnd=0))
    id = peer.association.id
    peer.engine.send(id, b"probe", info(priority=5), peer.now)
    assert tsns(peer, peer.advance(1.1)) == [2]
    peer.engine.send(id, b"urgent", info(priority=1), peer.now)
    assert [failed.data for failed in failures(peer.events())] == [b"probe"]
    left = peer.take() + peer.advance(10.0)
    assert 2 not in tsns(peer, left)
    assert forwards(left)
    assert peer.association.outbound.messages == 1
