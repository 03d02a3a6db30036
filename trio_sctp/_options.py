"""The socket options, each declared once: its fields, their units and ranges, and its scope.

An option is a value: ``set_option(RtoInfo(max=5000))`` changes one field and leaves the others,
because a field that is None is read first.  ``get_option(RtoInfo)`` returns it with all fields
filled.  Each stack has one row for each option that it supports (`trio_sctp._kernel._options`,
`trio_sctp._userland.options`).

In C the association id 0 means different things for different options.  Here an option's `Scope`
says what it may be set for, and the call says which of these is meant.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

from ._checks import (
    POLICIES,
    check_address,
    check_bool,
    check_integer,
    check_one_policy,
    check_str,
    shown,
)
from ._frozen import Frozen, frozen
from ._values import (
    AdaptationIndication,
    Address,
    AssociationChange,
    AssociationReset,
    AuthenticationChange,
    NamedInt,
    Notification,
    PartialDeliveryAborted,
    PeerAddressChange,
    RemoteError,
    SenderDry,
    SendFailed,
    ShutdownReceived,
    StreamChange,
    StreamReset,
    UnknownEvent,
)


class Scope(enum.Enum):
    """What an option may be set for."""

    SOCKET = "the whole socket"
    NEW = "associations set up afterwards"
    ASSOCIATION = "one association, or the socket's default for future ones"
    ONE_ASSOCIATION = "one association"


class Option(Frozen):
    """The base of every socket option: a frozen dataclass whose fields are its values.

    An option with an ``address`` field may be for one address of a peer.
    """

    __slots__ = ()
    scope: ClassVar[Scope]
    read_only: ClassVar[bool] = False
    write_only: ClassVar[bool] = False
    at_open_only: ClassVar[bool] = False
    """Whether it has an effect only when it is set before the socket is bound."""
    negotiated: ClassVar[bool] = False
    """Whether it is offered to peers, so that one association tells what both sides agreed on."""
    sparse: ClassVar[bool] = False
    """Whether the stack itself leaves fields alone that are None, so that nothing is read first."""
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __post_init__(self) -> None:
        if type(self) is Option:
            raise TypeError("Option is what all options have in common: make one such as InitMsg")
        _check(self)


def _within(low: int, high: int, default: int | None = None) -> Any:
    """An integer field from ``low`` to ``high``; None leaves it as it is."""
    return dataclasses.field(default=default, metadata={"range": (low, high)})


def _required(low: int, high: int) -> Any:
    """An integer field from ``low`` to ``high`` that has to be given."""
    return dataclasses.field(metadata={"range": (low, high)})


def _check(option: Option) -> None:
    kind = type(option)
    checks = _CHECKS.get(kind)
    if checks is None:
        checks = _CHECKS[kind] = _checks_of(kind)
    for name, optional, check in checks:
        value = getattr(option, name)
        if value is not None or not optional:
            check(value)


_CHECKS: dict[type[Option], list[tuple[str, bool, Callable[[Any], None]]]] = {}


def _checks_of(kind: type[Option]) -> list[tuple[str, bool, Callable[[Any], None]]]:
    """The fields of an option whose values are looked at, whether None is right, and how."""
    checks: list[tuple[str, bool, Callable[[Any], None]]] = []
    for field in dataclasses.fields(kind):
        name = f"{kind.__name__}.{field.name}"
        check: Callable[[Any], None]
        if "range" in field.metadata:
            low, high = field.metadata["range"]
            check = functools.partial(check_integer, name, low=low, high=high)
        elif field.type == "str":
            check = functools.partial(check_str, name)
        elif field.type in ("bool", "bool | None"):
            check = functools.partial(check_bool, name)
        elif field.name == "address":
            check = functools.partial(check_address, name=name)
        else:
            continue
        checks.append((field.name, field.default is None, check))
    return checks


_U16 = 2**16 - 1
_U32 = 2**32 - 1
_I32 = 2**31 - 1


# -- SCTP ------------------------------------------------------------------------------------


@frozen(kw_only=True)
class InitMsg(Option):
    """How associations are set up (SCTP_INITMSG; gen_sctp ``sctp_initmsg``).

    It holds for associations that either side sets up afterwards.

    Attributes:
      num_ostreams: Outbound streams to ask for, 1 to 65535 (the peer may grant fewer).
      max_instreams: Inbound streams to allow, 1 to 65535.
      max_attempts: How often to send an INIT again, 0 to 65535; 0 means the stack's default.
      max_init_timeo: Longest wait between two INITs, milliseconds, 0 to 65535; 0 means RTO.Max.

    Source: RFC 6458 section 8.1.3.
    """

    scope: ClassVar[Scope] = Scope.NEW
    num_ostreams: int | None = _within(1, _U16)
    max_instreams: int | None = _within(1, _U16)
    max_attempts: int | None = _within(0, _U16)
    max_init_timeo: int | None = _within(0, _U16)


@frozen(kw_only=True)
class RtoInfo(Option):
    """Bounds of the retransmission timeout (SCTP_RTOINFO; gen_sctp ``sctp_rtoinfo``).

    Attributes:
      initial: RTO before the first measurement, milliseconds, 1 to 2**31 - 1.
      max: Upper bound of the RTO, milliseconds, 1 to 2**31 - 1.
      min: Lower bound of the RTO, milliseconds, 1 to 2**31 - 1.

    Source: RFC 6458 section 8.1.1, RFC 9260 section 16.
    """

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    initial: int | None = _within(1, _I32)
    max: int | None = _within(1, _I32)
    min: int | None = _within(1, _I32)


@frozen(kw_only=True)
class AssocParams(Option):
    """Limits of an association (SCTP_ASSOCINFO; gen_sctp ``sctp_associnfo``).

    Attributes:
      asocmaxrxt: Retransmissions in a row, over all paths, after which the peer is given up, 1 to
        65535; 0 leaves it as it is.  Linux refuses more than the sum of the paths' own for a
        multi-homed peer.
      number_peer_destinations: Number of addresses of the peer; read-only, a value that is set is
        ignored.
      peer_rwnd: The peer's receiver window, bytes; read-only in the same way.
      local_rwnd: Our receiver window, bytes; read-only in the same way.
      cookie_life: How long a peer may take to answer our INIT ACK, milliseconds, 1 to 2**32 - 1;
        0 leaves it as it is.

    Source: RFC 6458 section 8.1.2.
    """

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    asocmaxrxt: int | None = _within(0, _U16)
    number_peer_destinations: int | None = _within(0, _U16)
    peer_rwnd: int | None = _within(0, _U32)
    local_rwnd: int | None = _within(0, _U32)
    cookie_life: int | None = _within(0, _U32)


class PeerAddressFlags(enum.IntFlag):
    """What `PeerAddressParams` switches on and off (RFC 6458 section 8.1.12, ``SPP_`` flags)."""

    HB_ENABLE = 0x01
    """Send heartbeats on idle paths."""
    HB_DISABLE = 0x02
    HB_DEMAND = 0x04
    """Send one heartbeat now, on all paths of an association or on one."""
    PMTUD_ENABLE = 0x08
    """Discover the path MTU."""
    PMTUD_DISABLE = 0x10
    SACKDELAY_ENABLE = 0x20
    """Acknowledge every second packet, or after `PeerAddressParams.sackdelay`."""
    SACKDELAY_DISABLE = 0x40


_CONTRARY = [
    PeerAddressFlags.HB_ENABLE | PeerAddressFlags.HB_DISABLE,
    PeerAddressFlags.PMTUD_ENABLE | PeerAddressFlags.PMTUD_DISABLE,
    PeerAddressFlags.SACKDELAY_ENABLE | PeerAddressFlags.SACKDELAY_DISABLE,
]


@frozen(kw_only=True)
class PeerAddressParams(Option):
    """Parameters of paths (SCTP_PEER_ADDR_PARAMS; gen_sctp ``sctp_peer_addr_params``).

    Attributes:
      address: One address of the peer; None means all paths of an association, or, for an endpoint,
        those of future associations.
      hbinterval: Milliseconds between heartbeats, 0 to 2**32 - 1; the path's RTO is added.  Ignored
        where heartbeats are disabled.
      pathmaxrxt: Retransmissions in a row after which a path is inactive, 1 to 65535; 0 leaves it
        as it is.
      pathmtu: Path MTU where it is not discovered, bytes, 512 to 65535; 0 leaves it as it is.
        Linux ignores it unless PMTUD_DISABLE is, or was, given.
      sackdelay: Milliseconds by which an acknowledgement may be delayed, 1 to 500; 0 leaves it as
        it is.  Ignored where delaying is disabled.
      flags: `PeerAddressFlags` to switch on and off; what none of them names stays as it is.

    Source: RFC 6458 section 8.1.12.
    """

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    sparse: ClassVar[bool] = True
    address: Address | None = None
    hbinterval: int | None = _within(0, _U32)
    pathmaxrxt: int | None = _within(0, _U16)
    pathmtu: int | None = _within(0, _U16)
    sackdelay: int | None = _within(0, 500)
    flags: PeerAddressFlags | None = None

    def __post_init__(self) -> None:
        _check(self)
        if self.pathmtu is not None and 0 < self.pathmtu < 512:
            raise ValueError(
                f"PeerAddressParams.pathmtu must be 0 or between 512 and 65535, not {self.pathmtu}"
            )
        if self.flags is None:
            return
        if not isinstance(self.flags, PeerAddressFlags):
            raise TypeError(f"PeerAddressParams.flags must be PeerAddressFlags, not {self.flags!r}")
        for pair in _CONTRARY:
            if pair in self.flags:
                raise ValueError(f"PeerAddressParams.flags: {pair!r} contradict each other")


@frozen()
class EncapsulationPort(Option):
    """The peer's UDP port, for SCTP in UDP packets (SCTP_REMOTE_UDP_ENCAPS_PORT).

    It wins over ``peer_udp_port`` of `userland`.  The port that a packet of the peer comes from
    wins over both.  Only the kernel and userland over UDP have it, and the kernel only from Linux
    5.11 on and where ``net.sctp.udp_port`` was not 0 when the socket was opened.

    Attributes:
      port: The UDP port, 0 to 65535; 0 means packets that are not in UDP, on the kernel alone.
      address: One address of the peer; None means all paths of an association, or, for an endpoint,
        those of future associations.

    Source: RFC 6951 section 6.1.
    """

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    sparse: ClassVar[bool] = True
    port: int = _required(0, _U16)
    address: Address | None = None


@frozen()
class PrimaryAddress(Option):
    """The address of the peer that we send to (SCTP_PRIMARY_ADDR; gen_sctp ``sctp_primary_addr``).

    Attributes:
      address: One of the peer's addresses.

    Source: RFC 6458 section 8.1.9.
    """

    scope: ClassVar[Scope] = Scope.ONE_ASSOCIATION
    address: Address


@frozen()
class SetPeerPrimaryAddress(Option):
    """Ask the peer to send to this address of ours (SCTP_SET_PEER_PRIMARY_ADDR; gen_sctp
    ``sctp_set_peer_primary_addr``).

    It needs a peer that takes ASCONF chunks (see `AsconfSupported`).  It can only be set, and the
    peer decides.

    Attributes:
      address: One of our addresses.

    Source: RFC 6458 section 8.3.1; RFC 5061 section 4.2.4.
    """

    scope: ClassVar[Scope] = Scope.ONE_ASSOCIATION
    write_only: ClassVar[bool] = True
    address: Address


@frozen()
class AdaptationLayer(Option):
    """What `AdaptationIndication` tells the peer (SCTP_ADAPTATION_LAYER; gen_sctp
    ``sctp_adaptation_layer``).

    Attributes:
      adaptation_ind: A host-order integer, 0 to 2**32 - 1.

    Source: RFC 6458 section 8.1.10.
    """

    scope: ClassVar[Scope] = Scope.NEW
    adaptation_ind: int = _required(0, _U32)


@frozen(kw_only=True)
class DefaultSendParams(Option):
    """What ``send`` uses for an argument that is None (SCTP_DEFAULT_SEND_PARAM; gen_sctp
    ``sctp_default_send_param``).

    An association starts with the endpoint's values, and keeps them when those change.

    Attributes:
      stream: Outbound stream, 0 to 65535.
      ppid: Payload protocol identifier, a host-order integer, 0 to 2**32 - 1.
      unordered: Whether messages may overtake others of their stream.
      context: A number that comes back in a `SendFailed`, 0 to 2**32 - 1.
      lifetime: Milliseconds after which a message is given up, 0 to 2**32 - 1; 0 means never.
      retransmissions: How often a part of a message may be sent again before the message is given
        up, 0 to 2**32 - 1.
      priority: 0 to 2**32 - 1: a message is given up where there is no room for one with a lower
        number.

    At most one of the last three may be given; it replaces the one before.  Read, one of them has a
    value, and the others are None.

    Source: RFC 6458 sections 8.1.13, 8.1.31 and 8.1.32; RFC 7496 section 4.2.
    """

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    stream: int | None = _within(0, _U16)
    ppid: int | None = _within(0, _U32)
    unordered: bool | None = None
    context: int | None = _within(0, _U32)
    lifetime: int | None = _within(0, _U32)
    retransmissions: int | None = _within(0, _U32)
    priority: int | None = _within(0, _U32)

    def __post_init__(self) -> None:
        _check(self)
        check_one_policy(_policies(self))


def _policies(option: Option) -> list[str]:
    """The fields by which a message may be given up that have a value."""
    if not isinstance(option, DefaultSendParams):
        return []
    return [name for name in POLICIES if getattr(option, name) is not None]


@frozen()
class DelayedAck(Option):
    """How long acknowledgements may wait (SCTP_DELAYED_SACK; gen_sctp ``sctp_delayed_ack_time``).

    Attributes:
      delay: Milliseconds that one may wait, 1 to 500; reads as 0 where none waits.
      freq: Number of packets after which one is sent at once, 1 to 2**32 - 1; with 1 none waits.

    Source: RFC 6458 section 8.1.19; RFC 9260 section 6.2.
    """

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    sparse: ClassVar[bool] = True
    delay: int | None = _within(0, 500)
    freq: int | None = _within(1, _U32)

    def __post_init__(self) -> None:
        _check(self)
        if self.delay == 0 and self.freq != 1:
            raise ValueError(
                "DelayedAck.delay must be between 1 and 500, not 0; freq=1 means no delay"
            )


@frozen()
class AutoClose(Option):
    """When idle associations are shut down (SCTP_AUTOCLOSE; gen_sctp ``sctp_autoclose``).

    Attributes:
      seconds: Seconds without a message in either direction, 0 to 2**32 - 1; 0 means never.  Linux
        limits it to net.sctp.max_autoclose, which reading it then returns.

    Source: RFC 6458 section 8.1.8.
    """

    scope: ClassVar[Scope] = Scope.NEW
    seconds: int = _required(0, _U32)


@frozen()
class NoDelay(Option):
    """Whether small messages are sent at once (SCTP_NODELAY; gen_sctp ``sctp_nodelay``).

    When it is off, a second small message waits until the first is acknowledged.

    Source: RFC 6458 section 8.1.5.
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    enabled: bool


