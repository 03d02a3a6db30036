"""Requests to reset or to add streams, on a network that delays them."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from trio_sctp import (
    AssociationChannel,
    EnableStreamReset,
    ReconfigurationFailed,
    open_association,
    open_listener,
)
from trio_sctp.testing import Link, simulated_network

GRANTED = EnableStreamReset(streams=True, association=True, changes=True)


@pytest.mark.parametrize(
    ("ours", "error"), [(True, trio.ClosedResourceError), (False, ReconfigurationFailed)]
)
async def test_whose_shutdown_has_ended_a_request(
    ours: bool, error: type[Exception], autojump_clock: MockClock
) -> None:
    failed: list[Exception] = []

    async def reset(channel: AssociationChannel) -> None:
        try:
            await channel.reset_streams(outgoing=[1])
        except Exception as caught:
            failed.append(caught)

    async with simulated_network(default_link=Link(delay=0.1)) as network:
        client, server = network.host("192.0.2.1"), network.host("192.0.2.2")
        async with await open_listener(2905, stack=server, options=[GRANTED]) as listener:
            channel = await open_association("192.0.2.2", 2905, stack=client)
            peer = await listener.accept()
            async with trio.open_nursery() as nursery:
                if not ours:
                    await peer.eof()
                nursery.start_soon(reset, channel)
                await trio.sleep(0.05)  # the request is on its way
                if ours:
                    await channel.eof()
            assert [type(caught) for caught in failed] == [error]
            channel.abort()
            peer.abort()
