"""Every public function, with every argument wrong: the error says which, why, and what is right.

`RIGHT` has a line for each function, and `WRONG` one for each name of an argument.  A function, or
an argument, that neither names makes `test_the_tables_are_complete` fail.  The texts stand here in
full, so they are the same on every stack; and the objects work afterwards, and nothing was sent.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import math
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio

import trio_sctp
from trio_sctp import (
    Association,
    AssociationChange,
    AssociationChannel,
    AssociationLost,
    AuthKey,
    Endpoint,
    Inbox,
    InitMsg,
    Listener,
    NoDelay,
    Option,
    PeerAddressInfo,
    Ppid,
    PrimaryAddress,
    ReuseAddress,
    RtoInfo,
    Status,
    Window,
)

from .helpers import UNKNOWN_ID, StackUnderTest, next_change, next_message

U32 = 2**32 - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """Objects that work, on one stack."""

    stack: StackUnderTest
    server: Endpoint
    endpoint: Endpoint
    association: Association
    channel: AssociationChannel
    accepted: AssociationChannel
    listener: Listener
    inbox: Inbox
    foreign: Association
    """Of another endpoint."""

    def of(self, name: str) -> Any:
        """What a function's name is looked up in."""
        return {
            "Endpoint": self.endpoint,
            "Association": self.association,
            "AssociationChannel": self.channel,
            "Listener": self.listener,
            "Inbox": self.inbox,
        }.get(name, trio_sctp)

    async def check(self) -> None:
        """Nothing has arrived, nothing was set up, and everything still works."""
        assert len(self.server.associations) == 2
        await self.association.send(b"still")
        assert (await next_message(self.server)).data == b"still"
        await self.channel.send(b"works")
        message = await self.inbox.receive()
        assert isinstance(message, trio_sctp.Message)
        assert message.data == b"works"
        assert self.inbox.credit == 99
        assert self.listener.port


@pytest.fixture
async def world(stack: StackUnderTest) -> AsyncIterator[World]:
    async with (
        stack.pair() as pair,
        stack.endpoint() as other,
        stack.listener() as listener,
        stack.channels() as (channel, accepted),
        accepted.active(101) as inbox,
    ):
        foreign = await other.connect(stack.host, pair.server.port)
        await next_change(pair.server)
        assert isinstance(await inbox.receive(), AssociationChange)
        yield World(
            stack=stack,
            server=pair.server,
            endpoint=pair.client,
            association=pair.association,
            channel=channel,
            accepted=accepted,
            listener=listener,
            inbox=inbox,
            foreign=foreign,
        )


# -- how each function is called ---------------------------------------------------------------

Right = Callable[[World], dict[str, Any]]


def nothing(world: World) -> dict[str, Any]:
    return {}


def opening(world: World) -> dict[str, Any]:
    return {"hosts": world.stack.host, "port": 0, "stack": world.stack.stack}


def connecting(world: World) -> dict[str, Any]:
    return {"hosts": world.stack.host, "port": world.server.port}


def association(world: World) -> dict[str, Any]:
    return {"association": world.association}


def message(world: World) -> dict[str, Any]:
    return {"value": b"x"}


def path(world: World) -> dict[str, Any]:
    return {"kind": PeerAddressInfo, "address": (world.stack.host, world.server.port)}


