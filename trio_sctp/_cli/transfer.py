"""A file over several streams, checked at the other end.

The sender offers the file and waits for the word to go: what is on other streams could overtake the
offer.  Then pieces leave on one stream after the other, each with its place, and an end that has
the size and the checksum.  The receiver puts the pieces in order, and has the last word: that all
was sent does not say that it is on its disk.  So a file can come out of a pipe, and go into one.
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import json
import math
import os
import re
import struct
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

import click
import trio
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from trio_sctp import AssociationChannel, AssociationLost

from .screen import counted, happenings, harmless, tell
from .session import STDIN, read_input, write_output
from .untrusted import fields, json_object

WIDE = 80
"""Columns of a terminal from which on the progress has a bar, a speed and a time."""
PIECE = 32 * 1024
AHEAD = 64 * 2**20
"""Bytes that may be held until others arrive which belong in front of them."""
OVERHEAD = 256
"""Bytes that a piece that is held takes besides its data."""

PART = ".part"
"""What the name of a file ends with until it is whole."""
LONGEST_NAME = 255 - len(PART)
"""Bytes; most file systems have names of 255."""
ANSWER_WITHIN = 10
"""Seconds that a peer has to answer an offer, and to leave when its file has arrived."""

OFFER, END, DATA = b"trio-sctp file ", b"e", b"d"
PLACE = struct.Struct("!cQ")
GO, OK = b"go", b"ok"
GONE = "the receiver has left before it had the file"
THERE = "a file of that name is there"


class Refused(Exception):
    """What came is no file, or not one that is taken; the argument says why."""


def check_name(name: str) -> None:
    """Raise `Refused` if receivers take no file of that name."""
    if name.startswith("."):
        why = "hidden files are not taken"
    elif len(name.encode(errors="surrogatepass")) > LONGEST_NAME:
        why = f"a name has {LONGEST_NAME} bytes at most"
    elif not re.fullmatch(r"[^/\\:\s][^/\\:]*", name) or not name.isprintable():
        why = "one of its characters is not taken"
    else:
        return
    raise Refused(f"a file cannot be named {name!r}: {why}")


@contextlib.contextmanager
def _bar(
    name: str, size: int | None, *, quiet: bool
) -> Generator[tuple[Progress, TaskID], None, None]:
    wide = happenings.width >= WIDE
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        *([BarColumn()] if wide else []),
        DownloadColumn(),
        *([TransferSpeedColumn(), TimeRemainingColumn()] if wide else []),
        console=happenings,
        disable=quiet or not happenings.is_terminal,
    )
    with progress:
        yield progress, progress.add_task(name, total=size)


# -- sending -----------------------------------------------------------------------------------


async def send_file(association: AssociationChannel, path: str, *, quiet: bool = False) -> None:
    """Send a file, or with ``-`` what comes on standard input; returns when the receiver has it."""
    name = Path(path).name if path != "-" else "standard-input"
    arrived = False
    try:
        with _opened(path) as source:
            # The input may be silent for long, and the receiver leave meanwhile.
            async with association.while_up():
                size = os.fstat(source).st_size if path != "-" else None
                await _send(association, name, size, source, quiet=quiet)
                arrived = True
    except AssociationLost as lost:
        reason = harmless(lost.end.reason.decode(errors="backslashreplace"))
        if reason:
            raise click.ClickException(f"the receiver refused {name}: {reason}") from None
        if not lost.end.graceful:
            raise
    if not arrived:
        raise click.ClickException(GONE)


async def _send(
    association: AssociationChannel, name: str, size: int | None, source: int, *, quiet: bool
) -> None:
    offer = json.dumps({"name": name, "size": size})
    await association.send(OFFER + offer.encode())
    if not quiet:
        tell(f"* {name} is offered; the peer has to run with --receive")
    with trio.move_on_after(ANSWER_WITHIN) as waiting:
        await _answer(association, GO)
    if waiting.cancelled_caught:
        association.abort(b"the offer of a file was not answered")
        raise click.ClickException(
            f"the peer has not answered for {ANSWER_WITHIN} s: it has to run with --receive"
        )
    digest = hashlib.sha256()
    sent = number = 0
    with _bar(name, size, quiet=quiet) as (progress, task):
        while data := await read_input(PIECE, source):
            digest.update(data)
            stream = number % association.outbound_streams
            await association.send(PLACE.pack(DATA, sent) + data, stream=stream)
            sent, number = sent + len(data), number + 1
            progress.update(task, completed=sent)
        end = json.dumps({"size": sent, "sha256": digest.hexdigest()})
        await association.send(END + end.encode())
        await _answer(association, OK)
        progress.update(task, completed=sent, total=sent)
    if quiet:
        return
    tell(
        f"* {name}: {counted(sent, 'byte')} arrived, and checked; "
        f"{counted(association.outbound_streams, 'stream')}, "
        f"{counted(association.statistics().retransmitted, 'retransmission')}"
    )


@contextlib.contextmanager
def _opened(path: str) -> Generator[int, None, None]:
    if path == "-":
        yield STDIN
        return
    try:
        source = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from None
    try:
        yield source
    finally:
        os.close(source)


async def _answer(association: AssociationChannel, wanted: bytes) -> None:
    try:
        message = await association.receive()
    except trio.EndOfChannel:
        raise click.ClickException(GONE) from None
    if message.data != wanted:
        association.abort(b"that is no answer to a file")
        raise click.ClickException("the peer does not receive files: it has to run with --receive")


# -- receiving ---------------------------------------------------------------------------------


class Assembly:
    """The pieces of a file, put in order."""

    def __init__(self) -> None:
        self.size = 0
        self.digest = hashlib.sha256()
        self._places: list[int] = []
        """Where the pieces belong that are held, in order."""
        self._held: dict[int, bytes] = {}
        self._bytes_held = 0

    def add(self, message: bytes) -> bytes:
        """Take a piece; gives what now comes next."""
        if len(message) <= PLACE.size:
            raise Refused(f"{len(message)} bytes are no piece of a file")
        _, place = PLACE.unpack_from(message)
        data = message[PLACE.size :]
        index = bisect.bisect_left(self._places, place)
        before = self._places[index - 1] if index else None
        begin = self.size if before is None else before + len(self._held[before])
        after = self._places[index] if index < len(self._places) else math.inf
        if place < begin or place + len(data) > after:
            raise Refused(f"a piece at {place} is out of place")
        self._bytes_held += len(data) + OVERHEAD
        if self._bytes_held > AHEAD and place > self.size:
            raise Refused(f"more than {AHEAD} bytes wait for the piece at {self.size}")
        self._places.insert(index, place)
        self._held[place] = data
        ready: list[bytes] = []
        while (data := self._held.pop(self.size, b"")) != b"":
            ready.append(data)
            self.size += len(data)
            self._bytes_held -= len(data) + OVERHEAD
            self.digest.update(data)
        del self._places[: len(ready)]
        return b"".join(ready)


def check_offer(message: bytes) -> tuple[str, int | None]:
    """The name and the size in an offer."""
    with contextlib.suppress(ValueError):
        if message.startswith(OFFER):
            said = json_object(message.removeprefix(OFFER))
            sized = {"size": int} if said.get("size") is not None else {}
            offer = fields(said, {"name": str}, sized)
            check_name(offer["name"])
            return offer["name"], offer.get("size")
    raise Refused("what came is not the offer of a file: send it with --send")


def check_end(message: bytes) -> tuple[int, str]:
    """The size and the checksum at the end of a file."""
    with contextlib.suppress(ValueError):
        end = fields(message.removeprefix(END), {"size": int, "sha256": str})
        return end["size"], end["sha256"]
    raise Refused("what came is not the end of a file")


async def receive_file(association: AssociationChannel, where: str, *, quiet: bool = False) -> None:
    """Take one file into a folder, a new file, or with ``-`` to standard output.

    What did not come whole is removed, and the sender is told why.
    """
    here = "what the peer sends"
    try:
        name, size = check_offer((await association.receive()).data)
        with contextlib.ExitStack() as undo:
            path = part = file = None
            if where == "-":
                here = "standard output"
            else:
                path = _path(where, name)
                here = str(path)
                part, file = _opened_part(path)
                undo.callback(part.unlink)
                undo.callback(file.close)
            await association.send(GO)
            with _bar(name, size, quiet=quiet) as (progress, task):
                assembly = Assembly()
                end: tuple[int, str] | None = None
                while end is None or assembly.size < end[0]:
                    message = (await association.receive()).data
                    if message.startswith(END):
                        end = check_end(message)
                    elif data := assembly.add(message):
                        if file is None:
                            await write_output(data)
                        else:
                            await trio.to_thread.run_sync(file.write, data)
                        progress.update(task, completed=assembly.size)
                progress.update(task, total=assembly.size)
            if end != (assembly.size, assembly.digest.hexdigest()):
                raise Refused("the checksum is wrong")
            if path is not None and part is not None and file is not None:
                file.close()
                _name_finally(part, path)
            undo.pop_all()
        await association.send(OK)
    except Refused as error:
        association.abort(str(error).encode())
        raise click.ClickException(f"{here} is refused: {error}") from None
    except OSError as error:
        text = error.strerror or "it cannot be written"
        association.abort(text.encode())
        if isinstance(error, BrokenPipeError):
            raise
        raise click.ClickException(f"{here}: {text}") from None
    except trio.EndOfChannel:
        raise click.ClickException("the sender has left before the file was whole") from None
    if not quiet:
        size_said, digest = counted(assembly.size, "byte"), end[1][:16]
        tell(f"* {path or name}: {size_said}, sha256 {digest}…, checked")
    with trio.move_on_after(ANSWER_WITHIN):
        async for _ in association:
            pass  # the sender ends it


def _path(where: str, name: str) -> Path:
    path = Path(where)
    return path / name if path.is_dir() else path


def _opened_part(path: Path) -> tuple[Path, BinaryIO]:
    """The new file that has the beginning of another one, which is not there yet."""
    if os.path.lexists(path):
        raise Refused(THERE)
    part = path.with_name(path.name + PART)
    try:
        return part, part.open("xb")
    except FileExistsError:
        raise Refused(
            f"{part.name} is there: another transfer writes it, or has left it behind"
        ) from None


def _name_finally(part: Path, path: Path) -> None:
    try:
        path.open("xb").close()  # renaming alone would overwrite a file that has come meanwhile
    except FileExistsError:
        raise Refused(THERE) from None
    part.replace(path)
