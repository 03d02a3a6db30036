"""Several paths: confirmation, heartbeats, failures (RFC 9260 sections 5.4, 6.4, 8; RFC 7829)."""

from __future__ import annotations

import struct
from itertools import pairwise
from math import inf

import pytest

from trio_sctp._engine import Parameters, Route, wire
from trio_sctp._engine.path import host_of, transport_address
from trio_sctp._engine.wire import ParameterType
from trio_sctp._options import PathState, StatusState
from trio_sctp._values import AssociationState, Message, PeerAddressState, SendInfo

from ..support.engines import (
    A2,
    B2,
    B3,
    FULL,
    PEER_PORT,
    PORT,
    A,
    B,
    Sent,
    ends,
    info,
    path_changes,
    payloads,
)
from ..support.scripted_peer import COOKIE_ACK, PEER_COOKIE, ScriptedPeer
from .simulation import Pair, Simulation

AVAILABLE = PeerAddressState.ADDR_AVAILABLE
CONFIRMED = PeerAddressState.ADDR_CONFIRMED
FAILING = PeerAddressState.ADDR_POTENTIALLY_FAILED
MADE_PRIMARY = PeerAddressState.ADDR_MADE_PRIM
UNREACHABLE = PeerAddressState.ADDR_UNREACHABLE


def heartbeats(sent: list[Sent], remote: str | None = None) -> list[Sent]:
    return [s for s in sent if s.has(wire.Heartbeat) and remote in (None, s.route.remote)]


def quiet(pair: Pair) -> None:
    """Have ``a`` send no heartbeats: lost ones count as errors too."""
    for path in pair.association.paths.values():
        path.heartbeats, path.heartbeat_at = False, inf


def addresses_in(parameters: list[wire.Tlv]) -> list[str]:
    return [a for p in parameters if (a := wire.address_untrusted(p)) is not None]


# -- which addresses there are (5.1.2) ---------------------------------------------------------


def test_each_end_tells_the_other_of_its_addresses() -> None:
    pair = Pair(2)
    (init,) = pair.packets(wire.Init)[0].chunks(wire.Init)
    (ack,) = pair.packets(wire.InitAck)[0].chunks(wire.InitAck)
    assert addresses_in(init.parameters) == [A, A2]
    assert addresses_in(ack.parameters) == [B, B2]
    assert list(pair.association.paths) == [B, B2]
    assert list(pair.other.paths) == [A, A2]


def test_an_endpoint_with_one_address_lists_none() -> None:
    pair = Pair()
    (init,) = pair.packets(wire.Init)[0].chunks(wire.Init)
    assert addresses_in(init.parameters) == []


def test_an_address_has_the_local_one_of_its_network() -> None:
    pair = Pair(3)
    for association in (pair.association, pair.other):
        for path in association.paths.values():
            assert path.route.local[:-1] == path.route.remote[:-1]


def test_addresses_that_are_nobodys_are_left_out() -> None:
    peer = ScriptedPeer()
    nobody = ["224.0.0.1", "0.0.0.0", "255.255.255.255"]
    association = peer.accept(
        *[wire.address_parameter(a) for a in nobody],
        wire.Tlv(ParameterType.IPV4_ADDRESS, b"abc"),
        wire.address_parameter(B2),
        wire.address_parameter(B2),
    )
    assert list(association.paths) == [B, B2]


def test_a_peer_has_at_most_16_addresses() -> None:
    peer = ScriptedPeer()
    listed = [wire.address_parameter(f"10.1.0.{n}") for n in range(1, 60)]
    assert len(peer.accept(*listed).paths) == 16


def test_a_peer_has_at_most_16_addresses_from_its_init_ack_too() -> None:
    peer = ScriptedPeer()
    listed = [wire.address_parameter(f"10.1.0.{n}") for n in range(1, 60)]
    peer.set_up("wait")
    peer.give(peer.init_ack([PEER_COOKIE, *listed]))
    assert len(peer.association.paths) == 16


# -- confirmation (5.4) ------------------------------------------------------------------------


def test_addresses_that_the_peer_lists_are_confirmed_by_a_heartbeat() -> None:
    pair = Pair(2)
    assert path_changes(pair.events[pair.b]) == [(A2, CONFIRMED)]
    first = heartbeats(pair.sent, A2)[0]
    ack = pair.packets(wire.HeartbeatAck, A2)[0]
    assert ack.route == Route(A2, B2)
    assert ack.chunks(wire.HeartbeatAck)[0].info == first.chunks(wire.Heartbeat)[0].info


def test_addresses_that_the_program_gave_need_no_confirmation() -> None:
    pair = Pair(2)
    assert path_changes(pair.events[pair.a]) == []
    assert pair.path(B2).confirmed


def test_an_unconfirmed_address_carries_no_user_data() -> None:
    """It does not even when all others fail."""
    pair = Pair(2, connect=False)
    pair.drop = lambda sent: sent.route.local == A2
    pair.id = pair.a.connect(pair.routes, PEER_PORT, 0.0)
    pair.run(5.0)
    pair.answer(b"works")
    pair.run(1.0)
    pair.cut(A)
    for _ in range(10):
        pair.answer(bytes(FULL))
    pair.run(100.0)
    assert pair.data(B)
    assert pair.data(B2) == []
    assert {type(c) for s in pair.sent if s.route.remote == A2 for c in s.packet.chunks} == {
        wire.Heartbeat
    }


