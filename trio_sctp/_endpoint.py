"""Endpoints: one socket with one queue for many associations, as gen_sctp has it."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from ipaddress import ip_address
from math import inf
from types import TracebackType
from typing import TypeAlias, TypeVar, final

import trio
from trio.lowlevel import enable_ki_protection

from ._addresses import (
    Hosts,
    Port,
    check_scope,
    is_ipv6,
    is_literal,
    resolve_local,
    resolve_peer,
    resolve_port,
)
from ._association import Association, AssociationChannel, check_ends, check_reason, tcb_of
from ._attempts import DEFAULT_ATTEMPT_DELAY, check_attempt_delay, last_failure
from ._checks import (
    check_address,
    check_bool,
    check_integer,
    check_ip_address,
    shown,
)
from ._choice import choose_stack
from ._errors import AssociationLost, cannot_bind
from ._inbox import DEFAULT_BATCH, Inbox, check_limit, open_inbox
from ._interrupts import interrupted_at_checkpoints
from ._options import DeactivateKey, DeleteKey, InitMsg, Option, check_options
from ._socket.credit import Mode
from ._socket.opening import (
    DEFAULT_MAX_MESSAGE_SIZE,
    adopt,
    check_max_message_size,
    open_socket,
)
from ._socket.queue import Role
from ._socket.sender import ANY_STREAM, How, fill
from ._socket.socket import Socket, SocketStatistics, connect_failed, refused_or_silent
from ._socket.tcb import Phase, Tcb
from ._socket.unclosed import forgotten
from ._stack import Stack, StackSocket
from ._values import (
    Address,
    Message,
    Notification,
    SendInfo,
)

T = TypeVar("T", bound=Option)

Peer: TypeAlias = Address
"""A peer as ``send`` takes it: ``(host, port)``, the host being a name or an address."""

_BACKLOG = 128  # Linux enforces none on a one-to-many socket; any number except 0 listens


class _Associations(Mapping[int, Association]):
    """The associations of an endpoint by id.

    The stack says which of them live.  An id is found until the end was read: whoever receives an
    event of a peer that was quick to leave looks it up.
    """

    def __init__(self, socket: Socket) -> None:
        self._socket = socket

    def _live(self) -> list[int]:
        socket = self._socket
        if socket.released:
            return []
        return [id for id in socket.raw.association_ids() if id in socket.tcbs]

    def __getitem__(self, id: int) -> Association:
        return self._socket.tcbs[id].get_handle()

    def __iter__(self) -> Iterator[int]:
        return iter(self._live())

    def __len__(self) -> int:
        return len(self._live())

    def __repr__(self) -> str:
        return repr(dict(self))


@final
@interrupted_at_checkpoints
class Endpoint(trio.abc.AsyncResource):
    """A one-to-many socket: many associations, one queue of messages and events.

    Made by `open_endpoint`.  Leaving ``async with endpoint:`` closes it by `aclose`; leaving it by
    an exception or cancellation aborts all associations.

    All associations share the queue and the buffers: a peer that is not read, or does not read,
    holds up the others.  Peel off a peer that must not wait for others.
    """

    def __init__(self, socket: Socket) -> None:
        """Not for programs to call."""
        self._socket = socket

    def __del__(self) -> None:
        forgotten(self, getattr(self, "_socket", None))

    @classmethod
    def from_socket(
        cls, sock: object, *, max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE
    ) -> Endpoint:
        """Adopt a one-to-many socket, with the associations that it has.

        Args:
          sock: A standard library socket, a pysctp socket, or a descriptor (an integer).  It
            belongs to the endpoint from here on, unless this raises.
          max_message_size: See `open_endpoint`.

        Raises:
          ValueError: it is not an SCTP socket, or a one-to-one socket.
        """
        check_max_message_size(max_message_size)
        stack = choose_stack("kernel")
        raw = stack.adopt(sock, _check_one_to_many)
        socket = Socket(stack, raw, Role.ENDPOINT, max_message_size, Association)
        adopt(socket)
        return cls(socket)

    # -- what it is --------------------------------------------------------------------------

    def __repr__(self) -> str:
        socket = self._socket
        held = "" if socket.released else f" with {len(socket.tcbs)} associations"
        return f"<Endpoint {socket.whereabouts()}{held}>"

    @property
    def stack(self) -> Stack:
        """The stack that the endpoint is on, as ``stack=`` takes it."""
        return self._socket.stack

    @property
    def port(self) -> int:
        """The local port."""
        addresses = self.local_addresses()
        return addresses[0][1] if addresses else 0

    def local_addresses(self, association: Association | int | None = None) -> list[Address]:
        """The addresses that are bound, or those that one association uses.

        Args:
          association: A handle or an id (gen_sctp ``inet:socknames/1,2``).

        Source: RFC 6458 section 9.5.
        """
        self._socket.check_open()
        if association is None:
            return self._socket.raw.local_addresses(None)
        return self._handle(association).local_addresses

    def peer_addresses(self, association: Association | int) -> list[Address]:
        """The peer's addresses (gen_sctp ``inet:peernames/2``, RFC 6458 section 9.3)."""
        return self._handle(association).peer_addresses

    @property
    def associations(self) -> Mapping[int, Association]:
        """The associations by id, incoming and half-open ones included.

        It lists those that live.  One that has ended, but whose end is still to be received, may
        still be found by its id.
        """
        self._socket.check_open()
        self._socket.adopt_associations()
        return _Associations(self._socket)

    @property
    def max_send_size(self) -> int:
        """Bytes of the largest message that can be sent; `SendBuffer` changes it."""
        self._socket.check_open()
        return self._socket.sender.max_send_size()

    def association_at(self, address: Address) -> Association | None:
        """The association with the peer that has this address; None if there is none.

        Args:
          address: ``(host, port)`` in numbers, any of the peer's addresses.

        Source: gen_sctp ``sctp_get_peer_addr_info`` with ``assoc_id = 0``.
        """
        self._socket.check_open()
        check_address(address, "address")
        id = self._socket.raw.association_at(address)
        if id is None:
            return None
        tcbs = self._socket.tcbs
        if id not in tcbs:
            self._socket.adopt_associations()  # its COMM_UP may not be read yet
        return tcbs[id].get_handle() if id in tcbs else None

    def add_address(self, host: str) -> None:
        """Bind one more local address, and offer it to the peers of existing associations.

        Where both ends take ASCONF chunks (see `AsconfSupported`) they are sent one, and see
        ADDR_ADDED; otherwise the address is for future associations only.  It returns at once: the
        peer answers later, and until then nothing else leaves from the new address.  Associations
        that were peeled off are left as they are.

        Args:
          host: An IPv4 or IPv6 address of this machine.

        Raises:
          OSError: ``EADDRNOTAVAIL``, it is not an address of this machine.
          ValueError: it is not an address, or is bound already.

        Source: RFC 6458 section 9.1 (sctp_bindx); RFC 5061.
        """
        address = self._local(host)
        if address[:2] in self._bound():
            raise ValueError(f"{host!r} is bound already")
        _change_bound(self.stack, self._socket.raw.bind, host, address)

    def remove_address(self, host: str) -> None:
        """Unbind one local address, also from existing associations; see `add_address`.

        An association keeps it while the peer cannot be told, or has not answered.  A peer that is
        told sees ADDR_REMOVED, and sends to the other addresses what was in flight to this one.

        Args:
          host: One of `local_addresses`, if it is not the only one.

        Raises:
          ValueError: it is not bound, or the only one.

        Source: RFC 6458 section 9.1 (sctp_bindx); RFC 5061.
        """
        address = self._local(host)
        bound = self._bound()
        if address[:2] not in bound:
            raise ValueError(f"{host!r} is none of the addresses that are bound, {bound!r}")
        if len(bound) == 1:
            raise ValueError(f"{host!r} is the last address that is bound")
        _change_bound(self.stack, self._socket.raw.unbind, host, address)

    def _local(self, host: str) -> Address:
        self._socket.check_open()
        check_ip_address("a local address", host)
        # As it is bound and compared, however it is written.
        return (str(ip_address(host)), self.port)

    def _bound(self) -> list[tuple[str, int]]:
        return [address[:2] for address in self._socket.raw.local_addresses(None)]

    def queue_statistics(self) -> SocketStatistics:
        """What the endpoint holds at this moment, and what has gone through it; for monitoring
        (gen_sctp ``inet:getstat/1``)."""
        return self._socket.statistics()

    def statistics(self) -> SocketStatistics:
        """The same as `queue_statistics`; what passed over the network is counted for each
        association, by `Association.statistics`."""
        return self.queue_statistics()

    def _tcb(self, association: Association | int) -> Tcb:
        """The association meant; raises if it is not one of this endpoint's, or has ended."""
        self._socket.check_open()
        if isinstance(association, Association):
            return tcb_of(association, self._socket)
        if not isinstance(association, int) or isinstance(association, bool):
            raise TypeError(
                "an association must be an Association, its id or, to send to, a peer "
                f"(host, port), not {shown(association)}"
            )
        check_integer("an association id", association, 1, 2**31 - 1)
        tcb = self._socket.tcbs.get(association)
        if tcb is None:
            self._socket.adopt_associations()  # its COMM_UP may not be read yet
            tcb = self._socket.tcbs.get(association)
        if tcb is None:
            gone = Tcb(association, self._socket).lost_error()
            known = ", ".join(map(str, self._socket.tcbs)) or "none"
            text = f"this endpoint has no association {association} (any more); it has {known}"
            raise AssociationLost(gone.association, gone.end, text)
        return tcb

    def _handle(self, association: Association | int) -> Association:
        return self._tcb(association).get_handle()

    def get_option(
        self,
        kind: type[T],
        association: Association | int | None = None,
        *,
        address: Address | None = None,
        stream: int | None = None,
    ) -> T:
        """Read an option, all fields filled.

        Args:
          kind: An option class, such as `InitMsg`.
          association: One association; None means the endpoint, or its default for future
            associations.
          address: One of the peer's addresses, ``(host, port)``, for `PeerAddressInfo` and
            `PeerAddressParams`.
          stream: One outbound stream, from 0, for `PrStatus`.

        Raises:
          ValueError: the option does not exist in this scope, or can only be set, or the peer has
            no such address or the association no such stream.
          AssociationLost: the association has ended.
          OptionUnsupported: the stack has no such option.
        """
        tcb = None if association is None else self._tcb(association)
        return self._socket.settings.get(kind, tcb, address, stream)

    def set_option(self, value: Option, association: Association | int | None = None) -> None:
        """Set an option; fields that are None stay as they are.

        Args:
          value: An option, such as ``InitMsg(num_ostreams=5)``.
          association: One association; None means the endpoint, or its default for future
            associations.

        Raises:
          ValueError: the option does not exist in this scope, or the stack refuses the value.
          AssociationLost: the association has ended.
          OptionUnsupported: the stack has no such option.
        """
        tcb = None if association is None else self._tcb(association)
        self._socket.settings.set(value, tcb)

    def deactivate_key(self, id: int, association: Association | int | None = None) -> None:
        """Send with a shared key no longer (SCTP_AUTH_DEACTIVATE_KEY).

        What the peer authenticates with it is still taken.  An `AuthenticationChange` with FREE_KEY
        tells that nothing more will leave with it in an association.

        Args:
          id: The identifier of an `AuthKey`, but not of the active one.
          association: One association; None means the endpoint, and with it those to come.

        Raises:
          ValueError: there is no such key, or it is the active one.
          AssociationLost: the association has ended.
          OptionUnsupported: the stack, or the peer, does not authenticate.

        Source: RFC 6458 section 8.3.4.
        """
        check_integer("id", id, 0, 65535)
        self.set_option(DeactivateKey(id), association)

    def delete_key(self, id: int, association: Association | int | None = None) -> None:
        """Forget a shared key (SCTP_AUTH_DELETE_KEY): what is authenticated with it is dropped.

        Args and errors are those of `deactivate_key`.  Source: RFC 6458 section 8.3.5.
        """
        check_integer("id", id, 0, 65535)
        self.set_option(DeleteKey(id), association)

    # -- associations ------------------------------------------------------------------------

    def listen(self) -> None:
        """Let peers set up associations (gen_sctp ``listen/2``)."""
        self._socket.check_open()
        self._socket.raw.listen(_BACKLOG)

    def stop_listening(self) -> None:
        """Refuse new peers; existing associations stay."""
        self._socket.check_open()
        self._socket.raw.listen(0)

    async def connect(
        self,
        hosts: Hosts,
        port: Port,
        *,
        options: Sequence[Option] = (),
        attempt_delay: float = DEFAULT_ATTEMPT_DELAY,
    ) -> Association:
        """Set up an association (gen_sctp ``connect/5``).

        It takes its own COMM_UP or CANT_ASSOC, which nobody else sees and which costs no credit.
        It completes even if nobody reads the endpoint, and even if other associations flood it.
        Only when the endpoint's store is full of unread records may the peer's answer be lost, and
        come RTO.Initial later (3 s on Linux).

        Args:
          hosts: The peer's name or address, or a list of addresses of one multi-homed peer.
            If a name has several addresses, they are tried in turn, one at a time, as the
            endpoint has one socket.
          port: The peer's port, 1 to 65535, or the name of a service.
          options: They hold for this association alone; options of the whole socket are refused.
          attempt_delay: Seconds after which an address of a name is given up for the next one, 0 or
            more; the last one has all the time that it takes.  ``math.inf`` gives it to each, as a
            peer whose answers take longer than the delay needs.

        Returns:
          The `Association`, which is up.

        Raises:
          ConnectFailed: ``ECONNREFUSED``, ``ETIMEDOUT`` or, if aborted here, ``ECONNABORTED``.  If
            all addresses of a name have failed, it is the last one's, and its cause is an
            ``ExceptionGroup`` of all.
          OSError: ``EISCONN`` or, while it is half-open, ``EALREADY`` (not as a
            ``BlockingIOError``): there is an association with this peer; a host name is not known;
            or there is no route to the peer.
          ValueError: an argument is out of range, or an IPv6 address on an IPv4 endpoint.
          trio.ClosedResourceError: you closed the endpoint.

        Cancellation: the half-open association is aborted; no association and no event is left.
        Source: RFC 6458 section 9.9.
        """
        self._socket.check_open()
        check_options(options, at_connect=True)
        check_attempt_delay(attempt_delay)
        *others, last = await _resolve(self._socket, hosts, port)
        failures: list[OSError] = []
        for addresses, patience in [*((one, attempt_delay) for one in others), (last, inf)]:
            try:
                with trio.move_on_after(patience):
                    return (await self._socket.connect(addresses, options)).get_handle()
                stack = self._socket.stack
                failures.append(connect_failed(errno.ETIMEDOUT, addresses, stack, None))
            except OSError as error:
                failures.append(error)
        raise last_failure(failures)

    async def connect_init(
        self, hosts: Hosts, port: Port, *, options: Sequence[Option] = ()
    ) -> Association:
        """Start to set up an association and do not wait (gen_sctp ``connectx_init/5``).

        The outcome comes as an `AssociationChange`: COMM_UP, or CANT_ASSOC.

        Args:
          hosts, port, options: See `connect`, except that if a name has several addresses, only the
            first is used.

        Returns:
          The half-open `Association`.  Messages may be sent on it; they leave when it is up.

        Raises:
          OSError, ValueError, trio.ClosedResourceError: as `connect`.

        Cancellation: nothing was started.
        """
        self._socket.check_open()
        check_options(options, at_connect=True)
        candidates = await _resolve(self._socket, hosts, port)
        await trio.lowlevel.checkpoint()
        tcb = self._socket.start_association(candidates[0], options, private=False)
        return tcb.get_handle()

    async def eof(self, association: Association | int) -> None:
        """Start the graceful shutdown of an association; see `Association.eof`."""
        await self._handle(association).eof()

    def abort(self, association: Association | int, reason: bytes = b"") -> None:
        """End an association at once; see `Association.abort`."""
        check_reason(reason)
        self._socket.abort(self._tcb(association), reason)

    def peeloff(self, association: Association | int) -> AssociationChannel:
        """Give an association its own socket, and hence its own queue (gen_sctp ``peeloff/2``).

        Its unread records move along, in order and in front, even those in an open inbox (the
        credit that they took is not returned), and so do tasks that wait to send on it.

        Args:
          association: A handle or an id.  Other handles raise ``trio.ClosedResourceError`` from
            here on, except in `Association.wait_ended` and `Association.while_up`.

        Raises:
          AssociationLost: it has ended.
          OSError: ``EMFILE`` or ``ENFILE``, there are no more descriptors; nothing changed.

        Source: RFC 6458 section 9.2.
        """
        tcb = self._tcb(association)
        if tcb.end is not None:
            raise tcb.lost_error()
        self._socket.peel_off(tcb)
        return AssociationChannel(tcb)

    # -- messages and events -----------------------------------------------------------------

    async def send(
        self,
        value: bytes | bytearray | memoryview,
        association: Association | int | Peer,
        *,
        stream: int | None = None,
        ppid: int | None = None,
        unordered: bool | None = None,
        context: int | None = None,
        lifetime: int | None = None,
        retransmissions: int | None = None,
        priority: int | None = None,
        address: Address | None = None,
        eof: bool = False,
        abort: bool = False,
        init: InitMsg | None = None,
    ) -> None:
        """Send one message, whole, on an association (gen_sctp ``send/3,4``).

        The send buffer is shared: a peer that does not read can hold up messages to others.

        Args:
          value: 1 to `max_send_size` bytes.
          association: A handle, an id, or a peer, ``(host, port)``, with a name or an address.  If
            there is no association with that peer, one is set up, and the message leaves when it is
            up; an event tells the outcome, as after `connect_init`.
          stream, ppid, unordered, context: See `Association.send`, as for the next ones.
          lifetime, retransmissions, priority: When the message is given up.
          address, eof, abort: Where to send it, and what to do besides.
          init: How to set up an association, instead of the endpoint's own `InitMsg`.

        Raises:
          ValueError: a value is out of range, empty or too large, or there are two policies;
            nothing was sent.
          AssociationLost: the peer, or the network, ended the association, or there is no longer an
            association with that id.
          OSError: a host name is not known, or there is no route to the peer.
          ConnectFailed: ``ECONNREFUSED`` or ``ETIMEDOUT``, before the message was taken: by a peer
            on this machine, or while the message waited for room.  Others refuse by an event.
          trio.ClosedResourceError: you ended it.

        Cancellation: the message was not sent, and no association was set up; one that came up
        while the message waited for room is aborted.
        """
        if init is not None:
            _check_init(init, association)
        if check_ends(eof, abort):
            check_reason(value)
            self.abort(self._existing(association), bytes(value))
            await trio.lowlevel.checkpoint()
            return
        how = (stream, ppid, unordered, context, lifetime, address, retransmissions, priority)
        if isinstance(association, tuple):
            self._socket.check_open()
            peer = await self._peer_address(association)
            handle = self.association_at(peer)
            if handle is None:
                await _send_first(self._socket, value, peer, how, eof, init)
                return
            association = handle
        tcb = self._tcb(association)
        sender = self._socket.sender
        await sender.send(tcb, value, sender.info(tcb, how), eof)

    def send_nowait(
        self,
        value: bytes | bytearray | memoryview,
        association: Association | int | Peer,
        *,
        stream: int | None = None,
        ppid: int | None = None,
        unordered: bool | None = None,
        context: int | None = None,
        lifetime: int | None = None,
        retransmissions: int | None = None,
        priority: int | None = None,
        address: Address | None = None,
        eof: bool = False,
        init: InitMsg | None = None,
    ) -> None:
        """Send one message if the send buffer has room for it now; else raise ``trio.WouldBlock``.

        Args and errors are those of `send`, except that a peer must be an address, since looking up
        a name would block.
        """
        if init is not None:
            _check_init(init, association)
        if eof is not False:
            check_bool("eof", eof)
        how = (stream, ppid, unordered, context, lifetime, address, retransmissions, priority)
        if isinstance(association, tuple):
            self._socket.check_open()
            check_address(association, "a peer")
            check_scope(association)
            handle = self.association_at(association)
            if handle is None:
                if eof:
                    raise trio.WouldBlock  # it would have to wait until the association is up
                _send_first_now(self._socket, value, association, how, init)
                return
            association = handle
        tcb = self._tcb(association)
        sender = self._socket.sender
        sender.send_nowait(tcb, value, sender.info(tcb, how), eof)

    def _existing(self, association: Association | int | Peer) -> Association | int:
        """The association meant, which may be named by its peer."""
        if not isinstance(association, tuple):
            return association
        handle = self.association_at(association)
        if handle is None:
            raise ValueError(f"there is no association with {association!r}")
        return handle

    async def _peer_address(self, peer: Peer) -> Address:
        """The address of a peer, its first one if a name has several."""
        if len(peer) == 2 and isinstance(peer[0], str) and not is_literal(peer[0]):
            [address], *_ = await _resolve(self._socket, peer[0], peer[1])
            return address
        check_address(peer, "a peer")
        check_scope(peer)
        return peer

    async def receive(self) -> Message | Notification:
        """Receive the next message or event of any association (gen_sctp ``recv/2``).

        Raises:
          trio.BusyResourceError: another task receives, or active mode is on.
          trio.ClosedResourceError: you closed the endpoint.

        Cancellation: no record was taken.
        """
        (record,) = await self._socket.receive(1, _never)
        return record

    def receive_nowait(self) -> Message | Notification:
        """Take the next message or event if one is there (gen_sctp ``recv/2``, timeout 0).

        Errors are those of `receive`, and:

        Raises:
          trio.WouldBlock: nothing has arrived.  On the userland stack a task of its own takes
            packets in, when yours waits for something.
        """
        return self._socket.receive_nowait(_never)

    def __aiter__(self) -> Endpoint:
        return self

    async def __anext__(self) -> Message | Notification:
        """Receive the next record; an endpoint has no end, but that you close it."""
        return await self.receive()

    async def receive_batch(self, limit: int = DEFAULT_BATCH) -> list[Message | Notification]:
        """Receive all that is there, at least one record, for the price of one checkpoint.

        Args:
          limit: The most records to receive, 1 or more.

        Raises and cancellation: as `receive`.
        """
        check_limit(limit)
        return await self._socket.receive(limit, _never)

    def active(self, mode: Mode) -> contextlib.AbstractAsyncContextManager[Inbox]:
        """Deliver messages and events to an `Inbox` for the length of a block.

        Args:
          mode: Credit as an integer (gen_sctp ``{active, N}``), `ONCE`, or a `Window`.

        Raises:
          ValueError: the mode is out of range.
          trio.BusyResourceError: a task receives, or active mode is on already.
        """
        return open_inbox(self, self._socket, mode, _never)

    # -- closing -----------------------------------------------------------------------------

    def detach(self) -> int:
        """Give the socket up, with its associations, to another process.

        Pass the descriptor on (``pass_fds=`` of a new process, or ``socket.send_fds``), close it
        here, and let `from_socket` adopt it there.  The associations notice nothing.  (gen_sctp's
        ``controlling_process/2`` hands a socket to another Erlang process; between tasks there is
        no need for anything like it.)

        Returns:
          The descriptor, which is yours from here on.  All calls on the endpoint now raise
          ``trio.ClosedResourceError``.

        Raises:
          trio.BusyResourceError: a task uses the endpoint, or records were read and not taken, as
            `queue_statistics` shows; nothing changed.
          OptionUnsupported: only sockets of the kernel stack have descriptors; nothing changed.
        """
        return self._socket.detach()

    async def aclose(self) -> None:
        """End all associations gracefully and close the socket (gen_sctp ``close/1``).

        Waits until every peer has acknowledged everything, or for as long as `Linger` says; what is
        received meanwhile is discarded.  Everybody blocked in the endpoint wakes with
        ``trio.ClosedResourceError``.

        Cancellation: the socket is closed all the same; the stack goes on with the shutdown in the
        background.
        """
        await self._socket.aclose()

    async def __aenter__(self) -> Endpoint:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            await self._socket.aclose(abort_if_cancelled=True)
        else:
            self._socket.release(abort=True)
            await trio.lowlevel.cancel_shielded_checkpoint()


