from __future__ import annotations

import sys

import pytest

from ..support.limits import limit

TIMEOUT = 40

# Network namespaces are of Linux; Windows cannot stop and continue processes.
collect_ignore = {"linux": [], "win32": ["test_processes.py", "test_raw_ip.py"]}.get(
    sys.platform, ["test_raw_ip.py"]
)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Bound the time of tests over real sockets."""
    if isinstance(item, pytest.Function) and "autojump_clock" not in item.fixturenames:
        limit(item, TIMEOUT)
