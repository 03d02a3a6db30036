from __future__ import annotations

import pytest

from ..limits import limit

TIMEOUT = 40


def pytest_itemcollected(item: pytest.Item) -> None:
    """Bound the time of tests over real sockets."""
    if isinstance(item, pytest.Function) and "autojump_clock" not in item.fixturenames:
        limit(item, TIMEOUT)
