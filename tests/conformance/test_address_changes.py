"""Addresses that come and go while an association is up (RFC 5061)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from trio_sctp import (
    Address,
    AsconfSupported,
    AsconfWithoutAuth,
    Association,
    AuthSupported,
    Endpoint,
    EventSubscription,
    Message,
    OptionUnsupported,
    PathState,
    PeerAddressChange,
    PeerAddressState,
    PrimaryAddress,
    SetPeerPrimaryAddress,
)

from .helpers import Pair, StackUnderTest

PATHS = EventSubscription(address_event=True)


def options(stack: StackUnderTest) -> list[AuthSupported | AsconfSupported]:
    """What has both ends agree on it, where it is not on by default."""
    return [AuthSupported(True), AsconfSupported(True)] if stack.stack == "kernel" else []


@asynccontextmanager
async def associated(stack: StackUnderTest) -> AsyncIterator[Pair]:
    """A client and a server that is told of the client's paths."""
    async with stack.pair(
        client_options=options(stack), server_options=[*options(stack), PATHS]
    ) as pair:
        yield pair


async def change(endpoint: Endpoint, state: PeerAddressState, host: str) -> None:
    """Take records up to this change of a path."""
    while True:
        record = await endpoint.receive()
        if isinstance(record, PeerAddressChange) and record.state is state:
            assert record.address[0] == host
            return


async def message(endpoint: Endpoint, data: bytes) -> Message:
    """Take records up to this message."""
    while True:
        record = await endpoint.receive()
        if isinstance(record, Message):
            assert record.data == data
            return record


def hosts(addresses: Iterable[Address]) -> set[str]:
    return {address[0] for address in addresses}


async def test_an_address_is_added_and_another_removed(stack: StackUnderTest) -> None:
    first, second = stack.host, stack.second_host
    async with associated(stack) as pair:
        association, peer = pair.association, pair.peer
        pair.client.add_address(second)
        assert hosts(pair.client.local_addresses()) == {first, second}
        await change(pair.server, PeerAddressState.ADDR_ADDED, second)
        assert hosts(peer.peer_addresses) == {first, second}
        await change(pair.server, PeerAddressState.ADDR_CONFIRMED, second)
        assert {path.state for path in peer.paths()} == {PathState.ACTIVE}

        pair.client.remove_address(first)
        await change(pair.server, PeerAddressState.ADDR_REMOVED, first)
        assert hosts(peer.peer_addresses) == {second}
        assert hosts(pair.client.local_addresses()) == {second}
        assert hosts(association.local_addresses) == {second}
        await association.send(b"from there")
        assert (await message(pair.server, b"from there")).address[0] == second
        await peer.send(b"to there")
        await message(pair.client, b"to there")


async def test_an_only_address_is_exchanged(stack: StackUnderTest) -> None:
    """While messages are under way in both directions."""
    async with associated(stack) as pair:
        for n in range(100):
            await pair.association.send(b"%d" % n)
            await pair.peer.send(b"%d" % n)
            if n == 30:
                pair.client.add_address(stack.second_host)
                pair.client.remove_address(stack.host)
        for n in range(100):
            await message(pair.server, b"%d" % n)
            await message(pair.client, b"%d" % n)
        await pair.association.send(b"last")
        await message(pair.server, b"last")


async def test_the_peer_is_asked_to_send_elsewhere(stack: StackUnderTest) -> None:
    async with associated(stack) as pair:
        pair.client.add_address(stack.second_host)
        await change(pair.server, PeerAddressState.ADDR_CONFIRMED, stack.second_host)
        second = (stack.second_host, pair.client.port)
        pair.association.set_option(SetPeerPrimaryAddress(second))
        await change(pair.server, PeerAddressState.ADDR_MADE_PRIM, stack.second_host)
        assert pair.peer.get_option(PrimaryAddress) == PrimaryAddress(second)
        for nobodys in ("192.0.2.9", pair.client.port), (stack.second_host, 1):
            with pytest.raises(OSError, match="assign"):
                pair.association.set_option(SetPeerPrimaryAddress(nobodys))


async def test_a_peer_that_takes_no_asconf(stack: StackUnderTest) -> None:
    """The address is for associations to come, and the others keep what they have."""
    off = [AsconfSupported(False)]
    async with stack.pair(client_options=options(stack), server_options=off) as pair:
        assert not pair.association.get_option(AsconfSupported).enabled
        pair.client.add_address(stack.second_host)
        pair.client.remove_address(stack.host)
        await pair.association.send(b"as before")
        await message(pair.server, b"as before")
        await pair.peer.send(b"and back")
        await message(pair.client, b"and back")
        assert hosts(pair.peer.peer_addresses) == {stack.host}
        with pytest.raises(OptionUnsupported, match="ASCONF"):
            ask_for(pair.association, stack.host, pair.client.port)
        async with stack.listening() as elsewhere:
            other = await pair.client.connect(stack.host, elsewhere.port)
            assert hosts(other.local_addresses) == {stack.second_host}


def ask_for(association: Association, host: str, port: int) -> None:
    association.set_option(SetPeerPrimaryAddress((host, port)))


async def test_addresses_that_cannot_be_added_or_removed(stack: StackUnderTest) -> None:
    async with associated(stack) as pair:
        client = pair.client
        with pytest.raises(ValueError, match=r"127\.0\.0\.1.*already"):
            client.add_address(stack.host)
        with pytest.raises(ValueError, match=r"127\.0\.0\.1.*last"):
            client.remove_address(stack.host)
        with pytest.raises(ValueError, match=r"127\.0\.0\.2.*none of"):
            client.remove_address(stack.second_host)
        with pytest.raises(OSError, match=r"192\.0\.2\.9"):
            client.add_address("192.0.2.9")
        with pytest.raises(ValueError, match="IPv4 endpoint takes no IPv6"):
            client.add_address(stack.host6)
        assert hosts(client.local_addresses()) == {stack.host}
    async with stack.endpoint(hosts=()) as endpoint:
        with pytest.raises(ValueError, match=r"bound already|has them all"):
            endpoint.add_address(stack.second_host)


async def test_without_authentication_only_if_asked_for(stack: StackUnderTest) -> None:
    if stack.stack == "kernel":
        async with stack.endpoint() as endpoint:
            with pytest.raises(OptionUnsupported, match="addip_noauth_enable"):
                endpoint.set_option(AsconfWithoutAuth(True))
        return
    anyhow = [AsconfWithoutAuth(True), AuthSupported(False)]
    async with stack.pair(client_options=anyhow, server_options=[*anyhow, PATHS]) as pair:
        assert pair.client.get_option(AsconfWithoutAuth) == AsconfWithoutAuth(True)
        assert pair.association.get_option(AsconfSupported).enabled
        pair.client.add_address(stack.second_host)
        await change(pair.server, PeerAddressState.ADDR_ADDED, stack.second_host)
    async with stack.pair(client_options=[AuthSupported(False)]) as pair:
        assert not pair.association.get_option(AsconfSupported).enabled
