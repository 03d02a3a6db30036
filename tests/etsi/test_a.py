"""ETSI TS 102 369, acknowledgement (A)."""

from __future__ import annotations

from trio_sctp._engine import wire

from .tester import EtsiTester, active, passive


def acknowledged(t: EtsiTester, sack: wire.Sack) -> None:
    """Check that a SACK acknowledges all that the script has sent, and nothing else."""
    assert (sack.cumulative_tsn, sack.gaps, sack.duplicates) == (t.tsn - 1, [], [])


def test_a_v_9_1() -> None:
    for t in (active(), passive()):
        t.give(t.data(b"first"))
        acknowledged(t, t.expect(wire.Sack))
        for _ in range(3):
            t.give(t.data(b"later"))
            t.advance(0.5)  # section 6.2: at the latest
            acknowledged(t, t.expect(wire.Sack))
        assert t.messages() == [b"first", *[b"later"] * 3]


def test_a_v_9_2() -> None:
    t = passive()
    t.give(t.data(b"1"), t.data(b"2"), t.data(b"3"))
    acknowledged(t, t.expect(wire.Sack))
    t.give(t.data(b"4"))
    t.silent()
    t.give(t.data(b"5"))
    acknowledged(t, t.expect(wire.Sack))
    assert t.messages() == [b"1", b"2", b"3", b"4", b"5"]
    # Together with data of its own the engine acknowledges at once.
    t.give(t.data(b"6"))
    t.send(b"by the way")
    received = t.expect_packet(wire.Sack, wire.Data)
    acknowledged(t, received.get(wire.Sack))


def test_a_o_9_3() -> None:
    t = passive()
    t.give(t.data(b"1"))
    acknowledged(t, t.expect(wire.Sack))
    first = t.tsn - 1
    t.give(t.data(b"3", tsn=first + 2, ssn=2))
    sack = t.expect(wire.Sack)
    assert (sack.cumulative_tsn, sack.gaps) == (first, [(2, 2)])
    t.give(t.data(b"5", tsn=first + 4, ssn=4))
    sack = t.expect(wire.Sack)
    assert (sack.cumulative_tsn, sack.gaps) == (first, [(2, 2), (4, 4)])
    assert t.messages() == [b"1"]
    t.give(t.data(b"4", tsn=first + 3, ssn=3))
    sack = t.expect(wire.Sack)
    assert (sack.cumulative_tsn, sack.gaps) == (first, [(2, 4)])
    t.give(t.data(b"2", tsn=first + 1, ssn=1))
    assert t.messages() == [b"2", b"3", b"4", b"5"]
    t.advance(0.5)
    sack = t.expect(wire.Sack)
    assert (sack.cumulative_tsn, sack.gaps) == (first + 4, [])
