"""Two processes, each with a userland stack, over UDP: one is killed, held up, or hard to reach."""

from __future__ import annotations

import errno
import signal
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

import trio_sctp
from trio_sctp import (
    AssociationChange,
    AssociationChannel,
    AssociationLost,
    AssociationState,
    Message,
    StatusState,
    open_association,
    open_endpoint,
    open_listener,
)

from ..support.udp_proxy import free_port, sometimes, udp_proxy
from .other_process import (
    HEARTBEATS,
    IMPATIENT,
    PATIENT,
    RETRANSMISSIONS,
    RTO_MAX,
    running,
)

HOST = "127.0.0.1"

HUNG = 30
"""Seconds after which a test hangs, even on a machine that does other work."""


@pytest.fixture
def udp_port() -> int:
    """A free UDP port, for the other process."""
    return free_port()


@pytest.fixture(autouse=True)
async def limit() -> AsyncIterator[None]:
    with trio.fail_after(HUNG):
        yield


@asynccontextmanager
async def echo_server(udp_port: int) -> AsyncIterator[tuple[trio.Process, int]]:
    """Run an echo server in another process; yields the process, and its port."""
    async with running("echo", {"udp_port": udp_port}, hosts=[HOST]) as (process, port):
        yield process, int(port)


async def echoed(
    channel: AssociationChannel, count: int, *, size: int = 100
) -> dict[int, list[bytes]]:
    """Send this number of messages on all streams; returns their echoes, by stream."""
    streams = channel.outbound_streams
    received: dict[int, list[bytes]] = defaultdict(list)

    async def send() -> None:
        for number in range(count):
            await channel.send((b"%d " % number).ljust(size, b"."), stream=number % streams)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        for _ in range(count):
            message = await channel.receive()
            received[message.stream].append(message.data)
    assert sorted(received) == list(range(streams))
    return received


def in_order(received: dict[int, list[bytes]], count: int) -> bool:
    """Whether the messages of each stream are all there, once each and in order."""
    streams = len(received)
    return all(
        [int(data.split()[0]) for data in messages] == list(range(stream, count, streams))
        for stream, messages in received.items()
    )


async def test_messages_on_several_streams(udp_port: int) -> None:
    async with (
        echo_server(udp_port) as (_, port),
        trio_sctp.userland(peer_udp_port=udp_port),
        await open_association(HOST, port) as channel,
    ):
        assert channel.outbound_streams > 1
        assert in_order(await echoed(channel, 500), 500)
        data = bytes(range(256)) * 4096
        await channel.send(data, stream=3, ppid=7, unordered=True)
        message = await channel.receive()
        assert message.data == data
        assert (message.stream, message.ppid, message.unordered) == (3, 7, True)


# -- a process that is killed ------------------------------------------------------------------

GENEROUS = 4
"""How many times as long as expected something may take: it has to end, not in time."""


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_an_idle_peer_that_falls_silent_is_lost(udp_port: int, how: str) -> None:
    """Heartbeats tell.  ICMP answers for a killed process, nobody for a stopped one."""
    # Each leaves HB.interval and 1.5 RTO after the last, and has failed one RTO later.
    bound = (RETRANSMISSIONS + 1) * (HEARTBEATS + 2.5 * RTO_MAX)
    async with (
        echo_server(udp_port) as (process, port),
        trio_sctp.userland(peer_udp_port=udp_port),
        await open_endpoint(hosts=HOST, options=IMPATIENT) as endpoint,
    ):
        association = await endpoint.connect(HOST, port)
        await association.send(b"hello")
        assert isinstance(await endpoint.receive(), Message)
        process.send_signal(signal.SIGKILL if how == "killed" else signal.SIGSTOP)
        with trio.fail_after(GENEROUS * bound):
            end = await association.wait_ended()
        assert (end.state, end.cause) == (AssociationState.COMM_LOST, 0)
        assert not end.undelivered
        assert not endpoint.associations


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_a_peer_under_load_that_falls_silent_is_lost(udp_port: int, how: str) -> None:
    """Retransmissions tell, and all that was not acknowledged comes back."""
    bound = (RETRANSMISSIONS + 1) * RTO_MAX
    async with (
        echo_server(udp_port) as (process, port),
        trio_sctp.userland(peer_udp_port=udp_port),
        await open_association(HOST, port, options=IMPATIENT) as channel,
    ):
        await echoed(channel, 100)
        process.send_signal(signal.SIGKILL if how == "killed" else signal.SIGSTOP)
        if how == "killed":
            await process.wait()
        sent = 0

        async def send() -> None:
            nonlocal sent
            while True:
                await channel.send(b"%d" % sent)
                sent += 1

        with trio.fail_after(GENEROUS * bound), pytest.raises(AssociationLost) as lost:
            await send()
        end = lost.value.end
        assert (end.state, end.cause) == (AssociationState.COMM_LOST, 0)
        assert sent > 100
        # A process that is stopped may have answered a few before.
        numbers = [int(failed.data) for failed in end.undelivered]
        assert numbers == list(range(sent - len(numbers), sent))
        if how == "killed":
            assert len(numbers) == sent


