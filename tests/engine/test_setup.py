"""How associations are set up (RFC 9260 section 5), and what strangers can do meanwhile."""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
from random import Random
from typing import Any

import pytest

from trio_sctp._engine import Engine, Parameters, Route, wire
from trio_sctp._engine.authentication import AuthOffer
from trio_sctp._engine.cookie import KEY_LIFE, Cookie, CookieJar
from trio_sctp._engine.wire import Cause, ParameterType, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import (
    AdaptationIndication,
    AssociationChange,
    AssociationState,
    Message,
    RemoteError,
)

from ..support.engines import (
    A2,
    A3,
    B2,
    B3,
    MTU,
    PEER_PORT,
    PORT,
    A,
    B,
    cookie_echo,
    cookie_of,
    ends,
    failures,
    info,
    parsed,
    payloads,
)
from ..support.scripted_peer import COOKIE_ACK, PEER_COOKIE, ScriptedPeer, Until
from .simulation import Pair, Simulation

COOKIE = Cookie(
    created=12.5,
    expires=72.5,
    our_tag=1,
    their_tag=2,
    our_tie_tag=3,
    their_tie_tag=4,
    our_port=5,
    their_port=6,
    our_tsn=7,
    their_tsn=8,
    outbound_streams=9,
    inbound_streams=10,
    their_rwnd=11,
    extensions=0,
    adaptation=12,
    udp_local=13,
    udp_remote=14,
    local=A,
    remote=B,
    addresses=(B2,),
    auth_offers=(AuthOffer(bytes(32), b"\0", b"\0\1"), AuthOffer(b"\1" * 32, None, b"\0\1")),
)
OTHER_VALUES: dict[str, Any] = {
    "local": A2,
    "remote": B3,
    "addresses": (B3,),
    "adaptation": None,
    "extensions": 1,
    "auth_offers": None,
}


# -- the cookie (5.1.3 to 5.1.5) ---------------------------------------------------------------


def test_an_init_costs_no_state() -> None:
    peer = ScriptedPeer()
    for number in range(1000):
        peer.give_init(Route(A, f"10.9.{number // 250}.{number % 250 + 1}"), tag=number + 1)
    assert len(peer.sent) == 1000
    assert not peer.engine.associations
    assert peer.engine.next_deadline() is None
    assert peer.events() == []


@pytest.mark.parametrize("field", Cookie._fields)
def test_the_cookie_is_signed_over(field: str) -> None:
    jar = CookieJar(Random(0).randbytes)
    value = OTHER_VALUES.get(field, getattr(COOKIE, field))
    other = COOKIE._replace(**{field: value if field in OTHER_VALUES else value + 1})
    sealed, forged = jar.seal(COOKIE, 0.0), jar.seal(other, 0.0)
    assert jar.open_untrusted(sealed, 0.0) == COOKIE
    assert jar.open_untrusted(forged, 0.0) == other
    assert jar.open_untrusted(forged[:-32] + sealed[-32:], 0.0) is None


def test_the_cookie_is_signed_with_an_hmac_of_sha_256() -> None:
    keys: list[bytes] = []

    def randomness(size: int) -> bytes:
        keys.append(bytes([len(keys)]) * size)
        return keys[-1]

    sealed = CookieJar(randomness).seal(COOKIE, 0.0)
    assert sealed[-32:] == hmac.digest(keys[0], sealed[:-32], hashlib.sha256)


def test_a_cookie_with_any_byte_changed_is_dropped_without_a_word() -> None:
    peer = ScriptedPeer()
    ack = peer.begin()
    cookie = cookie_of(ack)
    for at in range(len(cookie)):
        changed = bytearray(cookie)
        changed[at] ^= 0x10
        echo = wire.chunk(wire.ChunkType.COOKIE_ECHO, bytes(changed))
        assert peer.give(echo, tag=ack.tag) == []
    assert not peer.engine.associations
    assert peer.give(cookie_echo(ack), tag=ack.tag)[0].has(wire.CookieAck)


def test_a_cookie_cut_short_is_dropped_without_a_word() -> None:
    peer = ScriptedPeer()
    ack = peer.begin()
    for size in range(len(cookie_of(ack))):
        echo = wire.chunk(wire.ChunkType.COOKIE_ECHO, cookie_of(ack)[:size])
        assert peer.give(echo, tag=ack.tag) == []


def test_a_cookie_is_good_for_its_verification_tag_only() -> None:
    peer = ScriptedPeer()
    ack = peer.begin()
    assert peer.give(cookie_echo(ack), tag=ack.tag ^ 1) == []
    assert not peer.engine.associations


def test_a_cookie_is_good_for_its_port_only() -> None:
    peer = ScriptedPeer()
    ack = peer.begin()
    assert peer.give_raw(wire.seal(PEER_PORT + 1, PORT, ack.tag, [cookie_echo(ack)])) == []
    assert not peer.engine.associations


def test_another_endpoint_does_not_take_the_cookie() -> None:
    peer, other = ScriptedPeer(seed=1), ScriptedPeer(seed=2)
    ack = peer.begin()
    assert other.give(cookie_echo(ack), tag=ack.tag) == []


