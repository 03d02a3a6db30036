"""The bytes of a notification as an event.

Much of a notification comes from the peer, so nothing here may raise: one that cannot be understood
becomes an `UnknownEvent`.
"""

from __future__ import annotations

import socket
import struct
from enum import IntEnum
from typing import TypeVar

from .._values import (
    AdaptationIndication,
    AssociationChange,
    AssociationReset,
    AssociationState,
    AuthenticationChange,
    AuthenticationState,
    FailedFragment,
    Notification,
    PartialDeliveryAborted,
    PeerAddressChange,
    PeerAddressState,
    ReconfigurationFlags,
    RemoteError,
    SenderDry,
    ShutdownReceived,
    StreamChange,
    StreamReset,
    UnknownEvent,
    abort_reason_untrusted,
)
from ._layouts import (
    DATA_FIRST,
    DATA_LAST,
    DATA_UNORDERED,
    NOTE_HEADER,
    NOTE_STRUCTS,
    Note,
    unpack_address,
)

E = TypeVar("E", bound=IntEnum)


def known(enumeration: type[E], number: int) -> E | int:
    """The member with this number, or the number itself."""
    try:
        return enumeration(number)
    except ValueError:
        return number


def parse_notification(data: bytes) -> Notification | FailedFragment:
    """The event for a notification: Linux has thirteen types, anything else is `UnknownEvent`."""
    type = flags = 0
    try:
        type, flags, _ = NOTE_HEADER.unpack_from(data)
        layout = NOTE_STRUCTS[Note(type)]
        fields = layout.unpack_from(data, NOTE_HEADER.size)
        return _event(Note(type), flags, fields, data[NOTE_HEADER.size + layout.size :])
    except (struct.error, ValueError):
        return UnknownEvent(association_id=0, type=type, flags=flags, data=data)


def _event(
    note: Note, flags: int, f: tuple[int, ...], rest: bytes
) -> Notification | FailedFragment:
    match note:
        case Note.ASSOC_CHANGE:
            state = known(AssociationState, f[0])
            lost = state in (AssociationState.COMM_LOST, AssociationState.CANT_ASSOC)
            return AssociationChange(
                association_id=f[4],
                state=state,
                error=socket.ntohs(f[1]),
                outbound_streams=f[2],
                inbound_streams=f[3],
                info=rest,
                reason=abort_reason_untrusted(rest) if lost else b"",
            )
        case Note.PEER_ADDR_CHANGE:
            packed: bytes = f[0]  # type: ignore[assignment]
            return PeerAddressChange(
                association_id=f[3],
                address=unpack_address(packed)[0],
                state=known(PeerAddressState, f[1]),
                error=f[2],
            )
        case Note.SEND_FAILED:
            error, stream, _, info, ppid, context, *_, id = f
            return _failed(id, rest, flags, error, stream, info, ppid, context)
        case Note.SEND_FAILED_EVENT:
            error, stream, info, ppid, context, _, id = f
            return _failed(id, rest, flags, error, stream, info, ppid, context)
        case Note.REMOTE_ERROR:
            return RemoteError(association_id=f[1], error=socket.ntohs(f[0]), data=rest)
        case Note.SHUTDOWN_EVENT:
            return ShutdownReceived(association_id=f[0])
        case Note.PARTIAL_DELIVERY_EVENT:
            return PartialDeliveryAborted(
                association_id=f[1],
                indication=f[0],
                stream=f[2],
                ssn=f[3],
                unordered=bool(flags & DATA_UNORDERED),
            )
        case Note.ADAPTATION_INDICATION:
            return AdaptationIndication(association_id=f[1], adaptation_ind=f[0])
        case Note.AUTHENTICATION_EVENT:
            return AuthenticationChange(
                association_id=f[3],
                keynumber=f[0],
                altkeynumber=f[1],
                indication=known(AuthenticationState, f[2]),
            )
        case Note.SENDER_DRY_EVENT:
            return SenderDry(association_id=f[0])
        case Note.STREAM_RESET_EVENT:
            streams = struct.unpack(f"={len(rest) // 2}H", rest[: len(rest) // 2 * 2])
            return StreamReset(
                association_id=f[0], flags=ReconfigurationFlags(flags), streams=streams
            )
        case Note.ASSOC_RESET_EVENT:
            return AssociationReset(
                association_id=f[0],
                flags=ReconfigurationFlags(flags),
                local_tsn=f[1],
                remote_tsn=f[2],
            )
        case Note.STREAM_CHANGE_EVENT:
            return StreamChange(
                association_id=f[0],
                flags=ReconfigurationFlags(flags),
                inbound_streams=f[1],
                outbound_streams=f[2],
            )


def _failed(
    id: int, data: bytes, flags: int, error: int, stream: int, info: int, ppid: int, context: int
) -> FailedFragment:
    return FailedFragment(
        association_id=id,
        data=data,
        first=bool(info & DATA_FIRST),
        last=bool(info & DATA_LAST),
        sent=bool(flags),
        error=socket.ntohs(error & 0xFFFF),
        stream=stream,
        ppid=socket.ntohl(ppid),
        unordered=bool(info & DATA_UNORDERED),
        context=context,
    )
