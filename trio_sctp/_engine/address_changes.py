"""Addresses of both ends that come and go while an association is up (RFC 5061).

Ours are added and deleted once the peer has agreed; what it asks for is done at once, and answered.
Which requests are outstanding and what was answered before, `asconf` knows; here they have their
effect: on the paths, and on what leaves from which address.  What concerns the state of the
association, and errors of its paths, is returned.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from .._log import logger, whose
from .._values import PeerAddressState
from . import wire
from .acknowledging import Acknowledgements
from .addresses import is_nearer, local_for
from .asconf import Change, Request, Requests, Responses, is_wildcard, read_change_untrusted
from .bundling import Bundler
from .heartbeats import Heartbeats
from .outbound import Outbound
from .outlet import Outlet
from .path import Path, Route, transport_address
from .paths import Paths
from .timers import T4
from .wire import AsconfParameter, Cause

if TYPE_CHECKING:
    from .association import EngineAssociation

# To look one up in its enum costs 80 ns.
_ADD: Final = AsconfParameter.ADD_ADDRESS
_DELETE: Final = AsconfParameter.DELETE_ADDRESS
_SET_PRIMARY: Final = AsconfParameter.SET_PRIMARY

_MOST_REQUESTS: Final = wire.MOST_LOOKED_AT - 1  # of an ASCONF; the first parameter is no request

MOST_EVENTS: Final = 2**14
"""Bytes of unread events beyond which the program is not told of what the peer's ASCONFs change: a
peer could send them without end."""


class AddressChanges:
    """What both ends of an association change about their addresses."""

    __slots__ = (
        "_acks",
        "_association",
        "_book",
        "_bundler",
        "_heartbeats",
        "_outbound",
        "_outlet",
        "_paths",
        "_requests",
        "_timers",
    )

    def __init__(
        self,
        association: EngineAssociation,
        outlet: Outlet,
        paths: Paths,
        outbound: Outbound,
        acks: Acknowledgements,
        bundler: Bundler,
        heartbeats: Heartbeats,
        timers: list[float],
        first_tsns: tuple[int, int],
    ) -> None:
        """``association`` is whose addresses these are in the address book; nothing is asked of it.

        ``first_tsns`` are ours and the peer's.
        """
        self._association: EngineAssociation = association
        self._outlet: Outlet = outlet
        self._book = outlet.address_book
        self._paths: Paths = paths
        self._outbound: Outbound = outbound
        self._acks: Acknowledgements = acks
        self._bundler: Bundler = bundler
        self._heartbeats: Heartbeats = heartbeats
        self._timers: list[float] = timers
        self._requests: Requests = Requests(*first_tsns)

    # -- our own addresses (5.1 and 5.3) ---

    def lasting_addresses(self) -> list[str]:
        """Return our addresses as the peer knows them once it has heard of all changes."""
        added = [one.address for one in self._requests.unanswered() if one.kind == _ADD]
        return [*self._staying(), *added] or self._paths.local_addresses()

    def unknown_to_peer(self) -> tuple[list[str], list[str]]:
        """Return which addresses of ours the peer does not know, and which of those that it knows
        we have no more: they have changed while the association was set up."""
        ours, known = self._book.addresses, self._paths.local_addresses()
        if not ours:
            return [], []
        added = [address for address in ours if address not in known]
        return added, [address for address in known if address not in ours]

    def ask_to_add(self, address: str) -> bool:
        """Have the peer asked to add an address of ours; return whether it is to be."""
        routes = [path.route for path in self._paths.values()]
        deleted = self._requests.is_asked(_DELETE, address)
        if not self._book.may_be_told(address, routes) or (
            not deleted and address in self._paths.local_addresses()
        ):
            return False
        self._requests.ask(_ADD, address)
        self._book.give_up(address, self._association)
        return True

    def ask_to_delete(self, address: str, may_ask: bool) -> bool:
        """Have the peer asked to delete an address of ours; return whether it is to be.

        `may_ask` says whether it can be asked: if not, the address is kept.
        """
        added = self._requests.is_asked(_ADD, address)
        if not added and address not in self._paths.local_addresses():
            return False
        self._book.keep(address, self._association)
        if not may_ask:
            return False
        if self._requests.ask(_DELETE, address):
            self._leave_local(address)
            return True
        if added and not self._requests.is_asked(_DELETE, address):
            self._book.give_up(address, self._association)  # the peer was never told
        return False

    def ask_for_primary(self, address: str) -> bool:
        """Have the peer asked to send to an address of ours; return whether it can be asked."""
        return self._requests.ask(_SET_PRIMARY, address)

    def is_leaving(self, address: str) -> bool:
        """Whether an address of ours is being deleted, or is deleted."""
        return self._requests.is_asked(_DELETE, address) or not self._book.has_local(
            address, self._association
        )

    def way_back(self, path: Path, route: Route) -> Route:
        """Return the route by which a packet is answered that has come by another than its path's.

        It is that route, if packets may leave from where it begins (F1, F4).
        """
        local, requests = route.local, self._requests
        if requests.outstanding == Request(_ADD, local):
            requests.heard_at = local  # its answer is under way, or was lost
        if requests.is_asked(_ADD, local) or self.is_leaving(local):
            return path.route._replace(remote_udp=route.remote_udp)
        return route

    def _staying(self) -> list[str]:
        """Return our addresses that the peer knows, and that are not being deleted."""
        requests = self._requests
        return [
            address
            for address in self._paths.local_addresses()
            if not requests.is_asked(_DELETE, address)
        ]

    def _sources(self) -> list[str]:
        """Return our addresses that packets may leave from (5.3, F1 and F4).

        While the peer knows no other, an address leaves that is to be deleted later.
        """
        return self._staying() or [
            address
            for address in self._paths.local_addresses()
            if self._requests.outstanding != Request(_DELETE, address)
        ]

    def _leave_local(self, address: str) -> bool:
        """Have packets leave from other addresses of ours than this; return whether they can.

        They cannot while there is no other that the peer knows (F5).
        """
        sources = self._staying()
        if not sources:
            return False
        paths = list(self._paths.values())
        kept = [path for path in paths if _source_for(path, sources) is not None]
        if not any(path.confirmed for path in kept):
            return False  # until one is confirmed
        for path in paths:
            if path.route.local == address:
                local = _source_for(path, sources)
                if local is not None:
                    path.route = path.route._replace(local=local)
        return True

    def _drop_unreached(self, address: str, now: float) -> None:
        """Drop the paths that only this address of ours has led to: it was that of its family."""
        for path in list(self._paths.values()):
            if path.route.local == address:
                self._drop_path(path, now)
                self._paths.beyond += (path.address,)

    def proceed(self, now: float) -> None:
        """Send the next request that may be sent, if none is outstanding (5.1, A3)."""
        requests = self._requests
        if requests.outstanding is not None or not requests.waiting:
            return
        for request in list(requests.waiting):
            if request.kind == _SET_PRIMARY and (
                request.address not in self._paths.local_addresses()
            ):
                requests.waiting.remove(request)  # the peer was not told of it after all (5.4)
            elif request.kind != _DELETE or self._leave_local(request.address):
                if request.kind == _DELETE:
                    self._drop_unreached(request.address, now)
                requests.begin(request, self._paths.for_data().route.local)
                self._send_asconf(now)
                return

    def _send_asconf(self, now: float) -> None:
        """Send the outstanding request, or send it again: then by another way (5.1, B4).

        Each second time it leaves from an address that is being added, the newest first: those that
        the peer knows may work no more (5.3, F1).  Once the peer is heard there, it leaves from
        there only.
        """
        requests = self._requests
        before = requests.path
        if before is None or before.address not in self._paths:
            path = self._paths.for_data()
        else:
            path = self._paths.for_retransmission(before)
        requests.path = path
        requests.tries += 1
        self._timers[T4] = now + path.rto
        added = [
            one.address
            for one in requests.unanswered()
            if one.kind == _ADD and (":" in one.address) == (":" in path.address)
        ]
        heard = requests.heard_at in added
        if not (heard or (added and requests.tries % 2 == 0)):
            self._bundler.control.append((path, requests.chunk))
        elif not self._paths.stranded:
            turn = -(requests.tries // 2 - 1) % len(added) - 1
            source = requests.heard_at if heard else added[turn]
            self._bundler.send_alone(path.route._replace(local=source), requests.chunk)

    def expired(self) -> Path | None:
        """The peer has not answered in time: return the path that failed (5.1, B1 to B5)."""
        path = self._requests.path
        if path is None or path.address not in self._paths:
            return None
        path.back_off()
        return path

    def send_again(self, now: float) -> None:
        """Send the outstanding request again, if there is one."""
        if self._requests.outstanding is not None:
            self._send_asconf(now)

    def is_illegal(self, ack: wire.AsconfAck) -> bool:
        """Whether an ASCONF ACK ends the association (5.3, F0)."""
        return self._requests.is_illegal(ack)

    def take_ack(self, ack: wire.AsconfAck, route: Route, now: float) -> tuple[bool, Path | None]:
        """Take an ASCONF ACK, which came by a route.

        Returns whether it answers the outstanding request, and the path on which that was sent.
        """
        sent_on = self._requests.path
        answered = self._requests.take_ack_untrusted(ack)
        if answered is None:
            return False, None
        self._timers[T4] = inf
        request, cause = answered
        if cause:
            logger.warning(
                "%s: the peer refuses a change of the address %s (cause %d)",
                self,
                request.address,
                cause,
            )
        elif request.kind == _ADD:
            self._local_was_added(request.address, route, now)
        elif request.kind == _DELETE:
            self._paths.told = [one for one in self._paths.told if one != request.address]
            self._book.give_up(request.address, self._association)
        if sent_on is not None and sent_on.address not in self._paths:
            sent_on = None
        return True, sent_on

    def _local_was_added(self, address: str, route: Route, now: float) -> None:
        """Use an address of ours which the peer knows from now on (5.3, F2)."""
        self._paths.told = [*self._paths.local_addresses(), address]
        for other in self._paths.beyond:
            if (":" in other) == (":" in address):
                self._reach(Route(address, other, route.local_udp, route.remote_udp), now)
        for path in self._paths.values():
            if is_nearer(address, path.route.local, path.address) or (
                # The answer came there, perhaps since no other address works.
                route.local == address and route.remote == path.address
            ):
                path.route = path.route._replace(local=address)

    def __str__(self) -> str:
        host = next(iter(self._paths), None)
        peer = None if host is None else transport_address(host, self._paths.peer_port)
        return whose(self._association.id, peer)

    # -- addresses of the peer that come and go (5.2 and 5.3) ---

    def is_named(self, packet: wire.Packet) -> bool:
        """Whether an ASCONF of a packet names the peer, by one of its addresses or by any (D2)."""
        known = {*self._paths, *self._paths.beyond}
        return any(
            isinstance(chunk, wire.Asconf)
            and (is_wildcard(chunk.address) or wire.address_untrusted(chunk.address) in known)
            for chunk in packet.chunks
        )

    def begin_packet(self) -> None:
        """Answer the ASCONFs of the next packet in one packet."""
        self._requests.begin_packet(self._room_for_answers())

    def take(self, chunk: wire.Asconf, route: Route, now: float) -> None:
        """Work off the requests of an ASCONF, which came by a route, and answer it."""
        requests = self._requests
        answer = requests.answer_before(chunk.serial)
        if answer is None:
            if not requests.is_next(chunk.serial):
                return
            responses = self._work_off(chunk, route, now)
            answer = requests.answered(chunk.serial, responses.listed)
        if not requests.may_answer(answer):
            return
        path = self._paths.get(route.remote)
        if path is None:
            local = self._local_for(route.remote, route)
            self._bundler.send_alone(route._replace(local=local or route.local), answer)
            requests.begin_packet(0)  # A peer has one request under way: its others ask again.
            return
        self._bundler.control.append((path, answer))
        if not path.confirmed and path.heartbeat_deadline == inf:
            self._heartbeats.probe_with_answer(path, now)

    def _local_for(self, address: str, route: Route) -> str | None:
        """Return where packets to an address of the peer leave from, one of which came by a route;
        None if it is not reached."""
        sources = self._sources()
        base = route if route.local in sources else route._replace(local=sources[0])
        return local_for(address, base, sources)

    def _room_for_answers(self) -> int:
        return self._paths.for_data().mtu - wire.HEADER_SIZE - self._bundler.auth_size

    def _work_off(self, chunk: wire.Asconf, route: Route, now: float) -> Responses:
        responses = Responses(self._room_for_answers())
        for number, parameter in enumerate(chunk.requests):
            if number == _MOST_REQUESTS or not responses.have_room(parameter):
                responses.refuse_rest(parameter)
                break
            kind = parameter.type
            if kind in (_ADD, _DELETE):
                change = read_change_untrusted(parameter, route.remote)
                if not responses.failing:
                    add = self._add_for_peer if kind == _ADD else self._delete_for_peer
                    responses.failing = add(change, route, now)
                responses.add(parameter, responses.failing)
            elif kind == _SET_PRIMARY:
                change = read_change_untrusted(parameter, route.remote)
                path = None if change.address is None else self._paths.get(change.address)
                if path is not None:
                    self._prefer(path)
                responses.add(parameter, 0 if path else Cause.UNRESOLVABLE_ADDRESS)
            else:
                # The two highest bits say what is to be done with it (RFC 9260 section 3.2.1).
                if kind & 0x4000:
                    responses.add(parameter, Cause.UNRECOGNIZED_PARAMETERS)
                if not kind & 0x8000:
                    break
        return responses

    def _add_for_peer(self, change: Change, route: Route, now: float) -> int:
        """Add an address of the peer; return the cause why not, 0 if it was added."""
        address, book, paths = change.address, self._book, self._paths
        if address is None:
            return Cause.UNRESOLVABLE_ADDRESS
        if address in paths:
            return 0
        same_port = paths.peer_port == self._outlet.port
        if not book.is_credible(address, route, same_port=same_port):
            return Cause.NO_AUTHORIZATION
        if (address, paths.peer_port) in book.owners:
            return Cause.NO_AUTHORIZATION
        local = self._local_for(address, route)
        most = paths.parameters.max_peer_addresses
        if local is None or len(paths) + len(paths.beyond) >= most:
            return Cause.RESOURCE_SHORTAGE
        self._reach(Route(local, address, route.local_udp, route.remote_udp), now)
        return 0

    def _reach(self, route: Route, now: float) -> None:
        """Begin to reach an address of the peer, unless it is another association's."""
        address, paths = route.remote, self._paths
        self._forget(address)
        if address not in paths and (address, paths.peer_port) not in self._book.owners:
            self._book.register(address, self._association, confirmed=False)
            path = paths.add(route, confirmed=False)
            self._heartbeats.probe_soon(now)
            self._report(path, PeerAddressState.ADDR_ADDED)

    def _forget(self, address: str) -> None:
        """Forget an address of the peer to which there is no path."""
        self._heartbeats.forget(address)
        self._paths.beyond = tuple([one for one in self._paths.beyond if one != address])

    def _delete_for_peer(self, change: Change, route: Route, now: float) -> int:
        """Delete an address of the peer; return the cause why not, 0 if it is deleted."""
        address, paths = change.address, self._paths
        if address is None:
            return Cause.UNRESOLVABLE_ADDRESS
        pathless = [address]
        if change.wildcard:
            gone = [path for path in paths.values() if path.address != address]
            pathless = [*self._heartbeats.awaited, *paths.beyond]
        else:
            if address == route.remote and len(paths) > 1:
                return Cause.DELETE_SOURCE_ADDRESS
            gone = [paths[address]] if address in paths else []
        if len(gone) == len(paths):
            return Cause.DELETE_LAST_ADDRESS
        for path in gone:
            self._drop_path(path, now)
        for one in pathless:
            self._forget(one)
        return 0

    def _prefer(self, path: Path) -> None:
        """Send to the address that the peer prefers (5.4)."""
        if path is not self._paths.primary:
            self._paths.primary = path
            self._report(path, PeerAddressState.ADDR_MADE_PRIM)

    def _drop_path(self, path: Path, now: float) -> None:
        """Take an address of the peer away; what is outstanding there goes elsewhere (5.3, F13)."""
        self._book.forget(path.address, self._association)
        self._heartbeats.forget(path.address)
        self._paths.remove(path)
        other = self._paths.for_data()
        self._outbound.leave(path, other, now)
        self._outlet.report_failures(self._association.id, self._outbound.failed)
        self._bundler.leave(path, other)
        if self._acks.path is path:
            self._acks.path = None
        self._report(path, PeerAddressState.ADDR_REMOVED)

    def _report(self, path: Path, state: PeerAddressState) -> None:
        id = self._association.id
        unread = self._outlet.arrivals.of(id)
        if unread is not None and unread.events <= MOST_EVENTS:
            self._outlet.report_path(id, path, state)


def _source_for(path: Path, sources: list[str]) -> str | None:
    return local_for(path.address, path.route._replace(local=sources[0]), sources)
