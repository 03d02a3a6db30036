"""Ten properties of the state machine, under four attackers.

They are those of "A Formal Analysis of SCTP: Attack Synthesis and Patch Verification" (Ginesin, von
Hippel, Defloor, Nita-Rotaru, Tüxen; USENIX Security 2024), whose model has two ends, a program at
each that connects, shuts down and aborts when it likes, and an attacker.  Here both ends are
engines, and Hypothesis plays the programs, the network and the attacker.

What holds for one end has to hold whoever the attacker is.  What holds for both together, no more
than a model of the protocol can promise: an evil server, or somebody who reads and changes all
packets, can have one end believe what he likes.  Those who cannot read (off-path), and those who
can only send again what was sent (replay), must change nothing at all.
"""

from __future__ import annotations

from math import inf
from random import Random
from typing import Final, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from trio_sctp._engine import Engine, Route, wire
from trio_sctp._engine.association import EngineAssociation
from trio_sctp._engine.timers import T1
from trio_sctp._engine.tsn import MASK
from trio_sctp._engine.wire import Cause, ChunkType, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import AssociationState

from ..support.engines import PEER_PORT, PORT, A, B, ends, info, parsed

S = StatusState
SHUT_DOWN: Final = {S.SHUTDOWN_SENT, S.SHUTDOWN_RECEIVED, S.SHUTDOWN_ACK_SENT}
COOKIE = Tlv(wire.ParameterType.STATE_COOKIE, b"a cookie")
WRONG_TAG = 0x0BADBAD0
EVIL_TAG = 0x66666666

KINDS = [
    "INIT",
    "INIT ACK",
    "INIT ACK without a cookie",
    "COOKIE ECHO",
    "COOKIE ACK",
    "stale cookie",
    "DATA",
    "SACK",
    "HEARTBEAT",
    "SHUTDOWN",
    "SHUTDOWN ACK",
    "SHUTDOWN COMPLETE",
    "SHUTDOWN COMPLETE with the T bit",
    "ABORT",
    "ABORT with the T bit",
    "unknown",
]


def forged(kind: str, tag: int, tsn: int, acked: int) -> bytes:
    """A chunk of this kind.

    Args:
      kind: One of `KINDS`.
      tag: The Initiate Tag of an INIT or INIT ACK.
      tsn: The TSN of a DATA chunk.
      acked: What a SACK or SHUTDOWN acknowledges.
    """
    match kind:
        case "INIT":
            return wire.init_chunk(wire.Init(tag, 65536, 10, 10, tsn, []))
        case "INIT ACK":
            return wire.init_chunk(wire.InitAck(tag, 65536, 10, 10, tsn, [COOKIE]))
        case "INIT ACK without a cookie":
            return wire.init_chunk(wire.InitAck(tag, 65536, 10, 10, tsn, []))
        case "COOKIE ECHO":
            return wire.chunk(ChunkType.COOKIE_ECHO, b"no cookie of yours")
        case "COOKIE ACK":
            return wire.chunk(ChunkType.COOKIE_ACK)
        case "stale cookie":
            return wire.error_chunk([Tlv(Cause.STALE_COOKIE, bytes(4))])
        case "DATA":
            return wire.data_chunk(tsn, 0, 0, 0, b"forged", 7)
        case "SACK":
            return wire.sack_chunk(acked, 65536, [], [])
        case "HEARTBEAT":
            return wire.heartbeat_chunk(b"x")
        case "SHUTDOWN":
            return wire.shutdown_chunk(acked)
        case "SHUTDOWN ACK":
            return wire.chunk(ChunkType.SHUTDOWN_ACK)
        case "SHUTDOWN COMPLETE":
            return wire.shutdown_complete_chunk()
        case "SHUTDOWN COMPLETE with the T bit":
            return wire.shutdown_complete_chunk(reflected=True)
        case "ABORT":
            return wire.abort_chunk()
        case "ABORT with the T bit":
            return wire.abort_chunk(reflected=True)
        case _:
            return wire.chunk(0xC5, b"what?")


class Flying(NamedTuple):
    """A packet on its way."""

    data: bytes
    route: Route


