"""Every coroutine is a checkpoint, and may be cancelled there: a table of all that there are.

Each is called when it has nothing to wait for.  It has to let other tasks run even so, and notice
that its scope was cancelled; what it would have taken is then still there.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import FrameType
from typing import Any

import pytest
import trio
import trio.testing

import trio_sctp
from trio_sctp import AssociationChannel, EnableStreamReset, Inbox, Window
from trio_sctp._socket.waiter import Waiter

from ..support.resolver import Resolver
from .helpers import StackUnderTest, until

Call = Callable[[], Awaitable[object]]
Case = Callable[[StackUnderTest], contextlib.AbstractAsyncContextManager[Call]]
CASES: dict[str, Case] = {}
NOT_EXPORTED = ("Half.", "PayloadChannel.", "ByteStream.", "EventChannel.")


def case(*names: str) -> Callable[[Callable[..., AsyncIterator[Call]]], None]:
    """Note how to get at a call that need not wait, of these coroutines; it is given the name."""

    def note(function: Callable[..., AsyncIterator[Call]]) -> None:
        manager = contextlib.asynccontextmanager(function)
        for name in names:
            CASES[name] = lambda stack, name=name: manager(stack, name.partition(".")[2])  # type: ignore[misc]

    return note


@case("open_endpoint", "open_listener")
async def _(stack: StackUnderTest, name: str) -> AsyncIterator[Call]:
    opened: list[Any] = []

    async def call() -> None:
        opened.append(await trio_sctp.open_endpoint(stack=stack.stack))
        opened.append(await trio_sctp.open_listener(0, stack=stack.stack))

    yield call
    for one in opened:
        await trio.aclose_forcefully(one)


@case("open_association")
async def _(stack: StackUnderTest, name: str) -> AsyncIterator[Call]:
    async with stack.listening() as server:
        opened: list[AssociationChannel] = []

        async def call() -> None:
            opened.append(await stack.open_association(server.port))

        yield call
        for channel in opened:
            channel.abort()


@case("serve")
async def _(stack: StackUnderTest, name: str) -> AsyncIterator[Call]:
    async def call() -> None:
        with trio.move_on_after(0.01):
            await trio_sctp.serve(AssociationChannel.aclose, 0, stack=stack.stack)

    yield call


@case("reconnect")
async def _(stack: StackUnderTest, name: str) -> AsyncIterator[Call]:
    async def handle(channel: AssociationChannel, last: object) -> None:
        channel.abort()

    async with stack.listening() as server:
        yield lambda: trio_sctp.reconnect(handle, stack.host, server.port, stack=stack.stack)


@case("Endpoint.connect", "Endpoint.connect_init")
async def _(stack: StackUnderTest, name: str) -> AsyncIterator[Call]:
    async with stack.listening() as server, stack.endpoint() as client:
        yield lambda: getattr(client, name)(stack.host, server.port)


@case("Endpoint.send", "Endpoint.eof")
async def _(stack: StackUnderTest, name: str) -> AsyncIterator[Call]:
    async with stack.pair() as pair:
        arguments = (b"x", pair.association.id) if name == "send" else (pair.association.id,)
        yield lambda: getattr(pair.client, name)(*arguments)


@case("Association.send", "Association.eof", "Association.wait_ended", "Association.wait_sent")
async def _(stack: StackUnderTest, name: str) -> AsyncIterator[Call]:
    async with stack.pair() as pair:
        if name == "wait_ended":
            pair.peer.abort()
            await pair.association.wait_ended()
        arguments = (b"x",) if name == "send" else ()
        yield lambda: getattr(pair.association, name)(*arguments)


@case("Endpoint.receive", "Endpoint.receive_batch", "Endpoint.__anext__")
async def _(stack: StackUnderTest, name: str) -> AsyncIterator[Call]:
    async with stack.pair() as pair:
        await pair.association.send(b"ready")
        await trio.testing.wait_all_tasks_blocked(0.01)
        yield getattr(pair.server, name)


@case(
    "AssociationChannel.send",
    "AssociationChannel.eof",
    "AssociationChannel.receive",
    "AssociationChannel.receive_batch",
    "AssociationChannel.__anext__",
    "AssociationChannel.wait_ended",
    "AssociationChannel.wait_sent",
    "AssociationChannel.aclose",
)
async def _(stack: StackUnderTest, name: str) -> AsyncIterator[Call]:
    async with stack.channels() as (channel, peer):
        if name == "wait_ended":
            peer.abort()
            await channel.wait_ended()
        elif name != "aclose":
            await peer.send(b"ready")
            await trio.testing.wait_all_tasks_blocked(0.01)
        arguments = (b"x",) if name == "send" else ()
        yield lambda: getattr(channel, name)(*arguments)


@case("Association.ping", "AssociationChannel.ping")
async def _(stack: StackUnderTest, name: str) -> AsyncIterator[Call]:
    if stack.stack == "kernel":
        pytest.skip("Linux reports no answer to a heartbeat")
    async with stack.channels() as (channel, _), stack.pair() as pair:

        async def call() -> None:
            await pair.association.ping()
            await channel.ping()

        yield call


@case(
    *[
        f"{kind}.{name}"
        for kind in ("Association", "AssociationChannel")
        for name in ("reset_streams", "reset_association", "add_streams")
    ]
)
async def _(stack: StackUnderTest, name: str) -> AsyncIterator[Call]:
    granted = EnableStreamReset(streams=True, association=True, changes=True)
    arguments: dict[str, Any] = {}
    if name != "reset_association":
        arguments = {"outgoing": 1 if name == "add_streams" else [1]}
    async with (
        stack.channels(server_options=[granted]) as (channel, _),
        stack.pair(server_options=[granted]) as pair,
    ):

        async def call() -> None:
            await getattr(pair.association, name)(**arguments)
            await getattr(channel, name)(**arguments)

        yield call


@contextlib.asynccontextmanager
async def _with_messages(stack: StackUnderTest) -> AsyncIterator[AssociationChannel]:
    """A channel that has two messages to receive."""
    async with stack.channels() as (channel, peer):
        await peer.send(b"ready")
        await peer.send(b"and another")
        await trio.testing.wait_all_tasks_blocked(0.01)
        yield channel


@case(
    "PayloadChannel.send",
    "PayloadChannel.receive",
    "PayloadChannel.__anext__",
    "PayloadChannel.aclose",
)
async def _(stack: StackUnderTest, name: str) -> AsyncIterator[Call]:
    async with _with_messages(stack) as channel:
        arguments = (b"x",) if name == "send" else ()
        yield lambda: getattr(channel.payloads(), name)(*arguments)


@case(
    "ByteStream.send_all",
    "ByteStream.wait_send_all_might_not_block",
    "ByteStream.receive_some",
    "ByteStream.__anext__",
    "ByteStream.aclose",
)
async def _(stack: StackUnderTest, name: str) -> AsyncIterator[Call]:
    async with _with_messages(stack) as channel:
        stream = channel.as_stream()
        arguments = (b"x",) if name == "send_all" else ()
        yield lambda: getattr(stream, name)(*arguments)


@case("EventChannel.receive", "EventChannel.__anext__", "EventChannel.aclose")
async def _(stack: StackUnderTest, name: str) -> AsyncIterator[Call]:
    async with stack.channels() as (channel, peer), channel.events() as events:
        await peer.eof()
        await channel.wait_ended()
        yield getattr(events, name)


@case("Endpoint.aclose", "Listener.aclose", "Listener.drain")
async def _(stack: StackUnderTest, name: str) -> AsyncIterator[Call]:
    async with stack.endpoint() as endpoint, stack.listener() as listener:

        async def call() -> None:
            if name == "drain":
                await listener.drain()
                return
            await endpoint.aclose()
            await listener.aclose()

        yield call


@case("Listener.accept", "Listener.__anext__")
async def _(stack: StackUnderTest, name: str) -> AsyncIterator[Call]:
    async with stack.listener() as listener:
        channel = await stack.open_association(listener.port)

        async def call() -> None:
            (await getattr(listener, name)()).abort()

        yield call
        channel.abort()


@contextlib.asynccontextmanager
async def _inbox(stack: StackUnderTest) -> AsyncIterator[Inbox]:
    """An inbox that holds two messages."""
    async with stack.pair() as pair, pair.server.active(Window(9)) as inbox:
        await pair.association.send(b"kept")
        await pair.association.send(b"and another")
        await until(lambda: inbox.credit == 7)
        yield inbox


@case("Inbox.receive", "Inbox.receive_batch", "Inbox.__anext__", "Inbox.aclose")
async def _(stack: StackUnderTest, name: str) -> AsyncIterator[Call]:
    async with _inbox(stack) as inbox:
        yield getattr(inbox, name)


@case("Half.receive", "Half.receive_batch", "Half.__anext__", "Half.aclose")
async def _(stack: StackUnderTest, name: str) -> AsyncIterator[Call]:
    async with _inbox(stack) as inbox:
        messages, _ = inbox.split()
        yield getattr(messages, name)


@pytest.mark.parametrize("name", CASES)
async def test_it_is_a_checkpoint(stack: StackUnderTest, name: str) -> None:
    async with CASES[name](stack) as call:
        with trio.testing.assert_checkpoints():
            await call()


@pytest.mark.parametrize("name", CASES)
async def test_it_notices_that_it_was_cancelled_before_and_takes_nothing(
    stack: StackUnderTest, name: str
) -> None:
    async with CASES[name](stack) as call:
        with trio.CancelScope() as scope:
            scope.cancel()
            await call()
        assert scope.cancelled_caught
        if name.partition(".")[2] in ("receive", "receive_batch", "__anext__", "accept"):
            await call()  # what it would have taken is there


@contextlib.contextmanager
def nothing_exposed() -> Iterator[None]:
    """None of the library's functions that run, in whatever task, could be interrupted."""
    exposed: set[str] = set()

    def look(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        ours = "/trio_sctp/_" in code.co_filename and code.co_name != "call_handler"
        if event == "call" and ours and not trio.lowlevel.currently_ki_protected():
            exposed.add(code.co_qualname)

    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(None)
    assert exposed == set()


@pytest.mark.parametrize("name", CASES)
async def test_ctrl_c_waits_for_a_checkpoint_of_it(stack: StackUnderTest, name: str) -> None:
    async with CASES[name](stack) as call:
        with nothing_exposed():
            await call()


async def test_ctrl_c_waits_for_a_checkpoint_where_addresses_race(
    stack: StackUnderTest, resolver: Resolver
) -> None:
    async with stack.listening(hosts=[stack.host, stack.second_host]) as server:
        resolver.hosts["two.test"] = [stack.host, stack.second_host]
        with nothing_exposed():
            channel = await stack.open_association(server.port, hosts="two.test", attempt_delay=0)
        channel.abort()


BLOCKS: dict[str, Callable[[AssociationChannel], contextlib.AbstractAsyncContextManager[object]]]
BLOCKS = {
    "events": AssociationChannel.events,
    "while_up": AssociationChannel.while_up,
    "while_up(drain)": functools.partial(AssociationChannel.while_up, drain=True),
}


@pytest.mark.parametrize("name", BLOCKS)
async def test_ctrl_c_waits_for_a_checkpoint_at_the_ends_of_a_block(
    stack: StackUnderTest, name: str
) -> None:
    async with stack.channels() as (channel, _):
        with nothing_exposed():
            async with BLOCKS[name](channel):
                await trio.testing.wait_all_tasks_blocked()


async def test_ctrl_c_waits_for_a_checkpoint_at_the_ends_of_an_inbox(
    stack: StackUnderTest,
) -> None:
    window = Window(9)
    async with stack.pair() as pair:
        with nothing_exposed():
            async with pair.server.active(window):
                await pair.association.send(b"x")
                await trio.testing.wait_all_tasks_blocked()


def test_the_table_has_every_coroutine() -> None:
    """Those of the abstract classes aside: ``async with`` itself is none of ours."""
    found = set()
    for name in trio_sctp.__all__:
        thing = getattr(trio_sctp, name)
        if inspect.iscoroutinefunction(thing):
            found.add(name)
        elif isinstance(thing, type):
            found |= {
                f"{name}.{attribute}"
                for attribute in dir(thing)
                if inspect.iscoroutinefunction(getattr(thing, attribute))
                and (attribute[0] != "_" or attribute == "__anext__")
            }
    assert {name for name in found if not name.startswith("Userland.")} <= CASES.keys()
    assert {name for name in CASES if not name.startswith(NOT_EXPORTED)} <= found


# -- the seam ----------------------------------------------------------------------------------


async def test_a_reader_lets_others_run_however_busy_its_peer_is(stack: StackUnderTest) -> None:
    """It reads what is not for it: messages, while it waits for the end."""
    async with stack.pair() as pair:
        raw = pair.server._socket.raw
        await pair.association.send(b"ready")
        await until(raw.has_unread)
        with trio.testing.assert_checkpoints():
            await raw.wait_readable(Waiter(state_only=True))
        with trio.CancelScope() as scope:
            scope.cancel()
            await raw.wait_readable(Waiter(state_only=True))
        assert scope.cancelled_caught
        assert raw.has_unread()


async def test_whoever_waits_for_a_stack_may_be_cancelled(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        readable = functools.partial(pair.server._socket.raw.wait_readable, Waiter(state_only=True))
        for wait in readable, pair.association.wait_ended:
            with trio.move_on_after(0.01) as scope:
                await wait()
            assert scope.cancelled_caught
