"""``--send`` and ``--receive``: what arrives is what was sent, and what is wrong leaves nothing."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import click
import pytest
import trio
from trio.testing import MockClock

import trio_sctp
from trio_sctp import AssociationLost, Listener
from trio_sctp._cli.screen import counted
from trio_sctp._cli.transfer import (
    AHEAD,
    DATA,
    END,
    GO,
    GONE,
    OFFER,
    OK,
    OVERHEAD,
    PIECE,
    PLACE,
    Assembly,
    Refused,
    receive_file,
    send_file,
)
from trio_sctp.testing import association_pair

from .conftest import HOST, OnTerminal, RunCommand, listening, port_of
from .test_main import done

CONTENT = random.Random(1).randbytes(7 * PIECE + 1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a file (1).bin"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "received"
    path.mkdir()
    return path


def write(file: Path, content: bytes) -> None:
    file.write_bytes(content)


def rename(file: Path, name: Path) -> None:
    file.rename(name)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(("size", "streams"), [(0, 8), (1, 8), (PIECE, 1), (len(CONTENT), 16)])
async def test_a_file_arrives(
    size: int, streams: int, run: RunCommand, stack: list[object], file: Path, folder: Path
) -> None:
    write(file, CONTENT[:size])
    receiver = await listening(run, *stack, "--receive", folder)
    arguments = [HOST, port_of(receiver), *stack, "--send", file, "--streams", streams]
    sender = await run("connect", *arguments)
    assert await sender.wait() == 0
    assert await receiver.wait() == 0
    assert (folder / file.name).read_bytes() == CONTENT[:size]
    assert f"{counted(size, 'byte')} arrived, and checked; {counted(streams, 'stream')}, " in str(
        sender.err
    )
    assert hashlib.sha256(CONTENT[:size]).hexdigest()[:16] in str(receiver.err)


async def test_out_of_a_pipe_and_into_one_from_the_listener_to_the_client(
    run: RunCommand, stack: list[object]
) -> None:
    sender = await listening(run, *stack, "--send", "-")
    receiver = await run("connect", HOST, port_of(sender), *stack, "--receive", "-")
    await sender.write(CONTENT)
    await sender.close_input()
    assert await receiver.wait() == 0
    assert await sender.wait() == 0
    assert bytes(receiver.out.data) == CONTENT
    assert not sender.out.data


async def test_under_a_name_of_ones_own_and_never_over_another_file(
    run: RunCommand, udp_port: int, file: Path, folder: Path
) -> None:
    path = folder / "mine"
    for attempt in range(2):
        receiver = await listening(run, "--udp-port", udp_port, "--receive", path)
        arguments = [HOST, port_of(receiver), "--udp-port", udp_port, "--send", file]
        sender = await run("connect", *arguments)
        assert (await sender.wait(), await receiver.wait()) == (attempt, attempt)
        write(file, b"another")
    assert str(sender.err).endswith(
        f"trio-sctp: the receiver refused {file.name}: a file of that name is there\n"
    )
    assert str(receiver.err).endswith(
        f"trio-sctp: {path} is refused: a file of that name is there\n"
    )
    assert path.read_bytes() == CONTENT
    assert names(folder) == {"mine"}


@pytest.mark.parametrize(
    ("columns", "progress"), [(120, r"━+ +229\.4/229\.4 kB"), (40, r"229\.4/229\.4 kB$")]
)
async def test_progress(
    terminal: OnTerminal, peer: Listener, udp_port: int, file: Path, columns: int, progress: str
) -> None:
    arguments = [HOST, peer.port, "--udp-port", udp_port, "--send", file]
    shown = await terminal("connect", *arguments, columns=columns)
    async with await peer.accept() as association:
        offer = (await association.receive()).data
        assert json.loads(offer.removeprefix(OFFER)) == {"name": file.name, "size": len(CONTENT)}
        await shown.screen.expect("a file .* is offered; the peer")
        await association.send(GO)
        streams = set()
        while not (message := await association.receive()).data.startswith(END):
            streams.add(message.stream)
        assert len(streams) == 8
        await shown.screen.expect(rf"(?m)a file \(1\)\.bin {progress}")
        await association.send(OK)
        with pytest.raises(trio.EndOfChannel):
            await association.receive()
    assert await shown.wait() == 0
    assert "229377 bytes arrived" in str(shown.screen)


def offer(size: int | None = 10, name: object = "name") -> bytes:
    return OFFER + json.dumps({"name": name, "size": size}).encode()


def piece(place: int, data: bytes) -> bytes:
    return PLACE.pack(DATA, place) + data


def end(size: object, data: bytes = b"") -> bytes:
    return END + json.dumps({"size": size, "sha256": hashlib.sha256(data).hexdigest()}).encode()


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([b"garbage"], "not the offer of a file"),
        ([OFFER + b"{"], "not the offer of a file"),
        ([OFFER + b"[]"], "not the offer of a file"),
        ([OFFER + b"[" * 100_000], "not the offer of a file"),
        ([OFFER + b"[" * 2_000], "not the offer of a file"),
        ([offer(name=7)], "not the offer of a file"),
        ([offer(-1)], "not the offer of a file"),
        ([offer(name="../outside")], "a file cannot be named"),
        ([offer(name=".hidden")], "hidden files are not taken"),
        ([offer(name="c:\\outside")], "a file cannot be named"),
        ([offer(name="a\x1b[2Jb")], "a file cannot be named"),
        ([offer(name="ä" * 126)], "a name has 250 bytes at most"),
        ([offer(), b"d"], "are no piece of a file"),
        ([offer(), piece(0, b"12"), piece(0, b"12")], "a piece at 0 is out of place"),
        ([offer(), piece(2, b"12"), piece(2, b"34")], "a piece at 2 is out of place"),
        ([offer(), piece(2, b"12"), piece(3, b"34")], "a piece at 3 is out of place"),
        ([offer(), piece(3, b"12"), piece(2, b"34")], "a piece at 2 is out of place"),
        ([offer(), piece(0, b"1234"), end(4, b"4321")], "the checksum is wrong"),
        ([offer(), piece(0, b"1234"), end(3, b"123")], "the checksum is wrong"),
        ([offer(), END + b"{}"], "not the end of a file"),
        ([offer(), END + b"[" * 2_000], "not the end of a file"),
    ],
)
async def test_what_is_wrong_is_refused_and_leaves_nothing(
    messages: list[bytes], reason: str, run: RunCommand, udp_port: int, folder: Path
) -> None:
    receiver = await listening(run, "--udp-port", udp_port, "--receive", folder)
    async with (
        trio_sctp.userland(peer_udp_port=udp_port),
        await trio_sctp.open_association(HOST, port_of(receiver)) as association,
    ):
        await association.send(messages[0])
        if messages[1:]:
            assert (await association.receive()).data == GO
        for message in messages[1:]:
            await association.send(message)
        with pytest.raises(AssociationLost) as lost:
            await association.receive()
        assert reason in lost.value.end.reason.decode()
    assert await receiver.wait() == 1
    assert " is refused: " in str(receiver.err).splitlines()[-1]
    assert reason in str(receiver.err)
    assert "Traceback" not in str(receiver.err)
    assert names(folder) == set()
    assert names(folder.parent) == {folder.name}


def test_what_comes_ahead_of_a_piece_that_does_not_come_is_limited() -> None:
    size = AHEAD // 8
    assembly = Assembly()
    for number in range(7):
        assert assembly.add(piece(1 + number * size, bytes(size))) == b""
    with pytest.raises(Refused, match=f"more than {AHEAD} bytes wait for the piece at 0"):
        assembly.add(piece(1 + 7 * size, bytes(size)))


def test_the_smallest_pieces_are_limited_by_what_holding_them_takes() -> None:
    assembly = Assembly()
    most = AHEAD // (OVERHEAD + 1)
    for place in range(1, 1 + most):
        assembly.add(piece(place, b"x"))
    with pytest.raises(Refused, match="wait for the piece at 0"):
        assembly.add(piece(1 + most, b"x"))


@pytest.mark.parametrize("seed", range(5))
def test_pieces_in_any_order_make_the_file(seed: int) -> None:
    places = [*range(0, len(CONTENT), 1000)]
    random.Random(seed).shuffle(places)
    assembly = Assembly()
    put = b"".join(assembly.add(piece(p, CONTENT[p : p + 1000])) for p in places)
    assert put == CONTENT
    assert assembly.digest.digest() == hashlib.sha256(CONTENT).digest()


async def test_a_receiver_that_is_killed_leaves_no_file_that_seems_whole(
    run: RunCommand, udp_port: int, folder: Path
) -> None:
    arguments = "--udp-port", udp_port, "--receive", folder
    receiver = await listening(run, *arguments)
    async with trio_sctp.userland(peer_udp_port=udp_port):
        association = await trio_sctp.open_association(HOST, port_of(receiver))
        await association.send(offer())
        assert (await association.receive()).data == GO
        receiver.process.kill()
        await receiver.wait()
        association.abort()
        assert names(folder) == {"name.part"}

        receiver = await listening(run, *arguments)
        async with await trio_sctp.open_association(HOST, port_of(receiver)) as association:
            await association.send(offer())
            with pytest.raises(AssociationLost, match=r"name\.part is there"):
                await association.receive()
        assert await receiver.wait() == 1


async def test_a_file_that_comes_meanwhile_is_not_overwritten(
    run: RunCommand, udp_port: int, folder: Path
) -> None:
    receiver = await listening(run, "--udp-port", udp_port, "--receive", folder)
    async with (
        trio_sctp.userland(peer_udp_port=udp_port),
        await trio_sctp.open_association(HOST, port_of(receiver)) as association,
    ):
        await association.send(offer())
        assert (await association.receive()).data == GO
        write(folder / "name", b"other")
        await association.send(end(0))
        with pytest.raises(AssociationLost, match="a file of that name is there"):
            await association.receive()
    assert await receiver.wait() == 1
    assert names(folder) == {"name"}
    assert (folder / "name").read_bytes() == b"other"


async def test_a_peer_that_does_not_answer_an_offer(autojump_clock: MockClock, file: Path) -> None:
    async with association_pair() as (sender, receiver):
        with pytest.raises(click.ClickException, match="has not answered for 10 s: it has to run"):
            await send_file(sender, str(file), quiet=True)
        assert (await receiver.wait_ended()).reason == b"the offer of a file was not answered"


async def test_a_file_that_cannot_be_written_is_named(
    run: RunCommand, udp_port: int, file: Path, folder: Path
) -> None:
    path = folder / "no such folder" / "name"
    receiver = await listening(run, "--udp-port", udp_port, "--receive", path)
    arguments = [HOST, port_of(receiver), "--udp-port", udp_port, "--send", file]
    sender = await run("connect", *arguments)
    assert (await sender.wait(), await receiver.wait()) == (1, 1)
    assert str(receiver.err).endswith(f"trio-sctp: {path}: No such file or directory\n")
    assert str(sender.err).endswith(f"refused {file.name}: No such file or directory\n")


async def test_a_file_that_is_gone_concerns_one_peer_alone(
    run: RunCommand, udp_port: int, file: Path, folder: Path
) -> None:
    sender = await listening(run, "--udp-port", udp_port, "--keep-open", "--send", file)
    arguments = [HOST, port_of(sender), "--udp-port", udp_port, "--receive", folder]
    away = file.with_suffix(".away")
    rename(file, away)
    first = await run("connect", *arguments)
    assert await first.wait() == 1
    await sender.err.expect(r"\n\* .*\.bin: No such file or directory\n")
    rename(away, file)
    second = await run("connect", *arguments)
    assert await second.wait() == 0
    assert names(folder) == {file.name}
    sender.interrupt()
    assert await sender.wait() == 0


async def test_a_sender_that_stays_when_its_file_has_arrived(
    autojump_clock: MockClock, folder: Path
) -> None:
    async with association_pair() as (sender, receiver):
        await sender.send(offer(0))
        await sender.send(end(0))
        with trio.fail_after(60):
            await receive_file(receiver, str(folder), quiet=True)
    assert names(folder) == {"name"}


def test_a_name_that_receivers_do_not_take_is_refused_by_the_sender(tmp_path: Path) -> None:
    for name in ".hidden", "a" * 251:
        write(tmp_path / name, b"x")
        wrong = done("connect", HOST, 1, "--send", tmp_path / name)
        assert wrong.returncode == 2
        assert f"a file cannot be named {name!r}: " in wrong.stderr
        assert wrong.stderr.count("\n") == 1


async def test_a_long_name(run: RunCommand, udp_port: int, tmp_path: Path, folder: Path) -> None:
    file = tmp_path / ("a" * 250)
    write(file, b"x")
    receiver = await listening(run, "--udp-port", udp_port, "--receive", folder)
    arguments = [HOST, port_of(receiver), "--udp-port", udp_port, "--send", file, "--quiet"]
    sender = await run("connect", *arguments)
    assert await sender.wait() == 0
    assert not sender.err.data
    assert names(folder) == {file.name}
    assert await receiver.wait() == 0


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    wrong = done("listen", 0, "--receive", f"{tmp_path}/new/")
    assert wrong.returncode == 2
    assert "/new/: there is no such folder; see trio-sctp listen --help" in wrong.stderr
    assert names(tmp_path) == set()


@pytest.mark.parametrize("gracefully", [True, False])
async def test_a_sender_that_leaves_early_leaves_nothing(
    gracefully: bool, run: RunCommand, udp_port: int, folder: Path
) -> None:
    receiver = await listening(run, "--udp-port", udp_port, "--receive", folder)
    async with trio_sctp.userland(peer_udp_port=udp_port):
        association = await trio_sctp.open_association(HOST, port_of(receiver))
        await association.send(offer())
        assert (await association.receive()).data == GO
        assert names(folder) == {"name.part"}
        if gracefully:
            await association.aclose()
        else:
            association.abort()
        assert await receiver.wait() == 1
    assert names(folder) == set()
    assert "Traceback" not in str(receiver.err)


async def test_ctrl_c_at_the_sender_leaves_nothing_at_the_receiver(
    run: RunCommand, udp_port: int, folder: Path
) -> None:
    receiver = await listening(run, "--udp-port", udp_port, "--receive", folder)
    sender = await run("connect", HOST, port_of(receiver), "--udp-port", udp_port, "--send", "-")
    await sender.write(CONTENT)
    await sender.err.expect("is offered")
    sender.interrupt()
    assert await sender.wait() == 130
    assert await receiver.wait() == 1
    assert str(receiver.err).endswith("the sender has left before the file was whole\n")
    assert names(folder) == set()


async def test_a_receiver_that_leaves_is_noticed_though_the_input_is_silent(
    run: RunCommand, udp_port: int, folder: Path
) -> None:
    sender = await listening(run, "--udp-port", udp_port, "--send", "-")
    arguments = [HOST, port_of(sender), "--udp-port", udp_port, "--receive", folder / "new"]
    receiver = await run("connect", *arguments)
    await sender.write(b"beginning")
    await sender.err.expect("is offered")
    receiver.interrupt()
    assert await receiver.wait() == 130
    assert await sender.wait() == 1
    assert str(sender.err).endswith(f"trio-sctp: {GONE}\n")
    assert names(folder) == set()


async def test_a_peer_that_is_no_receiver(
    run: RunCommand, peer: Listener, udp_port: int, file: Path
) -> None:
    sender = await run("connect", HOST, peer.port, "--udp-port", udp_port, "--send", file)
    async with await peer.accept() as association:
        await association.receive()
        await association.send(b"hello?")
        assert not (await association.wait_ended()).graceful
    assert await sender.wait() == 1
    assert "the peer does not receive files: it has to run with --receive" in str(sender.err)
