"""Linux SCTP sockets, behind the seam."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import trio

from .._addresses import own_addresses
from .._errors import OptionUnsupported
from .._options import (
    DefaultSendParams,
    EnableStreamReset,
    EventSubscription,
    NetworkNamespace,
    Option,
    Status,
    StatusState,
)
from .._stack import Interruptible, StackReport, StackSocket
from .._values import (
    Address,
    Arrival,
    AssociationStatistics,
    FailedFragment,
    MessageDraft,
    Notification,
    Piece,
    ReconfigurationRequest,
    SendInfo,
    freeze,
)
from . import _options
from ._layouts import (
    ABORT,
    ADDR_OVER,
    ADDRS_STRUCT,
    ALL_ASSOCIATIONS,
    ASSOC_STATS_STRUCT,
    DATA_IO_EVENT,
    EOF,
    EVENT_STRUCT,
    FUTURE_ASSOCIATIONS,
    MSG_EOR,
    MSG_NOTIFICATION,
    PEELOFF_FLAGS_STRUCT,
    PR_SCTP_NONE,
    PR_SCTP_PRIO,
    PR_SCTP_RTX,
    PR_SCTP_TTL,
    PRINFO,
    PRINFO_STRUCT,
    RCVINFO_STRUCT,
    SNDINFO,
    SNDINFO_STRUCT,
    SOL_SCTP,
    UNORDERED,
    Note,
    Opt,
    pack_address,
    unpack_address,
)
from ._libc import connectx3, getsockopt, namespace_of, network_namespace
from ._notifications import parse_notification
from ._reconfiguration import EVENTS, Requests

T = TypeVar("T", bound=Option)

# Bytes that one recvmsg takes.  A longer message comes in pieces, and the first piece makes later
# reads large.  Signalling messages are short, and Python allocates the whole buffer for each: with
# 64 KiB, malloc may give memory back to the kernel and take it again for every message.
_READ_SIZE, _LARGE_READ_SIZE = 4096, 65536
# Room for SNDRCVINFO and RCVINFO together: with less, the kernel drops the association id.
_ANCILLARY_SIZE = 256

_READ_BYTES = 2**20
"""Bytes after which a read ends, so that the tasks behind it need not wait for megabytes.

