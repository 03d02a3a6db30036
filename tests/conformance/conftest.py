from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from trio_sctp.testing import simulated_network

from .. import virtual_time
from .helpers import KERNEL, Pair, StackUnderTest

TIMEOUT = 40


@pytest.fixture(
    params=[
        pytest.param("kernel", marks=pytest.mark.kernel),
        pytest.param("simulated", marks=pytest.mark.trio(run=virtual_time.run)),
    ]
)
async def stack(request: pytest.FixtureRequest) -> AsyncIterator[StackUnderTest]:
    """The stack that a test runs on, each in its own time: the kernel's is real."""
    if request.param == "kernel":
        yield KERNEL
        return
    async with simulated_network() as network:
        host = network.host(KERNEL.host, KERNEL.second_host, KERNEL.host6)
        yield dataclasses.replace(KERNEL, stack=host)


@pytest.fixture
def black_hole(request: pytest.FixtureRequest) -> str:
    """An address that packets go to and nothing comes back from."""
    if "simulated" in request.node.name:
        return "198.51.100.99"
    return request.getfixturevalue("kernel_black_hole")  # type: ignore[no-any-return]


@pytest.fixture
async def pair(stack: StackUnderTest) -> AsyncIterator[Pair]:
    """Two endpoints with one association, which is up; both queues are empty."""
    async with stack.pair() as pair:
        yield pair


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that is for one stack alone says why."""
    for item in items:
        marker = item.get_closest_marker("kernel_only")
        if marker is not None and "simulated" in item.name:
            item.add_marker(pytest.mark.skip(reason=f"kernel only: {marker.args[0]}"))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Bound every test's time; done here, the failure shows where the test hung."""
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
        test = item.obj

        @functools.wraps(test)
        async def bounded(**arguments: Any) -> None:
            with trio.fail_after(TIMEOUT):
                await test(**arguments)

        item.obj = bounded