def test_two_keys_are_in_rotation() -> None:
    jar = CookieJar(Random(0).randbytes)
    jar.seal(COOKIE, 0.0)
    sealed = jar.seal(COOKIE, KEY_LIFE)  # with the first key
    second = jar.seal(COOKIE, KEY_LIFE + 1.0)
    assert sealed != second
    assert jar.open_untrusted(sealed, KEY_LIFE + 2.0) == COOKIE
    assert jar.open_untrusted(sealed, 2 * KEY_LIFE + 3.0) is None
    assert jar.open_untrusted(second, 2 * KEY_LIFE + 3.0) == COOKIE


def test_a_cookie_lives_for_valid_cookie_life() -> None:
    peer = ScriptedPeer(cookie_life=60.0)
    ack = peer.begin()
    peer.now = 60.0
    assert peer.give(cookie_echo(ack), tag=ack.tag)[0].has(wire.CookieAck)


@pytest.mark.parametrize(
    ("asked", "lives"), [(0, 60.0), (10_000, 70.0), (60_000, 120.0), (2**32 - 1, 120.0)]
)
def test_a_cookie_lives_longer_if_the_peer_asks_but_at_most_twice_as_long(
    asked: int, lives: float
) -> None:
    """Otherwise it would ask for 49 days."""
    preservative = Tlv(ParameterType.COOKIE_PRESERVATIVE, asked.to_bytes(4, "big"))
    for late, kind in [(0.0, wire.CookieAck), (1.0, wire.Error)]:
        peer = ScriptedPeer(cookie_life=60.0)
        ack = peer.begin(parameters=[preservative])
        peer.now = lives + late
        assert peer.give(cookie_echo(ack), tag=ack.tag)[0].has(kind)


@pytest.mark.parametrize(("now", "told"), [(61.5, 1_500_000), (4500.0, 2**32 - 1)])
def test_a_stale_cookie_is_told_with_how_stale_it_is(now: float, told: int) -> None:
    peer = ScriptedPeer(cookie_life=60.0)
    ack = peer.begin()
    peer.now = now
    (answer,) = peer.give(cookie_echo(ack), tag=ack.tag)
    assert answer.packet.tag == peer.tag
    (error,) = answer.chunks(wire.Error)
    # Section 3.3.10.3: microseconds since the cookie expired.
    assert error.causes == [Tlv(Cause.STALE_COOKIE, told.to_bytes(4, "big"))]
    assert not peer.engine.associations


def test_a_stale_cookie_of_the_association_that_there_is_is_good() -> None:
    """Section 5.2.4, 3: its COOKIE ECHO is a repetition."""
    peer = ScriptedPeer(cookie_life=60.0, heartbeats=False)
    ack = peer.begin()
    peer.their_tag = ack.tag
    peer.give(cookie_echo(ack))
    peer.now = 100.0
    (answer,) = peer.give(cookie_echo(ack))
    assert answer.has(wire.CookieAck)
    assert not answer.has(wire.Error)


def test_who_is_told_of_a_stale_cookie_asks_for_one_that_lives_longer() -> None:
    peer = ScriptedPeer()
    peer.set_up("echoed")
    peer.advance(0.5)
    cause = Tlv(Cause.STALE_COOKIE, (2_000_000).to_bytes(4, "big"))
    (again,) = peer.give(wire.error_chunk([cause]))
    (init,) = again.chunks(wire.Init)
    (preservative,) = [p for p in init.parameters if p.type == ParameterType.COOKIE_PRESERVATIVE]
    assert int.from_bytes(preservative.value, "big") >= 500  # the round trip and some more
    assert peer.state() is StatusState.COOKIE_WAIT
    assert init.tag == peer.their_tag


def test_stale_cookies_do_not_go_on_for_ever() -> None:
    peer = ScriptedPeer()
    peer.set_up("echoed")
    cause = Tlv(Cause.STALE_COOKIE, bytes(4))
    rounds = 0
    while peer.state() is not StatusState.CLOSED:
        peer.give(wire.error_chunk([cause]))
        peer.give(peer.init_ack())
        rounds += 1
        assert rounds < 20
    assert [e.state for e in ends(peer.events())] == [AssociationState.CANT_ASSOC]


def hostile_parameters() -> list[Tlv]:
    """Make as many addresses and unknown parameters as are looked at."""
    addresses = [wire.address_parameter(f"fd00::{n:x}") for n in range(1, 33)]
    unknown = [Tlv(0xC100 + n % 16, bytes(100)) for n in range(32)]
    return addresses + unknown


def test_the_size_of_the_cookie_is_capped() -> None:
    peer = ScriptedPeer()
    ack = peer.begin(parameters=hostile_parameters())
    assert len(cookie_of(ack)) <= Parameters().max_cookie_size


def test_the_size_of_an_init_ack_is_bounded() -> None:
    peer = ScriptedPeer()
    (small,) = peer.give_init()
    assert small.size < 256  # to an INIT of 32 bytes
    (large,) = peer.give_init(parameters=hostile_parameters())
    assert large.size < 2 * Parameters().max_cookie_size
    # Unknown parameters that are reported came with the INIT, so this is no amplification.
    unknown = [Tlv(0xC100, b""), Tlv(0xC101, bytes(300))]
    (medium,) = peer.give_init(parameters=unknown)
    assert medium.size - small.size <= sum(len(p.value) + 4 + 4 for p in unknown)


