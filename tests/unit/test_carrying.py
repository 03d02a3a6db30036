"""The stack of an engine as what carries its packets sees it: ports, and when to wait.

These calls are between a `UserlandStack` and its carrier, here that of a simulated network.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_sctp import (
    AssociationChannel,
    ConnectFailed,
    EventSubscription,
    Message,
    open_association,
    open_endpoint,
    open_listener,
)
from trio_sctp._engine import Route
from trio_sctp._engine.wire import ChunkType
from trio_sctp._userland import stack as stack_module
from trio_sctp.testing import RoutedPacket, SimulatedHost, simulated_network

HERE, THERE = "192.0.2.1", "192.0.2.2"


@contextlib.asynccontextmanager
async def channels() -> AsyncIterator[tuple[SimulatedHost, AssociationChannel, AssociationChannel]]:
    """The client's host, and both ends of an association."""
    async with simulated_network() as network:
        network.network.default_link.delay = 0.1
        here, there = network.host(HERE), network.host(THERE)
        async with await open_listener(2905, stack=there) as listener:
            client = await open_association(THERE, 2905, stack=here)
            server = await listener.accept()
        try:
            yield here, client, server
        finally:
            client.abort()
            server.abort()


async def test_messages_wait_for_others_while_the_peer_has_some_to_acknowledge(
    autojump_clock: MockClock,
) -> None:
    async with channels() as (here, client, _):
        assert here.filling() == 0
        client.send_nowait(b"first")
        assert here.filling() == 0  # it has left
        client.send_nowait(b"other")
        assert here.filling() == len(b"first" + b"other")
        client.send_nowait(b"and another")
        assert here.filling() == len(b"first" + b"other" + b"and another")
        await client.wait_sent()
        assert here.filling() == 0


async def test_messages_of_what_has_ended_wait_for_nobody(autojump_clock: MockClock) -> None:
    async with channels() as (here, client, _):
        client.send_nowait(b"first")
        client.send_nowait(b"other")
        client.abort()
        assert here.filling() == 0


async def test_a_message_leaves_at_once_if_nothing_is_on_its_way(
    autojump_clock: MockClock,
) -> None:
    async with channels() as (here, client, _):
        sent: list[bytes] = []
        here._driver.network.route = lambda packet: sent.append(packet.data)
        client.send_nowait(b"first")
        assert len(sent) == 1
        client.send_nowait(b"second")
        client.send_nowait(b"third")
        assert len(sent) == 1
        here.flush()
        assert len(sent) == 2


@pytest.mark.parametrize("in_a_loop", [False, True])
async def test_what_a_sack_lets_go_waits_for_a_task_that_sends_in_a_loop(
    in_a_loop: bool, autojump_clock: MockClock
) -> None:
    async with channels() as (here, client, _):
        sent: list[bytes] = []
        sacks: list[bytes] = []

        def hold(packet: RoutedPacket) -> list[RoutedPacket] | None:
            if packet.source == THERE:
                sacks.append(packet.data)
                return []
            sent.append(packet.data)
            return None

        here._driver.network.route = hold
        client.send_nowait(b"first")
        await trio.sleep(0.5)  # until a SACK is due
        assert (len(sent), len(sacks)) == (1, 1)
        client.send_nowait(b"second")
        if in_a_loop:
            here.expect_more()
        here.take_packets(sacks, Route(HERE, THERE), trio.current_time(), 9)
        here.packets_taken()
        assert len(sent) == (1 if in_a_loop else 2)
        here.flush()
        assert len(sent) == 2


async def test_as_many_packets_are_taken_as_the_program_is_to_have_messages_of(
    autojump_clock: MockClock,
) -> None:
    async with channels() as (here, client, server):
        held: list[bytes] = []

        def hold(packet: RoutedPacket) -> list[RoutedPacket] | None:
            if packet.source != THERE:
                return None
            held.append(packet.data)
            return []

        here._driver.network.route = hold
        for number in range(5):
            await server.send(b"%d" % number)
            await wait_all_tasks_blocked()
        assert len(held) == 5
        route, now = Route(HERE, THERE), trio.current_time()
        for count in 3, 2:
            assert here.take_packets(held, route, now, 3) == count
            here.packets_taken()
            received = [message.data for message in await client.receive_batch()]
            assert received == [packet[28:29] for packet in held[:count]]
            del held[:count]


