"""What a program loses without closing it warns, and is aborted; nothing of it is left."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import socket
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import trio
import trio.testing

import trio_sctp
from trio_sctp import (
    AssociationChannel,
    AssociationEnd,
    AssociationLost,
    AssociationState,
    Endpoint,
    Listener,
    Message,
)
from trio_sctp.testing import simulated_network

from ..support.fake_stack import FakeStack
from ..support.udp_proxy import free_port
from .helpers import KERNEL, Pair, StackUnderTest, next_change

HUNG = 20
"""Seconds after which something that takes none has surely hung."""


async def lose(what: list[Any]) -> str:
    """Take the only reference to an object out of a list, and see the warning."""
    name = repr(what[0])
    with pytest.warns(ResourceWarning) as caught:
        drop(what)
    (warning,) = caught
    assert str(warning.message) == f"unclosed {name}"
    assert warning.source is not None
    # Trio's system tasks have their turn in the same round as this one, before it or after it.
    await trio.lowlevel.checkpoint()
    await trio.lowlevel.checkpoint()
    return name


def drop(what: list[Any]) -> None:
    """Take the only references to objects out of a list."""
    what.clear()
    gc.collect()


# -- the objects -------------------------------------------------------------------------------


async def test_a_forgotten_endpoint_is_aborted(stack: StackUnderTest) -> None:
    async with stack.listening() as server:
        what = [await stack.open_endpoint()]
        port = what[0].port
        await what[0].connect(stack.host, server.port)
        assert (await next_change(server)).state is AssociationState.COMM_UP
        name = await lose(what)
        assert f"port {port} with 1 associations" in name
        assert (await next_change(server)).state is AssociationState.COMM_LOST
        async with stack.endpoint(port):
            pass


async def test_a_forgotten_listener_aborts_whom_nobody_accepted(stack: StackUnderTest) -> None:
    what = [await stack.open_listener()]
    port = what[0].port
    async with await stack.open_association(port) as client:
        assert f"port {port}" in await lose(what)
        with pytest.raises(AssociationLost):
            await client.receive()
    async with stack.listener(port=port):
        pass


async def test_a_forgotten_client_is_aborted(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        what = [await stack.open_association(listener.port)]
        async with await listener.accept() as server:
            assert f"with {stack.host} port {listener.port} up" in await lose(what)
            assert (await server.wait_ended()).state is AssociationState.COMM_LOST


async def test_a_forgotten_accepted_channel_is_aborted(stack: StackUnderTest) -> None:
    async with (
        stack.listener() as listener,
        await stack.open_association(listener.port) as client,
    ):
        what = [await listener.accept()]
        await lose(what)
        assert (await client.wait_ended()).state is AssociationState.COMM_LOST


async def test_a_forgotten_peeled_off_channel_is_aborted(pair: Pair) -> None:
    what = [pair.client.peeloff(pair.association)]
    await lose(what)
    assert (await next_change(pair.server)).state is AssociationState.COMM_LOST
    with pytest.raises(trio.ClosedResourceError):
        await pair.association.wait_ended()  # the old handle follows the channel


async def test_messages_that_nobody_took_do_not_keep_a_channel(stack: StackUnderTest) -> None:
    async with (
        stack.listener() as listener,
        await stack.open_association(listener.port) as client,
    ):
        what = [await listener.accept()]
        await client.send(b"one")
        await client.send(b"two")
        assert (await what[0].receive()).data == b"one"
        await lose(what)
        assert (await client.wait_ended()).state is AssociationState.COMM_LOST


async def test_a_channel_whose_association_has_ended_warns_too(stack: StackUnderTest) -> None:
    """It holds a socket until it is closed."""
    async with stack.listener() as listener:
        client = await stack.open_association(listener.port)
        what = [await listener.accept()]
        client.abort(b"bye")
        with pytest.raises(AssociationLost):
            await what[0].receive()
        await lose(what)


async def test_a_cycle_is_collected(stack: StackUnderTest) -> None:
    what: list[Any] = [await stack.open_endpoint()]
    port = what[0].port
    what.append(what)
    await lose(what)
    async with stack.endpoint(port):
        pass


# -- what does not warn ------------------------------------------------------------------------


async def test_a_forgotten_handle_is_silent(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        association = await client.connect(stack.host, server.port)
        id, gone = association.id, weakref.ref(association)
        del association
        gc.collect()
        assert gone() is None
        await client.send(b"still here", id)
        assert client.associations[id].up
        assert (await next_change(server)).state is AssociationState.COMM_UP


async def test_a_handle_keeps_no_endpoint(stack: StackUnderTest) -> None:
    async with stack.listening() as server:
        what = [await stack.open_endpoint()]
        association = await what[0].connect(stack.host, server.port)
        await lose(what)
        with pytest.raises(trio.ClosedResourceError):
            await association.send(b"hello")


async def test_a_handle_stays_the_same_while_somebody_has_it(pair: Pair) -> None:
    assert pair.client.associations[pair.association.id] is pair.association
    channel = pair.client.peeloff(pair.association)
    pair.peer.abort()
    with pytest.raises(AssociationLost) as caught:
        await channel.receive()
    assert caught.value.association is channel
    channel.abort()


async def closed(thing: Endpoint | Listener | AssociationChannel) -> None:
    await thing.aclose()


async def closed_in_haste(thing: Endpoint | Listener | AssociationChannel) -> None:
    await trio.aclose_forcefully(thing)


async def left(thing: Endpoint | Listener | AssociationChannel) -> None:
    async with thing:
        pass


@pytest.mark.parametrize("end", [closed, closed_in_haste, left])
async def test_what_was_closed_is_silent(
    stack: StackUnderTest, end: Callable[[Any], Awaitable[None]]
) -> None:
    listener = await stack.open_listener()
    endpoint = await stack.open_endpoint()
    client = await stack.open_association(listener.port)
    server = await listener.accept()
    server.abort()
    await end(client)
    await end(endpoint)
    await end(listener)
    del server, client, endpoint, listener
    gc.collect()


# -- what keeps an object ----------------------------------------------------------------------


async def test_an_open_inbox_keeps_its_endpoint(stack: StackUnderTest) -> None:
    async with stack.listening() as server:
        what = [await stack.open_endpoint()]
        kept = weakref.ref(what[0])
        await what[0].connect(stack.host, server.port)
        up = await next_change(server)
        async with what.pop().active(5) as inbox:
            gc.collect()
            await server.send(b"hello", up.association_id)
            assert isinstance(await inbox.receive(), Message)
            endpoint = kept()
        assert endpoint is not None
        await endpoint.aclose()


async def test_an_open_inbox_keeps_its_channel(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        what = [await stack.open_association(listener.port)]
        async with await listener.accept() as server:
            kept = weakref.ref(what[0])
            async with what.pop().active(5) as inbox:
                gc.collect()
                await server.send(b"hello")
                assert isinstance(await inbox.receive(), Message)
                channel = kept()
            assert channel is not None
            channel.abort()


async def test_a_block_keeps_its_object(stack: StackUnderTest) -> None:
    async with (
        stack.listener() as listener,
        await stack.open_association(listener.port),
        await listener.accept() as server,
    ):
        gc.collect()
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        assert server.up


async def test_a_block_that_lasts_as_long_as_an_association_keeps_it(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        what = [await stack.open_association(listener.port)]
        async with await listener.accept() as server:
            kept = weakref.ref(what[0])
            async with what.pop().while_up():
                gc.collect()
                channel = kept()
                assert channel is not None
                await server.send(b"hello")
                assert (await channel.receive()).data == b"hello"
            channel.abort()


async def test_a_call_keeps_its_object(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        what = [await stack.open_association(listener.port)]
        async with await listener.accept() as server, trio.open_nursery() as nursery:
            kept: list[Any] = []
            nursery.start_soon(_collect_and_send, weakref.ref(what[0]), kept, server)
            assert (await what.pop().receive()).data == b"hello"
            kept[0].abort()


async def _collect_and_send(
    reference: weakref.ref[AssociationChannel], kept: list[Any], server: AssociationChannel
) -> None:
    gc.collect()
    kept.append(reference())
    await server.send(b"hello")


# -- runs and threads --------------------------------------------------------------------------

STACKS = [pytest.param("kernel", marks=pytest.mark.kernel), "userland", "default", "simulated"]
"""``default`` is the userland stack that has no block: its tasks end with the run."""


@contextlib.asynccontextmanager
async def stack_of_this_run(name: str) -> AsyncIterator[StackUnderTest]:
    """A stack for a run that is no test's."""
    if name == "userland":
        port = free_port()
        async with trio_sctp.userland(udp_port=port, peer_udp_port=port) as stack:
            yield dataclasses.replace(KERNEL, stack=stack)
    elif name == "simulated":
        async with simulated_network() as network:
            yield dataclasses.replace(KERNEL, stack=network.host(KERNEL.host))
    else:
        yield dataclasses.replace(KERNEL, stack="userland" if name == "default" else name)


