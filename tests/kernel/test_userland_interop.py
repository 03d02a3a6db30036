"""The userland engine and Linux, each the other's peer, over UDP encapsulation (RFC 6951)."""

from __future__ import annotations

import dataclasses
import errno
import json
import random
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple

import pytest
import trio

from trio_sctp import (
    ActiveKey,
    Association,
    AssociationChange,
    AssociationState,
    AuthChunks,
    AuthenticationChange,
    AuthenticationState,
    AuthKey,
    AuthSupported,
    ConnectFailed,
    Endpoint,
    EventSubscription,
    HmacAlgorithm,
    HmacAlgorithms,
    Linger,
    Message,
    Option,
    PathState,
    PeerAddressFlags,
    PeerAddressParams,
    PrStatus,
    ReceiveBuffer,
    SendBuffer,
    ShutdownReceived,
    StatusState,
    open_endpoint,
)
from trio_sctp._engine import Engine, Parameters, wire
from trio_sctp._engine.keys import EMPTY_KEY
from trio_sctp._values import FailedFragment, SendInfo

from ..support.authentication import association_key, is_right
from ..support.udp_carrier import ENGINE_UDP, HOST, KERNEL_UDP, Carrier, carried
from .conftest import snmp

PORT = 5001
"""The engine's SCTP port."""

SIZES = [1, 2, 1000, 1400, 10_000, 65_536, 262_144, 1_048_576]

pytestmark = pytest.mark.usefixtures("encapsulation", "checksums")

LOCAL = Parameters(rto_initial=0.2, rto_min=0.1, rto_max=0.4, sack_delay=0.02)

COMMON = [
    EventSubscription(address_event=False),  # of every loss: a path has potentially failed
    Linger(True, 0),
]
BUFFERS = [*COMMON, SendBuffer(2**21), ReceiveBuffer(2**21)]

Sysctl = Callable[[str, object], None]


def new_engine(**parameters: Any) -> Engine:
    engine = Engine(PORT, [HOST], parameters=dataclasses.replace(LOCAL, **parameters))
    engine.listening = True
    return engine


@asynccontextmanager
async def kernel_endpoint(
    port: int = 0, options: Sequence[Option] = BUFFERS
) -> AsyncIterator[Endpoint]:
    endpoint = await open_endpoint(port, hosts=HOST, options=options, stack="kernel")
    endpoint.listen()
    try:
        yield endpoint
    finally:
        await trio.aclose_forcefully(endpoint)


class Pair(NamedTuple):
    """An association: the engine's side, and the kernel's."""

    carrier: Carrier
    id: int
    endpoint: Endpoint
    association: Association


async def engine_connects(carrier: Carrier, endpoint: Endpoint) -> Pair:
    id = carrier.connect(endpoint.port)
    ours = await carrier.expect(AssociationChange)
    theirs = await endpoint.receive()
    assert (ours.association_id, ours.state) == (id, AssociationState.COMM_UP)
    assert isinstance(theirs, AssociationChange)
    assert theirs.state is AssociationState.COMM_UP
    assert ours.outbound_streams == theirs.inbound_streams
    assert ours.inbound_streams == theirs.outbound_streams
    return Pair(carrier, id, endpoint, endpoint.associations[theirs.association_id])


async def kernel_connects(carrier: Carrier, endpoint: Endpoint) -> Pair:
    association = await endpoint.connect(HOST, carrier.engine.port)
    ours = await carrier.expect(AssociationChange)
    assert ours.state is AssociationState.COMM_UP
    assert ours.outbound_streams == association.inbound_streams
    assert ours.inbound_streams == association.outbound_streams
    return Pair(carrier, ours.association_id, endpoint, association)


ROLES = {"engine connects": engine_connects, "kernel connects": kernel_connects}


@asynccontextmanager
async def associated(
    role: str = "engine connects", options: Sequence[Option] = BUFFERS, **parameters: Any
) -> AsyncIterator[Pair]:
    async with (
        carried(new_engine(**parameters)) as carrier,
        kernel_endpoint(options=options) as endpoint,
    ):
        yield await ROLES[role](carrier, endpoint)


@pytest.fixture(params=ROLES)
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """An association, set up by either side."""
    async with associated(request.param) as pair:
        yield pair


