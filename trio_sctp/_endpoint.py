"""Endpoints: one socket for many associations, with one queue (gen_sctp's own shape)."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TypeVar, final

import trio

from ._addresses import Hosts, is_ipv6, resolve_local, resolve_peer
from ._association import Association, AssociationChannel, check_reason
from ._control import ControlBlock
from ._inbox import DEFAULT_BATCH, Inbox, Mode, check_limit, open_inbox
from ._options import Option, Scope
from ._socket import DEFAULT_MAX_MESSAGE_SIZE, Socket, check_max_message_size
from ._stack import SendInfo, Stack, StackSocket, choose_stack
from ._values import Address, Message, Notification

T = TypeVar("T", bound=Option)

_BACKLOG = 128  # Linux enforces none on a one-to-many socket; any number but 0 listens


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStatistics:
    """What an endpoint holds at this moment.

    Attributes:
      associations: Associations, half-open ones included.
      buffered_records: Records received and not yet taken, those in an inbox left out.
      buffered_bytes: Their payload, and that of messages of which more has to come.
      credit: Credit of the open inbox; None in passive mode.
      tasks_waiting_send: Tasks whose `Endpoint.send` waits for room.
    """

    associations: int
    buffered_records: int
    buffered_bytes: int
    credit: int | None
    tasks_waiting_send: int


class _Associations(Mapping[int, Association]):
    """The live associations of an endpoint by id."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket

    def __getitem__(self, id: int) -> Association:
        return self._socket.blocks[id].get_handle()

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._socket.blocks))

    def __len__(self) -> int:
        return len(self._socket.blocks)

    def __repr__(self) -> str:
        return repr(dict(self))


