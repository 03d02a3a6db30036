"""One association: its states, and what each chunk means to it (RFC 9260 sections 4, 5, 8, 9).

Which association a packet is of, and what is answered without one, stands in `engine`.  The rooms
that an association consists of ask nothing of it:

    initiation                     INIT and COOKIE ECHO, until the peer answers
    inbound, acknowledging         the peer's user data, and the SACKs for it
    reconfiguration                streams that begin again, and that are added
    outbound, recovery, bundling   ours: what is acknowledged, what is lost, what leaves when
    paths, heartbeats              the peer's addresses, and whether they work
    address_changes                addresses of both ends that come and go

The names of methods say what they do: `_handle_` takes what the peer sent, `_send_` puts a chunk on
its way and does nothing else, `_enter_` changes the state.
"""

from __future__ import annotations

import errno
import logging
import struct
from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from .._log import logger, transport, whose
from .._options import PeerAddressInfo, Status, StatusState
from .._values import (
    AdaptationIndication,
    Address,
    AssociationChange,
    AssociationState,
    AssociationStatistics,
    AuthenticationChange,
    AuthenticationState,
    PeerAddressState,
    ReconfigurationRequest,
    RemoteError,
    SenderDry,
    ShutdownReceived,
)
from . import wire
from .account import EVENT_COST
from .acknowledging import Acknowledgements
from .address_changes import AddressChanges
from .addresses import local_for
from .arrivals import Unread
from .authentication import Authentication, AuthOffer, read_offer
from .bundling import Bundler, PacketBuilder
from .cookie import Cookie
from .extensions import ASCONF_TYPES, Extension, agreed, offered
from .heartbeats import Heartbeats, Life
from .inbound import Inbound, Violation
from .initiation import Initiation
from .interleaved import InterleavedInbound
from .offer import Offer, auth_offer, init_parameters
from .outbound import Outbound, OutgoingMessage
from .outlet import Outlet
from .parameters import Parameters
from .path import Path, Route, read_heartbeat_info, transport_address
from .path_mtu import PathMtuSearch
from .paths import Paths
from .reconfiguration import Reconfiguration
from .recovery import Recovery
from .states import (
    ADDRESSES_MAY_CHANGE,
    DATA_MAY_ARRIVE,
    DATA_MAY_LEAVE,
    HALF_OPEN,
    MAY_RECONFIGURE,
    SHUTTING_DOWN,
    TRANSITIONS,
)
from .timers import AUTOCLOSE, PROBE, T1, T2, T4, T5, stopped
from .tsn import MASK, unwrap
from .wire import Cause, ChunkType, Data, Tlv

_BURSTS: Final = 4
_BURST: Final = 4  # packets, where there is no bound
# To look one up in its enum costs 80 ns.
_SHUTDOWN_PENDING: Final = StatusState.SHUTDOWN_PENDING
_SHUTDOWN_SENT: Final = StatusState.SHUTDOWN_SENT
_IGNORED_IF_BAD: Final = frozenset({ChunkType.HEARTBEAT_ACK, ChunkType.ERROR}) | ASCONF_TYPES
_STREAM_CAUSE = struct.Struct("!HH")
_ECT_0: Final = 2  # of a packet that routers may mark (RFC 3168 section 5)

_MOST_KEY_EVENTS: Final = 2**13
"""Bytes of unread events beyond which no further change of a key is reported."""
_LONGEST_SHUTDOWN: Final = 3600.0
"""Seconds after which a shutdown ends in an abort, even if it makes progress."""


