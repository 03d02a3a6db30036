"""The simulated network: packets between IP addresses, as discrete events.

A packet passes, in this order:

    route        the program's hook: drops, changes, copies, delays, diverts
    up           a link that is down, or a partition, drops it
    mtu          too large, and not to be fragmented: dropped
    queue        full: dropped; else it waits until those in front have been transmitted
    bandwidth    its own transmission takes time
    loss         lost on the way, having taken its bandwidth
    delay        and jitter, order kept
    duplication  the copy follows the original directly and takes no bandwidth
    corruption   of each copy
    reordering   of each copy: held back, while others pass
    up           dropped at the other end, if the link went down meanwhile

All that happens to it is decided when it is transmitted, but for the last step.
"""

from __future__ import annotations

import dataclasses
import heapq
import ipaddress
import os
import random
from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from typing import BinaryIO, Final, NamedTuple, final

from ._capture import Capture

_MAX_PACKET = 65535
_IP_HEADER = {4: 20, 6: 40}

_PROBABILITIES = frozenset({"loss", "reordering", "duplication", "corruption"})
_LENGTHS = frozenset({"delay", "jitter", "reorder_delay", "overhead"})


@final
@dataclasses.dataclass(slots=True, kw_only=True)
class Link:
    """How packets get from one address to another; the default is a perfect wire.

    Each direction has a queue and a transmitter of its own, also where both share one `Link`.
    Fields may be set at any time, for the packets that are transmitted from then on.

    The size of a packet is what is transmitted plus an IP header (20 bytes, or 40 for IPv6) plus
    ``overhead``.

    Attributes:
      delay: Seconds, one way.
      jitter: Seconds: up to so many more, uniformly distributed.  It keeps the order, as queues
        do: a packet does not arrive before the one in front.
      bandwidth: Bits per second, or None for no limit.
      queue: Packets that may wait behind the one in transmission; more are dropped (drop-tail).
        None for no limit.  Without a limit to ``bandwidth`` none ever waits.
      loss: Probability that a packet is lost.
      reordering: Probability that a packet is held back by ``reorder_delay``, while others pass.
      reorder_delay: Seconds.
      duplication: Probability that a packet arrives twice.
      corruption: Probability that one bit of a packet is flipped, none of its IP header.
      mtu: Bytes of the largest packet that fits; larger ones are dropped, unless they may be
        fragmented.  None for the 65535 that IP itself allows.
      overhead: Bytes that each packet has besides, for instance 8 for a UDP header (RFC 6951).
      up: Whether it carries packets.  Setting it to False also drops those on the way, unless it
        is True again by the time of their arrival.
    """

    delay: float = 0.0
    jitter: float = 0.0
    bandwidth: float | None = None
    queue: int | None = None
    loss: float = 0.0
    reordering: float = 0.0
    reorder_delay: float = 0.01
    duplication: float = 0.0
    corruption: float = 0.0
    mtu: int | None = None
    overhead: int = 0
    up: bool = True

    def __setattr__(self, name: str, value: float | None) -> None:
        if name in _PROBABILITIES:
            if value is None or not 0 <= value <= 1:
                raise ValueError(f"{name} is a probability, from 0 to 1, not {value!r}")
        elif name in _LENGTHS:
            if value is None or not 0 <= value < inf:
                raise ValueError(f"{name} is finite and not negative, not {value!r}")
        elif name == "queue":
            if value is not None and not value >= 0:
                raise ValueError(f"queue is not negative, or None, not {value!r}")
        elif name in ("bandwidth", "mtu") and value is not None and not value > 0:
            raise ValueError(f"{name} is more than 0, or None, not {value!r}")
        object.__setattr__(self, name, value)


class Delivery(NamedTuple):
    """A packet that has arrived.

    Attributes:
      data: The packet, without IP header.
      source: IP address of the sender.
      destination: IP address that it was sent to.
      time: When it arrived, in seconds.
    """

    data: bytes
    source: str
    destination: str
    time: float


class RoutedPacket(NamedTuple):
    """A packet that is being transmitted, as `Network.route` sees it.

    Attributes:
      data: The packet, without IP header.
      source: IP address of the sender.
      destination: IP address that it goes to.
      now: Seconds.
      delay: Seconds more that it takes; others pass meanwhile.
      fragment: Whether IP may fragment it, where it is larger than the MTU.
    """

    data: bytes
    source: str
    destination: str
    now: float
    delay: float = 0.0
    fragment: bool = False


