"""The engine and libusrsctp, the stack of FreeBSD in a library, each the other's peer."""

from __future__ import annotations

import errno
import random
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise

import pytest
import trio

import trio_sctp
from benchmarks.ends import SCTP_PORT
from trio_sctp import (
    AdaptationIndication,
    AssociationChange,
    AssociationChannel,
    AssociationState,
    ConnectFailed,
    EnableStreamReset,
    EventSubscription,
    Interleaving,
    Message,
    ReconfigurationFlags,
    RtoInfo,
    Scheduler,
    ShutdownReceived,
    StreamReset,
    StreamScheduler,
    open_association,
    open_endpoint,
    open_listener,
)
from trio_sctp._engine import Engine, Parameters, wire
from trio_sctp._engine.keys import EMPTY_KEY

from ..support.authentication import association_key, is_right
from ..support.udp_carrier import HOST, Carrier, carried
from ..support.udp_proxy import sometimes, udp_proxy

PROGRAMS = "/usr/lib/usrsctp"
CLIENT, ECHO = f"{PROGRAMS}/client", f"{PROGRAMS}/echo_server_upcall"
DISCARD, TSCTP = f"{PROGRAMS}/discard_server", f"{PROGRAMS}/tsctp"
ECHO_PORT, DISCARD_PORT = 7, 9

RTCWEB = f"{PROGRAMS}/rtcweb"
"""It grants what it is asked for, opens data channels in the way of an early draft, and lets their
streams begin again when it closes them."""

PORT, CLIENT_PORT = 5001, 5002


@pytest.fixture
async def carrier() -> AsyncIterator[Carrier]:
    parameters = Parameters(rto_initial=0.2, rto_min=0.1, rto_max=0.4, sack_delay=0.02)
    engine = Engine(PORT, [HOST], parameters=parameters)
    engine.listening = True
    async with carried(engine, udp_port=0) as carrier:
        yield carrier


