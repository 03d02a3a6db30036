"""Peers on several UDP ports: which port an association's packets go to (RFC 6951)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
import trio

from trio_sctp import (
    AssociationChange,
    ConnectFailed,
    EncapsulationPort,
    Endpoint,
    Option,
    Userland,
    open_association,
    open_endpoint,
    userland,
)

from ..support.udp_peers import HOST, OTHER_HOST, channels, exchange, server
from ..support.udp_proxy import free_port


@contextlib.asynccontextmanager
async def client_stack() -> AsyncIterator[tuple[Userland, int]]:
    """A client's stack, and its peers' UDP port, which nobody has."""
    nobodys = free_port()
    async with userland(peer_udp_port=nobodys) as stack:
        yield stack, nobodys


@contextlib.asynccontextmanager
async def endpoint(stack: Userland, *options: Option) -> AsyncIterator[Endpoint]:
    endpoint = await open_endpoint(hosts=HOST, options=options, stack=stack)
    try:
        yield endpoint
    finally:
        await trio.aclose_forcefully(endpoint)


async def test_one_endpoint_has_peers_on_two_udp_ports() -> None:
    async with (
        server() as (first, first_udp),
        server() as (second, second_udp),
        client_stack() as (stack, _),
        endpoint(stack) as client,
    ):
        for listener, port in ((first, first_udp), (second, second_udp)):
            association = await client.connect(
                HOST, listener.port, options=[EncapsulationPort(port)]
            )
            channel = await listener.accept()
            await association.send(b"question")
            assert (await channel.receive()).data == b"question"
            await channel.send(b"answer")
            record = await client.receive()
            assert getattr(record, "data", None) == b"answer"
            assert association.get_option(EncapsulationPort) == EncapsulationPort(port)
            channel.abort()
            assert isinstance(await client.receive(), AssociationChange)


async def test_a_channel_is_opened_to_a_port_that_the_stack_does_not_assume() -> None:
    async with server() as (listener, port), client_stack() as (stack, _):
        async with channels(listener, stack, EncapsulationPort(port)) as (client, accepted):
            await exchange(client, accepted)
        with pytest.raises(ConnectFailed):
            await open_association(HOST, listener.port, stack=stack)


async def test_the_option_of_a_connect_is_that_associations_alone() -> None:
    async with (
        server() as (listener, port),
        client_stack() as (stack, nobodys),
        endpoint(stack) as client,
    ):
        await client.connect(HOST, listener.port, options=[EncapsulationPort(port)])
        assert client.get_option(EncapsulationPort) == EncapsulationPort(nobodys)


async def test_an_endpoints_port_is_for_associations_to_come() -> None:
    async with (
        server() as (listener, port),
        client_stack() as (stack, nobodys),
        endpoint(stack, EncapsulationPort(port)) as client,
    ):
        association = await client.connect(HOST, listener.port)
        client.set_option(EncapsulationPort(nobodys))
        assert client.get_option(EncapsulationPort) == EncapsulationPort(nobodys)
        assert association.get_option(EncapsulationPort) == EncapsulationPort(port)
        accepted = await listener.accept()
        await association.send(b"to the old port")
        assert (await accepted.receive()).data == b"to the old port"
        accepted.abort()


async def test_the_port_that_a_packet_comes_from_wins() -> None:
    async with (
        server() as (listener, port),
        client_stack() as (stack, nobodys),
        channels(listener, stack, EncapsulationPort(port)) as (client, accepted),
    ):
        client.set_option(EncapsulationPort(nobodys))
        assert client.get_option(EncapsulationPort) == EncapsulationPort(nobodys)
        await accepted.send(b"I am here")
        await client.receive()
        assert client.get_option(EncapsulationPort) == EncapsulationPort(port)
        await exchange(client, accepted)


async def test_those_who_are_connected_to_know_the_port() -> None:
    async with (
        server() as (listener, port),
        client_stack() as (stack, _),
        channels(listener, stack, EncapsulationPort(port)) as (client, accepted),
    ):
        (address,) = accepted.peer_addresses
        found = accepted.get_option(EncapsulationPort, address=address)
        assert found.address == address
        assert found.port == accepted.get_option(EncapsulationPort).port != port
        await exchange(client, accepted)


async def test_each_path_may_have_a_port_of_its_own() -> None:
    hosts = (HOST, OTHER_HOST)
    async with (
        server(hosts) as (listener, port),
        client_stack() as (stack, nobodys),
    ):
        first, second = [(host, listener.port) for host in hosts]
        # Where the INIT goes, the port is right from the beginning.
        for options in (
            [EncapsulationPort(port, address=first)],
            [EncapsulationPort(nobodys, address=second), EncapsulationPort(port)],
        ):
            async with channels(listener, stack, *options, hosts=hosts) as (client, accepted):
                assert client.get_option(EncapsulationPort, address=first).port == port
                assert client.get_option(EncapsulationPort, address=second).port == nobodys
                client.set_option(EncapsulationPort(port, address=second))
                assert client.get_option(EncapsulationPort, address=second).port == port
                await exchange(client, accepted)


async def test_ports_and_addresses_that_make_no_sense() -> None:
    async with (
        server() as (listener, port),
        client_stack() as (stack, _),
        endpoint(stack) as client,
    ):
        association = await client.connect(HOST, listener.port, options=[EncapsulationPort(port)])
        for target in (None, association):
            with pytest.raises(ValueError, match=r"EncapsulationPort\.port .*not 0: .*in UDP"):
                client.set_option(EncapsulationPort(0), target)
        with pytest.raises(ValueError, match="none of the peer's addresses"):
            await client.connect(HOST, 9, options=[EncapsulationPort(1, (OTHER_HOST, 9))])
        with pytest.raises(ValueError, match=r"is .* an address of this association"):
            association.set_option(EncapsulationPort(1, (OTHER_HOST, listener.port)))
        with pytest.raises(ValueError, match="needs the association"):
            client.set_option(EncapsulationPort(1, (HOST, listener.port)))
        assert association.get_option(EncapsulationPort) == EncapsulationPort(port)


async def test_a_failed_connect_names_the_port_that_was_asked() -> None:
    port = free_port()
    async with client_stack() as (stack, nobodys):
        with pytest.raises(ConnectFailed, match=f"over UDP port {nobodys}:"):
            await open_association(HOST, 2905, stack=stack)
        with pytest.raises(ConnectFailed, match=f"over UDP port {port}:"):
            await open_association(HOST, 2905, options=[EncapsulationPort(port)], stack=stack)
        async with endpoint(stack) as client:
            with pytest.raises(ConnectFailed, match=f"over UDP port {port}:"):
                await client.connect(HOST, 2905, options=[EncapsulationPort(port)])
