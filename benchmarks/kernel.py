"""Receiving on real SCTP sockets, compared with pysctp, Erlang's gen_sctp, and hand-written loops.

Sender and receiver are two processes that do not run at the same time: a User Mode Linux guest has
one CPU, on which the scheduler's choices would decide.  So the sender fills the receive buffer, and
then the receiving of what is there is timed.
"""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter

import _sctp
import sctp

from trio_sctp import AssociationChange, AssociationChannel, Endpoint, open_endpoint

from . import measuring
from .measuring import Costs, Table, Wanted, in_rounds
from .program import Program
from .receivers import (
    BARE,
    IN_BATCHES,
    RECEIVERS,
    SINGLY,
    SIZE,
    TRIO,
    Adopt,
    Receive,
    Receiver,
)
from .sender import allow_many_files

ROUNDS = 11
MESSAGES = 1000
SIZES = {"64 B": 64, "1 KiB": 1024, "16 KiB": 16384}
RECEIVE_BUFFER = 2**20  # as trio_sctp sets it
ASSOCIATIONS = 1000
ONE, MANY_ONE, MANY_ALL = "one", f"{ASSOCIATIONS:,}, one sends", f"{ASSOCIATIONS:,}, all send"
SCALED = [BARE, *list(SINGLY)[:2], *list(IN_BATCHES)[:2]]

SOL_SCTP = 132
RECVRCVINFO = 32
GET_ASSOC_ID_LIST = 29
EVENTS = 11

# Erlang keeps the memory that it frees, as Python does here once trio_sctp is imported.
ERLANG_OPTIONS = ["+MMscs", "256", "-s", "gen_sctp_receiver", "main"]

PYSCTP, GEN_SCTP = "pysctp", "gen_sctp"

WANTED = [
    *(Wanted(name, BARE, 0.95, speed=True) for name in IN_BATCHES),
    *(Wanted(name, PYSCTP, 1, speed=True) for name in IN_BATCHES),
    *(Wanted(name, GEN_SCTP, 1.3, speed=True) for name in IN_BATCHES),
    *(Wanted(name, TRIO, 0.9, speed=True) for name in SINGLY),
]


@contextmanager
def programs() -> Iterator[tuple[Program, Program | None]]:
    """Run the sender, and Erlang's receiver if there is an Erlang."""
    sender = Program(sys.executable, "-m", f"{__package__}.sender")
    erlang = None
    with tempfile.TemporaryDirectory() as folder:
        if shutil.which("erlc"):
            source = Path(__file__).with_name("gen_sctp_receiver.erl")
            subprocess.run(["erlc", "-o", folder, str(source)], check=True)
            erlang = Program("erl", "-noshell", "-pa", folder, *ERLANG_OPTIONS)
        try:
            yield sender, erlang
        finally:
            sender.end()
            if erlang is not None:
                erlang.end()


@asynccontextmanager
async def pysctp(sock: socket.socket, adopt: Adopt) -> AsyncIterator[Receive]:
    """Receive by pysctp's blocking ``sctp_recv``."""
    sock.setblocking(True)
    sock.setsockopt(SOL_SCTP, RECVRCVINFO, 0)
    sock.setsockopt(SOL_SCTP, EVENTS, bytes([1]))  # data_io_event: sndrcvinfo with each message
    wrapped = sctp.sctpsocket(socket.AF_INET, sctp.UDP_STYLE, sock)

    async def receive(count: int) -> None:
        for _ in range(count):
            _, _, _, info = wrapped.sctp_recv(SIZE)
            assert info.assoc_id

    with sock:
        yield receive


