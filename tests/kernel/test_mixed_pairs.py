"""A program on the userland stack and one on the kernel's, over UDP (RFC 6951), each in both roles.

All is done through the public interface; `test_userland_interop` has the bare engine.
"""

from __future__ import annotations

import dataclasses
import errno
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import NamedTuple

import pytest
import trio

import trio_sctp
from trio_sctp import (
    AdaptationIndication,
    AdaptationLayer,
    Association,
    AssociationChannel,
    AssociationLost,
    AssociationState,
    ConnectFailed,
    EnableStreamReset,
    Endpoint,
    EventSubscription,
    OptionUnsupported,
    PathState,
    PrStatus,
    ReceiveBuffer,
    ReconfigSupported,
    ReconfigurationFailed,
    RtoInfo,
    SendBuffer,
    SenderDry,
    SendFailed,
    ShutdownReceived,
    StackUnavailable,
    StatusState,
)
from trio_sctp._engine import wire

from ..conformance.helpers import KERNEL, StackUnderTest, next_change, next_message, until
from ..support.udp_carrier import ENGINE_UDP, KERNEL_UDP
from ..support.udp_proxy import always, udp_proxy
from .conftest import LOOPBACK

pytestmark = pytest.mark.usefixtures("encapsulation", "checksums")

SIZES = [1, 2, 1000, 1180, 1184, 10_000, 65_536, 262_144, 1_048_576]
"""1184 bytes are the most that fits into a packet until a larger one is known to."""

OPTIONS = [
    RtoInfo(initial=200, max=400, min=100),
    SendBuffer(2**21),
    ReceiveBuffer(2**21),
]

Sysctl = Callable[[str, object], None]


class Pair(NamedTuple):
    """The stack that connects, and the one that listens."""

    client: StackUnderTest
    server: StackUnderTest

    def channels(
        self, *options: trio_sctp.Option
    ) -> AbstractAsyncContextManager[tuple[AssociationChannel, AssociationChannel]]:
        """Both ends of an association."""
        all_options = [*OPTIONS, *options]
        return self.server.channels(
            client_stack=self.client, client_options=all_options, server_options=all_options
        )

    @asynccontextmanager
    async def endpoints(
        self, *options: trio_sctp.Option
    ) -> AsyncIterator[tuple[Endpoint, Endpoint, Association, Association]]:
        """Both endpoints, and both handles of their association."""
        async with (
            self.server.listening(options=[*OPTIONS, *options]) as server,
            self.client.endpoint(options=[*OPTIONS, *options]) as client,
        ):
            yield client, server, *await self.client.associate(client, server)


@asynccontextmanager
async def userland_stack(peer_udp_port: int = KERNEL_UDP) -> AsyncIterator[StackUnderTest]:
    async with trio_sctp.userland(udp_port=ENGINE_UDP, peer_udp_port=peer_udp_port) as stack:
        yield dataclasses.replace(KERNEL, stack=stack)


@pytest.fixture
async def userland() -> AsyncIterator[StackUnderTest]:
    async with userland_stack() as stack:
        yield stack


ROLES = ["userland connects", "kernel connects"]


@pytest.fixture(params=ROLES)
def pair(request: pytest.FixtureRequest, userland: StackUnderTest) -> Pair:
    return Pair(userland, KERNEL) if request.param == ROLES[0] else Pair(KERNEL, userland)


# -- messages ----------------------------------------------------------------------------------


async def test_messages_of_any_size_both_ways_at_once(pair: Pair) -> None:
    messages = [random.Random(size).randbytes(size) for size in SIZES]

    async def send(channel: AssociationChannel) -> None:
        for data in messages:
            await channel.send(data)

    async def take(channel: AssociationChannel) -> None:
        for data in messages:
            assert (await channel.receive()).data == data

    async with pair.channels() as channels, trio.open_nursery() as nursery:
        for channel in channels:
            nursery.start_soon(send, channel)
            nursery.start_soon(take, channel)


async def test_streams_ppids_and_order(pair: Pair) -> None:
    async with pair.channels() as (client, server):
        assert client.outbound_streams == server.inbound_streams > 1
        assert client.inbound_streams == server.outbound_streams > 1
        for sender, receiver in ((client, server), (server, client)):
            sent = [
                (stream, stream * 0x11111111, number % 2 == 1)
                for number in range(4)
                for stream in range(sender.outbound_streams)
            ]
            for stream, ppid, unordered in sent:
                await sender.send(b"%d" % stream, stream=stream, ppid=ppid, unordered=unordered)
            received = [await receiver.receive() for _ in sent]
            assert sorted((m.stream, m.ppid, m.unordered) for m in received) == sorted(sent)
            assert all(message.data == b"%d" % message.stream for message in received)
            for stream in range(sender.outbound_streams):
                numbers = [m.ssn for m in received if m.stream == stream and not m.unordered]
                assert numbers == [0, 1]


