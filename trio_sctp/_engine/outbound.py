"""Sending user data (RFC 9260 sections 6.1, 6.2.1, 6.3, 6.9, 7.2; RFC 3758, RFC 7496).

TSNs are counted without wrapping around: on the wire go their lower 32 bits.

    queue ──fragment──> outstanding ──cumulative TSN ack──> gone
                         │   ^
                         │   └── retransmitted
                         └── marked: by T3-rtx, or when reported missing three times
"""

from __future__ import annotations

import heapq
from collections import deque

from .._values import FailedFragment, SendInfo
from .parameters import Parameters
from .path import Path
from .tsn import MASK
from .wire import (
    DATA_OVERHEAD,
    FIRST,
    HEADER_SIZE,
    IMMEDIATE,
    LAST,
    UNORDERED,
    WHOLE,
    Cause,
    Sack,
    data_chunk,
    forward_tsn_chunk,
)

MISSING_REPORTS = 3
"""After so many a chunk is retransmitted (section 7.2.4)."""


class OutgoingMessage:
    """A user message on its way, until its last chunk is acknowledged."""

    __slots__ = (
        "abandoned",
        "data",
        "expires",
        "info",
        "left",
        "offset",
        "priority",
        "retransmissions",
        "ssn",
        "transmitted",
    )

    def __init__(
        self,
        data: bytes,
        info: SendInfo,
        expires: float,
        retransmissions: int | None = None,
        priority: int | None = None,
    ) -> None:
        self.data: bytes = data
        self.info: SendInfo = info
        self.expires: float = expires  # RFC 3758: given up if it was not sent by then
        self.retransmissions: int | None = retransmissions  # RFC 7496: given up after so many
        self.priority: int | None = priority  # RFC 7496: given up for lower numbers
        self.offset: int = 0  # bytes that have become chunks
        self.ssn: int = 0
        self.left: int = 0  # chunks that are not acknowledged
        self.transmitted: bool = False
        self.abandoned: bool = False


class SentChunk:
    """A DATA chunk that was sent and is not acknowledged for good."""

    __slots__ = (
        "acked",
        "counted",
        "fast",
        "ineligible",
        "marked",
        "message",
        "missing",
        "path",
        "sent",
        "sent_at",
        "size",
        "tsn",
        "wire",
    )

    def __init__(
        self, tsn: int, wire: bytes, size: int, message: OutgoingMessage, path: Path
    ) -> None:
        self.tsn: int = tsn
        self.wire: bytes = wire
        self.size: int = size
        self.message: OutgoingMessage = message
        self.path: Path = path  # that it was last sent on
        self.sent: int = 0  # times
        self.sent_at: float = 0.0
        self.counted: bool = False  # in its path's flight
        self.acked: bool = False  # by a gap block
        self.marked: bool = False  # to be retransmitted
        self.missing: int = 0
        self.fast: bool = False  # what marked it last were SACKs
        self.ineligible: bool = False  # was retransmitted fast; a second time is T3's

    @property
    def done(self) -> bool:
        """Whether it need not be waited for any more."""
        return self.acked or self.message.abandoned


