"""ETSI TS 102 369, association set-up (AS)."""

from __future__ import annotations

import itertools
import struct

import pytest

from trio_sctp._engine import wire
from trio_sctp._engine.wire import Cause, ParameterType, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import AssociationState

from ..support.engines import info
from ..support.scripted_peer import COOKIE_ACK
from .tester import (
    HERE,
    OTHER_HERE,
    THERE,
    THERE_2,
    THERE_3,
    EtsiTester,
    active,
    causes_of,
    parameters_of,
    passive,
    quick,
    whole,
)

COOKIE = Tlv(ParameterType.STATE_COOKIE, b"a cookie")
HOST_NAME = Tlv(ParameterType.HOST_NAME, b"peer.example\0")
IPV6 = "2001:db8::1"


def supported(*types: int) -> Tlv:
    return Tlv(ParameterType.SUPPORTED_ADDRESS_TYPES, struct.pack(f"!{len(types)}H", *types))


def test_as_v_1_1_1() -> None:
    t = EtsiTester(listening=False)
    init = t.connect()
    assert init.tag != 0
    assert init.rwnd >= 1500
    assert init.outbound_streams > 0
    assert init.inbound_streams > 0
    assert t.state() is StatusState.COOKIE_WAIT
    t.give(t.init_ack())
    assert t.expect(wire.CookieEcho).cookie == COOKIE.value
    assert t.state() is StatusState.COOKIE_ECHOED
    t.give(COOKIE_ACK)
    t.silent()
    t.up()
    t.send(b"first")
    (data,) = t.received_data()
    assert data.tsn == init.tsn
    assert (data.stream, data.ssn, data.first, data.last) == (0, 0, True, True)
    t.give(t.sack())
    t.works()
    t.closes()


def test_as_v_1_1_2() -> None:
    t = EtsiTester()
    t.give(t.init(), tag=0)
    ack = t.expect(wire.InitAck)
    assert ack.tag != 0
    assert ack.rwnd >= 1500
    assert ack.outbound_streams > 0
    assert ack.inbound_streams > 0
    t.learn(ack)
    t.give(t.cookie_echo())
    t.expect(wire.CookieAck)
    t.up()
    t.works()
    t.closes()
    t.expect_no_association()


def test_as_i_1_2_1() -> None:
    t = EtsiTester(listening=False)
    init = t.connect()
    assert t.wait() == pytest.approx(1.0)
    assert t.expect(wire.Init, tag=0) == init
    t.answers_the_init()
    t.works()


def test_as_i_1_2_2() -> None:
    t = EtsiTester(listening=False)
    t.connect()
    t.give(t.init_ack())
    echo = t.expect(wire.CookieEcho)
    assert t.wait() == pytest.approx(1.0)
    assert t.expect(wire.CookieEcho) == echo
    t.give(COOKIE_ACK)
    t.up()
    t.works()


def test_as_i_1_3_1() -> None:
    t = EtsiTester(quick(max_init_retrans=4), listening=False)
    init = t.connect()
    t.tag = 0
    again, pauses = t.repeats(wire.Init)
    assert again == [init] * 4
    assert pauses == pytest.approx([1, 2, 4, 8])
    assert t.changes() == [AssociationState.CANT_ASSOC]
    t.tag = 7
    t.connect()
    t.answers_the_init()
    t.works()


def test_as_i_1_3_2() -> None:
    t = EtsiTester(quick(max_init_retrans=4), listening=False)
    t.connect()
    t.give(t.init_ack())
    echo = t.expect(wire.CookieEcho)
    again, pauses = t.repeats(wire.CookieEcho)
    assert again == [echo] * 4
    assert pauses == pytest.approx([1, 2, 4, 8])
    assert t.changes() == [AssociationState.CANT_ASSOC]
    t.expect_no_association()
    t.connect()
    t.answers_the_init()
    t.works()