RIGHT: dict[str, Right] = {
    "error_string": lambda w: {"code": 12},
    "stacks": nothing,
    "timers": nothing,
    "detection_time": lambda w: {"options": []},
    "userland": nothing,
    "open_endpoint": opening,
    "open_listener": opening,
    "open_association": lambda w: {**connecting(w), "stack": w.stack.stack},
    "serve": lambda w: {**opening(w), "handler": trio.abc.AsyncResource.aclose},
    "reconnect": lambda w: {
        **connecting(w),
        "handler": trio.abc.AsyncResource.aclose,
        "stack": w.stack.stack,
    },
    "Endpoint.abort": association,
    "Endpoint.aclose": nothing,
    "Endpoint.active": lambda w: {"mode": 1},
    "Endpoint.add_address": lambda w: {"host": w.stack.second_host},
    "Endpoint.association_at": lambda w: {"address": (w.stack.host, w.server.port)},
    "Endpoint.connect": connecting,
    "Endpoint.connect_init": connecting,
    "Endpoint.detach": nothing,
    "Endpoint.eof": association,
    "Endpoint.from_socket": lambda w: {"sock": 0},
    "Endpoint.get_option": lambda w: {**path(w), **association(w)},
    "Endpoint.listen": nothing,
    "Endpoint.local_addresses": association,
    "Endpoint.peeloff": association,
    "Endpoint.peer_addresses": association,
    "Endpoint.queue_statistics": nothing,
    "Endpoint.receive": nothing,
    "Endpoint.receive_batch": nothing,
    "Endpoint.receive_nowait": nothing,
    "Endpoint.remove_address": lambda w: {"host": w.stack.second_host},
    "Endpoint.send": lambda w: {**message(w), **association(w)},
    "Endpoint.send_nowait": lambda w: {**message(w), **association(w)},
    "Endpoint.set_option": lambda w: {"value": RtoInfo(), **association(w)},
    "Endpoint.deactivate_key": lambda w: {"id": 1, **association(w)},
    "Endpoint.delete_key": lambda w: {"id": 1, **association(w)},
    "Endpoint.statistics": nothing,
    "Endpoint.stop_listening": nothing,
    "Inbox.aclose": nothing,
    "Inbox.close": nothing,
    "Inbox.grant": lambda w: {"n": 1},
    "Inbox.once": nothing,
    "Inbox.receive": nothing,
    "Inbox.receive_batch": nothing,
    "Inbox.receive_nowait": nothing,
    "Inbox.split": nothing,
    "Listener.accept": nothing,
    "Listener.aclose": nothing,
    "Listener.detach": nothing,
    "Listener.drain": nothing,
    "Listener.from_socket": lambda w: {"sock": 0},
    "Listener.get_option": lambda w: {"kind": RtoInfo},
    "Listener.set_option": lambda w: {"value": RtoInfo()},
    "Listener.deactivate_key": lambda w: {"id": 1},
    "Listener.delete_key": lambda w: {"id": 1},
    "Association.abort": nothing,
    "Association.eof": nothing,
    "Association.get_option": path,
    "Association.paths": nothing,
    "Association.ping": lambda w: {"address": (w.stack.host, w.server.port)},
    "Association.add_streams": lambda w: {"outgoing": 1},
    "Association.reset_association": nothing,
    "Association.reset_streams": lambda w: {"outgoing": [1]},
    "Association.send": message,
    "Association.send_nowait": message,
    "Association.set_option": lambda w: {"value": RtoInfo()},
    "Association.deactivate_key": lambda w: {"id": 1},
    "Association.delete_key": lambda w: {"id": 1},
    "Association.statistics": nothing,
    "Association.status": nothing,
    "Association.wait_ended": nothing,
    "Association.wait_sent": nothing,
    "Association.while_up": nothing,
    "AssociationChannel.abort": nothing,
    "AssociationChannel.aclose": nothing,
    "AssociationChannel.active": lambda w: {"mode": 1},
    "AssociationChannel.as_stream": nothing,
    "AssociationChannel.detach": nothing,
    "AssociationChannel.eof": nothing,
    "AssociationChannel.events": nothing,
    "AssociationChannel.from_socket": lambda w: {"sock": 0},
    "AssociationChannel.get_option": path,
    "AssociationChannel.paths": nothing,
    "AssociationChannel.payloads": nothing,
    "AssociationChannel.ping": lambda w: {"address": w.channel.peer_addresses[0]},
    "AssociationChannel.queue_statistics": nothing,
    "AssociationChannel.receive": nothing,
    "AssociationChannel.receive_batch": nothing,
    "AssociationChannel.receive_nowait": nothing,
    "AssociationChannel.add_streams": lambda w: {"outgoing": 1},
    "AssociationChannel.reset_association": nothing,
    "AssociationChannel.reset_streams": lambda w: {"outgoing": [1]},
    "AssociationChannel.send": message,
    "AssociationChannel.send_nowait": message,
    "AssociationChannel.set_option": lambda w: {"value": RtoInfo()},
    "AssociationChannel.deactivate_key": lambda w: {"id": 1},
    "AssociationChannel.delete_key": lambda w: {"id": 1},
    "AssociationChannel.statistics": nothing,
    "AssociationChannel.status": nothing,
    "AssociationChannel.wait_ended": nothing,
    "AssociationChannel.wait_sent": nothing,
    "AssociationChannel.while_up": nothing,
}
"""The arguments with which each function would work; those that have a default are left out."""


