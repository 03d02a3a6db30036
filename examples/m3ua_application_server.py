"""An M3UA application server process (ASP), and a signalling gateway that it talks to (RFC 4666).

    python -m examples.m3ua_application_server gateway 127.0.0.1
    python -m examples.m3ua_application_server asp 127.0.0.1

The ASP connects, says ASP Up and ASP Active, and answers the SS7 messages that it then gets.  Where
a real gateway has links to an SS7 network, this one makes up 16 messages a second.

Management goes on stream 0, which DATA must not use.  The SLS of an SS7 message chooses one of the
others, so messages with the same SLS stay in order and wait for no others.  M3UA's heartbeat asks
the peer's program; SCTP's own only asks its stack.  There are no Routing Contexts, as an
association carries the traffic of one application server; some gateways insist on them.  This one
sends no NTFY, as it does not tell how its ASPs together are.
"""

from __future__ import annotations

import argparse
import logging
import struct
import sys
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import NamedTuple

import trio

import trio_sctp
from trio_sctp import Association, AssociationChannel, AssociationEnd, InitMsg, Ppid

STREAMS = [InitMsg(num_ostreams=17)]  # one for management, and one for each SLS of ITU networks
T_BEAT = 30.0  # seconds

HEADER = struct.Struct("!BxBBL")  # version, class, type, length
PARAMETER = struct.Struct("!HH")  # tag, length
LABEL = struct.Struct("!LLBBBB")  # a Transfer without its data
HEARTBEAT_DATA, ERROR_CODE, DIAGNOSTIC, PROTOCOL_DATA = 0x9, 0xC, 0x7, 0x210  # tags


class Kind(IntEnum):
    """The class of a message, and its type in the lower byte (section 3.1.2)."""

    ERR, NTFY = 0x000, 0x001
    DATA = 0x101
    DUNA, DAVA, DAUD, SCON, DUPU, DRST = range(0x201, 0x207)
    ASPUP, ASPDN, BEAT, ASPUP_ACK, ASPDN_ACK, BEAT_ACK = range(0x301, 0x307)
    ASPAC, ASPIA, ASPAC_ACK, ASPIA_ACK = range(0x401, 0x405)


class Code(IntEnum):
    """What an ERR says (section 3.8.1)."""

    INVALID_VERSION, UNSUPPORTED_CLASS, UNSUPPORTED_TYPE = 0x1, 0x3, 0x4
    UNEXPECTED_MESSAGE, PROTOCOL_ERROR, INVALID_STREAM = 0x6, 0x7, 0x9
    PARAMETER_FIELD, MISSING_PARAMETER = 0x12, 0x16


class Refused(Exception):
    """A message is answered by an ERR with this `Code`."""


class Transfer(NamedTuple):
    """An SS7 message with its routing label (MTP-TRANSFER)."""

    opc: int
    dpc: int
    service: int
    network: int
    priority: int
    sls: int
    data: bytes


def encode(kind: Kind, parameters: dict[int, bytes]) -> bytes:
    body = b"".join(
        PARAMETER.pack(tag, PARAMETER.size + len(value)) + value + bytes(-len(value) % 4)
        for tag, value in parameters.items()
    )
    return HEADER.pack(1, kind >> 8, kind & 0xFF, HEADER.size + len(body)) + body


def check(right: bool, code: Code) -> None:
    if not right:
        raise Refused(code)


def decode(data: bytes) -> tuple[Kind, dict[int, bytes]]:
    check(len(data) >= HEADER.size, Code.PROTOCOL_ERROR)
    version, message_class, message_type, length = HEADER.unpack_from(data)
    check(version == 1, Code.INVALID_VERSION)
    check(message_class in {kind >> 8 for kind in Kind}, Code.UNSUPPORTED_CLASS)
    check(message_class << 8 | message_type in {*Kind}, Code.UNSUPPORTED_TYPE)
    # Not everybody counts the padding of the last parameter.
    check(length <= len(data) <= length + 3, Code.PROTOCOL_ERROR)
    parameters: dict[int, bytes] = {}
    rest = data[HEADER.size : length]
    while rest:
        tag, size = PARAMETER.unpack_from(rest.ljust(PARAMETER.size, b"\0"))
        check(PARAMETER.size <= size <= len(rest), Code.PARAMETER_FIELD)
        parameters[tag] = rest[PARAMETER.size : size]
        rest = rest[size + -size % 4 :]
    return Kind(message_class << 8 | message_type), parameters


def decode_transfer(parameters: dict[int, bytes]) -> Transfer:
    check(PROTOCOL_DATA in parameters, Code.MISSING_PARAMETER)
    data = parameters[PROTOCOL_DATA]
    check(len(data) >= LABEL.size, Code.PARAMETER_FIELD)
    return Transfer._make([*LABEL.unpack_from(data), data[LABEL.size :]])


async def send(peer: AssociationChannel, kind: Kind, parameters: dict[int, bytes]) -> None:
    await peer.send(encode(kind, parameters), stream=0, ppid=Ppid.M3UA)


async def send_data(peer: AssociationChannel, transfer: Transfer) -> None:
    data = encode(Kind.DATA, {PROTOCOL_DATA: LABEL.pack(*transfer[:-1]) + transfer.data})
    stream = 1 + transfer.sls % (peer.outbound_streams - 1)
    await peer.send(data, stream=stream, ppid=Ppid.M3UA)


