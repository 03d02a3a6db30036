"""Ladders as text: rungs, labels, titles, and what fits into a line."""

from __future__ import annotations

import importlib
import re
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

from trio_sctp._engine import wire
from trio_sctp._engine.wire import ChunkType, Tlv
from trio_sctp._ladder.capture import Capture
from trio_sctp._ladder.chart import CapturedPacket, draw
from trio_sctp._ladder.text import text

from ..support.ladders import A2, B2, TAG, A, B, C, data, init, init_ack, packet, sack

dpkt: Any = importlib.import_module("dpkt")


def ladder(
    packets: list[CapturedPacket], titles: dict[str, str] | None = None, start: float = 0.0
) -> str:
    """Packets of a simulation, as text."""
    return text(draw(packets, titles or {}, start, infer=False))


def drawn(text: str) -> list[str]:
    """Lines, of which those that end in a backslash go on in the next one."""
    return textwrap.dedent(text).replace("\\\n", "").strip("\n").splitlines()


def labels(*packets: CapturedPacket) -> list[str]:
    """What stands beside the rungs between two hosts."""
    lines = ladder([*packets]).splitlines()
    return [line.split("|  ", 1)[1] for line in lines if "|  " in line]


def test_an_association() -> None:
    cookie, cookie_ack = wire.chunk(ChunkType.COOKIE_ECHO, b"c"), wire.chunk(ChunkType.COOKIE_ACK)
    packets = [
        packet(A, B, init(2**32 - 1), time=100.0),
        packet(B, A, init_ack(50), time=100.02),
        packet(A, B, cookie, data(2**32 - 1), time=100.04),
        packet(B, A, cookie_ack, wire.sack_chunk(2**32 - 1, 900, [], []), time=100.06),
        packet(A, B, data(0, ppid=46), time=101.0, comment="dropped: lost"),
        packet(B, A, data(50), comment="duplicated", time=101.5),
        packet(A, B, data(0, ppid=46), time=102.0),
        packet(A, B, wire.shutdown_chunk(50), time=1000.0),
    ]
    assert ladder(packets, {A: "gnb", B: "amf"}, 100.0).splitlines() == drawn(
        """
        seconds  gnb       amf
          0.000  |-------->|  INIT streams 10/2048
          0.020  |<--------|  INIT ACK streams 5/10
          0.040  |-------->|  COOKIE ECHO, DATA 1 stream 3 b'x'
          0.060  |<--------|  COOKIE ACK, SACK 1 rwnd 900
          1.000  |----X    |  DATA 2 stream 3 ppid 46 DIAMETER b'x' [dropped: lost]
          1.500  |<--------|  DATA 1 stream 3 b'x' [duplicated]
          2.000  |-------->|  DATA 2 again stream 3 ppid 46 DIAMETER b'x'
        900.000  |-------->|  SHUTDOWN 1
        """
    )


def test_a_shutdown_where_there_was_no_user_data_acknowledges_nothing() -> None:
    packets = [
        packet(A, B, init(50, tag=1), tag=0, time=0.0),
        packet(B, A, init_ack(100, tag=2), tag=1, time=0.1),
        packet(A, B, wire.shutdown_chunk(99), tag=2, time=0.2),
    ]
    assert ladder(packets, {A: "gnb", B: "amf"}, 0.0).splitlines()[-1].endswith("|  SHUTDOWN")


def test_arrows_lead_past_other_hosts_and_stop_halfway_if_dropped() -> None:
    heartbeat = wire.heartbeat_chunk(b"h")
    packets = [
        packet(A, B, heartbeat),
        packet(C, B, heartbeat),
        packet(C, A, heartbeat),
        packet(A, C, heartbeat, comment="dropped: the link is down"),
        packet(C, A, heartbeat, comment="dropped: the link is down"),
        packet(B, B, heartbeat),
        packet(B, B, heartbeat, comment="dropped: lost"),
    ]
    lines = ladder(packets, {A: "one", B: "the second", C: "three"}).splitlines()
    titles = "seconds  one         the second  three"
    assert [line.partition("  #")[0] for line in lines[lines.index(titles) :]] == drawn(
        """
        seconds  one         the second  three
          0.000  |---------->|           |
          0.000  |           |<----------|
          0.000  |<----------------------|
          0.000  |-----------X           |
          0.000  |           X-----------|
          0.000  |           o           |
          0.000  |           X           |
        """
    )


