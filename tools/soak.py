"""Run the userland stack for long over UDP on loopback: python -m tools.soak MINUTES

A server in a process of its own serves clients that come and go: they send and are sent messages,
and then close; or pause for long before they read; or abort; or vanish, which is to say that their
UDP socket is gone without an ABORT.  Both ends check that every message of an association that ends
gracefully arrives, once, whole and in the order of its stream, and that of the others none arrives
twice or out of order.

Prints a line each minute: associations that ended gracefully, were aborted by the client and
vanished, those that failed, messages that arrived, and the memory of both processes in MiB.  Fails
if an association failed, if one did not end in time, or if a process takes more than a fifth more
memory in the last quarter of the time than in the second.  Until then caches fill.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import itertools
import json
import random
import resource
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import trio

import trio_sctp
from trio_sctp import (
    AssociationChannel,
    AssociationLost,
    AssocParams,
    ConnectFailed,
    InitMsg,
    PeerAddressParams,
    RtoInfo,
    Userland,
)

HOST, SCTP_PORT, STREAMS = "127.0.0.1", 2905, 4
AT_ONCE = 20  # clients
KINDS = {"close": 40, "pause": 15, "abort": 25, "vanish": 20}  # and their shares
SIZES = (16, 200, 1000, 5000, 60_000)
MOST = 2_000_000  # bytes of one client's messages, each way
PAUSE = (5, 30)  # seconds
STUCK = 180  # seconds after which a client is given up
SAMPLES = 5  # seconds between looks at the memory
GROWTH = 1.2

# Those who have vanished are given up soon, so that their number is steady within a minute.
OPTIONS = (
    InitMsg(num_ostreams=STREAMS),
    RtoInfo(max=4000),
    AssocParams(asocmaxrxt=6),
    PeerAddressParams(hbinterval=5000, pathmaxrxt=4),
)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a client means to do, and first says in a message."""

    kind: str
    sends: int
    receives: int
    size: int

    @classmethod
    def drawn(cls, chance: random.Random) -> Plan:
        size = chance.choice(SIZES)
        most = min(1000, MOST // size)
        (kind,) = chance.choices(list(KINDS), list(KINDS.values()))
        return cls(kind, chance.randint(1, most), chance.randint(1, most), size)


class Failed(Exception):
    """Messages did not arrive as they should have."""


def message(number: int, size: int) -> bytes:
    return number.to_bytes(4, "big") * (size // 4)


async def send(channel: AssociationChannel, count: int, size: int) -> None:
    for number in range(count):
        await channel.send(message(number, size), stream=number % STREAMS)


async def receive(channel: AssociationChannel, count: int, size: int, counts: Counter[str]) -> None:
    """Take messages until so many have come, or the peer sends no more; check each."""
    expected = list(range(STREAMS))  # the number of the next message of each stream
    taken = 0
    while taken < count:
        try:
            arrived = await channel.receive()
        except trio.EndOfChannel:
            break
        number = expected[arrived.stream]
        if arrived.data != message(number, size):
            raise Failed(f"stream {arrived.stream}: {arrived.data[:4]!r} and not {number}")
        expected[arrived.stream] += STREAMS
        taken += 1
        counts["messages"] += 1
    if taken != count:
        raise Failed(f"{taken} messages of {count}")


def resident() -> float:
    """MiB of this process that are in memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


# -- the server's process ---


async def handle(channel: AssociationChannel, counts: Counter[str]) -> None:
    plan = None
    try:
        plan = Plan(**json.loads((await channel.receive()).data))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, channel, plan.receives, plan.size)
            await receive(channel, plan.sends, plan.size, counts)
        try:
            more = await channel.receive()
        except trio.EndOfChannel:
            return
        raise Failed(f"a message too many: {more}")
    except* AssociationLost as lost:
        if plan is not None and plan.kind in ("close", "pause"):
            failed(counts, f"the server lost {plan}: {lost.exceptions}")
    except* (Failed, trio.EndOfChannel) as why:
        failed(counts, f"at the server, {plan}: {why.exceptions}")


def failed(counts: Counter[str], why: str) -> None:
    counts["failed"] += 1
    print(why, file=sys.stderr, flush=True)


async def serve(udp_port: int) -> None:
    """Serve clients; answer each line of input with the counts and the memory."""
    counts: Counter[str] = Counter()

    async def answer() -> None:
        print(flush=True)
        while await trio.to_thread.run_sync(sys.stdin.readline):
            print(json.dumps({"memory": resident(), **counts}), flush=True)

    async with trio_sctp.userland(udp_port=udp_port), trio.open_nursery() as nursery:
        each = partial(handle, counts=counts)
        await nursery.start(partial(trio_sctp.serve, each, SCTP_PORT, hosts=HOST, options=OPTIONS))
        await answer()
        nursery.cancel_scope.cancel()


# -- the clients' process ---


def vanish(stack: Userland) -> None:
    """Close a stack's sockets, so that nothing leaves any more."""
    for carrier in list(stack._carriers.values()):
        stack._close(carrier)


async def client(
    udp_port: int, port: int, plan: Plan, chance: random.Random, counts: Counter[str]
) -> None:
    async with trio_sctp.userland(peer_udp_port=udp_port) as stack:
        channel = await trio_sctp.open_association(
            HOST, SCTP_PORT, local_port=port, options=OPTIONS
        )
        await channel.send(json.dumps(dataclasses.asdict(plan)).encode())
        if plan.kind in ("abort", "vanish"):
            await send(channel, chance.randrange(plan.sends), plan.size)
            await receive(channel, chance.randrange(plan.receives), plan.size, counts)
            if plan.kind == "abort":
                channel.abort(b"as planned")
            else:
                vanish(stack)
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, channel, plan.sends, plan.size)
            if plan.kind == "pause":
                await trio.sleep(chance.uniform(*PAUSE))
            await receive(channel, plan.receives, plan.size, counts)
        await channel.aclose()
        end = await channel.wait_ended()
        if not end.graceful or end.undelivered:
            raise Failed(f"{end.state.name}, {len(end.undelivered)} messages not delivered")


async def clients(
    udp_port: int,
    ports: Iterator[int],
    until: float,
    chance: random.Random,
    counts: Counter[str],
) -> None:
    """Be one client after the other, each with the next port: a stack knows nothing of the others
    at its address, and of two with the same port the server takes only one (RFC 6951 section 5.4).
    """
    while trio.current_time() < until:
        plan = Plan.drawn(chance)
        try:
            with trio.fail_after(STUCK):
                await client(udp_port, next(ports), plan, chance, counts)
        except* (
            AssociationLost,
            ConnectFailed,
            Failed,
            trio.EndOfChannel,
            trio.TooSlowError,
        ) as why:
            failed(counts, f"at a client, {plan}: {why.exceptions}")
        else:
            counts[plan.kind] += 1


class Server:
    """The server's process."""

    def __init__(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind((HOST, 0))
            self.port: int = free.getsockname()[1]
        command = [sys.executable, "-m", "tools.soak", "--serve", str(self.port)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1)
        self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the server has died")
        return line

    async def counts(self) -> dict[str, float]:
        """What it has counted, and its memory."""
        print(file=self._process.stdin)
        counts: dict[str, float] = json.loads(await trio.to_thread.run_sync(self._line))
        return counts

    def end(self) -> None:
        self._process.communicate()


async def soak(minutes: float, seed: int) -> bool:
    """Run for a while; return whether all went well."""
    server = Server()
    counts: Counter[str] = Counter()
    started = trio.current_time()
    seconds = minutes * 60
    ports = itertools.cycle(range(10_000, 60_000))
    memory: list[tuple[float, float]] = []

    async def watch() -> None:
        shown = 0
        while True:
            await trio.sleep(SAMPLES)
            memory.append(((await server.counts())["memory"], resident()))
            minute = int((trio.current_time() - started) // 60)
            if minute > shown:
                shown = minute
                await show(f"{minute} min")

    async def show(when: str) -> None:
        theirs = await server.counts()
        of_clients = "  ".join(f"{kind} {counts[kind]}" for kind in KINDS)
        failures = counts["failed"] + theirs.get("failed", 0)
        messages = counts["messages"] + theirs.get("messages", 0)
        print(
            f"{when}  {of_clients}  failed {failures:g}  messages {messages:,.0f}  "
            f"server {theirs['memory']:.1f} MiB  clients {resident():.1f} MiB",
            flush=True,
        )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        async with trio.open_nursery() as inner:
            for number in range(AT_ONCE):
                chance = random.Random(seed * AT_ONCE + number)
                inner.start_soon(clients, server.port, ports, started + seconds, chance, counts)
        nursery.cancel_scope.cancel()
    await show("end")
    failures = counts["failed"] + (await server.counts()).get("failed", 0)
    server.end()
    quarter = len(memory) // 4
    growths = [
        max(later) / max(before)
        for before, later in zip(
            zip(*memory[quarter : 2 * quarter], strict=True),
            zip(*memory[-quarter:], strict=True),
            strict=True,
        )
    ]
    print("memory, last quarter / second:", *(f"{growth:.2f}" for growth in growths))
    return not failures and max(growths) <= GROWTH


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.soak")
    parser.add_argument("minutes", type=float, nargs="?", default=60, help="1 at least")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--serve", type=int, metavar="UDP_PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        trio.run(serve, arguments.serve)
    else:
        sys.exit(not trio.run(soak, arguments.minutes, arguments.seed))


if __name__ == "__main__":
    main()