@pytest.fixture
def their_udp() -> int:
    """A UDP port for libusrsctp."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
        one.bind(("", 0))
        port: int = one.getsockname()[1]
    return port


@asynccontextmanager
async def running(
    *command: object, stdout: int = subprocess.DEVNULL
) -> AsyncIterator[trio.Process]:
    """Run a program, and kill it in the end."""
    async with trio.open_nursery() as nursery:
        process = await nursery.start(
            partial(
                trio.run_process,
                [str(argument) for argument in command],
                stdin=subprocess.PIPE,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                check=False,
            )
        )
        with trio.fail_after(20):
            yield process
        process.kill()


async def connected(carrier: Carrier, port: int, udp: int) -> int:
    """Connect to a program that was just started, and may not listen yet."""
    while True:
        id = carrier.connect(port, udp)
        change = await carrier.expect(AssociationChange)
        if change.state is AssociationState.COMM_UP:
            return id
        assert change.state is AssociationState.CANT_ASSOC
        await trio.sleep(0.01)


async def shut_down(carrier: Carrier, id: int) -> None:
    carrier.shutdown(id)
    assert (await carrier.expect(AssociationChange)).state is AssociationState.SHUTDOWN_COMP
    assert not carrier.engine.associations


@pytest.mark.peer(ECHO)
async def test_a_server(carrier: Carrier, their_udp: int) -> None:
    async with running(ECHO, their_udp, carrier.udp_port):
        id = await connected(carrier, ECHO_PORT, their_udp)
        for n, size in enumerate([1, 2, 3, 1000, 1252, 1253, 10_000]):
            data = random.Random(size).randbytes(size)
            await carrier.send(id, data, stream=n, ppid=n * 0x11111111, unordered=n % 2 == 1)
            message = await carrier.expect(Message)
            assert message.data == data
            assert (message.stream, message.ppid) == (n, n * 0x11111111)
            assert message.unordered is (n % 2 == 1)
        await shut_down(carrier, id)

        id = await connected(carrier, ECHO_PORT, their_udp)
        carrier.abort(id, b"enough")
        assert (await carrier.expect(AssociationChange)).state is AssociationState.COMM_LOST

        id = await connected(carrier, ECHO_PORT, their_udp)
        carrier.engine.request_heartbeat(id, HOST, carrier.now)
        carrier.step()
        await carrier.until(lambda: bool(carrier.chunks(wire.HeartbeatAck, outbound=False)))
        await shut_down(carrier, id)


@pytest.mark.peer(ECHO)
async def test_a_server_in_spite_of_loss(carrier: Carrier, their_udp: int) -> None:
    chance = random.Random(3)
    async with running(ECHO, their_udp, carrier.udp_port):
        id = await connected(carrier, ECHO_PORT, their_udp)
        carrier.lose = lambda packet, outbound: chance.random() < 0.05
        messages = [b"%d" % n * 300 for n in range(50)]
        for data in messages:
            await carrier.send(id, data, stream=1)
        for data in messages:
            assert (await carrier.expect(Message)).data == data
        carrier.lose = lambda packet, outbound: False
        await shut_down(carrier, id)


@pytest.mark.peer(DISCARD)
async def test_large_messages_to_a_server(carrier: Carrier, their_udp: int) -> None:
    async with running(DISCARD, their_udp, carrier.udp_port):
        id = await connected(carrier, DISCARD_PORT, their_udp)
        for size in (100_000, 1_000_000):
            await carrier.send(id, bytes(size))
        await shut_down(carrier, id)


@pytest.mark.peer(TSCTP)
async def test_large_messages_from_a_client(carrier: Carrier, their_udp: int) -> None:
    count, size = 20, 100_000
    how = ["-n", count, "-l", size, "-p", PORT, "-E", their_udp, "-U", carrier.udp_port]
    async with running(TSCTP, *how, HOST):
        assert (await carrier.expect(AssociationChange)).state is AssociationState.COMM_UP
        await carrier.expect(AdaptationIndication)
        for _ in range(count):
            assert len((await carrier.expect(Message)).data) == size
        await carrier.expect(ShutdownReceived)
        assert (await carrier.expect(AssociationChange)).state is AssociationState.SHUTDOWN_COMP


@asynccontextmanager
async def client(carrier: Carrier, udp: int) -> AsyncIterator[trio.Process]:
    """Run a client that sends what it reads, and writes what it receives, line by line."""
    how = (HOST, PORT, CLIENT_PORT, udp, carrier.udp_port)
    async with running("stdbuf", "-oL", CLIENT, *how, stdout=subprocess.PIPE) as process:
        yield process


async def said(process: trio.Process, text: bytes) -> None:
    """Read what the program writes until this comes."""
    assert process.stdout is not None
    output = b""
    async for data in process.stdout:
        output += data
        if text in output:
            return
    raise AssertionError(output)


@pytest.mark.peer(CLIENT)
async def test_a_client_that_shuts_down(carrier: Carrier, their_udp: int) -> None:
    async with client(carrier, their_udp) as process:
        assert process.stdin is not None
        change = await carrier.expect(AssociationChange)
        assert change.state is AssociationState.COMM_UP
        await process.stdin.send_all(b"from a client\n")
        assert (await carrier.expect(Message)).data == b"from a client\n"
        await carrier.send(change.association_id, b"to a client\n")
        await said(process, b"to a client\n")
        await process.stdin.aclose()
        await carrier.expect(ShutdownReceived)
        assert (await carrier.expect(AssociationChange)).state is AssociationState.SHUTDOWN_COMP


@pytest.mark.peer(CLIENT)
async def test_a_client_that_is_aborted(carrier: Carrier, their_udp: int) -> None:
    async with client(carrier, their_udp) as process:
        id = (await carrier.expect(AssociationChange)).association_id
        carrier.abort(id, b"why")
        cause = "0x00 0x0c 0x00 0x07 " + " ".join(f"{byte:#04x}" for byte in b"why")
        await said(process, cause.encode())


@pytest.mark.peer(CLIENT)
async def test_a_client_that_starts_anew(carrier: Carrier, their_udp: int) -> None:
    async with client(carrier, their_udp):
        up = await carrier.expect(AssociationChange)
        assert up.state is AssociationState.COMM_UP
    async with client(carrier, their_udp) as process:
        change = await carrier.expect(AssociationChange)
        assert change.state is AssociationState.RESTART
        assert change.association_id == up.association_id
        await carrier.send(change.association_id, b"welcome back\n")
        await said(process, b"welcome back\n")


# -- with programs on `trio_sctp.userland()` ---------------------------------------------------

IMPATIENT = [
    RtoInfo(initial=200, min=100, max=400),
    EventSubscription(address_event=False, adaptation_layer_event=True),
]


@pytest.fixture
async def our_udp(their_udp: int) -> AsyncIterator[int]:
    """The UDP port of a userland stack, which `stack=None` means here."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind((HOST, 0))
        port: int = one.getsockname()[1]
    async with trio_sctp.userland(udp_port=port, peer_udp_port=their_udp):
        yield port


