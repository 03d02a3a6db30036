"""docs/command-line.md: the commands and options that it shows exist."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from trio_sctp._cli.main import COMMANDS, Commands, trio_sctp_command

from .conftest import ROOT

TEXT = (ROOT / "docs/command-line.md").read_text()
SHOWN = sorted({*re.findall(r"(?:\$ |`)trio-sctp ([a-z][^`\n]*)", TEXT)})


def options(command: click.Command) -> set[str]:
    names = {"--help"}
    return names.union(*(p.opts for p in command.params))


def find(words: list[str]) -> click.Command:
    """The command that words begin with."""
    context = click.Context(trio_sctp_command)
    command: click.Command | None = trio_sctp_command
    for word in words:
        if not isinstance(command, click.Group):
            break
        command = command.get_command(context, word)
    assert command is not None
    return command


@pytest.mark.parametrize("line", SHOWN)
def test_what_it_shows_can_be_typed(line: str) -> None:
    words = shlex.split(re.split(r" [>|]", line)[0])
    used = {word for word in words if re.match(r"--?[a-z]", word)}
    assert used <= options(find(words))


def test_it_has_a_part_for_each_command_and_names_every_option_of_its_tables() -> None:
    for name in COMMANDS:
        assert re.search(rf"^## .*\b{name}\b", TEXT, re.MULTILINE)
    assert isinstance(trio_sctp_command, Commands)
    known = set().union(*(options(find([name])) for name in COMMANDS))
    known |= options(find(["perf", "client"])) | options(find(["perf", "server"]))
    assert set(re.findall(r"^\| .*?`(--[a-z-]+)", TEXT, re.MULTILINE)) <= known
    assert set(re.findall(r"`(--[a-z0-9-]+)", TEXT)) <= known | {"--reverse"}
