"""A client that connects anew whenever it has to, and sends again what was not delivered.

Of a line longer than a packet the server may have acknowledged a part: such a line is given up.
``python -m examples.resending 127.0.0.1 2006`` sends the lines that are typed.
"""

from __future__ import annotations

import sys
from collections import deque

import trio

import trio_sctp
from trio_sctp import AssociationChannel, AssociationEnd


async def deliver(messages: trio.MemoryReceiveChannel[bytes], host: str, port: int) -> None:
    unsent: deque[bytes] = deque()

    async def session(association: AssociationChannel, last: AssociationEnd | None) -> None:
        if last is not None:
            unsent.extendleft(f.data for f in reversed(last.undelivered) if f.complete)
        async with association.while_up():
            while True:
                while unsent:
                    await association.send(unsent[0])
                    unsent.popleft()
                try:
                    unsent.append(await messages.receive())
                except trio.EndOfChannel:
                    break
            await association.wait_sent()

    await trio_sctp.reconnect(session, host, port)


async def main(host: str, port: int) -> None:
    lines, messages = trio.open_memory_channel[bytes](0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deliver, messages, host, port)
        async with lines:
            while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
                await lines.send(line.encode())


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]))
