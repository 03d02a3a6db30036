"""Streams that begin again, and streams that are added (RFC 6525)."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trio_sctp._engine import Engine, wire
from trio_sctp._engine.reconfiguration import ASSOCIATION, CHANGES, STREAMS
from trio_sctp._engine.wire import Cause, ChunkType, ParameterType, ReconfigRequest, Tlv
from trio_sctp._options import Scheduler, StatusState
from trio_sctp._values import (
    Arrival,
    AssociationReset,
    AssociationState,
    Message,
    ReconfigurationFlags,
    ReconfigurationKind,
    ReconfigurationRequest,
    ReconfigurationResult,
    SendInfo,
    StreamChange,
    StreamReset,
)

from ..support.engines import A, B, Sent, ends, failures, info, payloads
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


def request_of(
    kind: ReconfigurationKind, number: int, *streams: int, last: int = 0, count: int = 0
) -> ReconfigRequest:
    return ReconfigRequest(kind, number, 0, last, streams, count)


def whole(tsn: int, stream: int, ssn: int, payload: bytes = b"x") -> bytes:
    return wire.data_chunk(tsn, stream, ssn, 0, payload, wire.WHOLE)


def test_data_behind_a_reset_that_waits_is_held_on_its_streams_alone() -> None:
    peer_ = peer()
    peer_.give(requesting(request_of(OUT, 100, 1, last=100)))
    peer_.give(whole(101, 1, 0, b"behind"), whole(102, 2, 0, b"elsewhere"))
    assert payloads(peer_.events()) == [b"elsewhere"]
    sent = peer_.give(whole(100, 1, 0, b"before"))
    assert results(sent) == [Result.PERFORMED]
    assert ssns(peer_.events()) == [(1, 0, b"before"), (1, 0, b"behind")]


def test_fragments_behind_a_reset_that_waits_are_joined_after_it() -> None:
    peer_ = peer()
    peer_.give(requesting(request_of(OUT, 100, last=100)))
    first = wire.data_chunk(101, 1, 0, 0, b"be", wire.FIRST)
    last = wire.data_chunk(102, 1, 0, 0, b"hind", wire.LAST)
    peer_.give(last)
    peer_.give(first)
    assert payloads(peer_.events()) == []
    peer_.give(whole(100, 1, 0, b"before"))
    assert payloads(peer_.events()) == [b"before", b"behind"]
    inbound = peer_.association.inbound
    assert inbound is not None
    assert inbound.held == 0


def test_a_forward_tsn_across_a_reset_is_of_the_streams_before_it() -> None:
    peer_ = ScriptedPeer(grants=ALL)
    peer_.accept(
        Tlv(ParameterType.FORWARD_TSN_SUPPORTED, b""),
        Tlv(ParameterType.SUPPORTED_EXTENSIONS, bytes([ChunkType.RE_CONFIG])),
    )
    peer_.give(whole(100, 1, 0))
    peer_.give(requesting(request_of(OUT, 100, 1, last=102)))
    # Messages with TSNs 101 to 103 are given up, of which the last is behind the reset.
    sent = peer_.give(wire.forward_tsn_chunk(103, [(1, 2), (2, 0)]))
    assert results(sent) == [Result.PERFORMED]
    peer_.events()
    peer_.give(whole(104, 1, 0, b"begins anew"), whole(105, 2, 1, b"goes on"))
    assert payloads(peer_.events()) == [b"begins anew", b"goes on"]


def test_a_forward_tsn_of_before_a_reset_changes_nothing_after_it() -> None:
    peer_ = ScriptedPeer(grants=ALL)
    peer_.accept(Tlv(ParameterType.FORWARD_TSN_SUPPORTED, b""), KNOWN)
    old = wire.forward_tsn_chunk(101, [(1, 7)])
    peer_.give(old)
    peer_.give(requesting(request_of(OUT, 100, 1, last=101)))
    peer_.give(old)
    peer_.give(whole(102, 1, 0, b"begins anew"))
    assert payloads(peer_.events()) == [b"begins anew"]


def test_messages_that_wait_for_others_when_their_stream_begins_anew_are_delivered() -> None:
    peer_ = peer()
    peer_.give(whole(100, 1, 5), whole(101, 1, 3), whole(102, 2, 9))
    assert payloads(peer_.events()) == []
    peer_.give(requesting(request_of(OUT, 100, last=102)))
    got = ssns(peer_.events())
    assert got == [(1, 3, b"x"), (1, 5, b"x"), (2, 9, b"x")]
    peer_.give(whole(103, 1, 0, b"first"))
    assert payloads(peer_.events()) == [b"first"]


def test_a_request_that_comes_again_is_answered_and_not_done_again() -> None:
    peer_ = peer()
    request = requesting(request_of(OUT, 100, 1, last=99))
    assert results(peer_.give(request)) == [Result.PERFORMED]
    peer_.give(whole(100, 1, 0))
    assert results(peer_.give(request)) == [Result.PERFORMED]
    peer_.give(whole(101, 1, 1, b"next"))
    events = peer_.events()
    assert payloads(events) == [b"x", b"next"]
    assert len([e for e in events if isinstance(e, StreamReset)]) == 1


def test_requests_that_are_old_or_too_new_have_a_bad_number() -> None:
    peer_ = peer()
    for number in (100, 101, 102):
        given = requesting(request_of(OUT, number, 1, last=99))
        assert results(peer_.give(given)) == [Result.PERFORMED]
    for number in (100, 99, 104, 103 + 2**31):
        given = requesting(request_of(OUT, number, 1, last=99))
        assert results(peer_.give(given)) == [Result.BAD_NUMBER]
    for number in (101, 102, 103):
        given = requesting(request_of(OUT, number, 1, last=99))
        assert results(peer_.give(given)) == [Result.PERFORMED]


def test_request_numbers_wrap_around() -> None:
    peer_ = ScriptedPeer(grants=ALL)
    peer_.tsn = 2**32 - 2
    peer_.accept(KNOWN)
    for number in (2**32 - 2, 2**32 - 1, 0, 1):
        given = requesting(request_of(OUT, number, 1, last=2**32 - 3))
        assert results(peer_.give(given)) == [Result.PERFORMED]


def test_a_second_request_is_refused_while_a_reset_waits() -> None:
    peer_ = peer()
    assert results(peer_.give(requesting(request_of(OUT, 100, 1, last=100)))) == [6]
    assert results(peer_.give(requesting(request_of(OUT, 101, 2, last=100)))) == [4]
    peer_.give(whole(100, 1, 0))
    resets = [e for e in peer_.events() if isinstance(e, StreamReset)]
    assert [one.streams for one in resets] == [(1,)]


@pytest.mark.parametrize("streams", [(10,), (65535,), (1, 2, 10), tuple(range(11)), (1,) * 11])
@pytest.mark.parametrize("kind", [OUT, IN])
def test_streams_that_do_not_exist_are_not_reset(
    kind: ReconfigurationKind, streams: tuple[int, ...]
) -> None:
    peer_ = peer()
    given = requesting(request_of(kind, 100, *streams, last=99))
    assert results(peer_.give(given)) == [Result.WRONG_STREAM]
    assert peer_.events() == []


def test_a_stream_that_is_named_twice_is_reset_once() -> None:
    peer_ = peer()
    peer_.give(whole(100, 1, 0))
    given = requesting(request_of(OUT, 100, 1, 1, last=100))
    assert results(peer_.give(given)) == [Result.PERFORMED]
    peer_.give(whole(101, 1, 0))
    assert ssns(peer_.events()) == [(1, 0, b"x")] * 2


def test_nothing_is_granted_unless_it_is_allowed() -> None:
    peer_ = peer(0)
    for number, request in enumerate(
        [
            request_of(OUT, 100, 1, last=99),
            request_of(IN, 101, 1),
            request_of(WHOLE, 102),
            request_of(MORE_OUT, 103, count=1),
            request_of(MORE_IN, 104, count=1),
        ]
    ):
        sent = peer_.give(requesting(request))
        assert results(sent) == [Result.DENIED]
        (response,) = reconfigs(sent)[0].responses
        assert response.number == 100 + number
        assert (response.next_tsns is not None) is (request.kind == WHOLE)
    assert peer_.events() == []
    assert requests(peer_.sent) == []


# -- the peer asks for ours (5.2.3) ------------------------------------------------------------


def test_a_request_for_our_streams_is_answered_by_one_of_ours() -> None:
    peer_ = peer()
    peer_.send(b"before", info(1))
    peer_.give(peer_.sack_first(1))
    (request,) = requests(peer_.give(requesting(request_of(IN, 100, 1))))
    assert request == ReconfigRequest(OUT, peer_.their_tsn, 100, peer_.their_tsn, (1,))
    assert peer_.send(b"after", info(1)) == []
    # It comes again, as it would if ours were lost.
    assert requests(peer_.give(requesting(request_of(IN, 100, 1)))) == [request]
    (sent,) = peer_.give(answering(request.number, Result.PERFORMED))
    assert sent.get(wire.Data).ssn == 0
    assert results(peer_.give(requesting(request_of(IN, 100, 1)))) == [Result.PERFORMED]
    (event,) = [e for e in peer_.events() if isinstance(e, StreamReset)]
    assert (event.flags, event.streams) == (Flags.OUTGOING, (1,))


def test_a_request_for_our_streams_is_in_progress_while_their_data_is() -> None:
    peer_ = peer()
    peer_.send(b"before", info(1))
    sent = peer_.give(requesting(request_of(IN, 100, 1)))
    assert (results(sent), requests(sent)) == ([Result.IN_PROGRESS], [])
    sent = peer_.give(requesting(request_of(IN, 100, 1)))
    assert (results(sent), requests(sent)) == ([Result.IN_PROGRESS], [])
    (request,) = requests(peer_.give(peer_.sack_first(1)))
    assert request.answers == 100


def test_a_request_for_streams_that_are_being_reset_finds_nothing_to_do() -> None:
    peer_ = peer()
    asked(peer_, OUT, 1, 2)
    peer_.take()
    assert results(peer_.give(requesting(request_of(IN, 100, 2)))) == [Result.NOTHING_TO_DO]
    # This one is not covered, and has to wait its turn.
    assert results(peer_.give(requesting(request_of(IN, 101, 2, 3)))) == [Result.IN_PROGRESS]
    (request,) = requests(peer_.give(answering(peer_.their_tsn, Result.PERFORMED)))
    assert (request.answers, request.streams) == (101, (2, 3))


def test_only_one_request_of_the_peer_waits_for_ours() -> None:
    peer_ = peer()
    asked(peer_, OUT, 9)
    peer_.take()
    assert results(peer_.give(requesting(request_of(IN, 100, 1)))) == [Result.IN_PROGRESS]
    for number in range(101, 120):
        sent = peer_.give(requesting(request_of(IN, number, 1)))
        assert results(sent) == [Result.REQUEST_IN_PROGRESS]


def test_the_peer_is_asked_for_its_streams() -> None:
    peer_ = peer(0)  # what was asked for is granted anyway
    answers = asked(peer_, IN, 1)
    (request,) = requests(peer_.take())
    assert request == ReconfigRequest(IN, peer_.their_tsn, streams=(1,))
    peer_.give(whole(100, 1, 0))
    reset = ReconfigRequest(OUT, 100, request.number, 100, (1,))
    sent = peer_.give(requesting(reset))
    assert results(sent) == [Result.PERFORMED]
    assert answers == [Result.PERFORMED]
    assert requests(peer_.advance(30.0)) == []
    peer_.give(whole(101, 1, 0))
    assert ssns(peer_.events()) == [(1, 0, b"x")] * 2


def test_a_peer_may_agree_first_and_reset_its_streams_later() -> None:
    peer_ = peer(0)
    answers = asked(peer_, IN, 1)
    peer_.take()
    peer_.give(answering(peer_.their_tsn, Result.PERFORMED))
    assert answers == []
    assert requests(peer_.advance(30.0)) == []
    peer_.give(requesting(ReconfigRequest(OUT, 100, peer_.their_tsn, 99, (1,))))
    assert answers == [Result.PERFORMED]
    # It was asked for once.
    again = requesting(ReconfigRequest(OUT, 101, peer_.their_tsn, 99, (1,)))
    assert results(peer_.give(again)) == [Result.DENIED]


def test_the_peers_streams_are_reset_once_what_precedes_that_has_come() -> None:
    peer_ = peer(0)
    answers = asked(peer_, IN, 1)
    peer_.take()
    reset = requesting(ReconfigRequest(OUT, 100, peer_.their_tsn, 100, (1,)))
    assert results(peer_.give(reset)) == [Result.IN_PROGRESS]
    assert requests(peer_.advance(30.0)) == []
    assert answers == []
    peer_.give(whole(100, 1, 0))
    assert answers == [Result.PERFORMED]


def test_a_peer_may_reset_its_streams_one_by_one() -> None:
    peer_ = peer(0)
    answers = asked(peer_, IN)
    peer_.take()
    for number, streams in enumerate([(1, 2), (3, 4, 5, 6, 7, 8, 9), (0,)]):
        assert answers == []
        reset = requesting(ReconfigRequest(OUT, 100 + number, peer_.their_tsn, 99, streams))
        assert results(peer_.give(reset)) == [Result.PERFORMED]
    assert answers == [Result.PERFORMED]
    assert requests(peer_.advance(30.0)) == []


def test_nobody_has_to_wait_for_a_peer_that_has_agreed() -> None:
    peer_ = peer(0)
    answers = Answers()
    request = ReconfigurationRequest(IN, (1,))
    take_back = peer_.engine.reconfigure(peer_.association.id, request, answers, peer_.now)
    peer_.give(answering(peer_.their_tsn, Result.PERFORMED))
    assert take_back(peer_.now)
    peer_.give(requesting(ReconfigRequest(OUT, 100, peer_.their_tsn, 99, (1,))))
    assert answers == []


def test_a_reset_of_other_streams_than_were_asked_for_is_not_granted() -> None:
    peer_ = peer(0)
    answers = asked(peer_, IN, 1)
    peer_.take()
    for number, streams in enumerate([(2,), (), (1, 2)]):
        reset = requesting(ReconfigRequest(OUT, 100 + number, peer_.their_tsn, 99, streams))
        assert results(peer_.give(reset)) == [Result.DENIED]
    assert answers == []


def test_both_ends_ask_for_the_others_streams_at_once() -> None:
    both = pair()
    mine, theirs = ask(both, IN, 1), ask(both, MORE_IN, added=2, of_b=True)
    both.run(10.0)
    assert mine == theirs == [Result.PERFORMED]
    assert both.association.outbound_streams == 12


def test_streams_that_the_peer_resets_of_itself_are_no_answer() -> None:
    """Its number is that of the last request that it got, whether it does that or not."""
    peer_ = peer(0)
    answers = asked(peer_, IN, 1, 2)
    (request,) = requests(peer_.take())
    peer_.give(requesting(ReconfigRequest(OUT, 100, request.number, 99, (1,))))
    assert answers == []
    assert requests(peer_.advance(1.0)) == [request]  # what the peer has said of it was lost
    peer_.give(answering(request.number, Result.NOTHING_TO_DO))
    assert answers == [Result.NOTHING_TO_DO]
    assert requests(peer_.advance(30.0)) == []


def test_a_peer_that_has_begun_may_agree_later() -> None:
    peer_ = peer(0)
    answers = asked(peer_, IN, 1, 2)
    (request,) = requests(peer_.take())
    peer_.give(requesting(ReconfigRequest(OUT, 100, request.number, 99, (1,))))
    peer_.give(answering(request.number, Result.PERFORMED))
    assert answers == []
    peer_.give(requesting(ReconfigRequest(OUT, 101, request.number, 99, (2,))))
    assert answers == [Result.PERFORMED]


def test_a_peer_that_adds_streams_of_itself_may_not_have_got_the_request() -> None:
    """Then it finds the next one to have a bad number."""
    peer_ = peer(0)
    answers = asked(peer_, MORE_IN, added=2)
    (first,) = requests(peer_.take())
    sent = peer_.give(requesting(request_of(MORE_OUT, 100, count=2)))
    assert (results(sent), requests(sent)) == ([Result.PERFORMED], [])
    assert answers == [Result.PERFORMED]
    assert peer_.association.inbound_streams == 12
    later = asked(peer_, OUT, 1)
    (second,) = requests(peer_.take())
    assert requests(peer_.give(answering(second.number, Result.BAD_NUMBER))) == [first]
    assert results(peer_.give(requesting(request_of(MORE_OUT, 101, count=2)))) == [Result.DENIED]
    assert later == []
    assert requests(peer_.advance(1.0)) == [second]
    peer_.give(answering(second.number, Result.PERFORMED))
    assert later == [Result.PERFORMED]
    last = asked(peer_, OUT, 2)
    (third,) = requests(peer_.take())
    peer_.give(answering(third.number, Result.BAD_NUMBER))
    assert last == [Result.BAD_NUMBER]


def test_a_peer_for_which_all_numbers_are_bad_is_not_asked_for_ever() -> None:
    peer_ = peer(0, heartbeats=False)
    asked(peer_, MORE_IN, added=2)
    peer_.take()
    peer_.give(requesting(request_of(MORE_OUT, 100, count=2)))
    answers = asked(peer_, OUT, 1)
    peer_.take()
    for _ in range(6):
        assert answers == []
        peer_.give(answering(peer_.their_tsn + 1, Result.BAD_NUMBER))
        peer_.advance(60.0)
    peer_.give(answering(peer_.their_tsn + 1, Result.BAD_NUMBER))
    assert answers == [Result.BAD_NUMBER]


def test_both_ends_add_the_same_streams_at_once() -> None:
    both = pair(grants=0)
    both.b.parameters.grants = both.other.parameters.grants = ALL
    both.drop = lambda sent: both.now < 0.5 and sent.route.local == A
    mine, theirs = ask(both, MORE_IN, added=2), ask(both, MORE_OUT, added=2, of_b=True)
    both.run(10.0)
    assert mine == theirs == [Result.PERFORMED]
    later = ask(both, OUT, 1)
    both.run(10.0)
    assert later == [Result.PERFORMED]


def test_a_peer_whose_request_is_answered_may_ask_again_before_that_has_arrived() -> None:
    peer_ = peer()
    (ours,) = requests(peer_.give(requesting(request_of(IN, 100, 1))))
    # Its answer to ours is lost, and comes again only when ours does.
    second = requesting(request_of(IN, 101, 2))
    assert results(peer_.give(second)) == [Result.IN_PROGRESS]
    peer_.give(answering(ours.number, Result.PERFORMED))
    (request,) = requests(peer_.give(second))
    assert (request.answers, request.streams) == (101, (2,))


@pytest.mark.parametrize(("kind", "added"), [(IN, 0), (MORE_IN, 2)])
def test_a_peer_that_was_busy_is_asked_again(kind: ReconfigurationKind, added: int) -> None:
    """As `test_both_ends_ask_for_the_others_streams_at_once`, where the peer's request is lost."""
    peer_ = peer()
    streams = () if added else (1,)
    answers = asked(peer_, kind, *streams, added=added)
    (request,) = requests(peer_.take())
    waits = []
    for number in range(1, 7):
        before = peer_.now
        assert requests(peer_.give(answering(request.number, Result.REQUEST_IN_PROGRESS))) == []
        assert answers == []
        while not (again := requests(peer_.advance(0.5))):
            pass
        waits.append(peer_.now - before)
        (request,) = again
        assert (request.number, request.streams) == (peer_.their_tsn + number, streams)
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    peer_.give(answering(request.number, Result.REQUEST_IN_PROGRESS))
    assert answers == [Result.REQUEST_IN_PROGRESS]


