"""``trio-sctp perf``: a client and a server of ours, and the same with iperf3."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
import trio

import trio_sctp
from trio_sctp import InitMsg, Listener, SendBuffer
from trio_sctp._cli.measuring import BULK
from trio_sctp._cli.perf import END, HELLO, PROBE, WELCOME

from ..peers.conftest import RunPeer
from ..peers.conftest import run_peer as run_peer
from .conftest import HOST, PORT, OnTerminal, RunCommand, Running, listening, port_of
from .test_main import done


async def serving(run: RunCommand, *arguments: object) -> Running:
    server = await run("perf", "server", 0, *arguments)
    await server.err.expect(PORT)
    return server


async def test_the_closing_table(run: RunCommand, stack: list[object]) -> None:
    server = await serving(run, *stack, "--once")
    client = await run("perf", "client", HOST, port_of(server), *stack, "--time", 0.3)
    assert await client.wait() == 0
    assert await server.wait() == 0
    text = str(client.out)
    assert re.search(
        r"^Throughput +[\d.]+ Mbit/s, \d+ messages/s of 16384 bytes on 10 s", text, re.M
    )
    assert re.search(
        r"^Round trip +min [\d.]+, median [\d.]+, p99 [\d.]+, max [\d.]+ ms", text, re.M
    )
    assert re.search(r"^Retransmitted +\d+ of \d+ DATA chunks", text, re.M)
    assert re.search(rf"^Path {HOST} +\w+, primary, srtt \d+ ms", text, re.M)
    assert not client.err.data
    assert all(line and line == line.rstrip() for line in text.splitlines())
    arrived = re.search(r"^Arrived +(.* in [\d.]+ s)$", text, re.M)
    assert arrived is not None
    assert f": {arrived[1].strip()}, " in str(server.err)


async def test_json(run: RunCommand, stack: list[object]) -> None:
    server = await serving(run, *stack)
    load = ["--time", 0.2, "--length", 100, "--streams", 3, "--json"]
    client = await run("perf", "client", HOST, port_of(server), *stack, *load)
    assert await client.wait() == 0
    figures = json.loads(str(client.out))
    assert figures["bytes"] == 100 * figures["messages"] > 0
    assert figures["bits_per_second"] == pytest.approx(8 * figures["bytes"] / figures["seconds"])
    assert (figures["streams"], figures["message_size"]) == (3, 100)
    assert figures["statistics"]["data_chunks_sent"] >= figures["messages"]
    times = figures["round_trip_ms"]
    assert 0 < times["min"] <= times["median"] <= times["p99"] <= times["max"]
    assert figures["paths"][0]["address"] == HOST
    server.interrupt()
    assert await server.wait() == 0


async def test_progress_on_a_terminal(terminal: OnTerminal, peer: Listener, udp_port: int) -> None:
    arguments = [HOST, peer.port, "--udp-port", udp_port, "--time", 1]
    shown = await terminal("perf", "client", *arguments)
    async with await peer.accept() as association:
        assert (await association.receive()).data == HELLO
        await association.send(WELCOME)
        async for message in association:
            if message.data.startswith(PROBE):
                await association.send(message.data)
            elif message.data.startswith(BULK):
                break
        async with trio.open_nursery() as nursery:
            drained = 0

            async def drain() -> None:
                nonlocal drained
                while (await association.receive()).data != END:
                    drained += 1

            nursery.start_soon(drain)
            await shown.screen.expect(r"sending ━+.* [\d.]+ Mbit/s, \d+ retransmissions")
        counted = {"bytes": 25_000_000, "messages": drained, "seconds": 2}
        await association.send(json.dumps(counted).encode())
        assert (await association.wait_ended()).graceful
    assert await shown.wait() == 0
    assert re.search(r"^Throughput +100\.0 Mbit/s", str(shown.screen), re.M)
    assert "sending" not in str(shown.screen)


async def test_ctrl_c(run: RunCommand, udp_port: int) -> None:
    server = await serving(run, "--udp-port", udp_port)
    async with (
        trio_sctp.userland(peer_udp_port=udp_port) as stack,
        await trio_sctp.open_association(HOST, port_of(server), stack=stack) as association,
    ):
        await association.send(HELLO)
        assert (await association.receive()).data == WELCOME
        server.interrupt()
        assert (await association.wait_ended()).reason == b"the server has been stopped"
    assert await server.wait() == 0


async def test_ctrl_c_on_the_client_tells_what_has_arrived(
    run: RunCommand, peer: Listener, udp_port: int
) -> None:
    client = await run("perf", "client", HOST, peer.port, "--udp-port", udp_port, "-t", 1000)
    async with await peer.accept() as association:
        assert (await association.receive()).data == HELLO
        await association.send(WELCOME)
        loaded = False
        async for message in association:
            if message.data.startswith(PROBE):
                await association.send(message.data)
            elif message.data.startswith(BULK) and not loaded:
                loaded = True
                client.interrupt()
            elif message.data == END:
                counted = {"bytes": 25_000_000, "messages": 100, "seconds": 2}
                await association.send(json.dumps(counted).encode())
    assert await client.wait() == 130
    assert re.search(r"^Throughput +100\.0 Mbit/s", str(client.out), re.M)


async def test_peers_that_are_none(run: RunCommand, peer: Listener, udp_port: int) -> None:
    client = await run("perf", "client", HOST, peer.port, "--udp-port", udp_port)
    async with await peer.accept() as association:
        await association.send(b"welcome")
        assert not (await association.wait_ended()).graceful
    assert await client.wait() == 1
    assert str(client.err) == "trio-sctp: the peer is no `trio-sctp perf server`\n"


async def test_an_echo_server_is_none(run: RunCommand, udp_port: int) -> None:
    echo = await listening(run, "--echo", "--udp-port", udp_port)
    client = await run("perf", "client", HOST, port_of(echo), "--udp-port", udp_port, "-t", 1)
    assert await client.wait() == 1
    assert str(client.err) == "trio-sctp: the peer is no `trio-sctp perf server`\n"


@pytest.mark.parametrize("answer", [b"[[", b"{}", b'{"bytes": "x", "messages": 1, "seconds": 1}'])
async def test_figures_that_are_none(
    run: RunCommand, peer: Listener, udp_port: int, answer: bytes
) -> None:
    client = await run("perf", "client", HOST, peer.port, "--udp-port", udp_port, "-t", 0.1)
    async with await peer.accept() as association:
        await association.receive()
        await association.send(WELCOME)
        with contextlib.suppress(trio.BrokenResourceError):
            async for message in association:
                if message.data.startswith(PROBE):
                    await association.send(message.data)
                elif message.data == END:
                    await association.send(answer)
    assert await client.wait() == 1
    assert str(client.err) == "trio-sctp: the peer is no `trio-sctp perf server`\n"


@pytest.mark.parametrize("size", [10, 3_000_000])
async def test_a_server_outlives_a_probe_that_it_cannot_send_back(
    run: RunCommand, udp_port: int, size: int
) -> None:
    """It has fewer streams than the client, or a smaller buffer."""
    server = await serving(run, "--udp-port", udp_port)
    async with trio_sctp.userland(peer_udp_port=udp_port) as stack:
        options = [InitMsg(num_ostreams=65535), SendBuffer(4_000_000)]
        port = port_of(server)
        async with await trio_sctp.open_association(
            HOST, port, stack=stack, options=options
        ) as association:
            await association.send(HELLO)
            assert (await association.receive()).data == WELCOME
            await association.send(PROBE + bytes(size), stream=association.outbound_streams - 1)
            if size == 10:
                assert (await association.receive()).data == PROBE + bytes(size)
            else:
                assert not (await association.wait_ended()).graceful
    client = await run("perf", "client", HOST, port, "--udp-port", udp_port, "--time", 0.1)
    assert await client.wait() == 0


async def test_a_server_outlives_a_stranger(run: RunCommand, stack: list[object]) -> None:
    server = await serving(run, *stack)
    stranger = await run("connect", HOST, port_of(server), *stack, "-m", "hello")
    assert await stranger.wait() == 1
    assert "you are no client of it" in str(stranger.err)
    client = await run("perf", "client", HOST, port_of(server), *stack, "--time", 0.1)
    assert await client.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["client", HOST, "2905", "--iperf3"], "--iperf3 needs the kernel's SCTP"),
        (["server", "0", "--iperf3"], "--iperf3 needs the kernel's SCTP"),
        (["client", HOST, "2905", "--time", "0"], "0.0 is not in the range x>0"),
        (["client", HOST], "Missing argument 'HOST…'"),
        (["client", HOST, "http", "--iperf3"], "give a number in place of http"),
        (["client", HOST, "2905", "-t", "nan"], "nan is no number of seconds"),
        (["nonsense"], "No such command 'nonsense'"),
    ],
)
def test_wrong_arguments(arguments: list[str], text: str, udp_port: int) -> None:
    end = ["--udp-port", udp_port] if len(arguments) > 1 else []
    wrong = done("perf", *arguments, *end)
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1
    assert text in wrong.stderr


async def test_a_message_that_is_too_large(run: RunCommand, stack: list[object]) -> None:
    server = await serving(run, *stack)
    client = await run("perf", "client", HOST, port_of(server), *stack, "--length", 10**9)
    assert await client.wait() == 2
    assert re.search(r"a message can have \d+ bytes here", str(client.err))


# -- iperf3 ------------------------------------------------------------------------------------


@pytest.mark.kernel
@pytest.mark.peer("iperf3")
async def test_iperf3_as_the_server(run: RunCommand, run_peer: RunPeer) -> None:
    server = await run_peer("iperf3", "--server", "--one-off", "--port", "5333", "--forceflush")
    await server.expect("Server listening on 5333")
    client = await run("perf", "client", HOST, 5333, "--iperf3", "--time", 0.5, "--json")
    assert await client.wait() == 0
    await server.wait_success()
    figures = json.loads(str(client.out))
    assert figures["peer"].startswith("iperf3 at ")
    assert figures["bytes"] == figures["messages"] * figures["message_size"] > 0


@pytest.mark.kernel
@pytest.mark.peer("iperf3")
async def test_iperf3_as_the_client(run: RunCommand, run_peer: RunPeer) -> None:
    server = await serving(run, "--iperf3", "--bind", HOST)
    base = ["iperf3", "--client", HOST, "--port", str(port_of(server))]
    for parallel in "1", "3":
        client = await run_peer(*base, "--sctp", "--time", "1", "--parallel", parallel, "--json")
        figures = json.loads(await client.wait_success())
        received = figures["end"]["sum_received"]["bytes"]
        assert 0 < received <= figures["end"]["sum_sent"]["bytes"]  # the rest was under way
        await server.err.expect(rf"\* iperf3: {received} bytes in [\d.]+ s")
    refused = await run_peer(*base, "--sctp", "--time", "1", "--reverse")
    await refused.expect("error - ")
    await server.err.expect("a client was refused: it has to send, with --sctp")
    server.interrupt()
    assert await server.wait() == 0
