"""Heartbeats (RFC 9260 sections 5.4 and 8.3), and whether a peer is still there (5.2)."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from . import wire
from .addresses import local_for
from .bundling import Bundler
from .outlet import Outlet
from .path import HEARTBEAT_INFO_SIZE, Path, Route, heartbeat_info, read_heartbeat_info
from .paths import Paths
from .timers import LIFE, PROBE

_PROBE_SIZE: Final = wire.HEADER_SIZE + 4 + HEARTBEAT_INFO_SIZE
_AWAITED_TRIES: Final = 3
_LIFE_TRIES: Final = 2
_LIFE_WAIT: Final = 1.0
"""Seconds that a peer has to answer when it is asked whether it is there; more if the round trip
is long."""


class Heartbeats:
    """The heartbeats that an association sends, and its answers to those of the peer.

    Attributes:
      awaited: Addresses that the peer lists and that are confirmed in other associations, and what
        the answer to a heartbeat there has to contain.
      sent: Number of those that were sent to addresses of the association.
      answered: Number of these that the peer has answered in time.
    """

    __slots__ = (
        "_acks_size",
        "_awaited_tries",
        "_bundler",
        "_outlet",
        "_paths",
        "_pings",
        "_timers",
        "answered",
        "awaited",
        "sent",
    )

    def __init__(self, outlet: Outlet, paths: Paths, bundler: Bundler, timers: list[float]) -> None:
        self.awaited: dict[str, bytes] = {}
        self.sent: int = 0
        self.answered: int = 0
        self._outlet: Outlet = outlet
        self._paths: Paths = paths
        self._bundler: Bundler = bundler
        self._timers: list[float] = timers
        self._awaited_tries: int = 0
        self._acks_size: int = 0  # bytes of the answers to the packet at hand
        # Whom to tell how long the heartbeat takes that is under way to an address.
        self._pings: dict[str, list[Callable[[float], None]]] = {}

    def begin_anew(self) -> None:
        """Forget what the peer has listed: it begins anew."""
        self.awaited.clear()
        self._awaited_tries = 0
        self._pings.clear()

    def forget(self, address: str) -> None:
        """Forget an address that the peer has given up."""
        self.awaited.pop(address, None)
        self._pings.pop(address, None)

    # -- ours (8.3) ---

    def schedule(self, path: Path, now: float) -> None:
        """Schedule the next heartbeat of a path."""
        path.schedule_heartbeat(now, self._outlet.fraction())

    def send(self, path: Path, now: float) -> None:
        """Send one to a path now."""
        self.sent += 1
        path.heartbeat_nonce = self._outlet.randomness(8)
        path.heartbeat_sent = now
        info = heartbeat_info(path.address, path.heartbeat_nonce, now)
        self._bundler.control.append((path, wire.heartbeat_chunk(info)))
        path.heartbeat_deadline = now + path.rto
        path.heartbeat_at = inf

    def send_if_idle(self, path: Path, now: float) -> None:
        """Send one, unless data is on its way there and tells as much."""
        if path.timed_tsn is not None and path.usable:
            self.schedule(path, now)
        else:
            self.send(path, now)

    def tell(self, path: Path, answered: Callable[[float], None]) -> Callable[[], None]:
        """Have a function called with the round trip of the heartbeat under way, in seconds.

        It is not called if that is lost.  Returns what takes the request back.
        """
        told = self._pings.setdefault(path.address, [])
        told.append(answered)

        def take_back() -> None:
            if answered in told:
                told.remove(answered)

        return take_back

    def take_answer(self, path: Path, nonce: bytes, now: float) -> bool:
        """Whether the peer has answered the heartbeat that was sent on a path."""
        if nonce != path.heartbeat_nonce:
            return False
        self.answered += 1
        path.heartbeat_nonce = b""
        path.heartbeat_deadline = inf
        seconds = max(now - path.heartbeat_sent, 0.0)
        path.measured(seconds)
        for answered in self._pings.pop(path.address, ()):
            answered(seconds)
        return True

    def lost(self, path: Path) -> None:
        """Note that the peer has not answered the heartbeat that was sent on a path."""
        path.heartbeat_deadline = inf
        path.heartbeat_nonce = b""
        self._pings.pop(path.address, None)
        path.back_off()

    # -- the peer's ---

    def begin_packet(self) -> None:
        """Answer the heartbeats of the next packet: no more of them than one packet holds."""
        self._acks_size = 0

    def answer(self, chunk: wire.Heartbeat, path: Path) -> None:
        """Answer a heartbeat of the peer, if the packet that answers has room (RFC 5062, 10.3)."""
        ack = wire.heartbeat_chunk(chunk.info, ack=True)
        if self._acks_size and self._acks_size + len(ack) > path.mtu - wire.HEADER_SIZE:
            return
        self._acks_size += len(ack)
        self._bundler.control.append((path, ack))

    # -- addresses that are not confirmed (5.4) ---

    def probe_soon(self, now: float) -> None:
        """Have the next of them probed now."""
        self._timers[PROBE] = min(self._timers[PROBE], now)

    def probe_with_answer(self, path: Path, now: float) -> None:
        """Send a heartbeat to one of them with what else has to go there."""
        self._paths.reflected += _PROBE_SIZE
        self.send(path, now)
        self._timers[PROBE] = now + path.rto

    def probe_due(self, now: float) -> None:
        """Probe the next of them, and those that are awaited."""
        path, again = self._paths.next_probe(now, _PROBE_SIZE)
        if self.awaited and self._awaited_tries < _AWAITED_TRIES:
            self._awaited_tries += 1
            for address in self.awaited:
                self._ask_for(address, now)
            again = min(again, now + self._paths.for_data().rto)
        self._timers[PROBE] = again
        if path is not None:
            self.send(path, now)

    def _ask_for(self, address: str, now: float) -> None:
        """Send a heartbeat to an address that is another association's.

        Its peer does not answer it, as the verification tag is wrong there; but it may have begun
        anew, with this association (5.2).
        """
        assert self._paths.primary is not None
        route = self._paths.primary.route
        local = local_for(address, route, self._paths.told) or route.local
        nonce = self.awaited[address] = self._outlet.randomness(8)
        self._paths.reflected += _PROBE_SIZE
        self._bundler.send_alone(
            Route(local, address, route.local_udp, route.remote_udp),
            wire.heartbeat_chunk(heartbeat_info(address, nonce, now)),
        )

    def is_answered_from(self, address: str, packet: wire.Packet) -> bool:
        """Whether a packet shows that an address that is awaited is this peer's."""
        wanted = self.awaited.get(address)
        return bool(wanted) and any(
            isinstance(chunk, wire.HeartbeatAck) and read_heartbeat_info(chunk.info)[1] == wanted
            for chunk in packet.chunks
        )