This much is taken and given back again and again.  glibc would return the end of its heap to the
kernel each time, and have it filled with fresh pages the next: it keeps twice the size of the
largest block that was ever freed, so one of this size, which nobody writes to, stops that.
"""
bytes(_READ_BYTES)

_SCOPES = 1000
"""Number of link-local peers whose interface is remembered."""

_WMEM_MAX = "/proc/sys/net/core/wmem_max"


def _for_family(family: int, address: Address) -> Address:
    """The address in the form that sockets of this family take."""
    if family == socket.AF_INET6 and ":" not in address[0]:
        return ("::ffff:" + address[0], address[1])
    return address


class KernelSocket:
    """One SCTP socket of the kernel; `StackSocket` says what its methods promise."""

    def __init__(self, sock: socket.socket) -> None:
        """Take ``sock`` over: nobody else may use it from now on."""
        sock.setblocking(False)
        self._sock = sock
        self._recvmsg = sock.recvmsg
        self._sendmsg = sock.sendmsg
        self.one_to_one = sock.type == socket.SOCK_STREAM
        self.room_is_shared = True
        self.has_descriptor = True
        self._notification = b""
        self._requests: Requests | None = None  # once there was one, of either side
        self._read_size = _READ_SIZE
        self._ipv6 = sock.family == socket.AF_INET6
        self._scopes: dict[tuple[int, str], int] = {}
        self._pending_error = 0
        # Whether an association may have a default policy: Linux takes its value as a lifetime for
        # every message without one, while it takes no other default for one that has SNDINFO.
        self._default_policies = False
        # What the kernel was told of the latest message: most are like the one before.
        self._told: list[tuple[int, int, bytes]] = []
        self._told_info: SendInfo | None = None
        self._told_id = 0

    def configure(self) -> None:
        """Set what the data path relies on.  Peeled-off and accepted sockets inherit it."""
        self._sock.setsockopt(SOL_SCTP, Opt.RECVRCVINFO, 1)
        # An adopted socket may have asked for the older SNDRCVINFO, which would follow RCVINFO.
        old = EVENT_STRUCT.pack(ALL_ASSOCIATIONS, DATA_IO_EVENT, 0)
        self._sock.setsockopt(SOL_SCTP, Opt.EVENT, old)
        self._sock.setsockopt(SOL_SCTP, Opt.FRAGMENT_INTERLEAVE, 1)

    # -- messages ---

    def receive(self, limit: int) -> list[Arrival]:
        arrivals: list[Arrival] = []
        append = arrivals.append
        recvmsg = self._recvmsg
        unpack = RCVINFO_STRUCT.unpack
        ntohl = socket.ntohl
        read_size = self._read_size
        ipv6 = self._ipv6
        room = _READ_BYTES
        try:
            for _ in range(limit):
                draft = MessageDraft()
                draft.data, ancillary, flags, draft.address = recvmsg(read_size, _ANCILLARY_SIZE)
                if flags & MSG_NOTIFICATION:
                    self._notification += draft.data
                    if flags & MSG_EOR:
                        data, self._notification = self._notification, b""
                        append(self._understood(parse_notification(data)))
                    continue
                size = len(draft.data)
                if not size:
                    break  # a one-to-one socket whose association has ended
                (
                    draft.stream,
                    draft.ssn,
                    how,
                    ppid,
                    draft.tsn,
                    draft.cumulative_tsn,
                    draft.context,
                    draft.association_id,
                ) = unpack(ancillary[-1][2])
                draft.ppid = ntohl(ppid)
                draft.unordered = how & UNORDERED != 0
                draft.mid = None  # Linux does not tell it
                if ipv6 and draft.address[0][:2] == "fe":
                    self._set_scope(draft)
                message = freeze(draft)
                if flags & MSG_EOR:
                    append(message)
                else:
                    append(Piece(message))
                    read_size = self._read_size = _LARGE_READ_SIZE
                room -= size
                if room <= 0:
                    break
        except BlockingIOError:
            pass
        except OSError as error:
            # A peeled-off socket reports once, after everything that was queued, what its
            # association died of; the event has already said so.
            if error.errno == errno.EBADF and self._sock.fileno() >= 0:
                raise
            self._pending_error = error.errno or 0
        return arrivals

    def _understood(self, event: Notification | FailedFragment) -> Notification | FailedFragment:
        """What a notification means, where Linux does not say what the RFC says."""
        if isinstance(event, EVENTS):
            return self._get_requests().understand(event)
        return event

    def _get_requests(self) -> Requests:
        if self._requests is None:
            self._requests = Requests(self._sock)
        return self._requests

    def _set_scope(self, draft: MessageDraft) -> None:
        """Give the address of a link-local peer its interface: Linux names a random one."""
        address = draft.address
        scope = self._scope(draft.association_id, address[0])
        draft.address = cast("Address", (*address[:3], scope))

    def _scope(self, association_id: int, host: str) -> int:
        """The interface of a link-local peer."""
        key = association_id, host
        if key not in self._scopes:
            if len(self._scopes) >= _SCOPES:
                self._scopes.clear()
            with contextlib.suppress(OSError):
                for peer in self.peer_addresses(association_id):
                    self._scopes[association_id, peer[0]] = peer[3] if len(peer) == 4 else 0
        return self._scopes.get(key, 0)

    def has_unread(self) -> bool:
        try:
            return bool(self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False

    async def wait_readable(self, waiter: Interruptible) -> None:
        await waiter.interruptible(self._wait_readable)

    async def _wait_readable(self) -> None:
        await trio.lowlevel.wait_readable(self._sock)

    def send(
        self, data: bytes | bytearray | memoryview, association_id: int, info: SendInfo
    ) -> None:
        if info is not self._told_info or association_id != self._told_id:
            self._told = self._ancillary(association_id, info)
            self._told_info, self._told_id = info, association_id
        address = info.address
        if address is None:
            self._sendmsg((data,), self._told, socket.MSG_NOSIGNAL)
        else:
            self._check_destination(association_id, address)
            name = _for_family(self._sock.family, address)
            self._sendmsg((data,), self._told, socket.MSG_NOSIGNAL, name)

    def _ancillary(self, association_id: int, info: SendInfo) -> list[tuple[int, int, bytes]]:
        """What the kernel is told of a message."""
        stream, ppid, unordered, context, lifetime, address, retransmissions, priority = info
        flags = UNORDERED if unordered else 0
        if address is not None:
            flags |= ADDR_OVER
        packed = SNDINFO_STRUCT.pack(stream, flags, socket.htonl(ppid), context, association_id)
        ancillary = [(SOL_SCTP, SNDINFO, packed)]
        if retransmissions is not None:
            policy, value = PR_SCTP_RTX, retransmissions
        elif priority is not None:
            policy, value = PR_SCTP_PRIO, priority
        elif lifetime or self._default_policies:
            policy, value = PR_SCTP_TTL if lifetime else PR_SCTP_NONE, lifetime
        else:
            return ancillary
        ancillary.append((SOL_SCTP, PRINFO, PRINFO_STRUCT.pack(policy, value)))
        return ancillary

    def _check_destination(self, association_id: int, address: Address) -> None:
        """Refuse an address that is not the peer's.

        Linux looks at the address alone, and sets up an association if there is none with it.
        """
        try:
            self.status(FUTURE_ASSOCIATIONS)
        except OSError:
            pass  # a socket of many: only those of one association have a status without an id
        else:
            raise OptionUnsupported(
                errno.EOPNOTSUPP,
                "Linux ignores the address of a message on a socket of one association: set "
                "PrimaryAddress, or send on an endpoint",
            )
        if self.association_at(address) != association_id:
            raise ValueError(
                f"{address!r} is not an address of the peer of association {association_id}"
            )

    async def wait_writable(self, association_id: int | None) -> None:
        await trio.lowlevel.wait_writable(self._sock)

    def max_send_size(self) -> tuple[int, str]:
        size = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        try:
            with open(_WMEM_MAX) as file:
                limit = f" (now {file.read().strip()})"
        except OSError:
            limit = ""
        return size, (
            "set a larger SendBuffer, which Linux doubles and clamps to twice the sysctl "
            f"net.core.wmem_max{limit}"
        )

    # -- associations ---

    def connect(self, addresses: Sequence[Address]) -> int:
        packed = b"".join(map(pack_address, addresses))
        association_id, number = connectx3(self._sock.fileno(), packed)
        if number == errno.EADDRNOTAVAIL:
            number = errno.EISCONN  # so Linux says it of a peer whose association was peeled off
        if number not in (0, errno.EINPROGRESS):
            raise OSError(number, os.strerror(number))
        return association_id

    def listen(self, backlog: int) -> None:
        self._sock.listen(backlog)

    def accept(self) -> KernelSocket:
        sock = self._sock.accept()[0]
        _options.copy_uninherited(self._sock, sock)
        return self._offspring(sock)

    def peel_off(self, association_id: int) -> KernelSocket:
        try:
            descriptor = self._peel_off(association_id)
        except OSError as error:
            if error.errno != errno.EINVAL or association_id not in self.association_ids():
                raise
            # Linux does not peel off for a program that is in another network namespace.
            with namespace_of(self._sock):
                descriptor = self._peel_off(association_id)
        sock = socket.socket(fileno=descriptor)
        _options.copy_uninherited(self._sock, sock)
        other = self._offspring(sock)
        if self._requests is not None:
            self._requests.move(association_id, other._get_requests())
        return other

    def _offspring(self, sock: socket.socket) -> KernelSocket:
        """The socket of an association of this one."""
        other = KernelSocket(sock)
        other._default_policies = self._default_policies
        return other

    def _peel_off(self, association_id: int) -> int:
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        request = PEELOFF_FLAGS_STRUCT.pack(association_id, 0, flags)
        return getsockopt(self._sock.fileno(), Opt.SOCKOPT_PEELOFF_FLAGS, request)[0]

    def association_ids(self) -> list[int]:
        if self.one_to_one:
            with contextlib.suppress(OSError):
                return [self.status(FUTURE_ASSOCIATIONS).association_id]
            return []
        fileno = self._sock.fileno()
        _, number = getsockopt(fileno, Opt.GET_ASSOC_NUMBER, bytes(4))
        (count,) = struct.unpack("=I", number)
        # An association may be added between the two calls, by a peer: hence room for 16 more.
        _, data = getsockopt(fileno, Opt.GET_ASSOC_ID_LIST, bytes(4 + 4 * (count + 16)))
        (count,) = struct.unpack_from("=I", data)
        return list(struct.unpack_from(f"={count}i", data, 4))

    def status(self, association_id: int) -> Status:
        return _options.get_option(self._sock, Status, association_id)

    def is_dry(self, association_id: int) -> bool:
        status = self.status(association_id)
        return status.state >= StatusState.ESTABLISHED and not status.unackdata

    def ping(
        self, association_id: int, address: Address | None, answered: Callable[[float], None]
    ) -> Callable[[], None]:
        raise OptionUnsupported(
            errno.EOPNOTSUPP,
            "Linux does not report the answer to a heartbeat: paths() has each path's smoothed "
            "round-trip time, srtt",
        )

    def reconfigure(
        self, association_id: int, request: ReconfigurationRequest, answered: Callable[[int], None]
    ) -> Callable[[], bool]:
        return self._get_requests().ask(association_id, request, answered)

    def statistics(self, association_id: int) -> AssociationStatistics:
        request = ASSOC_STATS_STRUCT.pack(association_id, b"", *[0] * 15)
        _, data = getsockopt(self._sock.fileno(), Opt.GET_ASSOC_STATS, request)
        (
            *_,  # the largest RTO, and on which path: that is since somebody last asked
            sacks_received,
            sacks_sent,
            packets_sent,
            packets_received,
            retransmitted,
            out_of_order,
            duplicates,
            gaps,
            unordered_sent,
            unordered_received,
            ordered_sent,
            ordered_received,
            control_sent,
            control_received,
        ) = ASSOC_STATS_STRUCT.unpack(data)
        return AssociationStatistics(
            packets_sent=packets_sent,
            packets_received=packets_received,
            data_chunks_sent=ordered_sent + unordered_sent,
            data_chunks_received=ordered_received + unordered_received,
            control_chunks_sent=control_sent,
            control_chunks_received=control_received,
            sacks_sent=sacks_sent,
            sacks_received=sacks_received,
            retransmitted=retransmitted,
            gaps=gaps,
            duplicates=duplicates,
            out_of_order=out_of_order,
        )

    def pending_error(self) -> int:
        return self._pending_error or self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def shutdown(self, association_id: int) -> None:
        if self.one_to_one:
            self._sock.shutdown(socket.SHUT_WR)
        else:
            self._control(association_id, EOF, b"")

    def abort(self, association_id: int, reason: bytes) -> None:
        if self.one_to_one:
            self.close(abort=True)  # the only way; it carries no reason
        else:
            self._control(association_id, ABORT, reason)

    def _control(self, association_id: int, flag: int, data: bytes) -> None:
        info = SNDINFO_STRUCT.pack(0, flag, 0, 0, association_id)
        self._sendmsg((data,), [(SOL_SCTP, SNDINFO, info)], socket.MSG_NOSIGNAL)

    # -- addresses ---

    def local_addresses(self, association_id: int | None) -> list[Address]:
        return self._addresses(Opt.GET_LOCAL_ADDRS, association_id or FUTURE_ASSOCIATIONS)

    def peer_addresses(self, association_id: int) -> list[Address]:
        return self._addresses(Opt.GET_PEER_ADDRS, association_id)

    def _addresses(self, option: Opt, association_id: int) -> list[Address]:
        size = 4096
        while True:
            try:
                request = ADDRS_STRUCT.pack(association_id, 0)
                _, data = getsockopt(self._sock.fileno(), option, request, size)
                break
            except OSError as error:
                if error.errno != errno.ENOMEM or size > 2**20:
                    raise
                size *= 4
        _, count = ADDRS_STRUCT.unpack_from(data)
        addresses: list[Address] = []
        offset = ADDRS_STRUCT.size
        for _ in range(count):
            address, length = unpack_address(data[offset:])
            addresses.append(address)
            offset += length
        return addresses

    def association_at(self, address: Address) -> int | None:
        try:
            return _options.association_at(self._sock, address)
        except OSError as error:
            if error.errno != errno.EACCES:
                return None
        # The path has potentially failed, and Linux hides it (net.sctp.pf_expose=1).
        for id in self.association_ids():
            with contextlib.suppress(OSError):
                if address[:2] in [peer[:2] for peer in self.peer_addresses(id)]:
                    return id
        return None

    def bind(self, address: Address) -> None:
        self._sock.setsockopt(SOL_SCTP, Opt.SOCKOPT_BINDX_ADD, pack_address(address))

    def unbind(self, address: Address) -> None:
        self._sock.setsockopt(SOL_SCTP, Opt.SOCKOPT_BINDX_REM, pack_address(address))

    # -- options and events ---

    def get_option(
        self,
        kind: type[T],
        association_id: int | None,
        address: Address | None = None,
        stream: int | None = None,
    ) -> T:
        option = _options.get_option(self._sock, kind, association_id, address, stream)
        if self._requests is not None and isinstance(option, EnableStreamReset):
            return self._requests.granted(option, association_id)  # type: ignore[return-value]
        return option

    def set_option(self, option: Option, association_id: int | None) -> None:
        if isinstance(option, DefaultSendParams) and option.lifetime != 0:
            self._default_policies = True
            self._told_info = None
        if self._requests is not None and isinstance(option, EnableStreamReset):
            self._requests.was_set(association_id)
        _options.set_option(self._sock, option, association_id)

    def subscribe(self, events: EventSubscription, association_id: int | None) -> None:
        id = ALL_ASSOCIATIONS if association_id is None else association_id
        _options.subscribe(self._sock, events, id)
        if self._requests is not None:
            self._requests.was_subscribed(events, association_id)

    def subscription(self, association_id: int | None) -> EventSubscription:
        id = FUTURE_ASSOCIATIONS if association_id is None else association_id
        return _options.subscription(self._sock, id)

    def report_dry(self, association_id: int, on: bool) -> None:
        _options.subscribe_to(self._sock, Note.SENDER_DRY_EVENT, on, association_id)

    # -- giving it up ---

    def close(self, *, abort: bool) -> None:
        if self._sock.fileno() < 0:
            return
        trio.lowlevel.notify_closing(self._sock)
        self._close(abort=abort)

    def _close(self, *, abort: bool) -> None:
        # SO_LINGER is for `aclose` to read.  Here its value would make close block, or abort.
        linger = struct.pack("=ii", abort, 0)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._sock.close()

    def drop(self) -> None:
        if self._sock.fileno() >= 0:
            with contextlib.suppress(OSError):
                self._close(abort=True)

    def detach(self) -> int:
        trio.lowlevel.notify_closing(self._sock)
        return self._sock.detach()


class KernelStack:
    """The Linux kernel as a source of SCTP sockets."""

    name = "kernel"
    peer_udp_port = 0

    def open(
        self,
        local_addresses: Sequence[Address],
        port: int,
        *,
        ipv6: bool,
        options: Sequence[Option] = (),
    ) -> KernelSocket:
        sock = self._new_socket(socket.AF_INET6 if ipv6 else socket.AF_INET, options)
        try:
            first = local_addresses[0] if local_addresses else ("::" if ipv6 else "0.0.0.0", port)
            if ipv6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            # The addresses of IPv4 peers are IPv4 addresses, unless `MappedV4` is given.
            sock.setsockopt(SOL_SCTP, Opt.I_WANT_MAPPED_V4_ADDR, 0)
            for option in options:
                if not isinstance(option, NetworkNamespace):
                    _options.set_option(sock, option, None)
            sock.bind(_for_family(sock.family, first))
            bound = sock.getsockname()[1]
            for address in local_addresses[1:]:
                packed = pack_address(address, bound)
                sock.setsockopt(SOL_SCTP, Opt.SOCKOPT_BINDX_ADD, packed)
            result = KernelSocket(sock)
            result.configure()
            return result
        except BaseException:
            sock.close()
            raise

    def resolve(self, name: str) -> None:
        """Leave names to the system."""

    def _new_socket(self, family: int, options: Sequence[Option]) -> socket.socket:
        for option in options:
            if isinstance(option, NetworkNamespace):
                try:
                    with open(option.path) as there, network_namespace(there.fileno()):
                        return socket.socket(family, socket.SOCK_SEQPACKET, SOL_SCTP)
                except OSError as error:
                    raise OSError(
                        error.errno,
                        f"cannot open a socket in {option!r}: {error.strerror} (it takes a path, "
                        "/run/netns/blue for the one that `ip netns` calls blue)",
                    ) from None
        return socket.socket(family, socket.SOCK_SEQPACKET, SOL_SCTP)

    def adopt(self, sock: object, check: Callable[[StackSocket], None]) -> KernelSocket:
        # pysctp's objects wrap a standard socket, as Trio's do.
        given = getattr(sock, "_sk", getattr(sock, "_sock", sock))
        if not isinstance(given, (int, socket.socket)) or isinstance(given, bool):
            raise TypeError(
                "from_socket takes a standard library socket, a pysctp socket or a descriptor, "
                f"not {sock!r}"
            )
        descriptor = given if isinstance(given, int) else given.fileno()
        try:
            blocking = os.get_blocking(descriptor)
            own = socket.socket(fileno=descriptor)
        except OSError as error:
            raise ValueError(
                f"from_socket takes an SCTP socket, not {sock!r}: {error.strerror}"
            ) from None
        try:
            if own.proto != SOL_SCTP:
                raise ValueError(f"from_socket takes an SCTP socket, not {sock!r}")
            result = KernelSocket(own)
            check(result)
            result.configure()
            result._default_policies = True  # whoever made it may have set one
        except BaseException:
            # The caller keeps the socket as it was.
            own.detach()
            os.set_blocking(descriptor, blocking)
            raise
        if isinstance(given, socket.socket):
            given.detach()
        return result

    def own_addresses(self) -> list[str]:
        return own_addresses()

    def report(self) -> StackReport:
        try:
            socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, SOL_SCTP).close()
        except (OSError, AttributeError) as error:
            return StackReport(
                name=self.name,
                available=False,
                reason=f"the kernel has no SCTP ({error})",
                remedy=(
                    "load it with `modprobe sctp` as root (on Debian and Ubuntu the module is in "
                    "linux-modules-extra-$(uname -r) if it does not come with the kernel)"
                ),
            )
        return StackReport(name=self.name, available=True, reason="the kernel has SCTP")
