"""The option types as Linux socket options: one row of `LAYOUTS` each."""

from __future__ import annotations

import dataclasses
import errno
import functools
import socket
import struct
from collections.abc import Callable
from typing import Any, TypeVar

from .._errors import OptionUnsupported
from .._frozen import Frozen, frozen
from .._options import (
    EVENTS,
    Abandoned,
    ActiveKey,
    AdaptationLayer,
    AsconfSupported,
    AsconfWithoutAuth,
    AssociationCount,
    AssocParams,
    AuthChunks,
    AuthKey,
    AuthSupported,
    AutoAsconf,
    AutoClose,
    BindToDevice,
    Context,
    DeactivateKey,
    DefaultSendParams,
    DelayedAck,
    DeleteKey,
    DisableFragments,
    DontRoute,
    EcnSupported,
    EnableStreamReset,
    EncapsulationPort,
    EventSubscription,
    ExposePotentiallyFailed,
    FragmentInterleave,
    HmacAlgorithm,
    HmacAlgorithms,
    InitMsg,
    Interleaving,
    IPv6Only,
    Linger,
    LocalAuthChunks,
    MappedV4,
    MaxBurst,
    MaxSegment,
    NoDelay,
    Option,
    PartialDeliveryPoint,
    PathState,
    PeerAddressFlags,
    PeerAddressInfo,
    PeerAddressParams,
    PeerAddressThresholds,
    PeerAuthChunks,
    PrimaryAddress,
    Priority,
    ProbeInterval,
    PrStatus,
    PrSupported,
    ReceiveBuffer,
    ReceiveTos,
    ReceiveTrafficClass,
    ReceiveTtl,
    ReconfigSupported,
    ReuseAddress,
    ReusePort,
    RtoInfo,
    Scheduler,
    SendBuffer,
    SetPeerPrimaryAddress,
    Status,
    StatusState,
    StreamPriority,
    StreamScheduler,
    Tos,
    TrafficClass,
)
from .._values import Address
from ._layouts import (
    ASSOC_VALUE_STRUCT,
    ASSOCPARAMS_STRUCT,
    AUTHCHUNK_STRUCT,
    AUTHCHUNKS_STRUCT,
    AUTHKEY_STRUCT,
    AUTHKEYID_STRUCT,
    DEFAULT_PRINFO_STRUCT,
    ENABLE_CHANGE_ASSOC_REQ,
    ENABLE_RESET_ASSOC_REQ,
    ENABLE_RESET_STREAM_REQ,
    EVENT_STRUCT,
    FUTURE_ASSOCIATIONS,
    HMACALGO_STRUCT,
    INITMSG_STRUCT,
    PADDRINFO_STRUCT,
    PADDRPARAMS_STRUCT,
    PADDRTHLDS_V2_STRUCT,
    PF_EXPOSE_DISABLE,
    PF_EXPOSE_ENABLE,
    PR_SCTP_MASK,
    PR_SCTP_NONE,
    PR_SCTP_PRIO,
    PR_SCTP_RTX,
    PR_SCTP_TTL,
    PRIM_STRUCT,
    PROBEINTERVAL_STRUCT,
    PRSTATUS_STRUCT,
    RTOINFO_STRUCT,
    SACK_INFO_STRUCT,
    SNDRCVINFO_STRUCT,
    SOL_SCTP,
    SPP_HB_TIME_IS_ZERO,
    STATUS_STRUCT,
    STORAGE_SIZE,
    STREAM_VALUE_STRUCT,
    UDPENCAPS_STRUCT,
    UNORDERED,
    Note,
    Opt,
    pack_address,
    unpack_address,
)
from ._libc import getsockopt, namespace_of
from ._notifications import known

T = TypeVar("T", bound=Option)
Fields = dict[str, Any]

ID = "association id"
"""Stands for the association id among the fields of a struct."""


