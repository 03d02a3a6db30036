"""Peers, strangers and programs that mean harm, or that others could not bear.

Each is a value that says what it does, with a `run` that does it to an engine.  What an engine has
to bear, and what it may cost, is asserted in `test_adversaries`.
"""

from __future__ import annotations

import dataclasses
import gc
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from trio_sctp._engine import Engine, Route, wire
from trio_sctp._engine.association import EngineAssociation
from trio_sctp._engine.wire import FIRST, LAST, UNORDERED, WHOLE, Cause, ChunkType, Tlv
from trio_sctp._options import StatusState

from ..support.engines import PEER_PORT, PORT, A, Sent, cookie_echo, info
from ..support.scripted_peer import ScriptedPeer
from .simulation import Pair, Simulation

PACKET: Final = 1200
"""Bytes of chunks in one packet of a flood."""

FORWARD_TSN = Tlv(wire.ParameterType.FORWARD_TSN_SUPPORTED, b"")
RECONFIG = Tlv(wire.ParameterType.SUPPORTED_EXTENSIONS, bytes([ChunkType.RE_CONFIG]))
INTERLEAVING = Tlv(
    wire.ParameterType.SUPPORTED_EXTENSIONS, bytes([ChunkType.I_DATA, ChunkType.I_FORWARD_TSN])
)


def listing(*addresses: str) -> list[Tlv]:
    """Parameters that list these addresses."""
    return [wire.address_parameter(address) for address in addresses]


# -- memory ------------------------------------------------------------------------------------


class Memory:
    """Bytes that were taken and not given back while a block ran."""

    grown = 0


@contextmanager
def measured() -> Iterator[Memory]:
    """Measure what a block makes the process hold."""
    memory = Memory()
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield memory
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        memory.grown = after - before
    finally:
        tracemalloc.stop()


# -- addresses ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Camper:
    """Connects from the victim's SCTP port, and lists the victim's address (RFC 5062 section 2).

    Attributes:
      home: The camper's own address.
      victim: The one that it lists.
    """

    home: str
    victim: str

    def run(self, simulation: Simulation, server: str, port: int, server_port: int) -> Engine:
        """Set up an association with the server; returns the camper's engine."""
        engine = simulation.host(self.home, port=port)
        engine.addresses[:] = [self.home, self.victim]
        engine.connect([Route(self.home, server)], server_port, simulation.now)
        simulation.run(1.0)
        assert [one.state for one in engine.associations.values()] == [StatusState.ESTABLISHED]
        return engine


@dataclasses.dataclass(frozen=True)
class Spoofer:
    """Has a valid cookie, and sends it from somebody else's address with chunks behind it.

    Attributes:
      victim: The address that the packets seem to come from.
      behind: What stands behind the COOKIE ECHO, again and again, as long as there is room.
      size: Bytes of one packet.
      times: How often it is sent.
    """

    victim: str
    behind: bytes
    size: int = PACKET
    times: int = 10

    def run(self, peer: ScriptedPeer, *listed: str) -> tuple[int, list[Sent]]:
        """Return how many bytes were sent, and the packets that went to the victim."""
        ack = peer.begin(parameters=listing(*listed))
        echo = cookie_echo(ack)
        count = (self.size - len(echo)) // len(self.behind)
        packet = peer.packet(echo, *[self.behind] * count, tag=ack.tag)
        answers: list[Sent] = []
        for _ in range(self.times):
            answers += peer.give_raw(packet, Route(A, self.victim))
        return self.times * len(packet), [s for s in answers if s.route.remote == self.victim]


