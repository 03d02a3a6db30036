"""Messages that are interleaved (RFC 8260 section 2): I-DATA, and I-FORWARD-TSN."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from trio_sctp._engine import wire
from trio_sctp._engine.parts import CHUNK_COST
from trio_sctp._engine.tsn import MASK
from trio_sctp._engine.wire import FIRST, LAST, UNORDERED, WHOLE, Cause, ChunkType, Tlv
from trio_sctp._options import Scheduler
from trio_sctp._values import (
    AssociationChange,
    AssociationState,
    FailedFragment,
    Message,
    PartialDeliveryAborted,
    Piece,
)

from ..support.counting import calls, lines
from ..support.engines import MTU, B, Sent, failures, info, payloads
from ..support.scripted_peer import COOKIE_ACK, PEER_COOKIE, ScriptedPeer
from .simulation import Pair

RR = Scheduler.ROUND_ROBIN
FULL = MTU - wire.HEADER_SIZE - wire.I_DATA_OVERHEAD
SKIPS = Tlv(wire.ParameterType.FORWARD_TSN_SUPPORTED, b"")


def names(*chunk_types: int) -> Tlv:
    """The chunk types that an INIT names."""
    return Tlv(wire.ParameterType.SUPPORTED_EXTENSIONS, bytes(chunk_types))


BOTH = names(ChunkType.I_DATA, ChunkType.I_FORWARD_TSN)
"""Behind FORWARD TSN Supported, if that is there, as with all stacks but Linux."""


class Interleaver(ScriptedPeer):
    """A peer that has agreed on interleaving."""

    def __init__(self, *parameters: Tlv, **fields: Any) -> None:
        super().__init__(interleaving=True, heartbeats=False, **fields)
        self.accept(*(parameters or (SKIPS, BOTH)))
        self.first = self.tsn

    def part(
        self,
        payload: bytes,
        fsn: int = 0,
        flags: int = 0,
        *,
        stream: int = 0,
        mid: int = 0,
        tsn: int | None = None,
    ) -> bytes:
        """An I-DATA chunk of the peer's, the next one unless a TSN is given; PPIDs are 7."""
        if tsn is None:
            tsn, self.tsn = self.tsn, (self.tsn + 1) & MASK
        number = 7 if flags & FIRST else fsn
        return wire.i_data_chunk(tsn, stream, mid, number, payload, flags)

    def whole(self, payload: bytes, flags: int = 0, **fields: Any) -> bytes:
        """An I-DATA chunk with a whole message."""
        return self.part(payload, 0, flags | WHOLE, **fields)

    def skip(self, tsn: int, *streams: tuple[int, int]) -> bytes:
        return wire.i_forward_tsn_chunk(tsn & MASK, streams)

    def received(self) -> list[bytes]:
        return payloads(self.events())

    def cause(self) -> tuple[int, bytes]:
        """Why the engine has ended the association."""
        (abort,) = [packet.get(wire.Abort) for packet in self.sent if packet.has(wire.Abort)]
        (cause,) = abort.causes
        return cause


def chunks(packets: list[Sent]) -> list[wire.IData]:
    return [chunk for packet in packets for chunk in packet.chunks(wire.IData)]


def skips_of(peer: ScriptedPeer) -> list[wire.IForwardTsn]:
    return [skip for packet in peer.sent for skip in packet.chunks(wire.IForwardTsn)]


# -- agreement (2.2.1) -------------------------------------------------------------------------


@pytest.mark.parametrize("named", [(), (ChunkType.I_FORWARD_TSN,), (ChunkType.FORWARD_TSN,)])
def test_it_is_used_only_if_the_peer_names_i_data(named: tuple[int, ...]) -> None:
    peer = Interleaver(names(*named))
    (packet,) = peer.send(b"x")
    assert packet.has(wire.Data)
    assert not chunks([packet])


def test_it_is_not_offered_unless_a_program_asks_for_it() -> None:
    for peer in ScriptedPeer(), ScriptedPeer(interleaving=True, partial_reliability=False):
        (named,) = [
            value
            for kind, value in peer.connect().parameters
            if kind == wire.ParameterType.SUPPORTED_EXTENSIONS
        ]
        asked = peer.engine.parameters.interleaving
        assert (ChunkType.I_DATA in named) is asked
        assert ChunkType.I_FORWARD_TSN not in named


