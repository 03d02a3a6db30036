"""The Erlang server of docs/moving/gen_sctp.md, beside those in Python that it is compared with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import trio_sctp
from trio_sctp import AssociationChannel, InitMsg

from ..docs.blocks import ROOT, blocks
from ..field.conftest import until_up
from .conftest import HOST, RunPeer

pytestmark = [pytest.mark.kernel, pytest.mark.peer("erl", "erlc")]

PORT = 2905


async def connect() -> AssociationChannel:
    return await trio_sctp.open_association(HOST, PORT, options=[InitMsg(num_ostreams=5)])


@pytest.fixture
def compiled(tmp_path: Path) -> str:
    """The folder with the page's module."""
    source = tmp_path / "echo.erl"
    page = blocks(ROOT / "docs/moving/gen_sctp.md")
    source.write_text(next(block.source for block in page if block.language == "erlang"))
    subprocess.run(["erlc", "-Werror", "-o", tmp_path, source], check=True)
    return str(tmp_path)


async def test_it_echoes_and_its_credit_is_renewed(compiled: str, run_peer: RunPeer) -> None:
    server = await run_peer("erl", "-noshell", "-pa", compiled, "-eval", f"echo:start({PORT}).")
    await until_up(connect)
    for _ in range(40):  # more than a hundred records
        async with await connect() as client:
            await client.send(b"hello", stream=3, ppid=46)
            answer = await client.receive()
            assert (answer.data, answer.stream, answer.ppid) == (b"hello", 3, 46)
    await server.expect(": comm_up\n", ": shutdown_comp\n")
