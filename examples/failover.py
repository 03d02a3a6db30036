"""A client of a multi-homed server that tells of its paths while it receives.

A path that goes silent is given up within three seconds, and so is the server when all are.
``python -m examples.failover 2006 127.0.0.1 127.0.0.2``
"""

from __future__ import annotations

import sys

import trio

import trio_sctp
from trio_sctp import AssociationChannel, PeerAddressChange


async def monitor(association: AssociationChannel) -> None:
    async with association.events() as events:
        async for event in events:
            if isinstance(event, PeerAddressChange):
                print(f"{event.address[0]}: {event.state}")


async def main(port: int, *hosts: str) -> None:
    options = trio_sctp.timers(detect=3)
    association = await trio_sctp.open_association(hosts, port, options=options)
    async with association, association.while_up(), trio.open_nursery() as nursery:
        nursery.start_soon(monitor, association)
        async for message in association:
            print(message.data)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), *sys.argv[2:])