class Life:
    """Whether the peer is still there, when somebody says that it has begun anew.

    That may be a lie, so the peer itself is asked, sooner and more often than by other heartbeats.
    Its silence alone ends nothing: anybody can send an INIT, and links fail for some seconds.

    Attributes:
      silent: Whether the peer has not answered when it was asked.
    """

    __slots__ = ("_asked", "_asked_for", "_shown_to", "_timers", "silent")

    def __init__(self, timers: list[float]) -> None:
        self.silent: bool = False
        self._timers: list[float] = timers
        self._asked: int = 0  # how often
        self._asked_for: int = 0  # the tag of the INIT that was the reason
        self._shown_to: int = 0  # and that of the one for which the peer has shown it

    @property
    def in_question(self) -> bool:
        """Whether the peer was asked, and may still answer."""
        return self._asked > 0

    def question(self, init_tag: int) -> None:
        """Begin to ask, because of an INIT with this tag."""
        self._asked_for = init_tag

    def asked(self, paths: list[Path], now: float) -> None:
        """Wait for the answer to what was sent on these paths."""
        self._asked += 1
        longest = max((path.srtt + 4 * path.rttvar for path in paths), default=0.0)
        self._timers[LIFE] = now + max(_LIFE_WAIT, longest)

    def may_ask_again(self) -> bool:
        """Whether to ask once more; if not, the peer is silent."""
        if self._asked < _LIFE_TRIES:
            return True
        self.give_up()
        return False

    def give_up(self) -> None:
        """Take the peer for silent."""
        self._asked = 0
        self._timers[LIFE] = inf
        self.silent = True

    def shown(self) -> None:
        """Note that the peer has answered a heartbeat."""
        self.silent = False
        if self._asked:
            self._asked = 0
            self._shown_to = self._asked_for
            self._timers[LIFE] = inf

    def was_shown_to(self, init_tag: int) -> bool:
        """Whether the peer was asked because of this INIT, which comes again, and is there."""
        return self._shown_to == init_tag

    def begin_anew(self) -> None:
        """Ask no more: the peer has begun anew."""
        self._asked = 0
        self.silent = False
