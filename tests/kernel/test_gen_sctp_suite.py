"""Every case of gen_sctp_SUITE, the test suite of Erlang's gen_sctp, asked of this library.

The tests bear the names of the cases.  A docstring says what a case is about, and where this
library differs on purpose.  gen_sctp's processes are tasks here, and its mailbox is an inbox.
"""

from __future__ import annotations

import dataclasses
import errno
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Protocol, TypeVar

import pytest
import trio
import trio.abc
import trio.testing

from trio_sctp import (
    ONCE,
    Association,
    AssociationChange,
    AssociationChannel,
    AssociationState,
    ConnectFailed,
    DefaultSendParams,
    Endpoint,
    Event,
    EventSubscription,
    Inbox,
    InitMsg,
    IPv6Only,
    Linger,
    Listener,
    Message,
    NoDelay,
    Option,
    Passive,
    PathState,
    PeerAddressChange,
    PeerAddressInfo,
    PeerAddressState,
    Priority,
    ReceiveBuffer,
    SendBuffer,
    ShutdownReceived,
    Window,
    open_association,
    open_endpoint,
    open_listener,
)

from ..support.resolver import Resolver
from .conftest import LOOPBACK, descriptors

COMM_UP = AssociationState.COMM_UP
COMM_LOST = AssociationState.COMM_LOST
SHUTDOWN_COMP = AssociationState.SHUTDOWN_COMP
CANT_ASSOC = AssociationState.CANT_ASSOC

IPPROTO_SCTP = 132
STREAM = 0
DATA = b"Zwei Boxkaempfer jagen Eva quer durch Sylt 9876543210"

INTERFACE = "suite0"
IPV4 = ["192.0.2.1", "192.0.2.2"]
HOST_NAME = "server.test"
IPV6 = ["fd00:5c7b::1", "fd00:5c7b::2"]
LINK_LOCAL_IPV4 = "169.254.7.1"
LINK_LOCAL_IPV6 = f"fe80::1%{INTERFACE}"


def _route(address: str) -> str:
    """How the kernel would send to this address."""
    return subprocess.run(
        ["ip", "route", "get", address], capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture
def interface() -> Iterator[None]:
    """An interface with the addresses above."""
    commands = [
        f"link add {INTERFACE} type dummy",
        f"link set {INTERFACE} addrgenmode none",  # It would give itself an address of its own.
        f"link set {INTERFACE} up",
        f"address add {LINK_LOCAL_IPV4}/16 dev {INTERFACE}",
        f"address add fe80::1/64 dev {INTERFACE} nodad",
    ]
    commands += [f"address add {address}/24 dev {INTERFACE}" for address in IPV4]
    commands += [f"address add {address}/64 dev {INTERFACE} nodad" for address in IPV6]
    try:
        subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)
        # The kernel makes an IPv6 address its own some time after the command has returned. An
        # association whose first packet comes before that keeps the route to nowhere.
        for address in IPV6:
            while "local" not in _route(address):
                pass
        yield
    finally:
        subprocess.run(["ip", "link", "delete", INTERFACE], check=True)


# -- what many cases do ------------------------------------------------------------------------


class Source(Protocol):
    """An endpoint or an inbox."""

    async def receive(self) -> Message | Event: ...


R = TypeVar("R", bound=Message | Event)
T = TypeVar("T")


async def take(source: Source, kind: type[R]) -> R:
    """The next record, which has to be of this kind.

    A stack may say before that a path or two are good.
    """
    record = await source.receive()
    for _ in range(2):
        if not isinstance(record, PeerAddressChange):
            break
        assert record.state in (PeerAddressState.ADDR_AVAILABLE, PeerAddressState.ADDR_CONFIRMED)
        assert record.error == 0
        record = await source.receive()
    assert isinstance(record, kind), record
    return record


async def take_change(source: Source, state: AssociationState) -> AssociationChange:
    """The next record, which has to be an association's change into this state."""
    change = await take(source, AssociationChange)
    assert change.state is state
    if state in (COMM_UP, SHUTDOWN_COMP):
        assert change.error == 0
    return change


async def assert_quiet(*sources: Source) -> None:
    """Nothing more arrives."""
    for source in sources:
        with trio.move_on_after(0.017):
            raise AssertionError(await source.receive())


