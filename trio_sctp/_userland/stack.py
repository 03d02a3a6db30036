"""The engine as a stack under Trio: sockets for `_socket`, and the packets' way in and out.

`UserlandStack` knows nothing of how packets travel.  Its subclasses do: `Userland`, with a
`Carrier` for each socket of the operating system, and the hosts of a simulated network.  They hand
in what arrives (`packet_arrived`, or `take_packets` for many at once), call `handle_timeouts` when
`next_deadline` has come, and send what leaves (`transmit`).
"""

from __future__ import annotations

import abc
import errno
import secrets
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from math import inf
from typing import TypeVar

import trio

from .._engine.account import DEFAULT_LIMIT, Account
from .._engine.association import EngineAssociation
from .._engine.deadlines import Deadlines
from .._engine.engine import Engine
from .._engine.outlet import Outgoing
from .._engine.parameters import Parameters
from .._engine.path import Route, host_of, transport_address
from .._errors import OptionUnsupported
from .._options import (
    DEFAULT_EVENTS,
    EventSubscription,
    Option,
    Status,
)
from .._stack import Interruptible, StackReport, StackSocket
from .._values import (
    Address,
    Arrival,
    AssociationStatistics,
    ReconfigurationRequest,
    SendInfo,
)
from .options import ROWS, Row, SocketSettings, Target, path_at, refusal

T = TypeVar("T", bound=Option)

_EPHEMERAL = range(49152, 65536)

_TRAIN = 16
"""Packets of a program that sends in a loop which leave together."""


