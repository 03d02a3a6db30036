"""How many system calls packets take: counted in a run of its own, as counting slows it down."""

from __future__ import annotations

import sys
from types import FrameType

from trio_sctp._userland.carrier import Carrier
from trio_sctp._userland.stack import UserlandStack

from .ends import End

_SEND, _TAKE = Carrier.send.__code__, UserlandStack.take_packets.__code__


def counting(end: End) -> End:
    """Have an end print, when it is over, how many packets it sent and received, and by how many
    system calls: four numbers."""

    def counted(port: int, size: int) -> None:
        sent = received = sends = receives = 0

        def profile(frame: FrameType, event: str, argument: object) -> None:
            nonlocal sent, received, sends, receives
            if event == "c_call":
                name = getattr(argument, "__name__", "")
                sends += name in ("sendmsg", "sendto")
                receives += name in ("recvmsg", "recvfrom")
            elif event == "call" and frame.f_code is _SEND:
                sent += len(frame.f_locals["packets"])
            elif event == "return" and frame.f_code is _TAKE:
                assert isinstance(argument, int)
                received += argument

        sys.setprofile(profile)
        end(port, size)
        sys.setprofile(None)
        print(sent, sends, received, receives, flush=True)

    return counted
