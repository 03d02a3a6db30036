"""One SCTP socket under Trio: the associations on it, and the parts that it is made of.

`Endpoint`, `Association`, `AssociationChannel`, `Listener` and `Inbox` are faces of this module.
Its rules:

1. Each socket has one ordered queue, and no record is ever lost on its way through it (`queue`).
2. One task at a time reads, for all who wait (`reader`).  A task that waits only for the state of
   an association reads ahead no further than the store has room; behind a full store it asks the
   stack for the state instead.
3. What arrives changes the states of associations before it is queued (`intake`).
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import trio

from .._errors import ASSOCIATION_GONE, AlreadyAssociated, ConnectFailed, OptionUnsupported
from .._frozen import Frozen, frozen
from .._log import transport
from .._options import (
    DEFAULT_EVENTS,
    EncapsulationPort,
    EventSubscription,
    Option,
    event_types,
)
from .._stack import Stack, StackSocket
from .._values import (
    USER_INITIATED_ABORT,
    Address,
    AssociationEnd,
    AssociationState,
    ReconfigurationRequest,
    Record,
)
from . import journal
from .intake import Intake, mark_as_reported, with_needed_events
from .queue import Queue, Role
from .reader import Reader
from .requests import not_asked
from .sender import Sender
from .settings import Settings
from .tcb import Phase, Tcb
from .waiter import Waiter

if TYPE_CHECKING:
    from .._association import Association

_LAST_READS = 1000
"""Bound on the batches that a cancelled close discards, for peers that outpace it."""


@frozen(kw_only=True)
class SocketStatistics(Frozen):
    """What an endpoint or channel holds at this moment, and what has gone through it.

    Attributes:
      associations: Associations, half-open ones included.
      buffered_records: Records received and not yet taken, except those in an inbox.
      buffered_bytes: Their payload, and that of messages that have only arrived in part.
      credit: Credit of the open inbox; None in passive mode.
      tasks_waiting_send: Tasks whose ``send`` waits for room.
      messages_received, octets_received: Whole messages read from the stack, and their payload
        (gen_sctp ``recv_cnt`` and ``recv_oct``, which count events too).
      messages_sent, octets_sent: Messages that the stack took, and their payload (gen_sctp
        ``send_cnt`` and ``send_oct``).
    """

    associations: int
    buffered_records: int
    buffered_bytes: int
    credit: int | None
    tasks_waiting_send: int
    messages_received: int
    octets_received: int
    messages_sent: int
    octets_sent: int


class Socket:
    """One socket of a stack, with its queue, its associations and everybody who waits for them."""

    def __init__(
        self,
        stack: Stack,
        raw: StackSocket,
        role: Role,
        max_message_size: int,
        make_handle: Callable[[Tcb], Association],
    ) -> None:
        self.stack: Stack = stack
        self.raw: StackSocket = raw
        self.role: Role = role
        self.make_handle = make_handle  # makes the object by which a program knows an association
        self.token: trio.lowlevel.TrioToken | None = _token()
        self.tcbs: dict[int, Tcb] = {}
        self.closing: bool = False  # aclose has begun: arrivals are discarded
        self.drained: bool = False  # so are messages: the program takes what had arrived, no more
        self.released: bool = False  # and the stack's socket is gone, too
        self.subscription: EventSubscription = DEFAULT_EVENTS
        self.queue: Queue = Queue(role)
        self.intake: Intake = Intake(self, max_message_size)
        self.reader: Reader = Reader(self)
        self.sender: Sender = Sender(self)
        self.settings: Settings = Settings(self)

    # -- using -------------------------------------------------------------------------------

    def check_open(self) -> None:
        """Refuse to use a socket that is being closed, or was."""
        if self.closing:
            raise trio.ClosedResourceError("this SCTP socket was closed")

    def check_not_released(self) -> None:
        """Refuse to use a socket that is gone; one that is being closed still has its uses."""
        if self.released:
            raise trio.ClosedResourceError("this SCTP socket was closed")

    def whereabouts(self) -> str:
        """Where the socket is bound, for its object's ``repr``."""
        if self.released:
            return "closed"
        try:
            first, *more = self.raw.local_addresses(None)
        except (OSError, ValueError):
            return "of no address"
        return transport(first) + (f" and {len(more)} more" if more else "")

    @property
    def nothing_to_come(self) -> bool:
        """Whether no record will be queued any more."""
        return self.closing or (self.role is Role.CHANNEL and not self.tcbs)

    async def receive(self, limit: int, ended: Callable[[], None]) -> list[Record]:
        """Take at least one record, up to ``limit``; ``ended`` raises if none can come any more."""
        if self.closing:
            self.check_open()
        queue = self.queue
        waiter = queue.begin_receive()
        if queue.to_tell:
            queue.begin_receive_call()
        try:
            if not queue.store:
                self.intake.read()
            if queue.has_some():
                await trio.lowlevel.checkpoint()
            while True:
                if self.closing:
                    self.check_open()
                if records := queue.take(limit):
                    return records
                ended()
                await self.reader.wait(waiter)
        finally:
            queue.receiver = None

    def receive_nowait(self, ended: Callable[[], None]) -> Record:
        """Take a record that is there, or raise `trio.WouldBlock`, or what ``ended`` raises."""
        self.check_open()
        queue = self.queue
        queue.check_may_receive()
        queue.begin_receive_call()
        if not queue.has_some():
            self.intake.read()
        if records := queue.take(1):
            return records[0]
        ended()
        raise trio.WouldBlock

    def subscribe(self, subscription: EventSubscription, tcb: Tcb | None) -> None:
        """Deliver these events of one association, or of all that have no choice of their own."""
        self.raw.subscribe(with_needed_events(subscription), None if tcb is None else tcb.id)
        if tcb is not None:
            tcb.subscription = subscription
            tcb.delivered = event_types(subscription)
            self._ask_again(tcb)
            return
        self.subscription = subscription
        self.intake.delivered = event_types(subscription)
        for other in self.tcbs.values():
            if other.subscription is not None:
                self.subscribe(other.subscription, other)  # the stack has set it for all
            else:
                self._ask_again(other)

    # -- whether all that was sent is acknowledged --------------------------------------------

    def ask_whether_dry(self, tcb: Tcb) -> None:
        """Have the stack say when all that was sent on an association is acknowledged.

        A program that wants to see that as well sees it no more often for that.
        """
        if self._shows_dry(tcb):
            self.intake.note_if_dry(tcb)
            return
        with contextlib.suppress(OSError):  # it has ended, as will be read
            self.raw.report_dry(tcb.id, True)

    def _ask_again(self, tcb: Tcb) -> None:
        if tcb.dry_waits:
            self.ask_whether_dry(tcb)

    def ask_no_more(self, tcb: Tcb) -> None:
        """Undo `ask_whether_dry`: nobody waits for it any more."""
        if tcb.end is None and not self.released and not self._shows_dry(tcb):
            with contextlib.suppress(OSError):
                self.raw.report_dry(tcb.id, False)

    def _shows_dry(self, tcb: Tcb) -> bool:
        return bool((tcb.subscription or self.subscription).sender_dry_event)

    def statistics(self) -> SocketStatistics:
        """What the socket holds at this moment, and what has gone through it."""
        queue = self.queue
        return SocketStatistics(
            associations=len(self.tcbs),
            buffered_records=len(queue.store),
            buffered_bytes=queue.buffered_bytes(),
            credit=None if queue.inbox is None else queue.inbox.credit,
            tasks_waiting_send=self.sender.waiting(),
            messages_received=self.intake.received,
            octets_received=self.intake.received_octets,
            messages_sent=self.sender.sent,
            octets_sent=self.sender.sent_octets,
        )

    def ping(
        self, tcb: Tcb, address: Address | None, answered: Callable[[float], None]
    ) -> Callable[[], None]:
        """Send a heartbeat to one of the peer's addresses; see `StackSocket.ping`."""
        try:
            if address is not None:
                known = self.raw.peer_addresses(tcb.id)
                if address[:2] not in [one[:2] for one in known]:
                    raise ValueError(f"{address!r} is none of the peer's addresses, {known!r}")
            return self.raw.ping(tcb.id, address, answered)
        except OptionUnsupported:
            raise
        except OSError:
            self.intake.read_to_end(tcb)  # it has ended, and says how
            raise tcb.lost_error() from None

    def reconfigure(
        self, tcb: Tcb, request: ReconfigurationRequest, answered: Callable[[int], None]
    ) -> Callable[[], bool]:
        """Ask the peer to reset or to add streams; see `StackSocket.reconfigure`."""
        try:
            return self.raw.reconfigure(tcb.id, request, answered)
        except BlockingIOError:
            raise
        except OSError as error:
            raise not_asked(error, tcb) from None

    def learn_streams(self, tcb: Tcb) -> None:
        """Ask the stack how many streams there are: the event that says so may be far behind."""
        with contextlib.suppress(OSError):  # the association has ended, as will be read
            status = self.raw.status(tcb.id)
            tcb.outbound_streams, tcb.inbound_streams = status.outstrms, status.instrms

    # -- associations begin ------------------------------------------------------------------

    def adopt_associations(self) -> None:
        """Learn of the associations that the stack's socket already has."""
        for id in self.raw.association_ids():
            if self.intake.find(id) is None:
                tcb = self.add_tcb(id)
                with contextlib.suppress(OSError):
                    mark_as_reported(tcb, self.raw.status(id))

    def add_tcb(self, id: int) -> Tcb:
        """Begin to keep what is known of an association."""
        tcb = self.tcbs[id] = Tcb(id, self)
        with contextlib.suppress(OSError, IndexError):  # it may have ended meanwhile
            tcb.peer = self.raw.peer_addresses(id)[0]
        return tcb

    def start_association(
        self, addresses: Sequence[Address], options: Sequence[Option], *, private: bool
    ) -> Tcb:
        """Send the INIT.  ``options`` hold for this association alone."""
        self.check_open()
        # The answer is dropped, and the INIT repeated after RTO.Initial, if the receive buffer is
        # full of others' messages.
        self.intake.read_ahead()
        with self.settings.temporarily(options, addresses) as set_later:
            timeout = self.settings.handshake_timeout()
            udp_port = self._peer_udp_port()
            try:
                id = self.raw.connect(addresses)
            except OSError as error:
                raise self._not_started(error, addresses) from None
        tcb = self.add_tcb(id)
        tcb.peer = tcb.peer or addresses[0]  # one that has refused at once tells nothing any more
        journal.connecting(tcb, addresses)
        tcb.private = private
        tcb.handshake_timeout = timeout
        tcb.udp_port = udp_port
        try:
            set_later(tcb)
        except BaseException:
            self.discard(tcb)
            raise
        return tcb

    def _peer_udp_port(self) -> int:
        """The UDP port that an INIT is sent to now, 0 if it is not sent in UDP."""
        if not self.stack.peer_udp_port:
            return 0
        try:
            return self.raw.get_option(EncapsulationPort, None).port
        except OSError:  # a stack that has no such option
            return self.stack.peer_udp_port

    def _not_started(self, error: OSError, addresses: Sequence[Address]) -> OSError:
        """The error for an INIT that the stack does not send."""
        peer = _named(addresses)
        if error.errno not in (errno.EISCONN, errno.EALREADY):
            if isinstance(error, OptionUnsupported):
                return error
            return OSError(error.errno, f"cannot associate with {peer}: {error.strerror}")
        found = [id for one in addresses if (id := self.raw.association_at(one)) is not None]
        if not found:
            text = f"an association with {peer} was peeled off: use its AssociationChannel"
        elif error.errno == errno.EALREADY:
            text = f"association {found[0]} with {peer} is being set up: use association_at"
        else:
            text = f"there is an association with {peer} already, {found[0]}: use association_at"
        return AlreadyAssociated(error.errno, text)

    async def connect(self, addresses: Sequence[Address], options: Sequence[Option]) -> Tcb:
        """Set up an association, or leave nothing of it."""
        await trio.lowlevel.checkpoint_if_cancelled()
        started = trio.current_time()
        tcb = self.start_association(addresses, options, private=True)
        try:
            await tcb.wait_set_up()
        except BaseException:
            self.discard(tcb)
            raise
        if tcb.phase is Phase.FAILED:
            self.check_open()
            raise refused_or_silent(tcb, addresses, trio.current_time() - started)
        return tcb

    # -- associations move -------------------------------------------------------------------

    def peel_off(self, tcb: Tcb) -> Socket:
        """Give an association its own socket, hence queue, with all of its records in ours."""
        self.check_open()
        try:
            raw = self.raw.peel_off(tcb.id)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self.intake.read_to_end(tcb)
            raise tcb.lost_error() from None
        return self.move(tcb, raw)

    def move(self, tcb: Tcb, raw: StackSocket) -> Socket:
        """Move an association, its records and all who wait for it to a new socket."""
        size = self.intake.max_message_size
        other = Socket(self.stack, raw, Role.CHANNEL, size, self.make_handle)
        other.subscription = tcb.subscription or self.subscription
        other.intake.delivered = event_types(other.subscription)
        self.queue.move(tcb.id, other.queue)
        self.intake.move(tcb.id, other.intake)
        self.tcbs.pop(tcb.id, None)
        if tcb.end is None:
            other.tcbs[tcb.id] = tcb
        tcb.socket = other
        tcb.subscription = tcb.delivered = None
        tcb.wake()
        self.sender.retry(tcb)
        return other

    # -- associations end --------------------------------------------------------------------

    def drain(self) -> None:
        """Let the program take the messages that have arrived by now, and no more of them."""
        if self.closing or self.drained:
            return
        self.intake.read_arrived()
        self.drained = True
        self.queue.partials.clear()
        self.queue.wake_all()

    def cut_off(self, tcb: Tcb, cause: int, reason: bytes) -> None:
        """Abort an association under its program, which takes it for lost."""
        tcb.our_abort = (cause, reason)
        with contextlib.suppress(OSError):
            self.raw.abort(tcb.id, reason)
        if self.raw.one_to_one:
            self.end(tcb, AssociationState.COMM_LOST, cause, reason)

    def cut_off_all(self) -> None:
        """Abort whatever has not ended yet under the programs that hold it."""
        for tcb in list(self.tcbs.values()):
            if tcb.our_abort is None and not self.released:
                self.cut_off(tcb, USER_INITIATED_ABORT, b"")
                self.intake.read_to_end(tcb)
            if tcb.end is None:
                self.end(tcb, AssociationState.COMM_LOST, USER_INITIATED_ABORT, b"")

    async def shut_down(self, tcb: Tcb) -> None:
        """Start the graceful end of an association; a half-open one is awaited first."""
        await trio.lowlevel.checkpoint_if_cancelled()
        # Linux deletes a half-open association at EOF, without a word to anybody.
        await tcb.wait_set_up()
        tcb.socket.check_open()
        if tcb.end is None:
            tcb.socket.start_shutdown(tcb)
        else:
            tcb.check_graceful(tcb.end)
        await trio.lowlevel.cancel_shielded_checkpoint()

    def start_shutdown(self, tcb: Tcb) -> None:
        """Start the graceful end of an association that is up; abort a half-open one."""
        tcb.mark_closed()
        try:
            if tcb.phase is Phase.UP:
                self.raw.shutdown(tcb.id)
            else:
                tcb.our_abort = (USER_INITIATED_ABORT, b"")
                self.raw.abort(tcb.id, b"")
        except OSError as error:
            if error.errno not in ASSOCIATION_GONE and error.errno != errno.EINVAL:
                raise
        self.sender.retry(tcb)

    def abort(self, tcb: Tcb, reason: bytes) -> None:
        """End an association at once."""
        if tcb.end is not None or tcb.our_abort is not None or self.released:
            return
        tcb.mark_closed()
        tcb.our_abort = (USER_INITIATED_ABORT, reason)
        with contextlib.suppress(OSError):
            self.raw.abort(tcb.id, reason)
        self.sender.retry(tcb)

    def abort_and_release(self, tcb: Tcb, reason: bytes) -> None:
        """End the one association of this socket at once, and give the socket up."""
        if self.released:
            return
        self.abort(tcb, reason)
        self.intake.read_to_end(tcb)
        if tcb.end is None:
            self.end(tcb, AssociationState.COMM_LOST, USER_INITIATED_ABORT, reason)
        self.release(abort=True)

    def discard(self, tcb: Tcb, reason: bytes = b"") -> None:
        """Abort an association and keep every trace of it from the program."""
        if tcb.end is not None or self.released:
            return
        self.tcbs.pop(tcb.id, None)
        self.intake.discarded[tcb.id] = tcb
        tcb.closed_by_us = True
        tcb.our_abort = (USER_INITIATED_ABORT, reason)
        if tcb.phase is Phase.HALF_OPEN:
            journal.given_up(tcb)
        self.queue.extract(tcb.id)
        self.queue.partials.pop(tcb.id, None)
        with contextlib.suppress(OSError):
            self.raw.abort(tcb.id, reason)
        self.intake.read_ahead()

    def end(self, tcb: Tcb, state: AssociationState, cause: int, reason: bytes) -> None:
        """Make known to everybody that an association has ended, and how."""
        end = AssociationEnd(
            association_id=tcb.id,
            state=state,
            cause=cause,
            reason=reason,
            undelivered=tuple(tcb.undelivered),
        )
        self.tcbs.pop(tcb.id, None)
        self.intake.forget(tcb.id)
        journal.ended(tcb, end)
        tcb.mark_ended(end)
        self.sender.retry(tcb)
        if self.role is Role.CHANNEL:
            self.queue.wake_all()

    # -- closing -----------------------------------------------------------------------------

    def _begin_close(self) -> None:
        """Discard arrivals from here on, and end everybody's calls."""
        self.closing = True
        self.queue.close()
        for tcb in list(self.tcbs.values()):
            tcb.wake()
        self.sender.retry(*self.tcbs.values())

    async def aclose(self, *, abort_if_cancelled: bool = False) -> None:
        """End every association gracefully, then give the socket up."""
        if self.released:
            await trio.lowlevel.checkpoint()
            return
        try:
            await self._aclose(abort_if_cancelled)
        except trio.BrokenResourceError:
            await trio.lowlevel.cancel_shielded_checkpoint()  # the stack has ended, and it with it
        finally:
            self.release(abort=True)

    async def _aclose(self, abort: bool) -> None:
        first = not self.closing
        linger = self.settings.linger_seconds()
        if linger == 0:
            self._abort_all()
            await trio.lowlevel.checkpoint()
            return
        try:
            if first:
                self._begin_close()
                with contextlib.suppress(OSError):
                    self.raw.listen(0)
                for tcb in list(self.tcbs.values()):
                    self.start_shutdown(tcb)
            await trio.lowlevel.checkpoint()
            with trio.move_on_after(linger):
                while self.tcbs and not self.released:
                    await self._wait_for_an_end()
            abort = False
        finally:
            if not self.released:
                # What is still unread would make Linux abort every association.
                for _ in range(_LAST_READS):
                    if not self.intake.read():
                        break
                self.release(abort=abort)

    def _abort_all(self) -> None:
        """End every association at once, then give the socket up."""
        for tcb in list(self.tcbs.values()):
            self.abort(tcb, b"")
        self._begin_close()
        while self.tcbs and self.intake.read():
            pass
        self.release(abort=True)

    async def _wait_for_an_end(self) -> None:
        """Read, and so discard, what arrives, until one of the associations may have ended."""
        waiter = Waiter(state_only=False)
        tcb = next(iter(self.tcbs.values()))
        tcb.waiters[waiter] = None
        try:
            await self.reader.wait(waiter)
        except trio.ClosedResourceError:
            pass  # somebody closed it faster
        finally:
            del tcb.waiters[waiter]

    def release(self, *, abort: bool) -> None:
        """Give the stack's socket up, and wake everybody who waits for it."""
        if self.released:
            return
        if not self.closing:
            self._begin_close()
        self.released = True
        self.raw.close(abort=abort)
        for tcb in list(self.tcbs.values()):
            journal.left(tcb, abort=abort)
            tcb.closed_by_us = True
            tcb.wake()
        self.reader.wake_all()
        self.sender.retry(*self.tcbs.values())

    def detach(self) -> int:
        """Give the stack's socket up and leave it, and its associations, as they are."""
        self.check_open()
        if not self.raw.has_descriptor:
            return self.raw.detach()  # which says why not
        self._check_idle()
        # What the library wanted to see is not what its program asked for.
        self.raw.subscribe(self.subscription, None)
        for tcb in self.tcbs.values():
            if tcb.subscription is not None:
                self.raw.subscribe(tcb.subscription, tcb.id)
        self._begin_close()
        self.released = True
        return self.raw.detach()

    def _check_idle(self) -> None:
        """Refuse to give up a socket while a task, or a record, would be left behind."""
        queue = self.queue
        if queue.inbox is not None:
            reason = "it is in active mode"
        elif queue.receiver is not None:
            reason = "a task receives from it"
        elif self.sender.waiting() or any(tcb.waiters for tcb in self.tcbs.values()):
            reason = "a task waits to send, or for an association"
        elif any(tcb.watchers for tcb in self.tcbs.values()):
            reason = "a block has its events"
        elif records := queue.untaken():
            reason = f"{records} records were read and not taken: receive them first"
        elif queue.partials:
            reason = "part of a message was read: receive it first"
        else:
            return
        raise trio.BusyResourceError(f"this socket cannot be detached: {reason}")


