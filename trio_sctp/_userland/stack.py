"""The engine as a stack under Trio: sockets for `_socket`, and the packets' way in and out.

`UserlandStack` knows nothing of how packets travel; a carrier does: UDP, raw IP, or a simulated
network.  The carrier hands in what arrives (`packet_arrived`), calls `handle_timeouts` when
`next_deadline` has come, and takes what leaves (`transmit`).
"""

from __future__ import annotations

import abc
import errno
import os
import secrets
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from math import inf
from typing import Any, TypeVar

import trio

from .._engine.association import EngineAssociation
from .._engine.deadlines import Deadlines
from .._engine.engine import Engine, Outgoing
from .._engine.parameters import Parameters
from .._engine.path import Path, Route, host_of, transport_address
from .._errors import OptionUnsupported
from .._options import (
    DEFAULT_EVENTS,
    AdaptationLayer,
    AssocParams,
    AutoClose,
    DefaultSendParams,
    DelayedAck,
    DisableFragments,
    EventSubscription,
    InitMsg,
    Linger,
    MaxSegment,
    NoDelay,
    Option,
    PeerAddressFlags,
    PeerAddressInfo,
    PeerAddressParams,
    PrimaryAddress,
    ReceiveBuffer,
    RtoInfo,
    SendBuffer,
    Status,
    Tos,
)
from .._stack import StackReport, StackSocket
from .._values import (
    Address,
    Arrival,
    SendInfo,
)

T = TypeVar("T", bound=Option)

_EPHEMERAL = range(49152, 65536)
_DEFAULT = Parameters()

