"""Faults that were found in other stacks and mended there, each with where it was found."""

from __future__ import annotations

import functools
import struct

import pytest

from trio_sctp._engine import Route, wire
from trio_sctp._engine.association import EngineAssociation
from trio_sctp._engine.wire import FIRST, LAST, UNORDERED, WHOLE, Cause, ChunkType, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import AssociationChange, AssociationState

from ..support.counting import calls
from ..support.engines import B2, B3, FULL, PEER_PORT, PORT, A, B, Sent, cookie_of, ends, payloads
from ..support.scripted_peer import COOKIE_ACK, PEER_COOKIE, STATES, ScriptedPeer
from .simulation import Pair

FORWARD_TSN = Tlv(wire.ParameterType.FORWARD_TSN_SUPPORTED, b"")


def works(peer: ScriptedPeer) -> bool:
    """Whether the association still carries messages both ways."""
    peer.events()
    sent = peer.send(b"there")
    peer.give(peer.sack(max(peer.association.outbound.outstanding, default=0) & 0xFFFFFFFF))
    peer.give(peer.unordered(b"and back"))
    return any(packet.has(wire.Data) for packet in sent) and payloads(peer.events()) == [
        b"and back"
    ]


# -- CVE-2021-3772 (Linux): a blind attacker ends an association -------------------------------

BLIND: dict[str, tuple[bytes, ...]] = {
    "ABORT": (wire.abort_chunk(),),
    "ABORT with the T bit": (wire.abort_chunk(reflected=True),),
    "SHUTDOWN": (wire.shutdown_chunk(0),),
    "SHUTDOWN ACK": (wire.chunk(ChunkType.SHUTDOWN_ACK),),
    "SHUTDOWN COMPLETE": (wire.shutdown_complete_chunk(),),
    "SHUTDOWN COMPLETE with the T bit": (wire.shutdown_complete_chunk(reflected=True),),
    "INIT": (wire.init_chunk(wire.Init(0x99, 65536, 1, 1, 1, [])),),
    "INIT without an Initiate Tag": (wire.init_chunk(wire.Init(0, 65536, 1, 1, 1, [])),),
    "INIT without streams": (wire.init_chunk(wire.Init(0x99, 65536, 0, 0, 1, [])),),
    "INIT with a bad parameter": (wire.chunk(ChunkType.INIT, bytes(16) + b"\0\5\0\1"),),
    "INIT too short": (wire.chunk(ChunkType.INIT, b"x"),),
    "INIT ACK": (wire.init_chunk(wire.InitAck(0x99, 65536, 1, 1, 1, [PEER_COOKIE])),),
    "INIT ACK without an Initiate Tag": (wire.init_chunk(wire.InitAck(0, 65536, 1, 1, 1, [])),),
    "INIT ACK too short": (wire.chunk(ChunkType.INIT_ACK, b"x"),),
    "COOKIE ECHO": (wire.chunk(ChunkType.COOKIE_ECHO, bytes(200)),),
    "COOKIE ACK": (COOKIE_ACK,),
    "stale cookie": (wire.error_chunk([Tlv(Cause.STALE_COOKIE, bytes(4))]),),
    "SACK of what was not sent": (wire.sack_chunk(0x70000000, 0, [], []),),
    "SACK too short": (wire.chunk(ChunkType.SACK, b"x"),),
    "DATA without data": (wire.data_chunk(100, 0, 0, 0, b"", 7),),
    "DATA too short": (wire.chunk(ChunkType.DATA, b"x"),),
    "HEARTBEAT": (wire.heartbeat_chunk(b""),),
    "HEARTBEAT too short": (wire.chunk(ChunkType.HEARTBEAT, b"x"),),
    "FORWARD TSN": (wire.forward_tsn_chunk(0x70000000, []),),
    "unknown": (wire.chunk(0x3F, b"x"),),
    "DATA before ABORT": (wire.data_chunk(100, 0, 0, 0, b"x", 7), wire.abort_chunk()),
}


