"""reconnect: when it comes back, when it stops, how long it waits, and what it leaves."""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import math
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import trio_sctp
from trio_sctp import (
    AssociationChannel,
    AssociationEnd,
    AssociationLost,
    Backoff,
    InitMsg,
    Linger,
    Listener,
    RtoInfo,
    open_listener,
    reconnect,
)
from trio_sctp.testing import Link, SimulatedNetwork, simulated_network
from trio_sctp.testing._hosts import SimulatedHost

from ..conformance.helpers import until
from ..support.resolver import Resolver

PORT = 2905
CLIENT, SERVER = "192.0.2.1", "192.0.2.2"
STEADY = Backoff(jitter=0)

Last = AssociationEnd | None
Handler = Callable[[AssociationChannel, Last], Awaitable[object]]


class Pair:
    """A client that reconnects and its server, on a simulated network."""

    def __init__(self, network: SimulatedNetwork) -> None:
        self.network = network
        self.client: SimulatedHost = network.host(CLIENT)
        self.server: SimulatedHost = network.host(SERVER)

    async def listen(self) -> Listener:
        return await open_listener(PORT, stack=self.server)

    async def reconnect(self, handler: Handler, **more: Any) -> None:
        more.setdefault("backoff", STEADY)
        await reconnect(handler, SERVER, PORT, stack=self.client, **more)


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    async with simulated_network() as network:
        yield Pair(network)


async def read(channel: AssociationChannel) -> None:
    async for _ in channel:
        pass


# -- when it comes back, and when it returns ---------------------------------------------------


async def test_it_comes_back_after_any_end_that_is_not_ours(autojump_clock: MockClock) -> None:
    lasts: list[Last] = []

    async def handle(channel: AssociationChannel, last: Last) -> None:
        lasts.append(last)
        if len(lasts) < 4:
            await read(channel)

    async with pair() as net, await net.listen() as listener, trio.open_nursery() as nursery:
        nursery.start_soon(net.reconnect, handle)
        (await listener.accept()).abort(b"why")
        await (await listener.accept()).aclose()
        gone = await listener.accept()
        await gone.send(b"lost with me")
        gone.abort()
        async with await listener.accept() as last:
            await read(last)
    first, aborted, graceful, again = lasts
    assert first is None
    assert aborted is not None
    assert aborted.reason == b"why"
    assert graceful is not None
    assert graceful.graceful
    assert again is not None
    assert not again.graceful


async def test_what_was_not_delivered_can_be_sent_again(autojump_clock: MockClock) -> None:
    async def handle(channel: AssociationChannel, last: Last) -> None:
        if last is None:
            net.network.network.set_link(CLIENT, SERVER, Link(up=False))
            await channel.send(b"precious", stream=3)
            await channel.wait_ended()
        else:
            for failed in last.undelivered:
                await channel.send(failed.data, stream=failed.stream)

    async def restore() -> None:
        await trio.sleep(2000)
        net.network.network.set_link(CLIENT, SERVER, Link())

    async with pair() as net, await net.listen() as listener, trio.open_nursery() as nursery:
        nursery.start_soon(net.reconnect, handle)
        nursery.start_soon(restore)
        first = await listener.accept()
        async with await listener.accept() as second:
            message = await second.receive()
            assert (message.data, message.stream) == (b"precious", 3)
            await read(second)
        first.abort()


async def test_it_returns_when_the_handler_has_returned_while_the_association_is_up(
    autojump_clock: MockClock,
) -> None:
    async def handle(channel: AssociationChannel, last: Last) -> None:
        await channel.send(b"done")

    async with pair() as net, await net.listen() as listener, trio.open_nursery() as nursery:
        nursery.start_soon(net.reconnect, handle)
        async with await listener.accept() as server:
            assert [message.data async for message in server] == [b"done"]
            assert (await server.wait_ended()).graceful


async def eof(channel: AssociationChannel, last: Last) -> None:
    await channel.eof()
    await read(channel)


async def aclose(channel: AssociationChannel, last: Last) -> None:
    await channel.aclose()


async def abort(channel: AssociationChannel, last: Last) -> None:
    channel.abort()


async def abort_and_notice(channel: AssociationChannel, last: Last) -> None:
    async with channel.while_up():
        channel.abort()
        await trio.sleep_forever()


@pytest.mark.parametrize("handle", [eof, aclose, abort, abort_and_notice])
async def test_it_returns_after_an_end_of_our_own(
    autojump_clock: MockClock, handle: Handler
) -> None:
    async with pair() as net, await net.listen() as listener, trio.open_nursery() as nursery:
        nursery.start_soon(net.reconnect, handle)
        async with await listener.accept() as server:
            with contextlib.suppress(AssociationLost):
                await read(server)


