"""Addresses that come and go while an association is up (RFC 5061)."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_sctp._engine import Route, wire
from trio_sctp._engine.address_changes import MOST_EVENTS
from trio_sctp._engine.association import EngineAssociation
from trio_sctp._engine.tsn import MASK
from trio_sctp._engine.wire import AsconfParameter, Cause, ParameterType, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import AssociationState, PeerAddressState, RemoteError

from ..support.engines import (
    A2,
    A3,
    B2,
    B3,
    PEER_PORT,
    A,
    B,
    Sent,
    ends,
    path_changes,
    payloads,
)
from ..support.scripted_peer import COOKIE_ACK, PEER_COOKIE, ScriptedPeer
from .simulation import Pair
from .test_authentication import AuthPeer, offer

ADDED = PeerAddressState.ADDR_ADDED
REMOVED = PeerAddressState.ADDR_REMOVED
CONFIRMED = PeerAddressState.ADDR_CONFIRMED
PRIMARY = PeerAddressState.ADDR_MADE_PRIM

ADD, DELETE = AsconfParameter.ADD_ADDRESS, AsconfParameter.DELETE_ADDRESS
SET_PRIMARY = AsconfParameter.SET_PRIMARY
NOAUTH: dict[str, Any] = {"asconf_without_auth": True}
EXTENSIONS = Tlv(ParameterType.SUPPORTED_EXTENSIONS, bytes([193, 128]))
A6, B6 = "2001:db8::1", "2001:db8::2"
ANY4 = Tlv(ParameterType.IPV4_ADDRESS, bytes(4))
ANY6 = Tlv(ParameterType.IPV6_ADDRESS, bytes(16))


def of(address: str | Tlv) -> Tlv:
    return address if isinstance(address, Tlv) else wire.address_parameter(address)


def asks(kind: int, address: str | Tlv, correlation: int = 7) -> Tlv:
    """A request to add, delete or prefer an address."""
    return Tlv(kind, struct.pack("!I", correlation) + wire.tlvs([of(address)]))


class Peer(ScriptedPeer):
    """A peer that sends ASCONFs of its own making."""

    serial = 0

    def up(self, *listed: str) -> EngineAssociation:
        association = self.accept(EXTENSIONS, *map(wire.address_parameter, listed))
        self.serial = self.tsn
        for address in listed:
            self.confirm(address)
        self.events()
        return association

    def asconf(self, *requests: Tlv, serial: int | None = None, named: str | Tlv = B) -> bytes:
        """An ASCONF with these requests, the next one unless a serial is given."""
        if serial is None:
            serial, self.serial = self.serial, (self.serial + 1) & MASK
        return wire.asconf_chunk(serial, of(named), requests)

    def ask(self, *requests: Tlv, source: str = B, named: str | Tlv = B) -> list[Tlv]:
        """Send an ASCONF; returns the responses in its answer, which goes to where it came from."""
        answers = self.give(self.asconf(*requests, named=named), route=self.route_from(source))
        (answer,) = [sent for sent in answers if sent.has(wire.AsconfAck)]
        assert answer.route.remote == source
        ack = answer.get(wire.AsconfAck)
        assert ack.serial == (self.serial - 1) & MASK
        return ack.responses

    def confirm(self, address: str) -> None:
        """Answer the heartbeats to an address until there is one, from there."""
        for sent in [*self.sent[-5:], *self.advance(10.0)]:
            for heartbeat in sent.chunks(wire.Heartbeat):
                if sent.route.remote == address:
                    ack = wire.heartbeat_chunk(heartbeat.info, ack=True)
                    self.give(ack, route=self.route_from(address))
        assert self.association.paths[address].confirmed

    def asked(self) -> wire.Asconf:
        """The engine's only ASCONF since the last call."""
        (asconf,) = [chunk for sent in self.sent for chunk in sent.chunks(wire.Asconf)]
        self.sent.clear()
        return asconf


def peer(addresses: tuple[str, ...] = (A,), **fields: Any) -> Peer:
    return Peer(addresses, **NOAUTH, **fields)


def causes(responses: list[Tlv]) -> list[int]:
    """The cause of each response, 0 for a success."""
    found = []
    for response in responses:
        if response.type == AsconfParameter.SUCCESS:
            found.append(0)
        else:
            assert response.type == AsconfParameter.ERROR
            (cause,) = wire.parse_tlvs_untrusted(response.value[4:]) or []
            found.append(cause.type)
    return found


def asconfs(sent: list[Sent]) -> list[Sent]:
    return [one for one in sent if one.has(wire.Asconf)]


def pair(homes: int = 1, **more: Any) -> Pair:
    return Pair(homes, **more)


def add(pair: Pair, address: str, seconds: float = 3.0) -> None:
    """Have ``a`` add an address, which leads to it."""
    pair.hosts[address] = pair.a
    pair.a.add_address(address, pair.now)
    pair.run(seconds)


# -- adding and removing, both ends ours -------------------------------------------------------


def test_an_address_is_added_confirmed_and_used() -> None:
    p = pair()
    add(p, A2)
    assert path_changes(p.events[p.b]) == [(A2, ADDED), (A2, CONFIRMED)]
    assert p.association.paths.local_addresses() == [A, A2]
    p.b.set_primary(p.other.id, A2)
    p.answer(b"there")
    p.run(1.0)
    assert payloads(p.events[p.a]) == [b"there"]
    assert p.packets(wire.Data, B)[-1].route.remote == A2


def test_an_address_is_removed_and_used_no_more() -> None:
    p = pair(2)
    p.a.remove_address(A, p.now)
    since = p.now
    p.run(3.0)
    assert path_changes(p.events[p.b])[-1] == (A, REMOVED)
    assert list(p.other.paths) == [A2]
    assert p.association.paths.local_addresses() == [A2]
    p.send(b"from the other")
    p.answer(b"to the other")
    p.run(3.0)
    assert payloads(p.events[p.b]) == [b"from the other"]
    assert payloads(p.events[p.a]) == [b"to the other"]
    assert not [s for s in p.sent if s.time >= since and A in (s.route.local, s.route.remote)]
    assert p.a.freed == [A]


def test_a_single_address_is_exchanged_for_another() -> None:
    p = pair()
    p.hosts[A2] = p.a
    p.a.add_address(A2, p.now)
    p.a.remove_address(A, p.now)
    assert p.a.keeps(A)
    p.send(b"meanwhile")
    p.run(3.0)
    assert path_changes(p.events[p.b]) == [(A2, ADDED), (A2, CONFIRMED), (A, REMOVED)] or (
        path_changes(p.events[p.b]) == [(A2, ADDED), (A, REMOVED), (A2, CONFIRMED)]
    )
    assert p.association.paths.local_addresses() == [A2]
    assert not p.a.keeps(A)
    p.send(b"after")
    p.answer(b"back")
    p.run(3.0)
    assert payloads(p.events[p.b]) == [b"meanwhile", b"after"]
    assert payloads(p.events[p.a]) == [b"back"]