async def in_another_task(function: Callable[[], Awaitable[T]]) -> T:
    """Call it in a task of its own, as gen_sctp's suite does in a process."""
    results: list[T] = []

    async def call() -> None:
        results.append(await function())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
    return results[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """Two endpoints and their association, which is up; both queues are empty."""

    server: Endpoint
    peer: Association
    """The server's handle."""
    client: Endpoint
    association: Association
    """The client's handle."""


@asynccontextmanager
async def open_pair(
    server_options: Sequence[Option] = (), client_options: Sequence[Option] = ()
) -> AsyncIterator[Pair]:
    async with (
        await open_endpoint(hosts=LOOPBACK, options=server_options) as server,
        await open_endpoint(hosts=LOOPBACK, options=client_options) as client,
    ):
        server.listen()
        association = await client.connect_init(LOOPBACK, server.port)
        assert (await take_change(client, COMM_UP)).association_id == association.id
        up = await take_change(server, COMM_UP)
        peer = server.associations[up.association_id]
        yield Pair(server=server, peer=peer, client=client, association=association)


async def close_pair(pair: Pair) -> None:
    """Close the server; the client sees a graceful end and nothing else."""
    await pair.server.aclose()
    shutdown = await take(pair.client, ShutdownReceived)
    assert shutdown.association_id == pair.association.id
    complete = await take_change(pair.client, SHUTDOWN_COMP)
    assert complete.association_id == pair.association.id
    await assert_quiet(pair.client)
    await pair.client.aclose()


def is_ipv6(host: str) -> bool:
    return ":" in host


@asynccontextmanager
async def connected(hosts: list[str], host: str) -> AsyncIterator[Pair]:
    """A server with these addresses, and a client that connected to one of them.

    The client has an address family of its own, that of the host.
    """
    mixed = len({is_ipv6(host) for host in hosts}) == 2
    async with (
        await open_endpoint(hosts=hosts, options=[IPv6Only(False)] if mixed else []) as server,
        await (
            open_endpoint(hosts="::", options=[IPv6Only(True)])
            if is_ipv6(host)
            else open_endpoint()
        ) as client,
    ):
        server.listen()
        association = await client.connect(host, server.port)
        up = await take_change(server, COMM_UP)
        peer = server.associations[up.association_id]
        yield Pair(server=server, peer=peer, client=client, association=association)


async def open_and_connect(hosts: list[str], host: str) -> None:
    """Connect to a server with these addresses; the client learns those of its own family."""
    async with connected(hosts, host) as pair:
        assert {address[0] for address in pair.server.local_addresses()} == set(hosts)
        learnt = {address[0] for address in pair.client.peer_addresses(pair.association)}
        assert learnt == {other for other in hosts if is_ipv6(other) == is_ipv6(host)}


# -- smoke -------------------------------------------------------------------------------------


async def test_basic() -> None:
    """A socket opens and closes."""
    endpoint = await open_endpoint()
    await endpoint.aclose()


async def test_basic_stream() -> None:
    """A one-to-one socket listens, once more from another process, and closes.

    `open_listener` listens from the start, so there is nothing to call twice: the socket that
    listens already is a plain one, which another task adopts with another backlog.
    """
    listener = await in_another_task(partial(open_listener, 0, hosts=LOOPBACK, backlog=10))
    await listener.aclose()

    plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_SCTP)
    plain.bind((LOOPBACK, 0))
    plain.listen()

    async def adopt() -> Listener:
        return Listener.from_socket(plain, backlog=10)

    async with (
        await in_another_task(adopt) as listener,
        await open_association(LOOPBACK, listener.port) as client,
        await listener.accept() as server,
    ):
        await server.send(DATA)
        assert (await client.receive()).data == DATA


# -- calls and their arguments -----------------------------------------------------------------


async def test_api_open_close() -> None:
    """A port can be opened again once closed, in every way to say so; bad arguments are refused.

    badarg is TypeError or ValueError.  There is no mode (data are always bytes) and no debug
    option; the active mode, which is chosen after opening, stands in for the mode.
    """
    opened = descriptors()
    endpoint = await open_endpoint(0)
    port = endpoint.port
    assert port > 0
    await endpoint.aclose()
    with pytest.raises(trio.ClosedResourceError):
        _ = endpoint.port
    for reopen in (
        partial(open_endpoint, port),
        partial(open_endpoint, port=port),
        partial(open_endpoint, port, options=[]),
        partial(open_endpoint, port, hosts="0.0.0.0", options=[NoDelay(False), NoDelay(True)]),
    ):
        endpoint = await reopen()
        assert endpoint.port == port
        await endpoint.aclose()
        await endpoint.aclose()

    bad_ports: list[Any] = [{}, object(), 2.0]
    for bad in bad_ports:
        with pytest.raises(TypeError):
            await open_endpoint(bad)
    for number in (-1, 65536):
        with pytest.raises(ValueError, match="65535"):
            await open_endpoint(number)
    bad_options: list[Any] = [7, [object()], ["invalid_option"], [("invalid_option", 0)]]
    for bad in bad_options:
        with pytest.raises(TypeError):
            await open_endpoint(0, options=bad)
    invalid_mode: Any = "invalid_mode"
    async with await open_endpoint() as endpoint:
        with pytest.raises(TypeError):
            async with endpoint.active(invalid_mode):
                raise AssertionError("that is no mode")
    assert descriptors() == opened
    with pytest.raises(ValueError, match="socket"):
        Endpoint.from_socket(0)


async def test_api_listen() -> None:
    """Listening needs an open socket; a client can connect once the server listens.

    The refusal is a `ConnectFailed` with its event, never an event that comes by itself.  Names
    that are no numbers are a TypeError before anybody is asked.
    """
    not_a_backlog: Any = "not_allowed_for_listen"
    with pytest.raises(TypeError, match="backlog"):
        await open_listener(0, backlog=not_a_backlog)
    closed = await open_endpoint()
    port = closed.port
    await closed.aclose()
    with pytest.raises(trio.ClosedResourceError):
        closed.listen()

    async with await open_endpoint(port) as server, await open_endpoint() as client:
        for no_name in ("", "."):
            with pytest.raises(ValueError, match=r"name|label"):
                await client.connect(no_name, 65535)
        with pytest.raises(ConnectFailed) as refused:
            await client.connect("localhost", port)
        assert refused.value.errno == errno.ECONNREFUSED
        assert refused.value.event is not None
        assert refused.value.event.state is CANT_ASSOC
        server.listen()
        association = await client.connect("localhost", port)
        up = await take_change(server, COMM_UP)
        assert client.associations == {association.id: association}
        assert server.associations.keys() == {up.association_id}
        await assert_quiet(client)
    with pytest.raises(ValueError, match="socket"):
        Listener.from_socket(0)


