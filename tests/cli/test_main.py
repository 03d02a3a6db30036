"""The command as such: help, errors in one line, exit status."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

import trio_sctp
from trio_sctp._cli import HOW_TO_INSTALL
from trio_sctp._cli.main import COMMANDS

from .conftest import ROOT, command


def done(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True)


def test_the_version() -> None:
    assert done("--version").stdout.endswith(f"{trio_sctp.__version__}\n")


def test_the_help_names_every_command_with_a_sentence() -> None:
    text = done("--help").stdout
    for name in COMMANDS:
        assert f"\n  {name} " in text


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name: str) -> None:
    helped = done(name, "--help")
    assert helped.returncode == 0
    assert f"Usage: trio-sctp {name}" in helped.stdout
    assert "--help" in helped.stdout


def test_without_a_command_it_shows_its_help_and_fails() -> None:
    nothing = done()
    assert nothing.returncode == 2
    assert "Usage: trio-sctp" in nothing.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["no-such-command"], "No such command 'no-such-command'; see trio-sctp --help"),
        (
            ["check", "--no-such"],
            "trio-sctp check: No such option '--no-such'; see trio-sctp check",
        ),
        (["check", "--stack", "x"], "'x' is not one of 'kernel', 'userland'; see trio-sctp check"),
    ],
)
def test_a_wrong_command_is_one_line(arguments: list[str], text: str) -> None:
    wrong = done(*arguments)
    assert wrong.returncode == 2
    assert not wrong.stdout
    assert wrong.stderr.count("\n") == 1
    assert text in wrong.stderr


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_it_says_how_to_get_it(missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None; from trio_sctp._cli import start; start()"
    )
    without = subprocess.run(
        [sys.executable, "-c", program, "check"], cwd=ROOT, capture_output=True, text=True
    )
    assert without.returncode == 1
    assert without.stderr == HOW_TO_INSTALL + "\n"


def test_the_script_is_the_same_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tomllib = pytest.importorskip("tomllib")
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    script = EntryPoint("trio-sctp", scripts["trio-sctp"], "console_scripts").load()
    monkeypatch.setattr(sys, "argv", ["trio-sctp", "--version"])
    with pytest.raises(SystemExit) as ended:
        script()
    assert ended.value.code == 0
    assert capsys.readouterr().out.endswith(f"{trio_sctp.__version__}\n")


@pytest.mark.parametrize("imported", ["click", "rich"])
def test_ctrl_c_while_it_starts(imported: str) -> None:
    """A Ctrl-C comes when something is imported, after the package itself."""
    program = f"""
import sys

class Interrupting:
    def find_spec(self, name, *others):
        if name == {imported!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from trio_sctp._cli import start
sys.argv = ["trio-sctp", "check"]
start()
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout, ended.stderr.strip()) == (130, "", "")