async def associated(port: int) -> AssociationChannel:
    """Connect to a program that was just started, and may not have its UDP port yet."""
    while True:
        try:
            return await open_association(HOST, port, options=IMPATIENT)
        except ConnectFailed as error:
            if error.errno != errno.ECONNREFUSED:
                raise
            await trio.sleep(0.01)


@pytest.mark.peer(ECHO)
async def test_a_program_and_a_server(our_udp: int, their_udp: int) -> None:
    async with running(ECHO, their_udp, our_udp), await associated(ECHO_PORT) as channel:
        for n, size in enumerate([1, 2, 3, 1000, 1216, 1217, 10_000]):
            data = random.Random(size).randbytes(size)
            await channel.send(data, stream=n, ppid=n * 0x11111111, unordered=n % 2 == 1)
            message = await channel.receive()
            assert message.data == data
            assert (message.stream, message.ppid) == (n, n * 0x11111111)
            assert message.unordered is (n % 2 == 1)
        await channel.eof()
        with pytest.raises(trio.EndOfChannel):
            await channel.receive()
        assert (await channel.wait_ended()).graceful
        other = await associated(ECHO_PORT)
        other.abort(b"enough")
        assert (await other.wait_ended()).state is AssociationState.COMM_LOST
        async with await associated(ECHO_PORT) as again:
            await again.send(b"still there")
            assert (await again.receive()).data == b"still there"


@pytest.mark.peer(DISCARD)
async def test_large_messages_of_a_program(our_udp: int, their_udp: int) -> None:
    """They make the engine find a larger path MTU, as libusrsctp answers its probes."""
    async with running(DISCARD, their_udp, our_udp), await associated(DISCARD_PORT) as channel:
        assert channel.paths()[0].mtu == 1232
        while channel.paths()[0].mtu == 1232:
            await channel.send(bytes(100_000))
        assert channel.paths()[0].mtu == 1452
        await channel.send(bytes(1_000_000))
        await channel.aclose()
        end = await channel.wait_ended()
        assert end.graceful
        assert not end.undelivered


@pytest.mark.peer(TSCTP)
async def test_large_messages_to_a_program(our_udp: int, their_udp: int) -> None:
    count, size = 20, 100_000
    how = ["-n", count, "-l", size, "-E", their_udp, "-U", our_udp]
    async with (
        await open_listener(0, hosts=HOST, options=IMPATIENT) as listener,
        running(TSCTP, *how, "-p", listener.port, HOST),
        await listener.accept() as channel,
    ):
        assert [len(message.data) async for message in channel] == [size] * count
        assert (await channel.wait_ended()).graceful


