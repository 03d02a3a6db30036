"""Several addresses on both sides: failover, restart, addresses that come and go."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
import trio

from trio_sctp import (
    Association,
    AssociationChange,
    AssociationState,
    Endpoint,
    Event,
    ExposePotentiallyFailed,
    Message,
    PathState,
    PeerAddressChange,
    PeerAddressFlags,
    PeerAddressInfo,
    PeerAddressParams,
    PeerAddressState,
    PeerAddressThresholds,
    PrimaryAddress,
    SetPeerPrimaryAddress,
    open_association,
    open_endpoint,
)

from .network import Network


class Side:
    """An endpoint of which a task reads everything, so that nothing is in anybody's way."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.messages: list[Message] = []
        self.events: list[Event] = []
        self._arrived = trio.lowlevel.ParkingLot()

    async def read(self) -> None:
        while True:
            for record in await self.endpoint.receive_batch():
                if isinstance(record, Message):
                    self.messages.append(record)
                else:
                    self.events.append(record)
            self._arrived.unpark_all()

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            await self._arrived.park()

    async def change(self, state: AssociationState | PeerAddressState, host: str = "") -> None:
        """Wait for an event, which is then forgotten."""

        def is_it(event: Event) -> bool:
            if isinstance(event, PeerAddressChange):
                return (event.address[0], event.state) == (host, state)
            return isinstance(event, AssociationChange) and event.state is state

        await self.until(lambda: any(map(is_it, self.events)))
        self.events.remove(next(filter(is_it, self.events)))

    async def message(self, data: bytes) -> Message:
        """Wait for a message."""
        await self.until(lambda: any(message.data == data for message in self.messages))
        return next(message for message in self.messages if message.data == data)


@contextlib.asynccontextmanager
async def sides(
    net: Network, server_hosts: Sequence[str], client_hosts: Sequence[str]
) -> AsyncIterator[tuple[Side, Side]]:
    async with (
        await open_endpoint(hosts=server_hosts, options=[net.right]) as server,
        await open_endpoint(hosts=client_hosts, options=[net.left]) as client,
        trio.open_nursery() as nursery,
    ):
        server.listen()
        left, right = Side(client), Side(server)
        nursery.start_soon(left.read)
        nursery.start_soon(right.read)
        yield left, right
        nursery.cancel_scope.cancel()
        for endpoint in client, server:
            for association in endpoint.associations.values():
                association.abort()


@contextlib.asynccontextmanager
async def associated(net: Network) -> AsyncIterator[tuple[Side, Side, Association, Association]]:
    """Both sides, and an association of two paths, both of which are confirmed."""
    async with sides(net, net.right_hosts, net.left_hosts) as (left, right):
        association = await left.endpoint.connect(net.right_hosts, right.endpoint.port)
        await right.change(AssociationState.COMM_UP)
        await right.change(PeerAddressState.ADDR_CONFIRMED, net.left_hosts[1])
        (peer,) = right.endpoint.associations.values()
        yield left, right, association, peer


def hosts(addresses: Sequence[Sequence[object]]) -> set[object]:
    return {address[0] for address in addresses}


def path(association: Association, host: str) -> PeerAddressInfo:
    (found,) = (path for path in association.paths() if path.address[0] == host)
    return found


async def test_a_client_of_several_addresses_need_not_say_which(net: Network) -> None:
    """It tells those that it sends from."""
    async with sides(net, net.right_hosts, []) as (left, right):
        association = await left.endpoint.connect(net.right_hosts, right.endpoint.port)
        await right.change(PeerAddressState.ADDR_CONFIRMED, net.left_hosts[1])
        await association.send(b"before")
        await right.message(b"before")
        net.down(0)
        for number in range(5):
            await association.send(b"%d" % number)
            await right.message(b"%d" % number)


