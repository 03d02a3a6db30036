"""What a capture lets one infer: losses, changes of path, associations, hosts."""

from __future__ import annotations

import random

import pytest

from trio_sctp._engine import wire
from trio_sctp._engine.wire import ChunkType
from trio_sctp._ladder.chart import Arrow, CapturedPacket, Chart, draw
from trio_sctp._ladder.flows import Fate

from ..support.ladders import A2, B2, A, B, C, data, init, init_ack, packet, sack

TO_B, TO_A = 8, 9
"""The tags of the packets that B and A get."""


def there(*chunks: bytes, time: float = 0.0, **more: object) -> CapturedPacket:
    return packet(A, B, *chunks, time=time, tag=TO_B, **more)  # type: ignore[arg-type]


def back(*chunks: bytes, time: float = 0.0, **more: object) -> CapturedPacket:
    return packet(B, A, *chunks, time=time, tag=TO_A, **more)  # type: ignore[arg-type]


def chart(*packets: CapturedPacket) -> Chart:
    return draw(packets, infer=True)


def fates(*packets: CapturedPacket) -> list[str]:
    """For each packet why it is taken for lost, and what is said of its chunks."""
    return [
        " ".join([*([arrow.reason] if arrow.fate is Fate.LOST else []), *remarks(arrow)])
        for arrow in chart(*packets).arrows
    ]


def remarks(arrow: Arrow) -> list[str]:
    return [chunk.remark for chunk in arrow.chunks if chunk.remark]


# -- user data -------------------------------------------------------------------------------------


def test_what_is_sent_again_without_a_sign_of_its_arrival_was_lost() -> None:
    assert fates(there(data(1)), there(data(1), time=1.0)) == ["sent again", "again"]


def test_each_copy_but_the_last_was_lost() -> None:
    lost = ["sent again", "sent again again", "again"]
    assert fates(*[there(data(1), time=n) for n in range(3)]) == lost


def test_what_was_acknowledged_has_arrived() -> None:
    again = "again (it had arrived)"
    assert fates(there(data(1)), back(sack(1)), there(data(1))) == ["", "", again]
    assert fates(
        there(data(1)), there(data(2)), back(sack(0, (2, 2))), there(data(2)), back(sack(2))
    ) == ["", "", "", again, ""]


def test_what_the_receiver_got_twice_has_arrived_both_times() -> None:
    assert fates(there(data(1)), there(data(1)), back(sack(1, twice=(1,)))) == ["", "again", ""]


def test_what_a_sack_reports_missing_was_lost_when_it_is_sent_again() -> None:
    assert fates(
        there(data(1)), there(data(2)), there(data(3)), back(sack(1, (2, 2))), there(data(2))
    ) == ["", "reported missing, sent again", "", "", "again"]


def test_what_is_reported_missing_and_comes_later_was_overtaken() -> None:
    assert fates(
        there(data(1)), there(data(2)), there(data(3)), back(sack(1, (2, 2))), back(sack(3))
    ) == ["", "", "", "", ""]


def test_what_is_missing_to_the_end_was_lost() -> None:
    assert fates(there(data(1)), there(data(2)), back(sack(0, (2, 2)))) == [
        "reported missing",
        "",
        "",
    ]


def test_what_waits_for_long_for_its_sack_was_lost() -> None:
    heartbeat = wire.heartbeat_chunk(b"h")
    assert fates(
        there(data(1)), back(sack(1)), there(data(2), time=1.0), back(heartbeat, time=2.0)
    ) == ["", "", "not acknowledged", ""]
    assert fates(
        there(data(1)), back(sack(1)), there(data(2), time=1.0), back(heartbeat, time=1.9)
    ) == ["", "", "", ""]


def test_of_one_direction_alone_nothing_is_inferred_from_silence() -> None:
    """As routes may differ, a capture may see nothing of the way back."""
    assert fates(there(data(1)), there(data(2), time=50.0)) == ["", ""]


def test_a_first_copy_that_did_not_come_by_is_missed() -> None:
    """The capture was made behind the place where it was lost."""
    assert fates(there(data(1)), there(data(3)), back(sack(1, (2, 2))), there(data(2))) == [
        "",
        "",
        "",
        "late (reported missing)",
    ]
    assert fates(there(data(1)), there(data(3)), there(data(2))) == ["", "", "late"]