def test_a_request_that_waits_to_be_made_again_is_taken_back() -> None:
    peer_ = peer()
    answers = Answers()
    request = ReconfigurationRequest(IN, (1,), 0)
    take_back = peer_.engine.reconfigure(peer_.association.id, request, answers, peer_.now)
    (sent,) = requests(peer_.take())
    peer_.give(answering(sent.number, Result.REQUEST_IN_PROGRESS))
    assert take_back(peer_.now)
    assert requests(peer_.advance(30.0)) == []
    assert answers == []


def test_both_directions_in_one_chunk() -> None:
    peer_ = peer()
    chunk = requesting(request_of(OUT, 100, 1, last=99), request_of(IN, 101, 2))
    sent = peer_.give(chunk)
    assert len(reconfigs(sent)) == 1  # a MUST of section 5.2.1
    assert results(sent) == [Result.PERFORMED]
    (request,) = requests(sent)
    assert (request.answers, request.streams) == (101, (2,))
    peer_.give(answering(request.number, Result.PERFORMED))
    assert results(peer_.give(chunk)) == [Result.PERFORMED, Result.PERFORMED]


def test_both_ends_reset_their_streams_at_once() -> None:
    both = pair()
    both.send(b"before", info(1))
    both.answer(b"before", info(1))
    both.run(1.0)
    mine, theirs = ask(both, OUT, 1), ask(both, OUT, 1, of_b=True)
    both.send(b"after", info(1))
    both.answer(b"after", info(1))
    both.run(3.0)
    assert mine == theirs == [Result.PERFORMED]
    for engine in (both.a, both.b):
        assert ssns(both.events[engine]) == [(1, 0, b"before"), (1, 0, b"after")]