class UserlandStack(abc.ABC):
    """The endpoints of one host, whose packets a carrier takes and brings."""

    name: str = "userland"
    peer_udp_port: int = 0

    def __init__(
        self,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
        *,
        answer_strangers: bool = True,
        shares_addresses: bool = False,
        max_held: int = DEFAULT_LIMIT,
    ) -> None:
        """Not for programs to call.

        Args:
          randomness: Returns as many random bytes as it is asked for; another source makes a run
            repeatable.
          answer_strangers: Whether to answer packets to ports that no endpoint here has.  False
            leaves them to others who may have those ports.
          shares_addresses: Whether other stacks may have the same addresses.  Their ports should
            then differ, or a peer would take an association of one for a restart of the other's.
          max_held: Bytes of memory that all peers together may make it hold.
        """
        self.account: Account = Account(max_held)
        # `trio.current_time` of the run, without its look for the run.
        self.now: Callable[[], float] = trio.lowlevel.current_clock().current_time
        self._randomness = randomness
        self._answer_strangers = answer_strangers
        self.ended: bool = False
        self._failure: Exception | None = None
        self.engines: dict[int, Engine] = {}  # by port
        self._sockets: dict[Engine, dict[int | None, UserlandSocket]] = {}  # by their association
        self._deadlines = Deadlines(self._deadline_of)
        self._given: dict[Engine, None] = {}  # what has packets, and was not handed out since
        self._unflushed: tuple[Engine, int] | None = None  # an association with messages queued
        self._looped_on: Engine | None = None  # whose association a task sends on in a loop
        self._next_port = _EPHEMERAL.start
        if shares_addresses:
            self._next_port += int.from_bytes(randomness(2), "big") % len(_EPHEMERAL)
        self._nobody = Engine(0, [], randomness=randomness, account=self.account)

    # -- what a carrier supplies ---

    @abc.abstractmethod
    def bind(self, hosts: Sequence[str], *, ipv6: bool) -> list[str]:
        """The addresses of an endpoint that asks for ``hosts``, or for any.

        Raises:
          OSError: one of them is no address of this host.
        """

    @abc.abstractmethod
    def listen(self, engine: Engine, bound: Sequence[str]) -> None:
        """Let an endpoint be reached by peers that know only its addresses and port.

        Raises:
          OSError: it cannot be.
        """

    @abc.abstractmethod
    def route_to(self, engine: Engine, remote: str, bound: Sequence[str]) -> Route:
        """The route to an address from one of those in ``bound``.

        Raises:
          OSError: there is none.
        """

    @abc.abstractmethod
    def bind_further(self, engine: Engine, host: str) -> None:
        """Let an endpoint that is in use have one more address of this host.

        Raises:
          OSError: it cannot have it.
        """

    @abc.abstractmethod
    def unbind(self, engine: Engine, host: str) -> None:
        """Give up what was held for an address that an endpoint has no longer."""

    @abc.abstractmethod
    def release(self, engine: Engine) -> None:
        """Give up what was held for an endpoint that is gone with all of its associations."""

    @abc.abstractmethod
    def transmit(self, packets: Sequence[Outgoing]) -> None:
        """Send packets: those of a route in their order."""

    @abc.abstractmethod
    def wake(self) -> None:
        """Have `flush` called soon."""

    @abc.abstractmethod
    def timers_changed(self) -> None:
        """Ask for `next_deadline` again: it may have changed."""

    @abc.abstractmethod
    def own_addresses(self) -> list[str]: ...

    @abc.abstractmethod
    def report(self) -> StackReport: ...

    @abc.abstractmethod
    def heed_marks(self) -> None:
        """Learn of routers' marks on packets that come, from now on (RFC 3168).

        Raises:
          OptionUnsupported: that cannot be.
        """

    def parameters(self) -> Parameters:
        """The parameters that endpoints start with."""
        return Parameters()

    # -- what a carrier calls ---

    def packet_arrived(self, data: bytes, route: Route, *, marked: bool = False) -> None:
        """Take a packet that has come, and let follow from it what does."""
        self.take_packets([data], route, self.now(), sys.maxsize, marked)
        self.packets_taken()

    def take_packets(
        self,
        packets: Sequence[bytes],
        route: Route,
        now: float,
        most: int,
        marked: bool = False,
    ) -> int:
        """Take packets of one route that have come, before `packets_taken`.

        ``marked`` says that a router has marked them (RFC 3168).
        Returns how many of them, from the first on, were taken: fewer than there are if the next
        is for another port, or ``most`` messages and events have come for the programs of one.
        """
        first = packets[0]
        if len(first) < 4:
            return 1
        port = int.from_bytes(first[2:4], "big")
        engine = self.engines.get(port)
        if engine is None or (
            engine.addresses
            and route.local not in engine.addresses
            and not engine.keeps(route.local)
        ):
            if not self._answer_strangers:
                return 1
            engine = self._nobody  # it answers for all ports that no endpoint has (section 8.4)
            engine.use_port(port)
        taken = engine.receive_packets(packets, route, now, most, marked)
        self._given[engine] = None
        if self.account.held > self.account.limit:
            self._make_room()
        return taken

    def packets_taken(self) -> None:
        """Let follow what does from the packets that were taken: others leave, programs wake up."""
        given, self._given = self._given, {}
        for engine in given:
            self._hand_out(engine, may_wait=True)

    def _make_room(self) -> None:
        """Peers make us hold more than they may: those that hold most give way."""
        for holder in self.account.make_room(self.now()):
            assert isinstance(holder, Engine)
            self._hand_out(holder)

    def unreachable(self, data: bytes, remote: str) -> None:
        """Take what ICMP says: nobody at ``remote`` takes packets like this one of ours."""
        engine = self.engines.get(int.from_bytes(data[:2], "big"))
        if engine is not None:
            engine.unreachable(data, remote, self.now())
            self._hand_out(engine)

    def next_deadline(self) -> float | None:
        """When `handle_timeouts` has to be called; None if no timer runs."""
        deadline = self._deadlines.earliest()
        return None if deadline == inf else deadline

    def _deadline_of(self, port: int) -> float:
        deadline = self.engines[port].next_deadline()
        return inf if deadline is None else deadline

    def handle_timeouts(self) -> None:
        """Let all timers that have run out take effect."""
        now = self.now()
        while (port := self._deadlines.due(now)) is not None:
            engine = self.engines[port]
            engine.handle_timeout(now)
            self._hand_out(engine)

    def flush(self) -> None:
        """Send the messages that were queued since the last call, as far as windows allow."""
        self._looped_on = None
        if self._unflushed is not None:
            engine, id = self._unflushed
            self._unflushed = None
            engine.flush(id, self.now())
            self._hand_out(engine)

    def expect_more(self) -> None:
        """Note that a task sends in a loop; that holds until `flush`."""
        if self._unflushed is not None:
            self._looped_on = self._unflushed[0]

    def filling(self) -> int:
        """Bytes of messages that may wait for others to share their packets; 0 if none may.

        They may while the peer has other data to acknowledge, which is counted too.
        """
        if self._unflushed is None:
            return 0
        engine, id = self._unflushed
        association = engine.associations.get(id)
        if association is None or not association.outbound.flight:
            return 0
        return association.outbound.buffered

    def end(self, failure: Exception | None) -> None:
        """Abort all associations that are left, and wake all tasks that wait."""
        if self.ended:
            return
        self.ended = True
        self._failure = failure
        now = trio.current_time()
        for engine in list(self.engines.values()):
            try:
                for id in list(engine.associations):
                    engine.abort(id, b"", now)
                self._hand_out(engine)
            except Exception:
                if failure is None:  # otherwise the engine that failed may well fail again
                    raise
        for sockets in self._sockets.values():
            for socket in sockets.values():
                socket.wake_all()

    # -- what its sockets call ---

    def check_running(self) -> None:
        """Raise BrokenResourceError if the carrier brings and takes no packets any more."""
        if self.ended:
            why = "has failed" if self._failure else "was left"
            raise trio.BrokenResourceError(f"the {self.name} stack {why}") from self._failure

    def queued(self, engine: Engine, association: EngineAssociation) -> None:
        """Have a message that was queued leave soon: at once if nothing is on its way to the peer.

        Else messages that are queued on the same association directly after it share its packets,
        up to some bursts of them, and these share a system call.  Messages on other associations do
        not overtake it.
        """
        if self.ended:
            self.check_running()
        latest = self._unflushed
        if latest is None and not association.outbound.flight:
            engine.flush(association.id, self.now())
            self.settle(engine)
        elif latest is None or latest[1] != association.id or latest[0] is not engine:
            self.flush()
            self._unflushed = (engine, association.id)
            self.wake()
        elif association.has_bursts():
            engine.flush(association.id, self.now())
            if engine.packets_waiting() >= _TRAIN:
                self._hand_out(engine)

    def send_packets(self, engine: Engine) -> None:
        """Send an engine's packets after messages were taken from it: SACKs that open the window.

        Nothing else can have come of it, so this does less than `settle`.
        """
        packets = engine.packets_to_send()
        if packets:
            self.transmit(packets)
            if engine.port in self.engines:
                self._deadlines.changed.add(engine.port)

    def settle(self, engine: Engine) -> None:
        """Hand out what an engine has made of a program's call, and look at the timers again."""
        self._hand_out(engine)
        self.timers_changed()

    def _hand_out(self, engine: Engine, *, may_wait: bool = False) -> None:
        """Hand out what an engine has made of a packet, a timer or a call.

        Packets go to the carrier, news to the sockets, and room to those that wait for it.  An
        engine that nobody uses any more is released.  ``may_wait`` lets packets wait for those of a
        task that sends in a loop, until they are a train.
        """
        if (
            not may_wait
            or engine is not self._looped_on
            or engine.packets_waiting() >= _TRAIN
            or not self._in_use(engine)
        ):
            packets = engine.packets_to_send()
            if packets:
                self.transmit(packets)
        sockets = self._sockets.get(engine)
        for id in engine.take_news():
            if sockets is not None and id in sockets:
                sockets[id].readable()
        for id in engine.take_room():
            socket = None if sockets is None else sockets.get(id) or sockets.get(None)
            if socket is not None:
                socket.writable(id)
        if engine.freed:
            freed, engine.freed[:] = list(engine.freed), []
            for host in freed:
                self.unbind(engine, host)
        if self.engines.get(engine.port) is engine:
            if self._in_use(engine):
                self._deadlines.changed.add(engine.port)
            else:
                del self.engines[engine.port]
                self._deadlines.forget(engine.port)
                self.release(engine)

    def _in_use(self, engine: Engine) -> bool:
        """Whether a socket has the engine, or one of its associations is still shutting down."""
        return bool(engine.associations) or engine in self._sockets

    def add(self, socket: UserlandSocket) -> None:
        """Remember a socket that was opened or peeled off."""
        self._sockets.setdefault(socket.engine, {})[socket.only] = socket

    def forget(self, socket: UserlandSocket) -> None:
        """Forget a socket that was closed."""
        sockets = self._sockets[socket.engine]
        del sockets[socket.only]
        if not sockets:
            del self._sockets[socket.engine]

    def unsupported(self, what: str) -> OptionUnsupported:
        """The error for something that this stack does not have."""
        return OptionUnsupported(errno.EOPNOTSUPP, f"the {self.name} stack has no {what}")

    # -- the seam: `Stack` ---

    def open(
        self,
        local_addresses: Sequence[Address],
        port: int,
        *,
        ipv6: bool,
        options: Sequence[Option] = (),
    ) -> UserlandSocket:
        for option in options:
            raise self.unsupported(type(option).__name__)
        self.check_running()
        hosts = [host_of(address) for address in local_addresses]
        hosts = [host for host in hosts if host not in ("0.0.0.0", "::")]
        bound = self.bind(hosts, ipv6=ipv6)
        if not port:
            port = self._free_port()
        elif port in self.engines:
            raise refusal(errno.EADDRINUSE)
        engine = Engine(
            port,
            hosts,
            parameters=self.parameters(),
            randomness=self._randomness,
            account=self.account,
        )
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
        raise refusal(errno.EADDRINUSE)

    def adopt(self, sock: object, check: Callable[[StackSocket], None]) -> StackSocket:
        raise self.unsupported("descriptors")

    def resolve(self, name: str) -> Sequence[str] | None:
        """Leave names to the system."""
        return None


