"""How the conformance tests get at a stack, and the few steps that many of them take."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any

import pytest
import trio
import trio.testing

import trio_sctp
from trio_sctp import (
    Association,
    AssociationChange,
    AssociationChannel,
    AssociationState,
    Endpoint,
    EventSubscription,
    Listener,
    Message,
    ReceiveBuffer,
    SendBuffer,
)

QUIET = EventSubscription(address_event=False)
"""Stacks differ in what they tell of paths, so no test sees it unless it asks."""

SMALL_BUFFERS = (SendBuffer(16384), ReceiveBuffer(16384))
"""So that a peer that does not read holds up its sender soon."""

UNKNOWN_ID = 2**31 - 2
"""No stack has got that far."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """Two endpoints with one association, which is up; both queues are empty."""

    server: Endpoint
    client: Endpoint
    association: Association
    """The client's handle."""
    peer: Association
    """The server's handle."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StackUnderTest:
    """A stack and the addresses that it may use."""

    stack: Any
    """What the ``open_`` functions take."""
    host: str
    second_host: str
    host6: str

    async def open_endpoint(
        self,
        port: int = 0,
        *,
        hosts: Sequence[str] | str | None = None,
        options: Sequence[Any] = (),
        **more: Any,
    ) -> Endpoint:
        return await trio_sctp.open_endpoint(
            port,
            hosts=self.host if hosts is None else hosts,
            options=[QUIET, *options],
            stack=self.stack,
            **more,
        )

    async def open_listener(
        self, port: int = 0, *, options: Sequence[Any] = (), **more: Any
    ) -> Listener:
        return await trio_sctp.open_listener(
            port, hosts=self.host, options=[QUIET, *options], stack=self.stack, **more
        )

    async def open_association(
        self,
        port: int,
        *,
        hosts: Sequence[str] | str | None = None,
        options: Sequence[Any] = (),
        **more: Any,
    ) -> AssociationChannel:
        return await trio_sctp.open_association(
            self.host if hosts is None else hosts,
            port,
            options=[QUIET, *options],
            stack=self.stack,
            **more,
        )

    @contextlib.asynccontextmanager
    async def endpoint(self, port: int = 0, **more: Any) -> AsyncIterator[Endpoint]:
        endpoint = await self.open_endpoint(port, **more)
        try:
            yield endpoint
        finally:
            await trio.aclose_forcefully(endpoint)

    @contextlib.asynccontextmanager
    async def listening(self, **more: Any) -> AsyncIterator[Endpoint]:
        async with self.endpoint(**more) as endpoint:
            endpoint.listen()
            yield endpoint

    @contextlib.asynccontextmanager
    async def listener(self, **more: Any) -> AsyncIterator[Listener]:
        listener = await self.open_listener(**more)
        try:
            yield listener
        finally:
            await trio.aclose_forcefully(listener)

    @contextlib.asynccontextmanager
    async def pair(
        self,
        *,
        server_options: Sequence[Any] = (),
        client_options: Sequence[Any] = (),
        **server_more: Any,
    ) -> AsyncIterator[Pair]:
        async with (
            self.listening(options=server_options, **server_more) as server,
            self.endpoint(options=client_options) as client,
        ):
            association, peer = await self.associate(client, server)
            yield Pair(server=server, client=client, association=association, peer=peer)

    async def associate(
        self, client: Endpoint, server: Endpoint
    ) -> tuple[Association, Association]:
        """Connect, and take the server's COMM_UP; its queue must have been empty."""
        association = await client.connect(self.host, server.port)
        up = await server.receive()
        assert isinstance(up, AssociationChange)
        assert up.state is AssociationState.COMM_UP
        return association, server.associations[up.association_id]

    @contextlib.asynccontextmanager
    async def channels(
        self,
        *,
        client_options: Sequence[Any] = (),
        server_options: Sequence[Any] = (),
        client_stack: StackUnderTest | None = None,
        **server_more: Any,
    ) -> AsyncIterator[tuple[AssociationChannel, AssociationChannel]]:
        """Both ends of an association: the one that connected, the one that was accepted."""
        connecting = client_stack or self
        async with self.listener(options=server_options, **server_more) as listener:
            client = await connecting.open_association(listener.port, options=client_options)
            try:
                server = await listener.accept()
            except BaseException:
                client.abort()
                raise
        try:
            yield client, server
        finally:
            await trio.aclose_forcefully(client)
            await trio.aclose_forcefully(server)


KERNEL = StackUnderTest(stack="kernel", host="127.0.0.1", second_host="127.0.0.2", host6="::1")


async def until(condition: Callable[[], object]) -> None:
    """Let everybody else go on until it holds."""
    while not condition():  # noqa: ASYNC110 - the stack has no event for it
        # To wait until all are blocked would hold virtual time, which the condition may need.
        await trio.sleep(0.001)


async def send_numbers(association: Association, numbers: Iterable[int]) -> None:
    """Send these numbers, one message for each."""
    for number in numbers:
        await association.send(b"%d" % number)


def numbers(records: Iterable[object]) -> list[object]:
    """The numbers that messages carry; other records stay as they are."""
    return [int(record.data) if isinstance(record, Message) else record for record in records]


async def take(receive: Callable[[], Awaitable[object]], count: int) -> list[object]:
    """That many records, numbers for messages."""
    return numbers([await receive() for _ in range(count)])


async def next_message(endpoint: Endpoint) -> Message:
    """The endpoint's next record, which has to be a message."""
    record = await endpoint.receive()
    assert isinstance(record, Message)
    return record


async def next_change(endpoint: Endpoint) -> AssociationChange:
    """The endpoint's next record, which has to be an AssociationChange."""
    record = await endpoint.receive()
    assert isinstance(record, AssociationChange)
    return record


async def fill(association: Association, size: int = 1000) -> int:
    """Send numbered messages until the peer, which does not read, lets nothing more through.

    The payload is the number, filled up with spaces.  Returns how many were sent.
    """
    count = 0
    while True:
        with trio.move_on_after(0.5) as patience:  # Longer than any delayed acknowledgement.
            await association.send((b"%d" % count).ljust(size))
        if patience.cancelled_caught:
            return count
        count += 1


@contextlib.asynccontextmanager
async def blocked(
    function: Callable[..., Awaitable[object]], *args: object
) -> AsyncIterator[trio.Nursery]:
    """Run a call that blocks in a task while the body goes on; it has to end by itself."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(function, *args)
        await trio.testing.wait_all_tasks_blocked(0.001)
        yield nursery


async def raises(
    kind: type[BaseException], function: Callable[..., Awaitable[object]], *args: object
) -> None:
    """The call raises this error, and not in a group."""
    with pytest.raises(kind):
        await function(*args)


async def keep(
    result: list[Any], function: Callable[..., Awaitable[object]], *args: object
) -> None:
    """Call it and note its result."""
    result.append(await function(*args))


async def collect(channel: AssociationChannel, received: list[object]) -> None:
    """Take all numbers until the channel's end; an end that is not graceful is an error."""
    async for message in channel:
        received += numbers([message])


async def cancelled_when_lost(channel: AssociationChannel) -> None:
    """Be cancelled, and fail then with the end that the association has had."""
    cancelled = trio.Event()

    async def beside() -> None:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()  # so that it is the first in the group

    async with trio.open_nursery() as nursery:
        nursery.start_soon(beside)
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await cancelled.wait()
                await trio.testing.wait_all_tasks_blocked()
            channel.receive_nowait()