def test_the_address_is_exchanged_although_the_old_one_works_no_more() -> None:
    """5.3.2: the ASCONF leaves from the new address, and names the old one."""
    p = pair()
    p.network.partition([A], [B])
    p.send(b"waits")
    add(p, A2, 0.0)
    p.a.remove_address(A, p.now)
    p.run(20.0)
    first = next(s for s in asconfs(p.sent) if s.route.local == A2)
    assert first.get(wire.Asconf).address == wire.address_parameter(A)
    assert first.kinds == [wire.Auth, wire.Asconf]
    assert payloads(p.events[p.b]) == [b"waits"]
    assert list(p.other.paths) == [A2]
    assert p.up


def test_the_request_leaves_from_the_new_address_once_the_peer_is_heard_there() -> None:
    """The peer has added it: its answer was lost, perhaps as the old address works no more."""
    p = pair()
    del p.hosts[A]
    p.hosts[A2] = p.a
    p.drop = lambda sent: sent.has(wire.AsconfAck)
    p.a.add_address(A2, p.now)
    p.a.remove_address(A, p.now)
    p.run(20.0)
    assert p.packets(wire.Heartbeat, B)[0].route.remote == A2
    sources = [sent.route.local for sent in asconfs(p.sent)]
    assert sources == [A, A2, A2, A2, A2]
    p.drop = lambda sent: False
    p.send(b"after")
    p.run(60.0)
    assert payloads(p.events[p.b]) == [b"after"]
    assert list(p.other.paths) == p.association.paths.local_addresses() == [A2]


def test_an_end_may_move_again_before_its_peer_has_answered() -> None:
    """What is outstanding leaves from the newest address, as neither of the others works."""
    p = pair()
    old = A
    for new in A2, A3:
        p.hosts[new] = p.a
        del p.hosts[old]
        p.drop = lambda sent: sent.route.local not in p.hosts
        p.a.add_address(new, p.now)
        p.a.remove_address(old, p.now)
        p.send(b"by " + new.encode())
        p.answer(b"to " + new.encode())
        p.run(0.5)
        old = new
    p.run(60.0)
    assert payloads(p.events[p.b]) == [b"by 10.0.1.1", b"by 10.0.2.1"]
    assert payloads(p.events[p.a]) == [b"to 10.0.1.1", b"to 10.0.2.1"]
    assert list(p.other.paths) == p.association.paths.local_addresses() == [A3]


def test_nothing_but_asconf_leaves_from_an_address_before_it_is_acknowledged() -> None:
    p = pair()
    p.drop = lambda sent: sent.has(wire.AsconfAck)
    add(p, A2, 20.0)
    p.b.set_primary(p.other.id, A2)
    p.answer(b"to the new one")
    p.run(3.0)
    assert payloads(p.events[p.a]) == [b"to the new one"]  # it is taken (F1)
    kinds = {kind for s in p.sent if s.route.local == A2 for kind in s.kinds}
    assert kinds == {wire.Auth, wire.Asconf}


def test_a_request_waits_for_the_one_before() -> None:
    p = pair()
    for address in A2, A3:
        p.hosts[address] = p.a
        p.a.add_address(address, p.now)
    p._transmit()
    assert len(asconfs(p.sent)) == 1
    p.run(3.0)
    serials = [s.get(wire.Asconf).serial for s in asconfs(p.sent)]
    assert serials == [serials[0], (serials[0] + 1) & MASK]
    assert list(p.other.paths) == [A, A2, A3]


def test_an_address_stays_while_its_deletion_is_outstanding_although_it_was_added_again() -> None:
    """5.3, F4."""
    p = pair(2)
    p.drop = lambda sent: sent.has(wire.AsconfAck)
    p.a.remove_address(A, p.now)
    p._transmit()
    p.a.add_address(A, p.now)
    p.a.remove_address(A, p.now)
    assert p.a.keeps(A)
    p.drop = lambda sent: False
    p.run(5.0)
    assert p.a.freed == [A]
    assert list(p.other.paths) == [A2]


def test_the_peer_is_not_asked_to_send_to_an_address_that_was_never_added() -> None:
    """5.4."""
    p = pair(there={"max_peer_addresses": 1})
    for address in A2, A3:  # one that the peer refuses, and one that it is not told of after all
        p.a.add_address(address, p.now)
        p.a.ask_for_primary(p.id, address, p.now)
        if address == A3:
            p.a.remove_address(A3, p.now)
    p.run(5.0)
    kinds = [one.type for s in asconfs(p.sent) for one in s.get(wire.Asconf).requests]
    assert kinds == [ADD]


def test_serials_begin_with_the_first_tsn() -> None:
    p = pair()
    add(p, A2)
    tsn = p.packets(wire.Init)[0].get(wire.Init).tsn
    assert asconfs(p.sent)[0].get(wire.Asconf).serial == tsn


def test_the_peer_is_asked_to_send_to_another_address() -> None:
    p = pair(2)
    p.a.ask_for_primary(p.id, A2, p.now)
    p.run(1.0)
    assert path_changes(p.events[p.b])[-1] == (A2, PRIMARY)
    p.answer(b"x")
    p.run(1.0)
    assert p.packets(wire.Data, B2)[-1].route.remote == A2
    with pytest.raises(OSError, match="assign"):
        p.a.ask_for_primary(p.id, A3, p.now)


def test_an_address_that_is_taken_back_at_once_is_never_told() -> None:
    p = pair()
    p.a.add_address(A2, p.now)
    p.a.add_address(A3, p.now)
    p.a.remove_address(A3, p.now)
    p.run(3.0)
    assert list(p.other.paths) == [A, A2]
    assert not p.a.keeps(A3)


def test_the_last_address_is_deleted_only_when_there_is_another() -> None:
    """5.3, F5: also if the program removes it first."""
    p = pair()
    p.a.addresses.append(A3)  # the peer was not told of it
    p.a.remove_address(A, p.now)
    p.run(3.0)
    assert not asconfs(p.sent)
    p.send(b"goes on")
    p.run(1.0)
    assert payloads(p.events[p.b]) == [b"goes on"]
    add(p, A2)
    assert list(p.other.paths) == [A2]
    assert p.association.paths.local_addresses() == [A2]


