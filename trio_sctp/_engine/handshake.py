"""The passive half of the handshake (RFC 9260 sections 5.1 and 5.2), which keeps no state.

    INIT ────────> judged by the association whose peer it comes from, if there is one
         <──────── INIT ACK, with a cookie that holds all that is to be known of the INIT
    COOKIE ECHO ─> a verdict (5.2.4, table 12), for the engine to act upon

An INIT says who sent it, and anybody can say so.  It counts as an association's only if it comes
from an address that is confirmed there; whoever lists the address has no claim to it.
"""

from __future__ import annotations

import enum
import math
import struct
from typing import Final, NamedTuple

from .._options import StatusState
from . import wire
from .addresses import local_for
from .association import EngineAssociation
from .authentication import AuthOffer, read_offer
from .cookie import Cookie, CookieJar
from .extensions import agreed
from .offer import Offer, auth_offer, init_parameters
from .outlet import Outlet
from .parameters import Parameters
from .path import Route
from .tags import Tags
from .wire import Cause, ChunkType, ParameterType, Tlv

_U32: Final = 2**32 - 1


class Verdict(enum.Enum):
    """What a COOKIE ECHO with a valid cookie comes to."""

    NEW = "it sets up an association"
    RESTART = "the peer of an association has lost its state, and begins anew (action A)"
    COLLISION = "both sides have sent an INIT, and the peer's answer overtook (action B)"
    LATE = "it belongs to an attempt that another one has overtaken (action C)"
    REPEATED = "it has set up the association already (action D)"
    ENDED = "what it set up has ended"
    STALE = "it has lived too long (5.2.6)"


class Reply(NamedTuple):
    """A chunk that answers a peer of whom nothing else is known.

    Attributes:
      tag: The verification tag of the packet.
      chunk: The chunk, alone in its packet.
      route: Where it goes.
      fragment: Whether IP may fragment the packet.
      limited: Whether it counts as one of the replies that are limited in number.
    """

    tag: int
    chunk: bytes
    route: Route
    fragment: bool = False
    limited: bool = True


