"""A peer that no longer answers, and one that is killed, which is something else."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import trio

from trio_sctp import (
    AssociationLost,
    AssociationState,
    PeerAddressChange,
    PeerAddressState,
    RtoInfo,
    open_association,
    open_endpoint,
)

from .conftest import LOOPBACK
from .tun_peer import PEER, PORT, TunPeer, tun_peer

IMPATIENT = [RtoInfo(initial=100, max=400, min=100)]


@pytest.fixture
def peer(sysctl: Callable[[str, object], None]) -> Iterator[TunPeer]:
    """Silence is noticed within hb_interval + 1.5 RTO for each of three heartbeats: 3.3 s."""
    sysctl("net.sctp.hb_interval", 500)
    sysctl("net.sctp.association_max_retrans", 2)
    sysctl("net.sctp.path_max_retrans", 1)
    with tun_peer() as peer:
        yield peer


async def test_silence_ends_every_blocked_call_of_a_channel(peer: TunPeer) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.set_up)
        channel = await open_association(PEER, PORT, options=IMPATIENT)
    ended = 0

    async def lost(call: Callable[[], object]) -> None:
        nonlocal ended
        with pytest.raises(AssociationLost) as error:
            await call()  # type: ignore[misc]
        assert error.value.end.state is AssociationState.COMM_LOST
        assert error.value.end.cause == 0
        ended += 1

    async def body() -> None:
        async with channel.while_up():
            await trio.sleep_forever()

    with pytest.raises(trio.WouldBlock):
        while True:
            channel.send_nowait(bytes(1000))
    async with trio.open_nursery() as nursery:
        for call in (channel.receive, partial(channel.send, b"one too many"), body):
            nursery.start_soon(lost, call)
        end = await channel.wait_ended()
    assert ended == 3
    assert end.state is AssociationState.COMM_LOST
    assert len(end.undelivered) > 50
    assert all(failed.data == bytes(1000) for failed in end.undelivered)
    await channel.aclose()


async def test_silence_of_an_idle_peer_is_noticed_by_heartbeats(peer: TunPeer) -> None:
    async with await open_endpoint(options=IMPATIENT) as endpoint:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.set_up)
            association = await endpoint.connect(PEER, PORT)
        end = await association.wait_ended()
        assert (end.state, end.cause) == (AssociationState.COMM_LOST, 0)
        event = await endpoint.receive()
        assert isinstance(event, PeerAddressChange)
        assert event.state is PeerAddressState.ADDR_UNREACHABLE
        assert event.address == (PEER, PORT)


async def test_a_link_that_goes_down_is_silence(peer: TunPeer) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.set_up)
        channel = await open_association(PEER, PORT, options=IMPATIENT)
    subprocess.run(["ip", "link", "set", "peer0", "down"], check=True)  # noqa: ASYNC221
    with pytest.raises(AssociationLost):
        await channel.receive()
    await channel.aclose()


async def test_a_killed_kernel_peer_shuts_down_gracefully() -> None:
    """Its kernel does, and at once; only unread data would make that an abort."""
    program = (
        "import trio, trio_sctp\n"
        "async def main():\n"
        "    async with trio.open_nursery() as nursery:\n"
        "        listener = await nursery.start(trio_sctp.serve, hold, 0)\n"
        "        print(listener.port, flush=True)\n"
        "async def hold(channel):\n"
        "    await channel.receive()\n"
        "    await channel.send(b'here')\n"
        "    await trio.sleep_forever()\n"
        "trio.run(main)\n"
    )
    process = await trio.lowlevel.open_process(
        [sys.executable, "-c", program], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    port = int(await process.stdout.receive_some())
    async with await open_association(LOOPBACK, port) as channel:
        await channel.send(b"there?")
        assert (await channel.receive()).data == b"here"
        process.send_signal(signal.SIGKILL)
        await process.wait()
        with pytest.raises(trio.EndOfChannel), trio.fail_after(1):
            await channel.receive()
        assert (await channel.wait_ended()).graceful
    await process.stdout.aclose()