async def kernel_receives(endpoint: Endpoint) -> Message:
    message = await endpoint.receive()
    assert isinstance(message, Message), message
    return message


# -- messages ---


async def test_set_up(pair: Pair) -> None:
    carrier, id, endpoint, association = pair
    assert carrier.engine.status(id).state is StatusState.ESTABLISHED
    assert association.status().state is StatusState.ESTABLISHED
    assert association.peer_addresses == [(HOST, PORT)]
    assert carrier.engine.status(id).primary.address == (HOST, endpoint.port)
    await carrier.send(id, b"to the kernel")
    await association.send(b"to the engine")
    assert (await kernel_receives(endpoint)).data == b"to the kernel"
    assert (await carrier.expect(Message)).data == b"to the engine"


async def test_messages_of_any_size_are_whole_and_in_order(pair: Pair) -> None:
    carrier, id, endpoint, association = pair
    messages = [random.Random(size).randbytes(size) for size in SIZES]

    async def engine_sends() -> None:
        for data in messages:
            await carrier.send(id, data)

    async def kernel_sends() -> None:
        for data in messages:
            await association.send(data)

    async def engine_takes() -> None:
        for data in messages:
            assert (await carrier.expect(Message)).data == data

    async def kernel_takes() -> None:
        for data in messages:
            assert (await kernel_receives(endpoint)).data == data

    async with trio.open_nursery() as nursery:
        for task in (engine_sends, kernel_sends, engine_takes, kernel_takes):
            nursery.start_soon(task)


async def test_streams_and_identifiers(pair: Pair) -> None:
    carrier, id, endpoint, association = pair
    how = [
        (stream, stream * 0x11111111, number)
        for number in range(3)
        for stream in range(association.outbound_streams)
    ]
    for stream, ppid, _ in how:
        await carrier.send(id, b"%d" % stream, stream=stream, ppid=ppid)
        await association.send(b"%d" % stream, stream=stream, ppid=ppid)
    for stream, ppid, ssn in how:
        for message in (await carrier.expect(Message), await kernel_receives(endpoint)):
            assert message.data == b"%d" % stream
            assert (message.stream, message.ppid, message.ssn) == (stream, ppid, ssn)
            assert not message.unordered


async def test_unordered_messages(pair: Pair) -> None:
    """They do not wait for an ordered one whose packet was lost."""
    carrier, id, endpoint, association = pair
    lost = Counter[bool]()

    def lose_the_first(packet: wire.Packet, outbound: bool) -> bool:
        if any(isinstance(chunk, wire.Data) for chunk in packet.chunks):
            lost[outbound] += 1
            return lost[outbound] == 1
        return False

    carrier.lose = lose_the_first
    await carrier.send(id, b"ordered")
    await association.send(b"ordered")
    await carrier.until(lambda: len(lost) == 2)
    await carrier.send(id, b"unordered", unordered=True, ppid=7)
    await association.send(b"unordered", unordered=True, ppid=7)
    for unordered in (True, False):
        for message in (await carrier.expect(Message), await kernel_receives(endpoint)):
            assert message.unordered is unordered
            assert message.data == (b"unordered" if unordered else b"ordered")
            assert message.ppid == (7 if unordered else 0)


# -- the end ---


async def test_the_engine_shuts_down(pair: Pair) -> None:
    carrier, id, endpoint, association = pair
    await carrier.send(id, bytes(10_000))
    carrier.shutdown(id)
    assert len((await kernel_receives(endpoint)).data) == 10_000
    assert isinstance(await endpoint.receive(), ShutdownReceived)
    assert (await association.wait_ended()).graceful
    assert (await carrier.expect(AssociationChange)).state is AssociationState.SHUTDOWN_COMP
    assert not carrier.engine.associations
    assert not endpoint.associations
    assert len(carrier.chunks(wire.ShutdownComplete, outbound=True)) == 1


async def test_the_kernel_shuts_down(pair: Pair) -> None:
    carrier, _, endpoint, association = pair
    await association.send(bytes(10_000))
    await association.eof()
    assert len((await carrier.expect(Message)).data) == 10_000
    await carrier.expect(ShutdownReceived)
    assert (await carrier.expect(AssociationChange)).state is AssociationState.SHUTDOWN_COMP
    assert (await association.wait_ended()).graceful
    assert not carrier.engine.associations
    assert not endpoint.associations
    assert len(carrier.chunks(wire.ShutdownComplete, outbound=False)) == 1


