"""SCTP in UDP (RFC 6951): which UDP port of the peer is used, and what may change it."""

from __future__ import annotations

import pytest

from trio_sctp._engine import Route, wire
from trio_sctp._engine.wire import Cause
from trio_sctp._options import StatusState
from trio_sctp._values import AssociationState

from ..support.engines import A2, B2, PEER_PORT, PORT, A, B, Sent, cookie_echo, ends, info, payloads
from ..support.scripted_peer import ScriptedPeer, Until
from .simulation import Pair, Simulation

OURS, THEIRS, OTHER = 9899, 5000, 6000


def udp() -> ScriptedPeer:
    return ScriptedPeer(udp=(OURS, THEIRS))


def from_other(peer: ScriptedPeer) -> Route:
    return peer.route._replace(remote_udp=OTHER)


def answer_heartbeat(peer: ScriptedPeer, asked: list[Sent]) -> None:
    """Answer the only packet, a heartbeat to where the peer was all the time."""
    (packet,) = asked
    assert packet.route == peer.route
    peer.give(wire.heartbeat_chunk(packet.get(wire.Heartbeat).info, ack=True))


def test_packets_go_back_to_the_udp_port_that_they_came_from() -> None:
    peer = udp()
    (answer,) = peer.give_init()
    assert answer.route == Route(A, B, OURS, THEIRS)
    peer.accept()
    (packet,) = peer.send(b"x")
    assert packet.route == Route(A, B, OURS, THEIRS)


def test_a_packet_without_udp_is_answered_without_udp() -> None:
    (answer,) = ScriptedPeer().give_init()
    assert answer.route == Route(A, B, 0, 0)


def test_out_of_the_blue_packets_are_answered_to_their_udp_port() -> None:
    (answer,) = udp().give(wire.chunk(wire.ChunkType.SHUTDOWN_ACK), tag=5)
    assert answer.route.remote_udp == THEIRS


def test_a_connect_goes_to_the_udp_port_it_is_told() -> None:
    peer = udp()
    peer.set_up("wait")
    assert peer.sent[0].route == Route(A, B, OURS, THEIRS)


def test_the_cookie_keeps_the_udp_port_of_the_init() -> None:
    peer = udp()
    ack = peer.begin()
    peer.give(cookie_echo(ack), tag=ack.tag)
    assert peer.association.paths[B].route == Route(A, B, OURS, THEIRS)


def test_the_port_follows_the_peer_once_the_tag_is_right() -> None:
    """Section 5.4: a NAT may give it another one."""
    peer = udp()
    association = peer.accept()
    peer.give(peer.unordered(), route=from_other(peer))
    assert association.paths[B].route.remote_udp == OTHER
    (packet,) = peer.send(b"x")
    assert packet.route.remote_udp == OTHER


def test_a_wrong_tag_does_not_move_the_port() -> None:
    peer = udp()
    association = peer.accept()
    for tag in (0, 1, peer.tag, peer.their_tag ^ 1):
        peer.give(peer.unordered(tsn=500), tag=tag, route=from_other(peer))
    assert association.paths[B].route.remote_udp == THEIRS


def test_a_wrong_checksum_does_not_move_the_port() -> None:
    peer = udp()
    association = peer.accept()
    packet = bytearray(peer.packet(peer.unordered()))
    packet[8] ^= 1
    assert peer.give_raw(bytes(packet), from_other(peer)) == []
    assert association.paths[B].route.remote_udp == THEIRS


def test_the_port_is_stored_for_each_address() -> None:
    peer = udp()
    association = peer.accept(wire.address_parameter(B2))
    assert association.paths[B2].route.remote_udp == THEIRS
    peer.give(wire.heartbeat_chunk(b"x"), route=Route(A, B2, OURS, OTHER))
    ports = {host: path.route.remote_udp for host, path in association.paths.items()}
    assert ports == {B: THEIRS, B2: OTHER}


