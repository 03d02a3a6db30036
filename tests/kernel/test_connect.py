"""Connecting: refused, unanswered, cancelled, to a peer that dies, past a flood of others."""

from __future__ import annotations

import errno
import random

import pytest
import trio

import trio_sctp
from trio_sctp import (
    AssociationChange,
    AssociationState,
    ConnectFailed,
    InitMsg,
    Message,
    RtoInfo,
    open_association,
    open_endpoint,
)

from .conftest import LOOPBACK, descriptors, kernel_associations, open_server

CLOSED_PORT = 9  # discard: nobody offers that over SCTP here
IMPATIENT = [RtoInfo(initial=20, max=40, min=20), InitMsg(max_attempts=2)]


async def test_a_closed_port_refuses_at_once() -> None:
    async with open_server() as endpoint:
        with pytest.raises(ConnectFailed) as refused:
            await endpoint.connect(LOOPBACK, CLOSED_PORT)
        assert refused.value.errno == errno.ECONNREFUSED
        assert isinstance(refused.value.event, AssociationChange)
        assert refused.value.event.state is AssociationState.CANT_ASSOC
        assert not endpoint.associations
        assert endpoint.statistics().buffered_records == 0
    with pytest.raises(ConnectFailed) as refused:
        await open_association(LOOPBACK, CLOSED_PORT)
    assert refused.value.errno == errno.ECONNREFUSED


async def test_nobody_answers(black_hole: str) -> None:
    async with await open_endpoint(options=IMPATIENT) as endpoint:
        with pytest.raises(ConnectFailed) as unanswered:
            await endpoint.connect(black_hole, 2905)
        assert unanswered.value.errno == errno.ETIMEDOUT
    async with await open_endpoint() as endpoint:
        with pytest.raises(ConnectFailed) as unanswered:
            await endpoint.connect(black_hole, 2905, options=IMPATIENT)
        assert unanswered.value.errno == errno.ETIMEDOUT
    with pytest.raises(ConnectFailed) as unanswered:
        await open_association(black_hole, 2905, options=IMPATIENT)
    assert unanswered.value.errno == errno.ETIMEDOUT
    assert not kernel_associations()


async def test_a_deadline_on_a_connect_that_nobody_answers(black_hole: str) -> None:
    async with await open_endpoint() as endpoint:
        with pytest.raises(trio.TooSlowError), trio.fail_after(0.5):
            await endpoint.connect(black_hole, 2905)
        assert not kernel_associations()
        with pytest.raises(trio.TooSlowError), trio.fail_after(0.5):
            await open_association(black_hole, 2905)
        assert not kernel_associations()
        assert not endpoint.associations


async def test_300_cancelled_connects_leave_nothing(black_hole: str) -> None:
    random_ = random.Random(3)
    async with await open_endpoint() as endpoint:
        endpoint.listen()
        opened = descriptors()
        for n in range(300):
            with trio.move_on_after(random_.choice([0, 0.001, 0.004])):
                if n % 2:
                    await endpoint.connect(black_hole, 1000 + n)
                else:
                    async with await open_association(black_hole, 1000 + n):
                        raise AssertionError("somebody answered")
        assert not kernel_associations()
        assert not endpoint.associations
        assert descriptors() == opened
        async with await open_association(LOOPBACK, endpoint.port) as channel:
            await channel.send(b"first")
            seen = [await endpoint.receive(), await endpoint.receive()]
            assert isinstance(seen[0], AssociationChange)
            assert seen[0].state is AssociationState.COMM_UP
            assert isinstance(seen[1], Message)
            await channel.eof()
            while endpoint.associations:
                await endpoint.receive()


