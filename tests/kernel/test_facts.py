"""Facts of Linux that the documentation tells, and the library relies on."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from trio_sctp import open_association, open_listener

from .conftest import LOOPBACK
from .network import Network

SOL_SCTP, SNDINFO, EOF = 132, 2, 0x0200
IP_RECVTOS, IP_RECVTTL = 13, 12


def pair() -> tuple[socket.socket, socket.socket]:
    """A one-to-many socket that listens, and another."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, SOL_SCTP) for _ in range(2)]
    for one in sockets:
        one.bind((LOOPBACK, 0))
        one.settimeout(10)
    sockets[0].listen()
    return sockets[0], sockets[1]


@pytest.mark.parametrize("option", [IP_RECVTOS, IP_RECVTTL])
def test_tos_and_ttl_are_not_delivered(option: int) -> None:
    """So `ReceiveTos` and `ReceiveTtl` are refused."""
    server, client = pair()
    with server, client:
        server.setsockopt(socket.IPPROTO_IP, option, 1)
        assert server.getsockopt(socket.IPPROTO_IP, option) == 1
        client.sendto(b"hello", server.getsockname())
        data, ancillary, _, _ = server.recvmsg(100, 1000)
        assert (data, ancillary) == (b"hello", [])


def test_a_last_message_and_eof_in_one_call_are_refused() -> None:
    """So they are two calls."""
    server, client = pair()
    with server, client:
        client.sendto(b"hello", server.getsockname())
        server.recv(100)
        info = struct.pack("=HHIIi", 0, EOF, 0, 0, 0)
        with pytest.raises(OSError, match="Invalid") as refused:
            client.sendmsg([b"last"], [(SOL_SCTP, SNDINFO, info)], 0, server.getsockname())
        assert refused.value.errno == errno.EINVAL


def test_priority_does_not_set_tos() -> None:
    server, client = pair()
    with server, client:
        before = client.getsockopt(socket.IPPROTO_IP, socket.IP_TOS)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 5)
        assert client.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == before


async def test_round_trips_are_told_in_milliseconds(net: Network) -> None:
    """Linux tells them in jiffies: of 10 ms, of 4 ms or of 1 ms."""
    net.slow(0, 50)
    async with await open_listener(0, hosts=net.right_hosts[0], options=[net.right]) as listener:
        client = await open_association(net.right_hosts[0], listener.port, options=[net.left])
        server = await listener.accept()
        for _ in range(3):
            await client.send(b"there")
            await server.receive()
            await server.send(b"back")  # the acknowledgement goes with it
            await client.receive()
        (path,) = client.paths()
        assert path == client.status().primary
        # At least the round trip, but for the jiffy that has begun; no more than the RTO.
        assert 90 <= path.srtt < path.rto
        client.abort()
        server.abort()
