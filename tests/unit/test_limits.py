"""Documented limits at their edges: the lowest and the highest value, and those next to them."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import math
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio

import trio_sctp
from trio_sctp import (
    AdaptationLayer,
    AssociationLost,
    AssociationState,
    DelayedAck,
    Endpoint,
    Linger,
    Message,
    NoDelay,
    Passive,
    PrimaryAddress,
    RtoInfo,
    SendBuffer,
    Tos,
    Window,
)
from trio_sctp._options import Option

from ..support.fake_stack import FakeSocket, FakeStack, change, message

U16, U32 = "0 to 65535", "0 to 2**32 - 1"
ID = 7

RANGES: dict[str, dict[str, str]] = {
    "InitMsg": {
        "num_ostreams": "1 to 65535",
        "max_instreams": "1 to 65535",
        "max_attempts": U16,
        "max_init_timeo": U16,
    },
    "RtoInfo": dict.fromkeys(["initial", "max", "min"], "1 to 2**31 - 1"),
    "AssocParams": {"asocmaxrxt": "1 to 65535", "cookie_life": "1 to 2**32 - 1"},
    "PeerAddressParams": {
        "hbinterval": U32,
        "pathmaxrxt": "1 to 65535",
        "pathmtu": "512 to 65535",
        "sackdelay": "1 to 500",
    },
    "EncapsulationPort": {"port": U16},
    "AuthKey": {"id": U16},
    "ActiveKey": {"id": U16},
    "AdaptationLayer": {"adaptation_ind": U32},
    "DefaultSendParams": {
        "stream": U16,
        "ppid": U32,
        "context": U32,
        "lifetime": U32,
        "retransmissions": U32,
        "priority": U32,
    },
    "DelayedAck": {"delay": "1 to 500", "freq": "1 to 2**32 - 1"},
    "AutoClose": {"seconds": U32},
    "MaxSegment": {"size": U16},
    "SendBuffer": {"size": "1 to 2**30"},
    "ReceiveBuffer": {"size": "1 to 2**30"},
    "Linger": {"seconds": U16},
    "Tos": {"value": "0 to 255"},
    "TrafficClass": {"value": "0 to 255"},
    "Priority": {"value": "0 to 2**31 - 1"},
    "Context": {"value": U32},
    "MaxBurst": {"packets": "0 to 2**31 - 1"},
    "PartialDeliveryPoint": {"size": "0 to 2**31 - 1"},
    "FragmentInterleave": {"level": "0 to 2"},
    "ProbeInterval": {"interval": "5000 to 2**32 - 1"},
    "PeerAddressThresholds": {
        "pathmaxrxt": "1 to 65535",
        "potentially_failed": U16,
        "switchover": U16,
    },
    "StreamPriority": {"stream": U16, "value": U16},
}
"""The range of every number that can be set, in the words of its class's documentation."""

AS_IT_IS = "0 leaves it as it is"
ZERO_STANDS_FOR = {
    "AssocParams.asocmaxrxt": AS_IT_IS,
    "AssocParams.cookie_life": AS_IT_IS,
    "PeerAddressParams.pathmaxrxt": AS_IT_IS,
    "PeerAddressParams.pathmtu": AS_IT_IS,
    "PeerAddressParams.sackdelay": AS_IT_IS,
    "PeerAddressThresholds.pathmaxrxt": AS_IT_IS,
    "ProbeInterval.interval": "0 means none",
}
"""Fields of which 0, which is out of range, means something, in the documentation's words."""

READ_ONLY = {"number_peer_destinations", "peer_rwnd", "local_rwnd"}
OTHERS: dict[str, dict[str, Any]] = {
    "Linger": {"enabled": True},
    "AuthKey": {"secret": b""},
    "DelayedAck": {"delay": None, "freq": None},
    "StreamPriority": {"stream": 0, "value": 0},
}
FIELDS = [(kind, field) for kind, fields in RANGES.items() for field in fields]


def bounds(text: str) -> tuple[int, int]:
    """The numbers of a text such as ``0 to 2**32 - 1``."""
    low, high = (
        eval(compile(ast.parse(side, mode="eval"), "", "eval")) for side in text.split(" to ")
    )
    return low, high


