"""Sockets of the operating system that carry SCTP packets: UDP (RFC 6951), or raw IP.

There is one for each local address, or one for all of them.  The latter has to know which address a
packet came to, because the answer has to leave from there: IP_PKTINFO says so, and also chooses the
address to leave from (RFC 3542 section 6 for IPv6).

Linux takes and gives UDP packets of one size in trains, many in one system call, which is most of
what a packet costs there (UDP_SEGMENT, UDP_GRO).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
import platform
import re
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .._engine.outlet import Outgoing
from .._engine.path import Route, host_of, transport_address

IPPROTO_SCTP = 132

_BUFFER = 2**22
"""Bytes of a socket's buffers, for what arrives while Python does something else.  A buffer of the
default size holds some 270 packets."""

_LINUX = sys.platform == "linux"
# Constants that the socket module does not name everywhere; the numbers are Linux's and macOS's.
_IP_PKTINFO = 8 if _LINUX else 26
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER = 10, 23
_PMTUDISC_DONT, _PMTUDISC_PROBE = 0, 3
_RECVERR = {(socket.IPPROTO_IP, 11), (socket.IPPROTO_IPV6, 25)}
_MSG_ERRQUEUE = 0x2000
_IP_RECVTOS, _IPV6_RECVTCLASS = 13, 66
_MARKS = {(socket.IPPROTO_IP, 1), (socket.IPPROTO_IPV6, 67)}  # IP_TOS, IPV6_TCLASS
_DONTFRAG = {"darwin": (28, 62), "win32": (14, 14)}  # IP_DONTFRAG and IPV6_DONTFRAG

_SO_MEMINFO, _MEMINFO, _MEMINFO_DROPS = 55, struct.Struct("=9I"), 8

_PKTINFO = struct.Struct("=I4s4s")
_PKTINFO6 = struct.Struct("=16sI")
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_FROM_ICMP = (2, 3)  # SO_EE_ORIGIN_ICMP and SO_EE_ORIGIN_ICMP6
_UNREACHABLE = frozenset({errno.ECONNREFUSED, errno.ENOPROTOOPT})  # port, protocol
_UNKNOWN_NEXT_HEADER = (errno.EPROTO, 3, 4, 1)  # ICMPv6's protocol unreachable (RFC 4443)
_NO_ROOM = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS})

_NO_TRAINS = frozenset({errno.EINVAL, errno.EIO, errno.EMSGSIZE})
"""What a route says that takes no trains: a tunnel, for example, cannot take them apart."""

_SOL_UDP, _UDP_SEGMENT, _UDP_GRO = 17, 103, 104
_SEGMENT_SIZE = struct.Struct("=H")
_TRAIN_SIZE = struct.Struct("=i")
_TRAIN_PACKETS, _TRAIN_BYTES = 64, 65_000
_TRAINS_ARRIVE_WHOLE = (5, 12)  # the version of Linux from which on recvmsg keeps to UDP_GRO
_ANCILLARY = 128  # bytes: IPV6_PKTINFO, IPV6_TCLASS and UDP_GRO need 84 and what aligns them

_MOST_WAITING = 1024
"""Packets of a route that wait for room in a buffer, at most; beyond, they are lost."""

_PATIENCE = 100
"""How often they are tried in vain, before they are lost: the device may be down, which looks like
a full buffer."""

_ROUTES = 4096
"""Number of routes that a carrier remembers, so as not to compute them for each packet."""

ANY = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
"""The address that stands for all local addresses, for each family."""

CAN_COUNT_DROPS = _LINUX
"""Whether the operating system says how many packets a socket's buffer had no room for."""

CAN_TELL_MARKS = _LINUX
"""Whether a socket can tell which packets a router has marked (RFC 3168)."""

CAN_TELL_ADDRESSES = hasattr(socket.socket, "recvmsg")
"""Whether a socket for all addresses can tell which one a packet came to; on Windows it cannot."""


def kernel_has_sctp() -> bool:
    """Whether the kernel has SCTP itself, loaded or built in."""
    return os.path.exists("/proc/net/sctp")


