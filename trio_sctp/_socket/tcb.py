"""What is known of an association, whoever holds handles to it.

Its phases (RFC 9260 section 4 has more states; these are those that the API shows):

    connect ──> HALF_OPEN ──COMM_UP──> UP ──SHUTDOWN_COMP, COMM_LOST──> ENDED
                    └────────────CANT_ASSOC, COMM_LOST────────────────> FAILED
"""

from __future__ import annotations

import enum
import weakref
from typing import TYPE_CHECKING

import trio

from .._errors import AssociationLost, how_it_ended
from .._options import EventSubscription
from .._values import (
    Address,
    AssociationChange,
    AssociationEnd,
    AssociationState,
    FailedFragment,
    SendFailed,
    SendInfo,
)
from .requests import Requests
from .waiter import Waiter

if TYPE_CHECKING:
    from .._association import Association
    from .socket import Socket


class Phase(enum.Enum):
    """How far an association has come."""

    HALF_OPEN = "half-open"
    UP = "up"
    ENDED = "ended"
    FAILED = "failed"
    """It ended without ever having been up."""


class Tcb:
    """What is known of one association (RFC 9260's TCB), whoever holds handles to it.

    The phase says how far the association has come, and ``end`` how it ended.  The rest does not
    follow from that: ``private`` holds until its first event is read, which may be after it came
    up; a program that closed it waits for an end that is the peer's to confirm; and the peer may
    shut down first.
    """

    __slots__ = (
        "_handle",
        "closed_by_us",
        "closed_first",
        "default_send",
        "delivered",
        "dry_seen",
        "dry_waits",
        "end",
        "end_event",
        "fragments",
        "handshake_timeout",
        "id",
        "inbound_streams",
        "our_abort",
        "outbound_streams",
        "peer",
        "peer_shuts_down",
        "phase",
        "private",
        "requests",
        "room_wait",
        "send_lock",
        "socket",
        "subscription",
        "udp_port",
        "undelivered",
        "waiters",
        "watchers",
    )

    def __init__(self, id: int, socket: Socket) -> None:
        self.id: int = id
        self.socket: Socket = socket
        self._handle: weakref.ref[Association] | None = None
        # Dicts for sets, as an empty dict takes a quarter of the memory.
        self.waiters: dict[Waiter, None] = {}
        self.watchers: dict[Waiter, None] = {}  # the stack is not asked for them at a full store
        self.peer: Address | None = None  # one of its addresses; None if it is not known

        self.phase: Phase = Phase.HALF_OPEN
        self.end: AssociationEnd | None = None  # when ended or failed
        self.private: bool = False  # a connect waits for its first event; nobody else sees that
        self.closed_by_us: bool = False  # by eof, abort or aclose
        self.closed_first: bool = False  # and the peer had not begun to shut it down
        self.our_abort: tuple[int, bytes] | None = None  # cause and reason of our own abort
        self.peer_shuts_down: bool = False  # the peer takes no more messages

        self.outbound_streams: int = 0  # 0 while half-open
        self.inbound_streams: int = 0
        self.handshake_timeout: float = 0.0  # seconds before the stack gives up an unanswered INIT
        self.udp_port: int = 0  # that the INIT was sent to; 0 without UDP
        self.send_lock: trio.StrictFIFOLock | None = None
        self.requests: Requests | None = None  # for streams to begin again, or to be added
        self.room_wait: trio.CancelScope | None = None  # of the sender that waits for the stack
        self.default_send: SendInfo | None = None  # once it was read from the stack

        self.subscription: EventSubscription | None = None  # else the socket's
        self.delivered: frozenset[type] | None = None  # the events of its subscription
        self.dry_waits: int = 0  # tasks that wait until all that was sent is acknowledged
        self.dry_seen: int = 0  # how often the stack has said so while one waited

        # What is still being read of its end.
        self.end_event: AssociationChange | None = None
        self.fragments: dict[tuple[int, int, bool, int], list[FailedFragment]] = {}
        self.undelivered: list[SendFailed] = []

    # -- changing ----------------------------------------------------------------------------

    def mark_up(self, outbound_streams: int, inbound_streams: int) -> None:
        """Note that the association is up, or was restarted by the peer."""
        self.phase = Phase.UP
        self.outbound_streams = outbound_streams
        self.inbound_streams = inbound_streams
        self.wake()

    def mark_closed(self) -> None:
        """Note that the program ends the association, and whether the peer has done so before."""
        if not self.closed_by_us:
            self.closed_by_us = True
            self.closed_first = not self.peer_shuts_down

    def mark_ended(self, end: AssociationEnd) -> None:
        """Note that the association has ended, and how."""
        self.phase = Phase.ENDED if self.phase is Phase.UP else Phase.FAILED
        self.end = end
        self.wake()

    def wake(self) -> None:
        """Let everybody who waits for a change of the association look again."""
        for waiter in (*self.waiters, *self.watchers):
            waiter.wake()

    # -- waiting -----------------------------------------------------------------------------

    async def wait_changed(self, *, ask: bool = True) -> None:
        """Wait until the association may have changed, whatever socket it is on.

        ``ask``: behind a full store, have the stack asked for the state.
        """
        waiter = Waiter(state_only=True)
        waiters = self.waiters if ask else self.watchers
        waiters[waiter] = None
        try:
            await self.socket.reader.wait(waiter)
        finally:
            del waiters[waiter]

    async def wait_set_up(self) -> None:
        """Wait until the association is no longer half-open: it is up, or has ended."""
        while self.phase is Phase.HALF_OPEN:
            self.socket.check_open()
            await self.wait_changed()

    async def wait_ended(self) -> AssociationEnd:
        """Wait until the association has ended."""
        if self.end is not None:
            await trio.lowlevel.checkpoint()
        while self.end is None:
            self.socket.check_not_released()
            await self.wait_changed()
        return self.end

    async def wait_sent(self) -> None:
        """Wait until all that was sent on the association is acknowledged or given up."""
        await trio.lowlevel.checkpoint()
        await self.wait_set_up()
        seen = self.dry_seen
        self.dry_waits += 1
        try:
            while self.dry_seen == seen:
                if self.end is not None:
                    self.check_graceful(self.end)
                    return  # or it would not have ended so
                self.socket.check_not_released()
                # Also if it was restarted, which takes all that was sent, or peeled off.
                self.socket.ask_whether_dry(self)
                if self.dry_seen == seen:
                    await self.wait_changed()
        finally:
            self.dry_waits -= 1
            if not self.dry_waits:
                self.socket.ask_no_more(self)

    async def ping(self, address: Address | None) -> float:
        """Measure one heartbeat's round trip in seconds."""
        socket = self.socket
        socket.sender.check_alive(self)
        await trio.lowlevel.checkpoint_if_cancelled()
        await self.wait_set_up()
        socket = self.socket  # another, if it was peeled off meanwhile
        socket.sender.check_alive(self)
        answer: float | None = None
        waiter = Waiter(state_only=True)

        def answered(seconds: float) -> None:
            nonlocal answer
            answer = seconds
            waiter.wake()

        take_back = socket.ping(self, address, answered)
        self.waiters[waiter] = None
        try:
            while answer is None:
                if self.end is not None:
                    self.socket.sender.check_alive(self)
                self.socket.check_not_released()
                await self.socket.reader.wait(waiter)
            return answer
        finally:
            del self.waiters[waiter]
            take_back()

    def get_requests(self) -> Requests:
        """Where tasks ask for streams to begin again, or to be added."""
        if self.requests is None:
            self.requests = Requests(self)
        return self.requests

    # -- what programs see -------------------------------------------------------------------

    def get_handle(self) -> Association:
        """The object by which the program knows the association."""
        handle = None if self._handle is None else self._handle()
        if handle is None:
            handle = self.socket.make_handle(self)
            self.set_handle(handle)
        return handle

    def set_handle(self, handle: Association) -> None:
        """Have programs know the association by this object, for as long as one has it."""
        self._handle = weakref.ref(handle)

    def check_graceful(self, end: AssociationEnd) -> None:
        """Raise if the association has ended in any other way than gracefully."""
        if end.graceful:
            return
        if self.closed_by_us and self.our_abort is not None:
            raise trio.ClosedResourceError(f"association {self.id} was aborted here")
        raise self.lost_error()

    def lost_error(self) -> AssociationLost:
        """The error for a program that still wants to use the association."""
        end = self.end
        if end is None:
            # The peer shuts down, but the end is yet to come; or nothing at all is known of it.
            state = (
                AssociationState.SHUTDOWN_COMP
                if self.peer_shuts_down
                else AssociationState.COMM_LOST
            )
            end = AssociationEnd(association_id=self.id, state=state)
        by_us = self.our_abort is not None
        return AssociationLost(self.get_handle(), end, how_it_ended(end, self.peer, by_us=by_us))
