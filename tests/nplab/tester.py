"""What the scripts share: which purpose a test runs, and associations that know FORWARD TSN."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import pytest

from trio_sctp._engine import Parameters, wire
from trio_sctp._engine.wire import ParameterType, Tlv

from ..etsi.tester import EtsiTester, quick
from ..support.engines import info
from ..support.scripted_peer import COOKIE_ACK, PEER_COOKIE

Test = TypeVar("Test", bound=Callable[..., None])

SUPPORTED = Tlv(ParameterType.FORWARD_TSN_SUPPORTED, b"")
"""The parameter by which an endpoint says that it knows FORWARD TSN (RFC 3758 section 3.1)."""


def runs(*scripts: str) -> Callable[[Test], Test]:
    """Say which scripts a test runs; the table is held against it."""

    def mark(test: Test) -> Test:
        test.__dict__["scripts"] = scripts
        return test

    return mark


def for_each(variants: Mapping[str, Any]) -> Callable[[Test], Test]:
    """Run a test once for each script, with the script's own value as ``variant``."""

    def mark(test: Test) -> Test:
        parametrize = pytest.mark.parametrize("variant", variants.values(), ids=list(variants))
        marked: Test = parametrize(runs(*variants)(test))
        return marked

    return mark


def fresh(parameters: Parameters | None = None, *, listening: bool = True) -> EtsiTester:
    """A tester whose first TSN is 1, as in the scripts."""
    peer = EtsiTester(parameters or quick(), listening=listening)
    peer.tsn = 1
    return peer


def accepted(parameters: Parameters | None = None, *known: Tlv) -> EtsiTester:
    """An association that the script has set up; ``known`` is what its INIT says."""
    peer = fresh(parameters)
    peer.give(peer.init(known), tag=0)
    peer.learn(peer.expect(wire.InitAck))
    peer.give(peer.cookie_echo())
    peer.expect(wire.CookieAck)
    peer.up()
    return peer


def connected(parameters: Parameters | None = None, *known: Tlv) -> EtsiTester:
    """An association that the engine has set up; ``known`` is what the script's INIT ACK says."""
    peer = fresh(parameters, listening=False)
    peer.connect()
    peer.give(peer.init_ack((PEER_COOKIE, *known)))
    peer.expect(wire.CookieEcho)
    peer.give(COOKIE_ACK)
    peer.up()
    return peer


Policy = Literal["ttl", "rtx"]
"""How a message is limited: by its lifetime, or by its number of retransmissions (RFC 7496)."""


def send(
    peer: EtsiTester,
    policy: Policy,
    data: bytes = bytes(1000),
    *,
    retransmissions: int = 0,
    rto: float = 1.0,
    stream: int = 1,
    unordered: bool = False,
) -> None:
    """Have the user send a message that is given up after some retransmissions.

    The lifetime that comes to as much ends between the last of them and the next one; ``rto`` is
    the path's when the message is sent.
    """
    if policy == "rtx":
        how = info(stream, unordered=unordered, retransmissions=retransmissions)
    else:
        lifetime = rto * (2 ** (retransmissions + 1) - 1) * 0.75
        how = info(stream, unordered=unordered, lifetime=round(lifetime * 1000))
    peer.engine.send(peer.id, data, how, peer.now)