def family_of(host: str) -> socket.AddressFamily:
    """The address family of an IP address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def source_for(remote: str) -> str:
    """The local address from which packets to ``remote`` leave; OSError if there is no route."""
    with socket.socket(family_of(remote), socket.SOCK_DGRAM) as sock:
        sock.connect(transport_address(remote, 9))  # sends nothing
        return host_of(sock.getsockname())


class Unreachable:
    """An ICMP error for a packet of ours: nobody takes such packets at the other end.

    Attributes:
      data: The beginning of the packet.
      remote: The address that it was sent to.
    """

    def __init__(self, data: bytes, remote: str) -> None:
        self.data = data
        self.remote = remote


class _Waiting:
    """Packets of a route for which there was no room, and how often that was so in a row."""

    __slots__ = ("packets", "tries")

    def __init__(self) -> None:
        self.packets: list[Outgoing] = []
        self.tries = 0


def _full() -> OSError:
    return OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))


def _ignore(packet: Outgoing, error: OSError) -> None:
    """Tell nobody of a packet that was not sent."""


class Carrier:
    """One socket of the operating system that carries packets."""

    def __init__(
        self, host: str, port: int | None, refused: Callable[[Outgoing, OSError], None] = _ignore
    ) -> None:
        """Open the socket.

        Args:
          host: A local address, or the one that stands for all of its family (`ANY`).
          port: UDP port, 0 for any; None for raw IP.
          refused: Called with a packet that the operating system has not taken.  Those that are too
            large for the path are not among them, since they are sent to find its MTU.

        Raises:
          OSError: EADDRINUSE, EADDRNOTAVAIL; EPERM or EACCES for raw IP.
        """
        family = family_of(host)
        self.host = host
        self.raw = port is None
        self.any = host == ANY[family]
        self.closed = False
        self._refused = refused
        self.not_sent = 0  # packets that the operating system did not take
        # Trains, and whether a router has marked them.
        self.received: deque[tuple[list[bytes], Route, bool] | Unreachable] = deque()
        self.waiting: dict[Route, _Waiting] = {}  # what is to leave once there is room
        if port is None:
            self.sock = socket.socket(family, socket.SOCK_RAW, IPPROTO_SCTP)
        else:
            self.sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._set_up(family)
            self.sock.bind(transport_address(host, port or 0))
            self.port: int = 0 if self.raw else self.sock.getsockname()[1]
        except BaseException:
            self.sock.close()
            raise
        self.counts_drops = self._can_count_drops()
        self._six = family == socket.AF_INET6
        # By the sender of a packet and the address that it came to, as the socket module has them.
        self._routes: dict[Any, Route] = {}
        # The destination, and the ancillary data that choose the source, as the socket module
        # takes them.
        self._destinations: dict[Route, tuple[tuple[Any, ...], list[tuple[int, int, bytes]]]] = {}
        self._tos = 0
        self._heeds_marks = False
        self._full = False  # whether it was the socket's buffer that last had no room
        self._alone: set[Route] = set()  # routes on which the system takes no trains
        # Not for raw IPv4 sockets: with each packet they return its IP header, which says it.
        self._pktinfo = self.any and CAN_TELL_ADDRESSES and not (self.raw and not self._six)

    def _set_up(self, family: int) -> None:
        sock = self.sock
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        if family == socket.AF_INET6:
            if not self.raw:  # raw sockets are always of one family
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if self.any and CAN_TELL_ADDRESSES:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        elif self.any and CAN_TELL_ADDRESSES:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        if _LINUX:
            for level, option in _RECVERR:
                if (level == socket.IPPROTO_IPV6) == (family == socket.AF_INET6):
                    sock.setsockopt(level, option, 1)
        self._may_fragment(family, False)
        self._leave_in_trains = self._come_in_trains = False
        if _LINUX and not self.raw:
            with contextlib.suppress(OSError):
                sock.getsockopt(_SOL_UDP, _UDP_SEGMENT)  # an older Linux does not know it
                # Linux 6.1 stops with a panic when a train comes, through loopback or from a
                # container, to the SCTP over UDP that it has itself.
                self._leave_in_trains = not kernel_has_sctp()
            if _linux_version() >= _TRAINS_ARRIVE_WHOLE:
                with contextlib.suppress(OSError):
                    sock.setsockopt(_SOL_UDP, _UDP_GRO, 1)
                    self._come_in_trains = True

    def _may_fragment(self, family: int, allowed: bool) -> None:
        six = family == socket.AF_INET6
        level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
        if _LINUX:
            option = _IPV6_MTU_DISCOVER if six else _IP_MTU_DISCOVER
            value = _PMTUDISC_DONT if allowed else _PMTUDISC_PROBE
        elif sys.platform in _DONTFRAG:
            option, value = _DONTFRAG[sys.platform][six], int(not allowed)
        else:
            return
        with contextlib.suppress(OSError):
            self.sock.setsockopt(level, option, value)

    def heed_marks(self) -> None:
        """Tell from now on which packets a router has marked (RFC 3168)."""
        if not self._six:
            self.sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTOS, 1)
        else:
            self.sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVTCLASS, 1)
        self._heeds_marks = True

    def not_received(self) -> int:
        """The number of packets for which the socket's buffer had no room, 0 if it is not known."""
        return int(_MEMINFO.unpack(self._meminfo())[_MEMINFO_DROPS]) if self.counts_drops else 0

    def _meminfo(self) -> bytes:
        return self.sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)

    def _can_count_drops(self) -> bool:
        """Whether Linux says what it lost; an emulator or a sandbox may not know the question."""
        with contextlib.suppress(OSError):
            return CAN_COUNT_DROPS and len(self._meminfo()) == _MEMINFO.size
        return False

    def close(self) -> None:
        """Close the socket."""
        self.closed = True
        self.sock.close()

    # -- out ---

    def send(self, route: Route, packets: Sequence[Outgoing]) -> None:
        """Send packets of one route, in their order.

        They wait in ``waiting`` while there is no room in a buffer: call `send_waiting` when the
        socket is writable.  What the operating system does not take for another reason is lost.
        """
        waiting = self.waiting.get(route)
        if waiting is not None:
            self._wait(waiting, packets)
            return
        taken = self._send(route, packets)
        if taken < len(packets):
            waiting = self.waiting[route] = _Waiting()
            self._wait(waiting, packets[taken:])

    def send_waiting(self) -> bool:
        """Send what waits, as far as there is room; returns whether any has left."""
        any_left = False
        for route, waiting in list(self.waiting.items()):
            taken = self._send(route, waiting.packets)
            del waiting.packets[:taken]
            any_left |= taken > 0
            if waiting.packets and self._full:
                break  # the socket's own buffer: there is no room for other routes either
            waiting.tries = 0 if taken else waiting.tries + 1
            if waiting.tries > _PATIENCE:
                for packet in waiting.packets:
                    self._lost(packet, _full())
                waiting.packets.clear()
            if not waiting.packets:
                del self.waiting[route]
        return any_left

    def _wait(self, waiting: _Waiting, packets: Sequence[Outgoing]) -> None:
        """Keep packets until there is room; they are lost if too many wait."""
        room = _MOST_WAITING - len(waiting.packets)
        waiting.packets += packets[:room]
        for packet in packets[room:]:
            self._lost(packet, _full())

    def _lost(self, packet: Outgoing, error: OSError) -> None:
        self.not_sent += 1
        if error.errno != errno.EMSGSIZE:
            self._refused(packet, error)

    def _send(self, route: Route, packets: Sequence[Outgoing]) -> int:
        """Send packets of one route; returns how many there was room for."""
        count, at = len(packets), 0
        while at < count:
            end = at + 1
            if end < count and self._leave_in_trains and route not in self._alone:
                end = _end_of_train(packets, at)
            if end - at > 1:
                at += self._send_train(route, packets[at:end])
            elif self._send_one(packets[at]):
                at = end
            if at < end:
                break
        return at

    def _send_train(self, route: Route, packets: Sequence[Outgoing]) -> int:
        """Send packets of which all but the last have one size.

        Returns how many there was room for.
        """
        if packets[0].tos != self._tos:
            self._set_tos(packets[0].tos)
        address, ancillary = self._destinations.get(route) or self._destination(route)
        size = _SEGMENT_SIZE.pack(len(packets[0].data))
        ancillary = [*ancillary, (_SOL_UDP, _UDP_SEGMENT, size)]
        data = [packet.data for packet in packets]
        refused = False
        for _ in range(2):  # the first error may be that of an earlier packet
            try:
                self.sock.sendmsg(data, ancillary, 0, address)
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._full = error.errno != errno.ENOBUFS
                    return 0
                refused = error.errno in _NO_TRAINS
            else:
                return len(packets)
        before = self.not_sent
        for taken, packet in enumerate(packets):
            if not self._send_one(packet):
                return taken
        # If one of them was too large, as a probe of the path MTU may be, that was the reason.
        if refused and self.not_sent == before:
            self._alone.add(route)
            self._leave_in_trains = len(self._alone) < _ROUTES
        return len(packets)

    def _send_one(self, packet: Outgoing) -> bool:
        """Send a packet; returns whether there was room."""
        data, route, tos, fragment = packet
        if tos != self._tos:
            self._set_tos(tos)
        if fragment:
            self._may_fragment(self.sock.family, True)
        address, source = self._destinations.get(route) or self._destination(route)
        room = True
        for attempt in range(2):
            try:
                if source:
                    self.sock.sendmsg((data,), source, 0, address)
                else:
                    self.sock.sendto(data, address)
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._full = error.errno != errno.ENOBUFS
                    room = False
                elif not attempt:
                    continue  # it may be the error of an earlier packet
                else:
                    self._lost(packet, error)
            break
        if fragment:
            self._may_fragment(self.sock.family, False)
        return room

    def _destination(self, route: Route) -> tuple[tuple[Any, ...], list[tuple[int, int, bytes]]]:
        """The destination of a route, and the ancillary data that choose its source."""
        if len(self._destinations) >= _ROUTES:
            self._destinations.clear()
        address = transport_address(route.remote, route.remote_udp)
        chosen = self._pktinfo or (self.raw and self.any)
        source = self._source(route.local) if chosen else []
        self._destinations[route] = (address, source)
        return address, source

    def _source(self, host: str) -> list[tuple[int, int, bytes]]:
        """The ancillary data that make a packet leave from ``host``."""
        if self._six:
            host, _, scope = host.partition("%")
            info = _PKTINFO6.pack(socket.inet_pton(socket.AF_INET6, host), int(scope or 0))
            return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info)]
        info = _PKTINFO.pack(0, socket.inet_aton(host), bytes(4))
        return [(socket.IPPROTO_IP, _IP_PKTINFO, info)]

    def _set_tos(self, tos: int) -> None:
        level, option = socket.IPPROTO_IP, socket.IP_TOS
        if self._six:
            level, option = socket.IPPROTO_IPV6, socket.IPV6_TCLASS
        with contextlib.suppress(OSError):
            self.sock.setsockopt(level, option, tos)
        self._tos = tos

    # -- in ---

    def receive(self, limit: int) -> None:
        """Read packets and ICMP errors into ``received``, about ``limit`` of them at most."""
        sock, received = self.sock, self.received
        trains = self._come_in_trains
        heeds_marks = self._heeds_marks
        in_header = self.raw and not self._six  # where all is, and no ancillary data are
        with_ancillary = trains or self._pktinfo or (heeds_marks and not in_header)
        local, size, marked = b"", 0, False
        count = 0
        for attempt in range(limit):
            if count >= limit:
                return
            try:
                if with_ancillary:
                    data, ancillary, _, address = sock.recvmsg(65536, _ANCILLARY)
                    size = 0
                    for level, kind, value in ancillary:
                        if heeds_marks and (level, kind) in _MARKS:
                            # A byte, or an integer up to 255 in the machine's byte order.
                            marked = (value[0] | value[-1]) & 3 == 3
                        elif level != _SOL_UDP:
                            local = value
                        elif kind == _UDP_GRO:
                            (size,) = _TRAIN_SIZE.unpack(value)
                else:
                    data, address = sock.recvfrom(65536)
                    if in_header:
                        if len(data) < 20:
                            continue
                        local = data[16:20]
                        marked = heeds_marks and data[1] & 3 == 3
                        data = data[(data[0] & 15) * 4 :]
            except BlockingIOError:
                if not attempt and _LINUX:
                    received.extend(self._errors())  # no packet: errors made it readable
                return
            except OSError:
                # The error of an earlier packet, such as port unreachable or host unreachable.  The
                # socket goes on, and the error queue has the details.
                if _LINUX:
                    received.extend(self._errors())
                continue
            route = self._routes.get((address, local))
            if route is None:
                route = self._route(address, local)
            if 0 < size < len(data):
                packets = [data[at : at + size] for at in range(0, len(data), size)]
            else:
                packets = [data]
            count += len(packets)
            received.append((packets, route, marked))

    def _route(self, address: tuple[Any, ...], local: bytes) -> Route:
        """The route of a packet from ``address`` that came to ``local``."""
        key = (address, local)
        host = self.host
        if self._pktinfo and local:
            if self._six:
                raw, scope = _PKTINFO6.unpack(local)
                host = socket.inet_ntop(socket.AF_INET6, raw)
                if raw[0] == 0xFE and raw[1] & 0xC0 == 0x80:
                    host = f"{host}%{scope}"
            else:
                host = socket.inet_ntoa(_PKTINFO.unpack(local)[2])
        elif local:
            host = socket.inet_ntoa(local)
        if len(self._routes) >= _ROUTES:
            self._routes.clear()
        port = 0 if self.raw else address[1]
        route = self._routes[key] = Route(host, host_of(address), self.port, port)
        return route

    def _errors(self) -> Iterator[Unreachable]:
        """Yield the ICMP errors for packets of ours (Linux's IP_RECVERR)."""
        for _ in range(64):
            try:
                data, ancillary, _, address = self.sock.recvmsg(2048, 512, _MSG_ERRQUEUE)
            except OSError:
                return
            for level, kind, value in ancillary:
                if (level, kind) not in _RECVERR:
                    continue
                number, origin, *what = _EXTENDED_ERROR.unpack_from(value)
                unknown = (number, origin, *what[:2]) == _UNKNOWN_NEXT_HEADER
                if address and (unknown or (origin in _FROM_ICMP and number in _UNREACHABLE)):
                    yield Unreachable(data, host_of(address))