def test_a_peer_that_offers_it_alone_sends_data() -> None:
    peer = ScriptedPeer()
    peer.accept(SKIPS, BOTH)
    peer.give(peer.data(b"x"))
    assert payloads(peer.events()) == [b"x"]


def test_the_end_that_connects_uses_it_too() -> None:
    peer = ScriptedPeer(interleaving=True)
    peer.connect()
    (echo,) = peer.give(peer.init_ack([PEER_COOKIE, SKIPS, BOTH]))
    assert echo.has(wire.CookieEcho)
    peer.give(COOKIE_ACK)
    (packet,) = peer.send(b"x")
    assert [chunk.mid for chunk in chunks([packet])] == [0]


@pytest.mark.parametrize("interleaving", [True, False])
@pytest.mark.parametrize("skip", [True, False])
def test_a_chunk_of_the_other_kind_ends_the_association(interleaving: bool, skip: bool) -> None:
    """Sections 2.2.3 and 2.3.1."""
    peer = ScriptedPeer(interleaving=True)
    peer.accept(SKIPS, *([BOTH] if interleaving else []))
    if skip:
        make = wire.forward_tsn_chunk if interleaving else wire.i_forward_tsn_chunk
        wrong = make(peer.tsn, [])
    else:
        wrong = peer.data() if interleaving else wire.i_data_chunk(peer.tsn, 0, 0, 0, b"x", WHOLE)
    (packet,) = peer.give(wrong)
    (cause,) = packet.get(wire.Abort).causes
    assert cause.type == Cause.PROTOCOL_VIOLATION
    (lost,) = [event for event in peer.events() if isinstance(event, AssociationChange)]
    assert lost.state is AssociationState.COMM_LOST


def test_an_i_data_chunk_without_data_ends_the_association() -> None:
    peer = Interleaver()
    peer.give(wire.chunk(ChunkType.I_DATA, (100).to_bytes(4, "big") + bytes(12), WHOLE))
    assert peer.cause() == (Cause.NO_USER_DATA, (100).to_bytes(4, "big"))


# -- sending (2.1, 2.2.2) ----------------------------------------------------------------------


def sender(**fields: Any) -> Interleaver:
    """An engine whose congestion window is large."""
    peer = Interleaver(rwnd=10**6, **fields)
    peer.association.paths[B].cwnd = peer.association.parameters.max_burst = 10**6
    return peer


def test_ordered_and_unordered_messages_of_each_stream_are_counted_apart() -> None:
    peer = sender()
    sent = [(0, False), (1, False), (0, True), (0, False), (1, True), (0, True)]
    for stream, unordered in sent:
        peer.send(b"x", info(stream, unordered=unordered))
    assert [(c.stream, c.unordered, c.mid) for c in chunks(peer.sent)] == [
        (0, False, 0),
        (1, False, 0),
        (0, True, 0),
        (0, False, 1),
        (1, True, 0),
        (0, True, 1),
    ]


def test_the_first_part_has_the_ppid_and_the_others_their_number() -> None:
    peer = sender()
    peer.send(bytes(3 * FULL), info(ppid=60))
    parts = chunks(peer.sent)
    assert [chunk.ppid for chunk in parts] == [60, 1, 2]
    assert [chunk.flags & WHOLE for chunk in parts] == [FIRST, 0, LAST]
    assert {chunk.mid for chunk in parts} == {0}
    assert [len(chunk.payload) for chunk in parts] == [FULL] * 3


def test_mids_wrap_around() -> None:
    peer = sender()
    peer.association.outbound._ssns[0] = MASK
    peer.send(b"x")
    peer.send(b"x")
    assert [chunk.mid for chunk in chunks(peer.sent)] == [MASK, 0]


@pytest.mark.parametrize("scheduler", Scheduler)
def test_parts_of_messages_alternate_as_the_scheduler_says(scheduler: Scheduler) -> None:
    peer = sender(scheduler=scheduler)
    peer.association.outbound.set_stream_value(1, 1)
    peer.association.outbound.set_stream_value(0, 2)
    peer.association.paths[B].cwnd = 0
    for stream in (0, 1):
        peer.engine.queue(peer.association.id, bytes(4 * FULL), info(stream), peer.now)
    peer.association.paths[B].cwnd = 10**6
    peer.engine.flush(peer.association.id, peer.now)
    parts = chunks(peer.take())
    expected = {
        Scheduler.FCFS: [0, 0, 0, 0, 1, 1, 1, 1],
        Scheduler.PRIORITY: [1, 1, 1, 1, 0, 0, 0, 0],
        Scheduler.WEIGHTED_FAIR: [0, 1, 0, 1, 0, 0, 1, 1],
    }
    assert [chunk.stream for chunk in parts] == expected.get(scheduler, [0, 1] * 4)
    for stream in (0, 1):
        assert [chunk.fsn for chunk in parts if chunk.stream == stream] == [0, 1, 2, 3]


