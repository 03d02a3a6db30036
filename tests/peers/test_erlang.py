"""Erlang's gen_sctp as a peer, in both roles, with active and passive mode on either side."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncGenerator

import pytest

import trio_sctp
from trio_sctp import (
    Association,
    AssociationChange,
    AssociationLost,
    AssociationState,
    Endpoint,
    InitMsg,
    Message,
    ShutdownReceived,
)

from .conftest import CREDIT, HOST, USER_ABORT, Erlang, Peer, Source, take

pytestmark = [pytest.mark.kernel, pytest.mark.peer("erl", "erlc")]


@dataclasses.dataclass
class Dialogue:
    erl: Peer
    endpoint: Endpoint
    association: Association
    source: Source


@contextlib.asynccontextmanager
async def dialogue(erlang: Erlang, we_are: str, ours: str, theirs: str) -> AsyncGenerator[Dialogue]:
    """An association between ours and an Erlang program that obeys, each in its mode.

    Whoever connects asks for 5 streams.
    """
    options = [InitMsg(num_ostreams=5)] if we_are == "client" else []
    async with (
        await trio_sctp.open_endpoint(hosts=HOST, options=options) as endpoint,
        reading(endpoint, ours) as source,
    ):
        if we_are == "client":
            erl = await erlang("obey", "server", theirs)
            port = int(await erl.expect("port "))
            association = await endpoint.connect(HOST, port)
            await erl.expect("shared {[],{sctp_assoc_change,comm_up,0,10,5,")
        else:
            endpoint.listen()
            erl = await erlang("obey", "client", theirs, endpoint.port)
            up = await take(source, AssociationChange)
            assert up.state is AssociationState.COMM_UP
            association = endpoint.associations[up.association_id]
            assert association.inbound_streams == 5
            await erl.expect("shared {[],{sctp_assoc_change,comm_up,0,5,10,")
        yield Dialogue(erl, endpoint, association, source)


@contextlib.asynccontextmanager
async def reading(endpoint: Endpoint, mode: str) -> AsyncGenerator[Source]:
    if mode == "passive":
        yield endpoint
        return
    async with endpoint.active(CREDIT) as inbox:
        yield inbox


@pytest.mark.parametrize(
    ("we_are", "ours", "theirs"),
    [
        ("client", "passive", "passive"),
        ("client", "active", "3"),
        ("server", "passive", "once"),
        ("server", "active", "true"),
    ],
)
async def test_messages_keep_order_stream_and_ppid(
    erlang: Erlang, we_are: str, ours: str, theirs: str
) -> None:
    async with dialogue(erlang, we_are, ours, theirs) as d:
        sent = [(b"%d" % number, number % 5, 0xFFFF_FF00 + number) for number in range(200)]
        for data, stream, ppid in sent:
            await d.association.send(data, stream=stream, ppid=ppid)
        echoes = [await take(d.source, Message) for _ in sent]
        for stream in range(5):
            assert [(e.data, e.stream, e.ppid) for e in echoes if e.stream == stream] == [
                one for one in sent if one[1] == stream
            ]
        # The ppid is the same number there, not one whose bytes were swapped twice on the way.
        await d.erl.expect("shared {[{sctp_sndrcvinfo,4,39,[],4294967239,", '}],<<"199">>}')


async def test_we_end_gracefully(erlang: Erlang) -> None:
    async with dialogue(erlang, "client", "passive", "true") as d:
        await d.association.eof()
        end = await d.association.wait_ended()
        assert end.graceful
        change = await take(d.source, AssociationChange)
        assert change.state is AssociationState.SHUTDOWN_COMP
        await d.erl.expect(
            "shared {[],{sctp_shutdown_event,",
            "shared {[],{sctp_assoc_change,shutdown_comp,0,",
        )


async def test_erlang_ends_gracefully(erlang: Erlang) -> None:
    async with dialogue(erlang, "server", "active", "passive") as d:
        await d.association.send(b"eof")
        await take(d.source, ShutdownReceived)
        change = await take(d.source, AssociationChange)
        assert change.state is AssociationState.SHUTDOWN_COMP
        assert (await d.association.wait_ended()).graceful
        with pytest.raises(AssociationLost):
            await d.association.send(b"too late")
        await d.erl.expect("shared {[],{sctp_assoc_change,shutdown_comp,0,")


async def test_we_abort(erlang: Erlang) -> None:
    async with dialogue(erlang, "server", "active", "once") as d:
        d.association.abort(b"seen enough")
        end = await d.association.wait_ended()
        assert (end.state, end.cause, end.reason) == (
            AssociationState.COMM_LOST,
            12,
            b"seen enough",
        )
        await d.erl.expect(f"shared {{[],{{sctp_assoc_change,comm_lost,{USER_ABORT},")


async def test_erlang_aborts(erlang: Erlang) -> None:
    async with dialogue(erlang, "client", "passive", "3") as d:
        await d.association.send(b"abort")
        change = await take(d.source, AssociationChange)
        assert (change.state, change.error) == (AssociationState.COMM_LOST, 12)
        end = await d.association.wait_ended()
        assert (end.state, end.cause, end.reason) == (AssociationState.COMM_LOST, 12, b"")
        with pytest.raises(AssociationLost):
            await d.association.send(b"too late")
        await d.erl.expect(f"shared {{[],{{sctp_assoc_change,comm_lost,{USER_ABORT},")


async def test_we_peel_off(erlang: Erlang) -> None:
    async with dialogue(erlang, "server", "active", "true") as d:
        async with d.endpoint.peeloff(d.association) as channel:
            assert not d.endpoint.associations
            await channel.send(b"from a socket of its own", stream=3, ppid=46)
            echo = await channel.receive()
            assert (echo.data, echo.stream, echo.ppid) == (b"from a socket of its own", 3, 46)
        await d.erl.expect(
            "shared {[],{sctp_shutdown_event,",
            "shared {[],{sctp_assoc_change,shutdown_comp,0,",
        )


async def test_erlang_peels_off(erlang: Erlang) -> None:
    async with dialogue(erlang, "client", "passive", "3") as d:
        await d.association.send(b"peel off")
        assert (await take(d.source, Message)).data == b"peeled off"
        await d.association.send(b"to its own socket", stream=2, ppid=46)
        echo = await take(d.source, Message)
        assert (echo.data, echo.stream, echo.ppid) == (b"to its own socket", 2, 46)
        await d.erl.expect("own {[{sctp_sndrcvinfo,2,", '<<"to its own socket">>')
        await d.association.send(b"eof")
        await take(d.source, ShutdownReceived)
        await d.erl.expect("own {[],{sctp_assoc_change,shutdown_comp,0,")
