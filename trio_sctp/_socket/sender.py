"""Sending on a socket: what is refused, and which task has its turn.

The senders of one association queue in order.  On the userland stack the first of them waits until
the association has room.  A socket of the kernel has one buffer for all its associations: of those
whose next message it cannot take, one waits for the stack and the others wait for that one; each
wakes the next.  A message with a priority is tried first: it may take the room of others.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import trio

from .._checks import check_address, check_bytes, check_numbers, check_policy
from .._errors import ASSOCIATION_GONE, OptionUnsupported
from .._options import DefaultSendParams
from .._values import Address, SendInfo
from .tcb import Phase, Tcb

if TYPE_CHECKING:
    from .socket import Socket

R = TypeVar("R")

_SEND_RETRY = 0.05
"""Seconds after which blocked senders try again unasked: the kernel tells nobody that a blocked
association is gone, nor, with net.sctp.sndbuf_policy=1, that one of several has room."""

_RETRY_PER_SENDER = 0.001
"""Seconds to add for each blocked sender: the more there are, the less often all of them try."""

_NOBODY = trio.lowlevel.ParkingLot()
"""Where nobody waits: the senders of a stack whose associations have room of their own."""

ANY_STREAM = 2**16
"""Streams to reckon with while an association is half-open: the peer may grant that many."""

NO_DEFAULTS = SendInfo(0, 0, False, 0, 0)
"""How to send without any `DefaultSendParams`: in order, and without being given up."""

How: TypeAlias = tuple[
    int | None,
    int | None,
    bool | None,
    int | None,
    int | None,
    Address | None,
    int | None,
    int | None,
]
"""The arguments of ``send`` that say how, in the order of the fields of `SendInfo`."""

NOTHING_GIVEN: How = (None, None, None, None, None, None, None, None)


def fill(default: SendInfo, how: How, streams: int) -> SendInfo:
    """Look at the arguments of ``send``, and take from ``default`` what is None.

    ``streams`` is the number of outbound streams, 0 while it is not known.  A policy that is given
    replaces the default one, whichever that is.
    """
    stream, ppid, unordered, context, lifetime, address, retransmissions, priority = how
    if address is not None:
        check_address(address, "address")
    check_numbers(stream, ppid, unordered, context, streams or ANY_STREAM)
    if lifetime is retransmissions is priority is None:
        lifetime, retransmissions, priority = default[4], default[6], default[7]
    else:
        check_policy(lifetime, retransmissions, priority)
    return SendInfo(
        default[0] if stream is None else stream,
        default[1] if ppid is None else ppid,
        default[2] if unordered is None else unordered,
        default[3] if context is None else context,
        lifetime or 0,
        address,
        retransmissions,
        priority,
    )


class Sender:
    """The sending half of a socket."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self.sent: int = 0  # messages
        self.sent_octets: int = 0  # their payload
        self._max_send: tuple[int, str] | None = None
        self._writer: trio.CancelScope | None = None
        self._blocked = trio.lowlevel.ParkingLot() if socket.raw.room_is_shared else _NOBODY

    def forget_size(self) -> None:
        """Ask the stack anew how large a message may be; an option may have changed that."""
        self._max_send = None

    def max_send_size(self) -> int:
        """Bytes of the largest message that can be sent."""
        self._socket.check_not_released()
        return self._socket.raw.max_send_size()[0]

    def size_limit(self) -> tuple[int, str]:
        """`max_send_size`, and how to raise it; the stack is asked once, as asking takes longer
        than sending."""
        if self._max_send is None:
            self._max_send = self._socket.raw.max_send_size()
        return self._max_send

    def info(self, tcb: Tcb, how: How) -> SendInfo:
        """How to send a message: what is None is as in the association's defaults."""
        default = tcb.default_send
        if default is None:
            self.check_alive(tcb)
            try:
                default = tcb.default_send = self.default_info(tcb.id)
            except OSError:
                default = NO_DEFAULTS  # the association is gone, as sending will find out
        return default if how == NOTHING_GIVEN else fill(default, how, tcb.outbound_streams)

    def default_info(self, association_id: int | None) -> SendInfo:
        """The `DefaultSendParams` of an association, or of those to come."""
        default = self._socket.raw.get_option(DefaultSendParams, association_id)
        return SendInfo(
            default.stream or 0,
            default.ppid or 0,
            default.unordered or False,
            default.context or 0,
            default.lifetime or 0,
            None,
            default.retransmissions,
            default.priority,
        )

    def check(
        self,
        value: bytes | bytearray | memoryview,
        info: SendInfo,
        streams: int,
        association_id: int | None,
    ) -> int:
        """Refuse what cannot be sent, before anything is sent; return the message's size."""
        if type(value) is bytes:
            size = len(value)
        else:
            check_bytes("a message", value)
            if isinstance(value, memoryview):
                if not value.contiguous:
                    raise ValueError("a message must be contiguous bytes, unlike this memoryview")
                size = value.nbytes
            else:
                size = len(value)
        if size == 0:
            raise ValueError("a message cannot be empty: SCTP has no DATA chunk without data")
        largest, remedy = self._max_send or self.size_limit()
        if size > largest:
            raise ValueError(
                f"a message of {size} bytes is larger than the {largest} bytes of the send "
                f"buffer: {remedy}"
            )
        stream = info[0]
        if not 0 <= stream < streams:
            whose = "the new one" if association_id is None else association_id
            raise ValueError(
                f"there is no outbound stream {stream!r}: association {whose} has {streams}, from 0"
            )
        return size

    def _check_sendable(
        self, tcb: Tcb, value: bytes | bytearray | memoryview, info: SendInfo
    ) -> int:
        """Refuse what cannot be sent on an association; return the message's size."""
        if tcb.closed_by_us or tcb.end is not None or self._socket.closing:
            self.check_alive(tcb)
        streams = tcb.outbound_streams or ANY_STREAM
        if type(value) is bytes and self._max_send is not None:
            size = len(value)
            if 0 < size <= self._max_send[0] and 0 <= info[0] < streams:
                return size  # as with nearly every message, without a further call
        if streams <= info[0] < ANY_STREAM:
            self._socket.learn_streams(tcb)
            streams = tcb.outbound_streams
        return self.check(value, info, streams, tcb.id)

    def check_alive(self, tcb: Tcb) -> None:
        """Raise if nothing can be sent on an association any more."""
        if tcb.closed_by_us:
            raise trio.ClosedResourceError(
                f"association {tcb.id} was closed here: nothing can be sent on it"
            )
        if tcb.end is not None:
            raise tcb.lost_error()
        self._socket.check_open()

    def _send_now(
        self,
        tcb: Tcb,
        value: bytes | bytearray | memoryview,
        size: int,
        info: SendInfo,
        eof: bool,
    ) -> None:
        """Hand a message that may be sent to the stack; BlockingIOError if it has no room."""
        try:
            self._socket.raw.send(value, tcb.id, info)
        except BlockingIOError:
            raise
        except OSError as error:
            raise self._send_error(error, tcb, info) from None
        self.sent += 1
        self.sent_octets += size
        if eof:
            self._socket.start_shutdown(tcb)

    def _send_error(self, error: OSError, tcb: Tcb, info: SendInfo) -> Exception:
        """The error to raise for a message that the stack refused."""
        if isinstance(error, OptionUnsupported):
            return error
        if error.errno in ASSOCIATION_GONE:
            # Say how it ended, if its end is within reach.
            self._socket.intake.read_ahead()
            if tcb.end is None:
                self._socket.intake.poll_state(tcb)
            return tcb.lost_error()
        if error.errno == errno.EMSGSIZE:
            return ValueError(f"the message is too large to be sent now: {error}")
        if error.errno == errno.EINVAL:
            return ValueError(
                f"the stack refuses the message: does association {tcb.id} have an outbound "
                f"stream {info.stream}?"
            )
        return error

    async def send(
        self,
        tcb: Tcb,
        value: bytes | bytearray | memoryview,
        info: SendInfo,
        eof: bool = False,
    ) -> None:
        """Send one message, after those of other tasks that wait for the same association."""
        size = self._check_sendable(tcb, value, info)
        await trio.lowlevel.checkpoint_if_cancelled()
        sender = self
        if eof and tcb.phase is Phase.HALF_OPEN:
            await tcb.wait_set_up()  # see Socket.shut_down
            sender = tcb.socket.sender
            sender.check_alive(tcb)
        if tcb.send_lock is None or not tcb.send_lock.locked() or info.priority is not None:
            try:
                sender._send_now(tcb, value, size, info, eof)
            except BlockingIOError:
                pass
            else:
                await trio.lowlevel.cancel_shielded_checkpoint()
                return
        if tcb.send_lock is None:
            tcb.send_lock = trio.StrictFIFOLock()
        async with tcb.send_lock:
            try:
                while True:
                    sender = tcb.socket.sender  # another, if it was peeled off meanwhile
                    sender.check_alive(tcb)
                    try:
                        sender._send_now(tcb, value, size, info, eof)
                    except BlockingIOError:
                        await sender.wait_for_room(tcb)
                    else:
                        return
            finally:
                # There may be room for the next one: it tries, or waits for the stack as we did.
                sender._blocked.unpark()

    def send_nowait(
        self,
        tcb: Tcb,
        value: bytes | bytearray | memoryview,
        info: SendInfo,
        eof: bool = False,
    ) -> None:
        """Send one message without waiting, or raise `trio.WouldBlock`."""
        size = self._check_sendable(tcb, value, info)
        if eof and tcb.phase is Phase.HALF_OPEN:
            raise trio.WouldBlock
        if tcb.send_lock is not None and tcb.send_lock.locked() and info.priority is None:
            raise trio.WouldBlock
        try:
            self._send_now(tcb, value, size, info, eof)
        except BlockingIOError:
            raise trio.WouldBlock from None

    async def in_turn(self, tcb: Tcb, action: Callable[[], R]) -> R:
        """Call this once all that was sent before is no longer queued, and nothing comes between.

        Args:
          tcb: The association.
          action: Raises BlockingIOError as long as something is queued.
        """
        if tcb.send_lock is None:
            tcb.send_lock = trio.StrictFIFOLock()
        async with tcb.send_lock:
            sender = self
            try:
                while True:
                    sender = tcb.socket.sender  # another, if it was peeled off meanwhile
                    sender.check_alive(tcb)
                    try:
                        return action()
                    except BlockingIOError:
                        await tcb.wait_sent()
            finally:
                sender._blocked.unpark()

    async def wait_might_not_block(self, tcb: Tcb) -> None:
        """Wait until a message would be taken, after those of other tasks; send nothing."""
        if tcb.send_lock is None:
            tcb.send_lock = trio.StrictFIFOLock()
        async with tcb.send_lock:
            sender = self
            try:
                while not await sender.wait_for_room(tcb):
                    sender = tcb.socket.sender  # another, if it was peeled off meanwhile
                    sender.check_alive(tcb)
            finally:
                sender._blocked.unpark()

    async def wait_for_room(self, tcb: Tcb) -> bool:
        """Wait until a message may be taken on an association.

        Returns whether the stack says so; else it is only time to look again.
        """
        if not self._socket.raw.room_is_shared:
            with trio.CancelScope() as tcb.room_wait:
                try:
                    await self._socket.raw.wait_writable(tcb.id)
                    return True
                except trio.ClosedResourceError:
                    pass  # the next try says so
                finally:
                    tcb.room_wait = None
            return False
        if self._writer is not None:
            await self._blocked.park()
            return False
        retry_after = _SEND_RETRY + _RETRY_PER_SENDER * len(self._blocked)
        with trio.move_on_after(retry_after) as self._writer:
            try:
                await self._socket.raw.wait_writable(None)
                return True
            except trio.ClosedResourceError:
                return False  # the next try says so
            finally:
                self._writer = None
        self._blocked.unpark_all()
        return False

    def waiting(self) -> int:
        """How many tasks wait to send."""
        locks = [tcb.send_lock for tcb in self._socket.tcbs.values() if tcb.send_lock]
        return sum(lock.locked() + lock.statistics().tasks_waiting for lock in locks)

    def retry(self, *tcbs: Tcb) -> None:
        """Let blocked senders try again: these associations, or the socket, have changed."""
        for tcb in tcbs:
            if tcb.room_wait is not None:
                tcb.room_wait.cancel()
        if self._writer is not None:
            self._writer.cancel()
        self._blocked.unpark_all()
