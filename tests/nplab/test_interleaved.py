"""Who knows I-FORWARD-TSN, and what wrong ones come to (RFC 8260 section 2.3.1)."""

from __future__ import annotations

from trio_sctp._engine import wire
from trio_sctp._engine.wire import Cause, ChunkType, ParameterType, Tlv

from ..etsi.tester import causes_of, parameters_of, quick, whole
from ..support.engines import info
from ..support.scripted_peer import COOKIE_ACK, PEER_COOKIE
from . import tester
from .tester import SUPPORTED, NplabTester, accepted, connected, for_each, fresh, runs

FORWARD, I_FORWARD, I_DATA = ChunkType.FORWARD_TSN, ChunkType.I_FORWARD_TSN, ChunkType.I_DATA
INTERLEAVING = {"interleaving": True}


def names(*kinds: ChunkType) -> tuple[Tlv, Tlv]:
    """What an INIT or INIT ACK says that names these chunks."""
    return SUPPORTED, Tlv(ParameterType.SUPPORTED_EXTENSIONS, bytes(kinds))


def named(init: wire.Init) -> list[int]:
    """The chunks for messages that are given up, or interleaved, that an INIT names."""
    (kinds,) = parameters_of(init, ParameterType.SUPPORTED_EXTENSIONS) or [b""]
    return [kind for kind in kinds if kind in (FORWARD, I_FORWARD, I_DATA)]


@runs("i-handshake/1")
def test_without_partial_reliability_an_init_ack_reports_it() -> None:
    peer = fresh(quick(partial_reliability=False))
    peer.give(peer.init(names(FORWARD, I_FORWARD)), tag=0)
    ack = peer.expect(wire.InitAck)
    assert parameters_of(ack, ParameterType.UNRECOGNIZED) == [whole(SUPPORTED)]
    assert named(ack) == []
    peer.learn(ack)
    peer.give(peer.cookie_echo())
    peer.expect(wire.CookieAck)
    peer.up()
    peer.closes()


@runs("i-handshake/2")
def test_without_partial_reliability_an_init_does_not_name_it() -> None:
    peer = fresh(quick(partial_reliability=False), listening=False)
    assert named(peer.connect()) == []


@runs("i-handshake/3")
def test_without_partial_reliability_it_is_reported_with_the_cookie() -> None:
    peer = fresh(quick(partial_reliability=False), listening=False)
    peer.connect()
    peer.give(peer.init_ack([PEER_COOKIE, *names(FORWARD, I_FORWARD)]))
    error = peer.expect_packet(wire.CookieEcho, wire.Error).get(wire.Error)
    assert error.causes == [Tlv(Cause.UNRECOGNIZED_PARAMETERS, whole(SUPPORTED))]
    peer.give(COOKIE_ACK)
    peer.up()
    peer.works()


@for_each({"i-handshake/4": False, "i-handshake/5": True})
def test_an_i_forward_tsn_that_was_not_agreed_on_ends_the_association(variant: bool) -> None:
    peer = accepted(quick(partial_reliability=variant), *names(FORWARD, I_FORWARD))
    peer.give(wire.i_forward_tsn_chunk(1, []))
    assert causes_of(peer.expect(wire.Abort)) == [Cause.PROTOCOL_VIOLATION]
    peer.expect_no_association()


def gives_up(peer: NplabTester, *, unordered: bool = False) -> tuple[wire.Data, wire.ForwardTsn]:
    """Have the user send a message that must not be sent again; returns what the engine sends."""
    how = info(0 if unordered else 1, unordered=unordered, retransmissions=0)
    peer.engine.send(peer.id, bytes(1000), how, peer.now)
    (data,) = peer.chunks()
    assert isinstance(data, wire.Data)
    assert peer.wait() == 1.0
    (skip,) = peer.chunks()
    assert isinstance(skip, wire.ForwardTsn)
    assert skip.cumulative_tsn == data.tsn
    peer.give(peer.sack_first(1))
    assert peer.association.outbound.empty
    return data, skip


@for_each(
    {
        "i-handshake/6": (accepted, False),
        "i-handshake/7": (accepted, True),
        "i-handshake/11": (connected, False),
        "i-handshake/12": (connected, True),
    }
)
def test_what_both_know_is_used(variant: tuple[tester.SetUp, bool]) -> None:
    set_up, unordered = variant
    data, skip = gives_up(
        set_up(quick(**INTERLEAVING), *names(FORWARD, I_FORWARD, I_DATA)), unordered=unordered
    )
    assert type(data) is wire.IData
    assert data.mid == 0
    assert skip == wire.IForwardTsn(data.tsn, [(1, 0)] if unordered else [(2, 0)])


@for_each(
    {
        "i-handshake/8": (accepted, (FORWARD, I_FORWARD)),
        "i-handshake/10": (accepted, (FORWARD,)),
        "i-handshake/13": (connected, (FORWARD, I_FORWARD)),
        "i-handshake/15": (connected, (FORWARD,)),
    }
)
def test_to_a_peer_that_does_not_name_i_data_data_is_sent(
    variant: tuple[tester.SetUp, tuple[ChunkType, ...]],
) -> None:
    set_up, kinds = variant
    data, skip = gives_up(set_up(quick(**INTERLEAVING), *names(*kinds)))
    assert type(data) is wire.Data
    assert skip == wire.ForwardTsn(data.tsn, [(1, 0)])


@for_each({"i-handshake/9": accepted, "i-handshake/14": connected})
def test_to_a_peer_that_names_i_data_alone_nothing_is_given_up(variant: tester.SetUp) -> None:
    peer = variant(quick(**INTERLEAVING), *names(FORWARD, I_DATA))
    peer.engine.send(peer.id, bytes(1000), info(1, retransmissions=0), peer.now)
    (first,) = peer.chunks()
    assert type(first) is wire.IData
    for pause in 1.0, 2.0:
        assert peer.wait() == pause
        assert peer.chunks() == [first]
    peer.give(peer.sack_first(1))
    assert peer.association.outbound.empty


def interleaving() -> NplabTester:
    return accepted(quick(**INTERLEAVING), *names(FORWARD, I_FORWARD, I_DATA))


@runs("i-error-cases/i-forward-tsn-tlv-too-long")
def test_an_i_forward_tsn_that_is_longer_than_its_packet_is_dropped() -> None:
    peer = interleaving()
    peer.give(bytes([I_FORWARD, 0, 1, 0, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 1]))
    peer.silent()
    peer.give(wire.i_forward_tsn_chunk(2, [(3, 0)]))
    peer.advance(0.5)
    assert peer.expect(wire.Sack).cumulative_tsn == 2


@for_each(
    {
        "i-error-cases/i-forward-tsn-tlv-too-short": bytes([I_FORWARD, 0, 0, 14, 0, 0, 0, 2])
        + bytes([0, 1, 0, 0, 0, 0, 0, 1]),
        "i-error-cases/i-forward-tsn-too-short": bytes([I_FORWARD, 0, 0, 4]),
    }
)
def test_an_i_forward_tsn_of_a_wrong_length_ends_the_association(variant: bytes) -> None:
    peer = interleaving()
    peer.give(variant)
    assert causes_of(peer.expect(wire.Abort)) == [Cause.PROTOCOL_VIOLATION]
    peer.expect_no_association()
