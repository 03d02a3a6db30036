"""The two programs of `scale`: one is the server, the other has all of the clients.

Each reads commands, one a line, and answers each with a number on a line when it is done:

    listen              be the server; answers 0
    memory              answers the bytes in memory
    tasks COUNT         start COUNT tasks that sleep for ever, and do nothing else
    connect COUNT       set up COUNT associations, each on a socket and SCTP port of its own;
                        answers the seconds that it took
    echo COUNT SPREAD   make COUNT round trips, one by one, in turn on the first SPREAD
                        associations; answers the seconds that it took
"""

from __future__ import annotations

import gc
import resource
from functools import partial
from time import perf_counter

import trio
import trio.testing

import trio_sctp
from trio_sctp import AssociationChannel, InitMsg, PeerAddressFlags, PeerAddressParams

from . import ours
from .ends import HOST, SCTP_PORT

AT_ONCE = 200  # clients that connect at the same time
BACKLOG = 20_000  # clients are up before they are accepted
FIRST_PORT = 10_000  # of the clients: there are fewer ports that are given to those who ask for any
MESSAGE = bytes(64)
OPTIONS = (
    InitMsg(num_ostreams=10, max_instreams=2048),
    # Heartbeats would disturb what is measured.
    PeerAddressParams(flags=PeerAddressFlags.HB_DISABLE),
)


def resident() -> float:
    """The bytes of this process that are in memory."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


async def echo(channel: AssociationChannel) -> None:
    async for message in channel:
        await channel.send(message.data)


async def connect(channels: list[AssociationChannel], count: int) -> float:
    limiter = trio.CapacityLimiter(AT_ONCE)

    # The server is measured, and clients that collect garbage would be slower than it is.
    gc.disable()

    async def one(port: int) -> None:
        async with limiter:
            channel = await trio_sctp.open_association(
                HOST, SCTP_PORT, local_port=port, options=OPTIONS
            )
        channels.append(channel)

    started = perf_counter()
    first = FIRST_PORT + len(channels)
    async with trio.open_nursery() as nursery:
        for port in range(first, first + count):
            nursery.start_soon(one, port)
    return perf_counter() - started


async def exchange(channels: list[AssociationChannel], count: int) -> float:
    started = perf_counter()
    for number in range(count):
        channel = channels[number % len(channels)]
        await channel.send(MESSAGE)
        await channel.receive()
    return perf_counter() - started


channels: list[AssociationChannel] = []


async def carry_out(command: str, numbers: list[int], nursery: trio.Nursery) -> float:
    match command, numbers:
        case "listen", []:
            serve = partial(trio_sctp.serve, options=OPTIONS, backlog=BACKLOG)
            await nursery.start(serve, echo, SCTP_PORT)
        case "tasks", [count]:
            for _ in range(count):
                nursery.start_soon(trio.sleep_forever)
        case "memory", []:
            await trio.testing.wait_all_tasks_blocked()  # until the last clients are accepted
            return resident()
        case "connect", [count]:
            return await connect(channels, count)
        case "echo", [count, spread]:
            return await exchange(channels[:spread], count)
        case _:
            raise ValueError(f"{command!r} with {numbers} is not a command")
    return 0.0


if __name__ == "__main__":
    ours.main(carry_out)
