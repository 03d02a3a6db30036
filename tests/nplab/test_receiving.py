"""What the receiver makes of a FORWARD TSN, with fragments around the gap in any order."""

from __future__ import annotations

from trio_sctp._engine import wire

from . import tester
from .flow import Flow
from .tester import KNOWN, NplabTester, connected, for_each, runs, skipping

# -- a FORWARD TSN by itself -------------------------------------------------------------------


def acknowledged(peer: NplabTester, *chunks: bytes) -> wire.Sack:
    """Give a packet; the engine's answer is one SACK, at once or delayed."""
    peer.give(*chunks)
    (sack,) = peer.chunks() or (peer.advance(0.5) and peer.chunks())
    assert isinstance(sack, wire.Sack)
    return sack


@for_each(
    {
        "receiver/1": ([(1, 0)], {"stream": 1, "ssn": 1}),
        "receiver/3": ([], {"flags": wire.WHOLE | wire.UNORDERED}),
        "receiver/5": ([(1, 0), (1, 0)], {"stream": 1, "ssn": 1}),
    }
)
def test_what_never_came_is_skipped(variant: tuple[list[tuple[int, int]], dict[str, int]]) -> None:
    streams, after = variant
    peer = connected(None, *KNOWN[tester.interleaving])
    assert acknowledged(peer, peer.skip(1, *streams)).cumulative_tsn == 1
    assert acknowledged(peer, peer.data(b"next", tsn=2, **after)).cumulative_tsn == 2
    assert peer.messages() == [b"next"]
    peer.closes()


@for_each(
    {
        "receiver/2": ([(1, 0)], {"stream": 1, "ssn": 0}, {"stream": 1, "ssn": 1}),
        "receiver/4": (
            [],
            {"flags": wire.WHOLE | wire.UNORDERED},
            {"flags": wire.WHOLE | wire.UNORDERED},
        ),
        "receiver/7": ([(1, 0)], {"stream": 1, "ssn": 0}, None),
    }
)
def test_what_came_is_delivered_although_it_is_skipped_later(
    variant: tuple[list[tuple[int, int]], dict[str, int], dict[str, int] | None],
) -> None:
    streams, first, after = variant
    peer = connected(None, *KNOWN[tester.interleaving])
    assert acknowledged(peer, peer.data(b"first", tsn=1, **first)).cumulative_tsn == 1
    sack = acknowledged(peer, peer.skip(1, *streams))
    assert (sack.cumulative_tsn, sack.gaps, sack.duplicates) == (1, [], [])
    assert peer.messages() == [b"first"]
    if after is not None:
        assert acknowledged(peer, peer.data(b"next", tsn=2, **after)).cumulative_tsn == 2
        assert peer.messages() == [b"next"]
    peer.closes()


@runs("receiver/6")
def test_each_stream_that_is_named_moves_on() -> None:
    peer = connected(None, *KNOWN[tester.interleaving])
    assert acknowledged(peer, peer.skip(2, (1, 0), (2, 0))).cumulative_tsn == 2
    for tsn, stream in (3, 1), (4, 2):
        chunk = peer.data(b"next", tsn=tsn, stream=stream, ssn=1)
        assert acknowledged(peer, chunk).cumulative_tsn == tsn
        assert peer.messages() == [b"next"]
    peer.closes()


@runs("receiver/8")
def test_a_skip_behind_the_cumulative_tsn_is_answered_with_what_is_there() -> None:
    peer = connected(None, *KNOWN[tester.interleaving])
    acknowledged(peer, peer.data(b"0", tsn=1))
    first, second = (
        peer.data(b"1", tsn=2, stream=1, ssn=0),
        peer.data(b"2", tsn=3, stream=1, ssn=1),
    )
    peer.give(first)
    assert acknowledged(peer, second).cumulative_tsn == 3
    for point in 2, 3:
        sack = acknowledged(peer, peer.skip(point, (1, 0)))
        assert (sack.cumulative_tsn, sack.gaps, sack.duplicates) == (3, [], [])
    assert peer.messages() == [b"0", b"1", b"2"]
    peer.closes()