# -- the whole association (5.1.4, 5.2.4) ------------------------------------------------------


def test_the_association_begins_again() -> None:
    both = pair()
    for send in (both.send, both.answer):
        for stream in (1, 2):
            send(b"before", info(stream))
    both.run(1.0)
    next_tsn = both.association.outbound.next_tsn
    answers = ask(both, WHOLE)
    both.run(1.0)
    assert answers == [Result.PERFORMED]
    (here,) = told(both, both.a, AssociationReset)
    (there,) = told(both, both.b, AssociationReset)
    assert here.flags == there.flags == Flags(0)
    assert (here.local_tsn, here.remote_tsn) == (there.remote_tsn, there.local_tsn)
    assert (here.local_tsn - next_tsn) % 2**32 == 2**31
    for send in (both.send, both.answer):
        for stream in (1, 2):
            send(b"after", info(stream))
    both.run(2.0)
    for engine, reset in ((both.a, here), (both.b, there)):
        got = [e for e in both.events[engine] if isinstance(e, Message) and e.data == b"after"]
        assert [(one.ssn, one.tsn) for one in got] == [
            (0, reset.remote_tsn),
            (0, (reset.remote_tsn + 1) % 2**32),
        ]
    both.a.shutdown(both.id, both.now)
    both.finish()
    assert [end.state for end in ends(both.events[both.a])] == [AssociationState.SHUTDOWN_COMP]


