"""A server that prints everything it receives, the first example of gen_sctp's manual.

One socket and one loop serve any number of clients, and ``match`` tells messages from events.  Run
``python -m examples.client`` against it.  Ctrl-C ends it and aborts its associations.
"""

from __future__ import annotations

import argparse
import contextlib

import trio

import trio_sctp
from trio_sctp import (
    AssociationChange,
    AssociationState,
    Message,
    PeerAddressChange,
    ShutdownReceived,
    error_string,
)


async def server(host: str | None, port: int) -> None:
    hosts = () if host is None else host
    async with await trio_sctp.open_endpoint(port, hosts=hosts) as endpoint:
        endpoint.listen()
        print(f"Listening on {host or 'any address'} port {endpoint.port}")
        while True:
            print("Received:", describe(await endpoint.receive()))


def describe(record: object) -> str:
    match record:
        case Message(association_id=id):
            return f"association {id}: {record.data!r} on stream {record.stream}"
        case AssociationChange(association_id=id, state=AssociationState.COMM_UP):
            streams = f"{record.outbound_streams} streams out, {record.inbound_streams} in"
            return f"association {id}: COMM_UP, {streams}"
        case AssociationChange(association_id=id, state=AssociationState() as state):
            return f"association {id}: {state.name}, {error_string(record.error)}"
        case PeerAddressChange(association_id=id, address=(host, *_)):
            return f"association {id}: address {host}, {record.state}"
        case ShutdownReceived(association_id=id):
            return f"association {id}: the peer shuts down"
        case _:
            return repr(record)


def main() -> None:
    parser = argparse.ArgumentParser(description="Print everything that arrives by SCTP.")
    parser.add_argument("--host", help="address to listen on (any)")
    parser.add_argument("--port", type=int, default=2006, help="port to listen on (%(default)s)")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        trio.run(server, arguments.host, arguments.port)


if __name__ == "__main__":
    main()
