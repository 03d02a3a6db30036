"""The file transfer: what arrives is what was sent, and senders that are wrong leave nothing."""

from __future__ import annotations

import hashlib
import random
import re
import sys
from pathlib import Path

import pytest
import trio

import trio_sctp
from examples import file_transfer
from examples.file_transfer import CHUNK, GO, OFFER, OFFSET, OK
from trio_sctp import AssociationChannel, AssociationLost
from trio_sctp.testing import Link, SimulatedNetwork

from ..conformance.helpers import until
from .conftest import until_up

HOST, PORT = "127.0.0.1", file_transfer.PORT
CONTENT = random.Random(1).randbytes(7 * CHUNK + 1)


def write(file: Path, content: bytes) -> None:
    file.write_bytes(content)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def connect() -> AssociationChannel:
    return await trio_sctp.open_association(HOST, PORT)


@pytest.fixture
async def received(programs: trio.Nursery, tmp_path: Path) -> Path:
    """The folder of a receiver that is up."""
    folder = tmp_path / "received"
    folder.mkdir()
    programs.start_soon(file_transfer.serve, folder)
    await until_up(connect)
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a file.bin"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, len(CONTENT)])
@pytest.mark.parametrize("streams", [1, 8])
async def test_a_file_arrives(size: int, streams: int, received: Path, file: Path) -> None:
    write(file, CONTENT[:size])
    await file_transfer.send(file, HOST, streams=streams)
    assert (received / file.name).read_bytes() == CONTENT[:size]


async def test_files_at_the_same_time(received: Path, tmp_path: Path) -> None:
    async with trio.open_nursery() as senders:
        for number in range(4):
            file = tmp_path / f"{number}"
            file.write_bytes(CONTENT[number:])
            senders.start_soon(file_transfer.send, file, HOST)
    for number in range(4):
        assert (received / f"{number}").read_bytes() == CONTENT[number:]


async def test_a_file_arrives_over_a_bad_link(
    received: Path, file: Path, stack: SimulatedNetwork | None
) -> None:
    if stack is None:
        pytest.skip("only the simulated network has bad links")
    write(file, CONTENT * 4)
    async with stack.host("192.0.2.1"):
        stack.network.set_link("192.0.2.1", HOST, Link(delay=0.02, loss=0.05, reordering=0.1))
        await file_transfer.send(file, HOST)
    assert (received / file.name).read_bytes() == CONTENT * 4


async def test_a_chunk_has_the_next_stream(programs: trio.Nursery, file: Path) -> None:
    streams: list[int] = []

    async def note(sender: AssociationChannel) -> None:
        await sender.receive()
        await sender.send(GO)
        while len(streams) < 8:
            streams.append((await sender.receive()).stream)
        await sender.send(OK)

    await programs.start(trio_sctp.serve, note, PORT)
    await file_transfer.send(file, HOST, streams=3)
    assert sorted(streams) == [0, 0, 0, 1, 1, 1, 2, 2]


async def test_a_file_that_is_there_is_not_overwritten(received: Path, file: Path) -> None:
    (received / file.name).write_bytes(b"precious")
    with pytest.raises(AssociationLost, match="File exists"):
        await file_transfer.send(file, HOST)
    assert (received / file.name).read_bytes() == b"precious"


def offer(size: int = 10, name: bytes = b"name") -> bytes:
    return OFFER.pack(size, hashlib.sha256(bytes(size)).digest()) + name


@pytest.mark.parametrize(
    "data",
    [
        b"garbage",
        offer()[:20],
        offer(name=b""),
        offer(name=b".."),
        offer(name=b"../outside"),
        offer(name=b"/tmp/outside"),
        offer(name=b"a\\b"),
        offer(name=b"a\0b"),
        offer(name=b"\xff\xfe"),
        offer(name=b"a" * 300),
    ],
)
async def test_an_offer_that_is_wrong_is_refused_and_the_receiver_goes_on(
    data: bytes, received: Path, file: Path
) -> None:
    sender = await connect()
    await sender.send(data)
    reason = (await sender.wait_ended()).reason
    assert re.match(b"an offer has 40 bytes|the name of a file must be", reason)
    await sender.aclose()
    assert names(received) == set()
    assert names(received.parent) == {received.name, file.name}
    await file_transfer.send(file, HOST)


def chunk(offset: int, data: bytes) -> bytes:
    return OFFSET.pack(offset) + data


@pytest.mark.parametrize(
    "chunks",
    [
        [b"x"],
        [chunk(0, bytes(9))],
        [chunk(0, bytes(11))],
        [chunk(1, bytes(9))],
        [chunk(CHUNK, b"x")],
        [chunk(2**64 - 1, b"")],
        [chunk(0, b"other data")],
    ],
    ids=["no chunk", "short", "long", "not aligned", "behind", "far behind", "wrong"],
)
async def test_chunks_that_are_wrong_leave_nothing_behind(
    chunks: list[bytes], received: Path, file: Path
) -> None:
    sender = await connect()
    await sender.send(offer())
    assert (await sender.receive()).data == GO
    for data in chunks:
        await sender.send(data)
    reason = (await sender.wait_ended()).reason
    assert re.match(rb"\d+ bytes are no chunk|the checksum is wrong", reason)
    await sender.aclose()
    assert names(received) == set()
    await file_transfer.send(file, HOST)


async def test_a_chunk_that_comes_twice_is_refused(received: Path) -> None:
    sender = await connect()
    await sender.send(offer(2 * CHUNK))
    assert (await sender.receive()).data == GO
    for _ in range(2):
        await sender.send(chunk(0, bytes(CHUNK)))
    assert b"are no chunk" in (await sender.wait_ended()).reason
    await sender.aclose()


@pytest.mark.parametrize("gracefully", [True, False])
async def test_a_sender_that_leaves_early_leaves_nothing_behind(
    gracefully: bool, received: Path
) -> None:
    sender = await connect()
    await sender.send(offer(10**6))
    assert (await sender.receive()).data == GO
    assert names(received) == {"name"}
    if gracefully:
        await sender.aclose()
    else:
        sender.abort()
    await until(lambda: not names(received))


async def test_a_receiver_that_leaves_early_is_told_of(programs: trio.Nursery, file: Path) -> None:
    async def leave(sender: AssociationChannel) -> None:
        await sender.receive()

    await programs.start(trio_sctp.serve, leave, PORT)
    with pytest.raises((trio.EndOfChannel, AssociationLost)):
        await file_transfer.send(file, HOST)


@pytest.mark.usefixtures("default_stack")
async def test_as_a_reader_runs_it_without_a_receiver(file: Path) -> None:
    command = [sys.executable, "-m", "examples.file_transfer", "send", str(file), HOST]
    done = await trio.run_process(command, capture_stderr=True, capture_stdout=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch(rb"cannot associate with 127.0.0.1 port 2007.*\n", done.stderr)
