"""Our verification tags (RFC 9260 sections 5.3.1 and 8.5): whose each is, and which are used."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .association import EngineAssociation

_LARGEST: Final = 2**32 - 1


class Tags:
    """The verification tags of an endpoint.

    Each association has a tag of its own, so that a packet's tag alone says which association it
    claims to be of.  A tag is used once: for as long as a cookie may name it, it is remembered.

    Attributes:
      owners: The association that has a tag.
      forgotten_at: When the last tag was used up of those that are forgotten, although a cookie may
        name them still.  No cookie is good that was made until then.
    """

    __slots__ = ("_kept", "_number", "_retired", "_retired_at_most", "forgotten_at", "owners")

    def __init__(self, number: Callable[[], int], retired_at_most: int) -> None:
        """Start without tags.

        Args:
          number: Returns a random number of 32 bits.
          retired_at_most: How many used tags are remembered; the oldest are forgotten first.
        """
        self.owners: dict[int, EngineAssociation] = {}
        self.forgotten_at: float = -inf
        self._number = number
        self._retired_at_most = retired_at_most
        self._retired: dict[tuple[int, int], float] = {}  # tag and peer's port; since when
        self._kept = 0.0  # seconds that they are remembered

    def new(self, port: int, now: float) -> int:
        """Return a tag that no association has, and that was not used with this port of a peer."""
        tag = self._number() or 1
        while tag in self.owners or self.is_retired(tag, port, now):
            tag = tag % _LARGEST + 1
        return tag

    def is_retired(self, tag: int, port: int, now: float) -> bool:
        """Whether an association with this port of a peer had the tag, and cookies may name it."""
        return self._retired.get((tag, port), -inf) + self._kept >= now

    def retire(self, association: EngineAssociation, now: float, cookie_life: float) -> None:
        """Take an association's tag away, and remember that it is not to be used again.

        It is remembered for as long as a cookie that names it may be good: its life, and as much
        again that a Cookie Preservative may have asked for.
        """
        if self.owners.get(association.our_tag) is association:
            del self.owners[association.our_tag]
        self._kept = max(self._kept, 2 * cookie_life)
        retired = self._retired
        while retired:
            oldest, since = next(iter(retired.items()))
            if since + self._kept >= now:
                if len(retired) < self._retired_at_most:
                    break
                self.forgotten_at = since
            del retired[oldest]
        retired[association.our_tag, association.peer_port] = now
