"""The hosted workflows run what the Makefile does, on all that the package says it runs on."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
Workflow = dict[Any, Any]
TEXTS = {path.stem: path.read_text() for path in (ROOT / ".github/workflows").glob("*.yml")}
WORKFLOWS: dict[str, Workflow] = {name: yaml.safe_load(text) for name, text in TEXTS.items()}
TEXT, JOBS = TEXTS["ci"], WORKFLOWS["ci"]["jobs"]
RELEASE = WORKFLOWS["release"]["jobs"]
MAKEFILE = (ROOT / "Makefile").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, CIBUILDWHEEL = PYPROJECT["project"], PYPROJECT["tool"]["cibuildwheel"]

PYTHONS = [
    classifier.rpartition(" ")[2]
    for classifier in PROJECT["classifiers"]
    if re.search(r"Python :: 3\.\d+$", classifier)
]


each_workflow = pytest.mark.parametrize("name", WORKFLOWS)
each_job = pytest.mark.parametrize(
    "job",
    [
        pytest.param(job, id=f"{name}-{job_name}")
        for name, workflow in WORKFLOWS.items()
        for job_name, job in workflow["jobs"].items()
    ],
)


def triggers(name: str) -> dict[str, Any]:
    return WORKFLOWS[name][True]  # type: ignore[no-any-return]  # what YAML takes "on" for


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


def test_tests_run_on_every_system_and_with_musl() -> None:
    systems = {"macos-latest", "windows-latest", "ubuntu-24.04-arm"}
    assert systems == {*JOBS["elsewhere"]["strategy"]["matrix"]["os"]}
    assert JOBS["test"]["runs-on"] == "ubuntu-latest"
    assert "-alpine" in commands("musl")
    assert "python -m pytest" in commands("musl")


def test_a_change_is_run_once() -> None:
    """Commits of a pull request by its event, those of the main branch as pushes."""
    assert triggers("ci")["push"] == {"branches": ["main"]}
    assert {"pull_request", "schedule", "workflow_dispatch"} <= {*triggers("ci")}


def test_a_tag_is_run_once() -> None:
    """By the workflow that publishes, which has the others' tests run."""
    tagged = [name for name in WORKFLOWS if "tags" in (triggers(name).get("push") or {})]
    assert tagged == ["release"]
    assert {*triggers("release")} == {"push"}
    assert RELEASE["test"]["uses"] == "./.github/workflows/ci.yml"
    assert "workflow_call" in triggers("ci")


@each_workflow
def test_runs_of_one_commit_are_in_a_group_of_their_own(name: str) -> None:
    groups = [workflow["concurrency"]["group"] for workflow in WORKFLOWS.values()]
    assert len({*groups}) == len(groups)
    assert "cancel-in-progress" in WORKFLOWS[name]["concurrency"]


@each_job
def test_every_job_ends(job: dict[str, Any]) -> None:
    assert "uses" in job or job["timeout-minutes"] <= 60


@each_workflow
def test_actions_are_pinned_to_commits(name: str) -> None:
    used = re.findall(r"uses: (?!\./)(.+)", TEXTS[name])
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in used)


def test_an_action_has_the_same_commit_everywhere() -> None:
    used = {use for text in TEXTS.values() for use in re.findall(r"uses: (\S+@.+)", text)}
    assert len(used) == len({use.partition("@")[0] for use in used})


@each_job
def test_no_job_leaves_a_token_in_its_checkout(job: dict[str, Any]) -> None:
    for step in job.get("steps", []):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@each_workflow
def test_only_what_publishes_may_do_more_than_read(name: str) -> None:
    workflow = WORKFLOWS[name]
    assert workflow["permissions"] == {"contents": "read"}
    for job_name, job in workflow["jobs"].items():
        if "permissions" in job:
            assert job_name == "publish"
            assert "environment" in job
            assert not any("run" in step for step in job["steps"])
    assert "secrets." not in TEXTS[name]


def test_what_is_published_was_built_and_tested_before() -> None:
    """By jobs of which each waits for the last, and without a cache."""
    assert RELEASE["publish"]["needs"] == "collect"
    assert RELEASE["collect"]["needs"] == "test"
    assert RELEASE["publish"]["permissions"] == {"id-token": "write"}
    kept = {
        step["with"]["name"]
        for job in ("package", "wheels")
        for step in JOBS[job]["steps"]
        if step.get("uses", "").startswith("actions/upload-artifact@")
    }
    assert kept == {"dist", "wheels-${{ matrix.os }}"}
    for job in JOBS["package"], JOBS["wheels"], RELEASE["collect"]:
        assert not any("cache" in step.get("with", {}) for step in job["steps"])


def test_the_documentation_is_built_by_the_makefile_and_published_from_the_main_branch() -> None:
    jobs = WORKFLOWS["docs"]["jobs"]
    build, publish = jobs["build"], jobs["publish"]
    commands = [step.get("run") for step in build["steps"]]
    assert 'make docs PYTHON=python SPHINXOPTS="--tag online"' in commands
    assert build["steps"][-1]["with"] == {"path": "docs/_build"}
    assert "$(BIN)/python -m sphinx --fail-on-warning" in MAKEFILE
    assert "docs docs/_build\n" in MAKEFILE
    assert "github.ref == 'refs/heads/main'" in publish["if"]
    assert publish["permissions"] == {"pages": "write", "id-token": "write"}


def test_files_that_it_names_are_there() -> None:
    run = commands("elsewhere") + commands("musl")
    paths = set(re.findall(r"\b(?:tests|examples)(?:/[\w.]+)*", run))
    paths |= {path.removeprefix("/src/") for path in re.findall(r"/src/tests\S+py", TEXT)}
    assert len(paths) > 5
    assert all((ROOT / path).exists() for path in paths)
