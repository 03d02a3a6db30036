"""What nplab's sctp-tests ask beyond ETSI's purposes."""

from __future__ import annotations

import zlib
from typing import Any

from trio_sctp._engine import wire
from trio_sctp._engine.tsn import MASK
from trio_sctp._engine.wire import Cause, ChunkType, ParameterType, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import AssociationState

from ..etsi.tester import (
    THERE,
    THERE_2,
    active,
    causes_of,
    parameters_of,
    passive,
    shutdown_ack_sent,
    whole,
)
from ..support.engines import PEER_PORT, PORT
from ..support.scripted_peer import COOKIE_ACK, PEER_COOKIE
from .tester import for_each, fresh, runs

SHUTDOWN_ACK = wire.chunk(ChunkType.SHUTDOWN_ACK)
HEARTBEAT = wire.heartbeat_chunk(b"anybody there?")
PAD = wire.pad_chunk(8)

# -- set-up ------------------------------------------------------------------------------------


@runs("as/v-1-6-1-alt")
def test_an_init_with_an_unknown_address_type() -> None:
    """Of the types that it supports it need not know all."""
    peer = fresh()
    types = Tlv(ParameterType.SUPPORTED_ADDRESS_TYPES, bytes([0, 5, 0, 11]))
    peer.give(peer.init([wire.address_parameter(THERE), types]), tag=0)
    peer.learn(peer.expect(wire.InitAck))
    peer.give(peer.cookie_echo())
    peer.expect(wire.CookieAck)
    peer.up()
    peer.works()


BEFORE, AFTER = Tlv(0xC0AA, b"before"), Tlv(0xC0AA, b"after")


@for_each(
    {
        "as/i-1-8-1-alt": (0xF0AA, True, True),
        "as/i-1-8-2-alt": (0x30AA, False, False),
        "as/i-1-8-3-alt": (0x70AA, True, False),
        "as/i-1-8-4-alt": (0xB0AA, False, True),
    }
)
def test_unknown_parameters_of_an_init_ack(variant: tuple[int, bool, bool]) -> None:
    """The bits of their type say whether they are reported, and whether to read on (3.2.1)."""
    kind, reported, read_on = variant
    unknown = Tlv(kind, b"the unknown one")
    peer = fresh(listening=False)
    peer.connect()
    peer.give(peer.init_ack([PEER_COOKIE, BEFORE, unknown, AFTER]))
    packet = peer.expect_packet(wire.CookieEcho, wire.Error)
    told = b"".join(cause.value for cause in packet.get(wire.Error).causes)
    assert {cause.type for cause in packet.get(wire.Error).causes} == {
        Cause.UNRECOGNIZED_PARAMETERS
    }
    assert (whole(BEFORE) in told, whole(unknown) in told, whole(AFTER) in told) == (
        True,
        reported,
        read_on,
    )
    peer.give(COOKIE_ACK)
    peer.up()
    peer.works()


@runs("as/i-1-8-1-alt-alt")
def test_forward_tsn_supported_in_an_init_ack_is_known() -> None:
    peer = fresh(listening=False)
    peer.connect()
    peer.give(peer.init_ack([Tlv(ParameterType.FORWARD_TSN_SUPPORTED, b""), PEER_COOKIE]))
    peer.expect(wire.CookieEcho)
    peer.give(COOKIE_ACK)
    peer.up()
    peer.works()


@runs("misc/cookie-ack-from-other-address")
def test_a_cookie_ack_may_come_from_a_listed_address() -> None:
    peer = fresh(listening=False)
    peer.connect()
    peer.give(peer.init_ack([PEER_COOKIE, wire.address_parameter(THERE_2)]))
    peer.expect(wire.CookieEcho)
    peer.give(COOKIE_ACK, route=peer.route_from(THERE_2))
    assert peer.state() is StatusState.ESTABLISHED
    assert not any(isinstance(chunk, wire.CookieEcho) for chunk in peer.chunks())


@runs("misc/cookie-ack-bundled-with-abort")
def test_a_cookie_echo_with_an_abort_behind_it_sets_nothing_up() -> None:
    peer = fresh()
    peer.learn(peer.begin())
    peer.packets()
    for reflected in True, False:
        peer.give(peer.cookie_echo(), wire.abort_chunk(reflected=reflected))
        peer.silent()
        assert peer.state() is StatusState.CLOSED


