"""Messages that are given up, and the FORWARD TSN that says so."""

from __future__ import annotations

import pytest

from trio_sctp._engine import wire
from trio_sctp._values import FailedFragment

from ..etsi.tester import THERE, quick
from ..support.engines import info
from . import tester
from .tester import KNOWN, NplabTester, Policy, connected, for_each, runs, send

MTU = 1480
FULL = MTU - wire.HEADER_SIZE - wire.I_DATA_OVERHEAD
"""Bytes of user data that fill a packet, or nearly so with DATA."""

POLICIES = pytest.mark.parametrize("policy", ["ttl", "rtx"])


def sender(rwnd: int = 10_000) -> NplabTester:
    """An association on which the engine sends; the script's window is that large."""
    peer = connected(quick(path_mtu=MTU), *KNOWN[tester.interleaving])
    peer.rwnd = rwnd
    peer.give(peer.sack())
    return peer


def cwnd(peer: NplabTester) -> int:
    return peer.association.paths[THERE].cwnd


def failed(peer: NplabTester) -> list[int]:
    """The sizes of the messages that the user is told to have failed."""
    return [len(event.data) for event in peer.events() if isinstance(event, FailedFragment)]


def skip_to(peer: NplabTester, count: int) -> wire.ForwardTsn:
    """Take the FORWARD TSN, alone in its packet, that skips the first ``count`` chunks."""
    skip = peer.expect(wire.ForwardTsn)
    assert skip.cumulative_tsn == peer.their_tsn + count - 1
    return skip


def rest_of_three(
    policy: Policy, retransmissions: int, *, unordered: bool, gap: bool
) -> tuple[NplabTester, wire.ForwardTsn]:
    """A message in three chunks of which the first arrives, and the second never.

    Returns the FORWARD TSN with which it is given up; ``gap`` is whether the third arrives.
    """
    peer = sender()
    send(
        peer,
        policy,
        bytes(2 * FULL + 100),
        retransmissions=retransmissions,
        unordered=unordered,
    )
    _, second, _ = peer.chunks()
    peer.give(peer.sack_first(1, gaps=[(2, 2)] if gap else []))
    for number in range(retransmissions):
        assert peer.wait() == 2.0**number
        assert peer.chunks()[0] == second
    assert peer.wait() == 2.0**retransmissions
    return peer, skip_to(peer, 3)


@for_each(
    {
        "sender/ttl/1": ("ttl", 0),
        "sender/rtx/1": ("rtx", 1),
        "sender/rtx/1_2": ("rtx", 0),
        "sender/rtx/1_3": ("rtx", 2),
    }
)
def test_a_message_of_which_a_part_has_arrived_is_skipped(variant: tuple[Policy, int]) -> None:
    policy, retransmissions = variant
    peer, skip = rest_of_three(policy, retransmissions, unordered=False, gap=True)
    assert skip.streams == peer.skips((1, 0))
    peer.give(peer.sack_first(3))
    peer.send(bytes(1000), info(1))
    assert peer.expect(wire.Data).ssn == 1


@for_each({"sender/ttl/2": ("ttl", 0), "sender/rtx/2": ("rtx", 1)})
def test_an_unordered_message_is_skipped_without_its_stream(variant: tuple[Policy, int]) -> None:
    policy, retransmissions = variant
    peer, skip = rest_of_three(policy, retransmissions, unordered=True, gap=True)
    assert skip.streams == peer.skips(unordered=[(1, 0)])
    peer.give(peer.sack_first(3))
    peer.send(bytes(1000), info(1, unordered=True))
    assert peer.expect(wire.Data).tsn == peer.their_tsn + 3


@POLICIES
def test_what_is_given_up_opens_no_window(policy: Policy) -> None:
    """RFC 3758 section 3.5, A4: it counts as lost, never as acknowledged."""
    peer = sender()
    send(peer, policy, bytes(FULL))
    peer.send(bytes(FULL))
    assert len(peer.chunks()) == 2
    assert peer.wait() == 1.0
    skip, again = peer.chunks()
    assert isinstance(skip, wire.ForwardTsn)
    assert isinstance(again, wire.Data)
    before = cwnd(peer)
    assert peer.association.outbound.flight >= before - MTU
    peer.give(peer.sack_first(1))
    assert cwnd(peer) == before
    peer.give(peer.sack_first(2))
    assert cwnd(peer) > before


