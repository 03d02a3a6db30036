"""Receiving user data (RFC 9260 sections 6.2, 6.5 to 6.7, 6.9; RFC 3758, 3.6; RFC 6525, 5.2).

TSNs are counted without wrapping around, from the peer's initial TSN.

    arrived ──incomplete, or not its turn──> in a run of fragments, or waiting on its stream
       └── whole, and its turn ──> delivered to `Unread`; piece by piece when room is short

The window is a promise: what the peer has sent, and what it was told that it may send, end at an
edge in its stream of bytes, which never moves back.  What lies within it is taken.

The peer counts payload, and we hold chunks, which take more.  So the edge moves on by as much
payload as there is room for chunks of the size that this peer has been sending.  A peer that sends
messages of one size makes us hold no more than twice the receive window.
"""

from __future__ import annotations

import struct
from array import array
from typing import Final

from .._values import PartialDeliveryAborted
from .arrivals import Unread
from .intervals import Intervals
from .parameters import Parameters
from .parts import CHUNK_COST, Parts, SortedParts, cost_of
from .tsn import MASK, unwrap
from .wire import DATA_CHUNK, DATA_OVERHEAD, FIRST, LAST, LEAST_RWND, UNORDERED, Data

FARTHEST: Final = 65535
"""How far above the cumulative TSN a TSN can be reported: gap blocks have 16 bits (3.3.4)."""

_FARTHEST_SKIP: Final = 2**30
"""How many TSNs a FORWARD TSN may skip.  One of before a reset of the association, which moves TSNs
on by 2**31, seems to skip nearly as many."""

_STREAM_AND_SSN: Final = struct.Struct("!HH")  # in a DATA chunk, from its ninth byte on
_WHOLE: Final = FIRST | LAST
_RUN_COST: Final = 24  # bytes that a run of TSNs takes
_SKIP_COST: Final = 128  # bytes that a FORWARD TSN takes, and each stream in it
_OVERHEAD: Final = CHUNK_COST + DATA_OVERHEAD
_STREAM_BITS: Final = 2**13  # bytes that have a bit for each of 65,536 streams
_REMEMBERED: Final = 256  # chunks whose sizes tell how large those to come will be


class Violation(Exception):
    """The peer broke a rule; the association is to be aborted, with this text as the reason."""


