"""Socket options: every one of them set and read, in every scope, at every time."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

import trio_sctp
from trio_sctp import (
    ActiveKey,
    AdaptationIndication,
    AdaptationLayer,
    AsconfSupported,
    AsconfWithoutAuth,
    AssociationCount,
    AssociationLost,
    AssociationState,
    AssocParams,
    AuthChunks,
    AuthKey,
    AuthSupported,
    AutoAsconf,
    AutoClose,
    BindToDevice,
    Context,
    DefaultSendParams,
    DelayedAck,
    DisableFragments,
    DontRoute,
    EcnSupported,
    EnableStreamReset,
    EncapsulationPort,
    EventSubscription,
    ExposePotentiallyFailed,
    FragmentInterleave,
    HmacAlgorithms,
    InitMsg,
    Interleaving,
    IPv6Only,
    Linger,
    LocalAuthChunks,
    MappedV4,
    MaxBurst,
    MaxSegment,
    Message,
    NetworkNamespace,
    NoDelay,
    Option,
    OptionUnsupported,
    PartialDeliveryPoint,
    PathState,
    PeerAddressFlags,
    PeerAddressInfo,
    PeerAddressParams,
    PeerAddressThresholds,
    PeerAuthChunks,
    PrimaryAddress,
    Priority,
    ProbeInterval,
    PrStatus,
    PrSupported,
    ReceiveBuffer,
    ReceiveTos,
    ReceiveTrafficClass,
    ReceiveTtl,
    ReconfigSupported,
    ReuseAddress,
    ReusePort,
    RtoInfo,
    Scheduler,
    SendBuffer,
    SetPeerPrimaryAddress,
    Status,
    StatusState,
    StreamPriority,
    StreamScheduler,
    Tos,
    TrafficClass,
    detection_time,
    timers,
)

from .helpers import UNKNOWN_ID, Pair, StackUnderTest, next_change, next_message, take

FLAGS = PeerAddressFlags
ECN = 3
"""Bits of the TOS that are the stack's own."""

SOCKET: list[Option] = [
    NoDelay(False),
    DisableFragments(True),
    Linger(True, 7),
    Tos(0xB8),
    PartialDeliveryPoint(1000),
]
"""Options of a whole socket; none of these is what it starts with."""

LINUX: list[Option] = [MappedV4(True), Priority(3), DontRoute(True), BindToDevice("lo")]
"""Options of a whole socket that have to do with the system's own ways to send."""

linux = pytest.mark.kernel_only("an option of the system's sockets")
LINUX_CASES = [pytest.param(option, marks=linux) for option in [*LINUX, FragmentInterleave(0)]]

NEW: list[Option] = [
    InitMsg(num_ostreams=7, max_instreams=8, max_attempts=3, max_init_timeo=500),
    AdaptationLayer(2**32 - 1),
    AutoClose(3600),
]
"""Options of associations to come."""

ASSOCIATION: list[Option] = [
    RtoInfo(initial=500, max=7000, min=200),
    AssocParams(asocmaxrxt=4, cookie_life=30_000),
    PeerAddressParams(
        hbinterval=5000,
        pathmaxrxt=3,
        sackdelay=100,
        flags=FLAGS.HB_ENABLE | FLAGS.SACKDELAY_ENABLE,
    ),
    PeerAddressParams(flags=FLAGS.HB_DISABLE | FLAGS.PMTUD_DISABLE | FLAGS.SACKDELAY_DISABLE),
    PeerAddressParams(pathmtu=1000, flags=FLAGS.PMTUD_DISABLE),
    DelayedAck(100, 3),
    DelayedAck(freq=1),
    MaxSegment(600),
    Context(2**32 - 1),
    MaxBurst(0),
    MaxBurst(9),
    PeerAddressThresholds(pathmaxrxt=4, potentially_failed=1, switchover=2),
    ExposePotentiallyFailed(False),
    DefaultSendParams(stream=3, ppid=46, unordered=True, context=9, lifetime=5000),
    DefaultSendParams(retransmissions=0),
    DefaultSendParams(stream=1, priority=2**32 - 1),
    EventSubscription(sender_dry_event=True, address_event=False),
    StreamScheduler(Scheduler.ROUND_ROBIN),
]
"""Options of one association, or of those to come by default."""


def has(actual: Any, wanted: Option) -> bool:
    """Whether an option that was read has what was set: all but None."""
    if isinstance(wanted, Tos):
        return isinstance(actual, Tos) and actual.value & ~ECN == wanted.value
    values = [
        (getattr(wanted, field.name), getattr(actual, field.name))
        for field in dataclasses.fields(wanted)
    ]
    return all(
        want is None or (want & value if isinstance(want, PeerAddressFlags) else value) == want
        for want, value in values
    )


def name(option: Option | type[Option]) -> str:
    return option.__name__ if isinstance(option, type) else type(option).__name__


# -- set and read ------------------------------------------------------------------------------


@pytest.mark.parametrize("option", [*SOCKET, *LINUX_CASES], ids=name)
async def test_an_option_of_the_socket(stack: StackUnderTest, option: Option) -> None:
    kind = type(option)
    async with stack.pair() as pair:
        before = pair.client.get_option(kind)
        assert not has(before, option)
        pair.client.set_option(option)
        assert has(pair.client.get_option(kind), option)
        for call in (
            lambda: pair.client.set_option(before, pair.association),
            lambda: pair.client.get_option(kind, pair.association),
            lambda: pair.association.set_option(before),
            lambda: pair.association.get_option(kind),
        ):
            with pytest.raises(ValueError, match=f"{name(kind)} holds for the whole socket"):
                call()
        pair.client.set_option(before)


@pytest.mark.parametrize("option", [*SOCKET, *LINUX_CASES], ids=name)
async def test_a_channel_has_the_options_of_its_socket(
    stack: StackUnderTest, option: Option
) -> None:
    async with stack.channels() as (channel, _):
        channel.set_option(option)
        assert has(channel.get_option(type(option)), option)


