"""The simulated network as an author of tests meets it: hosts, fixtures, minutes in no time."""

from __future__ import annotations

import errno
from io import BytesIO

import pytest
import trio
import trio.testing

from trio_sctp import (
    Association,
    AssociationChannel,
    AssociationLost,
    AssociationState,
    AssocParams,
    ConnectFailed,
    Endpoint,
    PathState,
    PeerAddressFlags,
    PeerAddressParams,
    RtoInfo,
    open_association,
    open_endpoint,
    open_listener,
    serve,
)
from trio_sctp.testing import Link, SimulatedNetwork, association_pair, simulated_network

pytest_plugins = ["trio_sctp.testing.fixtures"]

Pair = tuple[AssociationChannel, AssociationChannel]


async def test_a_connect_that_nobody_answers_takes_243_seconds(
    autojump_clock: trio.testing.MockClock, sctp_network: SimulatedNetwork
) -> None:
    async with sctp_network.host("192.0.2.1"):
        started = trio.current_time()
        with pytest.raises(ConnectFailed) as failed:
            await open_association("192.0.2.9", 2905)
        assert failed.value.errno == errno.ETIMEDOUT
        assert trio.current_time() - started == 243


async def test_a_port_that_nobody_has_refuses(sctp_network: SimulatedNetwork) -> None:
    sctp_network.host("192.0.2.2")
    async with sctp_network.host("192.0.2.1"):
        with pytest.raises(ConnectFailed) as failed:
            await open_association("192.0.2.2", 2905)
        assert failed.value.errno == errno.ECONNREFUSED


async def test_a_pair(autojump_clock: trio.testing.MockClock, sctp_pair: Pair) -> None:
    client, server = sctp_pair
    await client.send(b"hello", stream=3, ppid=46)
    message = await server.receive()
    assert (message.data, message.stream, message.ppid) == (b"hello", 3, 46)
    await server.eof()
    with pytest.raises(trio.EndOfChannel):
        await client.receive()


async def test_hosts_are_what_no_stack_means(sctp_network: SimulatedNetwork) -> None:
    """A program that names no stack runs unchanged, also in tasks that it starts."""
    left, right = sctp_network.host("192.0.2.1"), sctp_network.host("192.0.2.2")

    async def echo(channel: AssociationChannel) -> None:
        async for message in channel:
            await channel.send(message.data)

    async with trio.open_nursery() as nursery:
        async with right:
            listener = await nursery.start(serve, echo, 2905)
        assert listener.local_addresses == [("192.0.2.2", 2905)]
        async with left, await open_association("192.0.2.2", 2905) as client:
            await client.send(b"hello")
            assert (await client.receive()).data == b"hello"
        nursery.cancel_scope.cancel()


async def test_half_of_the_packets_lost(autojump_clock: trio.testing.MockClock) -> None:
    async with simulated_network(seed=7) as network:
        network.network.default_link.loss = 0.3
        network.network.default_link.delay = 0.02
        left, right = network.host("192.0.2.1"), network.host("192.0.2.2")
        async with await open_listener(2905, stack=right) as listener:
            client = await open_association("192.0.2.2", 2905, stack=left)
            server = await listener.accept()
        for number in range(200):
            await client.send(b"%d" % number, stream=number % 5)
        received = [await server.receive() for _ in range(200)]
        for stream in range(5):
            numbers = [int(message.data) for message in received if message.stream == stream]
            assert numbers == list(range(stream, 200, 5))
        client.abort()
        await trio.aclose_forcefully(server)


async def test_a_partition_is_noticed(autojump_clock: trio.testing.MockClock) -> None:
    impatient = [RtoInfo(initial=100, max=400, min=100), PeerAddressParams(hbinterval=500)]
    async with simulated_network() as network:
        left, right = network.host("192.0.2.1"), network.host("192.0.2.2")
        async with await open_listener(2905, stack=right, options=impatient) as listener:
            client = await open_association("192.0.2.2", 2905, stack=left, options=impatient)
            server = await listener.accept()
        network.network.partition(["192.0.2.1"], ["192.0.2.2"])
        with pytest.raises(AssociationLost) as lost:
            async with client.while_up():
                await trio.sleep_forever()
        assert (lost.value.end.state, lost.value.end.cause) == (AssociationState.COMM_LOST, 0)
        await server.wait_ended()


async def test_two_paths_of_which_one_fails(autojump_clock: trio.testing.MockClock) -> None:
    async with simulated_network() as network:
        left = network.host("10.1.0.1", "10.2.0.1")
        right = network.host("10.1.0.2", "10.2.0.2")
        hosts = ["10.1.0.2", "10.2.0.2"]
        async with await open_listener(2905, hosts=hosts, stack=right) as listener:
            client = await open_association(
                hosts, 2905, local_hosts=["10.1.0.1", "10.2.0.1"], stack=left
            )
            server = await listener.accept()
        assert {path.address[0] for path in client.paths()} == set(hosts)
        await trio.sleep(5)  # the second path is confirmed by then
        network.network.set_link("10.1.0.1", "10.1.0.2", Link(up=False))
        await client.send(b"moves over")
        message = await server.receive()
        assert (message.data, message.address[0]) == (b"moves over", "10.2.0.1")
        client.abort()
        await trio.aclose_forcefully(server)


