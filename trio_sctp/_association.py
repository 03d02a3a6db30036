"""Associations: handles to those of an endpoint, and channels with a socket of their own."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import AsyncGenerator, Collection, Sequence
from functools import partial
from math import inf
from types import TracebackType
from typing import TypeVar, cast, final

import trio
from trio.lowlevel import enable_ki_protection

from ._addresses import Hosts, Port, is_ipv6, resolve_local, resolve_peer, resolve_port
from ._attempts import DEFAULT_ATTEMPT_DELAY, check_attempt_delay, race
from ._background import background, leaves
from ._checks import check_address, check_bool, check_bytes, check_integer
from ._choice import choose_stack
from ._errors import AssociationLost, OptionUnsupported
from ._inbox import DEFAULT_BATCH, Inbox, check_limit, open_inbox
from ._interrupts import interrupted_at_checkpoints
from ._log import transport
from ._options import (
    DeactivateKey,
    DeleteKey,
    Option,
    PeerAddressInfo,
    Status,
    check_options,
    needs_peer,
)
from ._socket.credit import Mode
from ._socket.opening import (
    DEFAULT_MAX_MESSAGE_SIZE,
    adopt,
    adopt_ended,
    check_max_message_size,
    open_socket,
)
from ._socket.queue import Role
from ._socket.socket import Socket, SocketStatistics, connect_failed
from ._socket.tcb import Phase, Tcb
from ._socket.unclosed import forgotten
from ._stack import Stack, StackSocket
from ._values import Address, AssociationEnd, AssociationStatistics, Message
from ._views import ByteStream, EventChannel, PayloadChannel, open_events

T = TypeVar("T", bound=Option)
Self = TypeVar("Self", bound="Association")


@interrupted_at_checkpoints
class Association:
    """A handle to one association on an endpoint's socket.

    Its messages arrive in the endpoint's queue; ``peeloff`` gives it a queue of its own.  Made by
    `Endpoint.connect`, `Endpoint.connect_init` and `Endpoint.associations`.

    Leaving ``async with association:`` starts a graceful shutdown and waits for its end; leaving it
    by an exception or cancellation aborts the association.

    After a restart of the peer the handle stays valid.  After peeling off, all of its methods raise
    ``trio.ClosedResourceError``, except `wait_ended` and `while_up`, which follow the channel.
    """

    __slots__ = ("__weakref__", "_socket", "_tcb")

    def __init__(self, tcb: Tcb) -> None:
        """Not for programs to call."""
        self._tcb = tcb
        self._socket = tcb.socket

    def __repr__(self) -> str:
        tcb = self._tcb
        state = "ended" if tcb.end else tcb.phase.value
        peer = f" with {transport(tcb.peer)}" if tcb.peer else ""
        return f"<{type(self).__name__} {tcb.id}{peer} {state}>"

    def _check(self) -> None:
        """Raise if the association was peeled off and this handle is no longer the one to use."""
        if self._tcb.socket is not self._socket:
            raise trio.ClosedResourceError(
                f"association {self.id} was peeled off: use its AssociationChannel"
            )

    # -- what it is --------------------------------------------------------------------------

    @property
    def id(self) -> int:
        """The association id, which stays the same for the association's life."""
        return self._tcb.id

    @property
    def up(self) -> bool:
        """Whether messages can be exchanged, as far as is known.

        It came up, it has not ended, and the peer has not begun to shut it down.  Asks nobody, so
        it may change at any checkpoint.
        """
        tcb = self._tcb
        return tcb.phase is Phase.UP and not tcb.peer_shuts_down

    @property
    def ended(self) -> AssociationEnd | None:
        """How the association has ended; None if it has not, as far as is known."""
        return self._tcb.end

    @property
    def stack(self) -> Stack:
        """The stack that carries it, as ``stack=`` takes it."""
        return self._tcb.socket.stack

    @property
    def outbound_streams(self) -> int:
        """Streams to send on, numbered from 0; 0 while the association is half-open."""
        return self._tcb.outbound_streams

    @property
    def inbound_streams(self) -> int:
        """Streams that the peer may send on; 0 while the association is half-open."""
        return self._tcb.inbound_streams

    @property
    def local_addresses(self) -> list[Address]:
        """Our addresses (gen_sctp ``inet:socknames``, RFC 6458 section 9.5).

        Raises:
          AssociationLost: it has ended.
        """
        return self._addresses(local=True)

    @property
    def peer_addresses(self) -> list[Address]:
        """The peer's addresses (gen_sctp ``inet:peernames``, RFC 6458 section 9.3).

        Raises:
          AssociationLost: it has ended.
        """
        return self._addresses(local=False)

    def _addresses(self, *, local: bool) -> list[Address]:
        self._check()
        self._socket.check_not_released()
        raw = self._socket.raw
        try:
            if local:
                return raw.local_addresses(self.id)
            return raw.peer_addresses(self.id)
        except OSError:
            raise self._tcb.lost_error() from None

    @property
    def max_send_size(self) -> int:
        """Bytes of the largest message that can be sent; `SendBuffer` changes it."""
        self._check()
        return self._socket.sender.max_send_size()

    def status(self) -> Status:
        """Ask the stack for the association's state (gen_sctp ``sctp_status``).

        Raises:
          AssociationLost: it has ended.

        Source: RFC 6458 section 8.2.1.
        """
        return self.get_option(Status)

    def paths(self) -> list[PeerAddressInfo]:
        """List all paths to the peer, one for each of its addresses.

        `PeerAddressInfo.primary` marks the one that messages take while it is active.  A path that
        has potentially failed is listed even where Linux hides its numbers.

        Raises:
          AssociationLost: it has ended.

        Source: RFC 6458 section 8.2.2.
        """
        self._check()
        self._socket.check_not_released()
        return self._socket.settings.paths(self._tcb)

    def statistics(self) -> AssociationStatistics:
        """Count what has passed between the association and its peer since it began.

        Raises:
          AssociationLost: it has ended.

        Source: Linux's SCTP_GET_ASSOC_STATS.
        """
        self._check()
        self._socket.check_not_released()
        return self._socket.settings.statistics(self._tcb)

    def get_option(
        self, kind: type[T], *, address: Address | None = None, stream: int | None = None
    ) -> T:
        """Read an option of this association, all fields filled.

        Args:
          kind: An option class whose scope is an association, such as `RtoInfo`; for a channel,
            any option class.
          address: One of the peer's addresses, ``(host, port)``, for `PeerAddressInfo` and
            `PeerAddressParams`.
          stream: One outbound stream, from 0, for `PrStatus`.

        Raises:
          ValueError: the option holds for a whole socket, or can only be set, or the peer has no
            such address or the association no such stream.
          AssociationLost: the association has ended.
          OptionUnsupported: the stack has no such option.
        """
        self._check()
        return self._socket.settings.get(kind, self._tcb, address, stream)

    def set_option(self, value: Option) -> None:
        """Set an option for this association; fields that are None stay as they are.

        Args:
          value: An option whose scope is an association; for a channel, also one of its socket.

        Raises:
          ValueError: the option holds for a whole socket, or for associations yet to be set up, or
            the stack refuses the value.
          AssociationLost: the association has ended.
          OptionUnsupported: the stack has no such option.
        """
        self._check()
        self._socket.settings.set(value, self._tcb)

    def deactivate_key(self, id: int) -> None:
        """Send with a shared key no longer (SCTP_AUTH_DEACTIVATE_KEY).

        What the peer authenticates with it is still taken.  An `AuthenticationChange` with FREE_KEY
        tells that nothing more will leave with it.

        Args:
          id: The identifier of an `AuthKey`, but not of the active one.

        Raises:
          ValueError: there is no such key, or it is the active one.
          AssociationLost: the association has ended.
          OptionUnsupported: the stack, or the peer, does not authenticate.

        Source: RFC 6458 section 8.3.4.
        """
        check_integer("id", id, 0, 65535)
        self.set_option(DeactivateKey(id))

    def delete_key(self, id: int) -> None:
        """Forget a shared key (SCTP_AUTH_DELETE_KEY): what is authenticated with it is dropped.

        Args and errors are those of `deactivate_key`.  Source: RFC 6458 section 8.3.5.
        """
        check_integer("id", id, 0, 65535)
        self.set_option(DeleteKey(id))

    # -- sending -----------------------------------------------------------------------------

    async def send(
        self,
        value: bytes | bytearray | memoryview,
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
    ) -> None:
        """Send one message, whole.

        Any number of tasks may send; their messages queue in the order of the calls.  An argument
        that is None is taken from the association's `DefaultSendParams`, which are 0 unless set.
        At most one of ``lifetime``, ``retransmissions`` and ``priority`` may be given, which then
        replaces the default one; ``lifetime=0`` says that the message is never given up.  A message
        that is given up comes back in a `SendFailed`.

        Args:
          value: 1 to `max_send_size` bytes.
          stream: Outbound stream, 0 to `outbound_streams` - 1.
          ppid: Payload protocol identifier, a host-order integer of 32 bits.
          unordered: Whether the message may overtake others of its stream.
          context: A number of 32 bits that comes back in a `SendFailed`.
          lifetime: Milliseconds after which the message is given up (RFC 3758); 0 is never.
          retransmissions: How often a part of it may be sent again before it is given up (RFC
            7496).
          priority: A number of 32 bits: the message is given up to make room for one with a lower
            number, or for one that may not be given up at all (RFC 7496), and it does not wait
            behind the messages of other tasks.
          address: The peer's address, ``(host, port)``, to send to instead of the primary one
            (gen_sctp ``addr_over``).  Linux has no such thing on a channel.
          eof: Start the graceful shutdown with this message as the last (gen_sctp ``eof``); the
            peer cannot reply to it.
          abort: Send only an abort, with ``value`` as its reason (gen_sctp ``abort``).

        Raises:
          ValueError: a value out of range, empty or too large, or two policies; nothing was sent.
          AssociationLost: the peer, or the network, ended the association.
          OptionUnsupported: ``address``, on a channel of the kernel stack.
          trio.ClosedResourceError: you ended it.

        Cancellation: the message was not sent.  Source: RFC 6458 sections 5.3.4 and 9.12.
        """
        self._check()
        if check_ends(eof, abort):
            check_reason(value)
            self.abort(bytes(value))
            await trio.lowlevel.checkpoint()
            return
        sender = self._socket.sender
        how = (stream, ppid, unordered, context, lifetime, address, retransmissions, priority)
        await sender.send(self._tcb, value, sender.info(self._tcb, how), eof)

    def send_nowait(
        self,
        value: bytes | bytearray | memoryview,
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
    ) -> None:
        """Send one message if the send buffer has room for it now.

        Args and errors are those of `send`, and:

        Raises:
          trio.WouldBlock: there is no room, or others wait to send on this association, or ``eof``
            is given and it is not up yet.
        """
        self._check()
        if eof is not False:
            check_bool("eof", eof)
        sender = self._socket.sender
        how = (stream, ppid, unordered, context, lifetime, address, retransmissions, priority)
        sender.send_nowait(self._tcb, value, sender.info(self._tcb, how), eof)

    # -- ending ------------------------------------------------------------------------------

    async def eof(self) -> None:
        """Start the graceful shutdown (gen_sctp ``eof/2``).

        What was sent is still delivered; what the peer sent can still be received.  It cannot send
        anything more when it has heard of the shutdown: SCTP has no half-close.  Returns when the
        stack has taken the request; `wait_ended` waits for the end.  Senders that wait for room
        get ``trio.ClosedResourceError``.  Waits for a half-open association to come up first.  Does
        nothing if the association has ended gracefully.

        Raises:
          AssociationLost: the association has ended in another way.

        Cancellation: the shutdown was not started.  Source: RFC 9260 section 9.2.
        """
        self._check()
        await self._socket.shut_down(self._tcb)

    def abort(self, reason: bytes = b"") -> None:
        """End the association at once; what is under way is lost (gen_sctp ``abort/2``).

        Does nothing if it has ended.

        Args:
          reason: Sent to the peer, where it is `AssociationEnd.reason`; at most 60,000 bytes.

        Source: RFC 9260 section 9.1, cause code 12 (user-initiated abort).
        """
        self._check()
        check_reason(reason)
        self._socket.abort(self._tcb, reason)

    async def wait_ended(self) -> AssociationEnd:
        """Wait until the association has ended, in whatever way.

        Needs no reader and takes no credit; any number of tasks may wait.  After your own `eof` it
        completes only if what the peer still sends fits into the buffers, or somebody receives it.

        Raises:
          trio.ClosedResourceError: the socket was closed before the end.

        Cancellation: nothing is changed.
        """
        return await self._tcb.wait_ended()

    async def wait_sent(self) -> None:
        """Wait until all that was sent is acknowledged by the peer's stack, or was given up.

        That the peer's program has read it does not follow.  Needs no reader and takes no credit;
        any number of tasks may wait.  What others send meanwhile may be waited for as well.

        Raises:
          AssociationLost: the association ended in any other way than gracefully.
          trio.ClosedResourceError: you aborted it, or the socket was closed before that.

        Cancellation: nothing is changed.  Source: RFC 6458 section 6.1.9 (SCTP_SENDER_DRY_EVENT).
        """
        self._check()
        await self._tcb.wait_sent()

    async def ping(self, address: Address | None = None) -> float:
        """Measure the round trip of one heartbeat.

        Calls for the same path share the heartbeat that is under way.  One that is lost counts as
        an error of the path, and the call goes on waiting, until the association ends.

        Args:
          address: One of the peer's addresses, ``(host, port)``; None means where messages go.

        Returns:
          Seconds.

        Raises:
          ValueError: the peer has no such address; nothing was sent.
          AssociationLost: the association has ended.
          OptionUnsupported: on the kernel stack, as Linux does not report the answer; `paths` has
            the round-trip time of each path as Linux smooths it.
          trio.ClosedResourceError: you ended it.

        Cancellation: nothing is changed, except that a heartbeat may have been sent.  Source: RFC
        9260 section 8.3.
        """
        self._check()
        if address is not None:
            check_address(address, "address")
        return await self._tcb.ping(address)

    # -- streams (RFC 6525) ------------------------------------------------------------------

    async def reset_streams(
        self,
        *,
        outgoing: Collection[int] | None = None,
        incoming: Collection[int] | None = None,
    ) -> None:
        """Have streams begin again at stream sequence number 0.

        A reset has its place in the order of messages: those that were sent before on the streams
        are delivered before, and those that are sent from now on wait until the peer has answered.
        Linux also holds back what is sent on other streams.  Either end gets a `StreamReset` event,
        if it subscribes to it.

        Requests for one association are made one after another, in the order of the calls.  With
        both directions, the incoming streams are asked for once the outgoing are reset.

        Args:
          outgoing: Some of our streams, numbers below `outbound_streams`; all are
            ``range(association.outbound_streams)``.
          incoming: Some of the peer's, numbers below `inbound_streams`.

        Raises:
          ValueError: no streams, one that does not exist, one twice, or more than 32,000 that are
            not all; nothing was sent.
          ReconfigurationFailed: the peer does not grant it, or could not do it.
          OptionUnsupported: the peer does not know RFC 6525, or ``net.sctp.reconf_enable`` is 0.
          AssociationLost: the association has ended.
          trio.ClosedResourceError: you ended it.

        Cancellation: the streams are not reset, unless the request is on its way to the peer; then
        it goes on, and a `StreamReset` event says what has come of it.

        Source: RFC 6525 sections 5 and 6.3.2.
        """
        self._check()
        await self._tcb.get_requests().reset_streams(outgoing, incoming)

    async def reset_association(self) -> None:
        """Have transmission sequence numbers and all streams of both directions begin again.

        Waits until all that was sent is acknowledged; what is sent from now on waits until the peer
        has answered.  Nothing is lost, unless the peer is a Linux kernel, which drops what it has
        queued.  Either end gets an `AssociationReset` event, if it subscribes to it.  The userland
        stack lets 30 seconds pass between two such requests, as packets of before may still be on
        their way.  If both ends ask at once, both requests fail.

        Errors and cancellation are those of `reset_streams`.

        Source: RFC 6525 sections 5.1.4, 5.2.4 and 6.3.3.
        """
        self._check()
        await self._tcb.get_requests().reset_association()

    async def add_streams(self, *, outgoing: int = 0, incoming: int = 0) -> None:
        """Have more streams: `outbound_streams` or `inbound_streams`, or both, grow.

        Either end gets a `StreamChange` event, if it subscribes to it.

        Args:
          outgoing: How many more of our streams.
          incoming: How many more of the peer's.

        Raises:
          ValueError: both are 0, or there would be more than 65,535; nothing was sent.

        Other errors, and cancellation, are those of `reset_streams`.

        Source: RFC 6525 sections 5.1.5, 5.1.6 and 6.3.4.
        """
        self._check()
        await self._tcb.get_requests().add_streams(outgoing, incoming)

    @contextlib.asynccontextmanager
    async def while_up(self, *, drain: bool = False) -> AsyncGenerator[None, None]:
        """Run a block for as long as the association lives.

        The block is cancelled at once when the association is lost, and `AssociationLost` is raised
        after it.  At a graceful end, records that are still to be taken hold the cancellation back
        until the receive call after the one that took the last of them, so that the last record is
        handled too; on a channel, that call raises the end itself.  Nothing is raised after that.

        If the block fails with nothing but this association's `AssociationLost`, in groups or not,
        that one error is raised, bare; so is a ``trio.ClosedResourceError`` after you closed or
        aborted the association.  The block's other exceptions pass unchanged.

        Args:
          drain: Let records that are still to be taken hold the cancellation back at a loss too.
            That protects the tasks that receive: a task beside them that sends has to catch
            `AssociationLost` itself, or its failure cancels them.

        Raises:
          AssociationLost: the association ended in any other way than gracefully.
          trio.ClosedResourceError: the socket was closed before the end.
          trio.BrokenResourceError: the stack has failed, or its block was left.
        """
        check_bool("drain", drain)
        tcb = self._tcb
        body = trio.CancelScope()
        unusable: trio.ClosedResourceError | trio.BrokenResourceError | None = None

        @enable_ki_protection
        async def watch() -> None:
            nonlocal unusable
            try:
                end = await tcb.wait_ended()
            except (trio.ClosedResourceError, trio.BrokenResourceError) as error:
                unusable = error
                body.cancel()
            else:
                if end.graceful or drain:
                    tcb.socket.queue.when_taken(tcb.id, body.cancel)
                else:
                    body.cancel()

        failure: BaseException | None = None
        try:
            async with background(watch, "trio_sctp while_up"):
                with body:
                    yield
        except BaseException as error:
            failure = _own_failure(error, tcb, unusable)
            if failure is None:
                raise
        finally:
            tcb.socket.queue.tell_no_more(tcb.id, body.cancel)
        if failure is None and body.cancelled_caught:
            assert unusable is not None or tcb.end is not None
            if unusable is not None:
                failure = unusable
            elif tcb.end is not None and not tcb.end.graceful:
                failure = tcb.lost_error()
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # breaks the cycle of its traceback and this frame

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc_type is None:
                await self._leave()
        except BaseException:
            self._leave_at_once()
            raise
        else:
            if exc_type is not None:
                self._leave_at_once()
                await trio.lowlevel.cancel_shielded_checkpoint()

    async def _leave(self) -> None:
        if self._tcb.socket is not self._socket or self._socket.closing:
            await trio.lowlevel.checkpoint()  # peeled off, or closed: its end is others' business
            return
        if self._tcb.end is None:
            await self.eof()
        await self.wait_ended()

    def _leave_at_once(self) -> None:
        if self._tcb.socket is self._socket:
            self._socket.abort(self._tcb, b"")


