"""What the log says where a network fails when it is told to, and how often."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import MockClock

from trio_sctp import (
    AssociationLost,
    AssociationState,
    PeerAddressParams,
    RtoInfo,
    open_association,
    open_endpoint,
    open_listener,
)
from trio_sctp._log import Drops, shown
from trio_sctp.testing import Link, SimulatedNetwork

from ..support.fake_stack import PEER, FakeStack, change
from ..support.log import Log
from ..support.log import log as log

pytest_plugins = ["trio_sctp.testing.fixtures"]

DEBUG, INFO, WARNING = logging.DEBUG, logging.INFO, logging.WARNING
IMPATIENT = [RtoInfo(initial=100, max=400, min=100), PeerAddressParams(hbinterval=500)]
ONE = r"association 1 with 10\.1\.0\.2 port 2905"
OTHER = r"association 1 with 10\.1\.0\.1 port \d+"


def test_who_asks_for_no_log_gets_none() -> None:
    """Without a handler of the program's, Python would write warnings to stderr."""
    handlers = logging.getLogger("trio_sctp").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)


def test_drops_of_each_kind_are_told_once_in_a_second_and_counted(log: Log) -> None:
    drops = Drops()
    for now in (0.0, 0.5, 0.9, 1.0, 2.5):
        drops.warn("small", now, "%d is small", 1)
    drops.warn("large", 0.6, "%d is large", 9)
    assert log.lines(WARNING) == [
        "1 is small",
        "1 is small (lines left out before: 2)",
        "1 is small",
        "9 is large",
    ]


@pytest.mark.parametrize("level", [logging.ERROR, logging.CRITICAL])
def test_drops_are_not_counted_where_nobody_reads(
    level: int, caplog: pytest.LogCaptureFixture
) -> None:
    drops = Drops()
    with caplog.at_level(level, logger="trio_sctp"):
        drops.warn("small", 0.0, "small")
    with caplog.at_level(WARNING, logger="trio_sctp"):
        drops.warn("small", 0.1, "small")
    assert len(caplog.records) == 1


def test_what_a_peer_wrote() -> None:
    assert shown(b"a\nb\x1b[2J") == r"b'a\nb\x1b[2J'"
    assert shown(b"x" * 200) == repr(b"x" * 200)
    assert shown(b"x" * 60_000) == repr(b"x" * 200) + " and 59800 bytes more"


