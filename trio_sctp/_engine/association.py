"""One association: its states, timers and paths (RFC 9260 sections 4, 5, 6, 8, 9).

What the packets of an association mean stands here.  Which association a packet is of, and what is
answered without one, stands in `engine`.

The names of methods say what they do: `_handle_` takes what the peer sent, `_send_` puts a chunk on
its way and does nothing else, `_enter_` changes the state.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable
from math import inf
from typing import Final

from .._options import PeerAddressInfo, Status, StatusState
from .._values import (
    AdaptationIndication,
    Address,
    AssociationChange,
    AssociationState,
    PeerAddressChange,
    PeerAddressState,
    RemoteError,
    SenderDry,
    ShutdownReceived,
)
from . import wire
from .account import EVENT_COST
from .addresses import local_for
from .arrivals import Unread
from .bundling import PacketBuilder
from .cookie import FORWARD_TSN, Cookie
from .inbound import Inbound, Violation
from .offer import Offer
from .outbound import Outbound, OutgoingMessage, SentChunk
from .outlet import Outlet
from .parameters import Parameters
from .path import Path, Route, host_of, transport_address
from .path_mtu import PathMtuSearch
from .paths import Paths
from .states import DATA_MAY_ARRIVE, DATA_MAY_LEAVE, HALF_OPEN, SHUTTING_DOWN, TRANSITIONS
from .tsn import MASK, unwrap
from .wire import Cause, ChunkType, ParameterType, Tlv

_SMALLEST_SACK = 32
_SMALLEST_FORWARD_TSN = 32
_SMALLEST_DATA = wire.DATA_OVERHEAD + 4
_BURSTS = 4
_SHUTDOWN_PENDING: Final = StatusState.SHUTDOWN_PENDING  # to look it up in its enum costs 80 ns
_HEARTBEAT = struct.Struct("!d8s")
_STREAM_CAUSE = struct.Struct("!HH")
_PROBE_SIZE: Final = wire.HEADER_SIZE + 8 + _HEARTBEAT.size + 39  # with the longest address

# The timers of an association, as places in a list: `deadline`, `handle_timeout` and a restart walk
# over it.  Those of a path are the path's.
SACK: Final = 0  # a SACK is due (6.2)
T1: Final = 1  # T1-init, T1-cookie (5.1)
T5: Final = 2  # T5-shutdown-guard (9.2)
T2: Final = 3  # T2-shutdown (9.2)
AUTOCLOSE: Final = 4
PROBE: Final = 5  # an unconfirmed address is to be probed (5.4)
LIFE: Final = 6  # the peer has not shown that it is there
WINDOW: Final = 7  # the peer's window is shut, and is to be probed (6.1 A)
_TIMERS: Final = 8

_LONGEST_SHUTDOWN: Final = 3600.0
"""Seconds after which a shutdown ends in an abort, even if it makes progress."""
_AWAITED_TRIES: Final = 3
_LIFE_TRIES: Final = 2
_LIFE_WAIT: Final = 1.0
"""Seconds that a peer has to answer when it is asked whether it is there; more if the round trip
is long."""


class EngineAssociation:
    """An association as the engine keeps it: states, timers, paths, and both directions of data.

    Attributes:
      ended: Whether it is over.  The engine then forgets it.
      failure: The errno for which it did not come up, 0 if it did, or may yet.
      told: Our addresses that the peer was told of, if they are several.
    """

    def __init__(
        self,
        outlet: Outlet,
        id: int,
        peer_port: int,
        our_tag: int,
        our_tsn: int,
        parameters: Parameters,
    ) -> None:
        self._outlet = outlet
        self.id = id
        self.peer_port = peer_port
        self.our_tag: int = our_tag
        self.their_tag: int = 0
        self.tie_tags: tuple[int, int] = self._new_tie_tags()
        self.parameters = parameters
        self.state: StatusState = StatusState.CLOSED
        self.ended: bool = False
        self.failure: int = 0
        self.paths: Paths = Paths(parameters, peer_port)
        self.told: list[str] = []
        self.outbound: Outbound = Outbound(parameters, our_tsn)
        self.inbound: Inbound | None = None
        self.outbound_streams: int = parameters.outbound_streams
        self.inbound_streams: int = 0
        self.forward_tsn: bool = False
        self.error_count: int = 0
        self.adaptation: int | None = None
        self.unread: Unread = outlet.arrivals.open(id)
        self.dry_wanted: bool = True
        self.room_wanted: bool = False  # somebody waits until it takes another message
        self.released: bool = False  # its program has gone
        # Addresses that the peer lists and that are confirmed in other associations, and what the
        # answer to a heartbeat there has to contain.
        self.awaited: dict[str, bytes] = {}
        self._awaited_tries = 0

        self.init: wire.Init | None = None  # ours
        self.cookie: bytes = b""  # the peer's, which we echo
        self._timers: list[float] = [inf] * _TIMERS
        self._t1_timeout = 0.0
        self._t1_count = 0
        self._stale_retries = 0
        self._cookie_sent = 0.0
        self._sack_now = False
        self._sack_path: Path | None = None
        self._packets = 0  # with DATA, since the last SACK
        self._acknowledging = False  # the first SACK was due
        self._control: list[tuple[Path, bytes]] = []  # chunks that wait for the next packet
        self._retransmit_one = False
        self._init_path = 0
        self._primary_chosen = False  # by the program
        self._refused: set[str] = set()  # addresses where ICMP says that nobody is
        self._window_wait = 0.0  # seconds between probes of a window that is shut
        self._window_told = False  # whether a SACK came since the last
        self._shutdown_until = inf  # when a shutdown is over, however well it goes
        self._shutdown_tsn = 0  # the peer's cumulative TSN when the guard was renewed last
        self._reports: list[Tlv] = []  # causes for an ERROR that answers the packet at hand
        self._reports_size = 0
        self._acks_size = 0  # bytes of HEARTBEAT ACKs that answer the packet at hand
        self._life_asked = 0  # how often the peer was asked whether it is there
        self._life_asked_for = 0  # the tag of the INIT that was the reason
        self._life_shown_to = 0  # and that of the one for which the peer has shown it
        self.silent: bool = False  # the peer has not answered when it was asked

    # -- states ---

    @property
    def half_open(self) -> bool:
        """Whether it is still being set up."""
        return self.state in HALF_OPEN

    @property
    def primary(self) -> Path | None:
        """The path that new data takes while it works."""
        return self.paths.primary

    @property
    def shutting_down(self) -> bool:
        """Whether either side has started the graceful end."""
        return self.state in SHUTTING_DOWN

    def _enter(self, state: StatusState) -> None:
        assert state in TRANSITIONS[self.state], f"{state.name} cannot follow {self.state.name}"
        self.state = state

    # -- timers ---

    def deadline(self) -> float:
        """Return when `handle_timeout` has something to do; infinite if never."""
        first = min(self._timers)
        for path in self.paths.values():
            deadline = path.deadline()
            if deadline < first:
                first = deadline
        return first

    def handle_timeout(self, now: float) -> None:
        """Do what has fallen due."""
        timers = self._timers
        for timer, expired in enumerate(_EXPIRED):
            if timers[timer] <= now and not self.ended:
                timers[timer] = inf
                expired(self, now)
        for path in list(self.paths.values()):
            if self.ended:
                return
            if path.t3 <= now:
                self._t3_expired(path, now)
            if path.heartbeat_deadline <= now and not self.ended:
                self._heartbeat_lost(path, now)
            if path.heartbeat_at <= now and not self.ended:
                self._heartbeat_due(path, now)
            if path.search is not None and path.search.deadline <= now and not self.ended:
                self._probe_lost(path, path.search, now)
        self.flush(now)

    def _sack_expired(self, now: float) -> None:
        self._sack_now = True

    def _t5_expired(self, now: float) -> None:
        self.abort(Tlv(Cause.USER_INITIATED_ABORT, b"shutdown takes too long"))

    def _autoclose_expired(self, now: float) -> None:
        self.shutdown(now)

    # -- reports to the program ---

    def _report_change(self, change: AssociationState, error: int = 0, info: bytes = b"") -> None:
        up = change in (AssociationState.COMM_UP, AssociationState.RESTART)
        self._outlet.report(
            AssociationChange(
                association_id=self.id,
                state=change,
                error=error,
                outbound_streams=self.outbound_streams if up else 0,
                inbound_streams=self.inbound_streams if up else 0,
                info=info,
            )
        )

    def _report_path(self, path: Path, change: PeerAddressState, error: int = 0) -> None:
        self._outlet.report(
            PeerAddressChange(
                association_id=self.id,
                address=path.peer,
                state=change,
                error=error,
            )
        )

    def _report_failures(self) -> None:
        """Report the messages that were given up."""
        for failed in self.outbound.failed:
            failed.association_id = self.id
            self._outlet.report(failed)
        self.outbound.failed.clear()

    def address_of(self, host: str) -> Address:
        """Return a transport address of the peer."""
        return transport_address(host, self.peer_port)

    # -- set-up (5.1) ---

    def add_path(self, route: Route, *, confirmed: bool) -> Path:
        """Add one more address of the peer."""
        self._outlet.address_book.register(route.remote, self, confirmed=confirmed)
        return self.paths.add(route, confirmed=confirmed)

    def start(self, now: float) -> None:
        """Send the INIT."""
        assert self.primary is not None
        routes = [path.route for path in self.paths.values()]
        self.told = self._outlet.address_book.told_by(routes)
        self.init = wire.Init(
            self.our_tag,
            self.parameters.first_promise,
            self.parameters.outbound_streams,
            self.parameters.inbound_streams,
            self.outbound.next_tsn & MASK,
            [
                *map(wire.address_parameter, self.told),
                *extensions(self.parameters, self.parameters.partial_reliability),
            ],
        )
        self._enter(StatusState.COOKIE_WAIT)
        self._t1_timeout = self.primary.rto
        self._send_init(now)

    def _send_init(self, now: float) -> None:
        """Send it alone in its packet, and each time to the next address (5.1, 6.10)."""
        assert self.init is not None
        paths = [path for path in self.paths.values() if path.confirmed]
        path = paths[self._init_path % len(paths)]
        self._init_path += 1
        self._send_alone(path, wire.init_chunk(self.init), tag=0)
        self._timers[T1] = now + self._t1_timeout

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
        """Have user data that went with a COOKIE ECHO go with the next one."""
        for path in self.paths.values():
            self.outbound.mark_all_on(path, now)
        self._report_failures()

    def _send_cookie(self, path: Path, reports: list[Tlv], now: float) -> None:
        """Send the COOKIE ECHO with as much user data as its packet holds.

        No more may leave before the COOKIE ACK (5.1, C).
        """
        packet = PacketBuilder(path)
        packet.add(wire.chunk(ChunkType.COOKIE_ECHO, self.cookie))
        if reports:
            packet.add(wire.error_chunk(reports))
        # It may have been too large for the path, of which nothing is known yet.
        packet.fragment = packet.room < 0 or self._t1_count > 0
        outbound = self.outbound
        while (chunk := outbound.next_marked(packet.room, now)) is not None:
            packet.add(chunk.wire)
            outbound.sent_again(chunk, path, now)
        while (chunk := outbound.next_new(packet.room, path, now, immediate=False)) is not None:
            packet.add(chunk.wire)
        self._send_packet(packet)
        self._cookie_sent = now
        self._timers[T1] = now + self._t1_timeout

    def _handle_init_ack(self, ack: wire.InitAck, route: Route, now: float) -> None:
        """Section 5.1 C."""
        if self.state is not StatusState.COOKIE_WAIT:
            return
        if not ack.tag:
            # Section 3.3.3: there is no tag of theirs to answer with.
            path = self.paths.to_answer(self.paths.get(route.remote))
            self._send_alone(path, wire.abort_chunk(reflected=True), tag=self.our_tag)
            self._end(AssociationState.CANT_ASSOC)
            return
        if ack.tag == self.our_tag:
            return  # whoever sends our own packets back is no peer
        self.their_tag = ack.tag
        offer = Offer(ack, self.parameters)
        refusal: Tlv | None = None
        if not offer.valid or len(ack.parameters) > wire.MOST_LOOKED_AT:
            refusal = Tlv(Cause.INVALID_PARAMETER, b"")
        elif offer.host_name is not None:
            refusal = Tlv(Cause.UNRESOLVABLE_ADDRESS, wire.tlvs([offer.host_name]))
        elif offer.cookie is None:
            missing = struct.pack("!IH", 1, ParameterType.STATE_COOKIE)
            refusal = Tlv(Cause.MISSING_PARAMETER, missing)
        if refusal is not None:
            self._send_abort(refusal)
            self._end(AssociationState.CANT_ASSOC)
            return
        assert offer.cookie is not None
        self.cookie = offer.cookie
        self._take_up(offer, route, now)
        self._enter(StatusState.COOKIE_ECHOED)
        self._t1_count = 0
        self._t1_timeout = self.parameters.rto_initial
        path = self.paths[route.remote]
        if not path.confirmed:
            path = self.paths.for_data()  # only the peer's word says that it is there (5.4)
        elif not self._primary_chosen:
            self.paths.primary = path
        self._send_cookie(path, offer.unrecognized, now)

    def _take_up(self, offer: Offer, route: Route, now: float) -> None:
        """Work by what the peer's INIT ACK says."""
        parameters = self.parameters
        self.outbound_streams = min(parameters.outbound_streams, offer.inbound_streams)
        self.inbound_streams = min(parameters.inbound_streams, offer.outbound_streams)
        self.outbound.rwnd = self.outbound.largest_rwnd = offer.rwnd
        self.outbound.limit_streams(self.outbound_streams)
        self.inbound = Inbound(parameters, offer.tsn, self.inbound_streams, self.unread)
        if route.remote not in self.paths:
            self.add_path(route, confirmed=False)
        self._leave_from_known(route)
        for address in offer.addresses:
            self._add_listed(address, route, now)
        if offer.forward_tsn:
            self.forward_tsn = self.outbound.may_skip = parameters.partial_reliability
        if offer.adaptation is not None:
            self.adaptation = offer.adaptation

    def _leave_from_known(self, route: Route) -> None:
        """Have all packets leave from addresses that the peer knows.

        It knows those that it was told of, and the one where the route begins that the handshake
        has taken.  It would end the association for a packet from another.
        """
        for path in list(self.paths.values()):
            local = path.route.local
            if local == route.local or local in self.told:
                continue
            if (":" in local) == (":" in route.local):
                path.route = path.route._replace(local=route.local, local_udp=route.local_udp)
            else:
                self._outlet.address_book.forget(path.address, self)
                self.paths.remove(path)

    def _add_listed(self, address: str, route: Route, now: float) -> None:
        """Add an address that the peer has listed, if it may be the peer's and is reached.

        An address that is confirmed in another association stays there while that one lives.
        """
        book = self._outlet.address_book
        same_port = self.peer_port == self._outlet.port
        if address in self.paths or not book.is_credible(address, route, same_port=same_port):
            return
        local = local_for(address, route, self.told)
        if local is None or len(self.paths) >= self.parameters.max_peer_addresses:
            return
        key = address, self.peer_port
        owner = book.owners.get(key)
        if owner is None:
            other = Route(local, address, route.local_udp, route.remote_udp)
            self.add_path(other, confirmed=False)
        elif address not in self.awaited:
            self.awaited[address] = b""

    def _ask_for(self, address: str, now: float) -> None:
        """Send a heartbeat to an address that is another association's.

        Its peer does not answer it, as the verification tag is wrong there; but it may have begun
        anew, with this association (5.2).
        """
        assert self.primary is not None
        route = self.primary.route
        local = local_for(address, route, self.told) or route.local
        nonce = self.awaited[address] = self._outlet.randomness(8)
        info = _HEARTBEAT.pack(now, nonce) + address.encode()
        self.paths.reflected += _PROBE_SIZE
        data = wire.seal(
            self._outlet.port, self.peer_port, self.their_tag, [wire.heartbeat_chunk(info)]
        )
        self._outlet.transmit(data, Route(local, address, route.local_udp, route.remote_udp))

    def has_come_from(self, address: str, packet: wire.Packet) -> bool:
        """Whether a packet shows that an address of another association is this peer's."""
        nonce = self.awaited.get(address)
        return bool(nonce) and any(
            isinstance(chunk, wire.HeartbeatAck) and chunk.info[8:16] == nonce
            for chunk in packet.chunks
        )

    def gain(self, route: Route, now: float, *, confirmed: bool) -> None:
        """Add an address that another association had, and that this peer lists and sends from."""
        del self.awaited[route.remote]
        path = self.add_path(route, confirmed=confirmed)
        if confirmed:
            self._report_path(path, PeerAddressState.ADDR_CONFIRMED)
            path.schedule_heartbeat(now, self._outlet.fraction())
        else:
            self._timers[PROBE] = min(self._timers[PROBE], now)

    def accept(self, cookie: Cookie, now: float) -> None:
        """Work by the cookie of a COOKIE ECHO (5.1 D)."""
        self.their_tag = cookie.their_tag
        self.outbound_streams = cookie.outbound_streams
        self.inbound_streams = cookie.inbound_streams
        self.outbound.rwnd = self.outbound.largest_rwnd = cookie.their_rwnd
        self.outbound.limit_streams(self.outbound_streams)
        # What was delivered before a restart stays in `unread`, and takes room until it is taken.
        self.inbound = Inbound(self.parameters, cookie.their_tsn, self.inbound_streams, self.unread)
        self.forward_tsn = bool(cookie.extensions & FORWARD_TSN)
        self.outbound.may_skip = self.forward_tsn
        self.adaptation = cookie.adaptation
        first = Route(cookie.local, cookie.remote, cookie.udp_local, cookie.udp_remote)
        path = self.paths.get(first.remote)
        if path is None:
            self.add_path(first, confirmed=True)
        elif not path.confirmed:
            self._confirm(path)  # the INIT ACK has arrived there
        if not self.told:
            self.told = self._outlet.address_book.told_to(first)
        if self.state is StatusState.COOKIE_WAIT:
            self._leave_from_known(first)
        for address in cookie.addresses:
            self._add_listed(address, first, now)

    def acknowledge_cookie(self, route: Route, now: float) -> None:
        """Answer a COOKIE ECHO where it came from, if that is one of the peer's addresses."""
        path = self.paths.get(route.remote)
        chunk = wire.chunk(ChunkType.COOKIE_ACK)
        if path is not None and not path.confirmed:
            # Section 5.4: nothing goes to an unconfirmed address without a HEARTBEAT.
            self._control.append((path, chunk))
            self.paths.reflected += _PROBE_SIZE
            self._send_heartbeat(path, now)
            self._timers[PROBE] = now + path.rto
        else:
            self._control.append((path or self.paths.for_data(), chunk))

    def establish(self, now: float, event: AssociationState = AssociationState.COMM_UP) -> None:
        """Enter ESTABLISHED and say so."""
        self._enter(StatusState.ESTABLISHED)
        self._timers[T1] = inf
        self.error_count = 0
        self._report_change(event)
        if self.adaptation is not None:
            self._outlet.report(
                AdaptationIndication(association_id=self.id, adaptation_ind=self.adaptation)
            )
        self._report_failures()
        for path in self.paths.values():
            if path.flight and path.t3 == inf:
                path.t3 = now + path.rto  # data went with the COOKIE ECHO
            if path.confirmed:
                path.schedule_heartbeat(now, self._outlet.fraction())
            else:
                self._timers[PROBE] = now
        if self.awaited:
            self._timers[PROBE] = now
        self._postpone_autoclose(now)

    def _postpone_autoclose(self, now: float) -> None:
        if self.parameters.autoclose:
            self._timers[AUTOCLOSE] = now + self.parameters.autoclose

    def _handle_stale_cookie(self, now: float) -> None:
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
        self._enter(StatusState.COOKIE_WAIT)
        self.their_tag = 0
        self._control.clear()  # there is no tag to send it with
        self._t1_count = 0
        self._t1_timeout = self.parameters.rto_initial
        self._send_init(now)

    # -- packets in ---

    def receive(self, packet: wire.Packet, route: Route, size: int, now: float) -> None:
        """Process every chunk of a packet with the right verification tag.

        Args:
          packet: It.
          route: Where it came from.
          size: Its bytes.
          now: Seconds.
        """
        paths = self.paths
        paths.received += size
        path = paths.get(route.remote)
        if path is not None and path.route != route:
            # RFC 6951 section 5.4: the port may change, now that the tag has been found right.
            path.route = route
        address = path.peer if path is not None else self.address_of("")
        self._acks_size = 0
        data = False
        # Of many SACKs and FORWARD TSNs in a packet, each would be worked off for nothing but the
        # last: a peer could have us do that thousands of times.
        sack: wire.Sack | None = None
        skips: list[wire.ForwardTsn] | None = None
        for chunk in packet.chunks:
            kind = type(chunk)
            if kind is wire.Data:
                if skips is not None:  # they come first, as the DATA may be far behind them
                    self._handle_forward_tsn(_merged(skips), path)
                    skips = None
                data |= self._handle_data(chunk, path, address, now)  # type: ignore[arg-type]
            elif kind is wire.Sack:
                sack = chunk  # type: ignore[assignment]
            elif kind is wire.ForwardTsn:
                if skips is None:
                    skips = []
                skips.append(chunk)  # type: ignore[arg-type]
            elif not self._handle_control(chunk, route, path, now):
                break
            if self.ended:
                return
        if sack is not None:
            self._handle_sack(sack, now)
        if skips is not None and not self.ended:
            self._handle_forward_tsn(_merged(skips), path)
        if self.ended:
            return
        if data:
            self._schedule_sack(path, now)
        if self._reports:
            if self.their_tag:  # a stale cookie has it forgotten
                self._control.append((paths.to_answer(path), wire.error_chunk(self._reports)))
            self._reports.clear()
            self._reports_size = 0
        self.flush(now)

    def _handle_control(
        self, chunk: wire.Chunk, route: Route, path: Path | None, now: float
    ) -> bool:
        """Process one chunk; return whether to go on with the packet."""
        match chunk:
            case wire.InitAck():
                self._handle_init_ack(chunk, route, now)
            case wire.Heartbeat():
                self._handle_heartbeat(chunk, path)
            case wire.HeartbeatAck():
                self._handle_heartbeat_ack(chunk, now)
            case wire.Abort():
                self._handle_abort(chunk)
            case wire.CookieAck():
                if self.state is StatusState.COOKIE_ECHOED:
                    self.establish(now)
            case wire.Shutdown():
                self._handle_shutdown(chunk, now)
            case wire.ShutdownAck():
                self._handle_shutdown_ack()
            case wire.ShutdownComplete():
                if self.state is StatusState.SHUTDOWN_ACK_SENT:
                    self._end(AssociationState.SHUTDOWN_COMP)
            case wire.Error():
                self._handle_error(chunk, now)
            case wire.BadChunk():
                if chunk.type in (ChunkType.HEARTBEAT_ACK, ChunkType.ERROR):
                    return True  # it asks for nothing, and tells nothing
                self._handle_bad_chunk(chunk)
                return False
            case wire.UnknownChunk():
                if chunk.report:
                    self._send_error(Tlv(Cause.UNRECOGNIZED_CHUNK, chunk.raw[:1024]))
                return not chunk.stop
            case _:
                pass  # INIT and COOKIE ECHO are the engine's
        return True

    def _send_error(self, cause: Tlv) -> None:
        """Have a cause go with the ERROR that answers a packet, if its own packet holds it.

        More is not reported: one packet is answered by one (RFC 5062 section 10.3).
        """
        size = len(cause.value) + 8
        room = self.paths.for_data().mtu - wire.HEADER_SIZE - 4
        if self.their_tag and self._reports_size + size <= room:
            self._reports.append(cause)
            self._reports_size += size

    def _handle_bad_chunk(self, chunk: wire.BadChunk) -> None:
        if chunk.type == ChunkType.DATA and chunk.reason == "no user data":
            self.abort(Tlv(Cause.NO_USER_DATA, chunk.raw[4:8]))
        elif chunk.type not in (ChunkType.INIT, ChunkType.INIT_ACK):
            self.abort(Tlv(Cause.PROTOCOL_VIOLATION, chunk.reason.encode()))

    def _handle_abort(self, chunk: wire.Abort) -> None:
        error = chunk.causes[0].type if chunk.causes else 0
        self._end(self._lost(), error, chunk.raw_causes)

    def _handle_error(self, chunk: wire.Error, now: float) -> None:
        for cause in chunk.causes:
            if cause.type == Cause.STALE_COOKIE:
                if self.state is StatusState.COOKIE_ECHOED:
                    self._handle_stale_cookie(now)
                return
            raw = wire.tlv(*cause)
            cost = len(raw) + EVENT_COST
            if self.unread.errors + cost <= self.parameters.max_error_bytes:
                self._outlet.report(RemoteError(association_id=self.id, error=cause.type, data=raw))

    # -- user data in (6.2) ---

    def _handle_data(
        self, data: wire.Data, path: Path | None, address: Address, now: float
    ) -> bool:
        """Take a DATA chunk in; return whether it is to be acknowledged."""
        inbound = self.inbound
        if inbound is None or self.state not in DATA_MAY_ARRIVE:
            return False
        before = inbound.cumulative
        self.unread.source = address
        try:
            news = inbound.arrive(data)
        except Violation as violation:
            self.abort(Tlv(Cause.PROTOCOL_VIOLATION, str(violation).encode()))
            return False
        if news and data.stream >= self.inbound_streams:
            self._send_error(Tlv(Cause.INVALID_STREAM, _STREAM_CAUSE.pack(data.stream, 0)))
        if not news or data.immediate or inbound.has_gaps or inbound.cumulative != before + 1:
            self._sack_now = True
        return True

    def _schedule_sack(self, path: Path | None, now: float) -> None:
        """Acknowledge a packet with user data: now, or when more have come, or after a while."""
        self._packets += 1
        if path is not None and path.confirmed:
            self._sack_path = path
        if self.parameters.autoclose:
            self._postpone_autoclose(now)
        if not self._acknowledging:
            # Section 5.1: the first is acknowledged at once.
            self._acknowledging = self._sack_now = True
        if self.state is StatusState.SHUTDOWN_SENT:
            # Section 9.2: the peer has not seen our SHUTDOWN yet.
            self._sack_now = True
            self._send_shutdown(now)
            assert self.inbound is not None
            if not self.released and self.inbound.cumulative != self._shutdown_tsn:
                self._shutdown_tsn = self.inbound.cumulative
                self._guard_shutdown(now)
        elif self._packets >= self.parameters.sack_frequency or not self.parameters.sack_delay:
            self._sack_now = True
        elif self._timers[SACK] == inf:
            self._timers[SACK] = now + self.parameters.sack_delay

    def taken(self, now: float) -> bool:
        """Tell the peer of the room that the program has made by taking messages.

        Returns whether there was so much to tell of that packets have left.
        """
        if self.inbound is None or not self.inbound.has_opened():
            return False
        self._sack_now = True
        self.flush(now)
        return True

    def _handle_forward_tsn(self, chunk: wire.ForwardTsn, path: Path | None) -> None:
        if self.inbound is None or self.state not in DATA_MAY_ARRIVE:
            return
        if not self.forward_tsn:
            # RFC 3758 section 3.3.2: who did not announce it treats it as unknown.
            raw = wire.forward_tsn_chunk(chunk.cumulative_tsn, chunk.streams)
            self._send_error(Tlv(Cause.UNRECOGNIZED_CHUNK, raw[:1024]))
            return
        self.unread.source = path.peer if path is not None else self.address_of("")
        self.inbound.skip_to(chunk.cumulative_tsn, chunk.streams)
        self._sack_now = True

    def _make_sack(self, space: int) -> bytes:
        inbound = self.inbound
        assert inbound is not None
        blocks = (space - wire.SACK_SIZE) // 4
        gaps = inbound.gaps(blocks)
        duplicates = inbound.duplicates[: blocks - len(gaps)]
        inbound.duplicates.clear()
        self._sack_now = False
        self._timers[SACK] = inf
        self._packets = 0
        return wire.sack_chunk(inbound.cumulative & MASK, inbound.advertise(), gaps, duplicates)

    # -- acknowledgements (6.2.1, 6.3, 7.2) ---

    def _handle_sack(self, sack: wire.Sack, now: float) -> None:
        if self.state not in DATA_MAY_LEAVE:
            return
        outbound = self.outbound
        cumulative = unwrap(sack.cumulative_tsn, outbound.cumulative)
        if cumulative < outbound.cumulative:
            return  # overtaken by a later one
        if not outbound.was_sent(cumulative):
            self._abort_for_unsent()
            return
        paths = self.paths.values()
        before: dict[Path, int] = {}
        earliest: dict[Path, SentChunk | None] = {}
        for path in paths:
            if path.flight:
                before[path] = path.flight
                earliest[path] = outbound.earliest_on(path)
        news, advanced, lost, reneged = outbound.sack(sack, cumulative, paths, now)
        for path, acked in news.items():
            path.acknowledged(acked, before.get(path, 0), advanced)
            self._count_answer(path, now)
        for path in paths:
            if path.fast_recovery and cumulative >= path.exit_point:
                path.fast_recovery = False
        highest = outbound.next_tsn - 1
        for path in lost:
            if not path.fast_recovery:
                self._retransmit_one = True  # section 7.2.4, 3: what is lost later waits for cwnd
            path.lost(highest)
        if outbound.probe is None or not self._probe_is_out(sack.rwnd):
            self._restart_t3(earliest, outbound.peek_marked() if lost else None, now)
            if before and not news:
                self._probe_after_refusal(before, sack.rwnd, now)
        if reneged:
            for path in paths:
                if path.flight and path.t3 == inf:
                    path.t3 = now + path.rto  # R4, where nothing was in flight
        if advanced and self._timers[T5] != inf:
            self._guard_shutdown(now)
        outbound.advance()
        if not outbound.outstanding:
            for path in before:
                path.t3 = inf
        self._after_acknowledgement(now)

    def _abort_for_unsent(self) -> None:
        self.abort(Tlv(Cause.PROTOCOL_VIOLATION, b"a TSN acknowledged that was not sent"))

    def _probe_is_out(self, rwnd: int) -> bool:
        """Whether a zero-window probe is still to be answered after a SACK."""
        self._window_told = True
        if self.outbound.judge_probe(rwnd):
            return True
        self._timers[WINDOW] = inf
        return False

    def _probe_after_refusal(self, in_flight: Iterable[Path], rwnd: int, now: float) -> None:
        """Wait for a window that was taken back as for any that is shut: it says nothing of T3."""
        for path in in_flight:
            if self.outbound.was_refused(path, rwnd):
                path.t3 = inf
                self._window_told = True
                self._window_wait = path.rto
                self._timers[WINDOW] = now + path.rto

    def _window_expired(self, now: float) -> None:
        """Probe a window that is shut: the SACK that opens it may have been lost (6.1 A).

        That says nothing about the network, unless no SACK answers.
        """
        outbound = self.outbound
        if self.state not in DATA_MAY_LEAVE or (outbound.probe is None and outbound.flight):
            return
        probe = outbound.probe
        if probe is None:
            outbound.probe_due = bool(outbound.queue)
            return
        if not self._window_told:
            self._count_error(probe.path, now)
            if self.ended:
                return
        outbound.mark(probe)
        probe.fast = True
        self._retransmit_one = True

    def _restart_t3(
        self, earliest: dict[Path, SentChunk | None], again: SentChunk | None, now: float
    ) -> None:
        """Section 6.3.2, R3, and section 7.2.4, 4, for paths on which data was in flight.

        Not for later chunks, which would let an early one wait for as long as others are
        acknowledged.
        """
        for path, chunk in earliest.items():
            if chunk is None or chunk.done or chunk is again:
                self._renew_t3(path, now)
            elif path.t3 == inf:
                path.t3 = now + path.rto  # R4

    def _renew_t3(self, path: Path, now: float) -> None:
        """Section 6.3.2, R2 and R3."""
        path.t3 = now + path.rto if self.outbound.waiting_on(path) else inf

    def _after_acknowledgement(self, now: float) -> None:
        if not self.outbound.empty:
            return
        for path in self.paths.values():
            path.t3 = inf
        if self.state is StatusState.SHUTDOWN_PENDING:
            self._enter_shutdown_sent(now)
        elif self.state is StatusState.SHUTDOWN_RECEIVED:
            self._enter_shutdown_ack_sent(now)
        elif self.dry_wanted:
            self._outlet.report(SenderDry(association_id=self.id))
            self.dry_wanted = False

    def _count_answer(self, path: Path, now: float) -> None:
        """The peer answered what was sent on a path (8.1, 8.2)."""
        self.error_count = 0
        self.silent = False
        if not (path.error_count or path.unreachable or path.potentially_failed):
            return
        change = self.paths.answered(path)
        if change is not None:
            self._report_path(path, change)
            path.schedule_heartbeat(now, self._outlet.fraction())

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
        self._report_failures()
        if not probing:
            self._count_error(path, now)
        if self.ended:
            return
        if path.search is not None and path.search.confirm(path.mtu):
            self._send_probe(path, path.search, now)
        if outbound.advanced > outbound.cumulative:
            outbound.forward_due = True
        self._retransmit_one = True

    # -- paths: failures, and which to use (6.4, 8.1, 8.2; RFC 7829) ---

    def _count_error(self, path: Path, now: float) -> None:
        change = self.paths.failed_once_more(path)
        if path.confirmed:
            self.error_count += 1
        if self.error_count > self.parameters.association_max_retrans:
            self._end(AssociationState.COMM_LOST)
        elif change is not None:
            self._report_path(path, change)
            if path.potentially_failed and len(self.paths) > 1:
                path.heartbeat_at = min(path.heartbeat_at, now)

    def make_primary(self, address: str) -> None:
        """Send new data to this address of the peer, while it works."""
        path = self.paths[address]
        self._primary_chosen = True
        if path is not self.primary:
            self.paths.primary = path
            self._report_path(path, PeerAddressState.ADDR_MADE_PRIM)

    def unreachable(self, address: str, now: float) -> None:
        """ICMP says that nobody takes packets there, and anybody may imitate it (section 10).

        A peer that is not reached at first is given up; later it is a reason to see whether the
        path works.
        """
        path = self.paths[address]
        if self.half_open:
            if address not in self._refused:
                self._refused.add(address)
                if self._refused >= self.paths.keys():
                    self._end(AssociationState.CANT_ASSOC)
                elif self.state is StatusState.COOKIE_WAIT:
                    self._send_init(now)
        elif self._life_asked:
            self._give_up_asking()
        elif not path.confirmed:
            path.error_count = path.max_retrans  # whoever is there is not this peer
            self._heartbeat_lost(path, now)
        elif path.heartbeat_deadline == inf:
            path.heartbeat_at = now

    # -- heartbeats (8.3) ---

    def request_heartbeat(self, path: Path, now: float) -> None:
        """Send a heartbeat on a path now."""
        self._heartbeat_due(path, now)
        self.flush(now)

    def _heartbeat_due(self, path: Path, now: float) -> None:
        if self.state not in DATA_MAY_LEAVE:
            path.heartbeat_at = inf
        elif path.timed_tsn is not None and path.usable:
            path.schedule_heartbeat(now, self._outlet.fraction())  # data tells as much
        else:
            self._send_heartbeat(path, now)

    def _send_heartbeat(self, path: Path, now: float) -> None:
        path.heartbeat_nonce = self._outlet.randomness(8)
        path.heartbeat_sent = now
        self._control.append((path, _heartbeat(path, path.heartbeat_nonce, now)))
        path.heartbeat_deadline = now + path.rto
        path.heartbeat_at = inf

    def _probe_due(self, now: float) -> None:
        """Probe an address that is not confirmed (5.4)."""
        if self.state not in DATA_MAY_LEAVE:
            return
        path, again = self.paths.next_probe(now, _PROBE_SIZE)
        if self.awaited and self._awaited_tries < _AWAITED_TRIES:
            self._awaited_tries += 1
            for address in self.awaited:
                self._ask_for(address, now)
            again = min(again, now + self.paths.for_data().rto)
        self._timers[PROBE] = again
        if path is not None:
            self._send_heartbeat(path, now)

    def _handle_heartbeat(self, chunk: wire.Heartbeat, path: Path | None) -> None:
        if not self.their_tag or path is None:
            return  # there is no tag to answer with, or nobody who is known to ask
        ack = wire.heartbeat_chunk(chunk.info, ack=True)
        # One packet is answered by no more than one (RFC 5062 section 10.3).
        if self._acks_size and self._acks_size + len(ack) > path.mtu - wire.HEADER_SIZE:
            return
        self._acks_size += len(ack)
        self._control.append((path, ack))

    def _handle_heartbeat_ack(self, chunk: wire.HeartbeatAck, now: float) -> None:
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
                self._send_probe(path, path.search, now)
            return
        if nonce != path.heartbeat_nonce:
            return
        path.heartbeat_nonce = b""
        path.heartbeat_deadline = inf
        path.measured(max(now - path.heartbeat_sent, 0.0))
        self.silent = False
        if self._life_asked:
            self._life_asked = 0
            self._life_shown_to = self._life_asked_for
            self._timers[LIFE] = inf
        if path.confirmed:
            self._count_answer(path, now)
        else:
            if (path.address, self.peer_port) in self._outlet.address_book.owners:
                return  # only one of the two can have the address
            self._confirm(path)
            self.error_count = 0
            self._report_path(path, PeerAddressState.ADDR_CONFIRMED)
        path.schedule_heartbeat(now, self._outlet.fraction())

    def _confirm(self, path: Path) -> None:
        self.paths.confirm(path)
        self._outlet.address_book.register(path.address, self, confirmed=True)

    def _heartbeat_lost(self, path: Path, now: float) -> None:
        path.heartbeat_deadline = inf
        path.heartbeat_nonce = b""
        path.back_off()
        self._count_error(path, now)
        if self.ended:
            return
        if not path.confirmed:
            if self._timers[PROBE] == inf:
                self._timers[PROBE] = now
            return
        path.schedule_heartbeat(now, self._outlet.fraction())
        if not path.usable:
            path.heartbeat_at = now  # the RTO has just passed

    # -- whether the peer is still there ---

    def ask_for_life(self, now: float, init_tag: int) -> None:
        """Have the peer show that it is there, because of an INIT with this tag.

        Somebody says that they are this peer and know nothing of the association (5.2).  That may
        be a lie, so the peer itself is asked, sooner and more often than by other heartbeats.  Its
        silence alone ends nothing: anybody can send an INIT, and links fail for some seconds.
        """
        if not self._life_asked and not self.half_open:
            self._life_asked_for = init_tag
            self._ask_for_life(now)
            self.flush(now)

    def has_shown_life_to(self, init_tag: int) -> bool:
        """Whether the peer was asked because of this INIT, which comes again, and is there."""
        return self._life_shown_to == init_tag

    def _ask_for_life(self, now: float) -> None:
        self._life_asked += 1
        wait = _LIFE_WAIT
        if self.state in DATA_MAY_LEAVE:
            for path in self.paths.values():
                if path.confirmed:
                    self._send_heartbeat(path, now)
                    wait = max(wait, path.srtt + 4 * path.rttvar)
        elif self.state is StatusState.SHUTDOWN_SENT:
            self._send_shutdown(now)
        else:
            self._send_shutdown_ack(now)
        self._timers[LIFE] = now + wait

    def _life_expired(self, now: float) -> None:
        if self._life_asked < _LIFE_TRIES:
            self._ask_for_life(now)
        else:
            self._give_up_asking()

    def _give_up_asking(self) -> None:
        self._life_asked = 0
        self._timers[LIFE] = inf
        self.silent = True

    # -- path MTU (7.3; RFC 8899) ---

    def _send_probe(self, path: Path, search: PathMtuSearch, now: float) -> None:
        """Send a packet of a size that may be too large (RFC 8899 section 6.2.1.2)."""
        if self.state not in DATA_MAY_LEAVE:
            search.stop()
            return
        nonce = self._outlet.randomness(8)
        packet = PacketBuilder(path)
        packet.add(_heartbeat(path, nonce, now))
        packet.add(wire.pad_chunk(packet.room + search.size - path.mtu))
        self._send_packet(packet)
        search.sent(nonce, now + max(path.rto, 1.0))  # PROBE_TIMER; not less (section 5.1.1)

    def _probe_lost(self, path: Path, search: PathMtuSearch, now: float) -> None:
        path.mtu = search.lost(path.mtu, now)
        if search.size:
            self._send_probe(path, search, now)

    # -- shutdown (9.2) ---

    def shutdown(self, now: float) -> None:
        """Start the graceful end."""
        match self.state:
            case StatusState.ESTABLISHED:
                self._enter(StatusState.SHUTDOWN_PENDING)
                self._begin_guard(now)
                if self.outbound.empty:
                    self._enter_shutdown_sent(now)
            case StatusState.COOKIE_WAIT | StatusState.COOKIE_ECHOED:
                self._end(AssociationState.CANT_ASSOC)
                return
            case StatusState.SHUTDOWN_RECEIVED:
                # The peer shuts down already, but may not take what is still to be sent.
                self._begin_guard(now)
            case _:
                pass
        self.flush(now)

    def _begin_guard(self, now: float) -> None:
        """Bound the time that a shutdown may take, from now on."""
        if self._shutdown_until == inf:
            self._shutdown_until = now + _LONGEST_SHUTDOWN
            self._guard_shutdown(now)

    def _guard_shutdown(self, now: float) -> None:
        """Bound the time that a shutdown may take without progress: T5-shutdown-guard (9.2)."""
        self._timers[T5] = min(now + 5 * self.parameters.rto_max, self._shutdown_until)

    def _enter_shutdown_sent(self, now: float) -> None:
        self._enter(StatusState.SHUTDOWN_SENT)
        assert self.inbound is not None
        self._shutdown_tsn = self.inbound.cumulative
        self._guard_shutdown(now)
        self._send_shutdown(now)

    def _enter_shutdown_ack_sent(self, now: float) -> None:
        self._enter(StatusState.SHUTDOWN_ACK_SENT)
        self._begin_guard(now)
        self._guard_shutdown(now)
        self._send_shutdown_ack(now)

    def _send_shutdown(self, now: float) -> None:
        assert self.inbound is not None
        path = self.paths.for_data()
        self._control.append((path, wire.shutdown_chunk(self.inbound.cumulative & MASK)))
        self._timers[T2] = now + path.rto

    def _send_shutdown_ack(self, now: float) -> None:
        path = self.paths.for_data()
        self._control.append((path, wire.chunk(ChunkType.SHUTDOWN_ACK)))
        self._timers[T2] = now + path.rto

    def _t2_expired(self, now: float) -> None:
        path = self.paths.for_data()
        path.back_off()
        self._count_error(path, now)
        if self.ended:
            return
        if self.state is StatusState.SHUTDOWN_SENT:
            self._send_shutdown(now)
        else:
            self._send_shutdown_ack(now)

    def _handle_shutdown(self, chunk: wire.Shutdown, now: float) -> None:
        if self.half_open:
            return
        outbound = self.outbound
        cumulative = unwrap(chunk.cumulative_tsn, outbound.cumulative)
        if not outbound.was_sent(cumulative):
            self._abort_for_unsent()
            return
        if cumulative > outbound.cumulative:
            for path in outbound.acknowledge(cumulative, now):
                self._count_answer(path, now)
                self._renew_t3(path, now)
            if outbound.probe is not None:
                self._probe_is_out(0)  # a SHUTDOWN says nothing of the window
            if self._timers[T5] != inf:
                self._guard_shutdown(now)
        match self.state:
            case StatusState.ESTABLISHED | StatusState.SHUTDOWN_PENDING:
                self._enter(StatusState.SHUTDOWN_RECEIVED)
                self._outlet.report(ShutdownReceived(association_id=self.id))
                if outbound.empty:
                    self._enter_shutdown_ack_sent(now)
            case StatusState.SHUTDOWN_RECEIVED:
                if outbound.empty:
                    self._enter_shutdown_ack_sent(now)
            case StatusState.SHUTDOWN_SENT:
                self._enter_shutdown_ack_sent(now)
            case StatusState.SHUTDOWN_ACK_SENT:
                self._send_shutdown_ack(now)
            case _:
                pass

    def _handle_shutdown_ack(self) -> None:
        if self.state in (StatusState.SHUTDOWN_SENT, StatusState.SHUTDOWN_ACK_SENT):
            self._send_alone(self.paths.for_data(), wire.shutdown_complete_chunk())
            self._end(AssociationState.SHUTDOWN_COMP)

    def repeat_shutdown_ack(self, now: float) -> None:
        """Send the SHUTDOWN ACK again: the peer has not seen it (9.2)."""
        self._send_shutdown_ack(now)
        self.flush(now)

    # -- the end ---

    def abort(self, *causes: Tlv) -> None:
        """End it at once, for these causes (9.1); the first counts."""
        self._send_abort(*causes)
        self._end(self._lost(), causes[0].type, b"".join([wire.tlv(*cause) for cause in causes]))

    def _send_abort(self, *causes: Tlv) -> None:
        if self.their_tag and self.paths:
            packet = PacketBuilder(self.paths.for_data())
            chunk = wire.abort_chunk(causes)
            if len(chunk) > packet.room:
                packet.enlarge(len(chunk))
            packet.add(chunk)
            self._send_packet(packet)

    def end_without_peer(self) -> None:
        """End it without a word to the peer, which knows nothing of it any more."""
        self._end(AssociationState.COMM_LOST)

    def _lost(self) -> AssociationState:
        """What an end without a shutdown is to the program."""
        return AssociationState.CANT_ASSOC if self.half_open else AssociationState.COMM_LOST

    def _end(self, outcome: AssociationState, error: int = 0, info: bytes = b"") -> None:
        if self.ended:
            return
        self.ended = True
        if outcome is AssociationState.CANT_ASSOC:
            unanswered = self._t1_count > self.parameters.max_init_retrans
            self.failure = errno.ETIMEDOUT if unanswered else errno.ECONNREFUSED
        self._enter(StatusState.CLOSED)
        self.outbound.fail_all(error)
        self._control.clear()
        self._report_change(outcome, error, info)
        self._report_failures()

    # -- restart and collision (5.2.4) ---

    def _new_tie_tags(self) -> tuple[int, int]:
        """They stand for our tags in cookies, which are no secret (1.3, 5.2.2)."""
        first, second = struct.unpack("!II", self._outlet.randomness(8))
        return (first, second)

    def restart(self, cookie: Cookie, now: float) -> None:
        """Action A: the peer has lost its state and begins anew."""
        self.our_tag = cookie.our_tag
        self.tie_tags = self._new_tie_tags()
        self.outbound.restart(cookie.our_tsn)
        self._report_failures()
        self._timers = [inf] * _TIMERS
        self._sack_now = False
        self._sack_path = None
        self._packets = 0
        self._acknowledging = False
        self._life_asked = 0
        self.silent = False
        self._shutdown_until = inf
        self._control.clear()
        route = Route(cookie.local, cookie.remote, cookie.udp_local, cookie.udp_remote)
        self.paths.begin_anew(route)
        self.awaited.clear()
        self._awaited_tries = 0
        self.told = []
        self._outlet.address_book.register(route.remote, self, confirmed=True)
        self.accept(cookie, now)
        self.establish(now, AssociationState.RESTART)

    def refuse_restart(self, route: Route, now: float) -> None:
        """Have a peer that begins anew wait for the end of the association (5.2.4, action A)."""
        where = self.paths.to_answer(self.paths.get(route.remote))
        self._send_shutdown_ack(now)
        cause = Tlv(Cause.COOKIE_WHILE_SHUTTING_DOWN, b"")
        self._control.append((where, wire.error_chunk([cause])))
        self.flush(now)

    def collide(self, cookie: Cookie, now: float) -> None:
        """Action B: both sides sent an INIT, and the peer's answer overtook."""
        self._timers[T1] = inf
        self.accept(cookie, now)
        if self.state is not StatusState.ESTABLISHED:
            self.establish(now)

    # -- packets out (6.1, 6.10) ---

    def _send_packet(self, packet: PacketBuilder) -> None:
        data = wire.seal(self._outlet.port, self.peer_port, self.their_tag, packet.chunks)
        self._outlet.transmit(data, packet.path.route, fragment=packet.fragment)

    def _send_alone(self, path: Path, chunk: bytes, tag: int | None = None) -> None:
        """Send a packet of one chunk; with another tag than the peer's, if one is given."""
        tag = self.their_tag if tag is None else tag
        data = wire.seal(self._outlet.port, self.peer_port, tag, [chunk])
        self._outlet.transmit(data, path.route)

    def enqueue(self, message: OutgoingMessage, now: float) -> None:
        """Take a message to be sent; raise BlockingIOError if there is no room."""
        outbound = self.outbound
        if not outbound.has_room():
            if message.priority is None or not outbound.make_room(
                message.priority, self.paths.for_data()
            ):
                raise BlockingIOError
            self._report_failures()
        outbound.enqueue(message)
        self.dry_wanted = True
        self._postpone_autoclose(now)

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
        may_leave = self.state in DATA_MAY_LEAVE
        if may_leave and (outbound.queue or outbound.marked or outbound.forward_due):
            self._flush_data(now)
            if outbound.failed:
                self._report_failures()
                self._after_acknowledgement(now)
        if self._sack_now and self.inbound is not None:
            path = self._sack_path or self.paths.for_data()
            sack = self._make_sack(path.mtu - wire.HEADER_SIZE)
            if not self._control:  # as with nearly every packet that brings data
                self._send_alone(path, sack)
                return
            behind = self._control[0][1][0] == ChunkType.COOKIE_ACK  # which has to be the first
            self._control.insert(1 if behind else 0, (path, sack))
        if self._control:
            self._flush_control()

    def _flush_control(self) -> None:
        while self._control:
            packet = PacketBuilder(self._control[0][0])
            self._bundle_control(packet)
            if not packet.chunks:  # larger than a packet: it goes alone
                chunk = self._control.pop(0)[1]
                packet.enlarge(len(chunk))
                packet.add(chunk)
            self._send_packet(packet)

    def _flush_data(self, now: float) -> None:
        outbound = self.outbound
        limits: dict[Path, int] = {}
        forced = self._retransmit_one
        self._retransmit_one = False
        usual = new_path = self.paths.for_data()
        while True:
            if outbound.addressed:
                new_path = self._path_of_next(usual)
            marked = outbound.peek_marked()
            path = self._path_again(marked) if marked is not None else new_path
            if path not in limits:
                limits[path] = self._burst_limit(path, now)
            # After a timeout one packet is to be acknowledged before the next leaves (6.3.3, E3).
            # A zero-window probe is alone in flight, too (6.1 A).
            narrow = (path.cwnd <= path.mtu and path.flight > 0) or outbound.probe is not None
            limit = 0 if narrow else limits[path]
            packet = self._fill_packet(path, marked, new_path, limit, forced, now)
            if packet is None:
                outbound.probe_due = False
                if outbound.window_shut:
                    outbound.window_shut = False
                    if self._timers[WINDOW] == inf:
                        self._window_wait = path.rto
                        self._timers[WINDOW] = now + path.rto
                return
            self._send_packet(packet)
            if packet.data:
                forced = False
                path.last_sent = now
                if outbound.probe is not None:
                    outbound.probe_due = False
                    self._window_told = False
                    self._window_wait = min(2 * self._window_wait, self.parameters.rto_max)
                    self._timers[WINDOW] = now + self._window_wait
                    return
                if self._timers[WINDOW] != inf:
                    self._timers[WINDOW] = inf  # the window has opened
                if path.t3 == inf:
                    path.t3 = now + path.rto
                search = path.search
                if search is not None and outbound.queue and search.wanted(path.mtu, now):
                    self._send_probe(path, search, now)

    def _fill_packet(
        self,
        path: Path,
        marked: SentChunk | None,
        new_path: Path,
        limit: int,
        forced: bool,
        now: float,
    ) -> PacketBuilder | None:
        """Fill one packet with what may leave on a path; return None if nothing may.

        Args:
          path: Where it goes.
          marked: The first chunk that is to be retransmitted, which chose the path.
          new_path: Where new data goes.
          limit: Bytes in flight below which user data may leave.
          forced: Whether a retransmission leaves whatever the limit (7.2.4, 3; 6.3.3, E3).
          now: Seconds.
        """
        outbound = self.outbound
        may_send = path.flight < limit or forced
        control = self._control or outbound.forward_due
        if not control and not (may_send and (marked is not None or outbound.queue)):
            return None
        packet = PacketBuilder(path)
        if may_send and marked is not None and len(marked.wire) > packet.room:
            # Made when packets could be larger: it goes alone, and IP may fragment it (7.3).
            packet.enlarge(len(marked.wire))
        elif control or self._sack_now or self._timers[SACK] != inf:
            self._bundle_before_data(packet, may_send, new_path, now)
        if may_send and marked is not None:
            self._bundle_retransmissions(packet, now)
            marked = outbound.peek_marked()
        # What is still marked did not fit, and goes before new data (6.1 C).
        if marked is None and path is new_path and path.flight < limit:
            self._bundle_new_data(packet, now)
        return packet if packet.chunks else None

    def _burst_limit(self, path: Path, now: float) -> int:
        """Bytes that may be in flight on a path when this occasion to send is over (6.1 D)."""
        outbound = self.outbound
        if path.flight == 0 and not outbound.probe_due and outbound.probe is None:
            path.idle(now)
        fragment = path.mtu - wire.HEADER_SIZE - wire.DATA_OVERHEAD
        return min(path.cwnd, path.flight + self.parameters.max_burst * fragment)

    def _bundle_control(self, packet: PacketBuilder) -> None:
        """Put in what waits for its path, as far as it fits."""
        rest: list[tuple[Path, bytes]] = []
        for where, chunk in self._control:
            if where is packet.path and len(chunk) <= packet.room:
                packet.add(chunk)
            else:
                rest.append((where, chunk))
        self._control = rest

    def _bundle_before_data(
        self, packet: PacketBuilder, may_send: bool, new_path: Path, now: float
    ) -> None:
        """Put in the chunks that stand before DATA; a SACK, if one is due and data may follow."""
        if self._control:
            self._bundle_control(packet)
        due = may_send and (self._sack_now or self._timers[SACK] != inf)
        if (
            due
            and packet.path is (self._sack_path or new_path)
            and self.inbound is not None
            and packet.room >= _SMALLEST_SACK
        ):
            packet.add(self._make_sack(packet.room))
        outbound = self.outbound
        if outbound.forward_due and self.forward_tsn and packet.room >= _SMALLEST_FORWARD_TSN:
            packet.add(outbound.forward_tsn(packet.room))
            outbound.forward_due = False
            if packet.path.t3 == inf:
                packet.path.t3 = now + packet.path.rto

    def _bundle_retransmissions(self, packet: PacketBuilder, now: float) -> None:
        """Put in what is to be retransmitted, as far as it fits."""
        outbound = self.outbound
        while (chunk := outbound.next_marked(packet.room, now)) is not None:
            packet.add(chunk.wire)
            packet.data += 1
            outbound.sent_again(chunk, packet.path, now)
            if chunk is outbound.probe:
                break

    def _bundle_new_data(self, packet: PacketBuilder, now: float) -> None:
        """Put in new data, as far as it fits."""
        outbound = self.outbound
        path = packet.path
        immediate = self.state is _SHUTDOWN_PENDING
        # Nagle: less than a packet waits until all is acknowledged.
        nagle = not self.parameters.no_delay and outbound.flight and not immediate
        if nagle and outbound.waits_below(packet.room):
            return
        # The inner loop of sending: what `PacketBuilder.add` does, without a call for each chunk.
        chunks, room = packet.chunks, packet.room
        before = len(chunks)
        while (chunk := outbound.next_new(room, path, now, immediate=immediate)) is not None:
            chunks.append(chunk.wire)
            room -= len(chunk.wire)
            if room < _SMALLEST_DATA:
                break
            if outbound.addressed and self._path_of_next(path) is not path:
                break
        packet.room = room
        packet.data += len(chunks) - before

    def _path_of_next(self, usual: Path) -> Path:
        """Return where the next message goes: to its own address, while that works."""
        queue = self.outbound.queue
        address = queue[0].info.address if queue else None
        if address is None:
            return self.paths.for_data() if queue else usual
        path = self.paths.get(host_of(address))
        return path if path is not None and path.usable else self.paths.for_data()

    def _path_again(self, chunk: SentChunk) -> Path:
        """Where to retransmit a chunk: what SACKs told of went by a path that works (6.4)."""
        path = chunk.path
        if len(self.paths) == 1 or (chunk.fast and path.usable):
            return path
        return self.paths.for_retransmission(path)

    # -- what it says of itself ---

    def path_info(self, path: Path) -> PeerAddressInfo:
        """Return one path as programs see it."""
        return PeerAddressInfo(
            address=path.peer,
            state=path.state,
            primary=path is self.primary,
            cwnd=path.cwnd,
            srtt=round(path.srtt * 1000),
            rto=round(path.rto * 1000),
            mtu=path.mtu,
        )

    def status(self) -> Status:
        """Return the association as programs see it."""
        assert self.primary is not None
        return Status(
            association_id=self.id,
            state=self.state,
            rwnd=self.outbound.rwnd,
            unackdata=len(self.outbound.outstanding),
            penddata=self.inbound.missing() if self.inbound is not None else 0,
            instrms=self.inbound_streams,
            outstrms=self.outbound_streams,
            fragmentation_point=self.outbound.payload_limit(self.primary),
            primary=self.path_info(self.primary),
        )


