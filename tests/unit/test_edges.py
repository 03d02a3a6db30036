"""What a stack may say or refuse, at moments that no real one can be brought to."""

from __future__ import annotations

import errno

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_sctp
from trio_sctp import (
    AssociationLost,
    AssociationState,
    Endpoint,
    Message,
    OptionUnsupported,
    PartialDeliveryAborted,
    StreamChange,
    open_association,
    open_listener,
)
from trio_sctp._values import Piece
from trio_sctp.testing import simulated_network

from ..support.fake_stack import PEER, FakeSocket, FakeStack, change, message, opened, os_error

UP, LOST = AssociationState.COMM_UP, AssociationState.COMM_LOST
ID = 100


async def endpoint_with(*ids: int) -> tuple[Endpoint, FakeSocket]:
    stack = FakeStack()
    endpoint = opened(await trio_sctp.open_endpoint(stack=stack))
    for id in ids:
        stack.sockets[0].arrive(change(id, UP))
        await endpoint.receive()
    return endpoint, stack.sockets[0]


# -- messages that a stack refuses ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusal", "kind", "text"),
    [
        (os_error(errno.EMSGSIZE), ValueError, "too large to be sent now"),
        (os_error(errno.EINVAL), ValueError, "association 100 have an outbound stream 3"),
        (os_error(errno.EPERM), PermissionError, "not permitted"),
        (OptionUnsupported(errno.EOPNOTSUPP, "no such thing"), OptionUnsupported, "no such thing"),
    ],
)
async def test_a_message_that_the_stack_refuses(
    refusal: OSError, kind: type[Exception], text: str
) -> None:
    endpoint, socket = await endpoint_with(ID)
    socket.send_error = refusal
    with pytest.raises(kind, match=text):
        await endpoint.send(b"x", ID, stream=3)
    with pytest.raises(kind, match=text):
        endpoint.send_nowait(b"x", ID, stream=3)
    socket.send_error = None
    await endpoint.send(b"x", ID, stream=3)
    assert socket.sent == [(ID, b"x")]


async def test_a_first_message_whose_association_comes_up_and_is_lost_while_it_waits() -> None:
    endpoint, socket = await endpoint_with()
    socket.room = 0
    with pytest.RaisesGroup(AssociationLost):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(endpoint.send, b"x", PEER)
            await wait_all_tasks_blocked()
            ((_, id),) = [call for call in socket.calls if call[0] == "connect"]
            socket.arrive(change(id, UP), change(id, LOST, 12))
            assert (await endpoint.receive()) == change(id, UP)
            assert (await endpoint.receive()) == change(id, LOST, 12)
            socket.make_room(1)
    assert socket.sent == []


async def test_a_first_message_as_the_last_that_is_cancelled_before_it_is_up() -> None:
    endpoint, socket = await endpoint_with()
    with trio.move_on_after(0.01) as scope:
        await endpoint.send(b"x", PEER, eof=True)
    assert scope.cancelled_caught
    assert [name for name, _ in socket.calls] == ["connect", "abort"]
    assert not endpoint.associations


async def test_a_last_message_now_of_an_association_that_is_not_up() -> None:
    endpoint, socket = await endpoint_with()
    await endpoint.connect_init("192.0.2.1", 2905)
    (association,) = endpoint.associations.values()
    with pytest.raises(trio.WouldBlock):
        association.send_nowait(b"x", eof=True)
    assert socket.sent == []


# -- events --------------------------------------------------------------------------------------


async def test_a_change_of_streams_is_known_however_few_events_are_wanted() -> None:
    endpoint, socket = await endpoint_with(ID)
    association = endpoint.associations[ID]
    event = StreamChange(association_id=ID, flags=0, inbound_streams=20, outbound_streams=30)
    socket.arrive(event, message(ID))
    assert isinstance(await endpoint.receive(), Message)
    assert (association.inbound_streams, association.outbound_streams) == (20, 30)


async def test_a_message_that_the_peer_has_given_up_in_its_midst_is_dropped() -> None:
    endpoint, socket = await endpoint_with(ID)
    aborted = PartialDeliveryAborted(association_id=ID, indication=0, stream=0, ssn=0)
    socket.arrive(Piece(message(ID, b"half of ")), aborted, message(ID, b"whole"))
    assert await endpoint.receive() == aborted
    record = await endpoint.receive()
    assert isinstance(record, Message)
    assert record.data == b"whole"


# -- ends that nobody has read --------------------------------------------------------------------


async def test_a_ping_on_an_association_that_has_ended_unseen() -> None:
    async with simulated_network() as network:
        here, there = network.host("10.0.0.1"), network.host("10.0.0.2")
        async with await open_listener(2905, stack=there) as listener:
            channel = await open_association("10.0.0.2", 2905, stack=here)
            peer = await listener.accept()
        peer.abort(b"gone")
        await wait_all_tasks_blocked(0.01)
        with pytest.raises(AssociationLost, match="gone"):
            await channel.ping(("10.0.0.2", 2905))
        channel.abort()
        channel.abort()  # does nothing


# -- what objects say of themselves ----------------------------------------------------------------


async def test_closed_objects_say_so() -> None:
    endpoint, _ = await endpoint_with(ID)
    associations = endpoint.associations
    assert repr(endpoint) == "<Endpoint 192.0.2.2 port 2905 with 1 associations>"
    assert repr(associations) == f"{{100: {associations[ID]!r}}}"
    await trio.aclose_forcefully(endpoint)
    assert repr(endpoint) == "<Endpoint closed>"
    assert list(associations) == []
