"""Many short associations, hasty clients, closing while others work."""

from __future__ import annotations

import sys

import pytest
import trio

import trio_sctp
from trio_sctp import AssociationChannel, AssociationLost, Message, open_association, serve

from .conftest import (
    LOOPBACK,
    channel_pair,
    kernel_associations,
    open_server,
    resident_kib,
)


async def echo(channel: AssociationChannel) -> None:
    async for message in channel:
        await channel.send(message.data)


async def test_a_client_that_has_left_before_it_is_accepted_is_served() -> None:
    async with await trio_sctp.open_listener(0, hosts=LOOPBACK) as listener:
        async with await open_association(LOOPBACK, listener.port) as client:
            for n in range(3):
                await client.send(b"%d" % n)
        assert not kernel_associations()
        async with await listener.accept() as channel:
            assert [message.data async for message in channel] == [b"0", b"1", b"2"]
            end = await channel.wait_ended()
            assert end.state is trio_sctp.AssociationState.SHUTDOWN_COMP


async def test_a_peer_that_goes_while_it_is_answered_ends_nobody_elses_handler() -> None:
    answered, both_gone = trio.Event(), trio.Event()
    gone = 0

    async def answer(channel: AssociationChannel) -> None:
        nonlocal gone
        first = await channel.receive()
        if first.data == b"stay":
            answered.set()
            await echo(channel)
            return
        with pytest.raises(AssociationLost):
            while True:
                await channel.send(bytes(1000))
        gone += 1
        if gone == 2:
            both_gone.set()
        await channel.send(b"once more")

    async with trio.open_nursery() as nursery:
        listener = await nursery.start(serve, answer, 0)
        async with await open_association(LOOPBACK, listener.port) as stays:
            await stays.send(b"stay")
            await answered.wait()
            goes = await open_association(LOOPBACK, listener.port)
            await goes.send(b"go")
            await goes.receive()
            await goes.aclose()
            aborts = await open_association(LOOPBACK, listener.port)
            await aborts.send(b"go")
            await aborts.receive()
            aborts.abort()
            await stays.send(b"still there?")
            assert (await stays.receive()).data == b"still there?"
            await both_gone.wait()
        nursery.cancel_scope.cancel()


async def test_1000_clients_that_connect_and_abort_leave_the_listener_working() -> None:
    async with trio.open_nursery() as nursery:
        listener = await nursery.start(serve, echo, 0)

        async def hasty(clients: int) -> None:
            for _ in range(clients):
                (await open_association(LOOPBACK, listener.port)).abort()

        async def polite() -> None:
            async with await open_association(LOOPBACK, listener.port) as channel:
                await channel.send(b"hello")
                assert (await channel.receive()).data == b"hello"

        await hasty(200)
        await polite()
        before = resident_kib()
        await hasty(800)
        await polite()
        assert resident_kib() - before < 4 * 1024
        nursery.cancel_scope.cancel()
    assert not kernel_associations()


async def test_5000_short_associations_leave_no_descriptor_task_or_memory() -> None:
    """In a process of its own: its memory does not grow into holes that other tests have left."""
    command = [sys.executable, "-W", "error", "-m", "tests.kernel.short_associations"]
    await trio.run_process(command)


async def test_closing_an_endpoint_wakes_everybody_in_it() -> None:
    woken: list[str] = []
    async with open_server() as server:
        peer = await open_association(LOOPBACK, server.port)
        handle = (await server.receive()).association_id

        async def flood() -> None:
            while True:
                await server.send(bytes(1000), handle)

        association = server.associations[handle]

        async def closed(name: str, call: object, *args: object) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await call(*args)  # type: ignore[operator]
            woken.append(name)

        async def ended() -> None:
            end = await association.wait_ended()
            assert end.graceful
            woken.append("wait_ended")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(closed, "receive", server.receive)
            nursery.start_soon(closed, "send", flood)
            nursery.start_soon(ended)
            await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.start_soon(server.aclose)
            # The peer reads all that was sent before, then sees the end.
            async for message in peer:
                assert isinstance(message, Message)
        await peer.aclose()
    assert sorted(woken) == ["receive", "send", "wait_ended"]


async def test_own_eof_ends_blocked_senders_and_lets_receive_go_on() -> None:
    async with channel_pair() as (here, there):

        async def blocked() -> None:
            with pytest.raises(trio.ClosedResourceError):
                while True:
                    await here.send(bytes(1000))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(blocked)
            await trio.testing.wait_all_tasks_blocked(0.01)
            await here.eof()
        await there.send(b"before the end")
        assert (await here.receive()).data == b"before the end"
        async for _ in there:
            pass
        with pytest.raises(trio.EndOfChannel):
            await here.receive()


async def test_a_peers_abort_ends_every_blocked_call() -> None:
    lost = 0
    async with channel_pair() as (here, there):

        async def sending() -> None:
            nonlocal lost
            with pytest.raises(AssociationLost) as error:
                while True:
                    await here.send(bytes(1000), context=7)
            assert error.value.association is here
            lost += 1

        async def receiving() -> None:
            nonlocal lost
            with pytest.raises(AssociationLost) as error:
                await here.receive()
            end = error.value.end
            assert (end.cause, end.reason) == (12, b"that is enough")
            assert end.undelivered
            assert all(
                failed.data == bytes(1000) and failed.context == 7 and failed.complete
                for failed in end.undelivered
            )
            lost += 1

        async def body() -> None:
            nonlocal lost
            with pytest.raises(AssociationLost):
                async with here.while_up():
                    await trio.sleep_forever()
            lost += 1

        async with trio.open_nursery() as nursery:
            for task in (sending, receiving, body):
                nursery.start_soon(task)
            await trio.testing.wait_all_tasks_blocked(0.01)
            there.abort(b"that is enough")
        assert (await here.wait_ended()).cause == 12
    assert lost == 3
