"""Thousands of associations over UDP.

One process has the clients, each on a socket of its own; another has the server, with a task for
each association.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from . import measuring, ours
from .ends import free_port
from .measuring import Table, Wanted, in_rounds
from .program import Program

ROUNDS = 9
SET_UPS = 3
ASSOCIATIONS = 20_000
ROUND_TRIPS = 2500
ONE, MANY_ONE, MANY_ALL = "one", f"{ASSOCIATIONS:,}, one used", f"{ASSOCIATIONS:,}, all used"

WANTED = [Wanted(MANY_ONE, ONE, 1.3, speed=False)]
WANTED_SET_UPS = 2500
WANTED_KIB = 14


@contextmanager
def programs(form: str) -> Iterator[tuple[Program, Program]]:
    """Run the server, which listens, and the clients."""
    port = free_port()
    server, clients = ours.start("scale_ends", form, port), ours.start("scale_ends", form, port)
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


def task_size() -> float:
    """KiB that a Trio task takes which only sleeps."""
    tasks = ours.start("scale_ends", ours.PURE, free_port())
    try:
        before = float(tasks.ask("memory"))
        tasks.ask("tasks", ASSOCIATIONS)
        return (float(tasks.ask("memory")) - before) / ASSOCIATIONS / 1024
    finally:
        tasks.end()


def growth_table(growths: dict[str, list[Growth]]) -> Table:
    def row(
        name: str, wanted: str, least: float | None, most: float | None, *values: float
    ) -> list[str]:
        cells = [
            f"{value:,.1f}"
            + (f" {measuring.MISSED}" if value < (least or 0) or value > (most or value) else "")
            for value in values
        ]
        return [name, wanted, *cells]

    def medians(name: str) -> list[float]:
        return [statistics.median(getattr(one, name) for one in many) for many in growths.values()]

    task = task_size()
    return Table(
        f"{ASSOCIATIONS:,} associations",
        ["", "wanted", *growths],
        [
            row(
                "set up per second",
                f"≥ {WANTED_SET_UPS:,}",
                WANTED_SET_UPS,
                None,
                *medians("per_second"),
            ),
            row("KiB for each, server", f"≤ {WANTED_KIB}", None, WANTED_KIB, *medians("server")),
            row("KiB for each, clients", "", None, None, *medians("clients")),
            row("KiB for a Trio task that sleeps", "", None, None, *[task for _ in growths]),
        ],
    )


async def round_trips(clients: Program, count: int, spread: int) -> float:
    return float(clients.ask("echo", count, spread)) * 1e6 / count


async def run() -> list[Table]:
    growths: dict[str, list[Growth]] = {form: [] for form in ours.FORMS}
    costs: dict[str, measuring.Costs] = {}
    for form in ours.FORMS:
        for _ in range(SET_UPS - 1):
            with programs(form) as many:
                growths[form].append(Growth(*many))
        with programs(form) as (_, one), programs(form) as (server, many_clients):
            growths[form].append(Growth(server, many_clients))
            contenders = {
                ONE: partial(round_trips, one, ROUND_TRIPS, 1),
                MANY_ONE: partial(round_trips, many_clients, ROUND_TRIPS, 1),
                MANY_ALL: partial(round_trips, many_clients, ASSOCIATIONS, ASSOCIATIONS),
            }
            costs[form] = await in_rounds(contenders, ROUNDS)
    return [
        growth_table(growths),
        measuring.costs("Round trips of 64 B by number of associations, µs", [ONE], costs),
        measuring.wanted("Round trips, costs wanted and measured", WANTED, costs),
    ]