# -- what is wrong -----------------------------------------------------------------------------

Wrong = tuple[Any, type[BaseException], str]
"""A wrong value, or a function of the world that gives one; the error; its text, as a pattern."""


def of_type(expected: str, *values: Any) -> list[Wrong]:
    return [(value, TypeError, f"{expected}, not {re.escape(repr(value))}") for value in values]


def of_value(expected: str, *values: Any, more: str = "") -> list[Wrong]:
    return [
        (value, ValueError, f"{expected}, not {re.escape(repr(value))}{more}") for value in values
    ]


def number(name: str, low: int, high: int | None = None, high_text: str = "") -> list[Wrong]:
    """An integer of which both ends of the range are known."""
    wrong = ["1", 1.5, True, b"1"]
    if high is None:
        low_text = "2**20" if low == 2**20 else str(low)
        return [
            *of_type(re.escape(f"{name} must be an integer of {low_text} or more"), *wrong),
            *of_value(re.escape(f"{name} must be {low_text} or more"), low - 1),
        ]
    bounds = re.escape(f"{high_text or high}")
    return [
        *of_type(f"{name} must be an integer from {low} to {bounds}", *wrong),
        *of_value(f"{name} must be between {low} and {bounds}", low - 1, high + 1),
    ]


def u32(name: str) -> list[Wrong]:
    return number(name, 0, U32, "2**32 - 1")


def flag(name: str) -> list[Wrong]:
    return of_type(f"{name} must be True or False", 1, 0, "no")


def address(name: str, *, names: bool = False) -> list[Wrong]:
    parts = rf"of {name}, \(host, port\),"
    found: list[Wrong] = [
        *of_type(rf"{name} must be a tuple \(host, port\)", ("192.0.2.1",), (1, 2, 3)),
        (("192.0.2.1", "2905"), TypeError, f"the port {parts} must be an integer, not '2905'"),
        (("192.0.2.1", None), TypeError, f"the port {parts} must be an integer, not None"),
        ((7, 2905), TypeError, f"the host {parts} must be a str, not 7"),
        (("192.0.2.1", 65536), ValueError, f"{name} must have a port between 0 and 65535, not 6.*"),
        (("fe80::1", 1, 0, "x"), TypeError, f"the scope id of {name} must be an integer .*'x'"),
    ]
    if not names:
        text = (
            f"the host {parts} must be an IPv4 or IPv6 address, not 'localhost': names are for .*"
        )
        found.append((("localhost", 2905), ValueError, text))
    return found


PORT = "a port must be an integer or the name of a service"
HOST = "a host must be a name or an address"
LISTS = "{} must be a str, a name or an address, or a list of them"
OPTIONS = r"options must be a list of options, such as \[InitMsg\(num_ostreams=5\)\]"
OPTION = r"options must be values such as InitMsg\(num_ostreams=5\)"
WHICH = r"an association must be an Association, its id or, to send to, a peer \(host, port\)"
OWN_ARGUMENT = "the port is an argument of its own"
MESSAGE = "must be bytes, bytearray or memoryview"


def hosts(name: str) -> list[Wrong]:
    return [
        *of_type(LISTS.format(name), None, 5, b"192.0.2.1"),
        (("192.0.2.1", 2905), TypeError, f"a host must be a str.*, not 2905: {OWN_ARGUMENT}"),
        ([("192.0.2.1", 2905)], TypeError, f"a host must be .*'192.0.2.1', 2905.*: {OWN_ARGUMENT}"),
        ([None], TypeError, "a host must be a str, a name or an address, not None"),
        *of_value(HOST, "192.0.2.1:2905", "host:m3ua", more=f": {OWN_ARGUMENT}"),
        *of_value(HOST, "[fd00::1]", "[fd00::1]:1", more=f", without brackets; {OWN_ARGUMENT}"),
        *of_value(HOST, "sctp://192.0.2.1", more=", without a scheme"),
        *of_value(HOST, "", "a\0b", "a..b"),
        ("fe80::1", ValueError, "'fe80::1' is a link-local address: say .*, as in 'fe80::1%eth0'"),
    ]