@final
@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatistics:
    """Packets of one direction of a link, so far.

    ``sent`` and ``duplicated`` together are all of ``delivered``, ``in_flight``, ``lost``,
    ``queue_drops``, ``mtu_drops``, ``down_drops`` and ``route_drops``.

    Attributes:
      sent: Transmitted.  With a `Network.route`, what that returned, or the packet of which it
        returned nothing.
      delivered: Arrived, copies included.
      in_flight: In the queue or on the way, copies included.
      lost: By ``Link.loss``.
      queue_drops: Found the queue full.
      mtu_drops: Were too large.
      down_drops: The link was down, or cut by a partition.
      route_drops: Dropped by `Network.route`.
      duplicated: Copied on the way.
      corrupted: Had a bit flipped.
      reordered: Were held back.
    """

    sent: int
    delivered: int
    in_flight: int
    lost: int
    queue_drops: int
    mtu_drops: int
    down_drops: int
    route_drops: int
    duplicated: int
    corrupted: int
    reordered: int


class _Direction:
    """From one address to another: the state of a link, and its counts."""

    __slots__ = (
        "corrupted",
        "cut",
        "delivered",
        "destination",
        "down_drops",
        "duplicated",
        "free_at",
        "header",
        "last_arrival",
        "link",
        "lost",
        "mtu_drops",
        "queue_drops",
        "reordered",
        "route_drops",
        "sent",
        "source",
        "waiting",
    )

    def __init__(self, source: str, destination: str, header: int, link: Link) -> None:
        self.source = source
        self.destination = destination
        self.header = header
        self.link = link
        self.cut = False  # by a partition
        self.free_at = -inf  # when the transmitter will have transmitted all that it has
        self.waiting: deque[float] = deque()  # when each packet of the queue is to leave it
        self.last_arrival = -inf  # of those in order
        self.sent = self.delivered = self.lost = 0
        self.queue_drops = self.mtu_drops = self.down_drops = self.route_drops = 0
        self.duplicated = self.corrupted = self.reordered = 0