@for_each({"sender/ttl/3": ("ttl", 0), "sender/rtx/3": ("rtx", 0)})
def test_all_fragments_are_given_up_at_once(variant: tuple[Policy, int]) -> None:
    policy, retransmissions = variant
    peer, skip = rest_of_three(policy, retransmissions, unordered=True, gap=False)
    assert skip.streams == peer.skips(unordered=[(1, 0)])
    assert failed(peer) == [2 * FULL + 100]
    peer.give(peer.sack_first(3))
    assert peer.association.outbound.empty
    assert peer.association.outbound.flight == 0


@for_each({"sender/ttl/4": "ttl", "sender/rtx/4": "rtx"})
def test_the_skip_is_bundled_with_what_is_retransmitted(variant: Policy) -> None:
    peer = sender()
    send(peer, variant, unordered=True)
    peer.expect(wire.Data)
    peer.give(peer.sack_first(1))
    send(peer, variant, unordered=True)
    send(peer, variant, unordered=True, retransmissions=1)
    _, last = peer.chunks()
    assert peer.wait() == 1.0
    packet = peer.expect_packet(wire.ForwardTsn, wire.Data)
    skip = peer.forward_tsn(peer.their_tsn + 1, unordered=[(1, 1)])
    assert packet.get(wire.ForwardTsn) == skip
    assert packet.get(wire.Data) == last
    peer.give(peer.sack_first(3))
    peer.works()


@for_each({"sender/ttl/5": "ttl", "sender/rtx/5": "rtx"})
def test_a_skip_is_not_delayed(variant: Policy) -> None:
    """Section 3.5, F3: by no more than 500 ms."""
    peer = sender()
    send(peer, variant, unordered=True)
    peer.expect(wire.Data)
    assert 1.0 <= peer.wait() <= 1.5
    assert skip_to(peer, 1).streams == peer.skips(unordered=[(1, 0)])
    peer.give(peer.sack_first(1))
    peer.works()


FILLING = bytes(4 * FULL)
"""A message that fills the congestion window at first."""


@runs("sender/ttl/6")
def test_what_dies_before_it_is_sent_needs_no_skip() -> None:
    """RFC 3758 section 4.1, TR3: it has no TSN."""
    peer = sender()
    send(peer, "ttl", FILLING, stream=1)
    send(peer, "ttl", stream=2)
    assert len(peer.received_data()) == 4
    assert peer.wait() == 1.0
    assert skip_to(peer, 4).streams == peer.skips((1, 0))
    peer.give(peer.sack_first(4))
    peer.silent()
    assert failed(peer) == [len(FILLING), 1000]
    assert peer.association.outbound.empty


@for_each(
    {
        "sender/ttl/7": ("ttl", True),
        "sender/ttl/7_1": ("ttl", False),
        "sender/rtx/7": ("rtx", True),
    }
)
def test_the_second_is_given_up_after_the_first(variant: tuple[Policy, bool]) -> None:
    """Whether it has been sent before the first is given up, or waits for that."""
    policy, waits = variant
    peer = sender()
    send(peer, policy, FILLING if waits else bytes(1000), stream=1)
    send(peer, policy, stream=2, retransmissions=1)
    count = 4 if waits else 1
    assert len(peer.received_data()) == (4 if waits else 2)
    assert peer.wait() == 1.0
    packet = peer.expect_packet(wire.ForwardTsn, wire.Data)
    assert packet.get(wire.ForwardTsn) == peer.forward_tsn(peer.their_tsn + count - 1, (1, 0))
    second = packet.get(wire.Data)
    assert (second.tsn, second.stream) == (peer.their_tsn + count, 2)
    peer.give(peer.sack_first(count))
    while not (skips := [chunk for chunk in peer.chunks() if isinstance(chunk, wire.ForwardTsn)]):
        peer.wait()
    assert skips == [peer.forward_tsn(peer.their_tsn + count, (2, 0))]
    peer.give(peer.sack_first(count + 1))
    assert peer.association.outbound.empty


