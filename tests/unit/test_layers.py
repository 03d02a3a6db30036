"""Imports point one way, down the map in the package's docstring."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import trio_sctp

PACKAGE = Path(trio_sctp.__file__).parent
LAYERS = re.findall(r"^    (\w+)  ", trio_sctp.__doc__ or "", re.MULTILINE)
"""From the top down."""


def layer(module: Path) -> str:
    return module.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(module: Path) -> set[str]:
    """Our modules that it imports at run time, at its top level."""
    names: set[str] = set()
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            up = len(module.relative_to(PACKAGE).parts) - node.level
            if up == 0:
                names.add((node.module or "").split(".")[0])
    return names - {""}


def test_the_map_names_every_module() -> None:
    modules = {layer(module) for module in PACKAGE.rglob("*.py")} - {"__init__"}
    assert set(LAYERS) == modules


@pytest.mark.parametrize(
    "module", [m for m in PACKAGE.rglob("*.py") if m.parent != PACKAGE or m.stem != "__init__"]
)
def test_a_module_imports_only_from_below(module: Path) -> None:
    below = LAYERS[LAYERS.index(layer(module)) + 1 :]
    assert imported(module) <= set(below)
