"""What one association costs beside many others: the same, counted in calls or lines."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
import trio
import trio.testing

from trio_sctp import (
    AssociationChannel,
    Message,
    ReceiveBuffer,
    SendBuffer,
    open_association,
    open_endpoint,
    open_listener,
    serve,
)
from trio_sctp.testing import SimulatedHost, simulated_network

from ..support.counting import counted, counted_lines

SERVER, CLIENT = "192.0.2.1", "192.0.2.2"
PORT = 2905

Cost = Callable[[int], Coroutine[Any, Any, int]]


async def connect(host: SimulatedHost) -> AssociationChannel:
    return await open_association(SERVER, PORT, options=[ReceiveBuffer(10_000)], stack=host)


async def a_round_trip_beside_blocked_senders(blocked: int) -> int:
    """Send messages back and forth while other peers of the same endpoint read nothing."""
    async with simulated_network() as network, trio.open_nursery() as nursery:
        server, client = network.host(SERVER), network.host(CLIENT)
        async with await open_endpoint(
            PORT, options=[SendBuffer(20_000)], stack=server
        ) as endpoint:
            endpoint.listen()
            slow = [await connect(client) for _ in range(blocked)]

            async def fill(id: int) -> None:
                while True:
                    await endpoint.send(bytes(10_000), id)

            for id in list(endpoint.associations):
                nursery.start_soon(fill, id)
            await trio.sleep(100)
            quick = await connect(client)
            while not isinstance(await endpoint.receive(), Message):
                await quick.send(b"ready")
            with counted() as count:
                for _ in range(20):
                    await quick.send(b"request")
                    record = await endpoint.receive()
                    while not isinstance(record, Message):
                        record = await endpoint.receive()
                    await endpoint.send(b"answer", record.association_id)
                    await quick.receive()
            nursery.cancel_scope.cancel()
            for channel in (quick, *slow):
                channel.abort()
    return count.calls


async def accepting_some_of_many(waiting: int) -> int:
    """Accept associations while others wait, each with a message."""
    async with simulated_network() as network:
        server, client = network.host(SERVER), network.host(CLIENT)
        async with await open_listener(PORT, backlog=waiting, stack=server) as listener:
            clients = [await connect(client) for _ in range(waiting)]
            for channel in clients:
                await channel.send(b"hello")
            await trio.sleep(1)
            with counted_lines() as count:
                accepted = [await listener.accept() for _ in range(10)]
            for channel in (*clients, *accepted):
                channel.abort()
    return count.calls


@pytest.mark.parametrize(
    ("cost", "few", "many"),
    [
        (a_round_trip_beside_blocked_senders, 40, 400),
        (accepting_some_of_many, 500, 5000),
    ],
)
async def test_it_does_not_depend_on_the_number_of_others(
    cost: Cost, few: int, many: int, autojump_clock: trio.testing.MockClock
) -> None:
    first, second = await cost(few), await cost(many)
    assert first > 100
    assert abs(second - first) <= first / 10


async def echo(channel: AssociationChannel) -> None:
    async for message in channel:
        await channel.send(message.data)


async def exchange(channel: AssociationChannel) -> None:
    await channel.send(b"request")
    await channel.receive()


async def lose(channel: AssociationChannel) -> None:
    channel.abort()
    await trio.lowlevel.checkpoint()


AT_ONCE = 50  # clients that connect at the same time
SOME_TURNS = 600
"""Calls and lines of two turns of Trio's loop and the simulated network."""


async def costs_beside(others: int) -> dict[str, int]:
    """What happens to one client of a server with a task for each of many, as calls and lines."""
    costs: dict[str, int] = {}
    async with simulated_network() as network, trio.open_nursery() as nursery:
        server, client = network.host(SERVER), network.host(CLIENT)
        await nursery.start(functools.partial(serve, echo, PORT, stack=server))
        channels: list[AssociationChannel] = []

        async def another() -> None:
            channels.append(await connect(client))

        while len(channels) < others:
            async with trio.open_nursery() as connecting:
                for _ in range(min(AT_ONCE, others - len(channels))):
                    connecting.start_soon(another)
        await trio.sleep(1)

        async def cost(what: str, event: Callable[[], Awaitable[object]]) -> None:
            with counted() as calls, counted_lines() as lines:
                await event()
                await trio.sleep(1)
            costs[what] = calls.calls + lines.calls

        await exchange(channels[0])
        await trio.sleep(1)
        await cost("nothing", trio.lowlevel.checkpoint)
        await cost("a round trip", functools.partial(exchange, channels[0]))
        await cost("a set-up", another)
        await cost("a graceful end", channels.pop().aclose)
        await cost("a loss", functools.partial(lose, channels.pop()))
        nursery.cancel_scope.cancel()
        for channel in channels:
            channel.abort()
    return costs


async def test_no_event_of_a_server_costs_more_beside_thousands(
    autojump_clock: trio.testing.MockClock,
) -> None:
    fewest = await costs_beside(10)
    assert min(fewest.values()) > 100
    for others in (100, 1000, 10_000):
        for what, cost in (await costs_beside(others)).items():
            # Trio's order is random: there may be a turn more.
            assert cost <= 1.1 * fewest[what] + SOME_TURNS, f"{what} beside {others} others"
