"""Numbers and structs of Linux's SCTP socket API (linux/sctp.h), and socket addresses.

Structs are in host byte order, with no padding except what is written (``x``).
"""

from __future__ import annotations

import enum
import socket
import struct

from .._values import Address

SOL_SCTP = 132
SIOCGSKNS = 0x894C  # ioctl: a descriptor of a socket's network namespace


class Opt(enum.IntEnum):
    """Socket options of level SOL_SCTP."""

    RTOINFO = 0
    ASSOCINFO = 1
    INITMSG = 2
    NODELAY = 3
    AUTOCLOSE = 4
    SET_PEER_PRIMARY_ADDR = 5
    PRIMARY_ADDR = 6
    ADAPTATION_LAYER = 7
    DISABLE_FRAGMENTS = 8
    PEER_ADDR_PARAMS = 9
    DEFAULT_SEND_PARAM = 10
    I_WANT_MAPPED_V4_ADDR = 12
    MAXSEG = 13
    STATUS = 14
    GET_PEER_ADDR_INFO = 15
    DELAYED_SACK = 16
    CONTEXT = 17
    FRAGMENT_INTERLEAVE = 18
    PARTIAL_DELIVERY_POINT = 19
    MAX_BURST = 20
    AUTH_CHUNK = 21
    HMAC_IDENT = 22
    AUTH_KEY = 23
    AUTH_ACTIVE_KEY = 24
    AUTH_DELETE_KEY = 25
    PEER_AUTH_CHUNKS = 26
    LOCAL_AUTH_CHUNKS = 27
    GET_ASSOC_NUMBER = 28
    GET_ASSOC_ID_LIST = 29
    AUTO_ASCONF = 30
    RECVRCVINFO = 32
    PEER_ADDR_THLDS_V2 = 37
    AUTH_DEACTIVATE_KEY = 35
    SOCKOPT_BINDX_ADD = 100
    SOCKOPT_BINDX_REM = 101
    GET_PEER_ADDRS = 108
    GET_LOCAL_ADDRS = 109
    SOCKOPT_CONNECTX3 = 111
    GET_ASSOC_STATS = 112
    PR_SUPPORTED = 113
    RECONFIG_SUPPORTED = 117
    ENABLE_STREAM_RESET = 118
    RESET_STREAMS = 119
    RESET_ASSOC = 120
    ADD_STREAMS = 121
    SOCKOPT_PEELOFF_FLAGS = 122
    STREAM_SCHEDULER = 123
    STREAM_SCHEDULER_VALUE = 124
    INTERLEAVING_SUPPORTED = 125
    DEFAULT_PRINFO = 114
    PR_ASSOC_STATUS = 115
    PR_STREAM_STATUS = 116
    EVENT = 127
    ASCONF_SUPPORTED = 128
    AUTH_SUPPORTED = 129
    ECN_SUPPORTED = 130
    EXPOSE_POTENTIALLY_FAILED_STATE = 131
    REMOTE_UDP_ENCAPS_PORT = 132
    PLPMTUD_PROBE_INTERVAL = 133


FUTURE_ASSOCIATIONS = 0
ALL_ASSOCIATIONS = 2

# Control messages: their types, then their structs.
SNDINFO = 2
PRINFO = 5
SNDINFO_STRUCT = struct.Struct("=HHIIi")  # stream, flags, ppid (network order), context, id
RCVINFO_STRUCT = struct.Struct("=HHHxxIIIIi")  # stream, ssn, flags, ppid, tsn, cumtsn, context, id
PRINFO_STRUCT = struct.Struct("=HxxI")  # policy, value

# Flags of a message that is sent, and the policies by which it may be given up.
UNORDERED = 0x0001
ADDR_OVER = 0x0002
ABORT = 0x0004
EOF = 0x0200
PR_SCTP_NONE, PR_SCTP_TTL, PR_SCTP_RTX, PR_SCTP_PRIO = 0x0000, 0x0010, 0x0020, 0x0030
PR_SCTP_MASK = 0x0030