OPTION_VALUES: list[Wrong] = [
    *of_type(OPTION, None, 5, InitMsg, Option),
    (lambda w: w.channel.status, TypeError, f"{OPTION}, not <bound method .*status.*"),
    (lambda w: w.channel.status(), ValueError, "Status can only be read"),
    (ReuseAddress(True), ValueError, r"ReuseAddress is for opening: give it to open_\.\.\. in .*"),
]

OF_ASSOCIATION: list[Wrong] = [
    (
        InitMsg(),
        ValueError,
        "InitMsg holds for associations set up afterwards: give it to connect.*",
    ),
    (NoDelay(True), ValueError, "NoDelay holds for the whole socket: set it on the endpoint"),
]

WRONG: dict[str, list[Wrong]] = {
    # How a message is sent.
    "value": [
        *of_type(f"a message {MESSAGE}", None, "text", 5, [1]),
        (bytearray, TypeError, f"a message {MESSAGE}, not <class 'bytearray'>"),
        (lambda w: w.association, TypeError, f"a message {MESSAGE}, not <Association.*>"),
        (b"", ValueError, "a message cannot be empty: .*"),
        (memoryview(b"1234")[::2], ValueError, "a message must be contiguous bytes.*"),
        (bytes(2**30), ValueError, "a message of 1073741824 bytes is larger than the .* bytes .*"),
    ],
    "stream": [
        *of_type("stream must be an integer from 0 to 9", "0", 1.0, True, b"0"),
        (10, ValueError, r"there is no outbound stream 10: association \d+ has 10, from 0"),
        (-1, ValueError, r"there is no outbound stream -1: association \d+ has 10, from 0"),
    ],
    "ppid": [
        *[row for row in u32("ppid") if row[0] != b"1"],
        (b"\0\0\0<", TypeError, r"ppid must be an integer, 60 for b'\\x00\\x00\\x00<', not bytes"),
        *of_type(r"ppid must be an integer from 0 to 2\*\*32 - 1", b"<"),
    ],
    "context": u32("context"),
    "lifetime": u32("lifetime"),
    "retransmissions": u32("retransmissions"),
    "priority": u32("priority"),
    "unordered": flag("unordered"),
    "eof": flag("eof"),
    "abort": flag("abort"),
    "init": [
        *of_type("init must be an InitMsg", 7, RtoInfo(max=5)),
        (
            InitMsg(),
            ValueError,
            r"init= is for a peer, \(host, port\), that has no association yet",
        ),
    ],
    # Where it goes.
    "address": [*of_type(r"address must be a tuple \(host, port\)", 5, "h"), *address("address")],
    "association": [
        *of_type(WHICH, "192.0.2.1", 1.5, True),
        *of_value(r"an association id must be between 1 and 2\*\*31 - 1", 0, -1, 2**31),
        (UNKNOWN_ID, AssociationLost, rf"this endpoint has no association {UNKNOWN_ID} .*has \d+"),
        (
            lambda w: w.foreign,
            ValueError,
            "<Association .*> is not an association of this endpoint",
        ),
        (lambda w: w.channel, ValueError, "<AssociationChannel .*> is not an association of .*"),
    ],
    "Endpoint.send.association": address("a peer", names=True),
    "Endpoint.send_nowait.association": address("a peer"),
    "reason": [
        *of_type(f"the reason of an abort {MESSAGE}", "why", 5, None),
        (
            bytes(60_001),
            ValueError,
            "the reason of an abort must be at most 60000 bytes, not 60001",
        ),
    ],
    # Hosts and ports.
    "hosts": hosts("hosts"),
    "local_hosts": hosts("local_hosts"),
    "host": [
        *of_type("a local address must be a str", ("192.0.2.1", 1), 5, None),
        *of_value("a local address must be an IPv4 or IPv6 address", "localhost", "", more=":.*"),
    ],
    "port": [
        *of_type(PORT, None, 1.5, True, b"1", ("192.0.2.1", 1)),
        *of_value("a port must be between [01] and 65535", -1, 65536),
        *of_value("a port must be a number or the name of a service", "", "\0"),
    ],
    # Opening.
    "options": [
        *of_type(OPTIONS, None, 5, InitMsg(), {"a": 1}, "x"),
        *[([value], error, text) for value, error, text in OPTION_VALUES[:4]],
    ],
    "stack": [
        (5, TypeError, r"stack must be 'kernel', 'userland', or what .* gave, not 5"),
        (
            trio_sctp.userland,
            TypeError,
            "stack must be 'kernel', .* gave, not <function userland.*>",
        ),
        (trio_sctp.Userland, TypeError, "stack must be 'kernel', .* gave, not <class .*Userland'>"),
        *of_value("stack must be 'kernel' or 'userland'", "Kernel", ""),
    ],
    "max_message_size": number("max_message_size", 1),
    "backlog": number("backlog", 1, 65535),
    "sock": [
        *of_type("from_socket takes a standard library socket, .* or a descriptor", "x", True),
        (10**6, ValueError, "from_socket takes an SCTP socket, not 1000000: .*"),
    ],
    "carrier": of_value("carrier must be 'udp' or 'ip'", "tcp", None),
    "udp_port": number("udp_port", 1, 65535),
    "peer_udp_port": number("peer_udp_port", 1, 65535),
    "max_held": number("max_held", 2**20),
    "attempt_delay": [
        *of_type("attempt_delay must be a number of seconds", "1", None, True),
        *of_value("attempt_delay must be 0 seconds or more, or math.inf", -1, math.nan),
    ],
    "backoff": of_type("backoff must be a Backoff", None, 1.5, trio_sctp.Backoff),
    "handler": [
        (5, TypeError, ".* was expecting an async function, but instead it got 5"),
        (
            print,
            TypeError,
            ".* was expecting an async function, .* one that is not async: .*print>",
        ),
    ],
    "on_error": of_type("on_error must be a function that is not async", 5, trio.sleep),
    "detect": [
        *of_type("detect must be a number of seconds", "2", None, True),
        (1.4, ValueError, "detect must be 1.5 seconds or more, not 1.4: .*"),
        (math.nan, ValueError, "detect must be 1.5 seconds or more, not nan: .*"),
    ],
    "capture": of_type("capture must be the path of a file", 5, b"x", True),
    # Receiving.
    "mode": [
        *of_type(
            r"mode must be an integer \(\{active, N\}\), ONCE \(\{active, once\}\) or a Window "
            r"\(\{active, true\}\)",
            "once",
            True,
            None,
            1.5,
        ),
        *of_value("a grant must be between -32768 and 32767", -32769, 32768),
    ],
    "limit": number("the limit of a batch", 1),
    "n": [
        *number("a grant", -32768, 32767),
        (32767, ValueError, "credit must be at most 32767, not 100 and 32767 more"),
    ],
    "drain": flag("drain"),
    # Options.
    "kind": of_type("an option is read by its class, such as InitMsg", 5, None, Option, InitMsg()),
    "Listener.get_option.kind": [
        (Status, ValueError, "Status belongs to one association: a listener has none"),
    ],
    "set_option.value": OPTION_VALUES,
    "Endpoint.set_option.value": OF_ASSOCIATION,
    "Association.set_option.value": OF_ASSOCIATION,
    "AssociationChannel.set_option.value": [
        (
            InitMsg(),
            ValueError,
            "InitMsg holds for .* afterwards: give it to open_association or .*",
        ),
    ],
    "Listener.set_option.value": [
        (PrimaryAddress(("192.0.2.1", 1)), ValueError, "PrimaryAddress belongs to one .* has none"),
    ],
    "id": number("id", 0, 65535),
    "code": u32("code"),
}
WRONG["local_port"] = WRONG["port"]
WRONG["get_option.stream"] = [
    *of_type("stream must be an integer from 0 to 9", "0", 1.0, True),
    *of_value("stream must be between 0 and 9", -1, 10),
    (0, ValueError, "PeerAddressInfo takes no stream="),
]
for side in ("outgoing", "incoming"):
    WRONG[f"reset_streams.{side}"] = [
        *of_type(f"{side} must be a list of streams", 1, "1", b"1"),
        (["1"], TypeError, f"a stream in {side} must be an integer from 0 to 65534, not '1'"),
        ([1.0], TypeError, f"a stream in {side} must be an integer from 0 to 65534, not 1.0"),
        ([], ValueError, f"{side} names no stream.*"),
        ([1, 1], ValueError, f"{side} names stream 1 more than once"),
        ([-1], ValueError, f"a stream in {side} must be between 0 and 65534, not -1"),
        ([60000], ValueError, f"there is no {side} stream 60000: there are 10, from 0"),
    ]
    WRONG[f"add_streams.{side}"] = [
        *of_type(f"{side} must be an integer from 0 to 65535", "1", 1.0, True, None),
        *of_value(f"{side} must be between 0 and 65535", -1, 65536),
        (65535, ValueError, f"65535 more {side} streams are too many: there are 10, .*"),
    ]
