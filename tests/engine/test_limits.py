"""How much of a packet is looked at, at the edge: so much is, and one more is not."""

from __future__ import annotations

import pytest

from trio_sctp._engine import wire
from trio_sctp._engine.wire import ChunkType, ParameterType, Tlv

from ..support.engines import ends
from ..support.scripted_peer import ScriptedPeer

IGNORED = wire.chunk(0x80)
"""A chunk that nobody knows, and that asks for nothing."""


@pytest.mark.parametrize(("count", "answered"), [(64, True), (65, False)])
def test_chunks_of_a_packet_of_no_association(count: int, answered: bool) -> None:
    peer = ScriptedPeer()
    left = peer.give(*[IGNORED] * count, tag=7)
    assert [packet.has(wire.Abort) for packet in left] == [True] * answered


@pytest.mark.parametrize(("count", "answered"), [(64, True), (65, False)])
def test_parameters_of_an_init(count: int, answered: bool) -> None:
    peer = ScriptedPeer()
    left = peer.give_init(parameters=[Tlv(0x8123, b"")] * count)
    assert [packet.has(wire.InitAck) for packet in left] == [True] * answered


@pytest.mark.parametrize(("count", "taken"), [(64, True), (65, False)])
def test_parameters_of_an_init_ack(count: int, taken: bool) -> None:
    peer = ScriptedPeer()
    peer.connect()
    ignored = [Tlv(0x8123, b"")] * (count - 1)
    left = peer.give(peer.init_ack([Tlv(ParameterType.STATE_COOKIE, b"cookie"), *ignored]))
    kind = wire.CookieEcho if taken else wire.Abort
    assert [packet.has(kind) for packet in left] == [True]


@pytest.mark.parametrize(("before", "seen"), [(255, True), (256, False)])
def test_chunks_of_a_peers_packet(before: int, seen: bool) -> None:
    """DATA and SACK chunks do not count: a packet may be full of these."""
    peer = ScriptedPeer()
    peer.accept()
    data = [peer.unordered(b"x") for _ in range(300)]
    peer.give(*data, *[IGNORED] * before, wire.chunk(ChunkType.ABORT))
    assert len(ends(peer.events())) == seen


def test_the_first_cause_of_an_abort_is_the_error() -> None:
    peer = ScriptedPeer()
    peer.accept()
    causes = [Tlv(wire.Cause.OUT_OF_RESOURCE, b""), Tlv(wire.Cause.USER_INITIATED_ABORT, b"why")]
    peer.give(wire.abort_chunk(causes))
    (end,) = ends(peer.events())
    assert end.error == wire.Cause.OUT_OF_RESOURCE
    assert end.reason == b"why"
