"""Rounds, medians, ratios, and the tables that show them."""

from __future__ import annotations

import dataclasses
import random
import statistics
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

T = TypeVar("T")


class Costs(dict[str, list[float]]):
    """Microseconds per message, by contender and round."""

    def cost(self, contender: str) -> float:
        return statistics.median(self[contender])

    def ratio(self, contender: str, reference: str) -> float:
        """The median, over all rounds, of one contender's cost divided by another's.

        They are compared round by round because a machine's speed varies.
        """
        pairs = zip(self[contender], self[reference], strict=True)
        return statistics.median(cost / other for cost, other in pairs)


async def runs_in_rounds(
    contenders: Mapping[str, Callable[[], Awaitable[T]]], rounds: int
) -> dict[str, list[T]]:
    """Have every contender run once in each round, in random order; return what it returned."""
    runs: dict[str, list[T]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name in random.sample(list(contenders), len(contenders)):
            runs[name].append(await contenders[name]())
    return runs


async def in_rounds(contenders: Mapping[str, Callable[[], Awaitable[float]]], rounds: int) -> Costs:
    """Have every contender measure itself once in each round, in random order."""
    return Costs(await runs_in_rounds(contenders, rounds))


def size_name(size: int) -> str:
    """A size in bytes, as the tables write it."""
    return f"{size} B" if size < 1024 else f"{size // 1024} KiB"


MISSED = "✗"


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A bound on a contender's speed or cost, relative to another contender's."""

    contender: str
    reference: str
    bound: float
    speed: bool  # whether the bound is a least speed; else it is a highest cost

    def row(self, columns: Iterable[Costs]) -> list[str]:
        row = [self.contender, f"{'≥' if self.speed else '≤'} {self.bound:.2f} of {self.reference}"]
        for costs in columns:
            cost = costs.ratio(self.contender, self.reference)
            ratio = round(1 / cost if self.speed else cost, 2)
            met = ratio >= self.bound if self.speed else ratio <= self.bound
            row.append(f"{ratio:.2f}" if met else f"{ratio:.2f} {MISSED}")
        return row


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of text under a title."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    of_bounds: bool = False
    """Whether it compares results with what was wanted; the page of speeds leaves these out."""

    def markdown(self) -> str:
        lines = [self.header, ["---", *["---:"] * (len(self.header) - 1)], *self.rows]
        return f"{self.title}:\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def show(self, console: Console) -> None:
        table = RichTable(title=self.title, title_justify="left", box=box.SIMPLE_HEAD)
        for number, name in enumerate(self.header):
            table.add_column(name, justify="right" if number else "left", no_wrap=not number)
        for row in self.rows:
            missed = any(cell.endswith(MISSED) for cell in row)
            table.add_row(*row, style="red" if missed else None)
        console.print(table)


def wanted(title: str, bounds: Iterable[Wanted], columns: Mapping[str, Costs]) -> Table:
    """The bounds beside what was measured, for the contenders that took part."""
    took_part = next(iter(columns.values()))
    rows = [each.row(columns.values()) for each in bounds if each.reference in took_part]
    return Table(title, ["", "wanted", *columns], rows, of_bounds=True)


def speeds(title: str, references: Sequence[str], columns: Mapping[str, Costs]) -> Table:
    """Messages per second, and their ratios to those of the references."""
    return _absolute(title, references, columns, "{:,.0f}".format, lambda cost: 1e6 / cost, -1)


def costs(title: str, references: Sequence[str], columns: Mapping[str, Costs]) -> Table:
    """Microseconds per message, and their ratios to those of the references."""
    return _absolute(title, references, columns, "{:.2f}".format, lambda cost: cost, 1)


def _absolute(
    title: str,
    references: Sequence[str],
    columns: Mapping[str, Costs],
    form: Callable[[float], str],
    value: Callable[[float], float],
    power: int,
) -> Table:
    header = [""]
    rows = [[name] for name in next(iter(columns.values()))]
    for column, costs in columns.items():
        header += [column, *(f"/ {reference}" for reference in references)]
        for row in rows:
            name = row[0]
            row.append(form(value(costs.cost(name))))
            row += [f"{costs.ratio(name, other) ** power:.2f}" for other in references]
    return Table(title, header, rows)
