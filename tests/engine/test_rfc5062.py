"""The attacks of RFC 5062, each by its section."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest

from trio_sctp._engine import Route, wire
from trio_sctp._engine.wire import Cause, ChunkType, ParameterType, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import AssociationChange, AssociationState

from ..support.engines import (
    B2,
    B3,
    MTU,
    PEER_PORT,
    PORT,
    A,
    B,
    Sent,
    cookie_echo,
    cookie_of,
    ends,
    payloads,
)
from ..support.scripted_peer import STATES, ScriptedPeer

VICTIM, VICTIM_2 = B2, B3
"""The addresses of whoever is attacked; the attacker is at `B`."""


def listing(*addresses: str) -> list[Tlv]:
    return [wire.address_parameter(address) for address in addresses]


# -- section 2: address camping or stealing ----------------------------------------------------


@pytest.mark.parametrize("camped", [[VICTIM], [VICTIM, VICTIM_2]])
@pytest.mark.parametrize("first", [VICTIM, VICTIM_2])
def test_2_who_camps_on_an_address_does_not_keep_its_owner_out(
    camped: list[str], first: str
) -> None:
    """The victim has two addresses and connects from either; the camper is the one that goes."""
    peer = ScriptedPeer()
    camper = peer.accept(*listing(*camped))
    other = VICTIM_2 if first == VICTIM else VICTIM
    victim = Route(A, first)
    ack = peer.begin(victim, tag=0x99, parameters=listing(other))
    peer.give(cookie_echo(ack), tag=ack.tag, route=victim)
    (mine,) = [one for one in peer.engine.associations.values() if one is not camper]
    assert mine.paths[first].confirmed
    # The victim answers the heartbeats of its own association, and what is out of the blue.
    for _ in range(20):
        for sent in peer.advance(1.0):
            if sent.route.remote not in (VICTIM, VICTIM_2) or not sent.has(wire.Heartbeat):
                continue
            if sent.tag == 0x99:
                answer = wire.heartbeat_chunk(sent.get(wire.Heartbeat).info, ack=True)
                peer.give(answer, tag=ack.tag, route=sent.route)
            else:
                peer.give(wire.abort_chunk(reflected=True), tag=sent.tag, route=sent.route)
    assert list(peer.engine.associations.values()) == [mine]
    assert {address for address, path in mine.paths.items() if path.confirmed} == {first, other}
    assert [event.association_id for event in ends(peer.events())] == [camper.id]


# -- section 3: association hijacking 1 --------------------------------------------------------


def test_3_a_cookie_tells_whoever_took_an_address_over_nothing_of_the_tags() -> None:
    """Nor do the tie-tags in it open anything, as an ASCONF or otherwise."""
    peer = ScriptedPeer()
    association = peer.accept()
    tags = (association.our_tag, association.their_tag)
    cookie = cookie_of(peer.begin(tag=0x99))
    numbers = {struct.unpack_from("!I", cookie, n)[0] for n in range(len(cookie) - 3)}
    assert not numbers & set(tags)
    asconf = wire.chunk(0xC1, struct.pack("!I", 1) + wire.tlv(*wire.address_parameter(B2)))
    for tag in numbers - {0}:
        peer.give(asconf, tag=tag)
    assert list(association.paths) == [B]


# -- section 4: association hijacking 2 --------------------------------------------------------


def test_4_whoever_takes_an_address_over_can_only_restart_and_the_program_is_told() -> None:
    """What comes afterwards stands behind the report, and the tags of before are worth nothing."""
    peer = ScriptedPeer()
    association = peer.accept()
    peer.give(peer.data(b"of the peer"))
    old = peer.their_tag
    peer.tag, peer.tsn = 0x99, 500
    peer._ssns.clear()
    peer.learn(peer.begin())
    peer.give(peer.cookie_echo())
    peer.give(peer.data(b"of the attacker"))
    events = peer.events()
    assert payloads(events) == [b"of the peer", b"of the attacker"]
    kinds = [
        event.state if isinstance(event, AssociationChange) else payloads([event])
        for event in events
    ]
    assert kinds == [[b"of the peer"], AssociationState.RESTART, [b"of the attacker"]]
    assert peer.their_tag != old
    peer.give(peer.unordered(b"late"), tag=old)
    assert payloads(peer.events()) == []
    assert peer.engine.associations[association.id] is association


# -- section 5: bombing attack 1 ---------------------------------------------------------------


@pytest.mark.parametrize("moves", ["silence", "acknowledges", "heartbeats"])
def test_5_a_listed_address_gets_no_data_however_the_lister_behaves(moves: str) -> None:
    peer = ScriptedPeer(association_max_retrans=10, path_max_retrans=2, rto_max=4.0)
    association = peer.accept(*listing(VICTIM))
    for _ in range(200):
        peer.send(bytes(1000))
    for _ in range(60):
        sent = peer.advance(1.0)
        if moves == "acknowledges" and peer.engine.associations:
            outstanding = association.outbound.outstanding
            if outstanding:
                peer.give(peer.sack(max(outstanding) & 0xFFFFFFFF))
        elif moves == "heartbeats":
            for packet in sent:
                for chunk in packet.chunks(wire.Heartbeat):
                    if packet.route.remote == B:
                        peer.give(wire.heartbeat_chunk(chunk.info, ack=True))
    to_victim = [packet for packet in peer.sent if packet.route.remote == VICTIM]
    assert to_victim
    assert {kind for packet in to_victim for kind in packet.kinds} == {wire.Heartbeat}


def test_5_who_acknowledges_what_was_not_sent_loses_the_association() -> None:
    peer = ScriptedPeer()
    peer.accept(*listing(VICTIM))
    peer.send(b"one")
    (answer,) = peer.give(peer.sack_first(2))
    assert [cause.type for cause in answer.get(wire.Abort).causes] == [Cause.PROTOCOL_VIOLATION]
    assert not peer.engine.associations


def test_5_where_nobody_knows_the_protocol_no_second_heartbeat_goes() -> None:
    """An ICMP message has the tag that was sent, so it is no forgery."""
    peer = ScriptedPeer()
    peer.accept(*listing(VICTIM))
    probes = [s for s in [*peer.sent, *peer.advance(0.5)] if s.route.remote == VICTIM]
    (probe,) = probes
    embedded = wire.seal(PORT, PEER_PORT, probe.tag, [wire.heartbeat_chunk(b"")])
    peer.engine.unreachable(embedded, VICTIM, peer.now)
    later = [s for s in peer.advance(25.0) if s.route.remote == VICTIM]
    assert later == []


# -- section 6: bombing attack 2 ---------------------------------------------------------------


def test_6_a_cookie_that_is_kept_makes_nobody_send_heartbeats_again() -> None:
    peer = ScriptedPeer()
    ack = peer.begin(parameters=listing(VICTIM, VICTIM_2))
    echo = cookie_echo(ack)
    peer.give(echo, tag=ack.tag)
    probes = [s for s in [*peer.sent, *peer.advance(0.5)] if s.route.remote != B]
    assert len(probes) == 1  # HB.Max.Burst
    peer.give(wire.abort_chunk(reflected=True), tag=probes[0].tag, route=probes[0].route)
    assert not peer.engine.associations
    for _ in range(50):
        sent = peer.give(echo, tag=ack.tag) + peer.advance(1.0)
        assert not any(packet.has(wire.Heartbeat) for packet in sent)
    assert not peer.engine.associations


def test_6_no_cookie_lives_longer_than_twice_its_life_however_long_is_asked_for() -> None:
    peer = ScriptedPeer(cookie_life=60.0)
    longer = Tlv(ParameterType.COOKIE_PRESERVATIVE, struct.pack("!I", 2**32 - 1))
    for age, good in ((120.0, True), (120.001, False)):
        ack = peer.begin(parameters=[longer])
        peer.advance(age)
        (answer, *_) = peer.give(cookie_echo(ack), tag=ack.tag)
        assert answer.has(wire.CookieAck) == good
        assert answer.has(wire.Error) != good
        for id in list(peer.engine.associations):
            peer.engine.abort(id, b"", peer.now)
        peer.take()


def test_6_one_heartbeat_leaves_in_an_rto_and_a_small_one() -> None:
    peer = ScriptedPeer()
    peer.accept(*listing(*[f"10.1.0.{n}" for n in range(1, 16)]))
    probes = [s for s in [*peer.sent, *peer.advance(60.0)] if s.route.remote != B]
    assert len({probe.route.remote for probe in probes}) > 1
    assert all(later.time - earlier.time >= 1.0 for earlier, later in pairwise(probes))
    assert all(probe.size < 100 for probe in probes)


# -- section 7: association redirection --------------------------------------------------------


@pytest.mark.parametrize("source", [PEER_PORT, PEER_PORT + 1])
@pytest.mark.parametrize("destination", [PORT, PORT + 1])
def test_7_a_cookie_is_good_for_the_two_ports_of_its_init(source: int, destination: int) -> None:
    peer = ScriptedPeer()
    ack = peer.begin()
    peer.engine.use_port(destination)
    peer.give_raw(wire.seal(source, destination, ack.tag, [cookie_echo(ack)]))
    unchanged = (source, destination) == (PEER_PORT, PORT)
    assert len(peer.engine.associations) == unchanged
    assert len(peer.sent) == 1 + unchanged


# -- sections 8 and 10: bombing attacks 3 and 5 ------------------------------------------------


def _filled(chunk: bytes) -> list[bytes]:
    return [chunk] * (60_000 // len(chunk))


ANSWERED = {
    "HEARTBEAT": wire.heartbeat_chunk(b""),
    "long HEARTBEAT": wire.heartbeat_chunk(bytes(1000)),
    "unknown chunk": wire.chunk(0xC5, b"what?"),
    "long unknown chunk": wire.chunk(0xC5, bytes(1000)),
    "DATA": wire.data_chunk(100, 0, 0, 0, b"x", 3),
    "DATA again": wire.data_chunk(99, 0, 0, 0, b"x", 3),
    "DATA for no stream": wire.data_chunk(100, 60_000, 0, 0, b"x", 7),
    "DATA without data": wire.data_chunk(100, 0, 0, 0, b"", 7),
    "SHUTDOWN": wire.shutdown_chunk(0),
    "SHUTDOWN ACK": wire.chunk(ChunkType.SHUTDOWN_ACK),
    "COOKIE ECHO": wire.chunk(ChunkType.COOKIE_ECHO, b"no cookie"),
    "ERROR": wire.error_chunk([Tlv(Cause.STALE_COOKIE, bytes(4))]),
    "FORWARD TSN": wire.forward_tsn_chunk(99, []),
}


def _answers(peer: ScriptedPeer, kind: str, mtu: int) -> list[Sent]:
    for path in peer.association.paths.values():
        path.mtu = mtu
    return peer.give(*_filled(ANSWERED[kind]))


@pytest.mark.parametrize("kind", ANSWERED)
@pytest.mark.parametrize("state", STATES)
def test_8_a_packet_is_answered_by_one_packet(kind: str, state: StatusState) -> None:
    peer = ScriptedPeer()
    peer.bring_to(state)
    answers = _answers(peer, kind, MTU)
    assert len(answers) <= 1
    assert sum(answer.size for answer in answers) <= MTU


@pytest.mark.parametrize("kind", ANSWERED)
def test_8_so_is_one_from_an_address_that_somebody_else_may_have(kind: str) -> None:
    peer = ScriptedPeer()
    peer.accept(*listing(VICTIM))
    answers = peer.give(*_filled(ANSWERED[kind]), route=Route(A, VICTIM))
    assert len(answers) <= 1
    for answer in answers:
        if answer.route.remote == VICTIM:
            assert set(answer.kinds) == {wire.HeartbeatAck}


@pytest.mark.parametrize("kind", ANSWERED)
def test_10_also_where_the_path_takes_small_packets_only(kind: str) -> None:
    """What does not fit into that one is dropped."""
    peer = ScriptedPeer()
    peer.accept()
    answers = _answers(peer, kind, 512)
    assert len(answers) <= 1


# -- section 9: bombing attack 4 ---------------------------------------------------------------


@pytest.mark.parametrize("addresses", [0, 1, 15, 63])
@pytest.mark.parametrize("unknown", [0, 1, 60])
def test_9_an_init_ack_is_little_larger_than_the_init(addresses: int, unknown: int) -> None:
    """It has a cookie more, and of the INIT only what the cookie and the reports have to hold."""
    peer = ScriptedPeer()
    parameters = listing(*[f"10.1.0.{n}" for n in range(1, addresses + 1)])
    parameters += [Tlv(0xC123, bytes(30))] * unknown
    packet = peer.packet(peer.init(parameters[:64]), tag=0)
    (answer,) = peer.give_raw(packet)
    assert answer.size < 300 + 3 * len(packet)
    assert answer.size < 300 + peer.engine.parameters.max_cookie_size