async def test_it_returns_when_another_task_has_ended_the_association(
    autojump_clock: MockClock,
) -> None:
    async def handle(channel: AssociationChannel, last: Last) -> None:
        await read(channel)

    async with pair() as net, await net.listen() as listener, trio.open_nursery() as nursery:
        channel = await nursery.start(net.reconnect, handle)
        async with await listener.accept() as server:
            await channel.eof()
            await read(server)


async def test_cleaning_up_after_the_peers_shutdown_is_no_end_of_our_own(
    autojump_clock: MockClock,
) -> None:
    """The handler closes what the peer has begun to shut down, before that has ended."""
    lasts: list[Last] = []

    async def handle(channel: AssociationChannel, last: Last) -> None:
        lasts.append(last)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.wait_ended)
            await until(lambda: not channel.up)
            assert channel.ended is None
            try:
                await channel.send(b"x")
            finally:
                await channel.aclose()

    async with pair() as net, await net.listen() as listener, trio.open_nursery() as nursery:
        net.network.network.set_link(CLIENT, SERVER, Link(delay=0.1))
        nursery.start_soon(net.reconnect, handle)
        for _ in range(2):
            await (await listener.accept()).aclose()
        nursery.cancel_scope.cancel()
    _, last = lasts
    assert last is not None
    assert last.graceful


async def test_a_shutdown_that_linger_has_cut_short_is_followed_by_an_attempt(
    autojump_clock: MockClock,
) -> None:
    lasts: list[Last] = []

    async def handle(channel: AssociationChannel, last: Last) -> None:
        lasts.append(last)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.wait_ended)
            await until(lambda: not channel.up)
            net.network.network.set_link(CLIENT, SERVER, Link(up=False))
            nursery.cancel_scope.cancel()

    async with pair() as net, await net.listen() as listener, trio.open_nursery() as nursery:
        net.network.network.set_link(CLIENT, SERVER, Link(delay=0.1))
        nursery.start_soon(functools.partial(net.reconnect, handle, options=[Linger(True, 1)]))
        server = await listener.accept()
        await server.eof()
        await trio.sleep(5)
        net.network.network.set_link(CLIENT, SERVER, Link())
        again = await listener.accept()
        await until(lambda: len(lasts) == 2)
        nursery.cancel_scope.cancel()
        again.abort()
        server.abort()
    _, last = lasts
    assert last is not None
    assert last.association_id


# -- what is handled ---------------------------------------------------------------------------


async def test_a_handlers_error_propagates_as_it_is(autojump_clock: MockClock) -> None:
    async def handle(channel: AssociationChannel, last: Last) -> None:
        raise KeyError("mine")

    async with pair() as net, await net.listen() as listener:
        with pytest.raises(KeyError, match="mine"):
            await net.reconnect(handle)
        async with await listener.accept() as server:
            assert (await server.wait_ended()).reason == b"handler failed"


async def test_an_os_error_of_the_handler_is_none_of_an_attempt(autojump_clock: MockClock) -> None:
    async def handle(channel: AssociationChannel, last: Last) -> None:
        raise OSError(errno.ENETUNREACH, "mine")

    async with pair() as net, await net.listen():
        with pytest.raises(OSError, match="mine"):
            await net.reconnect(handle)


async def test_a_group_of_its_own_losses_is_a_loss(autojump_clock: MockClock) -> None:
    runs = 0

    async def handle(channel: AssociationChannel, last: Last) -> None:
        nonlocal runs
        runs += 1
        if last is None:
            async with trio.open_nursery() as tasks:
                tasks.start_soon(channel.receive)

    async with pair() as net, await net.listen() as listener, trio.open_nursery() as nursery:
        nursery.start_soon(net.reconnect, handle)
        (await listener.accept()).abort()
        async with await listener.accept() as server:
            await read(server)
    assert runs == 2


async def test_a_group_with_anything_else_propagates(autojump_clock: MockClock) -> None:
    async def handle(channel: AssociationChannel, last: Last) -> None:
        async with trio.open_nursery() as tasks:
            tasks.start_soon(channel.receive)
            try:
                await trio.sleep_forever()
            finally:
                raise KeyError("mine")

    async def refuse(listener: Listener) -> None:
        (await listener.accept()).abort()

    async with pair() as net, await net.listen() as listener, trio.open_nursery() as nursery:
        nursery.start_soon(refuse, listener)
        with pytest.RaisesGroup(AssociationLost, KeyError):
            await net.reconnect(handle)


async def test_the_loss_of_another_association_propagates(autojump_clock: MockClock) -> None:
    async with pair() as net, await net.listen() as listener:
        other = await trio_sctp.open_association(SERVER, PORT, stack=net.client)
        (await listener.accept()).abort()

        async def handle(channel: AssociationChannel, last: Last) -> None:
            await other.receive()

        with pytest.raises(AssociationLost) as lost:
            await net.reconnect(handle)
        assert lost.value.association is other
        await other.aclose()


