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

import errno
import os
import secrets
from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from .._options import Status, StatusState
from .._values import Arrival, ReconfigurationRequest, SenderDry, SendInfo
from . import wire
from .account import ASSOCIATION_COST, LEFT_COST, PATH_COST, PRECISION, Account
from .addresses import is_group, is_unicast
from .arrivals import Unread
from .association import EngineAssociation
from .authentication import Authentication
from .cookie import Cookie
from .deadlines import Deadlines
from .handshake import Handshake, Reply, Verdict, out_of_the_blue, refusal, shutdown_complete
from .offer import Offer
from .outbound import OutgoingMessage
from .outlet import Outgoing, Outlet
from .parameters import Parameters
from .path import Path, Route
from .tags import Tags
from .wire import Cause, ChunkType, Tlv

_ALONE: Final = frozenset({wire.Init, wire.InitAck, wire.ShutdownComplete})
_LONGEST_REASON: Final = 60_000
"""Bytes of a reason for an abort, which has to go into one packet."""
_NEVER_ANSWERED: Final = frozenset({ChunkType.SHUTDOWN_COMPLETE, ChunkType.COOKIE_ACK})
_NOT_BUNDLED: Final = frozenset({ChunkType.INIT, ChunkType.INIT_ACK, ChunkType.SHUTDOWN_COMPLETE})


