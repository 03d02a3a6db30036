"""Receiving user data whose messages are interleaved (RFC 8260 sections 2.2.3 and 2.3.1).

TSNs say what has arrived and what is acknowledged, as always: that is `Inbound`'s.  What belongs
together is told by the stream, by whether there is order, by the MID and by the FSN instead:

    arrived ──incomplete──> the fragments of its message, by FSN ──whole──┐
       └── whole ─────────────────────────────────────────────────────────┴─> its turn, by MID

Several messages may be delivered in pieces at the same time, each on its own.
"""

from __future__ import annotations

from array import array
from typing import Final

from .._values import PartialDeliveryAborted
from .arrivals import Unread
from .inbound import Inbound, Violation
from .parameters import Parameters
from .parts import CHUNK_COST, Parts, SortedParts, cost_of
from .tsn import MASK, unwrap
from .wire import FIRST, I_DATA_CHUNK, I_DATA_OVERHEAD, LAST, UNORDERED, Data, IData

MESSAGE_COST: Final = 512
"""Bytes that an incomplete message takes beside its chunks."""
_SKIPPED_COST: Final = 128  # bytes that a number takes which is kept for one stream
_HALF: Final = 2**31
_OUTDATED: Final = 2**30
"""TSNs after which nothing comes any more of a message that the peer gave up, while fewer than half
of all MIDs have been used."""


class _Incomplete:
    """The fragments of a message of which others are missing.

    Attributes:
      parts: Those at its beginning that nothing is missing before.  Once some were delivered, the
        first is only the header of the message's first chunk, and stands for them.
      cost: Bytes of memory that all fragments take.
      partial: Whether some were delivered.
    """

    __slots__ = ("_farthest", "_last", "_later", "_next", "cost", "partial", "parts")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.cost: int = 0
        self.partial: bool = False
        self._next: int = 0  # the first FSN that is missing
        self._last: int = -1  # the FSN of the message's end; -1 if that has not come
        self._farthest: int = -1  # the largest FSN that has come
        self._later: SortedParts | None = None  # runs of fragments, by the FSN of the first

    @property
    def whole(self) -> bool:
        """Whether no fragment is missing."""
        return 0 <= self._last < self._next

    def add(self, data: Data, behind: int) -> None:
        """Add a fragment; raise `Violation` if it contradicts others.

        ``behind`` is how much its FSN is too small.
        """
        raw = data.raw
        if data.flags & FIRST:
            number = 0
        else:
            number = unwrap((data.ppid + behind) & MASK, self._next)
            if number == 0:
                raise Violation("a fragment with the number of the first that is not the first")
        if number < self._next or number == self._farthest:
            raise Violation("two fragments with the same number")
        if data.flags & LAST:
            if self._last >= 0 or number < self._farthest:
                raise Violation("fragments behind the end of their message")
            self._last = number
        elif 0 <= self._last < number:
            raise Violation("fragments behind the end of their message")
        if number > self._farthest:
            self._farthest = number
        self.cost += len(raw) + CHUNK_COST
        later = self._later
        if number > self._next:
            if later is None:
                later = self._later = SortedParts()
            _put(later, number, raw)
            return
        self.parts.append(raw)
        self._next += 1
        if later is not None:
            while (run := later.pop(self._next)) is not None:
                if isinstance(run, bytes):
                    self.parts.append(run)
                    self._next += 1
                else:
                    self.parts += run
                    self._next += len(run)
            if not later.count:
                self._later = None

    def take_parts(self) -> list[bytes]:
        """Take the fragments at the beginning, which are delivered as a piece."""
        parts = self.parts
        header = parts[0][:I_DATA_OVERHEAD]
        self.cost += len(header) + CHUNK_COST - cost_of(parts)
        self.parts = [header]
        self.partial = True
        return parts


def _put(runs: SortedParts, number: int, raw: bytes) -> None:
    """Add a fragment to the run that it continues, or as the first of a new one."""
    found = runs.last_through(number)
    if found is not None:
        start, parts = found
        run = [parts] if isinstance(parts, bytes) else parts
        if number < start + len(run):
            raise Violation("two fragments with the same number")
        if number == start + len(run):
            run.append(raw)
            if isinstance(parts, bytes):
                runs.put(start, run)
            return
    runs.put(number, raw)


