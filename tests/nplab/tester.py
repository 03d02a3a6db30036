"""What the scripts share: which purpose a test runs, and associations that know FORWARD TSN.

Most scripts about FORWARD TSN are there a second time, for associations that have agreed on I-DATA
(RFC 8260): the same packets, and the same behaviour.  Their tests run twice, and have a
`NplabTester` make the chunks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import pytest

from trio_sctp._engine import Parameters, wire
from trio_sctp._engine.wire import FIRST, WHOLE, ChunkType, ParameterType, Tlv

from ..etsi.tester import THERE, EtsiTester, quick
from ..support.engines import Sent, info
from ..support.scripted_peer import COOKIE_ACK, PEER_COOKIE

Test = TypeVar("Test", bound=Callable[..., None])

SUPPORTED = Tlv(ParameterType.FORWARD_TSN_SUPPORTED, b"")
"""The parameter by which an endpoint says that it knows FORWARD TSN (RFC 3758 section 3.1)."""


KNOWN = {
    False: (SUPPORTED,),
    True: (
        SUPPORTED,
        Tlv(
            ParameterType.SUPPORTED_EXTENSIONS,
            bytes([ChunkType.FORWARD_TSN, ChunkType.I_FORWARD_TSN, ChunkType.I_DATA]),
        ),
    ),
}
"""What the script's INIT or INIT ACK says; the second is for interleaving."""

interleaving = False
"""Whether the test that runs is about interleaving; `conftest` sets it."""

_TWICE = re.compile(
    r"receiver/(?:(?:un)?ordered/|mixed/)?[\d_]+"
    r"|sender/ttl/\d+"
    r"|shutdown/ttl/(?!14)\d+"
    r"|shutdown-received/ttl/\d+"
)


def with_interleaving(scripts: Iterable[str]) -> list[str]:
    """The same scripts for interleaving, of those that there are for it."""
    return [f"i-{script}" for script in scripts if _TWICE.fullmatch(script)]


def runs(*scripts: str) -> Callable[[Test], Test]:
    """Say which scripts a test runs; the table is held against it."""

    def mark(test: Test) -> Test:
        more = with_interleaving(scripts)
        test.__dict__["scripts"] = [*scripts, *more]
        if not more:
            return test
        both = pytest.mark.parametrize("interleaved", [False, True], indirect=True)
        marked: Test = both(test)
        return marked

    return mark


def for_each(variants: Mapping[str, Any]) -> Callable[[Test], Test]:
    """Run a test once for each script, with the script's own value as ``variant``."""

    def mark(test: Test) -> Test:
        more = with_interleaving(variants)
        test.__dict__["scripts"] = [*variants, *more]
        cases = [pytest.param(variants[name], False, id=name) for name in variants]
        cases += [pytest.param(variants[name[2:]], True, id=name) for name in more]
        parametrize = pytest.mark.parametrize(
            ("variant", "interleaved"), cases, indirect=["interleaved"]
        )
        marked: Test = parametrize(test)
        return marked

    return mark


class NplabTester(EtsiTester):
    """A tester whose chunks are those that the association has agreed on."""

    def data(
        self,
        payload: bytes = b"data",
        *,
        flags: int = WHOLE,
        stream: int = 0,
        tsn: int | None = None,
        ssn: int | None = None,
        fsn: int = 1,
    ) -> bytes:
        """The next chunk of user data, or the one with this TSN; ``ssn`` is the MID of I-DATA."""
        if not interleaving:
            return super().data(payload, flags=flags, stream=stream, tsn=tsn, ssn=ssn)
        plain = wire.DATA_CHUNK.unpack_from(
            super().data(payload, flags=flags, stream=stream, tsn=tsn, ssn=ssn)
        )
        number = 0 if flags & FIRST else fsn
        return wire.i_data_chunk(plain[3], stream, plain[5], number, payload, flags)

    def skip(
        self,
        tsn: int,
        *ordered: tuple[int, int],
        unordered: Sequence[tuple[int, int]] = (),
    ) -> bytes:
        """A FORWARD TSN of the peer's; see `skips`."""
        if interleaving:
            return wire.i_forward_tsn_chunk(tsn, self.skips(*ordered, unordered=unordered))
        return wire.forward_tsn_chunk(tsn, ordered)

    def skips(
        self, *ordered: tuple[int, int], unordered: Sequence[tuple[int, int]] = ()
    ) -> list[tuple[int, int]]:
        """The field ``streams`` of a FORWARD TSN or I-FORWARD-TSN.

        Args:
          ordered: Streams and the SSN or MID of the last message that is skipped on each.
          unordered: The same of unordered messages, which only I-FORWARD-TSN names.
        """
        if not interleaving:
            return list(ordered)
        return [(2 * stream, mid) for stream, mid in ordered] + [
            (2 * stream + 1, mid) for stream, mid in unordered
        ]

    def forward_tsn(
        self,
        tsn: int,
        *ordered: tuple[int, int],
        unordered: Sequence[tuple[int, int]] = (),
    ) -> wire.ForwardTsn:
        """What the engine sends to skip up to a TSN."""
        kind = wire.IForwardTsn if interleaving else wire.ForwardTsn
        return kind(tsn, self.skips(*ordered, unordered=unordered))

    def expect_packet(self, *kinds: type[object], tag: int | None = None, to: str = THERE) -> Sent:
        """Take the only packet that the engine has sent; DATA stands for I-DATA as well."""
        if interleaving:
            kinds = tuple(_INTERLEAVED.get(kind, kind) for kind in kinds)
        return super().expect_packet(*kinds, tag=tag, to=to)


_INTERLEAVED: dict[type[object], type[object]] = {
    wire.Data: wire.IData,
    wire.ForwardTsn: wire.IForwardTsn,
}


def fresh(parameters: Parameters | None = None, *, listening: bool = True) -> NplabTester:
    """A tester whose first TSN is 1, as in the scripts."""
    parameters = parameters or quick()
    if interleaving:
        parameters.interleaving = True
    peer = NplabTester(parameters, listening=listening)
    peer.tsn = 1
    return peer


def skipping(parameters: Parameters | None = None) -> NplabTester:
    """An association that the script has set up, on which messages can be given up."""
    return accepted(parameters, *KNOWN[interleaving])


def accepted(parameters: Parameters | None = None, *known: Tlv) -> NplabTester:
    """An association that the script has set up; ``known`` is what its INIT says."""
    peer = fresh(parameters)
    peer.give(peer.init(known), tag=0)
    peer.learn(peer.expect(wire.InitAck))
    peer.give(peer.cookie_echo())
    peer.expect(wire.CookieAck)
    peer.up()
    return peer


def connected(parameters: Parameters | None = None, *known: Tlv) -> NplabTester:
    """An association that the engine has set up; ``known`` is what the script's INIT ACK says."""
    peer = fresh(parameters, listening=False)
    peer.connect()
    peer.give(peer.init_ack((PEER_COOKIE, *known)))
    peer.expect(wire.CookieEcho)
    peer.give(COOKIE_ACK)
    peer.up()
    return peer


SetUp = Callable[..., NplabTester]
"""`accepted` or `connected`."""

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
