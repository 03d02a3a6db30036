"""Streams that begin again, and streams that are added (RFC 6525)."""

from __future__ import annotations

from typing import Any

import pytest

from trio_sctp._engine import Engine, wire
from trio_sctp._engine.reconfiguration import ASSOCIATION, CHANGES, STREAMS
from trio_sctp._engine.wire import ChunkType, ParameterType, ReconfigRequest, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import (
    Arrival,
    Message,
    ReconfigurationFlags,
    ReconfigurationKind,
    ReconfigurationRequest,
    ReconfigurationResult,
    StreamReset,
)

from ..support.engines import Sent, info, payloads
from ..support.scripted_peer import ScriptedPeer
from .simulation import Pair

KNOWN = Tlv(ParameterType.SUPPORTED_EXTENSIONS, bytes([ChunkType.RE_CONFIG]))
ALL = STREAMS | ASSOCIATION | CHANGES
OUT, IN, WHOLE, MORE_OUT, MORE_IN = ReconfigurationKind
Result = ReconfigurationResult
Flags = ReconfigurationFlags


class Answers(list[int]):
    """The results of requests, in the order in which they came."""

    def __call__(self, result: int) -> None:
        self.append(result)


def pair(**fields: Any) -> Pair:
    return Pair(both={"grants": ALL, **fields})


def ask(
    pair: Pair, kind: ReconfigurationKind, *streams: int, added: int = 0, of_b: bool = False
) -> Answers:
    """Make a request of ``a``, or of ``b``."""
    answers = Answers()
    request = ReconfigurationRequest(kind, streams, added)
    engine = pair.b if of_b else pair.a
    (id,) = engine.associations
    engine.reconfigure(id, request, answers, pair.now)
    return answers


def told(pair: Pair, engine: Engine, kind: type[Any]) -> list[Any]:
    pair.read()
    return [event for event in pair.events[engine] if type(event) is kind]


def ssns(events: list[Arrival]) -> list[tuple[int, int, bytes]]:
    """Stream, SSN and payload of each message."""
    return [(e.stream, e.ssn, e.data) for e in events if isinstance(e, Message)]


def peer(grants: int = ALL, **fields: Any) -> ScriptedPeer:
    """An association whose peer is played, and knows RFC 6525."""
    peer = ScriptedPeer(grants=grants, **fields)
    peer.accept(KNOWN)
    return peer


def reconfigs(sent: list[Sent]) -> list[wire.Reconfig]:
    return [chunk for packet in sent for chunk in packet.chunks(wire.Reconfig)]


def results(sent: list[Sent]) -> list[int]:
    return [response.result for chunk in reconfigs(sent) for response in chunk.responses]


def requests(sent: list[Sent]) -> list[ReconfigRequest]:
    return [request for chunk in reconfigs(sent) for request in chunk.requests]


def requesting(*requests: ReconfigRequest) -> bytes:
    return wire.reconfig_chunk(wire.Reconfig([], list(requests)))


def answering(number: int, result: int, tsns: tuple[int, int] | None = None) -> bytes:
    return wire.reconfig_chunk(wire.Reconfig([wire.ReconfigResponse(number, result, tsns)], []))


def outgoing(peer: ScriptedPeer, *streams: int, number: int = 0, last: int = -1) -> ReconfigRequest:
    """The peer's request to reset its streams; ``last`` counts from its next TSN."""
    return ReconfigRequest(OUT, 100 + number, peer.their_tsn - 1, peer.tsn + last, streams)


def asked(peer: ScriptedPeer, kind: ReconfigurationKind, *streams: int, added: int = 0) -> Answers:
    """Have the engine's program ask for something."""
    answers = Answers()
    request = ReconfigurationRequest(kind, streams, added)
    peer.engine.reconfigure(peer.association.id, request, answers, peer.now)
    return answers


# -- set-up (5.1.1) ----------------------------------------------------------------------------


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize("there", [True, False])
def test_both_ends_have_to_know_it(here: bool, there: bool) -> None:
    both = Pair(here={"reconfiguration": here}, there={"reconfiguration": there})
    assert both.association.may_reconfigure() is (here and there)
    assert both.other.may_reconfigure() is (here and there)