@pytest.mark.parametrize(
    "option", [*SOCKET, *LINUX_CASES, SendBuffer(65536), ReceiveBuffer(65536)], ids=name
)
async def test_options_of_an_accepted_channel_are_its_own(
    stack: StackUnderTest, option: Option
) -> None:
    kind = type(option)
    async with stack.listener() as listener:
        before = listener.get_option(kind)
        clients = [await stack.open_association(listener.port) for _ in range(2)]
        channel, other = [await listener.accept() for _ in clients]
        channel.set_option(option)
        assert not has(channel.get_option(kind), before)
        assert has(other.get_option(kind), before)
        assert has(listener.get_option(kind), before)
        for one in channel, other, *clients:
            one.abort()


@pytest.mark.parametrize("option", [*SOCKET, *LINUX_CASES, *NEW, *ASSOCIATION], ids=name)
async def test_a_peeled_off_channel_inherits_the_endpoints_options(
    stack: StackUnderTest, option: Option
) -> None:
    async with stack.listening() as server, stack.endpoint(options=[option]) as client:
        association = await client.connect(stack.host, server.port)
        channel = client.peeloff(association)
        assert has(channel.get_option(type(option)), option)
        channel.abort()


@linux
async def test_priority_does_not_come_from_tos_when_peeled_off(stack: StackUnderTest) -> None:
    """Setting the one changes the other; both have to arrive as they were."""
    async with stack.pair() as pair:
        pair.client.set_option(Tos(0x10))
        pair.client.set_option(Priority(4))
        channel = pair.client.peeloff(pair.association)
        assert has(channel.get_option(Tos), Tos(0x10))
        assert channel.get_option(Priority) == Priority(4)
        channel.abort()


@pytest.mark.parametrize("option", NEW, ids=name)
async def test_an_option_of_associations_to_come(stack: StackUnderTest, option: Option) -> None:
    kind = type(option)
    async with stack.pair() as pair:
        before = pair.client.get_option(kind)
        assert not has(before, option)
        pair.client.set_option(option)
        assert has(pair.client.get_option(kind), option)
        pair.client.set_option(before)
        assert pair.client.get_option(kind) == before
        for call in (
            lambda: pair.client.set_option(option, pair.association),
            lambda: pair.association.set_option(option),
            lambda: pair.association.get_option(kind),
        ):
            with pytest.raises(ValueError, match=f"{name(kind)} holds for associations set up"):
                call()
        channel = pair.client.peeloff(pair.association)
        with pytest.raises(ValueError, match=f"{name(kind)} holds for associations set up"):
            channel.set_option(option)
        channel.abort()


@pytest.mark.parametrize("option", ASSOCIATION, ids=name)
async def test_an_option_of_an_association_and_its_default(
    stack: StackUnderTest, option: Option
) -> None:
    kind = type(option)
    async with stack.listening() as server, stack.pair() as pair:
        default = pair.client.get_option(kind)
        before = pair.association.get_option(kind)
        pair.association.set_option(option)
        assert has(pair.association.get_option(kind), option)
        assert has(pair.client.get_option(kind, pair.association.id), option)
        assert pair.client.get_option(kind) == default
        usual = await pair.client.connect(stack.host, server.port)
        assert has(usual.get_option(kind), before) or kind in (PeerAddressParams, MaxSegment)

        pair.client.set_option(option)
        assert has(pair.client.get_option(kind), option)
        if kind is not EventSubscription:  # which holds for those that there are, too
            assert not has(usual.get_option(kind), option)
        usual.abort()
        await usual.wait_ended()
        special = await pair.client.connect(stack.host, server.port)
        assert has(special.get_option(kind), option)
        special.abort()


@pytest.mark.parametrize(
    ("kind", "field"),
    [(type(o), f.name) for o in [NEW[0], *ASSOCIATION[:2]] for f in dataclasses.fields(o)],
    ids=str,
)
async def test_only_the_fields_that_are_given_change(
    stack: StackUnderTest, kind: type[Option], field: str
) -> None:
    if field in ("number_peer_destinations", "peer_rwnd", "local_rwnd"):
        return  # can only be read
    async with stack.endpoint() as endpoint:
        before = endpoint.get_option(kind)
        value = getattr(before, field)
        value += -1 if value == 65535 or field == "min" else 1
        endpoint.set_option(kind(**{field: value}))
        assert endpoint.get_option(kind) == dataclasses.replace(before, **{field: value})


async def test_a_delay_of_acknowledgements_ends_that_they_come_at_once(pair: Pair) -> None:
    """What is not given is not what was read: with ``freq=1`` there would be no delay."""
    pair.association.set_option(DelayedAck(freq=1))
    assert pair.association.get_option(DelayedAck) == DelayedAck(0, 1)
    pair.association.set_option(DelayedAck(delay=100))
    assert pair.association.get_option(DelayedAck) == DelayedAck(100, 2)
    pair.association.set_option(DelayedAck(freq=5))
    assert pair.association.get_option(DelayedAck) == DelayedAck(100, 5)


@pytest.mark.parametrize("detect", [1.5, 2.0, 30.0, 1e6])
async def test_timers_are_options_of_endpoints_and_associations(
    stack: StackUnderTest, detect: float
) -> None:
    options = timers(detect)
    async with stack.pair(server_options=options) as pair:
        for option in options:
            pair.association.set_option(option)
        for read in pair.association.get_option, pair.peer.get_option, pair.server.get_option:
            bounds = detection_time([read(type(option)) for option in options])
            for bound, wanted in zip(bounds, detection_time(options), strict=True):
                assert wanted <= bound <= 1.05 * wanted  # Linux rounds up to its jiffies


async def test_an_aspect_of_paths_that_is_not_given_stays(pair: Pair) -> None:
    association = pair.association
    association.set_option(PeerAddressParams(flags=FLAGS.HB_DISABLE, pathmaxrxt=9))
    (address,) = association.peer_addresses
    association.set_option(PeerAddressParams(address=address, sackdelay=50))
    association.set_option(PeerAddressParams(address=address, pathmaxrxt=4))
    of_the_path = association.get_option(PeerAddressParams, address=address)
    assert of_the_path.flags is not None
    assert FLAGS.HB_DISABLE in of_the_path.flags
    assert (of_the_path.pathmaxrxt, of_the_path.sackdelay) == (4, 50)
    assert of_the_path.address == address
    assert association.get_option(PeerAddressParams).pathmaxrxt == 9
    # To set another aspect for all paths leaves what this one has of its own.
    association.set_option(PeerAddressParams(hbinterval=7000, flags=FLAGS.HB_ENABLE))
    of_the_path = association.get_option(PeerAddressParams, address=address)
    assert (of_the_path.pathmaxrxt, of_the_path.hbinterval) == (4, 7000)