def test_nothing_is_lost_when_both_send_while_the_association_is_reset() -> None:
    both = pair(send_buffer=10**6)
    for number in range(100):
        both.send(b"%d" % number * 200, info(number % 3))
        both.answer(b"%d" % number * 200, info(number % 3))
        if number == 50:
            answers = ask(both, WHOLE)
    both.run(60.0)
    assert answers == [Result.PERFORMED]
    for engine in (both.a, both.b):
        got = payloads(both.events[engine])
        assert sorted(got) == sorted(b"%d" % number * 200 for number in range(100))
        assert not failures(both.events[engine])


@pytest.mark.parametrize("result", [Result.PERFORMED, Result.DENIED])
def test_data_that_overtakes_the_answer_is_taken_for_what_it_is(result: int) -> None:
    peer_ = peer()
    peer_.give(whole(100, 1, 0, b"zero"))
    asked(peer_, WHOLE)
    (request,) = requests(peer_.take())
    peer_.give(whole(102, 1, 0 if result == Result.PERFORMED else 2, b"two"))
    peer_.give(whole(101, 1, 1, b"one"))
    assert payloads(peer_.events()) == [b"zero"]
    peer_.give(answering(request.number, result, (102, peer_.their_tsn ^ 2**31)))
    assert payloads(peer_.events()) == [b"one", b"two"]
    inbound = peer_.association.inbound
    assert inbound is not None
    assert (inbound.held, inbound.has_gaps, inbound.cumulative & 0xFF) == (0, False, 102)


