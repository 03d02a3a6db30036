"""The option types as settings of the engine: one row each.

An option type without a row is one that the stack does not have.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio

from .._engine.association import EngineAssociation
from .._engine.extensions import Extension, offered
from .._engine.keys import SharedKeys
from .._engine.offer import auth_offer
from .._engine.parameters import Parameters
from .._engine.path import Path, host_of
from .._engine.reconfiguration import ASSOCIATION, CHANGES, STREAMS
from .._errors import OptionUnsupported
from .._frozen import Frozen, frozen
from .._options import (
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
    AutoClose,
    Context,
    DeactivateKey,
    DefaultSendParams,
    DelayedAck,
    DeleteKey,
    DisableFragments,
    EcnSupported,
    EnableStreamReset,
    EncapsulationPort,
    ExposePotentiallyFailed,
    FragmentInterleave,
    HmacAlgorithm,
    HmacAlgorithms,
    InitMsg,
    Interleaving,
    Linger,
    LocalAuthChunks,
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
    ProbeInterval,
    PrStatus,
    PrSupported,
    ReceiveBuffer,
    ReconfigSupported,
    RtoInfo,
    Scheduler,
    SendBuffer,
    SetPeerPrimaryAddress,
    Status,
    StreamPriority,
    StreamScheduler,
    Tos,
)
from .._values import Address

if TYPE_CHECKING:
    from .stack import UserlandSocket

_DEFAULT = Parameters()
_NO_LINGER = Linger(False)
_PLAIN_SEND = DefaultSendParams(stream=0, ppid=0, unordered=False, context=0, lifetime=0)
_SMALLEST_SEGMENT = 512  # bytes


def refusal(number: int) -> OSError:
    """The error with which a Linux kernel would refuse a call."""
    return OSError(number, os.strerror(number))


def path_at(association: EngineAssociation, address: Address) -> Path:
    """The path to this address of the peer; EINVAL if the peer does not have it."""
    path = association.paths.get(host_of(address))
    if path is None or address[1] != association.peer_port:
        raise refusal(errno.EINVAL)
    return path


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class SocketSettings:
    """The options that a socket keeps itself; the others are parameters of its engine.

    Attributes:
      linger: Read by ``aclose``, which does what it says.
      default_send: What associations start with.
      own_default_send: What associations have that were given their own, or that started before
        ``default_send`` changed, by id.
    """

    linger: Linger = _NO_LINGER
    default_send: DefaultSendParams = _PLAIN_SEND
    own_default_send: dict[int, DefaultSendParams] = dataclasses.field(
        default_factory=dict[int, DefaultSendParams]
    )

    def peel_off(self, association_id: int) -> SocketSettings:
        """What the socket of an association that is peeled off takes over."""
        own = self.own_default_send
        kept = {association_id: own[association_id]} if association_id in own else {}
        return SocketSettings(self.linger, self.default_send, kept)


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Target:
    """What an option is read from or written to.

    Attributes:
      socket: Always given.
      association: One association of the socket, which of a socket that was peeled off is its only
        one; None means the socket, and what associations start with.
      path: One path of the association, if an address was given.
      stream: One outbound stream of the association, if one was given.
    """

    socket: UserlandSocket
    association: EngineAssociation | None
    path: Path | None = None
    stream: int | None = None

    @property
    def parameters(self) -> Parameters:
        """The association's, or those that associations start with."""
        association = self.association
        return self.socket.engine.parameters if association is None else association.parameters


@frozen()
class Row(Frozen):
    """How an option type is read, with all its fields, and how it is written.

    Without ``write`` it is read-only, without ``read`` write-only.  ``udp`` says that only a stack
    has it whose packets travel in UDP packets.
    """

    read: Callable[[Target], Option] | None
    write: Callable[[Target, Any], None] | None = None
    udp: bool = False


def _seconds_to_ms(seconds: float) -> int:
    return round(seconds * 1000)


# -- setting up, and limits ---


def _read_init_msg(target: Target) -> InitMsg:
    p = target.parameters
    return InitMsg(
        num_ostreams=p.outbound_streams,
        max_instreams=p.inbound_streams,
        max_attempts=p.max_init_retrans,
        max_init_timeo=min(65535, _seconds_to_ms(p.max_init_timeout)),
    )


