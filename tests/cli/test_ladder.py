"""``trio-sctp ladder``: what it draws, into a pipe, on a terminal and as a picture."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from trio_sctp._capture import Capture
from trio_sctp._cli.ladder import MOST_ARROWS, MOST_LINES
from trio_sctp._engine import wire

from ..support.ladders import A, B, C, data, in_picture, in_text, init, packet, sack
from .conftest import ROOT, OnTerminal, command, environment

BEGAN = time.mktime((2026, 11, 30, 3, 12, 44, 0, 0, -1))  # local time, which the command is told
LOSS = [
    packet(A, B, init(1, tag=9), tag=0),
    packet(A, B, data(1, b"one", ppid=60), tag=8, time=1.0),
    packet(A, B, data(2, b"two", ppid=60), tag=8, time=2.0),
    packet(B, A, sack(1), tag=9, time=2.5),
    packet(A, B, data(2, b"two", ppid=60), tag=8, time=3.0),
    packet(A, C, wire.heartbeat_chunk(b"h"), tag=5, ports=(5000, 3868), time=3.5),
]


def written(file: Path) -> Path:
    with Capture(file, lambda: None, "userland") as capture:
        for one in LOSS:
            capture.write(one.data, one.source, one.destination, BEGAN + one.time)
    return file


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return written(tmp_path / "trace.pcapng")


def ladder(*arguments: object) -> str:
    """What the command draws into a pipe."""
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def run(*arguments: object, given: bytes | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command("ladder", *arguments), cwd=ROOT, env=environment(), input=given, capture_output=True
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def test_a_capture_as_text(trace: Path) -> None:
    head, *lines = ladder(trace).splitlines()
    assert head.startswith(f"{trace}: 6 SCTP packets; 0 is 2026-11-30 03:12:44.000")
    assert lines == [
        f"#1  {A}:2905 > {B}:2905: 5 packets, 0.000 to 3.000 s",
        f"#2  {A}:5000 > {C}:3868: 1 packet, 3.500 to 3.500 s, began earlier",
        "seconds  10.0.0.1  10.0.0.2  10.0.0.3",
        "  0.000  |-------->|         |  #1 INIT streams 10/2048",
        "  1.000  |-------->|         |  #1 DATA 1 stream 3 ppid 60 NGAP b'one'",
        "  2.000  |----?--->|         |  #1 DATA 2 stream 3 ppid 60 NGAP b'two' [lost? sent again]",
        "  2.500  |<--------|         |  #1 SACK 1 rwnd 1500",
        "  3.000  |-------->|         |  #1 DATA 2 again stream 3 ppid 60 NGAP b'two'",
        "  3.500  |------------------>|  #2 HEARTBEAT",
    ]


def test_from_standard_input(trace: Path) -> None:
    done = run("-", given=trace.read_bytes())
    assert done.stdout.partition("\n")[2] == ladder(trace).partition("\n")[2]


async def test_on_a_terminal_it_fits(trace: Path, terminal: OnTerminal) -> None:
    shown = await terminal("ladder", trace)
    assert await shown.wait() == 0
    text = str(shown.screen)
    assert "  2.000  |----?--->|         |  #1 DATA 2" in text
    assert shown.screen.screen.columns == 120
    rows = [n for n, line in enumerate(text.splitlines()) if "lost? sent again" in line]
    colours = {shown.screen.screen.buffer[row][column].fg for row in rows for column in (3, 12)}
    assert colours == {"red"}


async def test_on_a_narrow_terminal_the_head_is_folded(
    tmp_path: Path, terminal: OnTerminal
) -> None:
    file = written(tmp_path / f"{'trace-' * 10}.pcapng")
    shown = await terminal("ladder", file, "-a", "1", columns=80)
    assert await shown.wait() == 0
    text = str(shown.screen)
    assert "\n    " in text.partition("seconds")[0]
    assert "5 of 6 SCTP packets; 0 is 2026-11-30" in " ".join(text.split())


# -- choosing --------------------------------------------------------------------------------------

CHOICES: dict[str, tuple[list[str], list[float]]] = {
    "a number": (["-a", "2"], [3.5]),
    "a number as in the list": (["-a", "#2"], [3.5]),
    "an address": (["-a", C], [3.5]),
    "a port": (["-a", ":3868"], [3.5]),
    "an address and a port": (["-a", f"{C}:3868"], [3.5]),
    "a tag": (["-a", "0x00000005"], [3.5]),
    "two": (["-a", "1", "-a", "2"], [0.0, 1.0, 2.0, 2.5, 3.0, 3.5]),
    "from": (["--from", "2.5"], [2.5, 3.0, 3.5]),
    "to": (["--to", "1"], [0.0, 1.0]),
    "a time of day": (["--from", "03:12:47"], [3.0, 3.5]),
    "a date": (["--to", "2026-11-30T03:12:45"], [0.0, 1.0]),
    "a chunk": (["--chunk", "data"], [1.0, 2.0, 3.0]),
    "chunks": (["-c", "SACK", "-c", "init"], [0.0, 2.5]),
    "all of it": (["-a", "1", "--from", "1", "--to", "2.9", "-c", "data"], [1.0, 2.0]),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_a_choice(choice: str, trace: Path) -> None:
    options, times = CHOICES[choice]
    shown = ladder(trace, *options)
    assert [arrow.time for arrow in in_text(shown)] == times
    of = "6 SCTP packets" if len(times) == 6 else f"{len(times)} of 6 SCTP packets"
    assert f": {of};" in shown


def test_what_is_left_out_still_counts_for_what_is_drawn(trace: Path) -> None:
    """The first copy was lost, as the second one tells."""
    (arrow,) = in_text(ladder(trace, "--from", "2", "--to", "2"))
    assert "[lost? sent again]" in arrow.label


# -- pictures --------------------------------------------------------------------------------------


def test_a_picture(trace: Path, tmp_path: Path) -> None:
    file = tmp_path / "ladder.svg"
    assert ladder(trace, "-o", file) == ""
    assert [arrow[:3] for arrow in in_picture(file.read_text(encoding="utf-8"))] == [
        arrow[:3] for arrow in in_text(ladder(trace))
    ]


def test_a_picture_of_a_choice(trace: Path, tmp_path: Path) -> None:
    file = tmp_path / "ladder.svg"
    ladder(trace, "--output", file, "--chunk", "data")
    assert [arrow.time for arrow in in_picture(file.read_text())] == [1.0, 2.0, 3.0]
    ElementTree.parse(file)


# -- errors ----------------------------------------------------------------------------------------


def crowd(path: Path) -> list[object]:
    with Capture(path / "crowd.pcapng", lambda: None, "userland") as capture:
        for number in range(MOST_ARROWS + 1):
            capture.write(packet(A, B, data(number)).data, A, B, BEGAN + number)
    return [path / "crowd.pcapng", "-o", path / "crowd.svg"]


def hosts(path: Path) -> list[object]:
    with Capture(path / "hosts.pcapng", lambda: None, "userland") as capture:
        for number in range(MOST_LINES):
            capture.write(LOSS[0].data, f"10.9.0.{number}", B, BEGAN)
    return [path / "hosts.pcapng", "-o", path / "hosts.svg"]


def other(path: Path, content: bytes) -> list[object]:
    (path / "other").write_bytes(content)
    return [path / "other"]


ERRORS: dict[str, tuple[Callable[[Path], list[object]], str]] = {
    "no file": (lambda path: [path / "none"], "none: No such file or directory"),
    "a folder": (lambda path: [path], "Is a directory"),
    "an empty file": (lambda path: other(path, b""), "is empty: give a pcapng or pcap file"),
    "a text": (lambda path: other(path, b"hello"), "is no capture: give a pcapng or pcap file"),
    "no picture": (
        lambda path: [path / "trace.pcapng", "-o", "ladder.png"],
        "-o draws an SVG file: ladder.png has to end in .svg",
    ),
    "no folder for the picture": (
        lambda path: [path / "trace.pcapng", "-o", path / "none" / "x.svg"],
        "x.svg: No such file or directory; name another file with -o",
    ),
    "no such association": (
        lambda path: [path / "trace.pcapng", "-a", "3"],
        "there is no association 3: give a number from #1 to #2, an address, :PORT or ADDRESS:PORT",
    ),
    "nothing left": (
        lambda path: [path / "trace.pcapng", "--from", "60"],
        "has 6 packets in 2 associations, from 0 to 3.500 s",
    ),
    "too many hosts for a picture": (hosts, "51 addresses are more than the 50 that a picture"),
    "too many for a picture": (crowd, "choose with --association, --from, --to or --chunk"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_is_one_line(case: str, trace: Path) -> None:
    arguments, message = ERRORS[case]
    done = run(*arguments(trace.parent))
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("trio-sctp: ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--chunk", "dta"], "'dta' is no chunk: there are ABORT, "),
        (["--from", "soon"], "'soon' is no time: give seconds since the capture began"),
        (["--from", "nan"], "'nan' is no time: give seconds since the capture began"),
        (["--to", "0001-01-01T00:00:00"], "0001-01-01 00:00:00 is no time that can be found"),
        ([], "Missing argument 'TRACE'"),
    ],
)
def test_a_wrong_option_is_one_line(options: list[str], message: str, trace: Path) -> None:
    done = run(*([trace, *options] if options else []))
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_damaged_capture_is_drawn_up_to_there_and_told(trace: Path) -> None:
    trace.write_bytes(trace.read_bytes()[:-10])
    done = run(trace)
    assert done.returncode == 0
    assert "5 SCTP packets" in done.stdout
    assert "is damaged: it cannot be read behind packet 5" in done.stderr


@pytest.mark.parametrize("options", [[], ["--from", "03:12:44"]])
def test_a_capture_of_a_year_that_no_calendar_has(tmp_path: Path, options: list[str]) -> None:
    file = tmp_path / "wild.pcapng"
    with Capture(file, lambda: None, "userland") as capture:
        capture.write(LOSS[0].data, A, B, 9.5e12)
    done = run(file, *options)
    assert done.returncode == (2 if options else 0)
    if options:
        assert "03:12:44 is no time that can be found in this capture" in done.stderr
    else:
        assert "1 SCTP packet; 0 is 9500000000000.000 s since 1970\n" in done.stdout


def test_packets_that_were_captured_twice_are_told(tmp_path: Path) -> None:
    file = tmp_path / "both.pcapng"
    with Capture(file, lambda: None, "userland") as capture:
        for direction in ("out", "in"):
            capture.write(LOSS[0].data, A, B, BEGAN, direction=direction)
    done = run(file)
    assert len(in_text(done.stdout)) == 1
    assert done.stderr == "1 packet was captured at two places; it is drawn once\n"