def test_a_peer_with_more_to_send_than_there_is_room_for_resets_the_association() -> None:
    """What comes before the answer is held, and would fill the window for good."""
    both = pair(receive_window=20_000, first_window=20_000, send_buffer=10**6)
    sent = [b"%02d" % number * 500 for number in range(100)]
    for data in sent:
        both.answer(data, info(1))
    answers = ask(both, WHOLE)
    both.run(3.0)  # much less than an RTO for each time that the window is full
    assert answers == [Result.PERFORMED]
    both.answer(b"after", info(1))
    both.run(1.0)
    got = [e for e in both.events[both.a] if isinstance(e, Message)]
    assert [one.data for one in got] == [*sent, b"after"]
    assert got[-1].ssn == 0


@pytest.mark.parametrize("interleaving", [False, True])
@pytest.mark.parametrize("result", [Result.IN_PROGRESS, Result.PERFORMED, Result.DENIED])
def test_what_the_peer_gives_up_meanwhile_is_no_part_of_what_is_held(
    interleaving: bool, result: Result
) -> None:
    skips = Tlv(ParameterType.FORWARD_TSN_SUPPORTED, b"")
    types = [ChunkType.RE_CONFIG, ChunkType.I_DATA, ChunkType.I_FORWARD_TSN]
    peer_ = ScriptedPeer(interleaving=interleaving, heartbeats=False)
    peer_.accept(skips, Tlv(ParameterType.SUPPORTED_EXTENSIONS, bytes(types)))

    def part(tsn: int, payload: bytes, number: int, flags: int) -> bytes:
        if interleaving:
            return wire.i_data_chunk(tsn, 1, number, number * (flags & 1), payload, flags)
        return wire.data_chunk(tsn, 1, number, 0, payload, flags)

    peer_.give(part(100, b"be", 0, wire.FIRST))
    asked(peer_, WHOLE)
    (request,) = requests(peer_.take())
    tail = wire.i_data_chunk(101, 1, 0, 1, b"fore", wire.LAST)
    peer_.give(tail if interleaving else part(101, b"fore", 0, wire.LAST))
    peer_.give(part(102, b"given up", 1, wire.FIRST))  # and its rest is never sent
    peer_.give(part(104, b"behind", 2, wire.FIRST | wire.LAST))
    skip = wire.i_forward_tsn_chunk if interleaving else wire.forward_tsn_chunk
    peer_.give(skip(103, [(2 if interleaving else 1, 1)]))
    assert peer_.events() == []
    peer_.give(answering(request.number, result, (105, peer_.their_tsn ^ 2**31)))
    assert payloads(peer_.events()) == [b"before", b"behind"]
    inbound = peer_.association.inbound
    assert inbound is not None
    assert inbound.held == 0


def test_a_reset_that_overtakes_the_answer_is_of_the_streams_that_have_begun_again() -> None:
    peer_ = peer()
    peer_.give(whole(100, 1, 0, b"zero"))
    asked(peer_, WHOLE)
    (request,) = requests(peer_.take())
    # The peer has answered that, sends one message, and lets the stream begin again once more.
    peer_.give(whole(101, 1, 0, b"one"))
    again = requesting(request_of(OUT, 100, 1, last=101))
    assert results(peer_.give(again)) == [Result.IN_PROGRESS]
    peer_.give(whole(102, 1, 0, b"two"))
    answer = answering(request.number, Result.PERFORMED, (101, peer_.their_tsn ^ 2**31))
    assert results(peer_.give(answer)) == [Result.PERFORMED]
    assert payloads(peer_.events()) == [b"zero", b"one", b"two"]


def test_both_ends_reset_the_association_at_once() -> None:
    both = pair()
    mine, theirs = ask(both, WHOLE), ask(both, WHOLE, of_b=True)
    both.run(5.0)
    assert mine == theirs == [Result.REQUEST_IN_PROGRESS]
    both.send(b"goes on")
    both.answer(b"goes on")
    both.run(2.0)
    assert payloads(both.events[both.a]) == payloads(both.events[both.b]) == [b"goes on"]


def test_tsns_of_before_are_no_reason_to_end_an_association_that_has_begun_again() -> None:
    both = pair()
    both.send(b"x")
    both.run(1.0)
    old = both.association.outbound.next_tsn
    ask(both, WHOLE)
    both.run(1.0)
    for tsn in (old - 1, old, old + 5, old - 2**20):
        chunk = wire.sack_chunk(tsn % 2**32, 100_000, [], [])
        packet = wire.seal(2000, 1000, both.association.our_tag, [chunk])
        both.a.receive_packet(packet, both.routes[0], both.now)
    both.send(b"y")
    both.run(1.0)
    assert payloads(both.events[both.b]) == [b"x", b"y"]


