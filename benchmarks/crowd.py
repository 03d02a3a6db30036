"""Whether one peer that floods a server delays others: its tasks, and another peer."""

from __future__ import annotations

import statistics

from . import measuring, ours
from .ends import COUNTS, free_port
from .measuring import Table

ROUNDS = 9
COUNT = 1000
NOBODY = "nobody floods"
WANTED_LATENESS, WANTED_ROUND_TRIP = 2, 10  # milliseconds, at most


def measure(form: str, flood: int | None) -> tuple[float, float]:
    """How late the server's other tasks are, and how long another peer waits for an echo: the 99th
    percentiles, in milliseconds."""
    port = free_port()
    programs = [ours.start("crowd_ends", form, port) for _ in range(3)]
    server, flooding, quiet = programs
    try:
        server.ask("listen")
        if flood is not None:
            flooding.ask("flood", flood)
        quiet.ask("ping", 100)  # the flood's window opens meanwhile
        return float(server.ask("lateness", COUNT)), float(quiet.ask("ping", COUNT))
    finally:
        for program in reversed(programs):
            program.end()


async def run() -> list[Table]:
    rows: list[list[str]] = []
    for form in ours.FORMS:
        for flood in (None, *COUNTS):
            runs = [measure(form, flood) for _ in range(ROUNDS)]
            row = [form, NOBODY if flood is None else measuring.size_name(flood)]
            bounds = WANTED_LATENESS, WANTED_ROUND_TRIP
            for values, bound in zip(zip(*runs, strict=True), bounds, strict=True):
                value = statistics.median(values)
                row.append(f"{value:.2f}" + (f" {measuring.MISSED}" if value > bound else ""))
            rows.append(row)
    return [
        Table(
            "While a peer floods the server, 99th percentiles in ms",
            [
                "",
                "messages of",
                f"lateness of other tasks (≤ {WANTED_LATENESS})",
                f"another peer's round trip (≤ {WANTED_ROUND_TRIP})",
            ],
            rows,
        )
    ]