def test_the_source_of_a_cookie_echo_is_not_confirmed_by_it() -> None:
    """A peer that knows the cookie can send it from somebody else's address."""
    peer = ScriptedPeer()
    peer.parameters = [wire.address_parameter(B2)]
    ack = peer.begin()
    echo = wire.chunk(wire.ChunkType.COOKIE_ECHO, ack.parameters[0].value)
    peer.give(echo, tag=ack.tag, route=Route(A, B2))
    association = peer.association
    assert association.paths[B].confirmed
    assert not association.paths[B2].confirmed
    assert peer.send(b"x")[0].route.remote == B


def test_the_source_of_an_init_ack_is_not_confirmed_by_it() -> None:
    peer = ScriptedPeer()
    peer.set_up("wait")
    (echo,) = peer.give(peer.init_ack(), route=Route(A, B2))
    assert echo.has(wire.CookieEcho)
    assert echo.route.remote == B
    assert not peer.association.paths[B2].confirmed


def test_a_heartbeat_ack_confirms_only_with_the_nonce_that_was_sent() -> None:
    peer = ScriptedPeer()
    association = peer.accept(wire.address_parameter(B2))
    (packet,) = heartbeats(peer.advance(1.5), B2)[:1]
    told = packet.chunks(wire.Heartbeat)[0].info
    for at in range(8, 16):
        forged = bytearray(told)
        forged[at] ^= 1
        peer.give(wire.heartbeat_chunk(bytes(forged), ack=True), route=Route(A, B2))
    assert not association.paths[B2].confirmed
    peer.give(wire.heartbeat_chunk(told[:10], ack=True), route=Route(A, B2))
    assert not association.paths[B2].confirmed


def test_the_heartbeat_of_one_address_confirms_no_other() -> None:
    peer = ScriptedPeer()
    association = peer.accept(wire.address_parameter(B2), wire.address_parameter(B3))
    packets = heartbeats(peer.advance(2.5))
    nonce = {p.route.remote: p.chunks(wire.Heartbeat)[0].info for p in packets}
    swapped = nonce[B2].replace(B2.encode(), B3.encode())
    peer.give(wire.heartbeat_chunk(swapped, ack=True))
    assert not association.paths[B2].confirmed
    assert not association.paths[B3].confirmed


def test_heartbeat_nonces_are_random() -> None:
    pair = Pair(2)
    pair.run(2000.0)
    told = [s.chunks(wire.Heartbeat)[0].info for s in heartbeats(pair.sent)]
    assert len(told) > 100
    assert len({info[8:16] for info in told}) == len(told)


def test_probes_of_unconfirmed_addresses_are_rate_limited() -> None:
    """They may be anybody's: a peer could make us send to 15 hosts for each INIT."""
    peer = ScriptedPeer()
    listed = [wire.address_parameter(f"10.1.0.{n}") for n in range(1, 16)]
    peer.accept(*listed)
    probes = heartbeats(peer.advance(600.0))
    probes = [p for p in probes if p.route.remote != B]
    assert probes
    times = [p.time for p in probes]
    for start in range(600):
        # HB.Max.Burst is 1, an RTO is at least 1 s.
        assert sum(start <= time < start + 1 for time in times) <= 4
    assert len({p.route.remote for p in probes[:15]}) > 5
    for remote in {p.route.remote for p in probes}:
        assert sum(p.route.remote == remote for p in probes) < 20
    assert sum(p.size for p in probes) / 600 < 60  # bytes in a second


def test_unconfirmed_addresses_that_stay_silent_do_not_end_the_association() -> None:
    pair = Pair(2, connect=False)
    pair.drop = lambda sent: sent.route.local == A2
    pair.id = pair.a.connect(pair.routes, PEER_PORT, 0.0)
    pair.run(1000.0)
    assert not ends(pair.events[pair.b])
    assert pair.other.error_count == 0
    assert not pair.other.paths[A2].confirmed


# -- heartbeats (8.3) --------------------------------------------------------------------------


def test_an_idle_path_is_probed_every_interval_and_rto_with_a_jitter_of_half_of_it() -> None:
    pair = Pair(2, both={"heartbeat_interval": 30.0, "rto_initial": 3.0, "rto_min": 3.0})
    pair.run(3000.0)
    for remote in (B, B2):
        times = [s.time for s in heartbeats(pair.sent, remote)]
        waits = [after - before for before, after in pairwise(times[1:])]
        assert len(waits) > 80
        assert all(30 + 1.5 <= wait <= 30 + 4.5 + 0.021 for wait in waits)
        assert min(waits) < 30 + 2.0
        assert max(waits) > 30 + 4.0


def test_heartbeats_can_be_switched_off() -> None:
    pair = Pair(both={"heartbeats": False})
    pair.run(1000.0)
    assert heartbeats(pair.sent) == []


def test_a_path_with_data_that_is_timed_needs_no_heartbeat() -> None:
    peer = ScriptedPeer()
    association = peer.accept()
    path = association.paths[B]
    peer.advance(path.heartbeat_at - peer.now - 0.5)
    peer.send(b"x")
    assert heartbeats(peer.advance(0.6)) == []


