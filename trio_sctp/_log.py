"""The logger ``trio_sctp``, and how its lines name things.

A line names the association and its peer, and shows what the peer wrote as ``repr``: it may hold
line breaks, or anything else.
"""

from __future__ import annotations

import logging
from math import inf
from typing import Final

from ._values import Address

logger: Final = logging.getLogger("trio_sctp")
logger.addHandler(logging.NullHandler())

_MOST_SHOWN: Final = 200
"""Bytes of a text of the peer's that a line shows."""

_QUIET: Final = 1.0
"""Seconds between two lines of a kind that peers can bring about as often as they like."""


def shown(text: bytes) -> str:
    """A text that the peer wrote."""
    if len(text) <= _MOST_SHOWN:
        return repr(text)
    return f"{text[:_MOST_SHOWN]!r} and {len(text) - _MOST_SHOWN} bytes more"


def whose(id: int, peer: Address | None) -> str:
    """An association, and with whom it is as far as that is known."""
    return f"association {id}" if peer is None else f"association {id} with {transport(peer)}"


def transport(address: Address) -> str:
    """A transport address."""
    return f"{address[0]} port {address[1]}"


class Drops:
    """Warnings of what was dropped: at most one in a second for each kind, with a count."""

    def __init__(self) -> None:
        # By kind: until when nothing is written, and how many lines have been left out.
        self._kinds: dict[str, tuple[float, int]] = {}

    def warn(self, kind: str, now: float, text: str, *args: object) -> None:
        """Write a line, unless one of its kind was written less than a second ago.

        Args:
          kind: One of a few.
          now: Seconds.
          text, args: As for ``logger.warning``.
        """
        if not logger.isEnabledFor(logging.WARNING):
            return
        quiet_until, left_out = self._kinds.get(kind, (-inf, 0))
        if now < quiet_until:
            self._kinds[kind] = quiet_until, left_out + 1
            return
        self._kinds[kind] = now + _QUIET, 0
        if left_out:
            logger.warning(f"{text} (lines left out before: %d)", *args, left_out)
        else:
            logger.warning(text, *args)
