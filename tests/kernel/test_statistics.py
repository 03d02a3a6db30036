"""Linux and the engine count what was really sent: each packet between them is seen here."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from trio_sctp import (
    AssociationChange,
    AssociationChannel,
    AssociationStatistics,
    EventSubscription,
    Message,
    open_association,
    open_listener,
)
from trio_sctp._engine import Engine, Parameters, wire

from ..conformance.helpers import until
from ..support.udp_carrier import ENGINE_UDP, HOST, Carrier, carried

PORT = 5001
COUNT = 12
QUIET = EventSubscription(address_event=False)

pytestmark = pytest.mark.usefixtures("encapsulation", "checksums")


class Tap:
    """All packets between the engine and the kernel, and what becomes of them.

    Attributes:
      lose: Whether a packet gets lost: called with it, and whether the engine has sent it.
    """

    def __init__(self, carrier: Carrier) -> None:
        self.lose: Callable[[wire.Packet, bool], bool] = lambda packet, outbound: False
        self._sent: dict[bool, list[wire.Packet]] = {True: [], False: []}
        self._arrived: dict[bool, list[wire.Packet]] = {True: [], False: []}
        carrier.lose = self._see

    def _see(self, packet: wire.Packet, outbound: bool) -> bool:
        self._sent[outbound].append(packet)
        lost = self.lose(packet, outbound)
        if not lost:
            self._arrived[outbound].append(packet)
        return lost

    def of(self, *, engine: bool, left_out: tuple[type, ...]) -> AssociationStatistics:
        """What one of them should have counted; some packets are of no association."""

        def chunks(packets: list[wire.Packet]) -> list[wire.Chunk]:
            return [chunk for packet in packets for chunk in packet.chunks]

        def of_the_association(packets: list[wire.Packet]) -> list[wire.Packet]:
            return [packet for packet in packets if not isinstance(packet.chunks[0], left_out)]

        sent = of_the_association(self._sent[engine])
        received = of_the_association(self._arrived[not engine])
        data_sent = [chunk for chunk in chunks(sent) if isinstance(chunk, wire.Data)]
        data_received = [chunk for chunk in chunks(received) if isinstance(chunk, wire.Data)]
        sacks = [chunk for chunk in chunks(received) if isinstance(chunk, wire.Sack)]
        new_sent = {chunk.tsn for chunk in data_sent}
        new_received = {chunk.tsn for chunk in data_received}
        return AssociationStatistics(
            packets_sent=len(sent),
            packets_received=len(received),
            data_chunks_sent=len(new_sent),
            data_chunks_received=len(new_received),
            control_chunks_sent=len(chunks(sent)) - len(data_sent),
            control_chunks_received=len(chunks(received)) - len(data_received),
            sacks_sent=sum(isinstance(chunk, wire.Sack) for chunk in chunks(sent)),
            sacks_received=len(sacks),
            retransmitted=len(data_sent) - len(new_sent),
            gaps=sum(len(sack.gaps) for sack in sacks),
            duplicates=len(data_received) - len(new_received),
            out_of_order=_overtaking(data_received) if engine else 0,
        )


def _overtaking(chunks: list[wire.Data]) -> int:
    """How many chunks arrived for the first time while one before them was missing."""
    due = min((chunk.tsn for chunk in chunks), default=0)
    ahead: set[int] = set()
    for chunk in chunks:
        if chunk.tsn > due:
            ahead.add(chunk.tsn)
        while due in ahead or due == chunk.tsn:
            due += 1
    return len(ahead)


@asynccontextmanager
async def associated(
    kernel_connects: bool,
) -> AsyncIterator[tuple[Tap, Carrier, int, AssociationChannel]]:
    """An association of which every packet is seen from the beginning."""
    parameters = Parameters(rto_initial=0.2, rto_min=0.1, rto_max=0.4, sack_delay=0.02)
    engine = Engine(PORT, [HOST], parameters=parameters)
    engine.listening = True
    async with carried(engine, ENGINE_UDP) as carrier:
        tap = Tap(carrier)
        if kernel_connects:
            channel = await open_association(HOST, PORT, options=[QUIET], stack="kernel")
        else:
            listener = await open_listener(0, hosts=HOST, options=[QUIET], stack="kernel")
            async with listener:
                carrier.connect(listener.port)
                channel = await listener.accept()
        up = await carrier.expect(AssociationChange)
        try:
            yield tap, carrier, up.association_id, channel
        finally:
            channel.abort()


class LoseOne:
    """Loses the nth packet with a chunk of a type that one of the two sends."""

    def __init__(self, kind: type, number: int, *, outbound: bool) -> None:
        self._kind = kind
        self._left = number
        self._outbound = outbound

    def __call__(self, packet: wire.Packet, outbound: bool) -> bool:
        if outbound is not self._outbound or not isinstance(packet.chunks[0], self._kind):
            return False
        self._left -= 1
        return self._left == 0


@pytest.mark.parametrize("kernel_connects", [True, False])
@pytest.mark.parametrize(
    ("kind", "number", "outbound"),
    [
        (wire.Data, 0, False),
        (wire.Data, 4, False),
        (wire.Data, 4, True),
        (wire.Sack, COUNT // 2, False),
    ],
    ids=["nothing lost", "DATA of Linux", "DATA of the engine", "a SACK of Linux"],
)
async def test_what_was_really_sent_is_counted(
    kernel_connects: bool, kind: type[wire.Chunk], number: int, outbound: bool
) -> None:
    async with associated(kernel_connects) as (tap, carrier, id, channel):
        tap.lose = LoseOne(kind, number, outbound=outbound)
        for n in range(COUNT):
            await carrier.send(id, b"%d" % n)
        for n in range(COUNT):
            assert (await channel.receive()).data == b"%d" % n
        for n in range(COUNT):
            await channel.send(b"%d" % n, unordered=n == COUNT - 1)
        for _ in range(COUNT):
            await carrier.expect(Message)
        await until(lambda: not channel.status().unackdata)
        await until(lambda: not carrier.engine.status(id).unackdata)

        # What sets an association up is counted by the side that connects; of the other's there is
        # no association yet, on Linux until the COOKIE ECHO has been read.
        strange = (wire.Init, wire.InitAck)
        linux_has = () if kernel_connects else (*strange, wire.CookieEcho)
        engine_has = strange if kernel_connects else ()

        def linux() -> tuple[AssociationStatistics, AssociationStatistics]:
            return channel.statistics(), tap.of(engine=False, left_out=linux_has)

        def engine() -> tuple[AssociationStatistics, AssociationStatistics]:
            counted = dataclasses.replace(
                carrier.engine.associations[id].statistics(),
                heartbeats_sent=None,
                heartbeats_answered=None,
                max_rto=None,
            )
            return counted, tap.of(engine=True, left_out=engine_has)

        with trio.move_on_after(10):
            await until(lambda: all(one == other for one, other in (linux(), engine())))
        for counted, truth in (linux(), engine()):
            assert counted == truth
            assert truth.data_chunks_sent == truth.data_chunks_received == COUNT