async def test_both_shut_down_at_once() -> None:
    async with associated() as (carrier, id, _, association):
        held: list[wire.Packet] = []

        def lose_the_first(packet: wire.Packet, outbound: bool) -> bool:
            is_shutdown = any(isinstance(chunk, wire.Shutdown) for chunk in packet.chunks)
            if not outbound and is_shutdown and not held:
                held.append(packet)
                return True
            return False

        carrier.lose = lose_the_first
        await association.eof()
        await carrier.until(lambda: bool(held))
        carrier.shutdown(id)
        assert (await association.wait_ended()).graceful
        change = await carrier.expect(AssociationChange)
        assert change.state is AssociationState.SHUTDOWN_COMP


async def test_the_engine_aborts(pair: Pair) -> None:
    carrier, id, _, association = pair
    carrier.abort(id, b"enough\xff")
    end = await association.wait_ended()
    assert (end.state, end.cause) == (AssociationState.COMM_LOST, 12)
    assert end.reason == b"enough\xff"
    change = await carrier.expect(AssociationChange)
    assert (change.state, change.error) == (AssociationState.COMM_LOST, 12)


async def test_the_kernel_aborts(pair: Pair) -> None:
    carrier, _, _, association = pair
    association.abort(b"enough\xff")
    change = await carrier.expect(AssociationChange)
    assert (change.state, change.error) == (AssociationState.COMM_LOST, 12)
    assert change.reason == b"enough\xff"
    assert not carrier.engine.associations


async def test_nobody_listens() -> None:
    """Neither there nor here."""
    engine = new_engine()
    engine.listening = False
    async with carried(engine) as carrier, kernel_endpoint() as endpoint:
        endpoint.stop_listening()
        carrier.connect(endpoint.port)
        change = await carrier.expect(AssociationChange)
        assert change.state is AssociationState.CANT_ASSOC
        with pytest.raises(ConnectFailed) as refused:
            await endpoint.connect(HOST, PORT)
        assert refused.value.errno == errno.ECONNREFUSED


# -- restarts ---


async def test_an_engine_that_starts_anew(pair: Pair) -> None:
    carrier, id, endpoint, association = pair
    await carrier.send(id, b"before")
    assert (await kernel_receives(endpoint)).ssn == 0
    carrier.engine = new_engine()
    id = carrier.connect(endpoint.port)
    assert (await carrier.expect(AssociationChange)).state is AssociationState.COMM_UP
    change = await endpoint.receive()
    assert isinstance(change, AssociationChange)
    assert (change.state, change.association_id) == (AssociationState.RESTART, association.id)
    await carrier.send(id, b"after")
    message = await kernel_receives(endpoint)
    assert (message.data, message.ssn) == (b"after", 0)
    await association.send(b"on the same handle")
    assert (await carrier.expect(Message)).data == b"on the same handle"


async def test_an_engine_that_starts_anew_without_authentication() -> None:
    """The kernel tells that by the option alone."""
    events = EventSubscription(authentication_event=True)
    async with kernel_endpoint(options=[*COMMON, AuthChunks([0]), events]) as endpoint:
        endpoint.listen()
        async with carried(new_engine()) as carrier:
            carrier.connect(endpoint.port)
            change = await endpoint.receive()
            assert isinstance(change, AssociationChange)
            assert change.state is AssociationState.COMM_UP
            (association,) = endpoint.associations.values()
            assert association.get_option(AuthSupported) == AuthSupported(True)
            carrier.engine = new_engine(authentication=False)
            id = carrier.connect(endpoint.port)
            change = await endpoint.receive()
            assert isinstance(change, AssociationChange)
            assert change.state is AssociationState.RESTART
            assert association.get_option(AuthSupported) == AuthSupported(False)
            await carrier.send(id, b"as ever")
            assert (await kernel_receives(endpoint)).data == b"as ever"


