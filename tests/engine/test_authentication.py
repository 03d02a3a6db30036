"""Authenticated chunks (RFC 4895), against a peer that computes its keys and HMACs by itself."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from trio_sctp._engine import wire
from trio_sctp._engine.extensions import Extension
from trio_sctp._engine.keys import EMPTY_KEY
from trio_sctp._engine.wire import Cause, ChunkType, ParameterType, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import (
    AssociationState,
    AuthenticationChange,
    AuthenticationState,
    ReconfigurationKind,
    ReconfigurationRequest,
    ReconfigurationResult,
    RemoteError,
)

from ..support.authentication import SHA_1, SHA_256, association_key, auth_chunk, is_right
from ..support.counting import calls
from ..support.engines import B2, FULL, MTU, A, B, Sent, ends, info, payloads
from ..support.scripted_peer import COOKIE_ACK, PEER_COOKIE, ScriptedPeer
from .simulation import Pair

DATA, SACK, HEARTBEAT, ABORT, COOKIE_ECHO = 0, 3, 4, 6, 10
RANDOM = bytes(range(32))
ASKED = {ParameterType.RANDOM, ParameterType.CHUNK_LIST, ParameterType.HMAC_ALGORITHMS}


def offer(
    chunks: Sequence[int] | None = (),
    hmacs: Sequence[int] = (SHA_256, SHA_1),
    random: bytes = RANDOM,
) -> list[Tlv]:
    """The parameters of an INIT; no CHUNKS if ``chunks`` is None."""
    listed = [Tlv(0x8002, random)]
    if chunks is not None:
        listed.append(Tlv(0x8003, bytes(chunks)))
    return [*listed, Tlv(0x8004, struct.pack(f"!{len(hmacs)}H", *hmacs))]


class AuthPeer(ScriptedPeer):
    """A scripted peer that authenticates what a test has it authenticate.

    Attributes:
      offered: What its INIT or INIT ACK says of authentication.
      theirs: What the engine's said.
      secrets: The shared keys that it has.
    """

    def __init__(self, offered: list[Tlv] | None = None, **parameters: Any) -> None:
        super().__init__(report_keys=True, **parameters)
        self.offered = offer() if offered is None else offered
        self.theirs: list[Tlv] = []
        self.secrets = {0: b""}

    def accept_it(self) -> None:
        """Set an association up from this end."""
        self.parameters = self.offered
        ack = self.begin()
        self.learn(ack)
        self.theirs = ack.parameters
        self.give(self.cookie_echo())

    def be_connected(self) -> None:
        """Have the engine's program set one up."""
        self.theirs = self.connect().parameters
        self.give(self.init_ack([PEER_COOKIE, *self.offered]))
        self.give(COOKIE_ACK)

    def shared_key(self, key: int) -> bytes:
        return association_key(self.secrets[key], self.offered, self.theirs)

    def auth(self, *chunks: bytes, key: int = 0, algorithm: int = SHA_256) -> bytes:
        """The AUTH chunk for chunks that follow it."""
        return auth_chunk(self.shared_key(key), *chunks, key_id=key, algorithm=algorithm)

    def give_authenticated(self, *chunks: bytes, **how: int) -> list[Sent]:
        """Send chunks behind an AUTH chunk."""
        return self.give(self.auth(*chunks, **how), *chunks)

    def is_right(self, sent: Sent) -> bool:
        """Whether the AUTH chunk of a packet is right."""
        auth = sent.get(wire.Auth)
        return is_right(auth.packet, auth.offset, self.shared_key(auth.key))


def key_changes(peer: ScriptedPeer) -> list[tuple[int, int, int]]:
    return [
        (event.keynumber, event.altkeynumber, event.indication)
        for event in peer.events()
        if isinstance(event, AuthenticationChange)
    ]


# -- set-up (3, 6.1) ---


def test_what_an_init_offers_by_default() -> None:
    init = ScriptedPeer().connect()
    offered = [p for p in init.parameters if p.type in ASKED]
    assert [p.type for p in offered] == sorted(ASKED)
    assert len(offered[0].value) == 32
    assert offered[1].value == bytes([128, 193])  # of addresses that change (RFC 5061)
    assert offered[2].value == bytes.fromhex("0003 0001")


def test_what_an_init_offers_that_wants_chunks_authenticated() -> None:
    peer = ScriptedPeer(auth_chunks=(SACK, DATA), hmac_algorithms=(SHA_1,))
    offered = {p.type: p.value for p in peer.connect().parameters}
    assert offered[ParameterType.CHUNK_LIST] == bytes([DATA, SACK, 128, 193])
    assert offered[ParameterType.HMAC_ALGORITHMS] == bytes.fromhex("0001")


