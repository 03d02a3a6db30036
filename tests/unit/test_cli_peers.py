"""What the command line makes of peers that send nonsense, or nothing."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import click
import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

from trio_sctp import AssociationChannel, Listener, open_association, open_listener
from trio_sctp._cli.interrupting import Interrupts
from trio_sctp._cli.iperf3 import COOKIE_SIZE, CREATE_STREAMS, PARAM_EXCHANGE, Control, _serve_one
from trio_sctp._cli.measuring import Load
from trio_sctp._cli.peers import one_of_many
from trio_sctp._cli.perf import HELLO, WELCOME, measure
from trio_sctp._cli.untrusted import LONGEST, fields
from trio_sctp.testing import SimulatedNetwork, simulated_network

CLIENT, SERVER = "192.0.2.1", "192.0.2.2"
KINDS = {"size": int, "seconds": float}

# -- JSON --------------------------------------------------------------------------------------


def test_fields_of_an_object() -> None:
    text = b'{"size": 1, "seconds": 2, "other": [], "more": true}'
    assert fields(text, KINDS) == {"size": 1, "seconds": 2}
    assert fields({"size": 1}, {}, {"size": int, "more": bool}) == {"size": 1}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b" " * (LONGEST + 1),
        b"[1]",
        b'{"size": 1}',
        *(
            b'{"size": %b, "seconds": 1}' % value
            for value in (b'"x"', b"null", b"true", b"1.5", b"-1", b"1" * 30, b"1" * 5000)
        ),
        *(
            b'{"size": 1, "seconds": %b}' % value
            for value in (b"NaN", b"Infinity", b"1e999", b"-1", b"true", b"[]")
        ),
    ],
    ids=lambda text: repr(text[:40]),
)
def test_what_is_not_as_it_should_be(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is nobody's business
        fields(text, KINDS)


def test_flags_and_lists() -> None:
    assert fields(b'{"a": true, "b": []}', {"a": bool, "b": list}) == {"a": True, "b": []}
    for text in b'{"a": 1, "b": []}', b'{"a": true, "b": 0}':
        with pytest.raises(ValueError, match="has a wrong value"):
            fields(text, {"a": bool, "b": list})


# -- one of many -------------------------------------------------------------------------------


@pytest.fixture
async def network() -> AsyncIterator[SimulatedNetwork]:
    async with simulated_network() as network:
        yield network


@pytest.fixture
async def ends(
    network: SimulatedNetwork,
) -> AsyncIterator[tuple[AssociationChannel, AssociationChannel]]:
    """A client's end of an association, and the server's."""
    client, server = network.host(CLIENT), network.host(SERVER)
    async with await open_listener(5201, stack=server) as listener:
        channel = await open_association(SERVER, 5201, stack=client)
        peer = await listener.accept()
        yield channel, peer
        channel.abort()
        peer.abort()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is told."""
    told: list[str] = []
    monkeypatch.setattr("trio_sctp._cli.peers.tell", told.append)
    return told


@pytest.mark.parametrize(
    "error",
    [
        ValueError("wrong\x1b"),
        click.ClickException("wrong\x1b"),
        ExceptionGroup("", [ExceptionGroup("", [ValueError("wrong\x1b")])]),
    ],
)
async def test_a_fault_of_one_is_a_line(
    ends: tuple[AssociationChannel, AssociationChannel],
    said: list[str],
    error: Exception,
) -> None:
    channel, peer = ends
    with one_of_many(peer):
        raise error
    assert said == ["* wrong\\x1b"]
    assert (await channel.wait_ended()).reason == b"wrong\x1b"


def test_a_fault_of_ours_is_none_of_one_peer() -> None:
    with pytest.raises(KeyError), one_of_many():
        raise KeyError


# -- perf --------------------------------------------------------------------------------------


async def test_a_server_that_does_not_answer(
    autojump_clock: MockClock,
    ends: tuple[AssociationChannel, AssociationChannel],
) -> None:
    channel, peer = ends
    begun = trio.current_time()
    with pytest.raises(click.ClickException, match="not answered within 5 s; -W waits longer"):
        await measure(channel, 1000, 1, 5, Interrupts())
    assert trio.current_time() - begun == pytest.approx(5, abs=0.1)
    assert not (await peer.wait_ended()).graceful


