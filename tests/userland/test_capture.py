"""userland(capture=): what is in the file, when it can be read, and what a full disk does."""

from __future__ import annotations

import importlib
import logging
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_sctp
from trio_sctp import AssociationChannel, userland
from trio_sctp._capture import ip_packet
from trio_sctp._engine import wire

PORT = 9911
HOST = "127.0.0.1"


async def talk(**arguments: Any) -> None:
    """Exchange two messages, one in each direction, in a block of its own."""
    async with userland(udp_port=PORT, peer_udp_port=PORT, **arguments):
        await exchange()


async def exchange() -> None:
    async with await trio_sctp.open_listener(0, hosts=HOST) as listener:
        channel = await trio_sctp.open_association(HOST, listener.port)
        accepted: AssociationChannel
        async with await listener.accept() as accepted:
            await channel.send(b"ping", ppid=46)
            assert (await accepted.receive()).data == b"ping"
            await accepted.send(b"pong", ppid=46)
            assert (await channel.receive()).data == b"pong"
            await channel.eof()
        await channel.aclose()


def packets(file: Path) -> Iterator[tuple[bytes, float]]:
    """The packets of a file, from their IP headers on, and when they passed."""
    pcapng: Any = importlib.import_module("pcapng")
    blocks: Any = importlib.import_module("pcapng.blocks")
    with file.open("rb") as stream:
        for block in pcapng.FileScanner(stream):
            if isinstance(block, blocks.EnhancedPacket):
                yield block.packet_data, block.timestamp


def sctp(packet: bytes) -> wire.Packet:
    """The SCTP packet behind an IPv4 header and a UDP header."""
    parsed = wire.parse_packet_untrusted(packet[28:])
    assert isinstance(parsed, wire.Packet)
    return parsed


async def test_every_packet_is_there_with_its_addresses_and_ports(tmp_path: Path) -> None:
    file = tmp_path / "test.pcapng"
    before = time.time()
    await talk(capture=file)
    found = list(packets(file))
    for packet, when in found:
        assert before - 1 < when < time.time() + 1
        ports = int.from_bytes(packet[20:22], "big"), int.from_bytes(packet[22:24], "big")
        assert PORT in ports
        assert packet == ip_packet(packet[28:], HOST, HOST, ports)
    # On loopback each passes twice: when it leaves, and when it comes.
    all_chunks = [chunk for packet, _ in found for chunk in sctp(packet).chunks]
    chunks = [type(chunk).__name__ for chunk in all_chunks]
    for name in ("Init", "InitAck", "CookieEcho", "Data", "Sack", "Shutdown", "ShutdownComplete"):
        assert chunks.count(name) % 2 == 0
        assert name in chunks
    texts = [
        chunk.payload
        for packet, _ in found
        for chunk in sctp(packet).chunks
        if isinstance(chunk, wire.Data)
    ]
    assert sorted(texts) == [b"ping"] * 2 + [b"pong"] * 2


async def test_it_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "test.pcapng"
    async with userland(udp_port=PORT, peer_udp_port=PORT, capture=str(file)):
        await exchange()
        count = len(list(packets(file)))
        assert count > 10
        await exchange()
        assert len(list(packets(file))) > count


async def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        await talk(capture=tmp_path / "nowhere" / "test.pcapng")


async def test_a_disk_that_is_full_from_the_beginning() -> None:
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        await talk(capture="/dev/full")


async def test_a_full_disk_ends_the_capture_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "test.pcapng"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with caplog.at_level(logging.ERROR, "trio_sctp"):
            await talk(capture=file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    (record,) = caplog.records
    assert f"the capture {file} ends here" in record.getMessage()


@pytest.mark.peer("tshark")
async def test_tshark_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "test.pcapng"
    async with userland(capture=file):
        await exchange()
    options = ["-Y", "sctp.chunk_type == 0", "-T", "fields", "-e", "sctp.data_payload_proto_id"]
    shown = await trio.run_process(["tshark", "-r", str(file), *options], capture_stdout=True)
    assert shown.stdout.split() == [b"46"] * 4