def test_as_i_1_4() -> None:
    t = EtsiTester()
    for number in range(1, 51):
        t.give(t.init(tag=number), tag=0, route=t.route_from(f"198.51.100.{number}"))
        ack = t.expect(wire.InitAck, tag=number, to=f"198.51.100.{number}")
    t.their_tag = ack.tag
    assert not t.engine.associations
    assert t.engine.next_deadline() is None
    assert t.events() == []
    t.expect_no_association()
    t.connect(THERE_3)
    t.give(t.init_ack(), route=t.route_from(THERE_3))
    t.expect(wire.CookieEcho, to=THERE_3)
    t.give(COOKIE_ACK, route=t.route_from(THERE_3))
    t.up()


def test_as_v_1_5_1() -> None:
    t = EtsiTester(listening=False)
    tags: list[int] = []
    for _ in range(20):
        tags.append(t.connect().tag)
        t.answers_the_init()
        t.closes()
    assert_random(tags)


def test_as_v_1_5_2() -> None:
    t = EtsiTester()
    tags: list[int] = []
    for _ in range(20):
        t.give(t.init(), tag=0)
        t.learn(t.expect(wire.InitAck))
        tags.append(t.their_tag)
        t.give(t.cookie_echo())
        t.expect(wire.CookieAck)
        t.up()
        t.closes()
    assert_random(tags)


def assert_random(tags: list[int]) -> None:
    """Check that numbers differ, not by steps, and have each of 32 bits set in some only."""
    assert 0 not in tags
    assert len(set(tags)) == len(tags)
    steps = {(b - a) % 2**32 for a, b in itertools.pairwise(tags)}
    assert len(steps) == len(tags) - 1
    for bit in range(32):
        assert len({tag >> bit & 1 for tag in tags}) == 2


def test_as_v_1_6_1() -> None:
    t = EtsiTester()
    parameters = [
        Tlv(ParameterType.COOKIE_PRESERVATIVE, (12345).to_bytes(4, "big")),
        supported(ParameterType.IPV4_ADDRESS, ParameterType.IPV6_ADDRESS),
        wire.address_parameter(IPV6),
        wire.address_parameter(THERE_2),
    ]
    t.give(t.init(parameters), tag=0)
    t.learn(t.expect(wire.InitAck))
    t.give(t.cookie_echo())
    cookie_ack, *others = t.packets()
    assert cookie_ack.packet.chunks[0] == wire.CookieAck()
    assert cookie_ack.route.remote == THERE
    assert all(packet.kinds == [wire.Heartbeat] for packet in others)
    t.up()
    t.works()


@pytest.mark.parametrize("cookie_at", [0, 2, 4])
def test_as_v_1_6_2(cookie_at: int) -> None:
    t = EtsiTester(listening=False)
    t.connect()
    unknown = wire.unrecognized(Tlv(0xC123, b"once of the INIT"))
    parameters = [
        wire.address_parameter(IPV6),
        wire.address_parameter(THERE_2),
        unknown,
        Tlv(ParameterType.COOKIE_PRESERVATIVE, (12345).to_bytes(4, "big")),
    ]
    parameters.insert(cookie_at, COOKIE)
    t.give(t.init_ack(parameters))
    (received,) = t.packets()
    assert received.packet.chunks[0] == wire.CookieEcho(COOKIE.value)
    assert received.route.remote == THERE
    t.give(COOKIE_ACK)
    t.up()
    t.works()


def assert_only_on(t: EtsiTester, streams: int) -> None:
    """Check that the user can send on this number of streams, and on no more."""
    for stream in range(streams):
        t.send(b"on it", info(stream))
    data = t.received_data()
    assert [chunk.stream for chunk in data] == list(range(streams))
    t.give(t.sack())
    with pytest.raises(OSError):  # noqa: PT011 - its errno is not the protocol's
        t.send(b"beyond", info(streams))
    t.silent()


def test_as_v_1_7_1() -> None:
    t = EtsiTester(quick(outbound_streams=5, inbound_streams=5))
    t.give(t.init(outbound_streams=100, inbound_streams=2), tag=0)
    ack = t.expect(wire.InitAck)
    assert ack.outbound_streams <= 2
    assert ack.inbound_streams == 5
    t.learn(ack)
    t.give(t.cookie_echo())
    t.expect(wire.CookieAck)
    t.up()
    assert_only_on(t, 2)
    t.works()


