"""Ladders as pictures: what is in the file, and what a browser makes of it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from trio_sctp._engine import wire
from trio_sctp._ladder.chart import CapturedPacket, Chart, draw
from trio_sctp._ladder.svg import svg

from ..support.ladders import A2, B2, SVG, A, B, C, data, in_picture, init, init_ack, packet, sack

LONG = "2001:db8:1234:5678:9abc:def0:1234:5678"
LOST = wire.heartbeat_chunk(b"h")


def losses() -> list[CapturedPacket]:
    """One of each thing that a picture marks, with long labels."""
    return [
        packet(A, B, init(1, A, A2, tag=9), tag=0),
        packet(B, A, init_ack(1, tag=8), tag=9, time=0.1),
        packet(A, B, data(1, b"y" * 100, ppid=60), data(2, b"z" * 100, ppid=60 << 24), tag=8),
        packet(A, B, data(3, ppid=60), tag=8, time=0.2),
        packet(A2, B2, data(3, ppid=60), tag=8, time=3.2),
        packet(B2, A2, sack(3), tag=9, time=3.3),
        packet(A, B, LOST, tag=8, time=3.4),
        packet(A, B, data(4), tag=8, time=4.5, comment="dropped: lost"),
        packet(A, B, wire.abort_chunk([wire.Tlv(12, b"enough")]), tag=8, time=9.0),
    ]


def crowd() -> list[CapturedPacket]:
    """Several hosts, one of which talks past another, and associations."""
    return [
        packet(A, C, data(1, b"one"), ports=(1, 2), tag=1),
        packet(A, B, data(1, b"two"), ports=(1, 3), tag=2),
        packet(C, B, data(1, b"three"), ports=(2, 3), tag=3),
        packet(B, A, *[wire.chunk(wire.ChunkType.COOKIE_ACK)] * 20, ports=(3, 1), tag=4),
        packet(B, A, b"\0", ports=(3, 1)),
    ]


def long_addresses() -> list[CapturedPacket]:
    return [
        packet(LONG, LONG[:-1], data(1), tag=5),
        packet(f"{LONG[:-1]}9", f"{LONG[:-1]}a", data(2), tag=5),
    ]


def one_host() -> list[CapturedPacket]:
    return [packet(A, A, data(1)), packet(A, A, LOST, time=5.0)]


CHARTS: dict[str, Callable[[], list[CapturedPacket]]] = {
    "losses": losses,
    "crowd": crowd,
    "long addresses": long_addresses,
    "one host": one_host,
    "nothing": list,
}
each_chart = pytest.mark.parametrize("name", CHARTS)


def chart(name: str) -> Chart:
    return draw(CHARTS[name](), infer=True)


@each_chart
def test_the_file_needs_nothing_else(name: str) -> None:
    text = svg(chart(name))
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    kinds = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert kinds <= {"svg", "title", "style", "rect", "g", "path", "text"}
    assert not re.search(r"href|url\(|@import|script|https?:(?!//www.w3.org/2000/svg)", text)


@each_chart
def test_every_arrow_is_there_and_every_chunk_when_pointed_at(name: str) -> None:
    drawn = chart(name)
    root = ElementTree.fromstring(svg(drawn))
    told = [
        group.findtext(f"{SVG}title", "")
        for group in root.iterfind(f"{SVG}g")
        if group.get("class", "").startswith("arrow")
    ]
    assert len(told) == len(drawn.arrows)
    for text, arrow in zip(told, drawn.arrows, strict=True):
        assert f"{arrow.source} > {arrow.destination}" in text
        assert all(str(chunk) in text for chunk in arrow.chunks)


def test_each_mark_has_a_sign_and_not_only_a_colour() -> None:
    drawn = in_picture(svg(chart("losses")))
    signs = {arrow.label: arrow.destination for arrow in drawn}
    assert [label for label, end in signs.items() if end is None] == [
        "DATA 4 stream 3 b'x' [dropped: lost] [path change: now 10.0.0.1 > 10.0.0.2]"
    ]
    text = svg(chart("losses"))
    assert text.count(">?</text>") == 2  # DATA 3, and the HEARTBEAT
    assert text.count('class="changes"') == 2  # there, and back
    legend = re.findall(r'class="legend"[^>]*>([^<]*)<', text)
    assert any(line.startswith("?  ") for line in legend)


def test_tsns_are_told_as_they_are() -> None:
    assert "DATA 1 stream 3 b'x' (TSN 4000000000)" in svg(
        draw([packet(A, B, data(4_000_000_000))], infer=True)
    )


# -- in a browser ----------------------------------------------------------------------------------

BROWSER = next(filter(shutil.which, ("chromium", "chromium-browser", "google-chrome")), None)
in_a_browser = pytest.mark.skipif(BROWSER is None, reason="needs Chromium")

SCRIPT = """
const rgb = text => text.match(/[0-9.]+/g).map(Number);
const box = element => {
  const {left, top, right, bottom} = element.getBoundingClientRect();
  return [left, top, right, bottom];
};
const seen = [...document.querySelectorAll("svg")].map(picture => ({
  back: rgb(getComputedStyle(picture.querySelector(".back")).fill),
  box: box(picture),
  texts: [...picture.querySelectorAll("text")].map(text => ({
    text: text.textContent, box: box(text), colour: rgb(getComputedStyle(text).fill),
  })),
}));
document.body.textContent = JSON.stringify(seen);
"""


def seen(folder: Path, scheme: str) -> dict[str, Any]:
    """What a browser says of the pictures: where their texts are, and which colours they have."""
    page = folder / "page.html"
    pictures = "<hr>".join(svg(chart(name)) for name in CHARTS)
    page.write_text(f"<!doctype html><meta charset=utf-8><body>{pictures}<script>{SCRIPT}</script>")
    assert BROWSER is not None
    options = (
        "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --disable-dev-shm-usage --dump-dom"
    )
    done = subprocess.run(
        [
            BROWSER,
            *options.split(),
            f"--user-data-dir={folder / 'profile'}",
            f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search("<body>(.*)</body>", done.stdout, re.DOTALL)
    assert found is not None, done.stdout[-2000:] + done.stderr[-2000:]
    return dict(zip(CHARTS, json.loads(html.unescape(found[1])), strict=True))


def contrast(one: list[float], other: list[float]) -> float:
    """As WCAG 2 defines it; 4.5 is what it asks of text."""

    def luminance(colour: list[float]) -> float:
        parts = [part / 255 for part in colour[:3]]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@in_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_all_texts_readably(scheme: str, tmp_path: Path) -> None:
    for picture in seen(tmp_path, scheme).values():
        assert (sum(picture["back"][:3]) < 3 * 128) == (scheme == "dark")
        whole = picture["box"]
        for text in picture["texts"]:
            left, top, right, bottom = text["box"]
            assert contrast(text["colour"], picture["back"]) >= 4.5, text
            assert whole[0] <= left < right <= whole[2], text
            assert whole[1] <= top < bottom <= whole[3], text


@in_a_browser
def test_in_a_browser_no_text_covers_another(tmp_path: Path) -> None:
    for name, picture in seen(tmp_path, "light").items():
        for number, one in enumerate(picture["texts"]):
            left, top, right, bottom = one["box"]
            for other in picture["texts"][number + 1 :]:
                x, y, x2, y2 = other["box"]
                # A line of text reaches a little into the one above.
                apart = right <= x or x2 <= left or bottom - 2.5 <= y or y2 - 2.5 <= top
                assert apart, (name, one, other)
