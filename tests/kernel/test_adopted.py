"""Sockets that come with settings of their own."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest
import trio

from trio_sctp import (
    AssociationChannel,
    ConnectFailed,
    Endpoint,
    Listener,
    Message,
    open_association,
    open_listener,
)

from .conftest import LOOPBACK

SOL_SCTP, SCTP_EVENTS, GET_ASSOC_ID_LIST = 132, 11, 29


async def test_a_socket_that_asked_for_the_older_ancillary_data() -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, SOL_SCTP)
    sock.bind((LOOPBACK, 0))
    sock.setsockopt(SOL_SCTP, SCTP_EVENTS, bytes([1]))  # data_io_event, as pysctp sets it
    endpoint = Endpoint.from_socket(sock)
    endpoint.listen()
    async with await open_association(LOOPBACK, endpoint.port) as channel:
        await channel.send(b"hello", stream=3, ppid=46)
        while not isinstance(message := await endpoint.receive(), Message):
            pass
        assert (message.data, message.stream, message.ppid) == (b"hello", 3, 46)
        channel.abort()
    await endpoint.aclose()


async def test_a_one_to_one_listener_is_drained() -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, SOL_SCTP)
    sock.bind((LOOPBACK, 0))
    listener = Listener.from_socket(sock)
    port = listener.port
    async with await open_association(LOOPBACK, port) as client:
        server = await listener.accept()
        other = await open_association(LOOPBACK, port)
        await client.send(b"hello")
        assert (await server.receive()).data == b"hello"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.drain)
            assert [message async for message in server] == []
            with pytest.raises(ConnectFailed):
                await open_association(LOOPBACK, port)
            await server.aclose()
        assert (await client.wait_ended()).graceful
        assert not (await other.wait_ended()).graceful
        await other.aclose()


async def test_cancelling_the_drain_of_a_one_to_one_listener_aborts() -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, SOL_SCTP)
    sock.bind((LOOPBACK, 0))
    listener = Listener.from_socket(sock)
    async with await open_association(LOOPBACK, listener.port) as client:
        server = await listener.accept()
        with trio.move_on_after(0.01) as scope:
            await listener.drain()
        assert scope.cancelled_caught
        assert not (await client.wait_ended()).graceful
        assert server.ended is not None
        await server.aclose()


# -- pysctp ----------------------------------------------------------------------------------


def pysctp(kind: int) -> Any:
    """A socket that pysctp has made, bound to a port."""
    sctp = pytest.importorskip("sctp")
    one_to_one = kind == socket.SOCK_STREAM
    sock = (sctp.sctpsocket_tcp if one_to_one else sctp.sctpsocket_udp)(socket.AF_INET)
    sock.bind((LOOPBACK, 0))
    return sock


BOTH = pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
PPID = 0x01020304


async def swap(one: AssociationChannel, other: AssociationChannel) -> None:
    """A message each way, and the end."""
    await one.send(b"there", stream=3, ppid=PPID)
    message = await other.receive()
    assert (message.data, message.stream, message.ppid) == (b"there", 3, PPID)
    await other.send(b"back", ppid=PPID)
    assert (await one.receive()).data == b"back"
    await one.aclose()
    with pytest.raises(trio.EndOfChannel):
        await other.receive()
    await other.aclose()


async def test_pysctps_one_to_many_socket_becomes_an_endpoint() -> None:
    sock = pysctp(socket.SOCK_SEQPACKET)
    endpoint = Endpoint.from_socket(sock)
    assert sock.fileno() == -1  # It is ours alone.
    endpoint.listen()
    async with endpoint, await open_association(LOOPBACK, endpoint.port) as client:
        await client.send(b"there", ppid=PPID)
        while not isinstance(message := await endpoint.receive(), Message):
            pass
        assert (message.data, message.ppid) == (b"there", PPID)
        await endpoint.send(b"back", message.association_id, ppid=PPID)
        reply = await client.receive()
        assert (reply.data, reply.ppid) == (b"back", PPID)
        client.abort()


async def test_pysctps_one_to_one_socket_is_no_endpoint() -> None:
    sock = pysctp(socket.SOCK_STREAM)
    with pytest.raises(ValueError, match="one-to-many"):
        Endpoint.from_socket(sock)
    assert sock.fileno() >= 0
    sock.close()


@BOTH
async def test_pysctps_socket_becomes_a_listener(kind: int) -> None:
    async with Listener.from_socket(pysctp(kind)) as listener:
        client = await open_association(LOOPBACK, listener.port)
        await swap(client, await listener.accept())


@BOTH
async def test_pysctps_socket_becomes_a_channel(kind: int) -> None:
    """A one-to-one socket that is connected, or a one-to-many socket's that was peeled off."""
    async with await open_listener(0, hosts=LOOPBACK) as listener:
        sock = pysctp(kind)
        sock.connect((LOOPBACK, listener.port))
        server = await listener.accept()
        if kind == socket.SOCK_SEQPACKET:
            _, id = struct.unpack("=Ii", sock.getsockopt(SOL_SCTP, GET_ASSOC_ID_LIST, 8))
            one_to_many, sock = sock, pytest.importorskip("_sctp").peeloff(sock.fileno(), id)
            one_to_many.close()
        await swap(AssociationChannel.from_socket(sock), server)


@pytest.mark.parametrize("ppid", [0, 46, PPID, 0x7FFFFFFF & ~0xFF])
async def test_a_ppid_from_pysctp_is_the_same_here(ppid: int) -> None:
    async with await open_listener(0, hosts=LOOPBACK) as listener:
        sock = pysctp(socket.SOCK_STREAM)
        sock.connect((LOOPBACK, listener.port))
        sock.sctp_send(b"x", ppid=ppid)
        async with await listener.accept() as server:
            assert (await server.receive()).ppid == ppid
            sock.close()


@pytest.mark.parametrize("ppid", [0, 46, PPID, 0xFFFFFFFF])
async def test_a_ppid_from_here_is_swapped_in_pysctp(ppid: int) -> None:
    """It swaps the bytes of those that it sends, and not of those that it receives."""
    async with await open_listener(0, hosts=LOOPBACK) as listener:
        sock = pysctp(socket.SOCK_STREAM)
        sock.events.data_io = True
        sock.connect((LOOPBACK, listener.port))
        async with await listener.accept() as server:
            await server.send(b"x", ppid=ppid)
            *_, data, info = await trio.to_thread.run_sync(sock.sctp_recv, 100)
            sock.close()
        assert (data, socket.ntohl(info.ppid & 0xFFFFFFFF)) == (b"x", ppid)


def test_pysctp_cannot_send_every_ppid() -> None:
    """Swapped, it has to fit a signed integer."""
    sock = pysctp(socket.SOCK_STREAM)
    with pytest.raises(OverflowError):
        sock.sctp_send(b"x", ppid=0x80)
    sock.close()
