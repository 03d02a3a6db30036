"""A file over several streams, checked at the other end.

The sender offers the file and waits for the word to go: what is on other streams could overtake the
offer.  Then pieces leave on one stream after the other, each with its place, and an end that has
the size and the checksum.  The receiver puts the pieces in order, and has the last word: that all
was sent does not say that it is on its disk.  So a file can come out of a pipe, and go into one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
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

from .screen import counted, happenings, tell
from .session import STDIN, read_input, write_output

PIECE = 32 * 1024
AHEAD = 64 * 2**20
"""Bytes that may arrive before others which belong in front of them."""

OFFER, END, DATA = b"trio-sctp file ", b"e", b"d"
PLACE = struct.Struct("!cQ")
GO, OK = b"go", b"ok"
GONE = "the receiver has left before it had the file"


class Refused(Exception):
    """What came is no file, or not one that is taken; the argument says why."""


@contextlib.contextmanager
def _bar(name: str, size: int | None) -> Generator[tuple[Progress, TaskID], None, None]:
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=happenings,
        disable=not happenings.is_terminal,
    )
    with progress:
        yield progress, progress.add_task(name, total=size)


# -- sending -----------------------------------------------------------------------------------


async def send_file(association: AssociationChannel, path: str) -> None:
    """Send a file, or with ``-`` what comes on standard input; returns when the receiver has it."""
    arrived = False
    with _opened(path) as source:
        # The input may be silent for long, and the receiver leave meanwhile.
        try:
            async with association.while_up():
                await _send(association, path, source)
                arrived = True
        except AssociationLost as lost:
            if not lost.end.graceful:
                raise
    if not arrived:
        raise click.ClickException(GONE)


async def _send(association: AssociationChannel, path: str, source: int) -> None:
    size = os.fstat(source).st_size if path != "-" else None
    name = Path(path).name if path != "-" else "standard-input"
    offer = json.dumps({"name": name, "size": size})
    await association.send(OFFER + offer.encode())
    tell(f"* {name} is offered; the peer has to run with --receive")
    await _answer(association, GO)
    digest = hashlib.sha256()
    sent = number = 0
    with _bar(name, size) as (progress, task):
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
    source = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
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
        self._ahead: dict[int, bytes] = {}

    def add(self, message: bytes) -> bytes:
        """Take a piece; gives what now comes next."""
        if len(message) <= PLACE.size:
            raise Refused(f"{len(message)} bytes are no piece of a file")
        _, place = PLACE.unpack_from(message)
        data = message[PLACE.size :]
        if not self.size <= place <= self.size + AHEAD or place in self._ahead:
            raise Refused(f"a piece at {place} is out of place")
        self._ahead[place] = data
        ready: list[bytes] = []
        while (data := self._ahead.pop(self.size, b"")) != b"":
            ready.append(data)
            self.size += len(data)
            self.digest.update(data)
        return b"".join(ready)


def check_offer(message: bytes) -> tuple[str, int | None]:
    """The name and the size in an offer."""
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
        if message.startswith(OFFER):
            offer = json.loads(message.removeprefix(OFFER))
            name, size = offer["name"], offer["size"]
            if not re.fullmatch(r"[^./\\:\s][^/\\:]{,200}", name) or not name.isprintable():
                raise Refused(f"a file cannot be named {name!r}")
            if isinstance(size, int | None):
                return name, size
    raise Refused("what came is not the offer of a file: send it with --send")


def check_end(message: bytes) -> tuple[int, str]:
    """The size and the checksum at the end of a file."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        end = json.loads(message.removeprefix(END))
        if isinstance(end["size"], int) and isinstance(end["sha256"], str):
            return end["size"], end["sha256"]
    raise Refused("what came is not the end of a file")


async def receive_file(association: AssociationChannel, where: str) -> None:
    """Take one file into a folder, a new file, or with ``-`` to standard output.

    What did not come whole is removed, and the sender is told why.
    """
    try:
        name, size = check_offer((await association.receive()).data)
        with contextlib.ExitStack() as undo:
            path, file = _created(where, name)
            if file is not None:
                undo.callback(path.unlink)
                undo.callback(file.close)
            await association.send(GO)
            with _bar(name, size) as (progress, task):
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
            if file is not None:
                file.close()
            undo.pop_all()
        await association.send(OK)
    except (Refused, OSError) as error:
        text = error.strerror if isinstance(error, OSError) else str(error)
        association.abort((text or "the file cannot be written").encode())
        if isinstance(error, BrokenPipeError):
            raise
        raise click.ClickException(f"refused: {text}") from None
    except trio.EndOfChannel:
        raise click.ClickException("the sender has left before the file was whole") from None
    size_said, digest = counted(assembly.size, "byte"), end[1][:16]
    tell(f"* {path if file else name}: {size_said}, sha256 {digest}…, checked")
    async for _ in association:
        pass  # the sender ends it


def _created(where: str, name: str) -> tuple[Path, BinaryIO | None]:
    """The new file to write; None stands for standard output."""
    if where == "-":
        return Path(name), None
    path = Path(where)
    if path.is_dir():
        path /= name
    return path, path.open("xb")