@pytest.mark.parametrize(("outbound", "inbound"), [(0, 1), (1, 0), (0, 0)])
def test_as_i_1_7_2(outbound: int, inbound: int) -> None:
    t = EtsiTester()
    t.give(t.init(outbound_streams=outbound, inbound_streams=inbound), tag=0)
    abort = t.expect(wire.Abort)
    assert not abort.reflected
    assert causes_of(abort) == [Cause.INVALID_PARAMETER]
    assert not t.engine.associations
    assert t.events() == []


def test_as_v_1_7_3() -> None:
    t = EtsiTester(quick(outbound_streams=5), listening=False)
    assert t.connect().outbound_streams == 5
    t.give(t.init_ack(inbound_streams=2))
    t.expect(wire.CookieEcho)
    t.give(COOKIE_ACK)
    t.up()
    assert_only_on(t, 2)
    t.works()


@pytest.mark.parametrize(("outbound", "inbound"), [(0, 1), (1, 0), (0, 0)])
def test_as_i_1_7_4(outbound: int, inbound: int) -> None:
    t = EtsiTester(listening=False)
    t.connect()
    t.give(t.init_ack(outbound_streams=outbound, inbound_streams=inbound))
    assert t.state() is StatusState.CLOSED
    assert t.changes() == [AssociationState.CANT_ASSOC]
    abort = t.expect(wire.Abort)
    assert not abort.reflected
    assert causes_of(abort) == [Cause.INVALID_PARAMETER]
    t.expect_no_association()


def test_as_v_1_7_5() -> None:
    t = EtsiTester(quick(outbound_streams=2, inbound_streams=2))
    t.give(t.init(outbound_streams=2, inbound_streams=2), tag=0)
    ack = t.expect(wire.InitAck)
    assert (ack.outbound_streams, ack.inbound_streams) == (2, 2)
    t.learn(ack)
    t.give(t.cookie_echo())
    t.expect(wire.CookieAck)
    t.up()
    assert_only_on(t, 2)
    t.give(t.data(b"zero", stream=0), t.data(b"one", stream=1))
    assert t.messages() == [b"zero", b"one"]


def unknown_in_init(kind: int) -> tuple[EtsiTester, wire.InitAck]:
    """Send an INIT with that parameter, an address behind it, others of type 0xC... around."""
    t = EtsiTester()
    parameters = [
        Tlv(0xC0CC, b"\1\1\1\1"),
        Tlv(kind, b"\2\2\2\2\2"),  # has padding
        Tlv(0xC0CC, b"\3\3\3\3"),
        wire.address_parameter(THERE_2),
    ]
    t.give(t.init(parameters), tag=0)
    ack = t.expect(wire.InitAck)
    t.learn(ack)
    t.give(t.cookie_echo())
    assert t.packets()[0].packet.chunks[0] == wire.CookieAck()
    t.up()
    return t, ack


def reports_of(ack: wire.InitAck) -> list[bytes]:
    return parameters_of(ack, ParameterType.UNRECOGNIZED)


def addresses_of(t: EtsiTester) -> set[str]:
    """The peer's addresses."""
    return set(t.engine.associations[t.id].paths)


def test_as_i_1_8_1() -> None:
    t, ack = unknown_in_init(0xC0CC)
    assert reports_of(ack) == [
        whole(Tlv(0xC0CC, b"\1\1\1\1")),
        whole(Tlv(0xC0CC, b"\2\2\2\2\2")),
        whole(Tlv(0xC0CC, b"\3\3\3\3")),
    ]
    assert addresses_of(t) == {THERE, THERE_2}
    t.works()


def test_as_i_1_8_2() -> None:
    t, ack = unknown_in_init(0x00CC)
    assert reports_of(ack) == [whole(Tlv(0xC0CC, b"\1\1\1\1"))]
    assert addresses_of(t) == {THERE}
    t.works()


def test_as_i_1_8_3() -> None:
    t, ack = unknown_in_init(0x40CC)
    assert reports_of(ack) == [
        whole(Tlv(0xC0CC, b"\1\1\1\1")),
        whole(Tlv(0x40CC, b"\2\2\2\2\2")),
    ]
    assert addresses_of(t) == {THERE}
    t.works()