@pytest.mark.peer(CLIENT)
async def test_a_program_and_clients_that_end_and_start_anew(our_udp: int, their_udp: int) -> None:
    async with await open_endpoint(hosts=HOST, options=IMPATIENT) as endpoint:
        endpoint.listen()

        @asynccontextmanager
        async def client() -> AsyncIterator[trio.Process]:
            how = (HOST, endpoint.port, CLIENT_PORT, their_udp, our_udp)
            async with running("stdbuf", "-oL", CLIENT, *how, stdout=subprocess.PIPE) as process:
                yield process

        async def change(state: AssociationState) -> AssociationChange:
            record = await endpoint.receive()
            assert isinstance(record, AssociationChange)
            assert record.state is state
            return record

        async with client():
            id = (await change(AssociationState.COMM_UP)).association_id
        async with client() as process:
            assert (await change(AssociationState.RESTART)).association_id == id
            await endpoint.associations[id].send(b"welcome back\n")
            await said(process, b"welcome back\n")
            assert process.stdin is not None
            await process.stdin.send_all(b"thank you\n")
            message = await endpoint.receive()
            assert isinstance(message, Message)
            assert message.data == b"thank you\n"
            await process.stdin.aclose()
            assert isinstance(await endpoint.receive(), ShutdownReceived)
            await change(AssociationState.SHUTDOWN_COMP)
        async with client() as process:
            id = (await change(AssociationState.COMM_UP)).association_id
            endpoint.abort(id, b"why")
            cause = "0x00 0x0c 0x00 0x07 " + " ".join(f"{byte:#04x}" for byte in b"why")
            await said(process, cause.encode())


EVERYTHING = [0, 3, 4, 5, 6, 7, 8, 9, 11]
"""The types of all chunks that may be authenticated, but for COOKIE ECHO, which libusrsctp drops
behind an AUTH chunk that Linux finds right."""


@pytest.mark.peer(ECHO)
@pytest.mark.parametrize("types", [[0], EVERYTHING], ids=["DATA", "all"])
async def test_authenticated_chunks(types: list[int]) -> None:
    """Both ends want them, and have the same shared key.

    Debian's libusrsctp knows SHA-1 alone.
    """
    parameters = Parameters(
        rto_initial=0.2,
        rto_min=0.1,
        rto_max=0.4,
        auth_chunks=tuple(types),
        shared_keys=EMPTY_KEY.set(1, b"secret").activate(1),
    )
    engine = Engine(PORT, [HOST], parameters=parameters)
    how = (" ".join(map(str, types)), "secret")
    async with (
        carried(engine, udp_port=0) as carrier,
        running(
            sys.executable, "-m", "tests.userland.usrsctp_echo", *how, stdout=subprocess.PIPE
        ) as process,
    ):
        assert process.stdout is not None
        udp = int(await process.stdout.receive_some())
        id = carrier.connect(SCTP_PORT, udp)
        change = await carrier.expect(AssociationChange)
        assert change.state is AssociationState.COMM_UP
        for size in 1, 1000, 5000, 50_000:
            data = random.Random(size).randbytes(size)
            await carrier.send(id, data)
            assert (await carrier.expect(Message)).data == data
        ours, theirs = (carrier.chunks(wire.Init, outbound=who)[0] for who in (True, False))
        key = association_key(b"secret", ours.parameters, theirs.parameters)
        for outbound in True, False:
            auths = carrier.chunks(wire.Auth, outbound=outbound)
            assert {(auth.key, auth.hmac) for auth in auths} == {(1, 1)}
            assert all(is_right(auth.packet, auth.offset, key) for auth in auths)


@pytest.mark.peer(ECHO)
async def test_an_authenticated_cookie_echo() -> None:
    """A client has to know the secret before there is an association."""
    parameters = Parameters(
        rto_initial=0.2,
        rto_min=0.1,
        rto_max=0.4,
        auth_chunks=(*EVERYTHING, 10),
        shared_keys=EMPTY_KEY.set(1, b"secret").activate(1),
    )
    engine = Engine(SCTP_PORT, [HOST], parameters=parameters)
    engine.listening = True
    program = (sys.executable, "-m", "tests.userland.usrsctp_echo")
    async with carried(engine, udp_port=0) as carrier:
        async with running(*program, "0", "a guess", carrier.udp_port):
            await carrier.until(lambda: len(carrier.chunks(wire.CookieEcho, outbound=False)) > 0)
            assert not engine.associations
        async with running(*program, "0", "secret", carrier.udp_port):
            change = await carrier.expect(AssociationChange)
            assert change.state is AssociationState.COMM_UP
            await carrier.send(change.association_id, b"welcome")
            assert (await carrier.expect(Message)).data == b"welcome"
            carrier.abort(change.association_id, b"enough")