class EngineAssociation:
    """An association as the engine keeps it: states, timers, paths, and both directions of data.

    Attributes:
      authentication: What AUTH chunks are looked at with; None if the peer knows none.
      guarded: Whether the peer has to authenticate user data or SACKs.
      ended: Whether it is over.  The engine then forgets it.
      extensions: Those that are in use, a sum of `Extension`.
      failure: The errno for which it did not come up, 0 if it did, or may yet.
      reconfiguration: Requests for streams to begin again, or to be added; None before the first.
      stranded: Whether there is no confirmed address left, so that nothing but heartbeats, and
        answers to ASCONFs, may leave (RFC 5061 section 5.3, F1 and F14).
      changes: What changes of addresses both ends ask for; None if one of them takes no ASCONF.
    """

    __slots__ = (
        "_first_tsns",
        "_other_control",
        "_other_packets",
        "_outlet",
        "_primary_chosen",
        "_reports",
        "_reports_size",
        "_sacks",
        "_shutdown_tsn",
        "_shutdown_until",
        "acks",
        "adaptation",
        "authentication",
        "bundler",
        "changes",
        "dry_wanted",
        "ended",
        "error_count",
        "extensions",
        "failure",
        "guarded",
        "heartbeats",
        "id",
        "inbound",
        "inbound_streams",
        "initiation",
        "life",
        "our_tag",
        "outbound",
        "outbound_streams",
        "parameters",
        "paths",
        "peer_port",
        "reconfiguration",
        "recovery",
        "released",
        "room_wanted",
        "state",
        "stranded",
        "tie_tags",
        "timers",
        "unread",
    )

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
        self.id: int = id
        self.peer_port: int = peer_port
        self.our_tag: int = our_tag
        self.tie_tags: tuple[int, int] = self._new_tie_tags()
        self.parameters: Parameters = parameters
        self.state: StatusState = StatusState.CLOSED
        self.ended: bool = False
        self.failure: int = 0
        self.outbound_streams: int = parameters.outbound_streams
        self.inbound_streams: int = 0
        self.error_count: int = 0
        self.extensions: int = 0
        self.changes: AddressChanges | None = None
        self.authentication: Authentication | None = None
        self.guarded: bool = False
        self.adaptation: int | None = None
        self.unread: Unread = outlet.arrivals.open(id)
        self.unread.context = parameters.receive_context
        self.dry_wanted: bool = True
        self.stranded: bool = False
        self.room_wanted: bool = False  # somebody waits until it takes another message
        self.released: bool = False  # its program has gone

        self.timers: list[float] = stopped()
        self.paths: Paths = Paths(parameters, peer_port)
        self.outbound: Outbound = Outbound(parameters, our_tsn)
        self.inbound: Inbound | None = None
        self.acks: Acknowledgements = Acknowledgements(parameters, self.timers)
        self.recovery: Recovery = Recovery(id, parameters, self.paths, self.outbound, self.timers)
        self.bundler: Bundler = Bundler(
            outlet, parameters, peer_port, self.paths, self.outbound, self.acks, self.recovery
        )
        self.heartbeats: Heartbeats = Heartbeats(outlet, self.paths, self.bundler, self.timers)
        self.life: Life = Life(self.timers)
        self.reconfiguration: Reconfiguration | None = None
        self.initiation: Initiation = Initiation(
            parameters, self.paths, self.outbound, self.bundler, self.timers
        )

        self._first_tsns = (our_tsn, 0)  # ours, and the peer's
        self._other_packets = 0  # of the peer's, which `acks` has not counted
        self._sacks = 0  # in them
        self._other_control = 0  # chunks in them, which are neither DATA nor SACK
        self._primary_chosen = False  # by the program
        self._shutdown_until = inf  # when a shutdown is over, however well it goes
        self._shutdown_tsn = 0  # the peer's cumulative TSN when the guard was renewed last
        self._reports: list[Tlv] = []  # causes for an ERROR that answers the packet at hand
        self._reports_size = 0

    # -- states ---

    @property
    def half_open(self) -> bool:
        """Whether it is still being set up."""
        return self.state in HALF_OPEN

    @property
    def their_tag(self) -> int:
        """The verification tag that the peer wants to see; 0 if it is not known."""
        return self.bundler.their_tag

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
        first = min(self.timers)
        for path in self.paths.values():
            deadline = path.deadline()
            if deadline < first:
                first = deadline
        return first

    def handle_timeout(self, now: float) -> None:
        """Do what has fallen due."""
        timers = self.timers
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
        self.acks.due = True

    def _t5_expired(self, now: float) -> None:
        self.abort(Tlv(Cause.USER_INITIATED_ABORT, b"shutdown takes too long"))

    def _autoclose_expired(self, now: float) -> None:
        self.shutdown(now)

    def __str__(self) -> str:
        host = next(iter(self.paths), None)
        return whose(self.id, None if host is None else self.address_of(host))

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

    def _report_path(self, path: Path, change: PeerAddressState) -> None:
        self._outlet.report_path(self.id, path, change)

    def _report_failures(self) -> None:
        """Report the messages that were given up."""
        self._outlet.report_failures(self.id, self.outbound.failed)

    def address_of(self, host: str) -> Address:
        """Return a transport address of the peer."""
        return transport_address(host, self.peer_port)

    # -- set-up (5.1) ---

    def add_path(self, route: Route, *, confirmed: bool) -> Path:
        """Add one more address of the peer."""
        self._outlet.address_book.register(route.remote, self, confirmed=confirmed)
        return self.paths.add(route, confirmed=confirmed)

    def _remove_path(self, path: Path) -> None:
        self.paths.remove(path)
        self.stranded = self.paths.stranded

    def start(self, now: float) -> None:
        """Send the INIT."""
        assert self.primary is not None
        routes = [path.route for path in self.paths.values()]
        self.paths.told = self._outlet.address_book.told_by(routes)
        extensions = offered(self.parameters)
        init = wire.Init(
            self.our_tag,
            self.parameters.first_promise,
            self.parameters.outbound_streams,
            self.parameters.inbound_streams,
            self.outbound.next_tsn & MASK,
            [
                *map(wire.address_parameter, self.paths.told),
                *init_parameters(
                    self.parameters,
                    extensions,
                    auth_offer(self.parameters, extensions, self._outlet.randomness),
                ),
            ],
        )
        self._enter(StatusState.COOKIE_WAIT)
        self.initiation.start(init, now)

    def _t1_expired(self, now: float) -> None:
        if not self.initiation.may_try_again():
            self._end(AssociationState.CANT_ASSOC)
            return
        if logger.isEnabledFor(logging.DEBUG):
            cookie_wait = self.state is StatusState.COOKIE_WAIT
            logger.debug("%s: %s is sent again", self, "INIT" if cookie_wait else "COOKIE ECHO")
        if self.state is StatusState.COOKIE_WAIT:
            self.initiation.send_init(now)
        else:
            assert self.primary is not None
            self._mark_all(now)
            self.initiation.send_cookie(self.primary, [], now)

    def _mark_all(self, now: float) -> None:
        """Have user data that went with a COOKIE ECHO go with the next one."""
        for path in self.paths.values():
            self.outbound.mark_all_on(path, now)
        self._report_failures()

    def _handle_init_ack(self, ack: wire.InitAck, route: Route, now: float) -> None:
        """Section 5.1 C."""
        if self.state is not StatusState.COOKIE_WAIT:
            return
        if not ack.tag:
            # Section 3.3.3: there is no tag of theirs to answer with.
            path = self.paths.to_answer(self.paths.get(route.remote))
            self.bundler.send_alone(path.route, wire.abort_chunk(reflected=True), tag=self.our_tag)
            self._end(AssociationState.CANT_ASSOC)
            return
        if ack.tag == self.our_tag:
            return  # whoever sends our own packets back is no peer
        self.bundler.their_tag = ack.tag
        offer = Offer(ack, self.parameters)
        refusal = self.initiation.refusal(ack, offer)
        if refusal is not None:
            self._send_abort(refusal)
            self._end(AssociationState.CANT_ASSOC)
            return
        assert offer.cookie is not None
        self._take_up(offer, route, now)
        self._enter(StatusState.COOKIE_ECHOED)
        path = self.paths[route.remote]
        if not path.confirmed:
            path = self.paths.for_data()  # only the peer's word says that it is there (5.4)
        elif not self._primary_chosen:
            self.paths.primary = path
        self.initiation.echo(offer.cookie, path, offer.unrecognized, now)

    def _take_up(self, offer: Offer, route: Route, now: float) -> None:
        """Work by what the peer's INIT ACK says."""
        parameters = self.parameters
        self.outbound_streams = min(parameters.outbound_streams, offer.inbound_streams)
        self.inbound_streams = min(parameters.inbound_streams, offer.outbound_streams)
        self.outbound.rwnd = self.outbound.largest_rwnd = offer.rwnd
        self.outbound.limit_streams(self.outbound_streams)
        if route.remote not in self.paths:
            self.add_path(route, confirmed=False)
        self._leave_from_known(route)
        for address in offer.addresses:
            self._add_listed(address, route, now)
        assert self.initiation.init is not None
        self._use(
            agreed(offer.extensions, parameters),
            read_offer(self.initiation.init.parameters),
            offer.authentication,
        )
        self._begin_inbound(offer.tsn)
        self._begin_changes(self.initiation.init.tsn, offer.tsn)
        if offer.adaptation is not None:
            self.adaptation = offer.adaptation

    def _use(self, extensions: int, ours: AuthOffer | None, theirs: AuthOffer | None) -> None:
        """Use the extensions that both ends offer."""
        self.extensions = extensions
        interleaving = extensions & Extension.INTERLEAVING != 0
        skips = Extension.I_FORWARD_TSN if interleaving else Extension.FORWARD_TSN
        self.outbound.may_skip = extensions & skips != 0
        self.outbound.interleave(interleaving)
        self.outbound.late_numbers = extensions & Extension.LATE_NUMBERS != 0
        authentication: Authentication | None = None
        if ours is not None and theirs is not None:
            authentication = Authentication(ours, theirs, self.parameters)
        self.authentication = authentication
        self.guarded = authentication is not None and authentication.guards_user_data
        protects = authentication is not None and bool(authentication.wanted)
        self.bundler.authentication = authentication if protects else None
        self.bundler.ecn = _ECT_0 if extensions & Extension.ECN else 0
        self.outbound.reserve = 0 if authentication is None else authentication.reserve

    def _begin_changes(self, our_tsn: int, their_tsn: int) -> None:
        """Let addresses change if both ends offer that; both begin with these TSNs."""
        if not self.extensions & Extension.ASCONF:
            self.changes = None
            return
        self.changes = AddressChanges(
            self,
            self._outlet,
            self.paths,
            self.outbound,
            self.acks,
            self.bundler,
            self.heartbeats,
            self.timers,
            (our_tsn, their_tsn),
        )
        if self.authentication is not None:
            # Whatever the peer has listed (RFC 5061 sections 4.1.1 and 4.1.2).
            wanted = self.authentication.wanted
            if not ASCONF_TYPES.issubset(wanted):
                self.authentication.wanted = bytes(sorted(ASCONF_TYPES.union(wanted)))
            self.bundler.authentication = self.authentication

    def _begin_inbound(self, tsn: int) -> None:
        # What was delivered before a restart stays in `unread`, and takes room until it is taken.
        before = self.inbound
        self._first_tsns = (self._first_tsns[0], tsn)
        if self.outbound.interleaving:
            self.inbound = InterleavedInbound(
                self.parameters,
                tsn,
                self.inbound_streams,
                self.unread,
                late_numbers=self.outbound.late_numbers,
            )
        else:
            self.inbound = Inbound(self.parameters, tsn, self.inbound_streams, self.unread)
        if before is not None:
            self.inbound.count_on(before)
        self.acks.begin(self.inbound)

    def _leave_from_known(self, route: Route) -> None:
        """Have all packets leave from addresses that the peer knows.

        It knows those that it was told of, and the one where the route begins that the handshake
        has taken.  It would end the association for a packet from another.
        """
        for path in list(self.paths.values()):
            local = path.route.local
            if local == route.local or local in self.paths.told:
                continue
            if (":" in local) == (":" in route.local):
                path.route = path.route._replace(local=route.local, local_udp=route.local_udp)
            else:
                self._outlet.address_book.forget(path.address, self)
                self._remove_path(path)

    def _add_listed(self, address: str, route: Route, now: float) -> None:
        """Add an address that the peer has listed, if it may be the peer's and is reached.

        An address that is confirmed in another association stays there while that one lives.
        """
        book = self._outlet.address_book
        same_port = self.peer_port == self._outlet.port
        if address in self.paths or not book.is_credible(address, route, same_port=same_port):
            return
        local = local_for(address, route, self.paths.told)
        if len(self.paths) + len(self.paths.beyond) >= self.parameters.max_peer_addresses:
            return
        if local is None:
            if address not in self.paths.beyond:
                self.paths.beyond += (address,)
            return
        key = address, self.peer_port
        owner = book.owners.get(key)
        if owner is None:
            other = Route(local, address, route.local_udp, route.remote_udp)
            self.add_path(other, confirmed=False)
        elif address not in self.heartbeats.awaited:
            self.heartbeats.awaited[address] = b""

    def gain(self, route: Route, now: float, *, confirmed: bool) -> None:
        """Add an address that another association had, and that this peer lists and sends from."""
        del self.heartbeats.awaited[route.remote]
        path = self.add_path(route, confirmed=confirmed)
        if confirmed:
            self._report_path(path, PeerAddressState.ADDR_CONFIRMED)
            self.heartbeats.schedule(path, now)
        else:
            self.heartbeats.probe_soon(now)

    def accept(self, cookie: Cookie, now: float) -> None:
        """Work by the cookie of a COOKIE ECHO (5.1 D)."""
        self.bundler.their_tag = cookie.their_tag
        self.outbound_streams = cookie.outbound_streams
        self.inbound_streams = cookie.inbound_streams
        self.outbound.rwnd = self.outbound.largest_rwnd = cookie.their_rwnd
        self.outbound.limit_streams(self.outbound_streams)
        ours, theirs = cookie.auth_offers or (None, None)
        self._use(cookie.extensions, ours, theirs)
        self._begin_inbound(cookie.their_tsn)
        self._begin_changes(cookie.our_tsn, cookie.their_tsn)
        self.adaptation = cookie.adaptation
        first = Route(cookie.local, cookie.remote, cookie.udp_local, cookie.udp_remote)
        path = self.paths.get(first.remote)
        if path is None:
            self.add_path(first, confirmed=True)
        elif not path.confirmed:
            self._confirm(path)  # the INIT ACK has arrived there
        book = self._outlet.address_book
        told = bool(self.paths.told)
        if not told and book.changed_at < cookie.created:  # else the INIT ACK named others
            self.paths.told = book.told_to(first)
        if self.state is StatusState.COOKIE_WAIT:
            self._leave_from_known(first)
        for address in cookie.addresses:
            self._add_listed(address, first, now)

    def acknowledge_cookie(self, route: Route, now: float, *, authenticated: bool) -> None:
        """Answer a COOKIE ECHO where it came from, if that is one of the peer's addresses.

        It stands behind an AUTH chunk if it is authenticated.
        """
        self._other_control += 2 if authenticated else 1
        path = self.paths.get(route.remote)
        chunk = wire.chunk(ChunkType.COOKIE_ACK)
        if path is not None and not path.confirmed:
            # Section 5.4: nothing goes to an unconfirmed address without a HEARTBEAT.
            self.bundler.control.append((path, chunk))
            self.heartbeats.probe_with_answer(path, now)
        else:
            self.bundler.control.append((path or self.paths.for_data(), chunk))

    def establish(self, now: float, event: AssociationState = AssociationState.COMM_UP) -> None:
        """Enter ESTABLISHED and say so."""
        self._enter(StatusState.ESTABLISHED)
        self.timers[T1] = inf
        self.error_count = 0
        self._report_change(event)
        if self.adaptation is not None:
            self._outlet.report(
                AdaptationIndication(association_id=self.id, adaptation_ind=self.adaptation)
            )
        if self.authentication is None:
            self._report_key(0, AuthenticationState.NO_AUTH)
        self._report_failures()
        for path in self.paths.values():
            if path.flight and path.t3 == inf:
                path.t3 = now + path.rto  # data went with the COOKIE ECHO
            if path.confirmed:
                self.heartbeats.schedule(path, now)
            else:
                self.heartbeats.probe_soon(now)
        if self.heartbeats.awaited:
            self.heartbeats.probe_soon(now)
        self._postpone_autoclose(now)
        if self.changes is not None:
            self._tell_of_changes(self.changes, now)

    def _postpone_autoclose(self, now: float) -> None:
        if self.parameters.autoclose:
            self.timers[AUTOCLOSE] = now + self.parameters.autoclose

    def _handle_stale_cookie(self, now: float) -> None:
        """Section 5.2.6: ask for a cookie that lives longer, a few times."""
        if not self.initiation.may_ask_for_longer():
            self._end(AssociationState.CANT_ASSOC, Cause.STALE_COOKIE)
            return
        self._mark_all(now)
        self._enter(StatusState.COOKIE_WAIT)
        self.bundler.their_tag = 0
        self.bundler.control.clear()  # there is no tag to send it with
        self.initiation.ask_for_longer(now)

    # -- packets in ---

    def admit(
        self, chunks: Sequence[wire.Chunk], kinds: Sequence[int], route: Route
    ) -> list[wire.Chunk]:
        """Return those chunks of a packet that may be processed (RFC 4895 section 6.3).

        Args:
          chunks: All of them, or the last ones.
          kinds: Their types.
          route: Where they came from.
        """
        authentication = self.authentication
        if authentication is None:
            return list(chunks)
        key = authentication.peer_key
        admitted = authentication.admit(chunks, kinds)
        self._other_control += authentication.authenticated
        if authentication.unsupported >= 0 and self.their_tag:
            value = authentication.unsupported.to_bytes(2, "big")
            error = wire.error_chunk([Tlv(Cause.UNSUPPORTED_HMAC, value)])
            path = self.paths.to_answer(self.paths.get(route.remote))
            self.bundler.send_alone(path.route, error)
        if authentication.peer_key != key:
            self._report_key(authentication.peer_key, AuthenticationState.NEW_KEY, key)
        return admitted

    def deactivate_key(self, key: int) -> None:
        """Never send with a shared key again; raise ValueError if that cannot be."""
        self.parameters.shared_keys = self.parameters.shared_keys.deactivate(key)
        # What is retransmitted is authenticated anew, by the active key.
        self._report_key(key, AuthenticationState.FREE_KEY)

    def _report_key(self, key: int, change: AuthenticationState, other: int = 0) -> None:
        # Packets that come again, one of each key, would change it without end.
        if not self.parameters.report_keys or self.unread.events > _MOST_KEY_EVENTS:
            return
        self._outlet.report(
            AuthenticationChange(
                association_id=self.id, keynumber=key, altkeynumber=other, indication=change
            )
        )

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
            path.route = route if self.changes is None else self.changes.way_back(path, route)
        address = path.peer if path is not None else self.address_of("")
        if not packet.plain:
            self.heartbeats.begin_packet()
            if self.reconfiguration is not None:
                self.reconfiguration.begin_packet()
            if self.changes is not None:
                self.changes.begin_packet()
        data = False
        # Of many SACKs and FORWARD TSNs in a packet, each would be worked off for nothing but the
        # last: a peer could have us do that thousands of times.
        sack: wire.Sack | None = None
        skips: list[wire.ForwardTsn] | None = None
        for chunk in packet.chunks:
            kind = type(chunk)
            if kind is Data:
                if skips is not None:  # they come first, as the DATA may be far behind them
                    self._handle_forward_tsn(_merged(skips), path)
                    skips = None
                data |= self._handle_data(chunk, path, address, now)  # type: ignore[arg-type]
            elif kind is wire.Sack:
                sack = chunk  # type: ignore[assignment]
                self._sacks += 1
            elif kind is wire.ForwardTsn or kind is wire.IForwardTsn:
                self._other_control += 1
                if self._is_agreed(kind is wire.IForwardTsn):
                    if skips is None:
                        skips = []
                    skips.append(chunk)  # type: ignore[arg-type]
            elif kind is wire.IData:
                if self._is_agreed(True):
                    if skips is not None:
                        self._handle_forward_tsn(_merged(skips), path)
                        skips = None
                    data |= self._handle_data(chunk, path, address, now)  # type: ignore[arg-type]
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
            self.acks.packet_arrived(path, now)
            if self.parameters.autoclose or self.state is _SHUTDOWN_SENT:
                self._acknowledge_further(now)
        else:
            self._other_packets += 1
        if self._reports:
            if self.their_tag:  # a stale cookie has it forgotten
                error = wire.error_chunk(self._reports)
                self.bundler.control.append((paths.to_answer(path), error))
            self._reports.clear()
            self._reports_size = 0
        if self.reconfiguration is not None:
            self.reconfiguration.data_taken(now)
            self._end_if_violated()
        self.flush(now)

    def _handle_control(
        self, chunk: wire.Chunk, route: Route, path: Path | None, now: float
    ) -> bool:
        """Process one chunk; return whether to go on with the packet."""
        self._other_control += 1
        match chunk:
            case wire.InitAck():
                self._handle_init_ack(chunk, route, now)
            case wire.Heartbeat():
                if path is not None and self.their_tag:
                    self.heartbeats.answer(chunk, path)
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
            case wire.Reconfig():
                self._handle_reconfig(chunk, path, now)
            case wire.Asconf():
                self._handle_asconf(chunk, route, now)
            case wire.AsconfAck():
                self._handle_asconf_ack(chunk, route, now)
            case wire.Ecne() | wire.Cwr():
                if not self.extensions & Extension.ECN:
                    return False  # as nothing of the kind was agreed on, it is unknown
                if isinstance(chunk, wire.Cwr):
                    self.acks.peer_has_slowed_down(chunk.lowest_tsn)
                elif self.state in DATA_MAY_LEAVE:
                    self._handle_ecne(chunk)
            case wire.BadChunk():
                if chunk.type == ChunkType.RE_CONFIG:
                    self._refuse_reconfig()
                    return True
                if chunk.type == ChunkType.ASCONF and self.changes is None:
                    self._send_error(Tlv(Cause.UNRECOGNIZED_CHUNK, chunk.raw[:1024]))
                if chunk.type in _IGNORED_IF_BAD:
                    return True  # it asks for nothing, and tells nothing
                self._handle_bad_chunk(chunk)
                return False
            case wire.Auth():
                return False  # as nothing of the kind was agreed on, it is unknown
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
        if chunk.type in (ChunkType.DATA, ChunkType.I_DATA) and chunk.reason == "no user data":
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
            if cause.type == Cause.UNRECOGNIZED_CHUNK and cause.value[:1] == b"\xc1":
                self._give_up_changes()
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
        if (
            not news
            or data.flags & wire.IMMEDIATE
            or inbound.has_gaps
            or inbound.cumulative != before + 1
        ):
            self.acks.due = True
        return True

    def _is_agreed(self, interleaving: bool) -> bool:
        """Whether chunks for interleaved messages, or those for others, were agreed on.

        The association ends if they were not (RFC 8260 sections 2.2.3 and 2.3.1).
        """
        if interleaving == self.outbound.interleaving:
            return True
        if self.inbound is not None and self.state in DATA_MAY_ARRIVE:
            said = b"I-DATA is not agreed on" if interleaving else b"I-DATA is agreed on"
            self.abort(Tlv(Cause.PROTOCOL_VIOLATION, said))
        return False

    def _acknowledge_further(self, now: float) -> None:
        """Do what a packet with user data asks for beside a SACK."""
        if self.parameters.autoclose:
            self._postpone_autoclose(now)
        if self.state is _SHUTDOWN_SENT:
            # Section 9.2: the peer has not seen our SHUTDOWN yet.
            self.acks.due = True
            self._send_shutdown(now)
            assert self.inbound is not None
            if not self.released and self.inbound.cumulative != self._shutdown_tsn:
                self._shutdown_tsn = self.inbound.cumulative
                self._guard_shutdown(now)

    def taken(self, now: float) -> bool:
        """Tell the peer of the room that the program has made by taking messages.

        Returns whether there was so much to tell of that packets have left.
        """
        if self.inbound is None or not self.inbound.has_opened():
            return False
        self.acks.due = True
        self.flush(now)
        return True

    def _handle_forward_tsn(self, chunk: wire.ForwardTsn, path: Path | None) -> None:
        if self.inbound is None or self.state not in DATA_MAY_ARRIVE:
            return
        if not self.outbound.may_skip:
            # RFC 3758 section 3.3.2: who did not announce it treats it as unknown.
            make = (
                wire.i_forward_tsn_chunk
                if isinstance(chunk, wire.IForwardTsn)
                else wire.forward_tsn_chunk
            )
            raw = make(chunk.cumulative_tsn, chunk.streams)
            self._send_error(Tlv(Cause.UNRECOGNIZED_CHUNK, raw[:1024]))
            return
        self.unread.source = path.peer if path is not None else self.address_of("")
        self.inbound.skip_to(chunk.cumulative_tsn, chunk.streams)
        self.acks.due = True

    # -- acknowledgements (6.2.1, 6.3, 7.2) ---

    def _handle_sack(self, sack: wire.Sack, now: float) -> None:
        if self.state not in DATA_MAY_LEAVE:
            return
        outbound = self.outbound
        cumulative = unwrap(sack.cumulative_tsn, outbound.cumulative)
        if cumulative < outbound.cumulative:
            return  # overtaken by a later one
        if not outbound.was_sent(cumulative):
            if self.reconfiguration is None or not self.reconfiguration.renumbered:
                self._abort_for_unsent()
            return
        answered, advanced = self.recovery.take_sack(sack, cumulative, now)
        for path in answered:
            self._count_answer(path, now)
        if advanced and self.timers[T5] != inf:
            self._guard_shutdown(now)
        self._after_acknowledgement(now)

    def packet_was_marked(self, packet: wire.Packet) -> None:
        """Note that a router has marked a packet, which is still to be received (RFC 3168)."""
        if self.extensions & Extension.ECN and self.state in DATA_MAY_ARRIVE:
            self.acks.packet_was_marked(packet.chunks)

    def _handle_ecne(self, chunk: wire.Ecne) -> None:
        """RFC 4960, appendix A."""
        if not self.recovery.take_ecne(chunk.lowest_tsn):
            return
        cwr = self.paths.for_data(), wire.cwr_chunk(chunk.lowest_tsn)
        control = self.bundler.control
        if control and control[-1][1][0] == ChunkType.CWR:
            control[-1] = cwr  # one answers all of a packet
        else:
            control.append(cwr)

    def _abort_for_unsent(self) -> None:
        self.abort(Tlv(Cause.PROTOCOL_VIOLATION, b"a TSN acknowledged that was not sent"))

    def _window_expired(self, now: float) -> None:
        if self.state in DATA_MAY_LEAVE:
            failed = self.recovery.window_expired()
            if failed is not None:
                self._count_error(failed, now)

    def _after_acknowledgement(self, now: float) -> None:
        if not self.outbound.empty:
            return
        self.outbound.rest()
        self.recovery.all_is_acknowledged()
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
        self.life.silent = False
        if not path.error_count:
            return
        told = not path.potentially_failed or self.parameters.expose_potentially_failed
        change = self.paths.answered(path)
        if change is not None:
            if told:
                self._report_path(path, change)
            self.heartbeats.schedule(path, now)

    def _t3_expired(self, path: Path, now: float) -> None:
        """Section 6.3.3."""
        failed = self.recovery.t3_expired(path, now)
        if self.outbound.marked and logger.isEnabledFor(logging.DEBUG):
            logger.debug(
                "%s: retransmission to %s after a timeout; RTO %.3f s",
                self,
                transport(path.peer),
                path.rto,
            )
        self._report_failures()
        if failed:
            self._count_error(path, now)
        # Packets that got lost may have been too large.
        lost = not self.ended and self.outbound.marked
        if lost and path.search is not None and path.search.confirm(path.mtu):
            self.bundler.send_mtu_probe(path, path.search, now)

    # -- paths: failures, and which to use (6.4, 8.1, 8.2; RFC 7829) ---

    def _count_error(self, path: Path, now: float) -> None:
        change = self.paths.failed_once_more(path)
        if path.confirmed or self.stranded:
            self.error_count += 1
        if self.error_count > self.parameters.association_max_retrans or (
            self.stranded and all(one.unreachable for one in self.paths.values())
        ):
            self._end(AssociationState.COMM_LOST)
            return
        if change is not None:
            if not path.potentially_failed or self.parameters.expose_potentially_failed:
                self._report_path(path, change)
            if path.potentially_failed and path.heartbeats and len(self.paths) > 1:
                path.heartbeat_at = min(path.heartbeat_at, now)
        primary = self.paths.switch_over(path)
        if primary is not None:
            self._report_path(primary, PeerAddressState.ADDR_MADE_PRIM)

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
            if address in self.initiation.refused:
                return
            if self.initiation.refused_everywhere(address):
                self._end(AssociationState.CANT_ASSOC)
            elif self.state is StatusState.COOKIE_WAIT:
                self.initiation.send_init(now)
        elif self.life.in_question:
            self.life.give_up()
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

    def ping(self, path: Path, answered: Callable[[float], None], now: float) -> Callable[[], None]:
        """Have a function called with the round trip of the heartbeat under way, or of a new one.

        Returns what takes the request back.
        """
        if not path.heartbeat_nonce and self.state in DATA_MAY_LEAVE:
            self.heartbeats.send(path, now)
            self.flush(now)
        return self.heartbeats.tell(path, answered)

    def _heartbeat_due(self, path: Path, now: float) -> None:
        if self.state not in DATA_MAY_LEAVE:
            path.heartbeat_at = inf
        else:
            self.heartbeats.send_if_idle(path, now)

    def _probe_due(self, now: float) -> None:
        if self.state in DATA_MAY_LEAVE or self.stranded:  # nothing else leads to a graceful end
            self.heartbeats.probe_due(now)

    def _handle_heartbeat_ack(self, chunk: wire.HeartbeatAck, now: float) -> None:
        address, nonce = read_heartbeat_info(chunk.info)
        path = self.paths.get(address)
        if path is None:
            return
        if path.search is not None and nonce == path.search.nonce:
            path.mtu = path.search.acknowledged(path.mtu, now)
            self._go_on_searching(path, path.search, now)
            return
        if not self.heartbeats.take_answer(path, nonce, now):
            return
        self.life.shown()
        if path.confirmed:
            self._count_answer(path, now)
        else:
            if (path.address, self.peer_port) in self._outlet.address_book.owners:
                return  # only one of the two can have the address
            self._confirm(path)
            self.error_count = 0
            self._report_path(path, PeerAddressState.ADDR_CONFIRMED)
            self._ask_peer(now)
        self.heartbeats.schedule(path, now)

    def _confirm(self, path: Path) -> None:
        self.paths.confirm(path)
        self.stranded = False
        self._outlet.address_book.register(path.address, self, confirmed=True)

    def _heartbeat_lost(self, path: Path, now: float) -> None:
        self.heartbeats.lost(path)
        self._count_error(path, now)
        if self.ended:
            return
        if not path.confirmed:
            if self.timers[PROBE] == inf:
                self.heartbeats.probe_soon(now)
            return
        self.heartbeats.schedule(path, now)
        if not path.usable and path.heartbeats:
            path.heartbeat_at = now  # the RTO has just passed

    # -- addresses that change (RFC 5061) ---

    def add_local(self, address: str, now: float) -> None:
        """Tell the peer of one more address of ours, if it can be told."""
        changes = self.changes
        if changes is None or self.state not in ADDRESSES_MAY_CHANGE:
            return
        if changes.ask_to_add(address):
            self._ask_peer(now)
            self.flush(now)

    def remove_local(self, address: str, now: float) -> None:
        """Give up an address of ours, once the peer knows; if it cannot be told, keep it."""
        changes = self.changes
        may_ask = self.state in ADDRESSES_MAY_CHANGE
        if changes is not None and changes.ask_to_delete(address, may_ask):
            self._ask_peer(now)
            self.flush(now)

    def ask_for_primary(self, address: str, now: float) -> bool:
        """Ask the peer to send to an address of ours; return whether it can be asked."""
        if self.changes is None or not self.changes.ask_for_primary(address):
            return False
        self._ask_peer(now)
        self.flush(now)
        return True

    def lasting_addresses(self) -> list[str]:
        """Return our addresses as the peer knows them once it has heard of all changes."""
        changes = self.changes
        return self.paths.local_addresses() if changes is None else changes.lasting_addresses()

    def is_leaving(self, address: str) -> bool:
        """Whether an address of ours is being deleted, so that no ABORT to it counts (5.3.1)."""
        return self.changes is not None and self.changes.is_leaving(address)

    def may_send_unknown(self, route: Route) -> bool:
        """Whether the peer may send by a route although it has no path from there.

        It may not know yet that we have given up the only address from which we reach it, or have
        no path to it yet for one that is being added (5.3, F4).
        """
        return self.changes is not None and (
            route.remote in self.paths.beyond or self.changes.is_leaving(route.local)
        )

    def is_named(self, packet: wire.Packet) -> bool:
        """Whether an ASCONF of a packet, from an address unknown, names the peer (5.2, D2)."""
        return self.changes is not None and self.changes.is_named(packet)

    def _tell_of_changes(self, changes: AddressChanges, now: float) -> None:
        """Tell the peer how our addresses have changed while the association was set up."""
        added, removed = changes.unknown_to_peer()
        for address in added:
            self.add_local(address, now)
        for address in removed:
            self.remove_local(address, now)

    def _ask_peer(self, now: float) -> None:
        """Send the next request that may be sent, if none is outstanding."""
        if self.changes is not None and self.state in ADDRESSES_MAY_CHANGE:
            self.changes.proceed(now)
            self.stranded = self.paths.stranded

    def _asconf_expired(self, now: float) -> None:
        """T4 has expired (5.1, B1 to B5)."""
        changes = self.changes
        if changes is None or self.state not in ADDRESSES_MAY_CHANGE:
            return
        failed = changes.expired()
        if failed is not None:
            self._count_error(failed, now)
        if not self.ended:
            changes.send_again(now)

    def _handle_asconf(self, chunk: wire.Asconf, route: Route, now: float) -> None:
        if self.changes is None:
            raw = wire.asconf_chunk(chunk.serial, chunk.address, chunk.requests)
            self._send_error(Tlv(Cause.UNRECOGNIZED_CHUNK, raw[:1024]))
        elif self.state in ADDRESSES_MAY_CHANGE:
            self.changes.take(chunk, route, now)
            self.stranded = self.paths.stranded

    def _handle_asconf_ack(self, ack: wire.AsconfAck, route: Route, now: float) -> None:
        changes = self.changes
        if changes is None or self.state not in ADDRESSES_MAY_CHANGE:
            return
        if changes.is_illegal(ack):
            self.abort(Tlv(Cause.ILLEGAL_ASCONF_ACK, b""))
            return
        taken, answered = changes.take_ack(ack, route, now)
        if answered is not None:
            self._count_answer(answered, now)
        if taken:
            self._ask_peer(now)

    def _give_up_changes(self) -> None:
        """The peer takes no ASCONF after all (5.1, A9)."""
        self.changes = None
        self.extensions &= ~Extension.ASCONF
        self.timers[T4] = inf

    # -- whether the peer is still there ---

    def ask_for_life(self, now: float, init_tag: int) -> None:
        """Have the peer show that it is there, because of an INIT with this tag (`Life`)."""
        if not self.life.in_question and not self.half_open:
            self.life.question(init_tag)
            self._ask_for_life(now)
            self.flush(now)

    def _ask_for_life(self, now: float) -> None:
        asked: list[Path] = []
        if self.state in DATA_MAY_LEAVE:
            asked = [path for path in self.paths.values() if path.confirmed]
            for path in asked:
                self.heartbeats.send(path, now)
        elif self.state is StatusState.SHUTDOWN_SENT:
            self._send_shutdown(now)
        else:
            self._send_shutdown_ack(now)
        self.life.asked(asked, now)

    def _life_expired(self, now: float) -> None:
        if self.life.may_ask_again():
            self._ask_for_life(now)

    # -- path MTU (7.3; RFC 8899) ---

    def _probe_lost(self, path: Path, search: PathMtuSearch, now: float) -> None:
        path.mtu = search.lost(path.mtu, now)
        self._go_on_searching(path, search, now)

    def _go_on_searching(self, path: Path, search: PathMtuSearch, now: float) -> None:
        if self.state not in DATA_MAY_LEAVE:
            search.stop()
        elif search.size:
            self.bundler.send_mtu_probe(path, search, now)

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
        self.timers[T5] = min(now + 5 * self.parameters.rto_max, self._shutdown_until)

    def _enter_shutdown_sent(self, now: float) -> None:
        self._end_requests()
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
        self.bundler.control.append((path, wire.shutdown_chunk(self.inbound.cumulative & MASK)))
        self.timers[T2] = now + path.rto

    def _send_shutdown_ack(self, now: float) -> None:
        path = self.paths.for_data()
        self.bundler.control.append((path, wire.chunk(ChunkType.SHUTDOWN_ACK)))
        self.timers[T2] = now + path.rto

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
            for path in self.recovery.take_cumulative(cumulative, now):
                self._count_answer(path, now)
            if self.timers[T5] != inf:
                self._guard_shutdown(now)
        match self.state:
            case StatusState.ESTABLISHED | StatusState.SHUTDOWN_PENDING:
                self._end_requests()
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
            self.bundler.send_alone(self.paths.for_data().route, wire.shutdown_complete_chunk())
            self._end(AssociationState.SHUTDOWN_COMP)

    def repeat_shutdown_ack(self, now: float) -> None:
        """Send the SHUTDOWN ACK again: the peer has not seen it (9.2)."""
        self._send_shutdown_ack(now)
        self.flush(now)

    # -- the end ---

    def abort(self, *causes: Tlv) -> None:
        """End it at once, for these causes (9.1); the first counts."""
        self._send_abort(*causes)
        self._end(
            self._lost(), int(causes[0].type), b"".join([wire.tlv(*cause) for cause in causes])
        )

    def _send_abort(self, *causes: Tlv) -> None:
        if self.their_tag and self.paths:
            packet = PacketBuilder(self.paths.for_data(), self.bundler.auth_size)
            chunk = wire.abort_chunk(causes)
            if len(chunk) > packet.room:
                packet.enlarge(len(chunk))
            packet.add(chunk)
            self.bundler.send_packet(packet)

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
            unanswered = self.initiation.unanswered
            self.failure = errno.ETIMEDOUT if unanswered else errno.ECONNREFUSED
        self._enter(StatusState.CLOSED)
        self.outbound.fail_all(error)
        self._end_requests()
        self.bundler.control.clear()
        self.changes = None  # it knows the association
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
        self._end_requests()
        self.reconfiguration = None
        self._first_tsns = (cookie.our_tsn, 0)
        self._report_failures()
        self.timers[:] = stopped()
        self.life.begin_anew()
        self._shutdown_until = inf
        self.bundler.control.clear()
        route = Route(cookie.local, cookie.remote, cookie.udp_local, cookie.udp_remote)
        self.paths.begin_anew(route)
        self.stranded = False
        self.heartbeats.begin_anew()
        self._outlet.address_book.register(route.remote, self, confirmed=True)
        self.accept(cookie, now)
        self.establish(now, AssociationState.RESTART)

    def refuse_restart(self, route: Route, now: float) -> None:
        """Have a peer that begins anew wait for the end of the association (5.2.4, action A)."""
        where = self.paths.to_answer(self.paths.get(route.remote))
        self._send_shutdown_ack(now)
        cause = Tlv(Cause.COOKIE_WHILE_SHUTTING_DOWN, b"")
        self.bundler.control.append((where, wire.error_chunk([cause])))
        self.flush(now)

    def collide(self, cookie: Cookie, now: float) -> None:
        """Action B: both sides sent an INIT, and the peer's answer overtook."""
        self.timers[T1] = inf
        self.accept(cookie, now)
        if self.state is not StatusState.ESTABLISHED:
            self.establish(now)

    # -- streams that begin again, or are added (RFC 6525) ---

    def reconfigure(
        self, request: ReconfigurationRequest, answered: Callable[[int], None], now: float
    ) -> Callable[[], bool]:
        """Ask the peer for something; return what takes it back unless it is on its way.

        ``answered`` is called with the `ReconfigurationResult`.
        """
        take_back = self._reconfiguration().ask(request, answered, now)
        self.flush(now)
        return take_back

    def _reconfiguration(self) -> Reconfiguration:
        if self.reconfiguration is None:
            assert self.inbound is not None
            self.reconfiguration = Reconfiguration(
                self.id,
                self.our_tag,
                self._outlet,
                self.parameters,
                self.paths,
                self.outbound,
                self.inbound,
                self.bundler,
                self.timers,
                self._first_tsns,
                (self.outbound_streams, self.inbound_streams),
            )
        return self.reconfiguration

    def knows_reconfiguration(self) -> bool:
        """Whether both ends know RFC 6525."""
        return self.extensions & Extension.RECONFIG != 0

    def may_reconfigure(self) -> bool:
        """Whether the peer may be asked for something now, and may ask."""
        return self.knows_reconfiguration() and self.state in MAY_RECONFIGURE

    def _handle_reconfig(self, chunk: wire.Reconfig, path: Path | None, now: float) -> None:
        if not self.may_reconfigure():
            return
        reconfiguration = self._reconfiguration()
        answered = reconfiguration.take(chunk, path, now)
        if answered is not None:
            self._count_answer(answered, now)
        self._take_streams(reconfiguration)
        if self.state is _SHUTDOWN_PENDING:
            self._after_acknowledgement(now)  # what was held back may all have been given up
        if chunk.requests and not reconfiguration.renumbered:
            # Section 5.2.1.  After a reset of the association it would overtake our response.
            self.acks.due = True

    def _end_if_violated(self) -> None:
        """End the association if chunks that waited for a reset contradict one another."""
        inbound = self.inbound
        if inbound is not None and inbound.violation and not self.ended:
            self.abort(Tlv(Cause.PROTOCOL_VIOLATION, inbound.violation.encode()))

    def _refuse_reconfig(self) -> None:
        """Section 3.1."""
        if self.may_reconfigure():
            self._send_error(Tlv(Cause.PROTOCOL_VIOLATION, b"RE-CONFIG"))

    def _take_streams(self, reconfiguration: Reconfiguration) -> None:
        """Take over how many streams there are now."""
        self.outbound_streams = reconfiguration.outbound_streams
        self.inbound_streams = reconfiguration.inbound_streams

    def _go_on_reconfiguring(self, reconfiguration: Reconfiguration, now: float) -> None:
        """Do what waits for data to be acknowledged, if it is."""
        if self.state in MAY_RECONFIGURE and reconfiguration.proceed(now):
            self._after_acknowledgement(now)
            self.flush(now)
        if self.bundler.control and self.acks.pending:
            self.acks.due = True  # what the peer has outstanding may stand in its way

    def _reconfig_expired(self, now: float) -> None:
        if self.reconfiguration is not None and self.state in MAY_RECONFIGURE:
            failed = self.reconfiguration.expired(now)
            if failed is not None:
                self._count_error(failed, now)

    def _end_requests(self) -> None:
        """End all requests of ours: the peer answers none any more."""
        if self.reconfiguration is not None:
            self.reconfiguration.give_up()
            self._report_failures()

    # -- packets out (6.1, 6.10) ---

    def enqueue(self, message: OutgoingMessage, now: float) -> None:
        """Take a message to be sent; raise BlockingIOError if there is no room."""
        outbound = self.outbound
        if not outbound.has_room():
            if not outbound.make_room(message, self.paths.for_data()):
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
        return queued >= _BURSTS * (self.parameters.max_burst or _BURST) * path.mtu

    def flush(self, now: float) -> None:
        """Put all that may leave now into packets: control first, then retransmissions, then new
        data (6.10), as far as windows allow (6.1)."""
        if self.ended:
            return
        if self.stranded:
            self.bundler.drop_unfit()
            if self.bundler.control:
                self.bundler.send_control(with_sack=False)
            return
        outbound = self.outbound
        if (
            outbound.queue or outbound.marked or outbound.forward_due
        ) and self.state in DATA_MAY_LEAVE:
            self.bundler.send_data(now, immediate=self.state is _SHUTDOWN_PENDING)
            if outbound.failed:
                self._report_failures()
                self._after_acknowledgement(now)
        if self.reconfiguration is not None:
            self._go_on_reconfiguring(self.reconfiguration, now)
        if self.acks.due or self.bundler.control:
            self.bundler.send_control()

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

    def statistics(self) -> AssociationStatistics:
        """Return what has passed between the association and its peer, as programs see it."""
        inbound, outbound, bundler = self.inbound, self.outbound, self.bundler
        chunks = bundler.chunks + bundler.alone
        return AssociationStatistics(
            packets_sent=bundler.packets + bundler.alone,
            packets_received=self.acks.packets + self._other_packets,
            data_chunks_sent=outbound.chunks,
            data_chunks_received=0 if inbound is None else inbound.chunks,
            control_chunks_sent=chunks - outbound.chunks - outbound.retransmitted,
            control_chunks_received=self._sacks + self._other_control,
            sacks_sent=self.acks.sent,
            sacks_received=self._sacks,
            retransmitted=outbound.retransmitted,
            gaps=outbound.gap_blocks,
            duplicates=0 if inbound is None else inbound.duplicate_chunks,
            out_of_order=0 if inbound is None else inbound.overtaking_chunks,
            heartbeats_sent=self.heartbeats.sent,
            heartbeats_answered=self.heartbeats.answered,
            max_rto=round(max([path.max_rto for path in self.paths.values()], default=0.0) * 1000),
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
    EngineAssociation._reconfig_expired,
    EngineAssociation._asconf_expired,
)


def _merged(skips: list[wire.ForwardTsn]) -> wire.ForwardTsn:
    """Return one FORWARD TSN, or I-FORWARD-TSN, that says what several of a packet say."""
    if len(skips) == 1:
        return skips[0]
    first = skips[0].cumulative_tsn
    last = max(unwrap(skip.cumulative_tsn, first) for skip in skips)
    merged = wire.IForwardTsn if isinstance(skips[0], wire.IForwardTsn) else wire.ForwardTsn
    return merged(last & MASK, [pair for skip in skips for pair in skip.streams])