def _own_failure(
    error: BaseException, tcb: Tcb, unusable: BaseException | None
) -> BaseException | None:
    """Return the one error that says all that a block's failure says: its association is gone.

    None if the block has failed with anything else, or was only cancelled.
    """
    found: BaseException | None = None
    for one in leaves(error):
        if isinstance(one, trio.Cancelled):
            continue  # a program's scope would take it out of the group, and leave the group
        if isinstance(one, AssociationLost):
            own = one.association._tcb is tcb
        elif isinstance(one, trio.ClosedResourceError):
            own = tcb.closed_by_us or tcb.socket.closing
        else:
            own = isinstance(one, trio.BrokenResourceError) and unusable is not None
        if not own:
            return None
        found = found or one
    return found


def check_ends(eof: bool, abort: bool) -> bool:
    """Whether a message is an abort; refuse what is neither True nor False, and both at once."""
    if abort is eof is False:
        return False
    check_bool("eof", eof)
    check_bool("abort", abort)
    if eof and abort:
        raise ValueError("a message takes either eof= or abort=, not both")
    return abort


def check_reason(reason: bytes | bytearray | memoryview) -> None:
    """Refuse a reason that does not fit into an ABORT chunk."""
    check_bytes("the reason of an abort", reason)
    if len(reason) > 60000:
        raise ValueError(f"the reason of an abort must be at most 60000 bytes, not {len(reason)}")


