"""The addresses of one name: which are tried when, who wins, and what is left of the others."""

from __future__ import annotations

import contextlib
import errno
import itertools
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

import trio_sctp
from trio_sctp import (
    AssociationChange,
    AssociationChannel,
    AssociationState,
    ConnectFailed,
    Endpoint,
    InitMsg,
    open_association,
    open_endpoint,
)
from trio_sctp.testing import SimulatedNetwork, simulated_network
from trio_sctp.testing._hosts import SimulatedHost
from trio_sctp.testing._network import RoutedPacket

from ..support import virtual_time
from ..support.interrupting import InterruptAtStep, interrupted
from ..support.resolver import Resolver

PORT = 2905
SILENT, SILENT_TOO = "192.0.2.8", "192.0.2.9"
SERVER, SERVER_TOO = "192.0.2.2", "192.0.2.3"
SILENT6, SILENT6_TOO = "2001:db8::8", "2001:db8::9"
CLIENT, CLIENT6 = "192.0.2.1", "2001:db8::1"
NOBODY = "192.0.2.4"
"""A host where nobody listens, so that it refuses."""


class Names:
    """A client and a server on a simulated network, and the name ``peer.test``."""

    def __init__(self, network: SimulatedNetwork) -> None:
        self.network = network
        self.client: SimulatedHost = network.host(CLIENT, CLIENT6)
        self.server: SimulatedHost = network.host(SERVER, SERVER_TOO)
        network.host(NOBODY)
        self.resolver = Resolver()
        trio.socket.set_custom_hostname_resolver(self.resolver)
        self.asked: list[tuple[str, float]] = []
        network.network.route = self._note

    def _note(self, packet: RoutedPacket) -> None:
        if packet.data[12] == 1:  # an INIT
            self.asked.append((packet.destination, packet.now))

    def mean(self, *addresses: str) -> None:
        """Give the name a meaning."""
        self.resolver.hosts["peer.test"] = list(addresses)

    async def connect(self, **more: Any) -> AssociationChannel:
        return await open_association("peer.test", PORT, stack=self.client, **more)

    def order(self) -> list[str]:
        """The addresses that were asked, in the order in which they were asked first."""
        return list(dict.fromkeys(address for address, _ in self.asked))


@contextlib.asynccontextmanager
async def names() -> AsyncIterator[Names]:
    async with simulated_network() as network:
        yield Names(network)


@contextlib.asynccontextmanager
async def listening(host: SimulatedHost) -> AsyncIterator[Endpoint]:
    endpoint = await open_endpoint(PORT, stack=host)
    endpoint.listen()
    try:
        yield endpoint
    finally:
        await trio.aclose_forcefully(endpoint)


async def changes(endpoint: Endpoint) -> list[AssociationState | int]:
    """What an endpoint was told of associations, once all packets have arrived."""
    await trio.sleep(1)
    states: list[AssociationState | int] = []
    while True:
        try:
            record = endpoint.receive_nowait()
        except trio.WouldBlock:
            return states
        if isinstance(record, AssociationChange):
            states.append(record.state)


UP, LOST = AssociationState.COMM_UP, AssociationState.COMM_LOST

# -- when which address is tried ---------------------------------------------------------------