def test_peers_are_told_of_what_changed_while_the_association_was_set_up() -> None:
    p = pair(connect=False)
    p.id = p.a.connect(p.routes, PEER_PORT, p.now)
    p.hosts[A2] = p.a
    p.a.add_address(A2, p.now)
    p.run(3.0)
    assert list(p.other.paths) == [A, A2]


def test_peers_are_told_of_what_changed_since_the_init_ack() -> None:
    p = pair(connect=False)
    p.drop = lambda sent: sent.has(wire.CookieEcho)
    p.id = p.a.connect(p.routes, PEER_PORT, p.now)
    p.run(0.5)
    p.hosts[B2] = p.b
    p.b.add_address(B2, p.now)
    p.drop = lambda sent: False
    p.run(10.0)
    assert list(p.association.paths) == [B, B2]
    assert p.association.paths[B2].confirmed


def test_peers_are_told_of_a_move_while_the_association_was_set_up() -> None:
    p = pair(connect=False)
    p.id = p.a.connect(p.routes, PEER_PORT, p.now)
    p.hosts[A2] = p.a
    p.a.add_address(A2, p.now)
    p.a.remove_address(A, p.now)
    p.run(5.0)
    assert list(p.other.paths) == p.association.paths.local_addresses() == [A2]
    assert p.a.freed == [A]


def test_no_peer_is_told_of_an_address_that_means_another_host_there() -> None:
    """As in an INIT."""
    p = pair()
    p.a.add_address("127.0.0.2", p.now)
    add(p, A2)
    (asconf,) = asconfs(p.sent)
    assert asconf.get(wire.Asconf).requests == [asks(ADD, A2, asconf.get(wire.Asconf).serial)]
    p.a.remove_address("127.0.0.2", p.now)
    assert p.a.freed == ["127.0.0.2"]


def test_an_address_that_is_kept_is_for_earlier_associations_only() -> None:
    p = peer((A, A2), asconf=False)
    p.up()
    p.engine.remove_address(A, p.now)
    assert p.engine.keeps(A)
    stranger = Peer()
    stranger.engine = p.engine
    (answer,) = stranger.give_init(p.route_from(B2))
    assert answer.has(wire.Abort)
    (answer,) = stranger.give_init(p.route._replace(local=A2, remote=B2))
    assert answer.has(wire.InitAck)


def test_a_peer_that_takes_no_asconf_is_told_nothing_and_keeps_the_address() -> None:
    p = Pair(2, there={"asconf": False})
    p.a.add_address(A3, p.now)
    p.a.remove_address(A, p.now)
    p.run(3.0)
    assert not asconfs(p.sent)
    assert p.a.keeps(A)
    p.send(b"as before")
    p.run(1.0)
    assert payloads(p.events[p.b]) == [b"as before"]
    with pytest.raises(OSError, match="permitted"):
        p.a.ask_for_primary(p.id, A2, p.now)
    p.a.shutdown(p.id, p.now)
    p.finish()
    assert p.a.freed == [A]


def test_an_association_that_was_peeled_off_keeps_its_addresses() -> None:
    """As on Linux, where it has a socket of its own."""
    p = pair(2)
    p.a.peel_off(p.id)
    p.a.add_address(A3, p.now)
    p.a.remove_address(A, p.now)
    p.run(3.0)
    assert not asconfs(p.sent)
    assert p.a.keeps(A)
    p.answer(b"to the first")
    p.run(1.0)
    assert payloads(p.a.receive(9, p.now, p.id)) == [b"to the first"]
    p.b.abort(p.other.id, b"", p.now)
    p.run(1.0)
    assert not p.a.associations
    assert p.a.freed == [A]


def test_data_in_flight_to_an_address_that_goes_is_sent_elsewhere() -> None:
    p = pair(2, there={"sack_delay": 0.5})
    p.b.set_primary(p.other.id, A)
    p.network.partition([A], [B, B2])  # what is sent there is lost
    for n in range(50):
        p.answer(b"%d" % n * 1000)
    p.a.remove_address(A, p.now)
    p.run(2.0)
    assert payloads(p.events[p.a]) == [b"%d" % n * 1000 for n in range(50)]
    assert p.other.outbound.flight == 0


def both_families(*own: str) -> Pair:
    """Two hosts of which ``b`` has an address of each family, and ``a`` has these."""
    p = pair(connect=False)
    for engine, addresses in (p.a, own), (p.b, (B6, B)):
        engine.addresses[:] = addresses
        p.hosts.update(dict.fromkeys(addresses, engine))
    routes = {A: Route(A, B), A6: Route(A6, B6)}
    p.id = p.a.connect([routes[address] for address in own], PEER_PORT, p.now)
    p.run(4.0)
    assert p.up
    return p


def test_what_was_under_way_when_the_last_address_of_a_family_went_is_taken() -> None:
    """5.3, F4: the peer's addresses of that family cannot be reached from here any more."""
    p = both_families(A6, A)
    p.answer(b"under way")
    p._transmit()
    assert p.data()[-1].route == Route(B6, A6)
    p.drop = lambda sent: sent.has(wire.Asconf)
    p.a.remove_address(A6, p.now)
    p.run(0.5)
    assert payloads(p.events[p.a]) == [b"under way"]
    p.drop = lambda sent: False
    p.run(5.0)
    assert p.up
    assert list(p.other.paths) == [A]
    assert list(p.association.paths) == [B]


def test_the_request_that_was_under_way_when_the_last_address_of_a_family_went_is_taken() -> None:
    """It names an address that cannot be reached any more, and comes from another."""
    p = both_families(A6, A)
    p.hosts[B2] = p.b
    p.drop = lambda sent: sent.has(wire.AsconfAck)
    p.b.add_address(B2, p.now)
    p._transmit()
    assert asconfs(p.sent)[-1].route == Route(B6, A6)
    p.a.remove_address(A6, p.now)
    p.run(5.0)
    p.drop = lambda sent: False
    p.run(30.0)
    assert p.up
    assert list(p.other.paths) == [A]
    assert list(p.association.paths) == [B, B2]


def test_moving_to_a_network_of_the_other_family() -> None:
    """The peer has said at first where it is reached there."""
    p = both_families(A6)
    assert list(p.association.paths) == [B6]
    p.hosts[A] = p.a
    p.a.add_address(A, p.now)
    p.a.remove_address(A6, p.now)
    p.run(5.0)
    assert list(p.other.paths) == [A]
    assert list(p.association.paths) == [B]
    p.send(b"by the other")
    p.answer(b"back")
    p.run(1.0)
    assert payloads(p.events[p.b]) == [b"by the other"]
    assert payloads(p.events[p.a]) == [b"back"]
    assert not p.packets(wire.Abort)