@for_each({"receiver/9": None, "receiver/10": 2})
def test_a_fragment_of_what_is_skipped_is_forgotten(variant: int | None) -> None:
    """Whether the rest of it comes too late, or never."""
    late = variant
    peer = connected(None, *KNOWN[tester.interleaving])
    acknowledged(peer, peer.data(b"0", tsn=1))
    sack = acknowledged(peer, peer.data(b"end", tsn=3, stream=1, ssn=0, flags=wire.LAST))
    assert (sack.cumulative_tsn, sack.gaps) == (1, [(2, 2)])
    sack = acknowledged(peer, peer.skip(3, (1, 0)))
    assert (sack.cumulative_tsn, sack.gaps) == (3, [])
    if late is not None:
        sack = acknowledged(peer, peer.data(b"begin", tsn=2, stream=1, ssn=0, flags=wire.FIRST))
        assert (sack.cumulative_tsn, sack.gaps, sack.duplicates) == (3, [], [late])
    assert acknowledged(peer, peer.data(b"next", tsn=4, stream=1, ssn=1)).cumulative_tsn == 4
    assert peer.messages() == [b"0", b"next"]
    peer.closes()


@runs("receiver/11")
def test_a_skip_may_be_far() -> None:
    peer = connected(None, *KNOWN[tester.interleaving])
    acknowledged(peer, peer.data(b"first", tsn=1, stream=1))
    assert acknowledged(peer, peer.skip(99_999, (1, 1))).cumulative_tsn == 99_999
    sack = acknowledged(peer, peer.data(b"next", tsn=100_000, stream=1, ssn=2))
    assert (sack.cumulative_tsn, sack.gaps) == (100_000, [])
    assert peer.messages() == [b"first", b"next"]
    peer.closes()


@runs("error-cases/invalid-forward-tsn-1")
def test_a_skip_to_before_the_cumulative_tsn_changes_nothing() -> None:
    peer = skipping()
    acknowledged(peer, peer.data(b"1", tsn=1, stream=1, ssn=0))
    sack = acknowledged(peer, peer.skip(0, (1, 0)))
    assert (sack.cumulative_tsn, sack.gaps) == (1, [])
    assert acknowledged(peer, peer.data(b"2", tsn=2, stream=1, ssn=1)).cumulative_tsn == 2
    assert peer.messages() == [b"1", b"2"]
    peer.closes()


# -- fragments around a gap --------------------------------------------------------------------
# Unless it says otherwise, message n has the TSNs 2n-1 and 2n.


@for_each(
    {
        "receiver/ordered/1": "1.0 1.1",
        "receiver/unordered/1": "U U",
        "receiver/mixed/1": "U 1.0",
        "receiver/mixed/2": "1.0 U",
    }
)
def test_a_skip_and_the_begin_of_the_next(variant: str) -> None:
    flow = Flow(variant)
    flow.packet(2, sack=0, gaps=[(2, 2)])
    flow.packet(3, skips=[2], sack=3)
    flow.packet(4, sack=4)
    flow.close()


@for_each(
    {
        "receiver/ordered/2": "1.0 2.0",
        "receiver/unordered/2": "U U",
        "receiver/mixed/3": "1.0 U",
        "receiver/mixed/4": "U 1.0",
    }
)
def test_a_skip_and_the_begin_of_what_waits_for_it(variant: str) -> None:
    flow = Flow(variant)
    flow.packet(2, sack=0, gaps=[(2, 2)])
    flow.packet(4, sack=0, gaps=[(2, 2), (4, 4)])
    flow.packet(3, skips=[2], sack=4)
    flow.close()


@runs("receiver/ordered/2_1")
def test_a_skip_frees_a_whole_message_of_the_same_stream() -> None:
    flow = Flow("1.0 1.1")
    flow.packet(2, sack=0, gaps=[(2, 2)])
    flow.packet(4, sack=0, gaps=[(2, 2), (4, 4)])
    flow.packet(3, sack=0, gaps=[(2, 4)])
    flow.packet(skips=[2], sack=4)
    flow.close()


@for_each(
    {
        "receiver/ordered/3": "1.0 2.0",
        "receiver/unordered/3": "U U",
        "receiver/mixed/5": "1.0 U",
        "receiver/mixed/6": "U 1.0",
    }
)
def test_a_skip_and_then_the_begin_of_what_waits_for_it(variant: str) -> None:
    flow = Flow(variant)
    flow.packet(2, sack=0, gaps=[(2, 2)])
    flow.packet(4, sack=0, gaps=[(2, 2), (4, 4)])
    flow.packet(skips=[2], sack=2, gaps=[(4, 4)])
    flow.packet(3, sack=4)
    flow.close()


def three_ends(kinds: str) -> Flow:
    """Three messages of which only the ends have come."""
    flow = Flow(kinds)
    flow.packet(2, sack=0, gaps=[(2, 2)])
    flow.packet(4, sack=0, gaps=[(2, 2), (4, 4)])
    flow.packet(6, sack=0, gaps=[(2, 2), (4, 4), (6, 6)])
    return flow


