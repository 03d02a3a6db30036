"""What errors say, and which ones a stack's refusals become."""

from __future__ import annotations

import dataclasses
import errno
import pickle
import re
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_sctp import (
    AssociationChange,
    AssociationLost,
    AssociationState,
    ConnectFailed,
    EncapsulationPort,
    Endpoint,
    MaxSegment,
    NoDelay,
    OptionUnsupported,
    PeerAddressParams,
    ReusePort,
    SendFailed,
    StackUnavailable,
    open_association,
    open_endpoint,
)
from trio_sctp._values import FailedFragment
from trio_sctp.testing import simulated_network

from ..support.fake_stack import (
    PEER,
    FakeSocket,
    FakeStack,
    change,
    opened,
    os_error,
)

UP, LOST, CANNOT = (
    AssociationState.COMM_UP,
    AssociationState.COMM_LOST,
    AssociationState.CANT_ASSOC,
)
ID = 100


async def endpoint_with(*ids: int) -> tuple[Endpoint, FakeSocket]:
    stack = FakeStack()
    endpoint = opened(await open_endpoint(stack=stack))
    for id in ids:
        stack.sockets[0].arrive(change(id, UP))
        await endpoint.receive()
    return endpoint, stack.sockets[0]


def failed(data: bytes, **how: Any) -> FailedFragment:
    usual: dict[str, Any] = {"first": True, "last": True, "sent": True, "error": 0}
    message: dict[str, Any] = {"stream": 0, "ppid": 0, "unordered": False, "context": 0}
    return FailedFragment(association_id=ID, data=data, **usual | message | how)


WHOSE = f"association {ID} with {PEER[0]} port {PEER[1]}"
SILENT = f"{WHOSE} was lost: the peer did not answer, or aborted it without a reason"


@pytest.mark.parametrize(
    ("error", "messages", "text"),
    [
        (0, 0, f"{SILENT}"),
        (13, 0, f"{WHOSE} was aborted (protocol violation, cause 13)"),
        (
            12,
            2,
            f"{WHOSE} was aborted by the peer (user-initiated abort, cause 12); "
            "2 messages not delivered",
        ),
        (0, 1, f"{SILENT}; 1 message not delivered"),
    ],
)
async def test_a_loss_says_how_and_how_many_messages_are_lost(
    error: int, messages: int, text: str
) -> None:
    endpoint, socket = await endpoint_with(ID)
    association = endpoint.associations[ID]
    socket.arrive(change(ID, LOST, error), *[failed(b"x")] * messages)
    await association.wait_ended()
    with pytest.raises(AssociationLost) as lost:
        await association.send(b"x")
    assert str(lost.value) == text
    assert len(lost.value.end.undelivered) == messages


async def test_a_reason_is_told() -> None:
    endpoint, socket = await endpoint_with(ID)
    socket.arrive(dataclasses.replace(change(ID, LOST, 12), reason=b"bye"))
    association = endpoint.associations[ID]
    await association.wait_ended()
    with pytest.raises(AssociationLost) as lost:
        await association.send(b"x")
    text = f"{WHOSE} was aborted by the peer: b'bye' (user-initiated abort, cause 12)"
    assert str(lost.value) == text
    assert repr(lost.value) == f"AssociationLost({text!r})"


async def test_what_is_sent_after_the_peers_shutdown_says_so() -> None:
    endpoint, socket = await endpoint_with(ID)
    socket.arrive(change(ID, AssociationState.SHUTDOWN_COMP))
    association = endpoint.associations[ID]
    await association.wait_ended()
    with pytest.raises(AssociationLost) as lost:
        await association.send(b"x")
    assert str(lost.value) == f"{WHOSE} was shut down by the peer: nothing can be sent"


@pytest.mark.parametrize(("ids", "known"), [([], "none"), ([ID, 102], "100, 102")])
async def test_an_id_that_is_not_known(ids: list[int], known: str) -> None:
    endpoint, _ = await endpoint_with(*ids)
    with pytest.raises(AssociationLost) as lost:
        await endpoint.send(b"x", 99)
    assert str(lost.value) == f"this endpoint has no association 99 (any more); it has {known}"