def make(kind: str, field: str, value: int) -> Option:
    option: Option = getattr(trio_sctp, kind)(**OTHERS.get(kind, {}) | {field: value})
    return option


def documentation(kind: type[Option], field: str) -> str:
    """What the documentation of a class says of one field."""
    text = inspect.cleandoc(kind.__doc__ or "")
    found = re.search(rf"^  (?:\w+, )*{field}(?:, \w+)*:(.*?)(?=^  \w|^\S|\Z)", text, re.M | re.S)
    assert found is not None
    return " ".join(found[1].split())


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_the_range_of_an_option(kind: str, field: str) -> None:
    low, high = bounds(RANGES[kind][field])
    assert RANGES[kind][field] in documentation(getattr(trio_sctp, kind), field)
    for value in low, low + 1, high - 1, high:
        assert getattr(make(kind, field, value), field) == value
    zero = ZERO_STANDS_FOR.get(f"{kind}.{field}")
    below = [-1] if zero else [low - 1]
    if zero:
        assert zero in documentation(getattr(trio_sctp, kind), field)
        assert getattr(make(kind, field, 0), field) == 0
        if low > 1:
            below += [1, low - 1]
    for value in [*below, high + 1]:
        with pytest.raises(ValueError, match=rf"{kind}\.{field} must be .*, not {value}"):
            make(kind, field, value)


def test_no_number_that_can_be_set_is_left_out() -> None:
    settable = {
        (name, field.name)
        for name in trio_sctp.__all__
        if isinstance(kind := getattr(trio_sctp, name), type)
        and issubclass(kind, Option)
        and kind is not Option
        and not kind.read_only
        for field in dataclasses.fields(kind)
        if str(field.type) in ("int", "int | None") and field.name not in READ_ONLY
    }
    assert settable == set(FIELDS)


@pytest.mark.parametrize("port", [0, 1, 65534, 65535])
def test_the_port_of_an_address(port: int) -> None:
    for address in ("192.0.2.1", port), ("2001:db8::1", port, 0, 0):
        assert PrimaryAddress(address).address == address


@pytest.mark.parametrize("port", [-1, 65536])
def test_no_port_of_an_address(port: int) -> None:
    with pytest.raises(ValueError, match=f"a port between 0 and 65535, not {port}"):
        PrimaryAddress(("192.0.2.1", port))


@pytest.mark.parametrize("name", ["", "x", "x" * 15, "é" * 7])
def test_the_name_of_an_interface(name: str) -> None:
    assert trio_sctp.BindToDevice(name).name == name


@pytest.mark.parametrize("name", ["x" * 16, "é" * 8, "lo\0"])
def test_no_name_of_an_interface(name: str) -> None:
    with pytest.raises(ValueError, match="at most 15 bytes and no NUL"):
        trio_sctp.BindToDevice(name)


@pytest.mark.parametrize("size", [1, 2, 32766, 32767])
def test_the_size_of_a_window(size: int) -> None:
    assert Window(size).size == size


@pytest.mark.parametrize("size", [-1, 0, 32768])
def test_no_size_of_a_window(size: int) -> None:
    with pytest.raises(ValueError, match=f"between 1 and 32767, not {size}"):
        Window(size)


# -- arguments of calls ------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def endpoint(**more: Any) -> AsyncIterator[tuple[Endpoint, FakeSocket]]:
    """An endpoint with one association that is up."""
    stack = FakeStack()
    endpoint = await trio_sctp.open_endpoint(stack=stack, **more)
    socket = stack.sockets[0]
    socket.arrive(change(ID, AssociationState.COMM_UP))
    await endpoint.receive()
    yield endpoint, socket
    await trio.aclose_forcefully(endpoint)


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [
        ("stream", 0, 9),  # the peer grants ten
        ("ppid", 0, 2**32 - 1),
        ("context", 0, 2**32 - 1),
        ("lifetime", 0, 2**32 - 1),
        ("retransmissions", 0, 2**32 - 1),
        ("priority", 0, 2**32 - 1),
    ],
)
async def test_how_a_message_is_sent(field: str, low: int, high: int) -> None:
    async with endpoint() as (here, socket):
        for value in low, high:
            here.send_nowait(b"x", ID, **{field: value})  # type: ignore[arg-type]
        assert len(socket.sent) == 2
        for value in low - 1, high + 1:
            with pytest.raises(ValueError, match=field):
                here.send_nowait(b"x", ID, **{field: value})  # type: ignore[arg-type]
        assert len(socket.sent) == 2