@for_each(
    {
        "receiver/ordered/4": "1.0 2.0 3.0",
        "receiver/ordered/4_1": "1.0 1.1 1.2",
        "receiver/unordered/4": "U U U",
    }
)
def test_the_first_of_three_is_skipped_and_the_others_are_completed(variant: str) -> None:
    flow = three_ends(variant)
    flow.packet(skips=[2], sack=2, gaps=[(4, 4), (6, 6)])
    flow.packet(3, sack=4, gaps=[(6, 6)])
    flow.packet(5, sack=6)
    flow.close()


@for_each(
    {
        "receiver/ordered/5": "1.0 2.0 3.0",
        "receiver/ordered/5_1": "1.0 1.1 1.2",
        "receiver/unordered/5": "U U U",
        "receiver/mixed/7": "U 2.0 U",
        "receiver/mixed/8": "1.0 U 2.0",
        "receiver/mixed/9": "U U 2.0",
    }
)
def test_the_first_of_three_is_skipped_beside_the_begin_of_the_second(variant: str) -> None:
    flow = three_ends(variant)
    flow.packet(3, skips=[2], sack=4, gaps=[(6, 6)])
    flow.packet(5, sack=6)
    flow.close()


@for_each(
    {
        "receiver/ordered/6": "1.0 2.0 3.0",
        "receiver/ordered/6_1": "1.0 1.1 1.2",
        "receiver/unordered/6": "U U U",
    }
)
def test_the_first_of_three_is_skipped_and_the_last_is_completed_first(variant: str) -> None:
    flow = three_ends(variant)
    flow.packet(skips=[2], sack=2, gaps=[(4, 4), (6, 6)])
    flow.packet(5, sack=2, gaps=[(4, 6)])
    flow.packet(3, sack=6)
    flow.close()


@for_each({"receiver/ordered/7": "1.0 2.0", "receiver/unordered/7": "U U"})
def test_nothing_is_skipped_and_the_second_is_completed_first(variant: str) -> None:
    flow = Flow(variant)
    flow.packet(2, sack=0, gaps=[(2, 2)])
    flow.packet(4, sack=0, gaps=[(2, 2), (4, 4)])
    flow.packet(3, sack=0, gaps=[(2, 4)])
    flow.packet(1, sack=4)
    flow.close()


@for_each(
    {
        "receiver/ordered/8": " ".join(["1.0", *(f"2.{ssn}" for ssn in range(14))]),
        "receiver/unordered/8": " ".join(["U"] * 15),
    }
)
def test_whole_messages_behind_the_gap_wait_for_nothing(variant: str) -> None:
    flow = Flow(variant, [2] + [1] * 14)
    flow.packet(2, sack=0, gaps=[(2, 2)])
    for tsn in range(3, 17):
        flow.packet(tsn, sack=0, gaps=[(2, tsn)])
    flow.packet(skips=[2], sack=16)
    flow.close()


@for_each(
    {
        "receiver/ordered/9": "1.0 2.0 3.0",
        "receiver/ordered/9_1": "1.0 1.1 1.2",
        "receiver/unordered/9": "U U U",
        "receiver/mixed/13": "U 2.0 3.0",
        "receiver/mixed/14": "1.0 U 3.0",
        "receiver/mixed/15": "1.0 1.1 U",
        "receiver/mixed/16": "1.0 U U",
    }
)
def test_two_of_three_are_skipped_one_by_one(variant: str) -> None:
    flow = three_ends(variant)
    flow.packet(skips=[2], sack=2, gaps=[(4, 4), (6, 6)])
    flow.packet(skips=[4], sack=4, gaps=[(6, 6)])
    flow.packet(5, sack=6)
    flow.close()


@for_each({"receiver/ordered/10": "1.0 2.0 3.0", "receiver/unordered/10": "U U U"})
def test_a_skip_and_the_end_of_the_last(variant: str) -> None:
    flow = Flow(variant)
    flow.packet(4, sack=0, gaps=[(4, 4)])
    flow.packet(3, sack=0, gaps=[(3, 4)])
    flow.packet(5, sack=0, gaps=[(3, 5)])
    flow.packet(6, skips=[2], sack=6)
    flow.close()


