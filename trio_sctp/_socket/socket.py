"""One SCTP socket under Trio: its queue, and the associations on it.

Endpoint, Association, AssociationChannel, Listener and Inbox are faces of this module.  Its rules:

1. One ordered queue for a socket.  A record is in the stack, in ``store`` or in an inbox, never in
   a local variable while its task may be suspended.  So no cancellation can lose one.
2. One reader at a time, for all who wait (`_reader`).  Whoever only waits for an association's
   state reads ahead no further than the store has room; behind a full store it asks the stack for
   the state instead.
3. What arrives changes the associations' states first and is queued afterwards: a state waits
   for nobody who reads, and for no credit.

Who sends is settled in `_sender`; what is known of an association stands in `_control`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from .._errors import (
    ASSOCIATION_GONE,
    OUT_OF_RESOURCE,
    USER_INITIATED_ABORT,
    ConnectFailed,
)
from .._options import (
    EventSubscription,
    InitMsg,
    Linger,
    Option,
    RtoInfo,
    StatusState,
    check_options,
    default_subscription,
    merge,
)
from .._stack import Stack, StackSocket
from .._values import (
    AdaptationIndication,
    Address,
    Arrival,
    AssociationChange,
    AssociationEnd,
    AssociationReset,
    AssociationState,
    AuthenticationChange,
    FailedFragment,
    Message,
    MessageDraft,
    Notification,
    PartialDeliveryAborted,
    PeerAddressChange,
    Piece,
    Record,
    RemoteError,
    SenderDry,
    SendFailed,
    ShutdownReceived,
    StreamChange,
    StreamReset,
    UnknownEvent,
    freeze,
)
from .reader import READ_BATCH, STORE_BYTES, STORE_RECORDS, Reader, Waiter
from .sender import Sender
from .settings import Settings
from .tcb import Tcb

if TYPE_CHECKING:
    from .._association import Association
    from .._inbox import Inbox

T = TypeVar("T", bound=Option)

DEFAULT_MAX_MESSAGE_SIZE = 2**24
"""16 MiB: above any signalling message, below what would hurt a server with many peers."""

_LAST_READS = 1000
"""Bound on the batches that a cancelled close discards, for peers that send faster than it."""

_EVENT_FIELDS: dict[str, type[Any]] = {
    "association_event": AssociationChange,
    "address_event": PeerAddressChange,
    "send_failure_event": SendFailed,
    "peer_error_event": RemoteError,
    "shutdown_event": ShutdownReceived,
    "partial_delivery_event": PartialDeliveryAborted,
    "adaptation_layer_event": AdaptationIndication,
    "authentication_event": AuthenticationChange,
    "sender_dry_event": SenderDry,
    "stream_reset_event": StreamReset,
    "association_reset_event": AssociationReset,
    "stream_change_event": StreamChange,
}

# What the library has to see whatever the application subscribes to.
_NEEDED = EventSubscription(
    association_event=True,
    send_failure_event=True,
    shutdown_event=True,
    partial_delivery_event=True,
    stream_change_event=True,
)


class _Partial:
    """A message of which pieces have come."""

    __slots__ = ("first", "parts", "size")

    def __init__(self, first: Message) -> None:
        self.first = first
        self.parts = [first.data]
        self.size = len(first.data)

    def add(self, data: bytes) -> None:
        self.parts.append(data)
        self.size += len(data)

    def whole(self, last: Message) -> Message:
        first = self.first
        return freeze(
            MessageDraft(
                b"".join((*self.parts, last.data)),
                first.stream,
                first.ppid,
                first.unordered,
                first.association_id,
                last.address,
                first.ssn,
                first.tsn,
                last.cumulative_tsn,
                last.context,
            )
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SocketStatistics:
    """What an endpoint or channel holds at this moment, and what went through it.

    Attributes:
      associations: Associations, half-open ones included.
      buffered_records: Records received and not yet taken, those in an inbox left out.
      buffered_bytes: Their payload, and that of messages of which more has to come.
      credit: Credit of the open inbox; None in passive mode.
      tasks_waiting_send: Tasks whose ``send`` waits for room.
      messages_received, octets_received: Whole messages taken in, and their payload (gen_sctp
        ``recv_cnt`` and ``recv_oct``, which count events too).
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
    """See the module's docstring."""

    def __init__(
        self,
        raw: StackSocket,
        max_message_size: int,
        make_handle: Callable[[Tcb], Association],
    ) -> None:
        self.raw: StackSocket = raw
        self.make_handle = make_handle  # of the program's, who knows it by that
        self.max_message_size: int = max_message_size
        self.store: deque[Record] = deque()
        self.tcbs: dict[int, Tcb] = {}
        self.inbox: Inbox | None = None
        self.arrivals: deque[Tcb] | None = None  # a listener's: associations to accept
        self.data_only: bool = False  # a channel's: `receive` takes messages and drops events
        self.closing: bool = False  # aclose has begun: arrivals are discarded
        self.released: bool = False  # the stack's socket is gone
        self.subscription: EventSubscription = default_subscription()
        self._delivered: frozenset[type] = _event_types(self.subscription)
        self._discarded: dict[int, Tcb] = {}  # of cancelled connects, refused peers
        self._partials: dict[int, _Partial] = {}
        self._cut_off: set[int] = set()  # whose message was too large: the rest of it is dropped
        self._ending: Tcb | None = None
        self._draining: list[Tcb] = []  # ended gracefully, records left, somebody waits
        # Only a small bound can be exceeded by a message that the stack hands up in one piece.
        self._check_size = max_message_size < 2**17
        self.received: int = 0  # messages, whole
        self.received_octets: int = 0  # their payload
        self.reader: Reader = Reader(self)
        self.sender: Sender = Sender(self)
        self.settings: Settings = Settings(self)
        self._receiver: Waiter | None = None
        self._receive_waiter = Waiter(ahead=False)

    # -- setting up --------------------------------------------------------------------------

    def adopt(self) -> None:
        """Take over a socket that somebody else made: its options and its associations.

        It keeps what it was set to.  But no socket is born with a subscription: one that has none
        gets the default.
        """
        found = self.raw.subscription(None)
        if any(getattr(found, field) for field in _EVENT_FIELDS):
            own = {id: self.raw.subscription(id) for id in self.raw.association_ids()}
            self.subscribe(found, None)
        else:
            own = {}
            self.subscribe(self.subscription, None)
        self.adopt_associations()
        for id, subscription in own.items():
            if subscription != found and id in self.tcbs:
                self.subscribe(subscription, self.tcbs[id])

    def adopt_associations(self) -> None:
        """Learn of the associations that a socket made by somebody else already has."""
        for id in self.raw.association_ids():
            if id not in self.tcbs and id not in self._discarded:
                self._establish(self.add_tcb(id))

    def adopt_ended(self) -> Tcb | None:
        """The association that the socket carried before it was adopted, if it left records."""
        while self.read():
            pass
        if not self.store:
            return None
        tcb = Tcb(self.store[0].association_id, self)
        lost = self.raw.pending_error()
        state = AssociationState.COMM_LOST if lost else AssociationState.SHUTDOWN_COMP
        self.end(tcb, state, 0, b"")
        return tcb

    def expect_arrivals(self) -> None:
        """Become a listener's socket: peers' associations queue to be accepted."""
        self.arrivals = deque(self.tcbs.values())

    def add_tcb(self, id: int) -> Tcb:
        tcb = self.tcbs[id] = Tcb(id, self)
        return tcb

    def _establish(self, tcb: Tcb) -> None:
        """Take over the state that the stack reports."""
        with contextlib.suppress(OSError):
            status = self.raw.status(tcb.id)
            if status.state >= StatusState.ESTABLISHED:
                tcb.up = True
                tcb.outbound_streams = status.outstrms
                tcb.inbound_streams = status.instrms
                tcb.wake()

    # -- who waits and who reads -------------------------------------------------------------

    def check_open(self) -> None:
        if self.closing or self.released:
            raise trio.ClosedResourceError("this SCTP socket was closed")

    def check_not_released(self) -> None:
        if self.released:
            raise trio.ClosedResourceError("this SCTP socket was closed")

    def room(self) -> int:
        """Whether the store may be filled further ahead of those who take from it."""
        return len(self.store) < STORE_RECORDS and self.buffered_bytes() < STORE_BYTES

    def buffered_bytes(self) -> int:
        """Payload held for those who take records."""
        partial = sum(partial.size for partial in self._partials.values())
        return partial + sum(len(r.data) for r in self.store if type(r) is Message)

    def statistics(self) -> SocketStatistics:
        """What it holds at this moment, and what went through."""
        return SocketStatistics(
            associations=len(self.tcbs),
            buffered_records=len(self.store),
            buffered_bytes=self.buffered_bytes(),
            credit=None if self.inbox is None else self.inbox.credit,
            tasks_waiting_send=self.sender.waiting(),
            messages_received=self.received,
            octets_received=self.received_octets,
            messages_sent=self.sender.sent,
            octets_sent=self.sender.sent_octets,
        )

    def poll_state(self, tcb: Tcb) -> None:
        try:
            status = self.raw.status(tcb.id)
        except OSError:
            # It has ended, so its end stands in the stack's queue, behind what the receive buffer
            # holds at the most.  To read up to there costs memory once, and tells how it ended.
            while tcb.end is None and self.read():
                pass
        else:
            if status.state > StatusState.ESTABLISHED and not tcb.closed_by_us:
                tcb.shutting_down = True
            if not tcb.up and status.state >= StatusState.ESTABLISHED:
                self._establish(tcb)

    def read_ahead(self) -> None:
        """Take in what is there, as far as the store has room."""
        while self.room() and self.read(STORE_RECORDS - len(self.store)):
            pass

    def read_now(self) -> None:
        """Take in what is there, if the socket is still of use."""
        if not self.closing and not (self.data_only and not self.tcbs):
            self.read()

    def read(self, limit: int = READ_BATCH) -> bool:
        """Take in what is there, without waiting; returns whether there was something."""
        arrivals = self.raw.receive(min(limit, READ_BATCH))
        if not arrivals:
            return False
        self._take_in(arrivals)
        while self._ending is not None:
            # The messages that it could not deliver follow directly: read them with its end.
            arrivals = self.raw.receive(READ_BATCH)
            if arrivals:
                self._take_in(arrivals)
            else:
                self._finish_end()
        self._announce()
        return True

    def _announce(self) -> None:
        if self.inbox is not None:
            self.inbox._fill()
        elif self._receiver is not None and (self.store or self.arrivals):
            self._receiver.wake()

    # -- taking in ---------------------------------------------------------------------------

    def _take_in(self, arrivals: list[Arrival]) -> None:
        if not (
            self._partials
            or self._discarded
            or self._cut_off
            or self._ending
            or self._check_size
            or self.closing
        ) and set(map(type, arrivals)) == {Message}:
            self.store.extend(arrivals)  # type: ignore[arg-type]
            self.received += len(arrivals)
            self.received_octets += sum([len(message.data) for message in arrivals])  # type: ignore[union-attr, misc]
            return
        for arrival in arrivals:
            if self._ending is not None and (
                type(arrival) is not FailedFragment or arrival.association_id != self._ending.id
            ):
                self._finish_end()
            match arrival:
                case Message():
                    self._message(arrival)
                case Piece(message):
                    self._piece(message)
                case FailedFragment():
                    self._failed_fragment(arrival)
                case AssociationChange():
                    self._association_change(arrival)
                case _:
                    self._event(arrival)

    def _unwanted(self, id: int) -> bool:
        return self.closing or id in self._discarded

    def _message(self, message: Message) -> None:
        id = message.association_id
        partial = self._partials.pop(id, None)
        if self._unwanted(id) or id in self._cut_off:
            return
        size = len(message.data) + (partial.size if partial else 0)
        if size > self.max_message_size:
            self._too_large(id)
        else:
            self.store.append(partial.whole(message) if partial else message)
            self.received += 1
            self.received_octets += size

    def _piece(self, piece: Message) -> None:
        id = piece.association_id
        if self._unwanted(id) or id in self._cut_off:
            return
        partial = self._partials.get(id)
        if partial is None:
            partial = self._partials[id] = _Partial(piece)
        else:
            partial.add(piece.data)
        if partial.size > self.max_message_size:
            self._too_large(id)

    def _too_large(self, id: int) -> None:
        """Cut off a peer whose message is larger than we are willing to hold."""
        self._partials.pop(id, None)
        self._cut_off.add(id)
        tcb = self.tcbs.get(id) or self.add_tcb(id)
        reason = b"message larger than %d bytes" % self.max_message_size
        tcb.local_end = (OUT_OF_RESOURCE, reason)
        with contextlib.suppress(OSError):
            self.raw.abort(id, reason)
        if self.raw.one_to_one:
            self.end(tcb, AssociationState.COMM_LOST, OUT_OF_RESOURCE, reason)

    def _failed_fragment(self, fragment: FailedFragment) -> None:
        tcb = self.find(fragment.association_id) or Tcb(fragment.association_id, self)
        key = (fragment.stream, fragment.ppid, fragment.unordered, fragment.context)
        if fragment.first:
            self._join_failed(tcb, key)
        tcb.fragments.setdefault(key, []).append(fragment)
        if fragment.last:
            self._join_failed(tcb, key)

    def _join_failed(self, tcb: Tcb, key: tuple[int, int, bool, int]) -> None:
        fragments = tcb.fragments.pop(key, None)
        if fragments is None:
            return
        failed = SendFailed(
            association_id=tcb.id,
            data=b"".join(fragment.data for fragment in fragments),
            complete=fragments[0].first and fragments[-1].last,
            sent=any(fragment.sent for fragment in fragments),
            error=fragments[0].error,
            stream=fragments[0].stream,
            ppid=fragments[0].ppid,
            unordered=fragments[0].unordered,
            context=fragments[0].context,
        )
        if self._ending is tcb:
            tcb.undelivered.append(failed)
        self._deliver(failed, tcb)

    def find(self, id: int) -> Tcb | None:
        return self.tcbs.get(id) or self._discarded.get(id)

    def _deliver(self, event: Notification, tcb: Tcb | None) -> None:
        """Queue an event, if it is one that somebody wants to see."""
        if self._unwanted(event.association_id):
            return
        delivered = self._delivered
        if tcb is not None and tcb.delivered is not None:
            delivered = tcb.delivered
        if type(event) in delivered:
            self.store.append(event)

    def _event(self, event: Notification) -> None:
        tcb = self.find(event.association_id)
        match event:
            case ShutdownReceived() if tcb is not None:
                tcb.shutting_down = True
            case PartialDeliveryAborted():
                self._partials.pop(event.association_id, None)
            case StreamChange() if tcb is not None:
                tcb.outbound_streams = event.outbound_streams
                tcb.inbound_streams = event.inbound_streams
            case _:
                pass
        self._deliver(event, tcb)

    def _association_change(self, event: AssociationChange) -> None:
        id = event.association_id
        tcb = self.find(id)
        private = tcb is not None and tcb.private
        match event.state:
            case AssociationState.COMM_UP | AssociationState.RESTART:
                if tcb is None:
                    tcb = self.add_tcb(id)
                    if self.arrivals is not None:
                        self.arrivals.append(tcb)
                tcb.private = False
                tcb.up = True
                tcb.outbound_streams = event.outbound_streams
                tcb.inbound_streams = event.inbound_streams
                if event.state == AssociationState.RESTART:
                    self._partials.pop(id, None)
                    private = False
                tcb.wake()
                if self.closing:
                    self.start_shutdown(tcb)
            case (
                AssociationState.COMM_LOST
                | AssociationState.SHUTDOWN_COMP
                | AssociationState.CANT_ASSOC
            ) if tcb is not None:
                self._partials.pop(id, None)
                tcb.last_event = event
                self._ending = tcb
            case _:
                pass
        if not private:
            self._deliver(event, tcb)

    def _finish_end(self) -> None:
        """The end of an association and all that came with it has been read."""
        tcb = self._ending
        assert tcb is not None
        assert tcb.last_event is not None
        for key in list(tcb.fragments):
            self._join_failed(tcb, key)
        self._ending = None
        cause, reason = tcb.local_end or (tcb.last_event.error, tcb.last_event.reason)
        self.end(tcb, AssociationState(tcb.last_event.state), cause, reason)

    def end(self, tcb: Tcb, state: AssociationState, cause: int, reason: bytes) -> None:
        """Make known to everybody that an association has ended, and how."""
        tcb.end = AssociationEnd(
            association_id=tcb.id,
            state=state,
            cause=cause,
            reason=reason,
            undelivered=tuple(tcb.undelivered),
        )
        self.tcbs.pop(tcb.id, None)
        self._discarded.pop(tcb.id, None)
        self._cut_off.discard(tcb.id)
        tcb.wake()
        self.sender.retry()
        if self.data_only and self._receiver is not None:
            self._receiver.wake()
        if self.data_only and self.inbox is not None:
            self.inbox._wake_all()

    # -- taking out --------------------------------------------------------------------------

    @property
    def attended(self) -> bool:
        """Whether somebody wants to know that records were taken (see `records_taken`)."""
        return self.reader.polling or bool(self._draining)

    def records_taken(self) -> None:
        """Records were taken: by a reader from the store, or by the program from an inbox."""
        if self.reader.polling and self.room():
            self.reader.room_made()
        if self._draining:
            for tcb in [b for b in self._draining if not self.holds_records_of(b)]:
                self._draining.remove(tcb)
                assert tcb.taken is not None
                tcb.taken.set()

    def holds_records_of(self, tcb: Tcb) -> bool:
        """Whether records of this association wait to be taken."""
        if self.inbox is not None:
            return self.inbox._holds(tcb.id) or any(
                record.association_id == tcb.id for record in self.store
            )
        return any(
            record.association_id == tcb.id
            for record in self.store
            if type(record) is Message or not self.data_only
        )

    async def wait_taken(self, tcb: Tcb) -> None:
        """Wait until all that an ended association has left behind is taken."""
        if self.holds_records_of(tcb):
            if tcb.taken is None:
                tcb.taken = trio.Event()
                self._draining.append(tcb)
            await tcb.taken.wait()

    def begin_receive(self) -> Waiter:
        """One task at a time takes records, and none while an inbox is open."""
        self.check_open()
        if self.inbox is not None:
            raise trio.BusyResourceError("this socket is in active mode: read its inbox")
        if self._receiver is not None:
            raise trio.BusyResourceError("another task is already receiving from this socket")
        self._receiver = self._receive_waiter
        return self._receiver

    def end_receive(self) -> None:
        self._receiver = None

    async def receive(self, limit: int, ended: Callable[[], None]) -> list[Record]:
        """At least one record and up to ``limit``; ``ended`` raises if none can come any more."""
        waiter = self.begin_receive()
        try:
            if not self.store:
                self.read()
            if self.store:
                await trio.lowlevel.checkpoint()
            while True:
                self.check_open()
                store = self.store
                if self.data_only:
                    while store and type(store[0]) is not Message:
                        store.popleft()
                if store:
                    break
                ended()
                await self.reader.wait(waiter)
            records: list[Record]
            if limit == 1:
                records = [store.popleft()]
            else:
                if len(store) <= limit:
                    records = list(store)
                    store.clear()
                else:
                    records = [store.popleft() for _ in range(limit)]
                if self.data_only:
                    records = [record for record in records if type(record) is Message]
            if self.attended:
                self.records_taken()
            return records
        finally:
            self._receiver = None

    def extract(self, id: int) -> list[Record]:
        """Take out all records of one association, in order."""
        records = [] if self.inbox is None else self.inbox._extract(id)
        records += [record for record in self.store if record.association_id == id]
        self.store = deque(record for record in self.store if record.association_id != id)
        if self.inbox is not None:
            self.inbox._granted()
        return records

    # -- associations ------------------------------------------------------------------------

    def start_association(
        self, addresses: Sequence[Address], options: Sequence[Option], *, private: bool
    ) -> Tcb:
        """Send the INIT.  ``options`` hold for this association alone."""
        self.check_open()
        # The answer is dropped, and the INIT repeated after RTO.Initial, if the receive buffer is
        # full of others' messages.
        self.read_ahead()
        with self.settings.temporarily(options, addresses) as set_later:
            patience = self._handshake_patience()
            id = self.raw.connect(addresses)
        tcb = self.add_tcb(id)
        tcb.private = private
        tcb.patience = patience
        try:
            set_later(tcb)
        except BaseException:
            self.discard(tcb)
            raise
        return tcb

    async def connect(self, addresses: Sequence[Address], options: Sequence[Option]) -> Tcb:
        """Set an association up, or leave nothing of it."""
        await trio.lowlevel.checkpoint_if_cancelled()
        started = trio.current_time()
        tcb = self.start_association(addresses, options, private=True)
        try:
            await tcb.wait_up()
        except BaseException:
            self.discard(tcb)
            raise
        if not tcb.up:
            self.check_open()
            raise self._connect_failed(tcb, addresses, trio.current_time() - started)
        return tcb

    def _connect_failed(
        self, tcb: Tcb, addresses: Sequence[Address], seconds: float
    ) -> ConnectFailed:
        """A one-to-many socket does not say why: a refusal comes before the last INIT."""
        if tcb.local_end is not None:
            number = errno.ECONNABORTED
        else:
            refused = seconds < tcb.patience
            number = errno.ECONNREFUSED if refused else errno.ETIMEDOUT
        return connect_failed(number, addresses, tcb)

    def _handshake_patience(self) -> float:
        """Seconds within which the stack has certainly not given up waiting for an INIT ACK."""
        init = self.raw.get_option(InitMsg, None)
        rto = self.raw.get_option(RtoInfo, None)
        assert init.max_attempts is not None
        assert rto.initial is not None
        longest = init.max_init_timeo or rto.max or rto.initial
        waits = [min(rto.initial * 2**n, longest) for n in range(init.max_attempts)]
        return sum(waits) / 1000 if waits else float("inf")

    def discard(self, tcb: Tcb, reason: bytes = b"") -> None:
        """Abort an association and keep every trace of it from whoever reads."""
        if tcb.end is not None or self.released:
            return
        self.tcbs.pop(tcb.id, None)
        self._discarded[tcb.id] = tcb
        tcb.closed_by_us = True
        self.extract(tcb.id)
        self._partials.pop(tcb.id, None)
        with contextlib.suppress(OSError):
            self.raw.abort(tcb.id, reason)
        self.read_ahead()

    async def shut_down(self, tcb: Tcb) -> None:
        """Start the graceful end of an association, half-open ones once they are up."""
        await trio.lowlevel.checkpoint_if_cancelled()
        # Linux deletes a half-open association at EOF, without a word to anybody.
        await tcb.wait_up()
        tcb.socket.check_open()
        if tcb.end is None:
            tcb.socket.start_shutdown(tcb)
        elif tcb.local_end is not None:
            raise trio.ClosedResourceError(f"association {tcb.id} was aborted here")
        elif not tcb.end.graceful:
            raise tcb.lost()
        await trio.lowlevel.cancel_shielded_checkpoint()

    def start_shutdown(self, tcb: Tcb) -> None:
        """Start the graceful end of an association that is up; a half-open one is given up."""
        tcb.closed_by_us = True
        try:
            if tcb.up:
                self.raw.shutdown(tcb.id)
            else:
                self.raw.abort(tcb.id, b"")
        except OSError as error:
            if error.errno not in ASSOCIATION_GONE and error.errno != errno.EINVAL:
                raise
        self.sender.retry()

    def abort(self, tcb: Tcb, reason: bytes) -> None:
        """End an association at once."""
        if tcb.end is not None or tcb.local_end is not None or self.released:
            return
        tcb.closed_by_us = True
        tcb.local_end = (USER_INITIATED_ABORT, reason)
        with contextlib.suppress(OSError):
            self.raw.abort(tcb.id, reason)
        self.sender.retry()

    def abort_and_release(self, tcb: Tcb, reason: bytes) -> None:
        """End the one association of this socket at once, and the socket with it."""
        if self.released:
            return
        self.abort(tcb, reason)
        while tcb.end is None and self.read():
            pass
        if tcb.end is None:
            self.end(tcb, AssociationState.COMM_LOST, USER_INITIATED_ABORT, reason)
        self.release(abort=True)

    def peel_off(self, tcb: Tcb) -> Socket:
        """Give an association a socket, hence a queue, of its own, with all that waits in ours."""
        self.check_open()
        try:
            raw = self.raw.peel_off(tcb.id)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            while tcb.end is None and self.read():
                pass
            raise tcb.lost() from None
        return self.move(tcb, raw)

    def move(self, tcb: Tcb, raw: StackSocket) -> Socket:
        """Move an association, its records and all who wait for it to a new socket."""
        other = Socket(raw, self.max_message_size, self.make_handle)
        other.data_only = True
        other.subscription = tcb.subscription or self.subscription
        other._delivered = _event_types(other.subscription)
        other.store.extend(self.extract(tcb.id))
        if tcb.id in self._cut_off:
            self._cut_off.remove(tcb.id)
            other._cut_off.add(tcb.id)
        if tcb.id in self._partials:
            other._partials[tcb.id] = self._partials.pop(tcb.id)
        self.tcbs.pop(tcb.id, None)
        if tcb.end is None:
            other.tcbs[tcb.id] = tcb
        tcb.socket = other
        tcb.subscription = tcb.delivered = None
        tcb.wake()
        self.sender.retry()
        self.records_taken()
        return other

    # -- events ------------------------------------------------------------------------------

    def subscribe(self, subscription: EventSubscription, tcb: Tcb | None) -> None:
        """Deliver these events: of one association, or of all that have no choice of their own."""
        seen = merge(_NEEDED, subscription)
        assert isinstance(seen, EventSubscription)
        self.raw.subscribe(seen, None if tcb is None else tcb.id)
        if tcb is not None:
            tcb.subscription = subscription
            tcb.delivered = _event_types(subscription)
            return
        self.subscription = subscription
        self._delivered = _event_types(subscription)
        for other in self.tcbs.values():
            if other.subscription is not None:
                self.subscribe(other.subscription, other)  # the stack has set it for all

    # -- closing -----------------------------------------------------------------------------

    def _begin_close(self) -> None:
        """From here on arrivals are discarded and everybody's calls end."""
        self.closing = True
        self.store.clear()
        self._partials.clear()
        if self._receiver is not None:
            self._receiver.wake()
        if self.inbox is not None:
            self.inbox._wake_all()
        for tcb in list(self.tcbs.values()):
            tcb.wake()
        for tcb in self._draining:
            assert tcb.taken is not None
            tcb.taken.set()
        self._draining.clear()
        self.sender.retry()

    async def aclose(self, *, abort_if_cancelled: bool = False) -> None:
        """End every association gracefully, then give the socket up."""
        abort = abort_if_cancelled
        if self.released:
            await trio.lowlevel.checkpoint()
            return
        first = not self.closing
        linger = self._linger()
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
                    if not self.read():
                        break
                self.release(abort=abort)

    def _linger(self) -> float:
        """Seconds for which closing may wait."""
        try:
            linger = self.raw.get_option(Linger, None)
        except OSError:
            return math.inf  # no socket is left
        return linger.seconds if linger.enabled else math.inf

    def _abort_all(self) -> None:
        """End every association at once, then give the socket up."""
        for tcb in list(self.tcbs.values()):
            self.abort(tcb, b"")
        self._begin_close()
        while self.tcbs and self.read():
            pass
        self.release(abort=True)

    async def _wait_for_an_end(self) -> None:
        waiter = Waiter(ahead=False)
        tcb = next(iter(self.tcbs.values()))
        tcb.waiters.add(waiter)
        try:
            await self.reader.wait(waiter)
        except trio.ClosedResourceError:
            pass  # somebody closed it faster
        finally:
            tcb.waiters.discard(waiter)

    def release(self, *, abort: bool) -> None:
        """Give the stack's socket up, and wake everybody who waits for it."""
        if self.released:
            return
        if not self.closing:
            self._begin_close()
        self.released = True
        self.raw.close(abort=abort)
        for tcb in list(self.tcbs.values()):
            tcb.closed_by_us = True
            tcb.wake()
        self.reader.wake_all()
        self.sender.retry()

    def detach(self) -> int:
        """Give the stack's socket up and leave it, and its associations, as they are."""
        self.check_open()
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
        """Refuse to give up a socket of which somebody, or something, would be left behind."""
        records = len(self.store)
        if self.data_only:
            records = sum(type(record) is Message for record in self.store)
        if self.inbox is not None:
            reason = "it is in active mode"
        elif self._receiver is not None:
            reason = "a task receives from it"
        elif self.sender.waiting() or any(tcb.waiters for tcb in self.tcbs.values()):
            reason = "a task waits to send, or for an association"
        elif records:
            reason = f"{records} records were read and not taken: receive them first"
        elif self._partials:
            reason = "a message has come in part: receive it first"
        else:
            return
        raise trio.BusyResourceError(f"this socket cannot be detached: {reason}")


