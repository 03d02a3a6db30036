"""SCTP's own errors, by whose doing they are, and the errnos and cause codes behind them.

Trio's own errors have their usual meaning: ``ClosedResourceError`` (you closed it),
``BusyResourceError`` (two of your tasks want the same thing), ``EndOfChannel`` (the graceful end).

    OSError
     +-- ConnectFailed          caused by the peer, or the network
     +-- StackUnavailable       caused by this machine
     +-- OptionUnsupported      caused by this machine's stack
    trio.BrokenResourceError
     +-- AssociationLost        caused by the peer, or the network
    Exception
     +-- ReconfigurationFailed  caused by the peer
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from ._checks import check_integer
from ._log import whose
from ._values import USER_INITIATED_ABORT

if TYPE_CHECKING:
    from ._association import Association
    from ._values import Address, AssociationChange, AssociationEnd


class AssociationLost(trio.BrokenResourceError):
    """An association ended, and this program did not end it.

    ``send`` raises it once the peer has ended the association in any way.  ``receive`` raises it
    after any end that was not graceful, when everything that arrived before has been taken.

    The text says with whom the association was, who ended it, and why.

    Attributes:
      association: The `Association` that ended; None in a copy that was pickled.
      end: The `AssociationEnd`: state, cause, abort reason and the messages not delivered.
    """

    association: Association
    end: AssociationEnd

    def __init__(self, association: Association | None, end: AssociationEnd, text: str) -> None:
        """Not for programs to call."""
        super().__init__(text)
        # Who has a copy knows that it is one; for all others this is never None.
        self.association = association  # type: ignore[assignment]
        self.end = end

    def __reduce__(self) -> tuple[Any, ...]:
        return AssociationLost, (None, self.end, str(self))


def how_it_ended(end: AssociationEnd, peer: Address | None, *, by_us: bool) -> str:
    """Say how an association ended, and by whom."""
    association = whose(end.association_id, peer)
    if end.graceful:
        return f"{association} was shut down by the peer: nothing can be sent"
    silent = "was lost: the peer did not answer, or aborted it without a reason"
    text = f"{association} {why_it_ended(end, 'was', silent, repr, by_us=by_us)}"
    count = len(end.undelivered)
    if count:
        text += f"; {count} message{'s' if count > 1 else ''} not delivered"
    return text


def why_it_ended(
    end: AssociationEnd, was: str, silent: str, show: Callable[[bytes], str], *, by_us: bool
) -> str:
    """Say by whom an association was aborted, and why.

    Args:
      end: Its end, which was not graceful.
      was: What stands before ``aborted``.
      silent: What is said instead if no abort is known.
      show: Makes the text of the reason.
      by_us: Whether it was aborted here.
    """
    if by_us:
        text = f"{was} aborted here"
    elif end.cause == USER_INITIATED_ABORT:
        text = f"{was} aborted by the peer"
    elif end.cause:
        text = f"{was} aborted"
    else:
        text = silent
    if end.reason:
        text += f": {show(end.reason)}"
    if end.cause:
        text += f" ({error_string(end.cause)}, cause {end.cause})"
    return text


class ConnectFailed(OSError):
    """An association could not be set up.

    ``errno`` is ``ECONNREFUSED`` (the peer or a router refused), ``ETIMEDOUT`` (nobody answered
    the INIT or the COOKIE ECHO) or ``ECONNABORTED`` (another task of this program aborted it).

    Where SCTP packets travel in UDP packets, the text says to which UDP port, and what a peer whose
    kernel has SCTP needs to hear there.

    Attributes:
      event: The CANT_ASSOC event; None if the stack reported only an error.
    """

    def __init__(
        self, number: int, peer: str, event: AssociationChange | None, udp_port: int = 0
    ) -> None:
        """Not for programs to call."""
        self._peer, self._udp_port = peer, udp_port
        if udp_port:
            peer += f" over UDP port {udp_port}"
        text = f"cannot associate with {peer}: {os.strerror(number)}"
        if event is not None and event.error:
            text += f" ({error_string(event.error)})"
        elif udp_port and number != errno.ECONNABORTED:
            only_ipv4 = ", or one for IPv4 only" if ":" in self._peer else ""
            text += (
                f" (perhaps no program listens there{only_ipv4}; a peer that uses its "
                "kernel's SCTP does not listen on UDP unless told to, on Linux by sysctl "
                f"net.sctp.udp_port={udp_port} net.sctp.encap_port={udp_port})"
            )
        super().__init__(number, text)
        self.event = event

    def __reduce__(self) -> tuple[Any, ...]:
        return ConnectFailed, (self.errno, self._peer, self.event, self._udp_port)


class ReconfigurationFailed(Exception):
    """The peer has not done what it was asked for: to reset streams, or to add some.

    The association goes on as it was.

    Attributes:
      denied: Whether the peer does not grant such requests, see `EnableStreamReset`.  Otherwise it
        could not do it, and the text says why, if that is known.
    """

    def __init__(self, text: str, *, denied: bool) -> None:
        """Not for programs to call."""
        super().__init__(text)
        self.denied = denied

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(ReconfigurationFailed, denied=self.denied), (str(self),)


class StackUnavailable(OSError):
    """The SCTP stack that was asked for does not work on this machine.

    The text says why, and what would help.
    """


class OptionUnsupported(OSError):
    """The stack does not have an option, or cannot get or set it in this way.

    The text says which option and which stack.
    """


class AlreadyAssociated(OSError):
    """There is an association with the peer: EISCONN, or EALREADY while it is half-open.

    `OSError` itself would make a `BlockingIOError` of the latter, as if something would have to be
    awaited.
    """


def cannot_bind(
    error: OSError, hosts: Sequence[str], port: int, own: Callable[[], Sequence[str]]
) -> OSError:
    """A stack's refusal to bind, with what was to be bound; ``own`` gives what can be."""
    if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
        return error
    hint = ""
    if error.errno == errno.EADDRNOTAVAIL:
        known = own()
        hosts = [host for host in hosts if host not in known] or hosts
        more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
        hint = f": this machine has {', '.join(known[:_MOST_NAMED])}{more}"
    what = " / ".join(hosts)
    if port:
        what += f"{' ' if what else ''}port {port}"
    return OSError(error.errno, f"cannot bind {what or 'a port'}: {error.strerror}{hint}")