def _write_init_msg(target: Target, option: InitMsg) -> None:
    p = target.parameters
    p.outbound_streams = option.num_ostreams or p.outbound_streams
    p.inbound_streams = option.max_instreams or p.inbound_streams
    p.max_init_retrans = option.max_attempts or _DEFAULT.max_init_retrans
    p.max_init_timeout = (option.max_init_timeo or 0) / 1000


def _read_rto_info(target: Target) -> RtoInfo:
    p = target.parameters
    return RtoInfo(
        initial=_seconds_to_ms(p.rto_initial),
        max=_seconds_to_ms(p.rto_max),
        min=_seconds_to_ms(p.rto_min),
    )


def _write_rto_info(target: Target, option: RtoInfo) -> None:
    low, first, high = option.min or 0, option.initial or 0, option.max or 0
    if not low <= first <= high:
        raise refusal(errno.EINVAL)
    p = target.parameters
    p.rto_min, p.rto_initial, p.rto_max = low / 1000, first / 1000, high / 1000


def _read_assoc_params(target: Target) -> AssocParams:
    p, association = target.parameters, target.association
    inbound = None if association is None else association.inbound  # half-open ones have none
    return AssocParams(
        asocmaxrxt=p.association_max_retrans,
        number_peer_destinations=0 if association is None else len(association.paths),
        peer_rwnd=0 if association is None else association.outbound.rwnd,
        local_rwnd=p.receive_window if inbound is None else inbound.window,
        cookie_life=_seconds_to_ms(p.cookie_life),
    )


def _write_assoc_params(target: Target, option: AssocParams) -> None:
    p = target.parameters
    number = option.asocmaxrxt or p.association_max_retrans
    if target.association is not None and number != p.association_max_retrans:
        paths = sum(path.max_retrans for path in target.association.paths.values())
        if number > paths:
            warnings.warn(
                f"asocmaxrxt={number} is more than the {paths} retransmissions of all paths "
                "together: the association will be kept even when no path is left (RFC 9260 "
                "section 8.1)",
                RuntimeWarning,
                stacklevel=6,  # the program's call of set_option
            )
    p.association_max_retrans = number
    p.cookie_life = (option.cookie_life or 0) / 1000 or p.cookie_life


def _read_adaptation_layer(target: Target) -> AdaptationLayer:
    return AdaptationLayer(target.parameters.adaptation_indication or 0)


def _write_adaptation_layer(target: Target, option: AdaptationLayer) -> None:
    target.parameters.adaptation_indication = option.adaptation_ind


def _read_auto_close(target: Target) -> AutoClose:
    return AutoClose(round(target.parameters.autoclose))


def _write_auto_close(target: Target, option: AutoClose) -> None:
    target.parameters.autoclose = option.seconds


# -- paths ---


def _read_primary(target: Target) -> PrimaryAddress:
    association = target.association
    assert association is not None
    assert association.primary is not None
    return PrimaryAddress(association.address_of(association.primary.address))


def _write_primary(target: Target, option: PrimaryAddress) -> None:
    association = target.association
    assert association is not None
    path = path_at(association, option.address)
    target.socket.engine.set_primary(association.id, path.address)
    target.socket.settle()


def _read_path_params(target: Target) -> PeerAddressParams:
    p, association, path = target.parameters, target.association, target.path
    address: Address | None = None
    if path is None:
        heartbeats, discovery = p.heartbeats, p.path_mtu_discovery
        interval, retransmissions, mtu = p.heartbeat_interval, p.path_max_retrans, p.path_mtu
    else:
        assert association is not None
        address = association.address_of(path.address)
        heartbeats, discovery = path.heartbeats, path.search is not None
        interval, retransmissions, mtu = path.interval, path.max_retrans, path.mtu
    flags = PeerAddressFlags.HB_ENABLE if heartbeats else PeerAddressFlags.HB_DISABLE
    flags |= PeerAddressFlags.PMTUD_ENABLE if discovery else PeerAddressFlags.PMTUD_DISABLE
    flags |= (
        PeerAddressFlags.SACKDELAY_ENABLE if p.sack_delay else PeerAddressFlags.SACKDELAY_DISABLE
    )
    return PeerAddressParams(
        address=address,
        hbinterval=_seconds_to_ms(interval),
        pathmaxrxt=retransmissions,
        pathmtu=mtu,
        sackdelay=_seconds_to_ms(p.sack_delay),
        flags=flags,
    )


