"""A chat room on one socket: what one member says, all others hear.

`Window` is credit: no more than 64 records are read ahead of this program.  A member that does not
read shuts its window, and is put out, so that nobody waits for it.

``python -m examples.chat 2006``
"""

from __future__ import annotations

import sys

import trio

import trio_sctp
from trio_sctp import (
    AssociationChange,
    AssociationLost,
    AssociationState,
    Endpoint,
    Message,
    Status,
    Window,
)


async def chat(room: Endpoint) -> None:
    members: set[int] = set()
    async with room.active(Window(64)) as inbox:
        async for record in inbox:
            match record:
                case AssociationChange(association_id=id, state=AssociationState.COMM_UP):
                    members.add(id)
                case AssociationChange(association_id=id):
                    members.discard(id)
                case Message(association_id=speaker, data=text):
                    for id in members - {speaker}:
                        try:
                            if room.get_option(Status, id).rwnd < len(text):
                                room.abort(id, b"too slow")
                            else:
                                await room.send(text, id)
                        except AssociationLost:
                            pass  # the event of its end is on the way


async def main(port: int) -> None:
    async with await trio_sctp.open_endpoint(port) as room:
        room.listen()
        await chat(room)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
