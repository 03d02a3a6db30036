"""Sending in full: to a peer without an association, a last message, an abort, one address."""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

import trio_sctp
from trio_sctp import (
    AssociationChange,
    AssociationLost,
    AssociationState,
    ConnectFailed,
    DefaultSendParams,
    DelayedAck,
    InitMsg,
    Listener,
    Message,
    OptionUnsupported,
    ReceiveBuffer,
    RtoInfo,
    SendBuffer,
    SendFailed,
    ShutdownReceived,
)

from .helpers import (
    Pair,
    StackUnderTest,
    next_change,
    next_message,
    raises,
    take,
    until,
)

IMPATIENT = [RtoInfo(initial=20, max=40, min=20), InitMsg(max_attempts=2)]

# -- to a peer without an association ----------------------------------------------------------


async def test_sending_to_an_address_sets_an_association_up(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        peer = (stack.host, server.port)
        assert client.association_at(peer) is None
        await client.send(b"0", peer, stream=1, ppid=46)
        association = client.association_at(peer)
        assert association is not None
        assert client.associations[association.id] is association
        up = await next_change(server)
        assert up.state is AssociationState.COMM_UP
        message = await next_message(server)
        assert (message.data, message.stream, message.ppid) == (b"0", 1, 46)
        up = await next_change(client)
        assert (up.association_id, up.state) == (association.id, AssociationState.COMM_UP)


async def test_a_second_message_goes_on_the_same_association(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        peer = (stack.host, server.port)
        await client.send(b"0", peer)
        client.send_nowait(b"1", peer)
        await client.send(b"2", peer)
        assert len(client.associations) == 1
        await next_change(server)
        assert await take(server.receive, 3) == [0, 1, 2]


async def test_sending_to_the_address_of_an_association_uses_it(pair: Pair) -> None:
    (address,) = pair.association.peer_addresses
    await pair.client.send(b"0", address)
    assert await take(pair.server.receive, 1) == [0]
    assert list(pair.client.associations) == [pair.association.id]


async def test_the_new_association_has_the_endpoints_init_or_its_own(
    stack: StackUnderTest,
) -> None:
    async with (
        stack.listening() as server,
        stack.listening() as other,
        stack.endpoint(options=[InitMsg(num_ostreams=5)]) as client,
    ):
        await client.send(b"0", (stack.host, server.port), stream=4)
        assert (await next_change(server)).inbound_streams == 5
        own = InitMsg(num_ostreams=33)
        client.send_nowait(b"0", (stack.host, other.port), stream=32, init=own)
        assert (await next_change(other)).inbound_streams == 33
        assert (await next_message(other)).stream == 32
        assert client.get_option(InitMsg).num_ostreams == 5


async def test_the_new_association_has_the_endpoints_default_send_params(
    stack: StackUnderTest,
) -> None:
    options = [DefaultSendParams(stream=3, ppid=46, unordered=True)]
    async with stack.listening() as server, stack.endpoint(options=options) as client:
        await client.send(b"0", (stack.host, server.port))
        await next_change(server)
        message = await next_message(server)
        assert (message.stream, message.ppid, message.unordered) == (3, 46, True)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"value": b""}, "empty"),
        ({"value": bytes(2**24)}, "larger"),
        ({"stream": 10}, "no outbound stream 10: association the new one has 10"),
        ({"stream": 7, "init": InitMsg(num_ostreams=7)}, "no outbound stream 7"),
        ({"ppid": 2**32}, "ppid"),
        ({"context": -1}, "context"),
        ({"association": ("192.0.2.1", 65536)}, "65536"),
    ],
    ids=["empty", "large", "stream", "init", "ppid", "context", "port"],
)
async def test_what_cannot_be_sent_sets_nothing_up(
    stack: StackUnderTest, arguments: dict[str, Any], complaint: str
) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        call = {"value": b"x", "association": (stack.host, server.port), **arguments}
        with pytest.raises(ValueError, match=complaint):
            await client.send(**call)
        with pytest.raises(ValueError, match=complaint):
            client.send_nowait(**call)
        assert not client.associations
        assert not server.associations