def test_tsns_wrap_around() -> None:
    end = 2**32
    assert fates(
        there(data(end - 1)), there(data(end)), back(sack(0)), there(data(end + 1)), there(data(1))
    ) == ["", "", "", "sent again", "again"]


def test_of_bundled_chunks_those_that_are_sent_again_tell() -> None:
    assert fates(there(data(1), data(2)), there(data(3)), there(data(1), data(2))) == [
        "sent again",
        "",
        "again again",
    ]


def test_an_old_sack_changes_nothing() -> None:
    assert (
        fates(there(data(1)), there(data(2)), back(sack(2)), back(sack(0)), there(data(1)))[-1]
        == "again (it had arrived)"
    )


def test_i_data_is_user_data() -> None:
    def i_data(tsn: int) -> bytes:
        return wire.chunk(64, tsn.to_bytes(4, "big") + bytes(12) + b"x", wire.WHOLE)

    assert fates(there(i_data(1)), there(i_data(1))) == ["sent again", "again"]
    assert str(chart(there(i_data(1))).arrows[0].chunks[0]) == "I-DATA 1 stream 0 b'x'"


# -- control chunks --------------------------------------------------------------------------------

COOKIE = wire.chunk(ChunkType.COOKIE_ECHO, b"cookie")
ASKS = {
    "INIT": (init(1, tag=TO_A), init_ack(5, tag=TO_B)),
    "COOKIE ECHO": (COOKIE, wire.chunk(ChunkType.COOKIE_ACK)),
    "SHUTDOWN": (wire.shutdown_chunk(4), wire.chunk(ChunkType.SHUTDOWN_ACK)),
    "SHUTDOWN ACK": (wire.chunk(ChunkType.SHUTDOWN_ACK), wire.shutdown_complete_chunk()),
    "ASCONF": (wire.chunk(193, bytes(4)), wire.chunk(128, bytes(4))),
    "RE-CONFIG": (
        wire.chunk(130, wire.tlv(15, bytes(4))),
        wire.chunk(130, wire.tlv(16, bytes(4) + b"\0\0\0\1")),
    ),
    "HEARTBEAT": (wire.heartbeat_chunk(b"h"), wire.heartbeat_chunk(b"h", ack=True)),
}
each_question = pytest.mark.parametrize(("asks", "answer"), ASKS.values(), ids=ASKS)


@each_question
def test_what_gets_no_answer_was_lost(asks: bytes, answer: bytes) -> None:
    later = there(wire.heartbeat_chunk(b"later"), time=1.0)
    assert fates(there(asks), later) == ["not answered", ""]
    assert fates(there(asks), back(answer, time=0.5), later) == ["", "", ""]
    assert fates(there(asks), there(asks, time=0.5)) == ["sent again", "again"]


@pytest.mark.parametrize("name", [name for name in ASKS if name != "HEARTBEAT"])
def test_copies_that_are_all_answered_have_arrived(name: str) -> None:
    """But for HEARTBEATs, of which each is another one."""
    asks, answer = ASKS[name]
    assert fates(there(asks), there(asks), back(answer), back(answer))[:2] == ["", "again"]


def test_an_answer_to_another_heartbeat_is_none() -> None:
    other = wire.heartbeat_chunk(b"other", ack=True)
    assert fates(there(wire.heartbeat_chunk(b"h")), back(other, time=1.0))[0] == "not answered"


def test_an_answer_to_another_request_is_none() -> None:
    asks, _ = ASKS["RE-CONFIG"]
    other = wire.chunk(130, wire.tlv(16, b"\0\0\0\7\0\0\0\1"))
    assert fates(there(asks), back(other, time=1.0))[0] == "not answered"


def test_what_is_open_when_an_association_ends_is_no_loss() -> None:
    assert (
        fates(there(data(1)), back(sack(1)), there(data(2)), back(wire.abort_chunk())) == [""] * 4
    )


# -- simulations, where all is known ---------------------------------------------------------------