# Flags of a message that was received.
MSG_EOR = 0x80
MSG_NOTIFICATION = 0x8000

EVENT_STRUCT = struct.Struct("=iHBx")  # id, type, on
PEELOFF_FLAGS_STRUCT = struct.Struct("=iii")  # id, descriptor, flags
CONNECTX3_STRUCT = struct.Struct("=iiQ")  # id, length of the addresses, pointer to them
ADDRS_STRUCT = struct.Struct("=iI")  # id, number of addresses that follow

STORAGE_SIZE = 128  # sockaddr_storage, in the structs below: 128s

ASSOCPARAMS_STRUCT = struct.Struct("=iHHIII")
INITMSG_STRUCT = struct.Struct("=HHHH")
PADDRINFO_STRUCT = struct.Struct("=i128siIIII")
PADDRPARAMS_STRUCT = struct.Struct("=i128sIHIIIIBx")  # ..., flags, IPv6 flow label, DSCP
PRIM_STRUCT = struct.Struct("=i128s")
RTOINFO_STRUCT = struct.Struct("=iIII")
SACK_INFO_STRUCT = struct.Struct("=iII")
SNDRCVINFO_STRUCT = struct.Struct("=HHHxxIIIIIi")
STATUS_STRUCT = struct.Struct("=iiIHHHHIi128siIIII")
AUTHCHUNK_STRUCT = struct.Struct("=B")
AUTHCHUNKS_STRUCT = struct.Struct("=iI256s")  # id, number of chunk types, the types
AUTHKEY_STRUCT = struct.Struct("=iHH65535s")  # id, key, length of the secret, the secret
AUTHKEYID_STRUCT = struct.Struct("=iH2x")
HMACALGO_STRUCT = struct.Struct("=IHH")  # number of identifiers, the two that there are
ASSOC_VALUE_STRUCT = struct.Struct("=iI")
ASSOC_ID_STRUCT = struct.Struct("=i")
RESET_STREAMS_STRUCT = struct.Struct("=iHH")  # id, flags, number of streams; these follow
ADD_STREAMS_STRUCT = struct.Struct("=iHH")  # id, inbound, outbound
STREAM_VALUE_STRUCT = struct.Struct("=iHH")
DEFAULT_PRINFO_STRUCT = struct.Struct("=iIHxx")  # id, value, policy
PRSTATUS_STRUCT = struct.Struct("=iHHQQ")  # id, stream, policy, unsent, sent

# These are not packed in C: sockaddr_storage is aligned as pointers are ("0P").
ASSOC_STATS_STRUCT = struct.Struct("@i0P128s15Q")
UDPENCAPS_STRUCT = struct.Struct("@i0P128sH0P")
PADDRTHLDS_V2_STRUCT = struct.Struct("@i0P128sHHH0P")
PROBEINTERVAL_STRUCT = struct.Struct("@i0P128sI0P")

PF_EXPOSE_DISABLE, PF_EXPOSE_ENABLE = 1, 2  # of SCTP_EXPOSE_POTENTIALLY_FAILED_STATE; 0 is unset

# A flag of SCTP_PEER_ADDR_PARAMS: an interval of 0 means 0, and not "leave it as it is".
SPP_HB_TIME_IS_ZERO = 0x80

# Flags of SCTP_RESET_STREAMS, and of SCTP_ENABLE_STREAM_RESET.
STREAM_RESET_INCOMING, STREAM_RESET_OUTGOING = 0x01, 0x02
ENABLE_RESET_STREAM_REQ, ENABLE_RESET_ASSOC_REQ, ENABLE_CHANGE_ASSOC_REQ = 0x01, 0x02, 0x04

DATA_IO_EVENT = 0x8000  # not a notification: asks for SNDRCVINFO with each message


