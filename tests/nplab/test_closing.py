"""Messages that are given up while the association closes, from either side."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from trio_sctp._engine import wire
from trio_sctp._engine.tsn import MASK
from trio_sctp._values import AssociationState

from ..etsi.tester import quick
from ..support.engines import info
from .tester import NplabTester, Policy, for_each, runs, send, skipping

MTU = 1480
FULL = MTU - wire.HEADER_SIZE - wire.I_DATA_OVERHEAD


class Case(NamedTuple):
    """What happens to the message that is outstanding when the association begins to close.

    Attributes:
      policy: How its life is limited.
      retransmissions: How often it is retransmitted.
      arrives: Whether it arrives then; it is given up if not.
      lost_skips: How many FORWARD TSNs for it get lost.
      unordered: Whether it is unordered.
      cut: Whether it is fragmented, and its first chunk has arrived.
    """

    policy: Policy
    retransmissions: int = 0
    arrives: bool = False
    lost_skips: int = 0
    unordered: bool = False
    cut: bool = False


def cases(group: str) -> dict[str, Case]:
    """The cases of one group of scripts, which both policies and both sides have in common."""
    found: dict[str, Case] = {}
    for policy in ("ttl", "rtx"):
        numbered = {
            2: Case(policy),
            3: Case(policy),
            4: Case(policy, cut=True),
            5: Case(policy, 1),
            6: Case(policy, 2),
            7: Case(policy, 1, arrives=True),
            8: Case(policy, 2, arrives=True),
            9: Case(policy, lost_skips=1),
            10: Case(policy, 2, unordered=True),
            11: Case(policy, 1, arrives=True, unordered=True),
            12: Case(policy, 2, arrives=True, unordered=True),
            13: Case(policy, lost_skips=1, unordered=True),
        }
        if group == "shutdown-received" and policy == "ttl":
            numbered |= {1: Case(policy, 1)}
            del numbered[3]
        found |= {f"{group}/{policy}/{number}": case for number, case in numbered.items()}
    return found


def given_up_before(policy: Policy) -> NplabTester:
    """An association whose first message was given up, which the script knows."""
    peer = skipping(quick(path_mtu=MTU))
    send(peer, policy)
    peer.expect(wire.Data)
    assert peer.wait() == 1.0
    assert peer.expect(wire.ForwardTsn) == peer.forward_tsn(peer.their_tsn, (1, 0))
    peer.give(peer.sack_first(1))
    peer.silent()
    return peer


def outstanding(case: Case) -> tuple[NplabTester, int, wire.Data]:
    """A message that has been sent, as the case says.

    Returns how many chunks the message and the one before it are, and what may come again.
    """
    peer = given_up_before(case.policy)
    data = bytes(FULL + 100) if case.cut else bytes(1000)
    send(
        peer,
        case.policy,
        data,
        retransmissions=case.retransmissions,
        rto=_rto(case),
        unordered=case.unordered,
    )
    chunks = peer.chunks()
    if case.cut:
        peer.give(peer.sack_first(2))
        chunks += peer.chunks()  # after the timeout the window holds one of them
    last = chunks[-1]
    assert isinstance(last, wire.Data)
    return peer, 1 + len(chunks), last


def _rto(case: Case) -> float:
    """The RTO: doubled by the first message, until a chunk that arrives has it measured anew."""
    return 1.0 if case.cut else 2.0


def takes_no_more(peer: NplabTester) -> None:
    """The user cannot send any more."""
    with pytest.raises(BrokenPipeError):
        peer.send(b"too late")
    peer.silent()


def lives_and_dies(peer: NplabTester, case: Case, count: int, last: wire.Data) -> None:
    """Expect the message again as often as it has to come, and then its FORWARD TSN."""
    pause = _rto(case)
    for _ in range(case.retransmissions):
        assert peer.wait() == pause
        assert peer.expect(wire.Data) == last
        pause *= 2
    if case.arrives:
        return
    for _ in range(1 + case.lost_skips):
        assert peer.wait() == pause
        skip = peer.expect(wire.ForwardTsn)
        assert skip.cumulative_tsn == (peer.their_tsn + count - 1) & MASK
        assert skip.streams == (
            peer.skips(unordered=[(1, 0)]) if case.unordered else peer.skips((1, 1))
        )
        pause *= 2


@for_each(cases("shutdown"))
def test_the_user_closes(variant: Case) -> None:
    """SHUTDOWN waits until the message is acknowledged or skipped (RFC 9260 section 9.2)."""
    peer, count, last = outstanding(variant)
    peer.user_shuts_down()
    takes_no_more(peer)
    lives_and_dies(peer, variant, count, last)
    peer.give(peer.sack_first(count))
    assert peer.expect(wire.Shutdown).cumulative_tsn == peer.tsn - 1
    takes_no_more(peer)
    peer.give(wire.chunk(wire.ChunkType.SHUTDOWN_ACK))
    peer.expect(wire.ShutdownComplete)
    assert AssociationState.SHUTDOWN_COMP in peer.changes()


@for_each(cases("shutdown-received"))
def test_the_peer_closes(variant: Case) -> None:
    """SHUTDOWN ACK waits likewise; the SHUTDOWNs acknowledge."""
    peer, count, last = outstanding(variant)
    peer.acked = (peer.their_tsn + count - 2) & MASK
    peer.give(peer.shutdown())
    peer.silent()
    takes_no_more(peer)
    lives_and_dies(peer, variant, count, last)
    peer.acked = (peer.their_tsn + count - 1) & MASK
    peer.give(peer.shutdown())
    peer.expect(wire.ShutdownAck)
    peer.give(wire.shutdown_complete_chunk())
    peer.silent()
    assert AssociationState.SHUTDOWN_COMP in peer.changes()


@for_each({"shutdown/ttl/1": ("ttl", 0), "shutdown/rtx/1": ("rtx", 1)})
def test_the_user_closes_when_all_is_skipped(variant: tuple[Policy, int]) -> None:
    policy, retransmissions = variant
    peer = skipped(policy, retransmissions)
    peer.user_shuts_down()
    peer.expect(wire.Shutdown)
    takes_no_more(peer)
    peer.give(wire.chunk(wire.ChunkType.SHUTDOWN_ACK))
    peer.expect(wire.ShutdownComplete)


@runs("shutdown-received/rtx/1")
def test_the_peer_closes_when_all_is_skipped() -> None:
    peer = skipped("rtx", 1)
    peer.give(peer.shutdown())
    peer.expect(wire.ShutdownAck)
    takes_no_more(peer)
    peer.give(wire.shutdown_complete_chunk())
    peer.silent()
    assert AssociationState.SHUTDOWN_COMP in peer.changes()


def skipped(policy: Policy, retransmissions: int) -> NplabTester:
    """An association on which one message was sent, and given up after some retransmissions."""
    peer = skipping(quick(path_mtu=MTU))
    send(peer, policy, retransmissions=retransmissions)
    first = peer.expect(wire.Data)
    for _ in range(retransmissions):
        peer.wait()
        assert peer.expect(wire.Data) == first
    peer.wait()
    assert peer.expect(wire.ForwardTsn) == peer.forward_tsn(peer.their_tsn, (1, 0))
    peer.give(peer.sack_first(1))
    peer.silent()
    return peer


@runs("shutdown/ttl/14")
def test_the_user_closes_what_has_carried_nothing() -> None:
    peer = skipping()
    peer.user_shuts_down()
    peer.expect(wire.Shutdown)
    with pytest.raises(BrokenPipeError):
        peer.send(b"too late", info(1, lifetime=500))
    peer.give(wire.chunk(wire.ChunkType.SHUTDOWN_ACK))
    peer.expect(wire.ShutdownComplete)