async def test_a_heartbeat_interval_of_0(pair: Pair) -> None:
    pair.association.set_option(PeerAddressParams(hbinterval=0))
    assert pair.association.get_option(PeerAddressParams).hbinterval == 0


async def test_a_heartbeat_on_demand_needs_an_association(pair: Pair) -> None:
    now = PeerAddressParams(flags=FLAGS.HB_DEMAND)
    pair.association.set_option(now)
    with pytest.raises(ValueError, match="HB_DEMAND"):
        pair.client.set_option(now)


async def test_options_of_one_association_and_no_other(pair: Pair) -> None:
    (address,) = pair.association.peer_addresses
    primary = PrimaryAddress(address)
    pair.association.set_option(primary)
    pair.client.set_option(primary, pair.association.id)
    assert pair.association.get_option(PrimaryAddress) == primary
    for call in (
        lambda: pair.client.set_option(primary),
        lambda: pair.client.get_option(PrimaryAddress),
        lambda: pair.client.get_option(Status),
        lambda: pair.client.get_option(PeerAddressInfo, address=address),
        lambda: pair.client.set_option(SetPeerPrimaryAddress(address)),
        lambda: pair.client.set_option(PeerAddressParams(address=address, pathmaxrxt=3)),
    ):
        with pytest.raises(ValueError, match="association"):
            call()
    wrong = PrimaryAddress((address[0], 1))
    with pytest.raises(ValueError, match=r"PrimaryAddress.*is .* an address of this association"):
        pair.association.set_option(wrong)


async def test_what_can_only_be_read(pair: Pair) -> None:
    (address,) = pair.association.peer_addresses
    status = pair.association.get_option(Status)
    path = pair.association.get_option(PeerAddressInfo, address=address)
    assert status == pair.association.status()
    assert status.state is StatusState.ESTABLISHED
    assert path == status.primary == pair.association.paths()[0]
    assert (path.state, path.primary) == (PathState.ACTIVE, True)
    for option in status, path:
        with pytest.raises(ValueError, match=f"{name(option)} can only be read"):
            pair.association.set_option(option)


async def test_what_can_only_be_set(pair: Pair) -> None:
    for kind in SetPeerPrimaryAddress, NetworkNamespace:
        for get in pair.association.get_option, pair.client.get_option:
            with pytest.raises(ValueError, match=f"{kind.__name__} can only be set"):
                get(kind)


async def test_an_address_where_there_is_none_to_name(pair: Pair) -> None:
    (address,) = pair.association.peer_addresses
    with pytest.raises(ValueError, match="RtoInfo takes no address="):
        pair.association.get_option(RtoInfo, address=address)
    with pytest.raises(ValueError, match="PeerAddressInfo needs address="):
        pair.association.get_option(PeerAddressInfo)
    with pytest.raises(TypeError, match="tuple"):
        pair.association.get_option(PeerAddressInfo, address="127.0.0.1")  # type: ignore[arg-type]


# -- what cannot be ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "values", "complaint"),
    [
        (AssocParams, {"asocmaxrxt": 65536}, "asocmaxrxt must be between 0 and 65535, not 65536"),
        (AssocParams, {"cookie_life": -1}, "cookie_life"),
        (PeerAddressParams, {"hbinterval": 2**32}, "hbinterval"),
        (PeerAddressParams, {"pathmaxrxt": 65536}, "pathmaxrxt"),
        (
            PeerAddressParams,
            {"pathmtu": 511},
            "pathmtu must be 0 or between 512 and 65535, not 511",
        ),
        (PeerAddressParams, {"sackdelay": 501}, "sackdelay"),
        (PeerAddressParams, {"flags": FLAGS.HB_ENABLE | FLAGS.HB_DISABLE}, "contradict"),
        (PeerAddressParams, {"flags": FLAGS.PMTUD_ENABLE | FLAGS.PMTUD_DISABLE}, "contradict"),
        (PeerAddressParams, {"address": ("localhost", 2905)}, "address.*'localhost'"),
        (PrimaryAddress, {"address": ("192.0.2.1", 65536)}, "address.*65536"),
        (EncapsulationPort, {"port": 65536}, "port must be between 0 and 65535, not 65536"),
        (EncapsulationPort, {"port": 1, "address": ("localhost", 1)}, "address.*'localhost'"),
        (AdaptationLayer, {"adaptation_ind": 2**32}, "adaptation_ind"),
        (DefaultSendParams, {"stream": 65536}, "stream"),
        (DefaultSendParams, {"ppid": -1}, "ppid"),
        (Context, {"value": 2**32}, "value"),
        (MaxBurst, {"packets": -1}, "packets"),
        (PartialDeliveryPoint, {"size": -1}, "size"),
        (FragmentInterleave, {"level": 3}, "level must be between 0 and 2, not 3"),
        (ProbeInterval, {"interval": 4999}, "interval must be 0 or between 5000 and"),
        (ProbeInterval, {"interval": 0, "address": ("localhost", 1)}, "address.*'localhost'"),
        (PeerAddressThresholds, {"switchover": 65536}, "switchover"),
        (
            PeerAddressThresholds,
            {"potentially_failed": 3, "switchover": 2},
            "switchover must be at least 3, which is potentially_failed, not 2",
        ),
        (DelayedAck, {"delay": 501}, "delay"),
        (DelayedAck, {"delay": 0}, "freq=1"),
        (DelayedAck, {"freq": 0}, "freq"),
        (AutoClose, {"seconds": -1}, "seconds"),
        (MaxSegment, {"size": 65536}, "size"),
        (Linger, {"enabled": True, "seconds": 65536}, "seconds"),
        (Tos, {"value": 256}, "value must be between 0 and 255, not 256"),
        (TrafficClass, {"value": -1}, "value"),
        (Priority, {"value": -1}, "value"),
        (ReceiveBuffer, {"size": 0}, "size"),
        (BindToDevice, {"name": "a-name-of-sixteen"}, "15 bytes"),
    ],
    ids=str,
)
def test_a_value_out_of_range(kind: type[Any], values: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        kind(**values)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (InitMsg, {"num_ostreams": "7"}),
        (RtoInfo, {"max": 1.5}),
        (PeerAddressParams, {"flags": 1}),
        (PeerAddressParams, {"address": "192.0.2.1"}),
        (PrimaryAddress, {"address": ("192.0.2.1", "2905")}),
        (NoDelay, {"enabled": 1}),
        (Tos, {"value": None}),
        (Linger, {"enabled": None}),
        (EventSubscription, {"address_event": "yes"}),
        (BindToDevice, {"name": b"lo"}),
        (DefaultSendParams, {"ppid": True}),
    ],
    ids=str,
)
def test_a_value_of_a_wrong_type(kind: type[Any], values: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=next(iter(values))):
        kind(**values)