@pytest.mark.parametrize("tag", ["guessed", "none", "1 off"])
@pytest.mark.parametrize("kind", BLIND)
def test_whoever_does_not_know_the_tag_cannot_end_an_association(kind: str, tag: str) -> None:
    """CVE-2021-3772: he knows the addresses and ports, spoofs, and sends what he likes."""
    peer = ScriptedPeer()
    peer.accept()
    tags = {"guessed": 0x12345678, "none": 0, "1 off": peer.their_tag ^ 1}
    peer.give(*BLIND[kind], tag=tags[tag])
    peer.advance(3.0)
    assert works(peer)


@pytest.mark.parametrize("kind", BLIND)
@pytest.mark.parametrize("until", ["wait", "echoed"])
def test_nor_keep_one_from_coming_up(until: str, kind: str) -> None:
    """CVE-2021-3772, while it is being set up."""
    peer = ScriptedPeer()
    peer.set_up("wait" if until == "wait" else "echoed")
    for tag in (0, 0x12345678, peer.their_tag ^ 1):
        peer.give(*BLIND[kind], tag=tag)
    if until == "wait":
        peer.give(peer.init_ack())
    peer.give(COOKIE_ACK)
    assert peer.state() is StatusState.ESTABLISHED
    assert works(peer)


# -- lengths that do not fit (CVE-2021-3655 in Linux, CVE-2019-20503 in usrsctp, sipsorcery 1758) --


@pytest.mark.parametrize("length", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", [*ChunkType, 0x3F, 0xC5])
def test_a_chunk_shorter_than_its_header_ends_the_packet(kind: int, length: int) -> None:
    """A parser that goes on by the length that the chunk says never comes to an end."""
    bad = struct.pack("!BBH", kind, 0, length) + bytes(12)
    for state in STATES:
        peer = ScriptedPeer()
        association = peer.bring_to(state)
        cost = calls(functools.partial(peer.give, bad))
        assert cost < 500
        assert association.state is state
    peer = ScriptedPeer()
    peer.accept()
    peer.give(peer.unordered(b"before it"), bad, peer.unordered(b"behind it"))
    assert payloads(peer.events()) == [b"before it"]
    peer.tsn -= 1
    assert works(peer)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 5, 0xFFFF])
@pytest.mark.parametrize("kind", [5, 6, 7, 9, 11, 12, 0xC000, 0x8008, 0x4321])
@pytest.mark.parametrize("behind", [False, True])
def test_an_init_with_a_parameter_whose_length_is_wrong_sets_nothing_up(
    behind: bool, kind: int, length: int
) -> None:
    """CVE-2019-20503: lengths of parameters were taken at their word."""
    fixed = struct.pack("!IIHHI", 0x99, 65536, 1, 1, 1)
    listed = wire.tlv(*wire.address_parameter(B2)) if behind else b""
    bad = struct.pack("!HH", kind, length)
    peer = ScriptedPeer()
    answers = peer.give(wire.chunk(ChunkType.INIT, fixed + listed + bad), tag=0)
    assert [answer.kinds for answer in answers] in ([], [[wire.Abort]])
    # Of an INIT ACK, a cookie that stands before it is not taken either.
    cookie = wire.tlv(*PEER_COOKIE) if behind else b""
    peer.connect()
    answers = peer.give(wire.chunk(ChunkType.INIT_ACK, fixed + cookie + bad))
    assert not any(answer.has(wire.CookieEcho) for answer in answers)
    assert all(not association.their_tag for association in peer.engine.associations.values())


@pytest.mark.parametrize("size", [0, 1, 3, 5, 15, 17, 100])
@pytest.mark.parametrize("kind", [5, 6])
def test_an_address_of_the_wrong_size_is_none(kind: int, size: int) -> None:
    """CVE-2019-20503: what stands behind the parameter was read as part of the address."""
    peer = ScriptedPeer()
    ack = peer.begin(parameters=[Tlv(kind, bytes([10]) * size), wire.address_parameter(B2)])
    peer.give(wire.chunk(ChunkType.COOKIE_ECHO, cookie_of(ack)), tag=ack.tag)
    assert list(peer.association.paths) == [B, B2]


