"""Heartbeats that a program sends, on a network that delays, counts and loses them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock

from trio_sctp import (
    AssociationChannel,
    AssociationLost,
    AssociationState,
    AssocParams,
    PathState,
    PeerAddressParams,
    RtoInfo,
    open_association,
    open_endpoint,
    open_listener,
)
from trio_sctp.testing import Link, RoutedPacket, SimulatedNetwork, simulated_network

CLIENT, OTHER, SERVER = "192.0.2.1", "198.51.100.1", "192.0.2.2"
IMPATIENT = [RtoInfo(initial=1000, min=1000, max=1000), AssocParams(asocmaxrxt=4)]
HEARTBEAT = 4


@pytest.fixture
async def network() -> AsyncIterator[SimulatedNetwork]:
    async with simulated_network() as network:
        network.network.default_link.delay = 0.1
        yield network


@pytest.fixture
async def channel(network: SimulatedNetwork) -> AsyncIterator[AssociationChannel]:
    """The client's end of an association with a server that has one address."""
    client, server = network.host(CLIENT), network.host(SERVER)
    async with await open_listener(2905, stack=server) as listener:
        channel = await open_association(SERVER, 2905, stack=client, options=IMPATIENT)
        peer = await listener.accept()
        yield channel
        channel.abort()
        peer.abort()


class Heartbeats:
    """Counts the HEARTBEATs of one host, and loses them if told to."""

    def __init__(self, network: SimulatedNetwork, host: str) -> None:
        self.sent = 0
        self.lose = False
        self._host = host
        network.network.route = self._route

    def _route(self, packet: RoutedPacket) -> list[RoutedPacket] | None:
        if packet.source != self._host or packet.data[12] != HEARTBEAT:
            return None
        self.sent += 1
        return [] if self.lose else None


async def test_it_is_the_time_there_and_back(
    autojump_clock: MockClock, channel: AssociationChannel
) -> None:
    assert await channel.ping() == pytest.approx(0.2, abs=0.001)


async def test_calls_share_the_heartbeat_that_is_under_way(
    autojump_clock: MockClock, network: SimulatedNetwork, channel: AssociationChannel
) -> None:
    heartbeats = Heartbeats(network, CLIENT)
    took: list[float] = []

    async def ping(after: float) -> None:
        await trio.sleep(after)
        took.append(await channel.ping())

    async with trio.open_nursery() as nursery:
        for after in 0, 0, 0.05, 0.1:
            nursery.start_soon(ping, after)
    assert heartbeats.sent == 1
    assert len(took) == 4
    assert len(set(took)) == 1
    await channel.ping()
    assert heartbeats.sent == 2


async def test_a_lost_one_is_an_error_of_the_path_and_waits_for_the_end(
    autojump_clock: MockClock, network: SimulatedNetwork, channel: AssociationChannel
) -> None:
    network.network.partition([CLIENT], [SERVER])
    started = trio.current_time()
    with pytest.raises(AssociationLost) as lost:
        await channel.ping()
    assert lost.value.end.state is AssociationState.COMM_LOST
    assert trio.current_time() - started > 4  # One error each second, at most: this was the first.


async def test_a_lost_one_is_not_answered_by_a_later_one(
    autojump_clock: MockClock, network: SimulatedNetwork, channel: AssociationChannel
) -> None:
    channel.set_option(PeerAddressParams(pathmaxrxt=1))
    heartbeats = Heartbeats(network, CLIENT)
    heartbeats.lose = True
    finished: list[float] = []

    async def ping() -> None:
        finished.append(await channel.ping())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ping)
        await trio.sleep(1.5)
        assert channel.paths()[0].state is not PathState.ACTIVE
        heartbeats.lose = False
        await trio.sleep(5)  # One that was sent meanwhile was lost as well, and the next was not.
        assert channel.paths()[0].state is PathState.ACTIVE
        assert await channel.ping() == pytest.approx(0.2, abs=0.001)
        assert not finished
        nursery.cancel_scope.cancel()


