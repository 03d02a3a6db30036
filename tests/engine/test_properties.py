"""What holds under any mix of loss, reordering, duplication and corruption."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from trio_sctp._engine import Engine, Route
from trio_sctp._options import Scheduler
from trio_sctp._values import AssociationState

from ..support.engines import PEER_PORT, PORT, A, B, ends, failures, info, payloads
from .simulation import Pair

GRACEFUL = AssociationState.SHUTDOWN_COMP

PARAMETERS: dict[str, Any] = {
    "rto_initial": 0.5,
    "rto_min": 0.3,
    "rto_max": 5.0,
    "association_max_retrans": 8,
    "heartbeat_interval": 5.0,
    "max_init_retrans": 8,
}
PATIENCE = 9 * (5.0 + 2.5 * 5.0)
"""Seconds within which either end gives up: nine heartbeats, each sent an interval, an RTO and
jitter after the one before, and each as long unanswered."""


@dataclasses.dataclass(frozen=True)
class Sending:
    """A message, and the pause before it."""

    of_a: bool
    stream: int
    unordered: bool
    size: int
    wait: float


SENDINGS = st.builds(
    Sending,
    of_a=st.booleans(),
    stream=st.integers(0, 3),
    unordered=st.sampled_from([False, False, True]),
    size=st.sampled_from([1, 1, 50, 1252, 1253, 4000, 30_000]),
    wait=st.sampled_from([0.0, 0.0, 0.01, 0.3, 2.0]),
)
LINKS = st.fixed_dictionaries(
    {
        "loss": st.floats(0.0, 0.4),
        "reordering": st.floats(0.0, 0.5),
        "reorder_delay": st.sampled_from([0.005, 0.05, 0.5]),
        "duplication": st.floats(0.0, 0.3),
        "corruption": st.floats(0.0, 0.2),
        "delay": st.sampled_from([0.001, 0.05, 0.2]),
        "jitter": st.sampled_from([0.0, 0.02]),
        "bandwidth": st.sampled_from([5e5, 5e6]),
        "marking": st.sampled_from([0, 3]),
    }
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "receive_window": st.sampled_from([3000, 10_000, 50_000]),
        "potentially_failed": st.booleans(),
        "sack_frequency": st.sampled_from([1, 2, 4]),
        "no_delay": st.booleans(),
        "ecn": st.booleans(),
        "path_mtu_discovery": st.booleans(),
        "interleaving": st.booleans(),
        "scheduler": st.sampled_from(Scheduler),
    },
)


class Run:
    """A conversation from its beginning to its end, with its checks."""

    def __init__(
        self, seed: int, link: dict[str, Any], fields: dict[str, Any], homes: int, both: bool
    ) -> None:
        self.pair = pair = Pair(
            homes, seed=seed, link=link, both=PARAMETERS | fields, connect=False
        )
        self.sent: dict[Engine, list[tuple[Sending, bytes]]] = {pair.a: [], pair.b: []}
        self.first_end: float | None = None
        self.number = 0
        pair.id = pair.a.connect(pair.routes, PEER_PORT, pair.now)
        if both:
            pair.b.connect([Route(r.remote, r.local) for r in pair.routes], PORT, pair.now)

    def wait(self, seconds: float) -> None:
        pair, until = self.pair, self.pair.now + seconds
        while pair.step(until):
            if self.first_end is None and any(ends(e) for e in pair.events.values()):
                self.first_end = pair.now

    def send(self, sending: Sending) -> None:
        self.wait(sending.wait)
        engine = self.pair.a if sending.of_a else self.pair.b
        for association in list(engine.associations.values()):
            self.number += 1
            data = b"%d/" % self.number + bytes(sending.size - 1)
            how = info(sending.stream, unordered=sending.unordered)
            try:
                engine.send(association.id, data, how, self.pair.now)
            except (BlockingIOError, BrokenPipeError):
                continue
            self.sent[engine].append((sending, data))

    def finish(self) -> None:
        pair = self.pair
        started = pair.now
        while not pair.over():
            before = pair.now
            self.wait(1.0)
            pair.now = before + 1.0
            # A close takes five times RTO.Max, or as long as it takes to give the peer up.
            assert pair.now - started < PATIENCE + 5 * PARAMETERS["rto_max"] * 2
            if self.first_end is not None:
                assert pair.now - self.first_end < PATIENCE + 5 * PARAMETERS["rto_max"]
        pair.read()
        assert all(engine.next_deadline() is None for engine in pair.engines)
        self.check()

    def check(self) -> None:
        pair = self.pair
        states = [e.state for events in pair.events.values() for e in ends(events)]
        graceful = states == [GRACEFUL] * 2
        for engine, other in ((pair.a, pair.b), (pair.b, pair.a)):
            got = payloads(pair.events[other])
            assert len(got) == len(set(got))
            sent = self.sent[engine]
            assert set(got) <= {data for _, data in sent}
            for stream in range(4):
                ordered = [data for s, data in sent if s.stream == stream and not s.unordered]
                mine = set(ordered)
                arrived = [data for data in got if data in mine]
                assert arrived == ordered[: len(arrived)]
            if graceful:
                assert len(got) == len(sent)
                assert not failures(pair.events[engine])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    link=LINKS,
    fields=FIELDS,
    homes=st.integers(1, 2),
    both=st.booleans(),
    sendings=st.lists(SENDINGS, max_size=30),
    closer=st.sampled_from("ab2"),
    hurry=st.booleans(),
)
@example(  # A packet for each stream: what stays behind the COOKIE ECHO's packet is not forgotten.
    seed=0,
    link={
        "loss": 0.0,
        "reordering": 0.0,
        "reorder_delay": 0.005,
        "duplication": 0.0,
        "corruption": 0.0,
        "delay": 0.001,
        "jitter": 0.0,
        "bandwidth": 500_000.0,
        "marking": 0,
    },
    fields={"receive_window": 3000, "scheduler": Scheduler.ROUND_ROBIN_PACKET},
    homes=1,
    both=True,
    sendings=[
        *[Sending(of_a=False, stream=0, unordered=False, size=1, wait=0.0)] * 4,
        Sending(of_a=False, stream=1, unordered=False, size=1, wait=0.0),
        Sending(of_a=True, stream=0, unordered=False, size=1, wait=0.3),
    ],
    closer="a",
    hurry=True,
)
@example(  # A COOKIE ECHO comes once more when the association that it set up is over.
    seed=4475242,
    link={
        "loss": 0.0625,
        "reordering": 0.25,
        "reorder_delay": 0.5,
        "duplication": 0.125,
        "corruption": 0.125,
        "delay": 0.2,
        "jitter": 0.02,
    },
    fields={},
    homes=1,
    both=True,
    sendings=[
        Sending(of_a=False, stream=0, unordered=False, size=1, wait=wait)
        for wait in [0.0] * 5 + [0.3] * 4
    ],
    closer="b",
    hurry=True,
)
def test_ordered_streams_are_prefixes_and_a_graceful_end_is_complete(
    seed: int,
    link: dict[str, Any],
    fields: dict[str, Any],
    homes: int,
    both: bool,
    sendings: list[Sending],
    closer: str,
    hurry: bool,
) -> None:
    run = Run(seed, link, fields, homes, both)
    if not hurry:
        run.wait(3.0)
    for sending in sendings:
        run.send(sending)
    if not hurry:
        run.wait(20.0)
    closing = {"a": [run.pair.a], "b": [run.pair.b], "2": run.pair.engines}[closer]
    for engine in closing:
        for id in list(engine.associations):
            engine.shutdown(id, run.pair.now)
    # An association that was set up only now is closed as well.
    for _ in range(3):
        run.wait(60.0)
        for engine in run.pair.engines:
            for id in list(engine.associations):
                engine.shutdown(id, run.pair.now)
    run.finish()


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    link=LINKS,
    fields=FIELDS,
    sendings=st.lists(SENDINGS, max_size=10),
    after=st.floats(0.0, 10.0),
    fate=st.sampled_from(["abort", "silence", "crash"]),
)
def test_when_one_end_reports_an_error_the_other_ends_too(
    seed: int,
    link: dict[str, Any],
    fields: dict[str, Any],
    sendings: list[Sending],
    after: float,
    fate: str,
) -> None:
    run = Run(seed, link, fields, 1, False)
    for sending in sendings:
        run.send(sending)
    run.wait(after)
    pair = run.pair
    if fate == "abort":
        for id in list(pair.a.associations):
            pair.a.abort(id, b"", pair.now)
    elif fate == "silence":
        pair.cut(A)
    else:  # ``b`` has lost its memory
        lost = pair.host(B, port=PEER_PORT, **PARAMETERS)
        pair.engines.remove(pair.b)
        pair.events[pair.b] += pair.b.receive(2**30, pair.now)
        pair.reading.discard(pair.b)
        lost.listening = False
    started = pair.now
    while not pair.over():
        assert pair.now - started < PATIENCE + 30.0
        pair.run(1.0)
    run.check()


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    link=LINKS,
    sendings=st.lists(SENDINGS, min_size=1, max_size=20),
    interleaving=st.booleans(),
    scheduler=st.sampled_from(Scheduler),
)
def test_messages_with_a_lifetime_never_hold_up_others(
    seed: int,
    link: dict[str, Any],
    sendings: list[Sending],
    interleaving: bool,
    scheduler: Scheduler,
) -> None:
    fields = {"interleaving": interleaving, "scheduler": scheduler}
    pair = Pair(seed=seed, both={"send_buffer": 10**7} | fields)
    for field, value in link.items():
        setattr(pair.network.default_link, field, value)
    sent: dict[int, list[bytes]] = {}
    mortal = set[bytes]()
    for number, sending in enumerate(sendings):
        pair.run(sending.wait)
        data = b"%d/" % number + bytes(sending.size)
        if number % 2:
            mortal.add(data)
        lifetime = 200 if number % 2 else 0
        pair.send(data, info(sending.stream, lifetime=lifetime))
        sent.setdefault(sending.stream, []).append(data)
    pair.run(5.0)
    pair.network.default_link.loss = pair.network.default_link.corruption = 0.0
    if not pair.up:
        return
    pair.run(300.0)
    assert pair.association.outbound.empty
    got = payloads(pair.events[pair.b])
    failed = {f.data for f in failures(pair.events[pair.a])}
    assert failed <= mortal
    assert failed | set(got) == {data for listed in sent.values() for data in listed}
    for listed in sent.values():
        arrived = [data for data in got if data in listed]
        assert arrived == [data for data in listed if data in arrived]


@pytest.mark.parametrize("seed", range(10))
def test_a_mixture_of_everything_ends_gracefully(seed: int) -> None:
    link = {
        "loss": 0.15,
        "reordering": 0.3,
        "reorder_delay": 0.03,
        "duplication": 0.2,
        "corruption": 0.05,
    }
    pair = Pair(2, seed=seed, link=link)
    sent: list[list[bytes]] = [[], []]
    for number in range(300):
        data = b"%d/" % number + bytes(number * 10)
        (pair.send, pair.answer)[number & 1](data, info(number % 10))
        sent[number & 1].append(data)
    pair.run(60.0)
    pair.a.shutdown(pair.id, pair.now)
    pair.finish()
    for engine, messages in zip((pair.b, pair.a), sent, strict=True):
        assert sorted(payloads(pair.events[engine])) == sorted(messages)
        assert [e.state for e in ends(pair.events[engine])] == [GRACEFUL]
