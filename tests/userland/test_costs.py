"""What one association costs beside many others: the same, counted in calls or lines."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
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
