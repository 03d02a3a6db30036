"""What each option may be set for, and what is said of all others."""

from __future__ import annotations

import inspect

import pytest

import trio_sctp
from trio_sctp import (
    ActiveKey,
    AdaptationLayer,
    AsconfSupported,
    AsconfWithoutAuth,
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
    HmacAlgorithm,
    HmacAlgorithms,
    InitMsg,
    Interleaving,
    IPv6Only,
    Linger,
    MappedV4,
    MaxBurst,
    MaxSegment,
    NetworkNamespace,
    NoDelay,
    Option,
    PartialDeliveryPoint,
    PeerAddressParams,
    PeerAddressThresholds,
    PrimaryAddress,
    Priority,
    ProbeInterval,
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
    StreamPriority,
    StreamScheduler,
    Tos,
    TrafficClass,
)
from trio_sctp._options import DEFAULTS

from ..support.fake_stack import PEER, FakeStack, change, opened

ID = 100

SOCKET: list[Option] = [
    AuthChunks([0]),
    BindToDevice("lo"),
    AutoAsconf(True),
    DisableFragments(True),
    DontRoute(True),
    FragmentInterleave(0),
    HmacAlgorithms([HmacAlgorithm.SHA_1]),
    Linger(True, 5),
    MappedV4(True),
    NoDelay(False),
    PartialDeliveryPoint(1),
    Priority(3),
    ReceiveBuffer(1000),
    ReceiveTos(True),
    ReceiveTrafficClass(True),
    ReceiveTtl(True),
    SendBuffer(1000),
    Tos(8),
    TrafficClass(8),
]
OPENING: list[Option] = [
    IPv6Only(True),
    NetworkNamespace("/run/netns/blue"),
    ReuseAddress(True),
    ReusePort(True),
]
NEW: list[Option] = [
    AdaptationLayer(1),
    AsconfSupported(True),
    AsconfWithoutAuth(True),
    AuthSupported(True),
    AutoClose(1),
    EcnSupported(True),
    PrSupported(False),
    Interleaving(True),
    ReconfigSupported(True),
    InitMsg(num_ostreams=1, max_instreams=1, max_attempts=1, max_init_timeo=1),
]
ASSOCIATION: list[Option] = [
    ActiveKey(1),
    AuthKey(1, b"secret"),
    AssocParams(asocmaxrxt=1, number_peer_destinations=0, peer_rwnd=0, local_rwnd=0, cookie_life=1),
    DefaultSendParams(stream=0, ppid=1, unordered=False, context=0, lifetime=0),
    DelayedAck(freq=1),
    Context(1),
    EnableStreamReset(streams=True, association=True, changes=True),
    EncapsulationPort(1),
    EncapsulationPort(1, PEER),
    ExposePotentiallyFailed(True),
    MaxBurst(1),
    MaxSegment(1000),
    PeerAddressParams(pathmaxrxt=1),
    PeerAddressParams(pathmaxrxt=1, address=PEER),
    PeerAddressThresholds(pathmaxrxt=1, potentially_failed=1, switchover=1),
    PeerAddressThresholds(pathmaxrxt=1, potentially_failed=1, switchover=1, address=PEER),
    ProbeInterval(5000),
    ProbeInterval(5000, PEER),
    RtoInfo(initial=1, max=1, min=1),
    StreamScheduler(Scheduler.PRIORITY),
]
ONE: list[Option] = [PrimaryAddress(PEER), SetPeerPrimaryAddress(PEER), StreamPriority(0, 1)]

READ_ONLY = {
    "AssociationCount",
    "LocalAuthChunks",
    "PeerAddressInfo",
    "PeerAuthChunks",
    "PrStatus",
    "Status",
}


def name(option: Option) -> str:
    return type(option).__name__


def of_an_address(option: Option) -> bool:
    return option not in ONE and getattr(option, "address", None) is not None


@pytest.mark.parametrize("option", [*SOCKET, *OPENING, *NEW, *ASSOCIATION, *ONE], ids=name)
async def test_an_option_of_an_endpoint(option: Option) -> None:
    stack = FakeStack()
    endpoint = opened(await trio_sctp.open_endpoint(stack=stack))
    (socket,) = stack.sockets
    socket.options.clear()
    if option in OPENING:
        said = f"{name(option)} is for opening: give it to open_... in options="
    elif option in ONE:
        said = f"{name(option)} belongs to one association: say which"
    elif of_an_address(option):
        said = f"{name(option)} for one address needs the association"
    else:
        endpoint.set_option(option)
        assert socket.options == [(option, None)]
        return
    with pytest.raises(ValueError, match=said):
        endpoint.set_option(option)
    assert socket.options == []


