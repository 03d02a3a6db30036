"""The tester of ETSI's purposes: a scripted peer that expects what the engine sends.

A packet of the engine's that a test neither expects nor takes makes the next expectation fail.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

from trio_sctp._engine import Parameters, wire
from trio_sctp._engine.tsn import MASK, unwrap
from trio_sctp._engine.wire import Chunk, ChunkType, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import AssociationChange, AssociationState, Message, Piece

from ..support.engines import PEER_PORT, Sent
from ..support.scripted_peer import COOKIE_ACK, ScriptedPeer

T = TypeVar("T", bound=Chunk)

HERE, OTHER_HERE = "192.0.2.1", "192.0.2.2"
THERE, THERE_2, THERE_3 = "198.51.100.1", "198.51.100.2", "203.0.113.3"
WINDOW = 2**20

SHUTDOWN_ACK = wire.chunk(ChunkType.SHUTDOWN_ACK)


def quick(**changes: object) -> Parameters:
    """Parameters without heartbeats between the packets of a script, and without the states of
    RFC 7829."""
    return dataclasses.replace(
        Parameters(heartbeats=False, potentially_failed=False),
        **changes,  # type: ignore[arg-type]
    )


class EtsiTester(ScriptedPeer):
    """A scripted peer with expectations.

    Attributes:
      id: The association's id, which the user has been told or has got from `connect`.
    """

    def __init__(
        self,
        parameters: Parameters | None = None,
        *,
        listening: bool = True,
        here: Sequence[str] = (HERE,),
    ) -> None:
        super().__init__(
            here,
            remote=THERE,
            listening=listening,
            seed=1,
            rwnd=WINDOW,
            parameters=parameters or quick(),
        )
        self.id = 0
        self._taken = 0  # packets of `sent` that were expected or taken

    # -- packets of the engine ---

    def packets(self) -> list[Sent]:
        """Take all that the engine has sent since the last time."""
        self.take()
        packets = self.sent[self._taken :]
        self._taken = len(self.sent)
        assert all(packet.packet.destination_port == PEER_PORT for packet in packets)
        return packets

    def expect_packet(self, *kinds: type[object], tag: int | None = None, to: str = THERE) -> Sent:
        """Take the only packet that the engine has sent, which has just these chunks in this
        order."""
        packets = self.packets()
        assert [packet.kinds for packet in packets] == [list(kinds)]
        (packet,) = packets
        assert packet.tag == (self.tag if tag is None else tag)
        assert packet.route.remote == to
        return packet

    def expect(self, kind: type[T], *, tag: int | None = None, to: str = THERE) -> T:
        """Take the only chunk that the engine has sent."""
        return self.expect_packet(kind, tag=tag, to=to).get(kind)

    def chunks(self) -> list[Chunk]:
        """Take the chunks of all packets that the engine has sent, which have the tester's tag."""
        packets = self.packets()
        assert all(packet.tag == self.tag for packet in packets)
        return [chunk for packet in packets for chunk in packet.packet.chunks]

    def silent(self) -> None:
        """Expect that the engine has sent nothing."""
        assert [packet.kinds for packet in self.packets()] == []

    # -- time ---

    def wait(self, at_most: float = 100.0) -> float:
        """Let time pass until the engine has sent something; returns how many seconds passed."""
        start = self.now
        self.take()
        while len(self.sent) == self._taken:
            deadline = self.engine.next_deadline()
            assert deadline is not None, "nothing will ever come"
            assert deadline <= start + at_most, "nothing comes in time"
            self.advance(max(deadline - self.now, 0.0))
        return self.now - start

    def repeats(self, kind: type[T], *, to: str = THERE) -> tuple[list[T], list[float]]:
        """Let time pass until the association has ended; expect only chunks of one type meanwhile.

        Returns the chunks, and the seconds that passed before each of them.
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
                    # An ABORT is allowed as a farewell.
                    assert self.state() is StatusState.CLOSED
                    continue
                assert received.kinds == [kind]
                assert received.route.remote == to
                chunks.append(received.get(kind))
                pauses.append(received.time - before)
                before = received.time
        return chunks, pauses

    # -- the engine's user ---

    def connect(self, *remotes: str, parameters: Parameters | None = None) -> wire.Init:
        """Have the user connect; returns the INIT that the engine sends."""
        super().connect(*remotes, parameters=parameters)
        (self.id,) = self.engine.associations
        return self.expect(wire.Init, tag=0, to=remotes[0] if remotes else THERE)

    def user_shuts_down(self) -> None:
        """Have the user shut the association down."""
        self.engine.shutdown(self.id, self.now)

    def messages(self) -> list[bytes]:
        """Take the messages for the user; events are dropped."""
        events = self.events()
        assert not any(isinstance(event, Piece) for event in events)
        return [event.data for event in events if isinstance(event, Message)]

    def changes(self) -> list[AssociationState]:
        """Take what the user is told of the association; other events are dropped."""
        return [
            AssociationState(event.state)
            for event in self.events()
            if isinstance(event, AssociationChange)
        ]

    # -- longer moves ---

    def up(self) -> None:
        """Expect that the user is told that the association is up."""
        (change,) = [event for event in self.events() if isinstance(event, AssociationChange)]
        assert change.state is AssociationState.COMM_UP
        self.id = change.association_id
        assert self.state() is StatusState.ESTABLISHED

    def answers_the_init(self) -> None:
        """Complete the set-up that the user has begun."""
        self.give(self.init_ack())
        self.expect(wire.CookieEcho)
        self.give(COOKIE_ACK)
        self.up()

    def received_data(self) -> list[wire.Data]:
        """Take the DATA chunks that came; the next SACK acknowledges them."""
        data = [chunk for chunk in self.chunks() if isinstance(chunk, wire.Data)]
        for chunk in data:
            if unwrap(chunk.tsn, self.acked) >= self.acked:
                self.acked = chunk.tsn
        return data

    def works(self) -> None:
        """Expect that the association carries a message in either direction."""
        self.events()
        self.packets()
        assert self.state() is StatusState.ESTABLISHED
        self.give(self.data(b"still there?"))
        assert self.messages() == [b"still there?"]
        self.advance(0.5)
        # Addresses that the tester has listed are probed meanwhile.
        (sack,) = [chunk for chunk in self.chunks() if not isinstance(chunk, wire.Heartbeat)]
        assert isinstance(sack, wire.Sack)
        assert sack.cumulative_tsn == (self.tsn - 1) & MASK
        assert not sack.gaps
        self.send(b"yes")
        (data,) = self.received_data()
        assert data.payload == b"yes"
        self.give(self.sack())
        self.silent()

    def expect_no_association(self) -> None:
        """Expect that there is no association: what it would have answered is out of the blue."""
        assert self.state() is StatusState.CLOSED
        self.give(wire.heartbeat_chunk(b"anybody there?"))
        abort = self.expect(wire.Abort, tag=self.their_tag)
        assert abort.reflected

    def closes(self) -> None:
        """End the association gracefully, from the tester's side."""
        self.give(self.shutdown())
        self.expect(wire.ShutdownAck)
        self.give(wire.shutdown_complete_chunk())
        self.silent()
        assert AssociationState.SHUTDOWN_COMP in self.changes()
        assert self.state() is StatusState.CLOSED