class Note(enum.IntEnum):
    """Types of notifications (enum sctp_sn_type)."""

    ASSOC_CHANGE = 0x8001
    PEER_ADDR_CHANGE = 0x8002
    SEND_FAILED = 0x8003
    REMOTE_ERROR = 0x8004
    SHUTDOWN_EVENT = 0x8005
    PARTIAL_DELIVERY_EVENT = 0x8006
    ADAPTATION_INDICATION = 0x8007
    AUTHENTICATION_EVENT = 0x8008
    SENDER_DRY_EVENT = 0x8009
    STREAM_RESET_EVENT = 0x800A
    ASSOC_RESET_EVENT = 0x800B
    STREAM_CHANGE_EVENT = 0x800C
    SEND_FAILED_EVENT = 0x800D


# What follows the header of a notification; data of any length may follow that.
NOTE_HEADER = struct.Struct("=HHI")  # type, flags, length
NOTE_STRUCTS = {
    Note.ASSOC_CHANGE: struct.Struct("=HHHHi"),  # state, error (network), out, in, id
    Note.PEER_ADDR_CHANGE: struct.Struct("=128siii"),  # address, state, error, id
    Note.SEND_FAILED: struct.Struct("=IHHHxxIIIIIii"),  # error (network), sndrcvinfo, id
    Note.REMOTE_ERROR: struct.Struct("=Hxxi"),  # error (network), id
    Note.SHUTDOWN_EVENT: struct.Struct("=i"),  # id
    Note.PARTIAL_DELIVERY_EVENT: struct.Struct("=IiII"),  # indication, id, stream, ssn
    Note.ADAPTATION_INDICATION: struct.Struct("=Ii"),  # indication, id
    Note.AUTHENTICATION_EVENT: struct.Struct("=HHIi"),  # key, other key, indication, id
    Note.SENDER_DRY_EVENT: struct.Struct("=i"),  # id
    Note.STREAM_RESET_EVENT: struct.Struct("=i"),  # id; a list of streams follows
    Note.ASSOC_RESET_EVENT: struct.Struct("=iII"),  # id, local tsn, remote tsn
    Note.STREAM_CHANGE_EVENT: struct.Struct("=iHH"),  # id, inbound, outbound
    Note.SEND_FAILED_EVENT: struct.Struct("=IHHIIii"),  # error (network), sndinfo, id
}

# A fragment's place in its message: flags of its DATA chunk, which SEND_FAILED's info holds.
DATA_LAST = 0x1
DATA_FIRST = 0x2
DATA_UNORDERED = 0x4

_FAMILY = struct.Struct("=H")
_IN = struct.Struct("!H4s8x")
_IN6 = struct.Struct("!HI16s")
_SCOPE = struct.Struct("=I")
_IN_SIZE = 16
_IN6_SIZE = 28


def pack_address(address: Address, port: int | None = None) -> bytes:
    """The address as a sockaddr_in or sockaddr_in6, with another port if one is given."""
    host = address[0]
    if port is None:
        port = address[1]
    if ":" not in host:
        return _FAMILY.pack(socket.AF_INET) + _IN.pack(port, socket.inet_aton(host))
    host, _, zone = host.partition("%")
    flow, scope = address[2:] if len(address) == 4 else (0, 0)
    if zone:
        scope = int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
    packed = socket.inet_pton(socket.AF_INET6, host)
    return _FAMILY.pack(socket.AF_INET6) + _IN6.pack(port, flow, packed) + _SCOPE.pack(scope)


def unpack_address(data: bytes) -> tuple[Address, int]:
    """The address at the beginning of ``data``, and the bytes that it takes there."""
    (family,) = _FAMILY.unpack_from(data)
    if family == socket.AF_INET6:
        port, flow, packed = _IN6.unpack_from(data, 2)
        # The kernel names an interface even where it means nothing, as for ::1.
        link_local = packed[0] == 0xFE and packed[1] & 0xC0 == 0x80
        scope = _SCOPE.unpack_from(data, 24)[0] if link_local else 0
        return (socket.inet_ntop(socket.AF_INET6, packed), port, flow, scope), _IN6_SIZE
    port, packed = _IN.unpack_from(data, 2)
    return (socket.inet_ntoa(packed), port), _IN_SIZE
