"""The simulated network: packets between IP addresses, as discrete events.

A packet passes, in this order:

    route        the program's hook may drop, change, copy, delay or divert it
    up           it is dropped if the link is down, or cut by a partition
    mtu          it is dropped if it is too large and must not be fragmented
    queue        it is dropped if the queue is full, or else waits for those in front of it
    bandwidth    its own transmission takes time
    loss         it may be lost on the way, after it has taken its bandwidth
    delay        it takes time to arrive, with jitter; packets keep their order
    duplication  a copy may follow the original directly, which takes no bandwidth
    corruption   each copy may have a bit flipped
    reordering   each copy may be held back while others pass
    up           it is dropped at the other end if the link has gone down meanwhile

What happens to a packet is decided when it is transmitted, except for the last step.
"""

from __future__ import annotations

import dataclasses
import heapq
import ipaddress
import os
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import BinaryIO, NamedTuple, final

from .._capture import Capture
from .._checks import check_bool, check_integer, check_number, check_packet, ip_address
from .._engine.wire import SMALLEST_PACKET

_MAX_PACKET = 65535
_IP_HEADER = {4: 20, 6: 40}
_LEAST_MTU = _IP_HEADER[4] + SMALLEST_PACKET

_PROBABILITIES = frozenset({"loss", "reordering", "duplication", "corruption"})
_LENGTHS = frozenset({"delay", "jitter", "reorder_delay", "overhead"})
_INTEGERS = frozenset({"queue", "marking", "mtu", "overhead"})


@final
@dataclasses.dataclass(slots=True, kw_only=True)
class Link:
    """How packets get from one address to another; the default is a perfect wire.

    Each direction has its own queue and transmitter, even if both directions share one `Link`.
    Fields may be set at any time; they apply to packets that are transmitted from then on.

    The size of a packet is the number of bytes that are transmitted, plus an IP header (20 bytes,
    or 40 for IPv6), plus ``overhead``.

    Attributes:
      delay: Seconds that a packet takes, one way.
      jitter: Up to this many seconds more, uniformly distributed.  Jitter keeps the order, as
        queues do: a packet does not arrive before the one in front of it.
      bandwidth: Bits per second, or None for no limit.
      queue: Packets that may wait behind the one in transmission, or None for no limit.  More
        are dropped (drop-tail).  Without a limit on ``bandwidth`` no packet ever waits.
      marking: Packets that may wait before those that come are marked to say that there is
        congestion (RFC 3168), if their sender can heed that; None for no marks.
      loss: Probability that a packet is lost.
      reordering: Probability that a packet is held back by ``reorder_delay``, while others pass.
      reorder_delay: Seconds that such a packet is held back.
      duplication: Probability that a packet arrives twice.
      corruption: Probability that one bit of a packet is flipped.  IP headers stay intact.
      mtu: Size of the largest packet that fits, in bytes, 36 (an empty chunk) or more, or None for
        the 65535 that IP allows.  Larger packets are dropped unless they may be fragmented.
      overhead: Bytes that each packet has in addition, for instance 8 for a UDP header (RFC 6951).
      up: Whether the link carries packets.  Setting it to False also drops the packets on their
        way, unless it is True again by the time they arrive.

    A value of the wrong type is a TypeError, one out of range a ValueError; the field keeps its
    value then.
    """

    delay: float = 0.0
    jitter: float = 0.0
    bandwidth: float | None = None
    queue: int | None = None
    marking: int | None = None
    loss: float = 0.0
    reordering: float = 0.0
    reorder_delay: float = 0.01
    duplication: float = 0.0
    corruption: float = 0.0
    mtu: int | None = None
    overhead: int = 0
    up: bool = True

    def __setattr__(self, name: str, value: float | None) -> None:
        if name == "up":
            check_bool(name, value)
        elif value is not None:
            (check_integer if name in _INTEGERS else check_number)(name, value)
        if name in _PROBABILITIES:
            if value is None or not 0 <= value <= 1:
                raise ValueError(f"{name} must be a probability between 0 and 1, not {value!r}")
        elif name in _LENGTHS:
            if value is None or not 0 <= value < inf:
                raise ValueError(f"{name} must be a finite number of at least 0, not {value!r}")
        elif name in ("queue", "marking"):
            if value is not None and not value >= 0:
                raise ValueError(f"{name} must be at least 0, or None, not {value!r}")
        elif name == "bandwidth":
            if value is not None and not value > 0:
                raise ValueError(f"bandwidth must be more than 0, or None, not {value!r}")
        elif name == "mtu" and value is not None and not value >= _LEAST_MTU:
            raise ValueError(f"mtu must be at least {_LEAST_MTU}, or None, not {value!r}")
        object.__setattr__(self, name, value)


