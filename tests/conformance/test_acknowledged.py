"""Whether what was sent has arrived, and how long the way is: `wait_sent` and `ping`."""

from __future__ import annotations

import errno

import pytest
import trio
import trio.testing

from trio_sctp import (
    AssociationChange,
    AssociationLost,
    EventSubscription,
    InitMsg,
    OptionUnsupported,
    RtoInfo,
    SenderDry,
    SendFailed,
)

from .helpers import (
    SMALL_BUFFERS,
    Pair,
    StackUnderTest,
    blocked,
    fill,
    next_message,
    raises,
    send_numbers,
    take,
    until,
)

# -- wait_sent ---------------------------------------------------------------------------------


async def test_all_that_was_sent_is_acknowledged(pair: Pair) -> None:
    for number in range(3):
        await send_numbers(pair.association, range(number * 10))
        await pair.association.wait_sent()
        assert pair.association.status().unackdata == 0
        assert pair.client._socket.raw.is_dry(pair.association.id)


async def test_it_waits_for_a_peer_that_does_not_read(stack: StackUnderTest) -> None:
    async with stack.channels(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as (
        client,
        server,
    ):
        sent = await fill(client)
        finished: list[int] = []

        async def wait(number: int) -> None:
            await client.wait_sent()
            finished.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(wait, number)
            await trio.testing.wait_all_tasks_blocked(0.01)
            await trio.sleep(0.1)
            assert not finished
            for _ in range(sent):
                await server.receive()
        assert sorted(finished) == [0, 1, 2]


async def test_what_was_given_up_is_not_waited_for(stack: StackUnderTest) -> None:
    async with (
        stack.channels(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as (client, _),
        client.events() as events,
    ):
        with trio.move_on_after(0.5):
            while True:
                await client.send(bytes(1000), lifetime=200)
        await client.wait_sent()
        assert isinstance(await events.receive(), SendFailed)


async def test_what_was_acknowledged_before_does_not_count(stack: StackUnderTest) -> None:
    """The stack has said so of earlier messages, and nobody has read that yet."""
    dry = EventSubscription(sender_dry_event=True)
    async with stack.channels(
        client_options=[*SMALL_BUFFERS, dry], server_options=SMALL_BUFFERS
    ) as (client, server):
        await client.send(b"x")
        await server.receive()
        await until(lambda: client._socket.raw.is_dry(client.id))
        sent = await fill(client)
        with trio.move_on_after(0.3) as scope:
            await client.wait_sent()
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.wait_sent)
            for _ in range(sent):
                await server.receive()


async def test_nobody_sees_that_it_was_asked(pair: Pair) -> None:
    raw = pair.client._socket.raw
    subscription = raw.subscription(pair.association.id)
    async with pair.client.active(100) as inbox:
        await pair.association.send(b"x")
        await pair.association.wait_sent()
        with trio.CancelScope() as scope:
            scope.cancel()
            await pair.association.wait_sent()
        await pair.association.wait_sent()
        await pair.peer.send(b"1")
        assert await take(inbox.receive, 1) == [1]
        assert inbox.credit == 99
    assert raw.subscription(pair.association.id) == subscription


async def test_when_cancelled_it_no_longer_asks(stack: StackUnderTest) -> None:
    async with stack.pair(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as pair:
        raw = pair.client._socket.raw
        subscription = raw.subscription(pair.association.id)
        sent = await fill(pair.association)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.association.wait_sent)
            with trio.move_on_after(0.01) as scope:
                await pair.association.wait_sent()
            assert scope.cancelled_caught
            await take(pair.server.receive, sent)
        assert raw.subscription(pair.association.id) == subscription
        await pair.peer.send(b"1")
        assert await take(pair.client.receive, 1) == [1]


async def test_whoever_subscribes_sees_it_as_ever(stack: StackUnderTest) -> None:
    dry = EventSubscription(sender_dry_event=True)
    async with stack.channels() as (client, _), client.events() as events:
        client.set_option(dry)
        assert isinstance(await events.receive(), SenderDry)  # It is dry already.
        await client.send(b"x")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.wait_sent)
            nursery.start_soon(client.wait_sent)
            assert isinstance(await events.receive(), SenderDry)
        await client.wait_sent()
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()
        await client.send(b"x")
        assert isinstance(await events.receive(), SenderDry)


