"""Many associations, many messages, slow receivers, peers that do not read."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable

import pytest
import trio

import trio_sctp
from trio_sctp import (
    AssociationChannel,
    Message,
    Passive,
    ReceiveBuffer,
    SendBuffer,
    Window,
    open_association,
    open_endpoint,
)

from .conftest import LOOPBACK, channel_pair, open_server, resident_kib


def numbered(n: int, size: int = 64) -> bytes:
    return n.to_bytes(4, "big") + bytes(size - 4)


def number(message: Message) -> int:
    return int.from_bytes(message.data[:4], "big")


async def test_200_associations_exchange_200_messages_each_way_at_once() -> None:
    associations, messages, streams = 200, 200, 4
    received: dict[tuple[int, int], list[int]] = defaultdict(list)
    backward: list[int] = []

    async with open_server() as server:

        async def client() -> None:
            seen: dict[int, list[int]] = defaultdict(list)
            async with await open_association(LOOPBACK, server.port) as channel:

                async def receive() -> None:
                    while sum(map(len, seen.values())) < messages:
                        for message in await channel.receive_batch():
                            seen[message.stream].append(number(message))

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(receive)
                    for n in range(messages):
                        await channel.send(numbered(n), stream=n % streams)
                assert all(
                    numbers == list(range(stream, messages, streams))
                    for stream, numbers in seen.items()
                )
                backward.append(len(seen))

        async def answer(id: int) -> None:
            for n in range(messages):
                await server.send(numbered(n), id, stream=n % streams)

        async def serve() -> None:
            async with trio.open_nursery() as nursery, server.active(Window(1000)) as inbox:
                while sum(map(len, received.values())) < associations * messages:
                    for record in await inbox.receive_batch(1000):
                        match record:
                            case Message():
                                key = (record.association_id, record.stream)
                                received[key].append(number(record))
                            case trio_sctp.AssociationChange(
                                state=trio_sctp.AssociationState.COMM_UP
                            ):
                                nursery.start_soon(answer, record.association_id)
                            case _:
                                pass
            while server.associations:
                await server.receive()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            for _ in range(associations):
                nursery.start_soon(client)

    assert backward == [streams] * associations
    assert len(received) == associations * streams
    for (_, stream), numbers in received.items():
        assert numbers == list(range(stream, messages, streams))


async def test_credit_of_one_holds_up_the_sender_and_loses_nothing() -> None:
    """10,000 messages against a receiver that grants one credit at a time and is cancelled 1,000
    times: the sender waits, memory stays flat, every message comes once and in order."""
    messages = 10_000
    random_ = random.Random(1)
    sent = 0
    received: list[int] = []

    async def feed(channel: AssociationChannel) -> None:
        nonlocal sent
        for n in range(messages):
            await channel.send(numbered(n, 1000))
            sent += 1

    async with channel_pair() as (connecting, accepting), trio.open_nursery() as nursery:
        nursery.start_soon(feed, connecting)
        await trio.testing.wait_all_tasks_blocked()
        assert sent < messages / 4
        before = resident_kib()
        most_ahead = cancelled = 0
        while len(received) < messages:
            # Leave the block now and then, at a checkpoint that chance chooses.
            with trio.CancelScope() as scope:
                async with accepting.active(1) as inbox:
                    for _ in range(random_.randrange(1, 19)):
                        if cancelled < 1000 and random_.random() < 0.2:
                            scope.cancel()
                        match await inbox.receive():
                            case Message() as message:
                                received.append(number(message))
                                most_ahead = max(most_ahead, sent - len(received))
                            case Passive():
                                inbox.grant(1)
                            case _:
                                pass
                        if len(received) == messages:
                            break
            cancelled += scope.cancelled_caught
        grown = resident_kib() - before
    assert received == list(range(messages))
    assert cancelled == 1000
    assert most_ahead < messages / 4
    assert grown < 8 * 1024


async def test_a_peer_that_never_reads_does_not_hold_up_peeled_off_associations() -> None:
    async with open_server() as server:
        stuck = await open_association(LOOPBACK, server.port)
        lively = await open_association(LOOPBACK, server.port)
        channels = [
            server.peeloff((await server.receive()).association_id),
            server.peeloff((await server.receive()).association_id),
        ]

        async def flood() -> None:
            while True:
                await channels[0].send(bytes(1000))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            await trio.testing.wait_all_tasks_blocked()
            for n in range(100):
                await channels[1].send(numbered(n))
                assert number(await lively.receive()) == n
            nursery.cancel_scope.cancel()
        for channel in (stuck, lively, *channels):
            channel.abort()


async def test_on_a_shared_endpoint_a_peer_that_never_reads_blocks_sends_until_it_is_aborted() -> (
    None
):
    """Linux has one send budget for the socket; what it frees must reach those who wait."""
    async with open_server() as server:
        stuck = await open_association(LOOPBACK, server.port)
        lively = await open_association(LOOPBACK, server.port)
        ids = [(await server.receive()).association_id for _ in range(2)]
        sent = 0

        async def flood() -> None:
            nonlocal sent
            with pytest.raises(trio.ClosedResourceError):
                while True:
                    await server.send(bytes(1000), ids[0])
                    sent += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            before = -1
            while before != sent:  # no progress for longer than a delayed SACK takes
                before = sent
                await trio.sleep(0.5)
            with pytest.raises(trio.WouldBlock):
                server.send_nowait(numbered(7), ids[1])
            nursery.start_soon(server.send, numbered(7), ids[1])
            await trio.testing.wait_all_tasks_blocked()
            assert server.statistics().tasks_waiting_send == 2
            server.abort(ids[0])
            assert number(await lively.receive()) == 7
        stuck.abort()
        lively.abort()


async def test_with_a_send_budget_for_each_association_the_others_pass(
    sysctl: Callable[[str, object], None],
) -> None:
    sysctl("net.sctp.sndbuf_policy", 1)
    async with open_server() as server:
        stuck = await open_association(LOOPBACK, server.port)
        lively = await open_association(LOOPBACK, server.port)
        ids = [(await server.receive()).association_id for _ in range(2)]

        async def flood(id: int) -> None:
            while True:
                await server.send(bytes(1000), id)

        async def feed() -> None:
            for n in range(4000):
                await server.send(numbered(n, 1000), ids[1])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood, ids[0])
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(feed)
            # It stops reading for a while, so that its sender has to wait, too.
            await trio.testing.wait_all_tasks_blocked()
            assert server.statistics().tasks_waiting_send == 2
            assert [number(await lively.receive()) for _ in range(4000)] == list(range(4000))
            nursery.cancel_scope.cancel()
        stuck.abort()
        lively.abort()


async def test_200_blocked_senders_get_their_turn_in_order() -> None:
    async with open_server(options=[SendBuffer(65536)]) as server:
        channels = [await open_association(LOOPBACK, server.port) for _ in range(200)]
        ids = [(await server.receive()).association_id for _ in channels]

        async def send(id: int) -> None:
            for n in range(4):
                await server.send(numbered(n, 4000), id)

        async with trio.open_nursery() as nursery:
            for id in ids:
                nursery.start_soon(send, id)
            await trio.testing.wait_all_tasks_blocked()
            for channel in channels:
                assert [number(await channel.receive()) for _ in range(4)] == list(range(4))
        for channel in channels:
            channel.abort()


async def test_large_messages_both_ways_from_several_peers_at_once() -> None:
    async with await open_endpoint(options=[SendBuffer(4 * 2**20)]) as probe:
        size = min(4 * 2**20, probe.max_send_size // 2)
    options = [SendBuffer(size)]
    peers = 4
    async with open_server(options=options) as server:

        async def client(n: int) -> None:
            async with await open_association(LOOPBACK, server.port, options=options) as channel:
                await channel.send(bytes([n]) * size, stream=n)
                answer = await channel.receive()
                assert answer.data == bytes([n + 100]) * size

        async def answer(message: Message) -> None:
            n = message.stream
            assert message.data == bytes([n]) * size
            await server.send(bytes([n + 100]) * size, message.association_id, stream=n)

        async with trio.open_nursery() as nursery:
            for n in range(peers):
                nursery.start_soon(client, n)
            async with trio.open_nursery() as answers:
                answered = 0
                while answered < peers:
                    record = await server.receive()
                    if isinstance(record, Message):
                        answers.start_soon(answer, record)
                        answered += 1
            while server.associations:
                await server.receive()


async def test_what_the_send_buffer_can_hold_is_said_before_anything_is_sent(
    sysctl: Callable[[str, object], None],
) -> None:
    sysctl("net.core.wmem_max", 212_992)
    async with open_server() as server, channel_pair() as (connecting, _):
        assert server.max_send_size == connecting.max_send_size == 212_992
        with pytest.raises(
            ValueError, match=r"409600 bytes.*212992.*SendBuffer.*net\.core\.wmem_max"
        ):
            await connecting.send(bytes(409_600))
        server.set_option(SendBuffer(2**24))
        assert server.max_send_size == 425_984  # clamped to twice the sysctl
        assert server.get_option(SendBuffer) == SendBuffer(425_984)


async def test_events_between_large_messages_are_not_lost() -> None:
    """1 MiB messages from some peers while others come, say a word and go."""
    async with await open_endpoint(options=[SendBuffer(2**20)]) as probe:
        size = min(2**20, probe.max_send_size // 2)
    options = [SendBuffer(size)]
    talkers, visitors = 3, 30
    large = small = ups = ends = 0
    async with open_server() as server:

        async def talker(n: int) -> None:
            async with await open_association(LOOPBACK, server.port, options=options) as channel:
                for _ in range(4):
                    await channel.send(bytes([n]) * size)

        async def visitor() -> None:
            async with await open_association(LOOPBACK, server.port) as channel:
                await channel.send(b"word")

        async with trio.open_nursery() as nursery:
            for n in range(talkers):
                nursery.start_soon(talker, n)
            for _ in range(visitors):
                nursery.start_soon(visitor)
            while ends < talkers + visitors:
                match await server.receive():
                    case Message(data=b"word"):
                        small += 1
                    case Message(data=data):
                        large += 1
                        assert len(data) == size
                        assert len(set(data)) == 1
                    case trio_sctp.AssociationChange(state=state):
                        ups += state is trio_sctp.AssociationState.COMM_UP
                        ends += state is trio_sctp.AssociationState.SHUTDOWN_COMP
                    case _:
                        pass
    assert (large, small, ups, ends) == (
        4 * talkers,
        visitors,
        talkers + visitors,
        talkers + visitors,
    )


async def test_an_abort_in_the_middle_of_a_message_discards_it() -> None:
    async with await open_endpoint(options=[SendBuffer(2**20)]) as probe:
        size = min(2**20, probe.max_send_size)
    async with open_server(options=[ReceiveBuffer(65536)]) as server:
        channel = await open_association(LOOPBACK, server.port, options=[SendBuffer(2**20)])
        await channel.send(b"whole")
        await channel.send(bytes(size))
        (handle,) = server.associations.values()
        while server.statistics().buffered_bytes <= len(b"whole"):
            with trio.move_on_after(0.01):  # reads ahead: the first parts of the large one
                await handle.wait_ended()
        channel.abort(b"in the middle")
        seen: list[object] = []
        while not seen or getattr(seen[-1], "state", None) != trio_sctp.AssociationState.COMM_LOST:
            seen.append(await server.receive())
        assert [m.data for m in seen if isinstance(m, Message)] == [b"whole"]
        assert any(isinstance(event, trio_sctp.PartialDeliveryAborted) for event in seen)
        assert server.statistics().buffered_bytes == 0


async def test_a_message_that_never_ends_is_cut_off() -> None:
    async with open_server(max_message_size=100_000) as server:
        options = [SendBuffer(2**20)]
        channel = await open_association(LOOPBACK, server.port, options=options)
        await channel.send(b"small")
        await channel.send(bytes(200_000))
        (handle,) = server.associations.values()
        seen = [await server.receive() for _ in range(2)]
        assert isinstance(seen[1], Message)
        assert seen[1].data == b"small"
        end = await handle.wait_ended()
        assert end.cause == 4
        assert server.statistics().buffered_bytes == 0
        there = await channel.wait_ended()
        await channel.aclose()
        assert there.state is trio_sctp.AssociationState.COMM_LOST
        assert b"100000" in there.reason
