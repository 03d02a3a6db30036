"""Whose an address is, and what goes to one of which only the peer's word is known (5.2, 5.4)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from trio_sctp._engine import Route, wire
from trio_sctp._engine.wire import Cause, ChunkType, Tlv
from trio_sctp._options import PathState, StatusState
from trio_sctp._values import AssociationChange, AssociationState, PeerAddressState

from ..support.engines import (
    A2,
    B2,
    B3,
    PEER_PORT,
    PORT,
    A,
    B,
    Sent,
    cookie_echo,
    ends,
    info,
    path_changes,
)
from ..support.scripted_peer import COOKIE_ACK, PEER_COOKIE, ScriptedPeer
from .simulation import Pair

UNREACHABLE = PeerAddressState.ADDR_UNREACHABLE


def listing(*addresses: str) -> list[Tlv]:
    return [wire.address_parameter(address) for address in addresses]


def many(count: int) -> list[str]:
    return [f"10.1.0.{number}" for number in range(1, count + 1)]


def set_up_from(peer: ScriptedPeer, route: Route, *addresses: str, tag: int = 0x99) -> list[Sent]:
    """Set an association up from somewhere; returns what answers the COOKIE ECHO."""
    ack = peer.begin(route, tag=tag, parameters=listing(*addresses))
    return peer.give(cookie_echo(ack), tag=ack.tag, route=route)


# -- who an INIT is from -----------------------------------------------------------------------


def test_whoever_is_at_an_address_has_more_right_to_it_than_those_who_list_it() -> None:
    peer = ScriptedPeer()
    camper = peer.accept(*listing(B2))
    answers = set_up_from(peer, Route(A, B2))
    (association,) = peer.engine.associations.values()
    assert association is not camper
    assert list(association.paths) == [B2]
    assert association.paths[B2].confirmed
    assert [e.association_id for e in ends(peer.events())] == [camper.id]
    (abort,) = [sent for sent in answers if sent.has(wire.Abort)]
    assert (abort.route.remote, abort.packet.tag) == (B, peer.tag)


def test_an_init_from_an_address_that_is_only_listed_gets_no_tie_tags() -> None:
    peer = ScriptedPeer()
    camper = peer.accept(*listing(B2))
    ack = peer.begin(Route(A, B2), tag=0x99)
    cookie = peer.engine._handshake.open_untrusted(
        ack.parameters[0].value, ack.tag, PEER_PORT, peer.now
    )
    assert cookie is not None
    assert (cookie.our_tie_tag, cookie.their_tie_tag) == (0, 0)
    assert peer.engine.associations[camper.id] is camper  # only a COOKIE ECHO shows who is there


def test_over_udp_the_camper_loses_its_association_too() -> None:
    peer = ScriptedPeer(udp=(9899, 5000))
    camper = peer.accept(*listing(B2))
    set_up_from(peer, Route(A, B2, 9899, 6000))
    (association,) = peer.engine.associations.values()
    assert association is not camper
    assert association.paths[B2].route.remote_udp == 6000


def test_many_may_list_an_address_and_all_lose_it_to_whoever_is_there() -> None:
    peer = ScriptedPeer()
    for number, address in enumerate(many(5)):
        set_up_from(peer, Route(A, address), B2, tag=number + 1)
    assert len(peer.engine.associations) == 5
    set_up_from(peer, Route(A, B2))
    assert len(peer.engine.associations) == 1


def test_a_peer_that_reboots_and_speaks_first_from_an_unconfirmed_address() -> None:
    peer = ScriptedPeer()
    old = peer.accept(*listing(B2))
    set_up_from(peer, Route(A, B2), B)
    (new,) = peer.engine.associations.values()
    assert new is not old
    assert list(new.paths) == [B2, B]


@pytest.mark.parametrize("rebooted", [False, True])
def test_a_peer_that_reboots_and_speaks_first_from_a_new_address(rebooted: bool) -> None:
    """Only who knows the new association answers a heartbeat of it at the old address."""
    peer = ScriptedPeer(heartbeats=False)
    old = peer.accept()
    set_up_from(peer, Route(A, B2), B)
    new = peer.engine.associations[2]
    assert list(new.paths) == [B2]
    asked = [packet for packet in peer.advance(0.1) if packet.route.remote == B]
    assert [packet.tag for packet in asked] == [new.their_tag]
    if rebooted:
        answer = wire.heartbeat_chunk(asked[0].get(wire.Heartbeat).info, ack=True)
        peer.give(answer, tag=new.our_tag)
        assert list(peer.engine.associations.values()) == [new]
        assert list(new.paths) == [B2, B]
        assert new.paths[B].confirmed
        assert [e.association_id for e in ends(peer.events())] == [old.id]
    else:
        wrong = wire.heartbeat_chunk(bytes(16) + B.encode(), ack=True)
        assert peer.give(wrong, tag=new.our_tag) == []
        asked += [packet for packet in peer.advance(100.0) if packet.route.remote == B]
        assert len(asked) == 3
        assert peer.engine.associations[old.id] is old
        assert list(new.paths) == [B2]


def test_a_restart_may_list_the_addresses_of_others_that_were_listed_before() -> None:
    """They are asked for anew, as often as at first; those that it does not list are forgotten."""
    peer = ScriptedPeer(heartbeats=False)
    peer.accept()
    set_up_from(peer, Route(A, B2), B)
    association = peer.engine.associations[2]
    peer.advance(100.0)
    for listed, times in ((B,), 3), ((), 0):
        set_up_from(peer, Route(A, B2), *listed, tag=association.their_tag + 1)
        assert list(association.heartbeats.awaited) == list(listed)
        asked = [packet for packet in peer.advance(100.0) if packet.route.remote == B]
        assert [packet.tag for packet in asked] == [association.their_tag] * times


def test_silence_of_a_peer_whose_address_another_one_lists_ends_nothing() -> None:
    peer = ScriptedPeer(heartbeats=False)
    old = peer.accept()
    for number in range(20):
        set_up_from(peer, Route(A, f"10.7.0.{number + 1}"), B, tag=number + 1)
        peer.advance(2.0)
    assert peer.engine.associations[old.id] is old


def test_the_address_of_an_association_that_has_ended_is_free_for_who_lists_it() -> None:
    peer = ScriptedPeer()
    old = peer.accept()
    set_up_from(peer, Route(A, B2), B)
    new = peer.engine.associations[2]
    peer.engine.abort(old.id, b"", peer.now)
    peer.take()
    answers = peer.give(wire.heartbeat_chunk(b"12345678"), tag=new.our_tag)
    assert not any(packet.has(wire.Abort) for packet in answers)
    assert list(new.paths) == [B2, B]
    assert not new.paths[B].confirmed


@pytest.mark.parametrize("listed", [(), (B2,)])
def test_a_restart_takes_the_new_addresses_all_of_them_and_no_others(listed: tuple[str]) -> None:
    peer = ScriptedPeer()
    association = peer.accept(*listing(B2, B3))
    old = association.paths[B]
    old.error_count, old.srtt, old.rttvar = 3, 2.0, 1.0
    peer.engine.set_primary(association.id, B2)
    set_up_from(peer, Route(A, B), *listed)
    assert [e.state for e in peer.events() if isinstance(e, AssociationChange)] == [
        AssociationState.RESTART
    ]
    assert list(association.paths) == [B, *listed]
    assert association.primary is association.paths[B]
    assert association.paths[B].state is PathState.ACTIVE
    assert association.paths[B] is not old
    others = {sent.route.remote for sent in peer.advance(100.0)} - {B, *listed}
    assert not others


def test_what_the_program_has_set_for_a_path_outlives_a_restart() -> None:
    peer = ScriptedPeer()
    association = peer.accept()
    path = association.paths[B]
    path.heartbeats, path.interval, path.max_retrans, path.mtu = False, 7.0, 9, 1000
    set_up_from(peer, Route(A, B))
    path = association.paths[B]
    assert (path.heartbeats, path.interval, path.max_retrans, path.mtu) == (False, 7.0, 9, 1000)


# -- while an association is being set up (5.2.1) ----------------------------------------------


def test_an_init_from_a_third_address_is_answered_to_the_one_that_the_program_gave() -> None:
    """Section 5.2.1, rules 1 and 2: whoever sent it does not learn our tag."""
    peer = ScriptedPeer()
    init = peer.connect()
    (answer,) = peer.give_init(Route(A, B3), tag=0x99, parameters=listing(B))
    assert answer.route.remote == B
    assert answer.get(wire.InitAck).tag == init.tag


def test_an_init_from_a_third_address_that_lists_none_of_ours_is_a_strangers() -> None:
    peer = ScriptedPeer()
    init = peer.connect()
    (answer,) = peer.give_init(Route(A, B3), tag=0x99)
    assert answer.route.remote == B3
    assert answer.get(wire.InitAck).tag != init.tag


def test_in_cookie_echoed_an_init_from_a_listed_address_is_the_peers() -> None:
    peer = ScriptedPeer()
    init = peer.connect()
    peer.give(peer.init_ack([PEER_COOKIE, *listing(B2)]))
    (answer,) = peer.give_init(Route(A, B2), tag=0x99, parameters=listing(B))
    assert answer.get(wire.InitAck).tag == init.tag


def test_where_both_start_at_once_a_cookie_from_a_listed_address_makes_no_second_one() -> None:
    peer = ScriptedPeer()
    peer.learn(early := peer.begin(Route(A, B2), tag=0x99))
    peer.connect()
    peer.give(peer.init_ack([PEER_COOKIE, *listing(B2)]))
    assert peer.give(cookie_echo(early), tag=early.tag, route=Route(A, B2)) == []
    assert peer.state() is StatusState.COOKIE_ECHOED


def test_our_own_packets_make_no_association() -> None:
    """A server that answers with our tag, our TSN and our address has us talk to ourselves."""
    peer = ScriptedPeer()
    init = peer.connect()
    echo = wire.init_chunk(
        wire.InitAck(init.tag, 65536, 10, 10, init.tsn, [PEER_COOKIE, *listing(A)])
    )
    assert peer.give(echo) == []
    assert peer.state() is StatusState.COOKIE_WAIT


def test_a_collision_is_answered_by_what_the_association_was_set_up_with() -> None:
    peer = ScriptedPeer()
    own = peer.engine.parameters.__class__(
        inbound_streams=7, partial_reliability=False, authentication=False
    )
    peer.connect(parameters=own)
    ack = peer.begin(tag=0x99)
    assert ack.inbound_streams == 7
    assert [p.type for p in ack.parameters] == [wire.ParameterType.STATE_COOKIE]


# -- which addresses are taken up --------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "listed", "taken"),
    [
        ("8.8.8.8", ["127.0.0.1", "10.0.0.9", "169.254.169.254", "192.168.0.1"], []),
        ("8.8.8.8", ["100.64.0.1", "1.1.1.1"], ["1.1.1.1"]),
        ("8.8.8.8", ["0.1.2.3", "240.0.0.1", "255.255.255.255", "224.0.0.1"], []),
        ("10.0.0.2", ["127.0.0.1", "169.254.1.1", "192.168.0.1"], ["192.168.0.1"]),
        ("169.254.1.1", ["127.0.0.1", "169.254.1.2"], ["169.254.1.2"]),
        ("127.0.0.1", ["127.0.0.2", "10.0.0.3"], ["127.0.0.2", "10.0.0.3"]),
    ],
)
@pytest.mark.parametrize("passive", [False, True])
def test_addresses_of_narrower_scope_are_not_taken_up(
    source: str, listed: list[str], taken: list[str], passive: bool
) -> None:
    peer = ScriptedPeer([A, A2], remote=source)
    if passive:
        association = peer.accept(*listing(*listed))
    else:
        association = peer.set_up("wait")
        peer.give(peer.init_ack([PEER_COOKIE, *listing(*listed)]))
    assert list(association.paths) == [source, *taken]


def test_our_own_addresses_are_not_taken_up() -> None:
    """With our port too, they would be us: we would answer our own heartbeats."""
    peer = ScriptedPeer([A, A2])
    peer.engine.connect([peer.route], PORT, 0.0)
    (sent,) = peer.take()
    ack = peer.init_ack([PEER_COOKIE, *listing(A, A2, B2)])
    peer.give_raw(wire.seal(PORT, PORT, sent.get(wire.Init).tag, [ack]))
    assert list(peer.association.paths) == [B, B2]


# -- what goes to an address that is not confirmed (5.4) ---------------------------------------


def test_a_cookie_ack_to_an_unconfirmed_address_goes_with_a_heartbeat() -> None:
    peer = ScriptedPeer()
    peer.parameters = listing(B2)
    ack = peer.begin()
    (answer,) = peer.give(cookie_echo(ack), tag=ack.tag, route=Route(A, B2))
    assert answer.route.remote == B2
    assert [type(chunk) for chunk in answer.packet.chunks] == [wire.CookieAck, wire.Heartbeat]


@pytest.mark.parametrize("source", [B2, B3])
@pytest.mark.parametrize("kind", ["heartbeat", "unknown", "data"])
def test_chunks_behind_a_spoofed_cookie_echo_are_answered_by_one_packet(
    source: str, kind: str
) -> None:
    peer = ScriptedPeer()
    peer.parameters = listing(B2)
    ack = peer.begin()
    chunk = {
        "heartbeat": wire.heartbeat_chunk(b""),
        "unknown": wire.chunk(0xC5),
        "data": peer.unordered(b"x", stream=60_000),
    }[kind]
    for _ in range(3):
        sent = peer.give(cookie_echo(ack), *[chunk] * 60, tag=ack.tag, route=Route(A, source))
        spoofed = [packet for packet in sent if packet.route.remote == source]
        assert len(spoofed) == (source == B2)
        assert all(packet.size <= 1280 for packet in spoofed)
        assert not any(packet.has(wire.Error) for packet in spoofed)


def test_an_error_goes_to_a_confirmed_address() -> None:
    peer = ScriptedPeer()
    peer.accept(*listing(B2))
    (answer,) = peer.give(wire.chunk(0xC5, b"what?"), route=Route(A, B2))
    assert answer.has(wire.Error)
    assert answer.route.remote == B


def test_reports_of_one_packet_fit_one_packet() -> None:
    peer = ScriptedPeer()
    peer.accept()
    (answer,) = peer.give(*[wire.chunk(0xC5, b"what?")] * 5000)
    assert answer.size <= 1280
    assert len(answer.get(wire.Error).causes) > 50


def probes(sent: list[Sent]) -> list[Sent]:
    return [packet for packet in sent if packet.has(wire.Heartbeat) and packet.route.remote != B]


def test_each_silent_address_gets_path_max_retrans_and_one_probes_then_it_is_inactive() -> None:
    peer = ScriptedPeer(path_max_retrans=3, rto_max=4.0, heartbeat_interval=10_000.0)
    association = peer.accept(*listing(B2, B3))
    sent = probes(peer.sent) + probes(peer.advance(500.0))
    assert [packet.route.remote for packet in sent].count(B2) == 4
    assert [packet.route.remote for packet in sent].count(B3) == 4
    assert path_changes(peer.events()) == [(B2, UNREACHABLE), (B3, UNREACHABLE)]
    assert association.paths[B2].state is PathState.INACTIVE
    times = [packet.time for packet in sent]
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(times))


def test_a_silent_address_is_probed_in_turn_and_only_while_the_peer_sends() -> None:
    peer = ScriptedPeer(path_max_retrans=0, heartbeat_interval=30.0, heartbeats=False)
    peer.accept(*listing(B2, B3))
    peer.advance(100.0)
    assert probes(peer.advance(1000.0)) == []
    turns = []
    for _ in range(10):
        peer.give(peer.unordered(b"here I am"))
        found = probes(peer.advance(31.0))
        assert len(found) <= 1
        turns += [packet.route.remote for packet in found]
    assert turns.count(B2) == turns.count(B3) == 5


def test_a_silent_address_that_answers_at_last_is_confirmed() -> None:
    peer = ScriptedPeer(path_max_retrans=0, heartbeat_interval=30.0)
    association = peer.accept(*listing(B2))
    peer.advance(10.0)
    assert association.paths[B2].state is PathState.INACTIVE
    peer.give(peer.unordered(b"here I am"))
    while association.paths[B2].state is PathState.INACTIVE:
        for packet in probes(peer.advance(1.0)):
            info_of = packet.get(wire.Heartbeat).info
            peer.give(wire.heartbeat_chunk(info_of, ack=True), route=Route(A, B2))
    assert association.paths[B2].state is PathState.ACTIVE


@pytest.mark.parametrize("passive", [False, True])
@pytest.mark.parametrize("then", ["silence", "data", "heartbeats"])
def test_less_than_ten_times_what_a_peer_sends_goes_to_addresses_that_never_answer(
    passive: bool, then: str
) -> None:
    peer = ScriptedPeer()
    given = 0
    if passive:
        ack = peer.begin(parameters=listing(*many(15)))
        chunks = [cookie_echo(ack)]
        peer.their_tag = ack.tag
    else:
        peer.connect()
        chunks = [peer.init_ack([PEER_COOKIE, *listing(*many(15))])]
        given = len(peer.packet(*chunks))
        peer.give(*chunks)
        chunks = [COOKIE_ACK]
    given += len(peer.packet(*chunks))
    peer.give(*chunks)
    before = len(peer.sent)
    for _ in range(200):
        peer.advance(30.0)
        if then != "silence":
            chunk = peer.unordered(b"x") if then == "data" else wire.heartbeat_chunk(b"")
            given += len(peer.packet(chunk))
            peer.give(chunk)
    unanswered = [packet for packet in peer.sent[before:] if packet.route.remote != B]
    assert unanswered
    assert sum(packet.size for packet in unanswered) < 10 * given


def test_a_pair_with_sixteen_addresses_confirms_all_of_them() -> None:
    pair = Pair(3)
    pair.run(10.0)
    assert all(path.confirmed for path in pair.other.paths.values())
    pair.answer(b"works", info())
    pair.run(1.0)


def test_the_peer_of_a_listed_address_that_knows_nothing_ends_the_camping() -> None:
    """Its ABORT has the tag that the probe had (RFC 5062 section 2.2)."""
    peer = ScriptedPeer()
    peer.accept(*listing(B2))
    (probe,) = probes(peer.advance(0.5))
    abort = wire.chunk(ChunkType.ABORT, b"", 1)
    peer.give(abort, tag=probe.packet.tag, route=Route(A, B2))
    assert not peer.engine.associations


def test_a_lister_that_loses_its_association_learns_why() -> None:
    peer = ScriptedPeer()
    peer.accept(*listing(B2))
    answers = set_up_from(peer, Route(A, B2))
    (abort,) = [chunk for sent in answers for chunk in sent.chunks(wire.Abort)]
    assert [cause.type for cause in abort.causes] == [Cause.PROTOCOL_VIOLATION]