def test_the_port_is_stored_for_each_association() -> None:
    peer = udp()
    first = peer.accept()
    peer.route, peer.tag, peer.parameters = Route(A, B2, OURS, OTHER), 0x77, []
    ack = peer.begin()
    peer.give(cookie_echo(ack), tag=ack.tag)
    (second,) = [a for a in peer.engine.associations.values() if a is not first]
    assert first.paths[B].route.remote_udp == THEIRS
    assert second.paths[B2].route.remote_udp == OTHER


def test_an_init_from_another_udp_port_never_moves_an_association() -> None:
    """The peer has cause 14 for an answer, once the association has shown that it lives."""
    peer = udp()
    association = peer.accept()
    answer_heartbeat(peer, peer.give_init(from_other(peer), tag=0x99))
    (answer,) = peer.give_init(from_other(peer), tag=0x99)
    assert answer.route.remote_udp == OTHER
    assert answer.packet.tag == 0x99
    (abort,) = answer.chunks(wire.Abort)
    assert not abort.reflected
    (cause,) = abort.causes
    assert cause.type == Cause.RESTART_WITH_NEW_ENCAPSULATION_PORT
    assert int(Cause.RESTART_WITH_NEW_ENCAPSULATION_PORT) == 14
    assert cause.value == THEIRS.to_bytes(2, "big") + OTHER.to_bytes(2, "big")
    assert association.paths[B].route.remote_udp == THEIRS
    assert peer.state() is StatusState.ESTABLISHED


def test_an_init_without_udp_never_moves_an_association_in_udp() -> None:
    peer = udp()
    association = peer.accept()
    answer_heartbeat(peer, peer.give_init(Route(A, B), tag=0x99))
    (answer,) = peer.give_init(Route(A, B), tag=0x99)
    assert answer.chunks(wire.Abort)[0].causes[0].type == 14
    assert association.paths[B].route.remote_udp == THEIRS


def test_a_client_that_restarts_at_another_udp_port_is_served_within_three_seconds() -> None:
    """Its old association is asked twice, for a second each time, and nobody answers there."""
    peer = udp()
    old = peer.accept()
    for wait in (1.0, 2.0):
        peer.give_init(from_other(peer), tag=0x99)
        asked = [sent for sent in peer.sent if sent.has(wire.Heartbeat)]
        assert len(asked) == wait
        assert {sent.route.remote_udp for sent in asked} == {THEIRS}
        peer.advance(wait)
    # Silence alone ends nothing, as anybody can send an INIT: whoever answers it does.
    assert peer.engine.associations[old.id] is old
    peer.route, peer.tag, peer.parameters = from_other(peer), 0x99, []
    ack = peer.begin()
    assert peer.engine.associations[old.id] is old
    peer.give(cookie_echo(ack), tag=ack.tag)
    assert [event.association_id for event in ends(peer.events())] == [old.id]
    assert peer.association.paths[B].route.remote_udp == OTHER


def test_a_peer_that_answers_after_all_keeps_its_association() -> None:
    peer = udp()
    old = peer.accept()
    asked = peer.give_init(from_other(peer), tag=0x99)
    peer.advance(2.5)
    asked = [sent for sent in peer.sent if sent.has(wire.Heartbeat)]
    peer.give(wire.heartbeat_chunk(asked[-1].get(wire.Heartbeat).info, ack=True))
    peer.give_init(from_other(peer), tag=0x99)
    assert not any(sent.has(wire.InitAck) for sent in peer.take())
    assert peer.association is old


def test_icmp_tells_at_once_that_nobody_is_at_the_old_udp_port() -> None:
    peer = udp()
    peer.accept()
    (asked,) = peer.give_init(from_other(peer), tag=0x99)
    data = wire.seal(PORT, PEER_PORT, asked.packet.tag, [])
    peer.engine.unreachable(data, B, peer.now)
    peer.take()
    peer.route, peer.tag, peer.parameters = from_other(peer), 0x99, []
    peer.accept()


