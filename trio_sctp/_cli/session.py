"""What goes to and fro on an association: lines of input, messages, events."""

from __future__ import annotations

import errno
import math
import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import click
import trio

from trio_sctp import (
    AssociationChange,
    AssociationChannel,
    AssociationReset,
    AssociationState,
    Event,
    Message,
    Passive,
    PeerAddressChange,
    ReconfigurationFlags,
    RemoteError,
    SendFailed,
    ShutdownReceived,
    StreamChange,
    StreamReset,
    Window,
    error_string,
)

from .screen import counted, harmless, tell
from .target import shown, shown_ppid

STDIN, STDOUT = 0, 1
PIECE = 16384
"""Bytes of the largest message that is made of raw input."""


@dataclass(kw_only=True)
class Session:
    """How to talk to a peer; the fields are the options of the commands."""

    stream: int
    ppid: int
    unordered: bool
    format: str
    messages: Sequence[str]
    echo: bool
    active: int | None
    wait: float
    quiet: bool
    lifetime: int | None = None
    retransmissions: int | None = None
    priority: int | None = None
    many: bool = False
    """Whether several peers are talked to, so that lines have to say whom they are about."""

    def __post_init__(self) -> None:
        """Raises ValueError if one of the messages cannot be."""
        self._at_end = False
        hexadecimal = self.format == "hex"
        self._given = [from_hex(x) if hexadecimal else os.fsencode(x) for x in self.messages]
        if not all(self._given):
            raise ValueError("a message has to have one byte at least")

    async def run(self, association: AssociationChannel) -> None:
        """Talk until the peer ends the association, or the input ends and nothing more comes."""
        self.tell_of(association)
        patience = trio.CancelScope()
        wrong: list[click.ClickException] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_all, association, patience, wrong)
            await self._receive_all(association, patience)
            nursery.cancel_scope.cancel()
        for error in wrong:
            raise error

    @property
    def cut_short(self) -> bool:
        """Whether an end now is one before all was sent that was to be; a user may stop typing."""
        return not self._at_end and (bool(self._given) or not sys.stdin.isatty())

    def tell_of(self, association: AssociationChannel) -> None:
        self._say(
            association,
            f"up: {', '.join(map(shown, association.peer_addresses))}; streams: "
            f"{association.outbound_streams} out, {association.inbound_streams} in"
            if association.ended is None
            else "it has ended already",
        )

    def _say(self, association: AssociationChannel, text: str, mark: str = "*") -> None:
        if not self.quiet:
            tell(f"{mark} {association.id}: {text}" if self.many else f"{mark} {text}")

    # -- to the peer ---

    async def _send_all(
        self,
        association: AssociationChannel,
        patience: trio.CancelScope,
        wrong: list[click.ClickException],
    ) -> None:
        """Send all there is; `patience` then waits for what the peer has to say to it.

        At what cannot be sent it ends the association, so that what was sent before still arrives.
        """
        try:
            async with aclosing(self._outgoing()) as outgoing:
                async for data in outgoing:
                    await self._send(association, data)
        except click.ClickException as error:
            wrong.append(error)
        else:
            self._at_end = True
            patience.deadline = trio.current_time() + self.wait
            with patience:
                await trio.sleep_forever()
        await association.eof()

    async def _outgoing(self) -> AsyncGenerator[bytes, None]:
        """The messages that the user gives."""
        if self._given:
            for data in self._given:
                yield data
        elif self.many:
            return
        elif self.format == "raw":
            while data := await read_input():
                yield data
        else:
            number = 0
            async with aclosing(_lines()) as lines:
                async for line in lines:
                    number += 1
                    if not line:
                        continue  # no message is empty
                    if self.format == "lines":
                        yield line
                        continue
                    try:
                        yield from_hex(line.decode(errors="replace"))
                    except ValueError as error:
                        if not sys.stdin.isatty():
                            text = f"line {number} of the input: {error}"
                            raise click.ClickException(text) from None
                        tell(f"* {error}")

    async def _send(self, association: AssociationChannel, data: bytes) -> None:
        try:
            await association.send(
                data,
                stream=self.stream,
                ppid=self.ppid,
                unordered=self.unordered,
                lifetime=self.lifetime,
                retransmissions=self.retransmissions,
                priority=self.priority,
            )
        except ValueError as error:
            raise click.ClickException(str(error)) from None

    # -- from the peer ---

    async def _receive_all(
        self, association: AssociationChannel, patience: trio.CancelScope
    ) -> None:
        over = False
        async with association.active(self.active or Window(256)) as inbox:
            while True:
                try:
                    batch = await inbox.receive_batch()
                except trio.EndOfChannel:
                    return
                if patience.deadline < math.inf:
                    patience.deadline = trio.current_time() + self.wait
                quietly = b""
                for record in batch:
                    match record:
                        case Message():
                            data = self._formatted(record.data)
                            if self.quiet:
                                quietly += data
                            else:
                                self._say(association, described(record), "<")
                                await write_output(data)
                            if self.echo:
                                await self._echo(association, record)
                        case Passive() if over:
                            pass  # nothing more can come
                        case Passive():
                            n = self.active or 0
                            text = f"passive: {counted(n, 'record')} taken, {n} more granted"
                            self._say(association, text)
                            inbox.grant(n)
                        case AssociationChange(state=AssociationState.COMM_UP):
                            if self.active:  # it has taken a credit
                                self._say(association, "COMM_UP")
                        case _:
                            self._say(association, told(record))
                            # Not `association.ended`: that is known while messages wait for credit.
                            over = isinstance(record, AssociationChange) and (
                                record.state is not AssociationState.RESTART
                            )
                await write_output(quietly)

    async def _echo(self, association: AssociationChannel, message: Message) -> None:
        if len(message.data) > association.max_send_size:
            text = f"{counted(len(message.data), 'byte')} are too many to send them back"
            association.abort(text.encode())
            raise click.ClickException(f"association {association.id}: {text}")
        await association.send(
            message.data,
            stream=message.stream % association.outbound_streams,
            ppid=message.ppid,
            unordered=message.unordered,
        )

    def _formatted(self, data: bytes) -> bytes:
        terminal = sys.stdout.isatty()
        if self.format == "hex":
            return (dump(data) if terminal else data.hex() + "\n").encode()
        if terminal:
            data = harmless(data.decode(errors="backslashreplace")).encode()
        if self.format == "lines" or (terminal and not data.endswith(b"\n")):
            data += b"\n"
        return data