def test_messages_of_one_stream_do_not_alternate() -> None:
    """Section 2.2.2, whether they are ordered or not."""
    peer = sender(scheduler=RR)
    peer.association.paths[B].cwnd = 0
    for unordered in (False, True):
        how = info(unordered=unordered)
        peer.engine.queue(peer.association.id, bytes(2 * FULL), how, peer.now)
    peer.association.paths[B].cwnd = 10**6
    peer.engine.flush(peer.association.id, peer.now)
    assert [chunk.unordered for chunk in chunks(peer.take())] == [False, False, True, True]


@pytest.mark.parametrize("then", Scheduler)
def test_the_scheduler_changes_between_parts(then: Scheduler) -> None:
    peer = sender(scheduler=RR)
    peer.association.paths[B].cwnd = 4 * FULL
    for stream in (0, 1, 2):
        peer.engine.queue(peer.association.id, bytes(4 * FULL), info(stream), peer.now)
    peer.engine.flush(peer.association.id, peer.now)
    assert [chunk.stream for chunk in chunks(peer.take())] == [0, 1, 2, 0]
    peer.association.outbound.schedule_by(then)
    peer.association.paths[B].cwnd = 10**6
    peer.engine.flush(peer.association.id, peer.now)
    peer.take()
    for stream in (0, 1, 2):
        parts = [chunk for chunk in chunks(peer.sent) if chunk.stream == stream]
        assert [chunk.fsn for chunk in parts] == [0, 1, 2, 3]
        assert parts[-1].last


# -- what others see of it ---------------------------------------------------------------------


URGENT = b"urgent"


def packets_before(*, interleaving: bool, scheduler: Scheduler) -> int:
    """How many packets with user data leave before a small message on another stream, which is
    sent while one of 16 MiB is under way on a slow link."""
    fields = {"interleaving": interleaving, "scheduler": scheduler, "send_buffer": 2**25}
    pair = Pair(both=fields, link={"bandwidth": 5e7, "delay": 0.02})
    pair.send(bytes(2**24))
    pair.run(1.0)
    before = len(pair.data())
    pair.send(URGENT, info(1))
    pair.run_until(lambda: URGENT in payloads(pair.events[pair.b][-3:]))
    kind: type[wire.Data] = wire.IData if interleaving else wire.Data
    (at,) = [
        number
        for number, packet in enumerate(pair.data())
        if any(chunk.payload == URGENT for chunk in packet.chunks(kind))
    ]
    return at - before


def test_a_small_message_leaves_with_the_next_packet_while_a_large_one_is_under_way() -> None:
    assert packets_before(interleaving=True, scheduler=RR) == 0


def test_without_interleaving_it_leaves_behind_the_large_one() -> None:
    assert packets_before(interleaving=False, scheduler=RR) > 5000


# -- receiving (2.2.3) -------------------------------------------------------------------------


def test_messages_are_put_together_by_stream_mid_and_fsn() -> None:
    peer = Interleaver()
    peer.give(peer.part(b"a0", 0, FIRST), peer.part(b"b0", 0, FIRST, stream=1))
    peer.give(peer.part(b"a1", 1), peer.part(b"b1", 1, LAST, stream=1))
    peer.give(peer.part(b"u0", 0, FIRST | UNORDERED), peer.part(b"a2", 2, LAST))
    peer.give(peer.part(b"u1", 1, LAST | UNORDERED))
    messages = [event for event in peer.events() if isinstance(event, Message)]
    assert [(m.data, m.stream, m.unordered) for m in messages] == [
        (b"b0b1", 1, False),
        (b"a0a1a2", 0, False),
        (b"u0u1", 0, True),
    ]
    assert [(m.mid, m.ssn, m.ppid, m.tsn) for m in messages] == [
        (0, 0, 7, peer.first + 1),
        (0, 0, 7, peer.first),
        (0, 0, 7, peer.first + 4),
    ]
    assert peer.association.inbound is not None
    assert peer.association.inbound.held == 0


