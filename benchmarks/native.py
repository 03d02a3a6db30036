"""The data path alone: a socket pair instead of the SCTP socket, in one process.

A message costs one system call, as with SCTP, and comes with the same ready-made ancillary data
for every contender.  The socket is filled before each stretch of receiving, and only the receiving
is timed.  So what is compared is what a contender adds to the calls that none can do without.  The
round trips, in which every message is waited for, show what waiting costs.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Any

import trio

from trio_sctp import Association, AssociationChannel, Endpoint
from trio_sctp._kernel import KernelSocket, KernelStack
from trio_sctp._socket.opening import DEFAULT_MAX_MESSAGE_SIZE
from trio_sctp._socket.queue import Role
from trio_sctp._socket.socket import Socket
from trio_sctp._values import SendInfo

from . import measuring
from .measuring import Costs, Table, Wanted, in_rounds
from .receivers import BARE, IN_BATCHES, RCVINFO, RECEIVERS, SINGLY, TRIO, Adopt, Receiver

MESSAGE = bytes(64)
BURST = 256  # fits into the buffer that a socket has by default
BURSTS = 10
ROUND_TRIPS = 1000
ROUNDS = 25

ASSOCIATION = 1
MSG_EOR = 0x80
ANCILLARY = [(132, 3, RCVINFO.pack(0, 0, 0, 0, 0, 0, 0, ASSOCIATION))]
ADDRESS = ("127.0.0.1", 2006)
SNDINFO = struct.Struct("=HHIIi")

WANTED = [
    *(Wanted(name, TRIO, 1.1 if name == "receive" else 1.25, speed=False) for name in SINGLY),
    *(Wanted(name, BARE, 1.5, speed=False) for name in IN_BATCHES),
]
WANTED_OF_SENDERS = [Wanted("channel.send", TRIO, 1.15, speed=False)]

_recvmsg = socket.socket.recvmsg


class PretendSocket(socket.socket):
    """A socket whose messages come with SCTP's ancillary data.  Sending is unchanged."""

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]:
        return _recvmsg(self, bufsize, ancbufsize)[0], ANCILLARY, MSG_EOR, ADDRESS


def pretend_pair() -> tuple[PretendSocket, socket.socket]:
    ours, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    peer.setblocking(False)
    return PretendSocket(fileno=ours.detach()), peer


def ours_over(sock: socket.socket, role: Role) -> Socket:
    """The inside of an endpoint or channel, with an association that is up."""
    raw = KernelSocket(sock)
    ours = Socket(KernelStack(), raw, role, DEFAULT_MAX_MESSAGE_SIZE, Association)
    tcb = ours.add_tcb(ASSOCIATION)
    tcb.mark_up(10, 10)
    tcb.default_send = SendInfo(0, 0, False, 0, 0)  # what a real socket would be asked for once
    return ours


def endpoint(sock: socket.socket) -> Endpoint:
    return Endpoint(ours_over(sock, Role.ENDPOINT))


def channel(sock: socket.socket) -> AssociationChannel:
    ours = ours_over(sock, Role.CHANNEL)
    return AssociationChannel(ours.tcbs[ASSOCIATION])


async def measure_receiver(receiver: Receiver, adopt: Adopt) -> float:
    ours, peer = pretend_pair()
    seconds = 0.0
    with peer:
        async with receiver(ours, adopt) as receive:
            for burst in range(BURSTS + 1):
                for _ in range(BURST):
                    peer.send(MESSAGE)
                started = perf_counter()
                await receive(BURST)
                if burst:  # the first one is for warming up
                    seconds += perf_counter() - started
    return seconds * 1e6 / (BURSTS * BURST)