@pytest.mark.parametrize("name", STACKS)
def test_objects_may_outlive_their_run(name: str) -> None:
    """All end with their run, in whatever way; to lose them afterwards is no error."""

    async def main() -> list[Any]:
        async with stack_of_this_run(name) as stack:
            listener = await stack.open_listener()
            client = await stack.open_association(listener.port)
            server = await listener.accept()
            endpoint = await stack.open_endpoint()
            association = await endpoint.connect(stack.host, listener.port)
            return [listener, client, server, endpoint, association]

    kept = trio.run(main)
    handle = kept.pop()
    with pytest.warns(ResourceWarning) as caught:
        drop(kept)
    assert sorted(str(warning.message).split()[1] for warning in caught) == [
        "<AssociationChannel",
        "<AssociationChannel",
        "<Endpoint",
        "<Listener",
    ]
    del handle
    gc.collect()


@pytest.mark.parametrize("name", STACKS)
def test_the_last_reference_may_go_in_another_thread(name: str) -> None:
    """What is to be done is done where the object belongs."""
    kept: list[Any] = []
    opened, lost = threading.Event(), threading.Event()

    async def main() -> AssociationEnd:
        async with stack_of_this_run(name) as stack, stack.listener() as listener:
            kept.append(await stack.open_association(listener.port))
            async with await listener.accept() as server:
                opened.set()
                await trio.to_thread.run_sync(lost.wait)
                with trio.fail_after(HUNG):
                    return await server.wait_ended()

    with ThreadPoolExecutor() as threads:
        end = threads.submit(trio.run, main)
        assert opened.wait(HUNG)
        with pytest.warns(ResourceWarning, match="Channel"):
            drop(kept)
        lost.set()
        assert end.result().state is AssociationState.COMM_LOST