@runs("misc/init-ack-stream-test")
def test_an_init_ack_may_ask_for_more_streams_than_there_are() -> None:
    """Data on those that there are not is an error (section 6.5)."""
    peer = fresh(listening=False)
    init = peer.connect()
    offered = min(init.inbound_streams + 1, 65535)
    peer.give(peer.init_ack(outbound_streams=offered, inbound_streams=init.outbound_streams))
    peer.expect(wire.CookieEcho)
    peer.give(COOKIE_ACK)
    peer.up()
    peer.works()


@for_each(
    {
        "misc/init-with-set-primary-valid-address": wire.address_parameter(THERE),
        "misc/init-with-set-primary-invalid-address": wire.address_parameter(THERE_2),
        "misc/init-with-set-primary-hostname-address": Tlv(ParameterType.HOST_NAME, b"peer\0"),
    }
)
def test_an_init_with_set_primary_address_is_answered(variant: Tlv) -> None:
    """RFC 5061's parameter is unknown here, so that it is reported and nothing more."""
    primary = Tlv(0xC004, bytes([0, 0, 0, 1]) + wire.tlv(*variant))
    peer = fresh()
    peer.give(peer.init([primary]), tag=0)
    ack = peer.expect(wire.InitAck)
    assert parameters_of(ack, ParameterType.UNRECOGNIZED) == [whole(primary)]


@for_each(
    {
        "misc/init-ack-with-set-primary-valid-address": wire.address_parameter(THERE),
        "misc/init-ack-with-set-primary-invalid-address": wire.address_parameter(THERE_2),
        "misc/init-ack-with-set-primary-hostname-address": Tlv(ParameterType.HOST_NAME, b"peer\0"),
    }
)
def test_an_init_ack_with_set_primary_address_is_answered(variant: Tlv) -> None:
    primary = Tlv(0xC004, bytes([0, 0, 0, 1]) + wire.tlv(*variant))
    peer = fresh(listening=False)
    peer.connect()
    peer.give(peer.init_ack([primary, PEER_COOKIE]))
    packet = peer.expect_packet(wire.CookieEcho, wire.Error)
    assert packet.get(wire.Error).causes == [Tlv(Cause.UNRECOGNIZED_PARAMETERS, whole(primary))]


@runs("misc/malformed-stream-reset-request")
def test_an_unknown_chunk_that_is_malformed_inside_does_no_harm() -> None:
    peer = passive()
    peer.give(wire.chunk(0x82, bytes([0, 13, 1, 0, 1, 2, 3, 4])))
    peer.silent()
    peer.give(HEARTBEAT)
    peer.expect(wire.HeartbeatAck)
    peer.works()


@runs("misc/cookie-with-wrong-address")
def test_a_cookie_may_come_from_another_address_than_its_init() -> None:
    """As from behind a NAT: it shows that the peer got the INIT ACK."""
    peer = fresh()
    peer.learn(peer.begin())
    peer.packets()
    sent = peer.give(peer.cookie_echo(), peer.data(b"hello"), route=peer.route_from(THERE_2))
    assert any(packet.has(wire.CookieAck) for packet in sent)
    assert peer.messages() == [b"hello"]


# -- an INIT that cannot be accepted, while there is an association ----------------------------


@for_each(
    {
        "misc/init-with-zero-initiate-tag": {"tag": 0},
        "misc/init-with-zero-a-rwnd": {"tag": 1, "rwnd": 0},
        "misc/init-with-zero-os": {"tag": 1, "outbound_streams": 0},
        "misc/init-with-zero-mis": {"tag": 1, "inbound_streams": 0},
    }
)
def test_a_wrong_init_harms_no_association(variant: dict[str, Any]) -> None:
    """With a tag of its own, an ABORT may answer it."""
    peer = passive()
    peer.give(peer.init(**variant), tag=0)
    for packet in peer.packets():
        assert variant["tag"] == packet.tag != 0
        assert packet.kinds == [wire.Abort]
    peer.works()


# -- SHUTDOWN ACKs that nobody waits for -------------------------------------------------------


@runs("dm/o-4-7-2-established")
def test_a_shutdown_ack_to_an_association_is_ignored() -> None:
    peer = active()
    peer.give(SHUTDOWN_ACK)
    peer.silent()
    peer.works()


@for_each({"dm/o-4-7-2-cookie-wait": False, "dm/o-4-7-2-cookie-echoed": True})
def test_a_shutdown_ack_during_the_set_up_is_out_of_the_blue(variant: bool) -> None:
    """Section 8.5.1 E: the peer may be left with an older association."""
    peer = fresh(listening=False)
    peer.connect()
    if variant:
        peer.give(peer.init_ack())
        peer.expect(wire.CookieEcho)
    peer.give(SHUTDOWN_ACK)
    assert peer.expect(wire.ShutdownComplete, tag=peer.their_tag).reflected