def test_the_only_address_of_a_family_is_exchanged_for_another() -> None:
    """The peer's addresses of that family stay, as the new one leads to them too."""
    p = both_families(A6, A)
    new = "2001:db8::3"
    p.hosts[new] = p.a
    p.a.add_address(new, p.now)
    p.a.remove_address(A6, p.now)
    p.run(5.0)
    assert p.up
    assert list(p.other.paths) == [A, new]
    assert list(p.association.paths) == [B6, B]
    assert (B6, REMOVED) not in path_changes(p.events[p.a])
    assert not p.packets(wire.Abort)


def test_a_family_that_was_given_up_is_taken_up_again() -> None:
    p = both_families(A6, A)
    p.a.remove_address(A6, p.now)
    p.run(5.0)
    add(p, A6)
    assert list(p.other.paths) == [A, A6]
    assert list(p.association.paths) == [B, B6]
    assert p.association.paths[B6].confirmed
    assert p.other.paths[A6].confirmed
    assert path_changes(p.events[p.a])[-3:] == [(B6, REMOVED), (B6, ADDED), (B6, CONFIRMED)]


@pytest.mark.parametrize("deleted", [False, True])
def test_an_address_that_is_not_reached_may_be_deleted_too(deleted: bool) -> None:
    p = peer()
    association = p.accept(EXTENSIONS, wire.address_parameter(B6))
    p.serial = p.tsn
    if deleted:
        assert p.ask(asks(DELETE, B6)) == []
    p.sent.clear()
    p.engine.add_address(A6, p.now)
    p.take()
    p.give(wire.asconf_ack_chunk(p.asked().serial))
    assert list(association.paths) == ([B] if deleted else [B, B6])


def test_addresses_that_are_not_reached_count() -> None:
    p = peer(max_peer_addresses=3)
    association = p.accept(EXTENSIONS, *[wire.address_parameter(f"fd00::{n}") for n in range(9)])
    p.serial = p.tsn
    assert causes(p.ask(asks(ADD, B2))) == [Cause.RESOURCE_SHORTAGE]
    assert list(association.paths) == [B]


@settings(deadline=None)
@given(seed=st.integers(0, 2**16), data=st.data())
def test_moving_under_loss_and_reordering_loses_nothing(seed: int, data: st.DataObject) -> None:
    both = {"association_max_retrans": 1000, "path_max_retrans": 1000, "rto_max": 4.0}
    p = Pair(seed=seed, both=both)
    link = p.network.default_link
    link.loss, link.reordering, link.duplication = 0.4, 0.3, 0.1
    own, theirs = [A], [B]
    sent: list[bytes] = []
    answered: list[bytes] = []
    for n in range(data.draw(st.integers(2, 6))):
        for engine, having, number in ((p.a, own, 1), (p.b, theirs, 2)):
            if not data.draw(st.booleans()):
                continue
            new = f"10.0.{n + 5}.{number}"
            p.hosts[new] = engine
            engine.add_address(new, p.now)
            having.append(new)
            if data.draw(st.booleans()):
                engine.remove_address(having.pop(0), p.now)
        for _ in range(3):
            sent.append(b"a%d" % len(sent))
            answered.append(b"b%d" % len(answered))
            p.send(sent[-1])
            p.answer(answered[-1])
        p.run(data.draw(st.sampled_from([0.0, 0.5, 5.0])))
    link.loss = 0.0
    p.run(200.0)
    assert payloads(p.events[p.b]) == sent
    assert payloads(p.events[p.a]) == answered
    assert set(p.association.paths.local_addresses()) == set(own) == set(p.other.paths)
    assert set(p.other.paths.local_addresses()) == set(theirs) == set(p.association.paths)


# -- the peer's requests (5.2, 5.3) ------------------------------------------------------------


def test_requests_are_worked_off_in_order_and_a_bare_answer_is_success() -> None:
    p = peer()
    association = p.up()
    assert p.ask(asks(ADD, B2), asks(SET_PRIMARY, B2), asks(ADD, B3), asks(DELETE, B3)) == []
    assert path_changes(p.events()) == [(B2, ADDED), (B2, PRIMARY), (B3, ADDED), (B3, REMOVED)]
    assert list(association.paths) == [B, B2]


def test_a_new_address_gets_heartbeats_only_until_it_is_confirmed() -> None:
    p = peer()
    association = p.up()
    p.ask(asks(ADD, B2), asks(SET_PRIMARY, B2))
    p.send(b"data")
    there = [s for s in [*p.sent, *p.advance(5.0)] if s.route.remote == B2]
    assert {kind for s in there for kind in s.kinds} == {wire.Heartbeat}
    p.confirm(B2)
    p.send(b"data")
    assert association.primary is association.paths[B2]
    assert [s.route.remote for s in p.sent if s.has(wire.Data)][-1] == B2


@pytest.mark.parametrize("wildcard", [ANY4, ANY6])
def test_the_address_that_stands_for_any_is_that_of_the_packet(wildcard: Tlv) -> None:
    p = peer()
    association = p.up()
    assert p.ask(asks(ADD, wildcard), source=B2) == []
    assert list(association.paths) == [B, B2]
    assert p.ask(asks(SET_PRIMARY, wildcard), source=B2) == []
    assert association.primary is association.paths[B2]
    p.confirm(B2)
    assert p.ask(asks(ADD, B3), asks(DELETE, wildcard), source=B2, named=B2) == []
    assert list(association.paths) == [B2]


def test_all_addresses_but_the_packets_are_not_deleted_if_that_is_unknown() -> None:
    p = peer()
    association = p.up(B2)
    assert causes(p.ask(asks(DELETE, ANY4), source=B3)) == [Cause.DELETE_LAST_ADDRESS]
    assert list(association.paths) == [B, B2]


def test_the_last_address_and_that_of_the_packet_are_not_deleted() -> None:
    p = peer()
    association = p.up()
    request = asks(DELETE, B, 9)
    (response,) = p.ask(request)
    assert response.value[:4] == bytes([0, 0, 0, 9])
    assert response.value[4:] == wire.tlvs([Tlv(Cause.DELETE_LAST_ADDRESS, wire.tlvs([request]))])
    p.ask(asks(ADD, B2))
    p.confirm(B2)
    assert causes(p.ask(asks(DELETE, B))) == [Cause.DELETE_SOURCE_ADDRESS]
    assert list(association.paths) == [B, B2]


def test_what_is_there_already_is_added_and_what_is_not_is_deleted() -> None:
    p = peer()
    association = p.up()
    assert p.ask(asks(ADD, B), asks(DELETE, B3)) == []
    assert list(association.paths) == [B]
    assert causes(p.ask(asks(SET_PRIMARY, B3))) == [Cause.UNRESOLVABLE_ADDRESS]