def test_a_peer_that_does_not_know_it_is_asked_for_nothing() -> None:
    both = Pair(there={"reconfiguration": False})
    with pytest.raises(OSError, match="not supported"):
        ask(both, OUT, 1)
    both.run(5.0)
    assert not both.packets(wire.Reconfig)


def test_a_chunk_that_was_not_agreed_on_is_ignored() -> None:
    peer = ScriptedPeer(grants=ALL)
    peer.accept()
    assert peer.give(requesting(outgoing(peer, 1))) == []
    assert peer.state() is StatusState.ESTABLISHED


# -- our own streams (5.1.2, 5.2.2) ------------------------------------------------------------


def test_streams_that_were_reset_begin_again_at_zero() -> None:
    both = pair()
    for stream in (1, 2, 3):
        both.send(b"before", info(stream))
    answers = ask(both, OUT, 1, 3)
    for stream in (1, 2, 3):
        both.send(b"after", info(stream))
    both.run(2.0)
    assert answers == [Result.PERFORMED]
    got = ssns(both.events[both.b])
    assert got[:3] == [(1, 0, b"before"), (2, 0, b"before"), (3, 0, b"before")]
    assert sorted(got[3:]) == [(1, 0, b"after"), (2, 1, b"after"), (3, 0, b"after")]
    (here,) = told(both, both.a, StreamReset)
    (there,) = told(both, both.b, StreamReset)
    assert (here.flags, here.streams) == (Flags.OUTGOING, (1, 3))
    assert (there.flags, there.streams) == (Flags.INCOMING, (1, 3))


def test_all_streams_are_reset_by_naming_none() -> None:
    both = pair()
    for stream in range(10):
        both.send(b"before", info(stream))
    assert ask(both, OUT) == []
    both.run(2.0)
    for stream in range(10):
        both.send(b"after", info(stream))
    both.run(2.0)
    assert {ssn for _, ssn, data in ssns(both.events[both.b]) if data == b"after"} == {0}


def test_the_reset_is_reported_between_the_messages_before_and_behind_it() -> None:
    both = pair()
    both.send(b"before", info(1))
    ask(both, OUT, 1)
    both.send(b"after", info(1))
    both.run(2.0)
    kinds = [type(e) for e in both.events[both.b] if isinstance(e, (Message, StreamReset))]
    assert kinds == [Message, StreamReset, Message]


def test_other_streams_go_on_while_one_is_reset() -> None:
    both = pair()
    both.drop = lambda sent: sent.has(wire.Reconfig)
    answers = ask(both, OUT, 1)
    both.send(b"waits", info(1))
    both.send(b"goes", info(2))
    both.run(1.0)
    assert payloads(both.events[both.b]) == [b"goes"]
    both.drop = lambda sent: False
    both.run(20.0)
    assert payloads(both.events[both.b]) == [b"goes", b"waits"]
    assert answers == [Result.PERFORMED]


def test_a_request_waits_until_what_precedes_it_is_acknowledged() -> None:
    peer_ = peer()
    peer_.send(b"before", info(1))
    answers = asked(peer_, OUT, 1)
    assert requests(peer_.take()) == []
    (request,) = requests(peer_.give(peer_.sack_first(1)))
    assert request == ReconfigRequest(OUT, peer_.their_tsn, peer_.tsn - 1, peer_.their_tsn, (1,))
    assert answers == []
    peer_.give(answering(request.number, Result.PERFORMED))
    assert answers == [Result.PERFORMED]


def test_a_request_is_repeated_as_it_was_and_its_loss_is_an_error() -> None:
    peer_ = peer()
    asked(peer_, OUT, 1)
    (first,) = requests(peer_.take())
    peer_.send(b"x", info(2))
    peer_.give(peer_.sack_first(1))
    left = peer_.advance(6.5)
    assert requests(left) == [first, first]
    assert [sent.time for sent in left if sent.has(wire.Reconfig)] == [1.0, 3.0]
    assert peer_.association.error_count == 2


