"""Sockets in network namespaces other than the program's own."""

from __future__ import annotations

import os
from functools import partial

import pytest
import trio

from trio_sctp import (
    AssociationChange,
    AssociationChannel,
    Endpoint,
    Listener,
    NetworkNamespace,
    open_association,
    open_endpoint,
    open_listener,
    serve,
)

from .network import Network


def own_namespace() -> str:
    return os.readlink("/proc/thread-self/ns/net")


async def test_a_port_is_a_namespaces_own(net: Network) -> None:
    """The same address and port on both hosts, and here."""
    async with (
        await open_endpoint(2905, options=[net.left]) as left,
        await open_endpoint(2905, options=[net.right]) as right,
        await open_endpoint(2905) as here,
    ):
        assert left.port == right.port == here.port == 2905
        right.listen()
        association = await left.connect(net.right_hosts[0], 2905)
        assert isinstance(await right.receive(), AssociationChange)
        with pytest.raises(OSError, match="unreachable"):
            await here.connect(net.right_hosts[0], 2905)
        association.abort()


async def test_the_program_stays_where_it_is(net: Network) -> None:
    before = own_namespace()
    async with await open_endpoint(options=[net.left]):
        assert own_namespace() == before
    with pytest.raises(OSError, match="assign"):
        await open_endpoint(hosts="192.0.2.77", options=[net.left])
    assert own_namespace() == before


async def test_associations_of_another_namespace_are_peeled_off_and_accepted(
    net: Network,
) -> None:
    """Which Linux refuses to a program that is elsewhere."""
    before = own_namespace()
    listener = await open_listener(0, options=[net.right])
    async with listener:
        client = await open_association(net.right_hosts[0], listener.port, options=[net.left])
        server = await listener.accept()
        await client.send(b"hello")
        assert (await server.receive()).data == b"hello"
    assert own_namespace() == before
    async with await open_endpoint(options=[net.right]) as endpoint:
        endpoint.listen()
        other = await open_association(net.right_hosts[0], endpoint.port, options=[net.left])
        up = await endpoint.receive()
        assert isinstance(up, AssociationChange)
        peeled = endpoint.peeloff(up.association_id)
        await other.send(b"hello")
        assert (await peeled.receive()).data == b"hello"
        adopted = Endpoint.from_socket(endpoint.detach())
        again = await open_association(net.right_hosts[0], adopted.port, options=[net.left])
        while not isinstance(up := await adopted.receive(), AssociationChange):
            pass
        adopted.peeloff(up.association_id).abort()
        await adopted.aclose()
        for channel in client, server, other, peeled, again:
            channel.abort()
    assert own_namespace() == before


async def test_serve_in_another_namespace(net: Network) -> None:
    async def echo(channel: AssociationChannel) -> None:
        async for message in channel:
            await channel.send(message.data)

    async with trio.open_nursery() as nursery:
        listener: Listener = await nursery.start(partial(serve, options=[net.right]), echo, 0)
        async with await open_association(
            net.right_hosts[1], listener.port, options=[net.left]
        ) as channel:
            await channel.send(b"hello")
            assert (await channel.receive()).data == b"hello"
        nursery.cancel_scope.cancel()


async def test_what_is_no_namespace(net: Network) -> None:
    before = own_namespace()
    with pytest.raises(FileNotFoundError, match="no-such.*it takes a path, /run/netns/blue"):
        await open_endpoint(options=[NetworkNamespace("/run/netns/no-such")])
    with pytest.raises(ValueError, match="/dev/null"):
        await open_endpoint(options=[NetworkNamespace(os.devnull)])
    async with await open_endpoint() as endpoint:
        with pytest.raises(ValueError, match="for opening"):
            endpoint.set_option(net.left)
        with pytest.raises(ValueError, match="whole socket"):
            await endpoint.connect("127.0.0.1", 9, options=[net.left])
    with pytest.raises(TypeError, match=r"NetworkNamespace\.path"):
        NetworkNamespace(b"/run/netns/left")  # type: ignore[arg-type]
    assert own_namespace() == before
