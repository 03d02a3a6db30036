"""ETSI TS 102 369, retransmission timer (RT)."""

from __future__ import annotations

import pytest

from trio_sctp._engine import wire

from .tester import THERE, THERE_2, active, quick


def test_rt_i_11_1() -> None:
    t = active(quick(rto_initial=0.1, rto_min=0.1, rto_max=60.0))
    t.send(b"unheard")
    data = t.expect(wire.Data)
    pauses: list[float] = []
    for _ in range(4):
        pauses.append(t.wait())
        assert t.expect(wire.Data) == data
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8])


def test_rt_i_11_2() -> None:
    t = active(quick(rto_initial=0.1, rto_min=0.1, rto_max=0.8))
    t.send(b"unheard")
    data = t.expect(wire.Data)
    pauses: list[float] = []
    for _ in range(6):
        pauses.append(t.wait())
        assert t.expect(wire.Data) == data
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 0.8, 0.8])
    # A chunk that was sent twice does not measure the round trip (6.3.1, C5); this one does.
    t.give(t.sack(data.tsn))
    t.send(b"heard at once")
    data = t.expect(wire.Data)
    t.advance(0.05)
    t.give(t.sack(data.tsn))
    t.send(b"unheard")
    t.expect(wire.Data)
    assert t.wait() < 0.8


def test_rt_i_11_3() -> None:
    t = active(quick(rto_initial=0.1, rto_min=0.1, rto_max=0.8), THERE, THERE_2)
    t.send(b"unheard")
    data = t.expect(wire.Data, to=THERE)
    went_to: list[str] = []
    pauses: list[float] = []
    for _ in range(8):
        pauses.append(t.wait())
        (received,) = t.packets()
        assert received.packet.chunks == [data]
        went_to.append(received.route.remote)
    assert went_to == [THERE_2, THERE] * 4
    assert pauses == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.4, 0.4, 0.8, 0.8])
