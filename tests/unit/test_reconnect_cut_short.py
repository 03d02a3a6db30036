"""reconnect, cancelled or interrupted at any step: nothing is left at either end."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from trio_sctp import (
    AssociationChange,
    AssociationChannel,
    AssociationEnd,
    AssociationState,
    Backoff,
    Endpoint,
    open_endpoint,
    reconnect,
)
from trio_sctp.testing import simulated_network
from trio_sctp.testing._hosts import SimulatedHost

from ..support import virtual_time
from ..support.interrupting import InterruptAtStep, interrupted

PORT = 2905
SERVER = "192.0.2.2"
UP, LOST = AssociationState.COMM_UP, AssociationState.COMM_LOST

BACKOFF = Backoff(initial=5 * virtual_time.STEP, jitter=0)


@contextlib.asynccontextmanager
async def hosts() -> AsyncIterator[tuple[SimulatedHost, Endpoint]]:
    """A client's host, and an endpoint that listens and that nobody reads."""
    async with simulated_network() as network:
        client, server = network.host("192.0.2.1"), network.host(SERVER)
        async with await open_endpoint(PORT, stack=server) as endpoint:
            endpoint.listen()
            yield client, endpoint


async def come_and_go(client: SimulatedHost) -> None:
    """Lose two associations and finish with the third."""
    runs = itertools.count()

    async def handle(channel: AssociationChannel, last: AssociationEnd | None) -> None:
        if next(runs) < 2:
            channel._socket.cut_off_all()  # as if the network had taken it
            await channel.receive()
        channel.abort()

    await reconnect(handle, SERVER, PORT, backoff=BACKOFF, stack=client)


async def nothing_is_left(client: SimulatedHost, server: Endpoint) -> None:
    assert not client.engines
    await trio.sleep(1)  # until all packets have arrived
    states = []
    with contextlib.suppress(trio.WouldBlock):
        while True:
            record = server.receive_nowait()
            if isinstance(record, AssociationChange):
                states.append(record.state)
    assert states.count(UP) == states.count(LOST)
    assert not server.associations


@pytest.mark.trio(run=virtual_time.run)
async def test_cancelled_at_any_point_nothing_is_left() -> None:
    async with hosts() as (client, server):
        for turn in itertools.count():
            with trio.move_on_after(turn * virtual_time.STEP) as scope:
                await come_and_go(client)
            await nothing_is_left(client, server)
            if not scope.cancelled_caught:
                assert turn > 30
                break


async def come_and_be_interrupted(interrupt: InterruptAtStep) -> None:
    async with hosts() as (client, server):
        interrupt.arm()
        try:
            await come_and_go(client)
        finally:
            interrupt.disarm()
            with trio.CancelScope(shield=True):
                with contextlib.suppress(KeyboardInterrupt):
                    await trio.lowlevel.checkpoint()  # one that came too late
                await nothing_is_left(client, server)


def test_ctrl_c_at_any_step_leaves_nothing() -> None:
    nth = 1
    while interrupted(come_and_be_interrupted, nth):
        nth += 1
    assert nth > 30
