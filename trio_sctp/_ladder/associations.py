"""Which association a packet belongs to."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .._engine import wire
from .chunks import Understood
from .flows import Flow

Found = tuple["Association", int]
"""An association, and the number of its side that has sent a packet."""

_CANDIDATES = 8

FirstChunk = Understood | None


class Side:
    """One side of an association: its addresses, its port, and what it sends."""

    def __init__(self, port: int, *, infer: bool) -> None:
        self.port = port
        self.addresses: dict[str, None] = {}  # in order
        self.tags: dict[int, None] = {}  # of the packets that it gets, in order
        self.flow = Flow(infer=infer)

    def spelled(self) -> list[str]:
        """Its ends, as ADDRESS:PORT."""
        return [
            f"[{one}]:{self.port}" if ":" in one else f"{one}:{self.port}" for one in self.addresses
        ]

    def __str__(self) -> str:
        spelled = " ".join(f"[{one}]" if ":" in one else one for one in self.addresses)
        return f"{spelled}:{self.port}"


@dataclass(slots=True)
class Association:
    """An association, as far as its packets tell.

    Attributes:
      number: Counted from 1.
      sides: Both, of which the first one has sent the first packet.
      first, last: When its first and its last packet were sent.
      packets: How many there are.
      begun: Whether its INIT was seen.
      instead_of: The number of the association whose place it took before that had ended: it is
        a restart.
      ended: The chunk that ended it, or "".
    """

    number: int
    sides: tuple[Side, Side]
    first: float
    last: float = 0.0
    packets: int = 0
    begun: bool = False
    instead_of: int | None = None
    ended: str = ""


class Associations:
    """Finds the association of each packet, by its ports, its tag and its addresses."""

    def __init__(self, hosts: Mapping[str, str], *, infer: bool) -> None:
        """
        Args:
          hosts: Which addresses are known to be of which hosts.
          infer: See `Flow`.
        """
        self.all: list[Association] = []
        self._hosts = hosts
        self._infer = infer
        # Each leads to an association, and to which of its sides has sent the packet.
        self._exact: dict[tuple[str, str, int, int, int], Found] = {}
        self._inits: dict[tuple[str, int, int, int], Found] = {}
        self._by_tag: dict[tuple[int, int, int], deque[Found]] = {}
        self._latest: dict[tuple[str, str, int, int], Found] = {}

    def find(
        self, source: str, destination: str, packet: wire.Packet, first: FirstChunk, time: float
    ) -> Found:
        """The association of a packet, and the side that sent it."""
        port, other_port = packet.source_port, packet.destination_port
        found: Found | None
        if type(first) is wire.Init:
            found = self._of_init(source, destination, packet, first, time)
        else:
            exact = (source, destination, port, other_port, packet.tag)
            known = self._exact.get(exact)
            if known is not None:
                return known
            found = self._by_tag_or_addresses(source, destination, packet, first)
            if found is None:
                found = self._new(source, destination, port, other_port, time), 0
            if not _is_reflected(first):
                self._learn(found[0], 1 - found[1], packet.tag)
                self._exact[exact] = found
        association, sender = found
        association.sides[sender].addresses[source] = None
        association.sides[1 - sender].addresses[destination] = None
        self._latest[source, destination, port, other_port] = found
        self._latest[destination, source, other_port, port] = association, 1 - sender
        if isinstance(first, wire.Init):
            self._inits[source, port, other_port, first.tag] = found
            self._learn(association, sender, first.tag)
            association.sides[sender].flow.begin(first.tsn)
        return found

    def _of_init(
        self, source: str, destination: str, packet: wire.Packet, init: wire.Init, time: float
    ) -> Found:
        port, other_port = packet.source_port, packet.destination_port
        sent_before = self._inits.get((source, port, other_port, init.tag))
        if sent_before is not None:
            return sent_before
        latest = self._latest.get((source, destination, port, other_port))
        if latest is not None and not latest[0].ended:
            association, sender = latest
            receiver = association.sides[1 - sender]
            if not association.sides[sender].tags and receiver.tags and association.begun:
                return association, sender  # both sides have sent an INIT
        new = self._new(source, destination, port, other_port, time)
        new.begun = True
        if latest is not None and not latest[0].ended:
            new.instead_of = latest[0].number
        return new, 0

    def _by_tag_or_addresses(
        self, source: str, destination: str, packet: wire.Packet, first: FirstChunk
    ) -> Found | None:
        port, other_port, tag = packet.source_port, packet.destination_port, packet.tag
        # A reflected tag is that of the packets which this one's sender would have received.
        reflected = _is_reflected(first)
        latest = self._latest.get((source, destination, port, other_port))
        if latest is not None:
            association, sender = latest
            if tag in association.sides[sender if reflected else 1 - sender].tags:
                return latest
        key = (other_port, port, tag) if reflected else (port, other_port, tag)
        for association, sender in reversed(self._by_tag.get(key, ())):
            sender = 1 - sender if reflected else sender
            if self._fits(association, sender, source, destination):
                return association, sender
        if latest is not None:
            association, sender = latest
            if not tag or not association.sides[1 - sender].tags:
                return latest
        return None

    def _new(
        self, source: str, destination: str, port: int, other: int, time: float
    ) -> Association:
        sides = Side(port, infer=self._infer), Side(other, infer=self._infer)
        association = Association(len(self.all) + 1, sides, time)
        self.all.append(association)
        return association

    def _learn(self, association: Association, side: int, tag: int) -> None:
        """Note a tag with which packets are sent to a side."""
        receiver, sender = association.sides[side], association.sides[1 - side]
        if tag and tag not in receiver.tags:
            receiver.tags[tag] = None
            key = (sender.port, receiver.port, tag)
            # Tags are random; where an attacker's are all the same, a few are looked at.
            self._by_tag.setdefault(key, deque(maxlen=_CANDIDATES)).append((association, 1 - side))

    def _fits(self, association: Association, sender: int, source: str, destination: str) -> bool:
        """Whether addresses may be those of an association with the right ports and tag.

        Of a host with several addresses, each may be new.
        """
        one, other = association.sides[sender].addresses, association.sides[1 - sender].addresses
        return (source in one or (source not in other and self._may_be_of(source, one))) and (
            destination in other or (destination not in one and self._may_be_of(destination, other))
        )

    def _may_be_of(self, address: str, addresses: Iterable[str]) -> bool:
        host = self._hosts.get(address)
        return host is None or host == self._hosts.get(next(iter(addresses), address))


def _is_reflected(chunk: FirstChunk) -> bool:
    return isinstance(chunk, (wire.Abort, wire.ShutdownComplete)) and chunk.reflected