def test_every_init_has_another_random_number() -> None:
    peer = ScriptedPeer()
    first, second = peer.connect(), peer.begin(route=peer.route_from("10.0.0.77"), tag=7)
    randoms = [p.value for o in (first, second) for p in o.parameters if p.type == 0x8002]
    peer.parameters = offer()
    randoms += [
        p.value
        for host in ("10.0.0.78", "10.0.0.79")
        for p in peer.begin(route=peer.route_from(host), tag=8).parameters
        if p.type == 0x8002
    ]
    assert len(randoms) == len(set(randoms)) == 3


@pytest.mark.parametrize("offered", [[], offer()[:1], offer()[2:], offer(chunks=[DATA])[1:2]])
def test_half_an_offer_is_none(offered: list[Tlv]) -> None:
    """All or nothing: without RANDOM or HMAC-ALGO there is no authentication."""
    peer = AuthPeer(offered, auth_chunks=(DATA,))
    peer.accept_it()
    assert not ASKED & {p.type for p in peer.theirs}
    assert not peer.association.extensions & Extension.AUTH
    assert key_changes(peer) == [(0, 0, AuthenticationState.NO_AUTH)]
    peer.give(peer.data())
    assert payloads(peer.events()) == [b"data"]
    peer.send(b"plain")
    assert all(not sent.has(wire.Auth) for sent in peer.sent)


def test_naming_the_chunk_type_alone_is_no_offer() -> None:
    peer = AuthPeer([Tlv(ParameterType.SUPPORTED_EXTENSIONS, bytes([15]))])
    peer.accept_it()
    assert not peer.association.extensions & Extension.AUTH


def test_who_does_not_offer_it_reads_nothing_of_it() -> None:
    peer = AuthPeer(offer(random=b"short"), authentication=False)
    peer.accept_it()
    assert not ASKED & {p.type for p in peer.theirs}
    assert peer.state() is StatusState.ESTABLISHED


@pytest.mark.parametrize(
    ("offered", "reason"),
    [
        (offer(random=bytes(31)), b"a RANDOM that has not 32 bytes"),
        (offer(random=bytes(33)), b"a RANDOM that has not 32 bytes"),
        (offer(random=b""), b"a RANDOM that has not 32 bytes"),
        (offer(hmacs=[SHA_256]), b"no SHA-1 among the HMAC identifiers"),
        (offer(hmacs=[]), b"no SHA-1 among the HMAC identifiers"),
        (offer(hmacs=[SHA_1] * 65), b"a list of HMAC identifiers with a wrong length"),
        ([*offer()[:2], Tlv(0x8004, b"\0\1\0")], b"a list of HMAC identifiers with a wrong length"),
        (offer(chunks=[7] * 257), b"a list of chunks that is too long"),
    ],
)
@pytest.mark.parametrize("active", [False, True])
def test_a_wrong_offer_ends_in_an_abort(offered: list[Tlv], reason: bytes, active: bool) -> None:
    peer = AuthPeer(offered)
    if active:
        peer.connect()
        (sent,) = peer.give(peer.init_ack([PEER_COOKIE, *offered]))
        assert ends(peer.events())
    else:
        (sent,) = peer.give_init(parameters=offered)
    assert sent.get(wire.Abort).causes == [Tlv(Cause.PROTOCOL_VIOLATION, reason)]
    assert not peer.engine.associations


@pytest.mark.parametrize("active", [False, True])
def test_a_wrong_offer_behind_a_parameter_that_ends_the_reading_is_none(active: bool) -> None:
    stop = Tlv(0x0123, b"unknown")
    for offered in offer(hmacs=[SHA_256]), offer(random=b""), offer(hmacs=[]):
        peer = AuthPeer([stop, *offered])
        if active:
            peer.be_connected()
        else:
            peer.accept_it()
        assert peer.association.authentication is None
        # What stands before it counts, and what is behind it does not make it whole.
        peer = AuthPeer([offered[0] if offered[0].value else offer()[0], stop, *offered[1:]])
        peer.accept_it()
        assert peer.association.authentication is None


def test_a_list_that_comes_again_and_again_is_read_once() -> None:
    longest = offer(range(256), [SHA_1] * 64)
    peer = AuthPeer()
    once = peer.packet(peer.init(longest), tag=0)
    often = peer.packet(peer.init(longest + longest[2:] * 60), tag=0)
    peer.give_raw(once)  # so that all is imported and cached
    assert calls(partial(peer.give_raw, often)) < calls(partial(peer.give_raw, once)) + 60 * 20


def test_the_longest_offer_fits() -> None:
    peer = AuthPeer(offer(chunks=range(256), hmacs=[*range(100, 163), SHA_1]), auth_chunks=(DATA,))
    peer.accept_it()
    peer.give_authenticated(peer.data())
    assert payloads(peer.events()) == [b"data"]
    (sent,) = peer.send(b"x")
    assert sent.get(wire.Auth).hmac == SHA_1
    assert peer.is_right(sent)