def _write_path_params(target: Target, option: PeerAddressParams) -> None:
    association, engine, now = target.association, target.socket.engine, trio.current_time()
    flags = option.flags or PeerAddressFlags(0)
    demanded = bool(flags & PeerAddressFlags.HB_DEMAND)
    if association is None:
        if demanded:
            raise refusal(errno.EINVAL)
        paths = []
    elif option.address is None:
        paths = list(association.paths.values())
    else:
        path = association.paths.get(host_of(option.address))
        if path is None:
            raise refusal(errno.EINVAL)
        paths = [path]
    # The delay is the association's: what a SACK waits for is the next packet on any path.
    if flags & PeerAddressFlags.SACKDELAY_DISABLE:
        target.parameters.sack_delay = 0.0
    elif option.sackdelay or flags & PeerAddressFlags.SACKDELAY_ENABLE:
        _delay_sacks(target.parameters, option.sackdelay)
    if option.address is None:
        _change_defaults(target.parameters, option, flags)
    for path in paths:
        rescheduled = _change_path(path, option, flags)
        if demanded:
            assert association is not None
            engine.request_heartbeat(association.id, path.address, now)
        elif rescheduled:
            path.schedule_heartbeat(now, engine.random())
    if association is not None:
        engine.reschedule(association.id)
    target.socket.settle()


def _change_defaults(p: Parameters, option: PeerAddressParams, flags: PeerAddressFlags) -> None:
    """Change what paths start with."""
    discover, heartbeats = _discovery_in(flags), _heartbeats_in(flags)
    if option.hbinterval is not None:
        p.heartbeat_interval = option.hbinterval / 1000
    p.path_max_retrans = option.pathmaxrxt or p.path_max_retrans
    p.path_mtu = option.pathmtu or p.path_mtu
    if discover is not None:
        p.path_mtu_discovery = discover
    if heartbeats is not None:
        p.heartbeats = heartbeats


def _change_path(path: Path, option: PeerAddressParams, flags: PeerAddressFlags) -> bool:
    """Change one path; returns whether its next heartbeat is due at another time."""
    discover, heartbeats = _discovery_in(flags), _heartbeats_in(flags)
    path.max_retrans = option.pathmaxrxt or path.max_retrans
    if discover is not None:
        path.discover_mtu(discover)
    if option.pathmtu and path.search is None:
        path.mtu = option.pathmtu
    if option.hbinterval is not None:
        path.interval = option.hbinterval / 1000
    if heartbeats is not None:
        path.heartbeats = heartbeats
    return option.hbinterval is not None or heartbeats is not None


def _discovery_in(flags: PeerAddressFlags) -> bool | None:
    """Whether path MTU discovery is switched on or off; None if it stays as it is."""
    if not flags & (PeerAddressFlags.PMTUD_ENABLE | PeerAddressFlags.PMTUD_DISABLE):
        return None
    return bool(flags & PeerAddressFlags.PMTUD_ENABLE)


def _heartbeats_in(flags: PeerAddressFlags) -> bool | None:
    """Whether heartbeats are switched on or off; None if they stay as they are."""
    if not flags & (PeerAddressFlags.HB_ENABLE | PeerAddressFlags.HB_DISABLE):
        return None
    return bool(flags & PeerAddressFlags.HB_ENABLE)


def _read_thresholds(target: Target) -> PeerAddressThresholds:
    p, association, path = target.parameters, target.association, target.path
    if path is None:
        return PeerAddressThresholds(
            pathmaxrxt=p.path_max_retrans,
            potentially_failed=p.pf_threshold,
            switchover=p.primary_switchover,
        )
    assert association is not None
    return PeerAddressThresholds(
        pathmaxrxt=path.max_retrans,
        potentially_failed=path.pf_threshold,
        switchover=path.switchover,
        address=association.address_of(path.address),
    )