async def test_a_kernel_that_starts_anew(pair: Pair) -> None:
    carrier, id, endpoint, association = pair
    await association.send(b"before")
    assert (await carrier.expect(Message)).ssn == 0
    port = endpoint.port
    carrier.lose = lambda packet, outbound: not outbound
    await trio.aclose_forcefully(endpoint)
    await carrier.send(id, b"to nobody")
    carrier.lose = lambda packet, outbound: any(isinstance(c, wire.Abort) for c in packet.chunks)
    async with kernel_endpoint(port) as endpoint:
        association = await endpoint.connect(HOST, PORT)
        assert (await carrier.expect(FailedFragment)).data == b"to nobody"
        change = await carrier.expect(AssociationChange)
        assert (change.state, change.association_id) == (AssociationState.RESTART, id)
        await association.send(b"after")
        message = await carrier.expect(Message)
        assert (message.data, message.ssn, message.association_id) == (b"after", 0, id)
        await carrier.send(id, b"on the same id")
        assert (await kernel_receives(endpoint)).data == b"on the same id"


async def test_a_restart_of_the_engine_from_another_udp_port(pair: Pair) -> None:
    """RFC 6951 section 5.4: it is refused, with cause 14."""
    carrier, id, endpoint, _ = pair
    async with carried(new_engine(), ENGINE_UDP + 1) as other:
        other.connect(endpoint.port)
        change = await other.expect(AssociationChange)
        assert (change.state, change.error) == (AssociationState.CANT_ASSOC, 14)
    await carrier.send(id, b"still there")
    assert (await kernel_receives(endpoint)).data == b"still there"


async def test_a_restart_of_the_kernel_from_another_udp_port(pair: Pair, sysctl: Sysctl) -> None:
    """Nobody answers at the old port any more, so it is served."""
    carrier, id, endpoint, _ = pair
    port = endpoint.port
    carrier.lose = lambda packet, outbound: not outbound
    await trio.aclose_forcefully(endpoint)
    sysctl("net.sctp.udp_port", KERNEL_UDP + 2)
    carrier.lose = lambda packet, outbound: (
        not outbound and any(isinstance(c, wire.Abort) for c in packet.chunks)
    )
    async with kernel_endpoint(port) as endpoint:
        await endpoint.connect(HOST, PORT)
        lost, up = await carrier.expect(AssociationChange), await carrier.expect(AssociationChange)
        assert (lost.association_id, lost.state) == (id, AssociationState.COMM_LOST)
        assert up.state is AssociationState.COMM_UP
        await carrier.send(up.association_id, b"to the new one")
        assert (await kernel_receives(endpoint)).data == b"to the new one"


# -- paths ---


async def test_the_kernel_answers_heartbeats(pair: Pair) -> None:
    carrier, id, _, _ = pair
    for count in range(1, 4):
        carrier.engine.request_heartbeat(id, HOST, carrier.now)
        carrier.step()
        await carrier.until(
            lambda count=count: len(carrier.chunks(wire.HeartbeatAck, outbound=False)) == count  # type: ignore[misc]
        )
    sent = carrier.chunks(wire.Heartbeat, outbound=True)
    answers = carrier.chunks(wire.HeartbeatAck, outbound=False)
    assert [one.info for one in sent] == [one.info for one in answers]
    path = carrier.engine.status(id).primary
    assert path.state is PathState.ACTIVE
    assert path.rto == 100


async def test_the_engine_answers_heartbeats(pair: Pair) -> None:
    """More of them than could fail without the kernel's giving the path up."""
    carrier, _, _, association = pair
    association.set_option(
        PeerAddressParams(hbinterval=10, pathmaxrxt=1, flags=PeerAddressFlags.HB_ENABLE)
    )
    await carrier.until(lambda: len(carrier.chunks(wire.HeartbeatAck, outbound=True)) >= 4)
    heartbeats = carrier.chunks(wire.Heartbeat, outbound=False)
    answers = carrier.chunks(wire.HeartbeatAck, outbound=True)
    assert [one.info for one in heartbeats] == [one.info for one in answers]
    (path,) = association.paths()
    assert path.state is PathState.ACTIVE


# -- partial reliability ---


def lose_data(outbound: bool) -> Callable[[wire.Packet, bool], bool]:
    def lose(packet: wire.Packet, is_outbound: bool) -> bool:
        return is_outbound is outbound and any(isinstance(c, wire.Data) for c in packet.chunks)

    return lose


