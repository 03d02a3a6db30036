"""An engine, and a peer that a test plays chunk by chunk.

There is no network between the two and no clock: time is a number that the test moves on, and an
engine whose deadline passes is told so.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Literal

from trio_sctp._engine import Engine, Parameters, Route, wire
from trio_sctp._engine.association import EngineAssociation
from trio_sctp._engine.tsn import MASK
from trio_sctp._engine.wire import LAST, UNORDERED, WHOLE, ChunkType, ParameterType, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import Arrival, SendInfo

from .engines import PEER_PORT, PORT, A, B, Sent, cookie_of, info, parsed

PEER_COOKIE = Tlv(ParameterType.STATE_COOKIE, b"a cookie")
"""The peer's State Cookie."""

COOKIE_ACK = wire.chunk(ChunkType.COOKIE_ACK)

STATES = [state for state in StatusState if state not in (StatusState.EMPTY, StatusState.CLOSED)]
"""All that an association can be in; the engine forgets one that is CLOSED."""


Until = Literal["wait", "echoed", "up"]
"""How far the engine's set-up goes: it waits for the INIT ACK, has echoed the cookie, or is up."""


class ScriptedPeer:
    """A peer that sends what a test has it send, and the engine that has to answer.

    Attributes:
      engine: The engine under test, at ``A`` unless other addresses are given.
      now: The time, in seconds.
      sent: All packets that have left the engine.
      route: Where packets of the peer come from and go to, as the engine sees it.
      tag: The peer's verification tag.
      tsn: The TSN of the peer's next DATA chunk.
      rwnd: The window that the peer advertises.
      parameters: What the peer's INIT carries.
      their_tag: The engine's tag, as far as the peer knows it.
      their_tsn: The engine's first TSN.
      acked: The last TSN of the engine that the peer has.
      cookie: The engine's State Cookie.
    """

    def __init__(
        self,
        addresses: Sequence[str] = (A,),
        *,
        remote: str = B,
        udp: tuple[int, int] = (0, 0),
        listening: bool = True,
        seed: int = 0,
        rwnd: int = 100_000,
        parameters: Parameters | None = None,
        **fields: Any,
    ) -> None:
        """``fields`` are those of `Parameters`, for tests that change a few only."""
        self.engine = Engine(
            PORT,
            addresses,
            parameters=parameters or Parameters(**fields),
            randomness=Random(seed).randbytes,
        )
        self.engine.listening = listening
        self.now = 0.0
        self.sent: list[Sent] = []
        self.route = Route(addresses[0], remote, *udp)
        self.tag = 0x01020304
        self.tsn = 100
        self.rwnd = rwnd
        self.parameters: list[Tlv] = []
        self.their_tag = 0
        self.their_tsn = 0
        self.acked = 0
        self.cookie = b""
        self._ssns: dict[int, int] = {}

    # -- packets ---

    def packet(self, *chunks: bytes, tag: int | None = None) -> bytes:
        """A packet of the peer's, with the engine's tag unless another one is given."""
        return wire.seal(PEER_PORT, PORT, self.their_tag if tag is None else tag, chunks)

    def give(
        self,
        *chunks: bytes,
        tag: int | None = None,
        route: Route | None = None,
        marked: bool = False,
    ) -> list[Sent]:
        """Send one packet with these chunks; returns what the engine answers at once.

        ``marked`` says that a router has marked it.
        """
        return self.give_raw(self.packet(*chunks, tag=tag), route, marked=marked)

    def give_raw(
        self, data: bytes, route: Route | None = None, *, marked: bool = False
    ) -> list[Sent]:
        """Send a packet as it is; returns what the engine answers at once."""
        self.engine.receive_packet(data, route or self.route, self.now, marked)
        return self.take()

    def route_from(self, remote: str) -> Route:
        """The route of a packet from another address of the peer."""
        return self.route._replace(remote=remote)

    def take(self) -> list[Sent]:
        """Take the packets that leave the engine now; they have to be well-formed."""
        left = []
        for data, route, tos, fragment in self.engine.packets_to_send():
            packet = parsed(data)
            assert packet.source_port == self.engine.port
            assert not packet.truncated
            assert len(data) % 4 == 0
            for chunk in packet.chunks:
                assert not isinstance(chunk, wire.BadChunk)
                # PAD fills packets that probe the path MTU; receivers need not know it.
                assert not isinstance(chunk, wire.UnknownChunk) or chunk.type == ChunkType.PAD
            left.append(Sent(self.now, route, packet, len(data), fragment, tos))
        self.sent += left
        return left

    def advance(self, seconds: float) -> list[Sent]:
        """Let time pass, with all that falls due in it; returns what has left meanwhile."""
        until = self.now + seconds
        left = self.take()
        while (deadline := self.engine.next_deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.engine.handle_timeout(self.now)
            left += self.take()
        self.now = until
        return left

    # -- the engine's program ---

    def send(self, data: bytes, how: SendInfo | None = None) -> list[Sent]:
        """Have the engine's program send a message; returns what leaves at once."""
        self.engine.send(self.association.id, data, how or info(), self.now)
        return self.take()

    def events(self) -> list[Arrival]:
        """Have the engine's program read all messages and events."""
        return self.engine.receive(2**30, self.now)

    @property
    def association(self) -> EngineAssociation:
        """The engine's only association."""
        (association,) = self.engine.associations.values()
        return association

    def state(self) -> StatusState:
        """The state of the engine's first association, CLOSED if there is none."""
        for id in self.engine.associations:
            return StatusState(self.engine.status(id).state)
        return StatusState.CLOSED

    # -- set-up ---

    def init(
        self,
        parameters: Sequence[Tlv] | None = None,
        *,
        outbound_streams: int = 10,
        inbound_streams: int = 10,
        tag: int | None = None,
        tsn: int | None = None,
        rwnd: int | None = None,
    ) -> bytes:
        """The peer's INIT."""
        return wire.init_chunk(
            wire.Init(
                self.tag if tag is None else tag,
                self.rwnd if rwnd is None else rwnd,
                outbound_streams,
                inbound_streams,
                self.tsn if tsn is None else tsn,
                self.parameters if parameters is None else list(parameters),
            )
        )

    def init_ack(
        self,
        parameters: Sequence[Tlv] = (PEER_COOKIE,),
        *,
        outbound_streams: int = 10,
        inbound_streams: int = 10,
        tag: int | None = None,
        rwnd: int | None = None,
    ) -> bytes:
        """The peer's INIT ACK."""
        return wire.init_chunk(
            wire.InitAck(
                self.tag if tag is None else tag,
                self.rwnd if rwnd is None else rwnd,
                outbound_streams,
                inbound_streams,
                self.tsn,
                list(parameters),
            )
        )

    def cookie_echo(self, cookie: bytes | None = None) -> bytes:
        """The peer's COOKIE ECHO, with the cookie of the INIT ACK that it has learnt."""
        return wire.chunk(ChunkType.COOKIE_ECHO, self.cookie if cookie is None else cookie)

    def learn(self, ack: wire.InitAck) -> None:
        """Take the tag, the TSN and the cookie of an INIT ACK."""
        self._learn_init(ack)
        self.cookie = cookie_of(ack)

    def _learn_init(self, init: wire.Init) -> None:
        self.their_tag, self.their_tsn = init.tag, init.tsn
        self.acked = (init.tsn - 1) & MASK

    def give_init(self, route: Route | None = None, **fields: Any) -> list[Sent]:
        """Send the peer's INIT; returns what the engine answers at once."""
        return self.give(self.init(**fields), tag=0, route=route)

    def begin(self, route: Route | None = None, **fields: Any) -> wire.InitAck:
        """Send the peer's INIT; returns the INIT ACK that answers it."""
        (answer,) = self.give_init(route, **fields)
        return answer.get(wire.InitAck)

    def accept(self, *parameters: Tlv) -> EngineAssociation:
        """Have the peer set an association up; these parameters are in its INIT."""
        self.parameters = list(parameters)
        self.learn(self.begin())
        (answer,) = self.give(self.cookie_echo())
        assert answer.has(wire.CookieAck)
        self.events()
        return self.association

    def connect(self, *remotes: str, parameters: Parameters | None = None) -> wire.Init:
        """Have the engine's program connect to these addresses of the peer; returns the INIT."""
        routes = [self.route_from(remote) for remote in remotes] or [self.route]
        self.engine.connect(routes, PEER_PORT, self.now, parameters)
        (sent,) = self.take()
        init = sent.get(wire.Init)
        self._learn_init(init)
        return init

    def set_up(self, until: Until = "up") -> EngineAssociation:
        """Have the engine's program set an association up, as far as ``until`` says."""
        self.connect()
        if until != "wait":
            self.give(self.init_ack())
            if until != "echoed":
                self.give(COOKIE_ACK)
                self.events()
        return self.association

    def bring_to(self, state: StatusState) -> EngineAssociation:
        """Have the engine's program set an association up and go on until it is in this state."""
        if state is StatusState.COOKIE_WAIT:
            return self.set_up("wait")
        if state is StatusState.COOKIE_ECHOED:
            return self.set_up("echoed")
        association = self.set_up()
        if state in (StatusState.SHUTDOWN_PENDING, StatusState.SHUTDOWN_RECEIVED):
            self.send(b"not acknowledged")
        if state in (StatusState.SHUTDOWN_PENDING, StatusState.SHUTDOWN_SENT):
            self.engine.shutdown(association.id, self.now)
            self.take()
        if state in (StatusState.SHUTDOWN_RECEIVED, StatusState.SHUTDOWN_ACK_SENT):
            self.give(self.shutdown())
        assert association.state is state
        return association

    # -- user data ---

    def data(
        self,
        payload: bytes = b"data",
        *,
        flags: int = WHOLE,
        stream: int = 0,
        tsn: int | None = None,
        ssn: int | None = None,
    ) -> bytes:
        """A DATA chunk of the peer's, the next one unless a TSN is given; the SSN is then 0 if it
        is not given too."""
        if tsn is None:
            tsn, self.tsn = self.tsn, (self.tsn + 1) & MASK
            if ssn is None and not flags & UNORDERED:
                ssn = self._ssns.get(stream, 0)
                if flags & LAST:
                    self._ssns[stream] = (ssn + 1) & 0xFFFF
        return wire.data_chunk(tsn, stream, ssn or 0, 0, payload, flags)

    def unordered(
        self,
        payload: bytes = b"x",
        *,
        stream: int = 0,
        tsn: int | None = None,
        immediate: bool = False,
    ) -> bytes:
        """A DATA chunk of the peer's with a whole message that waits for no other; the next chunk
        unless a TSN is given."""
        flags = WHOLE | UNORDERED | (wire.IMMEDIATE if immediate else 0)
        return self.data(payload, flags=flags, stream=stream, tsn=tsn)

    def sack(
        self,
        cumulative: int | None = None,
        gaps: Sequence[tuple[int, int]] = (),
        *,
        rwnd: int | None = None,
    ) -> bytes:
        """A SACK up to this TSN, or up to the last one that was acknowledged."""
        if cumulative is None:
            cumulative = self.acked
        return wire.sack_chunk(cumulative, self.rwnd if rwnd is None else rwnd, gaps, ())

    def sack_first(
        self, count: int, *, gaps: Sequence[tuple[int, int]] = (), rwnd: int | None = None
    ) -> bytes:
        """A SACK for the first ``count`` of the engine's DATA chunks."""
        self.acked = (self.their_tsn + count - 1) & MASK
        return self.sack(gaps=gaps, rwnd=rwnd)

    def shutdown(self) -> bytes:
        """A SHUTDOWN that acknowledges what the peer has."""
        return wire.shutdown_chunk(self.acked)