def described(message: Message) -> str:
    """What came, besides its data."""
    return (
        f"{counted(len(message.data), 'byte')} on stream {message.stream}, PPID "
        f"{shown_ppid(message.ppid)}{', unordered' if message.unordered else ''}"
    )


def told(event: Event) -> str:
    """An event in a line; what the peer wrote is shown as Python shows bytes."""
    match event:
        case AssociationChange(state=AssociationState.SHUTDOWN_COMP):
            return "ended gracefully"
        case AssociationChange(state=AssociationState.RESTART):
            return "restarted by the peer"
        case AssociationChange(state=state, error=error, reason=reason):
            why = f": {error_string(error)}" if error else ""
            return f"{state}{why}{f', {reason!r}' if reason else ''}"
        case PeerAddressChange(address=address, state=state):
            return f"path to {address[0]}: {state}"
        case ShutdownReceived():
            return "the peer shuts down"
        case SendFailed(data=data, stream=stream):
            return f"not delivered: {counted(len(data), 'byte')} on stream {stream}"
        case RemoteError(error=error):
            return f"the peer reports an error: {error_string(error)}"
        case StreamReset(flags=flags, streams=streams):
            way = " and ".join(name for bit, name in _WAYS.items() if flags & bit)
            numbers = f" {' '.join(map(str, streams))}" if streams else ""
            what = f"{'' if streams else 'all '}{way} streams{numbers}"
            return _outcome(flags, f"reset {what}", f"{what} begin anew")
        case AssociationReset(flags=flags):
            return _outcome(flags, "reset all streams and TSNs", "all streams and TSNs begin anew")
        case StreamChange(flags=flags, outbound_streams=outbound, inbound_streams=inbound):
            return _outcome(flags, "add streams", f"streams: {outbound} out, {inbound} in")
        case _:
            return repr(event)


_WAYS = {ReconfigurationFlags.INCOMING: "incoming", ReconfigurationFlags.OUTGOING: "outgoing"}


def _outcome(flags: ReconfigurationFlags, request: str, done: str) -> str:
    """What became of a request to change streams (RFC 6525 section 6.1)."""
    if flags & ReconfigurationFlags.DENIED:
        return f"refused: to {request}"
    if flags & ReconfigurationFlags.FAILED:
        return f"failed: to {request}"
    return done


def dump(data: bytes) -> str:
    """Bytes as a reader of protocols likes them: offset, hex digits, characters."""
    rows: list[str] = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        rows.append(f"{at:04x}  {row.hex(' '):<47}  {text}\n")
    return "".join(rows)


def from_hex(text: str) -> bytes:
    """The bytes that hex digits stand for; spaces and colons may be between them."""
    try:
        data = bytes.fromhex(text.replace(":", " "))
    except ValueError:
        data = b""
    if not data:
        raise ValueError(f"{text!r} is not a message in hex digits, such as 00:15 ff")
    return data


async def read_input(size: int = PIECE, source: int = STDIN) -> bytes:
    """Read what is there, at least one byte; b"" at the end.

    In a thread, as regular files and consoles cannot be waited for otherwise; and without Python's
    buffer, whose lock a thread that is left waiting would keep.
    """
    try:
        return await trio.to_thread.run_sync(os.read, source, size, abandon_on_cancel=True)
    except OSError as error:
        if error.errno == errno.EIO and source == STDIN:
            return b""  # the terminal has gone
        raise


async def write_output(data: bytes) -> None:
    """Write all of it to standard output, however slow the reader is."""
    left = memoryview(data)
    while left:
        try:
            written = await trio.to_thread.run_sync(os.write, STDOUT, left, abandon_on_cancel=True)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from None
        left = left[written:]


async def _lines() -> AsyncGenerator[bytes, None]:
    """The lines of the input, without their ends."""
    left = b""
    while data := await read_input():
        *whole, left = (left + data).split(b"\n")
        for line in whole:
            yield line.rstrip(b"\r")
    if left:
        yield left
