"""aiortc's data channels, in SCTP on a UDP socket that it takes for DTLS.

    python -m tests.userland.aiortc_channels [PORT]

It connects to a UDP port, or waits for somebody.  Its first line is the number of its own UDP port.
A line of its input is a JSON list with a command, a line of its output one with an event:

    ["open", LABEL, RETRANSMISSIONS]   a new channel, with the number that aiortc gives it
    ["send", CHANNEL, TEXT]
    ["close", CHANNEL]
    ["count"]               is answered by the numbers of streams: ["streams", INBOUND, OUTBOUND]
    ["stop"]

    ["channel", CHANNEL, LABEL]   there is one, whoever has opened it
    ["message", CHANNEL, TEXT]
    ["closed", CHANNEL]
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from aiortc import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import RTCSctpCapabilities

from benchmarks.ends import HOST, SCTP_PORT
from benchmarks.udp_aiortc import open_transport


def say(*event: object) -> None:
    print(json.dumps(event), flush=True)


class Channels:
    """One end of one association."""

    def __init__(self, sctp: Any) -> None:
        self._sctp = sctp
        self._channels: dict[int, Any] = {}
        sctp.on("datachannel", self._is_open)

    def _is_open(self, channel: Any) -> None:
        number = channel.id
        self._channels[number] = channel
        channel.on("message", lambda text: say("message", number, text))
        channel.on("close", lambda: say("closed", number))
        say("channel", number, channel.label)

    async def run(self, command: str, *arguments: Any) -> None:
        match command, arguments:
            case "open", (label, retransmissions):
                parameters = RTCDataChannelParameters(label=label, maxRetransmits=retransmissions)
                channel: Any = RTCDataChannel(self._sctp, parameters)
                channel.on("open", lambda: self._is_open(channel))
            case "send", (number, text):
                self._channels[number].send(text)
            case "close", (number,):
                self._channels[number].close()
            case "count", ():
                sctp = self._sctp
                say("streams", sctp._inbound_streams_count, sctp._outbound_streams_count)
            case "stop", ():
                await self._sctp.stop()
            case _:
                raise ValueError(f"no command: {command} {arguments}")

    async def obey(self) -> None:
        """Do what standard input says, to its end."""
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
        )
        async for line in lines:
            await self.run(*json.loads(line))


async def main(peer: int | None) -> None:
    role, address = ("server", None) if peer is None else ("client", (HOST, peer))
    sctp, dtls, carrying = await open_transport(role, 0, address)
    channels = Channels(sctp)
    print(dtls.port, flush=True)
    # It always sends an INIT, which has nowhere to go where it waits for somebody.
    await sctp.start(RTCSctpCapabilities(maxMessageSize=0), SCTP_PORT)
    obeying = asyncio.create_task(channels.obey())
    ended, _ = await asyncio.wait({carrying, obeying}, return_when=asyncio.FIRST_COMPLETED)
    for task in ended:
        task.result()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else None))