def lose_nothing(packet: wire.Packet, outbound: bool) -> bool:
    return False


def counts(status: PrStatus) -> list[tuple[int, int]]:
    return [(n.sent, n.unsent) for n in (status.lifetime, status.retransmissions, status.priority)]


@pytest.mark.parametrize("size", [10, 5000])
@pytest.mark.parametrize("policy", [{"lifetime": 20}, {"retransmissions": 0}], ids=str)
async def test_the_engine_gives_messages_up(pair: Pair, size: int, policy: dict[str, Any]) -> None:
    carrier, id, endpoint, _ = pair
    carrier.lose = lose_data(outbound=True)
    await carrier.send(id, bytes(size), stream=1, **policy)
    await carrier.send(id, bytes(size), unordered=True, **policy)
    failures = [await carrier.expect(FailedFragment) for _ in range(2)]
    assert [len(failed.data) for failed in failures] == [size, size]
    carrier.lose = lose_nothing
    await carrier.send(id, b"next", stream=1)
    message = await kernel_receives(endpoint)
    assert (message.data, message.ssn) == (b"next", 1)
    assert carrier.chunks(wire.ForwardTsn, outbound=True)
    await carrier.until(lambda: carrier.engine.status(id).unackdata == 0)


@pytest.mark.parametrize(
    ("size", "policy", "expected"),
    [
        (10, {"lifetime": 20}, [(2, 0), (0, 0), (0, 0)]),
        (100_000, {"lifetime": 20}, [(2, 0), (0, 0), (0, 0)]),
        (10, {"retransmissions": 0}, [(0, 0), (2, 0), (0, 0)]),
    ],
    ids=["small lifetime", "large lifetime", "retransmissions"],
)
async def test_the_kernel_gives_messages_up(
    pair: Pair, size: int, policy: dict[str, Any], expected: list[tuple[int, int]]
) -> None:
    carrier, id, _, association = pair
    carrier.lose = lose_data(outbound=False)
    await association.send(bytes(size), stream=1, **policy)
    await association.send(bytes(size), unordered=True, **policy)
    await carrier.until(lambda: bool(carrier.chunks(wire.ForwardTsn, outbound=False)))
    carrier.lose = lose_nothing
    await association.send(b"next", stream=1)
    message = await carrier.expect(Message)
    assert (message.data, message.ssn, message.association_id) == (b"next", 1, id)
    assert counts(association.get_option(PrStatus)) == expected
    (on_1, on_0) = (association.get_option(PrStatus, stream=stream) for stream in (1, 0))
    sums = zip(counts(on_1), counts(on_0), strict=True)
    assert [(a[0] + b[0], a[1] + b[1]) for a, b in sums] == expected


SMALL = 20_000
"""A send buffer for few messages of 1000 bytes; Linux doubles it, and counts more than payload."""

LESS_URGENT, URGENT = 9, 1


@pytest.mark.parametrize("role", ROLES)
async def test_the_engine_gives_up_what_is_less_urgent(role: str) -> None:
    """What was sent before, and what was not: for messages that take the room of all of it."""
    async with associated(role, send_buffer=SMALL) as (carrier, id, endpoint, association):
        carrier.lose = lose_data(outbound=True)
        info = SendInfo(1, 0, False, 0, 0, priority=LESS_URGENT)
        count = 0
        with pytest.raises(BlockingIOError):
            while True:
                carrier.engine.send(id, bytes(1000), info, carrier.now)
                count += 1
        carrier.step()
        assert carrier.chunks(wire.Data, outbound=True)
        urgent = [b"%d" % number * 500 for number in range(10, 10 + count)]
        for data in urgent:
            await carrier.send(id, data, stream=1, priority=URGENT)
        for _ in range(count):
            assert (await carrier.expect(FailedFragment)).data == bytes(1000)
        carrier.lose = lose_nothing
        assert [(await kernel_receives(endpoint)).data for _ in urgent] == urgent
        await carrier.until(lambda: carrier.engine.status(id).unackdata == 0)
        assert carrier.chunks(wire.ForwardTsn, outbound=True)
        await association.send(b"back")
        assert (await carrier.expect(Message)).data == b"back"