async def test_cancelled_calls_leave_nothing_behind(
    autojump_clock: MockClock, network: SimulatedNetwork, channel: AssociationChannel
) -> None:
    heartbeats = Heartbeats(network, CLIENT)
    for _ in range(10):
        with trio.move_on_after(0.01) as scope:
            await channel.ping()
        assert scope.cancelled_caught
    assert heartbeats.sent == 1
    assert await channel.ping() == pytest.approx(0.2, abs=0.001)
    assert heartbeats.sent == 1  # The first is under way still.
    assert not channel._tcb.waiters


async def test_one_path_of_several(autojump_clock: MockClock, network: SimulatedNetwork) -> None:
    server, client = network.host(CLIENT, OTHER), network.host(SERVER)
    network.network.set_link(OTHER, SERVER, Link(delay=0.4))
    async with await open_listener(2905, hosts=[CLIENT, OTHER], stack=server) as listener:
        channel = await open_association([CLIENT, OTHER], 2905, stack=client)
        peer = await listener.accept()
        assert await channel.ping((CLIENT, 2905)) == pytest.approx(0.2, abs=0.001)
        assert await channel.ping((OTHER, 2905)) == pytest.approx(0.8, abs=0.001)
        assert await channel.ping() == pytest.approx(0.2, abs=0.001)
        network.network.partition([CLIENT], [SERVER])
        with trio.move_on_after(30) as scope:
            await channel.ping((CLIENT, 2905))
        assert scope.cancelled_caught
        assert await channel.ping((OTHER, 2905)) == pytest.approx(0.8, abs=0.001)
        channel.abort()
        peer.abort()


@pytest.mark.parametrize("how", ["peer aborts", "abort", "aclose", "forcefully", "eof"])
async def test_the_end_while_waiting(
    autojump_clock: MockClock, network: SimulatedNetwork, how: str
) -> None:
    client, server = network.host(CLIENT), network.host(SERVER)
    Heartbeats(network, CLIENT).lose = True
    async with await open_listener(2905, stack=server) as listener:
        channel = await open_association(SERVER, 2905, stack=client)
        peer = await listener.accept()
        error = AssociationLost if how == "peer aborts" else trio.ClosedResourceError

        async def ping() -> None:
            with pytest.raises(error):
                await channel.ping()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ping)
            nursery.start_soon(ping)
            await trio.sleep(0.01)
            match how:
                case "peer aborts":
                    peer.abort()
                case "abort":
                    channel.abort()
                case "aclose":
                    await channel.aclose()
                case "forcefully":
                    await trio.aclose_forcefully(channel)
                case _:
                    await channel.eof()
        channel.abort()
        peer.abort()


async def test_peeled_off_while_waiting(
    autojump_clock: MockClock, network: SimulatedNetwork
) -> None:
    client, server = network.host(CLIENT), network.host(SERVER)
    async with (
        await open_listener(2905, stack=server) as listener,
        await open_endpoint(stack=client) as endpoint,
    ):
        association = await endpoint.connect(SERVER, 2905)
        peer = await listener.accept()
        took: list[float] = []

        async def ping() -> None:
            took.append(await association.ping())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ping)
            await trio.sleep(0.01)
            channel = endpoint.peeloff(association)
        assert took == [pytest.approx(0.2, abs=0.001)]
        with pytest.raises(trio.ClosedResourceError):
            await association.ping()
        channel.abort()
        peer.abort()


async def test_half_open(autojump_clock: MockClock, network: SimulatedNetwork) -> None:
    client, server = network.host(CLIENT), network.host(SERVER)
    async with (
        await open_listener(2905, stack=server) as listener,
        await open_endpoint(stack=client) as endpoint,
    ):
        association = await endpoint.connect_init(SERVER, 2905)
        assert await association.ping() == pytest.approx(0.2, abs=0.001)
        (await listener.accept()).abort()


async def test_the_stack_ends_while_waiting(autojump_clock: MockClock) -> None:
    async with simulated_network() as network:
        network.network.default_link.delay = 0.1
        client, server = network.host(CLIENT), network.host(SERVER)
        listener = await open_listener(2905, stack=server)
        channel = await open_association(SERVER, 2905, stack=client)
        async with trio.open_nursery() as nursery:

            async def ping() -> None:
                with pytest.raises(trio.BrokenResourceError):
                    await channel.ping()

            nursery.start_soon(ping)
            await trio.sleep(0.01)
            client.end(None)
        channel.abort()
        await trio.aclose_forcefully(listener)
