"""Linux with peers on several UDP ports (RFC 6951, SCTP_REMOTE_UDP_ENCAPS_PORT)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio

from trio_sctp import (
    AssociationChannel,
    ConnectFailed,
    EncapsulationPort,
    MaxSegment,
    OptionUnsupported,
    open_association,
    open_endpoint,
    open_listener,
    userland,
)

from ..support.udp_peers import HOST, OTHER_HOST, channels, exchange, server
from ..support.udp_proxy import free_port
from .network import Network


@pytest.fixture(autouse=True)
def udp(sysctl: Callable[[str, object], None]) -> None:
    """Linux speaks SCTP in UDP, to peers whose port a program names."""
    sysctl("net.sctp.encap_port", 0)
    sysctl("net.sctp.udp_port", 9899)


async def test_one_endpoint_has_peers_on_two_udp_ports() -> None:
    async with (
        server() as (first, first_udp),
        server() as (second, second_udp),
        await open_endpoint(hosts=HOST, stack="kernel") as client,
    ):
        for listener, port in ((first, first_udp), (second, second_udp)):
            association = await client.connect(
                HOST, listener.port, options=[EncapsulationPort(port)]
            )
            channel = await listener.accept()
            await association.send(b"question")
            assert (await channel.receive()).data == b"question"
            assert association.get_option(EncapsulationPort) == EncapsulationPort(port)
            association.abort()
            channel.abort()
        assert client.get_option(EncapsulationPort) == EncapsulationPort(0)


async def test_a_channel_in_udp_and_one_that_is_not() -> None:
    async with server() as (listener, port):
        async with channels(listener, "kernel", EncapsulationPort(port)) as (client, accepted):
            await exchange(client, accepted)
        for native in ([], [EncapsulationPort(0)]):
            with pytest.raises(ConnectFailed):
                await open_association(HOST, listener.port, options=native, stack="kernel")


async def test_a_server_answers_each_peer_as_it_came() -> None:
    async with (
        await open_listener(0, hosts=HOST, stack="kernel") as listener,
        userland(peer_udp_port=9899) as in_udp,
    ):
        for stack in (in_udp, "kernel"):
            client = await open_association(HOST, listener.port, stack=stack)
            accepted = await listener.accept()
            await exchange(client, accepted)
            client.abort()
            await accepted.wait_ended()
            await accepted.aclose()


async def test_the_port_that_a_packet_comes_from_wins() -> None:
    async with (
        server() as (listener, port),
        channels(listener, "kernel", EncapsulationPort(port)) as (client, accepted),
    ):
        address = (HOST, listener.port)
        nobodys = free_port()
        client.set_option(EncapsulationPort(nobodys))
        assert client.get_option(EncapsulationPort, address=address).port == nobodys
        await accepted.send(b"I am here")
        await client.receive()
        assert client.get_option(EncapsulationPort, address=address).port == port
        await exchange(client, accepted)


async def test_each_path_may_have_a_port_of_its_own() -> None:
    hosts = (HOST, OTHER_HOST)
    nobodys = free_port()
    async with server(hosts) as (listener, port):
        first, second = [(host, listener.port) for host in hosts]
        options = [EncapsulationPort(port, address=first), EncapsulationPort(nobodys)]
        async with channels(listener, "kernel", *options, hosts=hosts) as (client, accepted):
            assert client.get_option(EncapsulationPort, address=first) == options[0]
            assert client.get_option(EncapsulationPort, address=second).port == nobodys
            client.set_option(EncapsulationPort(port, address=second))
            assert client.get_option(EncapsulationPort, address=second).port == port
            await exchange(client, accepted)


async def test_it_is_the_sockets_namespace_that_counts(net: Network) -> None:
    async with await open_endpoint(options=[net.left], stack="kernel") as elsewhere:
        with pytest.raises(OptionUnsupported, match=r"net\.sctp\.udp_port"):
            elsewhere.set_option(EncapsulationPort(9900))
    async with await open_endpoint(stack="kernel") as here:
        here.set_option(EncapsulationPort(9900))
        assert here.get_option(EncapsulationPort) == EncapsulationPort(9900)


async def test_much_goes_either_way_to_the_userland_stack() -> None:
    """Elsewhere packets leave in trains there, any of which would end this kernel."""
    count, data = 3_000, bytes(1000)

    async def send(channel: AssociationChannel) -> None:
        for _ in range(count):
            await channel.send(data)

    async def receive(channel: AssociationChannel) -> None:
        left = count
        while left:
            left -= len(await channel.receive_batch())

    # Linux would leave packets to the device to cut up, which loses them when they are in UDP.
    options = [EncapsulationPort(0), MaxSegment(1100)]
    async with server() as (listener, port):
        options[0] = EncapsulationPort(port)
        async with channels(listener, "kernel", *options) as ends:
            for sender, receiver in (ends, ends[::-1]):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(send, sender)
                    nursery.start_soon(receive, receiver)