def test_as_i_1_8_4() -> None:
    t, ack = unknown_in_init(0x80CC)
    assert reports_of(ack) == [
        whole(Tlv(0xC0CC, b"\1\1\1\1")),
        whole(Tlv(0xC0CC, b"\3\3\3\3")),
    ]
    assert addresses_of(t) == {THERE, THERE_2}
    t.works()


@pytest.mark.parametrize("listed", [[], [THERE]])
def test_as_o_1_9_1(listed: list[str]) -> None:
    t = passive()
    t.give(t.init([wire.address_parameter(a) for a in listed], tag=77, tsn=5), tag=0)
    ack = t.expect(wire.InitAck, tag=77)
    assert ack.tag not in (0, t.their_tag)
    assert parameters_of(ack, ParameterType.STATE_COOKIE)
    assert t.events() == []
    t.works()


def test_as_o_1_9_2() -> None:
    t = passive()
    parameters = [wire.address_parameter(THERE), wire.address_parameter(THERE_2)]
    t.give(t.init(parameters, tag=77, tsn=5), tag=0)
    abort = t.expect(wire.Abort, tag=77)
    assert not abort.reflected
    (cause,) = abort.causes
    assert cause.type == Cause.RESTART_WITH_NEW_ADDRESSES
    assert cause.value == wire.tlv(*wire.address_parameter(THERE_2))
    assert t.events() == []
    t.works()


def assert_one_address(t: EtsiTester) -> None:
    """Check that the peer has one address: all goes there, again and again."""
    assert addresses_of(t) == {THERE}
    t.send(b"into the void")
    t.expect(wire.Data)
    for _ in range(3):
        t.wait()
        t.expect(wire.Data)
    t.give(t.sack(t.their_tsn))
    t.acked = t.their_tsn
    t.works()


def test_as_v_1_10_1() -> None:
    assert_one_address(passive())


def test_as_v_1_10_2() -> None:
    assert_one_address(active())


def confirm(t: EtsiTester, *remotes: str) -> None:
    """Answer the heartbeats that the engine sends to new addresses (RFC 9260 section 5.4)."""
    missing = set(remotes)
    while missing:
        t.wait()
        for received in t.packets():
            assert received.kinds == [wire.Heartbeat]
            remote = received.route.remote
            ack = wire.heartbeat_chunk(received.get(wire.Heartbeat).info, ack=True)
            t.give(ack, route=t.route_from(remote))
            missing.discard(remote)


def assert_many_addresses(t: EtsiTester) -> None:
    """Check that the peer may use each of three addresses, and lost data tries another."""
    remotes = (THERE, THERE_2, THERE_3)
    assert addresses_of(t) == set(remotes)
    confirm(t, THERE_2, THERE_3)
    t.packets()
    for remote in remotes:
        t.give(t.data(remote.encode()), route=t.route_from(remote))
        t.advance(0.5)
        sack = t.expect(wire.Sack, to=remote)
        assert sack.cumulative_tsn == t.tsn - 1
    assert t.messages() == [remote.encode() for remote in remotes]
    t.send(b"lost")
    (first,) = t.packets()
    lost = first.get(wire.Data)
    t.wait()
    (second,) = t.packets()
    assert second.get(wire.Data) == lost
    assert {first.route.remote, second.route.remote} < set(remotes)
    assert first.route.remote != second.route.remote
    t.give(t.sack(lost.tsn), route=t.route_from(second.route.remote))
    t.silent()
    assert t.engine.status(t.id).unackdata == 0


def test_as_v_1_11_1() -> None:
    t = EtsiTester()
    listed = [wire.address_parameter(THERE_2), wire.address_parameter(THERE_3)]
    t.give(t.init(listed), tag=0)
    t.learn(t.expect(wire.InitAck))
    t.give(t.cookie_echo())
    t.expect(wire.CookieAck)
    t.up()
    assert_many_addresses(t)


def test_as_v_1_11_2() -> None:
    t = EtsiTester(listening=False)
    t.connect()
    listed = [wire.address_parameter(THERE_2), wire.address_parameter(THERE_3)]
    t.give(t.init_ack([*listed, COOKIE]))
    t.expect(wire.CookieEcho)
    t.give(COOKIE_ACK)
    t.up()
    assert_many_addresses(t)


