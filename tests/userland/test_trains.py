"""Trains: packets of one size that pass the operating system in one call (UDP_SEGMENT, UDP_GRO)."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from trio_sctp import AssociationChannel, PeerAddressFlags, PeerAddressParams, RtoInfo, Userland
from trio_sctp._engine import Outgoing, Route
from trio_sctp._userland import carrier as carriers
from trio_sctp._userland.carrier import Carrier

from ..support.udp_stacks import HOST, channels, two_stacks

SOL_UDP, UDP_SEGMENT = 17, 103
MESSAGES = 300
DATA = bytes(range(256)) * 5  # one packet each
MTU = PeerAddressParams(pathmtu=1400, flags=PeerAddressFlags.PMTUD_DISABLE)
NEVER_AGAIN = RtoInfo(initial=30_000, min=30_000, max=30_000)
"""With this a lost packet would be missed: nothing sends it again in time, but gaps would."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has trains")


class Watched:
    """A socket, the calls of which are counted, and fail as a test wants."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.calls: Counter[str] = Counter()
        self.trains = 0
        self.fail: Callable[[bool], int] = lambda train: 0
        """Returns the errno of a call that sends a train, or a packet; 0 for none."""

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self._sock, name)

    def sendto(self, data: bytes, address: Any) -> int:
        self.calls["send"] += 1
        self._check(False)
        return self._sock.sendto(data, address)

    def sendmsg(self, data: Any, ancillary: Any, flags: int, address: Any) -> int:
        self.calls["send"] += 1
        train = any(row[:2] == (SOL_UDP, UDP_SEGMENT) for row in ancillary)
        self._check(train)
        self.trains += train
        return self._sock.sendmsg(data, ancillary, flags, address)

    def _check(self, train: bool) -> None:
        number = self.fail(train)
        if number:
            raise OSError(number, os.strerror(number))


def watch(stack: Userland) -> Watched:
    """Watch the socket of a stack."""
    (carrier,) = stack._carriers.values()
    watched = Watched(carrier.sock)
    carrier.sock = watched  # type: ignore[assignment]
    return watched


async def send_all(channel: AssociationChannel) -> None:
    for number in range(MESSAGES):
        await channel.send(b"%d " % number + DATA)


async def receive_all(channel: AssociationChannel) -> None:
    for number in range(MESSAGES):
        assert (await channel.receive()).data == b"%d " % number + DATA


async def exchange(client: AssociationChannel, server: AssociationChannel) -> None:
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_all, client)
            nursery.start_soon(receive_all, server)
            nursery.start_soon(send_all, server)
            nursery.start_soon(receive_all, client)


async def test_many_packets_take_few_calls() -> None:
    large = bytes(700_000)  # in 500 packets
    async with two_stacks() as (server, client), channels(server, client) as (there, here):
        there.set_option(MTU)
        await exchange(there, here)  # the congestion window has opened
        sockets = watch(client), watch(server)
        await there.send(large)
        assert (await here.receive()).data == large
        await there.wait_sent()
    for watched in sockets:
        assert watched.trains
        assert watched.calls["send"] < 500 / 8
        assert watched.calls["recvmsg"] < 500 / 8


@pytest.mark.parametrize("name", ["EINVAL", "EIO", "EMSGSIZE"])
async def test_what_takes_no_trains_gets_packets_and_is_not_asked_again(name: str) -> None:
    refused = 0

    def fail(train: bool) -> int:
        nonlocal refused
        refused += train
        return getattr(errno, name) if train else 0

    async with two_stacks() as (server, client), channels(server, client) as (there, here):
        for channel in there, here:
            channel.set_option(NEVER_AGAIN)
        watched = watch(client)
        watched.fail = fail
        await exchange(there, here)
        assert refused == 2  # the first error may be that of an earlier packet
        assert client.statistics().packets_not_sent == 0
        await there.wait_sent()
        assert there.statistics().retransmitted == 0


@pytest.mark.parametrize("name", ["EAGAIN", "ENOBUFS"])
async def test_packets_wait_for_room_in_a_buffer_and_none_is_lost(name: str) -> None:
    calls = 0

    def fail(train: bool) -> int:
        nonlocal calls
        calls += 1
        return getattr(errno, name) if calls % 3 else 0

    async with two_stacks() as (server, client), channels(server, client) as (there, here):
        for channel in there, here:
            channel.set_option(NEVER_AGAIN)
        watched = watch(client)
        watched.fail = fail
        await exchange(there, here)
        assert watched.trains
        assert client.statistics().packets_not_sent == 0
        assert there.statistics().retransmitted == 0


async def test_the_error_of_an_earlier_packet_ends_no_trains() -> None:
    failed = False

    def fail(train: bool) -> int:
        nonlocal failed
        fails, failed = train and not failed, failed or train
        return errno.ECONNREFUSED if fails else 0

    async with two_stacks() as (server, client), channels(server, client) as (there, here):
        watched = watch(client)
        watched.fail = fail
        await exchange(there, here)
        assert failed
        assert watched.trains > 1
        assert client.statistics().packets_not_sent == 0


async def test_a_packet_that_is_too_large_ends_no_trains() -> None:
    """A probe of the path MTU, on a link whose own MTU is smaller."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind((HOST, 0))
        carrier = Carrier(HOST, 0)
        try:
            watched = Watched(carrier.sock)
            carrier.sock = watched  # type: ignore[assignment]
            route = Route(HOST, HOST, carrier.port, sink.getsockname()[1])
            packets = [Outgoing(bytes(1000), route, 0, False) for _ in range(3)]
            carrier.send(route, [Outgoing(bytes(65_508), route, 0, False), *packets])
            carrier.send(route, [Outgoing(bytes(65_000), route, 0, False), *packets])
            carrier.send(route, packets)
            assert watched.trains == 3
            assert carrier.not_sent == 1
        finally:
            carrier.close()


