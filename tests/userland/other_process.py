"""Programs that run in processes of their own, on the userland stack; and how to run them.

    python -m tests.userland.other_process echo '{"carrier": "ip"}' '{"port": 0}'

The first argument of a program has the arguments of `trio_sctp.userland`, the second its own.  Each
program writes a line when it is ready.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

import trio_sctp
from trio_sctp import (
    AssociationChannel,
    AssocParams,
    ConnectFailed,
    Listener,
    PeerAddressParams,
    RtoInfo,
)

RTO_MIN, RTO_MAX, HEARTBEATS, RETRANSMISSIONS = 0.1, 0.4, 0.5, 2

IMPATIENT = [
    RtoInfo(initial=round(RTO_MIN * 1000), min=round(RTO_MIN * 1000), max=round(RTO_MAX * 1000)),
    PeerAddressParams(hbinterval=round(HEARTBEATS * 1000), pathmaxrxt=RETRANSMISSIONS),
    AssocParams(asocmaxrxt=RETRANSMISSIONS),
]
"""Options with which silence is noticed soon."""

PATIENT = [*IMPATIENT, AssocParams(asocmaxrxt=1000)]
"""Options with which silence is not minded."""


# -- the other process -------------------------------------------------------------------------


async def echo(port: int = 0, hosts: Sequence[str] = ()) -> None:
    """Send every message back to where it came from, on its stream and in its order."""

    async def handle(channel: AssociationChannel) -> None:
        async for message in channel:
            await channel.send(
                message.data,
                stream=message.stream,
                ppid=message.ppid,
                unordered=message.unordered,
            )

    async with trio.open_nursery() as nursery:
        serve = partial(trio_sctp.serve, hosts=hosts, options=PATIENT)
        listener: Listener = await nursery.start(serve, handle, port)
        print(listener.port, flush=True)


async def client(host: str, port: int, local_port: int = 0) -> None:
    """Connect, and write that it worked, or why it did not."""
    try:
        channel = await trio_sctp.open_association(
            host, port, local_port=local_port, options=PATIENT
        )
    except ConnectFailed as error:
        print(error, flush=True)
        return
    await channel.send(b"hello")
    print("up", flush=True)
    await trio.sleep_forever()


async def main() -> None:
    name, stack, arguments = sys.argv[1:]
    programs: dict[str, Callable[..., Awaitable[None]]] = {"echo": echo, "client": client}
    async with trio_sctp.userland(**json.loads(stack)):
        await programs[name](**json.loads(arguments))


# -- this one ----------------------------------------------------------------------------------


@asynccontextmanager
async def running(
    program: str, stack: dict[str, Any], *, prefix: Sequence[str] = (), **arguments: Any
) -> AsyncIterator[tuple[trio.Process, str]]:
    """Run a program until the block is left; yields it, and the first line that it wrote."""
    command = [sys.executable, "-m", __name__, program, json.dumps(stack), json.dumps(arguments)]
    process = await trio.lowlevel.open_process([*prefix, *command], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with process.stdout:
            said = (await process.stdout.receive_some()).decode().strip()
            yield process, said
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


if __name__ == "__main__":
    trio.run(main)
