"""Listeners, which accept associations one by one, and servers with a task for each."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast, final

import trio

from ._addresses import Hosts, Port, is_ipv6, resolve_local, resolve_port
from ._association import AssociationChannel, adopt_channel
from ._control import ControlBlock
from ._errors import AssociationLost
from ._options import Option, check_options
from ._socket import DEFAULT_MAX_MESSAGE_SIZE, Socket, check_max_message_size, open_socket
from ._stack import EndedSocket, Stack, StackSocket, choose_stack
from ._values import Address, AssociationState

T = TypeVar("T", bound=Option)

DEFAULT_BACKLOG = 128

# What accept(2) and the peel-off of an association that is no longer there say.
_GONE = (errno.EINVAL, errno.ECONNABORTED)


@final
class Listener(trio.abc.Listener[AssociationChannel]):
    """Accepts associations as channels.

    Made by `open_listener`; works with ``trio.serve_listeners``.

    No client is lost: one that came, sent and went before it was accepted is accepted all the same,
    with its messages and its end.
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
        socket = Socket(choose_stack("kernel").adopt(sock, lambda _: None), max_message_size)
        socket.adopt()
        return cls._listening(socket, backlog)

    @classmethod
    def _listening(cls, socket: Socket, backlog: int) -> Listener:
        socket.adopt_associations()
        socket.expect_arrivals()
        socket.stack.listen(backlog)
        return cls(socket, backlog)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        addresses = self.local_addresses
        return addresses[0][1] if addresses else 0

    @property
    def local_addresses(self) -> list[Address]:
        """The addresses that it listens on."""
        self._socket.check_open()
        return self._socket.stack.local_addresses(None)

    def get_option(self, kind: type[T]) -> T:
        """Read an option that accepted associations start with; see `Endpoint.get_option`."""
        return self._socket.settings.get(kind, None)

    def set_option(self, value: Option) -> None:
        """Set an option that accepted associations start with; see `Endpoint.set_option`."""
        self._socket.settings.set(value, None)

    async def accept(self) -> AssociationChannel:
        """Wait for the next association.

        Returns:
          Its channel.  If the association has ended meanwhile, the channel has no socket, but
          what was received, and then its end.

        Raises:
          OSError: ``EMFILE``, ``ENFILE``, ``ENOBUFS`` or ``ENOMEM``; the association stays first in
            the queue.
          trio.BusyResourceError: another task accepts.
          trio.ClosedResourceError: you closed the listener.

        Cancellation: no association was taken.
        """
        waiter = self._socket.begin_receive()
        try:
            if self._socket.stack.one_to_one:
                return await self._accept_one_to_one()
            arrivals = self._socket.arrivals
            assert arrivals is not None
            if not arrivals:
                self._socket.read()
            if arrivals:
                await trio.lowlevel.checkpoint()
            while not arrivals:
                self._socket.check_open()
                await self._socket.reader.wait(waiter)
            self._socket.check_open()
            channel = self._take(arrivals[0])
            arrivals.popleft()
            self._refuse_excess()
            return channel
        finally:
            self._socket.end_receive()

    def _take(self, block: ControlBlock) -> AssociationChannel:
        socket = self._socket
        stack: StackSocket
        try:
            stack = EndedSocket() if block.end else socket.stack.peel_off(block.id)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            while block.end is None and socket.read():
                pass
            if block.end is None:
                socket.end(block, AssociationState.COMM_LOST, 0, b"")
            stack = EndedSocket()
        socket.move(block, stack)
        return AssociationChannel(block)

    def _refuse_excess(self) -> None:
        """Keep the number of waiting associations to the backlog: the kernel bounds nothing."""
        arrivals = self._socket.arrivals
        assert arrivals is not None
        for id in self._socket.stack.association_ids()[self._backlog :]:
            block = self._socket.block(id) or self._socket.add_block(id)
            if block in arrivals:
                arrivals.remove(block)
            self._socket.discard(block, b"backlog exceeded")

    async def _accept_one_to_one(self) -> AssociationChannel:
        await trio.lowlevel.checkpoint()
        while True:
            self._socket.check_open()
            try:
                stack = self._socket.stack.accept()
            except BlockingIOError:
                await self._socket.stack.wait_readable()
            except OSError as error:
                if error.errno not in _GONE:
                    raise
            else:
                return adopt_channel(stack, self._socket.max_message_size)

    def detach(self) -> int:
        """Give up the socket to another process; see `Endpoint.detach`.

        Associations that nobody accepted go with it.

        Raises:
          trio.BusyResourceError: a task accepts, or records of associations to be accepted were
            read; nothing changed.
        """
        return self._socket.detach()

    async def aclose(self) -> None:
        """Stop listening; associations that nobody accepted are aborted."""
        self._socket.release(abort=True)
        await trio.lowlevel.checkpoint()


def _check_backlog(backlog: int) -> None:
    if not isinstance(backlog, int) or not 1 <= backlog <= 65535:
        raise ValueError(f"a backlog lies within 1 and 65535, not {backlog!r}")


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
        ``"::"`` any of both families.
      options: Set before it listens; accepted associations start with them.
      backlog: Associations that may wait to be accepted, 1 to 65535.  Later ones are aborted, at
        the next `Listener.accept`.
      max_message_size: Bytes of the largest message that a peer may send; one that sends more is
        aborted.
      stack: See `stacks`.

    Raises:
      OSError: an address or port cannot be bound.
      ValueError: an argument out of range.
      StackUnavailable: see `stacks`.
    """
    _check_backlog(backlog)
    check_max_message_size(max_message_size)
    check_options(options)
    chosen = choose_stack(stack)
    bound = await resolve_port(port, lowest=0)
    local = await resolve_local(hosts, bound)
    await trio.lowlevel.checkpoint()
    socket = open_socket(
        chosen,
        local,
        bound,
        ipv6=any(map(is_ipv6, local)),
        options=options,
        max_message_size=max_message_size,
    )
    try:
        return Listener._listening(socket, backlog)
    except BaseException:
        socket.release(abort=True)
        raise


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
    """Run ``await handler(channel)`` for every association, each in a task of its own.

    Never returns.  Each handler runs inside ``async with channel``, so an association ends
    gracefully when its handler returns.

    Args:
      handler: Called with an `AssociationChannel`.
      handler_nursery: Where the handlers run; by default in a nursery of its own, inside the call.
      task_status: ``await nursery.start(serve, handler, 2905)`` returns the `Listener`, which knows
        its port.
      port, hosts, options, backlog, max_message_size, stack: See `open_listener`.

    Error handling: a handler that fails with nothing but the `AssociationLost` of its own
    association ends quietly: that its peer goes is no fault of ours.  Any other exception
    propagates, as under ``trio.serve_listeners``.  When descriptors run out, it logs that and tries
    again after 100 ms.

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

    async def run(channel: AssociationChannel) -> None:
        try:
            async with channel:
                await handler(channel)
        except BaseException as error:
            if not _only_lost(error, channel):
                raise

    await trio.serve_listeners(
        run, [listener], handler_nursery=handler_nursery, task_status=_Started(task_status)
    )


def _only_lost(error: BaseException, channel: AssociationChannel) -> bool:
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return all(_only_lost(one, channel) for one in group.exceptions)
    return isinstance(error, AssociationLost) and error.association is channel


class _Started:
    """Reports the one listener where ``trio.serve_listeners`` reports a list of them."""

    def __init__(self, task_status: trio.TaskStatus[Listener]) -> None:
        self._task_status = task_status

    def started(self, value: Sequence[Listener] | None = None) -> None:
        assert value is not None
        self._task_status.started(value[0])