# -- lists of addresses ------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["IPv4", "IPv6", "mixed"])
async def test_both_ends_have_the_addresses_that_were_given(net: Network, family: str) -> None:
    servers = {
        "IPv4": net.right_hosts,
        "IPv6": net.right_hosts6,
        "mixed": [net.right_hosts[0], net.right_hosts6[1]],
    }[family]
    clients = {
        "IPv4": net.left_hosts,
        "IPv6": net.left_hosts6,
        "mixed": [net.left_hosts6[1], net.left_hosts[0]],
    }[family]
    async with sides(net, servers, clients) as (left, right):
        assert hosts(right.endpoint.local_addresses()) == set(servers)
        association = await left.endpoint.connect(servers, right.endpoint.port)
        await right.change(AssociationState.COMM_UP)
        (peer,) = right.endpoint.associations.values()
        assert hosts(association.peer_addresses) == hosts(peer.local_addresses) == set(servers)
        assert hosts(peer.peer_addresses) == hosts(association.local_addresses) == set(clients)
        for host in servers:
            assert left.endpoint.association_at((host, right.endpoint.port)) is association
        assert left.endpoint.association_at((servers[0], 9)) is None
        assert {p.address[0] for p in association.paths()} == set(servers)
        await association.send(b"hello")
        assert (await right.message(b"hello")).address[0] in clients


async def test_a_channel_of_several_addresses(net: Network) -> None:
    async with sides(net, net.right_hosts, ()) as (_, right):
        channel = await open_association(
            net.right_hosts,
            right.endpoint.port,
            local_hosts=net.left_hosts,
            options=[
                net.left,
                PrimaryAddress((net.right_hosts[1], right.endpoint.port)),
                PeerAddressParams(address=(net.right_hosts[0], right.endpoint.port), pathmaxrxt=7),
            ],
        )
        async with channel:
            assert hosts(channel.peer_addresses) == set(net.right_hosts)
            assert hosts(channel.local_addresses) == set(net.left_hosts)
            assert channel.get_option(PrimaryAddress).address[0] == net.right_hosts[1]
            for host, retransmissions in zip(net.right_hosts, (7, 2), strict=True):
                params = channel.get_option(PeerAddressParams, address=(host, right.endpoint.port))
                assert params.pathmaxrxt == retransmissions
            await right.change(AssociationState.COMM_UP)


@pytest.mark.parametrize("kind", [PrimaryAddress, PeerAddressParams])
async def test_an_option_for_an_address_that_is_not_connected_to(net: Network, kind: type) -> None:
    async with sides(net, net.right_hosts, net.left_hosts) as (left, right):
        wrong = kind(address=("10.99.9.9", right.endpoint.port))
        with pytest.raises(ValueError, match=r"10\.99\.9\.9"):
            await left.endpoint.connect(net.right_hosts, right.endpoint.port, options=[wrong])
        assert not left.endpoint.associations


async def test_link_local_addresses_have_a_scope(net: Network) -> None:
    ours = f"fe80::1%{net.interface_index('left', 1)}"
    theirs = f"fe80::2%{net.interface_index('right', 1)}"
    async with sides(net, [theirs], [ours]) as (left, right):
        peer = f"fe80::2%{net.interface_index('left', 1)}"
        association = await left.endpoint.connect(peer, right.endpoint.port)
        (address,) = association.peer_addresses
        assert address == ("fe80::2", right.endpoint.port, 0, net.interface_index("left", 1))
        await association.send(b"hello")
        message = await right.message(b"hello")
        assert message.address[0].startswith("fe80::1")
        assert left.endpoint.association_at(address) is association


# -- paths -------------------------------------------------------------------------------------


async def test_paths_tell_their_state_and_their_numbers(net: Network) -> None:
    async with associated(net) as (left, right, association, _):
        first, second = (path(association, host) for host in net.right_hosts)
        assert (first.primary, second.primary) == (True, False)
        for one in first, second:
            assert one.state is PathState.ACTIVE
            assert one.cwnd > 0
            assert 100 <= one.rto <= 400
            assert one.mtu == 1500
            assert one == association.get_option(PeerAddressInfo, address=one.address)
            assert one == left.endpoint.get_option(
                PeerAddressInfo, association.id, address=one.address
            )
        assert association.status().primary == first
        with pytest.raises(ValueError, match=r"10\.99\.9\.9"):
            association.get_option(PeerAddressInfo, address=("10.99.9.9", right.endpoint.port))


