"""Streams that begin again, and streams that are added: `reset_streams`, `reset_association` and
`add_streams` (RFC 6525)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, TypeVar

import pytest
import trio
import trio.testing

from trio_sctp import (
    Association,
    AssociationLost,
    AssociationReset,
    EnableStreamReset,
    Endpoint,
    EventSubscription,
    Message,
    OptionUnsupported,
    ReconfigSupported,
    ReconfigurationFailed,
    StreamChange,
    StreamPriority,
    StreamReset,
)
from trio_sctp import ReconfigurationFlags as Flags

from .helpers import Pair, StackUnderTest

E = TypeVar("E")

GRANTED = EnableStreamReset(streams=True, association=True, changes=True)
TOLD = EventSubscription(
    address_event=False,
    stream_reset_event=True,
    association_reset_event=True,
    stream_change_event=True,
)


@contextlib.asynccontextmanager
async def granting(stack: StackUnderTest, *client: Any) -> AsyncIterator[Pair]:
    """Two endpoints, of which the server's grants all; both are told of what changes."""
    async with stack.pair(server_options=[GRANTED, TOLD], client_options=[TOLD, *client]) as pair:
        yield pair


async def event(endpoint: Endpoint, kind: type[E]) -> E:
    """The next record, which is an event of this kind."""
    record = await endpoint.receive()
    assert isinstance(record, kind), record
    return record


async def message(endpoint: Endpoint) -> tuple[int, int, bytes]:
    """Stream, SSN and payload of the next record, which is a message."""
    record = await endpoint.receive()
    assert isinstance(record, Message), record
    return record.stream, record.ssn, record.data


# -- streams -----------------------------------------------------------------------------------


async def test_our_streams_begin_again(stack: StackUnderTest) -> None:
    async with granting(stack) as pair:
        for stream in (1, 2, 3):
            await pair.association.send(b"before", stream=stream)
        await pair.association.reset_streams(outgoing=[1, 3])
        for stream in (1, 2, 3):
            await pair.association.send(b"after", stream=stream)
        assert [await message(pair.server) for _ in range(3)] == [
            (stream, 0, b"before") for stream in (1, 2, 3)
        ]
        there = await event(pair.server, StreamReset)
        assert (there.flags, sorted(there.streams)) == (Flags.INCOMING, [1, 3])
        assert there.association_id == pair.peer.id
        assert [await message(pair.server) for _ in range(3)] == [
            (1, 0, b"after"),
            (2, 1, b"after"),
            (3, 0, b"after"),
        ]
        here = await event(pair.client, StreamReset)
        assert (here.flags, sorted(here.streams)) == (Flags.OUTGOING, [1, 3])


async def test_the_peers_streams_begin_again(stack: StackUnderTest) -> None:
    async with granting(stack) as pair:
        await pair.peer.send(b"before", stream=2)
        assert await message(pair.client) == (2, 0, b"before")
        await pair.association.reset_streams(incoming=[2])
        here = await event(pair.client, StreamReset)
        assert (here.flags, here.streams) == (Flags.INCOMING, (2,))
        there = await event(pair.server, StreamReset)
        assert (there.flags, there.streams) == (Flags.OUTGOING, (2,))
        await pair.peer.send(b"after", stream=2)
        assert await message(pair.client) == (2, 0, b"after")


async def test_all_streams_of_both_directions_begin_again(stack: StackUnderTest) -> None:
    async with granting(stack) as pair:
        for association in (pair.association, pair.peer):
            await association.send(b"before", stream=1)
        assert await message(pair.client) == await message(pair.server) == (1, 0, b"before")
        await pair.association.reset_streams(
            outgoing=range(pair.association.outbound_streams),
            incoming=range(pair.association.inbound_streams),
        )
        reset = [await event(pair.client, StreamReset) for _ in range(2)]
        assert [(one.flags, one.streams) for one in reset] == [
            (Flags.OUTGOING, ()),
            (Flags.INCOMING, ()),
        ]
        for association in (pair.association, pair.peer):
            await association.send(b"after", stream=1)
        assert await message(pair.client) == (1, 0, b"after")


async def test_many_messages_keep_their_order_around_a_reset(stack: StackUnderTest) -> None:
    async with granting(stack) as pair, trio.open_nursery() as nursery:

        async def send() -> None:
            for number in range(300):
                await pair.association.send(b"%d" % number * 300, stream=1)

        nursery.start_soon(send)
        got: list[bytes] = []
        resets = 0
        asked = False
        while len(got) < 300:
            record = await pair.server.receive()
            if isinstance(record, Message):
                got.append(record.data)
            else:
                assert isinstance(record, StreamReset)
                resets += 1
            if not asked and len(got) > 20:
                asked = True
                nursery.start_soon(partial(pair.association.reset_streams, outgoing=[1]))
        assert got == [b"%d" % number * 300 for number in range(300)]
        if not resets:
            await event(pair.server, StreamReset)


