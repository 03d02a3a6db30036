"""What `frozen` makes is a frozen dataclass with slots, as if `dataclasses` had made it."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from trio_sctp import AutoClose, Passive, RtoInfo
from trio_sctp._frozen import Frozen, frozen


@frozen()
class Ours(Frozen):
    """A point."""

    x: int
    y: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Theirs:
    """A point."""

    x: int
    y: int = 0


CALLS: list[Callable[[Any], Any]] = [
    lambda kind: kind(1),
    lambda kind: kind(1, 2),
    lambda kind: kind(1, y=2),
    lambda kind: kind(x=1),
    lambda kind: kind(y=2, x=1),
    lambda kind: dataclasses.replace(kind(1), y=3),
    lambda kind: kind(),
    lambda kind: kind(y=1),
    lambda kind: kind(1, 2, 3),
    lambda kind: kind(1, x=1),
    lambda kind: kind(1, z=1),
    lambda kind: kind(z=1),
]


@pytest.mark.parametrize("call", CALLS)
def test_it_is_made_as_a_dataclass_is(call: Callable[[Any], Any]) -> None:
    results: list[object] = []
    for kind in Ours, Theirs:
        try:
            results.append(dataclasses.astuple(call(kind)))
        except TypeError as error:
            results.append(type(error))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: AutoClose(), "missing a required argument: 'seconds'"),
        (lambda: AutoClose(1, 2), "too many positional arguments"),  # type: ignore[call-arg]
        (lambda: AutoClose(1, seconds=2), "multiple values for argument 'seconds'"),  # type: ignore[misc]
        (lambda: AutoClose(minutes=2), "missing a required argument: 'seconds'"),  # type: ignore[call-arg]
        (lambda: RtoInfo(5), "too many positional arguments"),  # type: ignore[call-arg]
        (lambda: RtoInfo(maximum=5), "unexpected keyword argument 'maximum'"),  # type: ignore[call-arg]
    ],
)
def test_what_is_wrong_is_said(call: Callable[[], object], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        call()


def test_it_is_shown_as_a_dataclass_is() -> None:
    assert repr(Ours(1)) == "Ours(x=1, y=0)"
    assert repr(RtoInfo(max=5)) == "RtoInfo(initial=None, max=5, min=None)"
    assert inspect.signature(Ours) == inspect.signature(Theirs)
    assert str(inspect.signature(RtoInfo)).startswith("(*, initial: 'int | None' = None, ")


def test_equal_values_are_equal() -> None:
    assert Ours(1) == Ours(1, 0) != Ours(2)
    assert Ours(1) != Theirs(1)
    assert len({Ours(1), Ours(1, 0), Ours(2)}) == 2
    assert Passive() == Passive()


@pytest.mark.parametrize("name", ["x", "z"])
def test_nothing_can_be_changed(name: str) -> None:
    for point in Ours(1), Theirs(1):
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
            setattr(point, name, 2)
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
            delattr(point, name)
    assert not hasattr(Ours(1), "__dict__")


@pytest.mark.parametrize("value", [Ours(1, 2), RtoInfo(max=5), Passive()])
def test_copies_are_equal(value: Any) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(value, protocol)) == value
    assert copy.copy(value) == copy.deepcopy(value) == value


def test_it_matches_by_position() -> None:
    match Ours(1, 2):
        case Ours(x, y):
            assert (x, y) == (1, 2)