@pytest.mark.parametrize(("size", "reported"), [(2036, 1), (2037, 0)])
def test_reports_of_unknown_parameters_fill_max_cookie_size_to_the_byte(
    size: int, reported: int
) -> None:
    """Each takes 12 bytes beside the value: two headers, and at most four of padding."""
    peer = ScriptedPeer(max_cookie_size=2048)
    ack = peer.begin(parameters=[Tlv(0xC100, bytes(size))])
    reports = [p for p in ack.parameters if p.type == ParameterType.UNRECOGNIZED]
    assert len(reports) == reported


def test_ip_may_fragment_an_init_ack_only_if_it_is_larger_than_the_path_mtu() -> None:
    peer = ScriptedPeer(path_mtu=1280)
    (small,) = peer.give_init()
    assert not small.fragment
    room = 1280 - small.size - 8  # what a report may carry: two headers
    for size, fragment in [(room, False), (room + 1, True), (2000, True)]:
        (answer,) = peer.give_init(parameters=[Tlv(0xC100, bytes(size))])
        assert (answer.size > 1280, answer.fragment) == (fragment, fragment)


def test_tie_tags_do_not_reveal_the_tags() -> None:
    """Section 1.3: cookies can be read."""
    peer = ScriptedPeer()
    peer.accept()
    peer.tag ^= 0xFFFF
    cookie = cookie_of(peer.begin())
    assert peer.their_tag.to_bytes(4, "big") not in cookie
    assert (peer.tag ^ 0xFFFF).to_bytes(4, "big") not in cookie


def test_a_cookie_with_data_behind_it() -> None:
    peer = ScriptedPeer()
    ack = peer.begin()
    (answer,) = peer.give(cookie_echo(ack), peer.unordered(b"early"), tag=ack.tag)[:1]
    assert answer.has(wire.CookieAck)
    assert payloads(peer.events()) == [b"early"]


# -- INIT (5.1, 6.10, 8.5.1) -------------------------------------------------------------------


def test_an_init_is_alone_in_its_packet() -> None:
    peer = ScriptedPeer()
    peer.set_up("wait")
    (packet,) = peer.sent
    assert len(packet.packet.chunks) == 1
    assert packet.packet.tag == 0


def test_an_init_ack_is_alone_in_its_packet() -> None:
    (answer,) = ScriptedPeer().give_init()
    assert len(answer.packet.chunks) == 1


@pytest.mark.parametrize("first", [True, False])
def test_an_init_with_company_is_dropped(first: bool) -> None:
    peer = ScriptedPeer()
    chunks = [peer.init(), peer.unordered()]
    assert peer.give(*chunks if first else reversed(chunks), tag=0) == []


def test_an_init_with_a_verification_tag_is_dropped() -> None:
    peer = ScriptedPeer()
    assert peer.give(peer.init(), tag=77) == []


def test_an_init_is_retransmitted_to_the_next_address() -> None:
    simulation = Simulation()
    engine = simulation.host(A, A2, A3)
    engine.connect([Route(A, B), Route(A2, B2), Route(A3, B3)], PEER_PORT, 0.0)
    simulation.run(200.0)
    order = [sent.route.remote for sent in simulation.packets(wire.Init)]
    assert order[:7] == [B, B2, B3, B, B2, B3, B]


def test_an_unanswered_connect_ends_after_243_seconds() -> None:
    """RTO.Initial 1 s, Max.Init.Retransmits 8, RTO.Max 60 s."""
    simulation = Simulation()
    engine = simulation.host(A, rto_initial=1.0)
    engine.connect([Route(A, B)], PEER_PORT, 0.0)
    simulation.run(1000.0)
    times = [sent.time for sent in simulation.packets(wire.Init)]
    assert times == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0, 123.0, 183.0]

    simulation = Simulation()
    engine = simulation.host(A, rto_initial=1.0)
    engine.connect([Route(A, B)], PEER_PORT, 0.0)
    simulation.run(242.999)
    assert ends(simulation.events[engine]) == []
    simulation.run(0.002)
    (end,) = ends(simulation.events[engine])
    assert end.state is AssociationState.CANT_ASSOC
    assert simulation.over()


def test_no_abort_while_the_tag_of_the_peer_is_unknown() -> None:
    peer = ScriptedPeer()
    association = peer.set_up("wait")
    peer.engine.abort(association.id, b"no", peer.now)
    assert peer.take() == []
    assert ends(peer.events())[0].state is AssociationState.CANT_ASSOC


def test_an_abort_once_the_tag_of_the_peer_is_known() -> None:
    peer = ScriptedPeer()
    association = peer.set_up("echoed")
    peer.engine.abort(association.id, b"no", peer.now)
    (packet,) = peer.take()
    assert packet.packet.tag == peer.tag
    assert not packet.chunks(wire.Abort)[0].reflected


def test_an_init_without_tag_is_dropped_without_a_word() -> None:
    assert ScriptedPeer().give_init(tag=0) == []


@pytest.mark.parametrize(
    "field", [{"outbound_streams": 0}, {"inbound_streams": 0}, {"rwnd": 1499}], ids=str
)
def test_a_senseless_init_is_answered_with_an_abort_with_its_tag(field: dict[str, Any]) -> None:
    peer = ScriptedPeer()
    (answer,) = peer.give_init(**field)
    assert answer.packet.tag == peer.tag
    (abort,) = answer.chunks(wire.Abort)
    assert not abort.reflected


