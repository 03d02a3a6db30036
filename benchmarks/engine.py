"""The userland engine compared with aiortc's SCTP: two ends in one process, without a network.

Both are pure Python, and use the same packet size and the same CRC32c.  aiortc's is driven through
a transport that only queues.  A cost is that of both ends together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from time import perf_counter
from typing import Any

import trio
from aiortc.rtcsctptransport import RTCSctpCapabilities, RTCSctpTransport

from trio_sctp._engine import Engine, Parameters, Route
from trio_sctp._values import Message, SendInfo

from . import measuring
from .ends import MTU
from .measuring import Costs, Table, Wanted, in_rounds

ROUNDS = 9
COUNTS = {64: 30_000, 1024: 10_000, 16384: 1_000}
WANTED = {64: 2.0, 1024: 1.3, 16384: 1.3}
AHEAD = 200
"""The number of messages that are queued before packets are carried."""

OURS, AIORTC = "trio_sctp", "aiortc"
LEFT, RIGHT = "192.0.2.1", "192.0.2.2"


def ours(size: int) -> float:
    """Microseconds per message of this size."""
    parameters = Parameters(path_mtu=MTU)
    sender = Engine(1000, [], parameters=parameters)
    receiver = Engine(2000, [], parameters=parameters)
    receiver.listening = True
    to, back = Route(RIGHT, LEFT), Route(LEFT, RIGHT)
    info, value, count = SendInfo(0, 0, False, 0, 0), bytes(size), COUNTS[size]
    now = 0.0

    def carry() -> None:
        while True:
            there, here = sender.packets_to_send(), receiver.packets_to_send()
            if not there and not here:
                return
            for packet in there:
                receiver.receive_packet(packet.data, to, now)
            for packet in here:
                sender.receive_packet(packet.data, back, now)

    id = sender.connect([back], 2000, now)
    carry()
    started = perf_counter()
    received = sent = 0
    while received < count:
        try:
            for _ in range(min(AHEAD, count - sent)):
                sender.queue(id, value, info, now)
                sent += 1
        except BlockingIOError:
            pass
        sender.flush(id, now)
        carry()
        now += 0.001
        sender.handle_timeout(now)
        receiver.handle_timeout(now)
        while arrivals := receiver.receive(256, now):
            received += sum(type(arrival) is Message for arrival in arrivals)
        sender.receive(256, now)
        carry()
    return (perf_counter() - started) * 1e6 / count


class Pipe:
    """A queue of packets that aiortc takes for a DTLS transport."""

    state = "connected"

    def __init__(self, role: str) -> None:
        self._role = role
        self.packets: deque[bytes] = deque()

    async def _send_data(self, data: bytes) -> None:
        self.packets.append(data)

    def _register_data_receiver(self, receiver: object) -> None:
        pass

    def _unregister_data_receiver(self, receiver: object) -> None:
        pass


def aiortc(size: int) -> float:
    """Microseconds per message of this size."""
    return asyncio.run(_aiortc(size))


async def _aiortc(size: int) -> float:
    pipes = Pipe("client"), Pipe("server")
    make: Any = RTCSctpTransport
    sender, receiver = (make(pipe) for pipe in pipes)
    received = 0

    async def count_it(stream_id: int, pp_id: int, data: bytes) -> None:
        nonlocal received
        received += 1

    receiver._receive = count_it

    async def carry() -> None:
        while any(pipe.packets for pipe in pipes):
            for pipe, target in zip(pipes, (receiver, sender), strict=True):
                while pipe.packets:
                    await target._handle_data(pipe.packets.popleft())

    capabilities: Any = RTCSctpCapabilities(maxMessageSize=65536)
    await receiver.start(capabilities, 5000)
    await sender.start(capabilities, 5000)
    await carry()
    value, count = bytes(size), COUNTS[size]
    started = perf_counter()
    sent = 0
    while received < count:
        for _ in range(min(AHEAD, count - sent)):
            await sender._send(0, 51, value)
            sent += 1
        await carry()
        await asyncio.sleep(0)
    seconds = perf_counter() - started
    await sender.stop()
    await receiver.stop()
    return seconds * 1e6 / count


async def run() -> list[Table]:
    costs: dict[str, Costs] = {}
    tables: list[Table] = []
    for size in COUNTS:
        contenders = {
            OURS: partial(trio.to_thread.run_sync, ours, size),
            AIORTC: partial(trio.to_thread.run_sync, aiortc, size),
        }
        costs[measuring.size_name(size)] = await in_rounds(contenders, ROUNDS)
    tables.append(measuring.speeds("Engine to engine, messages/s", [AIORTC], costs))
    for size, bound in WANTED.items():
        column = measuring.size_name(size)
        wanted = [Wanted(OURS, AIORTC, bound, speed=True)]
        tables.append(measuring.wanted(f"Wanted at {column}", wanted, {column: costs[column]}))
    return tables