@frozen()
class Layout(Frozen):
    """How one option type is a socket option: its number, its struct, and the struct's fields.

    The fields are named as those of the option type.  A field that the option type lacks has a name
    that starts with an underscore, and is written as 0.  Where option and struct differ, ``decode``
    turns the struct's fields into an option, and ``encode`` an option into the struct's fields.
    ``since`` is the version of Linux that brought it, where the library runs on older ones.
    """

    level: int
    number: int
    struct: struct.Struct
    fields: tuple[str, ...]
    decode: Callable[[Fields], Option] | None = None
    encode: Callable[[Any], Fields] | None = None
    since: str = ""

    def pack(self, fields: Fields) -> bytes:
        """The packed struct.  Addresses are given packed; a field that is not given is 0."""
        values = [fields.get(name, b"" if name in _BYTES else 0) for name in self.fields]
        return self.struct.pack(*values)


_BYTES = ("address", "types")
"""Fields of structs that are bytes."""
_INT = struct.Struct("=i")
_TIMEVAL = struct.Struct("@ll")


def _socket_option(number: int, field: str) -> Layout:
    return Layout(socket.SOL_SOCKET, number, _INT, (field,))


def _offer(number: int, *, since: str = "") -> Layout:
    """An option with which an extension is offered, and that tells whether it is agreed on."""
    return Layout(SOL_SCTP, number, ASSOC_VALUE_STRUCT, (ID, "enabled"), since=since)


def _chunk_list(kind: type[Any], number: int) -> Layout:
    """An option that tells a list of chunk types, which has no order."""
    return Layout(
        SOL_SCTP,
        number,
        AUTHCHUNKS_STRUCT,
        (ID, "_count", "types"),
        lambda f: kind(tuple(sorted(f["types"][: f["_count"]]))),
    )


def _storage(address: Address | None) -> bytes:
    """The address, or what stands for none."""
    return (pack_address(address) if address else b"").ljust(STORAGE_SIZE, b"\0")


def _address(f: Fields) -> Address | None:
    """The address that a struct names, if it names one."""
    return unpack_address(f["address"])[0] if any(f["address"][:2]) else None


@functools.cache
def jiffy() -> int:
    """The length of a jiffy of this kernel, microseconds.

    Linux counts timeouts of sockets in jiffies, and tells by how much it has rounded one up.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(0, 1))
        timeout = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.size)
    seconds, microseconds = _TIMEVAL.unpack(timeout)
    return int(seconds * 1_000_000 + microseconds)


def _path(f: Fields, *, primary: bool) -> PeerAddressInfo:
    return PeerAddressInfo(
        address=unpack_address(f["address"])[0],
        state=known(PathState, f["state"]),
        primary=primary,
        cwnd=f["cwnd"],
        srtt=round(f["srtt"] * jiffy() / 1000),  # Linux tells this one in jiffies
        rto=f["rto"],
        mtu=f["mtu"],
    )


def _status(f: Fields) -> Status:
    return Status(
        association_id=f[ID],
        state=known(StatusState, f["_state"]),
        rwnd=f["rwnd"],
        unackdata=f["unackdata"],
        penddata=f["penddata"],
        instrms=f["instrms"],
        outstrms=f["outstrms"],
        fragmentation_point=f["fragmentation_point"],
        primary=_path(f, primary=True),
    )


def _default_send_params(f: Fields) -> DefaultSendParams:
    policy = f["_flags"] & PR_SCTP_MASK
    return DefaultSendParams(
        stream=f["stream"],
        ppid=socket.ntohl(f["ppid"]),
        unordered=f["_flags"] & UNORDERED != 0,
        context=f["context"],
        **{_POLICIES[policy]: f["lifetime"]},
    )


def _sndrcvinfo(option: DefaultSendParams) -> Fields:
    return {
        "stream": option.stream,
        "context": option.context,
        "lifetime": option.lifetime or 0,
        "ppid": socket.htonl(option.ppid or 0),
        "_flags": UNORDERED if option.unordered else 0,
    }


_POLICIES = {
    PR_SCTP_NONE: "lifetime",
    PR_SCTP_TTL: "lifetime",
    PR_SCTP_RTX: "retransmissions",
    PR_SCTP_PRIO: "priority",
}
"""The field of `DefaultSendParams` that has the value of each policy."""


def _set_default_policy(sock: socket.socket, option: DefaultSendParams, id: int) -> None:
    """Set what SCTP_DEFAULT_SEND_PARAM cannot say: Linux has no other flags than RFC 6458 there."""
    for policy in PR_SCTP_RTX, PR_SCTP_PRIO:
        value = getattr(option, _POLICIES[policy])
        if value is not None:
            packed = DEFAULT_PRINFO_STRUCT.pack(id, value, policy)
            sock.setsockopt(SOL_SCTP, Opt.DEFAULT_PRINFO, packed)


def _paddrparams(option: PeerAddressParams) -> Fields:
    """The fields for Linux, to which 0 and a missing flag mean "leave it as it is"."""
    flags = int(option.flags or 0)
    if option.hbinterval == 0:
        flags |= SPP_HB_TIME_IS_ZERO
    return {
        "address": _storage(option.address),
        "hbinterval": option.hbinterval or 0,
        "pathmaxrxt": option.pathmaxrxt or 0,
        "pathmtu": option.pathmtu or 0,
        "sackdelay": option.sackdelay or 0,
        "flags": flags,
    }


_SCHEDULERS = {
    Scheduler.FCFS: 0,
    Scheduler.PRIORITY: 1,
    Scheduler.ROUND_ROBIN: 2,
    Scheduler.FAIR_BANDWIDTH: 3,
    Scheduler.WEIGHTED_FAIR: 4,
}
"""Linux's numbers (enum sctp_sched_type)."""