def malformed_init(peer: ScriptedPeer, tag: int) -> bytes:
    """An INIT whose parameter says that it is longer than the chunk."""
    good = peer.init([Tlv(0xC100, bytes(8))], tag=tag)
    return good[:22] + b"\0\xff" + good[24:]


def test_a_malformed_init_is_answered_with_an_abort_with_its_tag() -> None:
    peer = ScriptedPeer()
    (answer,) = peer.give(malformed_init(peer, 77), tag=0)
    assert answer.tag == 77
    abort = answer.get(wire.Abort)
    assert not abort.reflected
    assert [cause.type for cause in abort.causes] == [Cause.PROTOCOL_VIOLATION]


def test_a_malformed_init_is_dropped_if_nobody_listens_or_there_is_no_tag_to_answer_with() -> None:
    peer = ScriptedPeer()
    assert peer.give(malformed_init(peer, 0), tag=0) == []
    assert peer.give(malformed_init(peer, 77), tag=5) == []  # an INIT has no verification tag
    short = wire.chunk(wire.ChunkType.INIT, bytes(range(1, 16)))
    assert peer.give(short, tag=0) == []  # 19 bytes
    peer.engine.listening = False
    assert peer.give(malformed_init(peer, 77), tag=0) == []


def test_an_endpoint_that_does_not_listen_answers_an_abort() -> None:
    peer = ScriptedPeer()
    peer.engine.listening = False
    (answer,) = peer.give_init()
    assert answer.packet.tag == peer.tag
    assert not answer.chunks(wire.Abort)[0].reflected


def test_an_init_ack_without_cookie_ends_it_with_an_abort() -> None:
    peer = ScriptedPeer()
    peer.set_up("wait")
    (answer,) = peer.give(peer.init_ack(parameters=[]))
    assert answer.packet.tag == peer.tag
    assert answer.chunks(wire.Abort)[0].causes[0].type == Cause.MISSING_PARAMETER
    assert ends(peer.events())[0].state is AssociationState.CANT_ASSOC


@pytest.mark.parametrize(
    "field", [{"outbound_streams": 0}, {"inbound_streams": 0}, {"rwnd": 1499}], ids=str
)
def test_a_senseless_init_ack_ends_it_with_an_abort(field: dict[str, Any]) -> None:
    peer = ScriptedPeer()
    peer.set_up("wait")
    (answer,) = peer.give(peer.init_ack(**field))
    assert answer.packet.tag == peer.tag
    assert answer.has(wire.Abort)
    assert ends(peer.events())[0].state is AssociationState.CANT_ASSOC


def test_an_init_ack_without_tag_ends_it_with_our_own_tag_reflected() -> None:
    """Section 3.3.3: the peer's tag is not known."""
    peer = ScriptedPeer()
    peer.set_up("wait")
    (answer,) = peer.give(peer.init_ack(tag=0))
    assert answer.packet.tag == peer.their_tag
    assert answer.chunks(wire.Abort)[0].reflected
    assert ends(peer.events())[0].state is AssociationState.CANT_ASSOC


def test_a_cookie_echo_is_refused_when_nobody_listens_any_more() -> None:
    peer = ScriptedPeer()
    ack = peer.begin()
    peer.engine.listening = False
    (answer,) = peer.give(cookie_echo(ack), tag=ack.tag)
    assert answer.tag == peer.tag
    assert answer.get(wire.Abort).causes == []
    assert not peer.engine.associations


def test_our_adaptation_indication_is_in_the_init_and_in_the_init_ack() -> None:
    indication = Tlv(ParameterType.ADAPTATION_INDICATION, bytes([0, 0, 1, 2]))
    peer = ScriptedPeer(adaptation_indication=0x102)
    assert indication in peer.begin().parameters
    assert indication in peer.connect().parameters


def test_the_adaptation_indication_of_an_init_ack_is_told_of() -> None:
    peer = ScriptedPeer()
    peer.connect()
    indication = Tlv(ParameterType.ADAPTATION_INDICATION, (2**32 - 1).to_bytes(4, "big"))
    peer.give(peer.init_ack([PEER_COOKIE, indication]))
    peer.give(COOKIE_ACK)
    told = [e for e in peer.events() if isinstance(e, AdaptationIndication)]
    assert [e.adaptation_ind for e in told] == [2**32 - 1]


@pytest.mark.parametrize(
    ("until", "number"),
    [("wait", errno.EALREADY), ("echoed", errno.EALREADY), ("up", errno.EISCONN)],
)
def test_a_second_connect_to_a_peer_is_an_error_that_says_how_far_the_first_is(
    until: Until, number: int
) -> None:
    peer = ScriptedPeer()
    peer.set_up(until)
    with pytest.raises(OSError, match=os.strerror(number)) as error:
        peer.connect(B2, B)
    assert error.value.errno == number
    assert len(peer.engine.associations) == 1


def test_tags_and_tsns_come_from_randomness() -> None:
    tags, tsns = set[int](), set[int]()
    for seed in range(50):
        ack = ScriptedPeer(seed=seed).begin()
        tags.add(ack.tag)
        tsns.add(ack.tsn)
    peer = ScriptedPeer(seed=99)
    for _ in range(50):
        ack = peer.begin()
        tags.add(ack.tag)
        tsns.add(ack.tsn)
    assert len(tags) == len(tsns) == 100
    assert max(tags) > 2**31
    assert max(tsns) > 2**31