@for_each(
    {
        "receiver/ordered/11": "1.0 2.0 3.0",
        "receiver/unordered/11": "U U U",
        "receiver/mixed/20": "U 2.0 3.0",
        "receiver/mixed/21": "U U 3.0",
        "receiver/mixed/22": "U 1.0 U",
        "receiver/mixed/23": "1.0 U U",
    }
)
def test_a_skip_of_what_had_begun_to_come_and_the_end_of_the_last(variant: str) -> None:
    flow = Flow(variant)
    flow.packet(2, sack=0, gaps=[(2, 2)])
    flow.packet(4, sack=0, gaps=[(2, 2), (4, 4)])
    flow.packet(3, sack=0, gaps=[(2, 4)])
    flow.packet(5, sack=0, gaps=[(2, 5)])
    flow.packet(6, skips=[2], sack=6)
    flow.close()


@for_each({"receiver/ordered/12": "1.0 2.0 3.0", "receiver/unordered/12": "U U U"})
def test_a_skip_and_the_begin_of_the_last(variant: str) -> None:
    flow = Flow(variant)
    flow.packet(4, sack=0, gaps=[(4, 4)])
    flow.packet(3, sack=0, gaps=[(3, 4)])
    flow.packet(6, sack=0, gaps=[(3, 4), (6, 6)])
    flow.packet(5, skips=[2], sack=6)
    flow.close()


@for_each(
    {
        "receiver/ordered/13": "1.0 2.0 3.0",
        "receiver/unordered/13": "U U U",
        "receiver/mixed/24": "U 2.0 3.0",
        "receiver/mixed/25": "1.0 U 3.0",
        "receiver/mixed/26": "1.0 1.1 U",
        "receiver/mixed/27": "U 1.0 U",
        "receiver/mixed/28": "1.0 U U",
    }
)
def test_two_skips_in_one_packet_have_one_answer(variant: str) -> None:
    flow = three_ends(variant)
    flow.packet(5, sack=0, gaps=[(2, 2), (4, 6)])
    flow.packet(skips=[2, 4], sack=6)
    flow.close()


@for_each(
    {
        "receiver/ordered/14": "U 2.0 3.0 4.0",
        "receiver/ordered/14_1": "1.0 1.1 1.2 1.3",
        "receiver/unordered/14": "U U U U",
        "receiver/mixed/29": "U U 3.0 4.0",
        "receiver/mixed/30": "U 2.0 3.0 U",
        "receiver/mixed/31": "U U U 4.0",
    }
)
def test_a_message_of_which_a_part_has_come_is_skipped_too(variant: str) -> None:
    flow = Flow(variant)
    flow.packet(8, sack=0, gaps=[(8, 8)])
    flow.packet(5, sack=0, gaps=[(5, 5), (8, 8)])
    flow.packet(6, sack=0, gaps=[(5, 6), (8, 8)])
    flow.packet(3, skips=[2], sack=3, gaps=[(5, 6), (8, 8)])
    flow.packet(7, skips=[4], sack=8)
    flow.close()


@for_each(
    {
        "receiver/mixed/10": "U 1.0 1.1",
        "receiver/mixed/11": "1.0 U U",
        "receiver/mixed/12": "1.0 U 1.1",
    }
)
def test_a_skip_ends_within_a_message_of_three_fragments(variant: str) -> None:
    """TSNs 1 to 3, 4 to 6, 7 and 8: the end of the first is there, and can never be used."""
    flow = Flow(variant, [3, 3, 2])
    flow.packet(3, sack=0, gaps=[(3, 3)])
    flow.packet(6, sack=0, gaps=[(3, 3), (6, 6)])
    flow.packet(8, sack=0, gaps=[(3, 3), (6, 6), (8, 8)])
    flow.packet(4, sack=0, gaps=[(3, 4), (6, 6), (8, 8)])
    flow.packet(5, sack=0, gaps=[(3, 6), (8, 8)])
    flow.packet(7, skips=[2], sack=8)
    flow.close()


@for_each(
    {
        "receiver/mixed/17": "1.0 U 1.1",
        "receiver/mixed/18": "1.0 U U",
        "receiver/mixed/19": "U 1.0 1.1",
    }
)
def test_the_last_message_is_skipped_with_its_end_there(variant: str) -> None:
    """TSNs 1, 2, and 3 and 4."""
    flow = Flow(variant, [1, 1, 2])
    flow.packet(4, sack=0, gaps=[(4, 4)])
    flow.packet(1, sack=1, gaps=[(4, 4)])
    flow.packet(2, sack=2, gaps=[(4, 4)])
    flow.packet(skips=[4], sack=4)
    flow.close()
