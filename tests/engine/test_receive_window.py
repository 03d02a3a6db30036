"""What a receiver promises, and keeps (RFC 9260 section 6.2): the edge of its window.

The edge is the payload that has come once, as SACKs say, and the window told with it.
"""

from __future__ import annotations

import dataclasses
from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from trio_sctp._engine import wire
from trio_sctp._engine.parts import CHUNK_COST
from trio_sctp._engine.tsn import unwrap

from ..support.engines import A, payloads
from ..support.scripted_peer import ScriptedPeer
from .simulation import Pair

OVERHEAD = CHUNK_COST + wire.DATA_OVERHEAD
PHASES = [phase for phase in Phase if phase is not Phase.shrink]  # it would take minutes
LEAST = 1500
"""The least window that an INIT ACK tells (3.3.3)."""


@dataclasses.dataclass
class Told:
    """What the SACKs of a receiver have said, held against what was sent."""

    sizes: dict[int, int]
    edge: int
    acked: set[int] = dataclasses.field(default_factory=set[int])
    cumulative: int = 99
    rwnd: int = 0

    def take(self, sack: wire.Sack) -> None:
        """Look at the next SACK."""
        cumulative = unwrap(sack.cumulative_tsn, self.cumulative)
        acked = {tsn for tsn in self.sizes if tsn <= cumulative}
        for start, end in sack.gaps:
            acked.update(range(cumulative + start, cumulative + end + 1))
        assert self.acked <= acked, "what was acknowledged is taken back"
        edge = sum(self.sizes[tsn] for tsn in acked) + sack.rwnd
        assert edge >= self.edge, "the edge moves back"
        self.acked, self.edge = acked, edge
        self.cumulative, self.rwnd = cumulative, sack.rwnd