class End:
    """One end: an engine, its program, and what was seen of its states.

    Attributes:
      engine: It.
      peer: The address and port of the other end.
      seen: The last state seen of each association, by its id and tag: with another tag, it is
        another association, as after a restart.
      shut_down: Those that were shutting down.
    """

    def __init__(self, port: int, address: str, peer: str, peer_port: int, seed: int) -> None:
        self.engine = Engine(port, [address], randomness=Random(seed).randbytes)
        self.engine.listening = True
        self.route = Route(address, peer)
        self.peer_port = peer_port
        self.seen: dict[tuple[int, int], StatusState] = {}
        self.shut_down: set[tuple[int, int]] = set()

    @property
    def association(self) -> EngineAssociation | None:
        """Its association, if it has one."""
        return next(iter(self.engine.associations.values()), None)

    @property
    def state(self) -> StatusState:
        """The state of its association."""
        association = self.association
        return S.CLOSED if association is None else association.state

    def watch(self) -> None:
        """Hold each change of state against the properties of one end."""
        now = {(one.id, one.our_tag): one.state for one in self.engine.associations.values()}
        for key, before in self.seen.items():
            after = now.get(key, S.CLOSED)
            if after is not before and (key in now or key[0] not in self.engine.associations):
                if before is S.SHUTDOWN_ACK_SENT:
                    assert after is S.CLOSED, "shutdown_ack_send_no_requests"
                if before is S.SHUTDOWN_RECEIVED:
                    assert after in (S.SHUTDOWN_ACK_SENT, S.CLOSED), (
                        "shutdown_rcvd_to_ack_or_closed"
                    )
        for key, state in now.items():
            if key not in self.seen:
                assert state in (S.COOKIE_WAIT, S.ESTABLISHED), "closed_to_other"
            if state in SHUT_DOWN:
                self.shut_down.add(key)
        self.seen = now
        for one in self.engine.associations.values():
            if one.state is S.COOKIE_ECHOED:
                assert one.timers[T1] != inf, "not_stuck_in_cookie_echoed"