@pytest.mark.parametrize("size", [1280 - 12 - 8, 1280 - 12 - 7, 5000])
def test_a_heartbeat_larger_than_the_path_mtu_is_answered_in_a_packet_that_ip_may_fragment(
    size: int,
) -> None:
    """Its answer has to hold all of it (8.3); nothing else is in that packet."""
    peer = ScriptedPeer(path_mtu=1280)
    peer.accept()
    report = wire.chunk(0xC0 + 1, b"unknown, to be reported")
    left = peer.give(report, wire.heartbeat_chunk(bytes(size)))
    (ack,) = [packet for packet in left if packet.has(wire.HeartbeatAck)]
    assert ack.get(wire.HeartbeatAck).info == bytes(size)
    assert ack.kinds == [wire.HeartbeatAck]
    assert ack.fragment is (ack.size > 1280)
    (error,) = [packet for packet in left if packet.has(wire.Error)]
    assert not error.fragment


def test_answers_larger_than_the_path_mtu_pass_a_narrow_link() -> None:
    pair = Pair(link={"mtu": 1300})
    beat = wire.heartbeat_chunk(bytes(20_000))
    packet = wire.seal(PORT, PEER_PORT, pair.association.their_tag, [beat])
    pair.network.transmit(packet, A, B, pair.now, fragment=True)
    stranger = "10.0.0.9"
    init = wire.Init(1, 100_000, 1, 1, 1, [wire.Tlv(0xC100, bytes(1900))])
    packet = wire.seal(PORT, PEER_PORT, 0, [wire.init_chunk(init)])
    pair.network.transmit(packet, stranger, B, pair.now, fragment=True)
    pair.run(0.1)
    answers = [*pair.packets(wire.HeartbeatAck, B), *pair.packets(wire.InitAck, B)[1:]]
    assert [answer.size > 1300 for answer in answers] == [True, True]
    for there in A, stranger:
        link = pair.network.statistics()[B, there]
        assert link.delivered == link.sent > 0


def test_a_program_can_ask_for_a_heartbeat() -> None:
    pair = Pair(2)
    pair.a.request_heartbeat(pair.id, B2, pair.now)
    pair.run(0.1)
    assert [s.route for s in heartbeats(pair.sent)][-1] == Route(A2, B2)


def test_a_heartbeat_is_answered_to_where_it_came_from() -> None:
    peer = ScriptedPeer()
    peer.accept(wire.address_parameter(B2))
    route = Route(A, B2)
    (answer,) = peer.give(wire.heartbeat_chunk(b"whatever is in it"), route=route)
    assert answer.route == route
    assert answer.chunks(wire.HeartbeatAck)[0].info == b"whatever is in it"


def test_heartbeats_of_a_dead_path_back_off_up_to_rto_max() -> None:
    pair = Pair(2, both={"rto_max": 10.0})
    pair.cut(A2)
    pair.run(500.0)
    times = [s.time for s in heartbeats(pair.sent, B2)][-20:]
    waits = [after - before for before, after in pairwise(times)]
    assert max(waits) <= 10.0 + 1e-6
    assert min(waits) >= 9.0


def test_heartbeats_measure_the_round_trip() -> None:
    pair = Pair(link={"delay": 0.25})
    pair.run(100.0)
    assert pair.path().srtt == pytest.approx(0.5, rel=0.01)


# -- error counters (8.1, 8.2) -----------------------------------------------------------------


def failing(peer: ScriptedPeer) -> None:
    """Let T3-rtx expire twice."""
    peer.send(b"x")
    peer.advance(3.1)
    assert peer.association.error_count == 2
    assert peer.association.paths[B].error_count == 2


def test_an_acknowledgement_of_data_resets_the_error_counters() -> None:
    peer = ScriptedPeer()
    association = peer.accept()
    failing(peer)
    peer.give(peer.sack_first(1))
    assert (association.error_count, association.paths[B].error_count) == (0, 0)


def test_a_heartbeat_ack_resets_the_error_counters() -> None:
    peer = ScriptedPeer()
    association = peer.accept()
    failing(peer)
    peer.engine.request_heartbeat(association.id, B, peer.now)
    (packet,) = heartbeats(peer.take())
    ack = wire.heartbeat_chunk(packet.chunks(wire.Heartbeat)[0].info, ack=True)
    peer.give(ack)
    assert (association.error_count, association.paths[B].error_count) == (0, 0)


def test_nothing_else_resets_the_error_counters() -> None:
    peer = ScriptedPeer()
    association = peer.accept()
    failing(peer)
    forged = wire.heartbeat_chunk(bytes(16) + B.encode(), ack=True)
    peer.give(peer.unordered(immediate=True))
    peer.give(peer.sack_first(0))
    peer.give(peer.sack_first(0, rwnd=0))
    peer.give(wire.heartbeat_chunk(b"their own"))
    peer.give(forged)
    peer.give(wire.error_chunk([wire.Tlv(1, bytes(4))]))
    assert (association.error_count, association.paths[B].error_count) == (2, 2)


def test_an_acknowledgement_resets_the_counter_of_its_own_path_only() -> None:
    pair = Pair(2)
    quiet(pair)
    pair.cut(A)
    pair.send(b"x")
    pair.run(5.0)
    assert pair.path(B).error_count > 0
    assert pair.path(B2).error_count == 0
    assert pair.association.error_count <= pair.path(B).error_count
    assert payloads(pair.events[pair.b]) == [b"x"]


