"""What is known of an association, whoever holds handles to it.

States (RFC 9260 section 4 has more; these are those that the API shows):

    connect ──> half-open ──COMM_UP──> up ──SHUTDOWN_COMP, COMM_LOST──> ended
                    └────────CANT_ASSOC─────────────────────────────────^
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from .._errors import AssociationLost
from .._options import EventSubscription
from .._values import (
    AssociationChange,
    AssociationEnd,
    AssociationState,
    FailedFragment,
    SendFailed,
    SendInfo,
)
from .reader import Waiter

if TYPE_CHECKING:
    from .._association import Association
    from .socket import Socket


class Tcb:
    """What is known of one association (RFC 9260's TCB), whoever holds handles to it."""

    __slots__ = (
        "closed_by_us",
        "default_send",
        "delivered",
        "end",
        "fragments",
        "handle",
        "id",
        "inbound_streams",
        "last_event",
        "local_end",
        "outbound_streams",
        "patience",
        "private",
        "send_lock",
        "shutting_down",
        "socket",
        "subscription",
        "taken",
        "undelivered",
        "up",
        "waiters",
    )

    def __init__(self, id: int, socket: Socket) -> None:
        self.id: int = id
        self.socket: Socket = socket
        self.handle: Association | None = None
        self.up: bool = False
        self.outbound_streams: int = 0
        self.inbound_streams: int = 0
        self.patience: float = (
            0.0  # seconds after which a handshake was not refused, but unanswered
        )
        self.private: bool = False  # a connect waits for its first event; nobody else sees that
        self.closed_by_us: bool = False  # by eof, abort or aclose
        self.shutting_down: bool = False  # the peer takes no more messages
        self.local_end: tuple[int, bytes] | None = None  # cause and reason of our own abort
        self.last_event: AssociationChange | None = None
        self.end: AssociationEnd | None = None
        self.taken: trio.Event | None = None  # set when nothing from before its end is left
        self.subscription: EventSubscription | None = None  # else the socket's
        self.delivered: frozenset[type] | None = None
        self.fragments: dict[tuple[int, int, bool, int], list[FailedFragment]] = {}
        self.undelivered: list[SendFailed] = []
        self.default_send: SendInfo | None = None  # once it was read from the stack
        self.waiters: set[Waiter] = set()
        self.send_lock: trio.StrictFIFOLock | None = None

    def wake(self) -> None:
        for waiter in self.waiters:
            waiter.wake()

    async def changed(self) -> None:
        """Wait until its state may have changed, on whatever socket it is."""
        waiter = Waiter(ahead=True)
        self.waiters.add(waiter)
        try:
            await self.socket.reader.wait(waiter)
        finally:
            self.waiters.discard(waiter)

    async def wait_up(self) -> None:
        """Wait until it is no longer half-open: up, or ended."""
        while not self.up and self.end is None:
            self.socket.check_open()
            await self.changed()

    async def wait_ended(self) -> AssociationEnd:
        """Wait until it has ended."""
        if self.end is not None:
            await trio.lowlevel.checkpoint()
        while self.end is None:
            self.socket.check_not_released()
            await self.changed()
        return self.end

    def get_handle(self) -> Association:
        """The object by which the program knows it."""
        if self.handle is None:
            self.handle = self.socket.make_handle(self)
        return self.handle

    def lost(self) -> AssociationLost:
        """The error for whoever still wants to use it."""
        end = self.end
        if end is None:
            # The peer shuts down, but the end is yet to come; or nothing at all is known of it.
            state = (
                AssociationState.SHUTDOWN_COMP if self.shutting_down else AssociationState.COMM_LOST
            )
            end = AssociationEnd(association_id=self.id, state=state)
        return AssociationLost(self.get_handle(), end)
