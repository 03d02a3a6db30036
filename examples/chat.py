"""A chat on one socket, with a stream for each room: who says something in one hears the others.

`Window` is credit: no more than 64 records are read ahead of this program.  A member that does not
read shuts its window, and is put out, so that nobody waits for it.  A text has 16 KiB at most.

``python -m examples.chat 2006``
"""

from __future__ import annotations

import sys
from collections import defaultdict

import trio

import trio_sctp
from trio_sctp import AssociationChange, AssociationLost, Endpoint, Message, Status, Window


async def chat(endpoint: Endpoint) -> None:
    rooms = defaultdict[int, set[int]](set)
    async with endpoint.active(Window(64)) as inbox:
        async for record in inbox:
            match record:
                case Message(association_id=speaker, stream=room, data=text):
                    rooms[room].add(speaker)
                    for id in rooms[room] - {speaker}:
                        try:
                            if endpoint.get_option(Status, id).rwnd < len(text):
                                endpoint.abort(id, b"too slow")
                            else:
                                await endpoint.send(text, id, stream=room)
                        except (AssociationLost, ValueError):
                            pass  # the event of its end is on the way; or it has no such stream
                case AssociationChange(association_id=id):  # it has come, restarted or gone
                    for members in rooms.values():
                        members.discard(id)


async def main(port: int) -> None:
    async with await trio_sctp.open_endpoint(port, max_message_size=16_384) as endpoint:
        endpoint.listen()
        await chat(endpoint)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