async def test_api_connect_init() -> None:
    """Connecting without waiting: what comes of it is an event.

    The id is there at once, as with connectx_init.  A port may be the name of a service, so a wrong
    name is a lookup that fails.
    """
    async with await open_endpoint() as endpoint:
        port = endpoint.port
        bad_port: Any = object()
        with pytest.raises(TypeError):
            await endpoint.connect_init(LOOPBACK, bad_port)
        with pytest.raises(socket.gaierror):
            await endpoint.connect_init(LOOPBACK, "not_allowed_for_port")
        bad_options: Any = "not_allowed_for_opts"
        with pytest.raises(TypeError):
            await endpoint.connect_init(LOOPBACK, 12345, options=bad_options)
    with pytest.raises(trio.ClosedResourceError):
        await endpoint.connect_init(LOOPBACK, 12345)
    await connect_init_twice(port, "localhost")


async def test_api_connectx_init() -> None:
    """The same with a list of addresses, and the id of the association at once.

    A single host instead of a list is as good.
    """
    async with await open_endpoint() as endpoint:
        port = endpoint.port
        bad_hosts: list[Any] = [12345, object()]
        for bad in bad_hosts:
            with pytest.raises(TypeError):
                await endpoint.connect_init(bad, 12345)
        none_at_all: list[str] = []
        with pytest.raises(ValueError, match="no host"):
            await endpoint.connect_init(none_at_all, 12345)
        with pytest.raises(socket.gaierror):
            await endpoint.connect_init([LOOPBACK], "not_allowed_for_port")
        bad_options: Any = "not_allowed_for_opts"
        with pytest.raises(TypeError):
            await endpoint.connect_init([LOOPBACK], 12345, options=bad_options)
        assert not endpoint.associations
    with pytest.raises(trio.ClosedResourceError):
        await endpoint.connect_init([LOOPBACK], 12345)
    await connect_init_twice(port, ["localhost"])
    await connect_init_twice(port, [LOOPBACK, "127.0.0.2"])


async def connect_init_twice(port: int, hosts: str | list[str]) -> None:
    """Refused while the server does not listen, then up; both times with the id that was given."""
    async with await open_endpoint(port) as server, await open_endpoint() as client:
        first = await client.connect_init(hosts, port)
        assert first.id != 0
        refused = await take_change(client, CANT_ASSOC)
        assert refused.association_id == first.id
        assert not client.associations
        server.listen()
        second = await client.connect_init(hosts, port)
        assert second.id not in (0, first.id)
        up = await take_change(client, COMM_UP)
        assert up.association_id == second.id
        assert client.associations == {second.id: second}
        assert (LOOPBACK, port) in second.peer_addresses


async def test_api_opts() -> None:
    """Linger and the sizes of the buffers can be set, and are at least what was asked for."""
    async with await open_endpoint(0) as endpoint:
        endpoint.set_option(Linger(True, 2))
        endpoint.set_option(SendBuffer(32768))
        endpoint.set_option(ReceiveBuffer(65536))
        assert endpoint.get_option(Linger) == Linger(True, 2)
        assert endpoint.get_option(SendBuffer).size >= 32768
        assert endpoint.get_option(ReceiveBuffer).size >= 65536


# -- transfer ----------------------------------------------------------------------------------


async def test_xfer_min() -> None:
    """Connect, a message each way, a graceful end, and everything is counted.

    The connecting side's COMM_UP is no record: `connect` returns instead.  Counted are messages and
    their octets, in sum; gen_sctp's counters have averages and maxima too, and count events.
    """
    async with (
        await open_endpoint(
            hosts=LOOPBACK, options=[InitMsg(num_ostreams=7, max_instreams=20)]
        ) as server,
        await open_endpoint(
            hosts=LOOPBACK, options=[InitMsg(num_ostreams=5, max_instreams=20)]
        ) as client,
    ):
        before = server.statistics()
        server.listen()
        association = await client.connect(LOOPBACK, server.port)
        up = await take_change(server, COMM_UP)
        assert (association.outbound_streams, association.inbound_streams) == (5, 7)
        assert (up.inbound_streams, up.outbound_streams) == (5, 7)

        await client.send(DATA, association.id, stream=STREAM)
        message = await take(server, Message)
        assert message.data == DATA
        assert message.stream == STREAM
        assert message.association_id == up.association_id
        assert message.address == (LOOPBACK, client.port)

        await server.send(DATA, up.association_id, stream=STREAM)
        message = await take(client, Message)
        assert message.data == DATA
        assert message.stream == STREAM
        assert message.association_id == association.id
        assert message.address == (LOOPBACK, server.port)

        await client.eof(association)
        assert (await take(server, ShutdownReceived)).association_id == up.association_id
        assert (await take_change(client, SHUTDOWN_COMP)).association_id == association.id
        assert (await take_change(server, SHUTDOWN_COMP)).association_id == up.association_id
        await assert_quiet(client, server)
        await client.aclose()

        assert before.messages_received == before.octets_received == 0
        assert before.messages_sent == before.octets_sent == 0
        after = server.statistics()
        assert (after.messages_received, after.octets_received) == (1, len(DATA))
        assert (after.messages_sent, after.octets_sent) == (1, len(DATA))