async def test_what_is_no_peer(stack: StackUnderTest) -> None:
    async with stack.endpoint() as client:
        for wrong in ((stack.host,), (7, 2905), (stack.host, None)):
            with pytest.raises(TypeError, match=r"\(host, port\)|port"):
                await client.send(b"x", wrong)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match=r"\(host, port\)"):
                client.send_nowait(b"x", wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="names are for connect"):
            client.send_nowait(b"x", ("localhost", 2905))
        with pytest.raises(TypeError, match="init must be an InitMsg, not 7"):
            await client.send(b"x", (stack.host, 2905), init=7)  # type: ignore[arg-type]


async def test_init_is_for_a_new_association(pair: Pair) -> None:
    init = InitMsg(num_ostreams=3)
    with pytest.raises(ValueError, match="init="):
        await pair.client.send(b"x", pair.association, init=init)
    with pytest.raises(ValueError, match="init="):
        pair.client.send_nowait(b"x", pair.association.id, init=init)


@pytest.mark.kernel_only("elsewhere it is never at once")
async def test_a_peer_that_refuses_at_once(stack: StackUnderTest) -> None:
    """On one machine the refusal comes before the message can be taken, unless that is busy."""
    async with stack.listening() as server, stack.endpoint() as client:
        server.stop_listening()
        numbers: list[int | None] = []
        for _ in range(20):
            before = client.statistics().buffered_records
            try:
                await client.send(b"0", (stack.host, server.port))
            except ConnectFailed as refused:
                numbers.append(refused.errno)
                assert client.statistics().buffered_records == before
                break
            while client.associations:  # it came later
                await client.receive()
        assert numbers == [errno.ECONNREFUSED]
        assert not client.associations


async def test_a_peer_that_does_not_answer(stack: StackUnderTest, black_hole: str) -> None:
    async with stack.endpoint(hosts=(), options=IMPATIENT) as client:
        await client.send(b"in vain", (black_hole, 2905), context=7)
        event = await client.receive()
        assert isinstance(event, AssociationChange)
        assert event.state is AssociationState.CANT_ASSOC
        failed = await client.receive()
        assert isinstance(failed, SendFailed)
        assert (failed.data, failed.context) == (b"in vain", 7)