_MOST_NAMED = 16
"""Addresses of this machine that a text names."""


# RFC 9260 section 3.3.10; RFC 5061 section 4.3; RFC 4895 section 4.  RFC 6525 defines none.
_CAUSES = {
    0: "no error",
    1: "invalid stream identifier",
    2: "missing mandatory parameter",
    3: "stale cookie",
    4: "out of resource",
    5: "unresolvable address",
    6: "unrecognized chunk type",
    7: "invalid mandatory parameter",
    8: "unrecognized parameters",
    9: "no user data",
    10: "cookie received while shutting down",
    11: "restart of an association with new addresses",
    12: "user-initiated abort",
    13: "protocol violation",
    14: "restart of an association with new encapsulation port",
    0x00A0: "request to delete last remaining IP address",
    0x00A1: "operation refused due to resource shortage",
    0x00A2: "request to delete source IP address",
    0x00A3: "association aborted due to illegal ASCONF-ACK",
    0x00A4: "request refused: no authorization",
    0x0105: "unsupported HMAC identifier",
}

OUT_OF_RESOURCE = 4


def error_string(code: int) -> str:
    """Explain a cause code (gen_sctp ``error_string/1``).

    Args:
      code: A host-order cause code, as in `AssociationChange.error` or `AssociationEnd.cause`.

    Returns:
      The name of the cause in RFC 9260's words, or ``"unknown error N"`` for an unknown number.
    """
    check_integer("code", code, 0, 2**32 - 1)
    return _CAUSES.get(code, f"unknown error {code}")


# What a system call says when there will be room again, sooner or later.
OVERLOADED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

# The errnos with which a system call says that an association no longer exists.
ASSOCIATION_GONE = frozenset(
    {
        errno.EPIPE,
        errno.ESHUTDOWN,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.EHOSTUNREACH,
    }
)
