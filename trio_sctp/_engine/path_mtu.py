"""Finding the path MTU with probes (RFC 8899, section 6.2 for SCTP; RFC 9260 section 7.3).

A probe is a HEARTBEAT, filled up with a PAD chunk, in a packet that must not be fragmented.  A
HEARTBEAT ACK shows that the probe arrived.  The loss of a probe says nothing about congestion, nor
about the state of the path.

A path may be narrower than any should be.  When packets of the size that works everywhere get
lost, a probe of the smallest size shows whether anything passes; if it does, and several probes of
that size do not, the search begins at the smallest size (RFC 8899 section 5.2, MIN_PLPMTU).

The search tries the largest possible size first, since it usually works; after that, the middle
between what is known to work and what is known not to.  No timer runs on an idle path: a search
begins when there is more to send than a packet holds.
"""

from __future__ import annotations

from math import inf

MAX_PROBES = 3
"""Number of lost probes that show that their size is too large (RFC 8899 section 5.1.2)."""
RAISE_INTERVALS = 30
"""Intervals between a search and the next, in which larger sizes are tried (PMTU_RAISE_TIMER)."""
_PRECISION = 16
"""Bytes by which the result of a search may be below the true size."""


class PathMtuSearch:
    """The search for the MTU of one path.

    Attributes:
      interval: Seconds, a thirtieth of those between a search and the next.
      base: A size that works on nearly any path, in bytes.
      smallest: A size that works on any path, in bytes; not above `base`.
      size: The size of the probe that is to be sent or is out, in bytes; 0 if there is none.
      nonce: What the answer to the probe has to contain.
      deadline: When the probe counts as lost; infinite if none is out.
    """

    __slots__ = (
        "_again_at",
        "_largest",
        "_narrow",
        "_probes",
        "_too_large",
        "base",
        "deadline",
        "interval",
        "nonce",
        "size",
        "smallest",
    )

    def __init__(self, smallest: int, base: int, largest: int, interval: float) -> None:
        self.interval: float = interval
        self.smallest: int = min(smallest, base)
        self.base: int = base
        self._largest = largest & ~3
        self._too_large = self._largest + 4  # the smallest size taken not to work
        self._again_at = -inf  # when the next search may begin
        self._probes = 0  # sent, of this size
        self._narrow = False  # whether even `base` is in doubt
        self.size: int = 0
        self.nonce: bytes = b""
        self.deadline: float = inf

    def wanted(self, mtu: int, now: float) -> bool:
        """Begin a search if it is time for one, when a larger path MTU would help.

        Returns whether a search has begun, so that a probe of `size` is to be sent.
        """
        if self.size or now < self._again_at:
            return False
        self._too_large = self._largest + 4
        self._next(mtu, now)
        return self.size > 0

    def confirm(self, mtu: int) -> bool:
        """Begin to check whether packets of this size still work, after some were lost.

        A search for a larger size goes on after that: it can take minutes, in which nothing would
        arrive.  Returns whether the check has begun, so that a probe of `size` is to be sent.
        """
        if 0 < self.size <= mtu or mtu <= self.smallest:
            return False
        self._narrow = mtu <= self.base
        self.size = (self.smallest if self._narrow else mtu) & ~3
        self._probes = 0
        return True

    def sent(self, nonce: bytes, deadline: float) -> None:
        """Note that a probe of `size` was sent."""
        self.nonce = nonce
        self.deadline = deadline
        self._probes += 1

    def acknowledged(self, mtu: int, now: float) -> int:
        """Note that the probe arrived; return the path MTU.  `size` is that of the next probe."""
        if self._narrow and self.size < mtu:
            # The path works, so it is the size that makes packets get lost.
            self.stop()
            self.size = mtu & ~3
            self._probes = 0
            return mtu
        mtu = max(mtu, self.size)
        self._next(mtu, now)
        return mtu

    def lost(self, mtu: int, now: float) -> int:
        """Note that the probe is lost; return the path MTU.  `size` is that of the next probe."""
        if self._probes >= MAX_PROBES:
            if self._narrow and self.size < mtu:
                self.stop()  # nothing passes: that says nothing about sizes
                return mtu
            self._too_large = self.size
            if self.size <= mtu:
                # What worked no longer does (RFC 8899 section 4.3).
                mtu = self.smallest if self._narrow else self.base
            self._next(mtu, now)
        return mtu

    def stop(self) -> None:
        """End the search: no probe is out, and none is to be sent."""
        self.size = 0
        self.nonce = b""
        self.deadline = inf

    def _next(self, mtu: int, now: float) -> None:
        """Choose the size of the next probe, or end the search."""
        self.stop()
        self._probes = 0
        if self._too_large - mtu <= _PRECISION:
            self._again_at = now + RAISE_INTERVALS * self.interval
        elif self._too_large > self._largest:
            self.size = self._largest
        else:
            self.size = (mtu + self._too_large) // 2 & ~3
