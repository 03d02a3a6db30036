"""What a stack refuses says what was asked for, and what would be right: the same on each stack."""

from __future__ import annotations

import errno
import os
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
import trio

from trio_sctp import (
    AssociationLost,
    AssociationState,
    ConnectFailed,
    InitMsg,
    OptionUnsupported,
    open_endpoint,
    userland,
)

from .helpers import Pair, StackUnderTest, next_change, next_message, until

FOREIGN = "203.0.113.7"


def text(number: int, pattern: str) -> str:
    """A pattern of an OSError's text; `{}` stands for what the system calls this errno."""
    return re.escape(f"[Errno {number}] ") + pattern.format(re.escape(os.strerror(number)))


# -- binding -----------------------------------------------------------------------------------


async def test_an_address_that_is_not_ours(stack: StackUnderTest) -> None:
    said = text(errno.EADDRNOTAVAIL, rf"cannot bind {FOREIGN} port 2905: {{}}: this machine has .*")
    for hosts in FOREIGN, [stack.host, FOREIGN]:
        with pytest.raises(OSError, match=said) as caught:
            await stack.open_endpoint(2905, hosts=hosts)
        assert type(caught.value) is OSError
        assert stack.host in str(caught.value).partition("this machine has")[2]


async def test_an_address_that_is_not_ours_and_any_port(stack: StackUnderTest) -> None:
    said = text(errno.EADDRNOTAVAIL, rf"cannot bind {FOREIGN}: {{}}: this machine has .*")
    with pytest.raises(OSError, match=said):
        await stack.open_endpoint(hosts=FOREIGN)


