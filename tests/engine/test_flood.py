"""What strangers and bad peers can cost: no memory before they have answered, and bounded work."""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Iterator
from math import inf

import pytest

from trio_sctp._engine import Engine, Parameters, Route, wire
from trio_sctp._engine.account import ASSOCIATION_COST, PRECISION, Account
from trio_sctp._engine.association import EngineAssociation
from trio_sctp._engine.wire import Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import SendInfo

PORT = 2905
HERE = "192.0.2.1"
STREAMS = (10, 65535)


def init_packet(port: int, parameters: list[Tlv] | None = None, tag: int = 7) -> bytes:
    chunk = wire.init_chunk(wire.Init(tag, 65536, *STREAMS, 99, parameters or []))
    return wire.seal(port, PORT, 0, [chunk])


def listener(parameters: Parameters | None = None, account: Account | None = None) -> Engine:
    randomness = random.Random(1).randbytes
    engine = Engine(PORT, [HERE], parameters=parameters, randomness=randomness, account=account)
    engine.listening = True
    return engine


def answer(engine: Engine) -> wire.Chunk:
    """The only chunk of the only packet that was sent."""
    (sent,) = engine.packets_to_send()
    packet = wire.parse_packet_untrusted(sent.data)
    assert isinstance(packet, wire.Packet)
    (chunk,) = packet.chunks
    return chunk


def cookie_for(engine: Engine, route: Route, port: int, now: float = 0.0) -> tuple[int, bytes]:
    """The tag and the cookie that an INIT is answered with."""
    engine.receive_packet(init_packet(port), route, now)
    ack = answer(engine)
    assert isinstance(ack, wire.InitAck)
    (cookie,) = (p.value for p in ack.parameters if p.type == wire.ParameterType.STATE_COOKIE)
    return ack.tag, cookie


def echo_packet(port: int, tag: int, cookie: bytes) -> bytes:
    return wire.seal(port, PORT, tag, [wire.chunk(wire.ChunkType.COOKIE_ECHO, cookie)])


def addresses(count: int) -> Iterator[Route]:
    for number in range(count):
        low, high = number & 0xFF, number >> 8
        yield Route(HERE, f"10.{high >> 8 & 0xFF}.{high & 0xFF}.{low}")


def test_an_init_flood_leaves_nothing() -> None:
    engine = listener()
    packets = [init_packet(port) for port in range(1, 501)]
    largest = 0

    def flood(routes: list[Route]) -> None:
        nonlocal largest
        for number, route in enumerate(routes):
            now = number / 50_000
            engine.receive_packet(packets[number % len(packets)], route, now)
            (sent,) = engine.packets_to_send()
            assert sent.route == route
            assert sent.data[12] == wire.ChunkType.INIT_ACK
            largest = max(largest, len(sent.data))

    routes = list(addresses(100_000))
    flood(routes[:90_000])
    # By then the caches of addresses, which keep the last few thousand, are full.
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        flood(routes[90_000:])
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 500_000, "50 bytes for each of the last 10000 are too many"
    assert not engine.associations
    assert not len(engine._address_book.owners)
    assert engine.next_deadline() is None
    assert not engine.has_events()
    # The answer has a cookie, but no more than that.
    assert largest < 6 * len(packets[0])
    assert largest < 300


@pytest.mark.parametrize("size", [0, 1, 8, 200, 990])
def test_unknown_parameters_do_not_make_the_answer_large(size: int) -> None:
    engine = listener()
    reported = [Tlv(0xC123, bytes(size)) for _ in range(64)]
    packet = init_packet(5000, reported)
    engine.receive_packet(packet, Route(HERE, "192.0.2.9"), 0.0)
    (sent,) = engine.packets_to_send()
    assert len(sent.data) < engine.parameters.max_cookie_size + 300
    parsed = wire.parse_packet_untrusted(sent.data)
    assert isinstance(parsed, wire.Packet)
    (ack,) = parsed.chunks
    assert isinstance(ack, wire.InitAck)


