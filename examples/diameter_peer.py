"""A Diameter peer: capabilities, the watchdog, and taking leave (RFC 6733, RFC 3539).

    python -m examples.diameter_peer server 127.0.0.1
    python -m examples.diameter_peer client 127.0.0.1 --stay 60

Either side is a `Peer`; the client is the one that begins.  There is no application here: a request
of one is answered by COMMAND_UNSUPPORTED, where an application would be called.  AVPs that are not
known are passed over, although their M bit may say that they matter, and what is wrong is answered
by a result without the AVP that was wrong.  A connection that comes back is used at once; RFC 3539
would have three watchdogs answered first.

Messages go on stream 0, unordered, so that none waits for another that was lost (section 2.1.1);
those that open and close the connection are ordered.
"""

from __future__ import annotations

import argparse
import functools
import ipaddress
import itertools
import logging
import math
import random
import struct
import sys
from enum import IntEnum
from typing import NamedTuple

import trio

import trio_sctp
from trio_sctp import Association, AssociationChannel, AssociationEnd, Ppid

TW = 30.0  # seconds of silence after which a peer is asked for a sign of life
HEADER = struct.Struct("!5L")  # version and length, flags and command, and the rest of `Header`
AVP = struct.Struct("!LL")  # code, flags and length
REQUEST, PROXIABLE, ERROR = 0x80, 0x40, 0x20  # flags of messages
VENDOR, MANDATORY = 0x80, 0x40  # flags of AVPs
CREDIT_CONTROL, RELAY = 4, 0xFFFFFFFF  # applications: which we say we have, and any
HOST_IP_ADDRESS, AUTH_APPLICATION_ID, ORIGIN_HOST, VENDOR_ID = 257, 258, 264, 266
RESULT_CODE, PRODUCT_NAME, DISCONNECT_CAUSE, ORIGIN_REALM = 268, 269, 273, 296


class Command(IntEnum):
    CAPABILITIES_EXCHANGE, DEVICE_WATCHDOG, DISCONNECT_PEER = 257, 280, 282


class Result(IntEnum):
    SUCCESS, COMMAND_UNSUPPORTED, APPLICATION_UNSUPPORTED = 2001, 3001, 3007
    MISSING_AVP, NO_COMMON_APPLICATION, UNSUPPORTED_VERSION = 5005, 5010, 5011
    INVALID_AVP_LENGTH, INVALID_MESSAGE_LENGTH = 5014, 5015


class Refused(Exception):
    """A request is answered by this `Result`."""


class Header(NamedTuple):
    flags: int
    command: int
    application: int
    hop_by_hop: int
    end_to_end: int


Avps = list[tuple[int, bytes]]


def unsigned32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def encode(header: Header, avps: Avps) -> bytes:
    body = b"".join(
        AVP.pack(code, (code != PRODUCT_NAME) * MANDATORY << 24 | AVP.size + len(value))
        + value
        + bytes(-len(value) % 4)
        for code, value in avps
    )
    version_and_length = 1 << 24 | HEADER.size + len(body)
    return HEADER.pack(version_and_length, header[0] << 24 | header[1], *header[2:]) + body


def decode_header(data: bytes) -> Header:
    _, flags_and_command, *rest = HEADER.unpack_from(data)
    return Header(flags_and_command >> 24, flags_and_command & 0xFFFFFF, *rest)


def decode_avps(data: bytes) -> Avps:
    """The AVPs of a whole message, without those of vendors."""
    if data[0] != 1:
        raise Refused(Result.UNSUPPORTED_VERSION)
    if int.from_bytes(data[1:4], "big") != len(data):
        raise Refused(Result.INVALID_MESSAGE_LENGTH)
    avps: Avps = []
    rest = data[HEADER.size :]
    while rest:
        code, flags_and_length = AVP.unpack_from(rest.ljust(AVP.size, b"\0"))
        size = flags_and_length & 0xFFFFFF
        if not AVP.size <= size <= len(rest):
            raise Refused(Result.INVALID_AVP_LENGTH)
        if not flags_and_length >> 24 & VENDOR:
            avps.append((code, rest[AVP.size : size]))
        rest = rest[size + -size % 4 :]
    return avps


