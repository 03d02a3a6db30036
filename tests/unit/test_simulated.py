"""The simulated network as an author of tests meets it: hosts, fixtures, minutes in no time."""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable
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
    Listener,
    Message,
    PathState,
    PeerAddressFlags,
    PeerAddressParams,
    RtoInfo,
    SetPeerPrimaryAddress,
    StackUnavailable,
    open_association,
    open_endpoint,
    open_listener,
    serve,
    userland,
)
from trio_sctp.testing import (
    Link,
    RoutedPacket,
    SimulatedNetwork,
    association_pair,
    simulated_network,
)

from ..support.resolver import Resolver

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


@pytest.mark.parametrize(
    ("end", "error"),
    [
        ("their abort", AssociationLost),
        ("silence", AssociationLost),
        ("our abort", trio.ClosedResourceError),
    ],
)
async def test_an_association_that_ends_while_a_request_waits_for_its_answer(
    end: str,
    error: type[Exception],
    autojump_clock: trio.testing.MockClock,
    sctp_network: SimulatedNetwork,
) -> None:
    left, right = sctp_network.host("192.0.2.1"), sctp_network.host("192.0.2.2")
    async with await open_listener(2905, stack=right) as listener:
        client = await open_association("192.0.2.2", 2905, stack=left)
        server = await listener.accept()
    sctp_network.network.link("192.0.2.1", "192.0.2.2").loss = 1.0

    async def ask() -> None:
        with pytest.raises(error):
            await client.reset_streams(outgoing=[1])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        if end == "their abort":
            server.abort()
        elif end == "our abort":
            client.abort()
    client.abort()
    server.abort()


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
        for channel in (client, server):
            await channel.aclose()


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


async def test_a_host_gains_and_loses_addresses(
    autojump_clock: trio.testing.MockClock, sctp_network: SimulatedNetwork
) -> None:
    client, server = sctp_network.host("10.0.0.1"), sctp_network.host("10.0.0.2")
    client.add_address("10.0.1.1")
    assert client.own_addresses() == ["10.0.0.1", "10.0.1.1"]
    with pytest.raises(ValueError, match=r"another host has the address '10\.0\.1\.1'"):
        server.add_address("10.0.1.1")
    with pytest.raises(ValueError, match="no host can have"):
        client.add_address("224.0.0.1")
    async with (
        await open_listener(2905, stack=server) as listener,
        await open_association("10.0.0.2", 2905, local_hosts="10.0.1.1", stack=client) as channel,
    ):
        accepted = await listener.accept()
        client.remove_address("10.0.1.1")
        with pytest.raises(ValueError, match=r"'10\.0\.1\.1' is none of the host's addresses"):
            client.remove_address("10.0.1.1")
        with pytest.raises(ValueError, match=r"'10\.0\.0\.1' is the host's last address"):
            client.remove_address("10.0.0.1")
        await channel.send(b"from nowhere")
        await accepted.send(b"to nowhere")
        await trio.sleep(1)
        assert accepted.queue_statistics().messages_received == 0
        server.add_address("10.0.1.1")  # nobody has it now
        channel.abort()
        accepted.abort()


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


# -- links -----------------------------------------------------------------------------------------


async def test_all_links_may_have_something_in_common(
    autojump_clock: trio.testing.MockClock,
) -> None:
    link = Link(delay=0.5)
    async with simulated_network(default_link=link) as network, network.host("192.0.2.1"):
        assert network.network.default_link is link
        network.host("192.0.2.2")
        with pytest.raises(ConnectFailed):
            await open_association("192.0.2.2", 2905)
        assert trio.current_time() == 1.0
    async with association_pair(default_link=link) as (client, server):
        started = trio.current_time()
        await client.send(b"x")
        await server.receive()
        assert trio.current_time() == started + 0.5


async def test_addresses_may_be_spelled_in_any_way(sctp_network: SimulatedNetwork) -> None:
    right = sctp_network.host("FD00:0::2", name="right")
    async with (
        sctp_network.host("FD00:0::1"),
        await open_listener(2905, hosts="fd00::2", stack=right),
    ):
        for host in ("fd00:0:0::2", "right"):
            channel = await open_association(host, 2905)
            assert channel.peer_addresses[0][0] == "fd00::2"
            channel.abort()