def test_without_the_handshake_tsns_count_from_the_first_that_is_seen() -> None:
    assert labels(
        packet(A, B, data(1000)),
        packet(A, B, data(999)),
        packet(B, A, wire.sack_chunk(1001, 1500, [(2, 3), (5, 5)], [999])),
        packet(A, B, wire.forward_tsn_chunk(1004, [])),
    ) == [
        "DATA 1 stream 3 b'x'",
        "DATA 0 stream 3 b'x'",
        "SACK 2 also 4-5 7-7 rwnd 1500 twice 0",
        "FORWARD TSN 5",
    ]


def test_a_restart_is_an_association_of_its_own_which_counts_anew() -> None:
    assert labels(
        packet(A, B, init(5), tag=0),
        packet(A, B, data(5)),
        packet(A, B, init(5), tag=0),
        packet(A, B, data(5)),
        packet(A, B, init(1005, tag=9), tag=0),
        packet(A, B, data(1005), tag=8),
    ) == [
        "#1 INIT streams 10/2048",
        "#1 DATA 1 stream 3 b'x'",
        "#1 INIT again streams 10/2048",
        "#1 DATA 1 again stream 3 b'x'",
        "#2 INIT streams 10/2048 [restart of association 1]",
        "#2 DATA 1 stream 3 b'x'",
    ]


def test_user_data() -> None:
    assert labels(
        packet(A, B, data(1, b"begins" * 3, flags=wire.FIRST)),
        packet(A, B, data(2, bytes(range(16)), flags=0)),
        packet(A, B, data(3, bytes(1000), flags=wire.LAST | wire.UNORDERED)),
        packet(A, B, data(4, b"a\tline\r\n")),
    ) == [
        "DATA 1 begin stream 3 b'beginsbeginsbegi'... 18 bytes",
        "DATA 2 middle stream 3 000102030405060708090a0b0c0d0e0f",
        "DATA 3 end unordered 00000000000000000000000000000000... 1000 bytes",
        r"DATA 4 stream 3 b'a\tline\r\n'",
    ]


def test_other_chunks() -> None:
    invalid = Tlv(wire.Cause.INVALID_STREAM, b"\0\1\0\0")
    reason = Tlv(wire.Cause.USER_INITIATED_ABORT, b"going home")
    packets = [
        packet(A, B, wire.abort_chunk([reason])),
        packet(A, B, wire.abort_chunk()),
        packet(A, B, wire.error_chunk([invalid, reason])),
        packet(A, B, wire.shutdown_complete_chunk()),
        packet(A, B, wire.heartbeat_chunk(b"h", ack=True)),
        packet(A, B, init(1, A, B2), tag=0),
        packet(A, B, wire.pad_chunk(8), wire.chunk(99)),
        packet(A, B, wire.chunk(ChunkType.SHUTDOWN)),
        packet(A, B, *[wire.chunk(ChunkType.COOKIE_ACK)] * 9),
    ]
    assert [label for one in packets for label in labels(one)] == [
        "ABORT: user-initiated abort b'going home'",
        "ABORT",
        "ERROR: invalid stream identifier, user-initiated abort b'going home'",
        "SHUTDOWN COMPLETE",
        "HEARTBEAT ACK",
        "INIT streams 10/2048 addresses 10.0.0.1 10.1.0.2",
        "PAD, chunk of type 99",
        "SHUTDOWN malformed (wrong length)",
        ", ".join(["COOKIE ACK"] * 7) + ", and 2 more chunks",
    ]