@frozen()
class DisableFragments(Option):
    """Whether messages that do not fit into one packet are refused (SCTP_DISABLE_FRAGMENTS;
    gen_sctp ``sctp_disable_fragments``).

    ``send`` then raises ``ValueError`` for a message larger than `Status.fragmentation_point`.

    Source: RFC 6458 section 8.1.11.
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    enabled: bool


@frozen()
class MappedV4(Option):
    """Whether an IPv6 socket writes IPv4 addresses as IPv6 ones (SCTP_I_WANT_MAPPED_V4_ADDR;
    gen_sctp ``sctp_i_want_mapped_v4_addr``): ``::ffff:192.0.2.1`` for ``192.0.2.1``.

    Source: RFC 6458 section 8.1.15.
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    enabled: bool


@frozen()
class MaxSegment(Option):
    """Largest part of a message in one packet (SCTP_MAXSEG; gen_sctp ``sctp_maxseg``).

    Attributes:
      size: Bytes, 0 to 65535; 0 means that the path MTU alone decides.  Linux refuses sizes too
        small to be useful, and those larger than a chunk can be.

    Source: RFC 6458 section 8.1.16.
    """

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    size: int = _required(0, _U16)


@frozen()
class Context(Option):
    """What `Message.context` is for messages of an association (SCTP_CONTEXT).

    It tells a program that reads from many associations what this one is about, so that it need not
    look that up by the id.  A message that has arrived and is unread may have the former one.

    Attributes:
      value: 0 to 2**32 - 1; 0 unless set.

    Source: RFC 6458 section 8.1.25.
    """

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    value: int = _required(0, _U32)


