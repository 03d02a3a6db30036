"""What passes between an association and its peer is counted."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator

import pytest

from trio_sctp import (
    Association,
    AssociationChannel,
    AssociationLost,
    AssociationStatistics,
    PeerAddressFlags,
    PeerAddressParams,
)

from .helpers import Pair, StackUnderTest, send_numbers, take, until


@contextlib.asynccontextmanager
async def channels(stack: StackUnderTest) -> AsyncIterator[list[AssociationChannel]]:
    """Both ends of an association that sends no heartbeats of its own accord."""
    quiet = [PeerAddressParams(flags=PeerAddressFlags.HB_DISABLE)]
    async with stack.channels(client_options=quiet, server_options=quiet) as ends:
        yield list(ends)


async def all_is_acknowledged(*ends: Association) -> None:
    await until(lambda: not any(end.status().unackdata for end in ends))


async def test_what_was_sent_and_received_is_counted(stack: StackUnderTest) -> None:
    async with channels(stack) as (client, server):
        await send_numbers(client, range(7))
        await client.send(b"7", unordered=True)
        await take(server.receive, 8)
        await send_numbers(server, range(3))
        await take(client.receive, 3)
        await all_is_acknowledged(client, server)
        ours, theirs = client.statistics(), server.statistics()
        assert (ours.data_chunks_sent, ours.data_chunks_received) == (8, 3)
        assert (theirs.data_chunks_sent, theirs.data_chunks_received) == (3, 8)
        for one, other in ((ours, theirs), (theirs, ours)):
            assert one.sacks_received == other.sacks_sent > 0
            assert 0 < one.sacks_sent <= one.control_chunks_sent
            assert 0 < one.sacks_received <= one.control_chunks_received
            assert one.packets_sent > 0
            assert one.packets_received > 0
            assert (one.retransmitted, one.gaps, one.duplicates, one.out_of_order) == (0, 0, 0, 0)


async def test_a_long_message_is_several_chunks(stack: StackUnderTest) -> None:
    async with channels(stack) as (client, server):
        before = client.statistics()
        size = client.status().fragmentation_point
        await client.send(bytes(2 * size + 1))
        await server.receive()
        await all_is_acknowledged(client)
        assert client.statistics().data_chunks_sent - before.data_chunks_sent == 3
        assert server.statistics().data_chunks_received == 3


async def test_a_handle_counts_its_own_association(stack: StackUnderTest, pair: Pair) -> None:
    async with stack.endpoint() as other:
        quiet = await other.connect(stack.host, pair.server.port)
        await send_numbers(pair.association, range(4))
        await pair.association.send(b"4")
        await until(lambda: pair.peer.statistics().data_chunks_received == 5)
        assert pair.association.statistics().data_chunks_sent == 5
        assert quiet.statistics().data_chunks_sent == 0


async def test_heartbeats_and_the_largest_rto(stack: StackUnderTest) -> None:
    async with channels(stack) as (client, _):
        before = client.statistics()
        client.set_option(PeerAddressParams(flags=PeerAddressFlags.HB_DEMAND))
        if stack.stack == "kernel":
            assert before.heartbeats_sent is before.heartbeats_answered is before.max_rto is None
            return
        assert (before.heartbeats_sent, before.heartbeats_answered, before.max_rto) == (0, 0, 0)
        await until(lambda: client.statistics().heartbeats_answered == 1)
        after = client.statistics()
        assert after.heartbeats_sent == 1
        assert after.max_rto == client.paths()[0].rto


async def test_counts_never_go_back(stack: StackUnderTest) -> None:
    async with channels(stack) as (client, server):
        await send_numbers(client, range(600))  # more than fit into a window of memory
        await take(server.receive, 300)
        before = server.statistics()
        await take(server.receive, 300)
        after = server.statistics()
        assert after.data_chunks_received == 600
        for field in dataclasses.fields(AssociationStatistics):
            earlier, later = getattr(before, field.name), getattr(after, field.name)
            assert earlier is later is None or earlier <= later


@pytest.mark.parametrize("graceful", [True, False])
async def test_after_the_end_there_are_none(stack: StackUnderTest, graceful: bool) -> None:
    async with stack.pair() as pair:
        if graceful:
            await pair.peer.eof()
        else:
            pair.peer.abort()
        await pair.association.wait_ended()
        await pair.peer.wait_ended()
        for one in (pair.association, pair.peer):
            with pytest.raises(AssociationLost):
                one.statistics()


async def test_a_channel_has_none_after_the_end(stack: StackUnderTest) -> None:
    async with channels(stack) as (client, server):
        server.abort(b"enough")
        await client.wait_ended()
        with pytest.raises(AssociationLost, match="enough"):
            client.statistics()
        assert client.queue_statistics().associations == 0
