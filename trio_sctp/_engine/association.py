"""The control block of an association: its states, timers and paths (RFC 9260 sections 4, 5, 8, 9).

    COOKIE_WAIT ── INIT ACK ──> COOKIE_ECHOED ── COOKIE ACK ──> ESTABLISHED
    (a COOKIE ECHO makes one that is ESTABLISHED at once)            │
        shutdown(): SHUTDOWN_PENDING ── all acknowledged ──> SHUTDOWN_SENT ── SHUTDOWN ACK ──> gone
        SHUTDOWN:   SHUTDOWN_RECEIVED ── all acknowledged ──> SHUTDOWN_ACK_SENT ── COMPLETE ──> gone

What packets of an association mean stands here; which association a packet is of, and what is
answered without one, in `engine`.
"""

from __future__ import annotations

import errno
import struct
from math import inf
from typing import TYPE_CHECKING

from .._options import PeerAddressInfo, Status, StatusState
from .._values import (
    AdaptationIndication,
    Address,
    AssociationChange,
    AssociationState,
    Message,
    PartialDeliveryAborted,
    PeerAddressChange,
    PeerAddressState,
    Piece,
    RemoteError,
    SenderDry,
    ShutdownReceived,
)
from . import wire
from .cookie import FORWARD_TSN, Cookie
from .inbound import Inbound, Violation
from .outbound import Outbound, OutgoingMessage, SentChunk
from .parameters import Parameters
from .path import Path, Route, transport_address
from .path_mtu import PathMtuSearch
from .wire import Cause, ChunkType, ParameterType, Tlv

if TYPE_CHECKING:
    from .engine import Engine

_S = StatusState
_DATA_MAY_ARRIVE = frozenset({_S.ESTABLISHED, _S.SHUTDOWN_PENDING, _S.SHUTDOWN_SENT})
_DATA_MAY_LEAVE = frozenset({_S.ESTABLISHED, _S.SHUTDOWN_PENDING, _S.SHUTDOWN_RECEIVED})
_HALF_OPEN = frozenset({_S.COOKIE_WAIT, _S.COOKIE_ECHOED})
_SHUTTING_DOWN = frozenset(
    {_S.SHUTDOWN_PENDING, _S.SHUTDOWN_SENT, _S.SHUTDOWN_RECEIVED, _S.SHUTDOWN_ACK_SENT}
)
_MASK = 2**32 - 1
_SMALLEST_SACK = 32
_BURSTS = 4
_SMALLEST_FORWARD_TSN = 32
_HEARTBEAT = struct.Struct("!d8s")
_STREAM_CAUSE = struct.Struct("!HH")


