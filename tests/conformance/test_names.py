"""Names of hosts and services, looked up where a program may be cancelled."""

from __future__ import annotations

import contextlib
import errno
from typing import Any

import pytest
import trio
import trio.testing

import trio_sctp
from trio_sctp import (
    AssociationChange,
    AssociationState,
    ConnectFailed,
    Endpoint,
    InitMsg,
    Message,
    RtoInfo,
    open_endpoint,
    open_listener,
)

from ..support.resolver import Resolver
from .helpers import StackUnderTest, next_change, raises, take, until

IMPATIENT = [RtoInfo(initial=20, max=40, min=20), InitMsg(max_attempts=2)]


# -- hosts -------------------------------------------------------------------------------------


async def test_a_names_addresses_are_tried_in_turn(
    stack: StackUnderTest, resolver: Resolver, black_hole: str
) -> None:
    async with stack.listening() as server, stack.endpoint(hosts=()) as client:
        resolver.hosts["two.test"] = [stack.second_host, black_hole, stack.host]
        association = await client.connect("two.test", server.port, options=IMPATIENT)
        assert association.peer_addresses == [(stack.host, server.port)]
        assert list(client.associations) == [association.id]
        assert client.statistics().buffered_records == 0
        channel = await stack.open_association(server.port, hosts="two.test", options=IMPATIENT)
        assert channel.peer_addresses == [(stack.host, server.port)]
        channel.abort()


async def test_a_silent_address_does_not_hold_up_the_next(
    stack: StackUnderTest, resolver: Resolver, black_hole: str
) -> None:
    """With default options, an attempt takes minutes to find out that nobody answers."""
    async with stack.listening() as server, stack.endpoint(hosts=()) as client:
        resolver.hosts["two.test"] = [black_hole, stack.host]
        association = await client.connect("two.test", server.port)
        assert association.peer_addresses == [(stack.host, server.port)]
        assert list(client.associations) == [association.id]
        assert client.statistics().buffered_records == 0
        channel = await stack.open_association(server.port, hosts="two.test")
        assert channel.peer_addresses == [(stack.host, server.port)]
        for _ in range(2):
            assert (await next_change(server)).state is AssociationState.COMM_UP
        assert len(server.associations) == 2
        channel.abort()


async def test_addresses_that_race_leave_one_association(
    stack: StackUnderTest, resolver: Resolver
) -> None:
    async with stack.listening(hosts=[stack.host, stack.second_host]) as server:
        resolver.hosts["two.test"] = [stack.host, stack.second_host]
        channel = await stack.open_association(server.port, hosts="two.test", attempt_delay=0)
        await channel.send(b"0")
        ended = 0
        while True:
            match await server.receive():
                case AssociationChange(state=AssociationState.COMM_LOST):
                    ended += 1
                case Message(data=data):
                    break
                case _:
                    pass
        assert data == b"0"
        channel.abort()
        # A loser has come up, and gone, before the winner; or the server never heard of it.
        assert ended <= 1
        await until(lambda: not _left(server))


def _left(server: Endpoint) -> int:
    """How many associations an endpoint still has, once it has read all that came."""
    with contextlib.suppress(trio.WouldBlock):
        while True:
            server.receive_nowait()
    return len(server.associations)


async def test_with_a_local_port_they_follow_each_other(
    stack: StackUnderTest, resolver: Resolver, black_hole: str
) -> None:
    async with stack.endpoint(hosts=()) as free:
        port = free.port
    async with stack.listening() as server:
        resolver.hosts["two.test"] = [black_hole, stack.second_host, stack.host]
        channel = await stack.open_association(
            server.port, hosts="two.test", local_port=port, options=IMPATIENT, attempt_delay=0
        )
        assert channel.local_addresses[0][1] == port
        channel.abort()


