"""Whose deadline comes next, of many that change, and how much is kept for that."""

from __future__ import annotations

from math import inf
from random import Random

from trio_sctp._engine.deadlines import Deadlines


class Clocks:
    """Deadlines by id, and the object under test, which has to agree with them."""

    def __init__(self) -> None:
        self.at: dict[int, float] = {}
        self.deadlines = Deadlines(self.at.__getitem__)

    def set(self, id: int, deadline: float) -> None:
        self.at[id] = deadline
        self.deadlines.changed.add(id)

    def forget(self, id: int) -> None:
        del self.at[id]
        self.deadlines.forget(id)


def test_the_earliest_and_what_is_due_in_order() -> None:
    clocks = Clocks()
    for id, deadline in enumerate([3.0, 1.0, inf, 2.0]):
        clocks.set(id, deadline)
    assert clocks.deadlines.earliest() == 1.0
    assert clocks.deadlines.due(0.9) is None
    taken = []
    while (due := clocks.deadlines.due(2.0)) is not None:
        taken.append(due)
        clocks.set(due, inf)
    assert taken == [1, 3]
    assert clocks.deadlines.earliest() == 3.0
    clocks.forget(0)
    assert clocks.deadlines.earliest() == inf


def test_a_deadline_that_moved_away_is_not_due_and_one_that_is_gone_is_not_kept() -> None:
    clocks = Clocks()
    clocks.set(1, 1.0)
    assert clocks.deadlines.earliest() == 1.0
    clocks.set(1, 5.0)
    assert clocks.deadlines.due(4.0) is None
    assert clocks.deadlines.earliest() == 5.0
    clocks.set(1, inf)
    assert clocks.deadlines.earliest() == inf
    assert len(clocks.deadlines) == 0


def test_what_changes_all_the_time_takes_no_more_than_what_does_not() -> None:
    clocks = Clocks()
    for step in range(10_000):
        clocks.set(step % 10, 10_000.0 - step)
        clocks.deadlines.earliest()
    assert len(clocks.deadlines) <= 2 * 10 + 64 + 1


def test_whatever_changes_the_earliest_is_found() -> None:
    clocks, chance = Clocks(), Random(1)
    for _ in range(5000):
        id = chance.randrange(20)
        if chance.random() < 0.1 and id in clocks.at:
            clocks.forget(id)
        else:
            clocks.set(id, chance.choice([inf, round(chance.uniform(0, 100), 1)]))
        if chance.random() < 0.5:
            assert clocks.deadlines.earliest() == min(clocks.at.values(), default=inf)
