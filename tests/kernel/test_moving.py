"""Addresses that come and go in an association of the userland stack and Linux (RFC 5061)."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
import trio

import trio_sctp
from trio_sctp import (
    AsconfSupported,
    AsconfWithoutAuth,
    Association,
    AuthSupported,
    ConnectFailed,
    Endpoint,
    EventSubscription,
    Option,
    PeerAddressState,
    PrimaryAddress,
    RtoInfo,
    SetPeerPrimaryAddress,
    open_endpoint,
)
from trio_sctp._kernel._libc import network_namespace

from ..conformance.helpers import KERNEL, StackUnderTest, until
from ..conformance.test_address_changes import change, hosts, message
from ..support.udp_carrier import ENGINE_UDP, KERNEL_UDP
from .network import Network, set_sysctls

pytestmark = pytest.mark.usefixtures("encapsulation", "checksums")

FIRST, SECOND = KERNEL.host, KERNEL.second_host
OPTIONS: list[Option] = [
    RtoInfo(initial=200, max=400, min=100),
    EventSubscription(address_event=True),
]
LINUX: list[Option] = [AsconfSupported(True)]
"""What Linux has to be told."""

SECURE: list[Option] = [AuthSupported(True)]
PLAIN: list[Option] = [AuthSupported(False)]
"""The guest's Linux takes ASCONF chunks without authentication too."""


class Ends(NamedTuple):
    """An association, whose one end moves."""

    mover: Endpoint
    association: Association
    peer: Endpoint
    other: Association
    """The handle of the end that does not move."""


@asynccontextmanager
async def associated(mover: str, connects: str, secure: bool = True) -> AsyncIterator[Ends]:
    """An association of "userland" and "kernel"; says which of them moves, and which connects."""
    async with trio_sctp.userland(udp_port=ENGINE_UDP, peer_udp_port=KERNEL_UDP) as userland:
        stacks = {"userland": dataclasses.replace(KERNEL, stack=userland), "kernel": KERNEL}
        options: dict[str, list[Option]] = {
            "userland": OPTIONS if secure else [*OPTIONS, AsconfWithoutAuth(True)],
            "kernel": [*OPTIONS, *LINUX, *(SECURE if secure else PLAIN)],
        }
        accepts = "kernel" if connects == "userland" else "userland"
        async with (
            stacks[accepts].listening(options=options[accepts]) as server,
            stacks[connects].endpoint(options=options[connects]) as client,
        ):
            handles = await stacks[connects].associate(client, server)
            ends = dict(
                zip((connects, accepts), zip((client, server), handles, strict=True), strict=True)
            )
            other = "kernel" if mover == "userland" else "userland"
            yield Ends(*ends[mover], *ends[other])


ROLES = [(a, b) for a in ("userland", "kernel") for b in ("userland", "kernel")]


@pytest.mark.parametrize("secure", [True, False], ids=["AUTH", "without AUTH"])
@pytest.mark.parametrize(("mover", "connects"), ROLES)
async def test_an_end_moves_and_nothing_is_lost(mover: str, connects: str, secure: bool) -> None:
    count = 300
    async with associated(mover, connects, secure) as ends:
        assert ends.association.get_option(AsconfSupported).enabled

        async def send(association: Association) -> None:
            for n in range(count):
                await association.send(b"%d" % n * 100)

        async def take(endpoint: Endpoint) -> None:
            for n in range(count):
                await message(endpoint, b"%d" % n * 100)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, ends.association)
            nursery.start_soon(send, ends.other)
            nursery.start_soon(take, ends.mover)
            ends.mover.add_address(SECOND)
            await change(ends.peer, PeerAddressState.ADDR_ADDED, SECOND)
            ends.mover.remove_address(FIRST)
            nursery.start_soon(take, ends.peer)
        assert hosts(ends.other.peer_addresses) == {SECOND}
        assert hosts(ends.association.local_addresses) == {SECOND}
        await ends.association.send(b"after")
        assert (await message(ends.peer, b"after")).address[0] == SECOND
        await ends.other.send(b"and back")
        await message(ends.mover, b"and back")
        await ends.association.eof()
        assert (await ends.other.wait_ended()).graceful