def _change_bound(
    stack: Stack, change: Callable[[Address], None], host: str, address: Address
) -> None:
    """Bind or unbind an address, explaining the stack's refusal."""
    try:
        change(address)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise ValueError(
                f"the stack refuses {host!r}: an endpoint that is bound to any address has "
                "them all, and an IPv4 endpoint takes no IPv6 address"
            ) from None
        raise cannot_bind(error, [host], address[1], stack.own_addresses) from None


async def _resolve(socket: Socket, hosts: Hosts, port: Port) -> list[list[Address]]:
    """The peers' addresses to try in turn, without IPv6 ones on an IPv4 endpoint."""
    candidates = await resolve_peer(hosts, port, socket.stack)
    socket.check_open()
    bound = socket.raw.local_addresses(None)
    if bound and not any(map(is_ipv6, bound)):
        suitable = [c for c in candidates if not any(map(is_ipv6, c))]
        if not suitable:
            raise ValueError(
                f"{hosts!r} is an IPv6 peer and this is an IPv4 endpoint: open it with an IPv6 "
                "host, such as hosts=['::']"
            )
        return suitable
    return candidates


def _check_init(init: InitMsg, association: object) -> None:
    """Refuse what says nothing of how a new association is set up."""
    if not isinstance(init, InitMsg):
        raise TypeError(f"init must be an InitMsg, not {shown(init)}")
    if not isinstance(association, tuple):
        raise ValueError("init= is for a peer, (host, port), that has no association yet")


