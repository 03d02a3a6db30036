"""Linux's requests to reset and to add streams, and its notifications of that (RFC 6525).

What Linux does otherwise than the RFC says, as of Linux 6.1, is mended here:

- It sends a request only where it would grant the same request of the peer.
- A notification of a request to reset streams that has failed does not say of which direction.
- A notification of a reset of the association has its two TSNs exchanged.
- One of added streams tells how many were added, and not how many there are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import socket
import struct
from collections.abc import Callable

from .._errors import OptionUnsupported
from .._options import EnableStreamReset, EventSubscription, Status
from .._values import (
    AssociationReset,
    Notification,
    ReconfigurationFlags,
    ReconfigurationKind,
    ReconfigurationRequest,
    ReconfigurationResult,
    StreamChange,
    StreamReset,
)
from . import _options
from ._layouts import (
    ADD_STREAMS_STRUCT,
    ASSOC_ID_STRUCT,
    RESET_STREAMS_STRUCT,
    SOL_SCTP,
    STREAM_RESET_INCOMING,
    STREAM_RESET_OUTGOING,
    Note,
    Opt,
)
from ._libc import namespace_of

_Kind = ReconfigurationKind
_Result = ReconfigurationResult
_Flags = ReconfigurationFlags

_SIDE_OF = {_Kind.RESET_OUTGOING: _Flags.OUTGOING, _Kind.RESET_INCOMING: _Flags.INCOMING}
_SIDES = _Flags.OUTGOING | _Flags.INCOMING

EVENTS = (StreamReset, AssociationReset, StreamChange)
"""The events that `Requests.understand` is for."""

_NEEDED = {
    _Kind.RESET_OUTGOING: (Note.STREAM_RESET_EVENT, "streams", "stream_reset_event"),
    _Kind.RESET_INCOMING: (Note.STREAM_RESET_EVENT, "streams", "stream_reset_event"),
    _Kind.RESET_ASSOCIATION: (
        Note.ASSOC_RESET_EVENT,
        "association",
        "association_reset_event",
    ),
    _Kind.ADD_OUTGOING: (Note.STREAM_CHANGE_EVENT, "changes", "stream_change_event"),
    _Kind.ADD_INCOMING: (Note.STREAM_CHANGE_EVENT, "changes", "stream_change_event"),
}
"""What a kind of request needs: a notification, a field of `EnableStreamReset`, and the field of
`EventSubscription` for the notification."""


@dataclasses.dataclass(slots=True)
class _OnItsWay:
    """A request that was sent, and that the peer has not answered."""

    request: ReconfigurationRequest
    answered: Callable[[int], None] | None
    lent: bool
    """Whether it is granted to the peer only for as long as this lasts."""
    heard: bool
    """Whether the notification was asked for only for that."""


class Requests:
    """The requests on one socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._on_their_way: dict[int, _OnItsWay] = {}

    # -- asking ---

    def ask(
        self, id: int, request: ReconfigurationRequest, answered: Callable[[int], None]
    ) -> Callable[[], bool]:
        """Ask a peer; see `StackSocket.reconfigure`."""
        sock = self._sock
        note, field, event = _NEEDED[request.kind]
        grants = _options.get_option(sock, EnableStreamReset, id)
        lent = not getattr(grants, field)
        heard = not getattr(_options.subscription(sock, id), event)
        if lent:
            _options.set_option(sock, dataclasses.replace(grants, **{field: True}), id)
        if heard:
            _options.subscribe_to(sock, note, True, id)
        sent = _OnItsWay(request, answered, lent, heard)
        try:
            self._send(id, request)
        except OSError as error:
            self._take_back_needed(id, sent)
            if error.errno == errno.ENOPROTOOPT:
                raise self._unsupported() from None
            raise
        self._on_their_way[id] = sent

        def take_back() -> bool:
            sent.answered = None
            try:
                _options.get_option(sock, Status, id)
            except OSError:
                self._on_their_way.pop(id, None)  # the association has ended
            return id not in self._on_their_way

        return take_back

    def _send(self, id: int, request: ReconfigurationRequest) -> None:
        kind, streams, added = request
        match kind:
            case _Kind.RESET_OUTGOING | _Kind.RESET_INCOMING:
                outgoing = kind is _Kind.RESET_OUTGOING
                side = STREAM_RESET_OUTGOING if outgoing else STREAM_RESET_INCOMING
                packed = RESET_STREAMS_STRUCT.pack(id, side, len(streams))
                packed += struct.pack(f"={len(streams)}H", *streams)
                self._sock.setsockopt(SOL_SCTP, Opt.RESET_STREAMS, packed)
            case _Kind.RESET_ASSOCIATION:
                self._sock.setsockopt(SOL_SCTP, Opt.RESET_ASSOC, ASSOC_ID_STRUCT.pack(id))
            case _:
                inbound, outbound = (added, 0) if kind is _Kind.ADD_INCOMING else (0, added)
                packed = ADD_STREAMS_STRUCT.pack(id, inbound, outbound)
                self._sock.setsockopt(SOL_SCTP, Opt.ADD_STREAMS, packed)

    def _unsupported(self) -> OptionUnsupported:
        if _enabled(self._sock):
            return OptionUnsupported(
                errno.EOPNOTSUPP,
                "the peer cannot reset or add streams: it did not offer RE-CONFIG (RFC 6525) when "
                "the association was set up",
            )
        return OptionUnsupported(
            errno.EOPNOTSUPP,
            "the peer did not offer RE-CONFIG (RFC 6525), or Linux does not take it: "
            "net.sctp.reconf_enable is 0 here; set that sysctl to 1 before the association is set "
            "up",
        )

    def _take_back_needed(self, id: int, sent: _OnItsWay) -> None:
        """Undo what a request needed, which is over."""
        note, field, _ = _NEEDED[sent.request.kind]
        with contextlib.suppress(OSError):  # the association has ended
            if sent.lent:
                grants = _options.get_option(self._sock, EnableStreamReset, id)
                _options.set_option(self._sock, dataclasses.replace(grants, **{field: False}), id)
            if sent.heard:
                _options.subscribe_to(self._sock, note, False, id)

    # -- what a program sees of that meanwhile ---

    def granted(self, option: EnableStreamReset, id: int | None) -> EnableStreamReset:
        """What a program has granted, without what is granted for a request alone."""
        sent = None if id is None else self._on_their_way.get(id)
        if sent is None or not sent.lent:
            return option
        return dataclasses.replace(option, **{_NEEDED[sent.request.kind][1]: False})

    def was_set(self, id: int | None) -> None:
        """Keep what a program has granted when a request is over."""
        for other, sent in self._on_their_way.items():
            if id is None or id == other:
                sent.lent = False

    def was_subscribed(self, events: EventSubscription, id: int | None) -> None:
        """Hear what a request needs, though a program does not want to."""
        for other, sent in self._on_their_way.items():
            note, _, field = _NEEDED[sent.request.kind]
            if id is None or id == other:
                sent.heard = not getattr(events, field)
                if sent.heard:
                    _options.subscribe_to(self._sock, note, True, other)

    def move(self, id: int, other: Requests) -> None:
        """Hand an association that is peeled off over to those of its new socket."""
        if id in self._on_their_way:
            other._on_their_way[id] = self._on_their_way.pop(id)

    # -- answers ---

    def understand(self, event: StreamReset | AssociationReset | StreamChange) -> Notification:
        """What an event of Linux means, by the RFC."""
        id, flags = event.association_id, event.flags
        sent = self._on_their_way.get(id)
        kind = None if sent is None else sent.request.kind
        if isinstance(event, StreamReset):
            side = _Flags(0) if kind is None else _SIDE_OF.get(kind, _Flags(0))
            if not flags & _SIDES:
                flags |= side
            event = dataclasses.replace(event, flags=flags)
            ours = side != 0 and flags & _SIDES == side
        elif isinstance(event, AssociationReset):
            ours = kind is _Kind.RESET_ASSOCIATION
            event = dataclasses.replace(
                event, local_tsn=event.remote_tsn, remote_tsn=event.local_tsn
            )
        else:
            added = _Kind.ADD_OUTGOING if event.outbound_streams else _Kind.ADD_INCOMING
            ours = kind is added
            with contextlib.suppress(OSError):  # the association has ended
                status = _options.get_option(self._sock, Status, id)
                event = dataclasses.replace(
                    event, inbound_streams=status.instrms, outbound_streams=status.outstrms
                )
        if sent is not None and ours:
            self._conclude(id, sent, flags)
        return event

    def _conclude(self, id: int, sent: _OnItsWay, flags: ReconfigurationFlags) -> None:
        """The peer has answered a request."""
        del self._on_their_way[id]
        self._take_back_needed(id, sent)
        if sent.answered is None:
            return
        if flags & _Flags.DENIED:
            sent.answered(_Result.DENIED)
        else:
            sent.answered(_Result.FAILED if flags & _Flags.FAILED else _Result.PERFORMED)


def _enabled(sock: socket.socket) -> bool:
    """Whether Linux offers RE-CONFIG in a socket's namespace."""
    try:
        with namespace_of(sock):
            return _read_enabled()
    except PermissionError:
        return _read_enabled()


def _read_enabled() -> bool:
    with open("/proc/sys/net/sctp/reconf_enable") as file:
        return int(file.read()) != 0