def test_what_is_no_packet() -> None:
    good = packet(A, B, data(1))
    assert labels(
        good._replace(data=b"x"),
        good._replace(data=good.data[:-1] + b"?"),
        packet(A, B, data(1), b"rest"),
    ) == [
        "no SCTP packet: shorter than a header and a chunk",
        "DATA stream 3 b'x' [wrong CRC32c]",
        "DATA 1 stream 3 b'x' [and bytes that are no chunk]",
    ]


def test_paths_and_associations_are_told_apart_where_there_are_several() -> None:
    shown = ladder(
        [
            packet(A, B, data(1)),
            packet(A, B2, data(1)),
            packet(A, C, data(1), ports=(5000, 2905)),
            packet(C, A, data(7), ports=(2905, 5000)),
            packet(A, C, data(7), ports=(5001, 2905)),
            packet(B2, C, data(1)),
            packet(B, C, data(9))._replace(data=b"x"),
        ],
        {B: "two", B2: "two"},
    )
    assert shown.splitlines() == drawn(
        """
        #1  10.0.0.1:2905 > 10.0.0.2 10.1.0.2:2905: 2 packets, 0.000 to 0.000 s, began earlier
        #2  10.0.0.1:5000 > 10.0.0.3:2905: 2 packets, 0.000 to 0.000 s, began earlier
        #3  10.0.0.1:5001 > 10.0.0.3:2905: 1 packet, 0.000 to 0.000 s, began earlier
        #4  10.1.0.2:2905 > 10.0.0.3:2905: 1 packet, 0.000 to 0.000 s, began earlier
        two: 1 is 10.0.0.2, 2 is 10.1.0.2
        seconds  10.0.0.1     two          10.0.0.3
                              1  2
          0.000  |----------->|  |         |  #1 DATA 1 stream 3 b'x'
          0.000  |-------------->|         |  #1 DATA 1 again stream 3 b'x' \\
        [path change: now 10.0.0.1 > 10.1.0.2]
          0.000  |------------------------>|  #2 DATA 1 stream 3 b'x'
          0.000  |<------------------------|  #2 DATA 1 stream 3 b'x'
          0.000  |------------------------>|  #3 DATA 1 stream 3 b'x'
          0.000  |            |  |-------->|  #4 DATA 1 stream 3 b'x'
          0.000  |            |----------->|  no SCTP packet: shorter than a header and a chunk
        """
    )


def test_nothing() -> None:
    assert ladder([]) == "seconds"


# -- lines that are too long -----------------------------------------------------------------------


def long_ones() -> list[CapturedPacket]:
    return [
        packet(A, B, init(1, A, A2), tag=0),
        packet(A, B, data(1, b"y" * 99), data(2, b"z" * 99), comment="dropped: lost"),
        packet(A2, B2, data(2, b"z" * 99)),
        packet(C, B, wire.heartbeat_chunk(b"h"), ports=(1, 2)),
    ]


@pytest.mark.parametrize("width", range(40, 140))
def test_a_ladder_fits(width: int) -> None:
    lines = text(draw(long_ones(), infer=True), width).splitlines()
    assert max(map(len, lines)) <= width
    words = " ".join(" ".join(lines).replace("|", " ").split())
    for word in ("addresses", "10.1.0.1", "DATA", "dropped:", "HEARTBEAT"):
        assert word in words


def test_what_goes_on_stands_below_between_the_bars() -> None:
    hosts = {A: "one", A2: "one", B: "two", B2: "two"}
    lines = text(draw(long_ones()[:2], hosts, 0.0, infer=False), 60).splitlines()
    assert lines == drawn(
        """
        seconds  one       two
          0.000  |-------->|  INIT streams 10/2048 addresses
                 |         |    10.0.0.1 10.1.0.1
          0.000  |----X    |  DATA 1 stream 3
                 |         |    b'yyyyyyyyyyyyyyyy'... 99 bytes,
                 |         |    DATA 2 stream 3
                 |         |    b'zzzzzzzzzzzzzzzz'... 99 bytes
                 |         |    [dropped: lost]
        """
    )