def _scheduler(f: Fields) -> StreamScheduler:
    return StreamScheduler({value: name for name, value in _SCHEDULERS.items()}[f["value"]])


def _stream_scheduler(option: StreamScheduler) -> Fields:
    if option.scheduler not in _SCHEDULERS:
        raise _unsupported(StreamScheduler, f"no version of Linux has {option.scheduler}")
    return {"value": _SCHEDULERS[option.scheduler]}


_FLAGS = sum(PeerAddressFlags)
_SWITCHES = {
    "hbinterval": PeerAddressFlags.HB_ENABLE | PeerAddressFlags.HB_DISABLE,
    "pathmtu": PeerAddressFlags.PMTUD_ENABLE | PeerAddressFlags.PMTUD_DISABLE,
    "sackdelay": PeerAddressFlags.SACKDELAY_ENABLE | PeerAddressFlags.SACKDELAY_DISABLE,
}
"""Flags one of which has to come with a value: without it Linux ignores the value."""

LAYOUTS: dict[type[Any], Layout] = {
    InitMsg: Layout(
        SOL_SCTP,
        Opt.INITMSG,
        INITMSG_STRUCT,
        ("num_ostreams", "max_instreams", "max_attempts", "max_init_timeo"),
    ),
    RtoInfo: Layout(SOL_SCTP, Opt.RTOINFO, RTOINFO_STRUCT, (ID, "initial", "max", "min")),
    AssocParams: Layout(
        SOL_SCTP,
        Opt.ASSOCINFO,
        ASSOCPARAMS_STRUCT,
        (
            ID,
            "asocmaxrxt",
            "number_peer_destinations",
            "peer_rwnd",
            "local_rwnd",
            "cookie_life",
        ),
    ),
    PeerAddressParams: Layout(
        SOL_SCTP,
        Opt.PEER_ADDR_PARAMS,
        PADDRPARAMS_STRUCT,
        (
            ID,
            "address",
            "hbinterval",
            "pathmaxrxt",
            "pathmtu",
            "sackdelay",
            "flags",
            "_ipv6_flowlabel",
            "_dscp",
        ),
        lambda f: PeerAddressParams(
            address=_address(f),
            hbinterval=f["hbinterval"],
            pathmaxrxt=f["pathmaxrxt"],
            pathmtu=f["pathmtu"],
            sackdelay=f["sackdelay"],
            flags=PeerAddressFlags(f["flags"] & _FLAGS),
        ),
        _paddrparams,
    ),
    EncapsulationPort: Layout(
        SOL_SCTP,
        Opt.REMOTE_UDP_ENCAPS_PORT,
        UDPENCAPS_STRUCT,
        (ID, "address", "port"),
        lambda f: EncapsulationPort(socket.ntohs(f["port"]), _address(f)),
        lambda option: {
            "address": _storage(option.address),
            "port": socket.htons(option.port),
        },
    ),
    PrimaryAddress: Layout(
        SOL_SCTP,
        Opt.PRIMARY_ADDR,
        PRIM_STRUCT,
        (ID, "address"),
        lambda f: PrimaryAddress(unpack_address(f["address"])[0]),
        lambda option: {"address": _storage(option.address)},
    ),
    SetPeerPrimaryAddress: Layout(
        SOL_SCTP,
        Opt.SET_PEER_PRIMARY_ADDR,
        PRIM_STRUCT,
        (ID, "address"),
        encode=lambda option: {"address": _storage(option.address)},
    ),
    AdaptationLayer: Layout(
        SOL_SCTP, Opt.ADAPTATION_LAYER, struct.Struct("=I"), ("adaptation_ind",)
    ),
    DefaultSendParams: Layout(
        SOL_SCTP,
        Opt.DEFAULT_SEND_PARAM,
        SNDRCVINFO_STRUCT,
        (
            "stream",
            "_ssn",
            "_flags",
            "ppid",
            "context",
            "lifetime",
            "_tsn",
            "_cumtsn",
            ID,
        ),
        _default_send_params,
        _sndrcvinfo,
    ),
    DelayedAck: Layout(
        SOL_SCTP,
        Opt.DELAYED_SACK,
        SACK_INFO_STRUCT,
        (ID, "delay", "freq"),
        encode=lambda option: {"delay": option.delay or 0, "freq": option.freq or 0},
    ),
    AutoClose: Layout(SOL_SCTP, Opt.AUTOCLOSE, struct.Struct("=I"), ("seconds",)),
    NoDelay: Layout(SOL_SCTP, Opt.NODELAY, _INT, ("enabled",)),
    DisableFragments: Layout(SOL_SCTP, Opt.DISABLE_FRAGMENTS, _INT, ("enabled",)),
    MappedV4: Layout(SOL_SCTP, Opt.I_WANT_MAPPED_V4_ADDR, _INT, ("enabled",)),
    MaxSegment: Layout(SOL_SCTP, Opt.MAXSEG, ASSOC_VALUE_STRUCT, (ID, "size")),
    EnableStreamReset: Layout(
        SOL_SCTP,
        Opt.ENABLE_STREAM_RESET,
        ASSOC_VALUE_STRUCT,
        (ID, "_grants"),
        lambda f: EnableStreamReset(
            streams=f["_grants"] & ENABLE_RESET_STREAM_REQ != 0,
            association=f["_grants"] & ENABLE_RESET_ASSOC_REQ != 0,
            changes=f["_grants"] & ENABLE_CHANGE_ASSOC_REQ != 0,
        ),
        lambda option: {
            "_grants": (ENABLE_RESET_STREAM_REQ if option.streams else 0)
            | (ENABLE_RESET_ASSOC_REQ if option.association else 0)
            | (ENABLE_CHANGE_ASSOC_REQ if option.changes else 0)
        },
    ),
    PeerAddressInfo: Layout(
        SOL_SCTP,
        Opt.GET_PEER_ADDR_INFO,
        PADDRINFO_STRUCT,
        (ID, "address", "state", "cwnd", "srtt", "rto", "mtu"),
    ),
    Status: Layout(
        SOL_SCTP,
        Opt.STATUS,
        STATUS_STRUCT,
        (
            ID,
            "_state",
            "rwnd",
            "unackdata",
            "penddata",
            "instrms",
            "outstrms",
            "fragmentation_point",
            "_primary_id",
            "address",
            "state",
            "cwnd",
            "srtt",
            "rto",
            "mtu",
        ),
        _status,
    ),
    PrStatus: Layout(
        SOL_SCTP,
        Opt.PR_ASSOC_STATUS,
        PRSTATUS_STRUCT,
        (ID, "stream", "_policy", "_unsent", "_sent"),
    ),
    SendBuffer: _socket_option(socket.SO_SNDBUF, "size"),
    ReceiveBuffer: _socket_option(socket.SO_RCVBUF, "size"),
    StreamScheduler: Layout(
        SOL_SCTP,
        Opt.STREAM_SCHEDULER,
        ASSOC_VALUE_STRUCT,
        (ID, "value"),
        _scheduler,
        _stream_scheduler,
    ),
    StreamPriority: Layout(
        SOL_SCTP, Opt.STREAM_SCHEDULER_VALUE, STREAM_VALUE_STRUCT, (ID, "stream", "value")
    ),
    Linger: Layout(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.Struct("=ii"), ("enabled", "seconds")
    ),
    Tos: Layout(socket.IPPROTO_IP, socket.IP_TOS, _INT, ("value",)),
    TrafficClass: Layout(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _INT, ("value",)),
    Priority: _socket_option(socket.SO_PRIORITY, "value"),
    DontRoute: _socket_option(socket.SO_DONTROUTE, "enabled"),
    ReuseAddress: _socket_option(socket.SO_REUSEADDR, "enabled"),
    ReusePort: _socket_option(socket.SO_REUSEPORT, "enabled"),
    IPv6Only: Layout(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, _INT, ("enabled",)),
    AuthChunks: Layout(SOL_SCTP, Opt.AUTH_CHUNK, AUTHCHUNK_STRUCT, ("types",)),
    LocalAuthChunks: _chunk_list(LocalAuthChunks, Opt.LOCAL_AUTH_CHUNKS),
    PeerAuthChunks: _chunk_list(PeerAuthChunks, Opt.PEER_AUTH_CHUNKS),
    HmacAlgorithms: Layout(
        SOL_SCTP,
        Opt.HMAC_IDENT,
        HMACALGO_STRUCT,
        ("_count", "_first", "_second"),
        lambda f: HmacAlgorithms(
            [HmacAlgorithm(f[name]) for name in ("_first", "_second")[: f["_count"]]]
        ),
        lambda option: dict(
            zip(
                ("_count", "_first", "_second"),
                (len(option.algorithms), *option.algorithms),
                strict=False,
            )
        ),
    ),
    AuthKey: Layout(
        SOL_SCTP,
        Opt.AUTH_KEY,
        AUTHKEY_STRUCT,
        (ID, "id", "_length", "secret"),
        encode=lambda option: {
            "id": option.id,
            "_length": len(option.secret),
            "secret": option.secret,
        },
    ),
    ActiveKey: Layout(SOL_SCTP, Opt.AUTH_ACTIVE_KEY, AUTHKEYID_STRUCT, (ID, "id")),
    DeactivateKey: Layout(SOL_SCTP, Opt.AUTH_DEACTIVATE_KEY, AUTHKEYID_STRUCT, (ID, "id")),
    DeleteKey: Layout(SOL_SCTP, Opt.AUTH_DELETE_KEY, AUTHKEYID_STRUCT, (ID, "id")),
    BindToDevice: Layout(
        socket.SOL_SOCKET,
        socket.SO_BINDTODEVICE,
        struct.Struct("=16s"),
        ("name",),
        lambda f: BindToDevice(f["name"].rstrip(b"\0").decode()),
        lambda option: {"name": option.name.encode()},
    ),
    Context: Layout(SOL_SCTP, Opt.CONTEXT, ASSOC_VALUE_STRUCT, (ID, "value")),
    MaxBurst: Layout(SOL_SCTP, Opt.MAX_BURST, ASSOC_VALUE_STRUCT, (ID, "packets")),
    PartialDeliveryPoint: Layout(SOL_SCTP, Opt.PARTIAL_DELIVERY_POINT, _INT, ("size",)),
    FragmentInterleave: Layout(SOL_SCTP, Opt.FRAGMENT_INTERLEAVE, _INT, ("level",)),
    AssociationCount: Layout(SOL_SCTP, Opt.GET_ASSOC_NUMBER, _INT, ("count",)),
    AutoAsconf: Layout(SOL_SCTP, Opt.AUTO_ASCONF, _INT, ("enabled",)),
    ProbeInterval: Layout(
        SOL_SCTP,
        Opt.PLPMTUD_PROBE_INTERVAL,
        PROBEINTERVAL_STRUCT,
        (ID, "address", "interval"),
        lambda f: ProbeInterval(f["interval"], _address(f)),
        lambda option: {"address": _storage(option.address), "interval": option.interval},
        since="5.14",
    ),
    PeerAddressThresholds: Layout(
        SOL_SCTP,
        Opt.PEER_ADDR_THLDS_V2,
        PADDRTHLDS_V2_STRUCT,
        (ID, "address", "pathmaxrxt", "potentially_failed", "switchover"),
        lambda f: PeerAddressThresholds(
            pathmaxrxt=f["pathmaxrxt"],
            potentially_failed=f["potentially_failed"],
            switchover=f["switchover"],
            address=_address(f),
        ),
        lambda option: {
            "address": _storage(option.address),
            "pathmaxrxt": option.pathmaxrxt,
            "potentially_failed": option.potentially_failed,
            "switchover": option.switchover,
        },
        since="5.5",
    ),
    ExposePotentiallyFailed: Layout(
        SOL_SCTP,
        Opt.EXPOSE_POTENTIALLY_FAILED_STATE,
        ASSOC_VALUE_STRUCT,
        (ID, "enabled"),
        lambda f: ExposePotentiallyFailed(f["enabled"] == PF_EXPOSE_ENABLE),
        lambda option: {"enabled": PF_EXPOSE_ENABLE if option.enabled else PF_EXPOSE_DISABLE},
        since="5.5",
    ),
    EcnSupported: _offer(Opt.ECN_SUPPORTED, since="5.4"),
    PrSupported: _offer(Opt.PR_SUPPORTED),
    ReconfigSupported: _offer(Opt.RECONFIG_SUPPORTED),
    AsconfSupported: _offer(Opt.ASCONF_SUPPORTED, since="5.4"),
    AuthSupported: _offer(Opt.AUTH_SUPPORTED, since="5.4"),
    Interleaving: _offer(Opt.INTERLEAVING_SUPPORTED),
}

