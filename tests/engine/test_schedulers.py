"""Which stream's message is sent next (RFC 8260 section 3), without interleaving."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from trio_sctp._engine import wire
from trio_sctp._options import Scheduler
from trio_sctp._values import FailedFragment, SendInfo

from ..support.counting import lines
from ..support.engines import FULL, B, Sent, info
from ..support.scripted_peer import ScriptedPeer

STREAMS = 65535
RR, PACKET, PRIORITY = Scheduler.ROUND_ROBIN, Scheduler.ROUND_ROBIN_PACKET, Scheduler.PRIORITY
FAIR, WEIGHTED = Scheduler.FAIR_BANDWIDTH, Scheduler.WEIGHTED_FAIR


def waiting(scheduler: Scheduler, streams: int = 10, **fields: Any) -> ScriptedPeer:
    """A peer whose window lets nothing leave."""
    peer = ScriptedPeer(scheduler=scheduler, heartbeats=False, outbound_streams=streams, **fields)
    peer.learn(peer.begin(inbound_streams=streams))
    peer.give(peer.cookie_echo())
    peer.events()
    peer.association.paths[B].cwnd = 0
    return peer


def queue(peer: ScriptedPeer, *messages: tuple[int, bytes], how: SendInfo | None = None) -> None:
    for stream, data in messages:
        id = peer.association.id
        peer.engine.queue(id, data, how or info(stream), peer.now)


def let_go(peer: ScriptedPeer) -> list[Sent]:
    """Let all leave that waits."""
    peer.association.paths[B].cwnd = peer.association.parameters.max_burst = 10**6
    peer.association.outbound.rwnd = 10**6
    peer.engine.flush(peer.association.id, peer.now)
    return peer.take()


def sent(packets: list[Sent]) -> list[tuple[int, bytes]]:
    """The streams and payloads of what has left."""
    return [
        (chunk.stream, chunk.payload) for packet in packets for chunk in packet.chunks(wire.Data)
    ]


def streams_of(packets: list[Sent]) -> list[int]:
    return [stream for stream, _ in sent(packets)]


def test_first_come_first_served_is_the_default() -> None:
    peer = ScriptedPeer()
    association = peer.accept()
    assert association.outbound.scheduler is Scheduler.FCFS
    association.paths[B].cwnd = 0
    messages = [(2, b"a"), (0, b"b"), (2, b"c"), (1, b"d")]
    queue(peer, *messages)
    assert sent(let_go(peer)) == messages


def test_round_robin_takes_each_stream_in_turn() -> None:
    peer = waiting(RR)
    queue(peer, *[(0, b"%d" % n) for n in range(4)], (1, b"x"), (1, b"y"), (2, b"z"))
    assert streams_of(let_go(peer)) == [0, 1, 2, 0, 1, 0, 0]


def test_a_message_that_has_begun_is_ended_first() -> None:
    peer = waiting(RR)
    queue(peer, (0, bytes(3 * FULL)), (1, b"x"))
    peer.association.paths[B].cwnd = 1
    peer.engine.flush(peer.association.id, peer.now)
    assert streams_of(peer.take()) == [0]
    assert streams_of(let_go(peer)) == [0, 0, 1]


def test_round_robin_by_packet_mixes_no_streams() -> None:
    peer = waiting(PACKET)
    queue(peer, *[(n % 3, bytes(100)) for n in range(36)])
    packets = let_go(peer)
    per_packet = [{chunk.stream for chunk in packet.chunks(wire.Data)} for packet in packets]
    assert per_packet == [{0}, {1}, {2}, {0}, {1}, {2}]
    assert len(sent(packets)) == 36


def test_the_stream_with_the_lowest_value_goes_first() -> None:
    peer = waiting(PRIORITY)
    outbound = peer.association.outbound
    outbound.set_stream_value(0, 7)
    queue(peer, (0, b"a"), (1, b"b"), (2, b"c"), (1, b"d"))
    outbound.set_stream_value(2, 7)  # while its message waits
    assert streams_of(let_go(peer)) == [1, 1, 0, 2]


def test_a_more_urgent_message_overtakes_those_that_wait() -> None:
    peer = waiting(PRIORITY)
    peer.association.outbound.set_stream_value(0, 1)
    queue(peer, (0, b"a"), (0, b"b"))
    queue(peer, (1, b"urgent"))
    assert streams_of(let_go(peer)) == [1, 0, 0]


def shares(peer: ScriptedPeer, sizes: dict[int, int], total: int) -> dict[int, int]:
    """The bytes that each stream has among the first so many, if all always have messages."""
    for stream, size in sizes.items():
        queue(peer, *[(stream, bytes(size))] * (total // size))
    got = dict.fromkeys(sizes, 0)
    for stream, payload in sent(let_go(peer)):
        got[stream] += len(payload)
        if sum(got.values()) >= total:
            break
    return got


def test_a_fair_share_of_the_bytes() -> None:
    got = shares(waiting(FAIR, send_buffer=10**6), {0: 1000, 1: 100, 2: 300}, 60_000)
    assert max(got.values()) - min(got.values()) <= 1000


def test_a_weighted_share_of_the_bytes() -> None:
    peer = waiting(WEIGHTED, send_buffer=10**6)
    for stream, weight in ((0, 1), (1, 2), (2, 3)):
        peer.association.outbound.set_stream_value(stream, weight)
    got = shares(peer, {0: 500, 1: 500, 2: 500}, 60_000)
    assert [round(bytes / 10_000) for bytes in got.values()] == [1, 2, 3]


def test_a_stream_that_was_idle_gets_no_more_than_its_share() -> None:
    peer = waiting(FAIR)
    queue(peer, *[(0, bytes(1000))] * 8)
    peer.association.paths[B].cwnd = 4000
    peer.engine.flush(peer.association.id, peer.now)
    assert len(sent(peer.take())) == 4
    queue(peer, *[(1, bytes(1000))] * 4)
    assert streams_of(let_go(peer))[:4] in ([0, 1, 0, 1], [1, 0, 1, 0])


@pytest.mark.parametrize("then", Scheduler)
@pytest.mark.parametrize("first", Scheduler)
def test_the_scheduler_changes_while_messages_wait(first: Scheduler, then: Scheduler) -> None:
    """None is lost, one that has begun is ended, and each stream keeps its order."""
    peer = waiting(first)
    outbound = peer.association.outbound
    queue(peer, (3, bytes(2 * FULL)), *[(n % 4, b"%03d" % n) for n in range(40)])
    peer.association.paths[B].cwnd = 1
    peer.engine.flush(peer.association.id, peer.now)
    packets = peer.take()
    begun = streams_of(packets)
    outbound.schedule_by(then)
    queue(peer, *[(n % 4, b"%03d" % n) for n in range(40, 48)])
    packets += let_go(peer)
    got = [(stream, payload) for stream, payload in sent(packets) if len(payload) == 3]
    for stream in range(4):
        assert [payload for at, payload in got if at == stream] == [
            b"%03d" % n for n in range(48) if n % 4 == stream
        ]
    if begun == [3] and len(packets[0].chunks(wire.Data)) == 1:
        assert streams_of(packets)[:2] == [3, 3]
    if then is Scheduler.FCFS and first is Scheduler.FCFS:
        assert [payload for _, payload in got] == [b"%03d" % n for n in range(48)]
    assert not outbound.queue
    assert outbound.messages == len(packets and outbound.outstanding) - 1


def test_messages_are_given_up_while_they_wait() -> None:
    """Those whose time is over, and those that make room for more urgent ones."""
    peer = waiting(RR, send_buffer_messages=6)
    queue(peer, (0, b"old"), how=info(0, lifetime=100))
    queue(peer, (1, b"old"), how=info(1, lifetime=100))
    for stream in (0, 1, 1, 2):
        queue(peer, (stream, b"spare"), how=info(stream, priority=5))
    queue(peer, (2, b"urgent"), how=info(2, priority=1))
    peer.now = 0.2
    assert sent(let_go(peer)) == [(0, b"spare"), (1, b"spare"), (2, b"urgent"), (1, b"spare")]
    failed = [record for record in peer.events() if isinstance(record, FailedFragment)]
    assert sorted((fragment.stream, fragment.data) for fragment in failed) == [
        (0, b"old"),
        (1, b"old"),
        (2, b"spare"),
    ]


def test_a_message_by_packet_is_given_up_and_others_go_on() -> None:
    peer = waiting(PACKET)
    queue(peer, (0, b"old"), how=info(0, lifetime=100))
    queue(peer, (1, b"x"))
    peer.now = 0.2
    assert sent(let_go(peer)) == [(1, b"x")]


@pytest.mark.parametrize("scheduler", Scheduler)
def test_messages_of_a_stream_that_is_held_come_behind_a_reset(scheduler: Scheduler) -> None:
    """RFC 6525 section 5.1.2."""
    peer = waiting(scheduler)
    outbound = peer.association.outbound
    queue(peer, (0, b"a"), (1, b"b"))
    outbound.hold([0])
    queue(peer, (0, b"c"), (1, b"d"))
    assert sorted(sent(let_go(peer))) == [(0, b"a"), (1, b"b"), (1, b"d")]
    assert not outbound.empty
    outbound.release(reset=True)
    (packet,) = let_go(peer)
    (chunk,) = packet.chunks(wire.Data)
    assert (chunk.payload, chunk.ssn) == (b"c", 0)


def test_the_end_fails_all_that_waits() -> None:
    peer = waiting(FAIR)
    queue(peer, (0, b"a"), (1, b"b"), (0, b"c"))
    peer.give(wire.abort_chunk())
    failed = [record for record in peer.events() if isinstance(record, FailedFragment)]
    assert [fragment.data for fragment in failed] == [b"a", b"b", b"c"]


def test_streams_that_the_peer_does_not_grant() -> None:
    peer = ScriptedPeer(scheduler=RR)
    peer.connect()
    queue(peer, (8, b"a"), (0, b"b"))
    peer.give(peer.init_ack(inbound_streams=2))
    outbound = peer.association.outbound
    assert [chunk.message.data for chunk in outbound.outstanding.values()] == [b"b"]
    assert outbound.messages == 1


@pytest.mark.parametrize("no_delay", [True, False])
def test_the_last_message_asks_for_a_sack_at_once_at_a_shutdown(no_delay: bool) -> None:
    peer = waiting(RR, no_delay=no_delay)
    queue(peer, (0, b"a"), (1, b"b"))
    peer.engine.shutdown(peer.association.id, peer.now)
    chunks = [chunk for packet in let_go(peer) for chunk in packet.chunks(wire.Data)]
    assert [chunk.immediate for chunk in chunks] == [False, True]


# -- costs -------------------------------------------------------------------------------------


def cost_of_messages(scheduler: Scheduler, streams: int, held: int = 0) -> float:
    """Lines of Python that a message takes until it is sent, with so many streams that wait."""
    peer = waiting(scheduler, STREAMS, send_buffer_messages=10**6)
    outbound = peer.association.outbound
    if held:
        outbound.hold(range(held))
        queue(peer, *[(stream, b"x") for stream in range(held)])
    queue(peer, *[(STREAMS - 1 - stream, b"x") for stream in range(streams)])
    id = peer.association.id
    count = 200

    def send() -> None:
        for stream in range(count):
            peer.engine.queue(id, b"x", info(STREAMS - 1 - stream % streams), peer.now)
        peer.association.paths[B].cwnd = peer.association.parameters.max_burst = 10**6
        outbound.rwnd = count
        peer.engine.flush(id, peer.now)

    cost = lines(send) / count
    assert len(outbound.outstanding) == count
    return cost


@pytest.mark.parametrize("scheduler", Scheduler)
def test_a_message_costs_the_same_however_many_streams_wait(scheduler: Scheduler) -> None:
    few, many = (cost_of_messages(scheduler, streams) for streams in (100, 5000))
    assert many <= few * 1.1


@pytest.mark.parametrize("scheduler", [Scheduler.FCFS, Scheduler.WEIGHTED_FAIR])
def test_a_message_costs_the_same_however_many_streams_are_held(scheduler: Scheduler) -> None:
    few, many = (cost_of_messages(scheduler, 100, held) for held in (10, 5000))
    assert many <= few * 1.1


def test_giving_values_costs_the_same_however_many_streams_wait() -> None:
    costs = []
    for streams in (100, 5000):
        peer = waiting(PRIORITY, STREAMS)
        queue(peer, *[(stream, b"x") for stream in range(streams)])
        change = peer.association.outbound.set_stream_value
        costs.append(
            sum(
                lines(functools.partial(change, stream, value))
                for stream in range(100)
                for value in (3, 2, 1)
            )
        )
    assert costs[1] <= costs[0] * 1.1