def test_where_lines_do_not_fit_the_packets_are_listed() -> None:
    lines = text(draw(long_ones()[:3], infer=True), 50).splitlines()
    assert lines[:4] == drawn(
        """
        seconds
          0.000  10.0.0.1:2905 > 10.0.0.2:2905:
                   INIT streams 10/2048 addresses 10.0.0.1
                   10.1.0.1
        """
    )


def test_many_hosts_are_listed_whatever_the_width() -> None:
    packets = [packet(f"10.9.9.{n}", B, data(1), tag=n) for n in range(1, 30)]
    lines = text(draw(packets, infer=True)).splitlines()
    assert (
        lines[0] == "#1  10.9.9.1:2905 > 10.0.0.2:2905: 1 packet, 0.000 to 0.000 s, began earlier"
    )
    assert lines[20:23] == [
        "and 9 more associations",
        "seconds",
        "  0.000  10.9.9.1:2905 > 10.0.0.2:2905: #1 DATA 1 stream 3 b'x'",
    ]


def test_long_titles_are_shortened_and_told_in_full() -> None:
    one, other = "2001:db8:1234:5678:9abc:def0:1234:5678", "fd00::1"
    lines = ladder([packet(one, other, data(1))]).splitlines()
    assert lines == drawn(
        f"""
        2001:db8:1...:1234:5678 is {one}
        seconds  2001:db8:1...:1234:5678  fd00::1
          0.000  |----------------------->|  DATA 1 stream 3 b'x'
        """
    )


def test_a_loss_that_is_inferred_has_another_sign_than_one_that_is_known() -> None:
    packets = [packet(A, B, data(1)), packet(A, B, data(1), comment="dropped: lost")]
    lines = text(draw([*packets, packet(A, B, data(1), time=9.0)], infer=True)).splitlines()
    assert lines == drawn(
        """
        seconds  10.0.0.1  10.0.0.2
          0.000  |----?--->|  DATA 1 stream 3 b'x' [lost? sent again]
          0.000  |----X    |  DATA 1 again stream 3 b'x' [dropped: lost]
          9.000  |-------->|  DATA 1 again stream 3 b'x'
        """
    )


def test_a_ppid_in_the_wrong_byte_order_is_pointed_out() -> None:
    assert labels(packet(A, B, data(1, ppid=60 << 24)), packet(A, B, data(2, ppid=4711))) == [
        "DATA 1 stream 3 ppid 1006632960 (NGAP in the wrong byte order?) b'x'",
        "DATA 2 stream 3 ppid 4711 b'x'",
    ]


def u16(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(2, "big") for number in numbers)


def u32(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in numbers)


def address(host: bytes) -> bytes:
    return wire.tlv(5 if len(host) == 4 else 6, host)


ASSOCIATION = [packet(A, B, init(50, tag=9), tag=0), packet(B, A, init_ack(100, tag=8), tag=9)]


def said(*chunks: bytes) -> list[str]:
    """What is said of these chunks, which A sends to B on an association."""
    lines = ladder([*ASSOCIATION, *(packet(A, B, chunk, tag=8) for chunk in chunks)]).splitlines()
    return [line.split("|  ", 1)[1] for line in lines[-len(chunks) :]]


def test_addresses_that_change() -> None:
    """RFC 5061."""
    own = address(bytes([10, 0, 0, 1]))
    first = address(bytes([10, 0, 0, 9]))
    second = address(bytes(15) + b"\1")
    assert said(
        wire.chunk(193, u32(50) + own + wire.tlv(0xC001, u32(1) + first)),
        wire.chunk(
            193,
            u32(51)
            + own
            + wire.tlv(0xC002, u32(1) + first)
            + wire.tlv(0xC004, u32(2) + second)
            + wire.tlv(0xBEEF, b"?"),
        ),
        wire.chunk(193, u32(52) + own + wire.tlv(0xC002, bytes(3))),
        wire.chunk(128, u32(50)),
        wire.chunk(128, u32(51) + wire.tlv(0xC005, u32(1))),
        wire.chunk(128, u32(52) + wire.tlv(0xC003, u32(1) + wire.tlv(0xA0, b""))),
        wire.chunk(128, bytes(3)),
    ) == [
        "ASCONF add 10.0.0.9",
        "ASCONF delete 10.0.0.9, make primary ::1",
        "ASCONF delete an address",
        "ASCONF ACK",
        "ASCONF ACK",
        "ASCONF ACK request to delete last remaining IP address",
        "ASCONF ACK malformed (too short)",
    ]


