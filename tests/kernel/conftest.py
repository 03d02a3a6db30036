"""Tests of the Linux kernel stack: under load, with hostile peers, with facts of the kernel."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

import trio_sctp
from trio_sctp import AssociationChannel, Endpoint

from ..support.udp_carrier import ENGINE_UDP, KERNEL_UDP
from .network import Network, network

LOOPBACK = "127.0.0.1"

ENCAPSULATION = {
    "encap_port": ENGINE_UDP,
    "udp_port": KERNEL_UDP,
    "rto_min": 100,
    "rto_initial": 200,
    "rto_max": 400,
    "sack_timeout": 20,
}
"""Sysctls; impatient, as the other end is, too: a loss costs a tenth of a second, not a second."""


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


@pytest.fixture(scope="module")
def encapsulation() -> Iterator[None]:
    """Linux speaks SCTP in UDP."""
    with changed_sysctls() as set_it:
        for name, value in ENCAPSULATION.items():
            set_it(f"net.sctp.{name}", value)
        _set_gso(1280)
        yield
        _set_gso(65536)


def _set_gso(size: int) -> None:
    """Largest packet that Linux leaves to the device to cut up: those in UDP get lost there."""
    subprocess.run(f"ip link set lo gso_max_size {size}".split(), check=True)


@pytest.fixture
def checksums() -> Iterator[None]:
    """Every packet that Linux got had a good one."""
    before = snmp("SctpChecksumErrors")
    yield
    assert snmp("SctpChecksumErrors") == before


def snmp(name: str) -> int:
    """A counter of the kernel's SCTP."""
    lines = Path("/proc/net/sctp/snmp").read_text().splitlines()
    return int(dict(line.split() for line in lines)[name])


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
