"""What a sender of user data may do (RFC 9260 sections 6.1 to 6.3 and 7.2), seen from outside.

`SendingRules` is shown each packet that leaves an endpoint and each that reaches it.  It reads
their bytes by itself and keeps its own accounts: what is in flight, what is lost, what the peer's
window has room for, when T3-rtx expires.  The endpoint's word it takes for cwnd alone, and that may
change in no other way than section 7.2 says.  What is against a rule is a `RuleBroken`, and so is
what no rule allows.

Bytes are those of user data, as in a window; a PMTU is the size of an SCTP packet.  It is for
associations of one path whose MTU is known, without partial reliability, when they are up.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, NoReturn

from trio_sctp._engine import Engine, Parameters, Route
from trio_sctp._engine.engine import Outgoing
from trio_sctp._values import Arrival

_MASK = 2**32 - 1
_CHUNK = struct.Struct("!BBH")
_TSN = struct.Struct("!I")
_SACK = struct.Struct("!IIHH")
_INIT = struct.Struct("!IIHHI")
_DATA_KIND, _INIT_KIND, _INIT_ACK_KIND, _SACK_KIND, _HEARTBEAT, _HEARTBEAT_ACK = range(6)
_COOKIE_ECHO, _COOKIE_ACK = 10, 11
_DATA_HEADER = 16
_CLOSE = 1e-9
"""Seconds: more than what rounding makes of a time."""


class RuleBroken(AssertionError):
    """What was done, and against which section."""


class _Chunk:
    """A TSN that is not acknowledged for good."""

    __slots__ = ("acked", "fast", "lost", "missing", "size", "tsn")

    def __init__(self, tsn: int, size: int) -> None:
        self.tsn = tsn
        self.size = size
        self.acked = False  # by a gap block
        self.lost = False  # and not retransmitted yet: not in flight
        self.missing = 0
        self.fast = False  # was retransmitted fast


class SendingRules:
    """See the module's docstring.

    What has arrived, and that time has passed, is told when the endpoint has processed it, but
    before the packets that it sends because of it.

    Attributes:
      seen: How often what happened; a run in which nothing did proves nothing.
    """

    def __init__(self, parameters: Parameters, cwnd: Callable[[], int]) -> None:
        self.seen: Counter[str] = Counter()
        self._cwnd_of = cwnd
        self._mtu = parameters.path_mtu
        self._most = parameters.max_burst * (self._mtu - 12)
        self._rto_min, self._rto_max = parameters.rto_min, parameters.rto_max

        self._outstanding: dict[int, _Chunk] = {}  # in order of TSN
        self._lost: set[int] = set()
        self._next = -1
        self._cumulative = -1
        self._gap_acked = 0
        self._flight = 0
        self._rwnd = 0

        self._cwnd = 0  # as it was last
        self._ssthresh: float = inf
        self._partial = 0  # partial_bytes_acked
        self._exit: int | None = None  # of fast recovery
        self._burst = 0  # bytes, since the last occasion to send
        self._last_sent = 0.0
        self._free = False  # the next packet may ignore cwnd (7.2.4, 3)
        self._alone: int | None = None  # packets since T3-rtx expired; None if one is acknowledged
        self._due = ""  # why something has to be retransmitted at once

        self._rto = parameters.rto_initial
        self._srtt = 0.0
        self._rttvar = 0.0
        self._timed: tuple[int, float] | None = None
        self._t3 = inf
        self._heartbeat: tuple[bytes, float, float] | None = None

    def _broken(self, what: str) -> NoReturn:
        raise RuleBroken(
            f"{what}; {self._flight} bytes in flight, cwnd {self._cwnd}, rwnd {self._rwnd}, "
            f"next TSN {self._next}, lost {sorted(self._lost)}"
        )

    # -- what leaves ---

    def sent(self, packet: bytes, now: float) -> None:
        """A packet has left."""
        chunks: list[tuple[int, int]] = []
        offset, end = 12, len(packet)
        while offset < end:
            kind, _, length = _CHUNK.unpack_from(packet, offset)
            if kind == _DATA_KIND:
                chunks.append((*_TSN.unpack_from(packet, offset + 4), length - _DATA_HEADER))
            elif chunks:
                self._broken(f"6.10: a chunk of type {kind} behind DATA")
            elif kind in (_INIT_KIND, _INIT_ACK_KIND):
                if not self._cwnd:
                    self._next = _INIT.unpack_from(packet, offset + 4)[4]
                    self._cumulative = self._next - 1
            elif kind == _HEARTBEAT:
                info = packet[offset + 4 : offset + length]
                self._heartbeat = (info, now, now + self._rto)
            elif kind not in (_SACK_KIND, _HEARTBEAT_ACK, _COOKIE_ECHO, _COOKIE_ACK):
                self._broken(f"nothing is known of a chunk of type {kind} that was sent")
            offset += length + (-length & 3)
        if chunks:
            if end > self._mtu:
                self._broken(f"6.9: a packet of {end} bytes")
            self._data(chunks, now)

    def _data(self, chunks: list[tuple[int, int]], now: float) -> None:
        self._look(now)
        before = self._flight
        self.seen["packets"] += 1
        if self._alone is not None:
            if self._alone:
                self._broken("6.3.3: a second packet after T3-rtx, and none is acknowledged")
            self._alone = 1
        free, self._free = self._free, False
        if before >= self._cwnd and not free:
            self._broken("6.1 B: a packet though cwnd is used up")
        if self._burst >= self._most:
            self._broken(f"6.1 D: more than Max.Burst, {self._burst} bytes at once")
        for wire, size in chunks:  # Together the rules for each have them in order of TSN (6.10).
            tsn = self._cumulative + ((wire - self._cumulative) & _MASK)
            if tsn == self._next:
                if before >= self._cwnd:
                    self._broken("6.1 B: new data though cwnd is used up")
                self._new(tsn, size, now)
            else:
                self._again(tsn, size, now)
            self._burst += size
            self._flight += size
            self._rwnd = max(0, self._rwnd - size)
        self._last_sent = now
        if self._t3 == inf:
            self._t3 = now + self._rto  # R1

    def _new(self, tsn: int, size: int, now: float) -> None:
        if self._lost:
            self._broken(f"6.1 C: TSN {tsn} is new, and others wait to be retransmitted")
        if size > self._rwnd:
            if self._flight:
                self._broken(f"6.1 A: {size} bytes more than the peer has room for")
            self.seen["probes"] += 1
        self._outstanding[tsn] = _Chunk(tsn, size)
        self._next = tsn + 1
        if self._timed is None:
            self._timed = (tsn, now)

    def _again(self, tsn: int, size: int, now: float) -> None:
        chunk = self._outstanding.get(tsn)
        if chunk is None:
            self._broken(f"TSN {tsn} is acknowledged, or is not the next")
        if chunk.size != size:
            self._broken(f"TSN {tsn} has another size than before")
        if not chunk.lost:
            twice = "7.2.4, 5: a second time" if chunk.fast else "7.2.4"
            self._broken(f"{twice}: TSN {tsn} is retransmitted, and it is not lost")
        if tsn != min(self._lost):
            self._broken(f"7.2.4, 3, and 6.3.3, E3: TSN {tsn} is not the earliest to retransmit")
        self.seen["retransmissions"] += 1
        self._lost.remove(tsn)
        chunk.lost = False
        chunk.missing = 0
        self._due = ""

    # -- what arrives ---

    def arrived(self, packet: bytes, now: float) -> None:
        """A packet has been processed."""
        self.occasion()
        offset, end = 12, len(packet)
        while offset < end:
            kind, _, length = _CHUNK.unpack_from(packet, offset)
            if kind == _SACK_KIND:
                self._sack(packet, offset + 4, now)
            elif kind in (_INIT_KIND, _INIT_ACK_KIND):
                if not self._cwnd:
                    self._rwnd = _INIT.unpack_from(packet, offset + 4)[1]
            elif kind == _HEARTBEAT_ACK:
                if self._heartbeat is not None:
                    info, then, _ = self._heartbeat
                    if info == packet[offset + 4 : offset + length]:
                        self._heartbeat = None
                        self._measured(now - then)
            elif kind not in (_DATA_KIND, _HEARTBEAT, _COOKIE_ECHO, _COOKIE_ACK):
                self._broken(f"nothing is known of a chunk of type {kind} that came")
            offset += length + (-length & 3)

    def _sack(self, packet: bytes, offset: int, now: float) -> None:
        cumulative, rwnd, gaps, _ = _SACK.unpack_from(packet, offset)
        cumulative = self._cumulative + ((cumulative - self._cumulative) & _MASK)
        if cumulative >= self._cumulative + 2**31:
            return  # 6.2.1, D i
        advanced = cumulative > self._cumulative
        flight = self._flight
        in_recovery = self._exit is not None
        earliest = self._earliest()
        was_lost = earliest is not None and earliest.lost
        acked = 0
        for tsn in range(self._cumulative + 1, cumulative + 1):
            chunk = self._outstanding.pop(tsn)
            if chunk.acked:
                self._gap_acked -= 1
            else:
                acked += self._acknowledged(chunk, now)
        self._cumulative = cumulative
        marked = False
        if gaps or self._gap_acked:
            blocks = struct.unpack_from(f"!{2 * gaps}H", packet, offset + _SACK.size)
            newly, highest_newly = self._gaps(blocks, now)
            acked += newly
        if gaps:
            reported = inf if in_recovery and advanced else highest_newly
            marked = self._missing(cumulative + blocks[-1], reported)
        if self._exit is not None and cumulative >= self._exit:
            self._exit = None  # 6.2.1, D iv
        self._rwnd = max(0, rwnd - self._flight)
        if acked:
            self._alone = None
        if earliest is not None and (earliest.acked or earliest.tsn <= cumulative):
            self._t3 = now + self._rto if self._earliest() is not None else inf  # R2, R3
        elif earliest is not None and earliest.lost and not was_lost:
            self._t3 = now + self._rto  # 7.2.4, 4
        elif self._t3 == inf and self._flight:
            self._t3 = now + self._rto  # R4
        self._congestion(acked, flight, marked, may_grow=advanced and not in_recovery)

    def _earliest(self) -> _Chunk | None:
        for chunk in self._outstanding.values():
            if not chunk.acked:
                return chunk
        return None

    def _acknowledged(self, chunk: _Chunk, now: float) -> int:
        if chunk.lost:
            self._lost.remove(chunk.tsn)
            chunk.lost = False
        else:
            self._flight -= chunk.size
        if self._timed is not None and self._timed[0] == chunk.tsn:
            self._measured(now - self._timed[1])
            self._timed = None
        return chunk.size

    def _gaps(self, blocks: Sequence[int], now: float) -> tuple[int, int]:
        """The bytes that they acknowledge for the first time, and the highest TSN of these."""
        newly, highest, total = 0, self._cumulative, 0
        pairs = list(zip(blocks[::2], blocks[1::2], strict=True))
        for first, last in pairs:
            total += last + 1 - first
            for tsn in range(self._cumulative + first, self._cumulative + last + 1):
                chunk = self._outstanding[tsn]
                if not chunk.acked:
                    newly += self._acknowledged(chunk, now)
                    chunk.acked = True
                    self._gap_acked += 1
                    highest = tsn
        if total != self._gap_acked:  # The peer went back on some (6.2.1, D iii).
            acked = {
                self._cumulative + offset
                for first, last in pairs
                for offset in range(first, last + 1)
            }
            for tsn, chunk in self._outstanding.items():
                if chunk.acked and tsn not in acked:
                    chunk.acked = False
                    self._gap_acked -= 1
                    self._flight += chunk.size
            self.seen["reneging"] += 1
        return newly, highest

    def _missing(self, highest: int, reported: float) -> bool:
        """Count missing reports (7.2.4); returns whether they make a chunk a lost one."""
        marked = False
        for tsn, chunk in self._outstanding.items():
            if tsn >= highest or tsn >= reported:
                break
            if chunk.acked or chunk.lost:
                continue
            chunk.missing += 1
            if chunk.missing >= 3 and not chunk.fast:
                marked = chunk.fast = True
                self._lose(chunk)
        return marked

    def _lose(self, chunk: _Chunk) -> None:
        if not chunk.lost:
            chunk.lost = True
            self._lost.add(chunk.tsn)
            self._flight -= chunk.size
            if self._timed is not None and self._timed[0] == chunk.tsn:
                self._timed = None  # 6.3.1, C5

    # -- other occasions ---

    def occasion(self) -> None:
        """There is one to send, a message of the program or another: what was due has been done."""
        if self._due:
            self._broken(f"{self._due}: nothing was retransmitted at once")
        self._burst = 0

    def passed(self, now: float) -> None:
        """Timers that expire by now have been processed."""
        if self._due or self._t3 <= now + _CLOSE:
            self.occasion()
        if self._t3 <= now + _CLOSE:
            self.seen["timeouts"] += 1
            for chunk in self._outstanding.values():
                if not chunk.acked:
                    if not chunk.lost:
                        self._rwnd += chunk.size  # 6.2.1, C
                    self._lose(chunk)
            self._t3 = inf
            self._rto = min(2 * self._rto, self._rto_max)
            self._timed = None
            self._alone = 0
            self._free = False
            self._due = "6.3.3, E3"
            self._exit = None
            self._partial = 0
            self._ssthresh = max(self._cwnd // 2, 4 * self._mtu)
            self._cwnd = self._mtu
            self._look(now)
        if self._heartbeat is not None and self._heartbeat[2] <= now + _CLOSE:
            self._heartbeat = None
            self._rto = min(2 * self._rto, self._rto_max)  # 8.3

    def _measured(self, seconds: float) -> None:
        """Section 6.3.1."""
        if self._srtt:
            self._rttvar += (abs(self._srtt - seconds) - self._rttvar) / 4
            self._srtt += (seconds - self._srtt) / 8
        else:
            self._srtt, self._rttvar = seconds, seconds / 2
        self._rto = min(max(self._srtt + 4 * self._rttvar, self._rto_min), self._rto_max)

    # -- cwnd ---

    def _congestion(self, acked: int, flight: int, marked: bool, *, may_grow: bool) -> None:
        """What a SACK makes of cwnd: growth (7.2.1, 7.2.2) comes before a loss (7.2.3, 7.2.4)."""
        growth = 0
        if may_grow:
            if self._cwnd <= self._ssthresh:
                # In use if one packet more did not fit: after T3-rtx there is only one, and it need
                # not be full.
                if flight + self._mtu > self._cwnd:
                    growth = min(acked, self._mtu)
            else:
                used = flight >= self._cwnd
                self._partial += acked
                if self._partial >= self._cwnd:
                    self._partial = self._partial - self._cwnd if used else self._cwnd
                    growth = self._mtu if used else 0
        if not self._outstanding:
            self._partial = 0
        before, cwnd = self._cwnd, self._cwnd_of()
        if marked and self._exit is None:
            self.seen["fast retransmissions"] += 1
            self._exit = self._next - 1
            self._free = True
            self._due = "7.2.4"
            self._partial = 0
            floor = 4 * self._mtu
            if not max(before // 2, floor) <= cwnd <= max((before + growth) // 2, floor):
                self._broken(f"7.2.3: a loss makes it {cwnd}")
            self._ssthresh = self._cwnd = cwnd
            return
        if marked:
            self.seen["losses in fast recovery"] += 1
        if cwnd > before + growth:
            section = "7.2.4, 6" if self._exit is not None else "7.2.1, 7.2.2"
            self._broken(f"{section}: cwnd grows to {cwnd}, and may by {growth}")
        if cwnd >= before:
            self.seen["growths"] += cwnd > before
            self._cwnd = cwnd

    def _look(self, now: float) -> None:
        """It does not change but for reasons."""
        cwnd = self._cwnd_of()
        if cwnd == self._cwnd:
            return
        if not self._cwnd:
            if cwnd > min(4 * self._mtu, max(2 * self._mtu, 4404)):
                self._broken(f"7.2.1: cwnd begins with {cwnd}")
        elif self._flight or now - self._last_sent <= self._rto:
            section = "7.2.4, 6" if self._exit is not None else "7.2"
            self._broken(f"{section}: cwnd becomes {cwnd} for no reason")
        elif not min(self._cwnd, 4 * self._mtu) <= cwnd < self._cwnd:
            self._broken(f"7.2.1: cwnd becomes {cwnd} after a pause")
        self._cwnd = cwnd


class WatchedEngine(Engine):
    """An engine whose only association keeps the rules."""

    def __init__(self, port: int, addresses: Sequence[str], **others: Any) -> None:
        super().__init__(port, addresses, **others)
        self.rules = SendingRules(self.parameters, self._cwnd)
        self._left: list[Outgoing] = []

    def _cwnd(self) -> int:
        for association in self.associations.values():
            (path,) = association.paths.values()
            return path.cwnd
        return 0

    def _watch(self, now: float) -> None:
        if not self._outlet._packets:  # as after most calls
            return
        for packet in super().packets_to_send():
            self.rules.sent(packet.data, now)
            self._left.append(packet)

    def packets_to_send(self) -> list[Outgoing]:
        assert not super().packets_to_send(), "a packet that nobody has looked at"
        left, self._left = self._left, []
        return left

    def connect(
        self, routes: Sequence[Route], port: int, now: float, parameters: Parameters | None = None
    ) -> int:
        id = super().connect(routes, port, now, parameters)
        self._watch(now)
        return id

    def flush(self, id: int, now: float) -> None:
        super().flush(id, now)
        self.rules.occasion()
        self._watch(now)

    def receive(self, limit: int, now: float, id: int | None = None) -> list[Arrival]:
        arrivals = super().receive(limit, now, id)
        self._watch(now)
        return arrivals

    def receive_packet(self, data: bytes, route: Route, now: float) -> None:
        super().receive_packet(data, route, now)
        self.rules.arrived(data, now)
        self._watch(now)

    def handle_timeout(self, now: float) -> None:
        super().handle_timeout(now)
        self.rules.passed(now)
        self._watch(now)
