from __future__ import annotations

import dataclasses
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
import trio

from trio_sctp import userland
from trio_sctp.testing import simulated_network

from ..support.all_stacks import ON_ALL_STACKS
from ..support.limits import limit
from ..support.resolver import Resolver
from ..support.udp_proxy import free_port
from .helpers import KERNEL, Pair, StackUnderTest

TIMEOUT = 40


UDP_PORT = free_port()


@pytest.fixture(params=ON_ALL_STACKS)
async def stack(request: pytest.FixtureRequest) -> AsyncIterator[StackUnderTest]:
    """The stack that a test runs on; only the simulated one's time is not real."""
    if request.param == "kernel":
        yield KERNEL
        return
    if request.param == "userland":
        async with userland(udp_port=UDP_PORT, peer_udp_port=UDP_PORT) as stack:
            yield dataclasses.replace(KERNEL, stack=stack)
        return
    async with simulated_network() as network:
        host = network.host(KERNEL.host, KERNEL.second_host, KERNEL.host6)
        yield dataclasses.replace(KERNEL, stack=host)


@pytest.fixture
def black_hole(request: pytest.FixtureRequest) -> Iterator[str]:
    """An address that packets go to and nothing comes back from."""
    if "simulated" in request.node.name:
        yield "198.51.100.99"
    elif "userland" in request.node.name:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.99", UDP_PORT))
            yield "127.0.0.99"
    else:
        yield request.getfixturevalue("kernel_black_hole")


@pytest.fixture
async def pair(stack: StackUnderTest) -> AsyncIterator[Pair]:
    """Two endpoints with one association, which is up; both queues are empty."""
    async with stack.pair() as pair:
        yield pair


@pytest.fixture
async def resolver() -> Resolver:
    """Names that a test gives to addresses."""
    resolver = Resolver()
    trio.socket.set_custom_hostname_resolver(resolver)  # for this test's run of Trio
    return resolver


def _parameters(item: pytest.Item) -> list[object]:
    return list(item.callspec.params.values()) if hasattr(item, "callspec") else []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that is for one stack alone says why."""
    for item in items:
        marker = item.get_closest_marker("kernel_only")
        if marker is not None and "kernel" not in _parameters(item):
            item.add_marker(pytest.mark.skip(reason=f"kernel only: {marker.args[0]}"))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Bound every test's time."""
    limit(item, TIMEOUT)