# What is done when a timer expires, in the order of the timers.
_EXPIRED: Final = (
    EngineAssociation._sack_expired,
    EngineAssociation._t1_expired,
    EngineAssociation._t5_expired,
    EngineAssociation._t2_expired,
    EngineAssociation._autoclose_expired,
    EngineAssociation._probe_due,
    EngineAssociation._life_expired,
    EngineAssociation._window_expired,
)


def _merged(skips: list[wire.ForwardTsn]) -> wire.ForwardTsn:
    """Return one FORWARD TSN that says what several of a packet say."""
    if len(skips) == 1:
        return skips[0]
    first = skips[0].cumulative_tsn
    last = max(unwrap(skip.cumulative_tsn, first) for skip in skips)
    return wire.ForwardTsn(last & MASK, [pair for skip in skips for pair in skip.streams])


def _heartbeat(path: Path, nonce: bytes, now: float) -> bytes:
    return wire.heartbeat_chunk(_HEARTBEAT.pack(now, nonce) + path.address.encode())


def extensions(parameters: Parameters, forward_tsn: bool) -> list[Tlv]:
    """Return what an INIT or INIT ACK of ours says beyond RFC 9260."""
    listed: list[Tlv] = []
    if forward_tsn:
        listed.append(Tlv(ParameterType.FORWARD_TSN_SUPPORTED, b""))
    if parameters.adaptation_indication is not None:
        value = parameters.adaptation_indication.to_bytes(4, "big")
        listed.append(Tlv(ParameterType.ADAPTATION_INDICATION, value))
    return listed
