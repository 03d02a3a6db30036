"""The count of messages that were given up (RFC 7496 sections 4.3 and 4.4)."""

from __future__ import annotations

from typing import Final

from .._values import SendInfo

LIFETIME: Final = 0
RETRANSMISSIONS: Final = 1
PRIORITY: Final = 2


class AbandonedCounts:
    """How many messages an association has given up, by stream and policy.

    It costs nothing until the first one is.
    """

    __slots__ = ("_streams",)

    def __init__(self) -> None:
        # For each stream, the messages of each policy that had been sent, and that had not.
        self._streams: dict[int, list[int]] = {}

    def count(self, info: SendInfo, *, sent: bool) -> None:
        """Count a message; ``sent`` says whether a part of it had been sent."""
        policy = LIFETIME
        if info.retransmissions is not None:
            policy = RETRANSMISSIONS
        elif info.priority is not None:
            policy = PRIORITY
        counts = self._streams.get(info.stream)
        if counts is None:
            counts = self._streams[info.stream] = [0] * 6
        counts[2 * policy + (not sent)] += 1

    def of(self, stream: int | None) -> list[tuple[int, int]]:
        """Return the counts of one stream, or of all, in the order of the policies above.

        Each is the number of messages that had been sent, and of those that had not.
        """
        if stream is None:
            streams = list(self._streams.values())
        else:
            streams = [self._streams.get(stream, [0] * 6)]
        return [
            (
                sum(counts[2 * policy] for counts in streams),
                sum(counts[2 * policy + 1] for counts in streams),
            )
            for policy in (LIFETIME, RETRANSMISSIONS, PRIORITY)
        ]