Handler = Callable[[Kind, dict[int, bytes]], Awaitable[None]]


async def converse(peer: AssociationChannel, handle: Handler, t_beat: float) -> None:
    """Handle what arrives, refuse what is wrong, and give up a peer that does not answer."""
    if peer.outbound_streams < 2:
        peer.abort(b"M3UA needs a stream besides stream 0")
        return
    asked = False
    while True:
        try:
            with trio.fail_after(t_beat):
                message = await peer.receive()
        except trio.EndOfChannel:
            return
        except trio.TooSlowError:
            if asked:
                peer.abort(b"no answer to a heartbeat")
                return
            await send(peer, Kind.BEAT, {HEARTBEAT_DATA: b"are you there?"})
            asked = True
            continue
        asked = False
        try:
            kind, parameters = decode(message.data)
            check(kind is not Kind.DATA or message.stream > 0, Code.INVALID_STREAM)
            if kind is Kind.BEAT:
                await send(peer, Kind.BEAT_ACK, parameters)
            elif kind in (Kind.ERR, Kind.NTFY) or Kind.DUNA <= kind <= Kind.DRST:
                print(f"{peer!r} says {kind.name}: {parameters}")
            elif kind is not Kind.BEAT_ACK:
                await handle(kind, parameters)
        except Refused as refused:
            (code,) = refused.args
            print(f"{peer!r} was refused: {code.name}")
            if message.data[2:4] != b"\0\0":  # an error is not answered by another
                error = {ERROR_CODE: struct.pack("!L", code), DIAGNOSTIC: message.data[:40]}
                await send(peer, Kind.ERR, error)


async def gateway(asp: AssociationChannel, *, t_beat: float = T_BEAT) -> None:
    """Serve an ASP: hand it SS7 messages while it is active, and take its own."""
    up = False
    active: trio.CancelScope | None = None

    async def traffic(scope: trio.CancelScope) -> None:
        with scope:
            while True:
                for sls in range(16):
                    await send_data(asp, Transfer(1, 2, 8, 2, 0, sls, b"hello"))
                await trio.sleep(1)

    async def handle(kind: Kind, parameters: dict[int, bytes]) -> None:
        nonlocal up, active
        was_active = active is not None
        if active and kind in (Kind.ASPUP, Kind.ASPDN, Kind.ASPAC, Kind.ASPIA):
            active.cancel()
            active = None
        match kind:
            case Kind.ASPUP | Kind.ASPDN:
                up = kind is Kind.ASPUP
                await send(asp, Kind.ASPUP_ACK if up else Kind.ASPDN_ACK, {})
                if up and was_active:  # it is not any more, and is told so (section 4.3.4.1)
                    raise Refused(Code.UNEXPECTED_MESSAGE)
            case Kind.ASPAC if up:
                active = trio.CancelScope()
                await send(asp, Kind.ASPAC_ACK, {})
                nursery.start_soon(traffic, active)
            case Kind.ASPIA if up:
                await send(asp, Kind.ASPIA_ACK, {})
            case Kind.DATA if up:
                print(f"to the SS7 network: {decode_transfer(parameters)}")
            case _:
                raise Refused(Code.UNEXPECTED_MESSAGE)

    async with asp.while_up(), trio.open_nursery() as nursery:
        await converse(asp, handle, t_beat)
        nursery.cancel_scope.cancel()


async def application_server(gateway: AssociationChannel, *, t_beat: float = T_BEAT) -> None:
    """Be an ASP: come up, become active, and answer each SS7 message."""

    async def handle(kind: Kind, parameters: dict[int, bytes]) -> None:
        match kind:
            case Kind.ASPUP_ACK:
                await send(gateway, Kind.ASPAC, {})
            case Kind.ASPAC_ACK:
                print("active")
            case Kind.DATA:
                asked = decode_transfer(parameters)
                print(f"from the SS7 network: {asked}")
                await send_data(gateway, asked._replace(opc=asked.dpc, dpc=asked.opc))
            case _:
                raise Refused(Code.UNEXPECTED_MESSAGE)

    async with gateway.while_up():
        await send(gateway, Kind.ASPUP, {})
        await converse(gateway, handle, t_beat)


async def run_gateway(host: str, port: int) -> None:
    def report(error: Exception, asp: Association) -> None:
        print(f"{asp!r}: {error!r}")

    await trio_sctp.serve(gateway, port, hosts=host, options=STREAMS, on_error=report)


async def run_asp(host: str, port: int) -> None:
    async def session(gateway: AssociationChannel, last: AssociationEnd | None) -> None:
        await application_server(gateway)

    while True:  # `reconnect` returns after an abort of ours
        await trio_sctp.reconnect(session, host, port, options=STREAMS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    sides = {"gateway": run_gateway, "asp": run_asp}
    parser.add_argument("side", choices=sides)
    parser.add_argument("host", help="the gateway's address")
    parser.add_argument("port", nargs="?", type=int, default=Ppid.M3UA.default_port)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # associations that come and go
    try:
        trio.run(sides[arguments.side], arguments.host, arguments.port)
    except OSError as error:
        sys.exit(error.strerror)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