class CapturedCarrier(Carrier):
    """A carrier all of whose packets are shown to somebody as they pass."""

    def __init__(
        self,
        host: str,
        port: int | None,
        refused: Callable[[Outgoing, OSError], None],
        show: Callable[[bytes, Route, bool], None],
    ) -> None:
        """Open the socket.

        Args:
          host, port, refused: As for `Carrier`.
          show: Called with each packet, its route, and whether it leaves.
        """
        super().__init__(host, port, refused)
        self._show = show

    def send(self, route: Route, packets: Sequence[Outgoing]) -> None:
        """Send packets; see `Carrier.send`."""
        for packet in packets:
            self._show(packet.data, route, True)
        super().send(route, packets)

    def receive(self, limit: int) -> None:
        """Read what has come; see `Carrier.receive`."""
        before = len(self.received)
        super().receive(limit)
        for arrival in itertools.islice(self.received, before, None):
            if not isinstance(arrival, Unreachable):
                packets, route, _ = arrival
                for packet in packets:
                    self._show(packet, route, False)


def _end_of_train(packets: Sequence[Outgoing], start: int) -> int:
    """Where a train ends whose first packet is at ``start``: behind the first smaller packet, or
    before one that must not be part of it."""
    data, _, tos, fragment = packets[start]
    size = len(data)
    room = _TRAIN_BYTES - size
    end = start + 1
    if fragment:
        return end
    for data, _, its_tos, fragment in packets[end : start + _TRAIN_PACKETS]:
        length = len(data)
        if length > size or length > room or its_tos != tos or fragment:
            break
        end += 1
        room -= length
        if length < size:
            break
    return end


@functools.cache
def _linux_version() -> tuple[int, ...]:
    """The first two numbers of the running Linux's version."""
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    return (int(found[1]), int(found[2])) if found else (0, 0)


def explain(error: OSError, host: str, port: int) -> OSError:
    """The error for a UDP port that cannot be had, with what to do about it."""
    if error.errno == errno.EADDRINUSE:
        return OSError(
            error.errno,
            f"UDP port {port} of {host} is taken, perhaps by another process that listens for SCTP "
            "over UDP: choose another port with userland(udp_port=...), and give it to the peers "
            "(as their peer_udp_port=)",
        )
    return OSError(error.errno, os.strerror(error.errno or 0))
