"""The userland stack and aiortc, the WebRTC of Python, each the other's peer.

aiortc's association carries data channels: a channel is a stream each way, closing one resets it
(RFC 8831 section 6.7).  It has no end but an ABORT of its own, and grants no request to add streams
but that of a peer which adds its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import pytest
import trio

import trio_sctp
from benchmarks.ends import SCTP_PORT
from trio_sctp import (
    AssociationChange,
    AssociationChannel,
    AssociationLost,
    AssociationState,
    EnableStreamReset,
    Event,
    EventSubscription,
    Message,
    Ppid,
    ReconfigurationFlags,
    RtoInfo,
    StreamReset,
    open_association,
    open_listener,
)
from trio_sctp._engine import Engine, Parameters, wire

from ..support.udp_carrier import carried
from ..support.udp_proxy import UdpProxy, free_port, sometimes, udp_proxy

HOST = "127.0.0.1"

OPTIONS = [
    RtoInfo(initial=200, min=100, max=400),
    EnableStreamReset(streams=True),
    EventSubscription(address_event=False, stream_reset_event=True),
]

OPEN, ACK = b"\3" + bytes(11), b"\2"
"""What opens a data channel without a name, and what agrees to it (RFC 8832)."""

pytestmark = pytest.mark.peer("aiortc")


C = TypeVar("C")

ROLES = ["we connect", "we listen"]


class Aiortc:
    """The program `aiortc_channels`."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._written = b""

    async def line(self) -> str:
        assert self._process.stdout is not None
        while b"\n" not in self._written:
            data = await self._process.stdout.receive_some()
            assert data, self._written.decode()
            self._written += data
        line, _, self._written = self._written.partition(b"\n")
        return line.decode()

    async def tell(self, *command: object) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.send_all(json.dumps(command).encode() + b"\n")

    async def hear(self, *event: object) -> None:
        """Wait for the next event, which must be this one."""
        line = await self.line()
        assert line.startswith("["), line + self._written.decode()
        assert tuple(json.loads(line)) == event


