"""The requests that a program makes of a peer: to reset streams, or to add some (RFC 6525).

An association has one on its way at a time, so tasks make them in turn.  One that is on its way
cannot be taken back: whoever is cancelled leaves it to its fate, and the next waits until the peer
has answered.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final, cast

import trio

from .._checks import check_integer, shown
from .._errors import ASSOCIATION_GONE, OptionUnsupported, ReconfigurationFailed
from .._values import (
    MOST_STREAMS_NAMED,
    ReconfigurationKind,
    ReconfigurationRequest,
    ReconfigurationResult,
)
from .waiter import Waiter

if TYPE_CHECKING:
    from .tcb import Tcb

_Kind = ReconfigurationKind
_Result = ReconfigurationResult

_MOST_STREAMS: Final = 65535
_SUCCESS: Final = (_Result.PERFORMED, _Result.NOTHING_TO_DO)
_WHAT: Final = {
    _Kind.RESET_OUTGOING: "to let outgoing streams begin again",
    _Kind.RESET_INCOMING: "to let incoming streams begin again",
    _Kind.RESET_ASSOCIATION: "to let the association begin again",
    _Kind.ADD_OUTGOING: "to take more outgoing streams",
    _Kind.ADD_INCOMING: "to add incoming streams",
}
_WHY: Final = {
    _Result.WRONG_STREAM: "there is no such stream",
    _Result.REQUEST_IN_PROGRESS: "a request of its own is on its way",
    _Result.BAD_NUMBER: "the request has a wrong number",
    _Result.GIVEN_UP: "it has begun anew, or shuts down",
}


class Requests:
    """The requests for one association, which tasks make in turn."""

    __slots__ = ("_answered", "_tcb", "_turns", "_under_way")

    def __init__(self, tcb: Tcb) -> None:
        self._tcb = tcb
        self._turns: list[object] = []
        self._under_way: bool = False  # one whose task may have gone
        self._answered: Callable[[int], None] = _nobody

    async def reset_streams(
        self, outgoing: Collection[int] | None, incoming: Collection[int] | None
    ) -> None:
        """Have streams of either direction begin again."""
        if outgoing is None and incoming is None:
            raise ValueError("name the streams to be reset: outgoing=, incoming= or both")
        sides = (("outgoing", outgoing), ("incoming", incoming))
        lists = [_listed(name, streams) for name, streams in sides]
        await self._set_up()
        tcb = self._tcb
        requests: list[ReconfigurationRequest] = []
        for kind, streams, (name, _), count in zip(
            (_Kind.RESET_OUTGOING, _Kind.RESET_INCOMING),
            lists,
            sides,
            (tcb.outbound_streams, tcb.inbound_streams),
            strict=True,
        ):
            if streams is not None:
                requests.append(ReconfigurationRequest(kind, _to_reset(name, streams, count)))
        await self._make(requests)

    async def reset_association(self) -> None:
        """Have TSNs and all streams begin again."""
        await self._set_up()
        await self._make([ReconfigurationRequest(_Kind.RESET_ASSOCIATION)])

    async def add_streams(self, outgoing: int, incoming: int) -> None:
        """Have streams added."""
        for name, count in (("outgoing", outgoing), ("incoming", incoming)):
            check_integer(name, count, 0, _MOST_STREAMS)
        if not outgoing and not incoming:
            raise ValueError("say how many streams to add: outgoing=, incoming= or both")
        await self._set_up()
        tcb = self._tcb
        for name, count, now in (
            ("outgoing", outgoing, tcb.outbound_streams),
            ("incoming", incoming, tcb.inbound_streams),
        ):
            if now + count > _MOST_STREAMS:
                raise ValueError(
                    f"{count} more {name} streams are too many: there are {now}, and at most "
                    f"{_MOST_STREAMS}"
                )
        kinds = ((_Kind.ADD_OUTGOING, outgoing), (_Kind.ADD_INCOMING, incoming))
        await self._make(
            [ReconfigurationRequest(kind, added=count) for kind, count in kinds if count]
        )

    def restarted(self) -> None:
        """Wait no longer for the answer: the peer has begun anew, and has forgotten the request."""
        if self._under_way:
            self._answered(_Result.GIVEN_UP)

    async def _set_up(self) -> None:
        tcb = self._tcb
        tcb.socket.sender.check_alive(tcb)
        await trio.lowlevel.checkpoint()
        await tcb.wait_set_up()
        tcb.socket.sender.check_alive(tcb)

    async def _make(self, requests: list[ReconfigurationRequest]) -> None:
        """Make requests, one after another; after one that fails no other is made."""
        tcb = self._tcb
        turn = object()
        self._turns.append(turn)
        try:
            for request in requests:
                while self._turns[0] is not turn or self._under_way:
                    tcb.socket.sender.check_alive(tcb)
                    await tcb.wait_changed(ask=False)
                result = await self._ask(request)
                if result == _Result.GIVEN_UP:
                    tcb.socket.intake.poll_state(tcb)
                    if tcb.end is not None:
                        tcb.socket.sender.check_alive(tcb)
                if result not in _SUCCESS:
                    raise _failure(request.kind, result)
                if request.added:
                    tcb.socket.learn_streams(tcb)
        finally:
            self._turns.remove(turn)
            tcb.wake()

    async def _ask(self, request: ReconfigurationRequest) -> int:
        """Make one request, and wait for what comes of it."""
        tcb = self._tcb
        result = -1
        waiter = Waiter(state_only=True)

        def answered(number: int) -> None:
            nonlocal result
            result = number
            self._under_way = False
            tcb.wake()

        self._under_way = True
        self._answered = answered
        try:
            take_back = await tcb.socket.sender.in_turn(
                tcb, lambda: tcb.socket.reconfigure(tcb, request, answered)
            )
        except BaseException:
            self._under_way = False
            raise
        tcb.watchers[waiter] = None
        try:
            while result < 0:
                if tcb.end is not None:
                    tcb.socket.sender.check_alive(tcb)
                tcb.socket.check_not_released()
                await tcb.socket.reader.wait(waiter)
            return result
        finally:
            del tcb.watchers[waiter]
            if result < 0 and take_back():
                self._under_way = False


def _nobody(result: int) -> None:
    """Nobody waits for an answer."""


def _listed(name: str, streams: Collection[int] | None) -> tuple[int, ...] | None:
    """The streams of one direction, which have to be integers, and each there once."""
    if streams is None:
        return None
    if isinstance(cast(object, streams), (str, bytes)) or not isinstance(
        cast(object, streams), Collection
    ):
        raise TypeError(f"{name} must be a list of streams, not {shown(streams)}")
    listed = tuple(streams)
    if not listed:
        raise ValueError(f"{name} names no stream: leave it out, or name all of them")
    for stream in listed:
        check_integer(f"a stream in {name}", stream, 0, _MOST_STREAMS - 1)
    if len(set(listed)) < len(listed):
        ((twice, _),) = Counter(listed).most_common(1)
        raise ValueError(f"{name} names stream {twice} more than once")
    return listed


def _to_reset(name: str, streams: tuple[int, ...], count: int) -> tuple[int, ...]:
    """The streams as a request names them, of so many: none if they are all."""
    highest = max(streams)
    if highest >= count:
        raise ValueError(f"there is no {name} stream {highest}: there are {count}, from 0")
    if len(streams) == count:
        return ()
    if len(streams) > MOST_STREAMS_NAMED:
        raise ValueError(
            f"{name} names {len(streams)} streams: one request names {MOST_STREAMS_NAMED} at most, "
            "or all"
        )
    return streams


def _failure(kind: ReconfigurationKind, result: int) -> ReconfigurationFailed:
    text = f"the peer was asked {_WHAT[kind]}, and "
    if result == _Result.DENIED:
        return ReconfigurationFailed(text + "does not grant that", denied=True)
    why = _WHY.get(_Result(result))
    return ReconfigurationFailed(text + "could not" + (f": {why}" if why else ""), denied=False)


def not_asked(error: OSError, tcb: Tcb) -> Exception:
    """The error to raise for a request that the stack has not sent."""
    if isinstance(error, OptionUnsupported):
        return error
    if error.errno == errno.EOPNOTSUPP:
        return OptionUnsupported(
            errno.EOPNOTSUPP,
            f"the peer of association {tcb.id} cannot reset or add streams: it did not offer "
            "RE-CONFIG (RFC 6525) when the association was set up",
        )
    if error.errno in ASSOCIATION_GONE or error.errno == errno.EINVAL:
        tcb.socket.intake.read_to_end(tcb)
        return tcb.lost_error()
    return error