# -- names -----------------------------------------------------------------------------------------


async def accept(listener: Listener, received: list[bytes]) -> None:
    async with listener:
        while True:
            async with await listener.accept() as channel:
                received.append((await channel.receive()).data)


async def test_a_host_is_connected_to_by_its_name(
    autojump_clock: trio.testing.MockClock,
    sctp_network: SimulatedNetwork,
    nursery: trio.Nursery,
) -> None:
    received: list[bytes] = []
    async with sctp_network.host("10.0.0.1", name="amf"):
        listener = await open_listener(38412, hosts="amf")
        assert listener.local_addresses == [("10.0.0.1", 38412)]
        nursery.start_soon(accept, listener, received)
    async with sctp_network.host("10.0.0.2", name="gnb"):
        for name in ("amf", "AMF", "Amf"):
            async with await open_association(name, 38412) as channel:
                await channel.send(name.encode())
        async with await open_endpoint() as endpoint:
            association = await endpoint.connect("amf", 38412)
            await endpoint.send(b"connected", association)
            await association.wait_ended()
            await endpoint.send(b"sent to", ("amf", 38412))
            while len(received) < 5:
                await endpoint.receive()
        assert trio.current_time() < 1
    assert received == [b"amf", b"AMF", b"Amf", b"connected", b"sent to"]


async def test_the_addresses_of_a_name_are_tried_in_turn(
    autojump_clock: trio.testing.MockClock, sctp_network: SimulatedNetwork
) -> None:
    """They are one name with several addresses, not one peer."""
    amf = sctp_network.host("10.0.0.1", "fd00::1", "10.1.0.1", name="amf")
    async with (
        sctp_network.host("10.0.0.2", "10.1.0.2"),
        await open_listener(38412, hosts="10.1.0.1", stack=amf),
    ):
        channel = await open_association("amf", 38412)
        assert [host for host, *_ in channel.peer_addresses] == ["10.1.0.1"]
        channel.abort()


async def test_a_name_that_nobody_has_fails_at_once_and_says_which_there_are(
    autojump_clock: trio.testing.MockClock, sctp_network: SimulatedNetwork
) -> None:
    client = sctp_network.host("10.0.0.3")
    async with await open_endpoint(stack=client) as endpoint:
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: open_association("anf", 38412, stack=client),
            lambda: open_listener(38412, hosts="anf", stack=client),
            lambda: open_endpoint(hosts=["10.0.0.3", "anf"], stack=client),
            lambda: endpoint.connect("anf", 38412),
            lambda: endpoint.send(b"x", ("anf", 38412)),
        ]
        for call in calls:
            with pytest.raises(socket.gaierror, match=r"'anf': .* no names, as network\.host"):
                await call()
        sctp_network.host("10.0.0.1", name="amf")
        sctp_network.host("10.0.0.2", name="SMF")
        for call in calls:
            with pytest.raises(socket.gaierror, match=r"'anf': .*; there are amf, SMF$"):
                await call()
    assert trio.current_time() == 0


async def test_each_host_is_localhost_to_itself(sctp_network: SimulatedNetwork) -> None:
    async with sctp_network.host("10.0.0.1"), await open_listener(2905, hosts="localhost"):
        channel = await open_association("localhost", 2905)
        assert channel.peer_addresses == [("10.0.0.1", 2905)]
        channel.abort()


async def test_names_are_those_of_the_stacks_network(sctp_network: SimulatedNetwork) -> None:
    sctp_network.host("10.0.0.1", name="amf")
    gnb = sctp_network.host("10.0.0.2")
    async with simulated_network() as another:
        amf = another.host("10.9.0.1", name="amf")
        async with another.host("10.9.0.2"), await open_listener(38412, stack=amf):
            channel = await open_association("amf", 38412)
            assert channel.peer_addresses == [("10.9.0.1", 38412)]
            channel.abort()
            with pytest.raises(ConnectFailed, match=r"10\.0\.0\.1 port 38412: Connection refused"):
                await open_association("amf", 38412, stack=gnb)