# -- priorities (RFC 7496) ---------------------------------------------------------------------


@pytest.mark.parametrize("who", ["client", "server"])
async def test_messages_give_way_to_more_urgent_ones(pair: Pair, who: str) -> None:
    """To a peer that does not read at first, and whose window is smaller than what waits."""
    async with pair.channels(SendBuffer(2**16), ReceiveBuffer(2**14)) as channels:
        sender, receiver = channels if who == "client" else channels[::-1]
        count = 0
        with pytest.raises(trio.WouldBlock):
            while True:
                sender.send_nowait(b"%d".ljust(1000) % count, stream=1, priority=9)
                count += 1
        urgent = [b"urgent %d" % number for number in range(20)]
        got: list[bytes] = []

        async def take() -> None:
            while b"the last" not in got:
                got.append((await receiver.receive()).data.strip())

        for data in urgent[:3]:
            await sender.send(data.ljust(1000), stream=1, priority=1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            for data in urgent[3:]:
                await sender.send(data.ljust(1000), stream=1, priority=1)
            await sender.send(b"the last", stream=1)
        less_urgent = [b"%d" % number for number in range(count)]
        assert got == [data for data in [*less_urgent, *urgent, b"the last"] if data in got]
        assert got[-21:] == [*urgent, b"the last"]
        given_up = sender.get_option(PrStatus).priority
        assert 0 < count + 21 - len(got) <= given_up.sent + given_up.unsent
        await sender.wait_sent()
        await exchange(*channels, 0)


# -- streams that begin again, and more of them (RFC 6525) -------------------------------------

GRANTED = EnableStreamReset(streams=True, association=True, changes=True)


async def exchange(client: AssociationChannel, server: AssociationChannel, ssn: int) -> None:
    """Send a message on a stream each way, which has this stream sequence number."""
    for sender, receiver in ((client, server), (server, client)):
        await sender.send(b"x", stream=3)
        assert (await receiver.receive()).ssn == ssn


async def test_streams_are_reset(pair: Pair) -> None:
    async with pair.channels(GRANTED) as (client, server):
        await exchange(client, server, 0)
        for asking, other in ((client, server), (server, client)):
            await asking.reset_streams(outgoing=[3], incoming=[3])
            await exchange(client, server, 0)
            await exchange(client, server, 1)
            await asking.reset_streams(
                outgoing=range(asking.outbound_streams), incoming=range(other.outbound_streams)
            )
            await exchange(client, server, 0)


async def test_streams_are_reset_between_many_messages(pair: Pair) -> None:
    async def send(channel: AssociationChannel) -> None:
        for number in range(200):
            if number % 50 == 25:
                await channel.reset_streams(outgoing=[1])
            await channel.send(b"%d" % number * 500, stream=1)

    async with pair.channels(GRANTED) as channels:
        for sender, receiver in (channels, channels[::-1]):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send, sender)
                got = [await receiver.receive() for _ in range(200)]
            assert [one.data for one in got] == [b"%d" % number * 500 for number in range(200)]
            assert [one.ssn for one in got] == [
                *range(25),
                *[number % 50 for number in range(150)],
                *range(25),
            ]


async def test_the_association_is_reset(pair: Pair) -> None:
    async with pair.channels(GRANTED) as (client, server):
        for asking in (client, server):
            await exchange(client, server, 0)
            await client.wait_sent()
            await server.wait_sent()
            await asking.reset_association()
        await exchange(client, server, 0)
        await exchange(client, server, 1)


async def test_streams_are_added(pair: Pair) -> None:
    async with pair.channels(GRANTED) as (client, server):
        before = client.outbound_streams, client.inbound_streams
        for number, asking in enumerate((client, server)):
            await asking.add_streams(outgoing=1, incoming=1)
            await exchange(client, server, number)  # behind the events that tell of it
        for one in (client, server):
            assert (one.outbound_streams, one.inbound_streams) == (before[0] + 2, before[1] + 2)
        for sender, receiver in ((client, server), (server, client)):
            await sender.send(b"new", stream=sender.outbound_streams - 1)
            assert (await receiver.receive()).stream == sender.outbound_streams - 1


