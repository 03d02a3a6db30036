"""Packets as bytes and as values: round trips, and arbitrary bytes."""

from __future__ import annotations

import enum
import ipaddress
import struct
from typing import Any

import google_crc32c
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trio_sctp._engine import wire
from trio_sctp._engine.wire import Tlv

U8 = st.integers(0, 2**8 - 1)
U16 = st.integers(0, 2**16 - 1)
U32 = st.integers(0, 2**32 - 1)
PORTS = st.integers(1, 2**16 - 1)
VALUES = st.binary(max_size=40)
OPTIONS = st.lists(st.builds(Tlv, U16, VALUES), max_size=6)


@st.composite
def datas(draw: st.DrawFn) -> tuple[wire.Chunk, bytes]:
    flags = draw(st.integers(0, 15))
    fields = draw(U32), draw(U16), draw(U16), draw(U32)
    payload = draw(st.binary(min_size=1, max_size=100))
    built = wire.data_chunk(*fields, payload, flags)
    value = wire.Data(*fields, bare(built), flags)
    assert value.payload == payload
    told = (value.last, value.first, value.unordered, value.immediate)
    assert told == (bool(flags & 1), bool(flags & 2), bool(flags & 4), bool(flags & 8))
    return value, built


@st.composite
def sacks(draw: st.DrawFn) -> tuple[wire.Chunk, bytes]:
    gaps = draw(st.lists(st.tuples(U16, U16), max_size=6))
    fields = draw(U32), draw(U32), gaps, draw(st.lists(U32, max_size=6))
    return wire.Sack(*fields), wire.sack_chunk(*fields)


def inits(cls: type[wire.Init]) -> st.SearchStrategy[tuple[wire.Chunk, bytes]]:
    made = st.builds(cls, U32, U32, U16, U16, U32, OPTIONS)
    return made.map(lambda init: (init, wire.init_chunk(init)))


def aborts(causes: list[Tlv], reflected: bool) -> tuple[wire.Chunk, bytes]:
    built = wire.abort_chunk(causes, reflected=reflected)
    return wire.Abort(causes, reflected, bare(built)[4:]), built


def reconfigs() -> st.SearchStrategy[tuple[wire.Chunk, bytes]]:
    streams = st.lists(U16, max_size=6).map(tuple)
    out = st.builds(wire.ReconfigRequest, st.just(13), U32, U32, U32, streams)
    into = st.builds(wire.ReconfigRequest, st.just(14), U32, streams=streams)
    whole = st.builds(wire.ReconfigRequest, st.just(15), U32)
    more_out, more_in = (
        st.builds(wire.ReconfigRequest, st.just(kind), U32, count=U16) for kind in (17, 18)
    )
    tsns = st.none() | st.tuples(U32, U32)
    responses = st.lists(st.builds(wire.ReconfigResponse, U32, U32, tsns), min_size=1, max_size=2)
    parts: st.SearchStrategy[Any] = st.one_of(
        st.tuples(st.just([]), st.tuples(out, into) | st.tuples(more_out, more_in)),
        st.tuples(st.just([]), st.tuples(st.one_of(out, into, whole, more_out, more_in))),
        st.tuples(responses, st.just(())),
        st.tuples(responses.map(lambda some: some[:1]), st.tuples(out)),
    )
    made = parts.map(lambda part: wire.Reconfig(part[0], list(part[1])))
    return made.map(lambda reconfig: (reconfig, wire.reconfig_chunk(reconfig)))


def length_of(chunk: bytes) -> int:
    return int.from_bytes(chunk[2:4], "big")


def bare(chunk: bytes) -> bytes:
    """A chunk without its padding."""
    return chunk[: length_of(chunk)]


