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

from ._control import ControlBlock
from ._errors import (
    ASSOCIATION_GONE,
    OUT_OF_RESOURCE,
    USER_INITIATED_ABORT,
    ConnectFailed,
)
from ._options import (
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
from ._reader import READ_BATCH, STORE_BYTES, STORE_RECORDS, Reader, Waiter
from ._sender import Sender
from ._settings import Settings
from ._stack import Arrival, FailedFragment, Piece, Stack, StackSocket
from ._values import (
    AdaptationIndication,
    Address,
    AssociationChange,
    AssociationEnd,
    AssociationReset,
    AssociationState,
    AuthenticationChange,
    Message,
    MessageDraft,
    Notification,
    PartialDeliveryAborted,
    PeerAddressChange,
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

if TYPE_CHECKING:
    from ._inbox import Inbox

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

    def __init__(self, stack: StackSocket, max_message_size: int) -> None:
        self.stack: StackSocket = stack
        self.max_message_size: int = max_message_size
        self.store: deque[Record] = deque()
        self.blocks: dict[int, ControlBlock] = {}
        self.inbox: Inbox | None = None
        self.arrivals: deque[ControlBlock] | None = None  # a listener's: associations to accept
        self.data_only: bool = False  # a channel's: `receive` takes messages and drops events
        self.closing: bool = False  # aclose has begun: arrivals are discarded
        self.released: bool = False  # the stack's socket is gone
        self.subscription: EventSubscription = default_subscription()
        self._delivered: frozenset[type] = _event_types(self.subscription)
        self._discarded: dict[int, ControlBlock] = {}  # of cancelled connects, refused peers
        self._partials: dict[int, _Partial] = {}
        self._cut_off: set[int] = set()  # whose message was too large: the rest of it is dropped
        self._ending: ControlBlock | None = None
        self._draining: list[ControlBlock] = []  # ended gracefully, records left, somebody waits
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
        found = self.stack.subscription(None)
        if any(getattr(found, field) for field in _EVENT_FIELDS):
            own = {id: self.stack.subscription(id) for id in self.stack.association_ids()}
            self.subscribe(found, None)
        else:
            own = {}
            self.subscribe(self.subscription, None)
        self.adopt_associations()
        for id, subscription in own.items():
            if subscription != found and id in self.blocks:
                self.subscribe(subscription, self.blocks[id])

    def adopt_associations(self) -> None:
        """Learn of the associations that a socket made by somebody else already has."""
        for id in self.stack.association_ids():
            if id not in self.blocks and id not in self._discarded:
                self._establish(self.add_block(id))

    def adopt_ended(self) -> ControlBlock | None:
        """The association that the socket carried before it was adopted, if it left records."""
        while self.read():
            pass
        if not self.store:
            return None
        block = ControlBlock(self.store[0].association_id, self)
        lost = self.stack.pending_error()
        state = AssociationState.COMM_LOST if lost else AssociationState.SHUTDOWN_COMP
        self.end(block, state, 0, b"")
        return block

    def expect_arrivals(self) -> None:
        """Become a listener's socket: peers' associations queue to be accepted."""
        self.arrivals = deque(self.blocks.values())

    def add_block(self, id: int) -> ControlBlock:
        block = self.blocks[id] = ControlBlock(id, self)
        return block

    def _establish(self, block: ControlBlock) -> None:
        """Take over the state that the stack reports."""
        with contextlib.suppress(OSError):
            status = self.stack.status(block.id)
            if status.state >= StatusState.ESTABLISHED:
                block.up = True
                block.outbound_streams = status.outstrms
                block.inbound_streams = status.instrms
                block.wake()

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
            associations=len(self.blocks),
            buffered_records=len(self.store),
            buffered_bytes=self.buffered_bytes(),
            credit=None if self.inbox is None else self.inbox.credit,
            tasks_waiting_send=self.sender.waiting(),
            messages_received=self.received,
            octets_received=self.received_octets,
            messages_sent=self.sender.sent,
            octets_sent=self.sender.sent_octets,
        )

    def poll_state(self, block: ControlBlock) -> None:
        try:
            status = self.stack.status(block.id)
        except OSError:
            # It has ended, so its end stands in the stack's queue, behind what the receive buffer
            # holds at the most.  To read up to there costs memory once, and tells how it ended.
            while block.end is None and self.read():
                pass
        else:
            if status.state > StatusState.ESTABLISHED and not block.closed_by_us:
                block.shutting_down = True
            if not block.up and status.state >= StatusState.ESTABLISHED:
                self._establish(block)

    def read_ahead(self) -> None:
        """Take in what is there, as far as the store has room."""
        while self.room() and self.read(STORE_RECORDS - len(self.store)):
            pass

    def read_now(self) -> None:
        """Take in what is there, if the socket is still of use."""
        if not self.closing and not (self.data_only and not self.blocks):
            self.read()

    def read(self, limit: int = READ_BATCH) -> bool:
        """Take in what is there, without waiting; returns whether there was something."""
        arrivals = self.stack.receive(min(limit, READ_BATCH))
        if not arrivals:
            return False
        self._take_in(arrivals)
        while self._ending is not None:
            # The messages that it could not deliver follow directly: read them with its end.
            arrivals = self.stack.receive(READ_BATCH)
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
        block = self.blocks.get(id) or self.add_block(id)
        reason = b"message larger than %d bytes" % self.max_message_size
        block.local_end = (OUT_OF_RESOURCE, reason)
        with contextlib.suppress(OSError):
            self.stack.abort(id, reason)
        if self.stack.one_to_one:
            self.end(block, AssociationState.COMM_LOST, OUT_OF_RESOURCE, reason)

    def _failed_fragment(self, fragment: FailedFragment) -> None:
        block = self.block(fragment.association_id) or ControlBlock(fragment.association_id, self)
        key = (fragment.stream, fragment.ppid, fragment.unordered, fragment.context)
        if fragment.first:
            self._join_failed(block, key)
        block.fragments.setdefault(key, []).append(fragment)
        if fragment.last:
            self._join_failed(block, key)

    def _join_failed(self, block: ControlBlock, key: tuple[int, int, bool, int]) -> None:
        fragments = block.fragments.pop(key, None)
        if fragments is None:
            return
        failed = SendFailed(
            association_id=block.id,
            data=b"".join(fragment.data for fragment in fragments),
            complete=fragments[0].first and fragments[-1].last,
            sent=any(fragment.sent for fragment in fragments),
            error=fragments[0].error,
            stream=fragments[0].stream,
            ppid=fragments[0].ppid,
            unordered=fragments[0].unordered,
            context=fragments[0].context,
        )
        if self._ending is block:
            block.undelivered.append(failed)
        self._deliver(failed, block)

    def block(self, id: int) -> ControlBlock | None:
        return self.blocks.get(id) or self._discarded.get(id)

    def _deliver(self, event: Notification, block: ControlBlock | None) -> None:
        """Queue an event, if it is one that somebody wants to see."""
        if self._unwanted(event.association_id):
            return
        delivered = self._delivered
        if block is not None and block.delivered is not None:
            delivered = block.delivered
        if type(event) in delivered:
            self.store.append(event)

    def _event(self, event: Notification) -> None:
        block = self.block(event.association_id)
        match event:
            case ShutdownReceived() if block is not None:
                block.shutting_down = True
            case PartialDeliveryAborted():
                self._partials.pop(event.association_id, None)
            case StreamChange() if block is not None:
                block.outbound_streams = event.outbound_streams
                block.inbound_streams = event.inbound_streams
            case _:
                pass
        self._deliver(event, block)

    def _association_change(self, event: AssociationChange) -> None:
        id = event.association_id
        block = self.block(id)
        private = block is not None and block.private
        match event.state:
            case AssociationState.COMM_UP | AssociationState.RESTART:
                if block is None:
                    block = self.add_block(id)
                    if self.arrivals is not None:
                        self.arrivals.append(block)
                block.private = False
                block.up = True
                block.outbound_streams = event.outbound_streams
                block.inbound_streams = event.inbound_streams
                if event.state == AssociationState.RESTART:
                    self._partials.pop(id, None)
                    private = False
                block.wake()
                if self.closing:
                    self.start_shutdown(block)
            case (
                AssociationState.COMM_LOST
                | AssociationState.SHUTDOWN_COMP
                | AssociationState.CANT_ASSOC
            ) if block is not None:
                self._partials.pop(id, None)
                block.last_event = event
                self._ending = block
            case _:
                pass
        if not private:
            self._deliver(event, block)

    def _finish_end(self) -> None:
        """The end of an association and all that came with it has been read."""
        block = self._ending
        assert block is not None
        assert block.last_event is not None
        for key in list(block.fragments):
            self._join_failed(block, key)
        self._ending = None
        cause, reason = block.local_end or (block.last_event.error, block.last_event.reason)
        self.end(block, AssociationState(block.last_event.state), cause, reason)

    def end(self, block: ControlBlock, state: AssociationState, cause: int, reason: bytes) -> None:
        """Make known to everybody that an association has ended, and how."""
        block.end = AssociationEnd(
            association_id=block.id,
            state=state,
            cause=cause,
            reason=reason,
            undelivered=tuple(block.undelivered),
        )
        self.blocks.pop(block.id, None)
        self._discarded.pop(block.id, None)
        self._cut_off.discard(block.id)
        block.wake()
        self.sender.retry()
        if self.data_only and self._receiver is not None:
            self._receiver.wake()
        if self.data_only and self.inbox is not None:
            self.inbox._wake_all()

    # -- taking out --------------------------------------------------------------------------

    @property
    def attended(self) -> bool:
        """Whether somebody wants to know that records were taken (see `took`)."""
        return self.reader.polling or bool(self._draining)

    def took(self) -> None:
        """Records were taken: by a reader from the store, or by the program from an inbox."""
        if self.reader.polling and self.room():
            self.reader.room_made()
        if self._draining:
            for block in [b for b in self._draining if not self.holds_records_of(b)]:
                self._draining.remove(block)
                assert block.taken is not None
                block.taken.set()

    def holds_records_of(self, block: ControlBlock) -> bool:
        """Whether records of this association wait to be taken."""
        if self.inbox is not None:
            return self.inbox._holds(block.id) or any(
                record.association_id == block.id for record in self.store
            )
        return any(
            record.association_id == block.id
            for record in self.store
            if type(record) is Message or not self.data_only
        )

    async def wait_taken(self, block: ControlBlock) -> None:
        """Wait until all that an ended association has left behind is taken."""
        if self.holds_records_of(block):
            if block.taken is None:
                block.taken = trio.Event()
                self._draining.append(block)
            await block.taken.wait()

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
                self.took()
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
    ) -> ControlBlock:
        """Send the INIT.  ``options`` hold for this association alone."""
        self.check_open()
        # The answer is dropped, and the INIT repeated after RTO.Initial, if the receive buffer is
        # full of others' messages.
        self.read_ahead()
        with self.settings.lent(options, addresses) as set_later:
            patience = self._handshake_patience()
            id = self.stack.connect(addresses)
        block = self.add_block(id)
        block.private = private
        block.patience = patience
        try:
            set_later(block)
        except BaseException:
            self.discard(block)
            raise
        return block

    async def connect(
        self, addresses: Sequence[Address], options: Sequence[Option]
    ) -> ControlBlock:
        """Set an association up, or leave nothing of it."""
        await trio.lowlevel.checkpoint_if_cancelled()
        started = trio.current_time()
        block = self.start_association(addresses, options, private=True)
        try:
            await block.wait_up()
        except BaseException:
            self.discard(block)
            raise
        if not block.up:
            self.check_open()
            raise self._connect_failed(block, addresses, trio.current_time() - started)
        return block

    def _connect_failed(
        self, block: ControlBlock, addresses: Sequence[Address], seconds: float
    ) -> ConnectFailed:
        """A one-to-many socket does not say why: a refusal comes before the last INIT."""
        if block.local_end is not None:
            number = errno.ECONNABORTED
        else:
            refused = seconds < block.patience
            number = errno.ECONNREFUSED if refused else errno.ETIMEDOUT
        return connect_failed(number, addresses, block)

    def _handshake_patience(self) -> float:
        """Seconds within which the stack has certainly not given up waiting for an INIT ACK."""
        init = self.stack.get_option(InitMsg, None)
        rto = self.stack.get_option(RtoInfo, None)
        assert init.max_attempts is not None
        assert rto.initial is not None
        longest = init.max_init_timeo or rto.max or rto.initial
        waits = [min(rto.initial * 2**n, longest) for n in range(init.max_attempts)]
        return sum(waits) / 1000 if waits else float("inf")

    def discard(self, block: ControlBlock, reason: bytes = b"") -> None:
        """Abort an association and keep every trace of it from whoever reads."""
        if block.end is not None or self.released:
            return
        self.blocks.pop(block.id, None)
        self._discarded[block.id] = block
        block.closed_by_us = True
        self.extract(block.id)
        self._partials.pop(block.id, None)
        with contextlib.suppress(OSError):
            self.stack.abort(block.id, reason)
        self.read_ahead()

    async def shut_down(self, block: ControlBlock) -> None:
        """Start the graceful end of an association, half-open ones once they are up."""
        await trio.lowlevel.checkpoint_if_cancelled()
        # Linux deletes a half-open association at EOF, without a word to anybody.
        await block.wait_up()
        block.socket.check_open()
        if block.end is None:
            block.socket.start_shutdown(block)
        elif block.local_end is not None:
            raise trio.ClosedResourceError(f"association {block.id} was aborted here")
        elif not block.end.graceful:
            raise block.lost()
        await trio.lowlevel.cancel_shielded_checkpoint()

    def start_shutdown(self, block: ControlBlock) -> None:
        """Start the graceful end of an association that is up; a half-open one is given up."""
        block.closed_by_us = True
        try:
            if block.up:
                self.stack.shutdown(block.id)
            else:
                self.stack.abort(block.id, b"")
        except OSError as error:
            if error.errno not in ASSOCIATION_GONE and error.errno != errno.EINVAL:
                raise
        self.sender.retry()

    def abort(self, block: ControlBlock, reason: bytes) -> None:
        """End an association at once."""
        if block.end is not None or block.local_end is not None or self.released:
            return
        block.closed_by_us = True
        block.local_end = (USER_INITIATED_ABORT, reason)
        with contextlib.suppress(OSError):
            self.stack.abort(block.id, reason)
        self.sender.retry()

    def abort_and_release(self, block: ControlBlock, reason: bytes) -> None:
        """End the one association of this socket at once, and the socket with it."""
        if self.released:
            return
        self.abort(block, reason)
        while block.end is None and self.read():
            pass
        if block.end is None:
            self.end(block, AssociationState.COMM_LOST, USER_INITIATED_ABORT, reason)
        self.release(abort=True)

    def peel_off(self, block: ControlBlock) -> Socket:
        """Give an association a socket, hence a queue, of its own, with all that waits in ours."""
        self.check_open()
        try:
            stack = self.stack.peel_off(block.id)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            while block.end is None and self.read():
                pass
            raise block.lost() from None
        return self.move(block, stack)

    def move(self, block: ControlBlock, stack: StackSocket) -> Socket:
        """Move an association, its records and all who wait for it to a new socket."""
        other = Socket(stack, self.max_message_size)
        other.data_only = True
        other.subscription = block.subscription or self.subscription
        other._delivered = _event_types(other.subscription)
        other.store.extend(self.extract(block.id))
        if block.id in self._cut_off:
            self._cut_off.remove(block.id)
            other._cut_off.add(block.id)
        if block.id in self._partials:
            other._partials[block.id] = self._partials.pop(block.id)
        self.blocks.pop(block.id, None)
        if block.end is None:
            other.blocks[block.id] = block
        block.socket = other
        block.subscription = block.delivered = None
        block.wake()
        self.sender.retry()
        self.took()
        return other

    # -- events ------------------------------------------------------------------------------

    def subscribe(self, subscription: EventSubscription, block: ControlBlock | None) -> None:
        """Deliver these events: of one association, or of all that have no choice of their own."""
        seen = merge(_NEEDED, subscription)
        assert isinstance(seen, EventSubscription)
        self.stack.subscribe(seen, None if block is None else block.id)
        if block is not None:
            block.subscription = subscription
            block.delivered = _event_types(subscription)
            return
        self.subscription = subscription
        self._delivered = _event_types(subscription)
        for other in self.blocks.values():
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
        for block in list(self.blocks.values()):
            block.wake()
        for block in self._draining:
            assert block.taken is not None
            block.taken.set()
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
                    self.stack.listen(0)
                for block in list(self.blocks.values()):
                    self.start_shutdown(block)
            await trio.lowlevel.checkpoint()
            with trio.move_on_after(linger):
                while self.blocks and not self.released:
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
            linger = self.stack.get_option(Linger, None)
        except OSError:
            return math.inf  # no socket is left
        return linger.seconds if linger.enabled else math.inf

    def _abort_all(self) -> None:
        """End every association at once, then give the socket up."""
        for block in list(self.blocks.values()):
            self.abort(block, b"")
        self._begin_close()
        while self.blocks and self.read():
            pass
        self.release(abort=True)

    async def _wait_for_an_end(self) -> None:
        waiter = Waiter(ahead=False)
        block = next(iter(self.blocks.values()))
        block.waiters.add(waiter)
        try:
            await self.reader.wait(waiter)
        except trio.ClosedResourceError:
            pass  # somebody closed it faster
        finally:
            block.waiters.discard(waiter)

    def release(self, *, abort: bool) -> None:
        """Give the stack's socket up, and wake everybody who waits for it."""
        if self.released:
            return
        if not self.closing:
            self._begin_close()
        self.released = True
        self.stack.close(abort=abort)
        for block in list(self.blocks.values()):
            block.closed_by_us = True
            block.wake()
        self.reader.wake_all()
        self.sender.retry()

    def detach(self) -> int:
        """Give the stack's socket up and leave it, and its associations, as they are."""
        self.check_open()
        self._check_idle()
        # What the library wanted to see is not what its program asked for.
        self.stack.subscribe(self.subscription, None)
        for block in self.blocks.values():
            if block.subscription is not None:
                self.stack.subscribe(block.subscription, block.id)
        self._begin_close()
        self.released = True
        return self.stack.detach()

    def _check_idle(self) -> None:
        """Refuse to give up a socket of which somebody, or something, would be left behind."""
        records = len(self.store)
        if self.data_only:
            records = sum(type(record) is Message for record in self.store)
        if self.inbox is not None:
            reason = "it is in active mode"
        elif self._receiver is not None:
            reason = "a task receives from it"
        elif self.sender.waiting() or any(block.waiters for block in self.blocks.values()):
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
    socket = Socket(raw, max_message_size)
    try:
        socket.settings.configure(options)
    except BaseException:
        socket.release(abort=True)
        raise
    return socket


def connect_failed(number: int, addresses: Sequence[Address], block: ControlBlock) -> ConnectFailed:
    """The error for an association that could not be set up."""
    peer = " / ".join(f"{a[0]} port {a[1]}" for a in addresses)
    return ConnectFailed(number, peer, block.last_event)


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
