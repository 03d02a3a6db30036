"""Mutated packets for an association in every state, and what holds whatever they are.

A `Bench` has two engines that talk.  A situation brings the association of one of them, the target,
into a state, and all that the other one sent is on record.  `Bench.feed` gives the target such
packets, or others that would fit just now, with changes, but with the right checksum, ports and
verification tag: an attacker gets these right.
"""

from __future__ import annotations

import gc
import os
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final

import google_crc32c

from trio_sctp._engine import Engine, Outgoing, Parameters, Route, wire
from trio_sctp._engine.account import PRECISION
from trio_sctp._engine.arrivals import Beginning, event_cost
from trio_sctp._engine.association import EngineAssociation
from trio_sctp._engine.inbound import FARTHEST, cost_of_skip
from trio_sctp._engine.interleaved import MESSAGE_COST, InterleavedInbound
from trio_sctp._engine.parts import CHUNK_COST, Parts, cost_of
from trio_sctp._engine.timers import PROBE, RECONFIG, T1, T2, WINDOW
from trio_sctp._options import Scheduler, StatusState
from trio_sctp._values import ReconfigurationKind, ReconfigurationRequest, SendInfo

PORT, PEER_PORT = 1000, 2000
ORDERED = SendInfo(1, 7, False, 0, 0)
UNORDERED = SendInfo(2, 8, True, 0, 0)

CPU_FACTOR = float(os.environ.get("TRIO_SCTP_FUZZ_CPU", "100"))
"""How much more CPU time a packet may take than is promised; 4 on a machine that does nothing else.

Promised are 0.5 ms, 0.5 ms for each KiB of the packet, and 2 µs for each chunk or message from
earlier packets or sends that it finishes.
"""