_CROWD = 256
"""Records that are taken from a socket at once."""


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class UserlandStack(abc.ABC):
    """Endpoints of one host."""

    name: str = "userland"

    def __init__(
        self,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
        *,
        answer_strangers: bool = True,
        shares_addresses: bool = False,
    ) -> None:
        """Not for programs to call.

        Args:
          randomness: Gives so many random bytes; another source makes a run repeatable.
          answer_strangers: Whether ports that nobody has here are nobody's at all.
          shares_addresses: Whether other stacks may have the same addresses: then their ports are
            to differ, or a peer would take one's association for the other's, begun anew.
        """
        self._randomness = randomness
        self._answer_strangers = answer_strangers
        self.ended: bool = False
        self._failure: Exception | None = None
        self.engines: dict[int, Engine] = {}  # by port
        self._sockets: dict[Engine, dict[int | None, UserlandSocket]] = {}  # by their association
        self.blocked: set[UserlandSocket] = set()  # somebody waits to send on them
        self._deadlines = Deadlines(self._deadline_of)
        self.crowded: bool = False  # more has come for a socket than its program takes at once
        self._dirty: tuple[Engine, int] | None = None  # an association that has more to send
        self._next_port = _EPHEMERAL.start
        if shares_addresses:
            self._next_port += int.from_bytes(randomness(2), "big") % len(_EPHEMERAL)
        self._nobody = Engine(0, [], randomness=randomness)

    # -- the carrier's side ---

    @abc.abstractmethod
    def bind(self, hosts: Sequence[str], *, ipv6: bool) -> list[str]:
        """The addresses of an endpoint that asks for these, or for any; OSError if there is no
        such address here."""

    @abc.abstractmethod
    def listen(self, engine: Engine, bound: Sequence[str]) -> None:
        """An endpoint is to be found by those who know only its addresses and port; OSError if it
        cannot be."""

    @abc.abstractmethod
    def route_to(self, engine: Engine, remote: str, bound: Sequence[str]) -> Route:
        """The way to an address, from one of those that are bound; OSError if there is none."""

    @abc.abstractmethod
    def release(self, engine: Engine) -> None:
        """An endpoint and all of its associations are gone."""

    @abc.abstractmethod
    def transmit(self, packet: Outgoing) -> None:
        """Send a packet."""

    @abc.abstractmethod
    def wake(self) -> None:
        """There is something to send: `flush` is to be called soon."""

    @abc.abstractmethod
    def timers_changed(self) -> None:
        """`next_deadline` may be another."""

    def parameters(self) -> Parameters:
        """What endpoints start with."""
        return Parameters()

    def packet_arrived(self, data: bytes, route: Route) -> None:
        """A packet has come."""
        if len(data) < 4:
            return
        port = int.from_bytes(data[2:4], "big")
        engine = self.engines.get(port)
        if engine is None or (engine.addresses and route.local not in engine.addresses):
            if not self._answer_strangers:
                return
            engine = self._nobody  # who answers for ports that nobody has (8.4)
            engine.port = port
        engine.receive_packet(data, route, trio.current_time())
        self._settle(engine)

    def unreachable(self, data: bytes, remote: str) -> None:
        """ICMP says that nobody takes such packets as this one of ours."""
        engine = self.engines.get(int.from_bytes(data[:2], "big"))
        if engine is not None:
            engine.unreachable(data, remote, trio.current_time())
            self._settle(engine)

    def next_deadline(self) -> float | None:
        """When `handle_timeouts` is to be called."""
        deadline = self._deadlines.earliest()
        return None if deadline == inf else deadline

    def _deadline_of(self, port: int) -> float:
        deadline = self.engines[port].next_deadline()
        return inf if deadline is None else deadline

    def handle_timeouts(self) -> None:
        """Do what has fallen due."""
        now = trio.current_time()
        while (port := self._deadlines.due(now)) is not None:
            engine = self.engines[port]
            engine.handle_timeout(now)
            self._settle(engine)

    def flush(self) -> None:
        """Let what was queued since the last time leave."""
        if self._dirty is not None:
            engine, id = self._dirty
            self._dirty = None
            engine.flush(id, trio.current_time())
            self._settle(engine)

    def filling(self) -> bool:
        """Whether what was queued since the last `flush` may wait for more, as the peer has other
        data to acknowledge."""
        if self._dirty is None:
            return False
        engine, id = self._dirty
        association = engine.associations.get(id)
        return association is not None and association.outbound.flight > 0

    def queued(self, engine: Engine, association: EngineAssociation) -> None:
        """An association has more to send: what follows at once on the same one shares packets, up
        to some bursts of them.

        Messages on others do not overtake it.
        """
        self.check_running()
        dirty = (engine, association.id)
        if self._dirty != dirty:
            self.flush()
            self._dirty = dirty
            self.wake()
        elif association.has_bursts():
            self.flush()

    def send_packets(self, engine: Engine) -> None:
        """Messages were taken: its packets leave, and its timers may have changed."""
        packets = engine.packets_to_send()
        if packets:
            for packet in packets:
                self.transmit(packet)
            if engine.port in self.engines:
                self._deadlines.update(engine.port)

    def settle(self, engine: Engine) -> None:
        """An engine was used: its packets leave, and its timers may have changed."""
        self._settle(engine)
        self.timers_changed()

    def check_running(self) -> None:
        """Raise if no packet will come or leave any more."""
        if self.ended:
            why = "has failed" if self._failure else "was left"
            raise trio.BrokenResourceError(f"the {self.name} stack {why}") from self._failure

    def end(self, failure: Exception | None) -> None:
        """Abort all that is left; whoever waits for anything is woken."""
        if self.ended:
            return
        self.ended = True
        self._failure = failure
        now = trio.current_time()
        for engine in list(self.engines.values()):
            try:
                for id in list(engine.associations):
                    engine.abort(id, b"", now)
                self._settle(engine)
            except Exception:
                if failure is None:  # else it is no wonder
                    raise
        for sockets in self._sockets.values():
            for socket in sockets.values():
                socket.wake_all()

    def _settle(self, engine: Engine) -> None:
        for packet in engine.packets_to_send():
            self.transmit(packet)
        sockets = self._sockets.get(engine)
        for id in engine.take_news():
            if sockets is not None and id in sockets:
                sockets[id].readable()
        if self.blocked:
            for socket in [socket for socket in self.blocked if socket.engine is engine]:
                socket.writable()
        if self.engines.get(engine.port) is engine:
            if self._in_use(engine):
                self._deadlines.update(engine.port)
            else:
                del self.engines[engine.port]
                self._deadlines.forget(engine.port)
                self.release(engine)

    def _in_use(self, engine: Engine) -> bool:
        """Whether a socket has it, or an association is still shutting down."""
        return bool(engine.associations) or engine in self._sockets

    # -- the seam ---

    def open(
        self,
        local_addresses: Sequence[Address],
        port: int,
        *,
        ipv6: bool,
        options: Sequence[Option] = (),
    ) -> UserlandSocket:
        for option in options:
            raise OptionUnsupported(
                errno.EOPNOTSUPP, f"the {self.name} stack has no {type(option).__name__}"
            )
        self.check_running()
        hosts = [host_of(address) for address in local_addresses]
        hosts = [host for host in hosts if host not in ("0.0.0.0", "::")]
        bound = self.bind(hosts, ipv6=ipv6)
        if not port:
            port = self._free_port()
        elif port in self.engines:
            raise _error(errno.EADDRINUSE)
        engine = Engine(port, hosts, parameters=self.parameters(), randomness=self._randomness)
        self.engines[port] = engine
        socket = UserlandSocket(self, engine, bound, None)
        self.add(socket)
        return socket

    def _free_port(self) -> int:
        for _ in _EPHEMERAL:
            port = self._next_port
            self._next_port = port + 1 if port + 1 in _EPHEMERAL else _EPHEMERAL.start
            if port not in self.engines:
                return port
        raise _error(errno.EADDRINUSE)

    def adopt(self, sock: object, check: Callable[[StackSocket], None]) -> StackSocket:
        raise OptionUnsupported(errno.EOPNOTSUPP, f"the {self.name} stack has no descriptors")

    @abc.abstractmethod
    def report(self) -> StackReport: ...

    def add(self, socket: UserlandSocket) -> None:
        """A socket was opened, or peeled off."""
        self._sockets.setdefault(socket.engine, {})[socket.only] = socket

    def forget(self, socket: UserlandSocket) -> None:
        """A socket was closed."""
        sockets = self._sockets[socket.engine]
        del sockets[socket.only]
        if not sockets:
            del self._sockets[socket.engine]

    def peeled_off(self, engine: Engine) -> Collection[int | None]:
        """The associations that have a socket of their own."""
        return self._sockets.get(engine, {}).keys()