async def test_a_resolver_of_the_programs_own_knows_the_other_names(
    sctp_network: SimulatedNetwork,
) -> None:
    resolver = Resolver()
    resolver.hosts = {"amf": ["10.0.0.9"], "other.test": ["10.0.0.1"]}
    trio.socket.set_custom_hostname_resolver(resolver)
    amf = sctp_network.host("10.0.0.1", name="amf")
    async with sctp_network.host("10.0.0.2"), await open_listener(38412, stack=amf):
        for name in ("amf", "other.test"):
            channel = await open_association(name, 38412)
            assert channel.peer_addresses == [("10.0.0.1", 38412)]
            channel.abort()
        with pytest.raises(socket.gaierror, match=r"nobody\.test"):
            await open_association("nobody.test", 38412)
    assert resolver.asked == [b"other.test", b"nobody.test"]


# -- blocks that are missing, or were left ---------------------------------------------------------


async def test_without_a_hosts_block_there_is_no_stack(
    sctp_network: SimulatedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the machine's, whose packets would be real."""
    monkeypatch.setenv("TRIO_SCTP_STACK", "userland")
    host = sctp_network.host("10.0.0.1", name="amf")

    async def nothing(_: AssociationChannel) -> None: ...

    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: open_association("10.0.0.1", 38412),
        lambda: open_association("amf", 38412),
        lambda: open_endpoint(),
        lambda: open_listener(38412),
        lambda: serve(nothing, 38412),
    ]
    for call in calls:
        with pytest.raises(StackUnavailable, match="async with host:"):
            await call()
    async with host:
        await trio.aclose_forcefully(await open_endpoint())
    for call in calls:
        with pytest.raises(StackUnavailable, match=r"none of its hosts.*stack=host"):
            await call()
    await trio.aclose_forcefully(await open_endpoint(stack=host))


async def test_after_the_networks_block_the_stack_is_what_it_was_before() -> None:
    async with userland(udp_port=9898) as stack:
        async with (
            simulated_network() as network,
            network.host("10.0.0.1") as host,
            await open_endpoint() as endpoint,
        ):
            assert endpoint.stack is host
        async with await open_endpoint() as endpoint:
            assert endpoint.stack is stack


async def test_several_tasks_are_in_a_hosts_block_at_the_same_time(
    sctp_network: SimulatedNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    host, other = sctp_network.host("10.0.0.1"), sctp_network.host("10.0.0.2")

    async def use(seconds: float) -> None:
        async with host:
            await trio.sleep(seconds)
            async with other:
                pass
            async with await open_endpoint() as endpoint:
                assert endpoint.stack is host
        with pytest.raises(StackUnavailable):
            await open_endpoint()

    async with trio.open_nursery() as nursery:
        for seconds in (1, 3, 2):
            nursery.start_soon(use, seconds)


OVER = "the simulated network is over: its block, .*, was left"


async def test_a_network_that_was_left_is_over_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with simulated_network() as network:
        server, client = network.host("10.0.0.1", name="amf"), network.host("10.0.0.2")
        listener = await open_listener(38412, stack=server)
        endpoint = await open_endpoint(stack=client)
        channel = await open_association("10.0.0.1", 38412, stack=client)
        accepted = await listener.accept()
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: open_association("10.0.0.1", 38412, stack=client),
        lambda: open_association("amf", 38412, stack=client),
        lambda: open_endpoint(stack=client),
        lambda: open_listener(2905, stack=server),
        lambda: endpoint.connect("10.0.0.1", 38412),
        lambda: endpoint.connect_init("10.0.0.1", 38412),
        lambda: endpoint.send(b"x", ("10.0.0.1", 38412)),
    ]
    for call in calls:
        with pytest.raises(trio.BrokenResourceError, match=OVER):
            await call()
    async with client:
        with pytest.raises(trio.BrokenResourceError, match=OVER):
            await open_association("10.0.0.1", 38412)
    with pytest.raises(trio.BrokenResourceError, match=OVER):
        network.host("10.0.0.3")
    for receive in (channel.receive, endpoint.receive, listener.accept):
        with pytest.raises(trio.BrokenResourceError):
            await receive()
    for resource in (channel, endpoint, listener, accepted):
        await resource.aclose()
    assert trio.current_time() == 0


