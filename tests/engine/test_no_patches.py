"""Tests neither subclass nor patch what is in the engine: a compiled engine would not see it.

Interpreted classes cannot inherit from compiled ones, and compiled code calls its own methods and
reads its own constants, whatever has replaced them.  Tests watch an engine from outside,
as `WatchedEngine` does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
FOLDERS = ("engine", "etsi", "support", "userland")
ENGINE = "trio_sctp._engine"
PATCHES = {"setattr", "delattr", "patch", "object", "multiple"}


def is_engine(module: str) -> bool:
    return module == ENGINE or module.startswith(f"{ENGINE}.")


def engine_names(tree: ast.Module) -> set[str]:
    """The names that stand for modules of the engine, or for what is in them."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            for alias in node.names:
                if is_engine(node.module) or is_engine(f"{node.module}.{alias.name}"):
                    names.add(alias.asname or alias.name)
        elif isinstance(node, ast.Import):
            names |= {a.asname for a in node.names if a.asname is not None and is_engine(a.name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and belongs(node.value, names):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def belongs(node: ast.expr, names: set[str]) -> bool:
    """Whether an expression is one of the names, or an attribute of one."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return is_engine(node.value)
    if is_engine(ast.unparse(node)):
        return True
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id in names


def offences(source: str) -> Iterator[str]:
    """Statements that subclass or patch something in the engine."""
    tree = ast.parse(source)
    names = engine_names(tree)
    # Where a file imports from the engine, a parameter may stand for something in the engine.
    given = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)} if names else set()
    for node in ast.walk(tree):
        changed: list[ast.expr] = []
        owners = names
        if isinstance(node, ast.ClassDef):
            changed = node.bases
        elif isinstance(node, ast.Call):
            if ast.unparse(node.func).rpartition(".")[2] in PATCHES:
                changed = node.args[:1]
                if any(isinstance(arg, ast.Name) for arg in changed):
                    owners = names | given
        elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            changed = [node]
        for expression in changed:
            if belongs(expression, owners):
                yield f"line {expression.lineno}: {ast.unparse(node).splitlines()[0]}"


def test_nothing_in_the_engine_is_subclassed_or_patched() -> None:
    files = [path for folder in FOLDERS for path in (TESTS / folder).glob("**/*.py")]
    assert len(files) > 40
    assert [f"{path}, {o}" for path in files for o in offences(path.read_text())] == []


@pytest.mark.parametrize(
    "source",
    [
        "from trio_sctp._engine import Engine\nclass Watched(Engine): pass",
        "from trio_sctp._engine import Engine as E\nclass Watched(E): pass",
        "from trio_sctp._engine import path\nclass Slow(path.Path): pass",
        "from trio_sctp._engine.path import Path\nBase = Path\nclass Slow(Base): pass",
        "import trio_sctp._engine.path\nclass Slow(trio_sctp._engine.path.Path): pass",
        "from trio_sctp import _engine\nclass Watched(_engine.Engine): pass",
        "from trio_sctp._engine import Engine\nmonkeypatch.setattr(Engine, 'flush', fail)",
        "from trio_sctp._engine import outbound\npatch.setattr(outbound, 'MISSING_REPORTS', 2)",
        "monkeypatch.setattr('trio_sctp._engine.engine.Engine.flush', fail)",
        "from trio_sctp._engine import Engine\nmonkeypatch.delattr(Engine, 'flush')",
        "from trio_sctp._engine import Engine\nsetattr(Engine, 'flush', fail)",
        "from trio_sctp._engine import Engine\nwith mock.patch.object(Engine, 'flush'): pass",
        "with patch('trio_sctp._engine.engine.Engine.flush'): pass",
        "from trio_sctp._engine import Engine\nFAULTS = [Engine]\n"
        "def test(owner, monkeypatch): monkeypatch.setattr(owner, 'flush', fail)",
        "from trio_sctp._engine import Engine\nEngine.flush = fail",
        "from trio_sctp._engine import outbound\noutbound.MISSING_REPORTS += 1",
        "import trio_sctp._engine.outbound as sending\ndel sending.Outbound.sack",
    ],
)
def test_one_that_is_would_be_found(source: str) -> None:
    assert len(list(offences(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "from trio_sctp._engine import Engine\nengine = Engine(1, [])\nengine.listening = True",
        "from trio_sctp._engine import Engine\nclass Watched:\n    engine: Engine",
        "monkeypatch.setattr('trio_sctp._userland.carrier.CAN_TELL_ADDRESSES', False)",
        "setattr(pair.network.default_link, field, value)",
    ],
)
def test_what_a_compiled_engine_takes_is_allowed(source: str) -> None:
    assert list(offences(source)) == []
