"""Sending user data (RFC 9260 sections 6.1, 6.2.1, 6.3, 6.9, 7.2; RFC 3758, RFC 7496).

TSNs are counted without wrapping around; the wire carries their lower 32 bits.

    queue ──fragment──> outstanding ──cumulative TSN ack──> done
                         │   ^
                         │   └── retransmitted
                         └── marked: by T3-rtx, or when reported missing three times

A SACK is taken by `Recovery.take_sack`, which calls `Outbound.sack`.
"""

from __future__ import annotations

import bisect
import heapq
from collections import deque
from collections.abc import Collection
from math import inf
from typing import Final

from .._options import Scheduler
from .._values import FailedFragment, SendInfo
from .abandoned import AbandonedCounts
from .parameters import Parameters
from .path import Path
from .schedulers import Schedule
from .tsn import MASK
from .wire import (
    DATA_OVERHEAD,
    FIRST,
    HEADER_SIZE,
    I_DATA_OVERHEAD,
    IMMEDIATE,
    LAST,
    UNORDERED,
    WHOLE,
    Cause,
    Sack,
    data_chunk,
    forward_tsn_chunk,
    i_data_chunk,
    i_forward_tsn_chunk,
)

_NOTHING: Final[deque[OutgoingMessage]] = deque(maxlen=0)
"""Stands for an empty queue: a deque has room for 64 messages, and most associations are idle."""

MISSING_REPORTS = 3
"""Number of SACKs that must report a chunk missing before it is retransmitted (section 7.2.4)."""


class OutgoingMessage:
    """A user message, from when it is queued until its last chunk is acknowledged.

    Attributes:
      data: The payload.
      info: What the program said of it.
      expires: Time from which on it is given up rather than sent (RFC 3758); infinite if never.
      offset: Bytes of it that have become chunks.
      ssn: Its stream sequence number, once its first chunk is made; its MID if it is interleaved.
      first_tsn: The TSN of its first chunk, which those of the others follow.
      left: Number of its chunks that are not acknowledged.
      abandoned: Whether it was given up.
      arrival: Where it stands among all messages that a scheduler chooses from.
      tsns: The TSNs of its chunks, if it is interleaved and has several.
    """

    __slots__ = (
        "abandoned",
        "arrival",
        "data",
        "expires",
        "first_tsn",
        "info",
        "left",
        "offset",
        "ssn",
        "tsns",
    )

    def __init__(self, data: bytes, info: SendInfo, expires: float) -> None:
        self.data: bytes = data
        self.info: SendInfo = info
        self.expires: float = expires
        self.offset: int = 0
        self.ssn: int = 0
        self.first_tsn: int = 0
        self.left: int = 0
        self.abandoned: bool = False
        self.arrival: int = 0
        self.tsns: list[int] | None = None

    @property
    def finished(self) -> bool:
        """Whether it was given up, or is acknowledged as a whole."""
        return self.abandoned or (not self.left and self.offset == len(self.data))


class SentChunk:
    """A DATA chunk that was sent and that no cumulative TSN has acknowledged.

    Attributes:
      tsn: Its TSN.
      wire: The chunk as bytes.
      size: Bytes of its payload.
      message: The message that it is a part of.
      path: The path that it was last sent on.
      sent: How many times it was sent.
      sent_at: When it was last sent.
      counted: Whether the bytes in flight include it.
      acked: Whether a gap block acknowledges it.
      marked: Whether it is to be retransmitted.
      missing: Number of SACKs that have reported it missing since it was last sent, if they are
        counted one by one.
      recounted: Whether they are: it was sent more than once, or the peer reneged on it.
      fast: Whether SACKs marked it last, not T3-rtx.
      ineligible: Whether it had its one fast retransmission; after that only T3-rtx marks it.
    """

    __slots__ = (
        "acked",
        "counted",
        "fast",
        "ineligible",
        "marked",
        "message",
        "missing",
        "path",
        "recounted",
        "sent",
        "sent_at",
        "size",
        "tsn",
        "wire",
    )

    def __init__(
        self, tsn: int, wire: bytes, size: int, message: OutgoingMessage, path: Path, now: float
    ) -> None:
        self.tsn: int = tsn
        self.wire: bytes = wire
        self.size: int = size
        self.message: OutgoingMessage = message
        self.path: Path = path
        self.sent: int = 1
        self.sent_at: float = now
        self.counted: bool = True
        self.acked: bool = False
        self.marked: bool = False
        self.missing: int = 0
        self.recounted: bool = False
        self.fast: bool = False
        self.ineligible: bool = False

    @property
    def done(self) -> bool:
        """Whether nothing has to wait for the chunk any more."""
        return self.acked or self.message.abandoned