class Engine:
    """An endpoint: a port, its associations, and their way in and out.

    Attributes:
      port: The SCTP port.
      addresses: The local addresses that peers are told of.
      listening: Whether peers may set associations up.
      parameters: What new associations start with; each gets a copy.
      account: Where what peers make it hold is counted.
      associations: Those that there are, by id.
      shared: Those of them that have no queue of their own: neither peeled off nor released.
    """

    def __init__(
        self,
        port: int,
        addresses: Sequence[str],
        *,
        parameters: Parameters | None = None,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
        account: Account | None = None,
    ) -> None:
        """Make an endpoint of this port and these local addresses.

        Args:
          port: 1 to 65535.
          addresses: Local IP addresses that peers are told of; with one or none, the address that a
            packet leaves from is all that its receiver has to know.
          parameters: What new associations start with.
          randomness: Gives as many random bytes as it is asked for; another source makes a run
            repeatable.
          account: Where what peers make it hold is counted; one of its own if it shares none.
        """
        self.account: Account = account or Account()
        self.port: int = port
        self.listening = False
        self.parameters: Parameters = parameters or Parameters()
        self.associations: dict[int, EngineAssociation] = {}
        self.shared: dict[int, EngineAssociation] = {}
        self._outlet = Outlet(port, addresses, randomness)
        self._arrivals = self._outlet.arrivals
        self._address_book = self._outlet.address_book
        self.addresses: list[str] = self._address_book.addresses
        self._next_id = 1
        self._tags = Tags(self._outlet.number, self.parameters.max_associations)
        self._handshake = Handshake(self._outlet, self._tags)
        self._failures: dict[int, int] = {}  # errnos of those that did not come up
        self._deadlines = Deadlines(self._deadline_of)
        self._with_room: list[int] = []
        self._now = 0.0
        self._replies = 0.0
        self._replies_at = 0.0

    def _deadline_of(self, id: int) -> float:
        return self.associations[id].deadline()

    def use_port(self, port: int) -> None:
        """Change the SCTP port, as an engine does that answers for ports that nobody has."""
        self.port = self._outlet.port = port

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
        tag = self._tags.new(port, now)
        remote = routes[0].remote
        association = self._new(remote, port, tag, self._outlet.number(), parameters)
        for route in routes:
            association.add_path(route, confirmed=True)
        association.start(now)
        self._settle(association)
        return association.id

    def send(self, id: int, data: bytes, info: SendInfo, now: float) -> None:
        """Take one message whole and let it leave.

        Args:
          id: The association's.
          data: One byte at least.
          info: How to send it.
          now: Seconds.

        Raises:
          OSError: EPIPE, there is no such association, or it takes no more; EINVAL, no such stream,
            or no data.
          BlockingIOError: there is no room.
        """
        self.queue(id, data, info, now)
        self.flush(id, now)

    def queue(self, id: int, data: bytes, info: SendInfo, now: float) -> None:
        """Take one message, which leaves with the next `flush`: several that are queued share
        packets.  Arguments and errors are those of `send`."""
        association = self._association(id)
        if association.shutting_down:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        if not data or not 0 <= info.stream < association.outbound_streams:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        expires = now + info.lifetime / 1000 if info.lifetime else inf
        association.enqueue(OutgoingMessage(data, info, expires), now)

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
        association.abort(Tlv(cause, reason[:_LONGEST_REASON]))
        self._settle(association)

    def request_heartbeat(self, id: int, address: str, now: float) -> None:
        """Send a heartbeat to an address of the peer now (section 8.3)."""
        association = self._association(id)
        association.request_heartbeat(association.paths[address], now)
        self._settle(association)

    def ping(
        self, id: int, path: Path, answered: Callable[[float], None], now: float
    ) -> Callable[[], None]:
        """Have a function called with the seconds that a heartbeat on a path of the peer takes.

        One that is under way serves as well.  The function is not called if the heartbeat is lost.
        Returns what takes the request back.
        """
        association = self._association(id)
        take_back = association.ping(path, answered, now)
        self._settle(association)
        return take_back

    def reconfigure(
        self,
        id: int,
        request: ReconfigurationRequest,
        answered: Callable[[int], None],
        now: float,
    ) -> Callable[[float], bool]:
        """Ask the peer to reset or to add streams (RFC 6525).

        ``answered`` is called with the `ReconfigurationResult`.  Returns a function of the time
        that takes the request back, and returns whether it has: not if it is on its way.

        Raises:
          OSError: EPIPE, there is no such association, or it shuts down; EOPNOTSUPP, the peer does
            not know RFC 6525.
        """
        association = self._association(id)
        if not association.knows_reconfiguration():
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        if not association.may_reconfigure():
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        self._now = now
        take_back = association.reconfigure(request, answered, now)
        self._settle(association)

        def take_it_back(now: float) -> bool:
            taken = take_back()
            self.flush(id, now)
            return taken

        return take_it_back

    def tell_if_dry(self, id: int) -> None:
        """Report an association that has nothing to send and nothing unacknowledged."""
        association = self._association(id)
        if association.outbound.empty:
            self._outlet.report(SenderDry(association_id=id))

    def set_primary(self, id: int, address: str) -> None:
        """Send to this address of the peer (RFC 6458 section 8.1.9)."""
        self._association(id).make_primary(address)

    def add_address(self, address: str, now: float) -> None:
        """Add a local address, and tell the peers that can be told (RFC 5061).

        Associations that were peeled off go on with the addresses that they have.
        """
        self._now = now
        if address not in self.addresses:
            self.addresses.append(address)
            self._address_book.changed_at = now
        for association in list(self.shared.values()):
            association.add_local(address, now)
            self._settle(association)

    def remove_address(self, address: str, now: float) -> None:
        """Give up a local address, where peers can be told of that.

        Other associations go on with it, and so do those that were peeled off.
        """
        self._now = now
        self.addresses.remove(address)
        self._address_book.changed_at = now
        for association in list(self.associations.values()):
            if association.id in self.shared and association.changes is not None:
                association.remove_local(address, now)
                self._settle(association)
            elif address in association.paths.local_addresses():
                self._address_book.keep(address, association)
        if address not in self._address_book.kept:
            self._address_book.freed.append(address)

    def keeps(self, address: str) -> bool:
        """Whether associations still have a local address that was removed."""
        return address in self._address_book.kept

    def _is_given_up(self, address: str) -> bool:
        """Whether a local address is there for earlier associations only."""
        return self.keeps(address) and address not in self.addresses

    @property
    def freed(self) -> list[str]:
        """Local addresses that were removed and that no association has any more; whoever closes
        what they were for takes them away."""
        return self._address_book.freed

    def ask_for_primary(self, id: int, address: str, now: float) -> None:
        """Ask the peer to send to this address of ours (RFC 5061 section 4.2.4).

        Raises:
          OSError: EADDRNOTAVAIL, it is not ours; EPERM, the peer takes no ASCONF.
        """
        self._now = now
        association = self._association(id)
        if address not in association.lasting_addresses():
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        if not association.ask_for_primary(address, now):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        self._settle(association)

    def status(self, id: int) -> Status:
        """Return the state of an association; raise OSError if there is none."""
        return self._association(id).status()

    def wants_room(self, id: int) -> None:
        """Have `take_room` name an association once it takes a message, or never will again."""
        self._association(id).room_wanted = True

    def take_room(self) -> list[int]:
        """Return those associations for which room was wanted, and that need not be waited for."""
        if not self._with_room:
            return self._with_room
        ids, self._with_room = self._with_room, []
        return ids

    def receive(self, limit: int, now: float, id: int | None = None) -> list[Arrival]:
        """Take messages and events, in the order in which they came; room is made for others.

        Args:
          limit: How many to take, at most.
          now: Seconds.
          id: Those of this association, which was peeled off.
        """
        read: dict[Unread, None] = {}
        taken = self._arrivals.take(limit, id, read)
        for unread in read:
            self._was_read(unread, now)
        return taken

    def _was_read(self, unread: Unread, now: float) -> None:
        """Messages and events were taken, or are dropped: there is room again."""
        association = self.associations.get(unread.id)
        if association is not None:
            self._count(association)
            if association.taken(now):
                self._settle(association)
        else:
            self._count_unread(unread)

    def has_events(self, id: int | None = None) -> bool:
        """Whether `receive` would return something."""
        return self._arrivals.count(id) > 0

    def unread(self, id: int | None = None) -> int:
        """Return how many messages and events `receive` could return."""
        return self._arrivals.count(id)

    def take_news(self) -> set[int | None]:
        """Return for which arguments of `has_events` something has come since the last call."""
        arrivals = self._arrivals
        fresh, arrivals.fresh, arrivals.fresh_count = arrivals.fresh, set(), 0
        return fresh

    def peel_off(self, id: int) -> None:
        """Give an association's messages and events a queue of their own.

        Raises:
          OSError: EINVAL, it has ended.
        """
        if id not in self.associations:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._arrivals.peel_off(id)
        self.shared.pop(id, None)

    def release(self, ids: Sequence[int], id: int | None, now: float) -> None:
        """Nobody uses these associations any more: what comes of them is taken in and dropped.

        Their peers can so send what they have to, and the graceful end goes on without a program.

        Args:
          ids: The associations.
          id: The queue that they have, as for `receive`.
          now: Seconds.
        """
        for one in ids:
            self._association(one).released = True
            self.shared.pop(one, None)
        for unread in self._arrivals.drop(id):
            self._was_read(unread, now)
        if id is not None:
            self._failures.pop(id, None)

    def failure(self, id: int) -> int:
        """Return the errno for which a peeled-off association did not come up, 0 if it did."""
        return self._failures.get(id, 0)

    def random(self) -> float:
        """Return a random number from 0 to 1."""
        return self._outlet.fraction()

    def give_way(self, id: int, reason: str, now: float) -> None:
        """End an association because the memory for peers is full (`Holder`)."""
        self._now = now
        unread = self._arrivals.of(id)
        if unread is not None:
            unread.give_up()
        association = self.associations.get(id)
        if association is not None:
            association.abort(*_out_of_resource(reason))
            self._settle(association)
        elif unread is not None:
            self._count_unread(unread)

    def _count_unread(self, unread: Unread) -> None:
        """Note what is left to be taken of an association that has ended."""
        share = unread.share
        if unread.count and share is not None:
            self.account.count(share, LEFT_COST + unread.messages + unread.events)
            return
        self._arrivals.forget(unread)
        if share is not None:
            self.account.close(share)
            unread.share = None

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

    def packets_waiting(self) -> int:
        """Return how many packets `packets_to_send` would return."""
        return len(self._outlet.packets)

    def receive_packets(
        self,
        packets: Sequence[bytes],
        route: Route,
        now: float,
        most: int,
        marked: bool = False,
    ) -> int:
        """Process packets that have come one behind the other, as far as they are for this port.

        Args:
          packets: Those of one route.
          route: As for `receive_packet`.
          now: Seconds.
          most: The messages and events for programs, since the last call of `take_news`, after
            which no further packet is processed.
          marked: As for `receive_packet`.

        Returns:
          How many were processed, from the first on.
        """
        port = self.port.to_bytes(2, "big")
        arrivals = self._arrivals
        count = 0
        for data in packets:
            if data[2:4] != port or arrivals.fresh_count >= most:
                break
            self.receive_packet(data, route, now, marked)
            count += 1
        return count

    def receive_packet(self, data: bytes, route: Route, now: float, marked: bool = False) -> None:
        """Process what has arrived, whatever it is; never raises for it.

        Args:
          data: The packet from its common header on.
          route: Where it came from, and to which of our addresses.
          now: Seconds.
          marked: Whether a router has marked it to say that there is congestion (RFC 3168).
        """
        self._now = now
        size = len(data)
        if size < wire.SMALLEST_PACKET:
            return
        source_port, port, tag = wire.HEADER.unpack_from(data)
        if port != self.port:
            return
        association = self._tags.owners.get(tag)
        if (
            association is None
            or association.peer_port != source_port
            or route.remote not in association.paths
        ):
            self._handle_strange_packet(data, route, now)
            return
        packet = wire.parse_packet_untrusted(data)
        if isinstance(packet, wire.Malformed):
            self.account.drops.warn(
                "malformed", now, "%s: a packet was dropped: %s", association, packet.value
            )
            return
        if (packet.plain and not association.guarded) or self._is_fit(
            packet, data, association, route, now
        ):
            if marked:
                association.packet_was_marked(packet)
            association.receive(packet, route, size, now)
            self._settle(association)

    def _is_fit(
        self,
        packet: wire.Packet,
        data: bytes,
        association: EngineAssociation,
        route: Route,
        now: float,
    ) -> bool:
        """Whether an association is to process a packet with its tag, from one of its addresses.

        Leaves those chunks in it that are to be processed.
        """
        chunks = packet.chunks
        if not chunks:
            return False
        first = chunks[0]
        if type(first) is wire.BadChunk and first.type == ChunkType.INIT:
            return False
        if type(first) is wire.Init or (
            len(chunks) > 1 and any(type(chunk) in _ALONE for chunk in chunks)
        ):
            return False  # an INIT has no tag (8.5.1 A), and others are not bundled (6.10)
        if _cookie_echo_in(chunks) is not None:
            self._handle_cookie_echo(packet, data, route, now)
            return False
        if association.authentication is not None:
            packet.chunks = association.admit(chunks, wire.chunk_types_untrusted(data), route)
            chunks = packet.chunks
            if not chunks:
                return False
            first = chunks[0]
        if isinstance(first, wire.ShutdownAck) and association.half_open:
            # Section 8.5.1 E: it belongs to an earlier association.
            self._reply(shutdown_complete(packet.tag, route), packet.source_port, now)
            return False
        for chunk in chunks:
            if isinstance(chunk, wire.ShutdownComplete):
                # Section 8.5.1 C
                return association.state is StatusState.SHUTDOWN_ACK_SENT and not chunk.reflected
            if isinstance(chunk, wire.Abort):
                # Section 8.5.1 B; RFC 5061 section 5.3.1.
                return not (chunk.reflected or association.is_leaving(route.local))
        return True

    def unreachable(self, data: bytes, remote: str, now: float) -> None:
        """ICMP says that nobody takes packets there (section 10): a port, or SCTP, is not known.

        Args:
          data: The packet of ours that it tells of, or its beginning.
          remote: IP address that the packet was sent to.
          now: Seconds.
        """
        if len(data) < wire.HEADER_SIZE:
            return
        port = int.from_bytes(data[2:4], "big")
        tag = int.from_bytes(data[4:8], "big")
        for association in self._address_book.claimants(remote, port):
            if tag:
                fits = tag == association.their_tag
            else:
                # An INIT, whose Initiate Tag stands for it.
                own = association.our_tag.to_bytes(4, "big")
                fits = data[12:13] == b"\1" and data[16:20] == own
            if fits:
                self._now = now
                association.unreachable(remote, now)
                self._settle(association)

    # -- packets of no association that is known by its tag and address (8.4, 8.5.1) ---

    def _handle_strange_packet(self, data: bytes, route: Route, now: float) -> None:
        """Process a packet whose tag is not ours, or that comes from an address we do not know.

        Anybody may have sent it, at no cost: only its outline is read, unless it turns out to be
        of an association after all.
        """
        if not is_unicast(route.remote) or is_group(route.local):
            return
        outline = wire.outline_untrusted(data)
        if outline is None:
            return
        port, tag, kinds, first = outline.source_port, outline.tag, outline.kinds, outline.kinds[0]
        if first == ChunkType.INIT:
            if len(kinds) == 1 and tag == 0 and not outline.truncated:
                self._handle_init(data, route, port, now)
            return
        if not tag:
            return  # only an INIT has none (8.5.1 A)
        if len(kinds) > 1 and not _NOT_BUNDLED.isdisjoint(kinds):
            return  # such are not bundled (6.10)
        if first == ChunkType.AUTH:
            # What it belongs to is told by what it stands before (RFC 4895 section 6.3).
            if len(kinds) == 1:
                return
            first, outline = kinds[1], outline._replace(kinds=kinds[1:])
        if first == ChunkType.COOKIE_ECHO:
            packet = wire.parse_packet_untrusted(data)
            if not isinstance(packet, wire.Malformed) and ChunkType.ABORT not in kinds:
                self._handle_cookie_echo(packet, data, route, now)
            return
        association = self._association_of_strange(outline, route)
        if association is not None:
            packet = wire.parse_packet_untrusted(data)
            assert not isinstance(packet, wire.Malformed)
            packet.chunks = association.admit(packet.chunks, kinds, route)
            association.receive(packet, route, len(data), now)
            self._settle(association)
            return
        owner = self._address_book.owners.get((route.remote, port))
        peer = self._tags.owners.get(tag)
        if peer is not None and peer.peer_port == port:
            if first == ChunkType.ASCONF:
                if self._is_taken_as_moved(data, kinds, peer, route, now):
                    return
            elif peer.may_send_unknown(route):
                self._handle_unexpected(data, peer, route, now)
                return
            if route.remote in peer.heartbeats.awaited:
                self._handle_awaited(data, peer, owner, route, now)
                return
        if owner is None:
            self._handle_out_of_the_blue(outline, route, now)
        elif first == ChunkType.SHUTDOWN_ACK and owner.half_open:
            # Section 8.5.1 E: it belongs to an earlier association.
            self._reply(shutdown_complete(tag, route), port, now)

    def _handle_unexpected(
        self, data: bytes, association: EngineAssociation, route: Route, now: float
    ) -> None:
        """Process a packet with the tag of an association, whose peer may send it although there is
        no path to where it comes from."""
        packet = wire.parse_packet_untrusted(data)
        if not isinstance(packet, wire.Malformed) and self._is_fit(
            packet, data, association, route, now
        ):
            association.receive(packet, route, len(data), now)
            self._settle(association)

    def _is_taken_as_moved(
        self, data: bytes, kinds: list[int], peer: EngineAssociation, route: Route, now: float
    ) -> bool:
        """Process a packet that begins with an ASCONF, from an address unknown, if it may be from
        an association's peer: it names one of its addresses (RFC 5061 section 5.2, D2)."""
        packet = wire.parse_packet_untrusted(data)
        if isinstance(packet, wire.Malformed) or not peer.is_named(packet):
            return False
        packet.chunks = peer.admit(packet.chunks, kinds, route)
        if packet.chunks and isinstance(packet.chunks[0], wire.Asconf):  # else it is not the peer's
            peer.receive(packet, route, len(data), now)
        else:
            peer.flush(now)
        self._settle(peer)
        return True

    def _handle_awaited(
        self,
        data: bytes,
        association: EngineAssociation,
        owner: EngineAssociation | None,
        route: Route,
        now: float,
    ) -> None:
        """Process a packet from an address that its association's peer lists, and others had.

        While another association has the address, only the answer to our heartbeat there shows
        that the other's peer has begun anew, with this association.
        """
        if owner is None:
            association.gain(route, now, confirmed=False)
            self.receive_packet(data, route, now)
            return
        packet = wire.parse_packet_untrusted(data)
        if isinstance(packet, wire.Malformed):
            return
        packet.chunks = association.admit(packet.chunks, wire.chunk_types_untrusted(data), route)
        if association.heartbeats.is_answered_from(route.remote, packet):
            owner.end_without_peer()
            self._settle(owner)
            association.gain(route, now, confirmed=True)
            self._settle(association)

    def _association_of_strange(
        self, outline: wire.Outline, route: Route
    ) -> EngineAssociation | None:
        """Return the association that takes a packet with another tag, or from another address."""
        kinds = outline.kinds
        if kinds[0] == ChunkType.INIT_ACK:
            # The peer may answer an INIT from an address that we do not know of.
            association = self._tags.owners.get(outline.tag)
            if association is not None and association.peer_port == outline.source_port:
                return association
            return None
        if not outline.reflected:
            return None
        # An ABORT or SHUTDOWN COMPLETE may have the tag that its sender received (8.5.1 B and C).
        for association in self._address_book.claimants(route.remote, outline.source_port):
            if association.their_tag == outline.tag and (
                not association.is_leaving(route.local)
                if ChunkType.SHUTDOWN_COMPLETE not in kinds
                else association.state is StatusState.SHUTDOWN_ACK_SENT
            ):
                return association
        return None

    def _handle_out_of_the_blue(self, outline: wire.Outline, route: Route, now: float) -> None:
        """Section 8.4."""
        kinds = outline.kinds
        if ChunkType.ABORT in kinds:
            return
        if ChunkType.SHUTDOWN_ACK in kinds:
            self._reply(shutdown_complete(outline.tag, route), outline.source_port, now)
            return
        if outline.stale or not _NEVER_ANSWERED.isdisjoint(kinds):
            return
        self._reply(out_of_the_blue(outline.tag, route), outline.source_port, now)

    # -- the passive half of the handshake (5.1, 5.2) ---

    def _handle_init(self, data: bytes, route: Route, port: int, now: float) -> None:
        packet = wire.parse_packet_untrusted(data)
        assert not isinstance(packet, wire.Malformed)
        init = packet.chunks[0]
        if isinstance(init, wire.BadChunk):
            self._handle_bad_init(init, route, port, now)
            return
        assert isinstance(init, wire.Init)
        if not init.tag or len(init.parameters) > wire.MOST_LOOKED_AT:
            return  # there is no tag to answer with (section 3.3.2), or no end
        offer = Offer(init, self.parameters)
        association = self._handshake.association_of(offer, route, port)
        if association is not None and association.half_open:
            offer = Offer(init, association.parameters)  # which may be its own
        reply: Reply | None
        if not offer.valid:
            reply = refusal(offer.tag, route, Tlv(Cause.INVALID_PARAMETER, b""))
        elif offer.violation:
            cause = Tlv(Cause.PROTOCOL_VIOLATION, offer.violation.encode())
            reply = refusal(offer.tag, route, cause)
        elif association is not None:
            reply = self._handshake.answer_peer(offer, route, association, self.parameters, now)
            self._settle(association)
        elif not self.listening or self._is_given_up(route.local):
            reply = refusal(offer.tag, route, None)
        else:
            reply = self._handshake.answer_stranger(offer, route, port, self.parameters, now)
        if reply is not None:
            self._reply(reply, port, now)

    def _handle_bad_init(self, chunk: wire.BadChunk, route: Route, port: int, now: float) -> None:
        """Answer an INIT that makes no sense, only if it says with which tag."""
        if len(chunk.raw) < 20 or not self.listening:
            return
        tag = int.from_bytes(chunk.raw[4:8], "big")
        if tag:
            cause = Tlv(Cause.PROTOCOL_VIOLATION, chunk.reason.encode())
            self._reply(refusal(tag, route, cause), port, now)

    def _handle_cookie_echo(
        self, packet: wire.Packet, data: bytes, route: Route, now: float
    ) -> None:
        """Act upon a packet with a COOKIE ECHO, which only an AUTH chunk may precede."""
        echo = _cookie_echo_in(packet.chunks)
        assert echo is not None
        port = packet.source_port
        handshake = self._handshake
        cookie = handshake.open_untrusted(echo.cookie, packet.tag, port, now)
        if cookie is None:
            return
        association = handshake.association_with(cookie)
        kinds = wire.chunk_types_untrusted(data)
        chunks = packet.chunks
        authenticated = chunks[0] is not echo
        authentication = self._authentication_for(cookie, association)
        if authentication is None:
            if authenticated:
                return  # what follows an unknown AUTH chunk is ignored
        elif authenticated:
            chunks = authentication.admit(chunks, kinds)
            if not chunks:
                return
        elif ChunkType.COOKIE_ECHO in authentication.required:
            return
        verdict = handshake.judge(cookie, association, now)
        if verdict is Verdict.NEW and association is not None:
            association.end_without_peer()  # its peer has been silent, and has begun anew
            self._settle(association)
        if verdict is Verdict.NEW:
            association = self._set_up(cookie, route, now)
        elif verdict is Verdict.ENDED:
            self._reply(refusal(cookie.their_tag, route, None), port, now)
        elif verdict is Verdict.STALE:
            self._reply(handshake.stale(cookie, route, now), port, now)
        elif verdict is Verdict.RESTART and association is not None and association.released:
            # Its program has closed it, and a restart does not bring it back to life.  Its end is
            # final, as the peer knows nothing of it; whoever listens gets the new association.
            association.end_without_peer()
            self._settle(association)
            verdict, association = Verdict.NEW, self._set_up(cookie, route, now)
        if association is None or not self._act_on(verdict, cookie, association, route, now):
            return
        association.acknowledge_cookie(route, now, authenticated=authenticated)
        rest = chunks[1:]
        if not authenticated:
            rest = association.admit(rest, kinds[1:], route)
        packet.chunks = rest
        association.receive(packet, route, len(echo.cookie), now)
        self._settle(association)

    def _authentication_for(
        self, cookie: Cookie, association: EngineAssociation | None
    ) -> Authentication | None:
        """Return what a COOKIE ECHO is authenticated with, if it is (RFC 4895 section 6.3).

        It is by the keys of the association with its peer, if there is one.
        """
        if association is not None and association.authentication is not None:
            return association.authentication
        if cookie.auth_offers is None:
            return None
        ours, theirs = cookie.auth_offers
        # One that is being set up by both ends may have keys of its own already.
        parameters = self.parameters if association is None else association.parameters
        return Authentication(ours, theirs, parameters)

    def _set_up(self, cookie: Cookie, route: Route, now: float) -> EngineAssociation | None:
        """Make the association of a cookie, unless there is no room for it."""
        causes = self._why_not(cookie.remote, now)
        if causes is not None:
            reply = Reply(cookie.their_tag, wire.abort_chunk(causes), route)
            self._reply(reply, cookie.their_port, now)
            return None
        # Whoever is at an address has more right to it than those that only list it: they lie, or
        # are what their peer has forgotten (RFC 5062 section 2).
        for lister in list(self._address_book.listers.get((cookie.remote, cookie.their_port), ())):
            lister.abort(Tlv(Cause.PROTOCOL_VIOLATION, b"another host has an address you listed"))
            self._settle(lister)
        association = self._new(
            cookie.remote, cookie.their_port, cookie.our_tag, cookie.our_tsn, None
        )
        association.accept(cookie, now)
        association.establish(now)
        return association

    def _why_not(self, remote: str, now: float) -> list[Tlv] | None:
        """Why no association is set up with an address, as causes; None if one is."""
        if not self.listening:
            return []
        if len(self.associations) >= self.parameters.max_associations:
            reason = f"there are {len(self.associations)} associations already"
        elif not self.account.has_room_for(remote):
            reason = self.account.refuse(remote, now)
        else:
            return None
        return _out_of_resource(reason)

    def _act_on(
        self,
        verdict: Verdict,
        cookie: Cookie,
        association: EngineAssociation,
        route: Route,
        now: float,
    ) -> bool:
        """Do what a cookie comes to (5.2.4); return whether a COOKIE ACK is due."""
        match verdict:
            case Verdict.NEW:
                return True
            case Verdict.RESTART:
                if association.state is StatusState.SHUTDOWN_ACK_SENT:
                    association.refuse_restart(route, now)
                    self._settle(association)
                    return False
                self._tags.retire(association, now, self.parameters.cookie_life)
                self._address_book.release(association)
                association.restart(cookie, now)
                self._tags.owners[association.our_tag] = association
                return True
            case Verdict.COLLISION:
                if not association.half_open and association.state is not StatusState.ESTABLISHED:
                    return False
                association.collide(cookie, now)
                return True
            case Verdict.REPEATED:
                if association.state is StatusState.COOKIE_ECHOED:
                    association.establish(now)
                return True
            case _:
                return False

    # -- answers ---

    def _reply(self, reply: Reply, port: int, now: float) -> None:
        """Answer somebody of whom nothing is known, but not too often."""
        if reply.limited:
            rate = self.parameters.max_replies_per_second
            self._replies = max(0.0, self._replies - (now - self._replies_at) * rate)
            self._replies_at = now
            if self._replies >= rate:
                return
            self._replies += 1
        data = wire.seal(self._outlet.port, port, reply.tag, [reply.chunk])
        self._outlet.transmit(data, reply.route, self.parameters.tos, fragment=reply.fragment)

    # -- associations: their beginning and their end ---

    def _new(
        self, remote: str, port: int, tag: int, tsn: int, parameters: Parameters | None
    ) -> EngineAssociation:
        id, self._next_id = self._next_id, self._next_id + 1
        own = (parameters or self.parameters).copy()
        association = EngineAssociation(self._outlet, id, port, tag, tsn, own)
        association.unread.share = self.account.open(remote, self, id)
        self.associations[id] = self.shared[id] = association
        self._tags.owners[tag] = association
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
        if association.room_wanted and (
            association.outbound.has_room() or association.ended or association.shutting_down
        ):
            association.room_wanted = False
            self._with_room.append(association.id)
        if not association.ended:
            self._deadlines.changed.add(association.id)
            # What `_count` finds out, without calls for each packet.
            unread, inbound = association.unread, association.inbound
            share = unread.share
            if inbound is None or share is None or inbound.has_gaps:
                self._count(association)
                return
            held = _cost_of(association) + unread.messages + unread.events + inbound.held
            if not -PRECISION < held + inbound.streams_cost - share.held < PRECISION:
                self._count(association)
        elif association.id in self.associations:
            self._forget(association)

    def _count(self, association: EngineAssociation) -> None:
        """Note how much is held for an association, if that has changed."""
        unread, inbound = association.unread, association.inbound
        held = _cost_of(association) + unread.messages + unread.events
        if inbound is not None:
            held += inbound.memory
        share = unread.share
        if share is not None and not -PRECISION < held - share.held < PRECISION:
            self.account.count(share, held)

    def _forget(self, association: EngineAssociation) -> None:
        del self.associations[association.id]
        self.shared.pop(association.id, None)
        self._deadlines.forget(association.id)
        self._tags.retire(association, self._now, self.parameters.cookie_life)
        self._address_book.release(association)
        if association.failure and association.unread.own:
            self._failures[association.id] = association.failure
        self._count_unread(association.unread)


def _cookie_echo_in(chunks: Sequence[wire.Chunk]) -> wire.CookieEcho | None:
    """Return the COOKIE ECHO of a packet: its first chunk, or the one behind a leading AUTH."""
    first = chunks[0]
    if isinstance(first, wire.Auth) and len(chunks) > 1:
        first = chunks[1]
    return first if isinstance(first, wire.CookieEcho) else None


def _out_of_resource(reason: str) -> list[Tlv]:
    """Return cause 4, which has no room for a reason, and the reason in a cause of its own."""
    return [Tlv(Cause.OUT_OF_RESOURCE, b""), Tlv(Cause.USER_INITIATED_ABORT, reason.encode())]


def _cost_of(association: EngineAssociation) -> int:
    """Return the bytes that an association takes while nothing has arrived on it."""
    return ASSOCIATION_COST + PATH_COST * (len(association.paths) - 1)
