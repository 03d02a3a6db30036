"""The hosted workflow runs what the Makefile does, on all that the package says it runs on."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / ".github/workflows/ci.yml").read_text()
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]
DOCS_TEXT = (ROOT / ".github/workflows/docs.yml").read_text()
DOCS: dict[Any, Any] = yaml.safe_load(DOCS_TEXT)
MAKEFILE = (ROOT / "Makefile").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, CIBUILDWHEEL = PYPROJECT["project"], PYPROJECT["tool"]["cibuildwheel"]

PYTHONS = [
    classifier.rpartition(" ")[2]
    for classifier in PROJECT["classifiers"]
    if re.search(r"Python :: 3\.\d+$", classifier)
]


def commands(job: str) -> str:
    return "\n".join(step["run"] for step in JOBS[job]["steps"] if "run" in step)


def targets(text: str) -> set[str]:
    return set(re.findall(r"\bmake ([a-z./-]+)", text))


def test_its_commands_are_the_makefiles() -> None:
    used = set.union(*(targets(commands(job)) for job in JOBS))
    assert {"test", "check", "package", "test-oldest-trio"} <= used
    known = set(re.findall(r"^([a-z./-]+):", MAKEFILE, re.MULTILINE))
    assert used <= known


def test_it_runs_all_that_a_change_has_to_pass() -> None:
    (wanted,) = re.findall(r"^for target in (.+); do$", (ROOT / ".ci/run").read_text(), re.M)
    assert {*wanted.split()} <= set.union(*(targets(commands(job)) for job in JOBS))


@pytest.mark.parametrize("job", ["test", "elsewhere"])
def test_every_python_is_run_that_the_package_names(job: str) -> None:
    assert JOBS[job]["strategy"]["matrix"]["python"] == PYTHONS


def test_the_oldest_trio_is_the_one_that_the_package_names() -> None:
    (line,) = (line for line in PROJECT["dependencies"] if line.startswith("trio"))
    assert re.fullmatch(r"trio>=\d+\.\d+", line)
    assert """sed -n 's/.*"trio>=\\([0-9.]*\\)".*/\\1/p' pyproject.toml""" in MAKEFILE
    assert f"Trio {line.partition('>=')[2]} or later" in (ROOT / "README.md").read_text()


def test_compiled_wheels_are_built_on_every_system_beside_the_pure_one() -> None:
    """Of Linux, cibuildwheel makes those for glibc and for musl unless it is told otherwise."""
    systems = {"ubuntu-latest", "ubuntu-24.04-arm", "macos-latest", "windows-latest"}
    assert systems <= {*JOBS["wheels"]["strategy"]["matrix"]["os"]}
    assert "cibuildwheel" in commands("wheels")
    built = CIBUILDWHEEL["build"]
    assert built == [f"cp{version.replace('.', '')}-*" for version in PYTHONS]
    assert "skip" not in CIBUILDWHEEL
    assert CIBUILDWHEEL["environment"] == {"TRIO_SCTP_COMPILE": "1"}
    assert {"wheels", "package"} <= {*JOBS["release"]["needs"]}


def test_a_change_is_run_once() -> None:
    """Commits of a pull request by its event, those of the main branch and tags as pushes."""
    on = WORKFLOW[True]  # what YAML takes "on" for
    assert on["push"] == {"branches": ["main"], "tags": ["v*"]}
    assert {"pull_request", "schedule", "workflow_dispatch"} <= {*on}
    assert "concurrency" in WORKFLOW


@pytest.mark.parametrize("job", JOBS)
def test_every_job_ends(job: str) -> None:
    assert JOBS[job]["timeout-minutes"] <= 60


def test_actions_are_pinned_to_commits() -> None:
    used = re.findall(r"uses: (\S+)", TEXT + DOCS_TEXT)
    unpinned = {action for action in used if not re.search(r"@[0-9a-f]{40}$", action)}
    assert unpinned == {"pypa/gh-action-pypi-publish@release/v1"}


def test_only_a_release_may_do_more_than_read() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert [job for job in JOBS if "permissions" in JOBS[job]] == ["release"]
    assert {*JOBS} - {"release"} == {*JOBS["release"]["needs"]}


def test_the_documentation_is_built_by_the_makefile_and_published_from_the_main_branch() -> None:
    build, publish = DOCS["jobs"]["build"], DOCS["jobs"]["publish"]
    assert "make docs PYTHON=python" in [step.get("run") for step in build["steps"]]
    assert build["steps"][-1]["with"] == {"path": "docs/_build"}
    assert "$(BIN)/python -m sphinx --fail-on-warning" in MAKEFILE
    assert "docs docs/_build\n" in MAKEFILE
    assert "github.ref == 'refs/heads/main'" in publish["if"]
    assert DOCS["permissions"] == {"contents": "read"}
    assert publish["permissions"] == {"pages": "write", "id-token": "write"}
    assert all("timeout-minutes" in job for job in (build, publish))


def test_files_that_it_names_are_there() -> None:
    paths = set(re.findall(r"\b(?:tests|examples)(?:/[\w.]+)*", commands("elsewhere")))
    paths |= {path.removeprefix("/src/") for path in re.findall(r"/src/tests\S+py", TEXT)}
    assert len(paths) > 5
    assert all((ROOT / path).exists() for path in paths)
