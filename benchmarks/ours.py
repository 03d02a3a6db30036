"""trio_sctp as a program under command: in one of its forms, on a UDP port."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable

import trio

import trio_sctp
from trio_sctp._engine import COMPILED

from .program import Program

PURE = "pure Python"
FORMS = ["compiled", PURE] if COMPILED else [PURE]

CarryOut = Callable[[str, list[int], trio.Nursery], Awaitable[float]]
"""Carries out a command: its name, its numbers, and where tasks can go on that it starts."""


def environment(form: str) -> dict[str, str]:
    """What a process has to find in its environment to run a form of the engine."""
    return {"TRIO_SCTP_PURE": "1" if form == PURE else "0"}


def start(module: str, form: str, udp_port: int) -> Program:
    """Run a module of this package that ends in `main`."""
    command = [sys.executable, "-m", f"{__package__}.{module}", str(udp_port)]
    return Program(*command, environment=environment(form))


async def _obey(udp_port: int, carry_out: CarryOut) -> None:
    async with (
        trio_sctp.userland(udp_port=udp_port, peer_udp_port=udp_port),
        trio.open_nursery() as nursery,
    ):
        while line := await trio.to_thread.run_sync(sys.stdin.readline):
            command, *numbers = line.split()
            print(await carry_out(command, [int(n) for n in numbers], nursery), flush=True)
        nursery.cancel_scope.cancel()


def main(carry_out: CarryOut) -> None:
    """Read commands, one a line, and answer each with a number on a line when it is done."""
    trio.run(_obey, int(sys.argv[1]), carry_out)