@final
class Endpoint(trio.abc.AsyncResource):
    """A one-to-many socket: many associations, one queue of messages and events.

    Made by `open_endpoint`.  ``async with endpoint:`` leaves by `aclose`; when the block is left by
    an exception or cancellation, all associations are aborted.

    All associations share the queue and the buffers: one peer that is not read, or does not read,
    holds up the others.  A peer that must not wait for others is peeled off.
    """

    def __init__(self, socket: Socket) -> None:
        """Not for programs to call."""
        self._socket = socket

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
        raw = choose_stack("kernel").adopt(sock, _check_one_to_many)
        socket = Socket(raw, max_message_size)
        socket.configure(())
        socket.adopt_associations()
        return cls(socket)

    # -- what it is --------------------------------------------------------------------------

    def __repr__(self) -> str:
        socket = self._socket
        state = "closed" if socket.released else f"with {len(socket.blocks)} associations"
        return f"<Endpoint {state}>"

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
            return self._socket.stack.local_addresses(None)
        return self._handle(association).local_addresses

    def peer_addresses(self, association: Association | int) -> list[Address]:
        """A peer's addresses (gen_sctp ``inet:peernames/2``, RFC 6458 section 9.3)."""
        return self._handle(association).peer_addresses

    @property
    def associations(self) -> Mapping[int, Association]:
        """The associations by id, incoming and half-open ones included."""
        self._socket.check_open()
        self._socket.adopt_associations()
        return _Associations(self._socket)

    @property
    def max_send_size(self) -> int:
        """Bytes of the largest message that can be sent; `SendBuffer` changes it."""
        self._socket.check_open()
        return self._socket.sender.max_send_size()

    def statistics(self) -> EndpointStatistics:
        """What the endpoint holds at this moment; for debugging and monitoring."""
        socket = self._socket
        return EndpointStatistics(
            associations=len(socket.blocks),
            buffered_records=len(socket.store),
            buffered_bytes=socket.buffered_bytes(),
            credit=None if socket.inbox is None else socket.inbox.credit,
            tasks_waiting_send=socket.sender.waiting(),
        )

    def _block(self, association: Association | int) -> ControlBlock:
        """The association meant; raises for one that is not this endpoint's, or is gone."""
        self._socket.check_open()
        if isinstance(association, Association):
            association._check()
            if association._socket is not self._socket:
                raise ValueError(f"{association!r} is not an association of this endpoint")
            return association._block
        if not isinstance(association, int) or isinstance(association, bool):
            raise TypeError(f"an association is an Association or its id, not {association!r}")
        if not 1 <= association < 2**31:
            raise ValueError(f"an association id lies within 1 and 2**31 - 1, not {association}")
        block = self._socket.blocks.get(association)
        if block is None:
            self._socket.adopt_associations()  # its COMM_UP may be unread yet
            block = self._socket.blocks.get(association)
        if block is None:
            raise ControlBlock(association, self._socket).lost()
        return block

    def _handle(self, association: Association | int) -> Association:
        return self._block(association).get_handle()

    def get_option(self, kind: type[T], association: Association | int | None = None) -> T:
        """Read an option, all fields filled.

        Args:
          kind: An option class, such as `InitMsg`.
          association: One association; None is the endpoint's default for future ones.

        Raises:
          ValueError: the option does not exist in this scope.
          AssociationLost: the association has ended.
          OptionUnsupported: the stack has no such option.
        """
        if association is None:
            if kind.read_only and kind.scope is Scope.ASSOCIATION:
                raise ValueError(f"{kind.__name__} is read for one association")
            return self._socket.get_option(kind, None)
        return self._socket.get_option(kind, self._block(association).id)

    def set_option(self, value: Option, association: Association | int | None = None) -> None:
        """Set an option; fields that are None stay as they are.

        Args:
          value: An option, such as ``InitMsg(num_ostreams=5)``.
          association: One association; None is the endpoint's default for future ones.

        Raises:
          ValueError: the option does not exist in this scope, or the stack refuses the value.
          AssociationLost: the association has ended.
          OptionUnsupported: the stack has no such option.
        """
        id = None if association is None else self._block(association).id
        self._socket.set_option(value, id)

    # -- associations ------------------------------------------------------------------------

    def listen(self) -> None:
        """Let peers set up associations (gen_sctp ``listen/2``)."""
        self._socket.check_open()
        self._socket.stack.listen(_BACKLOG)

    def stop_listening(self) -> None:
        """Refuse new peers; existing associations stay."""
        self._socket.check_open()
        self._socket.stack.listen(0)

    async def connect(
        self, hosts: Hosts, port: int, *, options: Sequence[Option] = ()
    ) -> Association:
        """Set up an association (gen_sctp ``connect/5``).

        It takes its own COMM_UP or CANT_ASSOC: nobody else sees it and it costs no credit.  It
        completes although nobody reads the endpoint and although other associations flood it.
        Only if the endpoint's store is full of unread records may the peer's answer be lost and
        come RTO.Initial later (3 s on Linux).

        Args:
          hosts: The peer's name or address, or a list of addresses of one multi-homed peer.
            Several addresses of one name are tried in turn.
          port: The peer's port, 1 to 65535.
          options: They hold for this association alone.

        Returns:
          The `Association`, which is up.

        Raises:
          ConnectFailed: ``ECONNREFUSED``, ``ETIMEDOUT`` or, aborted here, ``ECONNABORTED``.
          OSError: ``EISCONN`` or ``EALREADY``, there is an association with this peer; a host name
            is not known; or there is no route to the peer.
          ValueError: an argument out of range, or an IPv6 address on an IPv4 endpoint.
          trio.ClosedResourceError: you closed the endpoint.

        Cancellation: the half-open association is aborted; no association and no event is left.
        Source: RFC 6458 section 9.9.
        """
        self._socket.check_open()
        candidates = await self._resolve(hosts, port)
        failure: OSError | None = None
        for addresses in candidates:
            try:
                return (await self._socket.connect(addresses, options)).get_handle()
            except OSError as error:
                failure = error
        assert failure is not None
        raise failure

    async def connect_init(
        self, hosts: Hosts, port: int, *, options: Sequence[Option] = ()
    ) -> Association:
        """Start to set up an association and do not wait (gen_sctp ``connectx_init/5``).

        The outcome comes as an `AssociationChange`: COMM_UP, or CANT_ASSOC.

        Args:
          hosts, port, options: See `connect`; of several addresses of one name the first is used.

        Returns:
          The half-open `Association`.  Messages may be sent on it; they leave when it is up.

        Raises:
          OSError, ValueError, trio.ClosedResourceError: as `connect`.

        Cancellation: nothing was started.
        """
        self._socket.check_open()
        candidates = await self._resolve(hosts, port)
        await trio.lowlevel.checkpoint()
        block = self._socket.start_association(candidates[0], options, private=False)
        return block.get_handle()

    async def _resolve(self, hosts: Hosts, port: int) -> list[list[Address]]:
        candidates = await resolve_peer(hosts, port)
        self._socket.check_open()
        bound = self._socket.stack.local_addresses(None)
        if bound and not any(map(is_ipv6, bound)):
            suitable = [c for c in candidates if not any(map(is_ipv6, c))]
            if not suitable:
                raise ValueError(
                    f"{hosts!r} is an IPv6 peer and this an IPv4 endpoint: open it with an IPv6 "
                    "host, such as hosts=['::']"
                )
            return suitable
        return candidates

    async def eof(self, association: Association | int) -> None:
        """Start the graceful shutdown of an association; see `Association.eof`."""
        await self._handle(association).eof()

    def abort(self, association: Association | int, reason: bytes = b"") -> None:
        """End an association at once; see `Association.abort`."""
        check_reason(reason)
        self._socket.abort(self._block(association), reason)

    def peeloff(self, association: Association | int) -> AssociationChannel:
        """Give an association a socket, hence a queue, of its own (gen_sctp ``peeloff/2``).

        Its unread records move along, in order and in front, also those in an open inbox (the
        credit that they took is not returned), and so do tasks that wait to send on it.

        Args:
          association: A handle or an id.  Other handles raise ``trio.ClosedResourceError`` from
            here on, but for `Association.wait_ended` and `Association.while_up`.

        Raises:
          AssociationLost: it has ended.
          OSError: ``EMFILE`` or ``ENFILE``, out of descriptors; nothing changed.

        Source: RFC 6458 section 9.2.
        """
        block = self._block(association)
        if block.end is not None:
            raise block.lost()
        self._socket.peel_off(block)
        return AssociationChannel(block)

    # -- messages and events -----------------------------------------------------------------

    async def send(
        self,
        value: bytes | bytearray | memoryview,
        association: Association | int,
        *,
        stream: int | None = None,
        ppid: int | None = None,
        unordered: bool | None = None,
        context: int | None = None,
        lifetime: int | None = None,
    ) -> None:
        """Send one message, whole, on an association (gen_sctp ``send/3,4``).

        The send buffer is shared: a peer that does not read can hold up messages to others.

        Args:
          value: 1 to `max_send_size` bytes.
          association: A handle or an id.
          stream, ppid, unordered, context, lifetime: See `Association.send`.

        Raises:
          ValueError: a value out of range, empty or too large; nothing was sent.
          AssociationLost: the peer, or the network, ended the association, or there is no
            association with that id any more.
          trio.ClosedResourceError: you ended it.

        Cancellation: the message was not sent.
        """
        await self._socket.sender.send(
            self._block(association),
            value,
            SendInfo(stream or 0, ppid or 0, unordered or False, context or 0, lifetime or 0),
        )

    def send_nowait(
        self,
        value: bytes | bytearray | memoryview,
        association: Association | int,
        *,
        stream: int | None = None,
        ppid: int | None = None,
        unordered: bool | None = None,
        context: int | None = None,
        lifetime: int | None = None,
    ) -> None:
        """Send one message if the send buffer has room for it now; else ``trio.WouldBlock``.

        See `send` and `Association.send_nowait`.
        """
        self._socket.sender.send_nowait(
            self._block(association),
            value,
            SendInfo(stream or 0, ppid or 0, unordered or False, context or 0, lifetime or 0),
        )

    async def receive(self) -> Message | Notification:
        """Receive the next message or event, whatever association it is of (gen_sctp ``recv/2``).

        Raises:
          trio.BusyResourceError: another task receives, or active mode is on.
          trio.ClosedResourceError: you closed the endpoint.

        Cancellation: no record was taken.
        """
        (record,) = await self._socket.receive(1, _never)
        return record

    async def receive_batch(self, limit: int = DEFAULT_BATCH) -> list[Message | Notification]:
        """Receive all that is there, at least one record, for the price of one checkpoint.

        Args:
          limit: Records at the most, 1 or more.

        Raises and cancellation: as `receive`.
        """
        check_limit(limit)
        return await self._socket.receive(limit, _never)

    def active(self, mode: Mode) -> contextlib.AbstractAsyncContextManager[Inbox]:
        """Deliver messages and events to an `Inbox` for the length of a block.

        Args:
          mode: Credit as an integer (gen_sctp ``{active, N}``), `ONCE`, or a `Window`.

        Raises:
          ValueError: a mode out of range.
          trio.BusyResourceError: a task receives, or active mode is on already.
        """
        return open_inbox(self._socket, mode, _never)

    # -- closing -----------------------------------------------------------------------------

    async def aclose(self) -> None:
        """End all associations gracefully and close the socket (gen_sctp ``close/1``).

        Waits until every peer has acknowledged everything; what is received meanwhile is discarded.
        Everybody blocked in the endpoint wakes with ``trio.ClosedResourceError``.

        Cancellation: the socket is closed all the same; the stack goes on shutting down in the
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


def _check_one_to_many(stack: StackSocket) -> None:
    if stack.one_to_one:
        raise ValueError("an endpoint is a one-to-many socket (SOCK_SEQPACKET)")


def _never() -> None:
    """An endpoint's queue has no end."""


