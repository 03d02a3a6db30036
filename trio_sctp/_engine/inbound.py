"""Receiving user data (RFC 9260 sections 6.2, 6.5 to 6.7, 6.9; RFC 3758 section 3.6).

TSNs are counted without wrapping around, from the peer's initial TSN.

    arrived ──incomplete, or not its turn──> in a run of fragments, or waiting on its stream
       └── whole, and its turn ──> delivered as a `Message`; `Piece` by piece when room is short

The window counts the payload and a fixed overhead of every chunk.  Delivered messages count too,
until the program takes them.
"""

from __future__ import annotations

from collections import deque

from .._values import (
    Address,
    Message,
    MessageDraft,
    Piece,
    freeze,
)
from .parameters import Parameters
from .tsn import MASK, unwrap
from .wire import Data


class Violation(Exception):
    """The peer broke a rule; the association is to be aborted, with this text as the reason."""


class _Run:
    """Consecutive fragments of one message.

    When a message is being delivered in pieces, the first part is an empty stand-in for the
    fragments that were delivered.

    Attributes:
      start, end: TSNs of the first and of the last part.
      parts: The fragments.
      size: Bytes of their payload.
      delivered: Whether the beginning of the message was delivered as pieces.
    """

    __slots__ = ("delivered", "end", "parts", "size", "start")

    def __init__(self, tsn: int, data: Data) -> None:
        self.start = self.end = tsn
        self.parts: deque[Data] = deque([data])
        self.size = len(data.payload)
        self.delivered = False

    @property
    def whole(self) -> bool:
        """Whether the run has all fragments of its message that are not delivered yet."""
        return (self.delivered or self.parts[0].first) and self.parts[-1].last

    @property
    def chunks(self) -> int:
        """The number of parts whose overhead the window counts."""
        return len(self.parts) - self.delivered


class _Stream:
    """The ordered messages of one stream that wait for their turn."""

    __slots__ = ("next_ssn", "waiting")

    def __init__(self) -> None:
        self.next_ssn = 0  # of the message whose turn it is
        self.waiting: dict[int, _Run] = {}  # whole messages, by SSN