async def test_a_path_is_unconfirmed_until_a_heartbeat_is_answered(net: Network) -> None:
    """One of which the peer tells is; those that a program connects to, Linux takes on trust."""
    net.down(1)
    async with sides(net, net.right_hosts, net.left_hosts) as (left, right):
        right.endpoint.set_option(PeerAddressParams(hbinterval=60_000))
        await left.endpoint.connect(net.right_hosts, right.endpoint.port)
        await right.change(AssociationState.COMM_UP)
        (peer,) = right.endpoint.associations.values()
        second = (net.left_hosts[1], left.endpoint.port)
        assert path(peer, second[0]).state is PathState.UNCONFIRMED
        net.up(1)
        now = PeerAddressParams(address=second, flags=PeerAddressFlags.HB_DEMAND)
        peer.set_option(now)
        await right.change(PeerAddressState.ADDR_CONFIRMED, second[0])
        assert path(peer, second[0]).state is PathState.ACTIVE


async def test_a_link_that_fails_costs_nothing(net: Network) -> None:
    """Traffic moves to the other path and back; each path goes through all of its states."""
    first = net.right_hosts[0]
    async with associated(net) as (left, right, association, _):
        sent = 0

        async def send(count: int) -> None:
            nonlocal sent
            for _ in range(count):
                await association.send(b"%d" % sent, stream=1)
                sent += 1

        await send(50)
        net.down(0)
        await send(50)
        await left.change(PeerAddressState.ADDR_POTENTIALLY_FAILED, first)
        await left.change(PeerAddressState.ADDR_UNREACHABLE, first)
        assert path(association, first).state is PathState.INACTIVE
        assert path(association, first).primary
        await send(50)
        over = await right.message(b"%d" % (sent - 1))
        assert over.address[0] == net.left_hosts[1]
        net.up(0)
        await left.change(PeerAddressState.ADDR_AVAILABLE, first)
        assert path(association, first).state is PathState.ACTIVE
        await send(50)
        back = await right.message(b"%d" % (sent - 1))
        assert back.address[0] == net.left_hosts[0]
        assert [message.data for message in right.messages] == [b"%d" % n for n in range(sent)]
        assert not any(isinstance(event, AssociationChange) for event in left.events)


async def test_links_fail_one_after_the_other(net: Network) -> None:
    """Each link is down for a while; the association and its messages get through it."""
    async with associated(net) as (left, right, association, _):
        for number in range(2):
            link = number % 2
            net.down(link)
            for n in range(20):
                await association.send(b"%d" % (20 * number + n))
            await left.change(PeerAddressState.ADDR_UNREACHABLE, net.right_hosts[link])
            await right.message(b"%d" % (20 * number + 19))
            net.up(link)
            await left.change(PeerAddressState.ADDR_AVAILABLE, net.right_hosts[link])
        assert [message.data for message in right.messages] == [b"%d" % n for n in range(40)]


async def test_when_all_links_fail_the_association_is_lost(net: Network) -> None:
    async with associated(net) as (_, _, association, peer):
        net.down(0)
        net.down(1)
        await association.send(b"in vain", context=5)
        end = await association.wait_ended()
        assert (end.state, end.cause) == (AssociationState.COMM_LOST, 0)
        assert [(failed.data, failed.context) for failed in end.undelivered] == [(b"in vain", 5)]
        assert (await peer.wait_ended()).state is AssociationState.COMM_LOST


async def test_paths_survive_a_kernel_that_hides_potential_failure(net: Network) -> None:
    net.sysctl("pf_expose", 1)
    net.sysctl("path_max_retrans", 9)  # potentially failed for long
    first = net.right_hosts[0]
    async with associated(net) as (left, right, association, _):
        net.down(0)
        await association.send(b"moves over")
        await right.message(b"moves over")
        hidden = path(association, first)
        assert hidden.state is PathState.POTENTIALLY_FAILED
        assert hidden.primary
        assert (hidden.cwnd, hidden.srtt, hidden.rto, hidden.mtu) == (0, 0, 0, 0)
        assert path(association, net.right_hosts[1]).state is PathState.ACTIVE
        assert left.endpoint.association_at((first, right.endpoint.port)) is association
        assert not left.events