async def test_when_all_fail_the_cause_is_a_group_of_all(
    stack: StackUnderTest, resolver: Resolver, black_hole: str
) -> None:
    resolver.hosts["two.test"] = [black_hole, stack.host]
    with pytest.raises(ConnectFailed) as failed:
        await stack.open_association(9, hosts="two.test", options=IMPATIENT)
    group = failed.value.__cause__
    assert isinstance(group, ExceptionGroup)
    assert {one.errno for one in group.exceptions if isinstance(one, ConnectFailed)} == {
        errno.ETIMEDOUT,
        errno.ECONNREFUSED,
    }


async def test_a_names_addresses_are_never_one_peer(
    stack: StackUnderTest, resolver: Resolver
) -> None:
    async with (
        stack.listening(hosts=[stack.host, stack.second_host]) as server,
        stack.endpoint(hosts=()) as client,
    ):
        resolver.hosts["two.test"] = [stack.host, stack.second_host]
        association = await client.connect("two.test", server.port)
        # Both are the server's, but only the first was connected to: the server tells of the other.
        assert association.status().primary.address == (stack.host, server.port)


async def test_when_all_of_them_fail_the_last_says_why(
    stack: StackUnderTest, resolver: Resolver, black_hole: str
) -> None:
    resolver.hosts["two.test"] = [black_hole, stack.host]
    async with stack.endpoint(hosts=()) as client:
        with pytest.raises(ConnectFailed) as failed:
            await client.connect("two.test", 9, options=IMPATIENT)
        assert failed.value.errno == errno.ECONNREFUSED
        assert not client.associations


async def test_names_of_one_peer_in_a_list(stack: StackUnderTest, resolver: Resolver) -> None:
    resolver.hosts |= {"one.test": [stack.host], "other.test": [stack.second_host]}
    names = ["one.test", "other.test"]
    async with stack.listening(hosts=names) as server, stack.endpoint(hosts=names) as client:
        assert {address[0] for address in server.local_addresses()} == {
            stack.host,
            stack.second_host,
        }
        association = await client.connect(names, server.port)
        assert len(association.peer_addresses) == 2


async def test_an_ipv4_endpoint_takes_the_ipv4_addresses_of_a_name(
    stack: StackUnderTest, resolver: Resolver
) -> None:
    resolver.hosts["two.test"] = [stack.host6, stack.host]
    async with stack.listening() as server, stack.endpoint() as client:
        association = await client.connect("two.test", server.port)
        assert association.peer_addresses == [(stack.host, server.port)]


async def test_a_host_that_is_not_known_is_named(stack: StackUnderTest, resolver: Resolver) -> None:
    async with stack.endpoint() as client:
        for call in (
            lambda: client.connect("nobody.test", 2905),
            lambda: client.connect_init("nobody.test", 2905),
            lambda: client.send(b"x", ("nobody.test", 2905)),
            lambda: stack.open_endpoint(hosts="nobody.test"),
            lambda: stack.open_association(2905, hosts="nobody.test"),
        ):
            with pytest.raises(OSError, match=r"nobody\.test"):
                await call()


async def test_a_name_without_addresses_is_named(stack: StackUnderTest, resolver: Resolver) -> None:
    resolver.hosts["empty.test"] = []
    async with stack.endpoint() as client:
        for call in (
            lambda: client.connect("empty.test", 2905),
            lambda: client.connect_init("empty.test", 2905),
            lambda: client.send(b"x", ("empty.test", 2905)),
            lambda: stack.open_endpoint(hosts="empty.test"),
            lambda: open_listener(0, hosts="empty.test", stack=stack.stack),
            lambda: stack.open_association(2905, hosts="empty.test"),
            lambda: stack.open_association(2905, hosts=["empty.test", stack.host]),
            lambda: stack.open_association(2905, local_hosts="empty.test"),
        ):
            with pytest.raises(OSError, match=r"'empty\.test' has no IPv4 or IPv6 address"):
                await call()


async def test_what_is_no_name(stack: StackUnderTest) -> None:
    async with stack.endpoint() as client:
        for host in "", ".", "a..b":
            with pytest.raises(ValueError, match="a host must be a name or an address, not"):
                await client.connect(host, 2905)


