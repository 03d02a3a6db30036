"""Streams that begin again, and streams that are added (RFC 6525).

Each end may have one request on its way.  Those of a program wait in a queue, and so does what
the peer asks us to ask of it: to reset our streams, which only we can do, or to add some.

    queue ──its turn──> ahead: its streams are held ──all before is acknowledged──> on its way
                                                                                       │
      done <──the peer's own request──  awaited  <──agreed, for the peer's streams─────┤
        ^──────────────────────────────────────────────────────────────────response───┘

The peer's requests are answered by their numbers: the next one is new, and the last two may come
again and get the answer that they had.  A reset that comes before the data that precedes it is "in
progress"; once that data is there, the peer hears of its success without having to ask again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final

from .._values import (
    AssociationReset,
    ReconfigurationFlags,
    ReconfigurationKind,
    ReconfigurationRequest,
    ReconfigurationResult,
    StreamChange,
    StreamReset,
)
from . import wire
from .bundling import Bundler
from .inbound import Inbound
from .outbound import Outbound
from .outlet import Outlet
from .parameters import Parameters
from .path import Path
from .paths import Paths
from .timers import RECONFIG
from .tsn import MASK

_Kind = ReconfigurationKind
_Result = ReconfigurationResult
_Flags = ReconfigurationFlags

STREAMS: Final = 1
ASSOCIATION: Final = 2
CHANGES: Final = 4
"""What `Parameters.grants` is a sum of, by RFC 6525 section 6.3.1."""

MOST_STREAMS: Final = 65535
_ALL: Final = range(MOST_STREAMS + 1)
_FARTHER: Final = 2**31
"""How far the peer's TSNs are moved on by a reset of the association (5.2.4, G1)."""
_LIFE: Final = 30.0
"""Seconds that a packet may live; after two resets of an association its TSNs might fit again."""
_MOST_TRIES: Final = 6
"""How often a request is made again that a peer refuses for what passes: within a minute or so."""
_SUCCESS: Final = (_Result.PERFORMED, _Result.NOTHING_TO_DO)
_ASKED_BACK: Final = (_Kind.RESET_INCOMING, _Kind.ADD_INCOMING)
"""What the other end does by a request of its own."""
_SIDE: Final = {
    _Kind.RESET_OUTGOING: _Flags.OUTGOING,
    _Kind.RESET_INCOMING: _Flags.INCOMING,
}


class _Request:
    """A request of ours.

    Attributes:
      kind: Which.
      streams: The streams to be reset; empty for all.
      count: How many streams to add.
      answers: The number of the peer's request for which it is made; -1 if it is the program's.
      answered: Is called with the result.
      number: Its own, once it is on its way.
      held: Whether streams are held for it.
      left: The streams that the peer has yet to reset, once it has reset others; else None.
      tries: How often it was refused for what passes, and was made again.
      earliest: When it may be made.
    """

    __slots__ = (
        "answered",
        "answers",
        "count",
        "earliest",
        "held",
        "kind",
        "left",
        "number",
        "streams",
        "tries",
    )

    def __init__(
        self,
        kind: int,
        streams: tuple[int, ...],
        count: int,
        answers: int,
        answered: Callable[[int], None] | None,
    ) -> None:
        self.kind: int = kind
        self.streams: tuple[int, ...] = streams
        self.count: int = count
        self.answers: int = answers
        self.answered: Callable[[int], None] | None = answered
        self.number: int = -1
        self.held: bool = False
        self.left: set[int] | None = None
        self.tries: int = 0
        self.earliest: float = -inf