async def test_a_program_need_not_be_told_of_potential_failure(net: Network) -> None:
    first = net.right_hosts[0]
    async with associated(net) as (left, right, association, _):
        association.set_option(ExposePotentiallyFailed(False))
        association.set_option(PeerAddressThresholds(pathmaxrxt=9))  # so for long
        net.down(0)
        await association.send(b"moves over")
        await right.message(b"moves over")
        hidden = path(association, first)
        assert hidden.state is PathState.POTENTIALLY_FAILED
        assert (hidden.cwnd, hidden.srtt, hidden.rto, hidden.mtu) == (0, 0, 0, 0)
        net.up(0)
        moved_back = False
        while not moved_back:
            text = b"%d" % len(right.messages)
            await association.send(text)
            moved_back = (await right.message(text)).address[0] == net.left_hosts[0]
        assert not left.events


async def test_a_primary_path_that_fails_gives_way_for_good(net: Network) -> None:
    async with associated(net) as (left, right, association, _):
        association.set_option(PeerAddressThresholds(switchover=1))
        first, second = net.right_hosts
        net.down(0)
        await association.send(b"moves over")
        await left.change(PeerAddressState.ADDR_UNREACHABLE, first)
        assert path(association, second).primary
        net.up(0)
        await left.change(PeerAddressState.ADDR_AVAILABLE, first)
        assert path(association, second).primary
        await association.send(b"stays there")
        assert (await right.message(b"stays there")).address[0] == net.left_hosts[1]


# -- which address -----------------------------------------------------------------------------


async def test_the_primary_address_may_be_changed(net: Network) -> None:
    async with associated(net) as (left, right, association, _):
        port = right.endpoint.port
        for link in 1, 0:
            primary = PrimaryAddress((net.right_hosts[link], port))
            association.set_option(primary)
            assert association.get_option(PrimaryAddress) == primary
            assert left.endpoint.get_option(PrimaryAddress, association) == primary
            assert association.status().primary.address == primary.address
            assert path(association, net.right_hosts[link]).primary
            await left.change(PeerAddressState.ADDR_MADE_PRIM, net.right_hosts[link])
            await association.send(b"%d" % link)
            assert (await right.message(b"%d" % link)).address[0] == net.left_hosts[link]
        with pytest.raises(ValueError, match=r"10\.99\.9\.9"):
            association.set_option(PrimaryAddress(("10.99.9.9", port)))


async def test_the_peer_may_be_asked_to_use_another_address(net: Network) -> None:
    async with associated(net) as (left, right, association, peer):
        second = (net.left_hosts[1], left.endpoint.port)
        association.set_option(SetPeerPrimaryAddress(second))
        await right.change(PeerAddressState.ADDR_MADE_PRIM, second[0])
        assert peer.get_option(PrimaryAddress).address == second
        with pytest.raises(OSError, match="assign"):
            association.set_option(SetPeerPrimaryAddress(("10.99.9.9", left.endpoint.port)))


async def test_a_message_may_go_to_another_address(net: Network) -> None:
    async with associated(net) as (left, right, association, _):
        second = (net.right_hosts[1], right.endpoint.port)
        await association.send(b"by the primary path")
        await association.send(b"by the other", address=second)
        await left.endpoint.send(b"by id", association.id, address=second)
        left.endpoint.send_nowait(b"at once", association, address=second)
        await association.send(b"and back")
        for data, link in (
            (b"by the primary path", 0),
            (b"by the other", 1),
            (b"by id", 1),
            (b"at once", 1),
            (b"and back", 0),
        ):
            assert (await right.message(data)).address[0] == net.left_hosts[link]