PASSING = [
    socket.gaierror(socket.EAI_AGAIN, "try again"),
    *(
        OSError(number, "passing")
        for number in (
            errno.ENETUNREACH,
            errno.EHOSTUNREACH,
            errno.ENETDOWN,
            errno.EMFILE,
            errno.ENFILE,
            errno.ENOBUFS,
            errno.ENOMEM,
        )
    ),
]


@pytest.mark.parametrize("error", PASSING, ids=lambda error: str(error.errno))
async def test_what_may_pass_is_followed_by_another_attempt(
    autojump_clock: MockClock, error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pair() as net, await net.listen():
        fails = [error]
        open_association = trio_sctp.open_association

        async def open_or_fail(*args: Any, **more: Any) -> AssociationChannel:
            if fails:
                raise fails.pop()
            return await open_association(*args, **more)

        monkeypatch.setattr("trio_sctp._reconnect.open_association", open_or_fail)
        started = trio.current_time()
        await net.reconnect(abort)
        assert trio.current_time() - started == 0.5


@pytest.mark.parametrize(
    "more",
    [
        {"local_hosts": ["192.0.2.77"]},  # EADDRNOTAVAIL
        {"options": [InitMsg(num_ostreams=5), Linger]},
        {"max_message_size": 0},
        {"attempt_delay": -1},
    ],
    ids=str,
)
async def test_what_will_not_pass_propagates(
    autojump_clock: MockClock, more: dict[str, Any]
) -> None:
    async with pair() as net:
        with pytest.raises((OSError, ValueError, TypeError)):
            await net.reconnect(abort, **more)


async def test_a_name_that_is_not_known_yet(autojump_clock: MockClock) -> None:
    resolver = Resolver()
    trio.socket.set_custom_hostname_resolver(resolver)
    async with pair() as net, await net.listen(), trio.open_nursery() as nursery:
        nursery.start_soon(functools.partial(reconnect, abort, "late.test", PORT, stack=net.client))
        await trio.sleep(100)
        resolver.hosts["late.test"] = [SERVER]


# -- how long it waits -------------------------------------------------------------------------


class Times:
    """When attempts were made: each INIT that leaves."""

    def __init__(self, net: Pair) -> None:
        self.all: list[float] = []
        net.network.network.route = self._note

    def _note(self, packet: Any) -> None:
        if packet.data[12] == 1:
            self.all.append(packet.now)

    def gaps(self) -> list[Any]:
        return [pytest.approx(later - earlier) for earlier, later in itertools.pairwise(self.all)]


async def test_the_delay_grows_up_to_its_bound(autojump_clock: MockClock) -> None:
    async with pair() as net:
        times = Times(net)
        with trio.move_on_after(200):
            await net.reconnect(abort)  # nobody listens
        assert times.gaps()[:9] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


async def test_the_backoff_is_the_programs_to_choose(autojump_clock: MockClock) -> None:
    async with pair() as net:
        times = Times(net)
        with trio.move_on_after(100):
            await net.reconnect(abort, backoff=Backoff(initial=2, factor=3, max=20, jitter=0))
        assert times.gaps()[:5] == [2, 6, 18, 20, 20]


async def test_an_attempt_that_nobody_answers_is_given_up(autojump_clock: MockClock) -> None:
    async with pair() as net:
        net.network.network.set_link(CLIENT, SERVER, Link(up=False))
        times = Times(net)
        slow = [RtoInfo(initial=60000, max=60000)]  # one INIT for each attempt
        with trio.move_on_after(60):
            await net.reconnect(abort, options=slow)
        assert times.gaps()[:3] == [10.5, 11, 12]
        assert not net.client.engines


async def test_an_attempt_may_take_as_long_as_the_stack_lets_it(autojump_clock: MockClock) -> None:
    async with pair() as net:
        times = Times(net)
        net.network.network.set_link(CLIENT, SERVER, Link(up=False))
        with trio.move_on_after(200):
            await net.reconnect(abort, backoff=Backoff(attempt=math.inf, jitter=0))
        assert times.gaps() == [1, 2, 4, 8, 16, 32, 60, 60]  # of one attempt


async def test_the_delay_begins_anew_after_an_association_that_was_up_for_long(
    autojump_clock: MockClock,
) -> None:
    async def serve(listener: Listener) -> None:
        for seconds in (1, 1, 1, 30, 1):
            server = await listener.accept()
            await trio.sleep(seconds)
            await server.aclose()
        nursery.cancel_scope.cancel()

    async def handle(channel: AssociationChannel, last: Last) -> None:
        await read(channel)

    async with pair() as net, await net.listen() as listener:
        times = Times(net)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, listener)
            nursery.start_soon(net.reconnect, handle)
        assert times.gaps() == [1 + 0.5, 1 + 1, 1 + 2, 30 + 0.5]


