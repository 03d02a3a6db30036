"""``trio-sctp perf``: throughput, latency and retransmissions between a client and a server.

A client says hello, sends probes that the server sends back, and then as much as it can.  When all
of that is acknowledged it asks what has arrived: what counts is what the receiver has counted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import click
import trio

from trio_sctp import AssociationChannel

from . import iperf3
from .interrupting import INTERRUPTED, Interrupts, run
from .measuring import BULK, Load, Measured, progress, said
from .peers import answered_within, one_of_many, serve_all
from .screen import tell
from .target import (
    Local,
    Number,
    Seconds,
    bind_port_option,
    capture_option,
    enough_streams,
    hosts_and_port,
    shown,
    stack_options,
    to_port,
)
from .untrusted import fields

HELLO = b"trio-sctp perf 1"
WELCOME = b"trio-sctp perf server 1"
PROBE, END = b"p", b"e"
PROBES, PROBE_SIZE, PROBING = 200, 64, 1.0
"""How many probes, of how many bytes, and for how many seconds at most."""

# -- the client --------------------------------------------------------------------------------


async def measure(
    association: AssociationChannel,
    size: int,
    seconds: float,
    patience: float,
    interrupts: Interrupts,
) -> Measured | None:
    """Measure an association with a server; None if Ctrl-C came before there was anything."""
    round_trips: list[float] = []
    with interrupts.gently():
        await _greet(association, patience)
        await _probe(association, round_trips)
    if interrupts.count:
        return None
    load = Load(size)
    async with progress(association, load, seconds):
        await load.send(association, seconds, patience, interrupts)
    with answered_within(patience, "the server", association):
        await association.send(END)
        while (answer := await _answer(association)).startswith(PROBE):
            pass  # of the last probe, if the time was over before it was answered
    try:
        arrived = fields(answer, {"bytes": int, "messages": int, "seconds": float})
    except ValueError:
        raise _stranger(association) from None
    return Measured(
        stack=association.stack.name,
        peer=shown(association.peer_addresses[0]),
        streams=association.outbound_streams,
        message_size=size,
        bytes=arrived["bytes"],
        messages=arrived["messages"],
        seconds=arrived["seconds"],
        round_trips=round_trips,
        statistics=association.statistics(),
        paths=association.paths(),
    )


async def _greet(association: AssociationChannel, patience: float) -> None:
    with answered_within(patience, "the server", association):
        await association.send(HELLO)
        if await _answer(association) != WELCOME:
            raise _stranger(association)


async def _probe(association: AssociationChannel, round_trips: list[float]) -> None:
    """Measure round trips while there is no load."""
    probe = PROBE + bytes(PROBE_SIZE - 1)
    with trio.move_on_after(PROBING):
        for _ in range(PROBES):
            begun = trio.current_time()
            await association.send(probe)
            await _answer(association)
            round_trips.append(1000 * (trio.current_time() - begun))


async def _answer(association: AssociationChannel) -> bytes:
    try:
        return (await association.receive()).data
    except trio.EndOfChannel:
        raise click.ClickException("the server has left") from None


def _stranger(association: AssociationChannel) -> click.ClickException:
    association.abort(b"that is no answer to trio-sctp perf")
    return click.ClickException("the peer is no `trio-sctp perf server`")


# -- the server --------------------------------------------------------------------------------


async def serve_one(association: AssociationChannel) -> None:
    """Answer a client, and tell what has come from it."""
    if (await association.receive()).data != HELLO:
        association.abort(b"this is a trio-sctp perf server, and you are no client of it")
        raise click.ClickException(f"{association!r} is no client")
    await association.send(WELCOME)
    size = messages = 0
    first = last = trio.current_time()
    while True:
        for message in await association.receive_batch():
            kind = message.data[:1]
            if kind == BULK:
                last = trio.current_time()
                if not messages:
                    first = last
                messages += 1
                size += len(message.data)
            elif kind == PROBE:
                stream = message.stream % association.outbound_streams
                await association.send(message.data, stream=stream)
            elif kind == END:
                counted = {"bytes": size, "messages": messages, "seconds": last - first}
                await association.send(json.dumps(counted).encode())
                rate = 8 * size / (last - first) / 1e6 if last > first else 0
                peer = shown(message.address)
                tell(f"* {peer}: {said(size)} in {last - first:.2f} s, {rate:.1f} Mbit/s")


async def _served(association: AssociationChannel, interrupts: Interrupts) -> None:
    async with association:
        with one_of_many(association), interrupts.gently():
            await serve_one(association)
        if interrupts.count:
            association.abort(b"the server has been stopped")


# -- the commands ------------------------------------------------------------------------------


@click.group()
def perf() -> None:
    """Measure throughput, latency and retransmissions.

    \b
    Examples:
      trio-sctp perf server 5201
      trio-sctp perf client 192.0.2.1 5201 --time 10
    """


iperf3_option = click.option(
    "--iperf3", "with_iperf3", is_flag=True, help="The other end is `iperf3 --sctp`."
)


@perf.command()
@click.argument("port", type=to_port, metavar="PORT")
@click.option("-1", "--once", is_flag=True, help="Serve one client, and exit.")
@iperf3_option
@capture_option
@stack_options
def server(local: Local, port: int | str, once: bool, with_iperf3: bool) -> int:
    """Serve clients, until Ctrl-C."""

    async def program(interrupts: Interrupts) -> int:
        async with (
            local.open_stack(listening=True) as stack,
            await local.listen(stack, port) as listener,
        ):
            if with_iperf3:
                iperf3.check_stack(stack)
            tell(f"* listening on port {listener.port}")
            if with_iperf3:
                await iperf3.serve(listener, local.bind, interrupts, once=once)
            else:
                await serve_all(listener, interrupts, _served, once=once)
        return 0

    return run(program)


@perf.command()
@hosts_and_port
@click.option(
    "-t",
    "--time",
    "seconds",
    type=Seconds(0, min_open=True),
    default=10,
    help="How long to send.  [10]",
)
@click.option(
    "-l",
    "--length",
    type=Number(1),
    default=16384,
    metavar="BYTES",
    help="Bytes of a message.  [16384]",
)
@click.option("--streams", type=Number(1, 65535), metavar="N", help="Streams to send on.  [10]")
@click.option(
    "-W",
    "--timeout",
    type=Seconds(0, min_open=True),
    default=10,
    help="After which a server that does not answer, or acknowledges nothing, is given up.  [10]",
)
@click.option("--json", "as_json", is_flag=True, help="Write the figures as JSON.")
@iperf3_option
@bind_port_option
@capture_option
@stack_options
def client(
    local: Local,
    hosts: Sequence[str],
    port: int | str,
    seconds: float,
    length: int,
    streams: int | None,
    timeout: float,
    as_json: bool,
    with_iperf3: bool,
) -> int:
    """Send to a server as fast as possible, and tell what has arrived.

    Ctrl-C ends it sooner, and tells what has arrived until then.
    """
    options = enough_streams(streams=streams)
    title = f"{' '.join(hosts)} port {port}"
    if with_iperf3 and not isinstance(port, int):
        raise click.UsageError(f"iperf3 has a TCP port, too: give a number in place of {port}")

    async def program(interrupts: Interrupts) -> int:
        async with local.open_stack() as stack:

            async def connect() -> AssociationChannel:
                with answered_within(timeout, title):
                    return await local.connect(stack, hosts, port, options)

            measured: Measured | None = None
            if with_iperf3:
                iperf3.check_stack(stack)
                measured = await iperf3.measure(
                    connect, (hosts[0], int(port)), length, seconds, timeout, interrupts
                )
            else:
                association = await interrupts.unless_interrupted(connect)
                if association is not None:
                    async with association:
                        if length > association.max_send_size:
                            raise click.UsageError(
                                f"a message can have {association.max_send_size} bytes here"
                            )
                        measured = await measure(association, length, seconds, timeout, interrupts)
            if measured is not None and as_json:
                click.echo(measured.as_json())
            elif measured is not None:
                measured.show()
        return INTERRUPTED if interrupts.count else 0

    return run(program)
