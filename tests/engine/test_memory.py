"""What a peer can make us hold, measured: bytes in memory for each byte that it sends."""

from __future__ import annotations

import functools
import gc
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pytest

from trio_sctp._engine import Parameters, wire
from trio_sctp._engine.wire import FIRST, UNORDERED, WHOLE, Cause, ChunkType, Tlv
from trio_sctp._values import AssociationChange

from ..support.counting import calls, lines
from ..support.engines import FULL, cookie_of, parsed
from ..support.scripted_peer import ScriptedPeer

MOST = 8
"""Bytes that may be held for each byte that was sent."""
FOR_WHAT_HAS_ENDED = 9  # two events take a whole block of a queue, and a handshake is short

ASSOCIATION = 16 * 1024
STREAM_NUMBERS = 128 * 1024
"""Beside that, for each association."""

ROOM = 1400
"""Bytes of chunks in a packet."""


def begun() -> ScriptedPeer:
    """An association with as many streams as there can be, and with room for much."""
    peer = ScriptedPeer(parameters=Parameters(receive_window=2**24))
    peer.parameters = [Tlv(wire.ParameterType.FORWARD_TSN_SUPPORTED, b"")]
    peer.learn(peer.begin(outbound_streams=65535))
    peer.give(peer.cookie_echo())
    peer.events()
    return peer


def packets(peer: ScriptedPeer, chunks: Sequence[bytes]) -> Iterator[bytes]:
    """Packets with these chunks."""
    size = 0
    some: list[bytes] = []
    for chunk in chunks:
        if some and size + len(chunk) > ROOM:
            yield peer.packet(*some)
            some, size = [], 0
        some.append(chunk)
        size += len(chunk)
    yield peer.packet(*some)


def data(peer: ScriptedPeer, number: int, flags: int, stream: int = 0, ssn: int = 0) -> bytes:
    return wire.data_chunk(peer.tsn + number, stream, ssn, 0, b"x", flags)


Make = Callable[[ScriptedPeer, int], list[bytes]]