class UserlandSocket:
    """One socket of the userland stack; `StackSocket` says what its methods promise."""

    one_to_one = False
    room_is_shared = False
    has_descriptor = False

    def __init__(
        self, stack: UserlandStack, engine: Engine, bound: Sequence[str], only: int | None
    ) -> None:
        self._stack = stack
        self.engine = engine
        self._bound = list(bound)
        self._ipv6 = any(":" in host for host in bound)  # as a socket has its family for good
        self.only = only  # the association that was peeled off, None for an endpoint's socket
        self.settings: SocketSettings = SocketSettings()
        self._subscription = DEFAULT_EVENTS
        self._closed = False
        self._reader: Interruptible | None = None  # the task that waits for records
        self._senders: dict[int, trio.lowlevel.ParkingLot] = {}  # that wait for room

    # -- what the stack calls ---

    def readable(self) -> None:
        """Wake the task that waits for records, if there are any records."""
        if self._reader is not None and self.engine.has_events(self.only):
            self._reader.nudge()

    def writable(self, id: int) -> None:
        """Wake the tasks that wait to send on an association."""
        senders = self._senders.pop(id, None)
        if senders is not None:
            senders.unpark_all()

    def wake_all(self) -> None:
        """Wake all tasks that wait, to find out that the socket or the stack is gone."""
        if self._reader is not None:
            self._reader.nudge()
        for id in list(self._senders):
            self.writable(id)

    # -- messages ---

    def receive(self, limit: int) -> list[Arrival]:
        if self._closed or not self.engine.has_events(self.only):
            return []
        arrivals = self.engine.receive(limit, self._stack.now(), self.only)
        self._stack.send_packets(self.engine)
        return arrivals

    def has_unread(self) -> bool:
        return self.engine.has_events(self.only)

    async def wait_readable(self, waiter: Interruptible) -> None:
        self._check_open()
        if self.engine.has_events(self.only):
            await trio.lowlevel.checkpoint()
            return
        self._reader = waiter
        try:
            await waiter.park()
        finally:
            self._reader = None
        self._check_open()

    def send(
        self, data: bytes | bytearray | memoryview, association_id: int, info: SendInfo
    ) -> None:
        engine, stack = self.engine, self._stack
        association = engine.associations.get(association_id)
        if association is None:
            raise refusal(errno.EPIPE)
        address = info.address
        if address is not None and (
            host_of(address) not in association.paths or address[1] != association.peer_port
        ):
            raise ValueError(
                f"{address!r} is not an address of the peer of association {association_id}"
            )
        if association.parameters.disable_fragments:
            limit = association.outbound.payload_limit(association.paths.for_data())
            if len(data) > limit:
                raise refusal(errno.EMSGSIZE)
        engine.queue(association_id, bytes(data), info, stack.now())
        stack.queued(engine, association)

    async def wait_writable(self, association_id: int | None) -> None:
        self._check_open()
        association = self.engine.associations.get(association_id or 0)
        if (
            association is None  # it has ended, or is a new one, which has room
            or association.shutting_down
            or association.outbound.has_room()
        ):
            await trio.lowlevel.checkpoint()
            return
        self.engine.wants_room(association.id)
        senders = self._senders.setdefault(association.id, trio.lowlevel.ParkingLot())
        try:
            await senders.park()
        finally:
            if not senders and self._senders.get(association.id) is senders:
                del self._senders[association.id]
        self._check_open()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError
        self._stack.check_running()

    def max_send_size(self) -> tuple[int, str]:
        association = self.engine.associations.get(self.only or 0)
        parameters = self.engine.parameters if association is None else association.parameters
        return parameters.send_buffer, "set a larger SendBuffer"

    # -- associations ---

    def connect(self, addresses: Sequence[Address]) -> int:
        self._stack.check_running()
        routes = [
            self._stack.route_to(self.engine, host_of(address), self._bound)
            for address in addresses
        ]
        id = self.engine.connect(routes, addresses[0][1], trio.current_time())
        self.settle()
        return id

    def listen(self, backlog: int) -> None:
        if self.only is None:
            if backlog:
                self._stack.check_running()
                self._stack.listen(self.engine, self._bound)
            self.engine.listening = backlog > 0

    def accept(self) -> StackSocket:
        raise refusal(errno.EOPNOTSUPP)

    def peel_off(self, association_id: int) -> UserlandSocket:
        self.engine.peel_off(association_id)
        other = UserlandSocket(self._stack, self.engine, self._bound, association_id)
        other.settings = self.settings.peel_off(association_id)
        other._subscription = self._subscription
        self._stack.add(other)
        return other

    def association_ids(self) -> Collection[int]:
        if self.only is not None:
            return [self.only] if self.only in self.engine.associations else []
        return self.engine.shared.keys()

    def _association(self, id: int) -> EngineAssociation:
        """The association with this id; EINVAL if there is none."""
        association = self.engine.associations.get(id)
        if association is None:
            raise refusal(errno.EINVAL)
        return association

    def status(self, association_id: int) -> Status:
        return self._association(association_id).status()

    def is_dry(self, association_id: int) -> bool:
        return self._association(association_id).outbound.empty

    def ping(
        self, association_id: int, address: Address | None, answered: Callable[[float], None]
    ) -> Callable[[], None]:
        association = self._association(association_id)
        path = association.paths.for_data() if address is None else path_at(association, address)
        take_back = self.engine.ping(association_id, path, answered, trio.current_time())
        self.settle()
        return take_back

    def reconfigure(
        self, association_id: int, request: ReconfigurationRequest, answered: Callable[[int], None]
    ) -> Callable[[], bool]:
        self._stack.flush()  # messages that were sent before leave before
        now = trio.current_time()
        take_it_back = self.engine.reconfigure(association_id, request, answered, now)
        self.settle()

        def take_back() -> bool:
            taken = take_it_back(trio.current_time())
            self.settle()
            return taken

        return take_back

    def statistics(self, association_id: int) -> AssociationStatistics:
        return self._association(association_id).statistics()

    def pending_error(self) -> int:
        return 0 if self.only is None else self.engine.failure(self.only)

    def shutdown(self, association_id: int) -> None:
        self.engine.shutdown(association_id, trio.current_time())
        self.settle()

    def abort(self, association_id: int, reason: bytes) -> None:
        self._stack.flush()  # messages that were sent before leave before
        self.engine.abort(association_id, bytes(reason), trio.current_time())
        self.settle()

    def settle(self) -> None:
        """Hand out what the engine has made of a call, and look at the timers again."""
        self._stack.settle(self.engine)

    # -- addresses ---

    def local_addresses(self, association_id: int | None) -> list[Address]:
        hosts: Iterable[str] = self._bound
        if association_id is not None:
            hosts = self._association(association_id).lasting_addresses()
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
        host = host_of(address)
        if not self.engine.addresses or (":" in host and not self._ipv6):
            raise refusal(errno.EINVAL)
        self._stack.check_running()
        self._stack.bind([host], ipv6=":" in host)
        self._stack.bind_further(self.engine, host)
        self._bound.append(host)
        self.engine.add_address(host, trio.current_time())
        self.settle()

    def unbind(self, address: Address) -> None:
        host = host_of(address)
        if not self.engine.addresses:
            raise refusal(errno.EINVAL)
        self._stack.check_running()
        self._bound.remove(host)
        self.engine.remove_address(host, trio.current_time())
        self.settle()

    # -- options and events ---

    def get_option(
        self,
        kind: type[T],
        association_id: int | None,
        address: Address | None = None,
        stream: int | None = None,
    ) -> T:
        target = self._target(association_id)
        target.stream = stream
        if address is not None:
            assert target.association is not None
            target.path = path_at(target.association, address)
        read = self._row(kind).read
        assert read is not None  # what can only be set is not read
        return read(target)  # type: ignore[return-value]

    def set_option(self, option: Option, association_id: int | None) -> None:
        target = self._target(association_id)
        write = self._row(type(option)).write
        if write is None:
            raise self.unsupported(type(option).__name__)
        write(target, option)

    def _row(self, kind: type[Option]) -> Row:
        row = ROWS.get(kind)
        if row is None or (row.udp and not self.engine.parameters.peer_udp_port):
            raise self.unsupported(kind.__name__)
        return row

    def unsupported(self, what: str) -> OptionUnsupported:
        """The error for something that the stack does not have."""
        return self._stack.unsupported(what)

    def heed_marks(self) -> None:
        """Learn of routers' marks on packets that come, from now on (RFC 3168)."""
        self._stack.heed_marks()

    def _target(self, association_id: int | None) -> Target:
        # The engine of a socket that was peeled off is another socket's too.
        id = self.only if association_id is None else association_id
        return Target(self, None if id is None else self._association(id))

    def subscribe(self, events: EventSubscription, association_id: int | None) -> None:
        # The library drops events that are not subscribed to; here all of them are reported, but
        # those for which a peer would have to wait until somebody reads.
        before = self._subscription
        resets = bool(events.stream_reset_event or events.association_reset_event)
        if association_id is None:
            self._subscription = events
            self.engine.parameters.report_keys = bool(events.authentication_event)
            self.engine.parameters.report_resets = resets
        ids = self.association_ids() if association_id is None else [association_id]
        for id in ids:
            association = self.engine.associations.get(id)
            if association is not None:  # it may have ended
                association.parameters.report_resets = resets
                association.parameters.report_keys |= bool(events.authentication_event)
        if events.sender_dry_event and (association_id is not None or not before.sender_dry_event):
            # An association that is dry already is reported at once (RFC 6458 section 6.1.9).
            for id in ids:
                self.report_dry(id, True)

    def subscription(self, association_id: int | None) -> EventSubscription:
        return self._subscription

    def report_dry(self, association_id: int, on: bool) -> None:
        if on:
            self.engine.tell_if_dry(association_id)
            self.readable()

    # -- giving it up ---

    def close(self, *, abort: bool) -> None:
        if self._closed:
            return
        self._closed = True
        now = trio.current_time()
        for id in list(self.association_ids()):
            if abort:
                self.engine.abort(id, b"", now)
            else:
                self.engine.shutdown(id, now)
        if self.only is None:
            self.engine.listening = False
        self.engine.release(list(self.association_ids()), self.only, now)
        self._stack.forget(self)
        self.wake_all()
        self.settle()

    def drop(self) -> None:
        pass  # the stack has ended with its run, and its associations with it

    def detach(self) -> int:
        raise self._stack.unsupported("descriptors")