async def test_a_capture_of_an_association(autojump_clock: trio.testing.MockClock) -> None:
    file = BytesIO()
    async with simulated_network() as network:
        left, right = network.host("192.0.2.1"), network.host("192.0.2.2")
        with network.network.capture(file):
            async with await open_listener(2905, stack=right):
                channel = await open_association("192.0.2.2", 2905, stack=left)
                channel.abort(b"seen enough")
    assert b"seen enough" in file.getvalue()


async def test_a_host_needs_addresses_of_its_own(sctp_network: SimulatedNetwork) -> None:
    with pytest.raises(ValueError, match="at least one address"):
        sctp_network.host()
    sctp_network.host("192.0.2.1")
    with pytest.raises(ValueError, match=r"192\.0\.2\.1"):
        sctp_network.host("192.0.2.1")


async def test_what_is_open_when_the_block_is_left_is_cut_off() -> None:
    async with association_pair() as (client, _):
        await client.send(b"x")
    with pytest.raises(trio.ClosedResourceError):
        await client.send(b"y")


async def test_the_same_seed_is_the_same_run(autojump_clock: trio.testing.MockClock) -> None:
    async def run() -> list[float]:
        times: list[float] = []
        async with simulated_network(seed=3) as network:
            network.network.default_link.loss = 0.2
            network.network.default_link.delay = 0.01
            left, right = network.host("192.0.2.1"), network.host("192.0.2.2")
            async with await open_endpoint(2905, stack=right) as endpoint:
                endpoint.listen()
                channel = await open_association("192.0.2.2", 2905, stack=left)
                started = trio.current_time()
                for _ in range(50):
                    await channel.send(b"x")
                    # Trio runs tasks in an order of its own, and what shares a packet is random.
                    await trio.testing.wait_all_tasks_blocked()
                while len(times) < 50:
                    if hasattr(await endpoint.receive(), "data"):
                        times.append(round(trio.current_time() - started, 6))
                channel.abort()
        return times

    first = await run()
    assert len(set(first)) > 1
    assert await run() == first


async def test_the_path_mtu_is_looked_for_if_it_is_asked_for(
    autojump_clock: trio.testing.MockClock, sctp_pair: Pair
) -> None:
    client, server = sctp_pair
    (path,) = client.paths()
    flags = PeerAddressFlags.PMTUD_ENABLE
    client.set_option(PeerAddressParams(flags=flags))
    assert (client.get_option(PeerAddressParams).flags or 0) & flags
    await client.send(bytes(100_000))
    assert (await server.receive()).data == bytes(100_000)
    assert client.paths()[0].mtu == 1500 > path.mtu
    client.set_option(PeerAddressParams(flags=PeerAddressFlags.PMTUD_DISABLE, pathmtu=1000))
    assert client.paths()[0].mtu == 1000


async def test_more_retransmissions_than_all_paths_have_together(sctp_pair: Pair) -> None:
    client, _ = sctp_pair
    client.set_option(AssocParams(asocmaxrxt=5))
    client.set_option(AssocParams(cookie_life=1000))
    with pytest.warns(RuntimeWarning, match="asocmaxrxt=6 is more than the 5") as warned:
        client.set_option(AssocParams(asocmaxrxt=6))
    assert warned[0].filename == __file__
    assert client.get_option(AssocParams).asocmaxrxt == 6


async def test_a_client_of_several_addresses_need_not_say_which(
    autojump_clock: trio.testing.MockClock, sctp_network: SimulatedNetwork
) -> None:
    """It tells those that it sends from, or its peer would not know the packets of the second."""
    theirs = ["192.0.2.2", "198.51.100.2"]
    ours = ["192.0.2.1", "198.51.100.1"]
    server, client = sctp_network.host(*theirs), sctp_network.host(*ours)
    for n, m in ((0, 1), (1, 0)):
        sctp_network.network.partition([ours[n]], [theirs[m]])
    listener = await open_listener(2905, hosts=theirs, stack=server)
    channel = await open_association(theirs, 2905, stack=client)
    accepted = await listener.accept()
    assert {host for host, *_ in accepted.peer_addresses} == set(ours)
    await trio.sleep(120)
    await channel.send(b"before")
    assert (await accepted.receive()).data == b"before"
    sctp_network.network.partition([ours[0]], [theirs[0]])
    for number in range(20):
        await channel.send(b"%d" % number)
        assert (await accepted.receive()).data == b"%d" % number
        await accepted.send(b"answer")
        assert (await channel.receive()).data == b"answer"
        await trio.sleep(10)
    for one in (channel, accepted):
        one.abort()
    await listener.aclose()


