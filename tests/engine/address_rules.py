"""What may go to an address of the peer before it is confirmed (RFC 9260 section 5.4).

`AddressRules` is shown each packet that leaves an endpoint and each that reaches it, reads their
bytes by itself, and keeps its own account of the addresses that are confirmed.  It is for endpoints
that have one association, and whose peer nobody imitates.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable

from trio_sctp._engine.wire import HEADER_SIZE, ChunkType

_CHUNK = struct.Struct("!BBH")

ALWAYS = {ChunkType.HEARTBEAT, ChunkType.HEARTBEAT_ACK, ChunkType.PAD, ChunkType.INIT_ACK}
"""What may go to any address: the INIT ACK goes where the INIT came from."""


class RuleBroken(AssertionError):
    """A rule was broken: the message says by what, and which section has the rule."""


class AddressRules:
    """A referee with an account of its own.

    Attributes:
      seen: How many packets went to addresses of either kind.
      confirmed: The peer's addresses that are confirmed.
    """

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.confirmed: set[str] = set()
        self._init_ack_to = ""
        self._asked: dict[bytes, str] = {}  # which address a heartbeat asks for, by its nonce

    def given(self, addresses: Iterable[str]) -> None:
        """The program has given these addresses to connect to: they are confirmed (rule 1)."""
        self.confirmed.update(addresses)

    def sent(self, packet: bytes, address: str) -> None:
        """A packet has left."""
        chunks = _chunks(packet)
        for kind, value in chunks:
            if kind == ChunkType.INIT_ACK:
                self._init_ack_to = address
            elif kind == ChunkType.HEARTBEAT:
                self._asked[value] = address
        if address in self.confirmed:
            self.seen["to confirmed addresses"] += 1
            return
        self.seen["to unconfirmed addresses"] += 1
        kinds = {kind for kind, _ in chunks}
        allowed = set(ALWAYS)
        if ChunkType.HEARTBEAT in kinds:
            allowed.add(ChunkType.COOKIE_ACK)
        if not kinds <= allowed:
            names = ", ".join(ChunkType(kind).name for kind in sorted(kinds - allowed))
            raise RuleBroken(f"5.4: {names} to {address}, which is not confirmed")

    def arrived(self, packet: bytes) -> None:
        """A packet has arrived, and has not been processed yet."""
        for kind, value in _chunks(packet):
            if kind == ChunkType.COOKIE_ECHO:
                self.confirmed.add(self._init_ack_to)  # rule 2
            elif kind == ChunkType.HEARTBEAT_ACK and value in self._asked:
                self.confirmed.add(self._asked[value])  # rule 3


def _chunks(packet: bytes) -> list[tuple[int, bytes]]:
    """The type and the value of each chunk."""
    chunks = []
    at = HEADER_SIZE
    while at < len(packet):
        kind, _, length = _CHUNK.unpack_from(packet, at)
        chunks.append((kind, packet[at + 4 : at + length]))
        at += length + (-length & 3)
    return chunks
