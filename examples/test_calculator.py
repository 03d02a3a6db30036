"""How to test a program on a simulated network: `calculator`, with the fixtures of trio_sctp.

``sctp_network`` has hosts.  Inside a host's block the program uses that host's stack, as it would
use a machine's, and knows the other hosts by their names.  With ``autojump_clock``, which each test
itself has to name, minutes of dead links take milliseconds.

If a test fails, its report shows the packets; that is what the line with ``pytest_plugins`` does,
which may stand in a ``conftest.py`` as well.
"""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from trio_sctp import AssociationLost, AssociationState, ConnectFailed, RtoInfo, open_association
from trio_sctp.testing import SimulatedHost, SimulatedNetwork

from . import calculator

pytest_plugins = ["trio_sctp.testing.fixtures"]

SERVER, CLIENT, NOBODY = "192.0.2.1", "192.0.2.2", "192.0.2.9"
PORT = 4711


@pytest.fixture
async def client(sctp_network: SimulatedNetwork, nursery: trio.Nursery) -> SimulatedHost:
    """The host of the client, on a network where the server runs on another host."""
    async with sctp_network.host(SERVER, name="server"):
        await nursery.start(calculator.serve, PORT)
    return sctp_network.host(CLIENT, name="client")


async def test_a_sum(client: SimulatedHost, autojump_clock: MockClock) -> None:
    async with client:
        assert await calculator.ask("server", PORT, 17, 4) == 21


async def test_a_host_that_is_not_there_takes_ten_seconds(
    client: SimulatedHost, autojump_clock: MockClock
) -> None:
    started = trio.current_time()
    async with client:
        with pytest.raises(trio.TooSlowError):
            await calculator.ask(NOBODY, PORT, 17, 4)
    assert trio.current_time() - started == 10


async def test_a_port_that_nobody_serves_refuses_at_once(
    client: SimulatedHost, autojump_clock: MockClock
) -> None:
    async with client:
        with pytest.raises(ConnectFailed):
            await calculator.ask("server", PORT + 1, 17, 4)


async def test_half_of_all_round_trips_fail(
    client: SimulatedHost, sctp_network: SimulatedNetwork, autojump_clock: MockClock
) -> None:
    sctp_network.network.link(CLIENT, SERVER).loss = 0.3  # in both directions
    async with client:
        for number in range(20):
            assert await calculator.ask("server", PORT, number, 1, seconds=300) == number + 1


async def test_tasks_that_share_an_association(
    client: SimulatedHost, autojump_clock: MockClock
) -> None:
    sums: dict[int, int] = {}

    async def ask(stream: int) -> None:
        sums[stream] = await shared.ask(stream, 100, stream=stream)

    async with client, await open_association("server", PORT) as association:
        shared = calculator.Calculator(association)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shared.run)
            async with trio.open_nursery() as asking:
                for stream in range(10):
                    asking.start_soon(ask, stream)
            nursery.cancel_scope.cancel()
    assert sums == {stream: stream + 100 for stream in range(10)}


async def test_a_server_that_is_cut_off_is_given_up(
    client: SimulatedHost, sctp_network: SimulatedNetwork, autojump_clock: MockClock
) -> None:
    options = [RtoInfo(initial=100, min=100, max=400)]
    async with client:
        association = await open_association("server", PORT, options=options)
        asking = calculator.Calculator(association)
        with pytest.raises(AssociationLost) as lost:
            async with association.while_up(), trio.open_nursery() as nursery:
                nursery.start_soon(asking.run)
                assert await asking.ask(1, 2) == 3
                sctp_network.network.partition([CLIENT], [SERVER])
                await asking.ask(3, 4)
        assert lost.value.end.state is AssociationState.COMM_LOST
        await association.aclose()


async def test_a_client_that_restarts_is_served_again(
    client: SimulatedHost, sctp_network: SimulatedNetwork, autojump_clock: MockClock
) -> None:
    """The client comes from the same port before the server has noticed that it was gone."""
    network = sctp_network.network
    async with client:
        before = await open_association("server", PORT, local_port=5000)
        await before.send(b"1 2")
        assert (await before.receive()).data == b"3"
        network.partition([CLIENT], [SERVER])
        before.abort()  # the server hears nothing of it
        network.heal()
        async with await open_association("server", PORT, local_port=5000) as after:
            await after.send(b"3 4")
            assert (await after.receive()).data == b"7"
