"""ETSI TS 102 369, association termination (AT)."""

from __future__ import annotations

import pytest

from trio_sctp._engine import wire
from trio_sctp._engine.wire import Cause, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import AssociationState

from .tester import (
    SHUTDOWN_ACK,
    EtsiTester,
    active,
    passive,
    quick,
    shutdown_ack_sent,
    shutdown_received,
    shutdown_sent,
)


@pytest.mark.parametrize("causes", [[], [Tlv(Cause.USER_INITIATED_ABORT, b"enough")]])
@pytest.mark.parametrize("reflected", [False, True])
def test_at_v_2_2(causes: list[Tlv], reflected: bool) -> None:
    t = active()
    abort = wire.abort_chunk(causes, reflected=reflected)
    t.give(abort, tag=t.tag if reflected else t.their_tag)
    t.silent()
    assert t.changes() == [AssociationState.COMM_LOST]
    t.expect_no_association()


def test_at_i_2_3() -> None:
    t = active()
    t.give(t.data(b"theirs"))
    t.advance(0.5)
    t.packets()
    t.send(b"first")
    t.send(b"second")
    first, second = t.received_data()
    t.user_shuts_down()
    t.silent()
    assert t.state() is StatusState.SHUTDOWN_PENDING
    t.give(t.sack(first.tsn))
    t.silent()
    t.wait()
    again = t.expect(wire.Data)
    assert (again.tsn, again.payload) == (second.tsn, b"second")
    t.give(t.sack(second.tsn))
    assert t.expect(wire.Shutdown).cumulative_tsn == t.tsn - 1
    t.give(SHUTDOWN_ACK)
    assert not t.expect(wire.ShutdownComplete).reflected
    assert t.state() is StatusState.CLOSED


def test_at_i_2_4() -> None:
    t = shutdown_sent()
    assert t.wait() == pytest.approx(1.0)
    assert t.expect(wire.Shutdown).cumulative_tsn == t.tsn - 1
    t.give(SHUTDOWN_ACK)
    t.expect(wire.ShutdownComplete)


def test_at_i_2_5() -> None:
    t = shutdown_sent(quick(association_max_retrans=4))
    again, pauses = t.repeats(wire.Shutdown)
    assert len(again) == 4
    assert pauses == pytest.approx([1, 2, 4, 8])
    assert t.changes() == [AssociationState.COMM_LOST]
    t.expect_no_association()


def test_at_v_2_6() -> None:
    t = shutdown_sent()
    t.give(SHUTDOWN_ACK)
    assert not t.expect(wire.ShutdownComplete).reflected
    assert t.changes() == [AssociationState.SHUTDOWN_COMP]
    t.expect_no_association()


def assert_takes_nothing(t: EtsiTester) -> None:
    """Check that the user cannot send any more, and that trying changes nothing."""
    before = t.state()
    with pytest.raises(OSError):  # noqa: PT011 - its errno is not the protocol's
        t.send(b"too late")
    t.silent()
    assert t.state() is before


def test_at_i_2_7_1() -> None:
    t = shutdown_sent()
    assert_takes_nothing(t)
    assert t.wait() == pytest.approx(1.0)
    t.expect(wire.Shutdown)
    t.give(SHUTDOWN_ACK)
    t.expect(wire.ShutdownComplete)


def test_at_i_2_7_2() -> None:
    t = shutdown_received()
    assert_takes_nothing(t)
    t.user_shuts_down()
    t.silent()
    assert t.state() is StatusState.SHUTDOWN_RECEIVED
    t.give(wire.shutdown_chunk(t.their_tsn))
    t.expect(wire.ShutdownAck)
    t.give(wire.shutdown_complete_chunk())
    t.silent()
    assert t.state() is StatusState.CLOSED