def _start(
    socket: Socket,
    value: bytes | bytearray | memoryview,
    peer: Address,
    how: How,
    init: InitMsg | None,
) -> tuple[Tcb, SendInfo]:
    """Start an association for a message, which is refused before anything is sent if need be."""
    options = () if init is None else (init,)
    streams = socket.settings.get(InitMsg, None).num_ostreams if init is None else init.num_ostreams
    default = socket.sender.default_info(None)
    info = fill(default, how, streams or 0)
    socket.sender.check(value, info, streams or ANY_STREAM, None)
    return socket.start_association([peer], options, private=False), info


@contextlib.contextmanager
def _or_nothing(socket: Socket, tcb: Tcb, peer: Address) -> Generator[None, None, None]:
    """Leave no association behind if its first message is not sent."""
    started = trio.current_time()
    try:
        yield
    except AssociationLost:
        if tcb.phase is not Phase.FAILED:
            raise
        socket.queue.extract(tcb.id)  # the error tells of the end, so the event does not
        raise refused_or_silent(tcb, [peer], trio.current_time() - started) from None
    except BaseException:
        if tcb.phase is Phase.UP:
            socket.abort(tcb, b"")  # the program may know of it already
        else:
            socket.discard(tcb)
        raise


def _send_first_now(
    socket: Socket,
    value: bytes | bytearray | memoryview,
    peer: Address,
    how: How,
    init: InitMsg | None,
) -> None:
    """Start an association with a message on its way, or raise and leave nothing."""
    if socket.raw.room_is_shared and socket.sender.waiting():
        raise trio.WouldBlock  # rather than an INIT and an ABORT each time that somebody tries
    tcb, info = _start(socket, value, peer, how, init)
    with _or_nothing(socket, tcb, peer):
        socket.sender.send_nowait(tcb, value, info)