async def test_what_is_no_option(stack: StackUnderTest, pair: Pair) -> None:
    for wrong in "NoDelay", NoDelay, {"nodelay": True}:
        with pytest.raises(TypeError, match=r"InitMsg\(num_ostreams=5\)"):
            pair.client.set_option(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="options"):
            await stack.open_endpoint(options=[wrong])
        with pytest.raises(TypeError, match="options"):
            await pair.client.connect(stack.host, 9, options=[wrong])  # type: ignore[list-item]
    no_kinds: list[Any] = ["NoDelay", NoDelay(True), int]
    for kind in no_kinds:
        with pytest.raises(TypeError, match="by its class"):
            pair.client.get_option(kind)


async def test_a_value_that_the_stack_refuses(pair: Pair) -> None:
    before = pair.client.get_option(MaxSegment)
    with pytest.raises(ValueError, match=r"the stack refuses MaxSegment\(size=10\)"):
        pair.client.set_option(MaxSegment(10))
    assert pair.client.get_option(MaxSegment) == before
    with pytest.raises(ValueError, match="the stack refuses RtoInfo"):
        pair.client.set_option(RtoInfo(min=5000, max=1000))


async def test_a_value_that_the_stack_changes_is_read_back(pair: Pair) -> None:
    pair.client.set_option(SendBuffer(32768))
    assert pair.client.get_option(SendBuffer).size >= 32768


@pytest.mark.kernel_only("a bound of Linux")
async def test_autoclose_is_bounded(pair: Pair) -> None:
    pair.client.set_option(AutoClose(2**32 - 1))
    assert 0 < pair.client.get_option(AutoClose).seconds < 2**32 - 1


@pytest.mark.kernel_only("what Linux says")
@pytest.mark.parametrize("kind", [ReceiveTos, ReceiveTrafficClass, ReceiveTtl], ids=name)
async def test_what_linux_takes_and_never_delivers(stack: StackUnderTest, kind: Any) -> None:
    async with stack.endpoint() as endpoint:
        for call in lambda: endpoint.set_option(kind(True)), lambda: endpoint.get_option(kind):
            with pytest.raises(OptionUnsupported, match=f"{kind.__name__}.*delivers nothing"):
                call()
    with pytest.raises(OptionUnsupported, match="delivers nothing"):
        await stack.open_endpoint(options=[kind(True)])


@linux
async def test_an_option_of_ipv6_sockets(stack: StackUnderTest) -> None:
    async with stack.endpoint() as four, stack.endpoint(hosts=stack.host6) as six:
        six.set_option(TrafficClass(0xB8))
        assert six.get_option(TrafficClass) == TrafficClass(0xB8)
        with pytest.raises(OptionUnsupported, match=r"TrafficClass.*needs an IPv6 socket"):
            four.set_option(TrafficClass(0xB8))
        with pytest.raises(OptionUnsupported, match=r"IPv6Only.*needs an IPv6 socket"):
            four.get_option(IPv6Only)


@linux
async def test_an_interface_that_does_not_exist(stack: StackUnderTest) -> None:
    async with stack.endpoint() as endpoint:
        with pytest.raises(OSError, match=r"BindToDevice.*No such device"):
            endpoint.set_option(BindToDevice("no-such-device"))


async def test_options_of_an_association_that_has_ended(pair: Pair) -> None:
    pair.association.abort()
    await pair.association.wait_ended()
    (peer_address,) = pair.client.local_addresses()
    for call in (
        lambda: pair.association.get_option(Status),
        lambda: pair.association.status(),
        lambda: pair.association.paths(),
        lambda: pair.association.get_option(PeerAddressInfo, address=peer_address),
        lambda: pair.association.set_option(RtoInfo(max=5000)),
        lambda: pair.association.set_option(DelayedAck(100)),
        lambda: pair.association.set_option(PrimaryAddress(peer_address)),
        lambda: pair.client.get_option(RtoInfo, UNKNOWN_ID),
    ):
        with pytest.raises(AssociationLost):
            call()


# -- at opening --------------------------------------------------------------------------------


@linux
@pytest.mark.parametrize("option", [ReuseAddress(True), ReusePort(True)], ids=name)
async def test_an_option_for_opening(stack: StackUnderTest, option: Option) -> None:
    async with stack.endpoint(options=[option]) as endpoint:
        assert endpoint.get_option(type(option)) == option
        with pytest.raises(ValueError, match=f"{name(option)} is for opening"):
            endpoint.set_option(option)
    async with stack.endpoint() as endpoint:
        assert endpoint.get_option(type(option)) == type(option)(False)


@linux
async def test_a_port_that_is_shared(stack: StackUnderTest) -> None:
    async with stack.listening(options=[ReusePort(True)]) as first:
        async with stack.listening(port=first.port, options=[ReusePort(True)]) as second:
            assert first.port == second.port
        with pytest.raises(OSError, match="in use"):
            await stack.open_endpoint(first.port)


@linux
async def test_a_port_that_is_bound_twice_while_nobody_listens(stack: StackUnderTest) -> None:
    reuse = [ReuseAddress(True)]
    async with (
        stack.endpoint(options=reuse) as first,
        stack.endpoint(first.port, options=reuse) as second,
    ):
        assert first.port == second.port


@linux
async def test_ipv6_only(stack: StackUnderTest) -> None:
    async with stack.endpoint(hosts="::", options=[IPv6Only(True)]) as endpoint:
        assert endpoint.get_option(IPv6Only) == IPv6Only(True)
        # The same port is free for IPv4.
        async with stack.endpoint(endpoint.port, hosts="0.0.0.0"):
            pass
    async with stack.endpoint(hosts="::") as endpoint:
        assert endpoint.get_option(IPv6Only) == IPv6Only(False)
    with pytest.raises(ValueError, match="IPv6Only"):
        await stack.open_endpoint(hosts=[stack.host6, stack.host], options=[IPv6Only(True)])