# -- receiving (6.3) ---


@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize("algorithm", [SHA_1, SHA_256])
def test_what_has_to_be_authenticated_and_is(algorithm: int, active: bool) -> None:
    peer = AuthPeer(auth_chunks=(DATA,))
    if active:
        peer.be_connected()
    else:
        peer.accept_it()
    peer.give_authenticated(peer.data(), algorithm=algorithm)
    assert payloads(peer.events()) == [b"data"]


@pytest.mark.parametrize("chunks", [None, (), (DATA,), (200,)])
def test_the_order_of_the_key_vectors(chunks: Sequence[int] | None) -> None:
    """A RANDOM that is the smallest or largest number, and vectors of different lengths."""
    for random in bytes(32), b"\xff" * 32, RANDOM:
        peer = AuthPeer(offer(chunks=chunks, random=random), auth_chunks=(DATA,))
        peer.accept_it()
        peer.give_authenticated(peer.data())
        assert payloads(peer.events()) == [b"data"]


@pytest.mark.parametrize("kind", [DATA, SACK])
def test_what_is_not_authenticated_is_dropped_without_a_word(kind: int) -> None:
    peer = AuthPeer(auth_chunks=(kind,))
    peer.be_connected()
    peer.send(b"ours")
    peer.events()
    chunk = peer.sack_first(1) if kind == SACK else peer.data()
    assert peer.give(chunk) == []
    assert peer.events() == []
    assert len(peer.association.outbound.outstanding) == 1
    peer.give_authenticated(chunk)
    assert payloads(peer.events()) == ([] if kind == SACK else [b"data"])
    assert len(peer.association.outbound.outstanding) == (0 if kind == SACK else 1)


def test_what_stands_before_the_auth_chunk_is_not_authenticated() -> None:
    peer = AuthPeer(auth_chunks=(DATA,))
    peer.accept_it()
    first, second = peer.data(b"first"), peer.data(b"second")
    peer.give(first, peer.auth(second), second)
    assert payloads(peer.events()) == []
    peer.give_authenticated(first)
    assert payloads(peer.events()) == [b"first", b"second"]


def test_what_need_not_be_authenticated_is_taken_either_way() -> None:
    peer = AuthPeer(auth_chunks=(HEARTBEAT,))
    peer.accept_it()
    peer.give(peer.data(b"plain"))
    peer.give_authenticated(peer.data(b"authenticated"))
    assert payloads(peer.events()) == [b"plain", b"authenticated"]


@pytest.mark.parametrize("at", [4, 5, 6, 7, 8, 20, 39, 45, 60])
def test_one_wrong_bit_drops_the_rest_of_the_packet(at: int) -> None:
    peer = AuthPeer(auth_chunks=(DATA,))
    peer.accept_it()
    data = peer.data(b"data that is long")
    body = bytearray(peer.auth(data) + data)
    body[at] ^= 1
    answers = peer.give(bytes(body))
    if at in (6, 7):  # the HMAC identifier
        (answer,) = answers
        (cause,) = answer.get(wire.Error).causes
        assert cause == Tlv(Cause.UNSUPPORTED_HMAC, bytes(body[6:8]))
    else:
        assert answers == []
    assert payloads(peer.events()) == []
    peer.give_authenticated(data)
    assert payloads(peer.events()) == [b"data that is long"]


@pytest.mark.parametrize("algorithm", [0, 2, 4, SHA_256, 65535])
def test_an_hmac_that_was_not_offered_is_answered_by_an_error(algorithm: int) -> None:
    peer = AuthPeer(hmac_algorithms=(SHA_1,), auth_chunks=(DATA,))
    peer.accept_it()
    head = struct.pack("!BBHHH", 15, 0, 40, 0, algorithm) + bytes(32)
    (answer,) = peer.give(head, peer.data())
    expected = [Tlv(Cause.UNSUPPORTED_HMAC, algorithm.to_bytes(2, "big"))]
    assert answer.get(wire.Error).causes == expected
    assert payloads(peer.events()) == []


@pytest.mark.parametrize("size", [0, 4, 8, 24, 32, 60])
def test_an_hmac_of_a_wrong_length(size: int) -> None:
    peer = AuthPeer(auth_chunks=(DATA,))
    peer.accept_it()
    data = peer.data()
    head = struct.pack("!BBH", 15, 0, 4 + size) + struct.pack("!HH", 0, SHA_1)[:size]
    peer.give((head + bytes(size))[: 4 + size], data)
    assert payloads(peer.events()) == []
    assert peer.state() is StatusState.ESTABLISHED