def _token() -> trio.lowlevel.TrioToken | None:
    """What posts to this run of Trio; None outside of one, where sockets may be adopted."""
    try:
        return trio.lowlevel.current_trio_token()
    except RuntimeError:
        return None


def connect_failed(
    number: int, addresses: Sequence[Address], stack: Stack, tcb: Tcb | None
) -> ConnectFailed:
    """The error for an association that could not be set up, ``number`` being its errno."""
    if tcb is None:
        return ConnectFailed(number, _named(addresses), None, stack.peer_udp_port)
    return ConnectFailed(number, _named(addresses), tcb.end_event, tcb.udp_port)


def _named(addresses: Sequence[Address]) -> str:
    """A peer, as texts name it."""
    return " / ".join(map(transport, addresses))


def refused_or_silent(tcb: Tcb, addresses: Sequence[Address], seconds: float) -> ConnectFailed:
    """The error for an association of a one-to-many socket, which does not say why it failed."""
    if tcb.our_abort is not None:
        number = errno.ECONNABORTED
    elif seconds < tcb.handshake_timeout:
        number = errno.ECONNREFUSED  # a refusal comes before the last INIT is given up
    else:
        number = errno.ETIMEDOUT
    return connect_failed(number, addresses, tcb.socket.stack, tcb)
