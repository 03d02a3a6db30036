"""What a program receives: messages, events, and how an association ended.

This module imports nothing of ours but `_frozen`.  Field names are those of RFC 6458 without their
C prefixes.
"""

from __future__ import annotations

import dataclasses
import enum
import struct
from typing import Final, NamedTuple, TypeAlias

from ._frozen import Frozen, frozen

Address: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
"""A transport address as the standard library writes it, ``(host, port)`` for IPv4 and
``(host, port, flow info, scope id)`` for IPv6."""


class NamedInt(enum.IntEnum):
    """A number that prints as its name: ``f"{state}"`` is ``COMM_UP``, ``f"{state:d}"`` ``0``."""

    def __str__(self) -> str:
        return self.name

    def __format__(self, spec: str) -> str:
        value = int(self) if spec[-1:] in tuple("bcdeEfFgGnoxX%") else self.name
        return format(value, spec)


class AssociationState(NamedInt):
    """What happened to an association (RFC 6458 section 6.1.1, gen_sctp ``#sctp_assoc_change``).

    The state that it is in is a `StatusState`.
    """

    COMM_UP = 0
    """The association is ready, and messages can be exchanged."""
    COMM_LOST = 1
    """The association ended without a graceful shutdown, as one side sent an ABORT or the peer
    fell silent."""
    RESTART = 2
    """The peer started the association anew.  Its id stays valid; streams count from zero again."""
    SHUTDOWN_COMP = 3
    """The association ended gracefully."""
    CANT_ASSOC = 4
    """The association could not be set up."""


class PeerAddressState(NamedInt):
    """What happened to a path (RFC 6458 section 6.1.2, gen_sctp ``#sctp_paddr_change``)."""

    ADDR_AVAILABLE = 0
    ADDR_UNREACHABLE = 1
    ADDR_REMOVED = 2
    ADDR_ADDED = 3
    ADDR_MADE_PRIM = 4
    ADDR_CONFIRMED = 5
    ADDR_POTENTIALLY_FAILED = 6