def test_a_second_auth_chunk_ends_the_packet() -> None:
    peer = AuthPeer(auth_chunks=(DATA,))
    peer.accept_it()
    first, second = peer.data(b"first"), peer.data(b"second")
    rest = peer.auth(second) + second
    peer.give(peer.auth(first, rest), first, rest)
    assert payloads(peer.events()) == [b"first"]


def test_an_auth_chunk_where_none_was_agreed_on_hides_what_follows() -> None:
    """As any chunk of an unknown type below 0x40 (RFC 9260 section 3.2)."""
    peer = AuthPeer([])
    peer.accept_it()
    peer.give(peer.data(b"before"), peer.auth(b""), peer.data(b"behind"))
    assert payloads(peer.events()) == [b"before"]


def test_an_abort_that_has_to_be_authenticated() -> None:
    peer = AuthPeer(auth_chunks=(ABORT,))
    peer.accept_it()
    abort = wire.abort_chunk()
    assert peer.give(abort) == []
    peer.give(wire.abort_chunk(reflected=True), tag=peer.tag)
    peer.give(wire.chunk(ChunkType.SHUTDOWN, b"short"))
    assert peer.state() is StatusState.ESTABLISHED
    peer.give_authenticated(abort)
    assert not peer.engine.associations


def test_thousands_of_auth_chunks_in_a_packet_cost_one_hmac() -> None:
    peer = AuthPeer(auth_chunks=(DATA,))
    peer.accept_it()
    one = peer.auth(b"")
    assert peer.give(*[one] * 1500) == []
    assert peer.state() is StatusState.ESTABLISHED


# -- sending (6.2) ---


def test_what_the_peer_wants_authenticated_stands_behind_an_auth_chunk() -> None:
    peer = AuthPeer(offer(chunks=[DATA]))
    peer.accept_it()
    (sent,) = peer.send(b"data")
    assert sent.kinds == [wire.Auth, wire.Data]
    assert sent.get(wire.Auth).hmac == SHA_256
    assert peer.is_right(sent)


def test_what_the_peer_does_not_ask_for_is_not_authenticated() -> None:
    peer = AuthPeer(offer(chunks=[HEARTBEAT]))
    peer.accept_it()
    (sent,) = peer.send(b"data")
    assert sent.kinds == [wire.Data]
    assert sent.size == 12 + 16 + 4
    peer.give(peer.sack_first(1))
    peer.engine.request_heartbeat(peer.association.id, peer.route.remote, peer.now)
    (beat,) = peer.take()
    assert beat.kinds == [wire.Auth, wire.Heartbeat]
    assert peer.is_right(beat)


def test_only_what_follows_is_authenticated() -> None:
    """A SACK goes before DATA, and need not be authenticated itself."""
    peer = AuthPeer(offer(chunks=[DATA]))
    peer.accept_it()
    peer.give(peer.data())
    assert peer.give(peer.data()) == []
    (sent,) = peer.send(b"data")
    assert sent.kinds == [wire.Sack, wire.Auth, wire.Data]
    assert peer.is_right(sent)


@pytest.mark.parametrize("hmacs", [[SHA_1, SHA_256], [SHA_256, SHA_1], [9, SHA_1]])
def test_the_hmac_is_the_first_that_the_peer_lists_and_we_know(hmacs: list[int]) -> None:
    peer = AuthPeer(offer(chunks=[DATA], hmacs=hmacs))
    peer.accept_it()
    (sent,) = peer.send(b"data")
    assert sent.get(wire.Auth).hmac == next(id for id in hmacs if id != 9)
    assert peer.is_right(sent)


def test_types_that_cannot_be_asked_for_are_ignored() -> None:
    peer = AuthPeer(offer(chunks=[1, 2, 14, 15]))
    peer.accept_it()
    assert peer.association.bundler.authentication is None
    peer.give(wire.shutdown_chunk(peer.acked))
    (complete,) = peer.give(wire.chunk(ChunkType.SHUTDOWN_ACK)) or peer.sent[-1:]
    assert not any(sent.has(wire.Auth) for sent in peer.sent), complete


def test_fragments_leave_room_for_the_auth_chunk() -> None:
    peer = AuthPeer(offer(chunks=[DATA]))
    peer.accept_it()
    left = peer.send(bytes(3 * FULL))
    assert [sent.kinds for sent in left[:2]] == [[wire.Auth, wire.Data]] * 2
    for sent in left:
        assert sent.size <= 1280
        assert not sent.fragment
        assert peer.is_right(sent)
    assert left[0].size == 1280


def test_retransmissions_are_authenticated() -> None:
    peer = AuthPeer(offer(chunks=[DATA]))
    peer.accept_it()
    peer.send(bytes(FULL))
    left = [sent for sent in peer.advance(2.0) if sent.has(wire.Data)]
    assert left
    assert all(peer.is_right(sent) and not sent.fragment for sent in left)


