"""ncat and socat: plain one-to-one sockets, as clients and as servers."""

from __future__ import annotations

import pytest
import trio

import trio_sctp
from trio_sctp import AssociationChannel, AssociationEnd

from .conftest import HOST, Peer, RunPeer

pytestmark = pytest.mark.kernel

MIB = 2**20

ncat = pytest.param("ncat", marks=pytest.mark.peer("ncat"))
socat = pytest.param("socat", marks=pytest.mark.peer("socat"))


class EchoServer:
    def __init__(self) -> None:
        self.received = bytearray()
        self.ended = trio.Event()
        self.end: AssociationEnd | None = None

    async def __call__(self, channel: AssociationChannel) -> None:
        async for message in channel:
            self.received += message.data
            await channel.send(message.data)
        self.end = await channel.wait_ended()
        self.ended.set()


async def run_client(program: str, run_peer: RunPeer, port: int) -> Peer:
    if program == "ncat":
        return await run_peer("ncat", "--sctp", HOST, str(port))
    return await run_peer("socat", "-", f"SCTP:{HOST}:{port}")


async def run_server(program: str, run_peer: RunPeer) -> tuple[Peer, int]:
    if program == "socat":
        peer = await run_peer("socat", "-d", "-d", "-", f"SCTP-LISTEN:0,bind={HOST}")
        return peer, int(await peer.expect(f"listening on AF=2 {HOST}:"))
    port = await free_port()
    peer = await run_peer("ncat", "--sctp", "-v", "-l", HOST, str(port))
    await peer.expect("Listening on ")
    return peer, port


async def free_port() -> int:
    """A port for ncat, which does not tell the port that it was given."""
    async with await trio_sctp.open_endpoint(hosts=HOST) as endpoint:
        return endpoint.port


@pytest.mark.parametrize("program", [ncat, socat])
async def test_as_client_of_serve(program: str, run_peer: RunPeer, nursery: trio.Nursery) -> None:
    server = EchoServer()
    listener: trio_sctp.Listener = await nursery.start(trio_sctp.serve, server, 0)
    client = await run_client(program, run_peer, listener.port)
    for line in b"hello\n", b"again\n":
        await client.write(line)
        await client.expect(line.decode().strip())
    await client.close_input()
    assert await client.wait_success() == b"hello\nagain\n"
    await server.ended.wait()
    assert server.end is not None
    assert server.end.graceful


@pytest.mark.parametrize("program", [ncat, socat])
async def test_as_server_that_we_leave(program: str, run_peer: RunPeer) -> None:
    server, port = await run_server(program, run_peer)
    async with await trio_sctp.open_association(HOST, port) as association:
        await association.send(b"to the server\n")
        await server.expect("to the server")
        await server.write(b"to the client\n")
        assert (await association.receive()).data == b"to the client\n"
    assert (await association.wait_ended()).graceful
    await server.wait_success()


@pytest.mark.parametrize("program", [ncat, socat])
async def test_as_server_that_leaves(program: str, run_peer: RunPeer) -> None:
    server, port = await run_server(program, run_peer)
    async with await trio_sctp.open_association(HOST, port) as association:
        await server.write(b"last words\n")
        assert (await association.receive()).data == b"last words\n"
        await server.close_input()
        with pytest.raises(trio.EndOfChannel):
            await association.receive()
        assert (await association.wait_ended()).graceful
    await server.wait_success()


@pytest.mark.peer("socat")
async def test_megabytes_from_socat(run_peer: RunPeer, nursery: trio.Nursery) -> None:
    received = bytearray()
    done = trio.Event()

    async def drain(channel: AssociationChannel) -> None:
        async for message in channel:
            received.extend(message.data)
        done.set()

    listener: trio_sctp.Listener = await nursery.start(trio_sctp.serve, drain, 0)
    # Blocks that fit into a packet would each wait for a delayed acknowledgement.
    client = await run_peer("socat", "-u", "-b", "131072", "-", f"SCTP:{HOST}:{listener.port}")
    data = numbered_lines(2 * MIB)
    await client.write(data)
    await client.close_input()
    await client.wait_success()
    await done.wait()
    assert received == data


@pytest.mark.peer("socat")
async def test_megabytes_to_socat(run_peer: RunPeer) -> None:
    server = await run_peer(
        "socat", "-u", "-d", "-d", "-b", "65536", f"SCTP-LISTEN:0,bind={HOST}", "-"
    )
    port = int(await server.expect(f"listening on AF=2 {HOST}:"))
    data = numbered_lines(2 * MIB)
    async with await trio_sctp.open_association(HOST, port) as association:
        for start in range(0, len(data), 16384):
            await association.send(data[start : start + 16384])
    output = await server.wait_success()
    assert data in output


def numbered_lines(size: int) -> bytes:
    """So many bytes, of which no two blocks are the same."""
    return b"".join(b"%15d\n" % number for number in range(size // 16))
