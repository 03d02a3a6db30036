"""A peer that follows a script, and the engine that it tests.

It builds its packets chunk by chunk, and reads what the engine sends.  There is no network and no
clock: time is a number that the script moves on, and an engine whose deadline passes is told so.
What the script does not take of what the engine sends makes `expect` and `silent` fail.
"""

from __future__ import annotations

import dataclasses
import random
from collections import deque
from collections.abc import Sequence
from typing import TypeVar

from trio_sctp._engine import Engine, Parameters, Route, wire
from trio_sctp._engine.wire import Chunk, ChunkType, ParameterType, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import (
    Arrival,
    AssociationChange,
    AssociationState,
    Message,
    Piece,
    SendInfo,
)

T = TypeVar("T", bound=Chunk)

PORT, PEER_PORT = 5001, 6001
HERE, OTHER_HERE = "192.0.2.1", "192.0.2.2"
THERE, THERE_2, THERE_3 = "198.51.100.1", "198.51.100.2", "203.0.113.3"
WINDOW = 2**20
MASK = 2**32 - 1

FIRST, LAST, UNORDERED = 2, 1, 4
WHOLE = FIRST | LAST

COOKIE_ACK = wire.chunk(ChunkType.COOKIE_ACK)
SHUTDOWN_ACK = wire.chunk(ChunkType.SHUTDOWN_ACK)


def quick(**changes: object) -> Parameters:
    """No heartbeats between the packets of a script, and none of RFC 7829's states."""
    return dataclasses.replace(
        Parameters(heartbeats=False, potentially_failed=False),
        **changes,  # type: ignore[arg-type]
    )


@dataclasses.dataclass(slots=True)
class Received:
    """A packet of the engine's."""

    time: float
    route: Route
    packet: wire.Packet

    @property
    def tag(self) -> int:
        return self.packet.tag

    @property
    def chunks(self) -> list[Chunk]:
        return self.packet.chunks

    @property
    def kinds(self) -> list[type[Chunk]]:
        return [type(chunk) for chunk in self.packet.chunks]

    def get(self, kind: type[T]) -> T:
        """Its only chunk of that kind."""
        (chunk,) = [chunk for chunk in self.packet.chunks if isinstance(chunk, kind)]
        return chunk