@for_each({"sender/ttl/8": ("ttl", 0), "sender/rtx/8": ("rtx", 1)})
def test_an_ordered_message_and_then_an_unordered_one(variant: tuple[Policy, int]) -> None:
    policy, retransmissions = variant
    peer = sender()
    send(peer, policy, retransmissions=retransmissions)
    first = peer.expect(wire.Data)
    for _ in range(retransmissions):
        peer.wait()
        assert peer.expect(wire.Data) == first
    peer.wait()
    assert skip_to(peer, 1).streams == peer.skips((1, 0))
    peer.give(peer.sack_first(1))
    send(peer, policy, unordered=True, rto=2.0 * 2**retransmissions)
    assert peer.expect(wire.Data).tsn == peer.their_tsn + 1
    peer.wait()
    assert skip_to(peer, 2).streams == peer.skips(unordered=[(1, 0)])
    peer.give(peer.sack_first(2))
    assert peer.association.outbound.empty


@for_each({"sender/ttl/9": "ttl", "sender/rtx/9": "rtx"})
def test_one_skip_names_all_its_streams(variant: Policy) -> None:
    peer = sender()
    send(peer, variant, stream=1)
    peer.expect(wire.Data)
    peer.give(peer.sack_first(1))
    send(peer, variant, stream=2)
    send(peer, variant, stream=1)
    send(peer, variant, stream=2, retransmissions=1)
    _, _, last = peer.chunks()
    assert peer.wait() == 1.0
    packet = peer.expect_packet(wire.ForwardTsn, wire.Data)
    skip = packet.get(wire.ForwardTsn)
    assert skip.cumulative_tsn == peer.their_tsn + 2
    assert sorted(skip.streams) == peer.skips((1, 1), (2, 0))
    assert packet.get(wire.Data) == last
    peer.give(peer.sack_first(4))
    peer.works()


@for_each({"sender/ttl/10": "ttl", "sender/rtx/10": "rtx"})
def test_a_skip_that_is_not_acknowledged_is_repeated(variant: Policy) -> None:
    peer = sender()
    send(peer, variant, unordered=True)
    peer.expect(wire.Data)
    for pause in 1.0, 2.0, 4.0:
        assert peer.wait() == pause
        assert skip_to(peer, 1).streams == peer.skips(unordered=[(1, 0)])
    peer.give(peer.sack_first(1))
    peer.works()


def two_of_three(policy: Policy) -> NplabTester:
    """Three messages on a stream, of which the second lives for ever."""
    peer = sender()
    send(peer, policy)
    peer.send(bytes(1001), info(1))
    send(peer, policy)
    assert len(peer.chunks()) == 3
    return peer


@for_each({"sender/ttl/11": "ttl", "sender/rtx/11": "rtx"})
def test_a_message_that_lives_parts_two_skips(variant: Policy) -> None:
    peer = two_of_three(variant)
    assert peer.wait() == 1.0
    packet = peer.expect_packet(wire.ForwardTsn, wire.Data)
    assert packet.get(wire.ForwardTsn) == peer.forward_tsn(peer.their_tsn, (1, 0))
    assert len(packet.get(wire.Data).payload) == 1001
    peer.give(peer.sack_first(2))
    assert skip_to(peer, 3).streams == peer.skips((1, 2))
    peer.give(peer.sack_first(3))
    assert peer.association.outbound.empty


@for_each({"sender/ttl/12": "ttl", "sender/rtx/12": "rtx"})
def test_a_message_that_has_arrived_parts_two_skips(variant: Policy) -> None:
    peer = two_of_three(variant)
    peer.advance(0.9)
    peer.give(peer.sack_first(0, gaps=[(2, 2)]))
    peer.wait()
    assert skip_to(peer, 1).streams == peer.skips((1, 0))
    peer.give(peer.sack_first(2))
    assert skip_to(peer, 3).streams == peer.skips((1, 2))
    peer.give(peer.sack_first(3))
    assert peer.association.outbound.empty
