"""A small request/response service: sums over SCTP.  `test_calculator` tests it without a network.

    python -m examples.calculator serve 4711
    python -m examples.calculator ask 127.0.0.1 4711 17 4

A question is a message of numbers, and its stream says which client asks.  The answer comes back on
the same stream, so that clients that share an association do not wait for each other.
"""

from __future__ import annotations

import argparse

import trio

import trio_sctp
from trio_sctp import AssociationChannel, Message

PPID = 4711  # a private number: those that IANA has registered are in `trio_sctp.Ppid`
MALFORMED = b"?"


def answer(question: bytes) -> bytes:
    """The sum that a question asks for, or that the question is malformed."""
    try:
        return str(sum(map(int, question.split()))).encode()
    except ValueError:
        return MALFORMED


async def handle(association: AssociationChannel) -> None:
    """Answer whatever one peer asks, until it shuts down."""
    async for message in association:
        await association.send(answer(message.data), stream=message.stream, ppid=PPID)


async def serve(
    port: int, *, task_status: trio.TaskStatus[trio_sctp.Listener] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled."""
    await trio_sctp.serve(handle, port, task_status=task_status)


class Calculator:
    """A client.  On each stream one task at a time may ask."""

    def __init__(self, association: AssociationChannel) -> None:
        self._association = association
        self._asking: dict[int, trio.MemorySendChannel[Message]] = {}

    async def run(self) -> None:
        """Hand answers to the tasks that asked, until the association ends."""
        async for message in self._association:
            await self._asking[message.stream].send(message)

    async def ask(self, *numbers: int, stream: int = 0) -> int:
        """The sum of some numbers."""
        send, receive = trio.open_memory_channel[Message](0)
        self._asking[stream] = send
        question = " ".join(map(str, numbers)).encode()
        await self._association.send(question, stream=stream, ppid=PPID)
        return int((await receive.receive()).data)


async def ask(host: str, port: int, *numbers: int, seconds: float = 10) -> int:
    """Connect, ask once, and leave.

    Raises:
      trio.TooSlowError: it took longer than ``seconds``.
      ConnectFailed: there is no server.
      AssociationLost: the server went away.
    """
    with trio.fail_after(seconds):
        association = await trio_sctp.open_association(host, port)
        async with association, association.while_up(), trio.open_nursery() as nursery:
            calculator = Calculator(association)
            nursery.start_soon(calculator.run)
            total = await calculator.ask(*numbers)
            nursery.cancel_scope.cancel()
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    server = commands.add_parser("serve")
    server.add_argument("port", type=int)
    client = commands.add_parser("ask")
    client.add_argument("host")
    client.add_argument("port", type=int)
    client.add_argument("numbers", type=int, nargs="+")
    arguments = parser.parse_args()
    try:
        if arguments.command == "serve":
            trio.run(serve, arguments.port)
        else:
            print(trio.run(ask, arguments.host, arguments.port, *arguments.numbers))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
