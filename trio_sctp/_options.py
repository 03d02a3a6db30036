"""The socket options, each declared once: its fields, their units and ranges, and its scope.

An option is a value: ``set_option(RtoInfo(max=5000))`` changes one field and leaves the others,
because a field that is None is read first.  ``get_option(RtoInfo)`` returns it with all fields
filled.  How a stack encodes an option stands with the stack (`trio_sctp._kernel._options`).
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, ClassVar

from ._values import Address


class Scope(enum.Enum):
    """What an option may be set for."""

    SOCKET = "the whole socket"
    ASSOCIATION = "one association, or the socket's default for future ones"


class Option:
    """The base of every socket option: a frozen dataclass whose fields are its values."""

    __slots__ = ()
    scope: ClassVar[Scope]
    read_only: ClassVar[bool] = False
    __dataclass_fields__: ClassVar[dict[str, Any]]


def _within(low: int, high: int) -> Any:
    """An integer field that may be left as it is (None) or lie within ``low`` and ``high``."""
    return dataclasses.field(default=None, metadata={"range": (low, high)})


def _check(option: Option) -> None:
    for field in dataclasses.fields(option):
        value = getattr(option, field.name)
        if value is None or "range" not in field.metadata:
            continue
        low, high = field.metadata["range"]
        name = f"{type(option).__name__}.{field.name}"
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be an integer, not {value!r}")
        if not low <= value <= high:
            raise ValueError(f"{name} must lie within {low} and {high}, not {value}")


_U16 = 2**16 - 1
_U32 = 2**32 - 1
_I32 = 2**31 - 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InitMsg(Option):
    """How associations are set up (SCTP_INITMSG; gen_sctp ``sctp_initmsg``).

    Holds for associations set up afterwards, by either side.

    Attributes:
      num_ostreams: Outbound streams to ask for, 1 to 65535 (the peer may grant fewer).
      max_instreams: Inbound streams to allow, 1 to 65535.
      max_attempts: How often to send an INIT again, 0 to 65535; 0 is the stack's default.
      max_init_timeo: Longest wait between two INITs, milliseconds, 0 to 65535; 0 is RTO.Max.

    Source: RFC 6458 section 8.1.3.
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    num_ostreams: int | None = _within(1, _U16)
    max_instreams: int | None = _within(1, _U16)
    max_attempts: int | None = _within(0, _U16)
    max_init_timeo: int | None = _within(0, _U16)

    def __post_init__(self) -> None:
        _check(self)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RtoInfo(Option):
    """Bounds of the retransmission timeout (SCTP_RTOINFO; gen_sctp ``sctp_rtoinfo``).

    Attributes:
      initial: RTO before the first measurement, milliseconds, 1 to 2**31 - 1.
      max: Its upper bound, milliseconds.
      min: Its lower bound, milliseconds.

    Source: RFC 6458 section 8.1.1, RFC 9260 section 16.
    """

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    initial: int | None = _within(1, _I32)
    max: int | None = _within(1, _I32)
    min: int | None = _within(1, _I32)

    def __post_init__(self) -> None:
        _check(self)


@dataclasses.dataclass(frozen=True, slots=True)
class NoDelay(Option):
    """Whether small messages are sent at once (SCTP_NODELAY; gen_sctp ``sctp_nodelay``).

    Off, a second small message waits until the first is acknowledged.

    Source: RFC 6458 section 8.1.5.
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    enabled: bool


@dataclasses.dataclass(frozen=True, slots=True)
class SendBuffer(Option):
    """Size of the send buffer (SO_SNDBUF; gen_sctp ``sndbuf``).

    It bounds the largest message (`Endpoint.max_send_size`) and, for all associations of the
    socket together, what is waiting to be sent and acknowledged.

    Attributes:
      size: Bytes, 1 to 2**30.  Linux doubles what is asked for, within net.core.wmem_max, and
        reads back the double.
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    size: int = _within(1, 2**30)

    def __post_init__(self) -> None:
        _check(self)


