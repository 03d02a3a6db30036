"""What leaves, and in which packet (RFC 9260 sections 6.1 and 6.10).

A packet is filled with control chunks first, then retransmissions, then new user data, as far as
the congestion windows and the peer's window allow.
"""

from __future__ import annotations

from math import inf
from typing import Final

from . import wire
from .acknowledging import Acknowledgements
from .authentication import Authentication
from .outbound import Outbound, SentChunk
from .outlet import Outlet
from .parameters import Parameters
from .path import Path, Route, heartbeat_info, host_of
from .path_mtu import PathMtuSearch
from .paths import Paths
from .recovery import Recovery
from .wire import HEADER_SIZE, ChunkType

_SMALLEST_SACK: Final = 32
_SMALLEST_FORWARD_TSN: Final = 32
_OF_ONE_PATH: Final = frozenset({ChunkType.HEARTBEAT, ChunkType.HEARTBEAT_ACK})
_TO_UNCONFIRMED: Final = _OF_ONE_PATH | {ChunkType.ASCONF_ACK}
_SMALLEST_DATA: Final = wire.DATA_OVERHEAD + 4
_IN_PROBE: Final = frozenset({ChunkType.HEARTBEAT, ChunkType.PAD})


class PacketBuilder:
    """Chunks that will leave together on one path.

    Attributes:
      path: Where it goes.
      chunks: Those that were added.
      data: How many of them are DATA; whoever adds one counts it.
      mixed: Whether there may be others than new DATA.
      again: Whether some of these are retransmitted.
      room: Bytes that still fit.
      fragment: Whether IP may fragment it: it holds one chunk that is larger than the path MTU.
    """

    __slots__ = ("again", "chunks", "data", "fragment", "mixed", "path", "room")

    def __init__(self, path: Path, reserve: int = 0) -> None:
        self.path: Path = path
        self.room: int = path.mtu - HEADER_SIZE - reserve
        self.fragment: bool = False
        self.chunks: list[bytes] = []
        self.data: int = 0
        self.mixed: bool = False
        self.again: bool = False

    def add(self, chunk: bytes) -> None:
        """Put a chunk behind the others; the caller has seen that it fits."""
        self.chunks.append(chunk)
        self.room -= len(chunk)
        self.mixed = True

    def enlarge(self, size: int) -> None:
        """Let one chunk in that is larger than the path MTU; IP may fragment the packet."""
        self.fragment = True
        self.room = size


