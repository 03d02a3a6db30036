"""Calls that SCTP needs and the standard library does not have.

Python's ``socket.getsockopt`` hands the kernel an uninitialised buffer.  SCTP reads the association
id, or an address, from that buffer: a call about one association would answer for another, and a
peel-off would take whatever id the old memory held.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
from collections.abc import Generator

from ._layouts import CONNECTX3_STRUCT, SIOCGSKNS, SOL_SCTP, Opt

_libc = ctypes.CDLL(None, use_errno=True)


def getsockopt(descriptor: int, option: int, data: bytes, size: int = 0) -> tuple[int, bytes]:
    """Call getsockopt(2) at level SCTP.

    Args:
      descriptor: A non-blocking SCTP socket.
      option: The option's number.
      data: What the kernel finds in the buffer.
      size: Bytes of the buffer, if it has to be larger than ``data``.

    Returns:
      What the call returned (a descriptor, for peeling off), and the whole buffer after it, because
      the length that Linux gives back does not count the same things for all options.
    """
    buffer = ctypes.create_string_buffer(data, size or len(data))
    length = ctypes.c_uint32(len(buffer))
    result = _libc.getsockopt(descriptor, SOL_SCTP, option, buffer, ctypes.byref(length))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result, buffer.raw


def connectx3(descriptor: int, addresses: bytes) -> tuple[int, int]:
    """Start an association; returns its id and the call's errno, which is mostly EINPROGRESS.

    The id is valid with that errno too.
    """
    packed = ctypes.create_string_buffer(addresses, len(addresses))
    request = CONNECTX3_STRUCT.pack(0, len(addresses), ctypes.addressof(packed))
    buffer = ctypes.create_string_buffer(request, len(request))
    length = ctypes.c_uint32(len(request))
    result = _libc.getsockopt(
        descriptor, SOL_SCTP, int(Opt.SOCKOPT_CONNECTX3), buffer, ctypes.byref(length)
    )
    number = ctypes.get_errno() if result < 0 else 0
    return ctypes.c_int32.from_buffer(buffer).value, number


@contextlib.contextmanager
def network_namespace(descriptor: int) -> Generator[None, None, None]:
    """Put this thread into another network namespace for a block, which must not suspend."""
    with open("/proc/thread-self/ns/net") as here:
        _setns(descriptor)
        try:
            yield
        finally:
            _setns(here.fileno())


@contextlib.contextmanager
def namespace_of(sock: socket.socket) -> Generator[None, None, None]:
    """Put this thread into the network namespace of a socket, as `network_namespace`."""
    descriptor = fcntl.ioctl(sock, SIOCGSKNS)
    try:
        with network_namespace(descriptor):
            yield
    finally:
        os.close(descriptor)


def _setns(descriptor: int) -> None:
    # The standard library has it from Python 3.12 on.
    if _libc.setns(descriptor, 0) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
