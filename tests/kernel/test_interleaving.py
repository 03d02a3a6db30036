"""The userland engine and Linux interleave messages, each the other's peer (RFC 8260)."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import pytest
import trio

from trio_sctp import Interleaving, Message, Option, Scheduler, StreamScheduler
from trio_sctp._engine import wire
from trio_sctp._values import FailedFragment

from .test_userland_interop import (
    BUFFERS,
    ROLES,
    Pair,
    associated,
    kernel_receives,
    lose_data,
    lose_nothing,
    lose_some,
)

ON: Sequence[Option] = [*BUFFERS, Interleaving(True), StreamScheduler(Scheduler.ROUND_ROBIN)]
STREAMS = range(4)

pytestmark = pytest.mark.usefixtures("encapsulation", "checksums")


@pytest.fixture(params=ROLES)
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """An association that interleaves, set up by either side."""
    parameters: dict[str, Any] = {"interleaving": True, "scheduler": Scheduler.ROUND_ROBIN}
    async with associated(request.param, ON, **parameters) as pair:
        assert pair.association.get_option(Interleaving) == Interleaving(True)
        yield pair


def alternates(chunks: list[wire.IData]) -> bool:
    """Whether a part of a message stands between parts of another one."""
    ended = [number for number, chunk in enumerate(chunks) if chunk.last]
    return any(not chunk.last for chunk in chunks[: ended[0]]) and len(
        {chunk.stream for chunk in chunks[: ended[0]]}
    ) == len(STREAMS)


@pytest.mark.parametrize("unordered", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.05])
async def test_long_messages_of_several_streams(pair: Pair, unordered: bool, share: float) -> None:
    """They are interleaved in both directions, and arrive whole in spite of loss."""
    carrier, id, endpoint, association = pair
    carrier.lose = lose_some(seed=1, share=share)
    values = [random.Random(stream).randbytes(100_000) for stream in STREAMS]
    for stream in STREAMS:
        how: dict[str, Any] = {"stream": stream, "ppid": 60 + stream, "unordered": unordered}
        await carrier.send(id, values[stream], **how)
        await association.send(values[stream], **how)
    received: list[list[Message]] = [[], []]
    async with trio.open_nursery() as nursery:

        async def take(at: int, receive: Any) -> None:
            for _ in STREAMS:
                received[at].append(await receive())

        nursery.start_soon(take, 0, partial(carrier.expect, Message))
        nursery.start_soon(take, 1, partial(kernel_receives, endpoint))
    for messages in received:
        messages.sort(key=lambda message: message.stream)
        assert [message.data for message in messages] == values
        assert [message.ppid for message in messages] == [60 + stream for stream in STREAMS]
        assert {message.unordered for message in messages} == {unordered}
    assert [message.mid for message in received[0]] == [0] * len(STREAMS)
    for outbound in (True, False):
        assert not carrier.chunks(wire.Data, outbound=outbound)[:0]
        chunks = carrier.chunks(wire.IData, outbound=outbound)
        assert share or not outbound or alternates(chunks)


@pytest.mark.parametrize("size", [10, 5000])
async def test_the_engine_gives_messages_up(pair: Pair, size: int) -> None:
    carrier, id, endpoint, _ = pair
    carrier.lose = lose_data(outbound=True)
    await carrier.send(id, bytes(size), stream=1, lifetime=20)
    await carrier.send(id, bytes(size), unordered=True, lifetime=20)
    for _ in range(2):
        assert len((await carrier.expect(FailedFragment)).data) == size
    carrier.lose = lose_nothing
    await carrier.send(id, b"next", stream=1)
    assert (await kernel_receives(endpoint)).data == b"next"
    assert carrier.chunks(wire.IForwardTsn, outbound=True)
    await carrier.until(lambda: carrier.engine.status(id).unackdata == 0)


@pytest.mark.parametrize("size", [10, 100_000])
async def test_the_kernel_gives_messages_up(pair: Pair, size: int) -> None:
    carrier, _, _, association = pair
    carrier.lose = lose_data(outbound=False)
    await association.send(bytes(size), stream=1, lifetime=20)
    await association.send(bytes(size), unordered=True, lifetime=20)
    await carrier.until(lambda: bool(carrier.chunks(wire.IForwardTsn, outbound=False)))
    carrier.lose = lose_nothing
    await association.send(b"next", stream=1)
    message = await carrier.expect(Message)
    assert (message.data, message.mid) == (b"next", 1)


async def test_messages_of_any_size_keep_their_order(pair: Pair) -> None:
    carrier, id, endpoint, association = pair
    carrier.lose = lose_some(seed=3, share=0.05)
    values = [bytes([number]) * (1 + number * 37) for number in range(100)]
    for number, value in enumerate(values):
        await carrier.send(id, value, stream=number % 5)
        await association.send(value, stream=number % 5)
    for receive in partial(carrier.expect, Message), partial(kernel_receives, endpoint):
        messages = [await receive() for _ in values]
        for stream in range(5):
            assert [message.data for message in messages if message.stream == stream] == [
                value for number, value in enumerate(values) if number % 5 == stream
            ]
