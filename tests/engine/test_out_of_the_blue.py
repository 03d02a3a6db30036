"""Packets that belong to no association, or seem to (RFC 9260 sections 8.4, 8.5 and 8.5.1)."""

from __future__ import annotations

from random import Random

import pytest

from trio_sctp._engine import Parameters, Route, wire
from trio_sctp._engine.wire import Cause, ChunkType, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import AssociationState

from ..support.engines import B2, PEER_PORT, PORT, A, B, cookie_echo, ends, payloads
from ..support.scripted_peer import ScriptedPeer, Until

TAG = 0xABCDEF01
DATA = wire.data_chunk(1, 0, 0, 0, b"x", 7)
SACK = wire.sack_chunk(1, 1000, [], [])
HEARTBEAT = wire.heartbeat_chunk(b"12345678")
HEARTBEAT_ACK = wire.heartbeat_chunk(b"12345678", ack=True)
ABORT = wire.abort_chunk()
SHUTDOWN = wire.shutdown_chunk(1)
SHUTDOWN_ACK = wire.chunk(ChunkType.SHUTDOWN_ACK)
SHUTDOWN_COMPLETE = wire.shutdown_complete_chunk()
COOKIE_ACK = wire.chunk(ChunkType.COOKIE_ACK)
STALE = wire.error_chunk([Tlv(Cause.STALE_COOKIE, bytes(4))])
ERROR = wire.error_chunk([Tlv(Cause.INVALID_STREAM, bytes(4))])
FORWARD_TSN = wire.forward_tsn_chunk(1, [])
UNKNOWN = wire.chunk(0xFE, b"what")


# -- section 8.4, in its order -----------------------------------------------------------------


@pytest.mark.parametrize("remote", ["224.0.0.1", "255.255.255.255", "0.0.0.0", "ff02::1", "::"])
def test_1_nothing_that_comes_from_no_unicast_address_is_answered(remote: str) -> None:
    peer = ScriptedPeer()
    route = Route("fd00::1" if ":" in remote else A, remote)
    for chunk in (DATA, SHUTDOWN_ACK, HEARTBEAT):
        assert peer.give(chunk, tag=TAG, route=route) == []
    assert peer.give_init(route) == []


@pytest.mark.parametrize("local", ["224.0.0.1", "255.255.255.255", "ff02::1"])
def test_1_nothing_that_goes_to_no_unicast_address_is_answered(local: str) -> None:
    peer = ScriptedPeer()
    route = Route(local, "fd00::2" if ":" in local else B)
    for chunk in (DATA, SHUTDOWN_ACK, HEARTBEAT):
        assert peer.give(chunk, tag=TAG, route=route) == []
    assert peer.give_init(route) == []


def test_2_an_abort_is_never_answered() -> None:
    for abort in (ABORT, wire.abort_chunk(reflected=True)):
        assert ScriptedPeer().give(abort, tag=TAG) == []


@pytest.mark.parametrize("company", [DATA, SHUTDOWN_ACK, HEARTBEAT, COOKIE_ACK])
def test_2_an_abort_behind_other_chunks_is_never_answered(company: bytes) -> None:
    assert ScriptedPeer().give(company, ABORT, tag=TAG) == []


def test_3_an_init_is_answered_with_an_init_ack() -> None:
    (answer,) = ScriptedPeer().give_init()
    assert answer.has(wire.InitAck)
    assert answer.packet.tag == ScriptedPeer().tag


def test_3_an_init_that_is_refused_is_answered_without_the_t_bit() -> None:
    peer = ScriptedPeer()
    peer.engine.listening = False
    (answer,) = peer.give_init()
    assert answer.packet.tag == peer.tag
    assert not answer.chunks(wire.Abort)[0].reflected


def test_4_a_cookie_echo_makes_an_association() -> None:
    peer = ScriptedPeer()
    ack = peer.begin()
    assert peer.give(cookie_echo(ack), tag=ack.tag)[0].has(wire.CookieAck)
    assert peer.state() is StatusState.ESTABLISHED


def test_4_a_forged_cookie_is_dropped_without_a_word() -> None:
    echo = wire.chunk(ChunkType.COOKIE_ECHO, Random(0).randbytes(200))
    assert ScriptedPeer().give(echo, tag=TAG) == []


def test_5_a_shutdown_ack_is_completed_with_the_t_bit() -> None:
    (answer,) = ScriptedPeer().give(SHUTDOWN_ACK, tag=TAG)
    assert answer.packet.tag == TAG
    assert answer.packet.chunks == [wire.ShutdownComplete(reflected=True)]


