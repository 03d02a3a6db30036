"""The userland stack over real UDP sockets: addresses, errors, buffers, the end of the stack."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import trio
import trio.testing

import trio_sctp
from trio_sctp import (
    AssociationChange,
    AssociationChannel,
    AssociationLost,
    AssociationState,
    ConnectFailed,
    PeerAddressChange,
    PeerAddressFlags,
    PeerAddressParams,
    PeerAddressState,
    RtoInfo,
    StackUnavailable,
    StatusState,
    Userland,
    open_association,
    open_endpoint,
    open_listener,
    userland,
)
from trio_sctp._engine import Engine, wire
from trio_sctp._userland.userland import default_stack

from ..support.udp_proxy import free_port, udp_proxy
from ..support.udp_stacks import HOST, channels, two_stacks

OTHER_HOST, HOST6 = "127.0.0.2", "::1"

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of ICMP and of drops")


@pytest.fixture(autouse=True)
def no_choice_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIO_SCTP_STACK", raising=False)


@contextlib.contextmanager
def udp(host: str = HOST, port: int = 0) -> Iterator[socket.socket]:
    """Open a plain UDP socket."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, port))
        sock.setblocking(False)
        yield sock


async def packet_to(sock: socket.socket) -> wire.Packet:
    """The next SCTP packet that a plain socket receives."""
    await trio.lowlevel.wait_readable(sock)
    packet = wire.parse_packet_untrusted(sock.recv(65536))
    assert isinstance(packet, wire.Packet)
    return packet


# -- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [HOST, OTHER_HOST, "127.0.0.77"])
async def test_a_wildcard_answers_from_the_address_that_was_asked(host: str) -> None:
    async with two_stacks() as stacks, channels(*stacks, host=host, hosts=()) as (client, server):
        assert [address[0] for address in client.peer_addresses] == [host]
        assert [address[0] for address in server.local_addresses] == [host]
        await client.send(b"there")
        assert (await server.receive()).data == b"there"
        await server.send(b"back")
        assert (await client.receive()).address == (host, server.local_addresses[0][1])


async def test_a_wildcard_of_ipv6() -> None:
    async with (
        two_stacks() as stacks,
        channels(*stacks, host=HOST6, hosts="::") as (client, server),
    ):
        await client.send(bytes(5000))
        message = await server.receive()
        assert (len(message.data), message.address and message.address[0]) == (5000, HOST6)


