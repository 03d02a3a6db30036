"""Explicit congestion notification over real sockets: who is told of marks, and what follows."""

from __future__ import annotations

import socket
import sys

import pytest
import trio

from trio_sctp import (
    EcnSupported,
    OptionUnsupported,
    open_association,
    open_endpoint,
    open_listener,
    userland,
)
from trio_sctp._engine import wire
from trio_sctp._userland.carrier import Carrier, Unreachable

from ..support.udp_proxy import free_port, udp_proxy

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of marks")


async def marks(carrier: Carrier, count: int) -> list[bool]:
    """Whether the packets that come are marked."""
    found: list[bool] = []
    while len(found) < count:
        await trio.lowlevel.wait_readable(carrier.sock)
        carrier.receive(100)
        for arrival in carrier.received:
            assert not isinstance(arrival, Unreachable)
            found += [arrival[2]] * len(arrival[0])
        carrier.received.clear()
    return found


@linux
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
async def test_a_carrier_tells_which_packets_are_marked(host: str) -> None:
    six = ":" in host
    carrier = Carrier(host, 0)
    target = ("::1" if six else "127.0.0.1", carrier.port)
    level, option = socket.IPPROTO_IP, socket.IP_TOS
    if six:
        level, option = socket.IPPROTO_IPV6, socket.IPV6_TCLASS
    with socket.socket(carrier.sock.family, socket.SOCK_DGRAM) as sender:
        sent = [0, 1, 2, 3, 0xB8, 0xB8 | 3]

        def send() -> None:
            for tos in sent:
                sender.setsockopt(level, option, tos)
                sender.sendto(b"x", target)

        send()
        assert await marks(carrier, len(sent)) == [False] * len(sent)
        carrier.heed_marks()
        send()
        assert await marks(carrier, len(sent)) == [tos & 3 == 3 for tos in sent]
    carrier.close()


@linux
async def test_a_sender_is_told_of_marks_and_answers() -> None:
    port = free_port()
    ecn = [EcnSupported(True)]
    async with (
        userland(udp_port=port) as there,
        udp_proxy(port) as proxy,
        userland(peer_udp_port=proxy.port) as here,
        await open_listener(0, hosts="127.0.0.1", stack=there, options=ecn) as listener,
    ):
        channel = await open_association("127.0.0.1", listener.port, stack=here, options=ecn)
        accepted = await listener.accept()
        proxy.mark()
        for number in range(20):
            await channel.send(b"%d" % number)
            assert (await accepted.receive()).data == b"%d" % number
        await channel.wait_sent()
        chunks = [
            type(chunk)
            for data in proxy.passed
            if isinstance(packet := wire.parse_packet_untrusted(data), wire.Packet)
            for chunk in packet.chunks
        ]
        assert wire.Ecne in chunks
        assert wire.Cwr in chunks
        await trio.aclose_forcefully(channel)
        await trio.aclose_forcefully(accepted)


@pytest.mark.skipif(sys.platform == "linux", reason="Linux tells of marks")
async def test_where_the_system_does_not_tell_of_marks_it_cannot_be() -> None:
    async with (
        userland(udp_port=free_port()) as stack,
        await open_endpoint(stack=stack) as endpoint,
    ):
        with pytest.raises(OptionUnsupported, match=r"EcnSupported.*only Linux"):
            endpoint.set_option(EcnSupported(True))
        endpoint.set_option(EcnSupported(False))
