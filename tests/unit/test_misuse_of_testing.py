"""Whoever hands nonsense to `trio_sctp.testing` is told so at that call, by name and value."""

from __future__ import annotations

import inspect
import io
import re
from collections.abc import Callable, Iterator
from math import inf, nan
from types import FunctionType
from typing import Any

import pytest

import trio_sctp.testing
from trio_sctp.testing import (
    Link,
    Network,
    RoutedPacket,
    SimulatedHost,
    SimulatedNetwork,
    association_pair,
    simulated_network,
)

A, B = "10.0.0.1", "10.0.0.2"

Case = tuple[Callable[..., Any], type[Exception], str]


def hooked(answer: object) -> Callable[[Network], None]:
    def transmit(network: Network) -> None:
        network.route = lambda _: answer  # type: ignore[assignment, return-value]
        network.transmit(b"x", A, B, 0.0)

    return transmit


def packet(**changed: Any) -> list[RoutedPacket]:
    return [RoutedPacket(b"x", A, B, 0.0)._replace(**changed)]


NETWORK: dict[str, list[Case]] = {
    "Network.seed": [
        (lambda _: Network("x"), TypeError, "seed must be an integer, not 'x'"),  # type: ignore
        (lambda _: Network(None), TypeError, "seed .* not None"),  # type: ignore[arg-type]
        (lambda _: Network(True), TypeError, "seed .* not True"),
    ],
    "Network.default_link": [
        (
            lambda _: Network(default_link=0.3),  # type: ignore[arg-type]
            TypeError,
            r"default_link must be a Link, such as Link\(loss=0\.3\), not 0\.3",
        ),
        (lambda n: setattr(n, "default_link", Link()), AttributeError, "default_link"),
    ],
    "Network.route": [
        (lambda n: setattr(n, "route", 5), TypeError, "route must be a function .* not 5"),
        (hooked(packet()[0]), TypeError, "a list of packets, or None, not one packet"),
        (hooked(["x"]), TypeError, "must return packets, not 'x'"),
        (hooked(packet(delay="x")), TypeError, "the delay of a packet must be a number, not 'x'"),
        (hooked(packet(delay=-1.0)), ValueError, "the delay of a packet .* not -1.0"),
        (hooked(packet(data="x")), TypeError, "a packet must be bytes, not 'x'"),
        (hooked(packet(tos=-1)), ValueError, "the tos of a packet must be between 0 and 255"),
        (hooked(packet(source=5)), TypeError, "an address must be a str, not 5"),
        (hooked(packet(destination="host")), ValueError, "'host' does not appear"),
    ],
    "Network.transmit.data": [
        (lambda n: n.transmit("x", A, B, 0.0), TypeError, "a packet must be bytes, not 'x'"),
    ],
    "Network.transmit.source": [
        (lambda n: n.transmit(b"x", 5, B, 0.0), TypeError, "an address must be a str, not 5"),
        (lambda n: n.transmit(b"x", "host", B, 0.0), ValueError, "'host' does not appear"),
    ],
    "Network.transmit.destination": [
        (lambda n: n.transmit(b"x", A, b"x", 0.0), TypeError, "an address must be a str, not b'x'"),
        (lambda n: n.transmit(b"x", A, "fd00::1", 0.0), ValueError, "nothing leads from"),
    ],
    "Network.transmit.now": [
        (lambda n: n.transmit(b"x", A, B, "0"), TypeError, "now must be a number, not '0'"),
        (lambda n: n.transmit(b"x", A, B, inf), ValueError, "now must be a finite .* not inf"),
    ],
    "Network.transmit.fragment": [
        (
            lambda n: n.transmit(b"x", A, B, 0.0, fragment=1),
            TypeError,
            "fragment must be True or False, not 1",
        ),
    ],
    "Network.transmit.tos": [
        (
            lambda n: n.transmit(b"x", A, B, 0.0, tos="x"),
            TypeError,
            "tos must be an integer from 0 to 255, not 'x'",
        ),
        (
            lambda n: n.transmit(b"x", A, B, 0.0, tos=256),
            ValueError,
            "tos must be between 0 and 255, not 256",
        ),
    ],
    "Network.deliver.now": [
        (lambda n: n.deliver("0"), TypeError, "now must be a number, not '0'"),
    ],
    "Network.link.a": [
        (lambda n: n.link(5, B), TypeError, "an address must be a str, not 5"),
        (lambda n: n.link("host", B), ValueError, "'host' does not appear"),
    ],
    "Network.link.b": [
        (lambda n: n.link(A, None), TypeError, "an address must be a str, not None"),
        (lambda n: n.link(A, "fd00::1"), ValueError, "nothing leads from"),
    ],
    "Network.set_link.a": [
        (lambda n: n.set_link(5, B, Link()), TypeError, "an address must be a str, not 5"),
    ],
    "Network.set_link.b": [
        (lambda n: n.set_link(A, "b", Link()), ValueError, "'b' does not appear"),
    ],
    "Network.set_link.link": [
        (lambda n: n.set_link(A, B, 0.3), TypeError, r"link must be a Link, .* not 0\.3"),
        (lambda n: n.set_link(A, B, None), TypeError, "link must be a Link, .* not None"),
    ],
    "Network.set_link.both": [
        (lambda n: n.set_link(A, B, Link(), both=0), TypeError, "both must be True or False"),
    ],
    "Network.partition.group_a": [
        (lambda n: n.partition(A, [B]), TypeError, "group_a must be a list of addresses"),
        (lambda n: n.partition(5, [B]), TypeError, "group_a must be a list of addresses, not 5"),
        (lambda n: n.partition(["host"], [B]), ValueError, "'host' does not appear"),
    ],
    "Network.partition.group_b": [
        (lambda n: n.partition([A], B), TypeError, "group_b must be a list of addresses"),
        (lambda n: n.partition([A], [5]), TypeError, "an address must be a str, not 5"),
    ],
    "Network.capture.file": [
        (lambda n: n.capture(5), TypeError, "file must be a path or .* binary mode, not 5"),
    ],
    "Capture.write.data": [
        (
            lambda n: n.capture(io.BytesIO()).write("x", A, B, 0.0),
            TypeError,
            "a packet must be bytes, not 'x'",
        ),
    ],
    "Capture.write.source": [
        (
            lambda n: n.capture(io.BytesIO()).write(b"x", 5, B, 0.0),
            TypeError,
            "an address must be a str, not 5",
        ),
    ],
    "Capture.write.destination": [
        (
            lambda n: n.capture(io.BytesIO()).write(b"x", A, "fd00::1", 0.0),
            ValueError,
            "nothing leads from",
        ),
    ],
    "Capture.write.now": [
        (
            lambda n: n.capture(io.BytesIO()).write(b"x", A, B, -1.0),
            ValueError,
            "now must be .* at least 0, not -1.0",
        ),
    ],
    "Capture.write.udp": [
        (
            lambda n: n.capture(io.BytesIO()).write(b"x", A, B, 0.0, udp=9899),
            TypeError,
            "udp must be a tuple of two ports, not 9899",
        ),
    ],
    "Capture.write.direction": [
        (
            lambda n: n.capture(io.BytesIO()).write(b"x", A, B, 0.0, direction="up"),
            ValueError,
            'direction must be "in", "out" or None, not \'up\'',
        ),
    ],
    "Capture.write.comment": [
        (
            lambda n: n.capture(io.BytesIO()).write(b"x", A, B, 0.0, b"c"),
            TypeError,
            "comment must be a str, not b'c'",
        ),
    ],
}

