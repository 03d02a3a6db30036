"""Two userland stacks of one process, as if they were of two, and an association between them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import trio

from trio_sctp import AssociationChannel, Userland, open_association, open_listener, userland

from .udp_proxy import free_port

HOST = "127.0.0.1"


@contextlib.asynccontextmanager
async def two_stacks() -> AsyncIterator[tuple[Userland, Userland]]:
    """Run a server's stack and a client's, as if in two processes."""
    port = free_port()
    async with userland(udp_port=port) as server, userland(peer_udp_port=port) as client:
        yield server, client


@contextlib.asynccontextmanager
async def channels(
    server: Userland, client: Userland, host: str = HOST, hosts: str | tuple[()] = HOST
) -> AsyncIterator[tuple[AssociationChannel, AssociationChannel]]:
    """Open an association between two stacks; yields the client's end and the server's end."""
    async with await open_listener(0, hosts=hosts, stack=server) as listener:
        there = await open_association(host, listener.port, stack=client)
        here = await listener.accept()
    try:
        yield there, here
    finally:
        await trio.aclose_forcefully(there)
        await trio.aclose_forcefully(here)