def test_behind_a_failure_success_is_named_and_adding_and_deleting_fail() -> None:
    """5.1, A7; 5.3, F11."""
    p = peer()
    association = p.up(B2)
    requests = [asks(ADD, "224.0.0.1"), asks(SET_PRIMARY, B2), asks(ADD, B3), asks(DELETE, B2)]
    failed = Cause.UNRESOLVABLE_ADDRESS
    assert causes(p.ask(*requests)) == [failed, 0, failed, failed]
    assert list(association.paths) == [B, B2]


@pytest.mark.parametrize(
    ("address", "cause"),
    [
        ("224.0.0.1", Cause.UNRESOLVABLE_ADDRESS),
        ("255.255.255.255", Cause.UNRESOLVABLE_ADDRESS),
        ("ff02::1", Cause.UNRESOLVABLE_ADDRESS),
        (Tlv(ParameterType.IPV4_ADDRESS, b"abc"), Cause.UNRESOLVABLE_ADDRESS),
        (Tlv(ParameterType.HOST_NAME, b"host\0"), Cause.UNRESOLVABLE_ADDRESS),
        ("127.0.0.1", Cause.NO_AUTHORIZATION),
        ("2001:db8::1", Cause.RESOURCE_SHORTAGE),
    ],
)
def test_addresses_that_cannot_be_the_peers(address: str | Tlv, cause: int) -> None:
    p = peer()
    association = p.up()
    assert causes(p.ask(asks(ADD, address))) == [cause]
    assert list(association.paths) == [B]


def test_an_address_of_another_association_is_not_added() -> None:
    p = peer()
    association = p.up()
    other = Peer(**NOAUTH)
    other.engine, other.route = p.engine, p.route_from(B2)
    other.learn(other.begin())
    other.give(other.cookie_echo())
    assert len(p.engine.associations) == 2
    assert causes(p.ask(asks(ADD, B2))) == [Cause.NO_AUTHORIZATION]
    assert list(association.paths) == [B]


@pytest.mark.parametrize("address", [B2, ANY4])
def test_a_listed_address_of_another_association_is_forgotten_if_it_is_deleted(
    address: str | Tlv,
) -> None:
    """5.3, F13: it is no longer part of the association."""
    other = peer()
    other.route = other.route_from(B2)
    other.accept()
    p = Peer()
    p.engine, p.parameters = other.engine, [EXTENSIONS, wire.address_parameter(B2)]
    p.learn(p.begin())
    p.serial = p.tsn
    p.give(p.cookie_echo())
    *_, association = p.engine.associations.values()
    assert list(association.heartbeats.awaited) == [B2]
    assert p.ask(asks(DELETE, address)) == []
    assert not association.heartbeats.awaited


def test_our_own_address_is_not_the_peers() -> None:
    p = peer((A, A2))
    p.engine.use_port(PEER_PORT)
    p.packet = lambda *chunks, tag=None: wire.seal(  # type: ignore[method-assign]
        PEER_PORT, PEER_PORT, p.their_tag if tag is None else tag, chunks
    )
    p.up()
    for own in A, A2:
        assert causes(p.ask(asks(ADD, own))) == [Cause.NO_AUTHORIZATION]


def test_a_peer_has_at_most_16_addresses() -> None:
    p = peer()
    association = p.up()
    many = [asks(ADD, f"10.0.9.{n}") for n in range(1, 25)]
    assert causes(p.ask(*many)) == [Cause.RESOURCE_SHORTAGE] * 9
    assert len(association.paths) == 16


@pytest.mark.parametrize(
    ("kind", "answer"),
    [(0xC0AA, [Cause.UNRECOGNIZED_PARAMETERS, 0]), (0x80AA, []), (0x40AA, [8]), (0x00AA, [])],
)
def test_requests_that_are_unknown(kind: int, answer: list[int]) -> None:
    p = peer()
    association = p.up()
    assert causes(p.ask(Tlv(kind, b"1234567"), asks(ADD, B2))) == answer
    assert (B2 in association.paths) == bool(kind & 0x8000)


def test_an_asconf_that_comes_again_is_answered_as_before() -> None:
    p = peer()
    association = p.up(B2)
    chunk = p.asconf(asks(DELETE, B2))
    (first,) = p.give(chunk)
    (again,) = p.give(chunk)
    assert first.get(wire.AsconfAck) == again.get(wire.AsconfAck)
    assert path_changes(p.events()) == [(B2, REMOVED)]
    assert list(association.paths) == [B]


@pytest.mark.parametrize("distance", [-2000, -9, 1, 2, 2**31])
def test_an_asconf_out_of_turn_is_dropped(distance: int) -> None:
    p = peer()
    association = p.up()
    for n in range(10):
        p.ask(asks(ADD if n % 2 == 0 else DELETE, B3))
    wrong = (p.serial + distance) & MASK
    assert p.give(p.asconf(asks(ADD, B2), serial=wrong)) == []
    assert list(association.paths) == [B]
    assert p.ask(asks(ADD, B2)) == []


def test_serials_wrap_around() -> None:
    p = peer()
    p.tsn = MASK
    association = p.up()
    for address in B2, B3:
        assert p.ask(asks(ADD, address)) == []
    assert list(association.paths) == [B, B2, B3]


def test_a_moved_peer_is_found_by_the_address_in_its_asconf() -> None:
    """5.2, D2; 5.3.2."""
    p = peer()
    association = p.up()
    assert p.ask(asks(ADD, B2), asks(DELETE, B), source=B2) == []
    assert list(association.paths) == [B2]
    p.confirm(B2)
    p.send(b"there")
    assert p.sent[-1].route.remote == B2
    assert p.sent[-1].has(wire.Data)


def test_a_moved_peer_that_names_none_of_its_addresses_is_out_of_the_blue() -> None:
    p = peer()
    association = p.up()
    (answer,) = p.give(p.asconf(asks(ADD, B2), named=B3), route=p.route_from(B2))
    assert answer.get(wire.Abort).reflected
    assert list(association.paths) == [B]


def test_nothing_else_comes_in_with_the_asconf_of_a_stranger() -> None:
    """Only a packet that begins with it is looked at."""
    p = peer()
    p.up()
    (answer,) = p.give(p.data(), p.asconf(asks(ADD, B2)), route=p.route_from(B2))
    assert answer.get(wire.Abort).reflected
    assert payloads(p.events()) == []