def test_a_forward_tsn_of_before_skips_nothing_of_an_association_that_has_begun_again() -> None:
    peer_ = ScriptedPeer(grants=ALL, heartbeats=False)
    peer_.accept(Tlv(ParameterType.FORWARD_TSN_SUPPORTED, b""), KNOWN)
    old = wire.forward_tsn_chunk(100, [(1, 0)])
    peer_.give(old)
    (response,) = reconfigs(peer_.give(requesting(request_of(WHOLE, 100))))[0].responses
    assert response.next_tsns is not None
    first = response.next_tsns[1]
    assert first == 101 + 2**31
    for number in range(3):
        peer_.give(old)
        peer_.give(whole(first + number, 1, number))
    assert [one[:2] for one in ssns(peer_.events())] == [(1, 0), (1, 1), (1, 2)]


def test_a_request_tells_the_peer_first_what_has_come() -> None:
    peer_ = peer()
    peer_.give(whole(100, 1, 0))
    assert peer_.give(whole(101, 1, 1)) == []  # its SACK is delayed
    asked(peer_, WHOLE)
    (sent,) = peer_.take()
    assert sent.kinds == [wire.Sack, wire.Reconfig]
    assert sent.get(wire.Sack).cumulative_tsn == 101


def test_half_a_minute_passes_before_the_association_is_reset_again() -> None:
    both = pair()
    first, second = ask(both, WHOLE), ask(both, WHOLE)
    both.run(20.0)
    assert (first, second) == ([Result.PERFORMED], [])
    both.send(b"goes on meanwhile")
    both.run(5.0)
    assert payloads(both.events[both.b]) == [b"goes on meanwhile"]
    both.run(10.0)
    assert second == [Result.PERFORMED]


def test_an_answer_without_tsns_is_no_success() -> None:
    peer_ = peer()
    answers = asked(peer_, WHOLE)
    (request,) = requests(peer_.take())
    peer_.give(answering(request.number, Result.PERFORMED))
    assert answers == [Result.FAILED]
    (sent,) = peer_.send(b"goes on")
    assert sent.get(wire.Data).tsn == peer_.their_tsn


def test_our_outstanding_data_is_acknowledged_before_the_peer_resets_the_association() -> None:
    peer_ = peer()
    peer_.send(b"before", info(1))
    assert results(peer_.give(requesting(request_of(WHOLE, 100)))) == [Result.IN_PROGRESS]
    assert peer_.send(b"after", info(1)) == []
    sent = peer_.give(peer_.sack_first(1))
    (chunk,) = [one for one in reconfigs(sent) if one.responses]
    (response,) = chunk.responses
    assert response.result == Result.PERFORMED
    assert response.next_tsns == (peer_.their_tsn + 1, 100 + 2**31)
    (data,) = [one for packet in sent for one in packet.chunks(wire.Data)]
    assert (data.tsn, data.ssn) == (peer_.their_tsn + 1, 0)
    assert reconfigs(peer_.give(requesting(request_of(WHOLE, 100)))) == [chunk]
    peer_.give(whole(100 + 2**31, 1, 0, b"anew"))
    assert payloads(peer_.events()) == [b"anew"]


def test_what_had_not_arrived_when_the_peer_reset_the_association_is_not_waited_for() -> None:
    peer_ = peer()
    peer_.give(whole(101, 1, 1, b"whole"), wire.data_chunk(103, 2, 0, 0, b"part", wire.FIRST))
    peer_.give(requesting(request_of(WHOLE, 100)))
    assert payloads(peer_.events()) == [b"whole"]
    peer_.give(whole(100 + 2**31, 1, 0, b"anew"))
    assert payloads(peer_.events()) == [b"anew"]
    inbound = peer_.association.inbound
    assert inbound is not None
    assert (inbound.held, inbound.has_gaps) == (0, False)


# -- more streams (5.1.5, 5.1.6, 5.2.5, 5.2.6) -------------------------------------------------


def test_streams_are_added_in_both_directions() -> None:
    both = pair()
    answers = ask(both, MORE_OUT, added=5)
    with pytest.raises(OSError, match="Invalid argument"):
        both.send(b"not yet", info(12))
    both.run(1.0)
    assert answers == [Result.PERFORMED]
    more = ask(both, MORE_IN, added=3)
    both.run(1.0)
    assert more == [Result.PERFORMED]
    assert (both.status().outstrms, both.status().instrms) == (15, 13)
    other = both.b.status(both.other.id)
    assert (other.outstrms, other.instrms) == (13, 15)
    both.send(b"new", info(14))
    both.answer(b"new", info(12))
    both.run(1.0)
    assert ssns(both.events[both.b]) == [(14, 0, b"new")]
    assert ssns(both.events[both.a]) == [(12, 0, b"new")]
    for engine in (both.a, both.b):
        assert [e.flags for e in told(both, engine, StreamChange)] == [0, 0]


@pytest.mark.parametrize("kind", [MORE_OUT, MORE_IN])
@pytest.mark.parametrize("count", [0, 65526, 65535])
def test_no_more_streams_are_added_than_there_can_be(kind: ReconfigurationKind, count: int) -> None:
    peer_ = peer()
    given = requesting(request_of(kind, 100, count=count))
    assert results(peer_.give(given)) == [Result.DENIED]
    assert (peer_.association.outbound_streams, peer_.association.inbound_streams) == (10, 10)
    given = requesting(request_of(MORE_OUT, 101, count=65525))
    assert results(peer_.give(given)) == [Result.PERFORMED]
    assert peer_.association.inbound_streams == 65535


def test_the_peer_adds_no_more_streams_than_the_program_allows() -> None:
    peer_ = peer(inbound_streams=12)
    assert results(peer_.give(requesting(request_of(MORE_OUT, 100, count=3)))) == [2]
    assert results(peer_.give(requesting(request_of(MORE_OUT, 101, count=2)))) == [1]


def test_streams_that_are_not_added_are_not_used() -> None:
    peer_ = peer()
    answers = asked(peer_, MORE_OUT, added=5)
    (request,) = requests(peer_.take())
    peer_.give(answering(request.number, Result.DENIED))
    assert answers == [Result.DENIED]
    assert peer_.association.outbound_streams == 10


