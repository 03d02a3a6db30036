"""Which stream's message is sent next (RFC 8260), as programs choose it."""

from __future__ import annotations

import pytest

from trio_sctp import OptionUnsupported, Scheduler, StreamPriority, StreamScheduler

from .helpers import Pair, StackUnderTest

NOT_ON_THIS_KERNEL = {
    Scheduler.ROUND_ROBIN_PACKET: "no version of Linux has ROUND_ROBIN_PACKET",
    Scheduler.FAIR_BANDWIDTH: r"FAIR_BANDWIDTH needs Linux 6\.4",
    Scheduler.WEIGHTED_FAIR: r"WEIGHTED_FAIR needs Linux 6\.4",
}


@pytest.mark.parametrize("scheduler", Scheduler)
async def test_each_scheduler_keeps_the_order_of_each_stream(
    stack: StackUnderTest, scheduler: Scheduler
) -> None:
    if stack.stack == "kernel" and scheduler in NOT_ON_THIS_KERNEL:
        return
    async with stack.channels() as (client, server):
        client.set_option(StreamScheduler(scheduler))
        assert client.get_option(StreamScheduler).scheduler is scheduler
        for stream in range(4):
            client.set_option(StreamPriority(stream, 1 + stream))
        for number in range(40):
            await client.send(b"%02d" % number, stream=number % 4)
        got = [await server.receive() for _ in range(40)]
        for stream in range(4):
            assert [message.data for message in got if message.stream == stream] == [
                b"%02d" % number for number in range(40) if number % 4 == stream
            ]


@pytest.mark.parametrize("scheduler", NOT_ON_THIS_KERNEL)
async def test_a_scheduler_that_this_kernel_lacks(
    stack: StackUnderTest, pair: Pair, scheduler: Scheduler
) -> None:
    if stack.stack == "kernel":
        with pytest.raises(OptionUnsupported, match=NOT_ON_THIS_KERNEL[scheduler]):
            pair.association.set_option(StreamScheduler(scheduler))
    else:
        pair.association.set_option(StreamScheduler(scheduler))
        assert pair.association.get_option(StreamScheduler).scheduler is scheduler


async def test_the_scheduler_of_associations_to_come(stack: StackUnderTest) -> None:
    chosen = StreamScheduler(Scheduler.PRIORITY)
    async with stack.listening() as server, stack.endpoint(options=[chosen]) as client:
        options = [StreamPriority(1, 7)]
        association = await client.connect(stack.host, server.port, options=options)
        assert association.get_option(StreamScheduler) == chosen
        assert association.get_option(StreamPriority, stream=1) == StreamPriority(1, 7)
        assert association.get_option(StreamPriority, stream=0) == StreamPriority(0, 0)


async def test_a_stream_that_there_is_not(pair: Pair) -> None:
    streams = pair.association.outbound_streams
    with pytest.raises(ValueError, match=f"stream must be between 0 and {streams - 1}, not "):
        pair.association.set_option(StreamPriority(streams, 1))
    with pytest.raises(ValueError, match="StreamPriority needs stream="):
        pair.association.get_option(StreamPriority)
