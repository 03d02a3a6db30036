"""Captures: what stands in the file, of whichever network the packets were."""

from __future__ import annotations

import importlib
import io
import math
import struct
import sys
from pathlib import Path
from typing import Any

import google_crc32c
import pytest

from trio_sctp._capture import ip_packet
from trio_sctp.testing import Capture, Link, Network

A, B = "10.0.0.1", "10.0.0.2"
A6, B6 = "fd00::1", "fd00::2"
IP, IP6, UDP = 20, 40, 8
LARGEST = 65535


def network(**fields: Any) -> Network:
    return Network(default_link=Link(**fields))


def sctp_init() -> bytes:
    """An SCTP packet with an INIT chunk and the right checksum."""
    init = struct.pack("!BBHIIHHI", 1, 0, 20, 0x1234, 65536, 10, 10, 1)
    zeroed = struct.pack("!HHII", 2905, 2906, 0, 0) + init
    checksum = google_crc32c.value(zeroed)
    return zeroed[:8] + struct.pack("<I", checksum) + init


def captured(file: Path | io.BytesIO) -> list[tuple[bytes, float, str]]:
    """The packets of a pcapng file: data, seconds, comment."""
    pcapng: Any = importlib.import_module("pcapng")
    blocks: Any = importlib.import_module("pcapng.blocks")
    stream = io.BytesIO(file.read_bytes()) if isinstance(file, Path) else file
    packets: list[tuple[bytes, float, str]] = []
    for block in pcapng.FileScanner(stream):
        if isinstance(block, blocks.EnhancedPacket):
            assert block.interface.link_type == 101
            comment = block.options.get("opt_comment", "")
            packets.append((block.packet_data, round(block.timestamp, 6), comment))
    return packets


def test_a_capture_is_what_was_sent_when(tmp_path: Path) -> None:
    file = tmp_path / "test.pcapng"
    net = network(delay=1.0)
    net.transmit(b"before", A, B, 0.0)
    with net.capture(file) as capture:
        assert isinstance(capture, Capture)
        net.transmit(b"x" * 33, A, B, 1.000001)
        net.transmit(b"y", B6, A6, 5000.5)
    net.transmit(b"after", A, B, 6000.0)
    assert captured(file) == [
        (ip_packet(b"x" * 33, A, B), 1.000001, ""),
        (ip_packet(b"y", B6, A6), 5000.5, ""),
    ]


def test_the_ip_headers() -> None:
    data = sctp_init()
    v4 = ip_packet(data, A, B)
    version, length, protocol = v4[0], int.from_bytes(v4[2:4], "big"), v4[9]
    assert (version, length, protocol) == (0x45, IP + len(data), 132)
    assert v4[12:] == bytes([10, 0, 0, 1, 10, 0, 0, 2]) + data
    words = struct.unpack("!10H", v4[:20])
    total = sum(words)
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF

    assert v4[1:2] + v4[4:9] == bytes([0, 0, 0, 0x40, 0, 64])  # not to be fragmented

    v6 = ip_packet(data, A6, B6)
    assert v6[:8] == struct.pack("!IHBB", 0x60000000, len(data), 132, 64)
    assert v6[8:24].hex() == "fd00" + "0" * 27 + "1"
    assert v6[24:] == bytes.fromhex("fd00" + "0" * 27 + "2") + data


def test_comments_tell_what_happened(tmp_path: Path) -> None:
    net = network(bandwidth=8e3, queue=0, mtu=1000)
    link = net.default_link
    file = tmp_path / "test.pcapng"
    expected: list[str] = []

    def transmit(comment: str, size: int = 10, now: float = 0.0) -> None:
        net.transmit(bytes(size), A, B, now)
        expected.append(comment)

    with net.capture(str(file)):
        transmit("")
        transmit("dropped: the queue is full")
        transmit("dropped: larger than the MTU", size=1000)
        link.bandwidth = None
        link.loss = 1.0
        transmit("dropped: lost")
        link.loss = 0.0
        link.duplication = 1.0
        transmit("duplicated")
        link.duplication = 0.0
        link.corruption = link.reordering = 1.0
        transmit("corrupted, reordered")
        link.up = False
        transmit("dropped: the link is down")
        net.route = lambda packet: []
        transmit("dropped: by the route hook")
        net.route = lambda packet: None
        link.up = True
        link.corruption = link.reordering = 0.0
        transmit("")
    assert [comment for _, _, comment in captured(file)] == expected


@pytest.mark.parametrize(("source", "destination"), [(A, B), (A6, B6)])
def test_a_packet_too_large_for_ip_is_captured(source: str, destination: str) -> None:
    net = network()
    file = io.BytesIO()
    with net.capture(file):
        net.transmit(bytes(70_000), source, destination, 0.0)
    file.seek(0)
    assert [comment for _, _, comment in captured(file)] == ["dropped: larger than the MTU"]


def test_a_file_that_was_given_open_stays_open() -> None:
    net = network()
    first, second = io.BytesIO(), io.BytesIO()
    capture = net.capture(first)
    with net.capture(second):
        net.transmit(b"1", A, B, 0.0)
        capture.close()
        capture.close()
        net.transmit(b"2", A, B, 0.0)
    first.seek(0)
    second.seek(0)
    assert len(captured(first)) == 1
    assert len(captured(second)) == 2


def test_without_the_library_a_capture_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pcapng", None)
    net = network()
    with pytest.raises(ImportError, match=r"pip install trio_sctp\[capture\]"):
        net.capture(tmp_path / "test.pcapng")
    assert not list(tmp_path.iterdir())
    net.transmit(b"x", A, B, 0.0)


