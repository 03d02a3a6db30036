"""Sockets that come with settings of their own."""

from __future__ import annotations

import socket

from trio_sctp import Endpoint, Message, open_association

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