_NOT_DELIVERED = "Linux accepts it and then delivers nothing"
_NO_UDP = "net.sctp.udp_port is 0 here; set that sysctl, to 9899, before the socket is opened"
_UNSUPPORTED: dict[type[Any], str] = {
    ReceiveTos: _NOT_DELIVERED,
    ReceiveTrafficClass: _NOT_DELIVERED,
    ReceiveTtl: _NOT_DELIVERED,
    AsconfWithoutAuth: "the sysctl net.sctp.addip_noauth_enable decides it",
}

_OF_AUTHENTICATION = (
    AuthChunks,
    LocalAuthChunks,
    PeerAuthChunks,
    HmacAlgorithms,
    AuthKey,
    ActiveKey,
    DeactivateKey,
    DeleteKey,
)

NOT_INHERITED: tuple[type[Option], ...] = (Tos, TrafficClass, Priority)
"""Options that a peeled-off or accepted socket does not inherit from Linux.  They have to be set in
this order, because setting the TOS changes the priority."""

NOTES: dict[str, Note] = {row.field: Note[row.notification] for row in EVENTS}
"""Linux's notification for each field of `EventSubscription`."""


def _unsupported(kind: type[Any], reason: str) -> OptionUnsupported:
    return OptionUnsupported(
        errno.EOPNOTSUPP, f"the kernel stack cannot do {kind.__name__}: {reason}"
    )


