"""State after a restart held against state at birth (RFC 9260 section 5.2.4, action A).

A peer that has lost its state gets an association "as if" it were new.  So the same cookie is given
to two engines: one that had an association with the peer, in which much has happened, and one that
had none.  All that can be seen of the two has to be the same afterwards, and what leaves them too.
"""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from trio_sctp._engine import wire
from trio_sctp._engine.path import Path
from trio_sctp._engine.wire import Cause, ParameterType, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import AssociationChange, AssociationState

from ..support.engines import A2, B2, B3, FULL, A, Sent, ends, failures, info
from ..support.scripted_peer import ScriptedPeer

FORWARD_TSN = Tlv(ParameterType.FORWARD_TSN_SUPPORTED, b"")
SEED = 5
PACKAGE = "trio_sctp._engine."

CHANCE = {"tie_tags", "heartbeat_at", "heartbeat_nonce"}
"""What is drawn by lot."""
COUNTS = {"packets", "chunks", "alone", "sent", "answered"}
COUNTS |= {"abandoned", "retransmitted", "gap_blocks", "duplicate_chunks", "overtaking_chunks"}
"""What goes on to be counted."""
OWN = {"id", "initiation", "parameters", "unread"}
"""What is not of the new association: the id stays, as does what the program has not taken, and the
handshake of the old one is over."""


def fields(thing: object) -> dict[str, Any]:
    """All public attributes of an object, except for its methods."""
    names = [name for name in dir(thing) if name[0] != "_" and name not in CHANCE | COUNTS | OWN]
    return {name: value for name in names if not callable(value := getattr(thing, name))}


def state(peer: ScriptedPeer) -> dict[str, Any]:
    """All that is to be seen of an association: its own fields, and those of its parts."""
    association = peer.association
    seen: dict[str, Any] = {"primary": association.primary and association.primary.address}
    for name, value in fields(association).items():
        if type(value).__module__.startswith(PACKAGE) and name not in ("paths", "primary"):
            seen[name] = fields(value)
        elif name == "paths":
            seen[name] = {address: path_state(path) for address, path in value.items()}
        elif name != "primary":
            seen[name] = value
    return seen


def path_state(path: Path) -> dict[str, Any]:
    found = fields(path)
    search = found.pop("search")
    return found | {"search": search and fields(search), "beats": path.heartbeat_at != inf}


def worn(peer: ScriptedPeer) -> None:
    """An association in which all that can happen has happened."""
    parameters = wire.address_parameter(B2), wire.address_parameter(B3), FORWARD_TSN
    association = peer.accept(*parameters, Tlv(ParameterType.ADAPTATION_INDICATION, bytes(4)))
    # Round trips are measured, windows grow, a loss halves one, and a timeout shrinks it.
    for count in range(1, 40):
        peer.send(bytes(FULL))
        peer.advance(0.5)
        peer.give(peer.sack_first(count))
    for _ in range(10):
        peer.send(bytes(FULL), info(3, lifetime=700))
    for highest in range(2, 7):
        peer.give(peer.sack_first(39, gaps=[(2, highest)]))
    peer.advance(20.0)
    # One address is confirmed, and two fail; the program prefers one.
    for packet in peer.sent:
        for beat in packet.chunks(wire.Heartbeat):
            if packet.route.remote == B2:
                peer.give(wire.heartbeat_chunk(beat.info, ack=True), route=packet.route)
    peer.engine.set_primary(association.id, B2)
    # The peer's data has gaps, duplicates, streams that have advanced, and messages that wait.
    for _ in range(5):
        peer.give(peer.data(stream=4), peer.data(b"x" * 500, stream=5))
    peer.give(peer.data(tsn=peer.tsn + 5, stream=1), peer.data(tsn=peer.tsn + 5, stream=1))
    peer.give(peer.data(tsn=peer.tsn, stream=2, ssn=7))
    peer.give(wire.error_chunk([Tlv(Cause.INVALID_STREAM, bytes(4))]))
    peer.events()
    # A chunk in the middle is acknowledged, T3 has expired, and a SACK is delayed.
    for stream in range(5):
        peer.send(bytes(FULL), info(stream))
    peer.give(peer.sack(rwnd=100_000))
    peer.advance(70.0)
    sent = [data.tsn for packet in peer.sent for data in packet.chunks(wire.Data)]
    peer.give(wire.sack_chunk(max(sent) - 3, 100_000, [(2, 2)], []))
    peer.advance(70.0)
    peer.give(wire.forward_tsn_chunk(peer.tsn + 5, []))
    assert [p.kinds for p in peer.give(peer.data(tsn=peer.tsn + 6, stream=9))] == []
    assert peer.state() is StatusState.ESTABLISHED


