"""The table of purposes and the scripts agree."""

from __future__ import annotations

import collections
import importlib
import inspect
import re

from .purposes import CONTRADICTED, GROUPS, NOT_APPLICABLE, PURPOSES, RUN


def scripts() -> dict[str, list[str]]:
    """The names of the test functions of each group."""
    found: dict[str, list[str]] = {}
    for group in GROUPS:
        module = importlib.import_module(f"{__package__}.test_{group.lower()}")
        found[group] = [
            name
            for name, function in inspect.getmembers(module, inspect.isfunction)
            if name.startswith("test_") and function.__module__ == module.__name__
        ]
    return found


def test_every_purpose_is_there_once() -> None:
    assert len(PURPOSES) == sum(GROUPS.values()) == 121
    assert collections.Counter(purpose.group for purpose in PURPOSES) == GROUPS
    assert len({purpose.id for purpose in PURPOSES}) == len(PURPOSES)
    for purpose in PURPOSES:
        assert re.fullmatch(r"SCTP_[A-Z]+_[VIO](_\d+){2,3}", purpose.id), purpose.id


def test_every_purpose_is_told_in_one_sentence_of_its_own() -> None:
    assert len({purpose.title for purpose in PURPOSES}) == len(PURPOSES)
    for purpose in PURPOSES:
        assert re.fullmatch(r"[A-Z].+\.", purpose.title), purpose.id


def test_enough_are_run_and_the_others_say_why_not() -> None:
    assert sum(purpose.verdict is RUN for purpose in PURPOSES) >= 110
    for purpose in PURPOSES:
        assert bool(purpose.reason) == (purpose.verdict is not RUN), purpose.id
        if purpose.verdict is CONTRADICTED:
            assert re.match(r"section \d", purpose.reason), purpose.id


def test_every_purpose_has_its_script_and_every_script_its_purpose() -> None:
    for group, names in scripts().items():
        expected = {
            purpose.test
            for purpose in PURPOSES
            if purpose.group == group and purpose.verdict is not NOT_APPLICABLE
        }
        assert set(names) == expected