@frozen()
class MaxBurst(Option):
    """How many packets of new data may leave at once (SCTP_MAX_BURST).

    It bounds what leaves on one occasion, such as the arrival of an acknowledgement, whatever the
    congestion window would allow.

    Attributes:
      packets: 0 to 2**31 - 1; 0 means no bound.  4 unless set.

    Source: RFC 6458 section 8.1.24; RFC 9260 section 6.1 D.
    """

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    packets: int = _required(0, _I32)


@frozen()
class PartialDeliveryPoint(Option):
    """From which size on the stack hands a message over before its end has arrived
    (SCTP_PARTIAL_DELIVERY_POINT).

    Programs receive whole messages whatever its value.  A lower one moves a long message earlier
    from the receive window, which then has room for the rest, to the memory that
    ``max_message_size`` bounds.

    Attributes:
      size: Bytes, 0 to 2**31 - 1; 0, the default, means that a message is handed over in parts only
        where the window has no room for all of it.  Linux refuses more than half of its receive
        buffer.

    Source: RFC 6458 section 8.1.21.
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    size: int = _required(0, _I32)


@frozen()
class FragmentInterleave(Option):
    """Whether parts of long messages may be handed over in turns (SCTP_FRAGMENT_INTERLEAVE).

    Programs receive whole messages whatever its value.  The level is 1 unless set, so that a long
    message of one association does not hold up those of others.

    Attributes:
      level: 0 to 2: one message at a time; one message of each association at a time; or one of
        each stream, which needs that the peer interleaves them.  Linux takes 2 for 1.  The userland
        stack does what it can do at all, and takes no other level than it reads.

    Source: RFC 6458 section 8.1.20.
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    level: int = _required(0, 2)