async def test_errors_can_be_pickled() -> None:
    endpoint, socket = await endpoint_with(ID)
    association = endpoint.associations[ID]
    socket.refuses = True
    with pytest.raises(ConnectFailed) as refused:
        await endpoint.send(b"x", PEER)
    socket.arrive(change(ID, LOST), failed(b"x"))
    await association.wait_ended()
    with pytest.raises(AssociationLost) as lost:
        await association.send(b"x")
    copy = pickle.loads(pickle.dumps(lost.value))
    assert (copy.association, copy.end, str(copy)) == (None, lost.value.end, str(lost.value))
    other = pickle.loads(pickle.dumps(refused.value))
    assert (other.errno, str(other), other.event) == (
        refused.value.errno,
        str(refused.value),
        refused.value.event,
    )
    for error in (StackUnavailable("why"), OptionUnsupported("which")):
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


# -- what cannot be bound ----------------------------------------------------------------------


def machine_with(count: int) -> list[str]:
    return [f"192.0.2.{number}" for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("count", "more"), [(1, ""), (16, ""), (17, " and 1 more"), (40, " and 24 more")]
)
async def test_an_address_that_is_not_ours_is_told_with_those_that_are(
    count: int, more: str
) -> None:
    stack = FakeStack()
    stack.addresses = machine_with(count)
    stack.open_error = os_error(errno.EADDRNOTAVAIL)
    with pytest.raises(OSError, match="cannot bind") as refused:
        await open_endpoint(7, hosts=["192.0.2.1", "192.0.2.99"], stack=stack)
    assert refused.value.errno == errno.EADDRNOTAVAIL
    assert str(refused.value) == (
        f"[Errno {errno.EADDRNOTAVAIL}] cannot bind 192.0.2.99 port 7: "
        "Cannot assign requested address: this machine has "
        + ", ".join(machine_with(min(count, 16)))
        + more
    )


@pytest.mark.parametrize(
    ("number", "hosts", "port", "text"),
    [
        (
            errno.EADDRINUSE,
            ["192.0.2.1"],
            7,
            "cannot bind 192.0.2.1 port 7: Address already in use",
        ),
        (
            errno.EADDRINUSE,
            ["192.0.2.1", "192.0.2.2"],
            7,
            "cannot bind 192.0.2.1 / 192.0.2.2 port 7: Address already in use",
        ),
        (errno.EACCES, [], 7, "cannot bind port 7: Permission denied"),
        (errno.EADDRINUSE, [], 0, "cannot bind a port: Address already in use"),
        (errno.EADDRINUSE, ["192.0.2.1"], 0, "cannot bind 192.0.2.1: Address already in use"),
        (
            errno.EADDRNOTAVAIL,
            ["192.0.2.1"],
            0,
            "cannot bind 192.0.2.1: Cannot assign requested address: this machine has 192.0.2.1",
        ),
        (errno.ENOMEM, ["192.0.2.1"], 7, "Cannot allocate memory"),
    ],
)
async def test_what_cannot_be_bound_is_told(
    number: int, hosts: list[str], port: int, text: str
) -> None:
    stack = FakeStack()
    stack.addresses = machine_with(1)
    stack.open_error = os_error(number)
    with pytest.raises(OSError, match=re.escape(text)) as refused:
        await open_endpoint(port, hosts=hosts, stack=stack)
    assert str(refused.value) == f"[Errno {number}] {text}"


async def test_an_option_for_opening_that_is_refused_is_named() -> None:
    stack = FakeStack()
    stack.open_error = os_error(errno.EINVAL)
    with pytest.raises(ValueError, match=r"refuses one of \[ReusePort\(enabled=True\)\]"):
        await open_endpoint(options=[NoDelay(False), ReusePort(True)], stack=stack)
    with pytest.raises(OSError, match="Invalid argument"):
        await open_endpoint(options=[NoDelay(False)], stack=stack)