def test_randomness_is_the_systems_unless_another_is_given() -> None:
    engines = [Engine(PORT, [A]) for _ in range(2)]
    inits = []
    for engine in engines:
        engine.connect([Route(A, B)], PEER_PORT, 0.0)
        inits.append(engine.packets_to_send()[0].data)
    assert inits[0] != inits[1]


def test_a_tag_is_never_zero() -> None:
    engine = Engine(PORT, [A], randomness=bytes)
    engine.connect([Route(A, B)], PEER_PORT, 0.0)
    packet = wire.parse_packet_untrusted(engine.packets_to_send()[0].data)
    assert isinstance(packet, wire.Packet)
    assert isinstance(packet.chunks[0], wire.Init)
    assert packet.chunks[0].tag != 0


def test_streams_are_the_least_that_both_want() -> None:
    pair = Pair(here={"outbound_streams": 20, "inbound_streams": 3}, there={"outbound_streams": 7})
    assert (pair.association.outbound_streams, pair.association.inbound_streams) == (20, 3)
    assert (pair.other.outbound_streams, pair.other.inbound_streams) == (3, 20)


def test_nothing_is_reported_to_a_peer_whose_tag_is_forgotten() -> None:
    """A stale cookie has the handshake begin anew, and there is no tag to send an ERROR with."""
    peer = ScriptedPeer()
    peer.set_up("echoed")
    stale = wire.error_chunk([Tlv(Cause.STALE_COOKIE, bytes(4))])
    (answer,) = peer.give(wire.chunk(0xC5, b"unknown"), stale)
    assert answer.has(wire.Init)


# -- lost packets ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [wire.Init, wire.InitAck, wire.CookieEcho, wire.CookieAck])
def test_the_handshake_survives_the_loss_of(kind: type[object]) -> None:
    pair = Pair(connect=False)

    def of_the_kind() -> int:
        return sum(type(chunk) is kind for sent in pair.sent for chunk in sent.packet.chunks)

    pair.drop = lambda sent: type(sent.packet.chunks[0]) is kind and of_the_kind() == 1
    pair.id = pair.a.connect(pair.routes, PEER_PORT, 0.0)
    pair.run_until(lambda: pair.up, 5.0)
    assert of_the_kind() == 2
    pair.send(b"hello")
    pair.run(1.0)
    assert payloads(pair.events[pair.b]) == [b"hello"]
    assert len(pair.b.associations) == 1


# -- unexpected ones (5.2) ---------------------------------------------------------------------


def test_both_ends_connect_at_once() -> None:
    pair = Pair(connect=False)
    pair.id = pair.a.connect(pair.routes, PEER_PORT, 0.0)
    pair.b.connect([Route(B, A)], PORT, 0.0)
    pair.run_until(lambda: pair.up, 10.0)
    pair.send(b"one")
    pair.answer(b"two")
    pair.run(1.0)
    assert payloads(pair.events[pair.b]) == [b"one"]
    assert payloads(pair.events[pair.a]) == [b"two"]


def test_an_init_for_an_association_changes_nothing() -> None:
    peer = ScriptedPeer()
    association = peer.accept()
    before = (association.our_tag, association.their_tag, association.state)
    ack = peer.begin(tag=999, tsn=5000)
    assert ack.tag != association.our_tag
    assert (association.our_tag, association.their_tag, association.state) == before
    (answer,) = peer.give(peer.unordered(b"still there", immediate=True))
    assert answer.has(wire.Sack)


def test_a_peer_that_has_restarted_is_taken_up_again() -> None:
    """Section 5.2.4, action A."""
    peer = ScriptedPeer()
    association = peer.accept()
    peer.give(peer.unordered(b"before"))
    peer.events()
    peer.tag, peer.tsn = 0x99, 7000
    ack = peer.begin()
    (answer,) = peer.give(cookie_echo(ack), tag=ack.tag)
    assert answer.has(wire.CookieAck)
    assert answer.packet.tag == 0x99
    assert peer.association is association
    (event,) = [e for e in peer.events() if isinstance(e, AssociationChange)]
    assert event.state is AssociationState.RESTART
    peer.their_tag = ack.tag
    peer.give(peer.unordered(b"after"))
    assert payloads(peer.events()) == [b"after"]


def test_an_old_cookie_does_not_restart_it_twice() -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.tag = 0x99
    first, second = peer.begin(), peer.begin(tag=0x98)
    peer.give(cookie_echo(first), tag=first.tag)
    assert peer.give(cookie_echo(second), tag=second.tag) == []
    assert peer.association.our_tag == first.tag


def test_a_restart_may_not_bring_new_addresses() -> None:
    """Section 5.2.2."""
    peer = ScriptedPeer()
    association = peer.accept()
    (answer,) = peer.give_init(tag=0x99, parameters=[wire.address_parameter(B2)])
    assert answer.packet.tag == 0x99
    (abort,) = answer.chunks(wire.Abort)
    assert abort.causes[0].type == Cause.RESTART_WITH_NEW_ADDRESSES
    assert wire.parse_tlvs_untrusted(abort.causes[0].value) == [wire.address_parameter(B2)]
    assert peer.association is association
    assert peer.state() is StatusState.ESTABLISHED