def parameters_of(init: wire.Init, kind: int) -> list[bytes]:
    """The values of all parameters of that type."""
    return [parameter.value for parameter in init.parameters if parameter.type == kind]


def causes_of(chunk: wire.Abort | wire.Error) -> list[int]:
    """The causes that a chunk gives."""
    return [cause.type for cause in chunk.causes]


def whole(parameter: Tlv) -> bytes:
    """A parameter as it is reported: with its header, without padding."""
    return wire.tlv(*parameter)[: 4 + len(parameter.value)]


def passive(parameters: Parameters | None = None, *, inbound: int = 10) -> EtsiTester:
    """An association that the script has set up."""
    peer = EtsiTester(parameters)
    peer.give(peer.init(inbound_streams=inbound), tag=0)
    peer.learn(peer.expect(wire.InitAck))
    peer.give(peer.cookie_echo())
    peer.expect(wire.CookieAck)
    peer.up()
    return peer


def active(
    parameters: Parameters | None = None,
    *remotes: str,
    inbound: int = 10,
    outbound: int = 10,
    rwnd: int = WINDOW,
) -> EtsiTester:
    """An association that the engine has set up."""
    peer = EtsiTester(parameters, listening=False)
    peer.connect(*remotes)
    peer.give(peer.init_ack(inbound_streams=inbound, outbound_streams=outbound, rwnd=rwnd))
    peer.expect(wire.CookieEcho)
    peer.give(COOKIE_ACK)
    peer.silent()
    peer.up()
    return peer


def shutdown_sent(parameters: Parameters | None = None) -> EtsiTester:
    """An association whose engine has sent SHUTDOWN."""
    peer = active(parameters)
    peer.user_shuts_down()
    assert peer.expect(wire.Shutdown).cumulative_tsn == peer.tsn - 1
    assert peer.state() is StatusState.SHUTDOWN_SENT
    return peer


def shutdown_received(parameters: Parameters | None = None) -> EtsiTester:
    """An association that the script shuts down while the engine has data outstanding."""
    peer = active(parameters)
    peer.send(b"outstanding")
    peer.expect(wire.Data)
    peer.give(wire.shutdown_chunk((peer.their_tsn - 1) & MASK))
    peer.silent()
    assert peer.state() is StatusState.SHUTDOWN_RECEIVED
    return peer


def shutdown_ack_sent(parameters: Parameters | None = None) -> EtsiTester:
    """An association whose engine has sent SHUTDOWN ACK."""
    peer = passive(parameters)
    peer.give(peer.shutdown())
    peer.expect(wire.ShutdownAck)
    assert peer.state() is StatusState.SHUTDOWN_ACK_SENT
    return peer