class Reconfiguration:
    """The requests of both ends of an association, and their results.

    Attributes:
      outbound_streams: How many streams we may send on.
      inbound_streams: How many the peer may send on.
      renumbered: Whether TSNs have begun anew, or may have: SACKs may be for those before.
    """

    __slots__ = (
        "_asked_early",
        "_awaited",
        "_bundler",
        "_chunk",
        "_expected",
        "_id",
        "_inbound",
        "_next",
        "_not_before",
        "_our_tag",
        "_outbound",
        "_outlet",
        "_parameters",
        "_path",
        "_paths",
        "_patient",
        "_queue",
        "_request",
        "_reset_asked",
        "_reset_for",
        "_reset_number",
        "_results",
        "_sent",
        "_taken",
        "_timers",
        "_unsure",
        "_unsure_chunk",
        "_wait",
        "inbound_streams",
        "outbound_streams",
        "renumbered",
    )

    def __init__(
        self,
        id: int,
        our_tag: int,
        outlet: Outlet,
        parameters: Parameters,
        paths: Paths,
        outbound: Outbound,
        inbound: Inbound,
        bundler: Bundler,
        timers: list[float],
        first_tsns: tuple[int, int],
        streams: tuple[int, int],
    ) -> None:
        """``first_tsns`` are ours and the peer's, ``streams`` how many there are each way."""
        self._id: int = id
        self._our_tag: int = our_tag
        self._outlet: Outlet = outlet
        self._parameters: Parameters = parameters
        self._paths: Paths = paths
        self._outbound: Outbound = outbound
        self._inbound: Inbound = inbound
        self._bundler: Bundler = bundler
        self._timers: list[float] = timers
        self.outbound_streams: int = streams[0]
        self.inbound_streams: int = streams[1]
        self.renumbered: bool = False
        # Ours.
        self._next: int = first_tsns[0] & MASK  # the number of the next one
        self._queue: deque[_Request] = deque()
        self._request: _Request | None = None  # whose turn it is
        self._sent: wire.ReconfigRequest | None = None  # as it is on its way
        self._chunk: bytes = b""  # with which it is
        self._path: Path | None = None  # where that was sent last
        self._wait: float = 0.0  # seconds until it is sent again
        self._patient: bool = False  # the peer has answered, and is at it
        self._asked_early: bool = False  # since then, without waiting for the timer
        self._awaited: _Request | None = None  # what the peer has agreed to do, and has yet to
        self._unsure: int = -1  # number of the last one, if the peer may not have got it
        self._unsure_chunk: bytes = b""
        self._not_before: float = -inf  # when the association may be reset next
        # The peer's.
        self._expected: int = first_tsns[1] & MASK  # the number of the next one
        self._results: dict[int, wire.ReconfigResponse] = {}  # of the last two
        self._reset_number: int = -1  # of the one whose reset waits for data; -1 if none does
        self._reset_for: _Request | None = None  # our request that it fulfils
        self._reset_asked: int = -1  # of one to reset the association, for which we get ready
        self._taken: bool = False  # a chunk with requests was in the packet at hand

    # -- ours (5.1) ---

    def ask(
        self, request: ReconfigurationRequest, answered: Callable[[int], None], now: float
    ) -> Callable[[], bool]:
        """Put a request to the others; return what takes it back unless it is on its way.

        ``answered`` is called with its `ReconfigurationResult`.
        """
        own = _Request(request.kind, request.streams, request.added, -1, answered)
        self._queue.append(own)
        self.proceed(now)

        def take_back() -> bool:
            return self._take_back(own)

        return take_back

    def _take_back(self, request: _Request) -> bool:
        if request is self._awaited:
            request.answered = None  # the peer has agreed, and may take its time
            return True
        if request.number >= 0:
            return False
        if request is self._request:
            self._request = None
            self._let_go(request, reset=False)
            self._timers[RECONFIG] = inf
        elif request in self._queue:
            self._queue.remove(request)
        return True

    def proceed(self, now: float) -> bool:
        """Do what data has stood in the way of, if it does no longer.

        Returns whether data may leave that was held back.
        """
        asked = self._reset_asked
        if asked >= 0 and self._outbound.drained():
            self._reset_asked = -1
            self._reset_association(asked)
            self._answer([self._results[asked]], None)
            return True
        while self._request is None and self._queue and self._reset_asked < 0:
            first = self._queue[0]
            if first.kind == _Kind.RESET_ASSOCIATION:
                first.earliest = self._not_before
            if now < first.earliest:
                self._timers[RECONFIG] = first.earliest
                return False
            self._begin(self._queue.popleft())
        request = self._request
        if request is None or request.number >= 0:
            return False
        if request.held and not self._outbound.drained():
            return False
        self._send_request(request, now)
        return False

    def _begin(self, request: _Request) -> None:
        """Let no data leave that belongs behind a request, whose turn it is."""
        if not self._fits(request):
            self._finish(request, _Result.WRONG_STREAM)
            return
        self._request = request
        if request.kind == _Kind.RESET_ASSOCIATION:
            self._hold(request, _ALL)
        elif request.kind == _Kind.RESET_OUTGOING:
            self._hold(request, frozenset(request.streams) if request.streams else _ALL)

    def _fits(self, request: _Request) -> bool:
        """Whether there still are the streams of a request, and room for those it adds."""
        match request.kind:
            case _Kind.RESET_OUTGOING:
                return _are_below(request.streams, self.outbound_streams)
            case _Kind.RESET_INCOMING:
                return _are_below(request.streams, self.inbound_streams)
            case _Kind.ADD_OUTGOING:
                return self.outbound_streams + request.count <= MOST_STREAMS
            case _Kind.ADD_INCOMING:
                return self.inbound_streams + request.count <= MOST_STREAMS
            case _:
                return True

    def _hold(self, request: _Request, streams: range | frozenset[int]) -> None:
        request.held = True
        self._outbound.hold(streams)

    def _let_go(self, request: _Request, *, reset: bool) -> None:
        if request.held:
            request.held = False
            self._outbound.release(reset=reset)

    def _send_request(self, request: _Request, now: float) -> None:
        request.number = self._next
        self._next = (self._next + 1) & MASK
        if request.kind == _Kind.RESET_ASSOCIATION:
            self._not_before = now + _LIFE
            self.renumbered = True
            self._inbound.hold_all()  # the peer's answer may be overtaken
        answers = last_tsn = 0
        if request.kind == _Kind.RESET_OUTGOING:
            answers = (self._expected - 1) & MASK if request.answers < 0 else request.answers
            last_tsn = (self._outbound.next_tsn - 1) & MASK
        self._sent = wire.ReconfigRequest(
            request.kind, request.number, answers, last_tsn, request.streams, request.count
        )
        self._chunk = wire.reconfig_chunk(wire.Reconfig([], [self._sent]))
        self._patient = False
        path = self._paths.for_data()
        self._wait = path.rto
        self._send_chunk(path, now)

    def _send_chunk(self, path: Path, now: float) -> None:
        self._path = path
        self._bundler.control.append((path, self._chunk))
        self._timers[RECONFIG] = now + self._wait

    def expired(self, now: float) -> Path | None:
        """Send the request again (5.1.1; 5.2.7, H2); return the path that failed, if one has."""
        request, path = self._request, self._path
        if request is None or request.number < 0 or path is None:
            self.proceed(now)
            return None
        self._wait = min(2 * self._wait, self._parameters.rto_max)
        failed = None
        if not self._patient:
            path.back_off()
            failed = path
            path = self._paths.for_retransmission(path)
        self._send_chunk(path, now)
        return failed

    def _finish(self, request: _Request, result: int, next_tsns: tuple[int, int] = (0, 0)) -> None:
        """Conclude a request of ours, and say so."""
        success = result in _SUCCESS
        if request.kind == _Kind.RESET_ASSOCIATION:
            self._note_reset(self._inbound.go_on(next_tsns[0] if success else None))
            if success:
                self._outbound.renumber(next_tsns[1])
        self._let_go(request, reset=success)
        flags = _Flags(0)
        if not success:
            flags = _Flags.DENIED if result == _Result.DENIED else _Flags.FAILED
        match request.kind:
            case _Kind.RESET_OUTGOING | _Kind.RESET_INCOMING:
                if not success or request.kind == _Kind.RESET_OUTGOING:
                    self._report_reset(_SIDE[_Kind(request.kind)] | flags, request.streams)
            case _Kind.RESET_ASSOCIATION:
                self._report_association_reset(flags)
            case _Kind.ADD_OUTGOING:
                if success:
                    self.outbound_streams += request.count
                self._report_streams(flags)
            case _:
                if not success:
                    self._report_streams(flags)
        if request.answers >= 0 and request.answers in self._results:
            self._results[request.answers].result = result
        if request.answered is not None:
            request.answered(result)

    def _take_response(self, response: wire.ReconfigResponse, now: float) -> bool:
        """Section 5.2.7; return whether it was for the request that is on its way."""
        request = self._request
        if request is None or request.number < 0 or response.number != request.number:
            return False
        result = response.result
        if result == _Result.IN_PROGRESS:
            self._patient = True
            self._asked_early = False
            if self._path is not None:
                self._wait = self._path.rto
            self._timers[RECONFIG] = now + self._wait
            if request.kind == _Kind.RESET_ASSOCIATION and response.next_tsns is not None:
                self._inbound.take_below(response.next_tsns[0])
            return True
        if result not in (0, 1, 2, 3, 4, 5):
            result = _Result.FAILED
        if result == _Result.BAD_NUMBER and self._give_earlier(request, now):
            return True
        self._unsure = -1
        next_tsns = response.next_tsns
        if request.kind == _Kind.RESET_ASSOCIATION and result == _Result.PERFORMED:
            if next_tsns is None:
                result = _Result.FAILED
        elif result == _Result.NOTHING_TO_DO and request.kind == _Kind.RESET_ASSOCIATION:
            result = _Result.FAILED  # it has no TSNs to go on with
        self._is_over(request)
        if result == _Result.PERFORMED and request.kind in _ASKED_BACK:
            self._await(request)
        elif not (
            result == _Result.REQUEST_IN_PROGRESS
            and request.kind in _ASKED_BACK
            and self._ask_later(request, now)
        ):
            self._finish(request, result, next_tsns or (0, 0))
        return True

    def _give_earlier(self, request: _Request, now: float) -> bool:
        """Send the request before this one, whose number is bad since the peer has not got that.

        This one follows when its timer expires.  Returns whether that may be so.
        """
        path = self._path
        unsure = self._unsure >= 0 and request.number == (self._unsure + 1) & MASK
        if not unsure or path is None or request.tries >= _MOST_TRIES:
            return False
        self._wait = self._pause(request)
        self._patient = True
        self._bundler.control.append((path, self._unsure_chunk))
        self._timers[RECONFIG] = now + self._wait
        return True

    def _pause(self, request: _Request) -> float:
        """Return how many seconds pass until a request is made again: twice as many each time."""
        request.tries += 1
        return min(self._paths.for_data().rto * (1 << request.tries - 1), self._parameters.rto_max)

    def _ask_later(self, request: _Request, now: float) -> bool:
        """Make a request again for which the peer was busy with one of its own; return whether.

        That of the peer comes first, or has been lost and is on its way again.
        """
        if not self._owes_a_request():
            if request.tries >= _MOST_TRIES:
                return False
            request.earliest = now + self._pause(request)
        request.number = -1
        request.left = None
        self._queue.append(request)
        return True

    def _is_over(self, request: _Request) -> None:
        """Note that a request needs no further answer, and that the next one may leave."""
        self._request = None
        self._chunk = b""
        self._timers[RECONFIG] = inf

    def _is_answered(self, request: _Request) -> None:
        """Note that what the peer does of its own answers our request."""
        self._is_over(request)
        self._await(request)

    def _await(self, request: _Request) -> None:
        before, self._awaited = self._awaited, request
        if before is not None:
            self._finish(before, _Result.PERFORMED)
        if request.left is not None and not request.left:
            self._fulfilled(request)  # the answer was overtaken, or had been lost

    def _asked_for(self, kind: int, request: wire.ReconfigRequest) -> _Request | None:
        """Return our request which one of the peer's fulfils, if it does (5.2.2, E1)."""
        for own in (self._request, self._awaited):
            if own is None or own.number < 0 or own.kind != kind:
                continue
            if kind == _Kind.ADD_INCOMING:
                fits = own.count == request.count
            else:
                fits = own.number == request.answers and _covers(own.streams, request.streams)
            if fits:
                return own
        return None

    def _begins(self, own: _Request, streams: tuple[int, ...]) -> None:
        """Note that the peer begins to do what a request of ours asks for.

        If it resets all of the streams, that is its answer.  If it resets some, it may do so of
        itself, and what it says of ours is still to come.
        """
        if own is self._request and _covers(streams, own.streams):
            self._is_answered(own)

    def _has_reset(self, own: _Request, streams: tuple[int, ...]) -> None:
        """Note that the peer has reset these of its streams, of which none stands for all.

        It may reset some of those it was asked for now, and others later, as libusrsctp does.
        """
        if streams:
            if own.left is None:
                own.left = {*(own.streams or range(self.inbound_streams))}
            own.left.difference_update(streams)
        if not streams or not own.left:
            if own is self._request:
                self._is_answered(own)
            self._fulfilled(own)

    def _fulfilled(self, own: _Request) -> None:
        if own is self._awaited:
            self._awaited = None
            self._finish(own, _Result.PERFORMED)

    # -- the peer's (5.2) ---

    def begin_packet(self) -> None:
        """Take no more than one chunk with requests from the next packet: a peer sends no more."""
        self._taken = False

    def take(self, chunk: wire.Reconfig, path: Path | None, now: float) -> Path | None:
        """Take a RE-CONFIG chunk of the peer, which came on a path.

        Returns the path on which the peer has answered, if it has.
        """
        answered = None
        for response in chunk.responses:
            if self._take_response(response, now):
                answered = self._path
        if not chunk.requests or self._taken:
            return answered
        self._taken = True
        responses: list[wire.ReconfigResponse] = []
        for request in chunk.requests:
            respond = self._respond(request, now)
            if respond is not None:
                responses.append(respond)
        if responses and not self._answer_with_request(responses):
            self._answer(responses, path)
        return answered

    def _answer_with_request(self, responses: list[wire.ReconfigResponse]) -> bool:
        """Put a response to our request that answers another of the peer's; return whether.

        All that a chunk is answered with stands in one (5.2.1), if it may stand together (3.1).
        """
        control, sent = self._bundler.control, self._sent
        if sent is None or sent.kind != _Kind.RESET_OUTGOING or len(responses) > 1 or not control:
            return False
        path, chunk = control[-1]
        if path is not self._path or chunk != self._chunk:
            return False
        control[-1] = path, wire.reconfig_chunk(wire.Reconfig(responses, [sent]))
        return True

    def _answer(self, responses: list[wire.ReconfigResponse], path: Path | None) -> None:
        chunk = wire.reconfig_chunk(wire.Reconfig(responses, []))
        self._bundler.control.append((self._paths.to_answer(path), chunk))

    def _respond(self, request: wire.ReconfigRequest, now: float) -> wire.ReconfigResponse | None:
        """Do what the peer asks for; return the response, None if our own request is one."""
        number = request.number
        known = self._results.get(number)
        if known is None:
            if number != self._expected:
                return wire.ReconfigResponse(number, _Result.BAD_NUMBER, self._next_tsns(request))
            self._expected = (number + 1) & MASK
            while len(self._results) > 1:
                del self._results[next(iter(self._results))]
            known = wire.ReconfigResponse(number, _Result.DENIED, self._next_tsns(request))
            self._results[number] = known
            known.result = self._judge(request, now)
        elif known.result == _Result.IN_PROGRESS:
            known.next_tsns = self._next_tsns(request)
            if not self._is_at(number):
                known.result = self._judge(request, now)
        own = self._request
        if own is not None and own.answers == number and own.number >= 0:
            if known.result == _Result.IN_PROGRESS and (self._path, self._chunk) not in (
                self._bundler.control
            ):
                self._send_chunk(self._paths.for_data(), now)
            return None
        return known

    def _next_tsns(self, request: wire.ReconfigRequest) -> tuple[int, int] | None:
        """Return what a response has to say of TSNs, even one that refuses (5.1.7, D3 and D4)."""
        if request.kind != _Kind.RESET_ASSOCIATION:
            return None
        return self._outbound.next_tsn & MASK, (self._inbound.cumulative + 1) & MASK

    def _is_at(self, number: int) -> bool:
        """Whether a request of the peer is in progress, and will be finished here."""
        if number in (self._reset_number, self._reset_asked):
            return True
        return any(own.answers == number for own in (self._request, *self._queue) if own)

    def _judge(self, request: wire.ReconfigRequest, now: float) -> int:
        """Do what the peer asks for, or begin to; return the result."""
        grants = self._parameters.grants
        match request.kind:
            case _Kind.RESET_OUTGOING:
                own = self._asked_for(_Kind.RESET_INCOMING, request)
                if own is None and not grants & STREAMS:
                    return _Result.DENIED
                return self._reset_incoming(request, own)
            case _Kind.RESET_INCOMING:
                return self._ask_back(request, _Kind.RESET_OUTGOING, grants & STREAMS, now)
            case _Kind.RESET_ASSOCIATION:
                if not grants & ASSOCIATION:
                    return _Result.DENIED
                return self._get_ready_for_reset(request)
            case _Kind.ADD_OUTGOING:
                own = self._asked_for(_Kind.ADD_INCOMING, request)
                limit = self._parameters.inbound_streams if own is None else MOST_STREAMS
                granted = own is not None or grants & CHANGES
                if not granted or not 0 < request.count <= limit - self.inbound_streams:
                    return _Result.DENIED
                return self._add_incoming(request, own)
            case _:
                if not 0 < request.count <= MOST_STREAMS - self.outbound_streams:
                    return _Result.DENIED
                return self._ask_back(request, _Kind.ADD_OUTGOING, grants & CHANGES, now)

    def _reset_incoming(self, request: wire.ReconfigRequest, own: _Request | None) -> int:
        """Section 5.2.2."""
        if not _are_below(request.streams, self.inbound_streams):
            return _Result.WRONG_STREAM
        if self._reset_number >= 0:
            return _Result.REQUEST_IN_PROGRESS
        if not self._has_room():
            return _Result.IN_PROGRESS
        if own is not None:
            self._begins(own, request.streams)
        self._reset_for = own
        self._reset_number = request.number
        self._inbound.reset_at(request.last_tsn, request.streams)
        return _Result.PERFORMED if self._finish_reset() else _Result.IN_PROGRESS

    def data_taken(self, now: float) -> None:
        """Finish a reset that has waited for data, if it has come, and tell the peer."""
        if self._patient and not self._asked_early and self._inbound.is_filled_up:
            # What is held may be what the peer has to send before it can begin.
            self._asked_early = True
            self._send_chunk(self._paths.for_data(), now)
        number = self._reset_number
        if number >= 0 and self._finish_reset() and number in self._results:
            response = self._results[number]
            response.result = _Result.PERFORMED
            self._answer([response], None)

    def _finish_reset(self) -> bool:
        streams = self._inbound.finish_reset()
        if streams is None:
            return False
        self._reset_is_done(streams)
        return True

    def _reset_is_done(self, streams: tuple[int, ...]) -> None:
        own, self._reset_for = self._reset_for, None
        self._reset_number = -1
        self._report_reset(_Flags.INCOMING, streams)
        if own is not None:
            self._has_reset(own, streams)

    def _add_incoming(self, request: wire.ReconfigRequest, own: _Request | None) -> int:
        """Section 5.2.5."""
        if not self._has_room():
            return _Result.IN_PROGRESS
        self.inbound_streams += request.count
        self._inbound.add_streams(request.count)
        self._report_streams(_Flags(0))
        if own is not None:
            if own is self._request:
                # Perhaps the peer has done so of itself, and has yet to get our request.
                self._unsure, self._unsure_chunk = own.number, self._chunk
                self._is_answered(own)
            self._fulfilled(own)
        return _Result.PERFORMED

    def _ask_back(self, request: wire.ReconfigRequest, kind: int, granted: int, now: float) -> int:
        """Sections 5.2.3 and 5.2.6: have a request of ours do what the peer asks for."""
        if not granted:
            return _Result.DENIED
        if not _are_below(request.streams, self.outbound_streams):
            return _Result.WRONG_STREAM
        own = self._request
        if (
            own is not None
            and own.number >= 0
            and own.kind == kind == _Kind.RESET_OUTGOING
            and _covers(own.streams, request.streams)
        ):
            return _Result.NOTHING_TO_DO
        if self._owes_a_request():
            # One that has left has its answer under way, or else the peer would not ask again.
            has_left = own is not None and own.number >= 0 and own.answers >= 0
            return _Result.IN_PROGRESS if has_left else _Result.REQUEST_IN_PROGRESS
        if (
            own is not None
            and own.number >= 0
            and own.kind in _ASKED_BACK
            and self._our_tag > self._bundler.their_tag
        ):
            # Each end would wait for the other's: one has to give way.
            return _Result.REQUEST_IN_PROGRESS
        if not self._has_room():
            return _Result.IN_PROGRESS
        # It comes before those that may wait for the peer.
        self._queue.appendleft(_Request(kind, request.streams, request.count, request.number, None))
        self.proceed(now)
        return _Result.IN_PROGRESS

    def _owes_a_request(self) -> bool:
        """Whether there is a request of ours for one of the peer's."""
        return any(own.answers >= 0 for own in (self._request, *self._queue) if own is not None)

    # -- the whole association (5.2.4) ---

    def _get_ready_for_reset(self, request: wire.ReconfigRequest) -> int:
        """Reset the association, or let no new data leave until it can be."""
        if self._request is not None:
            return _Result.REQUEST_IN_PROGRESS
        if not self._has_room():
            return _Result.IN_PROGRESS
        self._outbound.hold(_ALL)
        if self._outbound.drained():
            self._reset_association(request.number)
            return _Result.PERFORMED
        self._reset_asked = request.number
        return _Result.IN_PROGRESS

    def _reset_association(self, number: int) -> None:
        outbound = self._outbound
        theirs = (self._inbound.cumulative + 1 + _FARTHER) & MASK
        self._note_reset(self._inbound.renumber(theirs))
        outbound.release(reset=True)
        self.renumbered = True
        response = self._results[number]
        response.result = _Result.PERFORMED
        response.next_tsns = (outbound.next_tsn & MASK, theirs)
        self._report_association_reset(_Flags(0))

    def _note_reset(self, streams: tuple[int, ...] | None) -> None:
        """Note that a reset of streams that has waited was overtaken by that of all."""
        if streams is not None:
            if self._reset_number in self._results:
                self._results[self._reset_number].result = _Result.PERFORMED
            self._reset_is_done(streams)

    # -- the end ---

    def give_up(self) -> None:
        """End all requests of ours: the peer answers none any more."""
        self._timers[RECONFIG] = inf
        if self._reset_asked >= 0:
            self._reset_asked = -1
            self._outbound.release(reset=False)
        requests = [own for own in (self._awaited, self._request, *self._queue) if own is not None]
        self._queue.clear()
        self._request = self._awaited = None
        for own in requests:
            if own.held and own.number >= 0:
                own.held = False
                self._outbound.fail_waiting()
                if own.kind == _Kind.RESET_ASSOCIATION:
                    self._inbound.go_on(None)
            self._let_go(own, reset=False)
            if own.answered is not None:
                own.answered(_Result.GIVEN_UP)

    # -- what programs are told (6.1) ---

    def _has_room(self) -> bool:
        """Whether one more event may be queued that the peer has brought about.

        If nobody takes them, the peer has to wait with its next request.
        """
        unread = self._outlet.arrivals.of(self._id)
        return unread is None or unread.reconfigured <= self._parameters.max_error_bytes

    def _report_reset(self, flags: ReconfigurationFlags, streams: tuple[int, ...]) -> None:
        if self._parameters.report_resets:
            self._outlet.report(StreamReset(association_id=self._id, flags=flags, streams=streams))

    def _report_association_reset(self, flags: ReconfigurationFlags) -> None:
        if self._parameters.report_resets:
            self._outlet.report(
                AssociationReset(
                    association_id=self._id,
                    flags=flags,
                    local_tsn=self._outbound.next_tsn & MASK,
                    remote_tsn=(self._inbound.cumulative + 1) & MASK,
                )
            )

    def _report_streams(self, flags: ReconfigurationFlags) -> None:
        self._outlet.report(
            StreamChange(
                association_id=self._id,
                flags=flags,
                inbound_streams=self.inbound_streams,
                outbound_streams=self.outbound_streams,
            )
        )


def _are_below(streams: tuple[int, ...], count: int) -> bool:
    """Whether all of these are streams, of so many, and none is named more often than it may be."""
    return len(streams) <= count and (not streams or max(streams) < count)


def _covers(streams: tuple[int, ...], others: tuple[int, ...]) -> bool:
    """Whether all of the others are among these streams; none stands for all."""
    return not streams or (others != () and {*others} <= {*streams})