async def test_a_host_may_be_a_name(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        await client.send(b"0", ("localhost", server.port))
        await next_change(server)
        assert await take(server.receive, 1) == [0]


async def test_sending_to_an_address_is_a_checkpoint(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        for _ in range(2):
            with trio.testing.assert_checkpoints():
                await client.send(b"0", (stack.host, server.port))


async def test_a_cancelled_send_to_an_address_sets_nothing_up(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        with trio.CancelScope() as scope:
            scope.cancel()
            await client.send(b"0", (stack.host, server.port))
        assert scope.cancelled_caught
        assert not client.associations
        assert not server.associations


@pytest.mark.kernel_only("elsewhere each association has a buffer of its own")
async def test_without_room_a_new_association_waits_and_may_be_cancelled(
    stack: StackUnderTest,
) -> None:
    """The send buffer is the endpoint's: what others have in it holds up the new one."""
    buffers = [SendBuffer(16384), ReceiveBuffer(16384)]
    # An acknowledgement that comes later would make room.
    at_once = DelayedAck(freq=1)
    async with (
        stack.listening() as server,
        stack.listening(options=[*buffers, at_once]) as slow,
        stack.endpoint(hosts=(), options=buffers) as client,
    ):
        association = await client.connect(stack.host, slow.port)
        with pytest.raises(trio.WouldBlock):
            while True:
                association.send_nowait(bytes(1000))
        peer = (stack.host, server.port)
        with pytest.raises(trio.WouldBlock):
            client.send_nowait(b"0", peer)
        with trio.move_on_after(0.01) as scope:
            await client.send(b"0", peer)
        assert scope.cancelled_caught
        assert list(client.associations) == [association.id]
        assert client.statistics().buffered_records == 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, b"0", peer)
            await trio.testing.wait_all_tasks_blocked()
            association.abort()
        # Others may have come and gone: attempts for which there was no room.
        while not isinstance(first := await server.receive(), Message):
            pass
        assert first.data == b"0"


# -- the last message --------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["endpoint", "handle", "nowait", "handle, nowait"])
async def test_a_message_may_be_the_last(pair: Pair, how: str) -> None:
    match how:
        case "endpoint":
            await pair.client.send(b"0", pair.association.id, eof=True)
        case "handle":
            await pair.association.send(b"0", eof=True)
        case "nowait":
            pair.client.send_nowait(b"0", pair.association, eof=True)
        case _:
            pair.association.send_nowait(b"0", eof=True)
    with pytest.raises(trio.ClosedResourceError):
        await pair.association.send(b"1")
    assert await take(pair.server.receive, 1) == [0]
    assert await pair.server.receive() == ShutdownReceived(association_id=pair.peer.id)
    assert (await pair.association.wait_ended()).graceful


async def test_the_last_message_of_a_channel(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        await client.send(b"0", eof=True)
        assert (await server.receive()).data == b"0"
        with pytest.raises(trio.EndOfChannel):
            await server.receive()


async def test_the_last_message_of_an_association_that_is_not_up(stack: StackUnderTest) -> None:
    """Linux would forget both it and the association."""
    async with stack.listening() as server, stack.endpoint() as client:
        peer = (stack.host, server.port)
        with pytest.raises(trio.WouldBlock):
            client.send_nowait(b"0", peer, eof=True)
        assert not client.associations
        await client.send(b"0", peer, eof=True)
        await next_change(server)
        assert await take(server.receive, 1) == [0]
        assert isinstance(await server.receive(), ShutdownReceived)


async def test_a_cancelled_last_message_was_not_sent(
    stack: StackUnderTest, black_hole: str
) -> None:
    async with stack.endpoint(hosts=()) as client:
        for start in (True, False):
            association = await client.connect_init(black_hole, 2906) if start else None
            target: Any = association or (black_hole, 2905)
            with trio.move_on_after(0.01) as scope:
                await client.send(b"0", target, eof=True)
            assert scope.cancelled_caught
        assert association is None
        assert [a.peer_addresses[0][1] for a in client.associations.values()] == [2906]
        assert client.statistics().buffered_records == 0


async def test_the_last_message_waits_for_those_before_it(stack: StackUnderTest) -> None:
    buffers = [SendBuffer(16384), ReceiveBuffer(16384)]
    async with stack.pair(server_options=buffers, client_options=buffers) as pair:
        count = 0
        with pytest.raises(trio.WouldBlock):
            while True:
                pair.association.send_nowait((b"%d" % count).ljust(1000))
                count += 1
        async with trio.open_nursery() as nursery:
            for number in count, count + 1:
                last = number == count + 1
                value = (b"%d" % number).ljust(1000)
                nursery.start_soon(functools.partial(pair.association.send, value, eof=last))
                await trio.testing.wait_all_tasks_blocked()
            assert await take(pair.server.receive, count + 2) == list(range(count + 2))
        assert isinstance(await pair.server.receive(), ShutdownReceived)


# -- an abort ----------------------------------------------------------------------------------


async def test_sending_an_abort(stack: StackUnderTest, pair: Pair) -> None:
    await pair.client.send(b"no more", pair.association.id, abort=True)
    assert (await pair.peer.wait_ended()).reason == b"no more"
    async with stack.channels() as (client, server):
        await client.send(b"", abort=True)
        end = await server.wait_ended()
        assert (end.cause, end.reason) == (12, b"")


async def test_an_abort_to_a_peer(pair: Pair) -> None:
    (address,) = pair.association.peer_addresses
    with pytest.raises(ValueError, match="no association with"):
        await pair.client.send(b"", (address[0], 1), abort=True)
    await pair.client.send(b"no more", address, abort=True)
    assert (await pair.peer.wait_ended()).reason == b"no more"


async def test_what_is_no_reason_of_an_abort(pair: Pair) -> None:
    for wrong in "no more", 5, None:
        with pytest.raises(TypeError, match="reason"):
            await pair.association.send(wrong, abort=True)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="reason"):
            await pair.client.send(wrong, pair.association, abort=True)  # type: ignore[arg-type]
    await pair.association.send(memoryview(b"no more"), abort=True)
    assert (await pair.peer.wait_ended()).reason == b"no more"
    assert (await pair.association.wait_ended()).reason == b"no more"


async def test_an_abort_is_not_the_last_message(pair: Pair) -> None:
    with pytest.raises(ValueError, match="either"):
        await pair.association.send(b"x", abort=True, eof=True)
    with pytest.raises(ValueError, match="either"):
        await pair.client.send(b"x", pair.association, abort=True, eof=True)
    assert pair.association.id in pair.client.associations


# -- an address of the peer --------------------------------------------------------------------


async def test_a_message_to_the_peers_only_address(pair: Pair) -> None:
    (address,) = pair.association.peer_addresses
    await pair.association.send(b"0", address=address)
    pair.association.send_nowait(b"1", address=address)
    assert await take(pair.server.receive, 2) == [0, 1]


async def test_a_message_to_an_address_that_is_not_the_peers(pair: Pair) -> None:
    (address,) = pair.association.peer_addresses
    wrong: Any
    for wrong, kind in (
        ((address[0], 1), ValueError),
        (address[0], TypeError),
        (("localhost", address[1]), ValueError),
    ):
        with pytest.raises(kind, match="address"):
            await pair.association.send(b"x", address=wrong)
    assert list(pair.client.associations) == [pair.association.id]


@pytest.mark.kernel_only("it is Linux that cannot")
async def test_an_address_on_a_channel(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        (address,) = client.peer_addresses
        with pytest.raises(OptionUnsupported, match="PrimaryAddress"):
            await client.send(b"x", address=address)
        await client.send(b"0")
        assert (await server.receive()).data == b"0"


# -- which association -------------------------------------------------------------------------


async def test_the_association_at_an_address(stack: StackUnderTest, pair: Pair) -> None:
    (address,) = pair.association.peer_addresses
    assert pair.client.association_at(address) is pair.association
    assert pair.server.association_at(pair.peer.peer_addresses[0]) is pair.peer
    assert pair.client.association_at((stack.second_host, address[1])) is None
    with pytest.raises(ValueError, match="localhost"):
        pair.client.association_at(("localhost", address[1]))
    with pytest.raises(TypeError, match="tuple"):
        pair.client.association_at(stack.host)  # type: ignore[arg-type]
    pair.association.abort()
    assert pair.client.association_at(address) is None


async def test_an_association_that_nobody_has_read_of_is_at_its_address(
    stack: StackUnderTest,
) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        await client.connect(stack.host, server.port)
        handle = server.association_at((stack.host, client.port))
        assert handle is not None
        assert (await next_change(server)).association_id == handle.id


async def test_status_of_associations_that_are_just_gone(stack: StackUnderTest) -> None:
    """A server that asks every client how it is survives those that have left."""
    asked: list[object] = []

    async def ask(channel: Any) -> None:
        asked.append(None)
        asked[-1] = channel.status()

    async with trio.open_nursery() as nursery:
        serve = functools.partial(trio_sctp.serve, hosts=stack.host, stack=stack.stack)
        listener: Listener = await nursery.start(serve, ask, 0)
        async with stack.endpoint() as client:
            for _ in range(20):
                association = await client.connect(stack.host, listener.port)
                association.abort()
                await association.wait_ended()
            async with await stack.open_association(listener.port) as channel:
                await raises(trio.EndOfChannel, channel.receive)
        await until(lambda: len(asked) == 21)
        nursery.cancel_scope.cancel()
    assert asked[-1] is not None


@pytest.mark.kernel_only("elsewhere the abort may come after it was accepted")
async def test_a_channel_without_a_socket_has_no_options(stack: StackUnderTest) -> None:
    async with stack.listener() as listener:
        channel = await stack.open_association(listener.port)
        channel.abort()
        gone = await listener.accept()
        calls: list[Callable[[], object]] = [
            gone.status,
            gone.paths,
            gone.statistics,
            gone.detach,
            lambda: gone.get_option(InitMsg),
            lambda: gone.peer_addresses,
            lambda: gone.set_option(SendBuffer(65536)),
        ]
        for call in calls:
            with pytest.raises(AssociationLost):
                call()
        assert gone.queue_statistics().associations == 0
        await gone.aclose()
