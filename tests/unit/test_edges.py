"""What a stack may say or refuse, at moments that no real one can be brought to."""

from __future__ import annotations

import dataclasses
import errno
import inspect
import itertools
import pickle
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import trio_sctp
from trio_sctp import (
    Association,
    AssociationLost,
    AssociationState,
    DefaultSendParams,
    EncapsulationPort,
    Endpoint,
    EventSubscription,
    Message,
    OptionUnsupported,
    PartialDeliveryAborted,
    ReconfigurationFailed,
    ReconfigurationFlags,
    SendBuffer,
    SenderDry,
    StatusState,
    StreamChange,
    open_association,
    open_listener,
    testing,
)
from trio_sctp._checks import POLICIES
from trio_sctp._inbox import Half
from trio_sctp._values import Address, Arrival, Piece, ReconfigurationResult, SendInfo
from trio_sctp._views import ByteStream, EventChannel, PayloadChannel
from trio_sctp.testing import simulated_network

from ..support.fake_stack import PEER, FakeSocket, FakeStack, change, message, opened, os_error

UP, LOST, DONE, RESTART = (
    AssociationState.COMM_UP,
    AssociationState.COMM_LOST,
    AssociationState.SHUTDOWN_COMP,
    AssociationState.RESTART,
)
ID = 100


async def endpoint_with(*ids: int, **more: Any) -> tuple[Endpoint, FakeSocket]:
    stack = FakeStack()
    endpoint = opened(await trio_sctp.open_endpoint(stack=stack, **more))
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


@pytest.mark.parametrize("to", [ID, PEER], ids=["an association", "a new peer"])
@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("stream", 1),
        ("ppid", 2),
        ("unordered", False),
        ("context", 3),
        ("lifetime", 4),
        ("lifetime", 0),
        ("retransmissions", 0),
        ("priority", 0),
        ("address", PEER),
        (None, None),
    ],
)
async def test_each_argument_of_a_send_stands_in_for_its_own_default_alone(
    to: int | tuple[str, int], field: str | None, given: object
) -> None:
    endpoint, socket = await endpoint_with(ID)
    socket.own[DefaultSendParams] = DefaultSendParams(
        stream=5, ppid=6, unordered=True, context=7, lifetime=8
    )
    how: dict[str, Any] = {} if field is None else {field: given}
    await endpoint.send(b"x", to, **how)
    endpoint.send_nowait(b"y", to, **how)
    defaults = SendInfo(stream=5, ppid=6, unordered=True, context=7, lifetime=8)
    if field in ("retransmissions", "priority"):
        defaults = defaults._replace(lifetime=0)  # one policy replaces another
    assert socket.infos == [defaults._replace(**how)] * 2
    socket.own[DefaultSendParams] = DefaultSendParams(
        stream=5, ppid=6, unordered=True, context=7, priority=8
    )
    for tcb in endpoint._socket.tcbs.values():
        tcb.default_send = None
    socket.infos.clear()
    defaults = SendInfo(5, 6, True, 7, 0, priority=8)
    if field in ("lifetime", "retransmissions"):
        defaults = defaults._replace(priority=None)
    await endpoint.send(b"x", to, **how)
    assert socket.infos == [defaults._replace(**how)]


@pytest.mark.parametrize("to", [ID, PEER], ids=["an association", "a new peer"])
@pytest.mark.parametrize("pair", list(itertools.combinations(POLICIES, 2)), ids=" and ".join)
async def test_two_policies_for_one_message(
    to: int | tuple[str, int], pair: tuple[str, str]
) -> None:
    endpoint, socket = await endpoint_with(ID)
    how: dict[str, Any] = dict.fromkeys(pair, 0)
    text = f"{pair[0]}= and {pair[1]}= are both given: a message has one of lifetime=, .* at most"
    with pytest.raises(ValueError, match=text):
        await endpoint.send(b"x", to, **how)
    with pytest.raises(ValueError, match=text):
        endpoint.send_nowait(b"x", to, **how)
    with pytest.raises(ValueError, match=text):
        DefaultSendParams(**how)
    assert socket.calls == []
    assert socket.sent == []


async def test_an_argument_for_an_association_that_ended_unseen() -> None:
    endpoint, socket = await endpoint_with(ID)
    del socket.states[ID]
    socket.option_error = os_error(errno.EPIPE)
    with pytest.raises(AssociationLost):
        await endpoint.send(b"x", ID, ppid=5)
    assert socket.sent == []