def test_addresses_that_lead_nowhere_do_not_prevent_a_restart() -> None:
    """A host with only IPv4 takes no IPv6 addresses, neither at first nor at a restart."""
    peer = ScriptedPeer()
    association = peer.accept(wire.address_parameter("2001:db8::2"))
    assert list(association.paths) == [B]
    ack = peer.begin(tag=0x99)
    (answer,) = peer.give(cookie_echo(ack), tag=ack.tag)
    assert answer.has(wire.CookieAck)
    assert list(peer.association.paths) == [B]


def test_an_init_may_not_bring_new_addresses_in_cookie_echoed() -> None:
    """Section 5.2.1."""
    peer = ScriptedPeer()
    peer.set_up("echoed")
    (answer,) = peer.give_init(tag=0x99, parameters=[wire.address_parameter(B2)])
    assert answer.chunks(wire.Abort)[0].causes[0].type == Cause.RESTART_WITH_NEW_ADDRESSES
    assert peer.state() is StatusState.COOKIE_ECHOED


def test_a_stranger_cannot_take_the_address_of_a_peer() -> None:
    peer = ScriptedPeer()
    association = peer.accept()
    stranger = Route(A, B3)
    ack = peer.begin(stranger, tag=0x99, parameters=[wire.address_parameter(B)])
    peer.give(cookie_echo(ack), tag=ack.tag, route=stranger)
    other = peer.engine.associations[2]
    assert list(other.paths) == [B3]
    assert list(association.paths) == [B]
    peer.give(peer.unordered(b"still the peer's"))
    assert [m.association_id for m in peer.events() if isinstance(m, Message)] == [association.id]


def test_a_cookie_from_before_cannot_take_the_address_of_a_peer() -> None:
    peer = ScriptedPeer()
    stranger = Route(A, B3)
    ack = peer.begin(stranger, tag=0x99, parameters=[wire.address_parameter(B)])
    association = peer.accept()
    peer.give(cookie_echo(ack), tag=ack.tag, route=stranger)
    assert list(peer.engine.associations[2].paths) == [B3]
    assert list(association.paths) == [B]


def test_an_init_ack_cannot_take_the_address_of_another_peer() -> None:
    peer = ScriptedPeer()
    association = peer.accept()
    peer.engine.connect([Route(A, B3)], PEER_PORT, 0.0)
    (packet,) = peer.take()
    (init,) = packet.chunks(wire.Init)
    ack = peer.init_ack([PEER_COOKIE, wire.address_parameter(B)], tag=0x55)
    peer.give(ack, tag=init.tag, route=Route(A, B3))
    peer.give(peer.unordered(b"still the peer's"))
    assert payloads(peer.events()) == [b"still the peer's"]
    assert peer.engine.associations[association.id] is association


def test_a_late_cookie_of_another_attempt_is_dropped() -> None:
    """Section 5.2.4, action C."""
    peer = ScriptedPeer()
    late = peer.begin()
    peer.accept()
    assert peer.give(cookie_echo(late), tag=late.tag) == []
    assert peer.state() is StatusState.ESTABLISHED


@pytest.mark.parametrize("close", [True, False])
def test_a_cookie_of_a_collision_is_dropped_once_the_association_shuts_down(close: bool) -> None:
    """Section 5.2.4, action B: it would bring the association back to life."""
    peer = ScriptedPeer()
    peer.set_up("wait")
    ack = peer.begin(tag=77)
    peer.give(peer.init_ack())
    peer.give(COOKIE_ACK)
    peer.send(b"keeps it from ending")
    if close:
        peer.engine.shutdown(peer.association.id, peer.now)
    peer.take()
    left = peer.give(cookie_echo(ack))
    if close:
        assert left == []
        assert peer.state() is StatusState.SHUTDOWN_PENDING
        assert peer.association.their_tag == peer.tag
    else:
        assert left[0].has(wire.CookieAck)
        assert peer.association.their_tag == 77


def test_a_cookie_that_comes_again_is_acknowledged_again() -> None:
    """Section 5.2.4, action D."""
    peer = ScriptedPeer()
    ack = peer.begin()
    for _ in range(3):
        (answer,) = peer.give(cookie_echo(ack), tag=ack.tag)
        assert answer.has(wire.CookieAck)
    assert len(peer.engine.associations) == 1
    assert len([e for e in peer.events() if isinstance(e, AssociationChange)]) == 1


def test_a_cookie_that_comes_again_from_elsewhere_makes_no_second_association() -> None:
    peer = ScriptedPeer()
    ack = peer.begin()
    peer.give(cookie_echo(ack), tag=ack.tag)
    peer.give(cookie_echo(ack), tag=ack.tag, route=Route(A, B3))
    assert len(peer.engine.associations) == 1


