"""What one side of an association sends, and what can be told of its fate.

In a simulation the fate of each packet is known.  A capture shows only what passed the place where
it was made.  There a packet counts as lost if its sender gave it up: it sent the same chunk again
although no sign had been seen that it had arrived.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from .._engine import wire
from .._engine.tsn import unwrap
from .chunks import UserData
from .extensions import Extension


class Fate(Enum):
    """What became of a packet."""

    ARRIVED = "arrived"
    """Or nothing is known to the contrary."""
    DROPPED = "dropped"
    """It did not arrive: the simulated network dropped it."""
    LOST = "lost"
    """Nothing shows that it arrived, and something that it did not.  It is inferred."""


@dataclass(slots=True)
class Fated:
    """What a flow notes of a packet; an arrow is one."""

    time: float
    fate: Fate = field(default=Fate.ARRIVED, kw_only=True)
    reason: str = field(default="", kw_only=True)
    """Why it counts as dropped or lost."""

    def lose(self, reason: str) -> None:
        """Infer that it was lost, unless more is known."""
        if self.fate is Fate.ARRIVED:
            self.fate, self.reason = Fate.LOST, reason

    def find(self) -> None:
        """Take that back: it has arrived after all."""
        if self.fate is Fate.LOST:
            self.fate, self.reason = Fate.ARRIVED, ""


_ANSWERS: dict[type[object], tuple[type[object], ...]] = {
    wire.InitAck: (wire.Init,),
    wire.CookieAck: (wire.Init, wire.CookieEcho),
    wire.ShutdownAck: (wire.Shutdown,),
    wire.ShutdownComplete: (wire.Shutdown, wire.ShutdownAck),
}
"""The chunks that ask for an answer, by what answers them; a HEARTBEAT ACK answers just one."""

_ASK = frozenset({wire.Init, wire.CookieEcho, wire.Shutdown, wire.ShutdownAck, wire.Heartbeat})


def _questions(chunk: wire.Chunk | Extension) -> Sequence[object]:
    """What a chunk asks, so that it is known when it comes again, and what answers it."""
    if isinstance(chunk, Extension):
        return chunk.asks
    if isinstance(chunk, wire.Heartbeat):
        return [chunk.info]
    return [hash(repr(chunk))] if type(chunk) in _ASK else []


_BEFORE_SACKS = wire.Init, wire.CookieEcho

_PATIENCE = 1.0
"""Seconds after which a chunk without an answer counts as lost: the least RTO (RFC 9260 16)."""


class Flow:
    """What one side sends.

    TSNs are numbered from 1, the first one that the INIT or INIT ACK told of; without these, the
    first one that was seen.

    Attributes:
      path: The addresses between which user data went last.
    """

    def __init__(self, *, infer: bool) -> None:
        self.path: tuple[str, str] | None = None
        self._infer = infer
        self._told: dict[
            int, None
        ] = {}  # first TSNs; an INIT that is sent again may get another answer
        self._first: int | None = None
        self._highest = 0  # TSN of all that were seen; from here on TSNs do not wrap around
        self._cumulative: int | None = None
        self._gaps: list[tuple[int, int]] = []  # of the last SACK
        self._count = 0  # of what was taken; it says what came before what
        self._sacked = 0  # the count at the last SACK
        self._unacknowledged: OrderedDict[int, tuple[Fated, int]] = OrderedDict()
        self._given_up: dict[int, Fated] = {}  # first copies of what was sent again
        self._asked: dict[type[object], dict[object, Fated]] = {}
        self._in_vain: dict[type[object], list[Fated]] = {}  # those that were sent again

    # -- numbers -------------------------------------------------------------------------------

    def begin(self, tsn: int) -> None:
        """Take note of the first TSN, of which an INIT or INIT ACK tells."""
        self._told[tsn] = None

    def begin_anew(self, tsn: int) -> None:
        """Count from this TSN on: TSNs were reset, and all before has arrived (RFC 6525)."""
        if tsn in self._told:
            return  # the answer that says so has come again
        self._told = {tsn: None}
        self._first = self._cumulative = None
        self._highest = 0
        self._gaps.clear()
        self._unacknowledged.clear()
        self._given_up.clear()

    def number(self, tsn: int) -> int:
        """The number of a TSN, counted from 1."""
        return self._unwrap(tsn) - self._start(tsn) + 1

    def _start(self, tsn: int) -> int:
        if self._first is None:
            # Of several, the one that this TSN follows most closely.
            self._first = min(self._told, key=lambda told: (tsn + 1 - told) % 2**32, default=tsn)
            self._highest = self._first - 1
        return self._first

    def _unwrap(self, tsn: int) -> int:
        self._start(tsn)
        return unwrap(tsn, self._highest)

    # -- user data -----------------------------------------------------------------------------

    def data(self, chunk: UserData, packet: Fated) -> str:
        """Take a chunk of user data; return what there is to say of it, or ""."""
        tsn = self._unwrap(chunk.tsn)
        earlier, since = self._unacknowledged.get(tsn, (None, 0))
        acknowledged = self._is_acknowledged(tsn)
        self._count += 1
        self._unacknowledged[tsn] = packet, self._count
        if earlier is not None:
            if self._infer and not acknowledged:
                missing = self._is_missing(tsn, since)
                earlier.lose("reported missing, sent again" if missing else "sent again")
                self._given_up[tsn] = earlier
            return "again (it had arrived)" if acknowledged else "again"
        if acknowledged:
            return "again (it had arrived)"
        if tsn < self._highest and self._infer:
            # Its first copy was lost before it came by here, or this one was overtaken.
            return "late (reported missing)" if self._is_missing(tsn, 0) else "late"
        self._highest = max(self._highest, tsn)
        return ""

    def sack(self, chunk: wire.Sack) -> None:
        """Take a SACK of the other side."""
        for kind in _BEFORE_SACKS:
            self._asked.pop(kind, None)  # their answers have passed elsewhere
        cumulative = self._unwrap(chunk.cumulative_tsn)
        self._count += 1
        if self._acknowledge(cumulative):
            self._sacked = self._count
            self._gaps = sorted(
                (cumulative + first, cumulative + last) for first, last in chunk.gaps
            )
        for twice in chunk.duplicates:
            given_up = self._given_up.pop(self._unwrap(twice), None)
            if given_up is not None:
                given_up.find()

    def cumulative(self, tsn: int) -> None:
        """Take a cumulative TSN without gaps, as a SHUTDOWN has it."""
        self._acknowledge(self._unwrap(tsn))

    def _acknowledge(self, tsn: int) -> bool:
        """Note that all up to this TSN have arrived; return whether that is the latest news."""
        if self._cumulative is not None and tsn < self._cumulative:
            return False
        self._cumulative = tsn
        self._highest = max(self._highest, tsn)
        while self._unacknowledged and next(iter(self._unacknowledged)) <= tsn:
            self._unacknowledged.popitem(last=False)
        return True

    def _is_acknowledged(self, tsn: int) -> bool:
        if self._cumulative is not None and tsn <= self._cumulative:
            return True
        at = bisect_left(self._gaps, (tsn + 1,)) - 1
        return at >= 0 and self._gaps[at][1] >= tsn

    def _is_missing(self, tsn: int, since: int) -> bool:
        """Whether a SACK has reported a later one and not this one, which was sent before it."""
        if not self._gaps or self._sacked < since:
            return False
        return tsn < self._gaps[-1][1] and not self._is_acknowledged(tsn)

    # -- control chunks ------------------------------------------------------------------------

    def asks(self, chunk: wire.Chunk | Extension, packet: Fated) -> bool:
        """Take a chunk that may want an answer; return whether it was sent before in vain."""
        kind = type(chunk)
        again = False
        for content in _questions(chunk):
            asked = self._asked.setdefault(kind, {})
            earlier = asked.get(content)
            asked[content] = packet
            if earlier is not None and self._infer:
                earlier.lose("sent again")
                self._in_vain.setdefault(kind, []).append(earlier)
            again = again or earlier is not None
        return again

    def answered(self, chunk: wire.Chunk | Extension) -> None:
        """Take a chunk of the other side that may be an answer."""
        if isinstance(chunk, wire.HeartbeatAck):
            self._asked.get(wire.Heartbeat, {}).pop(chunk.info, None)
        elif isinstance(chunk, Extension):
            for asker, number in chunk.answers:
                if not self._asked.get(asker, {}).pop(number, None) and self._in_vain.get(asker):
                    self._in_vain[asker].pop().find()  # each copy that arrives is answered
        for kind in _ANSWERS.get(type(chunk), ()):
            if not self._asked.pop(kind, None) and self._in_vain.get(kind):
                self._in_vain[kind].pop().find()  # each copy that arrives is answered

    def finish(self, time: float) -> None:
        """Expect no answers and no SACKs any more, as the association has ended."""
        self.end(time)
        self._asked.clear()
        self._unacknowledged.clear()

    def end(self, time: float) -> None:
        """Infer, when nothing more comes, what was lost and never sent again."""
        if not self._infer:
            return
        for tsn, (packet, since) in self._unacknowledged.items():
            if self._is_missing(tsn, since):
                packet.lose("reported missing")
            elif self._cumulative is None or self._is_acknowledged(tsn):
                pass  # the capture has one direction only, or all is well
            elif packet.time + _PATIENCE <= time:
                packet.lose("not acknowledged")
        for asked in self._asked.values():
            for packet in asked.values():
                if packet.time + _PATIENCE <= time:
                    packet.lose("not answered")
