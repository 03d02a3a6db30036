"""An SCTP endpoint without sockets, clock or tasks: packets and time in, packets and events out.

    engine = Engine(2905, ["192.0.2.1"])
    engine.receive_packet(data, route, now)        what came
    for packet in engine.packets_to_send(): ...    what has to leave
    engine.next_deadline(), engine.handle_timeout(now)
    engine.receive(limit)                          messages and events, for the program

Which association a packet is of is decided here, and what is answered to packets of none: the
handshake's first half, which keeps no state (RFC 9260 section 5.1), its collisions (5.2), and what
is out of the blue (8.4).
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import ipaddress
import math
import os
import secrets
import struct
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import NamedTuple

from .._options import Status, StatusState
from .._values import (
    Arrival,
    AssociationChange,
    FailedFragment,
    Message,
    Notification,
    Piece,
    RemoteError,
    SenderDry,
    SendInfo,
)
from . import wire
from .association import EngineAssociation, extensions
from .cookie import FORWARD_TSN, Cookie, CookieJar
from .deadlines import Deadlines
from .outbound import OutgoingMessage
from .parameters import Parameters
from .path import Route
from .wire import Cause, ChunkType, ParameterType, Tlv

_MASK = 2**32 - 1
_ALONE = frozenset({wire.Init, wire.InitAck, wire.ShutdownComplete})


class Outgoing(NamedTuple):
    """A packet that has to leave; ``fragment`` says that IP may fragment it."""

    data: bytes
    route: Route
    tos: int
    fragment: bool


class Engine:
    """See the module's docstring."""

    def __init__(
        self,
        port: int,
        addresses: Sequence[str],
        *,
        parameters: Parameters | None = None,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """An endpoint of this port and these local addresses.

        Args:
          port: 1 to 65535.
          addresses: Local IP addresses that peers are told of; with one or none, only the address
            that a packet leaves from is theirs to know.
          parameters: What new associations start with; they get a copy.
          randomness: Gives so many random bytes; another source makes a run repeatable.
        """
        self.port = port
        self.addresses: list[str] = list(addresses)
        self.parameters: Parameters = parameters or Parameters()
        self.randomness = randomness
        self.listening = False
        self.tos = 0
        self.associations: dict[int, EngineAssociation] = {}
        self._by_peer: dict[tuple[str, int], EngineAssociation] = {}
        self._next_id = 1
        self._jar = CookieJar(randomness)
        self._out: list[Outgoing] = []
        self._events: deque[Arrival] = deque()
        self._own_events: dict[int, deque[Arrival]] = {}  # of associations that were peeled off
        self._news: set[int | None] = set()  # queues in which something new is
        self._unread: dict[int, int] = {}  # bytes that associations left which have ended
        self._unread_bytes = 0
        self._failures: dict[int, int] = {}  # errnos of such that did not come up
        self._deadlines = Deadlines(lambda id: self.associations[id].deadline())
        # Our tags that are used up, with the peer's port, and until when a cookie may name them.
        self._retired_tags: dict[tuple[int, int], float] = {}
        self._now = 0.0
        self._replies = 0.0
        self._replies_at = 0.0

    # -- for programs ---

    def connect(
        self, routes: Sequence[Route], port: int, now: float, parameters: Parameters | None = None
    ) -> int:
        """Send an INIT to one peer.

        Args:
          routes: One for each address of the peer, in the order in which they are tried.
          port: The peer's.
          now: Seconds.
          parameters: For this association alone.

        Returns:
          The association's id.

        Raises:
          OSError: EISCONN or EALREADY, there is one with that peer.
        """
        self._now = now
        for route in routes:
            other = self._by_peer.get((route.remote, port))
            if other is not None:
                number = errno.EALREADY if other.half_open else errno.EISCONN
                raise OSError(number, os.strerror(number))
        association = self._new(port, self._tag(port), self._number(), parameters)
        for route in routes:
            association.add_path(route, confirmed=True)
        association.start(now)
        self._reschedule(association)
        return association.id

    def send(
        self,
        id: int,
        data: bytes,
        info: SendInfo,
        now: float,
        *,
        retransmissions: int | None = None,
        priority: int | None = None,
    ) -> None:
        """Take one message whole.

        Args:
          id: The association's.
          data: One byte at least.
          info: How to send it.
          now: Seconds.
          retransmissions: Give the message up where it would have to be retransmitted more often
            (RFC 7496 section 3.1); needs a peer that knows FORWARD TSN.
          priority: Give the message up where there is no room for one with a lower number (RFC 7496
            section 3.2).

        Raises:
          OSError: EPIPE, there is no such association, or it takes no more; EINVAL, no such stream,
            or no data.
          BlockingIOError: there is no room.
        """
        self.queue(id, data, info, now, retransmissions=retransmissions, priority=priority)
        self.flush(id, now)

    def queue(
        self,
        id: int,
        data: bytes,
        info: SendInfo,
        now: float,
        *,
        retransmissions: int | None = None,
        priority: int | None = None,
    ) -> None:
        """Take one message; `flush` lets it go.  Several that are queued share packets."""
        association = self._association(id)
        if association.shutting_down:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        if not data or not 0 <= info.stream < association.outbound_streams:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        expires = now + info.lifetime / 1000 if info.lifetime else inf
        message = OutgoingMessage(data, info, expires, retransmissions, priority)
        association.enqueue(message, now)

    def flush(self, id: int, now: float) -> None:
        """Let what was queued leave, as far as windows allow."""
        self._now = now
        association = self.associations.get(id)
        if association is not None:
            association.flush(now)
            self._reschedule(association)

    def shutdown(self, id: int, now: float) -> None:
        """Start the graceful end (section 9.2)."""
        self._now = now
        association = self._association(id)
        association.shutdown(now)
        self._reschedule(association)

    def abort(self, id: int, reason: bytes, now: float, cause: int = 12) -> None:
        """End it at once (section 9.1)."""
        self._now = now
        association = self._association(id)
        association.abort(now, cause, reason)
        self._reschedule(association)

    def request_heartbeat(self, id: int, address: str, now: float) -> None:
        """Send a heartbeat there now (section 8.3)."""
        association = self._association(id)
        association.request_heartbeat(association.paths[address], now)
        self._reschedule(association)

    def tell_if_dry(self, id: int) -> None:
        """Report an association that has nothing to send and nothing unacknowledged."""
        association = self._association(id)
        if association.outbound.empty:
            self.report(SenderDry(association_id=id))

    def set_primary(self, id: int, address: str) -> None:
        """Send to this address of the peer (RFC 6458 section 8.1.9)."""
        self._association(id).make_primary(address)

    def status(self, id: int) -> Status:
        """The state of an association; OSError if there is none."""
        return self._association(id).status()

    def receive(self, limit: int, now: float, id: int | None = None) -> list[Arrival]:
        """Take messages and events, in the order in which they came; room is made for others.

        Args:
          limit: At the most.
          now: Seconds.
          id: Those of this association, which was peeled off.
        """
        events = self._events if id is None else self._own_events[id]
        taken: list[Arrival] = []
        freed: dict[int, int] = {}
        while events and len(taken) < limit:
            arrival = events.popleft()
            taken.append(arrival)
            message = arrival if type(arrival) is Message else getattr(arrival, "message", None)
            if message is not None:
                association = self.associations.get(message.association_id)
                if association is not None:
                    association.taken(len(message.data), now)
                    freed[association.id] = 1
            elif type(arrival) is RemoteError:
                association = self.associations.get(arrival.association_id)
                if association is not None:
                    association.error_taken(arrival)
            elif type(arrival) is AssociationChange:
                self._read_to_its_end(arrival.association_id)
        for id in freed:
            self._reschedule(self.associations.get(id))
        return taken

    def has_events(self, id: int | None = None) -> bool:
        """Whether `receive` would return something."""
        return bool(self._events if id is None else self._own_events.get(id))

    def unread(self, id: int | None = None) -> int:
        """How many messages and events `receive` could return."""
        return len(self._events if id is None else self._own_events.get(id, ()))

    def take_news(self) -> set[int | None]:
        """Whose messages and events have come since the last time: as `has_events` is asked."""
        news, self._news = self._news, set()
        return news

    def peel_off(self, id: int) -> None:
        """Give an association's messages and events a queue of their own.

        Raises:
          OSError: EINVAL, it has ended.
        """
        if id not in self.associations:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        own: deque[Arrival] = deque()
        rest: deque[Arrival] = deque()
        for arrival in self._events:
            (own if _association_of(arrival) == id else rest).append(arrival)
        self._events = rest
        self._own_events[id] = own

    def drop_events(self, id: int | None = None) -> None:
        """Nobody will take them any more."""
        if id is None:
            self._events.clear()
            for id in [id for id in self._unread if id not in self._own_events]:
                self._read_to_its_end(id)
        else:
            self._own_events.pop(id, None)
            self._failures.pop(id, None)
            self._read_to_its_end(id)

    def _read_to_its_end(self, id: int) -> None:
        """If an association has ended: how it did comes behind all that it left."""
        self._unread_bytes -= self._unread.pop(id, 0)

    # -- time and packets ---

    def next_deadline(self) -> float | None:
        """When `handle_timeout` has to be called; None for never."""
        deadline = self._deadlines.earliest()
        return None if deadline == inf else deadline

    def handle_timeout(self, now: float) -> None:
        """Do what has fallen due by now."""
        self._now = now
        while (id := self._deadlines.due(now)) is not None:
            association = self.associations[id]
            association.handle_timeout(now)
            self._reschedule(association)

    def packets_to_send(self) -> list[Outgoing]:
        """Take the packets that have to leave."""
        packets, self._out = self._out, []
        return packets

    def receive_packet(self, data: bytes, route: Route, now: float) -> None:
        """Process what has arrived, whatever it is; never raises for it.

        Args:
          data: The packet from its common header on.
          route: Where it came from, and to which of our addresses.
          now: Seconds.
        """
        self._now = now
        packet = wire.parse_packet_untrusted(data)
        if isinstance(packet, wire.Malformed) or packet.destination_port != self.port:
            return
        if not packet.chunks or not _unicast(route.remote) or _of_many(route.local):
            return
        association = self._by_peer.get((route.remote, packet.source_port))
        if packet.plain and association is not None and packet.tag == association.our_tag:
            association.receive(packet, route, now)
            self._reschedule(association)
            return
        first = packet.chunks[0]
        if type(first) is wire.Init:
            if len(packet.chunks) == 1 and packet.tag == 0 and not packet.truncated:
                association = association or self._owner_of_any(
                    self._addresses_of(first), packet.source_port
                )
                self._init(first, packet, route, association, now)
            return
        if len(packet.chunks) > 1 and any(type(chunk) in _ALONE for chunk in packet.chunks):
            return  # such are not bundled (6.10)
        if isinstance(first, wire.BadChunk) and first.type == ChunkType.INIT:
            self._bad_init(first, packet, route)
            return
        if not packet.tag:
            return  # only an INIT has none (8.5.1 A)
        if association is None:
            association = self._by_tag(packet)
        if association is None:
            self._out_of_the_blue(packet, route, now)
        elif type(first) is wire.CookieEcho:
            self._cookie_echo(first, packet, route, association, now)
        elif isinstance(first, wire.ShutdownAck) and association.half_open:
            # Section 8.5.1 E: it belongs to an earlier association.
            self._reply(
                packet, route, packet.tag, [wire.shutdown_complete_chunk(reflected=True)], now
            )
        elif self._tag_fits(packet, association):
            association.receive(packet, route, now)
            self._reschedule(association)

    def unreachable(self, data: bytes, remote: str, now: float) -> None:
        """ICMP says that nobody takes packets there (section 10): a port, or SCTP, is not known.

        Args:
          data: The packet of ours that it tells of, or its beginning.
          remote: IP address that it was sent to.
          now: Seconds.
        """
        if len(data) < wire.HEADER_SIZE:
            return
        association = self._by_peer.get((remote, int.from_bytes(data[2:4], "big")))
        if association is None:
            return
        tag = int.from_bytes(data[4:8], "big")
        if not tag:
            # An INIT, whose Initiate Tag stands for it.
            if data[12:13] != b"\1" or int.from_bytes(data[16:20], "big") != association.our_tag:
                return
        elif tag != association.their_tag:
            return
        self._now = now
        association.unreachable(remote, now)
        self._reschedule(association)

    def _tag_fits(self, packet: wire.Packet, association: EngineAssociation) -> bool:
        """Section 8.5, with the exceptions of 8.5.1."""
        for chunk in packet.chunks:
            if isinstance(chunk, (wire.Abort, wire.ShutdownComplete)):
                if (
                    isinstance(chunk, wire.ShutdownComplete)
                    and association.state is not StatusState.SHUTDOWN_ACK_SENT
                ):
                    return False
                if chunk.reflected:
                    return packet.tag == association.their_tag and packet.tag != 0
                return packet.tag == association.our_tag
        return packet.tag == association.our_tag

    def _by_tag(self, packet: wire.Packet) -> EngineAssociation | None:
        """An association whose peer speaks from an address that we do not know of."""
        if not isinstance(packet.chunks[0], wire.InitAck):
            return None
        for association in self.associations.values():
            if association.peer_port == packet.source_port and packet.tag == association.our_tag:
                return association
        return None

    def owner(self, address: str, port: int) -> EngineAssociation | None:
        """The association that has this transport address of a peer."""
        return self._by_peer.get((address, port))

    def _owner_of_any(self, addresses: Iterable[str], port: int) -> EngineAssociation | None:
        for address in addresses:
            owner = self.owner(address, port)
            if owner is not None:
                return owner
        return None

    # -- set-up (5.1, 5.2) ---

    def _init(
        self,
        init: wire.Init,
        packet: wire.Packet,
        route: Route,
        association: EngineAssociation | None,
        now: float,
    ) -> None:
        if (
            not init.tag
            or not init.outbound_streams
            or not init.inbound_streams
            or init.rwnd < wire.LEAST_RWND
        ):
            # Section 3.3.2: no reply without a tag; else an ABORT.
            if init.tag:
                cause = Tlv(Cause.INVALID_PARAMETER, b"")
                self._reply(packet, route, init.tag, [wire.abort_chunk([cause])], now)
            return
        if association is None:
            if not self.listening:
                self._reply(packet, route, init.tag, [wire.abort_chunk()], now)
                return
            tag = self._tag(packet.source_port)
            self._init_ack(init, packet, route, tag, self._number(), (0, 0), now)
            return
        if association.state is StatusState.SHUTDOWN_ACK_SENT:
            association.repeat_shutdown_ack(now)
            return
        known = association.paths.get(route.remote)
        if known is not None and route.remote_udp != known.route.remote_udp:
            # RFC 6951 section 5.4: a restart may not come from another UDP port.
            ports = struct.pack("!HH", known.route.remote_udp, route.remote_udp)
            cause = Tlv(Cause.RESTART_WITH_NEW_ENCAPSULATION_PORT, ports)
            self._reply(packet, route, init.tag, [wire.abort_chunk([cause])], now)
            return
        # Those that were not taken in when it was set up either, as they lead nowhere, are not new.
        others = [a for a in self._addresses_of(init) if a != route.remote]
        others = others[: association.parameters.max_peer_addresses - 1]
        listed = [route.remote, *(a for a in others if self.local_for(a, route) is not None)]
        added = [address for address in listed if address not in association.paths]
        if added and association.state is not StatusState.COOKIE_WAIT:
            cause = Tlv(
                Cause.RESTART_WITH_NEW_ADDRESSES,
                wire.tlvs(wire.address_parameter(address) for address in added),
            )
            self._reply(packet, route, init.tag, [wire.abort_chunk([cause])], now)
            return
        if association.half_open:
            # Section 5.2.1: both sides send an INIT; ours keeps its tag.
            assert association.init is not None
            half = association.state is StatusState.COOKIE_WAIT
            ties = (0, 0) if half else association.tie_tags
            self._init_ack(
                init, packet, route, association.our_tag, association.init.tsn, ties, now
            )
            return
        tag = self._tag(packet.source_port)
        self._init_ack(init, packet, route, tag, self._number(), association.tie_tags, now)

    def _bad_init(self, chunk: wire.BadChunk, packet: wire.Packet, route: Route) -> None:
        """An INIT that makes no sense is answered only if it says with which tag."""
        if packet.tag or len(chunk.raw) < 20 or not self.listening:
            return
        tag = int.from_bytes(chunk.raw[4:8], "big")
        if tag:
            cause = Tlv(Cause.PROTOCOL_VIOLATION, chunk.reason.encode())
            self._reply(packet, route, tag, [wire.abort_chunk([cause])], self._now)

    def _addresses_of(self, init: wire.Init) -> list[str]:
        """As many as an association has; thousands would be work for nothing."""
        addresses: list[str] = []
        for parameter in wire.looked_at(init.parameters):
            address = wire.address_untrusted(parameter)
            if address is not None and address not in addresses:
                addresses.append(address)
                if len(addresses) == self.parameters.max_peer_addresses:
                    break
        return addresses

    def _init_ack(
        self,
        init: wire.Init,
        packet: wire.Packet,
        route: Route,
        tag: int,
        tsn: int,
        ties: tuple[int, int],
        now: float,
    ) -> None:
        """Answer, and forget: all that is to be known is in the cookie."""
        parameters = self.parameters
        forward_tsn = False
        adaptation: int | None = None
        longer = 0.0
        families: tuple[int, ...] = ()
        unknown: list[Tlv] = []
        for parameter in wire.looked_at(init.parameters):
            if parameter.type == ParameterType.FORWARD_TSN_SUPPORTED:
                forward_tsn = parameters.partial_reliability
            elif parameter.type == ParameterType.ADAPTATION_INDICATION:
                if len(parameter.value) == 4:
                    adaptation = int.from_bytes(parameter.value, "big")
            elif parameter.type == ParameterType.COOKIE_PRESERVATIVE:
                asked = int.from_bytes(parameter.value[:4], "big") / 1000
                longer = min(asked, parameters.cookie_life)
            elif parameter.type == ParameterType.SUPPORTED_ADDRESS_TYPES:
                count = len(parameter.value) // 2
                families = struct.unpack_from(f"!{count}H", parameter.value)
            elif parameter.type == ParameterType.HOST_NAME:
                cause = Tlv(Cause.UNRESOLVABLE_ADDRESS, wire.tlvs([parameter]))
                self._reply(packet, route, init.tag, [wire.abort_chunk([cause])], now)
                return
            elif parameter.type not in wire.KNOWN_PARAMETERS and parameter.type & 0x4000:
                unknown.append(wire.unrecognized(parameter))
        others = [a for a in self._addresses_of(init) if a != route.remote]
        cookie = Cookie(
            created=now + longer,
            our_tag=tag,
            their_tag=init.tag,
            our_tie_tag=ties[0],
            their_tie_tag=ties[1],
            our_port=self.port,
            their_port=packet.source_port,
            our_tsn=tsn,
            their_tsn=init.tsn,
            outbound_streams=min(parameters.outbound_streams, init.inbound_streams),
            inbound_streams=min(parameters.inbound_streams, init.outbound_streams),
            their_rwnd=init.rwnd,
            extensions=FORWARD_TSN if forward_tsn else 0,
            adaptation=adaptation,
            udp_local=route.local_udp,
            udp_remote=route.remote_udp,
            local=route.local,
            remote=route.remote,
            addresses=tuple(others[: parameters.max_peer_addresses - 1]),
        )
        listed = [Tlv(ParameterType.STATE_COOKIE, self._jar.seal(cookie, now))]
        listed += [
            address
            for address in map(wire.address_parameter, self.addresses_for(route))
            # The family that the INIT came in is supported, whatever it says (5.1.2).
            if not families
            or address.type in families
            or (":" in route.remote) == (address.type == ParameterType.IPV6_ADDRESS)
        ]
        listed += extensions(parameters, forward_tsn)
        # What we send back to whoever claims to be the sender is bounded.
        room = parameters.max_cookie_size
        for report in unknown:
            room -= len(report.value) + 8
            if room < 0:
                break
            listed.append(report)
        ack = wire.InitAck(
            tag,
            max(parameters.receive_window, wire.LEAST_RWND),
            cookie.outbound_streams,
            parameters.inbound_streams,
            tsn,
            listed,
        )
        # An answer goes to a path of which nothing is known yet.
        chunk = wire.init_chunk(ack)
        large = len(chunk) + wire.HEADER_SIZE > parameters.path_mtu
        self.transmit(route, packet.source_port, init.tag, [chunk], fragment=large)

    def _cookie_echo(
        self,
        echo: wire.CookieEcho,
        packet: wire.Packet,
        route: Route,
        association: EngineAssociation | None,
        now: float,
    ) -> None:
        cookie = self._jar.open_untrusted(echo.cookie, now)
        if (
            cookie is None
            or (cookie.our_port, cookie.their_port) != (self.port, packet.source_port)
            or packet.tag != cookie.our_tag
        ):
            return
        if association is None:
            # It may have left from an address that is listed in it only for later.
            association = self._owner_of_any((cookie.remote, *cookie.addresses), packet.source_port)
        if association is None and self._is_retired(cookie.our_tag, packet.source_port):
            # What it set up has ended.  Set up again from a repeated COOKIE ECHO, it would deliver
            # its user data a second time, with tags that were used (5.3.1).
            self._reply(packet, route, cookie.their_tag, [wire.abort_chunk()], now)
            return
        age = now - cookie.created
        if age > self.parameters.cookie_life:
            same = association is not None and (
                (association.our_tag, association.their_tag) == (cookie.our_tag, cookie.their_tag)
            )
            if not same:
                late = math.ceil((age - self.parameters.cookie_life) * 1e6)
                staleness = struct.pack("!I", min(late, _MASK))
                cause = Tlv(Cause.STALE_COOKIE, staleness)
                self._reply(packet, route, cookie.their_tag, [wire.error_chunk([cause])], now)
                return
        if association is None:
            if not self.listening:
                self._reply(packet, route, cookie.their_tag, [wire.abort_chunk()], now)
                return
            if (
                len(self.associations) >= self.parameters.max_associations
                or self._unread_bytes >= self.parameters.max_unread
            ):
                abort = wire.abort_chunk([Tlv(Cause.OUT_OF_RESOURCE, b"")])
                self._reply(packet, route, cookie.their_tag, [abort], now)
                return
            association = self._new(packet.source_port, cookie.our_tag, cookie.our_tsn, None)
            association.accept(cookie, route, now)
            association.establish(now)
        elif not self._existing(cookie, association, route, now):
            return
        ack = wire.chunk(ChunkType.COOKIE_ACK)
        self.transmit(route, packet.source_port, association.their_tag, [ack])
        rest = dataclasses.replace(packet, chunks=packet.chunks[1:])
        association.receive(rest, route, now)
        self._reschedule(association)

    def _existing(
        self, cookie: Cookie, association: EngineAssociation, route: Route, now: float
    ) -> bool:
        """Section 5.2.4, table 12; returns whether a COOKIE ACK is due."""
        ours = cookie.our_tag == association.our_tag
        theirs = cookie.their_tag == association.their_tag
        ties = (cookie.our_tie_tag, cookie.their_tie_tag)
        tied = ties == association.tie_tags
        if not ours and not theirs and tied:  # A: the peer has restarted
            if association.state is StatusState.SHUTDOWN_ACK_SENT:
                association.repeat_shutdown_ack(now)
                cause = Tlv(Cause.COOKIE_WHILE_SHUTTING_DOWN, b"")
                chunk = wire.error_chunk([cause])
                self.transmit(route, association.peer_port, association.their_tag, [chunk])
                return False
            association.restart(cookie, route, now)
            return True
        if ours and not theirs:  # B: both sides started
            if not association.half_open and association.state is not StatusState.ESTABLISHED:
                return False
            association.collided(cookie, route, now)
            return True
        if not ours and theirs and ties == (0, 0):  # C: it comes late
            return False
        if ours and theirs:  # D: a repetition, or the answer to a collision
            if association.state is StatusState.COOKIE_ECHOED:
                association.establish(now)
            return True
        return False

    # -- out of the blue (8.4) ---

    def _out_of_the_blue(self, packet: wire.Packet, route: Route, now: float) -> None:
        first = packet.chunks[0]
        if any(isinstance(chunk, wire.Abort) for chunk in packet.chunks):
            return
        if isinstance(first, wire.CookieEcho):
            self._cookie_echo(first, packet, route, None, now)
            return
        if any(isinstance(chunk, wire.ShutdownAck) for chunk in packet.chunks):
            complete = wire.shutdown_complete_chunk(reflected=True)
            self._reply(packet, route, packet.tag, [complete], now)
            return
        for chunk in packet.chunks:
            if isinstance(chunk, (wire.ShutdownComplete, wire.CookieAck)):
                return
            if isinstance(chunk, wire.Error) and any(
                cause.type == Cause.STALE_COOKIE for cause in chunk.causes
            ):
                return
        self._reply(packet, route, packet.tag, [wire.abort_chunk(reflected=True)], now)

    def _reply(
        self, packet: wire.Packet, route: Route, tag: int, chunks: Iterable[bytes], now: float
    ) -> None:
        """Answer somebody of whom nothing is known, but not too often."""
        rate = self.parameters.max_replies_per_second
        self._replies = max(0.0, self._replies - (now - self._replies_at) * rate)
        self._replies_at = now
        if self._replies >= rate:
            return
        self._replies += 1
        self.transmit(route, packet.source_port, tag, chunks)

    # -- for associations ---

    def transmit(
        self,
        route: Route,
        port: int,
        tag: int,
        chunks: Iterable[bytes],
        *,
        fragment: bool = False,
    ) -> None:
        """A packet has to leave."""
        data = wire.seal(self.port, port, tag, chunks)
        self._out.append(Outgoing(data, route, self.tos, fragment))

    def report(self, event: Notification | FailedFragment) -> None:
        """An event for the program."""
        self._queue_of(event.association_id).append(event)

    def deliver(self, association: EngineAssociation) -> None:
        """Messages for the program."""
        self._queue_of(association.id).extend(association.pending)
        association.pending.clear()

    def _queue_of(self, id: int) -> deque[Arrival]:
        own = self._own_events.get(id)
        if own is None:
            self._news.add(None)
            return self._events
        self._news.add(id)
        return own

    def set_up_failed(self, id: int, number: int) -> None:
        """An association did not come up; kept for whoever peeled it off."""
        if id in self._own_events:
            self._failures[id] = number

    def failure(self, id: int) -> int:
        """The errno for which a peeled-off association did not come up, 0 if it did."""
        return self._failures.get(id, 0)

    def register(self, address: str, association: EngineAssociation) -> None:
        """Packets from there are this association's."""
        self._by_peer[address, association.peer_port] = association

    def forget(self, association: EngineAssociation) -> None:
        """It is gone."""
        self.associations.pop(association.id, None)
        self._deadlines.forget(association.id)
        self.retire_tag(association)
        if association.inbound is not None:
            left = association.inbound.delivered + self.parameters.chunk_overhead
            self._unread[association.id] = left
            self._unread_bytes += left
        for address in association.paths:
            if self._by_peer.get((address, association.peer_port)) is association:
                del self._by_peer[address, association.peer_port]

    def retire_tag(self, association: EngineAssociation) -> None:
        """Our tag of an association is not to be used again: cookies still name it.

        It is remembered for as long as such a cookie may be good: its life, and as much again that
        a Cookie Preservative may have asked for.
        """
        retired = self._retired_tags
        while retired and (
            len(retired) >= self.parameters.max_associations
            or next(iter(retired.values())) < self._now
        ):
            del retired[next(iter(retired))]
        key = association.our_tag, association.peer_port
        retired[key] = self._now + 2 * self.parameters.cookie_life

    def addresses_for(self, route: Route) -> list[str]:
        """Which of our addresses a peer there is told of: none unless there are several, and none
        that mean nothing to it."""
        if len(self.addresses) < 2:
            return []
        reach = _scope(route.remote)
        return [address for address in self.addresses if _scope(address) >= reach]

    def local_for(self, address: str, route: Route) -> str | None:
        """The address of ours from which that one is reached."""
        six = ":" in address
        if (":" in route.local) == six and len(self.addresses) < 2:
            return route.local
        network = _network(address)
        same = [a for a in self.addresses if (":" in a) == six]
        for candidate in same:
            if _network(candidate) == network:
                return candidate
        if same:
            return same[0]
        return route.local if (":" in route.local) == six else None

    def random(self) -> float:
        """From 0 to 1."""
        return self._number() / 2**32

    # -- inside ---

    def _tag(self, port: int) -> int:
        """A new one, for a peer with this port (5.3.1)."""
        tag = self._number() or 1
        while self._is_retired(tag, port):
            tag = tag % _MASK + 1
        return tag

    def _is_retired(self, tag: int, port: int) -> bool:
        return self._retired_tags.get((tag, port), -inf) >= self._now

    def _number(self) -> int:
        return int.from_bytes(self.randomness(4), "big")

    def _new(
        self, port: int, tag: int, tsn: int, parameters: Parameters | None
    ) -> EngineAssociation:
        id, self._next_id = self._next_id, self._next_id + 1
        own = dataclasses.replace(parameters or self.parameters)
        association = EngineAssociation(self, id, port, tag, tsn, own)
        self.associations[id] = association
        return association

    def _association(self, id: int) -> EngineAssociation:
        association = self.associations.get(id)
        if association is None:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        return association

    def reschedule(self, id: int) -> None:
        """An association's timers may have changed."""
        self._reschedule(self.associations.get(id))

    def _reschedule(self, association: EngineAssociation | None) -> None:
        if association is not None and not association.ended:
            self._deadlines.update(association.id)


def _association_of(arrival: Arrival) -> int:
    if isinstance(arrival, Piece):
        return arrival.message.association_id
    return arrival.association_id


@functools.lru_cache(maxsize=4096)
def _unicast(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    return not (ip.is_unspecified or _of_many(address))


@functools.lru_cache(maxsize=4096)
def _of_many(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    return ip.is_multicast or address == "255.255.255.255"


@functools.lru_cache(maxsize=4096)
def _network(address: str) -> str:
    """The usual subnet of an address: enough to pair those of two hosts."""
    if ":" in address:
        return str(ipaddress.ip_network(address.partition("%")[0] + "/64", strict=False))
    return address.rpartition(".")[0]


@functools.lru_cache(maxsize=4096)
def _scope(address: str) -> int:
    """0 loopback, 1 link-local, 2 private, 3 global."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.is_loopback:
        return 0
    if ip.is_link_local:
        return 1
    return 2 if ip.is_private else 3