@pytest.mark.parametrize(
    ("kind", "chunk"), [(SACK, wire.Sack), (HEARTBEAT + 1, wire.HeartbeatAck), (7, wire.Shutdown)]
)
def test_control_chunks_are_authenticated_too(kind: int, chunk: type[object]) -> None:
    peer = AuthPeer(offer(chunks=[kind]))
    peer.accept_it()
    peer.give(wire.heartbeat_chunk(b"info"))
    peer.give(peer.data())
    peer.engine.shutdown(peer.association.id, peer.now)
    peer.take()
    found = [sent for sent in peer.sent if sent.has(chunk)]
    assert found
    assert all(peer.is_right(sent) for sent in found)


def test_an_abort_is_authenticated() -> None:
    peer = AuthPeer(offer(chunks=[ABORT]))
    peer.accept_it()
    peer.engine.abort(peer.association.id, b"why", peer.now)
    (sent,) = peer.take()
    assert sent.kinds == [wire.Auth, wire.Abort]
    assert peer.is_right(sent)


def test_probes_of_the_path_mtu_have_their_size() -> None:
    peer = AuthPeer(offer(chunks=[HEARTBEAT]), path_mtu_discovery=True)
    peer.accept_it()
    peer.send(bytes(20_000))
    probes = [s for s in peer.sent if s.has(wire.Heartbeat) and s.has(wire.UnknownChunk)]
    assert probes
    assert all(peer.is_right(sent) for sent in probes)
    assert {sent.size for sent in probes} == {peer.association.paths["10.0.0.2"].search.size}  # type: ignore[union-attr]


@pytest.mark.parametrize("size", range(1180, 1260, 8))
def test_an_abort_with_a_long_reason_fits_or_may_be_fragmented(size: int) -> None:
    peer = AuthPeer(offer(chunks=[ABORT]))
    peer.accept_it()
    peer.engine.abort(peer.association.id, bytes(size), peer.now)
    (sent,) = peer.take()
    assert peer.is_right(sent)
    assert sent.fragment is (sent.size > MTU)


# -- COOKIE ECHO (6.3) ---


def test_data_with_the_cookie_echo_is_authenticated() -> None:
    peer = AuthPeer(offer(chunks=[DATA]))
    peer.theirs = peer.connect().parameters
    peer.engine.send(peer.association.id, b"early", info(), peer.now)
    (echo,) = peer.give(peer.init_ack([PEER_COOKIE, *peer.offered]))
    assert echo.kinds == [wire.CookieEcho, wire.Auth, wire.Data]
    assert peer.is_right(echo)


def test_a_cookie_echo_is_authenticated_if_the_peer_asks_for_it() -> None:
    peer = AuthPeer(offer(chunks=[COOKIE_ECHO]))
    peer.theirs = peer.connect().parameters
    (echo,) = peer.give(peer.init_ack([PEER_COOKIE, *peer.offered]))
    assert echo.kinds == [wire.Auth, wire.CookieEcho]
    assert peer.is_right(echo)


def test_authenticated_data_behind_the_cookie_echo_is_taken() -> None:
    peer = AuthPeer(auth_chunks=(DATA,))
    peer.parameters = peer.offered
    ack = peer.begin()
    peer.learn(ack)
    peer.theirs = ack.parameters
    data = peer.data()
    peer.give(peer.cookie_echo(), peer.auth(data), data)
    assert payloads(peer.events()) == [b"data"]


def test_a_cookie_echo_has_to_be_authenticated_by_the_keys_in_the_cookie() -> None:
    peer = AuthPeer(auth_chunks=(COOKIE_ECHO,), shared_keys=EMPTY_KEY.set(5, b"secret").activate(5))
    peer.secrets[5] = b"secret"
    peer.parameters = peer.offered
    ack = peer.begin()
    peer.learn(ack)
    peer.theirs = ack.parameters
    echo, data = peer.cookie_echo(), peer.data()
    assert peer.give(echo) == []
    assert peer.give(echo, peer.auth(data, key=5), data) == []
    wrong = bytearray(peer.auth(echo, key=5))
    wrong[-1] ^= 1
    assert peer.give(bytes(wrong), echo) == []
    assert not peer.engine.associations
    (answer,) = peer.give_authenticated(echo, data, key=5)
    assert answer.has(wire.CookieAck)
    assert payloads(peer.events()) == [b"data"]
    # Repeated, it is authenticated by the association's own keys.
    (again,) = peer.give_authenticated(echo, key=5)
    assert again.has(wire.CookieAck)
    assert peer.give(echo) == []


