"""Chunks bundled into a packet (RFC 9260 section 6.10).

What is bundled, and in which order, is decided by `EngineAssociation._fill_packet`.
"""

from __future__ import annotations

from .path import Path
from .wire import HEADER_SIZE


class PacketBuilder:
    """Chunks that will leave together on one path.

    Attributes:
      path: Where it goes.
      chunks: Those that were added.
      data: How many of them are DATA; whoever adds one counts it.
      room: Bytes that still fit.
      fragment: Whether IP may fragment it: it holds one chunk that is larger than the path MTU.
    """

    __slots__ = ("chunks", "data", "fragment", "path", "room")

    def __init__(self, path: Path) -> None:
        self.path: Path = path
        self.room: int = path.mtu - HEADER_SIZE
        self.fragment: bool = False
        self.chunks: list[bytes] = []
        self.data: int = 0

    def add(self, chunk: bytes) -> None:
        """Put a chunk behind the others; the caller has seen that it fits."""
        self.chunks.append(chunk)
        self.room -= len(chunk)

    def enlarge(self, size: int) -> None:
        """Let one chunk in that is larger than the path MTU; IP may fragment the packet."""
        self.fragment = True
        self.room = size