# -- whom nobody could reach over UDP ----------------------------------------------------------

HINT = (
    " (perhaps no program listens there; a peer that uses its kernel's SCTP does not listen on UDP "
    "unless told to, on Linux by sysctl net.sctp.udp_port=7 net.sctp.encap_port=7)"
)


def test_a_listener_for_ipv4_does_not_hear_a_peer_that_tries_ipv6() -> None:
    failed = ConnectFailed(errno.ECONNREFUSED, "::1 port 2905", None, 7)
    assert " (perhaps no program listens there, or one for IPv4 only; a peer that " in str(failed)


@pytest.mark.parametrize(
    ("aborted", "error", "text"),
    [
        (False, 0, f"Connection refused{HINT}"),
        (False, 3, "Connection refused (stale cookie)"),
        (True, 0, "Software caused connection abort"),
        (True, 12, "Software caused connection abort (user-initiated abort)"),
    ],
)
async def test_a_peer_that_could_not_be_reached_over_udp(
    aborted: bool, error: int, text: str
) -> None:
    """What its kernel would need to hear us there is only told where that may be the reason."""
    stack = FakeStack()
    stack.peer_udp_port = 9899
    endpoint = opened(await open_endpoint(stack=stack))
    (socket,) = stack.sockets
    socket.own[EncapsulationPort] = EncapsulationPort(7)

    async def connect() -> None:
        with pytest.raises(ConnectFailed) as failed:
            await endpoint.connect(*PEER[:2])
        assert failed.value.strerror == (
            f"cannot associate with 192.0.2.1 port 2905 over UDP port 7: {text}"
        )
        copy = pickle.loads(pickle.dumps(failed.value))
        assert str(copy) == str(failed.value)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connect)
        await wait_all_tasks_blocked()
        (association,) = endpoint.associations.values()
        if aborted:
            association.abort()
            socket.arrivals.clear()
        socket.arrive(change(association.id, CANNOT, error))


# -- a first message that sets an association up -----------------------------------------------


async def test_a_first_message_to_a_peer_that_refuses_at_once() -> None:
    """The error tells of it, so no event does."""
    endpoint, socket = await endpoint_with(ID)
    socket.refuses = True
    with pytest.raises(ConnectFailed) as refused:
        await endpoint.send(b"x", PEER)
    assert refused.value.errno == errno.ECONNREFUSED
    assert list(endpoint.associations) == [ID]
    socket.arrive(change(ID, LOST))
    record = await endpoint.receive()
    assert record == change(ID, LOST)


async def test_a_first_message_waits_for_room_and_leaves_nothing_if_it_is_cancelled() -> None:
    endpoint, socket = await endpoint_with(ID)
    socket.room = 0
    with trio.move_on_after(0.2) as scope:
        await endpoint.send(b"cancelled", PEER)
    assert scope.cancelled_caught
    assert list(endpoint.associations) == [ID]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(endpoint.send, b"in the end", PEER)
        await wait_all_tasks_blocked()
        socket.make_room(1)
    assert [data for _, data in socket.sent] == [b"in the end"]
    assert len(endpoint.associations) == 2
    # One for each message, however long that waits.
    assert [call for call, _ in socket.calls] == ["connect", "abort", "connect"]


async def test_first_messages_behind_a_full_buffer_start_one_association_each() -> None:
    """Each try would be an INIT and an ABORT: to the peer that is an attack."""
    endpoint, socket = await endpoint_with(ID)
    socket.room = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(endpoint.send, b"blocked", ID)
        for number in range(3):
            nursery.start_soon(endpoint.send, b"first", (f"192.0.2.{10 + number}", 2905))
        await wait_all_tasks_blocked()
        for _ in range(20):
            with pytest.raises(trio.WouldBlock):
                endpoint.send_nowait(b"now", ("192.0.2.20", 2905))
            socket._writable.unpark_all()  # others' sends and aborts make it look writable
            await wait_all_tasks_blocked()
        assert socket.calls == [("connect", 3), ("connect", 4), ("connect", 5)]
        for id in (3, 4, 5):
            socket.arrive(change(id, UP))
        socket.make_room(4)
    assert sorted(id for id, _ in socket.sent) == [3, 4, 5, ID]