# -- the association ---------------------------------------------------------------------------


async def test_the_association_begins_again(stack: StackUnderTest) -> None:
    async with granting(stack) as pair:
        for association in (pair.association, pair.peer):
            await association.send(b"before", stream=1)
        assert await message(pair.client) == await message(pair.server) == (1, 0, b"before")
        await pair.association.wait_sent()
        await pair.peer.wait_sent()
        await pair.association.reset_association()
        here = await event(pair.client, AssociationReset)
        there = await event(pair.server, AssociationReset)
        assert here.flags == there.flags == Flags(0)
        assert (here.local_tsn, here.remote_tsn) == (there.remote_tsn, there.local_tsn)
        for association in (pair.association, pair.peer):
            await association.send(b"after", stream=1)
        for endpoint, reset in ((pair.client, here), (pair.server, there)):
            record = await endpoint.receive()
            assert isinstance(record, Message)
            assert (record.ssn, record.tsn) == (0, reset.remote_tsn)


# -- more streams ------------------------------------------------------------------------------


async def test_streams_are_added(stack: StackUnderTest) -> None:
    async with granting(stack) as pair:
        association, peer = pair.association, pair.peer
        before = association.outbound_streams, association.inbound_streams
        await association.add_streams(outgoing=3)
        assert (association.outbound_streams, association.inbound_streams) == (
            before[0] + 3,
            before[1],
        )
        there = await event(pair.server, StreamChange)
        assert (there.inbound_streams, there.outbound_streams) == (before[0] + 3, before[1])
        assert peer.inbound_streams == before[0] + 3
        await association.add_streams(incoming=2)
        assert association.inbound_streams == before[1] + 2
        await event(pair.client, StreamChange)
        here = await event(pair.client, StreamChange)
        assert (here.flags, here.inbound_streams, here.outbound_streams) == (
            Flags(0),
            before[1] + 2,
            before[0] + 3,
        )
        there = await event(pair.server, StreamChange)
        assert there.outbound_streams == peer.outbound_streams == before[1] + 2
        await association.send(b"new", stream=before[0] + 2)
        await peer.send(b"new", stream=before[1] + 1)
        assert await message(pair.client) == (before[1] + 1, 0, b"new")
        with pytest.raises(ValueError, match="no outbound stream"):
            await association.send(b"too far", stream=before[0] + 3)


# -- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("reset_streams", {"outgoing": [1]}),
        ("reset_streams", {"incoming": [1]}),
        ("reset_association", {}),
        ("add_streams", {"outgoing": 1}),
        ("add_streams", {"incoming": 1}),
    ],
)
async def test_nothing_is_granted_by_default(
    stack: StackUnderTest, call: str, arguments: dict[str, Any]
) -> None:
    async with stack.pair(client_options=[TOLD], server_options=[TOLD]) as pair:
        before = pair.association.outbound_streams, pair.association.inbound_streams
        with pytest.raises(ReconfigurationFailed, match="does not grant") as failed:
            await getattr(pair.association, call)(**arguments)
        assert failed.value.denied
        record = await pair.client.receive()
        assert isinstance(record, (StreamReset, AssociationReset, StreamChange))
        assert record.flags & Flags.DENIED
        after = pair.association.outbound_streams, pair.association.inbound_streams
        assert after == before
        await pair.association.send(b"goes on", stream=1)
        assert await message(pair.server) == (1, 0, b"goes on")


async def test_what_is_granted_can_be_read(stack: StackUnderTest) -> None:
    async with granting(stack, EnableStreamReset(changes=True)) as pair:
        assert pair.association.get_option(EnableStreamReset) == EnableStreamReset(
            streams=False, association=False, changes=True
        )
        pair.association.set_option(EnableStreamReset(streams=True))
        await pair.association.reset_association()
        assert pair.association.get_option(EnableStreamReset) == EnableStreamReset(
            streams=True, association=False, changes=True
        )


async def test_a_request_grants_nothing_to_the_peer(stack: StackUnderTest) -> None:
    async with granting(stack) as pair:
        await pair.association.reset_streams(outgoing=[1])
        with pytest.raises(ReconfigurationFailed):
            await pair.peer.reset_streams(outgoing=[1])


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("reset_streams", {}, "name the streams"),
    ("reset_streams", {"outgoing": []}, "names no stream"),
    ("reset_streams", {"incoming": []}, "names no stream"),
    ("reset_streams", {"outgoing": [1, 2, 1]}, "names stream 1 more than once"),
    ("reset_streams", {"outgoing": [65534]}, "no outgoing stream 65534"),
    ("reset_streams", {"incoming": [65534]}, "no incoming stream 65534"),
    ("reset_streams", {"outgoing": [-1]}, "between 0 and"),
    ("add_streams", {}, "how many"),
    ("add_streams", {"outgoing": -1}, "between 0 and"),
    ("add_streams", {"outgoing": 65535}, "too many"),
    ("add_streams", {"incoming": 65530}, "too many"),
]


