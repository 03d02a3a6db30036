"""How associations end (RFC 9260 section 9)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trio_sctp._engine import wire
from trio_sctp._engine.wire import Cause, ChunkType, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import (
    AssociationChange,
    AssociationState,
    Message,
    SenderDry,
    ShutdownReceived,
)

from ..support.engines import A, B, Sent, cookie_echo, ends, failures, info, payloads
from ..support.scripted_peer import ScriptedPeer, Until
from .simulation import Pair

SHUTDOWN_ACK = wire.chunk(ChunkType.SHUTDOWN_ACK)


def shut(pair: Pair) -> None:
    pair.a.shutdown(pair.id, pair.now)


def graceful(pair: Pair) -> None:
    """Check that both ends report a graceful end, and that nothing is left."""
    assert pair.over()
    for engine in (pair.a, pair.b):
        assert [e.state for e in ends(pair.events[engine])] == [AssociationState.SHUTDOWN_COMP]


def kinds(sent: list[Sent]) -> list[type[object]]:
    return [type(chunk) for packet in sent for chunk in packet.packet.chunks]


def test_a_graceful_end() -> None:
    pair = Pair()
    before = len(pair.sent)
    shut(pair)
    pair.finish(5.0)
    graceful(pair)
    assert kinds(pair.sent[before:]) == [wire.Shutdown, wire.ShutdownAck, wire.ShutdownComplete]


def test_all_that_was_sent_arrives_before_the_end() -> None:
    pair = Pair()
    messages = [bytes([number]) * 3000 for number in range(100)]
    for message in messages:
        pair.send(message)
    shut(pair)
    pair.finish()
    graceful(pair)
    assert payloads(pair.events[pair.b]) == messages


def test_what_the_other_end_has_sent_arrives_before_the_end_too() -> None:
    pair = Pair()
    messages = [bytes([number]) * 3000 for number in range(100)]
    for message in messages:
        pair.answer(message)
    shut(pair)
    pair.finish()
    graceful(pair)
    assert payloads(pair.events[pair.a]) == messages


def test_nothing_can_be_sent_after_the_shutdown() -> None:
    pair = Pair()
    shut(pair)
    with pytest.raises(BrokenPipeError):
        pair.send(b"late")
    pair.run_until(lambda: pair.other.state is not StatusState.ESTABLISHED)
    with pytest.raises(BrokenPipeError):
        pair.answer(b"late")


def test_the_program_learns_that_the_peer_shuts_down() -> None:
    pair = Pair()
    pair.answer(bytes(50_000))
    shut(pair)
    pair.finish()
    assert any(isinstance(event, ShutdownReceived) for event in pair.events[pair.b])


def test_both_ends_shut_down_at_once() -> None:
    pair = Pair()
    shut(pair)
    pair.b.shutdown(pair.other.id, pair.now)
    pair.finish(5.0)
    graceful(pair)


@pytest.mark.parametrize("kind", [wire.Shutdown, wire.ShutdownAck, wire.ShutdownComplete])
def test_the_end_survives_the_loss_of(kind: type[object]) -> None:
    pair = Pair()
    pair.drop = lambda sent: sent.has(kind) and len(pair.packets(kind)) == 1
    shut(pair)
    pair.finish(10.0)
    graceful(pair)


def test_a_shutdown_is_retransmitted_with_t2_until_the_peer_is_given_up() -> None:
    pair = Pair(both={"rto_max": 8.0, "association_max_retrans": 5})
    pair.cut(A)
    start = pair.now
    shut(pair)
    pair.run_until(lambda: ends(pair.events[pair.a]))
    times = [round(s.time - start) for s in pair.packets(wire.Shutdown, since=start)]
    assert times == [0, 1, 3, 7, 15, 23]
    assert ends(pair.events[pair.a])[0].state is AssociationState.COMM_LOST
    assert pair.a.next_deadline() is None


def test_a_shutdown_ack_is_retransmitted_with_t2_until_the_peer_is_given_up() -> None:
    peer = ScriptedPeer(rto_max=8.0, association_max_retrans=5)
    peer.accept()
    peer.give(wire.shutdown_chunk(peer.acked))
    left = peer.advance(100.0)
    assert [packet.time for packet in left if packet.has(wire.ShutdownAck)] == [1, 3, 7, 15, 23]
    assert ends(peer.events())[0].state is AssociationState.COMM_LOST
    assert peer.engine.next_deadline() is None


def test_data_that_arrives_after_the_shutdown_is_answered_with_a_shutdown() -> None:
    """Section 9.2: the SACK goes with it."""
    peer = ScriptedPeer()
    association = peer.accept()
    peer.engine.shutdown(association.id, peer.now)
    peer.take()
    left = peer.give(peer.unordered(b"still"))
    assert set(kinds(left)) == {wire.Shutdown, wire.Sack}
    assert payloads(peer.events()) == [b"still"]


def test_a_shutdown_acknowledges_data() -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.send(b"x")
    left = peer.give(wire.shutdown_chunk(peer.their_tsn))
    assert wire.ShutdownAck in kinds(left)


def test_a_shutdown_is_not_answered_before_all_is_acknowledged() -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.send(b"x")
    left = peer.give(wire.shutdown_chunk(peer.their_tsn - 1))
    assert wire.ShutdownAck not in kinds(left)
    assert peer.state() is StatusState.SHUTDOWN_RECEIVED
    assert wire.ShutdownAck in kinds(peer.give(peer.sack_first(1)))


def test_a_shutdown_that_comes_again_is_answered_again() -> None:
    peer = ScriptedPeer()
    peer.accept()
    for _ in range(3):
        left = peer.give(wire.shutdown_chunk(peer.their_tsn - 1))
        assert kinds(left) == [wire.ShutdownAck]


def test_the_last_data_asks_for_an_acknowledgement_at_once() -> None:
    """RFC 7053, section 6.1: the I bit."""
    peer = ScriptedPeer()
    association = peer.accept()
    peer.engine.queue(association.id, b"one", info(), peer.now)
    peer.engine.queue(association.id, b"two", info(), peer.now)
    peer.engine.shutdown(association.id, peer.now)
    (packet,) = peer.take()
    assert [data.immediate for data in packet.chunks(wire.Data)] == [False, True]


# -- T5 (9.2) ----------------------------------------------------------------------------------


def test_a_peer_with_a_closed_window_cannot_hold_a_close_for_ever() -> None:
    pair = Pair(there={"receive_window": 20_000}, here={"rto_max": 10.0})
    pair.reading.discard(pair.b)
    for _ in range(30):
        pair.send(bytes(1000))
    pair.run(100.0)
    start = pair.now
    shut(pair)
    pair.run(49.9)
    assert not ends(pair.events[pair.a])
    pair.run(0.2)
    (end,) = ends(pair.events[pair.a])
    assert end.state is AssociationState.COMM_LOST
    (packet,) = pair.packets(wire.Abort, A)
    assert packet.time == pytest.approx(start + 5 * 10.0)
    assert failures(pair.events[pair.a])
    pair.reading.add(pair.b)
    pair.finish()
    assert ends(pair.events[pair.b])[0].state is AssociationState.COMM_LOST


def test_a_peer_that_shuts_down_with_a_closed_window_cannot_hold_a_close_either() -> None:
    peer = ScriptedPeer(rto_max=10.0)
    association = peer.accept()
    peer.send(b"x")
    peer.engine.shutdown(association.id, peer.now)
    peer.give(wire.shutdown_chunk(peer.their_tsn - 1))
    for _ in range(100):
        peer.give(peer.sack_first(0, rwnd=0))
        peer.advance(1.0)
    assert ends(peer.events())[0].state is AssociationState.COMM_LOST
    assert next(p.time for p in peer.sent if p.has(wire.Abort)) == 50.0


def test_a_close_while_the_peer_shuts_down_is_guarded_too() -> None:
    peer = ScriptedPeer(rto_max=10.0)
    association = peer.accept()
    peer.send(b"x")
    peer.give(wire.shutdown_chunk(peer.their_tsn - 1))
    peer.engine.shutdown(association.id, peer.now)
    for _ in range(100):
        peer.give(peer.sack_first(0, rwnd=0))
        peer.advance(1.0)
    assert next(p.time for p in peer.sent if p.has(wire.Abort)) == 50.0


def test_t5_is_over_once_the_association_is() -> None:
    pair = Pair()
    shut(pair)
    pair.finish(5.0)
    assert pair.a.next_deadline() is None
    pair.run(1000.0)
    graceful(pair)


@pytest.mark.parametrize(
    ("kind", "released", "limit"),
    [("new", False, 3600.0), ("new", True, 50.0), ("again", False, 50.0)],
)
def test_a_peer_that_always_sends_more_cannot_hold_a_close_for_ever(
    kind: str, released: bool, limit: float
) -> None:
    """New user data is progress, for an hour; after the program has gone nothing is."""
    peer = ScriptedPeer(rto_max=10.0)
    association = peer.accept()
    peer.engine.shutdown(association.id, peer.now)
    if released:
        peer.engine.release([association.id], None, peer.now)
    while peer.engine.associations:
        peer.give(peer.unordered() if kind == "new" else peer.unordered(tsn=peer.tsn - 1))
        peer.advance(1.0)
    (abort,) = [packet for packet in peer.sent if packet.has(wire.Abort)]
    assert abort.time == limit


@pytest.mark.parametrize("repeated", ["SHUTDOWN", "INIT"])
def test_a_peer_that_repeats_itself_cannot_hold_the_end_for_ever(repeated: str) -> None:
    """Each repetition is answered with a SHUTDOWN ACK, and anybody can send an INIT."""
    peer = ScriptedPeer(rto_max=10.0)
    peer.accept()
    shutdown = wire.shutdown_chunk(peer.their_tsn - 1)
    peer.give(shutdown)
    assert peer.state() is StatusState.SHUTDOWN_ACK_SENT
    while peer.engine.associations and peer.now < 10_000.0:
        if repeated == "INIT":
            peer.give_init(tag=0x99)
        else:
            peer.give(shutdown)
        peer.advance(0.5)
    assert peer.now == 50.0


def test_a_shutdown_that_acknowledges_is_progress_as_a_sack_is() -> None:
    """A peer that has shut down says so with each acknowledgement."""
    peer = ScriptedPeer(rto_max=10.0)
    association = peer.accept()
    for _ in range(10):
        peer.send(b"x")
    peer.engine.shutdown(association.id, peer.now)
    for number in range(10):
        peer.advance(40.0)
        left = peer.give(wire.shutdown_chunk(peer.their_tsn + number))
    assert kinds(left) == [wire.ShutdownAck]


# -- slow links --------------------------------------------------------------------------------


@pytest.mark.parametrize("closer", ["sender", "sender that has gone", "receiver"])
def test_a_mebibyte_at_24_kbit_per_second_arrives_before_the_end(closer: str) -> None:
    """It takes more than five times RTO.Max, but there is progress all the time."""
    pair = Pair(link={"bandwidth": 24_000, "delay": 0.05})
    sent = [bytes([number]) * 8192 for number in range(127)]
    for message in sent:
        pair.answer(message)
    if closer == "receiver":
        pair.a.shutdown(pair.id, pair.now)
    else:
        pair.b.shutdown(pair.other.id, pair.now)
    if closer == "sender that has gone":
        pair.b.release([pair.other.id], None, pair.now)
    pair.run_until(pair.over, 1000.0)
    assert pair.now > 300.0
    assert payloads(pair.events[pair.a]) == sent
    (end,) = ends(pair.events[pair.a])
    assert end.state is AssociationState.SHUTDOWN_COMP
    assert not failures(pair.events[pair.b])


# -- associations without a program ------------------------------------------------------------


def test_what_comes_for_a_program_that_has_gone_is_taken_in_and_dropped() -> None:
    pair = Pair(both={"receive_window": 20_000}, link={"delay": 0.01})
    for _ in range(100):
        pair.answer(bytes(10_000))  # it fills the window of ``a``, which reads nothing
    pair.reading.discard(pair.a)
    pair.run(5.0)
    pair.a.shutdown(pair.id, pair.now)
    pair.a.release([pair.id], None, pair.now)
    before = pair.now
    pair.run_until(pair.over)
    assert pair.now - before < 30.0
    assert [e.state for e in ends(pair.events[pair.b])] == [AssociationState.SHUTDOWN_COMP]
    assert not failures(pair.events[pair.b])
    assert not pair.a.has_events()


State = Callable[[ScriptedPeer], None]


def shutdown_pending(peer: ScriptedPeer) -> None:
    peer.send(b"unacknowledged")
    peer.engine.shutdown(peer.association.id, peer.now)


def shutdown_sent(peer: ScriptedPeer) -> None:
    peer.engine.shutdown(peer.association.id, peer.now)


def shutdown_received(peer: ScriptedPeer) -> None:
    peer.send(b"unacknowledged")
    peer.give(wire.shutdown_chunk(peer.their_tsn - 1))
    peer.engine.shutdown(peer.association.id, peer.now)


@pytest.mark.parametrize("listening", [False, True])
@pytest.mark.parametrize("shut_down", [shutdown_pending, shutdown_sent, shutdown_received])
def test_no_restart_revives_an_association_whose_program_has_gone(
    shut_down: State, listening: bool
) -> None:
    """It ends, and whoever listens gets another one."""
    peer = ScriptedPeer()
    old = peer.accept()
    shut_down(peer)
    peer.take()
    peer.engine.release([old.id], None, peer.now)
    peer.engine.listening = listening
    peer.tag = 0x99
    ack = peer.begin()
    (answer,) = peer.give(cookie_echo(ack), tag=ack.tag)[-1:]
    assert old.id not in peer.engine.associations
    changes = [e for e in peer.events() if isinstance(e, AssociationChange)]
    if listening:
        assert answer.has(wire.CookieAck)
        assert [(e.association_id, e.state) for e in changes] == [
            (peer.association.id, AssociationState.COMM_UP)
        ]
    else:
        assert answer.has(wire.Abort)
        assert changes == []


def test_a_restart_while_the_program_is_there_is_one() -> None:
    peer = ScriptedPeer()
    association = peer.accept()
    shutdown_sent(peer)
    peer.take()
    peer.tag = 0x99
    ack = peer.begin()
    peer.give(cookie_echo(ack), tag=ack.tag)
    assert peer.association is association
    assert peer.state() is StatusState.ESTABLISHED


# -- cookies while shutting down (5.2.4 A) -----------------------------------------------------


def test_a_cookie_while_shutting_down_does_not_restart_the_association() -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.tag = 0x99
    ack = peer.begin()
    peer.give(wire.shutdown_chunk(peer.their_tsn - 1))
    assert peer.state() is StatusState.SHUTDOWN_ACK_SENT
    left = peer.give(cookie_echo(ack), tag=ack.tag)
    assert set(kinds(left)) == {wire.ShutdownAck, wire.Error}
    (error,) = [error for packet in left for error in packet.chunks(wire.Error)]
    assert [cause.type for cause in error.causes] == [Cause.COOKIE_WHILE_SHUTTING_DOWN]
    assert peer.state() is StatusState.SHUTDOWN_ACK_SENT


def test_an_init_after_the_shutdown_ack_is_answered_with_it() -> None:
    """Section 9.2."""
    peer = ScriptedPeer()
    peer.accept()
    peer.give(wire.shutdown_chunk(peer.their_tsn - 1))
    assert kinds(peer.give_init(tag=0x99)) == [wire.ShutdownAck]


def test_a_peer_that_restarts_into_a_shutdown_can_connect_afterwards() -> None:
    pair = Pair()
    pair.drop = lambda sent: sent.has(wire.ShutdownComplete)
    pair.a.shutdown(pair.id, pair.now)
    pair.run_until(lambda: not pair.a.associations)
    assert pair.other.state is StatusState.SHUTDOWN_ACK_SENT
    pair.drop = lambda sent: False
    pair.id = pair.a.connect(pair.routes, 2000, pair.now)
    pair.run_until(lambda: pair.up, 20.0)
    pair.send(b"anew")
    pair.run(1.0)
    assert payloads(pair.events[pair.b]) == [b"anew"]


# -- ABORT (9.1) -------------------------------------------------------------------------------


def test_an_abort_ends_both_ends_at_once() -> None:
    pair = Pair()
    pair.send(bytes(100_000))
    pair.a.abort(pair.id, b"enough", pair.now)
    pair.finish(1.0)
    (here,), (there,) = (ends(pair.events[engine]) for engine in (pair.a, pair.b))
    assert here.state is there.state is AssociationState.COMM_LOST
    assert there.reason == b"enough"
    assert len(failures(pair.events[pair.a])) == 1


@pytest.mark.parametrize("size", [1500, 60_000, 70_000])
def test_an_abort_with_a_long_reason_arrives(size: int) -> None:
    pair = Pair(link={"mtu": 1500})
    pair.a.abort(pair.id, bytes(size), pair.now)
    pair.run(1.0)
    (end,) = ends(pair.events[pair.b])
    assert end.reason == bytes(min(size, 60_000))


def test_an_abort_tells_why() -> None:
    peer = ScriptedPeer()
    association = peer.accept()
    peer.engine.abort(association.id, b"why", peer.now)
    (packet,) = peer.take()
    (abort,) = packet.chunks(wire.Abort)
    assert abort.causes == [Tlv(Cause.USER_INITIATED_ABORT, b"why")]
    assert packet.packet.tag == peer.tag


def test_messages_that_were_not_acknowledged_are_reported() -> None:
    peer = ScriptedPeer()
    association = peer.accept()
    for number in range(3):
        peer.send(b"%d" % number, info(context=number))
    peer.give(peer.sack_first(1))
    peer.engine.abort(association.id, b"", peer.now)
    failed = failures(peer.events())
    assert [(f.data, f.context, f.sent) for f in failed] == [(b"1", 1, True), (b"2", 2, True)]


def test_messages_that_arrived_before_an_abort_can_be_read() -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.give(peer.unordered(b"read me"))
    peer.give(wire.abort_chunk())
    messages = [event for event in peer.events() if isinstance(event, Message)]
    assert [message.data for message in messages] == [b"read me"]


def test_nothing_is_sent_for_an_association_that_is_gone() -> None:
    peer = ScriptedPeer()
    association = peer.accept()
    peer.give(wire.abort_chunk())
    for call in (peer.engine.shutdown, peer.engine.status):
        with pytest.raises(BrokenPipeError):
            call(association.id, *([peer.now] if call == peer.engine.shutdown else []))
    assert peer.engine.next_deadline() is None
    assert peer.advance(1000.0) == []


def test_the_sender_learns_when_all_is_acknowledged() -> None:
    pair = Pair()
    pair.run(1.0)
    pair.events[pair.a].clear()
    pair.send(bytes(5000))
    pair.run(1.0)
    assert [type(event) for event in pair.events[pair.a]] == [SenderDry]


def test_after_the_end_the_address_is_free_for_another_association() -> None:
    pair = Pair()
    for _ in range(3):
        shut(pair)
        pair.finish(5.0)
        pair.id = pair.a.connect(pair.routes, 2000, pair.now)
        pair.run_until(lambda: pair.up, 5.0)
    assert list(pair.association.paths) == [B]


@pytest.mark.parametrize("state", ["up", "pending", "received"])
def test_a_shutdown_that_acknowledges_what_was_not_sent_ends_the_association(state: str) -> None:
    """As a SACK that does so: the peer's state is not ours, or somebody else's."""
    peer = ScriptedPeer()
    association = peer.accept()
    peer.send(b"one")
    if state == "pending":
        peer.engine.shutdown(association.id, peer.now)
    elif state == "received":
        peer.give(wire.shutdown_chunk(peer.acked))
        assert peer.state() is StatusState.SHUTDOWN_RECEIVED
    peer.events()
    (answer,) = peer.give(wire.shutdown_chunk(peer.their_tsn + 1))
    (cause,) = answer.get(wire.Abort).causes
    assert cause.type == Cause.PROTOCOL_VIOLATION
    (end,) = ends(peer.events())
    assert (end.state, end.error) == (AssociationState.COMM_LOST, Cause.PROTOCOL_VIOLATION)
    assert not peer.engine.associations


def test_a_shutdown_may_acknowledge_the_last_chunk_that_was_sent() -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.send(b"one")
    (answer,) = peer.give(wire.shutdown_chunk(peer.their_tsn))
    assert answer.has(wire.ShutdownAck)


def test_a_shutdown_that_acknowledges_less_than_a_sack_did_takes_nothing_back() -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.send(b"one")
    peer.give(peer.sack_first(1))
    (answer,) = peer.give(wire.shutdown_chunk(peer.their_tsn - 1))
    assert answer.has(wire.ShutdownAck)


@pytest.mark.parametrize("until", ["wait", "echoed"])
def test_a_shutdown_before_the_association_is_up_is_dropped(until: Until) -> None:
    """Section 9.2: there is nothing to shut down yet."""
    peer = ScriptedPeer()
    peer.set_up(until)
    state = peer.state()
    assert peer.give(wire.shutdown_chunk(peer.acked)) == []
    assert peer.state() is state
