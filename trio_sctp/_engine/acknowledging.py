"""Acknowledging user data (RFC 9260 section 6.2): when a SACK leaves, and what it says.

With SACKs go ECNE chunks, while the peer has not answered that routers mark its packets (RFC 4960
appendix A).
"""

from __future__ import annotations

from math import inf

from . import wire
from .inbound import Inbound
from .parameters import Parameters
from .path import Path
from .timers import SACK
from .tsn import MASK, unwrap


class Acknowledgements:
    """The SACKs that an association sends.

    Attributes:
      due: Whether one is to leave now.
      path: Where it goes: where user data came from last; None if that is not known to be the peer.
      sent: Number of those that were made.
      marked: What the next ECNE chunk says: the lowest TSN of the latest packet that came with a
        mark; -1 if there is none to send.
    """

    __slots__ = (
        "_acknowledged",
        "_begun",
        "_inbound",
        "_packets",
        "_parameters",
        "_timers",
        "due",
        "marked",
        "path",
        "sent",
    )

    def __init__(self, parameters: Parameters, timers: list[float]) -> None:
        self.due: bool = False
        self.path: Path | None = None
        self.sent: int = 0
        self.marked: int = -1
        self._parameters: Parameters = parameters
        self._timers: list[float] = timers
        self._inbound: Inbound | None = None
        self._packets: int = 0  # with DATA, since the last SACK
        self._acknowledged: int = 0  # packets with DATA, before
        self._begun: bool = False  # the first SACK was due

    def begin(self, inbound: Inbound) -> None:
        """Acknowledge what this one takes in, from its first chunk on."""
        self.due = False
        self.path = None
        self.marked = -1
        self._inbound = inbound
        self._acknowledged += self._packets
        self._packets = 0
        self._begun = False
        self._timers[SACK] = inf

    @property
    def packets(self) -> int:
        """The number of packets with user data that have come."""
        return self._acknowledged + self._packets

    @property
    def pending(self) -> bool:
        """Whether something is to be acknowledged, now or later."""
        return self.due or self._timers[SACK] != inf

    def packet_arrived(self, path: Path | None, now: float) -> None:
        """Acknowledge a packet with user data: now, or when more have come, or after a while."""
        self._packets += 1
        if path is not None and path.confirmed:
            self.path = path
        if not self._begun:
            # Section 5.1: the first is acknowledged at once.
            self._begun = self.due = True
        if self.due:
            return
        parameters = self._parameters
        if self._packets >= parameters.sack_frequency or not parameters.sack_delay:
            self.due = True
        elif self._timers[SACK] == inf:
            self._timers[SACK] = now + parameters.sack_delay

    def packet_was_marked(self, chunks: list[wire.Chunk]) -> None:
        """Tell the peer that a router has marked the packet with these chunks (RFC 3168, 6.1.3)."""
        if self._inbound is None:
            return
        cumulative = self._inbound.cumulative
        tsns = [unwrap(chunk.tsn, cumulative) for chunk in chunks if isinstance(chunk, wire.Data)]
        if tsns:
            self.marked = min(tsns) & MASK
            self.due = True

    def peer_has_slowed_down(self, lowest_tsn: int) -> None:
        """Tell the peer no more of marks up to this TSN: it has answered."""
        if self.marked >= 0 and (lowest_tsn - self.marked) & MASK < 2**31:
            self.marked = -1

    def sack(self, space: int) -> bytes:
        """Make the SACK, of no more than so many bytes; none is due after that."""
        inbound = self._inbound
        assert inbound is not None
        blocks = (space - wire.SACK_SIZE) // 4
        gaps = inbound.gaps(blocks) if inbound.has_gaps else []
        duplicates = inbound.duplicates
        if duplicates:
            inbound.duplicates = []
            duplicates = duplicates[: blocks - len(gaps)]
        self.due = False
        self.sent += 1
        self._timers[SACK] = inf
        self._acknowledged += self._packets
        self._packets = 0
        return wire.sack_chunk(inbound.cumulative & MASK, inbound.advertise(), gaps, duplicates)