def test_parts_come_in_any_order() -> None:
    for order in ([3, 1, 0, 2], [3, 2, 1, 0], [1, 2, 3, 0], [0, 2, 1, 3], [2, 3, 0, 1]):
        peer = Interleaver()
        flags = [FIRST, 0, 0, LAST]
        parts = [peer.part(b"%d" % n, n, flags[n]) for n in range(4)]
        for number in order:
            peer.give(parts[number])
        assert peer.received() == [b"0123"]
        assert peer.association.inbound is not None
        assert peer.association.inbound.held == 0


def test_tsns_say_nothing_of_what_belongs_together() -> None:
    """Section 2.2.3: a receiver makes no assumption about them."""
    peer = Interleaver()
    last, first, middle = (peer.tsn + n for n in range(3))
    peer.give(peer.part(b"c", 2, LAST, tsn=last))
    peer.give(peer.part(b"b", 1, tsn=middle), peer.part(b"a", 0, FIRST, tsn=first))
    assert peer.received() == [b"abc"]


def test_ordered_messages_wait_for_their_turn_by_mid() -> None:
    peer = Interleaver()
    peer.give(peer.whole(b"2", mid=2), peer.whole(b"1", mid=1))
    peer.give(peer.whole(b"u", UNORDERED, mid=9), peer.whole(b"other", stream=1))
    assert peer.received() == [b"u", b"other"]
    peer.give(peer.whole(b"0"))
    assert peer.received() == [b"0", b"1", b"2"]


def test_mids_and_their_halves_wrap_around() -> None:
    peer = Interleaver()
    inbound: Any = peer.association.inbound
    inbound._reach(0)
    inbound._next_mids[0] = MASK
    peer.give(peer.whole(b"1", mid=0), peer.whole(b"0", mid=MASK), peer.whole(b"2", mid=1))
    messages = [event for event in peer.events() if isinstance(event, Message)]
    assert [(m.data, m.mid, m.ssn) for m in messages] == [
        (b"0", MASK, 0xFFFF),
        (b"1", 0, 0),
        (b"2", 1, 1),
    ]


def test_the_numbers_of_parts_wrap_around() -> None:
    """Section 2.1: a message may have any number of parts."""
    peer = Interleaver(partial_delivery_point=1)
    peer.give(peer.part(b"a", 0, FIRST))
    (piece,) = peer.events()
    assert isinstance(piece, Piece)
    inbound: Any = peer.association.inbound
    (message,) = inbound._incomplete[0].values()
    message._next = message._farthest = MASK
    message._farthest -= 1
    peer.give(peer.part(b"c", 0), peer.part(b"b", MASK), peer.part(b"d", 1, LAST))
    assert payloads(peer.events())[-1].endswith(b"bcd")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([(0, FIRST), (1, 0), (1, 0)], "same number"),
        ([(3, 0), (4, 0), (3, 0)], "same number"),
        ([(3, 0), (3, 0)], "same number"),
        ([(0, FIRST), (0, FIRST)], "same number"),
        ([(0, FIRST), (0, 0)], "not the first"),
        ([(0, FIRST), (MASK, 0)], "same number"),
        ([(2, LAST), (3, 0)], "behind the end"),
        ([(3, 0), (2, LAST)], "behind the end"),
        ([(2, LAST), (4, LAST)], "behind the end"),
        ([(4, LAST), (2, LAST)], "behind the end"),
        ([(2, LAST), (2, LAST)], "same number"),
        ([(0, FIRST), (0, WHOLE)], "same message identifier"),
    ],
)
def test_parts_that_contradict_one_another(parts: list[tuple[int, int]], said: str) -> None:
    peer = Interleaver()
    for fsn, flags in parts:
        peer.give(peer.part(b"x", fsn, flags))
    kind, text = peer.cause()
    assert kind == Cause.PROTOCOL_VIOLATION
    assert said in text.decode()


def test_two_whole_messages_with_one_mid() -> None:
    peer = Interleaver()
    peer.give(peer.whole(b"x", mid=3))
    peer.give(peer.whole(b"x", mid=3))
    assert "same message identifier" in peer.cause()[1].decode()


# -- Linux, which counts the parts of a message from the second on -------------------------------

OF_LINUX = (names(ChunkType.FORWARD_TSN, ChunkType.I_DATA), SKIPS)
"""Linux names its extensions before their parameters, and does not name I-FORWARD-TSN."""