@linux
async def test_mapped_addresses(stack: StackUnderTest) -> None:
    async with (
        stack.listening() as server,
        stack.endpoint(hosts="::") as plain,
        stack.endpoint(hosts="::", options=[MappedV4(True)]) as mapped,
    ):
        association = await plain.connect(stack.host, server.port)
        assert association.peer_addresses == [(stack.host, server.port)]
        assert plain.association_at((stack.host, server.port)) is association
        association = await mapped.connect(stack.host, server.port)
        ((host, port, *_),) = association.peer_addresses
        assert (host, port) == (f"::ffff:{stack.host}", server.port)
        for address in (stack.host, server.port), (host, port):
            assert mapped.association_at(address) is association


# -- at connecting -----------------------------------------------------------------------------


@pytest.mark.parametrize("option", ASSOCIATION, ids=name)
async def test_an_option_of_a_connect_is_that_associations_alone(
    stack: StackUnderTest, option: Option
) -> None:
    kind = type(option)
    async with (
        stack.listening() as server,
        stack.listening() as other,
        stack.listening() as third,
        stack.endpoint() as client,
    ):
        before = client.get_option(kind)
        special = await client.connect(stack.host, server.port, options=[option])
        started = await client.connect_init(stack.host, other.port, options=[option])
        usual = await client.connect(stack.host, third.port)
        assert client.get_option(kind) == before
        assert has(special.get_option(kind), option)
        assert has(started.get_option(kind), option)
        assert not has(usual.get_option(kind), option)


async def test_parallel_connects_with_streams_of_their_own(stack: StackUnderTest) -> None:
    """The options are set, the INIT is sent and they are taken back, in one step."""
    async with stack.endpoint() as client, trio.open_nursery() as nursery:
        before = client.get_option(InitMsg)
        granted: dict[int, int] = {}

        async def connect(streams: int) -> None:
            async with stack.listening() as server:
                association = await client.connect(
                    stack.host, server.port, options=[InitMsg(num_ostreams=streams)]
                )
                granted[streams] = association.outbound_streams
                assert (await next_change(server)).inbound_streams == streams

        for streams in range(1, 21):
            nursery.start_soon(connect, streams)
    assert granted == {streams: streams for streams in range(1, 21)}
    assert before.num_ostreams == 10


@pytest.mark.parametrize(
    "option",
    [*SOCKET, *LINUX_CASES, pytest.param(ReuseAddress(True), marks=linux), SendBuffer(65536)],
    ids=name,
)
async def test_an_option_of_the_socket_is_not_for_connect(
    stack: StackUnderTest, pair: Pair, option: Option
) -> None:
    before = pair.client.get_option(type(option))
    for connect in pair.client.connect, pair.client.connect_init:
        with pytest.raises(ValueError, match=f"{name(option)} holds for the whole socket"):
            await connect(stack.host, 9, options=[option])
    assert pair.client.get_option(type(option)) == before
    assert list(pair.client.associations) == [pair.association.id]


async def test_options_of_the_peers_addresses_are_for_connect(stack: StackUnderTest) -> None:
    """They hold once the INIT has left, since there is no path before."""
    hosts = [stack.second_host, stack.host]
    async with stack.listening(hosts=hosts) as server:
        primary, other = (stack.host, server.port), (stack.second_host, server.port)
        channel = await stack.open_association(
            server.port,
            hosts=hosts,
            options=[
                PrimaryAddress(primary),
                PeerAddressParams(address=other, pathmaxrxt=7),
                PeerAddressParams(pathmaxrxt=3),
            ],
        )
        assert channel.get_option(PrimaryAddress) == PrimaryAddress(primary)
        assert channel.get_option(PeerAddressParams, address=other).pathmaxrxt == 7
        assert channel.get_option(PeerAddressParams, address=primary).pathmaxrxt == 3
        channel.abort()


async def test_where_packets_are_not_in_udp_a_udp_port_is_refused(
    stack: StackUnderTest, pair: Pair
) -> None:
    """Userland over UDP has tests of its own."""
    if stack.stack == "kernel":
        why = r"kernel stack.*EncapsulationPort.*net\.sctp\.udp_port"
    elif stack.stack.name == "simulated":
        why = r"simulated stack.*EncapsulationPort"
    else:
        return
    (address,) = pair.association.peer_addresses
    for call in (
        lambda: pair.client.set_option(EncapsulationPort(9900)),
        lambda: pair.client.get_option(EncapsulationPort),
        lambda: pair.association.set_option(EncapsulationPort(9900)),
        lambda: pair.association.set_option(EncapsulationPort(9900, address)),
        lambda: pair.association.get_option(EncapsulationPort),
    ):
        with pytest.raises(OptionUnsupported, match=why):
            call()
    with pytest.raises(OptionUnsupported, match=why):
        await stack.open_association(pair.server.port, options=[EncapsulationPort(9900)])
    with pytest.raises(OptionUnsupported, match=why):
        await stack.open_association(pair.server.port, options=[EncapsulationPort(9900, address)])


@pytest.mark.parametrize("kind", [PrimaryAddress, PeerAddressParams])
async def test_an_option_for_an_address_that_is_not_connected_to(
    stack: StackUnderTest, kind: Any
) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        for wrong in ("192.0.2.9", server.port), (stack.host, 1):
            with pytest.raises(ValueError, match="none of the peer's addresses"):
                await client.connect(stack.host, server.port, options=[kind(address=wrong)])
        assert not client.associations
        assert not server.associations


async def test_what_can_only_be_read_is_not_for_connect(stack: StackUnderTest, pair: Pair) -> None:
    for option in pair.association.status(), pair.association.paths()[0]:
        with pytest.raises(ValueError, match=f"{name(option)} can only be read"):
            await pair.client.connect(stack.host, 9, options=[option])
        with pytest.raises(ValueError, match=f"{name(option)} can only be read"):
            await stack.open_endpoint(options=[option])
    ours = SetPeerPrimaryAddress(pair.client.local_addresses()[0])
    with pytest.raises(ValueError, match=r"SetPeerPrimaryAddress.*up"):
        await pair.client.connect(stack.host, 9, options=[ours])