@pytest.mark.parametrize("length", [0, 1, 3, 8, 0xFFFF])
def test_a_cause_whose_length_is_wrong_is_no_cause(length: int) -> None:
    """The same, in an ERROR and in an ABORT."""
    cause = struct.pack("!HH", Cause.STALE_COOKIE, length)
    peer = ScriptedPeer()
    peer.accept()
    assert peer.give(wire.chunk(ChunkType.ERROR, cause)) == []
    assert peer.events() == []
    assert works(peer)
    peer.give(wire.chunk(ChunkType.ABORT, cause))
    assert [event.state for event in ends(peer.events())] == [AssociationState.COMM_LOST]


def test_a_cookie_longer_than_its_chunk_is_none() -> None:
    """red5-server 472: memory for the length that was told, before anybody looks what is there."""
    peer = ScriptedPeer()
    peer.connect()
    fixed = struct.pack("!IIHHI", 0x99, 65536, 1, 1, 1)
    answers = peer.give(wire.chunk(ChunkType.INIT_ACK, fixed + struct.pack("!HH", 7, 0xFFF0)))
    assert not any(answer.has(wire.CookieEcho) for answer in answers)


# -- SACK --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gaps", "duplicates"), [(1, 0), (0, 1), (65535, 0), (0, 65535), (9, 9)])
def test_a_sack_that_counts_beyond_its_chunk_is_not_read(gaps: int, duplicates: int) -> None:
    """dcSCTP, pion: nothing is acknowledged by what stands behind the chunk, or nowhere."""
    peer = ScriptedPeer()
    association = peer.accept()
    for _ in range(3):
        peer.send(b"x")
    value = struct.pack("!IIHH", peer.acked, 65536, gaps, duplicates)
    before = association.outbound.cumulative
    peer.give(wire.chunk(ChunkType.SACK, value), peer.sack_first(3))
    assert association.outbound.cumulative == before
    assert not any(chunk.acked for chunk in association.outbound.outstanding.values())


def test_a_sack_from_before_changes_nothing() -> None:
    """pion/webrtc 194: packets overtake each other, which is no error."""
    peer = ScriptedPeer()
    association = peer.accept()
    for _ in range(4):
        peer.send(b"x")
    early = peer.sack_first(1, rwnd=0)
    peer.give(peer.sack_first(3))
    before = association.outbound.cumulative, association.outbound.rwnd
    assert peer.give(early) == []
    assert (association.outbound.cumulative, association.outbound.rwnd) == before
    assert works(peer)


@pytest.mark.parametrize("gaps", [[(2, 2)], [(5, 6)], [(3, 2)], [(0, 0)], [(1, 65535)]])
def test_a_gap_block_of_what_was_not_sent_leaves_no_half_of_a_sack(
    gaps: list[tuple[int, int]],
) -> None:
    """pion/sctp 480: the cumulative TSN was worked off, the rest not, and the end never came."""
    peer = ScriptedPeer()
    association = peer.accept()
    for _ in range(3):
        peer.send(b"x")
    peer.give(peer.sack_first(2, gaps=gaps))
    if association.ended:
        return
    assert association.outbound.cumulative & 0xFFFFFFFF == peer.acked
    peer.give(peer.sack_first(3))
    assert association.outbound.empty
    peer.engine.shutdown(association.id, peer.now)
    (shutdown,) = peer.take()
    assert shutdown.has(wire.Shutdown)


# -- HEARTBEAT ACK without our nonce -----------------------------------------------------------


@pytest.mark.parametrize("what", ["empty", "address alone", "zeros", "one bit", "cut", "long"])
def test_a_heartbeat_ack_without_our_nonce_confirms_nothing(what: str) -> None:
    """RFC 9260 5.4 rule 4; usrsctp and dcSCTP read what came as their own structure."""
    peer = ScriptedPeer()
    association = peer.accept(wire.address_parameter(B2))
    probes = [
        chunk
        for sent in [*peer.sent, *peer.advance(0.5)]
        if sent.route.remote == B2
        for chunk in sent.chunks(wire.Heartbeat)
    ]
    (probe,) = probes
    info = {
        "empty": b"",
        "address alone": B2.encode(),
        "zeros": bytes(16) + B2.encode(),
        "one bit": probe.info[:8] + bytes([probe.info[8] ^ 1]) + probe.info[9:],
        "cut": probe.info[:-1],
        "long": probe.info + b"0",
    }[what]
    for source in (B, B2):
        peer.give(wire.heartbeat_chunk(info, ack=True), route=Route(A, source))
    assert not association.paths[B2].confirmed
    assert association.paths[B].srtt == association.paths[B].srtt
    peer.give(wire.heartbeat_chunk(probe.info, ack=True), route=Route(A, B2))
    assert association.paths[B2].confirmed


