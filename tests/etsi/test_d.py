"""ETSI TS 102 369, data (D)."""

from __future__ import annotations

import pytest

from trio_sctp._engine import wire
from trio_sctp._engine.tsn import MASK
from trio_sctp._engine.wire import FIRST, LAST, Cause
from trio_sctp._values import AssociationState, Message

from ..support.engines import FULL, MTU, info
from .tester import THERE, THERE_2, EtsiTester, active, causes_of, passive, quick


def pattern(size: int) -> bytes:
    """Make bytes in which no two parts are the same."""
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]


def take_all(t: EtsiTester) -> list[wire.Data]:
    """Acknowledge whatever comes until nothing does."""
    data = t.received_data()
    taken = list(data)
    while data:
        t.give(t.sack())
        data = t.received_data()
        taken += data
    return taken


def test_d_v_8_1() -> None:
    t = active(quick(path_mtu=MTU))
    for size in (1, 3, FULL - 1, FULL):
        t.send(pattern(size))
        (packet,) = t.packets()
        data = packet.get(wire.Data)
        assert packet.kinds == [wire.Data]
        assert (data.first, data.last, data.unordered) == (True, True, False)
        assert data.payload == pattern(size)
        t.give(t.sack(data.tsn))
    t.silent()


@pytest.mark.parametrize("unordered", [False, True])
def test_d_v_8_2(unordered: bool) -> None:
    t = active(quick(path_mtu=MTU))
    message = pattern(3 * FULL + 5)
    t.send(message, info(unordered=unordered))
    data = take_all(t)
    assert [chunk.tsn for chunk in data] == [(t.their_tsn + n) & MASK for n in range(len(data))]
    assert [chunk.first for chunk in data] == [True] + [False] * (len(data) - 1)
    assert [chunk.last for chunk in data] == [False] * (len(data) - 1) + [True]
    assert {(chunk.stream, chunk.ssn, chunk.unordered) for chunk in data} == {(0, 0, unordered)}
    assert all(len(chunk.payload) <= FULL for chunk in data)
    assert len(data) == 4
    assert b"".join(chunk.payload for chunk in data) == message


def test_d_v_8_3() -> None:
    t = active()
    t.give(t.data(b"one ", flags=FIRST))
    assert t.messages() == []
    t.give(t.data(b"two ", flags=0))
    t.give(t.data(b"three", flags=LAST))
    (message,) = [event for event in t.events() if isinstance(event, Message)]
    assert (message.data, message.stream, message.ssn) == (b"one two three", 0, 0)
    t.advance(0.5)
    assert t.packets()[-1].get(wire.Sack).cumulative_tsn == t.tsn - 1
    # The network may bring them in any order.
    last = t.tsn + 2
    t.give(t.data(b"three", flags=LAST, tsn=last, ssn=1))
    t.give(t.data(b"one ", flags=FIRST, tsn=last - 2, ssn=1))
    assert t.messages() == []
    t.give(t.data(b"two ", flags=0, tsn=last - 1, ssn=1))
    assert t.messages() == [b"one two three"]
    t.advance(0.5)
    assert t.packets()[-1].get(wire.Sack).cumulative_tsn == last


def test_d_v_8_4() -> None:
    t = active()
    t.send(b"first")
    (first,) = t.received_data()
    t.advance(0.8)
    t.give(t.sack())
    t.advance(5)
    t.silent()
    t.send(b"second")
    (second,) = t.received_data()
    assert second.tsn == (first.tsn + 1) & MASK
    assert t.wait() >= 1.0
    assert t.expect(wire.Data) == second


def test_d_i_8_5() -> None:
    t = active()
    t.send(b"lost")
    data = t.expect(wire.Data)
    assert t.wait() == pytest.approx(1.0)
    assert t.expect(wire.Data) == data
    assert t.wait() == pytest.approx(2.0)
    assert t.expect(wire.Data) == data
    t.give(t.sack(data.tsn))
    t.acked = data.tsn
    t.works()
    # The first of several packets comes again, alone (sections 6.3.3 E3, 7.2.3).
    t = active(quick(path_mtu=MTU))
    for number in range(3):
        t.send(bytes([number]) * FULL)
    data = t.received_data()[0]
    t.wait()
    assert t.expect(wire.Data) == data


def test_d_o_8_6() -> None:
    t = active()
    t.give(t.data(b"first"))
    t.advance(0.5)
    t.packets()
    t.give(t.data(b"second"))
    assert t.messages() == [b"first", b"second"]
    t.advance(0.5)
    assert t.expect(wire.Sack).duplicates == []
    second = t.data(b"second", tsn=t.tsn - 1, ssn=1)
    t.give(second)
    sack = t.expect(wire.Sack)
    assert (sack.cumulative_tsn, sack.duplicates) == (t.tsn - 1, [t.tsn - 1])
    t.give(second, second)
    sack = t.expect(wire.Sack)
    assert (sack.cumulative_tsn, sack.duplicates) == (t.tsn - 1, [t.tsn - 1] * 2)
    t.give(t.data(b"third"))
    t.advance(0.5)
    sack = t.expect(wire.Sack)
    assert (sack.cumulative_tsn, sack.duplicates) == (t.tsn - 1, [])
    assert t.messages() == [b"third"]