@pytest.mark.parametrize("host", [HOST, HOST6])
async def test_where_sockets_cannot_tell_there_is_one_for_each_address(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("carrier", "userland"):
        monkeypatch.setattr(f"trio_sctp._userland.{module}.CAN_TELL_ADDRESSES", False)
    hosts = "::" if host == HOST6 else ()
    async with (
        two_stacks() as stacks,
        channels(*stacks, host=host, hosts=hosts) as (client, server),
    ):
        await client.send(b"there")
        message = await server.receive()
        assert (message.data, message.address and message.address[0]) == (b"there", host)
        assert host in [address[0] for address in server.local_addresses]


async def init_to_a_plain_socket(hosts: tuple[str, ...]) -> wire.Init:
    with udp() as peer:
        async with (
            userland(peer_udp_port=peer.getsockname()[1]) as stack,
            await open_endpoint(hosts=hosts, stack=stack) as endpoint,
        ):
            association = await endpoint.connect_init(HOST, 2905)
            packet = await packet_to(peer)
            association.abort()
    (init,) = packet.chunks
    assert isinstance(init, wire.Init)
    return init


@pytest.mark.parametrize("hosts", [(), (HOST,)])
async def test_no_addresses_are_listed_unless_several_were_given(hosts: tuple[str, ...]) -> None:
    init = await init_to_a_plain_socket(hosts)
    assert not any(map(wire.address_untrusted, init.parameters))


async def test_several_addresses_are_listed() -> None:
    init = await init_to_a_plain_socket((HOST, OTHER_HOST))
    listed = {wire.address_untrusted(parameter) for parameter in init.parameters}
    assert {HOST, OTHER_HOST} <= listed


@linux
async def test_a_client_is_reached_at_all_the_addresses_that_it_lists() -> None:
    """Its own packets leave from the first one alone, as the server has only one address."""
    async with (
        two_stacks() as (server, client),
        await open_endpoint(hosts="127.0.0.3", stack=server) as endpoint,
        await open_endpoint(hosts=[HOST, OTHER_HOST], stack=client) as other,
    ):
        endpoint.listen()
        await other.connect("127.0.0.3", endpoint.port)
        assert isinstance(await endpoint.receive(), AssociationChange)
        change = await endpoint.receive()
        assert isinstance(change, PeerAddressChange)
        assert (change.address[0], change.state) == (OTHER_HOST, PeerAddressState.ADDR_CONFIRMED)


async def test_an_address_of_another_machine_cannot_be_bound() -> None:
    async with userland():
        with pytest.raises(OSError) as caught:  # noqa: PT011
            await open_endpoint(hosts="198.51.100.1")
        assert caught.value.errno == errno.EADDRNOTAVAIL


# -- UDP ports -----------------------------------------------------------------------------------


async def test_the_second_listener_is_told_of_the_udp_port_and_the_option() -> None:
    port = free_port()
    async with (
        userland(udp_port=port) as first,
        userland(udp_port=port) as second,
        await open_endpoint(2905, stack=first) as one,
        await open_endpoint(2905, stack=second) as two,
    ):
        one.listen()
        with pytest.raises(OSError, match=rf"UDP port {port} .*userland\(udp_port=") as caught:
            two.listen()
        assert caught.value.errno == errno.EADDRINUSE
        await one.aclose()
        two.listen()


async def test_those_who_only_connect_leave_the_udp_port_to_others() -> None:
    port = free_port()
    async with userland(udp_port=port) as stack, await open_endpoint(stack=stack) as endpoint:
        association = await endpoint.connect_init(HOST, 2905)
        with udp("0.0.0.0", port):
            pass
        association.abort()


@pytest.mark.parametrize("wildcard_first", [True, False])
async def test_listeners_on_all_addresses_and_on_one(wildcard_first: bool) -> None:
    async with two_stacks() as (server, client):
        order = [(), HOST] if wildcard_first else [HOST, ()]
        async with contextlib.AsyncExitStack() as exits:
            listeners = {}
            for hosts in order:
                listener = await open_listener(0, hosts=hosts, stack=server)
                listeners[hosts] = await exits.enter_async_context(listener)
            for host, hosts in ((HOST, HOST), (HOST, ()), (OTHER_HOST, ())):
                port = listeners[hosts].port
                async with await open_association(host, port, stack=client) as there:
                    here = await listeners[hosts].accept()
                    await there.send(b"hello")
                    assert (await here.receive()).data == b"hello"
                    await here.eof()
                await here.aclose()
            with pytest.raises(ConnectFailed):  # the stack has this address only
                await open_association(OTHER_HOST, listeners[HOST].port, stack=client)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"carrier": "tcp"}, "carrier must be 'udp' or 'ip', not 'tcp'"),
        ({"udp_port": 0}, "udp_port must be between 1 and 65535, not 0"),
        ({"peer_udp_port": 65536}, "peer_udp_port must be between 1 and 65535, not 65536"),
        ({"udp_port": "9899"}, "udp_port must be an integer from 1 to 65535, not '9899'"),
        ({"carrier": "ip", "udp_port": 9899}, "raw IP has no UDP ports"),
    ],
)
async def test_arguments_that_make_no_sense(arguments: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        async with userland(**arguments):  # type: ignore[arg-type]
            pass


# -- errors --------------------------------------------------------------------------------------


@linux
@pytest.mark.parametrize("host", [HOST, HOST6])
@pytest.mark.parametrize("hosts", [(), "own"])
async def test_a_udp_port_that_nobody_has_refuses_at_once(
    host: str, hosts: tuple[()] | str, autojump_clock: trio.testing.MockClock
) -> None:
    # Packets are real, time is not: without ICMP it would take 243 s of virtual time.
    async with userland(peer_udp_port=free_port()):
        with pytest.raises(ConnectFailed) as failed:
            await open_association(host, 2905, local_hosts=host if hosts else ())
        assert failed.value.errno == errno.ECONNREFUSED


@linux
async def test_of_several_addresses_one_may_refuse() -> None:
    async with (
        two_stacks() as (server, client),
        await open_listener(0, hosts=HOST, stack=server) as listener,
    ):
        there = await open_association([OTHER_HOST, HOST], listener.port, stack=client)
        here = await listener.accept()
        await there.send(b"hello")
        assert (await here.receive()).data == b"hello"
        await trio.aclose_forcefully(there)
        await trio.aclose_forcefully(here)


@linux
async def test_icmp_does_not_end_an_association_that_is_up() -> None:
    port, front = free_port(), free_port()
    async with (
        userland(udp_port=port) as server,
        userland(peer_udp_port=front) as client,
        await open_listener(0, hosts=HOST, stack=server) as listener,
    ):
        async with udp_proxy(port, front):
            there = await open_association(HOST, listener.port, stack=client)
            here = await listener.accept()
        await there.send(b"refused at first")
        await trio.testing.wait_all_tasks_blocked(0.05)  # ICMP is read meanwhile
        assert there.status().state is StatusState.ESTABLISHED
        async with udp_proxy(port, front):
            assert (await here.receive()).data == b"refused at first"
            await trio.aclose_forcefully(there)
            await trio.aclose_forcefully(here)


# -- packets larger than the path MTU --------------------------------------------------------------


class Watched:
    """A socket that notes whether IP may fragment what it sends: sizes, and the option's value."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._option = (
            (socket.IPPROTO_IPV6, 23) if sock.family == socket.AF_INET6 else (socket.IPPROTO_IP, 10)
        )
        self.sent: list[tuple[int, bool]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def _note(self, size: int) -> None:
        self.sent.append((size, self._sock.getsockopt(*self._option) == 0))  # IP_PMTUDISC_DONT

    def sendto(self, data: bytes, address: Any) -> int:
        self._note(len(data))
        return self._sock.sendto(data, address)

    def sendmsg(self, parts: tuple[bytes], *rest: Any) -> int:
        self._note(len(parts[0]))
        return self._sock.sendmsg(parts, *rest)


@linux
@pytest.mark.parametrize("host", [HOST, HOST6])
@pytest.mark.parametrize("wildcard", [False, True])
async def test_ip_may_fragment_what_is_larger_than_the_path_mtu_and_nothing_else(
    host: str, wildcard: bool
) -> None:
    """An INIT ACK with all that it has to report, and the answer to a large HEARTBEAT."""
    hosts = {HOST: "0.0.0.0", HOST6: "::"}[host] if wildcard else host
    port = free_port()
    async with userland(udp_port=port) as stack:
        listener = await open_listener(0, hosts=hosts, stack=stack)
        with udp(host) as peer:
            watched = []
            for carrier in stack._carriers.values():
                watched.append(Watched(carrier.sock))
                carrier.sock = watched[-1]  # type: ignore[assignment]

            async def ask(tag: int, *chunks: bytes) -> wire.Packet:
                peer.sendto(wire.seal(9, listener.port, tag, chunks), (host, port))
                return await packet_to(peer)

            unknown = wire.Tlv(0xC100, bytes(1800))
            init = wire.Init(1, 100_000, 1, 1, 1, [unknown])
            (ack,) = (await ask(0, wire.init_chunk(init))).chunks
            assert isinstance(ack, wire.InitAck)
            (cookie,) = (p.value for p in ack.parameters if p.type == 7)
            await ask(ack.tag, wire.chunk(wire.ChunkType.COOKIE_ECHO, cookie))
            (beat,) = (await ask(ack.tag, wire.heartbeat_chunk(bytes(5000)))).chunks
            assert isinstance(beat, wire.HeartbeatAck)
            assert beat.info == bytes(5000)
            await ask(ack.tag, wire.heartbeat_chunk(bytes(5)))
            (sent,) = (w.sent for w in watched if w.sent)
            assert [(size > 1400, fragment) for size, fragment in sent] == [
                (True, True),  # INIT ACK
                (False, False),  # COOKIE ACK
                (True, True),  # HEARTBEAT ACK
                (False, False),
            ]
        await trio.aclose_forcefully(listener)


async def test_a_client_takes_another_udp_port_where_a_program_has_the_one_it_uses() -> None:
    """All addresses of clients share one UDP port, where it is free."""
    port = free_port()
    async with (
        userland(udp_port=port) as server,
        userland(peer_udp_port=port) as client,
        await open_listener(0, hosts=[HOST], stack=server) as listener,
        await open_listener(0, hosts=[OTHER_HOST], stack=server) as other,
    ):
        first = await open_association(HOST, listener.port, local_hosts=HOST, stack=client)
        (used,) = {carrier.port for carrier in client._carriers.values()}
        with udp(OTHER_HOST, used):
            second = await open_association(
                OTHER_HOST, other.port, local_hosts=OTHER_HOST, stack=client
            )
            ports = {carrier.host: carrier.port for carrier in client._carriers.values()}
            assert ports[HOST] == used
            assert ports[OTHER_HOST] not in (used, 0)
            await second.send(b"works")
            accepted = await other.accept()
            assert (await accepted.receive()).data == b"works"
        for channel in (first, second, accepted):
            channel.abort()


SENDING, RECEIVING = ("sendto", "sendmsg"), ("recvfrom", "recvmsg")


class Faulty:
    """A socket whose calls of these names fail three times each."""

    def __init__(self, sock: socket.socket, error: Exception, names: Sequence[str]) -> None:
        self._sock = sock
        self._error = error
        self._failures = dict.fromkeys(names, 3)

    def __getattr__(self, name: str) -> Any:
        if self._failures.get(name, 0):
            self._failures[name] -= 1
            return self._fail
        return getattr(self._sock, name)

    def _fail(self, *_: object) -> None:
        raise self._error


ERRORS = ["ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "ENETUNREACH", "ENOBUFS", "EAGAIN", "EPERM"]


@pytest.mark.parametrize("name", ERRORS)
async def test_errors_of_sockets_end_nothing(name: str) -> None:
    """At worst packets are lost, and sent again; without room in a buffer, they wait for it."""
    number = getattr(errno, name)
    error = OSError(number, os.strerror(number))
    options = [RtoInfo(initial=100, min=100, max=200)]
    async with (
        two_stacks() as (server, client),
        await open_listener(0, hosts=HOST, stack=server, options=options) as listener,
    ):
        there = await open_association(HOST, listener.port, stack=client, options=options)
        here = await listener.accept()
        for stack in (server, client):
            for carrier in stack._carriers.values():
                faulty = Faulty(carrier.sock, error, SENDING + RECEIVING)
                carrier.sock = faulty  # type: ignore[assignment]
        for number in range(20):
            await there.send(b"%d" % number)
            assert (await here.receive()).data == b"%d" % number
        if name in ("ENOBUFS", "EAGAIN"):
            assert client.statistics().packets_not_sent == 0
        await trio.aclose_forcefully(there)
        await trio.aclose_forcefully(here)


@linux
@pytest.mark.parametrize("host", [HOST, HOST6])
async def test_packets_are_not_fragmented(host: str) -> None:
    """Their DF bit is set, whatever the kernel believes of the path: IP_PMTUDISC_PROBE."""
    level, option = (41, 23) if host == HOST6 else (socket.IPPROTO_IP, 10)
    async with two_stacks() as stacks, channels(*stacks, host=host, hosts=host) as (client, server):
        await client.send(bytes(5000))
        await server.receive()
        for stack in stacks:
            for carrier in stack._carriers.values():
                assert carrier.sock.getsockopt(level, option) == 3


async def test_bytes_that_are_no_packets_are_dropped() -> None:
    async with two_stacks() as stacks, channels(*stacks) as (client, server):
        port = server.local_addresses[0][1]
        with udp() as stranger:
            for udp_port in {udp_port for _, udp_port in stacks[0]._carriers}:
                for data in (b"", b"x", bytes(12), bytes(2000), port.to_bytes(2, "big") * 50):
                    stranger.sendto(data, (HOST, udp_port))
        await client.send(b"hello")
        assert (await server.receive()).data == b"hello"


# -- packets -------------------------------------------------------------------------------------


async def test_the_path_mtu_is_found_and_can_be_fixed() -> None:
    async with two_stacks() as stacks, channels(*stacks) as (client, server):
        assert (
            client.paths()[0].mtu == 1232
        )  # what IPv6 guarantees, less the headers of IPv6 and UDP
        await client.send(bytes(200_000))
        assert (await server.receive()).data == bytes(200_000)
        await client.send(b"the answer to the probe has come")
        await server.receive()
        assert client.paths()[0].mtu == 1452  # Ethernet's
        client.set_option(PeerAddressParams(flags=PeerAddressFlags.PMTUD_DISABLE, pathmtu=1000))
        await client.send(bytes(20_000))
        await server.receive()
        assert client.paths()[0].mtu == 1000


@linux
async def test_packets_for_which_there_was_no_room_are_counted() -> None:
    async with two_stacks() as (server, client), channels(server, client):
        assert server.statistics().packets_not_received == 0
        (port,) = {udp_port for _, udp_port in server._carriers}
        with udp() as flooder:
            for _ in range(20_000):  # without a checkpoint, so that nobody reads
                with contextlib.suppress(BlockingIOError):
                    flooder.sendto(bytes(1400), (HOST, port))
        assert (server.statistics().packets_not_received or 0) > 0
        assert client.statistics().packets_not_received == 0


# -- the end -------------------------------------------------------------------------------------


async def test_a_cancelled_aclose_goes_on_shutting_down() -> None:
    async with two_stacks() as stacks, channels(*stacks) as (client, server):
        await client.send(bytes(500_000))  # more than leaves at once
        with trio.CancelScope() as scope:
            scope.cancel()
            await client.aclose()
        assert (await server.receive()).data == bytes(500_000)
        assert (await server.wait_ended()).graceful


async def test_leaving_the_block_aborts_what_is_left() -> None:
    port = free_port()
    async with (
        userland(udp_port=port) as server,
        await open_listener(0, hosts=HOST, stack=server) as listener,
    ):
        async with userland(peer_udp_port=port) as client:
            there = await open_association(HOST, listener.port, stack=client)
            here = await listener.accept()
        end = await here.wait_ended()
        assert (end.state, end.cause) == (AssociationState.COMM_LOST, 12)
        with pytest.raises(AssociationLost):
            await there.send(b"too late")
        with pytest.raises(trio.BrokenResourceError):
            await there.receive()
        with pytest.raises(trio.BrokenResourceError, match="was left"):
            await open_endpoint(stack=client)
        for channel in (here, there):
            await channel.aclose()


async def test_leaving_the_block_is_one_bare_error_to_those_who_still_use_it() -> None:
    port = free_port()
    async with (
        userland(udp_port=port) as server,
        await open_listener(0, hosts=HOST, stack=server) as listener,
        trio.open_nursery() as nursery,
    ):
        async with userland(peer_udp_port=port) as client:
            watched, read, slept = [
                await open_association(HOST, listener.port, stack=client) for _ in range(3)
            ]
            endpoint = await open_endpoint(stack=client)
            slept_on = trio.Event()

            async def watch() -> None:
                with pytest.raises(trio.BrokenResourceError, match="was left") as caught:
                    async with watched.while_up(), trio.open_nursery() as inner:
                        inner.start_soon(watched.receive)
                assert type(caught.value) is trio.BrokenResourceError

            async def receive() -> None:
                async with read.active(5) as inbox:
                    with pytest.raises(trio.BrokenResourceError, match="was left"):
                        await inbox.receive()

            async def sleep() -> None:
                async with slept.active(5):
                    await slept_on.wait()  # nobody cancels this

            for task in watch, receive, sleep:
                nursery.start_soon(task)
            await trio.testing.wait_all_tasks_blocked(0.01)
        await trio.testing.wait_all_tasks_blocked(0.01)
        slept_on.set()
        for closed in (watched, read, slept, endpoint):
            await closed.aclose()


async def test_leaving_the_block_aborts_what_shuts_down_in_the_background() -> None:
    with udp() as peer:
        engine = Engine(2905, [HOST])
        engine.listening = True
        async with userland(peer_udp_port=peer.getsockname()[1]) as stack:

            async def answer(packets: int) -> None:
                for _ in range(packets):
                    await trio.lowlevel.wait_readable(peer)
                    data, source = peer.recvfrom(65536)
                    route = trio_sctp._engine.Route(HOST, HOST, 0, source[1])
                    engine.receive_packet(data, route, trio.current_time())
                    for out in engine.packets_to_send():
                        peer.sendto(out.data, source)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(answer, 2)  # INIT and COOKIE ECHO
                channel = await open_association(HOST, 2905)
            with trio.CancelScope() as scope:
                scope.cancel()
                await channel.aclose()
            assert [type(chunk) for chunk in (await packet_to(peer)).chunks] == [wire.Shutdown]
            assert stack.engines
        assert [type(chunk) for chunk in (await packet_to(peer)).chunks] == [wire.Abort]


async def test_the_end_of_the_run_aborts_what_is_left() -> None:
    """The default stack, which no block runs, does that too."""
    left: list[AssociationChannel] = []
    async with userland(), await open_listener(0, hosts=HOST) as listener:

        async def client() -> None:
            left.append(await open_association(HOST, listener.port, stack="userland"))
            await left[0].send(b"bye")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, trio.run, client)
            async with await listener.accept() as here:
                assert (await here.receive()).data == b"bye"
                end = await here.wait_ended()
                assert (end.state, end.cause) == (AssociationState.COMM_LOST, 12)
    with pytest.warns(ResourceWarning, match="unclosed <AssociationChannel"):
        left.clear()


def break_down(stack: Userland) -> None:
    """The next packet that arrives meets a fault of the driver's own."""
    for carrier in stack._carriers.values():
        faulty = Faulty(carrier.sock, RuntimeError("a fault of ours"), RECEIVING)
        carrier.sock = faulty  # type: ignore[assignment]


async def test_a_fault_in_the_driver_ends_its_sockets(caplog: pytest.LogCaptureFixture) -> None:
    async with two_stacks() as (server, client), channels(server, client) as (there, here):
        break_down(server)
        await there.send(b"x")
        with pytest.raises(trio.BrokenResourceError, match="has failed") as broken:
            await here.receive()
        assert isinstance(broken.value.__cause__, Exception)
        with pytest.raises(trio.BrokenResourceError, match="has failed"):
            await open_endpoint(stack=server)
    (record, *_) = caplog.records
    assert (record.name, record.levelno) == ("trio_sctp", logging.ERROR)


async def test_a_fault_in_the_default_stack_never_reaches_the_run_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with await open_listener(0, hosts=HOST, stack="userland") as listener:
        break_down(default_stack())
        with pytest.raises((trio.BrokenResourceError, ConnectFailed)):
            await open_association(HOST, listener.port, stack="userland")
        with pytest.raises(trio.BrokenResourceError):
            await listener.accept()
    assert caplog.records
    async with await open_listener(0, hosts=HOST, stack="userland") as listener:  # another stack
        there = await open_association(HOST, listener.port, stack="userland")
        await trio.aclose_forcefully(there)


# -- other systems -------------------------------------------------------------------------------

ELSEWHERE = """
import fcntl, socket, sys
import trio
import trio.testing
sys.modules["fcntl"] = None
for name in ("SOCK_SEQPACKET", "IPV6_RECVPKTINFO", "IPV6_PKTINFO", "CMSG_SPACE", "MSG_ERRQUEUE"):
    if hasattr(socket, name):
        delattr(socket, name)
sys.platform = {platform!r}
import trio_sctp, trio_sctp.testing

async def main():
    print(trio_sctp.stacks()[0].reason)
    async with trio_sctp.userland(udp_port={port}, peer_udp_port={port}):
        async with await trio_sctp.open_listener(0, hosts="127.0.0.1") as listener:
            client = await trio_sctp.open_association(
                "127.0.0.1", listener.port, local_hosts="127.0.0.1"
            )
            server = await listener.accept()
            await client.send(b"hello")
            print((await server.receive()).data)
            client.abort()
            await trio.aclose_forcefully(server)

trio.run(main)
"""


@pytest.mark.parametrize("platform", ["win32", "darwin"])
async def test_what_other_systems_lack_is_not_needed(platform: str) -> None:
    program = ELSEWHERE.format(platform=platform, port=free_port())
    run = await trio.run_process(
        [sys.executable, "-W", "error", "-c", program],
        capture_stdout=True,
        stderr=subprocess.STDOUT,
    )
    lines = run.stdout.decode().splitlines()
    assert lines[1:] == ["b'hello'"]
    assert platform in lines[0]


@linux
@pytest.mark.parametrize("answer", [b"short", OSError(errno.ENOPROTOOPT, "not known")])
async def test_what_stands_in_for_linux_need_not_count_drops(
    answer: bytes | OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As QEMU's emulation of a process does not."""

    class Emulated(socket.socket):
        def getsockopt(self, level: int, number: int, size: int = 0) -> Any:
            if number != 55:
                return super().getsockopt(level, number, size)
            if isinstance(answer, OSError):
                raise answer
            return answer

    monkeypatch.setattr("socket.socket", Emulated)
    async with two_stacks() as stacks:
        async with channels(*stacks) as (client, server):
            await client.send(b"hello")
            assert (await server.receive()).data == b"hello"
        assert stacks[0].statistics().packets_not_received is None


async def test_raw_ip_needs_privileges(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("trio_sctp._userland.userland.Carrier", denied)
    monkeypatch.setattr("os.path.exists", lambda path: False)
    with pytest.raises(StackUnavailable, match="CAP_NET_RAW"):
        async with userland(carrier="ip"):
            pass


async def test_raw_ip_is_not_for_where_the_kernel_has_sctp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.exists", lambda path: path == "/proc/net/sctp")
    with pytest.raises(StackUnavailable, match="stack='kernel'"):
        async with userland(carrier="ip"):
            pass
