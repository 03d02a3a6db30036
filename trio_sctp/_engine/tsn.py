"""TSNs (RFC 9260 section 1.6): 32 bits that wrap around on the wire, and never do inside."""

from __future__ import annotations

from typing import Final

MASK: Final = 2**32 - 1
"""What of a TSN goes on the wire."""

_WRAP: Final = 2**32
_HALF: Final = 2**31


def unwrap(wire: int, near: int) -> int:
    """Return the TSN whose lower 32 bits came on the wire: of all such, the one nearest to `near`.

    Args:
      wire: 0 to 2**32 - 1.
      near: A TSN of the same direction, without wrap-around.
    """
    delta = (wire - near) & MASK
    return near + (delta if delta < _HALF else delta - _WRAP)