# -- interleaving (RFC 8260) ---------------------------------------------------------------------


INTERLEAVER = (sys.executable, "-m", "tests.userland.usrsctp_interleaver")


@asynccontextmanager
async def interleaving(role: str) -> AsyncIterator[tuple[Carrier, int]]:
    """An association with it, which either end has set up: our end, and its id."""
    parameters = Parameters(
        rto_initial=0.2,
        rto_min=0.1,
        rto_max=0.4,
        sack_delay=0.02,
        interleaving=True,
        scheduler=Scheduler.ROUND_ROBIN,
    )
    engine = Engine(SCTP_PORT, [HOST], parameters=parameters)
    engine.listening = role == "we listen"
    async with carried(engine, udp_port=0) as carrier:
        its_peer = [carrier.udp_port] if engine.listening else []
        async with running(*INTERLEAVER, *its_peer, stdout=subprocess.PIPE) as process:
            if not engine.listening:
                assert process.stdout is not None
                carrier.connect(SCTP_PORT, int(await process.stdout.receive_some()))
            change = await carrier.expect(AssociationChange)
            assert change.state is AssociationState.COMM_UP
            yield carrier, change.association_id


@pytest.mark.peer(ECHO)
@pytest.mark.parametrize("role", ["we connect", "we listen"])
@pytest.mark.parametrize("unordered", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.05])
async def test_interleaved_messages(role: str, unordered: bool, share: float) -> None:
    """Long messages of several streams, in both directions at once, in spite of loss."""
    chance = random.Random(1)
    async with interleaving(role) as (carrier, id):
        carrier.lose = lambda packet, outbound: chance.random() < share
        values = [random.Random(stream).randbytes(60_000) for stream in range(4)]
        for stream, value in enumerate(values):
            await carrier.send(id, value, stream=stream, ppid=stream, unordered=unordered)
        got = [await carrier.expect(Message) for _ in values]
        got.sort(key=lambda message: message.stream)
        assert [(message.data, message.ppid) for message in got] == [
            (value, stream) for stream, value in enumerate(values)
        ]
        assert {(message.mid, message.unordered) for message in got} == {(0, unordered)}
        for outbound in True, False:
            assert not [
                chunk
                for chunk in carrier.chunks(wire.Data, outbound=outbound)
                if type(chunk) is not wire.IData
            ]
            parts = carrier.chunks(wire.IData, outbound=outbound)
            assert {part.fsn for part in parts if not part.first} >= {1, 2, 3}
            alternate = any(
                not one.last and next.stream != one.stream for one, next in pairwise(parts)
            )
            assert share or alternate