@pytest.mark.parametrize("without", ["_linux_version", "kernel_has_sctp", "_LINUX"])
async def test_it_works_where_there_are_no_trains(
    without: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an old Linux, of which recvmsg has forgotten the size of packets; on one that has SCTP
    itself, which may not stand them; and elsewhere."""
    absent: dict[str, object] = {
        "_linux_version": lambda: (5, 11),
        "kernel_has_sctp": lambda: True,
        "_LINUX": False,
    }
    monkeypatch.setattr(carriers, without, absent[without])
    async with two_stacks() as (server, client), channels(server, client) as (there, here):
        there.set_option(MTU)
        watched = watch(client)
        await exchange(there, here)
        assert bool(watched.calls["recvmsg"]) == (without == "kernel_has_sctp")
        assert bool(watched.trains) == (without == "_linux_version")


def sizes_of_trains(sizes: list[int], **fields: dict[int, Any]) -> list[int]:
    """How many packets each call would send, of packets of these sizes."""
    route = Route(HOST, HOST, 1, 2)
    packets = [
        Outgoing(
            bytes(size),
            route,
            fields.get("tos", {}).get(number, 0),
            fields.get("fragment", {}).get(number, False),
        )
        for number, size in enumerate(sizes)
    ]
    found, at = [], 0
    while at < len(packets):
        end = carriers._end_of_train(packets, at)
        found.append(end - at)
        at = end
    return found


def test_a_train_has_packets_of_one_size_and_a_smaller_one_ends_it() -> None:
    assert sizes_of_trains([1000] * 5) == [5]
    assert sizes_of_trains([1000, 1000, 400, 1000]) == [3, 1]
    assert sizes_of_trains([1000, 1000, 1400, 1000]) == [2, 2]
    assert sizes_of_trains([1000] * 130) == [64, 64, 2]
    assert sizes_of_trains([1400] * 100) == [46, 46, 8]


def test_what_has_another_tos_or_may_be_fragmented_is_in_no_train_with_others() -> None:
    assert sizes_of_trains([1000] * 4, tos={2: 8, 3: 8}) == [2, 2]
    assert sizes_of_trains([1000] * 4, fragment={1: True}) == [1, 1, 2]
    assert sizes_of_trains([1000] * 4, fragment={0: True}) == [1, 3]


async def test_a_read_brings_no_more_messages_than_programs_take_at_once() -> None:
    """64 packets hold a thousand small messages; other tasks would wait for all of them."""
    async with two_stacks() as (server, client), channels(server, client) as (there, here):

        async def send() -> None:
            while True:
                try:
                    there.send_nowait(bytes(16))
                except trio.WouldBlock:
                    await there.send(bytes(16))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            received = [len(await here.receive_batch(10_000)) for _ in range(100)]
            nursery.cancel_scope.cancel()
    # A packet has up to 36; the program may have its turn after the second read.
    assert 100 < max(received) < 2 * (256 + 36)


async def test_a_link_that_is_down_holds_up_no_other() -> None:
    """It says that its buffer is full, for ever."""
    async with two_stacks() as (server, client), channels(server, client) as (there, here):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((HOST, 0))
            down = Route(HOST, HOST, 0, other.getsockname()[1])
            (carrier,) = client._carriers.values()
            watched = watch(client)
            sendto = watched.sendto

            def fail(data: bytes, address: Any) -> int:
                if address[1] == down.remote_udp:
                    raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
                return sendto(data, address)

            watched.sendto = fail  # type: ignore[method-assign]
            client.transmit([Outgoing(b"x", down._replace(local_udp=carrier.port), 0, False)])
            assert carrier.waiting
            await exchange(there, here)
            while carrier.waiting:  # noqa: ASYNC110 - it is given up in the end
                await trio.sleep(0.001)
            assert client.statistics().packets_not_sent == 1


@pytest.mark.parametrize(("name", "calls"), [("EAGAIN", 1), ("ENOBUFS", 50)])
def test_a_full_socket_is_tried_once_however_many_routes_wait(name: str, calls: int) -> None:
    """Its buffer has no room for any of them, whereas a device may be that of one route alone."""
    carrier = Carrier(HOST, 0)
    try:
        watched = Watched(carrier.sock)
        watched.fail = lambda train: getattr(errno, name)
        carrier.sock = watched  # type: ignore[assignment]
        for port in range(1, 51):
            route = Route(HOST, HOST, carrier.port, port)
            carrier.send(route, [Outgoing(b"x", route, 0, False)])
        watched.calls.clear()
        assert not carrier.send_waiting()
        assert watched.calls["send"] == calls
        assert len(carrier.waiting) == 50
    finally:
        carrier.close()