_MASK = 2**32 - 1
_INTERESTING: Final = (0, 1, 2, 3, 4, 5, 8, 16, 255, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
_MAY_SEND = (StatusState.ESTABLISHED, StatusState.SHUTDOWN_PENDING, StatusState.SHUTDOWN_RECEIVED)


class Bench:
    """Two engines, virtual time, and a record of what the target was sent."""

    def __init__(
        self,
        seed: int,
        *,
        homes: int = 1,
        window: int = 2**16,
        auth_chunks: tuple[int, ...] = (),
        interleaving: bool = False,
        make_engine: Callable[..., Engine] = Engine,
    ) -> None:
        self.random = Random(seed)
        self.now = 0.0
        parameters = Parameters(
            receive_window=window,
            send_buffer=2**16,
            association_max_retrans=30,
            grants=7,
            rto_max=8.0,
            ecn=True,
            auth_chunks=auth_chunks,
            interleaving=interleaving,
            scheduler=Scheduler.ROUND_ROBIN if interleaving else Scheduler.FCFS,
        )
        if self.random.random() < 0.5:  # addresses change for whoever says so
            parameters.authentication, parameters.asconf_without_auth = False, True
        here = [f"10.0.{n}.1" for n in range(homes - homes // 2)]
        here += [f"fd00:{n}::1" for n in range(1, homes // 2 + 1)]
        there = [address[:-1] + "2" for address in here]
        randomness = self.random.randbytes
        self.target = make_engine(PORT, here, parameters=parameters, randomness=randomness)
        self.peer = make_engine(PEER_PORT, there, parameters=parameters, randomness=randomness)
        self.routes = [Route(a, b) for a, b in zip(here, there, strict=True)]
        self.recorded: list[tuple[int, list[bytes]]] = []
        self.quiet = 0  # packets since the last thorough check

    # -- valid traffic ---

    @property
    def association(self) -> EngineAssociation | None:
        """The target's association, None if it has none."""
        return next(iter(self.target.associations.values()), None)

    @property
    def interleaves(self) -> bool:
        """Whether the target's association has agreed on I-DATA."""
        association = self.association
        return association is not None and association.outbound.interleaving

    @property
    def peer_id(self) -> int:
        """The id of the peer's association."""
        return next(iter(self.peer.associations))

    def clear(self) -> None:
        """End all associations silently; the record stays until something else is recorded."""
        for engine in (self.target, self.peer):
            for id in list(engine.associations):
                engine.abort(id, b"", self.now)
            engine.packets_to_send()
            engine.receive(2**30, self.now)
            engine.listening = True

    def record(self, packet: Outgoing) -> None:
        """Record a packet of the peer's."""
        tag = int.from_bytes(packet.data[4:8], "big")
        if len(self.recorded) > 60:
            del self.recorded[:20]
        self.recorded.append((tag, split(packet.data[12:])))

    def to_target(self, keep: float = 1.0) -> int:
        """Deliver what the peer sent, or a part of it; returns how many packets it sent."""
        packets = self.peer.packets_to_send()
        for packet in packets:
            self.record(packet)
            if keep == 1.0 or self.random.random() < keep:
                back = Route(packet.route.remote, packet.route.local)
                self.target.receive_packet(packet.data, back, self.now)
        return len(packets)

    def to_peer(self, keep: float = 1.0) -> int:
        """Deliver what the target sent, or a part of it; returns how many packets it sent."""
        packets = self.target.packets_to_send()
        for packet in packets:
            if keep == 1.0 or self.random.random() < keep:
                back = Route(packet.route.remote, packet.route.local)
                self.peer.receive_packet(packet.data, back, self.now)
        return len(packets)

    def settle(self, keep: float = 1.0) -> None:
        """Deliver packets in both directions until there are none."""
        for _ in range(40):
            if not self.to_target(keep) + self.to_peer(keep):
                return

    def pass_time(self, seconds: float) -> None:
        """Let time pass; the timers of both engines run."""
        self.now += seconds
        self.target.handle_timeout(self.now)
        self.peer.handle_timeout(self.now)

    def peer_connects(self) -> None:
        """Have the peer connect to the target."""
        self.peer.connect([Route(r.remote, r.local) for r in self.routes[:1]], PORT, self.now)

    def establish(self) -> EngineAssociation:
        """Set up an association, from either side."""
        self.recorded.clear()
        if self.random.random() < 0.5:
            self.peer_connects()
        else:
            self.target.connect(self.routes[:1], PEER_PORT, self.now)
        self.settle()
        association = self.association
        assert association is not None
        assert association.state is StatusState.ESTABLISHED
        return association

    # -- packets that would fit now ---

    def craft(self) -> bytes:
        """Make a chunk whose numbers are right, or nearly so."""
        r = self.random
        association = self.association
        next_in = acked = next_out = r.getrandbits(32)
        if association is not None:
            acked = association.outbound.cumulative
            next_out = association.outbound.next_tsn
            if association.inbound is not None:
                next_in = association.inbound.cumulative + 1
        match r.randrange(23):
            case 0 | 1 | 2 | 3:
                tsn = next_in + r.choice((0, 0, 0, 1, 2, 3, 5, -1, 40, 70000, 2**31 - 1))
                flags = r.choice((3, 3, 3, 7, 2, 0, 1, 6, 4, 5, 11))
                stream = r.choice((0, 1, 1, 2, 65535))
                payload = bytes(r.choice((1, 2, 30, 1000)))
                if self.interleaves and r.random() < 0.95:
                    fsn, mid = r.choice((0, 1, 1, 2, 3, _MASK)), r.choice((0, 1, 2, 3, _MASK))
                    return wire.i_data_chunk(tsn & _MASK, stream, mid, fsn, payload, flags)
                return wire.data_chunk(tsn & _MASK, stream, r.randrange(4), 5, payload, flags)
            case 4 | 5 | 6:
                gaps = []
                if r.random() < 0.6:
                    ends = sorted(r.randrange(1, 30) for _ in range(2 * r.randrange(1, 5)))
                    gaps = list(zip(ends[::2], ends[1::2], strict=True))
                cumulative = r.choice((acked, acked, acked + 1, next_out - 1, acked - 1, next_out))
                window = r.choice((0, 100, 65536, 2**32 - 1))
                return wire.sack_chunk(cumulative & _MASK, window, gaps, [5][: r.randrange(2)])
            case 7:
                return wire.heartbeat_chunk(bytes(r.randrange(60)), ack=r.random() < 0.5)
            case 8:
                if r.random() < 0.3:
                    return wire.abort_chunk(self.causes(), reflected=r.random() < 0.5)
                return wire.error_chunk(self.causes())
            case 9:
                return wire.shutdown_chunk((next_out - 1 - r.randrange(3)) & _MASK)
            case 10:
                return wire.chunk(wire.ChunkType.SHUTDOWN_ACK)
            case 11:
                return wire.chunk(wire.ChunkType.COOKIE_ACK)
            case 12:
                if r.random() < 0.5:
                    return wire.shutdown_complete_chunk(reflected=r.random() < 0.5)
                make_mark = r.choice((wire.ecne_chunk, wire.cwr_chunk))
                tsn = r.choice((acked, next_out - 1, next_out, next_in, r.getrandbits(32)))
                return make_mark(tsn & _MASK)
            case 13 | 14:
                pairs = [(r.randrange(4), r.getrandbits(16)) for _ in range(r.randrange(5))]
                point = next_in + r.choice((0, 1, 5, 100, -2, 2**30))
                if self.interleaves and r.random() < 0.95:
                    return wire.i_forward_tsn_chunk(point & _MASK, pairs)
                return wire.forward_tsn_chunk(point & _MASK, pairs)
            case 15:
                return self.reconfig(next_in, next_out)
            case 16:
                kind = r.choice((0x0F, 0x30, 0x7F, 0x80, 0x84, 0xC1, 0xFF))
                return wire.chunk(kind, bytes(r.randrange(20)))
            case 17:
                make = r.choice((wire.Init, wire.InitAck))
                parameters = [self.parameter() for _ in range(r.randrange(6))]
                streams = r.choice((0, 1, 10, 65535))
                tag, tsn = r.getrandbits(32), r.getrandbits(32)
                return wire.init_chunk(make(tag, 9999, streams, 10, tsn, parameters))
            case 18:
                return wire.chunk(wire.ChunkType.COOKIE_ECHO, r.randbytes(r.randrange(200)))
            case 19 | 20 | 21:
                return self.change_of_addresses()
            case _:
                return wire.chunk(r.randrange(20), r.randbytes(r.randrange(30)), r.randrange(256))

    def change_of_addresses(self) -> bytes:
        """Make an ASCONF, or an answer to one."""
        r = self.random
        association = self.association
        theirs = ours = r.getrandbits(32)
        if association is not None and association.changes is not None:
            theirs = association.changes._requests._peer_serial + 1
            ours = association.changes._requests._serial - 1
        shift = r.choice((0, 0, 0, 1, -1, 2**31))
        requests = [
            wire.Tlv(
                r.choice((*wire.AsconfParameter, 0xC0FF, 0x4001)),
                r.randbytes(4) + wire.tlvs([self.address()]) + bytes(r.choice((0, 0, 0, 5))),
            )
            for _ in range(r.choice((0, 1, 1, 2, 3, 5)))
        ]
        if r.random() < 0.3:
            return wire.asconf_ack_chunk((ours + shift) & _MASK, requests)
        return wire.asconf_chunk((theirs + shift) & _MASK, self.address(), requests)

    def address(self) -> wire.Tlv:
        """Make an Address parameter: the peer's, the target's, another one, any, or none."""
        r = self.random
        hosts = [*self.routes[0][:2], "0.0.0.0", "::", "10.0.0.77", "10.0.1.2", "fd00:1::2"]
        if r.random() < 0.1:
            return wire.Tlv(r.choice((5, 6, 11)), r.randbytes(r.choice((4, 16, 3))))
        return wire.address_parameter(r.choice(hosts))

    def reconfig(self, next_in: int, next_out: int) -> bytes:
        """Make a RE-CONFIG whose numbers are right, or nearly so."""
        r = self.random
        association = self.association
        known = None if association is None else association.reconfiguration
        expected, ours = next_in, next_out
        if known is not None:
            expected, ours = known._expected, known._next
        responses = []
        if r.random() < 0.4:
            number = (ours - r.choice((1, 1, 1, 2, 0))) & _MASK
            tsns = r.choice((None, (next_in & _MASK, r.choice((next_out & _MASK, 7)))))
            responses.append(wire.ReconfigResponse(number, r.randrange(9), tsns))
        requests = []
        if not responses or r.random() < 0.2:
            kind = 13 if responses else r.choice((13, 13, 14, 15, 17, 18))
            number = (expected + r.choice((0, 0, 0, -1, -2, 1, 2**31))) & _MASK
            last = (next_in + r.choice((-1, -1, 0, 1, 5, 2**30))) & _MASK
            streams = tuple(r.choice((0, 1, 2, 9, 10, 65535)) for _ in range(r.randrange(4)))
            if kind not in (13, 14):
                streams = ()
            count = r.choice((0, 1, 3, 65535)) if kind in (17, 18) else 0
            answers = (ours - 1) & _MASK if kind == 13 else 0
            last = last if kind == 13 else 0
            requests.append(wire.ReconfigRequest(kind, number, answers, last, streams, count))
        return wire.reconfig_chunk(wire.Reconfig(responses, requests))

    def causes(self) -> list[wire.Tlv]:
        """Make causes for an ERROR or an ABORT."""
        r = self.random
        return [wire.Tlv(r.randrange(15), bytes(r.randrange(9))) for _ in range(r.randrange(4))]

    def parameter(self) -> wire.Tlv:
        """Make a parameter for an INIT or INIT ACK, known or unknown."""
        r = self.random
        match r.randrange(7):
            case 0:
                return wire.Tlv(5, bytes([10, 0, r.randrange(3), r.choice((1, 2, 3))]))
            case 1:
                return wire.Tlv(6, r.randbytes(16))
            case 2:
                return wire.Tlv(r.choice(list(wire.ParameterType)), r.randbytes(4))
            case 3:
                return wire.Tlv(7, r.randbytes(r.randrange(90)))
            case 4:
                return wire.Tlv(0x8002, r.randbytes(r.choice((32, 32, 32, 31, 0))))
            case 5:
                listed = r.choice(((1,), (3, 1), (3,), (9, 1), ()))
                return wire.Tlv(0x8004, struct.pack(f"!{len(listed)}H", *listed))
            case _:
                return wire.Tlv(r.getrandbits(16), r.randbytes(r.randrange(9)))

    # -- mutations ---

    def packet(self) -> bytes:
        """Make the next packet for the target."""
        r = self.random
        association = self.association
        tag = association.our_tag if association is not None else 0
        if self.recorded and r.random() < 0.55:
            recorded_tag, chunks = r.choice(self.recorded)
            chunks = list(chunks)
            # The tag of a COOKIE ECHO is in its cookie.
            if association is None or chunks[0][0] == wire.ChunkType.COOKIE_ECHO:
                tag = recorded_tag
        else:
            chunks = [self.craft() for _ in range(r.choice((1, 1, 1, 2, 3, 5)))]
        if chunks[0][0] == wire.ChunkType.INIT:
            tag = 0
        rarely = r.random()
        if rarely < 0.08:
            their_tag = association.their_tag if association is not None else 1
            tag = r.choice((0, their_tag, their_tag, r.getrandbits(32)))
        for _ in range(r.choice((0, 0, 1, 1, 2, 4))):
            self.mutate_chunks(chunks)
        body = bytearray().join(chunks)
        for _ in range(r.choice((0, 0, 1, 1, 2, 3))):
            self.mutate_bytes(body)
        if r.random() < 0.2 or (self.authenticates and r.random() < 0.5):
            body = self.authenticated(body)
        source, destination = PEER_PORT, PORT
        if rarely > 0.99:
            source, destination = r.choice(((0, PORT), (PEER_PORT, 1), (r.getrandbits(16), PORT)))
        data = seal(source, destination, tag, body)
        return data[: r.randrange(len(data))] if 0.98 < rarely < 0.99 else data

    @property
    def authenticates(self) -> bool:
        """Whether the target takes user data only if it is authenticated."""
        return self.association is not None and self.association.guarded

    def authenticated(self, body: bytearray) -> bytearray:
        """Put an AUTH chunk before it all, whose HMAC is right if there are keys."""
        association = self.association
        if association is None or association.authentication is None:
            return bytearray(wire.auth_chunk(0, 3, bytes(32))) + body
        key, algorithm = 0, self.random.choice((1, 3))
        size = {1: 20, 3: 32}[algorithm]
        blank = wire.auth_chunk(key, algorithm, bytes(size))
        mac = association.authentication._mac(key, algorithm, blank + bytes(body))
        assert mac is not None
        return bytearray(wire.auth_chunk(key, algorithm, mac)) + body

    def mutate_chunks(self, chunks: list[bytes]) -> None:
        """Swap, repeat, drop, cut or add a chunk, or add a parameter to one."""
        r = self.random
        if not chunks:
            chunks.append(self.craft())
            return
        at = r.randrange(len(chunks))
        match r.randrange(8):
            case 0:
                other = r.randrange(len(chunks))
                chunks[at], chunks[other] = chunks[other], chunks[at]
            case 1 if len(chunks) < 12:
                chunks.insert(at, chunks[at])
            case 2 if len(chunks) > 1:
                del chunks[at]
            case 3:
                cut = r.randrange(len(chunks[at]) + 1)
                chunks[at] = resize(chunks[at][:cut])
            case 4 | 5:
                chunks.append(self.craft())
            case 6:
                parameter = wire.tlv(*self.parameter())
                chunks[at] = resize(chunks[at] + parameter)
            case _ if self.recorded:
                chunks.append(r.choice(r.choice(self.recorded)[1]))
            case _:
                pass

    def mutate_bytes(self, body: bytearray) -> None:
        """Change bits, bytes or numbers."""
        r = self.random
        if len(body) < 4:
            body += r.randbytes(8)
            return
        match r.randrange(9):
            case 0 | 1:
                for _ in range(r.choice((1, 1, 2, 8))):
                    body[r.randrange(len(body))] ^= 1 << r.randrange(8)
            case 2:
                body[r.randrange(len(body))] = r.randrange(256)
            case 3 | 4:
                # Most fields are in the first bytes of a chunk, and aligned.
                at = r.randrange(0, min(len(body), 64) - 1, 2)
                struct.pack_into("!H", body, at, r.choice(_INTERESTING))
            case 5:
                at = r.randrange(0, min(len(body), 64) - 3, 4)
                old = struct.unpack_from("!I", body, at)[0]
                new = r.choice((old + 1, old - 1, old + 2**31, 0, _MASK, r.getrandbits(32)))
                struct.pack_into("!I", body, at, new & _MASK)
            case 6:
                length = struct.unpack_from("!H", body, 2)[0]
                struct.pack_into("!H", body, 2, (length + r.choice((-4, -1, 1, 4))) & 0xFFFF)
            case 7:
                del body[r.randrange(len(body)) :]
            case _:
                body += r.randbytes(r.randrange(1, 12))

    def route(self) -> Route:
        """Choose where a packet comes from: mostly from the peer."""
        r = self.random
        route = self.routes[0] if len(self.routes) == 1 else r.choice(self.routes)
        rarely = r.random()
        association = self.association
        if rarely > 0.95 and association is not None:  # one that it has now
            remote = r.choice([*association.paths])
            if (":" in remote) == (":" in route.remote):
                return route._replace(remote=remote)
        if rarely < 0.02:
            return route._replace(remote=r.choice(("10.9.9.9", "fe80::1", "224.0.0.1", "0.0.0.0")))
        if rarely < 0.03:
            return route._replace(remote_udp=r.getrandbits(16))
        return route

    # -- feeding and checking ---

    def feed(self, data: bytes, route: Route) -> None:
        """Give the target one packet, check what it costs, and let things follow from it."""
        target = self.target
        target.packets_to_send()
        association = self.association
        events = target.unread()
        may_leave = 0
        if association is not None:
            outbound = association.outbound
            may_leave = len(outbound.outstanding) + len(outbound.queued())
            may_leave += outbound.buffered // 1000
        inbound = association.inbound if association is not None else None
        finished = may_leave + (inbound.held // CHUNK_COST if inbound is not None else 0)
        held, count = target.account.held, len(target.associations)
        gc.disable()
        started = time.thread_time()
        target.receive_packet(data, route, self.now, self.random.random() < 0.2)
        taken = time.thread_time() - started
        gc.enable()
        promised = 0.0005 + 0.0005 * len(data) / 1024 + 0.000002 * finished
        assert taken < CPU_FACTOR * promised, f"{taken} s of CPU time, and {promised} are promised"
        room = 16 * len(data) + 2 * PRECISION  # an event of a few bytes takes more than they do
        if len(target.associations) > count:
            room += 16_384
        if inbound is not None:
            room += 2 * inbound.streams
        assert target.account.held - held <= room, "too much memory for one packet"
        out = target.packets_to_send()
        for packet in out:
            # Only an INIT has no tag; packets out of the blue are answered with their own.
            assert any(packet.data[4:8]) or packet.data[12] == wire.ChunkType.INIT
        if len(out) > 2:
            # Answers cost at most three times what was sent, plus a SACK and a SHUTDOWN.
            answers = [packet for packet in out if not has_data(packet.data)]
            assert len(answers) <= 3 + len(data) // 250
            assert sum(len(packet.data) for packet in answers) <= 2500 + 3 * len(data)
            assert len(out) <= len(answers) + may_leave
        released = association.inbound.held // 90 if association and association.inbound else 0
        failed = may_leave  # messages that the end of the association gives back
        assert target.unread() - events <= 8 + len(data) // 4 + released + failed
        self.follow(out)

    def follow(self, out: list[Outgoing]) -> None:
        """Sometimes let time pass, deliver packets, or have the program read or send."""
        r = self.random
        target = self.target
        what = r.random()
        if what < 0.04:
            for packet in out:
                back = Route(packet.route.remote, packet.route.local)
                self.peer.receive_packet(packet.data, back, self.now)
            self.to_target()
        elif what < 0.08:
            target.receive(r.choice((1, 3, 100)), self.now)
        elif what < 0.10:
            for id, association in target.associations.items():
                if association.state is StatusState.ESTABLISHED and association.outbound.has_room():
                    stream, lifetime = r.randrange(association.outbound_streams), r.choice((0, 300))
                    info = ORDERED._replace(stream=stream, lifetime=lifetime)
                    target.send(id, bytes(r.choice((1, 500, 4000))), info, self.now)
                if association.may_reconfigure() and r.random() < 0.3:
                    kind = r.choice(list(ReconfigurationKind))
                    streams = r.choice(((), (0,), (1, 2))) if kind < 15 else ()
                    request = ReconfigurationRequest(kind, streams, 2 * (kind > 15))
                    target.reconfigure(id, request, lambda result: None, self.now)
        elif what < 0.11 and target.associations:
            host = "10.0.0.99"
            if host in target.addresses:
                target.remove_address(host, self.now)
            else:
                target.add_address(host, self.now)
            target.freed.clear()
        elif what < 0.17:
            deadline = target.next_deadline()
            if deadline is not None and r.random() < 0.5:
                self.now = max(self.now, deadline)
            else:
                self.now += r.random() * 0.3
            target.handle_timeout(self.now)
            deadline = target.next_deadline()
            assert deadline is None or deadline > self.now
        self.quiet += 1
        if self.quiet >= 4:
            self.quiet = 0
            check(target)
            if self.peer.associations:
                check(self.peer)
        if target.unread() > 500:
            target.receive(2**30, self.now)
        target.packets_to_send()
        self.peer.packets_to_send()
        if self.peer.has_events():
            self.peer.receive(2**30, self.now)


def split(body: bytes) -> list[bytes]:
    """The chunks of a valid packet, with their padding."""
    chunks = []
    at = 0
    while at < len(body):
        end = at + (int.from_bytes(body[at + 2 : at + 4], "big") + 3 & ~3)
        chunks.append(body[at:end])
        at = end
    return chunks


def resize(chunk: bytes) -> bytes:
    """Set the length field of a chunk to its length."""
    if len(chunk) < 4:
        return chunk
    return chunk[:2] + struct.pack("!H", len(chunk)) + chunk[4:] + bytes(-len(chunk) & 3)


def seal(source: int, destination: int, tag: int, body: bytes | bytearray) -> bytes:
    """Make a packet with the right checksum, whatever is in it."""
    head = struct.pack("!HHI", source, destination, tag)
    checksum: int = google_crc32c.value(b"".join((head, bytes(4), body)))
    return b"".join((head, struct.pack("<I", checksum), body))


def has_data(packet: bytes) -> bool:
    """Whether a valid packet carries user data, or says that some is given up."""
    kinds = (0, wire.ChunkType.I_DATA, wire.ChunkType.FORWARD_TSN, wire.ChunkType.I_FORWARD_TSN)
    return any(chunk[0] in kinds for chunk in split(packet[12:]))


# -- what holds --------------------------------------------------------------------------------


def check(engine: Engine) -> None:
    """Check that memory is bounded, accounts are right and nothing is stuck."""
    associations = engine.associations
    engine.next_deadline()  # takes in the timers that have changed
    assert len(associations) <= engine.parameters.max_associations
    for association in associations.values():
        assert not association.ended
        assert association.id in engine._deadlines._scheduled, "no timer is left"
        assert 0 < len(association.paths) <= association.parameters.max_peer_addresses
        assert not association.bundler.control
        check_inbound(engine, association)
        check_outbound(association)
        check_timers(association)
    addresses = sum(len(association.paths) for association in associations.values())
    assert len(engine._address_book.owners) <= addresses
    assert engine._deadlines._scheduled.keys() <= associations.keys()
    assert len(engine._deadlines) <= 2 * len(engine._deadlines._scheduled) + 100


def check_inbound(engine: Engine, association: EngineAssociation) -> None:
    """Check that the window counts exactly what is held, and that no more is held than may be."""
    inbound, unread = association.inbound, association.unread
    if inbound is None:
        return
    parameters = association.parameters
    held = sum(map(cost_of, inbound._held_back)) + cost_of(inbound._open)
    held += sum(map(cost_of, inbound._undecided or ()))
    held += sum(cost_of_skip(streams) for _, streams in inbound._undecided_skips)
    if inbound._reset is not None:
        held += sum(map(cost_of, inbound._reset.held))
    for sorted_parts in (inbound._runs, inbound._waiting):
        numbers = [number for block in sorted_parts._numbers for number in block]
        assert numbers == sorted(set(numbers))
        assert len(numbers) == sorted_parts.count
        assert [block[0] for block in sorted_parts._numbers] == [*sorted_parts._firsts]
        for parts, block in zip(sorted_parts._parts, sorted_parts._numbers, strict=True):
            assert len(parts) == len(block)
            held += sum(map(cost_of, parts))
    if isinstance(inbound, InterleavedInbound):
        for messages in inbound._incomplete.values():
            assert messages
            held += sum(MESSAGE_COST + message.cost for message in messages.values())
            for message in messages.values():
                later = message._later
                runs = [] if later is None else [run for block in later._parts for run in block]
                assert message.cost == cost_of(message.parts) + sum(map(cost_of, runs))
                assert not message.whole
    assert held == inbound.held
    kept: list[Parts | Beginning] = [
        item for item in unread._items if isinstance(item, (bytes, list, Beginning))
    ]
    costs = [cost_of(item.parts if isinstance(item, Beginning) else item) for item in kept]
    assert sum(costs) == unread.messages
    events = [
        item for item in unread._items if not isinstance(item, (bytes, list, Beginning, tuple))
    ]
    assert sum(map(event_cost, events)) == unread.events
    assert len(events) + len(kept) == unread.count
    assert len(inbound.duplicates) <= parameters.max_duplicates
    assert len(inbound._next_ssns) <= inbound.streams
    ahead = [*zip(inbound._ahead._starts, inbound._ahead._ends, strict=True)]
    assert inbound.has_gaps == bool(ahead)
    before = inbound.cumulative
    for start, end in ahead:
        assert before + 1 < start <= end
        before = end
    assert before - inbound.cumulative <= FARTHEST
    share = unread.share
    assert share is not None
    assert engine.account.held >= share.held


def check_outbound(association: EngineAssociation) -> None:
    """Check that the bytes in flight and the bytes buffered are the sums of their parts."""
    outbound = association.outbound
    chunks = outbound.outstanding.values()
    assert outbound.flight == sum(chunk.size for chunk in chunks if chunk.counted)
    for path in association.paths.values():
        on_path = [chunk for chunk in chunks if chunk.counted and chunk.path is path]
        assert path.flight == sum(chunk.size for chunk in on_path)
        assert path.cwnd >= path.mtu
    messages = {id(chunk.message): chunk.message for chunk in chunks}
    messages.update((id(message), message) for message in (*outbound.queued(), *outbound.waiting))
    alive = [message for message in messages.values() if not message.abandoned]
    assert outbound.messages == len(alive)
    assert outbound.buffered == sum(len(message.data) for message in alive)
    if outbound.schedule is not None:
        assert [outbound.schedule.next()] == [*outbound.queue] or not outbound.queue
    gone = [message for message in outbound.queue if message.abandoned]
    assert outbound._gone == len(gone) <= len(outbound.queue) // 2
    assert not gone or not outbound.queue[0].abandoned
    told = {tsn for first, last in outbound._gaps for tsn in range(first, last + 1)}
    assert {chunk.tsn for chunk in chunks if chunk.acked} == told & outbound.outstanding.keys()
    for chunk in chunks:
        path = chunk.path
        if not chunk.done and path in association.paths.values():
            assert path.earliest <= chunk.tsn <= path.newest or chunk.tsn in path.moved
        assert not chunk.recounted or chunk.tsn in outbound._recounted
    assert not outbound.failed


def check_timers(association: EngineAssociation) -> None:
    """Check that whatever waits for the peer has a timer."""
    never = float("inf")
    match association.state:
        case StatusState.COOKIE_WAIT | StatusState.COOKIE_ECHOED:
            assert association.timers[T1] < never
        case StatusState.SHUTDOWN_SENT | StatusState.SHUTDOWN_ACK_SENT:
            assert association.timers[T2] < never
        case _:
            assert association.timers[T1] == never
            assert association.timers[T2] == never
    if association.state not in _MAY_SEND:
        return
    if association.stranded:  # all waits until an address is confirmed, or all have failed
        beats = [path.heartbeat_deadline for path in association.paths.values()]
        assert min(association.timers[PROBE], *beats) < never
        return
    outbound = association.outbound
    for chunk in outbound.outstanding.values():
        if not chunk.acked and not chunk.message.abandoned:
            # A marked chunk follows when others are acknowledged, or time out.
            paths = association.paths.values() if chunk.marked else [chunk.path]
            timers = [*(path.t3 for path in paths), association.timers[WINDOW]]
            assert min(timers) < never, "nothing retransmits what is outstanding"
    if outbound.queue:
        probed = association.timers[WINDOW] < never
        assert outbound.outstanding or probed, "nothing sends what is queued"
    if association.state is StatusState.SHUTDOWN_PENDING:
        assert not outbound.empty
    known = association.reconfiguration
    if known is None or known._request is None or known._request.number < 0:
        assert not outbound.waiting or outbound.outstanding or outbound.queue
    else:
        assert association.timers[RECONFIG] < never, "nothing repeats a request"


# -- situations --------------------------------------------------------------------------------


def _nothing(bench: Bench) -> None:
    """There is no association and no listener; packets of an earlier association come."""
    bench.clear()
    bench.establish()
    _traffic(bench)
    bench.clear()
    bench.target.listening = False


def _listening(bench: Bench) -> None:
    """The target listens; INITs and COOKIE ECHOs come."""
    bench.clear()
    bench.recorded.clear()
    bench.peer_connects()
    bench.to_target()
    bench.to_peer()
    bench.to_target(0.0)


def _cookie_wait(bench: Bench) -> None:
    bench.clear()
    bench.recorded.clear()
    bench.target.connect(bench.routes[:2], PEER_PORT, bench.now)
    bench.to_peer()
    bench.to_target(0.0)


def _collision(bench: Bench) -> None:
    """Both engines have sent an INIT."""
    bench.clear()
    bench.recorded.clear()
    bench.target.connect(bench.routes[:1], PEER_PORT, bench.now)
    bench.peer_connects()
    for _ in range(bench.random.randrange(1, 4)):
        bench.to_peer()
        bench.to_target(0.5)


def _cookie_echoed(bench: Bench) -> None:
    _cookie_wait(bench)
    association = bench.association
    assert association is not None
    bench.target.send(association.id, b"early", ORDERED, bench.now)
    tag, chunks = bench.recorded[-1]
    packet = wire.seal(PEER_PORT, PORT, tag, chunks)
    bench.target.receive_packet(packet, bench.routes[0], bench.now)
    bench.to_peer()
    bench.to_target(0.0)


def _traffic(bench: Bench, keep: float = 1.0) -> None:
    association = bench.association
    assert association is not None
    for number in range(bench.random.randrange(1, 7)):
        size = bench.random.choice((1, 40, 1000, 5000))
        info = UNORDERED if number & 1 else ORDERED
        if association.outbound.has_room():
            bench.target.send(association.id, bytes(size), info, bench.now)
        bench.peer.send(bench.peer_id, bytes(size), info, bench.now)
        bench.settle(keep)


def _quiet(bench: Bench) -> None:
    """Wait until all messages are taken and acknowledged."""
    engines = (bench.target, bench.peer)
    for _ in range(60):
        for engine in engines:
            engine.receive(2**30, bench.now)
        bench.settle()
        if all(a.outbound.empty for engine in engines for a in engine.associations.values()):
            return
        bench.pass_time(0.5)


def _established(bench: Bench) -> None:
    bench.clear()
    bench.establish()
    _traffic(bench)
    if bench.random.random() < 0.5:
        bench.pass_time(31.0)  # heartbeats
        bench.settle()


def _gaps(bench: Bench) -> None:
    """Packets were lost in both directions."""
    bench.clear()
    bench.establish()
    _traffic(bench, 0.6)


def _restart(bench: Bench) -> None:
    """The peer has lost its state, and what it sent before is not read yet."""
    bench.clear()
    bench.establish()
    _traffic(bench)
    bench.peer.abort(bench.peer_id, b"", bench.now)
    bench.peer.packets_to_send()
    bench.peer_connects()
    bench.to_target()
    bench.to_peer()
    bench.to_target(0.5)


def _partial_delivery(bench: Bench) -> None:
    """A message that is larger than the window is arriving."""
    bench.clear()
    bench.establish()
    bench.peer.send(bench.peer_id, bytes(40_000), ORDERED, bench.now)
    bench.peer.send(bench.peer_id, bytes(40), UNORDERED, bench.now)
    bench.settle(0.9)


def _unacknowledged(bench: Bench) -> EngineAssociation:
    bench.clear()
    association = bench.establish()
    for size in (1, 3000, 20):
        bench.target.send(association.id, bytes(size), ORDERED, bench.now)
    bench.to_peer(0.0)
    return association


def _shutdown_pending(bench: Bench) -> None:
    association = _unacknowledged(bench)
    bench.target.shutdown(association.id, bench.now)
    bench.to_peer(0.5)
    bench.to_target(0.0)


def _shutdown_sent(bench: Bench) -> None:
    bench.clear()
    association = bench.establish()
    bench.peer.send(bench.peer_id, b"late", ORDERED, bench.now)
    _quiet(bench)
    bench.target.shutdown(association.id, bench.now)
    bench.to_target(0.0)
    bench.to_peer()
    bench.to_target(0.0)


def _shutdown_received(bench: Bench) -> None:
    _unacknowledged(bench)
    bench.peer.shutdown(bench.peer_id, bench.now)
    bench.to_target()
    bench.to_peer(0.5)
    bench.to_target(0.0)


def _shutdown_ack_sent(bench: Bench) -> None:
    bench.clear()
    bench.establish()
    _traffic(bench)
    _quiet(bench)
    bench.peer.shutdown(bench.peer_id, bench.now)
    bench.to_target()
    bench.to_peer()
    bench.to_target(0.0)


SITUATIONS: list[tuple[Callable[[Bench], None], StatusState | None]] = [
    (_nothing, None),
    (_listening, None),
    (_cookie_wait, StatusState.COOKIE_WAIT),
    (_collision, None),
    (_cookie_echoed, StatusState.COOKIE_ECHOED),
    (_established, StatusState.ESTABLISHED),
    (_gaps, StatusState.ESTABLISHED),
    (_restart, StatusState.ESTABLISHED),
    (_partial_delivery, StatusState.ESTABLISHED),
    (_shutdown_pending, StatusState.SHUTDOWN_PENDING),
    (_shutdown_sent, StatusState.SHUTDOWN_SENT),
    (_shutdown_received, StatusState.SHUTDOWN_RECEIVED),
    (_shutdown_ack_sent, StatusState.SHUTDOWN_ACK_SENT),
]
"""Each situation, with the state that it leaves the target's association in."""


def benches(seed: int, make_engine: Callable[..., Engine] = Engine) -> list[Bench]:
    """A plain bench, one with a small window, one with several addresses, one whose engines take
    most chunks only if they are authenticated, and one that interleaves."""
    return [
        Bench(seed, make_engine=make_engine),
        Bench(seed + 1, window=8000, make_engine=make_engine),
        Bench(seed + 2, homes=4, make_engine=make_engine),
        Bench(seed + 3, auth_chunks=(0, 3, 6, 10, 192), make_engine=make_engine),
        Bench(seed + 4, window=8000, interleaving=True, make_engine=make_engine),
    ]


def situations(
    benches: Sequence[Bench],
) -> Iterator[tuple[Bench, Callable[[Bench], None], StatusState | None]]:
    """Bring about every situation on each of the benches in turn, for ever."""
    while True:
        for bench in benches:
            for situation, expected in SITUATIONS:
                situation(bench)
                yield bench, situation, expected


def state_of(bench: Bench) -> StatusState | None:
    """The state of the target's association, None if it has none."""
    association = bench.association
    return association.state if association is not None else None
