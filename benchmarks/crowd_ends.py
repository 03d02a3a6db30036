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

import sys
from functools import partial
from statistics import quantiles
from time import perf_counter

import trio

import trio_sctp
from trio_sctp import AssociationChannel

from .ends import HOST, SCTP_PORT

PAUSE = 0.001
FLOOD = b"flood"


async def handle(channel: AssociationChannel) -> None:
    first = await channel.receive()
    if first.data == FLOOD:
        while True:
            await channel.receive_batch()
    await channel.send(first.data)
    async for message in channel:
        await channel.send(message.data)


async def flood(channel: AssociationChannel, size: int) -> None:
    data = bytes(size)
    while True:
        try:
            channel.send_nowait(data)
        except trio.WouldBlock:
            await channel.send(data)


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


async def obey(nursery: trio.Nursery) -> None:
    channel: AssociationChannel | None = None
    while line := await trio.to_thread.run_sync(sys.stdin.readline):
        command, *numbers = line.split()
        answer = 0.0
        if channel is None and command in ("flood", "ping"):
            channel = await trio_sctp.open_association(HOST, SCTP_PORT)
        match command, [int(number) for number in numbers]:
            case "listen", []:
                await nursery.start(partial(trio_sctp.serve, handle, SCTP_PORT))
            case "lateness", [count]:
                answer = await lateness(count)
            case "flood", [size]:
                assert channel is not None
                await channel.send(FLOOD)
                nursery.start_soon(flood, channel, size)
            case "ping", [count]:
                assert channel is not None
                answer = await ping(channel, count)
            case _:
                raise ValueError(f"{line!r} is not a command")
        print(answer, flush=True)


async def main(udp_port: int) -> None:
    async with (
        trio_sctp.userland(udp_port=udp_port, peer_udp_port=udp_port),
        trio.open_nursery() as nursery,
    ):
        await obey(nursery)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