async def test_xfer_active() -> None:
    """The same in active mode, with an abort at the end and a sender in another process.

    ``{active, true}`` is a `Window`, so that a flood has a bound.
    """
    async with (
        await open_endpoint(hosts=LOOPBACK) as server,
        await open_endpoint(hosts=LOOPBACK) as client,
        server.active(Window(16)) as server_inbox,
        client.active(Window(16)) as client_inbox,
    ):
        server.listen()
        association = await client.connect_init(LOOPBACK, server.port)
        here = await take_change(client_inbox, COMM_UP)
        there = await take_change(server_inbox, COMM_UP)
        assert here.association_id == association.id
        assert here.outbound_streams == there.inbound_streams
        assert here.inbound_streams == there.outbound_streams
        await assert_quiet(client_inbox, server_inbox)

        await in_another_task(partial(client.send, DATA, here.association_id, stream=STREAM))
        message = await take(server_inbox, Message)
        assert (message.data, message.stream) == (DATA, STREAM)
        assert message.association_id == there.association_id
        assert message.address == (LOOPBACK, client.port)

        await server.send(DATA, there.association_id, stream=STREAM)
        message = await take(client_inbox, Message)
        assert (message.data, message.stream) == (DATA, STREAM)
        assert message.association_id == here.association_id
        assert message.address == (LOOPBACK, server.port)

        client.abort(association)
        lost = await take_change(server_inbox, COMM_LOST)
        assert lost.association_id == there.association_id
        await assert_quiet(server_inbox)
        await server.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await server_inbox.receive()
        lost = await take_change(client_inbox, COMM_LOST)
        assert lost.association_id == here.association_id
        await assert_quiet(client_inbox)


async def test_def_sndrcvinfo() -> None:
    """Default send parameters: a socket's, an association's, and what a send says itself.

    gen_sctp looks at them in send/4 and not in send/3; here a send takes from them whatever it is
    not given.
    """
    unset = DefaultSendParams(stream=0, ppid=0, unordered=False, context=0, lifetime=0)
    given = dataclasses.replace(unset, ppid=17)
    async with (
        await open_endpoint(hosts=LOOPBACK, options=[DefaultSendParams(ppid=17)]) as first,
        await open_endpoint(hosts=LOOPBACK) as second,
    ):
        assert first.get_option(DefaultSendParams) == given
        assert second.get_option(DefaultSendParams) == unset
        first.listen()
        there = await second.connect(LOOPBACK, first.port)
        up = await take_change(first, COMM_UP)
        here = first.associations[up.association_id]
        assert first.get_option(DefaultSendParams, here) == given
        assert second.get_option(DefaultSendParams, there) == unset

        await first.send(b"1: " + DATA, here, stream=1)
        message = await take(second, Message)
        assert (message.data, message.association_id) == (b"1: " + DATA, there.id)
        assert (message.stream, message.ppid, message.context) == (1, 17, 0)

        first.set_option(DefaultSendParams(ppid=18))
        first.set_option(DefaultSendParams(ppid=19), here)
        assert first.get_option(DefaultSendParams) == dataclasses.replace(unset, ppid=18)
        assert first.get_option(DefaultSendParams, here) == dataclasses.replace(unset, ppid=19)

        await first.send(b"2: " + DATA, here, stream=0)
        message = await take(second, Message)
        assert (message.data, message.association_id) == (b"2: " + DATA, there.id)
        assert (message.stream, message.ppid, message.context) == (0, 19, 0)

        await second.send(b"3: " + DATA, there, stream=1)
        message = await take(first, Message)
        assert (message.data, message.association_id) == (b"3: " + DATA, here.id)
        assert (message.stream, message.ppid, message.context) == (1, 0, 0)

        await in_another_task(partial(second.send, b"4: " + DATA, there, stream=0, ppid=20))
        message = await in_another_task(partial(take, first, Message))
        assert (message.data, message.association_id) == (b"4: " + DATA, here.id)
        assert (message.stream, message.ppid, message.context) == (0, 20, 0)

        await first.send(b"5: " + DATA, here, ppid=21)
        assert (await take(second, Message)).ppid == 21
        await assert_quiet(first, second)


# -- addresses ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("interface")
async def test_implicit_inet6() -> None:
    """An IPv6 address makes an IPv6 socket, whether given as an address or as a name.

    gen_sctp takes addresses alone where a socket is opened; here they may be names.
    """
    resolver = Resolver()
    resolver.hosts = {"localhost": ["::1"], HOST_NAME: [IPV6[0]]}
    trio.socket.set_custom_hostname_resolver(resolver)
    for host, address in (
        ("::", "::1"),
        ("::1", "::1"),
        ("localhost", "::1"),
        (IPV6[0], IPV6[0]),
        (HOST_NAME, IPV6[0]),
    ):
        async with (
            await open_endpoint(0, hosts=host) as server,
            await open_endpoint(0, hosts=address) as client,
        ):
            server.listen()
            association = await client.connect(address, server.port)
            up = await take_change(server, COMM_UP)
            assert server.peer_addresses(up.association_id) == [(address, client.port, 0, 0)]
            assert (address, server.port, 0, 0) in server.local_addresses()
            assert client.local_addresses() == [(address, client.port, 0, 0)]
            assert association.local_addresses == [(address, client.port, 0, 0)]


