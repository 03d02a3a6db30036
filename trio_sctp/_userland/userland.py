"""The userland stack on real sockets, in real time.

One task for each `Carrier` reads packets, and another watches the timers and sends what programs
have queued.  They run in the block of `userland`, or in a system task for the default stack.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections.abc import AsyncGenerator, Sequence
from math import inf
from typing import Literal, final

import trio
from trio.lowlevel import enable_ki_protection

from .._addresses import own_addresses
from .._background import background
from .._capture import Capture
from .._checks import check_integer, shown
from .._engine import COMPILED
from .._engine.account import DEFAULT_LIMIT
from .._engine.engine import Engine
from .._engine.outlet import Outgoing
from .._engine.parameters import Parameters
from .._engine.path import Route
from .._errors import StackUnavailable
from .._frozen import Frozen, frozen
from .._log import logger
from .._stack import StackReport, enter_stack, leave_stack
from .carrier import (
    ANY,
    CAN_COUNT_DROPS,
    CAN_TELL_ADDRESSES,
    CAN_TELL_MARKS,
    CapturedCarrier,
    Carrier,
    Unreachable,
    explain,
    family_of,
    kernel_has_sctp,
    source_for,
)
from .stack import UserlandStack

UDP_PORT = 9899
"""The UDP port for SCTP in UDP packets (RFC 6951 section 6)."""

_BATCH = 64
"""Number of packets that are taken before other tasks have their turn."""

_CROWD = 256
"""Records that come of packets before other tasks have their turn: as many as a program takes at
once, and a packet may bring dozens."""

_NO_BUFFERS = 0.001
"""Seconds after which to try again what a network card has no room for: the socket has."""

_FILLING = 0.001
"""Seconds that messages may wait for others of a task that sends in a loop."""

_PATIENCE = 6
"""Turns of all tasks without a further message, after which those that wait leave.

