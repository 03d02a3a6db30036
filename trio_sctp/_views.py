"""A channel in other shapes: its events, its payloads alone, and a stream of bytes."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, final

import trio
from trio.lowlevel import enable_ki_protection

from ._background import background
from ._checks import check_bytes, check_integer, check_ppid
from ._interrupts import interrupted_at_checkpoints
from ._socket.sender import NO_DEFAULTS
from ._socket.tcb import Phase, Tcb
from ._values import Event, Notification, SendInfo

if TYPE_CHECKING:
    from ._association import AssociationChannel

MAX_EVENTS = 64
MAX_EVENT_BYTES = 2**20
"""What an event channel holds at most; the oldest events give way."""

STREAM_MESSAGE_SIZE = 16384
"""Bytes of the largest message that a stream sends."""


# -- events ------------------------------------------------------------------------------------


@final
@interrupted_at_checkpoints
class EventChannel(trio.abc.ReceiveChannel[Event]):
    """The events of one association, beside what its channel's ``receive`` takes.

    Made by `trio_sctp.AssociationChannel.events`; lives as long as that block.

    Attributes:
      dropped: Events that gave way to later ones, because nobody took them.
    """

    def __init__(self, channel: AssociationChannel) -> None:
        """Not for programs to call."""
        self.dropped: int = 0
        self._channel = channel  # which lives as long as somebody waits for its events
        self._tcb: Tcb = channel._tcb
        self._events: deque[tuple[Notification, int]] = deque()  # with their sizes
        self._bytes = 0
        self._waiting = trio.lowlevel.ParkingLot()
        self._closed = False
        self._failure: OSError | trio.BrokenResourceError | None = None

    # -- what comes --

    def put(self, event: Notification) -> None:
        """Add an event; the intake calls it."""
        size = len(getattr(event, "data", b"")) + len(getattr(event, "info", b""))
        self._events.append((event, size))
        self._bytes += size
        while len(self._events) > MAX_EVENTS or self._bytes > MAX_EVENT_BYTES:
            self._bytes -= self._events.popleft()[1]
            self.dropped += 1
        self._waiting.unpark()

    async def watch(self) -> None:
        """Read ahead until no event can come any more.  Never raises: `receive` does."""
        tcb = self._tcb
        try:
            while tcb.end is None and not tcb.socket.closing:
                await tcb.wait_changed(ask=False)
        except (OSError, trio.BrokenResourceError) as error:
            self._failure = error
        self._waiting.unpark_all()

    # -- what is taken --

    async def receive(self) -> Event:
        """Take the next event, waiting for it if need be.

        Raises:
          trio.EndOfChannel: the association has ended, in whatever way, and all was taken.
          trio.ClosedResourceError: you left the block of the events, or closed or aborted the
            association.

        Cancellation: nothing was taken.
        """
        await trio.lowlevel.checkpoint()
        while True:
            event = self._take()
            if event is not None:
                return event
            await self._waiting.park()

    def receive_nowait(self) -> Event:
        """Take the next event if one is there, what the stack holds included.

        Returns and errors are those of `receive`, and:

        Raises:
          trio.WouldBlock: there is none.
        """
        socket = self._tcb.socket
        if not self._events and not socket.closing:
            socket.intake.read_ahead()
        event = self._take()
        if event is None:
            raise trio.WouldBlock
        return event

    def _take(self) -> Event | None:
        if self._closed:
            raise trio.ClosedResourceError("the block of these events was left")
        self._tcb.socket.check_open()
        if self._events:
            event, size = self._events.popleft()
            self._bytes -= size
            return event
        if self._tcb.end is not None:
            raise trio.EndOfChannel
        if self._failure is not None:
            raise self._failure
        return None

    async def aclose(self) -> None:
        """Close the channel; see `close`."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Receive no more events; the association goes on."""
        if not self._closed:
            self._closed = True
            self._tcb.socket.intake.copies.remove(self.put)
            self._events.clear()
            self._waiting.unpark_all()


@contextlib.asynccontextmanager
@enable_ki_protection
async def open_events(channel: AssociationChannel) -> AsyncGenerator[EventChannel, None]:
    """Copy a channel's events to another channel for the length of a block."""
    channel._tcb.socket.check_open()
    events = EventChannel(channel)
    channel._tcb.socket.intake.copies.append(events.put)
    try:
        async with background(events.watch, "trio_sctp events"):
            yield events
    finally:
        events.close()


# -- payloads ----------------------------------------------------------------------------------


