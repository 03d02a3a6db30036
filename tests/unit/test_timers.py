"""Failures are noticed in time: what `timers` chooses, and what comes of it in virtual time."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from trio_sctp import (
    AssociationChannel,
    AssociationState,
    AssocParams,
    InitMsg,
    Option,
    PeerAddressChange,
    PeerAddressFlags,
    PeerAddressParams,
    PeerAddressState,
    RtoInfo,
    detection_time,
    open_association,
    open_listener,
    timers,
)
from trio_sctp.testing import Link, Network, simulated_network

LEFT = ["10.1.0.1", "10.2.0.1"]
RIGHT = ["10.1.0.2", "10.2.0.2"]

quick = pytest.mark.parametrize("detect", [1.5, 2.0, 2.5, 3.7, 10.0])
quick_and_safe = pytest.mark.parametrize("detect", [2.0, 3.0, 10.0])
each_time = pytest.mark.parametrize("seed", range(3))


# -- the bounds ----------------------------------------------------------------------------------


def many_times() -> list[float]:
    source = random.Random(1)
    tenths = [n / 10 for n in range(15, 10_000)]
    return [*tenths, *(source.uniform(1.5, 10 ** source.uniform(0.2, 5)) for _ in range(10_000))]


def test_both_bounds_are_kept() -> None:
    for detect in [*many_times(), 1e9, math.inf]:
        options = timers(detect)
        bounds = detection_time(options)
        assert max(bounds) <= detect, detect
        assert min(bounds) > 0.99 * min(detect, 840), detect  # no sooner than they have to be
        rto, path, peer = options
        assert isinstance(rto, RtoInfo)
        assert isinstance(path, PeerAddressParams)
        assert isinstance(peer, AssocParams)
        assert 300 <= (rto.min or 0) <= (rto.initial or 0) <= (rto.max or 0)
        assert 1 <= (peer.asocmaxrxt or 0) <= (path.pathmaxrxt or 0)


def test_two_seconds_unless_another_time_is_given() -> None:
    assert timers() == timers(2.0) == timers(2)
    assert detection_time(timers()) == (2.0, 2.0)


def test_where_there_is_time_the_values_are_those_of_rfc_9260() -> None:
    assert timers(10_000) == [
        RtoInfo(initial=1000, min=1000, max=60_000),
        PeerAddressParams(hbinterval=30_000, pathmaxrxt=5, flags=PeerAddressFlags.HB_ENABLE),
        AssocParams(asocmaxrxt=5),
    ]


@pytest.mark.parametrize("detect", [1.499, 0, -1, math.nan, -math.inf])
def test_too_little_time(detect: float) -> None:
    with pytest.raises(ValueError, match=r"detect must be 1\.5 seconds or more, not"):
        timers(detect)


@pytest.mark.parametrize("detect", ["2", None, True])
def test_what_is_no_time(detect: object) -> None:
    with pytest.raises(TypeError, match="detect must be a number of seconds"):
        timers(detect)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "path", "peer"),
    [
        ([], 840, 1440),
        ([InitMsg(num_ostreams=3)], 840, 1440),
        ([RtoInfo(max=1000)], 7 * 31.5, 12 * 31.5),
        ([RtoInfo(min=500)], 840, 1440),
        ([PeerAddressParams(hbinterval=0)], 7 * 90, 12 * 90),
        ([PeerAddressParams(pathmaxrxt=1)], 360, 1440),
        ([PeerAddressParams(pathmaxrxt=0), AssocParams(asocmaxrxt=0)], 840, 1440),
        ([AssocParams(asocmaxrxt=2)], 840, 480),
        ([RtoInfo(max=9), RtoInfo(max=1000), RtoInfo(min=5)], 7 * 31.5, 12 * 31.5),
        ([PeerAddressParams(flags=PeerAddressFlags.HB_DISABLE)], math.inf, math.inf),
        ([PeerAddressParams(flags=PeerAddressFlags.SACKDELAY_DISABLE)], 840, 1440),
        (
            [PeerAddressParams(flags=PeerAddressFlags.HB_DISABLE), PeerAddressParams(hbinterval=9)],
            math.inf,
            math.inf,
        ),
    ],
    ids=str,
)
def test_when_failures_are_noticed(options: list[Option], path: float, peer: float) -> None:
    assert detection_time(options) == (path, peer)


def test_options_of_one_path_say_nothing_of_all() -> None:
    with pytest.raises(ValueError, match=r"all paths.*10\.1\.0\.2"):
        detection_time([PeerAddressParams(address=("10.1.0.2", 2905), pathmaxrxt=9)])


# -- what comes of them --------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def channels(
    detect: float, seed: int, *, paths: int
) -> AsyncIterator[tuple[Network, AssociationChannel, AssociationChannel]]:
    """Both ends of an association, some while after it was set up."""
    options = timers(detect)
    async with simulated_network(seed) as simulated:
        network = simulated.network
        network.default_link.delay = 0.02
        left, right = simulated.host(*LEFT), simulated.host(*RIGHT)
        async with await open_listener(
            2905, hosts=RIGHT[:paths], options=options, stack=right
        ) as listener:
            client = await open_association(
                RIGHT[:paths], 2905, local_hosts=LEFT[:paths], options=options, stack=left
            )
            server = await listener.accept()
        await trio.sleep(5 * detect + random.Random(seed).uniform(0, detect))
        yield network, client, server
        client.abort()
        server.abort()


async def unreachable(channel: AssociationChannel, addresses: list[str]) -> None:
    """Wait until the path to one of these addresses has failed."""
    async with channel.active(30_000) as inbox:
        async for record in inbox:
            if (
                isinstance(record, PeerAddressChange)
                and record.state is PeerAddressState.ADDR_UNREACHABLE
            ):
                assert record.address[0] in addresses
                return


async def talk(channel: AssociationChannel) -> None:
    while True:
        await channel.send(b"still here")
        await trio.sleep(0.1)


@quick
@each_time
@pytest.mark.parametrize("talking", [False, True])
async def test_a_silent_peer_is_lost_in_time(
    detect: float, seed: int, talking: bool, autojump_clock: trio.testing.MockClock
) -> None:
    async with channels(detect, seed, paths=1) as (network, client, server):
        async with trio.open_nursery() as nursery:
            if talking:
                nursery.start_soon(talk, client)
                nursery.start_soon(talk, server)
                await trio.sleep(1)
            network.partition(LEFT, RIGHT)
            cut = trio.current_time()
            if talking:
                nursery.cancel_scope.cancel()
        for end in (client, server):
            assert (await end.wait_ended()).state is AssociationState.COMM_LOST
            assert trio.current_time() - cut <= detection_time(timers(detect))[1]


@quick_and_safe
@each_time
async def test_a_path_that_is_cut_is_reported_in_time(
    detect: float, seed: int, autojump_clock: trio.testing.MockClock
) -> None:
    async with channels(detect, seed, paths=2) as (network, client, server):
        network.set_link(LEFT[0], RIGHT[0], Link(up=False))
        cut = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(unreachable, client, RIGHT[:1])
            nursery.start_soon(unreachable, server, LEFT[:1])
        assert trio.current_time() - cut <= detection_time(timers(detect))[0]
        await trio.sleep(20 * detect)
        await client.send(b"on the other path")
        assert (await server.receive()).data == b"on the other path"


@quick
@each_time
async def test_all_is_well_as_long_as_packets_arrive(
    detect: float, seed: int, autojump_clock: trio.testing.MockClock
) -> None:
    """One lost heartbeat, or a slow path, is no failure."""
    async with channels(detect, seed, paths=1) as (network, client, server):
        network.default_link.delay = 0.1
        await trio.sleep(20 * detect)
        network.partition(LEFT, RIGHT)
        await trio.sleep(0.05)  # with a round trip, less than a timeout: it costs one heartbeat
        network.heal()
        await trio.sleep(20 * detect)
        await client.send(b"still here")
        assert (await server.receive()).data == b"still here"
        assert (client.up, server.up) == (True, True)


@quick
async def test_a_lone_message_behind_a_delayed_acknowledgement_is_no_error(
    detect: float, autojump_clock: trio.testing.MockClock
) -> None:
    async with channels(detect, 0, paths=1) as (_, client, server):
        for _ in range(20):
            await client.send(b"alone")
            await server.receive()
            await trio.sleep(detect)
        assert client.statistics().retransmitted == 0