@pytest.mark.parametrize("state", ["sent", "acknowledged"])
def test_a_client_that_restarts_while_it_shuts_down_is_served_too(state: str) -> None:
    peer = udp()
    association = peer.accept()
    if state == "acknowledged":
        peer.give(wire.shutdown_chunk(peer.their_tsn - 1))
    peer.engine.shutdown(association.id, peer.now)
    for _ in range(2):
        peer.give_init(from_other(peer), tag=0x99)
        peer.advance(1.0)
    peer.take()
    peer.route, peer.tag, peer.parameters = from_other(peer), 0x99, []
    assert peer.accept() is not association


@pytest.mark.parametrize("until", ["wait", "echoed"])
def test_an_init_from_another_udp_port_does_not_move_a_half_open_one(until: Until) -> None:
    peer = udp()
    association = peer.set_up(until)
    (answer,) = peer.give_init(from_other(peer), tag=0x99)
    assert answer.chunks(wire.Abort)[0].causes[0].type == 14
    assert association.paths[B].route.remote_udp == THEIRS


def test_an_init_from_another_udp_port_does_not_move_one_that_shuts_down() -> None:
    peer = udp()
    association = peer.accept()
    peer.give(wire.shutdown_chunk(peer.their_tsn - 1))
    for answer in peer.give_init(from_other(peer), tag=0x99):
        assert answer.route.remote_udp == THEIRS or answer.has(wire.Abort)
    assert association.paths[B].route.remote_udp == THEIRS


def test_a_restart_from_the_same_udp_port_is_one() -> None:
    peer = udp()
    peer.accept()
    peer.tag = 0x99
    ack = peer.begin()
    (answer,) = peer.give(cookie_echo(ack), tag=ack.tag)
    assert answer.has(wire.CookieAck)
    assert peer.association.their_tag == 0x99


def test_two_peers_behind_one_address_are_told_apart_by_their_sctp_ports() -> None:
    peer = udp()
    peer.accept()
    other = peer.init(tag=0x99)
    (answer,) = peer.give_raw(wire.seal(PEER_PORT + 1, 1000, 0, [other]), from_other(peer))
    assert answer.has(wire.InitAck)
    assert answer.route.remote_udp == OTHER


class Nat:
    """A NAT in front of ``b``: others see another UDP port of ``b``, which may change."""

    def __init__(self, pair: Simulation, port: int) -> None:
        self.port = port
        pair.encapsulated = True
        pair.translate = self.translate

    def translate(self, route: Route) -> Route:
        if route.remote == B:
            return route._replace(remote_udp=self.port)
        return route


def test_an_association_through_a_nat_that_changes_its_mind() -> None:
    simulation = Simulation()
    a = simulation.host(A)
    b = simulation.host(B, port=PEER_PORT)
    nat = Nat(simulation, 40_000)
    id = b.connect([Route(B, A, 9899, 9899)], 1000, 0.0)
    simulation.run(1.0)
    (association,) = a.associations.values()
    assert association.paths[B].route.remote_udp == 40_000
    nat.port = 40_001
    b.send(id, b"from elsewhere", info(), simulation.now)
    simulation.run(1.0)
    assert association.paths[B].route.remote_udp == 40_001
    a.send(association.id, b"answer", info(), simulation.now)
    simulation.run(1.0)
    assert simulation.sent[-2].route.remote_udp == 40_001
    assert payloads(simulation.events[b]) == [b"answer"]
    b.shutdown(id, simulation.now)
    simulation.finish(10.0)
    for engine in (a, b):
        (end,) = ends(simulation.events[engine])
        assert end.state is AssociationState.SHUTDOWN_COMP


def test_several_paths_in_udp() -> None:
    pair = Pair(2, connect=False)
    pair.encapsulated = True
    pair.id = pair.a.connect(
        [Route(A, B, 9899, 9899), Route(A2, B2, 9899, 9899)], PEER_PORT, pair.now
    )
    pair.run(5.0)
    pair.cut(A)
    pair.send(b"the other way")
    pair.run(5.0)
    assert payloads(pair.events[pair.b]) == [b"the other way"]
    assert {sent.route[2:] for sent in pair.sent} == {(9899, 9899)}
