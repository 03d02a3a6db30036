"""Compiles the engine with mypyc while a wheel is built, if TRIO_SCTP_COMPILE=1 asks for it.

    TRIO_SCTP_COMPILE=1 python -m pip wheel .            a wheel for this Python and platform
    TRIO_SCTP_COMPILE=1 python -m pip install -e .       in this tree, as `make compiled` does

Otherwise the wheel is the pure one, which needs no compiler and runs everywhere.  Nobody's install
is to fail for the sake of speed; but whoever has asked for the compiled form is not to get another,
so then a compilation that fails is an error.

This is a build hook of Hatch's, and our own: hatch-mypyc, which has not changed since 2023, puts
the modules beside their sources, where Python would always prefer them.  Ours go into a folder, and
`trio_sctp._engine` chooses.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

GROUP = "trio_sctp._engine.group"
"""What the modules share is a module, too; a name in the package is nobody else's."""


class CompileEngine(BuildHookInterface[Any]):
    """Adds the compiled modules to a wheel, or leaves them in the tree of an editable install."""

    def dependencies(self) -> list[str]:
        """What the compilation needs, installed for the build alone."""
        return ["mypy[mypyc]>=1.19", "setuptools>=77"] if self._is_wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, if it is asked for."""
        if not self._is_wanted():
            return
        package = Path(self.root, "trio_sctp", "_engine")
        compiled = package / "compiled"
        shutil.rmtree(compiled, ignore_errors=True)
        with tempfile.TemporaryDirectory() as scratch:
            found = compile_modules(Path(self.root), package, Path(scratch))
            compiled.mkdir()
            for path in found:
                shutil.copy(path, compiled)
        if version != "editable":
            build_data["artifacts"].append("/trio_sctp/_engine/compiled/*")
            build_data["pure_python"] = False
            build_data["infer_tag"] = True

    def _is_wanted(self) -> bool:
        return self.target_name == "wheel" and os.environ.get("TRIO_SCTP_COMPILE", "0") not in (
            "",
            "0",
        )


def compile_modules(root: Path, package: Path, scratch: Path) -> list[Path]:
    """Compile the modules of a package; returns the extension modules, which are in ``scratch``."""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise SystemExit("free-threaded Python: the engine was not shown to be safe there compiled")
    from mypyc.build import mypycify
    from setuptools import Distribution

    sources = [path for path in sorted(package.glob("*.py")) if path.name != "__init__.py"]
    before = Path.cwd()
    os.chdir(root)  # mypyc finds the names of modules by their relative paths
    try:
        extensions = mypycify(
            [
                "--config-file=",
                "--ignore-missing-imports",
                *(str(path.relative_to(root)) for path in sources),
            ],
            opt_level="3",
            debug_level="0",
            group_name=GROUP,
            target_dir=str(scratch / "c"),
        )
        build = Distribution({"name": "trio_sctp", "ext_modules": extensions}).get_command_obj(
            "build_ext"
        )
        build.build_lib = str(scratch / "lib")
        build.build_temp = str(scratch / "temp")
        build.ensure_finalized()
        build.run()
    finally:
        os.chdir(before)
    return [path for path in (scratch / "lib").rglob("*") if path.is_file()]
