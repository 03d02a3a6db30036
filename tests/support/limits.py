"""A bound on a test's time, inside its run: the failure shows where the test hung."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest
import trio


def limit(item: pytest.Item, seconds: float) -> None:
    """Bound the time of a test, if it is asynchronous."""
    if not isinstance(item, pytest.Function) or not inspect.iscoroutinefunction(item.obj):
        return
    test = item.obj

    @functools.wraps(test)
    async def limited(**arguments: Any) -> None:
        with trio.fail_after(seconds):
            await test(**arguments)

    item.obj = limited
