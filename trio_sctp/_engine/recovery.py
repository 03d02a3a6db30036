"""Taking acknowledgements, and what to do without them (RFC 9260 sections 6.1 A, 6.2.1, 6.3, 7.2).

What a SACK says of each chunk, `outbound` finds out.  Here the congestion windows and the T3-rtx
timers of the paths follow from it, and the probes of a window that is shut.  What concerns the
program or ends the association is returned.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from math import inf

from .._log import logger, transport, whose
from . import wire
from .outbound import Outbound, SentChunk
from .parameters import Parameters
from .path import Path
from .paths import Paths
from .timers import WINDOW
from .tsn import unwrap


class Recovery:
    """The retransmission timers and congestion windows of an association."""

    __slots__ = (
        "_id",
        "_outbound",
        "_parameters",
        "_paths",
        "_timers",
        "_window_told",
        "_window_wait",
    )

    def __init__(
        self, id: int, parameters: Parameters, paths: Paths, outbound: Outbound, timers: list[float]
    ) -> None:
        self._id: int = id
        self._parameters: Parameters = parameters
        self._paths: Paths = paths
        self._outbound: Outbound = outbound
        self._timers: list[float] = timers
        self._window_wait: float = 0.0  # seconds between probes of a window that is shut
        self._window_told: bool = False  # whether a SACK came since the last

    # -- SACKs (6.2.1, 6.3.2, 7.2) ---

    def take_sack(
        self, sack: wire.Sack, cumulative: int, now: float
    ) -> tuple[Iterable[Path], bool]:
        """Take a SACK that no later one has overtaken.

        Returns the paths on which the peer has answered, and whether the cumulative TSN advanced.
        """
        outbound = self._outbound
        paths = self._paths.values()
        before: dict[Path, int] = {}
        earliest: dict[Path, SentChunk | None] = {}
        for path in paths:
            if path.flight:
                before[path] = path.flight
                earliest[path] = outbound.earliest_on(path)
        news, advanced, lost, reneged = outbound.sack(sack, cumulative, paths, now)
        for path, acked in news.items():
            path.acknowledged(acked, before.get(path, 0), advanced)
        for path in paths:
            if path.fast_recovery and cumulative >= path.exit_point:
                path.fast_recovery = False
        highest = outbound.next_tsn - 1
        for path in lost:
            if not path.fast_recovery:
                # Section 7.2.4, 3: what is lost later waits for cwnd.
                outbound.retransmit_one = True
                if logger.isEnabledFor(logging.DEBUG):
                    logger.debug(
                        "%s: fast retransmission to %s",
                        whose(self._id, path.peer),
                        transport(path.peer),
                    )
            path.lost(highest, slowed=self._has_slowed_down())
        if outbound.probe is None or not self._probe_is_out(sack.rwnd):
            self._restart_t3(earliest, outbound.peek_marked() if lost else None, now)
            if before and not news:
                self._probe_after_refusal(before, sack.rwnd, now)
        if reneged:
            for path in paths:
                if path.flight and path.t3 == inf:
                    path.t3 = now + path.rto  # R4, where nothing was in flight
        outbound.advance()
        return news, advanced

    def take_cumulative(self, cumulative: int, now: float) -> Collection[Path]:
        """Take what a SHUTDOWN acknowledges; return the paths on which the peer has answered."""
        news = self._outbound.acknowledge(cumulative, now)
        for path in news:
            self._renew_t3(path, now)
        if self._outbound.probe is not None:
            self._probe_is_out(0)  # a SHUTDOWN says nothing of the window
        return news

    def all_is_acknowledged(self) -> None:
        """Stop what waits for acknowledgements."""
        for path in self._paths.values():
            path.t3 = inf

    def _restart_t3(
        self, earliest: dict[Path, SentChunk | None], again: SentChunk | None, now: float
    ) -> None:
        """Section 6.3.2, R3, and section 7.2.4, 4, for paths on which data was in flight.

        Not for later chunks, which would let an early one wait for as long as others are
        acknowledged.
        """
        for path, chunk in earliest.items():
            if chunk is None or chunk.done or chunk is again:
                self._renew_t3(path, now)
            elif path.t3 == inf:
                path.t3 = now + path.rto  # R4

    def _renew_t3(self, path: Path, now: float) -> None:
        """Section 6.3.2, R2 and R3."""
        path.t3 = now + path.rto if self._outbound.waiting_on(path) else inf

    # -- routers' marks (RFC 3168; RFC 4960 appendix A) ---

    def take_ecne(self, lowest_tsn: int) -> bool:
        """Slow down once for all packets that are under way, as the peer tells of a mark on one.

        Returns whether what it says makes sense, so that it is to be answered.
        """
        outbound = self._outbound
        tsn = unwrap(lowest_tsn, outbound.cumulative)
        if not outbound.was_sent(tsn):
            return False
        if tsn > outbound.slowed_at:
            outbound.slowed_at = outbound.next_tsn - 1
            chunk = outbound.outstanding.get(tsn)
            path = self._paths.for_data() if chunk is None else chunk.path
            path.congested()
        return True

    def _has_slowed_down(self) -> bool:
        """Whether what is lost was under way when a mark slowed us down: once is enough (6.1.2)."""
        first = self._outbound.peek_marked()
        return first is not None and first.tsn <= self._outbound.slowed_at

    # -- T3-rtx (6.3.3) ---

    def t3_expired(self, path: Path, now: float) -> bool:
        """Mark what is to be retransmitted; return whether that counts as an error of the path."""
        path.t3 = inf
        outbound = self._outbound
        outbound.advance()
        if outbound.earliest_on(path) is None:
            if not outbound.forward_due:
                return False
            path.back_off()
            path.t3 = now + path.rto
            return True
        # A window that the peer keeps closed, but tells of, is no failure of the path (6.1 A).
        failed = not outbound.closed_window
        outbound.closed_window = False  # until the next SACK says so
        path.timed_out()
        path.back_off()
        outbound.mark_all_on(path, now)
        outbound.retransmit_one = True
        return failed

    # -- a window that is shut (6.1 A) ---

    def window_is_shut(self, path: Path, now: float) -> None:
        """Probe it after an RTO: the SACK that opens it may be lost."""
        if self._timers[WINDOW] == inf:
            self._window_wait = path.rto
            self._timers[WINDOW] = now + path.rto

    def window_expired(self) -> Path | None:
        """Have a probe leave, or the one that is out leave again.

        That says nothing about the network, unless no SACK has answered: then it returns the path,
        which has failed.
        """
        outbound = self._outbound
        probe = outbound.probe
        if probe is None:
            if not outbound.flight:
                outbound.probe_due = bool(outbound.queue)
            return None
        outbound.mark(probe)
        probe.fast = True
        outbound.retransmit_one = True
        return None if self._window_told else probe.path

    def data_was_sent(self, path: Path, now: float) -> None:
        """Start the timer that waits for what has left: T3-rtx, or that of the probe."""
        if self._outbound.probe is not None:
            self._outbound.probe_due = False
            self._window_told = False
            self._window_wait = min(2 * self._window_wait, self._parameters.rto_max)
            self._timers[WINDOW] = now + self._window_wait
            return
        if self._timers[WINDOW] != inf:
            self._timers[WINDOW] = inf  # the window has opened
        if path.t3 == inf:
            path.t3 = now + path.rto

    def _probe_is_out(self, rwnd: int) -> bool:
        """Whether a zero-window probe is still to be answered after a SACK."""
        self._window_told = True
        if self._outbound.judge_probe(rwnd):
            return True
        self._timers[WINDOW] = inf
        return False

    def _probe_after_refusal(self, in_flight: Iterable[Path], rwnd: int, now: float) -> None:
        """Wait for a window that was taken back as for any that is shut: it says nothing of T3."""
        for path in in_flight:
            if self._outbound.was_refused(path, rwnd):
                path.t3 = inf
                self._window_told = True
                self._window_wait = path.rto
                self._timers[WINDOW] = now + path.rto
