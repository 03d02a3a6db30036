"""Cancellation leaves nothing behind, and whoever is blocked wakes with the right error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import trio
import trio.testing

from trio_sctp import (
    ONCE,
    AssociationChannel,
    AssociationLost,
    AssociationState,
    Inbox,
    InitMsg,
    Listener,
    Message,
    RtoInfo,
    Window,
)

from .helpers import (
    SMALL_BUFFERS,
    Pair,
    StackUnderTest,
    blocked,
    fill,
    keep,
    next_change,
    next_message,
    numbers,
    raises,
    send_numbers,
    take,
    until,
)


async def cancelled_before(function: Callable[..., Awaitable[object]], *args: object) -> None:
    """Call it in a scope that is cancelled already; it has to notice."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await function(*args)
    assert scope.cancelled_caught


async def cancelled_when_blocked(function: Callable[..., Awaitable[object]], *args: object) -> None:
    """Let it block, then cancel it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(function, *args)
        await trio.testing.wait_all_tasks_blocked(0.002)
        assert nursery.child_tasks, "it did not block"
        nursery.cancel_scope.cancel()


def moments(count: int) -> Iterator[float]:
    """Deadlines that strike at all stages of a call."""
    for turn in range(count):
        yield 0.00005 * (turn * 7 % 40)


# -- cancelled before it starts --------------------------------------------------------------


async def test_receive_that_was_cancelled_before(pair: Pair) -> None:
    await send_numbers(pair.association, range(2))
    await cancelled_before(pair.server.receive)
    await cancelled_before(pair.server.receive_batch)
    assert await take(pair.server.receive, 2) == [0, 1]


async def test_inbox_receive_that_was_cancelled_before(pair: Pair) -> None:
    await send_numbers(pair.association, range(2))
    async with pair.server.active(5) as inbox:
        await until(lambda: inbox.credit == 3)
        await cancelled_before(inbox.receive)
        await cancelled_before(inbox.receive_batch)
        assert numbers(await inbox.receive_batch()) == [0, 1]


async def test_send_that_was_cancelled_before(pair: Pair) -> None:
    await cancelled_before(pair.association.send, b"-1")
    await cancelled_before(pair.client.send, b"-1", pair.association.id)
    await pair.association.send(b"0")
    assert await take(pair.server.receive, 1) == [0]


async def test_eof_that_was_cancelled_before(pair: Pair) -> None:
    await cancelled_before(pair.association.eof)
    await cancelled_before(pair.client.eof, pair.association.id)
    await pair.association.send(b"0")
    assert await take(pair.server.receive, 1) == [0]


async def test_connect_that_was_cancelled_before(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        await cancelled_before(client.connect, stack.host, server.port)
        await cancelled_before(client.connect_init, stack.host, server.port)
        assert not client.associations
        assert not server.associations
        association = await client.connect(stack.host, server.port)
        up = await next_change(server)
        await server.send(b"0", up.association_id)
        message = await next_message(client)
        assert message.association_id == association.id


async def test_accept_that_was_cancelled_before(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        client = await stack.open_association(listener.port)
        await cancelled_before(listener.accept)
        server = await listener.accept()
        assert server.peer_addresses == client.local_addresses
        client.abort()
        server.abort()


async def test_wait_ended_that_was_cancelled_before(pair: Pair) -> None:
    await cancelled_before(pair.association.wait_ended)
    pair.peer.abort()
    end = await pair.association.wait_ended()
    await cancelled_before(pair.association.wait_ended)
    assert await pair.association.wait_ended() == end


async def test_openers_that_were_cancelled_before(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint:
        port = endpoint.port
    await cancelled_before(stack.open_endpoint, port)
    await cancelled_before(stack.open_listener, port)
    async with stack.listening(port=port) as server:
        await cancelled_before(stack.open_association, port)
        assert not server.associations


# -- every call is a checkpoint ---------------------------------------------------------------


async def test_eof_of_what_has_ended_is_a_checkpoint(pair: Pair) -> None:
    await pair.association.eof()
    await pair.association.wait_ended()
    with trio.testing.assert_checkpoints():
        await pair.association.eof()


async def test_contexts_are_checkpoints(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, _):
        with trio.testing.assert_checkpoints():
            async with client:
                pass


async def test_what_never_blocks_is_no_checkpoint(pair: Pair) -> None:
    with trio.testing.assert_no_checkpoints():
        pair.association.send_nowait(b"0")
        pair.server.statistics()
        pair.association.status()
        channel = pair.server.peeloff(pair.peer)
        channel.abort()


# -- cancelled while blocked -----------------------------------------------------------------


async def test_a_blocked_receive_may_be_cancelled(pair: Pair) -> None:
    for method in pair.server.receive, pair.server.receive_batch:
        await cancelled_when_blocked(method)
    await pair.association.send(b"0")
    assert await take(pair.server.receive, 1) == [0]


async def test_a_blocked_inbox_may_be_cancelled(pair: Pair) -> None:
    async with pair.server.active(5) as inbox:
        for method in inbox.receive, inbox.receive_batch:
            await cancelled_when_blocked(method)
        await pair.association.send(b"0")
        assert await take(inbox.receive, 1) == [0]
        assert inbox.credit == 4


async def test_a_blocked_wait_ended_may_be_cancelled(pair: Pair) -> None:
    await cancelled_when_blocked(pair.association.wait_ended)
    pair.peer.abort()
    assert (await pair.association.wait_ended()).cause == 12


async def test_a_blocked_accept_may_be_cancelled(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        await cancelled_when_blocked(listener.accept)
        client = await stack.open_association(listener.port)
        (await listener.accept()).abort()
        await trio.aclose_forcefully(client)


async def test_a_blocked_connect_that_is_cancelled_leaves_nothing(
    stack: StackUnderTest, black_hole: str
) -> None:
    async with stack.endpoint(hosts=()) as client, stack.listening() as server:
        for _ in range(10):
            await cancelled_when_blocked(client.connect, black_hole, 2905)
            assert not client.associations
        association = await client.connect(stack.host, server.port)
        up = await next_change(server)
        await server.send(b"0", up.association_id)
        assert (await next_message(client)).association_id == association.id


async def test_a_blocked_eof_of_a_half_open_association_was_not_started(
    stack: StackUnderTest, black_hole: str
) -> None:
    async with stack.endpoint(hosts=()) as client:
        association = await client.connect_init(black_hole, 2905)
        await cancelled_when_blocked(association.eof)
        assert list(client.associations) == [association.id]
        await association.send(b"0")
        association.abort()
        assert (await next_change(client)).state is AssociationState.CANT_ASSOC


async def test_a_cancelled_connect_has_no_stray_event(
    stack: StackUnderTest, black_hole: str
) -> None:
    async with (
        stack.endpoint(hosts=()) as client,
        stack.listening() as server,
        client.active(Window(10)) as inbox,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(assert_a_message_comes_first, inbox)
        for _ in range(10):
            await cancelled_when_blocked(client.connect, black_hole, 2905)
        await client.connect(stack.host, server.port)
        up = await next_change(server)
        await server.send(b"0", up.association_id)


async def assert_a_message_comes_first(inbox: Inbox) -> None:
    assert isinstance(await inbox.receive(), Message)


async def test_connects_cancelled_at_any_moment_leave_nothing(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        established = 0
        for moment in moments(80):
            with trio.move_on_after(moment):
                association = await client.connect(stack.host, server.port)
                established += 1
                association.abort()
                await association.wait_ended()
            for left in client.associations.values():
                left.abort()
                await left.wait_ended()
        async with stack.listening() as last:
            association = await client.connect(stack.host, last.port)
            up = await next_change(last)
            await last.send(b"0", up.association_id)
            while not isinstance(record := await client.receive(), Message):
                assert record.association_id != association.id
            assert record.data == b"0"
            assert list(client.associations) == [association.id]
        # Whatever the server saw come up, it saw go, too.
        await until(lambda: not server.associations)


async def test_open_associations_cancelled_at_any_moment_leave_nothing(
    stack: StackUnderTest,
) -> None:
    async with stack.listening() as server:
        for moment in moments(80):
            with trio.move_on_after(moment):
                channel = await stack.open_association(server.port)
                channel.abort()

        async def read() -> None:
            while True:
                await server.receive()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await until(lambda: not server.associations)
            nursery.cancel_scope.cancel()


# -- nothing is lost or doubled --------------------------------------------------------------


@pytest.mark.parametrize("method", ["receive", "receive_batch"])
async def test_receives_cancelled_at_any_moment_lose_nothing(pair: Pair, method: str) -> None:
    received: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_numbers, pair.association, range(400))
        await receive_all(getattr(pair.server, method), received, 400)
    assert received == list(range(400))


async def receive_all(
    receive: Callable[[], Awaitable[Any]], received: list[object], count: int
) -> None:
    """Receive in scopes that are cancelled at all stages."""
    while len(received) < count:
        for moment in moments(40):
            result: Any = None
            with trio.move_on_after(moment):
                result = await receive()
            if isinstance(result, list):
                received += [n for n in numbers(result) if isinstance(n, int)]
            elif isinstance(result, Message):
                received += numbers([result])


@pytest.mark.parametrize("method", ["receive", "receive_batch"])
async def test_channel_receives_cancelled_at_any_moment_lose_nothing(
    stack: StackUnderTest, method: str
) -> None:
    async with stack.channels() as (client, server), trio.open_nursery() as nursery:
        received: list[object] = []
        nursery.start_soon(send_numbers, client, range(400))
        await receive_all(getattr(server, method), received, 400)
        assert received == list(range(400))


@pytest.mark.parametrize("method", ["receive", "receive_batch"])
async def test_inbox_receives_cancelled_at_any_moment_lose_nothing(pair: Pair, method: str) -> None:
    async with pair.server.active(Window(7)) as inbox, trio.open_nursery() as nursery:
        received: list[object] = []
        nursery.start_soon(send_numbers, pair.association, range(400))
        await receive_all(getattr(inbox, method), received, 400)
        assert received == list(range(400))
        assert inbox.credit == 7


async def test_actives_cancelled_at_any_moment_lose_nothing(pair: Pair) -> None:
    received: list[object] = []

    async def take_some() -> None:
        async with pair.server.active(3) as inbox:
            while True:
                received.extend(n for n in numbers([await inbox.receive()]) if isinstance(n, int))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_numbers, pair.association, range(400))
        while len(received) < 400:
            for moment in moments(40):
                with trio.move_on_after(moment):
                    await take_some()
    assert received == list(range(400))


async def test_receives_cancelled_in_the_middle_of_large_messages_lose_nothing(
    stack: StackUnderTest,
) -> None:
    async with (
        stack.pair(server_options=SMALL_BUFFERS, client_options=SMALL_BUFFERS) as pair,
        trio.open_nursery() as nursery,
    ):
        size = pair.client.max_send_size

        async def send() -> None:
            for number in range(10):
                await pair.association.send((b"%d" % number).ljust(size))

        nursery.start_soon(send)
        received: list[object] = []
        while len(received) < 10:
            for moment in moments(40):
                with trio.move_on_after(moment):
                    message = await next_message(pair.server)
                    assert len(message.data) == size
                    received += numbers([message])
        assert received == list(range(10))


async def test_sends_cancelled_at_any_moment_were_sent_or_not(pair: Pair) -> None:
    sent = []
    for number, moment in enumerate(moments(200)):
        with trio.move_on_after(moment):
            await pair.association.send(b"%d" % number)
            sent.append(number)
    await pair.association.send(b"-1")
    received: list[object] = []
    while not received or received[-1] != -1:
        received += numbers(await pair.server.receive_batch())
    assert received == [*sent, -1]


async def test_blocked_sends_cancelled_at_any_moment_were_sent_or_not(
    stack: StackUnderTest,
) -> None:
    async with stack.pair(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as pair:
        sent = []

        async def send() -> None:
            for number, moment in enumerate(moments(300)):
                with trio.move_on_after(moment):
                    await pair.association.send((b"%d" % number).ljust(1000))
                    sent.append(number)
            await pair.association.send(b"-1")

        received: list[object] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            while not received or received[-1] != -1:
                received += await take(pair.server.receive, 1)
        assert received == [*sent, -1]


async def test_a_cancelled_sender_does_not_hold_up_those_behind_it(stack: StackUnderTest) -> None:
    async with stack.pair(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as pair:
        sent = await fill(pair.association)
        scopes = [trio.CancelScope() for _ in range(6)]

        async def send(number: int) -> None:
            with scopes[number]:
                await pair.association.send((b"%d" % (sent + number)).ljust(1000))

        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(send, number)
                await trio.testing.wait_all_tasks_blocked()
            for number in (0, 2, 5):
                scopes[number].cancel()
            expected = [*range(sent), sent + 1, sent + 3, sent + 4]
            assert await take(pair.server.receive, len(expected)) == expected


async def test_the_reader_hands_its_role_on_when_cancelled(pair: Pair) -> None:
    received: list[object] = []
    ends: list[object] = []
    scope = trio.CancelScope()

    async def read() -> None:
        with scope:
            await pair.server.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(keep, ends, pair.peer.wait_ended)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(keep, received, pair.server.receive)
        await trio.testing.wait_all_tasks_blocked()
        await pair.association.send(b"0")
        pair.association.abort()
    assert numbers(received) == [0]
    assert len(ends) == 1


# -- state does not wait for records ---------------------------------------------------------


@pytest.mark.parametrize("mode", [0, 1, ONCE, Window(1)])
async def test_connect_beside_an_inbox_that_takes_no_more(
    pair: Pair, stack: StackUnderTest, mode: Any
) -> None:
    async with stack.listening() as other, pair.client.active(mode) as inbox:
        await send_numbers(pair.peer, range(3))
        await until(lambda: inbox.credit == 0)
        association = await pair.client.connect(stack.host, other.port)
        assert association.outbound_streams > 0
        assert inbox.credit == 0


async def test_connect_while_nobody_reads(pair: Pair, stack: StackUnderTest) -> None:
    await send_numbers(pair.peer, range(100))
    async with stack.listening() as other:
        await pair.client.connect(stack.host, other.port)
        assert await take(pair.client.receive, 100) == list(range(100))


async def test_connect_behind_a_full_store(pair: Pair, stack: StackUnderTest) -> None:
    async with stack.listening() as other, trio.open_nursery() as nursery:
        nursery.start_soon(pair.association.wait_ended)
        await send_numbers(pair.peer, range(350))
        await pair.client.connect(stack.host, other.port)
        assert await take(pair.client.receive, 350) == list(range(350))
        pair.association.abort()


async def test_wait_ended_behind_a_full_store(pair: Pair) -> None:
    async with pair.server.active(0) as inbox:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.peer.wait_ended)
            await send_numbers(pair.association, range(350))
            pair.association.abort()
        assert inbox.credit == 0
        inbox.grant(350)
        received: list[object] = []
        while len(received) < 350:
            received += [n for n in await take(inbox.receive, 1) if isinstance(n, int)]
        assert received == list(range(350))


# -- everybody wakes -------------------------------------------------------------------------


async def test_aclose_wakes_each_waiter_with_the_right_error(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, _), trio.open_nursery() as nursery:
        ends: list[Any] = []
        nursery.start_soon(raises, trio.ClosedResourceError, client.receive)
        nursery.start_soon(keep, ends, client.wait_ended)
        await trio.testing.wait_all_tasks_blocked()
        await client.aclose()
        await until(lambda: ends)
        assert ends[0].graceful


async def test_own_abort_wakes_each_waiter_with_the_right_error(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, _), trio.open_nursery() as nursery:
        ends: list[Any] = []
        nursery.start_soon(raises, trio.ClosedResourceError, client.receive)
        nursery.start_soon(keep, ends, client.wait_ended)
        await trio.testing.wait_all_tasks_blocked()
        client.abort(b"mine")
        await until(lambda: ends)
        assert ends[0].reason == b"mine"


async def test_own_abort_wakes_an_inbox(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, _), client.active(Window(5)) as inbox:

        async def receive() -> None:
            while True:
                await inbox.receive()

        async with blocked(raises, trio.ClosedResourceError, receive):
            client.abort()


async def test_the_peers_abort_wakes_each_waiter_with_the_right_error(
    stack: StackUnderTest,
) -> None:
    async with stack.channels() as (client, server), trio.open_nursery() as nursery:
        ends: list[Any] = []
        nursery.start_soon(raises, AssociationLost, client.receive)
        nursery.start_soon(keep, ends, client.wait_ended)
        await trio.testing.wait_all_tasks_blocked()
        server.abort(b"theirs")
        await until(lambda: ends)
        assert ends[0].reason == b"theirs"


async def test_closing_the_endpoint_wakes_wait_ended(pair: Pair) -> None:
    ends: list[Any] = []
    async with blocked(keep, ends, pair.association.wait_ended):
        await pair.client.aclose()
    assert ends[0].graceful


async def test_closing_forcefully_wakes_everybody(stack: StackUnderTest) -> None:
    async with stack.pair(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as pair:
        await fill(pair.association)
        async with trio.open_nursery() as nursery:
            for call, arguments in (
                (pair.client.receive, ()),
                (pair.association.send, (bytes(1000),)),
                (pair.association.wait_ended, ()),
            ):
                nursery.start_soon(raises, trio.ClosedResourceError, call, *arguments)
            await trio.testing.wait_all_tasks_blocked()
            await trio.aclose_forcefully(pair.client)


async def test_closing_forcefully_wakes_a_half_open_eof(
    stack: StackUnderTest, black_hole: str
) -> None:
    async with stack.endpoint(hosts=()) as client:
        association = await client.connect_init(black_hole, 2905)
        async with blocked(raises, trio.ClosedResourceError, association.eof):
            await trio.aclose_forcefully(client)


async def test_an_association_that_cannot_be_set_up_wakes_a_half_open_eof(
    stack: StackUnderTest, black_hole: str
) -> None:
    patience = [InitMsg(max_attempts=2, max_init_timeo=100), RtoInfo(initial=100, min=100, max=200)]
    async with stack.endpoint(hosts=(), options=patience) as client:
        association = await client.connect_init(black_hole, 2905)
        await raises(AssociationLost, association.eof)


async def test_closing_a_listener_wakes_accept_only(stack: StackUnderTest) -> None:
    listener: Listener = await stack.open_listener()
    client = await stack.open_association(listener.port)
    server: AssociationChannel = await listener.accept()
    received: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(raises, trio.ClosedResourceError, listener.accept)
        nursery.start_soon(keep, received, server.receive)
        await trio.testing.wait_all_tasks_blocked()
        await listener.aclose()
        await client.send(b"0")
    assert numbers(received) == [0]
    client.abort()
    server.abort()


async def test_aclose_beside_a_flood(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server), trio.open_nursery() as nursery:

        async def flood() -> None:
            with pytest.raises(AssociationLost):
                await send_numbers(server, range(10**6))

        nursery.start_soon(flood)
        await client.receive()
        await client.aclose()
        assert (await client.wait_ended()).graceful