@pytest.mark.parametrize("role", ROLES)
async def test_linux_that_was_not_told_to_know_of_requests(
    role: str, userland: StackUnderTest, sysctl: Sysctl
) -> None:
    sysctl("net.sctp.reconf_enable", 0)
    pair = Pair(userland, KERNEL) if role == ROLES[0] else Pair(KERNEL, userland)
    async with pair.channels() as (client, server):
        linux, other = (server, client) if role == ROLES[0] else (client, server)
        with pytest.raises(OptionUnsupported, match=r"net\.sctp\.reconf_enable is 0 here"):
            await linux.reset_streams(outgoing=[1])
        with pytest.raises(OptionUnsupported, match="it did not offer RE-CONFIG"):
            await other.reset_streams(outgoing=[1])
    if role == ROLES[1]:
        return  # Linux heeds the option only where it is connected to
    async with pair.channels(ReconfigSupported(True), GRANTED) as (client, server):
        await client.reset_streams(outgoing=[1], incoming=[1])
        await server.reset_streams(outgoing=[1], incoming=[1])


async def test_requests_that_are_not_granted(pair: Pair) -> None:
    async with pair.channels() as (client, server):
        for asking in (client, server):
            for call in (
                partial(asking.reset_streams, outgoing=[1]),
                partial(asking.reset_streams, incoming=[1]),
                asking.reset_association,
                partial(asking.add_streams, outgoing=1),
                partial(asking.add_streams, incoming=1),
            ):
                with pytest.raises(ReconfigurationFailed) as failed:
                    await call()
                assert failed.value.denied
        await exchange(client, server, 0)


async def test_a_listener_with_two_clients(pair: Pair) -> None:
    async with pair.server.listener(options=OPTIONS) as listener:
        clients = [
            await pair.client.open_association(listener.port, options=OPTIONS) for _ in range(2)
        ]
        servers = [await listener.accept() for _ in range(2)]
    assert len({server.peer_addresses[0] for server in servers}) == 2
    for number, client in enumerate(clients):
        await client.send(b"%d" % number)
    for number, server in enumerate(servers):
        assert (await server.receive()).data == b"%d" % number
        await server.send(b"to %d" % number)
    servers[0].abort(b"enough")
    with pytest.raises(AssociationLost):
        while True:
            assert (await clients[0].receive()).data == b"to 0"
    assert (await clients[1].receive()).data == b"to 1"
    async with trio.open_nursery() as nursery:
        for channel in (*clients, *servers):
            nursery.start_soon(channel.aclose)
    assert (await servers[1].wait_ended()).graceful


async def test_ipv6(pair: Pair) -> None:
    client, server = (dataclasses.replace(stack, host="::1") for stack in pair)
    async with Pair(client, server).channels() as (one, other):
        assert one.peer_addresses[0][0] == other.peer_addresses[0][0] == "::1"
        await one.send(bytes(100_000), stream=1)
        assert (await other.receive()).data == bytes(100_000)
        await other.send(bytes(100_000), unordered=True)
        assert (await one.receive()).data == bytes(100_000)
        await one.eof()
        with pytest.raises(trio.EndOfChannel):
            await other.receive()
        assert (await one.wait_ended()).graceful


# -- events and ends ---------------------------------------------------------------------------


async def test_events(pair: Pair) -> None:
    events = EventSubscription(
        address_event=False, adaptation_layer_event=True, sender_dry_event=True
    )
    async with (
        pair.server.endpoint(options=[*OPTIONS, events, AdaptationLayer(7)]) as server,
        pair.client.endpoint(options=[*OPTIONS, events, AdaptationLayer(8)]) as client,
    ):
        server.listen()
        association = await client.connect(LOOPBACK, server.port)
        up = await next_change(server)
        id = up.association_id
        assert up.state is AssociationState.COMM_UP
        assert up.inbound_streams == association.outbound_streams
        assert await server.receive() == AdaptationIndication(association_id=id, adaptation_ind=8)
        told = await client.receive()
        assert told == AdaptationIndication(association_id=association.id, adaptation_ind=7)
        await association.send(b"hello")
        assert (await next_message(server)).data == b"hello"
        assert await client.receive() == SenderDry(association_id=association.id)
        await association.eof()
        assert await server.receive() == ShutdownReceived(association_id=id)
        for endpoint in client, server:
            assert (await next_change(endpoint)).state is AssociationState.SHUTDOWN_COMP
            assert not endpoint.associations


