"""What an INIT or INIT ACK says, read once for both ends of the handshake."""

from __future__ import annotations

from typing import Any

import pytest

from trio_sctp._engine import Parameters, wire
from trio_sctp._engine.extensions import Extension
from trio_sctp._engine.offer import Offer
from trio_sctp._engine.wire import ParameterType, Tlv

COOKIE = Tlv(ParameterType.STATE_COOKIE, b"cookie")
ADAPTATION = Tlv(ParameterType.ADAPTATION_INDICATION, bytes([0, 0, 0, 7]))
SKIP, SKIP_AND_REPORT, STOP, STOP_AND_REPORT = 0x8FFF, 0xCFFF, 0x0FFF, 0x4FFF
"""Types of parameters that nobody knows; their two highest bits say what to do (3.2.1)."""


def offer(*parameters: Tlv, limits: Parameters | None = None, **fields: Any) -> Offer:
    values = {"tag": 1, "rwnd": 2000, "outbound_streams": 3, "inbound_streams": 4, "tsn": 5}
    init = wire.Init(**values | fields, parameters=list(parameters))
    return Offer(init, limits or Parameters())


def test_the_fixed_part() -> None:
    plain = offer()
    assert (plain.tag, plain.rwnd, plain.tsn) == (1, 2000, 5)
    assert (plain.outbound_streams, plain.inbound_streams) == (3, 4)
    assert plain.valid


@pytest.mark.parametrize(
    "field", [{"outbound_streams": 0}, {"inbound_streams": 0}, {"rwnd": wire.LEAST_RWND - 1}]
)
def test_what_no_association_can_be_made_of(field: dict[str, Any]) -> None:
    assert not offer(**field).valid
    assert offer(rwnd=wire.LEAST_RWND).valid


def test_parameters_that_are_not_there() -> None:
    plain = offer()
    assert (plain.addresses, plain.families, plain.unrecognized) == ([], (), [])
    assert (plain.cookie, plain.adaptation, plain.host_name) == (None, None, None)
    assert plain.extensions == 0
    assert plain.cookie_life == 0


def test_parameters_that_are_there() -> None:
    full = offer(
        COOKIE,
        ADAPTATION,
        Tlv(ParameterType.FORWARD_TSN_SUPPORTED, b""),
        Tlv(ParameterType.COOKIE_PRESERVATIVE, (2500).to_bytes(4, "big")),
        Tlv(ParameterType.SUPPORTED_ADDRESS_TYPES, bytes([0, 5, 0, 6])),
        Tlv(ParameterType.HOST_NAME, b"first"),
        Tlv(ParameterType.HOST_NAME, b"second"),
    )
    assert full.cookie == b"cookie"
    assert full.adaptation == 7
    assert full.extensions == Extension.FORWARD_TSN
    assert full.cookie_life == 2.5
    assert full.families == (ParameterType.IPV4_ADDRESS, ParameterType.IPV6_ADDRESS)
    assert full.host_name == Tlv(ParameterType.HOST_NAME, b"first")


def test_extensions_are_named_by_their_chunk_types() -> None:
    def named(chunk_types: bytes) -> int:
        return offer(Tlv(ParameterType.SUPPORTED_EXTENSIONS, chunk_types)).extensions

    assert named(bytes([192])) == Extension.FORWARD_TSN
    assert named(bytes([0, 255, 192, 192])) == Extension.FORWARD_TSN
    assert named(b"") == named(bytes([0, 255])) == 0


def test_an_address_counts_once_and_only_so_many_count() -> None:
    hosts = ["10.0.0.1", "10.0.0.1", "fd00::1", "224.0.0.1", "10.0.0.2", "10.0.0.3"]
    listed = [wire.address_parameter(host) for host in hosts]
    wrong = Tlv(ParameterType.IPV4_ADDRESS, b"\x0a\x00\x00")
    limits = Parameters(max_peer_addresses=3)
    assert offer(wrong, *listed, limits=limits).addresses == ["10.0.0.1", "fd00::1", "10.0.0.2"]


@pytest.mark.parametrize(
    ("kind", "goes_on", "reports"),
    [(SKIP, True, 0), (SKIP_AND_REPORT, True, 1), (STOP, False, 0), (STOP_AND_REPORT, False, 1)],
)
def test_unknown_parameters_say_what_to_do(kind: int, goes_on: bool, reports: int) -> None:
    unknown = Tlv(kind, b"?")
    some = offer(unknown, ADAPTATION)
    assert some.adaptation == (7 if goes_on else None)
    assert some.unrecognized == [wire.unrecognized(unknown)] * reports


def test_a_cookie_counts_wherever_it_stands() -> None:
    assert offer(Tlv(STOP, b""), COOKIE).cookie == b"cookie"
    assert offer(COOKIE, Tlv(ParameterType.STATE_COOKIE, b"other")).cookie == b"cookie"


@pytest.mark.parametrize(("size", "reports"), [(88, 2), (89, 1)])
def test_reports_are_bounded(size: int, reports: int) -> None:
    """Each is a header in a parameter's header, and 4 bytes more for padding."""
    limits = Parameters(max_cookie_size=200)
    listed = [Tlv(SKIP_AND_REPORT, bytes(size))] * 3
    assert len(offer(*listed, limits=limits).unrecognized) == reports


@pytest.mark.parametrize(
    ("families", "source", "taken"),
    [
        ([], "10.0.0.1", ["10.0.0.9", "fd00::9"]),
        ([5], "10.0.0.1", ["10.0.0.9"]),
        ([6], "10.0.0.1", ["10.0.0.9", "fd00::9"]),
        ([6], "fd00::1", ["fd00::9"]),
    ],
)
def test_addresses_that_may_be_listed_to_it(
    families: list[int], source: str, taken: list[str]
) -> None:
    """Section 5.1.2: the family that it speaks is supported, whatever it says."""
    value = b"".join(family.to_bytes(2, "big") for family in families)
    parameters = [Tlv(ParameterType.SUPPORTED_ADDRESS_TYPES, value)] if families else []
    some = offer(*parameters)
    hosts = ["10.0.0.9", "fd00::9"]
    assert [h for h in hosts if some.takes(wire.address_parameter(h), source)] == taken