def test_the_cookie_has_no_shared_key() -> None:
    secret = b"a secret that is long enough to be found"
    peer = AuthPeer(auth_chunks=(COOKIE_ECHO,), shared_keys=EMPTY_KEY.set(0, secret))
    peer.parameters = peer.offered
    peer.learn(peer.begin())
    assert secret not in peer.cookie
    assert "secret that" not in repr(peer.engine.parameters)


def test_a_restart_begins_with_new_keys() -> None:
    peer = AuthPeer(auth_chunks=(DATA,))
    peer.accept_it()
    peer.give_authenticated(peer.data(b"before"))
    peer.tag, peer.tsn = 0x55, 500
    peer.offered = offer(random=bytes(32))
    peer.accept_it()
    peer._ssns.clear()
    peer.give_authenticated(peer.data(b"after"))
    assert payloads(peer.events()) == [b"before", b"after"]


@pytest.mark.parametrize("begins", [False, True])
def test_that_a_peer_does_not_authenticate_is_told_after_a_restart_too(begins: bool) -> None:
    peer = AuthPeer(auth_chunks=(DATA,))
    if begins:
        peer.be_connected()
    else:
        peer.accept_it()
    assert key_changes(peer) == []
    peer.tag, peer.tsn, peer.offered = 0x55, 500, []
    peer.accept_it()
    assert key_changes(peer) == [(0, 0, AuthenticationState.NO_AUTH)]


def test_a_restart_without_the_old_key_is_refused_where_cookies_are_authenticated() -> None:
    peer = AuthPeer(auth_chunks=(COOKIE_ECHO,))
    peer.parameters = peer.offered
    ack = peer.begin()
    peer.learn(ack)
    peer.theirs = ack.parameters
    peer.give_authenticated(peer.cookie_echo())
    old, old_theirs = peer.offered, peer.theirs
    peer.tag, peer.offered = 0x55, offer(random=bytes(32))
    peer.parameters = peer.offered
    ack = peer.begin()
    tag = peer.their_tag
    peer.learn(ack)
    peer.theirs = ack.parameters
    echo = peer.cookie_echo()
    assert peer.give_authenticated(echo) == []
    # Who knows the old key can restart, and the new one holds from then on.
    peer.offered, peer.theirs, new = old, old_theirs, (peer.offered, peer.theirs)
    (answer,) = peer.give_authenticated(echo)
    assert answer.has(wire.CookieAck)
    assert peer.association.our_tag != tag
    peer.offered, peer.theirs = new
    peer.give_authenticated(peer.data())
    assert payloads(peer.events()) == [b"data"]


def test_both_sides_begin_at_once() -> None:
    pair = Pair(connect=False, both={"auth_chunks": (DATA, SACK)})
    pair.id = pair.a.connect(pair.routes, 2000, pair.now)
    pair.b.connect([pair.routes[0]._replace(local="10.0.0.2", remote="10.0.0.1")], 1000, pair.now)
    pair.run_until(lambda: pair.up)
    pair.send(b"there")
    pair.answer(b"back")
    pair.run(1.0)
    assert payloads(pair.events[pair.b]) == [b"there"]
    assert payloads(pair.events[pair.a]) == [b"back"]


def test_both_sides_begin_at_once_with_a_key_of_their_associations() -> None:
    """The COOKIE ECHO arrives where the INIT ACK was lost."""
    pair = Pair(connect=False, both={"auth_chunks": (DATA, COOKIE_ECHO)})
    pair.drop = lambda sent: sent.has(wire.InitAck) and sent.route.local == B
    pair.id = pair.a.connect(pair.routes, 2000, pair.now)
    pair.b.connect([pair.routes[0]._replace(local=B, remote=A)], 1000, pair.now)
    for engine in pair.a, pair.b:
        for association in engine.associations.values():
            association.parameters.shared_keys = EMPTY_KEY.set(1, b"secret").activate(1)
    pair.run(0.5)
    assert pair.up


@pytest.mark.parametrize("authentication", [True, False])
def test_both_sides_begin_at_once_and_one_association_is_an_exception(authentication: bool) -> None:
    """What it offers counts, and not what its endpoint offers to others."""
    pair = Pair(connect=False, here={"authentication": not authentication})
    own = pair.a.parameters.copy()
    own.authentication = authentication
    pair.drop = lambda sent: sent.has(wire.InitAck) and sent.route.local == B and sent.time < 0.5
    pair.id = pair.a.connect(pair.routes, 2000, pair.now, own)
    pair.b.connect([pair.routes[0]._replace(local=B, remote=A)], 1000, pair.now)
    pair.run(3.0)
    assert pair.up
    for association in pair.association, pair.other:
        assert (association.authentication is not None) is authentication


