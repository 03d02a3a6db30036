"""One destination address of the peer (RFC 9260 sections 6.3, 7 and 8).

A path has a round-trip time and a retransmission timeout (6.3.1), a congestion window (7.2), an
error counter and a state (8.2), and heartbeats (8.3).  RFC 7829 adds the potentially failed state.
"""

from __future__ import annotations

import struct
from math import inf
from typing import Final, NamedTuple

from .._options import PathState
from .._values import Address
from .parameters import Parameters
from .path_mtu import PathMtuSearch

_ALPHA, _BETA = 1 / 8, 1 / 4  # RTO.Alpha and RTO.Beta (section 16)
_HEARTBEAT_INFO: Final = struct.Struct("!d8s")
HEARTBEAT_INFO_SIZE: Final = 4 + _HEARTBEAT_INFO.size + 39
"""Bytes of the parameter in a HEARTBEAT of ours, with the longest address."""


class Route(NamedTuple):
    """Where a packet came from or is to go; UDP ports are those of RFC 6951, 0 without UDP."""

    local: str
    remote: str
    local_udp: int = 0
    remote_udp: int = 0


def transport_address(host: str, port: int) -> Address:
    """Return the address of a host and port as programs see it.

    A link-local host carries its scope, a number, behind a %.
    """
    if ":" not in host:
        return (host, port)
    host, _, scope = host.partition("%")
    return (host, port, 0, int(scope or 0))


def host_of(address: Address) -> str:
    """Return the host of an address as programs see it, with its scope if it has one."""
    host = address[0].partition("%")[0]
    return f"{host}%{address[3]}" if len(address) == 4 and address[3] else address[0]


def heartbeat_info(address: str, nonce: bytes, now: float) -> bytes:
    """Return what a heartbeat to an address carries, and the answer to it (3.3.5)."""
    return _HEARTBEAT_INFO.pack(now, nonce) + address.encode()


def read_heartbeat_info(info: bytes) -> tuple[str, bytes]:
    """Return the address and the nonce that an answer carries; empty ones if it is not ours."""
    if len(info) < _HEARTBEAT_INFO.size:
        return "", b""
    _, nonce = _HEARTBEAT_INFO.unpack_from(info)
    return info[_HEARTBEAT_INFO.size :].decode("ascii", "replace"), nonce


