"""Sockets that somebody else made. They are the kernel's."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
import trio
import trio.testing

from trio_sctp import (
    AssociationChannel,
    AssociationLost,
    AssociationState,
    DefaultSendParams,
    Endpoint,
    EventSubscription,
    Listener,
    Message,
    ReceiveBuffer,
    ShutdownReceived,
    Window,
)

from .helpers import StackUnderTest, next_change, numbers, raises, take

pytestmark = pytest.mark.kernel_only("other stacks have no descriptors")

IPPROTO_SCTP, SCTP_DEFAULT_SEND_PARAM = 132, 10
HOST = "127.0.0.1"
KINDS = [Endpoint, AssociationChannel, Listener]


def new_socket(kind: int = socket.SOCK_SEQPACKET) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind, IPPROTO_SCTP)
    sock.bind((HOST, 0))
    return sock


@pytest.fixture(params=["stdlib", "trio", "descriptor", "pysctp"])
def wrap(request: pytest.FixtureRequest) -> Any:
    """Give a standard socket the form of another library's."""
    sctp = pytest.importorskip("sctp") if request.param == "pysctp" else None

    def pysctp(sock: socket.socket) -> object:
        assert sctp
        one_to_one = sock.type == socket.SOCK_STREAM
        kind = sctp.sctpsocket_tcp if one_to_one else sctp.sctpsocket_udp
        return kind(socket.AF_INET, sk=sock)

    return {
        "stdlib": lambda sock: sock,
        "trio": trio.socket.from_stdlib_socket,
        "descriptor": lambda sock: sock.detach(),
        "pysctp": pysctp,
    }[request.param]


@contextlib.contextmanager
def still_ours(sock: socket.socket) -> Iterator[None]:
    """The socket was neither closed nor taken away."""
    descriptor = sock.fileno()
    try:
        yield
        assert sock.fileno() == descriptor
        os.fstat(descriptor)
    finally:
        sock.close()


# -- endpoints -------------------------------------------------------------------------------


async def test_an_endpoint(stack: StackUnderTest, wrap: Any) -> None:
    endpoint = Endpoint.from_socket(wrap(new_socket()))
    async with endpoint, stack.endpoint() as client:
        endpoint.listen()
        association = await client.connect(stack.host, endpoint.port)
        await association.send(b"0", ppid=46)
        up = await next_change(endpoint)
        assert up.state is AssociationState.COMM_UP
        message = await endpoint.receive()
        assert isinstance(message, Message)
        assert (message.data, message.ppid) == (b"0", 46)
        await endpoint.send(b"1", up.association_id)
        assert await take(client.receive, 1) == [1]
        association.abort()


async def test_an_endpoint_belongs_to_itself(stack: StackUnderTest) -> None:
    sock = new_socket()
    endpoint = Endpoint.from_socket(sock)
    sock.close()
    assert endpoint.port > 0
    await endpoint.aclose()


async def test_an_endpoint_that_is_blocking(stack: StackUnderTest) -> None:
    sock = new_socket()
    sock.setblocking(True)
    async with Endpoint.from_socket(sock) as endpoint:
        with trio.move_on_after(0.01) as scope:
            await endpoint.receive()
        assert scope.cancelled_caught


async def test_an_endpoint_with_associations(stack: StackUnderTest) -> None:
    sock = new_socket()
    sock.listen()
    async with stack.endpoint() as client:
        association = await client.connect(HOST, sock.getsockname()[1])
        await association.send(b"0")
        async with Endpoint.from_socket(sock) as endpoint:
            (id,) = endpoint.associations
            assert endpoint.associations[id].outbound_streams > 0
            while not isinstance(record := await endpoint.receive(), Message):
                pass
            assert record.association_id == id
            await endpoint.send(b"1", id)
            assert await take(client.receive, 1) == [1]
            association.abort()
            assert (await endpoint.associations[id].wait_ended()).cause == 12


async def test_an_endpoint_is_not_one_to_one(stack: StackUnderTest) -> None:
    sock = new_socket(socket.SOCK_STREAM)
    with still_ours(sock), pytest.raises(ValueError, match="one-to-many"):
        Endpoint.from_socket(sock)


async def test_an_adopted_endpoint_is_bounded(stack: StackUnderTest) -> None:
    endpoint = Endpoint.from_socket(new_socket(), max_message_size=1000)
    async with endpoint, stack.endpoint() as client:
        endpoint.listen()
        association = await client.connect(HOST, endpoint.port)
        await association.send(bytes(1001))
        assert (await next_change(endpoint)).state is AssociationState.COMM_UP
        assert (await next_change(endpoint)).state is AssociationState.COMM_LOST


