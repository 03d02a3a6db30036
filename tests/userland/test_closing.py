"""What programs see of closing, in the time of a simulated network."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
import trio
import trio.testing

from trio_sctp import (
    Association,
    AssociationChange,
    AssociationChannel,
    AssociationEnd,
    AssociationLost,
    AssociationState,
    Endpoint,
    Linger,
    Listener,
    ReceiveBuffer,
    SendBuffer,
    open_association,
    open_endpoint,
    open_listener,
)
from trio_sctp.testing import Network, SimulatedHost, simulated_network

SERVER, CLIENT = "192.0.2.1", "192.0.2.2"
PORT, CLIENT_PORT = 2905, 5000


class Hosts(NamedTuple):
    """A server's host and a client's, and the network between them."""

    server: SimulatedHost
    client: SimulatedHost
    network: Network

    def cut(self) -> None:
        self.network.partition([SERVER], [CLIENT])


@asynccontextmanager
async def two_hosts(*, bandwidth: float | None = None) -> AsyncIterator[Hosts]:
    async with simulated_network() as network:
        link = network.network.default_link
        link.delay, link.bandwidth = 0.01, bandwidth
        yield Hosts(network.host(SERVER), network.host(CLIENT), network.network)


async def connect(hosts: Hosts, *options: ReceiveBuffer | SendBuffer) -> AssociationChannel:
    return await open_association(SERVER, PORT, options=options, stack=hosts.client)


async def close_at_once(channel: AssociationChannel) -> None:
    """Have the shutdown go on with nobody waiting for it."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await channel.aclose()


async def close_and_linger(channel: AssociationChannel) -> None:
    """Have it go on after a second."""
    channel.set_option(Linger(True, 1))
    await channel.aclose()


async def close(channel: AssociationChannel) -> None:
    await channel.aclose()


# -- closes that nobody awaits -----------------------------------------------------------------


async def sending_to_one_that_closes(how: str) -> tuple[float, AssociationEnd]:
    """Send a mebibyte to a peer that has not read anything, and then closes."""
    closing = {"awaited": close, "cancelled": close_at_once, "lingering": close_and_linger}[how]
    async with (
        two_hosts() as hosts,
        await open_listener(PORT, stack=hosts.server) as listener,
        trio.open_nursery() as nursery,
    ):
        client = await connect(hosts, ReceiveBuffer(20_000))
        async with await listener.accept() as server:
            for _ in range(128):
                await server.send(bytes(8192))
            await trio.sleep(5)  # the window is shut
            begun = trio.current_time()
            nursery.start_soon(closing, client)
            end = await server.wait_ended()
            return trio.current_time() - begun, end


async def test_a_close_that_nobody_awaits_is_as_fast_as_one_that_is_awaited(
    autojump_clock: trio.testing.MockClock,
) -> None:
    awaited, cancelled, lingering = [
        await sending_to_one_that_closes(how) for how in ("awaited", "cancelled", "lingering")
    ]
    for _, end in (awaited, cancelled, lingering):
        assert (end.graceful, end.undelivered) == (True, ())
    assert cancelled[0] <= awaited[0] + 1e-6
    assert lingering[0] <= awaited[0] + 1e-6