async def test_a_peer_that_is_held_up_loses_nothing(udp_port: int) -> None:
    """It is held up for three seconds, in which timers expire and its path becomes inactive."""
    count = 3000
    async with (
        echo_server(udp_port) as (process, port),
        trio_sctp.userland(peer_udp_port=udp_port),
        await open_association(HOST, port, options=PATIENT) as channel,
    ):
        await channel.send(b"hello")
        await channel.receive()
        process.send_signal(signal.SIGSTOP)
        received: dict[int, list[bytes]] = {}

        async def exchange() -> None:
            received.update(await echoed(channel, count, size=1000))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(exchange)
            await trio.sleep(3)
            assert channel.paths()[0].rto == RTO_MAX * 1000
            assert not received
            process.send_signal(signal.SIGCONT)
        assert in_order(received, count)


async def test_a_client_that_restarts_from_another_udp_port(udp_port: int) -> None:
    """It is refused while the old association lives, but not when that does not answer."""
    async with (
        trio_sctp.userland(udp_port=udp_port),
        await open_listener(0, hosts=HOST, options=PATIENT) as listener,
    ):
        peer = {"peer_udp_port": udp_port}
        how: dict[str, Any] = {"host": HOST, "port": listener.port, "local_port": 5001}
        async with running("client", peer, **how) as (_, said):
            assert said == "up"
            old = await listener.accept()
            assert (await old.receive()).data == b"hello"
            async with running("client", peer, **how) as (_, said):
                assert "restart of an association with new encapsulation port" in said
        async with running("client", peer, **{**how, "local_port": 5002}) as (_, said):
            assert said == "up"  # another association
            other = await listener.accept()
            assert other.peer_addresses == [(HOST, 5002)]
            assert (await other.receive()).data == b"hello"
        assert old.status().state is StatusState.ESTABLISHED
        async with running("client", peer, **how) as (_, said):
            assert said == "up"
            with pytest.raises(AssociationLost):
                await old.receive()
            new = await listener.accept()
            assert (await new.receive()).data == b"hello"
            for channel in (old, new, other):
                channel.abort()


async def test_two_client_processes_of_one_host(udp_port: int) -> None:
    """They are given different ports: else the second would seem to be the first, restarted."""
    async with (
        trio_sctp.userland(udp_port=udp_port),
        await open_listener(0, hosts=HOST, options=PATIENT) as listener,
    ):
        peer = {"peer_udp_port": udp_port}
        how: dict[str, Any] = {"host": HOST, "port": listener.port}
        async with (
            running("client", peer, **how) as (_, first),
            running("client", peer, **how) as (_, second),
        ):
            assert (first, second) == ("up", "up")
            channels = [await listener.accept() for _ in range(2)]
            for channel in channels:
                assert (await channel.receive()).data == b"hello"
                channel.abort()


# -- a network that loses ----------------------------------------------------------------------


async def test_loss_and_reordering(udp_port: int) -> None:
    """A fifth of all packets is lost, and another fifth is overtaken."""
    count = 500
    async with (
        echo_server(udp_port) as (_, port),
        udp_proxy(udp_port) as proxy,
        trio_sctp.userland(peer_udp_port=proxy.port),
        await open_association(HOST, port, options=PATIENT) as channel,
    ):
        proxy.lose = sometimes(seed=1, share=0.2)
        proxy.hold = sometimes(seed=2, share=0.2)
        assert in_order(await echoed(channel, count), count)
        assert proxy.lost > 20
        assert proxy.overtaken > 20
        data = bytes(range(256)) * 200
        await channel.send(data)
        assert (await channel.receive()).data == data


# -- ports -------------------------------------------------------------------------------------


async def test_a_udp_port_that_another_process_has(udp_port: int) -> None:
    async with (
        echo_server(udp_port) as (_, port),
        trio_sctp.userland(udp_port=udp_port, peer_udp_port=udp_port),
    ):
        with pytest.raises(OSError, match=rf"UDP port {udp_port} .*udp_port=") as taken:
            await open_listener(0, hosts=HOST)
        assert taken.value.errno == errno.EADDRINUSE
        # A client may use any port.
        async with await open_endpoint(hosts=HOST) as endpoint:
            association = await endpoint.connect(HOST, port)
            await association.send(b"hello")
            assert not isinstance(await endpoint.receive(), AssociationChange)
            association.abort()