def test_until_the_only_address_is_confirmed_data_waits() -> None:
    """5.3, F1 and F14."""
    p = peer()
    association = p.up()
    p.send(b"in flight")
    p.sent.clear()
    p.ask(asks(ADD, B2), asks(DELETE, B), source=B2)
    p.send(b"waits")
    p.give(p.data(b"taken"), route=p.route_from(B2))
    kinds = {kind for s in [*p.sent, *p.advance(0.5)] for kind in s.kinds}
    assert kinds <= {wire.Heartbeat, wire.AsconfAck}
    p.confirm(B2)
    sent = [s for s in p.sent if s.route.remote == B2]
    assert [d.payload for s in sent for d in s.chunks(wire.Data)] == [b"in flight", b"waits"]
    assert any(s.has(wire.Sack) for s in sent)
    assert association.state is StatusState.ESTABLISHED


@pytest.mark.parametrize("ours", [False, True])
def test_a_shutdown_waits_until_the_only_address_is_confirmed(ours: bool) -> None:
    p = peer()
    association = p.up()
    p.ask(asks(ADD, B2), asks(DELETE, B), source=B2)
    elsewhere = p.route_from(B2)
    if ours:
        p.engine.shutdown(association.id, p.now)
    else:
        p.give(wire.shutdown_chunk(p.their_tsn - 1), route=elsewhere)
    p.take()
    p.sent.clear()  # the first heartbeat is lost
    p.confirm(B2)
    if ours:
        assert any(s.has(wire.Shutdown) for s in p.advance(10.0))
        (answer,) = p.give(wire.chunk(wire.ChunkType.SHUTDOWN_ACK), route=elsewhere)
        assert answer.has(wire.ShutdownComplete)
    else:
        assert any(s.has(wire.ShutdownAck) for s in p.advance(10.0))
        p.give(wire.shutdown_complete_chunk(), route=elsewhere)
    assert [end.state for end in ends(p.events())] == [AssociationState.SHUTDOWN_COMP]


def test_an_association_whose_only_address_is_never_confirmed_is_lost() -> None:
    p = peer()
    p.up()
    p.ask(asks(ADD, B2), asks(DELETE, B), source=B2)
    p.advance(1000.0)
    assert [end.state for end in ends(p.events())] == [AssociationState.COMM_LOST]
    assert not p.engine.associations


def test_what_waits_for_an_address_that_goes_leaves_elsewhere() -> None:
    p = peer()
    p.up(B2)
    p.give(
        p.data(b"x" * 10, stream=9999),  # an ERROR answers it
        p.asconf(asks(DELETE, B)),
        route=p.route_from(B2),
    )
    assert {s.route.remote for s in p.sent[-2:]} == {B2}
    assert any(s.has(wire.Error) for s in p.sent[-2:])


# -- what the peer answers (5.1, 5.3) ----------------------------------------------------------


def added(p: Peer) -> wire.Asconf:
    p.engine.add_address(A2, p.now)
    p.take()
    return p.asked()


def test_the_request_is_sent_again_until_it_is_answered() -> None:
    p = peer()
    association = p.up()
    first = added(p)
    assert first.address == wire.address_parameter(A)
    again = asconfs(p.advance(4.0))
    assert [s.get(wire.Asconf) for s in again] == [first] * len(again)
    assert [s.route.local for s in again] == [A2, A]
    assert association.error_count == 2
    p.give(wire.asconf_ack_chunk(first.serial))
    assert association.error_count == 0
    assert not asconfs(p.advance(100.0))
    assert association.paths.local_addresses() == [A, A2]


def test_a_request_that_nobody_answers_ends_the_association() -> None:
    p = peer(heartbeats=False)
    p.up()
    added(p)
    p.advance(1000.0)
    assert [end.state for end in ends(p.events())] == [AssociationState.COMM_LOST]


def refuse(p: Peer, asconf: wire.Asconf, cause: int) -> None:
    (request,) = asconf.requests
    error = wire.tlvs([Tlv(cause, wire.tlvs([request]))])
    response = Tlv(AsconfParameter.ERROR, request.value[:4] + error)
    p.give(wire.asconf_ack_chunk(asconf.serial, [response]))


def test_an_address_that_the_peer_refuses_is_not_used() -> None:
    p = peer()
    association = p.up()
    refuse(p, added(p), Cause.RESOURCE_SHORTAGE)
    assert association.paths.local_addresses() == [A]
    p.engine.add_address(A3, p.now)
    p.take()
    assert p.asked().requests[0].type == ADD


def test_a_peer_that_does_not_know_a_request_is_not_asked_again() -> None:
    """5.3, F3a and F3b."""
    p = peer()
    association = p.up()
    refuse(p, added(p), Cause.UNRECOGNIZED_PARAMETERS)
    p.engine.add_address(A3, p.now)
    assert p.take() == []
    p.engine.ask_for_primary(association.id, A, p.now)
    p.take()
    refuse(p, p.asked(), Cause.UNRECOGNIZED_PARAMETERS)
    with pytest.raises(OSError, match="permitted"):
        p.engine.ask_for_primary(association.id, A, p.now)
    assert p.take() == []


def test_a_peer_that_does_not_know_asconf_is_sent_no_more() -> None:
    """5.1, A9; the program is told (5.1.1)."""
    p = peer()
    association = p.up()
    p.engine.add_address(A2, p.now)
    p.take()
    raw = wire.asconf_chunk(1, wire.address_parameter(A), [])
    p.give(wire.error_chunk([Tlv(Cause.UNRECOGNIZED_CHUNK, raw)]))
    assert [e.error for e in p.events() if isinstance(e, RemoteError)] == [6]
    assert not asconfs(p.advance(100.0))
    p.engine.add_address(A3, p.now)
    assert p.take() == []
    assert association.paths.local_addresses() == [A]


@pytest.mark.parametrize("ahead", [0, 1, 2**31 - 1])
def test_an_answer_to_what_was_never_sent_ends_the_association(ahead: int) -> None:
    """5.3, F0."""
    p = peer()
    p.up()
    asconf = added(p)
    p.give(wire.asconf_ack_chunk(asconf.serial))
    (answer,) = p.give(wire.asconf_ack_chunk((asconf.serial + 1 + ahead) & MASK))
    assert answer.get(wire.Abort).causes == [Tlv(Cause.ILLEGAL_ASCONF_ACK, b"")]
    assert not p.engine.associations


def test_answers_to_what_was_answered_and_out_of_turn_are_dropped() -> None:
    p = peer()
    association = p.up()
    asconf = added(p)
    for serial in asconf.serial - 1, asconf.serial + 1, asconf.serial + 2**31:
        assert p.give(wire.asconf_ack_chunk(serial & MASK)) == []
    assert association.paths.local_addresses() == [A]
    for _ in range(3):
        assert p.give(wire.asconf_ack_chunk(asconf.serial)) == []
    assert association.paths.local_addresses() == [A, A2]