def _layout(kind: type[Any], sock: socket.socket) -> Layout:
    try:
        layout = LAYOUTS[kind]
    except KeyError:
        raise _unsupported(kind, _UNSUPPORTED.get(kind, "it has no such option")) from None
    if kind is EncapsulationPort:
        try:
            if not _udp_port(sock):
                raise _unsupported(kind, _NO_UDP)
        except FileNotFoundError:
            raise _unsupported(kind, "it needs Linux 5.11") from None
    return layout


def _udp_port(sock: socket.socket) -> int:
    """The UDP port to which the kernel takes SCTP in UDP packets, in a socket's namespace."""
    try:
        with namespace_of(sock):
            return _read_udp_port()
    except PermissionError:
        return _read_udp_port()  # whoever may not enter another one has opened none there


def _read_udp_port() -> int:
    with open("/proc/sys/net/sctp/udp_port") as file:
        return int(file.read())


def _translated(error: OSError, kind: type[Any]) -> OSError:
    """The error to raise: `OptionUnsupported` if this socket, or the peer, lacks the option."""
    if error.errno == errno.ENOPROTOOPT and (since := LAYOUTS[kind].since):
        return _unsupported(kind, f"it needs Linux {since}")
    if error.errno == errno.ENOENT:
        # What Linux says of an address that is not the peer's, where others say EINVAL.
        return OSError(errno.EINVAL, error.strerror)
    if error.errno in (errno.ENOPROTOOPT, errno.EOPNOTSUPP):
        needs = " (it needs an IPv6 socket)" if kind in (TrafficClass, IPv6Only) else ""
        return OptionUnsupported(
            error.errno, f"this socket has no {kind.__name__}{needs}: {error.strerror}"
        )
    if error.errno == errno.EPERM and kind is Interleaving:
        return _unsupported(kind, "net.sctp.intl_enable is 0 here; set that sysctl")
    if error.errno == errno.EPERM and kind is SetPeerPrimaryAddress:
        return OptionUnsupported(
            errno.EPERM,
            "the peer takes no ASCONF chunks, or the sysctl net.sctp.addip_enable is 0 here",
        )
    if error.errno == errno.EACCES and kind in _OF_AUTHENTICATION:
        return OptionUnsupported(
            errno.EACCES,
            "the peer does not authenticate chunks, or this socket does not: neither was "
            "AuthSupported(True) set nor the sysctl net.sctp.auth_enable 1 when it was opened",
        )
    return error


