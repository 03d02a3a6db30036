"""What falls due is done at its time, and not before; however late it is that somebody looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trio_sctp._engine import wire
from trio_sctp._values import PeerAddressState

from ..support.engines import B2, FULL, Sent, path_changes
from ..support.scripted_peer import ScriptedPeer


def unanswered_init() -> ScriptedPeer:
    peer = ScriptedPeer()
    peer.set_up("wait")
    return peer


def unanswered_cookie() -> ScriptedPeer:
    peer = ScriptedPeer()
    peer.set_up("echoed")
    return peer


def quiet(**fields: Any) -> ScriptedPeer:
    """An association without heartbeats, which nothing is due on."""
    peer = ScriptedPeer(heartbeats=False, **fields)
    peer.accept()
    assert peer.engine.next_deadline() is None
    return peer


def unacknowledged_data() -> ScriptedPeer:
    peer = quiet()
    peer.send(b"x")
    return peer


def data_to_acknowledge() -> ScriptedPeer:
    peer = quiet()
    peer.give(peer.data())
    assert peer.give(peer.data()) == []
    return peer


def idle() -> ScriptedPeer:
    peer = ScriptedPeer()
    peer.accept()
    return peer


def unanswered_heartbeat() -> ScriptedPeer:
    peer = quiet()
    peer.engine.request_heartbeat(peer.association.id, peer.route.remote, peer.now)
    peer.take()
    return peer


def unanswered_shutdown() -> ScriptedPeer:
    peer = quiet()
    peer.engine.shutdown(peer.association.id, peer.now)
    peer.take()
    return peer


def unanswered_shutdown_ack() -> ScriptedPeer:
    peer = quiet()
    peer.give(peer.shutdown())
    return peer


def listed_address() -> ScriptedPeer:
    peer = ScriptedPeer(heartbeats=False)
    peer.accept(wire.address_parameter(B2))
    peer.take()
    return peer


def unanswered_mtu_probe() -> ScriptedPeer:
    """All data is acknowledged, so only the probe's timer runs."""
    peer = quiet(path_mtu_discovery=True)
    peer.send(bytes(20 * FULL))
    count = 0
    while (sent := sum(len(packet.chunks(wire.Data)) for packet in peer.sent)) > count:
        count = sent
        peer.give(peer.sack_first(count))
    assert any(packet.size > 1280 for packet in peer.sent)
    return peer


def leaves(kind: type[object]) -> Callable[[ScriptedPeer, list[Sent]], bool]:
    return lambda peer, left: any(packet.has(kind) for packet in left)


def path_fails(peer: ScriptedPeer, left: list[Sent]) -> bool:
    return (peer.route.remote, PeerAddressState.ADDR_POTENTIALLY_FAILED) in path_changes(
        peer.events()
    )


def probe_leaves(peer: ScriptedPeer, left: list[Sent]) -> bool:
    return any(packet.size > 1280 for packet in left)


DUE: dict[str, tuple[Callable[[], ScriptedPeer], Callable[[ScriptedPeer, list[Sent]], bool]]] = {
    "T1-init": (unanswered_init, leaves(wire.Init)),
    "T1-cookie": (unanswered_cookie, leaves(wire.CookieEcho)),
    "T3-rtx": (unacknowledged_data, leaves(wire.Data)),
    "SACK": (data_to_acknowledge, leaves(wire.Sack)),
    "heartbeat": (idle, leaves(wire.Heartbeat)),
    "heartbeat that is lost": (unanswered_heartbeat, path_fails),
    "T2-shutdown, SHUTDOWN": (unanswered_shutdown, leaves(wire.Shutdown)),
    "T2-shutdown, SHUTDOWN ACK": (unanswered_shutdown_ack, leaves(wire.ShutdownAck)),
    "probe of the path MTU": (unanswered_mtu_probe, probe_leaves),
}


@pytest.mark.parametrize("late", [-0.001, 0.0, 0.001, 0.3, 30.0])
@pytest.mark.parametrize("timer", DUE)
def test_what_is_due_is_done_and_not_before(timer: str, late: float) -> None:
    situation, done = DUE[timer]
    peer = situation()
    deadline = peer.engine.next_deadline()
    assert deadline is not None
    assert deadline > peer.now
    peer.now = deadline + late
    peer.engine.handle_timeout(peer.now)
    assert done(peer, peer.take()) is (late >= 0)
    after = peer.engine.next_deadline()
    assert after is None or after >= deadline
    if late >= 0:
        # Once, not again and again.
        peer.engine.handle_timeout(peer.now)
        assert peer.take() == []
        assert after is None or after > peer.now


@pytest.mark.parametrize("late", [-0.001, 0.0, 5.0])
def test_an_association_that_is_not_used_is_closed_at_its_time(late: float) -> None:
    peer = ScriptedPeer(heartbeats=False, autoclose=7.0)
    peer.accept()
    peer.now = 7.0 + late
    peer.engine.handle_timeout(peer.now)
    assert leaves(wire.Shutdown)(peer, peer.take()) is (late >= 0)


@pytest.mark.parametrize("late", [-0.001, 0.0, 1000.0])
def test_an_address_that_is_listed_is_probed_at_its_time(late: float) -> None:
    peer = listed_address()
    probed = {p.route.remote for p in peer.sent if p.has(wire.Heartbeat)}
    deadline = peer.engine.next_deadline()
    if B2 in probed:
        assert deadline is not None
        peer.now = deadline + late
        peer.engine.handle_timeout(peer.now)
        assert leaves(wire.Heartbeat)(peer, peer.take()) is (late >= 0)
    else:
        assert deadline == peer.now