@pytest.mark.usefixtures("interface")
async def test_open_multihoming_ipv4_socket() -> None:
    """A server with two IPv4 addresses; the client learns both."""
    await open_and_connect(IPV4, IPV4[0])


@pytest.mark.usefixtures("interface")
async def test_open_unihoming_ipv6_socket() -> None:
    """A server with one IPv6 address."""
    await open_and_connect(IPV6[:1], IPV6[0])


@pytest.mark.usefixtures("interface")
async def test_open_multihoming_ipv6_socket() -> None:
    """A server with two IPv6 addresses; the client learns both."""
    await open_and_connect(IPV6, IPV6[0])


@pytest.mark.usefixtures("interface")
async def test_open_multihoming_ipv4_and_ipv6_socket() -> None:
    """A server with addresses of both families, reached by clients of one."""
    await open_and_connect([IPV4[0], IPV6[0], IPV4[1]], IPV4[0])
    await open_and_connect([IPV6[0], IPV4[0]], IPV6[0])
    # Not the first, to see that all are bound.
    await open_and_connect([IPV6[0], IPV6[1], IPV4[0]], IPV6[1])
    await open_and_connect([IPV6[0], IPV6[1], IPV4[0]], IPV4[0])


# -- active mode -------------------------------------------------------------------------------


async def test_active_n() -> None:
    """The arithmetic of ``{active, N}``, and a Passive after the record that takes the last credit.

    The mode belongs to a block: ``false`` is to leave it, and ``true``, a `Window`, needs another
    block.
    """
    n = 3
    async with (
        await open_endpoint(hosts=LOOPBACK) as server,
        await open_endpoint(hosts=LOOPBACK) as client,
    ):
        async with server.active(n) as inbox:
            assert inbox.credit == n
            inbox.grant(-n)
            assert await inbox.receive() == Passive()
            assert inbox.credit == 0
            inbox.grant(0)
            assert await inbox.receive() == Passive()
            inbox.grant(32767)
            for out_of_range in (1, -32769):
                with pytest.raises(ValueError, match="32767"):
                    inbox.grant(out_of_range)
            assert inbox.credit == 32767
            inbox.grant(-32768)
            assert await inbox.receive() == Passive()
            assert inbox.credit == 0
            inbox.grant(n)
        async with server.active(Window(n)) as inbox:
            await assert_quiet(inbox)
        async with server.active(n) as inbox:
            inbox.once()
            assert inbox.credit == 1
            await assert_quiet(inbox)
            with pytest.raises(ValueError, match="32767"):
                inbox.grant(32768)
            assert inbox.credit == 1
        assert server.statistics().credit is None
        await assert_quiet(server)

        server.listen()
        association = await client.connect(LOOPBACK, server.port)
        async with server.active(n) as inbox:
            assert isinstance(await inbox.receive(), AssociationChange)
            assert inbox.credit == n - 1
            inbox.grant(1)
            for number in range(1, n + 1):
                await client.send(b"message %d" % number, association)
                record = await inbox.receive()
                while isinstance(record, PeerAddressChange):
                    inbox.grant(1)
                    record = await inbox.receive()
                assert isinstance(record, Message)
                assert record.data == b"message %d" % number
                assert inbox.credit == n - number
            assert await inbox.receive() == Passive()
            await client.send(b"without credit", association)
            await assert_quiet(inbox)
            assert inbox.credit == 0
        assert (await take(server, Message)).data == b"without credit"
    async with await open_endpoint() as endpoint, endpoint.active(0) as inbox:
        assert await inbox.receive() == Passive()
        assert inbox.credit == 0


async def test_xfer_stream_min() -> None:
    """A one-to-one client and a one-to-many server.

    `open_association` uses a one-to-many socket and peels it off at once, so a plain one-to-one
    socket is tried besides, adopted.  `PeerAddressInfo` holds no association id; the `Status` does.
    """
    async with await open_endpoint(hosts=LOOPBACK) as server:
        server.listen()
        client = await open_association(LOOPBACK, server.port, local_hosts=LOOPBACK)
        await exchange_and_close(client, server)

        plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_SCTP)
        plain.bind((LOOPBACK, 0))
        plain.connect((LOOPBACK, server.port))
        client = AssociationChannel.from_socket(plain)
        await exchange_and_close(client, server)


async def exchange_and_close(client: AssociationChannel, server: Endpoint) -> None:
    (ours,) = client.local_addresses
    theirs = (LOOPBACK, server.port)
    up = await take_change(server, COMM_UP)
    assert client.get_option(PeerAddressInfo, address=theirs).state is PathState.ACTIVE
    assert client.status().association_id == client.id
    assert client.outbound_streams == up.inbound_streams
    assert client.inbound_streams == up.outbound_streams

    await client.send(DATA, stream=STREAM)
    message = await take(server, Message)
    assert (message.data, message.stream) == (DATA, STREAM)
    assert (message.association_id, message.address) == (up.association_id, ours)

    await in_another_task(partial(server.send, DATA, up.association_id, stream=STREAM))
    message = await client.receive()
    assert (message.data, message.stream) == (DATA, STREAM)
    assert (message.association_id, message.address) == (client.id, theirs)

    await client.aclose()
    assert (await take(server, ShutdownReceived)).association_id == up.association_id
    assert (await take_change(server, SHUTDOWN_COMP)).association_id == up.association_id
    await assert_quiet(server)


