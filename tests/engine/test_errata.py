"""RFC 9260's verified errata.

Erratum 7147 corrects a quotation and asks nothing of an implementation; it has no test.
"""

from __future__ import annotations

from typing import Any

import pytest

from trio_sctp._engine import Engine, wire
from trio_sctp._engine.wire import Cause, ChunkType, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import AssociationChange, AssociationState

from ..support.engines import PEER_PORT, PORT, A, B, ends
from ..support.scripted_peer import COOKIE_ACK, STATES, ScriptedPeer
from .simulation import Pair

WRONG = 0x0BADBAD0
"""A verification tag that nobody has chosen."""


# -- erratum 7148 (section 3.3.3) --------------------------------------------------------------


def test_an_init_ack_with_a_window_below_1500_bytes_ends_the_connect() -> None:
    """Erratum 7148: in COOKIE-WAIT the TCB goes and the peer is told, as with no streams."""
    peer = ScriptedPeer()
    peer.connect()
    (answer,) = peer.give(peer.init_ack(rwnd=1499))
    assert answer.tag == peer.tag
    assert answer.has(wire.Abort)
    assert not peer.engine.associations
    assert [event.state for event in ends(peer.events())] == [AssociationState.CANT_ASSOC]


def test_an_init_ack_with_a_window_of_1500_bytes_is_good() -> None:
    """Erratum 7148, at its edge."""
    peer = ScriptedPeer()
    peer.connect()
    (answer,) = peer.give(peer.init_ack(rwnd=1500))
    assert answer.has(wire.CookieEcho)


@pytest.mark.parametrize("state", STATES[1:])
def test_in_any_other_state_such_an_init_ack_is_discarded_silently(state: StatusState) -> None:
    """Erratum 7148, its second sentence."""
    peer = ScriptedPeer()
    association = peer.bring_to(state)
    before = _seen(peer)
    assert peer.give(peer.init_ack(rwnd=0)) == []
    assert association.state is state
    assert _seen(peer) == before


# -- errata 7387 and 8402 (sections 5.1, 5.2.4.1) ----------------------------------------------


def test_the_cookie_echo_of_a_client_that_has_restarted_has_a_timer_of_its_own() -> None:
    """Erratum 7387: T1-cookie guards it, so the COOKIE ECHO is what is sent again."""
    pair = Pair()
    again = Engine(PORT, [A], randomness=pair.random.randbytes)
    pair.engines[pair.engines.index(pair.a)] = again
    pair.hosts[A], pair.events[again] = again, []
    pair.reading = {again, pair.b}
    lost: list[float] = []

    def drop(sent: Any) -> bool:
        if len(lost) < 3 and sent.has(wire.CookieAck):
            lost.append(sent.time)
            return True
        return False

    pair.drop = drop
    started = pair.now
    again.connect(pair.routes, PEER_PORT, pair.now)
    pair.run(30.0)
    inits = pair.packets(wire.Init, A, since=started)
    echoes = pair.packets(wire.CookieEcho, A, since=started)
    assert len(inits) == 1
    first = echoes[0].time
    assert [round(echo.time - first, 6) for echo in echoes] == [0.0, 1.0, 3.0, 7.0]
    restarts = [
        event
        for event in pair.events[pair.b]
        if isinstance(event, AssociationChange) and event.state is AssociationState.RESTART
    ]
    assert len(restarts) == 1
    (association,) = again.associations.values()
    assert association.state is StatusState.ESTABLISHED


def test_init_and_cookie_echo_have_a_timer_and_a_count_each() -> None:
    """Erratum 8402: T1-init is that of the INIT, T1-cookie that of the COOKIE ECHO."""
    peer = ScriptedPeer(max_init_retrans=3)
    peer.connect()
    inits = peer.advance(7.5)
    assert [sent.time for sent in inits] == [1.0, 3.0, 7.0]
    assert all(sent.kinds == [wire.Init] for sent in inits)
    peer.give(peer.init_ack())
    echoed = peer.now
    echoes = peer.advance(14.5)
    assert [sent.time - echoed for sent in echoes] == [1.0, 3.0, 7.0]
    assert all(sent.has(wire.CookieEcho) for sent in echoes)
    assert peer.state() is StatusState.COOKIE_ECHOED
    peer.advance(1.0)
    assert not peer.engine.associations


# -- erratum 7852 (section 8.5) ----------------------------------------------------------------

