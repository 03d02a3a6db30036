"""The programs of `crowd`: a server, a peer that floods it, and a peer that asks now and then.

Each reads commands, one a line, and answers each with a number on a line when it is done:

    listen          be the server: a peer that floods is read from, others get back what they send
    lateness COUNT  sleep COUNT times for a millisecond; answers how late the 99th percentile of
                    them woke up, in milliseconds
    flood SIZE      send messages of this size for ever
    ping COUNT      make COUNT round trips, one each millisecond; answers the 99th percentile of
                    them, in milliseconds
"""

from __future__ import annotations

from functools import partial
from statistics import quantiles
from time import perf_counter

import trio

import trio_sctp
from trio_sctp import AssociationChannel

from . import ours
from .ends import HOST, SCTP_PORT
from .udp_ours import send_nowait

PAUSE = 0.001
FLOOD = b"flood"
quiet: list[AssociationChannel] = []  # the association that asks, once there is one


async def handle(channel: AssociationChannel) -> None:
    first = await channel.receive()
    if first.data == FLOOD:
        while True:
            await channel.receive_batch()
    await channel.send(first.data)
    async for message in channel:
        await channel.send(message.data)


async def lateness(count: int) -> float:
    late: list[float] = []
    for _ in range(count):
        due = trio.current_time() + PAUSE
        await trio.sleep_until(due)
        late.append(trio.current_time() - due)
    return quantiles(late, n=100)[98] * 1000


async def ping(channel: AssociationChannel, count: int) -> float:
    times: list[float] = []
    for _ in range(count):
        await trio.sleep(PAUSE)
        started = perf_counter()
        await channel.send(bytes(64))
        await channel.receive()
        times.append(perf_counter() - started)
    return quantiles(times, n=100)[98] * 1000


async def carry_out(command: str, numbers: list[int], nursery: trio.Nursery) -> float:
    match command, numbers:
        case "listen", []:
            await nursery.start(partial(trio_sctp.serve, handle, SCTP_PORT))
        case "lateness", [count]:
            return await lateness(count)
        case "flood", [size]:
            channel = await trio_sctp.open_association(HOST, SCTP_PORT)
            await channel.send(FLOOD)
            nursery.start_soon(send_nowait, channel, bytes(size))
        case "ping", [count]:
            if not quiet:
                quiet.append(await trio_sctp.open_association(HOST, SCTP_PORT))
            return await ping(quiet[0], count)
        case _:
            raise ValueError(f"{command!r} with {numbers} is not a command")
    return 0.0


if __name__ == "__main__":
    ours.main(carry_out)