class Conversation(RuleBasedStateMachine):
    """Two ends, their programs, and a network that reorders; attackers are its subclasses.

    Attributes:
      now: Seconds.
      flying: Packets on their way.
      excused: Whether a program has aborted, somebody given up, or a SHUTDOWN come too late, so
        that one end may be left alone with its association.
    """

    loses = False
    promises_both = True

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.a = End(PORT, A, B, PEER_PORT, 1)
        self.b = End(PEER_PORT, B, A, PORT, 2)
        self.ends = [self.a, self.b]
        self.flying: list[Flying] = []
        self.sent: list[Flying] = []
        self.excused = False

    @initialize(both=st.booleans())
    def begin(self, both: bool) -> None:
        self.associate(self.a)
        if both:
            self.associate(self.b)

    # -- what happens ---

    def other(self, address: str) -> End:
        return self.a if address == A else self.b

    def settle(self, *, by_timer: bool = False) -> None:
        """After each step: take packets and events, and look at the states."""
        for end in self.ends:
            for data, route, *_ in end.engine.packets_to_send():
                self.flying.append(Flying(data, route))
                self.sent.append(self.flying[-1])
            for event in ends(end.engine.receive(2**30, self.now)):
                if event.state is AssociationState.SHUTDOWN_COMP:
                    continue
                if by_timer:
                    self.excused = True  # it has given up
                elif self.promises_both:
                    assert self.excused, "nobody has aborted, and yet an association is lost"
            end.watch()

    def arrive(self, packet: Flying) -> None:
        route = Route(packet.route.remote, packet.route.local)
        end = self.other(route.local)
        if not end.engine.associations and packet.data[12] == ChunkType.SHUTDOWN:
            # Both shut down, and the SHUTDOWN ACK has overtaken it: section 8.4, rule 8, has an end
            # that is through answer by an ABORT, which may overtake the SHUTDOWN COMPLETE.
            self.excused = True
        end.engine.receive_packet(packet.data, route, self.now)
        self.settle()

    def associate(self, end: End) -> None:
        if not end.engine.associations:
            end.engine.connect([end.route], end.peer_port, self.now)
            self.settle()

    # -- programs ---

    @rule(first=st.booleans())
    def connect(self, first: bool) -> None:
        self.associate(self.ends[first % len(self.ends)])

    @rule(first=st.booleans())
    def shut_down(self, first: bool) -> None:
        end = self.ends[first % len(self.ends)]
        association = end.association
        if association is not None:
            self.excused = self.excused or association.half_open  # it is then an abort
            end.engine.shutdown(association.id, self.now)
            self.settle()

    @rule(first=st.booleans())
    def abort(self, first: bool) -> None:
        end = self.ends[first % len(self.ends)]
        association = end.association
        if association is not None:
            self.excused = True
            end.engine.abort(association.id, b"", self.now)
            self.settle()

    @rule(first=st.booleans())
    def send(self, first: bool) -> None:
        end = self.ends[first % len(self.ends)]
        association = end.association
        if association is not None and not association.shutting_down:
            end.engine.send(association.id, b"data", info(), self.now)
            self.settle()

    # -- network and time ---

    @precondition(lambda self: self.flying)
    @rule(number=st.integers(0, 1000))
    def deliver(self, number: int) -> None:
        self.arrive(self.flying.pop(number % len(self.flying)))

    @precondition(lambda self: self.flying)
    @rule()
    def deliver_all(self) -> None:
        for _ in range(100):
            if not self.flying:
                return
            self.arrive(self.flying.pop(0))

    @rule()
    def wait(self) -> None:
        """Let the next timer expire."""
        deadlines = [end.engine.next_deadline() for end in self.ends]
        self.pass_until(min((d for d in deadlines if d is not None), default=self.now))

    def pass_until(self, then: float) -> None:
        self.now = max(self.now, then)
        for end in self.ends:
            end.engine.handle_timeout(self.now)
            self.settle(by_timer=True)

    # -- properties of both ends ---

    def linked(self) -> bool:
        """Whether the two ends have the same association."""
        first, second = self.a.association, self.b.association
        return (
            first is not None
            and second is not None
            and (first.our_tag, first.their_tag) == (second.their_tag, second.our_tag)
        )

    @invariant()
    def never_both_shutdown_received(self) -> None:
        if self.promises_both and self.linked():
            assert (self.a.state, self.b.state) != (S.SHUTDOWN_RECEIVED, S.SHUTDOWN_RECEIVED)

    @invariant()
    def never_cookie_echoed_and_shutdown_received(self) -> None:
        if self.promises_both and self.linked():
            assert {self.a.state, self.b.state} != {S.COOKIE_ECHOED, S.SHUTDOWN_RECEIVED}

    @invariant()
    def no_half_open(self) -> None:
        """Two of the ten: one for each end."""
        if self.promises_both and not self.excused:
            assert {self.a.state, self.b.state} != {S.ESTABLISHED, S.CLOSED}

    # -- what has to come true in the end ---

    def teardown(self) -> None:
        """The network delivers all from now on, and the attacker is gone."""
        shut_down = [set(end.shut_down) for end in self.ends]
        until = self.now + 1500.0
        for _ in range(5000):
            if self.flying:
                self.arrive(self.flying.pop(0))
                continue
            deadlines = [end.engine.next_deadline() for end in self.ends]
            earliest = min((d for d in deadlines if d is not None), default=inf)
            if earliest > until:
                break
            self.pass_until(earliest)
        else:
            pytest.fail("no_stuck_states: it goes on for ever")
        assert {end.state for end in self.ends} in ({S.CLOSED}, {S.ESTABLISHED}), "no_stuck_states"
        if len(self.ends) == 2 and self.a.state is S.ESTABLISHED:
            assert self.linked(), "no_half_open"
        for end, before in zip(self.ends, shut_down, strict=True):
            assert not before & set(end.seen), "shutdown_eventually_closed"