async def test_an_adaptation_indication_of_one_connect(stack: StackUnderTest) -> None:
    wants = EventSubscription(adaptation_layer_event=True)
    async with stack.listening(options=[wants]) as server, stack.endpoint() as client:
        options: list[Option] = [AdaptationLayer(0xFFFF_FFFE), wants]
        await client.connect(stack.host, server.port, options=options)
        up = await next_change(server)
        assert await server.receive() == AdaptationIndication(
            association_id=up.association_id, adaptation_ind=0xFFFF_FFFE
        )
        assert client.get_option(AdaptationLayer) == AdaptationLayer(0)


# -- what they do ------------------------------------------------------------------------------


async def test_the_context_comes_with_each_message(pair: Pair) -> None:
    pair.server.set_option(Context(7))
    assert pair.peer.get_option(Context) == Context(0)
    await pair.association.send(b"x")
    await pair.association.send(b"y")
    assert (await next_message(pair.server)).context == 0
    assert (await next_message(pair.server)).context == 0
    pair.peer.set_option(Context(2**32 - 1))
    await pair.association.send(b"z")
    assert (await next_message(pair.server)).context == 2**32 - 1


async def test_the_context_of_an_endpoint_is_that_of_its_associations(
    stack: StackUnderTest,
) -> None:
    async with stack.pair(server_options=[Context(7)]) as pair:
        await pair.association.send(b"x")
        assert (await next_message(pair.server)).context == 7


async def test_the_associations_of_an_endpoint_are_counted(stack: StackUnderTest) -> None:
    async with stack.pair() as pair, stack.listening() as other:
        assert pair.client.get_option(AssociationCount) == AssociationCount(1)
        second = await pair.client.connect(stack.host, other.port)
        assert pair.client.get_option(AssociationCount) == AssociationCount(2)
        channel = pair.client.peeloff(second)
        assert pair.client.get_option(AssociationCount) == AssociationCount(1)
        channel.abort()
        pair.association.abort()
        await pair.association.wait_ended()
        assert pair.client.get_option(AssociationCount) == AssociationCount(0)
        with pytest.raises(ValueError, match="AssociationCount can only be read"):
            pair.client.set_option(AssociationCount(1))


async def test_what_is_negotiated_needs_both_sides(stack: StackUnderTest) -> None:
    off: list[Option] = [PrSupported(False)]
    async with stack.pair() as pair:
        assert pair.client.get_option(PrSupported) == PrSupported(True)
        with pytest.raises(ValueError, match="PrSupported holds for associations set up"):
            pair.association.set_option(PrSupported(False))
        assert pair.association.get_option(PrSupported) == PrSupported(True)
        assert pair.peer.get_option(PrSupported) == PrSupported(True)
    none: list[Option] = []
    for client, server in (off, none), (none, off):
        async with stack.pair(client_options=client, server_options=server) as pair:
            assert pair.client.get_option(PrSupported) == PrSupported(not client)
            assert pair.association.get_option(PrSupported) == PrSupported(False)
            assert pair.peer.get_option(PrSupported) == PrSupported(False)


async def test_congestion_notification_needs_both_sides(stack: StackUnderTest) -> None:
    for client, server in (True, True), (True, False), (False, True):
        async with stack.pair(
            client_options=[EcnSupported(client)], server_options=[EcnSupported(server)]
        ) as pair:
            assert pair.client.get_option(EcnSupported) == EcnSupported(client)
            for association in pair.association, pair.peer:
                assert association.get_option(EcnSupported) == EcnSupported(client and server)
            await pair.association.send(b"x")
            assert (await next_message(pair.server)).data == b"x"


async def test_a_channel_tells_what_is_agreed_on(stack: StackUnderTest) -> None:
    async with stack.listener(options=[PrSupported(False)]) as listener:
        channel = await stack.open_association(listener.port)
        assert channel.get_option(PrSupported) == PrSupported(False)
        with pytest.raises(ValueError, match="PrSupported holds for associations set up afterw"):
            channel.set_option(PrSupported(True))
        channel.abort()


async def test_thresholds_of_one_path_and_of_all(stack: StackUnderTest) -> None:
    hosts = [stack.host, stack.second_host]
    async with stack.listening(hosts=hosts) as server:
        channel = await stack.open_association(server.port, hosts=hosts)
        first, second = ((host, server.port) for host in hosts)
        default = channel.get_option(PeerAddressThresholds)
        assert default == PeerAddressThresholds(
            pathmaxrxt=5, potentially_failed=0, switchover=65535
        )
        channel.set_option(PeerAddressThresholds(pathmaxrxt=3, switchover=2, address=second))
        assert channel.get_option(PeerAddressThresholds) == default
        assert channel.get_option(PeerAddressThresholds, address=second) == PeerAddressThresholds(
            pathmaxrxt=3, potentially_failed=0, switchover=2, address=second
        )
        assert channel.get_option(PeerAddressParams, address=second).pathmaxrxt == 3
        assert channel.get_option(PeerAddressThresholds, address=first).switchover == 65535
        channel.set_option(PeerAddressThresholds(pathmaxrxt=4, potentially_failed=1))
        for address in first, second:
            of_path = channel.get_option(PeerAddressThresholds, address=address)
            assert (of_path.pathmaxrxt, of_path.potentially_failed) == (4, 1)
        assert channel.get_option(PeerAddressParams).pathmaxrxt == 4
        channel.set_option(PeerAddressThresholds(switchover=2))
        with pytest.raises(ValueError, match="switchover must be at least 3"):
            channel.set_option(PeerAddressThresholds(potentially_failed=3))
        with pytest.raises(ValueError, match=r"PeerAddressThresholds.*an address of this assoc"):
            channel.set_option(PeerAddressThresholds(pathmaxrxt=2, address=(stack.host, 1)))
        channel.abort()


async def test_thresholds_of_a_path_are_for_connect(stack: StackUnderTest) -> None:
    hosts = [stack.host, stack.second_host]
    async with stack.listening(hosts=hosts) as server:
        second = (stack.second_host, server.port)
        channel = await stack.open_association(
            server.port,
            hosts=hosts,
            options=[PeerAddressThresholds(pathmaxrxt=7, address=second)],
        )
        read = channel.get_option(PeerAddressThresholds, address=second)
        assert read.pathmaxrxt == 7
        channel.abort()