def tcb_of(association: Association, socket: Socket) -> Tcb:
    """What is known of the association behind a handle, which has to be one of this socket's."""
    association._check()
    if association._socket is not socket:
        raise ValueError(f"{association!r} is not an association of this endpoint")
    return association._tcb


@final
@interrupted_at_checkpoints
class AssociationChannel(
    Association, trio.abc.SendChannel[bytes], trio.abc.ReceiveChannel[Message]
):
    """An association with its own socket, and hence its own queue.

    Made by `open_association`, `Listener.accept`, `Endpoint.peeloff` and `from_socket`.

    Leaving ``async with channel:`` closes it by `aclose`; leaving it by an exception or
    cancellation aborts the association.  ``async for message in channel:`` ends when the peer shuts
    down gracefully, and raises `AssociationLost` at any other end.
    """

    __slots__ = ()

    def __init__(self, tcb: Tcb) -> None:
        """Not for programs to call."""
        super().__init__(tcb)
        tcb.set_handle(self)

    def __del__(self) -> None:
        forgotten(self, getattr(self, "_socket", None))

    @classmethod
    def from_socket(
        cls, sock: object, *, max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE
    ) -> AssociationChannel:
        """Adopt a socket that carries one association: peeled off, or one-to-one and connected.

        Args:
          sock: A standard library socket, a pysctp socket, or a descriptor (an integer).  It
            belongs to the channel from here on, unless this raises.
          max_message_size: Bytes of the largest message that the peer may send.

        On a one-to-one socket (SOCK_STREAM) Linux sends no reason with an abort.

        Raises:
          ValueError: it is not an SCTP socket, or has no association, or more than one.
        """
        check_max_message_size(max_message_size)
        stack = choose_stack("kernel")
        raw = stack.adopt(sock, _check_one_association)
        return adopt_channel(stack, raw, max_message_size)

    def queue_statistics(self) -> SocketStatistics:
        """What the channel holds at this moment, and what has gone through it; for monitoring."""
        return self._socket.statistics()

    def detach(self) -> int:
        """Give the socket up, with its association, to another process.

        Pass the descriptor on (``pass_fds=`` of a new process, or ``socket.send_fds``), close it
        here, and let `from_socket` adopt it there.  The association notices nothing.

        Returns:
          The descriptor, which is yours from here on.  All calls on the channel now raise
          ``trio.ClosedResourceError``.

        Raises:
          trio.BusyResourceError: a task uses the channel, or messages were read and not taken, as
            `queue_statistics` shows; nothing changed.
          OptionUnsupported: only sockets of the kernel stack have descriptors; nothing changed.
          AssociationLost: the association has ended, and no longer has a socket.
        """
        self._check()
        try:
            return self._socket.detach()
        except OptionUnsupported:
            raise
        except OSError:
            raise self._tcb.lost_error() from None

    def _check_ended(self) -> None:
        """Raise, in the way in which the association ended, if it has, or if it is drained."""
        end = self._tcb.end
        if end is not None and not end.graceful:
            raise self._tcb.lost_error()
        if end is not None or self._socket.drained:
            raise trio.EndOfChannel

    async def receive(self) -> Message:
        """Receive the next message, waiting for it if need be.

        Events are dropped on the way, after they have served the association's state.  `active`
        shows them.

        Raises:
          trio.EndOfChannel: the association ended gracefully, or its listener is drained
            (`Listener.drain`), and all messages were taken.
          AssociationLost: it ended in another way and all messages were taken.
          trio.ClosedResourceError: you closed or aborted it.
          trio.BusyResourceError: another task receives, or active mode is on.

        Cancellation: no message was taken.
        """
        (message,) = await self._socket.receive(1, self._check_ended)
        return cast(Message, message)

    def receive_nowait(self) -> Message:
        """Take the next message if one is there (gen_sctp ``recv/2`` with a timeout of 0).

        Errors are those of `receive`, and:

        Raises:
          trio.WouldBlock: nothing has arrived.  On the userland stack a task of its own takes
            packets in, when yours waits for something.
        """
        return cast(Message, self._socket.receive_nowait(self._check_ended))

    async def receive_batch(self, limit: int = DEFAULT_BATCH) -> list[Message]:
        """Receive all messages that are there, at least one, for the price of one checkpoint.

        Args:
          limit: The most messages to receive, 1 or more.

        Raises and cancellation: as `receive`.
        """
        check_limit(limit)
        return cast("list[Message]", await self._socket.receive(limit, self._check_ended))

    def active(self, mode: Mode) -> contextlib.AbstractAsyncContextManager[Inbox]:
        """Deliver messages and events to an `Inbox` for the length of a block.

        Args:
          mode: Credit as an integer (gen_sctp ``{active, N}``), `ONCE`, or a `Window`.

        Raises:
          ValueError: the mode is out of range.
          trio.BusyResourceError: a task receives, or active mode is on already.
        """
        return open_inbox(self, self._socket, mode, self._check_ended)

    def events(self) -> contextlib.AbstractAsyncContextManager[EventChannel]:
        """Copy the association's events to a channel for the length of a block.

        ``async with channel.events() as events:`` gives a ``trio.abc.ReceiveChannel`` of the events
        that are subscribed to and taken in from then on.  They take no credit, and neither
        `receive` nor an inbox notices; of several blocks each gets all.  A message of ours that
        fails with the association comes before the `AssociationChange` of its end, after which
        ``receive`` raises ``trio.EndOfChannel``, however it ended.

        At most 64 events of 1 MiB together wait to be taken: the oldest give way, and are counted
        in ``events.dropped``.  The block reads ahead as far as the queue has room; behind unread
        messages that fill it, events wait for somebody to receive these.

        Source: RFC 6458 section 6.1; `EventSubscription` says which events there are.
        """
        return open_events(self)

    def payloads(self, stream: int = 0, ppid: int = 0) -> trio.abc.Channel[bytes]:
        """The channel as one of payloads alone, for code that takes a ``trio.abc.Channel[bytes]``.

        Closing it closes the association.

        Args:
          stream: The outbound stream to send on.  Receiving takes the messages of all streams.
          ppid: The payload protocol identifier to send with.

        Raises:
          ValueError: there is no such stream, or the ppid is out of range.
          trio.ClosedResourceError: you closed or aborted the channel.
        """
        return PayloadChannel(self, stream, ppid)

    def as_stream(self, stream: int = 0, ppid: int = 0) -> trio.abc.Stream:
        """The channel as a stream of bytes, for code that takes a ``trio.abc.Stream``.

        It sends in messages of at most 16 KiB, in order, and gives none of them up, whatever
        `DefaultSendParams` says.  The peer has to send on one stream, in order: messages are joined
        as they come.  There is no way to close one direction alone, and closing the stream closes
        the association.

        Args:
          stream: The outbound stream to send on.  Receiving takes the messages of all streams.
          ppid: The payload protocol identifier to send with.

        Raises:
          ValueError: there is no such stream, or the ppid is out of range.
          trio.ClosedResourceError: you closed or aborted the channel.
        """
        return ByteStream(self, stream, ppid)

    def abort(self, reason: bytes = b"") -> None:
        """End the association at once and close its socket; see `Association.abort`.

        Everybody blocked in the channel wakes with ``trio.ClosedResourceError``, except in
        `Association.wait_ended`, which returns the end.
        """
        check_reason(reason)
        self._socket.abort_and_release(self._tcb, reason)

    async def aclose(self) -> None:
        """End the association gracefully and close its socket.

        Waits until the peer has acknowledged everything; what the peer still sends is discarded.

        Cancellation: the socket is closed all the same; the stack goes on with the shutdown in the
        background.
        """
        await self._socket.aclose()

    async def _leave(self) -> None:
        await self._socket.aclose(abort_if_cancelled=True)

    def _leave_at_once(self) -> None:
        self.abort()