# -- several chunks in a packet ----------------------------------------------------------------


@runs("bundling/heartbeats")
def test_heartbeats_in_one_packet_are_answered_by_one_packet() -> None:
    peer = passive()
    peer.give(*[HEARTBEAT] * 10)
    (packet,) = peer.packets()
    assert set(packet.kinds) == {wire.HeartbeatAck}
    peer.works()


@runs("bundling/unknowns")
def test_unknown_chunks_in_one_packet_are_answered_by_one_packet() -> None:
    peer = passive()
    peer.give(*[wire.chunk(0xF7)] * 10)
    (packet,) = peer.packets()
    assert set(packet.kinds) == {wire.Error}
    peer.works()


@runs("bundling/shutdown-acks")
def test_shutdown_acks_out_of_the_blue_in_one_packet_are_answered_once() -> None:
    peer = fresh()
    peer.give(*[SHUTDOWN_ACK] * 10, tag=1)
    peer.expect(wire.ShutdownComplete, tag=1)


# -- checksums (section 6.8) -------------------------------------------------------------------


def with_checksum(packet: bytes, name: str) -> bytes:
    """The packet, with CRC32c or what is none."""
    bare = packet[:8] + bytes(4) + packet[12:]
    checksum = {
        "crc32c": packet[8:12],
        "adler32": zlib.adler32(bare).to_bytes(4, "big"),
        "zero": bytes(4),
        "wrong": bytes([packet[8] ^ 1]) + packet[9:12],
    }[name]
    return packet[:8] + checksum + packet[12:]


CHECKSUMS = ("crc32c", "adler32", "zero", "wrong")


@for_each({f"checksum/{name}-with-padding": name for name in CHECKSUMS})
def test_a_checksum_is_crc32c(variant: str) -> None:
    peer = fresh()
    packet = wire.seal(PEER_PORT, PORT, 7, [SHUTDOWN_ACK])
    peer.give_raw(with_checksum(packet, variant))
    if variant == "crc32c":
        assert peer.expect(wire.ShutdownComplete, tag=7).reflected
    else:
        peer.silent()


@for_each({f"checksum/{name}-without-padding": name for name in CHECKSUMS})
def test_the_checksum_of_an_init_is_crc32c(variant: str) -> None:
    peer = fresh()
    packet = wire.seal(PEER_PORT, PORT, 0, [peer.init()])
    peer.give_raw(with_checksum(packet, variant))
    if variant == "crc32c":
        peer.expect(wire.InitAck)
    else:
        peer.silent()


# -- user data ---------------------------------------------------------------------------------

FIRST, LAST, MIDDLE, WHOLE, UNORDERED = wire.FIRST, wire.LAST, 0, wire.WHOLE, wire.UNORDERED


def data(number: int, flags: int, *, stream: int = 1, ssn: int = 0, payload: bytes = b"x") -> bytes:
    """The DATA chunk with that number, from 0."""
    return wire.data_chunk(100 + number, stream, ssn, 0, payload, flags)


@runs("data/send-ndata")
def test_i_data_that_was_not_agreed_on_ends_the_association() -> None:
    """RFC 8260 section 2.2.3."""
    peer = passive()
    peer.give(wire.i_data_chunk(100, 0, 0, 0, b"data", WHOLE))
    assert causes_of(peer.expect(wire.Abort)) == [Cause.PROTOCOL_VIOLATION]
    peer.expect_no_association()


@for_each(
    {
        "data/send-on-different-streams": [data(0, FIRST, stream=0), data(1, LAST, stream=1)],
        "data/ssn-not-same": [data(0, FIRST), data(1, LAST, ssn=1)],
        "data/unordered-fragmented": [
            data(0, FIRST | UNORDERED),
            data(1, MIDDLE | UNORDERED),
            data(2, LAST),
        ],
    }
)
def test_neighbouring_fragments_of_different_messages_end_the_association(
    variant: list[bytes],
) -> None:
    peer = passive()
    for chunk in variant[:-1]:
        peer.give(chunk)
        peer.advance(0.5)
        assert isinstance(peer.chunks()[0], wire.Sack)
    peer.give(variant[-1])
    assert causes_of(peer.expect(wire.Abort)) == [Cause.PROTOCOL_VIOLATION]
    assert peer.messages() == []