async def test_packets_of_one_read_are_acknowledged_by_twos_and_wake_a_program_once(
    autojump_clock: MockClock,
) -> None:
    """RFC 9260 section 6.2, although all of them go in before anything leaves."""
    async with channels() as (here, client, server):
        arrived: list[bytes] = []
        sent: list[bytes] = []

        def hold(packet: RoutedPacket) -> list[RoutedPacket]:
            (arrived if packet.source == THERE else sent).append(packet.data)
            return []

        here._driver.network.route = hold
        for number in range(6):
            await server.send(b"%d" % number)
            await wait_all_tasks_blocked()
        batches: list[list[Message]] = []

        async def receive() -> None:
            while True:
                batches.append(await client.receive_batch())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            assert here.take_packets(arrived, Route(HERE, THERE), trio.current_time(), 99) == 6
            assert sent == []
            here.packets_taken()
            assert [packet[12] for packet in sent] == [ChunkType.SACK] * 3
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert [[message.data for message in batch] for batch in batches] == [
            [b"0", b"1", b"2", b"3", b"4", b"5"]
        ]


@pytest.mark.parametrize("packet", [b"", b"\x0b\x59\x00"])
async def test_a_packet_that_is_too_short_for_a_port_is_taken_alone(packet: bytes) -> None:
    async with simulated_network() as network:
        host = network.host(HERE)
        assert host.take_packets([packet] * 3, Route(HERE, THERE), 0.0, 3) == 1


async def test_whoever_cannot_be_reached_refuses_at_once(autojump_clock: MockClock) -> None:
    """ICMP says so of the INIT; of a packet that no endpoint here has sent it says nothing."""
    async with simulated_network() as network:
        here = network.host(HERE)
        held: list[bytes] = []
        network.network.route = lambda packet: held.append(packet.data)

        async def connect() -> None:
            with pytest.raises(ConnectFailed) as refused:
                await open_association(THERE, 2905, stack=here)
            assert refused.value.errno == errno.ECONNREFUSED

        async with trio.open_nursery() as nursery:
            nursery.start_soon(connect)
            await wait_all_tasks_blocked()
            (init,) = held
            here.unreachable(bytes(2) + init[2:], THERE)
            here.unreachable(init, "192.0.2.3")
            await wait_all_tasks_blocked()
            assert nursery.child_tasks
            here.unreachable(init, THERE)
            await wait_all_tasks_blocked()
            assert not nursery.child_tasks


async def test_ports_are_given_out_in_their_order_and_each_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stack_module, "_EPHEMERAL", range(49152, 49156))
    async with simulated_network() as network, contextlib.AsyncExitStack() as opened:
        host = network.host(HERE)

        async def open_port(port: int = 0) -> int:
            endpoint = await opened.enter_async_context(await open_endpoint(port, stack=host))
            return endpoint.port

        first = await open_endpoint(stack=host)
        assert first.port == 49152
        assert await open_port(49154) == 49154
        assert [await open_port() for _ in range(2)] == [49153, 49155]
        with pytest.raises(OSError, match="Address already in use") as refused:
            await open_endpoint(stack=host)
        assert refused.value.errno == errno.EADDRINUSE
        await first.aclose()
        assert await open_port() == 49152


async def test_a_packet_is_taken_although_an_event_has_come_of_something_else(
    autojump_clock: MockClock,
) -> None:
    """An association that is dry already is reported at once, without a packet."""
    async with channels() as (_, client, server):
        await trio.sleep(1)
        server.set_option(EventSubscription(sender_dry_event=True))
        await client.send(b"not dropped")
        while not isinstance(record := await server.receive(), Message):
            pass
        assert record.data == b"not dropped"
        await client.wait_sent()
        assert client.statistics().retransmitted == 0