class EngineAssociation:
    """See the module's docstring."""

    def __init__(
        self,
        engine: Engine,
        id: int,
        peer_port: int,
        our_tag: int,
        our_tsn: int,
        parameters: Parameters,
    ) -> None:
        self.engine = engine
        self.id = id
        self.peer_port = peer_port
        self.our_tag: int = our_tag
        self.their_tag: int = 0
        self.tie_tags: tuple[int, int] = self._new_tie_tags()
        self.parameters = parameters
        self.state: StatusState = StatusState.CLOSED
        self.paths: dict[str, Path] = {}
        self.primary: Path | None = None
        self.outbound: Outbound = Outbound(parameters, our_tsn)
        self.inbound: Inbound | None = None
        self.outbound_streams: int = parameters.outbound_streams
        self.inbound_streams: int = 0
        self.forward_tsn: bool = False
        self.error_count: int = 0
        self.adaptation: int | None = None
        self.pending: list[Message | Piece] = []
        self.error_bytes: int = 0  # of the peer's reports that are not taken
        self.dry_wanted: bool = True

        self.init: wire.Init | None = None  # ours
        self.cookie: bytes = b""  # that we echo
        self._t1 = inf
        self._t1_timeout = 0.0
        self._t1_count = 0
        self._stale_retries = 0
        self._cookie_sent = 0.0
        self._t2 = inf
        self._t5 = inf
        self._autoclose = inf
        self._sack_at = inf
        self._sack_now = False
        self._sack_path: Path | None = None
        self._packets = 0  # with DATA, since the last SACK
        self._acknowledging = False  # a first SACK was due
        self._control: list[tuple[Path, bytes]] = []
        self._retransmit_one = False
        self._init_path = 0
        self._refused: set[str] = set()  # addresses where ICMP says that nobody is
        self.ended: bool = False

    @property
    def half_open(self) -> bool:
        """Whether it is still being set up."""
        return self.state in _HALF_OPEN

    @property
    def shutting_down(self) -> bool:
        """Whether either side has started the graceful end."""
        return self.state in _SHUTTING_DOWN

    # -- timers ---

    def deadline(self) -> float:
        """When `handle_timeout` has something to do."""
        # Asked with every packet; comparing is twice as fast as min().
        first = self._t1
        if self._sack_at < first:
            first = self._sack_at
        if self._t2 < first:
            first = self._t2
        if self._t5 < first:
            first = self._t5
        if self._autoclose < first:
            first = self._autoclose
        for path in self.paths.values():
            if path.t3 < first:
                first = path.t3
            if path.heartbeat_at < first:
                first = path.heartbeat_at
            if path.heartbeat_deadline < first:
                first = path.heartbeat_deadline
            if path.search is not None and path.search.deadline < first:
                first = path.search.deadline
        return first

    def handle_timeout(self, now: float) -> None:
        """Do what has fallen due."""
        if self._sack_at <= now:
            self._sack_now = True
            self._sack_at = inf
        if self._t1 <= now:
            self._t1_expired(now)
        if self._t5 <= now and not self.ended:
            self.abort(now, Cause.USER_INITIATED_ABORT, b"shutdown takes too long")
        if self._t2 <= now and not self.ended:
            self._t2_expired(now)
        for path in list(self.paths.values()):
            if self.ended:
                return
            if path.t3 <= now:
                self._t3_expired(path, now)
            if path.heartbeat_deadline <= now and not self.ended:
                self._heartbeat_failed(path, now)
            if path.heartbeat_at <= now and not self.ended:
                self._send_heartbeat(path, now)
            if path.search is not None and path.search.deadline <= now and not self.ended:
                self._probe_lost(path, path.search, now)
        if self._autoclose <= now and not self.ended:
            self._autoclose = inf
            self.shutdown(now)
        self.flush(now)

    # -- events ---

    def _change(self, state: AssociationState, error: int = 0, info: bytes = b"") -> None:
        lost = state in (AssociationState.COMM_LOST, AssociationState.CANT_ASSOC)
        up = state in (AssociationState.COMM_UP, AssociationState.RESTART)
        reason = b""
        if lost and len(info) >= 4 and error == Cause.USER_INITIATED_ABORT:
            reason = info[4 : int.from_bytes(info[2:4], "big")]
        self.engine.report(
            AssociationChange(
                association_id=self.id,
                state=state,
                error=error,
                outbound_streams=self.outbound_streams if up else 0,
                inbound_streams=self.inbound_streams if up else 0,
                info=info,
                reason=reason,
            )
        )

    def _path_change(self, path: Path, state: PeerAddressState, error: int = 0) -> None:
        self.engine.report(
            PeerAddressChange(
                association_id=self.id,
                address=self.address_of(path.address),
                state=state,
                error=error,
            )
        )

    def address_of(self, host: str) -> Address:
        """A transport address of the peer."""
        return transport_address(host, self.peer_port)

    def _failures(self) -> None:
        """Report messages that are given up."""
        for failed in self.outbound.failed:
            failed.association_id = self.id
            self.engine.report(failed)
        self.outbound.failed.clear()

    # -- set-up (5.1) ------------------------------------------------------------------------------

    def add_path(self, route: Route, *, confirmed: bool) -> Path:
        """One more address of the peer."""
        path = self.paths[route.remote] = Path(route, self.parameters, confirmed=confirmed)
        if self.primary is None:
            self.primary = path
        self.engine.register(route.remote, self)
        return path

    def start(self, now: float) -> None:
        """Send the INIT."""
        assert self.primary is not None
        local = self.engine.addresses_for(self.primary.route)
        self.init = wire.Init(
            self.our_tag,
            max(self.parameters.receive_window, wire.LEAST_RWND),
            self.parameters.outbound_streams,
            self.parameters.inbound_streams,
            self.outbound.next_tsn & _MASK,
            [
                *map(wire.address_parameter, local),
                *extensions(self.parameters, self.parameters.partial_reliability),
            ],
        )
        self.state = StatusState.COOKIE_WAIT
        self._t1_timeout = self.primary.rto
        self._send_init(now)

    def _send_init(self, now: float) -> None:
        """It goes alone in its packet, and to the next address each time (5.1, 6.10)."""
        assert self.init is not None
        paths = list(self.paths.values())
        path = paths[self._init_path % len(paths)]
        self._init_path += 1
        self._send_packet(path, [wire.init_chunk(self.init)], tag=0)
        self._t1 = now + self._t1_timeout

    def _t1_expired(self, now: float) -> None:
        self._t1_count += 1
        if self._t1_count > self.parameters.max_init_retrans:
            self._end(AssociationState.CANT_ASSOC)
            return
        longest = self.parameters.max_init_timeout or self.parameters.rto_max
        self._t1_timeout = min(self._t1_timeout * 2, longest)
        if self.state is StatusState.COOKIE_WAIT:
            self._send_init(now)
        else:
            assert self.primary is not None
            self._mark_all(now)
            self._send_cookie(self.primary, [], now)

    def _mark_all(self, now: float) -> None:
        """User data that went with a COOKIE ECHO is to go with the next."""
        for path in self.paths.values():
            self.outbound.mark_all_on(path, now)
        self._failures()

    def _send_cookie(self, path: Path, reports: list[Tlv], now: float) -> None:
        """With as much user data as its packet holds; no more may leave before the COOKIE ACK
        (5.1, C)."""
        chunks = [wire.chunk(ChunkType.COOKIE_ECHO, self.cookie)]
        if reports:
            chunks.append(wire.error_chunk(reports))
        space = path.mtu - wire.HEADER_SIZE - sum(map(len, chunks))
        outbound = self.outbound
        large = space < 0
        while (
            chunk := outbound.next_marked(space, now)
            or outbound.next_new(space, path, now, immediate=False)
        ) is not None:
            space -= len(chunk.wire)
            chunks.append(chunk.wire)
            outbound.transmitted(chunk, path, now)
        self._send_packet(path, chunks, fragment=large)
        self._cookie_sent = now
        self._t1 = now + self._t1_timeout

    def _init_ack(self, ack: wire.InitAck, route: Route, now: float) -> None:
        """Section 5.1 C."""
        if self.state is not StatusState.COOKIE_WAIT:
            return
        host_names = [p for p in ack.parameters if p.type == ParameterType.HOST_NAME]
        if not ack.tag:
            # Section 3.3.3: there is no tag of theirs to answer with.
            path = self.paths.get(route.remote) or self.data_path()
            self._send_packet(path, [wire.abort_chunk(reflected=True)], tag=self.our_tag)
            self._end(AssociationState.CANT_ASSOC)
            return
        self.their_tag = ack.tag
        if not ack.outbound_streams or not ack.inbound_streams or ack.rwnd < wire.LEAST_RWND:
            self._abort_with(Tlv(Cause.INVALID_PARAMETER, b""))
            self._end(AssociationState.CANT_ASSOC)
            return
        if host_names:
            self._abort_with(Tlv(Cause.UNRESOLVABLE_ADDRESS, wire.tlvs(host_names[:1])))
            self._end(AssociationState.CANT_ASSOC)
            return
        cookie = next(
            (p.value for p in ack.parameters if p.type == ParameterType.STATE_COOKIE), None
        )
        if cookie is None:
            missing = struct.pack("!IH", 1, ParameterType.STATE_COOKIE)
            self._abort_with(Tlv(Cause.MISSING_PARAMETER, missing))
            self._end(AssociationState.CANT_ASSOC)
            return
        self._learn(ack, route)
        reports = self._parameters(ack.parameters, route)
        self.inbound = Inbound(self.parameters, ack.tsn, self.inbound_streams)
        self.cookie = cookie
        self.state = StatusState.COOKIE_ECHOED
        self._t1_count = 0
        self._t1_timeout = self.parameters.rto_initial
        path = self.paths[route.remote]
        if path.confirmed:
            self.primary = path
        else:
            path = self.data_path()  # it is the peer's word only that it is there (5.4)
        self._send_cookie(path, reports, now)

    def _learn(self, init: wire.Init, route: Route) -> None:
        """What an INIT or INIT ACK says of streams and windows."""
        self.outbound_streams = min(self.parameters.outbound_streams, init.inbound_streams)
        self.inbound_streams = min(self.parameters.inbound_streams, init.outbound_streams)
        self.outbound.rwnd = init.rwnd
        self.outbound.limit_streams(self.outbound_streams)
        if route.remote not in self.paths:
            self.add_path(route, confirmed=False)

    def _parameters(self, parameters: list[Tlv], route: Route) -> list[Tlv]:
        """Take in the peer's parameters; returns those that it has to be told we do not know."""
        reports: list[Tlv] = []
        room = self.parameters.max_cookie_size
        for parameter in wire.looked_at(parameters):
            if parameter.type in (ParameterType.IPV4_ADDRESS, ParameterType.IPV6_ADDRESS):
                address = wire.address_untrusted(parameter)
                if (
                    address is not None
                    and address not in self.paths
                    and len(self.paths) < self.parameters.max_peer_addresses
                    and self.engine.owner(address, self.peer_port) is None
                ):
                    local = self.engine.local_for(address, route)
                    if local is not None:
                        other = Route(local, address, route.local_udp, route.remote_udp)
                        self.add_path(other, confirmed=False)
            elif parameter.type == ParameterType.FORWARD_TSN_SUPPORTED:
                self.forward_tsn = self.parameters.partial_reliability
                self.outbound.may_skip = self.forward_tsn
            elif parameter.type == ParameterType.ADAPTATION_INDICATION:
                if len(parameter.value) == 4:
                    self.adaptation = int.from_bytes(parameter.value, "big")
            elif parameter.type not in wire.KNOWN_PARAMETERS:
                room -= len(parameter.value) + 12
                if parameter.type & 0x4000 and room >= 0:
                    reports.append(wire.unrecognized(parameter))
        return reports

    def accept(self, cookie: Cookie, route: Route, now: float) -> None:
        """A COOKIE ECHO made this association (5.1 D)."""
        self.their_tag = cookie.their_tag
        self.outbound_streams = cookie.outbound_streams
        self.inbound_streams = cookie.inbound_streams
        self.outbound.rwnd = cookie.their_rwnd
        self.outbound.limit_streams(self.outbound_streams)
        earlier = self.inbound
        self.inbound = Inbound(self.parameters, cookie.their_tsn, self.inbound_streams)
        if earlier is not None:
            # What was delivered before a restart takes room until it is taken.
            self.inbound.held = self.inbound.delivered = earlier.delivered
        self.forward_tsn = bool(cookie.extensions & FORWARD_TSN)
        self.outbound.may_skip = self.forward_tsn
        self.adaptation = cookie.adaptation
        first = Route(cookie.local, cookie.remote, cookie.udp_local, cookie.udp_remote)
        for host in (cookie.remote, *cookie.addresses):
            if host in self.paths or self.engine.owner(host, self.peer_port) is not None:
                continue
            local = first.local if host == first.remote else self.engine.local_for(host, first)
            if local is not None:
                self.add_path(
                    Route(local, host, first.local_udp, first.remote_udp),
                    confirmed=host == first.remote,
                )

    def establish(self, now: float, event: AssociationState = AssociationState.COMM_UP) -> None:
        """It is up."""
        self.state = StatusState.ESTABLISHED
        self._t1 = inf
        self.error_count = 0
        self._change(event)
        if self.adaptation is not None:
            self.engine.report(
                AdaptationIndication(association_id=self.id, adaptation_ind=self.adaptation)
            )
        self._failures()
        for number, path in enumerate(self.paths.values()):
            if path.flight and path.t3 == inf:
                path.t3 = now + path.rto  # data went with the COOKIE ECHO
            if path.confirmed:
                path.schedule_heartbeat(now, self.engine.random())
            else:
                # To be confirmed; one at a time, as they may be anybody's (5.4).
                path.heartbeat_at = now + number * path.rto / self.parameters.heartbeat_burst
        self._used(now)

    def _used(self, now: float) -> None:
        if self.parameters.autoclose:
            self._autoclose = now + self.parameters.autoclose

    # -- packets in ---

    def receive(self, packet: wire.Packet, route: Route, now: float) -> None:
        """Every chunk of a packet with the right verification tag."""
        path = self.paths.get(route.remote)
        if path is not None and path.route != route:
            # RFC 6951 section 5.4: the port may change, now that the tag has been found right.
            path.route = route
        data = False
        for chunk in packet.chunks:
            kind = type(chunk)
            if kind is wire.Data:
                data |= self._data(chunk, path, now)  # type: ignore[arg-type]
            elif kind is wire.Sack:
                self._sack(chunk, now)  # type: ignore[arg-type]
            elif not self._control_chunk(chunk, route, path, now):
                break
            if self.ended:
                return
        if data:
            self._packet_with_data(path, now)
        self.flush(now)

    def _control_chunk(
        self, chunk: wire.Chunk, route: Route, path: Path | None, now: float
    ) -> bool:
        """Process one; returns whether to go on with the packet."""
        match chunk:
            case wire.InitAck():
                self._init_ack(chunk, route, now)
            case wire.Heartbeat():
                if not self.their_tag:
                    pass  # there is no tag to answer with
                elif path is not None:
                    self._control.append((path, wire.heartbeat_chunk(chunk.info, ack=True)))
                else:
                    ack = wire.heartbeat_chunk(chunk.info, ack=True)
                    self.engine.transmit(route, self.peer_port, self.their_tag, [ack])
            case wire.HeartbeatAck():
                self._heartbeat_ack(chunk, now)
            case wire.Abort():
                self._aborted(chunk)
            case wire.CookieAck():
                if self.state is StatusState.COOKIE_ECHOED:
                    self.establish(now)
            case wire.Shutdown():
                self._shutdown(chunk, now)
            case wire.ShutdownAck():
                self._shutdown_ack(now)
            case wire.ShutdownComplete():
                if self.state is StatusState.SHUTDOWN_ACK_SENT:
                    self._end(AssociationState.SHUTDOWN_COMP)
            case wire.Error():
                self._error(chunk, now)
            case wire.ForwardTsn():
                self._forward_tsn(chunk, path, now)
            case wire.BadChunk():
                return self._bad_chunk(chunk, now)
            case wire.UnknownChunk():
                if chunk.report:
                    self._report(Tlv(Cause.UNRECOGNIZED_CHUNK, chunk.raw[:1024]), path)
                return not chunk.stop
            case _:
                pass  # INIT and COOKIE ECHO are the engine's
        return True

    def _report(self, cause: Tlv, path: Path | None) -> None:
        where = path or self.primary
        if where is not None and self.their_tag:
            self._control.append((where, wire.error_chunk([cause])))

    def _bad_chunk(self, chunk: wire.BadChunk, now: float) -> bool:
        if chunk.type == ChunkType.DATA and chunk.reason == "no user data":
            self.abort_with(now, Tlv(Cause.NO_USER_DATA, chunk.raw[4:8]))
            return False
        if chunk.type in (ChunkType.INIT, ChunkType.INIT_ACK):
            return False
        self.abort_with(now, Tlv(Cause.PROTOCOL_VIOLATION, chunk.reason.encode()))
        return False

    def _aborted(self, chunk: wire.Abort) -> None:
        error = chunk.causes[0].type if chunk.causes else 0
        self._end(
            AssociationState.CANT_ASSOC if self.half_open else AssociationState.COMM_LOST,
            error,
            chunk.raw_causes,
        )

    def _error(self, chunk: wire.Error, now: float) -> None:
        for cause in chunk.causes:
            if cause.type == Cause.STALE_COOKIE:
                if self.state is StatusState.COOKIE_ECHOED:
                    self._stale(now)
                return
            raw = wire.tlv(*cause)
            cost = len(raw) + self.parameters.chunk_overhead
            if self.error_bytes + cost <= self.parameters.max_error_bytes:
                self.error_bytes += cost
                self.engine.report(RemoteError(association_id=self.id, error=cause.type, data=raw))

    def _stale(self, now: float) -> None:
        """Section 5.2.6: ask for a cookie that lives longer, a few times."""
        self._stale_retries += 1
        if self._stale_retries > self.parameters.max_init_retrans or self.init is None:
            self._end(AssociationState.CANT_ASSOC, Cause.STALE_COOKIE)
            return
        longer = round((now - self._cookie_sent + 1) * 1000)
        preservative = Tlv(
            ParameterType.COOKIE_PRESERVATIVE, min(longer, 60_000).to_bytes(4, "big")
        )
        self.init.parameters = [
            p for p in self.init.parameters if p.type != ParameterType.COOKIE_PRESERVATIVE
        ]
        self.init.parameters.append(preservative)
        self._mark_all(now)
        self.state = StatusState.COOKIE_WAIT
        self.their_tag = 0
        self._control.clear()  # there is no tag to send it with
        self._t1_count = 0
        self._t1_timeout = self.parameters.rto_initial
        self._send_init(now)

    # -- user data in (6.2) ---

    def _data(self, data: wire.Data, path: Path | None, now: float) -> bool:
        inbound = self.inbound
        if inbound is None or self.state not in _DATA_MAY_ARRIVE:
            return False
        host = path.address if path is not None else ""
        before = inbound.cumulative
        try:
            news = inbound.arrive(data, self.pending, self.address_of(host), self.id)
        except Violation as violation:
            self.abort_with(now, Tlv(Cause.PROTOCOL_VIOLATION, str(violation).encode()))
            return False
        if news and data.stream >= self.inbound_streams:
            cause = Tlv(Cause.INVALID_STREAM, _STREAM_CAUSE.pack(data.stream, 0))
            self._report(cause, path)
        if not news or data.immediate or inbound.has_gaps or inbound.cumulative != before + 1:
            self._sack_now = True
        if self.pending:
            self.engine.deliver(self)
        return True

    def _packet_with_data(self, path: Path | None, now: float) -> None:
        self._packets += 1
        if path is not None and path.confirmed:
            self._sack_path = path
        self._used(now)
        if not self._acknowledging:
            # Section 5.1: the first is acknowledged at once.
            self._acknowledging = self._sack_now = True
        if self.state is StatusState.SHUTDOWN_SENT:
            # Section 9.2: the peer has not seen our SHUTDOWN yet.
            self._sack_now = True
            self._send_shutdown(now)
        elif self._packets >= self.parameters.sack_frequency or not self.parameters.sack_delay:
            self._sack_now = True
        elif self._sack_at == inf:
            self._sack_at = now + self.parameters.sack_delay

    def taken(self, size: int, now: float) -> None:
        """The program took a message: there is room again."""
        if self.inbound is not None and self.inbound.taken(size) and not self.ended:
            self._sack_now = True
            self.flush(now)

    def error_taken(self, error: RemoteError) -> None:
        """The program took what the peer had reported."""
        self.error_bytes -= len(error.data) + self.parameters.chunk_overhead

    def _forward_tsn(self, chunk: wire.ForwardTsn, path: Path | None, now: float) -> None:
        if self.inbound is None or not self.forward_tsn or self.state not in _DATA_MAY_ARRIVE:
            return
        host = path.address if path is not None else ""
        aborted = self.inbound.forward(
            chunk.cumulative_tsn, chunk.streams, self.pending, self.address_of(host), self.id
        )
        if aborted:
            self.engine.report(
                PartialDeliveryAborted(association_id=self.id, indication=0, stream=0, ssn=0)
            )
        if self.pending:
            self.engine.deliver(self)
        self._sack_now = True

    def _make_sack(self, space: int) -> bytes:
        inbound = self.inbound
        assert inbound is not None
        gaps = inbound.gaps((space - 16) // 4)
        duplicates = inbound.duplicates[: (space - 16) // 4 - len(gaps)]
        inbound.duplicates.clear()
        self._sack_now = False
        self._sack_at = inf
        self._packets = 0
        return wire.sack_chunk(inbound.cumulative & _MASK, inbound.advertise(), gaps, duplicates)

    # -- acknowledgements (6.2.1, 6.3, 7.2) ---

    def _sack(self, sack: wire.Sack, now: float) -> None:
        if self.state not in _DATA_MAY_LEAVE:
            return
        outbound = self.outbound
        cumulative = outbound.cumulative_of(sack.cumulative_tsn)
        if cumulative < outbound.cumulative:
            return  # overtaken by a later one
        if not outbound.valid(cumulative):
            self.abort_with(
                now, Tlv(Cause.PROTOCOL_VIOLATION, b"a TSN acknowledged that was not sent")
            )
            return
        before = {path: path.flight for path in self.paths.values() if path.flight}
        earliest = {path: outbound.earliest_on(path) for path in before}
        news, advanced, lost, reneged = outbound.sack(sack, cumulative, now)
        for path, acked in news.items():
            path.acknowledged(acked, before.get(path, 0), advanced)
            self._answered(path, now)
        for path in self.paths.values():
            if path.fast_recovery and cumulative >= path.exit_point:
                path.fast_recovery = False
        highest = outbound.next_tsn - 1
        for path in lost:
            if not path.fast_recovery:
                self._retransmit_one = True  # section 7.2.4, 3: what is lost later waits for cwnd
            path.lost(highest)
        again = outbound.peek_marked() if lost else None
        for path, chunk in earliest.items():
            # Section 6.3.2, R3, and section 7.2.4, 4: not for later chunks, which would let an
            # early one wait for as long as others are acknowledged.
            if chunk is None or chunk.done or chunk is again:
                self._restart_t3(path, now)
            elif path.t3 == inf:
                path.t3 = now + path.rto  # R4
        if reneged:
            for path in self.paths.values():
                if path.flight and path.t3 == inf:
                    path.t3 = now + path.rto  # R4, where nothing was in flight
        outbound.advance()
        if not outbound.outstanding:
            for path in before:
                path.t3 = inf
        self._after_acknowledgement(now)

    def _after_acknowledgement(self, now: float) -> None:
        outbound = self.outbound
        if outbound.empty:
            for path in self.paths.values():
                path.t3 = inf
            if self.state is StatusState.SHUTDOWN_PENDING:
                self._send_first_shutdown(now)
            elif self.state is StatusState.SHUTDOWN_RECEIVED:
                self._send_shutdown_ack(now)
            elif self.dry_wanted:
                self.engine.report(SenderDry(association_id=self.id))
                self.dry_wanted = False

    def _restart_t3(self, path: Path, now: float) -> None:
        """Section 6.3.2, R2 and R3."""
        path.t3 = now + path.rto if self.outbound.waiting_on(path) else inf

    def _answered(self, path: Path, now: float) -> None:
        """The peer answered what was sent on a path (8.1, 8.2)."""
        self.error_count = 0
        path.error_count = 0
        if path.unreachable or path.potentially_failed:
            path.unreachable = path.potentially_failed = False
            self._path_change(path, PeerAddressState.ADDR_AVAILABLE)
            path.schedule_heartbeat(now, self.engine.random())

    def _t3_expired(self, path: Path, now: float) -> None:
        """Section 6.3.3."""
        path.t3 = inf
        outbound = self.outbound
        outbound.advance()
        if outbound.earliest_on(path) is None:
            if outbound.advanced > outbound.cumulative:
                outbound.forward_due = True
                path.back_off()
                self._count_error(path, now)
                if not self.ended:
                    path.t3 = now + path.rto
            return
        # A window that the peer keeps closed, but tells of, is no failure of the path (6.1 A).
        probing = outbound.closed_window
        outbound.closed_window = False  # until the next SACK says so
        path.timed_out()
        path.back_off()
        outbound.mark_all_on(path, now)
        self._failures()
        if not probing:
            self._count_error(path, now)
        if self.ended:
            return
        if path.search is not None and path.search.confirm(path.mtu):
            self._probe(path, path.search, now)
        if outbound.advanced > outbound.cumulative:
            outbound.forward_due = True
        self._retransmit_one = True

    # -- failures (8.1, 8.2; RFC 7829) ---

    def _count_error(self, path: Path, now: float) -> None:
        path.error_count += 1
        if path.confirmed:
            self.error_count += 1
        if self.error_count > self.parameters.association_max_retrans:
            self._end(AssociationState.COMM_LOST)
            return
        if not path.confirmed:
            return
        if path.error_count > path.max_retrans and not path.unreachable:
            path.unreachable = True
            path.potentially_failed = False
            self._path_change(path, PeerAddressState.ADDR_UNREACHABLE)
        elif (
            self.parameters.potentially_failed
            and path.error_count > self.parameters.pf_threshold
            and not path.potentially_failed
            and not path.unreachable
        ):
            path.potentially_failed = True
            self._path_change(path, PeerAddressState.ADDR_POTENTIALLY_FAILED)
            if len(self.paths) > 1:
                path.heartbeat_at = min(path.heartbeat_at, now)

    def make_primary(self, address: str) -> None:
        """New data goes there, while it works."""
        path = self.paths[address]
        if path is not self.primary:
            self.primary = path
            self._path_change(path, PeerAddressState.ADDR_MADE_PRIM)

    def data_path(self) -> Path:
        """Where new data goes: the primary, while it works (6.4, 8.2; RFC 7829 section 5)."""
        assert self.primary is not None
        if self.primary.usable:
            return self.primary
        confirmed = [path for path in self.paths.values() if path.confirmed]
        for path in confirmed:
            if path.usable:
                return path
        failing = [path for path in confirmed if not path.unreachable] or confirmed
        # All fail: the one that has failed least, the primary if in doubt.
        return min(
            failing or [self.primary],
            key=lambda path: (path.error_count, path is not self.primary),
        )

    def _alternate(self, path: Path) -> Path:
        """Where to retransmit what was sent on this path (6.4.1)."""
        for other in self.paths.values():
            if other is not path and other.usable:
                return other
        if path.usable:
            return path
        others = [
            other
            for other in self.paths.values()
            if other is not path and other.confirmed and not other.unreachable
        ]
        return others[0] if others else self.data_path()

    def unreachable(self, address: str, now: float) -> None:
        """Nobody takes packets there, says ICMP, whom anybody may imitate (10): who is not reached
        at first is given up; later it is a reason to see whether the path works."""
        path = self.paths[address]
        if self.half_open:
            if address not in self._refused:
                self._refused.add(address)
                if self._refused >= self.paths.keys():
                    self._end(AssociationState.CANT_ASSOC)
                elif self.state is StatusState.COOKIE_WAIT:
                    self._send_init(now)
        elif path.confirmed and path.heartbeat_deadline == inf:
            path.heartbeat_at = now

    # -- heartbeats (8.3) ---

    def request_heartbeat(self, path: Path, now: float) -> None:
        """Send one now."""
        self._send_heartbeat(path, now)
        self.flush(now)

    def _send_heartbeat(self, path: Path, now: float) -> None:
        if self.state not in (
            StatusState.ESTABLISHED,
            StatusState.SHUTDOWN_PENDING,
            StatusState.SHUTDOWN_RECEIVED,
        ):
            path.heartbeat_at = inf
            return
        if path.timed_tsn is not None and path.usable:
            path.schedule_heartbeat(now, self.engine.random())  # data tells as much
            return
        path.heartbeat_nonce = self.engine.randomness(8)
        path.heartbeat_sent = now
        self._control.append((path, _heartbeat(path, path.heartbeat_nonce, now)))
        path.heartbeat_deadline = now + path.rto
        path.heartbeat_at = inf

    def _heartbeat_ack(self, chunk: wire.HeartbeatAck, now: float) -> None:
        info = chunk.info
        if len(info) < _HEARTBEAT.size:
            return
        _, nonce = _HEARTBEAT.unpack_from(info)
        path = self.paths.get(info[_HEARTBEAT.size :].decode("ascii", "replace"))
        if path is None:
            return
        if path.search is not None and nonce == path.search.nonce:
            path.mtu = path.search.acknowledged(path.mtu, now)
            if path.search.size:
                self._probe(path, path.search, now)
            return
        if nonce != path.heartbeat_nonce:
            return
        path.heartbeat_nonce = b""
        path.heartbeat_deadline = inf
        path.measured(max(now - path.heartbeat_sent, 0.0))
        if not path.confirmed:
            path.confirmed = True
            path.error_count = 0
            self.error_count = 0
            self._path_change(path, PeerAddressState.ADDR_CONFIRMED)
        else:
            self._answered(path, now)
        path.schedule_heartbeat(now, self.engine.random())

    def _heartbeat_failed(self, path: Path, now: float) -> None:
        path.heartbeat_deadline = inf
        path.heartbeat_nonce = b""
        path.back_off()
        self._count_error(path, now)
        if not self.ended:
            path.schedule_heartbeat(now, self.engine.random())
            if not path.usable:
                path.heartbeat_at = now  # the RTO has just passed

    # -- path MTU (7.3; RFC 8899) ---

    def _probe(self, path: Path, search: PathMtuSearch, now: float) -> None:
        """A packet of a size that may be too large (RFC 8899 section 6.2.1.2)."""
        if self.state not in _DATA_MAY_LEAVE:
            search.stop()
            return
        nonce = self.engine.randomness(8)
        heartbeat = _heartbeat(path, nonce, now)
        room = search.size - wire.HEADER_SIZE - len(heartbeat)
        self._send_packet(path, [heartbeat, wire.pad_chunk(room)])
        search.sent(nonce, now + max(path.rto, 1.0))  # PROBE_TIMER; not less (section 5.1.1)

    def _probe_lost(self, path: Path, search: PathMtuSearch, now: float) -> None:
        path.mtu = search.lost(path.mtu, now)
        if search.size:
            self._probe(path, search, now)

    # -- shutdown (9.2) ---

    def shutdown(self, now: float) -> None:
        """Start the graceful end."""
        match self.state:
            case StatusState.ESTABLISHED:
                self.state = StatusState.SHUTDOWN_PENDING
                self._t5 = now + 5 * self.parameters.rto_max
                if self.outbound.empty:
                    self._send_first_shutdown(now)
            case StatusState.COOKIE_WAIT | StatusState.COOKIE_ECHOED:
                self._end(AssociationState.CANT_ASSOC)
                return
            case StatusState.SHUTDOWN_RECEIVED:
                # The peer shuts down already, but may not take what is still to be sent.
                self._t5 = min(self._t5, now + 5 * self.parameters.rto_max)
            case _:
                pass
        self.flush(now)

    def _send_first_shutdown(self, now: float) -> None:
        self.state = StatusState.SHUTDOWN_SENT
        if self._t5 == inf:
            self._t5 = now + 5 * self.parameters.rto_max
        self._send_shutdown(now)

    def _send_shutdown(self, now: float) -> None:
        assert self.inbound is not None
        path = self.data_path()
        self._control.append((path, wire.shutdown_chunk(self.inbound.cumulative & _MASK)))
        self._t2 = now + path.rto

    def _send_shutdown_ack(self, now: float) -> None:
        self.state = StatusState.SHUTDOWN_ACK_SENT
        path = self.data_path()
        self._control.append((path, wire.chunk(ChunkType.SHUTDOWN_ACK)))
        self._t2 = now + path.rto

    def _t2_expired(self, now: float) -> None:
        path = self.data_path()
        path.back_off()
        self._count_error(path, now)
        if self.ended:
            return
        if self.state is StatusState.SHUTDOWN_SENT:
            self._send_shutdown(now)
        else:
            self._send_shutdown_ack(now)

    def _shutdown(self, chunk: wire.Shutdown, now: float) -> None:
        if self.half_open:
            return
        outbound = self.outbound
        cumulative = outbound.cumulative_of(chunk.cumulative_tsn)
        if not outbound.valid(cumulative):
            self.abort_with(
                now, Tlv(Cause.PROTOCOL_VIOLATION, b"a TSN acknowledged that was not sent")
            )
            return
        if cumulative > outbound.cumulative:
            for path in outbound.acknowledge(cumulative, now):
                self._answered(path, now)
                self._restart_t3(path, now)
        match self.state:
            case StatusState.ESTABLISHED | StatusState.SHUTDOWN_PENDING:
                self.state = StatusState.SHUTDOWN_RECEIVED
                self.engine.report(ShutdownReceived(association_id=self.id))
                if outbound.empty:
                    self._send_shutdown_ack(now)
            case StatusState.SHUTDOWN_RECEIVED:
                if outbound.empty:
                    self._send_shutdown_ack(now)
            case StatusState.SHUTDOWN_SENT | StatusState.SHUTDOWN_ACK_SENT:
                self._send_shutdown_ack(now)
            case _:
                pass

    def _shutdown_ack(self, now: float) -> None:
        if self.state in (StatusState.SHUTDOWN_SENT, StatusState.SHUTDOWN_ACK_SENT):
            self._send_packet(self.data_path(), [wire.shutdown_complete_chunk()])
            self._end(AssociationState.SHUTDOWN_COMP)

    def repeat_shutdown_ack(self, now: float) -> None:
        """The peer has not seen it (9.2)."""
        self._send_shutdown_ack(now)
        self.flush(now)

    # -- the end ---

    def abort(self, now: float, cause: int, reason: bytes) -> None:
        """End it at once (9.1)."""
        self.abort_with(now, Tlv(cause, reason))

    def abort_with(self, now: float, cause: Tlv) -> None:
        """End it at once, for this cause."""
        self._abort_with(cause)
        state = AssociationState.CANT_ASSOC if self.half_open else AssociationState.COMM_LOST
        self._end(state, cause.type, wire.tlv(*cause))

    def _abort_with(self, cause: Tlv) -> None:
        if self.their_tag and self.paths:
            self._send_packet(self.data_path(), [wire.abort_chunk([cause])])

    def _end(self, state: AssociationState, error: int = 0, info: bytes = b"") -> None:
        if self.ended:
            return
        self.ended = True
        if state is AssociationState.CANT_ASSOC:
            unanswered = self._t1_count > self.parameters.max_init_retrans
            number = errno.ETIMEDOUT if unanswered else errno.ECONNREFUSED
            self.engine.set_up_failed(self.id, number)
        self.state = StatusState.CLOSED
        self.outbound.fail_all(error)
        self._control.clear()
        self.engine.forget(self)
        self._change(state, error, info)
        self._failures()

    # -- restart (5.2.4) ---

    def _new_tie_tags(self) -> tuple[int, int]:
        """They stand for our tags in cookies, which are no secret (1.3, 5.2.2)."""
        first, second = struct.unpack("!II", self.engine.randomness(8))
        return (first, second)

    def restart(self, cookie: Cookie, route: Route, now: float) -> None:
        """Action A: the peer has lost its state and comes anew."""
        self.engine.retire_tag(self)
        self.our_tag = cookie.our_tag
        self.tie_tags = self._new_tie_tags()
        self.outbound.restart(cookie.our_tsn)
        self._failures()
        self.pending.clear()
        for path in self.paths.values():
            self._reset(path)
        self._t2 = self._t5 = self._sack_at = inf
        self._sack_now = False
        self._packets = 0
        self._acknowledging = False
        self._control.clear()
        self.accept(cookie, route, now)
        self.establish(now, AssociationState.RESTART)

    def _reset(self, path: Path) -> None:
        path.cwnd = path.initial_cwnd()
        path.ssthresh = 2**32
        path.flight = 0
        path.rto = self.parameters.rto_initial
        path.srtt = 0.0
        path.error_count = 0
        path.unreachable = path.potentially_failed = path.fast_recovery = False
        path.timed_tsn = None
        path.t3 = path.heartbeat_deadline = inf

    def collided(self, cookie: Cookie, route: Route, now: float) -> None:
        """Action B: both sides sent an INIT, and the peer's answer overtook."""
        self._t1 = inf
        self.accept(cookie, route, now)
        if self.state is not StatusState.ESTABLISHED:
            self.establish(now)

    # -- packets out ---

    def _send_packet(
        self, path: Path, chunks: list[bytes], tag: int | None = None, *, fragment: bool = False
    ) -> None:
        if tag is None:
            tag = self.their_tag
        self.engine.transmit(path.route, self.peer_port, tag, chunks, fragment=fragment)

    def enqueue(self, message: OutgoingMessage, now: float) -> None:
        """Take a message to be sent; BlockingIOError if there is no room."""
        outbound = self.outbound
        if not outbound.has_room():
            if message.priority is None or not outbound.make_room(
                message.priority, self.data_path()
            ):
                raise BlockingIOError
            self._failures()
        outbound.enqueue(message)
        self.dry_wanted = True
        self._used(now)

    def has_bursts(self) -> bool:
        """Whether so much is queued, and may leave, that it is not worth waiting for more."""
        path = self.primary
        if path is None or path.flight >= path.cwnd:
            return False
        queued = self.outbound.buffered - self.outbound.flight
        return queued >= _BURSTS * self.parameters.max_burst * path.mtu

    def flush(self, now: float) -> None:
        """Put all that may leave now into packets: control first, then retransmissions, then new
        data (6.10), as far as windows allow (6.1)."""
        if self.ended:
            return
        outbound = self.outbound
        may_leave = self.state in _DATA_MAY_LEAVE
        if may_leave and (outbound.queue or outbound.marked or outbound.forward_due):
            self._flush_data(now)
            if outbound.failed:
                self._failures()
                self._after_acknowledgement(now)
        if self._sack_now and self.inbound is not None:
            path = self._sack_path or self.data_path()
            self._control.insert(0, (path, self._make_sack(path.mtu - wire.HEADER_SIZE)))
        if self._control:
            self._flush_control()

    def _take_control(self, path: Path, space: int) -> tuple[list[bytes], int]:
        chunks: list[bytes] = []
        rest: list[tuple[Path, bytes]] = []
        for where, chunk in self._control:
            if where is path and len(chunk) <= space:
                chunks.append(chunk)
                space -= len(chunk)
            else:
                rest.append((where, chunk))
        self._control = rest
        return chunks, space

    def _flush_control(self) -> None:
        while self._control:
            path = self._control[0][0]
            chunks, _ = self._take_control(path, path.mtu - wire.HEADER_SIZE)
            large = not chunks
            if large:
                chunks = [self._control.pop(0)[1]]  # larger than a packet: it goes alone
            self._send_packet(path, chunks, fragment=large)

    def _flush_data(self, now: float) -> None:
        outbound = self.outbound
        bursts: dict[Path, int] = {}
        forced = self._retransmit_one
        self._retransmit_one = False
        new_path = self.data_path()
        immediate = self.state is StatusState.SHUTDOWN_PENDING
        max_burst = self.parameters.max_burst
        while True:
            marked = outbound.peek_marked()
            path = self._path_again(marked) if marked is not None else new_path
            if path not in bursts:
                if path.flight == 0:
                    path.idle(now)
                bursts[path] = min(
                    path.cwnd,
                    path.flight + max_burst * (path.mtu - wire.HEADER_SIZE - wire.DATA_OVERHEAD),
                )
            limit = bursts[path]
            # After a timeout one packet is to be acknowledged before the next leaves (6.3.3, E3).
            narrow = path.cwnd <= path.mtu and path.flight > 0
            may_send = (path.flight < limit and not narrow) or forced
            space = path.mtu - wire.HEADER_SIZE
            chunks: list[bytes] = []
            # Made when packets could be larger: it goes alone, and IP may fragment it (7.3).
            large = may_send and marked is not None and len(marked.wire) > space
            if large:
                assert marked is not None
                space = len(marked.wire)
            elif self._control:
                chunks, space = self._take_control(path, space)
            skip = outbound.forward_due and self.forward_tsn and not large
            if not may_send and not chunks and not skip:
                return
            if self.inbound is not None and (self._sack_now or self._sack_at != inf):
                where = self._sack_path or new_path
                if where is path and may_send and not large and space >= _SMALLEST_SACK:
                    sack = self._make_sack(space)
                    chunks.append(sack)
                    space -= len(sack)
            if skip and space >= _SMALLEST_FORWARD_TSN:
                forward = outbound.forward_tsn(space)
                chunks.append(forward)
                space -= len(forward)
                outbound.forward_due = False
                if path.t3 == inf:
                    path.t3 = now + path.rto
            sent = 0
            if may_send:
                while (chunk := outbound.next_marked(space, now)) is not None:
                    space -= len(chunk.wire)
                    chunks.append(chunk.wire)
                    outbound.transmitted(chunk, path, now)
                    sent += 1
                if (
                    path is new_path
                    and path.flight < limit
                    and not narrow
                    and outbound.peek_marked() is None  # or it did not fit: it goes first (6.1 C)
                ):
                    sent += self._new_data(path, space, chunks, now, immediate)
            if chunks:
                self._send_packet(path, chunks, fragment=large)
            if not sent:
                if not chunks:
                    return
                continue  # what went first may have left no room for data
            forced = False
            path.last_sent = now
            if path.t3 == inf:
                path.t3 = now + path.rto
            if outbound.queue and path.search is not None and path.search.wanted(path.mtu, now):
                self._probe(path, path.search, now)

    def _new_data(
        self, path: Path, space: int, chunks: list[bytes], now: float, immediate: bool
    ) -> int:
        outbound = self.outbound
        sent = 0
        if not self.parameters.no_delay and outbound.flight and outbound.queue:
            # Nagle: less than a packet waits until all is acknowledged.
            waiting = sum(len(m.data) - m.offset + 16 for m in outbound.queue)
            if waiting < space and not immediate:
                return 0
        while (chunk := outbound.next_new(space, path, now, immediate=immediate)) is not None:
            size = len(chunk.wire)
            space -= size
            chunks.append(chunk.wire)
            outbound.transmitted(chunk, path, now)
            sent += 1
            if space < 20:
                break
        return sent

    def _path_again(self, chunk: SentChunk) -> Path:
        """Where to retransmit a chunk: what SACKs told of went by a path that works (6.4)."""
        path = chunk.path
        if len(self.paths) == 1 or (chunk.fast and path.usable):
            return path
        return self._alternate(path)

    # -- what it says of itself ---

    def path_info(self, path: Path) -> PeerAddressInfo:
        """One path, as programs see it."""
        return PeerAddressInfo(
            address=self.address_of(path.address),
            state=path.state,
            primary=path is self.primary,
            cwnd=path.cwnd,
            srtt=round(path.srtt * 1000),
            rto=round(path.rto * 1000),
            mtu=path.mtu,
        )

    def status(self) -> Status:
        """As programs see it."""
        assert self.primary is not None
        return Status(
            association_id=self.id,
            state=self.state,
            rwnd=self.outbound.rwnd,
            unackdata=len(self.outbound.outstanding),
            penddata=0,
            instrms=self.inbound_streams,
            outstrms=self.outbound_streams,
            fragmentation_point=self.outbound.payload_limit(self.primary),
            primary=self.path_info(self.primary),
        )


def _heartbeat(path: Path, nonce: bytes, now: float) -> bytes:
    return wire.heartbeat_chunk(_HEARTBEAT.pack(now, nonce) + path.address.encode())


def extensions(parameters: Parameters, forward_tsn: bool) -> list[Tlv]:
    """What an INIT or INIT ACK of ours says beyond RFC 9260."""
    listed: list[Tlv] = []
    if forward_tsn:
        listed.append(Tlv(ParameterType.FORWARD_TSN_SUPPORTED, b""))
    if parameters.adaptation_indication is not None:
        value = parameters.adaptation_indication.to_bytes(4, "big")
        listed.append(Tlv(ParameterType.ADAPTATION_INDICATION, value))
    return listed