@for_each(
    {
        "data/double-begin": ([data(0, FIRST), data(1, FIRST)], 0),
        "data/start-with-end": ([data(0, WHOLE), data(1, LAST, ssn=1)], 1),
        "data/unordered-incomplete-message": (
            [data(0, FIRST | UNORDERED), data(1, WHOLE | UNORDERED)],
            1,
        ),
        "data/ordered-incomplete-message": ([data(0, FIRST), data(1, WHOLE)], 1),
        "data/complete-after-middle-fragment": ([data(1, MIDDLE), data(2, WHOLE, ssn=1)], 0),
        "data/only-end": ([data(0, LAST, ssn=1)], 0),
    }
)
def test_a_message_that_lacks_a_part_is_never_delivered(variant: tuple[list[bytes], int]) -> None:
    """Only whole ones are, whether or not the association goes on."""
    chunks, whole_ones = variant
    peer = passive()
    for chunk in chunks:
        peer.give(chunk)
    peer.advance(10.0)
    assert len(peer.messages()) <= whole_ones
    for answer in peer.chunks():
        assert isinstance(answer, wire.Sack | wire.Abort)


@runs("data/no-user-data")
def test_a_chunk_without_data_ends_the_association() -> None:
    peer = passive()
    peer.give(data(0, WHOLE, payload=b""))
    abort = peer.expect(wire.Abort)
    assert abort.causes == [Tlv(Cause.NO_USER_DATA, (100).to_bytes(4, "big"))]


@runs("data/wrap-TSN")
def test_tsns_begin_anew_after_the_last() -> None:
    peer = fresh()
    peer.tsn = MASK - 1
    peer.learn(peer.begin())
    peer.give(peer.cookie_echo())
    peer.packets()
    peer.up()
    for expected in MASK - 1, MASK, 0, 1:
        peer.give(peer.data(b"x"))
        peer.advance(0.5)
        (sack,) = peer.chunks()
        assert isinstance(sack, wire.Sack)
        assert (sack.cumulative_tsn, sack.gaps) == (expected, [])
    assert peer.messages() == [b"x"] * 4


@runs("data/bundle-data-abort")
def test_an_abort_behind_data_is_not_answered() -> None:
    """RFC 9260 section 3.3.7: never by another ABORT."""
    peer = passive()
    peer.give(data(0, WHOLE))
    peer.advance(0.5)
    peer.packets()
    peer.give(data(1, WHOLE, ssn=1), wire.abort_chunk())
    peer.silent()
    assert AssociationState.COMM_LOST in peer.changes()


@runs("data/invalid-stream")
def test_data_on_a_stream_that_there_is_not_is_reported() -> None:
    peer = passive()
    there_is_not = peer.association.inbound_streams
    peer.give(data(0, WHOLE, stream=there_is_not))
    answer = peer.packets()[0]
    cause = Tlv(Cause.INVALID_STREAM, there_is_not.to_bytes(2, "big") + bytes(2))
    assert answer.get(wire.Error).causes == [cause]


@for_each({"data/data-before-cookie-echo": True, "data/data-oob": False})
def test_data_before_the_cookie_is_out_of_the_blue(variant: bool) -> None:
    """Section 8.4: also if the cookie comes behind it (6.10: DATA comes last)."""
    peer = fresh()
    peer.learn(peer.begin())
    peer.packets()
    peer.give(peer.data(b"early"), *([peer.cookie_echo()] if variant else []))
    assert peer.expect(wire.Abort, tag=peer.their_tag).reflected
    assert peer.state() is StatusState.CLOSED


# -- what RFC 4460 mended ----------------------------------------------------------------------


@runs("rfc-4460/2-1-01")
def test_an_unknown_chunk_that_stops_the_packet_is_reported() -> None:
    peer = passive()
    peer.give(wire.chunk(0x4F), HEARTBEAT)
    assert peer.expect(wire.Error).causes == [Tlv(Cause.UNRECOGNIZED_CHUNK, wire.chunk(0x4F))]


@for_each({"rfc-4460/2-3-01": False, "rfc-4460/2-3-02": True})
def test_the_length_of_an_init_may_have_the_last_padding_in_it(variant: bool) -> None:
    peer = fresh()
    init = bytearray(peer.init([Tlv(ParameterType.SUPPORTED_ADDRESS_TYPES, bytes([0, 5]))]))
    assert len(init) == 28
    init[2:4] = (28 if variant else 26).to_bytes(2, "big")
    peer.give(bytes(init), tag=0)
    peer.expect(wire.InitAck)


@runs("rfc-4460/2-5-01")
def test_an_init_ack_has_no_more_streams_than_the_init_allows() -> None:
    peer = fresh()
    peer.give(peer.init(outbound_streams=65535, inbound_streams=65535), tag=0)
    usual = peer.expect(wire.InitAck).outbound_streams
    assert usual > 1
    peer.give(peer.init(outbound_streams=65535, inbound_streams=usual - 1), tag=0)
    assert peer.expect(wire.InitAck).outbound_streams <= usual - 1


