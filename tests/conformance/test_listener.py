"""Listeners, which lose nobody, and serve."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import trio
import trio.testing

import trio_sctp
from trio_sctp import (
    AssociationChannel,
    AssociationLost,
    AssociationState,
    InitMsg,
    Linger,
    Listener,
    RtoInfo,
)

from .helpers import (
    SMALL_BUFFERS,
    StackUnderTest,
    blocked,
    cancelled_when_lost,
    collect,
    fill,
    keep,
    numbers,
    raises,
    send_numbers,
    take,
    until,
)

Calls = Callable[..., Awaitable[object]]

# -- accept ----------------------------------------------------------------------------------


async def test_a_listener_has_a_port(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        assert 0 < listener.port < 65536
        assert listener.local_addresses == [(stack.host, listener.port)]


async def test_a_port_may_be_given(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        port = listener.port
    async with stack.listener(port=port) as listener:
        assert listener.port == port


async def test_opening_is_a_checkpoint(stack: StackUnderTest) -> None:
    with trio.testing.assert_checkpoints():
        listener = await stack.open_listener()
    with trio.testing.assert_checkpoints():
        await listener.aclose()


@pytest.mark.parametrize("backlog", [0, -1, 10**10])
async def test_a_backlog_out_of_range(stack: StackUnderTest, backlog: int) -> None:
    with pytest.raises(ValueError, match=str(backlog)):
        await stack.open_listener(backlog=backlog)


@pytest.mark.parametrize("port", [-1, 65536])
async def test_a_port_out_of_range(stack: StackUnderTest, port: int) -> None:
    with pytest.raises(ValueError, match=str(port)):
        await stack.open_listener(port)


async def test_accept_returns_a_channel(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        client = await stack.open_association(listener.port)
        server = await listener.accept()
        assert isinstance(server, AssociationChannel)
        assert server.peer_addresses == client.local_addresses
        assert server.outbound_streams == client.inbound_streams > 0
        await client.send(b"0")
        assert await take(server.receive, 1) == [0]
        await server.send(b"1")
        assert await take(client.receive, 1) == [1]
        client.abort()
        server.abort()


async def test_accept_waits(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        accepted: list[AssociationChannel] = []
        async with blocked(keep, accepted, listener.accept):
            assert not accepted
            client = await stack.open_association(listener.port)
        client.abort()
        accepted[0].abort()


async def test_accept_is_a_checkpoint(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        client = await stack.open_association(listener.port)
        with trio.testing.assert_checkpoints():
            server = await listener.accept()
        client.abort()
        server.abort()


async def test_associations_are_accepted_in_their_order(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        clients = [await stack.open_association(listener.port) for _ in range(5)]
        for client in clients:
            server = await listener.accept()
            assert server.peer_addresses == client.local_addresses
            server.abort()
        for client in clients:
            await trio.aclose_forcefully(client)


async def test_messages_from_before_accept_are_there(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        clients = [await stack.open_association(listener.port) for _ in range(3)]
        for number in range(9):
            await clients[number % 3].send(b"%d" % number)
        for index in range(3):
            server = await listener.accept()
            await clients[index].send(b"%d" % (9 + index))
            expected = [index, 3 + index, 6 + index, 9 + index]
            assert await take(server.receive, 4) == expected
            server.abort()
        for client in clients:
            await trio.aclose_forcefully(client)


async def test_a_client_that_came_sent_and_left_is_accepted(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        async with await stack.open_association(listener.port) as client:
            await send_numbers(client, range(3))
        server = await listener.accept()
        assert numbers([message async for message in server]) == [0, 1, 2]
        assert (await server.wait_ended()).graceful
        await raises(AssociationLost, server.send, b"x")
        await server.aclose()
        await raises(trio.ClosedResourceError, server.receive)


async def test_a_client_that_came_sent_and_aborted_is_accepted(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        client = await stack.open_association(listener.port)
        await send_numbers(client, range(3))
        client.abort(b"why")
        server = await listener.accept()
        received: list[object] = []
        with pytest.raises(AssociationLost) as caught:
            await collect(server, received)
        assert received == [0, 1, 2]
        assert caught.value.association is server
        assert caught.value.end.reason == b"why"
        await server.aclose()


async def test_the_end_of_a_client_that_left_is_while_ups_too(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        async with await stack.open_association(listener.port) as client:
            await send_numbers(client, range(3))
        async with await listener.accept() as server:
            received: list[object] = []
            async with server.while_up():
                async for message in server:
                    await trio.testing.wait_all_tasks_blocked()
                    received += numbers([message])
            assert received == [0, 1, 2]


async def test_clients_that_left_and_clients_that_stay(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        stay = []
        for number in range(6):
            client = await stack.open_association(listener.port)
            await client.send(b"%d" % number)
            if number % 2:
                await client.aclose()
            else:
                stay.append(client)
        for number in range(6):
            server = await listener.accept()
            assert await take(server.receive, 1) == [number]
            await trio.aclose_forcefully(server)
        for client in stay:
            await trio.aclose_forcefully(client)


async def test_many_clients_that_left(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        for number in range(100):
            async with await stack.open_association(listener.port) as client:
                await client.send(b"%d" % number)
        for number in range(100):
            async with await listener.accept() as server:
                assert numbers([message async for message in server]) == [number]


async def test_a_cancelled_accept_loses_nobody(stack: StackUnderTest) -> None:
    async with stack.listener() as listener, trio.open_nursery() as nursery:

        async def connect(number: int) -> None:
            async with await stack.open_association(listener.port) as client:
                await client.send(b"%d" % number)
                await raises(trio.EndOfChannel, client.receive)

        for number in range(30):
            nursery.start_soon(connect, number)
        received: list[object] = []
        turn = 0
        while len(received) < 30:
            turn += 1
            server = None
            with trio.move_on_after(0.0002 * (turn % 7)):
                server = await listener.accept()
            if server is not None:
                async with server:
                    received += await take(server.receive, 1)
        assert sorted(map(str, received)) == sorted(map(str, range(30)))


async def test_one_task_accepts_at_a_time(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        accepted: list[AssociationChannel] = []
        async with blocked(keep, accepted, listener.accept):
            await raises(trio.BusyResourceError, listener.accept)
            client = await stack.open_association(listener.port)
        client.abort()
        accepted[0].abort()


async def test_closing_wakes_accept(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        async with blocked(raises, trio.ClosedResourceError, listener.accept):
            await listener.aclose()
        await raises(trio.ClosedResourceError, listener.accept)


async def test_closing_twice(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        await listener.aclose()
        with trio.testing.assert_checkpoints():
            await listener.aclose()


async def test_accepted_channels_outlive_the_listener(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        await client.send(b"0")
        assert await take(server.receive, 1) == [0]


async def test_a_closed_listener_lets_nobody_wait_in_vain(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        client = await stack.open_association(listener.port)
        await listener.aclose()
        await client.wait_ended()
        await client.aclose()


async def test_a_closed_listener_refuses(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        port = listener.port
    await raises(trio_sctp.ConnectFailed, stack.open_association, port)


async def test_more_than_the_backlog_are_aborted(stack: StackUnderTest) -> None:
    async with stack.listener(backlog=2) as listener:
        clients = [await stack.open_association(listener.port) for _ in range(6)]
        for client in clients[:2]:
            server = await listener.accept()
            assert server.peer_addresses == client.local_addresses
            server.abort()
        for client in clients[4:]:
            assert (await client.wait_ended()).state is AssociationState.COMM_LOST
        for client in clients:
            await trio.aclose_forcefully(client)


async def test_after_the_excess_others_are_let_in(stack: StackUnderTest) -> None:
    async with stack.listener(backlog=1) as listener:
        clients = [await stack.open_association(listener.port) for _ in range(4)]
        (await listener.accept()).abort()
        await clients[-1].wait_ended()
        with trio.move_on_after(0.05):
            while True:
                (await listener.accept()).abort()
        late = await stack.open_association(listener.port)
        server = await listener.accept()
        assert server.peer_addresses == late.local_addresses
        server.abort()
        for client in (*clients, late):
            await trio.aclose_forcefully(client)


async def test_a_backlog_that_is_not_exceeded(stack: StackUnderTest) -> None:
    async with stack.listener(backlog=3) as listener:
        clients = [await stack.open_association(listener.port) for _ in range(3)]
        for client in clients:
            server = await listener.accept()
            await client.send(b"0")
            assert await take(server.receive, 1) == [0]
            server.abort()
            await trio.aclose_forcefully(client)


async def test_accepted_channels_start_with_the_listeners_options(stack: StackUnderTest) -> None:
    options = [InitMsg(num_ostreams=3), RtoInfo(max=5000)]
    async with stack.channels(server_options=options) as (_, server):
        assert server.outbound_streams == 3
        assert server.get_option(RtoInfo).max == 5000


async def test_a_listener_is_a_context(stack: StackUnderTest) -> None:
    async with await stack.open_listener() as listener:
        pass
    await raises(trio.ClosedResourceError, listener.accept)


# -- trio.serve_listeners --------------------------------------------------------------------


async def test_trio_serve_listeners(stack: StackUnderTest) -> None:
    async with stack.listener() as listener, trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, echo, [listener])
        for number in range(3):
            async with await stack.open_association(listener.port) as client:
                await client.send(b"%d" % number)
                assert await take(client.receive, 1) == [number]
        nursery.cancel_scope.cancel()


async def echo(channel: AssociationChannel) -> None:
    async with channel:
        async for message in channel:
            await channel.send(message.data, stream=message.stream, ppid=message.ppid)


# -- serve -----------------------------------------------------------------------------------


@pytest.fixture
def serve(stack: StackUnderTest) -> Calls:
    async def serve(
        handler: Calls,
        on_error: Callable[[Exception, AssociationChannel], object] | None = None,
        *,
        options: Sequence[Any] = (),
        handler_nursery: trio.Nursery | None = None,
        task_status: trio.TaskStatus[Listener],
    ) -> None:
        await trio_sctp.serve(
            handler,
            0,
            hosts=stack.host,
            options=options,
            stack=stack.stack,
            handler_nursery=handler_nursery,
            on_error=on_error,
            task_status=task_status,
        )

    return serve


async def test_serve_reports_its_listener(serve: Calls) -> None:
    async with trio.open_nursery() as nursery:
        listener = await nursery.start(serve, echo)
        assert isinstance(listener, Listener)
        assert listener.port > 0
        nursery.cancel_scope.cancel()
    await raises(trio.ClosedResourceError, listener.accept)


async def test_serve_runs_a_handler_for_every_association(
    stack: StackUnderTest, serve: Calls
) -> None:
    async def handle(channel: AssociationChannel) -> None:
        async for message in channel:
            await channel.send(message.data, stream=message.stream, ppid=message.ppid)

    async with trio.open_nursery() as nursery:
        listener = await nursery.start(serve, handle)
        clients = [await stack.open_association(listener.port) for _ in range(5)]
        for number, client in enumerate(clients):
            await client.send(b"%d" % number)
        for number, client in enumerate(clients):
            assert await take(client.receive, 1) == [number]
            await client.aclose()
        nursery.cancel_scope.cancel()


async def test_serve_ends_an_association_gracefully_when_its_handler_returns(
    stack: StackUnderTest, serve: Calls
) -> None:
    async def handle(channel: AssociationChannel) -> None:
        await channel.send(b"0")

    async with trio.open_nursery() as nursery:
        listener = await nursery.start(serve, handle)
        client = await stack.open_association(listener.port)
        assert numbers([message async for message in client]) == [0]
        await client.aclose()
        nursery.cancel_scope.cancel()


async def test_a_handler_that_loses_its_own_association_ends_quietly(
    stack: StackUnderTest, serve: Calls
) -> None:
    tell, lost = trio.open_memory_channel[AssociationLost](1)

    async def handle(channel: AssociationChannel) -> None:
        try:
            await channel.receive()
        except AssociationLost as error:
            tell.send_nowait(error)
            raise

    async with trio.open_nursery() as nursery:
        listener = await nursery.start(serve, handle)
        for _ in range(2):
            client = await stack.open_association(listener.port)
            client.abort()
            await lost.receive()
        nursery.cancel_scope.cancel()


async def test_a_handler_that_answers_a_peer_that_has_left_ends_quietly(
    stack: StackUnderTest, serve: Calls
) -> None:
    finished = trio.Event()

    async def handle(channel: AssociationChannel) -> None:
        try:
            message = await channel.receive()
            await channel.wait_ended()
            await channel.send(message.data)
        finally:
            finished.set()

    async with trio.open_nursery() as nursery:
        listener = await nursery.start(serve, handle)
        async with await stack.open_association(listener.port) as client:
            await client.send(b"0")
        await finished.wait()
        async with await stack.open_association(listener.port) as client:
            await client.send(b"1")  # the server goes on
        nursery.cancel_scope.cancel()


async def test_a_handler_whose_tasks_all_lose_their_association_ends_quietly(
    stack: StackUnderTest, serve: Calls
) -> None:
    lost = trio.Event()

    async def handle(channel: AssociationChannel) -> None:
        try:
            async with trio.open_nursery() as tasks:
                tasks.start_soon(channel.receive)
        except ExceptionGroup:
            lost.set()
            raise

    async with trio.open_nursery() as nursery:
        listener = await nursery.start(serve, handle)
        client = await stack.open_association(listener.port)
        client.abort()
        await lost.wait()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_other_errors_of_a_handler_propagate(stack: StackUnderTest, serve: Calls) -> None:
    async def handle(channel: AssociationChannel) -> None:
        await channel.receive()
        raise KeyError("mine")

    clients: list[AssociationChannel] = []
    with pytest.RaisesGroup(KeyError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            listener = await nursery.start(serve, handle)
            clients.append(await stack.open_association(listener.port))
            await clients[0].send(b"go")
    (client,) = clients
    end = await client.wait_ended()
    assert (end.state, end.reason) == (AssociationState.COMM_LOST, b"handler failed")
    await trio.aclose_forcefully(client)


async def test_the_loss_of_another_association_propagates(
    stack: StackUnderTest, serve: Calls
) -> None:
    async with stack.channels() as (other, peer):
        peer.abort()

        async def handle(channel: AssociationChannel) -> None:
            await channel.receive()
            await other.receive()

        clients: list[AssociationChannel] = []
        with pytest.RaisesGroup(AssociationLost, flatten_subgroups=True):
            async with trio.open_nursery() as nursery:
                listener = await nursery.start(serve, handle)
                clients.append(await stack.open_association(listener.port))
                await clients[0].send(b"go")
        (client,) = clients
        await raises(AssociationLost, client.receive)
        await trio.aclose_forcefully(client)


async def test_an_error_beside_the_loss_propagates(stack: StackUnderTest, serve: Calls) -> None:
    async def handle(channel: AssociationChannel) -> None:
        async with trio.open_nursery() as tasks:
            tasks.start_soon(channel.receive)
            try:
                await trio.sleep_forever()
            finally:
                raise KeyError("mine")

    with pytest.RaisesGroup(KeyError, AssociationLost, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            listener = await nursery.start(serve, handle)
            client = await stack.open_association(listener.port)
            client.abort()


async def test_cancelling_serve_aborts_what_its_handlers_hold(
    stack: StackUnderTest, serve: Calls
) -> None:
    async def handle(channel: AssociationChannel) -> None:
        await channel.send(b"0")
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listener = await nursery.start(serve, handle)
        client = await stack.open_association(listener.port)
        assert await take(client.receive, 1) == [0]
        nursery.cancel_scope.cancel()
    end = await client.wait_ended()
    assert (end.state, end.reason) == (AssociationState.COMM_LOST, b"")
    await trio.aclose_forcefully(client)


async def test_handlers_may_run_in_another_nursery(stack: StackUnderTest, serve: Calls) -> None:
    async def handle(channel: AssociationChannel) -> None:
        async for message in channel:
            await channel.send(message.data)

    async with trio.open_nursery() as handlers:
        async with trio.open_nursery() as nursery:
            listener = await nursery.start(serve_in(serve, handlers), handle)
            client = await stack.open_association(listener.port)
            await client.send(b"0")
            assert await take(client.receive, 1) == [0]
            nursery.cancel_scope.cancel()
        await client.send(b"1")
        assert await take(client.receive, 1) == [1]
        await client.aclose()


Told = tuple[Exception, AssociationChannel]


async def test_a_handlers_error_can_be_told_instead_of_raised(
    stack: StackUnderTest, serve: Calls
) -> None:
    told: list[Told] = []

    async def handle(channel: AssociationChannel) -> None:
        message = await channel.receive()
        if message.data == b"alone":
            raise KeyError("mine")
        async with trio.open_nursery() as tasks:
            tasks.start_soon(fail)
            tasks.start_soon(fail)

    async def fail() -> None:
        raise KeyError("mine")

    def on_error(error: Exception, channel: AssociationChannel) -> None:
        assert channel.ended is not None
        assert channel.ended.reason == b"handler failed"
        told.append((error, channel))

    async with trio.open_nursery() as nursery:
        listener = await nursery.start(serve, handle, on_error)
        for data in b"alone", b"together":
            client = await stack.open_association(listener.port)
            await client.send(data)
            assert (await client.wait_ended()).reason == b"handler failed"
            await client.aclose()
        await until(lambda: len(told) == 2)
        nursery.cancel_scope.cancel()
    (alone, _), (group, _) = told
    assert isinstance(alone, KeyError)
    assert isinstance(group, ExceptionGroup)
    assert len(group.exceptions) == 2


async def test_nobody_is_told_of_a_lost_association(stack: StackUnderTest, serve: Calls) -> None:
    told: list[Told] = []
    ended = trio.Event()

    async def handle(channel: AssociationChannel) -> None:
        try:
            await channel.receive()
        finally:
            ended.set()

    async with trio.open_nursery() as nursery:
        listener = await nursery.start(serve, handle, lambda *both: told.append(both))
        client = await stack.open_association(listener.port)
        client.abort()
        await ended.wait()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert not told


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_what_is_no_exception_propagates_all_the_same(
    stack: StackUnderTest, serve: Calls, kind: type[BaseException]
) -> None:
    told: list[Told] = []

    async def handle(channel: AssociationChannel) -> None:
        await channel.receive()
        raise kind

    with pytest.RaisesGroup(kind, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            listener = await nursery.start(serve, handle, lambda *both: told.append(both))
            client = await stack.open_association(listener.port)
            await client.send(b"go")
    assert not told
    assert (await client.wait_ended()).reason == b""
    await client.aclose()


async def test_a_group_with_more_than_exceptions_propagates(
    stack: StackUnderTest, serve: Calls
) -> None:
    told: list[Told] = []

    async def handle(channel: AssociationChannel) -> None:
        await channel.receive()
        raise BaseExceptionGroup("both", [KeyError("mine"), KeyboardInterrupt()])

    with pytest.RaisesGroup(KeyError, KeyboardInterrupt, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            listener = await nursery.start(serve, handle, lambda *both: told.append(both))
            client = await stack.open_association(listener.port)
            await client.send(b"go")
    assert not told
    assert (await client.wait_ended()).reason == b"handler failed"
    await client.aclose()


async def test_what_on_error_raises_propagates(stack: StackUnderTest, serve: Calls) -> None:
    async def handle(channel: AssociationChannel) -> None:
        await channel.receive()
        raise KeyError("mine")

    def on_error(error: Exception, channel: AssociationChannel) -> None:
        raise OverflowError from error

    with pytest.RaisesGroup(OverflowError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            listener = await nursery.start(serve, handle, on_error)
            client = await stack.open_association(listener.port)
            await client.send(b"go")
    await trio.aclose_forcefully(client)


async def test_a_handler_that_returned_does_not_wait_for_a_silent_peer_beyond_linger(
    stack: StackUnderTest, serve: Calls
) -> None:
    """The peer here does not read, which holds the shutdown up as silence does."""
    full = trio.Event()

    async def handle(channel: AssociationChannel) -> None:
        assert channel.get_option(Linger) == Linger(True, 1)
        await fill(channel)
        full.set()

    options = [Linger(True, 1), *SMALL_BUFFERS]
    async with trio.open_nursery() as nursery:
        listener = await nursery.start(functools.partial(serve, handle, options=options))
        client = await stack.open_association(listener.port, options=SMALL_BUFFERS)
        await full.wait()
        await listener.drain()  # returns when the handler has left
        await trio.aclose_forcefully(client)


async def test_a_handler_that_is_cancelled_and_learns_of_its_loss_ends_quietly(
    stack: StackUnderTest, serve: Calls
) -> None:
    handled: list[AssociationChannel] = []

    async def handle(channel: AssociationChannel) -> None:
        handled.append(channel)
        await cancelled_when_lost(channel)

    async with trio.open_nursery() as nursery:
        listener = await nursery.start(serve, handle)
        client = await stack.open_association(listener.port)
        client.abort()
        await until(lambda: bool(handled))
        await handled[0].wait_ended()
        nursery.cancel_scope.cancel()


async def test_on_error_is_told_of_a_handler_that_is_cancelled_and_fails(
    stack: StackUnderTest, serve: Calls
) -> None:
    told: list[Told] = []
    started = trio.Event()

    async def handle(channel: AssociationChannel) -> None:
        async with trio.open_nursery() as tasks:
            tasks.start_soon(trio.sleep_forever)
            started.set()
            try:
                await trio.sleep_forever()
            finally:
                raise KeyError("mine")

    async with trio.open_nursery() as nursery:
        listener = await nursery.start(serve, handle, lambda *both: told.append(both))
        client = await stack.open_association(listener.port)
        await started.wait()
        nursery.cancel_scope.cancel()
    ((error, channel),) = told
    with pytest.RaisesGroup(KeyError):
        raise error
    assert channel.ended is not None
    assert (await client.wait_ended()).reason == b"handler failed"
    await client.aclose()


async def not_called(channel: AssociationChannel) -> None:
    raise AssertionError


def no_handler(channel: AssociationChannel) -> Awaitable[object]:
    return not_called(channel)


async def generator(channel: AssociationChannel) -> Any:
    yield channel


class Callee:
    async def __call__(self, channel: AssociationChannel) -> None:
        await channel.send(b"0")

    async def method(self, channel: AssociationChannel) -> None:
        await channel.send(b"0")

    async def with_more(self, more: object, channel: AssociationChannel) -> None:
        await channel.send(b"0")


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (None, "None"),
        (5, "5"),
        (no_handler, "one that is not async: <function no_handler"),
        (generator, "an async generator function: <function generator"),
        (functools.partial(no_handler), r"one that is not async: functools\.partial"),
        (Callee, "one that is not async: <class"),
    ],
)
async def test_what_is_no_async_function_is_refused_before_it_listens(
    stack: StackUnderTest, handler: Any, said: str
) -> None:
    async with stack.endpoint() as used:
        with pytest.raises(TypeError, match=f"serve was expecting an async function.* got {said}"):
            await trio_sctp.serve(handler, used.port, hosts=stack.host, stack=stack.stack)


async def test_a_handler_that_was_called_is_refused(stack: StackUnderTest) -> None:
    async def handle() -> None:
        raise AssertionError

    with (
        warnings.catch_warnings(record=True) as warned,
        pytest.raises(TypeError, match=r"write serve\(handle, \.\.\.\), not serve\(handle\("),
    ):
        await trio_sctp.serve(handle(), 0, stack=stack.stack)  # type: ignore[arg-type]
    assert not warned


@pytest.mark.parametrize("on_error", [5, "print", not_called])
async def test_an_on_error_that_cannot_be_called_is_refused(
    stack: StackUnderTest, on_error: Any
) -> None:
    with pytest.raises(TypeError, match="on_error must be a function that is not async, not"):
        await trio_sctp.serve(not_called, 0, on_error=on_error, stack=stack.stack)


@pytest.mark.parametrize(
    "handler",
    [
        Callee(),
        Callee().method,
        functools.partial(Callee().with_more, 5),
        functools.partial(Callee()),
    ],
    ids=["object", "method", "partial", "partial of an object"],
)
async def test_whatever_is_called_like_an_async_function_is_a_handler(
    stack: StackUnderTest, serve: Calls, handler: Calls
) -> None:
    async with trio.open_nursery() as nursery:
        listener = await nursery.start(serve, handler)
        client = await stack.open_association(listener.port)
        assert numbers([message async for message in client]) == [0]
        await client.aclose()
        nursery.cancel_scope.cancel()


def serve_in(serve: Calls, handlers: trio.Nursery) -> Calls:
    async def serve_here(handler: Calls, *, task_status: object) -> None:
        await serve(handler, handler_nursery=handlers, task_status=task_status)

    return serve_here