KINDS: dict[str, Make] = {
    "messages that nobody reads": lambda peer, count: [
        data(peer, n, WHOLE, ssn=n & 0xFFFF) for n in range(count)
    ],
    "messages that wait for their turn": lambda peer, count: [
        data(peer, n, WHOLE, ssn=n + 1) for n in range(count)
    ],
    "messages that wait, the last first": lambda peer, count: [
        data(peer, n, WHOLE, ssn=count - n) for n in range(count)
    ],
    "a message that waits on each stream": lambda peer, count: [
        data(peer, n, WHOLE, stream=n, ssn=1) for n in range(count)
    ],
    "two messages that wait on each stream": lambda peer, count: [
        data(peer, n, WHOLE, stream=n // 2, ssn=1 + n % 2) for n in range(count)
    ],
    "messages of which every second is missing": lambda peer, count: [
        data(peer, 2 * n + 1, WHOLE | UNORDERED) for n in range(count)
    ],
    "fragments of one message": lambda peer, count: [
        data(peer, n, FIRST * (n == 0)) for n in range(count)
    ],
    "fragments of which every second is missing": lambda peer, count: [
        data(peer, 2 * n + 1, 0) for n in range(count)
    ],
    "fragments of which every third is missing": lambda peer, count: [
        data(peer, n + n // 2 + 1, 0) for n in range(count)
    ],
    "beginnings of messages": lambda peer, count: [
        data(peer, n, FIRST | UNORDERED) for n in range(count)
    ],
    "FORWARD TSNs of streams": lambda peer, count: [
        wire.forward_tsn_chunk(peer.tsn + n // 300, [(s, 7) for s in range(n, min(n + 300, count))])
        for n in range(0, count, 300)
    ],
    "ERROR chunks": lambda peer, count: [wire.error_chunk([Tlv(9, b"")])] * count,
}


class Held(NamedTuple):
    """What is held after a number of chunks: in memory, by the account; and the bytes sent."""

    memory: int
    counted: int
    sent: int


def held(make: Make, count: int) -> Held:
    peer = begun()
    arriving = list(packets(peer, make(peer, count)))
    engine = peer.engine
    before = engine.account.held
    gc.collect()
    tracemalloc.start()
    try:
        for packet in arriving:
            engine.receive_packet(packet, peer.route, 0.0)
            engine.packets_to_send()
        gc.collect()
        memory, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert engine.associations
    return Held(memory, engine.account.held - before, sum(map(len, arriving)))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_held_is_in_proportion_to_what_was_sent(kind: str) -> None:
    few, many = held(KINDS[kind], 5000), held(KINDS[kind], 15_000)
    assert many.memory - few.memory < MOST * (many.sent - few.sent)
    assert many.memory < MOST * many.sent + ASSOCIATION + STREAM_NUMBERS
    # The process grows by no more than 1.5 times what the account says.
    assert many.memory <= 1.5 * many.counted + ASSOCIATION


def test_tsns_that_are_missing_are_counted_when_what_came_between_them_is_read() -> None:
    few, many = 1000, 9000
    peer = begun()
    gc.collect()
    tracemalloc.start()
    try:
        seen = []
        for start, end in ((0, few), (few, many)):
            chunks = [data(peer, 2 * n + 1, WHOLE | UNORDERED) for n in range(start, end)]
            for packet in packets(peer, chunks):
                peer.give_raw(packet)
                peer.events()
            peer.sent.clear()
            del chunks, packet
            gc.collect()
            seen.append((tracemalloc.get_traced_memory()[0], peer.engine.account.held))
    finally:
        tracemalloc.stop()
    memory, counted = (after - before for before, after in zip(*seen, strict=True))
    assert memory > 8 * (many - few)
    assert memory <= 1.5 * counted


def set_up(peer: ScriptedPeer, reason: bytes | None = None) -> int:
    """Have the peer set an association up, or restart it; and abort it, if there is a reason.

    Returns the bytes that it sent.
    """
    peer.tag += 1
    engine = peer.engine
    init = peer.packet(peer.init(), tag=0)
    engine.receive_packet(init, peer.route, peer.now)
    (answer,) = engine.packets_to_send()
    (ack,) = parsed(answer.data).chunks
    assert isinstance(ack, wire.InitAck)
    peer.their_tag = ack.tag
    sent = [init, peer.packet(wire.chunk(ChunkType.COOKIE_ECHO, cookie_of(ack)))]
    if reason is not None:
        sent.append(peer.packet(wire.abort_chunk([Tlv(Cause.USER_INITIATED_ABORT, reason)])))
    for packet in sent[1:]:
        engine.receive_packet(packet, peer.route, peer.now)
    engine.packets_to_send()
    return sum(map(len, sent))


@pytest.mark.parametrize(
    ("reason", "count"),
    [
        pytest.param(None, 300, id="restarts"),
        pytest.param(b"", 300, id="associations that come and go"),
        pytest.param(bytes(60_000), 20, id="aborts with long reasons"),
    ],
)
def test_what_happens_to_associations_is_in_proportion_too(
    reason: bytes | None, count: int
) -> None:
    """Nobody reads of it."""
    peer = ScriptedPeer()
    for _ in range(20):
        set_up(peer, reason)
    peer.events()
    before = peer.engine.account.held
    gc.collect()
    tracemalloc.start()
    try:
        sent = sum(set_up(peer, reason) for _ in range(count))
        gc.collect()
        memory, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert memory < FOR_WHAT_HAS_ENDED * sent + ASSOCIATION
    # Beside what is counted, each leaves a used tag, of which there is a fixed number.
    assert memory <= 1.5 * (peer.engine.account.held - before) + ASSOCIATION + 300 * count


def test_restarts_that_nobody_has_read_of_are_one() -> None:
    peer = ScriptedPeer()
    for _ in range(100):
        set_up(peer)
    changes = [event for event in peer.events() if isinstance(event, AssociationChange)]
    assert len(changes) == 2  # it came up, and it began anew
    set_up(peer)
    assert len(peer.events()) == 1


def test_a_long_reason_is_kept_once_and_is_whole() -> None:
    reason = bytes(range(250)) * 240
    peer = ScriptedPeer()
    set_up(peer, reason)
    assert peer.engine.account.held < 1.2 * len(reason)
    _, end = peer.events()
    assert isinstance(end, AssociationChange)
    assert end.reason == reason


def test_an_idle_association_takes_no_more_than_is_counted() -> None:
    peer = ScriptedPeer()
    count = 300
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(count):
            peer.route = peer.route_from(f"10.1.{number >> 8}.{number & 255}")
            set_up(peer)
        peer.engine.receive(2**20, 0.0)
        gc.collect()
        memory, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(peer.engine.associations) == count
    assert memory <= 1.5 * peer.engine.account.held
    assert memory < ASSOCIATION * count


@pytest.mark.parametrize("size", [2, 10, 16, 50, 100, 400, FULL])
def test_a_peer_that_keeps_to_the_window_fills_the_buffer_twice_at_most(size: int) -> None:
    """Also after thousands of messages, when only the sizes of the latest are remembered."""
    window = 2**17
    peer = ScriptedPeer(receive_window=window, first_window=window // 64, sack_delay=0.0)
    association = peer.accept()
    inbound = association.inbound
    assert inbound is not None
    for _ in range(3):
        for _ in range(200):
            peer.give(*[peer.unordered(bytes(size)) for _ in range(max(1, FULL // (size + 16)))])
            peer.events()
        while inbound.window >= size:
            peer.give(peer.unordered(bytes(size)))
        most = inbound.memory + association.unread.messages
        assert window // 2 < most <= 2 * window
        peer.events()


# -- what it costs to finish what was held ---


def test_the_forward_tsns_of_a_packet_are_one_pass() -> None:
    """What many cost beyond one does not depend on what is held, and that is gone over once."""
    beyond = []
    for fragments in (100, 1300):
        costs = []
        for chunks in (1, 140):
            peer = begun()
            held = [data(peer, 2 * n + 1, 0) for n in range(fragments)]
            for packet in packets(peer, held):
                peer.give_raw(packet)
            last = peer.tsn + 2 * fragments + 1
            skips = [wire.forward_tsn_chunk(last - chunks + n, []) for n in range(1, chunks + 1)]
            receive = functools.partial(
                peer.engine.receive_packet, peer.packet(*skips), peer.route, 0.0
            )
            costs.append(lines(receive))
            inbound = peer.association.inbound
            assert inbound is not None
            assert inbound.held == 0
        assert costs[0] < 1000 + 20 * fragments
        beyond.append(costs[1] - costs[0])
    assert abs(beyond[1] - beyond[0]) <= beyond[0] / 10
    assert beyond[0] < 60 * 140


@pytest.mark.parametrize("streams", ["one stream", "many streams"])
def test_a_message_in_its_turn_costs_the_same_however_many_wait(streams: str) -> None:
    costs = []
    for waiting in (1000, 10_000):
        peer = begun()
        chunks = [
            data(peer, n, WHOLE, ssn=n + 2)
            if streams == "one stream"
            else data(peer, n, WHOLE, stream=n + 1, ssn=1)
            for n in range(waiting)
        ]
        for packet in packets(peer, chunks):
            peer.give_raw(packet)
        packet = peer.packet(data(peer, waiting, WHOLE))
        receive = functools.partial(peer.engine.receive_packet, packet, peer.route, 0.0)
        costs.append(calls(receive))
        assert len(peer.events()) == 1
    assert abs(costs[1] - costs[0]) <= costs[0] / 10


@pytest.mark.parametrize("stream", [0, 4, 9])
def test_the_numbers_of_streams_take_two_bytes_each_up_to_the_highest_in_use(stream: int) -> None:
    peer = ScriptedPeer()
    inbound = peer.accept().inbound
    assert inbound is not None
    peer.give(peer.data(stream=stream))
    assert inbound.streams_cost == 2 * (stream + 1)