@pytest.mark.parametrize("udp", [(9899, 9900), (0, 65535)])
def test_the_udp_header(udp: tuple[int, int]) -> None:
    data = sctp_init()
    header = struct.pack("!HHHH", *udp, UDP + len(data), 0)
    v4, v6 = ip_packet(data, A, B, udp), ip_packet(data, A6, B6, udp)
    assert (v4[9], v4[IP:]) == (17, header + data)
    assert int.from_bytes(v4[2:4], "big") == IP + UDP + len(data)
    assert (v6[6], v6[IP6:]) == (17, header + data)
    assert int.from_bytes(v6[4:6], "big") == UDP + len(data)


@pytest.mark.parametrize(
    ("size", "udp", "v4", "v6", "of_udp"),
    [
        (LARGEST - IP, None, LARGEST, LARGEST - IP, None),
        (LARGEST - IP + 1, None, LARGEST, LARGEST - IP + 1, None),
        (LARGEST, None, LARGEST, LARGEST, None),
        (LARGEST + 1, None, LARGEST, LARGEST, None),
        (LARGEST - UDP, (1, 2), LARGEST, LARGEST, LARGEST),
        (LARGEST - UDP + 1, (1, 2), LARGEST, LARGEST, LARGEST),
        (LARGEST - UDP - 1, (1, 2), LARGEST, LARGEST - 1, LARGEST - 1),
    ],
)
def test_a_length_is_as_large_as_its_field(
    size: int, udp: tuple[int, int] | None, v4: int, v6: int, of_udp: int | None
) -> None:
    """Of a packet that no network carries, which is captured all the same."""
    first, second = (ip_packet(bytes(size), *pair, udp) for pair in ((A, B), (A6, B6)))
    assert int.from_bytes(first[2:4], "big") == v4
    assert int.from_bytes(second[4:6], "big") == v6
    if of_udp is not None:
        assert int.from_bytes(first[IP + 4 : IP + 6], "big") == of_udp
    assert len(first) == IP + size + (0 if udp is None else UDP)


def test_nothing_leads_from_one_family_to_the_other() -> None:
    with pytest.raises(ValueError, match=r"nothing leads from 10.0.0.1 \(IPv4\) to fd00::2"):
        ip_packet(b"x", A, B6)


def test_each_packet_is_in_the_file_at_once() -> None:
    """A program that crashes leaves a file that can be read."""
    file = io.BytesIO()
    with network().capture(file) as capture:
        for count in range(1, 4):
            capture.write(bytes(count), A, B, 1.5 + count, f"number {count}", (5, 6))
            packets = captured(io.BytesIO(file.getvalue()))
            assert packets == [
                (ip_packet(bytes(n), A, B, (5, 6)), 1.5 + n, f"number {n}")
                for n in range(1, count + 1)
            ]


@pytest.mark.parametrize("now", [0, 0.000001, 2**32 / 1e6, 2**33 / 1e6 + 0.000001, 1.7e9])
def test_a_time_is_kept_to_the_microsecond(now: float) -> None:
    file = io.BytesIO()
    with network().capture(file) as capture:
        capture.write(b"x", A, B, now)
    file.seek(0)
    assert captured(file) == [(ip_packet(b"x", A, B), round(now, 6), "")]


@pytest.mark.parametrize(
    ("wrong", "kind", "text"),
    [
        ({"now": "x"}, TypeError, "now must be a number, not 'x'"),
        ({"now": -0.1}, ValueError, "now must be a finite number of at least 0, not -0.1"),
        ({"now": math.inf}, ValueError, "at least 0, not inf"),
        ({"now": math.nan}, ValueError, "at least 0, not nan"),
        ({"udp": [1, 2]}, TypeError, "udp must be a tuple of two ports"),
        ({"udp": (1,)}, TypeError, "udp must be a tuple of two ports"),
        ({"udp": (1, 2, 3)}, TypeError, "udp must be a tuple of two ports"),
        ({"udp": (-1, 2)}, ValueError, "a port of udp must be between 0 and 65535, not -1"),
        ({"udp": (1, 65536)}, ValueError, "a port of udp must be between 0 and 65535, not 65536"),
        ({"udp": (1, "x")}, TypeError, "a port of udp must be an integer"),
    ],
)
def test_what_is_no_packet_is_not_written(
    wrong: dict[str, Any], kind: type[Exception], text: str
) -> None:
    file = io.BytesIO()
    right: dict[str, Any] = {"data": b"x", "source": A, "destination": B, "now": 0.0}
    with network().capture(file) as capture:
        before = file.getvalue()
        with pytest.raises(kind, match=text):
            capture.write(**right | wrong)
        assert file.getvalue() == before


@pytest.mark.parametrize("file", [None, io.StringIO()], ids=repr)
def test_what_cannot_be_captured_to(file: Any) -> None:
    with pytest.raises(TypeError, match="file must be a path or a file open in binary mode, not"):
        network().capture(file)


def test_a_file_that_cannot_be_written_is_named() -> None:
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        network().capture("/dev/full")


def test_a_file_that_was_given_by_its_path_is_closed(tmp_path: Path) -> None:
    capture = network().capture(tmp_path / "test.pcapng")
    capture.close()
    capture.close()
    with pytest.raises(ValueError, match="the capture was closed"):
        capture.write(b"x", A, B, 0.0)