@frozen()
class AssociationCount(Option):
    """The number of associations of a socket, read-only (SCTP_GET_ASSOC_NUMBER).

    Attributes:
      count: Those that are up, being set up, or shutting down.

    Source: RFC 6458 section 8.2.5.
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    read_only: ClassVar[bool] = True
    count: int


@frozen()
class ProbeInterval(Option):
    """How often the path MTU is probed (SCTP_PLPMTUD_PROBE_INTERVAL; Linux 5.14).

    The probes are packets of their own, and need no ICMP.  Once the size is found, larger ones are
    tried again after 30 intervals.  On Linux there are no probes unless it is set, or
    ``net.sctp.plpmtud_probe_interval``.  The userland stack probes only while it has more to send
    than a packet holds, and no faster than its answers come; its interval is 20000, and that of
    simulated hosts 0.  `PeerAddressParams` switches its probes on and off as well.

    Attributes:
      interval: Milliseconds between two probes, 5000 to 2**32 - 1; 0 means none.
      address: One address of the peer; None means all paths of an association, or, for an endpoint,
        those of future associations.

    Source: RFC 8899; the option is Linux's own.
    """

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    sparse: ClassVar[bool] = True
    interval: int = _required(0, _U32)
    address: Address | None = None

    def __post_init__(self) -> None:
        _check(self)
        if 0 < self.interval < 5000:
            raise ValueError(
                f"ProbeInterval.interval must be 0 or between 5000 and {_U32}, not {self.interval}"
            )


@frozen(kw_only=True)
class PeerAddressThresholds(Option):
    """How many errors make a path doubtful, dead, or no longer the primary one
    (SCTP_PEER_ADDR_THLDS_V2; Linux 5.5).

    An error is a timeout, or a heartbeat that was not answered; an answer starts the count anew.

    Attributes:
      pathmaxrxt: A path with more errors in a row is inactive, 1 to 65535; 0 leaves it as it is.
        `PeerAddressParams` has the same value.
      potentially_failed: A path with more errors in a row is potentially failed, and new data goes
        by another one, 0 to 65535.  0 unless set; with ``pathmaxrxt`` or more, no path is ever
        potentially failed.
      switchover: With more errors in a row, the primary path is no longer the primary one: the path
        that works becomes that, and stays it when the old one works again, 0 to 65535; 65535,
        the default, means never.  It must not be less than ``potentially_failed``
        (``ValueError``).
      address: One address of the peer; None means all paths of an association, or, for an endpoint,
        those of future associations.

    Source: RFC 7829 sections 4 and 7.2.
    """

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    pathmaxrxt: int | None = _within(0, _U16)
    potentially_failed: int | None = _within(0, _U16)
    switchover: int | None = _within(0, _U16)
    address: Address | None = None

    def __post_init__(self) -> None:
        _check(self)
        if (
            self.potentially_failed is not None
            and self.switchover is not None
            and self.switchover < self.potentially_failed
        ):
            raise ValueError(
                f"PeerAddressThresholds.switchover must be at least {self.potentially_failed}, "
                f"which is potentially_failed, not {self.switchover}"
            )


@frozen()
class ExposePotentiallyFailed(Option):
    """Whether a program is told of paths that may have failed
    (SCTP_EXPOSE_POTENTIALLY_FAILED_STATE; Linux 5.5).

    When it is off, a `PeerAddressChange` comes only when a path has failed for good, or works again
    after that; and of a potentially failed path, `PeerAddressInfo` tells nothing but that it is
    one.  The userland stack has it on unless it is set.  Linux has ``net.sctp.pf_expose``, which is
    off unless the administrator says otherwise.

    Source: RFC 7829 section 7.3.
    """

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    enabled: bool


@frozen()
class EcnSupported(Option):
    """Whether congestion that routers report by marking packets slows a sender down
    (SCTP_ECN_SUPPORTED; Linux 5.4).

    Both sides have to offer it.  Read of one association, it tells whether they have.  On Linux it
    is on unless it is set, or ``net.sctp.ecn_enable``; the userland stack has it only where the
    system is Linux, and off unless it is set.

    Source: RFC 3168; RFC 4960 appendix A.
    """

    scope: ClassVar[Scope] = Scope.NEW
    negotiated: ClassVar[bool] = True
    enabled: bool


@frozen()
class PrSupported(Option):
    """Whether messages may be given up that were sent already (SCTP_PR_SUPPORTED).

    Both sides have to offer it.  Read of one association, it tells whether they have.  It is on
    unless it is set; on Linux that is ``net.sctp.prsctp_enable``.

    Source: RFC 7496 section 4.5; RFC 3758.
    """

    scope: ClassVar[Scope] = Scope.NEW
    negotiated: ClassVar[bool] = True
    enabled: bool


@frozen()
class ReconfigSupported(Option):
    """Whether streams may be reset and added (SCTP_RECONFIG_SUPPORTED).

    Both sides have to offer it.  Read of one association, it tells whether they have.  It is on
    unless it is set to False; on Linux off, unless it is set, or ``net.sctp.reconf_enable``.

    Source: RFC 6525.
    """

    scope: ClassVar[Scope] = Scope.NEW
    negotiated: ClassVar[bool] = True
    enabled: bool


@frozen()
class AsconfSupported(Option):
    """Whether addresses may be added and removed while an association is up
    (SCTP_ASCONF_SUPPORTED; Linux 5.4).

    Both sides have to offer it, and authentication (`AuthSupported`).  Read of one association, it
    tells whether they have.  On the userland stack and the simulated network it is on, on Linux off
    unless it is set, or ``net.sctp.addip_enable``.

    Source: RFC 5061 section 4.2.7.
    """

    scope: ClassVar[Scope] = Scope.NEW
    negotiated: ClassVar[bool] = True
    enabled: bool


@frozen()
class AsconfWithoutAuth(Option):
    """Whether peers may add and remove addresses without authentication, which RFC 5061 forbids.

    It is off unless it is set.  Otherwise a peer is refused that offers to change addresses but no
    authentication, as Linux with ``net.sctp.addip_noauth_enable``.  Whoever sees or guesses the
    verification tag of an association can then have it go elsewhere.  Linux has only that sysctl.

    Source: RFC 5061 sections 4.1.1 and 6.
    """

    scope: ClassVar[Scope] = Scope.NEW
    enabled: bool


@frozen()
class AuthSupported(Option):
    """Whether chunks may be authenticated (SCTP_AUTH_SUPPORTED; Linux 5.4).

    Both sides have to offer it.  Read of one association, it tells whether they have.  It is on
    unless it is set; on Linux it is off unless it is set, or ``net.sctp.auth_enable``, and has to
    be set before `AuthChunks` and the other options of authentication.

    Source: RFC 4895.
    """

    scope: ClassVar[Scope] = Scope.NEW
    negotiated: ClassVar[bool] = True
    enabled: bool


@frozen()
class AutoAsconf(Option):
    """Whether the peers are told of addresses that this machine gains and loses
    (SCTP_AUTO_ASCONF).

    Linux has it for sockets that are bound to all addresses, and refuses it for others
    (``ValueError``).  It needs `AsconfSupported`.  The userland stack does not watch the machine's
    addresses: there `Endpoint.add_address` and `Endpoint.remove_address` tell the peers.

    Source: RFC 6458 section 8.1.23; RFC 5061.
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    enabled: bool


