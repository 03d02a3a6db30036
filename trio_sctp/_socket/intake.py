"""A stack's arrivals, made into records and changes of associations.

What arrives changes the associations first and is queued afterwards, so a state waits for nobody
who reads, and for no credit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from .._errors import OUT_OF_RESOURCE
from .._options import (
    DEFAULT_EVENTS,
    NEEDED_EVENTS,
    EventSubscription,
    ReceiveBuffer,
    Status,
    StatusState,
    event_types,
    merge,
)
from .._values import (
    Arrival,
    AssociationChange,
    AssociationState,
    FailedFragment,
    Message,
    Notification,
    PartialDeliveryAborted,
    PeerAddressChange,
    Piece,
    SenderDry,
    SendFailed,
    ShutdownReceived,
    StreamChange,
)
from . import journal
from .queue import STORE_RECORDS, Partials, Role
from .tcb import Phase, Tcb

if TYPE_CHECKING:
    from .socket import Socket

READ_BATCH = 256
"""Arrivals taken from the stack at once.  Other tasks run in between, so a small number would leave
a busy socket behind its senders: what does not fit into its receive buffer is lost on the way and
sent again, at worst until the peer gives up."""


_TOGETHER = 4
"""How many times the largest message the incomplete ones of one peer may take together, where they
are interleaved."""


class Intake:
    """Reads a stack's socket into a queue, and keeps what is known of associations up to date."""

    def __init__(self, socket: Socket, max_message_size: int) -> None:
        self._socket = socket
        self._queue = socket.queue
        self.max_message_size: int = max_message_size
        # Only a small bound can be exceeded by a message that the stack hands up in one piece.
        self._check_size = max_message_size < 2**17
        self.received: int = 0  # messages, whole
        self.received_octets: int = 0  # their payload
        self.delivered: frozenset[type] = event_types(socket.subscription)
        self.discarded: dict[int, Tcb] = {}  # of cancelled connects, refused peers
        # Whose message was too large: the rest of it is dropped.  (An empty dict is small.)
        self._cut_off: dict[int, None] = {}
        self._ending: Tcb | None = None  # whose end was read, but not yet all that comes with it
        self.copies: list[Callable[[Notification], None]] = []  # are given each event, too

    # -- reading -----------------------------------------------------------------------------

    def read(self, limit: int = READ_BATCH) -> bool:
        """Take in what is there, without waiting; returns whether there was something."""
        raw = self._socket.raw
        arrivals = raw.receive(min(limit, READ_BATCH))
        if not arrivals:
            return False
        self._take_in(arrivals)
        while self._ending is not None:
            # The messages that it could not deliver follow directly: read them with its end.
            arrivals = raw.receive(READ_BATCH)
            if arrivals:
                self._take_in(arrivals)
            else:
                self._finish_end(self._ending)
        self._queue.announce()
        return True

    def read_ahead(self) -> None:
        """Take in what is there, as far as the store has room."""
        while self._queue.room() and self.read(STORE_RECORDS - len(self._queue.store)):
            pass

    def read_arrived(self) -> None:
        """Take in all that is there, however far ahead of those who take it.

        That is no more than the receive buffer holds, or somewhat more.  A bound is needed as a
        peer that keeps sending might never let it be empty.
        """
        end = self.received_octets + 2 * self._socket.settings.get(ReceiveBuffer, None).size
        while self.read() and self.received_octets < end:
            pass

    def read_to_end(self, tcb: Tcb) -> None:
        """Take in what is there, until an association has ended or nothing is left."""
        while tcb.end is None and self.read():
            pass

    def poll_state(self, tcb: Tcb) -> None:
        """Ask the stack for the state of an association whose events may be far behind."""
        try:
            status = self._socket.raw.status(tcb.id)
        except OSError:
            # It has ended, so its end stands in the stack's queue, no further back than the
            # receive buffer is large.  To read up to there costs memory once, and tells how it
            # ended.
            self.read_to_end(tcb)
        else:
            if status.state > StatusState.ESTABLISHED and not tcb.closed_by_us:
                tcb.peer_shuts_down = True
            if tcb.phase is Phase.HALF_OPEN:
                mark_as_reported(tcb, status)
            if tcb.dry_waits:
                self.note_if_dry(tcb)

    def note_if_dry(self, tcb: Tcb) -> None:
        """Tell those who wait whether all that was sent on an association is acknowledged.

        An event that says so may be older than what was sent last, so the stack is asked.
        """
        with contextlib.suppress(OSError):  # it has ended, as will be read
            if self._socket.raw.is_dry(tcb.id):
                tcb.dry_seen += 1
                tcb.wake()

    # -- messages ----------------------------------------------------------------------------

    def _take_in(self, arrivals: list[Arrival]) -> None:
        """Queue arrivals; a batch of whole messages that need no more care takes a short cut."""
        if not (
            self._queue.partials
            or self.discarded
            or self._cut_off
            or self._ending
            or self._check_size
            or self._socket.closing
            or self._socket.drained
        ) and set(map(type, arrivals)) == {Message}:
            self._queue.put(arrivals)  # type: ignore[arg-type]
            self.received += len(arrivals)
            self.received_octets += sum([len(message.data) for message in arrivals])  # type: ignore[union-attr, misc]
            return
        for arrival in arrivals:
            if self._ending is not None and (
                type(arrival) is not FailedFragment or arrival.association_id != self._ending.id
            ):
                self._finish_end(self._ending)
            match arrival:
                case Message():
                    self._take_message(arrival)
                case Piece(message):
                    self._take_piece(message)
                case FailedFragment():
                    self._take_failed_fragment(arrival)
                case AssociationChange():
                    self._take_change(arrival)
                case _:
                    self._take_event(arrival)

    def _unwanted(self, id: int) -> bool:
        """Whether nobody is to see anything of this association."""
        return self._socket.closing or id in self.discarded

    def _drops_messages(self, id: int) -> bool:
        """Whether nobody is to see messages of this association."""
        return self._unwanted(id) or id in self._cut_off or self._socket.drained

    def _take_message(self, message: Message) -> None:
        id = message.association_id
        partials = self._queue.partials.get(id)
        partial = None
        if partials is not None:
            partial = partials.take(message)
            if not partials:
                del self._queue.partials[id]
        if self._drops_messages(id):
            return
        size = len(message.data) + (partial.size if partial else 0)
        if size > self.max_message_size:
            self._cut_off_peer(id)
        else:
            self._queue.put([partial.whole(message) if partial else message])
            self.received += 1
            self.received_octets += size

    def _take_piece(self, piece: Message) -> None:
        id = piece.association_id
        if self._drops_messages(id):
            return
        partials = self._queue.partials.get(id)
        if partials is None:
            partials = self._queue.partials[id] = Partials()
        size = partials.add(piece)
        if size > self.max_message_size or partials.size > _TOGETHER * self.max_message_size:
            self._cut_off_peer(id)

    def _cut_off_peer(self, id: int) -> None:
        """Abort an association whose peer sends a message larger than we are willing to hold."""
        socket = self._socket
        self._queue.partials.pop(id, None)
        self._cut_off[id] = None
        tcb = socket.tcbs.get(id) or socket.add_tcb(id)
        reason = b"message larger than %d bytes" % self.max_message_size
        too_large = "a message larger than %d bytes was dropped, and its sender is aborted"
        journal.warn_seldom("too large", tcb, too_large, self.max_message_size)
        socket.cut_off(tcb, OUT_OF_RESOURCE, reason)

    # -- events ------------------------------------------------------------------------------

    def _deliver(self, event: Notification, tcb: Tcb | None) -> None:
        """Queue an event, if it is one that somebody wants to see."""
        if self._wanted(event, tcb):
            self._queue.put([event])
            if tcb is None or event is not tcb.end_event:
                self._copy(event)

    def _wanted(self, event: Notification, tcb: Tcb | None) -> bool:
        if self._unwanted(event.association_id):
            return False
        delivered = self.delivered
        if tcb is not None and tcb.delivered is not None:
            delivered = tcb.delivered
        return type(event) in delivered

    def _copy(self, event: Notification) -> None:
        for copy in self.copies:
            copy(event)

    def _take_event(self, event: Notification) -> None:
        tcb = self.find(event.association_id)
        match event:
            case ShutdownReceived() if tcb is not None:
                tcb.peer_shuts_down = True
            case SenderDry() if tcb is not None and tcb.dry_waits:
                self.note_if_dry(tcb)
            case PartialDeliveryAborted():
                self._drop_partial(event)
                if tcb is not None:
                    journal.warn_seldom(
                        "partial", tcb, "a message of which a part had come is dropped"
                    )
            case PeerAddressChange() if tcb is not None:
                journal.path_changed(tcb, event)
            case StreamChange() if tcb is not None:
                tcb.outbound_streams = event.outbound_streams
                tcb.inbound_streams = event.inbound_streams
            case _:
                pass
        self._deliver(event, tcb)

    def _drop_partial(self, event: PartialDeliveryAborted) -> None:
        partials = self._queue.partials.get(event.association_id)
        if partials is not None:
            partials.drop(event)
            if not partials:
                del self._queue.partials[event.association_id]

    def _take_change(self, event: AssociationChange) -> None:
        tcb = self.find(event.association_id)
        private = tcb is not None and tcb.private
        match event.state:
            case AssociationState.COMM_UP:
                tcb = self._take_up(event, tcb)
            case AssociationState.RESTART:
                # The peer sends no more of a message that had arrived in part.
                self._queue.partials.pop(event.association_id, None)
                tcb = self._take_up(event, tcb)
                private = False
            case (
                AssociationState.COMM_LOST
                | AssociationState.SHUTDOWN_COMP
                | AssociationState.CANT_ASSOC
            ) if tcb is not None:
                self._queue.partials.pop(event.association_id, None)
                tcb.end_event = event
                self._ending = tcb
            case _:
                pass
        if not private:
            self._deliver(event, tcb)

    def _take_up(self, event: AssociationChange, tcb: Tcb | None) -> Tcb:
        """Note that an association came up or was restarted; it may be a new one of the peer's."""
        socket = self._socket
        if tcb is None:
            tcb = socket.add_tcb(event.association_id)
            if socket.role is Role.LISTENER:
                self._queue.unaccepted.append(tcb)
        tcb.private = False
        tcb.mark_up(event.outbound_streams, event.inbound_streams)
        restarted = event.state is AssociationState.RESTART
        journal.up(tcb, restarted=restarted)
        if restarted and tcb.requests is not None:
            tcb.requests.restarted()
        if socket.closing or (restarted and tcb.closed_by_us and tcb.our_abort is None):
            socket.start_shutdown(tcb)  # no restart revives what the program has closed
        return tcb

    # -- ends --------------------------------------------------------------------------------

    def _take_failed_fragment(self, fragment: FailedFragment) -> None:
        id = fragment.association_id
        tcb = self.find(id) or Tcb(id, self._socket)
        key = (fragment.stream, fragment.ppid, fragment.unordered, fragment.context)
        if fragment.first:
            self._join_fragments(tcb, key)
        tcb.fragments.setdefault(key, []).append(fragment)
        if fragment.last:
            self._join_fragments(tcb, key)

    def _join_fragments(self, tcb: Tcb, key: tuple[int, int, bool, int]) -> None:
        """Make the fragments that there are of a message that was not delivered into one event."""
        fragments = tcb.fragments.pop(key, None)
        if fragments is None:
            return
        stream, ppid, unordered, context = key
        failed = SendFailed(
            association_id=tcb.id,
            data=b"".join(fragment.data for fragment in fragments),
            complete=fragments[0].first and fragments[-1].last,
            sent=any(fragment.sent for fragment in fragments),
            error=fragments[0].error,
            stream=stream,
            ppid=ppid,
            unordered=unordered,
            context=context,
        )
        if self._ending is tcb:
            tcb.undelivered.append(failed)
        else:
            gone = "a message of %d bytes on stream %d was given up"
            journal.warn_seldom("given up", tcb, gone, len(failed.data), failed.stream)
        self._deliver(failed, tcb)

    def _finish_end(self, tcb: Tcb) -> None:
        """Conclude an end, of which everything has been read now."""
        event = tcb.end_event
        assert event is not None
        for key in list(tcb.fragments):
            self._join_fragments(tcb, key)
        self._ending = None
        if self.copies and self._wanted(event, tcb):
            # Last, so that the messages that failed with the association do not crowd it out.
            self._copy(event)
        cause, reason = tcb.our_abort or (event.error, event.reason)
        self._socket.end(tcb, AssociationState(event.state), cause, reason)

    # -- associations ------------------------------------------------------------------------

    def find(self, id: int) -> Tcb | None:
        """The association with this id, discarded ones included."""
        return self._socket.tcbs.get(id) or self.discarded.get(id)

    def forget(self, id: int) -> None:
        """Drop what is kept about an association; it has ended."""
        self.discarded.pop(id, None)
        self._cut_off.pop(id, None)

    def move(self, id: int, other: Intake) -> None:
        """Hand what is kept about an association to the intake of its new socket."""
        if id in self._cut_off:
            del self._cut_off[id]
            other._cut_off[id] = None
        if id in self._queue.partials:
            other._queue.partials[id] = self._queue.partials.pop(id)


def mark_as_reported(tcb: Tcb, status: Status) -> None:
    """Note that an association is up, if the stack says so."""
    if status.state >= StatusState.ESTABLISHED:
        tcb.mark_up(status.outstrms, status.instrms)


def with_needed_events(subscription: EventSubscription) -> EventSubscription:
    """A subscription, and with it what the library itself has to see."""
    if subscription is DEFAULT_EVENTS:
        return _NEEDED_AND_DEFAULT
    return _with_needed_events(subscription)


def _with_needed_events(subscription: EventSubscription) -> EventSubscription:
    seen = merge(NEEDED_EVENTS, subscription)
    assert isinstance(seen, EventSubscription)
    return seen


_NEEDED_AND_DEFAULT = _with_needed_events(DEFAULT_EVENTS)  # made once for all sockets