@pytest.mark.parametrize(("call", "arguments", "text"), WRONG)
async def test_bad_input_is_refused_before_anything_is_sent(
    stack: StackUnderTest, call: str, arguments: dict[str, Any], text: str
) -> None:
    async with granting(stack) as pair:
        with pytest.raises(ValueError, match=text):
            await getattr(pair.association, call)(**arguments)
        await pair.association.send(b"last")
        assert await message(pair.server) == (0, 0, b"last")


async def test_a_peer_that_cannot_is_not_asked(stack: StackUnderTest) -> None:
    async with stack.pair(server_options=[ReconfigSupported(False)]) as pair:
        for call in (
            partial(pair.association.reset_streams, outgoing=[1]),
            pair.association.reset_association,
            partial(pair.association.add_streams, outgoing=1),
        ):
            with pytest.raises(OptionUnsupported, match="RE-CONFIG"):
                await call()


# -- turns, cancellation, ends -----------------------------------------------------------------


async def test_requests_are_made_in_turn(stack: StackUnderTest) -> None:
    async with granting(stack) as pair:
        order: list[int] = []

        async def reset(stream: int) -> None:
            await pair.association.reset_streams(outgoing=[stream])
            order.append(stream)

        async with trio.open_nursery() as nursery:
            for stream in range(5):
                nursery.start_soon(reset, stream)
                await trio.lowlevel.checkpoint()
        resets = [await event(pair.server, StreamReset) for _ in range(5)]
        assert [one.streams[0] for one in resets] == order


async def test_whoever_is_cancelled_leaves_the_next_its_turn(stack: StackUnderTest) -> None:
    async with granting(stack) as pair:
        with trio.CancelScope() as scope:
            scope.cancel()
            await pair.association.reset_streams(outgoing=[1])
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(pair.association.reset_streams, outgoing=[2]))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()  # it is on its way, and goes on
        await pair.association.reset_streams(outgoing=[3])
        first = await event(pair.server, StreamReset)
        second = await event(pair.server, StreamReset)
        assert (first.streams, second.streams) == ((2,), (3,))


async def test_requests_of_an_association_that_has_ended(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        client.abort()
        await server.wait_ended()
        for channel, error in ((server, AssociationLost), (client, trio.ClosedResourceError)):
            with pytest.raises(error):
                await channel.reset_streams(outgoing=[1])
            with pytest.raises(error):
                await channel.reset_association()
            with pytest.raises(error):
                await channel.add_streams(outgoing=1)


async def test_streams_that_the_peer_has_added_are_there_before_anybody_reads_of_them(
    stack: StackUnderTest,
) -> None:
    async with granting(stack) as pair:
        there = pair.peer.outbound_streams
        await pair.association.add_streams(incoming=3)
        await pair.association.reset_streams(outgoing=[0])  # so that the peer has our answer
        pair.peer.set_option(StreamPriority(there, 1))
        await pair.peer.send(b"new", stream=there + 2)
        with pytest.raises(ValueError, match=f"association {pair.peer.id} has {there + 3}, from 0"):
            await pair.peer.send(b"none", stream=there + 3)
        while not isinstance(record := await pair.client.receive(), Message):
            pass
        assert (record.stream, record.data) == (there + 2, b"new")


async def test_a_peer_that_does_not_receive_grants_as_many_as_are_asked_for(
    stack: StackUnderTest,
) -> None:
    """Where it has asked for no events, none wait to be read."""
    async with stack.pair(server_options=[GRANTED]) as pair:
        for _ in range(100):
            await pair.association.reset_streams(outgoing=[1])


async def test_a_channel_resets_streams_too(stack: StackUnderTest) -> None:
    async with (
        stack.channels(server_options=[GRANTED, TOLD], client_options=[TOLD]) as (
            client,
            server,
        ),
        server.events() as events,
    ):
        await client.send(b"before", stream=1)
        await client.reset_streams(outgoing=[1])
        await client.send(b"after", stream=1)
        got = [await server.receive() for _ in range(2)]
        assert [(one.ssn, one.data) for one in got] == [(0, b"before"), (0, b"after")]
        assert isinstance(await events.receive(), StreamReset)
        await client.add_streams(outgoing=1)
        assert isinstance(await events.receive(), StreamChange)
        assert server.inbound_streams == client.outbound_streams


async def test_a_reset_while_the_association_is_peeled_off(stack: StackUnderTest) -> None:
    async with granting(stack) as pair:
        handle: Association = pair.association
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(handle.reset_streams, outgoing=[1]))
            await trio.testing.wait_all_tasks_blocked()
            channel = pair.client.peeloff(handle)
        async with channel:
            await channel.reset_streams(outgoing=[2])
            assert [await event(pair.server, StreamReset) for _ in range(2)]
            channel.abort()