async def test_a_path_that_fails_and_comes_back(
    sctp_network: SimulatedNetwork, autojump_clock: MockClock, log: Log
) -> None:
    ours, theirs = ["10.1.0.1", "10.2.0.1"], ["10.1.0.2", "10.2.0.2"]
    left, right = sctp_network.host(*ours), sctp_network.host(*theirs)
    async with (
        await open_listener(2905, hosts=theirs, options=IMPATIENT, stack=right) as listener,
        await open_association(
            theirs, 2905, local_hosts=ours, options=IMPATIENT, stack=left
        ) as client,
        await listener.accept() as server,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(client.wait_ended)  # what nobody waits for is not read
        nursery.start_soon(server.wait_ended)
        await trio.sleep(10)
        assert log.lines(WARNING) == []
        log.find(rf"{OTHER}: path to 10\.2\.0\.1 port \d+ is confirmed")
        sctp_network.network.set_link("10.1.0.1", "10.1.0.2", Link(up=False))
        await client.send(b"moves over")
        await server.receive()
        await trio.sleep(60)
        log.find(rf"{ONE}: path to 10\.1\.0\.2 port 2905 has potentially failed.*", WARNING)
        log.find(rf"{ONE}: path to 10\.1\.0\.2 port 2905 is unreachable.*", WARNING)
        log.find(
            rf"{ONE}: retransmission to 10\.1\.0\.2 port 2905 after a timeout; RTO 0\.\d+ s", DEBUG
        )
        sctp_network.network.set_link("10.1.0.1", "10.1.0.2", Link())
        await trio.sleep(60)
        log.find(rf"{ONE}: path to 10\.1\.0\.2 port 2905 is available again.*", WARNING)
        nursery.cancel_scope.cancel()


async def test_silence(sctp_network: SimulatedNetwork, autojump_clock: MockClock, log: Log) -> None:
    left, right = sctp_network.host("10.1.0.1"), sctp_network.host("10.1.0.2")
    async with (
        await open_listener(2905, stack=right) as listener,
        await open_association("10.1.0.2", 2905, options=IMPATIENT, stack=left) as client,
        await listener.accept() as server,
    ):
        sctp_network.network.partition(["10.1.0.1"], ["10.1.0.2"])
        with pytest.raises(AssociationLost):
            await client.receive()
        log.find(rf"{ONE} was lost: the peer did not answer, or refused without a reason")
        server.abort()


async def test_a_restart(
    sctp_network: SimulatedNetwork, autojump_clock: MockClock, log: Log
) -> None:
    left, right = sctp_network.host("10.1.0.1"), sctp_network.host("10.1.0.2")
    async with await open_listener(2905, stack=right) as listener:
        before = await open_association("10.1.0.2", 2905, local_port=5000, stack=left)
        server = await listener.accept()
        sctp_network.network.partition(["10.1.0.1"], ["10.1.0.2"])
        before.abort()
        sctp_network.network.heal()
        log.clear()
        async with await open_association("10.1.0.2", 2905, local_port=5000, stack=left):
            with trio.move_on_after(1):
                await server.wait_ended()
            log.find(rf"{ONE} is up; .*")
            log.find(
                r"association 1 with 10\.1\.0\.1 port 5000 was restarted by the peer; streams: .*"
            )
        server.abort()


async def test_packets_that_are_lost(
    sctp_network: SimulatedNetwork, autojump_clock: MockClock, log: Log
) -> None:
    left, right = sctp_network.host("10.1.0.1"), sctp_network.host("10.1.0.2")
    lost = iter([True])
    sctp_network.network.route = lambda packet: [] if next(lost, False) else None
    async with (
        await open_listener(2905, stack=right) as listener,
        await open_association("10.1.0.2", 2905, stack=left) as client,
    ):
        log.find(rf"{ONE}: INIT is sent again", DEBUG)
        server = await listener.accept()
        sizes = iter([0])
        sctp_network.network.route = lambda packet: (
            [] if len(packet.data) > 1000 and next(sizes, None) is not None else None
        )
        for _ in range(20):
            await client.send(bytes(1200))
        for _ in range(20):
            await server.receive()
        log.find(rf"{ONE}: fast retransmission to 10\.1\.0\.2 port 2905", DEBUG)
        server.abort()
        await client.wait_ended()


async def test_packets_that_are_none(
    sctp_network: SimulatedNetwork, autojump_clock: MockClock, log: Log
) -> None:
    left, right = sctp_network.host("10.1.0.1"), sctp_network.host("10.1.0.2")
    async with (
        await open_listener(2905, stack=right) as listener,
        await open_association("10.1.0.2", 2905, stack=left) as client,
        await listener.accept() as server,
    ):
        corrupt = sctp_network.network.default_link
        corrupt.corruption = 1
        for _ in range(5):
            await client.send(b"hello" * 100)
        await trio.sleep(0.01)
        corrupt.corruption = 0
        for _ in range(5):
            await server.receive()
        log.find(rf"{OTHER}: a packet was dropped: wrong CRC32c", WARNING)


async def test_messages_that_are_given_up(
    sctp_network: SimulatedNetwork, autojump_clock: MockClock, log: Log
) -> None:
    left, right = sctp_network.host("10.1.0.1"), sctp_network.host("10.1.0.2")
    async with (
        await open_endpoint(2905, stack=right) as server,
        await open_endpoint(stack=left) as client,
    ):
        server.listen()
        association = await client.connect("10.1.0.2", 2905)
        sctp_network.network.partition(["10.1.0.1"], ["10.1.0.2"])
        for _ in range(3):
            await association.send(b"hello", lifetime=100)
        await trio.sleep(5)
        sctp_network.network.heal()
        for _ in range(3):
            await client.receive()
        log.find(rf"{ONE}: a message of 5 bytes on stream 0 was given up", WARNING)


@pytest.mark.parametrize(
    ("half_open", "fails", "level", "end"),
    [
        (True, True, DEBUG, "the attempt to connect was given up here"),
        (False, True, INFO, "was lost: it was aborted here, as its socket was closed"),
        (False, False, INFO, "ends: its socket was closed while it shut down"),
    ],
)
async def test_associations_that_are_left_with_their_socket(
    half_open: bool, fails: bool, level: int, end: str, log: Log
) -> None:
    """Nothing will be heard of them any more."""
    stack = FakeStack()
    endpoint = await open_endpoint(stack=stack)
    if half_open:
        association = await endpoint.connect_init(*PEER[:2])
        whose = f"association {association.id} with 192.0.2.1 port 2905"
    else:
        stack.sockets[0].arrive(change(7, AssociationState.COMM_UP))
        await endpoint.receive()
        whose = "association 7 with 192.0.2.1 port 2905"
    log.clear()
    if fails:
        with pytest.raises(KeyError):
            async with endpoint:
                raise KeyError
    else:
        await trio.aclose_forcefully(endpoint)
    colon = ":" if half_open else ""
    assert log.lines(level) == [f"{whose}{colon} {end}"]
    assert log.lines(INFO if level == DEBUG else DEBUG) == []


async def test_an_attempt_that_is_closed_with_its_endpoint_is_aborted_here(
    sctp_network: SimulatedNetwork, autojump_clock: MockClock, log: Log
) -> None:
    here = sctp_network.host("10.1.0.1")
    async with await open_endpoint(stack=here) as endpoint:
        association = await endpoint.connect_init("10.1.0.2", 2905)
        assert not association.up
    line = log.find(rf"{ONE} could not be set up: .*", DEBUG)
    assert line.endswith("it was aborted here (user-initiated abort, cause 12)")
    with pytest.raises(trio.ClosedResourceError):
        await association.wait_sent()