async def test_the_size_of_a_message() -> None:
    async with endpoint() as (here, socket):
        largest = here.max_send_size
        for size in 1, largest:
            here.send_nowait(bytes(size), ID)
        assert [len(data) for _, data in socket.sent] == [1, largest]
        with pytest.raises(ValueError, match="cannot be empty"):
            here.send_nowait(b"", ID)
        with pytest.raises(ValueError, match=f"{largest + 1} bytes is larger than"):
            here.send_nowait(bytes(largest + 1), ID)


async def test_the_id_of_an_association() -> None:
    async with endpoint() as (here, _):
        for id in 1, 2**31 - 1:
            with pytest.raises(AssociationLost, match=f"has no association {id} "):
                here.send_nowait(b"x", id)
        for id in 0, 2**31:
            with pytest.raises(ValueError, match="id must be between 1 and 2"):
                here.send_nowait(b"x", id)


async def test_the_reason_of_an_abort() -> None:
    for size in 0, 60_000:
        async with endpoint() as (here, socket):
            here.abort(ID, bytes(size))
            assert socket.calls[-1] == ("abort", ID)
    async with endpoint() as (here, socket):
        with pytest.raises(ValueError, match="at most 60000 bytes, not 60001"):
            here.abort(ID, bytes(60_001))
        assert socket.calls == []


async def test_the_credit_of_an_inbox() -> None:
    async with endpoint() as (here, _):
        async with here.active(32767) as inbox:
            assert inbox.credit == 32767
            with pytest.raises(ValueError, match="credit must be at most 32767"):
                inbox.grant(1)
            inbox.grant(-32767)
            assert await inbox.receive() == Passive()
            inbox.grant(32767)
            inbox.grant(-32768)
            assert (inbox.credit, await inbox.receive()) == (0, Passive())
            for n in -32769, 32768:
                with pytest.raises(ValueError, match=f"between -32768 and 32767, not {n}"):
                    inbox.grant(n)
        for mode in -32769, 32768:
            with pytest.raises(ValueError, match="between -32768 and 32767"):
                async with here.active(mode):
                    pass


async def test_the_size_of_a_batch() -> None:
    async with endpoint() as (here, socket):
        socket.arrive(*[message(ID)] * 4)
        assert len(await here.receive_batch(1)) == 1
        with pytest.raises(ValueError, match="1 or more, not 0"):
            await here.receive_batch(0)
        async with here.active(2) as inbox:
            assert len(await inbox.receive_batch(1)) == 1
            with pytest.raises(ValueError, match="1 or more, not 0"):
                await inbox.receive_batch(0)


@pytest.mark.parametrize(("size", "cut_off"), [(99, False), (100, False), (101, True)])
async def test_the_largest_message_that_is_received(size: int, cut_off: bool) -> None:
    async with endpoint(max_message_size=100) as (here, socket):
        socket.arrive(message(ID, bytes(size)))
        if cut_off:
            with trio.move_on_after(0.01):
                await here.receive()
        else:
            record = await here.receive()
            assert isinstance(record, Message)
        assert (("abort", ID) in socket.calls) is cut_off


@pytest.mark.parametrize("bound", [2**16, 2**17 - 1])
async def test_the_largest_message_that_comes_in_one_piece_is_checked(bound: int) -> None:
    async with endpoint(max_message_size=bound) as (here, socket):
        socket.arrive(message(ID, bytes(bound)), message(ID, bytes(bound + 1)))
        record = await here.receive()
        assert isinstance(record, Message)
        assert len(record.data) == bound
        assert ("abort", ID) in socket.calls