class ScriptedPeer:
    """See the module's docstring.

    ``tag``, ``tsn`` and ``acked`` are the script's own: its tag, the next TSN that it will use, and
    the last TSN of the engine's that it has.  ``their_tag`` and ``their_tsn`` are the engine's: its
    tag, and its first TSN.
    """

    def __init__(
        self,
        parameters: Parameters | None = None,
        *,
        listening: bool = True,
        here: Sequence[str] = (HERE,),
        seed: int = 1,
    ) -> None:
        self.engine = Engine(
            PORT,
            list(here),
            parameters=parameters or quick(),
            randomness=random.Random(seed).randbytes,
        )
        self.engine.listening = listening
        self.now = 1000.0
        self.here = here[0]
        self.id = 0
        self.tag = 0x01020304
        self.tsn = 100
        self.their_tag = 0
        self.their_tsn = 0
        self.acked = 0
        self.cookie = b""
        self._received: deque[Received] = deque()
        self._ssns: dict[int, int] = {}

    # -- packets of the script ---

    def send(
        self,
        *chunks: bytes,
        tag: int | None = None,
        remote: str = THERE,
        local: str | None = None,
        damaged: bool = False,
    ) -> None:
        """One packet with these chunks, with the engine's tag if no other is given."""
        packet = wire.seal(PEER_PORT, PORT, self.their_tag if tag is None else tag, chunks)
        if damaged:
            packet = packet[:8] + bytes([packet[8] ^ 1]) + packet[9:]
        route = Route(self.here if local is None else local, remote)
        self.engine.receive_packet(packet, route, self.now)
        self._collect()

    def init(
        self,
        parameters: Sequence[Tlv] = (),
        *,
        outbound: int = 10,
        inbound: int = 10,
        tag: int | None = None,
        tsn: int | None = None,
        rwnd: int = WINDOW,
    ) -> bytes:
        """An INIT."""
        return wire.init_chunk(
            wire.Init(
                self.tag if tag is None else tag,
                rwnd,
                outbound,
                inbound,
                self.tsn if tsn is None else tsn,
                list(parameters),
            )
        )

    def init_ack(
        self,
        parameters: Sequence[Tlv] = (Tlv(ParameterType.STATE_COOKIE, b"a cookie"),),
        *,
        outbound: int = 10,
        inbound: int = 10,
        tag: int | None = None,
        rwnd: int = WINDOW,
    ) -> bytes:
        """An INIT ACK."""
        return wire.init_chunk(
            wire.InitAck(
                self.tag if tag is None else tag,
                rwnd,
                outbound,
                inbound,
                self.tsn,
                list(parameters),
            )
        )

    def cookie_echo(self, cookie: bytes | None = None) -> bytes:
        """A COOKIE ECHO with the cookie of the last INIT ACK."""
        return wire.chunk(ChunkType.COOKIE_ECHO, self.cookie if cookie is None else cookie)

    def data(
        self,
        payload: bytes = b"data",
        *,
        flags: int = WHOLE,
        stream: int = 0,
        tsn: int | None = None,
        ssn: int | None = None,
    ) -> bytes:
        """A DATA chunk; without ``tsn`` the next, and with it the SSN has to be given."""
        if tsn is None:
            tsn, self.tsn = self.tsn, (self.tsn + 1) & MASK
            if ssn is None:
                ssn = self._ssns.get(stream, 0)
                if flags & LAST:
                    self._ssns[stream] = ssn + 1
        assert ssn is not None
        return wire.data_chunk(tsn, stream, ssn, 0, payload, flags)

    def sack(
        self,
        cumulative: int | None = None,
        gaps: Sequence[tuple[int, int]] = (),
        rwnd: int = WINDOW,
    ) -> bytes:
        """A SACK; without a TSN, for all that came."""
        return wire.sack_chunk(self.acked if cumulative is None else cumulative, rwnd, gaps, ())

    def shutdown(self) -> bytes:
        """A SHUTDOWN that acknowledges what came."""
        return wire.shutdown_chunk(self.acked)

    # -- packets of the engine ---

    def _collect(self) -> None:
        for data, route, *_ in self.engine.packets_to_send():
            packet = wire.parse_packet_untrusted(data)
            assert isinstance(packet, wire.Packet), packet
            assert (packet.source_port, packet.destination_port) == (PORT, PEER_PORT)
            assert not packet.truncated
            assert len(data) % 4 == 0
            self._received.append(Received(self.now, route, packet))
            for chunk in packet.chunks:
                assert not isinstance(chunk, wire.BadChunk | wire.UnknownChunk)

    def packets(self) -> list[Received]:
        """All that the engine has sent, taken."""
        self._collect()
        taken = list(self._received)
        self._received.clear()
        return taken

    def packet(self, *kinds: type[object], tag: int | None = None, to: str = THERE) -> Received:
        """The only packet that the engine has sent; it has just these chunks, in this order."""
        packets = self.packets()
        assert [packet.kinds for packet in packets] == [list(kinds)]
        (received,) = packets
        assert received.tag == (self.tag if tag is None else tag)
        assert received.route.remote == to
        return received

    def expect(self, kind: type[T], *, tag: int | None = None, to: str = THERE) -> T:
        """The only chunk that the engine has sent."""
        return self.packet(kind, tag=tag, to=to).get(kind)

    def chunks(self) -> list[Chunk]:
        """The chunks of all packets that the engine has sent, which have our tag."""
        packets = self.packets()
        assert all(packet.tag == self.tag for packet in packets)
        return [chunk for packet in packets for chunk in packet.chunks]

    def silent(self) -> None:
        """The engine has sent nothing."""
        assert [packet.kinds for packet in self.packets()] == []

    # -- time ---

    def advance(self, seconds: float) -> None:
        """Let time pass, with all that falls due in it."""
        end = self.now + seconds
        self._collect()
        while (deadline := self.engine.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.engine.handle_timeout(self.now)
            self._collect()
        self.now = end

    def wait(self, at_most: float = 100.0) -> float:
        """Let time pass until the engine has sent something; returns how much did."""
        start = self.now
        self._collect()
        while not self._received:
            deadline = self.engine.next_deadline()
            assert deadline is not None, "nothing will ever come"
            assert deadline <= start + at_most, "nothing comes in time"
            self.now = max(self.now, deadline)
            self.engine.handle_timeout(self.now)
            self._collect()
        return self.now - start

    def repeats(self, kind: type[T], *, to: str = THERE) -> tuple[list[T], list[float]]:
        """Let time pass until the association has ended; all that is sent meanwhile is alike.

        Returns the chunks, and the seconds before each.
        """
        chunks: list[T] = []
        pauses: list[float] = []
        before = self.now
        while self.state() is not StatusState.CLOSED:
            deadline = self.engine.next_deadline()
            assert deadline is not None, "the association will never end"
            self.advance(max(deadline - self.now, 0.0))
            for received in self.packets():
                if received.kinds == [wire.Abort]:
                    assert self.state() is StatusState.CLOSED  # which is allowed, as a farewell
                    continue
                assert received.kinds == [kind]
                assert received.route.remote == to
                chunks.append(received.get(kind))
                pauses.append(received.time - before)
                before = received.time
        return chunks, pauses

    # -- the engine's user ---

    def state(self) -> StatusState:
        """Of the association, CLOSED if there is none."""
        if self.id not in self.engine.associations:
            return StatusState.CLOSED
        return StatusState(self.engine.status(self.id).state)

    def connect(self, *remotes: str, parameters: Parameters | None = None) -> wire.Init:
        """Have the engine set an association up; returns its INIT."""
        routes = [Route(self.here, remote) for remote in remotes or (THERE,)]
        self.id = self.engine.connect(routes, PEER_PORT, self.now, parameters)
        init = self.expect(wire.Init, tag=0, to=routes[0].remote)
        self.their_tag, self.their_tsn = init.tag, init.tsn
        self.acked = (init.tsn - 1) & MASK
        return init

    def user_sends(
        self, payload: bytes = b"from the user", stream: int = 0, *, unordered: bool = False
    ) -> None:
        """Have the engine send a message."""
        info = SendInfo(stream, 0, unordered, 0, 0)
        self.engine.send(self.id, payload, info, self.now)

    def user_shuts_down(self) -> None:
        """Have the engine shut down."""
        self.engine.shutdown(self.id, self.now)

    def events(self) -> list[Arrival]:
        """Messages and events for the user, taken."""
        taken = self.engine.receive(2**20, self.now)
        self._collect()
        return taken

    def messages(self) -> list[bytes]:
        """The messages for the user; events are dropped."""
        events = self.events()
        assert not any(isinstance(event, Piece) for event in events)
        return [event.data for event in events if isinstance(event, Message)]

    def changes(self) -> list[AssociationState]:
        """What the user is told of the association; other events are dropped."""
        return [
            AssociationState(event.state)
            for event in self.events()
            if isinstance(event, AssociationChange)
        ]

    # -- longer moves ---

    def learn(self, ack: wire.InitAck) -> None:
        """Take tag, TSN and cookie of an INIT ACK."""
        self.their_tag, self.their_tsn = ack.tag, ack.tsn
        self.acked = (ack.tsn - 1) & MASK
        self.cookie = cookie_of(ack)

    def up(self) -> None:
        """The user is told that the association is up."""
        (change,) = [event for event in self.events() if isinstance(event, AssociationChange)]
        assert change.state is AssociationState.COMM_UP
        self.id = change.association_id
        assert self.state() is StatusState.ESTABLISHED

    def answers_the_init(self) -> None:
        """The set-up that the user has begun succeeds."""
        self.send(self.init_ack())
        self.expect(wire.CookieEcho)
        self.send(COOKIE_ACK)
        self.up()

    def received_data(self) -> list[wire.Data]:
        """The DATA chunks that came, counted as received up to the last."""
        data = [chunk for chunk in self.chunks() if isinstance(chunk, wire.Data)]
        for chunk in data:
            if (chunk.tsn - self.acked) & MASK < 2**31:
                self.acked = chunk.tsn
        return data

    def works(self) -> None:
        """The association carries a message in either direction."""
        self.events()
        self.packets()
        assert self.state() is StatusState.ESTABLISHED
        self.send(self.data(b"still there?"))
        assert self.messages() == [b"still there?"]
        self.advance(0.5)
        (sack,) = self.chunks()
        assert isinstance(sack, wire.Sack)
        assert sack.cumulative_tsn == (self.tsn - 1) & MASK
        assert not sack.gaps
        self.user_sends(b"yes")
        (data,) = self.received_data()
        assert data.payload == b"yes"
        self.send(self.sack())
        self.silent()

    def gone(self) -> None:
        """There is no association: what it would have answered is out of the blue."""
        assert self.state() is StatusState.CLOSED
        self.send(wire.heartbeat_chunk(b"anybody there?"))
        abort = self.expect(wire.Abort, tag=self.their_tag)
        assert abort.reflected

    def closes(self) -> None:
        """A graceful end, from our side."""
        self.send(self.shutdown())
        self.expect(wire.ShutdownAck)
        self.send(wire.shutdown_complete_chunk())
        self.silent()
        assert AssociationState.SHUTDOWN_COMP in self.changes()
        assert self.state() is StatusState.CLOSED


def cookie_of(ack: wire.InitAck) -> bytes:
    """The cookie in an INIT ACK."""
    (cookie,) = parameters_of(ack, ParameterType.STATE_COOKIE)
    return cookie


def parameters_of(init: wire.Init, kind: int) -> list[bytes]:
    """The values of all parameters of that type."""
    return [parameter.value for parameter in init.parameters if parameter.type == kind]


def causes_of(chunk: wire.Abort | wire.Error) -> list[int]:
    """The causes that a chunk gives."""
    return [cause.type for cause in chunk.causes]


def whole(option: Tlv) -> bytes:
    """A parameter as it is reported: with its header, without padding."""
    return wire.tlv(*option)[: 4 + len(option.value)]


def passive(parameters: Parameters | None = None, *, inbound: int = 10) -> ScriptedPeer:
    """An association that the script has set up."""
    peer = ScriptedPeer(parameters)
    peer.send(peer.init(inbound=inbound), tag=0)
    peer.learn(peer.expect(wire.InitAck))
    peer.send(peer.cookie_echo())
    peer.expect(wire.CookieAck)
    peer.up()
    return peer


def active(
    parameters: Parameters | None = None,
    *remotes: str,
    inbound: int = 10,
    outbound: int = 10,
    rwnd: int = WINDOW,
) -> ScriptedPeer:
    """An association that the engine has set up."""
    peer = ScriptedPeer(parameters, listening=False)
    peer.connect(*remotes)
    peer.send(peer.init_ack(inbound=inbound, outbound=outbound, rwnd=rwnd))
    peer.expect(wire.CookieEcho)
    peer.send(COOKIE_ACK)
    peer.silent()
    peer.up()
    return peer


def shutdown_sent(parameters: Parameters | None = None) -> ScriptedPeer:
    """An association whose engine has sent SHUTDOWN."""
    peer = active(parameters)
    peer.user_shuts_down()
    assert peer.expect(wire.Shutdown).cumulative_tsn == peer.tsn - 1
    assert peer.state() is StatusState.SHUTDOWN_SENT
    return peer


def shutdown_received(parameters: Parameters | None = None) -> ScriptedPeer:
    """An association that the script shuts down while the engine has data outstanding."""
    peer = active(parameters)
    peer.user_sends(b"outstanding")
    peer.expect(wire.Data)
    peer.send(wire.shutdown_chunk((peer.their_tsn - 1) & MASK))
    peer.silent()
    assert peer.state() is StatusState.SHUTDOWN_RECEIVED
    return peer


def shutdown_ack_sent(parameters: Parameters | None = None) -> ScriptedPeer:
    """An association whose engine has sent SHUTDOWN ACK."""
    peer = passive(parameters)
    peer.send(peer.shutdown())
    peer.expect(wire.ShutdownAck)
    assert peer.state() is StatusState.SHUTDOWN_ACK_SENT
    return peer