@pytest.mark.parametrize("given", [True, False])
async def test_packets_leave_only_from_addresses_that_the_peer_was_told_of(
    autojump_clock: trio.testing.MockClock, sctp_network: SimulatedNetwork, given: bool
) -> None:
    """A private address is not told to a peer with a public one, so it is not used either."""
    ours, theirs = ["20.0.0.1", "10.0.0.1"], ["20.0.0.2", "10.0.0.2"]
    client, server = sctp_network.host(*ours), sctp_network.host(*theirs)
    listener = await open_listener(2905, hosts=theirs, stack=server)
    local = ours if given else ()
    channel = await open_association(theirs, 2905, local_hosts=local, stack=client)
    accepted = await listener.accept()
    await trio.sleep(120)
    sctp_network.network.partition(ours, theirs[:1])
    await channel.send(b"by the other")
    message = await accepted.receive()
    assert (message.data, message.address[0]) == (b"by the other", "20.0.0.1")
    await accepted.send(b"and back")
    assert (await channel.receive()).data == b"and back"
    for one in (channel, accepted):
        one.abort()
    await listener.aclose()


@pytest.mark.parametrize("lost", [0, 1], ids=["the first INIT arrives", "it is lost"])
async def test_a_private_address_is_known_by_the_init_that_leaves_from_it(
    autojump_clock: trio.testing.MockClock, sctp_network: SimulatedNetwork, lost: int
) -> None:
    """If another INIT is answered, the path from there is given up."""
    theirs = ["20.0.0.2", "2a00::2"]
    client, server = sctp_network.host("10.0.0.1", "2a00::1"), sctp_network.host(*theirs)
    dropped = iter(range(lost))
    sctp_network.network.route = lambda packet: None if next(dropped, None) is None else []
    listener = await open_listener(2905, hosts=theirs, stack=server)
    channel = await open_association(theirs, 2905, stack=client)
    accepted = await listener.accept()
    await trio.sleep(120)
    assert [path.address[0] for path in channel.paths()] == theirs[lost:]
    assert {path.state for path in channel.paths()} == {PathState.ACTIVE}
    await channel.send(b"still there")
    assert (await accepted.receive()).data == b"still there"
    for one in (channel, accepted):
        one.abort()
    await listener.aclose()


async def test_a_message_may_go_to_another_address(
    autojump_clock: trio.testing.MockClock, sctp_network: SimulatedNetwork
) -> None:
    ours, theirs = ["20.0.0.1", "20.1.0.1"], ["20.0.0.2", "20.1.0.2"]
    listener = await open_listener(2905, hosts=theirs, stack=sctp_network.host(*theirs))
    endpoint = await open_endpoint(stack=sctp_network.host(*ours))
    association = await endpoint.connect(theirs, 2905)
    accepted = await listener.accept()
    second = (theirs[1], 2905)
    await trio.sleep(10)  # until it is confirmed
    await association.send(b"by the primary path")
    await association.send(b"by the other", address=second)
    await endpoint.send(b"by id", association.id, address=second)
    endpoint.send_nowait(b"at once", association, address=second)
    await association.send(b"and back")
    came = [await accepted.receive() for _ in range(5)]
    assert [(message.data, message.address[0]) for message in came] == [
        (b"by the primary path", ours[0]),
        (b"by the other", ours[1]),
        (b"by id", ours[1]),
        (b"at once", ours[1]),
        (b"and back", ours[0]),
    ]
    sctp_network.network.partition(ours[1:], theirs[1:])
    for number in range(10):
        await association.send(b"%d" % number, address=second)
        assert (await accepted.receive()).data == b"%d" % number
    await trio.aclose_forcefully(endpoint)
    accepted.abort()
    await listener.aclose()


async def test_both_sides_connect_and_one_was_given_no_addresses(
    autojump_clock: trio.testing.MockClock, sctp_network: SimulatedNetwork
) -> None:
    """Its INIT ACK tells the addresses that its INIT does."""
    ours, theirs = ["20.0.0.1", "20.1.0.1"], ["20.0.0.2", "20.1.0.2"]
    sctp_network.network.default_link.delay = 0.01
    one = await open_endpoint(2905, stack=sctp_network.host(*ours))
    other = await open_endpoint(2905, hosts=theirs, stack=sctp_network.host(*theirs))
    associations: dict[Endpoint, Association] = {}

    async def connect(endpoint: Endpoint, hosts: list[str]) -> None:
        associations[endpoint] = await endpoint.connect(hosts, 2905)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connect, one, theirs)
        nursery.start_soon(connect, other, ours[:1])
    assert {host for host, *_ in associations[other].peer_addresses} == set(ours)
    await trio.sleep(120)
    assert {path.state for path in associations[one].paths()} == {PathState.ACTIVE}
    assert {path.state for path in associations[other].paths()} == {PathState.ACTIVE}
    for endpoint in (one, other):
        await trio.aclose_forcefully(endpoint)