@pytest.mark.parametrize("name", STACKS)
async def test_another_run_may_lose_what_it_has_opened(name: str) -> None:
    async def main() -> AssociationEnd:
        async with stack_of_this_run(name) as stack, stack.listener() as listener:
            await stack.open_association(listener.port)
            async with await listener.accept() as server:
                with trio.fail_after(HUNG):
                    return await server.wait_ended()

    with pytest.warns(ResourceWarning, match="Channel"):
        end = await trio.to_thread.run_sync(trio.run, main)
    assert end.state is AssociationState.COMM_LOST


@pytest.mark.kernel
def test_a_socket_may_be_adopted_and_lost_outside_of_a_run() -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, 132)
    sock.bind(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    what = [Endpoint.from_socket(sock)]
    with pytest.warns(ResourceWarning, match=f"port {port}"):
        drop(what)
    with socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, 132) as again:
        again.bind(("127.0.0.1", port))


def test_a_failure_to_release_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """To raise it would end the whole run."""

    async def main() -> None:
        stack = FakeStack()
        what = [await trio_sctp.open_endpoint(stack=stack)]

        def close(*, abort: bool) -> None:
            raise RuntimeError("cannot close")

        stack.sockets[0].close = close  # type: ignore[method-assign]
        await lose(what)

    trio.run(main)
    (record,) = caplog.records
    assert record.name == "trio_sctp"
    assert "could not be released" in record.getMessage()
