"""The stacks that the programs of the field run on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
import trio

from examples import failover_demo
from examples.failover_demo import Paths
from trio_sctp import AssociationChannel, ConnectFailed, Option, userland
from trio_sctp.testing import SimulatedNetwork, simulated_network

from ..kernel.network import network as kernel_hosts
from ..support.all_stacks import ON_ALL_STACKS
from ..support.limits import limit
from ..support.udp_proxy import free_port

HOSTS = "127.0.0.1", "127.0.0.2"
TIMEOUT = 300
"""Seconds, in virtual time on the simulated network."""


@pytest.fixture(params=ON_ALL_STACKS)
async def stack(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SimulatedNetwork | None]:
    """Programs that name no stack use this one; of the simulated one the network."""
    if request.param == "kernel":
        monkeypatch.setenv("TRIO_SCTP_STACK", "kernel")
        yield None
    elif request.param == "userland":
        port = free_port()
        async with userland(udp_port=port, peer_udp_port=port):
            yield None
    else:
        async with simulated_network() as network, network.host(*HOSTS):
            yield network


@pytest.fixture
async def programs(stack: SimulatedNetwork | None) -> AsyncIterator[trio.Nursery]:
    """Runs programs on the stack, beside a test and until its end."""
    async with trio.open_nursery() as nursery:
        yield nursery
        nursery.cancel_scope.cancel()


async def until_up(connect: Callable[[], Awaitable[AssociationChannel]]) -> None:
    """Wait until a program that was just started accepts what ``connect`` opens."""
    while True:
        try:
            await trio.aclose_forcefully(await connect())
        except ConnectFailed:
            await trio.sleep(0.001)
        else:
            return


@dataclass
class Homes:
    """Two hosts with two addresses each, and what their sockets have to be opened with."""

    paths: Paths
    server_options: list[Option] = field(default_factory=list)
    client_options: list[Option] = field(default_factory=list)


@pytest.fixture(params=ON_ALL_STACKS)
async def homes(request: pytest.FixtureRequest) -> AsyncIterator[Homes]:
    if request.param == "kernel":
        with kernel_hosts(2) as net:
            hosts = net.right_hosts, net.left_hosts
            paths = Paths("kernel", "kernel", *hosts, lambda: net.down(0), lambda: net.up(0))
            yield Homes(paths, [net.right], [net.left])
    elif request.param == "userland":
        async with failover_demo.udp_paths() as paths:
            yield Homes(paths)
    else:
        async with failover_demo.simulated_paths() as paths:
            yield Homes(paths)


def pytest_itemcollected(item: pytest.Item) -> None:
    limit(item, TIMEOUT)