@pytest.mark.parametrize("role", ROLES)
async def test_the_kernel_gives_up_what_is_less_urgent(role: str) -> None:
    options = [*COMMON, SendBuffer(SMALL), ReceiveBuffer(2**21)]
    async with associated(role, options) as (carrier, id, endpoint, association):
        carrier.lose = lose_data(outbound=False)
        count = 0
        with pytest.raises(trio.WouldBlock):
            while True:
                association.send_nowait(bytes(1000), stream=1, priority=LESS_URGENT)
                count += 1
        urgent = [b"%d" % number * 500 for number in range(10, 10 + count)]
        for data in urgent:
            await association.send(data, stream=1, priority=URGENT)
        carrier.lose = lose_nothing
        got = [(await carrier.expect(Message)).data]
        while got[-1] != urgent[-1]:
            got.append((await carrier.expect(Message)).data)
        assert [data for data in got if data in urgent] == urgent
        assert len(got) < count + len(urgent)
        assert carrier.chunks(wire.ForwardTsn, outbound=False)
        given_up = association.get_option(PrStatus).priority
        assert given_up.sent + given_up.unsent == count + len(urgent) - len(got)
        await association.wait_sent()
        await carrier.send(id, b"back")
        assert (await kernel_receives(endpoint)).data == b"back"


# -- loss ---


def lose_some(seed: int, share: float) -> Callable[[wire.Packet, bool], bool]:
    chance = random.Random(seed)
    return lambda packet, outbound: chance.random() < share


async def test_messages_are_in_order_in_spite_of_loss(pair: Pair) -> None:
    carrier, id, endpoint, association = pair
    carrier.lose = lose_some(seed=1, share=0.05)
    numbers = range(200)
    for n in numbers:
        await carrier.send(id, b"%d" % n * 100, stream=n % 5)
        await association.send(b"%d" % n * 100, stream=n % 5)
    received: list[list[Message]] = [[], []]
    for _ in numbers:
        received[0].append(await carrier.expect(Message))
        received[1].append(await kernel_receives(endpoint))
    for messages in received:
        for stream in range(5):
            expected = [b"%d" % n * 100 for n in numbers if n % 5 == stream]
            assert [m.data for m in messages if m.stream == stream] == expected


async def test_a_large_message_is_whole_in_spite_of_loss(pair: Pair) -> None:
    carrier, id, endpoint, association = pair
    # In packets of the engine's size, so that some are lost.
    association.set_option(PeerAddressParams(pathmtu=1280, flags=PeerAddressFlags.PMTUD_DISABLE))
    carrier.lose = lose_some(seed=2, share=0.05)
    data = random.Random(0).randbytes(300_000)
    await carrier.send(id, data)
    assert (await kernel_receives(endpoint)).data == data
    await association.send(data)
    assert (await carrier.expect(Message)).data == data


# -- a link that loses (netem) ---


def tc(command: str) -> bytes:
    return subprocess.run(["tc", *command.split()], check=True, capture_output=True).stdout


@contextmanager
def netem(settings: str) -> Iterator[None]:
    """For all that passes through the loopback interface."""
    tc(f"qdisc add dev lo root netem {settings}")
    try:
        yield
    finally:
        tc("qdisc delete dev lo root")


def lost_by_netem() -> int:
    (qdisc,) = json.loads(tc("-s -j qdisc show dev lo"))
    assert qdisc["kind"] == "netem"
    return int(qdisc["drops"])


@pytest.fixture
def lossy(sysctl: Sysctl) -> Iterator[None]:
    """Neither side gives up: chance is to decide how long it takes, not whether it succeeds."""
    for name in ("association_max_retrans", "path_max_retrans", "max_init_retransmits"):
        sysctl(f"net.sctp.{name}", 1000)
    with netem("loss 20% delay 5ms"):
        yield