def test_parts_for_linux_have_its_numbers() -> None:
    peer = Interleaver(*OF_LINUX, rwnd=10**6)
    peer.association.paths[B].cwnd = peer.association.parameters.max_burst = 10**6
    peer.send(bytes(3 * FULL), info(ppid=60))
    assert [chunk.ppid for chunk in chunks(peer.sent)] == [60, 0, 1]


def test_parts_of_linux_are_put_together() -> None:
    peer = Interleaver(*OF_LINUX)
    last = peer.part(b"c", 1, LAST)
    peer.give(last, peer.part(b"a", 0, FIRST))
    assert not peer.received()
    peer.give(peer.part(b"b", 0))
    assert peer.received() == [b"abc"]


def test_messages_for_linux_are_given_up() -> None:
    peer = Interleaver(*OF_LINUX)
    peer.send(b"x", info(lifetime=500))
    peer.advance(1.5)
    assert skips_of(peer)


def test_the_end_that_connects_recognizes_linux_too() -> None:
    peer = ScriptedPeer(interleaving=True)
    peer.connect()
    peer.give(peer.init_ack([PEER_COOKIE, *OF_LINUX]))
    peer.give(COOKIE_ACK)
    peer.send(bytes(2 * FULL))
    assert chunks(peer.sent)[1].ppid == 0


# -- partial delivery --------------------------------------------------------------------------


def test_messages_of_several_streams_are_delivered_in_pieces_at_once() -> None:
    peer = Interleaver(receive_window=20_000)
    events = []
    for number in range(16):
        flags = FIRST if number == 0 else 0
        for stream in (0, 1):
            peer.give(peer.part(bytes([65 + stream]) * 1000, number, flags, stream=stream))
        events += peer.events()
    assert {event.message.stream for event in events if isinstance(event, Piece)} == {0, 1}
    for stream in (0, 1):
        peer.give(peer.part(b"end", 16, LAST, stream=stream))
    events += peer.events()
    assert payloads(events) == [b"A" * 16_000 + b"end", b"B" * 16_000 + b"end"]
    for event in events:
        message = event.message if isinstance(event, Piece) else event
        assert isinstance(message, Message)
        assert (message.ppid, message.mid) == (7, 0)
        assert message.tsn == peer.first + message.stream


def test_a_message_whose_turn_comes_when_the_window_is_full_makes_room() -> None:
    peer = Interleaver(receive_window=20_000)
    first = peer.tsn
    peer.tsn += 1
    parts = [peer.part(bytes(1000), number, FIRST * (not number), mid=1) for number in range(15)]
    for part in parts:
        peer.give(part)
    assert not peer.received()
    peer.give(peer.whole(b"x", tsn=first))
    whole, piece = peer.events()
    assert isinstance(whole, Message)
    assert isinstance(piece, Piece)
    assert len(piece.message.data) == 15_000
    assert peer.association.inbound is not None
    assert peer.association.inbound.window > 0 or peer.association.inbound.held < 1500


# -- giving up (2.3.1) -------------------------------------------------------------------------


def lossy(peer: Interleaver, *streams: tuple[int, bool]) -> None:
    """Send a message of two packets on each of these streams, of which nothing arrives, and let
    their time pass."""
    id = peer.association.id
    peer.association.paths[B].cwnd = 0
    for stream, unordered in streams:
        how = info(stream, unordered=unordered, lifetime=500)
        peer.engine.queue(id, bytes(2 * FULL), how, peer.now)
    peer.association.paths[B].cwnd = 10**6
    peer.engine.flush(id, peer.now)
    peer.take()
    peer.advance(1.5)


def test_the_peer_is_told_what_was_given_up_by_stream_and_order() -> None:
    peer = sender(scheduler=RR)
    lossy(peer, (0, False), (1, True), (2, False))
    (skip,) = skips_of(peer)
    assert skip.cumulative_tsn == (peer.their_tsn + 5) & MASK
    assert sorted(skip.streams) == [(0, 0), (3, 0), (4, 0)]
    assert len(failures(peer.events())) == 3
    peer.give(peer.sack_first(6))
    assert peer.association.outbound.empty


