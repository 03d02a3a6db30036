"""ETSI TS 102 369, errors (E)."""

from __future__ import annotations

import struct

import pytest

from trio_sctp._engine import wire
from trio_sctp._engine.wire import Cause, ParameterType, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import AssociationState, RemoteError

from ..support.scripted_peer import COOKIE_ACK
from .tester import (
    EtsiTester,
    active,
    causes_of,
    parameters_of,
    shutdown_ack_sent,
    shutdown_received,
    shutdown_sent,
    whole,
)

COOKIE = Tlv(ParameterType.STATE_COOKIE, b"a cookie")
STALE = wire.error_chunk([Tlv(Cause.STALE_COOKIE, (1_000_000).to_bytes(4, "big"))])


def test_e_o_6_1() -> None:
    t = EtsiTester(listening=False)
    first = t.connect()
    t.give(t.init_ack())
    t.expect(wire.CookieEcho)
    t.advance(0.25)
    t.give(STALE)
    if t.state() is StatusState.CLOSED:
        t.silent()
        assert t.changes() == [AssociationState.CANT_ASSOC]
        return
    assert t.state() is StatusState.COOKIE_WAIT
    init = t.expect(wire.Init, tag=0)
    assert init.tag != 0
    for longer in parameters_of(init, ParameterType.COOKIE_PRESERVATIVE):
        # Section 5.2.6: no more than a second beyond the round trip, which took 250 ms.
        assert 0 < int.from_bytes(longer, "big") <= 1250
    t.their_tag, t.their_tsn = init.tag, init.tsn
    assert init.outbound_streams == first.outbound_streams
    t.give(t.init_ack([Tlv(ParameterType.STATE_COOKIE, b"fresh")]))
    assert t.expect(wire.CookieEcho).cookie == b"fresh"
    t.give(COOKIE_ACK)
    t.up()
    t.works()


def test_e_o_6_2() -> None:
    t = active()
    t.give(STALE)
    t.silent()
    assert t.events() == []
    t.works()
    t = EtsiTester(listening=False)
    t.connect()
    for other in (t, shutdown_sent(), shutdown_received(), shutdown_ack_sent()):
        before = other.state()
        other.events()
        other.give(STALE)
        other.silent()
        assert other.events() == []
        assert other.state() is before


def test_e_i_6_3() -> None:
    t = active(outbound=2)
    t.give(t.data(b"on stream 1", stream=1))
    assert t.messages() == [b"on stream 1"]
    t.advance(0.5)
    t.packets()
    t.give(t.data(b"on stream 2", stream=2))
    t.advance(0.5)
    chunks = t.chunks()
    (error,) = [chunk for chunk in chunks if isinstance(chunk, wire.Error)]
    (cause,) = error.causes
    assert cause.type == Cause.INVALID_STREAM
    assert struct.unpack("!HH", cause.value) == (2, 0)
    (sack,) = [chunk for chunk in chunks if isinstance(chunk, wire.Sack)]
    assert (sack.cumulative_tsn, sack.gaps) == (t.tsn - 1, [])
    assert t.messages() == []
    t.works()


def test_e_i_6_4() -> None:
    t = EtsiTester(listening=False)
    t.connect()
    t.give(t.init_ack([]))
    abort = t.expect(wire.Abort)
    assert not abort.reflected
    (cause,) = abort.causes
    assert cause.type == Cause.MISSING_PARAMETER
    assert cause.value == struct.pack("!IH", 1, ParameterType.STATE_COOKIE)
    assert t.changes() == [AssociationState.CANT_ASSOC]
    t.expect_no_association()


@pytest.mark.parametrize("behind", [False, True])
def test_e_i_6_5(behind: bool) -> None:
    t = EtsiTester(listening=False)
    t.connect()
    unknown = [Tlv(0xC00D, b"\1"), Tlv(0x800D, b"\2"), Tlv(0xC00E, b"")]
    t.give(t.init_ack([COOKIE, *unknown] if behind else [*unknown, COOKIE]))
    chunks = t.chunks()
    assert chunks[0] == wire.CookieEcho(COOKIE.value)
    t.give(COOKIE_ACK)
    chunks += t.chunks()
    t.up()
    reported = b""
    for chunk in chunks[1:]:
        assert isinstance(chunk, wire.Error)
        assert set(causes_of(chunk)) == {Cause.UNRECOGNIZED_PARAMETERS}
        for cause in chunk.causes:
            reported += cause.value + bytes(-len(cause.value) % 4)
    assert reported == wire.tlvs([unknown[0], unknown[2]])
    t.works()


def test_e_i_6_6() -> None:
    t = EtsiTester()
    t.give(t.init(), tag=0)
    t.learn(t.expect(wire.InitAck))
    cause = Tlv(Cause.UNRECOGNIZED_PARAMETERS, whole(Tlv(0xC000, b"")))
    t.give(t.cookie_echo(), wire.error_chunk([cause]))
    t.expect(wire.CookieAck)
    (error,) = [event for event in t.events() if isinstance(event, RemoteError)]
    assert error.error == Cause.UNRECOGNIZED_PARAMETERS
    t.id = error.association_id
    t.works()
