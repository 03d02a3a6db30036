"""``trio-sctp ping``: round trips, a path that fails under way, and its exit status."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

import trio_sctp
from examples.failover_demo import Paths, udp_paths
from trio_sctp import Listener, Userland

from ..kernel.network import network
from ..support.udp_proxy import always, udp_proxy
from .conftest import HOST, OnTerminal, RunCommand, listening, port_of
from .test_main import done

HOSTS = "127.0.0.1", "127.0.0.2"


async def test_round_trips(run: RunCommand, udp_port: int) -> None:
    server = await listening(run, "--udp-port", udp_port)
    arguments = [*HOSTS, port_of(server), "--udp-port", udp_port, "--count", 3, "--interval", 0.01]
    pinging = await run("ping", *arguments)
    assert await pinging.wait() == 0
    text = str(pinging.out)
    assert text.startswith(f"PING 127.0.0.1 127.0.0.2 port {port_of(server)}, 2 paths, userland")
    for host in HOSTS:
        assert len(re.findall(rf"^{host}: heartbeat [123], \d+\.\d{{3}} ms$", text, re.M)) == 3
        summary = rf"^{host}: 3 heartbeats, 3 answered, 0% lost, ACTIVE, rtt min/avg/max/mdev "
        assert re.search(summary + r"(\d+\.\d{3}/){3}\d+\.\d{3} ms$", text, re.M)
    assert await server.wait() == 0
    assert "ended gracefully" in str(server.err)


@dataclass
class Server:
    """A server with two addresses, the way to the first of which can be cut."""

    paths: Paths
    listener: Listener

    @property
    def arguments(self) -> list[object]:
        stack = self.paths.client
        assert isinstance(stack, Userland)
        peer = [*HOSTS, self.listener.port, "--udp-port", stack.peer_udp_port]
        bind = [word for host in HOSTS for word in ("--bind", host)]
        return [*peer, *bind, "--interval", 0.05, "--detect", 5]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with udp_paths() as paths:
        options = trio_sctp.timers(detect=5)
        listening = trio_sctp.open_listener(0, hosts=HOSTS, options=options, stack=paths.server)
        async with await listening as listener:
            yield Server(paths, listener)


AWAY = r"\* messages go to 127\.0\.0\.2, no longer to 127\.0\.0\.1"
BACK = r"\* messages go to 127\.0\.0\.1, no longer to 127\.0\.0\.2"


async def test_failover_and_back(run: RunCommand, server: Server) -> None:
    pinging = await run("ping", *server.arguments, "--timeout", 0.3)
    for host in HOSTS:
        await pinging.out.expect(rf"{host}: heartbeat \d+, \d")
    server.paths.cut()
    await pinging.out.expect(r"127\.0\.0\.1: heartbeat \d+, lost")
    await pinging.out.expect(r"\* path to 127\.0\.0\.1: ADDR_POTENTIALLY_FAILED")
    await pinging.out.expect(AWAY)
    await pinging.out.expect(r"\* path to 127\.0\.0\.1: ADDR_UNREACHABLE")
    server.paths.mend()
    await pinging.out.expect(r"\* path to 127\.0\.0\.1: ADDR_AVAILABLE")
    await pinging.out.expect(BACK)
    pinging.interrupt()
    assert await pinging.wait() == 0
    (share,) = re.findall(
        r"^127\.0\.0\.1: .* answered, (\d+)% lost, ACTIVE", str(pinging.out), re.M
    )
    assert int(share) > 0
    assert re.search(r"^127\.0\.0\.2: .* 0% lost, ACTIVE", str(pinging.out), re.M)


async def test_the_table_on_a_terminal(terminal: OnTerminal, server: Server) -> None:
    shown = await terminal("ping", *server.arguments)
    times = r" +\d+ ms +\d+ ms( +\d+\.\d{3}){4} +\d+ +0\n"
    await shown.screen.expect(rf"→ +127\.0\.0\.1 +ACTIVE{times} +127\.0\.0\.2 +ACTIVE{times}")
    server.paths.cut()
    await shown.screen.expect(rf"{AWAY}\n(.*\n)* +127\.0\.0\.1 +\w+.*\n→ +127\.0\.0\.2 +ACTIVE")
    server.paths.mend()
    await shown.screen.expect(rf"{BACK}\n(.*\n)*→ +127\.0\.0\.1 +ACTIVE")
    await shown.type("\x03")
    assert await shown.wait() == 0
    assert "heartbeats" in str(shown.screen)
    assert re.search(
        r"^127\.0\.0\.2: (\d+) heartbeats, \1 answered, 0% lost", str(shown.screen), re.M
    )
    assert "SRTT" not in str(shown.screen)  # the table gives way to the summary


async def test_a_peer_that_leaves(run: RunCommand, udp_port: int) -> None:
    server = await listening(run, "--udp-port", udp_port)
    pinging = await run("ping", HOST, port_of(server), "--udp-port", udp_port, "-i", 0.05)
    await pinging.out.expect("heartbeat 1")
    await server.close_input()
    server.interrupt()
    await server.wait()
    assert await pinging.wait() == 1
    assert re.search(r"^127\.0\.0\.1: \d+ heartbeats?,", str(pinging.out), re.M)
    assert re.fullmatch(
        r"trio-sctp: association 1 with .* shut down by the peer.*\n", str(pinging.err)
    )


async def test_a_reader_that_leaves(run: RunCommand, udp_port: int) -> None:
    server = await listening(run, "--udp-port", udp_port)
    pinging = await run("ping", HOST, port_of(server), "--udp-port", udp_port, "-i", 0.05)
    await pinging.out.expect("heartbeat 1")
    assert pinging.process.stdout is not None
    await pinging.process.stdout.aclose()
    assert await pinging.wait() == 1
    assert not pinging.err.data
    assert await server.wait() == 0
    assert "ended gracefully" in str(server.err)


async def test_an_address_that_the_peer_does_not_have(run: RunCommand, udp_port: int) -> None:
    server = await listening(run, "--udp-port", udp_port, "--bind", HOST)
    arguments = [HOST, "127.0.0.9", port_of(server), "--udp-port", udp_port]
    pinging = await run("ping", *arguments, "--count", 1, "--timeout", 2)
    assert await pinging.wait() == 0
    text = str(pinging.out)
    assert re.search(r"^127\.0\.0\.9: .*: is it one of the peer's addresses\?$", text, re.M)
    assert text.count("is it one of") == 1


@pytest.mark.kernel
async def test_an_address_that_the_peer_does_not_have_on_the_kernel(run: RunCommand) -> None:
    server = await listening(run, "--bind", HOST)
    pinging = await run("ping", HOST, "127.0.0.9", port_of(server), "--count", 1)
    assert await pinging.wait() == 0
    assert "\n* 127.0.0.9 is not one of the peer's addresses\n" in str(pinging.out)


async def test_losses_alone_do_not_count(run: RunCommand, udp_port: int) -> None:
    server = await listening(run, "--udp-port", udp_port)
    async with udp_proxy(udp_port) as proxy:
        heartbeats: list[bytes] = []

        def lose(packet: bytes, outbound: bool) -> bool:
            if outbound and packet[12] == 4:
                heartbeats.append(packet)
                return len(heartbeats) > 1
            return False

        proxy.lose = lose
        arguments = [HOST, port_of(server), "--udp-port", proxy.port, "-c", 2, "-W", 2]
        pinging = await run("ping", *arguments, "-i", 0.01)
        assert await pinging.wait() == 0
    assert "2 heartbeats, 1 answered, 50% lost" in str(pinging.out)


async def test_a_peer_that_does_not_answer(run: RunCommand, udp_port: int) -> None:
    async with udp_proxy(udp_port) as proxy:
        proxy.lose = always
        pinging = await run("ping", HOST, 2905, "--udp-port", proxy.port, "-W", 0.2)
        assert await pinging.wait() == 1
    assert str(pinging.err) == (
        "trio-sctp: 127.0.0.1 port 2905 has not answered within 0.2 s; -W waits longer\n"
    )


async def test_a_peer_that_falls_silent(run: RunCommand, udp_port: int) -> None:
    """No heartbeat is answered, which is an exit status of its own."""
    server = await listening(run, "--udp-port", udp_port)
    async with udp_proxy(udp_port) as proxy:
        established: list[bytes] = []

        def lose(packet: bytes, outbound: bool) -> bool:
            established.append(packet)
            return len(established) > 4

        proxy.lose = lose
        arguments = [HOST, port_of(server), "--udp-port", proxy.port, "-c", 1, "-W", 0.2]
        pinging = await run("ping", *arguments)
        assert await pinging.wait() == 1
    assert "127.0.0.1: heartbeat 1, lost\n" in str(pinging.out)
    assert "1 heartbeat, 0 answered, 100% lost" in str(pinging.out)
    assert not pinging.err.data


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("--detect", "1", "1.0 is not in the range x>=1.5"),
        ("--detect", "nan", "nan is no number of seconds"),
        ("--interval", "nan", "nan is no number of seconds"),
        ("--timeout", "inf", "inf is no number of seconds"),
    ],
)
def test_wrong_arguments(option: str, value: str, text: str) -> None:
    wrong = done("ping", HOST, "2905", option, value)
    assert wrong.returncode == 2
    assert text in wrong.stderr
    assert wrong.stderr.count("\n") == 1


@pytest.mark.kernel
async def test_failover_on_the_kernel(run: RunCommand) -> None:
    with network(2) as hosts:
        bind = [word for host in hosts.right_hosts for word in ("--bind", host)]
        server = await listening(run, *bind, namespace="right")
        first, second = hosts.right_hosts
        here = [word for host in hosts.left_hosts for word in ("--bind", host)]
        arguments = [first, second, port_of(server), *here, "--interval", 0.1]
        pinging = await run("ping", *arguments, namespace="left")
        await pinging.out.expect("The kernel does not tell of answers to heartbeats")
        await pinging.out.expect(rf"{re.escape(second)}: ACTIVE, srtt \d+ ms, rto \d+ ms")
        hosts.down(0)
        await pinging.out.expect(rf"\* path to {re.escape(first)}: ADDR_POTENTIALLY_FAILED")
        await pinging.out.expect(rf"\* messages go to {re.escape(second)}, no longer to {first}")
        hosts.up(0)
        await pinging.out.expect(rf"\* messages go to {re.escape(first)}, no longer to {second}")
        pinging.interrupt()
        assert await pinging.wait() == 0
        assert re.search(rf"--- .*---\n{re.escape(first)}: ACTIVE, srtt", str(pinging.out))