def test_a_message_is_given_up_whose_parts_others_stand_between() -> None:
    peer = sender(scheduler=RR)
    id = peer.association.id
    peer.association.paths[B].cwnd = 0
    peer.engine.queue(id, bytes(3 * FULL), info(0, lifetime=500), peer.now)
    peer.engine.queue(id, bytes(3 * FULL), info(1), peer.now)
    peer.association.paths[B].cwnd = 10**6
    peer.engine.flush(id, peer.now)
    peer.take()
    outbound = peer.association.outbound
    # The second message's parts have arrived, but for the last.
    peer.give(peer.sack(gaps=[(2, 2), (4, 4)]))
    peer.advance(1.5)
    assert len(failures(peer.events())) == 1
    assert outbound.flight == FULL
    (skip,) = skips_of(peer)
    assert skip.cumulative_tsn == peer.their_tsn
    peer.give(peer.sack_first(4))
    assert skips_of(peer)[-1].cumulative_tsn == (peer.their_tsn + 4) & MASK
    peer.give(peer.sack_first(6))
    assert outbound.empty


def test_it_names_no_more_streams_than_a_packet_has_room_for() -> None:
    peer = sender(scheduler=RR, outbound_streams=300)
    id = peer.association.id
    peer.association.outbound_streams = 300
    for stream in range(300):
        peer.engine.queue(id, b"x", info(stream, lifetime=500), peer.now)
    peer.engine.flush(id, peer.now)
    peer.take()
    peer.advance(1.5)
    skip = skips_of(peer)[0]
    assert 100 < len(skip.streams) < 160
    assert skip.cumulative_tsn == (peer.their_tsn + len(skip.streams) - 1) & MASK


def test_nothing_is_given_up_that_was_sent_unless_the_peer_names_i_forward_tsn() -> None:
    """Section 2.3.1: FORWARD TSN does not do for messages that are interleaved."""
    peer = Interleaver(SKIPS, names(ChunkType.I_DATA, ChunkType.FORWARD_TSN))
    peer.send(b"x", info(lifetime=500))
    peer.advance(1.5)
    assert not failures(peer.events())


def test_what_the_peer_gives_up_is_not_waited_for() -> None:
    peer = Interleaver()
    lost = peer.tsn
    peer.tsn += 1
    peer.give(peer.whole(b"1", mid=1), peer.part(b"u", 0, FIRST | UNORDERED, stream=1))
    assert not peer.received()
    peer.give(peer.skip(lost + 2, (0, 0), (3, 0)))
    assert peer.received() == [b"1"]
    assert peer.association.inbound is not None
    assert peer.association.inbound.held == 0
    assert peer.association.inbound.cumulative & MASK == lost + 2


def test_whole_messages_before_the_last_that_was_given_up_are_delivered() -> None:
    peer = Interleaver()
    peer.tsn += 1
    peer.give(peer.whole(b"1", mid=1), peer.whole(b"3", mid=3))
    peer.tsn += 1
    peer.give(peer.whole(b"5", mid=5))
    peer.give(peer.skip(peer.tsn - 1, (0, 4)))
    assert peer.received() == [b"1", b"3", b"5"]


@pytest.mark.parametrize("flags", [0, UNORDERED])
def test_late_parts_of_what_was_given_up_are_dropped(flags: int) -> None:
    """They would be kept for ever: their TSNs may be above the one up to which the peer skips."""
    peer = Interleaver()
    peer.give(peer.part(b"a", 0, FIRST | flags))
    between = peer.tsn
    peer.tsn += 1
    peer.give(peer.skip(between, (1 if flags else 0, 0)))
    peer.give(peer.part(b"b", 1, flags), peer.part(b"c", 2, LAST | flags))
    assert not peer.received()
    assert peer.association.inbound is not None
    assert peer.association.inbound.held == 0
    peer.give(peer.whole(b"next", flags, mid=1))
    assert peer.received() == [b"next"]


def test_half_of_all_mids_later_nothing_is_known_of_what_was_given_up() -> None:
    """Unordered messages have no turn that would move on with their MIDs."""
    peer = Interleaver()
    peer.give(peer.skip(peer.tsn, (1, 5)))
    for _ in range(2):
        peer.tsn += 2**29
        peer.give(peer.skip(peer.tsn))
    peer.tsn += 1
    for part, flags in ((b"long ", FIRST), (b"after", LAST)):
        peer.give(peer.part(part, 1, flags | UNORDERED, mid=6 + 2**31))
    assert peer.received() == [b"long after"]
    # What is given up now is known again.
    peer.give(peer.skip(peer.tsn, (1, 7 + 2**31)))
    peer.tsn += 1
    peer.give(peer.part(b"late", 1, LAST | UNORDERED, mid=7 + 2**31))
    inbound = peer.association.inbound
    assert inbound is not None
    assert inbound.held == 0