def test_the_association_ends_after_association_max_retrans() -> None:
    pair = Pair(both={"association_max_retrans": 4, "path_max_retrans": 10})
    quiet(pair)
    pair.cut(A)
    start = pair.now
    pair.send(b"x")
    pair.run_until(lambda: ends(pair.events[pair.a]))
    assert pair.now - start == pytest.approx(1 + 2 + 4 + 8 + 16)
    (end,) = ends(pair.events[pair.a])
    assert end.state is AssociationState.COMM_LOST


def test_an_idle_association_ends_when_heartbeats_stay_unanswered() -> None:
    pair = Pair(2)
    pair.cut(A)
    pair.cut(A2)
    pair.finish(3000.0)
    for engine in (pair.a, pair.b):
        assert [e.state for e in ends(pair.events[engine])] == [AssociationState.COMM_LOST]


def test_with_all_paths_inactive_data_is_still_sent() -> None:
    """Section 8.2, the dormant state: until Association.Max.Retrans."""
    pair = Pair(2, both={"path_max_retrans": 1, "association_max_retrans": 20, "rto_max": 4.0})
    quiet(pair)
    pair.cut(A)
    pair.cut(A2)
    pair.send(b"x")
    pair.run_until(
        lambda: all(p.state is PathState.INACTIVE for p in pair.association.paths.values())
    )
    since = pair.now
    pair.run_until(lambda: ends(pair.events[pair.a]))
    assert len(pair.data(A, since=since) + pair.data(A2, since=since)) >= 4
    assert pair.a.next_deadline() is None


def test_with_all_paths_inactive_a_peer_that_comes_back_is_found() -> None:
    pair = Pair(2, both={"path_max_retrans": 1, "association_max_retrans": 20, "rto_max": 4.0})
    pair.cut(A)
    pair.cut(A2)
    pair.send(b"x")
    pair.run_until(
        lambda: all(p.state is PathState.INACTIVE for p in pair.association.paths.values())
    )
    pair.heal()
    pair.run(20.0)
    assert payloads(pair.events[pair.b]) == [b"x"]
    assert {p.state for p in pair.association.paths.values()} == {PathState.ACTIVE}


# -- failover (6.4.1, 8.2; RFC 7829) -----------------------------------------------------------