ADDRESSES = st.ip_addresses().map(lambda address: wire.address_parameter(str(address)))
FLAGS = "last", "first", "unordered", "immediate"
PAIRS = st.lists(st.tuples(U16, U16), max_size=6)
NOT_KNOWN = U8.filter(lambda kind: kind not in set(wire.ChunkType))
KINDS: dict[str, st.SearchStrategy[tuple[wire.Chunk, bytes]]] = {
    "DATA": datas(),
    "INIT": inits(wire.Init),
    "INIT ACK": inits(wire.InitAck),
    "SACK": sacks(),
    "HEARTBEAT": VALUES.map(lambda info: (wire.Heartbeat(info), wire.heartbeat_chunk(info))),
    "HEARTBEAT ACK": VALUES.map(
        lambda info: (wire.HeartbeatAck(info), wire.heartbeat_chunk(info, ack=True))
    ),
    "ABORT": st.builds(aborts, OPTIONS, st.booleans()),
    "SHUTDOWN": U32.map(lambda tsn: (wire.Shutdown(tsn), wire.shutdown_chunk(tsn))),
    "SHUTDOWN ACK": st.just((wire.ShutdownAck(), wire.chunk(wire.ChunkType.SHUTDOWN_ACK))),
    "ERROR": OPTIONS.filter(bool).map(
        lambda causes: (wire.Error(causes), wire.error_chunk(causes))
    ),
    "COOKIE ECHO": VALUES.map(
        lambda cookie: (wire.CookieEcho(cookie), wire.chunk(wire.ChunkType.COOKIE_ECHO, cookie))
    ),
    "COOKIE ACK": st.just((wire.CookieAck(), wire.chunk(wire.ChunkType.COOKIE_ACK))),
    "SHUTDOWN COMPLETE": st.booleans().map(
        lambda t: (wire.ShutdownComplete(t), wire.shutdown_complete_chunk(reflected=t))
    ),
    "FORWARD TSN": st.tuples(U32, PAIRS).map(
        lambda fields: (wire.ForwardTsn(*fields), wire.forward_tsn_chunk(*fields))
    ),
    "ASCONF": st.tuples(U32, ADDRESSES, OPTIONS).map(
        lambda fields: (wire.Asconf(*fields), wire.asconf_chunk(*fields))
    ),
    "ASCONF ACK": st.tuples(U32, OPTIONS).map(
        lambda fields: (wire.AsconfAck(*fields), wire.asconf_ack_chunk(*fields))
    ),
    "RE-CONFIG": reconfigs(),
    "ECNE": U32.map(lambda tsn: (wire.Ecne(tsn), wire.ecne_chunk(tsn))),
    "CWR": U32.map(lambda tsn: (wire.Cwr(tsn), wire.cwr_chunk(tsn))),
    "unknown": st.tuples(NOT_KNOWN, VALUES, U8).map(
        lambda f: (wire.UnknownChunk(f[0], bare(wire.chunk(*f))), wire.chunk(*f))
    ),
}
CHUNKS = st.one_of(*KINDS.values())


def sealed(body: bytes) -> bytes:
    return wire.seal(1, 2, 3, [body])


def parsed(body: bytes) -> wire.Packet:
    packet = wire.parse_packet_untrusted(sealed(body))
    assert isinstance(packet, wire.Packet)
    return packet


# -- round trips -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_chunk_is_parsed_as_what_it_was_built_from(kind: str) -> None:
    @given(KINDS[kind])
    def check(pair: tuple[wire.Chunk, bytes]) -> None:
        value, built = pair
        assert len(built) % 4 == 0
        packet = parsed(built)
        assert packet.chunks == [value]
        assert not packet.truncated

    check()


@given(PORTS, PORTS, U32, st.lists(CHUNKS, min_size=1, max_size=6))
def test_a_packet_is_parsed_as_what_it_was_built_from(
    source: int, destination: int, tag: int, chunks: list[tuple[wire.Chunk, bytes]]
) -> None:
    data = wire.seal(source, destination, tag, [built for _, built in chunks])
    packet = wire.parse_packet_untrusted(data)
    assert isinstance(packet, wire.Packet)
    assert (packet.source_port, packet.destination_port, packet.tag) == (source, destination, tag)
    assert packet.chunks == [value for value, _ in chunks]
    assert not packet.truncated


