"""What an engine has to bear from each adversary, and what it may cost."""

from __future__ import annotations

import functools
from itertools import pairwise

import pytest

from trio_sctp._engine import Route, wire
from trio_sctp._engine.association import EngineAssociation
from trio_sctp._engine.wire import ChunkType
from trio_sctp._options import StatusState

from ..support.counting import calls
from ..support.engines import A2, B2, B3, MTU, PEER_PORT, PORT, A, B, ends, info, payloads
from ..support.scripted_peer import STATES, ScriptedPeer
from .adversaries import (
    FLOODS,
    FORWARD_TSN,
    INTERLEAVING,
    RECONFIG,
    Camper,
    Crowd,
    Flood,
    NarrowPath,
    PausingReader,
    Reboot,
    Restarter,
    Spoofer,
    StreamUser,
    Turnover,
    listing,
    measured,
)
from .simulation import Pair, Simulation
from .test_packet_costs import PEER, PEER_PER_KIB

FOR_AN_ASSOCIATION, FOR_STREAMS = 16 * 1024, 128 * 1024
"""Bytes that an association may take beside what its peer has sent, and for stream numbers."""

HELD_FOR_SENT = 8
"""Bytes that may be held for each byte that a peer has sent."""

HELD_FOR_PARTS = 32
"""The same for parts of interleaved messages, each of another one.  The window counts what they
take: see `interleaved.MESSAGE_COST`."""

CAMPER, VICTIM, SERVER = "10.0.0.66", "10.0.0.7", "10.0.0.1"


def peer_up(kind: str = "") -> tuple[ScriptedPeer, EngineAssociation]:
    """A peer whose association is up, with all streams, and that is granted what it asks for.

    It interleaves messages if it is for a flood that does.
    """
    interleaving = kind.startswith("I-")
    peer = ScriptedPeer(grants=7, interleaving=interleaving)
    extensions = INTERLEAVING if interleaving else RECONFIG
    peer.learn(peer.begin(parameters=[FORWARD_TSN, extensions], outbound_streams=65_535))
    peer.give(peer.cookie_echo())
    peer.events()
    return peer, peer.association


# -- camper ------------------------------------------------------------------------------------


def _confirmed(association: EngineAssociation) -> list[str]:
    return [address for address, path in association.paths.items() if path.confirmed]


@pytest.mark.parametrize("encapsulated", [False, True])
@pytest.mark.parametrize("camps_first", [True, False])
def test_the_camper_loses_its_association_and_the_victim_has_one(
    encapsulated: bool, camps_first: bool
) -> None:
    """Over UDP the two have different ports, as two hosts have."""
    simulation = Simulation()
    simulation.encapsulated = encapsulated
    server = simulation.host(SERVER)
    udp = {CAMPER: 5000, VICTIM: 6000}

    def translate(route: Route) -> Route:
        port = udp.get(route.remote)
        return route if not encapsulated or port is None else route._replace(remote_udp=port)

    simulation.translate = translate
    if camps_first:
        camping = Camper(CAMPER, VICTIM).run(simulation, SERVER, PEER_PORT, PORT)
    victim = simulation.host(VICTIM, port=PEER_PORT)
    victim.connect([Route(VICTIM, SERVER)], PORT, simulation.now)
    simulation.run(1.0)
    if not camps_first:
        camping = Camper(CAMPER, VICTIM).run(simulation, SERVER, PEER_PORT, PORT)
    (mine,) = [one for one in server.associations.values() if VICTIM in _confirmed(one)]
    started = simulation.now
    for number in range(20):
        server.send(mine.id, b"%d" % number, info(), simulation.now)
    simulation.run(30.0)
    assert payloads(simulation.events[victim]) == [b"%d" % n for n in range(20)]
    assert payloads(simulation.events[camping]) == []
    to_camper = [s for s in simulation.sent if s.time >= started and s.route.remote == CAMPER]
    assert not any(sent.has(wire.Data) for sent in to_camper)
    if camps_first:
        assert not camping.associations
        assert len(ends(simulation.events[camping])) == 1
        assert list(server.associations.values()) == [mine]


# -- spoofer -----------------------------------------------------------------------------------


