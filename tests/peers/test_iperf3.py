"""iperf3 as a client that sends as fast as it can."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

import trio_sctp
from trio_sctp import AssociationChannel

from .conftest import HOST, RunPeer

pytestmark = [pytest.mark.kernel, pytest.mark.peer("iperf3")]

COOKIE = 37  # bytes, at the start of every connection
TEST_START, TEST_RUNNING, TEST_END = b"\x01", b"\x02", b"\x04"
PARAM_EXCHANGE, CREATE_STREAMS = b"\x09", b"\x0a"
EXCHANGE_RESULTS, DISPLAY_RESULTS, IPERF_DONE = b"\x0d", b"\x0e", b"\x10"


class Control:
    """iperf3's control connection, which is TCP also when the test is SCTP's."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    async def send(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = await self._stream.receive_some(size - len(data))
            assert more, "iperf3 closed its control connection"
            data += more
        return data

    async def send_json(self, value: object) -> None:
        text = json.dumps(value).encode()
        await self.send(struct.pack("!I", len(text)) + text)

    async def receive_json(self) -> Any:
        (size,) = struct.unpack("!I", await self.receive(4))
        return json.loads(await self.receive(size))


@pytest.fixture
async def control_listener() -> AsyncIterator[trio.SocketListener]:
    (listener,) = await trio.open_tcp_listeners(0, host=HOST)
    async with listener:
        yield listener


async def test_drains_a_client(control_listener: trio.SocketListener, run_peer: RunPeer) -> None:
    size = 4 * 2**20
    port = control_listener.socket.getsockname()[1]
    async with await trio_sctp.open_listener(port, hosts=HOST) as listener:
        command = f"iperf3 --sctp --client {HOST} --port {port} --bytes {size}"
        client = await run_peer(*command.split())
        async with await control_listener.accept() as stream:
            control = Control(stream)
            cookie = await control.receive(COOKIE)
            await control.send(PARAM_EXCHANGE)
            assert (await control.receive_json())["sctp"]
            await control.send(CREATE_STREAMS)
            drained = Drained()
            async with await listener.accept() as association, trio.open_nursery() as nursery:
                assert (await association.receive()).data == cookie
                nursery.start_soon(drained.drain, association)
                await control.send(TEST_START)
                await control.send(TEST_RUNNING)
                assert await control.receive(1) == TEST_END
                await control.send(EXCHANGE_RESULTS)
                (sender,) = (await control.receive_json())["streams"]
                await control.send_json(results(sender["bytes"]))
                await control.send(DISPLAY_RESULTS)
                assert await control.receive(1) == IPERF_DONE
        assert b"iperf Done." in await client.wait_success()
    assert drained.size == sender["bytes"] >= size


class Drained:
    def __init__(self) -> None:
        self.size = 0

    async def drain(self, association: AssociationChannel) -> None:
        async for message in association:
            self.size += len(message.data)


def results(received: int) -> dict[str, Any]:
    """What a server tells of a test with one stream."""
    stream = dict.fromkeys(["retransmits", "jitter", "errors", "packets", "start_time"], 0)
    stream |= {"id": 1, "bytes": received, "end_time": 1}
    cpu = dict.fromkeys(["cpu_util_total", "cpu_util_user", "cpu_util_system"], 0)
    return {**cpu, "sender_has_retransmits": 0, "streams": [stream]}