# -- peeling off -------------------------------------------------------------------------------


async def test_peeloff_active_once() -> None:
    """Peel off an association and read it in the mode of ``{active, once}``.

    ``peeloff`` keeps the association's id, and the old handle no longer works.
    """

    async def once_more(inbox: Inbox) -> None:
        assert inbox.credit == 0
        inbox.once()

    await peel_off(lambda channel: channel.active(ONCE), once_more)


async def test_peeloff_active_true() -> None:
    """Peel off an association and read it in the mode of ``{active, true}``: a `Window` here."""

    async def go_on(inbox: Inbox) -> None:
        pass

    await peel_off(lambda channel: channel.active(Window(16)), go_on)


async def test_peeloff_active_n() -> None:
    """Peel off an association and read it in the mode of ``{active, 1}``.

    A `Passive` comes at once after the record, so there is nothing to ask the socket.
    """

    async def grant(inbox: Inbox) -> None:
        assert await inbox.receive() == Passive()
        assert inbox.credit == 0
        inbox.grant(1)

    await peel_off(lambda channel: channel.active(1), grant)


@dataclasses.dataclass(frozen=True)
class Rearmed:
    """An inbox that is allowed the next record after each one."""

    inbox: Inbox
    rearm: Callable[[Inbox], Awaitable[None]]

    async def receive(self) -> Message | Event:
        record = await self.inbox.receive()
        await self.rearm(self.inbox)
        return record


async def peel_off(
    active: Callable[[AssociationChannel], AbstractAsyncContextManager[Inbox]],
    rearm: Callable[[Inbox], Awaitable[None]],
) -> None:
    inherited = [Priority(3), NoDelay(True), Linger(True, 7)]
    async with open_pair(server_options=[NoDelay(False)]) as pair:
        server, client, association = pair.server, pair.client, pair.association
        server_address, client_address = (LOOPBACK, server.port), (LOOPBACK, client.port)

        await client.send(b"one", association, stream=STREAM)
        message = await take(server, Message)
        assert (message.data, message.stream) == (b"one", STREAM)
        assert (message.association_id, message.address) == (pair.peer.id, client_address)
        await in_another_task(partial(server.send, b"two", pair.peer.id, stream=STREAM))
        message = await take(client, Message)
        assert (message.data, message.stream) == (b"two", STREAM)
        assert (message.association_id, message.address) == (association.id, server_address)

        for option in inherited:
            assert server.get_option(type(option)) != option
            server.set_option(option)
            assert server.get_option(type(option)) == option
        channel = server.peeloff(pair.peer.id)
        assert [channel.get_option(type(option)) for option in inherited] == inherited
        assert channel.id == pair.peer.id
        assert channel.local_addresses == [server_address]
        path = channel.get_option(PeerAddressInfo, address=client_address)
        assert path.state is PathState.ACTIVE
        with pytest.raises(trio.ClosedResourceError):
            await pair.peer.send(b"by the old handle")
        assert not server.associations
        await assert_quiet(server)
        await server.aclose()

        async with channel, active(channel) as inbox:
            source = Rearmed(inbox, rearm)
            await channel.send(b"three", stream=STREAM)
            message = await take(client, Message)
            assert (message.data, message.stream) == (b"three", STREAM)
            assert (message.association_id, message.address) == (association.id, server_address)
            await in_another_task(partial(client.send, b"four", association, stream=STREAM))
            message = await take(source, Message)
            assert (message.data, message.stream) == (b"four", STREAM)
            assert (message.association_id, message.address) == (channel.id, client_address)

            await assert_quiet(client)
            await client.aclose()
            assert (await take(source, ShutdownReceived)).association_id == channel.id
            assert (await take_change(source, SHUTDOWN_COMP)).association_id == channel.id
            with pytest.raises(trio.EndOfChannel):
                await inbox.receive()


# -- buffers and blocking ----------------------------------------------------------------------


