"""An SCTP endpoint without sockets, clock or tasks: packets and time in, packets and events out.

    engine = Engine(2905, ["192.0.2.1"])
    engine.receive_packet(data, route, now)        what came
    for packet in engine.packets_to_send(): ...    what has to leave
    engine.next_deadline(), engine.handle_timeout(now)
    engine.receive(limit, now)                     messages and events, for the program

Decided here is which association a packet is of, and what packets of none are answered with: the
handshake's first half, which keeps no state (RFC 9260 section 5.1), its collisions (5.2), and what
is out of the blue (8.4).
"""

from __future__ import annotations

import dataclasses
import errno
import math
import os
import secrets
import struct
from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from .._options import Status, StatusState
from .._values import Arrival, AssociationChange, Message, Piece, RemoteError, SenderDry, SendInfo
from . import wire
from .addresses import is_group, is_unicast
from .association import EngineAssociation, extensions
from .cookie import FORWARD_TSN, Cookie, CookieJar
from .deadlines import Deadlines
from .offer import Offer
from .outbound import OutgoingMessage
from .outlet import Outgoing, Outlet
from .parameters import Parameters
from .path import Route
from .wire import Cause, ChunkType, ParameterType, Tlv

_U32: Final = 2**32 - 1
_ALONE = frozenset({wire.Init, wire.InitAck, wire.ShutdownComplete})


