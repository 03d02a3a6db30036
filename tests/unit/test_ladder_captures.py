"""Packets out of captures: of whatever link, IP version and tool, whole or damaged."""

from __future__ import annotations

import importlib
import io
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_sctp._capture import Capture as Writer
from trio_sctp._capture import ip_packet
from trio_sctp._engine import wire
from trio_sctp._ladder.capture import Capture, CaptureError
from trio_sctp._ladder.chart import CapturedPacket, Chart, draw
from trio_sctp._ladder.svg import svg
from trio_sctp._ladder.text import text
from trio_sctp.testing import Network

from ..support.ladders import A, B, data, init, init_ack, packet, sack

dpkt: Any = importlib.import_module("dpkt")
blocks: Any = importlib.import_module("pcapng.blocks")
pcapng: Any = importlib.import_module("pcapng")

A6, B6 = "fd00::1", "fd00::2"
IP4, IP6 = b"\x08\x00", b"\x86\xdd"
ETHERNET, NULL, LOOP, RAW, SLL, SLL2, RADIOTAP = 1, 0, 108, 101, 113, 276, 127
SCTP = packet(A, B, data(5, b"hello")).data

Frames = Sequence[tuple[float, bytes]]


def pcap(frames: Frames, link_type: int = RAW, *, nano: bool = False) -> bytes:
    file = io.BytesIO()
    writer = dpkt.pcap.Writer(file, linktype=link_type, nano=nano)
    for time, frame in frames:
        writer.writepkt(frame, time)
    return file.getvalue()


def reading(content: bytes) -> Capture:
    return Capture(io.BufferedReader(io.BytesIO(content)), "a.pcap")


def read(content: bytes) -> list[CapturedPacket]:
    return list(reading(content).packets())


def chart_of(content: bytes) -> Chart:
    capture = reading(content)
    return draw(capture.packets(), start=capture.start, infer=not capture.simulated)


def ethernet(ip: bytes, *tags: bytes) -> bytes:
    kind = IP4 if ip[0] >> 4 == 4 else IP6
    return bytes(12) + b"".join(tags) + kind + ip + bytes(6)  # padded, as short frames are


LINKS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "Ethernet": (ETHERNET, ethernet),
    "VLAN": (ETHERNET, lambda ip: ethernet(ip, b"\x81\x00\x00\x05")),
    "two VLANs": (ETHERNET, lambda ip: ethernet(ip, b"\x88\xa8\x00\x05", b"\x81\x00\x00\x06")),
    "IP": (RAW, lambda ip: ip),
    "null": (NULL, lambda ip: struct.pack("<I", 2 if ip[0] >> 4 == 4 else 24) + ip),
    "loop": (LOOP, lambda ip: struct.pack(">I", 2 if ip[0] >> 4 == 4 else 30) + ip),
    "cooked": (SLL, lambda ip: bytes(14) + (IP4 if ip[0] >> 4 == 4 else IP6) + ip),
    "cooked 2": (SLL2, lambda ip: (IP4 if ip[0] >> 4 == 4 else IP6) + bytes(18) + ip),
}
each_link = pytest.mark.parametrize("link", LINKS)


