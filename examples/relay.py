"""A relay: each client gets an association of its own with a server upstream.

Who is slow holds up the other side, through full buffers, and nobody else.  If the upstream server
refuses or is lost, its client's association is aborted, and the relay goes on.  Who shuts down can
be sent nothing any more: what the other side still says is dropped, and all that it said arrives.
``python -m examples.relay 2007 127.0.0.1 2006``
"""

from __future__ import annotations

import contextlib
import functools
import sys

import trio

import trio_sctp
from trio_sctp import Association, AssociationChannel, AssociationLost, ConnectFailed, InitMsg


async def copy(source: AssociationChannel, sink: AssociationChannel) -> None:
    async for message in source:
        with contextlib.suppress(AssociationLost):  # it has shut down, or `copy` from it fails
            await sink.send(message.data, stream=message.stream, ppid=message.ppid)
    await sink.eof()


async def relay(client: AssociationChannel, *, host: str, port: int) -> None:
    options = [InitMsg(num_ostreams=client.inbound_streams)]
    try:
        with trio.fail_after(10):
            server = await trio_sctp.open_association(host, port, options=options)
    except (ConnectFailed, trio.TooSlowError):
        client.abort(b"no answer upstream")
        return
    async with server, trio.open_nursery() as nursery:
        nursery.start_soon(copy, client, server)
        nursery.start_soon(copy, server, client)


def report(error: Exception, client: Association) -> None:
    print(f"{client!r}: {error!r}")


async def main(port: int, host: str, upstream: int) -> None:
    handler = functools.partial(relay, host=host, port=upstream)
    await trio_sctp.serve(handler, port, on_error=report)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