def listen() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, SOL_SCTP)
    sock.setblocking(False)
    sock.setsockopt(SOL_SCTP, RECVRCVINFO, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.bind(("127.0.0.1", 0))
    sock.listen(1)
    return sock


def peel_off(sock: socket.socket) -> socket.socket:
    """Peel off the only association of a socket, which is closed, and return the new socket."""
    with sock:
        _, id = struct.unpack("=Ii", sock.getsockopt(SOL_SCTP, GET_ASSOC_ID_LIST, 8))
        peeled = socket.socket(fileno=_sctp.peeloff(sock.fileno(), id))
    peeled.setblocking(False)
    return peeled


def burst_of(size: int) -> int:
    """How many messages certainly fit into the receive buffer, as the kernel counts."""
    with listen() as sock:
        return min(
            MESSAGES, sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // (2 * size + 2048)
        )


async def measure(receiver: Receiver, kind: str, size: int, burst: int, sender: Program) -> float:
    sock = listen()
    sender.ask("connect", sock.getsockname()[1], 1)
    adopt: Adopt = Endpoint.from_socket
    if kind == "channel":
        sock = peel_off(sock)
        adopt = AssociationChannel.from_socket
    bursts = -(-MESSAGES // burst)
    seconds = 0.0
    async with receiver(sock, adopt) as receive:
        for number in range(bursts + 1):
            sender.ask("send", burst, size, 1)
            started = perf_counter()
            await receive(burst)
            if number:  # the first one is for warming up
                seconds += perf_counter() - started
    return seconds * 1e6 / (bursts * burst)


async def measure_erlang(
    erlang: Program, kind: str, size: int, burst: int, sender: Program
) -> float:
    port = erlang.ask("open", kind, RECEIVE_BUFFER)
    sender.ask("connect", port, 1)
    erlang.ask("accept")
    bursts = -(-MESSAGES // burst)
    nanoseconds = 0
    for number in range(bursts + 1):
        sender.ask("send", burst, size, 1)
        taken = int(erlang.ask("receive", burst))
        if number:
            nanoseconds += taken
    erlang.ask("close")
    return nanoseconds / 1e3 / (bursts * burst)


async def receiving(kind: str, sender: Program, erlang: Program | None) -> dict[str, Costs]:
    columns: dict[str, Costs] = {}
    for name, size in SIZES.items():
        case = (kind, size, burst_of(size), sender)
        contenders: dict[str, Callable[[], Awaitable[float]]] = {
            key: partial(measure, receiver, *case)
            for key, receiver in (RECEIVERS | {PYSCTP: pysctp}).items()
        }
        if erlang is not None:
            contenders[GEN_SCTP] = partial(measure_erlang, erlang, *case)
        columns[name] = await in_rounds(contenders, ROUNDS)
    return columns


async def scaling(sender: Program) -> Table:
    """Compare one association with many, of which one sends, or all do."""
    rows = []
    burst = burst_of(64)
    other = Program(sys.executable, "-m", f"{__package__}.sender")
    for name in SCALED:
        one, many = listen(), listen()
        sender.ask("connect", one.getsockname()[1], 1)
        other.ask("connect", many.getsockname()[1], ASSOCIATIONS)
        receiver = RECEIVERS[name]
        async with (
            receiver(one, Endpoint.from_socket) as from_one,
            receiver(many, Endpoint.from_socket) as from_many,
        ):

            async def time(source: Program, spread: int, receive: Receive) -> float:
                source.ask("send", burst, 64, spread)
                started = perf_counter()
                await receive(burst)
                return (perf_counter() - started) * 1e6 / burst

            contenders = {
                ONE: partial(time, sender, 1, from_one),
                MANY_ONE: partial(time, other, 1, from_many),
                MANY_ALL: partial(time, other, ASSOCIATIONS, from_many),
            }
            for warm_up in contenders.values():
                await warm_up()
            costs = await in_rounds(contenders, 2 * ROUNDS)
        row = [name, f"{costs.cost(ONE):.1f}"]
        for case in (MANY_ONE, MANY_ALL):
            row += [f"{costs.cost(case):.1f}", f"{costs.ratio(case, ONE):.2f}"]
        rows.append(row)
    other.end()
    header = ["", ONE, MANY_ONE, "/ one", MANY_ALL, "/ one"]
    title = "Receiving 64 B by number of associations, µs per message (ratios wanted: up to 1.20)"
    return Table(title, header, rows)


async def memory(sender: Program) -> Table:
    """Measure what Python allocates for one association."""
    rows = []
    async with await open_endpoint(hosts="127.0.0.1") as endpoint:
        endpoint.listen()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()

        def note(what: str) -> None:
            now, _ = tracemalloc.get_traced_memory()
            rows.append([what, f"{(now - before) / ASSOCIATIONS:,.0f}"])

        sender.ask("connect", endpoint.port, ASSOCIATIONS)
        up: set[int] = set()
        while len(up) < ASSOCIATIONS:
            for record in await endpoint.receive_batch():
                if isinstance(record, AssociationChange):
                    up.add(record.association_id)
        up.clear()
        note("on an endpoint")
        handles = list(endpoint.associations.values())
        note("with a handle to it")
        channels = [endpoint.peeloff(handle) for handle in handles]
        handles.clear()
        note("as a channel")
        tracemalloc.stop()
        for channel in channels:
            channel.abort()
    return Table("Memory of an association", ["", "bytes"], rows)


async def run() -> list[Table]:
    allow_many_files()
    tables = []
    with programs() as (sender, erlang):
        for kind in ("endpoint", "channel"):
            columns = await receiving(kind, sender, erlang)
            title = f"Receiving on an {kind}" if kind == "endpoint" else f"Receiving on a {kind}"
            tables.append(measuring.speeds(f"{title}, messages/s", [BARE], columns))
            tables.append(measuring.wanted(f"{title}, speeds wanted and measured", WANTED, columns))
        tables.append(await scaling(sender))
        tables.append(await memory(sender))
    return tables