@pytest.mark.parametrize(
    ("peer", "kind", "text"),
    [
        (("a.name", 7, 0, 0), ValueError, "the host of a peer, .* must be an IPv4 or IPv6 address"),
        (("192.0.2.1", 7, 0), TypeError, r"a peer must be a tuple \(host, port\)"),
        (("192.0.2.1",), TypeError, r"a peer must be a tuple \(host, port\)"),
        ((7, 7), TypeError, "the host of a peer, .* must be a str, not 7"),
        (("fe80::1", 7), ValueError, "'fe80::1' is a link-local address: say the interface"),
        (("fe80::1", 7, 0, 0), ValueError, "'fe80::1' is a link-local address"),
    ],
)
async def test_what_is_no_peer(peer: Any, kind: type[Exception], text: str) -> None:
    endpoint, socket = await endpoint_with()
    with pytest.raises(kind, match=text):
        await endpoint.send(b"x", peer)
    with pytest.raises(kind, match=text):
        endpoint.send_nowait(b"x", peer)
    assert socket.calls == []


@pytest.mark.parametrize("peer", [("fe80::1%1", 7), ("fe80::1", 7, 0, 1), ("::1", 7)])
async def test_an_address_of_a_link_that_is_named(peer: tuple[str, int]) -> None:
    endpoint, socket = await endpoint_with()
    await endpoint.send(b"x", peer)
    endpoint.send_nowait(b"x", peer)
    assert len(socket.sent) == 2


# -- local addresses -----------------------------------------------------------------------------


async def test_local_addresses_come_and_go_but_for_the_last() -> None:
    endpoint, socket = await endpoint_with()
    endpoint.add_address("192.0.2.3")
    assert socket.bound == [("192.0.2.2", 2905), ("192.0.2.3", 2905)]
    with pytest.raises(ValueError, match=r"'192\.0\.2\.3' is bound already"):
        endpoint.add_address("192.0.2.3")
    listed = r"'192\.0\.2\.9' is none of the addresses that are bound, .*192\.0\.2\.3', 2905"
    with pytest.raises(ValueError, match=listed):
        endpoint.remove_address("192.0.2.9")
    endpoint.remove_address("192.0.2.2")
    with pytest.raises(ValueError, match=r"'192\.0\.2\.3' is the last address that is bound"):
        endpoint.remove_address("192.0.2.3")
    assert endpoint.local_addresses() == socket.bound == [("192.0.2.3", 2905)]


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (errno.EINVAL, ValueError, r"the stack refuses '192\.0\.2\.9': an endpoint that is bound"),
        (errno.EADDRNOTAVAIL, OSError, r"cannot bind 192\.0\.2\.9 port 2905: .*192\.0\.2\.2"),
        (errno.EPERM, PermissionError, "not permitted"),
    ],
)
async def test_a_local_address_that_the_stack_refuses(
    number: int, kind: type[Exception], text: str
) -> None:
    endpoint, socket = await endpoint_with()
    socket.bound.append(("192.0.2.9", 2905))
    socket.bind_error = os_error(number)
    with pytest.raises(kind, match=text):
        endpoint.remove_address("192.0.2.9")
    socket.bound.pop()
    with pytest.raises(kind, match=text):
        endpoint.add_address("192.0.2.9")


# -- connecting ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ports", "for_init", "set_later"),
    [
        ([], None, []),
        ([(1, None)], 1, []),
        ([(1, None), (2, 0)], 2, [(1, None), (2, 0)]),
        ([(2, 0), (1, None)], 2, [(1, None), (2, 0)]),
        ([(1, None), (2, 1)], 1, [(1, None), (2, 1)]),
        ([(1, None), (3, None), (2, 1)], 3, [(1, None), (3, None), (2, 1)]),
        ([(2, 1)], 9, [(9, None), (2, 1)]),
        ([(2, 0), (3, 1)], 2, [(9, None), (2, 0), (3, 1)]),
        ([(2, 0), (3, 0)], 3, [(9, None), (3, 0)]),
    ],
)
async def test_the_init_goes_to_the_udp_port_of_its_own_address(
    ports: list[tuple[int, int | None]],
    for_init: int | None,
    set_later: list[tuple[int, int | None]],
) -> None:
    """To the first of the peer's addresses; the socket then has the port that it had before."""
    endpoint, socket = await endpoint_with()
    hosts = ["192.0.2.8", "192.0.2.9"]
    was = socket.own[EncapsulationPort] = EncapsulationPort(9)

    def port(number: int, host: int | None) -> EncapsulationPort:
        return EncapsulationPort(number, None if host is None else (hosts[host], 2905))

    socket.options.clear()
    options = [port(number, host) for number, host in ports]
    association = await endpoint.connect_init(hosts, 2905, options=options)
    assert socket.options == [
        *([] if for_init is None else [(EncapsulationPort(for_init), None), (was, None)]),
        *((port(number, host), association.id) for number, host in set_later),
    ]