def _write_thresholds(target: Target, option: PeerAddressThresholds) -> None:
    p, association = target.parameters, target.association
    assert option.potentially_failed is not None
    assert option.switchover is not None
    if option.address is None:
        p.path_max_retrans = option.pathmaxrxt or p.path_max_retrans
        p.pf_threshold, p.primary_switchover = option.potentially_failed, option.switchover
        paths = [] if association is None else list(association.paths.values())
    else:
        assert association is not None
        paths = [path_at(association, option.address)]
    for path in paths:
        path.max_retrans = option.pathmaxrxt or path.max_retrans
        path.pf_threshold, path.switchover = option.potentially_failed, option.switchover


def _read_probe_interval(target: Target) -> ProbeInterval:
    p, association, path = target.parameters, target.association, target.path
    if path is None:
        on = p.path_mtu_discovery
        return ProbeInterval(_seconds_to_ms(p.probe_interval) if on else 0)
    assert association is not None
    address, search = association.address_of(path.address), path.search
    return ProbeInterval(0 if search is None else _seconds_to_ms(search.interval), address)


def _write_probe_interval(target: Target, option: ProbeInterval) -> None:
    p, association = target.parameters, target.association
    on, interval = option.interval > 0, option.interval / 1000
    if option.address is None:
        p.path_mtu_discovery = on
        p.probe_interval = interval or p.probe_interval
        paths = [] if association is None else list(association.paths.values())
    else:
        assert association is not None
        paths = [path_at(association, option.address)]
    for path in paths:
        path.discover_mtu(on)
        if path.search is not None:
            path.search.interval = interval


def _read_expose(target: Target) -> ExposePotentiallyFailed:
    return ExposePotentiallyFailed(target.parameters.expose_potentially_failed)


def _write_expose(target: Target, option: ExposePotentiallyFailed) -> None:
    target.parameters.expose_potentially_failed = option.enabled


def _read_encapsulation_port(target: Target) -> EncapsulationPort:
    association, path = target.association, target.path
    if association is None:
        return EncapsulationPort(target.parameters.peer_udp_port)
    if path is None:
        assert association.primary is not None
        return EncapsulationPort(association.primary.route.remote_udp)
    return EncapsulationPort(path.route.remote_udp, association.address_of(path.address))


def _write_encapsulation_port(target: Target, option: EncapsulationPort) -> None:
    if not option.port:
        raise ValueError(
            "EncapsulationPort.port must be between 1 and 65535, not 0: all packets of this stack "
            "are in UDP packets"
        )
    association = target.association
    if association is None:
        target.parameters.peer_udp_port = option.port
        return
    if option.address is None:
        paths = list(association.paths.values())
    else:
        paths = [path_at(association, option.address)]
    for path in paths:
        path.route = path.route._replace(remote_udp=option.port)


def _read_path_info(target: Target) -> PeerAddressInfo:
    assert target.association is not None
    assert target.path is not None
    info = target.association.path_info(target.path)
    if (
        info.state is PathState.POTENTIALLY_FAILED
        and not target.parameters.expose_potentially_failed
    ):
        return dataclasses.replace(info, cwnd=0, srtt=0, rto=0, mtu=0)  # as Linux hides one
    return info


def _read_status(target: Target) -> Status:
    assert target.association is not None
    return target.association.status()


# -- messages and acknowledgements ---


def _read_default_send(target: Target) -> DefaultSendParams:
    settings = target.socket.settings
    if target.association is None:
        return settings.default_send
    return settings.own_default_send.get(target.association.id, settings.default_send)


def _write_default_send(target: Target, option: DefaultSendParams) -> None:
    settings = target.socket.settings
    if target.association is not None:
        settings.own_default_send[target.association.id] = option
        return
    for id in target.socket.association_ids():
        settings.own_default_send.setdefault(id, settings.default_send)
    settings.default_send = option


def _read_pr_status(target: Target) -> PrStatus:
    assert target.association is not None
    lifetime, retransmissions, priority = (
        Abandoned(*counts) for counts in target.association.outbound.abandoned.of(target.stream)
    )
    return PrStatus(
        stream=target.stream,
        lifetime=lifetime,
        retransmissions=retransmissions,
        priority=priority,
    )


