"""The client of docs/howto/several-udp-ports.md, over UDP."""

from __future__ import annotations

import functools
from typing import Any

import trio

import trio_sctp
from trio_sctp import AssociationChannel

from ..support.udp_proxy import free_port
from .blocks import ROOT, runs


async def test_a_client_of_two_servers_on_one_machine(nursery: trio.Nursery) -> None:
    received, messages = trio.open_memory_channel[tuple[int, bytes]](2)

    async def keep(udp_port: int, association: AssociationChannel) -> None:
        async for message in association:
            await received.send((udp_port, message.data))

    async def serve(
        udp_port: int, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        async with trio_sctp.userland(udp_port=udp_port), trio.open_nursery() as servers:
            await servers.start(trio_sctp.serve, functools.partial(keep, udp_port), 2905)
            task_status.started()

    (run,) = (run for run in runs(ROOT / "docs/howto/several-udp-ports.md") if run.reason)
    source = run.programs[0].source.replace("192.0.2.1", "127.0.0.1")
    first, second = free_port(), free_port()
    for written, meant in (("port=9899", f"port={first}"), ("(9900)", f"({second})")):
        assert source.count(written) == 1
        source = source.replace(written, meant)
    for udp_port in (first, second):
        await nursery.start(serve, udp_port)
    names: dict[str, Any] = {"__name__": "block"}
    exec(source, names)
    await names["main"]()
    assert {await messages.receive(), await messages.receive()} == {
        (first, b"to UDP port 9899"),
        (second, b"to UDP port 9900"),
    }
    nursery.cancel_scope.cancel()