# Not `Frozen`: its draft, below, has to have the same base.
@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One whole user message (gen_sctp: data with its ``#sctp_sndrcvinfo``).

    Attributes:
      data: The payload, never empty and never cut.
      stream: Number of the stream that it came on, from 0.
      ppid: Payload protocol identifier as a host-order integer, 0 to 2**32 - 1.
      unordered: Whether it was sent outside its stream's order.
      association_id: The association it came from.
      address: The peer's transport address that it came from.
      ssn: Stream sequence number, 0 to 65535; meaningless when unordered.
      tsn: Transmission sequence number of its first DATA chunk.
      cumulative_tsn: A cumulative TSN of the association, of when it arrived or later; useful for
        unordered messages.
      context: The association's receive context, 0 unless set.
      mid: Its message identifier, 0 to 2**32 - 1, if messages are interleaved (`Interleaving`);
        ``ssn`` is its lower half then.  Ordered and unordered messages of a stream are counted
        apart.  None if they are not, and on Linux, which does not tell it.

    Source: RFC 6458 section 5.3.5 (SCTP_RCVINFO); RFC 8260 section 4.1.
    """

    data: bytes
    stream: int
    ppid: int
    unordered: bool
    association_id: int
    address: Address
    ssn: int
    tsn: int
    cumulative_tsn: int
    context: int
    mid: int | None = None


class MessageDraft:
    """A `Message` before it is frozen, for the data path of a stack.

    A frozen dataclass sets each field through ``object.__setattr__``, which takes 1.1 µs for these
    eleven fields: half the time of the system call that brings the message.  A plain class with the
    same slots can become a `Message`, because the layouts agree.  It has no ``__init__``: whoever
    makes one sets every field, straight from what was unpacked, which takes 0.2 µs.
    """

    __slots__ = tuple(field.name for field in dataclasses.fields(Message))

    data: bytes
    stream: int
    ppid: int
    unordered: bool
    association_id: int
    address: Address
    ssn: int
    tsn: int
    cumulative_tsn: int
    context: int
    mid: int | None


def freeze(draft: MessageDraft) -> Message:
    """Turn a draft into a `Message`, in place."""
    draft.__class__ = Message  # type: ignore[assignment]
    return draft  # type: ignore[return-value]


@frozen(kw_only=True)
class AssociationChange(Frozen):
    """An association came up, restarted or ended (gen_sctp ``#sctp_assoc_change``).

    Attributes:
      association_id: The association.
      state: What happened; an unknown state stays a plain number.
      error: Cause code in host order (see `error_string`), 0 if there is none.
      outbound_streams: Number of streams that we may send on.
      inbound_streams: Number of streams that the peer may send on.
      info: With COMM_LOST and CANT_ASSOC, the causes of the peer's ABORT chunk as they came, if it
        sent one.  With COMM_UP and RESTART, the features agreed on.
      reason: The text of the first user-initiated abort among the causes, ``b""`` if there is none.

    Source: RFC 6458 section 6.1.1.
    """

    association_id: int
    state: AssociationState | int
    error: int
    outbound_streams: int
    inbound_streams: int
    info: bytes = b""
    reason: bytes = b""


USER_INITIATED_ABORT: Final = 12
_CAUSE: Final = struct.Struct("!HH")


def abort_reason_untrusted(causes: bytes) -> bytes:
    """Return the text of the first user-initiated abort in a list of causes, ``b""`` if there is
    none (RFC 9260 section 3.3.10.12)."""
    at = 0
    while at + _CAUSE.size <= len(causes):
        code, length = _CAUSE.unpack_from(causes, at)
        if code == USER_INITIATED_ABORT:
            return causes[at + _CAUSE.size : at + length]
        at += max(length + (-length & 3), _CAUSE.size)
    return b""


@frozen(kw_only=True)
class PeerAddressChange(Frozen):
    """A path to the peer changed its state (gen_sctp ``#sctp_paddr_change``).

    Attributes:
      association_id: The association whose path it is.
      address: The peer's address.
      state: What happened; an unknown state stays a plain number.
      error: The reason, in the stack's own numbers; 0 if none is given.

    Source: RFC 6458 section 6.1.2.
    """

    association_id: int
    address: Address
    state: PeerAddressState | int
    error: int


@frozen(kw_only=True)
class RemoteError(Frozen):
    """The peer sent an ERROR chunk (gen_sctp ``#sctp_remote_error``).

    Attributes:
      association_id: The association whose peer it is.
      error: Cause code in host order; see `error_string`.
      data: The cause as it came, with its header.  The peer chose these bytes, and nothing has
        checked them.

    Source: RFC 6458 section 6.1.3.
    """

    association_id: int
    error: int
    data: bytes


@frozen(kw_only=True)
class SendFailed(Frozen):
    """A message of ours will never be acknowledged (gen_sctp ``#sctp_send_failed``).

    There is one event for each message, even where the stack reports each of its fragments.

    Attributes:
      association_id: The association that it was sent on.
      data: The payload, its fragments joined.
      complete: False if the peer acknowledged some fragments of the message, which are then
        missing from ``data``.  Such a message should not be sent again.
      sent: Whether any of it was put on the wire; if so, the peer may have received it.
      error: Cause code in host order, 0 if there is none.
      stream, ppid, unordered, context: As they were given to ``send``.

    Source: RFC 6458 section 6.1.11 (SCTP_SEND_FAILED_EVENT), 6.1.4 for the older form.
    """

    association_id: int
    data: bytes
    complete: bool
    sent: bool
    error: int
    stream: int
    ppid: int
    unordered: bool
    context: int


@frozen(kw_only=True)
class ShutdownReceived(Frozen):
    """The peer is shutting down and takes no more messages (gen_sctp ``#sctp_shutdown_event``).

    Messages that it sent earlier may still follow.  Source: RFC 6458 section 6.1.5.
    """

    association_id: int


@frozen(kw_only=True)
class AdaptationIndication(Frozen):
    """The peer's adaptation layer indication (gen_sctp ``#sctp_adaptation_event``).

    ``adaptation_ind`` is a host-order integer, 0 to 2**32 - 1.  Source: RFC 6458 section 6.1.6.
    """

    association_id: int
    adaptation_ind: int


@frozen(kw_only=True)
class PartialDeliveryAborted(Frozen):
    """A message whose first part had arrived will never be whole (gen_sctp ``#sctp_pdapi_event``).

    The part was discarded.  Which message it was is told only where messages are interleaved
    (`Interleaving`): its stream, whether it was unordered, and its MID, which Linux gives as
    ``ssn``.  Source: RFC 6458 section 6.1.7.
    """

    association_id: int
    indication: int
    stream: int
    ssn: int
    unordered: bool = False
    mid: int | None = None


class AuthenticationState(NamedInt):
    """What an `AuthenticationChange` tells (RFC 6458 section 6.1.8)."""

    NEW_KEY = 0
    """The peer has begun to use another shared key.  Linux says so of each packet whose key is not
    our active one."""
    FREE_KEY = 1
    """We send no longer with a shared key; the peer may still do so."""
    NO_AUTH = 2
    """The peer does not authenticate, and does not ask for it."""


@frozen(kw_only=True)
class AuthenticationChange(Frozen):
    """A shared key came into use or out of use, or the peer does not authenticate.

    Attributes:
      association_id: The association.
      keynumber: The id of the shared key; 0 with NO_AUTH.
      altkeynumber: The id of the key that the peer used before; 0 on Linux, which does not say.
      indication: What happened; an unknown one stays a plain number.

    Source: RFC 6458 section 6.1.8.
    """

    association_id: int
    keynumber: int
    altkeynumber: int
    indication: AuthenticationState | int


@frozen(kw_only=True)
class SenderDry(Frozen):
    """Everything that was sent has been acknowledged.  Source: RFC 6458 section 6.1.9."""

    association_id: int


class ReconfigurationFlags(enum.IntFlag):
    """What became of streams, and of whose (RFC 6525 section 6.1)."""

    INCOMING = 1
    """It is of the streams that we receive on, which are the peer's."""
    OUTGOING = 2
    """It is of the streams that we send on."""
    DENIED = 4
    """Nothing has changed, as the peer has denied the request."""
    FAILED = 8
    """Nothing has changed, as the request has failed."""


@frozen(kw_only=True)
class StreamReset(Frozen):
    """Streams begin again at sequence number 0, or the peer has not granted that.

    Attributes:
      association_id: The association.
      flags: Whose streams, and whether the request was denied or has failed.
      streams: The streams; empty means all.

    Source: RFC 6525 section 6.1.1.
    """

    association_id: int
    flags: ReconfigurationFlags
    streams: tuple[int, ...]


@frozen(kw_only=True)
class AssociationReset(Frozen):
    """TSNs and all streams begin again, or the peer has not granted that.

    Attributes:
      association_id: The association.
      flags: Empty, unless the request was denied or has failed.
      local_tsn: The TSN of the next DATA chunk that we send.
      remote_tsn: The TSN of the next DATA chunk that the peer sends.

    Source: RFC 6525 section 6.1.2.
    """

    association_id: int
    flags: ReconfigurationFlags
    local_tsn: int
    remote_tsn: int


@frozen(kw_only=True)
class StreamChange(Frozen):
    """Streams were added, or the peer has not granted that.

    Attributes:
      association_id: The association.
      flags: Empty, unless the request was denied or has failed.
      inbound_streams: Number of streams that the peer may send on now.
      outbound_streams: Number of streams that we may send on now.

    Source: RFC 6525 section 6.1.3.
    """

    association_id: int
    flags: ReconfigurationFlags
    inbound_streams: int
    outbound_streams: int


@frozen(kw_only=True)
class UnknownEvent(Frozen):
    """A notification whose type or layout this version does not know.

    Attributes:
      association_id: Always 0, because the layout is unknown.
      type: The stack's number for its type.
      flags: The stack's flags.
      data: The whole notification, with its header.
    """

    association_id: int
    type: int
    flags: int
    data: bytes


@frozen()
class Passive(Frozen):
    """The credit of an inbox is used up (gen_sctp ``{sctp_passive, Socket}``).

    It takes no credit, and comes directly after the record that took the last one.
    """


Notification: TypeAlias = (
    AssociationChange
    | PeerAddressChange
    | RemoteError
    | SendFailed
    | ShutdownReceived
    | AdaptationIndication
    | PartialDeliveryAborted
    | AuthenticationChange
    | SenderDry
    | StreamReset
    | AssociationReset
    | StreamChange
    | UnknownEvent
)
"""What a stack reports about an association."""

Event: TypeAlias = Notification | Passive
"""What a program receives besides messages."""

Record: TypeAlias = Message | Notification
"""What a socket's queue holds."""


@frozen(kw_only=True)
class AssociationStatistics(Frozen):
    """What has passed between an association and its peer since the beginning, in numbers.

    Attributes:
      packets_sent, packets_received: Packets; on Linux without the peer's COOKIE ECHO.
      data_chunks_sent: DATA chunks, each counted once: a message is one at least.
      data_chunks_received: DATA chunks that were taken in.
      control_chunks_sent, control_chunks_received: All other chunks, SACKs included.
      sacks_sent, sacks_received: SACK chunks.
      retransmitted: How often DATA chunks were sent again.
      gaps: Gap blocks that SACKs brought: each tells of chunks that are missing.
      duplicates: DATA chunks that had arrived before.  Linux counts those that its SACKs report.
      out_of_order: DATA chunks that arrived before others which precede them.  Linux counts only
        those that are so far ahead that it drops them.
      heartbeats_sent: Heartbeats, probes of the path MTU aside; None on Linux.
      heartbeats_answered: Those of them that the peer has answered in time; None on Linux.
      max_rto: The largest retransmission timeout that one of the present paths has come to, by
        measuring or by timeouts, milliseconds; 0 before the first.  None on Linux, which forgets it
        whenever it is read.

    Source: Linux's SCTP_GET_ASSOC_STATS.
    """

    packets_sent: int
    packets_received: int
    data_chunks_sent: int
    data_chunks_received: int
    control_chunks_sent: int
    control_chunks_received: int
    sacks_sent: int
    sacks_received: int
    retransmitted: int
    gaps: int
    duplicates: int
    out_of_order: int
    heartbeats_sent: int | None = None
    heartbeats_answered: int | None = None
    max_rto: int | None = None


@frozen(kw_only=True)
class AssociationEnd(Frozen):
    """How an association ended.

    Attributes:
      association_id: The association.
      state: SHUTDOWN_COMP after a graceful end, COMM_LOST after any other, CANT_ASSOC if it never
        came up.
      cause: Cause code in host order (see `error_string`); 0 if there is none, as when the peer
        fell silent.
      reason: The text given to ``abort`` by the side that aborted, ``b""`` if there is none.
      undelivered: All messages that were handed to ``send`` and not acknowledged, in the order in
        which the stack gave them back, so that they can be sent in another way.
    """

    association_id: int
    state: AssociationState
    cause: int = 0
    reason: bytes = b""
    undelivered: tuple[SendFailed, ...] = ()

    @property
    def graceful(self) -> bool:
        """Whether both sides completed the graceful shutdown."""
        return self.state is AssociationState.SHUTDOWN_COMP


# -- between the objects and a stack ---------------------------------------------------------


class SendInfo(NamedTuple):
    """How to send a message: the fields of RFC 6458 section 5.3.4, the address of the peer to send
    to, or None for the primary one, and when the message may be given up.

    That is at most one of a lifetime in milliseconds (0 means no limit), a number of
    retransmissions and a priority (RFC 7496; None means that neither counts).
    """

    stream: int
    ppid: int
    unordered: bool
    context: int
    lifetime: int
    address: Address | None = None
    retransmissions: int | None = None
    priority: int | None = None


class ReconfigurationKind(enum.IntEnum):
    """What can be asked of a peer, by the parameters of RFC 6525 section 4."""

    RESET_OUTGOING = 13
    RESET_INCOMING = 14
    RESET_ASSOCIATION = 15
    ADD_OUTGOING = 17
    ADD_INCOMING = 18


class ReconfigurationRequest(NamedTuple):
    """A request to the peer: the streams to be reset, none for all, or how many to add."""

    kind: ReconfigurationKind
    streams: tuple[int, ...] = ()
    added: int = 0


class ReconfigurationResult(enum.IntEnum):
    """What came of a request (RFC 6525 section 4.4)."""

    NOTHING_TO_DO = 0
    PERFORMED = 1
    DENIED = 2
    WRONG_STREAM = 3
    REQUEST_IN_PROGRESS = 4
    BAD_NUMBER = 5
    IN_PROGRESS = 6
    FAILED = 7
    """For a reason that the stack does not tell; it is no number of the RFC's."""
    GIVEN_UP = 8
    """The peer has begun anew, or shuts down; that is no number of the RFC's either."""


MOST_STREAMS_NAMED: Final = 32_000
"""Streams that one request names at most: its packet has 65,535 bytes."""


@dataclasses.dataclass(slots=True)
class Piece:
    """Part of a message, of which more will follow; the last part is a plain `Message`."""

    message: Message


@dataclasses.dataclass(slots=True, kw_only=True)
class FailedFragment:
    """One fragment of a message that could not be delivered; `SendFailed` is made of them."""

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