@pytest.mark.parametrize(("seconds", "number"), [(1, errno.ECONNREFUSED), (60, errno.ETIMEDOUT)])
async def test_a_first_message_that_waits_learns_whether_the_peer_refused_or_fell_silent(
    seconds: float, number: int, autojump_clock: MockClock
) -> None:
    endpoint, socket = await endpoint_with()
    socket.room = 0
    failed_with: list[int | None] = []

    async def send() -> None:
        with pytest.raises(ConnectFailed) as failure:
            await endpoint.send(b"first", PEER)
        failed_with.append(failure.value.errno)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await trio.sleep(seconds)
        socket.arrive(change(3, CANNOT))
        with trio.move_on_after(1):
            await endpoint.receive()
    assert failed_with == [number]


async def test_a_first_message_that_is_cancelled_when_the_association_is_up_ends_it() -> None:
    endpoint, socket = await endpoint_with()
    socket.room = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(endpoint.send, b"cancelled", PEER)
        await wait_all_tasks_blocked()
        socket.arrive(change(3, UP))
        assert await endpoint.receive() == change(3, UP)
        nursery.cancel_scope.cancel()
    assert socket.calls == [("connect", 3), ("abort", 3)]
    assert await endpoint.receive() == change(3, LOST, 12)


async def test_a_message_with_eof_waits_until_a_half_open_association_is_up() -> None:
    endpoint, socket = await endpoint_with()
    association = await endpoint.connect_init("192.0.2.9", 2905)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: association.send(b"last", eof=True))
        await wait_all_tasks_blocked()
        assert socket.sent == []
        socket.arrive(change(association.id, UP))
    assert socket.sent == [(association.id, b"last")]
    assert socket.calls[-1] == ("shutdown", association.id)


async def test_eof_of_one_that_is_not_up_says_why() -> None:
    endpoint, socket = await endpoint_with()
    association = await endpoint.connect_init("192.0.2.9", 2905)
    async with trio.open_nursery() as nursery:

        async def eof() -> None:
            with pytest.raises(AssociationLost):
                await association.eof()

        nursery.start_soon(eof)
        await wait_all_tasks_blocked()
        socket.arrive(change(association.id, CANNOT))
    assert not any(call == "shutdown" for call, _ in socket.calls)


async def test_eof_after_an_abort_of_ones_own() -> None:
    endpoint, _ = await endpoint_with(ID)
    association = endpoint.associations[ID]
    association.abort()
    await association.wait_ended()
    with pytest.raises(trio.ClosedResourceError, match="100 was aborted here"):
        await association.eof()


async def test_an_option_that_fails_behind_the_init_leaves_no_association() -> None:
    endpoint, socket = await endpoint_with()
    socket.option_error = os_error(errno.EPERM)
    option = PeerAddressParams(address=("192.0.2.9", 2905), pathmaxrxt=3)
    said = r"the stack refuses PeerAddressParams\(.*pathmaxrxt=3.*\): Operation not permitted"
    with pytest.raises(PermissionError, match=said):
        await endpoint.connect("192.0.2.9", 2905, options=[option])
    assert not endpoint.associations
    assert [call for call, _ in socket.calls] == ["connect", "abort"]
    with trio.move_on_after(0.01) as scope:
        await endpoint.receive()
    assert scope.cancelled_caught


