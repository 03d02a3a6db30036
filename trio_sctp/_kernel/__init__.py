"""The kernel stack: Linux SCTP sockets.

    _socket         sockets: the data path, connect, peel off, abort, close
    _reconfiguration  requests to reset and to add streams
    _options        how each option type is a socket option: its number, its struct, its fields
    _notifications  the bytes of a notification as an event
    _libc           calls that the standard library lacks
    _layouts        numbers and structs of linux/sctp.h, each declared once

pysctp is not used, because its receive leaks memory with every message and can be crashed by a
peer's ERROR chunk, its connectx returns no id while the handshake is under way, its peeloff leaks a
descriptor, and its address lists drop IPv6 scope ids.  The standard library sends and receives
faster, and two calls through ctypes do the rest.  Programs that hold sockets made by pysctp hand
them over with ``from_socket``.
"""

from __future__ import annotations

from ._socket import KernelSocket as KernelSocket
from ._socket import KernelStack as KernelStack
