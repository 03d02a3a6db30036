"""A test of `echo` in virtual time: a minute of a dead link takes milliseconds."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from trio_sctp import open_association, serve
from trio_sctp.testing import SimulatedNetwork

from .echo import echo

SERVER = "192.0.2.1"

pytest_plugins = ["trio_sctp.testing.fixtures"]


async def test_echo_after_a_minute_without_a_link(
    sctp_network: SimulatedNetwork, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async with sctp_network.host(SERVER):
        await nursery.start(serve, echo, 2006)
    async with sctp_network.host("192.0.2.2"), await open_association(SERVER, 2006) as association:
        sctp_network.network.partition([SERVER], ["192.0.2.2"])
        await association.send(b"hello")
        await trio.sleep(60)
        sctp_network.network.heal()
        assert (await association.receive()).data == b"hello"
    nursery.cancel_scope.cancel()