@pytest.mark.parametrize("who", ["client", "server"])
async def test_eof(pair: Pair, who: str) -> None:
    async with pair.channels() as channels:
        ending, other = channels if who == "client" else channels[::-1]
        await other.send(b"still under way")
        await ending.send(bytes(200_000))
        await ending.send(b"the last", eof=True)
        assert [len((await other.receive()).data) for _ in range(2)] == [200_000, 8]
        with pytest.raises(trio.EndOfChannel):
            await other.receive()
        assert (await ending.receive()).data == b"still under way"
        with pytest.raises(trio.EndOfChannel):
            await ending.receive()
        for channel in channels:
            end = await channel.wait_ended()
            assert end.graceful
            assert not end.undelivered


@pytest.mark.parametrize("who", ["client", "server"])
async def test_abort_with_a_reason(pair: Pair, who: str) -> None:
    async with pair.endpoints() as (client, server, association, peer):
        ending, other = (association, peer) if who == "client" else (peer, association)
        ending.abort(b"enough\xff")
        for end in (await other.wait_ended(), await ending.wait_ended()):
            assert (end.state, end.cause) == (AssociationState.COMM_LOST, 12)
            assert end.reason == b"enough\xff"
        for endpoint in client, server:
            assert not endpoint.associations


@pytest.mark.parametrize("who", ["client", "server"])
async def test_while_up(pair: Pair, who: str) -> None:
    async with pair.channels() as channels:
        ending, other = channels if who == "client" else channels[::-1]
        with pytest.raises(AssociationLost) as lost:
            async with other.while_up():
                ending.abort(b"that was it")
                await trio.sleep_forever()
        assert lost.value.end.reason == b"that was it"
    async with pair.channels() as channels:
        ending, other = channels if who == "client" else channels[::-1]
        async with other.while_up():
            await ending.eof()
            await trio.sleep_forever()
        assert (await ending.wait_ended()).graceful


async def test_nobody_listens(pair: Pair) -> None:
    """On the port; what refuses is an ABORT."""
    async with pair.server.listening() as server, pair.server.listening():
        port = server.port
        await server.aclose()
        with pytest.raises(ConnectFailed) as refused:
            await pair.client.open_association(port)
        assert refused.value.errno == errno.ECONNREFUSED


async def test_nobody_has_the_udp_port() -> None:
    """What refuses is ICMP, of which Linux takes no notice here."""
    async with userland_stack(KERNEL_UDP + 2) as stack:
        with pytest.raises(ConnectFailed) as refused:
            await stack.open_association(5001)
    assert refused.value.errno == errno.ECONNREFUSED


# -- restarts ----------------------------------------------------------------------------------


def aborts(packet: bytes, outbound: bool) -> bool:
    """Lost, they do not tell of a program's end."""
    return packet[wire.HEADER_SIZE] == wire.ChunkType.ABORT  # the type of the first chunk


async def both_ways(one: Endpoint, association: Association, other: Endpoint, id: int) -> None:
    """Streams count from zero."""
    await association.send(b"after")
    message = await next_message(other)
    assert (message.data, message.ssn, message.association_id) == (b"after", 0, id)
    await other.associations[id].send(b"on the same handle")
    message = await next_message(one)
    assert (message.data, message.ssn) == (b"on the same handle", 0)


async def test_a_userland_program_that_starts_anew() -> None:
    async with udp_proxy(KERNEL_UDP) as proxy, KERNEL.listening(options=OPTIONS) as server:
        async with userland_stack(proxy.port) as stack, stack.endpoint(options=OPTIONS) as client:
            port = client.port
            association, peer = await stack.associate(client, server)
            await association.send(b"before")
            assert (await next_message(server)).data == b"before"
            proxy.lose = aborts
            association.abort()
        async with (
            userland_stack(proxy.port) as stack,
            stack.endpoint(port, options=OPTIONS) as client,
        ):
            association = await client.connect(LOOPBACK, server.port)
            change = await next_change(server)
            assert change.state is AssociationState.RESTART
            assert change.association_id == peer.id
            assert server.associations[peer.id] is peer
            await both_ways(client, association, server, peer.id)


async def test_a_kernel_program_that_starts_anew(sysctl: Sysctl) -> None:
    async with (
        udp_proxy(KERNEL_UDP) as proxy,
        userland_stack(proxy.port) as stack,
        stack.listening(options=OPTIONS) as client,
    ):
        async with KERNEL.listening(options=OPTIONS) as server:
            port = server.port
            association, peer = await stack.associate(client, server)
            await peer.send(b"before")
            assert (await next_message(client)).data == b"before"
            proxy.lose = always
            peer.abort()
        await association.send(b"to nobody")
        await until(lambda: proxy.lost >= 3)
        proxy.lose = aborts
        sysctl("net.sctp.encap_port", proxy.server_side)
        async with KERNEL.endpoint(port, options=OPTIONS) as server:
            again = await server.connect(LOOPBACK, client.port)
            failed = await client.receive()
            assert isinstance(failed, SendFailed)
            assert failed.data == b"to nobody"
            change = await next_change(client)
            assert change.state is AssociationState.RESTART
            assert change.association_id == association.id
            await both_ways(server, again, client, association.id)