def test_an_abort_to_an_address_that_is_being_deleted_is_ignored() -> None:
    """5.3.1."""
    p = peer((A, A2))
    association = p.up()
    p.engine.remove_address(A2, p.now)
    p.take()
    old = p.route._replace(local=A2)
    p.give(wire.abort_chunk(), route=old)
    p.give(wire.abort_chunk(reflected=True), tag=p.tag, route=old)
    assert association.state is StatusState.ESTABLISHED
    p.give(wire.asconf_ack_chunk(p.asked().serial))
    p.give(wire.abort_chunk(reflected=True), tag=p.tag, route=old)  # on its way for long
    assert association.state is StatusState.ESTABLISHED
    p.give(wire.abort_chunk())
    assert not p.engine.associations


@pytest.mark.parametrize("change", ["added", "deleted"])
def test_no_answer_leaves_from_an_address_that_is_added_or_deleted(change: str) -> None:
    """5.3, F1 and F4, also to a peer that has moved."""
    p = peer((A, A2) if change == "deleted" else (A,))
    p.up()
    if change == "deleted":
        p.engine.remove_address(A2, p.now)
    else:
        p.engine.add_address(A2, p.now)
    p.take()
    (answer,) = p.give(p.asconf(asks(DELETE, B3)), route=Route(A2, B2))
    assert answer.has(wire.AsconfAck)
    assert answer.route == Route(A, B2)


def test_until_the_deletion_is_acknowledged_packets_are_taken_there() -> None:
    """5.3, F4."""
    p = peer((A, A2))
    p.up()
    p.engine.remove_address(A2, p.now)
    p.take()
    (sack,) = p.give(p.data(b"late"), route=p.route._replace(local=A2))
    assert sack.route.local == A
    assert payloads(p.events()) == [b"late"]


@pytest.mark.parametrize("state", list(StatusState)[2:])
def test_asconf_passes_in_four_states_only(state: StatusState) -> None:
    """5.1.1, C4."""
    p = peer()
    if state not in (StatusState.COOKIE_WAIT, StatusState.COOKIE_ECHOED):
        p.connect()
        p.give(p.init_ack([PEER_COOKIE, EXTENSIONS]))
        p.give(COOKIE_ACK)
    else:
        p.set_up("wait" if state is StatusState.COOKIE_WAIT else "echoed")
    association = p.association
    if state in (StatusState.SHUTDOWN_PENDING, StatusState.SHUTDOWN_RECEIVED):
        p.send(b"not acknowledged")
    if state in (StatusState.SHUTDOWN_PENDING, StatusState.SHUTDOWN_SENT):
        p.engine.shutdown(association.id, p.now)
    if state in (StatusState.SHUTDOWN_RECEIVED, StatusState.SHUTDOWN_ACK_SENT):
        p.give(p.shutdown())
    p.take()
    assert association.state is state
    may = state not in (
        StatusState.COOKIE_WAIT,
        StatusState.COOKIE_ECHOED,
        StatusState.SHUTDOWN_ACK_SENT,
    )
    answers = p.give(p.asconf(asks(ADD, B2), serial=100))
    assert any(s.has(wire.AsconfAck) for s in answers) is may
    p.engine.add_address(A2, p.now)
    assert bool(asconfs(p.take())) is may


# -- what is agreed ----------------------------------------------------------------------------


def test_asconf_is_not_offered_without_auth_unless_that_is_asked_for() -> None:
    off = {"authentication": False}
    for fields, offered in (
        ({}, True),
        (off, False),
        (off | NOAUTH, True),
        (off | NOAUTH | {"asconf": False}, False),
    ):
        p = Peer(**fields)
        named = [
            parameter.value
            for parameter in p.connect().parameters
            if parameter.type == ParameterType.SUPPORTED_EXTENSIONS
        ]
        assert any(193 in value and 128 in value for value in named) is offered


def test_asconf_that_was_not_agreed_is_unknown() -> None:
    p = Peer(asconf=False)
    association = p.accept(EXTENSIONS)
    (answer,) = p.give(p.asconf(asks(ADD, B2)))
    assert answer.get(wire.Error).causes[0].type == Cause.UNRECOGNIZED_CHUNK
    assert p.give(wire.asconf_ack_chunk(5)) == []
    assert list(association.paths) == [B]


def test_asconf_from_a_stranger_is_nothing_where_it_was_not_agreed() -> None:
    p = Peer(asconf=False)
    association = p.accept(EXTENSIONS)
    (answer,) = p.give(p.asconf(asks(ADD, B2)), route=p.route_from(B2))
    assert answer.get(wire.Abort).reflected
    assert list(association.paths) == [B]


def test_a_peer_that_offers_asconf_without_auth_is_refused() -> None:
    """Section 6: neither an INIT ACK nor a COOKIE ECHO answers it."""
    p = Peer()
    (answer,) = p.give_init(parameters=[EXTENSIONS])
    assert answer.get(wire.Abort).causes[0].type == Cause.PROTOCOL_VIOLATION
    p.connect()
    (answer,) = p.give(p.init_ack([PEER_COOKIE, EXTENSIONS]))
    assert answer.has(wire.Abort)
    assert [end.state for end in ends(p.events())] == [AssociationState.CANT_ASSOC]


class Authentic(AuthPeer):
    """A peer that has agreed on AUTH and ASCONF, as RFC 5061 wants it."""

    def __init__(self, listed: tuple[int, ...] = (193, 128), **parameters: Any) -> None:
        named = Tlv(ParameterType.SUPPORTED_EXTENSIONS, bytes([15, 193, 128]))
        super().__init__([*offer(listed), named], **parameters)
        self.accept_it()
        self.events()
        self.serial = self.tsn

    def asconf(self, *requests: Tlv, named: str = B) -> bytes:
        chunk = wire.asconf_chunk(self.serial, of(named), requests)
        self.serial += 1
        return chunk


def test_an_asconf_is_dropped_silently_unless_it_is_authenticated() -> None:
    """Section 4.1.1."""
    p = Authentic()
    asconf = p.asconf(asks(ADD, B2))
    wrong = bytearray(p.auth(asconf))
    wrong[-1] ^= 1
    for chunks in [asconf], [bytes(wrong), asconf], [p.auth(), asconf]:
        assert p.give(*chunks) == []
    assert list(p.association.paths) == [B]
    answers = p.give(p.auth(asconf), asconf)
    (answer,) = [s for s in answers if s.has(wire.AsconfAck)]
    assert answer.kinds == [wire.Auth, wire.AsconfAck]
    assert list(p.association.paths) == [B, B2]


