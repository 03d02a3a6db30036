"""``listen`` and ``connect`` with the netcats of others: ncat and socat."""

from __future__ import annotations

import pytest

from ..peers import test_netcats
from ..peers.conftest import RunPeer
from ..peers.conftest import run_peer as run_peer
from .conftest import HOST, RunCommand, listening, port_of

pytestmark = pytest.mark.kernel

both = pytest.mark.parametrize("program", [test_netcats.ncat, test_netcats.socat])


@both
async def test_we_listen(program: str, run: RunCommand, run_peer: RunPeer) -> None:
    server = await listening(run)
    client = await test_netcats.run_client(program, run_peer, port_of(server))
    await client.write(b"from the client\n")
    await server.out.expect("from the client\n")
    await server.write(b"from the server\n")
    await client.expect("from the server")
    await client.close_input()
    await client.wait_success()
    assert await server.wait() == 0
    assert "* ended gracefully" in str(server.err)


@both
async def test_we_connect(program: str, run: RunCommand, run_peer: RunPeer) -> None:
    server, port = await test_netcats.run_server(program, run_peer)
    client = await run("connect", HOST, port)
    await client.write(b"from the client\n")
    await server.expect("from the client")
    await server.write(b"from the server\n")
    await client.out.expect("from the server\n")
    await client.close_input()
    assert await client.wait() == 0
    await server.wait_success()


@pytest.mark.peer("socat")
async def test_megabytes_go_through(run: RunCommand, run_peer: RunPeer) -> None:
    server, port = await test_netcats.run_server("socat", run_peer)
    data = test_netcats.numbered_lines(2**20)
    client = await run("connect", HOST, port, "--quiet", "--wait", 0)
    await client.write(data)
    await client.close_input()
    assert await client.wait() == 0
    assert data in await server.wait_success()