def reborn(old: ScriptedPeer, *parameters: Tlv) -> tuple[ScriptedPeer, ScriptedPeer]:
    """Restart a peer; return it, and one with the same association that has had none before."""
    old.events()  # what is unread would still fill the window
    old.tag, old.tsn = 0x99, 7000
    ack = old.begin(parameters=[FORWARD_TSN, *parameters])
    new = ScriptedPeer((A, A2), seed=SEED)  # of the same seed, so its cookies have the same keys
    new.now = old.now
    for peer in old, new:
        peer.tag, peer.tsn = 0x99, 7000
        peer.learn(ack)
        peer.sent.clear()
        (answer,) = peer.give(peer.cookie_echo())
        assert answer.has(wire.CookieAck)
        assert answer.tag == 0x99
    return old, new


ADDRESSES: list[list[Tlv]] = [
    [],
    [wire.address_parameter(B2)],
    [wire.address_parameter(B2), wire.address_parameter(B3)],
]


@pytest.mark.parametrize("listed", ADDRESSES, ids=len)
def test_after_a_restart_an_association_is_as_one_that_is_new(listed: list[Tlv]) -> None:
    peer = ScriptedPeer((A, A2), seed=SEED)
    worn(peer)
    before = state(peer)
    old, new = reborn(peer, *listed)
    (event,) = [e for e in old.events() if isinstance(e, AssociationChange)]
    assert event.state is AssociationState.RESTART
    (event,) = [e for e in new.events() if isinstance(e, AssociationChange)]
    assert event.state is AssociationState.COMM_UP
    after = state(old)
    assert after == state(new)
    for name in "outbound", "inbound", "paths", "their_tag", "adaptation":
        assert before[name] != after[name]


def test_what_was_not_acknowledged_before_a_restart_fails_without_a_cause() -> None:
    peer = ScriptedPeer((A, A2), seed=SEED)
    peer.accept()
    peer.send(b"sent")
    peer.tag = 0x99
    ack = peer.begin()
    peer.learn(ack)
    peer.give(peer.cookie_echo())
    assert [(f.data, f.sent, f.error) for f in failures(peer.events())] == [(b"sent", True, 0)]


@pytest.mark.parametrize("listed", ADDRESSES, ids=len)
def test_what_leaves_after_a_restart_is_what_leaves_a_new_one(listed: list[Tlv]) -> None:
    peer = ScriptedPeer((A, A2), seed=SEED)
    worn(peer)
    lives = [life(peer) for peer in reborn(peer, *listed)]
    assert len(lives[0]) > 40
    assert lives[0] == lives[1]


def life(peer: ScriptedPeer) -> list[tuple[object, ...]]:
    """What leaves an association that is used, stalls and is shut down; chance is left out."""
    peer.events()
    peer.sent.clear()
    start = peer.now
    for path in peer.association.paths.values():
        path.heartbeats, path.heartbeat_at = False, inf
    peer.advance(1.0)
    peer.give(peer.data(b"first"))
    peer.advance(1.0)
    peer.give(peer.data(b"second"))
    peer.advance(1.0)
    peer.give(peer.data(b"gap", tsn=peer.tsn + 1), peer.data(stream=3, ssn=1, tsn=peer.tsn + 3))
    peer.give(peer.data(b"third"))
    count = 0
    for _ in range(12):
        peer.send(bytes(3 * FULL), info(2))
        peer.send(b"mortal", info(1, lifetime=1000))
        peer.advance(0.3)
        count += 2
        peer.give(peer.sack_first(count))
    for highest in range(2, 8):
        peer.give(peer.sack_first(count, gaps=[(2, highest)]))
    peer.advance(100.0)
    if peer.engine.associations:
        peer.engine.shutdown(peer.association.id, peer.now)
        peer.advance(1000.0)
    assert len(ends(peer.events())) == 1
    return [without_chance(packet, start) for packet in peer.sent]


def without_chance(packet: Sent, start: float) -> tuple[object, ...]:
    chunks = [
        type(chunk) if isinstance(chunk, wire.Heartbeat) else chunk
        for chunk in packet.packet.chunks
    ]
    return round(packet.time - start, 6), packet.route, packet.tag, chunks, packet.fragment