def test_more_streams_while_a_reset_waits() -> None:
    peer_ = peer()
    peer_.give(requesting(request_of(OUT, 100, 1, last=100)))
    peer_.give(requesting(request_of(MORE_OUT, 101, count=5)))
    peer_.give(whole(101, 14, 0, b"new"))
    assert payloads(peer_.events()) == [b"new"]
    peer_.give(whole(100, 1, 0))
    peer_.give(whole(102, 14, 1, b"newer"))
    assert payloads(peer_.events()) == [b"x", b"newer"]


# -- what makes no sense, and too much ---------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\0\x0d\0\x10",
        wire.tlv(13, bytes(8)),
        wire.tlv(13, bytes(13)),
        wire.tlv(14, bytes(2)),
        wire.tlv(14, bytes(5)),
        wire.tlv(15, bytes(8)),
        wire.tlv(16, bytes(12)),
        wire.tlv(17, bytes(4)),
        wire.tlv(18, bytes(12)),
        wire.tlv(19, bytes(8)),
        wire.tlv(15, bytes(4)) * 2,
        wire.tlv(13, bytes(12)) + wire.tlv(17, bytes(8)),
        wire.tlv(14, bytes(4)) + wire.tlv(16, bytes(8)),
        wire.tlv(16, bytes(8)) * 3,
    ],
)
def test_a_chunk_that_makes_no_sense_is_reported_and_ends_nothing(value: bytes) -> None:
    peer_ = peer()
    (sent,) = peer_.give(wire.chunk(ChunkType.RE_CONFIG, value), whole(100, 1, 0))
    (cause,) = sent.get(wire.Error).causes
    assert cause.type == Cause.PROTOCOL_VIOLATION
    assert payloads(peer_.events()) == [b"x"]


def test_one_chunk_with_requests_is_taken_from_a_packet() -> None:
    peer_ = peer()
    chunks = [requesting(request_of(OUT, 100 + n, 1, last=99)) for n in range(50)]
    assert results(peer_.give(*chunks)) == [Result.PERFORMED]


def test_a_peer_whose_requests_nobody_hears_of_has_to_wait() -> None:
    peer_ = peer()
    number = 100
    while results(peer_.give(requesting(request_of(OUT, number, 1, last=99)))) == [1]:
        number += 1
        assert number < 300
    assert results(peer_.give(requesting(request_of(OUT, number, 1, last=99)))) == [6]
    assert len([e for e in peer_.events() if isinstance(e, StreamReset)]) == number - 100
    assert results(peer_.give(requesting(request_of(OUT, number, 1, last=99)))) == [1]


# -- when it ends (9.2, 5.2.4) -----------------------------------------------------------------


def test_a_restart_ends_all_requests_and_begins_to_count_anew() -> None:
    peer_ = peer()
    first, second = asked(peer_, OUT, 1), asked(peer_, OUT, 2)
    peer_.send(b"held", info(1))
    peer_.tsn = 500
    peer_.learn(peer_.begin(tag=0x99))
    peer_.give(peer_.cookie_echo())
    assert first == second == [Result.GIVEN_UP]
    assert [failed.data for failed in failures(peer_.events())] == [b"held"]
    assert results(peer_.give(requesting(request_of(OUT, 100, 1, last=499)))) == [5]
    assert results(peer_.give(requesting(request_of(OUT, 500, 1, last=499)))) == [1]
    asked(peer_, OUT, 1)
    (request,) = requests(peer_.take())
    assert request.number == peer_.their_tsn


def test_a_peer_that_shuts_down_is_asked_nothing_more() -> None:
    peer_ = peer()
    answers = asked(peer_, OUT, 1)
    peer_.take()
    peer_.send(b"held", info(1))
    peer_.send(b"sent", info(2))
    peer_.give(peer_.shutdown())
    assert answers == [Result.GIVEN_UP]
    assert peer_.state() is StatusState.SHUTDOWN_RECEIVED
    assert [failed.data for failed in failures(peer_.events())] == [b"held"]
    left = peer_.give(peer_.sack_first(1))
    assert any(sent.has(wire.ShutdownAck) for sent in left)
    assert reconfigs(left) == []


def test_a_request_that_was_not_sent_costs_no_message_when_the_peer_shuts_down() -> None:
    peer_ = peer()
    peer_.send(b"before", info(1))
    answers = asked(peer_, OUT, 1)
    peer_.send(b"after", info(1))
    left = peer_.give(peer_.shutdown())
    assert answers == [Result.GIVEN_UP]
    assert [one.payload for sent in left for one in sent.chunks(wire.Data)] == [b"after"]
    assert failures(peer_.events()) == []


def test_our_own_shutdown_waits_for_messages_that_are_held() -> None:
    both = pair()
    both.send(b"before", info(1))
    answers = ask(both, OUT, 1)
    both.send(b"after", info(1))
    both.a.shutdown(both.id, both.now)
    both.finish()
    assert answers == [Result.PERFORMED]
    assert payloads(both.events[both.b]) == [b"before", b"after"]
    assert failures(both.events[both.a]) == []


def test_an_abort_ends_all_requests_and_fails_what_is_held() -> None:
    peer_ = peer()
    answers = asked(peer_, WHOLE)
    peer_.send(b"held")
    peer_.give(wire.abort_chunk())
    assert answers == [Result.GIVEN_UP]
    assert [failed.data for failed in failures(peer_.events())] == [b"held"]


@pytest.mark.parametrize("state", ["sent", "ack sent"])
def test_nothing_is_granted_while_the_association_ends(state: str) -> None:
    peer_ = peer()
    if state == "sent":
        peer_.engine.shutdown(peer_.association.id, peer_.now)
        peer_.take()
    else:
        peer_.give(peer_.shutdown())
    assert reconfigs(peer_.give(requesting(request_of(OUT, 100, 1, last=99)))) == []