KINDS: dict[str, bytes] = {
    "INIT": wire.init_chunk(wire.Init(0x99, 65536, 10, 10, 7, [])),
    "INIT ACK": wire.init_chunk(
        wire.InitAck(0x99, 65536, 10, 10, 7, [Tlv(wire.ParameterType.STATE_COOKIE, b"x")])
    ),
    "INIT ACK without a cookie": wire.init_chunk(wire.InitAck(0x99, 65536, 10, 10, 7, [])),
    "DATA": wire.data_chunk(100, 0, 0, 0, b"x", 7),
    "SACK": wire.sack_chunk(0x7FFF, 65536, [], []),
    "HEARTBEAT": wire.heartbeat_chunk(b"x"),
    "HEARTBEAT ACK": wire.heartbeat_chunk(b"x", ack=True),
    "ABORT": wire.abort_chunk([Tlv(Cause.USER_INITIATED_ABORT, b"x")]),
    "ABORT with the T bit": wire.abort_chunk(reflected=True),
    "SHUTDOWN": wire.shutdown_chunk(0),
    "SHUTDOWN ACK": wire.chunk(ChunkType.SHUTDOWN_ACK),
    "ERROR": wire.error_chunk([Tlv(Cause.STALE_COOKIE, bytes(4))]),
    "COOKIE ECHO": wire.chunk(ChunkType.COOKIE_ECHO, b"x"),
    "COOKIE ACK": COOKIE_ACK,
    "SHUTDOWN COMPLETE": wire.shutdown_complete_chunk(),
    "SHUTDOWN COMPLETE with the T bit": wire.shutdown_complete_chunk(reflected=True),
    "FORWARD TSN": wire.forward_tsn_chunk(200, []),
    "unknown": wire.chunk(0x3F),
    "unknown, to be reported": wire.chunk(0xC5),
}


def _seen(peer: ScriptedPeer) -> tuple[object, ...]:
    """All that a packet could have changed of the only association, as far as it can be seen."""
    association = peer.association
    inbound = association.inbound
    return (
        association.state,
        association.our_tag,
        association.their_tag,
        association.error_count,
        association.deadline(),
        association.outbound.cumulative,
        association.outbound.flight,
        association.outbound.rwnd,
        None if inbound is None else (inbound.cumulative, inbound.held),
        [
            (address, path.confirmed, path.state, path.error_count, path.cwnd)
            for address, path in association.paths.items()
        ],
        peer.engine.unread(),
    )


@pytest.mark.parametrize("bundled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", STATES)
def test_the_verification_tag_is_checked_before_anything_else(
    state: StatusState, kind: str, bundled: bool
) -> None:
    """Erratum 7852: a packet whose tag is wrong changes no association and is not processed."""
    peer = ScriptedPeer()
    peer.bring_to(state)
    before = _seen(peer)
    chunks = [KINDS[kind]] if not bundled else [wire.heartbeat_chunk(b"x"), KINDS[kind]]
    answers = peer.give(*chunks, tag=WRONG)
    assert _seen(peer) == before
    for answer in answers:
        # Whoever answers at all (8.4, 8.5.1 E) has seen no association: the tag is given back.
        assert answer.tag == WRONG
        assert len(answer.packet.chunks) == 1
        (chunk,) = answer.packet.chunks
        assert isinstance(chunk, (wire.Abort, wire.ShutdownComplete))
        assert chunk.reflected


def test_only_an_init_goes_without_a_tag() -> None:
    """Erratum 7852: 0 is no tag that fits, whatever follows the common header."""
    for state in STATES:
        for kind, chunk in KINDS.items():
            if kind == "INIT":
                continue
            peer = ScriptedPeer()
            peer.bring_to(state)
            before = _seen(peer)
            assert peer.give(chunk, tag=0) == []
            assert _seen(peer) == before, (state, kind)


def test_an_init_without_a_tag_changes_no_association() -> None:
    """Erratum 7852: what answers it is a cookie, or in the shutdown what was said already."""
    for state in STATES:
        peer = ScriptedPeer()
        association = peer.bring_to(state)
        before = (association.state, association.our_tag, association.their_tag)
        peer.give_init(tag=0x99)
        assert (association.state, association.our_tag, association.their_tag) == before
        assert list(peer.engine.associations.values()) == [association]
        assert list(association.paths) == [B]