@pytest.mark.usefixtures("lossy")
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("who_ends", ["engine", "kernel"])
async def test_a_link_that_loses_a_fifth(role: str, who_ends: str) -> None:
    """From the INIT to the SHUTDOWN COMPLETE."""
    streams, numbers = range(5), range(80)
    messages = [random.Random(n).randbytes(10 + 30 * n) for n in numbers]
    patience = dict.fromkeys(
        ("association_max_retrans", "path_max_retrans", "max_init_retrans"), 1000
    )
    received: dict[str, list[Message]] = {"engine": [], "kernel": []}
    retransmitted = snmp("SctpT3Retransmits") + snmp("SctpFastRetransmits")
    async with associated(role, BUFFERS, **patience) as (carrier, id, endpoint, association):

        async def engine_sends() -> None:
            for n in numbers:
                await carrier.send(id, messages[n], stream=n % len(streams))

        async def kernel_sends() -> None:
            for n in numbers:
                await association.send(messages[n], stream=n % len(streams))

        async def engine_takes() -> None:
            for _ in numbers:
                received["engine"].append(await carrier.expect(Message))

        async def kernel_takes() -> None:
            for _ in numbers:
                received["kernel"].append(await kernel_receives(endpoint))

        async with trio.open_nursery() as nursery:
            for task in (engine_sends, kernel_sends, engine_takes, kernel_takes):
                nursery.start_soon(task)
        for taken in received.values():
            for stream in streams:
                expected = messages[stream :: len(streams)]
                assert [m.data for m in taken if m.stream == stream] == expected

        if who_ends == "engine":
            carrier.shutdown(id)
            assert isinstance(await endpoint.receive(), ShutdownReceived)
        else:
            await association.eof()
            await carrier.expect(ShutdownReceived)
        assert (await association.wait_ended()).graceful
        change = await carrier.expect(AssociationChange)
        assert change.state is AssociationState.SHUTDOWN_COMP
        sent = [chunk.tsn for chunk in carrier.chunks(wire.Data, outbound=True)]
        assert len(sent) > len(set(sent))
    assert snmp("SctpT3Retransmits") + snmp("SctpFastRetransmits") > retransmitted
    assert lost_by_netem() > 0


# -- windows ---


async def test_a_kernel_that_does_not_read() -> None:
    options = [*COMMON, SendBuffer(2**21), ReceiveBuffer(20_000)]
    async with associated(options=options) as (carrier, id, endpoint, _):
        messages = [b"%d" % n * 300 for n in range(200)]
        for data in messages:
            await carrier.send(id, data)
        await carrier.until(
            lambda: any(sack.rwnd == 0 for sack in carrier.chunks(wire.Sack, outbound=False))
        )
        assert carrier.engine.status(id).unackdata < 200
        for data in messages:
            assert (await kernel_receives(endpoint)).data == data


async def test_an_engine_that_does_not_read() -> None:
    async with associated(receive_window=20_000) as (carrier, _, _, association):
        messages = [b"%d" % n * 300 for n in range(200)]
        for data in messages:
            await association.send(data)
        await carrier.until(
            # What was promised is told, however little of it is left: less than a message.
            lambda: any(sack.rwnd < 300 for sack in carrier.chunks(wire.Sack, outbound=True))
        )
        for data in messages:
            assert (await carrier.expect(Message)).data == data


@pytest.mark.parametrize("role", ROLES)
async def test_set_up_and_shutdown_in_spite_of_loss(role: str) -> None:
    """The first packet of each kind is lost."""
    lost = set[str]()

    def lose_the_first(packet: wire.Packet, outbound: bool) -> bool:
        kind = type(packet.chunks[0]).__name__
        if kind in lost:
            return False
        lost.add(kind)
        return True

    async with carried(new_engine()) as carrier, kernel_endpoint() as endpoint:
        carrier.lose = lose_the_first
        _, id, _, association = await ROLES[role](carrier, endpoint)
        carrier.shutdown(id)
        assert (await association.wait_ended()).graceful
        change = await carrier.expect(AssociationChange)
        assert change.state is AssociationState.SHUTDOWN_COMP
    set_up = {"Init", "InitAck", "CookieEcho", "CookieAck"}
    assert lost == set_up | {"Shutdown", "ShutdownAck", "ShutdownComplete"}


# -- authentication (RFC 4895) ---

EVERYTHING = [0, 3, 4, 5, 6, 7, 8, 9, 10, 11]
"""The types of all chunks that may be authenticated."""
SECRET = b"what both of them know"