@pytest.mark.parametrize("preserved", [0, 60_000])
def test_a_cookie_whose_association_has_ended_makes_no_other_one(preserved: int) -> None:
    """Section 5.3.1: its tag was used, and what came with it would be delivered twice."""
    peer = ScriptedPeer(cookie_life=60.0)
    option = Tlv(ParameterType.COOKIE_PRESERVATIVE, preserved.to_bytes(4, "big"))
    ack = peer.begin(parameters=[option] if preserved else [])
    packet = peer.packet(cookie_echo(ack), peer.unordered(b"once"), tag=ack.tag)
    peer.give_raw(packet)
    peer.advance(20.0)  # nothing else tells the engine what time it is
    peer.engine.abort(peer.association.id, b"", peer.now)
    peer.take()
    assert payloads(peer.events()) == [b"once"]
    age = 20.0
    while age <= 60.0 + preserved / 1000:
        (answer,) = peer.give_raw(packet)
        assert answer.has(wire.Abort)
        assert answer.packet.tag == peer.tag
        peer.advance(5.0)
        age += 5.0
    peer.advance(120.0)
    (answer,) = peer.give_raw(packet)
    assert answer.has(wire.Error)  # it is stale by now
    assert peer.events() == []


def test_a_cookie_from_before_a_restart_makes_no_other_association_when_all_is_over() -> None:
    peer = ScriptedPeer()
    first = peer.begin()
    peer.give(cookie_echo(first), tag=first.tag)
    peer.tag = 0x99
    second = peer.begin()
    peer.give(cookie_echo(second), tag=second.tag)
    peer.engine.abort(peer.association.id, b"", peer.now)
    peer.take()
    for ack in (first, second):
        (answer,) = peer.give(cookie_echo(ack), tag=ack.tag)
        assert answer.has(wire.Abort)
    assert not peer.engine.associations


def test_a_tag_that_was_used_is_not_chosen_again() -> None:
    engine = Engine(PORT, [A], randomness=bytes)
    tags = []
    for _ in range(3):
        id = engine.connect([Route(A, B)], PEER_PORT, 0.0)
        tags.append(parsed(engine.packets_to_send()[0].data).chunks[0])
        engine.abort(id, b"", 0.0)
    assert len({init.tag for init in tags if isinstance(init, wire.Init)}) == 3


def test_a_cookie_whose_tag_is_forgotten_is_stale() -> None:
    """As many used tags are kept as there may be associations; no forgotten one is used again."""
    peer = ScriptedPeer(max_associations=3)
    longer = Tlv(ParameterType.COOKIE_PRESERVATIVE, (60_000).to_bytes(4, "big"))
    acks = []
    for port in range(5):
        peer.tag = port + 1
        acks.append(peer.begin(parameters=[longer]))
        peer.give(cookie_echo(acks[-1]), tag=acks[-1].tag)
        peer.engine.abort(peer.association.id, b"", peer.now)
        peer.take()
        peer.advance(1.0)
    answers = [peer.give(cookie_echo(ack), tag=ack.tag)[0] for ack in acks]
    for answer in answers[:2]:
        assert answer.get(wire.Error).causes == [Tlv(Cause.STALE_COOKIE, bytes(4))]
    assert all(answer.has(wire.Abort) for answer in answers[2:])
    assert not peer.engine.associations
    # A cookie that was made later is good, whatever has been forgotten.
    fresh = peer.begin()
    (answer,) = peer.give(cookie_echo(fresh), tag=fresh.tag)
    assert answer.has(wire.CookieAck)


def test_an_unexpected_init_ack_is_dropped() -> None:
    """Section 5.2.3."""
    peer = ScriptedPeer()
    peer.accept()
    assert peer.give(peer.init_ack(tag=5)) == []
    assert peer.association.their_tag == peer.tag


def test_an_unexpected_cookie_ack_is_dropped() -> None:
    """Section 5.2.5."""
    peer = ScriptedPeer()
    peer.accept()
    assert peer.give(wire.chunk(wire.ChunkType.COOKIE_ACK)) == []
    assert peer.state() is StatusState.ESTABLISHED


def test_unknown_parameters_are_skipped_or_end_it_as_their_high_bits_say() -> None:
    """Section 3.2.1."""
    peer = ScriptedPeer()
    listed = [
        Tlv(0x8123, b"skip"),
        Tlv(0xC123, b"skip, and report"),
        Tlv(0x4123, b"stop, and report"),
        Tlv(ParameterType.FORWARD_TSN_SUPPORTED, b""),
    ]
    ack = peer.begin(parameters=listed)
    reported = [p.value for p in ack.parameters if p.type == ParameterType.UNRECOGNIZED]
    assert reported == [wire.tlv(*listed[1]), wire.tlv(*listed[2])]
    assert all(p.type != ParameterType.FORWARD_TSN_SUPPORTED for p in ack.parameters)


def test_an_init_ack_names_the_extensions_that_both_ends_offer() -> None:
    """RFC 5061 section 4.2.7."""

    def named(parameters: list[Tlv]) -> list[bytes]:
        return [p.value for p in parameters if p.type == ParameterType.SUPPORTED_EXTENSIONS]

    peer = ScriptedPeer()
    forward_tsn = bytes([wire.ChunkType.FORWARD_TSN])
    others = Tlv(ParameterType.SUPPORTED_EXTENSIONS, bytes([250, 251]))
    both = Tlv(ParameterType.SUPPORTED_EXTENSIONS, bytes([250]) + forward_tsn)
    assert named(peer.begin(parameters=[]).parameters) == []
    assert named(peer.begin(parameters=[others]).parameters) == []
    assert named(peer.begin(parameters=[both]).parameters) == [forward_tsn]