@frozen(kw_only=True)
class EnableStreamReset(Option):
    """Which requests of the peer are granted (SCTP_ENABLE_STREAM_RESET); none, unless set.

    What the peer does because this side has asked for it is granted without.  While a request of
    this side is on its way, Linux grants the peer's of the same kind, too.

    Attributes:
      streams: Whether the peer may reset its streams, and have ours reset.
      association: Whether the peer may reset the association: TSNs and all streams.
      changes: Whether the peer may add streams, and have us add some.

    Source: RFC 6525 section 6.3.1.
    """

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    streams: bool | None = None
    association: bool | None = None
    changes: bool | None = None


@frozen(kw_only=True)
class EventSubscription(Option):
    """Which events are delivered (SCTP_EVENT; gen_sctp ``sctp_events``).

    An event that is not subscribed to takes no credit.  The library still sees the events that it
    needs itself.

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


class EventType(NamedTuple):
    """One row of `EVENTS`: one kind of event, for all stacks.

    Attributes:
      field: The field of `EventSubscription` that switches it on and off.
      event: Its class.
      notification: RFC 6458's name for it, without SCTP_; a stack looks its own number up by it.
      default: Whether a socket delivers it until told otherwise.
      needed: Whether the library has to see it, whatever the program subscribes to.
    """

    field: str
    event: type[Notification]
    notification: str
    default: bool
    needed: bool


EVENTS: tuple[EventType, ...] = (
    EventType("association_event", AssociationChange, "ASSOC_CHANGE", True, True),
    EventType("address_event", PeerAddressChange, "PEER_ADDR_CHANGE", True, True),
    EventType("send_failure_event", SendFailed, "SEND_FAILED_EVENT", True, True),
    EventType("peer_error_event", RemoteError, "REMOTE_ERROR", True, False),
    EventType("shutdown_event", ShutdownReceived, "SHUTDOWN_EVENT", True, True),
    EventType(
        "partial_delivery_event", PartialDeliveryAborted, "PARTIAL_DELIVERY_EVENT", True, True
    ),
    EventType(
        "adaptation_layer_event", AdaptationIndication, "ADAPTATION_INDICATION", False, False
    ),
    EventType("authentication_event", AuthenticationChange, "AUTHENTICATION_EVENT", False, False),
    EventType("sender_dry_event", SenderDry, "SENDER_DRY_EVENT", False, False),
    EventType("stream_reset_event", StreamReset, "STREAM_RESET_EVENT", False, False),
    EventType("association_reset_event", AssociationReset, "ASSOC_RESET_EVENT", False, False),
    EventType("stream_change_event", StreamChange, "STREAM_CHANGE_EVENT", False, True),
)
"""Every event that can be subscribed to, in the order of `EventSubscription`.

A new event is a class in `_values` and its place in `Notification`, a field of `EventSubscription`,
a row here, its export, and what a stack does to report it: on Linux its number and struct in
`_kernel/_layouts` and its case in `_kernel/_notifications`.
"""

DEFAULT_EVENTS = EventSubscription(**{row.field: row.default for row in EVENTS})
"""The events that a socket delivers until told otherwise."""

NEEDED_EVENTS = EventSubscription(**{row.field: True for row in EVENTS if row.needed})
"""The events that the library has to see, whatever the program subscribes to."""


def event_types(subscription: EventSubscription) -> frozenset[type]:
    """The classes of events that a subscription delivers, `UnknownEvent` always among them."""
    return _DEFAULT_TYPES if subscription is DEFAULT_EVENTS else _event_types(subscription)


def _event_types(subscription: EventSubscription) -> frozenset[type]:
    chosen = [row.event for row in EVENTS if getattr(subscription, row.field)]
    return frozenset([UnknownEvent, *chosen])


_DEFAULT_TYPES = _event_types(DEFAULT_EVENTS)  # one set for all associations that have these


class StatusState(NamedInt):
    """The state of an association (RFC 9260 section 4, gen_sctp ``sctp_state_...``).

    What happened to it is told by an `AssociationChange`, with an `AssociationState`.
    """

    EMPTY = 0
    CLOSED = 1
    COOKIE_WAIT = 2
    COOKIE_ECHOED = 3
    ESTABLISHED = 4
    SHUTDOWN_PENDING = 5
    SHUTDOWN_SENT = 6
    SHUTDOWN_RECEIVED = 7
    SHUTDOWN_ACK_SENT = 8


class PathState(NamedInt):
    """The state of a path to the peer (RFC 6458 section 8.2.2, RFC 7829)."""

    INACTIVE = 0
    POTENTIALLY_FAILED = 1
    ACTIVE = 2
    UNCONFIRMED = 3


@frozen(kw_only=True)
class PeerAddressInfo(Option):
    """One path to the peer, read-only (SCTP_GET_PEER_ADDR_INFO; gen_sctp
    ``sctp_get_peer_addr_info``).

    For a potentially failed path that the stack hides (``net.sctp.pf_expose=1`` on Linux), the
    numbers are 0.

    Attributes:
      address: The peer's address.
      state: The path's state; an unknown one stays a plain number.
      primary: Whether it is the primary path.
      cwnd: Congestion window, bytes.
      srtt: Smoothed round-trip time, milliseconds.
      rto: Retransmission timeout, milliseconds.
      mtu: Path MTU, bytes.

    Source: RFC 6458 section 8.2.2.
    """

    scope: ClassVar[Scope] = Scope.ONE_ASSOCIATION
    read_only: ClassVar[bool] = True
    address: Address
    state: PathState | int
    primary: bool
    cwnd: int
    srtt: int
    rto: int
    mtu: int


@frozen(kw_only=True)
class Status(Option):
    """The state of an association, read-only (SCTP_STATUS; gen_sctp ``sctp_status``).

    Attributes:
      association_id: The association.
      state: Its state; an unknown one stays a plain number.
      rwnd: The peer's receiver window, bytes.
      unackdata: Number of DATA chunks sent and not yet acknowledged.
      penddata: Number of DATA chunks that have not arrived, of those that others should have
        followed.
      instrms, outstrms: Numbers of inbound and outbound streams.
      fragmentation_point: Largest message that is sent in one piece, bytes.
      primary: The primary path.

    Source: RFC 6458 section 8.2.1.
    """

    scope: ClassVar[Scope] = Scope.ONE_ASSOCIATION
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


# -- streams ---------------------------------------------------------------------------------


class Scheduler(NamedInt):
    """Which stream's message is sent next (RFC 8260 section 3).

    A stream's own messages are always sent in order.  Another stream's turn comes when a message
    has ended; where both sides have set `Interleaving`, after each part of one that fits into a
    packet.
    """

    FCFS = 0
    """First come, first served, in the order in which they were sent."""
    ROUND_ROBIN = 1
    """Each stream in turn."""
    ROUND_ROBIN_PACKET = 2
    """Each stream in turn, and no packet has messages of two streams."""
    PRIORITY = 3
    """The stream with the lowest `StreamPriority`; those with the same in turn."""
    FAIR_BANDWIDTH = 4
    """All streams get the same share of the bytes."""
    WEIGHTED_FAIR = 5
    """A stream's share of the bytes is as large as its `StreamPriority`."""