async def test_a_delivery_point_beyond_the_receive_buffer(
    stack: StackUnderTest, pair: Pair
) -> None:
    said = r"refuses PartialDeliveryPoint\(size=1073741824\): is it more than half of the Rec"
    if stack.stack != "kernel":
        said = "PartialDeliveryPoint.size must be at most the ReceiveBuffer's 1048576 bytes, not"
    with pytest.raises(ValueError, match=said):
        pair.client.set_option(PartialDeliveryPoint(2**30))


async def test_a_message_that_is_handed_over_in_parts_arrives_whole(stack: StackUnderTest) -> None:
    async with stack.pair(server_options=[PartialDeliveryPoint(3000)]) as pair:
        messages = [bytes([n]) * 20_000 for n in range(5)]
        for message in messages:
            await pair.association.send(message)
        assert [(await next_message(pair.server)).data for _ in messages] == messages


async def test_the_level_of_interleaving(stack: StackUnderTest, pair: Pair) -> None:
    assert pair.client.get_option(FragmentInterleave) == FragmentInterleave(1)
    pair.client.set_option(FragmentInterleave(1))
    if stack.stack != "kernel":
        with pytest.raises(OptionUnsupported, match=f"{stack.stack.name} stack.*Interleave but"):
            pair.client.set_option(FragmentInterleave(0))


@linux
@pytest.mark.parametrize("option", [AsconfSupported, AuthSupported], ids=name)
async def test_what_else_linux_negotiates(stack: StackUnderTest, option: Any) -> None:
    for on in True, False:
        # ASCONF is offered together with AUTH only.
        options = [option(on), AuthSupported(True)][: 1 + (option is AsconfSupported)]
        async with stack.pair(client_options=options, server_options=options) as pair:
            assert pair.client.get_option(option) == option(on)
            assert pair.association.get_option(option) == option(on)


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize("there", [True, False])
async def test_both_ends_have_to_know_how_to_reset_streams(
    stack: StackUnderTest, here: bool, there: bool
) -> None:
    client, server = ReconfigSupported(here), ReconfigSupported(there)
    async with stack.pair(client_options=[client], server_options=[server]) as pair:
        assert pair.client.get_option(ReconfigSupported) == client
        both = ReconfigSupported(here and there)
        assert pair.association.get_option(ReconfigSupported) == both
        assert pair.peer.get_option(ReconfigSupported) == both


@linux
async def test_addresses_that_come_and_go(stack: StackUnderTest) -> None:
    async with stack.endpoint(hosts=()) as endpoint:
        before = endpoint.get_option(AutoAsconf)
        endpoint.set_option(AutoAsconf(not before.enabled))
        assert endpoint.get_option(AutoAsconf) == AutoAsconf(not before.enabled)
    async with stack.endpoint() as endpoint:
        said = r"refuses AutoAsconf\(enabled=True\): is the socket bound to all addresses\?"
        with pytest.raises(ValueError, match=said):
            endpoint.set_option(AutoAsconf(True))


async def test_how_often_the_path_mtu_is_probed(stack: StackUnderTest, pair: Pair) -> None:
    association, default = pair.association, pair.client.get_option(ProbeInterval)
    assert default == ProbeInterval(20_000 if "userland" in repr(stack.stack) else 0)
    (address,) = association.peer_addresses
    assert association.get_option(ProbeInterval) == default
    pair.client.set_option(ProbeInterval(6000))
    assert pair.client.get_option(ProbeInterval) == ProbeInterval(6000)
    assert association.get_option(ProbeInterval) == default
    association.set_option(ProbeInterval(5000, address))
    assert association.get_option(ProbeInterval, address=address) == ProbeInterval(5000, address)
    for interval in 0, 7000:
        association.set_option(ProbeInterval(interval))
        assert association.get_option(ProbeInterval) == ProbeInterval(interval)
        of_path = association.get_option(ProbeInterval, address=address)
        assert of_path == ProbeInterval(interval, address)


async def test_autoclose_ends_an_idle_association_gracefully(stack: StackUnderTest) -> None:
    async with stack.listening() as server, stack.endpoint() as client:
        options: list[Option] = [AutoClose(1)]
        association = await client.connect(stack.host, server.port, options=options)
        (peer,) = server.associations.values()
        assert (await association.wait_ended()).graceful
        assert (await peer.wait_ended()).graceful


async def test_without_fragments_a_long_message_is_refused(pair: Pair) -> None:
    pair.client.set_option(DisableFragments(True))
    pair.association.set_option(MaxSegment(1000))
    limit = pair.association.status().fragmentation_point
    assert limit == 1000
    with pytest.raises(ValueError, match="too large"):
        await pair.association.send(bytes(limit + 1))
    await pair.association.send(bytes(limit))
    assert len((await next_message(pair.server)).data) == limit


async def test_small_segments_are_joined(pair: Pair) -> None:
    pair.association.set_option(MaxSegment(600))
    await pair.association.send(bytes(range(250)) * 40)
    assert (await next_message(pair.server)).data == bytes(range(250)) * 40


# -- default send parameters -------------------------------------------------------------------


async def send_default(pair: Pair, **how: Any) -> Message:
    await pair.association.send(b"x", **how)
    return await next_message(pair.server)


async def test_default_send_params_stand_in_for_none(pair: Pair) -> None:
    pair.association.set_option(DefaultSendParams(stream=3, ppid=46, unordered=True))
    message = await send_default(pair)
    assert (message.stream, message.ppid, message.unordered) == (3, 46, True)
    message = await send_default(pair, stream=0, unordered=False)
    assert (message.stream, message.ppid, message.unordered) == (0, 46, False)
    message = await send_default(pair, ppid=0)
    assert (message.stream, message.ppid, message.unordered) == (3, 0, True)
    pair.association.set_option(DefaultSendParams(ppid=47))
    message = await send_default(pair)
    assert (message.stream, message.ppid, message.unordered) == (3, 47, True)


async def test_default_send_params_hold_for_every_way_to_send(pair: Pair) -> None:
    pair.client.set_option(DefaultSendParams(ppid=46), pair.association)
    await pair.client.send(b"0", pair.association.id)
    pair.client.send_nowait(b"1", pair.association)
    pair.association.send_nowait(b"2")
    assert [(await next_message(pair.server)).ppid for _ in range(3)] == [46] * 3
    channel = pair.client.peeloff(pair.association)
    await channel.send(b"3")
    assert (await next_message(pair.server)).ppid == 46
    channel.set_option(DefaultSendParams(ppid=47))
    await channel.send(b"4")
    assert (await next_message(pair.server)).ppid == 47
    channel.abort()