async def open_endpoint(
    port: int = 0,
    *,
    hosts: Hosts = (),
    options: Sequence[Option] = (),
    max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
    stack: Stack | str | None = None,
) -> Endpoint:
    """Open a one-to-many socket (gen_sctp ``open/2``).

    Args:
      port: Port to bind, 0 to 65535; 0 means any.
      hosts: Local addresses to bind, several for multi-homing; an IPv6 address makes it an IPv6
        socket, which IPv4 peers reach too.  None means any IPv4 address, ``"::"`` any of both
        families.
      options: Set at once; associations start with them.
      max_message_size: Bytes of the largest message that a peer may send; one that sends more is
        aborted.
      stack: See `stacks`.

    Raises:
      OSError: an address or port cannot be bound.
      ValueError: an argument out of range.
      StackUnavailable: see `stacks`.

    Cancellation: nothing was opened.  Source: RFC 6458 sections 3.1 and 9.1.
    """
    check_max_message_size(max_message_size)
    chosen = choose_stack(stack)
    local = await resolve_local(hosts, port)
    await trio.lowlevel.checkpoint()
    socket = Socket(chosen.open(local, port, ipv6=any(map(is_ipv6, local))), max_message_size)
    try:
        socket.configure(options)
    except BaseException:
        socket.release(abort=True)
        raise
    return Endpoint(socket)