def test_in_a_simulation_nothing_is_inferred() -> None:
    arrows = draw(
        [there(data(1)), there(data(1), comment="dropped: lost"), there(data(1), time=9.0)],
        {},
        infer=False,
    ).arrows
    assert [arrow.fate for arrow in arrows] == [Fate.ARRIVED, Fate.DROPPED, Fate.ARRIVED]
    assert [remarks(arrow) for arrow in arrows] == [[], ["again"], ["again"]]


# -- paths -----------------------------------------------------------------------------------------


def test_a_change_of_path_is_one_of_user_data() -> None:
    heartbeat = wire.heartbeat_chunk(b"h")
    other = {"tag": TO_B}
    arrows = chart(
        there(data(1)),
        packet(A2, B2, heartbeat, **other),  # type: ignore[arg-type]
        there(data(2)),
        packet(A, B2, data(3), **other),  # type: ignore[arg-type]
        packet(A, B2, data(4), **other),  # type: ignore[arg-type]
        there(data(5)),
    ).arrows
    assert [arrow.old_path for arrow in arrows] == [None, None, None, (A, B), None, (A, B2)]


def test_addresses_of_one_side_of_an_association_are_one_host() -> None:
    drawn = chart(there(data(1)), packet(A2, B2, data(2), tag=TO_B), packet(C, B, data(1), tag=5))
    assert [host.title for host in drawn.hosts] == [A, B, C]
    assert drawn.addresses == [A, A2, B, B2, C]


def test_an_address_that_two_hosts_list_does_not_make_them_one() -> None:
    """Many machines have a bridge with the same private address."""
    shared = "172.17.0.1"
    drawn = chart(packet(A, B, init(1, A, shared), tag=0), packet(C, B, init(1, C, shared), tag=0))
    assert [host.title for host in drawn.hosts] == [A, B, C]


def test_both_ends_on_one_address_are_told_apart_by_their_ports() -> None:
    drawn = chart(
        packet(A, A, init(1), ports=(5000, 2905), tag=0),
        packet(A, A, init_ack(1, tag=6), ports=(2905, 5000), tag=7),
        packet(B, C, data(1)),
    )
    assert [host.title for host in drawn.hosts] == [f"{A}:5000", f"{A}:2905", B, C]


def test_if_the_ports_are_the_same_by_those_of_udp() -> None:
    udp = 9899, 40000
    drawn = chart(
        packet(A, A, init(1), tag=0)._replace(udp=udp),
        packet(A, A, init_ack(1, tag=6), tag=7)._replace(udp=udp[::-1]),
    )
    titles = [f"{A}:2905 over UDP {port}" for port in udp]
    assert [host.title for host in drawn.hosts] == titles
    assert [drawn.line(arrow.source) for arrow in drawn.arrows] == [0, 1]


# -- associations ----------------------------------------------------------------------------------


def numbers(drawn: Chart) -> list[int]:
    return [arrow.association for arrow in drawn.arrows]


def test_a_capture_that_begins_in_the_middle() -> None:
    drawn = chart(back(sack(700)), there(data(701)), back(sack(701)), there(data(702)))
    assert numbers(drawn) == [1] * 4
    assert not drawn.associations[0].begun
    assert [str(arrow.chunks[0]).split(" rwnd")[0] for arrow in drawn.arrows] == [
        "SACK 1",
        "DATA 2 stream 3 b'x'",
        "SACK 2",
        "DATA 3 stream 3 b'x'",
    ]


def test_a_restart_is_another_association() -> None:
    drawn = chart(
        packet(A, B, init(1, tag=1), tag=0),
        packet(B, A, init_ack(1, tag=2), tag=1),
        packet(A, B, data(1), tag=2),
        packet(A, B, init(1, tag=3), tag=0),
        packet(B, A, init_ack(1, tag=4), tag=3),
        packet(A, B, data(1), tag=4),
        packet(B, A, sack(1), tag=1),
    )
    assert numbers(drawn) == [1, 1, 1, 2, 2, 2, 1]
    assert [one.instead_of for one in drawn.associations] == [None, 1]
    assert drawn.arrows[3].notes == ["restart of association 1"]


