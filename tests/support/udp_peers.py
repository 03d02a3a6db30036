"""Peers whose SCTP packets are in UDP packets, each on a UDP port of its own (RFC 6951)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import trio

from trio_sctp import (
    AssociationChannel,
    Listener,
    Option,
    open_association,
    open_listener,
    userland,
)

from .udp_proxy import free_port

HOST, OTHER_HOST = "127.0.0.1", "127.0.0.2"


@contextlib.asynccontextmanager
async def server(hosts: Sequence[str] = (HOST,)) -> AsyncIterator[tuple[Listener, int]]:
    """A server with a stack of its own, as if in another process; yields its UDP port, too."""
    port = free_port()
    async with userland(udp_port=port) as stack:
        listener = await open_listener(0, hosts=hosts, stack=stack)
        try:
            yield listener, port
        finally:
            await trio.aclose_forcefully(listener)


@contextlib.asynccontextmanager
async def channels(
    listener: Listener, stack: Any, *options: Option, hosts: Sequence[str] = (HOST,)
) -> AsyncIterator[tuple[AssociationChannel, AssociationChannel]]:
    """Both ends of an association: the one that connected on a stack, the one that was accepted."""
    there = await open_association(hosts, listener.port, options=options, stack=stack)
    here = await listener.accept()
    try:
        yield there, here
    finally:
        there.abort()
        here.abort()


async def exchange(one: AssociationChannel, other: AssociationChannel) -> None:
    """A message each way."""
    for sender, receiver in ((one, other), (other, one)):
        await sender.send(b"there")
        assert (await receiver.receive()).data == b"there"