@pytest.mark.peer(ECHO)
@pytest.mark.parametrize("share", [0.0, 0.05])
async def test_a_program_that_interleaves_and_is_connected_to(our_udp: int, share: float) -> None:
    """With ordered and unordered messages under way on each stream at once."""
    options = [*IMPATIENT, Interleaving(True), StreamScheduler(Scheduler.ROUND_ROBIN)]
    async with (
        udp_proxy(our_udp) as proxy,
        await open_listener(SCTP_PORT, hosts=HOST, options=options) as listener,
        running(*INTERLEAVER, proxy.port),
        await listener.accept() as channel,
    ):
        proxy.lose = sometimes(seed=1, share=share)
        assert channel.get_option(Interleaving) == Interleaving(True)
        values = [random.Random(number).randbytes(20_000) for number in range(3)]
        orders = [(stream, unordered) for stream in range(3) for unordered in (False, True)]
        for value in values:
            for stream, unordered in orders:
                channel.send_nowait(value, stream=stream, ppid=7, unordered=unordered)
        channel.send_nowait(b"small", stream=3)
        got = [await channel.receive() for _ in range(len(values) * len(orders) + 1)]
        assert share or got[0].data == b"small"
        assert [message.data for message in got if message.stream == 3] == [b"small"]
        for stream, unordered in orders:
            back = [one for one in got if (one.stream, one.unordered) == (stream, unordered)]
            # Unordered ones come as they are whole, which losses decide.
            back.sort(key=lambda one: values.index(one.data) if one.unordered else 0)
            assert [(one.data, one.ppid) for one in back] == [(value, 7) for value in values]
            assert {one.mid for one in back} == {0, 1, 2}


# -- streams that begin again, and more of them (RFC 6525) -------------------------------------

CONTROL = 50
"""The PPID of messages that open a data channel."""

GRANTED = [
    *IMPATIENT,
    EnableStreamReset(streams=True),
    EventSubscription(address_event=False, stream_reset_event=True),
]


@pytest.mark.peer(RTCWEB)
@pytest.mark.parametrize("role", ["client", "server"])
async def test_streams_are_reset_and_added(our_udp: int, their_udp: int, role: str) -> None:
    if role == "client":
        async with await open_listener(0, hosts=HOST, options=GRANTED) as listener:
            how = (their_udp, our_udp, HOST, listener.port)
            async with rtcweb(*how) as process, await listener.accept() as channel:
                await _reset_and_add(channel, process)
    else:
        async with rtcweb(their_udp, our_udp, PORT) as process:
            while True:
                try:
                    channel = await open_association(HOST, PORT, options=GRANTED)
                    break
                except ConnectFailed:
                    await trio.sleep(0.01)
            async with channel:
                await _reset_and_add(channel, process)


@asynccontextmanager
async def rtcweb(*how: object) -> AsyncIterator[trio.Process]:
    """Run it; it writes of each event."""
    async with running("stdbuf", "-oL", RTCWEB, *how, stdout=subprocess.PIPE) as process:
        yield process


async def _reset_and_add(channel: AssociationChannel, process: trio.Process) -> None:
    assert process.stdin is not None
    await process.stdin.send_all(b"open 0 0 0\n")
    opening = await channel.receive()
    assert (opening.ppid, opening.ssn) == (CONTROL, 0)
    stream = opening.stream
    agreed = bytes([1, 0, 0, 0]) + stream.to_bytes(2, "big") + bytes(2)
    await channel.send(agreed, stream=stream, ppid=CONTROL)
    assert (await channel.receive()).ssn == 1

    async def says(stream: int, ssn: int) -> None:
        await process.stdin.send_all(b"send 0:hello\n")  # type: ignore[union-attr]
        message = await channel.receive()
        assert (message.data, message.stream, message.ssn) == (b"hello", stream, ssn)

    await says(stream, 2)
    await channel.reset_streams(incoming=[stream])
    await said(process, b"outgoing stream ids")  # until it has our answer it may not send
    await says(0, 0)  # which it takes for lack of another
    await channel.reset_streams(outgoing=[stream + 1])
    await channel.add_streams(outgoing=2, incoming=2)
    await says(0, 1)
    await channel.reset_streams(
        outgoing=range(channel.outbound_streams), incoming=range(channel.inbound_streams)
    )
    await said(process, b"outgoing stream ids")
    await says(0, 0)
    await channel.reset_association()
    await said(process, b"incoming stream ids")  # it writes of these last
    await says(0, 0)
    await says(0, 1)
    async with channel.events() as events:
        await process.stdin.send_all(b"close 0\n")
        reset = await events.receive()
        assert isinstance(reset, StreamReset)
        assert reset.flags == ReconfigurationFlags.INCOMING
    channel.abort()