class UserlandSocket:
    """One socket of the userland stack (see `StackSocket` for what its methods promise)."""

    one_to_one = False

    def __init__(
        self, stack: UserlandStack, engine: Engine, bound: Sequence[str], only: int | None
    ) -> None:
        self._stack = stack
        self.engine = engine
        self._bound = list(bound)
        self.only = only  # the association that was peeled off
        self._closed = False
        self._readable = trio.lowlevel.ParkingLot()
        self._writable = trio.lowlevel.ParkingLot()
        self._settings: dict[type[Option], Option] = {}
        self._defaults: dict[int, DefaultSendParams] = {}
        self._subscription = DEFAULT_EVENTS

    def readable(self) -> None:
        """Something may have come."""
        unread = self.engine.unread(self.only)
        if unread and self._readable:
            self._readable.unpark_all()
        if unread >= _CROWD:
            self._stack.crowded = True

    def writable(self) -> None:
        """Packets or time have passed: there may be room."""
        self._stack.blocked.discard(self)
        self._writable.unpark_all()

    # -- messages ---

    def receive(self, limit: int) -> list[Arrival]:
        if self._closed or not self.engine.has_events(self.only):
            return []
        arrivals = self.engine.receive(limit, trio.current_time(), self.only)
        self._stack.send_packets(self.engine)
        return arrivals

    def has_unread(self) -> bool:
        return self.engine.has_events(self.only)

    def send(
        self, data: bytes | bytearray | memoryview, association_id: int, info: SendInfo
    ) -> None:
        association = self._association(association_id, errno.EPIPE)
        numbers = (info.stream, info.ppid, info.context, info.lifetime)
        if not all(isinstance(number, int) for number in numbers):
            raise TypeError(
                f"stream, ppid, context and lifetime are integers, not all of {numbers}"
            )
        if info.address is not None and (
            host_of(info.address) not in association.paths
            or info.address[1] != association.peer_port
        ):
            raise ValueError(
                f"{info.address!r} is no address of the peer of association {association_id}"
            )
        if association.parameters.disable_fragments:
            limit = association.outbound.payload_limit(association.data_path())
            if len(data) > limit:
                raise _error(errno.EMSGSIZE)
        self.engine.queue(association_id, bytes(data), info, trio.current_time())
        self._stack.queued(self.engine, association)

    async def wait_readable(self) -> None:
        self._check_open()
        if self.engine.has_events(self.only):
            await trio.lowlevel.checkpoint()
            return
        await self._readable.park()
        self._check_open()

    async def wait_writable(self) -> None:
        self._check_open()
        self._stack.blocked.add(self)
        await self._writable.park()
        self._check_open()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError
        self._stack.check_running()

    def wake_all(self) -> None:
        """Whoever waits is to see how things are."""
        self._readable.unpark_all()
        self.writable()

    # -- associations ---

    def connect(self, addresses: Sequence[Address]) -> int:
        self._stack.check_running()
        routes = [
            self._stack.route_to(self.engine, host_of(address), self._bound)
            for address in addresses
        ]
        id = self.engine.connect(routes, addresses[0][1], trio.current_time())
        self._stack.settle(self.engine)
        return id

    def shutdown(self, association_id: int) -> None:
        self.engine.shutdown(association_id, trio.current_time())
        self._stack.settle(self.engine)

    def abort(self, association_id: int, reason: bytes) -> None:
        self._stack.flush()  # what was sent before leaves before
        self.engine.abort(association_id, bytes(reason), trio.current_time())
        self._stack.settle(self.engine)

    def listen(self, backlog: int) -> None:
        if self.only is None:
            if backlog:
                self._stack.check_running()
                self._stack.listen(self.engine, self._bound)
            self.engine.listening = backlog > 0

    def accept(self) -> StackSocket:
        raise _error(errno.EOPNOTSUPP)

    def peel_off(self, association_id: int) -> UserlandSocket:
        self.engine.peel_off(association_id)
        other = UserlandSocket(self._stack, self.engine, self._bound, association_id)
        other._settings = dict(self._settings)
        other._subscription = self._subscription
        if association_id in self._defaults:
            other._defaults[association_id] = self._defaults[association_id]
        self._stack.add(other)
        return other

    def association_ids(self) -> list[int]:
        if self.only is not None:
            return [self.only] if self.only in self.engine.associations else []
        peeled = self._stack.peeled_off(self.engine)
        return [id for id in self.engine.associations if id not in peeled]

    def _association(self, id: int, otherwise: int = errno.EINVAL) -> EngineAssociation:
        association = self.engine.associations.get(id)
        if association is None:
            raise _error(otherwise)
        return association

    def status(self, association_id: int) -> Status:
        return self._association(association_id).status()

    def pending_error(self) -> int:
        return 0 if self.only is None else self.engine.failure(self.only)

    def local_addresses(self, association_id: int | None) -> list[Address]:
        hosts: Iterable[str] = self._bound
        if association_id is not None:
            paths = self._association(association_id).paths.values()
            if len(self.engine.addresses) < 2:
                hosts = dict.fromkeys(path.route.local for path in paths)
        return [transport_address(host, self.engine.port) for host in hosts]

    def peer_addresses(self, association_id: int) -> list[Address]:
        association = self._association(association_id)
        return [association.address_of(host) for host in association.paths]

    def association_at(self, address: Address) -> int | None:
        for id in self.association_ids():
            association = self.engine.associations[id]
            if association.peer_port == address[1] and host_of(address) in association.paths:
                return id
        return None

    def bind(self, address: Address) -> None:
        raise OptionUnsupported(
            errno.EOPNOTSUPP, f"the {self._stack.name} stack sends no ASCONF chunks yet"
        )

    def unbind(self, address: Address) -> None:
        self.bind(address)

    # -- options ---

    def get_option(
        self, kind: type[T], association_id: int | None, address: Address | None = None
    ) -> T:
        association = None if association_id is None else self._association(association_id)
        path = None
        if address is not None:
            assert association is not None
            path = association.paths.get(host_of(address))
            if path is None or address[1] != association.peer_port:
                raise _error(errno.EINVAL)
        parameters = association.parameters if association else self.engine.parameters
        return self._get(kind, parameters, association, path)  # type: ignore[no-any-return]

    def _get(
        self,
        kind: type[Any],
        p: Parameters,
        association: EngineAssociation | None,
        path: Path | None,
    ) -> Any:
        if kind is InitMsg:
            return InitMsg(
                num_ostreams=p.outbound_streams,
                max_instreams=p.inbound_streams,
                max_attempts=p.max_init_retrans,
                max_init_timeo=min(65535, round(p.max_init_timeout * 1000)),
            )
        if kind is RtoInfo:
            return RtoInfo(
                initial=round(p.rto_initial * 1000),
                max=round(p.rto_max * 1000),
                min=round(p.rto_min * 1000),
            )
        if kind is AssocParams:
            inbound = association.inbound if association else None
            return AssocParams(
                asocmaxrxt=p.association_max_retrans,
                number_peer_destinations=len(association.paths) if association else 0,
                peer_rwnd=association.outbound.rwnd if association else 0,
                local_rwnd=inbound.window() if inbound else p.receive_window,
                cookie_life=round(p.cookie_life * 1000),
            )
        if kind is PeerAddressParams:
            on = path.heartbeats if path else p.heartbeats
            flags = PeerAddressFlags.HB_ENABLE if on else PeerAddressFlags.HB_DISABLE
            if path.search is not None if path else p.path_mtu_discovery:
                flags |= PeerAddressFlags.PMTUD_ENABLE
            else:
                flags |= PeerAddressFlags.PMTUD_DISABLE
            if p.sack_delay:
                flags |= PeerAddressFlags.SACKDELAY_ENABLE
            else:
                flags |= PeerAddressFlags.SACKDELAY_DISABLE
            return PeerAddressParams(
                address=association.address_of(path.address) if association and path else None,
                hbinterval=round((path.interval if path else p.heartbeat_interval) * 1000),
                pathmaxrxt=path.max_retrans if path else p.path_max_retrans,
                pathmtu=path.mtu if path else p.path_mtu,
                sackdelay=round(p.sack_delay * 1000),
                flags=flags,
            )
        if kind is PrimaryAddress:
            assert association is not None
            assert association.primary is not None
            return PrimaryAddress(association.address_of(association.primary.address))
        if kind is PeerAddressInfo:
            assert association is not None
            assert path is not None
            return association.path_info(path)
        if kind is Status:
            assert association is not None
            return association.status()
        if kind is AdaptationLayer:
            return AdaptationLayer(p.adaptation_indication or 0)
        if kind is DefaultSendParams:
            default = self._settings.get(DefaultSendParams)
            if association is not None:
                default = self._defaults.get(association.id, default)
            return default or DefaultSendParams(
                stream=0, ppid=0, unordered=False, context=0, lifetime=0
            )
        if kind is DelayedAck:
            if not p.sack_delay or p.sack_frequency == 1:
                return DelayedAck(0, 1)
            return DelayedAck(round(p.sack_delay * 1000), p.sack_frequency)
        if kind is MaxSegment:
            return MaxSegment(p.max_segment)
        if kind is AutoClose:
            return AutoClose(round(p.autoclose))
        if kind is NoDelay:
            return NoDelay(p.no_delay)
        if kind is DisableFragments:
            return DisableFragments(p.disable_fragments)
        if kind is SendBuffer:
            return SendBuffer(p.send_buffer)
        if kind is ReceiveBuffer:
            return ReceiveBuffer(p.receive_window)
        if kind is Linger:
            return self._settings.get(Linger, Linger(False))
        if kind is Tos:
            return Tos(self.engine.tos)
        raise OptionUnsupported(
            errno.EOPNOTSUPP, f"the {self._stack.name} stack has no {kind.__name__}"
        )

    def set_option(self, option: Option, association_id: int | None) -> None:
        now = trio.current_time()
        associations: list[EngineAssociation] = []
        targets = [self.engine.parameters]
        if association_id is not None:
            associations = [self._association(association_id)]
            targets = [associations[0].parameters]
        elif isinstance(option, (NoDelay, DisableFragments, SendBuffer, ReceiveBuffer)):
            # Of the whole socket: those that there are, too.
            ids = self.association_ids()
            targets += [self.engine.associations[id].parameters for id in ids]
        if isinstance(option, AssocParams) and associations:
            _check_max_retrans(option, associations[0])
        for parameters in targets:
            self._set(option, parameters)
        match option:
            case PrimaryAddress(address=address):
                path = associations[0].paths.get(host_of(address))
                if path is None or address[1] != associations[0].peer_port:
                    raise _error(errno.EINVAL)
                self.engine.set_primary(associations[0].id, path.address)
                self._stack.settle(self.engine)
            case PeerAddressParams():
                self._set_paths(option, associations, now)
            case DefaultSendParams():
                if association_id is None:
                    # An association keeps what it started with.
                    before = self.get_option(DefaultSendParams, None)
                    for id in self.association_ids():
                        self._defaults.setdefault(id, before)
                    self._settings[DefaultSendParams] = option
                else:
                    self._defaults[association_id] = option
            case Linger():
                self._settings[Linger] = option
            case Tos(value=value):
                self.engine.tos = value
            case _:
                pass

    def _set(self, option: Option, p: Parameters) -> None:
        match option:
            case InitMsg():
                p.outbound_streams = option.num_ostreams or p.outbound_streams
                p.inbound_streams = option.max_instreams or p.inbound_streams
                p.max_init_retrans = option.max_attempts or _DEFAULT.max_init_retrans
                p.max_init_timeout = (option.max_init_timeo or 0) / 1000
            case RtoInfo():
                low, first, high = option.min or 0, option.initial or 0, option.max or 0
                if not low <= first <= high:
                    raise _error(errno.EINVAL)
                p.rto_min, p.rto_initial, p.rto_max = low / 1000, first / 1000, high / 1000
            case AssocParams():
                p.association_max_retrans = option.asocmaxrxt or p.association_max_retrans
                p.cookie_life = (option.cookie_life or 0) / 1000 or p.cookie_life
            case AdaptationLayer():
                p.adaptation_indication = option.adaptation_ind
            case DelayedAck():
                if option.freq == 1:
                    p.sack_frequency = 1
                else:
                    p.sack_delay = (option.delay or 0) / 1000 or p.sack_delay or _DEFAULT.sack_delay
                    p.sack_frequency = option.freq or max(p.sack_frequency, 2)
            case MaxSegment():
                if 0 < option.size < 512:
                    raise _error(errno.EINVAL)
                p.max_segment = option.size
            case AutoClose():
                p.autoclose = option.seconds
            case NoDelay():
                p.no_delay = option.enabled
            case DisableFragments():
                p.disable_fragments = option.enabled
            case SendBuffer():
                p.send_buffer = option.size
            case ReceiveBuffer():
                p.receive_window = option.size
            case PeerAddressParams() | PrimaryAddress() | DefaultSendParams() | Linger() | Tos():
                pass
            case _:
                raise OptionUnsupported(
                    errno.EOPNOTSUPP, f"the {self._stack.name} stack has no {type(option).__name__}"
                )

    def _set_paths(
        self, option: PeerAddressParams, associations: list[EngineAssociation], now: float
    ) -> None:
        flags = option.flags or PeerAddressFlags(0)
        if flags & PeerAddressFlags.HB_DEMAND and not associations:
            raise _error(errno.EINVAL)
        discover: bool | None = None
        if flags & (PeerAddressFlags.PMTUD_ENABLE | PeerAddressFlags.PMTUD_DISABLE):
            discover = bool(flags & PeerAddressFlags.PMTUD_ENABLE)
        switched: bool | None = None
        if flags & (PeerAddressFlags.HB_ENABLE | PeerAddressFlags.HB_DISABLE):
            switched = bool(flags & PeerAddressFlags.HB_ENABLE)
        p = associations[0].parameters if associations else self.engine.parameters
        # The delay is the association's: what a SACK waits for is the next packet on any path.
        if flags & PeerAddressFlags.SACKDELAY_DISABLE:
            p.sack_delay = 0.0
        elif option.sackdelay or flags & PeerAddressFlags.SACKDELAY_ENABLE:
            p.sack_delay = (option.sackdelay or 0) / 1000 or p.sack_delay or _DEFAULT.sack_delay
        if option.address is None:
            if option.hbinterval is not None:
                p.heartbeat_interval = option.hbinterval / 1000
            p.path_max_retrans = option.pathmaxrxt or p.path_max_retrans
            p.path_mtu = option.pathmtu or p.path_mtu
            if discover is not None:
                p.path_mtu_discovery = discover
            if switched is not None:
                p.heartbeats = switched
        for association in associations:
            for path in list(association.paths.values()):
                if option.address is not None and path.address != host_of(option.address):
                    continue
                path.max_retrans = option.pathmaxrxt or path.max_retrans
                if discover is not None:
                    path.discover_mtu(discover)
                if option.pathmtu and path.search is None:
                    path.mtu = option.pathmtu
                if option.hbinterval is not None:
                    path.interval = option.hbinterval / 1000
                if switched is not None:
                    path.heartbeats = switched
                if flags & PeerAddressFlags.HB_DEMAND:
                    self.engine.request_heartbeat(association.id, path.address, now)
                elif option.hbinterval is not None or switched is not None:
                    path.schedule_heartbeat(now, self.engine.random())
            if option.address is not None and host_of(option.address) not in association.paths:
                raise _error(errno.EINVAL)
            self.engine.reschedule(association.id)
        self._stack.settle(self.engine)

    def subscribe(self, events: EventSubscription, association_id: int | None) -> None:
        # What is not subscribed to is dropped above.
        before = self._subscription
        if association_id is None:
            self._subscription = events
        if events.sender_dry_event and (association_id is not None or not before.sender_dry_event):
            # Who asks is told at once of what is dry already (RFC 6458 section 6.1.9).
            for id in self.association_ids() if association_id is None else [association_id]:
                self.engine.tell_if_dry(id)
            self.readable()

    def subscription(self, association_id: int | None) -> EventSubscription:
        return self._subscription

    def max_send_size(self) -> tuple[int, str]:
        return self.engine.parameters.send_buffer, "set a larger SendBuffer"

    # -- closing ---

    def close(self, *, abort: bool) -> None:
        if self._closed:
            return
        self._closed = True
        now = trio.current_time()
        for id in self.association_ids():
            if abort:
                self.engine.abort(id, b"", now)
            else:
                self.engine.shutdown(id, now)
        if self.only is None:
            self.engine.listening = False
        self.engine.drop_events(self.only)
        self._stack.forget(self)
        self.wake_all()
        self._stack.settle(self.engine)

    def detach(self) -> int:
        raise OptionUnsupported(
            errno.EOPNOTSUPP, f"sockets of the {self._stack.name} stack have no descriptors"
        )


def _check_max_retrans(option: AssocParams, association: EngineAssociation) -> None:
    before = association.parameters.association_max_retrans
    number = option.asocmaxrxt or before
    paths = sum(path.max_retrans for path in association.paths.values())
    if number != before and number > paths:
        warnings.warn(
            f"asocmaxrxt={number} is more than the {paths} retransmissions of all paths together: "
            "an association with no path left will be kept all the same (RFC 9260 section 8.1)",
            RuntimeWarning,
            stacklevel=5,  # who calls set_option
        )
