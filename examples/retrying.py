"""A client that connects with a timeout, and tries again after longer and longer pauses.

``python -m examples.retrying 127.0.0.1 2006``
"""

from __future__ import annotations

import sys

import trio

import trio_sctp
from trio_sctp import AssociationChannel


async def connect(
    host: str, port: int, *, attempts: int = 5, patience: float = 10
) -> AssociationChannel:
    for attempt in range(attempts):
        try:
            with trio.fail_after(patience):
                return await trio_sctp.open_association(host, port)
        except (OSError, trio.TooSlowError) as error:  # refused, no route, no such name; or silence
            print(f"Attempt {attempt + 1} of {attempts}: {error or 'no answer'}")
            await trio.sleep(0.5 * 2**attempt)
    raise trio.TooSlowError(f"no association with {host} port {port}")


async def main(host: str, port: int) -> None:
    async with await connect(host, port) as association:
        await association.send(b"hello")
        print(await association.receive())


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]))
