"""Sockets that come with settings of their own."""

from __future__ import annotations

import socket

import pytest
import trio

from trio_sctp import ConnectFailed, Endpoint, Listener, Message, open_association

from .conftest import LOOPBACK

SOL_SCTP, SCTP_EVENTS = 132, 11


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