@pytest.mark.parametrize("others", [[], [THERE_2]])
def test_as_v_1_12_1(others: list[str]) -> None:
    t = EtsiTester()
    addresses = [wire.address_parameter(address) for address in others]
    t.give(t.init([*addresses, HOST_NAME]), tag=0)
    abort = t.expect(wire.Abort)
    assert not abort.reflected
    assert causes_of(abort) in ([], [Cause.UNRESOLVABLE_ADDRESS])
    assert not t.engine.associations
    assert t.events() == []


@pytest.mark.parametrize("others", [[], [THERE_2]])
def test_as_i_1_12_2(others: list[str]) -> None:
    t = EtsiTester(listening=False)
    t.connect()
    addresses = [wire.address_parameter(address) for address in others]
    t.give(t.init_ack([COOKIE, *addresses, HOST_NAME]))
    abort = t.expect(wire.Abort)
    assert not abort.reflected
    assert causes_of(abort) in ([], [Cause.UNRESOLVABLE_ADDRESS])
    assert t.state() is StatusState.CLOSED
    assert t.changes() == [AssociationState.CANT_ASSOC]


@pytest.mark.parametrize(
    "types",
    [
        (ParameterType.IPV4_ADDRESS,),
        (ParameterType.IPV4_ADDRESS, ParameterType.IPV6_ADDRESS),
        (ParameterType.IPV6_ADDRESS, ParameterType.IPV4_ADDRESS, ParameterType.HOST_NAME),
    ],
)
def test_as_v_1_13_1(types: tuple[int, ...]) -> None:
    t = EtsiTester(here=[HERE, OTHER_HERE, "2001:db8::2"])
    t.give(t.init([supported(*types)]), tag=0)
    ack = t.expect(wire.InitAck)
    listed = parameters_of(ack, ParameterType.IPV4_ADDRESS)
    assert {Tlv(ParameterType.IPV4_ADDRESS, value) for value in listed} <= {
        wire.address_parameter(HERE),
        wire.address_parameter(OTHER_HERE),
    }
    if ParameterType.IPV6_ADDRESS not in types:
        assert not parameters_of(ack, ParameterType.IPV6_ADDRESS)
    t.learn(ack)
    t.give(t.cookie_echo())
    t.expect(wire.CookieAck)
    t.up()
    t.works()


@pytest.mark.parametrize("types", [(ParameterType.IPV6_ADDRESS,), (99,)])
def test_as_i_1_13_2(types: tuple[int, ...]) -> None:
    t = EtsiTester()
    t.give(t.init([supported(*types)]), tag=0)
    t.learn(t.expect(wire.InitAck))
    t.give(t.cookie_echo())
    t.expect(wire.CookieAck)
    t.up()
    t.works()


def test_as_i_1_14_1() -> None:
    t = EtsiTester()
    t.give(t.init(tag=0), tag=0)
    t.silent()
    assert not t.engine.associations
    t.give(t.init(), tag=0)
    t.expect(wire.InitAck)


def test_as_i_1_14_2() -> None:
    t = EtsiTester(listening=False)
    t.connect()
    t.give(t.init_ack(tag=0))
    assert t.state() is StatusState.CLOSED
    assert t.changes() == [AssociationState.CANT_ASSOC]
    # Section 3.3.3: the peer's tag is not known, so the tag of its packet goes back.
    abort = t.expect(wire.Abort, tag=t.their_tag)
    assert abort.reflected


def test_as_i_1_15() -> None:
    t = EtsiTester(quick(max_init_retrans=5), listening=False)
    init = t.connect(THERE, THERE_2, THERE_3)
    went_to = [THERE]
    for _ in range(5):
        t.wait()
        (received,) = t.packets()
        assert received.packet.chunks == [init]
        assert received.tag == 0
        went_to.append(received.route.remote)
    assert went_to == [THERE, THERE_2, THERE_3] * 2
    t.give(t.init_ack(), route=t.route_from(THERE_2))
    t.expect(wire.CookieEcho, to=THERE_2)
    t.give(COOKIE_ACK, route=t.route_from(THERE_2))
    t.up()