BEHIND = {
    "HEARTBEAT": wire.heartbeat_chunk(b""),
    "unknown": wire.chunk(0xC5),
    "unknown with data": wire.chunk(0xC5, bytes(100)),
    "DATA": wire.data_chunk(100, 0, 0, 0, b"x", 7),
    "DATA for no stream": wire.data_chunk(100, 60_000, 0, 0, b"x", 7),
    "SHUTDOWN": wire.shutdown_chunk(0),
    "SHUTDOWN ACK": wire.chunk(ChunkType.SHUTDOWN_ACK),
    "COOKIE ECHO": wire.chunk(ChunkType.COOKIE_ECHO, b"no cookie"),
}


@pytest.mark.parametrize("size", [1200, 1464, 60_000])
@pytest.mark.parametrize("listed", [[], [B2]])
@pytest.mark.parametrize("kind", BEHIND)
def test_what_stands_behind_a_spoofed_cookie_echo_is_answered_by_one_packet(
    kind: str, listed: list[str], size: int
) -> None:
    peer = ScriptedPeer()
    spoofer = Spoofer(B2, BEHIND[kind], size=size)
    sent, answers = spoofer.run(peer, *listed)
    assert len(answers) <= spoofer.times
    assert all(answer.size <= MTU for answer in answers)
    assert sum(answer.size for answer in answers) <= sent
    kinds = {kind for answer in answers for kind in answer.kinds}
    assert kinds <= {wire.CookieAck, wire.Heartbeat, wire.HeartbeatAck, wire.Abort}


# -- reboots -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reboot",
    [
        Reboot((A,), (A,)),
        Reboot((A, A2), (A, A2)),
        Reboot((A, A2), (A,)),
        Reboot((A, A2), (A2, A)),
        Reboot((A, A2), (A2,)),
        Reboot((A,), (A2, A)),
    ],
    ids=str,
)
def test_a_reboot_leaves_one_association_at_both_ends_within_3_rtos(reboot: Reboot) -> None:
    """Whichever address it speaks from first: confirmed, merely listed, or new.

    From a confirmed one it may list no new ones (RFC 9260 5.2.2), so that is not among these.
    """
    simulation = Simulation()
    server, (_, client) = reboot.run(simulation, B)
    assert [one.state for one in client.associations.values()] == [StatusState.ESTABLISHED]
    assert [one.state for one in server.associations.values()] == [StatusState.ESTABLISHED]
    (mine,), (theirs,) = client.associations.values(), server.associations.values()
    assert (mine.our_tag, mine.their_tag) == (theirs.their_tag, theirs.our_tag)
    assert set(theirs.paths) <= set(reboot.after)
    simulation.run(5.0)
    assert set(theirs.paths) == set(reboot.after)
    assert theirs.primary is not None
    assert theirs.primary.address == reboot.after[0]
    server.send(theirs.id, b"and on it goes", info(), simulation.now)
    simulation.run(1.0)
    assert payloads(simulation.events[client]) == [b"and on it goes"]


@pytest.mark.parametrize(("first", "count"), [(B2, 200), (B3, 200)])
def test_a_peer_that_reboots_all_the_time_leaves_nothing_behind(first: str, count: int) -> None:
    peer = ScriptedPeer()
    for number in range(count):
        route = Route(A, first if number % 2 else B)
        others = listing(B if number % 2 else first)
        ack = peer.begin(route, tag=number + 1, parameters=others)
        peer.give(
            wire.chunk(ChunkType.COOKIE_ECHO, ack.parameters[0].value), tag=ack.tag, route=route
        )
        peer.advance(4.0)
        peer.events()
    assert len(peer.engine.associations) == 1
    book = peer.engine._address_book
    assert len(book.owners) + len(book.listers) == 2


# -- restarts into a shutdown ------------------------------------------------------------------


@pytest.mark.parametrize("again", [1, 20])
@pytest.mark.parametrize("state", STATES[3:])
def test_no_restart_brings_back_what_a_program_has_let_go(state: StatusState, again: int) -> None:
    """Whatever state of the shutdown it comes in, all is over when five RTO.Max are."""
    peer = ScriptedPeer()
    old = Restarter(state, again=again).run(peer)
    assert old.ended or old.state in STATES[3:]
    for id in list(peer.engine.associations):
        if id != old.id:  # the restarted peer may have got one of its own
            peer.engine.abort(id, b"", peer.now)
    before = len(peer.sent)
    peer.advance(5 * 60.0 + again)
    assert not peer.engine.associations
    assert peer.engine.next_deadline() is None
    assert len(peer.sent) - before < 100


