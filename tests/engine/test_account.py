"""The memory that peers make a stack hold: who gives way when it is full, and who notices."""

from __future__ import annotations

import gc
import logging
import tracemalloc
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest

from trio_sctp._engine import Engine, Parameters, Route, wire
from trio_sctp._engine.account import ASSOCIATION_COST, PRECISION, Account, Share
from trio_sctp._engine.parts import CHUNK_COST
from trio_sctp._engine.wire import UNORDERED, WHOLE, Cause, Tlv
from trio_sctp._values import AssociationChange, AssociationState, Message

from ..support.engines import FULL, PORT, A, cookie_of, parsed

LIMIT = 2**20


class Peer:
    """A peer that has an association, and sends whole messages as long as it may."""

    def __init__(
        self, engine: Engine, address: str, port: int = 2000, offered: Sequence[Tlv] = ()
    ) -> None:
        self.engine, self.port = engine, port
        self.route = Route(A, address)
        self.tsn = 1
        self.sacks: list[wire.Sack] = []
        self.aborts: list[wire.Abort] = []
        init = wire.Init(7, 2**20, 10, 10, self.tsn, list(offered))
        self.tag = 0
        (ack,) = self.give(wire.init_chunk(init))
        assert isinstance(ack, wire.InitAck)
        self.tag = ack.tag
        self.rwnd = ack.rwnd
        self.give(wire.chunk(wire.ChunkType.COOKIE_ECHO, cookie_of(ack)))

    def give(self, *chunks: bytes) -> list[wire.Chunk]:
        """Send a packet; returns what it is answered with."""
        self.engine.receive_packet(wire.seal(self.port, PORT, self.tag, chunks), self.route, 0.0)
        return self.take()

    def take(self) -> list[wire.Chunk]:
        answers: list[wire.Chunk] = []
        others = []
        for packet in self.engine.packets_to_send():
            chunks = parsed(packet.data)
            if packet.route == self.route and chunks.destination_port == self.port:
                answers += chunks.chunks
            else:
                others.append(packet)
        self.engine._outlet.packets += others
        for chunk in answers:
            if isinstance(chunk, wire.Sack):
                self.sacks.append(chunk)
                self.rwnd = chunk.rwnd
            elif isinstance(chunk, wire.Abort):
                self.aborts.append(chunk)
        return answers

    def fill(self, size: int = FULL, count: int = 10_000) -> int:
        """Send messages until the window is shut; returns how many."""
        for sent in range(count):
            if self.rwnd < size or self.aborts:
                return sent
            data = wire.data_chunk(self.tsn, 0, self.tsn - 1 & 0xFFFF, 0, bytes(size), WHOLE)
            self.tsn += 1
            self.rwnd -= size
            self.give(data)
        return count