@frozen()
class Interleaving(Option):
    """Whether parts of messages of different streams may be interleaved
    (SCTP_INTERLEAVING_SUPPORTED).

    A long message does not hold up those of other streams then.  Both sides have to offer it; read
    of one association, it tells whether they have.  It is off unless it is set.  It changes no
    order by itself: set `StreamScheduler` too.

    On Linux it also sets SCTP_FRAGMENT_INTERLEAVE, and is `OptionUnsupported` where the sysctl
    ``net.sctp.intl_enable`` is 0.

    Source: RFC 8260 sections 2 and 4.3.1.
    """

    scope: ClassVar[Scope] = Scope.NEW
    negotiated: ClassVar[bool] = True
    enabled: bool


@frozen()
class StreamScheduler(Option):
    """Which stream's message is sent next (SCTP_STREAM_SCHEDULER).

    It may change while messages wait: none is lost, and those of one stream keep their order.

    Attributes:
      scheduler: One of `Scheduler`; FCFS by default.  Linux has FCFS, PRIORITY and ROUND_ROBIN from
        4.15 on, FAIR_BANDWIDTH and WEIGHTED_FAIR from 6.4 on, and no ROUND_ROBIN_PACKET.

    Source: RFC 8260 section 4.3.2.
    """

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    scheduler: Scheduler

    def __post_init__(self) -> None:
        if not isinstance(self.scheduler, Scheduler):
            raise TypeError(
                f"StreamScheduler.scheduler must be a Scheduler, not {shown(self.scheduler)}"
            )


@frozen()
class StreamPriority(Option):
    """The priority or the weight of one stream, for its scheduler (SCTP_STREAM_SCHEDULER_VALUE).

    ``get_option(StreamPriority, stream=1)`` reads it.  Set `StreamScheduler` first: when that
    changes, Linux forgets these values.

    Attributes:
      stream: The stream's number, 0 to 65535.
      value: With PRIORITY, 0 to 65535, and the lowest is sent first; 0 unless set.  With
        WEIGHTED_FAIR, the share, 1 to 65535; 1 unless set.  Other schedulers ignore it.

    Source: RFC 8260 section 4.3.3.
    """

    scope: ClassVar[Scope] = Scope.ONE_ASSOCIATION
    stream: int = _required(0, _U16)
    value: int = _required(0, _U16)


@frozen()
class Abandoned(Frozen):
    """How many messages were given up.

    Attributes:
      sent: Those of which at least a part had been sent.
      unsent: Those of which nothing had been sent.
    """

    sent: int
    unsent: int


@frozen(kw_only=True)
class PrStatus(Option):
    """Messages that were given up, read-only (SCTP_PR_ASSOC_STATUS, SCTP_PR_STREAM_STATUS).

    ``get_option(PrStatus)`` counts all messages of an association, and with ``stream=`` those of
    one outbound stream.  What is lost because the association ends is not counted.

    Attributes:
      stream: The stream; None for all streams.
      lifetime: What was given up because its lifetime was over.
      retransmissions: What was given up because it had been sent often enough.
      priority: What was given up to make room for more urgent messages.  Linux counts each
        fragment of a message here, and does not tell of each message by a `SendFailed`.

    Source: RFC 7496 sections 4.3 and 4.4.
    """

    scope: ClassVar[Scope] = Scope.ONE_ASSOCIATION
    read_only: ClassVar[bool] = True
    stream: int | None
    lifetime: Abandoned
    retransmissions: Abandoned
    priority: Abandoned


# -- authentication (RFC 4895) ----------------------------------------------------------------


class HmacAlgorithm(NamedInt):
    """What authenticates chunks: an HMAC with this hash function (RFC 4895 section 3.3)."""

    SHA_1 = 1
    SHA_256 = 3


_NEVER_AUTHENTICATED = {1: "INIT", 2: "INIT ACK", 14: "SHUTDOWN COMPLETE", 15: "AUTH"}


@frozen()
class AuthChunks(Option):
    """Take chunks of these types only if they are authenticated (SCTP_AUTH_CHUNK).

    They are added to those that were named before, for associations that either side sets up
    afterwards.  `LocalAuthChunks` lists all of them.  A peer that knows no authentication sends
    them as before, and its association reports `AuthenticationState.NO_AUTH`.

    Attributes:
      types: Chunk types, 0 to 255, such as 0 for DATA, 3 for SACK and 6 for ABORT.

    Source: RFC 6458 section 8.3.2, RFC 4895 section 3.2.
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    write_only: ClassVar[bool] = True
    types: Sequence[int]

    def __post_init__(self) -> None:
        types = _checked_list("AuthChunks.types", self.types, "chunk types", "[0]")
        for number in types:
            check_integer("a chunk type of AuthChunks.types", number, 0, 255)
            if number in _NEVER_AUTHENTICATED:
                raise ValueError(
                    f"AuthChunks.types must not name {number}: {_NEVER_AUTHENTICATED[number]} "
                    "chunks are never authenticated (RFC 4895 section 3.2)"
                )
        object.__setattr__(self, "types", types)


@frozen()
class LocalAuthChunks(Option):
    """The chunk types that we take only if they are authenticated, read-only
    (SCTP_LOCAL_AUTH_CHUNKS).

    Attributes:
      types: Chunk types, in order.

    Source: RFC 6458 section 8.2.4.
    """

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    read_only: ClassVar[bool] = True
    types: tuple[int, ...]


@frozen()
class PeerAuthChunks(Option):
    """The chunk types that the peer takes only if they are authenticated, read-only
    (SCTP_PEER_AUTH_CHUNKS).

    Attributes:
      types: Chunk types, in order.

    Source: RFC 6458 section 8.2.3.
    """

    scope: ClassVar[Scope] = Scope.ONE_ASSOCIATION
    read_only: ClassVar[bool] = True
    types: tuple[int, ...]


@frozen()
class HmacAlgorithms(Option):
    """What the peer may authenticate chunks with (SCTP_HMAC_IDENT).

    It holds for associations that either side sets up afterwards.

    Attributes:
      algorithms: `HmacAlgorithm` members, the most preferred first, each once.  SHA_1 has to be
        among them.  SHA_256 and SHA_1 unless set; on Linux SHA_1 alone.

    Source: RFC 6458 section 8.1.17, RFC 4895 section 3.3.
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    algorithms: Sequence[HmacAlgorithm]

    def __post_init__(self) -> None:
        algorithms = _checked_list(
            "HmacAlgorithms.algorithms", self.algorithms, "HmacAlgorithm", "[HmacAlgorithm.SHA_1]"
        )
        for one in algorithms:
            if not isinstance(one, HmacAlgorithm):
                raise TypeError(
                    f"HmacAlgorithms.algorithms must hold HmacAlgorithm, not {shown(one)}"
                )
        if len(set(algorithms)) < len(algorithms):
            raise ValueError("HmacAlgorithms.algorithms must name each algorithm once")
        if HmacAlgorithm.SHA_1 not in algorithms:
            raise ValueError(
                "HmacAlgorithms.algorithms must have SHA_1, which every peer knows (RFC 4895 "
                "section 3.3)"
            )
        object.__setattr__(self, "algorithms", algorithms)