def test_an_auth_chunk_alone_from_nowhere_is_not_answered() -> None:
    peer = AuthPeer()
    peer.their_tag = 77
    one = struct.pack("!BBHHH", 15, 0, 28, 0, 1) + bytes(20)
    assert peer.give(one) == []
    assert peer.give(one, wire.abort_chunk()) == []
    (answer,) = peer.give(one, peer.data())
    assert answer.get(wire.Abort).reflected
    (answer,) = peer.give(one, wire.chunk(ChunkType.SHUTDOWN_ACK))
    assert answer.has(wire.ShutdownComplete)
    assert peer.give(one, peer.init(), tag=0) == []


def test_an_address_is_won_from_another_association_by_an_authenticated_answer_only() -> None:
    """A peer lists an address that another has: its answer to a HEARTBEAT there decides."""
    first = AuthPeer(auth_chunks=(HEARTBEAT + 1,))
    first.accept_it()
    second = AuthPeer()
    second.engine, second.tag = first.engine, 0x77
    second.route = first.route_from(B2)
    second.offered = offer(random=bytes(32))
    second.parameters = [wire.address_parameter(B), *second.offered]
    ack = second.begin()
    second.learn(ack)
    second.theirs = ack.parameters
    second.give(second.cookie_echo())
    assert len(first.engine.associations) == 2
    asked = [s for s in second.advance(3.0) if s.has(wire.Heartbeat) and s.tag == second.tag]
    nonce = next(s.get(wire.Heartbeat).info for s in reversed(asked) if s.route.remote == B)
    answer = wire.heartbeat_chunk(nonce, ack=True)
    second.route = first.route
    second.give(answer)
    assert len(first.engine.associations) == 2
    second.give_authenticated(answer)
    (left,) = first.engine.associations.values()
    assert left.their_tag == second.tag


# -- shared keys (6.1; RFC 6458 sections 8.3.3 to 8.3.5) ---


def test_the_peer_may_use_any_key_that_there_is() -> None:
    keys = EMPTY_KEY.set(1, b"one").set(2, b"two")
    peer = AuthPeer(auth_chunks=(DATA,), shared_keys=keys)
    peer.secrets |= {1: b"one", 2: b"two", 3: b"three"}
    peer.accept_it()
    for key in 1, 2, 0, 3:
        peer.give_authenticated(peer.data(bytes([key])), key=key)
    events = peer.events()
    assert payloads(events) == [b"\1", b"\2", b"\0"]
    changes = [event for event in events if isinstance(event, AuthenticationChange)]
    assert [(e.keynumber, e.altkeynumber) for e in changes] == [(1, 0), (2, 1), (0, 2)]
    assert {e.indication for e in changes} == {AuthenticationState.NEW_KEY}


def test_a_key_that_is_activated_is_sent_with() -> None:
    peer = AuthPeer(offer(chunks=[DATA]), shared_keys=EMPTY_KEY.set(7, b"seven"))
    peer.secrets[7] = b"seven"
    peer.accept_it()
    association = peer.association
    (first,) = peer.send(b"old")
    association.parameters.shared_keys = association.parameters.shared_keys.activate(7)
    (second,) = peer.send(b"new")
    assert [s.get(wire.Auth).key for s in (first, second)] == [0, 7]
    assert peer.is_right(first)
    assert peer.is_right(second)
    association.deactivate_key(0)
    assert key_changes(peer) == [(0, 0, AuthenticationState.FREE_KEY)]


def test_keys_of_an_association_are_its_own() -> None:
    peer = AuthPeer(auth_chunks=(DATA,))
    peer.secrets[1] = b"later"
    peer.accept_it()
    peer.engine.parameters.shared_keys = EMPTY_KEY.set(1, b"later")
    data = peer.data()
    peer.give_authenticated(data, key=1)
    assert payloads(peer.events()) == []
    own = peer.association.parameters
    own.shared_keys = own.shared_keys.set(1, b"later")
    peer.give_authenticated(data, key=1)
    assert payloads(peer.events()) == [b"data"]


def test_what_cannot_be_done_with_keys() -> None:
    keys = EMPTY_KEY.set(1, b"secret").activate(1)
    for change in keys.deactivate, keys.delete:
        with pytest.raises(ValueError, match="the shared key 1 is the active one"):
            change(1)
        with pytest.raises(ValueError, match="there is no shared key 9"):
            change(9)
    with pytest.raises(ValueError, match="there is no shared key 0"):
        keys.delete(0).activate(0)
    with pytest.raises(ValueError, match="the shared key 0 was deactivated"):
        keys.deactivate(0).activate(0)
    assert keys.deactivate(0).set(0, b"again").activate(0).active == 0
    assert keys.deactivate(0).secret(0) == b""
    assert keys.delete(0).secret(0) is None
    assert "secret" not in repr(keys)


