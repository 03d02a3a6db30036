from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import trio_sctp

from .support.limits import limit

ROOT = Path(__file__).parents[1]
IPPROTO_SCTP = 132

HUNG = 180
"""Seconds, on a machine that does other work besides, after which a test has surely hung."""


def pytest_configure() -> None:
    """Have Ctrl-C raise: a shell that starts a job in the background has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sources, compiled = ROOT.glob("trio_sctp/_engine/*.py"), ROOT / "trio_sctp/_engine/compiled"
    if trio_sctp.__compiled__ and compiled.exists():
        built = compiled.stat().st_mtime
        if any(path.stat().st_mtime > built for path in sources):
            raise pytest.UsageError(
                "the engine was changed after it was compiled: run `make compiled`, or set "
                "TRIO_SCTP_PURE=1"
            )


@pytest.hookimpl(trylast=True)  # Once -m has taken out what will not run.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    kernel_tests = [item for item in items if item.get_closest_marker("kernel")]
    for item in kernel_tests:
        limit(item, HUNG)
    if not kernel_tests or _kernel_has_sctp():
        return
    reason = "this kernel has no SCTP: run `make test`, or pytest under tools/with-kernel-sctp"
    if os.environ.get("TRIO_SCTP_REQUIRE_KERNEL"):
        raise pytest.UsageError(f"TRIO_SCTP_REQUIRE_KERNEL is set, but {reason}")
    for item in kernel_tests:
        item.add_marker(pytest.mark.skip(reason=reason))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A peer that is not installed skips its tests, or fails them where all must run."""
    peers = [name for marker in item.iter_markers("peer") for name in marker.args]
    missing = [name for name in peers if not _is_installed(name)]
    if missing:
        reason = f"not installed: {', '.join(missing)} (`make peers` does that)"
        if os.environ.get("TRIO_SCTP_REQUIRE_PEERS"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def _is_installed(peer: str) -> bool:
    """Whether there is such a program, or such a module for this Python."""
    if shutil.which(peer) is not None:
        return True
    return peer.isidentifier() and importlib.util.find_spec(peer) is not None


def _kernel_has_sctp() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, IPPROTO_SCTP).close()
    except OSError:
        return False
    return True


@pytest.fixture(params=[pytest.param("kernel", marks=pytest.mark.kernel), "userland"])
def default_stack(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What programs that name no stack use, in this process and in those that it starts."""
    monkeypatch.setenv("TRIO_SCTP_STACK", request.param)


@pytest.fixture
def black_hole(kernel_black_hole: str) -> str:
    """An address that packets go to and nothing comes back from."""
    return kernel_black_hole


@pytest.fixture
def kernel_black_hole() -> Iterator[str]:
    """An address that packets go to and nothing comes back from."""
    try:
        for command in (
            "ip link add hole0 type dummy",
            "ip address add 198.51.100.1/24 dev hole0",
            "ip link set hole0 up",
        ):
            subprocess.run(command.split(), check=True)
        yield "198.51.100.99"
    finally:
        subprocess.run(["ip", "link", "delete", "hole0"], check=True)
