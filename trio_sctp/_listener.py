"""Listeners, which accept associations one by one, and servers with a task for each."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar, final
from weakref import WeakSet

import trio
from trio.lowlevel import enable_ki_protection

from ._addresses import Hosts, Port, is_ipv6, resolve_local, resolve_port
from ._association import Association, AssociationChannel, adopt_channel
from ._checks import check_integer
from ._choice import choose_stack
from ._errors import OVERLOADED
from ._handlers import Judged, check_handler, is_async, run_handler
from ._interrupts import interrupted_at_checkpoints
from ._log import logger
from ._options import (
    DeactivateKey,
    DeleteKey,
    EventSubscription,
    Option,
    Status,
    check_options,
)
from ._socket import journal
from ._socket.opening import (
    DEFAULT_MAX_MESSAGE_SIZE,
    adopt,
    check_max_message_size,
    open_socket,
)
from ._socket.queue import Role
from ._socket.socket import Socket
from ._socket.tcb import Tcb
from ._socket.unclosed import forgotten
from ._socket.waiter import Waiter
from ._stack import Interruptible, Stack, StackSocket
from ._values import (
    Address,
    Arrival,
    AssociationState,
    AssociationStatistics,
    ReconfigurationRequest,
    SendInfo,
)

T = TypeVar("T", bound=Option)

DEFAULT_BACKLOG = 128

# What accept(2), and peeling off, say of an association that is no longer there.
_GONE = (errno.EINVAL, errno.ECONNABORTED)

_RETRY_ACCEPT = 0.1
"""Seconds after which `serve` accepts again when descriptors or memory have run out."""


@final
@interrupted_at_checkpoints
class Listener(trio.abc.Listener[AssociationChannel]):
    """Accepts associations as channels.

    Made by `open_listener`; works with ``trio.serve_listeners``.

    No client is lost: one that connected, sent and left before it was accepted is accepted all the
    same, with its messages and its end.

    ``async for channel in listener:`` accepts one association after the other, until `drain`.
    """

    def __init__(self, socket: Socket, backlog: int) -> None:
        """Not for programs to call."""
        self._socket = socket
        self._backlog = backlog
        self._accepted: WeakSet[Socket] = WeakSet()  # those that programs still hold
        self._draining = False

    def __del__(self) -> None:
        forgotten(self, getattr(self, "_socket", None))

    def __repr__(self) -> str:
        return f"<Listener {self._socket.whereabouts()}>"

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

    def deactivate_key(self, id: int) -> None:
        """Have associations to come send with a shared key no longer; see
        `Endpoint.deactivate_key`."""
        check_integer("id", id, 0, 65535)
        self.set_option(DeactivateKey(id))

    def delete_key(self, id: int) -> None:
        """Have associations to come know nothing of a shared key; see `Endpoint.delete_key`."""
        check_integer("id", id, 0, 65535)
        self.set_option(DeleteKey(id))

    async def accept(self) -> AssociationChannel:
        """Wait for the next association.

        Returns:
          Its channel.  If the association has ended meanwhile, the channel has no socket, only
          what was received, and then the end.

        Raises:
          OSError: ``EMFILE``, ``ENFILE``, ``ENOBUFS`` or ``ENOMEM``; the association stays first in
            the queue.
          trio.BusyResourceError: another task accepts.
          trio.ClosedResourceError: you closed or drained the listener.

        Cancellation: no association was taken.
        """
        socket = self._socket
        socket.check_open()
        waiter = socket.queue.begin_receive()
        try:
            if socket.raw.one_to_one:
                channel = await self._accept_one_to_one(waiter)
                self._accepted.add(channel._socket)
                return channel
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
            self._accepted.add(channel._socket)
            self._refuse_excess()
            return channel
        finally:
            socket.queue.receiver = None

    def __aiter__(self) -> Listener:
        return self

    async def __anext__(self) -> AssociationChannel:
        """Accept the next association; `drain` is the end."""
        try:
            return await self.accept()
        except trio.ClosedResourceError:
            if self._draining:
                raise StopAsyncIteration from None
            raise

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
            backlog = "it was refused, as %d associations wait to be accepted"
            journal.warn_seldom("backlog", tcb, backlog, self._backlog)
            socket.discard(tcb, b"backlog exceeded")

    async def _accept_one_to_one(self, waiter: Waiter) -> AssociationChannel:
        await trio.lowlevel.checkpoint()
        while True:
            self._socket.check_open()
            try:
                raw = self._socket.raw.accept()
            except BlockingIOError:
                await self._socket.raw.wait_readable(waiter)
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
          OptionUnsupported: only sockets of the kernel stack have descriptors; nothing changed.
        """
        return self._socket.detach()

    async def drain(self) -> None:
        """Stop listening, and let what was accepted come to its end; for a graceful stop.

        Associations that nobody accepted are aborted.  Each accepted channel's ``receive`` raises
        ``trio.EndOfChannel`` once what has arrived by now is taken, so that ``async for`` over a
        channel ends; what arrives later is dropped.  Sending goes on.  An association is shut down
        when its handler leaves its ``async with``.

        A handler that does not receive notices nothing of this, so limit the time::

            with trio.move_on_after(30):
                await listener.drain()

        Returns when all accepted associations have ended.  Another call waits for the same.
        `accept` raises ``trio.ClosedResourceError`` from here on, and ``async for`` over the
        listener ends.

        Cancellation: the associations that are left are aborted; their handlers get
        `AssociationLost`.
        """
        self._draining = True
        self._close()
        left = [socket for socket in self._accepted if socket.tcbs]
        for socket in left:
            socket.drain()
        try:
            await self._wait_drained()
        except BaseException:
            for socket in left:
                socket.cut_off_all()
            raise

    async def _wait_drained(self) -> None:
        """Wait until all accepted associations have ended."""
        await trio.lowlevel.checkpoint()
        for socket in list(self._accepted):
            for tcb in list(socket.tcbs.values()):
                # If it was closed without waiting, or its stack has ended, it is nobody's now.
                with contextlib.suppress(trio.ClosedResourceError, trio.BrokenResourceError):
                    await tcb.wait_ended()

    async def aclose(self) -> None:
        """Stop listening; associations that nobody accepted are aborted."""
        self._close()
        await trio.lowlevel.checkpoint()

    def _close(self) -> None:
        self._socket.release(abort=True)