@each_link
@pytest.mark.parametrize("ends", [(A, B), (A6, B6)], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("udp", [None, (40000, 9899), (1234, 5678)], ids=str)
def test_every_link(link: str, ends: tuple[str, str], udp: tuple[int, int] | None) -> None:
    link_type, wrap = LINKS[link]
    (found,) = read(pcap([(1.5, wrap(ip_packet(SCTP, *ends, udp)))], link_type))
    assert found == CapturedPacket(1.5, *ends, SCTP, "", udp, 0, 1)


@pytest.mark.parametrize("nano", [False, True])
def test_times(nano: bool) -> None:
    (found,) = read(pcap([(1_700_000_000.25, ip_packet(SCTP, A, B))], nano=nano))
    assert found.time == 1_700_000_000.25


def test_a_pcap_of_the_other_byte_order() -> None:
    frame = ip_packet(SCTP, A, B)
    content = struct.pack(">IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, RAW)
    content += struct.pack(">IIII", 7, 500_000, len(frame), len(frame)) + frame
    (found,) = read(content)
    assert (found.time, found.data) == (7.5, SCTP)


def test_what_is_no_sctp_is_left_out_and_counted() -> None:
    other = ip_packet(b"a question for a name", A, B, (5353, 53))
    tcp = bytearray(ip_packet(SCTP, A, B))
    tcp[9] = 6
    arp = bytes(12) + b"\x08\x06" + bytes(28)
    frames = [arp, *map(ethernet, (other, bytes(tcp), ip_packet(SCTP, A, B)))]
    capture = reading(pcap([(0.0, frame) for frame in frames], ETHERNET))
    (found,) = capture.packets()
    assert (found.number, capture.frames) == (4, 4)


# -- packets that are not whole --------------------------------------------------------------------


@pytest.mark.parametrize("udp", [None, (1, 9899)], ids=["plain", "UDP"])
def test_packets_cut_off_by_a_snaplen(udp: tuple[int, int] | None) -> None:
    whole = [
        packet(A, B, init(100, A), tag=0),
        packet(A, B, data(100, b"begins and goes on"), data(101, b"is not there at all")),
    ]
    headers = 28 if udp else 20
    cut = [
        ip_packet(whole[0].data, A, B, udp)[: headers + 12 + 20],
        ip_packet(whole[1].data, A, B, udp)[: headers + 12 + 16 + 6],
    ]
    chart = chart_of(pcap([(0.0, frame) for frame in cut]))
    assert [list(map(str, arrow.chunks)) for arrow in chart.arrows] == [
        ["INIT streams 10/2048"],
        ["DATA 1 stream 3 b'begins'... 18 bytes"],
    ]
    assert [arrow.notes for arrow in chart.arrows] == [["cut off by the capture"]] * 2


@pytest.mark.parametrize("captured", range(28))
def test_cut_off_in_any_header(captured: int) -> None:
    frame = ip_packet(SCTP, A, B)
    content = pcap([(0.0, frame), (0.0, frame[:captured])])
    drawn = text(chart_of(content)).splitlines()
    assert "DATA 1 stream 3 b'hello'" in drawn[1]
    assert all("cut off" in line or "too little" in line for line in drawn[2:])


def fragments(ip: bytes, size: int) -> list[bytes]:
    """An IPv4 packet in pieces."""
    pieces: list[bytes] = []
    for at in range(0, len(ip) - 20, size):
        header = bytearray(ip[:20])
        piece = ip[20 + at : 20 + at + size]
        more = 0x2000 if 20 + at + size < len(ip) else 0
        header[2:4] = (20 + len(piece)).to_bytes(2, "big")
        header[4:8] = struct.pack("!HH", 77, more | at // 8)
        pieces.append(bytes(header) + piece)
    return pieces


def fragments6(ip: bytes, size: int) -> list[bytes]:
    """An IPv6 packet in pieces."""
    pieces: list[bytes] = []
    for at in range(0, len(ip) - 40, size):
        piece = ip[40 + at : 40 + at + size]
        more = 40 + at + size < len(ip)
        fragment = struct.pack("!BBHI", ip[6], 0, at | more, 77)
        header = ip[:4] + (8 + len(piece)).to_bytes(2, "big") + b"\x2c" + ip[7:40]
        pieces.append(header + fragment + piece)
    return pieces


LARGE = packet(A, B, data(1, bytes(range(200)) * 10)).data


@pytest.mark.parametrize(
    "pieces",
    [
        fragments(ip_packet(LARGE, A, B), 512),
        fragments(ip_packet(LARGE, A, B, (9899, 9899)), 512),
        fragments6(ip_packet(LARGE, A6, B6), 512),
        fragments6(ip_packet(LARGE, A6, B6, (1, 2)), 512),
    ],
    ids=["IPv4", "IPv4 and UDP", "IPv6", "IPv6 and UDP"],
)
@pytest.mark.parametrize("order", [1, -1])
def test_fragments_are_put_together(pieces: list[bytes], order: int) -> None:
    assert len(pieces) == 4
    (found,) = read(pcap([(0.0, piece) for piece in pieces[::order]]))
    assert (found.data, found.missing) == (LARGE, 0)


def test_of_a_packet_that_lacks_fragments_the_beginning_is_drawn() -> None:
    pieces = fragments(ip_packet(LARGE, A, B), 512)
    chart = chart_of(pcap([(0.0, pieces[0]), (0.0, pieces[2]), (9.0, ip_packet(SCTP, A, B))]))
    lines = text(chart).splitlines()
    (line,) = (line for line in lines if "fragments are not in the capture" in line)
    assert "2000 bytes" in line


def test_fragments_that_never_get_whole_are_bounded() -> None:
    frames: list[tuple[float, bytes]] = []
    for number in range(5000):
        piece = bytearray(fragments(ip_packet(LARGE, A, B), 512)[1])
        piece[4:6] = number.to_bytes(2, "big")
        frames.append((0.0, bytes(piece)))
    capture = reading(pcap([*frames, (0.0, ip_packet(SCTP, A, B))]))
    assert [found.data for found in capture.packets()] == [SCTP]
    assert len(capture._links._fragments._held) <= 1000


# -- the same packet, captured twice ---------------------------------------------------------------


def cooked(ip: bytes, interface: int, kind: int) -> bytes:
    return IP4 + struct.pack("!HIHBB8s", 0, interface, 1, kind, 6, bytes(8)) + ip


def test_a_packet_that_passes_two_interfaces_is_one() -> None:
    """As with tcpdump's interface "any", on the host of both ends or on a router."""
    frame = ip_packet(SCTP, A, B)
    capture = reading(pcap([(0.0, cooked(frame, 2, 4)), (0.0001, cooked(frame, 3, 0))], SLL2))
    assert len(list(capture.packets())) == 1
    assert capture.twice == 1


def test_a_packet_that_is_sent_twice_is_two_even_if_both_pass_two_interfaces() -> None:
    frame = ip_packet(SCTP, A, B)
    frames = [cooked(frame, 2, 4), cooked(frame, 3, 0)] * 2
    capture = reading(pcap([(n / 1e4, one) for n, one in enumerate(frames)], SLL2))
    assert [found.time for found in capture.packets()] == [0.0, 0.0002]
    assert capture.twice == 2


def test_a_copy_belongs_to_the_last_packet_that_it_can_be_of() -> None:
    """The first one was lost between the two interfaces."""
    frame = ip_packet(SCTP, A, B)
    frames = [
        (0.0, cooked(frame, 2, 4)),
        (0.5, cooked(frame, 2, 4)),
        (0.6, cooked(frame, 3, 0)),
        (1.2, cooked(frame, 3, 0)),
    ]
    assert [found.time for found in read(pcap(frames, SLL2))] == [0.0, 0.5, 1.2]


def test_at_one_place_nothing_is_taken_for_a_copy() -> None:
    assert len(read(pcap([(0.0, ip_packet(SCTP, A, B))] * 3))) == 3


def test_both_ends_in_one_process_write_a_capture_that_has_each_packet_once(
    tmp_path: Path,
) -> None:
    file = tmp_path / "both.pcapng"
    with Writer(file, lambda: None, "userland") as writer:
        for time in (1.0, 2.0):
            writer.write(SCTP, A, B, time, udp=(9899, 9899), direction="out")
            writer.write(SCTP, A, B, time + 0.001, udp=(9899, 9899), direction="in")
    assert [found.time for found in read(file.read_bytes())] == [1.0, 2.0]


# -- pcapng ----------------------------------------------------------------------------------------


def written_by_pcapng(*packets: tuple[int, bytes]) -> bytes:
    """A file with an Ethernet and an IP interface, and packets of them."""
    file = io.BytesIO()
    section = blocks.SectionHeader(options={"shb_userappl": "somebody's"})
    for link_type in (ETHERNET, RAW):
        section.new_member(
            blocks.InterfaceDescription, link_type=link_type, options={"if_name": "simulated"}
        )
    writer = pcapng.FileWriter(file, section)
    for interface, frame in packets:
        writer.write_block(
            section.new_member(
                blocks.EnhancedPacket,
                interface_id=interface,
                timestamp_low=1_500_000,
                packet_data=frame,
                options={"opt_comment": "a \x1b[31mcomment"},
            )
        )
    return file.getvalue()


def test_a_pcapng_of_several_interfaces() -> None:
    one, other = ip_packet(SCTP, A, B), ip_packet(LARGE, A6, B6)
    content = written_by_pcapng((0, ethernet(one)), (1, other))
    assert [(found.source, found.data) for found in read(content)] == [(A, SCTP), (A6, LARGE)]
    assert not reading(content).simulated


def test_packets_that_stand_out_of_order_are_put_in_order() -> None:
    """As those of two interfaces do, which are written from time to time."""
    times = [1.0, 1.2, 1.4, 1.1, 1.3, 5.0, 4.5, 9.0]
    frames = [(time, ip_packet(packet(A, B, data(n)).data, A, B)) for n, time in enumerate(times)]
    assert [found.time for found in read(pcap(frames))] == sorted(times)
    again = [(1.0, ip_packet(SCTP, A, B))] * 3  # at the same time the file's order counts
    assert [found.number for found in read(pcap(again))] == [1, 2, 3]


def test_comments_are_shown_without_what_would_move_a_terminals_cursor() -> None:
    chart = chart_of(written_by_pcapng((1, ip_packet(SCTP, A, B))))
    assert text(chart).endswith(r"[a \x1b[31mcomment]")
    assert "\x1b" not in svg(chart)


def test_a_capture_of_a_simulated_network_says_so(tmp_path: Path) -> None:
    network, file = Network(), tmp_path / "test.pcapng"
    with network.capture(file):
        network.transmit(SCTP, A, B, 5.0)
        network.default_link.up = False
        network.transmit(SCTP, A, B, 6.0)
    capture = reading(file.read_bytes())
    assert (capture.simulated, capture.start) == (True, 5.0)
    assert [found.comment for found in capture.packets()] == ["", "dropped: the link is down"]


# -- checksums -------------------------------------------------------------------------------------


def test_a_checksum_that_is_left_to_the_network_card_is_no_fault() -> None:
    left = SCTP[:8] + bytes(4) + SCTP[12:]
    (arrow,) = chart_of(pcap([(0.0, ip_packet(left, A, B))])).arrows
    assert (str(arrow.chunks[0]), arrow.notes) == ("DATA 1 stream 3 b'hello'", [])


def test_a_wrong_checksum_is_told_and_changes_nothing() -> None:
    broken = packet(A, B, data(6, b"never")).data[:-1] + b"?"
    frames = [SCTP, broken, packet(A, B, data(6, b"right")).data]
    arrows = chart_of(pcap([(0.0, ip_packet(one, A, B)) for one in frames])).arrows
    assert [arrow.notes for arrow in arrows] == [[], ["wrong CRC32c"], []]
    assert [str(arrow.chunks[0]) for arrow in arrows] == [
        "DATA 1 stream 3 b'hello'",
        "DATA stream 3 b'never'",
        "DATA 2 stream 3 b'right'",
    ]


def test_udp_is_sctp_if_its_checksum_says_so_and_from_then_on() -> None:
    broken = SCTP[:-1] + b"?"
    ports, other = (1111, 2222), (1111, 2223)
    frames = [(broken, ports), (SCTP, ports), (broken, ports), (broken, other)]
    found = read(pcap([(0.0, ip_packet(one, A, B, udp)) for one, udp in frames]))
    assert [(one.data, one.udp) for one in found] == [(SCTP, ports), (broken, ports)]


@pytest.mark.parametrize("snaplen", [None, 28 + 4 + 2 * 36])
def test_trains_of_packets_in_one_udp_packet_are_cut_up(snaplen: int | None) -> None:
    """As captures have them where the network card does that, on the way out or in."""
    train = [packet(A, B, data(n, b"12345678")).data for n in range(1, 4)]
    train.append(packet(A, B, data(4, b"1234")).data)
    assert [len(one) for one in train] == [36, 36, 36, 32]
    frame = ip_packet(b"".join(train), A, B, (1111, 2222))
    found = read(pcap([(0.0, frame[:snaplen])]))
    if snaplen is None:
        assert [(one.data, one.missing) for one in found] == [(one, 0) for one in train]
    else:
        assert [one.data for one in found] == [*train[:2], train[2][:4]]
        assert [one.missing for one in found] == [0, 0, 32 + 32]


# -- files that are no captures --------------------------------------------------------------------

NO_CAPTURES = {
    "empty": (b"", "a.pcap is empty: give a pcapng or pcap file"),
    "a text": (b"root:x:0:0:root", "a.pcap is no capture: give a pcapng or pcap file"),
    "no packets": (pcap([]), "a.pcap has no packets: was the capture stopped"),
    "no SCTP": (
        pcap([(0.0, ip_packet(b"a question", A, B, (5353, 53)))] * 2),
        "a.pcap has 2 packets, but no SCTP, neither plain nor in UDP: was it captured at",
    ),
    "another link": (
        pcap([(0.0, bytes(50))], RADIOTAP),
        "a.pcap has packets of link type 127, which cannot be read: capture on",
    ),
    "half a header": (pcap([])[:10], "a.pcap is damaged: it cannot be read"),
    "half a block": (written_by_pcapng()[:40], "a.pcap is damaged: it cannot be read"),
}


@pytest.mark.parametrize("case", NO_CAPTURES)
def test_what_is_no_capture_is_an_error_of_one_line(case: str) -> None:
    content, message = NO_CAPTURES[case]
    with pytest.raises(CaptureError) as caught:
        read(content)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
@pytest.mark.parametrize("cut", [1, 7, len(SCTP) + 20, len(SCTP) + 25])
def test_a_file_that_ends_too_early_is_drawn_up_to_there(kind: str, cut: int) -> None:
    """Within the data of the last packet, between its header and them, or within its header."""
    frame = ip_packet(SCTP, A, B)
    content = pcap([(0.0, frame)] * 3) if kind == "pcap" else written_by_pcapng(*[(1, frame)] * 3)
    capture = reading(content[:-cut])
    assert [one.data for one in capture.packets()] == [SCTP] * 2
    assert "behind packet 2" in capture.damage


def test_a_whole_file_is_not_damaged() -> None:
    capture = reading(pcap([(0.0, ip_packet(SCTP, A, B)), (0.0, b"")]))
    assert len(list(capture.packets())) == 1
    assert not capture.damage


@pytest.mark.parametrize("missing", ["dpkt", "pcapng"])
def test_without_a_library_it_says_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(importlib.import_module("sys").modules, missing, None)
    with pytest.raises(CaptureError, match=r"pip install 'trio_sctp\[cli\]'"):
        reading(pcap([]))


# -- garbage ---------------------------------------------------------------------------------------

HANDSHAKE = [
    packet(A, B, init(100, A, tag=9), tag=0),
    packet(B, A, init_ack(500, tag=8), tag=9),
    packet(A, B, wire.chunk(wire.ChunkType.COOKIE_ECHO, b"c"), data(100), tag=8),
    packet(B, A, wire.chunk(wire.ChunkType.COOKIE_ACK), sack(100, (2, 3)), tag=9),
    packet(A, B, wire.heartbeat_chunk(b"h"), data(101, b"x" * 40), tag=8),
    packet(A, B, wire.chunk(193, bytes(4) + wire.tlv(5, bytes(4)) + wire.tlv(0xC001, bytes(12)))),
    packet(A, B, wire.chunk(64, bytes(17)), wire.chunk(130, wire.tlv(13, bytes(12))), tag=8),
    packet(B, A, wire.chunk(15, bytes(36)), wire.chunk(128, bytes(4)), tag=9),
    packet(B, A, wire.chunk(130, wire.tlv(16, bytes(7) + b"\1") + wire.tlv(17, bytes(8))), tag=9),
    packet(A, B, wire.chunk(194, bytes(20)), wire.chunk(13, bytes(4)), tag=8),
    packet(A, B, wire.abort_chunk([wire.Tlv(12, b"reason")]), tag=8),
]
CAPTURES = [
    pcap([(float(n), ip_packet(one.data, A, B)) for n, one in enumerate(HANDSHAKE)]),
    pcap([(0.0, ethernet(ip_packet(one.data, A6, B6, (1, 9899)))) for one in HANDSHAKE], ETHERNET),
    written_by_pcapng(*[(1, ip_packet(one.data, A, B)) for one in HANDSHAKE]),
    pcap([(0.0, one) for one in fragments6(ip_packet(LARGE, A6, B6), 64)]),
]
changes = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=30)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(CAPTURES), changes, st.floats(0.2, 1))
def test_a_damaged_capture_is_drawn_or_refused(
    content: bytes, changes: list[tuple[float, int]], kept: float
) -> None:
    damaged = bytearray(content)
    for place, byte in changes:
        damaged[int(place * len(damaged))] = byte
    draw_or_refuse(bytes(damaged[: int(kept * len(damaged))]))


@settings(deadline=None, max_examples=300)
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=10), st.booleans())
def test_packets_of_nonsense_are_drawn(packets: list[bytes], sealed: bool) -> None:
    frames = [
        ip_packet(wire.seal(1 + n % 2, 1, 7, [one]) if sealed else one, A, B)
        for n, one in enumerate(packets)
    ]
    chart = chart_of(pcap([(0.0, frame) for frame in frames]))
    assert len(chart.arrows) == len(packets)
    draw_or_refuse(pcap([(0.0, frame) for frame in frames]))


def draw_or_refuse(content: bytes) -> None:

    try:
        chart = chart_of(content)
    except CaptureError as error:
        if "\n" in str(error):
            raise
        return
    for width in (None, 40, 100):
        for line in text(chart, width).splitlines():
            assert line.isprintable()
            assert width is None or len(line) <= width
    ElementTree.fromstring(svg(chart))