@asynccontextmanager
async def aiortc(*arguments: object) -> AsyncIterator[Aiortc]:
    """Run the program, and kill it in the end."""
    async with trio.open_nursery() as nursery:
        process = await nursery.start(
            partial(
                trio.run_process,
                [sys.executable, "-m", "tests.userland.aiortc_channels", *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
        )
        yield Aiortc(process)
        process.kill()


def chunks(packet: bytes, kind: type[C]) -> list[C]:
    parsed = wire.parse_packet_untrusted(packet)
    assert isinstance(parsed, wire.Packet)
    return [chunk for chunk in parsed.chunks if isinstance(chunk, kind)]


class Ends:
    """Both ends of an association, and what is between them."""

    def __init__(self, channel: AssociationChannel, other: Aiortc, proxy: UdpProxy) -> None:
        self.channel = channel
        self.other = other
        self.proxy = proxy

    async def take(self, stream: int, ssn: int, data: bytes, ppid: int) -> None:
        """Wait for the next message, which must be this one."""
        message = await self.channel.receive()
        found = message.stream, message.ssn, message.data, message.ppid
        assert found == (stream, ssn, data, ppid)

    async def opened_by_aiortc(self, retransmissions: int | None = None) -> int:
        """A data channel: the number of its streams."""
        await self.other.tell("open", "theirs", retransmissions)
        opening = await self.channel.receive()
        assert (opening.ssn, opening.ppid) == (0, Ppid.WEBRTC_DCEP)
        assert opening.data[:1] == OPEN[:1]
        assert opening.data.endswith(b"theirs")
        await self.channel.send(ACK, stream=opening.stream, ppid=Ppid.WEBRTC_DCEP)
        await self.other.hear("channel", opening.stream, "theirs")
        return opening.stream

    async def opened_by_us(self, stream: int) -> None:
        await self.channel.send(OPEN, stream=stream, ppid=Ppid.WEBRTC_DCEP)
        await self.take(stream, 0, ACK, Ppid.WEBRTC_DCEP)
        await self.other.hear("channel", stream, "")

    async def exchange(self, stream: int, ssn: int, text: str = "hello") -> None:
        """A message each way on a data channel; aiortc's has this stream sequence number."""
        await self.other.tell("send", stream, text)
        await self.take(stream, ssn, text.encode(), Ppid.WEBRTC_STRING)
        await self.channel.send(text.encode(), stream=stream, ppid=Ppid.WEBRTC_STRING)
        await self.other.hear("message", stream, text)


@asynccontextmanager
async def associated(role: str) -> AsyncIterator[Ends]:
    port = free_port()
    if role == "we listen":
        async with (
            trio_sctp.userland(udp_port=port),
            await open_listener(SCTP_PORT, hosts=HOST, options=OPTIONS) as listener,
            udp_proxy(port) as proxy,
            aiortc(proxy.port) as other,
        ):
            await other.line()
            async with await listener.accept() as channel:
                yield Ends(channel, other, proxy)
    else:
        async with (
            aiortc() as other,
            udp_proxy(int(await other.line())) as proxy,
            trio_sctp.userland(udp_port=port, peer_udp_port=proxy.port),
            await open_association(
                HOST, SCTP_PORT, local_hosts=HOST, local_port=SCTP_PORT, options=OPTIONS
            ) as channel,
        ):
            yield Ends(channel, other, proxy)


@pytest.fixture(params=ROLES)
async def ends(request: pytest.FixtureRequest) -> AsyncIterator[Ends]:
    """An association that either end has set up."""
    async with associated(request.param) as ends:
        yield ends
        ends.channel.abort()


async def test_messages(ends: Ends) -> None:
    """On channels that either end has opened, of all sizes."""
    theirs = await ends.opened_by_aiortc()
    ours = theirs ^ 1
    await ends.opened_by_us(ours)
    for number, size in enumerate([1, 1000, 1160, 1161, 1200, 10_000, 60_000]):
        for stream in theirs, ours:
            await ends.exchange(stream, number + 1, chr(65 + number) * size)


@pytest.mark.parametrize("role", ROLES)
async def test_messages_in_spite_of_loss(role: str) -> None:
    async with associated(role) as ends:
        theirs = await ends.opened_by_aiortc()
        ours = theirs ^ 1
        await ends.opened_by_us(ours)
        ends.proxy.lose = sometimes(seed=1, share=0.05)
        texts = [chr(65 + number) * 1000 * number for number in range(1, 20)]

        async def hear() -> None:
            for text in texts:
                await ends.other.hear("message", ours, text)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hear)  # beside all else, or its output would be full
            for text in texts:
                await ends.other.tell("send", theirs, text)
                await ends.channel.send(text.encode(), stream=ours, ppid=Ppid.WEBRTC_STRING)
            for number, text in enumerate(texts):
                await ends.take(theirs, number + 1, text.encode(), Ppid.WEBRTC_STRING)
        assert ends.proxy.lost
        ends.channel.abort()


async def test_both_connect_at_once() -> None:
    """As RFC 8841 section 9.3 has it for WebRTC: the INIT of either meets that of the other."""
    engine = Engine(SCTP_PORT, [HOST], parameters=Parameters(rto_initial=0.2, rto_min=0.1))
    async with carried(engine, udp_port=0) as carrier, udp_proxy(carrier.udp_port) as proxy:

        def connect(packet: wire.Packet, outbound: bool) -> bool:
            if not outbound and isinstance(packet.chunks[0], wire.Init) and not carrier.sent:
                carrier.connect(SCTP_PORT, proxy.server_side)  # before the engine sees theirs
            return False

        carrier.lose = connect
        async with aiortc(proxy.port) as other:
            await other.line()
            change = await carrier.expect(AssociationChange)
            assert change.state is AssociationState.COMM_UP
            for outbound in True, False:
                assert carrier.chunks(wire.Init, outbound=outbound)
                assert carrier.chunks(wire.InitAck, outbound=outbound)
            id = change.association_id
            await carrier.send(id, OPEN, stream=1, ppid=Ppid.WEBRTC_DCEP)
            await other.hear("channel", 1, "")
            assert (await carrier.expect(Message)).data == ACK
            await other.tell("send", 1, "hello")
            assert (await carrier.expect(Message)).data == b"hello"
            carrier.abort(id, b"enough")
            await other.hear("closed", 1)


INCOMING, OUTGOING = ReconfigurationFlags.INCOMING, ReconfigurationFlags.OUTGOING


async def next_reset(events: trio.abc.ReceiveChannel[Event]) -> tuple[int, ReconfigurationFlags]:
    """The stream of the next event, which is a reset of one, and whose it is."""
    reset = await events.receive()
    assert isinstance(reset, StreamReset)
    (stream,) = reset.streams
    return stream, reset.flags


async def test_a_channel_that_aiortc_closes(ends: Ends) -> None:
    """Its number can be used again."""
    async with ends.channel.events() as events:
        for _ in range(2):
            stream = await ends.opened_by_aiortc()
            await ends.exchange(stream, 1)
            await ends.other.tell("close", stream)
            assert await next_reset(events) == (stream, INCOMING)
            await ends.channel.reset_streams(outgoing=[stream])
            assert await next_reset(events) == (stream, OUTGOING)
            await ends.other.hear("closed", stream)


async def test_a_channel_that_we_close(ends: Ends) -> None:
    """aiortc resets its own stream in answer."""
    async with ends.channel.events() as events:
        for stream in 7, 7, 4:
            await ends.opened_by_us(stream)
            await ends.exchange(stream, 1)
            await ends.channel.reset_streams(outgoing=[stream])
            resets = {await next_reset(events) for _ in range(2)}
            assert resets == {(stream, INCOMING), (stream, OUTGOING)}
            await ends.other.hear("closed", stream)


async def test_messages_that_are_given_up(ends: Ends) -> None:
    """One each way that is lost, and may not be sent again (RFC 3758)."""
    theirs = await ends.opened_by_aiortc(retransmissions=0)
    ours = theirs ^ 1
    await ends.opened_by_us(ours)
    await ends.channel.wait_sent()
    lost = set[bool]()

    def lose_the_first(packet: bytes, to_server: bool) -> bool:
        if to_server in lost or not chunks(packet, wire.Data):
            return False
        lost.add(to_server)
        return True

    ends.proxy.lose = lose_the_first
    for text in "lost", "kept":
        await ends.other.tell("send", theirs, text)
        await ends.channel.send(
            text.encode(), stream=ours, ppid=Ppid.WEBRTC_STRING, retransmissions=0
        )
        await ends.channel.wait_sent()
    await ends.other.hear("message", ours, "kept")
    await ends.take(theirs, 2, b"kept", Ppid.WEBRTC_STRING)
    assert lost == {False, True}
    assert [packet for packet in ends.proxy.passed if chunks(packet, wire.ForwardTsn)]


IN_PROGRESS, PERFORMED = 6, 1
"""Results of a request (RFC 6525 section 4.4)."""


@pytest.mark.parametrize("role", ROLES)
async def test_a_reset_that_overtakes_a_message(role: str) -> None:
    """Our answer is "in progress" until the message is here, which is lost at first."""
    async with associated(role) as ends, ends.channel.events() as events:
        stream = await ends.opened_by_aiortc()
        answers = list[int]()

        def lose(packet: bytes, to_server: bool) -> bool:
            if to_server is (role == "we listen"):
                return bool(chunks(packet, wire.Data)) and not answers
            for chunk in chunks(packet, wire.Reconfig):
                answers.extend(response.result for response in chunk.responses)
            return False

        ends.proxy.lose = lose
        await ends.other.tell("send", stream, "late")
        await ends.other.tell("close", stream)
        await ends.take(stream, 1, b"late", Ppid.WEBRTC_STRING)
        assert await next_reset(events) == (stream, INCOMING)
        await ends.channel.reset_streams(outgoing=[stream])
        await ends.other.hear("closed", stream)
        assert answers[0] == IN_PROGRESS
        assert answers[-1] == PERFORMED
        ends.channel.abort()


async def test_streams_are_added(ends: Ends) -> None:
    await ends.other.tell("count")
    before = ends.channel.outbound_streams
    await ends.other.hear("streams", before, ends.channel.inbound_streams)
    await ends.channel.add_streams(outgoing=2)
    assert ends.channel.outbound_streams == before + 2
    await ends.other.tell("count")
    await ends.other.hear("streams", before + 2, ends.channel.inbound_streams)
    await ends.opened_by_us(before + 1)
    await ends.exchange(before + 1, 1)


async def test_our_shutdown(ends: Ends) -> None:
    stream = await ends.opened_by_aiortc()
    await ends.channel.send(b"the last", stream=stream, ppid=Ppid.WEBRTC_STRING)
    await ends.channel.eof()
    await ends.other.hear("message", stream, "the last")
    end = await ends.channel.wait_ended()
    assert end.graceful
    assert not end.undelivered
    await ends.other.hear("closed", stream)


async def test_our_abort(ends: Ends) -> None:
    stream = await ends.opened_by_aiortc()
    ends.channel.abort(b"enough")
    await ends.other.hear("closed", stream)


async def test_their_abort(ends: Ends) -> None:
    """Which has no cause."""
    stream = await ends.opened_by_aiortc()
    await ends.other.tell("stop")
    await ends.other.hear("closed", stream)
    with pytest.raises(AssociationLost) as lost:
        await ends.channel.receive()
    assert (lost.value.end.state, lost.value.end.cause) == (AssociationState.COMM_LOST, 0)