@pytest.mark.parametrize(
    "values",
    [
        {"initial": 1e-9},
        {"initial": 30, "max": 30},
        {"factor": 1},
        {"jitter": 0},
        {"jitter": 1},
        {"attempt": 1e-9},
        {"attempt": math.inf},
    ],
)
def test_a_backoff_at_its_bounds(values: dict[str, Any]) -> None:
    backoff = trio_sctp.Backoff(**values)
    assert {name: getattr(backoff, name) for name in values} == values


@pytest.mark.parametrize(("size", "cut"), [(199, False), (200, False), (201, True)])
def test_how_much_of_a_wrong_value_an_error_repeats(size: int, cut: bool) -> None:
    value = "x" * (size - 2)  # and its quotation marks
    with pytest.raises(TypeError) as refused:
        NoDelay(value)  # type: ignore[arg-type]
    wanted = f"{value!r}"[:200] + "..." if cut else repr(value)
    assert str(refused.value) == f"NoDelay.enabled must be True or False, not {wanted}"


@pytest.mark.parametrize(
    ("kind", "values", "text"),
    [
        (Tos, {"value": 256}, "Tos.value must be between 0 and 255, not 256"),
        (Linger, {"enabled": True, "seconds": 2**16}, "seconds must be between 0 and 65535, not"),
        (AdaptationLayer, {"adaptation_ind": -1}, r"must be between 0 and 2\*\*32 - 1, not -1"),
        (RtoInfo, {"max": 0}, r"RtoInfo\.max must be between 1 and 2\*\*31 - 1, not 0"),
        (SendBuffer, {"size": 0}, r"SendBuffer\.size must be between 1 and 2\*\*30, not 0"),
        (Window, {"size": 32768}, r"Window\.size must be between 1 and 32767, not 32768"),
        (Tos, {"value": "x"}, "must be an integer from 0 to 255, not 'x'"),
        (SendBuffer, {"size": True}, r"must be an integer from 1 to 2\*\*30, not True"),
        (DelayedAck, {"delay": 0}, "must be between 1 and 500, not 0; freq=1 means no delay"),
    ],
)
def test_bounds_are_written_as_the_documentation_writes_them(
    kind: Callable[..., object], values: dict[str, Any], text: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=text):
        kind(**values)


OPENING: dict[str, tuple[Callable[[int], Any], int, int | None]] = {
    "max_message_size of an endpoint": (
        lambda n: trio_sctp.open_endpoint(max_message_size=n, stack=FakeStack()),
        1,
        None,
    ),
    "max_message_size of a listener": (
        lambda n: trio_sctp.open_listener(9, max_message_size=n, stack=FakeStack()),
        1,
        None,
    ),
    "backlog": (lambda n: trio_sctp.open_listener(9, backlog=n, stack=FakeStack()), 1, 65535),
    "port of an endpoint": (lambda n: trio_sctp.open_endpoint(n, stack=FakeStack()), 0, 65535),
    "port of a listener": (lambda n: trio_sctp.open_listener(n, stack=FakeStack()), 0, 65535),
}


@pytest.mark.parametrize("what", OPENING)
async def test_arguments_of_opening(what: str) -> None:
    call, low, high = OPENING[what]
    for value in [low] if high is None else [low, high]:
        await trio.aclose_forcefully(await call(value))
    for value in [low - 1] if high is None else [low - 1, high + 1]:
        with pytest.raises(ValueError, match=str(value)):
            await call(value)


@pytest.mark.parametrize("port", [0, 65536])
async def test_no_port_to_connect_to(port: int) -> None:
    async with endpoint() as (here, socket):
        with pytest.raises(ValueError, match=f"between 1 and 65535, not {port}"):
            await here.connect("192.0.2.9", port)
        assert socket.calls == []


@pytest.mark.parametrize("port", [1, 65535])
async def test_a_port_to_connect_to(port: int) -> None:
    async with endpoint() as (here, socket):
        await here.connect_init("192.0.2.9", port)
        assert socket.calls[-1][0] == "connect"


@pytest.mark.parametrize("name", ["udp_port", "peer_udp_port"])
async def test_udp_ports_of_the_userland_stack(name: str) -> None:
    for port in 0, -1, 65536:
        with pytest.raises(ValueError, match=f"{name} must be between 1 and 65535, not {port}"):
            async with trio_sctp.userland(**{name: port}):  # type: ignore[arg-type]
                pass