async def test_buffers() -> None:
    """A message larger than the receive buffer arrives whole."""
    more = 4096
    async with open_pair() as pair:
        pair.server.set_option(ReceiveBuffer(more))
        size = pair.server.get_option(ReceiveBuffer).size
        assert size >= more
        assert size < 2**16  # Or the message would fit.
        data = b"".join(number.to_bytes(4, "big") for number in range(0, size + more, 4))
        assert len(data) == size + more
        pair.client.set_option(SendBuffer(len(data)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(pair.client.send, data, pair.association, stream=1))
            message = await take(pair.server, Message)
        assert message.data == data
        assert message.stream == 1
        assert message.association_id == pair.peer.id
        assert message.address == (LOOPBACK, pair.client.port)
        await close_pair(pair)


async def test_send_block() -> None:
    """A sender waits for a receiver that does not read, and then nothing is lost."""
    count = 8
    # Probes of the closed window go unanswered, so the path may look as if it had failed.
    no_paths = EventSubscription(address_event=False)
    async with await open_endpoint(hosts=LOOPBACK, options=[SendBuffer(4096), no_paths]) as client:
        size = client.get_option(SendBuffer).size
        messages = [bytes([number]).ljust(size // 2, b".") for number in range(count)]
        async with await open_endpoint(hosts=LOOPBACK, options=[ReceiveBuffer(size * 2)]) as server:
            server.listen()
            association = await client.connect(LOOPBACK, server.port)
            up = await take_change(server, COMM_UP)
            sent_one, progress = trio.open_memory_channel[None](count)

            async def send() -> None:
                for message in messages:
                    await association.send(message, stream=1)
                    await sent_one.send(None)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                sent = 0
                while True:
                    with trio.move_on_after(1.1) as silence:
                        await progress.receive()
                        sent += 1
                    if silence.cancelled_caught:
                        break
                assert 0 < sent < count
                assert client.statistics().tasks_waiting_send == 1
                async with server.active(Window(count)) as inbox:
                    for expected in messages:
                        message = await take(inbox, Message)
                        assert message.data == expected
                        assert message.stream == 1
                        assert message.association_id == up.association_id
            assert progress.statistics().current_buffer_used == count - sent
            await assert_quiet(server)
            await server.aclose()
            assert (await take(client, ShutdownReceived)).association_id == association.id
            assert (await take_change(client, SHUTDOWN_COMP)).association_id == association.id
            await assert_quiet(client)


# -- names -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("interface")
async def test_names_unihoming_ipv4() -> None:
    """Addresses of sockets and associations agree, with one IPv4 address.

    A peer has addresses only as an association, so to ask without one is a bad argument.
    """
    await names(IPV4[:1])


@pytest.mark.usefixtures("interface")
async def test_names_unihoming_ipv6() -> None:
    """The same with one IPv6 address."""
    await names(IPV6[:1])


@pytest.mark.usefixtures("interface")
async def test_names_multihoming_ipv4() -> None:
    """The same with two IPv4 addresses."""
    await names(IPV4)


@pytest.mark.usefixtures("interface")
async def test_names_multihoming_ipv6() -> None:
    """The same with two IPv6 addresses."""
    await names(IPV6)


async def names(hosts: list[str]) -> None:
    async with connected(hosts, hosts[0]) as pair:
        server, client = pair.server, pair.client
        server_names = sorted(server.local_addresses(pair.peer))
        client_names = sorted(client.local_addresses(pair.association))
        assert set(server_names) & set(server.local_addresses())
        assert set(client_names) & set(client.local_addresses())
        assert {name[:2] for name in server_names} == {(host, server.port) for host in hosts}
        no_association: Any = None
        for endpoint in (server, client):
            with pytest.raises(TypeError):
                endpoint.peer_addresses(no_association)
            with pytest.raises(ValueError, match="association id"):
                endpoint.peer_addresses(0)
        assert sorted(server.peer_addresses(pair.peer)) == client_names
        assert sorted(client.peer_addresses(pair.association)) == server_names

        bound = server.local_addresses()
        async with server.peeloff(pair.peer) as channel:
            assert set(bound) <= set(channel.local_addresses)
            assert sorted(channel.local_addresses) == server_names
            assert sorted(channel.peer_addresses) == client_names
        assert server.local_addresses() == bound


async def test_recv_close() -> None:
    """Whoever waits for a record is told when somebody else closes the socket.

    The timeout of recv/2 is a cancel scope.
    """
    async with (
        await open_endpoint(hosts=LOOPBACK) as server,
        await open_endpoint(hosts=LOOPBACK) as client,
    ):
        server.listen()
        association = await client.connect("localhost", server.port)
        await take_change(server, COMM_UP)
        with pytest.raises(trio.TooSlowError), trio.fail_after(0.05):
            await server.receive()
        told = trio.Event()

        async def reader() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await server.receive()
            told.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader)
            await trio.testing.wait_all_tasks_blocked()
            assert not told.is_set()
            nursery.start_soon(server.aclose)
            await told.wait()
        assert (await association.wait_ended()).graceful


# -- socket addresses --------------------------------------------------------------------------


@pytest.mark.usefixtures("interface")
async def test_t_simple_local_sockaddr_in_send_recv() -> None:
    """Two clients of a server, all bound to one IPv4 address of this machine.

    Where gen_sctp has a map of family, address and port, here are a host and a port; the family is
    the host's.
    """
    await send_and_receive(IPV4[0])


@pytest.mark.usefixtures("interface")
async def test_t_simple_link_local_sockaddr_in_send_recv() -> None:
    """The same with a link-local IPv4 address."""
    await send_and_receive(LINK_LOCAL_IPV4)


@pytest.mark.usefixtures("interface")
async def test_t_simple_local_sockaddr_in6_send_recv() -> None:
    """The same with an IPv6 address."""
    await send_and_receive(IPV6[0])


@pytest.mark.usefixtures("interface")
async def test_t_simple_link_local_sockaddr_in6_send_recv() -> None:
    """The same with a link-local IPv6 address.

    The interface stands behind the host's ``%``; gen_sctp has a field for its number.
    """
    await send_and_receive(LINK_LOCAL_IPV6)


async def send_and_receive(host: str) -> None:
    """A server answers two clients, one that connects and one that starts to."""
    host_alone, _, zone = host.partition("%")
    rest = (0, socket.if_nametoindex(zone) if zone else 0) if is_ipv6(host) else ()

    async def serve(server: Endpoint) -> None:
        async with server.active(Window(16)) as inbox:
            for _ in range(2):
                up = await take_change(inbox, COMM_UP)
                message = await take(inbox, Message)
                assert (message.data, message.stream) == (b"hej", 1)
                assert message.association_id == up.association_id
                assert message.address in server.peer_addresses(up.association_id)
                await server.send(b"hopp", up.association_id, stream=1)

    async def ask(client: Endpoint, association_id: int, inbox: Inbox) -> None:
        await client.send(b"hej", association_id, stream=1)
        message = await take(inbox, Message)
        assert (message.data, message.stream) == (b"hopp", 1)
        assert message.association_id == association_id
        assert message.address == (host_alone, server.port, *rest)

    async with await open_endpoint(hosts=host) as server, trio.open_nursery() as nursery:
        server.listen()
        assert server.local_addresses() == [(host_alone, server.port, *rest)]
        nursery.start_soon(serve, server)
        async with (
            await open_endpoint(hosts=host) as client,
            client.active(Window(16)) as inbox,
        ):
            association = await client.connect(host, server.port)
            await ask(client, association.id, inbox)
            async with (
                await open_endpoint(hosts=host) as second,
                second.active(Window(16)) as second_inbox,
            ):
                association = await second.connect_init(host, server.port)
                up = await take_change(second_inbox, COMM_UP)
                assert up.association_id == association.id
                assert up.inbound_streams > 1
                assert up.outbound_streams > 1
                await ask(second, up.association_id, second_inbox)
                await assert_quiet(inbox, second_inbox)


async def test_t_simple_local_sockaddr_in_connectx_init() -> None:
    """connectx_init with a socket address, refused and then up, with the ids that were given.

    All addresses of a peer have the one port, which is an argument of its own.
    """
    async with await open_endpoint(hosts=LOOPBACK) as endpoint:
        port = endpoint.port
    await connect_init_twice(port, [LOOPBACK])


# -- the rest ----------------------------------------------------------------------------------


async def test_non_block_send() -> None:
    """A send that would block says so, and succeeds once the server has read.

    No option: each send says for itself whether it waits, as `Endpoint.send` or
    `Endpoint.send_nowait`.
    """
    data = b"HoppHejDuSmart" * 1024
    async with (
        await open_endpoint(hosts=LOOPBACK, options=[ReceiveBuffer(16384)]) as server,
        await open_endpoint(hosts=LOOPBACK) as client,
    ):
        server.listen()
        association = await client.connect(LOOPBACK, server.port, options=[InitMsg(num_ostreams=5)])
        assert association.outbound_streams == 5
        up = await take_change(server, COMM_UP)
        assert up.inbound_streams == 5

        async def drain(count: int) -> None:
            for _ in range(count):
                assert (await take(server, Message)).data == data

        sent = fill(association, data)
        await drain(sent)
        while association.status().unackdata:  # What is not acknowledged takes room.
            await trio.testing.wait_all_tasks_blocked(0.001)
        client.send_nowait(data, association, stream=0)
        await drain(1)
        await assert_quiet(server)

        sent = fill(association, data)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(client.send, data, association, stream=0))
            await trio.testing.wait_all_tasks_blocked()
            assert client.statistics().tasks_waiting_send == 1
            await drain(sent + 1)
        await assert_quiet(server, client)


def fill(association: Association, data: bytes) -> int:
    """Send until it would block; returns how many were sent."""
    sent = 0
    with pytest.raises(trio.WouldBlock):
        while True:
            association.send_nowait(data, stream=0)
            sent += 1
    assert sent > 0
    return sent


async def test_getstat_recv_sctp() -> None:
    """A new socket has received nothing, and has no statistics that are TCP's alone."""
    async with await open_endpoint(0) as endpoint:
        statistics = endpoint.statistics()
        assert statistics.messages_received == 0
        assert statistics.octets_received == 0
        assert not {field.name for field in dataclasses.fields(statistics)} & {
            "recv_pkt_size",
            "recv_buf_pend",
            "recv_buf_size",
            "recv_buf_alloc",
        }


async def test_default_options() -> None:
    """Options of a program's own for all its sockets, under those of one socket.

    There is no environment of a kernel application: a program keeps a list, and of two values of
    one option the last holds.  The mode is no option, so it has no default.
    """
    async with await open_endpoint() as endpoint:
        usual = endpoint.get_option(ReceiveBuffer).size
    own: list[Option] = [ReceiveBuffer(8 * 1024)]
    programs: list[list[Option]] = [
        [],
        [NoDelay(False), ReceiveBuffer(12 * 1024)],
        [NoDelay(False)],
    ]
    for defaults in programs:
        for options in ([], own):
            async with await open_endpoint(options=[*defaults, *options]) as endpoint:
                size = endpoint.get_option(ReceiveBuffer).size
                given = [o.size for o in (*defaults, *options) if isinstance(o, ReceiveBuffer)]
                if given:
                    assert given[-1] <= size <= 2 * given[-1]
                else:
                    assert size == usual > 2 * 12 * 1024
                assert endpoint.get_option(NoDelay) == NoDelay(not defaults)
                assert endpoint.get_option(SendBuffer).size > 0
                assert endpoint.statistics().credit is None