async def test_a_cancelled_attempt_is_aborted_and_its_socket_too() -> None:
    """Its shutdown would go on in the background."""
    stack = FakeStack()
    with trio.move_on_after(0.01) as scope:
        await open_association("192.0.2.1", 2905, stack=stack)
    assert scope.cancelled_caught
    (parent,) = stack.sockets
    (own,) = parent.peeled.values()
    assert (parent.closed, own.closed) == ("abort", "abort")


# -- events --------------------------------------------------------------------------------------


async def test_a_change_of_streams_is_known_however_few_events_are_wanted() -> None:
    endpoint, socket = await endpoint_with(ID)
    association = endpoint.associations[ID]
    none = ReconfigurationFlags(0)
    event = StreamChange(association_id=ID, flags=none, inbound_streams=20, outbound_streams=30)
    socket.arrive(event, message(ID))
    assert isinstance(await endpoint.receive(), Message)
    assert (association.inbound_streams, association.outbound_streams) == (20, 30)


async def test_a_message_that_the_peer_has_given_up_in_its_midst_is_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    endpoint, socket = await endpoint_with(ID)
    aborted = PartialDeliveryAborted(association_id=ID, indication=0, stream=0, ssn=0)
    socket.arrive(Piece(message(ID, b"half of ")), aborted, message(ID, b"whole"))
    assert await endpoint.receive() == aborted
    record = await endpoint.receive()
    assert isinstance(record, Message)
    assert record.data == b"whole"
    assert "a message of which a part had come is dropped" in caplog.text


async def test_a_message_of_nobody_is_given_up_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    endpoint, socket = await endpoint_with(ID)
    socket.arrive(PartialDeliveryAborted(association_id=ID + 1, indication=0, stream=0, ssn=0))
    socket.arrive(message(ID, b"whole"))
    records = await endpoint.receive_batch()
    assert isinstance(records[-1], Message)
    assert "dropped" not in caplog.text


async def test_whoever_was_up_behind_a_full_store_is_known_to_shut_down(
    autojump_clock: MockClock,
) -> None:
    endpoint, socket = await endpoint_with(ID, ID + 1)
    ours, theirs = endpoint.associations[ID], endpoint.associations[ID + 1]
    await ours.eof()
    socket.arrive(*(message(ID) for _ in range(300)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.wait_ended)
        nursery.start_soon(theirs.wait_ended)
        await trio.sleep(1)
        assert (ours.up, theirs.up) == (True, True)
        socket.states[ID] = StatusState.SHUTDOWN_SENT
        socket.states[ID + 1] = StatusState.SHUTDOWN_RECEIVED
        await trio.sleep(1)
        assert (ours.up, theirs.up) == (True, False)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("pieces", "is_cut_off"), [([3, 3, 1], False), ([3, 3, 2], True)])
async def test_the_bound_is_that_of_all_the_pieces_of_a_message(
    pieces: list[int], is_cut_off: bool
) -> None:
    endpoint, socket = await endpoint_with(ID, max_message_size=7)
    *first, last = pieces
    socket.arrive(*(Piece(message(ID, bytes(size))) for size in first), message(ID, bytes(last)))
    record = await endpoint.receive()
    assert record == (change(ID, LOST, 12) if is_cut_off else message(ID, bytes(7)))
    statistics = endpoint.queue_statistics()
    received = (statistics.messages_received, statistics.octets_received)
    assert received == ((0, 0) if is_cut_off else (1, 7))


@pytest.mark.parametrize(("pieces", "is_cut_off"), [([4, 3], False), ([4, 4], True)])
async def test_the_sender_of_too_large_a_message_is_cut_off_before_its_end(
    pieces: list[int], is_cut_off: bool
) -> None:
    endpoint, socket = await endpoint_with(ID, max_message_size=7)
    socket.arrive(*(Piece(message(ID, bytes(size))) for size in pieces))
    with trio.move_on_after(0.01):
        await endpoint.receive()
    assert (("abort", ID) in socket.calls) is is_cut_off
    assert endpoint.queue_statistics().buffered_bytes == (0 if is_cut_off else 7)


