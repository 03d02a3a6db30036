"""The addresses of one peer (RFC 9260 sections 5.4, 6.4, 8.2 and 8.3; RFC 7829).

Which of them new data takes and which retransmissions take, which have failed, and which are to be
probed is decided here.  What has changed is returned: the association tells the program of it, and
sends what is to be sent.

A peer can list any addresses, and those of other hosts too.  An unconfirmed one gets nothing but
heartbeats, few of them, and no more bytes than a multiple of what the peer itself has sent.
"""

from __future__ import annotations

from math import inf
from typing import Final

from .._values import PeerAddressState
from .parameters import Parameters
from .path import Path, Route

MOST_REFLECTED: Final = 8
"""Bytes that may go to addresses that are not confirmed, for each byte that the peer has sent."""


class Paths(dict[str, Path]):
    """The paths of an association by the peer's address, in the order in which they were added.

    Attributes:
      parameters: Those of the association.
      peer_port: The peer's SCTP port.
      primary: The path that new data takes while it works; None before the first was added.
      received: Bytes that the peer has sent.
      reflected: Bytes that were sent to unconfirmed addresses.
      told: Our addresses that the peer was told of, if they are several.
      beyond: Addresses of the peer that are not reached while we have none of their family.
    """

    def __init__(self, parameters: Parameters, peer_port: int) -> None:
        super().__init__()
        self.parameters: Parameters = parameters
        self.peer_port: int = peer_port
        self.primary: Path | None = None
        self.received: int = 0
        self.reflected: int = 0
        self.told: list[str] = []
        self.beyond: tuple[str, ...] = ()
        self._probed: str = ""  # the address that was probed last
        self._received_before = 0  # `received`, when an address was probed last

    # -- which addresses there are ---

    def add(self, route: Route, *, confirmed: bool) -> Path:
        """Add an address of the peer."""
        path = Path(route, self.peer_port, self.parameters, confirmed=confirmed)
        self[route.remote] = path
        if self.primary is None:
            self.primary = path
        return path

    def remove(self, path: Path) -> None:
        """Take an address away.

        What is outstanding on its path may be retransmitted on another, which there has to be if
        the path is the primary one.
        """
        del self[path.address]
        path.unreachable = True
        path.t3 = path.heartbeat_at = path.heartbeat_deadline = inf
        if path is self.primary:
            self.primary = next(iter(self.values()), None)
            if self.primary is not None:
                self.primary = self.for_data()

    def begin_anew(self, route: Route) -> None:
        """Forget all addresses but one, which is confirmed and the primary one (5.2.4, action A).

        What the program has set for that path stays set.
        """
        before = self.get(route.remote)
        self.clear()
        self.primary = None
        self.told = []
        self.beyond = ()
        self._probed = ""
        path = self.add(route, confirmed=True)
        if before is not None:
            path.set_as(before)

    @property
    def stranded(self) -> bool:
        """Whether there is no confirmed address left."""
        return not any(path.confirmed for path in self.values())

    def local_addresses(self) -> list[str]:
        """Return our addresses that the peer knows."""
        return self.told or list(dict.fromkeys(path.route.local for path in self.values()))

    # -- which one to use (6.4, 8.2; RFC 7829 section 5) ---

    def for_data(self) -> Path:
        """Return where new data goes: the primary path, while it works."""
        primary = self.primary
        assert primary is not None
        if primary.usable:
            return primary
        confirmed = [path for path in self.values() if path.confirmed]
        for path in confirmed:
            if path.usable:
                return path
        failing = [path for path in confirmed if not path.unreachable] or confirmed
        # All fail: the one that has failed least, the primary if in doubt.
        return min(failing or [primary], key=lambda path: (path.error_count, path is not primary))

    def for_retransmission(self, path: Path) -> Path:
        """Return where to retransmit what was sent on a path (6.4.1)."""
        for other in self.values():
            if other is not path and other.usable:
                return other
        if path.usable:
            return path
        for other in self.values():
            if other is not path and other.confirmed and not other.unreachable:
                return other
        return self.for_data()

    def to_answer(self, path: Path | None) -> Path:
        """Return where an answer goes to what came on a path, None for an address unknown.

        Nothing but a HEARTBEAT ACK goes to an address that is not confirmed (5.4).
        """
        return path if path is not None and path.confirmed else self.for_data()

    # -- failures (8.2; RFC 7829) ---

    def failed_once_more(self, path: Path) -> PeerAddressState | None:
        """Count an error of a path; return the change of its state, None if it has none."""
        path.error_count += 1
        if path.unreachable:
            return None
        if path.error_count > path.max_retrans:
            path.unreachable = True
            path.potentially_failed = False
            return PeerAddressState.ADDR_UNREACHABLE
        if (
            path.confirmed
            and self.parameters.potentially_failed
            and path.error_count > path.pf_threshold
            and not path.potentially_failed
        ):
            path.potentially_failed = True
            return PeerAddressState.ADDR_POTENTIALLY_FAILED
        return None

    def switch_over(self, path: Path) -> Path | None:
        """Have the path that data takes be the primary one, where the primary path fails for long.

        Returns the new primary path, None if there is none (RFC 7829 section 5).
        """
        if path is not self.primary or path.error_count <= path.switchover:
            return None
        chosen = self.for_data()
        if chosen is path or not chosen.usable:
            return None
        self.primary = chosen
        return chosen

    def answered(self, path: Path) -> PeerAddressState | None:
        """Note that the peer answered on a path; return the change of its state, if it has one."""
        path.error_count = 0
        if path.unreachable or path.potentially_failed:
            path.unreachable = path.potentially_failed = False
            return PeerAddressState.ADDR_AVAILABLE
        return None

    def confirm(self, path: Path) -> None:
        """Note that the peer has answered a heartbeat that only this address can know."""
        path.confirmed = True
        path.unreachable = False
        path.error_count = 0

    # -- probing addresses that are not confirmed (5.4) ---

    def next_probe(self, now: float, size: int) -> tuple[Path | None, float]:
        """Return the unconfirmed path to be probed now, if one is, and when to ask again.

        One is probed in an RTO, each in its turn, until as many probes were lost as make a path
        inactive.  After that one is probed in a heartbeat interval, and only if the peer has sent
        something since.

        Args:
          now: Seconds.
          size: Bytes of the packet that the probe will be.
        """
        alive = any(not path.confirmed and not path.unreachable for path in self.values())
        path = self._next_in_turn(alive)
        if path is None:
            return None, inf  # all are confirmed, or wait for an answer
        seldom = now + self.parameters.heartbeat_interval + self.parameters.rto_initial
        again = now + path.rto / self.parameters.heartbeat_burst if alive else seldom
        silent = not alive and self.received == self._received_before
        if silent or self.reflected + size > MOST_REFLECTED * self.received:
            return None, seldom
        self._received_before = self.received
        self.reflected += size
        self._probed = path.address
        return path, again

    def _next_in_turn(self, alive: bool) -> Path | None:
        """Return the unconfirmed path after the one that was probed last, of those that are idle.

        `alive` chooses between those that may still answer and those that have failed.
        """
        first: Path | None = None
        passed = self._probed not in self
        for address, path in self.items():
            if not path.confirmed and path.unreachable != alive and path.heartbeat_deadline == inf:
                if passed:
                    return path
                first = first or path
            passed = passed or address == self._probed
        return first