async def test_connects_cancelled_while_a_peer_answers_leave_nothing() -> None:
    """Cancelled at any moment of a handshake: neither side has an association left."""
    async with open_server() as server, await open_endpoint() as client:
        for n in range(100):
            with trio.CancelScope() as scope:

                async def cancel(scope: trio.CancelScope = scope, n: int = n) -> None:
                    for _ in range(n % 5):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(cancel)
                    association = await client.connect(LOOPBACK, server.port)
                    nursery.cancel_scope.cancel()
                    association.abort()
                    await association.wait_ended()
        while client.associations:
            await client.receive()
        # What the client's program may see: nothing of those that it cancelled.
        states = []
        with trio.move_on_after(0.05):
            while True:
                states.append(await client.receive())
        assert all(
            isinstance(event, AssociationChange) and event.state is AssociationState.COMM_LOST
            for event in states
        )
        assert not kernel_associations()


@pytest.mark.parametrize("flooding", [1, 2, 8])
async def test_connecting_while_others_flood_the_endpoint(flooding: int) -> None:
    """Nobody reads, others send all they can: it connects all the same, and nothing is lost."""
    async with open_server() as server, open_server() as endpoint:
        sent = dict.fromkeys(range(flooding), 0)
        channels = [await open_association(LOOPBACK, endpoint.port) for _ in range(flooding)]

        async def flood(n: int) -> None:
            while True:
                await channels[n].send(n.to_bytes(4, "big") + sent[n].to_bytes(4, "big") * 25)
                sent[n] += 1

        async with trio.open_nursery() as nursery:
            for n in range(flooding):
                nursery.start_soon(flood, n)
            # The store has room (nothing was read yet), the receive buffer has not.
            await trio.testing.wait_all_tasks_blocked(0.02)
            with trio.fail_after(0.5):
                association = await endpoint.connect(LOOPBACK, server.port)
            nursery.cancel_scope.cancel()
        await association.send(b"past the flood")
        while not isinstance(await server.receive(), Message):
            pass

        received = dict.fromkeys(range(flooding), 0)
        while received != sent:
            record = await endpoint.receive()
            if isinstance(record, Message):
                n, count = (int.from_bytes(record.data[i : i + 4], "big") for i in (0, 4))
                assert count == received[n]
                received[n] += 1
            else:
                assert record.association_id != association.id
        for channel in channels:
            channel.abort()


async def test_connecting_with_a_full_store_takes_one_rto_at_the_most() -> None:
    async with open_server(options=[RtoInfo(initial=300)]) as endpoint, open_server() as server:
        channel = await open_association(LOOPBACK, endpoint.port)
        (handle,) = endpoint.associations.values()
        for _ in range(400):
            await channel.send(bytes(100))
        while endpoint.statistics().buffered_records < 256:
            with trio.move_on_after(0.01):  # reads ahead
                await handle.wait_ended()
        association = await endpoint.connect(LOOPBACK, server.port)
        assert association.outbound_streams
        channel.abort()


async def test_an_association_aborted_by_another_task_while_it_is_set_up(black_hole: str) -> None:
    async with await open_endpoint() as endpoint:

        async def abort() -> None:
            await trio.testing.wait_all_tasks_blocked()
            (association,) = endpoint.associations.values()
            association.abort(b"changed my mind")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(abort)
            with pytest.raises(ConnectFailed) as aborted:
                await endpoint.connect(black_hole, 2905)
        assert aborted.value.errno == errno.ECONNABORTED


async def test_connect_init_and_its_outcome_as_an_event(black_hole: str) -> None:
    async with open_server() as server, await open_endpoint(options=IMPATIENT) as client:
        up = await client.connect_init(LOOPBACK, server.port)
        assert up.id in client.associations
        await up.send(b"early")
        event = await client.receive()
        assert isinstance(event, AssociationChange)
        assert (event.association_id, event.state) == (up.id, AssociationState.COMM_UP)
        down = await client.connect_init(black_hole, 2905)
        await down.send(b"in vain", context=5)
        event = await client.receive()
        assert isinstance(event, AssociationChange)
        assert (event.association_id, event.state) == (down.id, AssociationState.CANT_ASSOC)
        failed = await client.receive()
        assert isinstance(failed, trio_sctp.SendFailed)
        assert (failed.data, failed.context, failed.sent) == (b"in vain", 5, False)
        end = await down.wait_ended()
        assert end.state is AssociationState.CANT_ASSOC
        assert [failed.data for failed in end.undelivered] == [b"in vain"]
