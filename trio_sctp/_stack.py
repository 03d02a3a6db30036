"""The seam between the Trio objects and an SCTP stack.

A stack supplies sockets.  A stack's socket blocks only in its two waits.  It knows nothing of
tasks, credit or cancellation, and reports what it has received as plain values in arrival order.
Everything else that the library promises is built on these calls, once, for all stacks.
"""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import trio

from ._frozen import Frozen, frozen
from ._options import EventSubscription, Option, Status
from ._values import (
    Address,
    Arrival,
    AssociationStatistics,
    ReconfigurationRequest,
    SendInfo,
)

T = TypeVar("T", bound=Option)


class Interruptible(Protocol):
    """A wait of the calling task that somebody may cut short, to have the task look around."""

    async def park(self) -> None:
        """Wait until `nudge`, or until somebody else cuts the wait short."""
        ...

    def nudge(self) -> None:
        """Cut the wait short."""
        ...

    async def interruptible(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Run ``wait``, which something else ends, until somebody cuts it short."""
        ...


class StackSocket(Protocol):
    """One SCTP socket of a stack.

    Association ids are the stack's.  A call that cannot be carried out raises `OSError` with the
    errno of the Linux kernel; one that would have to wait raises `BlockingIOError`.
    """

    one_to_one: bool
    """Whether it carries only one association and is addressed without ids (SOCK_STREAM)."""
    room_is_shared: bool
    """Whether its associations share a send buffer, so that none is told of its own room."""
    has_descriptor: bool
    """Whether it is a descriptor of this process; without one, `detach` raises."""

    # -- messages ------------------------------------------------------------------------------

    def receive(self, limit: int) -> list[Arrival]:
        """Take up to ``limit`` arrivals; an empty list if there are none now."""
        ...

    def has_unread(self) -> bool:
        """Whether `receive` would return something."""
        ...

    async def wait_readable(self, waiter: Interruptible) -> None:
        """Wait until `receive` may return something, or somebody cuts the wait short.

        One task at a time waits.  It is closed or its stack has ended: it returns, or raises
        `trio.ClosedResourceError` or `trio.BrokenResourceError`.
        """
        ...

    def send(
        self, data: bytes | bytearray | memoryview, association_id: int, info: SendInfo
    ) -> None:
        """Take a whole message for sending, or raise and take none of it."""
        ...

    async def wait_writable(self, association_id: int | None) -> None:
        """Wait until `send` may have room for a message on an association; None for a new one."""
        ...

    def max_send_size(self) -> tuple[int, str]:
        """The size in bytes of the largest message that can be sent now, and how to raise it."""
        ...

    # -- associations --------------------------------------------------------------------------

    def connect(self, addresses: Sequence[Address]) -> int:
        """Send an INIT to one peer and return the new association's id."""
        ...

    def listen(self, backlog: int) -> None:
        """Let peers set up associations, or refuse new ones if ``backlog`` is 0."""
        ...

    def accept(self) -> StackSocket:
        """Take the next association of a listening one-to-one socket."""
        ...

    def peel_off(self, association_id: int) -> StackSocket:
        """Give an association a socket of its own, and return that socket."""
        ...

    def association_ids(self) -> Collection[int]:
        """The ids of all associations of the socket, oldest first; perhaps a view."""
        ...

    def status(self, association_id: int) -> Status:
        """The status of an association; OSError if it does not exist, or no longer exists."""
        ...

    def statistics(self, association_id: int) -> AssociationStatistics:
        """What has passed between an association and its peer; OSError if it has ended."""
        ...

    def pending_error(self) -> int:
        """The errno with which the socket's only association failed; 0 if it did not fail."""
        ...

    def shutdown(self, association_id: int) -> None:
        """Start the graceful shutdown of an association (SCTP_EOF)."""
        ...

    def abort(self, association_id: int, reason: bytes) -> None:
        """Abort an association (SCTP_ABORT)."""
        ...

    def is_dry(self, association_id: int) -> bool:
        """Whether nothing that was sent on an association that is up has yet to be acknowledged or
        given up; OSError if it does not exist, or no longer exists."""
        ...

    def ping(
        self, association_id: int, address: Address | None, answered: Callable[[float], None]
    ) -> Callable[[], None]:
        """Send a heartbeat to an address of the peer, or where data goes if None.

        ``answered`` is called with the seconds of its round trip, or never.  A heartbeat that is
        under way serves as well.  Returns a function that takes the request back.
        """
        ...

    def reconfigure(
        self, association_id: int, request: ReconfigurationRequest, answered: Callable[[int], None]
    ) -> Callable[[], bool]:
        """Ask the peer to reset or to add streams; no other such request may be on its way.

        Messages that are sent from now on belong behind it.  BlockingIOError: those before are
        queued yet.  ``answered`` is called with the `ReconfigurationResult`, unless the association
        ends before.  Returns a function that takes the request back, and returns whether it has:
        not if it is on its way.
        """
        ...

    # -- addresses -----------------------------------------------------------------------------

    def local_addresses(self, association_id: int | None) -> list[Address]:
        """The local addresses of an association, or of the socket if None."""
        ...

    def peer_addresses(self, association_id: int) -> list[Address]:
        """The peer's addresses."""
        ...

    def association_at(self, address: Address) -> int | None:
        """The id of the association with the peer that has this address; None if there is none."""
        ...

    def bind(self, address: Address) -> None:
        """Add a local address, also to associations that are up (ASCONF)."""
        ...

    def unbind(self, address: Address) -> None:
        """Remove a local address, also from associations that are up (ASCONF)."""
        ...

    # -- options and events --------------------------------------------------------------------

    def get_option(
        self,
        kind: type[T],
        association_id: int | None,
        address: Address | None = None,
        stream: int | None = None,
    ) -> T:
        """The option of an association, or of the socket if None; ``address`` chooses a path, and
        ``stream`` an outbound stream."""
        ...

    def set_option(self, option: Option, association_id: int | None) -> None:
        """Set all fields of an option; of a sparse option only those that are not None."""
        ...

    def subscribe(self, events: EventSubscription, association_id: int | None) -> None:
        """Choose the events that are reported; all fields of ``events`` are set."""
        ...

    def subscription(self, association_id: int | None) -> EventSubscription:
        """The events that are reported."""
        ...

    def report_dry(self, association_id: int, on: bool) -> None:
        """Choose whether `SenderDry` is reported of an association; if it is dry, at once."""
        ...

    # -- the end of the socket -----------------------------------------------------------------

    def close(self, *, abort: bool) -> None:
        """Close the socket; its associations shut down in the background, or are aborted."""
        ...

    def drop(self) -> None:
        """Close the socket without Trio, whose run is over: nobody waits for it."""
        ...

    def detach(self) -> int:
        """Give up the socket without closing it, and return its descriptor."""
        ...


@runtime_checkable
class Stack(Protocol):
    """An SCTP stack, which opens and adopts sockets."""

    name: str
    peer_udp_port: int
    """The UDP port of peers, if SCTP packets travel in UDP packets; 0 if they travel in IP."""

    def open(
        self,
        local_addresses: Sequence[Address],
        port: int,
        *,
        ipv6: bool,
        options: Sequence[Option],
    ) -> StackSocket:
        """Open a one-to-many socket on ``local_addresses``, or any if empty, and ``port``.

        ``options`` are those that have to be set before the socket is bound.
        """
        ...

    def adopt(self, sock: object, check: Callable[[StackSocket], None]) -> StackSocket:
        """Take over a socket that was made elsewhere, unless ``check`` raises."""
        ...

    def resolve(self, name: str) -> Sequence[str] | None:
        """The addresses of a host name, where the stack itself knows what names there are.

        None leaves the name to Trio, as on real networks.  Raises `socket.gaierror` if there is
        no such name.
        """
        ...

    def own_addresses(self) -> list[str]:
        """The IP addresses that can be bound."""
        ...

    def report(self) -> StackReport:
        """Report whether the stack works on this machine."""
        ...


@frozen(kw_only=True)
class StackReport(Frozen):
    """Whether an SCTP stack works on this machine.

    Attributes:
      name: The stack's name, for ``stack=`` and ``TRIO_SCTP_STACK``.
      available: Whether it works.
      reason: Why it works or does not, in one sentence.
      remedy: What would make it work; "" if it works.
    """

    name: str
    available: bool
    reason: str
    remedy: str = ""


_enclosing: contextvars.ContextVar[tuple[trio.lowlevel.TrioToken, Stack] | None] = (
    contextvars.ContextVar("trio_sctp stack", default=None)
)


def enter_stack(stack: Stack) -> contextvars.Token[Any]:
    """Make ``stack`` what ``stack=None`` means, at the beginning of its block.

    This holds in the block and in tasks that are started there.  It does not hold in another run of
    Trio, such as one in a thread that is started there.
    """
    return _enclosing.set((trio.lowlevel.current_trio_token(), stack))


def leave_stack(token: contextvars.Token[Any]) -> None:
    """Undo `enter_stack`, at the end of the block."""
    _enclosing.reset(token)


def enclosing_stack() -> Stack | None:
    """The stack of the innermost block around the caller; None outside of all such blocks."""
    entry = _enclosing.get()
    if entry is None or entry[0] is not trio.lowlevel.current_trio_token():
        return None
    return entry[1]
