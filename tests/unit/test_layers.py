"""Imports point one way, down the maps in the docstrings of the package and of its folders."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import trio_sctp

PACKAGE = Path(trio_sctp.__file__).parent
FOLDERS = [PACKAGE, *sorted(init.parent for init in PACKAGE.glob("*/__init__.py"))]
MODULES = sorted(PACKAGE.rglob("*.py"))

# The engine is compiled and driven without Trio; nothing of ours that it imports may bring it in.
WITHOUT_TRIO = {"_checks", "_engine", "_frozen", "_log", "_options", "_values"}

# The command line is a program like others: it may import the package itself, as they do.
PROGRAMS = {"_cli", "__main__"}

# They meet at the seam only: what one of them needs of another has to go there.
APART = {"_kernel", "_userland", "_socket"}


def layers(folder: Path) -> list[str]:
    """The map of a folder, from the top down."""
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()), clean=False)
    return re.findall(r"^    (\w+)  ", docstring or "", re.MULTILINE)


def name(module: Path) -> tuple[str, ...]:
    """Where a module stands below the package; a folder's own is the folder's name."""
    parts = module.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports(module: Path, source: str | None = None) -> Iterator[tuple[str, ...]]:
    """Our modules that it imports at run time, also inside its functions and conditions."""
    tree = ast.parse(module.read_text() if source is None else source)
    todo: list[ast.AST] = [tree]
    package = module.relative_to(PACKAGE).parts[:-1]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse
            continue
        todo += ast.iter_child_nodes(node)
        if isinstance(node, ast.ImportFrom):
            module_name = tuple((node.module or "").split(".")) if node.module else ()
            if node.level:
                start = package[: len(package) - node.level + 1] + module_name
            elif module_name[:1] == ("trio_sctp",):
                start = module_name[1:]
            else:
                continue
            for alias in node.names:
                whole = (*start, alias.name)
                yield whole if exists(whole) else start
        elif isinstance(node, ast.Import):
            for alias in node.names:
                parts = tuple(alias.name.split("."))
                if parts[0] == "trio_sctp":
                    yield parts[1:]


def exists(parts: tuple[str, ...]) -> bool:
    path = PACKAGE.joinpath(*parts)
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def goes_up(module: Path, target: tuple[str, ...]) -> str | None:
    """Why a module may not import this one; None if it may."""
    own = name(module)
    if own and own[0] in PROGRAMS and not target:
        return None
    shared = 0
    while shared < min(len(own), len(target)) and own[shared] == target[shared]:
        shared += 1
    if shared == len(own):
        return None  # a folder is made of its modules
    folder = PACKAGE.joinpath(*own[:shared])
    if shared == len(target):
        return f"the folder {target or 'trio_sctp'} that it is in"
    order = layers(folder)
    if order.index(own[shared]) >= order.index(target[shared]):
        return f"{target[shared]}, which stands above {own[shared]}"
    return None


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_map_names_every_module(folder: Path) -> None:
    modules = {module.stem for module in folder.glob("*.py")} - {"__init__"}
    modules |= {init.parent.name for init in folder.glob("*/__init__.py")}
    assert sorted(layers(folder)) == sorted(modules)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: ".".join(name(module)) or "package")
def test_a_module_imports_only_from_below(module: Path) -> None:
    reasons = {target: goes_up(module, target) for target in imports(module)}
    assert {target: reason for target, reason in reasons.items() if reason} == {}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: ".".join(name(module)) or "package")
def test_a_stack_and_the_socket_above_it_meet_at_the_seam(module: Path) -> None:
    own = name(module)[:1]
    if own and own[0] in APART:
        assert not {target[0] for target in imports(module)} & (APART - {own[0]})


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("_stack.py", "def kernel():\n    from ._kernel import KernelStack"),
        ("_stack.py", "def default():\n    from ._userland.userland import default_stack"),
        ("_socket/tcb.py", "def handle():\n    from .._association import Association"),
        ("_socket/tcb.py", "from .socket import Socket"),
        ("_engine/engine.py", "from .._stack import SendInfo"),
        ("_engine/path.py", "if True:\n    import trio_sctp._engine.association"),
        ("_userland/carrier.py", "from . import stack, userland"),
        ("_values.py", "import trio_sctp"),
    ],
)
def test_an_import_that_goes_up_is_found(module: str, source: str) -> None:
    path = PACKAGE / module
    assert [target for target in imports(path, source) if goes_up(path, target)]


def test_annotations_may_name_what_stands_above() -> None:
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ._endpoint import E"
    assert not list(imports(PACKAGE / "_values.py", source))


@pytest.mark.parametrize(
    "module",
    [module for module in MODULES if name(module)[:1] and name(module)[0] in WITHOUT_TRIO],
    ids=lambda module: ".".join(name(module)),
)
def test_the_engine_knows_nothing_of_trio(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            assert "trio" not in [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            assert (node.module or "").split(".")[0] != "trio"
    assert {target[0] for target in imports(module)} <= WITHOUT_TRIO
