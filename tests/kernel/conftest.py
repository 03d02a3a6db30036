"""Tests of the Linux kernel stack: under load, with hostile peers, with facts of the kernel."""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

import trio_sctp
from trio_sctp import AssociationChannel, Endpoint

from .network import Network, network

LOOPBACK = "127.0.0.1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.kernel)


@asynccontextmanager
async def channel_pair(
    **kwargs: object,
) -> AsyncIterator[tuple[AssociationChannel, AssociationChannel]]:
    """Two ends of one association, each with a socket of its own: connecting, accepting."""
    listener = await trio_sctp.open_listener(0, hosts=LOOPBACK, **kwargs)  # type: ignore[arg-type]
    async with listener:
        connecting = await trio_sctp.open_association(
            LOOPBACK,
            listener.port,
            **kwargs,  # type: ignore[arg-type]
        )
        accepting = await listener.accept()
    try:
        yield connecting, accepting
    finally:
        connecting.abort()
        accepting.abort()


@asynccontextmanager
async def open_server(**kwargs: object) -> AsyncIterator[Endpoint]:
    """A listening endpoint, which aborts what is left when the block is left."""
    endpoint = await trio_sctp.open_endpoint(hosts=LOOPBACK, **kwargs)  # type: ignore[arg-type]
    endpoint.listen()
    try:
        yield endpoint
    finally:
        await trio.aclose_forcefully(endpoint)


def kernel_associations() -> list[str]:
    """The associations of this network namespace, a line each."""
    return Path("/proc/net/sctp/assocs").read_text().splitlines()[1:]


def set_sysctl(name: str, value: object) -> None:
    Path("/proc/sys", *name.split(".")).write_text(str(value))


@contextmanager
def changed_sysctls() -> Iterator[Callable[[str, object], None]]:
    """Sets sysctls for the length of a block."""
    before: dict[str, str] = {}

    def set_it(name: str, value: object) -> None:
        before.setdefault(name, Path("/proc/sys", *name.split(".")).read_text().strip())
        set_sysctl(name, value)

    try:
        yield set_it
    finally:
        for name, value in reversed(before.items()):  # some are the bounds of others
            set_sysctl(name, value)


@pytest.fixture
def sysctl() -> Iterator[Callable[[str, object], None]]:
    """Sets a sysctl for the length of a test."""
    with changed_sysctls() as set_it:
        yield set_it


@pytest.fixture(scope="session")
def _hosts() -> Iterator[Network]:
    with network() as net:
        yield net


@pytest.fixture
def net(_hosts: Network) -> Iterator[Network]:
    """Two hosts with two links between them, whole again after each test."""
    yield _hosts
    _hosts.mend()


def resident_kib() -> int:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


def descriptors() -> int:
    """Open descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))
