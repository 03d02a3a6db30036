"""What tests of the engine share: addresses, the packets that left, and what programs were told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from trio_sctp._engine import Route, wire
from trio_sctp._values import (
    Arrival,
    AssociationChange,
    AssociationState,
    FailedFragment,
    Message,
    PeerAddressChange,
    PeerAddressState,
    Piece,
    SendInfo,
)

PORT, PEER_PORT = 1000, 2000
A, B = "10.0.0.1", "10.0.0.2"
A2, B2 = "10.0.1.1", "10.0.1.2"
A3, B3 = "10.0.2.1", "10.0.2.2"
MTU = 1280
FULL = MTU - wire.HEADER_SIZE - wire.DATA_OVERHEAD
"""Bytes of user data that fill a packet."""

C = TypeVar("C")


def info(
    stream: int = 0,
    *,
    ppid: int = 0,
    unordered: bool = False,
    lifetime: int = 0,
    context: int = 0,
    retransmissions: int | None = None,
    priority: int | None = None,
) -> SendInfo:
    """How to send a message."""
    return SendInfo(stream, ppid, unordered, context, lifetime, None, retransmissions, priority)


# -- packets that left -------------------------------------------------------------------------


class Sent(NamedTuple):
    """A packet that left an engine; `fragment` says that IP may fragment it.

    The two lowest bits of `tos` are 2 if routers may mark it.
    """

    time: float
    route: Route
    packet: wire.Packet
    size: int
    fragment: bool = False
    tos: int = 0

    @property
    def tag(self) -> int:
        """The verification tag."""
        return self.packet.tag

    @property
    def kinds(self) -> list[type[wire.Chunk]]:
        """The types of all chunks, in their order."""
        return [type(chunk) for chunk in self.packet.chunks]

    def chunks(self, kind: type[C]) -> list[C]:
        """The chunks of one type."""
        return [chunk for chunk in self.packet.chunks if isinstance(chunk, kind)]

    def get(self, kind: type[C]) -> C:
        """The only chunk of that type."""
        (chunk,) = self.chunks(kind)
        return chunk

    def has(self, kind: type[object]) -> bool:
        """Whether the packet has a chunk of that type."""
        return any(isinstance(chunk, kind) for chunk in self.packet.chunks)


def parsed(data: bytes) -> wire.Packet:
    """A packet, which has to be well-formed."""
    packet = wire.parse_packet_untrusted(data)
    assert isinstance(packet, wire.Packet), packet
    return packet


def cookie_of(ack: wire.InitAck) -> bytes:
    """The State Cookie in an INIT ACK."""
    (cookie,) = [p.value for p in ack.parameters if p.type == wire.ParameterType.STATE_COOKIE]
    return cookie


def cookie_echo(ack: wire.InitAck) -> bytes:
    """The COOKIE ECHO that answers an INIT ACK."""
    return wire.chunk(wire.ChunkType.COOKIE_ECHO, cookie_of(ack))


# -- what programs were told -------------------------------------------------------------------


def ends(events: Sequence[Arrival]) -> list[AssociationChange]:
    """How associations ended."""
    over = (
        AssociationState.COMM_LOST,
        AssociationState.SHUTDOWN_COMP,
        AssociationState.CANT_ASSOC,
    )
    return [e for e in events if isinstance(e, AssociationChange) and e.state in over]


def path_changes(events: Sequence[Arrival]) -> list[tuple[str, PeerAddressState | int]]:
    """What happened to paths: the peer's address, and the new state."""
    return [(e.address[0], e.state) for e in events if isinstance(e, PeerAddressChange)]


def payloads(events: Sequence[Arrival]) -> list[bytes]:
    """The messages; pieces of a message are joined."""
    whole: list[bytes] = []
    begun: dict[tuple[int, int, bool, int | None], bytes] = {}
    for event in events:
        message = event.message if isinstance(event, Piece) else event
        if not isinstance(message, Message):
            continue
        key = (message.association_id, message.stream, message.unordered, message.mid)
        data = begun.pop(key, b"") + message.data
        if isinstance(event, Piece):
            begun[key] = data
        else:
            whole.append(data)
    return whole


def failures(events: Sequence[Arrival]) -> list[FailedFragment]:
    """Messages that were reported as failed."""
    return [event for event in events if isinstance(event, FailedFragment)]