# -- paths -------------------------------------------------------------------------------------


async def test_paths(pair: Pair) -> None:
    async with pair.endpoints() as (client, server, association, peer):
        await association.send(b"hello")
        await next_message(server)
        for handle, port in ((association, server.port), (peer, client.port)):
            await until(lambda handle=handle: not handle.status().unackdata)  # type: ignore[misc]
            (path,) = handle.paths()
            assert path.address[:2] == (LOOPBACK, port)
            assert path.state is PathState.ACTIVE
            assert path.primary
            assert 100 <= path.rto <= 400
            assert path.cwnd > path.mtu
            assert handle.status().state is StatusState.ESTABLISHED


async def test_a_userland_program_finds_a_larger_path_mtu(pair: Pair) -> None:
    """Linux answers its probes, with their padding."""
    async with pair.channels() as channels:
        ours, theirs = channels if pair.server is KERNEL else channels[::-1]
        assert ours.paths()[0].mtu == 1232  # 1280 without the headers of IPv6 and UDP
        await ours.send(bytes(100_000))
        assert (await theirs.receive()).data == bytes(100_000)
        await until(lambda: ours.paths()[0].mtu > 1232)
        assert ours.paths()[0].mtu == 1452
        # Packets of that size arrive.
        await ours.send(bytes(100_000))
        assert (await theirs.receive()).data == bytes(100_000)


# -- a program that is killed ------------------------------------------------------------------

PROGRAM = """
import sys, trio, trio_sctp
async def hold(channel):
    await channel.send(b"here")
    if sys.argv[1] == "read":
        await channel.receive()
        await channel.send(b"read")
    await trio.sleep_forever()
async def main():
    async with trio.open_nursery() as nursery:
        listener = await nursery.start(trio_sctp.serve, hold, 0)
        print(listener.port, flush=True)
trio.run(main)
"""


@asynccontextmanager
async def kernel_program(argument: str) -> AsyncIterator[tuple[int, trio.Process]]:
    """One that takes, or leaves, what it is sent; with its port."""
    command = [sys.executable, "-c", PROGRAM, argument]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with process.stdout:
            yield int(await process.stdout.receive_some()), process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


BEFORE_SILENCE = 10
"""Seconds; the first heartbeat would leave after 30."""


async def test_a_killed_kernel_program_ends_gracefully(userland: StackUnderTest) -> None:
    """Its kernel sees to that, as far as the program has read what came."""
    async with (
        kernel_program("read") as (port, process),
        await userland.open_association(port, options=OPTIONS) as channel,
    ):
        assert (await channel.receive()).data == b"here"
        await channel.send(b"for somebody")
        assert (await channel.receive()).data == b"read"
        process.send_signal(signal.SIGKILL)
        with trio.fail_after(BEFORE_SILENCE), pytest.raises(trio.EndOfChannel):
            await channel.receive()
        assert (await channel.wait_ended()).graceful


async def test_a_killed_kernel_program_that_has_not_read_all_aborts(
    userland: StackUnderTest,
) -> None:
    events = EventSubscription(address_event=False, sender_dry_event=True)
    async with (
        kernel_program("leave") as (port, process),
        userland.endpoint(options=[*OPTIONS, events]) as endpoint,
    ):
        association = await endpoint.connect(LOOPBACK, port)
        assert (await next_message(endpoint)).data == b"here"
        await association.send(b"for nobody")
        assert isinstance(await endpoint.receive(), SenderDry)  # its kernel has it
        process.send_signal(signal.SIGKILL)
        with trio.fail_after(BEFORE_SILENCE):
            end = await association.wait_ended()
        assert (end.state, end.cause) == (AssociationState.COMM_LOST, 12)
        assert not end.undelivered


# -- raw IP ------------------------------------------------------------------------------------


async def test_raw_ip_is_refused_where_the_kernel_has_sctp() -> None:
    with pytest.raises(StackUnavailable, match=r"kernel's SCTP.*carrier='udp'"):
        async with trio_sctp.userland(carrier="ip"):
            raise AssertionError("it is not to start")
