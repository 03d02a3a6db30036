"""libusrsctp that sends messages back, and authenticates chunks as its arguments say.

    python -m tests.userland.usrsctp_echo TYPES SECRET

It prints the number of its UDP port.  TYPES are the chunk types that it wants to be authenticated,
SECRET is that of shared key 1, which is the active one.
"""

from __future__ import annotations

import ctypes
import struct
import sys

import trio

from benchmarks.udp_usrsctp import Usrsctp

AUTH_CHUNK, AUTH_KEY, AUTH_ACTIVE_KEY = 18, 19, 21


class Echo(Usrsctp):
    """A server with one association."""

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


async def main(types: str, secret: str) -> None:
    usrsctp = Echo(0, None)
    usrsctp.authenticate(bytes(map(int, types.split())), secret.encode())
    usrsctp.listen()
    print(usrsctp.port, flush=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(usrsctp.timers)
        while not usrsctp.accept():
            await usrsctp.packets()
        while True:
            usrsctp.echo()
            await usrsctp.packets()


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2])
