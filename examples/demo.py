"""A server and its clients in one program, in three scenes.  It needs no arguments.

See ``conversation`` for events and credit, ``burst`` for receiving many messages at once, and
``peel_off`` for a task per association.  Nothing here waits by the clock: each side goes on when
the other has answered.
"""

from __future__ import annotations

import trio

import trio_sctp
from trio_sctp import (
    AssociationChange,
    AssociationChannel,
    AssociationState,
    Endpoint,
    InitMsg,
    Message,
    Passive,
    SendFailed,
    ShutdownReceived,
    Window,
    error_string,
)

HOST = "127.0.0.1"
CREDIT = 5


def title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def say(who: str, what: str) -> None:
    print(f"{who:<8} {what}")


# -- one queue for all clients, delivered against credit ---------------------------------------


async def conversation() -> None:
    title("One server, three clients: messages, events and credit")
    async with (
        await trio_sctp.open_endpoint(hosts=HOST) as endpoint,
        trio.open_nursery() as nursery,
    ):
        endpoint.listen()
        for name in "alice", "bob", "carol":
            nursery.start_soon(talk, name, endpoint.port)
        await answer(endpoint, 3)


async def talk(name: str, port: int) -> None:
    options = [InitMsg(num_ostreams=3)]
    async with await trio_sctp.open_association(HOST, port, options=options) as association:
        for stream in range(2):
            await association.send(name.encode(), stream=stream, ppid=46)
            reply = await association.receive()
            say(name, f"{reply.data.decode()!r} on stream {reply.stream}, ppid {reply.ppid}")
        if name == "carol":
            association.abort(b"carol hangs up")
            return
    say(name, "has left")


async def answer(endpoint: Endpoint, clients: int) -> None:
    """Reply to every message, until this many clients have come and gone."""
    async with endpoint.active(CREDIT) as inbox:
        async for record in inbox:
            match record:
                case Message(association_id=id):
                    say("server", f"{id:>3}  {record.data.decode()!r} on stream {record.stream}")
                    reply = b"hello " + record.data
                    await endpoint.send(reply, id, stream=record.stream, ppid=record.ppid)
                case AssociationChange(association_id=id, state=AssociationState.COMM_UP):
                    say("server", f"{id:>3}  up, {record.inbound_streams} streams in")
                case AssociationChange(association_id=id, state=AssociationState.SHUTDOWN_COMP):
                    say("server", f"{id:>3}  ended gracefully")
                    clients -= 1
                case AssociationChange(association_id=id):
                    why = f"{error_string(record.error)}, {record.reason.decode()!r}"
                    say("server", f"{id:>3}  lost: {why}")
                    clients -= 1
                case ShutdownReceived(association_id=id):
                    say("server", f"{id:>3}  the client shuts down")
                case SendFailed(association_id=id, data=data):  # carol may not have acknowledged it
                    say("server", f"{id:>3}  {data.decode()!r} is not acknowledged")
                case Passive():
                    say("server", f"  -  {CREDIT} records taken: grants {CREDIT} more")
                    inbox.grant(CREDIT)
                case _:
                    say("server", f"  -  {type(record).__name__}")
            if not clients:
                return


# -- many messages for the price of one wake-up ------------------------------------------------


async def burst() -> None:
    messages = 1000
    title(f"A burst of {messages} messages on 10 streams, received in batches")
    async with (
        await trio_sctp.open_endpoint(hosts=HOST) as endpoint,
        trio.open_nursery() as nursery,
    ):
        endpoint.listen()
        nursery.start_soon(send_burst, endpoint.port, messages)
        per_stream = [0] * 10
        batches = 0
        # At most 256 records are out at any time, however fast the client is.
        async with endpoint.active(Window(256)) as inbox:
            while sum(per_stream) < messages:
                batches += 1
                for record in await inbox.receive_batch():
                    match record:
                        case Message(stream=stream, data=data):
                            assert int(data) == per_stream[stream], "a stream keeps its order"
                            per_stream[stream] += 1
                        case _:
                            pass  # the client came up
        say("server", f"took {sum(per_stream)} messages in {batches} batches")
        say("server", f"in order on each stream: {' '.join(map(str, per_stream))}")


async def send_burst(port: int, messages: int) -> None:
    options = [InitMsg(num_ostreams=10)]
    async with await trio_sctp.open_association(HOST, port, options=options) as association:
        for number in range(messages):
            data, stream = b"%d" % (number // 10), number % 10
            try:
                association.send_nowait(data, stream=stream)
            except trio.WouldBlock:
                await association.send(data, stream=stream)  # waits for room
        say("client", f"sent {messages} messages")


# -- an association with a socket and a task of its own ----------------------------------------


async def peel_off() -> None:
    title("Peeling off: one of two clients gets a task of its own")
    async with (
        await trio_sctp.open_endpoint(hosts=HOST) as endpoint,
        trio.open_nursery() as nursery,
    ):
        endpoint.listen()
        for name, wish in ("dave", "a line of my own"), ("erin", "good morning"):
            nursery.start_soon(ask, name, wish, endpoint.port)
        shared = 2
        while shared:
            match await endpoint.receive():
                case Message(association_id=id, data=b"a line of my own"):
                    say("server", f"{id:>3}  peeled off")
                    nursery.start_soon(own_line, endpoint.peeloff(id))
                    shared -= 1
                case Message(association_id=id, data=data):
                    await endpoint.send(b"from the common queue: " + data, id)
                case AssociationChange(association_id=id, state=AssociationState.SHUTDOWN_COMP):
                    say("server", f"{id:>3}  ended gracefully")
                    shared -= 1
                case _:
                    pass  # clients came up, or began to shut down


async def own_line(channel: AssociationChannel) -> None:
    async with channel:
        await channel.send(b"from your own line: welcome")
        async for message in channel:
            await channel.send(b"from your own line: " + message.data)
    end = await channel.wait_ended()
    say("line", f"{channel.id:>3}  ended gracefully: {end.graceful}")


async def ask(name: str, wish: str, port: int) -> None:
    async with await trio_sctp.open_association(HOST, port) as association:
        for question in wish, "how are you", "goodbye":
            await association.send(question.encode())
            reply = await association.receive()
            say(name, reply.data.decode())


async def main() -> None:
    for scene in conversation, burst, peel_off:
        await scene()


if __name__ == "__main__":
    trio.run(main)