@pytest.mark.parametrize("algorithm", HmacAlgorithm)
@pytest.mark.parametrize("types", [[0], [0, 3], EVERYTHING], ids=["DATA", "DATA, SACK", "all"])
@pytest.mark.parametrize("role", ROLES)
async def test_authenticated_chunks(role: str, types: list[int], algorithm: HmacAlgorithm) -> None:
    """In both directions, with a shared key and each algorithm, while packets are lost.

    Every HMAC of either is computed here, too.
    """
    algorithms = [algorithm, *(one for one in HmacAlgorithm if one is not algorithm)]
    options = [
        *BUFFERS,
        AuthChunks(types),
        HmacAlgorithms(algorithms),
        AuthKey(5, SECRET),
        ActiveKey(5),
    ]
    keys = EMPTY_KEY.set(5, SECRET).activate(5)
    async with associated(
        role,
        options=options,
        auth_chunks=tuple(types),
        shared_keys=keys,
        hmac_algorithms=tuple(int(one) for one in algorithms),
    ) as (carrier, id, endpoint, association):
        chance = random.Random(1)
        carrier.lose = lambda packet, outbound: chance.random() < 0.05
        for size in SIZES[:6]:
            data = random.Random(size).randbytes(size)
            await carrier.send(id, data)
            assert (await kernel_receives(endpoint)).data == data
            await association.send(data)
            assert (await carrier.expect(Message)).data == data
        carrier.lose = lambda packet, outbound: False
        ours, theirs = (carrier.chunks(wire.Init, outbound=who)[0] for who in (True, False))
        key = association_key(SECRET, ours.parameters, theirs.parameters)
        for outbound in True, False:
            auths = carrier.chunks(wire.Auth, outbound=outbound)
            assert {(auth.key, auth.hmac) for auth in auths} == {(5, algorithm)}
            assert all(is_right(auth.packet, auth.offset, key) for auth in auths)
        carrier.shutdown(id)
        assert (await association.wait_ended()).graceful
        change = await carrier.expect(AssociationChange)
        assert change.state is AssociationState.SHUTDOWN_COMP


@pytest.mark.parametrize("role", ROLES)
async def test_keys_change_while_messages_are_exchanged(role: str) -> None:
    options = [
        *BUFFERS,
        EventSubscription(authentication_event=True),
        AuthChunks([0]),
        AuthKey(1, b"first"),
        ActiveKey(1),
    ]
    keys = EMPTY_KEY.set(1, b"first").activate(1)
    async with associated(
        role, options=options, auth_chunks=(0,), shared_keys=keys, report_keys=True
    ) as (carrier, id, endpoint, association):
        own = carrier.engine.associations[id].parameters
        for key in 2, 3:
            secret = b"secret %d" % key
            association.set_option(AuthKey(key, secret))
            own.shared_keys = own.shared_keys.set(key, secret)
            association.set_option(ActiveKey(key))
            await association.send(b"new from the kernel")
            change = await carrier.expect(AuthenticationChange)
            assert change.keynumber == key
            assert change.indication is AuthenticationState.NEW_KEY
            assert (await carrier.expect(Message)).data == b"new from the kernel"
            own.shared_keys = own.shared_keys.activate(key)
            await carrier.send(id, b"new from the engine")
            message = await endpoint.receive()
            while isinstance(message, AuthenticationChange):
                message = await endpoint.receive()
            assert isinstance(message, Message)
            own.shared_keys = own.shared_keys.delete(key - 1)


async def test_a_kernel_with_another_secret_is_not_heard() -> None:
    options = [*BUFFERS, AuthChunks([0]), AuthKey(1, b"a guess"), ActiveKey(1)]
    keys = EMPTY_KEY.set(1, SECRET).activate(1)
    async with associated(options=options, auth_chunks=(0,), shared_keys=keys) as (
        carrier,
        id,
        endpoint,
        association,
    ):
        await association.send(b"wrong")
        await carrier.send(id, b"wrong, too")
        association.set_option(ActiveKey(0))
        await association.send(b"right", unordered=True)
        assert (await carrier.expect(Message)).data == b"right"
        own = carrier.engine.associations[id].parameters
        own.shared_keys = own.shared_keys.activate(0)
        await carrier.send(id, b"right", unordered=True)
        assert (await kernel_receives(endpoint)).data == b"right"
