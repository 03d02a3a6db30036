"""The rules for senders of user data: engines keep them, and one that does not is found out."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from math import inf
from random import Random
from typing import Any, NamedTuple, cast

import pytest

from trio_sctp._engine import Engine, Parameters, wire
from trio_sctp._engine.wire import ChunkType

from ..support.engines import FULL, MTU, A, B, payloads
from ..support.scripted_peer import ScriptedPeer
from .address_rules import RuleBroken
from .sending_rules import Referee, SendingRules, TrackedChunk, WatchedEngine
from .simulation import Pair

MESSAGES = 200


class Scenario(NamedTuple):
    """Two engines that send to one another over a slow link."""

    sizes: Sequence[int] = (10, 100, 1000, 1240, 1252, 5000)
    loss: float = 0.0
    window: int = 2**20
    slow: bool = False  # one that does not read all at once
    pause: float = 0.0  # seconds before it reads at all


SCENARIOS = {
    "a queue that overflows": Scenario(),
    "some loss": Scenario(loss=0.05),
    "much loss": Scenario(loss=0.2),
    "a full window": Scenario(loss=0.01, window=20_000, slow=True),
    "a program that pauses": Scenario(window=20_000, slow=True, pause=30.0),
    "small messages": Scenario(sizes=(1, 2, 3, 400), loss=0.1, window=20_000, slow=True),
}


MakeReferee = Callable[[Parameters, Callable[[], int]], Referee]


class WatchedPair(Pair):
    """A pair whose two engines are watched by referees of that kind."""

    def __init__(self, referee: MakeReferee = SendingRules, **others: Any) -> None:
        self.watched: list[WatchedEngine] = []

        def make_engine(*args: Any, **keywords: Any) -> Engine:
            engine = WatchedEngine(Engine(*args, **keywords), referee)
            self.watched.append(engine)
            return cast(Engine, engine)

        super().__init__(make_engine=make_engine, **others)


def run(scenario: Scenario, seed: int, referee: MakeReferee = SendingRules) -> Counter[str]:
    """Run it until all has arrived; returns what the two senders had to do."""
    link = {"delay": 0.02, "bandwidth": 2e6, "queue": 30, "loss": scenario.loss}
    pair = WatchedPair(referee, seed=seed, link=link, both={"receive_window": scenario.window})
    random = Random(seed)
    messages = [random.randbytes(random.choice(scenario.sizes)) for _ in range(MESSAGES)]
    there, back = iter(messages), iter(messages)
    if scenario.slow:
        pair.reading.clear()
    while not all(len(payloads(pair.events[e])) == MESSAGES for e in pair.engines):
        while pair.association.outbound.has_room() and (data := next(there, None)) is not None:
            pair.send(data)
        while pair.other.outbound.has_room() and (data := next(back, None)) is not None:
            pair.answer(data)
        pair.run(0.3 if pair.now > scenario.pause else scenario.pause)
        for engine in pair.engines:
            pair.events[engine] += engine.receive(5, pair.now)
        assert pair.now < 1000
    assert payloads(pair.events[pair.a]) == payloads(pair.events[pair.b]) == messages
    first, second = pair.watched
    seen = first.rules.seen + second.rules.seen
    assert seen["packets"] == len(pair.data(A)) + len(pair.data(B))
    return seen


@pytest.mark.parametrize(
    ("name", "happens"),
    [
        ("a queue that overflows", {"growths", "fast retransmissions", "losses in fast recovery"}),
        ("some loss", {"growths", "fast retransmissions", "losses in fast recovery", "timeouts"}),
        ("much loss", {"growths", "fast retransmissions", "losses in fast recovery", "timeouts"}),
        ("a full window", {"growths", "probes"}),
        ("a program that pauses", {"growths", "probes"}),
        ("small messages", {"growths", "probes", "fast retransmissions", "timeouts"}),
    ],
)
def test_they_are_kept(name: str, happens: set[str]) -> None:
    seen = Counter[str]()
    for seed in range(3):
        seen += run(SCENARIOS[name], seed)
    assert seen["packets"] > MESSAGES
    assert happens <= seen.keys()


# -- engines that do not keep them -------------------------------------------------------------

FLOOR = 4 * MTU
"""The least cwnd in bytes that a loss leaves (7.2.3)."""

_MASK = 2**32 - 1
_HEADER = struct.Struct("!HHI")


class Fault:
    """Stands between an engine and its referee, and shows it what no good engine does.

    The base class shows everything as it is.

    Attributes:
      rules: The referee.
      tampered: How often the referee was shown something else.
      arriving: Whether the referee is being told of a packet that has arrived.
    """

    def __init__(self, parameters: Parameters, cwnd: Callable[[], int]) -> None:
        self.rules = SendingRules(parameters, self._told_cwnd)
        self.tampered = 0
        self.arriving = False
        self._true_cwnd = cwnd

    @property
    def seen(self) -> Counter[str]:
        return self.rules.seen

    def sent(self, packet: bytes, now: float) -> None:
        self.rules.sent(packet, now)

    def arrived(self, packet: bytes, now: float) -> None:
        self.arriving = True
        self.rules.arrived(packet, now)
        self.arriving = False

    def passed(self, now: float) -> None:
        self.rules.passed(now)

    def occasion(self) -> None:
        self.rules.occasion()

    def cwnd(self, true: int) -> int:
        """What the referee is told of cwnd."""
        return true

    def _told_cwnd(self) -> int:
        true = self._true_cwnd()
        told = self.cwnd(true)
        self.tampered += told != true
        return told

    # -- for faults ---

    def lie(self, packet: bytes, now: float) -> None:
        """Show a packet that has not left."""
        self.tampered += 1
        self.rules.sent(packet, now)

    def room_for_a_packet(self) -> bool:
        """Whether cwnd, Max.Burst and T3-rtx allow one more packet."""
        rules = self.rules
        return rules.flight < rules.cwnd and rules.burst < rules.max_burst and not rules.alone

    def new_data(self, like: bytes) -> bytes:
        """A packet of new data, with the header of another one."""
        return remade(like, [data_chunk(self.rules.next_tsn, FULL)])

    def again(self, like: bytes, chunk: TrackedChunk) -> bytes:
        """A packet that retransmits a chunk, with the header of another one."""
        return remade(like, [data_chunk(chunk.tsn, chunk.size)])

    def earliest_lost(self) -> TrackedChunk:
        """The chunk that is to be retransmitted first."""
        return self.rules.outstanding[min(self.rules.lost)]

    def in_flight(self) -> list[TrackedChunk]:
        """Chunks that are neither acknowledged nor lost."""
        return [c for c in self.rules.outstanding.values() if not c.acked and not c.lost]


def chunks_of(packet: bytes) -> list[bytes]:
    """The chunks of a packet that is in order, with their padding."""
    chunks = []
    at = wire.HEADER_SIZE
    while at < len(packet):
        end = at + (int.from_bytes(packet[at + 2 : at + 4], "big") + 3 & ~3)
        chunks.append(packet[at:end])
        at = end
    return chunks


def remade(packet: bytes, chunks: Sequence[bytes]) -> bytes:
    """The packet with other chunks."""
    source, destination, tag = _HEADER.unpack_from(packet)
    return wire.seal(source, destination, tag, chunks)


def data_chunk(tsn: int, size: int) -> bytes:
    return wire.data_chunk(tsn & _MASK, 0, 0, 0, bytes(size), wire.WHOLE)


def has_data(packet: bytes) -> bool:
    return any(chunk[0] == ChunkType.DATA for chunk in chunks_of(packet))


def sacks_of(packet: bytes) -> list[wire.Sack]:
    parsed = wire.parse_packet_untrusted(packet)
    assert isinstance(parsed, wire.Packet)
    return [chunk for chunk in parsed.chunks if isinstance(chunk, wire.Sack)]


class IgnoresTheWindow(Fault):
    """The peer has no room, whatever its SACKs said."""

    def arrived(self, packet: bytes, now: float) -> None:
        chunks = chunks_of(packet)
        for number, chunk in enumerate(chunks):
            if chunk[0] == ChunkType.SACK:
                chunks[number] = chunk[:8] + bytes(4) + chunk[12:]
                self.tampered += 1
        super().arrived(remade(packet, chunks), now)


class SendsMoreThanCwnd(Fault):
    """New data leaves when cwnd is used up."""

    def sent(self, packet: bytes, now: float) -> None:
        super().sent(packet, now)
        rules = self.rules
        if has_data(packet) and rules.flight >= rules.cwnd and not rules.free and not rules.alone:
            self.lie(self.new_data(packet), now)


class SendsNewDataBeforeOld(Fault):
    """New data leaves where lost chunks wait to be retransmitted."""

    def sent(self, packet: bytes, now: float) -> None:
        if has_data(packet) and self.rules.lost and self.room_for_a_packet():
            self.lie(self.new_data(packet), now)
        super().sent(packet, now)


class SendsBursts(Fault):
    """One packet more than Max.Burst leaves at once."""

    def sent(self, packet: bytes, now: float) -> None:
        super().sent(packet, now)
        rules = self.rules
        if rules.burst >= rules.max_burst and rules.flight < rules.cwnd and not rules.alone:
            self.lie(self.new_data(packet), now)


class BeginsLarge(Fault):
    """Cwnd is ten packets at first."""

    def cwnd(self, true: int) -> int:
        return true if self.rules.cwnd else 10 * MTU


class GrowsByOneByteMore(Fault):
    def cwnd(self, true: int) -> int:
        return true + (self.arriving and 0 < self.rules.cwnd < true)


class GrowsUnused(Fault):
    """Cwnd grows by a packet though a packet more would have fit into it."""

    before = 0

    def arrived(self, packet: bytes, now: float) -> None:
        self.before = self.rules.flight
        super().arrived(packet, now)

    def cwnd(self, true: int) -> int:
        rules = self.rules
        acked = rules.flight < self.before and not rules.lost
        unused = self.before + MTU <= rules.cwnd == true and rules.exit_point is None
        return true + MTU if self.arriving and acked and unused else true


class GrowsInRecovery(Fault):
    def cwnd(self, true: int) -> int:
        in_recovery = self.arriving and self.rules.exit_point is not None
        return true + (in_recovery and true == self.rules.cwnd)


class HalvesAfterAnyPause(Fault):
    """Cwnd is halved while chunks are in flight, and no time has passed."""

    def cwnd(self, true: int) -> int:
        rules = self.rules
        if self.arriving or not rules.flight or not rules.cwnd or rules.exit_point is not None:
            return true
        return max(MTU, true // 2)


class IsNotHalvedByALoss(Fault):
    def cwnd(self, true: int) -> int:
        return max(true, self.rules.cwnd) if self.arriving else true


class IsHalvedByEachLoss(Fault):
    """A loss in fast recovery halves cwnd once more."""

    losses = 0
    again_until: int | None = None

    def cwnd(self, true: int) -> int:
        losses = self.seen["losses in fast recovery"]
        if losses > self.losses:
            self.losses, self.again_until = losses, self.rules.exit_point
        if self.again_until is None or self.again_until != self.rules.exit_point:
            return true
        return min(true, max(true // 2, FLOOR))


class TakesADelayForALoss(Fault):
    """A chunk is retransmitted that was reported missing less than three times."""

    def sent(self, packet: bytes, now: float) -> None:
        late = next((chunk for chunk in self.in_flight() if 0 < chunk.missing < 3), None)
        if late is not None and not late.fast and self.room_for_a_packet():
            self.lie(self.again(packet, late), now)
        super().sent(packet, now)


class DoesNotRetransmitAtOnce(Fault):
    """Nothing leaves when a third report has come, though cwnd does not matter then."""

    due = "7.2.4"

    def sent(self, packet: bytes, now: float) -> None:
        if self.rules.due == self.due:
            self.tampered += 1
        else:
            super().sent(packet, now)


class RetransmitsAllAtOnce(Fault):
    """A second packet is retransmitted though cwnd is used up."""

    def sent(self, packet: bytes, now: float) -> None:
        super().sent(packet, now)
        rules = self.rules
        used_up = rules.flight >= rules.cwnd and not rules.free and not rules.alone
        if has_data(packet) and rules.lost and used_up:
            self.lie(self.again(packet, self.earliest_lost()), now)


class RetransmitsFastTwice(Fault):
    """A chunk that was retransmitted fast is reported missing three times, and is sent again."""

    def sent(self, packet: bytes, now: float) -> None:
        for chunk in self.in_flight():
            if chunk.fast and chunk.missing >= 3 and self.room_for_a_packet():
                self.lie(self.again(packet, chunk), now)
        super().sent(packet, now)


class RetransmitsTheLatestFirst(Fault):
    def sent(self, packet: bytes, now: float) -> None:
        rules = self.rules
        earliest = min(rules.lost, default=0) & _MASK
        tsns = [chunk[4:8] for chunk in chunks_of(packet) if chunk[0] == ChunkType.DATA]
        if len(rules.lost) > 1 and earliest.to_bytes(4, "big") in tsns:
            self.lie(self.again(packet, rules.outstanding[max(rules.lost)]), now)
        super().sent(packet, now)


class SendsTwoPacketsAfterATimeout(Fault):
    def sent(self, packet: bytes, now: float) -> None:
        super().sent(packet, now)
        if self.rules.alone and self.rules.lost:
            self.lie(self.again(packet, self.earliest_lost()), now)


class SendsNothingAfterATimeout(DoesNotRetransmitAtOnce):
    due = "6.3.3, E3"


class KeepsTwoPacketsOfCwnd(Fault):
    """T3-rtx leaves two packets of cwnd where it has to leave one."""

    def cwnd(self, true: int) -> int:
        return 2 * MTU if self.rules.alone == 0 and true == MTU else true


class DoesNotBackOff(Fault):
    """T3-rtx expires for the second time when it would have expired without being doubled."""

    packet = b""
    again_at = inf

    def sent(self, packet: bytes, now: float) -> None:
        super().sent(packet, now)
        if has_data(packet):
            self.packet = packet

    def passed(self, now: float) -> None:
        rto, timeouts = self.rules.rto, self.seen["timeouts"]
        super().passed(now)
        if self.seen["timeouts"] > timeouts:
            self.again_at = now + rto
        elif self.rules.alone and now >= self.again_at:
            self.lie(self.packet, now)


class IsImpatient(Fault):
    """T3-rtx expires after half of its time: to the referee it is not as late as it is."""

    early = 0.0

    def sent(self, packet: bytes, now: float) -> None:
        super().sent(packet, now - self.early)

    def arrived(self, packet: bytes, now: float) -> None:
        super().arrived(packet, now - self.early)

    def passed(self, now: float) -> None:
        rules = self.rules
        if rules.t3 <= now and rules.flight and rules.exit_point is None and rules.cwnd > MTU:
            self.early = rules.rto / 2
            self.tampered += 1
        super().passed(now - self.early)


class BundlesDataFirst(Fault):
    def sent(self, packet: bytes, now: float) -> None:
        chunks = chunks_of(packet)
        if has_data(packet) and chunks[0][0] != ChunkType.DATA:
            self.lie(remade(packet, chunks[::-1]), now)
        super().sent(packet, now)


class TakesTwoReportsForALoss(Fault):
    """The referee does not see the third report of a chunk, on which the engine acts."""

    def arrived(self, packet: bytes, now: float) -> None:
        rules = self.rules
        twice = [chunk.tsn for chunk in self.in_flight() if chunk.missing == 2 and not chunk.fast]
        if twice and rules.exit_point is None and rules.cwnd > FLOOR:
            for sack in sacks_of(packet):
                highest = max((last for _, last in sack.gaps), default=0)
                newly = rules.outstanding.get(rules.cumulative + highest)
                if (
                    sack.cumulative_tsn == rules.cumulative & _MASK
                    and newly is not None
                    and not newly.acked
                    and newly.tsn > twice[0]
                ):
                    self.tampered += 1
                    return
        super().arrived(packet, now)


class WaitsForFourReports(Fault):
    """The referee sees a report more than the engine."""

    def arrived(self, packet: bytes, now: float) -> None:
        super().arrived(packet, now)
        rules = self.rules
        in_flight = self.in_flight()
        twice = [chunk.tsn for chunk in in_flight if chunk.missing == 2 and not chunk.fast]
        if not twice or rules.exit_point is not None or rules.cwnd <= FLOOR:
            return
        acked = [chunk.tsn for chunk in rules.outstanding.values() if chunk.acked]
        later = [chunk.tsn for chunk in in_flight if chunk.tsn > max(acked)]
        if later:
            offsets = [tsn - rules.cumulative for tsn in (*acked, later[-1])]
            gaps = [(offset, offset) for offset in offsets]
            sack = wire.sack_chunk(rules.cumulative & _MASK, rules.rwnd + rules.flight, gaps, ())
            self.tampered += 1
            super().arrived(remade(packet, [sack]), now)


class ProbesTwice(Fault):
    """A probe of a window that is shut is sent again at once."""

    def sent(self, packet: bytes, now: float) -> None:
        before = self.rules.probe
        super().sent(packet, now)
        if self.rules.probe is not None and before is None:
            self.lie(packet, now)


class ProbesAtOnce(Fault):
    """New data leaves as soon as nothing is in flight, though the window has no room for it."""

    def arrived(self, packet: bytes, now: float) -> None:
        before = self.rules.flight
        super().arrived(packet, now)
        rules = self.rules
        if before and not rules.flight and rules.rwnd < FULL and rules.probe is None:
            self.lie(self.new_data(packet), now)


class ShrinksForAProbe(Fault):
    """Cwnd becomes one packet when a probe is not acknowledged."""

    def cwnd(self, true: int) -> int:
        return true if self.rules.probe is None else MTU


class RetransmitsBesideAProbe(Fault):
    """What waits for the window to open is retransmitted while it is probed."""

    def sent(self, packet: bytes, now: float) -> None:
        super().sent(packet, now)
        if self.rules.probe is not None and self.rules.lost:
            self.lie(self.again(packet, self.earliest_lost()), now)


OVERFLOW, LOSS, MUCH, FULL_WINDOW, PAUSE = list(SCENARIOS)[:5]
FAULTS: list[tuple[type[Fault], str, str]] = [
    (IgnoresTheWindow, FULL_WINDOW, "6.1 A: "),
    (SendsMoreThanCwnd, LOSS, "6.1 B: "),
    (SendsNewDataBeforeOld, OVERFLOW, "6.1 C: "),
    (SendsBursts, LOSS, "6.1 D: "),
    (BeginsLarge, LOSS, "7.2.1: cwnd begins"),
    (GrowsByOneByteMore, LOSS, "7.2.1, 7.2.2: cwnd grows"),
    (GrowsUnused, FULL_WINDOW, "7.2.1, 7.2.2: cwnd grows"),
    (GrowsInRecovery, LOSS, "7.2.4, 6: cwnd grows"),
    (HalvesAfterAnyPause, LOSS, "7.2: cwnd becomes"),
    (IsNotHalvedByALoss, OVERFLOW, "7.2.3: a loss"),
    (IsHalvedByEachLoss, OVERFLOW, "7.2.4, 6: cwnd becomes"),
    (TakesADelayForALoss, OVERFLOW, "7.2.4: TSN .* not lost"),
    (DoesNotRetransmitAtOnce, OVERFLOW, "7.2.4: nothing"),
    (RetransmitsAllAtOnce, OVERFLOW, "6.1 B: a packet"),
    (RetransmitsFastTwice, MUCH, "7.2.4, 5: a second time"),
    (RetransmitsTheLatestFirst, MUCH, "7.2.4, 3, and 6.3.3, E3: .* not the earliest"),
    (SendsTwoPacketsAfterATimeout, MUCH, "6.3.3: a second packet"),
    (SendsNothingAfterATimeout, MUCH, "6.3.3, E3: nothing"),
    (KeepsTwoPacketsOfCwnd, MUCH, "7.2: cwnd becomes 2560"),
    (DoesNotBackOff, MUCH, "6.3.3: a second packet"),
    (IsImpatient, MUCH, "7.2: cwnd becomes 1280"),
    (BundlesDataFirst, LOSS, "6.10: "),
    (ProbesTwice, PAUSE, "6.1 A: .* probes the window"),
    (ProbesAtOnce, PAUSE, "6.1 A: .* probes the window"),
    (ShrinksForAProbe, PAUSE, "7.2.*: cwnd becomes 1280"),
]


def find_out(fault: type[Fault], complaint: str, scenario: str, seeds: int) -> None:
    """The fault is found out, and not before it has happened."""
    faults: list[Fault] = []

    def referee(parameters: Parameters, cwnd: Callable[[], int]) -> Fault:
        faults.append(fault(parameters, cwnd))
        return faults[-1]

    with pytest.raises(RuleBroken, match=rf"\A{complaint}"):
        for seed in range(seeds):
            run(SCENARIOS[scenario], seed, referee)
    assert any(fault.tampered for fault in faults[-2:])


@pytest.mark.parametrize(("fault", "scenario", "complaint"), FAULTS)
def test_who_breaks_one_is_found_out(fault: type[Fault], scenario: str, complaint: str) -> None:
    find_out(fault, complaint, scenario, seeds=3)


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (TakesTwoReportsForALoss, "7.2: cwnd becomes"),
        (WaitsForFourReports, "7.2.3: a loss makes"),
    ],
)
def test_three_reports_it_has_to_be(fault: type[Fault], complaint: str) -> None:
    find_out(fault, complaint, OVERFLOW, seeds=1)


def take_a_window_back(referee: MakeReferee = SendingRules) -> Counter[str]:
    """A peer promises room for three chunks, and has none when they come, for a minute."""
    peer = ScriptedPeer(heartbeats=False)
    watched = WatchedEngine(peer.engine, referee)
    peer.engine = cast(Engine, watched)
    peer.accept()
    peer.send(bytes(3 * FULL))
    peer.give(peer.sack(rwnd=0))
    while peer.now < 60.0:
        if peer.advance(0.5):
            peer.give(peer.sack(rwnd=0))
    for acked in range(1, 4):
        assert peer.give(peer.sack_first(acked - 1, rwnd=50_000)) or acked == 3
    peer.give(peer.sack_first(3))
    assert not peer.association.outbound.outstanding
    return watched.rules.seen


def test_they_are_kept_where_a_window_is_taken_back() -> None:
    seen = take_a_window_back()
    assert seen["windows taken back"] == 1
    assert seen["timeouts"] == 1
    assert seen["probes"] == 4


def test_who_breaks_them_where_a_window_is_taken_back_is_found_out() -> None:
    with pytest.raises(RuleBroken, match=r"6.1 A: .* beside a zero-window probe"):
        take_a_window_back(RetransmitsBesideAProbe)


def test_a_fault_that_never_happens_is_not_found_out() -> None:
    """So it is the tampering that is found, and neither the engine nor what stands between."""
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        find_out(Fault, "", LOSS, seeds=1)


def test_a_chunk_that_no_rule_is_for_is_reported() -> None:
    pair = WatchedPair()
    pair.a.shutdown(pair.id, pair.now)
    with pytest.raises(RuleBroken, match="nothing is known of a chunk of type 7"):
        pair.a.handle_timeout(pair.now)


def test_no_packet_leaves_unseen() -> None:
    pair = WatchedPair()
    pair.a.request_heartbeat(pair.id, B, pair.now)
    with pytest.raises(AssertionError, match="nobody has looked at"):
        pair.a.packets_to_send()