def _read_delayed_ack(target: Target) -> DelayedAck:
    p = target.parameters
    if not p.sack_delay or p.sack_frequency == 1:
        return DelayedAck(0, 1)
    return DelayedAck(_seconds_to_ms(p.sack_delay), p.sack_frequency)


def _write_delayed_ack(target: Target, option: DelayedAck) -> None:
    p = target.parameters
    if option.freq == 1:
        p.sack_frequency = 1
        return
    _delay_sacks(p, option.delay)
    p.sack_frequency = option.freq or max(p.sack_frequency, 2)


def _delay_sacks(p: Parameters, milliseconds: int | None) -> None:
    """Delay SACKs; by as much as before, or by default, where no delay is given."""
    p.sack_delay = (milliseconds or 0) / 1000 or p.sack_delay or _DEFAULT.sack_delay


def _read_max_segment(target: Target) -> MaxSegment:
    return MaxSegment(target.parameters.max_segment)


def _write_max_segment(target: Target, option: MaxSegment) -> None:
    if 0 < option.size < _SMALLEST_SEGMENT:
        raise refusal(errno.EINVAL)
    target.parameters.max_segment = option.size


# -- streams ---


def _read_stream_scheduler(target: Target) -> StreamScheduler:
    return StreamScheduler(target.parameters.scheduler)


def _write_stream_scheduler(target: Target, option: StreamScheduler) -> None:
    target.parameters.scheduler = option.scheduler
    if target.association is not None:
        target.association.outbound.schedule_by(option.scheduler)


def _read_stream_priority(target: Target) -> StreamPriority:
    association, stream = target.association, target.stream
    assert association is not None
    assert stream is not None
    outbound = association.outbound
    usual = 1 if outbound.scheduler is Scheduler.WEIGHTED_FAIR else 0
    return StreamPriority(stream, outbound.stream_values.get(stream, usual))


def _write_stream_priority(target: Target, option: StreamPriority) -> None:
    association = target.association
    assert association is not None
    if option.stream >= association.outbound_streams:
        raise refusal(errno.EINVAL)
    association.outbound.set_stream_value(option.stream, option.value)


def _read_context(target: Target) -> Context:
    return Context(target.parameters.receive_context)


def _write_context(target: Target, option: Context) -> None:
    target.parameters.receive_context = option.value
    if target.association is not None:
        target.association.unread.context = option.value


def _read_max_burst(target: Target) -> MaxBurst:
    return MaxBurst(target.parameters.max_burst)


def _write_max_burst(target: Target, option: MaxBurst) -> None:
    target.parameters.max_burst = option.packets


# -- extensions ---


def _negotiated(
    kind: type[Any], parameter: str, agreed: Callable[[EngineAssociation], bool]
) -> Row:
    """An extension that is offered to peers, and that an association has if both sides do."""

    def read(target: Target) -> Option:
        association = target.association
        on = getattr(target.parameters, parameter) if association is None else agreed(association)
        option: Option = kind(on)
        return option

    def write(target: Target, option: Any) -> None:
        setattr(target.parameters, parameter, option.enabled)

    return Row(read, write)


def _read_enable_stream_reset(target: Target) -> EnableStreamReset:
    grants = target.parameters.grants
    return EnableStreamReset(
        streams=grants & STREAMS != 0,
        association=grants & ASSOCIATION != 0,
        changes=grants & CHANGES != 0,
    )


def _write_enable_stream_reset(target: Target, option: EnableStreamReset) -> None:
    target.parameters.grants = (
        (STREAMS if option.streams else 0)
        | (ASSOCIATION if option.association else 0)
        | (CHANGES if option.changes else 0)
    )


def _agreed_on_asconf(association: EngineAssociation) -> bool:
    return association.changes is not None


def _read_asconf_without_auth(target: Target) -> AsconfWithoutAuth:
    return AsconfWithoutAuth(target.parameters.asconf_without_auth)


def _write_asconf_without_auth(target: Target, option: AsconfWithoutAuth) -> None:
    target.parameters.asconf_without_auth = option.enabled