def test_a_message_that_was_delivered_in_part_is_given_up() -> None:
    peer = Interleaver(partial_delivery_point=1)
    peer.give(peer.part(b"a", 0, FIRST, stream=1), peer.part(b"b", 0, FIRST | UNORDERED, stream=2))
    assert len(peer.events()) == 2
    peer.give(peer.skip(peer.tsn, (2, 0), (5, 0)))
    assert peer.events() == [
        PartialDeliveryAborted(
            association_id=peer.association.id,
            indication=0,
            stream=stream,
            ssn=0,
            unordered=unordered,
            mid=0,
        )
        for stream, unordered in ((1, False), (2, True))
    ]


def test_a_skip_of_a_stream_that_there_is_not() -> None:
    peer = Interleaver()
    peer.give(peer.skip(peer.tsn, (2 * 60_000, 1), (2 * 60_000 + 1, 1)))
    assert peer.association.inbound is not None
    assert peer.association.inbound.streams_cost == 0


# -- streams that begin again (2.3.2) ----------------------------------------------------------


def test_a_stream_begins_again_at_the_sender() -> None:
    peer = sender()
    outbound = peer.association.outbound
    for reset in (False, True):
        for unordered in (False, True):
            peer.send(b"x", info(3, unordered=unordered))
        peer.send(b"x", info(4))
        outbound.hold([3])
        outbound.release(reset=not reset)
    mids = [(chunk.stream, chunk.mid) for chunk in chunks(peer.sent)]
    assert mids == [(3, 0), (3, 0), (4, 0), (3, 0), (3, 0), (4, 1)]


def test_a_stream_begins_again_at_the_receiver() -> None:
    """What comes behind the reset waits until all before it has come."""
    peer = Interleaver()
    inbound = peer.association.inbound
    assert inbound is not None
    lost = peer.whole(b"a", stream=3)
    peer.give(peer.part(b"u", 0, FIRST | UNORDERED, stream=3))
    inbound.reset_at(peer.tsn - 1, (3,))
    peer.give(peer.whole(b"b", stream=3), peer.part(b"c", 0, FIRST, stream=3, mid=1))
    assert not peer.received()
    peer.give(lost)
    assert inbound.finish_reset() == (3,)
    peer.give(peer.part(b"d", 1, LAST, stream=3, mid=1))
    assert peer.received() == [b"a", b"b", b"cd"]
    assert inbound.held == 0


@pytest.mark.parametrize("interleaving", [True, False])
def test_chunks_that_waited_for_a_reset_and_contradict_one_another(interleaving: bool) -> None:
    """They end the association when they are looked at, as others do."""
    peer = ScriptedPeer(interleaving=interleaving, grants=7)
    extensions = names(ChunkType.RE_CONFIG, *([ChunkType.I_DATA] * interleaving))
    peer.accept(SKIPS, extensions)
    lost, first = peer.tsn, (peer.tsn + 1) & MASK
    request = wire.ReconfigRequest(wire.ReconfigParameter.OUTGOING_RESET, first - 1, 0, lost, (1,))
    peer.give(wire.reconfig_chunk(wire.Reconfig([], [request])))

    def whole(tsn: int) -> bytes:
        if interleaving:
            return wire.i_data_chunk(tsn, 1, 5, 0, b"x", WHOLE)
        return wire.data_chunk(tsn, 1, 5, 0, b"x", WHOLE)

    peer.give(whole(first), whole(first + 1))
    stream_0 = wire.i_data_chunk if interleaving else wire.data_chunk
    answers = peer.give(stream_0(lost, 0, 0, 0, b"y", WHOLE))
    (abort,) = [packet.get(wire.Abort) for packet in answers if packet.has(wire.Abort)]
    assert abort.causes[0].type == Cause.PROTOCOL_VIOLATION
    assert b"two messages with the same" in abort.causes[0].value


# -- bounds ------------------------------------------------------------------------------------


