"""Ladders as text: rungs, labels, titles, and what fits into a line."""

from __future__ import annotations

import textwrap

import pytest

from trio_sctp._engine import wire
from trio_sctp._engine.wire import ChunkType, Tlv
from trio_sctp._ladder.chart import CapturedPacket, draw
from trio_sctp._ladder.text import text

from ..support.ladders import A2, B2, A, B, C, data, init, init_ack, packet, sack


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


def test_chunks_that_the_engine_does_not_know() -> None:
    address = wire.tlv(5, bytes([10, 0, 0, 9]))
    reset = wire.tlv(13, bytes(12))
    assert labels(
        packet(A, B, wire.chunk(193, bytes(4) + address + wire.tlv(0xC001, bytes(4) + address))),
        packet(A, B, wire.chunk(193, bytes(4) + address + wire.tlv(0xC002, bytes(3)))),
        packet(B, A, wire.chunk(128, bytes(4))),
        packet(A, B, wire.chunk(130, reset)),
        packet(A, B, wire.chunk(194, bytes(12))),
        packet(A, B, wire.chunk(64, bytes(4))),
    ) == [
        "ASCONF add 10.0.0.9",
        "ASCONF delete an address",
        "ASCONF ACK",
        "RE-CONFIG reset outgoing streams",
        "I-FORWARD TSN",
        "I-DATA malformed (too short)",
    ]


def test_many_gaps_are_cut_short() -> None:
    (label,) = labels(packet(A, B, sack(1, *[(n, n) for n in range(2, 900, 2)])))
    assert label.startswith("SACK 1 also 3-3 5-5 7-7")
    assert label.endswith("17-17 and 441 more rwnd 1500")