class Delivery(NamedTuple):
    """A packet that has arrived.

    Attributes:
      data: The packet, without IP header.
      source: IP address of the sender.
      destination: IP address that it was sent to.
      time: Time of its arrival, in seconds.
      tos: Type of service, whose two lowest bits are 3 if a router has marked it (RFC 3168).
    """

    data: bytes
    source: str
    destination: str
    time: float
    tos: int = 0


class RoutedPacket(NamedTuple):
    """A packet that is being transmitted, as `Network.route` sees it.

    Attributes:
      data: The packet, without IP header.
      source: IP address of the sender.
      destination: IP address that it goes to.
      now: Time in seconds.
      delay: Seconds by which to delay it further, while others pass.
      fragment: Whether IP may fragment it if it is larger than the MTU.
      tos: Type of service, whose two lowest bits are 2 if routers may mark it (RFC 3168), and 3 if
        one has.
    """

    data: bytes
    source: str
    destination: str
    now: float
    delay: float = 0.0
    fragment: bool = False
    tos: int = 0


@final
@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatistics:
    """What has become of the packets of one direction of a link so far.

    ``sent`` plus ``duplicated`` is the sum of ``delivered``, ``in_flight``, ``lost``,
    ``queue_drops``, ``mtu_drops``, ``down_drops`` and ``route_drops``.

    Attributes:
      sent: Packets transmitted.  With a `Network.route`, those that it returned, and those for
        which it returned none.
      delivered: Packets that arrived, copies included.
      in_flight: Packets in the queue or on their way, copies included.
      lost: Packets lost by ``Link.loss``.
      queue_drops: Packets that found the queue full.
      mtu_drops: Packets that were too large.
      down_drops: Packets dropped because the link was down, or cut by a partition.
      route_drops: Packets dropped by `Network.route`.
      duplicated: Packets copied on the way.
      corrupted: Packets that had a bit flipped.
      reordered: Packets that were held back.
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
    """One direction of a link: its state and its counts."""

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
        self.free_at = -inf  # when the transmitter will have sent everything it was given
        self.waiting: deque[float] = deque()  # when each packet of the queue leaves it
        self.last_arrival = -inf  # of the packets in order
        self.sent = self.delivered = self.lost = 0
        self.queue_drops = self.mtu_drops = self.down_drops = self.route_drops = 0
        self.duplicated = self.corrupted = self.reordered = 0


@final
class Network:
    """A network of IP addresses, with a link between any two of them.

    It starts no task and reads no clock.  Its caller tells it the time in seconds, which never
    goes backwards::

        network.transmit(packet, "10.0.0.1", "10.0.0.2", 0.0)
        while (now := network.next_deadline()) is not None:
            for delivery in network.deliver(now):
                ...  # hand it to its destination, which may transmit again

    Addresses need no registration, except on a `SimulatedNetwork`, where they are those of its
    hosts.  A link that was never set is ``default_link``.  All random
    numbers come from one generator: the same seed and the same calls give the same result.

    An argument of the wrong type is a TypeError.

    Attributes:
      default_link: The link between all addresses that have none of their own.
      route: A function that is called with each packet that is transmitted, or None.  It returns
        the packets to transmit instead: an empty list to drop it, changed ones
        (``packet._replace(data=...)``), several, or some to other addresses.  If it returns None
        the packet stays as it is.  It cannot change ``now``.
    """

    def __init__(self, seed: int = 0, *, default_link: Link | None = None) -> None:
        check_integer("seed", seed)
        self._default_link = (
            Link() if default_link is None else _checked("default_link", default_link)
        )
        self._hook: Callable[[RoutedPacket], Iterable[RoutedPacket] | None] | None = None
        self._random = random.Random(seed)
        self._directions: dict[tuple[str, str], _Direction] = {}
        self._spelled: dict[tuple[str, str], _Direction] = {}  # also under other spellings
        # (time of arrival, number, where, data), a heap.
        self._in_flight: list[tuple[float, int, _Direction, bytes, int]] = []
        self._number = 0
        self._writers: list[Callable[[bytes, str, str, float, str], object]] = []
        self._dropped_late: list[Callable[[bytes, str, str], object]] = []
        self._hosts: Mapping[str, object] | None = None  # by address, if only these exist

    @property
    def default_link(self) -> Link:
        return self._default_link

    @property
    def route(self) -> Callable[[RoutedPacket], Iterable[RoutedPacket] | None] | None:
        return self._hook

    @route.setter
    def route(self, hook: Callable[[RoutedPacket], Iterable[RoutedPacket] | None] | None) -> None:
        if hook is not None and not callable(hook):
            raise TypeError(f"route must be a function of a packet, or None, not {hook!r}")
        self._hook = hook

    def hosts_are(self, hosts: Mapping[str, object]) -> None:
        """Not for programs to call: links and partitions are of these hosts alone, by address."""
        self._hosts = hosts

    # -- packets -------------------------------------------------------------------------------

    def transmit(
        self,
        data: bytes,
        source: str,
        destination: str,
        now: float,
        *,
        fragment: bool = False,
        tos: int = 0,
    ) -> None:
        """Send a packet.  `deliver` returns it when it arrives, if it does.

        Args:
          data: An SCTP packet, without IP header.
          source: IP address that it comes from.
          destination: IP address that it goes to.
          now: Time in seconds.
          fragment: Whether IP may fragment it, so that it passes whatever the MTU is.  The
            fragments of a packet share its fate.
          tos: Type of service, 0 to 255.

        Raises:
          ValueError: an address is not an IP address, or one is IPv4 and the other IPv6.
        """
        # In one line, as each packet comes by here.
        if not (type(data) is bytes and type(now) is float and type(fragment) is bool):
            check_packet(data)
            check_number("now", now)
            check_bool("fragment", fragment)
        if tos:
            check_integer("tos", tos, 0, 255)
        if not -inf < now < inf:
            raise ValueError(f"now must be a finite number of seconds, not {now!r}")
        direction = self._spelled.get((source, destination))
        if direction is None:
            direction = self._direction(source, destination)
        if self._hook is not None:
            self._route(data, direction, now, fragment, tos, self._hook)
            return
        fate = self._send(data, direction, now, 0.0, fragment, tos)
        if self._writers:
            self._record(data, direction, now, fate)

    def next_deadline(self) -> float | None:
        """The time at which the next packet arrives, in seconds; None if none is on its way."""
        return self._in_flight[0][0] if self._in_flight else None

    def deliver(self, now: float) -> list[Delivery]:
        """All packets that have arrived by ``now``, in order of arrival, then of transmission."""
        if type(now) is not float:
            check_number("now", now)
        in_flight = self._in_flight
        deliveries: list[Delivery] = []
        while in_flight and in_flight[0][0] <= now:
            time, _, direction, data, tos = heapq.heappop(in_flight)
            if direction.cut or not direction.link.up:
                direction.down_drops += 1
                for tell in self._dropped_late:
                    tell(data, direction.source, direction.destination)
                continue
            direction.delivered += 1
            deliveries.append(Delivery(data, direction.source, direction.destination, time, tos))
        return deliveries

    # -- links ---------------------------------------------------------------------------------

    def link(self, a: str, b: str) -> Link:
        """The link from address ``a`` to address ``b``, whose fields may be set.

        If the addresses had ``default_link`` so far, they get a link of their own with the same
        settings.  The other direction shares it, unless it has a link of its own already.

        Raises:
          ValueError: one is not an IP address or no host's, or one is IPv4 and the other IPv6.
        """
        self._check_known(a, b)
        there = self._direction(a, b)
        if there.link is self._default_link:
            back = self._direction(b, a)
            there.link = dataclasses.replace(self._default_link)
            if back.link is self._default_link:
                back.link = there.link
        return there.link

    def set_link(self, a: str, b: str, link: Link, *, both: bool = True) -> None:
        """Have ``link`` carry the packets from address ``a`` to ``b`` and, if ``both``, back.

        Packets in the queue and on their way stay there.

        Raises:
          ValueError: see `link`.
        """
        _checked("link", link)
        check_bool("both", both)
        self._check_known(a, b)
        self._direction(a, b).link = link
        if both:
            self._direction(b, a).link = link

    def partition(self, group_a: Iterable[str], group_b: Iterable[str]) -> None:
        """Drop all packets between the addresses of two groups, until `heal`.

        Packets on their way are dropped as well.  Partitions add up.

        Raises:
          ValueError: an address is not an IP address, or no host's.
        """
        groups = [_group("group_a", group_a), _group("group_b", group_b)]
        for group in groups:
            self._check_known(*group)
        # Sorted, because a set has no order that is the same in every run.
        for a, b in [(a, b) for a in sorted(groups[0]) for b in sorted(groups[1])]:
            # A host may have addresses of both families; no link leads from one to the other.
            if ipaddress.ip_address(a).version == ipaddress.ip_address(b).version:
                self._direction(a, b).cut = True
                self._direction(b, a).cut = True

    def heal(self) -> None:
        """End all partitions.  Links that are down stay down."""
        for direction in self._directions.values():
            direction.cut = False

    # -- what happened -------------------------------------------------------------------------

    def statistics(self) -> dict[tuple[str, str], LinkStatistics]:
        """What has become of the packets so far, by (source, destination)."""
        in_flight = dict.fromkeys(self._directions.values(), 0)
        for _, _, direction, *_ in self._in_flight:
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

        The file has each packet once, as it was sent and at that time, with an IP header.  If
        anything happens to the packet, a comment says so: "dropped: the queue is full" (in
        Wireshark the filter ``frame.comment contains "dropped"`` finds these), "corrupted",
        "duplicated", "reordered".  It cannot say that a link went down while a packet was on its
        way.

        Args:
          file: A path, or a binary file open for writing, which stays open.

        Raises:
          ImportError: the package python-pcapng is missing: ``pip install trio_sctp[capture]``.
          TypeError: ``file`` is neither, or was opened for text.
        """
        capture = Capture(file, lambda: self._writers.remove(capture.write))
        self._writers.append(capture.write)
        return capture

    def record(
        self,
        write: Callable[[bytes, str, str, float, str], object],
        dropped: Callable[[bytes, str, str], object],
    ) -> None:
        """Not for programs to call: have ``write`` called for each packet, as `Capture.write` is.

        ``dropped`` is called for those that do not arrive although all went well at first.
        """
        self._writers.append(write)
        self._dropped_late.append(dropped)

    # -- inside --------------------------------------------------------------------------------

    def _direction(self, source: str, destination: str) -> _Direction:
        """The direction between two addresses, however they are spelled; a new one if need be."""
        src = ip_address(source)
        dst = ip_address(destination)
        if src.version != dst.version:
            raise ValueError(f"nothing leads from {source} (IPv{src.version}) to {destination}")
        addresses = (str(src), str(dst))
        direction = self._directions.get(addresses)
        if direction is None:
            direction = _Direction(*addresses, _IP_HEADER[src.version], self._default_link)
            self._directions[addresses] = direction
        self._spelled[source, destination] = direction
        return direction

    def _check_known(self, *addresses: str) -> None:
        """Raise if an address is no host's: nothing would ever come of what is set for it."""
        if self._hosts is not None:
            for address in addresses:
                if str(ip_address(address)) not in self._hosts:
                    there_are = ", ".join(self._hosts) or "no hosts yet"
                    raise ValueError(f"no host has the address {address!r}: there are {there_are}")

    def _route(
        self,
        data: bytes,
        direction: _Direction,
        now: float,
        fragment: bool,
        tos: int,
        route: Callable[[RoutedPacket], Iterable[RoutedPacket] | None],
    ) -> None:
        source, destination = direction.source, direction.destination
        packet = RoutedPacket(data, source, destination, now, fragment=fragment, tos=tos)
        packets = route(packet)
        if isinstance(packets, RoutedPacket):  # a tuple, hence iterable, but not of packets
            raise TypeError("Network.route must return a list of packets, or None, not one packet")
        routed = [packet] if packets is None else list(packets)
        for one in routed:
            if not isinstance(one, RoutedPacket):
                raise TypeError(f"Network.route must return packets, not {one!r}")
            data, source, destination, _, delay, fragment, tos = one
            check_packet(data)
            check_integer("the tos of a packet", tos, 0, 255)
            check_number("the delay of a packet", delay)
            if not 0 <= delay < inf:
                raise ValueError(
                    f"the delay of a packet must be a finite number of at least 0, not {delay!r}"
                )
            direction = self._direction(source, destination)
            fate = self._send(data, direction, now, delay, fragment, tos)
            self._record(data, direction, now, fate)
        if not routed:
            direction.sent += 1
            direction.route_drops += 1
            self._record(data, direction, now, "dropped: by the route hook")

    def _send(
        self, data: bytes, direction: _Direction, now: float, extra: float, fragment: bool, tos: int
    ) -> str:
        """Put a packet on its way, and return what happens to it, or "" if nothing does."""
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
                if link.marking is not None and len(waiting) >= link.marking and tos & 3:
                    tos |= 3
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
            return self._send_impaired(data, direction, arrival, extra, tos)
        direction.last_arrival = arrival
        self._number += 1
        heapq.heappush(self._in_flight, (arrival, self._number, direction, data, tos))
        return ""

    def _send_impaired(
        self, data: bytes, direction: _Direction, arrival: float, extra: float, tos: int
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
                self._in_flight, (arrival + held_back, self._number, direction, arriving, tos)
            )
        return ", ".join(happened)

    def _flip_a_bit(self, data: bytes) -> bytes:
        position = self._random.randrange(len(data) * 8)
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        return bytes(flipped)

    def _record(self, data: bytes, direction: _Direction, now: float, fate: str) -> None:
        for write in self._writers:
            write(data, direction.source, direction.destination, now, fate)


def _checked(name: str, link: Link) -> Link:
    if not isinstance(link, Link):
        raise TypeError(f"{name} must be a Link, such as Link(loss=0.3), not {link!r}")
    return link


def _group(name: str, addresses: Iterable[str]) -> set[str]:
    if isinstance(addresses, str) or not isinstance(addresses, Iterable):
        raise TypeError(f"{name} must be a list of addresses, not {addresses!r}")
    return {str(ip_address(address)) for address in addresses}