@for_each(
    {
        "rfc-4460/2-11-01": (True, False),
        "rfc-4460/2-11-02": (False, False),
        "rfc-4460/2-11-03": (True, True),
        "rfc-4460/2-11-04": (False, True),
    }
)
def test_an_init_with_another_chunk_is_dropped(variant: tuple[bool, bool]) -> None:
    listening, pad_first = variant
    peer = fresh(listening=listening)
    chunks = [PAD, peer.init()] if pad_first else [peer.init(), PAD]
    peer.give(*chunks, tag=0)
    peer.silent()


@for_each({"rfc-4460/2-11-05": True, "rfc-4460/2-11-06": False})
def test_an_init_with_a_verification_tag_is_dropped(variant: bool) -> None:
    peer = fresh(listening=variant)
    peer.give(peer.init(), tag=2)
    peer.silent()


@for_each({"rfc-4460/2-40-01": (0, PORT), "rfc-4460/2-40-02": (PEER_PORT, 0)})
def test_port_0_is_nobodys(variant: tuple[int, int]) -> None:
    peer = fresh()
    peer.give_raw(wire.seal(*variant, 0, [peer.init()]))
    peer.silent()


@runs("rfc-4460/2-41-01")
def test_an_init_to_nobody_is_answered_with_its_own_tag() -> None:
    peer = fresh(listening=False)
    peer.give(peer.init(tag=1), tag=0)
    assert not peer.expect(wire.Abort, tag=1).reflected


@for_each(
    {
        "rfc-4460/2-41-02": {"rwnd": 0},
        "rfc-4460/2-41-03": {"outbound_streams": 0},
        "rfc-4460/2-41-04": {"inbound_streams": 0},
    }
)
def test_an_init_that_cannot_be_accepted_is_answered_with_its_own_tag(
    variant: dict[str, Any],
) -> None:
    peer = fresh()
    peer.give(peer.init(tag=1, **variant), tag=0)
    assert not peer.expect(wire.Abort, tag=1).reflected


@runs("rfc-4460/2-41-05")
def test_an_init_without_a_tag_is_dropped() -> None:
    peer = fresh()
    peer.give(peer.init(tag=0), tag=0)
    peer.silent()


@runs("rfc-4460/2-41-06")
def test_a_shutdown_ack_out_of_the_blue_is_answered_with_its_tag() -> None:
    peer = fresh()
    peer.give(SHUTDOWN_ACK, tag=1)
    assert peer.expect(wire.ShutdownComplete, tag=1).reflected


@runs("rfc-4460/2-41-07")
def test_a_heartbeat_out_of_the_blue_is_answered_with_its_tag() -> None:
    peer = fresh()
    peer.give(HEARTBEAT, tag=1)
    assert peer.expect(wire.Abort, tag=1).reflected


@for_each(
    {
        "rfc-4460/2-41-08": (False, True),
        "rfc-4460/2-41-09": (True, False),
        "rfc-4460/2-41-10": (True, True),
        "rfc-4460/2-41-11": (False, False),
    }
)
def test_an_abort_has_our_tag_or_says_that_it_has_theirs(variant: tuple[bool, bool]) -> None:
    theirs, reflected = variant
    peer = passive()
    peer.give(wire.abort_chunk(reflected=reflected), tag=peer.tag if theirs else None)
    peer.silent()
    if theirs == reflected:
        peer.expect_no_association()
    else:
        peer.works()


@for_each(
    {
        "rfc-4460/2-41-12": (False, True),
        "rfc-4460/2-41-13": (True, False),
        "rfc-4460/2-41-14": (False, False),
        "rfc-4460/2-41-15": (True, True),
    }
)
def test_a_shutdown_complete_has_our_tag_or_says_that_it_has_theirs(
    variant: tuple[bool, bool],
) -> None:
    theirs, reflected = variant
    peer = shutdown_ack_sent()
    peer.give(wire.shutdown_complete_chunk(reflected=reflected), tag=peer.tag if theirs else None)
    peer.silent()
    if theirs == reflected:
        peer.expect_no_association()
    else:
        peer.wait()
        peer.expect(wire.ShutdownAck)


@runs("rfc-4460/2-42-01")
def test_an_init_to_nobody_with_an_unknown_parameter_is_not_accepted() -> None:
    peer = fresh(listening=False)
    peer.give(peer.init([Tlv(0, b"")]), tag=0)
    assert not any(isinstance(chunk, wire.InitAck) for chunk in peer.chunks())
