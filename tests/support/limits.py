"""A bound on a test's time, inside of its run: the failure shows where the test hung."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest
import trio


def limit(item: pytest.Item, seconds: float) -> None:
    """Bound a test, if it is an asynchronous one."""
    if not isinstance(item, pytest.Function) or not inspect.iscoroutinefunction(item.obj):
        return
    test = item.obj

    @functools.wraps(test)
    async def limited(**arguments: Any) -> None:
        with trio.fail_after(seconds):
            await test(**arguments)

    item.obj = limited