def test_6_a_shutdown_complete_is_never_answered() -> None:
    for complete in (SHUTDOWN_COMPLETE, wire.shutdown_complete_chunk(reflected=True)):
        assert ScriptedPeer().give(complete, tag=TAG) == []


def test_7_a_stale_cookie_error_is_never_answered() -> None:
    assert ScriptedPeer().give(STALE, tag=TAG) == []


def test_7_a_cookie_ack_is_never_answered() -> None:
    assert ScriptedPeer().give(COOKIE_ACK, tag=TAG) == []


@pytest.mark.parametrize(
    "chunk", [DATA, SACK, HEARTBEAT, HEARTBEAT_ACK, SHUTDOWN, ERROR, FORWARD_TSN, UNKNOWN]
)
def test_8_anything_else_is_answered_with_an_abort_with_the_t_bit(chunk: bytes) -> None:
    peer = ScriptedPeer()
    (answer,) = peer.give(chunk, tag=TAG)
    assert answer.packet.tag == TAG
    (abort,) = answer.chunks(wire.Abort)
    assert abort.reflected
    assert answer.route == peer.route
    assert not peer.engine.associations


def test_replies_are_rate_limited() -> None:
    peer = ScriptedPeer(max_replies_per_second=100)
    answered = [len(peer.give(DATA, tag=TAG)) for _ in range(1000)]
    assert sum(answered) == 100
    peer.now = 1.0
    answered = [len(peer.give(SHUTDOWN_ACK, tag=TAG)) for _ in range(1000)]
    assert sum(answered) == 100
    peer.engine.listening = False
    assert peer.give_init() == []


def test_replies_are_rate_limited_over_time() -> None:
    peer = ScriptedPeer(max_replies_per_second=100)
    answered = 0
    for _ in range(10_000):
        peer.now += 0.001
        answered += len(peer.give(DATA, tag=TAG))
    assert 1000 <= answered <= 1100


def test_associations_do_not_suffer_from_the_rate_limit() -> None:
    peer = ScriptedPeer(max_replies_per_second=1)
    peer.accept()
    for _ in range(10):
        peer.give(DATA, tag=TAG, route=Route(A, B2))
    (answer,) = peer.give(HEARTBEAT)
    assert answer.has(wire.HeartbeatAck)


# -- what is no packet -------------------------------------------------------------------------


def test_a_wrong_checksum_is_dropped_without_a_word() -> None:
    peer = ScriptedPeer()
    packet = bytearray(peer.packet(DATA, tag=TAG))
    packet[-1] ^= 1
    assert peer.give_raw(bytes(packet)) == []


def test_a_packet_for_another_port_is_dropped_without_a_word() -> None:
    assert ScriptedPeer().give_raw(wire.seal(PEER_PORT, PORT + 1, TAG, [DATA])) == []


def test_a_packet_without_tag_is_dropped_without_a_word() -> None:
    """Section 8.5.1 A: only an INIT has no tag."""
    peer = ScriptedPeer()
    for chunk in (DATA, SHUTDOWN_ACK, HEARTBEAT, cookie_echo(peer.begin())):
        assert peer.give(chunk, tag=0) == []
    peer.accept()
    for chunk in (DATA, SHUTDOWN_ACK, HEARTBEAT, ABORT):
        assert peer.give(chunk, tag=0) == []
    assert peer.state() is StatusState.ESTABLISHED


@pytest.mark.parametrize("chunk", [DATA, SACK, HEARTBEAT, SHUTDOWN, ERROR, COOKIE_ACK, STALE])
def test_a_wrong_tag_is_dropped_without_a_word(chunk: bytes) -> None:
    """Section 8.5."""
    peer = ScriptedPeer()
    peer.accept()
    assert peer.give(chunk, tag=peer.their_tag ^ 1) == []
    assert peer.state() is StatusState.ESTABLISHED
    assert peer.events() == []


# -- the T bit (8.5.1) -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "reflected", "accepted"),
    [(True, False, True), (False, True, True), (True, True, False), (False, False, False)],
)
def test_b_the_t_bit_of_an_abort(own: bool, reflected: bool, accepted: bool) -> None:
    """``own`` stands for the tag of the receiver, else for that of its peer."""
    peer = ScriptedPeer()
    peer.accept()
    tag = peer.their_tag if own else peer.tag
    assert peer.give(wire.abort_chunk(reflected=reflected), tag=tag) == []
    assert (peer.state() is StatusState.CLOSED) is accepted
    assert [e.state for e in ends(peer.events())] == [AssociationState.COMM_LOST] * accepted