WRONG["ping.address"] = [
    *WRONG["address"],
    (("192.0.2.77", 1), ValueError, r"\('192.0.2.77', 1\) is none of the peer's addresses, .*"),
]

ELSEWHERE = {"handler_nursery", "task_status"}
"""Arguments that are Trio's business, or that other tests are about."""


def wrong_values(name: str, argument: str) -> list[Wrong]:
    """What is wrong for an argument of a function: for all of its name, and for this one."""
    method = name.rpartition(".")[2]
    general = WRONG.get(f"{method}.{argument}") or WRONG.get(argument, [])
    return general + WRONG.get(f"{name}.{argument}", [])


# -- the walk ----------------------------------------------------------------------------------

WALKED = ("Endpoint", "Association", "AssociationChannel", "Listener", "Inbox")


def functions() -> dict[str, Any]:
    """All public functions, and methods of public classes that are neither values nor errors."""
    found: dict[str, Any] = {}
    for name in trio_sctp.__all__:
        thing = getattr(trio_sctp, name)
        if inspect.isfunction(thing):
            found[name] = thing
        elif isinstance(thing, type) and not (
            issubclass(thing, (enum.Enum, BaseException, Option))
            or dataclasses.is_dataclass(thing)
            or thing in (trio_sctp.Stack, trio_sctp.Userland)  # whose methods are the library's
        ):
            found |= {
                f"{name}.{attribute}": method
                for attribute in dir(thing)
                if attribute[0] != "_" and callable(method := getattr(thing, attribute))
            }
    return found