def test_at_i_2_7_3() -> None:
    t = active()
    t.send(b"outstanding")
    t.expect(wire.Data)
    t.user_shuts_down()
    t.silent()
    assert t.state() is StatusState.SHUTDOWN_PENDING
    assert_takes_nothing(t)
    t.give(t.sack(t.their_tsn))
    t.expect(wire.Shutdown)
    t.give(SHUTDOWN_ACK)
    t.expect(wire.ShutdownComplete)


def test_at_i_2_7_4() -> None:
    t = shutdown_ack_sent()
    assert_takes_nothing(t)
    assert t.wait() == pytest.approx(1.0)
    t.expect(wire.ShutdownAck)
    t.give(wire.shutdown_complete_chunk())
    t.silent()
    assert t.state() is StatusState.CLOSED


def test_at_i_2_8() -> None:
    t = shutdown_sent()
    for payload in (b"one", b"two"):
        t.advance(0.7)
        t.silent()
        t.give(t.data(payload))
        (received,) = t.packets()
        assert received.get(wire.Shutdown).cumulative_tsn == t.tsn - 1
        assert set(received.kinds) <= {wire.Shutdown, wire.Sack}
        assert t.messages() == [payload]
    t.advance(0.2)
    t.give(t.data(b"four", tsn=t.tsn + 1, ssn=3))
    (received,) = t.packets()
    assert received.get(wire.Shutdown).cumulative_tsn == t.tsn - 1
    assert received.get(wire.Sack).gaps == [(2, 2)]
    assert t.wait() == pytest.approx(1.0)
    (received,) = t.packets()
    assert received.get(wire.Shutdown).cumulative_tsn == t.tsn - 1


def test_at_i_2_9() -> None:
    t = shutdown_received()
    t.events()
    t.give(t.data(b"too late"))
    t.silent()
    assert t.messages() == []
    t.wait()
    t.expect(wire.Data)
    t.give(t.sack(t.their_tsn))
    t.expect(wire.ShutdownAck)
    t.give(wire.shutdown_complete_chunk())
    t.silent()
    assert t.changes() == [AssociationState.SHUTDOWN_COMP]


def test_at_i_2_10() -> None:
    t = shutdown_received()
    t.give(wire.shutdown_chunk(t.their_tsn - 1))
    t.silent()
    assert t.state() is StatusState.SHUTDOWN_RECEIVED
    assert t.wait() == pytest.approx(1.0)
    assert t.expect(wire.Data).payload == b"outstanding"
    t.give(wire.shutdown_chunk(t.their_tsn - 1))
    t.silent()
    t.give(t.sack(t.their_tsn))
    t.expect(wire.ShutdownAck)


def test_at_i_2_11() -> None:
    t = shutdown_ack_sent()
    assert t.wait() == pytest.approx(1.0)
    t.expect(wire.ShutdownAck)
    t.give(wire.shutdown_complete_chunk())
    t.silent()
    assert t.state() is StatusState.CLOSED


def test_at_i_2_12() -> None:
    t = shutdown_ack_sent(quick(association_max_retrans=4))
    again, pauses = t.repeats(wire.ShutdownAck)
    assert len(again) == 4
    assert pauses == pytest.approx([1, 2, 4, 8])
    assert t.changes() == [AssociationState.COMM_LOST]
    t.expect_no_association()


@pytest.mark.parametrize("reflected", [False, True])
def test_at_i_2_13(reflected: bool) -> None:
    t = shutdown_ack_sent()
    complete = wire.shutdown_complete_chunk(reflected=reflected)
    t.give(complete, tag=t.tag if reflected else t.their_tag)
    t.silent()
    assert t.changes() == [AssociationState.SHUTDOWN_COMP]
    t.expect_no_association()


def test_at_v_2_14() -> None:
    t = passive()
    t.send(b"one")
    t.send(b"two")
    assert len(t.received_data()) == 2
    t.give(t.shutdown())
    t.expect(wire.ShutdownAck)
    t.give(wire.shutdown_complete_chunk())
    t.silent()
    assert t.state() is StatusState.CLOSED
