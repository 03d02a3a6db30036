"""Packets, and ladders that are read back."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import NamedTuple

from trio_sctp._engine import wire
from trio_sctp._ladder.chart import CapturedPacket

A, B, C, A2, B2 = "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.1.0.1", "10.1.0.2"
TAG = 7
SVG = "{http://www.w3.org/2000/svg}"


def packet(
    source: str,
    destination: str,
    *chunks: bytes,
    time: float = 0.0,
    comment: str = "",
    ports: tuple[int, int] = (2905, 2905),
    tag: int = TAG,
) -> CapturedPacket:
    data = wire.seal(*ports, tag, chunks)
    return CapturedPacket(time, source, destination, data, comment)


def init(tsn: int, *addresses: str, tag: int = TAG) -> bytes:
    parameters = [wire.address_parameter(address) for address in addresses]
    return wire.init_chunk(wire.Init(tag, 65536, 10, 2048, tsn, parameters))


def init_ack(tsn: int, tag: int = TAG) -> bytes:
    return wire.init_chunk(wire.InitAck(tag, 65536, 5, 10, tsn, []))


def data(tsn: int, payload: bytes = b"x", *, flags: int = wire.WHOLE, ppid: int = 0) -> bytes:
    return wire.data_chunk(tsn % 2**32, 3, 0, ppid, payload, flags)


def sack(tsn: int, *gaps: tuple[int, int], twice: tuple[int, ...] = ()) -> bytes:
    return wire.sack_chunk(tsn, 1500, gaps, twice)


class Drawn(NamedTuple):
    """An arrow as it stands in a text or in a picture."""

    time: float
    source: int  # numbers of lines
    destination: int | None  # None if it ends halfway
    label: str


def in_text(text: str) -> list[Drawn]:
    """The arrows of a ladder as text, none of which goes on in a second row."""
    rows = [row for row in text.splitlines() if re.match(r" *\d+\.\d{3}  [|o-]", row)]
    bars = sorted(
        {at for row in rows for at, char in enumerate(row.split("  #")[0]) if char == "|"}
    )
    arrows: list[Drawn] = []
    for row in rows:
        rung = row[: bars[-1] + 1]
        way = re.search(r"[|][-?]*([>X])|([<X])[-?]*[|]", rung)
        assert way is not None
        if way[1]:
            source, head, end = way.start(), way[1], way.end()
        else:
            source, head, end = way.end() - 1, way[2], way.start() - 1
        ends = bars.index(source), None if head == "X" else bars.index(end)
        arrows.append(Drawn(float(row[:7]), *ends, row[len(rung) :].strip()))
    return arrows


def in_picture(svg: str) -> list[Drawn]:
    """The arrows of a ladder as a picture."""
    root = ET.fromstring(svg)
    (life, *_) = root.iterfind(f".//{SVG}path[@class='life']")
    lines = sorted(float(x) for x in re.findall(r"M([\d.]+) ", life.get("d", "")))
    arrows: list[Drawn] = []
    for group in root.iterfind(f"{SVG}g"):
        if not group.get("class", "").startswith("arrow"):
            continue
        way = group.find(f"{SVG}path[@class='way']")
        assert way is not None
        start = re.match(r"M([\d.]+) ", way.get("d", ""))
        assert start is not None
        head = group.find(f"{SVG}path[@class='head']")
        destination = None
        if head is not None:
            end = re.match(r"M([\d.]+) ", head.get("d", ""))
            assert end is not None
            destination = lines.index(float(end[1]))
        texts = list(group.iterfind(f"{SVG}text"))
        label = " ".join(
            text.text or "" for text in texts if text.get("class", "") in ("label", "label note")
        )
        (time,) = (float(text.text or "") for text in texts if text.get("class") == "time")
        arrows.append(Drawn(time, lines.index(float(start[1])), destination, label))
    return arrows
