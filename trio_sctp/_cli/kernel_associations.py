"""The associations of this host's Linux kernel: /proc/net/sctp, and the kernel's socket diagnosis.

The former lists them all, to everybody.  The latter, a question by netlink (sock_diag(7)), adds the
round trip and the congestion window of the path that is in use; it needs the module sctp_diag.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import pwd
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trio_sctp import PathState

from .._kernel._options import jiffy

PROC = Path("/proc")

STATES: Final = (
    "CLOSED",
    "COOKIE_WAIT",
    "COOKIE_ECHOED",
    "ESTABLISHED",
    "SHUTDOWN_PENDING",
    "SHUTDOWN_SENT",
    "SHUTDOWN_RECEIVED",
    "SHUTDOWN_ACK_SENT",
)


@dataclass(frozen=True)
class Primary:
    """What the kernel tells of the path in use: milliseconds, bytes."""

    srtt: int
    rto: int
    cwnd: int


@dataclass(frozen=True)
class PeerPath:
    """One of a peer's addresses, and the state of the path to it."""

    host: str
    primary: bool
    state: PathState | None

    def __str__(self) -> str:
        state = "" if self.state in (None, PathState.ACTIVE) else f"({self.state})"
        return f"{self.host}{state}"


@dataclass(frozen=True, kw_only=True)
class KernelAssociation:
    """An association as the kernel lists it."""

    id: int
    state: str
    local_hosts: list[str]
    local_port: int
    paths: list[PeerPath]
    peer_port: int
    inbound_streams: int
    outbound_streams: int
    unsent: int
    unread: int
    retransmitted: int
    inode: int
    user: str
    primary: Primary | None

    @property
    def failing(self) -> bool:
        """Whether a path to the peer is not active."""
        return any(path.state not in (None, PathState.ACTIVE) for path in self.paths)


def read_associations() -> list[KernelAssociation]:
    """All associations of this network namespace."""
    states = _path_states((PROC / "net/sctp/remaddr").read_text())
    told = diagnose()
    found: list[KernelAssociation] = []
    for line in (PROC / "net/sctp/assocs").read_text().splitlines()[1:]:
        before, _, after = line.partition(" <-> ")
        # ASSOC SOCK STY SST ST HBKT ASSOC-ID TX_QUEUE RX_QUEUE UID INODE LPORT RPORT LADDRS
        fields = before.split()
        state, _, identity, unsent, unread, uid, inode, local, peer = map(int, fields[4:13])
        words = after.split()
        paths = [
            PeerPath(_short(word), word.startswith("*"), states.get((identity, _short(word))))
            for word in words
            if "." in word or ":" in word
        ]
        # … HBINT INS OUTS MAXRT T1X T2X RTXC wmema wmemq sndbuf rcvbuf
        numbers = [int(number) for number in words[len(paths) :]]
        primary = next((path.host for path in paths if path.primary), "")
        found.append(
            KernelAssociation(
                id=identity,
                state=STATES[state] if 0 <= state < len(STATES) else str(state),
                local_hosts=[_short(host) for host in fields[13:]],
                local_port=local,
                paths=paths,
                peer_port=peer,
                inbound_streams=numbers[1],
                outbound_streams=numbers[2],
                unsent=unsent,
                unread=unread,
                retransmitted=numbers[6],
                inode=inode,
                user=_user(uid),
                primary=told.get((inode, local, peer, primary)),
            )
        )
    return sorted(found, key=lambda one: one.id)


def _path_states(text: str) -> dict[tuple[int, str], PathState]:
    """The states of all paths, by association and host."""
    found: dict[tuple[int, str], PathState] = {}
    for line in text.splitlines()[1:]:
        # ADDR ASSOC_ID HB_ACT RTO MAX_PATH_RTX REM_ADDR_RTX START STATE
        host, identity, *_, state = line.split()
        with contextlib.suppress(ValueError):
            found[int(identity), _short(host)] = PathState(int(state))
    return found


