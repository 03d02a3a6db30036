"""Every event of gen_sctp, each for a real cause; those of paths are in test_multihoming.py too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio
import trio.testing

from trio_sctp import (
    AdaptationIndication,
    AdaptationLayer,
    AssociationChange,
    AssociationState,
    ConnectFailed,
    Endpoint,
    Event,
    EventSubscription,
    InitMsg,
    Message,
    PartialDeliveryAborted,
    PathState,
    PeerAddressChange,
    ReceiveBuffer,
    RemoteError,
    RtoInfo,
    SendBuffer,
    SendFailed,
    ShutdownReceived,
    StatusState,
    error_string,
    open_association,
    open_endpoint,
)
from trio_sctp._engine import wire
from trio_sctp._engine.wire import Cause, ChunkType, Tlv

from .conftest import LOOPBACK, open_server
from .tun_peer import PEER, PORT, TunPeer, tun_peer


@pytest.fixture
def peer() -> Iterator[TunPeer]:
    with tun_peer() as peer:
        yield peer


async def next_event(endpoint: Endpoint, kind: type[Event]) -> Event:
    """The next event of this kind; messages and others are taken and forgotten."""
    while not isinstance(record := await endpoint.receive(), kind):
        pass
    return record


async def change(endpoint: Endpoint, state: AssociationState) -> AssociationChange:
    event = await next_event(endpoint, AssociationChange)
    assert isinstance(event, AssociationChange)
    assert event.state is state
    return event


# -- associations ------------------------------------------------------------------------------


async def test_comm_up_and_shutdown_comp() -> None:
    async with open_server() as server:
        async with await open_association(LOOPBACK, server.port) as client:
            up = await change(server, AssociationState.COMM_UP)
            assert (up.outbound_streams, up.inbound_streams, up.error) == (10, 10, 0)
            await client.eof()
            assert await next_event(server, ShutdownReceived) == ShutdownReceived(
                association_id=up.association_id
            )
        complete = await change(server, AssociationState.SHUTDOWN_COMP)
        assert (complete.association_id, complete.error) == (up.association_id, 0)


async def test_comm_lost_by_abort() -> None:
    async with open_server() as server:
        client = await open_association(LOOPBACK, server.port)
        client.abort(b"no more")
        lost = await change_after_up(server)
        assert (lost.state, lost.error) == (AssociationState.COMM_LOST, 12)
        assert lost.reason == b"no more"
        assert error_string(lost.error) == "user-initiated abort"


async def change_after_up(endpoint: Endpoint) -> AssociationChange:
    await change(endpoint, AssociationState.COMM_UP)
    event = await next_event(endpoint, AssociationChange)
    assert isinstance(event, AssociationChange)
    return event


async def test_comm_lost_by_a_protocol_violation_keeps_its_cause(peer: TunPeer) -> None:
    async with await open_endpoint() as endpoint, trio.open_nursery() as nursery:
        nursery.start_soon(peer.set_up)
        association = await endpoint.connect(PEER, PORT)
        peer.send(wire.abort_chunk([Tlv(Cause.PROTOCOL_VIOLATION, b"my words")]))
        lost = await change(endpoint, AssociationState.COMM_LOST)
        assert (lost.association_id, lost.error, lost.reason) == (association.id, 13, b"")
        assert b"my words" in lost.info
        assert error_string(lost.error) == "protocol violation"


async def test_restart(peer: TunPeer) -> None:
    async with await open_endpoint() as endpoint:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.set_up)
            association = await endpoint.connect(PEER, PORT)
        await peer.restart()
        restart = await change(endpoint, AssociationState.RESTART)
        assert restart.association_id == association.id
        association.abort()


async def test_cant_assoc() -> None:
    async with await open_endpoint() as endpoint:
        with pytest.raises(ConnectFailed) as refused:
            await endpoint.connect(LOOPBACK, 9)
        assert refused.value.event is not None
        assert refused.value.event.state is AssociationState.CANT_ASSOC
        half_open = await endpoint.connect_init(LOOPBACK, 9)
        event = await change(endpoint, AssociationState.CANT_ASSOC)
        assert event.association_id == half_open.id


# -- paths: all seven states are in test_multihoming.py ----------------------------------------


async def test_a_path_event_names_the_association_and_the_address() -> None:
    hosts = [LOOPBACK, "127.0.0.2"]
    async with (
        await open_endpoint(hosts=hosts) as server,
        await open_endpoint(hosts=hosts) as client,
    ):
        server.listen()
        association = await client.connect(hosts, server.port)
        up = await change(server, AssociationState.COMM_UP)
        event = await next_event(server, PeerAddressChange)
        assert isinstance(event, PeerAddressChange)
        assert event.association_id == up.association_id
        assert event.address == ("127.0.0.2", client.port)
        assert {path.state for path in association.paths()} == {PathState.ACTIVE}
        association.abort()


# -- messages ----------------------------------------------------------------------------------


async def test_send_failed_with_the_data_and_the_callers_context() -> None:
    buffers = [SendBuffer(16384), ReceiveBuffer(16384)]
    async with open_server(options=buffers) as server, await open_endpoint(options=buffers) as own:
        association = await own.connect(LOOPBACK, server.port)
        sent: dict[int, bytes] = {}
        with pytest.raises(trio.WouldBlock):
            for context in range(1, 1000):
                data = b"%d" % context * 200
                own.send_nowait(data, association, context=context, stream=3, ppid=46)
                sent[context] = data
        association.abort()
        await change(own, AssociationState.COMM_LOST)
        failed = await next_event(own, SendFailed)
        while True:
            assert isinstance(failed, SendFailed)
            assert failed.complete
            assert failed.data == sent[failed.context]
            assert (failed.stream, failed.ppid, failed.unordered) == (3, 46, False)
            if failed.context == max(sent):
                break
            failed = await next_event(own, SendFailed)
        assert not failed.sent  # it had not got that far


async def test_send_failed_when_a_lifetime_runs_out() -> None:
    buffers = [SendBuffer(16384), ReceiveBuffer(16384)]
    async with open_server(options=buffers) as server, await open_endpoint(options=buffers) as own:
        association = await own.connect(LOOPBACK, server.port)
        with pytest.raises(trio.WouldBlock):
            while True:
                own.send_nowait(bytes(1000), association, lifetime=20, context=7)
        failed = await next_event(own, SendFailed)
        assert isinstance(failed, SendFailed)
        assert (failed.context, failed.error, failed.sent) == (7, 0, False)
        assert association.id in own.associations
        association.abort()


async def test_remote_error(peer: TunPeer) -> None:
    async with await open_endpoint() as endpoint:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.set_up)
            association = await endpoint.connect(PEER, PORT)
        await association.send(b"x", stream=3)
        peer.send(wire.error_chunk([Tlv(Cause.INVALID_STREAM, b"\0\3\0\0")]))
        event = await next_event(endpoint, RemoteError)
        assert isinstance(event, RemoteError)
        assert (event.association_id, event.error) == (association.id, 1)
        assert error_string(event.error) == "invalid stream identifier"
        association.abort()


async def test_adaptation() -> None:
    wants = EventSubscription(adaptation_layer_event=True)
    async with (
        open_server(options=[wants, AdaptationLayer(7)]) as server,
        await open_endpoint(options=[wants, AdaptationLayer(2**32 - 1)]) as client,
    ):
        association = await client.connect(LOOPBACK, server.port)
        up = await change(server, AssociationState.COMM_UP)
        assert await next_event(server, AdaptationIndication) == AdaptationIndication(
            association_id=up.association_id, adaptation_ind=2**32 - 1
        )
        assert await next_event(client, AdaptationIndication) == AdaptationIndication(
            association_id=association.id, adaptation_ind=7
        )
        association.abort()


async def test_partial_delivery_aborted(peer: TunPeer) -> None:
    """The peer begins a message that is larger than our buffer, and gives up."""
    async with await open_endpoint(options=[ReceiveBuffer(16384)]) as endpoint:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.set_up)
            association = await endpoint.connect(PEER, PORT)
        first = True
        while endpoint.statistics().buffered_bytes == 0:
            peer.send_data(bytes(1000), flags=wire.FIRST if first else 0)
            first = False
            with trio.move_on_after(0.001):
                await association.wait_ended()  # which reads ahead
        peer.send(wire.abort_chunk())
        event = await next_event(endpoint, PartialDeliveryAborted)
        assert event == PartialDeliveryAborted(
            association_id=association.id, indication=0, stream=0, ssn=0
        )
        await change(endpoint, AssociationState.COMM_LOST)


async def test_what_gen_sctp_makes_an_error_of_is_an_event() -> None:
    """send_failed, remote_error and pdapi_event come with {error, Event} there."""
    async with open_server() as server:
        client = await open_association(LOOPBACK, server.port)
        up = await change(server, AssociationState.COMM_UP)
        with pytest.raises(trio.WouldBlock):
            while True:
                server.send_nowait(bytes(1000), up.association_id)
        async with server.active(32767) as inbox:
            client.abort()
            records = [await inbox.receive()]
            while not isinstance(records[-1], SendFailed):
                records.append(await inbox.receive())
        assert not any(isinstance(record, Message) for record in records)


# -- states ------------------------------------------------------------------------------------


async def test_an_association_goes_through_every_state(peer: TunPeer) -> None:
    """EMPTY and CLOSED are not seen on Linux: an association that is gone has no status."""
    options = [RtoInfo(initial=500), InitMsg(max_attempts=3)]
    async with await open_endpoint(options=options) as endpoint:
        association = await endpoint.connect_init(PEER, PORT)
        assert association.status().state is StatusState.COOKIE_WAIT
        await peer.answer_init()
        await peer.receive(wire.CookieEcho)
        assert association.status().state is StatusState.COOKIE_ECHOED
        peer.send(wire.chunk(ChunkType.COOKIE_ACK))
        await change(endpoint, AssociationState.COMM_UP)
        assert association.status().state is StatusState.ESTABLISHED
        await association.send(b"not acknowledged yet")
        tsn = (await peer.receive(wire.Data)).tsn
        await association.eof()
        assert association.status().state is StatusState.SHUTDOWN_PENDING
        peer.send(wire.sack_chunk(tsn, 65536, [], []))
        await peer.receive(wire.Shutdown)
        assert association.status().state is StatusState.SHUTDOWN_SENT
        peer.send(wire.chunk(ChunkType.SHUTDOWN_ACK))
        await change(endpoint, AssociationState.SHUTDOWN_COMP)


async def test_an_association_that_the_peer_shuts_down(peer: TunPeer) -> None:
    async with await open_endpoint() as endpoint:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.set_up)
            association = await endpoint.connect(PEER, PORT)
        await association.send(b"not acknowledged yet")
        tsn = (await peer.receive(wire.Data)).tsn
        peer.send(wire.shutdown_chunk(tsn - 1))
        await next_event(endpoint, ShutdownReceived)
        assert association.status().state is StatusState.SHUTDOWN_RECEIVED
        peer.send(wire.shutdown_chunk(tsn))
        await peer.receive(wire.ShutdownAck)
        assert association.status().state is StatusState.SHUTDOWN_ACK_SENT
        peer.send(wire.shutdown_complete_chunk())
        await change(endpoint, AssociationState.SHUTDOWN_COMP)


# -- listening ---------------------------------------------------------------------------------


async def test_an_init_to_who_does_not_listen_is_answered_by_an_abort(peer: TunPeer) -> None:
    """And by nothing but that: neither an event nor an association comes of it."""
    async with await open_endpoint(PORT) as endpoint:
        init = wire.init_chunk(wire.Init(78, 65536, 10, 10, 1, []))
        peer.their_port = PORT
        peer.send(init, tag=0)
        await peer.receive(wire.Abort)
        endpoint.listen()
        peer.send(init, tag=0)
        await peer.receive(wire.InitAck)
        endpoint.stop_listening()
        peer.send(init, tag=0)
        await peer.receive(wire.Abort)
        await trio.testing.wait_all_tasks_blocked()
        assert endpoint.statistics().buffered_records == 0
        assert not endpoint.associations