# -- closing -------------------------------------------------------------------------------------


async def test_while_it_closes_an_endpoint_lets_nobody_in() -> None:
    endpoint, socket = await endpoint_with(ID)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(endpoint.aclose)
        await wait_all_tasks_blocked()
        assert socket.calls == [("listen", 0), ("shutdown", ID)]
        socket.arrive(change(ID + 1, UP))  # it was on its way
        await wait_all_tasks_blocked()
        assert socket.calls[2:] == [("shutdown", ID + 1)]
        socket.arrive(change(ID, DONE))
        await wait_all_tasks_blocked()
        assert socket.closed is None
        socket.arrive(change(ID + 1, DONE))
    assert socket.closed == "graceful"


@pytest.mark.parametrize(("end", "again"), [("eof", [("shutdown", ID)]), ("abort", []), (None, [])])
async def test_a_restart_does_not_revive_what_was_closed(
    end: str | None, again: list[tuple[str, int]]
) -> None:
    endpoint, socket = await endpoint_with(ID)
    association = endpoint.associations[ID]
    if end == "eof":
        await association.eof()
    elif end == "abort":
        association.abort()
        socket.arrivals.clear()  # it was too late
    before = list(socket.calls)
    socket.arrive(change(ID, RESTART))
    assert await endpoint.receive() == change(ID, RESTART)
    assert socket.calls[len(before) :] == again


# -- requests for streams to begin again -----------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (ReconfigurationResult.DENIED, "outgoing streams begin again, and does not grant that"),
        (ReconfigurationResult.WRONG_STREAM, "could not: there is no such stream"),
        (ReconfigurationResult.REQUEST_IN_PROGRESS, "could not: a request of its own is on its"),
        (ReconfigurationResult.BAD_NUMBER, "could not: the request has a wrong number"),
        (ReconfigurationResult.GIVEN_UP, "could not: it has begun anew, or shuts down"),
        (ReconfigurationResult.FAILED, "could not$"),
    ],
)
async def test_a_request_that_the_peer_refuses(result: ReconfigurationResult, text: str) -> None:
    endpoint, socket = await endpoint_with(ID)
    association = endpoint.associations[ID]
    with pytest.RaisesGroup(pytest.RaisesExc(ReconfigurationFailed, match=text)) as failed:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(association.reset_streams, outgoing=[1], incoming=[1]))
            await wait_all_tasks_blocked()
            ((request, answered),) = socket.requests
            assert request.streams == (1,)
            answered(result)
    assert len(socket.requests) == 1  # nothing more is asked for
    (error,) = failed.value.exceptions
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.denied) == (str(error), result == ReconfigurationResult.DENIED)


@pytest.mark.parametrize(
    ("refusal", "kind", "text"),
    [
        (os_error(errno.EOPNOTSUPP), OptionUnsupported, "it did not offer RE-CONFIG"),
        (OptionUnsupported(errno.EOPNOTSUPP, "no such thing"), OptionUnsupported, "no such thing"),
        (os_error(errno.EPIPE), AssociationLost, "association 100"),
        (os_error(errno.ENOMEM), OSError, "allocate memory"),
    ],
)
async def test_a_request_that_the_stack_refuses(
    refusal: OSError, kind: type[Exception], text: str
) -> None:
    endpoint, socket = await endpoint_with(ID)
    association = endpoint.associations[ID]
    socket.request_error = refusal
    with pytest.raises(kind, match=text):
        await association.reset_association()
    socket.request_error = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(association.reset_association)
        await wait_all_tasks_blocked()
        socket.requests[0][1](ReconfigurationResult.PERFORMED)


async def test_a_request_waits_for_queued_messages_and_those_behind_it_for_the_request() -> None:
    endpoint, socket = await endpoint_with(ID)
    association = endpoint.associations[ID]
    socket.queued_messages = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(association.reset_association)
        await wait_all_tasks_blocked()
        nursery.start_soon(association.send, b"behind")
        await wait_all_tasks_blocked()
        assert (socket.requests, socket.sent) == ([], [])
        socket.queued_messages = False
        socket.dry.add(ID)
        socket.arrive(SenderDry(association_id=ID))
        await wait_all_tasks_blocked()
        assert socket.sent == [(ID, b"behind")]
        socket.requests[0][1](ReconfigurationResult.PERFORMED)