def open_socket(
    stack: Stack,
    local_addresses: Sequence[Address],
    port: int,
    *,
    ipv6: bool,
    options: Sequence[Option],
    max_message_size: int,
    make_handle: Callable[[Tcb], Association],
) -> Socket:
    """A new socket of a stack, with its options set."""
    check_options(options)
    at_open = [option for option in options if option.at_open_only]
    try:
        raw = stack.open(local_addresses, port, ipv6=ipv6, options=at_open)
    except OSError as error:
        if error.errno == errno.EINVAL and at_open:
            raise ValueError(f"the stack refuses one of {at_open!r}") from None
        raise
    socket = Socket(raw, max_message_size, make_handle)
    try:
        socket.settings.configure(options)
    except BaseException:
        socket.release(abort=True)
        raise
    return socket


def connect_failed(number: int, addresses: Sequence[Address], tcb: Tcb) -> ConnectFailed:
    """The error for an association that could not be set up."""
    peer = " / ".join(f"{a[0]} port {a[1]}" for a in addresses)
    return ConnectFailed(number, peer, tcb.last_event)


def check_max_message_size(size: int) -> None:
    """Refuse a bound that no message could keep."""
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ValueError(f"max_message_size is a number of bytes, 1 or more, not {size!r}")


def _event_types(subscription: EventSubscription) -> frozenset[type]:
    """The classes of events that are delivered."""
    return frozenset(
        [UnknownEvent]
        + [kind for field, kind in _EVENT_FIELDS.items() if getattr(subscription, field)]
    )