class Handshake:
    """Answers INITs, and judges cookies."""

    __slots__ = ("_book", "_jar", "_outlet", "_tags")

    def __init__(self, outlet: Outlet, tags: Tags) -> None:
        self._outlet: Outlet = outlet
        self._book = outlet.address_book
        self._tags: Tags = tags
        self._jar: CookieJar = CookieJar(outlet.randomness)

    # -- INIT ---

    def association_of(self, offer: Offer, route: Route, port: int) -> EngineAssociation | None:
        """Return the association by which an INIT is judged; None if it is a stranger's.

        While an association is being set up, an address that its peer lists counts too, and so
        does an INIT that lists an address to which we have sent our own (5.2.1).
        """
        owner = self._book.owners.get((route.remote, port))
        if owner is not None:
            return owner
        for lister in self._book.listers.get((route.remote, port), ()):
            if lister.half_open:
                return lister
        other = self._book.owner_of_any(offer.addresses, port)
        return other if other is not None and other.half_open else None

    def answer_stranger(
        self, offer: Offer, route: Route, port: int, parameters: Parameters, now: float
    ) -> Reply:
        """Answer an INIT that belongs to no association (5.1 B)."""
        tag, tsn = self._tags.new(port, now), self._outlet.number()
        told = self._book.told_to(route)
        return self._init_ack(offer, route, route, port, tag, tsn, (0, 0), told, parameters, now)

    def answer_peer(
        self,
        offer: Offer,
        route: Route,
        association: EngineAssociation,
        parameters: Parameters,
        now: float,
    ) -> Reply | None:
        """Answer an INIT from a peer with whom there is an association (5.2.1, 5.2.2)."""
        port = association.peer_port
        known = association.paths.get(route.remote)
        if known is not None and route.remote_udp != known.route.remote_udp:
            if association.life.silent:
                return self.answer_stranger(offer, route, port, parameters, now)
            if not association.half_open and not association.life.was_shown_to(offer.tag):
                association.ask_for_life(now, offer.tag)
                return None  # it comes again, and is answered when the peer's state is known
            ports = struct.pack("!HH", known.route.remote_udp, route.remote_udp)
            return refusal(offer.tag, route, Tlv(Cause.RESTART_WITH_NEW_ENCAPSULATION_PORT, ports))
        if association.state is StatusState.SHUTDOWN_ACK_SENT:
            association.repeat_shutdown_ack(now)
            return None
        back = route
        if association.state is StatusState.COOKIE_WAIT:
            # Section 5.2.1, rules 1 and 2: to an address that the program gave, and that it lists.
            if known is None or not known.confirmed:
                paths = association.paths
                given = [a for a in offer.addresses if a in paths and paths[a].confirmed]
                if not given:
                    return None
                back = paths[given[0]].route
        else:
            added = self._added_addresses(offer, route, association)
            if added:
                value = wire.tlvs(wire.address_parameter(address) for address in added)
                return refusal(offer.tag, route, Tlv(Cause.RESTART_WITH_NEW_ADDRESSES, value))
        ties = association.tie_tags
        authentication: AuthOffer | None = None
        if association.half_open:
            # Section 5.2.1: both sides send an INIT; ours keeps its tag.
            assert association.initiation.init is not None
            tag, tsn = association.our_tag, association.initiation.init.tsn
            told, parameters = association.paths.told, association.parameters
            authentication = read_offer(association.initiation.init.parameters)
            if association.state is StatusState.COOKIE_WAIT:
                ties = (0, 0)
        else:
            tag, tsn = self._tags.new(port, now), self._outlet.number()
            told = self._book.told_to(back)
            # What the program has not taken still fills the window.
            left = parameters.first_promise - association.unread.messages
            parameters = parameters.copy()
            parameters.first_window = max(left, 0)
        return self._init_ack(
            offer, route, back, port, tag, tsn, ties, told, parameters, now, authentication
        )

    def _added_addresses(
        self, offer: Offer, route: Route, association: EngineAssociation
    ) -> list[str]:
        """Return the addresses that an INIT would add to an association (5.2.1, 5.2.2)."""
        # Addresses that were not taken up at first either, as they lead nowhere or are another
        # association's, are not new.
        others = [address for address in offer.addresses if address != route.remote]
        others = others[: association.parameters.max_peer_addresses - 1]
        listed = [route.remote]
        book, same_port = self._book, association.peer_port == self._outlet.port
        listed += [
            address
            for address in others
            if book.is_credible(address, route, same_port=same_port)
            and local_for(address, route, association.paths.told) is not None
        ]
        known = association.paths.keys() | association.heartbeats.awaited.keys()
        return [address for address in listed if address not in known]

    def _init_ack(
        self,
        offer: Offer,
        came: Route,
        back: Route,
        port: int,
        tag: int,
        tsn: int,
        ties: tuple[int, int],
        told: list[str],
        parameters: Parameters,
        now: float,
        authentication: AuthOffer | None = None,
    ) -> Reply:
        """Answer an INIT, and forget it: all that is to be known is in the cookie.

        `authentication` is what our own INIT has said, if there was one (RFC 4895 section 6.1).
        """
        if offer.host_name is not None:
            cause = Tlv(Cause.UNRESOLVABLE_ADDRESS, wire.tlvs([offer.host_name]))
            return refusal(offer.tag, came, cause)
        extensions = agreed(offer.extensions, parameters)
        theirs = offer.authentication
        if theirs is not None and authentication is None:
            authentication = auth_offer(parameters, extensions, self._outlet.randomness)
        listed = [came.remote, *offer.addresses]
        others = [
            address
            for address in dict.fromkeys(listed)
            if address != back.remote
            and self._book.is_credible(address, came, same_port=port == self._outlet.port)
        ]
        cookie = Cookie(
            created=now,
            expires=now + parameters.cookie_life + min(offer.cookie_life, parameters.cookie_life),
            our_tag=tag,
            their_tag=offer.tag,
            our_tie_tag=ties[0],
            their_tie_tag=ties[1],
            our_port=self._outlet.port,
            their_port=port,
            our_tsn=tsn,
            their_tsn=offer.tsn,
            outbound_streams=min(parameters.outbound_streams, offer.inbound_streams),
            inbound_streams=min(parameters.inbound_streams, offer.outbound_streams),
            their_rwnd=offer.rwnd,
            udp_local=back.local_udp,
            udp_remote=back.remote_udp,
            extensions=extensions,
            local=back.local,
            remote=back.remote,
            addresses=tuple(others[: parameters.max_peer_addresses - 1]),
            adaptation=offer.adaptation,
            auth_offers=None
            if authentication is None or theirs is None
            else (authentication, theirs),
        )
        ours = map(wire.address_parameter, told)
        ack = wire.InitAck(
            tag,
            parameters.first_promise,
            cookie.outbound_streams,
            parameters.inbound_streams,
            tsn,
            [
                Tlv(ParameterType.STATE_COOKIE, self._jar.seal(cookie, now)),
                *(address for address in ours if offer.takes(address, back.remote)),
                *init_parameters(parameters, extensions, authentication),
                *offer.unrecognized,
            ],
        )
        # An answer goes to a path of which nothing is known yet.
        chunk = wire.init_chunk(ack)
        large = len(chunk) + wire.HEADER_SIZE > parameters.path_mtu
        return Reply(offer.tag, chunk, back, fragment=large, limited=False)

    # -- COOKIE ECHO ---

    def open_untrusted(self, echo: bytes, tag: int, port: int, now: float) -> Cookie | None:
        """Return the cookie of a COOKIE ECHO; None if it is not ours, or of other ports or tags."""
        cookie = self._jar.open_untrusted(echo, now)
        if (
            cookie is None
            or (cookie.our_port, cookie.their_port) != (self._outlet.port, port)
            or tag != cookie.our_tag
        ):
            return None
        return cookie

    def association_with(self, cookie: Cookie) -> EngineAssociation | None:
        """Return the association that a cookie's peer has with us; None if it has none."""
        association = self._tags.owners.get(cookie.our_tag)
        if association is not None and association.peer_port == cookie.their_port:
            return association
        return self._book.owners.get((cookie.remote, cookie.their_port))

    def judge(self, cookie: Cookie, association: EngineAssociation | None, now: float) -> Verdict:
        """Return what a COOKIE ECHO comes to.

        Args:
          cookie: Its cookie, which is ours.
          association: What `association_with` returned.
          now: Seconds.
        """
        if association is None:
            if self._tags.is_retired(cookie.our_tag, cookie.their_port, now):
                # Set up again from a repeated COOKIE ECHO, it would deliver its user data a second
                # time, with tags that were used (5.3.1).
                return Verdict.ENDED
            if now > cookie.expires or cookie.created <= self._tags.forgotten_at:
                return Verdict.STALE
            listers = self._book.listers.get((cookie.remote, cookie.their_port), ())
            if cookie.our_tag in self._tags.owners or any(one.half_open for one in listers):
                return Verdict.LATE  # both sides have started, and the one that we began is kept
            return Verdict.NEW
        ours = cookie.our_tag == association.our_tag
        theirs = cookie.their_tag == association.their_tag
        if ours and theirs:
            return Verdict.REPEATED
        if now > cookie.expires:
            return Verdict.STALE
        if ours:
            return Verdict.COLLISION
        ties = (cookie.our_tie_tag, cookie.their_tie_tag)
        if not theirs and ties == association.tie_tags:
            return Verdict.RESTART
        if association.life.silent and ties == (0, 0):
            return Verdict.NEW
        return Verdict.LATE

    def stale(self, cookie: Cookie, route: Route, now: float) -> Reply:
        """Answer a cookie that has lived too long (5.2.6)."""
        late = max(0, math.ceil((now - cookie.expires) * 1e6))
        cause = Tlv(Cause.STALE_COOKIE, struct.pack("!I", min(late, _U32)))
        return Reply(cookie.their_tag, wire.error_chunk([cause]), route)


def refusal(tag: int, route: Route, cause: Tlv | None) -> Reply:
    """Answer with an ABORT."""
    return Reply(tag, wire.abort_chunk([] if cause is None else [cause]), route)


def shutdown_complete(tag: int, route: Route) -> Reply:
    """Answer a SHUTDOWN ACK of an association that is over (8.4, 8.5.1 E)."""
    return Reply(tag, wire.shutdown_complete_chunk(reflected=True), route)


def out_of_the_blue(tag: int, route: Route) -> Reply:
    """Answer a packet of no association: the peer is to forget it (8.4, rule 8)."""
    return Reply(tag, wire.chunk(ChunkType.ABORT, b"", 1), route)