def _check_one_association(raw: StackSocket) -> None:
    count = len(raw.association_ids())
    # One that has ended may have left something to receive.
    if count != 1 and not (count == 0 and raw.has_unread()):
        raise ValueError(f"a channel needs a socket with one association, not {count}")


def adopt_channel(stack: Stack, raw: StackSocket, max_message_size: int) -> AssociationChannel:
    """The channel of a stack's socket that already carries one association."""
    socket = Socket(stack, raw, Role.CHANNEL, max_message_size, Association)
    try:
        adopt(socket)
        tcbs = list(socket.tcbs.values())
        if not tcbs and (ended := adopt_ended(socket)):
            tcbs = [ended]
        if not tcbs:
            raise ValueError("the association has ended and left nothing")
    except BaseException:
        socket.release(abort=False)
        raise
    return AssociationChannel(tcbs[0])


@enable_ki_protection
async def open_association(
    hosts: Hosts,
    port: Port,
    *,
    local_hosts: Hosts = (),
    local_port: Port = 0,
    options: Sequence[Option] = (),
    attempt_delay: float = DEFAULT_ATTEMPT_DELAY,
    max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
    stack: Stack | str | None = None,
) -> AssociationChannel:
    """Connect to one peer.

    If a name has several addresses, they race: the first one to come up wins.  Each attempt has a
    socket of its own, so that with ``local_port`` they have to follow each other.  A loser that
    came up in the same moment is aborted: its peer may see it come and go.  Of others nothing is
    left.

    Args:
      hosts: The peer's name or address, or a list of addresses of one multi-homed peer.
      port: The peer's port, 1 to 65535, or the name of a service.
      local_hosts: Addresses to bind; none means any.
      local_port: Port to bind, or the name of a service; 0 means any.
      options: Set before the association is started; those that name the peer's addresses, along
        with it.
      attempt_delay: Seconds after which the next address of a name is tried as well, 0 or more; it
        is tried at once when one fails.  ``math.inf`` tries one after the other.
      max_message_size: Bytes of the largest message that the peer may send; the association is
        aborted if it sends a larger one.
      stack: See `stacks`.

    Returns:
      An `AssociationChannel` that is up.

    Raises:
      ConnectFailed: ``ECONNREFUSED`` or ``ETIMEDOUT``.  If all addresses of a name have failed, it
        is the last one's, and its cause is an ``ExceptionGroup`` of all.
      OSError: a host name is not known, a local address or port cannot be bound, or there is no
        route to the peer.
      ValueError: an argument is out of range.
      StackUnavailable: see `stacks`.

    Cancellation: all half-open associations are aborted; nothing is left.  Source: RFC 6458 section
    9.9; gen_sctp ``connect/5`` and ``peeloff/2`` in one; RFC 8305.
    """
    check_max_message_size(max_message_size)
    check_attempt_delay(attempt_delay)
    chosen = choose_stack(stack)
    check_options(options)
    candidates = await resolve_peer(hosts, port, chosen)
    bound = await resolve_port(local_port, lowest=0)
    local = await resolve_local(local_hosts, bound, chosen, "local_hosts")
    await trio.lowlevel.checkpoint_if_cancelled()
    attempts = [
        partial(_connect, chosen, addresses, local, bound, options, max_message_size)
        for addresses in candidates
    ]
    return await race(attempts, inf if bound else attempt_delay, AssociationChannel.abort)