# -- floods ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FLOODS)
def test_what_a_flood_leaves_is_a_multiple_of_what_it_sent(kind: str) -> None:
    """Nobody reads, and it is held against sent, at one size and at four times the size."""
    for count in (1000, 4000):
        flood = Flood(kind, count)
        flood.run(peer_up(kind)[0])  # it fills caches
        peer, _ = peer_up(kind)
        packets = flood.packets(peer)
        with measured() as memory:
            sent = flood.run(peer, packets)
        times = HELD_FOR_PARTS if kind.startswith("I-DATA") else HELD_FOR_SENT
        assert memory.grown < times * sent + FOR_AN_ASSOCIATION + FOR_STREAMS, count


@pytest.mark.parametrize("kind", FLOODS)
def test_what_a_flood_leaves_is_given_back_when_the_association_ends(kind: str) -> None:
    flood = Flood(kind, 2000)
    flood.run(peer_up(kind)[0])
    peer = peer_up(kind)[0]
    packets = flood.packets(peer)
    with measured() as memory:
        flood.run(peer, packets)
        for id in list(peer.engine.associations):
            peer.engine.abort(id, b"", peer.now)
        peer.engine.receive(2**30, peer.now)
        peer.engine.packets_to_send()
    assert memory.grown < FOR_AN_ASSOCIATION


@pytest.mark.parametrize("kind", FLOODS)
def test_no_packet_of_a_flood_costs_more_than_a_packet_may(kind: str) -> None:
    """0.5 ms, and 0.5 ms for each KiB, however many have come before it."""
    for count in (200, 8000):
        peer, association = peer_up(kind)
        flood = Flood(kind, count, read=True)
        *before, last = flood.packets(peer)
        flood.run(peer, before)
        if association.ended:
            return
        cost = calls(functools.partial(peer.engine.receive_packet, last, peer.route, peer.now))
        assert cost < PEER + PEER_PER_KIB * len(last) / 1024


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_is_answered_by_no_more_than_it_sends(kind: str) -> None:
    peer, association = peer_up(kind)
    sent = 0
    for _ in range(50):
        before = len(peer.engine.packets_to_send())
        assert not before
        sent += _one_packet(peer, kind)
        if association.ended:
            break
    answered = sum(packet.size for packet in peer.sent[2:])
    assert answered <= 2 * sent
    assert all(packet.size <= 1280 for packet in peer.sent[2:])


def _one_packet(peer: ScriptedPeer, kind: str) -> int:
    """Give one packet of a flood, with what it is answered by in `ScriptedPeer.sent`."""
    chunks = [FLOODS[kind](peer, 0)]
    peer.give(*chunks)
    peer.tsn += 1
    return len(peer.packet(*chunks))


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_of_a_stranger_leaves_nothing(kind: str) -> None:
    """It does not know the tag, and spoofs the peer's address."""
    peer, association = peer_up(kind)
    tag, peer.their_tag = peer.their_tag, 0x0BADBAD0
    flood = Flood(kind, 1000)
    packets = flood.packets(peer)
    flood.run(peer, packets)
    with measured() as memory:
        flood.run(peer, packets)
    assert memory.grown < 4096
    peer.their_tag = tag
    assert peer.association is association
    if association.outbound.interleaving:
        peer.give(wire.i_data_chunk(peer.tsn, 0, 0, 0, b"still there", wire.WHOLE))
    else:
        peer.give(peer.unordered(b"still there"))
    assert payloads(peer.events()) == [b"still there"]


@pytest.mark.parametrize(
    "turnover",
    [
        Turnover("abort", 200),
        Turnover("abort", 100, reason=1000),
        Turnover("abort", 30, reason=60_000),
        Turnover("restart", 500),
        Turnover("leave", 200),
    ],
    ids=str,
)
def test_what_associations_leave_that_come_and_go(turnover: Turnover) -> None:
    """An association may take its fixed share while it lives; what has ended, its events only."""
    Turnover(turnover.end, 3).run(ScriptedPeer())
    peer = ScriptedPeer()
    with measured() as memory:
        sent = turnover.run(peer)
    living = len(peer.engine.associations)
    # The two events of one that has ended take a whole block of a queue, and a handshake is short.
    assert memory.grown < (HELD_FOR_SENT + 1) * sent + (living + 1) * FOR_AN_ASSOCIATION
    with measured() as memory:
        peer.events()
    assert memory.grown <= 4096


