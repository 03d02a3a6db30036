"""Options of the engine's associations: what they read as, and that they take effect at once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_sctp import (
    AssociationChannel,
    AssocParams,
    Endpoint,
    EventSubscription,
    ExposePotentiallyFailed,
    InitMsg,
    MaxBurst,
    Message,
    PathState,
    PeerAddressFlags,
    PeerAddressParams,
    PeerAddressState,
    PeerAddressThresholds,
    ReceiveBuffer,
    RtoInfo,
    SenderDry,
    Tos,
    open_association,
    open_endpoint,
    open_listener,
)
from trio_sctp.testing import RoutedPacket, simulated_network

FLAGS = PeerAddressFlags
HERE, OTHER = "192.0.2.1", "198.51.100.1"
THERE, ELSEWHERE = "192.0.2.2", "198.51.100.2"


@pytest.fixture
async def pair() -> AsyncIterator[tuple[AssociationChannel, Endpoint]]:
    """A channel to an endpoint with one address, and that endpoint, whose peer has two."""
    async with simulated_network() as network:
        here, there = network.host(HERE, OTHER), network.host(THERE)
        async with await open_endpoint(2905, stack=there) as endpoint:
            endpoint.listen()
            options = [ReceiveBuffer(54_321)]
            channel = await open_association(
                THERE, 2905, local_hosts=[HERE, OTHER], stack=here, options=options
            )
            yield channel, endpoint
            channel.abort()


async def test_flags_of_other_things_leave_heartbeats_on(
    pair: tuple[AssociationChannel, Endpoint],
) -> None:
    channel, _ = pair
    channel.set_option(PeerAddressParams(flags=FLAGS.SACKDELAY_DISABLE))
    flags = channel.get_option(PeerAddressParams).flags
    assert flags is not None
    assert FLAGS.HB_ENABLE in flags


async def test_the_longest_wait_between_two_inits(
    pair: tuple[AssociationChannel, Endpoint],
) -> None:
    _, endpoint = pair
    for milliseconds in 0, 1, 65534, 65535:
        endpoint.set_option(InitMsg(max_init_timeo=milliseconds))
        assert endpoint.get_option(InitMsg).max_init_timeo == milliseconds


async def test_an_attempt_that_counts_0_is_as_many_as_by_default(
    pair: tuple[AssociationChannel, Endpoint],
) -> None:
    _, endpoint = pair
    default = endpoint.get_option(InitMsg).max_attempts
    endpoint.set_option(InitMsg(max_attempts=3))
    assert endpoint.get_option(InitMsg).max_attempts == 3
    endpoint.set_option(InitMsg(max_attempts=0))
    assert endpoint.get_option(InitMsg).max_attempts == default


async def test_what_is_told_of_an_association_is_not_known_of_those_to_come(
    pair: tuple[AssociationChannel, Endpoint],
) -> None:
    channel, endpoint = pair
    (association,) = endpoint.associations.values()
    to_come, own = endpoint.get_option(AssocParams), association.get_option(AssocParams)
    assert (to_come.number_peer_destinations, to_come.peer_rwnd) == (0, 0)
    assert (own.number_peer_destinations, own.peer_rwnd) == (2, 54_321)
    assert to_come.local_rwnd == own.local_rwnd == endpoint.get_option(ReceiveBuffer).size
    assert channel.get_option(AssocParams).number_peer_destinations == 1


async def test_a_limit_of_0_leaves_what_there_was(
    pair: tuple[AssociationChannel, Endpoint],
) -> None:
    channel, _ = pair
    channel.set_option(AssocParams(asocmaxrxt=4, cookie_life=7000))
    channel.set_option(AssocParams(asocmaxrxt=0, cookie_life=0))
    limits = channel.get_option(AssocParams)
    assert (limits.asocmaxrxt, limits.cookie_life) == (4, 7000)
    channel.set_option(PeerAddressParams(pathmaxrxt=3, flags=FLAGS.PMTUD_DISABLE, pathmtu=1000))
    channel.set_option(PeerAddressParams(pathmaxrxt=0, pathmtu=0, sackdelay=0))
    (address,) = channel.peer_addresses
    for of in None, address:
        path = channel.get_option(PeerAddressParams, address=of)
        assert (path.pathmaxrxt, path.pathmtu, path.sackdelay) == (3, 1000, 200)


@pytest.mark.parametrize(
    "same", [(1000, 1000, 1000), (1, 1, 1), (500, 500, 501), (499, 500, 500)], ids=str
)
async def test_bounds_of_the_timeout_may_be_the_same(
    pair: tuple[AssociationChannel, Endpoint], same: tuple[int, int, int]
) -> None:
    channel, _ = pair
    low, first, high = same
    option = RtoInfo(min=low, initial=first, max=high)
    channel.set_option(option)
    assert channel.get_option(RtoInfo) == option


@pytest.mark.parametrize("wrong", [(501, 500, 600), (400, 500, 499)], ids=str)
async def test_bounds_of_the_timeout_in_the_wrong_order(
    pair: tuple[AssociationChannel, Endpoint], wrong: tuple[int, int, int]
) -> None:
    channel, _ = pair
    before = channel.get_option(RtoInfo)
    low, first, high = wrong
    with pytest.raises(ValueError, match="refuses RtoInfo"):
        channel.set_option(RtoInfo(min=low, initial=first, max=high))
    assert channel.get_option(RtoInfo) == before


async def heartbeats(channel: AssociationChannel, seconds: float) -> int:
    """How many are sent in that time."""
    before = channel.statistics().heartbeats_sent
    await trio.sleep(seconds)
    after = channel.statistics().heartbeats_sent
    assert before is not None
    assert after is not None
    return after - before


def heartbeats_sent(channel: AssociationChannel, option: PeerAddressParams) -> int:
    """How many are sent at once when an option is set."""
    before = channel.statistics().heartbeats_sent
    channel.set_option(option)
    after = channel.statistics().heartbeats_sent
    assert before is not None
    assert after is not None
    return after - before


async def test_heartbeats_follow_what_is_set(
    pair: tuple[AssociationChannel, Endpoint], autojump_clock: MockClock
) -> None:
    """From then on: what was to come later, or not at all, comes in time."""
    channel, _ = pair
    (address,) = channel.peer_addresses
    for of in None, address:
        channel.set_option(PeerAddressParams(address=of, hbinterval=100_000))
        assert await heartbeats(channel, 90) == 0
        channel.set_option(PeerAddressParams(address=of, hbinterval=1000))
        assert 3 <= await heartbeats(channel, 10) <= 8
        channel.set_option(PeerAddressParams(address=of, flags=FLAGS.HB_DISABLE))
        assert await heartbeats(channel, 100) == 0
        channel.set_option(PeerAddressParams(address=of, flags=FLAGS.HB_ENABLE))
        assert 3 <= await heartbeats(channel, 10) <= 8
        channel.set_option(PeerAddressParams(address=of, flags=FLAGS.HB_DISABLE))
        assert heartbeats_sent(channel, PeerAddressParams(address=of, pathmaxrxt=9)) == 0
        demand = PeerAddressParams(address=of, flags=FLAGS.HB_DEMAND)
        assert heartbeats_sent(channel, demand) == 1
        assert await heartbeats(channel, 100) == 0
        channel.set_option(PeerAddressParams(address=of, flags=FLAGS.HB_ENABLE))


@pytest.mark.parametrize("told", [True, False])
async def test_a_path_that_fails_is_shown_and_gives_way_as_options_say(
    told: bool, autojump_clock: MockClock
) -> None:
    options = [PeerAddressThresholds(switchover=0), ExposePotentiallyFailed(told)]
    async with simulated_network() as network:
        here, there = network.host(HERE, OTHER), network.host(THERE, ELSEWHERE)
        async with await open_endpoint(2905, hosts=[THERE, ELSEWHERE], stack=there) as endpoint:
            endpoint.listen()
            channel = await open_association(
                [THERE, ELSEWHERE], 2905, local_hosts=[HERE, OTHER], stack=here, options=options
            )
            async with channel.events() as events:
                network.network.partition([HERE], [THERE])
                await channel.send(b"x")
                with trio.move_on_after(5):
                    await channel.wait_sent()
                first, second = channel.paths()
                assert first.state is PathState.POTENTIALLY_FAILED
                assert (first.primary, second.primary) == (False, True)
                assert bool(first.cwnd) is bool(first.rto) is bool(first.mtu) is told
                states: list[object] = []
                with pytest.raises(trio.WouldBlock):
                    while True:
                        event = events.receive_nowait()
                        states.append(getattr(event, "state", None))
                failing = [PeerAddressState.ADDR_POTENTIALLY_FAILED] if told else []
                assert states == [*failing, PeerAddressState.ADDR_MADE_PRIM]
            channel.abort()


async def test_who_begins_to_see_that_all_is_acknowledged_sees_it_at_once(
    pair: tuple[AssociationChannel, Endpoint],
) -> None:
    """And who sees it already does not see it again, unless for one association alone."""
    _, endpoint = pair
    (id,) = endpoint.associations
    dry = SenderDry(association_id=id)

    async def seen(subscription: EventSubscription, *of: int) -> list[object]:
        endpoint.set_option(subscription, *of)
        await wait_all_tasks_blocked()
        records: list[object] = []
        with pytest.raises(trio.WouldBlock):
            while True:
                records.append(endpoint.receive_nowait())
        return records

    shown, hidden = (EventSubscription(sender_dry_event=on) for on in (True, False))
    await seen(hidden)  # and all that has come before
    assert await seen(shown) == [dry]
    assert await seen(shown) == []
    assert await seen(shown, id) == [dry]
    assert await seen(hidden, id) == []
    assert await seen(shown) == []  # the association has a choice of its own


@pytest.mark.parametrize("packets", [0, 1, 4])
async def test_small_messages_share_packets_however_many_may_leave_at_once(
    pair: tuple[AssociationChannel, Endpoint], packets: int
) -> None:
    channel, endpoint = pair
    channel.set_option(MaxBurst(packets))
    before = channel.statistics().packets_sent
    for number in range(50):
        channel.send_nowait(b"%d" % number)
    for number in range(50):
        message = await endpoint.receive()
        while not isinstance(message, Message):
            message = await endpoint.receive()
        assert message.data == b"%d" % number
    assert channel.statistics().packets_sent - before < 5


async def test_a_channels_type_of_service_is_for_its_own_packets(autojump_clock: MockClock) -> None:
    async with simulated_network() as network:
        here, there = network.host(HERE), network.host(THERE)
        seen: dict[bytes, set[int]] = {}

        def look(packet: RoutedPacket) -> None:
            if packet.source == THERE:
                seen.setdefault(packet.data[2:4], set()).add(packet.tos)

        async with await open_listener(2905, stack=there, options=[Tos(0x20)]) as listener:
            clients = [await open_association(THERE, 2905, stack=here) for _ in range(2)]
            channels = [await listener.accept() for _ in clients]
            channels[1].set_option(Tos(0x48))
            network.network.route = look
            clients.append(await open_association(THERE, 2905, stack=here))
            channels.append(await listener.accept())
            for channel in channels:
                await channel.send(b"data")
            for client in clients:
                await client.receive()
            ports = [client.local_addresses[0][1].to_bytes(2, "big") for client in clients]
            for one in *clients, *channels:
                one.abort()
        assert [seen[port] for port in ports] == [{0x20}, {0x48}, {0x20}]
