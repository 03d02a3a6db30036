"""Linux's notifications: every type, and bytes that are none."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

import trio_sctp
from trio_sctp import AssociationState, PeerAddressState
from trio_sctp import ReconfigurationFlags as Flags
from trio_sctp._values import FailedFragment

pytest.importorskip("fcntl", reason="of Linux, whose modules are not for Windows")

from trio_sctp._kernel._layouts import Note
from trio_sctp._kernel._notifications import parse_notification
from trio_sctp._kernel._options import NOTES

ID = 7
# As linux/sctp.h lays them out; causes in network order.
SNDRCVINFO = struct.pack("=HHHxxIIIIIi", 3, 0, 3, socket.htonl(46), 9, 0, 0, 0, ID)
SNDINFO = struct.pack("=HHIIi", 3, 2, socket.htonl(46), 9, ID)
SOCKADDR = struct.pack("=H", socket.AF_INET) + struct.pack("!H4s", 2905, bytes([10, 0, 0, 1]))


def note(type: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack("=HHI", type, flags, 8 + len(body)) + body


def failed(first: bool, last: bool) -> FailedFragment:
    return FailedFragment(
        association_id=ID,
        data=b"\xff\xfe",
        first=first,
        last=last,
        sent=True,
        error=12,
        stream=3,
        ppid=46,
        unordered=False,
        context=9,
    )


@pytest.mark.parametrize(
    ("data", "event"),
    [
        (
            note(
                0x8001, struct.pack("=HHHHi", 1, socket.htons(12), 5, 10, ID) + b"\0\x0c\0\x07bye"
            ),
            trio_sctp.AssociationChange(
                association_id=ID,
                state=AssociationState.COMM_LOST,
                error=12,
                outbound_streams=5,
                inbound_streams=10,
                info=b"\0\x0c\0\x07bye",
                reason=b"bye",
            ),
        ),
        (
            note(0x8001, struct.pack("=HHHHi", 77, 0, 5, 10, ID)),
            trio_sctp.AssociationChange(
                association_id=ID, state=77, error=0, outbound_streams=5, inbound_streams=10
            ),
        ),
        (
            note(0x8002, SOCKADDR.ljust(128, b"\0") + struct.pack("=iii", 1, 3, ID)),
            trio_sctp.PeerAddressChange(
                association_id=ID,
                address=("10.0.0.1", 2905),
                state=PeerAddressState.ADDR_UNREACHABLE,
                error=3,
            ),
        ),
        (
            note(
                0x8003,
                struct.pack("=I", socket.htons(12))
                + SNDRCVINFO
                + struct.pack("=i", ID)
                + b"\xff\xfe",
                1,
            ),
            failed(True, True),
        ),
        (
            note(
                0x800D,
                struct.pack("=I", socket.htons(12)) + SNDINFO + struct.pack("=i", ID) + b"\xff\xfe",
                1,
            ),
            failed(True, False),
        ),
        (
            note(0x8004, struct.pack("=Hxxi", socket.htons(6), ID) + b"\xff\xfe\xfd\xfc"),
            trio_sctp.RemoteError(association_id=ID, error=6, data=b"\xff\xfe\xfd\xfc"),
        ),
        (
            note(0x8005, struct.pack("=i", ID)),
            trio_sctp.ShutdownReceived(association_id=ID),
        ),
        (
            note(0x8006, struct.pack("=IiII", 0, ID, 3, 4)),
            trio_sctp.PartialDeliveryAborted(association_id=ID, indication=0, stream=3, ssn=4),
        ),
        (
            note(0x8007, struct.pack("=Ii", 0x80000001, ID)),
            trio_sctp.AdaptationIndication(association_id=ID, adaptation_ind=0x80000001),
        ),
        (
            note(0x8008, struct.pack("=HHIi", 1, 2, 3, ID)),
            trio_sctp.AuthenticationChange(
                association_id=ID, keynumber=1, altkeynumber=2, indication=3
            ),
        ),
        (note(0x8009, struct.pack("=i", ID)), trio_sctp.SenderDry(association_id=ID)),
        (
            note(0x800A, struct.pack("=iHH", ID, 1, 5), 2),
            trio_sctp.StreamReset(association_id=ID, flags=Flags.OUTGOING, streams=(1, 5)),
        ),
        (
            note(0x800B, struct.pack("=iII", ID, 11, 12), 4),
            trio_sctp.AssociationReset(
                association_id=ID, flags=Flags.DENIED, local_tsn=11, remote_tsn=12
            ),
        ),
        (
            note(0x800C, struct.pack("=iHH", ID, 8, 9)),
            trio_sctp.StreamChange(
                association_id=ID,
                flags=Flags(0),
                inbound_streams=8,
                outbound_streams=9,
            ),
        ),
        (
            note(0x80FF, b"of a later kernel", 5),
            trio_sctp.UnknownEvent(
                association_id=0, type=0x80FF, flags=5, data=note(0x80FF, b"of a later kernel", 5)
            ),
        ),
    ],
)
def test_every_type_becomes_its_event(data: bytes, event: object) -> None:
    assert parse_notification(data) == event


@pytest.mark.parametrize(
    ("causes", "reason"),
    [
        (b"", b""),
        (b"\0\x0c", b""),
        (b"\0\x0c\0\x04", b""),
        (b"\0\x0c\0\x06ok", b"ok"),
        (b"\0\x0c\0\x05o\0\0\0" + b"\0\x0c\0\x05x", b"o"),
        (b"\0\x04\0\x04" + b"\0\x0c\0\x07why", b"why"),
        (b"\0\x0d\0\x05a\0\0\0" + b"\0\x0c\0\x07why", b"why"),
        (b"\0\x04\0\0" + b"\0\x0c\0\x07why", b"why"),
        (b"\0\x04\xff\xff" + b"\0\x0c\0\x07why", b""),
        (b"\0\x0c\xff\xffcut", b"cut"),
    ],
)
def test_the_reason_is_the_text_of_the_first_user_initiated_abort(
    causes: bytes, reason: bytes
) -> None:
    error = int.from_bytes(causes[:2], "big")
    header = struct.pack("=HHHHi", AssociationState.COMM_LOST, socket.htons(error), 5, 10, ID)
    event = parse_notification(note(0x8001, header + causes))
    assert isinstance(event, trio_sctp.AssociationChange)
    assert event.reason == reason


def test_a_notification_that_is_cut_short_is_kept_as_unknown() -> None:
    data = note(0x8001, b"")
    assert parse_notification(data) == trio_sctp.UnknownEvent(
        association_id=0, type=0x8001, flags=0, data=data
    )


@given(st.binary(max_size=300), st.sampled_from(range(0x8000, 0x8010)))
def test_no_bytes_of_a_peer_raise(body: bytes, type: int) -> None:
    parse_notification(body)
    parse_notification(note(type, body))


def test_every_notification_but_the_older_send_failed_can_be_subscribed_to() -> None:
    assert set(NOTES.values()) == set(Note) - {Note.SEND_FAILED}
