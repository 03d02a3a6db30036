"""Small messages beside a large one: how long they take, with and without interleaving.

    python -m examples.interleaving          in virtual time, on a simulated link of 10 Mbit/s

A file of 8 MiB is under way on stream 0, and every half second a command is sent on stream 1.
Without interleaving (RFC 8260) a command leaves when the whole file has left.  With it, and with a
scheduler that takes each stream in turn, it leaves with the next packet.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio
import trio.testing

from trio_sctp import (
    AssociationChannel,
    Interleaving,
    Option,
    Scheduler,
    SendBuffer,
    StreamScheduler,
)
from trio_sctp.testing import Link, association_pair

FILE, COMMANDS = 0, 1  # streams
SIZE = 2**23
NUMBER = 5

PLAIN: Sequence[Option] = [SendBuffer(2 * SIZE), StreamScheduler(Scheduler.ROUND_ROBIN)]
INTERLEAVED: Sequence[Option] = [*PLAIN, Interleaving(True)]


async def send_commands(association: AssociationChannel) -> None:
    for _ in range(NUMBER):
        await trio.sleep(0.5)
        await association.send(str(trio.current_time()).encode(), stream=COMMANDS)


async def longest_wait(options: Sequence[Option]) -> float:
    """Seconds that the slowest of the commands was on its way."""
    waits: list[float] = []
    link = Link(bandwidth=10e6, delay=0.01)
    async with (
        association_pair(options=options, default_link=link) as (sender, receiver),
        trio.open_nursery() as nursery,
    ):
        await sender.send(bytes(SIZE), stream=FILE)
        nursery.start_soon(send_commands, sender)
        while len(waits) < NUMBER:
            message = await receiver.receive()
            if message.stream == COMMANDS:
                waits.append(trio.current_time() - float(message.data))
    return max(waits)


async def main() -> None:
    for name, options in (("without interleaving", PLAIN), ("with interleaving", INTERLEAVED)):
        print(f"{name:<20}  a command takes up to {await longest_wait(options):.1f} s")


if __name__ == "__main__":
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.0))