def arguments(name: str) -> list[str]:
    return [one for one in inspect.signature(functions()[name]).parameters if one != "self"]


async def call(function: Any, given: dict[str, Any]) -> None:
    """Call it, await it, and enter its block, whatever it has of these."""
    result = function(**given)
    if inspect.isawaitable(result):
        await result
    elif hasattr(result, "__aenter__") and not isinstance(result, Association):
        async with result:
            pass


def get(world: World, name: str) -> Any:
    owner, _, method = name.rpartition(".")
    return getattr(world.of(owner), method or name)


def test_the_tables_are_complete() -> None:
    """Whoever adds a function or an argument says here what it refuses."""
    assert functions().keys() == RIGHT.keys()
    missing = [
        f"{name}({argument}=)"
        for name in RIGHT
        for argument in arguments(name)
        if argument not in ELSEWHERE and not wrong_values(name, argument)
    ]
    assert missing == []


@pytest.mark.parametrize("name", [name for name in RIGHT if arguments(name)])
async def test_what_is_wrong_is_named_and_nothing_is_done(world: World, name: str) -> None:
    for argument in arguments(name):
        if argument in ELSEWHERE or (argument == "sock" and world.stack.stack != "kernel"):
            continue
        for value, error, text in wrong_values(name, argument):
            if inspect.isfunction(value) and value.__name__ == "<lambda>":
                value = value(world)
            given = {**RIGHT[name](world), argument: value}
            with pytest.raises(error) as caught:
                await call(get(world, name), given)
            assert type(caught.value) is error
            said = str(caught.value)
            assert re.fullmatch(text, said, re.DOTALL), f"{argument}={value!r:.99}: {said}"
    await world.check()