async def _send_first(
    socket: Socket,
    value: bytes | bytearray | memoryview,
    peer: Address,
    how: How,
    eof: bool,
    init: InitMsg | None,
) -> None:
    """Start an association with a message, which waits for room as any other."""
    await trio.lowlevel.checkpoint_if_cancelled()
    tcb, info = _start(socket, value, peer, how, init)
    with _or_nothing(socket, tcb, peer):
        await socket.sender.send(tcb, value, info)
    if not eof:
        return
    try:
        await socket.shut_down(tcb)
    except BaseException:
        socket.discard(tcb)  # which does nothing if it has ended
        raise


def _check_one_to_many(raw: StackSocket) -> None:
    if raw.one_to_one:
        raise ValueError("an endpoint needs a one-to-many socket (SOCK_SEQPACKET)")


def _never() -> None:
    """Do nothing: an endpoint's queue has no end."""


@enable_ki_protection
async def open_endpoint(
    port: Port = 0,
    *,
    hosts: Hosts = (),
    options: Sequence[Option] = (),
    max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
    stack: Stack | str | None = None,
) -> Endpoint:
    """Open a one-to-many socket (gen_sctp ``open/2``).

    Args:
      port: Port to bind, 0 to 65535, or the name of a service; 0 means any.
      hosts: Local addresses to bind, several for multi-homing; an IPv6 address makes it an IPv6
        socket, which IPv4 peers reach too.  No host means any IPv4 address, and ``"::"`` any
        address of both families.
      options: Set at once; associations start with them.
      max_message_size: Bytes of the largest message that a peer may send; an association whose peer
        sends a larger one is aborted.
      stack: See `stacks`.

    Raises:
      OSError: an address or port cannot be bound.
      ValueError: an argument is out of range.
      StackUnavailable: see `stacks`.

    Cancellation: nothing was opened.  Source: RFC 6458 sections 3.1 and 9.1.
    """
    check_max_message_size(max_message_size)
    check_options(options)
    chosen = choose_stack(stack)
    bound = await resolve_port(port, lowest=0)
    local = await resolve_local(hosts, bound, chosen)
    await trio.lowlevel.checkpoint()
    return Endpoint(
        open_socket(
            chosen,
            local,
            bound,
            role=Role.ENDPOINT,
            ipv6=any(map(is_ipv6, local)),
            options=options,
            max_message_size=max_message_size,
            make_handle=Association,
        )
    )
