"""The short programs in examples, on every stack: what each promises at its head."""

from __future__ import annotations

import ast
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing

import trio_sctp
from examples import chat, draining, echo, failover, relay, resending, retrying
from trio_sctp import AssociationChannel, AssociationLost, ConnectFailed, Endpoint, InitMsg
from trio_sctp.testing import SimulatedNetwork, simulated_network

from .conformance.helpers import until
from .support.all_stacks import ON_ALL_STACKS

HOSTS = "127.0.0.1", "127.0.0.2"
HOST = HOSTS[0]
PORT, UPSTREAM = 2006, 2007
EXAMPLES = Path(echo.__file__).parent
PROGRAMS = "echo", "retrying", "draining", "chat", "resending", "failover", "relay", "test_echo"
LONGEST = 25
HUNG = 60

Network = SimulatedNetwork | None


@pytest.fixture(params=ON_ALL_STACKS)
async def network(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Network]:
    """Programs that name no stack use this one; of the simulated one the network."""
    if request.param == "simulated":
        async with simulated_network() as network, network.host(*HOSTS):
            yield network
    else:
        monkeypatch.setenv("TRIO_SCTP_STACK", request.param)
        yield None


async def connect(port: int = PORT, host: str = HOST) -> AssociationChannel:
    """Connect to a program that was just started."""
    while True:
        try:
            return await trio_sctp.open_association(host, port)
        except ConnectFailed:
            await trio.sleep(0.001)


async def test_echo(network: Network, nursery: trio.Nursery) -> None:
    nursery.start_soon(echo.main, PORT)
    async with await connect() as one, await connect() as other:
        for channel, text in (one, b"one"), (other, b"other"):
            await channel.send(text, stream=3, ppid=46)
            message = await channel.receive()
            assert (message.data, message.stream, message.ppid) == (text, 3, 46)
    nursery.cancel_scope.cancel()


async def test_retrying(
    network: Network, nursery: trio.Nursery, capsys: pytest.CaptureFixture[str]
) -> None:
    started = trio.Event()

    async def start_late() -> None:
        while "Attempt 1 of 5" not in capsys.readouterr().out:  # noqa: ASYNC110
            await trio.sleep(0.001)
        nursery.start_soon(echo.main, PORT)
        started.set()

    nursery.start_soon(start_late)
    await retrying.main(HOST, PORT)
    assert started.is_set()
    assert "hello" in capsys.readouterr().out
    nursery.cancel_scope.cancel()


