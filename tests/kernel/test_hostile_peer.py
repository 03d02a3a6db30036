"""A peer that does what no decent one would."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest
import trio

from trio_sctp import (
    AssociationChange,
    AssociationState,
    ConnectFailed,
    InitMsg,
    Message,
    RemoteError,
    RtoInfo,
    open_association,
    open_endpoint,
)
from trio_sctp._engine import wire
from trio_sctp._engine.wire import Cause, Tlv

from .conftest import kernel_associations
from .tun_peer import PEER, PORT, TunPeer, tun_peer


@pytest.fixture
def peer() -> Iterator[TunPeer]:
    with tun_peer() as peer:
        yield peer


async def test_a_peer_that_falls_silent_in_the_handshake(peer: TunPeer) -> None:
    options = [RtoInfo(initial=20, max=40, min=20), InitMsg(max_attempts=2)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.answer_init)
        with pytest.raises(ConnectFailed) as silent:
            await open_association(PEER, PORT, options=options)
        assert silent.value.errno == errno.ETIMEDOUT
    async with await open_endpoint() as endpoint, trio.open_nursery() as nursery:
        nursery.start_soon(peer.answer_init)
        with pytest.raises(trio.TooSlowError), trio.fail_after(0.3):
            await endpoint.connect(PEER, PORT)
        assert not kernel_associations()


async def test_error_chunks_of_any_content_are_events(peer: TunPeer) -> None:
    async with await open_endpoint() as endpoint:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.set_up)
            association = await endpoint.connect(PEER, PORT)
        causes = [
            (6, b"\xff\xfe\xfd\xfc"),  # kills pysctp's receive
            (12345, b"\x00" * 400),
            (1, b""),
        ]
        for code, value in causes:
            peer.send(wire.error_chunk([Tlv(code, value)]))
        peer.send_data(b"and a message")
        seen = [await endpoint.receive() for _ in range(len(causes) + 1)]
        for event, (code, value) in zip(seen, causes, strict=False):
            assert isinstance(event, RemoteError)
            assert event.error == code
            assert event.association_id == association.id
            assert value in event.data
        assert isinstance(seen[-1], Message)
        peer.send(wire.abort_chunk([Tlv(Cause.USER_INITIATED_ABORT, b"\xff\xfe\xfd\xfc")]))
        event = await endpoint.receive()
        assert isinstance(event, AssociationChange)
        assert (event.state, event.error) == (AssociationState.COMM_LOST, 12)
        assert event.reason == b"\xff\xfe\xfd\xfc"


async def test_undeliverable_messages_of_any_content_come_back(peer: TunPeer) -> None:
    """Bytes that are no text come back as they were sent (pysctp's receive dies of them)."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.set_up)
        channel = await open_association(PEER, PORT)
    data = [b"\xff\xfe\xfd\xfc", os.urandom(5000), b"\x00"]
    for n, value in enumerate(data):
        await channel.send(value, stream=n, ppid=0x80000001, context=n)
    await peer.receive(wire.Data)
    peer.send(wire.abort_chunk([Tlv(Cause.UNRECOGNIZED_CHUNK, b"")]))
    end = await channel.wait_ended()
    assert [failed.data for failed in end.undelivered] == data
    assert [failed.stream for failed in end.undelivered] == [0, 1, 2]
    assert [failed.context for failed in end.undelivered] == [0, 1, 2]
    assert all(failed.ppid == 0x80000001 for failed in end.undelivered)
    assert end.undelivered[0].sent
    assert end.cause == 6
    assert all(failed.error == 6 for failed in end.undelivered)
    await channel.aclose()


async def test_a_message_that_never_ends_fills_no_memory(peer: TunPeer) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.set_up)
        channel = await open_association(PEER, PORT, max_message_size=200_000)

    async def endless() -> None:
        peer.send_data(bytes(1000), flags=wire.FIRST)
        while True:
            await peer.receive(wire.Sack)
            for _ in range(20):
                peer.send_data(bytes(1000), flags=0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(endless)
        with pytest.raises(Exception, match="200000"):
            await channel.receive()
        end = await channel.wait_ended()
        nursery.cancel_scope.cancel()
    assert end.cause == 4
    await channel.aclose()


async def test_a_peer_that_starts_anew_keeps_its_association(peer: TunPeer) -> None:
    async with await open_endpoint() as endpoint:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.set_up)
            association = await endpoint.connect(PEER, PORT)
        peer.send_data(b"never finished", flags=wire.FIRST)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.restart)
            event = await endpoint.receive()
        assert isinstance(event, AssociationChange)
        assert (event.association_id, event.state) == (association.id, AssociationState.RESTART)
        peer.send_data(b"after the restart")
        message = await endpoint.receive()
        assert isinstance(message, Message)
        assert message.data == b"after the restart"
        await association.send(b"still on the same handle")
        assert b"still on the same handle" in (await peer.receive(wire.Data)).payload
        association.abort()