def _short(host: str) -> str:
    """An address as people write it; the kernel marks the primary one, and writes all zeros."""
    return str(ipaddress.ip_address(host.removeprefix("*")))


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def find_owners(inodes: set[int]) -> dict[int, str]:
    """Which process has which socket, as far as we may see."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[int, str] = {}
    for process in PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for entry in os.scandir(process / "fd"):
                with contextlib.suppress(OSError):
                    inode = wanted.get(os.readlink(entry.path))
                    if inode is not None:
                        name = (process / "comm").read_text().strip()
                        owners.setdefault(inode, f"{name} ({process.name})")
    return owners


# -- the kernel's socket diagnosis: linux/sock_diag.h, linux/inet_diag.h, linux/sctp.h ---------

_SOCK_DIAG, _NETLINK_SOCK_DIAG = 20, 4
_REQUEST_DUMP: Final = 0x1 | 0x300
_DONE, _ERROR = 3, 2
_IPPROTO_SCTP = 132
_HEADER = struct.Struct("=IHHII")
_QUESTION = struct.Struct("=BBBBI48s")
_INFO = 2  # INET_DIAG_INFO
_ALL_STATES = 0xFFFFFFFF

# struct inet_diag_msg: family, state, timer, retrans; the ports in network order, two addresses,
# interface and cookie; then expires, rqueue, wqueue, uid, inode.
_ANSWER = struct.Struct("=BBBB2s2s16s16s12s5I")
_ATTRIBUTE = struct.Struct("=HH")

# struct sctp_info: where the primary path's address stands, and its state, cwnd, srtt and rto.
_P_ADDRESS = 168
_PRIMARY: Final = (296, struct.Struct("=iIII"))


def diagnose() -> dict[tuple[int, int, int, str], Primary]:
    """The path in use of each association, by inode, ports, and the peer's address.

    Empty if the kernel does not tell.
    """
    found: dict[tuple[int, int, int, str], Primary] = {}
    with contextlib.suppress(OSError), _ask() as sock:
        for family in socket.AF_INET, socket.AF_INET6:
            for data in _answers(sock, family):
                if (one := _read(data)) is not None:
                    found[one[0]] = one[1]
    return found


def _ask() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)


def _answers(sock: socket.socket, family: int) -> Iterator[bytes]:
    question = _QUESTION.pack(family, _IPPROTO_SCTP, 1 << (_INFO - 1), 0, _ALL_STATES, bytes(48))
    size = _HEADER.size + len(question)
    sock.send(_HEADER.pack(size, _SOCK_DIAG, _REQUEST_DUMP, 1, 0) + question)
    while True:
        data = sock.recv(2**18)
        while data:
            size, kind, *_ = _HEADER.unpack_from(data)
            if kind in (_DONE, _ERROR):
                return
            yield data[_HEADER.size : size]
            data = data[(size + 3) & ~3 :]


def _read(data: bytes) -> tuple[tuple[int, int, int, str], Primary] | None:
    """What is asked for, of one answer; None if it is no association's."""
    _, _, _, _, local, peer, *_, inode = _ANSWER.unpack_from(data)
    at = _ANSWER.size
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if kind == _INFO:
            info = data[at + _ATTRIBUTE.size : at + size]
            place, layout = _PRIMARY
            _, cwnd, srtt, rto = layout.unpack_from(info, place)
            host = _host(info[_P_ADDRESS:])
            if host is None:
                return None
            ports = int.from_bytes(local, "big"), int.from_bytes(peer, "big")
            # Here, too, Linux tells this one time in jiffies.
            return (inode, *ports, host), Primary(round(srtt * jiffy() / 1000), rto, cwnd)
        at += max((size + 3) & ~3, _ATTRIBUTE.size)
    return None


def _host(address: bytes) -> str | None:
    """The host of a struct sockaddr_storage; None if it has none."""
    (family,) = struct.unpack_from("=H", address)
    if family == socket.AF_INET:
        return socket.inet_ntop(family, address[4:8])
    if family == socket.AF_INET6:
        return socket.inet_ntop(family, address[8:24])
    return None