class Load:
    """A message every 50 ms, which fits into one packet."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.sent: list[bytes] = []

    def run(self, seconds: float) -> None:
        pair, until = self.pair, self.pair.now + seconds
        while pair.now < until - 1e-9:
            message = b"%d" % len(self.sent) + bytes(500)
            pair.send(message)
            self.sent.append(message)
            pair.run(0.05)

    def check(self) -> None:
        """Check that all has arrived, once and in order."""
        self.pair.run(5.0)
        assert payloads(self.pair.events[self.pair.b]) == self.sent


def first_expiry(pair: Pair, cut: float, rto: float) -> float:
    """When T3-rtx of the primary expires first, judged by packets and delays."""
    delay = pair.network.default_link.delay
    arrived = [s.time + delay for s in pair.packets(wire.Sack, B) if s.time < cut]
    last = max(arrived)
    acked = max(
        sack.cumulative_tsn
        for s in pair.packets(wire.Sack, B)
        if s.time < cut
        for sack in s.chunks(wire.Sack)
    )
    earliest = min(
        s.time
        for s in pair.data(A)
        if any((d.tsn - acked) & 0xFFFFFFFF < 2**31 and d.tsn != acked for d in s.chunks(wire.Data))
    )
    return max(last, earliest) + rto


def test_with_potentially_failed_new_data_moves_after_the_first_expiry() -> None:
    pair = Pair(2)
    assert Parameters().potentially_failed
    assert Parameters().pf_threshold == 0
    load = Load(pair)
    load.run(2.0)
    pair.cut(A)
    cut, rto = pair.now, pair.path(B).rto
    load.run(10.0)
    moved = first_expiry(pair, cut, rto)
    assert cut < moved < cut + 1.1
    for sent in pair.data(since=cut):
        expected = B if sent.time < moved - 1e-6 else B2
        if sent.route.local in (A, A2):
            assert sent.route.remote == expected, (sent.time, moved)
    assert path_changes(pair.events[pair.a])[0] == (B, FAILING)

    pair.heal()
    back = pair.now
    load.run(70.0)  # a heartbeat in between
    (available,) = [n for n in path_changes(pair.events[pair.a]) if n[1] is AVAILABLE]
    assert available == (B, AVAILABLE)
    assert pair.path(B).usable
    again = [s.time for s in pair.data(A, since=back)]
    assert again
    assert {s.route.remote for s in pair.data(since=pair.now - 1)} == {B}
    load.check()


def test_without_potentially_failed_new_data_moves_after_path_max_retrans() -> None:
    pair = Pair(2, both={"potentially_failed": False, "path_max_retrans": 3})
    quiet(pair)
    load = Load(pair)
    load.run(2.0)
    pair.cut(A)
    cut, rto = pair.now, pair.path(B).rto
    load.run(30.0)
    expiries = [first_expiry(pair, cut, rto)]
    for number in range(1, 4):  # with a Path.Max.Retrans of 3 the fourth is the last
        tried = min(s.time for s in pair.data(A) if s.time >= expiries[-1] - 1e-6)
        expiries.append(tried + rto * 2**number)
    moved = expiries[-1]
    assert moved < cut + 16
    assert max(s.time for s in pair.data(A)) < moved
    changes = path_changes(pair.events[pair.a])
    assert changes == [(B, UNREACHABLE)]
    # What timed out goes to the alternate at once.
    for expiry in expiries:
        assert [s for s in pair.data(A2) if abs(s.time - expiry) < 1e-6]
    # Until then new data is still tried on the primary.
    assert [s for s in pair.data(A) if s.time > expiries[-2] - 1e-6]

    pair.heal()
    pair.path(B).heartbeat_at = pair.now
    pair.a.request_heartbeat(pair.id, B, pair.now)
    load.run(10.0)
    assert path_changes(pair.events[pair.a])[-1] == (B, AVAILABLE)
    assert {s.route.remote for s in pair.data(since=pair.now - 1)} == {B}
    load.check()


def test_the_threshold_of_potentially_failed_counts() -> None:
    """RFC 7829 section 3.2, 2: after more than PFMR errors."""
    pair = Pair(2, both={"pf_threshold": 2})
    quiet(pair)
    pair.cut(A)
    load = Load(pair)
    load.run(10.0)
    (change,) = path_changes(pair.events[pair.a])[:1]
    assert change == (B, FAILING)
    timeouts = [s.time for s in pair.data(A)]
    assert 3.0 < max(timeouts) < 8.0  # it was tried again after 1 and 2 more seconds
    load.check()


def test_the_threshold_of_one_path_is_its_own() -> None:
    pair = Pair(2)
    pair.path(B).pf_threshold = 2
    for address in (A, A2):
        pair.cut(address)
    pair.send(b"x")
    pair.run(2.5)
    assert pair.path(B).error_count == 1
    assert pair.path(B2).error_count == 1
    assert path_changes(pair.events[pair.a]) == [(B2, FAILING)]


def test_with_a_threshold_of_path_max_retrans_no_path_potentially_fails() -> None:
    """RFC 7829 section 3.2, 1: it is inactive before."""
    pair = Pair(2, both={"pf_threshold": 5})
    pair.cut(A)
    pair.send(b"x")
    pair.run(300.0)
    assert path_changes(pair.events[pair.a]) == [(B, UNREACHABLE)]


@pytest.mark.parametrize("failing", [True, False])
def test_without_heartbeats_a_failing_path_is_not_probed(failing: bool) -> None:
    """RFC 7829 section 3.2, 5: a MUST NOT.  Nor is one that is inactive (RFC 9260 section 8.3)."""
    pair = Pair(2, both={"potentially_failed": failing, "path_max_retrans": 2})
    quiet(pair)
    pair.cut(A)
    load = Load(pair)
    start = pair.now
    load.run(20.0)
    assert not pair.path(B).usable
    assert heartbeats([s for s in pair.sent if s.time >= start], B) == []
    load.check()


def test_a_primary_path_that_fails_for_long_is_no_longer_the_primary_one() -> None:
    """RFC 7829 section 5: and does not become it again when it works."""
    pair = Pair(2, both={"primary_switchover": 1})
    pair.cut(A)
    load = Load(pair)
    load.run(2.5)
    assert pair.path(B).error_count == 1
    assert pair.association.primary is pair.path(B)  # the threshold has to be exceeded
    load.run(5.0)
    assert pair.association.primary is pair.path(B2)
    assert path_changes(pair.events[pair.a]) == [(B, FAILING), (B2, MADE_PRIMARY)]
    pair.heal()
    load.run(70.0)
    assert pair.path(B).usable
    assert {s.route.remote for s in pair.data(since=pair.now - 1) if s.route.local in (A, A2)} == {
        B2
    }
    # It serves as any other path does.
    pair.cut(A2)
    load.run(10.0)
    assert pair.association.primary is pair.path(B)
    load.check()


def test_the_primary_path_stays_that_while_no_other_works() -> None:
    """RFC 7829 section 5, 3: the new one is that which carries data."""
    pair = Pair(2, both={"primary_switchover": 0})
    pair.path(B2).potentially_failed, pair.path(B2).error_count = True, 9
    pair.path(B2).max_retrans = 99
    for address in (A, A2):
        pair.cut(address)
    pair.send(b"x")
    pair.run(20.0)
    assert pair.path(B).error_count > 1
    assert pair.association.primary is pair.path(B)
    assert MADE_PRIMARY not in [change for _, change in path_changes(pair.events[pair.a])]


def test_paths_that_fail_are_not_shown_unless_they_fail_for_good() -> None:
    """RFC 7829 section 7.3."""
    pair = Pair(2, both={"expose_potentially_failed": False})
    load = Load(pair)
    load.run(1.0)
    pair.cut(A)
    load.run(3.0)
    assert pair.path(B).state is PathState.POTENTIALLY_FAILED
    assert {s.route.remote for s in pair.data(A2)} == {B2}
    pair.heal()
    load.run(10.0)
    assert pair.path(B).state is PathState.ACTIVE
    assert path_changes(pair.events[pair.a]) == []
    pair.cut(A)
    load.run(200.0)
    assert path_changes(pair.events[pair.a]) == [(B, UNREACHABLE)]
    pair.heal()
    load.run(100.0)
    assert path_changes(pair.events[pair.a]) == [(B, UNREACHABLE), (B, AVAILABLE)]


def test_a_path_that_potentially_failed_is_probed_at_once() -> None:
    """RFC 7829 section 3.2, 5 and 6: and then every RTO."""
    pair = Pair(2)
    pair.cut(A)
    pair.send(b"x")
    start = pair.now
    pair.run(20.0)
    times = [round(s.time - start, 2) for s in heartbeats(pair.sent, B) if s.time >= start]
    assert times == [1.0, 3.0, 7.0, 15.0]


def test_a_path_that_potentially_failed_becomes_unreachable() -> None:
    """RFC 7829 section 3.2, 8."""
    pair = Pair(2)
    pair.cut(A)
    pair.send(b"x")
    pair.run(200.0)
    assert path_changes(pair.events[pair.a]) == [(B, FAILING), (B, UNREACHABLE)]
    assert pair.path(B).error_count > Parameters().path_max_retrans


def test_a_heartbeat_ack_makes_a_path_active_again() -> None:
    """RFC 7829 section 3.2, 7."""
    pair = Pair(2)
    pair.cut(A)
    pair.send(b"x")
    pair.run(2.0)
    assert pair.path(B).state is PathState.POTENTIALLY_FAILED
    pair.heal()
    pair.run(10.0)
    assert pair.path(B).state is PathState.ACTIVE
    assert path_changes(pair.events[pair.a]) == [(B, FAILING), (B, AVAILABLE)]


def test_when_all_paths_potentially_fail_the_one_with_fewest_errors_is_used() -> None:
    """RFC 7829 section 3.2, 4."""
    pair = Pair(2)
    quiet(pair)
    for address, errors in ((B, 3), (B2, 1)):
        pair.path(address).potentially_failed = True
        pair.path(address).error_count = errors
    pair.send(b"x")
    pair.run(0.1)
    assert [s.route.remote for s in pair.data()] == [B2]


def test_the_only_path_is_used_even_if_it_potentially_failed() -> None:
    pair = Pair()
    pair.cut(A)
    pair.send(b"x")
    pair.run(2.0)
    assert pair.path().state is PathState.POTENTIALLY_FAILED
    pair.heal()
    pair.run(3.0)
    assert payloads(pair.events[pair.b]) == [b"x"]


def test_paths_that_fail_one_after_the_other() -> None:
    pair = Pair(3)
    load = Load(pair)
    load.run(1.0)
    for address in (A, A2):
        pair.cut(address)
        load.run(5.0)
    assert {s.route.remote for s in pair.data(since=pair.now - 1)} == {B3}
    load.check()


def test_what_timed_out_is_retransmitted_on_another_path() -> None:
    pair = Pair(2)
    pair.drop = lambda sent: sent.has(wire.Data) and len(pair.data()) == 1
    pair.send(b"x")
    pair.run(3.0)
    assert [s.route.remote for s in pair.data()] == [B, B2]


def test_where_both_paths_potentially_fail_retransmissions_take_turns() -> None:
    """Section 6.4.1: not where it was sent before, which may be the path with fewer errors."""
    pair = Pair(2)
    quiet(pair)
    pair.path(B2).potentially_failed = True
    pair.path(B2).error_count = 3
    pair.drop = lambda sent: sent.has(wire.Data)
    pair.send(b"x")
    pair.run(8.0)
    assert [s.route.remote for s in pair.data()][:3] == [B, B2, B]


def test_what_sacks_report_missing_is_retransmitted_on_the_same_path() -> None:
    """Section 6.4."""
    pair = Pair(2)
    pair.drop = lambda sent: sent.has(wire.Data) and len(pair.data()) == 1
    for _ in range(5):
        pair.send(bytes(500))
    pair.run(0.5)
    assert len(pair.data()) == 6
    assert {s.route.remote for s in pair.data()} == {B}


def test_an_acknowledgement_takes_the_path_of_its_data() -> None:
    pair = Pair(2)
    pair.a.set_primary(pair.id, B2)
    pair.send(b"x")
    pair.run(1.0)
    assert [s.route for s in pair.packets(wire.Sack)] == [Route(B2, A2)]


def test_the_primary_can_be_chosen() -> None:
    pair = Pair(2)
    pair.send(b"one")
    pair.run(1.0)
    pair.a.set_primary(pair.id, B2)
    pair.send(b"two")
    pair.run(1.0)
    assert [s.route.remote for s in pair.data()] == [B, B2]
    assert pair.status().primary.address == (B2, PEER_PORT)


def test_each_path_has_its_own_congestion_window() -> None:
    pair = Pair(2)
    for _ in range(20):
        pair.send(bytes(5000))
        pair.run(0.1)
    initial = pair.path(B2).cwnd
    assert pair.path(B).cwnd > initial
    pair.cut(A)
    pair.send(b"x")
    pair.run(2.0)
    assert pair.path(B).cwnd == pair.path(B).mtu
    assert pair.path(B2).cwnd >= initial


def test_a_shutdown_takes_another_path_if_the_primary_is_dead() -> None:
    pair = Pair(2)
    pair.cut(A)
    pair.a.shutdown(pair.id, pair.now)
    pair.finish(60.0)
    for engine in (pair.a, pair.b):
        assert [e.state for e in ends(pair.events[engine])] == [AssociationState.SHUTDOWN_COMP]


def test_a_connect_finds_the_address_that_answers() -> None:
    simulation = Simulation()
    a = simulation.host(A, A2)
    b = simulation.host(B2, port=PEER_PORT)
    id = a.connect([Route(A, B), Route(A2, B2)], PEER_PORT, 0.0)
    simulation.run(3.0)
    association = a.associations[id]
    assert association.state is StatusState.ESTABLISHED
    assert association.primary is association.paths[B2]
    a.send(id, b"x", info(), simulation.now)
    simulation.run(1.0)
    assert payloads(simulation.events[b]) == [b"x"]


def test_ipv4_and_ipv6_paths_of_one_association() -> None:
    simulation = Simulation()
    a = simulation.host(A, "fd00::1")
    b = simulation.host(B, "fd00::2", port=PEER_PORT)
    id = a.connect([Route(A, B)], PEER_PORT, 0.0)
    simulation.run(5.0)
    assert list(a.associations[id].paths) == [B, "fd00::2"]
    assert all(path.confirmed for path in a.associations[id].paths.values())
    simulation.network.link(A, B).up = False
    a.send(id, b"over IPv6", info(), simulation.now)
    simulation.run(5.0)
    assert payloads(simulation.events[b]) == [b"over IPv6"]
    (message,) = [e for e in simulation.events[b] if isinstance(e, Message)]
    assert message.address == ("fd00::1", PORT, 0, 0)


# -- messages that are to go to an address of their own (RFC 6458, SCTP_ADDR_OVER) -------------


def to(address: str) -> SendInfo:
    return SendInfo(0, 0, False, 0, 0, (address, PEER_PORT))


def test_a_message_goes_to_its_own_address_and_others_to_the_primary_one() -> None:
    pair = Pair(3)
    pair.send(b"to the second", to(B2))
    pair.send(b"usual")
    pair.send(b"to the third", to(B3))
    pair.run(1.0)
    went = {c.payload: s.route.remote for s in pair.data() for c in s.chunks(wire.Data)}
    assert went == {b"to the second": B2, b"usual": B, b"to the third": B3}


def test_messages_that_are_queued_leave_each_to_its_own_address_and_in_order() -> None:
    pair = Pair(2)
    for number in range(30):
        pair.a.queue(pair.id, b"%d" % number, to((B, B2)[number % 2]), pair.now)
    pair.a.flush(pair.id, pair.now)
    pair.run(5.0)
    assert payloads(pair.events[pair.b]) == [b"%d" % number for number in range(30)]
    for sent in pair.data():
        for chunk in sent.chunks(wire.Data):
            assert sent.route.remote == (B, B2)[int(chunk.payload) % 2]


def test_a_message_for_an_address_that_has_failed_goes_where_others_go() -> None:
    pair = Pair(2)
    pair.path(B2).unreachable = True
    pair.send(b"x", to(B2))
    assert pair.a.packets_to_send()[0].route.remote == B


@pytest.mark.parametrize("chosen", [B, B2, None])
def test_the_primary_that_the_program_chose_is_kept_wherever_the_init_ack_comes_from(
    chosen: str | None,
) -> None:
    """Section 6.4: without a choice, it is where the peer is known to be reached."""
    peer = ScriptedPeer((A, A2))
    peer.connect(B, B2)
    if chosen is not None:
        peer.engine.set_primary(peer.association.id, chosen)
    peer.give(peer.init_ack(), route=Route(A, B2))
    peer.give(COOKIE_ACK, route=Route(A, B2))
    (sent,) = peer.send(b"x")
    assert sent.route.remote == (chosen or B2)


# -- ICMP (section 10) -------------------------------------------------------------------------


def quoted(packet: Sent, **changes: int) -> bytes:
    """What ICMP quotes of a packet of ours: its first bytes, with fields changed."""
    chunk = packet.packet.chunks[0]
    tag = chunk.tag if isinstance(chunk, wire.Init) else 0
    header = struct.pack(
        "!HHI4x",
        changes.get("source_port", packet.packet.source_port),
        changes.get("port", packet.packet.destination_port),
        changes.get("tag", packet.tag),
    )
    kind = changes.get("kind", wire.ChunkType.INIT if tag else wire.ChunkType.DATA)
    rest = struct.pack("!BBHI", kind, 0, 20, changes.get("initiate_tag", tag))
    return (header + rest)[: changes.get("size", 20)]


def test_icmp_about_an_association_that_is_up_has_the_path_probed_at_once() -> None:
    peer = ScriptedPeer()
    peer.accept()
    (sent,) = peer.send(b"data")
    peer.give(peer.sack_first(1))
    peer.now += 5.0
    peer.engine.unreachable(quoted(sent, size=12), B, peer.now)
    (beat,) = heartbeats(peer.advance(0.0))
    assert beat.route.remote == B
    # One at a time: it waits for the answer.
    peer.engine.unreachable(quoted(sent), B, peer.now)
    assert peer.advance(0.5) == []
    assert peer.state() is StatusState.ESTABLISHED
    assert ends(peer.events()) == []


@pytest.mark.parametrize(
    "changes",
    [{"size": 11}, {"size": 0}, {"tag": 1}, {"tag": 0}, {"port": PEER_PORT + 1}],
    ids=str,
)
def test_icmp_that_quotes_what_was_not_sent_is_ignored(changes: dict[str, int]) -> None:
    """Anybody can send it; only the tag shows that whoever did has seen a packet of ours."""
    peer = ScriptedPeer()
    peer.accept()
    (sent,) = peer.send(b"data")
    peer.give(peer.sack_first(1))
    peer.engine.unreachable(quoted(sent, **changes), B, peer.now)
    assert peer.advance(5.0) == []


def test_icmp_that_quotes_our_own_tag_or_another_address_is_ignored() -> None:
    peer = ScriptedPeer()
    peer.accept()
    (sent,) = peer.send(b"data")
    peer.give(peer.sack_first(1))
    peer.engine.unreachable(quoted(sent, tag=peer.their_tag), B, peer.now)
    peer.engine.unreachable(quoted(sent), B2, peer.now)
    assert peer.advance(5.0) == []


def test_icmp_about_an_init_ends_the_attempt() -> None:
    peer = ScriptedPeer()
    peer.connect()
    peer.engine.unreachable(quoted(peer.sent[0]), B, peer.now)
    (end,) = ends(peer.events())
    assert end.state is AssociationState.CANT_ASSOC
    assert peer.engine.next_deadline() is None


@pytest.mark.parametrize(
    "changes",
    [
        {"initiate_tag": 1},
        {"kind": wire.ChunkType.INIT_ACK},
        {"kind": wire.ChunkType.DATA},
        {"size": 12},
        {"size": 16},
        {"size": 19},
        {"tag": 5},
    ],
    ids=str,
)
def test_icmp_about_an_init_that_was_not_sent_is_ignored(changes: dict[str, int]) -> None:
    peer = ScriptedPeer()
    peer.connect()
    peer.engine.unreachable(quoted(peer.sent[0], **changes), B, peer.now)
    assert peer.state() is StatusState.COOKIE_WAIT
    assert peer.events() == []


def test_icmp_from_one_of_two_addresses_has_the_init_sent_to_the_other() -> None:
    peer = ScriptedPeer()
    peer.connect(B, B2)
    for _ in range(2):  # what is known already changes nothing
        peer.engine.unreachable(quoted(peer.sent[0]), B, peer.now)
        assert [packet.route.remote for packet in peer.take()] in ([B2], [])
    assert len(peer.sent) == 2
    assert peer.state() is StatusState.COOKIE_WAIT
    peer.engine.unreachable(quoted(peer.sent[1]), B2, peer.now)
    assert peer.state() is StatusState.CLOSED


# -- round trips (6.3.1) -----------------------------------------------------------------------


def test_the_rto_follows_round_trips_as_the_rfc_says() -> None:
    """With RTO.Alpha 1/8 and RTO.Beta 1/4 (C2, C3)."""
    peer = ScriptedPeer(rto_initial=3.0, rto_min=0.001, heartbeats=False)
    association = peer.accept()
    srtt = rttvar = 0.0
    for count, trip in enumerate((0.8, 0.4, 0.4, 2.0, 0.1), 1):
        peer.send(b"x")
        peer.now += trip  # whatever falls due meanwhile: the SACK is there first
        peer.give(peer.sack_first(count))
        if srtt:
            rttvar += (abs(srtt - trip) - rttvar) / 4
            srtt += (trip - srtt) / 8
        else:
            srtt, rttvar = trip, trip / 2
        path = peer.engine.status(association.id).primary
        assert (path.srtt, path.rto) == (round(srtt * 1000), round((srtt + 4 * rttvar) * 1000))


def test_the_rto_stays_within_its_bounds() -> None:
    """C6 and C7."""
    for trip, rto in [(0.001, 500), (3.0, 2000)]:
        peer = ScriptedPeer(rto_initial=1.0, rto_min=0.5, rto_max=2.0, heartbeats=False)
        association = peer.accept()
        assert peer.engine.status(association.id).primary.rto == 1000
        peer.send(b"x")
        peer.now += trip
        peer.give(peer.sack_first(1))
        assert peer.engine.status(association.id).primary.rto == rto


@pytest.mark.parametrize(
    ("address", "host"),
    [
        (("10.0.0.2", 2905), "10.0.0.2"),
        (("fd00::2", 2905, 0, 0), "fd00::2"),
        (("fe80::2", 2905, 0, 3), "fe80::2%3"),
        (("fe80::2%eth0", 2905, 0, 3), "fe80::2%3"),  # as the standard library may write it
    ],
)
def test_an_address_of_a_program_and_the_host_that_a_path_leads_to(
    address: tuple[str, int] | tuple[str, int, int, int], host: str
) -> None:
    assert host_of(address) == host
    assert host_of(transport_address(host, 2905)) == host


def test_a_round_trip_that_takes_no_time_is_a_measurement_as_any_other() -> None:
    """Section 6.3.1, C2 and C3."""
    peer = ScriptedPeer(heartbeats=False)
    path = peer.accept().paths[B]
    for seconds in (0.0, 0.5):
        peer.engine.request_heartbeat(peer.association.id, B, peer.now)
        (beat,) = peer.take()[0].chunks(wire.Heartbeat)
        peer.advance(seconds)
        peer.give(wire.heartbeat_chunk(beat.info, ack=True))
    assert path.srtt == pytest.approx(1 / 16)
    assert path.rttvar == pytest.approx(1 / 8)
