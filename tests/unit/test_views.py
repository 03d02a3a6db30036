"""Events beside a channel, and what was acknowledged, on a stack that does as it is told."""

from __future__ import annotations

import errno

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_sctp
from trio_sctp import (
    AssociationChannel,
    AssociationLost,
    AssociationState,
    DefaultSendParams,
    EventSubscription,
    RemoteError,
    SenderDry,
)
from trio_sctp._values import SendInfo

from ..support.fake_stack import FakeSocket, FakeStack, change, opened, os_error

ID = 100
LARGE = 600_000


async def channel_of(*options: trio_sctp.Option) -> tuple[AssociationChannel, FakeSocket]:
    stack = FakeStack()
    endpoint = opened(await trio_sctp.open_endpoint(stack=stack, options=options))
    socket = stack.sockets[0]
    socket.arrive(change(ID, AssociationState.COMM_UP))
    await endpoint.receive()
    channel = opened(endpoint.peeloff(ID))
    return channel, socket.peeled[ID]


def error(size: int) -> RemoteError:
    return RemoteError(association_id=ID, error=1, data=bytes(size))


async def test_a_mebibyte_of_events_is_kept() -> None:
    channel, socket = await channel_of()
    async with channel.events() as events:
        socket.arrive(error(LARGE), error(LARGE), error(5))
        await wait_all_tasks_blocked()
        assert events.dropped == 1
        assert await events.receive() == error(LARGE)
        socket.arrive(error(LARGE))
        await wait_all_tasks_blocked()
        assert [await events.receive() for _ in range(2)] == [error(5), error(LARGE)]
        socket.arrive(error(2**20 + 1))
        await wait_all_tasks_blocked()
        assert events.dropped == 2
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()


async def test_an_event_that_has_just_come_is_taken_without_waiting() -> None:
    """The task that reads ahead has had no turn yet."""
    channel, socket = await channel_of()
    async with channel.events() as events:
        await wait_all_tasks_blocked()
        socket.arrive(error(1), error(2))
        assert events.receive_nowait() == error(1)
        socket.arrive(error(3))
        assert [events.receive_nowait() for _ in range(2)] == [error(2), error(3)]


async def test_an_error_of_reading_goes_to_who_receives_events() -> None:
    channel, socket = await channel_of()
    async with channel.events() as events:
        socket.arrive(error(1))
        await wait_all_tasks_blocked()
        socket.fail(os_error(errno.EIO))
        await wait_all_tasks_blocked()
        assert await events.receive() == error(1)
        with pytest.raises(OSError, match=r"Input/output error"):
            await events.receive()


async def test_a_channel_with_an_open_block_is_not_given_away() -> None:
    channel, _ = await channel_of()
    async with channel.events():
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError, match="events"):
            channel.detach()


async def test_the_stack_is_asked_while_somebody_waits() -> None:
    channel, socket = await channel_of()
    finished: list[str] = []

    async def wait(name: str) -> None:
        await channel.wait_sent()
        finished.append(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, "first")
        await wait_all_tasks_blocked()
        socket.arrive(SenderDry(association_id=ID))  # Of what was sent before.
        await wait_all_tasks_blocked()
        nursery.start_soon(wait, "second")
        await wait_all_tasks_blocked()
        assert finished == []
        socket.dry.add(ID)
        socket.arrive(SenderDry(association_id=ID))
    assert sorted(finished) == ["first", "second"]
    asked = [name for name, _ in socket.calls]
    assert asked == ["report dry", "report dry", "report dry no more"]
    assert channel.queue_statistics().buffered_records == 0


async def test_the_stack_is_asked_again_after_a_restart() -> None:
    """What was sent is gone with it, and no acknowledgement will say so."""
    channel, socket = await channel_of()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(channel.wait_sent)
        await wait_all_tasks_blocked()
        socket.arrive(change(ID, AssociationState.RESTART))
        await wait_all_tasks_blocked()
        asked = [name for name, _ in socket.calls]
        assert asked == ["report dry", "report dry"]
        nursery.cancel_scope.cancel()
    assert socket.calls[-1] == ("report dry no more", ID)


async def test_the_stack_is_asked_nothing_of_what_is_closed() -> None:
    channel, socket = await channel_of()
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await channel.wait_sent()

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        await trio.aclose_forcefully(channel)
    assert "report dry" in (names := [name for name, _ in socket.calls])
    assert "report dry no more" not in names


async def test_the_stack_is_not_told_of_a_program_that_is_told_anyway() -> None:
    channel, socket = await channel_of(EventSubscription(sender_dry_event=True))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(channel.wait_sent)
        await wait_all_tasks_blocked()
        socket.dry.add(ID)
        socket.arrive(SenderDry(association_id=ID))
    assert socket.calls == []


async def test_views_send_on_stream_0_without_an_identifier_unless_told_otherwise() -> None:
    channel, socket = await channel_of()
    socket.own[DefaultSendParams] = DefaultSendParams(
        stream=3, ppid=5, unordered=True, context=7, lifetime=8
    )
    await channel.payloads().send(b"a")
    await channel.payloads(1, 2).send(b"b")
    await channel.as_stream().send_all(b"c")
    await channel.as_stream(1, 2).send_all(b"d")
    assert socket.infos == [
        SendInfo(stream=0, ppid=0, unordered=True, context=7, lifetime=8),
        SendInfo(stream=1, ppid=2, unordered=True, context=7, lifetime=8),
        SendInfo(stream=0, ppid=0, unordered=False, context=0, lifetime=0),
        SendInfo(stream=1, ppid=2, unordered=False, context=0, lifetime=0),
    ]


@pytest.mark.parametrize(
    ("how", "error"),
    [("close", trio.ClosedResourceError), ("lose", AssociationLost), ("make room", None)],
)
@pytest.mark.parametrize("behind_another", [False, True])
async def test_who_waits_for_room_that_is_shared_is_told_of_the_end(
    how: str, error: type[Exception] | None, behind_another: bool
) -> None:
    channel, socket = await channel_of()
    stream = channel.as_stream()
    socket.room = 0
    done: list[bool] = []

    async def wait() -> None:
        if error is None:
            await stream.wait_send_all_might_not_block()
        else:
            with pytest.raises(error):
                await stream.wait_send_all_might_not_block()
        done.append(True)

    async def send() -> None:
        if error is None:
            await channel.send(b"x")
        else:
            with pytest.raises(error):
                await channel.send(b"x")

    async with trio.open_nursery() as nursery:
        if behind_another:
            nursery.start_soon(send)
            await wait_all_tasks_blocked()
        nursery.start_soon(wait)
        nursery.start_soon(channel.wait_ended)
        await wait_all_tasks_blocked()
        assert not done
        if how == "close":
            channel.abort()
        elif how == "lose":
            socket.arrive(change(ID, AssociationState.COMM_LOST))
        else:
            socket.make_room(2)
            await wait_all_tasks_blocked()
            assert done
            nursery.cancel_scope.cancel()
    assert done