class Outbound:
    """The sending half of an association.

    Attributes:
      parameters: Those of the association.
      next_tsn: TSN of the next new chunk.
      cumulative: The TSN that the peer has acknowledged with all before it.
      advanced: The Advanced.Peer.Ack.Point of RFC 3758: `cumulative`, or the last TSN that the peer
        can be told to skip.
      rwnd: Bytes that the peer can take beyond those in flight.
      largest_rwnd: The largest window that the peer has told of: no chunk is made larger.
      window_shut: Whether nothing is in flight, and the next chunk does not fit into the window.
      probe_due: Whether one chunk may leave although it does not: a zero-window probe (6.1 A).
      probe: That chunk, until it is acknowledged, or the window has opened.
      retransmit_one: Whether one packet of retransmissions may leave whatever the congestion window
        says (6.3.3, E3; 7.2.4, 3).
      closed_window: Whether the last SACK said that the peer has no room.
      flight: Bytes in flight on all paths.
      queue: Messages of which some or all is not in chunks yet, in the order in which they leave;
        those that were given up are left in it, but for the first.  Where a schedule chooses among
        them, only the one that it has chosen.
      schedule: The other messages, where it is not first come, first served.
      scheduler: What chooses the next message.
      stream_values: The priority or weight of each stream that was given one.
      interleaving: Whether user data goes in I-DATA chunks (RFC 8260).
      late_numbers: Whether the peer takes FSN 0 for that of a message's second part.
      overhead: Bytes of a chunk beside its payload.
      outstanding: The chunks that are not acknowledged for good, by TSN, in order.
      marked: A heap of the TSNs that are to be retransmitted, and of some that no longer are.
      buffered: Bytes of the messages that are not acknowledged.
      messages: Number of these messages.
      failed: Messages that failed, for the program to be told.
      abandoned: The number of those that were given up.
      held: Streams whose new messages wait, since the peer is asked to let them begin again.
      waiting: These messages.
      addressed: Whether a message was to go to an address of its own (RFC 6458, SCTP_ADDR_OVER).
      forward_due: Whether a FORWARD TSN is to be sent.
      reserve: Bytes of each packet that are kept for an AUTH chunk (RFC 4895).
      may_skip: Whether the peer knows FORWARD TSN.
      retransmitted: How often chunks were sent again.
      slowed_at: The last TSN that was sent when a router's mark last slowed us down.
      gap_blocks: Number of gap blocks that SACKs have brought.
    """

    __slots__ = (
        "_expendable",
        "_gapped",
        "_gaps",
        "_gone",
        "_last_before",
        "_last_tsn_before",
        "_origin",
        "_recounted",
        "_reneged_at",
        "_reports",
        "_sequence",
        "_skipped",
        "_ssns",
        "abandoned",
        "addressed",
        "advanced",
        "buffered",
        "closed_window",
        "cumulative",
        "failed",
        "flight",
        "forward_due",
        "gap_blocks",
        "held",
        "interleaving",
        "largest_rwnd",
        "late_numbers",
        "marked",
        "may_skip",
        "messages",
        "next_tsn",
        "outstanding",
        "overhead",
        "parameters",
        "probe",
        "probe_due",
        "queue",
        "reserve",
        "retransmit_one",
        "retransmitted",
        "rwnd",
        "schedule",
        "scheduler",
        "slowed_at",
        "stream_values",
        "waiting",
        "window_shut",
    )

    def __init__(self, parameters: Parameters, initial_tsn: int) -> None:
        self.parameters: Parameters = parameters
        self.next_tsn: int = initial_tsn
        self.cumulative: int = initial_tsn - 1
        self.advanced: int = initial_tsn - 1
        self.rwnd: int = 0
        self.reserve: int = 0
        self.largest_rwnd: int = 0
        self.window_shut: bool = False
        self.probe_due: bool = False
        self.probe: SentChunk | None = None
        self.retransmit_one: bool = False
        self.closed_window: bool = False
        self.flight: int = 0
        self.queue: deque[OutgoingMessage] = _NOTHING
        self.schedule: Schedule | None = None
        self.scheduler: Scheduler = Scheduler.FCFS
        self.stream_values: dict[int, int] = {}
        self.interleaving: bool = False
        self.late_numbers: bool = False
        self.overhead: int = DATA_OVERHEAD
        self.outstanding: dict[int, SentChunk] = {}
        self.marked: list[int] = []
        self.buffered: int = 0
        self.messages: int = 0
        self.failed: list[FailedFragment] = []
        self.abandoned: AbandonedCounts = AbandonedCounts()
        self.held: Collection[int] = ()
        self.waiting: deque[OutgoingMessage] = _NOTHING
        self.addressed: bool = False
        self.forward_due: bool = False
        self.may_skip: bool = False
        self.retransmitted: int = 0
        self.slowed_at: int = initial_tsn - 1
        self.gap_blocks: int = 0
        self._origin: int = initial_tsn  # what `next_tsn` would be if nothing had been sent
        self._gone = 0  # number of messages in the queue that were given up
        # A heap of the messages that may be given up for more urgent ones, the least urgent first
        # and of these the latest, with some that are finished.
        self._expendable: list[tuple[int, int, OutgoingMessage]] = []
        self._sequence = 0  # counts down, so that later ones come first
        # The last TSN of each stream that `advanced` has passed, and its SSN, with some that the
        # peer has passed too.  With interleaving, of each order: see `wire.IForwardTsn`.
        self._skipped: dict[int, tuple[int, int]] = {}
        # Of the next ordered message, by stream; with interleaving, MIDs by order.
        self._ssns: dict[int, int] = {}
        # What gap blocks acknowledge: first and last TSN of each, in order, and their number.
        self._gaps: list[tuple[int, int]] = []
        self._gapped = 0
        self._reneged_at = -inf
        # The three highest TSNs below which SACKs reported what is missing, the lowest first.
        self._reports: tuple[int, int, int] = (-1, -1, -1)
        self._recounted: list[int] = []  # a heap of the TSNs whose missing reports count anew
        if parameters.scheduler is not Scheduler.FCFS:
            self.schedule_by(parameters.scheduler)
        # The last message of each held stream before the hold, while some of it is queued; and the
        # TSN up to which all of these streams was sent before.
        self._last_before: list[OutgoingMessage] = []
        self._last_tsn_before = initial_tsn - 1

    @property
    def chunks(self) -> int:
        """The number of chunks that were sent, each counted once."""
        return self.next_tsn - self._origin

    # -- what is to be sent ---

    @property
    def empty(self) -> bool:
        """Whether everything was sent and acknowledged."""
        if self.queue or self.outstanding or self.waiting:
            return False
        return self.schedule is None or not self.schedule.count

    def has_room(self) -> bool:
        """Whether one more message may be queued."""
        return (
            self.buffered < self.parameters.send_buffer
            and self.messages < self.parameters.send_buffer_messages
        )

    def make_room(self, urgent: OutgoingMessage, path: Path) -> bool:
        """Give up less urgent messages to make room for another one (RFC 7496 section 3.2).

        Only messages with a priority are given up, for one of a lower number, or for one that may
        not be given up at all.  The least urgent ones go first, and of these the latest: those that
        were not sent yet go before those that were.  Returns whether there is room now; if all of
        them would not make enough, none is given up.
        """
        candidates = self._expendable
        priority = urgent.info.priority
        if priority is None:
            if urgent.info.lifetime or urgent.info.retransmissions is not None:
                return False
            priority = -1
        buffered, messages = self.buffered, self.messages
        given_up: list[tuple[int, int, OutgoingMessage]] = []
        while (
            buffered >= self.parameters.send_buffer
            or messages >= self.parameters.send_buffer_messages
        ):
            if not candidates or candidates[0][0] >= -priority:
                for candidate in given_up:
                    heapq.heappush(candidates, candidate)
                return False
            candidate = heapq.heappop(candidates)
            message = candidate[2]
            if message.finished or (message.offset and not self.may_skip):
                continue
            given_up.append(candidate)
            buffered -= len(message.data)
            messages -= 1
        for _, _, message in given_up:
            self.abandon(message, path)
        return True

    def rest(self) -> None:
        """Give back memory that only traffic needs: everything is acknowledged."""
        self.queue = _NOTHING

    def enqueue(self, message: OutgoingMessage) -> None:
        """Put a message at the end of the queue."""
        info = message.info
        if self.held and info.stream in self.held:
            self.waiting.append(message)
        elif self.schedule is not None:
            self.schedule.add(message)
            self._follow_schedule()
        else:
            if self.queue is _NOTHING:
                self.queue = deque()
            self.queue.append(message)
        if info.address is not None:
            self.addressed = True
        self.buffered += len(message.data)
        self.messages += 1
        if info.priority is not None:
            self._note_expendable(message, info.priority)

    def _note_expendable(self, message: OutgoingMessage, priority: int) -> None:
        candidates = self._expendable
        if len(candidates) > 2 * self.messages:
            candidates[:] = [entry for entry in candidates if not entry[2].finished]
            heapq.heapify(candidates)
        self._sequence -= 1
        heapq.heappush(candidates, (-priority, self._sequence, message))

    def waits_below(self, space: int) -> bool:
        """Whether all that waits to be sent would leave something free of ``space`` bytes."""
        for message in self.queue if self.schedule is None else self.schedule.unordered():
            if not message.abandoned:
                space -= self.overhead + len(message.data) - message.offset
                if space <= 0:
                    return False
        return True

    def queued(self) -> list[OutgoingMessage]:
        """Return all messages of which some or all is not in chunks yet, as they came."""
        if self.schedule is not None:
            return self.schedule.messages()
        return [message for message in self.queue if not message.abandoned]

    def limit_streams(self, streams: int) -> None:
        """Fail queued messages for streams that the peer does not grant (section 5.1.1)."""
        queued = self.queued()
        kept: list[OutgoingMessage] = []
        for message in queued:
            if message.info.stream < streams or message.offset:
                kept.append(message)
            else:
                self.buffered -= len(message.data)
                self.messages -= 1
                self._fail(message, Cause.INVALID_STREAM)
                message.abandoned = True
        if len(kept) < len(queued):
            self._arrange(kept)

    # -- schedulers (RFC 8260 section 3) ---

    def schedule_by(self, scheduler: Scheduler) -> None:
        """Have another scheduler choose among the messages that wait, and those to come."""
        self.scheduler = scheduler
        self._arrange(self.queued())

    def set_stream_value(self, stream: int, value: int) -> None:
        """Give a stream its priority, or its weight."""
        self.stream_values[stream] = value
        if self.schedule is not None:
            self.schedule.value_changed(stream)
            self._follow_schedule()

    def packet_is_full(self) -> None:
        """Let another stream fill the next packet, if the scheduler has one packet for each."""
        if self.schedule is not None:
            self.schedule.packet_is_full()
            self._follow_schedule()

    def _arrange(self, messages: list[OutgoingMessage]) -> None:
        """Have these messages wait, which are given as they came, for the scheduler's choice."""
        self._gone = 0
        begun = [message for message in messages if message.offset]
        if self.scheduler is Scheduler.FCFS:
            self.schedule = None
            if begun:
                messages = begun + [message for message in messages if not message.offset]
            self.queue = deque(messages) if messages else _NOTHING
            return
        self.schedule = Schedule(self.scheduler, self.stream_values, interleaving=self.interleaving)
        for message in messages:
            self.schedule.add(message)
        if begun and not self.interleaving:
            self.schedule.go_on_with(begun[0].info.stream)
        self.queue = _NOTHING
        self._follow_schedule()

    def _follow_schedule(self) -> None:
        """Have the message that the schedule has chosen be the first in the queue."""
        assert self.schedule is not None
        message = self.schedule.next()
        queue = self.queue
        if message is None:
            queue.clear()
        elif queue:
            queue[0] = message
        elif queue is _NOTHING:
            self.queue = deque((message,))
        else:
            queue.append(message)

    def payload_limit(self, path: Path) -> int:
        """Return the most bytes of payload that a chunk on a path may carry."""
        limit = (path.mtu - HEADER_SIZE - self.reserve - self.overhead) & ~3
        segment = self.parameters.max_segment
        return min(limit, segment) if segment else limit

    def next_new(self, space: int, path: Path, now: float, *, immediate: bool) -> SentChunk | None:
        """Make a chunk of the first message in the queue, and count it as sent on this path.

        Gives up messages whose time is over.  Returns None if nothing is queued, if the chunk does
        not fit into ``space`` bytes, or if the peer's window has no room for it.
        """
        while self.queue:
            message = self.queue[0]
            if message.expires <= now and (self.may_skip or not message.offset):
                self.abandon(message, path)
                continue
            data = message.data
            length, start = len(data), message.offset
            size, room = length - start, space - self.overhead
            # What fits into what is left of a packet, even padded, is below the limit.
            if size > room - 3 or self.parameters.max_segment:
                size = min(size, self.payload_limit(path))
                if size > room:
                    return None
            rwnd = self.rwnd
            if rwnd < size:
                if self.flight:
                    return None
                if size > self.largest_rwnd > 0:
                    size = self.largest_rwnd
                if rwnd < size and not self.probe_due:
                    self.window_shut = True
                    return None
            tsn = self.next_tsn
            self.next_tsn = tsn + 1
            info = message.info
            flags = UNORDERED if info.unordered else 0
            if start == 0:
                message.first_tsn = tsn
                if self.interleaving:
                    self._assign_mid(message)
                elif flags == 0:
                    message.ssn = ssn = self._ssns.get(info.stream, 0)
                    self._ssns[info.stream] = (ssn + 1) & 0xFFFF
                flags |= FIRST
            message.offset = end = start + size
            if end == length:
                flags |= LAST
                self.queue.popleft()
                if self._gone:
                    self._tidy_queue()
            if self.schedule is not None:
                self.schedule.took(message, size)
                self._follow_schedule()
            if immediate and flags & LAST and not self.queue:
                flags |= IMMEDIATE
            payload = data if size == length else data[start:end]
            message.left += 1
            if self.interleaving:
                wire = self._i_data_chunk(message, tsn, payload, flags)
            else:
                wire = data_chunk(tsn & MASK, info.stream, message.ssn, info.ppid, payload, flags)
            chunk = SentChunk(tsn, wire, size, message, path, now)
            self.outstanding[tsn] = chunk
            path.newest = tsn
            if path.timed_tsn is None:
                path.timed_tsn = tsn
            path.flight += size
            self.flight += size
            if rwnd < size:
                size = rwnd
                self.probe = chunk
            self.rwnd = rwnd - size
            return chunk
        return None

    # -- interleaving (RFC 8260 section 2.2.2) ---

    def interleave(self, on: bool) -> None:
        """Send user data in I-DATA chunks, or in DATA chunks."""
        self.overhead = I_DATA_OVERHEAD if on else DATA_OVERHEAD
        if on != self.interleaving:
            self.interleaving = on
            self._arrange(self.queued())

    def _assign_mid(self, message: OutgoingMessage) -> None:
        order = _order_of(message)
        message.ssn = self._ssns.get(order, 0)
        self._ssns[order] = (message.ssn + 1) & MASK

    def _i_data_chunk(
        self, message: OutgoingMessage, tsn: int, payload: bytes, flags: int
    ) -> bytes:
        number = message.info.ppid
        if flags & WHOLE != WHOLE:
            if message.tsns is None:
                message.tsns = []
            if not flags & FIRST:
                number = (len(message.tsns) - self.late_numbers) & MASK
            message.tsns.append(tsn)
        return i_data_chunk(tsn & MASK, message.info.stream, message.ssn, number, payload, flags)

    def _tidy_queue(self) -> None:
        """Have no message that was given up be the first in the queue, nor most of the others."""
        if 2 * self._gone > len(self.queue):
            self.queue = deque([message for message in self.queue if not message.abandoned])
            self._gone = 0
        while self._gone and self.queue[0].abandoned:
            self.queue.popleft()
            self._gone -= 1

    def next_marked(self, space: int, now: float) -> SentChunk | None:
        """Unmark and return the first chunk to be retransmitted.

        Gives up messages that are not to be retransmitted again.  Returns None if there is no such
        chunk, or if it does not fit into ``space`` bytes.
        """
        while self.marked:
            chunk = self.outstanding.get(self.marked[0])
            if chunk is None or not chunk.marked:
                heapq.heappop(self.marked)
                continue
            if self._should_abandon(chunk.message, chunk, now):
                self.abandon(chunk.message, chunk.path)
                continue
            if len(chunk.wire) > space:
                return None
            heapq.heappop(self.marked)
            chunk.marked = False
            return chunk
        return None

    def peek_marked(self) -> SentChunk | None:
        """Return the first chunk to be retransmitted; None if there is none."""
        while self.marked:
            chunk = self.outstanding.get(self.marked[0])
            if chunk is not None and chunk.marked:
                return chunk
            heapq.heappop(self.marked)
        return None

    def sent_again(self, chunk: SentChunk, path: Path, now: float) -> None:
        """Note that a chunk that was marked was put into a packet on this path."""
        if path.timed_tsn == chunk.tsn:
            path.timed_tsn = None
        if chunk.path is not path:
            chunk.path = path
            heapq.heappush(path.moved, chunk.tsn)
        self.retransmitted += 1
        chunk.sent += 1
        chunk.sent_at = now
        chunk.counted = True
        path.flight += chunk.size
        self.flight += chunk.size
        self.rwnd = max(0, self.rwnd - chunk.size)
        self._recount(chunk)

    def _recount(self, chunk: SentChunk) -> None:
        """Count anew how many SACKs report a chunk missing, if that may still mark it."""
        chunk.missing = 0
        if chunk.ineligible or chunk.recounted:
            return
        recounted = self._recounted
        while recounted and recounted[0] <= self.cumulative:
            heapq.heappop(recounted)
        chunk.recounted = True
        heapq.heappush(recounted, chunk.tsn)

    def uncount(self, chunk: SentChunk) -> None:
        """Take a chunk out of the bytes in flight."""
        if chunk.counted:
            chunk.counted = False
            chunk.path.flight -= chunk.size
            self.flight -= chunk.size

    def mark(self, chunk: SentChunk) -> None:
        """Mark a chunk to be retransmitted."""
        self.uncount(chunk)
        if not chunk.marked:
            chunk.marked = True
            heapq.heappush(self.marked, chunk.tsn)
            if chunk.path.timed_tsn == chunk.tsn:
                chunk.path.timed_tsn = None

    # -- streams that begin again (RFC 6525 sections 5.1.2 and 5.2.7) ---

    def hold(self, streams: Collection[int]) -> None:
        """Let no message of these streams follow those that are queued now."""
        self.held = streams
        self.waiting = deque()
        last: dict[int, OutgoingMessage] = {}
        for message in self.queued():
            if message.info.stream in streams:
                last[message.info.stream] = message
        self._last_before = list(last.values())
        self._last_tsn_before = self.next_tsn - 1

    def drained(self) -> bool:
        """Whether all of the held streams that was queued before is acknowledged or given up."""
        last = self._last_before
        while last:
            message = last[-1]
            if not message.abandoned and message.offset < len(message.data):
                return False
            last.pop()
            self._last_tsn_before = self.next_tsn - 1
        return self.cumulative >= self._last_tsn_before

    def release(self, *, reset: bool) -> None:
        """Let the messages of held streams go on; from SSN 0, if they were reset."""
        if reset:
            self._begin_anew(self.held)
        waiting, self.waiting = self.waiting, _NOTHING
        self.held = ()
        if self.schedule is not None:
            for message in waiting:
                self.schedule.add(message)
            self._follow_schedule()
        else:
            if waiting and self.queue is _NOTHING:
                self.queue = deque()
            self.queue.extend(waiting)

    def _begin_anew(self, streams: Collection[int]) -> None:
        """Count the messages of these streams from 0 on again."""
        ssns = self._ssns
        shift = 1 if self.interleaving else 0
        if len(streams) << shift < len(ssns):
            numbers = [(stream << shift) + rest for stream in streams for rest in range(1 << shift)]
        else:
            numbers = [number for number in ssns if number >> shift in streams]
        for number in numbers:
            ssns.pop(number, None)

    def fail_waiting(self) -> None:
        """Fail the messages of held streams: the peer may have reset these, or not."""
        for message in self.waiting:
            message.abandoned = True
            self.buffered -= len(message.data)
            self.messages -= 1
            self._fail(message, 0)
        self.waiting = _NOTHING
        self.release(reset=False)

    def renumber(self, wire_tsn: int) -> None:
        """Go on with this TSN, and with SSN 0 on each stream; nothing is outstanding."""
        # TSNs are counted on, whatever they are on the wire.
        more = (wire_tsn - self.next_tsn) & MASK
        self.next_tsn += more
        self._origin += more
        self.cumulative = self.advanced = self.next_tsn - 1
        self._ssns.clear()

    # -- acknowledgements (6.2.1, 7.2) ---

    def was_sent(self, tsn: int) -> bool:
        """Whether a chunk with this TSN was sent, so that the peer may acknowledge it."""
        return tsn < self.next_tsn

    def acknowledge(self, cumulative: int, now: float) -> dict[Path, int]:
        """Take out all chunks up to a TSN; return the bytes newly acknowledged on each path."""
        news: dict[Path, int] = {}
        outstanding = self.outstanding
        on: Path | None = None
        acked = 0  # newly, on that path
        for tsn in range(self.cumulative + 1, cumulative + 1):
            chunk = outstanding.pop(tsn, None)
            if chunk is None:
                continue
            path, size, message = chunk.path, chunk.size, chunk.message
            if chunk.counted:
                chunk.counted = False
                path.flight -= size
                self.flight -= size
            if not chunk.acked:
                chunk.acked = True
                if path is not on:
                    if on is not None:
                        news[on] = news.get(on, 0) + acked
                    on, acked = path, 0
                # A FORWARD TSN has passed what was given up: it may never have arrived.
                if not message.abandoned:
                    acked += size
                    if path.timed_tsn == tsn:
                        self._take_time(chunk, now)
            message.left -= 1
            if message.left == 0 and message.offset == len(message.data) and not message.abandoned:
                self.buffered -= len(message.data)
                self.messages -= 1
        if on is not None:
            news[on] = news.get(on, 0) + acked
        self.cumulative = cumulative
        self.advanced = max(self.advanced, cumulative)
        return news

    def _take_time(self, chunk: SentChunk, now: float) -> None:
        """Measure a round trip: the chunk that was timed is acknowledged."""
        chunk.path.timed_tsn = None
        if chunk.sent == 1:
            chunk.path.measured(now - chunk.sent_at)

    def sack(
        self, sack: Sack, cumulative: int, paths: Collection[Path], now: float
    ) -> tuple[dict[Path, int], bool, set[Path], bool]:
        """Process a SACK that no later one has overtaken; chunks have been sent on these paths.

        Returns the bytes newly acknowledged on each path; whether the cumulative TSN advanced; the
        paths on which chunks were lost; and whether the peer went back on an earlier gap block.
        """
        advanced = cumulative > self.cumulative
        news = self.acknowledge(cumulative, now)
        lost: set[Path] = set()
        reneged = False
        if sack.gaps or self._gaps:
            lost, reneged = self._take_gaps(sack, paths, news, advanced, now)
        self.rwnd = max(0, sack.rwnd - self.flight)
        if sack.rwnd > self.largest_rwnd:
            self.largest_rwnd = sack.rwnd
        self.closed_window = sack.rwnd == 0
        return news, advanced, lost, reneged

    def _take_gaps(
        self,
        sack: Sack,
        paths: Collection[Path],
        news: dict[Path, int],
        advanced: bool,
        now: float,
    ) -> tuple[set[Path], bool]:
        """Process the gap blocks of a SACK; return the last two results of `sack`.

        Only what they change is looked at: what they newly acknowledge, and what is lost by that.
        """
        self.gap_blocks += len(sack.gaps)
        if self._gaps and self._gaps[0][0] <= self.cumulative:
            self._forget_gaps()
        blocks = self._blocks(sack)
        highest_news = self.cumulative
        covered = 0
        for first, last in blocks:
            covered += last + 1 - first
            news_end = self._take_block(first, last, news, now)
            if news_end > highest_news:
                highest_news = news_end
        reneged = False
        # A peer could take gap blocks back with each SACK, so that counts once in a round trip.
        if covered < self._gapped and now - self._reneged_at >= max(
            path.srtt or path.rto for path in paths
        ):
            self._reneged_at = now
            reneged = self._take_back(_without(self._gaps, blocks))
            self._gaps = blocks
            self._gapped = covered
        report = highest_news
        if advanced and blocks:
            for path in paths:
                if path.fast_recovery:
                    report = blocks[-1][1]
        return self._find_lost(report) if report > self.cumulative else set(), reneged

    def _forget_gaps(self) -> None:
        """Forget gap blocks up to the cumulative TSN."""
        gaps = self._gaps
        passed = 0
        for first, last in gaps:
            if last > self.cumulative:
                break
            self._gapped -= last + 1 - first
            passed += 1
        del gaps[:passed]
        if gaps and gaps[0][0] <= self.cumulative:
            first, last = gaps[0]
            gaps[0] = (self.cumulative + 1, last)
            self._gapped -= self.cumulative + 1 - first

    def _take_block(self, first: int, last: int, news: dict[Path, int], now: float) -> int:
        """Process one gap block; return the highest TSN that it newly acknowledges, 0 if none."""
        gaps = self._gaps
        at = bisect.bisect_left(gaps, (first,))
        if at < len(gaps) and gaps[at][0] == first and gaps[at][1] >= last:
            return 0  # as most are: SACKs repeat them
        if at and gaps[at - 1][1] >= first - 1:
            at -= 1
        end = at  # behind the known blocks that it overlaps or touches
        low, high = first, last
        highest = 0
        while end < len(gaps) and gaps[end][0] <= last + 1:
            known_first, known_last = gaps[end]
            if known_first > first:
                highest = self._take_tsns(first, known_first - 1, news, now)
            first = known_last + 1
            low, high = min(low, known_first), max(high, known_last)
            end += 1
        if first <= last:
            highest = self._take_tsns(first, last, news, now)
        if highest:
            gaps[at:end] = [(low, high)]
        return highest

    def _take_tsns(self, first: int, last: int, news: dict[Path, int], now: float) -> int:
        """Take these TSNs for acknowledged by a gap block; return the last."""
        self._gapped += last + 1 - first
        for tsn in range(first, last + 1):
            chunk = self.outstanding.get(tsn)
            if chunk is not None and not chunk.acked:
                path = chunk.path
                chunk.acked = True
                chunk.marked = False
                if chunk.counted:
                    chunk.counted = False
                    path.flight -= chunk.size
                    self.flight -= chunk.size
                if chunk.message.abandoned:
                    news.setdefault(path, 0)
                    continue
                news[path] = news.get(path, 0) + chunk.size
                if path.timed_tsn == tsn:
                    self._take_time(chunk, now)
        return last

    def _blocks(self, sack: Sack) -> list[tuple[int, int]]:
        """Return the gap blocks of a SACK in order, as TSNs, without what is no gap block.

        They may overlap.  The first missing TSN is the one after the cumulative TSN, whatever a
        gap block says: taken for acknowledged, it would never be sent again.
        """
        blocks: list[tuple[int, int]] = []
        base, highest = self.cumulative, self.next_tsn - 1
        done = base + 1
        for first, last in sorted(sack.gaps):
            low, high = base + first, base + last
            if low <= done:
                low = done + 1
            if high > highest:
                high = highest
            if low > high:
                continue
            if blocks and low == done + 1:
                blocks[-1] = (blocks[-1][0], high)
            else:
                blocks.append((low, high))
            done = high
        return blocks

    def _take_back(self, blocks: list[tuple[int, int]]) -> bool:
        """Have chunks be in flight again on which the peer reneged (6.2.1 D iii)."""
        reneged = False
        for first, last in blocks:
            for tsn in range(first, last + 1):
                chunk = self.outstanding.get(tsn)
                if chunk is None or not chunk.acked:
                    continue
                reneged = chunk.counted = True
                chunk.acked = False
                self._recount(chunk)
                path = chunk.path
                path.flight += chunk.size
                self.flight += chunk.size
                path.earliest = min(path.earliest, tsn)
        return reneged

    def _find_lost(self, report: int) -> set[Path]:
        """Mark the chunks that SACKs have now reported missing three times (7.2.4).

        A SACK reports what is missing below the highest TSN that it newly acknowledges: of what
        is above, it says nothing.  In fast recovery one that advances the cumulative TSN reports
        all that is missing below its highest gap block.  So a chunk that was sent once is lost when
        the third-highest of these reports is above it, and each TSN is passed once.

        Args:
          report: The TSN below which the SACK reports what is missing.
        """
        lost: set[Path] = set()
        third, second, first = self._reports
        if report > second:
            self._reports = (second, min(report, first), max(report, first))
        elif report > third:
            self._reports = (report, second, first)
        for tsn in range(max(third, self.cumulative + 1), self._reports[0]):
            chunk = self.outstanding.get(tsn)
            if chunk is not None and not chunk.acked and not chunk.recounted:
                self._lose(chunk, lost)
        recounted = self._recounted
        kept: list[int] = []
        while recounted and recounted[0] < report:
            tsn = heapq.heappop(recounted)
            chunk = self.outstanding.get(tsn)
            if chunk is None:
                continue
            chunk.missing += 1
            if chunk.missing < MISSING_REPORTS and not chunk.done and not chunk.marked:
                kept.append(tsn)
            else:
                chunk.recounted = False
                self._lose(chunk, lost)
        for tsn in kept:
            heapq.heappush(recounted, tsn)
        return lost

    def _lose(self, chunk: SentChunk, lost: set[Path]) -> None:
        if not chunk.done and not chunk.marked and not chunk.ineligible:
            chunk.fast = chunk.ineligible = True
            lost.add(chunk.path)
            self.mark(chunk)

    def judge_probe(self, rwnd: int) -> bool:
        """Look at the zero-window probe after a SACK; return whether it is still to be answered.

        A probe that the closed window refused, and that fits into the one that has opened, is to be
        sent again at once.
        """
        probe = self.probe
        assert probe is not None
        if probe.acked:
            self.probe = None
        elif rwnd >= probe.size:
            self.probe = None
            self.mark(probe)
            probe.fast = True
            self.rwnd = rwnd
        return self.probe is not None

    def was_refused(self, path: Path, rwnd: int) -> bool:
        """Whether the peer has no room for what was sent on a path again after a timeout.

        A SACK that acknowledges nothing and does not offer the room either says so, if nothing else
        is in flight: the peer has taken back a window that it told before.  The first chunk is a
        zero-window probe from then on, and the others wait.
        """
        probe = self.earliest_on(path)
        if probe is None or not probe.counted or probe.sent == 1 or probe.fast:
            return False
        if path.flight < self.flight or probe.size <= rwnd:
            return False
        tsn = probe.tsn
        while self.flight > probe.size:
            tsn += 1
            chunk = self.outstanding[tsn]
            if chunk.counted:
                self.mark(chunk)
        self.probe = probe
        return True

    def earliest_on(self, path: Path) -> SentChunk | None:
        """Return the first outstanding chunk that was last sent on a path; None if none was."""
        outstanding = self.outstanding
        found: SentChunk | None = None
        tsn = path.earliest
        if tsn <= self.cumulative:
            tsn = self.cumulative + 1
        while tsn <= path.newest:
            chunk = outstanding.get(tsn)
            if (
                chunk is not None
                and chunk.path is path
                and not (chunk.acked or chunk.message.abandoned)
            ):
                found = chunk
                break
            tsn += 1
        path.earliest = tsn
        moved = path.moved
        while moved:
            chunk = outstanding.get(moved[0])
            if chunk is not None and chunk.path is path and not chunk.done:
                return chunk if found is None or chunk.tsn < found.tsn else found
            heapq.heappop(moved)
        return found

    def waiting_on(self, path: Path) -> bool:
        """Whether the T3-rtx timer of a path has anything to wait for."""
        if path.flight or self.earliest_on(path) is not None:
            return True
        return self.advanced > self.cumulative  # the peer is to be told again what to skip

    def mark_all_on(self, path: Path, now: float) -> None:
        """Mark all that is outstanding on a path to be retransmitted (section 6.3.3, E3)."""
        if path.moved:
            path.earliest = min(path.earliest, path.moved[0])
            path.newest = max(path.newest, max(path.moved))
            path.moved.clear()
        for chunk in list(self.outstanding.values()):
            if chunk.path is path and not chunk.acked and not chunk.message.abandoned:
                if self._should_abandon(chunk.message, chunk, now):
                    self.abandon(chunk.message, path)
                else:
                    self.mark(chunk)
                    chunk.fast = False

    def leave(self, path: Path, other: Path, now: float) -> None:
        """Have what is outstanding on a path that is gone be retransmitted, on another one."""
        if path.newest < 0 and not path.moved:
            return  # nothing was ever sent on it
        self.mark_all_on(path, now)
        for chunk in self.outstanding.values():
            if chunk.path is path:
                chunk.path = other
                heapq.heappush(other.moved, chunk.tsn)
        path.timed_tsn = None

    # -- partial reliability ---

    def _should_abandon(self, message: OutgoingMessage, chunk: SentChunk, now: float) -> bool:
        """Whether a message is to be given up rather than this chunk of it retransmitted."""
        if not self.may_skip:
            return False
        if message.expires <= now:
            return True
        limit = message.info.retransmissions
        return limit is not None and chunk.sent > limit

    def abandon(self, message: OutgoingMessage, path: Path) -> None:
        """Give up a message with all of its chunks, and report it as failed.

        ``path`` is where the TSN that stands for the unsent rest counts as sent.
        """
        message.abandoned = True
        if self.probe is not None and self.probe.message is message:
            self.probe = None
        self.buffered -= len(message.data)
        self.messages -= 1
        self._fail(message, 0)
        if message.tsns is not None:
            for tsn in reversed(message.tsns):
                part = self.outstanding.get(tsn)
                if part is None:
                    break  # this one is acknowledged, and so are all before it
                self.uncount(part)
                part.marked = False
        elif message.offset:
            tsn = max(message.first_tsn, self.cumulative + 1)
            while (chunk := self.outstanding.get(tsn)) is not None and chunk.message is message:
                self.uncount(chunk)
                chunk.marked = False
                tsn += 1
        if self.waiting and message in self.waiting:
            self.waiting.remove(message)
        elif message.offset < len(message.data):
            if self.schedule is not None:
                self.schedule.forget_abandoned(message)
                self._follow_schedule()
            else:
                self._gone += 1
                self._tidy_queue()
        if 0 < message.offset < len(message.data):
            # A TSN that is never sent stands for the rest: even if the peer has all that was sent
            # of the message, it has to be told to skip it.
            stand_in = SentChunk(self.next_tsn, b"", 0, message, path, 0.0)
            self.outstanding[stand_in.tsn] = stand_in
            self.next_tsn += 1
            self._origin += 1
        if message.offset:
            self.advance()
        self.abandoned.count(message.info, sent=message.offset > 0)

    def advance(self) -> None:
        """Move the Advanced.Peer.Ack.Point past what is abandoned (RFC 3758 section 3.5, C2)."""
        point = max(self.advanced, self.cumulative)
        while (chunk := self.outstanding.get(point + 1)) is not None and chunk.message.abandoned:
            point += 1
            if self.interleaving:
                self._skipped[_order_of(chunk.message)] = (point, chunk.message.ssn)
            elif not chunk.message.info.unordered:
                self._skipped[chunk.message.info.stream] = (point, chunk.message.ssn)
        self.advanced = point
        self.forward_due = point > self.cumulative

    def forward_tsn(self, space: int) -> bytes:
        """Return a FORWARD TSN chunk up to `advanced`, or as far as ``space`` bytes allow.

        With interleaving it is an I-FORWARD-TSN chunk.
        """
        interleaving = self.interleaving
        room = max(0, (space - 8) // (8 if interleaving else 4))
        skipped = {
            stream: last for stream, last in self._skipped.items() if last[0] > self.cumulative
        }
        self._skipped = skipped
        point = self.advanced
        if len(skipped) > room:
            # It goes no further than there is room to name the streams (C4): so many TSNs cannot
            # be of more streams.
            point = min(point, self.cumulative + room)
            skipped = {}
            for tsn in range(self.cumulative + 1, point + 1):
                message = self.outstanding[tsn].message
                if interleaving:
                    skipped[_order_of(message)] = (tsn, message.ssn)
                elif not message.info.unordered:
                    skipped[message.info.stream] = (tsn, message.ssn)
        streams = [(stream, ssn) for stream, (_, ssn) in skipped.items()]
        return (i_forward_tsn_chunk if interleaving else forward_tsn_chunk)(point & MASK, streams)

    # -- the end ---

    def _fail(self, message: OutgoingMessage, error: int) -> None:
        """Note that a message failed; ``error`` is an error cause, 0 for none."""
        info = message.info
        self.failed.append(
            FailedFragment(
                association_id=0,
                data=message.data,
                first=True,
                last=True,
                sent=message.offset > 0,
                error=error,
                stream=info.stream,
                ppid=info.ppid,
                unordered=info.unordered,
                context=info.context,
            )
        )

    def fail_all(self, error: int) -> None:
        """Fail all messages, none of which will be acknowledged any more."""
        seen: dict[int, OutgoingMessage] = {}
        for chunk in self.outstanding.values():
            seen.setdefault(id(chunk.message), chunk.message)
        for message in (*self.queued(), *self.waiting):
            seen.setdefault(id(message), message)
        for message in seen.values():
            if not message.abandoned:
                self._fail(message, error)
        self.outstanding.clear()
        self._gaps.clear()
        self._gapped = 0
        self._reports = (-1, -1, -1)
        self._recounted.clear()
        self._arrange([])
        self.waiting = _NOTHING
        self.held = ()
        self._expendable.clear()
        self._skipped.clear()
        self.marked.clear()

    def restart(self, initial_tsn: int) -> None:
        """Fail all messages and count anew: the peer lost its state (section 5.2.4, action A)."""
        self.fail_all(0)
        self._origin = initial_tsn - self.chunks
        self.next_tsn = initial_tsn
        self.cumulative = self.advanced = self.slowed_at = initial_tsn - 1
        self.flight = 0
        self.window_shut = self.probe_due = self.retransmit_one = False
        self.probe = None
        self.buffered = self.messages = 0
        self.forward_due = False
        self._ssns.clear()


def _order_of(message: OutgoingMessage) -> int:
    """Return what a message is counted among: the (un)ordered ones of its stream."""
    return 2 * message.info.stream + message.info.unordered


def _without(blocks: list[tuple[int, int]], others: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what is in blocks and not in others; both are in order, without overlap."""
    left: list[tuple[int, int]] = []
    at = 0
    for first, last in blocks:
        while at < len(others) and others[at][1] < first:
            at += 1
        look = at
        while look < len(others) and others[look][0] <= last:
            if first < others[look][0]:
                left.append((first, others[look][0] - 1))
            first = others[look][1] + 1
            look += 1
        if first <= last:
            left.append((first, last))
    return left