async def test_closing_ends_the_wait_for_what_an_association_has_left() -> None:
    """``while_up`` waits until everything that came before the end is taken."""
    endpoint, socket = await endpoint_with(ID)
    association = endpoint.associations[ID]
    done: list[bool] = []

    async def live() -> None:
        async with association.while_up():
            await trio.sleep_forever()
        done.append(True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(live)
        await wait_all_tasks_blocked()
        socket.arrive(change(ID, AssociationState.SHUTDOWN_COMP))
        await wait_all_tasks_blocked()
        assert not done
        await trio.aclose_forcefully(endpoint)
    assert done


# -- the userland stack's own refusals ---------------------------------------------------------


async def test_a_segment_is_as_small_as_512_bytes() -> None:
    async with (
        simulated_network() as network,
        network.host("192.0.2.1") as host,
        await open_endpoint(stack=host) as endpoint,
    ):
        for size in 0, 512:
            endpoint.set_option(MaxSegment(size))
            assert endpoint.get_option(MaxSegment) == MaxSegment(size)
        for size in 1, 511:
            with pytest.raises(ValueError, match=rf"refuses MaxSegment\(size={size}\)"):
                endpoint.set_option(MaxSegment(size))


async def test_an_option_for_an_address_that_is_not_the_peers() -> None:
    async with simulated_network() as network:
        server, client = network.host("192.0.2.2"), network.host("192.0.2.1")
        async with await open_endpoint(2905, stack=server) as there:
            there.listen()
            channel = await open_association("192.0.2.2", 2905, stack=client)
            for wrong in ("192.0.2.9", 2905), ("192.0.2.2", 1):
                with pytest.raises(ValueError, match="address of this association"):
                    channel.get_option(PeerAddressParams, address=wrong)
            with pytest.raises(ValueError, match=r"192\.0\.2\.9"):
                channel.set_option(PeerAddressParams(address=("192.0.2.9", 2905), pathmaxrxt=3))
            with pytest.raises(ValueError, match=r"192\.0\.2\.9.* is not an address of the peer"):
                await channel.send(b"x", address=("192.0.2.9", 2905))
            for port in 1, 2904, 2906, 65535:
                with pytest.raises(ValueError, match="is not an address of the peer"):
                    await channel.send(b"x", address=("192.0.2.2", port))
            channel.abort()


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("last", [True, False])
async def test_a_message_is_complete_if_none_of_its_fragments_was_acknowledged(
    first: bool, last: bool
) -> None:
    endpoint, socket = await endpoint_with(ID)
    fragments = [failed(b"a", first=first, last=False), failed(b"b", first=False, last=last)]
    socket.arrive(change(ID, LOST), *fragments)
    assert isinstance(await endpoint.receive(), AssociationChange)
    event = await endpoint.receive()
    assert isinstance(event, SendFailed)
    assert (event.data, event.complete) == (b"ab", first and last)


@pytest.mark.parametrize("with_the_end", [True, False])
async def test_a_message_that_failed_is_told_as_it_was_sent(with_the_end: bool) -> None:
    """Fragments of several messages may be mixed; those of one are told once they are all there."""
    endpoint, socket = await endpoint_with(ID)
    one: dict[str, Any] = {"stream": 1, "ppid": 2, "unordered": True, "context": 3}
    other: dict[str, Any] = {"stream": 1, "ppid": 2, "unordered": True, "context": 4}
    fragments = [
        failed(b"a", last=False, error=7, **one),
        failed(b"A", last=False, sent=False, **other),
        failed(b"b", first=False, last=False, sent=False, error=8, **one),
        failed(b"B", first=False, sent=False, **other),
        failed(b"c", first=False, sent=False, error=9, **one),
        failed(b"!", last=False, sent=False, **other),  # of which no more is told
    ]
    socket.arrive(*([change(ID, LOST)] if with_the_end else []), *fragments, change(ID + 1, UP))
    first = SendFailed(association_id=ID, data=b"abc", complete=True, sent=True, error=7, **one)
    second = SendFailed(association_id=ID, data=b"AB", complete=True, sent=False, error=0, **other)
    third = SendFailed(association_id=ID, data=b"!", complete=False, sent=False, error=0, **other)
    records = await endpoint.receive_batch()
    if with_the_end:
        assert records == [change(ID, LOST), second, first, third, change(ID + 1, UP)]
    else:
        assert records == [second, first, change(ID + 1, UP)]