# -- services ----------------------------------------------------------------------------------


async def test_a_port_may_be_a_service(stack: StackUnderTest, resolver: Resolver) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        resolver.services["m3ua-test", 132] = server.port
        await client.connect(stack.host, "m3ua-test")
        assert (await next_change(server)).state is AssociationState.COMM_UP
        channel = await trio_sctp.open_association(stack.host, "m3ua-test", stack=stack.stack)
        await channel.send(b"0")
        assert (await next_change(server)).state is AssociationState.COMM_UP
        assert await take(server.receive, 1) == [0]
        channel.abort()


async def test_a_service_of_tcp_serves_as_well(stack: StackUnderTest, resolver: Resolver) -> None:
    """Few are registered for SCTP, and the numbers are the same."""
    async with stack.endpoint() as free:
        port = free.port
    resolver.services["diameter-test", 0] = port
    endpoint = await open_endpoint("diameter-test", hosts=stack.host, stack=stack.stack)
    assert endpoint.port == port
    await endpoint.aclose()
    async with await open_listener("diameter-test", hosts=stack.host, stack=stack.stack) as one:
        assert one.port == port


async def test_a_service_that_is_not_known_is_named(
    stack: StackUnderTest, resolver: Resolver
) -> None:
    async with stack.endpoint() as client:
        for call in (
            lambda: client.connect(stack.host, "no-such-service"),
            lambda: open_endpoint("no-such-service", stack=stack.stack),
            lambda: open_listener("no-such-service", stack=stack.stack),
            lambda: trio_sctp.open_association(stack.host, "no-such-service", stack=stack.stack),
        ):
            with pytest.raises(OSError, match="'no-such-service' is not a service"):
                await call()
        with pytest.raises(ValueError, match="name of a service"):
            await client.connect(stack.host, "")


async def test_a_service_without_a_port_is_named(
    stack: StackUnderTest, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*arguments: Any, **more: Any) -> list[Any]:
        return []

    monkeypatch.setattr(resolver, "getaddrinfo", nothing)
    async with stack.endpoint() as client:
        with pytest.raises(OSError, match="'no-such-service' is not a service"):
            await client.connect(stack.host, "no-such-service")


# -- cancellation ------------------------------------------------------------------------------


async def test_a_look_up_may_be_cancelled(stack: StackUnderTest, resolver: Resolver) -> None:
    async with stack.endpoint() as client:
        resolver.blocks = True
        for call in (
            lambda: client.connect("slow.test", 2905),
            lambda: client.connect_init("slow.test", 2905),
            lambda: client.connect(stack.host, "slow-service"),
            lambda: client.send(b"x", ("slow.test", 2905)),
            lambda: stack.open_endpoint(hosts="slow.test"),
            lambda: open_endpoint("slow-service", stack=stack.stack),
            lambda: stack.open_association(2905, hosts="slow.test"),
        ):
            with trio.move_on_after(0.01) as scope:
                await call()
            assert scope.cancelled_caught
        assert not client.associations
        assert len(resolver.asked) == 7


async def test_an_endpoint_that_is_closed_during_the_look_up(
    stack: StackUnderTest, resolver: Resolver
) -> None:
    resolver.hosts["late.test"] = [stack.host]
    started, go_on = trio.Event(), trio.Event()
    answer = resolver.getaddrinfo

    async def wait(*arguments: Any, **more: Any) -> Any:
        started.set()
        await go_on.wait()
        return await answer(*arguments, **more)

    resolver.getaddrinfo = wait  # type: ignore[method-assign]
    async with stack.endpoint() as client, trio.open_nursery() as nursery:
        nursery.start_soon(raises, trio.ClosedResourceError, client.connect, "late.test", 2905)
        nursery.start_soon(raises, trio.ClosedResourceError, client.send, b"x", ("late.test", 2905))
        await started.wait()
        await client.aclose()
        go_on.set()