STILL_WORK = {
    "Endpoint.aclose",
    "Endpoint.queue_statistics",
    "Endpoint.statistics",
    "Listener.aclose",
    "Listener.drain",
    "Association.abort",
    "Association.while_up",
    "AssociationChannel.abort",
    "AssociationChannel.aclose",
    "AssociationChannel.queue_statistics",
    "AssociationChannel.while_up",
    "Inbox.aclose",
    "Inbox.close",
    "Inbox.grant",
    "Inbox.once",
}
"""What may be called on a closed object: closing again, asking what was, and giving credit."""

UNLIKE = ("from_socket", "wait_ended", "wait_sent")
"""What has no object to be closed, or raises only if the end came after the closing."""


@pytest.mark.parametrize(
    "name", [name for name in RIGHT if "." in name and name.partition(".")[2] not in UNLIKE]
)
async def test_a_closed_object_says_so(world: World, name: str) -> None:
    right = RIGHT[name](world)
    for one in (world.endpoint, world.channel, world.listener, world.accepted):
        await trio.aclose_forcefully(one)
    if name in STILL_WORK:
        await call(get(world, name), right)
        return
    with pytest.raises(trio.ClosedResourceError) as caught:
        await call(get(world, name), right)
    assert "closed" in str(caught.value)


# -- options, and other values that programs make ------------------------------------------------

KINDS = [
    kind
    for name in trio_sctp.__all__
    if isinstance(kind := getattr(trio_sctp, name), type)
    and issubclass(kind, Option)
    and kind is not Option
    and not kind.read_only
]
OF_TYPE: dict[str, tuple[list[Any], str]] = {
    "int": (["1", 1.5, True, b"1"], "must be an integer from .* to .*, not {}"),
    "bool": ([1, 0, "no"], "must be True or False, not {}"),
    "str": ([5, b"eth0"], "must be a str, not {}"),
    "Address": (["192.0.2.1", 5], r"must be a tuple \(host, port\), not {}"),
    "bytes": (["secret", 5], "must be bytes, not {}"),
    "Sequence[int]": ([0, "0", b"0"], r"must be a list of chunk types, such as \[0\], not {}"),
    "Sequence[HmacAlgorithm]": (
        [1, "SHA_1"],
        r"must be a list of HmacAlgorithm, such as .*, not {}",
    ),
    "PeerAddressFlags": ([1, "x"], "must be PeerAddressFlags, not {}"),
    "Scheduler": ([1, "FCFS", None], "must be a Scheduler, not {}"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_of_an_option(kind: Any) -> None:
    fields = dataclasses.fields(kind)
    for field in fields:
        wrong, text = OF_TYPE[str(field.type).partition(" |")[0]]
        for value in wrong:
            others = {
                other.name: {"bool": True, "int": 1}.get(str(other.type), "lo")
                for other in fields
                if other.default is dataclasses.MISSING
            }
            with pytest.raises(TypeError) as caught:
                kind(**{**others, field.name: value})
            # A secret is not repeated, even in the place of its key's number.
            shown = r"\w+" if kind is AuthKey else re.escape(repr(value))
            pattern = f"{kind.__name__}.{field.name} {text.format(shown)}"
            assert re.fullmatch(pattern, str(caught.value)), str(caught.value)


def test_the_size_of_a_window() -> None:
    for value, error, text in number("Window.size", 1, 32767):
        with pytest.raises(error) as caught:
            Window(value)
        assert re.fullmatch(text, str(caught.value))


async def test_a_registered_ppid_is_an_integer(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, server):
        await client.send(b"x", ppid=Ppid.NGAP)
        client.send_nowait(b"x", ppid=Ppid.NGAP)
        assert [(await server.receive()).ppid for _ in range(2)] == [Ppid.NGAP] * 2


async def test_a_long_value_is_not_repeated_in_full(stack: StackUnderTest) -> None:
    async with stack.channels() as (client, _):
        with pytest.raises(TypeError) as caught:
            await client.send("long" * 10**6)  # type: ignore[arg-type]
        assert len(str(caught.value)) < 300


def test_every_class_is_walked() -> None:
    assert {name.partition(".")[0] for name in RIGHT if "." in name} == set(WALKED)
