"""The ladder of a simulated failover, arrow by arrow beside the packets that were sent."""

from __future__ import annotations

import importlib
import ipaddress
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio
import trio.testing

import trio_sctp
from trio_sctp._engine import wire
from trio_sctp._ladder.capture import Capture
from trio_sctp._ladder.chart import draw
from trio_sctp._ladder.svg import svg
from trio_sctp._ladder.text import text
from trio_sctp.testing import Ladder, Link, simulated_network

from ..support.ladders import Drawn, in_picture, in_text

GNB, AMF = ("10.1.0.2", "10.2.0.2"), ("10.1.0.1", "10.2.0.1")
LINES = [*GNB, *AMF]
FILE = "failover.pcapng"


class Sent(NamedTuple):
    time: float
    source: str
    destination: str
    dropped: bool
    chunks: list[str]


async def fail_over(file: Path) -> Ladder:
    """The primary path is cut while messages pass; gives the ladder, and captures the packets."""
    async with simulated_network(seed=3, default_link=Link(delay=0.02)) as network:
        amf, gnb = network.host(*AMF, name="amf"), network.host(*GNB, name="gnb")
        with network.network.capture(file):
            async with await trio_sctp.open_listener(38412, hosts=AMF, stack=amf) as listener:
                client = await trio_sctp.open_association(AMF, 38412, local_hosts=GNB, stack=gnb)
                server = await listener.accept()
            await trio.sleep(2)
            for number in range(4):
                await client.send(b"%d" % number, stream=number, ppid=60)
                assert (await server.receive()).data == b"%d" % number
                if number == 1:
                    network.network.partition(AMF[:1], GNB[:1])
            await client.aclose()
            await server.aclose()
        return network.ladder()


def sent(file: Path) -> list[Sent]:
    """The packets of the capture, read without any code of the ladder's."""
    pcapng: Any = importlib.import_module("pcapng")
    blocks: Any = importlib.import_module("pcapng.blocks")
    packets: list[Sent] = []
    with file.open("rb") as stream:
        for block in pcapng.FileScanner(stream):
            if not isinstance(block, blocks.EnhancedPacket):
                continue
            source, destination = (
                str(ipaddress.ip_address(block.packet_data[at : at + 4])) for at in (12, 16)
            )
            dropped = block.options.get("opt_comment", "").startswith("dropped")
            packet = wire.parse_packet_untrusted(block.packet_data[20:])
            assert isinstance(packet, wire.Packet)
            kinds = [
                re.sub("(?<=[a-z])(?=[A-Z])", " ", type(chunk).__name__).upper()
                for chunk in packet.chunks
            ]
            packets.append(Sent(block.timestamp, source, destination, dropped, kinds))
    return packets


def compare(drawn: list[Drawn], packets: list[Sent]) -> None:
    """Every packet has its arrow, every arrow its packet, in the same order."""
    assert len(drawn) == len(packets) > 20
    start = packets[0].time
    for arrow, packet in zip(drawn, packets, strict=True):
        assert arrow.time == pytest.approx(packet.time - start, abs=0.0006)
        assert LINES[arrow.source] == packet.source
        if packet.dropped:
            assert arrow.destination is None
            assert "[dropped: the link is down]" in arrow.label
        else:
            assert arrow.destination is not None
            assert LINES[arrow.destination] == packet.destination
        assert re.findall(r"(?:^|, )([A-Z ]*[A-Z])\b", arrow.label) == packet.chunks


async def test_as_text(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    ladder = await fail_over(tmp_path / FILE)
    packets = sent(tmp_path / FILE)
    assert any(packet.dropped for packet in packets)
    compare(in_text(ladder.text()), packets)


async def test_as_a_picture(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    ladder = await fail_over(tmp_path / FILE)
    compare(in_picture(ladder.svg()), sent(tmp_path / FILE))


async def test_the_capture_gives_the_same_ladder(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """But for the names of the hosts, which no capture knows."""
    ladder = await fail_over(tmp_path / FILE)
    with (tmp_path / FILE).open("rb") as file:
        capture = Capture(file, FILE)
        chart = draw(capture.packets(), start=capture.start, infer=not capture.simulated)
    assert in_text(text(chart)) == in_text(ladder.text())
    assert in_picture(svg(chart)) == in_picture(ladder.svg())


async def test_the_change_of_path_is_marked_once_and_the_retransmission(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    ladder = await fail_over(tmp_path / FILE)
    labels = [arrow.label for arrow in in_text(ladder.text())]
    changes = [label for label in labels if "path change" in label]
    assert changes == [
        "DATA 2 again (it had arrived) stream 1 ppid 60 NGAP b'1', "
        "DATA 3 again stream 2 ppid 60 NGAP b'2' [path change: now 10.2.0.2 > 10.2.0.1]"
    ]
    (lost,) = (label for label in labels if label.startswith("DATA 3 stream"))
    assert lost == "DATA 3 stream 2 ppid 60 NGAP b'2' [dropped: the link is down]"


async def test_a_network_remembers_its_last_packets(autojump_clock: trio.testing.MockClock) -> None:
    async with simulated_network() as network:
        assert str(network.ladder()) == "no packet was sent"
        left, right = network.host("192.0.2.1"), network.host("192.0.2.2")
        async with await trio_sctp.open_listener(2905, stack=right):
            client = await trio_sctp.open_association("192.0.2.2", 2905, stack=left)
            client.abort()
        whole = in_text(str(network.ladder()))
        assert len(whole) == 6
        assert str(network.ladder(last=1)).startswith("5 packets before these\n")
        assert in_text(str(network.ladder(last=2))) == whole[-2:]
        for number in range(10_000):
            network.network.transmit(b"", "192.0.2.1", "192.0.2.2", 1.0 + number)
        lines = str(network.ladder()).splitlines()
        assert lines[0] == "6 packets before these"
        assert len(lines) == 2 + 10_000
        assert lines[-1].endswith("no SCTP packet: shorter than a header and a chunk")


async def test_what_is_dropped_later_is_told_too(autojump_clock: trio.testing.MockClock) -> None:
    """Earlier ladders stay as they were."""
    async with simulated_network(default_link=Link(delay=1.0)) as network:
        network.host("192.0.2.1"), network.host("192.0.2.2")
        network.network.transmit(bytes(16), "192.0.2.1", "192.0.2.2", 0.0)
        before = network.ladder()
        network.network.default_link.up = False
        assert network.network.deliver(1.0) == []
        assert "dropped: the link went down" in str(network.ladder())
        assert "dropped" not in str(before)
