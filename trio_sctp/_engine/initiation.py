"""The active half of the handshake (RFC 9260 sections 5.1 A and C, 5.2.6): INIT and COOKIE ECHO.

The passive half, which keeps no state, stands in `handshake`.
"""

from __future__ import annotations

import struct
from typing import Final

from . import wire
from .bundling import Bundler, PacketBuilder
from .offer import Offer
from .outbound import Outbound
from .parameters import Parameters
from .path import Path
from .paths import Paths
from .timers import T1
from .wire import Cause, ChunkType, ParameterType, Tlv

_LONGEST_LIFE: Final = 60_000
"""Milliseconds that are asked for at most, when a cookie was stale."""


class Initiation:
    """What this side sends to set an association up, and how often.

    Attributes:
      init: Our INIT; None if the peer has begun.
      cookie: The peer's, which we echo.
      unanswered: Whether it was given up, since nobody answered.
      refused: Addresses where ICMP says that nobody is.
    """

    __slots__ = (
        "_bundler",
        "_cookie_sent",
        "_outbound",
        "_parameters",
        "_paths",
        "_stale",
        "_timers",
        "_tried",
        "_tries",
        "_wait",
        "cookie",
        "init",
        "refused",
        "unanswered",
    )

    def __init__(
        self,
        parameters: Parameters,
        paths: Paths,
        outbound: Outbound,
        bundler: Bundler,
        timers: list[float],
    ) -> None:
        self.init: wire.Init | None = None
        self.cookie: bytes = b""
        self.unanswered: bool = False
        self.refused: dict[str, None] = {}  # an empty set would take four times the memory
        self._parameters: Parameters = parameters
        self._paths: Paths = paths
        self._outbound: Outbound = outbound
        self._bundler: Bundler = bundler
        self._timers: list[float] = timers
        self._wait: float = 0.0  # seconds for T1
        self._tries: int = 0  # after the first
        self._tried: int = 0  # INITs that were sent
        self._stale: int = 0  # cookies that the peer found stale
        self._cookie_sent: float = 0.0

    def start(self, init: wire.Init, now: float) -> None:
        """Send the INIT."""
        assert self._paths.primary is not None
        self.init = init
        self._wait = self._paths.primary.rto
        self.send_init(now)

    def send_init(self, now: float) -> None:
        """Send it alone in its packet, and each time to the next address (5.1, 6.10)."""
        assert self.init is not None
        paths = [path for path in self._paths.values() if path.confirmed]
        path = paths[self._tried % len(paths)]
        self._tried += 1
        self._bundler.send_alone(path.route, wire.init_chunk(self.init), tag=0)
        self._timers[T1] = now + self._wait

    def may_try_again(self) -> bool:
        """Wait longer for an answer, after T1 has expired; return whether there is a next time."""
        parameters = self._parameters
        self._tries += 1
        if self._tries > parameters.max_init_retrans:
            self.unanswered = True
            return False
        self._wait = min(self._wait * 2, parameters.max_init_timeout or parameters.rto_max)
        return True

    def refusal(self, ack: wire.InitAck, offer: Offer) -> Tlv | None:
        """Return why no association can be made of an INIT ACK; None if one can."""
        if not offer.valid or len(ack.parameters) > wire.MOST_LOOKED_AT:
            return Tlv(Cause.INVALID_PARAMETER, b"")
        if offer.violation:
            return Tlv(Cause.PROTOCOL_VIOLATION, offer.violation.encode())
        if offer.host_name is not None:
            return Tlv(Cause.UNRESOLVABLE_ADDRESS, wire.tlvs([offer.host_name]))
        if offer.cookie is None:
            missing = struct.pack("!IH", 1, ParameterType.STATE_COOKIE)
            return Tlv(Cause.MISSING_PARAMETER, missing)
        return None

    def echo(self, cookie: bytes, path: Path, reports: list[Tlv], now: float) -> None:
        """Send the cookie of an INIT ACK back, and reports of what was not understood in it."""
        self.cookie = cookie
        self._begin_to_wait()
        self.send_cookie(path, reports, now)

    def _begin_to_wait(self) -> None:
        self._tries = 0
        self._wait = self._parameters.rto_initial

    def send_cookie(self, path: Path, reports: list[Tlv], now: float) -> None:
        """Send the COOKIE ECHO with as much user data as its packet holds.

        No more may leave before the COOKIE ACK (5.1, C).
        """
        packet = PacketBuilder(path, self._bundler.auth_size)
        packet.add(wire.chunk(ChunkType.COOKIE_ECHO, self.cookie))
        if reports:
            packet.add(wire.error_chunk(reports))
        # It may have been too large for the path, of which nothing is known yet.
        packet.fragment = packet.room < 0 or self._tries > 0
        outbound = self._outbound
        while (chunk := outbound.next_marked(packet.room, now)) is not None:
            packet.add(chunk.wire)
            outbound.sent_again(chunk, path, now)
        while (chunk := outbound.next_new(packet.room, path, now, immediate=False)) is not None:
            packet.add(chunk.wire)
        outbound.packet_is_full()
        self._bundler.send_packet(packet)
        self._cookie_sent = now
        self._timers[T1] = now + self._wait

    def may_ask_for_longer(self) -> bool:
        """Count a cookie that was stale; return whether to ask for another (5.2.6)."""
        self._stale += 1
        return self._stale <= self._parameters.max_init_retrans and self.init is not None

    def ask_for_longer(self, now: float) -> None:
        """Ask for a cookie that lives longer."""
        assert self.init is not None
        longer = min(round((now - self._cookie_sent + 1) * 1000), _LONGEST_LIFE)
        self.init.parameters = [
            p for p in self.init.parameters if p.type != ParameterType.COOKIE_PRESERVATIVE
        ]
        self.init.parameters.append(
            Tlv(ParameterType.COOKIE_PRESERVATIVE, longer.to_bytes(4, "big"))
        )
        self._begin_to_wait()
        self.send_init(now)

    def refused_everywhere(self, address: str) -> bool:
        """Note that ICMP says that nobody is there; return whether that goes for all addresses."""
        self.refused[address] = None
        return self.refused.keys() >= self._paths.keys()