@contextmanager
def echo(sock: socket.socket) -> Iterator[None]:
    """Run a process on our CPU that sends back what it receives, when nothing else is to run."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, random.sample(sorted(before), 1))
    with sock:
        process = os.fork()
        if not process:
            try:
                os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
                sock.setblocking(True)
                while data := sock.recv(len(MESSAGE)):
                    sock.send(data)
            finally:
                os._exit(0)
    try:
        yield
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.sched_setaffinity(0, before)


async def measure_round_trip(receiver: Receiver) -> float:
    ours, peer = pretend_pair()
    with echo(peer), socket.socket(fileno=os.dup(ours.fileno())) as way_out:
        async with receiver(ours, endpoint) as receive:
            started = perf_counter()
            for _ in range(ROUND_TRIPS):
                way_out.send(MESSAGE)
                await receive(1)
            return (perf_counter() - started) * 1e6 / ROUND_TRIPS


Send = Callable[[int], Awaitable[None]]


def send_bare(sock: PretendSocket) -> Send:
    sendmsg = sock.sendmsg

    async def send(count: int) -> None:
        for _ in range(count):
            info = SNDINFO.pack(0, 0, 0, 0, ASSOCIATION)
            sendmsg((MESSAGE,), [(132, 2, info)])

    return send


def send_in_trio(sock: PretendSocket) -> Send:
    sendmsg = sock.sendmsg

    async def send(count: int) -> None:
        for _ in range(count):
            await trio.lowlevel.checkpoint_if_cancelled()
            info = SNDINFO.pack(0, 0, 0, 0, ASSOCIATION)
            sendmsg((MESSAGE,), [(132, 2, info)])
            await trio.lowlevel.cancel_shielded_checkpoint()

    return send


def send_by_endpoint(sock: PretendSocket) -> Send:
    ours = endpoint(sock)

    async def send(count: int) -> None:
        for _ in range(count):
            await ours.send(MESSAGE, ASSOCIATION)

    return send


def send_by_channel(sock: PretendSocket) -> Send:
    ours = channel(sock)

    async def send(count: int) -> None:
        for _ in range(count):
            await ours.send(MESSAGE)

    return send


def send_nowait(sock: PretendSocket) -> Send:
    ours = channel(sock)

    async def send(count: int) -> None:
        for _ in range(count):
            ours.send_nowait(MESSAGE)

    return send


SENDERS: Mapping[str, Callable[[PretendSocket], Send]] = {
    BARE: send_bare,
    TRIO: send_in_trio,
    "endpoint.send": send_by_endpoint,
    "channel.send": send_by_channel,
    "channel.send_nowait": send_nowait,
}


async def measure_sender(sender: Callable[[PretendSocket], Send]) -> float:
    ours, peer = pretend_pair()
    seconds = 0.0
    with ours, peer:
        send = sender(ours)
        for burst in range(BURSTS + 1):
            started = perf_counter()
            await send(BURST)
            if burst:
                seconds += perf_counter() - started
            for _ in range(BURST):
                peer.recv(len(MESSAGE))
    return seconds * 1e6 / (BURSTS * BURST)


async def run() -> list[Table]:
    received: dict[str, Costs] = {}
    adopts: dict[str, Adopt] = {"endpoint": endpoint, "channel": channel}
    for name, adopt in adopts.items():
        received[name] = await in_rounds(
            {key: partial(measure_receiver, one, adopt) for key, one in RECEIVERS.items()}, ROUNDS
        )
    waited = await in_rounds(
        {key: partial(measure_round_trip, one) for key, one in RECEIVERS.items()}, ROUNDS
    )
    sent = await in_rounds({k: partial(measure_sender, s) for k, s in SENDERS.items()}, ROUNDS)
    return [
        measuring.costs("Receiving 64 B, µs per message", [BARE, TRIO], received),
        measuring.wanted("Receiving 64 B, costs wanted and measured", WANTED, received),
        measuring.costs("Round trips of 64 B, µs", [BARE, TRIO], {"endpoint": waited}),
        measuring.costs("Sending 64 B, µs per message", [BARE, TRIO], {"": sent}),
        measuring.wanted("Sending 64 B, costs wanted and measured", WANTED_OF_SENDERS, {"": sent}),
    ]