def _read(sock: socket.socket, layout: Layout, request: Fields) -> Fields:
    if ID in layout.fields:
        _, data = getsockopt(sock.fileno(), layout.number, layout.pack(request))
    else:
        size = layout.struct.size
        data = sock.getsockopt(layout.level, layout.number, size).ljust(size, b"\0")
    return dict(zip(layout.fields, layout.struct.unpack(data), strict=True))


def get_option(
    sock: socket.socket,
    kind: type[T],
    association_id: int | None,
    address: Address | None = None,
    stream: int | None = None,
) -> T:
    """Read an option with all its fields."""
    layout = _layout(kind, sock)
    request: Fields = {ID: FUTURE_ASSOCIATIONS if association_id is None else association_id}
    if address is not None:
        request["address"] = _storage(address)
    if stream is not None:
        request["stream"] = stream
    result: Option
    try:
        if kind is PeerAddressInfo:
            result = _get_path(sock, layout, request)
        elif kind is PrStatus:
            result = _get_pr_status(sock, layout, request, stream)
        else:
            fields = _read(sock, layout, request)
            if layout.decode is not None:
                result = layout.decode(fields)
            else:
                types = {field.name: field.type for field in dataclasses.fields(kind)}
                result = kind(
                    **{
                        name: bool(value) if types[name] == "bool" else value
                        for name, value in fields.items()
                        if name != ID
                    }
                )
    except OSError as error:
        raise _translated(error, kind) from None
    return result  # type: ignore[return-value]