async def test_a_message_to_an_address_of_nobody_or_of_another(net: Network) -> None:
    """Linux would set up an association with whoever has that address."""
    async with (
        associated(net) as (left, right, association, _),
        await open_endpoint(hosts=net.right_hosts[1], options=[net.right]) as other,
    ):
        other.listen()
        elsewhere = await left.endpoint.connect(net.right_hosts[1], other.port)
        for wrong in ("10.99.1.9", right.endpoint.port), (net.right_hosts[1], other.port):
            with pytest.raises(ValueError, match="not an address of the peer"):
                await association.send(b"lost", address=wrong)
        assert set(left.endpoint.associations) == {association.id, elsewhere.id}
        elsewhere.abort()


# -- addresses that come and go ----------------------------------------------------------------


async def test_addresses_are_added_to_and_removed_from_a_live_association(net: Network) -> None:
    async with sides(net, net.right_hosts, net.left_hosts[:1]) as (left, right):
        association = await left.endpoint.connect(net.right_hosts, right.endpoint.port)
        await right.change(AssociationState.COMM_UP)
        (peer,) = right.endpoint.associations.values()
        first, second = net.left_hosts

        left.endpoint.add_address(second)
        await right.change(PeerAddressState.ADDR_ADDED, second)
        assert hosts(peer.peer_addresses) == {first, second}
        assert hosts(left.endpoint.local_addresses()) == {first, second}
        await right.change(PeerAddressState.ADDR_CONFIRMED, second)
        assert {p.state for p in peer.paths()} == {PathState.ACTIVE}

        left.endpoint.remove_address(first)
        await right.change(PeerAddressState.ADDR_REMOVED, first)
        assert hosts(peer.peer_addresses) == {second}
        assert hosts(left.endpoint.local_addresses(association)) == {second}
        await association.send(b"still here")
        assert (await right.message(b"still here")).address[0] == second


async def test_addresses_that_cannot_be_added_or_removed(net: Network) -> None:
    async with sides(net, net.right_hosts, net.left_hosts[:1]) as (left, _):
        endpoint = left.endpoint
        first, second = net.left_hosts
        with pytest.raises(ValueError, match=f"{first}.*already"):
            endpoint.add_address(first)
        with pytest.raises(ValueError, match=f"{first}.*last"):
            endpoint.remove_address(first)
        with pytest.raises(ValueError, match=f"{second}.*none of"):
            endpoint.remove_address(second)
        with pytest.raises(OSError, match="assign"):
            endpoint.add_address("10.99.9.9")
        with pytest.raises(ValueError, match="fd99:1::1"):
            endpoint.add_address("fd99:1::1")
        with pytest.raises(ValueError, match="left"):
            endpoint.add_address("left")
        assert hosts(endpoint.local_addresses()) == {first}


# -- restart -----------------------------------------------------------------------------------


async def test_a_restart_keeps_the_id_and_the_handle(net: Network) -> None:
    """A peer whose end nobody heard of comes back from the same port."""
    async with sides(net, net.right_hosts[:1], ()) as (_, right):
        client = await open_endpoint(hosts=net.left_hosts[0], options=[net.left])
        port = client.port
        association = await client.connect(net.right_hosts[0], right.endpoint.port)
        for _ in range(3):
            await association.send(b"before")
        await right.message(b"before")
        (peer,) = right.endpoint.associations.values()
        await peer.send(b"unread by a peer that is gone")

        net.down(0)
        with contextlib.suppress(ZeroDivisionError):
            async with client:
                raise ZeroDivisionError  # an abort, which is lost
        client = await open_endpoint(port, hosts=net.left_hosts[0], options=[net.left])
        net.up(0)
        async with client:
            association = await client.connect(net.right_hosts[0], right.endpoint.port)
            await right.change(AssociationState.RESTART)
            assert list(right.endpoint.associations.values()) == [peer]
            await association.send(b"after")
            after = await right.message(b"after")
            assert (after.association_id, after.ssn) == (peer.id, 0)
            await peer.send(b"and back")
            while not isinstance(record := await client.receive(), Message):
                pass
            assert (record.data, record.ssn) == (b"and back", 0)
            association.abort()
        assert (await peer.wait_ended()).cause == 12