class Engine:
    """An endpoint: a port, its associations, and their way in and out.

    Attributes:
      port: The SCTP port.
      addresses: The local addresses that peers are told of.
      listening: Whether peers may set associations up.
      parameters: What new associations start with; each gets a copy.
      associations: Those that there are, by id.
    """

    def __init__(
        self,
        port: int,
        addresses: Sequence[str],
        *,
        parameters: Parameters | None = None,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Make an endpoint of this port and these local addresses.

        Args:
          port: 1 to 65535.
          addresses: Local IP addresses that peers are told of; with one or none, the address that a
            packet leaves from is all that its receiver has to know.
          parameters: What new associations start with.
          randomness: Gives as many random bytes as it is asked for; another source makes a run
            repeatable.
        """
        self.port: int = port
        self.listening = False
        self.parameters: Parameters = parameters or Parameters()
        self.associations: dict[int, EngineAssociation] = {}
        self._outlet = Outlet(port, addresses, randomness)
        self._arrivals = self._outlet.arrivals
        self._address_book = self._outlet.address_book
        self.addresses: list[str] = self._address_book.addresses
        self._next_id = 1
        self._jar = CookieJar(randomness)
        self._unread: dict[int, int] = {}  # bytes that associations left which have ended
        self._unread_bytes = 0
        self._failures: dict[int, int] = {}  # errnos of those that did not come up
        self._deadlines = Deadlines(self._deadline_of)
        # Our tags that are used up, with the peer's port, and until when a cookie may name them.
        self._retired_tags: dict[tuple[int, int], float] = {}
        self._now = 0.0
        self._replies = 0.0
        self._replies_at = 0.0

    def _deadline_of(self, id: int) -> float:
        return self.associations[id].deadline()

    def use_port(self, port: int) -> None:
        """Change the SCTP port, as an engine does that answers for ports that nobody has."""
        self.port = self._outlet.port = port

    @property
    def tos(self) -> int:
        """The type of service of packets that leave."""
        return self._outlet.tos

    @tos.setter
    def tos(self, tos: int) -> None:
        self._outlet.tos = tos

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
        other = self._address_book.owner_of_any([route.remote for route in routes], port)
        if other is not None:
            number = errno.EALREADY if other.half_open else errno.EISCONN
            raise OSError(number, os.strerror(number))
        association = self._new(port, self._new_tag(port), self._outlet.number(), parameters)
        for route in routes:
            association.add_path(route, confirmed=True)
        association.start(now)
        self._settle(association)
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
        """Take one message whole and let it leave.

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
        """Take one message, which leaves with the next `flush`: several that are queued share
        packets.  Arguments and errors are those of `send`."""
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
            self._settle(association)

    def shutdown(self, id: int, now: float) -> None:
        """Start the graceful end (section 9.2)."""
        self._now = now
        association = self._association(id)
        association.shutdown(now)
        self._settle(association)

    def abort(self, id: int, reason: bytes, now: float, cause: int = 12) -> None:
        """End an association at once (section 9.1)."""
        self._now = now
        association = self._association(id)
        association.abort(Tlv(cause, reason))
        self._settle(association)

    def request_heartbeat(self, id: int, address: str, now: float) -> None:
        """Send a heartbeat to an address of the peer now (section 8.3)."""
        association = self._association(id)
        association.request_heartbeat(association.paths[address], now)
        self._settle(association)

    def tell_if_dry(self, id: int) -> None:
        """Report an association that has nothing to send and nothing unacknowledged."""
        association = self._association(id)
        if association.outbound.empty:
            self._outlet.report(SenderDry(association_id=id))

    def set_primary(self, id: int, address: str) -> None:
        """Send to this address of the peer (RFC 6458 section 8.1.9)."""
        self._association(id).make_primary(address)

    def status(self, id: int) -> Status:
        """Return the state of an association; raise OSError if there is none."""
        return self._association(id).status()

    def receive(self, limit: int, now: float, id: int | None = None) -> list[Arrival]:
        """Take messages and events, in the order in which they came; room is made for others.

        Args:
          limit: How many to take, at most.
          now: Seconds.
          id: Those of this association, which was peeled off.
        """
        queue = self._arrivals.queue(id)
        taken: list[Arrival] = []
        freed: dict[int, EngineAssociation] = {}
        while queue and len(taken) < limit:
            arrival = queue.popleft()
            taken.append(arrival)
            kind = type(arrival)
            if kind is Message or kind is Piece:
                message: Message = arrival if kind is Message else arrival.message  # type: ignore[assignment, union-attr]
                association = self.associations.get(message.association_id)
                if association is not None:
                    association.taken(len(message.data), now)
                    freed[association.id] = association
            elif kind is RemoteError:
                association = self.associations.get(arrival.association_id)  # type: ignore[union-attr]
                if association is not None:
                    association.error_taken(arrival)  # type: ignore[arg-type]
            elif kind is AssociationChange:
                self._count_as_read(arrival.association_id)  # type: ignore[union-attr]
        for association in freed.values():
            self._settle(association)
        return taken

    def has_events(self, id: int | None = None) -> bool:
        """Whether `receive` would return something."""
        return self._arrivals.count(id) > 0

    def unread(self, id: int | None = None) -> int:
        """Return how many messages and events `receive` could return."""
        return self._arrivals.count(id)

    def take_news(self) -> set[int | None]:
        """Return for which arguments of `has_events` something has come since the last call."""
        arrivals = self._arrivals
        fresh, arrivals.fresh = arrivals.fresh, set()
        return fresh

    def peel_off(self, id: int) -> None:
        """Give an association's messages and events a queue of their own.

        Raises:
          OSError: EINVAL, it has ended.
        """
        if id not in self.associations:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._arrivals.peel_off(id)

    def drop_events(self, id: int | None = None) -> None:
        """Forget messages and events that nobody will take any more."""
        self._arrivals.drop(id)
        if id is None:
            for ended in [ended for ended in self._unread if not self._arrivals.has_own(ended)]:
                self._count_as_read(ended)
        else:
            self._failures.pop(id, None)
            self._count_as_read(id)

    def failure(self, id: int) -> int:
        """Return the errno for which a peeled-off association did not come up, 0 if it did."""
        return self._failures.get(id, 0)

    def random(self) -> float:
        """Return a random number from 0 to 1."""
        return self._outlet.fraction()

    def _count_as_read(self, id: int) -> None:
        """Of an association that has ended all is read: its end comes behind all that it left."""
        self._unread_bytes -= self._unread.pop(id, 0)

    # -- time and packets ---

    def next_deadline(self) -> float | None:
        """Return when `handle_timeout` has to be called; None for never."""
        deadline = self._deadlines.earliest()
        return None if deadline == inf else deadline

    def handle_timeout(self, now: float) -> None:
        """Do what has fallen due by now."""
        self._now = now
        while (id := self._deadlines.due(now)) is not None:
            association = self.associations[id]
            association.handle_timeout(now)
            self._settle(association)

    def packets_to_send(self) -> list[Outgoing]:
        """Return the packets that have to leave, which are then the caller's to send."""
        outlet = self._outlet
        packets, outlet.packets = outlet.packets, []
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
        if not packet.chunks or not is_unicast(route.remote) or is_group(route.local):
            return
        association = self._address_book.owners.get((route.remote, packet.source_port))
        if packet.plain and association is not None and packet.tag == association.our_tag:
            association.receive(packet, route, now)
            self._settle(association)
        else:
            self._find_association(packet, route, association, now)

    def _find_association(
        self,
        packet: wire.Packet,
        route: Route,
        association: EngineAssociation | None,
        now: float,
    ) -> None:
        """Give a packet to the association that it is of, or answer it as one of none.

        `association` is the one whose peer has the address that the packet came from.
        """
        first = packet.chunks[0]
        if type(first) is wire.Init:
            if len(packet.chunks) == 1 and packet.tag == 0 and not packet.truncated:
                self._handle_init(first, packet, route, association, now)
            return
        if len(packet.chunks) > 1 and any(type(chunk) in _ALONE for chunk in packet.chunks):
            return  # such are not bundled (6.10)
        if isinstance(first, wire.BadChunk) and first.type == ChunkType.INIT:
            self._handle_bad_init(first, packet, route)
            return
        if not packet.tag:
            return  # only an INIT has none (8.5.1 A)
        if association is None:
            association = self._by_tag(packet)
        if association is None:
            self._handle_out_of_the_blue(packet, route, now)
        elif type(first) is wire.CookieEcho:
            self._handle_cookie_echo(first, packet, route, association, now)
        elif isinstance(first, wire.ShutdownAck) and association.half_open:
            # Section 8.5.1 E: it belongs to an earlier association.
            complete = wire.shutdown_complete_chunk(reflected=True)
            self._reply(packet, route, packet.tag, complete, now)
        elif _tag_fits(packet, association):
            association.receive(packet, route, now)
            self._settle(association)

    def unreachable(self, data: bytes, remote: str, now: float) -> None:
        """ICMP says that nobody takes packets there (section 10): a port, or SCTP, is not known.

        Args:
          data: The packet of ours that it tells of, or its beginning.
          remote: IP address that the packet was sent to.
          now: Seconds.
        """
        if len(data) < wire.HEADER_SIZE:
            return
        association = self._address_book.owners.get((remote, int.from_bytes(data[2:4], "big")))
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
        self._settle(association)

    def _by_tag(self, packet: wire.Packet) -> EngineAssociation | None:
        """The association whose peer answers an INIT from an address that we do not know of."""
        if not isinstance(packet.chunks[0], wire.InitAck):
            return None
        for association in self.associations.values():
            if association.peer_port == packet.source_port and packet.tag == association.our_tag:
                return association
        return None

    # -- the passive half of the handshake (5.1, 5.2) ---

    def _handle_init(
        self,
        init: wire.Init,
        packet: wire.Packet,
        route: Route,
        association: EngineAssociation | None,
        now: float,
    ) -> None:
        if not init.tag:
            return  # there is no tag to answer with (section 3.3.2)
        offer = Offer(init, self.parameters)
        if association is None:
            association = self._address_book.owner_of_any(offer.addresses, packet.source_port)
        if not offer.valid:
            self._refuse(packet, route, offer.tag, Tlv(Cause.INVALID_PARAMETER, b""), now)
        elif association is not None:
            self._handle_second_init(offer, packet, route, association, now)
        elif not self.listening:
            self._refuse(packet, route, offer.tag, None, now)
        else:
            tag = self._new_tag(packet.source_port)
            self._send_init_ack(offer, packet, route, tag, self._outlet.number(), (0, 0), now)

    def _handle_second_init(
        self,
        offer: Offer,
        packet: wire.Packet,
        route: Route,
        association: EngineAssociation,
        now: float,
    ) -> None:
        """An INIT from a peer with whom there is an association (5.2.1, 5.2.2)."""
        if association.state is StatusState.SHUTDOWN_ACK_SENT:
            association.repeat_shutdown_ack(now)
            self._settle(association)
            return
        refusal = self._change_of_port(route, association) or self._new_addresses(
            offer, route, association
        )
        if refusal is not None:
            self._refuse(packet, route, offer.tag, refusal, now)
        elif association.half_open:
            # Section 5.2.1: both sides send an INIT; ours keeps its tag.
            assert association.init is not None
            half = association.state is StatusState.COOKIE_WAIT
            ties = (0, 0) if half else association.tie_tags
            self._send_init_ack(
                offer, packet, route, association.our_tag, association.init.tsn, ties, now
            )
        else:
            tag, number = self._new_tag(packet.source_port), self._outlet.number()
            self._send_init_ack(offer, packet, route, tag, number, association.tie_tags, now)

    def _change_of_port(self, route: Route, association: EngineAssociation) -> Tlv | None:
        """The cause for which a restart from another UDP port is refused (RFC 6951 section 5.4)."""
        known = association.paths.get(route.remote)
        if known is None or route.remote_udp == known.route.remote_udp:
            return None
        ports = struct.pack("!HH", known.route.remote_udp, route.remote_udp)
        return Tlv(Cause.RESTART_WITH_NEW_ENCAPSULATION_PORT, ports)

    def _new_addresses(
        self, offer: Offer, route: Route, association: EngineAssociation
    ) -> Tlv | None:
        """The cause for which a restart that adds addresses is refused (5.2.2)."""
        if association.state is StatusState.COOKIE_WAIT:
            return None
        # Addresses that were not taken up at first either, as they lead nowhere, are not new.
        others = [address for address in offer.addresses if address != route.remote]
        others = others[: association.parameters.max_peer_addresses - 1]
        listed = [route.remote]
        listed += [a for a in others if self._address_book.local_for(a, route) is not None]
        added = [address for address in listed if address not in association.paths]
        if not added:
            return None
        value = wire.tlvs(wire.address_parameter(address) for address in added)
        return Tlv(Cause.RESTART_WITH_NEW_ADDRESSES, value)

    def _handle_bad_init(self, chunk: wire.BadChunk, packet: wire.Packet, route: Route) -> None:
        """Answer an INIT that makes no sense, only if it says with which tag."""
        if packet.tag or len(chunk.raw) < 20 or not self.listening:
            return
        tag = int.from_bytes(chunk.raw[4:8], "big")
        if tag:
            cause = Tlv(Cause.PROTOCOL_VIOLATION, chunk.reason.encode())
            self._refuse(packet, route, tag, cause, self._now)

    def _send_init_ack(
        self,
        offer: Offer,
        packet: wire.Packet,
        route: Route,
        tag: int,
        tsn: int,
        ties: tuple[int, int],
        now: float,
    ) -> None:
        """Answer an INIT, and forget it: all that is to be known is in the cookie."""
        parameters = self.parameters
        if offer.host_name is not None:
            cause = Tlv(Cause.UNRESOLVABLE_ADDRESS, wire.tlvs([offer.host_name]))
            self._refuse(packet, route, offer.tag, cause, now)
            return
        forward_tsn = offer.forward_tsn and parameters.partial_reliability
        others = [address for address in offer.addresses if address != route.remote]
        cookie = Cookie(
            created=now + min(offer.cookie_life, parameters.cookie_life),
            our_tag=tag,
            their_tag=offer.tag,
            our_tie_tag=ties[0],
            their_tie_tag=ties[1],
            our_port=self._outlet.port,
            their_port=packet.source_port,
            our_tsn=tsn,
            their_tsn=offer.tsn,
            outbound_streams=min(parameters.outbound_streams, offer.inbound_streams),
            inbound_streams=min(parameters.inbound_streams, offer.outbound_streams),
            their_rwnd=offer.rwnd,
            extensions=FORWARD_TSN if forward_tsn else 0,
            adaptation=offer.adaptation,
            udp_local=route.local_udp,
            udp_remote=route.remote_udp,
            local=route.local,
            remote=route.remote,
            addresses=tuple(others[: parameters.max_peer_addresses - 1]),
        )
        ours = map(wire.address_parameter, self._address_book.told_to(route))
        ack = wire.InitAck(
            tag,
            max(parameters.receive_window, wire.LEAST_RWND),
            cookie.outbound_streams,
            parameters.inbound_streams,
            tsn,
            [
                Tlv(ParameterType.STATE_COOKIE, self._jar.seal(cookie, now)),
                *(address for address in ours if offer.takes(address, route.remote)),
                *extensions(parameters, forward_tsn),
                *offer.unrecognized,
            ],
        )
        # An answer goes to a path of which nothing is known yet.
        chunk = wire.init_chunk(ack)
        large = len(chunk) + wire.HEADER_SIZE > parameters.path_mtu
        self._send(packet, route, offer.tag, chunk, fragment=large)

    def _handle_cookie_echo(
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
            or (cookie.our_port, cookie.their_port) != (self._outlet.port, packet.source_port)
            or packet.tag != cookie.our_tag
        ):
            return
        if association is None:
            # It may have left from an address that is listed in it only for later.
            association = self._address_book.owner_of_any(
                (cookie.remote, *cookie.addresses), packet.source_port
            )
        if association is None and self._is_retired(cookie.our_tag, packet.source_port):
            # What it set up has ended.  Set up again from a repeated COOKIE ECHO, it would deliver
            # its user data a second time, with tags that were used (5.3.1).
            self._refuse(packet, route, cookie.their_tag, None, now)
            return
        if self._is_stale(cookie, association, now):
            late = math.ceil((now - cookie.created - self.parameters.cookie_life) * 1e6)
            cause = Tlv(Cause.STALE_COOKIE, struct.pack("!I", min(late, _U32)))
            self._reply(packet, route, cookie.their_tag, wire.error_chunk([cause]), now)
            return
        if association is None:
            if not self._has_room_for_another():
                full = Tlv(Cause.OUT_OF_RESOURCE, b"") if self.listening else None
                self._refuse(packet, route, cookie.their_tag, full, now)
                return
            association = self._new(packet.source_port, cookie.our_tag, cookie.our_tsn, None)
            association.accept(cookie)
            association.establish(now)
        elif not self._handle_second_cookie(cookie, packet, association, route, now):
            return
        self._send(packet, route, association.their_tag, wire.chunk(ChunkType.COOKIE_ACK))
        rest = dataclasses.replace(packet, chunks=packet.chunks[1:])
        association.receive(rest, route, now)
        self._settle(association)

    def _has_room_for_another(self) -> bool:
        return (
            self.listening
            and len(self.associations) < self.parameters.max_associations
            and self._unread_bytes < self.parameters.max_unread
        )

    def _is_stale(self, cookie: Cookie, association: EngineAssociation | None, now: float) -> bool:
        """Whether a cookie has lived too long, unless it is that of the association (5.2.4)."""
        if now - cookie.created <= self.parameters.cookie_life:
            return False
        tags = (cookie.our_tag, cookie.their_tag)
        return association is None or (association.our_tag, association.their_tag) != tags

    def _handle_second_cookie(
        self,
        cookie: Cookie,
        packet: wire.Packet,
        association: EngineAssociation,
        route: Route,
        now: float,
    ) -> bool:
        """Section 5.2.4, table 12; return whether a COOKIE ACK is due."""
        ours = cookie.our_tag == association.our_tag
        theirs = cookie.their_tag == association.their_tag
        ties = (cookie.our_tie_tag, cookie.their_tie_tag)
        if not ours and not theirs and ties == association.tie_tags:  # A: the peer has restarted
            if association.state is StatusState.SHUTDOWN_ACK_SENT:
                association.repeat_shutdown_ack(now)
                self._settle(association)
                cause = Tlv(Cause.COOKIE_WHILE_SHUTTING_DOWN, b"")
                self._send(packet, route, association.their_tag, wire.error_chunk([cause]))
                return False
            self._retire_tag(association)
            association.restart(cookie, now)
            return True
        if ours and not theirs:  # B: both sides started
            if not association.half_open and association.state is not StatusState.ESTABLISHED:
                return False
            association.collide(cookie, now)
            return True
        if ours and theirs:  # D: a repetition, or the answer to a collision
            if association.state is StatusState.COOKIE_ECHOED:
                association.establish(now)
            return True
        return False  # C: it comes late

    # -- out of the blue (8.4) ---

    def _handle_out_of_the_blue(self, packet: wire.Packet, route: Route, now: float) -> None:
        first = packet.chunks[0]
        if any(isinstance(chunk, wire.Abort) for chunk in packet.chunks):
            return
        if isinstance(first, wire.CookieEcho):
            self._handle_cookie_echo(first, packet, route, None, now)
            return
        if any(isinstance(chunk, wire.ShutdownAck) for chunk in packet.chunks):
            complete = wire.shutdown_complete_chunk(reflected=True)
            self._reply(packet, route, packet.tag, complete, now)
            return
        for chunk in packet.chunks:
            if isinstance(chunk, (wire.ShutdownComplete, wire.CookieAck)):
                return
            if isinstance(chunk, wire.Error) and any(
                cause.type == Cause.STALE_COOKIE for cause in chunk.causes
            ):
                return
        self._reply(packet, route, packet.tag, wire.abort_chunk(reflected=True), now)

    # -- answers ---

    def _refuse(
        self, packet: wire.Packet, route: Route, tag: int, cause: Tlv | None, now: float
    ) -> None:
        """Answer a packet with an ABORT."""
        causes = [] if cause is None else [cause]
        self._reply(packet, route, tag, wire.abort_chunk(causes), now)

    def _reply(self, packet: wire.Packet, route: Route, tag: int, chunk: bytes, now: float) -> None:
        """Answer somebody of whom nothing is known, but not too often."""
        rate = self.parameters.max_replies_per_second
        self._replies = max(0.0, self._replies - (now - self._replies_at) * rate)
        self._replies_at = now
        if self._replies >= rate:
            return
        self._replies += 1
        self._send(packet, route, tag, chunk)

    def _send(
        self, packet: wire.Packet, route: Route, tag: int, chunk: bytes, *, fragment: bool = False
    ) -> None:
        """Answer a packet with one of this chunk, sent back the way that it came."""
        data = wire.seal(self._outlet.port, packet.source_port, tag, [chunk])
        self._outlet.transmit(data, route, fragment=fragment)

    # -- associations: their tags, their beginning and their end ---

    def _new_tag(self, port: int) -> int:
        """A tag that was not used for a peer with this port (5.3.1)."""
        tag = self._outlet.number() or 1
        while self._is_retired(tag, port):
            tag = tag % _U32 + 1
        return tag

    def _is_retired(self, tag: int, port: int) -> bool:
        return self._retired_tags.get((tag, port), -inf) >= self._now

    def _retire_tag(self, association: EngineAssociation) -> None:
        """Remember that our tag of an association is not to be used again: cookies still name it.

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

    def _new(
        self, port: int, tag: int, tsn: int, parameters: Parameters | None
    ) -> EngineAssociation:
        id, self._next_id = self._next_id, self._next_id + 1
        own = dataclasses.replace(parameters or self.parameters)
        association = EngineAssociation(self._outlet, id, port, tag, tsn, own)
        self.associations[id] = association
        return association

    def _association(self, id: int) -> EngineAssociation:
        association = self.associations.get(id)
        if association is None:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        return association

    def reschedule(self, id: int) -> None:
        """Look at the timers of an association anew, which may have changed."""
        association = self.associations.get(id)
        if association is not None:
            self._settle(association)

    def _settle(self, association: EngineAssociation) -> None:
        """An association was used: its timers may have changed, or it has ended."""
        if not association.ended:
            self._deadlines.update(association.id)
        elif association.id in self.associations:
            self._forget(association)

    def _forget(self, association: EngineAssociation) -> None:
        del self.associations[association.id]
        self._deadlines.forget(association.id)
        self._address_book.forget(association)
        self._retire_tag(association)
        if association.failure and self._arrivals.has_own(association.id):
            self._failures[association.id] = association.failure
        if association.inbound is not None:
            left = association.inbound.delivered + self.parameters.chunk_overhead
            self._unread[association.id] = left
            self._unread_bytes += left


def _tag_fits(packet: wire.Packet, association: EngineAssociation) -> bool:
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