async def test_retrying_gives_up(network: Network, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(trio.TooSlowError):
        await retrying.connect(HOST, PORT, attempts=1)
    assert "Attempt 1 of 1" in capsys.readouterr().out


async def test_draining(network: Network, capsys: pytest.CaptureFixture[str]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(draining.main, PORT)
        async with await connect() as client:
            await client.send(b"before")
            assert (await client.receive()).data == b"before"
            for number in range(10):
                await client.send(b"%d" % number)
            await client.wait_sent()
            os.kill(os.getpid(), signal.SIGTERM)
            assert [message.data async for message in client] == [b"%d" % n for n in range(10)]
        assert (await client.wait_ended()).graceful
    assert "Drained" in capsys.readouterr().out


async def test_draining_has_its_limit(network: Network, nursery: trio.Nursery) -> None:
    nursery.start_soon(lambda: draining.main(PORT, patience=0.1))
    client = await connect()
    while True:  # the server's buffers are full, and it waits
        with trio.move_on_after(0.5) as patience:
            await client.send(bytes(10_000))
        if patience.cancelled_caught:
            break
    os.kill(os.getpid(), signal.SIGTERM)
    assert not (await client.wait_ended()).graceful
    client.abort()


async def enter(member: AssociationChannel, room: int, *others: AssociationChannel) -> None:
    """Say something in a room, and have those who are in it hear that."""
    await member.send(b"hello", stream=room)
    for other in others:
        message = await other.receive()
        assert (message.data, message.stream) == (b"hello", room)


async def test_chat(network: Network, nursery: trio.Nursery) -> None:
    nursery.start_soon(chat.main, PORT)
    async with await connect() as alice, await connect() as bob, await connect() as carol:
        await enter(alice, 3)
        await enter(bob, 3, alice)
        await enter(carol, 5)
        await enter(carol, 3, alice, bob)
        await enter(alice, 5, carol)
        await bob.send(b"bye", stream=3)
        await bob.aclose()
        for other in alice, carol:
            message = await other.receive()
            assert (message.data, message.stream) == (b"bye", 3)
        carol.abort()
        await alice.send(b"is anybody there?", stream=3)
        await alice.wait_sent()
        async with await connect() as dave:
            await enter(dave, 3, alice)
    nursery.cancel_scope.cancel()


async def test_chat_goes_on_with_members_that_have_no_stream_for_a_room(
    network: Network, nursery: trio.Nursery
) -> None:
    nursery.start_soon(chat.main, PORT)
    async with await connect() as alice:
        deaf = await trio_sctp.open_association(HOST, PORT, options=[InitMsg(max_instreams=1)])
        async with deaf, await connect() as bob:
            await enter(alice, 7)
            await enter(deaf, 7, alice)
            await enter(bob, 7, alice)
            await enter(deaf, 0)
            await enter(alice, 0, deaf)
    nursery.cancel_scope.cancel()


async def test_chat_puts_out_who_says_too_much_at_once(
    network: Network, nursery: trio.Nursery
) -> None:
    nursery.start_soon(chat.main, PORT)
    async with await connect() as alice:
        await enter(alice, 0)
        loud = await connect()
        await loud.send(bytes(20_000))
        assert b"16384 bytes" in (await loud.wait_ended()).reason
        await loud.aclose()
        async with await connect() as bob:
            await enter(bob, 0, alice)
    nursery.cancel_scope.cancel()


async def test_chat_puts_out_who_is_slow(network: Network, nursery: trio.Nursery) -> None:
    nursery.start_soon(chat.main, PORT)
    async with await connect() as alice:
        await enter(alice, 0)
        sleepy = await connect()
        await enter(sleepy, 0, alice)
        async with await connect() as bob:
            await enter(bob, 0, alice)
            heard = 0
            nursery.start_soon(sleepy.wait_ended)
            while not (sleepy.ended or heard == 5000):
                await alice.send(bytes(10_000))
                await bob.receive()
                heard += 1
            assert sleepy.ended is not None
            assert sleepy.ended.reason == b"too slow"
        sleepy.abort()
    nursery.cancel_scope.cancel()


async def test_resending(network: Network, nursery: trio.Nursery) -> None:
    """The server ends associations again and again: nothing is missing, and the order is kept."""
    send, receive = trio.open_memory_channel[bytes](0)
    sent = [b"%d" % number for number in range(40)]
    arrived: list[bytes] = []

    async def take(association: AssociationChannel) -> None:
        async for message in association:
            arrived.append(message.data)
            if len(arrived) in (5, 20, 21):
                await association.eof()

    await nursery.start(trio_sctp.serve, take, PORT)
    async with trio.open_nursery() as client:
        client.start_soon(resending.deliver, receive, HOST, PORT)
        async with send:
            for text in sent:
                await send.send(text)
    await until(lambda: len(arrived) >= len(sent))
    assert arrived == sent
    nursery.cancel_scope.cancel()


async def test_resending_after_the_server_was_out_of_reach(
    network: Network, nursery: trio.Nursery
) -> None:
    if network is None:
        pytest.skip("only the simulated network has links to cut")
    send, receive = trio.open_memory_channel[bytes](0)
    server = "192.0.2.1"
    arrived: list[bytes] = []

    async def take(association: AssociationChannel) -> None:
        async for message in association:
            arrived.append(message.data)

    async with network.host(server):
        await nursery.start(trio_sctp.serve, take, PORT)
    async with trio.open_nursery() as client:
        client.start_soon(resending.deliver, receive, server, PORT)
        async with send:
            await send.send(b"before")
            await trio.sleep(1)
            network.network.partition(HOSTS, [server])
            for number in range(5):
                await send.send(b"%d" % number)
            await trio.sleep(600)  # the association is lost, and the attempts fail
            network.network.heal()
            await send.send(b"after")
    await until(lambda: len(arrived) >= 7)
    assert arrived == [b"before", *[b"%d" % number for number in range(5)], b"after"]
    nursery.cancel_scope.cancel()


async def test_failover(
    nursery: trio.Nursery, network: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    if network is None:
        pytest.skip("only the simulated network has paths to cut")
    peers = "192.0.2.1", "192.0.2.2"

    async def greet(association: AssociationChannel) -> None:
        await association.send(b"hello")
        await trio.sleep_forever()

    async def run(task_status: trio.TaskStatus[None]) -> None:
        async with network.host(*peers):
            await nursery.start(trio_sctp.serve, greet, PORT)
        task_status.started()

    await nursery.start(run)
    lost = trio.Event()

    async def monitored() -> None:
        with pytest.raises(AssociationLost):
            await failover.main(PORT, *peers)
        lost.set()

    nursery.start_soon(monitored)
    await trio.sleep(1)
    assert "b'hello'" in capsys.readouterr().out
    network.network.partition(HOSTS, peers[:1])
    await trio.sleep(3)
    assert "192.0.2.1: ADDR_UNREACHABLE" in capsys.readouterr().out
    network.network.heal()
    await trio.sleep(3)
    assert "192.0.2.1: ADDR_AVAILABLE" in capsys.readouterr().out
    network.network.partition(HOSTS, peers)
    with trio.fail_after(3):
        await lost.wait()
    nursery.cancel_scope.cancel()


async def start_relay(nursery: trio.Nursery) -> None:
    nursery.start_soon(relay.main, PORT, HOST, UPSTREAM)


async def test_relay(network: Network, nursery: trio.Nursery) -> None:
    await nursery.start(trio_sctp.serve, echo.echo, UPSTREAM)
    await start_relay(nursery)
    async with await connect() as client:
        for stream in range(3):
            await client.send(b"%d" % stream, stream=stream, ppid=46)
            message = await client.receive()
            assert (message.data, message.stream, message.ppid) == (b"%d" % stream, stream, 46)
    assert (await client.wait_ended()).graceful
    nursery.cancel_scope.cancel()


async def test_relay_delivers_all_of_a_client_that_does_not_wait_for_replies(
    network: Network, nursery: trio.Nursery
) -> None:
    ends = trio.Event()
    received: list[bytes] = []

    async def talk(association: AssociationChannel) -> None:
        while True:
            try:
                await association.send(b"news")  # whether or not it was asked
            except AssociationLost:  # it was shut down
                break
        received.extend([message.data async for message in association])
        ends.set()

    await nursery.start(trio_sctp.serve, talk, UPSTREAM)
    await start_relay(nursery)
    client = await connect()
    for number in range(100):
        await client.send(b"%d" % number)
    await client.aclose()
    with trio.fail_after(HUNG):
        await ends.wait()
    assert received == [b"%d" % number for number in range(100)]
    nursery.cancel_scope.cancel()


async def test_relay_goes_on_when_the_upstream_refuses_or_is_lost(
    network: Network, nursery: trio.Nursery, capsys: pytest.CaptureFixture[str]
) -> None:
    await start_relay(nursery)
    client = await connect()
    end = await client.wait_ended()
    assert end.reason == b"no answer upstream"
    client.abort()

    async def hang_up(association: AssociationChannel) -> None:
        await association.receive()
        association.abort(b"hung up")

    await nursery.start(trio_sctp.serve, hang_up, UPSTREAM)
    for _ in range(2):
        client = await connect()
        await client.send(b"hello")
        assert (await client.wait_ended()).reason == b"handler failed"
        client.abort()
    printed = ""
    while printed.count("AssociationLost") < 2:  # after the abort
        await trio.sleep(0.001)
        printed += capsys.readouterr().out
    nursery.cancel_scope.cancel()


async def test_relay_holds_up_who_sends_more_than_is_taken(
    network: Network, nursery: trio.Nursery
) -> None:
    async with await trio_sctp.open_endpoint(UPSTREAM, hosts=HOST) as upstream:
        upstream.listen()
        await start_relay(nursery)
        client = await connect()
        sent = await send_all_it_takes(client)
        with trio.fail_after(HUNG):
            await take_all(upstream, sent)
        nursery.cancel_scope.cancel()
        client.abort()


async def send_all_it_takes(client: AssociationChannel) -> int:
    count = 0
    while True:
        with trio.move_on_after(0.5) as patience:
            await client.send(bytes(10_000))
            count += 1
        if patience.cancelled_caught:
            return count


async def take_all(endpoint: Endpoint, count: int) -> None:
    while count:
        if isinstance(await endpoint.receive(), trio_sctp.Message):
            count -= 1


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_short(name: str) -> None:
    source = (EXAMPLES / f"{name}.py").read_text()
    lines = set(range(1, len(source.splitlines()) + 1))
    for node in ast.parse(source).body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if docstring or isinstance(node, (ast.Import, ast.ImportFrom)):
            assert node.end_lineno is not None
            lines -= set(range(node.lineno, node.end_lineno + 1))
    own = [line for number, line in enumerate(source.splitlines(), 1) if number in lines]
    assert len([line for line in own if line.strip()]) <= LONGEST
