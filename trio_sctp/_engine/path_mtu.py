"""Finding the path MTU by probes (RFC 8899, as its section 6.2 has it for SCTP; RFC 9260 section
7.3).

A probe is a HEARTBEAT, filled up by a PAD chunk, in a packet that must not be fragmented.  What
tells that it has arrived is its HEARTBEAT ACK; that it is lost says nothing of congestion, nor of
the path.

The largest size that may work is tried first, as it mostly does; after that the middle of what is
known to work and what is not.  No timer runs on an idle path: a search begins when there is more to
send than a packet holds.
"""

from __future__ import annotations

from math import inf

MAX_PROBES = 3
"""That have to be lost for a size not to work (RFC 8899 section 5.1.2)."""
RAISE_AFTER = 600.0
"""PMTU_RAISE_TIMER: seconds after which a larger size than was found is tried again."""
_PRECISE = 16
"""Bytes; what a search may be below the true size when it ends."""


class PathMtuSearch:
    """Of one path."""

    __slots__ = (
        "_again_at",
        "_largest",
        "_probes",
        "_too_large",
        "base",
        "deadline",
        "nonce",
        "size",
    )

    def __init__(self, base: int, largest: int) -> None:
        self.base: int = base  # works on any path
        self._largest = largest & ~3
        self._too_large = self._largest + 4  # as far as is known
        self._again_at = -inf
        self._probes = 0  # of this size
        self.size: int = 0  # of the probe that is out, 0 if none is
        self.nonce: bytes = b""  # its HEARTBEAT's
        self.deadline: float = inf  # when it has been lost

    def wanted(self, mtu: int, now: float) -> bool:
        """Whether a search is to begin, now that a larger path MTU would be of use."""
        if self.size or now < self._again_at:
            return False
        self._too_large = self._largest + 4
        self._next(mtu, now)
        return self.size > 0

    def confirm(self, mtu: int) -> bool:
        """Packets were lost: whether to see that their size still works."""
        if mtu <= self.base or self.size:
            return False
        self.size = mtu & ~3
        self._probes = 0
        return True

    def sent(self, nonce: bytes, deadline: float) -> None:
        """A probe of ``size`` left."""
        self.nonce = nonce
        self.deadline = deadline
        self._probes += 1

    def acknowledged(self, mtu: int, now: float) -> int:
        """It has arrived; returns the path MTU."""
        mtu = max(mtu, self.size)
        self._next(mtu, now)
        return mtu

    def lost(self, mtu: int, now: float) -> int:
        """No answer has come in time; returns the path MTU, ``size`` is that of the next probe."""
        if self._probes >= MAX_PROBES:
            self._too_large = self.size
            if self.size <= mtu:
                mtu = self.base  # what worked does no more (RFC 8899 section 4.3)
            self._next(mtu, now)
        return mtu

    def stop(self) -> None:
        """Packets of this size are not sent any more."""
        self.size = 0
        self.nonce = b""
        self.deadline = inf

    def _next(self, mtu: int, now: float) -> None:
        self.stop()
        self._probes = 0
        if self._too_large - mtu <= _PRECISE:
            self._again_at = now + RAISE_AFTER
        elif self._too_large > self._largest:
            self.size = self._largest
        else:
            self.size = (mtu + self._too_large) // 2 & ~3