def test_d_o_8_7() -> None:
    t = active(quick(association_max_retrans=3, path_max_retrans=3, rto_max=4.0))
    t.send(b"first")
    t.received_data()
    t.give(t.sack(rwnd=0))
    t.send(pattern(1000))
    t.send(b"third")
    # The probe comes at once or, as RFC 9260 prefers, after one RTO.
    if not t.engine.status(t.id).unackdata:
        assert t.wait() <= 1.0
    (probe,) = t.packets()
    assert probe.get(wire.Data).payload == pattern(1000)
    for _ in range(8):  # more than are allowed to be lost
        t.wait()
        assert t.expect(wire.Data) == probe.get(wire.Data)
        t.give(t.sack(rwnd=0))
        t.silent()
    t.acked = probe.get(wire.Data).tsn
    t.give(t.sack())
    (data,) = t.received_data()
    assert data.payload == b"third"
    t.give(t.sack())
    t.works()


def test_d_o_8_8() -> None:
    t = active(quick(path_mtu=MTU))
    t.send(b"first")
    t.received_data()
    t.give(t.sack(rwnd=0))
    messages = [pattern(2 * FULL + 100), b"short", pattern(FULL + 1)]
    for message in messages:
        t.send(message)
    if not t.engine.status(t.id).unackdata:
        t.wait()
    (probe,) = t.packets()
    first = probe.get(wire.Data)
    assert (first.first, first.last, first.payload) == (True, False, messages[0][:FULL])
    t.give(t.sack(rwnd=0))
    t.silent()
    t.acked = first.tsn
    t.give(t.sack())
    data = [first, *take_all(t)]
    assert [chunk.tsn for chunk in data] == [(first.tsn + n) & MASK for n in range(len(data))]
    parts: dict[int, bytes] = {}
    for chunk in data:
        parts[chunk.ssn] = parts.get(chunk.ssn, b"") + chunk.payload
    assert list(parts.values()) == messages
    t.works()


def test_d_v_8_9() -> None:
    t = active(quick(path_mtu=MTU))
    for number in range(3):
        t.send(bytes([number]) * FULL)
    first, second, third = t.received_data()
    t.give(t.sack(first.tsn - 1, [(2, 3)]))  # the first is lost
    while t.engine.status(t.id).unackdata < 6:
        t.send(b"x" * FULL)
    lost = [first, *t.received_data()]  # and so are these
    t.send(b"new")
    t.silent()
    t.wait()
    sent = t.received_data()
    assert sent[0] == first
    t.acked = max(third.tsn, *(data.tsn for data in sent))
    t.give(t.sack())
    while data := t.received_data():
        sent += data
        t.give(t.sack())
    assert sent[: len(lost)] == lost
    assert [data.payload for data in sent[len(lost) :]] == [b"new"]
    assert second not in sent


def test_d_v_8_10() -> None:
    t = active(None, THERE, THERE_2)
    t.send(b"to the first")
    data = t.expect(wire.Data, to=THERE)
    t.give(t.sack(data.tsn), route=t.route_from(THERE_2))
    t.advance(10)
    t.silent()
    assert t.engine.status(t.id).unackdata == 0
    t.send(b"again")
    assert t.expect(wire.Data, to=THERE).tsn == (data.tsn + 1) & MASK


def test_d_i_8_11() -> None:
    for t in (active(), passive()):
        t.events()
        empty = t.data(b"")
        t.give(empty)
        abort = t.expect(wire.Abort)
        assert not abort.reflected
        assert causes_of(abort) == [Cause.NO_USER_DATA]
        assert abort.causes[0].value == (t.tsn - 1).to_bytes(4, "big")
        assert t.changes() == [AssociationState.COMM_LOST]
        t.expect_no_association()


def test_d_o_8_12() -> None:
    t = active()
    t.send(b"first")
    (first,) = t.received_data()
    t.give(t.sack())
    t.send(b"second")
    second = t.expect(wire.Data)
    rwnd = t.engine.status(t.id).rwnd
    t.give(t.sack(first.tsn - 1, [(2, 2)], rwnd=0))
    t.silent()
    assert t.engine.status(t.id).unackdata == 1
    assert t.engine.status(t.id).rwnd == rwnd
    t.wait()
    assert t.expect(wire.Data) == second
    t.give(t.sack(second.tsn))
    t.silent()
    assert t.engine.status(t.id).unackdata == 0


LONGEST = 200_000


def test_d_v_8_13() -> None:
    t = active(quick())
    message = pattern(LONGEST)
    for start in range(0, LONGEST, FULL):
        flags = (FIRST if start == 0 else 0) | (LAST if start + FULL >= LONGEST else 0)
        t.give(t.data(message[start : start + FULL], flags=flags))
    t.advance(0.5)
    assert t.packets()[-1].get(wire.Sack).cumulative_tsn == t.tsn - 1
    assert t.messages() == [message]
    t.works()


def test_d_v_8_14() -> None:
    t = active(quick(path_mtu=MTU))
    message = pattern(LONGEST)
    t.send(message)
    data = take_all(t)
    assert [chunk.tsn for chunk in data] == [(t.their_tsn + n) & MASK for n in range(len(data))]
    assert [chunk.first for chunk in data] == [True] + [False] * (len(data) - 1)
    assert [chunk.last for chunk in data] == [False] * (len(data) - 1) + [True]
    assert b"".join(chunk.payload for chunk in data) == message
    t.works()