@pytest.mark.parametrize(("mover", "connects"), ROLES)
async def test_an_address_is_preferred(mover: str, connects: str) -> None:
    async with associated(mover, connects) as ends:
        ends.mover.add_address(SECOND)
        await change(ends.peer, PeerAddressState.ADDR_ADDED, SECOND)
        await change(ends.peer, PeerAddressState.ADDR_CONFIRMED, SECOND)
        second = (SECOND, ends.mover.port)
        ends.association.set_option(SetPeerPrimaryAddress(second))
        await change(ends.peer, PeerAddressState.ADDR_MADE_PRIM, SECOND)
        assert ends.other.get_option(PrimaryAddress) == PrimaryAddress(second)
        await ends.other.send(b"there")
        await message(ends.mover, b"there")


async def test_linux_that_offers_it_without_authentication_is_refused() -> None:
    """RFC 5061 section 6."""
    options: list[Any] = [*OPTIONS, *LINUX, *PLAIN]
    async with (
        trio_sctp.userland(udp_port=ENGINE_UDP, peer_udp_port=KERNEL_UDP) as userland,
        KERNEL.endpoint(options=options) as kernel,
    ):
        ours = StackUnderTest(stack=userland, host=FIRST, second_host=SECOND, host6="::1")
        async with ours.listening() as endpoint:
            kernel.listen()
            with pytest.raises(ConnectFailed):
                await kernel.connect(FIRST, endpoint.port)
            with pytest.raises(ConnectFailed):
                await endpoint.connect(FIRST, kernel.port)
            assert not endpoint.associations


# -- from one link to another ------------------------------------------------------------------


@pytest.fixture
def in_udp(net: Network) -> Iterator[Network]:
    """Two hosts: the right one's Linux speaks SCTP in UDP, and authenticates."""
    before = {"auth_enable": 0, "encap_port": 0, "udp_port": 0}
    now = {"auth_enable": 1, "encap_port": ENGINE_UDP, "udp_port": KERNEL_UDP}
    set_sysctls("right", now)
    yield net
    set_sysctls("right", before)


def on_the_left(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test on the left host, in a thread: threads are what enters a namespace."""

    def run() -> None:
        with open("/run/netns/left") as file, network_namespace(file.fileno()):
            trio.run(test)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()


@pytest.mark.parametrize("mover", ["userland", "kernel"])
def test_an_end_moves_to_another_link(in_udp: Network, mover: str) -> None:
    """The userland stack also if the old link is cut before.  Linux asks from the old address only,
    so its link is cut when the peer knows the new one."""
    net, count = in_udp, 300
    left, right = net.left_hosts, net.right_hosts

    async def test() -> None:
        with trio.fail_after(30):
            async with (
                trio_sctp.userland(udp_port=ENGINE_UDP, peer_udp_port=KERNEL_UDP) as stack,
                await open_endpoint(
                    hosts=left[:1] if mover == "userland" else left, options=OPTIONS, stack=stack
                ) as ours,
                await open_endpoint(
                    hosts=right[:1] if mover == "kernel" else right,
                    options=[*OPTIONS, net.right],
                    stack="kernel",
                ) as linux,
            ):
                ours.listen()
                linux.listen()
                hosts = right[:1] if mover == "kernel" else right
                association = await ours.connect(hosts, linux.port)
                await until(lambda: linux.associations)
                (other,) = linux.associations.values()

                async def send(association: Association) -> None:
                    for n in range(count):
                        await association.send(b"%d" % n * 100)

                async def take(endpoint: Endpoint) -> None:
                    for n in range(count):
                        await message(endpoint, b"%d" % n * 100)

                if mover == "kernel":
                    linux.add_address(right[1])
                    await change(ours, PeerAddressState.ADDR_CONFIRMED, right[1])
                async with trio.open_nursery() as nursery:
                    for handle, endpoint in ((association, ours), (other, linux)):
                        nursery.start_soon(send, handle)
                        nursery.start_soon(take, endpoint)
                    net.down(0)
                    if mover == "userland":
                        ours.add_address(left[1])
                        ours.remove_address(left[0])
                    else:
                        linux.remove_address(right[0])
                moved = association if mover == "userland" else other
                new = left[1] if mover == "userland" else right[1]
                assert [address[0] for address in moved.local_addresses] == [new]

    on_the_left(test)