class Path:
    """One destination address of the peer, with its timers and its congestion control.

    Attributes:
      route: The addresses of the packets that are sent on the path.
      peer: The peer's transport address, as programs see it.
      parameters: Those of the association.
      mtu: Bytes that an SCTP packet may have.
      search: The search for a larger `mtu`; None if it is switched off.
      confirmed: Whether the peer is known to have this address (5.4).
      unreachable: Whether errors made it inactive (8.2).
      potentially_failed: Whether errors make it doubtful, though not unreachable yet (RFC 7829).
      error_count: Errors since the peer last answered on it (8.2).
      max_retrans: The path is unreachable when `error_count` exceeds it (Path.Max.Retrans).
      pf_threshold: It has potentially failed when `error_count` exceeds this (RFC 7829).
      switchover: It stays the primary path no longer when `error_count` exceeds this (RFC 7829).
      rto: Retransmission timeout in seconds.
      max_rto: The largest that it has come to, by measuring or by timeouts; 0 before the first.
      srtt, rttvar: Smoothed round-trip time and its variation, in seconds; 0 before the first.
      earliest, newest: All outstanding chunks that were last sent on it have TSNs between these,
        but those in `moved`.
      moved: A heap of the TSNs that were sent on it after they had been sent on another, and of
        some that no longer count.
      timed_tsn: TSN of the chunk whose acknowledgement measures a round trip; None if none does.
      flight: Bytes in flight.
      cwnd, ssthresh: Congestion window and slow-start threshold, in bytes.
      partial_bytes_acked: Bytes that were acknowledged in congestion avoidance (7.2.2).
      fast_recovery: Whether the path is in fast recovery (7.2.4).
      exit_point: TSN whose acknowledgement ends fast recovery.
      last_sent: When data was last sent.
      t3: When T3-rtx expires; infinite if it does not run.
      heartbeats: Whether heartbeats are switched on.
      interval: Seconds between heartbeats, to which the RTO is added (HB.Interval).
      heartbeat_at: When the next heartbeat is to be sent; infinite if none is.
      heartbeat_deadline: When the heartbeat that was sent counts as lost; infinite if none is out.
      heartbeat_nonce: What its answer has to contain.
      heartbeat_sent: When it was sent.
    """

    __slots__ = (
        "confirmed",
        "cwnd",
        "earliest",
        "error_count",
        "exit_point",
        "fast_recovery",
        "flight",
        "heartbeat_at",
        "heartbeat_deadline",
        "heartbeat_nonce",
        "heartbeat_sent",
        "heartbeats",
        "interval",
        "last_sent",
        "max_retrans",
        "max_rto",
        "moved",
        "mtu",
        "newest",
        "parameters",
        "partial_bytes_acked",
        "peer",
        "pf_threshold",
        "potentially_failed",
        "route",
        "rto",
        "rttvar",
        "search",
        "srtt",
        "ssthresh",
        "switchover",
        "t3",
        "timed_tsn",
        "unreachable",
    )

    def __init__(self, route: Route, port: int, parameters: Parameters, *, confirmed: bool) -> None:
        self.route: Route = route
        self.peer: Address = transport_address(route.remote, port)
        self.parameters: Parameters = parameters
        self.mtu: int = parameters.path_mtu
        self.search: PathMtuSearch | None = None
        if parameters.path_mtu_discovery:
            self.discover_mtu()
        self.confirmed: bool = confirmed
        self.unreachable: bool = False
        self.potentially_failed: bool = False
        self.error_count: int = 0
        self.max_retrans: int = parameters.path_max_retrans
        self.pf_threshold: int = parameters.pf_threshold
        self.switchover: int = parameters.primary_switchover

        self.rto: float = parameters.rto_initial
        self.max_rto: float = 0.0
        self.srtt: float = 0.0
        self.rttvar: float = 0.0
        self.timed_tsn: int | None = None

        self.flight: int = 0
        self.cwnd: int = self.initial_cwnd()
        self.ssthresh: int = 2**32
        self.partial_bytes_acked: int = 0
        self.fast_recovery: bool = False
        self.exit_point: int = 0
        self.last_sent: float = 0.0
        self.earliest: int = 0
        self.newest: int = -1
        self.moved: list[int] = []
        self.t3: float = inf

        self.heartbeats: bool = parameters.heartbeats
        self.interval: float = parameters.heartbeat_interval
        self.heartbeat_at: float = inf
        self.heartbeat_deadline: float = inf
        self.heartbeat_nonce: bytes = b""
        self.heartbeat_sent: float = 0.0

    @property
    def address(self) -> str:
        """The peer's address, without a port."""
        return self.route.remote

    @property
    def state(self) -> PathState:
        """The state of the path, as RFC 6458 section 8.2.2 and RFC 7829 name it."""
        if self.unreachable:
            return PathState.INACTIVE
        if not self.confirmed:
            return PathState.UNCONFIRMED
        if self.potentially_failed:
            return PathState.POTENTIALLY_FAILED
        return PathState.ACTIVE

    @property
    def usable(self) -> bool:
        """Whether the path may carry user data, and is not known to fail."""
        return self.confirmed and not self.unreachable and not self.potentially_failed

    def discover_mtu(self, on: bool = True) -> None:
        """Look for a larger path MTU from now on, or leave it as it is (7.3)."""
        if not on:
            self.search = None
        elif self.search is None:
            base = min(self.mtu, self.parameters.path_mtu)
            six = ":" in self.route.remote  # IPv6 links pass 1280 bytes (RFC 8200 section 5)
            smallest = base if six else self.parameters.smallest_path_mtu
            largest, interval = self.parameters.largest_path_mtu, self.parameters.probe_interval
            self.search = PathMtuSearch(smallest, base, largest, interval)

    def deadline(self) -> float:
        """Return when the first of the path's timers expires; infinite if none runs."""
        # This is called with every packet, and comparing is twice as fast as min().
        first = self.t3
        if self.heartbeat_at < first:
            first = self.heartbeat_at
        if self.heartbeat_deadline < first:
            first = self.heartbeat_deadline
        if self.search is not None and self.search.deadline < first:
            first = self.search.deadline
        return first

    def set_as(self, other: Path) -> None:
        """Take over what the program has set for another path."""
        self.max_retrans = other.max_retrans
        self.pf_threshold = other.pf_threshold
        self.switchover = other.switchover
        self.heartbeats = other.heartbeats
        self.interval = other.interval
        if other.search is None:
            self.search = None
            self.mtu = other.mtu

    # -- round trips (6.3.1) ---

    def measured(self, seconds: float) -> None:
        """Update the RTO with a round trip that was measured."""
        if self.srtt == 0.0:
            self.srtt = max(seconds, 1e-9)
            self.rttvar = seconds / 2
        else:
            self.rttvar += _BETA * (abs(self.srtt - seconds) - self.rttvar)
            self.srtt += _ALPHA * (seconds - self.srtt)
        self.rto = self.parameters.rto(self.srtt + 4 * self.rttvar)
        if self.rto > self.max_rto:
            self.max_rto = self.rto

    def back_off(self) -> None:
        """Double the RTO after a timeout (6.3.3, E2)."""
        self.rto = min(self.rto * 2, self.parameters.rto_max)
        self.max_rto = max(self.max_rto, self.rto)

    # -- congestion (7.2) ---

    def initial_cwnd(self) -> int:
        """Return the congestion window to begin with, in bytes (7.2.1)."""
        return min(4 * self.mtu, max(2 * self.mtu, 4404))

    def acknowledged(self, acked: int, flight_before: int, advanced: bool) -> None:
        """Grow the congestion window after a SACK.

        Args:
          acked: Bytes of this path that it acknowledged for the first time.
          flight_before: Bytes that were in flight on this path before it.
          advanced: Whether it advanced the cumulative TSN.
        """
        if self.fast_recovery or not advanced:
            return
        # Only a window that was in use shows that the network can take more.
        if self.cwnd <= self.ssthresh:
            if flight_before + self.mtu > self.cwnd:
                self.cwnd += min(acked, self.mtu)
            return
        in_use = flight_before >= self.cwnd
        self.partial_bytes_acked += acked
        if self.partial_bytes_acked >= self.cwnd and in_use:
            self.partial_bytes_acked -= self.cwnd
            self.cwnd += self.mtu
        elif self.partial_bytes_acked > self.cwnd:
            self.partial_bytes_acked = self.cwnd

    def lost(self, highest_outstanding: int, *, slowed: bool = False) -> None:
        """Halve the congestion window for a loss that SACKs reported (7.2.3), unless it is so
        already, for a mark on a packet of the same window.

        Enters fast recovery (7.2.4), in which further losses change nothing.
        """
        if self.fast_recovery:
            return
        if not slowed:
            self.ssthresh = max(self.cwnd // 2, 4 * self.mtu)
            self.cwnd = self.ssthresh
            self.partial_bytes_acked = 0
        self.fast_recovery = True
        self.exit_point = highest_outstanding

    def congested(self) -> None:
        """Halve the congestion window because a router has marked a packet (RFC 3168, 6.1.2)."""
        if self.fast_recovery:
            return  # it is halved already, for the same packets
        self.ssthresh = max(self.cwnd // 2, 4 * self.mtu)
        self.cwnd = min(self.cwnd, self.ssthresh)
        self.partial_bytes_acked = 0

    def timed_out(self) -> None:
        """Shrink the congestion window to one packet: T3-rtx expired (7.2.3)."""
        self.ssthresh = max(self.cwnd // 2, 4 * self.mtu)
        self.cwnd = self.mtu
        self.partial_bytes_acked = 0
        self.fast_recovery = False
        self.timed_tsn = None

    def idle(self, now: float) -> None:
        """Shrink a congestion window that was long unused, and may no longer be right (7.2.1)."""
        quiet = now - self.last_sent
        while quiet > self.rto and self.cwnd > 4 * self.mtu:
            self.cwnd = max(self.cwnd // 2, 4 * self.mtu)
            quiet -= self.rto
        if self.flight == 0:
            self.partial_bytes_acked = 0

    # -- heartbeats (8.3) ---

    def schedule_heartbeat(self, now: float, random: float) -> None:
        """Schedule the next heartbeat: in an interval and an RTO, give or take half of the RTO.

        A path that has potentially failed is probed after the RTO alone, but not if heartbeats are
        switched off (RFC 7829 section 3.2, 5).  ``random`` is 0 to 1.
        """
        wait = self.rto * (0.5 + random) if self.heartbeats else inf
        if not self.potentially_failed:
            wait += self.interval
        self.heartbeat_at = now + wait
