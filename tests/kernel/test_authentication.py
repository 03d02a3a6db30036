"""Authentication (RFC 4895) where the administrator has not switched it on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from trio_sctp import (
    ActiveKey,
    AssociationChannel,
    AuthChunks,
    AuthenticationChange,
    AuthenticationState,
    AuthKey,
    AuthSupported,
    EventSubscription,
    HmacAlgorithm,
    HmacAlgorithms,
    LocalAuthChunks,
    Option,
    OptionUnsupported,
    open_association,
    open_endpoint,
    open_listener,
)

HOST = "127.0.0.1"
OPTIONS: list[Option] = [
    AuthChunks([0]),
    HmacAlgorithms([HmacAlgorithm.SHA_1]),
    AuthKey(1, b"secret"),
    ActiveKey(0),
]


@pytest.fixture(autouse=True)
def off(sysctl: Callable[[str, object], None]) -> None:
    sysctl("net.sctp.auth_enable", 0)


async def test_what_needs_it_says_so() -> None:
    endpoint = await open_endpoint(hosts=HOST, stack="kernel")
    calls: list[Callable[[], Any]] = [
        *(lambda option=option: endpoint.set_option(option) for option in OPTIONS),
        lambda: endpoint.get_option(LocalAuthChunks),
        lambda: endpoint.get_option(HmacAlgorithms),
        lambda: endpoint.get_option(ActiveKey),
        lambda: endpoint.deactivate_key(1),
        lambda: endpoint.delete_key(1),
    ]
    for call in calls:
        with pytest.raises(OptionUnsupported, match=r"AuthSupported.*net\.sctp\.auth_enable"):
            call()
    await trio.aclose_forcefully(endpoint)


async def test_a_socket_can_switch_it_on_for_itself() -> None:
    options = [AuthSupported(True), *OPTIONS]
    async with await open_listener(0, hosts=HOST, options=options, stack="kernel") as listener:
        client = await open_association(HOST, listener.port, options=options, stack="kernel")
        async with client, await listener.accept() as server:
            assert client.get_option(AuthSupported) == AuthSupported(True)
            await client.send(b"authenticated")
            assert (await server.receive()).data == b"authenticated"


async def test_another_key_is_told_of_while_our_own_is_another() -> None:
    """For each packet, and not at all to the end that has changed first."""
    options: list[Option] = [
        AuthSupported(True),
        AuthChunks([0]),
        AuthKey(1, b"secret"),
        EventSubscription(authentication_event=True),
    ]
    told: dict[AssociationChannel, list[int]] = {}

    async def listen(channel: AssociationChannel) -> None:
        told[channel] = []
        async with channel.events() as events:
            async for event in events:
                if isinstance(event, AuthenticationChange):
                    assert event.indication is AuthenticationState.NEW_KEY
                    told[channel].append(event.keynumber)

    async with (
        await open_listener(0, hosts=HOST, options=options, stack="kernel") as listener,
        await open_association(HOST, listener.port, options=options, stack="kernel") as first,
        await listener.accept() as second,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(listen, first)
        nursery.start_soon(listen, second)
        for sender, receiver in (first, second), (second, first):
            sender.set_option(ActiveKey(1))
            for _ in range(3):
                await sender.send(b"data")
                await receiver.receive()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert told == {first: [], second: [1, 1, 1]}