# -- channels --------------------------------------------------------------------------------


async def test_a_connected_one_to_one_socket(stack: StackUnderTest, wrap: Any) -> None:
    async with stack.listener() as listener:
        sock = new_socket(socket.SOCK_STREAM)
        sock.connect((HOST, listener.port))
        client = AssociationChannel.from_socket(wrap(sock))
        server = await listener.accept()
        assert client.outbound_streams == server.inbound_streams
        await client.send(b"0", stream=2, ppid=46)
        message = await server.receive()
        assert (message.data, message.stream, message.ppid) == (b"0", 2, 46)
        await server.send(b"1")
        assert await take(client.receive, 1) == [1]
        await client.aclose()
        await raises(trio.EndOfChannel, server.receive)
        await server.aclose()


async def test_the_peers_end_of_a_one_to_one_socket(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        sock = new_socket(socket.SOCK_STREAM)
        sock.connect((HOST, listener.port))
        async with AssociationChannel.from_socket(sock) as client:
            server = await listener.accept()
            await server.send(b"0")
            await server.eof()
            assert numbers([message async for message in client]) == [0]
            assert (await client.wait_ended()).graceful
            await raises(AssociationLost, client.send, b"x")
            await server.aclose()


async def test_the_peers_abort_of_a_one_to_one_socket(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        sock = new_socket(socket.SOCK_STREAM)
        sock.connect((HOST, listener.port))
        client = AssociationChannel.from_socket(sock)
        server = await listener.accept()
        server.abort(b"why")
        with pytest.raises(AssociationLost) as caught:
            await client.receive()
        assert (caught.value.end.cause, caught.value.end.reason) == (12, b"why")
        await client.aclose()


async def test_own_eof_of_a_one_to_one_socket(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        sock = new_socket(socket.SOCK_STREAM)
        sock.connect((HOST, listener.port))
        client = AssociationChannel.from_socket(sock)
        server = await listener.accept()
        await server.send(b"0")
        await client.eof()
        await raises(trio.ClosedResourceError, client.send, b"x")
        assert numbers([message async for message in client]) == [0]
        await raises(trio.EndOfChannel, server.receive)
        await client.aclose()
        await server.aclose()


async def test_own_abort_of_a_one_to_one_socket(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        sock = new_socket(socket.SOCK_STREAM)
        sock.connect((HOST, listener.port))
        client = AssociationChannel.from_socket(sock)
        async with await listener.accept() as server:
            client.abort()
            assert (await client.wait_ended()).state is AssociationState.COMM_LOST
            await raises(AssociationLost, server.receive)


async def test_events_of_a_one_to_one_socket(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        sock = new_socket(socket.SOCK_STREAM)
        sock.connect((HOST, listener.port))
        client = AssociationChannel.from_socket(sock)
        client.set_option(EventSubscription(address_event=False))
        server = await listener.accept()
        async with client.active(Window(10)) as inbox:
            await server.send(b"0")
            while not isinstance(record := await inbox.receive(), Message):
                pass
            assert (record.data, record.association_id) == (b"0", client.id)
        await server.aclose()
        await client.aclose()


@pytest.mark.parametrize("kind", [socket.SOCK_SEQPACKET, socket.SOCK_STREAM])
async def test_the_views_of_an_adopted_socket(stack: StackUnderTest, kind: int) -> None:
    async with stack.listener() as listener:
        sock = new_socket(kind)
        sock.connect((HOST, listener.port))
        client = AssociationChannel.from_socket(sock)
        server = await listener.accept()
        subscription = client._socket.raw.subscription(client.id)
        async with client.events() as events, trio.open_nursery() as nursery:
            await client.as_stream().send_all(bytes(50_000))
            await client.wait_sent()
            assert client._socket.raw.subscription(client.id) == subscription
            nursery.start_soon(server.aclose)
            assert [event async for event in events if isinstance(event, ShutdownReceived)]
        await client.aclose()


@pytest.mark.parametrize("kind", [socket.SOCK_SEQPACKET, socket.SOCK_STREAM])
async def test_an_adopted_socket_that_has_a_default_lifetime(
    stack: StackUnderTest, kind: int
) -> None:
    async with stack.listener(options=[ReceiveBuffer(16384)]) as listener:
        sock = new_socket(kind)
        default = struct.pack("=HHHHIIIIIi", 0, 0, 0, 0, 0, 0, 1, 0, 0, 0)  # milliseconds: 1
        sock.setsockopt(IPPROTO_SCTP, SCTP_DEFAULT_SEND_PARAM, default)
        sock.connect((HOST, listener.port))
        client = AssociationChannel.from_socket(sock)
        server = await listener.accept()
        assert client.get_option(DefaultSendParams).lifetime == 1
        sent = 0
        with trio.move_on_after(0.5):
            while True:
                await client.send((b"%d" % sent).ljust(1000), lifetime=0)
                sent += 1
        assert await take(server.receive, sent) == list(range(sent))
        client.abort()
        server.abort()


async def test_a_socket_without_an_association_is_no_channel(stack: StackUnderTest) -> None:
    for kind in socket.SOCK_STREAM, socket.SOCK_SEQPACKET:
        sock = new_socket(kind)
        with still_ours(sock), pytest.raises(ValueError, match="association"):
            AssociationChannel.from_socket(sock)


async def test_a_one_to_one_socket_whose_peer_has_left(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        sock = new_socket(socket.SOCK_STREAM)
        sock.connect((HOST, listener.port))
        server = await listener.accept()
        await server.send(b"0")
        await server.aclose()
        async with AssociationChannel.from_socket(sock) as client:
            assert numbers([message async for message in client]) == [0]


# -- listeners -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [socket.SOCK_SEQPACKET, socket.SOCK_STREAM])
async def test_a_listener(stack: StackUnderTest, wrap: Any, kind: int) -> None:
    async with Listener.from_socket(wrap(new_socket(kind))) as listener:
        client = await stack.open_association(listener.port)
        await client.send(b"0")
        server = await listener.accept()
        assert server.peer_addresses == client.local_addresses
        assert await take(server.receive, 1) == [0]
        await server.send(b"1")
        assert await take(client.receive, 1) == [1]
        await client.aclose()
        await raises(trio.EndOfChannel, server.receive)
        await server.aclose()


@pytest.mark.parametrize("kind", [socket.SOCK_SEQPACKET, socket.SOCK_STREAM])
async def test_a_client_that_left_before_accept(stack: StackUnderTest, kind: int) -> None:
    async with Listener.from_socket(new_socket(kind)) as listener:
        async with await stack.open_association(listener.port) as client:
            await client.send(b"0")
        async with await listener.accept() as server:
            assert numbers([message async for message in server]) == [0]


@pytest.mark.parametrize("kind", [socket.SOCK_SEQPACKET, socket.SOCK_STREAM])
async def test_closing_wakes_accept(stack: StackUnderTest, kind: int) -> None:
    listener = Listener.from_socket(new_socket(kind))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(raises, trio.ClosedResourceError, listener.accept)
        await trio.testing.wait_all_tasks_blocked()
        await listener.aclose()


@pytest.mark.parametrize("kind", [socket.SOCK_SEQPACKET, socket.SOCK_STREAM])
async def test_a_cancelled_accept(stack: StackUnderTest, kind: int) -> None:
    async with Listener.from_socket(new_socket(kind)) as listener:
        with trio.move_on_after(0.01):
            await listener.accept()
        client = await stack.open_association(listener.port)
        server = await listener.accept()
        client.abort()
        await raises(AssociationLost, server.receive)
        await server.aclose()


# -- what is no SCTP socket ------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("thing", ["text", None, 1.5, b"", [], object(), True])
async def test_what_is_no_socket(stack: StackUnderTest, kind: Any, thing: object) -> None:
    with pytest.raises(TypeError):
        kind.from_socket(thing)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_tcp_socket(stack: StackUnderTest, kind: Any) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with still_ours(sock), pytest.raises(ValueError, match="SCTP"):
        kind.from_socket(sock)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_unix_socket(stack: StackUnderTest, kind: Any) -> None:
    sock, other = socket.socketpair()
    with other, still_ours(sock), pytest.raises(ValueError, match="SCTP"):
        kind.from_socket(sock)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_descriptor_that_is_no_socket(stack: StackUnderTest, kind: Any) -> None:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    with pytest.raises(ValueError, match="SCTP socket"):
        kind.from_socket(descriptor)
    os.close(descriptor)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("descriptor", [-1, 10**6])
async def test_a_descriptor_that_is_not_open(
    stack: StackUnderTest, kind: Any, descriptor: int
) -> None:
    with pytest.raises(ValueError, match="SCTP socket"):
        kind.from_socket(descriptor)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_closed_socket(stack: StackUnderTest, kind: Any) -> None:
    sock = new_socket()
    sock.close()
    with pytest.raises(ValueError, match="SCTP socket"):
        kind.from_socket(sock)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_bound_of_nothing(stack: StackUnderTest, kind: Any) -> None:
    sock = new_socket()
    with still_ours(sock), pytest.raises(ValueError, match="0"):
        kind.from_socket(sock, max_message_size=0)