def _write_peer_primary(target: Target, option: SetPeerPrimaryAddress) -> None:
    engine, association, address = target.socket.engine, target.association, option.address
    assert association is not None
    if address[1] != engine.port:
        raise refusal(errno.EADDRNOTAVAIL)
    try:
        engine.ask_for_primary(association.id, host_of(address), trio.current_time())
    except PermissionError as error:
        raise OptionUnsupported(errno.EPERM, "the peer takes no ASCONF chunks") from error
    target.socket.settle()


# -- authentication ---


def _write_auth_chunks(target: Target, option: AuthChunks) -> None:
    p = target.parameters
    p.auth_chunks = tuple(sorted({*p.auth_chunks, *option.types}))


def _read_local_auth_chunks(target: Target) -> LocalAuthChunks:
    association = target.association
    authentication = None if association is None else association.authentication
    if authentication is not None:
        return LocalAuthChunks(tuple(authentication.required))
    # As for peers of which nothing is known yet.
    p = target.parameters
    offer = auth_offer(p, offered(p), bytes)
    return LocalAuthChunks(() if offer is None else tuple(offer.listed))


def _read_peer_auth_chunks(target: Target) -> PeerAuthChunks:
    authentication = _association_with_keys(target).authentication
    return PeerAuthChunks(() if authentication is None else tuple(authentication.wanted))


def _association_with_keys(target: Target) -> EngineAssociation:
    """The association, whose peer has to authenticate, or may yet say that it does."""
    association = target.association
    assert association is not None
    if association.authentication is None and not association.half_open:
        raise OptionUnsupported(errno.EACCES, "the peer does not authenticate chunks (RFC 4895)")
    return association


def _read_hmac_algorithms(target: Target) -> HmacAlgorithms:
    return HmacAlgorithms([HmacAlgorithm(id) for id in target.parameters.hmac_algorithms])


def _write_hmac_algorithms(target: Target, option: HmacAlgorithms) -> None:
    target.parameters.hmac_algorithms = tuple(int(one) for one in option.algorithms)


def _changed_keys(change: Callable[[SharedKeys, Any], SharedKeys]) -> Callable[[Target, Any], None]:
    """What changes the shared keys of an association, or of those to come."""

    def write(target: Target, option: Option) -> None:
        if target.association is not None:
            _association_with_keys(target)
        p = target.parameters
        p.shared_keys = change(p.shared_keys, option)

    return write


def _read_active_key(target: Target) -> ActiveKey:
    if target.association is not None:
        _association_with_keys(target)
    return ActiveKey(target.parameters.shared_keys.active)


def _write_deactivate_key(target: Target, option: DeactivateKey) -> None:
    if target.association is None:
        p = target.parameters
        p.shared_keys = p.shared_keys.deactivate(option.id)
        return
    _association_with_keys(target).deactivate_key(option.id)
    target.socket.settle()


_ecn = _negotiated(
    EcnSupported,
    "ecn",
    lambda association: association.extensions & Extension.ECN != 0,
)


def _write_ecn(target: Target, option: EcnSupported) -> None:
    if option.enabled:
        target.socket.heed_marks()
    target.parameters.ecn = option.enabled


# -- the whole socket ---


def _of_all(kind: type[Any], field: str, parameter: str) -> Row:
    """An option with one field, which is a parameter of every association of the socket."""

    def read(target: Target) -> Option:
        option: Option = kind(getattr(target.parameters, parameter))
        return option

    def write(target: Target, option: Option) -> None:
        value = getattr(option, field)
        socket = target.socket
        if socket.only is None:
            setattr(socket.engine.parameters, parameter, value)
        for id in socket.association_ids():
            setattr(socket.engine.associations[id].parameters, parameter, value)

    return Row(read, write)


def _read_linger(target: Target) -> Linger:
    return target.socket.settings.linger


def _write_linger(target: Target, option: Linger) -> None:
    target.socket.settings.linger = option


def _read_count(target: Target) -> AssociationCount:
    return AssociationCount(len(target.socket.association_ids()))


_delivery_point = _of_all(PartialDeliveryPoint, "size", "partial_delivery_point")


def _write_delivery_point(target: Target, option: PartialDeliveryPoint) -> None:
    window = target.parameters.receive_window
    if option.size > window:
        raise ValueError(
            f"PartialDeliveryPoint.size must be at most the ReceiveBuffer's {window} bytes, not "
            f"{option.size}"
        )
    assert _delivery_point.write is not None
    _delivery_point.write(target, option)