def run(window: int, sizes: list[int], seed: int, *, fragments: bool, unread: bool) -> int:
    """Have a peer that keeps to the window send what it may; some packets are lost or late.

    Returns the most bytes that were held at any time.
    """
    random = Random(seed)
    peer = ScriptedPeer(receive_window=window, first_window=window // 64, sack_delay=0.0)
    association = peer.accept()
    inbound = association.inbound
    assert inbound is not None
    first = association.parameters.first_promise
    told = Told({}, first, rwnd=first)
    out: dict[int, bytes] = {}  # what is under way
    most = left = 0
    for _ in range(150):
        size = random.choice(sizes)
        flight = sum(told.sizes[tsn] for tsn in out if tsn not in told.acked)
        while len(out) < 60 and flight + size <= told.rwnd:
            flags = 3
            if fragments:
                flags = 0 if left else 2
                left = left - 1 if left else random.randrange(1, 60)
                flags |= 0 if left else 1
            tsn = peer.tsn
            out[tsn] = peer.data(bytes(size), flags=flags, stream=0 if fragments else tsn % 3)
            told.sizes[tsn] = size
            flight += size
            size = random.choice(sizes)
        for tsn in random.sample(sorted(out), min(len(out), random.randrange(1, 20))):
            sent = peer.give(out.pop(tsn))
            for sack in (packet.get(wire.Sack) for packet in sent):
                told.take(sack)
            assert tsn in told.acked, "a chunk within the window is refused"
            most = max(most, inbound.held + association.unread.messages)
        if not unread and random.random() < 0.2:
            peer.engine.receive(random.randrange(1, 200), peer.now)
            for packet in peer.take():
                told.take(packet.get(wire.Sack))
    return most


@pytest.mark.parametrize("fragments", [False, True])
@given(
    window=st.sampled_from([LEAST, 5000, 20_000, 2**17, 2**20]),
    size=st.sampled_from([1, 2, 7, 16, 100, 500, 1200]),
    seed=st.integers(0, 2**32),
    unread=st.booleans(),
)
@settings(max_examples=15, deadline=None, phases=PHASES)
def test_a_peer_that_keeps_to_the_window_is_never_refused(
    fragments: bool, window: int, size: int, seed: int, unread: bool
) -> None:
    """Its messages have one size: it makes us hold no more than twice the receive window."""
    most = run(window, [size], seed, fragments=fragments, unread=unread)
    # Less than 1500 bytes cannot be promised.  A message that is delivered in pieces has one header
    # more.
    assert most <= max(2 * window, LEAST * (size + OVERHEAD) // size) + size + 20 * OVERHEAD


@given(
    window=st.sampled_from([LEAST, 5000, 20_000, 2**17, 2**20]),
    sizes=st.lists(st.integers(1, 1252), min_size=2, max_size=5),
    seed=st.integers(0, 2**32),
    fragments=st.booleans(),
)
@settings(max_examples=15, deadline=None, phases=PHASES)
def test_nor_if_its_messages_have_different_sizes(
    window: int, sizes: list[int], seed: int, fragments: bool
) -> None:
    run(window, sizes, seed, fragments=fragments, unread=False)


@pytest.mark.parametrize("size", [1, 16, 100, 1000])
@pytest.mark.parametrize("pause", [0.5, 5.0, 20.0, 60.0])
def test_a_program_that_pauses_costs_nothing(size: int, pause: float) -> None:
    """Nothing is lost, so nothing but probes of the shut window is refused or sent twice; and
    when the program reads again, the next message comes within two round trips."""
    delay = 0.01
    limits = {"receive_window": 2**15, "send_buffer": 2**15}
    pair = Pair(link={"delay": delay, "bandwidth": None}, both=limits)
    pair.reading.discard(pair.b)
    probes: set[int] = set()
    count = 0
    pauses = 3
    for _ in range(pauses):
        until = pair.now + pause
        while pair.now < until:
            while pair.association.outbound.has_room():
                pair.send(count.to_bytes(3, "big")[-size:] + bytes(max(size - 3, 0)))
                count += 1
            pair.run(0.05)
            if pair.association.outbound.probe is not None:
                probes.add(pair.association.outbound.probe.tsn & 0xFFFFFFFF)
        pair.reading.add(pair.b)
        pair.read()
        got = len(payloads(pair.events[pair.b]))
        started = pair.now
        pair.run_until(lambda: len(payloads(pair.events[pair.b])) > got)  # noqa: B023
        assert pair.now - started <= 4 * delay + 0.2
        pair.reading.discard(pair.b)
    pair.reading.add(pair.b)
    pair.run(100.0)
    assert len(payloads(pair.events[pair.b])) == count
    tsns = [data.tsn for sent in pair.data(A) for data in sent.chunks(wire.Data)]
    twice = [tsn for tsn in tsns if tsn not in probes]
    assert len(twice) == len(set(twice))
    assert len(probes) <= pauses


def test_a_flow_without_loss_has_the_whole_window_within_some_round_trips() -> None:
    """The small beginning does not slow it down."""
    pair = Pair(link={"delay": 0.05, "bandwidth": None})
    started = pair.now
    for _ in range(524):
        pair.send(bytes(1000))
    pair.run_until(lambda: len(payloads(pair.events[pair.b])) == 524)
    assert pair.now - started < 0.9  # so long does slow start take, whatever the window
    assert pair.association.outbound.largest_rwnd > 900_000


def test_zero_window_probes_are_refused_until_there_is_room() -> None:
    peer = ScriptedPeer(receive_window=20_000, sack_delay=0.0)
    rwnd = peer.accept().parameters.first_promise
    while rwnd:
        (answer,) = peer.give(peer.unordered(bytes(min(rwnd, 1000))))
        rwnd = answer.get(wire.Sack).rwnd
    acked = peer.tsn - 1
    probe = peer.unordered(b"x")
    for _ in range(10):
        (answer,) = peer.give(probe)
        assert answer.get(wire.Sack) == wire.Sack(acked, 0, [], [])
    held = peer.association.unread.messages
    peer.give(*[peer.unordered(b"more") for _ in range(50)])
    assert peer.association.unread.messages == held
    peer.engine.receive(2**20, peer.now)
    (answer,) = peer.take()
    assert answer.get(wire.Sack).rwnd == 20_000
    (answer,) = peer.give(probe)
    assert answer.get(wire.Sack).cumulative_tsn == acked + 1


def test_a_window_that_opens_is_told_of_at_once() -> None:
    """Whoever reads little by little tells of a quarter of the window, not of each message."""
    peer = ScriptedPeer(receive_window=100_000, sack_delay=0.0)
    peer.accept()
    for _ in range(100):
        peer.give(peer.unordered(bytes(1000)))
    told = 0
    while peer.engine.has_events():
        peer.engine.receive(1, peer.now)
        told += len(peer.take())
    assert told == 1


def test_a_message_whose_turn_comes_when_it_has_filled_the_window_goes_on() -> None:
    """Nothing else would ever make room: no part of it is delivered before its turn."""
    peer = ScriptedPeer(receive_window=20_000, heartbeats=False)
    peer.accept()
    first = peer.data(b"first")
    for number in range(19):
        flags = wire.FIRST if number == 0 else 0
        peer.give(peer.data(bytes(1000), ssn=1, flags=flags, tsn=peer.tsn + number))
    peer.tsn += 19
    peer.give(first)
    assert payloads(peer.events()) == [b"first"]
    inbound = peer.association.inbound
    assert inbound is not None
    assert inbound.window < 1000
    events = []
    for flags in (0, wire.LAST):
        peer.give(peer.data(bytes(1000), ssn=1, flags=flags))
        events += peer.events()
    assert payloads(events) == [bytes(21_000)]
    assert inbound.held == 0


def test_a_restart_in_the_midst_of_a_message_leaves_the_window_whole() -> None:
    """What was held back until that message ended is gone with it, and takes no room."""
    peer = ScriptedPeer(receive_window=20_000)
    peer.accept()
    for number in range(8):  # half of the window: it is delivered in pieces
        peer.give(peer.data(bytes(1200), flags=0 if number else 2))
    for _ in range(4):
        peer.give(peer.unordered(bytes(1000)))
    assert len(peer.events()) == 1
    peer.take()
    for number in range(3):
        peer.tag, peer.tsn = 77 + number, 100
        peer.accept(*peer.parameters)
        inbound = peer.association.inbound
        assert inbound is not None
        assert inbound.held == peer.association.unread.messages == 0
        assert inbound.advertise() == 20_000
