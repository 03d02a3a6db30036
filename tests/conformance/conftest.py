from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest
import trio

from .helpers import KERNEL, StackUnderTest

TIMEOUT = 40


@pytest.fixture(params=[pytest.param(KERNEL, id="kernel", marks=pytest.mark.kernel)])
def stack(request: pytest.FixtureRequest) -> StackUnderTest:
    """The stack that a test runs on."""
    assert isinstance(request.param, StackUnderTest)
    return request.param


def pytest_itemcollected(item: pytest.Item) -> None:
    """Bound every test's time; done here, the failure shows where the test hung."""
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
        test = item.obj

        @functools.wraps(test)
        async def bounded(**arguments: Any) -> None:
            with trio.fail_after(TIMEOUT):
                await test(**arguments)

        item.obj = bounded