async def test_tasks_that_wait_learn_that_the_network_is_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def broken(call: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(trio.BrokenResourceError):
            await call()
        woken.append(call)

    woken: list[object] = []
    async with trio.open_nursery() as nursery, simulated_network() as network:
        server, client = network.host("10.0.0.1"), network.host("10.0.0.2")
        listener = await open_listener(38412, stack=server)
        endpoint = await open_endpoint(stack=client)
        channel = await open_association("10.0.0.1", 38412, stack=client)
        accepted = await listener.accept()
        for call in (
            channel.receive,
            listener.accept,
            endpoint.receive,
            lambda: open_association("10.0.0.9", 38412, stack=client),
        ):
            nursery.start_soon(broken, call)
        await trio.testing.wait_all_tasks_blocked()
        packets = network.network.statistics()
    assert len(woken) == 4
    for resource in (channel, endpoint, listener, accepted):
        await resource.aclose()
    assert network.network.statistics() == packets  # nobody is told over a network that is gone


async def test_a_server_that_was_started_in_a_block_goes_on_after_it(
    sctp_network: SimulatedNetwork, nursery: trio.Nursery
) -> None:
    received: list[bytes] = []
    async with sctp_network.host("10.0.0.1"):
        nursery.start_soon(accept, await open_listener(38412), received)
    async with (
        sctp_network.host("10.0.0.2"),
        await open_association("10.0.0.1", 38412) as channel,
    ):
        await channel.send(b"x")
    assert received == [b"x"]


async def test_a_failure_of_the_network_is_the_tests_and_ends_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def fail(packet: RoutedPacket) -> None:
        if trio.current_time() > 0:
            raise AssertionError("unexpected")

    with pytest.raises(ExceptionGroup) as failed:
        async with simulated_network() as network, network.host("10.0.0.1") as host:
            network.network.route = fail
            await open_association("10.0.0.2", 38412)
    assert failed.group_contains(AssertionError, match="unexpected")
    with pytest.raises(trio.BrokenResourceError, match=OVER):
        await open_endpoint(stack=host)


async def test_any_port_is_one_that_iana_leaves_to_programs() -> None:
    async with (
        simulated_network() as network,
        await open_endpoint(stack=network.host("192.0.2.1")) as endpoint,
    ):
        assert endpoint.port == 49152


async def test_an_endpoint_moves_to_a_network_of_the_other_family_and_back(
    autojump_clock: trio.testing.MockClock, sctp_network: SimulatedNetwork
) -> None:
    """However its addresses are written."""
    ours, theirs = ["2001:db8::1", "192.0.2.1"], ["2001:db8::2", "192.0.2.2"]
    server = await open_endpoint(2905, hosts=theirs, stack=sctp_network.host(*theirs))
    server.listen()
    client = await open_endpoint(hosts=ours[:1], stack=sctp_network.host(*ours))
    association = await client.connect(theirs[0], 2905)
    for come, gone in ("192.0.2.1", "2001:DB8::1"), ("2001:db8:0::1", "192.0.2.1"):
        client.add_address(come)
        client.remove_address(gone)
        await trio.sleep(10)
        (address,) = client.local_addresses()
        assert association.local_addresses == [address]
        await association.send(b"from there")
        while not isinstance(record := await server.receive(), Message):
            pass
        assert record.address[0] == address[0]
    for endpoint in (client, server):
        await trio.aclose_forcefully(endpoint)


async def test_a_peer_that_changes_its_addresses_without_end_does_not_fill_the_log(
    autojump_clock: trio.testing.MockClock,
    sctp_network: SimulatedNetwork,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ours = ["192.0.2.1", "192.0.2.3"]

    async def read(channel: AssociationChannel) -> None:
        async for _ in channel:
            pass

    async with trio.open_nursery() as nursery:
        async with sctp_network.host("192.0.2.2"):
            await nursery.start(serve, read, 2905)
        client = await open_association(
            "192.0.2.2", 2905, local_hosts=ours, stack=sctp_network.host(*ours)
        )
        await trio.sleep(10)
        caplog.clear()
        for n in range(100):
            client.set_option(SetPeerPrimaryAddress(client.local_addresses[n % 2]))
            await trio.sleep(0.01)
        await client.aclose()
        nursery.cancel_scope.cancel()
    lines = [record.message for record in caplog.records if "is primary now" in record.message]
    assert len(lines) == 1
