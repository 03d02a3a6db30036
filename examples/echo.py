"""An echo server in a nursery.  ``python -m examples.echo 2006``"""

from __future__ import annotations

import sys

import trio

import trio_sctp
from trio_sctp import AssociationChannel, Listener


async def echo(association: AssociationChannel) -> None:
    async for message in association:
        await association.send(message.data, stream=message.stream, ppid=message.ppid)


async def main(port: int) -> None:
    async with trio.open_nursery() as nursery:
        listener: Listener = await nursery.start(trio_sctp.serve, echo, port)
        print(f"Echoing on port {listener.port}")


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