class Bundler:
    """Fills the packets of an association, and has them leave.

    Attributes:
      their_tag: The verification tag that the peer wants to see; 0 if it is not known.
      authentication: Puts AUTH chunks in; None if the peer wants nothing to be authenticated.
      control: Chunks that wait for the next packet of their path.
      packets: Number of packets that have left, but for those of `alone`.
      chunks: Number of chunks in them.
      alone: Number of packets that have left with one control chunk and nothing else.
      ecn: Bits that let routers mark a packet with user data; 0 if that is not agreed on.
    """

    __slots__ = (
        "_acks",
        "_outbound",
        "_outlet",
        "_parameters",
        "_paths",
        "_peer_port",
        "_recovery",
        "alone",
        "authentication",
        "chunks",
        "control",
        "ecn",
        "packets",
        "their_tag",
    )

    def __init__(
        self,
        outlet: Outlet,
        parameters: Parameters,
        peer_port: int,
        paths: Paths,
        outbound: Outbound,
        acks: Acknowledgements,
        recovery: Recovery,
    ) -> None:
        self.their_tag: int = 0
        self.authentication: Authentication | None = None
        self.control: list[tuple[Path, bytes]] = []
        self.packets: int = 0
        self.chunks: int = 0
        self.alone: int = 0
        self.ecn: int = 0
        self._outlet: Outlet = outlet
        self._parameters: Parameters = parameters
        self._peer_port: int = peer_port
        self._paths: Paths = paths
        self._outbound: Outbound = outbound
        self._acks: Acknowledgements = acks
        self._recovery: Recovery = recovery

    # -- single packets ---

    @property
    def auth_size(self) -> int:
        """Bytes of an AUTH chunk; 0 if the peer wants nothing to be authenticated."""
        return 0 if self.authentication is None else self.authentication.size

    def send_packet(self, packet: PacketBuilder) -> None:
        """Have a packet leave."""
        chunks = packet.chunks
        # Most peers want at most control chunks to be authenticated, and most packets have none.
        if (packet.mixed or self._outbound.reserve) and self.authentication is not None:
            chunks = self.authentication.protect(chunks)
        self.packets += 1
        self.chunks += len(chunks)
        data = wire.seal(self._outlet.port, self._peer_port, self.their_tag, chunks)
        tos = self._parameters.tos
        # Not what is retransmitted, nor a zero-window probe (RFC 3168, sections 6.1.5 and 6.1.6).
        if self.ecn and packet.data and not packet.again and self._outbound.probe is None:
            tos = tos & ~3 | self.ecn
        self._outlet.transmit(data, packet.path.route, tos, fragment=packet.fragment)

    def send_alone(self, route: Route, chunk: bytes, tag: int | None = None) -> None:
        """Send a packet of one control chunk; with another tag than the peer's, if one is given."""
        chunks = [chunk]
        if self.authentication is not None and chunk[0] in self.authentication.wanted:
            chunks = self.authentication.protect(chunks)
            self.chunks += 1
        self.alone += 1
        tag = self.their_tag if tag is None else tag
        data = wire.seal(self._outlet.port, self._peer_port, tag, chunks)
        self._outlet.transmit(data, route, self._parameters.tos)

    def send_mtu_probe(self, path: Path, search: PathMtuSearch, now: float) -> None:
        """Send a packet of a size that may be too large (RFC 8899 section 6.2.1.2)."""
        nonce = self._outlet.randomness(8)
        packet = PacketBuilder(path)
        authentication = self.authentication
        if authentication is not None and not _IN_PROBE.isdisjoint(authentication.wanted):
            packet.room -= authentication.size
        packet.add(wire.heartbeat_chunk(heartbeat_info(path.address, nonce, now)))
        packet.add(wire.pad_chunk(packet.room + search.size - path.mtu))
        self.send_packet(packet)
        search.sent(nonce, now + max(path.rto, 1.0))  # PROBE_TIMER; not less (section 5.1.1)

    # -- control chunks ---

    def send_control(self, *, with_sack: bool = True) -> None:
        """Have all control chunks leave that wait, and a SACK if one is due and may leave."""
        acks = self._acks
        if acks.due and with_sack:
            path = acks.path or self._paths.for_data()
            reserve = self.auth_size if self.control else self._outbound.reserve
            sack = acks.sack(path.mtu - HEADER_SIZE - reserve)
            if acks.marked >= 0:
                self.control.append((path, wire.ecne_chunk(acks.marked)))
            if not self.control:  # as with nearly every packet that brings data
                self.send_alone(path.route, sack)
                return
            behind = self.control[0][1][0] == ChunkType.COOKIE_ACK  # which has to be the first
            self.control.insert(1 if behind else 0, (path, sack))
        while self.control:
            packet = PacketBuilder(self.control[0][0], self.auth_size)
            self._bundle_control(packet)
            if not packet.chunks:  # larger than a packet: it goes alone
                chunk = self.control.pop(0)[1]
                packet.enlarge(len(chunk))
                packet.add(chunk)
            self.send_packet(packet)

    def leave(self, path: Path, other: Path) -> None:
        """Have what waits for a path that is gone leave on another, but what is about that path."""
        self.control = [
            (other if where is path else where, chunk)
            for where, chunk in self.control
            if where is not path or chunk[0] not in _OF_ONE_PATH
        ]

    def drop_unfit(self) -> None:
        """Drop what waits, but what may go to addresses that are not confirmed."""
        self.control = [one for one in self.control if one[1][0] in _TO_UNCONFIRMED]

    def _bundle_control(self, packet: PacketBuilder) -> None:
        """Put in what waits for its path, as far as it fits."""
        rest: list[tuple[Path, bytes]] = []
        for where, chunk in self.control:
            if where is packet.path and len(chunk) <= packet.room:
                packet.add(chunk)
            else:
                rest.append((where, chunk))
        self.control = rest

    # -- user data ---

    def send_data(self, now: float, *, immediate: bool) -> None:
        """Have all user data leave that may, with what is due before it.

        `immediate` says that the association shuts down when this is acknowledged (RFC 7053).
        """
        outbound, recovery = self._outbound, self._recovery
        limits: dict[Path, int] = {}
        forced = outbound.retransmit_one
        outbound.retransmit_one = False
        usual = new_path = self._paths.for_data()
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
            may_send = path.flight < limit or forced
            packet = self._fill_packet(path, marked, new_path, limit, may_send, immediate, now)
            if packet is None:
                outbound.probe_due = False
                if outbound.window_shut:
                    outbound.window_shut = False
                    recovery.window_is_shut(path, now)
                return
            self.send_packet(packet)
            if packet.data:
                forced = False
                path.last_sent = now
                recovery.data_was_sent(path, now)
                if outbound.probe is not None:
                    return
                search = path.search
                if search is not None and outbound.queue and search.wanted(path.mtu, now):
                    self.send_mtu_probe(path, search, now)

    def _fill_packet(
        self,
        path: Path,
        marked: SentChunk | None,
        new_path: Path,
        limit: int,
        may_send: bool,
        immediate: bool,
        now: float,
    ) -> PacketBuilder | None:
        """Fill one packet with what may leave on a path; return None if nothing may.

        Args:
          path: Where it goes.
          marked: The first chunk that is to be retransmitted, which chose the path.
          new_path: Where new data goes.
          limit: Bytes in flight below which new data may leave.
          may_send: Whether user data may leave at all: below the limit, or as a retransmission that
            leaves whatever the limit (7.2.4, 3; 6.3.3, E3).
          immediate: As for `send_data`.
          now: Seconds.
        """
        outbound = self._outbound
        control = self.control or outbound.forward_due
        if not control and not (may_send and (marked is not None or outbound.queue)):
            return None
        packet = PacketBuilder(path, outbound.reserve)
        if may_send and marked is not None and len(marked.wire) > packet.room:
            # Made when packets could be larger: it goes alone, and IP may fragment it (7.3).
            packet.enlarge(len(marked.wire))
        elif control or self._acks.pending:
            self._bundle_before_data(packet, may_send, new_path, now)
        if may_send and marked is not None:
            self._bundle_retransmissions(packet, now)
            marked = outbound.peek_marked()
        # What is still marked did not fit, and goes before new data (6.1 C).
        if marked is None and path is new_path and path.flight < limit:
            self._bundle_new_data(packet, immediate, now)
        return packet if packet.chunks else None

    def _burst_limit(self, path: Path, now: float) -> int:
        """Bytes that may be in flight on a path when this occasion to send is over (6.1 D)."""
        outbound = self._outbound
        if path.flight == 0 and not outbound.probe_due and outbound.probe is None:
            path.idle(now)
        burst = path.parameters.max_burst
        if not burst:
            return path.cwnd
        fragment = path.mtu - HEADER_SIZE - wire.DATA_OVERHEAD
        return min(path.cwnd, path.flight + burst * fragment)

    def _bundle_before_data(
        self, packet: PacketBuilder, may_send: bool, new_path: Path, now: float
    ) -> None:
        """Put in the chunks that stand before DATA; a SACK, if one is due and data may follow."""
        if self.control:
            room = packet.room
            if not self._outbound.reserve:
                packet.room -= self.auth_size
            self._bundle_control(packet)
            if not packet.chunks:
                packet.room = room  # all of it is for other paths
        acks = self._acks
        if (
            may_send
            and acks.pending
            and packet.path is (acks.path or new_path)
            and packet.room >= _SMALLEST_SACK
        ):
            packet.add(acks.sack(packet.room))
            if acks.marked >= 0 and packet.room >= wire.ECNE_SIZE:
                packet.add(wire.ecne_chunk(acks.marked))
        outbound = self._outbound
        if outbound.forward_due and outbound.may_skip and packet.room >= _SMALLEST_FORWARD_TSN:
            packet.add(outbound.forward_tsn(packet.room))
            outbound.forward_due = False
            if packet.path.t3 == inf:
                packet.path.t3 = now + packet.path.rto

    def _bundle_retransmissions(self, packet: PacketBuilder, now: float) -> None:
        """Put in what is to be retransmitted, as far as it fits."""
        outbound = self._outbound
        while (chunk := outbound.next_marked(packet.room, now)) is not None:
            packet.add(chunk.wire)
            packet.data += 1
            packet.again = True
            outbound.sent_again(chunk, packet.path, now)
            if chunk is outbound.probe:
                break

    def _bundle_new_data(self, packet: PacketBuilder, immediate: bool, now: float) -> None:
        """Put in new data, as far as it fits."""
        outbound = self._outbound
        path = packet.path
        # Nagle: less than a packet waits until all is acknowledged.
        nagle = not path.parameters.no_delay and outbound.flight and not immediate
        if nagle and outbound.waits_below(packet.room):
            return
        # The inner loop of sending: what `PacketBuilder.add` does, without a call for each chunk.
        chunks, room = packet.chunks, packet.room
        before = len(chunks)
        queue = outbound.queue
        while (chunk := outbound.next_new(room, path, now, immediate=immediate)) is not None:
            chunks.append(chunk.wire)
            room -= len(chunk.wire)
            if room < _SMALLEST_DATA:
                break
            # Most large messages leave no room for another: that is seen here without a call.  One
            # that has expired gives way to those behind it, and a short segment may fit.
            if queue and not path.parameters.max_segment:
                first = queue[0]
                if (
                    len(first.data) - first.offset > room - wire.DATA_OVERHEAD
                    and first.expires > now
                ):
                    break
            if outbound.addressed and self._path_of_next(path) is not path:
                break
        packet.room = room
        packet.data += len(chunks) - before
        if outbound.schedule is not None:
            outbound.packet_is_full()

    def _path_of_next(self, usual: Path) -> Path:
        """Return where the next message goes: to its own address, while that works."""
        queue = self._outbound.queue
        address = queue[0].info.address if queue else None
        if address is None:
            return self._paths.for_data() if queue else usual
        path = self._paths.get(host_of(address))
        return path if path is not None and path.usable else self._paths.for_data()

    def _path_again(self, chunk: SentChunk) -> Path:
        """Where to retransmit a chunk: what SACKs told of went by a path that works (6.4)."""
        path = chunk.path
        if len(self._paths) == 1 or (chunk.fast and path.usable):
            return path
        return self._paths.for_retransmission(path)
