"""Which stream's message is sent next (RFC 8260 section 3).

First come, first served needs no more than one queue, which `Outbound` keeps itself.  All other
schedulers choose between streams, and have a queue for each stream that has something to send:

    streams with messages ──smallest turn first──> the first message of that stream

A turn is a number.  What it says is all that tells the schedulers apart:

    FCFS                     when the stream's first message was queued
    ROUND_ROBIN, _PACKET     nothing: streams with the same turn follow one another
    PRIORITY                 the stream's value
    FAIR_BANDWIDTH           bytes that the stream has sent
    WEIGHTED_FAIR            bytes that the stream has sent, divided by its value

Streams are kept in a heap, so that the cost of a message grows with the logarithm of their number.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from .._options import Scheduler

if TYPE_CHECKING:
    from .outbound import OutgoingMessage

_NOTHING: Final[deque[OutgoingMessage]] = deque(maxlen=0)
_SCALE: Final = 2**16
"""The largest weight: with turns in such fractions of a byte, each weight makes a difference."""
_STALE: Final = 64


class _Stream:
    """The messages of one stream that wait to be sent.

    Attributes:
      number: The stream's.
      messages: They; the first is never one that was given up.
      gone: Number of those among them that were given up.
      turn: When it is next, as far as its own past says: bytes that it has sent, scaled.
      place: Where it stands among streams with the same turn, as in its one valid entry of the
        heap; -1 if it has none.
    """

    __slots__ = ("gone", "messages", "number", "place", "turn")

    def __init__(self, number: int) -> None:
        self.number: int = number
        self.messages: deque[OutgoingMessage] = _NOTHING
        self.gone: int = 0
        self.turn: int = 0
        self.place: int = -1


class Schedule:
    """Messages that wait, by stream, and whose turn it is.

    Without interleaving, a message that has begun is ended first.

    Attributes:
      kind: The scheduler.
      values: The value of each stream that was given one.
      interleaving: Whether another stream's message may follow a part of one.
      count: Number of the messages, some of which were given up.
    """

    __slots__ = (
        "_arrived",
        "_current",
        "_filling",
        "_heap",
        "_now",
        "_places",
        "_ready",
        "_served",
        "_streams",
        "count",
        "interleaving",
        "kind",
        "values",
    )

    def __init__(self, kind: Scheduler, values: dict[int, int], *, interleaving: bool) -> None:
        self.kind: Scheduler = kind
        self.values: dict[int, int] = values
        self.interleaving: bool = interleaving
        self.count: int = 0
        self._streams: dict[int, _Stream] = {}
        # (turn, place, stream), with some that are no longer valid.
        self._heap: list[tuple[int, int, _Stream]] = []
        self._ready: int = 0  # number of the valid ones
        self._places: int = 0
        self._arrived: int = 0
        # The stream that goes on until its message ends, or until the packet is full.
        self._current: _Stream | None = None
        # The stream that had the last turn.  One that has a message only now comes before it.
        self._served: _Stream | None = None
        self._now: int = 0  # the turn that was last: a stream that was idle begins there
        self._filling: bool = False  # a packet that has something of this stream already

    # -- what waits ---

    def add(self, message: OutgoingMessage) -> None:
        """Put a message behind the others of its stream."""
        number = message.info.stream
        stream = self._streams.get(number)
        if stream is None:
            stream = self._streams[number] = _Stream(number)
        message.arrival = self._arrived
        self._arrived += 1
        self.count += 1
        if stream.messages:
            stream.messages.append(message)
            return
        stream.messages = deque((message,))
        if stream.turn < self._now:
            stream.turn = self._now
        if stream is not self._current:
            self._line_up(stream)
            served = self._served
            if served is not None and served.place >= 0 and served is not stream:
                self._line_up(served)

    def messages(self) -> list[OutgoingMessage]:
        """Return all messages that were not given up, in the order in which they came."""
        return sorted(self.unordered(), key=_arrival)

    def unordered(self) -> Iterator[OutgoingMessage]:
        """Go through all messages that were not given up, in no particular order."""
        for stream in self._streams.values():
            for message in stream.messages:
                if not message.abandoned:
                    yield message

    def next(self) -> OutgoingMessage | None:
        """Return the message whose turn it is; None if there is none, or none for this packet."""
        current = self._current
        if current is None:
            heap = self._heap
            while heap:
                entry = heap[0]
                if entry[1] == entry[2].place:
                    return entry[2].messages[0]
                heapq.heappop(heap)
            return None
        return current.messages[0] if current.messages else None

    # -- turns ---

    def go_on_with(self, number: int) -> None:
        """Have a stream go on whose first message has begun."""
        stream = self._streams[number]
        self._step_back(stream)
        self._current = stream

    def took(self, message: OutgoingMessage, size: int) -> None:
        """Note that a chunk was made of so many bytes of the message whose turn it is."""
        stream = self._streams[message.info.stream]
        value = self.values.get(stream.number, 1) if self.kind is Scheduler.WEIGHTED_FAIR else 1
        ended = message.offset == len(message.data)
        if self._current is None:
            heapq.heappop(self._heap)
            stream.place = -1
            self._ready -= 1
            self._now = max(self._now, stream.turn)
            self._current = stream
        self._filling = True
        stream.turn += size * _SCALE // max(value, 1)
        if ended:
            self._leave_out_first(stream)
        if self.kind is not Scheduler.ROUND_ROBIN_PACKET and (ended or self.interleaving):
            self._end_turn()

    def packet_is_full(self) -> None:
        """Let another stream fill the next packet, if the scheduler has one packet for each."""
        self._filling = False
        stream = self._current
        if stream is not None and (
            self.interleaving or not stream.messages or not stream.messages[0].offset
        ):
            self._end_turn()

    def _end_turn(self) -> None:
        stream = self._current
        self._current = None
        self._served = stream
        if stream is not None and stream.messages:
            self._line_up(stream)
        elif not self.count:
            # All begins anew, and nobody has to remember what was sent.
            self._served = None
            self._streams.clear()
            self._heap.clear()
            self._ready = self._now = self._places = 0

    def _line_up(self, stream: _Stream) -> None:
        """Put a stream that has messages where its turn is."""
        kind = self.kind
        if kind is Scheduler.FCFS:
            turn = stream.messages[0].arrival
        elif kind is Scheduler.PRIORITY:
            turn = self.values.get(stream.number, 0)
        elif kind is Scheduler.FAIR_BANDWIDTH or kind is Scheduler.WEIGHTED_FAIR:
            turn = stream.turn
        else:
            turn = 0
        heap = self._heap
        if len(heap) > 2 * self._ready + _STALE:
            heap[:] = [entry for entry in heap if entry[1] == entry[2].place]
            heapq.heapify(heap)
        if stream.place < 0:
            self._ready += 1
        stream.place = self._places
        self._places += 1
        heapq.heappush(heap, (turn, stream.place, stream))

    def _step_back(self, stream: _Stream) -> None:
        """Take a stream out of those that wait for their turn."""
        if stream.place >= 0:
            stream.place = -1
            self._ready -= 1

    # -- changes ---

    def forget_abandoned(self, message: OutgoingMessage) -> None:
        """Leave out a message that was given up while some or all of it waited."""
        stream = self._streams[message.info.stream]
        if stream.messages[0] is not message:
            stream.gone += 1
            if 2 * stream.gone > len(stream.messages):
                kept = [message for message in stream.messages if not message.abandoned]
                self.count -= stream.gone
                stream.gone = 0
                stream.messages = deque(kept)
            return
        self._leave_out_first(stream)
        if stream is self._current:
            if self.kind is not Scheduler.ROUND_ROBIN_PACKET or not self._filling:
                self._end_turn()
            return
        if not stream.messages:
            self._step_back(stream)
            if not self.count:
                self._end_turn()
        elif self.kind is Scheduler.FCFS:
            self._line_up(stream)

    def _leave_out_first(self, stream: _Stream) -> None:
        messages = stream.messages
        messages.popleft()
        self.count -= 1
        while stream.gone and messages[0].abandoned:
            messages.popleft()
            stream.gone -= 1
            self.count -= 1
        if not messages:
            stream.messages = _NOTHING

    def value_changed(self, number: int) -> None:
        """Let a stream have its new value at once, if its message waits."""
        if self.kind is Scheduler.PRIORITY:
            stream = self._streams.get(number)
            if stream is not None and stream.place >= 0:
                self._line_up(stream)


def _arrival(message: OutgoingMessage) -> int:
    return message.arrival