async def _connect(
    stack: Stack,
    addresses: Sequence[Address],
    local: Sequence[Address],
    local_port: int,
    options: Sequence[Option],
    max_message_size: int,
) -> AssociationChannel:
    """Start the association on a one-to-many socket, and give it its own socket before it is up.

    Its own socket tells why it could not be set up, and closing that leaves nothing behind.
    """
    of_the_peer = [option for option in options if needs_peer(option)]
    parent = open_socket(
        stack,
        local,
        local_port,
        role=Role.ENDPOINT,
        ipv6=any(map(is_ipv6, (*addresses, *local))),
        options=[option for option in options if option not in of_the_peer],
        max_message_size=max_message_size,
        make_handle=Association,
    )
    try:
        tcb = parent.start_association(addresses, of_the_peer, private=True)
        try:
            own = parent.move(tcb, parent.raw.peel_off(tcb.id))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            parent.intake.read_ahead()  # refused, before we could look
            await trio.lowlevel.checkpoint()
            raise connect_failed(errno.ECONNREFUSED, addresses, stack, tcb) from None
    finally:
        parent.release(abort=True)
    try:
        await tcb.wait_set_up()
    except BaseException:
        own.release(abort=True)
        raise
    if tcb.phase is Phase.FAILED:
        number = own.raw.pending_error() or errno.ECONNREFUSED
        own.release(abort=True)
        raise connect_failed(number, addresses, stack, tcb)
    return AssociationChannel(tcb)
