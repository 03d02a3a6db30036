"""The ways to receive that are compared, on any kind of socket.

A contender takes over a non-blocking socket and yields a function that receives a number of
messages.  What a program would do with a message is left out, but the hand-written loops unpack its
SCTP_RCVINFO, without which a program could not know whose message it is.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import trio

from trio_sctp import AssociationChannel, Endpoint, Message, Passive, Window

Queue = Endpoint | AssociationChannel
Adopt = Callable[[socket.socket], Queue]
Receive = Callable[[int], Awaitable[None]]
Receiver = Callable[[socket.socket, Adopt], AbstractAsyncContextManager[Receive]]

SIZE, ANCILLARY_SIZE = 65536, 256
RCVINFO = struct.Struct("=HHHxxIIIIi")
"""struct sctp_rcvinfo: stream, ssn, flags, ppid, tsn, cumulative tsn, context, association id."""


@asynccontextmanager
async def bare_loop(sock: socket.socket, adopt: Adopt) -> AsyncIterator[Receive]:
    """Call ``recvmsg``, and ``poll`` when there is nothing: as lean as Python can be."""
    recvmsg = sock.recvmsg
    unpack = RCVINFO.unpack
    poll = select.poll()
    poll.register(sock, select.POLLIN)

    async def receive(count: int) -> None:
        for _ in range(count):
            while True:
                try:
                    _, ancillary, _, _ = recvmsg(SIZE, ANCILLARY_SIZE)
                    break
                except BlockingIOError:
                    poll.poll()
            unpack(ancillary[0][2])

    with sock:
        yield receive


@asynccontextmanager
async def trio_loop(sock: socket.socket, adopt: Adopt) -> AsyncIterator[Receive]:
    """A loop as one would write it by hand for Trio: one checkpoint a message, and none is lost."""
    recvmsg = sock.recvmsg
    unpack = RCVINFO.unpack

    async def receive(count: int) -> None:
        for _ in range(count):
            await trio.lowlevel.checkpoint()
            while True:
                try:
                    _, ancillary, _, _ = recvmsg(SIZE, ANCILLARY_SIZE)
                    break
                except BlockingIOError:
                    await trio.lowlevel.wait_readable(sock)
            unpack(ancillary[0][2])

    with sock:
        yield receive


@asynccontextmanager
async def at_once(queue: Queue) -> AsyncIterator[None]:
    """Leave a queue's block by an abort, as its peer would never stop sending."""
    with trio.CancelScope() as scope:
        async with queue:
            yield
            scope.cancel()


@asynccontextmanager
async def passive(sock: socket.socket, adopt: Adopt) -> AsyncIterator[Receive]:
    """Receive by ``await receive()``."""
    queue = adopt(sock)

    async def receive(count: int) -> None:
        while count > 0:
            if isinstance(await queue.receive(), Message):
                count -= 1

    async with at_once(queue):
        yield receive


@asynccontextmanager
async def passive_batches(sock: socket.socket, adopt: Adopt) -> AsyncIterator[Receive]:
    """Receive by ``await receive_batch()``."""
    queue = adopt(sock)

    async def receive(count: int) -> None:
        while count > 0:
            for record in await queue.receive_batch():
                if isinstance(record, Message):
                    count -= 1

    async with at_once(queue):
        yield receive


def active(mode: int | Window) -> Receiver:
    """Receive by ``await inbox.receive()``, granting credit again on every `Passive`."""

    @asynccontextmanager
    async def receiver(sock: socket.socket, adopt: Adopt) -> AsyncIterator[Receive]:
        queue = adopt(sock)

        async def receive(count: int) -> None:
            while count > 0:
                record = await inbox.receive()
                if isinstance(record, Message):
                    count -= 1
                elif isinstance(record, Passive) and isinstance(mode, int):
                    inbox.grant(mode)

        async with at_once(queue), queue.active(mode) as inbox:
            yield receive

    return receiver


def active_batches(mode: int | Window) -> Receiver:
    """Receive by ``await inbox.receive_batch()``, granting credit again on every `Passive`."""

    @asynccontextmanager
    async def receiver(sock: socket.socket, adopt: Adopt) -> AsyncIterator[Receive]:
        queue = adopt(sock)

        async def receive(count: int) -> None:
            while count > 0:
                for record in await inbox.receive_batch():
                    if isinstance(record, Message):
                        count -= 1
                    elif isinstance(record, Passive) and isinstance(mode, int):
                        inbox.grant(mode)

        async with at_once(queue), queue.active(mode) as inbox:
            yield receive

    return receiver


BARE = "bare loop"
TRIO = "Trio loop"
THEIRS: dict[str, Receiver] = {BARE: bare_loop, TRIO: trio_loop}
SINGLY: dict[str, Receiver] = {
    "receive": passive,
    "receive, active(100)": active(100),
    "receive, active(32767)": active(32767),
    "receive, Window(100)": active(Window(100)),
}
IN_BATCHES: dict[str, Receiver] = {
    "batches": passive_batches,
    "batches, active(100)": active_batches(100),
    "batches, active(32767)": active_batches(32767),
    "batches, Window(100)": active_batches(Window(100)),
}
RECEIVERS = THEIRS | SINGLY | IN_BATCHES