def test_restarts_that_nobody_reads_are_told_of_once() -> None:
    peer = ScriptedPeer()
    Turnover("restart", 300).run(peer)
    assert peer.engine.unread() < 10


# -- streams -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "user",
    [StreamUser("skipped"), StreamUser("delivered", 8000), StreamUser("waiting", 8000)],
    ids=str,
)
def test_many_streams_take_what_their_numbers_take(user: StreamUser) -> None:
    StreamUser(user.how, 200).run(peer_up()[0])
    peer, _ = peer_up()
    with measured() as memory:
        sent = user.run(peer)
    allowed = FOR_AN_ASSOCIATION + FOR_STREAMS
    if user.how != "skipped":
        allowed += HELD_FOR_SENT * sent
    assert memory.grown < allowed


# -- readers that pause ------------------------------------------------------------------------


@pytest.mark.parametrize("pause", [1.0, 40.0, 180.0])
@pytest.mark.parametrize("size", [6, 100, 1200])
def test_after_a_pause_of_minutes_all_goes_on_at_once(pause: float, size: int) -> None:
    """On a lossless link nothing is sent twice but window probes, and none of it is congestion."""
    pair = Pair(there={"receive_window": 200_000}, here={"send_buffer": 400_000})
    cwnd = pair.path().cwnd
    reader = PausingReader(pause, size, count=400_000 // max(size, 20))
    started = pair.now
    waited = reader.run(pair)
    assert waited <= 2 * 0.02 + 0.2 + 1e-6
    pair.run(60.0)
    assert pair.association.outbound.empty
    got = payloads(pair.events[pair.b])
    assert len(got) == len(set(got))
    assert pair.path().cwnd >= cwnd
    assert pair.association.error_count == 0
    sends: dict[int, list[float]] = {}
    for sent in pair.data(A, since=started):
        for chunk in sent.chunks(wire.Data):
            sends.setdefault(chunk.tsn, []).append(sent.time)
    twice = {tsn: times for tsn, times in sends.items() if len(times) > 1}
    assert len(twice) <= 1, "only the probe of a shut window may leave more than once"
    for times in twice.values():
        gaps = [later - earlier for earlier, later in pairwise(times[:-1])]
        assert all(b >= a for a, b in pairwise(gaps)), "probes are backed off"


# -- narrow paths ------------------------------------------------------------------------------


@pytest.mark.parametrize("mtu", [576, 800, 1000, 1200, 1279, 1280])
def test_an_ipv4_path_below_1280_bytes_works(mtu: int) -> None:
    pair = NarrowPath(mtu).run()
    pair.run(120.0)
    assert len(payloads(pair.events[pair.b])) == 30
    pair.a.shutdown(pair.id, pair.now)
    pair.finish()


# -- blocked senders ---------------------------------------------------------------------------


def test_a_round_trip_beside_blocked_senders_costs_what_it_costs_beside_a_tenth() -> None:
    costs = []
    for count in (40, 400):
        peer = ScriptedPeer(send_buffer=20_000)
        Crowd(count).run(peer)
        peer.learn(peer.begin(Route(A, B3)))
        peer.give(peer.cookie_echo(), route=Route(A, B3))
        peer.events()
        peer.engine.take_room()
        quick = max(peer.engine.associations)
        peer.acked = (peer.their_tsn - 1) & 0xFFFFFFFF

        def round_trip(peer: ScriptedPeer = peer, quick: int = quick) -> None:
            peer.engine.send(quick, b"request", info(), peer.now)
            peer.acked = (peer.acked + 1) & 0xFFFFFFFF
            peer.give(peer.sack(), peer.unordered(b"answer"), route=Route(A, B3))
            assert payloads(peer.events()) == [b"answer"]
            peer.engine.take_room()

        round_trip()
        costs.append(calls(round_trip))
    assert costs[1] <= 1.1 * costs[0]


def test_reading_one_of_many_associations_that_wait_costs_the_same() -> None:
    costs = []
    for count in (500, 5000):
        peer = ScriptedPeer()
        Turnover("leave", count).run(peer)
        ids = list(peer.engine.associations)
        assert len(ids) == count

        def take(peer: ScriptedPeer = peer, id: int = ids[0]) -> None:
            peer.engine.peel_off(id)
            assert peer.engine.receive(10, peer.now, id)

        costs.append(calls(take))
    assert costs[1] <= 1.1 * costs[0]
