"""Sockets that are taken over from somebody else, and given up to others, on a stack that has them.

The kernel's own are in tests/conformance/test_from_socket.py and in tests/kernel.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_sctp import (
    AssociationChannel,
    AssociationLost,
    AssociationState,
    Endpoint,
    EventSubscription,
    Listener,
    Message,
    ShutdownReceived,
    StatusState,
    Window,
)
from trio_sctp._options import DEFAULT_EVENTS, EVENTS
from trio_sctp._values import Piece

from ..support.fake_stack import (
    DESCRIPTOR,
    FakeSocket,
    FakeStack,
    change,
    message,
    opened,
    os_error,
)

UP, LOST, DONE = (
    AssociationState.COMM_UP,
    AssociationState.COMM_LOST,
    AssociationState.SHUTDOWN_COMP,
)
ID = 100
ALL = EventSubscription(**{row.field: True for row in EVENTS})
FEW = EventSubscription(**{row.field: row.field == "association_event" for row in EVENTS})


@pytest.fixture(autouse=True)
def adopting(monkeypatch: pytest.MonkeyPatch) -> FakeStack:
    """Have ``from_socket``, which only the kernel has, ask a fake stack."""
    stack = FakeStack()
    for module in "_endpoint", "_association", "_listener":
        monkeypatch.setattr(f"trio_sctp.{module}.choose_stack", lambda _: stack)
    return stack


def socket_with(*ids: int, state: StatusState = StatusState.ESTABLISHED) -> FakeSocket:
    socket = FakeSocket()
    socket.states = dict.fromkeys(ids, state)
    return socket


# -- which sockets are taken -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Endpoint, Listener, AssociationChannel])
def test_the_bound_of_messages_is_checked_before_the_socket_is_touched(kind: Any) -> None:
    socket = socket_with(ID)
    with pytest.raises(ValueError, match="max_message_size must be 1 or more, not 0"):
        kind.from_socket(socket, max_message_size=0)
    assert socket.subscriptions == {}
    opened(kind.from_socket(socket, max_message_size=1))


async def test_an_endpoint_takes_no_one_to_one_socket() -> None:
    socket = socket_with(ID)
    socket.one_to_one = True
    with pytest.raises(ValueError, match=r"needs a one-to-many socket \(SOCK_SEQPACKET\)"):
        Endpoint.from_socket(socket)
    assert socket.closed is None


@pytest.mark.parametrize("unread", [False, True])
@pytest.mark.parametrize(("ids", "count"), [([], 0), ([ID, ID + 1], 2)])
async def test_a_channel_needs_one_association(unread: bool, ids: list[int], count: int) -> None:
    socket = socket_with(*ids)
    if unread:
        if not ids:
            return  # it has had one, as below
        socket.arrive(message(ID))
    text = f"a channel needs a socket with one association, not {count}"
    with pytest.raises(ValueError, match=text):
        AssociationChannel.from_socket(socket)
    assert socket.closed is None


@pytest.mark.parametrize("messages", [1, 300])
@pytest.mark.parametrize(
    ("number", "state"), [(0, AssociationState.SHUTDOWN_COMP), (errno.ECONNRESET, LOST)]
)
async def test_a_channel_of_an_association_that_has_ended_has_what_it_left_and_its_end(
    messages: int, number: int, state: AssociationState
) -> None:
    socket = socket_with()
    socket.failed_with = number
    socket.arrive(*[message(ID, b"%d" % n) for n in range(messages)])
    channel = opened(AssociationChannel.from_socket(socket))
    assert channel.id == ID
    assert channel.ended is not None
    assert (channel.ended.association_id, channel.ended.state) == (ID, state)
    assert repr(channel) == f"<AssociationChannel {ID} ended>"
    received = [(await channel.receive()).data for _ in range(messages)]
    assert received == [b"%d" % n for n in range(messages)]
    with pytest.raises(AssociationLost if number else trio.EndOfChannel):
        await channel.receive()


async def test_a_channel_that_was_left_one_long_message() -> None:
    socket = socket_with()
    socket.arrive(*[Piece(message(ID, b"part "))] * 999, message(ID, b"end"))
    channel = opened(AssociationChannel.from_socket(socket))
    assert (await channel.receive()).data == b"part " * 999 + b"end"


async def test_a_channel_of_which_nothing_is_left_is_refused_and_closed() -> None:
    socket = socket_with()
    socket.arrive(Piece(message(ID)))  # of which the rest will never come
    with pytest.raises(ValueError, match="the association has ended and left nothing"):
        AssociationChannel.from_socket(socket)
    assert socket.closed == "graceful"


# -- what they keep --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Endpoint, Listener, AssociationChannel])
async def test_a_socket_without_events_gets_those_of_every_other(kind: Any) -> None:
    socket = socket_with(ID)
    face = opened(kind.from_socket(socket))
    assert face.get_option(EventSubscription) == DEFAULT_EVENTS
    for row in EVENTS:
        wanted = row.default or row.needed
        assert getattr(socket.subscriptions[None], row.field) is wanted


async def test_a_socket_keeps_its_events_and_each_association_its_own() -> None:
    socket = socket_with(ID, ID + 1)
    socket.subscribe(FEW, None)
    socket.subscribe(ALL, ID)
    endpoint = opened(Endpoint.from_socket(socket))
    assert endpoint.get_option(EventSubscription) == FEW
    assert endpoint.get_option(EventSubscription, ID) == ALL
    assert endpoint.get_option(EventSubscription, ID + 1) == FEW
    socket.arrive(*(ShutdownReceived(association_id=id) for id in (ID, ID + 1)))
    socket.arrive(*(change(id, DONE) for id in (ID, ID + 1)))
    records = await endpoint.receive_batch()
    assert records == [
        ShutdownReceived(association_id=ID),
        *(change(id, DONE) for id in (ID, ID + 1)),
    ]


async def test_an_association_without_a_choice_of_its_own_follows_the_sockets() -> None:
    socket = socket_with(ID, ID + 1)
    socket.subscribe(FEW, None)
    socket.subscribe(ALL, ID)
    endpoint = opened(Endpoint.from_socket(socket))
    endpoint.set_option(EventSubscription(shutdown_event=True))
    assert endpoint.get_option(EventSubscription, ID) == ALL
    of_the_other = endpoint.get_option(EventSubscription, ID + 1)
    assert of_the_other == endpoint.get_option(EventSubscription)
    assert of_the_other.shutdown_event is True


async def test_an_association_that_ends_as_its_socket_is_taken_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    socket = socket_with(ID, ID + 1)
    socket.subscribe(FEW, None)
    socket.subscribe(ALL, ID)
    asked = socket.subscription

    def subscription(id: int | None) -> EventSubscription:
        if id == ID:
            del socket.states[ID]
        return asked(id)

    monkeypatch.setattr(socket, "subscription", subscription)
    monkeypatch.setattr(socket, "association_ids", lambda: list(socket.states))
    endpoint = opened(Endpoint.from_socket(socket))
    assert list(endpoint.associations) == [ID + 1]


async def test_associations_are_as_the_stack_says() -> None:
    socket = socket_with(ID)
    half_open = socket_with(ID + 1, state=StatusState.COOKIE_ECHOED)
    shutting_down = socket_with(ID + 2, state=StatusState.SHUTDOWN_PENDING)
    socket.states |= half_open.states | shutting_down.states
    associations = opened(Endpoint.from_socket(socket)).associations
    assert [association.up for association in associations.values()] == [True, False, True]
    assert [one.outbound_streams for one in associations.values()] == [10, 0, 10]


# -- listeners -------------------------------------------------------------------------------------


async def test_a_listener_listens_and_gives_what_was_there_first() -> None:
    socket = socket_with(ID, ID + 1)
    listener = opened(Listener.from_socket(socket))
    assert socket.calls == [("listen", 128)]
    socket.arrive(change(ID + 2, UP))
    channels = [opened(await listener.accept()) for _ in range(3)]
    assert [channel.id for channel in channels] == [ID, ID + 1, ID + 2]


@pytest.mark.parametrize("backlog", [1, 65535])
async def test_the_backlog_of_a_listener(backlog: int) -> None:
    socket = socket_with()
    opened(Listener.from_socket(socket, backlog=backlog))
    assert socket.calls == [("listen", backlog)]


@pytest.mark.parametrize("backlog", [0, 65536])
async def test_no_backlog_of_a_listener(backlog: int) -> None:
    socket = socket_with()
    with pytest.raises(ValueError, match=f"backlog must be between 1 and 65535, not {backlog}"):
        Listener.from_socket(socket, backlog=backlog)
    assert socket.calls == []


def one_to_one_listener(**more: Any) -> tuple[Listener, FakeSocket]:
    socket = socket_with()
    socket.one_to_one = True
    return opened(Listener.from_socket(socket, **more)), socket


async def test_a_one_to_one_listener_waits_for_the_next() -> None:
    listener, socket = one_to_one_listener()
    accepted: list[AssociationChannel] = []

    async def accept() -> None:
        accepted.append(opened(await listener.accept()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await listener.accept()
        assert not accepted
        socket.let_in(socket_with(ID))
    (channel,) = accepted
    assert (channel.id, channel.up) == (ID, True)


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EINVAL])
async def test_a_one_to_one_listener_passes_over_those_that_are_gone(number: int) -> None:
    listener, socket = one_to_one_listener()
    socket.let_in(os_error(number), os_error(number), socket_with(ID))
    assert opened(await listener.accept()).id == ID


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EPERM])
async def test_other_errors_of_a_one_to_one_listener_are_raised(number: int) -> None:
    listener, socket = one_to_one_listener()
    socket.let_in(os_error(number), socket_with(ID))
    with pytest.raises(OSError, match=os.strerror(number)):
        await listener.accept()
    assert opened(await listener.accept()).id == ID


async def test_closing_a_one_to_one_listener_wakes_who_accepts() -> None:
    listener, _ = one_to_one_listener()
    async with trio.open_nursery() as nursery:

        async def fails() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await listener.accept()

        nursery.start_soon(fails)
        await wait_all_tasks_blocked()
        await listener.aclose()


async def test_a_one_to_one_listener_bounds_the_messages_of_whom_it_lets_in() -> None:
    listener, socket = one_to_one_listener(max_message_size=3)
    accepted = socket_with(ID)
    socket.let_in(accepted)
    channel = opened(await listener.accept())
    accepted.arrive(message(ID, b"3 b"), message(ID, b"four"))
    assert (await channel.receive()).data == b"3 b"
    with pytest.raises(AssociationLost, match="message larger than 3 bytes"):
        await channel.receive()
    assert accepted.calls == [("abort", ID)]


async def test_a_one_to_one_listener_waits_for_those_whom_it_let_in() -> None:
    listener, socket = one_to_one_listener()
    accepted = socket_with(ID)
    socket.let_in(accepted)
    channel = opened(await listener.accept())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.drain)
        await wait_all_tasks_blocked()
        assert nursery.child_tasks
        accepted.arrive(change(ID, DONE))
    assert channel.ended is not None


# -- giving a socket up ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Endpoint, Listener, AssociationChannel])
async def test_a_socket_that_is_given_up_is_left_as_its_program_wanted_it(kind: Any) -> None:
    socket = socket_with(ID)
    face = kind.from_socket(socket)
    face.set_option(FEW)
    calls = list(socket.calls)
    assert face.detach() == DESCRIPTOR
    assert socket.closed == "detached"
    assert socket.subscription(ID) == FEW  # and no more that the library has wanted to see
    assert socket.calls == calls
    with pytest.raises(trio.ClosedResourceError):
        face.detach()
    await face.aclose()
    assert socket.closed == "detached"
    assert socket.calls == calls
    if kind is not AssociationChannel:
        assert repr(face) == f"<{kind.__name__} closed>"


async def test_associations_are_left_with_their_own_events() -> None:
    socket = socket_with(ID, ID + 1)
    endpoint = Endpoint.from_socket(socket)
    endpoint.set_option(FEW)
    endpoint.set_option(EventSubscription(peer_error_event=True), ID)
    own = endpoint.get_option(EventSubscription, ID)
    endpoint.detach()
    assert socket.subscriptions == {None: FEW, ID: own, ID + 1: FEW}


async def test_a_channel_that_has_ended_has_nothing_to_give_up() -> None:
    socket = socket_with()
    listener = opened(Listener.from_socket(socket))
    socket.arrive(change(ID, UP), change(ID, LOST, 12))
    channel = opened(await listener.accept())
    with pytest.raises(AssociationLost, match="user-initiated abort"):
        channel.detach()
    assert channel.ended is not None


async def receive(endpoint: Endpoint) -> None:
    await endpoint.receive()


async def read_inbox(endpoint: Endpoint) -> None:
    async with endpoint.active(Window(5)):
        await trio.sleep_forever()


async def send(endpoint: Endpoint) -> None:
    await endpoint.send(b"x", ID)


async def wait_for_the_end(endpoint: Endpoint) -> None:
    await endpoint.associations[ID].wait_ended()


WAITING = "a task waits to send, or for an association"


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (receive, "a task receives from it"),
        (read_inbox, "it is in active mode"),
        (send, WAITING),
        (wait_for_the_end, WAITING),
    ],
)
async def test_a_socket_that_a_task_uses_is_not_given_up(
    task: Callable[[Endpoint], Any], reason: str
) -> None:
    socket = socket_with(ID)
    socket.room = 0
    endpoint = opened(Endpoint.from_socket(socket))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(task, endpoint)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError) as busy:
            endpoint.detach()
        assert str(busy.value) == f"this socket cannot be detached: {reason}"
        assert socket.closed is None
        nursery.cancel_scope.cancel()
    assert endpoint.detach() == DESCRIPTOR


async def test_a_socket_whose_records_nobody_took_is_not_given_up() -> None:
    socket = socket_with(ID, ID + 1)
    endpoint = opened(Endpoint.from_socket(socket))
    socket.arrive(message(ID), ShutdownReceived(association_id=ID), Piece(message(ID + 1)))
    with trio.move_on_after(0):
        await endpoint.associations[ID].wait_ended()
    with pytest.raises(trio.WouldBlock):
        while True:
            endpoint.receive_nowait()
            socket.arrive(message(ID), Piece(message(ID + 1)))
            await endpoint.connect_init("192.0.2.9", 2905)
            with pytest.raises(trio.BusyResourceError, match="2 records were read and not taken"):
                endpoint.detach()
            endpoint.receive_nowait()
            with pytest.raises(trio.BusyResourceError, match=": 1 records were read"):
                endpoint.detach()
            endpoint.receive_nowait()
            with pytest.raises(trio.BusyResourceError, match="part of a message was read"):
                endpoint.detach()
    socket.arrive(message(ID + 1))
    record = await endpoint.receive()
    assert isinstance(record, Message)
    assert endpoint.detach() == DESCRIPTOR


async def test_events_that_a_channel_would_drop_do_not_keep_its_socket() -> None:
    socket = socket_with(ID)
    channel = opened(AssociationChannel.from_socket(socket))
    socket.arrive(ShutdownReceived(association_id=ID), message(ID), message(ID))
    with pytest.raises(trio.EndOfChannel):
        async with channel.events() as events:
            await events.receive()
            with pytest.raises(trio.BusyResourceError, match="a block has its events"):
                channel.detach()
            raise trio.EndOfChannel
    with pytest.raises(trio.BusyResourceError, match="2 records were read"):
        channel.detach()
    assert len(await channel.receive_batch()) == 2
    socket.arrive(ShutdownReceived(association_id=ID))
    async with channel.events() as events:
        await events.receive()
    assert channel.queue_statistics().buffered_records == 1
    assert channel.detach() == DESCRIPTOR
