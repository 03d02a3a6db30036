"""The other end of ``iperf3 --sctp``: its control connection, which is TCP, and its data.

Only on the kernel's stack: iperf3 uses the kernel's SCTP and cannot have it in UDP packets.
"""

from __future__ import annotations

import contextlib
import json
import math
import secrets
import struct
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from typing import Any

import click
import trio

from trio_sctp import AssociationChannel, AssociationLost, Listener, Stack

from .interrupting import Interrupts
from .measuring import Load, Measured, progress
from .peers import answered_within, one_of_many
from .screen import tell
from .target import shown
from .untrusted import fields

COOKIE_SIZE = 37
MOST_STREAMS = 128
"""Associations of one test, which iperf3 calls streams."""
SETTING_UP = 10.0
"""Seconds that a client has until its test begins."""
LARGEST = 2**20
"""Bytes of the longest JSON text that is read."""
CLOSED = "iperf3 has closed its control connection"
NOT_IPERF3 = "what came is not from iperf3"

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


@contextlib.contextmanager
def _open() -> Generator[None, None, None]:
    try:
        yield
    except trio.BrokenResourceError:
        raise click.ClickException(CLOSED) from None


class Control:
    """iperf3's control connection."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def send(self, data: bytes) -> None:
        with _open():
            await self._stream.send_all(data)

    async def send_state(self, state: int) -> None:
        await self.send(bytes([state]))

    async def receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            with _open():
                more = await self._stream.receive_some(size - len(data))
            if not more:
                raise click.ClickException(CLOSED)
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

    async def receive_fields(
        self, needed: Mapping[str, type], optional: Mapping[str, type] | None = None
    ) -> dict[str, Any]:
        """Receive a JSON object."""
        (size,) = struct.unpack("!I", await self.receive(4))
        if size > LARGEST:
            raise click.ClickException(NOT_IPERF3)
        try:
            return fields(await self.receive(size), needed, optional, longest=LARGEST)
        except ValueError:
            raise click.ClickException(NOT_IPERF3) from None

    async def wait_left(self) -> None:
        """Wait for a client that gives up its test before that has begun."""
        await self.receive_state()
        raise click.ClickException("a client has given up its test")


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
    control_address: tuple[str, int],
    size: int,
    seconds: float,
    patience: float,
    interrupts: Interrupts,
) -> Measured | None:
    """Send to ``iperf3 --server``, and ask it what has arrived.

    Gives None if Ctrl-C came before anything was sent.
    """
    async with contextlib.AsyncExitStack() as ending:
        with interrupts.gently(), answered_within(patience, "iperf3"):
            stream = await ending.enter_async_context(await trio.open_tcp_stream(*control_address))
            control = Control(stream)
            cookie = secrets.token_hex(18).encode() + b"\0"
            await control.send(cookie)
            await control.expect(PARAM_EXCHANGE)
            parameters = {"sctp": True, "omit": 0, "time": math.ceil(seconds), "parallel": 1}
            await control.send_json(parameters | {"len": size, "client_version": "3.12"})
            await control.expect(CREATE_STREAMS)
            association = await ending.enter_async_context(await connect())
            await association.send(cookie)
            await control.expect(TEST_START)
            await control.expect(TEST_RUNNING)
        if interrupts.count:
            return None
        load = Load(size)
        begun = trio.current_time()
        async with progress(association, load, seconds):
            await load.send(association, seconds, patience, interrupts)
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
        with answered_within(patience, "iperf3"):
            await control.send_state(TEST_END)  # and iperf3 closes its end of the association
            await control.expect(EXCHANGE_RESULTS)
            await control.send_json(_results([load.sent * size], took))
            theirs = await control.receive_fields({"streams": list})
            measured.bytes = _arrived(theirs["streams"])
            await control.expect(DISPLAY_RESULTS)
            await control.send_state(DONE)
    return measured


def _arrived(streams: Iterable[object]) -> int:
    try:
        return sum(fields(one, {"bytes": int})["bytes"] for one in streams)
    except ValueError:
        raise click.ClickException(NOT_IPERF3) from None


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
                    with one_of_many():
                        await _serve_one(Control(stream), listener)
                if once:
                    return


async def _serve_one(control: Control, listener: Listener) -> None:
    drained: list[_Drained] = []
    async with contextlib.AsyncExitStack() as ending, trio.open_nursery() as nursery:
        with trio.move_on_after(SETTING_UP) as setting_up:
            cookie = await control.receive(COOKIE_SIZE)
            for association in await _accepted(control, cookie, listener, ending):
                drained.append(_Drained())
                nursery.start_soon(drained[-1].drain, association)
        if setting_up.cancelled_caught:
            raise click.ClickException(f"a client has not set up its test within {SETTING_UP:g} s")
        begun = trio.current_time()
        await control.send_state(TEST_START)
        await control.send_state(TEST_RUNNING)
        while await control.receive_state() != TEST_END:
            pass
        took = trio.current_time() - begun
        await control.send_state(EXCHANGE_RESULTS)
        await control.receive_fields({})
        sizes = [one.size for one in drained]
        await control.send_json(_results(sizes, took))
        await control.send_state(DISPLAY_RESULTS)
        await control.receive_state()
        nursery.cancel_scope.cancel()
    size = sum(sizes)
    tell(f"* iperf3: {size} bytes in {took:.2f} s, {8 * size / took / 1e6:.1f} Mbit/s")


async def _accepted(
    control: Control, cookie: bytes, listener: Listener, ending: contextlib.AsyncExitStack
) -> list[AssociationChannel]:
    """The associations of a client's test, as many as it wants."""
    await control.send_state(PARAM_EXCHANGE)
    switches = dict.fromkeys(["sctp", "reverse", "bidirectional"], bool)
    parameters = await control.receive_fields({}, {**switches, "parallel": int})
    wanted = parameters.get("parallel", 1)
    senders = parameters.get("sctp") and 0 < wanted <= MOST_STREAMS
    if not senders or parameters.get("reverse") or parameters.get("bidirectional"):
        await control.send_state(SERVER_ERROR)
        await control.send(struct.pack("!II", NOT_IMPLEMENTED, 0))
        raise click.ClickException("a client was refused: it has to send, with --sctp")
    await control.send_state(CREATE_STREAMS)
    accepted: list[AssociationChannel] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(control.wait_left)
        while len(accepted) < wanted:
            association = await ending.enter_async_context(await listener.accept())
            with contextlib.suppress(AssociationLost, trio.EndOfChannel):
                if (await association.receive()).data == cookie:
                    accepted.append(association)
                    continue
            association.abort(b"that is not the cookie")
        nursery.cancel_scope.cancel()
    return accepted
