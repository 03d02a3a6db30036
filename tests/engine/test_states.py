"""The table of states (RFC 9260 section 4): what is in it happens, and nothing else can."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from trio_sctp import StatusState
from trio_sctp._engine import wire
from trio_sctp._engine.states import TRANSITIONS
from trio_sctp._engine.wire import Cause, ChunkType, Tlv

from ..support.scripted_peer import COOKIE_ACK, ScriptedPeer

CLOSED = StatusState.CLOSED
COOKIE_WAIT = StatusState.COOKIE_WAIT
COOKIE_ECHOED = StatusState.COOKIE_ECHOED
ESTABLISHED = StatusState.ESTABLISHED
PENDING = StatusState.SHUTDOWN_PENDING
SENT = StatusState.SHUTDOWN_SENT
RECEIVED = StatusState.SHUTDOWN_RECEIVED
ACK_SENT = StatusState.SHUTDOWN_ACK_SENT


# -- what the engine's program does, and what the peer does ---


def connects(peer: ScriptedPeer) -> None:
    peer.connect()


def sends(peer: ScriptedPeer) -> None:
    """A message that stays unacknowledged holds up the shutdown of either side."""
    peer.send(b"outstanding")


def shuts_down(peer: ScriptedPeer) -> None:
    peer.engine.shutdown(peer.association.id, peer.now)
    peer.take()


def aborts(peer: ScriptedPeer) -> None:
    peer.engine.abort(peer.association.id, b"", peer.now)
    peer.take()


def gives_init_ack(peer: ScriptedPeer) -> None:
    peer.give(peer.init_ack())


def gives_cookie_ack(peer: ScriptedPeer) -> None:
    peer.give(COOKIE_ACK)


def finds_the_cookie_stale(peer: ScriptedPeer) -> None:
    peer.give(wire.error_chunk([Tlv(Cause.STALE_COOKIE, bytes(4))]))


def sets_up(peer: ScriptedPeer) -> None:
    """Also where our own INIT crosses the peer's (section 5.2.4, action B)."""
    peer.learn(peer.begin())
    peer.give(peer.cookie_echo())


def restarts(peer: ScriptedPeer) -> None:
    """Section 5.2.4, action A."""
    peer.tag, peer.tsn = 0x99, 7000
    sets_up(peer)


def acknowledges(peer: ScriptedPeer) -> None:
    peer.give(peer.sack_first(1))


def gives_shutdown(peer: ScriptedPeer) -> None:
    peer.give(peer.shutdown())


def gives_shutdown_ack(peer: ScriptedPeer) -> None:
    peer.give(wire.chunk(ChunkType.SHUTDOWN_ACK))


def gives_shutdown_complete(peer: ScriptedPeer) -> None:
    peer.give(wire.shutdown_complete_chunk())


Step = Callable[[ScriptedPeer], None]
UP = [connects, gives_init_ack, gives_cookie_ack]

PATHS: dict[StatusState, list[Step]] = {
    CLOSED: [],
    COOKIE_WAIT: [connects],
    COOKIE_ECHOED: [connects, gives_init_ack],
    ESTABLISHED: [*UP, sends],
    PENDING: [*UP, sends, shuts_down],
    SENT: [*UP, shuts_down],
    RECEIVED: [*UP, sends, gives_shutdown],
    ACK_SENT: [*UP, gives_shutdown],
}
"""How an association comes into each state."""

STEPS: dict[tuple[StatusState, StatusState], Step] = {
    (CLOSED, COOKIE_WAIT): connects,
    (CLOSED, ESTABLISHED): sets_up,
    (COOKIE_WAIT, COOKIE_ECHOED): gives_init_ack,
    (COOKIE_WAIT, ESTABLISHED): sets_up,
    (COOKIE_ECHOED, ESTABLISHED): gives_cookie_ack,
    (COOKIE_ECHOED, COOKIE_WAIT): finds_the_cookie_stale,
    (ESTABLISHED, PENDING): shuts_down,
    (ESTABLISHED, RECEIVED): gives_shutdown,
    (PENDING, SENT): acknowledges,
    (PENDING, RECEIVED): gives_shutdown,
    (SENT, ACK_SENT): gives_shutdown,
    (SENT, CLOSED): gives_shutdown_ack,
    (RECEIVED, ACK_SENT): acknowledges,
    (ACK_SENT, CLOSED): gives_shutdown_complete,
    **{(before, ESTABLISHED): restarts for before in (ESTABLISHED, PENDING, SENT, RECEIVED)},
    **{
        (before, CLOSED): aborts
        for before in (COOKIE_WAIT, COOKIE_ECHOED, ESTABLISHED, PENDING, RECEIVED)
    },
}
"""What leads from one state to the next, without another in between."""

LEGAL = {(before, after) for before, others in TRANSITIONS.items() for after in others}


def brought_to(state: StatusState) -> ScriptedPeer:
    peer = ScriptedPeer()
    for step in PATHS[state]:
        step(peer)
    assert peer.state() is state
    return peer


def names(pair: tuple[StatusState, StatusState]) -> str:
    return " to ".join(state.name for state in pair)


def test_the_table_has_every_state() -> None:
    assert TRANSITIONS.keys() == PATHS.keys() == set(StatusState) - {StatusState.EMPTY}


def test_every_state_but_one_may_end() -> None:
    """An ABORT ends an association in whatever state (section 9.1)."""
    assert {before for before, after in LEGAL if after is CLOSED} == set(TRANSITIONS) - {CLOSED}


def test_there_is_a_way_to_see_each_change() -> None:
    assert STEPS.keys() == LEGAL


@pytest.mark.parametrize("pair", sorted(LEGAL), ids=names)
def test_what_the_table_allows_happens(pair: tuple[StatusState, StatusState]) -> None:
    before, after = pair
    peer = brought_to(before)
    STEPS[pair](peer)
    assert peer.state() is after


ILLEGAL = sorted(set(itertools.product(TRANSITIONS, TRANSITIONS)) - LEGAL)


@pytest.mark.parametrize("pair", [p for p in ILLEGAL if p[0] is not CLOSED], ids=names)
def test_what_the_table_does_not_allow_is_an_error(
    pair: tuple[StatusState, StatusState],
) -> None:
    before, after = pair
    association = brought_to(before).association
    with pytest.raises(AssertionError, match=f"{after.name} cannot follow {before.name}"):
        association._enter(after)
    assert association.state is before