def _get_path(sock: socket.socket, layout: Layout, request: Fields) -> PeerAddressInfo:
    """The path that ``request`` names by its address."""
    primary = _read(sock, LAYOUTS[Status], {ID: request[ID]})
    try:
        fields = _read(sock, layout, request)
    except OSError as error:
        if error.errno != errno.EACCES:
            raise
        # With net.sctp.pf_expose=1 Linux refuses to show a path that has potentially failed.
        fields = dict(request)
        fields.update(state=PathState.POTENTIALLY_FAILED, cwnd=0, srtt=0, rto=0, mtu=0)
    ours, theirs = (unpack_address(f["address"])[0] for f in (fields, primary))
    return _path(fields, primary=ours == theirs)


def _get_pr_status(
    sock: socket.socket, layout: Layout, request: Fields, stream: int | None
) -> PrStatus:
    """What was given up, on all streams or one: Linux tells it for one policy at a time."""
    if stream is not None:
        layout = dataclasses.replace(layout, number=Opt.PR_STREAM_STATUS)
    abandoned: list[Abandoned] = []
    for policy in PR_SCTP_TTL, PR_SCTP_RTX, PR_SCTP_PRIO:
        f = _read(sock, layout, request | {"stream": stream or 0, "_policy": policy})
        abandoned.append(Abandoned(f["_sent"], f["_unsent"]))
    lifetime, retransmissions, priority = abandoned
    return PrStatus(
        stream=stream, lifetime=lifetime, retransmissions=retransmissions, priority=priority
    )


