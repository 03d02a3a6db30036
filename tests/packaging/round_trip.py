"""A message there and back on each stack that works everywhere, with what is installed.

    python -W error -X dev tests/packaging/round_trip.py

It imports nothing of the tests, so that it also runs where only the package is installed.
"""

from __future__ import annotations

import socket
import sys

import trio

import trio_sctp
from trio_sctp.testing import simulated_network


async def echo(association: trio_sctp.AssociationChannel) -> None:
    async for message in association:
        await association.send(message.data, stream=message.stream, ppid=message.ppid)


async def round_trip(host: str) -> None:
    async with trio.open_nursery() as nursery:
        listener = await nursery.start(lambda **kw: trio_sctp.serve(echo, 0, hosts=host, **kw))
        async with await trio_sctp.open_association(host, listener.port) as association:
            await association.send(bytes(100_000), stream=3, ppid=46)
            reply = await association.receive()
        assert (reply.data, reply.stream, reply.ppid) == (bytes(100_000), 3, 46)
        nursery.cancel_scope.cancel()


async def main() -> None:
    with trio.fail_after(60):
        async with simulated_network() as network, network.host("10.0.0.1"):
            await round_trip("10.0.0.1")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        async with trio_sctp.userland(udp_port=port, peer_udp_port=port):
            await round_trip("127.0.0.1")
    print(f"trio_sctp {trio_sctp.__version__} on Trio {trio.__version__}, Python", sys.version)


trio.run(main)
