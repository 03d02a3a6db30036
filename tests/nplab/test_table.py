"""The table of purposes and the tests agree."""

from __future__ import annotations

import collections
import importlib
import inspect
import pkgutil
import re

from . import __path__
from .purposes import (
    CONTRADICTED,
    LEFT_OUT,
    NOT_APPLICABLE,
    OPEN,
    PURPOSES,
    RUN,
    SCRIPTS,
    Verdict,
)


def scripts_that_are_run() -> list[str]:
    """The scripts that the tests of this folder say they run."""
    found: list[str] = []
    for module_info in pkgutil.iter_modules(__path__):
        if not module_info.name.startswith("test_"):
            continue
        module = importlib.import_module(f"{__package__}.{module_info.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("test_") and function.__module__ == module.__name__:
                found += getattr(function, "scripts", ())
    return found


def test_every_script_is_there_once() -> None:
    scripts = [script for purpose in PURPOSES for script in purpose.scripts]
    assert len(scripts) == len(set(scripts)) == sum(SCRIPTS.values())
    groups = collections.Counter(script.rsplit("/", 1)[0] for script in scripts)
    assert groups == SCRIPTS
    assert not set(LEFT_OUT) & set(SCRIPTS)


def test_every_purpose_is_told_in_one_sentence_of_its_own() -> None:
    assert len({purpose.title for purpose in PURPOSES}) == len(PURPOSES)
    for purpose in PURPOSES:
        assert re.fullmatch(r"[A-Z][^.]+\.", purpose.title), purpose.title


def test_what_is_not_just_run_says_why() -> None:
    for purpose in PURPOSES:
        assert purpose.reason or purpose.verdict is RUN, purpose.title
        if purpose.verdict is CONTRADICTED:
            assert re.match(r"RFC \d+ section \d", purpose.reason), purpose.title


def test_every_script_has_its_test_and_every_test_its_script() -> None:
    expected = [
        script
        for purpose in PURPOSES
        if purpose.verdict is not NOT_APPLICABLE
        for script in purpose.scripts
    ]
    assert sorted(scripts_that_are_run()) == sorted(expected)


def test_how_many_are_run() -> None:
    verdicts: collections.Counter[Verdict] = collections.Counter()
    for purpose in PURPOSES:
        verdicts[purpose.verdict] += len(purpose.scripts)
    assert verdicts == {RUN: 405, OPEN: 8, CONTRADICTED: 7, NOT_APPLICABLE: 14}
