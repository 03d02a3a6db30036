"""Two associations at once from one socket, the third example of gen_sctp's manual.

``connect_init`` does not wait: each outcome, COMM_UP or CANT_ASSOC, comes as an event, between the
messages of associations that are up already.  The program ends when both associations have ended,
or when nothing has come for a while.
"""

from __future__ import annotations

import argparse

import trio

import trio_sctp
from trio_sctp import AssociationChange, AssociationState, Inbox, InitMsg, Message, Window


async def client(peers: list[tuple[str, int]], idle: float) -> None:
    async with await trio_sctp.open_endpoint(options=[InitMsg(num_ostreams=5)]) as endpoint:
        names: dict[int, str] = {}
        for number, (host, port) in enumerate(peers, 1):
            association = await endpoint.connect_init(host, port)
            names[association.id] = f"Association {number}"
        print("Connections initiated")
        async with endpoint.active(Window(64)) as inbox:
            await show(inbox, names, idle)


async def show(inbox: Inbox, names: dict[int, str], idle: float) -> None:
    left = set(names)
    while left:
        try:
            with trio.fail_after(idle):
                record = await inbox.receive()
        except trio.TooSlowError:
            print(f"Nothing for {idle:g} seconds")
            return
        match record:
            case AssociationChange(association_id=id, state=AssociationState() as state):
                print(f"{names[id]}: {state.name}")
                if state not in (AssociationState.COMM_UP, AssociationState.RESTART):
                    left.remove(id)
            case Message(association_id=id):
                print(f"{names[id]}: received {record.data!r} on stream {record.stream}")
            case _:
                print(f"Other: {record}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Associate with two SCTP servers at once.")
    for number in 1, 2:
        parser.add_argument(f"host{number}", help=f"peer {number}")
        parser.add_argument(f"port{number}", type=int)
    parser.add_argument(
        "--idle",
        type=float,
        default=5,
        metavar="SECONDS",
        help="end after this long without a record (%(default)s)",
    )
    arguments = parser.parse_args()
    peers = [(arguments.host1, arguments.port1), (arguments.host2, arguments.port2)]
    trio.run(client, peers, arguments.idle)


if __name__ == "__main__":
    main()