def test_changing_keys_without_end_is_told_of_no_more_than_fits() -> None:
    peer = AuthPeer(shared_keys=EMPTY_KEY.set(1, b"one"))
    peer.secrets[1] = b"one"
    peer.accept_it()
    for _ in range(1000):
        peer.give_authenticated(COOKIE_ACK, key=1)
        peer.give_authenticated(COOKIE_ACK, key=0)
    assert 0 < len(key_changes(peer)) < 200


# -- whole associations ---


@pytest.mark.parametrize("chunks", [(DATA,), (SACK,), tuple(set(range(256)) - {1, 2, 14, 15})])
def test_nothing_is_lost_or_added_on_a_bad_network(chunks: tuple[int, ...]) -> None:
    link = {"loss": 0.1, "duplication": 0.05, "jitter": 0.02}
    pair = Pair(2, seed=3, both={"auth_chunks": chunks}, link=link)
    messages = [bytes([n]) * (n * 37) for n in range(1, 60)]
    for message in messages:
        pair.send(message)
        pair.answer(message)
    pair.a.shutdown(pair.id, pair.now)
    pair.finish()
    assert payloads(pair.events[pair.b]) == messages
    assert payloads(pair.events[pair.a]) == messages
    assert [end.state for end in ends(pair.events[pair.a])] == [AssociationState.SHUTDOWN_COMP]
    assert not any(isinstance(e, RemoteError) for e in pair.events[pair.a])


def test_what_is_for_another_address_takes_no_room_from_a_retransmission() -> None:
    """It would have an AUTH chunk, but in another packet."""
    peer = AuthPeer(offer([ABORT]))
    peer.offered.append(wire.address_parameter(B2))
    peer.accept_it()
    peer.send(bytes(FULL))
    peer.now += 1.0  # T3-rtx expires, and the other address is to be probed
    peer.engine.handle_timeout(peer.now)
    sent = [packet.kinds for packet in peer.take()]
    assert [wire.Data] in sent, sent
    assert [wire.Heartbeat] in sent, sent


@pytest.mark.parametrize("seed", range(8))
def test_keys_change_while_packets_are_lost_and_overtake_each_other(seed: int) -> None:
    """Each end introduces a key, uses it, and forgets the one before when the peer does not need it
    any more; nothing is lost, and all is in order."""
    link = {"loss": 0.4, "duplication": 0.1, "reordering": 0.4, "delay": 0.01, "reorder_delay": 0.1}
    both = {"auth_chunks": (DATA, SACK, HEARTBEAT), "rto_max": 2.0, "association_max_retrans": 100}
    pair = Pair(seed=seed, both=both)
    for name, value in link.items():
        for source, destination in ("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.1"):
            setattr(pair.network.link(source, destination), name, value)
    messages: list[bytes] = []
    for key in range(1, 8):
        ends_of_it = pair.association.parameters, pair.other.parameters
        for parameters in ends_of_it:
            parameters.shared_keys = parameters.shared_keys.set(key, bytes([key]) * 9)
        for parameters in ends_of_it if key % 2 else ends_of_it[::-1]:
            for _ in range(3):
                messages.append(b"%d" % len(messages) * 200)
                pair.send(messages[-1])
                pair.answer(messages[-1])
                pair.run(0.05)
            parameters.shared_keys = parameters.shared_keys.activate(key)
        pair.run_until(lambda: pair.association.outbound.empty and pair.other.outbound.empty)
        pair.run(0.5)  # what was sent with the old key has arrived, or is lost
        for parameters in ends_of_it:
            parameters.shared_keys = parameters.shared_keys.delete(key - 1)
    pair.read()
    assert payloads(pair.events[pair.a]) == messages
    assert payloads(pair.events[pair.b]) == messages


def test_the_chunks_of_other_extensions_are_authenticated() -> None:
    """I-DATA, I-FORWARD-TSN and RE-CONFIG, in spite of loss."""
    types = (ChunkType.I_DATA, ChunkType.I_FORWARD_TSN, ChunkType.RE_CONFIG)
    both = {"auth_chunks": tuple(map(int, types)), "interleaving": True, "grants": 7}
    pair = Pair(seed=2, both=both, link={"loss": 0.1})
    for n in range(20):
        pair.send(bytes(5000), info(stream=n % 5, lifetime=40 if n % 3 == 0 else 0))
    pair.run(30.0)
    results: list[int] = []
    request = ReconfigurationRequest(ReconfigurationKind.RESET_OUTGOING, (1, 2))
    pair.a.reconfigure(pair.id, request, results.append, pair.now)
    pair.run_until(lambda: results)
    assert results == [ReconfigurationResult.PERFORMED]
    for kind in wire.IData, wire.IForwardTsn, wire.Reconfig:
        sent = pair.packets(kind)
        assert sent
        for one in sent:
            assert wire.Auth in one.kinds[: one.kinds.index(kind)]
    assert len(payloads(pair.events[pair.b])) >= 13