def test_what_incomplete_messages_take_is_counted() -> None:
    """A peer that begins messages without end fills the window, and is taken no more from."""
    peer = Interleaver(receive_window=20_000, first_window=20_000)
    inbound = peer.association.inbound
    assert inbound is not None
    for number in range(500):
        peer.give(peer.part(b"x", 0, FIRST | UNORDERED, mid=number))
    assert inbound.held >= 500 * CHUNK_COST
    assert inbound.memory <= 500 * 1000
    assert inbound.window < 20_000


def test_failed_messages_are_reported_at_the_end() -> None:
    peer = sender(scheduler=RR)
    peer.association.paths[B].cwnd = 1
    for stream in (0, 1):
        peer.engine.queue(peer.association.id, bytes(3 * FULL), info(stream), peer.now)
    peer.engine.flush(peer.association.id, peer.now)
    peer.give(wire.abort_chunk())
    failed = [event for event in peer.events() if isinstance(event, FailedFragment)]
    assert sorted((fragment.stream, fragment.sent) for fragment in failed) == [
        (0, True),
        (1, False),
    ]


FROM_PEERS: dict[str, Callable[[Interleaver], list[bytes]]] = {
    "whole messages": lambda peer: [peer.whole(b"x", UNORDERED) for _ in range(2600)],
    "messages that wait": lambda peer: [peer.whole(b"x", mid=3000 - n) for n in range(2600)],
    "messages that begin": lambda peer: [peer.part(b"x", 0, FIRST, mid=n) for n in range(2600)],
    "parts in reverse order": lambda peer: [peer.part(b"x", 3000 - n) for n in range(2600)],
    "parts with gaps": lambda peer: [peer.part(b"x", 2 * n + 1) for n in range(2600)],
    "a part of each stream": lambda peer: [
        peer.part(b"x", n // 10, FIRST * (n < 10), stream=n % 10) for n in range(2600)
    ],
    "skips of all streams": lambda peer: [
        peer.skip(peer.tsn, *((order, 5) for order in range(8000)))
    ],
    "one stream that is skipped often": lambda peer: [peer.skip(peer.tsn, *[(0, 5)] * 8000)],
    "skips": lambda peer: [peer.skip(peer.tsn + n, (0, n)) for n in range(4000)],
}


@pytest.mark.parametrize("kind", FROM_PEERS)
def test_what_a_packet_of_the_peer_costs(kind: str) -> None:
    """As in test_packet_costs.py, also with a thousand messages that are incomplete."""
    for incomplete in (0, 1000):
        peer = Interleaver()
        for number in range(incomplete):
            peer.give(peer.part(b"x", 0, FIRST, mid=100_000 + number))
        peer.events()
        packet = peer.packet(*FROM_PEERS[kind](peer))
        cost = calls(partial(peer.engine.receive_packet, packet, peer.route, peer.now))
        assert cost < 3000 + 2000 * len(packet) / 1024


def test_a_part_costs_the_same_however_many_messages_are_incomplete() -> None:
    costs = []
    for count in (50, 1000):
        peer = Interleaver(receive_window=2**22)
        for number in range(count):
            flags = FIRST | UNORDERED
            peer.give(
                peer.part(b"x", 0, flags, mid=number), peer.part(b"x", 2, UNORDERED, mid=number)
            )
        packets = [peer.packet(peer.part(b"x", 1, UNORDERED, mid=number)) for number in range(20)]

        def give(peer: Interleaver = peer, packets: list[bytes] = packets) -> None:
            for packet in packets:
                peer.engine.receive_packet(packet, peer.route, peer.now)

        costs.append(lines(give))
    assert abs(costs[1] - costs[0]) <= costs[0] / 10


def test_giving_up_costs_the_same_however_many_parts_of_others_are_outstanding() -> None:
    """A message's parts are found without a look at those between them."""
    costs = []
    for others in (0, 50):
        peer = sender(scheduler=RR, send_buffer=10**7)
        id = peer.association.id
        peer.association.paths[B].cwnd = 0
        for stream in range(1 + others):
            how = info(stream % 10, lifetime=0 if stream else 500)
            peer.engine.queue(id, bytes(10 * FULL), how, peer.now)
        peer.association.paths[B].cwnd = 10**6
        peer.engine.flush(id, peer.now)
        peer.take()
        outbound, path = peer.association.outbound, peer.association.paths[B]
        message = outbound.outstanding[outbound.cumulative + 1].message
        costs.append(lines(partial(outbound.abandon, message, path)))
        assert not outbound.outstanding[outbound.cumulative + 1].counted
    assert abs(costs[1] - costs[0]) <= costs[0] / 2
