"""Endpoints: opening, connecting, sending, receiving and ending on a one-to-many socket."""

from __future__ import annotations

import array
import contextlib
import errno
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import trio
import trio.testing

from trio_sctp import (
    AssociationChange,
    AssociationLost,
    AssociationState,
    ConnectFailed,
    Endpoint,
    EventSubscription,
    InitMsg,
    Message,
    NoDelay,
    PartialDeliveryAborted,
    Passive,
    RtoInfo,
    SendBuffer,
    SenderDry,
    SendFailed,
    ShutdownReceived,
    Status,
)

from .helpers import (
    SMALL_BUFFERS,
    UNKNOWN_ID,
    Pair,
    StackUnderTest,
    blocked,
    fill,
    keep,
    next_change,
    next_message,
    numbers,
    raises,
    send_numbers,
    take,
    until,
)

# -- opening ---------------------------------------------------------------------------------


async def test_port_0_is_any_port(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint:
        assert 0 < endpoint.port < 65536
        assert endpoint.local_addresses() == [(stack.host, endpoint.port)]


async def test_a_port_may_be_given(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint:
        port = endpoint.port
    async with stack.endpoint(port) as endpoint:
        assert endpoint.port == port


async def test_a_port_that_is_taken(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint:
        with pytest.raises(OSError) as caught:  # noqa: PT011
            await stack.open_endpoint(endpoint.port)
        assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("port", [-1, 65536, 10**10])
async def test_a_port_out_of_range(stack: StackUnderTest, port: int) -> None:
    with pytest.raises(ValueError, match=str(port)):
        await stack.open_endpoint(port)


async def test_an_address_that_is_not_ours(stack: StackUnderTest) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011
        await stack.open_endpoint(hosts="203.0.113.7")
    assert caught.value.errno == errno.EADDRNOTAVAIL


async def test_one_host_may_be_a_string(stack: StackUnderTest) -> None:
    async with stack.endpoint(hosts=stack.second_host) as endpoint:
        assert endpoint.local_addresses() == [(stack.second_host, endpoint.port)]


async def test_no_host_is_any(stack: StackUnderTest) -> None:
    async with stack.listening(hosts=()) as server, stack.endpoint() as client:
        association = await client.connect(stack.host, server.port)
        assert (stack.host, server.port) in association.peer_addresses


async def test_several_hosts_are_multi_homing(stack: StackUnderTest) -> None:
    hosts = [stack.host, stack.second_host]
    async with stack.listening(hosts=hosts) as server, stack.endpoint(hosts=hosts) as client:
        assert {host for host, *_ in server.local_addresses()} == set(hosts)
        assert {port for _, port, *_ in server.local_addresses()} == {server.port}
        association = await client.connect(stack.second_host, server.port)
        assert sorted(association.peer_addresses) == sorted(server.local_addresses())
        assert sorted(association.local_addresses) == sorted(client.local_addresses())


async def test_only_the_addresses_that_were_given_are_bound(stack: StackUnderTest) -> None:
    async with stack.listening(hosts=[stack.host]) as server, stack.endpoint() as client:
        with pytest.raises(ConnectFailed):
            await client.connect(stack.second_host, server.port)


async def test_ipv6(stack: StackUnderTest) -> None:
    host = stack.host6
    async with stack.listening(hosts=[host]) as server, stack.endpoint(hosts=[host]) as client:
        assert server.local_addresses() == [(host, server.port, 0, 0)]
        association = await client.connect(host, server.port)
        await association.send(b"0")
        assert association.peer_addresses == [(host, server.port, 0, 0)]
        assert isinstance(await server.receive(), AssociationChange)
        assert (await next_message(server)).address == (host, client.port, 0, 0)


async def test_an_ipv6_endpoint_may_have_ipv4_addresses_too(stack: StackUnderTest) -> None:
    async with (
        stack.listening(hosts=[stack.host, stack.host6]) as server,
        stack.endpoint() as ipv4,
        stack.endpoint(hosts=stack.host6) as ipv6,
    ):
        assert {host for host, *_ in server.local_addresses()} == {stack.host, stack.host6}
        for client, host in (ipv4, stack.host), (ipv6, stack.host6):
            association = await client.connect(host, server.port)
            await association.send(b"0")
            assert isinstance(await server.receive(), AssociationChange)
            message = await next_message(server)
            assert message.address[:2] == (host, client.port)
            assert message.address in server.peer_addresses(message.association_id)


async def test_an_ipv6_peer_of_an_ipv4_endpoint(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint:
        with pytest.raises((ValueError, OSError), match="IPv6"):
            await endpoint.connect(stack.host6, 2905)


async def test_options_hold_from_the_start(stack: StackUnderTest) -> None:
    options = [InitMsg(num_ostreams=7, max_instreams=6), RtoInfo(max=5000), NoDelay(False)]
    async with stack.endpoint(options=options) as endpoint:
        init = endpoint.get_option(InitMsg)
        assert (init.num_ostreams, init.max_instreams) == (7, 6)
        assert endpoint.get_option(RtoInfo).max == 5000
        assert endpoint.get_option(NoDelay) == NoDelay(False)


async def test_fields_that_are_not_given_stay_as_they_are(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint:
        before = endpoint.get_option(RtoInfo)
        endpoint.set_option(RtoInfo(max=5000))
        after = endpoint.get_option(RtoInfo)
        assert (after.initial, after.max, after.min) == (before.initial, 5000, before.min)


async def test_opening_is_a_checkpoint(stack: StackUnderTest) -> None:
    with trio.testing.assert_checkpoints():
        endpoint = await stack.open_endpoint()
    with trio.testing.assert_checkpoints():
        await endpoint.aclose()


async def test_a_small_message_does_not_wait_for_the_one_before(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint:
        assert endpoint.get_option(NoDelay) == NoDelay(True)


# -- connect ---------------------------------------------------------------------------------


async def test_connect_returns_an_association_that_is_up(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        association = await client.connect(stack.host, server.port)
        assert list(client.associations) == [association.id]
        assert association.outbound_streams > 0
        assert association.inbound_streams > 0
        assert association.peer_addresses == [(stack.host, server.port)]
        assert association.local_addresses == [(stack.host, client.port)]


async def test_both_sides_agree_on_streams(stack: StackUnderTest) -> None:
    async with (
        stack.listening(options=[InitMsg(num_ostreams=3, max_instreams=20)]) as server,
        stack.endpoint(options=[InitMsg(num_ostreams=8, max_instreams=5)]) as client,
    ):
        association = await client.connect(stack.host, server.port)
        assert (association.outbound_streams, association.inbound_streams) == (8, 3)
        up = await next_change(server)
        assert (up.outbound_streams, up.inbound_streams) == (3, 8)


async def test_the_peer_grants_fewer_streams(stack: StackUnderTest) -> None:
    async with (
        stack.listening(options=[InitMsg(max_instreams=4)]) as server,
        stack.endpoint(options=[InitMsg(num_ostreams=9)]) as client,
    ):
        assert (await client.connect(stack.host, server.port)).outbound_streams == 4


async def test_connect_takes_its_own_comm_up(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        await pair.peer.send(b"0")
        assert await take(pair.client.receive, 1) == [0]


async def test_connect_leaves_the_records_of_others_in_order(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, stack.listening() as other:
        await send_numbers(pair.peer, range(5))
        await pair.client.connect(stack.host, other.port)
        await send_numbers(pair.peer, range(5, 10))
        assert await take(pair.client.receive, 10) == list(range(10))


async def test_connect_completes_while_another_task_receives(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, stack.listening() as other:
        received: list[object] = []
        async with blocked(keep, received, pair.client.receive):
            await pair.client.connect(stack.host, other.port)
            assert not received
            await pair.peer.send(b"0")
        assert numbers(received) == [0]


async def test_connect_completes_without_credit(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, stack.listening() as other, pair.client.active(0) as inbox:
        await send_numbers(pair.peer, range(3))
        await pair.client.connect(stack.host, other.port)
        assert inbox.credit == 0
        inbox.grant(3)
        assert await take(inbox.receive, 5) == [Passive(), 0, 1, 2, Passive()]


async def test_connect_completes_while_others_flood_the_endpoint(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, stack.listening() as other, trio.open_nursery() as nursery:

        async def flood() -> None:
            await send_numbers(pair.peer, range(200))

        nursery.start_soon(flood)
        for _ in range(10):
            association = await pair.client.connect(stack.host, other.port)
            association.abort()
            await association.wait_ended()
        messages = 0
        while messages < 200:
            record = await pair.client.receive()
            if isinstance(record, Message):
                assert record.data == b"%d" % messages
                messages += 1


async def test_connects_at_the_same_time(stack: StackUnderTest) -> None:
    async with contextlib.AsyncExitStack() as cleanup:
        client = await cleanup.enter_async_context(stack.endpoint())
        servers = [await cleanup.enter_async_context(stack.listening()) for _ in range(10)]
        connected: list[Any] = []
        async with trio.open_nursery() as nursery:
            for server in servers:
                nursery.start_soon(keep, connected, client.connect, stack.host, server.port)
        assert len({association.id for association in connected}) == 10
        assert len(client.associations) == 10


async def test_connect_where_nobody_listens(stack: StackUnderTest) -> None:
    async with stack.endpoint() as closed, stack.endpoint() as client:
        with pytest.raises(ConnectFailed) as caught:
            await client.connect(stack.host, closed.port)
        assert caught.value.errno == errno.ECONNREFUSED
        assert caught.value.event is not None
        assert caught.value.event.state is AssociationState.CANT_ASSOC
        assert str(closed.port) in str(caught.value)
        assert not client.associations


async def test_a_refused_connect_leaves_the_endpoint_usable(stack: StackUnderTest) -> None:
    async with stack.endpoint() as server, stack.endpoint() as client:
        await raises(ConnectFailed, client.connect, stack.host, server.port)
        server.listen()
        await client.connect(stack.host, server.port)
        up = await next_change(server)
        await server.send(b"0", up.association_id)
        assert await take(client.receive, 1) == [0]


async def test_connect_where_nobody_answers(stack: StackUnderTest, black_hole: str) -> None:
    patience = [InitMsg(max_attempts=2, max_init_timeo=100), RtoInfo(initial=100, min=100, max=200)]
    async with stack.endpoint(hosts=(), options=patience) as client:
        with pytest.raises(ConnectFailed) as caught:
            await client.connect(black_hole, 2905)
        assert caught.value.errno == errno.ETIMEDOUT
        assert not client.associations


async def test_a_connect_that_another_task_aborts(stack: StackUnderTest, black_hole: str) -> None:
    errors: list[ConnectFailed] = []

    async def connect() -> None:
        with pytest.raises(ConnectFailed) as caught:
            await client.connect(black_hole, 2905)
        errors.append(caught.value)

    async with stack.endpoint(hosts=()) as client:
        async with blocked(connect):
            (id,) = client.associations
            client.abort(id)
        assert errors[0].errno == errno.ECONNABORTED


async def test_a_cancelled_connect_leaves_nothing(stack: StackUnderTest, black_hole: str) -> None:
    async with stack.listening() as server, stack.endpoint(hosts=()) as client:
        with trio.move_on_after(0.05):
            await client.connect(black_hole, 2905)
        assert not client.associations
        association = await client.connect(stack.host, server.port)
        up = await next_change(server)
        await server.send(b"0", up.association_id)
        message = await next_message(client)
        assert (message.association_id, message.data) == (association.id, b"0")


async def test_a_second_connect_to_the_same_peer(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        with pytest.raises(OSError) as caught:  # noqa: PT011
            await pair.client.connect(stack.host, pair.server.port)
        assert caught.value.errno == errno.EISCONN
        assert len(pair.client.associations) == 1
        await pair.association.send(b"0")
        assert await take(pair.server.receive, 1) == [0]


async def test_a_second_connect_to_a_peer_that_has_not_answered_yet(
    stack: StackUnderTest, black_hole: str
) -> None:
    async with stack.endpoint(hosts=()) as client:
        first = await client.connect_init(black_hole, 2905)
        for connect in client.connect, client.connect_init:
            with pytest.raises(OSError) as caught:  # noqa: PT011
                await connect(black_hole, 2905)
            assert caught.value.errno == errno.EALREADY
        assert list(client.associations.values()) == [first]
        first.abort()


async def test_several_addresses_are_one_peer(stack: StackUnderTest) -> None:
    hosts = [stack.second_host, stack.host]
    async with stack.listening(hosts=hosts) as server, stack.endpoint() as client:
        association = await client.connect(hosts, server.port)
        assert {host for host, *_ in association.peer_addresses} == set(hosts)
        assert len(client.associations) == 1


async def test_a_host_may_be_a_name(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        association = await client.connect("localhost", server.port)
        assert association.peer_addresses == [(stack.host, server.port)]


async def test_a_name_that_is_not_known(stack: StackUnderTest) -> None:
    async with stack.endpoint() as client:
        await raises(OSError, client.connect, "no-such-host.invalid", 2905)


@pytest.mark.parametrize("host", ["", []])
async def test_connect_to_no_host(stack: StackUnderTest, host: str | list[str]) -> None:
    async with stack.endpoint() as client:
        await raises(ValueError, client.connect, host, 2905)


@pytest.mark.parametrize("port", [0, -1, 65536])
async def test_connect_to_a_port_out_of_range(stack: StackUnderTest, port: int) -> None:
    async with stack.endpoint() as client:
        with pytest.raises(ValueError, match=str(port)):
            await client.connect(stack.host, port)
        with pytest.raises(ValueError, match=str(port)):
            await client.connect_init(stack.host, port)


async def test_connect_is_a_checkpoint(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        with trio.testing.assert_checkpoints():
            await client.connect(stack.host, server.port)


async def test_options_of_a_connect_hold_for_that_association_alone(stack: StackUnderTest) -> None:
    async with (
        stack.listening() as server,
        stack.listening() as other,
        stack.endpoint() as client,
    ):
        before = client.get_option(InitMsg), client.get_option(RtoInfo)
        special = await client.connect(
            stack.host, server.port, options=[InitMsg(num_ostreams=3), RtoInfo(max=5000)]
        )
        assert (client.get_option(InitMsg), client.get_option(RtoInfo)) == before
        usual = await client.connect(stack.host, other.port)
        assert special.outbound_streams == 3
        assert special.get_option(RtoInfo).max == 5000
        assert usual.outbound_streams == before[0].num_ostreams
        assert usual.get_option(RtoInfo) == before[1]


async def test_options_of_a_connect_init_hold_for_that_association_alone(
    stack: StackUnderTest,
) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        before = client.get_option(InitMsg)
        await client.connect_init(stack.host, server.port, options=[InitMsg(num_ostreams=3)])
        assert client.get_option(InitMsg) == before
        assert (await next_change(client)).outbound_streams == 3


async def test_a_subscription_of_the_endpoint_leaves_an_associations_own(
    stack: StackUnderTest,
) -> None:
    async with stack.endpoint() as server, stack.endpoint() as client:
        server.listen()
        association = await client.connect(stack.host, server.port)
        own = EventSubscription(sender_dry_event=True)
        client.set_option(own, association)
        client.set_option(EventSubscription(sender_dry_event=False, address_event=False))
        assert client.get_option(EventSubscription, association).sender_dry_event is True
        while not isinstance(await client.receive(), SenderDry):
            pass
        for n in range(3):
            await association.send(b"%d" % n)
            assert isinstance(await client.receive(), SenderDry)


async def test_events_subscribed_at_connect_are_that_associations(stack: StackUnderTest) -> None:
    async with (
        stack.listening() as server,
        stack.listening() as other,
        stack.endpoint() as client,
    ):
        dry = EventSubscription(sender_dry_event=True)
        special = await client.connect(stack.host, server.port, options=[dry])
        usual = await client.connect(stack.host, other.port)
        assert special.get_option(EventSubscription).sender_dry_event
        assert not usual.get_option(EventSubscription).sender_dry_event
        assert not client.get_option(EventSubscription).sender_dry_event
        await usual.send(b"0")
        await special.send(b"0")
        event = await client.receive()
        assert event == SenderDry(association_id=special.id)


async def test_a_refused_option_changes_nothing(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        before = client.get_option(InitMsg), client.get_option(RtoInfo)
        options: list[Any] = [InitMsg(num_ostreams=3), RtoInfo(initial=500, min=5000, max=1000)]
        with pytest.raises(ValueError, match="RtoInfo"):
            await client.connect(stack.host, server.port, options=options)
        assert (client.get_option(InitMsg), client.get_option(RtoInfo)) == before
        assert not client.associations


# -- connect_init ----------------------------------------------------------------------------


async def test_the_outcome_of_connect_init_is_an_event(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        association = await client.connect_init(stack.host, server.port)
        assert association.id in client.associations
        up = await next_change(client)
        assert up.association_id == association.id
        assert up.state is AssociationState.COMM_UP
        assert up.error == 0
        assert association.outbound_streams == up.outbound_streams > 0


async def test_a_connect_init_that_is_refused(stack: StackUnderTest) -> None:
    async with stack.endpoint() as closed, stack.endpoint() as client:
        association = await client.connect_init(stack.host, closed.port)
        failed = await next_change(client)
        assert failed.association_id == association.id
        assert failed.state is AssociationState.CANT_ASSOC
        assert (await association.wait_ended()).state is AssociationState.CANT_ASSOC
        assert not client.associations


async def test_the_event_of_a_connect_init_takes_a_credit(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client, client.active(1) as inbox:
        await client.connect_init(stack.host, server.port)
        assert isinstance(await inbox.receive(), AssociationChange)
        assert inbox.credit == 0


async def test_a_message_to_a_half_open_association_leaves_when_it_is_up(
    stack: StackUnderTest,
) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        association = await client.connect_init(stack.host, server.port)
        await association.send(b"0", stream=2)
        assert (await next_change(server)).state is AssociationState.COMM_UP
        assert (await next_message(server)).stream == 2


async def test_half_open_associations_are_listed(stack: StackUnderTest, black_hole: str) -> None:
    async with stack.endpoint(hosts=()) as client:
        association = await client.connect_init(black_hole, 2905)
        assert list(client.associations) == [association.id]
        assert association.outbound_streams == 0
        association.abort()
        failed = await next_change(client)
        assert failed.association_id == association.id
        assert failed.state is AssociationState.CANT_ASSOC
        assert not client.associations


# -- send ------------------------------------------------------------------------------------


async def test_send_by_handle_by_id_and_on_the_handle(pair: Pair) -> None:
    await pair.client.send(b"0", pair.association)
    await pair.client.send(b"1", pair.association.id)
    await pair.association.send(b"2")
    pair.client.send_nowait(b"3", pair.association)
    pair.client.send_nowait(b"4", pair.association.id)
    pair.association.send_nowait(b"5")
    assert await take(pair.server.receive, 6) == [0, 1, 2, 3, 4, 5]


async def test_a_message_arrives_with_its_parameters(pair: Pair) -> None:
    await pair.association.send(b"data", stream=3, ppid=46, unordered=True, lifetime=60000)
    message = await next_message(pair.server)
    assert message.data == b"data"
    assert message.stream == 3
    assert message.ppid == 46
    assert message.unordered is True
    assert message.association_id == pair.peer.id
    assert message.address == (pair.client.local_addresses()[0][0], pair.client.port)
    assert message.context == 0


async def test_parameters_that_are_not_given_are_0(pair: Pair) -> None:
    await pair.association.send(b"data")
    message = await next_message(pair.server)
    assert (message.stream, message.ppid, message.unordered) == (0, 0, False)


async def test_endpoint_send_takes_the_same_parameters(pair: Pair) -> None:
    await pair.client.send(b"0", pair.association.id, stream=1, ppid=7, unordered=True)
    pair.client.send_nowait(b"1", pair.association.id, stream=2, ppid=8)
    first, second = await next_message(pair.server), await next_message(pair.server)
    assert (first.stream, first.ppid, first.unordered) == (1, 7, True)
    assert (second.stream, second.ppid, second.unordered) == (2, 8, False)


@pytest.mark.parametrize("ppid", [0, 1, 46, 0x0A0B0C0D, 0x7FFFFFFF, 0x80000001, 0xFFFFFFFF])
async def test_a_ppid_is_a_host_order_integer_on_both_ends(pair: Pair, ppid: int) -> None:
    await pair.association.send(b"data", ppid=ppid)
    assert (await next_message(pair.server)).ppid == ppid


async def test_stream_sequence_numbers_count_for_each_stream(pair: Pair) -> None:
    for stream in (0, 1, 0, 1, 1):
        await pair.association.send(b"data", stream=stream)
    received = [await next_message(pair.server) for _ in range(5)]
    assert [(m.stream, m.ssn) for m in received] == [(0, 0), (1, 0), (0, 1), (1, 1), (1, 2)]
    tsns = [m.tsn for m in received]
    assert [(tsn - tsns[0]) % 2**32 for tsn in tsns] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "value",
    [b"payload", bytearray(b"payload"), memoryview(b"payload"), memoryview(b"xpayloadx")[1:-1]],
    ids=["bytes", "bytearray", "memoryview", "slice"],
)
async def test_payloads(pair: Pair, value: bytes | bytearray | memoryview) -> None:
    await pair.association.send(value)
    assert (await next_message(pair.server)).data == b"payload"


async def test_a_message_is_bytes_whatever_was_sent(pair: Pair) -> None:
    value = bytearray(b"payload")
    await pair.association.send(value)
    value[:] = b"changed"
    message = await next_message(pair.server)
    assert type(message.data) is bytes
    assert message.data == b"payload"


async def test_a_memoryview_of_other_items_is_sent_whole(pair: Pair) -> None:
    items = array.array("I", range(10))
    await pair.association.send(memoryview(items))
    assert (await next_message(pair.server)).data == items.tobytes()


async def test_a_memoryview_of_two_dimensions_is_sent_whole(pair: Pair) -> None:
    await pair.association.send(memoryview(bytes(range(12))).cast("B", [3, 4]))
    assert (await next_message(pair.server)).data == bytes(range(12))


async def test_a_memoryview_with_gaps_is_refused(pair: Pair) -> None:
    with pytest.raises((ValueError, TypeError, BufferError), match="contiguous"):
        await pair.association.send(memoryview(b"abcdef")[::2])
    await assert_nothing_was_sent(pair)


async def assert_nothing_was_sent(pair: Pair) -> None:
    await pair.association.send(b"0")
    assert await take(pair.server.receive, 1) == [0]


@pytest.mark.parametrize(
    "value", ["text", None, 5, [1, 2], ("a",)], ids=["str", "None", "int", "list", "tuple"]
)
async def test_what_is_no_payload(pair: Pair, value: Any) -> None:
    with pytest.raises(TypeError):
        await pair.association.send(value)
    with pytest.raises(TypeError):
        pair.association.send_nowait(value)
    await assert_nothing_was_sent(pair)


@pytest.mark.parametrize("value", [b"", bytearray(), memoryview(b"")])
async def test_an_empty_message(pair: Pair, value: bytes | bytearray | memoryview) -> None:
    with pytest.raises(ValueError, match="empty"):
        await pair.association.send(value)
    with pytest.raises(ValueError, match="empty"):
        pair.association.send_nowait(value)
    await assert_nothing_was_sent(pair)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("stream", -1),
        ("stream", 65535),
        ("stream", 65536),
        ("stream", 2**32),
        ("ppid", -1),
        ("ppid", 2**32),
        ("context", -1),
        ("context", 2**32),
        ("lifetime", -1),
        ("lifetime", 2**32),
    ],
)
async def test_a_parameter_out_of_range(pair: Pair, name: str, number: int) -> None:
    parameter: Any = {name: number}
    with pytest.raises(ValueError, match=str(number)) as caught:
        await pair.association.send(b"data", **parameter)
    assert name in str(caught.value)
    with pytest.raises(ValueError, match=str(number)):
        pair.client.send_nowait(b"data", pair.association.id, **parameter)
    await assert_nothing_was_sent(pair)


@pytest.mark.parametrize("name", ["stream", "ppid", "context", "lifetime"])
@pytest.mark.parametrize("value", ["1", 1.5, b"1"])
async def test_a_parameter_of_a_wrong_type(pair: Pair, name: str, value: object) -> None:
    parameter: Any = {name: value}
    with pytest.raises(TypeError):
        await pair.association.send(b"data", **parameter)
    await assert_nothing_was_sent(pair)


async def test_the_first_stream_that_does_not_exist(pair: Pair) -> None:
    streams = pair.association.outbound_streams
    await pair.association.send(b"0", stream=streams - 1)
    with pytest.raises(ValueError, match=str(streams)):
        await pair.association.send(b"data", stream=streams)
    assert (await next_message(pair.server)).stream == streams - 1


async def test_the_largest_message_arrives_whole(pair: Pair) -> None:
    value = bytes(range(256)) * (pair.client.max_send_size // 256)
    assert pair.association.max_send_size == pair.client.max_send_size
    await pair.association.send(value)
    assert (await next_message(pair.server)).data == value


async def test_a_message_that_is_too_large(pair: Pair) -> None:
    size = pair.client.max_send_size + 1
    with pytest.raises(ValueError, match=str(size)):
        await pair.association.send(bytes(size))
    with pytest.raises(ValueError, match=str(size)):
        pair.association.send_nowait(bytes(size))
    await assert_nothing_was_sent(pair)


async def test_the_send_buffer_bounds_a_message(pair: Pair) -> None:
    pair.client.set_option(SendBuffer(300_000))
    size = pair.client.max_send_size
    assert size >= 300_000
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.association.send, bytes(size))
        assert len((await next_message(pair.server)).data) == size


async def test_sending_is_a_checkpoint(pair: Pair) -> None:
    with trio.testing.assert_checkpoints():
        await pair.association.send(b"0")
    with trio.testing.assert_checkpoints():
        await pair.client.send(b"1", pair.association)
    assert await take(pair.server.receive, 2) == [0, 1]


async def test_an_id_that_is_not_known(pair: Pair) -> None:
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: pair.client.send(b"x", UNKNOWN_ID),
        lambda: pair.client.eof(UNKNOWN_ID),
    ]
    for call in calls:
        with pytest.raises(AssociationLost) as caught:
            await call()
        assert caught.value.association.id == UNKNOWN_ID
    for step in sync_calls(pair.client, UNKNOWN_ID):
        with pytest.raises(AssociationLost):
            step()


@pytest.mark.parametrize("id", [0, -1, 2**32, 2**64])
async def test_an_id_out_of_range(pair: Pair, id: int) -> None:
    with pytest.raises(ValueError, match=str(id)):
        await pair.client.send(b"x", id)
    with pytest.raises(ValueError, match=str(id)):
        await pair.client.eof(id)
    for step in sync_calls(pair.client, id):
        with pytest.raises(ValueError, match=str(id)):
            step()


@pytest.mark.parametrize("id", ["1", None, 1.0])
async def test_an_id_of_a_wrong_type(pair: Pair, id: Any) -> None:
    await raises(TypeError, pair.client.send, b"x", id)
    await raises(TypeError, pair.client.eof, id)


async def test_the_handle_of_another_endpoint(pair: Pair) -> None:
    await raises(ValueError, pair.client.send, b"x", pair.peer)
    await raises(ValueError, pair.client.eof, pair.peer)
    for step in sync_calls(pair.client, pair.peer):
        with pytest.raises(ValueError):  # noqa: PT011
            step()
    await assert_nothing_was_sent(pair)


def sync_calls(endpoint: Endpoint, association: Any) -> Iterator[Callable[[], object]]:
    yield lambda: endpoint.send_nowait(b"x", association)
    yield lambda: endpoint.peer_addresses(association)
    yield lambda: endpoint.local_addresses(association)
    yield lambda: endpoint.get_option(Status, association)
    yield lambda: endpoint.set_option(RtoInfo(max=5000), association)
    yield lambda: endpoint.abort(association)
    yield lambda: endpoint.peeloff(association)


# -- a full send buffer ----------------------------------------------------------------------


async def test_send_waits_for_room(stack: StackUnderTest) -> None:
    async with stack.pair(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as pair:
        sent = await fill(pair.association)
        with pytest.raises(trio.WouldBlock):
            pair.association.send_nowait(bytes(1000))
        async with blocked(pair.association.send, (b"%d" % sent).ljust(1000)):
            assert pair.client.statistics().tasks_waiting_send == 1
            assert await take(pair.server.receive, sent + 1) == list(range(sent + 1))


async def test_a_cancelled_send_was_not_sent(stack: StackUnderTest) -> None:
    async with stack.pair(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as pair:
        sent = await fill(pair.association)
        for _ in range(20):
            with trio.move_on_after(0.001):
                await pair.association.send(b"-1".ljust(1000))
        assert pair.client.statistics().tasks_waiting_send == 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.association.send, b"%d" % sent)
            assert await take(pair.server.receive, sent + 1) == list(range(sent + 1))


async def test_senders_queue_in_order(stack: StackUnderTest) -> None:
    async with stack.pair(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as pair:
        sent = await fill(pair.association)
        async with trio.open_nursery() as nursery:
            for number in range(sent, sent + 50):
                nursery.start_soon(pair.association.send, (b"%d" % number).ljust(1000))
                await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.WouldBlock):
                pair.association.send_nowait(b"-1")
            assert await take(pair.server.receive, sent + 50) == list(range(sent + 50))


async def test_large_messages_of_many_senders_stay_whole(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, trio.open_nursery() as nursery:
        for byte in range(10):
            nursery.start_soon(pair.association.send, bytes([byte]) * 100_000)
        received = [(await next_message(pair.server)).data for _ in range(10)]
        assert sorted(received) == [bytes([byte]) * 100_000 for byte in range(10)]


# -- receive ---------------------------------------------------------------------------------


async def test_records_come_in_arrival_order(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        association = await client.connect(stack.host, server.port)
        await send_numbers(association, range(2))
        await association.eof()
        records = [await server.receive() for _ in range(5)]
        up, done = records[0], records[4]
        assert isinstance(up, AssociationChange)
        assert isinstance(done, AssociationChange)
        id = up.association_id
        assert numbers(records[1:3]) == [0, 1]
        assert records[3] == ShutdownReceived(association_id=id)
        assert (up.state, done.state) == (AssociationState.COMM_UP, AssociationState.SHUTDOWN_COMP)
        assert {record.association_id for record in records} == {id}


async def test_receive_waits(pair: Pair) -> None:
    received: list[object] = []
    async with blocked(keep, received, pair.server.receive):
        assert not received
        await pair.association.send(b"0")
    assert numbers(received) == [0]


async def test_a_batch_is_all_that_is_there(pair: Pair) -> None:
    await send_numbers(pair.association, range(10))
    received: list[object] = []
    while len(received) < 10:
        received += numbers(await pair.server.receive_batch())
    assert received == list(range(10))


async def test_a_batch_keeps_to_its_limit(pair: Pair) -> None:
    await send_numbers(pair.association, range(10))
    received: list[object] = []
    while len(received) < 10:
        batch = numbers(await pair.server.receive_batch(3))
        assert 1 <= len(batch) <= 3
        received += batch
    assert received == list(range(10))


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_batch_of_nothing(pair: Pair, limit: int) -> None:
    with pytest.raises(ValueError, match=str(limit)):
        await pair.server.receive_batch(limit)


async def test_receiving_is_a_checkpoint(pair: Pair) -> None:
    await send_numbers(pair.association, range(2))
    with trio.testing.assert_checkpoints():
        await pair.server.receive()
    with trio.testing.assert_checkpoints():
        await pair.server.receive_batch()


async def test_one_task_receives_at_a_time(pair: Pair) -> None:
    received: list[object] = []
    async with blocked(keep, received, pair.server.receive):
        await raises(trio.BusyResourceError, pair.server.receive)
        await raises(trio.BusyResourceError, pair.server.receive_batch)
        await pair.association.send(b"0")
    assert numbers(received) == [0]


async def test_several_associations_share_the_queue(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as one, stack.endpoint() as two:
        first, first_peer = await stack.associate(one, server)
        second, second_peer = await stack.associate(two, server)
        for number in range(10):
            await (first, second)[number % 2].send(b"%d" % number)
        received = [await next_message(server) for _ in range(10)]
        for association, expected in (first_peer, [0, 2, 4, 6, 8]), (second_peer, [1, 3, 5, 7, 9]):
            own = [m for m in received if m.association_id == association.id]
            assert numbers(own) == expected


async def test_a_cancelled_receive_took_nothing(pair: Pair) -> None:
    received: list[object] = []
    sent = turn = 0
    while len(received) < 200:
        turn += 1
        if sent < 200 and turn % 3:
            await pair.association.send(b"%d" % sent)
            sent += 1
        with trio.move_on_after(0.0001 * (turn % 5)):
            received.append(await pair.server.receive())
    assert numbers(received) == list(range(200))


async def test_messages_larger_than_the_receive_buffer_arrive_whole(stack: StackUnderTest) -> None:
    async with (
        stack.pair(server_options=SMALL_BUFFERS, client_options=[SendBuffer(2**19)]) as pair,
        trio.open_nursery() as nursery,
    ):
        values = [bytes([byte]) * 100_000 for byte in range(2)]
        for value in values:
            nursery.start_soon(pair.association.send, value)
            await trio.testing.wait_all_tasks_blocked()
        assert [(await next_message(pair.server)).data for _ in values] == values


# -- associations ----------------------------------------------------------------------------


async def test_associations_is_a_mapping_by_id(pair: Pair) -> None:
    id = pair.peer.id
    associations = pair.server.associations
    assert list(associations) == [id]
    assert len(associations) == 1
    assert id in associations
    assert associations[id].id == id
    assert UNKNOWN_ID not in associations
    with pytest.raises(KeyError):
        associations[UNKNOWN_ID]


async def test_associations_has_incoming_ones_that_nobody_read_of(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        association = await client.connect(stack.host, server.port)
        await until(lambda: server.associations)
        (incoming,) = server.associations.values()
        assert incoming.peer_addresses == association.local_addresses
        assert (await next_change(server)).association_id == incoming.id


async def test_an_association_that_ended_is_not_listed(pair: Pair) -> None:
    pair.association.abort()
    await pair.peer.wait_ended()
    assert not pair.server.associations
    await pair.association.wait_ended()
    assert not pair.client.associations


async def test_addresses_of_both_sides_match(pair: Pair) -> None:
    assert pair.server.local_addresses(pair.peer) == pair.client.peer_addresses(pair.association)
    assert pair.client.local_addresses(pair.association.id) == pair.server.peer_addresses(
        pair.peer.id
    )


async def test_statistics(pair: Pair) -> None:
    before = pair.server.queue_statistics()
    assert (before.associations, before.credit, before.tasks_waiting_send) == (1, None, 0)
    assert pair.server.statistics() == before
    async with pair.server.active(7):
        assert pair.server.queue_statistics().credit == 7


async def test_status(pair: Pair) -> None:
    status = pair.association.status()
    assert status.association_id == pair.association.id
    assert getattr(status.state, "name", None) == "ESTABLISHED"
    assert status.outstrms == pair.association.outbound_streams
    assert status.instrms == pair.association.inbound_streams
    assert status.primary.address == pair.association.peer_addresses[0]
    assert status.fragmentation_point > 0


async def test_listen_lets_peers_in(stack: StackUnderTest) -> None:
    async with stack.endpoint() as server, stack.endpoint() as client:
        await raises(ConnectFailed, client.connect, stack.host, server.port)
        server.listen()
        await client.connect(stack.host, server.port)


async def test_stop_listening_refuses_new_peers_only(pair: Pair, stack: StackUnderTest) -> None:
    pair.server.stop_listening()
    async with stack.endpoint() as other:
        await raises(ConnectFailed, other.connect, stack.host, pair.server.port)
        await pair.association.send(b"0")
        assert await take(pair.server.receive, 1) == [0]
        pair.server.listen()
        await other.connect(stack.host, pair.server.port)


async def test_options_of_one_association(pair: Pair) -> None:
    pair.client.set_option(RtoInfo(max=5000))
    pair.client.set_option(RtoInfo(max=7000), pair.association)
    assert pair.client.get_option(RtoInfo).max == 5000
    assert pair.client.get_option(RtoInfo, pair.association.id).max == 7000
    assert pair.association.get_option(RtoInfo).max == 7000
    pair.association.set_option(RtoInfo(max=8000))
    assert pair.client.get_option(RtoInfo, pair.association).max == 8000
    assert pair.client.get_option(RtoInfo).max == 5000


async def test_an_option_of_a_wrong_scope(pair: Pair) -> None:
    with pytest.raises(ValueError, match="InitMsg"):
        pair.association.get_option(InitMsg)
    with pytest.raises(ValueError, match="InitMsg"):
        pair.client.set_option(InitMsg(num_ostreams=3), pair.association)
    with pytest.raises(ValueError, match="Status"):
        pair.client.get_option(Status)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (InitMsg, "num_ostreams", 0),
        (InitMsg, "num_ostreams", 65536),
        (InitMsg, "max_instreams", 0),
        (InitMsg, "max_attempts", -1),
        (InitMsg, "max_init_timeo", 65536),
        (RtoInfo, "initial", 0),
        (RtoInfo, "max", 2**31),
        (SendBuffer, "size", 0),
    ],
)
def test_an_option_out_of_range(kind: Any, field: str, value: int) -> None:
    with pytest.raises(ValueError, match=str(value)) as caught:
        kind(**{field: value})
    assert field in str(caught.value)


# -- eof and abort ---------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["id", "handle", "method"])
async def test_eof_ends_gracefully_and_delivers_what_was_sent(pair: Pair, by: str) -> None:
    await send_numbers(pair.association, range(3))
    match by:
        case "id":
            await pair.client.eof(pair.association.id)
        case "handle":
            await pair.client.eof(pair.association)
        case "method":
            await pair.association.eof()
    assert await take(pair.server.receive, 3) == [0, 1, 2]
    assert await pair.server.receive() == ShutdownReceived(association_id=pair.peer.id)
    for endpoint, association in (pair.server, pair.peer), (pair.client, pair.association):
        done = await next_change(endpoint)
        assert done.state is AssociationState.SHUTDOWN_COMP
        assert done.association_id == association.id
        end = await association.wait_ended()
        assert end.graceful
        assert (end.state, end.cause, end.reason) == (AssociationState.SHUTDOWN_COMP, 0, b"")
        assert end.undelivered == ()


@pytest.mark.parametrize("by", ["id", "handle", "method"])
async def test_abort_ends_at_once_and_tells_the_reason(pair: Pair, by: str) -> None:
    match by:
        case "id":
            pair.client.abort(pair.association.id, b"the reason")
        case "handle":
            pair.client.abort(pair.association, b"the reason")
        case "method":
            pair.association.abort(b"the reason")
    lost = await next_change(pair.server)
    assert lost.state is AssociationState.COMM_LOST
    assert (lost.error, lost.reason) == (12, b"the reason")
    assert (await next_change(pair.client)).state is AssociationState.COMM_LOST
    for association in pair.peer, pair.association:
        end = await association.wait_ended()
        assert not end.graceful
        assert end.state is AssociationState.COMM_LOST
        assert (end.cause, end.reason) == (12, b"the reason")


async def test_an_abort_needs_no_reason(pair: Pair) -> None:
    pair.client.abort(pair.association)
    end = await pair.peer.wait_ended()
    assert (end.cause, end.reason) == (12, b"")


async def test_a_second_abort_does_nothing(pair: Pair) -> None:
    pair.association.abort(b"first")
    pair.association.abort(b"second")
    await pair.association.wait_ended()
    pair.association.abort(b"third")
    assert (await pair.peer.wait_ended()).reason == b"first"


async def test_a_second_eof_does_nothing(pair: Pair) -> None:
    await pair.association.eof()
    await pair.association.eof()
    await pair.association.wait_ended()
    await pair.association.eof()


async def test_eof_after_the_peers_abort(pair: Pair) -> None:
    pair.peer.abort()
    await pair.association.wait_ended()
    await raises(AssociationLost, pair.association.eof)


async def test_eof_is_a_checkpoint(pair: Pair) -> None:
    with trio.testing.assert_checkpoints():
        await pair.client.eof(pair.association)


async def test_what_the_peer_sent_before_eof_is_received(pair: Pair) -> None:
    await send_numbers(pair.peer, range(3))
    await pair.association.eof()
    assert await take(pair.client.receive, 3) == [0, 1, 2]
    assert (await next_change(pair.client)).state is AssociationState.SHUTDOWN_COMP


async def test_send_after_own_eof(pair: Pair) -> None:
    await pair.association.eof()
    await raises(trio.ClosedResourceError, pair.association.send, b"x")
    with pytest.raises(trio.ClosedResourceError):
        pair.association.send_nowait(b"x")
    await pair.association.wait_ended()
    await raises(trio.ClosedResourceError, pair.association.send, b"x")


async def test_send_after_own_abort(pair: Pair) -> None:
    pair.association.abort()
    await raises(trio.ClosedResourceError, pair.association.send, b"x")
    await pair.association.wait_ended()
    await raises(trio.ClosedResourceError, pair.association.send, b"x")


async def test_send_after_the_peers_eof(pair: Pair) -> None:
    await pair.peer.eof()
    await pair.peer.wait_ended()
    with pytest.raises(AssociationLost) as caught:
        await pair.association.send(b"x")
    assert caught.value.association.id == pair.association.id
    assert caught.value.end.state is AssociationState.SHUTDOWN_COMP


async def test_send_after_the_peers_abort(pair: Pair) -> None:
    pair.peer.abort(b"why")
    await pair.association.wait_ended()
    for association in pair.association, pair.association.id:
        with pytest.raises(AssociationLost) as caught:
            await pair.client.send(b"x", association)
    with pytest.raises(AssociationLost) as caught:
        pair.association.send_nowait(b"x")
    assert caught.value.association is pair.association
    assert (caught.value.end.cause, caught.value.end.reason) == (12, b"why")


async def test_the_loss_of_one_association_leaves_the_others(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as one, stack.endpoint() as two:
        first, _ = await stack.associate(one, server)
        second, second_peer = await stack.associate(two, server)
        first.abort()
        assert (await next_change(server)).state is AssociationState.COMM_LOST
        await second.send(b"0")
        assert await take(server.receive, 1) == [0]
        assert list(server.associations) == [second_peer.id]


@pytest.mark.parametrize("reason", ["text", None, 5])
async def test_a_reason_is_bytes(pair: Pair, reason: Any) -> None:
    with pytest.raises(TypeError):
        pair.association.abort(reason)
    with pytest.raises(TypeError):
        pair.client.abort(pair.association, reason)
    await assert_nothing_was_sent(pair)


async def test_a_reason_that_is_too_long(pair: Pair) -> None:
    with pytest.raises(ValueError, match="65536"):
        pair.association.abort(bytes(65536))
    await assert_nothing_was_sent(pair)


# -- what was not delivered ------------------------------------------------------------------


async def test_every_message_that_was_not_delivered_comes_back_once(
    stack: StackUnderTest, black_hole: str
) -> None:
    async with stack.endpoint(hosts=(), options=[SendBuffer(2**19)]) as client:
        association = await client.connect_init(black_hole, 2905)
        large = bytes(range(250)) * 400
        await association.send(b"first", stream=1, ppid=46, context=0x80000001)
        await association.send(large, stream=2, ppid=0x80000002, context=7)
        await association.send(b"last", unordered=True)
        association.abort()
        assert (await next_change(client)).state is AssociationState.CANT_ASSOC
        failed = [await client.receive() for _ in range(3)]
        for event in failed:
            assert isinstance(event, SendFailed)
            assert event.association_id == association.id
            assert event.complete
            assert not event.sent
        first, middle, last = (event for event in failed if isinstance(event, SendFailed))
        assert (first.data, first.stream, first.ppid) == (b"first", 1, 46)
        assert (first.context, first.unordered) == (0x80000001, False)
        assert (middle.data, middle.stream, middle.ppid) == (large, 2, 0x80000002)
        assert middle.context == 7
        assert (last.data, last.context, last.unordered) == (b"last", 0, True)
        end = await association.wait_ended()
        assert end.undelivered == (first, middle, last)


async def test_equal_messages_come_back_one_by_one(stack: StackUnderTest, black_hole: str) -> None:
    async with stack.endpoint(hosts=(), options=[SendBuffer(2**19)]) as client:
        association = await client.connect_init(black_hole, 2905)
        for _ in range(5):
            await association.send(bytes(10_000))
        association.abort()
        end = await association.wait_ended()
        assert [failed.data for failed in end.undelivered] == [bytes(10_000)] * 5
        assert all(failed.complete for failed in end.undelivered)


async def test_sent_is_delivered_or_undelivered(stack: StackUnderTest) -> None:
    async with stack.pair(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as pair:
        sent = await fill(pair.association)
        pair.peer.abort()
        end = await pair.association.wait_ended()
        received: list[object] = []
        while isinstance(record := await pair.server.receive(), Message):
            received += numbers([record])
        assert received == list(range(len(received)))
        undelivered = [int(failed.data) for failed in end.undelivered]
        assert undelivered == list(range(sent - len(undelivered), sent))
        assert len(received) + len(undelivered) >= sent
        assert {failed.association_id for failed in end.undelivered} == {pair.association.id}


async def test_send_failed_events_follow_the_end(stack: StackUnderTest) -> None:
    async with stack.pair(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as pair:
        await fill(pair.association)
        pair.peer.abort()
        end = await pair.association.wait_ended()
        assert (await next_change(pair.client)).state is AssociationState.COMM_LOST
        events = [await pair.client.receive() for _ in end.undelivered]
        assert tuple(events) == end.undelivered != ()


async def test_undelivered_needs_no_subscription(stack: StackUnderTest, black_hole: str) -> None:
    silent = EventSubscription(send_failure_event=False, association_event=False)
    async with stack.endpoint(hosts=(), options=[silent]) as client:
        association = await client.connect_init(black_hole, 2905)
        await association.send(b"0")
        association.abort()
        assert [failed.data for failed in (await association.wait_ended()).undelivered] == [b"0"]


async def test_lost_names_what_was_not_delivered(stack: StackUnderTest) -> None:
    async with stack.pair(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as pair:
        await fill(pair.association)
        pair.peer.abort()
        end = await pair.association.wait_ended()
        with pytest.raises(AssociationLost) as caught:
            await pair.association.send(b"x")
        assert caught.value.end == end


# -- closing ---------------------------------------------------------------------------------


async def test_aclose_ends_all_associations_gracefully(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as one, stack.endpoint() as two:
        first, _ = await stack.associate(one, server)
        second, _ = await stack.associate(two, server)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.aclose)
            for association in first, second:
                assert (await association.wait_ended()).graceful


async def test_aclose_delivers_what_was_sent(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        await send_numbers(pair.association, range(100))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.client.aclose)
            assert await take(pair.server.receive, 100) == list(range(100))


async def test_aclose_is_graceful_with_unread_messages(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        await send_numbers(pair.peer, range(10))
        await pair.client.aclose()
        assert (await pair.peer.wait_ended()).graceful


async def test_a_cancelled_aclose_closes_and_the_peer_sees_a_graceful_end(
    stack: StackUnderTest,
) -> None:
    async with stack.pair() as pair:
        await send_numbers(pair.peer, range(10))
        await pair.association.send(b"0")
        await trio.aclose_forcefully(pair.client)
        await raises(trio.ClosedResourceError, pair.client.receive)
        assert await take(pair.server.receive, 1) == [0]
        assert (await pair.peer.wait_ended()).graceful


async def test_aclose_twice(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        await pair.client.aclose()
        with trio.testing.assert_checkpoints():
            await pair.client.aclose()


async def test_a_closed_endpoint(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        client, association = pair.client, pair.association
        await client.aclose()
        for call, arguments in (
            (client.receive, ()),
            (client.receive_batch, ()),
            (client.connect, (stack.host, pair.server.port)),
            (client.connect_init, (stack.host, pair.server.port)),
            (client.send, (b"x", association)),
            (client.send, (b"x", association.id)),
            (client.eof, (association.id,)),
            (association.send, (b"x",)),
        ):
            await raises(trio.ClosedResourceError, call, *arguments)
        for step in (
            client.listen,
            client.stop_listening,
            client.local_addresses,
            lambda: client.port,
            lambda: client.associations,
            lambda: client.max_send_size,
            lambda: client.get_option(RtoInfo),
            lambda: client.set_option(RtoInfo(max=5000)),
            lambda: client.abort(association.id),
            lambda: client.peeloff(association.id),
        ):
            with pytest.raises(trio.ClosedResourceError):
                step()
        with pytest.raises(trio.ClosedResourceError):
            async with client.active(1):
                pytest.fail("was entered")
        assert (await association.wait_ended()).graceful


async def test_aclose_wakes_everybody(stack: StackUnderTest) -> None:
    async with stack.pair(client_options=SMALL_BUFFERS, server_options=SMALL_BUFFERS) as pair:
        sent = await fill(pair.peer)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(raises, trio.ClosedResourceError, pair.peer.send, bytes(1000))
            nursery.start_soon(raises, trio.ClosedResourceError, pair.server.receive)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(pair.server.aclose)
            assert await take(pair.client.receive, sent) == list(range(sent))


async def test_aclose_wakes_a_connect(stack: StackUnderTest, black_hole: str) -> None:
    async with (
        stack.endpoint(hosts=()) as client,
        blocked(raises, trio.ClosedResourceError, client.connect, black_hole, 2905),
    ):
        await client.aclose()


async def test_an_endpoint_as_a_context_ends_gracefully(stack: StackUnderTest) -> None:
    async with stack.listening() as server:
        async with await stack.open_endpoint() as client:
            _, peer = await stack.associate(client, server)
        assert (await peer.wait_ended()).graceful
        await raises(trio.ClosedResourceError, client.receive)


async def test_an_endpoint_left_by_an_exception_aborts(stack: StackUnderTest) -> None:
    async with stack.listening() as server:
        client = await stack.open_endpoint()
        _, peer = await stack.associate(client, server)
        with pytest.raises(KeyError):
            async with client:
                raise KeyError
        assert (await peer.wait_ended()).state is AssociationState.COMM_LOST


async def test_an_endpoint_left_by_cancellation_aborts(stack: StackUnderTest) -> None:
    async with stack.listening() as server:
        client = await stack.open_endpoint()
        _, peer = await stack.associate(client, server)
        with trio.CancelScope() as scope:
            async with client:
                scope.cancel()
                await trio.sleep_forever()
        assert (await peer.wait_ended()).state is AssociationState.COMM_LOST


# -- bounds ----------------------------------------------------------------------------------


async def test_a_peer_that_exceeds_max_message_size_is_aborted(stack: StackUnderTest) -> None:
    async with stack.pair(max_message_size=1000) as pair:
        await pair.association.send(bytes(1000))
        await pair.association.send(bytes(1001))
        assert len((await next_message(pair.server)).data) == 1000
        assert (await next_change(pair.server)).state is AssociationState.COMM_LOST
        end = await pair.peer.wait_ended()
        assert (end.state, end.cause) == (AssociationState.COMM_LOST, 4)
        assert (await pair.association.wait_ended()).state is AssociationState.COMM_LOST


async def test_a_large_message_that_exceeds_it_is_never_held(stack: StackUnderTest) -> None:
    async with stack.pair(max_message_size=100_000, client_options=[SendBuffer(2**20)]) as pair:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.association.send, bytes(1_000_000))
            while not isinstance(record := await pair.server.receive(), AssociationChange):
                assert isinstance(record, PartialDeliveryAborted)
            nursery.cancel_scope.cancel()
        assert record.state is AssociationState.COMM_LOST
        assert (await pair.peer.wait_ended()).cause == 4


async def test_others_are_not_harmed_by_a_peer_that_exceeds_it(stack: StackUnderTest) -> None:
    async with stack.pair(max_message_size=1000) as pair, stack.endpoint() as other:
        association, _ = await stack.associate(other, pair.server)
        await pair.association.send(bytes(1001))
        await pair.peer.wait_ended()
        await association.send(b"0")
        assert isinstance(await pair.server.receive(), AssociationChange)
        assert await take(pair.server.receive, 1) == [0]


@pytest.mark.parametrize("size", [0, -1])
async def test_a_max_message_size_out_of_range(stack: StackUnderTest, size: int) -> None:
    with pytest.raises(ValueError, match=str(size)):
        await stack.open_endpoint(max_message_size=size)


async def test_leaving_the_block_of_an_association_whose_endpoint_was_closed(
    stack: StackUnderTest,
) -> None:
    async with stack.pair() as pair, pair.association:
        await pair.client.aclose()


async def test_leaving_the_block_of_an_association_that_was_peeled_off(
    stack: StackUnderTest,
) -> None:
    async with stack.pair() as pair:
        async with pair.association:
            channel = pair.client.peeloff(pair.association)
        await channel.send(b"still up")
        assert (await next_message(pair.server)).data == b"still up"
        channel.abort()