def test_a_moved_peer_is_found_only_if_it_is_authentic() -> None:
    p = Authentic()
    elsewhere = p.route_from(B2)
    asconf = p.asconf(asks(ADD, B2), asks(DELETE, B))
    forged = p.auth(b"something else")
    for chunks in [asconf], [forged, asconf], [asconf, p.data()], [forged, asconf, p.data()]:
        assert p.give(*chunks, route=elsewhere) == []
    assert payloads(p.events()) == []
    assert list(p.association.paths) == [B]
    p.give(p.auth(asconf), asconf, route=elsewhere)
    assert list(p.association.paths) == [B2]


@pytest.mark.parametrize("listed", [(193, 128), (0,), ()])
def test_asconf_and_its_answer_leave_authenticated(listed: tuple[int, ...]) -> None:
    """Whether the peer has listed them or not (4.1.1, 4.1.2)."""
    p = Authentic(listed)
    p.engine.add_address(A2, p.now)
    (sent,) = p.take()
    assert sent.kinds == [wire.Auth, wire.Asconf]
    again = asconfs(p.advance(2.0))
    assert [s.route.local for s in again] == [A2]
    assert all(s.kinds == [wire.Auth, wire.Asconf] for s in again)
    ack = wire.asconf_ack_chunk(sent.get(wire.Asconf).serial)
    p.give(ack)
    assert p.association.paths.local_addresses() == [A]
    p.give(p.auth(ack), ack)
    assert p.association.paths.local_addresses() == [A, A2]


def test_a_restart_begins_anew() -> None:
    p = peer()
    association = p.up()
    added(p)
    p.ask(asks(ADD, B2))
    p.advance(0.1)
    p.tag, p.tsn = 0x0A0B0C0D, 5000
    p.learn(p.begin())
    p.give(p.cookie_echo())
    assert p.association is association
    assert list(association.paths) == [B]
    p.serial = 5000
    assert p.ask(asks(ADD, B2)) == []
    p.sent.clear()
    p.engine.add_address(A3, p.now)
    p.take()
    assert p.asked().serial == p.their_tsn


# -- adversaries -------------------------------------------------------------------------------


def test_requests_without_end_cost_no_memory() -> None:
    p = peer()
    association = p.up()
    for n in range(1000):
        p.ask(*[asks(ADD if n % 2 == 0 else DELETE, f"10.1.0.{m}") for m in range(1, 15)])
    assert association.unread.events <= MOST_EVENTS + 20_000
    changes = association.changes
    assert changes is not None
    assert len(changes._requests._answers) <= 8
    assert list(association.paths) == [B]
    assert not p.engine._address_book.listers


def test_many_asconfs_in_a_packet_are_answered_by_one() -> None:
    """5.2, E6 and E7; RFC 5062 section 10.3."""
    p = peer()
    association = p.up()
    chunks = [p.asconf(asks(ADD, "224.0.0.1", n)) for n in range(100)]
    answers = [s for s in p.give(*chunks) if s.has(wire.AsconfAck)]
    (answer,) = answers
    assert answer.size <= association.paths[B].mtu
    serials = [ack.serial for ack in answer.chunks(wire.AsconfAck)]
    assert serials == sorted(serials)


def test_many_asconfs_of_a_stranger_are_answered_by_one() -> None:
    p = peer()
    p.up()
    answers = p.give(*[p.asconf(serial=p.serial) for _ in range(20)], route=p.route_from(B2))
    (answer,) = answers
    assert answer.route.remote == B2
    assert answer.get(wire.AsconfAck).serial == p.serial


def test_hosts_of_others_get_no_more_than_was_sent_for_them() -> None:
    p = peer()
    association = p.up()
    p.sent.clear()
    received = association.paths.received
    for n in range(200):
        p.ask(asks(ADD, f"10.1.0.{n + 1}"))
        p.ask(asks(DELETE, f"10.1.0.{n + 1}"))
    sent = sum(s.size for s in p.sent if s.route.remote.startswith("10.1."))
    assert sent <= 8 * (association.paths.received - received)


@pytest.mark.parametrize(
    "chunk",
    [
        wire.chunk(193),
        wire.chunk(193, bytes(4)),
        wire.chunk(193, bytes(3)),
        wire.chunk(193, bytes(4) + wire.tlv(ADD, bytes(12))),
        wire.chunk(193, bytes(4) + wire.tlvs([ANY4]) + b"\xc0\x01\0\3"),
        wire.chunk(128),
        wire.chunk(128, bytes(2)),
        wire.chunk(128, bytes(4) + b"\xc0\x03\0\2"),
    ],
)
def test_malformed_chunks_are_dropped_silently(chunk: bytes) -> None:
    p = peer()
    association = p.up()
    assert p.give(chunk) == []
    assert association.state is StatusState.ESTABLISHED


def test_requests_that_are_not_looked_at_are_refused() -> None:
    """5.1, A8: what is not named behind no failure would count as done."""
    p = peer()
    association = p.up()
    done = [asks(ADD if n % 2 == 0 else DELETE, B2, n) for n in range(64)]
    (response,) = p.ask(*done, *[asks(ADD, B3, n) for n in range(64, 4000)])
    assert response == Tlv(AsconfParameter.ERROR, struct.pack("!IHH", 63, 0xA1, 4))
    assert list(association.paths) == [B, B2]
    # One whose answer would not fit.
    (response,) = p.ask(Tlv(0xC0AA, struct.pack("!I", 9) + bytes(2000)), asks(ADD, B3))
    assert response == Tlv(AsconfParameter.ERROR, struct.pack("!IHH", 9, 0xA1, 4))
    assert list(association.paths) == [B, B2]


def test_the_answers_to_the_requests_of_a_full_packet_fit_into_one() -> None:
    p = peer()
    p.up()
    responses = p.ask(*[asks(ADD, f"127.0.0.{n + 1}", n) for n in range(60)])
    assert 1 < len(responses) < 60
    answer = p.sent[-1]
    assert answer.size <= p.association.paths[B].mtu < answer.size + 28


def test_requests_that_are_cut_short() -> None:
    p = peer()
    association = p.up()
    for kind in ADD, DELETE, SET_PRIMARY, AsconfParameter.ERROR, AsconfParameter.SUCCESS, 0xC0FF:
        for size in range(13):
            p.ask(Tlv(kind, bytes(size)))
    assert list(association.paths) == [B]


def test_the_route_that_is_taken_is_one_that_the_peer_knows() -> None:
    """That is, not where a packet comes to that an address of ours gets which it was not told."""
    p = peer()
    p.up()
    (ack, *_) = p.give(wire.heartbeat_chunk(b"1"), route=Route(A3, B))
    assert ack.route == Route(A, B)