async def test_an_association_starts_with_the_endpoints_and_keeps_them(
    stack: StackUnderTest,
) -> None:
    """Also one whose COMM_UP was not read before they changed."""
    async with (
        stack.listening(options=[DefaultSendParams(ppid=17)]) as server,
        stack.endpoint() as client,
    ):
        await client.connect(stack.host, server.port)
        server.set_option(DefaultSendParams(ppid=18))
        up = await next_change(server)
        await server.send(b"old", up.association_id)
        assert (await next_message(client)).ppid == 17
        assert server.get_option(DefaultSendParams).ppid == 18
        assert server.get_option(DefaultSendParams, up.association_id).ppid == 17
        server.set_option(DefaultSendParams(ppid=19), up.association_id)
        await server.send(b"new", up.association_id)
        assert (await next_message(client)).ppid == 19


async def test_the_default_context_and_lifetime(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        client.set_option(DefaultSendParams(context=7, lifetime=60_000))
        assert client.get_option(DefaultSendParams) == DefaultSendParams(
            stream=0, ppid=0, unordered=False, context=7, lifetime=60_000
        )
        with pytest.raises(trio.WouldBlock):
            while True:
                client.send_nowait(bytes(1000))
        server.abort()
        end = await client.wait_ended()
        assert {failed.context for failed in end.undelivered} == {7}


async def test_a_default_stream_that_the_association_does_not_have(pair: Pair) -> None:
    pair.association.set_option(DefaultSendParams(stream=99))
    with pytest.raises(ValueError, match="no outbound stream 99"):
        await pair.association.send(b"x")
    await pair.association.send(b"0", stream=0)
    assert await take(pair.server.receive, 1) == [0]


# -- linger ------------------------------------------------------------------------------------


@pytest.fixture
async def stuck(stack: StackUnderTest) -> AsyncIterator[Pair]:
    """A peer that reads nothing, and more on the way to it than fits."""
    buffers = [SendBuffer(16384), ReceiveBuffer(16384)]
    async with stack.pair(server_options=buffers, client_options=buffers) as pair:
        with pytest.raises(trio.WouldBlock):
            while True:
                pair.association.send_nowait(b"0".ljust(1000))
        yield pair


async def test_linger_0_aborts(stuck: Pair) -> None:
    stuck.client.set_option(Linger(True, 0))
    await stuck.client.aclose()
    end = await stuck.association.wait_ended()
    assert (end.state, end.cause) == (AssociationState.COMM_LOST, 12)
    assert (await stuck.peer.wait_ended()).state is AssociationState.COMM_LOST


async def test_linger_bounds_the_graceful_wait(stuck: Pair) -> None:
    """What is left then goes on in the background."""
    stuck.client.set_option(Linger(True, 1))
    sent = stuck.client.statistics().messages_sent
    await stuck.client.aclose()
    assert [await next_message(stuck.server) for _ in range(sent)]
    assert (await stuck.peer.wait_ended()).graceful


async def test_linger_does_not_keep_anybody_who_is_done(pair: Pair) -> None:
    pair.client.set_option(Linger(True, 3600))
    await pair.association.send(b"0")
    await pair.client.aclose()
    assert await take(pair.server.receive, 1) == [0]
    assert (await pair.peer.wait_ended()).graceful


async def test_without_linger_a_cancelled_close_goes_on_in_the_background(stuck: Pair) -> None:
    sent = stuck.client.statistics().messages_sent
    await trio.aclose_forcefully(stuck.client)
    assert [await next_message(stuck.server) for _ in range(sent)]
    assert (await stuck.peer.wait_ended()).graceful


async def test_linger_of_a_channel(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        client.set_option(Linger(True, 0))
        await client.aclose()
        assert (await client.wait_ended()).cause == 12
        with pytest.raises(AssociationLost):
            await server.receive()


async def test_linger_does_not_make_a_graceful_end_of_an_abort(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        client.set_option(Linger(True, 5))
        client.abort(b"no more")
        assert (await server.wait_ended()).reason == b"no more"


async def test_what_a_stack_lacks_is_refused_by_name(stack: StackUnderTest) -> None:
    if stack.stack == "kernel":
        return  # it has them all but those above
    async with stack.pair() as pair:
        for option in LINUX:
            for call in (
                lambda option=option: pair.client.set_option(option),
                lambda option=option: pair.client.get_option(type(option)),
            ):
                with pytest.raises(
                    OptionUnsupported, match=f"{stack.stack.name} stack.*{name(option)}"
                ):
                    call()
    with pytest.raises(OptionUnsupported, match="ReusePort"):
        await stack.open_endpoint(options=[ReusePort(True)])


def test_every_option_is_tested_here() -> None:
    tested = {type(option) for option in (*SOCKET, *LINUX, *NEW, *ASSOCIATION)}
    tested |= {PrStatus}  # test_partial_reliability.py
    tested |= {Status, PeerAddressInfo, PrimaryAddress, SetPeerPrimaryAddress}
    tested |= {AssociationCount, AutoAsconf, FragmentInterleave, PrSupported, ProbeInterval}
    tested |= {EnableStreamReset}  # test_reconfiguration.py
    tested |= {AsconfWithoutAuth}  # test_address_changes.py
    tested |= {AsconfSupported, AuthSupported, EcnSupported, ReconfigSupported}
    tested |= {SendBuffer, ReceiveBuffer, TrafficClass, IPv6Only, ReuseAddress, ReusePort}
    tested |= {ReceiveTos, ReceiveTrafficClass, ReceiveTtl}
    tested |= {NetworkNamespace}  # tests/kernel
    tested |= {StreamPriority, Interleaving}  # test_schedulers.py, test_interleaving.py
    tested |= {AuthChunks, LocalAuthChunks, PeerAuthChunks}  # test_authentication
    tested |= {HmacAlgorithms, AuthKey, ActiveKey}
    tested |= {EncapsulationPort}  # tests/userland and tests/kernel as well
    options = {
        value
        for value in vars(trio_sctp).values()
        if isinstance(value, type) and issubclass(value, Option) and value is not Option
    }
    assert options == tested