@given(OPTIONS)
def test_parameters_and_causes(options: list[Tlv]) -> None:
    built = wire.tlvs(options)
    assert wire.parse_tlvs_untrusted(built) == options
    # It must not matter whether a peer counts the padding of the last one (3.2).
    assert wire.parse_tlvs_untrusted(built + bytes(-len(built) & 3)) == options


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
@example(ipaddress.ip_address("255.255.255.255"))
@example(ipaddress.ip_address("0.0.0.0"))
@example(ipaddress.ip_address("0.1.2.3"))
@example(ipaddress.ip_address("240.0.0.1"))
@example(ipaddress.ip_address("ff02::1"))
@example(ipaddress.ip_address("::ffff:192.0.2.1"))
def test_an_address_is_read_as_it_was_written(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    read = wire.address_untrusted(wire.address_parameter(str(address)))
    nobody = address.is_multicast or address.is_unspecified
    if isinstance(address, ipaddress.IPv4Address):
        nobody |= not 0 < int(address) >> 24 < 240
    else:
        nobody |= address.ipv4_mapped is not None
    if nobody:
        assert read is None
    else:
        assert read == str(address)


@given(U16, VALUES)
def test_an_address_has_its_size(kind: int, value: bytes) -> None:
    address = wire.address_untrusted(Tlv(kind, value))
    assert address is None or (kind, len(value)) in ((5, 4), (6, 16))


@given(U16, VALUES)
def test_an_unknown_parameter_is_reported_whole(kind: int, value: bytes) -> None:
    report = wire.unrecognized(Tlv(kind, value))
    assert report.type == wire.ParameterType.UNRECOGNIZED
    assert wire.parse_tlvs_untrusted(report.value) == [Tlv(kind, value)]


@given(U16, U16, VALUES, st.lists(CHUNKS, max_size=3), st.lists(CHUNKS, max_size=3))
def test_an_auth_chunk_covers_itself_without_its_hmac_and_all_that_follows(
    key: int,
    hmac: int,
    mac: bytes,
    before: list[tuple[wire.Chunk, bytes]],
    behind: list[tuple[wire.Chunk, bytes]],
) -> None:
    """RFC 4895 section 6.2."""
    rest = b"".join(built for _, built in behind)
    first = b"".join(built for _, built in before)
    packet = parsed(first + wire.auth_chunk(key, hmac, mac) + rest)
    auth = packet.chunks[len(before)]
    assert isinstance(auth, wire.Auth)
    assert (auth.key, auth.hmac, auth.mac) == (key, hmac, mac)
    assert auth.covered == wire.auth_chunk(key, hmac, bytes(len(mac))) + rest
    kinds = [*(built[0] for _, built in before), 15, *(built[0] for _, built in behind)]
    assert wire.chunk_types_untrusted(auth.packet) == kinds


# -- the wire ----------------------------------------------------------------------------------


def test_the_checksum_is_the_one_of_the_rfc() -> None:
    """CRC32c, whose check value every catalogue has."""
    assert google_crc32c.value(b"123456789") == 0xE3069283


def test_the_checksums_least_significant_byte_is_first() -> None:
    """RFC 9260, appendix A: the only field that is not in network byte order."""
    data = wire.seal(0x1234, 0x5678, 0x9ABCDEF0, [wire.chunk(wire.ChunkType.COOKIE_ACK)])
    assert data[:8] == bytes.fromhex("12345678 9abcdef0")
    assert data[12:] == bytes.fromhex("0b000004")
    checksum = google_crc32c.value(data[:8] + bytes(4) + data[12:])
    assert data[8:12] == checksum.to_bytes(4, "little")


NUMBERS: dict[type[enum.IntEnum], dict[int, str]] = {
    wire.ChunkType: {
        # Table 1, section 3.2
        0: "DATA",
        1: "INIT",
        2: "INIT_ACK",
        3: "SACK",
        4: "HEARTBEAT",
        5: "HEARTBEAT_ACK",
        6: "ABORT",
        7: "SHUTDOWN",
        8: "SHUTDOWN_ACK",
        9: "ERROR",
        10: "COOKIE_ECHO",
        11: "COOKIE_ACK",
        12: "ECNE",
        13: "CWR",
        14: "SHUTDOWN_COMPLETE",
        15: "AUTH",  # RFC 4895 section 4.1
        64: "I_DATA",  # RFC 8260 section 5.1
        128: "ASCONF_ACK",  # RFC 5061 section 4.1
        130: "RE_CONFIG",  # RFC 6525 section 3.1
        132: "PAD",  # RFC 4820 section 3
        192: "FORWARD_TSN",  # RFC 3758 section 3.2
        193: "ASCONF",  # RFC 5061 section 4.1
        194: "I_FORWARD_TSN",  # RFC 8260 section 5.2
    },
    wire.ParameterType: {
        # Tables 2 to 5, sections 3.3.2 to 3.3.5
        1: "HEARTBEAT_INFO",
        5: "IPV4_ADDRESS",
        6: "IPV6_ADDRESS",
        7: "STATE_COOKIE",
        8: "UNRECOGNIZED",
        9: "COOKIE_PRESERVATIVE",
        11: "HOST_NAME",
        12: "SUPPORTED_ADDRESS_TYPES",
        0x8000: "ECN_CAPABLE",
        0x8002: "RANDOM",  # RFC 4895 section 3
        0x8003: "CHUNK_LIST",
        0x8004: "HMAC_ALGORITHMS",
        0x8005: "PADDING",  # RFC 4820 section 4
        0x8008: "SUPPORTED_EXTENSIONS",  # RFC 5061 section 4.2.7
        0xC000: "FORWARD_TSN_SUPPORTED",  # RFC 3758 section 3.1
        0xC006: "ADAPTATION_INDICATION",  # RFC 5061 section 4.2.6
    },
    wire.ReconfigParameter: {
        # RFC 6525, table 2
        13: "OUTGOING_RESET",
        14: "INCOMING_RESET",
        15: "ASSOCIATION_RESET",
        16: "RESPONSE",
        17: "ADD_OUTGOING",
        18: "ADD_INCOMING",
    },
    wire.Cause: {
        # Table 7, section 3.3.10
        1: "INVALID_STREAM",
        2: "MISSING_PARAMETER",
        3: "STALE_COOKIE",
        4: "OUT_OF_RESOURCE",
        5: "UNRESOLVABLE_ADDRESS",
        6: "UNRECOGNIZED_CHUNK",
        7: "INVALID_PARAMETER",
        8: "UNRECOGNIZED_PARAMETERS",
        9: "NO_USER_DATA",
        10: "COOKIE_WHILE_SHUTTING_DOWN",
        11: "RESTART_WITH_NEW_ADDRESSES",
        12: "USER_INITIATED_ABORT",
        13: "PROTOCOL_VIOLATION",
        14: "RESTART_WITH_NEW_ENCAPSULATION_PORT",  # RFC 6951 section 5.3
        0x0105: "UNSUPPORTED_HMAC",  # RFC 4895 section 4.1
        # RFC 5061 section 4.3
        0xA0: "DELETE_LAST_ADDRESS",
        0xA1: "RESOURCE_SHORTAGE",
        0xA2: "DELETE_SOURCE_ADDRESS",
        0xA3: "ILLEGAL_ASCONF_ACK",
        0xA4: "NO_AUTHORIZATION",
    },
    wire.AsconfParameter: {
        # RFC 5061 section 4.2
        0xC001: "ADD_ADDRESS",
        0xC002: "DELETE_ADDRESS",
        0xC003: "ERROR",
        0xC004: "SET_PRIMARY",
        0xC005: "SUCCESS",
    },
}


@pytest.mark.parametrize("kind", NUMBERS, ids=lambda kind: kind.__name__)
def test_numbers_are_those_of_the_rfcs(kind: type[enum.IntEnum]) -> None:
    assert {number.value: name for name, number in kind.__members__.items()} == NUMBERS[kind]


def test_flags_are_those_of_the_rfcs() -> None:
    """Section 3.3.1: E, B, U; RFC 7053 section 3: I; sections 3.3.7 and 3.3.13: T."""
    for flag, field in [(1, "last"), (2, "first"), (4, "unordered"), (8, "immediate")]:
        chunk = wire.chunk(0, bytes(12) + b"x", flag)
        (data,) = parsed(chunk).chunks
        assert [name for name in FLAGS if getattr(data, name)] == [field]
        assert wire.data_chunk(0, 0, 0, 0, b"x", flag) == chunk
    for kind in 6, 14:
        for flag in range(4):
            (end,) = parsed(wire.chunk(kind, b"", flag)).chunks
            assert isinstance(end, wire.Abort | wire.ShutdownComplete)
            assert end.reflected is bool(flag & 1)


def test_a_packet_of_another_implementation() -> None:
    """Byte by byte: an INIT as section 3.3.2 draws it, with a checksum computed bit by bit."""
    body = bytes.fromhex("01000014 01020304 00010000 000a 0800 0a0b0c0d".replace(" ", ""))
    head = bytes.fromhex("0b59 0b59 00000000".replace(" ", ""))
    crc = 0xFFFFFFFF
    for byte in head + bytes(4) + body:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    packet = wire.parse_packet_untrusted(head + struct.pack("<I", crc ^ 0xFFFFFFFF) + body)
    init = wire.Init(0x01020304, 65536, 10, 2048, 0x0A0B0C0D, [])
    assert packet == wire.Packet(2905, 2905, 0, [init])


# -- whatever bytes ----------------------------------------------------------------------------

_VALUES = (
    wire.Data,
    wire.Init,
    wire.Sack,
    wire.Heartbeat,
    wire.HeartbeatAck,
    wire.Abort,
    wire.Shutdown,
    wire.ShutdownAck,
    wire.Error,
    wire.CookieEcho,
    wire.CookieAck,
    wire.ShutdownComplete,
    wire.ForwardTsn,
    wire.Auth,
    wire.Reconfig,
    wire.Ecne,
    wire.Cwr,
    wire.UnknownChunk,
    wire.BadChunk,
    wire.Asconf,
    wire.AsconfAck,
)


def check_typed(data: bytes) -> wire.Packet | wire.Malformed:
    """Check that parsing does not raise, and returns chunks of the known types."""
    packet = wire.parse_packet_untrusted(data)
    if isinstance(packet, wire.Malformed):
        return packet
    assert isinstance(packet, wire.Packet)
    assert len(packet.chunks) <= (len(data) - wire.HEADER_SIZE) // 4
    for chunk in packet.chunks:
        assert isinstance(chunk, _VALUES)
        if isinstance(chunk, (wire.UnknownChunk, wire.BadChunk)):
            assert len(chunk.raw) == length_of(chunk.raw)
            assert chunk.raw[0] == chunk.type
            assert (chunk.type in set(wire.ChunkType)) or isinstance(chunk, wire.UnknownChunk)
    return packet


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    packet = check_typed(data)
    if len(data) < 16:
        assert packet is wire.Malformed.TOO_SHORT


@given(st.binary(min_size=4, max_size=200))
def test_any_bytes_behind_a_header(body: bytes) -> None:
    assert isinstance(check_typed(sealed(body)), wire.Packet)


@given(st.lists(CHUNKS, min_size=1, max_size=4), st.data())
def test_what_is_cut_off(chunks: list[tuple[wire.Chunk, bytes]], data: st.DataObject) -> None:
    body = b"".join(built for _, built in chunks)
    cut = data.draw(st.integers(4, len(body)))
    packet = check_typed(sealed(body[:cut]))
    assert isinstance(packet, wire.Packet)
    whole = [value for value, _ in chunks]
    assert packet.chunks == whole[: len(packet.chunks)]
    # Missing padding of the last chunk is forgiven; half a chunk is not taken.
    assert packet.truncated == (len(packet.chunks) < len(whole) and cut > _end(chunks, packet))


def _end(chunks: list[tuple[wire.Chunk, bytes]], packet: wire.Packet) -> int:
    return sum(len(built) for _, built in chunks[: len(packet.chunks)])


@given(st.lists(CHUNKS, min_size=1, max_size=4), st.data())
def test_flipped_bits_under_a_right_checksum(
    chunks: list[tuple[wire.Chunk, bytes]], data: st.DataObject
) -> None:
    body = bytearray().join(built for _, built in chunks)
    for bit in data.draw(st.lists(st.integers(0, 8 * len(body) - 1), min_size=1, max_size=8)):
        body[bit // 8] ^= 1 << bit % 8
    assert isinstance(check_typed(sealed(bytes(body))), wire.Packet)


@given(st.lists(CHUNKS, min_size=1, max_size=4), st.data())
def test_a_flipped_bit_is_noticed(
    chunks: list[tuple[wire.Chunk, bytes]], data: st.DataObject
) -> None:
    packet = bytearray(sealed(b"".join(built for _, built in chunks)))
    bit = data.draw(st.integers(0, 8 * len(packet) - 1))
    packet[bit // 8] ^= 1 << bit % 8
    assert wire.parse_packet_untrusted(bytes(packet)) is wire.Malformed.CHECKSUM


@pytest.mark.parametrize(("source", "destination"), [(0, 1), (1, 0), (0, 0)])
def test_port_0_is_no_port(source: int, destination: int) -> None:
    data = wire.seal(source, destination, 1, [wire.chunk(wire.ChunkType.COOKIE_ACK)])
    assert wire.parse_packet_untrusted(data) is wire.Malformed.PORT


@pytest.mark.parametrize("length", [0, 1, 2, 3, 9, 65535])
def test_a_chunk_with_an_impossible_length_ends_the_packet(length: int) -> None:
    good = wire.chunk(wire.ChunkType.COOKIE_ACK)
    packet = parsed(good + struct.pack("!BBHI", 6, 0, length, 0))
    assert packet.chunks == [wire.CookieAck()]
    assert packet.truncated


@given(VALUES)
@example(b"\0\1\0\3")
@example(b"\0\1\0\5")
@example(b"\0\1\0")
def test_parameters_end_where_the_lengths_say(data: bytes) -> None:
    options = wire.parse_tlvs_untrusted(data)
    if options is not None:
        # Every byte is in one of the chunks, or is padding, whose value means nothing.
        sizes = [4 + len(option.value) for option in options]
        padded = sum(size + (-size & 3) for size in sizes)
        assert padded - 3 <= len(data) <= padded or data == b""


@pytest.mark.parametrize("kind", sorted(set(range(256)) - set(wire.ChunkType)))
def test_unknown_types_say_by_their_high_bits_what_to_do(kind: int) -> None:
    """Section 3.2: 00 stop, 01 stop and report, 10 skip, 11 skip and report."""
    (chunk,) = parsed(wire.chunk(kind, b"abc", 0xFF)).chunks
    assert isinstance(chunk, wire.UnknownChunk)
    assert chunk.raw == bytes([kind, 0xFF, 0, 7]) + b"abc"
    assert (chunk.stop, chunk.report) == (
        (True, False),
        (True, True),
        (False, False),
        (False, True),
    )[kind >> 6]


@pytest.mark.parametrize("length", range(16, 24))
def test_data_without_user_data(length: int) -> None:
    (chunk,) = parsed(wire.chunk(0, bytes(length - 4))).chunks
    if length == 16:
        assert chunk == wire.BadChunk(0, "no user data", bytes([0, 0, 0, 16]) + bytes(12))
    else:
        assert isinstance(chunk, wire.Data)
        assert len(chunk.payload) == length - 16


@pytest.mark.parametrize(
    "chunk",
    [
        wire.chunk(0, bytes(11)),
        wire.chunk(1, bytes(15)),
        wire.chunk(2, bytes(16) + b"\0\1\0\3"),
        wire.chunk(3, bytes(11)),
        wire.chunk(3, bytes(8) + b"\0\1\0\0"),
        wire.chunk(3, bytes(8) + b"\xff\xff\xff\xff"),
        wire.chunk(3, bytes(16)),
        wire.chunk(4),
        wire.chunk(5, b"\0\2\0\4"),
        wire.chunk(7, bytes(3)),
        wire.chunk(7, bytes(5)),
        wire.chunk(9),
        wire.chunk(9, b"\0\1\0\5"),
        wire.chunk(192, bytes(3)),
        wire.chunk(192, bytes(6)),
    ],
)
def test_contents_that_make_no_sense(chunk: bytes) -> None:
    (bad,) = parsed(chunk).chunks
    assert isinstance(bad, wire.BadChunk)
    assert bad.type == chunk[0]
    assert bad.raw == bare(chunk)


@given(VALUES)
def test_an_abort_is_one_whatever_its_causes(causes: bytes) -> None:
    (abort,) = parsed(wire.chunk(wire.ChunkType.ABORT, causes)).chunks
    assert isinstance(abort, wire.Abort)
    assert abort.raw_causes == causes