def test_streams_that_are_reset_and_added() -> None:
    """RFC 6525."""
    assert said(
        wire.chunk(130, wire.tlv(13, u32(50, 100, 52) + u16(3, 4))),
        wire.chunk(130, wire.tlv(13, u32(51, 100, 49))),
        wire.chunk(130, wire.tlv(14, u32(52) + u16(7))),
        wire.chunk(130, wire.tlv(14, u32(53))),
        wire.chunk(130, wire.tlv(15, u32(54))),
        wire.chunk(130, wire.tlv(17, u32(55) + u16(12, 0)) + wire.tlv(18, u32(56) + u16(1, 0))),
        wire.chunk(130, wire.tlv(16, u32(100, 1)) + wire.tlv(13, u32(57, 100, 60) + u16(0))),
        wire.chunk(130, wire.tlv(16, u32(101, 6))),
        wire.chunk(130, wire.tlv(16, u32(102, 99, 7, 8))),
        wire.chunk(130, wire.tlv(17, u32(58)) + wire.tlv(99, u32(1))),
        wire.chunk(130, b"\0\x10\0\xff"),
    ) == [
        "RE-CONFIG reset outgoing streams 3 4 after TSN 3",
        "RE-CONFIG reset all outgoing streams",
        "RE-CONFIG reset incoming streams 7",
        "RE-CONFIG reset all incoming streams",
        "RE-CONFIG reset all streams and TSNs",
        "RE-CONFIG add 12 outgoing streams, add 1 incoming streams",
        "RE-CONFIG answer: done, reset outgoing streams 0 after TSN 11",
        "RE-CONFIG answer: in progress",
        "RE-CONFIG answer: result 99",
        "RE-CONFIG parameter 17, parameter 99",
        "RE-CONFIG",
    ]


def test_tsns_that_are_reset_count_anew() -> None:
    done = wire.chunk(130, wire.tlv(16, u32(50, 1, 7000, 2**31)))
    refused = wire.chunk(130, wire.tlv(16, u32(50, 2, 100, 50)))
    lines = ladder(
        [
            *ASSOCIATION,
            packet(A, B, data(50), tag=8),
            packet(B, A, sack(50), refused, tag=9),
            packet(A, B, wire.chunk(130, wire.tlv(15, u32(51))), tag=8),
            packet(B, A, done, tag=9),
            packet(B, A, data(7000), tag=9),
            packet(A, B, sack(7000), data(2**31), tag=8),
            packet(B, A, done, tag=9),
            packet(A, B, data(2**31 + 1), tag=8),
        ]
    ).splitlines()
    assert [line.split("|  ", 1)[1] for line in lines[-8:]] == [
        "DATA 1 stream 3 b'x'",
        "SACK 1 rwnd 1500, RE-CONFIG answer: denied",
        "RE-CONFIG reset all streams and TSNs",
        "RE-CONFIG answer: done",
        "DATA 1 stream 3 b'x'",
        "SACK 1 rwnd 1500, DATA 1 stream 3 b'x'",
        "RE-CONFIG answer: done",
        "DATA 2 stream 3 b'x'",
    ]


