"""A peer of which a test decides every packet, at the other end of a TUN interface.

It speaks just enough of RFC 9260 to be talked to by the kernel: what real peers never do, or never
do when a test wants it, is written out here.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import google_crc32c
import trio

LOCAL, PEER = "192.0.2.1", "192.0.2.99"
PORT = 2905

DATA, INIT, INIT_ACK, SACK, ABORT, ERROR, COOKIE_ECHO, COOKIE_ACK = 0, 1, 2, 3, 6, 9, 10, 11

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_CHUNK = struct.Struct("!BBH")  # type, flags, length
_SCTP = struct.Struct("!HHI")  # ports, verification tag; the checksum follows


def chunk(type: int, value: bytes = b"", flags: int = 0) -> bytes:
    return _CHUNK.pack(type, flags, 4 + len(value)) + value + bytes(-len(value) % 4)


class ScriptedPeer:
    def __init__(self, tun: int) -> None:
        self._tun = tun
        self._their_port = 0
        self._their_tag = 0
        self._tsn = 1

    def address(self, port: int) -> None:
        """Speak to this port, as long as nothing has come from another."""
        self._their_port = port

    async def receive(self, wanted: int) -> bytes:
        """The value of the next chunk of this type; everything else is ignored."""
        while True:
            await trio.lowlevel.wait_readable(self._tun)
            packet = os.read(self._tun, 65536)
            if packet[0] >> 4 != 4 or packet[9] != 132:
                continue
            sctp = packet[(packet[0] & 15) * 4 :]
            (self._their_port,) = struct.unpack_from("!H", sctp)
            offset = 12
            while offset < len(sctp):
                type, _, length = _CHUNK.unpack_from(sctp, offset)
                if type == wanted:
                    return sctp[offset + 4 : offset + length]
                offset += length + -length % 4

    def send(self, *chunks: bytes, tag: int | None = None) -> None:
        """One packet with these chunks."""
        header = _SCTP.pack(PORT, self._their_port, self._their_tag if tag is None else tag)
        body = b"".join(chunks)
        checksum = google_crc32c.value(header + bytes(4) + body)
        sctp = header + struct.pack("<I", checksum) + body
        ip = struct.pack(
            "!BBHHHBBH4s4s",
            *(0x45, 0, 20 + len(sctp), 0, 0, 64, 132, 0),
            socket.inet_aton(PEER),
            socket.inet_aton(LOCAL),
        )
        total = sum(struct.unpack("!10H", ip))
        total = (total & 0xFFFF) + (total >> 16)
        total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
        os.write(self._tun, ip[:10] + struct.pack("!H", total) + ip[12:] + sctp)

    async def answer_init(self) -> None:
        """INIT ACK, with a cookie that means nothing."""
        init = await self.receive(INIT)
        (self._their_tag,) = struct.unpack_from("!I", init)
        cookie = struct.pack("!HH8s", 7, 12, b"a cookie")
        self.send(chunk(INIT_ACK, struct.pack("!IIHHI", 77, 65536, 10, 10, self._tsn) + cookie))

    async def set_up(self) -> None:
        """The whole handshake."""
        await self.answer_init()
        await self.receive(COOKIE_ECHO)
        self.send(chunk(COOKIE_ACK))

    async def restart(self) -> None:
        """Set the association up anew from the same port, as a peer that has lost its state."""
        init = struct.pack("!IIHHI", 78, 65536, 10, 10, 1)
        self.send(chunk(INIT, init), tag=0)
        answer = await self.receive(INIT_ACK)
        (self._their_tag,) = struct.unpack_from("!I", answer)
        offset, cookie = 16, b""
        while offset < len(answer):
            type, length = struct.unpack_from("!HH", answer, offset)
            if type == 7:
                cookie = answer[offset + 4 : offset + length]
            offset += length + -length % 4
        self.send(chunk(COOKIE_ECHO, cookie))
        await self.receive(COOKIE_ACK)
        self._tsn = 1

    def send_data(self, data: bytes, *, stream: int = 0, flags: int = 3) -> None:
        """One DATA chunk; flags 3 is a whole message."""
        self.send(chunk(DATA, struct.pack("!IHHI", self._tsn, stream, 0, 0) + data, flags))
        self._tsn += 1


@contextmanager
def scripted_peer() -> Iterator[ScriptedPeer]:
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    try:
        request = struct.pack("16sH22x", b"scripted0", _IFF_TUN | _IFF_NO_PI)
        fcntl.ioctl(tun, _TUNSETIFF, request)
        for command in (
            f"ip address add {LOCAL}/24 dev scripted0",
            "ip link set scripted0 up",
        ):
            subprocess.run(command.split(), check=True)
        yield ScriptedPeer(tun)
    finally:
        os.close(tun)