def test_many_addresses_do_not_make_the_cookie_large() -> None:
    engine = listener()
    listed = [wire.address_parameter(route.remote) for route in addresses(64)]
    engine.receive_packet(init_packet(5000, listed), Route(HERE, "192.0.2.9"), 0.0)
    (sent,) = engine.packets_to_send()
    assert len(sent.data) < engine.parameters.max_cookie_size


@pytest.mark.parametrize("count", [65, 8000])
@pytest.mark.parametrize(
    "parameter", [wire.address_parameter("192.0.2.77"), Tlv(0xC123, b""), Tlv(0x8123, b"")]
)
def test_an_init_with_more_than_64_parameters_is_not_answered(parameter: Tlv, count: int) -> None:
    engine = listener()
    engine.receive_packet(init_packet(5000, [parameter] * count), Route(HERE, "192.0.2.9"), 0.0)
    assert engine.packets_to_send() == []


@pytest.mark.parametrize("count", [64, 65, 16_000])
def test_of_a_stranger_at_most_64_chunks_are_looked_at(count: int) -> None:
    engine = listener()
    packet = wire.seal(5000, PORT, 77, [wire.chunk(0xBF)] * count)
    engine.receive_packet(packet, Route(HERE, "192.0.2.9"), 0.0)
    answers = engine.packets_to_send()
    assert len(answers) == (count == 64)


