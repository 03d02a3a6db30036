"""``trio-sctp check``: what it says of this machine is so."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

import trio_sctp
from trio_sctp._cli import check
from trio_sctp._cli.check import SETTINGS_THAT_MATTER, read_setting
from trio_sctp._cli.target import UDP_PORT

from .test_main import done


def free_usual_port() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.bind(("0.0.0.0", UDP_PORT))
    except OSError:
        sock.close()
        pytest.skip("another program has the usual UDP port")
    return sock


def test_it_reports_each_stack() -> None:
    text = done("check").stdout
    for report in trio_sctp.stacks():
        assert re.search(rf"^{report.name} +{'yes' if report.available else 'no'} ", text, re.M)
    assert ("compiled" if trio_sctp.__compiled__ else "pure Python") in text


def test_a_free_port_and_one_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIO_SCTP_STACK", "userland")
    taken = free_usual_port()
    with taken:
        taken_text = done("check")
    assert taken_text.returncode == 1
    assert "9899 is not free: another program has it" in taken_text.stdout
    assert "nobody can listen on UDP port 9899" in taken_text.stdout
    free = done("check")
    assert free.returncode == 0
    assert re.search(r"UDP port +9899 is free", free.stdout)


def test_a_stack_that_does_not_work_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIO_SCTP_STACK", "windows")
    wrong = done("check")
    assert wrong.returncode == 1
    assert "TRIO_SCTP_STACK is 'windows': it has to be kernel or userland" in wrong.stdout


@pytest.mark.skipif(
    trio_sctp.stacks()[0].available, reason="is for kernels without SCTP; the next is for others"
)
def test_asking_for_the_kernels_where_there_is_none_fails() -> None:
    asked = done("check", "--stack", "kernel")
    assert asked.returncode == 1
    assert "modprobe sctp" in asked.stdout
    assert "net.sctp" not in asked.stdout


@pytest.mark.kernel
def test_settings_of_the_kernel() -> None:
    asked = done("check", "--stack", "kernel")
    assert asked.returncode == 0
    for setting in SETTINGS_THAT_MATTER:
        value = read_setting(setting.name)
        assert value is not None
        (line,) = (x for x in asked.stdout.splitlines() if x.startswith(setting.name + " "))
        assert line.split()[1] == str(value)
        assert ("nothing" in line) is not setting.hinders(value)


def test_a_setting_that_is_in_the_way_is_told_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for setting in SETTINGS_THAT_MATTER:
        path = tmp_path.joinpath(*setting.name.split("."))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("0\n" if setting.name.endswith("addip_enable") else "99999999\n")
    monkeypatch.setattr(check, "SETTINGS", tmp_path)
    shown = check.settings_table(kernel=True)
    assert shown is not None
    names, values, inert, remedies = ([*column.cells] for column in shown.columns)
    at = names.index("net.sctp.addip_enable")
    assert (values[at], remedies[at]) == ("0", "it is 1")
    assert "add_address" in str(inert[at])
    assert {*inert} == {inert[at], "nothing"}


def test_settings_name_what_there_is() -> None:
    """Names of the library that the table mentions are names that a program can use."""
    words = {word for s in SETTINGS_THAT_MATTER for word in re.findall(r"\w+", s.what)}
    for word in words:
        if re.fullmatch(r"([A-Z][a-z]+){2,}", word):
            assert word in trio_sctp.__all__