def test_a_heartbeat_ack_is_good_once() -> None:
    """Whoever keeps it cannot make a path that is gone look alive with it."""
    peer = ScriptedPeer(path_max_retrans=1, association_max_retrans=100, rto_max=2.0)
    association = peer.accept(wire.address_parameter(B2))
    (probe,) = [
        chunk
        for sent in [*peer.sent, *peer.advance(0.5)]
        if sent.route.remote == B2
        for chunk in sent.chunks(wire.Heartbeat)
    ]
    ack = wire.heartbeat_chunk(probe.info, ack=True)
    peer.give(ack, route=Route(A, B2))
    for _ in range(100):
        peer.advance(1.0)
        peer.give(ack, peer.unordered(b"alive"), route=Route(A, B))
    assert association.paths[B2].unreachable


# -- windows -----------------------------------------------------------------------------------


def test_the_tail_of_a_burst_that_a_shut_window_cuts_off_arrives() -> None:
    """pion/sctp 138, dcSCTP: a_rwnd 0 came with the SACK of a part, and nothing ever woke the rest.

    The SACK that opens the window again is lost, so it is our probe that finds out.
    """
    peer = ScriptedPeer()
    association = peer.accept()
    for _ in range(8):
        peer.send(bytes(FULL))
    flown = association.outbound.next_tsn - (association.outbound.cumulative + 1)
    assert 0 < flown < 8
    peer.give(peer.sack_first(flown, rwnd=0))
    sent = peer.advance(2.0)
    (probe,) = [packet for packet in sent if packet.has(wire.Data)]
    peer.give(peer.sack_first(flown, rwnd=0))
    peer.advance(30.0)
    peer.give(peer.sack_first(flown + 1, rwnd=100_000))
    for _ in range(5):
        if association.outbound.outstanding:
            peer.give(peer.sack(max(association.outbound.outstanding) & 0xFFFFFFFF))
    assert probe.get(wire.Data).tsn == (peer.their_tsn + flown) & 0xFFFFFFFF
    assert association.outbound.empty
    assert not association.ended


def test_a_burst_whose_tail_is_lost_and_then_the_window_shut_arrives() -> None:
    """The same, the other way: what was lost has to be retransmitted into a shut window."""
    pair = Pair(there={"receive_window": 20_000})
    pair.reading.discard(pair.b)
    messages = [bytes([n]) * 1000 for n in range(40)]
    dropped: list[int] = []

    def drop(sent: Sent) -> bool:
        data = sent.chunks(wire.Data)
        if data and len(dropped) < 2 and data[-1].payload[0] > 10:
            dropped.append(data[-1].tsn)
            return True
        return False

    pair.drop = drop
    for message in messages:
        pair.send(message)
    pair.run(120.0)
    pair.reading.add(pair.b)
    pair.run(130.0)
    assert payloads(pair.events[pair.b]) == messages


# -- collisions --------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [state for state in STATES if state != StatusState.COOKIE_WAIT])
def test_an_init_ack_that_is_late_after_a_collision_changes_nothing(state: StatusState) -> None:
    """pion/webrtc 1270: both sides sent an INIT, one is up, and the other's INIT ACK comes."""
    peer = ScriptedPeer()
    association = peer.bring_to(state)
    before = (
        association.state,
        association.their_tag,
        association.inbound,
        association.initiation.cookie,
    )
    for tag in (peer.tag, 0x99):
        late = peer.init_ack([Tlv(wire.ParameterType.STATE_COOKIE, b"another")], tag=tag)
        assert peer.give(late) == []
    assert before == (
        association.state,
        association.their_tag,
        association.inbound,
        association.initiation.cookie,
    )


