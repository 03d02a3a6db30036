"""SCTP in UDP (RFC 6951): which UDP port of the peer is used, and what may change it."""

from __future__ import annotations

import pytest

from trio_sctp._engine import Route, wire
from trio_sctp._engine.wire import Cause
from trio_sctp._options import StatusState
from trio_sctp._values import AssociationState

from .simulation import (
    A2,
    B2,
    PEER_PORT,
    A,
    B,
    Pair,
    Script,
    Simulation,
    cookie_echo,
    ends,
    info,
    payloads,
)

OURS, THEIRS, OTHER = 9899, 5000, 6000


def udp() -> Script:
    return Script(udp=(OURS, THEIRS))


def from_other(script: Script) -> Route:
    return script.route._replace(remote_udp=OTHER)


def test_packets_go_back_to_the_udp_port_that_they_came_from() -> None:
    script = udp()
    (answer,) = script.give_init()
    assert answer.route == Route(A, B, OURS, THEIRS)
    script.accept()
    (packet,) = script.send(b"x")
    assert packet.route == Route(A, B, OURS, THEIRS)


def test_a_packet_without_udp_is_answered_without_udp() -> None:
    (answer,) = Script().give_init()
    assert answer.route == Route(A, B, 0, 0)


def test_out_of_the_blue_packets_are_answered_to_their_udp_port() -> None:
    (answer,) = udp().give(wire.chunk(wire.ChunkType.SHUTDOWN_ACK), tag=5)
    assert answer.route.remote_udp == THEIRS


def test_a_connect_goes_to_the_udp_port_it_is_told() -> None:
    script = udp()
    script.connect(until="wait")
    assert script.sent[0].route == Route(A, B, OURS, THEIRS)


def test_the_cookie_keeps_the_udp_port_of_the_init() -> None:
    script = udp()
    ack = script.init_ack()
    script.give(cookie_echo(ack), tag=ack.tag)
    assert script.association.paths[B].route == Route(A, B, OURS, THEIRS)


def test_the_port_follows_the_peer_once_the_tag_is_right() -> None:
    """Section 5.4: a NAT may give it another one."""
    script = udp()
    association = script.accept()
    script.give(script.data(), route=from_other(script))
    assert association.paths[B].route.remote_udp == OTHER
    (packet,) = script.send(b"x")
    assert packet.route.remote_udp == OTHER


def test_a_wrong_tag_does_not_move_the_port() -> None:
    script = udp()
    association = script.accept()
    for tag in (0, 1, script.tag, script.their_tag ^ 1):
        script.give(script.data(tsn=500), tag=tag, route=from_other(script))
    assert association.paths[B].route.remote_udp == THEIRS


def test_a_wrong_checksum_does_not_move_the_port() -> None:
    script = udp()
    association = script.accept()
    packet = bytearray(script.packet(script.data()))
    packet[8] ^= 1
    assert script.give_raw(bytes(packet), from_other(script)) == []
    assert association.paths[B].route.remote_udp == THEIRS


def test_the_port_is_stored_for_each_address() -> None:
    script = udp()
    association = script.accept(wire.address_parameter(B2))
    assert association.paths[B2].route.remote_udp == THEIRS
    script.give(wire.heartbeat_chunk(b"x"), route=Route(A, B2, OURS, OTHER))
    ports = {host: path.route.remote_udp for host, path in association.paths.items()}
    assert ports == {B: THEIRS, B2: OTHER}


def test_the_port_is_stored_for_each_association() -> None:
    script = udp()
    first = script.accept()
    script.route, script.tag, script.parameters = Route(A, B2, OURS, OTHER), 0x77, []
    ack = script.init_ack()
    script.give(cookie_echo(ack), tag=ack.tag)
    (second,) = [a for a in script.engine.associations.values() if a is not first]
    assert first.paths[B].route.remote_udp == THEIRS
    assert second.paths[B2].route.remote_udp == OTHER


def test_an_init_from_another_udp_port_never_moves_an_association() -> None:
    """Section 5.4, and cause 14."""
    script = udp()
    association = script.accept()
    (answer,) = script.give_init(from_other(script), tag=0x99)
    assert answer.route.remote_udp == OTHER
    assert answer.packet.tag == 0x99
    (abort,) = answer.chunks(wire.Abort)
    assert not abort.reflected
    (cause,) = abort.causes
    assert cause.type == Cause.RESTART_WITH_NEW_ENCAPSULATION_PORT
    assert int(Cause.RESTART_WITH_NEW_ENCAPSULATION_PORT) == 14
    assert cause.value == THEIRS.to_bytes(2, "big") + OTHER.to_bytes(2, "big")
    assert association.paths[B].route.remote_udp == THEIRS
    assert script.state is StatusState.ESTABLISHED


def test_an_init_without_udp_never_moves_an_association_in_udp() -> None:
    script = udp()
    association = script.accept()
    (answer,) = script.give_init(Route(A, B), tag=0x99)
    assert answer.chunks(wire.Abort)[0].causes[0].type == 14
    assert association.paths[B].route.remote_udp == THEIRS


@pytest.mark.parametrize("until", ["wait", "echoed"])
def test_an_init_from_another_udp_port_does_not_move_a_half_open_one(until: str) -> None:
    script = udp()
    association = script.connect(until=until)
    (answer,) = script.give_init(from_other(script), tag=0x99)
    assert answer.chunks(wire.Abort)[0].causes[0].type == 14
    assert association.paths[B].route.remote_udp == THEIRS


def test_an_init_from_another_udp_port_does_not_move_one_that_shuts_down() -> None:
    script = udp()
    association = script.accept()
    script.give(wire.shutdown_chunk(script.first_tsn - 1))
    for answer in script.give_init(from_other(script), tag=0x99):
        assert answer.route.remote_udp == THEIRS or answer.has(wire.Abort)
    assert association.paths[B].route.remote_udp == THEIRS


def test_a_restart_from_the_same_udp_port_is_one() -> None:
    script = udp()
    script.accept()
    script.tag = 0x99
    ack = script.init_ack()
    (answer,) = script.give(cookie_echo(ack), tag=ack.tag)
    assert answer.has(wire.CookieAck)
    assert script.association.their_tag == 0x99


def test_two_peers_behind_one_address_are_told_apart_by_their_sctp_ports() -> None:
    script = udp()
    script.accept()
    other = wire.init_chunk(script.init(tag=0x99))
    (answer,) = script.give_raw(wire.seal(PEER_PORT + 1, 1000, 0, [other]), from_other(script))
    assert answer.has(wire.InitAck)
    assert answer.route.remote_udp == OTHER


class Nat:
    """Between ``b`` and the world: ``b``'s UDP port is seen as another, which may change."""

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