A task that receives and sends has two or three turns for each message, and as Trio's order is
random it may seem one more.
"""

_LOOPING = 4
"""Turns with a further message, after which the task will send more until it is through."""

_IP_HEADERS, _UDP_HEADER = 40, 8  # bytes


@frozen(kw_only=True)
class UserlandStatistics(Frozen):
    """Packets that were lost between this process and the operating system, since the start.

    SCTP sends them again, but slows down.

    Attributes:
      packets_not_sent: Number of packets that the operating system did not take, because its buffer
        was full or it had no route.
      packets_not_received: Number of packets that arrived while the socket's buffer was full; None
        where the operating system does not say (all but Linux).
    """

    packets_not_sent: int
    packets_not_received: int | None


@final
class Userland(UserlandStack):
    """The userland stack, for ``stack=``.  `userland` makes it."""

    def __init__(
        self,
        carrier: Literal["udp", "ip"],
        udp_port: int,
        peer_udp_port: int,
        max_held: int = DEFAULT_LIMIT,
        capture: str | os.PathLike[str] | None = None,
    ) -> None:
        """Not for programs to call."""
        super().__init__(
            answer_strangers=carrier == "udp", shares_addresses=True, max_held=max_held
        )
        self._raw = carrier == "ip"
        self._capture = None if capture is None else _Recorder(capture)
        self._udp_port = udp_port
        self.peer_udp_port: int = peer_udp_port
        self._client_port = 0
        self._carriers: dict[tuple[str, int], Carrier] = {}  # by address and UDP port
        self._by_source: dict[tuple[str, int], Carrier] = {}  # found before, for a packet's source
        self._users: dict[Carrier, set[Engine]] = {}
        self._draining: set[Carrier] = set()
        self._not_sent = self._not_received = 0  # the counts of carriers that were closed
        self._heeds_marks = False
        self._counts_drops = CAN_COUNT_DROPS
        self._nursery: trio.Nursery | None = None
        self._woken = trio.Event()
        self._waiting = trio.CancelScope()

    def __repr__(self) -> str:
        return f"<userland stack over {'IP' if self._raw else 'UDP'}>"

    def statistics(self) -> UserlandStatistics:
        """The packets that were lost between this process and the operating system."""
        carriers = self._carriers.values()
        return UserlandStatistics(
            packets_not_sent=self._not_sent + sum(carrier.not_sent for carrier in carriers),
            packets_not_received=self._not_received
            + sum(carrier.not_received() for carrier in carriers)
            if self._counts_drops
            else None,
        )

    def own_addresses(self) -> list[str]:
        """The IP addresses of this machine."""
        return own_addresses()

    def report(self) -> StackReport:
        """Whether the stack works here, which it always does."""
        return report()

    def parameters(self) -> Parameters:
        """The parameters that endpoints start with: packets leave room for the headers below, and
        the path MTU is discovered."""
        default = Parameters()
        headers = _IP_HEADERS if self._raw else _IP_HEADERS + _UDP_HEADER
        return Parameters(
            path_mtu=(default.path_mtu - headers) & ~3,
            path_mtu_discovery=True,
            largest_path_mtu=(default.largest_path_mtu - headers) & ~3,
            peer_udp_port=self.peer_udp_port,
        )

    # -- sockets ---

    def bind(self, hosts: Sequence[str], *, ipv6: bool) -> list[str]:
        for host in hosts:
            Carrier(host, None if self._raw else 0).close()  # fails if it is not of this machine
        if hosts:
            return list(hosts)
        if not CAN_TELL_ADDRESSES:
            return [host for host in own_addresses() if ipv6 or ":" not in host]
        return [*ANY.values()] if ipv6 else [ANY[socket.AF_INET]]

    def listen(self, engine: Engine, bound: Sequence[str]) -> None:
        for host in bound:
            self._use(engine, self._carrier(host, self._udp_port))

    def route_to(self, engine: Engine, remote: str, bound: Sequence[str]) -> Route:
        same = [host for host in bound if (":" in host) == (":" in remote)]
        if not same:
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        local = source_for(remote)
        if local not in same and same[0] not in ANY.values():
            local = same[0]
        carrier = self._client_carrier(local)
        self._use(engine, carrier)
        for host in engine.addresses:
            if host != local:
                # The peer is told of all of them, and sends to each, from the same UDP port.
                with contextlib.suppress(OSError):
                    self._use(engine, self._client_carrier(host))
        return Route(local, remote, carrier.port, engine.parameters.peer_udp_port)

    def bind_further(self, engine: Engine, host: str) -> None:
        # Peers send to each address of an endpoint from and to the UDP ports that they know.
        ports = {carrier.port for carrier, users in self._users.items() if engine in users}
        try:
            for port in ports:
                self._use(engine, self._carrier(host, port))
        except OSError:
            self.unbind(engine, host)
            raise

    def unbind(self, engine: Engine, host: str) -> None:
        for carrier, users in list(self._users.items()):
            if carrier.host == host:
                users.discard(engine)
                self._close_unused(carrier)

    def _client_carrier(self, host: str) -> Carrier:
        """The carrier of endpoints that do not listen: all share one, on any UDP port."""
        for port in (self._udp_port, self._client_port):
            carrier = self._find(host, port)
            if carrier is not None:
                return carrier
        if self._raw:
            return self._carrier(host, 0)
        try:
            carrier = self._open(host, self._client_port)
        except OSError:
            carrier = self._open(host, 0)  # another program has that port of this address
        self._client_port = carrier.port
        return carrier

    def _find(self, host: str, port: int) -> Carrier | None:
        exact = self._carriers.get((host, port))
        return exact or self._carriers.get((ANY[family_of(host)], port))

    def _carrier(self, host: str, port: int) -> Carrier:
        """The carrier for this address and UDP port, opened if there is none yet."""
        carrier = self._find(host, port)
        if carrier is not None:
            return carrier
        family = family_of(host)
        parts: list[Carrier] = []
        if host == ANY[family]:
            # Carriers of single addresses are in its way, and it can do their work.
            parts = [
                other
                for other in self._carriers.values()
                if other.port == port and family_of(other.host) == family
            ]
        users: set[Engine] = set()
        for part in parts:
            users |= self._users[part]
            self._close(part)
        try:
            carrier = self._open(host, port)
        except OSError as error:
            for part in parts:
                self._users[self._open(part.host, port)] |= users
            raise explain(error, host, port) from None
        self._users[carrier] |= users
        return carrier

    def _open(self, host: str, port: int) -> Carrier:
        port_or_none = None if self._raw else port
        if self._capture is None:
            carrier = Carrier(host, port_or_none, self._not_taken)
        else:
            carrier = CapturedCarrier(host, port_or_none, self._not_taken, self._capture.show)
        self._carriers[host, carrier.port] = carrier
        self._users[carrier] = set()
        self._counts_drops = carrier.counts_drops  # which is the same for all
        if self._heeds_marks:
            carrier.heed_marks()
        self._by_source.clear()
        if self._nursery is not None:
            self._nursery.start_soon(self._read, carrier)
        return carrier

    def _close(self, carrier: Carrier) -> None:
        del self._carriers[carrier.host, carrier.port]
        del self._users[carrier]
        self._by_source.clear()
        self._not_sent += carrier.not_sent
        self._not_received += carrier.not_received()
        trio.lowlevel.notify_closing(carrier.sock)
        carrier.close()

    def _use(self, engine: Engine, carrier: Carrier) -> None:
        self._users[carrier].add(engine)

    def release(self, engine: Engine) -> None:
        for carrier, users in list(self._users.items()):
            users.discard(engine)
            # The listeners' UDP port is given back to the system.  The other carriers stay, because
            # a peer may not know yet that its association is over, and what it repeats has to be
            # answered.
            if carrier.port == self._udp_port:
                self._close_unused(carrier)

    def _close_unused(self, carrier: Carrier) -> None:
        """Close a carrier of UDP packets that no endpoint uses."""
        if not self._users[carrier] and not self._raw:
            self._close(carrier)

    def heed_marks(self) -> None:
        if not CAN_TELL_MARKS:
            raise self.unsupported("EcnSupported here: only Linux tells which packets are marked")
        if not self._heeds_marks:
            self._heeds_marks = True
            for carrier in self._carriers.values():
                carrier.heed_marks()

    # -- packets and time ---

    def transmit(self, packets: Sequence[Outgoing]) -> None:
        if len(packets) == 1:
            self._transmit(packets[0].route, packets)
            return
        by_route: dict[Route, list[Outgoing]] = {}
        for packet in packets:
            group = by_route.get(packet.route)
            if group is None:
                by_route[packet.route] = group = []
            group.append(packet)
        for route, group in by_route.items():
            self._transmit(route, group)

    def _transmit(self, route: Route, packets: Sequence[Outgoing]) -> None:
        source = route.local, route.local_udp
        carrier = self._by_source.get(source)
        if carrier is None:
            carrier = self._find(*source)
            if carrier is None:
                return  # no carrier is left that an answer could come to
            self._by_source[source] = carrier
        carrier.send(route, packets)
        if carrier.waiting:
            self._drain_soon(carrier)

    def _drain_soon(self, carrier: Carrier) -> None:
        """Send what waits in a carrier once there is room in its socket's buffer."""
        if self._nursery is not None and carrier not in self._draining:
            self._draining.add(carrier)
            self._nursery.start_soon(self._drain, carrier)

    @enable_ki_protection
    async def _drain(self, carrier: Carrier) -> None:
        try:
            while carrier.waiting and not carrier.closed:
                await trio.lowlevel.wait_writable(carrier.sock)
                if not carrier.send_waiting():
                    await trio.sleep(_NO_BUFFERS)
        except trio.ClosedResourceError:
            pass
        finally:
            self._draining.discard(carrier)

    def _not_taken(self, packet: Outgoing, error: OSError) -> None:
        """Warn of a packet that the operating system has not taken."""
        self.account.drops.warn(
            "not sent",
            trio.current_time(),
            "a packet from %s to %s was not sent: %s",
            packet.route.local,
            packet.route.remote,
            error.strerror,
        )

    def wake(self) -> None:
        self._woken.set()

    def timers_changed(self) -> None:
        deadline = self.next_deadline()
        if deadline is not None and deadline < self._waiting.deadline:
            self._waiting.deadline = deadline

    @enable_ki_protection
    async def _read(self, carrier: Carrier) -> None:
        try:
            while not carrier.closed:
                if carrier.received:
                    await trio.lowlevel.checkpoint()
                else:
                    await trio.lowlevel.wait_readable(carrier.sock)
                self._take_from(carrier)
                self.timers_changed()
        except trio.ClosedResourceError:
            pass

    def _take_from(self, carrier: Carrier) -> None:
        """Take packets that have come, before anything leaves: the answers share system calls."""
        received = carrier.received
        if not received:
            carrier.receive(_BATCH)
        now = self.now()
        count = 0
        while received and count < _BATCH:
            arrival = received[0]
            if isinstance(arrival, Unreachable):
                received.popleft()
                self.unreachable(arrival.data, arrival.remote)
                continue
            packets, route, marked = arrival
            taken = self.take_packets(packets, route, now, _CROWD, marked)
            count += taken
            if taken == len(packets):
                received.popleft()
            else:
                del packets[:taken]
                if not taken:
                    break  # let the program catch up
        self.packets_taken()

    @enable_ki_protection
    async def _watch(self) -> None:
        while True:
            self._woken = trio.Event()
            self.flush()
            self.handle_timeouts()
            deadline = self.next_deadline()
            with trio.CancelScope(deadline=inf if deadline is None else deadline) as self._waiting:
                await self._woken.wait()
            await self._fill()

    async def _fill(self) -> None:
        """Give tasks that send in a loop time to send more, so that messages share packets."""
        until = self.now() + _FILLING
        waiting, more, without_more = self.filling(), 0, 0
        while waiting and without_more < _PATIENCE and self.now() < until:
            if more == _LOOPING:
                # To look at every turn costs as much as sending.
                self._woken = trio.Event()
                self.expect_more()
                with trio.move_on_at(until):
                    await self._woken.wait()  # for messages on another association
                return
            await trio.lowlevel.checkpoint()
            before, waiting = waiting, self.filling()
            if waiting == before:
                without_more += 1
            else:
                without_more = 0
                more += waiting > before

    @enable_ki_protection
    async def run(self) -> None:
        """Carry packets until cancelled, then abort the associations that are left."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for carrier in self._carriers.values():
                    nursery.start_soon(self._read, carrier)
                    if carrier.waiting:
                        self._drain_soon(carrier)
                await self._watch()
        except Exception as error:
            logger.exception("the userland stack has failed; its sockets are broken")
            self.end(error)
        finally:
            self._nursery = None
            self.end(None)
            for carrier in list(self._carriers.values()):
                self._close(carrier)
            if self._capture is not None:
                self._capture.close()


class _Recorder:
    """Writes packets to a file for as long as that works."""

    def __init__(self, file: str | os.PathLike[str]) -> None:
        self._file = file
        self._capture: Capture | None = Capture(file, lambda: None, "userland")

    def show(self, data: bytes, route: Route, leaves: bool) -> None:
        """Write a packet; if that fails, say so and write no more: the packets matter more."""
        if self._capture is None:
            return
        local, remote, local_port, remote_port = route
        udp = (local_port, remote_port) if local_port else None
        if not leaves:
            local, remote = remote, local
            udp = udp and (udp[1], udp[0])
        try:
            self._capture.write(
                data, local, remote, time.time(), udp=udp, direction="out" if leaves else "in"
            )
        except (OSError, ValueError) as error:
            logger.error("the capture %s ends here: %s", self._file, error)
            self.close()

    def close(self) -> None:
        """Write no more."""
        capture, self._capture = self._capture, None
        if capture is not None:
            with contextlib.suppress(OSError):  # what it has not written was told of
                capture.close()


def report() -> StackReport:
    """Whether the userland stack works here, which it always does."""
    return StackReport(
        name="userland",
        available=True,
        reason="SCTP in UDP packets (RFC 6951), which the peer has to understand; the engine "
        + ("is compiled" if COMPILED else "runs as pure Python"),
    )


def _port(name: str, value: int | None, carrier: str) -> int:
    if carrier == "ip":
        if value is not None:
            raise ValueError(f"{name} is for carrier='udp': raw IP has no UDP ports")
        return 0
    if value is None:
        return UDP_PORT
    check_integer(name, value, 1, 65535)
    return value


def _check_raw_ip() -> None:
    if kernel_has_sctp():
        raise StackUnavailable(
            "raw IP cannot be used beside the kernel's SCTP, which would abort the associations: "
            "use stack='kernel', or carrier='udp'"
        )
    try:
        Carrier("127.0.0.1", None).close()
    except PermissionError:
        raise StackUnavailable(
            "raw IP needs the capability CAP_NET_RAW: run as root, or use carrier='udp'"
        ) from None


@contextlib.asynccontextmanager
@enable_ki_protection
async def userland(
    *,
    carrier: Literal["udp", "ip"] = "udp",
    udp_port: int | None = None,
    peer_udp_port: int | None = None,
    max_held: int = DEFAULT_LIMIT,
    capture: str | os.PathLike[str] | None = None,
) -> AsyncGenerator[Userland, None]:
    """Run SCTP in this process for the length of a block::

        async with trio_sctp.userland(udp_port=9900):
            await trio_sctp.serve(handler, 2905)

    In the block, and in tasks that are started there, ``stack=None`` means this stack; it can also
    be given as ``stack=``.  A task in the block carries the packets.

    Args:
      carrier: "udp" sends SCTP packets in UDP packets (RFC 6951); it needs no privileges, and a
        peer that does the same.  "ip" sends them as IP protocol 132, like all other SCTP; it needs
        CAP_NET_RAW, and a network namespace in which the kernel has no SCTP.
      udp_port: UDP port of endpoints that listen, 1 to 65535; None means 9899.  It is taken when
        the first endpoint listens.  Endpoints that only connect use any port.
      peer_udp_port: UDP port of the peers to connect to, 1 to 65535; None means 9899.
      max_held: Bytes of memory that all peers together can make the stack hold, 1 MiB (2**20) at
        least: received data and events that nobody has taken, incomplete messages, and the
        associations themselves.  When it is reached, the IP address that holds most gives way: its
        associations end (COMM_LOST), the largest first, with "Out of Resource" and a text as the
        causes, and a line in the log "trio_sctp".
      capture: A file to write all packets to, as pcapng, for Wireshark.  It is complete when the
        block is left, and can be read before.  If it cannot be written any more, a line in the log
        says so, and the stack goes on.  It needs ``pip install trio_sctp[capture]``.

    Yields the stack.

    At the end of the block, associations that are left are aborted, even those that are shutting
    down in the background because their ``aclose`` was cancelled.

    Raises:
      StackUnavailable: ``carrier="ip"`` is not possible here.
      ValueError: an argument is out of range.
      OSError: the file for the capture cannot be opened.
      ImportError: the package that writes captures is missing.

    Cancellation: as for any block.
    """
    if carrier not in ("udp", "ip"):
        raise ValueError(f"carrier must be 'udp' or 'ip', not {carrier!r}")
    ports = [
        _port("udp_port", udp_port, carrier),
        _port("peer_udp_port", peer_udp_port, carrier),
    ]
    check_integer("max_held", max_held, 2**20)
    if not (capture is None or isinstance(capture, (str, os.PathLike))):
        raise TypeError(f"capture must be the path of a file, not {shown(capture)}")
    if carrier == "ip":
        _check_raw_ip()
    stack = Userland(carrier, ports[0], ports[1], max_held, capture)
    token = enter_stack(stack)
    try:
        async with background(stack.run, "trio_sctp userland stack"):
            yield stack
    finally:
        leave_stack(token)


_default: trio.lowlevel.RunVar[Userland] = trio.lowlevel.RunVar("trio_sctp userland stack")


def default_stack() -> Userland:
    """The stack of this run of Trio, for programs that did not open one with `userland`."""
    try:
        stack = _default.get()
    except LookupError:
        pass
    else:
        if not stack.ended:
            return stack
    stack = Userland("udp", UDP_PORT, UDP_PORT)
    _default.set(stack)
    trio.lowlevel.spawn_system_task(stack.run, name="trio_sctp userland stack")
    return stack
