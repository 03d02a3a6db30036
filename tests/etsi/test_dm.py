"""ETSI TS 102 369, duplicate and unexpected messages (DM)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trio_sctp._engine import wire
from trio_sctp._engine.wire import ParameterType, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import AssociationState

from ..support.engines import cookie_of
from ..support.scripted_peer import COOKIE_ACK
from .tester import (
    SHUTDOWN_ACK,
    EtsiTester,
    active,
    parameters_of,
    passive,
    shutdown_ack_sent,
    shutdown_received,
    shutdown_sent,
)

OTHER_TAG = 0x0BADBEEF


def cookie_wait() -> EtsiTester:
    t = EtsiTester(listening=False)
    t.connect()
    return t


def cookie_echoed() -> EtsiTester:
    t = cookie_wait()
    t.give(t.init_ack())
    t.expect(wire.CookieEcho)
    return t


def goes_on(t: EtsiTester) -> None:
    """Check that the set-up can still succeed."""
    if t.state() is StatusState.COOKIE_WAIT:
        t.wait()
        t.expect(wire.Init, tag=0)
        t.give(t.init_ack())
        t.expect(wire.CookieEcho)
    assert t.state() is StatusState.COOKIE_ECHOED
    t.wait()
    t.expect(wire.CookieEcho)
    t.give(COOKIE_ACK)
    t.up()
    t.works()


def test_dm_o_4_1() -> None:
    t = EtsiTester(listening=False)
    init = t.connect()
    t.advance(0.4)
    t.give(t.init(), tag=0)
    ack = t.expect(wire.InitAck)
    assert (ack.tag, ack.tsn) == (init.tag, init.tsn)
    assert (ack.rwnd, ack.inbound_streams) == (init.rwnd, init.inbound_streams)
    assert parameters_of(ack, ParameterType.STATE_COOKIE)
    assert t.state() is StatusState.COOKIE_WAIT
    assert t.wait() == pytest.approx(0.6)
    assert t.expect(wire.Init, tag=0) == init
    # The cookie is good for one association.
    t.give(t.cookie_echo(cookie_of(ack)))
    t.expect(wire.CookieAck)
    t.up()
    t.works()


def test_dm_o_4_2_1() -> None:
    for t in (active(), passive()):
        t.events()
        t.give(t.init(tag=77), tag=0)
        ack = t.expect(wire.InitAck, tag=77)
        assert ack.tag not in (0, t.their_tag)
        assert parameters_of(ack, ParameterType.STATE_COOKIE)
        assert t.events() == []
        t.works()
    for t in (shutdown_sent(), shutdown_received()):
        before = t.state()
        t.events()
        t.give(t.init(tag=77), tag=0)
        ack = t.expect(wire.InitAck, tag=77)
        assert ack.tag not in (0, t.their_tag)
        assert t.events() == []
        assert t.state() is before


def test_dm_o_4_2_2() -> None:
    t = shutdown_ack_sent()
    t.events()
    t.advance(0.6)
    t.give(t.init(tag=77), tag=0)
    t.expect(wire.ShutdownAck)
    assert t.events() == []
    assert t.wait() == pytest.approx(1.0)
    t.expect(wire.ShutdownAck)
    t.give(wire.shutdown_complete_chunk())
    t.silent()
    assert t.state() is StatusState.CLOSED


def test_dm_o_4_3() -> None:
    t = cookie_echoed()
    t.give(t.init_ack([Tlv(ParameterType.STATE_COOKIE, b"another cookie")], tag=99))
    t.silent()
    assert t.state() is StatusState.COOKIE_ECHOED
    assert t.wait() == pytest.approx(1.0)
    assert t.expect(wire.CookieEcho).cookie == b"a cookie"
    t.give(COOKIE_ACK)
    t.up()
    t.give(t.init_ack(tag=99))
    t.silent()
    t.works()
    for t in (shutdown_sent(), shutdown_received(), shutdown_ack_sent()):
        before = t.state()
        t.give(t.init_ack(tag=99))
        t.silent()
        assert t.state() is before


def test_dm_o_4_4() -> None:
    t = active()
    t.give(COOKIE_ACK)
    t.silent()
    assert t.events() == []
    t.works()
    for t in (cookie_wait(), shutdown_sent(), shutdown_received(), shutdown_ack_sent()):
        before = t.state()
        t.give(COOKIE_ACK)
        t.silent()
        assert t.state() is before


def test_dm_o_4_5() -> None:
    t = shutdown_sent()
    t.give(t.shutdown())
    t.expect(wire.ShutdownAck)
    assert t.state() is StatusState.SHUTDOWN_ACK_SENT
    t.give(wire.shutdown_complete_chunk())
    t.silent()
    assert AssociationState.SHUTDOWN_COMP in t.changes()
    t.expect_no_association()


@pytest.mark.parametrize("begin", [cookie_wait, cookie_echoed])
def test_dm_o_4_6_1(begin: Callable[[], EtsiTester]) -> None:
    t = begin()
    before = t.state()
    t.give(t.shutdown())
    t.silent()
    assert t.events() == []
    assert t.state() is before
    goes_on(t)


@pytest.mark.parametrize("listening", [False, True])
def test_dm_o_4_6_2(listening: bool) -> None:
    t = EtsiTester(listening=listening)
    t.give(t.shutdown(), tag=OTHER_TAG)
    assert t.expect(wire.Abort, tag=OTHER_TAG).reflected
    assert t.events() == []


def test_dm_o_4_6_3() -> None:
    t = shutdown_sent()
    t.advance(0.6)
    t.give(t.shutdown())
    t.expect(wire.ShutdownAck)
    assert t.wait() == pytest.approx(1.0)
    t.expect(wire.ShutdownAck)
    t.give(wire.shutdown_complete_chunk())
    t.silent()
    assert t.state() is StatusState.CLOSED


@pytest.mark.parametrize("own_tag", [False, True])
@pytest.mark.parametrize("begin", [cookie_wait, cookie_echoed])
def test_dm_o_4_7_1(begin: Callable[[], EtsiTester], own_tag: bool) -> None:
    t = begin()
    before = t.state()
    tag = t.their_tag if own_tag else OTHER_TAG
    t.give(SHUTDOWN_ACK, tag=tag)
    assert t.expect(wire.ShutdownComplete, tag=tag).reflected
    assert t.events() == []
    assert t.state() is before
    goes_on(t)


def test_dm_o_4_7_2() -> None:
    t = active()
    t.events()
    t.give(SHUTDOWN_ACK)
    t.silent()
    assert t.events() == []
    t.works()


def test_dm_o_4_7_3() -> None:
    t = shutdown_ack_sent()
    t.give(SHUTDOWN_ACK)
    assert not t.expect(wire.ShutdownComplete).reflected
    assert AssociationState.SHUTDOWN_COMP in t.changes()
    t.expect_no_association()


def test_dm_o_4_8() -> None:
    t = passive()
    t.events()
    for cookie in (b"of our own", t.cookie[:-1] + bytes([t.cookie[-1] ^ 1])):
        t.give(t.cookie_echo(cookie))
        t.silent()
        assert t.events() == []
    t.works()


@pytest.mark.parametrize("reflected", [False, True])
def test_dm_o_4_9(reflected: bool) -> None:
    complete = wire.shutdown_complete_chunk(reflected=reflected)
    for t in (
        cookie_wait(),
        cookie_echoed(),
        active(),
        shutdown_sent(),
        shutdown_received(),
    ):
        before = t.state()
        t.events()
        t.give(complete, tag=t.tag if reflected else t.their_tag)
        t.silent()
        assert t.events() == []
        assert t.state() is before
    t = cookie_wait()
    t.give(complete, tag=t.tag if reflected else t.their_tag)
    assert t.wait() == pytest.approx(1.0)
    t.expect(wire.Init, tag=0)


def test_dm_o_4_10() -> None:
    t = shutdown_ack_sent()
    t.events()
    t.give(t.data(b"too late"))
    t.silent()
    assert t.events() == []
    assert t.state() is StatusState.SHUTDOWN_ACK_SENT
    assert t.wait() == pytest.approx(1.0)
    t.expect(wire.ShutdownAck)
    t.give(wire.shutdown_complete_chunk())
    t.silent()
    assert t.state() is StatusState.CLOSED