@pytest.mark.parametrize("behind", ["before", "behind"])
def test_b_the_t_bit_counts_whatever_is_bundled_with_the_abort(behind: str) -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.send(b"x")
    chunks = [wire.abort_chunk(reflected=True), peer.sack_first(1)]
    assert peer.give(*(chunks if behind == "behind" else reversed(chunks))) == []
    assert peer.state() is StatusState.ESTABLISHED


@pytest.mark.parametrize(
    ("own", "reflected", "accepted"),
    [(True, False, True), (False, True, True), (True, True, False), (False, False, False)],
)
def test_c_the_t_bit_of_a_shutdown_complete(own: bool, reflected: bool, accepted: bool) -> None:
    peer = ScriptedPeer()
    peer.accept()
    (answer,) = peer.give(wire.shutdown_chunk(peer.acked))
    assert answer.has(wire.ShutdownAck)
    tag = peer.their_tag if own else peer.tag
    assert peer.give(wire.shutdown_complete_chunk(reflected=reflected), tag=tag) == []
    assert (peer.state() is StatusState.CLOSED) is accepted


def test_c_a_shutdown_complete_in_another_state_is_dropped() -> None:
    peer = ScriptedPeer()
    peer.accept()
    for reflected, tag in ((False, peer.their_tag), (True, peer.tag)):
        complete = wire.shutdown_complete_chunk(reflected=reflected)
        assert peer.give(complete, tag=tag) == []
    assert peer.state() is StatusState.ESTABLISHED


def test_an_abort_with_a_t_bit_does_not_end_a_connect_before_the_peer_has_a_tag() -> None:
    peer = ScriptedPeer()
    peer.set_up("wait")
    assert peer.give(wire.abort_chunk(reflected=True), tag=0) == []
    assert peer.give(wire.abort_chunk(reflected=True), tag=TAG) == []
    assert peer.state() is StatusState.COOKIE_WAIT
    peer.give(wire.abort_chunk(), tag=peer.their_tag)
    assert ends(peer.events())[0].state is AssociationState.CANT_ASSOC


@pytest.mark.parametrize("until", ["wait", "echoed"])
@pytest.mark.parametrize("fits", [True, False])
def test_e_a_shutdown_ack_in_a_cookie_state_is_completed_with_the_t_bit(
    until: Until, fits: bool
) -> None:
    peer = ScriptedPeer()
    peer.set_up(until)
    state = peer.state()
    tag = peer.their_tag if fits else TAG
    (answer,) = peer.give(SHUTDOWN_ACK, tag=tag)
    assert answer.packet.tag == tag
    assert answer.packet.chunks == [wire.ShutdownComplete(reflected=True)]
    assert peer.state() is state


def test_e_a_shutdown_ack_with_a_wrong_tag_is_dropped_once_it_is_up() -> None:
    peer = ScriptedPeer()
    peer.accept()
    assert peer.give(SHUTDOWN_ACK, tag=TAG) == []


def test_the_peer_of_an_association_that_is_gone_learns_of_it() -> None:
    """An endpoint that has restarted answers with an ABORT that its peer takes."""
    peer, reborn = ScriptedPeer(seed=1), ScriptedPeer(seed=2)
    peer.accept()
    packet = peer.send(b"hello")[0]
    data = wire.seal(PORT, PEER_PORT, packet.packet.tag, [DATA])
    reborn.engine.use_port(PEER_PORT)
    (abort,) = reborn.give_raw(data, Route(B, A))
    (chunk,) = abort.chunks(wire.Abort)
    assert peer.give(wire.abort_chunk(reflected=chunk.reflected), tag=abort.packet.tag) == []
    assert ends(peer.events())[0].state is AssociationState.COMM_LOST


def test_packets_from_an_address_that_is_not_the_peers_are_of_no_association() -> None:
    peer = ScriptedPeer()
    peer.accept()
    (answer,) = peer.give(peer.unordered(), route=Route(A, B2))
    assert answer.has(wire.Abort)
    assert payloads(peer.events()) == []
    assert peer.state() is StatusState.ESTABLISHED


def test_limits_have_a_default() -> None:
    assert Parameters().max_replies_per_second == 100