class Inbound:
    """The receiving half of an association.

    Attributes:
      parameters: Those of the association.
      unread: What was delivered and that nobody has taken.
      cumulative: The cumulative TSN: this one and all before it have arrived.
      has_gaps: Whether chunks have arrived that others should have preceded.
      streams: Number of streams that the peer may send on.
      duplicates: TSNs that arrived again, as they were on the wire, until a SACK reports them.
      held: Bytes of memory that chunks take which are not delivered.
      streams_cost: Bytes that the numbers of the streams take.
      duplicate_chunks: Number of chunks that had arrived before.
      overtaking_chunks: Number of chunks that arrived before others that precede them.
      violation: Why the association is to be aborted, because of chunks that were held for a reset
        of streams; empty if it is not.
    """

    def __init__(
        self, parameters: Parameters, initial_tsn: int, streams: int, unread: Unread
    ) -> None:
        self.parameters = parameters
        self.unread: Unread = unread
        self.cumulative: int = initial_tsn - 1
        self.has_gaps: bool = False
        self.streams: int = streams
        self.duplicates: list[int] = []
        self.held: int = 0
        self.streams_cost: int = 0
        self.duplicate_chunks: int = 0
        self.overtaking_chunks: int = 0
        self.violation: str = ""
        # Payload that the peer may still send; below zero if some beyond the edge was taken.
        # After a restart, what the program has not taken still fills the window.
        self._promised: int = max(parameters.first_promise - unread.messages, LEAST_RWND)
        self._overhead: int = DATA_OVERHEAD  # of a chunk beside its payload
        self._payload = self._chunks = 0  # that have arrived; the older ones count less
        self._older_chunks: int = 0  # those that `_chunks` leaves out
        self._ahead = Intervals()  # TSNs above `cumulative` that have arrived
        self._next_ssns: array[int] = array("H")  # whose turn it is, by stream; 0 if beyond its end
        self._waiting = SortedParts()  # whole messages, by stream and SSN
        self._runs = SortedParts()  # fragments of incomplete messages, by the TSN of the first
        # The start of the run whose message is being delivered in pieces, whose first part is only
        # the header of the message's first chunk and stands for all that is delivered.
        self._partial: int | None = None
        self._held_back: list[Parts] = []  # messages, until that one has ended
        # The run that a fragment was added to last, to which the next one nearly always belongs.
        # It is not in `_runs`.
        self._open_start = -1  # -1 if there is none
        self._open: list[bytes] = []
        self._reset: _Reset | None = None  # of streams, which waits for what precedes it
        # Chunks that may be of before or behind a reset of all, or None if none is asked for; and
        # what FORWARD TSNs have said meanwhile.  Those below a TSN are known to be of before.
        self._undecided: list[bytes] | None = None
        self._undecided_skips: list[tuple[int, list[tuple[int, int]]]] = []
        self._reset_from: int = 0
        # `streams`, while chunks of all these are taken alike: 0 while a reset waits.
        self._alike: int = streams

    @property
    def chunks(self) -> int:
        """The number of chunks that were taken in."""
        return self._older_chunks + self._chunks

    def count_on(self, before: Inbound) -> None:
        """Add what another one has counted, in whose place this one is."""
        self._older_chunks += before.chunks
        self.duplicate_chunks += before.duplicate_chunks
        self.overtaking_chunks += before.overtaking_chunks

    @property
    def memory(self) -> int:
        """Bytes of memory that are held for the peer, but for what is delivered."""
        held = self.held + self.streams_cost
        return held + _RUN_COST * len(self._ahead) if self.has_gaps else held

    # -- window (6.2) ---

    @property
    def window(self) -> int:
        """Bytes of payload that the peer may still send."""
        return max(self._promised, 0)

    def _goal(self, free: int) -> int:
        """Return the payload that fits when so many bytes of the receive window are free.

        As much again may be taken by the chunks around the payload.
        """
        chunks = self._chunks
        if not chunks:
            return min(free, self.parameters.first_promise)
        payload = self._payload
        cost = payload + chunks * _OVERHEAD
        goal = (free + self.parameters.receive_window) * payload // cost
        return goal if goal < free else free

    def _free(self) -> int:
        free = self.parameters.receive_window - self.held - self.unread.messages
        return free - _RUN_COST * len(self._ahead) if self.has_gaps else free

    def _least(self) -> int:
        """Return the least that is worth promising: not a silly small window (RFC 1122, 4.2.3.3).

        What was promised is told all the same, however little of it is left.
        """
        return min(self.parameters.path_mtu, self._goal(self.parameters.receive_window) // 2)

    def advertise(self) -> int:
        """Return the window for a SACK: what it promises will be taken."""
        goal = self._goal(self._free())
        share = self.unread.share
        if share is not None and (room := share.room) < goal * 2:
            goal = min(goal, self._fitting(room))
        more = goal - self._promised
        if more > 0 and (more >= self.parameters.path_mtu or more >= self._least()):
            self._promised = goal
        chunks = self._chunks
        if chunks >= _REMEMBERED:
            self._chunks = chunks >> 1
            self._older_chunks += chunks - self._chunks
            self._payload = self._payload * self._chunks // chunks
        return max(self._promised, 0)

    def _fitting(self, room: int) -> int:
        """Return the payload that fits what the peers of a stack have left for this one.

        A peer for whom nothing is held is not stopped by the others: no reading would ever let it
        go on.
        """
        payload = self._payload
        cost = payload + self._chunks * _OVERHEAD
        fits = room * payload // cost if cost else 0
        if self.held or self.unread.messages:
            return fits
        return max(fits, self.parameters.first_promise)

    def has_opened(self) -> bool:
        """Whether so much was taken that the peer is to be told of it, since it may be waiting."""
        promised = self._promised
        if promised * 4 >= self.parameters.receive_window:
            return False
        quarter = self._goal(self.parameters.receive_window) // 4
        return promised < quarter and self._goal(self._free()) - promised >= max(
            quarter, self._least()
        )

    # -- acknowledging ---

    def gaps(self, limit: int) -> list[tuple[int, int]]:
        """Return the gap blocks for a SACK, at most ``limit`` of them."""
        return self._ahead.offsets(self.cumulative, limit) if self.has_gaps and limit > 0 else []

    def missing(self) -> int:
        """Return how many chunks have not arrived of those that others should have followed."""
        return self._ahead.missing_after(self.cumulative)

    def _note_duplicate(self, data: Data) -> None:
        self.duplicate_chunks += 1
        if len(self.duplicates) < self.parameters.max_duplicates:
            self.duplicates.append(data.tsn)

    # -- arriving ---

    def arrive(self, data: Data) -> bool:
        """Take in a DATA chunk, and deliver what it completes.

        Returns whether it may be acknowledged as new: it was no duplicate, and was promised room.
        """
        cumulative = self.cumulative
        tsn = cumulative + 1
        size = len(data.raw) - self._overhead
        fills = self.has_gaps  # whether others may have come before those that it precedes
        if data.tsn != tsn & MASK:
            tsn = unwrap(data.tsn, cumulative)
        if tsn == cumulative + 1:
            if size > self._promised and not self._may_exceed(tsn, size):
                return False
            if fills:
                self.cumulative = self._ahead.take_through(tsn)
                self.has_gaps = len(self._ahead) > 0
            else:
                self.cumulative = tsn
        elif tsn <= cumulative:
            self._note_duplicate(data)
            return False
        elif size > self._promised or tsn - cumulative > FARTHEST:
            if tsn in self._ahead:
                self._note_duplicate(data)
            return False
        elif self._ahead.add(tsn):
            self.has_gaps = True
            self.overtaking_chunks += 1
        else:
            self._note_duplicate(data)
            return False
        self._promised -= size
        self._payload += size
        self._chunks += 1
        if data.stream >= self._alike:
            # One for no stream is acknowledged and dropped, and the caller reports an error (6.5).
            if data.stream < self.streams and not self._is_held(tsn, data):
                self._take(tsn, data, fills)
            return True
        # As `_take`, without a call for each chunk.
        flags = data.flags
        if flags & _WHOLE == _WHOLE:
            if flags & UNORDERED:
                self._deliver(data.raw)
            else:
                self._take_turn(data.stream, data.ssn, data.raw)
        else:
            self._take_fragment(tsn, data, fills)
        return True

    def _take(self, tsn: int, data: Data, fills: bool) -> None:
        """Deliver the chunk of a stream, or have it wait for what precedes it."""
        if data.flags & _WHOLE != _WHOLE:
            self._take_fragment(tsn, data, fills)
        elif data.unordered:
            self._deliver(data.raw)
        else:
            self._take_turn(data.stream, data.ssn, data.raw)

    def _may_exceed(self, tsn: int, size: int) -> bool:
        """Whether to take the next chunk in sequence although it was not promised room.

        One that ends a gap is taken, since nothing else would ever free what waits for it (6.2);
        so is one that comes when nothing is held, as it would be too large at any other time, and
        one that goes on with a message whose turn has come while it filled the window: with it what
        there is of the message is delivered.
        """
        if self.has_gaps:
            return size - self._promised <= self.parameters.receive_window
        if not self.held and not self.unread.messages:
            return True
        start, parts = self._open_start, self._open
        return bool(parts) and tsn == start + len(parts) and self._has_turn(start, parts)

    # -- streams (6.6) ---

    def _deliver(self, parts: Parts) -> None:
        """Deliver a message, unless another one is in the midst of it (RFC 6458, 8.1.20)."""
        if self._partial is None:
            unread = self.unread
            unread.cumulative = self.cumulative
            unread.deliver(parts)
            if self._held_back:  # it was the last part of that one
                self._release_held_back()
        else:
            self._held_back.append(parts)
            self.held += cost_of(parts)

    def _take_turn(self, stream: int, ssn: int, parts: Parts) -> None:
        """Deliver an ordered message, and those that have waited for it; or have it wait."""
        next_ssns = self._next_ssns
        if stream >= len(next_ssns):
            if ssn:
                self._hold_for_turn(stream, ssn, parts)
                return
            next_ssns.extend(array("H", bytes(2 * (stream + 1 - len(next_ssns)))))
            self.streams_cost = 2 * len(next_ssns)
        elif ssn != next_ssns[stream]:
            self._hold_for_turn(stream, ssn, parts)
            return
        if self._partial is None and not self._held_back:
            # As `_deliver`, without a call for each message.
            self.unread.cumulative = self.cumulative
            self.unread.deliver(parts)
        else:
            self._deliver(parts)
        next_ssns[stream] = (ssn + 1) & 0xFFFF
        if self._waiting.count:
            self._next_turns(stream)

    def _hold_for_turn(self, stream: int, ssn: int, parts: Parts) -> None:
        """Keep a whole message until those before it on its stream are delivered."""
        if not self._waiting.put(stream << 16 | ssn, parts):
            raise Violation("two messages with the same stream sequence number")
        self.held += cost_of(parts)

    def _next_turns(self, stream: int) -> None:
        """Deliver the waiting messages of a stream whose turn has come."""
        waiting, next_ssns = self._waiting, self._next_ssns
        while (parts := waiting.pop(stream << 16 | next_ssns[stream])) is not None:
            next_ssns[stream] = (next_ssns[stream] + 1) & 0xFFFF
            self.held -= cost_of(parts)
            self._deliver(parts)

    # -- fragments (6.9) ---

    def _take_fragment(self, tsn: int, data: Data, fills: bool) -> None:
        """Join a fragment to its neighbours, and deliver what that makes deliverable.

        ``fills`` says whether fragments that follow it may be here already.
        """
        raw = data.raw
        self.held += len(raw) + CHUNK_COST
        parts = self._open
        if data.first or tsn != self._open_start + len(parts) or parts[-1][1] & LAST:
            parts = self._open_run(tsn, data)
        if parts:
            _check_same_message(parts[-1], raw)
        parts.append(raw)
        if fills and not data.last:
            self._join_next_run(tsn + 1, parts)
        start = self._open_start
        if parts[0][1] & FIRST and parts[-1][1] & LAST:
            self._forget_open_run()
            self._take_completed(start, parts)
        elif start == self._partial or (
            # When half of the window is taken by what cannot be delivered, the rest of this message
            # may find no room.  How long it is by now, is told by the size of its latest fragment.
            (
                self.held * 2 >= self.parameters.receive_window
                or 0 < self.parameters.partial_delivery_point <= len(parts) * len(raw)
            )
            and self._has_turn(start, parts)
        ):
            self._deliver_part(start, parts)

    def _open_run(self, tsn: int, data: Data) -> list[bytes]:
        """Return the run that a fragment belongs to, as the one that is open; it may be empty."""
        self._close_run()
        self._open_start = tsn
        found = None if data.first else self._runs.last_through(tsn - 1)
        if found is not None:
            start, parts = found
            run = [parts] if isinstance(parts, bytes) else parts
            if start + len(run) == tsn and not run[-1][1] & LAST:
                self._runs.pop(start)
                self._open_start, self._open = start, run
        return self._open

    def _join_next_run(self, tsn: int, parts: list[bytes]) -> None:
        """Add the fragments that follow directly and belong to the same message."""
        after = self._runs.get(tsn)
        if after is not None:
            later = [after] if isinstance(after, bytes) else after
            if not later[0][1] & FIRST:
                _check_same_message(parts[-1], later[0])
                self._runs.pop(tsn)
                parts += later

    def _close_run(self) -> None:
        """Put the open run to the others."""
        if self._open:
            parts = self._open
            self._runs.put(self._open_start, parts if len(parts) > 1 else parts[0])
            self._forget_open_run()

    def _forget_open_run(self) -> None:
        self._open_start = -1
        self._open = []

    def _take_completed(self, start: int, parts: list[bytes]) -> None:
        """Deliver a message whose last missing fragment came, or have it wait for its turn."""
        self.held -= cost_of(parts)
        if start == self._partial:
            self._partial = None
        if parts[0][1] & UNORDERED:
            self._deliver(parts)
        else:
            stream, ssn = _STREAM_AND_SSN.unpack_from(parts[0], 8)
            self._take_turn(stream, ssn, parts)

    # -- partial delivery (6.9) ---

    def _has_turn(self, start: int, parts: list[bytes]) -> bool:
        """Whether the beginning of a message may be delivered before its end has arrived.

        Its turn must have come, no chunk before the end of this part may be missing, and no other
        message may be in the midst of being delivered.
        """
        first = parts[0]
        if (
            self._partial is not None
            or not first[1] & FIRST
            or start + len(parts) - 1 > self.cumulative
        ):
            return False
        if first[1] & UNORDERED:
            return True
        stream = int.from_bytes(first[8:10], "big")
        turn = self._next_ssns[stream] if stream < len(self._next_ssns) else 0
        return int.from_bytes(first[10:12], "big") == turn

    def _deliver_part(self, start: int, parts: list[bytes]) -> None:
        """Deliver what has arrived of a message as a piece; its last part will be a message."""
        end = start + len(parts) - 1
        if end > self.cumulative:
            return
        header = parts[0][:DATA_OVERHEAD]
        self.held += len(header) + CHUNK_COST - cost_of(parts)
        self._open_start, self._open = end, [header]
        self._partial = end
        self.unread.cumulative = self.cumulative
        self.unread.deliver_piece(parts)

    def _release_held_back(self) -> None:
        """Deliver what came while a message was being delivered in pieces, which has ended."""
        held_back, self._held_back = self._held_back, []
        for parts in held_back:
            self.held -= cost_of(parts)
            self._deliver(parts)

    # -- skipping (RFC 3758 section 3.6) ---

    def skip_to(self, wire_tsn: int, streams: list[tuple[int, int]]) -> None:
        """Wait no longer for what the peer gave up, as a FORWARD TSN says.

        Args:
          wire_tsn: The new cumulative TSN, as on the wire.
          streams: (stream, SSN) of the last ordered message that was skipped on each stream.
        """
        point = unwrap(wire_tsn, self.cumulative)
        if not 0 < point - self.cumulative <= _FARTHEST_SKIP:
            return
        self.cumulative = self._ahead.take_through(point)
        self.has_gaps = len(self._ahead) > 0
        if self._undecided is None:
            self._skip(point, streams)
        else:  # parts of what it does not skip may be among what is held
            self._undecided_skips.append((point, streams))
            self.held += cost_of_skip(streams)

    def _skip(self, point: int, streams: list[tuple[int, int]]) -> None:
        """Do for the streams what a FORWARD TSN up to a TSN says."""
        self._drop_fragments(point)
        next_ssns, waiting = self._next_ssns, self._waiting
        for stream, ssn in streams:
            if stream >= len(next_ssns):
                if stream >= self.streams:
                    continue
                next_ssns.extend(array("H", bytes(2 * (stream + 1 - len(next_ssns)))))
                self.streams_cost = 2 * len(next_ssns)
            first = next_ssns[stream]
            if (ssn - first) & 0xFFFF >= 0x8000:
                continue
            next_ssns[stream] = (ssn + 1) & 0xFFFF
            if waiting.count:
                self._deliver_through(stream, first, ssn)
                self._next_turns(stream)

    def _drop_fragments(self, point: int) -> None:
        """Drop what has come of messages of which a part up to this TSN is missing."""
        self._close_run()
        for parts in self._runs.pop_range(0, point):
            self.held -= cost_of(parts)  # the rest of the message will not come
        after = self._runs.get(point + 1)
        if after is not None and not (after if isinstance(after, bytes) else after[0])[1] & FIRST:
            self._runs.pop(point + 1)  # nor will its beginning, which the point cuts off
            self.held -= cost_of(after)
        if self._partial is not None and self._partial <= point:
            self._partial = None
            self.unread.report(
                PartialDeliveryAborted(association_id=self.unread.id, indication=0, stream=0, ssn=0)
            )
            self._release_held_back()

    def _deliver_through(self, stream: int, first: int, last: int) -> None:
        """Deliver the waiting messages of a stream from one SSN to another; others are skipped."""
        base = stream << 16
        if first <= last:
            whole = self._waiting.pop_range(base + first, base + last)
        else:
            whole = self._waiting.pop_range(base + first, base + 0xFFFF)
            whole += self._waiting.pop_range(base, base + last)
        for parts in whole:
            self.held -= cost_of(parts)
            self._deliver(parts)

    # -- streams that begin again (RFC 6525 sections 5.2.2 and 5.2.4) ---

    def reset_at(self, wire_tsn: int, streams: tuple[int, ...]) -> None:
        """Have streams begin again, all if none is named, once all up to a TSN has arrived.

        What comes on them behind that TSN waits until `finish_reset`.
        """
        point = unwrap(wire_tsn, self.cumulative)
        self._reset = _Reset(point, streams)
        self._alike = 0

    def _is_held(self, tsn: int, data: Data) -> bool:
        """Whether a chunk is held, since it belongs to a stream as it is after a reset, or may."""
        reset, held = self._reset, self._undecided
        if held is None or tsn < self._reset_from:
            if reset is None or tsn <= reset.point or not reset.concerns(data.stream):
                return False
            held = reset.held
        held.append(data.raw)
        self.held += len(data.raw) + CHUNK_COST
        return True

    def _take_held(self, held: list[bytes]) -> None:
        """Take chunks that were held; what they contradict ends the association (`violation`)."""
        try:
            for raw in held:
                self.held -= len(raw) + CHUNK_COST
                data = self._chunk(raw)
                tsn = unwrap(data.tsn, self.cumulative)
                if not self._is_held(tsn, data):
                    self._take(tsn, data, True)
        except Violation as violation:
            self.violation = str(violation)

    def _decide_alike(self) -> None:
        waits = self._reset is not None or self._undecided is not None
        self._alike = 0 if waits else self.streams

    def finish_reset(self) -> tuple[int, ...] | None:
        """Reset the streams of `reset_at`, if their turn has come, and return them."""
        reset = self._reset
        if reset is None or self.cumulative < reset.point or self._undecided is not None:
            return None
        self._perform_reset(reset)
        return tuple(reset.streams)

    def _perform_reset(self, reset: _Reset) -> None:
        self._reset = None
        self._decide_alike()
        if reset.streams:
            for stream in reset.streams:
                self._begin_stream_anew(stream)
        else:
            self._begin_streams_anew()
        self._take_held(reset.held)

    def _chunk(self, raw: bytes) -> Data:
        """Return a chunk that was kept as bytes."""
        _, flags, _, wire_tsn, stream, ssn, ppid = DATA_CHUNK.unpack_from(raw)
        return Data(wire_tsn, stream, ssn, ppid, raw, flags)

    def _begin_stream_anew(self, stream: int) -> None:
        """Expect SSN 0; what waits for others, which the peer has not sent, waits no longer."""
        next_ssns = self._next_ssns
        first = next_ssns[stream] if stream < len(next_ssns) else 0
        if self._waiting.count:
            self._deliver_through(stream, first, (first - 1) & 0xFFFF)
        if first:
            next_ssns[stream] = 0

    def _begin_streams_anew(self) -> None:
        while self._waiting.count:
            self._begin_stream_anew(self._waiting.first() >> 16)
        self._next_ssns = array("H")
        self.streams_cost = 0

    def add_streams(self, count: int) -> None:
        """Let the peer send on more streams."""
        self.streams += count
        self._decide_alike()

    def renumber(self, wire_tsn: int) -> tuple[int, ...] | None:
        """Have the peer go on with this TSN, and with SSN 0 on each stream.

        What has not arrived by now will not come.  Returns the streams of a reset that has waited
        for it; None if none has.
        """
        reset = self._reset
        if reset is not None:
            self._perform_reset(reset)
        self._drop_fragments(self.cumulative + FARTHEST)
        self._begin_streams_anew()
        self._ahead = Intervals()
        self.has_gaps = False
        self.duplicates = []
        # TSNs are counted on, whatever they are on the wire.
        self.cumulative += (wire_tsn - 1 - self.cumulative) & MASK
        return None if reset is None else tuple(reset.streams)

    def hold_all(self) -> None:
        """Hold what comes, until it is known whether all streams have begun again before it."""
        self._undecided = []
        self._reset_from = self.cumulative
        self._alike = 0

    @property
    def is_filled_up(self) -> bool:
        """Whether so much is held by `hold_all` that the peer may have to wait for room."""
        return self._undecided is not None and self._promised * 2 < self.parameters.receive_window

    def take_below(self, wire_tsn: int) -> None:
        """Take what was held by `hold_all` of before a TSN, as the peer has not come to a reset."""
        held = self._undecided
        point = unwrap(wire_tsn, self.cumulative)
        if held is None or point <= self._reset_from:
            return
        self._undecided, self._reset_from = [], point
        skips, self._undecided_skips = self._undecided_skips, []
        self._take_held(held)
        self._take_skips([skip for skip in skips if skip[0] < point])
        self._undecided_skips = [skip for skip in skips if skip[0] >= point]

    def _take_skips(self, skips: list[tuple[int, list[tuple[int, int]]]]) -> None:
        for point, streams in skips:
            self.held -= cost_of_skip(streams)
            self._skip(point, streams)

    def go_on(self, wire_tsn: int | None) -> tuple[int, ...] | None:
        """Take what was held: all streams have begun again before this TSN, or have not if None.

        Returns the streams of a reset that has waited for it; None if none has.
        """
        held = self._undecided or []
        skips, self._undecided_skips = self._undecided_skips, []
        self._undecided = None
        self._decide_alike()
        if wire_tsn is None:
            self._take_held(held)
            self._take_skips(skips)
            return None
        point = unwrap((wire_tsn - 1) & MASK, self.cumulative)
        before: list[bytes] = []
        behind: list[bytes] = []
        for raw in held:
            known = unwrap(DATA_CHUNK.unpack_from(raw)[3], point) <= point
            (before if known else behind).append(raw)
        self._take_held(before)
        self._take_skips([skip for skip in skips if skip[0] <= point])
        reset = self._reset
        if reset is not None and reset.point > point:
            reset = None  # it is of the streams as they are behind
        if reset is not None:
            self._perform_reset(reset)
        self._drop_fragments(point)
        self._begin_streams_anew()
        if point > self.cumulative:
            self.cumulative = self._ahead.take_through(point)
            self.has_gaps = len(self._ahead) > 0
        self._take_held(behind)
        self._take_skips([skip for skip in skips if skip[0] > point])
        return None if reset is None else tuple(reset.streams)


class _Reset:
    """A reset of streams that waits until all up to a TSN has arrived.

    Attributes:
      point: The TSN.
      streams: The streams; empty for all.
      held: Chunks of these streams that belong behind the reset, as bytes.
    """

    __slots__ = ("_concerned", "held", "point", "streams")

    def __init__(self, point: int, streams: tuple[int, ...]) -> None:
        self.point: int = point
        self.streams: array[int] = array("H", streams)
        self.held: list[bytes] = []
        self._concerned: bytearray = bytearray(_STREAM_BITS if streams else 0)  # a bit for each
        for stream in streams:
            self._concerned[stream >> 3] |= 1 << (stream & 7)

    def concerns(self, stream: int) -> bool:
        """Whether a stream is reset."""
        return not self.streams or self._concerned[stream >> 3] >> (stream & 7) & 1 != 0


def cost_of_skip(streams: list[tuple[int, int]]) -> int:
    """Return the bytes of memory that take what a FORWARD TSN says."""
    return _SKIP_COST * (1 + len(streams))


def _check_same_message(before: bytes, after: bytes) -> None:
    """Raise `Violation` unless two neighbouring fragments can belong to one message."""
    unordered = before[1] & UNORDERED
    same = 2 if unordered else 4  # bytes of the stream, and of the SSN if there is order
    if unordered != after[1] & UNORDERED or before[8 : 8 + same] != after[8 : 8 + same]:
        raise Violation("fragments of different messages without an end between them")
