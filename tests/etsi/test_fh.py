"""ETSI TS 102 369, fault handling (FH)."""

from __future__ import annotations

import pytest

from trio_sctp._engine import Route, wire
from trio_sctp._engine.wire import ChunkType
from trio_sctp._options import StatusState
from trio_sctp._values import AssociationState

from .tester import HERE, EtsiTester, active, passive, quick

OTHER_TAG = 0x0BADBEEF


def test_fh_i_5_1_1() -> None:
    t = passive(quick(association_max_retrans=6, path_max_retrans=6, rto_max=4.0))
    t.send(b"unheard")
    data = t.expect(wire.Data)
    again, pauses = t.repeats(wire.Data)
    assert again == [data] * 6
    assert pauses == pytest.approx([1, 2, 4, 4, 4, 4])
    assert t.changes() == [AssociationState.COMM_LOST]
    t.expect_no_association()


def test_fh_i_5_1_2() -> None:
    t = passive(quick(association_max_retrans=6, path_max_retrans=6, rto_max=4.0))
    t.send(b"heard late")
    (data,) = t.received_data()
    for _ in range(4):
        t.wait()
        assert t.expect(wire.Data) == data
    t.give(t.sack())
    t.silent()
    t.send(b"unheard")
    data = t.expect(wire.Data)
    again, _ = t.repeats(wire.Data)
    assert again == [data] * 6
    assert t.changes() == [AssociationState.COMM_LOST]
    t.expect_no_association()


@pytest.mark.parametrize("info", [b"1234", b"", b"not a multiple of four", b"x" * 200])
def test_fh_v_5_2(info: bytes) -> None:
    for t in (active(), passive()):
        t.give(wire.heartbeat_chunk(info))
        assert t.expect(wire.HeartbeatAck).info == info
        t.works()


@pytest.mark.parametrize("listening", [False, True])
def test_fh_o_5_3_1(listening: bool) -> None:
    t = EtsiTester(listening=listening)
    for chunk in (
        t.data(b"out of the blue", tsn=5, ssn=0),
        t.sack(),
        t.shutdown(),
        t.init_ack(),
        wire.heartbeat_chunk(b"are you there?"),
    ):
        t.give(chunk, tag=OTHER_TAG)
        assert t.expect(wire.Abort, tag=OTHER_TAG).reflected
    assert t.events() == []
    assert not t.engine.associations
    can_begin(t)


def can_begin(t: EtsiTester) -> None:
    """Check that an association can be set up, undisturbed by what came before."""
    t.connect()
    t.answers_the_init()
    t.works()


@pytest.mark.parametrize("listening", [False, True])
@pytest.mark.parametrize("reflected", [False, True])
def test_fh_o_5_3_2(listening: bool, reflected: bool) -> None:
    t = EtsiTester(listening=listening)
    abort = wire.abort_chunk(reflected=reflected)
    t.give(abort, tag=OTHER_TAG)
    t.give(t.data(tsn=5, ssn=0), abort, tag=OTHER_TAG)
    t.give(wire.chunk(ChunkType.SHUTDOWN_ACK), abort, tag=OTHER_TAG)
    t.silent()
    assert t.events() == []
    can_begin(EtsiTester(listening=listening))


@pytest.mark.parametrize("listening", [False, True])
def test_fh_o_5_3_3(listening: bool) -> None:
    t = EtsiTester(listening=listening)
    t.give(wire.chunk(ChunkType.SHUTDOWN_ACK), tag=OTHER_TAG)
    assert t.expect(wire.ShutdownComplete, tag=OTHER_TAG).reflected
    assert t.events() == []
    can_begin(t)


@pytest.mark.parametrize("listening", [False, True])
@pytest.mark.parametrize("reflected", [False, True])
def test_fh_o_5_3_4(listening: bool, reflected: bool) -> None:
    t = EtsiTester(listening=listening)
    t.give(wire.shutdown_complete_chunk(reflected=reflected), tag=OTHER_TAG)
    t.give(wire.chunk(ChunkType.COOKIE_ACK), tag=OTHER_TAG)
    stale = wire.Tlv(wire.Cause.STALE_COOKIE, bytes(4))
    t.give(wire.error_chunk([stale]), tag=OTHER_TAG)
    t.silent()
    assert t.events() == []
    can_begin(t)


@pytest.mark.parametrize(
    ("local", "remote"),
    [
        (None, "224.0.0.1"),
        (None, "239.255.1.2"),
        (None, "255.255.255.255"),
        (None, "0.0.0.0"),
        (None, "ff02::1"),
        ("224.0.0.1", None),
        ("255.255.255.255", None),
        ("ff02::1", None),
    ],
)
def test_fh_o_5_3_5(local: str | None, remote: str | None) -> None:
    t = EtsiTester()
    t.give(t.init(), tag=0)
    t.learn(t.expect(wire.InitAck))
    if remote is None:
        remote = "2001:db8::1" if ":" in (local or "") else "198.51.100.1"
    for chunk, tag in (
        (t.init(), 0),
        (t.cookie_echo(), t.their_tag),
        (t.data(tsn=5, ssn=0), OTHER_TAG),
        (wire.chunk(ChunkType.SHUTDOWN_ACK), OTHER_TAG),
    ):
        t.give(chunk, tag=tag, route=Route(local or HERE, remote))
        t.silent()
        assert t.events() == []
        assert not t.engine.associations
    t.give(t.cookie_echo())
    t.expect(wire.CookieAck)
    t.up()
    assert t.state() is StatusState.ESTABLISHED