@pytest.mark.parametrize("order", ["cookie echo first", "init ack first"])
def test_a_collision_whose_packets_cross_leaves_one_association(order: str) -> None:
    """The INIT ACK of the attempt that was overtaken comes after the COOKIE ECHO of the other."""
    peer = ScriptedPeer()
    peer.connect()
    ack = peer.begin()  # the peer's INIT crosses ours
    echo = wire.chunk(ChunkType.COOKIE_ECHO, cookie_of(ack))
    chunks = [echo, peer.init_ack()]
    if order == "init ack first":
        chunks.reverse()
    answers = [sent for chunk in chunks for sent in peer.give(chunk)]
    assert peer.state() is StatusState.ESTABLISHED
    assert any(answer.has(wire.CookieAck) for answer in answers)
    peer.give(COOKIE_ACK)
    ups = [event for event in peer.events() if isinstance(event, AssociationChange)]
    assert [event.state for event in ups] == [AssociationState.COMM_UP]
    assert works(peer)


# -- FORWARD TSN -------------------------------------------------------------------------------


def _forwarding() -> tuple[ScriptedPeer, EngineAssociation]:
    peer = ScriptedPeer()
    return peer, peer.accept(FORWARD_TSN)


def test_a_forward_tsn_for_streams_that_there_are_not_is_harmless() -> None:
    """CVE-2009-0065 (Linux): the stream number was an index, unchecked."""
    peer, _ = _forwarding()
    peer.give(wire.forward_tsn_chunk(peer.tsn, [(stream, 9) for stream in (10, 4096, 65535)]))
    peer.tsn += 1
    assert works(peer)


@pytest.mark.parametrize("flags", [0, UNORDERED])
@pytest.mark.parametrize("come", ["first", "middle", "last", "first and middle", "first and last"])
def test_a_forward_tsn_over_a_part_of_a_message_leaves_nothing_of_it(come: str, flags: int) -> None:
    """pion/sctp 104 and usrsctp 547: what is left of it breaks the next one, or is used again."""
    peer, association = _forwarding()
    first = peer.tsn
    parts = {"first": FIRST | flags, "middle": flags, "last": LAST | flags}
    for offset, (name, part) in enumerate(parts.items()):
        if name in come:
            peer.give(peer.data(b"part", flags=part, tsn=first + offset, ssn=0))
    streams = [] if flags else [(0, 0)]
    peer.give(wire.forward_tsn_chunk(first + 2, streams))
    peer.tsn = first + 3
    peer.give(peer.data(b"whole", flags=WHOLE | flags, tsn=first + 3, ssn=1))
    peer.tsn += 1
    assert payloads(peer.events()) == [b"whole"]
    assert association.inbound is not None
    assert association.inbound.held == 0
    assert works(peer)


def test_a_forward_tsn_that_goes_back_or_comes_again_is_harmless() -> None:
    peer, association = _forwarding()
    peer.give(peer.unordered(b"x"))
    assert association.inbound is not None
    for tsn in (peer.tsn - 2, peer.tsn - 50, peer.tsn - 1):
        peer.give(wire.forward_tsn_chunk(tsn & 0xFFFFFFFF, [(0, 5)]))
    assert association.inbound.cumulative & 0xFFFFFFFF == peer.tsn - 1
    assert works(peer)


# -- user data ---------------------------------------------------------------------------------


def test_many_small_messages_that_nobody_reads_do_not_lock_the_association_up() -> None:
    """CVE-2006-2275 (Linux): a window full of small messages, and no way out when it was read."""
    pair = Pair(there={"receive_window": 30_000})
    pair.reading.discard(pair.b)
    messages = [b"%d" % n for n in range(2000)]
    for message in messages:
        pair.send(message)
    pair.run(200.0)
    assert pair.up
    pair.reading.add(pair.b)
    pair.run(200.0)
    assert payloads(pair.events[pair.b]) == messages


def test_fragments_that_never_end_do_not_lock_the_association_up() -> None:
    """CVE-2006-2274 (Linux): first fragments, one after the other."""
    peer = ScriptedPeer(receive_window=20_000)
    association = peer.accept()
    for number in range(200):
        if not peer.engine.associations:
            break
        peer.give(peer.data(bytes(1000), flags=FIRST, tsn=100 + number, ssn=number))
    assert association.ended or association.inbound is not None
    if association.inbound is not None:
        assert association.inbound.held <= 2 * 20_000