BAD_FIELDS: dict[str, list[tuple[Any, type[Exception]]]] = {
    "delay": [(-1.0, ValueError), (inf, ValueError), (True, TypeError), (None, ValueError)],
    "jitter": [(nan, ValueError)],
    "bandwidth": [(0, ValueError), (True, TypeError)],
    "queue": [(-1, ValueError), (1.5, TypeError), (False, TypeError)],
    "marking": [(-1, ValueError), (1.5, TypeError), (False, TypeError)],
    "loss": [(1.1, ValueError), (True, TypeError), (None, ValueError)],
    "reordering": [(-0.1, ValueError)],
    "reorder_delay": [(-1.0, ValueError)],
    "duplication": [(2, ValueError)],
    "corruption": [(nan, ValueError)],
    "mtu": [(5, ValueError), (35, ValueError), (1500.0, TypeError)],
    "overhead": [(-1, ValueError), (0.5, TypeError)],
    "up": [(1, TypeError), (None, TypeError)],
}


def set_field(name: str, value: Any) -> Callable[[Network], None]:
    def misuse(_: Network) -> None:
        link = Link()
        try:
            setattr(link, name, value)
        finally:
            assert link == Link()

    return misuse


def make_link(name: str, value: Any) -> Callable[[Network], Link]:
    return lambda _: Link(**{name: value})


NETWORK |= {
    f"Link.{name}": [
        (make(name, value), error, f"{name} must be .* not {re.escape(repr(value))}")
        for value, error in [("x", TypeError), ([], TypeError), *bad]
        for make in (make_link, set_field)
    ]
    for name, bad in BAD_FIELDS.items()
}