async def test_a_port_that_is_taken(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint:
        said = text(errno.EADDRINUSE, rf"cannot bind {stack.host} port {endpoint.port}: {{}}$")
        with pytest.raises(OSError, match=said):
            await stack.open_endpoint(endpoint.port)
        said = text(errno.EADDRINUSE, rf"cannot bind port {endpoint.port}: {{}}$")
        with pytest.raises(OSError, match=said):
            await stack.open_endpoint(endpoint.port, hosts=())


# -- one association with each peer --------------------------------------------------------------


def again(pair: Pair, host: str) -> list[Callable[[], Any]]:
    """The calls that would set up a second association with the server."""
    return [
        lambda: pair.client.connect(host, pair.server.port),
        lambda: pair.client.connect_init(host, pair.server.port),
    ]


async def test_a_second_connect_names_the_first(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        said = text(
            errno.EISCONN,
            f"there is an association with {stack.host} port {pair.server.port} already, "
            f"{pair.association.id}: use association_at$",
        )
        for call in again(pair, stack.host):
            with pytest.raises(OSError, match=said) as caught:
                await call()
            assert caught.value.errno == errno.EISCONN


async def test_a_second_connect_while_the_first_is_half_open(
    stack: StackUnderTest, black_hole: str
) -> None:
    """It is no error of a non-blocking call, whatever Python makes of EALREADY."""
    async with stack.endpoint(hosts=()) as client:
        first = await client.connect_init(black_hole, 2905)
        said = text(
            errno.EALREADY,
            f"association {first.id} with {black_hole} port 2905 is being set up: "
            "use association_at$",
        )
        for connect in client.connect, client.connect_init:
            with pytest.raises(OSError, match=said) as caught:
                await connect(black_hole, 2905)
            assert caught.value.errno == errno.EALREADY
            assert not isinstance(caught.value, BlockingIOError)
            copy = pickle.loads(pickle.dumps(caught.value))
            assert (type(copy), copy.errno, str(copy)) == (
                type(caught.value),
                errno.EALREADY,
                str(caught.value),
            )
        assert client.association_at((black_hole, 2905)) is first
        first.abort()


async def test_an_association_that_was_peeled_off_is_in_the_way_too(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        channel = pair.client.peeloff(pair.association)
        peer = (stack.host, pair.server.port)
        said = text(
            errno.EISCONN,
            f"an association with {peer[0]} port {peer[1]} was peeled off: "
            "use its AssociationChannel$",
        )
        calls = again(pair, stack.host)
        calls.append(lambda: pair.client.send(b"x", peer))
        for call in calls:
            with pytest.raises(OSError, match=said) as caught:
                await call()
            assert caught.value.errno == errno.EISCONN
        with pytest.raises(OSError, match=said):
            pair.client.send_nowait(b"x", peer)
        await channel.send(b"still")
        assert (await next_message(pair.server)).data == b"still"
        channel.abort()


# -- peers that are not reached ------------------------------------------------------------------


async def test_no_route(stack: StackUnderTest) -> None:
    """An IPv4 peer of an endpoint that is bound to an IPv6 address."""
    async with stack.endpoint(hosts=stack.host6) as client:
        with pytest.raises(
            OSError, match=rf"cannot associate with {FOREIGN} port 2905: "
        ) as caught:
            await client.connect(FOREIGN, 2905)
        assert not isinstance(caught.value, ConnectFailed)
        assert not client.associations


async def test_a_peer_that_refuses(stack: StackUnderTest) -> None:
    """Over UDP, the text says where the peer was asked, and what a native one needs."""
    async with stack.endpoint() as free:
        port = free.port
    peer = f"cannot associate with {stack.host} port {port}"
    refused = os.strerror(errno.ECONNREFUSED)
    said = f"{peer}: {refused}"
    if udp := getattr(stack.stack, "peer_udp_port", 0):
        said = (
            f"{peer} over UDP port {udp}: {refused} (perhaps no program listens there; a peer that "
            "uses its kernel's SCTP does not listen on UDP unless told to, on Linux by sysctl "
            f"net.sctp.udp_port={udp} net.sctp.encap_port={udp})"
        )
    async with stack.endpoint() as client, stack.listening():
        calls: list[Callable[[], Any]] = [
            lambda: client.connect(stack.host, port),
            lambda: stack.open_association(port),
        ]
        for call in calls:
            with pytest.raises(ConnectFailed) as caught:
                await call()
            assert str(caught.value) == f"[Errno {errno.ECONNREFUSED}] {said}"
            assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


async def test_a_peer_that_is_silent(stack: StackUnderTest, black_hole: str) -> None:
    options = [InitMsg(max_attempts=1, max_init_timeo=50)]
    async with stack.endpoint(hosts=()) as client:
        with pytest.raises(ConnectFailed) as caught:
            await client.connect(black_hole, 2905, options=options)
    assert caught.value.errno == errno.ETIMEDOUT
    udp = getattr(stack.stack, "peer_udp_port", 0)
    assert (f"over UDP port {udp}" in str(caught.value)) is bool(udp)
    assert ("net.sctp.encap_port" in str(caught.value)) is bool(udp)


# -- names of stacks ---------------------------------------------------------------------------


async def test_the_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIO_SCTP_STACK", "Kernel")
    said = "the environment variable TRIO_SCTP_STACK must be 'kernel' or 'userland', not 'Kernel'"
    with pytest.raises(ValueError, match=said):
        await open_endpoint()


async def test_a_stack_whose_block_was_not_entered() -> None:
    with pytest.raises(TypeError, match=r"stack must be .*async with userland\(\).* gave, not"):
        await open_endpoint(stack=userland())  # type: ignore[arg-type]


# -- associations that are gone ------------------------------------------------------------------


async def test_associations_that_have_ended_are_not_listed(stack: StackUnderTest) -> None:
    """Although nobody has read that; all of it is still there to be read, in order."""
    async with stack.listening() as server, stack.endpoint() as client:
        other = await client.connect(stack.host, server.port)
        await other.send(b"last words")
        other.abort(b"enough")
        await other.wait_ended()
        async with stack.endpoint() as second:
            stays = await second.connect(stack.host, server.port)
            with trio.fail_after(10):
                await until(lambda: len(server.associations) == 1)
            (peer,) = server.associations.values()
            assert list(server.associations) == [peer.id]
            up = await next_change(server)
            assert up.state is AssociationState.COMM_UP
            gone = up.association_id
            assert gone != peer.id
            assert gone not in list(server.associations)
            with pytest.raises(AssociationLost, match=f"has no association {gone} "):
                await server.send(b"x", gone)
            assert (await next_message(server)).data == b"last words"
            assert (await next_change(server)).state is AssociationState.COMM_LOST
            assert (await next_change(server)).association_id == peer.id
            stays.abort()


async def test_what_cannot_be_detached_goes_on(stack: StackUnderTest) -> None:
    if stack.stack == "kernel":
        pytest.skip("the kernel's sockets have descriptors")
    async with stack.listener() as listener, stack.endpoint() as endpoint:
        endpoint.listen()
        channel = await stack.open_association(listener.port)
        peer = await listener.accept()
        other = await stack.open_association(endpoint.port)
        for thing in channel, listener, endpoint:
            with pytest.raises(OptionUnsupported, match="no descriptors"):
                thing.detach()
        await channel.send(b"still here")
        assert (await peer.receive()).data == b"still here"
        assert (await next_change(endpoint)).state is AssociationState.COMM_UP
        await other.send(b"here too")
        assert (await next_message(endpoint)).data == b"here too"
        another = await stack.open_association(listener.port)
        await trio.aclose_forcefully(await listener.accept())
        for one in channel, peer, other, another:
            await trio.aclose_forcefully(one)
