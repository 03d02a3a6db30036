"""tshark captures what really passes, and says itself what it has seen."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import trio

from trio_sctp._ladder.capture import Capture
from trio_sctp._ladder.chart import Chart, draw
from trio_sctp._ladder.extensions import type_name

needs_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root")

Packet = tuple[int, str, str, list[int]]
"""Its number in the capture, where it came from and went to, and the types of its chunks."""

KINDS = {type_name(kind): kind for kind in range(256)}

LAST = "SHUTDOWN_COMPLETE"


@contextlib.asynccontextmanager
async def capturing(
    file: Path, *options: str, before: Sequence[str] = (), last: str = LAST
) -> AsyncIterator[None]:
    """Capture in a block, at whose end the capture goes on until tshark has seen a chunk."""
    command = [*before, "tshark", "-w", str(file), "-P", "-l", *options]
    process = await trio.lowlevel.open_process(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        await _expect(process.stderr, "Capture started")
        yield
        await _expect(process.stdout, last)
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdout.aclose()
            await process.stderr.aclose()


async def _expect(stream: trio.abc.ReceiveStream, text: str) -> None:
    seen = ""
    async for data in stream:
        seen += data.decode(errors="replace")
        if text in seen:
            return
    pytest.fail(f"tshark ended, and wrote: {seen}")


def ladder(file: Path) -> Chart:
    with file.open("rb") as stream:
        capture = Capture(stream, str(file))
        return draw(capture.packets(), start=capture.start, infer=not capture.simulated)


async def as_tshark_says(file: Path, *options: str) -> list[Packet]:
    """The SCTP packets of a capture."""
    fields = ["frame.number", "ip.src", "ip.dst", "sctp.chunk_type"]
    command = ["tshark", "-r", str(file), "-Y", "sctp", *options, "-T", "fields"]
    command += [word for field in fields for word in ("-e", field)]
    shown = await trio.run_process(command, capture_stdout=True, stderr=subprocess.DEVNULL)
    packets: list[Packet] = []
    for line in shown.stdout.decode().splitlines():
        number, source, destination, kinds = line.split("\t")
        packets.append((int(number), source, destination, [int(kind) for kind in kinds.split(",")]))
    return packets


def as_we_say(chart: Chart) -> list[Packet]:
    """The same of a chart."""
    return [
        (
            arrow.number,
            arrow.source.address,
            arrow.destination.address,
            [KINDS[chunk.name] for chunk in arrow.chunks],
        )
        for arrow in chart.arrows
    ]