async def test_an_endpoint_of_which_all_channels_were_closed_takes_new_peers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nobody reads how the associations end, and nothing of them is left to be read."""
    async with two_hosts() as hosts, await open_listener(PORT, stack=hosts.server) as listener:
        for number in range(3):
            for _ in range(100):
                client = await connect(hosts)
                server = await listener.accept()
                await close_at_once(server if number % 2 else client)
                await (client if number % 2 else server).wait_ended()
                client.abort()
                server.abort()
            await trio.sleep(10)
            (engine,) = hosts.server.engines.values()
            assert not engine.associations
            assert engine.account.held == 0


@asynccontextmanager
async def a_channel_that_closes(backlog: int) -> AsyncIterator[tuple[Hosts, Listener, Endpoint]]:
    """A listener, one of whose channels was closed and has much to send, and its peer."""
    async with (
        two_hosts(bandwidth=1_000_000) as hosts,
        await open_listener(PORT, backlog=backlog, stack=hosts.server) as listener,
        await open_endpoint(stack=hosts.client) as client,
    ):
        await client.connect(SERVER, PORT)
        channel = await listener.accept()
        for _ in range(100):
            await channel.send(bytes(8192))
        await close_at_once(channel)
        yield hosts, listener, client


async def end_of(endpoint: Endpoint) -> AssociationState | int:
    while True:
        record = await endpoint.receive()
        if isinstance(record, AssociationChange) and record.state is not AssociationState.COMM_UP:
            return record.state


async def test_a_listener_that_closes_leaves_shutdowns_in_the_background_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_channel_that_closes(128) as (_, listener, client):
        await listener.aclose()
        assert await end_of(client) is AssociationState.SHUTDOWN_COMP


async def test_a_shutdown_in_the_background_takes_no_place_of_the_backlog(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_channel_that_closes(1) as (hosts, listener, client):
        others = [await connect(hosts) for _ in range(2)]
        accepted = [await listener.accept() for _ in range(2)]
        for here, there in zip(others, accepted, strict=True):
            await here.send(b"not refused")
            assert (await there.receive()).data == b"not refused"
        assert await end_of(client) is AssociationState.SHUTDOWN_COMP
        for channel in (*others, *accepted):
            channel.abort()


# -- peers that restart ------------------------------------------------------------------------


async def test_no_restart_revives_an_association_that_the_program_has_closed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with (
        two_hosts() as hosts,
        await open_endpoint(PORT, stack=hosts.server) as server,
    ):
        server.listen()
        async with await open_endpoint(CLIENT_PORT, stack=hosts.client) as client:
            await client.connect(SERVER, PORT)
            up = await server.receive()
            assert isinstance(up, AssociationChange)
            association = server.associations[up.association_id]
            hosts.cut()
            await association.eof()  # nobody hears of it
            for there in list(client.associations.values()):
                there.abort()
        hosts.network.heal()
        async with await open_endpoint(CLIENT_PORT, stack=hosts.client) as client:
            again = await client.connect(SERVER, PORT)
            with trio.fail_after(5):  # whoever closed it reads on, to see its end
                assert (await association.wait_ended()).graceful
                assert (await again.wait_ended()).graceful


# -- tasks that wait to send -------------------------------------------------------------------


@asynccontextmanager
async def peers_that_do_not_read(
    count: int,
) -> AsyncIterator[tuple[list[Association], list[AssociationChannel]]]:
    """Associations of one endpoint on which nothing more can be sent, and their other ends."""
    async with (
        two_hosts() as hosts,
        await open_endpoint(options=[SendBuffer(20_000)], stack=hosts.client) as endpoint,
    ):
        associations: list[Association] = []
        others: list[AssociationChannel] = []
        for port in range(PORT, PORT + count):
            async with await open_listener(
                port, options=[ReceiveBuffer(20_000)], stack=hosts.server
            ) as listener:
                association = await endpoint.connect(SERVER, port)
                associations.append(association)
                others.append(await listener.accept())
            for _ in range(5):
                with contextlib.suppress(trio.WouldBlock):
                    while True:
                        association.send_nowait(bytes(1000))
                await trio.sleep(1)
        yield associations, others
        for other in others:
            other.abort()


async def test_a_blocked_sender_learns_at_once_that_its_peer_shuts_down(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with (
        peers_that_do_not_read(1) as ([association], [peer]),
        trio.open_nursery() as nursery,
    ):

        @nursery.start_soon
        async def _() -> None:
            with pytest.raises(AssociationLost):
                await association.send(b"blocked")

        await trio.sleep(0.1)
        assert nursery.child_tasks
        await peer.eof()
        await trio.sleep(0.02)
        assert not nursery.child_tasks


async def sending_beside_blocked_senders(blocked: int) -> float:
    """How long many messages take that have to wait for room, but whose peer reads."""
    async with (
        peers_that_do_not_read(blocked + 1) as (associations, peers),
        trio.open_nursery() as nursery,
    ):
        for association in associations[1:]:
            nursery.start_soon(association.send, b"blocked")
        await trio.sleep(0.1)

        async def read() -> None:
            while True:
                await peers[0].receive()

        nursery.start_soon(read)
        await trio.sleep(100)
        begun = trio.current_time()
        for _ in range(200):
            await associations[0].send(bytes(1000))
        took = trio.current_time() - begun
        nursery.cancel_scope.cancel()
    return took


async def test_no_blocked_sender_waits_for_that_of_another_association(
    autojump_clock: trio.testing.MockClock,
) -> None:
    alone, beside = [await sending_beside_blocked_senders(blocked) for blocked in (0, 2)]
    assert alone > 0.1
    assert beside == pytest.approx(alone)
