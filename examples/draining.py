"""A server that ends on SIGTERM as its clients would wish.

No new client is let in; what has arrived is answered; each association is shut down gracefully; who
takes longer than a while is aborted.  ``python -m examples.draining 2006``
"""

from __future__ import annotations

import signal
import sys

import trio

import trio_sctp
from trio_sctp import Listener

from .echo import echo


async def main(port: int, *, patience: float = 30) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            listener: Listener = await nursery.start(trio_sctp.serve, echo, port)
            print(f"Echoing on port {listener.port}", flush=True)
            await anext(signals)
            with trio.move_on_after(patience):
                await listener.drain()
    print("Drained")


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
