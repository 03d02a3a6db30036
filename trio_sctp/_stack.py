"""The seam between the Trio objects and an SCTP stack, and the choice of a stack.

A stack supplies sockets.  A stack's socket never blocks but in its two waits, knows nothing of
tasks, credit or cancellation, and reports what it has received as plain values in arrival order.
Everything that the library promises beyond that is made of these calls, once, for all stacks.
"""

from __future__ import annotations

import contextvars
import dataclasses
import errno
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import trio

from ._errors import StackUnavailable
from ._options import EventSubscription, Option, Status
from ._values import Address, Message, Notification

T = TypeVar("T", bound=Option)


class SendInfo(NamedTuple):
    """How a message is to be sent (RFC 6458 section 5.3.4, its lifetime in milliseconds, and the
    peer's address that it is to go to, if not the primary one)."""

    stream: int
    ppid: int
    unordered: bool
    context: int
    lifetime: int
    address: Address | None = None


@dataclasses.dataclass(slots=True)
class Piece:
    """Part of a message of which more will come; the last part is a plain `Message`."""

    message: Message


@dataclasses.dataclass(slots=True, kw_only=True)
class FailedFragment:
    """One fragment of a message that could not be delivered; `SendFailed` joins them."""

    association_id: int
    data: bytes
    first: bool
    last: bool
    sent: bool
    error: int
    stream: int
    ppid: int
    unordered: bool
    context: int


Arrival: TypeAlias = Message | Piece | Notification | FailedFragment


class StackSocket(Protocol):
    """One SCTP socket of a stack.

    Association ids are the stack's.  What cannot be done raises `OSError` with the errno that a
    Linux kernel would give; what would have to wait raises `BlockingIOError`.
    """

    one_to_one: bool
    """Whether it carries one association only and is addressed without ids (SOCK_STREAM)."""

    def receive(self, limit: int) -> list[Arrival]:
        """Up to ``limit`` arrivals; none if there are none now."""
        ...

    def has_unread(self) -> bool:
        """Whether `receive` would return something."""
        ...

    def send(
        self, data: bytes | bytearray | memoryview, association_id: int, info: SendInfo
    ) -> None:
        """Take one message whole, or raise and take nothing."""
        ...

    async def wait_readable(self) -> None: ...

    async def wait_writable(self) -> None: ...

    def connect(self, addresses: Sequence[Address]) -> int:
        """Send an INIT to one peer and return the new association's id."""
        ...

    def shutdown(self, association_id: int) -> None:
        """Start the graceful shutdown (SCTP_EOF)."""
        ...

    def abort(self, association_id: int, reason: bytes) -> None: ...

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

    def local_addresses(self, association_id: int | None) -> list[Address]: ...

    def peer_addresses(self, association_id: int) -> list[Address]: ...

    def association_at(self, address: Address) -> int | None:
        """The association with the peer that has this address."""
        ...

    def bind(self, address: Address) -> None:
        """Add a local address, also to the associations that there are (ASCONF)."""
        ...

    def unbind(self, address: Address) -> None: ...

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

    def max_send_size(self) -> tuple[int, str]:
        """Bytes of the largest message that can be sent now, and what to do for a larger one."""
        ...

    def close(self, *, abort: bool) -> None:
        """Give the socket up: associations shut down in the background, or are aborted."""
        ...

    def detach(self) -> int:
        """Give the socket up and leave it open, as a descriptor."""
        ...


