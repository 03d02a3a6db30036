"""Which associations know FORWARD TSN (RFC 3758 section 3.3)."""

from __future__ import annotations

from trio_sctp._engine import wire
from trio_sctp._engine.wire import Cause, ParameterType, Tlv

from ..etsi.tester import EtsiTester, parameters_of, quick, whole
from ..support.engines import info
from ..support.scripted_peer import COOKIE_ACK, PEER_COOKIE
from .tester import SUPPORTED, accepted, connected, fresh, runs


@runs("handshake/1")
def test_without_the_extension_an_init_ack_reports_it() -> None:
    peer = fresh(quick(partial_reliability=False))
    peer.give(peer.init([SUPPORTED]), tag=0)
    ack = peer.expect(wire.InitAck)
    assert parameters_of(ack, ParameterType.UNRECOGNIZED) == [whole(SUPPORTED)]
    assert parameters_of(ack, ParameterType.FORWARD_TSN_SUPPORTED) == []
    peer.learn(ack)
    peer.give(peer.cookie_echo())
    peer.expect(wire.CookieAck)
    peer.up()
    peer.closes()


@runs("handshake/2")
def test_without_the_extension_an_init_does_not_have_it() -> None:
    peer = fresh(quick(partial_reliability=False), listening=False)
    init = peer.connect()
    assert parameters_of(init, ParameterType.FORWARD_TSN_SUPPORTED) == []
    (extensions,) = parameters_of(init, ParameterType.SUPPORTED_EXTENSIONS) or [b""]
    assert wire.ChunkType.FORWARD_TSN not in extensions


@runs("handshake/3")
def test_without_the_extension_it_is_reported_with_the_cookie() -> None:
    peer = fresh(quick(partial_reliability=False), listening=False)
    peer.connect()
    peer.give(peer.init_ack([PEER_COOKIE, SUPPORTED]))
    error = peer.expect_packet(wire.CookieEcho, wire.Error).get(wire.Error)
    assert error.causes == [Tlv(Cause.UNRECOGNIZED_PARAMETERS, whole(SUPPORTED))]
    peer.give(COOKIE_ACK)
    peer.up()
    peer.works()


def knows_no_forward_tsn(peer: EtsiTester) -> None:
    """A FORWARD TSN is reported as an unknown chunk, and skips nothing."""
    skip = wire.forward_tsn_chunk(1, [(1, 0)])
    peer.give(skip)
    assert peer.expect(wire.Error).causes == [Tlv(Cause.UNRECOGNIZED_CHUNK, skip)]
    peer.works()


@runs("handshake/4")
def test_a_peer_whose_init_does_not_have_it_sends_none() -> None:
    knows_no_forward_tsn(accepted())


@runs("handshake/5")
def test_a_peer_whose_init_ack_does_not_have_it_sends_none() -> None:
    knows_no_forward_tsn(connected())


def test_without_the_extension_a_forward_tsn_is_unknown() -> None:
    """Section 3.3.2: whatever the peer says that it knows."""
    without = quick(partial_reliability=False)
    knows_no_forward_tsn(accepted(without, SUPPORTED))
    knows_no_forward_tsn(connected(without))


@runs("handshake/6")
def test_if_both_have_it_what_is_too_old_is_skipped() -> None:
    peer = connected(None, SUPPORTED)
    peer.send(bytes(1000), info(1, lifetime=1000))
    data = peer.expect(wire.Data)
    assert peer.wait() == 1.0
    assert peer.expect(wire.ForwardTsn) == wire.ForwardTsn(data.tsn, [(1, 0)])
    peer.give(peer.sack_first(1))
    peer.works()


@runs("handshake/7")
def test_the_init_counts_whose_cookie_is_echoed() -> None:
    peer = fresh()
    peer.give(peer.init([SUPPORTED]), tag=0)
    first = peer.expect(wire.InitAck)
    assert parameters_of(first, ParameterType.FORWARD_TSN_SUPPORTED) == [b""]
    peer.tag = 10
    peer.give(peer.init(), tag=0)
    peer.learn(peer.expect(wire.InitAck))
    peer.give(peer.cookie_echo())
    peer.expect(wire.CookieAck)
    peer.up()
    knows_no_forward_tsn(peer)


@runs("handshake/operational-error")
def test_a_peer_that_reports_it_as_unknown_is_sent_none() -> None:
    peer = fresh(listening=False)
    peer.connect()
    peer.give(peer.init_ack([PEER_COOKIE, Tlv(ParameterType.UNRECOGNIZED, wire.tlv(*SUPPORTED))]))
    peer.expect(wire.CookieEcho)
    peer.give(COOKIE_ACK)
    peer.up()
    peer.send(bytes(1000), info(1, lifetime=10))
    first = peer.expect(wire.Data)
    assert peer.wait() == 1.0
    assert peer.expect(wire.Data) == first
    peer.give(peer.sack_first(1))
    peer.works()