@dataclasses.dataclass(frozen=True, slots=True)
class ReceiveBuffer(Option):
    """Size of the receive buffer (SO_RCVBUF; gen_sctp ``recbuf``).

    Attributes:
      size: Bytes, 1 to 2**30.  Linux doubles what is asked for, within net.core.rmem_max, and
        reads back the double.
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    size: int = _within(1, 2**30)

    def __post_init__(self) -> None:
        _check(self)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EventSubscription(Option):
    """Which events are delivered (SCTP_EVENT; gen_sctp ``sctp_events``).

    An event that is not subscribed to takes no credit.  The library goes on seeing those that it
    needs for itself.

    Attributes:
      association_event: `AssociationChange`.  On by default.
      address_event: `PeerAddressChange`.  On by default.
      send_failure_event: `SendFailed`.  On by default.
      peer_error_event: `RemoteError`.  On by default.
      shutdown_event: `ShutdownReceived`.  On by default.
      partial_delivery_event: `PartialDeliveryAborted`.  On by default.
      adaptation_layer_event: `AdaptationIndication`.  Off by default.
      authentication_event: `AuthenticationChange`.  Off by default.
      sender_dry_event: `SenderDry`.  Off by default.
      stream_reset_event: `StreamReset`.  Off by default.
      association_reset_event: `AssociationReset`.  Off by default.
      stream_change_event: `StreamChange`.  Off by default.

    Source: RFC 6458 section 6.2.2; RFC 6525 section 6.1.
    """

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    association_event: bool | None = None
    address_event: bool | None = None
    send_failure_event: bool | None = None
    peer_error_event: bool | None = None
    shutdown_event: bool | None = None
    partial_delivery_event: bool | None = None
    adaptation_layer_event: bool | None = None
    authentication_event: bool | None = None
    sender_dry_event: bool | None = None
    stream_reset_event: bool | None = None
    association_reset_event: bool | None = None
    stream_change_event: bool | None = None


class StatusState(enum.IntEnum):
    """Where an association is in its life (RFC 9260 section 4, gen_sctp ``sctp_state_...``)."""

    EMPTY = 0
    CLOSED = 1
    COOKIE_WAIT = 2
    COOKIE_ECHOED = 3
    ESTABLISHED = 4
    SHUTDOWN_PENDING = 5
    SHUTDOWN_SENT = 6
    SHUTDOWN_RECEIVED = 7
    SHUTDOWN_ACK_SENT = 8


class PathState(enum.IntEnum):
    """How a path to the peer is doing (RFC 6458 section 8.2.2, RFC 7829)."""

    INACTIVE = 0
    POTENTIALLY_FAILED = 1
    ACTIVE = 2
    UNCONFIRMED = 3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PeerAddressInfo:
    """One path to the peer (gen_sctp ``#sctp_paddrinfo``).

    Attributes:
      address: The peer's address.
      state: Its state; one that is not known stays a plain number.
      cwnd: Congestion window, bytes.
      srtt: Smoothed round-trip time, milliseconds.
      rto: Retransmission timeout, milliseconds.
      mtu: Path MTU, bytes.

    Source: RFC 6458 section 8.2.2.
    """

    address: Address
    state: PathState | int
    cwnd: int
    srtt: int
    rto: int
    mtu: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Status(Option):
    """The state of an association, read-only (SCTP_STATUS; gen_sctp ``sctp_status``).

    Attributes:
      association_id: Which one.
      state: Its state; one that is not known stays a plain number.
      rwnd: The peer's receiver window, bytes.
      unackdata: DATA chunks sent and not acknowledged.
      penddata: DATA chunks waiting to be received.
      instrms, outstrms: Inbound and outbound streams.
      fragmentation_point: Largest message that is sent in one piece, bytes.
      primary: The primary path.

    Source: RFC 6458 section 8.2.1.
    """

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    read_only: ClassVar[bool] = True
    association_id: int
    state: StatusState | int
    rwnd: int
    unackdata: int
    penddata: int
    instrms: int
    outstrms: int
    fragmentation_point: int
    primary: PeerAddressInfo


@dataclasses.dataclass(frozen=True, slots=True)
class Default:
    """One row of the table of defaults: what every socket of this library starts with."""

    option: Option
    reason: str
    gen_sctp: str


DEFAULTS: tuple[Default, ...] = (
    Default(
        EventSubscription(
            association_event=True,
            address_event=True,
            send_failure_event=True,
            peer_error_event=True,
            shutdown_event=True,
            partial_delivery_event=True,
            adaptation_layer_event=False,
            authentication_event=False,
            sender_dry_event=False,
            stream_reset_event=False,
            association_reset_event=False,
            stream_change_event=False,
        ),
        "what an application has to know; the others are for those who ask",
        "the same",
    ),
    Default(
        NoDelay(True),
        "off, a second small message waits for the delayed SACK: 207 ms were measured",
        "off",
    ),
    Default(
        ReceiveBuffer(2**20),
        "all associations of a socket share it, and the kernel's 208 KiB hold some 230 small "
        "messages: behind a busier socket packets are dropped, and a peer whose retransmissions "
        "are dropped ten times gives up (46 of 200 did, measured).  It is a bound: memory is used "
        "only by what is unread.  net.core.rmem_max limits it",
        "1024 bytes",
    ),
)
"""Set on every socket, before the caller's own ``options``.

Two more settings are no options, because nothing else works with this library: the receive
information of every message is on, and fragment interleave is 1, so that a long message from one
peer does not hold up the others.  The send buffer keeps the kernel's size, 208 KiB unless the
administrator chose another (gen_sctp asks for 64 KiB).
"""


def default_subscription() -> EventSubscription:
    """The events that a socket delivers until it is told otherwise."""
    for default in DEFAULTS:
        if isinstance(default.option, EventSubscription):
            return default.option
    raise AssertionError("the table of defaults has an EventSubscription")


def merge(option: Option, current: Option) -> Option:
    """``option`` with its None fields taken from ``current``."""
    changes = {
        field.name: value
        for field in dataclasses.fields(option)
        if (value := getattr(option, field.name)) is not None
    }
    return dataclasses.replace(current, **changes)


def is_complete(option: Option) -> bool:
    """Whether every field has a value."""
    return all(getattr(option, field.name) is not None for field in dataclasses.fields(option))