class EndedSocket:
    """Stands in for the socket of an association that ended before it could be peeled off."""

    one_to_one = False
    room_is_shared = False
    has_descriptor = False

    def _ended_error(self) -> OSError:
        return OSError(errno.EPIPE, os.strerror(errno.EPIPE))

    def receive(self, limit: int) -> list[Arrival]:
        return []

    def has_unread(self) -> bool:
        return False

    async def wait_readable(self, waiter: Interruptible) -> None:
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

    def statistics(self, association_id: int) -> AssociationStatistics:
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

    def reconfigure(
        self, association_id: int, request: ReconfigurationRequest, answered: Callable[[int], None]
    ) -> Callable[[], bool]:
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
        self,
        kind: type[T],
        association_id: int | None,
        address: Address | None = None,
        stream: int | None = None,
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

    def drop(self) -> None:
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
    on_error: Callable[[Exception, AssociationChannel], object] | None = None,
    stack: Stack | str | None = None,
    task_status: trio.TaskStatus[Listener] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run ``await handler(channel)`` for every association, each in its own task.

    Returns when `Listener.drain` has let all associations and handlers come to their end; else
    never.  Each handler runs inside ``async with channel``, so an association ends gracefully when
    its handler returns.  If the peer is silent then, that takes minutes, until it is given up;
    ``options=[Linger(True, 3)]`` makes it three seconds.

    Args:
      handler: An async function, called with an `AssociationChannel`.
      handler_nursery: Where the handlers run; by default, in a nursery inside the call.
      on_error: What to do with a handler's error instead of raising it; see below.
      task_status: ``await nursery.start(serve, handler, 2905)`` returns the `Listener`, which knows
        its port.
      port, hosts, options, backlog, max_message_size, stack: See `open_listener`.

    Error handling: a handler that fails only with the `AssociationLost` of its own association ends
    quietly, since it is no fault of ours if the peer goes away.  At any other error its association
    is aborted, with the reason ``handler failed``; then the error propagates and ends the server,
    as under ``trio.serve_listeners``.  If there is an ``on_error``, an ``Exception`` or
    ``ExceptionGroup`` does not propagate: ``on_error(error, channel)`` is called, which is no async
    function, and may raise.  All this holds for a handler that is cancelled at that moment, too.
    When descriptors or memory run out, it logs that and accepts again after 100 ms.

    Raises:
      TypeError: ``handler`` is no async function, or ``on_error`` no other function; nothing was
        opened.

    Cancellation: the listener is closed and all handlers in its nursery are cancelled; their
    associations are aborted, without a reason.
    """
    check_handler(handler, "serve")
    if on_error is not None and (not callable(on_error) or is_async(on_error)):
        raise TypeError(f"on_error must be a function that is not async, not {on_error!r}")
    listener = await open_listener(
        port,
        hosts=hosts,
        options=options,
        backlog=backlog,
        max_message_size=max_message_size,
        stack=choose_stack(stack),
    )

    @enable_ki_protection
    async def run(channel: AssociationChannel) -> None:
        with Judged(channel, on_error):
            async with channel:
                await run_handler(handler, channel)

    async with trio.open_nursery() as nursery:
        handlers = nursery if handler_nursery is None else handler_nursery
        try:
            task_status.started(listener)
            while (channel := await _accept_until_drained(listener)) is not None:
                handlers.start_soon(run, channel)
            await listener._wait_drained()
        finally:
            listener._close()


async def _accept_until_drained(listener: Listener) -> AssociationChannel | None:
    """The next association; None if the listener is drained."""
    while True:
        try:
            return await anext(listener, None)
        except OSError as error:
            if error.errno not in OVERLOADED:
                raise
            logger.error("cannot accept an association: %s; trying again in 100 ms", error)
        await trio.sleep(_RETRY_ACCEPT)
