"""The other end of the kernel benchmarks: one-to-one sockets that send on command.

It reads commands, one a line, and answers each with a line when it is done:

    connect PORT COUNT      close all associations and set up COUNT new ones with 127.0.0.1
    send COUNT SIZE SPREAD  send COUNT messages, in turn on the first SPREAD associations
"""

from __future__ import annotations

import itertools
import resource
import socket
import sys

SOL_SCTP, SCTP_NODELAY = 132, 3


def allow_many_files() -> None:
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def connect(port: int, count: int) -> list[socket.socket]:
    socks = []
    for _ in range(count):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, SOL_SCTP)
        sock.setsockopt(SOL_SCTP, SCTP_NODELAY, 1)
        sock.connect(("127.0.0.1", port))
        socks.append(sock)
    return socks


def send(socks: list[socket.socket], count: int, size: int) -> None:
    data = bytes(size)
    sends = itertools.cycle([sock.send for sock in socks])
    for _ in range(count):
        next(sends)(data)


def main() -> None:
    allow_many_files()
    socks: list[socket.socket] = []
    for line in sys.stdin:
        command, *numbers = line.split()
        match command, [int(number) for number in numbers]:
            case "connect", [port, count]:
                for sock in socks:
                    sock.close()
                socks = connect(port, count)
            case "send", [count, size, spread]:
                send(socks[:spread], count, size)
            case _:
                raise ValueError(f"{line!r} is not a command")
        print("done", flush=True)


if __name__ == "__main__":
    main()