def test_messages_that_are_interleaved_or_given_up() -> None:
    """RFC 8260 and RFC 3758."""
    first = u32(50) + u16(3, 0) + u32(7, 46) + b"be"
    other = u32(51) + u16(4, 0) + u32(7, 1) + b"gin"
    assert said(
        wire.chunk(64, first, wire.FIRST),
        wire.chunk(64, other, wire.LAST | wire.UNORDERED),
        wire.chunk(64, u32(52) + u16(3, 0) + u32(8, 46) + b"whole", wire.WHOLE),
        wire.chunk(64, bytes(4)),
        wire.chunk(194, u32(52)),
        wire.chunk(194, u32(52) + u16(3, 0) + u32(8) + u16(4, 1) + u32(7) + b"odd"),
        wire.chunk(194, bytes(3)),
        wire.forward_tsn_chunk(52, [(3, 4), (1, 0)]),
        wire.forward_tsn_chunk(52, [(stream, 0) for stream in range(20)]),
    ) == [
        "I-DATA 1 begin of message 7 stream 3 ppid 46 DIAMETER b'be'",
        "I-DATA 2 end of message 7 unordered b'gin'",
        "I-DATA 3 stream 3 ppid 46 DIAMETER b'whole'",
        "I-DATA malformed (too short)",
        "I-FORWARD TSN 3",
        "I-FORWARD TSN 3 skips stream 3 to MID 8, 4 unordered to MID 7",
        "I-FORWARD TSN malformed (too short)",
        "FORWARD TSN 3 skips stream 3 to SSN 4, 1 to SSN 0",
        "FORWARD TSN 3 skips stream "
        + ", ".join(f"{stream} to SSN 0" for stream in range(8))
        + " and 12 more",
    ]


def test_authentication_and_congestion() -> None:
    """RFC 4895, and ECN, as RFC 4960 has it."""
    assert said(
        wire.chunk(15, u16(0, 3) + bytes(32)),
        wire.chunk(15, u16(7, 1) + bytes(20)),
        wire.chunk(15, u16(7, 2) + bytes(20)),
        wire.chunk(15, bytes(3)),
        wire.chunk(12, u32(105)),
        wire.chunk(13, u32(53)),
        wire.chunk(13, b""),
    ) == [
        "AUTH key 0 SHA-256",
        "AUTH key 7 SHA-1",
        "AUTH key 7 HMAC 2",
        "AUTH malformed (too short)",
        "ECNE 6",
        "CWR 4",
        "CWR malformed (too short)",
    ]


def test_what_an_init_offers() -> None:
    def offers(*parameters: Tlv) -> str:
        chunk = wire.init_chunk(wire.Init(TAG, 65536, 10, 2048, 1, [*parameters]))
        (label,) = labels(packet(A, B, chunk, tag=0))
        return label.removeprefix("INIT streams 10/2048").removeprefix(" ")

    extensions = Tlv(0x8008, bytes([192, 130, 15, 193, 128, 64, 194, 99]))
    assert offers() == ""
    assert offers(Tlv(0xC000, b""), Tlv(0x8000, b"")) == "with FORWARD-TSN ECN"
    assert offers(Tlv(0x8008, bytes([192])), Tlv(0xC000, b"")) == "with FORWARD-TSN"
    assert offers(extensions) == ("with FORWARD-TSN RE-CONFIG AUTH ASCONF I-DATA I-FORWARD-TSN 99")
    authentication = Tlv(0x8002, bytes(32)), Tlv(0x8004, u16(3, 1))
    assert offers(Tlv(0x8008, bytes([15])), *authentication) == "with AUTH"
    assert offers(
        *authentication, Tlv(0x8003, bytes([193, 128, 0])), Tlv(0x8008, bytes([15, 193, 128]))
    ) == ("with ASCONF AUTH (ASCONF DATA by SHA-256 SHA-1)")
    assert offers(Tlv(0x8004, b"\0\3\0"), Tlv(0x8003, b"\1")) == "with AUTH (INIT by SHA-256)"