class OffPath(Conversation):
    """The attacker knows addresses and ports, spoofs, and reads nothing."""

    @rule(kind=st.sampled_from(KINDS), first=st.booleans(), tag=st.sampled_from([0, WRONG_TAG]))
    def forge(self, kind: str, first: bool, tag: int) -> None:
        victim, other = (self.a, self.b) if first else (self.b, self.a)
        chunk = forged(kind, EVIL_TAG, 7, 7)
        data = wire.seal(other.engine.port, victim.engine.port, tag, [chunk])
        self.arrive(Flying(data, Route(victim.route.remote, victim.route.local)))


class Replay(Conversation):
    """The attacker sends again what was sent, whenever it likes."""

    @precondition(lambda self: self.sent)
    @rule(number=st.integers(0, 10_000))
    def replay(self, number: int) -> None:
        self.arrive(self.sent[number % len(self.sent)])


class OnPath(Conversation):
    """The attacker reads all packets, drops what it likes, and forges with the right tags."""

    promises_both = False

    @precondition(lambda self: self.flying)
    @rule(number=st.integers(0, 1000))
    def lose(self, number: int) -> None:
        self.excused = True
        self.flying.pop(number % len(self.flying))

    @rule(kind=st.sampled_from(KINDS), first=st.booleans(), step=st.integers(-1, 2))
    def forge(self, kind: str, first: bool, step: int) -> None:
        self.excused = True
        victim, other = (self.a, self.b) if first else (self.b, self.a)
        association = victim.association
        tag = 0 if kind == "INIT" or association is None else association.our_tag
        if "T bit" in kind and association is not None:
            tag = association.their_tag
        tsn = acked = 7
        if association is not None:
            acked = (association.outbound.cumulative + max(step, 0)) & MASK
            if association.inbound is not None:
                tsn = (association.inbound.cumulative + step) & MASK
        initiate = other.association.our_tag if other.association is not None else EVIL_TAG
        data = wire.seal(
            other.engine.port, victim.engine.port, tag, [forged(kind, initiate, tsn, acked)]
        )
        self.arrive(Flying(data, Route(victim.route.remote, victim.route.local)))


class EvilServer(Conversation):
    """The attacker is the other end, and answers as it likes."""

    promises_both = False

    def __init__(self) -> None:
        super().__init__()
        self.ends = [self.a]
        self.tag = 0
        self.cookie = b""

    def arrive(self, packet: Flying) -> None:
        """What goes to the attacker tells it our tag, our TSNs, and our cookies."""
        if packet.route.remote == A:
            super().arrive(packet)
            return
        for chunk in parsed(packet.data).chunks:
            if isinstance(chunk, wire.Init):
                self.tag = chunk.tag
                for parameter in chunk.parameters:
                    if parameter.type == wire.ParameterType.STATE_COOKIE:
                        self.cookie = parameter.value

    @rule(kind=st.sampled_from([*KINDS, "its cookie"]), step=st.integers(-1, 2))
    def answer(self, kind: str, step: int) -> None:
        association = self.a.association
        tsn, acked = 100, 7
        if association is not None:
            acked = (association.outbound.cumulative + max(step, 0)) & MASK
            if association.inbound is not None:
                tsn = (association.inbound.cumulative + step) & MASK
        tag = 0 if kind == "INIT" else EVIL_TAG if "T bit" in kind else self.tag
        if kind == "its cookie":
            chunk = wire.chunk(ChunkType.COOKIE_ECHO, self.cookie)
        else:
            chunk = forged(kind, EVIL_TAG, tsn, acked)
        self.arrive(Flying(wire.seal(PEER_PORT, PORT, tag, [chunk]), Route(B, A)))


SETTINGS = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.mark.parametrize("attacker", [Conversation, OffPath, Replay, OnPath, EvilServer])
def test_the_ten_properties_hold(attacker: type[Conversation]) -> None:
    """`Conversation` is a network that reorders, without an attacker."""
    run_state_machine_as_test(attacker, settings=SETTINGS)


def test_a_shutdown_that_comes_too_late() -> None:
    conversation = Replay()
    conversation.begin(both=False)
    for _ in range(4):
        conversation.deliver(number=0)
    conversation.shut_down(first=False)
    conversation.shut_down(first=True)
    for number in 0, 1, 0, 1:
        conversation.deliver(number=number)
    assert [end.association for end in conversation.ends] == [None, None]
