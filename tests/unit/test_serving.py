"""serve and Listener.drain where only a stack that does as it is told brings it about."""

from __future__ import annotations

import errno
import functools
import gc
import logging

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import trio_sctp
from trio_sctp import AssociationChannel, AssociationState, Listener
from trio_sctp._values import Arrival, Piece

from ..support.fake_stack import (
    FakeSocket,
    FakeStack,
    change,
    message,
    opened,
    os_error,
)

UP, DONE = AssociationState.COMM_UP, AssociationState.SHUTDOWN_COMP
ID = 100


async def accepted() -> tuple[Listener, AssociationChannel, FakeSocket]:
    """A listener, an association that it has accepted, and that association's socket."""
    stack = FakeStack()
    listener = opened(await trio_sctp.open_listener(2905, stack=stack))
    (socket,) = stack.sockets
    socket.arrive(change(ID, UP))
    channel = opened(await listener.accept())
    return listener, channel, socket.peeled[ID]


async def test_a_message_of_which_only_a_part_has_arrived_is_dropped() -> None:
    listener, channel, socket = await accepted()
    socket.arrive(message(ID, b"whole"), Piece(message(ID, b"in ")))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.drain)
        assert [one.data async for one in channel] == [b"whole"]
        socket.arrive(message(ID, b"parts"), message(ID, b"late"), Piece(message(ID, b"later")))
        with pytest.raises(trio.EndOfChannel):
            channel.receive_nowait()
        assert not channel.queue_statistics().buffered_bytes
        socket.arrive(change(ID, DONE))


async def test_a_peer_that_never_stops_sending_cannot_hold_up_the_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, channel, socket = await accepted()

    def more(limit: int) -> list[Arrival]:
        return [message(ID, bytes(100))] * 5

    with monkeypatch.context() as patch:
        patch.setattr(socket, "receive", more)
        channel._socket.drain()
    # What the receive buffer may have held, and not much more.
    assert 1000 <= channel._socket.intake.received_octets <= 2000


async def test_associations_that_are_gone_are_not_kept() -> None:
    stack = FakeStack()
    listener = await trio_sctp.open_listener(2905, stack=stack)
    (socket,) = stack.sockets
    for id in range(ID, ID + 50):
        socket.arrive(change(id, UP))
        (await listener.accept()).abort()
    socket.peeled.clear()
    gc.collect()
    assert len(listener._accepted) <= 1  # the last one is in a local variable of the loop's
    await listener.drain()


async def no_handler(channel: AssociationChannel) -> None:
    raise AssertionError


async def test_out_of_descriptors_serve_says_so_and_tries_again(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    stack = FakeStack()
    served: list[int] = []

    async def handle(channel: AssociationChannel) -> None:
        served.append(channel.id)
        channel.abort()

    async with trio.open_nursery() as nursery:
        listener = await nursery.start(functools.partial(trio_sctp.serve, handle, 0, stack=stack))
        (socket,) = stack.sockets
        socket.peel_off_error = os_error(errno.EMFILE)
        socket.arrive(change(ID, UP))
        await trio.sleep(0.25)
        socket.peel_off_error = None
        await trio.sleep(0.1)
        assert served == [ID]
        await listener.drain()
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 3
    assert "Too many open files" in caplog.text


async def test_another_error_of_accept_ends_serve() -> None:
    stack = FakeStack()
    with pytest.RaisesGroup(OSError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            serve = functools.partial(trio_sctp.serve, no_handler, 0, stack=stack)
            await nursery.start(serve)
            (socket,) = stack.sockets
            socket.peel_off_error = os_error(errno.EPERM)
            socket.arrive(change(ID, UP))
    assert socket.closed == "abort"


async def test_a_listener_that_is_closed_ends_serve_with_an_error() -> None:
    stack = FakeStack()
    with pytest.RaisesGroup(trio.ClosedResourceError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            serve = functools.partial(trio_sctp.serve, no_handler, 0, stack=stack)
            listener = await nursery.start(serve)
            await listener.aclose()


async def test_ctrl_c_may_interrupt_what_a_server_calls() -> None:
    """The library's own code waits for a checkpoint with it; the program's need not."""
    protected: dict[str, bool] = {}

    async def handler(channel: AssociationChannel) -> None:
        protected["handler"] = trio.lowlevel.currently_ki_protected()
        raise ValueError

    def on_error(error: Exception, channel: AssociationChannel) -> None:
        protected["on_error"] = trio.lowlevel.currently_ki_protected()

    stack = FakeStack()
    async with trio.open_nursery() as nursery:
        await nursery.start(
            functools.partial(trio_sctp.serve, handler, 2905, stack=stack, on_error=on_error)
        )
        (socket,) = stack.sockets
        socket.arrive(change(ID, UP))
        await wait_all_tasks_blocked()
        assert protected == {"handler": False, "on_error": False}
        assert socket.peeled[ID].closed == "abort"
        nursery.cancel_scope.cancel()
