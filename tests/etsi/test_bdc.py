"""ETSI TS 102 369, bundling of data with control chunks (BDC)."""

from __future__ import annotations

import pytest

from trio_sctp._engine import wire
from trio_sctp._options import StatusState
from trio_sctp._values import AssociationState

from ..support.scripted_peer import COOKIE_ACK
from .tester import SHUTDOWN_ACK, EtsiTester, passive, shutdown_ack_sent, shutdown_sent


@pytest.mark.parametrize("last", [False, True])
def test_bdc_i_7_1(last: bool) -> None:
    t = EtsiTester()
    chunks = [t.init(), t.data(b"with it", tsn=t.tsn, ssn=0)]
    t.give(*(reversed(chunks) if last else chunks), tag=0)
    t.silent()
    assert t.events() == []
    assert not t.engine.associations
    t.give(t.init(), tag=0)
    t.learn(t.expect(wire.InitAck))
    t.give(t.cookie_echo())
    t.expect(wire.CookieAck)
    t.up()
    t.works()


@pytest.mark.parametrize("last", [False, True])
def test_bdc_i_7_2(last: bool) -> None:
    t = EtsiTester(listening=False)
    init = t.connect()
    chunks = [t.init_ack(), t.data(b"with it", tsn=t.tsn, ssn=0)]
    t.give(*(reversed(chunks) if last else chunks))
    t.silent()
    assert t.events() == []
    assert t.state() is StatusState.COOKIE_WAIT
    assert t.wait() == pytest.approx(1.0)
    assert t.expect(wire.Init, tag=0) == init
    t.answers_the_init()
    t.works()


def test_bdc_i_7_3() -> None:
    t = shutdown_ack_sent()
    t.events()
    t.give(wire.shutdown_complete_chunk(), t.data(b"with it"))
    t.silent()
    assert t.events() == []
    assert t.state() is StatusState.SHUTDOWN_ACK_SENT
    assert t.wait() == pytest.approx(1.0)
    t.expect(wire.ShutdownAck)
    t.give(wire.shutdown_complete_chunk())
    t.silent()
    assert t.changes() == [AssociationState.SHUTDOWN_COMP]


def test_bdc_v_7_4() -> None:
    t = EtsiTester()
    t.give(t.init(), tag=0)
    t.learn(t.expect(wire.InitAck))
    t.give(t.cookie_echo(), t.data(b"one"), t.data(b"two"))
    cookie_ack, sack = t.chunks()
    assert isinstance(cookie_ack, wire.CookieAck)
    assert isinstance(sack, wire.Sack)
    assert (sack.cumulative_tsn, sack.gaps, sack.duplicates) == (t.tsn - 1, [], [])
    assert t.messages() == [b"one", b"two"]
    (t.id,) = t.engine.associations
    t.works()


def test_bdc_v_7_5() -> None:
    t = EtsiTester(listening=False)
    t.connect()
    t.give(t.init_ack())
    t.expect(wire.CookieEcho)
    t.give(COOKIE_ACK, t.data(b"with it"))
    sack = t.expect(wire.Sack)
    assert (sack.cumulative_tsn, sack.gaps, sack.duplicates) == (t.tsn - 1, [], [])
    assert t.messages() == [b"with it"]
    t.works()


@pytest.mark.parametrize("sack_first", [False, True])
def test_bdc_v_7_6(sack_first: bool) -> None:
    t = passive()
    t.send(b"outstanding")
    (data,) = t.received_data()
    chunks = [wire.shutdown_chunk(data.tsn), t.sack()]
    t.give(*(reversed(chunks) if sack_first else chunks))
    t.expect(wire.ShutdownAck)
    t.give(wire.shutdown_complete_chunk())
    t.silent()
    assert t.state() is StatusState.CLOSED


def test_bdc_v_7_7() -> None:
    t = passive()
    t.send(b"outstanding")
    t.received_data()
    t.give(t.sack(), t.data(b"one"), t.data(b"two"))
    assert t.messages() == [b"one", b"two"]
    t.advance(0.5)
    sack = t.expect(wire.Sack)
    assert (sack.cumulative_tsn, sack.gaps, sack.duplicates) == (t.tsn - 1, [], [])
    t.advance(5)
    t.silent()
    t.works()


def test_bdc_v_7_8() -> None:
    t = shutdown_sent()
    t.give(SHUTDOWN_ACK, t.data(b"with it"))
    assert not t.expect(wire.ShutdownComplete).reflected
    assert t.state() is StatusState.CLOSED
    assert t.messages() == []
    t.expect_no_association()