@pytest.mark.parametrize("size", [0, 1, 8, 200, 60_000])
def test_unknown_parameters_of_an_init_ack_do_not_make_the_report_large(size: int) -> None:
    engine = Engine(PORT, [HERE])
    route = Route(HERE, "192.0.2.9")
    id = engine.connect([route], 5000, 0.0)
    init = answer(engine)
    assert isinstance(init, wire.Init)
    parameters = [Tlv(wire.ParameterType.STATE_COOKIE, b"cookie")]
    parameters += [Tlv(0xC123, bytes(size)) for _ in range(min(63, 64_000 // (4 + size)))]
    chunk = wire.init_chunk(wire.InitAck(7, 65536, *STREAMS, 99, parameters))
    engine.receive_packet(wire.seal(5000, PORT, init.tag, [chunk]), route, 0.1)
    (sent,) = engine.packets_to_send()
    assert len(sent.data) < engine.parameters.max_cookie_size + 300
    assert id in engine.associations


def test_an_altered_cookie_makes_no_association() -> None:
    engine = listener()
    route = Route(HERE, "192.0.2.9")
    tag, cookie = cookie_for(engine, route, 5000)
    for at in range(len(cookie)):
        for bit in (1, 128):
            altered = bytearray(cookie)
            altered[at] ^= bit
            engine.receive_packet(echo_packet(5000, tag, bytes(altered)), route, 0.1)
    for cut in range(len(cookie)):
        engine.receive_packet(echo_packet(5000, tag, cookie[:cut]), route, 0.1)
        engine.receive_packet(echo_packet(5000, tag, cookie[cut + 1 :]), route, 0.1)
    engine.receive_packet(echo_packet(5000, tag, cookie + b"\0"), route, 0.1)
    # Unaltered, a cookie is good for one tag and one port.
    engine.receive_packet(echo_packet(5000, tag ^ 1, cookie), route, 0.1)
    engine.receive_packet(echo_packet(5001, tag, cookie), route, 0.1)
    assert engine.packets_to_send() == []
    assert not engine.associations
    assert engine.next_deadline() is None
    engine.receive_packet(echo_packet(5000, tag, cookie), route, 0.1)
    assert isinstance(answer(engine), wire.CookieAck)
    assert len(engine.associations) == 1


def test_a_forged_cookie_makes_no_association() -> None:
    """Not even a cookie that another endpoint would take does."""
    engine, other = listener(), Engine(PORT, [HERE])
    other.listening = True
    route = Route(HERE, "192.0.2.9")
    tag, cookie = cookie_for(other, route, 5000)
    engine.receive_packet(echo_packet(5000, tag, cookie), route, 0.1)
    r = random.Random(1)
    for _ in range(1000):
        forged = r.randbytes(r.choice((0, 1, 32, 33, 120, 200, 2000)))
        engine.receive_packet(echo_packet(5000, r.getrandbits(32), forged), route, 0.1)
    assert engine.packets_to_send() == []
    assert not engine.associations


def test_a_stale_cookie_makes_no_association() -> None:
    engine = listener()
    route = Route(HERE, "192.0.2.9")
    tag, cookie = cookie_for(engine, route, 5000)
    engine.receive_packet(echo_packet(5000, tag, cookie), route, 61.0)
    error = answer(engine)
    assert isinstance(error, wire.Error)
    assert error.causes[0].type == wire.Cause.STALE_COOKIE
    assert not engine.associations


def test_associations_are_bounded() -> None:
    engine = listener(Parameters(max_associations=3))
    route = Route(HERE, "192.0.2.9")
    for port in range(5000, 5003):
        engine.receive_packet(echo_packet(port, *cookie_for(engine, route, port)), route, 0.0)
        assert isinstance(answer(engine), wire.CookieAck)
    engine.receive_packet(echo_packet(5003, *cookie_for(engine, route, 5003)), route, 0.0)
    abort = answer(engine)
    assert isinstance(abort, wire.Abort)
    assert abort.causes == [
        Tlv(wire.Cause.OUT_OF_RESOURCE, b""),
        Tlv(wire.Cause.USER_INITIATED_ABORT, b"there are 3 associations already"),
    ]
    assert len(engine.associations) == 3


OUT_OF_THE_BLUE = {
    "DATA": wire.data_chunk(1, 0, 0, 0, b"x", 3),
    "SACK": wire.sack_chunk(1, 1, [], []),
    "SHUTDOWN ACK": wire.chunk(wire.ChunkType.SHUTDOWN_ACK),
    "HEARTBEAT": wire.heartbeat_chunk(bytes(1000)),
    "unknown": wire.chunk(0xFF, bytes(1000)),
    "ERROR": wire.error_chunk([Tlv(1, bytes(4))]),
}


@pytest.mark.parametrize("kind", OUT_OF_THE_BLUE)
def test_replies_out_of_the_blue_are_few_and_small(kind: str) -> None:
    engine = listener()
    packet = wire.seal(5000, PORT, 7, [OUT_OF_THE_BLUE[kind]])
    rate = engine.parameters.max_replies_per_second
    replies = 0
    for number, route in enumerate(addresses(10_000)):
        engine.receive_packet(packet, route, number / 5000)  # for two seconds
        for sent in engine.packets_to_send():
            assert len(sent.data) == 16
            replies += 1
    assert 2 * rate <= replies <= 3 * rate
    assert not engine.associations
    assert engine.next_deadline() is None


def test_inits_that_nobody_listens_for_are_not_all_answered() -> None:
    engine = Engine(PORT, [HERE])
    packet = init_packet(5000)
    for route in addresses(10_000):
        engine.receive_packet(packet, route, 0.0)
    assert len(engine.packets_to_send()) <= engine.parameters.max_replies_per_second


@pytest.mark.parametrize(
    "chunks",
    [
        [wire.abort_chunk()],
        [wire.data_chunk(1, 0, 0, 0, b"x", 3), wire.abort_chunk()],
        [wire.shutdown_complete_chunk()],
        [wire.chunk(wire.ChunkType.COOKIE_ACK)],
        [wire.error_chunk([Tlv(wire.Cause.STALE_COOKIE, bytes(4))])],
        [wire.chunk(wire.ChunkType.COOKIE_ECHO, bytes(100))],
    ],
)
def test_what_is_never_answered(chunks: list[bytes]) -> None:
    """Section 8.4: otherwise two endpoints could answer each other for ever."""
    engine = listener()
    engine.receive_packet(wire.seal(5000, PORT, 7, chunks), Route(HERE, "192.0.2.9"), 0.0)
    assert engine.packets_to_send() == []


@pytest.mark.parametrize("remote", ["224.0.0.1", "255.255.255.255", "0.0.0.0", "::", "ff02::1"])
def test_nobody_sends_from_there(remote: str) -> None:
    engine = listener()
    engine.receive_packet(init_packet(5000), Route(HERE, remote), 0.0)
    data = wire.seal(5000, PORT, 7, [OUT_OF_THE_BLUE["DATA"]])
    engine.receive_packet(data, Route(HERE, remote), 0.0)
    assert engine.packets_to_send() == []


# -- peers that mean harm ----------------------------------------------------------------------


class Peer:
    """A peer that has set up an association with a listener, and sends what it likes."""

    def __init__(
        self, parameters: Parameters | None = None, account: Account | None = None
    ) -> None:
        self.engine = listener(parameters, account)
        self.route = Route(HERE, "192.0.2.9")
        self.own_tag = 0
        self.set_up()

    def set_up(self) -> None:
        """Set the association up, for the first time or after a restart."""
        engine = self.engine
        engine.packets_to_send()
        self.own_tag += 1
        parameters = [Tlv(wire.ParameterType.FORWARD_TSN_SUPPORTED, b"")]
        init = wire.Init(self.own_tag, 2**20, *STREAMS, 1, parameters)
        packet = wire.seal(5000, PORT, 0, [wire.init_chunk(init)])
        engine.receive_packet(packet, self.route, 0.0)
        ack = answer(engine)
        assert isinstance(ack, wire.InitAck)
        (cookie,) = (p.value for p in ack.parameters if p.type == wire.ParameterType.STATE_COOKIE)
        self.tag = ack.tag
        self.engine.receive_packet(echo_packet(5000, self.tag, cookie), self.route, 0.0)
        assert self.association.state is StatusState.ESTABLISHED
        engine.packets_to_send()

    @property
    def association(self) -> EngineAssociation:
        (association,) = self.engine.associations.values()
        return association

    def send(self, *chunks: bytes) -> float:
        """Send a packet; returns the seconds of CPU time that it took to process."""
        packet = wire.seal(5000, PORT, self.tag, chunks)
        started = time.thread_time()
        self.engine.receive_packet(packet, self.route, 0.1)
        return time.thread_time() - started


def test_a_large_forward_tsn_is_little_work() -> None:
    peer = Peer()
    for number in range(3):
        streams = [(stream, 0x7FFF * (number + 1) & 0xFFFF) for stream in range(16_000)]
        assert peer.send(wire.forward_tsn_chunk(number + 1, streams)) < 1.0
    assert len(peer.association.inbound._next_ssns) == STREAMS[0]  # type: ignore[union-attr]


def test_a_large_sack_is_little_work() -> None:
    peer = Peer()
    engine, association = peer.engine, peer.association
    association.primary.cwnd = 2**20  # type: ignore[union-attr]
    association.parameters.max_burst = 2**20
    for _ in range(4000):
        engine.queue(association.id, b"x", SendInfo(0, 0, False, 0, 0), 0.0)
    engine.flush(association.id, 0.0)
    assert len(association.outbound.outstanding) == 4000
    tsn = association.outbound.cumulative & 0xFFFFFFFF
    assert peer.send(wire.sack_chunk(tsn, 2**20, [(2, 65535)] * 16_000, [])) < 1.0
    assert sum(c.acked for c in association.outbound.outstanding.values()) == 3999


def test_chunks_that_leave_gaps_take_little_memory() -> None:
    """Messages that are read leave the window, but not the list of TSNs that came early."""
    peer = Peer()
    for start in range(3, 70_000, 80):
        chunks = [wire.data_chunk(tsn, 0, 0, 0, b"x", 7) for tsn in range(start, start + 80, 2)]
        peer.send(*chunks)
        peer.engine.receive(2**30, 0.1)
    inbound = peer.association.inbound
    assert inbound is not None
    assert inbound.held == 0
    # Gap blocks cannot name more than so many TSNs: others are refused.
    assert len(inbound._ahead) == 2**15 - 1
    assert inbound.memory < 2**20


def test_a_peer_that_restarts_gets_no_second_window() -> None:
    """What was delivered and is not read takes room as before."""
    peer = Peer(Parameters(receive_window=20_000))
    for _ in range(5):
        for tsn in range(1, 30):
            peer.send(wire.data_chunk(tsn, 0, tsn - 1, 0, bytes(1000), 3))
        peer.set_up()
    messages = [a for a in peer.engine.receive(2**30, 0.1) if hasattr(a, "data")]
    assert 10 < len(messages) < 30
    assert peer.association.inbound.held == 0  # type: ignore[union-attr]


def test_errors_that_nobody_takes_are_dropped() -> None:
    peer = Peer()
    for _ in range(100):
        peer.send(wire.error_chunk([Tlv(1, bytes(4))] * 100))
    taken = peer.engine.receive(2**30, 0.1)
    assert 10 < len(taken) < 300
    peer.send(wire.error_chunk([Tlv(1, bytes(4))]))
    assert len(peer.engine.receive(2**30, 0.1)) == 1


def test_a_stream_sequence_number_is_used_once() -> None:
    """Otherwise one of two messages would never be delivered, but counted for ever."""
    peer = Peer()
    engine = peer.engine
    for tsn in (1, 2):
        peer.send(wire.data_chunk(tsn, 0, 5, 0, b"x", 3))
    assert not engine.associations
    *_, last = engine.packets_to_send()
    packet = wire.parse_packet_untrusted(last.data)
    assert isinstance(packet, wire.Packet)
    (abort,) = packet.chunks
    assert isinstance(abort, wire.Abort)
    assert abort.causes[0].type == wire.Cause.PROTOCOL_VIOLATION


def test_a_gap_block_for_the_first_missing_tsn_is_no_acknowledgement() -> None:
    """Taken for one, it would leave a chunk that is never sent again, without a timer."""
    peer = Peer()
    association = peer.association
    peer.engine.send(association.id, b"x", SendInfo(0, 0, False, 0, 0), 0.0)
    tsn = association.outbound.cumulative & 0xFFFFFFFF
    peer.send(wire.sack_chunk(tsn, 9999, [(1, 1)], []))
    assert association.primary is not None
    assert association.primary.t3 == association.primary.rto
    assert association.outbound.flight == 1


def test_what_was_gap_acknowledged_and_no_longer_is_has_a_timer() -> None:
    """Section 6.3.2, R4."""
    peer = Peer()
    association = peer.association
    assert association.primary is not None
    for _ in range(2):
        peer.engine.send(association.id, b"x", SendInfo(0, 0, False, 0, 0), 0.0)
    tsn = association.outbound.cumulative & 0xFFFFFFFF
    peer.send(wire.sack_chunk(tsn, 9999, [(2, 2)], []))
    association.primary.t3 = inf
    peer.send(wire.sack_chunk(tsn, 9999, [], []))
    assert association.primary.t3 == 0.1 + association.primary.rto


def test_what_has_ended_is_not_kept_for_its_timers() -> None:
    peer = Peer()
    for _ in range(1000):
        peer.send(wire.abort_chunk())
        assert not peer.engine.associations
        peer.set_up()
    assert len(peer.engine._deadlines) < 100


def test_who_comes_again_and_again_cannot_fill_memory() -> None:
    """A peer sends as much as the window takes, aborts, and sets up the next association."""
    account = Account(2**20)
    peer = Peer(Parameters(receive_window=2**16, first_window=2**10), account)
    engine = peer.engine
    for round in range(100):
        first = 99 if round else 1  # as the INIT said
        for number in range(40):
            peer.send(wire.data_chunk(first + number, 0, number, 0, bytes(1000), 3))
        peer.send(wire.abort_chunk())
        assert not engine.associations
        account.make_room(0.0)
        assert account.held <= account.limit
        peer.set_up()
    assert engine.unread() < 2**20 // 1000
    engine.receive(2**30, 0.0)
    assert account.held <= ASSOCIATION_COST + PRECISION


def test_events_that_nobody_reads_are_bounded_too() -> None:
    """An address that holds all the memory gets no further association."""
    account = Account(2**16)
    peer = Peer(account=account)
    with pytest.raises(ValueError, match="unpack"):
        for _ in range(1000):
            peer.send(wire.abort_chunk())
            peer.set_up()
    assert account.held <= account.limit
    peer.engine.receive(2**30, 0.0)
    peer.engine.packets_to_send()
    peer.set_up()