class InterleavedInbound(Inbound):
    """The receiving half of an association whose messages are interleaved.

    What `Inbound` calls SSN is a MID here: chunks are `wire.IData`.
    """

    def __init__(
        self,
        parameters: Parameters,
        initial_tsn: int,
        streams: int,
        unread: Unread,
        *,
        late_numbers: bool,
    ) -> None:
        super().__init__(parameters, initial_tsn, streams, unread)
        # How much the FSNs are too small of a peer that counts from 0 behind the first.
        self._behind: int = 1 if late_numbers else 0
        self._overhead = I_DATA_OVERHEAD
        self._next_mids: array[int] = array("I")  # whose turn it is, by stream; 0 beyond its end
        # Incomplete messages by MID, by order: see `wire.IForwardTsn`.
        self._incomplete: dict[int, dict[int, _Incomplete]] = {}
        # Last MID of unordered messages, and the TSN up to which it was skipped, by stream.
        self._skipped: dict[int, tuple[int, int]] = {}

    def arrive(self, data: Data) -> bool:
        """Take in an I-DATA chunk, as `Inbound` takes in a DATA chunk."""
        if type(data) is not IData:
            raise Violation("DATA although I-DATA was agreed on")
        return super().arrive(data)

    # -- order ---

    def _turn(self, stream: int) -> int:
        """Return the MID of the ordered message that is delivered next."""
        return self._next_mids[stream] if stream < len(self._next_mids) else 0

    def _reach(self, stream: int) -> None:
        """Have room for the MIDs of the streams up to this one."""
        mids = self._next_mids
        if stream >= len(mids):
            mids.extend(array("I", bytes(mids.itemsize * (stream + 1 - len(mids)))))
            self._count_streams()

    def _count_streams(self) -> None:
        mids = self._next_mids
        self.streams_cost = mids.itemsize * len(mids) + _SKIPPED_COST * len(self._skipped)

    def _take_turn(self, stream: int, ssn: int, parts: Parts) -> None:
        mid = ssn  # as it is called here
        if self._incomplete and mid in self._incomplete.get(2 * stream, ()):
            raise Violation("two messages with the same message identifier")
        turn = self._turn(stream)
        if mid != turn:
            if (mid - turn) & MASK >= _HALF:
                return  # the peer has given it up before
            if not self._waiting.put(stream << 32 | mid, parts):
                raise Violation("two messages with the same message identifier")
            self.held += cost_of(parts)
            return
        self._reach(stream)
        self._next_mids[stream] = (mid + 1) & MASK
        self._deliver(parts)
        self._next_turns(stream)

    def _next_turns(self, stream: int) -> None:
        mids, waiting = self._next_mids, self._waiting
        if waiting.count:
            while (parts := waiting.pop(stream << 32 | mids[stream])) is not None:
                mids[stream] = (mids[stream] + 1) & MASK
                self.held -= cost_of(parts)
                self._deliver(parts)
        messages = self._incomplete.get(2 * stream)
        if messages is not None:
            message = messages.get(mids[stream])
            if message is not None:
                self._deliver_begun(message)

    # -- fragments ---

    def _take_fragment(self, tsn: int, data: Data, fills: bool) -> None:
        stream, mid = data.stream, data.ssn
        unordered = data.flags & UNORDERED != 0
        order = 2 * stream + unordered
        messages = self._incomplete.get(order)
        message = None if messages is None else messages.get(mid)
        if message is None:
            if self._is_over(stream, mid, unordered, tsn):
                return
            if messages is None:
                messages = self._incomplete[order] = {}
            message = messages[mid] = _Incomplete()
            self.held += MESSAGE_COST
        assert messages is not None
        before = message.cost
        message.add(data, self._behind)
        self.held += message.cost - before
        if message.whole:
            self._forget(order, mid)
            if unordered:
                self._deliver(message.parts)
            else:
                self._take_turn(stream, mid, message.parts)
        elif unordered or mid == self._turn(stream):
            self._deliver_begun(message)

    def _is_over(self, stream: int, mid: int, unordered: bool, tsn: int) -> bool:
        """Whether a message is not waited for any more, since the peer has given it up.

        ``tsn`` is that of a part of it, or the cumulative TSN.
        """
        if not unordered:
            return (mid - self._turn(stream)) & MASK >= _HALF
        skipped = self._skipped.get(stream)
        if skipped is None:
            return False
        last, point = skipped
        return (last - mid) & MASK < _HALF and tsn - point < _OUTDATED

    def _forget(self, order: int, mid: int) -> _Incomplete:
        """Take an incomplete message out."""
        messages = self._incomplete[order]
        message = messages.pop(mid)
        if not messages:
            del self._incomplete[order]
        self.held -= message.cost + MESSAGE_COST
        return message

    def _deliver_begun(self, message: _Incomplete) -> None:
        """Deliver what there is of a message whose turn it is, if its end is not to be waited for.

        Its last part will be a message.
        """
        if not message.parts or (message.partial and len(message.parts) == 1):
            return
        parameters = self.parameters
        # When half of the window is taken by what cannot be delivered, the rest may find no room.
        if (
            message.partial
            or self.held * 2 >= parameters.receive_window
            or 0 < parameters.partial_delivery_point <= message.cost
        ):
            before = message.cost
            parts = message.take_parts()
            self.held += message.cost - before
            self.unread.cumulative = self.cumulative
            self.unread.deliver_piece(parts)

    # -- skipping (RFC 8260 section 2.3.1) ---

    def _skip(self, point: int, streams: list[tuple[int, int]]) -> None:
        """Do for the streams what an I-FORWARD-TSN says; they are those of `wire.IForwardTsn`."""
        # Each order is looked at once, however often it is named.
        for order, mid in dict(streams).items():
            stream = order >> 1
            if stream >= self.streams:
                continue
            if order & 1:
                self._skip_unordered(stream, mid)
            else:
                self._skip_ordered(stream, mid)

    def _skip_unordered(self, stream: int, mid: int) -> None:
        if self._is_over(stream, mid, True, self.cumulative):
            return
        self._skipped[stream] = mid, self.cumulative
        self._count_streams()
        self._give_up(2 * stream + 1, mid)

    def _skip_ordered(self, stream: int, mid: int) -> None:
        first = self._turn(stream)
        if (mid - first) & MASK >= _HALF:
            return
        self._reach(stream)
        self._next_mids[stream] = (mid + 1) & MASK
        self._give_up(2 * stream, mid)
        self._deliver_through(stream, first, mid)
        self._next_turns(stream)

    def _deliver_through(self, stream: int, first: int, last: int) -> None:
        waiting = self._waiting
        if not waiting.count:
            return
        base = stream << 32
        if first <= last:
            whole = waiting.pop_range(base + first, base + last)
        else:
            whole = waiting.pop_range(base + first, base + MASK)
            whole += waiting.pop_range(base, base + last)
        for parts in whole:
            self.held -= cost_of(parts)
            self._deliver(parts)

    def _give_up(self, order: int, last: int) -> None:
        """Drop the incomplete messages of an order up to a MID."""
        mids = self._incomplete.get(order, ())
        self._drop(order, [mid for mid in mids if (last - mid) & MASK < _HALF])

    def _drop(self, order: int, mids: list[int]) -> None:
        """Drop incomplete messages."""
        for mid in mids:
            if self._forget(order, mid).partial:
                self.unread.report(
                    PartialDeliveryAborted(
                        association_id=self.unread.id,
                        indication=0,
                        stream=order >> 1,
                        ssn=mid & 0xFFFF,
                        unordered=order & 1 != 0,
                        mid=mid,
                    )
                )

    def _drop_fragments(self, point: int) -> None:
        """Drop all incomplete messages; TSNs do not tell which."""
        for order, messages in list(self._incomplete.items()):
            self._drop(order, list(messages))

    # -- streams that begin again (2.3.2) ---

    def _chunk(self, raw: bytes) -> Data:
        _, flags, _, wire_tsn, stream, mid, number = I_DATA_CHUNK.unpack_from(raw)
        return IData(wire_tsn, stream, mid, number, raw, flags)

    def _begin_stream_anew(self, stream: int) -> None:
        for order in (2 * stream, 2 * stream + 1):
            self._drop(order, list(self._incomplete.get(order, ())))
        first = self._turn(stream)
        self._deliver_through(stream, first, (first - 1) & MASK)
        if first:
            self._next_mids[stream] = 0
        if self._skipped.pop(stream, None) is not None:
            self._count_streams()

    def _begin_streams_anew(self) -> None:
        while self._waiting.count:
            self._begin_stream_anew(self._waiting.first() >> 32)
        self._drop_fragments(0)
        self._next_mids = array("I")
        self._skipped = {}
        self._count_streams()
