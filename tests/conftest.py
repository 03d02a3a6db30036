from __future__ import annotations

import os
import socket

import pytest

IPPROTO_SCTP = 132


@pytest.hookimpl(trylast=True)  # Once -m has taken out what will not run.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    kernel_tests = [item for item in items if item.get_closest_marker("kernel")]
    if not kernel_tests or _kernel_has_sctp():
        return
    reason = "this kernel has no SCTP: run `make test`, or pytest under tools/with-kernel-sctp"
    if os.environ.get("TRIO_SCTP_REQUIRE_KERNEL"):
        raise pytest.UsageError(f"TRIO_SCTP_REQUIRE_KERNEL is set, but {reason}")
    for item in kernel_tests:
        item.add_marker(pytest.mark.skip(reason=reason))


def _kernel_has_sctp() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, IPPROTO_SCTP).close()
    except OSError:
        return False
    return True