def test_a_peer_that_never_answers_is_given_up() -> None:
    peer_ = peer(association_max_retrans=3, rto_max=1.0)
    answers = asked(peer_, OUT, 1)
    peer_.advance(30.0)
    assert not peer_.engine.associations
    assert answers == [Result.GIVEN_UP]


@pytest.mark.parametrize(
    ("result", "flags"),
    [
        (Result.DENIED, Flags.DENIED),
        (Result.WRONG_STREAM, Flags.FAILED),
        (Result.REQUEST_IN_PROGRESS, Flags.FAILED),
        (Result.BAD_NUMBER, Flags.FAILED),
        (99, Flags.FAILED),
    ],
)
def test_streams_whose_reset_is_refused_go_on(result: int, flags: Flags) -> None:
    peer_ = peer()
    peer_.send(b"before", info(1))
    peer_.give(peer_.sack_first(1))
    answers = asked(peer_, OUT, 1)
    (request,) = requests(peer_.take())
    assert peer_.send(b"after", info(1)) == []
    (sent,) = peer_.give(answering(request.number, result))
    assert sent.get(wire.Data).ssn == 1
    assert answers == [result if result != 99 else Result.FAILED]
    (event,) = [e for e in peer_.events() if isinstance(e, StreamReset)]
    assert (event.flags, event.streams) == (Flags.OUTGOING | flags, (1,))


def test_one_request_is_on_its_way_at_a_time() -> None:
    peer_ = peer()
    all_answers = [asked(peer_, OUT, stream) for stream in (1, 2, 3)]
    sent = peer_.take()
    for number, answers in enumerate(all_answers):
        (request,) = requests(sent)
        assert request.number == peer_.their_tsn + number
        assert request.streams == (number + 1,)
        sent = peer_.give(answering(request.number, Result.PERFORMED))
        assert answers == [Result.PERFORMED]
    assert requests(sent) == []


def test_an_answer_to_another_request_is_ignored() -> None:
    peer_ = peer()
    answers = asked(peer_, OUT, 1)
    (request,) = requests(peer_.take())
    for number in (request.number - 1, request.number + 1):
        peer_.give(answering(number, Result.PERFORMED))
    assert answers == []
    peer_.give(answering(request.number, Result.PERFORMED))
    peer_.give(answering(request.number, Result.DENIED))
    assert answers == [Result.PERFORMED]


def test_a_peer_that_is_at_it_is_asked_again_without_counting_errors() -> None:
    peer_ = peer(association_max_retrans=2)
    answers = asked(peer_, OUT, 1)
    (request,) = requests(peer_.take())
    peer_.give(answering(request.number, Result.IN_PROGRESS))
    left = peer_.advance(16.0)
    assert requests(left) == [request] * 4
    assert peer_.association.error_count == 0
    peer_.give(answering(request.number, Result.PERFORMED))
    assert answers == [Result.PERFORMED]
    assert requests(peer_.advance(60.0)) == []


# -- the peer's streams (5.2.2) ----------------------------------------------------------------


def test_a_reset_ahead_of_data_is_in_progress_until_that_has_come() -> None:
    peer_ = peer()
    first = wire.data_chunk(100, 1, 0, 0, b"first", wire.WHOLE)
    second = wire.data_chunk(101, 1, 1, 0, b"second", wire.WHOLE)
    request = ReconfigRequest(OUT, 100, peer_.their_tsn - 1, 101, (1,))
    assert results(peer_.give(requesting(request))) == [Result.IN_PROGRESS]
    assert results(peer_.give(requesting(request))) == [Result.IN_PROGRESS]
    peer_.give(second)
    assert results(peer_.give(first)) == [Result.PERFORMED]
    assert results(peer_.give(requesting(request))) == [Result.PERFORMED]
    events = [e for e in peer_.events() if isinstance(e, (Message, StreamReset))]
    assert [type(e) for e in events] == [Message, Message, StreamReset]
