"""A file over parallel streams, checked at the other end.

    python -m examples.file_transfer receive FOLDER
    python -m examples.file_transfer send FILE 127.0.0.1 --streams 8

A chunk says where it belongs, and goes on the next stream.  So the receiver writes chunks as they
come: one that was lost, and is sent again, holds up only what follows it on its own stream.  The
offer of a file goes ahead of it, and is waited for, since chunks on other streams could overtake
it.  The last word is the receiver's: that all was sent does not say that it is on its disk.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import re
import struct
import sys
from pathlib import Path

import trio

import trio_sctp
from trio_sctp import Association, AssociationChannel, AssociationLost, InitMsg

PORT = 2007
CHUNK = 32 * 1024
OFFER = struct.Struct("!Q32s")  # size and SHA-256; the name follows
OFFSET = struct.Struct("!Q")  # of a chunk, which follows
GO, OK = b"go", b"ok"


class Refused(Exception):
    """What comes is no file, or not one that is taken; the argument says why."""


def sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def check_offer(offer: bytes) -> tuple[int, bytes, str]:
    if len(offer) <= OFFER.size:
        raise Refused(f"an offer has {OFFER.size} bytes and a name, not {len(offer)} bytes")
    size, digest = OFFER.unpack_from(offer)
    name = offer[OFFER.size :].decode(errors="replace")
    if not re.fullmatch(r"\w[\w. -]{,200}", name):
        raise Refused(f"the name of a file must be letters, digits, dots and dashes, not {name!r}")
    return size, digest, name


async def take(sender: AssociationChannel, path: Path, size: int) -> None:
    """Write a file's chunks to where they belong, each once."""
    arrived: set[int] = set()
    async with await trio.open_file(path, "wb") as file:
        while len(arrived) * CHUNK < size:
            chunk = (await sender.receive()).data
            (offset,) = OFFSET.unpack_from(chunk.ljust(OFFSET.size, b"\xff"))
            length = min(CHUNK, size - offset)
            if offset in arrived or offset % CHUNK or len(chunk) - OFFSET.size != length:
                raise Refused(f"{len(chunk)} bytes are no chunk at {offset} of {size} bytes")
            arrived.add(offset)
            await file.seek(offset)
            await file.write(chunk[OFFSET.size :])


async def receive(sender: AssociationChannel, *, folder: Path) -> None:
    """Take one file from a peer; what did not come whole is removed."""
    try:
        size, digest, name = check_offer((await sender.receive()).data)
        path = folder / name
        with contextlib.ExitStack() as undo:
            path.touch(exist_ok=False)
            undo.callback(path.unlink)
            await sender.send(GO)
            await take(sender, path, size)
            if await trio.to_thread.run_sync(sha256, path) != digest:
                raise Refused("the checksum is wrong")
            undo.pop_all()
        print(f"{path}: {size} bytes")
        await sender.send(OK)
    except (Refused, OSError) as error:
        print(f"{sender!r} was refused: {error}")
        reason = error.strerror if isinstance(error, OSError) else str(error)
        sender.abort((reason or "it cannot be written").encode())
    except trio.EndOfChannel:
        print(f"{sender!r} has left too early")


async def send(path: Path, host: str, port: int = PORT, *, streams: int = 8) -> None:
    """Send a file; returns when the receiver has it.

    Raises:
      ConnectFailed: there is no receiver.
      AssociationLost: the receiver refused the file, and says why, or was lost.
      trio.EndOfChannel: the receiver has left.
    """
    size = (await trio.Path(path).stat()).st_size
    digest = await trio.to_thread.run_sync(sha256, path)
    options = [InitMsg(num_ostreams=streams)]
    async with await trio_sctp.open_association(host, port, options=options) as receiver:
        await receiver.send(OFFER.pack(size, digest) + path.name.encode())
        await receiver.receive()  # GO
        async with await trio.open_file(path, "rb") as file:
            for number, offset in enumerate(range(0, size, CHUNK)):
                chunk = OFFSET.pack(offset) + await file.read(CHUNK)
                await receiver.send(chunk, stream=number % receiver.outbound_streams)
        await receiver.receive()  # OK


async def serve(folder: Path, port: int = PORT) -> None:
    def report(error: Exception, sender: Association) -> None:
        print(f"{sender!r}: {error!r}")

    handler = functools.partial(receive, folder=folder)
    largest = OFFSET.size + CHUNK
    await trio_sctp.serve(handler, port, max_message_size=largest, on_error=report)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    receiver = commands.add_parser("receive")
    receiver.add_argument("folder", type=Path)
    sender = commands.add_parser("send")
    sender.add_argument("file", type=Path)
    sender.add_argument("host")
    sender.add_argument("--streams", type=int, default=8)
    for command in receiver, sender:
        command.add_argument("--port", type=int, default=PORT)
    arguments = parser.parse_args()
    try:
        if arguments.command == "receive":
            trio.run(serve, arguments.folder, arguments.port)
        else:
            run = functools.partial(send, streams=arguments.streams)
            trio.run(run, arguments.file, arguments.host, arguments.port)
            print(f"{arguments.file} has arrived")
    except AssociationLost as lost:
        sys.exit(str(lost))
    except OSError as error:
        sys.exit(": ".join(filter(None, [error.filename, error.strerror])))
    except trio.EndOfChannel:
        sys.exit("the receiver has left before it had the file")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
