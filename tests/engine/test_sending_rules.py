"""The rules for senders of user data: engines keep them, and one that does not is found out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple

import pytest

from trio_sctp._engine import Engine, outbound
from trio_sctp._engine.association import EngineAssociation
from trio_sctp._engine.outbound import Outbound, SentChunk
from trio_sctp._engine.packet import PacketBuilder
from trio_sctp._engine.path import Path

from ..support.engines import A, B, payloads
from .sending_rules import RuleBroken, WatchedEngine
from .simulation import Pair

MESSAGES = 200


class Scenario(NamedTuple):
    """Two engines that send to one another over a slow link."""

    sizes: Sequence[int] = (10, 100, 1000, 1240, 1252, 5000)
    loss: float = 0.0
    window: int = 2**20
    slow: bool = False  # one that does not read all at once


SCENARIOS = {
    "a queue that overflows": Scenario(),
    "some loss": Scenario(loss=0.05),
    "much loss": Scenario(loss=0.2),
    "a full window": Scenario(loss=0.01, window=20_000, slow=True),
    "small messages": Scenario(sizes=(1, 2, 3, 400), loss=0.1, window=20_000, slow=True),
}


class WatchedPair(Pair):
    engine_type = WatchedEngine


def run(scenario: Scenario, seed: int) -> Counter[str]:
    """Run it until all has arrived; returns what the two senders had to do."""
    link = {"delay": 0.02, "bandwidth": 2e6, "queue": 30, "loss": scenario.loss}
    pair = WatchedPair(seed=seed, link=link, both={"receive_window": scenario.window})
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
        pair.run(0.3)
        for engine in pair.engines:
            pair.events[engine] += engine.receive(5, pair.now)
        assert pair.now < 1000
    assert payloads(pair.events[pair.a]) == payloads(pair.events[pair.b]) == messages
    assert isinstance(pair.a, WatchedEngine)
    assert isinstance(pair.b, WatchedEngine)
    seen = pair.a.rules.seen + pair.b.rules.seen
    assert seen["packets"] == len(pair.data(A)) + len(pair.data(B))
    return seen


@pytest.mark.parametrize(
    ("name", "happens"),
    [
        ("a queue that overflows", {"growths", "fast retransmissions", "losses in fast recovery"}),
        ("some loss", {"growths", "fast retransmissions", "losses in fast recovery", "timeouts"}),
        ("much loss", {"growths", "fast retransmissions", "losses in fast recovery", "timeouts"}),
        ("a full window", {"growths", "probes", "reneging", "timeouts"}),
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


def no_window(sack: Any, self: Outbound, *args: Any) -> Any:
    result = sack(self, *args)
    self.rwnd = 2**31
    return result


def half_of_the_flight(
    init: Any, self: SentChunk, tsn: int, wire: bytes, size: int, *args: Any
) -> Any:
    init(self, tsn, wire, size // 2, *args)


def no_marks(peek_marked: Any, self: Outbound) -> None:
    """What fits into a packet beside retransmissions is new data, whatever else waits."""


def bursts(new: Any, *args: Any) -> EngineAssociation:
    association: EngineAssociation = new(*args)
    association.parameters.max_burst = 1000
    return association


def large_at_first(initial_cwnd: Any, self: Path) -> int:
    return 10 * self.mtu


def one_byte_more(acknowledged: Any, self: Path, *args: Any) -> None:
    before = self.cwnd
    acknowledged(self, *args)
    self.cwnd += self.cwnd > before


def growth_unused(acknowledged: Any, self: Path, acked: int, before: int, advanced: bool) -> None:
    acknowledged(self, acked, self.cwnd, advanced)


def growth_in_recovery(acknowledged: Any, self: Path, *args: Any) -> None:
    acknowledged(self, *args)
    self.cwnd += self.fast_recovery


def any_pause(idle: Any, self: Path, now: float) -> None:
    self.cwnd = max(self.mtu, self.cwnd // 2)


def not_halved(lost: Any, self: Path, highest: int) -> None:
    cwnd = self.cwnd
    lost(self, highest)
    self.cwnd = cwnd


def halved_for_each(lost: Any, self: Path, highest: int) -> None:
    self.fast_recovery = False
    lost(self, highest)


def no_loss(sack: Any, self: Outbound, *args: Any) -> Any:
    result = sack(self, *args)
    chunk = next(iter(self.outstanding.values()), None)
    if chunk is not None and not chunk.acked:
        self.mark(chunk)
    return result


def not_at_once(sack: Any, self: EngineAssociation, *args: Any) -> None:
    sack(self, *args)
    self._retransmit_one = False


def each_at_once(sack: Any, self: EngineAssociation, *args: Any) -> None:
    sack(self, *args)
    self._retransmit_one |= bool(self.outbound.marked)


def fast_again(transmitted: Any, self: Outbound, chunk: SentChunk, *args: Any) -> None:
    transmitted(self, chunk, *args)
    chunk.ineligible = False


def latest_first(next_marked: Any, self: Outbound, space: int, now: float) -> SentChunk | None:
    marked = [tsn for tsn in self.marked if self.outstanding[tsn].marked]
    if not marked:
        return None
    chunk = self.outstanding[max(marked)]
    if len(chunk.wire) > space:
        return None
    chunk.marked = False
    return chunk


def two_after_a_timeout(expired: Any, self: EngineAssociation, path: Path, now: float) -> None:
    expired(self, path, now)
    self.flush(now)
    self._retransmit_one = True


def none_after_a_timeout(mark_all_on: Any, self: Outbound, *args: Any) -> None:
    pass


def two_packets_of_cwnd(timed_out: Any, self: Path) -> None:
    timed_out(self)
    self.cwnd = 2 * self.mtu


def no_back_off(back_off: Any, self: Path) -> None:
    pass


def impatient(measured: Any, self: Path, seconds: float) -> None:
    measured(self, seconds)
    self.rto /= 2


def backwards(seal: Any, self: PacketBuilder, *args: Any) -> Any:
    self.chunks.reverse()
    return seal(self, *args)


OVERFLOW, LOSS, MUCH, FULL = list(SCENARIOS)[:4]
FAULTS: list[tuple[type, str, Callable[..., Any], str, str]] = [
    (Outbound, "sack", no_window, FULL, "6.1 A: "),
    (SentChunk, "__init__", half_of_the_flight, LOSS, "6.1 B: "),
    (Outbound, "peek_marked", no_marks, OVERFLOW, "6.1 C: "),
    (Engine, "_new", bursts, LOSS, "6.1 D: "),
    (Path, "initial_cwnd", large_at_first, LOSS, "7.2.1: cwnd begins"),
    (Path, "acknowledged", one_byte_more, LOSS, "7.2.1, 7.2.2: cwnd grows"),
    (Path, "acknowledged", growth_unused, FULL, "7.2.1, 7.2.2: cwnd grows"),
    (Path, "acknowledged", growth_in_recovery, LOSS, "7.2.4, 6: cwnd grows"),
    (Path, "idle", any_pause, LOSS, "7.2: cwnd becomes"),
    (Path, "lost", not_halved, OVERFLOW, "7.2.3: a loss"),
    (Path, "lost", halved_for_each, OVERFLOW, "7.2.4, 6: cwnd becomes"),
    (Outbound, "sack", no_loss, OVERFLOW, "7.2.4: TSN .* not lost"),
    (EngineAssociation, "_handle_sack", not_at_once, OVERFLOW, "7.2.4: nothing"),
    (EngineAssociation, "_handle_sack", each_at_once, OVERFLOW, "6.1 B: a packet"),
    (Outbound, "transmitted", fast_again, MUCH, "7.2.4, 5: a second time"),
    (Outbound, "next_marked", latest_first, MUCH, "7.2.4, 3, and 6.3.3, E3: .* not the earliest"),
    (EngineAssociation, "_t3_expired", two_after_a_timeout, MUCH, "6.3.3: a second packet"),
    (Outbound, "mark_all_on", none_after_a_timeout, MUCH, "6.3.3, E3: nothing"),
    (Path, "timed_out", two_packets_of_cwnd, MUCH, "7.2: cwnd becomes 2560"),
    (Path, "back_off", no_back_off, MUCH, "6.3.3: a second packet"),
    (Path, "measured", impatient, MUCH, "7.2: cwnd becomes 1280"),
    (PacketBuilder, "seal", backwards, LOSS, "6.10: "),
]


@pytest.mark.parametrize(("owner", "name", "fault", "scenario", "complaint"), FAULTS)
def test_who_breaks_one_is_found_out(
    owner: type,
    name: str,
    fault: Callable[..., Any],
    scenario: str,
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **others: fault(method, *args, **others))
    with pytest.raises(RuleBroken, match=rf"\A{complaint}"):
        for seed in range(3):
            run(SCENARIOS[scenario], seed)


@pytest.mark.parametrize(
    ("number", "complaint"), [(2, "7.2: cwnd becomes"), (4, "7.2.3: a loss makes")]
)
def test_three_reports_it_has_to_be(
    number: int, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "MISSING_REPORTS", number)
    with pytest.raises(RuleBroken, match=rf"\A{complaint}"):
        run(SCENARIOS[OVERFLOW], 0)


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
