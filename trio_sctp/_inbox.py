"""Active mode: what a program receives from.  How credit works stands in `_socket.credit`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Generic, TypeVar, final

import trio
from trio.lowlevel import enable_ki_protection

from ._background import background
from ._checks import check_integer
from ._interrupts import interrupted_at_checkpoints
from ._socket.credit import Delivery, Lane, Mode
from ._socket.socket import Socket
from ._values import Event, Message, Passive

DEFAULT_BATCH = 256
"""The most records in one batch, unless the caller gives a limit."""

R = TypeVar("R", bound=Message | Event)


@interrupted_at_checkpoints
class _Channel(trio.abc.ReceiveChannel[R], Generic[R]):
    """What an inbox and its halves have in common: they are received from."""

    def __init__(self, delivery: Delivery, lane: Lane[R]) -> None:
        """Not for programs to call."""
        self._delivery = delivery
        self._lane = lane

    async def receive(self) -> R:
        """Take the next record, waiting for it if need be.

        Returns:
          A `Message`, an event, or `Passive` when the credit is used up.

        Raises:
          trio.EndOfChannel: the association of a channel ended gracefully and all was taken.
          AssociationLost: it ended in another way and all was taken.
          trio.ClosedResourceError: you left the inbox's block, or closed its socket.

        Cancellation: nothing was taken.  Without credit it waits until some is granted.
        """
        lane = self._lane
        await lane.wait()
        return lane.take()

    def receive_nowait(self) -> R:
        """Take the next record if one is there (gen_sctp ``recv/2`` with a timeout of 0).

        What the stack holds is delivered first, if there is credit for it.

        Returns and errors are those of `receive`, and:

        Raises:
          trio.WouldBlock: nothing is there, or no credit to deliver it.
        """
        lane = self._lane
        lane.check_now()
        return lane.take()

    async def receive_batch(self, limit: int = DEFAULT_BATCH) -> list[R]:
        """Take all that is there, at least one record, for the price of one checkpoint.

        Args:
          limit: The most records to take, 1 or more.

        Raises and cancellation: as `receive`.
        """
        check_limit(limit)
        lane = self._lane
        await lane.wait()
        return lane.take_batch(limit)

    async def aclose(self) -> None:
        """Close the channel; see `close`."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Receive no more from here."""
        self._delivery.close_half(self._lane)


@final
@interrupted_at_checkpoints
class Half(_Channel[R]):
    """One of the two channels of a split inbox: messages, or events.

    Closing the channel of events drops them, and they take no credit from then on.  Messages of a
    closed channel are kept for the next reader.
    """


@final
@interrupted_at_checkpoints
class Inbox(_Channel[Message | Event]):
    """Records of an endpoint or channel in arrival order, delivered against credit.

    Made by ``active``; lives as long as that block.  See the user's guide on active mode.
    """

    def __init__(self, delivery: Delivery) -> None:
        """Not for programs to call."""
        super().__init__(delivery, delivery.whole)

    @property
    def credit(self) -> int:
        """Records that may still be delivered."""
        return self._delivery.credit

    def grant(self, n: int) -> None:
        """Add to the credit (gen_sctp ``{active, N}``).

        Args:
          n: -32768 to 32767.  A sum below 0 counts as 0, and a sum of 0 delivers a `Passive`, even
            if there was no credit before.

        Raises:
          ValueError: ``n``, or the sum, is out of range, or the mode is a `Window`; nothing
            changed.
        """
        self._delivery.grant(n)

    def once(self) -> None:
        """Deliver one more record and no `Passive` (gen_sctp ``{active, once}``).

        Whatever credit there was is replaced.

        Raises:
          ValueError: the mode is a `Window`.
        """
        self._delivery.once()

    def split(
        self,
    ) -> tuple[Half[Message | Passive], Half[Event]]:
        """Replace this channel by two, for a program with a task for each.

        Returns:
          A channel of messages, on which `Passive` comes too, and a channel of events.  Closing
          the latter drops events, which then take no credit.  Credit stays with the inbox, which
          itself can no longer be received from.

        Raises:
          trio.ClosedResourceError: it is split already, or its block was left.
        """
        messages, events = self._delivery.split()
        return Half(self._delivery, messages), Half(self._delivery, events)

    def close(self) -> None:
        """Stop delivery; what was not taken goes back to the next reader."""
        self._delivery.leave()


def check_limit(limit: int) -> None:
    """Refuse a batch of nothing."""
    check_integer("the limit of a batch", limit, 1)


@contextlib.asynccontextmanager
@enable_ki_protection
async def open_inbox(
    face: object, socket: Socket, mode: Mode, ended: Callable[[], None]
) -> AsyncGenerator[Inbox, None]:
    """Deliver a socket's records to an inbox for the length of a block.

    ``face`` is the endpoint or channel, which is not forgotten while its inbox is open.  ``ended``
    raises if no record can come any more.
    """
    socket.check_open()
    queue = socket.queue
    queue.begin_receive()
    try:
        delivery = queue.inbox = Delivery(socket, mode, ended)
    finally:
        queue.receiver = None
    try:
        queue.recount()
        async with background(delivery.pump, "trio_sctp inbox"):
            delivery.fill()
            yield Inbox(delivery)
    finally:
        delivery.leave()
