"""A peer whose every packet a test decides, at the other end of a TUN interface.

It speaks just enough of RFC 9260 for the kernel to talk to it: what real peers never do, or never
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
from typing import TypeVar

import trio

from trio_sctp._engine import wire
from trio_sctp._engine.wire import ChunkType, ParameterType, Tlv

from ..support.engines import cookie_echo, parsed

LOCAL, PEER = "192.0.2.1", "192.0.2.99"
PORT = 2905

C = TypeVar("C", bound=wire.Chunk)

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_SCTP = 132
_COOKIE = Tlv(ParameterType.STATE_COOKIE, b"a cookie")


class TunPeer:
    """A peer of the kernel's.

    Attributes:
      their_port: The kernel's port: the last one that a packet came from.
    """

    def __init__(self, tun: int) -> None:
        self.their_port = 0
        self._tun = tun
        self._their_tag = 0
        self._tsn = 1

    async def receive(self, kind: type[C]) -> C:
        """Wait for the next chunk of this type; everything else is ignored."""
        while True:
            await trio.lowlevel.wait_readable(self._tun)
            packet = os.read(self._tun, 65536)
            if packet[0] >> 4 != 4 or packet[9] != _SCTP:
                continue
            sctp = parsed(packet[(packet[0] & 15) * 4 :])
            self.their_port = sctp.source_port
            for chunk in sctp.chunks:
                if isinstance(chunk, kind):
                    return chunk

    def send(self, *chunks: bytes, tag: int | None = None) -> None:
        """Send one packet with these chunks, with the kernel's tag unless another one is given."""
        sctp = wire.seal(PORT, self.their_port, self._their_tag if tag is None else tag, chunks)
        ip = struct.pack(
            "!BBHHHBBH4s4s",
            *(0x45, 0, 20 + len(sctp), 0, 0, 64, _SCTP, 0),
            socket.inet_aton(PEER),
            socket.inet_aton(LOCAL),
        )
        total = sum(struct.unpack("!10H", ip))
        total = (total & 0xFFFF) + (total >> 16)
        total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
        os.write(self._tun, ip[:10] + struct.pack("!H", total) + ip[12:] + sctp)

    async def answer_init(self) -> None:
        """Answer an INIT with an INIT ACK, whose cookie means nothing."""
        self._their_tag = (await self.receive(wire.Init)).tag
        self.send(wire.init_chunk(wire.InitAck(77, 65536, 10, 10, self._tsn, [_COOKIE])))

    async def set_up(self) -> None:
        """Accept an association."""
        await self.answer_init()
        await self.receive(wire.CookieEcho)
        self.send(wire.chunk(ChunkType.COOKIE_ACK))

    async def restart(self) -> None:
        """Set the association up anew from the same port, as a peer that has lost its state."""
        self.send(wire.init_chunk(wire.Init(78, 65536, 10, 10, 1, [])), tag=0)
        answer = await self.receive(wire.InitAck)
        self._their_tag = answer.tag
        self.send(cookie_echo(answer))
        await self.receive(wire.CookieAck)
        self._tsn = 1

    def send_data(self, data: bytes, *, stream: int = 0, flags: int = wire.WHOLE) -> None:
        """Send one DATA chunk, a whole message unless flags say otherwise."""
        self.send(wire.data_chunk(self._tsn, stream, 0, 0, data, flags))
        self._tsn += 1


@contextmanager
def tun_peer() -> Iterator[TunPeer]:
    """A peer at the other end of the TUN interface ``peer0``, which is there for that long."""
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    try:
        request = struct.pack("16sH22x", b"peer0", _IFF_TUN | _IFF_NO_PI)
        fcntl.ioctl(tun, _TUNSETIFF, request)
        for command in (f"ip address add {LOCAL}/24 dev peer0", "ip link set peer0 up"):
            subprocess.run(command.split(), check=True)
        yield TunPeer(tun)
    finally:
        os.close(tun)