def test_a_new_association_after_the_end_of_one_is_no_restart() -> None:
    drawn = chart(
        packet(A, B, init(1, tag=1), tag=0),
        packet(B, A, wire.abort_chunk(), tag=1),
        packet(A, B, init(1, tag=2), tag=0),
    )
    assert numbers(drawn) == [1, 1, 2]
    assert [one.instead_of for one in drawn.associations] == [None, None]
    assert [one.ended for one in drawn.associations] == ["ABORT", ""]


def test_two_inits_that_cross_are_one_association() -> None:
    drawn = chart(
        packet(A, B, init(1, tag=1), tag=0),
        packet(B, A, init(1, tag=2), tag=0),
        packet(A, B, init_ack(1, tag=1), tag=2),
        packet(B, A, init_ack(1, tag=2), tag=1),
        packet(A, B, COOKIE, tag=2),
    )
    assert numbers(drawn) == [1] * 5


def test_an_abort_with_a_reflected_tag_is_of_the_association_that_it_answers() -> None:
    drawn = chart(there(data(1)), packet(B, A, wire.abort_chunk(reflected=True), tag=TO_B))
    assert numbers(drawn) == [1, 1]
    assert drawn.associations[0].ended == "ABORT"


def test_65535_streams() -> None:
    chunk = wire.data_chunk(1, 65535, 65535, 2**32 - 1, b"x", wire.WHOLE)
    (arrow,) = chart(there(chunk)).arrows
    assert str(arrow.chunks[0]) == "DATA 1 stream 65535 ppid 4294967295 b'x'"


def test_thousands_of_associations_are_told_apart() -> None:
    """Of as many hosts, from the same port to the same port, each with losses."""
    packets: list[CapturedPacket] = []
    expected: list[int] = []
    for number in range(3000):
        host = f"10.{number // 250}.{number % 250}.9"
        tags = number + 1_000_000, number + 2_000_000
        packets += [
            packet(host, B, init(1, tag=tags[0]), tag=0),
            packet(B, host, init_ack(1, tag=tags[1]), tag=tags[0]),
            packet(host, B, data(1), tag=tags[1]),
        ]
        expected += [number] * 3
    later = [(packets[3 * n + 2], n) for n in range(3000)]
    random.Random(1).shuffle(later)
    drawn = chart(*packets, *(again for again, _ in later))
    assert numbers(drawn) == [number + 1 for number in [*expected, *(n for _, n in later)]]
    assert len(drawn.hosts) == 3001
    assert sum(arrow.fate is Fate.LOST for arrow in drawn.arrows) == 3000


def test_a_flood_with_one_tag_is_one_association_for_each_of_its_sources() -> None:
    """As tools make it that have one packet and write other addresses into it."""
    hosts = [f"10.7.{n // 250}.{n % 250}" for n in range(2000)]
    packets = [packet(host, B, init(1, tag=1), tag=0) for host in hosts]
    packets += [packet(B, host, wire.abort_chunk(), tag=1) for host in hosts]
    drawn = chart(*packets)
    assert numbers(drawn) == [*range(1, 2001)] * 2
    assert len(drawn.hosts) == 2001


def test_an_init_ack_for_each_init_has_another_tag() -> None:
    """A server keeps nothing of an INIT; the client takes the first answer."""
    drawn = chart(
        *[packet(A, B, init(1, tag=1), tag=0)] * 2,
        packet(B, A, init_ack(500, tag=2), tag=1),
        packet(B, A, init_ack(9000, tag=3), tag=1),
        packet(A, B, COOKIE, tag=2),
        packet(B, A, data(500), tag=1),
    )
    assert numbers(drawn) == [1] * 6
    assert drawn.arrows[-1].chunks[0].tsn == (500, 1)


# -- choosing --------------------------------------------------------------------------------------


def test_a_chart_of_some_arrows_has_the_lines_and_associations_of_these() -> None:
    drawn = chart(there(data(1)), packet(A, C, data(1), tag=3), back(sack(1)))
    some = drawn.only(lambda arrow: arrow.association == 2)
    assert [host.title for host in some.hosts] == [A, C]
    assert [one.number for one in some.associations] == [2]
    assert some.start == drawn.start