@pytest.mark.parametrize(("drawn", "delay"), [(0.0, 0.4), (0.5, 0.5), (0.999999, 0.6)])
async def test_jitter_makes_a_delay_longer_or_shorter(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, drawn: float, delay: float
) -> None:
    async with pair() as net:
        times = Times(net)
        monkeypatch.setattr(random, "random", lambda: drawn)
        with trio.move_on_after(1):
            await net.reconnect(abort, backoff=Backoff())
        assert times.all[1] == pytest.approx(delay, abs=1e-4)


async def test_a_failed_attempt_leaves_the_last_end_as_it_is(autojump_clock: MockClock) -> None:
    lasts: list[Last] = []

    async def handle(channel: AssociationChannel, last: Last) -> None:
        lasts.append(last)
        if last is None:
            await read(channel)

    async with pair() as net, trio.open_nursery() as nursery:
        async with await net.listen() as listener:
            nursery.start_soon(net.reconnect, handle)
            server = await listener.accept()
        server.abort(b"for a while")
        await trio.sleep(20)
        async with await net.listen() as listener, await listener.accept() as server:
            await read(server)
    _, last = lasts
    assert last is not None
    assert last.reason == b"for a while"


# -- started, and cancelled --------------------------------------------------------------------


async def test_it_has_started_when_the_first_association_is_up(autojump_clock: MockClock) -> None:
    async def handle(channel: AssociationChannel, last: Last) -> None:
        await read(channel)

    async with pair() as net, trio.open_nursery() as nursery:

        async def come_up_late() -> None:
            await trio.sleep(60)
            listener = await net.listen()
            for _ in range(3):
                server = await listener.accept()
                await server.send(b"hello")
                server.abort()
            await listener.aclose()
            nursery.cancel_scope.cancel()

        nursery.start_soon(come_up_late)
        channel = await nursery.start(net.reconnect, handle)
        assert trio.current_time() >= 60
        assert isinstance(channel, AssociationChannel)


async def test_cancelled_in_the_handler_it_aborts(autojump_clock: MockClock) -> None:
    async def handle(channel: AssociationChannel, last: Last) -> None:
        await trio.sleep_forever()

    async with pair() as net, await net.listen() as listener:
        async with trio.open_nursery() as nursery:
            await nursery.start(net.reconnect, handle)
            nursery.cancel_scope.cancel()
        async with await listener.accept() as server:
            end = await server.wait_ended()
        assert (end.graceful, end.reason) == (False, b"")
        assert not net.client.engines


# -- arguments ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "right"),
    [
        ("initial", 0, "more than 0"),
        ("initial", math.inf, "more than 0"),
        ("factor", 0.9, "1 or more"),
        ("factor", math.nan, "1 or more"),
        ("max", 0.4, "0.5 or more"),
        ("max", math.inf, "0.5 or more"),
        ("jitter", -0.1, "between 0 and 1"),
        ("jitter", 1.1, "between 0 and 1"),
        ("attempt", 0, "more than 0"),
        ("attempt", math.nan, "more than 0"),
    ],
)
async def test_a_backoff_out_of_range(
    autojump_clock: MockClock, field: str, value: float, right: str
) -> None:
    with pytest.raises(ValueError, match=f"Backoff.{field} must be {right}, not {value}"):
        Backoff(**{field: value})


@pytest.mark.parametrize("field", ["initial", "factor", "max", "jitter", "attempt"])
@pytest.mark.parametrize("value", ["1", None, True])
async def test_a_backoff_that_is_no_number(
    autojump_clock: MockClock, field: str, value: Any
) -> None:
    with pytest.raises(TypeError, match=f"Backoff.{field} must be a number, not {value!r}"):
        Backoff(**{field: value})


async def test_a_backoff_is_a_value(autojump_clock: MockClock) -> None:
    assert Backoff() == Backoff(initial=0.5, factor=2, max=30, jitter=0.2, attempt=10)
    with pytest.raises(AttributeError):
        Backoff().max = 5  # type: ignore[misc]


async def wrong() -> None:
    raise AssertionError


@pytest.mark.parametrize("handler", [None, wrong(), print], ids=["None", "called", "sync"])
async def test_what_is_no_async_function_is_refused_at_once(
    autojump_clock: MockClock, handler: Any
) -> None:
    async with pair() as net:
        times = Times(net)
        with pytest.raises(TypeError, match="reconnect was expecting an async function"):
            await net.reconnect(handler)
        assert not times.all


async def test_what_is_no_backoff_is_refused_at_once(autojump_clock: MockClock) -> None:
    async with pair() as net:
        with pytest.raises(TypeError, match="backoff must be a Backoff, not 5"):
            await net.reconnect(abort, backoff=5)
