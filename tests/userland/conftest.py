from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest
import trio

TIMEOUT = 40


def pytest_itemcollected(item: pytest.Item) -> None:
    """Bound the time of tests over real sockets, so that the failure shows where one hung."""
    if (
        isinstance(item, pytest.Function)
        and inspect.iscoroutinefunction(item.obj)
        and "autojump_clock" not in item.fixturenames
    ):
        test = item.obj

        @functools.wraps(test)
        async def bounded(**arguments: Any) -> None:
            with trio.fail_after(TIMEOUT):
                await test(**arguments)

        item.obj = bounded
