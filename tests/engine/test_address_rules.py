"""Nothing but heartbeats goes to an address that is not confirmed, and who breaks that is found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import pytest

from trio_sctp._engine import Engine, wire
from trio_sctp._engine.wire import ChunkType

from ..support.engines import A2, A3, B2, B3, PEER_PORT, A, B, payloads
from .address_rules import AddressRules, RuleBroken
from .sending_rules import Unjudged, WatchedEngine
from .simulation import Pair

MESSAGES = 60


def run(seed: int, rules: Callable[[], AddressRules] = AddressRules) -> Counter[str]:
    """Two hosts with three addresses, of which two stay unconfirmed while the first one fails."""
    watched: list[WatchedEngine] = []

    def make_engine(*args: Any, **keywords: Any) -> Engine:
        watched.append(WatchedEngine(Engine(*args, **keywords), Unjudged, rules))
        return cast(Engine, watched[-1])

    pair = Pair(3, seed=seed, link={"loss": 0.1}, make_engine=make_engine, connect=False)
    silent = {A2, A3, B2, B3}
    pair.drop = lambda sent: sent.has(wire.HeartbeatAck) and sent.route.local in silent
    pair.id = pair.a.connect([pair.routes[0]], PEER_PORT, pair.now)
    pair.run_until(lambda: pair.up)
    for number in range(MESSAGES):
        pair.send(b"%d" % number)
        pair.answer(b"%d" % number)
        pair.run(0.1)
        if number == MESSAGES // 3:
            pair.cut(A)
        elif number == 2 * MESSAGES // 3:
            pair.heal()
            pair.drop = lambda sent: False
    pair.run(200.0)
    expected = [b"%d" % number for number in range(MESSAGES)]
    assert payloads(pair.events[pair.a]) == payloads(pair.events[pair.b]) == expected
    first, second = watched
    assert (first.addresses.confirmed, second.addresses.confirmed) == ({B, B2, B3}, {A, A2, A3})
    return first.addresses.seen + second.addresses.seen


@pytest.mark.parametrize("seed", range(3))
def test_they_are_kept(seed: int) -> None:
    seen = run(seed)
    assert seen["to unconfirmed addresses"] > 10
    assert seen["to confirmed addresses"] > MESSAGES


class Fault(AddressRules):
    """Shows the referee packets of these kinds as sent to an address that is not confirmed."""

    kinds: tuple[type[wire.Chunk], ...] = ()
    tampered = 0

    def sent(self, packet: bytes, address: str) -> None:
        super().sent(packet, address)
        parsed = wire.parse_packet_untrusted(packet)
        assert isinstance(parsed, wire.Packet)
        if any(isinstance(chunk, self.kinds) for chunk in parsed.chunks):
            for other in {A2, A3, B2, B3} - self.confirmed:
                type(self).tampered += 1
                super().sent(packet, other)


class SendsData(Fault):
    kinds = (wire.Data,)


class Acknowledges(Fault):
    kinds = (wire.Sack,)


class AnswersTheCookieAlone(Fault):
    kinds = (wire.CookieAck,)


class ReportsAnError(Fault):
    def sent(self, packet: bytes, address: str) -> None:
        super().sent(packet, address)
        if address not in self.confirmed:
            type(self).tampered += 1
            error = wire.error_chunk([wire.Tlv(wire.Cause.STALE_COOKIE, bytes(4))])
            super().sent(packet[: wire.HEADER_SIZE] + error, address)


@pytest.mark.parametrize(
    ("fault", "chunk"),
    [
        (SendsData, ChunkType.DATA),
        (Acknowledges, ChunkType.SACK),
        (AnswersTheCookieAlone, ChunkType.COOKIE_ACK),
        (ReportsAnError, ChunkType.ERROR),
    ],
)
def test_who_breaks_them_is_found_out(fault: type[Fault], chunk: ChunkType) -> None:
    with pytest.raises(RuleBroken, match=f"5.4: {chunk.name}"):
        run(0, fault)
    assert fault.tampered


def test_a_fault_that_never_happens_is_not_found_out() -> None:
    run(0, Fault)
    assert not Fault.tampered
