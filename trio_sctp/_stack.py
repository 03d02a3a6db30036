"""The seam between the Trio objects and an SCTP stack.

A stack supplies sockets.  A stack's socket never blocks but in its two waits, knows nothing of
tasks, credit or cancellation, and reports what it has received as plain values in arrival order.
Everything that the library promises beyond that is made of these calls, once, for all stacks.
"""

from __future__ import annotations

import contextvars
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import trio

from ._options import EventSubscription, Option, Status
from ._values import Address, Arrival, SendInfo

T = TypeVar("T", bound=Option)


class StackSocket(Protocol):
    """One SCTP socket of a stack.

    Association ids are the stack's.  What cannot be done raises `OSError` with the errno that a
    Linux kernel would give; what would have to wait raises `BlockingIOError`.
    """

    one_to_one: bool
    """Whether it carries one association only and is addressed without ids (SOCK_STREAM)."""

    # -- messages ------------------------------------------------------------------------------

    def receive(self, limit: int) -> list[Arrival]:
        """Up to ``limit`` arrivals; none if there are none now."""
        ...

    def has_unread(self) -> bool:
        """Whether `receive` would return something."""
        ...

    async def wait_readable(self) -> None: ...

    def send(
        self, data: bytes | bytearray | memoryview, association_id: int, info: SendInfo
    ) -> None:
        """Take one message whole, or raise and take nothing."""
        ...

    async def wait_writable(self) -> None: ...

    def max_send_size(self) -> tuple[int, str]:
        """Bytes of the largest message that can be sent now, and what to do for a larger one."""
        ...

    # -- associations --------------------------------------------------------------------------

    def connect(self, addresses: Sequence[Address]) -> int:
        """Send an INIT to one peer and return the new association's id."""
        ...

    def listen(self, backlog: int) -> None: ...

    def accept(self) -> StackSocket:
        """The next association of a listening one-to-one socket."""
        ...

    def peel_off(self, association_id: int) -> StackSocket: ...

    def association_ids(self) -> list[int]:
        """All associations of the socket, oldest first."""
        ...

    def status(self, association_id: int) -> Status:
        """Its status, or OSError if there is no such association (any more)."""
        ...

    def pending_error(self) -> int:
        """The errno for which the only association of this socket failed, 0 if it did not."""
        ...

    def shutdown(self, association_id: int) -> None:
        """Start the graceful shutdown (SCTP_EOF)."""
        ...

    def abort(self, association_id: int, reason: bytes) -> None: ...

    # -- addresses -----------------------------------------------------------------------------

    def local_addresses(self, association_id: int | None) -> list[Address]: ...

    def peer_addresses(self, association_id: int) -> list[Address]: ...

    def association_at(self, address: Address) -> int | None:
        """The association with the peer that has this address."""
        ...

    def bind(self, address: Address) -> None:
        """Add a local address, also to the associations that there are (ASCONF)."""
        ...

    def unbind(self, address: Address) -> None: ...

    # -- options and events --------------------------------------------------------------------

    def get_option(
        self, kind: type[T], association_id: int | None, address: Address | None = None
    ) -> T: ...

    def set_option(self, option: Option, association_id: int | None) -> None:
        """Set all fields of an option; of a sparse one, those that are not None."""
        ...

    def subscribe(self, events: EventSubscription, association_id: int | None) -> None:
        """Report these events; all its fields are set."""
        ...

    def subscription(self, association_id: int | None) -> EventSubscription:
        """The events that are reported."""
        ...

    # -- giving it up --------------------------------------------------------------------------

    def close(self, *, abort: bool) -> None:
        """Give the socket up: associations shut down in the background, or are aborted."""
        ...

    def detach(self) -> int:
        """Give the socket up and leave it open, as a descriptor."""
        ...


class Stack(Protocol):
    """A source of sockets."""

    name: str

    def open(
        self,
        local_addresses: Sequence[Address],
        port: int,
        *,
        ipv6: bool,
        options: Sequence[Option],
    ) -> StackSocket:
        """A one-to-many socket bound to ``local_addresses`` (none: any) and ``port``.

        ``options`` are those that have to be set before it is bound.
        """
        ...

    def adopt(self, sock: object, check: Callable[[StackSocket], None]) -> StackSocket:
        """Take over a socket that somebody else made, unless ``check`` raises."""
        ...

    def report(self) -> StackReport: ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StackReport:
    """Whether an SCTP stack works on this machine.

    Attributes:
      name: What ``stack=`` and ``TRIO_SCTP_STACK`` call it.
      available: Whether it works.
      reason: What was found, in one sentence.
      remedy: What would make it work, "" if it works.
    """

    name: str
    available: bool
    reason: str
    remedy: str = ""


_enclosing: contextvars.ContextVar[tuple[trio.lowlevel.TrioToken, Stack] | None] = (
    contextvars.ContextVar("trio_sctp stack", default=None)
)


def enter_stack(stack: Stack) -> contextvars.Token[Any]:
    """A stack's block begins: it is what ``stack=None`` means there, and in tasks that are started
    there; not in other runs of Trio, in threads that are started there."""
    return _enclosing.set((trio.lowlevel.current_trio_token(), stack))


def leave_stack(token: contextvars.Token[Any]) -> None:
    """A stack's block ends."""
    _enclosing.reset(token)


def enclosing_stack() -> Stack | None:
    """The stack whose block we are in; None outside of all."""
    entry = _enclosing.get()
    if entry is None or entry[0] is not trio.lowlevel.current_trio_token():
        return None
    return entry[1]