async def test_a_peer_that_begins_anew_has_forgotten_a_request() -> None:
    """Linux says nothing of a request that a restart has ended."""
    endpoint, socket = await endpoint_with(ID)
    association = endpoint.associations[ID]
    with pytest.RaisesGroup(pytest.RaisesExc(ReconfigurationFailed, match="begun anew")):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(association.reset_association)
            await wait_all_tasks_blocked()
            socket.arrive(change(ID, RESTART))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(association.reset_association)
        await wait_all_tasks_blocked()
        socket.requests[1][1](ReconfigurationResult.PERFORMED)


async def test_a_cancelled_close_reads_what_there_is_and_no_more() -> None:
    """What is unread would make Linux abort; to read on and on would hold up everybody."""
    endpoint, socket = await endpoint_with(ID)
    reads: list[int] = []
    receive = socket.receive

    def counted(limit: int) -> list[Arrival]:
        reads.append(limit)
        return receive(limit)

    socket.receive = counted  # type: ignore[method-assign]
    socket.arrive(*(message(ID) for _ in range(1000)))
    with trio.CancelScope() as scope:
        scope.cancel()
        await endpoint.aclose()
    assert not socket.arrivals
    assert len(reads) == 5
    assert socket.closed == "graceful"


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


async def test_open_objects_say_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint, socket = await endpoint_with()
    socket.bound += [("192.0.2.3", 2905), ("192.0.2.4", 2905)]
    assert repr(endpoint) == "<Endpoint 192.0.2.2 port 2905 and 2 more with 0 associations>"
    socket.bound.clear()
    assert repr(endpoint) == "<Endpoint of no address with 0 associations>"
    assert endpoint.port == 0

    def fail(association_id: int | None) -> list[Address]:
        raise os_error(errno.EBADF)

    monkeypatch.setattr(socket, "local_addresses", fail)
    assert repr(endpoint) == "<Endpoint of no address with 0 associations>"


async def test_closed_objects_say_so() -> None:
    endpoint, _ = await endpoint_with(ID)
    associations = endpoint.associations
    assert repr(endpoint) == "<Endpoint 192.0.2.2 port 2905 with 1 associations>"
    assert repr(associations) == f"{{100: {associations[ID]!r}}}"
    await trio.aclose_forcefully(endpoint)
    assert repr(endpoint) == "<Endpoint closed>"
    assert list(associations) == []


@pytest.mark.parametrize(
    "kind",
    [
        *(getattr(module, name) for module in (trio_sctp, testing) for name in module.__all__),
        ByteStream,
        EventChannel,
        Half,
        PayloadChannel,
    ],
    ids=lambda kind: getattr(kind, "__name__", repr(kind)),
)
def test_type_checkers_refuse_subclasses_of_what_the_library_makes(kind: Any) -> None:
    """All but handles, of which a channel is one, and errors."""
    doc = kind.__init__.__doc__ if inspect.isclass(kind) else None
    if kind is Half or (doc == "Not for programs to call." and not issubclass(kind, Exception)):
        assert getattr(kind, "__final__", False) is (kind is not Association)


async def test_what_the_library_has_to_see_is_reported_whatever_the_program_subscribes_to() -> None:
    stack = FakeStack()
    fields = [field.name for field in dataclasses.fields(EventSubscription)]
    nothing = EventSubscription(**dict.fromkeys(fields, False))
    opened(await trio_sctp.open_endpoint(options=[nothing], stack=stack))
    subscribed = stack.sockets[0].subscriptions[None]
    assert {name for name in fields if getattr(subscribed, name)} == {
        "association_event",
        "address_event",
        "send_failure_event",
        "shutdown_event",
        "partial_delivery_event",
        "stream_change_event",
    }


async def test_options_of_a_connect_are_looked_at_before_the_name_of_its_host() -> None:
    stack = FakeStack()
    endpoint = opened(await trio_sctp.open_endpoint(stack=stack))
    for connect in endpoint.connect, endpoint.connect_init:
        with pytest.raises(ValueError, match=r"SendBuffer holds for .*: set it on"):
            await connect("no-such-host.invalid", 2905, options=[SendBuffer(5000)])
