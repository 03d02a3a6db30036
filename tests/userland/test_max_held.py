"""The memory that peers make a stack hold: one bound for all of its endpoints."""

from __future__ import annotations

import logging

import pytest
import trio
import trio.testing

from trio_sctp import (
    AssociationChannel,
    AssociationLost,
    Message,
    open_association,
    open_endpoint,
    userland,
)
from trio_sctp.testing import SimulatedHost, simulated_network

SERVER, LARGE = "192.0.2.1", "192.0.2.2"
PORTS = 2905, 2906


async def send_until_lost(channel: AssociationChannel) -> None:
    with pytest.raises(AssociationLost, match="out of resource"):
        while True:
            await channel.send(bytes(1000))


async def test_an_address_that_holds_most_gives_way_and_nobody_else_notices(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody reads at either endpoint; one address fills both of them."""
    async with simulated_network() as network, trio.open_nursery() as nursery:
        server = network.host(SERVER)
        server.account.limit = 2**20
        large = network.host(LARGE)
        small = [network.host(f"192.0.2.{number}") for number in range(3, 8)]
        first = await open_endpoint(PORTS[0], stack=server)
        second = await open_endpoint(PORTS[1], stack=server)
        first.listen()
        second.listen()

        async def connect(host: SimulatedHost, port: int) -> AssociationChannel:
            return await open_association(SERVER, port, stack=host)

        quiet = [await connect(host, PORTS[0]) for host in small]
        for channel in quiet:
            await channel.send(b"before")
        await trio.sleep(1)
        with caplog.at_level(logging.WARNING, logger="trio_sctp"):
            greedy = [await connect(large, PORTS[n % 2]) for n in range(10)]
            for channel in greedy:
                nursery.start_soon(send_until_lost, channel)
            while not caplog.records:
                await trio.sleep(1)
                assert server.account.held <= server.account.limit
                if len(server.engines[PORTS[1]].associations) < 5:
                    break
                greedy.append(await connect(large, PORTS[1]))
                nursery.start_soon(send_until_lost, greedy[-1])
        assert all(f"{LARGE} holds" in record.getMessage() for record in caplog.records)
        for channel in quiet:
            await channel.send(b"after")
        messages: list[bytes] = []
        with trio.fail_after(60):
            while len(messages) < 2 * len(quiet):
                record = await first.receive()
                if isinstance(record, Message) and len(record.data) < 1000:
                    messages.append(record.data)
        assert sorted(messages) == [b"after"] * len(quiet) + [b"before"] * len(quiet)
        for channel in (*quiet, *greedy):
            channel.abort()
        for endpoint in (first, second):
            await trio.aclose_forcefully(endpoint)
        nursery.cancel_scope.cancel()


async def test_a_bound_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match=r"max_held must be 2\*\*20 or more, not 1000"):
        async with userland(max_held=1000):
            pass


async def test_all_endpoints_of_a_stack_share_the_bound() -> None:
    async with userland(max_held=2**24) as stack:
        assert stack.account.limit == 2**24
        async with await open_endpoint(), await open_endpoint():
            assert {engine.account for engine in stack.engines.values()} == {stack.account}