@dataclasses.dataclass(frozen=True)
class Reboot:
    """Loses all memory of an association, and connects again.

    Attributes:
      before: The addresses that it had, the first confirmed for certain.
      after: Those that it has now; the first is where it speaks from.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]

    def run(self, simulation: Simulation, server: str) -> tuple[Engine, list[Engine]]:
        """Connect to a server, reboot, and connect again; returns the server and all that it
        has had as a peer."""
        serving = simulation.host(server, port=PEER_PORT)
        incarnations = []
        for addresses in (self.before, self.after):
            for gone in [a for a, engine in simulation.hosts.items() if engine is not serving]:
                del simulation.hosts[gone]
            simulation.engines[:] = [serving]
            simulation.reading &= {serving}
            engine = simulation.host(*addresses)
            engine.connect([Route(addresses[0], server)], PEER_PORT, simulation.now)
            incarnations.append(engine)
            simulation.run(0.5 if not incarnations[1:] else 3.0)
        return serving, incarnations


# -- streams -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class StreamUser:
    """Uses each of many streams.

    Attributes:
      how: "skipped" names them in FORWARD TSNs, "delivered" sends a message on each, "waiting" one
        that waits for another, which never comes.
      streams: How many.
    """

    how: str
    streams: int = 65_535

    def run(self, peer: ScriptedPeer) -> int:
        """Return how many bytes were sent."""
        sent = 0
        for chunks in self._packets(peer, self.streams):
            packet = peer.packet(*chunks)
            sent += len(packet)
            peer.engine.receive_packet(packet, peer.route, peer.now)
            peer.engine.packets_to_send()
        return sent

    def _packets(self, peer: ScriptedPeer, streams: int) -> Iterator[list[bytes]]:
        if self.how == "skipped":
            for first in range(0, streams, 16_000):
                named = [(stream, 7) for stream in range(first, min(first + 16_000, streams))]
                yield [wire.forward_tsn_chunk(peer.tsn + first // 16_000, named)]
            return
        ssn = 1 if self.how == "waiting" else 0
        for first in range(0, streams, 50):
            yield [
                wire.data_chunk((peer.tsn + stream) & 0xFFFFFFFF, stream, ssn, 0, b"x", WHOLE)
                for stream in range(first, min(first + 50, streams))
            ]


# -- floods ------------------------------------------------------------------------------------

_Next = Callable[[ScriptedPeer, int], bytes]
"""Makes the chunk of this number."""


def _data(
    flags: int, *, size: int = 1, stream: int = 0, ssn: int | None = None, step: int = 1
) -> _Next:
    def make(peer: ScriptedPeer, number: int) -> bytes:
        tsn = (peer.tsn + number * step) & 0xFFFFFFFF
        order = number & 0xFFFF if ssn is None else ssn
        return wire.data_chunk(tsn, stream, order, 0, bytes(size), flags)

    return make


def _fixed(chunk: bytes) -> _Next:
    return lambda peer, number: chunk


def _part(
    *, flags: int = 0, stream: int = 0, mid: int = 0, each: str = "", fsn: int = 0, step: int = 1
) -> _Next:
    """I-DATA chunks; ``each`` says what is different in each: "mid", "fsn" or "stream"."""

    def make(peer: ScriptedPeer, number: int) -> bytes:
        return wire.i_data_chunk(
            (peer.tsn + number) & 0xFFFFFFFF,
            number % 10 if each == "stream" else stream,
            number if each == "mid" else mid + (number // 10 if each == "stream" else 0),
            fsn + number * step if each == "fsn" else fsn,
            b"x",
            flags,
        )

    return make


def _reconfig(kind: int, *, last: int = 0, streams: Iterable[int] = (), count: int = 0) -> _Next:
    """A request to reset or to add streams (RFC 6525), each with the next number."""
    listed = tuple(streams)

    def make(peer: ScriptedPeer, number: int) -> bytes:
        first = (peer.tsn + number) & 0xFFFFFFFF
        tsn = (peer.tsn + last) & 0xFFFFFFFF if kind == 13 else 0
        request = wire.ReconfigRequest(kind, first, 0, tsn, listed, count)
        return wire.reconfig_chunk(wire.Reconfig([], [request]))

    return make


FLOODS: Final[dict[str, _Next]] = {
    "DATA": _data(WHOLE),
    "DATA of 100 bytes": _data(WHOLE, size=100),
    "DATA, full packets": _data(WHOLE, size=PACKET - 16),
    "DATA, unordered": _data(WHOLE | UNORDERED),
    "DATA that waits for its turn": lambda peer, number: wire.data_chunk(
        peer.tsn + number, 0, (number + 1) & 0xFFFF, 0, b"x", WHOLE
    ),
    "DATA that waits for its turn, on many streams": lambda peer, number: wire.data_chunk(
        peer.tsn + number, number % 5000, 1 + number // 5000, 0, b"x", WHOLE
    ),
    "DATA with every second TSN": _data(WHOLE | UNORDERED, step=2),
    "first fragments, every second TSN": _data(FIRST | UNORDERED, step=2),
    "middle fragments, every second TSN": _data(UNORDERED, step=2),
    "last fragments, every second TSN": _data(LAST | UNORDERED, step=2),
    "a message that never ends": lambda peer, number: wire.data_chunk(
        peer.tsn + number, 0, 0, 0, b"x", FIRST if number == 0 else 0
    ),
    "an unordered message that never ends": lambda peer, number: wire.data_chunk(
        peer.tsn + number, 0, 0, 0, b"x", UNORDERED | (FIRST if number == 0 else 0)
    ),
    "DATA from the end to the start": lambda peer, number: wire.data_chunk(
        (peer.tsn + 60_000 - number) & 0xFFFFFFFF, 0, 0, 0, b"x", WHOLE | UNORDERED
    ),
    "DATA that comes again": lambda peer, number: wire.data_chunk(
        (peer.tsn - 1) & 0xFFFFFFFF, 0, 0, 0, b"x", WHOLE
    ),
    "DATA for no stream": lambda peer, number: wire.data_chunk(
        peer.tsn + number, 60_000, 0, 0, b"x", WHOLE
    ),
    "DATA far ahead": lambda peer, number: wire.data_chunk(
        (peer.tsn + 2**30 + number) & 0xFFFFFFFF, 0, 0, 0, b"x", WHOLE
    ),
    "FORWARD TSN": lambda peer, number: wire.forward_tsn_chunk(peer.tsn + number, []),
    "FORWARD TSN of many streams": lambda peer, number: wire.forward_tsn_chunk(
        peer.tsn + number, [((number * 250 + n) % 65_535, number & 0xFFFF) for n in range(250)]
    ),
    "SACK": lambda peer, number: peer.sack(),
    "SACK with gaps": lambda peer, number: peer.sack(gaps=[(n, n) for n in range(2, 500, 2)]),
    "SACK with duplicates": lambda peer, number: wire.sack_chunk(peer.acked, 65536, [], [7] * 250),
    "RE-CONFIG, streams that begin again": _reconfig(13, last=-1, streams=(1, 2)),
    "RE-CONFIG, streams that wait for data": _reconfig(13, last=10**6, streams=range(500)),
    "RE-CONFIG, many streams": _reconfig(13, last=-1, streams=range(500)),
    "RE-CONFIG, ours": _reconfig(14, streams=(1,)),
    "RE-CONFIG, the association": _reconfig(15),
    "RE-CONFIG, more streams": _reconfig(17, count=1),
    "RE-CONFIG, more of ours": _reconfig(18, count=1),
    "RE-CONFIG that makes no sense": _fixed(wire.chunk(ChunkType.RE_CONFIG, bytes(8))),
    "RE-CONFIG that answers nothing": _fixed(
        wire.reconfig_chunk(wire.Reconfig([wire.ReconfigResponse(1, 1)] * 2, []))
    ),
    "HEARTBEAT": _fixed(wire.heartbeat_chunk(b"")),
    "large HEARTBEAT": _fixed(wire.heartbeat_chunk(bytes(PACKET - 20))),
    "HEARTBEAT ACK": _fixed(wire.heartbeat_chunk(bytes(24), ack=True)),
    "ERROR": _fixed(wire.error_chunk([Tlv(1, b"")])),
    "ERROR with many causes": _fixed(wire.error_chunk([Tlv(1, b"")] * 60)),
    "large ERROR": _fixed(wire.error_chunk([Tlv(1, bytes(PACKET - 20))])),
    "unknown chunk": _fixed(wire.chunk(0x85)),
    "unknown chunk, to be reported": _fixed(wire.chunk(0xC5)),
    "SHUTDOWN": lambda peer, number: peer.shutdown(),
    "SHUTDOWN ACK": _fixed(wire.chunk(ChunkType.SHUTDOWN_ACK)),
    "SHUTDOWN COMPLETE": _fixed(wire.shutdown_complete_chunk()),
    "COOKIE ACK": _fixed(wire.chunk(ChunkType.COOKIE_ACK)),
    "COOKIE ECHO": _fixed(wire.chunk(ChunkType.COOKIE_ECHO, bytes(300))),
    "INIT ACK": _fixed(wire.init_chunk(wire.InitAck(1, 65536, 1, 1, 1, []))),
    "PAD": _fixed(wire.chunk(ChunkType.PAD, bytes(PACKET - 20))),
    "ABORT": _fixed(wire.abort_chunk([Tlv(Cause.USER_INITIATED_ABORT, b"x")])),
    "I-DATA, unordered": _part(flags=WHOLE | UNORDERED, each="mid"),
    "I-DATA that waits for its turn": _part(flags=WHOLE, mid=1, each="stream"),
    "I-DATA, messages that begin": _part(flags=FIRST, each="mid"),
    "I-DATA, messages that begin on each stream": _part(flags=FIRST, each="stream"),
    "I-DATA, a message without a beginning": _part(fsn=1, each="fsn"),
    "I-DATA, a message of holes": _part(fsn=1, each="fsn", step=2),
    "I-DATA, ends": _part(flags=LAST | UNORDERED, fsn=7, each="mid"),
    "I-DATA, a part that comes twice": _part(fsn=3),
    "I-FORWARD-TSN of many streams": lambda peer, number: wire.i_forward_tsn_chunk(
        (peer.tsn + number) & 0xFFFFFFFF, [(order, number) for order in range(140)]
    ),
}
"""Each kind of chunk, and what can be done with it; I-DATA where messages are interleaved."""

ALONE = ("INIT ACK", "SHUTDOWN COMPLETE")
"""Kinds that stand alone in their packets."""


@dataclasses.dataclass(frozen=True)
class Flood:
    """One kind of chunk, in packet after packet.

    Attributes:
      kind: A key of `FLOODS`.
      count: How many chunks; fewer where they are large, so that all are 40 bytes on average.
      read: Whether the program reads all that comes.
    """

    kind: str
    count: int
    read: bool = False

    def packets(self, peer: ScriptedPeer) -> list[bytes]:
        """Return the packets that it consists of."""
        make = FLOODS[self.kind]
        packets: list[bytes] = []
        chunks: list[bytes] = []
        room, size = PACKET, 0
        for number in range(self.count):
            chunk = make(peer, number)
            if number and (size := size + len(chunk)) > 40 * self.count:
                break
            if chunks and (len(chunk) > room or self.kind in ALONE):
                packets.append(peer.packet(*chunks))
                chunks, room = [], PACKET
            chunks.append(chunk)
            room -= len(chunk)
        packets.append(peer.packet(*chunks))
        return packets

    def run(self, peer: ScriptedPeer, packets: Sequence[bytes] | None = None) -> int:
        """Send it to an association that is up; returns how many bytes were sent."""
        packets = self.packets(peer) if packets is None else packets
        for packet in packets:
            peer.engine.receive_packet(packet, peer.route, peer.now)
            peer.engine.packets_to_send()
            if self.read:
                peer.engine.receive(2**30, peer.now)
        return sum(map(len, packets))


# -- associations that come and go -------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Turnover:
    """Sets association after association up, and ends or leaves each; nobody reads.

    Attributes:
      end: "abort" with a reason, "restart", or "leave".
      reason: Bytes of the reason.
      count: How many.
    """

    end: str
    count: int
    reason: int = 0

    def run(self, peer: ScriptedPeer) -> int:
        """Return how many bytes were sent."""
        sent = 0
        abort = wire.abort_chunk([Tlv(Cause.USER_INITIATED_ABORT, bytes(self.reason))])
        for number in range(self.count):
            route, port = peer.route, PEER_PORT
            if self.end == "leave":
                port = 1024 + number
            init = wire.seal(port, PORT, 0, [peer.init([FORWARD_TSN], tag=number + 1)])
            peer.engine.receive_packet(init, route, peer.now)
            (data, *_), *_ = peer.engine.packets_to_send()
            packet = wire.parse_packet_untrusted(data)
            assert isinstance(packet, wire.Packet)
            (ack,) = packet.chunks
            if not isinstance(ack, wire.InitAck):
                break  # refused
            echo = wire.seal(port, PORT, ack.tag, [cookie_echo(ack)])
            peer.engine.receive_packet(echo, route, peer.now)
            sent += len(init) + len(echo)
            if self.end == "abort":
                last = wire.seal(port, PORT, ack.tag, [abort])
                peer.engine.receive_packet(last, route, peer.now)
                sent += len(last)
            peer.engine.packets_to_send()
        return sent


# -- shutdowns ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Restarter:
    """A peer that restarts while an association shuts down whose program has gone.

    Attributes:
      state: What the association is in.
      again: How often the peer restarts.
      every: Seconds between two restarts.
    """

    state: StatusState
    again: int = 1
    every: float = 1.0

    def run(self, peer: ScriptedPeer) -> EngineAssociation:
        """Bring it about; returns the association."""
        association = peer.bring_to(self.state)
        peer.engine.release([association.id], None, peer.now)
        for number in range(self.again):
            peer.advance(self.every)
            for answer in peer.give_init(tag=0x99 + number):
                for ack in answer.chunks(wire.InitAck):
                    peer.give(cookie_echo(ack), tag=ack.tag)
        return association


# -- honest, and hard to bear ------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class PausingReader:
    """A program that stops reading, and reads again after a while.

    Attributes:
      pause: Seconds.
      size: Bytes of each message that is sent meanwhile.
      count: How many.
    """

    pause: float
    size: int
    count: int

    def run(self, pair: Pair) -> float:
        """Return the seconds from the moment the program reads again until the next message has
        arrived."""
        messages = [b"%06d" % n + bytes(max(self.size - 6, 0)) for n in range(self.count)]
        pair.reading.discard(pair.b)
        waiting = list(messages)
        until = pair.now + self.pause
        while pair.now < until:
            while waiting and pair.association.outbound.has_room():
                pair.send(waiting.pop(0))
            if not pair.step(until):
                break
        pair.now = until
        pair.reading.add(pair.b)
        pair.read()
        if pair.association.outbound.empty:
            pair.send(b"one more")
        started = pair.now
        before = len(pair.events[pair.b])
        pair.run_until(lambda: len(pair.events[pair.b]) > before, 100.0)
        return pair.now - started


@dataclasses.dataclass(frozen=True)
class NarrowPath:
    """A path that passes less than other paths do, and says nothing of it.

    Attributes:
      mtu: Bytes of an IP packet.
      count: Messages to be sent, each of 1000 bytes.
    """

    mtu: int
    count: int = 30

    def run(self) -> Pair:
        """Send over it; returns the two ends."""
        pair = Pair(both={"path_mtu_discovery": True})
        pair.network.default_link.mtu = self.mtu
        for number in range(self.count):
            pair.send(b"%03d" % number + bytes(997), info())
        return pair


@dataclasses.dataclass(frozen=True)
class Crowd:
    """Peers that set up an association and do not read, so that whoever sends to them waits.

    Attributes:
      count: How many.
    """

    count: int

    def run(self, peer: ScriptedPeer) -> Sequence[int]:
        """Fill all send buffers; returns the ids of the associations."""
        for number in range(self.count):
            route = Route(A, f"10.3.{number >> 8}.{number & 255}")
            ack = peer.begin(route, tag=number + 1, rwnd=1500)
            peer.give(cookie_echo(ack), tag=ack.tag, route=route)
        peer.events()
        ids = list(peer.engine.associations)
        for id in ids:
            try:
                while True:
                    peer.engine.send(id, bytes(1000), info(), peer.now)
            except BlockingIOError:
                peer.engine.wants_room(id)
        peer.take()
        return ids