@final
@interrupted_at_checkpoints
class PayloadChannel(trio.abc.Channel[bytes]):
    """A channel of payloads alone; see `AssociationChannel.payloads`."""

    def __init__(self, channel: AssociationChannel, stream: int, ppid: int) -> None:
        """Not for programs to call."""
        _send_info(channel, stream, ppid)
        self._channel = channel
        self._stream = stream
        self._ppid = ppid

    async def send(self, value: bytes) -> None:
        """Send one message; see `AssociationChannel.send`."""
        await self._channel.send(value, stream=self._stream, ppid=self._ppid)

    async def receive(self) -> bytes:
        """Receive the payload of the next message; see `AssociationChannel.receive`."""
        return (await self._channel.receive()).data

    async def aclose(self) -> None:
        """Close the association; see `AssociationChannel.aclose`."""
        await self._channel.aclose()


# -- a stream of bytes -------------------------------------------------------------------------


@final
@interrupted_at_checkpoints
class ByteStream(trio.abc.Stream):
    """A stream of bytes; see `AssociationChannel.as_stream`."""

    def __init__(self, channel: AssociationChannel, stream: int, ppid: int) -> None:
        """Not for programs to call."""
        self._channel = channel
        self._tcb: Tcb = channel._tcb
        self._info = _send_info(channel, stream, ppid)
        self._sends = _OneTask("another task is already sending on this stream")
        self._receives = _OneTask("another task is already receiving from this stream")
        self._data = b""  # the message that was received last
        self._taken = 0  # bytes of it

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it, in as many messages as it takes; nothing if it is empty.

        Raises:
          trio.BusyResourceError: another task sends.
          AssociationLost: the peer, or the network, ended the association.
          trio.ClosedResourceError: you closed it.

        Cancellation: a part may have been sent.
        """
        check_bytes("data", data)
        view = memoryview(data)
        if not view.contiguous:
            raise ValueError("data must be contiguous bytes, unlike this memoryview")
        view = view.cast("B")
        tcb = self._tcb
        sender = tcb.socket.sender
        with self._sends.guard():
            self._check_sendable()
            if not view:
                await trio.lowlevel.checkpoint()
                return
            size = min(STREAM_MESSAGE_SIZE, sender.size_limit()[0])
            for start in range(0, len(view), size):
                await sender.send(tcb, view[start : start + size], self._info)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the send buffer has room.

        Errors are those of `send_all`.  Cancellation: nothing is changed.
        """
        with self._sends.guard():
            self._check_sendable()
            await self._tcb.socket.sender.wait_might_not_block(self._tcb)

    def _check_sendable(self) -> None:
        self._tcb.socket.check_open()  # first: who closes a stream need not know how it ended
        self._tcb.socket.sender.check_alive(self._tcb)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive some bytes, waiting for them if need be.

        Args:
          max_bytes: The most bytes to receive, 1 or more; None means as many as are at hand: the
            rest of a message.

        Returns:
          At least one byte; ``b""`` after the association has ended gracefully.

        Raises:
          trio.BusyResourceError: another task receives.
          AssociationLost: the association ended in another way.
          trio.ClosedResourceError: you closed or aborted it.

        Cancellation: nothing was taken.
        """
        if max_bytes is not None:
            check_integer("max_bytes", max_bytes, 1)
        with self._receives.guard():
            if self._taken < len(self._data):
                await trio.lowlevel.checkpoint()
                self._tcb.socket.check_open()
            else:
                try:
                    self._data = (await self._channel.receive()).data
                except trio.EndOfChannel:
                    await trio.lowlevel.checkpoint()
                    return b""
                self._taken = 0
            start = self._taken
            end = len(self._data) if max_bytes is None else start + max_bytes
            self._taken = end
            return self._data[start:end]

    async def aclose(self) -> None:
        """Close the association; see `AssociationChannel.aclose`."""
        await self._channel.aclose()


class _OneTask:
    """Something that one task at a time may do."""

    def __init__(self, refusal: str) -> None:
        self._refusal = refusal
        self._busy = False

    @contextlib.contextmanager
    def guard(self) -> Generator[None, None, None]:
        """Refuse any other task for the length of a block."""
        if self._busy:
            raise trio.BusyResourceError(self._refusal)
        self._busy = True
        try:
            yield
        finally:
            self._busy = False


def _send_info(channel: AssociationChannel, stream: int, ppid: int) -> SendInfo:
    """How to send on a stream, in order and for as long as it takes.

    A stream that there is not is refused, unless the association has ended: there may be something
    to receive still.
    """
    tcb = channel._tcb
    tcb.socket.check_open()
    if type(stream) is not int:
        check_integer("stream", stream, 0, tcb.outbound_streams - 1)
    check_ppid(ppid)
    info = NO_DEFAULTS._replace(stream=stream, ppid=ppid)
    if tcb.phase is Phase.UP:
        tcb.socket.sender.check(b"\0", info, tcb.outbound_streams, tcb.id)
    return info
