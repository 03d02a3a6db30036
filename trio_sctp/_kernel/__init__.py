"""The kernel stack: Linux SCTP sockets.

    _socket         sockets: the data path, connect, peel off, abort, close
    _options        option types <-> socket options
    _notifications  bytes of a notification -> an event
    _libc           the calls that the standard library lacks
    _layouts        numbers and structs of linux/sctp.h, declared once

Why so little of pysctp: its receive leaks memory with every message and can be crashed by a peer's
ERROR chunk, its connectx returns no id while the handshake is under way, its peeloff leaks a
descriptor, and its address lists drop IPv6 scope ids.  The standard library sends and receives
faster; two calls through ctypes do the rest.  Programs that hold sockets made by pysctp hand them
over with ``from_socket``.
"""

from __future__ import annotations

from ._socket import KernelSocket as KernelSocket
from ._socket import KernelStack as KernelStack
