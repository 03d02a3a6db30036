"""ETSI TS 102 369, invalid message handling (IMH)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trio_sctp._engine import wire
from trio_sctp._engine.wire import Cause, ChunkType
from trio_sctp._options import StatusState
from trio_sctp._values import AssociationState

from ..support.scripted_peer import COOKIE_ACK
from .tester import (
    SHUTDOWN_ACK,
    EtsiTester,
    causes_of,
    passive,
    quick,
    shutdown_ack_sent,
    shutdown_sent,
)

WRONG = 0x0BADBEEF


@pytest.mark.parametrize("size", [0, 4, 12, 15])
def test_imh_i_3_1(size: int) -> None:
    t = EtsiTester()
    fields = t.init()[4 : 4 + size]
    t.give(wire.chunk(ChunkType.INIT, fields), tag=0)
    # Whether an ABORT is sent is left to the implementation, but not with which tag (5.1).
    for received in t.packets():
        assert size >= 4
        assert received.tag == t.tag
        assert not received.get(wire.Abort).reflected
    assert not t.engine.associations
    t.give(t.init(), tag=0)
    t.expect(wire.InitAck)


@pytest.mark.parametrize("size", [0, 4, 12, 15])
def test_imh_i_3_2(size: int) -> None:
    t = EtsiTester(listening=False)
    init = t.connect()
    t.give(wire.chunk(ChunkType.INIT_ACK, t.init_ack()[4 : 4 + size]))
    if t.state() is StatusState.CLOSED:
        abort = t.expect(wire.Abort, tag=t.their_tag)  # the peer's tag is not known
        assert abort.reflected
        assert t.changes() == [AssociationState.CANT_ASSOC]
        return
    t.silent()
    assert t.wait() == pytest.approx(1.0)
    assert t.expect(wire.Init, tag=0) == init


def damaged(packet: bytes) -> bytes:
    """The packet with a checksum that is wrong by one bit."""
    return packet[:8] + bytes([packet[8] ^ 1]) + packet[9:]


def assert_dropped(spoil: Callable[[EtsiTester, bytes], object]) -> None:
    """Check that the engine ignores a spoilt packet, whatever is in it, and goes on."""
    t = EtsiTester()
    t.give(t.init(), tag=0)
    t.learn(t.expect(wire.InitAck))
    spoil(t, t.cookie_echo())
    t.silent()
    assert t.events() == []
    assert not t.engine.associations
    t.give(t.cookie_echo())
    t.expect(wire.CookieAck)
    t.up()

    t = EtsiTester(listening=False)
    init = t.connect()
    spoil(t, t.init_ack())
    t.silent()
    t.wait()
    assert t.expect(wire.Init, tag=0) == init
    t.give(t.init_ack())
    t.expect(wire.CookieEcho)
    spoil(t, COOKIE_ACK)
    t.silent()
    assert t.state() is StatusState.COOKIE_ECHOED
    t.give(COOKIE_ACK)
    t.up()

    t.send(b"outstanding")
    (data,) = t.received_data()
    spoil(t, t.sack())
    t.silent()
    assert t.engine.status(t.id).unackdata == 1
    for chunk in (
        t.data(b"news", tsn=t.tsn, ssn=0),
        wire.heartbeat_chunk(b"are you there?"),
        wire.error_chunk([wire.Tlv(Cause.PROTOCOL_VIOLATION, b"you")]),
        wire.abort_chunk(),
        t.shutdown(),
        SHUTDOWN_ACK,
        wire.shutdown_complete_chunk(),
    ):
        spoil(t, chunk)
        t.silent()
        assert t.events() == []
        assert t.state() is StatusState.ESTABLISHED
    t.wait()
    assert t.expect(wire.Data) == data
    t.give(t.sack())
    t.works()


def test_imh_i_3_3() -> None:
    def wrong_tag(t: EtsiTester, chunk: bytes) -> None:
        t.give(chunk, tag=t.their_tag ^ 1)
        t.give(chunk, tag=WRONG)

    assert_dropped(wrong_tag)


def test_imh_i_3_4() -> None:
    t = EtsiTester()
    t.give_raw(damaged(t.packet(t.init(), tag=0)))
    t.silent()
    assert_dropped(lambda t, chunk: t.give_raw(damaged(t.packet(chunk))))


def test_imh_i_3_5() -> None:
    t = EtsiTester()
    t.give(t.init(), tag=0)
    t.learn(t.expect(wire.InitAck))
    last = t.cookie[-1]
    for cookie in (
        b"a cookie of our own",
        b"",
        t.cookie[:-1],
        t.cookie + b"\0",
        t.cookie[:-1] + bytes([last ^ 1]),
        bytes([t.cookie[0] ^ 1]) + t.cookie[1:],
        t.cookie[:20] + bytes([t.cookie[20] ^ 1]) + t.cookie[21:],
    ):
        t.give(t.cookie_echo(cookie))
        t.silent()
        assert t.events() == []
        assert not t.engine.associations
    t.give(t.cookie_echo())
    t.expect(wire.CookieAck)
    t.up()


def test_imh_i_3_6() -> None:
    t = EtsiTester(quick(cookie_life=60.0))
    t.give(t.init(), tag=0)
    t.learn(t.expect(wire.InitAck))
    t.advance(65)
    t.give(t.cookie_echo(), t.data(b"with it", tsn=t.tsn, ssn=0))
    error = t.expect(wire.Error)
    assert causes_of(error) == [Cause.STALE_COOKIE]
    # Section 3.3.10.3: microseconds since it expired, or zero.
    staleness = int.from_bytes(error.causes[0].value, "big")
    assert len(error.causes[0].value) == 4
    assert staleness == 0 or staleness == pytest.approx(5e6)
    assert t.events() == []
    t.expect_no_association()


@pytest.mark.parametrize("reflected", [False, True])
def test_imh_i_3_7(reflected: bool) -> None:
    t = passive()
    abort = wire.abort_chunk(reflected=reflected)
    t.give(abort, tag=WRONG)
    # The T bit says which of the two tags is right (section 8.5.1 B).
    t.give(abort, tag=t.their_tag if reflected else t.tag)
    t.silent()
    assert t.events() == []
    t.works()


def test_imh_i_3_8() -> None:
    t = EtsiTester()
    t.give(b"\1\0\0\x60", tag=0)
    t.give(t.init()[:2] + b"\0\x60" + t.init()[4:], tag=0)
    t.silent()
    assert not t.engine.associations
    t = passive()
    data = t.data(b"cut short", tsn=t.tsn, ssn=0)
    for chunk in (
        data,
        wire.abort_chunk(),
        t.shutdown(),
        wire.heartbeat_chunk(b"are you there?"),
        t.sack(),
    ):
        t.give(chunk[:2] + b"\0\x60" + chunk[4:])
        t.silent()
        assert t.events() == []
        assert t.state() is StatusState.ESTABLISHED
    t.works()


def test_imh_i_3_9() -> None:
    t = shutdown_sent()
    t.give(SHUTDOWN_ACK, tag=WRONG)
    t.give(SHUTDOWN_ACK, tag=t.tag)
    t.silent()
    assert t.state() is StatusState.SHUTDOWN_SENT
    assert t.wait() == pytest.approx(1.0)
    t.expect(wire.Shutdown)
    t.give(SHUTDOWN_ACK)
    t.expect(wire.ShutdownComplete)


def test_imh_i_3_10() -> None:
    t = shutdown_ack_sent()
    t.events()
    t.give(wire.shutdown_complete_chunk(), tag=WRONG)
    t.give(wire.shutdown_complete_chunk(reflected=True), tag=WRONG)
    t.give(wire.shutdown_complete_chunk(), tag=t.tag)
    t.give(wire.shutdown_complete_chunk(reflected=True), tag=t.their_tag)
    t.silent()
    assert t.events() == []
    assert t.state() is StatusState.SHUTDOWN_ACK_SENT
    assert t.wait() == pytest.approx(1.0)
    t.expect(wire.ShutdownAck)
    t.give(wire.shutdown_complete_chunk())
    t.silent()
    assert t.state() is StatusState.CLOSED