class EndedSocket:
    """The socket of an association that ended before it could be given one of its own."""

    one_to_one = False

    def _gone(self) -> OSError:
        return OSError(errno.EPIPE, os.strerror(errno.EPIPE))

    def receive(self, limit: int) -> list[Arrival]:
        return []

    def has_unread(self) -> bool:
        return False

    def send(
        self, data: bytes | bytearray | memoryview, association_id: int, info: SendInfo
    ) -> None:
        raise self._gone()

    async def wait_readable(self) -> None:
        raise self._gone()

    async def wait_writable(self) -> None:
        raise self._gone()

    def connect(self, addresses: Sequence[Address]) -> int:
        raise self._gone()

    def shutdown(self, association_id: int) -> None:
        raise self._gone()

    def abort(self, association_id: int, reason: bytes) -> None:
        raise self._gone()

    def listen(self, backlog: int) -> None:
        raise self._gone()

    def accept(self) -> StackSocket:
        raise self._gone()

    def peel_off(self, association_id: int) -> StackSocket:
        raise self._gone()

    def association_ids(self) -> list[int]:
        return []

    def status(self, association_id: int) -> Status:
        raise self._gone()

    def pending_error(self) -> int:
        return 0

    def local_addresses(self, association_id: int | None) -> list[Address]:
        raise self._gone()

    def peer_addresses(self, association_id: int) -> list[Address]:
        raise self._gone()

    def association_at(self, address: Address) -> int | None:
        return None

    def bind(self, address: Address) -> None:
        raise self._gone()

    def unbind(self, address: Address) -> None:
        raise self._gone()

    def get_option(
        self, kind: type[T], association_id: int | None, address: Address | None = None
    ) -> T:
        raise self._gone()

    def set_option(self, option: Option, association_id: int | None) -> None:
        raise self._gone()

    def subscribe(self, events: EventSubscription, association_id: int | None) -> None:
        raise self._gone()

    def subscription(self, association_id: int | None) -> EventSubscription:
        raise self._gone()

    def max_send_size(self) -> tuple[int, str]:
        return 0, "the association has ended"

    def close(self, *, abort: bool) -> None:
        pass

    def detach(self) -> int:
        raise self._gone()


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
    """It ends."""
    _enclosing.reset(token)


def _enclosing_stack() -> Stack | None:
    entry = _enclosing.get()
    if entry is None or entry[0] is not trio.lowlevel.current_trio_token():
        return None
    return entry[1]


# The stacks are imported where they are used: this module is for everybody, the kernel stack is for
# Linux, and both are made of what stands here.


def _kernel() -> Stack:
    from ._kernel import KernelStack

    return KernelStack()


def _kernel_report() -> StackReport:
    if sys.platform == "linux":
        return _kernel().report()
    return StackReport(
        name="kernel",
        available=False,
        reason=f"this library knows the SCTP sockets of Linux only, and this is {sys.platform}",
        remedy="use stack='userland'",
    )


def _userland() -> Stack:
    from ._userland.driver import default_stack

    enclosing = _enclosing_stack()
    if enclosing is not None and enclosing.name == "userland":
        return enclosing
    return default_stack()


def stacks() -> list[StackReport]:
    """Say which SCTP stacks work on this machine and, where one does not, why and what to do.

    Never raises and changes nothing.
    """
    from ._userland.driver import report

    return [_kernel_report(), report()]


def choose_stack(stack: Stack | str | None) -> Stack:
    """The stack that ``stack=`` means; raises `StackUnavailable` if it does not work here."""
    if stack is None:
        stack = _enclosing_stack() or os.environ.get("TRIO_SCTP_STACK") or None
    if stack is None:
        return _first_that_works()
    if stack == "kernel":
        report = _kernel_report()
        if not report.available:
            raise StackUnavailable(f"{report.reason}; {report.remedy}")
        return _kernel()
    if stack == "userland":
        return _userland()
    if isinstance(stack, str):
        raise ValueError(f"there is no SCTP stack named {stack!r}; 'kernel' and 'userland' are")
    return stack


_warned: trio.lowlevel.RunVar[bool] = trio.lowlevel.RunVar("trio_sctp fallback", False)


def _first_that_works() -> Stack:
    """The kernel if it has SCTP, else userland, which is something else to the peer."""
    report = _kernel_report()
    if report.available:
        return _kernel()
    if not _warned.get():
        _warned.set(True)
        warnings.warn(
            f"{report.reason}, so SCTP runs in this process, in UDP packets (RFC 6951): peers have "
            f"to do the same, and listen on UDP port 9899. To have the kernel's: {report.remedy}. "
            "TRIO_SCTP_STACK=userland, or trio_sctp.userland(), says that this is meant",
            RuntimeWarning,
            stacklevel=4,  # who opens something
        )
    return _userland()
