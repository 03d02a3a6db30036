from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from .helpers import KERNEL, Pair, StackUnderTest

TIMEOUT = 40


@pytest.fixture(params=[pytest.param(KERNEL, id="kernel", marks=pytest.mark.kernel)])
def stack(request: pytest.FixtureRequest) -> StackUnderTest:
    """The stack that a test runs on."""
    assert isinstance(request.param, StackUnderTest)
    return request.param


@pytest.fixture
async def pair(stack: StackUnderTest) -> AsyncIterator[Pair]:
    """Two endpoints with one association, which is up; both queues are empty."""
    async with stack.pair() as pair:
        yield pair


def pytest_itemcollected(item: pytest.Item) -> None:
    """Bound every test's time; done here, the failure shows where the test hung."""
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
        test = item.obj

        @functools.wraps(test)
        async def bounded(**arguments: Any) -> None:
            with trio.fail_after(TIMEOUT):
                await test(**arguments)

        item.obj = bounded