class Inbound:
    """The receiving half of an association.

    Attributes:
      parameters: Those of the association.
      cumulative: The cumulative TSN: this one and all before it have arrived.
      streams: Number of streams that the peer may send on.
      duplicates: TSNs that arrived again, as they were on the wire, until a SACK reports them.
      held: Bytes that fill the window, with overhead: those that arrived and that the program has
        not taken.
      delivered: The part of `held` that has become messages and pieces, which only have to be
        taken.
    """

    def __init__(self, parameters: Parameters, initial_tsn: int, streams: int) -> None:
        self.parameters = parameters
        self.cumulative: int = initial_tsn - 1
        self.streams = streams
        self.duplicates: list[int] = []
        self.held: int = 0
        self._promised = parameters.receive_window  # bytes of payload that the peer may send
        self.delivered: int = 0
        self._ahead: dict[int, int] = {}  # TSNs above `cumulative`, and the bytes that each holds
        self._highest = initial_tsn - 1
        self._streams: dict[int, _Stream] = {}
        self._by_start: dict[int, _Run] = {}
        self._by_end: dict[int, _Run] = {}
        self._partial: _Run | None = None  # the one that is being delivered in pieces
        self._held_back: list[Message | Piece] = []  # until `_partial` has ended
        self._held_back_cost = 0

    # -- window ---

    def window(self) -> int:
        """Return the bytes to advertise: 0 rather than a silly small window (RFC 1122, 4.2.3.3)."""
        free = self.parameters.receive_window - self.held
        # A chunk that fills a packet must fit, or the peer would take our refusals for losses.
        packet = self.parameters.path_mtu + self.parameters.chunk_overhead
        return free if free >= min(packet, self.parameters.receive_window) else 0

    def advertise(self) -> int:
        """Return the window for a SACK, and remember it: what it promises will be accepted."""
        self._promised = self.window()
        return self._promised

    def taken(self, size: int) -> bool:
        """Free the room of a message that the program took; return whether to tell the peer of it.

        ``size`` is the size of the message in bytes.
        """
        before = self.window()
        self.held -= size + self.parameters.chunk_overhead
        self.delivered -= size + self.parameters.chunk_overhead
        now = self.window()
        quarter = self.parameters.receive_window // 4
        return before < quarter <= now

    # -- acknowledging ---

    @property
    def has_gaps(self) -> bool:
        """Whether chunks have arrived that others should have preceded."""
        return bool(self._ahead)

    def gaps(self, limit: int) -> list[tuple[int, int]]:
        """Return the gap blocks for a SACK, at most ``limit`` of them."""
        if not self._ahead or limit < 1:
            return []
        blocks: list[tuple[int, int]] = []
        first = last = 0
        base = self.cumulative
        for tsn in sorted(self._ahead):
            offset = tsn - base
            if first and offset == last + 1:
                last = offset
                continue
            if first:
                blocks.append((first, last))
                if len(blocks) == limit:
                    return blocks
            if offset > 65535:
                return blocks
            first = last = offset
        blocks.append((first, min(last, 65535)))
        return blocks

    # -- arriving ---

    def arrive(self, data: Data, out: list[Message | Piece], address: Address, id: int) -> bool:
        """Take in a DATA chunk, and append what it completes to ``out``.

        Returns whether it may be acknowledged as new: it was no duplicate, and there was room.
        """
        tsn = unwrap(data.tsn, self.cumulative)
        if tsn <= self.cumulative or tsn in self._ahead:
            if len(self.duplicates) < self.parameters.max_duplicates:
                self.duplicates.append(data.tsn)
            return False
        if tsn - self.cumulative > self.parameters.max_ahead:
            return False
        size = len(data.payload)
        cost = size + self.parameters.chunk_overhead
        full = self.held + cost > self.parameters.receive_window and self.held
        if full and not self._may_exceed(tsn, size, cost):
            return False
        self.held += cost
        self._promised -= size
        if tsn == self.cumulative + 1:
            self.cumulative = tsn
            ahead = self._ahead
            if ahead:
                while ahead.pop(self.cumulative + 1, None) is not None:
                    self.cumulative += 1
        else:
            self._ahead[tsn] = cost
        if tsn > self._highest:
            self._highest = tsn
        if data.stream >= self.streams:
            self.held -= cost
            return True  # it is acknowledged and dropped, and the caller reports an error (6.5)
        partial, before = self._partial, len(out)
        if data.first and data.last:
            self._take_whole(data, out, address, id)
        else:
            self._take_fragment(tsn, data, out, address, id)
        if partial is not None:
            self._keep_apart(out, before, ended=self._partial is None)
        return True

    def _may_exceed(self, tsn: int, size: int, cost: int) -> bool:
        """Whether to accept a chunk although the window is full.

        The peer does not count our overhead, so what it was promised is accepted.  A full window
        also accepts what fills a gap, because nothing else would ever free it (6.2), and the next
        chunk in sequence while the program has nothing to take.
        """
        if size > self._promised:
            fills = tsn < self._highest
            follows = tsn == self.cumulative + 1
            if not fills and (not follows or self.delivered > self._held_back_cost):
                return False
            if not self._make_room(tsn, cost) and not follows:
                return False
        return self.held + cost <= 2 * self.parameters.receive_window

    def _make_room(self, tsn: int, cost: int) -> bool:
        """Drop the highest TSNs above this one, which are not acknowledged for good yet (6.2).

        Returns whether ``cost`` bytes now fit.
        """
        while self.held + cost > self.parameters.receive_window and self._ahead:
            highest = max(self._ahead)
            if highest <= tsn or not self._forget(highest):
                return False
        return self.held + cost <= self.parameters.receive_window

    def _forget(self, tsn: int) -> bool:
        """Renege on a chunk if it is still ours to drop: a fragment of an incomplete message.

        Returns whether it was dropped.
        """
        run = self._by_end.get(tsn)
        if run is None or run.delivered:
            return False
        cost = self._ahead.pop(tsn)
        self.held -= cost
        dropped = run.parts.pop()
        run.size -= len(dropped.payload)
        del self._by_end[tsn]
        if run.parts:
            run.end -= 1
            self._by_end[run.end] = run
        else:
            del self._by_start[run.start]
        self._highest = max(self._ahead, default=self.cumulative)
        return True

    def _take_whole(
        self, data: Data, out: list[Message | Piece], address: Address, id: int
    ) -> None:
        """Deliver a message that is one chunk, or have it wait for its turn."""
        if data.unordered:
            out.append(self._message(data, data.payload, address, id))
            return
        stream = self._streams.get(data.stream)
        if stream is None:
            stream = self._streams[data.stream] = _Stream()
        if data.ssn != stream.next_ssn:
            self._hold_for_turn(stream, data.ssn, _Run(0, data))
            return
        out.append(self._message(data, data.payload, address, id))
        stream.next_ssn = (data.ssn + 1) & 0xFFFF
        if stream.waiting:
            self._next_turns(stream, out, address, id)

    def _hold_for_turn(self, stream: _Stream, ssn: int, run: _Run) -> None:
        """Keep a whole message until those before it on its stream are delivered."""
        if ssn in stream.waiting:
            raise Violation("two messages with the same stream sequence number")
        stream.waiting[ssn] = run

    def _next_turns(
        self, stream: _Stream, out: list[Message | Piece], address: Address, id: int
    ) -> None:
        """Deliver the waiting messages of a stream whose turn has come."""
        while (run := stream.waiting.pop(stream.next_ssn, None)) is not None:
            stream.next_ssn = (stream.next_ssn + 1) & 0xFFFF
            out.append(self._joined(run, address, id))

    def _take_fragment(
        self, tsn: int, data: Data, out: list[Message | Piece], address: Address, id: int
    ) -> None:
        """Join a fragment to its neighbours, and deliver what that makes deliverable."""
        run = None if data.first else self._by_end.get(tsn - 1)
        if run is not None and not run.parts[-1].last:
            self._same_message(run.parts[-1], data)
            del self._by_end[run.end]
            run.parts.append(data)
            run.end = tsn
            run.size += len(data.payload)
        else:
            run = _Run(tsn, data)
            self._by_start[tsn] = run
        after = None if data.last else self._by_start.get(tsn + 1)
        if after is not None and not after.parts[0].first:
            self._same_message(data, after.parts[0])
            del self._by_start[after.start], self._by_end[after.end]
            run.parts.extend(after.parts)
            run.end = after.end
            run.size += after.size
        self._by_end[run.end] = run
        if run.whole:
            self._take_completed(run, out, address, id)
        elif run is self._partial or self._is_stuck(run):
            self._deliver_part(run, out, address, id)

    def _same_message(self, before: Data, after: Data) -> None:
        """Raise `Violation` unless two neighbouring fragments can belong to one message."""
        if (
            before.stream != after.stream
            or before.unordered != after.unordered
            or (before.ssn != after.ssn and not before.unordered)
        ):
            raise Violation("fragments of different messages without an end between them")

    def _take_completed(
        self, run: _Run, out: list[Message | Piece], address: Address, id: int
    ) -> None:
        """Deliver a message whose last missing fragment came, or have it wait for its turn."""
        del self._by_start[run.start], self._by_end[run.end]
        if run is self._partial:
            self._partial = None
        first = run.parts[0]
        if first.unordered:
            out.append(self._joined(run, address, id))
            return
        stream = self._streams.get(first.stream)
        if stream is None:
            stream = self._streams[first.stream] = _Stream()
        if first.ssn != stream.next_ssn:
            self._hold_for_turn(stream, first.ssn, run)
            return
        out.append(self._joined(run, address, id))
        stream.next_ssn = (first.ssn + 1) & 0xFFFF
        if stream.waiting:
            self._next_turns(stream, out, address, id)

    # -- partial delivery (6.9) ---

    def _is_stuck(self, run: _Run) -> bool:
        """Whether a message fills so much of the window that its rest may never fit.

        That is assumed when it fills half of the window.  Its turn must have come, no chunk before
        its end may be missing, and no other message may be in the midst of being delivered.
        """
        cost = run.size + self.parameters.chunk_overhead * run.chunks
        if self._partial is not None or cost * 2 < self.parameters.receive_window:
            return False
        first = run.parts[0]
        if not first.first or run.end > self.cumulative:
            return False
        if first.unordered:
            return True
        stream = self._streams.get(first.stream)
        return first.ssn == (stream.next_ssn if stream is not None else 0)

    def _deliver_part(
        self, run: _Run, out: list[Message | Piece], address: Address, id: int
    ) -> None:
        """Deliver what has arrived of a message as a `Piece`; its last part will be a `Message`."""
        if run.end > self.cumulative:
            return
        last = run.parts[-1]
        payload = b"".join([part.payload for part in run.parts])
        self.held -= self.parameters.chunk_overhead * (run.chunks - 1)
        out.append(Piece(self._message(run.parts[0], payload, address, id)))
        self._partial = run
        run.delivered = True
        del self._by_start[run.start]
        stand_in = Data(
            last.tsn, last.stream, last.ssn, last.ppid, b"", False, False, last.unordered, False
        )
        run.parts = deque([stand_in])
        run.start = run.end
        run.size = 0
        self._by_start[run.start] = run

    def _keep_apart(self, out: list[Message | Piece], before: int, *, ended: bool) -> None:
        """Let no other message come between the parts of one (RFC 6458 section 8.1.20).

        Args:
          out: What is delivered.
          before: How many of these are older than the chunk that has just arrived.
          ended: Whether that chunk ended the message that is delivered in parts.
        """
        news = out[before:]
        del out[before:]
        if ended:
            out += news[:1]  # its last part
            out += self._held_back
            out += news[1:]
            self._held_back = []
            self._held_back_cost = 0
            return
        for arrival in news:
            if isinstance(arrival, Piece):
                out.append(arrival)
            else:
                self._held_back.append(arrival)
                self._held_back_cost += len(arrival.data) + self.parameters.chunk_overhead

    # -- values ---

    def _joined(self, run: _Run, address: Address, id: int) -> Message:
        """Join the fragments of a whole message."""
        parts = run.parts
        if len(parts) == 1:
            return self._message(parts[0], parts[0].payload, address, id)
        self.held -= self.parameters.chunk_overhead * (run.chunks - 1)  # it counts as one chunk now
        return self._message(parts[0], b"".join([part.payload for part in parts]), address, id)

    def _message(self, data: Data, payload: bytes, address: Address, id: int) -> Message:
        """Make a message, and count it as delivered."""
        self.delivered += len(payload) + self.parameters.chunk_overhead
        return freeze(
            MessageDraft(
                payload,
                data.stream,
                data.ppid,
                data.unordered,
                id,
                address,
                data.ssn,
                data.tsn,
                self.cumulative & MASK,
                0,
            )
        )

    # -- skipping (RFC 3758 section 3.6) ---

    def skip_to(
        self,
        wire_tsn: int,
        streams: list[tuple[int, int]],
        out: list[Message | Piece],
        address: Address,
        id: int,
    ) -> bool:
        """Wait no longer for what the peer gave up, as a FORWARD TSN says.

        Args:
          wire_tsn: The new cumulative TSN, as on the wire.
          streams: (stream, SSN) of the last ordered message that was skipped on each stream.
          out: Where what can now be delivered is appended.
          address: The peer's transport address that the chunk came from.
          id: The id of the association.

        Returns:
          Whether the message that was being delivered in pieces is among what was given up.
        """
        point = unwrap(wire_tsn, self.cumulative)
        aborted = False
        partial, before = self._partial, len(out)
        if point <= self.cumulative:
            return False
        for tsn in [tsn for tsn in self._ahead if tsn <= point]:
            del self._ahead[tsn]
        self.cumulative = point
        while self._ahead.pop(self.cumulative + 1, None) is not None:
            self.cumulative += 1
        self._highest = max(self._highest, point)
        for run in list(self._by_start.values()):
            if run.start > point and (run.start > point + 1 or run.parts[0].first):
                continue
            # The rest of the message will not come, nor its beginning if the point cuts it.
            del self._by_start[run.start], self._by_end[run.end]
            self.held -= run.size + self.parameters.chunk_overhead * run.chunks
            if run is self._partial:
                self._partial = None
                aborted = True
        for number, ssn in dict(streams).items():
            if number >= self.streams:
                continue
            stream = self._streams.setdefault(number, _Stream())
            skipped = (ssn - stream.next_ssn) & 0xFFFF
            if skipped >= 0x8000:
                continue
            # Whole messages up to that SSN are delivered; missing ones are skipped.
            whole = sorted((early - stream.next_ssn) & 0xFFFF for early in stream.waiting)
            for offset in whole:
                if offset > skipped:
                    break
                run = stream.waiting.pop((stream.next_ssn + offset) & 0xFFFF)
                out.append(self._joined(run, address, id))
            stream.next_ssn = (ssn + 1) & 0xFFFF
            self._next_turns(stream, out, address, id)
        if aborted:
            out[before:before] = self._held_back
            self._held_back = []
            self._held_back_cost = 0
        elif partial is not None:
            self._keep_apart(out, before, ended=False)
        return aborted
