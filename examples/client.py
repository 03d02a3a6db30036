"""A client, the second example of gen_sctp's manual.

It asks for 5 outbound streams, numbered 0 to 4.  So "Test 0" on stream 0 is sent, and "Test 5" on
stream 5 is refused before anything leaves.  Then it aborts the association, which the server sees
as COMM_LOST.  Run ``python -m examples.server`` first.
"""

from __future__ import annotations

import argparse
import sys

import trio

import trio_sctp
from trio_sctp import ConnectFailed, InitMsg


async def client(host: str, port: int, pause: float) -> None:
    options = [InitMsg(num_ostreams=5)]
    async with await trio_sctp.open_association(host, port, options=options) as association:
        print(
            f"Connected: association {association.id},"
            f" {association.outbound_streams} streams out, {association.inbound_streams} in"
        )
        for stream in 0, 5:
            try:
                await association.send(b"Test %d" % stream, stream=stream)
            except ValueError as error:
                print(f"Stream {stream}: {error}")
            else:
                print(f"Stream {stream}: sent")
            await trio.sleep(pause)
        association.abort()
        print("Aborted")


def main() -> None:
    parser = argparse.ArgumentParser(description="Send to an SCTP server, then abort.")
    parser.add_argument("host", nargs="?", default="127.0.0.1", help="the server (%(default)s)")
    parser.add_argument("port", nargs="?", type=int, default=2006, help="its port (%(default)s)")
    parser.add_argument(
        "--pause", type=float, default=0, metavar="SECONDS", help="time to watch after each step"
    )
    arguments = parser.parse_args()
    try:
        trio.run(client, arguments.host, arguments.port, arguments.pause)
    except ConnectFailed as error:
        sys.exit(error.strerror)


if __name__ == "__main__":
    main()
