"""reconnect on every stack; its rules are tested in virtual time (tests/unit/test_reconnect.py)."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable

import trio
import trio.testing

import trio_sctp
from trio_sctp import AssociationChannel, AssociationEnd, Backoff

from .helpers import StackUnderTest, cancelled_when_lost, take, until

SOON = Backoff(initial=0.01, jitter=0)
Last = AssociationEnd | None


def reconnecting(
    stack: StackUnderTest,
    handler: Callable[[AssociationChannel, Last], Awaitable[object]],
    port: int,
) -> Callable[..., Awaitable[None]]:
    return functools.partial(
        trio_sctp.reconnect, handler, stack.host, port, backoff=SOON, stack=stack.stack
    )


async def test_it_comes_back_until_the_handler_is_done(stack: StackUnderTest) -> None:
    lasts: list[Last] = []

    async def handle(channel: AssociationChannel, last: Last) -> None:
        lasts.append(last)
        if len(lasts) < 3:
            async for _ in channel:
                pass
        else:
            await channel.send(b"0")

    async with stack.listener() as listener, trio.open_nursery() as nursery:
        channel = await nursery.start(reconnecting(stack, handle, listener.port))
        assert isinstance(channel, AssociationChannel)
        (await listener.accept()).abort(b"why")
        await (await listener.accept()).aclose()
        async with await listener.accept() as server:
            assert await take(server.receive, 1) == [0]
    first, aborted, graceful = lasts
    assert first is None
    assert aborted is not None
    assert aborted.reason == b"why"
    assert graceful is not None
    assert graceful.graceful


async def test_it_waits_for_a_server_that_is_not_there_yet(stack: StackUnderTest) -> None:
    async with stack.endpoint() as free:
        port = free.port

    async def handle(channel: AssociationChannel, last: Last) -> None:
        assert last is None
        await channel.send(b"0")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reconnecting(stack, handle, port))
        await trio.testing.wait_all_tasks_blocked(0.01)  # refused, once at least
        async with stack.listener(port=port) as listener, await listener.accept() as server:
            assert await take(server.receive, 1) == [0]


async def test_cancelled_when_the_association_is_lost_it_raises_nothing(
    stack: StackUnderTest,
) -> None:
    async def handle(channel: AssociationChannel, last: Last) -> None:
        await cancelled_when_lost(channel)

    async with stack.listener() as listener, trio.open_nursery() as nursery:
        channel = await nursery.start(reconnecting(stack, handle, listener.port))
        (await listener.accept()).abort()
        await channel.wait_ended()
        nursery.cancel_scope.cancel()


async def test_cancelled_it_leaves_nothing(stack: StackUnderTest, black_hole: str) -> None:
    async def handle(channel: AssociationChannel, last: Last) -> None:
        await trio.sleep_forever()

    async with stack.listening() as server:
        async with trio.open_nursery() as nursery:
            await nursery.start(reconnecting(stack, handle, server.port))
            nursery.cancel_scope.cancel()
        await server.receive()
        await until(lambda: not _left(server))
        with trio.move_on_after(0.01) as scope:
            await trio_sctp.reconnect(handle, black_hole, 2905, stack=stack.stack)
        assert scope.cancelled_caught


def _left(server: trio_sctp.Endpoint) -> int:
    try:
        while True:
            server.receive_nowait()
    except trio.WouldBlock:
        return len(server.associations)