async def test_subscribing_to_other_events_meanwhile(stack: StackUnderTest) -> None:
    async with stack.pair(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as pair:
        sent = await fill(pair.association)
        async with blocked(pair.association.wait_sent):
            pair.client.set_option(EventSubscription(peer_error_event=False))
            await take(pair.server.receive, sent)
        sent = await fill(pair.association)
        async with blocked(pair.association.wait_sent):
            pair.association.set_option(EventSubscription(peer_error_event=True))
            await take(pair.server.receive, sent)


async def test_it_waits_beside_a_receiver(stack: StackUnderTest) -> None:
    async with stack.channels(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as (
        client,
        server,
    ):
        sent = await fill(client)
        async with blocked(client.receive), blocked(client.wait_sent):
            for _ in range(sent):
                await server.receive()
            await server.send(b"x")


async def test_behind_a_full_store(pair: Pair) -> None:
    await send_numbers(pair.peer, range(350))
    await pair.peer.wait_sent()
    await pair.association.send(b"x")
    await pair.association.wait_sent()
    assert await take(pair.client.receive, 350) == list(range(350))
    assert (await next_message(pair.server)).data == b"x"


async def test_lost_while_waiting(stack: StackUnderTest) -> None:
    async with stack.channels(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as (
        client,
        server,
    ):
        await fill(client)
        async with (
            blocked(raises, AssociationLost, client.wait_sent),
            blocked(raises, AssociationLost, client.wait_sent),
        ):
            server.abort()
        await raises(AssociationLost, client.wait_sent)


@pytest.mark.parametrize("how", ["abort", "forcefully"])
async def test_closed_while_waiting(stack: StackUnderTest, how: str) -> None:
    async with stack.channels(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as (
        client,
        _,
    ):
        await fill(client)
        async with blocked(raises, trio.ClosedResourceError, client.wait_sent):
            if how == "abort":
                client.abort()
            else:
                await trio.aclose_forcefully(client)
        await raises(trio.ClosedResourceError, client.wait_sent)


async def test_a_graceful_end_says_that_all_was_acknowledged(stack: StackUnderTest) -> None:
    async with stack.channels(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as (
        client,
        server,
    ):
        sent = await fill(client)
        async with blocked(client.wait_sent), blocked(client.aclose):
            for _ in range(sent):
                await server.receive()
            await raises(trio.EndOfChannel, server.receive)
        await client.wait_sent()


async def test_while_the_peer_shuts_down(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        await client.send(b"x")
        await server.eof()
        await client.wait_sent()
        await client.wait_ended()
        await client.wait_sent()


async def test_a_half_open_association_has_sent_nothing(
    stack: StackUnderTest, black_hole: str
) -> None:
    patience = [InitMsg(max_attempts=2, max_init_timeo=100), RtoInfo(initial=100, min=100, max=200)]
    async with stack.endpoint(hosts=(), options=patience) as client:
        association = await client.connect_init(black_hole, 2905)
        await association.send(b"x")
        await raises(AssociationLost, association.wait_sent)


async def test_sent_while_half_open(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        association = await client.connect_init(stack.host, server.port)
        await association.send(b"x")
        await association.wait_sent()
        assert isinstance(await server.receive(), AssociationChange)
        assert (await next_message(server)).data == b"x"


async def test_peeled_off_while_waiting(stack: StackUnderTest) -> None:
    async with stack.pair(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as pair:
        sent = await fill(pair.association)
        async with blocked(pair.association.wait_sent):
            channel = pair.client.peeloff(pair.association)
            await take(pair.server.receive, sent)
        await channel.wait_sent()
        await raises(trio.ClosedResourceError, pair.association.wait_sent)
        channel.abort()


# -- ping --------------------------------------------------------------------------------------


async def test_a_ping_takes_some_time(pair: Pair, request: pytest.FixtureRequest) -> None:
    if "kernel" in request.node.name:
        with pytest.raises(OptionUnsupported, match=r"paths\(\)") as unsupported:
            await pair.association.ping()
        assert unsupported.value.errno == errno.EOPNOTSUPP
        return
    for address in None, *pair.association.peer_addresses:
        assert 0 < await pair.association.ping(address) < 1


async def test_several_tasks_ping(pair: Pair, request: pytest.FixtureRequest) -> None:
    if "kernel" in request.node.name:
        pytest.skip("Linux reports no answer to a heartbeat")
    took: list[float] = []

    async def ping() -> None:
        took.append(await pair.association.ping())

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ping)
    assert len(took) == 5
    assert len(set(took)) == 1


async def test_a_ping_behind_a_full_store(pair: Pair, request: pytest.FixtureRequest) -> None:
    if "kernel" in request.node.name:
        pytest.skip("Linux reports no answer to a heartbeat")
    await send_numbers(pair.peer, range(350))
    await pair.peer.wait_sent()
    assert await pair.association.ping() > 0
    assert await take(pair.client.receive, 350) == list(range(350))


@pytest.mark.parametrize("address", [("192.0.2.77", 2905), ("127.0.0.1", 1), ("::9", 2905)])
async def test_only_the_peers_addresses_are_pinged(pair: Pair, address: tuple[str, int]) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1"):
        await pair.association.ping(address)
    with pytest.raises(TypeError, match="tuple"):
        await pair.association.ping("127.0.0.1")  # type: ignore[arg-type]


async def test_a_ping_of_what_has_ended(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        client.abort()
        await server.wait_ended()
        await raises(AssociationLost, server.ping)
        await raises(trio.ClosedResourceError, client.ping)
    async with stack.channels() as (client, server):
        await client.eof()
        await raises(trio.ClosedResourceError, client.ping)


async def test_a_cancelled_ping_changes_nothing(pair: Pair, request: pytest.FixtureRequest) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await pair.association.ping()
    assert scope.cancelled_caught
    if "kernel" in request.node.name:
        return
    for moment in range(20):
        with trio.move_on_after(moment / 10_000):
            await pair.association.ping()
    assert await pair.association.ping() > 0