async def test_a_silent_first_address_costs_the_delay(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with names() as net, listening(net.server) as server:
        net.mean(SILENT, SERVER)
        started = trio.current_time()
        channel = await net.connect()
        assert trio.current_time() - started == 0.25
        assert channel.peer_addresses[0] == (SERVER, PORT)
        assert len(net.client.engines) == 1
        channel.abort()
        assert not net.client.engines
        assert await changes(server) == [UP, LOST]


async def test_an_endpoint_gives_a_silent_address_up_for_the_next(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with (
        names() as net,
        listening(net.server) as server,
        await open_endpoint(stack=net.client) as client,
    ):
        net.mean(SILENT, SERVER)
        started = trio.current_time()
        association = await client.connect("peer.test", PORT)
        assert trio.current_time() - started == 0.25
        assert list(client.associations) == [association.id]
        assert await changes(client) == []
        assert await changes(server) == [UP]


@pytest.mark.parametrize("delay", [0, 0.1, 1, math.inf])
async def test_the_delay_is_the_programs_to_choose(
    autojump_clock: trio.testing.MockClock, delay: float
) -> None:
    async with names() as net, listening(net.server):
        net.mean(SILENT, SILENT_TOO, SERVER)
        started = trio.current_time()
        channel = await net.connect(attempt_delay=delay, options=[InitMsg(max_attempts=1)])
        # One INIT and one more, after 1 s and 2 s, is how long the silent ones last.
        assert trio.current_time() - started == 2 * min(delay, 3)
        channel.abort()


async def test_a_refusal_starts_the_next_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with names() as net, listening(net.server):
        net.mean(NOBODY, SERVER)
        started = trio.current_time()
        channel = await net.connect(attempt_delay=math.inf)
        assert trio.current_time() == started
        channel.abort()


async def test_the_failure_of_an_earlier_attempt_starts_the_next_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with names() as net, listening(net.server):
        net.network.network.set_link(CLIENT, NOBODY, trio_sctp.testing.Link(delay=0.15))
        net.mean(NOBODY, SILENT, SERVER)
        started = trio.current_time()
        channel = await net.connect()  # the refusal comes at 0.3, 50 ms after the second began
        assert trio.current_time() - started == pytest.approx(0.3)
        channel.abort()


async def test_with_a_local_port_they_follow_each_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with names() as net, listening(net.server):
        net.mean(SILENT, SERVER)
        started = trio.current_time()
        channel = await net.connect(local_port=4000, options=[InitMsg(max_attempts=1)])
        assert trio.current_time() - started == 3
        assert channel.local_addresses[0] == (CLIENT, 4000)
        channel.abort()


async def test_a_list_is_still_one_peer(autojump_clock: trio.testing.MockClock) -> None:
    async with names() as net, listening(net.server):
        started = trio.current_time()
        with pytest.raises(ConnectFailed) as failed:
            await open_association(
                [SILENT, SILENT_TOO], PORT, stack=net.client, options=[InitMsg(max_attempts=1)]
            )
        assert trio.current_time() - started == 3
        assert failed.value.__cause__ is None
        assert SILENT in str(failed.value)
        assert SILENT_TOO in str(failed.value)


async def test_the_families_take_turns(autojump_clock: trio.testing.MockClock) -> None:
    async with names() as net:
        net.mean(SILENT6, SILENT6_TOO, SILENT, SILENT_TOO)
        with pytest.raises(ConnectFailed):
            await net.connect(options=[InitMsg(max_attempts=1)])
        assert net.order() == [SILENT6, SILENT, SILENT6_TOO, SILENT_TOO]


async def test_the_order_of_one_family_is_kept(autojump_clock: trio.testing.MockClock) -> None:
    async with names() as net:
        net.mean(SILENT_TOO, SILENT)
        with pytest.raises(ConnectFailed):
            await net.connect(options=[InitMsg(max_attempts=1)])
        assert net.order() == [SILENT_TOO, SILENT]


# -- when all fail -----------------------------------------------------------------------------


async def test_when_all_fail_the_last_one_is_raised_from_all(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with names() as net:
        net.mean(SILENT, NOBODY)
        with pytest.raises(ConnectFailed) as failed:
            await net.connect(options=[InitMsg(max_attempts=1)])
        # The refusal came at once, so that the silence is the last to be known.
        assert (failed.value.errno, SILENT in str(failed.value)) == (errno.ETIMEDOUT, True)
        group = failed.value.__cause__
        assert isinstance(group, ExceptionGroup)
        numbers = [one.errno for one in group.exceptions if isinstance(one, ConnectFailed)]
        assert numbers == [errno.ECONNREFUSED, errno.ETIMEDOUT]
        assert not net.client.engines


async def test_the_failure_of_a_single_address_has_no_other_cause(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with names() as net:
        net.mean(NOBODY)
        with pytest.raises(ConnectFailed) as failed:
            await net.connect()
        assert not isinstance(failed.value.__cause__, ExceptionGroup)


async def test_an_address_without_a_route_does_not_hide_the_peers_answer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with names() as net:
        net.mean(NOBODY, SILENT6)
        with pytest.raises(ConnectFailed) as failed:
            await net.connect(local_hosts=[CLIENT])
        assert failed.value.errno == errno.ECONNREFUSED
        group = failed.value.__cause__
        assert isinstance(group, ExceptionGroup)
        assert len(group.exceptions) == 2


async def test_when_all_fail_on_an_endpoint(autojump_clock: trio.testing.MockClock) -> None:
    async with names() as net, await open_endpoint(stack=net.client) as client:
        net.mean(SILENT, NOBODY)
        with pytest.raises(ConnectFailed) as failed:
            await client.connect("peer.test", PORT)
        assert (failed.value.errno, NOBODY in str(failed.value)) == (errno.ECONNREFUSED, True)
        group = failed.value.__cause__
        assert isinstance(group, ExceptionGroup)
        numbers = [one.errno for one in group.exceptions if isinstance(one, ConnectFailed)]
        assert numbers == [errno.ETIMEDOUT, errno.ECONNREFUSED]
        assert not client.associations
        assert await changes(client) == []


async def test_an_error_of_the_programs_ends_all_attempts_bare(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with names() as net:
        net.mean(SILENT, NOBODY)
        with pytest.raises(ValueError, match="none of the peer's addresses"):
            await net.connect(options=[trio_sctp.PrimaryAddress((SERVER, PORT))])
        assert not net.client.engines


@pytest.mark.parametrize("delay", [-1, -0.01, math.nan, -math.inf])
async def test_a_delay_out_of_range(delay: float) -> None:
    async with names() as net, await open_endpoint(stack=net.client) as client:
        for connect in net.connect, partial(client.connect, "peer.test", PORT):
            with pytest.raises(ValueError, match=f"attempt_delay must be .* not {delay}"):
                await connect(attempt_delay=delay)
    assert not net.resolver.asked


@pytest.mark.parametrize("delay", [None, "0.25", True])
async def test_a_delay_that_is_no_number(delay: Any) -> None:
    async with names() as net, await open_endpoint(stack=net.client) as client:
        for connect in net.connect, partial(client.connect, "peer.test", PORT):
            with pytest.raises(TypeError, match=f"attempt_delay must be .* not {delay!r}"):
                await connect(attempt_delay=delay)
    assert not net.resolver.asked


# -- what is left of losers --------------------------------------------------------------------


async def test_a_loser_that_comes_up_in_the_same_moment_is_aborted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with names() as net, listening(net.server) as server:
        net.mean(SERVER, SERVER_TOO)
        channel = await net.connect(attempt_delay=0)
        assert sorted(net.order()) == [SERVER, SERVER_TOO]
        assert len(net.client.engines) == 1
        assert await changes(server) == [UP, UP, LOST]
        assert channel.up
        await channel.send(b"to the winner")
        assert (await server.receive()).data == b"to the winner"  # type: ignore[union-attr]
        channel.abort()


@pytest.mark.trio(run=virtual_time.run)
@pytest.mark.parametrize("delay", [0, 5 * virtual_time.STEP])
@pytest.mark.parametrize("first", [SILENT, NOBODY, SERVER_TOO])
async def test_cancelled_at_any_point_nothing_is_left(first: str, delay: float) -> None:
    async with names() as net, listening(net.server) as server:
        net.mean(first, SERVER)
        for turn in itertools.count():
            with trio.move_on_after(turn * virtual_time.STEP) as scope:
                channel = await net.connect(attempt_delay=delay)
            if not scope.cancelled_caught:
                channel.abort()
                assert turn > 10
                break
            assert not net.client.engines
            states = await changes(server)
            assert states.count(UP) == states.count(LOST)
            assert not server.associations


def connect_interrupted(
    nth: int, connect: Callable[[Names], Awaitable[object]], *addresses: str
) -> bool:
    """Send Ctrl-C at the nth step of a connect; returns whether it still came in time."""

    async def main(interrupt: InterruptAtStep) -> None:
        async with names() as net, listening(net.server) as server:
            net.mean(*addresses)
            interrupt.arm()
            try:
                await connect(net)
            finally:
                interrupt.disarm()
                with trio.CancelScope(shield=True), contextlib.suppress(KeyboardInterrupt):
                    await trio.lowlevel.checkpoint()  # one that came too late
                with trio.CancelScope(shield=True):
                    states = await changes(server)
                    assert states.count(UP) == states.count(LOST)
                    assert not server.associations
                    assert not net.client.engines

    return interrupted(main, nth)


async def connect_and_abort(net: Names) -> None:
    (await net.connect(attempt_delay=0)).abort()


async def endpoint_connect(net: Names) -> None:
    async with await open_endpoint(stack=net.client) as client:
        (await client.connect("peer.test", PORT, attempt_delay=0.001)).abort()


@pytest.mark.parametrize("connect", [connect_and_abort, endpoint_connect])
@pytest.mark.parametrize("first", [SILENT, NOBODY, SERVER_TOO])
def test_ctrl_c_at_any_step_leaves_nothing(
    first: str, connect: Callable[[Names], Awaitable[object]]
) -> None:
    nth = 1
    while connect_interrupted(nth, connect, first, SERVER):
        nth += 1
    assert nth > 10
