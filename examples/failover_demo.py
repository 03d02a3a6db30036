"""A path fails under way, and nothing is lost: a server and its client, joined by two paths.

    python -m examples.failover_demo               on a simulated network, in real time
    python -m examples.failover_demo --virtual     the same in virtual time, at once
    python -m examples.failover_demo --udp         over UDP: 127.0.0.1 and 127.0.0.2

The client sends ten messages a second.  After two seconds the primary path is cut, and nobody is
told.  What was under way leaves again by the other path after a timeout, and all that follows goes
there.  When the path is mended, its heartbeats are answered again, and messages return to it.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import trio
import trio.testing

import trio_sctp
from trio_sctp import AssociationChannel, PeerAddressChange, Stack
from trio_sctp.testing import Link, simulated_network

MESSAGES, CUT, MENDED = 100, 20, 70
INTERVAL = 0.1  # seconds


@dataclass
class Paths:
    """Two stacks, and what does something to the path between their first addresses."""

    server: Stack | str
    client: Stack | str
    server_hosts: Sequence[str]
    client_hosts: Sequence[str]
    cut: Callable[[], None]
    mend: Callable[[], None]


@contextlib.asynccontextmanager
async def simulated_paths() -> AsyncIterator[Paths]:
    there, here = ("192.0.2.1", "198.51.100.1"), ("192.0.2.2", "198.51.100.2")
    async with simulated_network(default_link=Link(delay=0.02)) as simulated:
        network = simulated.network
        yield Paths(
            simulated.host(*there, name="server"),
            simulated.host(*here, name="client"),
            there,
            here,
            lambda: network.partition(there[:1], here[:1]),
            network.heal,
        )


class Relay:
    """A UDP port that passes packets between a client and a server, as long as it is `up`."""

    def __init__(self, socket: trio.socket.SocketType) -> None:
        self.up = True
        self._socket = socket

    async def run(self, server: tuple[str, int]) -> None:
        client = None
        while True:
            packet, sender = await self._socket.recvfrom(65536)
            from_server = sender[1] == server[1]  # from whichever of its addresses
            client = client if from_server else sender
            receiver = client if from_server else server
            if self.up and receiver is not None:
                await self._socket.sendto(packet, receiver)


@contextlib.asynccontextmanager
async def udp_paths() -> AsyncIterator[Paths]:
    """Two userland stacks in this process, and a relay before each address of the server."""
    hosts = "127.0.0.1", "127.0.0.2"
    with contextlib.ExitStack() as sockets:
        first, second, server = (
            sockets.enter_context(trio.socket.socket(type=trio.socket.SOCK_DGRAM)) for _ in range(3)
        )
        await first.bind((hosts[0], 0))
        relays = first.getsockname()[1]
        await second.bind((hosts[1], relays))
        await server.bind((hosts[0], 0))  # a port that is free
        port = server.getsockname()[1]
        server.close()
        async with (
            trio_sctp.userland(udp_port=port, peer_udp_port=relays) as there,
            trio_sctp.userland(peer_udp_port=relays) as here,
            trio.open_nursery() as nursery,
        ):
            primary, other = Relay(first), Relay(second)
            nursery.start_soon(primary.run, (hosts[0], port))
            nursery.start_soon(other.run, (hosts[1], port))

            def switch(up: bool) -> None:
                primary.up = up

            yield Paths(there, here, hosts, hosts, lambda: switch(False), lambda: switch(True))
            nursery.cancel_scope.cancel()


async def demonstrate(paths: Paths) -> None:
    begun = trio.current_time()

    def say(text: str) -> None:
        print(f"{trio.current_time() - begun:5.2f} s  {text}")

    async def watch(association: AssociationChannel) -> None:
        async with association.events() as events:
            async for event in events:
                if isinstance(event, PeerAddressChange):
                    say(f"the client's path to {event.address[0]}: {event.state}")

    async def take(association: AssociationChannel) -> None:
        expected, longest, way = 0, 0.0, None
        async for message in association:
            number, sent = message.data.split()
            assert int(number) == expected, f"message {expected} is missing"
            took = trio.current_time() - float(sent)
            if message.address[0] != way:
                way = message.address[0]
                say(f"message {expected} came from {way}, after {took:.2f} s")
            expected, longest = expected + 1, max(longest, took)
        say(f"{expected} of {MESSAGES} messages came, in order; the slowest took {longest:.2f} s")

    options = trio_sctp.timers(detect=2)
    hosts = paths.server_hosts
    listening = trio_sctp.open_listener(0, hosts=hosts, options=options, stack=paths.server)
    async with await listening as listener:
        client = await trio_sctp.open_association(
            hosts,
            listener.port,
            local_hosts=paths.client_hosts,
            options=options,
            stack=paths.client,
        )
        server = await listener.accept()
    async with client, server, trio.open_nursery() as nursery:
        nursery.start_soon(take, server)
        nursery.start_soon(watch, client)
        await trio.sleep(1)  # the second path has to prove itself first
        for number in range(MESSAGES):
            if number == CUT:
                paths.cut()
                say(f"the path to {hosts[0]} is cut")
            elif number == MENDED:
                paths.mend()
                say(f"the path to {hosts[0]} is mended")
            await client.send(b"%d %f" % (number, trio.current_time()))
            await trio.sleep(INTERVAL)
        await client.eof()


async def run(network: Callable[[], contextlib.AbstractAsyncContextManager[Paths]]) -> None:
    async with network() as paths:
        await demonstrate(paths)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--virtual", action="store_true", help="do not wait: time is virtual")
    how.add_argument("--udp", action="store_true", help="over UDP, on this machine")
    arguments = parser.parse_args()
    clock = trio.testing.MockClock(autojump_threshold=0) if arguments.virtual else None
    with contextlib.suppress(KeyboardInterrupt):
        trio.run(run, udp_paths if arguments.udp else simulated_paths, clock=clock)


if __name__ == "__main__":
    main()
