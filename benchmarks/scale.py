"""Thousands of associations over UDP.

One process has the clients, each on a socket of its own; another has the server, with a task for
each association.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from . import measuring
from .ends import free_port
from .measuring import Table, Wanted, in_rounds
from .program import Program

ROUNDS = 9
SET_UPS = 3
ASSOCIATIONS = 5000
ROUND_TRIPS = 2500
ONE, MANY_ONE, MANY_ALL = "one", f"{ASSOCIATIONS:,}, one used", f"{ASSOCIATIONS:,}, all used"

WANTED = [Wanted(many, ONE, 1.5, speed=False) for many in (MANY_ONE, MANY_ALL)]
WANTED_SET_UPS = 500
WANTED_KIB = 40


@contextmanager
def programs() -> Iterator[tuple[Program, Program]]:
    """Run the server, which listens, and the clients."""
    command = [sys.executable, "-m", f"{__package__}.scale_ends", str(free_port())]
    server, clients = Program(*command), Program(*command)
    try:
        server.ask("listen")
        clients.ask("connect", 1)
        yield server, clients
    finally:
        clients.end()
        server.end()


class Growth:
    """How fast the associations of one pair of programs were set up, and the memory they took."""

    def __init__(self, server: Program, clients: Program) -> None:
        before = [float(one.ask("memory")) for one in (server, clients)]
        self.per_second = ASSOCIATIONS / float(clients.ask("connect", ASSOCIATIONS - 1))
        after = [float(one.ask("memory")) for one in (server, clients)]
        self.server, self.clients = (
            (last - first) / ASSOCIATIONS / 1024 for first, last in zip(before, after, strict=True)
        )


def growth_table(growths: list[Growth]) -> Table:
    def row(name: str, values: list[float], wanted: str, met: bool) -> list[str]:
        median = f"{statistics.median(values):,.1f}"
        return [name, wanted, median if met else f"{median} {measuring.MISSED}"]

    rates = [growth.per_second for growth in growths]
    server = [growth.server for growth in growths]
    return Table(
        f"{ASSOCIATIONS:,} associations",
        ["", "wanted", "measured"],
        [
            row(
                "set up per second",
                rates,
                f"≥ {WANTED_SET_UPS}",
                statistics.median(rates) >= WANTED_SET_UPS,
            ),
            row(
                "KiB for each, server",
                server,
                f"≤ {WANTED_KIB}",
                statistics.median(server) <= WANTED_KIB,
            ),
            row("KiB for each, clients", [growth.clients for growth in growths], "", True),
        ],
    )


async def round_trips(clients: Program, spread: int) -> float:
    return float(clients.ask("echo", ROUND_TRIPS, spread)) * 1e6 / ROUND_TRIPS


async def run() -> list[Table]:
    growths: list[Growth] = []
    for _ in range(SET_UPS - 1):
        with programs() as many:
            growths.append(Growth(*many))
    with programs() as (_, one), programs() as (server, many_clients):
        growths.append(Growth(server, many_clients))
        contenders = {
            ONE: partial(round_trips, one, 1),
            MANY_ONE: partial(round_trips, many_clients, 1),
            MANY_ALL: partial(round_trips, many_clients, ASSOCIATIONS),
        }
        costs = {"64 B": await in_rounds(contenders, ROUNDS)}
    return [
        growth_table(growths),
        measuring.costs("Round trips of 64 B by number of associations, µs", [ONE], costs),
        measuring.wanted("Round trips, costs wanted and measured", WANTED, costs),
    ]