@final
class Network:
    """A network of IP addresses, with a link between each two.

    It starts no task and reads no clock.  Whoever runs it tells it the time, in seconds, never
    less than before::

        network.transmit(packet, "10.0.0.1", "10.0.0.2", 0.0)
        while (now := network.next_deadline()) is not None:
            for delivery in network.deliver(now):
                ...  # hand it to its destination, which may transmit again

    An address needs no registration, and links that nobody has set are ``default_link``.  All
    that is random comes from one generator: the same seed and the same calls give the same result.

    Attributes:
      default_link: The link between all addresses that have none of their own.
      route: Called with each packet that is transmitted.  It returns the packets to transmit in
        its place: none, to drop it; changed ones (``packet._replace(data=...)``); several; to
        other addresses.  None leaves the packet as it is.  ``now`` cannot be changed.
    """

    def __init__(self, seed: int = 0, *, default_link: Link | None = None) -> None:
        self.default_link: Final = default_link or Link()
        self.route: Callable[[RoutedPacket], Iterable[RoutedPacket] | None] | None = None
        self._random = random.Random(seed)
        self._directions: dict[tuple[str, str], _Direction] = {}
        self._spelled: dict[tuple[str, str], _Direction] = {}  # also under other spellings
        # (time of arrival, number, where, data), a heap.
        self._in_flight: list[tuple[float, int, _Direction, bytes]] = []
        self._number = 0
        self._captures: list[Capture] = []

    # -- packets -------------------------------------------------------------------------------

    def transmit(
        self, data: bytes, source: str, destination: str, now: float, *, fragment: bool = False
    ) -> None:
        """Send a packet, which `deliver` returns when it arrives, if it does.

        Args:
          data: An SCTP packet, without IP header.
          source: IP address that it comes from.
          destination: IP address that it goes to.
          now: Seconds.
          fragment: Whether IP may fragment it, so that it passes whatever the MTU.  Its fragments
            share one fate.

        Raises:
          ValueError: Something is no IP address, or one is IPv4 and the other IPv6.
        """
        direction = self._spelled.get((source, destination))
        if direction is None:
            direction = self._direction(source, destination)
        if self.route is not None:
            self._route(data, direction, now, fragment, self.route)
            return
        fate = self._send(data, direction, now, 0.0, fragment)
        if self._captures:
            self._record(data, direction, now, fate)

    def next_deadline(self) -> float | None:
        """When the next packet arrives, in seconds; None if none is on the way."""
        return self._in_flight[0][0] if self._in_flight else None

    def deliver(self, now: float) -> list[Delivery]:
        """All packets that have arrived by ``now``, by time of arrival, then of transmission."""
        in_flight = self._in_flight
        deliveries: list[Delivery] = []
        while in_flight and in_flight[0][0] <= now:
            time, _, direction, data = heapq.heappop(in_flight)
            if direction.cut or not direction.link.up:
                direction.down_drops += 1
                continue
            direction.delivered += 1
            deliveries.append(Delivery(data, direction.source, direction.destination, time))
        return deliveries

    # -- links ---------------------------------------------------------------------------------

    def link(self, a: str, b: str) -> Link:
        """The link from address ``a`` to ``b``, to change it.

        If it was ``default_link`` so far, it becomes one of its own, with the same settings, which
        the other direction shares unless that has one already.
        """
        there = self._direction(a, b)
        if there.link is self.default_link:
            back = self._direction(b, a)
            there.link = dataclasses.replace(self.default_link)
            if back.link is self.default_link:
                back.link = there.link
        return there.link

    def set_link(self, a: str, b: str, link: Link, *, both: bool = True) -> None:
        """Have ``link`` carry the packets from address ``a`` to ``b`` and, if ``both``, back.

        What is in the queue and on the way stays there.
        """
        self._direction(a, b).link = link
        if both:
            self._direction(b, a).link = link

    def partition(self, group_a: Iterable[str], group_b: Iterable[str]) -> None:
        """Let nothing through, nor arrive, between addresses of two groups, until `heal`.

        Partitions add up.
        """
        # Sorted, for a set has no order that would be the same in every run.
        for a, b in [(a, b) for a in sorted(_group(group_a)) for b in sorted(_group(group_b))]:
            # A host may have addresses of both families; nothing leads from one to the other.
            if ipaddress.ip_address(a).version == ipaddress.ip_address(b).version:
                self._direction(a, b).cut = True
                self._direction(b, a).cut = True

    def heal(self) -> None:
        """End all partitions.  Links that are down stay so."""
        for direction in self._directions.values():
            direction.cut = False

    # -- what happened -------------------------------------------------------------------------

    def statistics(self) -> dict[tuple[str, str], LinkStatistics]:
        """What became of the packets, by (source, destination)."""
        in_flight = dict.fromkeys(self._directions.values(), 0)
        for _, _, direction, _ in self._in_flight:
            in_flight[direction] += 1
        return {
            addresses: LinkStatistics(
                sent=direction.sent,
                delivered=direction.delivered,
                in_flight=in_flight[direction],
                lost=direction.lost,
                queue_drops=direction.queue_drops,
                mtu_drops=direction.mtu_drops,
                down_drops=direction.down_drops,
                route_drops=direction.route_drops,
                duplicated=direction.duplicated,
                corrupted=direction.corrupted,
                reordered=direction.reordered,
            )
            for addresses, direction in self._directions.items()
        }

    def capture(self, file: str | os.PathLike[str] | BinaryIO) -> Capture:
        """Write all packets that are transmitted from now on to a pcapng file::

            with network.capture("test.pcapng"):
                ...

        Each packet is there once, as and when it was sent, with an IP header.  If anything happens
        to it, a comment says so: "dropped: the queue is full" (in Wireshark the filter
        ``frame.comment contains "dropped"`` finds these), "corrupted", "duplicated", "reordered".
        That a link went down while it was on the way is not known by then.

        Args:
          file: A path, or a binary file open for writing, which stays open.

        Raises:
          ImportError: It takes the package python-pcapng: ``pip install trio_sctp[testing]``.
        """
        capture = Capture(file, self._captures.remove)
        self._captures.append(capture)
        return capture

    # -- inside --------------------------------------------------------------------------------

    def _direction(self, source: str, destination: str) -> _Direction:
        """The direction between two addresses, which may be new, however they are spelled."""
        src = ipaddress.ip_address(source)
        dst = ipaddress.ip_address(destination)
        if src.version != dst.version:
            raise ValueError(f"nothing leads from {source} (IPv{src.version}) to {destination}")
        addresses = (str(src), str(dst))
        direction = self._directions.get(addresses)
        if direction is None:
            direction = _Direction(*addresses, _IP_HEADER[src.version], self.default_link)
            self._directions[addresses] = direction
        self._spelled[source, destination] = direction
        return direction

    def _route(
        self,
        data: bytes,
        direction: _Direction,
        now: float,
        fragment: bool,
        route: Callable[[RoutedPacket], Iterable[RoutedPacket] | None],
    ) -> None:
        packet = RoutedPacket(data, direction.source, direction.destination, now, fragment=fragment)
        packets = route(packet)
        if isinstance(packets, RoutedPacket):  # which is an iterable too, of other things
            raise TypeError("Network.route returns a list of packets, or None, not one packet")
        routed = [packet] if packets is None else list(packets)
        for data, source, destination, _, delay, fragment in routed:
            if not 0 <= delay < inf:
                raise ValueError(f"a packet cannot be delayed by {delay!r} seconds")
            direction = self._direction(source, destination)
            fate = self._send(data, direction, now, delay, fragment)
            self._record(data, direction, now, fate)
        if not routed:
            direction.sent += 1
            direction.route_drops += 1
            self._record(data, direction, now, "dropped: by the route hook")

    def _send(
        self, data: bytes, direction: _Direction, now: float, extra: float, fragment: bool
    ) -> str:
        """Put a packet on its way; returns what happened to it, "" if nothing did."""
        direction.sent += 1
        link = direction.link
        if direction.cut or not link.up:
            direction.down_drops += 1
            return "dropped: the link is down"
        size = len(data) + direction.header + link.overhead
        if size > _MAX_PACKET or (link.mtu is not None and size > link.mtu and not fragment):
            direction.mtu_drops += 1
            return "dropped: larger than the MTU"

        if link.bandwidth is not None:
            start = now
            waiting = direction.waiting
            while waiting and waiting[0] <= now:
                waiting.popleft()
            if direction.free_at > now:
                if link.queue is not None and len(waiting) >= link.queue:
                    direction.queue_drops += 1
                    return "dropped: the queue is full"
                start = direction.free_at
                waiting.append(start)
            direction.free_at = start + size * 8 / link.bandwidth
            arrival = direction.free_at + link.delay
        else:
            arrival = now + link.delay

        if link.loss and self._random.random() < link.loss:
            direction.lost += 1
            return "dropped: lost"
        if link.jitter:
            arrival += self._random.random() * link.jitter
        if arrival < direction.last_arrival:
            arrival = direction.last_arrival
        if extra or link.duplication or link.corruption or link.reordering:
            return self._send_impaired(data, direction, arrival, extra)
        direction.last_arrival = arrival
        self._number += 1
        heapq.heappush(self._in_flight, (arrival, self._number, direction, data))
        return ""

    def _send_impaired(
        self, data: bytes, direction: _Direction, arrival: float, extra: float
    ) -> str:
        link = direction.link
        draw = self._random.random
        happened: list[str] = []
        copies = 1
        if link.duplication and draw() < link.duplication:
            direction.duplicated += 1
            happened.append("duplicated")
            copies = 2
        for _ in range(copies):
            arriving = data
            held_back = extra
            if data and link.corruption and draw() < link.corruption:
                direction.corrupted += 1
                happened.append("corrupted")
                arriving = self._flip_a_bit(data)
            if link.reordering and draw() < link.reordering:
                direction.reordered += 1
                happened.append("reordered")
                held_back += link.reorder_delay
            if not held_back:
                direction.last_arrival = arrival
            self._number += 1
            heapq.heappush(
                self._in_flight, (arrival + held_back, self._number, direction, arriving)
            )
        return ", ".join(happened)

    def _flip_a_bit(self, data: bytes) -> bytes:
        position = self._random.randrange(len(data) * 8)
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        return bytes(flipped)

    def _record(self, data: bytes, direction: _Direction, now: float, fate: str) -> None:
        for capture in self._captures:
            capture.write(data, direction.source, direction.destination, now, fate)


def _group(addresses: Iterable[str]) -> set[str]:
    if isinstance(addresses, str):
        raise TypeError(f"a group of addresses is a list, not {addresses!r}")
    return {str(ipaddress.ip_address(address)) for address in addresses}