def test_an_error_of_the_peer_is_reported_and_ends_nothing() -> None:
    peer = ScriptedPeer()
    peer.accept()
    peer.give(wire.error_chunk([Tlv(Cause.UNRECOGNIZED_PARAMETERS, b"abcd")]))
    (event,) = peer.events()
    assert isinstance(event, RemoteError)
    assert event.error == Cause.UNRECOGNIZED_PARAMETERS
    assert peer.state() is StatusState.ESTABLISHED


# -- user data in the handshake (5.1) ----------------------------------------------------------


def test_user_data_goes_with_the_cookie() -> None:
    pair = Pair(connect=False)
    pair.id = pair.a.connect(pair.routes, PEER_PORT, 0.0)
    pair.send(b"at once", info(1))
    pair.run_until(lambda: payloads(pair.events[pair.b]))
    assert pair.now == pytest.approx(3 * 0.01)  # INIT, INIT ACK, COOKIE ECHO
    (echo,) = pair.packets(wire.CookieEcho)
    assert isinstance(echo.packet.chunks[0], wire.CookieEcho)
    assert [data.payload for data in echo.chunks(wire.Data)] == [b"at once"]
    pair.run(5.0)
    assert len(pair.data(A)) == 1
    assert payloads(pair.events[pair.b]) == [b"at once"]


def test_no_more_than_one_packet_leaves_before_the_cookie_ack() -> None:
    peer = ScriptedPeer()
    peer.engine.connect([peer.route], PEER_PORT, 0.0)
    (init,) = peer.take()
    peer.their_tag = init.chunks(wire.Init)[0].tag
    peer.send(bytes(500))
    peer.send(bytes(3000))
    (packet,) = peer.give(peer.init_ack())
    assert [type(chunk) for chunk in packet.packet.chunks] == [wire.CookieEcho, wire.Data]
    assert packet.size <= MTU
    assert peer.send(b"still more") == []
    assert peer.advance(0.9) == []
    assert peer.give(wire.chunk(wire.ChunkType.COOKIE_ACK))


def test_user_data_goes_with_every_repetition_of_the_cookie() -> None:
    pair = Pair(connect=False)
    pair.drop = lambda sent: sent.has(wire.CookieEcho) and sent.time < 2.0
    pair.id = pair.a.connect(pair.routes, PEER_PORT, 0.0)
    pair.send(b"at once")
    pair.run(10.0)
    echoes = pair.packets(wire.CookieEcho)
    assert len(echoes) == 3
    assert [[data.payload for data in echo.chunks(wire.Data)] for echo in echoes] == [
        [b"at once"]
    ] * 3
    assert payloads(pair.events[pair.b]) == [b"at once"]
    assert len(pair.data(A)) == 3


def test_user_data_survives_the_loss_of_the_cookie_ack() -> None:
    pair = Pair(connect=False)
    pair.drop = lambda sent: sent.route.local == B and 0.02 < sent.time < 2.0
    pair.id = pair.a.connect(pair.routes, PEER_PORT, 0.0)
    pair.send(bytes(10_000))
    pair.run(10.0)
    assert pair.packets(wire.CookieAck)
    assert payloads(pair.events[pair.b]) == [bytes(10_000)]


def test_user_data_survives_a_stale_cookie() -> None:
    peer = ScriptedPeer()
    peer.engine.connect([peer.route], PEER_PORT, 0.0)
    (init,) = peer.take()
    peer.their_tag = init.chunks(wire.Init)[0].tag
    peer.send(b"at once")
    peer.give(peer.init_ack())
    cause = wire.Tlv(wire.Cause.STALE_COOKIE, bytes(4))
    (again,) = peer.give(wire.error_chunk([cause]))
    assert [type(chunk) for chunk in again.packet.chunks] == [wire.Init]
    peer.their_tag = again.chunks(wire.Init)[0].tag
    (echo,) = peer.give(peer.init_ack())
    assert [data.payload for data in echo.chunks(wire.Data)] == [b"at once"]


@pytest.mark.parametrize("streams", [[0, 5, 1, 2], [5, 2]])
def test_what_is_for_a_stream_that_is_not_granted_is_given_back(streams: list[int]) -> None:
    pair = Pair(connect=False, there={"inbound_streams": 2})
    pair.id = pair.a.connect(pair.routes, PEER_PORT, 0.0)
    for stream in streams:
        pair.send(b"%d" % stream, info(stream))
    pair.run(1.0)
    assert payloads(pair.events[pair.b]) == [b"%d" % stream for stream in streams if stream < 2]
    events = pair.events[pair.a]
    assert [(f.data, f.sent, f.error) for f in failures(events)] == [
        (b"5", False, wire.Cause.INVALID_STREAM),
        (b"2", False, wire.Cause.INVALID_STREAM),
    ]
    first = next(n for n, event in enumerate(events) if event in failures(events))
    assert any(isinstance(event, AssociationChange) for event in events[:first])
    pair.a.shutdown(pair.id, pair.now)
    pair.finish()


def test_both_ends_connect_at_once_and_send() -> None:
    pair = Pair(connect=False)
    pair.id = pair.a.connect(pair.routes, PEER_PORT, 0.0)
    back = pair.b.connect([Route(B, A)], PORT, 0.0)
    pair.send(b"there")
    pair.b.send(back, b"back", info(), 0.0)
    pair.run(10.0)
    assert payloads(pair.events[pair.b]) == [b"there"]
    assert payloads(pair.events[pair.a]) == [b"back"]