HOSTS: dict[str, list[Case]] = {
    "SimulatedNetwork.host.addresses": [
        (lambda n: n.host(), ValueError, "at least one address"),
        (lambda n: n.host(5), TypeError, "an address must be a str, not 5"),
        (lambda n: n.host([A]), TypeError, r"an address must be a str, not \['10\.0\.0\.1'\]"),
        (lambda n: n.host("host1"), ValueError, "'host1' does not appear .* name='host1'"),
        (lambda n: n.host("10.0.0.9", "10.0.0.9"), ValueError, "'10.0.0.9' was given twice"),
        (lambda n: n.host("fd00::1", "FD00:0::1"), ValueError, "'FD00:0::1' was given twice"),
        (lambda n: n.host(A), ValueError, "another host has the address '10.0.0.1'"),
        (lambda n: n.host("0.0.0.0"), ValueError, "no host can have the address '0.0.0.0'"),
        (lambda n: n.host("224.0.0.1"), ValueError, "no host can have the address '224.0.0.1'"),
    ],
    "SimulatedNetwork.host.name": [
        (lambda n: n.host("10.0.0.9", name=5), TypeError, "name must be a str, not 5"),
        (lambda n: n.host("10.0.0.9", name=""), ValueError, "name .* not ''"),
        (lambda n: n.host("10.0.0.9", name="a..b"), ValueError, "name .* not 'a..b'"),
        (lambda n: n.host("10.0.0.9", name="10.0.0.8"), ValueError, "name .* not '10.0.0.8'"),
        (lambda n: n.host("10.0.0.9", name="AMF"), ValueError, "another host has the name 'AMF'"),
    ],
    "no such host": [
        (
            lambda n: n.network.partition(["10.0.0.77"], [A]),
            ValueError,
            "no host has the address '10.0.0.77': there are 10.0.0.1, 10.0.0.2",
        ),
        (lambda n: n.network.partition([A], [B, "10.0.0.77"]), ValueError, "'10.0.0.77'"),
        (lambda n: n.network.set_link(A, "10.0.0.77", Link()), ValueError, "'10.0.0.77'"),
        (lambda n: n.network.link("10.0.0.77", A), ValueError, "'10.0.0.77'"),
    ],
    "SimulatedNetwork.ladder.last": [
        (lambda n: n.ladder(last="x"), TypeError, "last must be an integer of 1 or more"),
        (lambda n: n.ladder(last=0), ValueError, "last must be 1 or more, not 0"),
    ],
    "Ladder.text.width": [
        (lambda n: n.ladder().text("x"), TypeError, "width must be an integer of 40 or more"),
        (lambda n: n.ladder().text(39), ValueError, "width must be 40 or more, not 39"),
    ],
}

BLOCKS: dict[str, list[Case]] = {
    "simulated_network.seed": [
        (lambda: simulated_network("x"), TypeError, "seed must be an integer, not 'x'"),  # type: ignore[arg-type]
    ],
    "simulated_network.default_link": [
        (
            lambda: simulated_network(default_link=0.3),  # type: ignore[arg-type]
            TypeError,
            "default_link must be a Link",
        ),
    ],
    "association_pair.options": [
        (lambda: association_pair(options=["x"]), TypeError, "'x'"),  # type: ignore[list-item]
    ],
    "association_pair.seed": [
        (lambda: association_pair(seed=0.5), TypeError, "seed must be an integer, not 0.5"),  # type: ignore[arg-type]
    ],
    "association_pair.default_link": [
        (
            lambda: association_pair(default_link="x"),  # type: ignore[arg-type]
            TypeError,
            "default_link must be a Link",
        ),
    ],
}


def each(cases: dict[str, list[Case]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("misuse", "error", "text"),
        [
            pytest.param(*case, id=f"{name}-{number}")
            for name, some in cases.items()
            for number, case in enumerate(some)
        ],
    )


@each(NETWORK)
def test_a_network(misuse: Callable[[Network], object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        misuse(Network())


@each(HOSTS)
async def test_a_network_of_hosts(
    misuse: Callable[[SimulatedNetwork], object], error: type[Exception], text: str
) -> None:
    async with simulated_network() as network:
        network.host(A, name="amf")
        network.host(B)
        with pytest.raises(error, match=text):
            misuse(network)
        network.host("10.0.0.9", name="smf")  # what was refused has left nothing


@each(BLOCKS)
async def test_blocks(misuse: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        async with misuse():
            pass


# -- nothing is left out -------------------------------------------------------------------------

MADE_BY_THE_LIBRARY = {
    "Capture",
    "Delivery",
    "Ladder",
    "LinkStatistics",
    "RoutedPacket",
    "SimulatedNetwork",
}
"""Classes that programs get, or values that say so themselves when they come back."""


def parameters(name: str, function: Callable[..., object]) -> Iterator[str]:
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name != "self":
            yield f"{name}.{parameter.name}"


def public_parameters() -> Iterator[str]:
    for name in trio_sctp.testing.__all__:
        value = getattr(trio_sctp.testing, name)
        if not inspect.isclass(value):
            yield from parameters(name, value)
            continue
        if value is SimulatedHost:
            continue  # a stack: its methods are for the library
        if name not in MADE_BY_THE_LIBRARY:
            yield from parameters(name, value)
        for attribute, method in vars(value).items():
            if (
                isinstance(method, FunctionType)
                and not attribute.startswith("_")
                and "Not for programs to call" not in (method.__doc__ or "")
            ):
                yield from parameters(f"{name}.{attribute}", method)


def test_every_parameter_is_tried() -> None:
    assert set(public_parameters()) <= {*NETWORK, *HOSTS, *BLOCKS}