def make(account: Account, port: int = PORT, **fields: Any) -> Engine:
    fields.setdefault("first_window", fields.get("receive_window", 2**20) // 64)
    parameters = Parameters(sack_delay=0.0, **fields)
    randomness = Random(port).randbytes
    engine = Engine(port, [A], parameters=parameters, randomness=randomness, account=account)
    engine.listening = True
    return engine


def test_who_holds_most_gives_way_and_nobody_else_notices(
    caplog: pytest.LogCaptureFixture,
) -> None:
    account = Account(LIMIT)
    engine = make(account)
    small = [Peer(engine, f"10.0.1.{number}") for number in range(1, 21)]
    for peer in small:
        assert peer.fill(count=5) == 5
    large = [Peer(engine, "10.0.2.1", port) for port in range(2000, 2020)]
    for peer in large:
        peer.fill()
    assert account.make_room(0.0) == []
    while account.held <= account.limit:
        large.append(Peer(engine, "10.0.2.1", 3000 + len(large)))
        large[-1].fill(count=10)
    with caplog.at_level(logging.WARNING, logger="trio_sctp"):
        assert account.make_room(0.0) == [engine]
    assert account.held <= account.limit
    for peer in (*small, *large):
        peer.take()
    assert not any(peer.aborts for peer in small)
    ended = [peer for peer in large if peer.aborts]
    assert ended
    for peer in ended:
        (abort,) = peer.aborts
        assert [cause.type for cause in abort.causes] == [
            Cause.OUT_OF_RESOURCE,
            Cause.USER_INITIATED_ABORT,
        ]
        assert b"10.0.2.1 holds most" in abort.causes[1].value
    (record,) = caplog.records
    assert record.name == "trio_sctp"
    assert "10.0.2.1 holds most" in record.getMessage()
    assert f"associations ended: {len(ended)}" in record.getMessage()
    for peer in small:
        assert peer.fill(count=5) == 5
        peer.give(wire.heartbeat_chunk(b"still there"))
    assert not any(peer.aborts for peer in small)


def test_the_largest_association_of_an_address_is_the_first_to_go() -> None:
    account = Account(LIMIT)
    engine = make(account)
    peers = [Peer(engine, "10.0.2.1", port) for port in range(2000, 2003)]
    for peer, count in zip(peers, (10, 100, 50), strict=True):
        peer.fill(count=count)
    engine.receive(2, 0.0)  # the program has heard of them
    account.limit = account.held - 10_000
    account.make_room(0.0)
    for peer in peers:
        peer.take()
    assert [len(peer.aborts) for peer in peers] == [0, 1, 0]


def test_a_peer_that_is_promised_nothing_more_takes_what_it_was_promised() -> None:
    """When an address holds half of what others leave, its windows close; others' do not."""
    account = Account(LIMIT)
    engine = make(account, receive_window=2**20)
    large, small = Peer(engine, "10.0.2.1"), Peer(engine, "10.0.1.1")
    large.fill()
    assert 0.4 * LIMIT < account.held < 0.55 * LIMIT
    assert large.rwnd < FULL
    assert large.sacks[-1].cumulative_tsn == large.tsn - 1
    assert small.fill(count=100) == 100
    assert small.rwnd > 50_000
    engine.receive(2**20, 0.0)
    large.take()
    assert large.rwnd > 2**18


def test_windows_open_again_when_programs_read() -> None:
    account = Account(LIMIT)
    engine = make(account)
    peer = Peer(engine, "10.0.1.1")
    for _ in range(5):
        assert peer.fill() > LIMIT // 4 // FULL
        assert account.held < LIMIT
        engine.receive(2**20, 0.0)
        peer.take()


def test_gaps_count_as_well() -> None:
    account = Account()
    peer = Peer(make(account), "10.0.2.1")
    before = account.held
    for number in range(200):
        peer.give(wire.data_chunk(2 * number + 3, 0, 0, 0, b"x", WHOLE | UNORDERED))
    # What came is delivered; that there are 200 runs of TSNs takes memory, too.
    delivered = 200 * (1 + wire.DATA_OVERHEAD + CHUNK_COST)
    assert account.held - before > delivered + 200 * 16


def test_the_log_gets_one_line_in_a_second_and_says_how_many_it_did_not_get(
    caplog: pytest.LogCaptureFixture,
) -> None:
    account = Account(ASSOCIATION_COST)
    with caplog.at_level(logging.WARNING, logger="trio_sctp"):
        for now in (0.0, 0.5, 0.9, 1.0, 2.5):
            account.refuse("10.0.2.1", now)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert "10.0.2.1 holds 0 of 0 bytes" in lines[0]
    assert [line.partition(" (lines")[2] for line in lines] == ["", " left out before: 2)", ""]


def test_a_new_association_is_refused_if_its_address_holds_most(
    caplog: pytest.LogCaptureFixture,
) -> None:
    account = Account(10 * (ASSOCIATION_COST + 500))
    engine = make(account)
    for port in range(2000, 2010):
        Peer(engine, "10.0.2.1", port)
    assert len(engine.associations) == 10
    with caplog.at_level(logging.WARNING, logger="trio_sctp"):
        refused = Peer(engine, "10.0.2.1", 2010)
        Peer(engine, "10.0.2.1", 2011)
    assert len(engine.associations) == 10
    (abort,) = refused.aborts
    assert [cause.type for cause in abort.causes] == [
        Cause.OUT_OF_RESOURCE,
        Cause.USER_INITIATED_ABORT,
    ]
    assert b"no memory is left for peers; 10.0.2.1 holds" in abort.causes[1].value
    (record,) = caplog.records  # one line in a second
    assert "an association is refused" in record.getMessage()
    assert "10.0.2.1" in record.getMessage()
    newcomer = Peer(engine, "10.0.1.1")
    assert not newcomer.aborts
    account.make_room(0.0)
    assert not newcomer.take()
    assert len(engine.associations) == 10
    assert account.held <= account.limit


def test_no_more_than_has_to_gives_way() -> None:
    account = Account(0)
    ended: list[int] = []

    class Holder:
        def give_way(self, id: int, reason: str, now: float) -> None:
            ended.append(id)
            account.close(shares[id])

    holder = Holder()
    shares = [account.open("10.0.2.1", holder, id) for id in range(4)]
    for share, held in zip(shares, (1000, 4000, 2000, 3000), strict=True):
        account.count(share, held)
    account.limit = account.held - 7000
    assert account.make_room(0.0) == [holder]
    assert ended == [1, 3]  # the largest first, until no more is held than may be
    assert account.make_room(0.0) == []


def test_all_engines_of_a_stack_share_an_account() -> None:
    account = Account(LIMIT)
    first, second = make(account), make(account, PORT)
    Peer(first, "10.0.1.1").fill(count=3)
    Peer(second, "10.0.2.1").fill(count=100)
    assert account.held > 100 * FULL
    account.limit = account.held - 1
    assert account.make_room(0.0) == [second]
    assert not second.associations
    assert len(first.associations) == 1


def test_addresses_of_one_ipv6_network_count_as_one() -> None:
    account = Account(LIMIT)
    engine = make(account)
    Peer(engine, "fd00::1").fill(count=10)
    Peer(engine, "fd00::2").fill(count=10)
    Peer(engine, "fd00:0:0:1::1").fill(count=15)
    account.limit = account.held - 1
    account.make_room(0.0)
    remotes = [next(iter(a.paths)) for a in engine.associations.values()]
    assert remotes == ["fd00::2", "fd00:0:0:1::1"]


def test_an_end_of_which_a_program_has_heard_nothing_leaves_nothing() -> None:
    """It was not told of the beginning; nobody has to keep 300 bytes for each until it reads."""
    account = Account(LIMIT)
    engine = make(account)
    known = Peer(engine, "10.0.2.1", 2000)
    known.fill(count=20)
    engine.receive(1, 0.0)
    unknown = Peer(engine, "10.0.2.1", 2001)
    unknown.fill(count=10)
    account.limit = 0
    account.make_room(0.0)
    assert not engine.associations
    (end,) = engine.receive(100, 0.0)
    assert isinstance(end, AssociationChange)
    assert end.state is AssociationState.COMM_LOST
    assert end.error == Cause.OUT_OF_RESOURCE
    assert account.held == 0
    assert not account._addresses


def test_what_was_given_up_is_not_read_later() -> None:
    """Others' messages keep their order."""
    account = Account(LIMIT)
    engine = make(account)
    first, second = Peer(engine, "10.0.1.1"), Peer(engine, "10.0.2.1")
    engine.receive(100, 0.0)
    for number in range(200):
        (first if number % 2 else second).fill(count=1)
    second.fill(count=10)
    account.limit = account.held - 1
    account.make_room(0.0)
    events = engine.receive(10_000, 0.0)
    messages = [event for event in events if isinstance(event, Message)]
    assert [message.tsn for message in messages] == [*range(1, 101)]
    assert [type(event) for event in events if not isinstance(event, Message)] == [
        AssociationChange
    ]
    assert not engine._arrivals.order
    assert not engine.has_events()


def test_of_an_end_that_is_given_up_the_reason_is_dropped() -> None:
    account = Account(LIMIT)
    engine = make(account)
    peer = Peer(engine, "10.0.2.1")
    engine.receive(100, 0.0)
    peer.give(wire.abort_chunk([Tlv(Cause.USER_INITIATED_ABORT, bytes(60_000))]))
    assert account.held > 60_000
    account.limit = 2000
    account.make_room(0.0)
    assert 0 < account.held <= 2000
    (end,) = engine.receive(100, 0.0)
    assert isinstance(end, AssociationChange)
    assert (end.error, end.reason) == (Cause.USER_INITIATED_ABORT, b"")


class _Holder:
    """What a `Share` is of in the test below."""

    def give_way(self, id: int, reason: str, now: float) -> None:
        share = self.shares[id]
        share.account.count(share, self.kept[id])

    def __init__(self) -> None:
        self.shares: dict[int, Share] = {}
        self.kept: dict[int, int] = {}


def _numbers(random: Random) -> Iterator[tuple[int, int]]:
    for _ in range(2000):
        yield random.randrange(100), random.randrange(2 ** random.randrange(4, 18))


def test_the_account_is_the_sum_of_its_shares() -> None:
    account = Account(2**21)
    holder = _Holder()
    shares, kept = holder.shares, holder.kept
    for id, held in _numbers(Random(1)):
        if id in shares and held % 7 == 0:
            account.close(shares.pop(id))
            continue
        if id not in shares:
            shares[id] = account.open(f"10.0.0.{id % 10}", holder, id)
            kept[id] = held % 100
        account.count(shares[id], held)
        assert account.held == sum(share.held for share in shares.values())
        if account.held > account.limit:
            by_address: dict[str, int] = {}
            for share in shares.values():
                name = share.address.name
                by_address[name] = by_address.get(name, 0) + share.held
            largest = max(by_address.values())
            gone = {id for id, share in shares.items() if share.held == kept[id]}
            account.make_room(0.0)
            assert account.held <= account.limit
            ended = [share for id, share in shares.items() if share.held == kept[id]]
            first = next(share.address.name for share in ended if share.id not in gone)
            assert largest >= by_address[first] * 0.99
    for share in shares.values():
        account.close(share)
    assert account.held == 0
    assert not account._addresses
    assert not any(account._levels)


LISTED = [wire.address_parameter(f"10.0.2.{number}") for number in range(1, 16)]
AUTHENTICATED = [Tlv(0x8002, bytes(32)), Tlv(0x8003, bytes(range(256))), Tlv(0x8004, b"\0\1" * 64)]
EXTENSIONS = [Tlv(0x8008, bytes(range(251)))]


@pytest.mark.parametrize(
    "offered",
    [[], LISTED, AUTHENTICATED, [*LISTED, *EXTENSIONS, *AUTHENTICATED]],
    ids=["nothing", "addresses", "authentication", "all"],
)
def test_what_an_association_is_counted_for_is_what_it_takes(offered: list[Tlv]) -> None:
    """Whatever the peer's INIT lists."""
    account = Account(2**30)
    engine = make(account)
    Peer(engine, "10.0.1.1", 2000, offered)
    gc.collect()
    tracemalloc.start()
    held = account.held
    before = tracemalloc.get_traced_memory()[0]
    for number in range(1, 51):
        engine.receive(100, 0.0)
        listed = [
            wire.address_parameter(f"10.{number}.2.{n}") if one in LISTED else one
            for n, one in enumerate(offered, 1)
        ]
        Peer(engine, "10.0.1.1", 2000 + number, listed)
    engine.receive(100, 0.0)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(engine.associations) == 51
    assert taken < 1.15 * (account.held - held)


def test_what_is_counted_follows_what_is_held() -> None:
    account = Account(LIMIT)
    engine = make(account)
    peer = Peer(engine, "10.0.1.1")
    for number in range(1, 30):
        assert peer.fill(count=10) == 10
        held = account.held - ASSOCIATION_COST
        assert abs(held - number * 10 * (FULL + 88)) < PRECISION + 1000
    engine.receive(10_000, 0.0)
    assert account.held < ASSOCIATION_COST + PRECISION
    peer.give(wire.error_chunk([Tlv(1, bytes(3000))]))
    assert account.held > ASSOCIATION_COST + 3000
    peer.give(wire.abort_chunk([Tlv(Cause.USER_INITIATED_ABORT, bytes(60_000))]))
    assert 62_000 < account.held < 65_000
    engine.receive(10_000, 0.0)
    assert account.held == 0
