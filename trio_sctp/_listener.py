"""Listeners, which accept associations one by one, and servers with a task for each."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar, final

import trio
from trio.lowlevel import disable_ki_protection, enable_ki_protection

from ._addresses import Hosts, Port, is_ipv6, resolve_local, resolve_port
from ._association import Association, AssociationChannel, adopt_channel
from ._background import leaves
from ._checks import check_integer
from ._choice import choose_stack
from ._errors import AssociationLost
from ._interrupts import interrupted_at_checkpoints
from ._options import EventSubscription, Option, Status, check_options
from ._socket.opening import (
    DEFAULT_MAX_MESSAGE_SIZE,
    adopt,
    check_max_message_size,
    open_socket,
)
from ._socket.queue import Role
from ._socket.socket import Socket
from ._socket.tcb import Tcb
from ._stack import Stack, StackSocket
from ._values import Address, Arrival, AssociationState, SendInfo

T = TypeVar("T", bound=Option)

DEFAULT_BACKLOG = 128

# What accept(2), and peeling off, say of an association that is no longer there.
_GONE = (errno.EINVAL, errno.ECONNABORTED)


@final
@interrupted_at_checkpoints
class Listener(trio.abc.Listener[AssociationChannel]):
    """Accepts associations as channels.

    Made by `open_listener`; works with ``trio.serve_listeners``.

    No client is lost: one that connected, sent and left before it was accepted is accepted all the
    same, with its messages and its end.
    """

    def __init__(self, socket: Socket, backlog: int) -> None:
        """Not for programs to call."""
        self._socket = socket
        self._backlog = backlog

    @classmethod
    def from_socket(
        cls,
        sock: object,
        *,
        backlog: int = DEFAULT_BACKLOG,
        max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
    ) -> Listener:
        """Adopt a bound socket, one-to-many or one-to-one, and listen on it.

        Args:
          sock: A standard library socket, a pysctp socket, or a descriptor (an integer).  It
            belongs to the listener from here on, unless this raises.
          backlog: See `open_listener`.
          max_message_size: See `open_listener`.

        Raises:
          ValueError: it is not an SCTP socket.
        """
        _check_backlog(backlog)
        check_max_message_size(max_message_size)
        stack = choose_stack("kernel")
        raw = stack.adopt(sock, lambda _: None)
        socket = Socket(stack, raw, Role.LISTENER, max_message_size, Association)
        adopt(socket)
        return _listen(socket, backlog)

    @property
    def stack(self) -> Stack:
        """The stack that the listener is on, as ``stack=`` takes it."""
        return self._socket.stack

    @property
    def port(self) -> int:
        """The port that the listener is bound to."""
        addresses = self.local_addresses
        return addresses[0][1] if addresses else 0

    @property
    def local_addresses(self) -> list[Address]:
        """The addresses that the listener is bound to."""
        self._socket.check_open()
        return self._socket.raw.local_addresses(None)

    def get_option(self, kind: type[T]) -> T:
        """Read an option that accepted associations start with; see `Endpoint.get_option`."""
        return self._socket.settings.get(kind, None)

    def set_option(self, value: Option) -> None:
        """Set an option that accepted associations start with; see `Endpoint.set_option`."""
        self._socket.settings.set(value, None)

    async def accept(self) -> AssociationChannel:
        """Wait for the next association.

        Returns:
          Its channel.  If the association has ended meanwhile, the channel has no socket, only
          what was received, and then the end.

        Raises:
          OSError: ``EMFILE``, ``ENFILE``, ``ENOBUFS`` or ``ENOMEM``; the association stays first in
            the queue.
          trio.BusyResourceError: another task accepts.
          trio.ClosedResourceError: you closed the listener.

        Cancellation: no association was taken.
        """
        socket = self._socket
        socket.check_open()
        waiter = socket.queue.begin_receive()
        try:
            if socket.raw.one_to_one:
                return await self._accept_one_to_one()
            unaccepted = socket.queue.unaccepted
            if not unaccepted:
                socket.intake.read()
            if unaccepted:
                await trio.lowlevel.checkpoint()
            while not unaccepted:
                socket.check_open()
                await socket.reader.wait(waiter)
            socket.check_open()
            channel = self._take(unaccepted[0])
            unaccepted.popleft()
            self._refuse_excess()
            return channel
        finally:
            socket.queue.receiver = None

    def _take(self, tcb: Tcb) -> AssociationChannel:
        """Give an association its own socket, or none if it has ended."""
        socket = self._socket
        raw: StackSocket
        try:
            raw = EndedSocket() if tcb.end else socket.raw.peel_off(tcb.id)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            socket.intake.read_to_end(tcb)
            if tcb.end is None:
                socket.end(tcb, AssociationState.COMM_LOST, 0, b"")
            raw = EndedSocket()
        socket.move(tcb, raw)
        return AssociationChannel(tcb)

    def _refuse_excess(self) -> None:
        """Abort waiting associations beyond the backlog, as the kernel bounds nothing."""
        socket = self._socket
        unaccepted = socket.queue.unaccepted
        ids = socket.raw.association_ids()
        if len(ids) <= self._backlog:
            return
        for id in list(ids)[self._backlog :]:
            tcb = socket.intake.find(id) or socket.add_tcb(id)
            if tcb in unaccepted:
                unaccepted.remove(tcb)
            socket.discard(tcb, b"backlog exceeded")

    async def _accept_one_to_one(self) -> AssociationChannel:
        await trio.lowlevel.checkpoint()
        while True:
            self._socket.check_open()
            try:
                raw = self._socket.raw.accept()
            except BlockingIOError:
                await self._socket.raw.wait_readable()
            except OSError as error:
                if error.errno not in _GONE:
                    raise
            else:
                return adopt_channel(self._socket.stack, raw, self._socket.intake.max_message_size)

    def detach(self) -> int:
        """Give the socket up to another process; see `Endpoint.detach`.

        Associations that nobody accepted go with it.

        Raises:
          trio.BusyResourceError: a task accepts, or records of associations yet to be accepted were
            read; nothing changed.
        """
        return self._socket.detach()

    async def aclose(self) -> None:
        """Stop listening; associations that nobody accepted are aborted."""
        self._socket.release(abort=True)
        await trio.lowlevel.checkpoint()


class EndedSocket:
    """Stands in for the socket of an association that ended before it could be peeled off."""

    one_to_one = False
    room_is_shared = False

    def _ended_error(self) -> OSError:
        return OSError(errno.EPIPE, os.strerror(errno.EPIPE))

    def receive(self, limit: int) -> list[Arrival]:
        return []

    def has_unread(self) -> bool:
        return False

    async def wait_readable(self) -> None:
        raise self._ended_error()

    def send(
        self, data: bytes | bytearray | memoryview, association_id: int, info: SendInfo
    ) -> None:
        raise self._ended_error()

    async def wait_writable(self, association_id: int | None) -> None:
        raise self._ended_error()

    def max_send_size(self) -> tuple[int, str]:
        return 0, "the association has ended"

    def connect(self, addresses: Sequence[Address]) -> int:
        raise self._ended_error()

    def listen(self, backlog: int) -> None:
        raise self._ended_error()

    def accept(self) -> StackSocket:
        raise self._ended_error()

    def peel_off(self, association_id: int) -> StackSocket:
        raise self._ended_error()

    def association_ids(self) -> Collection[int]:
        return []

    def status(self, association_id: int) -> Status:
        raise self._ended_error()

    def pending_error(self) -> int:
        return 0

    def shutdown(self, association_id: int) -> None:
        raise self._ended_error()

    def abort(self, association_id: int, reason: bytes) -> None:
        raise self._ended_error()

    def is_dry(self, association_id: int) -> bool:
        raise self._ended_error()

    def ping(
        self, association_id: int, address: Address | None, answered: Callable[[float], None]
    ) -> Callable[[], None]:
        raise self._ended_error()

    def local_addresses(self, association_id: int | None) -> list[Address]:
        raise self._ended_error()

    def peer_addresses(self, association_id: int) -> list[Address]:
        raise self._ended_error()

    def association_at(self, address: Address) -> int | None:
        return None

    def bind(self, address: Address) -> None:
        raise self._ended_error()

    def unbind(self, address: Address) -> None:
        raise self._ended_error()

    def get_option(
        self, kind: type[T], association_id: int | None, address: Address | None = None
    ) -> T:
        raise self._ended_error()

    def set_option(self, option: Option, association_id: int | None) -> None:
        raise self._ended_error()

    def subscribe(self, events: EventSubscription, association_id: int | None) -> None:
        raise self._ended_error()

    def subscription(self, association_id: int | None) -> EventSubscription:
        raise self._ended_error()

    def report_dry(self, association_id: int, on: bool) -> None:
        raise self._ended_error()

    def close(self, *, abort: bool) -> None:
        pass

    def detach(self) -> int:
        raise self._ended_error()


def _check_backlog(backlog: int) -> None:
    check_integer("backlog", backlog, 1, 65535)


def _listen(socket: Socket, backlog: int) -> Listener:
    """Let peers set up associations, and accept those that there are."""
    socket.adopt_associations()
    socket.queue.unaccepted.extend(socket.tcbs.values())
    socket.raw.listen(backlog)
    return Listener(socket, backlog)


@enable_ki_protection
async def open_listener(
    port: Port,
    *,
    hosts: Hosts = (),
    options: Sequence[Option] = (),
    backlog: int = DEFAULT_BACKLOG,
    max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
    stack: Stack | str | None = None,
) -> Listener:
    """Listen for associations.

    Args:
      port: Port to bind, 0 to 65535, or the name of a service; 0 means any.
      hosts: Local addresses to bind, several for multi-homing; none means any IPv4 address, and
        ``"::"`` any address of both families.
      options: Set before it listens; accepted associations start with them.
      backlog: Associations that may wait to be accepted, 1 to 65535.  Later ones are aborted, at
        the next `Listener.accept`.
      max_message_size: Bytes of the largest message that a peer may send; an association whose peer
        sends a larger one is aborted.
      stack: See `stacks`.

    Raises:
      OSError: an address or port cannot be bound.
      ValueError: an argument is out of range.
      StackUnavailable: see `stacks`.
    """
    _check_backlog(backlog)
    check_max_message_size(max_message_size)
    check_options(options)
    chosen = choose_stack(stack)
    bound = await resolve_port(port, lowest=0)
    local = await resolve_local(hosts, bound, chosen)
    await trio.lowlevel.checkpoint()
    socket = open_socket(
        chosen,
        local,
        bound,
        role=Role.LISTENER,
        ipv6=any(map(is_ipv6, local)),
        options=options,
        max_message_size=max_message_size,
        make_handle=Association,
    )
    try:
        return _listen(socket, backlog)
    except BaseException:
        socket.release(abort=True)
        raise


@enable_ki_protection
async def serve(
    handler: Callable[[AssociationChannel], Awaitable[object]],
    port: Port,
    *,
    hosts: Hosts = (),
    options: Sequence[Option] = (),
    backlog: int = DEFAULT_BACKLOG,
    max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
    handler_nursery: trio.Nursery | None = None,
    stack: Stack | str | None = None,
    task_status: trio.TaskStatus[Listener] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run ``await handler(channel)`` for every association, each in its own task.

    Never returns.  Each handler runs inside ``async with channel``, so an association ends
    gracefully when its handler returns.

    Args:
      handler: Called with an `AssociationChannel`.
      handler_nursery: Where the handlers run; by default, in a nursery inside the call.
      task_status: ``await nursery.start(serve, handler, 2905)`` returns the `Listener`, which knows
        its port.
      port, hosts, options, backlog, max_message_size, stack: See `open_listener`.

    Error handling: a handler that fails only with the `AssociationLost` of its own association ends
    quietly, since it is no fault of ours if the peer goes away.  Any other exception propagates, as
    under ``trio.serve_listeners``.  When descriptors run out, it logs that and tries again after
    100 ms.

    Cancellation: the listener is closed and all handlers in its nursery are cancelled.
    """
    listener = await open_listener(
        port,
        hosts=hosts,
        options=options,
        backlog=backlog,
        max_message_size=max_message_size,
        stack=stack,
    )

    @enable_ki_protection
    async def run(channel: AssociationChannel) -> None:
        try:
            async with channel:
                await _call(handler, channel)
        except BaseException as error:
            if not _only_lost(error, channel):
                raise

    await trio.serve_listeners(
        run, [listener], handler_nursery=handler_nursery, task_status=_Started(task_status)
    )


@disable_ki_protection
async def _call(
    handler: Callable[[AssociationChannel], Awaitable[object]], channel: AssociationChannel
) -> None:
    """Run the program's own function, which is not protected from KeyboardInterrupt."""
    await handler(channel)


def _only_lost(error: BaseException, channel: AssociationChannel) -> bool:
    """Whether an error says only that the channel's own association was lost."""
    return all(
        isinstance(one, AssociationLost) and one.association is channel for one in leaves(error)
    )


@interrupted_at_checkpoints
class _Started:
    """Reports the one listener, where ``trio.serve_listeners`` reports a list of them."""

    def __init__(self, task_status: trio.TaskStatus[Listener]) -> None:
        self._task_status = task_status

    def started(self, value: Sequence[Listener] | None = None) -> None:
        assert value is not None
        self._task_status.started(value[0])