@pytest.mark.parametrize("option", [*SOCKET, *OPENING, *NEW, *ASSOCIATION, *ONE], ids=name)
async def test_an_option_of_an_association(option: Option) -> None:
    stack = FakeStack()
    endpoint = opened(await trio_sctp.open_endpoint(stack=stack))
    (socket,) = stack.sockets
    socket.arrive(change(ID, trio_sctp.AssociationState.COMM_UP))
    await endpoint.receive()
    socket.options.clear()
    if option in OPENING:
        said = f"{name(option)} is for opening"
    elif option in SOCKET:
        said = f"{name(option)} holds for the whole socket: set it on the endpoint"
    elif option in NEW:
        said = f"{name(option)} holds for associations set up afterwards: give it to connect, in"
    else:
        endpoint.set_option(option, ID)
        assert socket.options == [(option, ID)]
        return
    with pytest.raises(ValueError, match=said):
        endpoint.set_option(option, ID)
    assert socket.options == []


@pytest.mark.parametrize("option", [*SOCKET, *OPENING, *NEW, *ASSOCIATION, *ONE], ids=name)
async def test_an_option_of_a_channel(option: Option) -> None:
    stack = FakeStack()
    listener = opened(await trio_sctp.open_listener(9, stack=stack))
    stack.sockets[0].arrive(change(ID, trio_sctp.AssociationState.COMM_UP))
    channel = opened(await listener.accept())
    socket = stack.sockets[0].peeled[ID]
    if option in OPENING:
        said = f"{name(option)} is for opening"
    elif option in NEW:
        said = "set up afterwards: give it to open_association or to the listener, in options="
    elif isinstance(option, (AuthChunks, HmacAlgorithms)):
        said = f"{name(option)} holds for associations set up afterwards: give it to open_"
    else:
        channel.set_option(option)
        assert socket.options == [(option, None if option in SOCKET else ID)]
        return
    with pytest.raises(ValueError, match=said):
        channel.set_option(option)
    assert socket.options == []


@pytest.mark.parametrize("option", ONE, ids=name)
async def test_a_listener_has_no_option_of_one_association(option: Option) -> None:
    listener = opened(await trio_sctp.open_listener(9, stack=FakeStack()))
    with pytest.raises(ValueError, match="belongs to one association: a listener has none"):
        listener.set_option(option)


@pytest.mark.parametrize("option", [*SOCKET, *OPENING, *NEW, *ASSOCIATION, *ONE], ids=name)
async def test_an_option_of_a_connect(option: Option) -> None:
    stack = FakeStack()
    endpoint = opened(await trio_sctp.open_endpoint(stack=stack))
    (socket,) = stack.sockets
    for some in (*NEW, *ASSOCIATION, EncapsulationPort(7)):
        socket.own[type(some)] = some  # what it has when the association has started
    socket.options.clear()
    if option in SOCKET or option in OPENING:
        said = f"{name(option)} holds for the whole socket: set it on the endpoint"
    elif isinstance(option, SetPeerPrimaryAddress):
        said = "SetPeerPrimaryAddress can only be set once the association is up"
    elif isinstance(option, AuthKey):
        said = "AuthKey is taken over from the endpoint: set it there before connect"
    else:
        await endpoint.connect_init(PEER[0], PEER[1], options=[option])
        assert option in [some for some, _ in socket.options]
        assert [call for call, _ in socket.calls] == ["connect"]
        return
    with pytest.raises(ValueError, match=said):
        await endpoint.connect_init(PEER[0], PEER[1], options=[option])
    assert (socket.options, socket.calls) == ([], [])


async def test_options_for_opening_are_set_before_all_others_and_once() -> None:
    stack = FakeStack()
    options = [Tos(8), *OPENING, Linger(True, 5)]
    opened(await trio_sctp.open_endpoint(stack=stack, options=options))
    (socket,) = stack.sockets
    assert stack.opened_with == OPENING
    assert [option for option, _ in socket.options] == [
        *(row.option for row in DEFAULTS if not isinstance(row.option, EventSubscription)),
        Tos(8),
        Linger(True, 5),
    ]


@pytest.mark.parametrize("option", [NetworkNamespace("x"), SetPeerPrimaryAddress(PEER)], ids=name)
async def test_what_can_only_be_set_cannot_be_read(option: Option) -> None:
    endpoint = opened(await trio_sctp.open_endpoint(stack=FakeStack()))
    with pytest.raises(ValueError, match=f"{name(option)} can only be set"):
        endpoint.get_option(type(option))


def test_every_option_that_can_be_set_is_here() -> None:
    public = {
        kind.__name__
        for kind in vars(trio_sctp).values()
        if inspect.isclass(kind) and issubclass(kind, Option) and kind is not Option
    }
    here = {name(option) for option in (*SOCKET, *OPENING, *NEW, *ASSOCIATION, *ONE)}
    assert public - here == READ_ONLY | {"EventSubscription"}
