"""SCTP as IP protocol 132, between network namespaces of a machine whose kernel has no SCTP."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest
import trio

import trio_sctp
from trio_sctp import (
    ConnectFailed,
    EncapsulationPort,
    Endpoint,
    InitMsg,
    Message,
    OptionUnsupported,
    PathState,
    PeerAddressChange,
    PeerAddressState,
    RtoInfo,
    StatusState,
    open_association,
    open_endpoint,
    open_listener,
)
from trio_sctp._engine import wire
from trio_sctp._kernel._libc import network_namespace

from .other_process import PATIENT, running

LINKS = 2

HUNG = 30
"""Seconds after which a test hangs, even on a machine that does other work."""

RAW_IP = {"carrier": "ip"}


class Host:
    """A network namespace, which lasts as long as a process of ours is in it."""

    def __init__(self, number: int) -> None:
        self.hosts = [f"10.98.{link}.{number}" for link in range(LINKS)]
        self.hosts6 = [f"fd98:{link + 1}::{number}" for link in range(LINKS)]
        # It ends when we do, however we end: nobody holds the other end of its input then.
        self.process = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()  # now the namespace is there
        self.path = f"/proc/{self.process.pid}/ns/net"
        self.prefix = ["nsenter", f"--net={self.path}"]

    def command(self, command: str) -> None:
        subprocess.run([*self.prefix, *command.split()], check=True)

    def run(self, test: Callable[[], Awaitable[None]]) -> None:
        """Run a part of a test on this host, in a thread: threads are what enters a namespace."""

        async def limited() -> None:
            with trio.fail_after(HUNG):
                await test()

        def run() -> None:
            with open(self.path) as file, network_namespace(file.fileno()):
                trio.run(limited)

        with ThreadPoolExecutor(1) as pool:
            pool.submit(run).result()

    @contextlib.asynccontextmanager
    async def echo_server(self, *hosts: str, carrier: str = "ip") -> AsyncIterator[int]:
        """Run an echo server on this host; yields the process, and its port."""
        stack = {"carrier": carrier}
        async with running("echo", stack, prefix=self.prefix, hosts=hosts) as (_, port):
            yield int(port)


class Network:
    """Two hosts, joined by links."""

    def __init__(self, left: Host, right: Host) -> None:
        self.left = left
        self.right = right

    def down(self, link: int) -> None:
        """Lose all that is sent on a link; nobody is told."""
        for host in self.left, self.right:
            host.command(f"tc qdisc replace dev link{link} root pfifo limit 0")

    def up(self, link: int) -> None:
        for host in self.left, self.right:
            host.command(f"tc qdisc delete dev link{link} root")


@contextlib.contextmanager
def network() -> Iterator[Network]:
    hosts: list[Host] = []
    try:
        for number in (1, 2):
            hosts.append(Host(number))
        one, other = (host.process.pid for host in hosts)
        for n in range(LINKS):
            link = f"ip link add link{n} netns {one} type veth peer name link{n} netns {other}"
            subprocess.run(link.split(), check=True)
        for host in hosts:
            host.command("ip link set lo up")
            for n in range(LINKS):
                host.command(f"ip address add {host.hosts[n]}/24 dev link{n}")
                host.command(f"ip address add {host.hosts6[n]}/64 dev link{n} nodad")
                host.command(f"ip link set link{n} up")
        yield Network(*hosts)
    finally:
        for host in hosts:
            with host.process:
                host.process.kill()


def obstacle() -> str:
    """Why these tests cannot run here."""
    with contextlib.suppress(OSError):
        # This loads the module, if there is one.
        socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, 132).close()
    if Path("/proc/net/sctp").exists():
        return "raw IP is for where the kernel has no SCTP"
    missing = [name for name in ("unshare", "nsenter", "ip", "tc") if not shutil.which(name)]
    if missing:
        return f"not installed: {', '.join(missing)} (util-linux, iproute2)"
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode:
        return "network namespaces cannot be had: they need root"
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, 132).close()
    except OSError:
        return "raw IP sockets cannot be had: they need CAP_NET_RAW"
    return ""


@pytest.fixture(scope="module")
def _hosts() -> Iterator[Network]:
    reason = obstacle()
    if reason:
        if os.environ.get("TRIO_SCTP_REQUIRE_KERNEL") and not Path("/proc/net/sctp").exists():
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with network() as net:
        yield net


@pytest.fixture
def net(_hosts: Network) -> Network:
    return _hosts


@contextlib.asynccontextmanager
async def endpoint(*hosts: str, port: int = 0) -> AsyncIterator[Endpoint]:
    """Open an endpoint that listens."""
    endpoint = await open_endpoint(port, hosts=hosts, options=PATIENT)
    endpoint.listen()
    try:
        yield endpoint
    finally:
        await trio.aclose_forcefully(endpoint)


# -- associations ------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
@pytest.mark.parametrize("server", ["left", "right"])
def test_messages_and_the_end(net: Network, server: str, family: str) -> None:
    """Either host is the server, on an address that it is told or on any of its own."""
    there, here = (net.left, net.right) if server == "left" else (net.right, net.left)
    host = there.hosts[0] if family == "IPv4" else there.hosts6[0]
    bound = {"right": [host], "left": [] if family == "IPv4" else ["::"]}[server]

    async def test() -> None:
        async with (
            there.echo_server(*bound) as port,
            trio_sctp.userland(carrier="ip"),
            await open_association(host, port, options=PATIENT) as channel,
        ):
            assert channel.peer_addresses[0][:2] == (host, port)
            assert channel.local_addresses[0][0] in here.hosts + here.hosts6
            for size in (1, 2, 1000, 1452, 10_000, 1_000_000):
                data = random.Random(size).randbytes(size)
                stream = size % channel.outbound_streams
                await channel.send(data, stream=stream, ppid=size)
                message = await channel.receive()
                assert message.data == data
                assert (message.stream, message.ppid) == (stream, size)
            await channel.eof()
            with pytest.raises(trio.EndOfChannel):
                await channel.receive()
            assert (await channel.wait_ended()).graceful

    here.run(test)


def test_the_path_mtu_is_found(net: Network) -> None:
    async def test() -> None:
        async with (
            net.right.echo_server() as port,
            trio_sctp.userland(carrier="ip"),
            await open_association(net.right.hosts[0], port) as channel,
        ):
            assert channel.paths()[0].mtu == 1240  # 1280 without the header of IPv6
            await channel.send(bytes(100_000))
            assert len((await channel.receive()).data) == 100_000
            while channel.paths()[0].mtu == 1240:
                await channel.send(b"the answer to the probe may be behind")
                await channel.receive()
            assert channel.paths()[0].mtu == 1460  # all that a link of 1500 bytes takes

    net.left.run(test)


def test_abort(net: Network) -> None:
    async def server() -> None:
        async with (
            trio_sctp.userland(carrier="ip"),
            await open_listener(0, hosts=net.left.hosts[0], options=PATIENT) as listener,
        ):
            how = {"host": net.left.hosts[0], "port": listener.port}
            async with running("client", RAW_IP, prefix=net.right.prefix, **how) as (_, said):
                assert said == "up"
                channel = await listener.accept()
                assert channel.peer_addresses[0][0] == net.right.hosts[0]
                assert (await channel.receive()).data == b"hello"
            # The process was killed, so its kernel says that nobody takes such packets any more;
            # that alone ends nothing.
            await channel.send(b"still there?")
            assert channel.status().state is StatusState.ESTABLISHED
            channel.abort()

    net.left.run(server)


def test_two_processes_of_one_host(net: Network) -> None:
    """Each process is shown the packets of both, and minds its own."""

    async def test() -> None:
        async with (
            net.right.echo_server() as one,
            net.right.echo_server() as other,
            trio_sctp.userland(carrier="ip"),
        ):
            assert one != other
            channels = [
                await open_association(net.right.hosts[0], port, options=PATIENT)
                for port in (one, other)
            ]
            for _ in range(3):
                for number, channel in enumerate(channels):
                    await channel.send(b"%d" % number)
                for number, channel in enumerate(channels):
                    assert (await channel.receive()).data == b"%d" % number
            for channel in channels:
                await channel.aclose()
                assert (await channel.wait_ended()).graceful

    net.left.run(test)


# -- moving (RFC 5061) -------------------------------------------------------------------------


@pytest.mark.parametrize("carrier", ["ip", "udp"])
@pytest.mark.parametrize("way", ["the link is cut", "the address is gone"])
def test_an_association_moves_from_one_link_to_another(
    net: Network, carrier: Literal["ip", "udp"], way: str
) -> None:
    """What was on its way arrives, and what is sent meanwhile."""
    old, new = net.left.hosts
    count = 300

    async def test() -> None:
        async with (
            net.right.echo_server(*net.right.hosts, carrier=carrier) as port,
            trio_sctp.userland(carrier=carrier),
            endpoint(old) as mover,
        ):
            association = await mover.connect(net.right.hosts, port)

            async def send() -> None:
                for n in range(count):
                    await association.send(b"%d" % n * 100)
                    if n == count // 3:
                        if way == "the link is cut":
                            net.down(0)
                        else:
                            net.left.command(f"ip address delete {old}/24 dev link0")
                        mover.add_address(new)
                        mover.remove_address(old)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                for n in range(count):
                    while not isinstance(record := await mover.receive(), Message):
                        pass
                    assert record.data == b"%d" % n * 100
            assert [address[0] for address in association.local_addresses] == [new]
            await association.eof()
            assert (await association.wait_ended()).graceful

    try:
        net.left.run(test)
    finally:
        if way == "the link is cut":
            net.up(0)
        else:
            net.left.command(f"ip address add {old}/24 dev link0")


# -- strangers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_a_host_that_has_no_sctp_at_all(net: Network, family: str) -> None:
    """ICMP says so, and ICMPv6 in a message of its own."""
    host = net.right.hosts[0] if family == "IPv4" else net.right.hosts6[0]

    async def test() -> None:
        async with trio_sctp.userland(carrier="ip"):
            with pytest.raises(ConnectFailed) as refused:
                await open_association(host, 5001)
            assert refused.value.errno == errno.ECONNREFUSED

    net.left.run(test)


def test_a_port_that_nobody_has_is_silent(net: Network) -> None:
    """The port may belong to another process, which answers for itself."""
    impatient = [RtoInfo(initial=50, min=50, max=50), InitMsg(max_attempts=2)]

    async def test() -> None:
        async with net.right.echo_server() as port, trio_sctp.userland(carrier="ip"):
            with pytest.raises(ConnectFailed) as failed:
                await open_association(net.right.hosts[0], port ^ 1, options=impatient)
            assert failed.value.errno == errno.ETIMEDOUT

    net.left.run(test)


def data_chunk() -> bytes:
    return struct.pack("!BBHIHHI", wire.ChunkType.DATA, 3, 20, 1, 0, 0, 0) + b"data"


def init_chunk() -> bytes:
    return wire.init_chunk(wire.Init(1, 100_000, 1, 1, 1, []))


STRANGE = {
    "DATA": (7, data_chunk()),
    "SHUTDOWN ACK": (7, wire.chunk(wire.ChunkType.SHUTDOWN_ACK)),
    "HEARTBEAT": (7, wire.heartbeat_chunk(b"who are you?")),
    "COOKIE ECHO": (7, wire.chunk(wire.ChunkType.COOKIE_ECHO, b"a cookie")),
    "INIT": (0, init_chunk()),
}
"""Packets of no association: tags and chunks."""


@pytest.mark.parametrize("name", STRANGE)
def test_nothing_is_answered_for_ports_that_nobody_has(net: Network, name: str) -> None:
    """The first answer comes from the port that somebody has."""
    tag, chunk = STRANGE[name]

    async def test() -> None:
        async with net.right.echo_server() as port:
            with trio.socket.socket(socket.AF_INET, socket.SOCK_RAW, 132) as raw:
                for to, chunks in ((port ^ 1, [chunk]), (port, [data_chunk()])):
                    packet = wire.seal(5000, to, 7 if to == port else tag, chunks)
                    await raw.sendto(packet, (net.right.hosts[0], 0))
                answer = wire.parse_packet_untrusted((await raw.recv(65536))[20:])
            assert isinstance(answer, wire.Packet)
            assert answer.source_port == port
            (abort,) = answer.chunks
            assert isinstance(abort, wire.Abort)
            assert abort.reflected

    net.left.run(test)


# -- several addresses -------------------------------------------------------------------------


@pytest.mark.parametrize("given", [True, False], ids=["addresses given", "none given"])
@pytest.mark.parametrize("carrier", ["ip", "udp"])
def test_another_path_takes_over(net: Network, carrier: Literal["ip", "udp"], given: bool) -> None:
    """Nothing is lost with a link, and when it is mended messages take it again.

    A client that does not say which addresses it has tells its peer those that it sends from.
    """
    one, other = net.right.hosts
    ours = net.left.hosts if given else []

    async def test() -> None:
        async with (
            net.right.echo_server(one, other, carrier=carrier) as port,
            trio_sctp.userland(carrier=carrier),
            endpoint(*ours) as client,
        ):
            association = await client.connect(net.right.hosts, port)
            assert {address[0] for address in association.peer_addresses} == {one, other}
            assert {address[0] for address in association.local_addresses} == set(net.left.hosts)

            async def change(state: PeerAddressState) -> None:
                """Wait for a change of the first path."""
                while True:
                    record = await client.receive()
                    assert isinstance(record, PeerAddressChange)
                    if (record.address[0], record.state) == (one, state):
                        return

            async def echo(data: bytes) -> Message:
                await association.send(data)
                while not isinstance(record := await client.receive(), Message):
                    assert isinstance(record, PeerAddressChange)
                assert record.data == data
                return record

            assert (await echo(b"before")).address[0] == one
            net.down(0)
            try:
                for number in range(20):
                    await echo(b"%d" % number)
                await change(PeerAddressState.ADDR_UNREACHABLE)
                assert (await echo(b"meanwhile")).address[0] == other
                states = {path.address[0]: path.state for path in association.paths()}
                assert states == {one: PathState.INACTIVE, other: PathState.ACTIVE}
            finally:
                net.up(0)
            await change(PeerAddressState.ADDR_AVAILABLE)
            await echo(b"after")
            await association.eof()
            assert (await association.wait_ended()).graceful

    net.left.run(test)


# -- what it needs -----------------------------------------------------------------------------


def test_there_are_no_udp_ports(net: Network) -> None:
    async def test() -> None:
        async with trio_sctp.userland(carrier="ip"), endpoint(*net.left.hosts) as here:
            with pytest.raises(OptionUnsupported, match="EncapsulationPort"):
                here.set_option(EncapsulationPort(9900))
            with pytest.raises(OptionUnsupported, match="EncapsulationPort"):
                here.get_option(EncapsulationPort)

    net.left.run(test)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to give up")
@pytest.mark.skipif(
    Path("/proc/net/sctp").exists(), reason="the kernel's SCTP is complained of first"
)
def test_without_privileges_the_error_names_the_capability() -> None:
    program = """
import os, trio, trio_sctp
async def main():
    try:
        async with trio_sctp.userland(carrier="ip"):
            print("it works")
    except trio_sctp.StackUnavailable as error:
        print(error)
os.setgroups([])
os.setuid(65534)
trio.run(main)
"""
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "CAP_NET_RAW" in said
    assert "carrier='udp'" in said