class Outbound:
    """The sending half of an association."""

    def __init__(self, parameters: Parameters, initial_tsn: int) -> None:
        self.parameters = parameters
        self.next_tsn: int = initial_tsn
        self.cumulative: int = initial_tsn - 1  # acknowledged
        self.advanced: int = initial_tsn - 1  # Advanced.Peer.Ack.Point of RFC 3758
        self.rwnd: int = 0  # what the peer can take beyond what is in flight
        self.closed_window: bool = False  # the peer said that it has no room
        self.flight: int = 0
        self.queue: deque[OutgoingMessage] = deque()
        self.outstanding: dict[int, SentChunk] = {}  # in order of TSN
        self.marked: list[int] = []  # a heap
        self.buffered: int = 0  # bytes of messages that are not acknowledged
        self.messages: int = 0
        self.failed: list[FailedFragment] = []
        self.forward_due: bool = False
        self.may_skip = False  # the peer knows FORWARD TSN
        self._ssns: dict[int, int] = {}
        self._gap_acked = 0  # outstanding chunks that gap blocks acknowledged

    # -- what is to be sent ---

    @property
    def empty(self) -> bool:
        """Whether all was sent and acknowledged."""
        return not self.queue and not self.outstanding

    def has_room(self) -> bool:
        """Whether one more message may be queued."""
        return (
            self.buffered < self.parameters.send_buffer
            and self.messages < self.parameters.send_buffer_messages
        )

    def make_room(self, priority: int, path: Path) -> bool:
        """Give up messages of a lower priority for one of this (RFC 7496 section 3.2), the least
        urgent first, and of those what has not been sent yet; none, if that would not do."""
        candidates: dict[int, OutgoingMessage] = {}
        if self.may_skip:
            candidates = {id(chunk.message): chunk.message for chunk in self.outstanding.values()}
        for message in self.queue:
            if self.may_skip or not message.offset:
                candidates[id(message)] = message
        lower = [
            message
            for message in candidates.values()
            if message.priority is not None
            and message.priority > priority
            and not message.abandoned
        ]
        lower.sort(key=lambda message: (-(message.priority or 0), message.transmitted))
        buffered, messages = self.buffered, self.messages
        given_up: list[OutgoingMessage] = []
        for message in lower:
            given_up.append(message)
            buffered -= len(message.data)
            messages -= 1
            if (
                buffered < self.parameters.send_buffer
                and messages < self.parameters.send_buffer_messages
            ):
                break
        else:
            return False
        for message in given_up:
            self.abandon(message, path)
        return True

    def enqueue(self, message: OutgoingMessage) -> None:
        """Take one message."""
        self.queue.append(message)
        self.buffered += len(message.data)
        self.messages += 1

    def limit_streams(self, streams: int) -> None:
        """The peer grants so many: messages for others can never be sent (section 5.1.1)."""
        if all(message.info.stream < streams for message in self.queue):
            return
        kept: deque[OutgoingMessage] = deque()
        for message in self.queue:
            if message.info.stream < streams or message.offset:
                kept.append(message)
            else:
                self.buffered -= len(message.data)
                self.messages -= 1
                self._fail(message, Cause.INVALID_STREAM)
        self.queue = kept

    def payload_limit(self, path: Path) -> int:
        """Bytes of the largest fragment."""
        limit = (path.mtu - HEADER_SIZE - DATA_OVERHEAD) & ~3
        segment = self.parameters.max_segment
        return min(limit, segment) if segment else limit

    def next_new(self, space: int, path: Path, now: float, *, immediate: bool) -> SentChunk | None:
        """A chunk of the first message in the queue that fits into ``space``, on its way."""
        while self.queue:
            message = self.queue[0]
            if message.expires <= now and (self.may_skip or not message.offset):
                self.abandon(message, path)
                continue
            data = message.data
            size = len(data) - message.offset
            limit = self.payload_limit(path)
            if size > limit:
                size = limit
            if DATA_OVERHEAD + size > space:
                return None
            if self.rwnd < size and self.flight:
                return None
            info = message.info
            flags = UNORDERED if info.unordered else 0
            if message.offset == 0:
                flags |= FIRST
                if not info.unordered:
                    message.ssn = self._ssns.get(info.stream, 0)
                    self._ssns[info.stream] = (message.ssn + 1) & 0xFFFF
            end = message.offset + size
            if end == len(data):
                flags |= LAST
                self.queue.popleft()
                if immediate and not self.queue:
                    flags |= IMMEDIATE
            payload = data if flags & WHOLE == WHOLE else data[message.offset : end]
            message.offset = end
            message.left += 1
            tsn = self.next_tsn
            self.next_tsn = tsn + 1
            wire = data_chunk(tsn & MASK, info.stream, message.ssn, info.ppid, payload, flags)
            chunk = SentChunk(tsn, wire, size, message, path)
            self.outstanding[tsn] = chunk
            return chunk
        return None

    def next_marked(self, space: int, now: float) -> SentChunk | None:
        """The first chunk to be retransmitted, if it fits."""
        while self.marked:
            chunk = self.outstanding.get(self.marked[0])
            if chunk is None or not chunk.marked:
                heapq.heappop(self.marked)
                continue
            if self._over(chunk.message, chunk, now):
                self.abandon(chunk.message, chunk.path)
                continue
            if len(chunk.wire) > space:
                return None
            heapq.heappop(self.marked)
            chunk.marked = False
            return chunk
        return None

    def peek_marked(self) -> SentChunk | None:
        """The first chunk to be retransmitted."""
        while self.marked:
            chunk = self.outstanding.get(self.marked[0])
            if chunk is not None and chunk.marked:
                return chunk
            heapq.heappop(self.marked)
        return None

    def transmitted(self, chunk: SentChunk, path: Path, now: float) -> None:
        """The chunk is in a packet on that path."""
        chunk.path = path
        chunk.sent += 1
        chunk.sent_at = now
        chunk.missing = 0
        chunk.message.transmitted = True
        if not chunk.counted:
            chunk.counted = True
            path.flight += chunk.size
            self.flight += chunk.size
            self.rwnd = max(0, self.rwnd - chunk.size)
        if chunk.sent > 1:
            if path.timed_tsn == chunk.tsn:
                path.timed_tsn = None
        elif path.timed_tsn is None:
            path.timed_tsn = chunk.tsn

    def uncount(self, chunk: SentChunk) -> None:
        """It is no longer in flight."""
        if chunk.counted:
            chunk.counted = False
            chunk.path.flight -= chunk.size
            self.flight -= chunk.size

    def mark(self, chunk: SentChunk) -> None:
        """To be retransmitted."""
        self.uncount(chunk)
        if not chunk.marked:
            chunk.marked = True
            heapq.heappush(self.marked, chunk.tsn)
            if chunk.path.timed_tsn == chunk.tsn:
                chunk.path.timed_tsn = None

    # -- acknowledgements (6.2.1, 7.2) ---

    def valid(self, cumulative: int) -> bool:
        """Whether it acknowledges nothing that was not sent."""
        return cumulative < self.next_tsn

    def acknowledge(self, cumulative: int, now: float) -> dict[Path, int]:
        """Take out all chunks up to there; returns the bytes of each path that are news."""
        news: dict[Path, int] = {}
        outstanding = self.outstanding
        for tsn in range(self.cumulative + 1, cumulative + 1):
            chunk = outstanding.pop(tsn, None)
            if chunk is None:
                continue
            path = chunk.path
            if chunk.acked:
                self._gap_acked -= 1
            else:
                chunk.acked = True
                self._news(chunk, news, now)
            if chunk.counted:
                chunk.counted = False
                path.flight -= chunk.size
                self.flight -= chunk.size
            message = chunk.message
            message.left -= 1
            if message.left == 0 and message.offset == len(message.data) and not message.abandoned:
                self.buffered -= len(message.data)
                self.messages -= 1
        self.cumulative = cumulative
        self.advanced = max(self.advanced, cumulative)
        return news

    def _news(self, chunk: SentChunk, news: dict[Path, int], now: float) -> None:
        path = chunk.path
        news[path] = news.get(path, 0) + chunk.size
        if path.timed_tsn == chunk.tsn:
            path.timed_tsn = None
            if chunk.sent == 1:
                path.measured(now - chunk.sent_at)

    def sack(
        self, sack: Sack, cumulative: int, now: float
    ) -> tuple[dict[Path, int], bool, set[Path], bool]:
        """Process a SACK that is not old.

        Returns the bytes newly acknowledged on each path; whether the cumulative TSN advanced; the
        paths on which chunks were lost; and whether the peer went back on an earlier gap block.
        """
        advanced = cumulative > self.cumulative
        news = self.acknowledge(cumulative, now)
        lost: set[Path] = set()
        reneged = False
        if sack.gaps or self._gap_acked:
            lost, reneged = self._gaps(sack, news, advanced, now)
        self.rwnd = max(0, sack.rwnd - self.flight)
        self.closed_window = sack.rwnd == 0
        return news, advanced, lost, reneged

    def _gaps(
        self, sack: Sack, news: dict[Path, int], advanced: bool, now: float
    ) -> tuple[set[Path], bool]:
        outstanding = self.outstanding
        acked: set[int] = set()
        done = self.cumulative
        for first, last in sorted(sack.gaps):  # they may overlap, and no TSN is looked at twice
            low = max(self.cumulative + first, done + 1)
            high = min(self.cumulative + last, self.next_tsn - 1)
            acked.update(range(low, high + 1))
            done = max(done, high)
        highest_news = self.cumulative
        highest = max(acked, default=self.cumulative)
        reneged = False
        for tsn, chunk in outstanding.items():
            if tsn in acked:
                if not chunk.acked:
                    chunk.acked = True
                    chunk.marked = False
                    self._gap_acked += 1
                    self._news(chunk, news, now)
                    self.uncount(chunk)
                    highest_news = tsn
            elif chunk.acked:
                # Reneged (6.2.1 D iii): it is outstanding again.
                chunk.acked = False
                self._gap_acked -= 1
                reneged = True
                chunk.counted = True
                chunk.path.flight += chunk.size
                self.flight += chunk.size
        lost: set[Path] = set()
        for tsn, chunk in outstanding.items():
            if tsn >= highest:
                break
            if chunk.acked or chunk.marked or chunk.message.abandoned:
                continue
            # Highest TSN newly acknowledged (7.2.4): later reports say nothing of earlier losses.
            if tsn < highest_news or (chunk.path.fast_recovery and advanced):
                chunk.missing += 1
                if chunk.missing >= MISSING_REPORTS and not chunk.ineligible:
                    chunk.fast = chunk.ineligible = True
                    lost.add(chunk.path)
                    self.mark(chunk)
        return lost, reneged

    def earliest_on(self, path: Path) -> SentChunk | None:
        """The first outstanding chunk that was last sent there."""
        for chunk in self.outstanding.values():
            if chunk.path is path and not chunk.acked and not chunk.message.abandoned:
                return chunk
        return None

    def waiting_on(self, path: Path) -> bool:
        """Whether T3-rtx of a path has something to wait for."""
        if path.flight:
            return True
        return any(chunk.path is path and not chunk.acked for chunk in self.outstanding.values())

    def mark_all_on(self, path: Path, now: float) -> None:
        """Section 6.3.3, E3: all that is outstanding there is to be retransmitted."""
        for chunk in list(self.outstanding.values()):
            if chunk.path is path and not chunk.acked and not chunk.message.abandoned:
                if self._over(chunk.message, chunk, now):
                    self.abandon(chunk.message, path)
                else:
                    self.mark(chunk)
                    chunk.fast = False

    # -- partial reliability ---

    def _over(self, message: OutgoingMessage, chunk: SentChunk, now: float) -> bool:
        if not self.may_skip:
            return False
        if message.expires <= now:
            return True
        return message.retransmissions is not None and chunk.sent > message.retransmissions

    def abandon(self, message: OutgoingMessage, path: Path) -> None:
        """Give a message up, with all of its chunks, and say so."""
        message.abandoned = True
        self.buffered -= len(message.data)
        self.messages -= 1
        self._fail(message, 0)
        for chunk in self.outstanding.values():
            if chunk.message is message:
                self.uncount(chunk)
                chunk.marked = False
        if message.offset < len(message.data):
            self.queue.remove(message)
        if 0 < message.offset < len(message.data):
            # A TSN that is never sent stands for the rest: the peer has to be told to skip the
            # message even if it has all that was sent of it.
            stand_in = SentChunk(self.next_tsn, b"", 0, message, path)
            self.outstanding[stand_in.tsn] = stand_in
            self.next_tsn += 1
        self.advance()

    def advance(self) -> None:
        """Move the Advanced.Peer.Ack.Point past what is abandoned (RFC 3758 section 3.5, C2)."""
        point = max(self.advanced, self.cumulative)
        while (chunk := self.outstanding.get(point + 1)) is not None and chunk.message.abandoned:
            point += 1
        self.advanced = point
        self.forward_due = point > self.cumulative

    def forward_tsn(self, space: int) -> bytes:
        """A FORWARD TSN up to there."""
        room = max(0, (space - 8) // 4)
        streams: dict[int, int] = {}
        point = self.cumulative
        for tsn in range(self.cumulative + 1, self.advanced + 1):
            chunk = self.outstanding.get(tsn)
            if chunk is not None and not chunk.message.info.unordered:
                stream = chunk.message.info.stream
                if stream not in streams and len(streams) == room:
                    break  # no further than the streams go that it has room for (C4)
                streams[stream] = chunk.message.ssn
            point = tsn
        return forward_tsn_chunk(point & MASK, list(streams.items()))

    # -- the end ---

    def _fail(self, message: OutgoingMessage, error: int) -> None:
        info = message.info
        self.failed.append(
            FailedFragment(
                association_id=0,
                data=message.data,
                first=True,
                last=True,
                sent=message.transmitted,
                error=error,
                stream=info.stream,
                ppid=info.ppid,
                unordered=info.unordered,
                context=info.context,
            )
        )

    def fail_all(self, error: int) -> None:
        """The association is gone: none of these messages will be acknowledged."""
        seen: dict[int, OutgoingMessage] = {}
        for chunk in self.outstanding.values():
            seen.setdefault(id(chunk.message), chunk.message)
        for message in self.queue:
            seen.setdefault(id(message), message)
        for message in seen.values():
            if not message.abandoned:
                self._fail(message, error)
        self.outstanding.clear()
        self._gap_acked = 0
        self.queue.clear()
        self.marked.clear()

    def restart(self, initial_tsn: int) -> None:
        """The peer has lost its state: what it had not acknowledged is lost (section 5.2.4 A)."""
        self.fail_all(0)
        self.next_tsn = initial_tsn
        self.cumulative = self.advanced = initial_tsn - 1
        self.flight = 0
        self.buffered = self.messages = 0
        self.forward_due = False
        self._ssns.clear()
