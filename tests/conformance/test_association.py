"""Associations: handles on an endpoint, and channels with a queue of their own."""

from __future__ import annotations

import errno
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from trio_sctp import (
    AssociationChange,
    AssociationChannel,
    AssociationEnd,
    AssociationLost,
    AssociationState,
    ConnectFailed,
    EventSubscription,
    InitMsg,
    Message,
    NoDelay,
    Passive,
    RtoInfo,
    SendBuffer,
    ShutdownReceived,
    Window,
    open_association,
)

from .helpers import (
    SMALL_BUFFERS,
    Pair,
    StackUnderTest,
    blocked,
    cancelled_when_lost,
    collect,
    fill,
    keep,
    next_change,
    numbers,
    raises,
    send_numbers,
    take,
    until,
)

Channels = tuple[AssociationChannel, AssociationChannel]


@pytest.fixture
async def channels(stack: StackUnderTest) -> Any:
    async with stack.channels() as channels:
        yield channels


@pytest.fixture
async def narrow(stack: StackUnderTest) -> Any:
    """Channels with little room."""
    async with stack.channels(
        client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS
    ) as channels:
        yield channels


# -- open_association ------------------------------------------------------------------------


async def test_open_association_returns_a_channel_that_is_up(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        with trio.testing.assert_checkpoints():
            channel = await stack.open_association(listener.port)
        async with channel:
            assert isinstance(channel, AssociationChannel)
            assert channel.outbound_streams > 0
            assert channel.inbound_streams > 0
            assert channel.peer_addresses == [(stack.host, listener.port)]
            channel.abort()


async def test_both_sides_agree(channels: Channels) -> None:
    client, server = channels
    assert client.outbound_streams == server.inbound_streams
    assert client.inbound_streams == server.outbound_streams
    assert server.local_addresses == client.peer_addresses


async def test_open_association_binds_what_is_given(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint:
        free = endpoint.port
    async with stack.listener() as listener:
        channel = await stack.open_association(
            listener.port, local_hosts=[stack.second_host], local_port=free
        )
        assert channel.local_addresses == [(stack.second_host, free)]
        server = await listener.accept()
        assert server.peer_addresses == [(stack.second_host, free)]
        channel.abort()
        server.abort()


async def test_open_association_takes_options(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        options = [InitMsg(num_ostreams=3), RtoInfo(max=5000), NoDelay(False)]
        channel = await stack.open_association(listener.port, options=options)
        assert channel.outbound_streams == 3
        assert channel.get_option(RtoInfo).max == 5000
        channel.abort()


async def test_open_association_where_nobody_listens(stack: StackUnderTest) -> None:
    async with stack.endpoint() as closed:
        with pytest.raises(ConnectFailed) as caught:
            await stack.open_association(closed.port)
        assert caught.value.errno == errno.ECONNREFUSED


async def test_open_association_where_nobody_answers(
    stack: StackUnderTest, black_hole: str
) -> None:
    patience = [InitMsg(max_attempts=2, max_init_timeo=100), RtoInfo(initial=100, min=100, max=200)]
    with pytest.raises(ConnectFailed) as caught:
        await stack.open_association(2905, hosts=black_hole, options=patience)
    assert caught.value.errno == errno.ETIMEDOUT


async def test_open_association_may_be_cancelled(stack: StackUnderTest, black_hole: str) -> None:
    with trio.move_on_after(0.05) as scope:
        await stack.open_association(2905, hosts=black_hole)
    assert scope.cancelled_caught


async def test_open_association_to_several_addresses(stack: StackUnderTest) -> None:
    hosts = [stack.host, stack.second_host]
    async with stack.listening(hosts=hosts) as server:
        channel = await stack.open_association(server.port, hosts=hosts)
        assert {host for host, *_ in channel.peer_addresses} == set(hosts)
        channel.abort()


@pytest.mark.parametrize("port", [0, -1, 65536])
async def test_open_association_to_a_port_out_of_range(stack: StackUnderTest, port: int) -> None:
    with pytest.raises(ValueError, match=str(port)):
        await stack.open_association(port)


async def test_open_association_to_no_host(stack: StackUnderTest) -> None:
    with pytest.raises(ValueError, match="host"):
        await stack.open_association(2905, hosts=[])


async def test_open_association_over_ipv6(stack: StackUnderTest) -> None:
    async with stack.listening(hosts=stack.host6) as server:
        channel = await stack.open_association(server.port, hosts=stack.host6)
        assert channel.peer_addresses == [(stack.host6, server.port, 0, 0)]
        channel.abort()


# -- receive ---------------------------------------------------------------------------------


async def test_a_channel_receives_messages_only(channels: Channels) -> None:
    client, server = channels
    await client.send(b"0", stream=3, ppid=46, unordered=True)
    message = await server.receive()
    assert isinstance(message, Message)
    assert (message.data, message.stream, message.ppid) == (b"0", 3, 46)
    assert message.unordered
    assert message.association_id == server.id
    assert message.address == client.local_addresses[0]


async def test_both_directions(channels: Channels) -> None:
    client, server = channels
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_numbers, client, range(100))
        nursery.start_soon(send_numbers, server, range(100))
        assert await take(client.receive, 100) == list(range(100))
        assert await take(server.receive, 100) == list(range(100))


async def test_iteration_ends_at_the_graceful_end(channels: Channels) -> None:
    client, server = channels
    await send_numbers(client, range(3))
    await client.eof()
    assert numbers([message async for message in server]) == [0, 1, 2]


async def test_end_of_channel_comes_again(channels: Channels) -> None:
    client, server = channels
    await client.eof()
    for _ in range(3):
        await raises(trio.EndOfChannel, server.receive)
        await raises(trio.EndOfChannel, server.receive_batch)


async def test_after_own_eof_what_the_peer_sent_is_received(channels: Channels) -> None:
    client, server = channels
    await send_numbers(server, range(3))
    await client.eof()
    assert numbers([message async for message in client]) == [0, 1, 2]


async def test_iteration_fails_at_another_end(channels: Channels) -> None:
    client, server = channels
    received: list[object] = []
    await send_numbers(client, range(3))
    client.abort(b"the reason")
    with pytest.raises(AssociationLost) as caught:
        await collect(server, received)
    assert received == [0, 1, 2]
    assert caught.value.association is server
    end = caught.value.end
    assert (end.state, end.cause) == (AssociationState.COMM_LOST, 12)
    assert end.reason == b"the reason"
    assert not end.graceful


async def test_lost_comes_again(channels: Channels) -> None:
    client, server = channels
    client.abort()
    for _ in range(3):
        await raises(AssociationLost, server.receive)
        await raises(AssociationLost, server.receive_batch)


async def test_lost_is_trios_broken_resource(channels: Channels) -> None:
    client, server = channels
    client.abort(b"the reason")
    with pytest.raises(trio.BrokenResourceError, match="the reason"):
        await server.receive()


async def test_a_batch_of_a_channel(channels: Channels) -> None:
    client, server = channels
    await send_numbers(client, range(10))
    received: list[object] = []
    while len(received) < 10:
        batch = await server.receive_batch(4)
        assert 1 <= len(batch) <= 4
        received += numbers(batch)
    assert received == list(range(10))


async def test_one_task_receives_at_a_time(channels: Channels) -> None:
    client, server = channels
    received: list[object] = []
    async with blocked(keep, received, server.receive):
        await raises(trio.BusyResourceError, server.receive)
        with pytest.raises(trio.BusyResourceError):
            async with server.active(1):
                pytest.fail("was entered")
        await client.send(b"0")
    assert numbers(received) == [0]


async def test_no_receive_while_active(channels: Channels) -> None:
    async with channels[1].active(1):
        await raises(trio.BusyResourceError, channels[1].receive)


async def test_active_continues_where_receive_left_off(channels: Channels) -> None:
    client, server = channels
    await send_numbers(client, range(3))
    assert await take(server.receive, 1) == [0]
    async with server.active(Window(10)) as inbox:
        assert await take(inbox.receive, 1) == [1]
    assert await take(server.receive, 1) == [2]


# -- the peer ends it ------------------------------------------------------------------------


async def test_send_after_the_peers_graceful_end(channels: Channels) -> None:
    client, server = channels
    await client.eof()
    await server.wait_ended()
    with pytest.raises(AssociationLost) as caught:
        await server.send(b"x")
    assert caught.value.association is server
    assert caught.value.end.state is AssociationState.SHUTDOWN_COMP
    with pytest.raises(AssociationLost):
        server.send_nowait(b"x")


async def test_send_after_the_peers_abort(channels: Channels) -> None:
    client, server = channels
    client.abort(b"why")
    with pytest.raises(AssociationLost) as caught:
        await send_numbers(server, range(1000))
    assert caught.value.association is server
    assert (caught.value.end.cause, caught.value.end.reason) == (12, b"why")


async def test_an_end_wakes_a_blocked_receive_also_if_nobody_wants_its_event(
    stack: StackUnderTest,
) -> None:
    unseen = [EventSubscription(association_event=False)]
    async with (
        stack.channels(client_options=unseen) as (client, server),
        blocked(raises, trio.EndOfChannel, client.receive),
    ):
        await server.aclose()


async def test_the_peers_abort_wakes_a_blocked_receive(channels: Channels) -> None:
    client, server = channels
    async with blocked(raises, AssociationLost, server.receive):
        client.abort()


async def test_the_peers_eof_wakes_a_blocked_receive(channels: Channels) -> None:
    client, server = channels
    async with blocked(raises, trio.EndOfChannel, server.receive):
        await client.eof()


async def test_the_peers_abort_wakes_a_blocked_send(narrow: Channels) -> None:
    client, server = narrow
    await fill(client)
    async with blocked(raises, AssociationLost, client.send, bytes(1000)):
        server.abort()


async def test_the_peers_abort_wakes_all_blocked_senders_of_an_endpoint(
    stack: StackUnderTest,
) -> None:
    async with stack.pair(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as pair:
        await fill(pair.association)
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(raises, AssociationLost, pair.association.send, bytes(1000))
            await trio.testing.wait_all_tasks_blocked()
            pair.peer.abort()


async def test_the_peers_eof_wakes_a_blocked_send(narrow: Channels) -> None:
    client, server = narrow
    await fill(client)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(raises, AssociationLost, client.send, bytes(1000))
        await trio.testing.wait_all_tasks_blocked()
        await server.eof()
        nursery.start_soon(server.wait_ended)
        while True:
            try:
                await server.receive()
            except trio.EndOfChannel:
                break


# -- we end it -------------------------------------------------------------------------------


async def test_send_after_own_eof(channels: Channels) -> None:
    client, _ = channels
    await client.eof()
    await raises(trio.ClosedResourceError, client.send, b"x")
    with pytest.raises(trio.ClosedResourceError):
        client.send_nowait(b"x")


async def test_the_peers_abort_after_own_eof_is_a_loss(narrow: Channels) -> None:
    """It was shut down here, and not aborted here."""
    client, server = narrow
    await fill(client)
    await client.eof()
    async with blocked(raises, AssociationLost, client.wait_sent):
        server.abort()
    await raises(AssociationLost, client.eof)
    await raises(AssociationLost, client.wait_sent)


async def test_own_eof_wakes_a_blocked_send(narrow: Channels) -> None:
    client, _ = narrow
    await fill(client)
    async with blocked(raises, trio.ClosedResourceError, client.send, bytes(1000)):
        await client.eof()


async def test_own_eof_wakes_blocked_senders_of_an_endpoint(stack: StackUnderTest) -> None:
    async with stack.pair(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as pair:
        await fill(pair.association)
        async with blocked(raises, trio.ClosedResourceError, pair.association.send, bytes(1000)):
            await pair.association.eof()


@pytest.mark.parametrize("method", ["receive", "receive_batch"])
async def test_own_abort_wakes_a_blocked_receive(channels: Channels, method: str) -> None:
    client, _ = channels
    async with blocked(raises, trio.ClosedResourceError, getattr(client, method)):
        client.abort()
    await raises(trio.ClosedResourceError, client.receive)


async def test_own_abort_wakes_a_blocked_send(narrow: Channels) -> None:
    client, server = narrow
    await fill(client)
    async with blocked(raises, trio.ClosedResourceError, client.send, bytes(1000)):
        client.abort()
    assert (await server.wait_ended()).cause == 12


async def test_own_abort_wakes_blocked_senders_of_an_endpoint(stack: StackUnderTest) -> None:
    async with stack.pair(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as pair:
        await fill(pair.association)
        async with blocked(raises, trio.ClosedResourceError, pair.association.send, bytes(1000)):
            pair.association.abort()


async def test_a_second_abort_changes_nothing(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        pair.association.abort(b"the reason")
        pair.association.abort(b"another")
        assert (await pair.association.wait_ended()).reason == b"the reason"


async def test_an_abort_after_the_end_does_not_make_it_ours(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        pair.peer.abort(b"why")
        await pair.association.wait_ended()
        pair.association.abort()
        with pytest.raises(AssociationLost, match="why"):
            await pair.client.send(b"late", pair.association)


async def test_own_abort_is_known_at_once(channels: Channels) -> None:
    client, _ = channels
    client.abort(b"the reason")
    end = await client.wait_ended()
    assert (end.state, end.cause) == (AssociationState.COMM_LOST, 12)
    assert end.reason == b"the reason"


async def test_own_aclose_wakes_a_blocked_receive(channels: Channels) -> None:
    client, _ = channels
    async with blocked(raises, trio.ClosedResourceError, client.receive):
        await client.aclose()


async def test_own_aclose_wakes_a_blocked_send(narrow: Channels) -> None:
    client, server = narrow
    sent = await fill(client)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(raises, trio.ClosedResourceError, client.send, bytes(1000))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(client.aclose)
        assert numbers([message async for message in server]) == list(range(sent))


async def test_aclose_ends_gracefully(channels: Channels) -> None:
    client, server = channels
    await send_numbers(client, range(3))
    await client.aclose()
    assert (await client.wait_ended()).graceful
    assert numbers([message async for message in server]) == [0, 1, 2]


async def test_aclose_discards_what_the_peer_sent(channels: Channels) -> None:
    client, server = channels
    await send_numbers(server, range(100))
    await client.aclose()
    assert (await server.wait_ended()).graceful


async def test_aclose_twice(channels: Channels) -> None:
    client, _ = channels
    await client.aclose()
    with trio.testing.assert_checkpoints():
        await client.aclose()


async def test_aclose_from_two_tasks(channels: Channels) -> None:
    client, server = channels
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.aclose)
        nursery.start_soon(client.aclose)
    assert (await server.wait_ended()).graceful


async def test_aclose_of_both_sides_at_once(channels: Channels) -> None:
    client, server = channels
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.aclose)
        nursery.start_soon(server.aclose)
    assert (await client.wait_ended()).graceful
    assert (await server.wait_ended()).graceful


async def test_aclose_after_the_end(channels: Channels) -> None:
    client, server = channels
    client.abort()
    await server.wait_ended()
    await server.aclose()
    await raises(trio.ClosedResourceError, server.receive)


async def test_a_closed_channel(channels: Channels) -> None:
    client, _ = channels
    await client.aclose()
    await raises(trio.ClosedResourceError, client.receive)
    await raises(trio.ClosedResourceError, client.receive_batch)
    await raises(trio.ClosedResourceError, client.send, b"x")
    with pytest.raises(trio.ClosedResourceError):
        client.send_nowait(b"x")
    with pytest.raises(trio.ClosedResourceError):
        client.status()
    with pytest.raises(trio.ClosedResourceError):
        _ = client.peer_addresses
    with pytest.raises(trio.ClosedResourceError):
        async with client.active(1):
            pytest.fail("was entered")
    client.abort()
    assert (await client.wait_ended()).graceful


async def test_a_cancelled_aclose_closes_and_the_peer_sees_a_graceful_end(
    channels: Channels,
) -> None:
    client, server = channels
    await send_numbers(server, range(10))
    await send_numbers(client, range(3))
    with trio.testing.assert_checkpoints():
        await trio.aclose_forcefully(client)
    await raises(trio.ClosedResourceError, client.receive)
    assert numbers([message async for message in server]) == [0, 1, 2]


async def test_an_aclose_that_waits_may_be_cancelled(narrow: Channels) -> None:
    client, server = narrow
    sent = await fill(client)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.aclose)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    await raises(trio.ClosedResourceError, client.send, b"x")
    assert numbers([message async for message in server]) == list(range(sent))


async def test_abort_after_aclose_began(narrow: Channels) -> None:
    client, server = narrow
    await fill(client)
    async with blocked(client.aclose):
        client.abort(b"enough")
    assert (await server.wait_ended()).reason == b"enough"


# -- wait_ended ------------------------------------------------------------------------------


async def test_wait_ended_for_several_tasks(channels: Channels) -> None:
    client, server = channels
    ends: list[Any] = []
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(keep, ends, server.wait_ended)
        await trio.testing.wait_all_tasks_blocked()
        client.abort(b"why")
    assert (
        ends
        == [
            AssociationEnd(
                association_id=server.id, state=AssociationState.COMM_LOST, cause=12, reason=b"why"
            )
        ]
        * 5
    )


async def test_wait_ended_after_the_end(channels: Channels) -> None:
    client, server = channels
    client.abort()
    end = await server.wait_ended()
    with trio.testing.assert_checkpoints():
        assert await server.wait_ended() == end


async def test_wait_ended_takes_no_record(channels: Channels) -> None:
    client, server = channels
    await send_numbers(client, range(3))
    await client.eof()
    assert (await server.wait_ended()).graceful
    assert numbers([message async for message in server]) == [0, 1, 2]


async def test_wait_ended_beside_a_receiver(channels: Channels) -> None:
    client, server = channels
    ends: list[Any] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep, ends, server.wait_ended)
        await send_numbers(client, range(3))
        await client.eof()
        assert numbers([message async for message in server]) == [0, 1, 2]
    assert ends[0].graceful


async def test_wait_ended_needs_no_reader_of_the_endpoint(pair: Pair) -> None:
    await send_numbers(pair.association, range(3))
    pair.association.abort()
    assert (await pair.peer.wait_ended()).state is AssociationState.COMM_LOST
    assert await take(pair.server.receive, 3) == [0, 1, 2]
    assert (await next_change(pair.server)).state is AssociationState.COMM_LOST


async def test_wait_ended_needs_no_credit(pair: Pair) -> None:
    async with pair.server.active(0) as inbox:
        await send_numbers(pair.association, range(3))
        pair.association.abort()
        assert (await pair.peer.wait_ended()).state is AssociationState.COMM_LOST
        assert inbox.credit == 0
        inbox.grant(3)
        assert await take(inbox.receive, 5) == [Passive(), 0, 1, 2, Passive()]


@pytest.mark.parametrize("end", ["abort", "eof"])
async def test_wait_ended_behind_many_unread_messages(pair: Pair, end: str) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.peer.wait_ended)
        await send_numbers(pair.association, range(350))
        if end == "eof":
            await pair.association.eof()
        else:
            pair.association.abort()
    assert await take(pair.server.receive, 350) == list(range(350))


async def test_a_cancelled_wait_ended_hands_on_to_the_others(channels: Channels) -> None:
    client, server = channels
    ends: list[Any] = []
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(keep, ends, server.wait_ended)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
        with trio.move_on_after(0.01):
            await server.wait_ended()
        client.abort()
    assert ends[0].cause == 12


# -- while_up --------------------------------------------------------------------------------


async def test_while_up_yields_nothing_and_passes(channels: Channels) -> None:
    client, server = channels
    async with client.while_up() as nothing:
        await client.send(b"0")
    assert nothing is None
    assert await take(server.receive, 1) == [0]
    await server.send(b"1")
    assert await take(client.receive, 1) == [1]


async def test_while_up_cancels_its_body_when_the_association_is_lost(channels: Channels) -> None:
    client, server = channels
    client.abort(b"why")
    with pytest.raises(AssociationLost) as caught:
        await stay(server)
    assert caught.value.association is server
    assert caught.value.end.reason == b"why"


async def test_while_up_cancels_at_once_with_records_unread(channels: Channels) -> None:
    client, server = channels
    await send_numbers(client, range(3))
    client.abort()
    await raises(AssociationLost, stay, server)
    assert await take(server.receive, 3) == [0, 1, 2]


async def stay(association: Any) -> None:
    async with association.while_up():
        await trio.sleep_forever()


async def test_while_up_cancels_tasks_of_the_body(channels: Channels) -> None:
    client, server = channels
    cancelled = []

    async def work(number: int) -> None:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.append(number)

    async def body() -> None:
        async with server.while_up(), trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(work, number)

    async with blocked(raises, AssociationLost, body):
        client.abort()
    assert sorted(cancelled) == [0, 1, 2]


async def test_while_up_waits_for_the_last_record_at_a_graceful_end(channels: Channels) -> None:
    client, server = channels
    received: list[object] = []
    await send_numbers(client, range(3))
    await client.eof()
    await server.wait_ended()
    with pytest.raises(trio.EndOfChannel):
        async with server.while_up():
            while True:
                message = await server.receive()
                await trio.testing.wait_all_tasks_blocked(0.002)
                received += numbers([message])
    assert received == [0, 1, 2]


async def test_while_up_lets_go_of_who_waits_at_a_graceful_end(channels: Channels) -> None:
    client, server = channels
    async with blocked(stay, server):
        await client.eof()


async def test_while_up_counts_what_an_inbox_holds(channels: Channels) -> None:
    client, server = channels
    received: list[object] = []
    async with server.active(Window(10)) as inbox:
        await send_numbers(client, range(3))
        await client.eof()
        await server.wait_ended()
        async with server.while_up():
            async for record in inbox:
                await trio.testing.wait_all_tasks_blocked(0.002)
                received.append(record)
    assert isinstance(received[-1], AssociationChange)
    assert [n for n in numbers(received) if isinstance(n, int)] == [0, 1, 2]


async def test_while_up_of_a_handle_waits_until_the_endpoint_was_read(pair: Pair) -> None:
    await send_numbers(pair.association, range(3))
    await pair.association.eof()
    await pair.peer.wait_ended()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stay, pair.peer)
        assert await take(pair.server.receive, 3) == [0, 1, 2]
        assert await pair.server.receive() == ShutdownReceived(association_id=pair.peer.id)
        assert (await next_change(pair.server)).state is AssociationState.SHUTDOWN_COMP
        await trio.testing.wait_all_tasks_blocked(0.002)
        assert nursery.child_tasks  # the last record is still being handled
        with trio.move_on_after(0):
            await pair.server.receive()


async def test_while_up_of_a_handle_when_the_association_is_lost(pair: Pair) -> None:
    async with blocked(raises, AssociationLost, stay, pair.peer):
        pair.association.abort()


async def test_while_up_of_an_association_that_was_lost_before(channels: Channels) -> None:
    client, server = channels
    client.abort()
    await server.wait_ended()
    await raises(AssociationLost, stay, server)


async def test_while_up_of_an_association_that_ended_before(channels: Channels) -> None:
    client, server = channels
    await client.eof()
    await server.wait_ended()
    await stay(server)


async def receive_all(channel: AssociationChannel) -> None:
    while True:
        await channel.receive()


async def send_all(channel: AssociationChannel) -> None:
    while True:
        await channel.send(b"x")


@pytest.mark.parametrize("tasks", [[receive_all], [send_all], [receive_all, send_all]])
async def test_a_loss_leaves_while_up_as_one_error_whatever_its_nursery_held(
    channels: Channels, tasks: list[Callable[[AssociationChannel], Awaitable[None]]]
) -> None:
    client, server = channels
    with pytest.raises(AssociationLost) as caught:
        async with server.while_up(), trio.open_nursery() as nursery:
            for task in tasks:
                nursery.start_soon(task, server)
            await client.send(b"x")
            if send_all in tasks:
                await client.receive()
            client.abort()
    assert caught.value.association is server


async def test_so_does_a_loss_with_an_inbox_in_the_nursery(channels: Channels) -> None:
    client, server = channels

    async def deliver() -> None:
        async with server.active(5) as inbox:
            async for _ in inbox:
                inbox.grant(1)

    with pytest.raises(AssociationLost):
        async with server.while_up(), trio.open_nursery() as nursery:
            nursery.start_soon(deliver)
            await client.send(b"x")
            client.abort()


async def test_a_sender_learns_of_a_graceful_end_by_one_error(channels: Channels) -> None:
    client, server = channels

    async def receive() -> None:
        async for _ in server:
            pass

    with pytest.raises(AssociationLost) as caught:
        async with server.while_up(), trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            nursery.start_soon(send_all, server)
            await client.receive()
            await client.eof()
            async for _ in client:
                pass
    assert caught.value.association is server


async def test_after_our_own_abort_the_error_of_while_up_is_one_too(channels: Channels) -> None:
    client, server = channels
    with pytest.raises(trio.ClosedResourceError):
        async with server.while_up(), trio.open_nursery() as nursery:
            nursery.start_soon(receive_all, server)
            nursery.start_soon(send_all, server)
            await client.receive()
            server.abort()


async def test_after_our_own_abort_of_a_handle_too(pair: Pair) -> None:
    """Its endpoint is open."""
    with pytest.raises(trio.ClosedResourceError):
        async with pair.association.while_up(), trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            pair.association.abort()
            await pair.association.send(b"x")
    assert pair.client.port


async def test_what_else_is_broken_or_closed_passes_while_up_unchanged(
    channels: Channels,
) -> None:
    for error in trio.BrokenResourceError, trio.ClosedResourceError:
        with pytest.RaisesGroup(error):
            async with channels[0].while_up(), trio.open_nursery():
                raise error


async def test_a_loss_in_a_while_up_that_is_cancelled_is_one_error_too(channels: Channels) -> None:
    client, server = channels
    client.abort()
    await server.wait_ended()
    with trio.CancelScope() as scope:
        with pytest.raises(AssociationLost) as caught:
            async with server.while_up(drain=True):
                scope.cancel()
                await cancelled_when_lost(server)
        assert caught.value.association is server


async def test_the_loss_of_another_association_passes_while_up_unchanged(
    stack: StackUnderTest,
) -> None:
    async with stack.channels() as (_, server), stack.channels() as (client, other):
        client.abort()
        await other.wait_ended()
        with pytest.raises(ExceptionGroup) as caught:
            async with server.while_up(), trio.open_nursery() as nursery:
                nursery.start_soon(receive_all, other)
        assert caught.group_contains(AssociationLost)


@pytest.mark.parametrize("drain", [False, True])
async def test_with_drain_what_came_before_a_loss_is_handled_first(
    channels: Channels, drain: bool
) -> None:
    client, server = channels
    await send_numbers(client, range(3))
    await until(lambda: client.status().unackdata == 0)
    client.abort()
    await server.wait_ended()
    received: list[object] = []
    with pytest.raises(AssociationLost):
        async with server.while_up(drain=drain):
            while True:
                message = await server.receive()
                await trio.testing.wait_all_tasks_blocked(0.002)
                received += numbers([message])
    assert received == ([0, 1, 2] if drain else [])


async def test_several_while_ups(channels: Channels) -> None:
    client, server = channels
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(raises, AssociationLost, stay, server)
        await trio.testing.wait_all_tasks_blocked()
        client.abort()


async def test_nested_while_ups_of_two_associations(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server), stack.channels() as (_, other):

        async def body() -> None:
            async with server.while_up():
                await stay(other)

        client.abort()
        with pytest.raises(AssociationLost) as caught:
            await body()
        assert caught.value.association is server


async def test_the_bodys_exception_passes_while_up_unchanged(channels: Channels) -> None:
    error = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with channels[0].while_up():
            raise error
    assert caught.value is error


async def test_the_bodys_group_passes_while_up_unchanged(channels: Channels) -> None:
    error = ExceptionGroup("mine", [KeyError(), ValueError()])
    with pytest.raises(ExceptionGroup) as caught:
        async with channels[0].while_up():
            raise error
    assert caught.value is error


async def test_the_bodys_exception_passes_when_the_association_is_lost_too(
    channels: Channels,
) -> None:
    client, server = channels
    error = KeyError("mine")

    async def body() -> None:
        async with server.while_up():
            try:
                await trio.sleep_forever()
            finally:
                raise error

    client.abort()
    with pytest.raises(KeyError) as caught:
        await body()
    assert caught.value is error


async def test_the_bodys_own_cancel_scope_is_its_own(channels: Channels) -> None:
    async with channels[0].while_up():
        with trio.move_on_after(0.001) as scope:
            await trio.sleep_forever()
        assert scope.cancelled_caught
        await trio.lowlevel.checkpoint()


async def test_a_scope_around_while_up_is_its_own(channels: Channels) -> None:
    client, server = channels
    with trio.move_on_after(0.001) as scope:
        await stay(client)
    assert scope.cancelled_caught
    await client.send(b"0")
    assert await take(server.receive, 1) == [0]


async def test_a_graceful_end_inside_while_up_ends_iteration(channels: Channels) -> None:
    client, server = channels
    received: list[object] = []
    await send_numbers(client, range(3))
    await client.eof()
    async with server.while_up():
        async for message in server:
            received += numbers([message])
    assert received == [0, 1, 2]


# -- async with ------------------------------------------------------------------------------


async def test_a_channel_as_a_context_ends_gracefully(channels: Channels) -> None:
    client, server = channels
    async with client as entered:
        assert entered is client
        await client.send(b"0")
    assert numbers([message async for message in server]) == [0]
    await raises(trio.ClosedResourceError, client.receive)


async def test_a_channel_left_by_an_exception_aborts(channels: Channels) -> None:
    client, server = channels
    error = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with client:
            raise error
    assert caught.value is error
    assert (await server.wait_ended()).state is AssociationState.COMM_LOST
    await raises(trio.ClosedResourceError, client.receive)


async def test_a_channel_left_by_cancellation_aborts(channels: Channels) -> None:
    client, server = channels
    with trio.CancelScope() as scope:
        async with client:
            scope.cancel()
            await trio.sleep_forever()
    assert (await server.wait_ended()).state is AssociationState.COMM_LOST


async def test_a_channel_whose_leaving_is_cancelled_aborts(narrow: Channels) -> None:
    client, server = narrow
    await fill(client)
    with trio.move_on_after(0.01) as scope:
        async with client:
            pass
    assert scope.cancelled_caught
    assert (await server.wait_ended()).state is AssociationState.COMM_LOST


async def test_a_handle_as_a_context_ends_gracefully(pair: Pair) -> None:
    async with pair.association as entered:
        assert entered is pair.association
        await pair.association.send(b"0")
    assert await take(pair.server.receive, 1) == [0]
    assert await pair.server.receive() == ShutdownReceived(association_id=pair.peer.id)
    assert (await next_change(pair.server)).state is AssociationState.SHUTDOWN_COMP
    assert not pair.client.associations


async def test_a_handle_left_by_an_exception_aborts(pair: Pair) -> None:
    with pytest.raises(KeyError):
        async with pair.association:
            raise KeyError
    assert (await next_change(pair.server)).state is AssociationState.COMM_LOST


async def test_a_handle_left_by_cancellation_aborts(pair: Pair) -> None:
    with trio.CancelScope() as scope:
        async with pair.association:
            scope.cancel()
            await trio.sleep_forever()
    assert (await next_change(pair.server)).state is AssociationState.COMM_LOST


async def test_leaving_a_context_after_the_peers_end(channels: Channels) -> None:
    client, server = channels
    async with server:
        await client.eof()
        await server.wait_ended()


async def test_leaving_a_context_after_the_peers_abort(channels: Channels) -> None:
    client, server = channels
    async with server:
        client.abort()
        await server.wait_ended()


async def test_leaving_a_handles_context_after_the_peers_abort(pair: Pair) -> None:
    async with pair.peer:
        pair.association.abort()
        await pair.peer.wait_ended()


async def test_leaving_a_handles_context_while_the_peer_aborts(pair: Pair) -> None:
    async with pair.peer:
        pair.association.abort()
    assert (await pair.peer.wait_ended()).state is AssociationState.COMM_LOST


# -- peeloff ---------------------------------------------------------------------------------


async def test_peeloff_gives_a_queue_of_its_own(pair: Pair) -> None:
    channel = pair.server.peeloff(pair.peer.id)
    async with channel:
        assert channel.id == pair.peer.id
        assert not pair.server.associations
        assert channel.peer_addresses == pair.association.local_addresses
        assert channel.outbound_streams == pair.association.inbound_streams
        await pair.association.send(b"0")
        assert await take(channel.receive, 1) == [0]
        await channel.send(b"1", stream=2, ppid=46)
        message = await pair.client.receive()
        assert isinstance(message, Message)
        assert (message.data, message.stream, message.ppid) == (b"1", 2, 46)


async def test_peeloff_moves_unread_records_in_order_and_in_front(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, stack.endpoint() as other:
        association, _ = await stack.associate(other, pair.server)
        for number in range(10):
            await (pair.association, association)[number % 2].send(b"%d" % number)
        assert await take(pair.server.receive, 2) == [0, 1]
        channel = pair.server.peeloff(pair.peer)
        await send_numbers(pair.association, range(10, 13))
        assert await take(channel.receive, 7) == [2, 4, 6, 8, 10, 11, 12]
        assert await take(pair.server.receive, 4) == [3, 5, 7, 9]
        channel.abort()


async def test_peeloff_moves_records_from_the_inbox_and_returns_no_credit(
    stack: StackUnderTest,
) -> None:
    async with stack.pair() as pair, stack.endpoint() as other:
        association, _ = await stack.associate(other, pair.server)
        for number in range(8):
            await (pair.association, association)[number % 2].send(b"%d" % number)
        async with pair.server.active(4) as inbox:
            await until(lambda: inbox.credit == 0)
            channel = pair.server.peeloff(pair.peer)
            assert inbox.credit == 0
            assert await take(channel.receive, 4) == [0, 2, 4, 6]
            assert await take(inbox.receive, 3) == [1, 3, Passive()]
            inbox.grant(2)
            assert await take(inbox.receive, 3) == [5, 7, Passive()]
            channel.abort()


async def test_peeloff_gives_a_window_its_room_back(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, stack.endpoint() as other:
        association, _ = await stack.associate(other, pair.server)
        async with pair.server.active(Window(2)) as inbox:
            await send_numbers(pair.association, range(2))
            await until(lambda: inbox.credit == 0)
            channel = pair.server.peeloff(pair.peer)
            await send_numbers(association, range(2))
            assert await take(inbox.receive, 2) == [0, 1]
            assert await take(channel.receive, 2) == [0, 1]
            channel.abort()


@pytest.mark.kernel_only("elsewhere all of it arrives between two looks")
async def test_peeloff_in_the_middle_of_a_message(stack: StackUnderTest) -> None:
    value = bytes(range(250)) * 600
    async with (
        stack.pair(server_options=SMALL_BUFFERS, client_options=[SendBuffer(2**19)]) as pair,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(pair.association.send, value)
        async with pair.server.active(Window(10)):
            await until(lambda: pair.server.statistics().buffered_bytes)
            channel = pair.server.peeloff(pair.peer)
        assert (await channel.receive()).data == value
        channel.abort()


async def test_peeloff_moves_blocked_senders(stack: StackUnderTest) -> None:
    async with stack.pair(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as pair:
        sent = await fill(pair.peer)
        async with trio.open_nursery() as nursery:
            for number in range(sent, sent + 3):
                nursery.start_soon(pair.peer.send, (b"%d" % number).ljust(1000))
                await trio.testing.wait_all_tasks_blocked()
            channel = pair.server.peeloff(pair.peer)
            nursery.start_soon(channel.send, b"%d" % (sent + 3))
            assert await take(pair.client.receive, sent + 4) == list(range(sent + 4))
        channel.abort()


async def test_peeloff_closes_the_old_handle(pair: Pair) -> None:
    channel = pair.server.peeloff(pair.peer)
    old = pair.peer
    await raises(trio.ClosedResourceError, old.send, b"x")
    await raises(trio.ClosedResourceError, old.eof)
    await raises(trio.ClosedResourceError, pair.server.send, b"x", old)
    for step in (
        lambda: old.send_nowait(b"x"),
        old.abort,
        old.status,
        lambda: old.local_addresses,
        lambda: old.peer_addresses,
        lambda: old.get_option(RtoInfo),
        lambda: old.set_option(RtoInfo(max=5000)),
        lambda: pair.server.peeloff(old),
    ):
        with pytest.raises(trio.ClosedResourceError):
            step()
    await pair.association.send(b"0")
    assert await take(channel.receive, 1) == [0]
    channel.abort()


async def test_a_peeled_off_id_is_gone_from_the_endpoint(pair: Pair) -> None:
    channel = pair.server.peeloff(pair.peer)
    await raises(AssociationLost, pair.server.send, b"x", channel.id)
    with pytest.raises(AssociationLost):
        pair.server.peeloff(channel.id)
    channel.abort()


async def test_wait_ended_and_while_up_follow_the_channel(pair: Pair) -> None:
    ends: list[Any] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep, ends, pair.peer.wait_ended)
        nursery.start_soon(raises, AssociationLost, stay, pair.peer)
        await trio.testing.wait_all_tasks_blocked()
        channel = pair.server.peeloff(pair.peer)
        nursery.start_soon(keep, ends, pair.peer.wait_ended)
        nursery.start_soon(raises, AssociationLost, stay, pair.peer)
        await trio.testing.wait_all_tasks_blocked()
        pair.association.abort(b"why")
    assert [end.reason for end in ends] == [b"why"] * 2
    assert (await channel.wait_ended()).reason == b"why"
    await trio.aclose_forcefully(channel)


async def test_a_peeled_off_channel_outlives_its_endpoint(pair: Pair) -> None:
    channel = pair.server.peeloff(pair.peer)
    await pair.server.aclose()
    await pair.association.send(b"0")
    assert await take(channel.receive, 1) == [0]
    channel.abort()


async def test_peeloff_leaves_other_associations_alone(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, stack.endpoint() as other:
        association, peer = await stack.associate(other, pair.server)
        received: list[object] = []
        async with blocked(keep, received, pair.server.receive):
            channel = pair.server.peeloff(pair.peer)
            await pair.association.send(b"1")
            assert await take(channel.receive, 1) == [1]
            assert not received
            await association.send(b"0")
        assert numbers(received) == [0]
        assert list(pair.server.associations) == [peer.id]
        channel.abort()


async def test_peeloff_of_an_association_that_ended(pair: Pair) -> None:
    pair.association.abort()
    await pair.peer.wait_ended()
    with pytest.raises(AssociationLost):
        pair.server.peeloff(pair.peer)
    with pytest.raises(AssociationLost):
        pair.server.peeloff(pair.peer.id)


async def test_peeloff_keeps_the_associations_options(pair: Pair) -> None:
    pair.server.set_option(RtoInfo(max=7000), pair.peer)
    channel = pair.server.peeloff(pair.peer)
    assert channel.get_option(RtoInfo).max == 7000
    channel.abort()


async def test_a_peeled_off_channel_shows_its_events(pair: Pair) -> None:
    channel = pair.server.peeloff(pair.peer)
    async with channel.active(Window(10)) as inbox:
        await pair.association.eof()
        assert await inbox.receive() == ShutdownReceived(association_id=channel.id)
        done = await inbox.receive()
        assert isinstance(done, AssociationChange)
        assert done.state is AssociationState.SHUTDOWN_COMP
        await raises(trio.EndOfChannel, inbox.receive)
    await channel.aclose()


async def test_peeloff_of_a_half_open_association(stack: StackUnderTest, black_hole: str) -> None:
    async with stack.endpoint(hosts=()) as client:
        association = await client.connect_init(black_hole, 2905)
        channel = client.peeloff(association)
        assert not client.associations
        channel.abort()
        assert (await channel.wait_ended()).state is not AssociationState.SHUTDOWN_COMP


# -- the rest --------------------------------------------------------------------------------


async def test_status_of_a_channel(channels: Channels) -> None:
    client, _ = channels
    status = client.status()
    assert getattr(status.state, "name", None) == "ESTABLISHED"
    assert status.outstrms == client.outbound_streams
    assert status.primary.address == client.peer_addresses[0]


async def test_status_of_a_lost_association(channels: Channels) -> None:
    client, server = channels
    client.abort()
    await server.wait_ended()
    with pytest.raises(AssociationLost):
        server.status()
    with pytest.raises(AssociationLost):
        _ = server.peer_addresses


async def test_messages_of_many_tasks(channels: Channels) -> None:
    client, server = channels

    async def send(stream: int) -> None:
        for number in range(20):
            await client.send(b"%d" % number, stream=stream)

    async with trio.open_nursery() as nursery:
        for stream in range(5):
            nursery.start_soon(send, stream)
        received = [await server.receive() for _ in range(100)]
    for stream in range(5):
        assert numbers(m for m in received if m.stream == stream) == list(range(20))


async def test_sending_on_a_channel_is_a_checkpoint(channels: Channels) -> None:
    client, _ = channels
    with trio.testing.assert_checkpoints():
        await client.send(b"0")
    with trio.testing.assert_no_checkpoints():
        client.send_nowait(b"1")


async def test_a_full_channel(narrow: Channels) -> None:
    client, server = narrow
    sent = await fill(client)
    with pytest.raises(trio.WouldBlock):
        client.send_nowait(b"x")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, b"%d" % sent)
        assert await take(server.receive, sent + 1) == list(range(sent + 1))


async def test_undelivered_of_a_channel(narrow: Channels) -> None:
    client, server = narrow
    sent = await fill(client)
    server.abort()
    end = await client.wait_ended()
    undelivered = [int(failed.data) for failed in end.undelivered]
    assert undelivered == list(range(sent - len(undelivered), sent)) != []


@pytest.mark.parametrize("value", ["text", None, b""])
async def test_what_a_channel_does_not_send(channels: Channels, value: Any) -> None:
    client, server = channels
    with pytest.raises((TypeError, ValueError)):
        await client.send(value)
    with pytest.raises(ValueError, match="999"):
        await client.send(b"x", stream=999)
    await client.send(b"0")
    assert await take(server.receive, 1) == [0]


async def test_a_peer_that_exceeds_max_message_size_is_aborted(stack: StackUnderTest) -> None:
    async with stack.channels(max_message_size=1000) as (client, server):
        await client.send(bytes(1000))
        await client.send(bytes(1001))
        assert len((await server.receive()).data) == 1000
        with pytest.raises(AssociationLost) as caught:
            await server.receive()
        assert (caught.value.end.state, caught.value.end.cause) == (AssociationState.COMM_LOST, 4)
        assert (await client.wait_ended()).state is AssociationState.COMM_LOST


async def test_a_client_bounds_its_server_too(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        client = await stack.open_association(listener.port, max_message_size=1000)
        server = await listener.accept()
        await server.send(bytes(1001))
        with pytest.raises(AssociationLost) as caught:
            await client.receive()
        assert caught.value.end.cause == 4
        await trio.aclose_forcefully(client)
        await trio.aclose_forcefully(server)


async def test_a_peeled_off_channel_keeps_the_bound(stack: StackUnderTest) -> None:
    async with stack.pair(max_message_size=1000) as pair:
        channel = pair.server.peeloff(pair.peer)
        await pair.association.send(bytes(1001))
        with pytest.raises(AssociationLost) as caught:
            await channel.receive()
        assert caught.value.end.cause == 4
        await trio.aclose_forcefully(channel)


async def test_the_bodys_exception_survives_a_cancellation_from_outside(
    stack: StackUnderTest,
) -> None:
    async with stack.pair() as pair:
        for block in (pair.association.while_up(), pair.server.active(3)):
            with pytest.raises(ValueError, match="mine"), trio.CancelScope() as scope:
                async with block:
                    try:
                        scope.cancel()
                        await trio.sleep_forever()
                    finally:
                        raise ValueError("mine")


# -- what is known of it without asking ------------------------------------------------------


async def test_whether_a_channel_is_up_and_how_it_ended(channels: Channels) -> None:
    client, server = channels
    assert (client.up, client.ended, server.up, server.ended) == (True, None, True, None)
    client.abort(b"why")
    assert not client.up
    end = await server.wait_ended()
    assert (server.up, server.ended) == (False, end)


async def test_a_handle_is_up_until_the_peers_shutdown_was_read(pair: Pair) -> None:
    assert pair.peer.up
    await pair.association.eof()
    await pair.peer.wait_ended()
    assert not pair.peer.up
    assert pair.peer.ended is not None
    assert pair.peer.ended.graceful


async def test_a_half_open_association_is_not_up(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        association = await client.connect_init(stack.host, server.port)
        assert not association.up
        assert (await next_change(client)).state is AssociationState.COMM_UP
        assert association.up


async def test_everything_knows_its_stack(stack: StackUnderTest, pair: Pair) -> None:
    async with stack.listener() as listener, await stack.open_association(listener.port) as channel:
        stacks = [listener.stack, channel.stack, pair.server.stack, pair.peer.stack]
        assert len({one.name for one in stacks}) == 1
        other = await open_association(stack.host, listener.port, stack=channel.stack)
        other.abort()


async def test_weak_references(channels: Channels, pair: Pair) -> None:
    known: weakref.WeakSet[object] = weakref.WeakSet([*channels, pair.server, pair.peer])
    assert len(known) == 4
