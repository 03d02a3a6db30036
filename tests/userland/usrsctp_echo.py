"""libusrsctp that sends messages back, and authenticates chunks as its arguments say.

    python -m tests.userland.usrsctp_echo TYPES SECRET [PORT]

It connects to a UDP port, or listens and prints the number of its own.  TYPES are the chunk types
that it wants to be authenticated, SECRET is that of shared key 1, which is the active one.
"""

from __future__ import annotations

import ctypes
import struct
import sys

import trio

from benchmarks.ends import HOST
from benchmarks.udp_usrsctp import Usrsctp

AUTH_CHUNK, AUTH_KEY, AUTH_ACTIVE_KEY = 18, 19, 21


class Echo(Usrsctp):
    """One end of one association."""

    def __init__(self, peer: int | None) -> None:
        super().__init__(0, None if peer is None else (HOST, peer))
        self._connects = peer is not None

    def authenticate(self, types: bytes, secret: bytes) -> None:
        for kind in types:
            self._set(AUTH_CHUNK, bytes([kind]))
        self._set(AUTH_KEY, struct.pack("=IHH", 0, 1, len(secret)) + secret)
        self._set(AUTH_ACTIVE_KEY, struct.pack("=IH2x", 0, 1))

    @property
    def port(self) -> int:
        port: int = self._udp.getsockname()[1]
        return port

    def echo(self) -> None:
        """Send back the messages that are there."""
        sizes = [ctypes.c_uint32(0) for _ in range(2)]
        kind, flags = ctypes.c_uint(0), ctypes.c_int(0)
        while True:
            size = self._library.usrsctp_recvv(
                self._sctp,
                self._buffer,
                len(self._buffer),
                None,
                ctypes.byref(sizes[0]),
                None,
                ctypes.byref(sizes[1]),
                ctypes.byref(kind),
                ctypes.byref(flags),
            )
            if size <= 0:
                return
            assert self.send(ctypes.string_at(self._buffer, size))

    async def run(self) -> None:
        """Connect, or wait for somebody; and send back what comes."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.timers)
            if self._connects:
                self.connect()
            else:
                self.listen()
                print(self.port, flush=True)
                while not self.accept():
                    await self.packets()
            while True:
                self.echo()
                await self.packets()


if __name__ == "__main__":
    types, secret, *port = sys.argv[1:]
    usrsctp = Echo(int(port[0]) if port else None)
    usrsctp.authenticate(bytes(map(int, types.split())), secret.encode())
    trio.run(usrsctp.run)
