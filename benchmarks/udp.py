"""The userland stack between two processes over UDP on loopback, compared with other stacks."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from functools import partial

from . import measuring
from .ends import COUNTS, free_port
from .measuring import Costs, Table, Wanted, in_rounds
from .udp_usrsctp import LIBRARY

ROUNDS = 9
SEND, NOWAIT, BARE = "send", "send_nowait", "bare engine"
AIORTC, USRSCTP = "aiortc", "libusrsctp"
ENDS = {
    SEND: ("udp_ours", "send"),
    NOWAIT: ("udp_ours", "send_nowait"),
    BARE: ("udp_ours", "bare"),
    AIORTC: ("udp_aiortc", "aiortc"),
    USRSCTP: ("udp_usrsctp", "usrsctp"),
}
WANTED = {  # least speeds, relative to aiortc's and to libusrsctp's
    64: (2.0, 0.33),
    1024: (1.3, 0.5),
    16384: (1.3, 0.5),
}


async def measure(name: str, size: int) -> float:
    """Microseconds per message of this size."""
    module, end = ENDS[name]
    port = free_port()

    def start(what: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", f"{__package__}.{module}", end, what, f"{port}", f"{size}"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    with start("receive") as receiver:
        assert receiver.stdout is not None
        if receiver.stdout.readline() != "ready\n":
            raise RuntimeError(f"the receiver of {name} has failed")
        with start("send") as sender:
            try:
                return float(receiver.stdout.readline())
            finally:
                sender.kill()


def has_usrsctp() -> bool:
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


async def run() -> list[Table]:
    costs: dict[str, Costs] = {}
    title = "Between two processes over UDP, messages/s"
    names, references = list(ENDS), [AIORTC, USRSCTP]
    if not has_usrsctp():
        names.remove(USRSCTP)
        references.remove(USRSCTP)
        title += f" (no {LIBRARY} here)"
    for size in COUNTS:
        contenders = {name: partial(measure, name, size) for name in names}
        costs[measuring.size_name(size)] = await in_rounds(contenders, ROUNDS)
    tables = [measuring.speeds(title, [*references, BARE], costs)]
    for size, bounds in WANTED.items():
        column = measuring.size_name(size)
        wanted = [
            Wanted(ours, reference, bound, speed=True)
            for ours in (SEND, NOWAIT)
            for reference, bound in zip((AIORTC, USRSCTP), bounds, strict=True)
        ]
        tables.append(measuring.wanted(f"Wanted at {column}", wanted, {column: costs[column]}))
    return tables
