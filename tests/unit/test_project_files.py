"""What stands beside the code for those who report, change and release it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import trio_sctp

from .test_docs import anchor

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
FRAGMENT_TYPES = [kind["directory"] for kind in PYPROJECT["tool"]["towncrier"]["type"]]
VERSION = r"\d+\.\d+\.\d+"


def anchors(page: Path) -> set[str]:
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", page.read_text(), re.M)}


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_of_a_page_beside_the_readme_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / name).read_text()):
        path, _, fragment = target.partition("#")
        assert (ROOT / path).exists(), target
        assert not fragment or fragment in anchors(ROOT / path), target


@pytest.mark.parametrize("folder", re.findall(r"^\| `(\w+)` \|", CONTRIBUTING, re.MULTILINE))
def test_the_folders_of_contributing_are_there(folder: str) -> None:
    assert (ROOT / folder).is_dir()


def test_contributing_names_only_targets_that_there_are() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        word
        for line in re.findall(r"`make ([^`]+)`", CONTRIBUTING)
        for word in line.split()
        if re.fullmatch(r"[a-z-]+", word)
    }
    assert {"run", "check", "test", "package", "bench", "mutants"} <= named <= targets


def test_contributing_explains_each_type_of_fragment() -> None:
    assert re.findall(r"^\| `\.(\w+)\.md` \|", CONTRIBUTING, re.MULTILINE) == FRAGMENT_TYPES


def test_fragments_have_names_of_which_a_section_can_be_made() -> None:
    names = {path.name for path in (ROOT / "changes").iterdir()} - {"README.md"}
    kinds = "|".join(FRAGMENT_TYPES)
    wrong = [name for name in names if not re.fullmatch(rf"(\d+|\+[\w-]+)\.({kinds})\.md", name)]
    assert wrong == []


def test_the_newest_section_of_the_changelog_is_of_this_version() -> None:
    """Unless there are fragments, which are of the version to come."""
    sections = re.findall(rf"^## ({VERSION}) \(\d{{4}}-\d\d-\d\d\)$", CHANGELOG, re.MULTILINE)
    assert sections[0] == trio_sctp.__version__
    assert PYPROJECT["tool"]["towncrier"]["start_string"] in CHANGELOG


@pytest.mark.parametrize("form", [pytest.param(form, id=form.stem) for form in FORMS])
def test_a_form_asks_each_question_once_and_needs_an_answer_to_the_first(form: Path) -> None:
    questions: list[dict[str, Any]] = [
        item for item in yaml.safe_load(form.read_text())["body"] if item["type"] != "markdown"
    ]
    ids = [question["id"] for question in questions]
    assert len({*ids}) == len(ids)
    assert questions[0]["validations"] == {"required": True}


def test_the_report_of_a_fault_says_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    """What a form asks people to run works, and tells of the stacks."""
    (program,) = re.findall(r'`python -c "(.+)"`', (ROOT / FORMS[0]).read_text())
    exec(compile(program, "form", "exec"), {})
    versions, *stacks = capsys.readouterr().out.splitlines()
    assert versions.startswith(trio_sctp.__version__)
    assert [re.findall(r"name='(\w+)'", stack) for stack in stacks] == [["kernel"], ["userland"]]