@pytest.mark.peer("tshark")
def test_tshark_says_the_same_of_extensions(tmp_path: Path) -> None:
    offered = wire.InitAck(8, 65536, 5, 10, 100, [Tlv(0x8008, bytes([130, 64, 15])), HMACS])
    reset = wire.tlv(16, u32(100, 1)) + wire.tlv(13, u32(57, 100, 102) + u16(3, 4))
    add = wire.tlv(17, u32(58) + u16(12, 0))
    skip = u32(103) + u16(3, 0) + u32(8) + u16(4, 1) + u32(7)
    address_to_add = wire.tlv(0xC001, u32(1) + address(bytes([10, 0, 0, 9])))
    delete = wire.tlv(0xC002, u32(1) + address(bytes([10, 0, 0, 1])))
    file = tmp_path / "extensions.pcap"
    chunks = [
        wire.init_chunk(offered),
        wire.chunk(15, u16(7, 3) + bytes(32)),
        wire.chunk(130, reset),
        wire.chunk(130, add),
        wire.chunk(64, u32(101) + u16(4, 0) + u32(7, 1) + b"gin", wire.LAST | wire.UNORDERED),
        wire.chunk(194, skip),
        wire.chunk(193, u32(50) + address(bytes([10, 0, 0, 1])) + address_to_add),
        wire.chunk(128, u32(50) + wire.tlv(0xC003, u32(1) + wire.tlv(0xA0, delete))),
        wire.chunk(12, u32(105)),
        wire.chunk(13, u32(103)),
    ]
    with file.open("wb") as stream:
        writer = dpkt.pcap.Writer(stream, linktype=dpkt.pcap.DLT_RAW)
        for one in chunks:
            data = wire.seal(2905, 2905, 8, [one])
            ends = {"src": bytes([10, 0, 0, 1]), "dst": bytes([10, 0, 0, 2])}
            writer.writepkt(bytes(dpkt.ip.IP(**ends, p=132, data=data, len=20 + len(data))), 0.0)
    shown = subprocess.run(
        ["tshark", "-r", file, "-V"], check=True, capture_output=True, text=True
    ).stdout
    assert "Malformed" not in shown
    with file.open("rb") as stream:
        arrows = draw(Capture(stream, "extensions").packets(), infer=False).arrows
    names = [str(arrow.chunks[0]) for arrow in arrows]
    for said, of_tshark in zip(names, re.split(r"(?m)^Frame \d+", shown)[1:], strict=True):
        words = TSHARK[said]
        for word in words:
            assert re.search(word, of_tshark), (said, word, of_tshark)


HMACS = Tlv(0x8004, b"\0\3")
TSHARK = {
    "INIT ACK streams 5/10 with RE-CONFIG I-DATA AUTH": [
        r"Supported chunk type: RE_CONFIG",
        r"Supported chunk type: I_DATA",
        r"Supported chunk type: AUTH",
        r"HMAC identifier: SHA-256",
    ],
    "AUTH key 7 SHA-256": [r"AUTH chunk", r"Shared key identifier: 7", r"SHA-256"],
    "RE-CONFIG answer: done, reset outgoing streams 3 4 after TSN 3": [
        r"Result: Performed",
        r"Senders last assigned TSN: 102",
        r"Stream Identifier: 3",
        r"Stream Identifier: 4",
    ],
    "RE-CONFIG add 12 outgoing streams": [r"Number of streams: 12"],
    "I-DATA 2 end of message 7 unordered b'gin'": [
        r"I_DATA chunk",
        r"Message identifier: 7",
        r"U-Bit: Unordered",
        r"E-Bit: Last segment",
    ],
    "I-FORWARD TSN 4 skips stream 3 to MID 8, 4 unordered to MID 7": [
        r"Stream identifier: 3",
        r"Message identifier: 8",
        r"Stream identifier: 4",
        r"Message identifier: 7",
    ],
    "ASCONF add 10.0.0.9": [r"Add IP address parameter \(Address: 10\.0\.0\.9"],
    "ASCONF ACK request to delete last remaining IP address": [
        r"Cause code: Request to delete last address"
    ],
    "ECNE 1": [r"Lowest TSN: .*105"],
    "CWR 4": [r"Lowest TSN: .*103"],
}
"""What the ladder says of each packet, and what tshark does."""


def test_many_gaps_are_cut_short() -> None:
    (label,) = labels(packet(A, B, sack(1, *[(n, n) for n in range(2, 900, 2)])))
    assert label.startswith("SACK 1 also 3-3 5-5 7-7")
    assert label.endswith("17-17 and 441 more rwnd 1500")