def _checked_list(name: str, value: object, what: str, example: str) -> tuple[Any, ...]:
    """The elements of a list that a program gave, which is not empty."""
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes, bytearray)):
        raise TypeError(f"{name} must be a list of {what}, such as {example}, not {shown(value)}")
    if not value:
        raise ValueError(f"{name} must not be empty")
    return tuple(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


@frozen()
class AuthKey(Option):
    """A secret that both ends know, and with which chunks are authenticated (SCTP_AUTH_KEY).

    One that has this id already is replaced.  Each association starts with the keys of its
    endpoint.  The secret is never shown.

    Attributes:
      id: The key's identifier, which AUTH chunks name, 0 to 65535.  Key 0 exists from the
        beginning, with an empty secret: while it has that, whoever has seen the handshake can
        authenticate chunks.
      secret: 0 to 65535 bytes.

    Source: RFC 6458 section 8.3.3, RFC 4895 section 6.1.
    """

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    write_only: ClassVar[bool] = True
    id: int
    secret: bytes

    def __post_init__(self) -> None:
        # What is wrong is not repeated: it may be a secret all the same, also in the other's place.
        if not isinstance(self.id, int):
            kind = type(self.id).__name__
            raise TypeError(f"AuthKey.id must be an integer from 0 to {_U16}, not {kind}")
        check_integer("AuthKey.id", self.id, 0, _U16)
        if type(self.secret) is not bytes:
            kind = type(self.secret).__name__
            raise TypeError(f"AuthKey.secret must be bytes, not {kind}")
        size = len(self.secret)
        if size > _U16:
            raise ValueError(f"AuthKey.secret must have at most 65535 bytes, not {size}")

    def __repr__(self) -> str:
        return f"AuthKey(id={self.id!r})"


@frozen()
class ActiveKey(Option):
    """The key that we authenticate chunks with (SCTP_AUTH_ACTIVE_KEY).

    On Linux a message keeps the key that is active when it is sent; elsewhere it is authenticated
    by the key that is active when it leaves.

    Attributes:
      id: The identifier of an `AuthKey`, 0 to 65535.  0 is active at first.

    Source: RFC 6458 section 8.1.18.
    """

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    id: int = _required(0, _U16)


@frozen()
class DeactivateKey(Option):
    """Send with a key no longer: what `deactivate_key` sets (SCTP_AUTH_DEACTIVATE_KEY)."""

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    write_only: ClassVar[bool] = True
    id: int = _required(0, _U16)


@frozen()
class DeleteKey(Option):
    """Forget a key: what `delete_key` sets (SCTP_AUTH_DELETE_KEY)."""

    scope: ClassVar[Scope] = Scope.ASSOCIATION
    write_only: ClassVar[bool] = True
    id: int = _required(0, _U16)


# -- sockets in general ----------------------------------------------------------------------


@frozen()
class SendBuffer(Option):
    """Size of the send buffer (SO_SNDBUF; gen_sctp ``sndbuf``).

    It limits the largest message (`Endpoint.max_send_size`) and, for all associations of the
    socket together, what is waiting to be sent and acknowledged.

    Attributes:
      size: Bytes, 1 to 2**30.  Linux limits it to net.core.wmem_max, then doubles it, and returns
        the double.
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    size: int = _required(1, 2**30)


@frozen()
class ReceiveBuffer(Option):
    """Size of the receive buffer (SO_RCVBUF; gen_sctp ``recbuf``).

    Attributes:
      size: Bytes, 1 to 2**30.  Linux limits it to net.core.rmem_max, then doubles it, and returns
        the double.
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    size: int = _required(1, 2**30)


@frozen()
class Linger(Option):
    """How long ``aclose`` waits for messages to be acknowledged (SO_LINGER; gen_sctp ``linger``).

    With ``Linger(True, 0)`` it aborts.  With ``Linger(True, 5)`` it waits for at most five seconds,
    and leaves the rest to the stack, in the background.  With ``Linger(False)``, the default, it
    waits until all are acknowledged; if it is cancelled, it leaves the rest to the stack.

    Attributes:
      enabled: Whether ``seconds`` limit the wait.
      seconds: The limit, 0 to 65535.

    Source: RFC 6458 section 8.1.4.
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    enabled: bool
    seconds: int = _within(0, _U16, 0)


@frozen()
class Tos(Option):
    """Type of service of IPv4 packets (IP_TOS; gen_sctp ``tos``).

    Attributes:
      value: 0 to 255, with the DSCP in the upper six bits.  The lower two are for ECN, and Linux
        sets them when it sends.  Linux also sets `Priority` according to this value.
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    value: int = _required(0, 255)


@frozen()
class TrafficClass(Option):
    """Traffic class of IPv6 packets (IPV6_TCLASS; gen_sctp ``tclass``); needs an IPv6 socket.

    Attributes:
      value: 0 to 255, with the DSCP in the upper six bits.
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    value: int = _required(0, 255)


@frozen()
class Priority(Option):
    """Priority of packets in the queues of this machine (SO_PRIORITY; gen_sctp ``priority``).

    On Linux it does not set `Tos`, although gen_sctp's manual says so: set both, `Tos` first.

    Attributes:
      value: 0 to 2**31 - 1; above 6 it needs CAP_NET_ADMIN (``PermissionError``).
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    value: int = _required(0, _I32)


@frozen()
class DontRoute(Option):
    """Whether only hosts on our own links are reached (SO_DONTROUTE; gen_sctp ``dontroute``)."""

    scope: ClassVar[Scope] = Scope.SOCKET
    enabled: bool


@frozen()
class ReuseAddress(Option):
    """Whether another socket may be bound to the same port while neither listens (SO_REUSEADDR;
    gen_sctp ``reuseaddr``).  It is for opening."""

    scope: ClassVar[Scope] = Scope.SOCKET
    at_open_only: ClassVar[bool] = True
    enabled: bool


@frozen()
class ReusePort(Option):
    """Whether sockets that all set it may listen on the same port, each for some of the peers
    (SO_REUSEPORT; gen_sctp ``reuseport``).  It is for opening."""

    scope: ClassVar[Scope] = Scope.SOCKET
    at_open_only: ClassVar[bool] = True
    enabled: bool


@frozen()
class IPv6Only(Option):
    """Whether an IPv6 socket is for IPv6 peers alone (IPV6_V6ONLY; gen_sctp ``ipv6_v6only``).
    It is for opening, and off by default."""

    scope: ClassVar[Scope] = Scope.SOCKET
    at_open_only: ClassVar[bool] = True
    enabled: bool


@frozen()
class BindToDevice(Option):
    """Send and receive through one network interface (SO_BINDTODEVICE; gen_sctp
    ``bind_to_device``).

    Attributes:
      name: The interface's name, at most 15 bytes; ``""`` means any interface.
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    name: str

    def __post_init__(self) -> None:
        _check(self)
        if len(self.name.encode()) > 15 or "\0" in self.name:
            raise ValueError(
                f"BindToDevice.name must have at most 15 bytes and no NUL, not {self.name!r}"
            )


@frozen()
class NetworkNamespace(Option):
    """Open the socket in another network namespace (gen_sctp ``netns``).  It is for opening and
    write-only, and needs CAP_SYS_ADMIN.

    Host names, and the scope ids of interfaces, are looked up in the program's own namespace.

    Attributes:
      path: A file that stands for the namespace, such as ``/run/netns/blue``.
    """

    scope: ClassVar[Scope] = Scope.SOCKET
    at_open_only: ClassVar[bool] = True
    write_only: ClassVar[bool] = True
    path: str


@frozen()
class ReceiveTos(Option):
    """Report the type of service with each message (gen_sctp ``recvtos``): Linux cannot."""

    scope: ClassVar[Scope] = Scope.SOCKET
    enabled: bool


@frozen()
class ReceiveTrafficClass(Option):
    """Report the traffic class with each message (gen_sctp ``recvtclass``): Linux cannot."""

    scope: ClassVar[Scope] = Scope.SOCKET
    enabled: bool


@frozen()
class ReceiveTtl(Option):
    """Report the time to live with each message (gen_sctp ``recvttl``): Linux cannot."""

    scope: ClassVar[Scope] = Scope.SOCKET
    enabled: bool


# -- defaults --------------------------------------------------------------------------------


@frozen()
class Default(Frozen):
    """One row of the table of defaults: an option that every socket of this library starts with,
    the reason, and what gen_sctp does."""

    option: Option
    reason: str
    gen_sctp: str


DEFAULTS: tuple[Default, ...] = (
    Default(
        DEFAULT_EVENTS,
        "what an application has to know; the others come on request",
        "the same",
    ),
    Default(
        NoDelay(True),
        "when off, a second small message waits for the delayed SACK: 207 ms, measured",
        "off",
    ),
    Default(
        ReceiveBuffer(2**20),
        "all associations of a socket share it, and the kernel's 208 KiB hold some 230 small "
        "messages: when more are unread packets are dropped, and a peer whose retransmissions are "
        "dropped ten times gives up (46 of 200 did, measured).  It is a limit: memory is used only "
        "by what is unread.  net.core.rmem_max caps it",
        "1024 bytes",
    ),
)
"""The options that are set on every socket, before the caller's own ``options``.

Two more settings are not options, because this library works with no other value: the receive
information of every message is on, and fragment interleave is 1, so that a long message from one
peer does not hold up the others.  The send buffer keeps the kernel's size, which is 208 KiB unless
the administrator chose another (gen_sctp asks for 64 KiB).
"""


def merge(option: Option, current: Option) -> Option:
    """Take the fields of ``option`` that are None from ``current``."""
    replaced = POLICIES if _policies(option) else ()
    return type(option)(
        **{
            name: getattr(current, name) if value is None and name not in replaced else value
            for name in option._fields
            for value in [getattr(option, name)]
        }
    )


def is_complete(option: Option) -> bool:
    """Whether every field of an option has a value, or one of those of which only one may.

    An address is no value: it says what the others are for.
    """
    other = ("address", *(POLICIES if _policies(option) else ()))
    return all(getattr(option, name) is not None for name in option._fields if name not in other)


def check_options(options: Sequence[Option], *, at_connect: bool = False) -> None:
    """Refuse what is not an option or cannot be set; at connect, also what is not for one
    association that is being set up."""
    if not isinstance(options, Sequence) or isinstance(options, (str, bytes)):
        raise TypeError(
            "options must be a list of options, such as [InitMsg(num_ostreams=5)], not "
            + shown(options)
        )
    for option in options:
        check_option(option)
        kind = type(option)
        if not at_connect:
            continue
        if kind.scope is Scope.SOCKET:
            raise ValueError(
                f"{kind.__name__} holds for {kind.scope.value}: set it on the endpoint"
            )
        if kind is AuthKey:
            raise ValueError(
                "AuthKey is taken over from the endpoint: set it there before connect, or on the "
                "association once it is up"
            )
        if kind is SetPeerPrimaryAddress:
            raise ValueError(f"{kind.__name__} can only be set once the association is up")


def check_option(option: Option) -> None:
    """Refuse what is not an option or cannot be set."""
    if not isinstance(option, Option):
        raise TypeError(
            f"options must be values such as InitMsg(num_ostreams=5), not {shown(option)}"
        )
    if option.read_only:
        raise ValueError(f"{type(option).__name__} can only be read")


OF_PATHS = (PeerAddressParams, EncapsulationPort, ProbeInterval, PeerAddressThresholds)
"""Options that can be set for one address of a peer, and for all."""

OF_STREAMS = (PrStatus, StreamPriority)
"""Options that can be read for one outbound stream."""


def needs_peer(option: Option) -> bool:
    """Whether an option is for one address of a peer, and can only be set on an association."""
    return option.scope is Scope.ONE_ASSOCIATION or (
        isinstance(option, OF_PATHS) and option.address is not None
    )