# -- taking back -------------------------------------------------------------------------------


def test_a_request_is_taken_back_until_it_is_on_its_way() -> None:
    peer_ = peer()
    peer_.send(b"before", info(1))
    answers = Answers()
    id = peer_.association.id
    ask_for = [
        peer_.engine.reconfigure(id, ReconfigurationRequest(OUT, (n,)), answers, peer_.now)
        for n in (1, 2)
    ]
    peer_.send(b"after", info(1))
    assert ask_for[0](peer_.now)
    peer_.take()
    (request,) = requests(peer_.give(peer_.sack_first(2)))
    assert request.streams == (2,)
    assert not ask_for[1](peer_.now)
    peer_.give(answering(request.number, Result.PERFORMED))
    assert answers == [Result.PERFORMED]
    assert [data.ssn for sent in peer_.sent for data in sent.chunks(wire.Data)] == [0, 1]


def test_messages_of_held_streams_can_be_given_up() -> None:
    peer_ = ScriptedPeer(grants=ALL, send_buffer=1505)
    peer_.accept(Tlv(ParameterType.FORWARD_TSN_SUPPORTED, b""), KNOWN)
    asked(peer_, OUT, 1)
    peer_.take()
    peer_.send(bytes(1500), SendInfo(1, 0, False, 0, 0, priority=9))
    peer_.send(b"mortal", info(1, lifetime=500))
    peer_.send(bytes(1500), SendInfo(1, 0, False, 0, 0, priority=1))
    peer_.advance(0.9)
    peer_.give(answering(peer_.their_tsn, Result.PERFORMED))
    given_up = failures(peer_.events())
    assert sorted(len(failed.data) for failed in given_up) == [6, 1500]
    left = [data for sent in peer_.sent for data in sent.chunks(wire.Data)]
    assert [data.ssn for data in left] == [0] * len(left)
    assert peer_.association.outbound.buffered == 1500


@pytest.mark.parametrize("scheduler", [Scheduler.FCFS, Scheduler.ROUND_ROBIN])
def test_messages_before_one_that_is_given_up_belong_before_the_reset_too(
    scheduler: Scheduler,
) -> None:
    peer_ = peer(send_buffer_messages=2, scheduler=scheduler)
    path = peer_.association.paths[B]
    path.cwnd, usual = 0, path.cwnd
    for data in (b"first", b"last"):
        peer_.send(data, SendInfo(1, 0, False, 0, 0, priority=9))
    asked(peer_, OUT, 1)
    peer_.send(b"urgent", SendInfo(2, 0, False, 0, 0, priority=1))
    assert [failed.data for failed in failures(peer_.events())] == [b"last"]
    peer_.give(peer_.sack_first(0))
    assert requests(peer_.sent) == []
    path.cwnd = usual
    peer_.give(peer_.sack_first(0))
    assert requests(peer_.sent) == []
    (request,) = requests(peer_.give(peer_.sack_first(2)))
    assert (request.streams, request.last_tsn) == ((1,), peer_.their_tsn + 1)


# -- all of it ---------------------------------------------------------------------------------


class Step(NamedTuple):
    """What one side does, and how long it waits before."""

    of_b: bool
    kind: int  # 0 to 9; the five kinds of request, or else a message
    stream: int
    wait: float


STEPS = st.lists(
    st.builds(
        Step,
        st.booleans(),
        st.integers(0, 14),
        st.integers(0, 3),
        st.sampled_from([0.0, 0.01, 0.2, 1.5]),
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.1, 0.4]),
    interleaving=st.booleans(),
    scheduler=st.sampled_from([Scheduler.FCFS, Scheduler.ROUND_ROBIN, Scheduler.PRIORITY]),
    steps=STEPS,
)
def test_no_message_is_lost_doubled_or_out_of_order_whatever_is_reset(
    seed: int, loss: float, interleaving: bool, scheduler: Scheduler, steps: list[Step]
) -> None:
    link = {"loss": loss, "reordering": loss, "reorder_delay": 0.3, "duplication": loss / 2}
    both = Pair(
        seed=seed,
        both={
            "grants": ALL,
            "association_max_retrans": 10**6,
            "path_max_retrans": 10**6,
            "rto_max": 2.0,
            "interleaving": interleaving,
            "scheduler": scheduler,
        },
    )
    for field, value in link.items():
        setattr(both.network.default_link, field, value)
    sent: dict[tuple[bool, int], list[bytes]] = {}
    answers: list[Answers] = []
    for number, step in enumerate(steps):
        both.run(step.wait)
        if step.kind < 5:
            kind = (OUT, IN, WHOLE, MORE_OUT, MORE_IN)[step.kind]
            streams = (step.stream,) if kind in (OUT, IN) and step.stream else ()
            added = step.stream + 1 if kind in (MORE_OUT, MORE_IN) else 0
            answers.append(ask(both, kind, *streams, added=added, of_b=step.of_b))
        else:
            data = b"%d/" % number + bytes(number * 40)
            (both.answer if step.of_b else both.send)(data, info(step.stream))
            sent.setdefault((step.of_b, step.stream), []).append(data)
    both.run(60.0)
    both.network.default_link.loss = 0.0
    both.run(60.0 + 35.0 * len(steps))
    assert both.up
    assert all(len(one) == 1 for one in answers)
    for of_b, engine in ((False, both.b), (True, both.a)):
        assert not failures(both.events[both.b if of_b else both.a])
        got = [e for e in both.events[engine] if isinstance(e, Message)]
        for stream in range(4):
            mine = [one.data for one in got if one.stream == stream]
            assert mine == sent.get((of_b, stream), [])
    for association, other in (
        (both.association, both.other),
        (both.other, both.association),
    ):
        assert association.outbound_streams == other.inbound_streams
        assert association.outbound.empty
        assert not association.outbound.held
        assert association.inbound is not None
        assert association.inbound.held == 0
