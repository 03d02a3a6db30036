"""The other end of ``iperf3 --sctp``: its control connection, which is TCP, and its data.

Only on the kernel's stack: iperf3 uses the kernel's SCTP and cannot have it in UDP packets.
"""

from __future__ import annotations

import contextlib
import json
import math
import secrets
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import click
import trio

from trio_sctp import AssociationChannel, AssociationLost, Listener, Stack

from .interrupting import Interrupts
from .measuring import Load, Measured, progress
from .screen import tell
from .target import shown

COOKIE_SIZE = 37
LARGEST = 2**20
"""Bytes of the largest JSON text that is read."""

TEST_START, TEST_RUNNING, TEST_END = 1, 2, 4
PARAM_EXCHANGE, CREATE_STREAMS = 9, 10
EXCHANGE_RESULTS, DISPLAY_RESULTS, DONE = 13, 14, 16
ACCESS_DENIED, SERVER_ERROR = 0xFF, 0xFE
NOT_IMPLEMENTED = 13
"""iperf3's number for an option that is not implemented."""


def check_stack(stack: Stack | str) -> None:
    """Refuse a stack that iperf3 cannot talk to."""
    if stack != "kernel":
        raise click.UsageError(
            "--iperf3 needs the kernel's SCTP, as iperf3 has no other and does not use UDP: give "
            "--stack kernel, on a kernel that has it"
        )


class Control:
    """iperf3's control connection."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def send(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def send_state(self, state: int) -> None:
        await self.send(bytes([state]))

    async def receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = await self._stream.receive_some(size - len(data))
            if not more:
                raise click.ClickException("iperf3 has closed its control connection")
            data += more
        return data

    async def receive_state(self) -> int:
        return (await self.receive(1))[0]

    async def expect(self, wanted: int) -> None:
        """Wait for iperf3 to come to a state."""
        state = await self.receive_state()
        if state in (ACCESS_DENIED, SERVER_ERROR):
            raise click.ClickException("iperf3 has refused: it serves another, or has no SCTP")
        if state != wanted:
            raise click.ClickException(f"iperf3 came to state {state}, and not to {wanted}")

    async def send_json(self, value: object) -> None:
        text = json.dumps(value).encode()
        await self.send(struct.pack("!I", len(text)) + text)

    async def receive_json(self) -> Any:
        (size,) = struct.unpack("!I", await self.receive(4))
        if size > LARGEST:
            raise click.ClickException("what came is not from iperf3")
        try:
            return json.loads(await self.receive(size))
        except ValueError:
            raise click.ClickException("what came is not from iperf3") from None


def _results(sizes: Sequence[int], seconds: float) -> dict[str, Any]:
    """What one end tells the other of a test."""
    nothing = dict.fromkeys(["jitter", "errors", "packets", "start_time"], 0)
    streams = [
        # iperf3 numbers its streams 1, 3, 4, …
        {"id": number + (number > 1), "bytes": size, "retransmits": -1, "end_time": seconds}
        | nothing
        for number, size in enumerate(sizes, 1)
    ]
    cpu = dict.fromkeys(["cpu_util_total", "cpu_util_user", "cpu_util_system"], 0)
    return {**cpu, "sender_has_retransmits": 0, "streams": streams}


# -- as a client -------------------------------------------------------------------------------


async def measure(
    connect: Callable[[], Awaitable[AssociationChannel]],
    host: str,
    port: int | str,
    size: int,
    seconds: float,
) -> Measured:
    """Send to ``iperf3 --server``, and ask it what has arrived."""
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        control = Control(stream)
        cookie = secrets.token_hex(18).encode() + b"\0"
        await control.send(cookie)
        await control.expect(PARAM_EXCHANGE)
        parameters = {"sctp": True, "omit": 0, "time": math.ceil(seconds), "parallel": 1}
        await control.send_json(parameters | {"len": size, "client_version": "3.12"})
        await control.expect(CREATE_STREAMS)
        async with await connect() as association:
            await association.send(cookie)
            await control.expect(TEST_START)
            await control.expect(TEST_RUNNING)
            load = Load(size)
            begun = trio.current_time()
            async with progress(association, load, seconds):
                await load.send(association, seconds)
            took = trio.current_time() - begun
            measured = Measured(
                stack="kernel",
                peer=f"iperf3 at {shown(association.peer_addresses[0])}",
                streams=association.outbound_streams,
                message_size=size,
                bytes=0,
                messages=load.sent,
                seconds=took,
                round_trips=[],
                statistics=association.statistics(),
                paths=association.paths(),
            )
            await control.send_state(TEST_END)  # and iperf3 closes its end of the association
            await control.expect(EXCHANGE_RESULTS)
            await control.send_json(_results([load.sent * size], seconds))
            theirs: list[dict[str, int]] = (await control.receive_json())["streams"]
            measured.bytes = sum(one["bytes"] for one in theirs)
            await control.expect(DISPLAY_RESULTS)
            await control.send_state(DONE)
    return measured


# -- as a server -------------------------------------------------------------------------------


class _Drained:
    def __init__(self) -> None:
        self.size = 0

    async def drain(self, association: AssociationChannel) -> None:
        with contextlib.suppress(AssociationLost):
            async for message in association:
                self.size += len(message.data)


async def serve(
    listener: Listener, hosts: Sequence[str], interrupts: Interrupts, *, once: bool
) -> None:
    """Serve ``iperf3 --sctp --client``, one client after the other."""
    controls = await trio.open_tcp_listeners(listener.port, host=hosts[0] if hosts else "0.0.0.0")
    async with controls[0] as accepting:
        with interrupts.gently():
            while True:
                async with await accepting.accept() as stream:
                    try:
                        await _serve_one(Control(stream), listener)
                    except* (click.ClickException, trio.BrokenResourceError) as group:
                        tell(f"* {group.exceptions[0]}")
                if once:
                    return


async def _serve_one(control: Control, listener: Listener) -> None:
    cookie = await control.receive(COOKIE_SIZE)
    await control.send_state(PARAM_EXCHANGE)
    parameters = await control.receive_json()
    if not parameters.get("sctp") or parameters.get("reverse") or parameters.get("bidirectional"):
        await control.send_state(SERVER_ERROR)
        await control.send(struct.pack("!II", NOT_IMPLEMENTED, 0))
        raise click.ClickException("a client was refused: it has to send, with --sctp")
    await control.send_state(CREATE_STREAMS)
    drained: list[_Drained] = []
    async with contextlib.AsyncExitStack() as ending, trio.open_nursery() as nursery:
        while len(drained) < parameters.get("parallel", 1):
            association = await ending.enter_async_context(await listener.accept())
            if (await association.receive()).data != cookie:
                association.abort(b"that is not the cookie")
                continue
            drained.append(_Drained())
            nursery.start_soon(drained[-1].drain, association)
        begun = trio.current_time()
        await control.send_state(TEST_START)
        await control.send_state(TEST_RUNNING)
        while await control.receive_state() != TEST_END:
            pass
        took = trio.current_time() - begun
        await control.send_state(EXCHANGE_RESULTS)
        await control.receive_json()
        sizes = [one.size for one in drained]
        await control.send_json(_results(sizes, took))
        await control.send_state(DISPLAY_RESULTS)
        await control.receive_state()
        nursery.cancel_scope.cancel()
    size = sum(sizes)
    tell(f"* iperf3: {size} bytes in {took:.2f} s, {8 * size / took / 1e6:.1f} Mbit/s")