def _read_interleave(target: Target) -> FragmentInterleave:
    return FragmentInterleave(2 if target.parameters.interleaving else 1)


def _write_interleave(target: Target, option: FragmentInterleave) -> None:
    if option != _read_interleave(target):
        raise target.socket.unsupported(f"FragmentInterleave but {_read_interleave(target)!r}")


ROWS: dict[type[Any], Row] = {
    InitMsg: Row(_read_init_msg, _write_init_msg),
    RtoInfo: Row(_read_rto_info, _write_rto_info),
    AssocParams: Row(_read_assoc_params, _write_assoc_params),
    AdaptationLayer: Row(_read_adaptation_layer, _write_adaptation_layer),
    AutoClose: Row(_read_auto_close, _write_auto_close),
    PrimaryAddress: Row(_read_primary, _write_primary),
    PeerAddressParams: Row(_read_path_params, _write_path_params),
    EncapsulationPort: Row(_read_encapsulation_port, _write_encapsulation_port, udp=True),
    PeerAddressInfo: Row(_read_path_info),
    Status: Row(_read_status),
    DefaultSendParams: Row(_read_default_send, _write_default_send),
    DelayedAck: Row(_read_delayed_ack, _write_delayed_ack),
    MaxSegment: Row(_read_max_segment, _write_max_segment),
    EnableStreamReset: Row(_read_enable_stream_reset, _write_enable_stream_reset),
    NoDelay: _of_all(NoDelay, "enabled", "no_delay"),
    DisableFragments: _of_all(DisableFragments, "enabled", "disable_fragments"),
    SendBuffer: _of_all(SendBuffer, "size", "send_buffer"),
    ReceiveBuffer: _of_all(ReceiveBuffer, "size", "receive_window"),
    Linger: Row(_read_linger, _write_linger),
    Tos: _of_all(Tos, "value", "tos"),
    StreamScheduler: Row(_read_stream_scheduler, _write_stream_scheduler),
    StreamPriority: Row(_read_stream_priority, _write_stream_priority),
    Context: Row(_read_context, _write_context),
    MaxBurst: Row(_read_max_burst, _write_max_burst),
    PartialDeliveryPoint: Row(_delivery_point.read, _write_delivery_point),
    FragmentInterleave: Row(_read_interleave, _write_interleave),
    AssociationCount: Row(_read_count),
    PeerAddressThresholds: Row(_read_thresholds, _write_thresholds),
    ExposePotentiallyFailed: Row(_read_expose, _write_expose),
    ProbeInterval: Row(_read_probe_interval, _write_probe_interval),
    AsconfSupported: _negotiated(AsconfSupported, "asconf", _agreed_on_asconf),
    AsconfWithoutAuth: Row(_read_asconf_without_auth, _write_asconf_without_auth),
    SetPeerPrimaryAddress: Row(None, _write_peer_primary),
    EcnSupported: Row(_ecn.read, _write_ecn),
    PrSupported: _negotiated(
        PrSupported, "partial_reliability", lambda association: association.outbound.may_skip
    ),
    PrStatus: Row(_read_pr_status),
    ReconfigSupported: _negotiated(
        ReconfigSupported, "reconfiguration", EngineAssociation.knows_reconfiguration
    ),
    AuthSupported: _negotiated(
        AuthSupported, "authentication", lambda association: association.authentication is not None
    ),
    Interleaving: _negotiated(
        Interleaving, "interleaving", lambda association: association.outbound.interleaving
    ),
    AuthChunks: Row(None, _write_auth_chunks),
    LocalAuthChunks: Row(_read_local_auth_chunks),
    PeerAuthChunks: Row(_read_peer_auth_chunks),
    HmacAlgorithms: Row(_read_hmac_algorithms, _write_hmac_algorithms),
    AuthKey: Row(None, _changed_keys(lambda keys, key: keys.set(key.id, key.secret))),
    ActiveKey: Row(_read_active_key, _changed_keys(lambda keys, key: keys.activate(key.id))),
    DeactivateKey: Row(None, _write_deactivate_key),
    DeleteKey: Row(None, _changed_keys(lambda keys, key: keys.delete(key.id))),
}