@pytest.mark.parametrize("cut", [True, False])
async def test_a_server_that_acknowledges_nothing_more(
    autojump_clock: MockClock,
    network: SimulatedNetwork,
    ends: tuple[AssociationChannel, AssociationChannel],
    cut: bool,
) -> None:
    """It is cut off, or takes nothing out of its buffer, so that its window closes."""
    channel, _ = ends
    if cut:
        network.network.partition([CLIENT], [SERVER])
    with pytest.raises(click.ClickException, match="has acknowledged nothing for 5 s"):
        await Load(1000).send(channel, 1000, 5, Interrupts())


async def test_a_slow_server_is_waited_for(
    autojump_clock: MockClock,
    ends: tuple[AssociationChannel, AssociationChannel],
) -> None:
    """A load that takes longer than the patience, as something is acknowledged all the time."""
    channel, peer = ends
    load, begun = Load(1000), trio.current_time()

    async def drain() -> None:
        while True:
            await peer.receive_batch()
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drain)
        await load.send(channel, 20, 5, Interrupts())
        nursery.cancel_scope.cancel()
    assert load.sent > 0
    assert trio.current_time() - begun > 20


async def test_greeting(ends: tuple[AssociationChannel, AssociationChannel]) -> None:
    channel, peer = ends
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.send, HELLO)
        with pytest.raises(click.ClickException, match="is no `trio-sctp perf server`"):
            await measure(channel, 1000, 1, 5, Interrupts())
    assert WELCOME != HELLO  # or whoever echoes would be one


# -- iperf3 ------------------------------------------------------------------------------------


@pytest.fixture
async def listener(network: SimulatedNetwork) -> AsyncIterator[Listener]:
    async with await open_listener(5201, stack=network.host(SERVER)) as listener:
        yield listener


async def setting_up(stream: trio.abc.Stream, parameters: bytes) -> None:
    await stream.send_all(bytes(COOKIE_SIZE))
    assert await stream.receive_some(1) == bytes([PARAM_EXCHANGE])
    await stream.send_all(struct.pack("!I", len(parameters)) + parameters)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        (b'{"sctp": true, "parallel": "x"}', "what came is not from iperf3"),
        (b"[1]", "what came is not from iperf3"),
        (b"[" * 100_000, "what came is not from iperf3"),
        (b'{"sctp": true, "parallel": 1000}', "a client was refused"),
        (b"{}", "a client was refused"),
    ],
    ids=lambda value: repr(value[:30]),
)
async def test_parameters_that_are_none(
    listener: Listener, said: list[str], parameters: bytes, text: str
) -> None:
    theirs, ours = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(setting_up, theirs, parameters)
        with one_of_many():
            await _serve_one(Control(ours), listener)
    (line,) = said
    assert line.startswith(f"* {text}")


async def _leave(stream: trio.abc.Stream) -> None:
    await stream.aclose()


async def _give_up(stream: trio.abc.Stream) -> None:
    await stream.send_all(b"\x0c")


async def _stay(stream: trio.abc.Stream) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("how", "text"),
    [
        (_leave, "iperf3 has closed its control connection"),
        (_give_up, "a client has given up its test"),
        (_stay, "a client has not set up its test within 10 s"),
    ],
)
async def test_a_client_that_does_not_connect(
    autojump_clock: MockClock,
    listener: Listener,
    said: list[str],
    how: Callable[[trio.abc.Stream], Awaitable[None]],
    text: str,
) -> None:
    theirs, ours = memory_stream_pair()
    served = trio.Event()

    async def serve() -> None:
        with one_of_many():
            await _serve_one(Control(ours), listener)
        served.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        await setting_up(theirs, json.dumps({"sctp": True}).encode())
        assert await theirs.receive_some(1) == bytes([CREATE_STREAMS])
        nursery.start_soon(how, theirs)
        await served.wait()
        nursery.cancel_scope.cancel()
    assert said == [f"* {text}"]