@pytest.mark.parametrize("state", STATES[:2])
def test_user_data_before_the_peer_is_known_is_not_taken(state: StatusState) -> None:
    """dcSCTP: a DATA chunk in COOKIE-WAIT, where no TSN of the peer's is known."""
    peer = ScriptedPeer()
    association = peer.bring_to(state)
    assert peer.give(peer.unordered(b"early")) == []
    assert association.state is state
    assert payloads(peer.events()) == []


# -- extensions that are not agreed on ---------------------------------------------------------


@pytest.mark.parametrize(
    "chunk",
    [
        wire.chunk(0x0F, struct.pack("!HH", 0, 1) + bytes(300)),
        wire.chunk(0x0F),
        wire.chunk(0xC1, struct.pack("!I", 1) + wire.tlv(*wire.address_parameter("0.0.0.0"))),
        wire.chunk(0xC1, b""),
        wire.chunk(0x80, struct.pack("!I", 1)),
        wire.chunk(0x82, struct.pack("!HH", 13, 4)),
    ],
)
def test_chunks_of_extensions_that_are_not_agreed_on_do_nothing(chunk: bytes) -> None:
    """CVE-2020-6831 (AUTH), usrsctp 380 and 386, CVE-2014-3673 and 3687 (ASCONF)."""
    peer = ScriptedPeer()
    association = peer.accept()
    for _ in range(3):
        answers = peer.give(chunk)
        assert all(set(answer.kinds) == {wire.Error} for answer in answers)
    assert list(association.paths) == [B]
    assert works(peer)


# -- who answers whom --------------------------------------------------------------------------


def test_two_endpoints_do_not_answer_each_other_for_ever() -> None:
    """RFC 9260 8.4: one packet with a spoofed source, between two that do not know each other."""
    for chunk in [
        wire.data_chunk(1, 0, 0, 0, b"x", 7),
        wire.heartbeat_chunk(b"x"),
        wire.chunk(ChunkType.SHUTDOWN_ACK),
        wire.shutdown_chunk(1),
        wire.chunk(0xC5, b"x"),
        wire.error_chunk([Tlv(Cause.STALE_COOKIE, bytes(4))]),
        wire.abort_chunk(),
        COOKIE_ACK,
        wire.init_chunk(wire.InitAck(7, 65536, 1, 1, 1, [PEER_COOKIE])),
    ]:
        pair = Pair(connect=False)
        pair.a.receive_packet(wire.seal(PEER_PORT, PORT, 7, [chunk]), Route(A, B), 0.0)
        pair.run(100.0)
        assert len(pair.sent) <= 1


def test_an_endpoint_that_is_its_own_peer_by_a_spoofed_init_sets_nothing_up() -> None:
    """The land attack: source and destination are the same."""
    peer = ScriptedPeer()
    init = wire.init_chunk(wire.Init(7, 65536, 1, 1, 1, []))
    route = Route(A, A)
    for _ in range(10):
        peer.give_raw(wire.seal(PORT, PORT, 0, [init]), route)
        for sent in list(peer.sent):
            raw = wire.seal(
                PORT,
                PORT,
                sent.tag,
                [wire.init_chunk(chunk) for chunk in sent.chunks(wire.InitAck)],
            )
            peer.give_raw(raw, route)
        peer.sent.clear()
    assert not peer.engine.associations


def test_a_listed_address_that_is_another_peers_is_left_to_it() -> None:
    """A peer that lists everybody's address takes none of them."""
    peer = ScriptedPeer()
    association = peer.accept()
    ack = peer.begin(Route(A, B3), tag=0x99, parameters=[wire.address_parameter(B)])
    echo = wire.chunk(ChunkType.COOKIE_ECHO, cookie_of(ack))
    for sent in peer.give(echo, tag=ack.tag, route=Route(A, B3)) + peer.advance(0.9):
        if sent.route.remote == B:
            for chunk in sent.chunks(wire.Heartbeat):
                peer.give(wire.heartbeat_chunk(chunk.info, ack=True))
    peer.advance(20.0)
    assert peer.engine.associations[association.id] is association
    assert association.paths[B].confirmed
