"""What a sender of user data may do (RFC 9260 sections 6.1 to 6.3 and 7.2), seen from outside.

`SendingRules` is shown each packet that leaves an endpoint and each that reaches it.  It reads
their bytes by itself and keeps its own accounts: what is in flight, what is lost, what the peer's
window has room for, when T3-rtx expires.  It takes the endpoint's word for cwnd alone, which may
change in no other way than section 7.2 says.  Whatever is against a rule, or is allowed by none,
raises `RuleBroken`.

Bytes are those of user data, as in a window; a PMTU is the size of an SCTP packet.  The rules are
for associations that are up and have one path, whose MTU is known, without partial reliability.

`WatchedEngine` holds an engine and shows a referee what it does.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from math import inf
from typing import NoReturn, Protocol

from trio_sctp._engine import Engine, Outgoing, Parameters, Route
from trio_sctp._engine.association import EngineAssociation
from trio_sctp._values import Arrival, SendInfo

from .address_rules import AddressRules, RuleBroken

_MASK = 2**32 - 1
_CHUNK = struct.Struct("!BBH")
_TSN = struct.Struct("!I")
_SACK = struct.Struct("!IIHH")
_INIT = struct.Struct("!IIHHI")
_DATA_KIND, _INIT_KIND, _INIT_ACK_KIND, _SACK_KIND, _HEARTBEAT, _HEARTBEAT_ACK = range(6)
_COOKIE_ECHO, _COOKIE_ACK = 10, 11
_DATA_HEADER = 16
_CLOSE = 1e-9
"""Seconds, more than rounding can make of a time."""


class TrackedChunk:
    """A chunk that is not acknowledged for good."""

    __slots__ = ("acked", "fast", "late", "lost", "missing", "size", "tsn")

    def __init__(self, tsn: int, size: int) -> None:
        self.tsn = tsn
        self.size = size
        self.acked = False  # by a gap block
        self.lost = False  # and not retransmitted yet: not in flight
        self.missing = 0
        self.fast = False  # was retransmitted fast
        self.late = False  # T3-rtx expired for it, and SACKs have not reported it since


class Referee(Protocol):
    """The one who is shown what an endpoint does.

    What has arrived, and that time has passed, is told when the endpoint has processed it, but
    before the packets that it sends because of it.
    """

    @property
    def seen(self) -> Counter[str]:
        """How often each kind of event happened; a run without events proves nothing."""
        ...

    def sent(self, packet: bytes, now: float) -> None:
        """A packet has left."""

    def arrived(self, packet: bytes, now: float) -> None:
        """A packet has been processed."""

    def passed(self, now: float) -> None:
        """Timers that expire by now have been processed."""

    def occasion(self) -> None:
        """The endpoint had an occasion to send, and has done what was due before it."""


class SendingRules:
    """A referee with accounts of its own.

    Attributes:
      seen: How often each kind of event happened.
      outstanding: The chunks that are not acknowledged for good, by TSN, in its order.
      lost: TSNs of chunks that are to be retransmitted.
      next_tsn: The TSN of the next new chunk.
      cumulative: The cumulative TSN ack point.
      flight: Bytes in flight.
      rwnd: Bytes that the peer has room for beyond these.
      cwnd: The congestion window in bytes, as the endpoint told it last.
      ssthresh: The slow-start threshold in bytes.
      exit_point: The exit point of fast recovery, None outside of it.
      burst: Bytes that left since the last occasion to send.
      max_burst: The limit of these.
      free: Whether the next packet may ignore cwnd (7.2.4, 3).
      alone: How many packets left since T3-rtx expired, None once one is acknowledged.
      due: The section for which something has to be retransmitted at once, or nothing.
      rto: The retransmission timeout in seconds.
      t3: When T3-rtx expires.
      probe: The TSN of the zero-window probe that is out, None if none is.
      mtu: The PMTU.
    """

    def __init__(self, parameters: Parameters, cwnd: Callable[[], int]) -> None:
        self.seen: Counter[str] = Counter()
        self._cwnd_of = cwnd
        self.mtu = parameters.path_mtu
        self.max_burst = parameters.max_burst * (self.mtu - 12)
        self._rto_min, self._rto_max = parameters.rto_min, parameters.rto_max

        self.outstanding: dict[int, TrackedChunk] = {}
        self.lost: set[int] = set()
        self.next_tsn = -1
        self.cumulative = -1
        self._gap_acked = 0
        self.flight = 0
        self.rwnd = 0

        self.cwnd = 0
        self.ssthresh: float = inf
        self._partial = 0  # partial_bytes_acked
        self.exit_point: int | None = None
        self.burst = 0
        self._last_sent = 0.0
        self.free = False
        self.alone: int | None = None
        self.due = ""

        self.rto = parameters.rto_initial
        self._srtt = 0.0
        self._rttvar = 0.0
        self._timed: tuple[int, float] | None = None
        self.t3 = inf
        self._heartbeat: tuple[bytes, float, float] | None = None
        self.probe: int | None = None
        self._probed_at = 0.0  # the last probe, or when nothing was in flight any more
        self._probe_wait = 0.0  # seconds from then to the next one

    def _broken(self, what: str) -> NoReturn:
        raise RuleBroken(
            f"{what}; {self.flight} bytes in flight, cwnd {self.cwnd}, rwnd {self.rwnd}, "
            f"next TSN {self.next_tsn}, lost {sorted(self.lost)}"
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
                if not self.cwnd:
                    self.next_tsn = _INIT.unpack_from(packet, offset + 4)[4]
                    self.cumulative = self.next_tsn - 1
            elif kind == _HEARTBEAT:
                info = packet[offset + 4 : offset + length]
                self._heartbeat = (info, now, now + self.rto)
            elif kind not in (_SACK_KIND, _HEARTBEAT_ACK, _COOKIE_ECHO, _COOKIE_ACK):
                self._broken(f"nothing is known of a chunk of type {kind} that was sent")
            offset += length + (-length & 3)
        if chunks:
            if end > self.mtu:
                self._broken(f"6.9: a packet of {end} bytes")
            self._data(chunks, now)

    def _data(self, chunks: list[tuple[int, int]], now: float) -> None:
        self._look(now)
        before = self.flight
        self.seen["packets"] += 1
        if self.alone is not None:
            if self.alone:
                self._broken("6.3.3: a second packet after T3-rtx, and none is acknowledged")
            self.alone = 1
        free, self.free = self.free, False
        if before >= self.cwnd and not free:
            self._broken("6.1 B: a packet though cwnd is used up")
        if self.burst >= self.max_burst:
            self._broken(f"6.1 D: more than Max.Burst, {self.burst} bytes at once")
        for (
            wire,
            size,
        ) in chunks:  # Together the rules for each chunk put them in order of TSN (6.10).
            tsn = self.cumulative + ((wire - self.cumulative) & _MASK)
            if tsn == self.next_tsn:
                if before >= self.cwnd:
                    self._broken("6.1 B: new data though cwnd is used up")
                self._new(tsn, size, now)
            else:
                self._again(tsn, size, now)
            self.burst += size
            self.flight += size
            self.rwnd = max(0, self.rwnd - size)
        self._last_sent = now
        if self.t3 == inf and self.probe is None:
            self.t3 = now + self.rto  # R1

    def _new(self, tsn: int, size: int, now: float) -> None:
        if self.lost:
            self._broken(f"6.1 C: TSN {tsn} is new, and others wait to be retransmitted")
        if size > self.rwnd:
            if self.flight:
                self._broken(f"6.1 A: {size} bytes more than the peer has room for")
            self._probes(tsn, now)
        self.outstanding[tsn] = TrackedChunk(tsn, size)
        self.next_tsn = tsn + 1
        if self._timed is None:
            self._timed = (tsn, now)

    def _probes(self, tsn: int, now: float) -> None:
        """A zero-window probe has left (6.1 A)."""
        if now + _CLOSE < self._probed_at + self._probe_wait:
            self._broken(f"6.1 A: TSN {tsn} probes the window {now - self._probed_at} s after")
        self.seen["probes"] += 1
        self.probe = tsn
        self._probed_at = now
        self._probe_wait = min(2 * self._probe_wait, self._rto_max)

    def _again(self, tsn: int, size: int, now: float) -> None:
        chunk = self.outstanding.get(tsn)
        if chunk is None:
            self._broken(f"TSN {tsn} is acknowledged, or is not the next")
        if chunk.size != size:
            self._broken(f"TSN {tsn} has another size than before")
        if tsn == self.probe:
            self._probes(tsn, now)
            self.flight -= size
            if self._timed is not None and self._timed[0] == tsn:
                self._timed = None  # 6.3.1, C5
            return
        if self.probe is not None:
            self._broken(f"6.1 A: TSN {tsn} is retransmitted beside a zero-window probe")
        if not chunk.lost:
            twice = "7.2.4, 5: a second time" if chunk.fast else "7.2.4"
            self._broken(f"{twice}: TSN {tsn} is retransmitted, and it is not lost")
        if tsn != min(self.lost):
            self._broken(f"7.2.4, 3, and 6.3.3, E3: TSN {tsn} is not the earliest to retransmit")
        self.seen["retransmissions"] += 1
        self.lost.remove(tsn)
        chunk.lost = False
        chunk.missing = 0
        self.due = ""

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
                if not self.cwnd:
                    self.rwnd = _INIT.unpack_from(packet, offset + 4)[1]
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
        cumulative = self.cumulative + ((cumulative - self.cumulative) & _MASK)
        if cumulative >= self.cumulative + 2**31:
            return  # 6.2.1, D i
        advanced = cumulative > self.cumulative
        flight = self.flight
        in_recovery = self.exit_point is not None
        earliest = self._earliest()
        was_lost = earliest is not None and earliest.lost
        acked = 0
        for tsn in range(self.cumulative + 1, cumulative + 1):
            chunk = self.outstanding.pop(tsn)
            if chunk.acked:
                self._gap_acked -= 1
            else:
                acked += self._acknowledged(chunk, now)
        self.cumulative = cumulative
        marked = False
        if gaps or self._gap_acked:
            blocks = struct.unpack_from(f"!{2 * gaps}H", packet, offset + _SACK.size)
            newly, highest_newly = self._gaps(blocks, now)
            acked += newly
        if gaps:
            reported = inf if in_recovery and advanced else highest_newly
            marked = self._missing(cumulative + blocks[-1], reported)
        if self.exit_point is not None and cumulative >= self.exit_point:
            self.exit_point = None  # 6.2.1, D iv
        self.rwnd = max(0, rwnd - self.flight)
        if flight and not self.flight:
            self._probed_at, self._probe_wait = now, self.rto
        if self.probe is not None:
            probe = self.outstanding.get(self.probe)
            if probe is None or probe.acked:
                self.probe = None
            elif rwnd >= probe.size:  # the closed window has refused it, and is open now
                self.probe = None
                self._lose(probe)
                self.rwnd = rwnd
                self.due = "6.1 A"
            else:
                return
        if acked:
            self.alone = None
        elif self._refused(rwnd, now):
            return
        if earliest is not None and (earliest.acked or earliest.tsn <= cumulative):
            self.t3 = now + self.rto if self._earliest() is not None else inf  # R2, R3
        elif earliest is not None and earliest.lost and not was_lost:
            self.t3 = now + self.rto  # 7.2.4, 4
        elif self.t3 == inf and self.flight:
            self.t3 = now + self.rto  # R4
        self._congestion(acked, flight, marked, may_grow=advanced and not in_recovery)

    def _refused(self, rwnd: int, now: float) -> bool:
        """Whether the peer has taken back a window, and has no room for what was sent again.

        What was sent first is then a zero-window probe, and the rest is to be sent again (6.1 A).
        """
        probe = self._earliest()
        if probe is None or probe.lost or not probe.late or probe.size <= rwnd:
            return False
        self.seen["windows taken back"] += 1
        for chunk in self.outstanding.values():
            if not chunk.acked and chunk is not probe:
                self._lose(chunk)
        self.probe = probe.tsn
        self._probed_at, self._probe_wait = now, self.rto
        self.alone = None
        self.t3 = inf
        return True

    def _earliest(self) -> TrackedChunk | None:
        for chunk in self.outstanding.values():
            if not chunk.acked:
                return chunk
        return None

    def _acknowledged(self, chunk: TrackedChunk, now: float) -> int:
        if chunk.lost:
            self.lost.remove(chunk.tsn)
            chunk.lost = False
        else:
            self.flight -= chunk.size
        if self._timed is not None and self._timed[0] == chunk.tsn:
            self._measured(now - self._timed[1])
            self._timed = None
        return chunk.size

    def _gaps(self, blocks: Sequence[int], now: float) -> tuple[int, int]:
        """Returns the bytes acknowledged for the first time, and the highest TSN of these."""
        newly, highest, total = 0, self.cumulative, 0
        pairs = list(zip(blocks[::2], blocks[1::2], strict=True))
        for first, last in pairs:
            total += last + 1 - first
            for tsn in range(self.cumulative + first, self.cumulative + last + 1):
                chunk = self.outstanding[tsn]
                if not chunk.acked:
                    newly += self._acknowledged(chunk, now)
                    chunk.acked = True
                    self._gap_acked += 1
                    highest = tsn
        if total != self._gap_acked:  # The peer has taken some back (6.2.1, D iii).
            acked = {
                self.cumulative + offset
                for first, last in pairs
                for offset in range(first, last + 1)
            }
            for tsn, chunk in self.outstanding.items():
                if chunk.acked and tsn not in acked:
                    chunk.acked = False
                    self._gap_acked -= 1
                    self.flight += chunk.size
            self.seen["reneging"] += 1
        return newly, highest

    def _missing(self, highest: int, reported: float) -> bool:
        """Count missing reports (7.2.4); returns whether some chunk is now lost."""
        marked = False
        for tsn, chunk in self.outstanding.items():
            if tsn >= highest or tsn >= reported:
                break
            if chunk.acked or chunk.lost:
                continue
            chunk.missing += 1
            if chunk.missing >= 3 and not chunk.fast:
                marked = chunk.fast = True
                chunk.late = False
                self._lose(chunk)
        return marked

    def _lose(self, chunk: TrackedChunk) -> None:
        if not chunk.lost:
            chunk.lost = True
            self.lost.add(chunk.tsn)
            self.flight -= chunk.size
            if self._timed is not None and self._timed[0] == chunk.tsn:
                self._timed = None  # 6.3.1, C5

    # -- other occasions ---

    def occasion(self) -> None:
        """The endpoint had an occasion to send, and has done what was due before it."""
        if self.due:
            self._broken(f"{self.due}: nothing was retransmitted at once")
        self.burst = 0

    def passed(self, now: float) -> None:
        """Timers that expire by now have been processed."""
        if self.due or self.t3 <= now + _CLOSE:
            self.occasion()
        if self.t3 <= now + _CLOSE:
            self.seen["timeouts"] += 1
            for chunk in self.outstanding.values():
                if not chunk.acked:
                    if not chunk.lost:
                        self.rwnd += chunk.size  # 6.2.1, C
                    chunk.late = True
                    self._lose(chunk)
            self.t3 = inf
            self.rto = min(2 * self.rto, self._rto_max)
            self._timed = None
            self.alone = 0
            self.free = False
            self.due = "6.3.3, E3"
            self.exit_point = None
            self._partial = 0
            self.ssthresh = max(self.cwnd // 2, 4 * self.mtu)
            self.cwnd = self.mtu
            self._look(now)
        if self._heartbeat is not None and self._heartbeat[2] <= now + _CLOSE:
            self._heartbeat = None
            self.rto = min(2 * self.rto, self._rto_max)  # 8.3

    def _measured(self, seconds: float) -> None:
        """Section 6.3.1: a round trip took this long."""
        if self._srtt:
            self._rttvar += (abs(self._srtt - seconds) - self._rttvar) / 4
            self._srtt += (seconds - self._srtt) / 8
        else:
            self._srtt, self._rttvar = seconds, seconds / 2
        self.rto = min(max(self._srtt + 4 * self._rttvar, self._rto_min), self._rto_max)

    # -- cwnd ---

    def _congestion(self, acked: int, flight: int, marked: bool, *, may_grow: bool) -> None:
        """Check what a SACK made of cwnd: growth (7.2.1, 7.2.2) comes before a loss (7.2.3)."""
        growth = 0
        if may_grow:
            if self.cwnd <= self.ssthresh:
                # Cwnd was in use if one more packet did not fit: after T3-rtx there is only one
                # packet, which need not be full.
                if flight + self.mtu > self.cwnd:
                    growth = min(acked, self.mtu)
            else:
                used = flight >= self.cwnd
                self._partial += acked
                if self._partial >= self.cwnd:
                    self._partial = self._partial - self.cwnd if used else self.cwnd
                    growth = self.mtu if used else 0
        if not self.outstanding:
            self._partial = 0
        before, cwnd = self.cwnd, self._cwnd_of()
        if marked and self.exit_point is None:
            self.seen["fast retransmissions"] += 1
            self.exit_point = self.next_tsn - 1
            self.free = True
            self.due = "7.2.4"
            self._partial = 0
            floor = 4 * self.mtu
            if not max(before // 2, floor) <= cwnd <= max((before + growth) // 2, floor):
                self._broken(f"7.2.3: a loss makes it {cwnd}")
            self.ssthresh = self.cwnd = cwnd
            return
        if marked:
            self.seen["losses in fast recovery"] += 1
        if cwnd > before + growth:
            section = "7.2.4, 6" if self.exit_point is not None else "7.2.1, 7.2.2"
            self._broken(f"{section}: cwnd grows to {cwnd}, and may by {growth}")
        if cwnd >= before:
            self.seen["growths"] += cwnd > before
            self.cwnd = cwnd

    def _look(self, now: float) -> None:
        """The window changes only for a reason."""
        cwnd = self._cwnd_of()
        if cwnd == self.cwnd:
            return
        if not self.cwnd:
            if cwnd > min(4 * self.mtu, max(2 * self.mtu, 4404)):
                self._broken(f"7.2.1: cwnd begins with {cwnd}")
        elif self.flight or now - self._last_sent <= self.rto:
            section = "7.2.4, 6" if self.exit_point is not None else "7.2"
            self._broken(f"{section}: cwnd becomes {cwnd} for no reason")
        elif not min(self.cwnd, 4 * self.mtu) <= cwnd < self.cwnd:
            self._broken(f"7.2.1: cwnd becomes {cwnd} after a pause")
        self.cwnd = cwnd


class Unjudged:
    """No referee of sending, for associations that have several paths."""

    def __init__(self, parameters: Parameters, cwnd: Callable[[], int]) -> None:
        self.seen: Counter[str] = Counter()

    def sent(self, packet: bytes, now: float) -> None:
        pass

    def arrived(self, packet: bytes, now: float) -> None:
        pass

    def passed(self, now: float) -> None:
        pass

    def occasion(self) -> None:
        pass


class WatchedEngine:
    """An engine whose only association is watched; it is called like an engine.

    Attributes:
      engine: The engine itself.
      rules: The referee of what it sends.
      addresses: The referee of where it sends that.
    """

    def __init__(
        self,
        engine: Engine,
        referee: Callable[[Parameters, Callable[[], int]], Referee] = SendingRules,
        addresses: Callable[[], AddressRules] = AddressRules,
    ) -> None:
        self.engine = engine
        self.rules = referee(engine.parameters, self._cwnd)
        self.addresses = addresses()
        self._left: list[Outgoing] = []
        self._told: int | None = None  # what the engine said of cwnd since its last call

    def _cwnd(self) -> int:
        if self._told is None:
            self._told = self._ask_cwnd()
        return self._told

    def _ask_cwnd(self) -> int:
        for id, association in self.engine.associations.items():
            assert len(association.paths) == 1
            return self.engine.status(id).primary.cwnd
        return 0

    def _watch(self, now: float) -> None:
        for packet in self.engine.packets_to_send():
            self.addresses.sent(packet.data, packet.route.remote)
            self.rules.sent(packet.data, now)
            self._left.append(packet)
        self._told = None

    @property
    def port(self) -> int:
        return self.engine.port

    @property
    def associations(self) -> dict[int, EngineAssociation]:
        return self.engine.associations

    @property
    def listening(self) -> bool:
        return self.engine.listening

    @listening.setter
    def listening(self, listening: bool) -> None:
        self.engine.listening = listening

    def connect(self, routes: Sequence[Route], port: int, now: float) -> int:
        self.addresses.given(route.remote for route in routes)
        id = self.engine.connect(routes, port, now)
        self._watch(now)
        return id

    def send(self, id: int, data: bytes, info: SendInfo, now: float) -> None:
        self.queue(id, data, info, now)
        self.flush(id, now)

    def queue(self, id: int, data: bytes, info: SendInfo, now: float) -> None:
        self.engine.queue(id, data, info, now)

    def flush(self, id: int, now: float) -> None:
        self.engine.flush(id, now)
        self.rules.occasion()
        self._watch(now)

    def shutdown(self, id: int, now: float) -> None:
        self.engine.shutdown(id, now)

    def request_heartbeat(self, id: int, address: str, now: float) -> None:
        self.engine.request_heartbeat(id, address, now)

    def receive(self, limit: int, now: float) -> list[Arrival]:
        arrivals = self.engine.receive(limit, now)
        self.rules.occasion()  # a SACK that opens the window takes data with it
        self._watch(now)
        return arrivals

    def receive_packet(self, data: bytes, route: Route, now: float, marked: bool = False) -> None:
        self.addresses.arrived(data)
        self.engine.receive_packet(data, route, now, marked)
        self.rules.arrived(data, now)
        self._watch(now)

    def next_deadline(self) -> float | None:
        return self.engine.next_deadline()

    def handle_timeout(self, now: float) -> None:
        self.engine.handle_timeout(now)
        self.rules.passed(now)
        self._watch(now)

    def packets_to_send(self) -> list[Outgoing]:
        assert not self.engine.packets_to_send(), "a packet that nobody has looked at"
        left, self._left = self._left, []
        return left