class Peer:
    """One end of a connection, which is open once the peer's `name` is known."""

    def __init__(self, association: AssociationChannel, host: str, tw: float = TW) -> None:
        self.name: str | None = None
        self._association = association
        self._host = host
        self._tw = tw
        self._asked = False  # by a watchdog that is not answered yet
        self._numbers = itertools.count(random.getrandbits(31))

    async def _send(self, header: Header, avps: Avps) -> None:
        realm = self._host.partition(".")[2]
        avps = [*avps, (ORIGIN_HOST, self._host.encode()), (ORIGIN_REALM, realm.encode())]
        unordered = header.command == Command.DEVICE_WATCHDOG or header.application > 0
        data = encode(header, avps)
        await self._association.send(data, ppid=Ppid.DIAMETER, unordered=unordered)

    async def ask(self, command: Command, avps: Avps) -> None:
        number = next(self._numbers)
        await self._send(Header(REQUEST, command, 0, number, number), avps)

    async def _answer(self, request: Header, result: Result, avps: Avps) -> None:
        flags = request.flags & PROXIABLE | (ERROR if result // 1000 == 3 else 0)
        header = request._replace(flags=flags)
        await self._send(header, [(RESULT_CODE, unsigned32(result)), *avps])

    def capabilities(self) -> Avps:
        own = [ipaddress.ip_address(host) for host, *_ in self._association.local_addresses]
        return [
            *((HOST_IP_ADDRESS, struct.pack("!H", 1 + (a.version == 6)) + a.packed) for a in own),
            (VENDOR_ID, unsigned32(0)),
            (PRODUCT_NAME, b"trio_sctp"),
            (AUTH_APPLICATION_ID, unsigned32(CREDIT_CONTROL)),
        ]

    def _learn(self, avps: Avps) -> None:
        """Take the peer's capabilities."""
        common = unsigned32(CREDIT_CONTROL), unsigned32(RELAY)
        if not any(code == AUTH_APPLICATION_ID and value in common for code, value in avps):
            raise Refused(Result.NO_COMMON_APPLICATION)
        if ORIGIN_HOST not in dict(avps):
            raise Refused(Result.MISSING_AVP)
        self.name = dict(avps)[ORIGIN_HOST].decode(errors="replace")
        print(f"open: {self.name!r}")

    async def _respond(self, request: Header, avps: Avps) -> None:
        if request.command == Command.CAPABILITIES_EXCHANGE:
            self._learn(avps)
            await self._answer(request, Result.SUCCESS, self.capabilities())
        elif request.application not in (0, CREDIT_CONTROL):
            raise Refused(Result.APPLICATION_UNSUPPORTED)
        elif request.command in (Command.DEVICE_WATCHDOG, Command.DISCONNECT_PEER):
            await self._answer(request, Result.SUCCESS, [])
        else:
            raise Refused(Result.COMMAND_UNSUPPORTED)

    async def _receive(self) -> bytes | None:
        """Wait for a message; None is the end, which the watchdog may bring about."""
        suspect = False
        while True:
            try:
                # RFC 3539 wants jitter: else all peers of a server would be asked at once.
                with trio.fail_after(self._tw * random.uniform(14 / 15, 16 / 15)):
                    return (await self._association.receive()).data
            except trio.EndOfChannel:
                return None
            except trio.TooSlowError:
                if suspect or self.name is None:
                    self._association.abort(b"no sign of life")
                    return None
                suspect = self._asked
                if suspect:
                    print(f"suspect: {self.name!r}")  # requests would go to another peer from now
                else:
                    await self.ask(Command.DEVICE_WATCHDOG, [])
                    self._asked = True

    async def _handle(self, data: bytes) -> bool:
        """Handle a message; returns whether the connection goes on."""
        header = decode_header(data.ljust(HEADER.size, b"\0"))
        begins = header.command == Command.CAPABILITIES_EXCHANGE
        if len(data) < HEADER.size or (self.name is None and not begins):
            self._association.abort(b"that is not Diameter, or not what comes first")
            return False
        try:
            avps = decode_avps(data)
            if header.flags & REQUEST:
                await self._respond(header, avps)
            elif header.command == Command.DEVICE_WATCHDOG:
                self._asked = False
            elif begins and dict(avps).get(RESULT_CODE) == unsigned32(Result.SUCCESS):
                self._learn(avps)
            elif begins:
                print(f"refused by {self._association!r}: {avps}")
        except Refused as refused:
            (result,) = refused.args
            print(f"refused: {result.name}, for {self._association!r}")
            if header.flags & REQUEST:
                await self._answer(header, result, [])
        return self.name is not None and header.command != Command.DISCONNECT_PEER

    async def run(self) -> None:
        """Receive until one side takes leave, or the watchdog gives the peer up."""
        while (data := await self._receive()) is not None:
            if not await self._handle(data):
                return


async def serve(host: str, port: int) -> None:
    async def handle(association: AssociationChannel) -> None:
        async with association.while_up():
            await Peer(association, "server.example.org").run()

    def report(error: Exception, association: Association) -> None:
        print(f"{association!r}: {error!r}")

    await trio_sctp.serve(handle, port, hosts=host, on_error=report)


async def connect(host: str, port: int, stay: float = math.inf, tw: float = TW) -> None:
    done = False

    async def session(association: AssociationChannel, last: AssociationEnd | None) -> None:
        nonlocal done
        peer = Peer(association, "client.example.org", tw)
        async with association.while_up():
            await peer.ask(Command.CAPABILITIES_EXCHANGE, peer.capabilities())
            with trio.move_on_after(stay) as staying:
                await peer.run()
            if staying.cancelled_caught:
                await peer.ask(Command.DISCONNECT_PEER, [(DISCONNECT_CAUSE, unsigned32(0))])
                with trio.move_on_after(5):
                    await peer.run()
            done = association.up  # not after an abort of ours

    while not done:
        await trio_sctp.reconnect(session, host, port)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("side", choices=["server", "client"])
    parser.add_argument("host", help="the server's address")
    parser.add_argument("port", nargs="?", type=int, default=Ppid.DIAMETER.default_port)
    parser.add_argument("--stay", type=float, default=math.inf, help="seconds until it takes leave")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # associations that come and go
    try:
        client = functools.partial(connect, stay=arguments.stay)
        run = serve if arguments.side == "server" else client
        trio.run(run, arguments.host, arguments.port)
    except OSError as error:
        sys.exit(error.strerror)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