def association_at(sock: socket.socket, address: Address) -> int:
    """The id of the association with this peer.

    Raises:
      OSError: there is none; EACCES, the path is hidden (net.sctp.pf_expose=1).
    """
    layout = LAYOUTS[PeerAddressInfo]
    fields = _read(sock, layout, {"address": _storage(address)})
    id: int = fields[ID]
    return id


def set_option(sock: socket.socket, option: Option, association_id: int | None) -> None:
    """Write an option.  All its fields have to be set, unless it is sparse."""
    kind = type(option)
    layout = _layout(kind, sock)
    if isinstance(option, PeerAddressParams):
        option = _with_switches(sock, option, association_id)
    if layout.encode is not None:
        fields = layout.encode(option)
    else:
        fields = {name: getattr(option, name) for name in layout.fields if name != ID}
    fields[ID] = FUTURE_ASSOCIATIONS if association_id is None else association_id
    if isinstance(option, AuthChunks):
        each = [{"types": number} for number in option.types]  # Linux takes them one by one
    else:
        each = [fields]
    try:
        if isinstance(option, Interleaving):
            if not option.enabled and not get_option(sock, Interleaving, association_id).enabled:
                return  # what Linux would refuse where its sysctl is off
            sock.setsockopt(SOL_SCTP, Opt.FRAGMENT_INTERLEAVE, 1)
        for given in each:
            sock.setsockopt(layout.level, layout.number, layout.pack(given))
        if isinstance(option, DefaultSendParams):
            _set_default_policy(sock, option, fields[ID])
    except OSError as error:
        if isinstance(option, StreamScheduler) and error.errno == errno.EINVAL:
            why = f"{option.scheduler} needs Linux 6.4"
            raise _unsupported(kind, why) from None
        raise _translated(error, kind) from None


def _with_switches(
    sock: socket.socket, option: PeerAddressParams, association_id: int | None
) -> PeerAddressParams:
    """The option, with the flags without which Linux would ignore its values."""
    flags = option.flags or PeerAddressFlags(0)
    missing = PeerAddressFlags(0)
    for field, switch in _SWITCHES.items():
        if getattr(option, field) is not None and not flags & switch:
            missing |= switch
    if not missing:
        return option
    now = get_option(sock, PeerAddressParams, association_id, option.address)
    assert now.flags is not None
    return dataclasses.replace(option, flags=flags | now.flags & missing)


def subscribe(sock: socket.socket, events: EventSubscription, id: int) -> None:
    """Have these events reported; all fields of ``events`` have to be set."""
    for field, note in NOTES.items():
        subscribe_to(sock, note, getattr(events, field), id)


def subscribe_to(sock: socket.socket, note: Note, on: bool, id: int) -> None:
    """Have one kind of event reported, or not."""
    sock.setsockopt(SOL_SCTP, Opt.EVENT, EVENT_STRUCT.pack(id, note, on))


def subscription(sock: socket.socket, id: int) -> EventSubscription:
    """The events that are reported."""
    on: dict[str, bool] = {}
    for field, note in NOTES.items():
        _, data = getsockopt(sock.fileno(), Opt.EVENT, EVENT_STRUCT.pack(id, note, 0))
        on[field] = bool(EVENT_STRUCT.unpack(data)[2])
    return EventSubscription(**on)


def copy_uninherited(source: socket.socket, target: socket.socket) -> None:
    """Give a peeled-off or accepted socket the options that it does not inherit."""
    for kind in NOT_INHERITED:
        if kind is TrafficClass and source.family != socket.AF_INET6:
            continue
        layout = LAYOUTS[kind]
        value = source.getsockopt(layout.level, layout.number)
        if value != target.getsockopt(layout.level, layout.number):
            target.setsockopt(layout.level, layout.number, value)
