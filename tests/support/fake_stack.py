"""A stack that does what a test says: what arrives, what fails, when there is room to send."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

import trio

from trio_sctp import (
    AssociationChange,
    AssociationChannel,
    AssociationState,
    AssociationStatistics,
    DefaultSendParams,
    Endpoint,
    EventSubscription,
    InitMsg,
    Linger,
    Listener,
    Message,
    ReceiveBuffer,
    RtoInfo,
    StackReport,
    Status,
    StatusState,
)
from trio_sctp._options import EVENTS, Option, PathState, PeerAddressInfo
from trio_sctp._stack import Interruptible, StackSocket
from trio_sctp._values import Address, Arrival, ReconfigurationRequest, SendInfo

T = TypeVar("T", bound=Option)
F = TypeVar("F", Endpoint, Listener, AssociationChannel)

PEER: Address = ("192.0.2.1", 2905)
DESCRIPTOR = 1000
"""What a `FakeSocket` that is given up leaves."""

NO_EVENTS = EventSubscription(**{row.field: False for row in EVENTS})
"""What no socket of this library is left with."""


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def message(id: int, data: bytes = b"x", *, stream: int = 0) -> Message:
    return Message(
        data=data,
        stream=stream,
        ppid=0,
        unordered=False,
        association_id=id,
        address=PEER,
        ssn=0,
        tsn=0,
        cumulative_tsn=0,
        context=0,
    )


def change(id: int, state: AssociationState, error: int = 0) -> AssociationChange:
    return AssociationChange(
        association_id=id, state=state, error=error, outbound_streams=10, inbound_streams=10
    )


class FakeSocket:
    """A `StackSocket` for one endpoint, channel or listener."""

    one_to_one = False
    room_is_shared = True
    has_descriptor = True

    def __init__(self) -> None:
        self.subscriptions: dict[int | None, EventSubscription] = {}  # as they were set last
        self.options: list[tuple[Option, int | None]] = []  # that were set, in order
        self.own: dict[type[Option], Option] = {}  # what options read as, if not as below
        self.bound: list[Address] = [("192.0.2.2", 2905)]
        self.bind_error: OSError | None = None
        self.to_accept: deque[FakeSocket | OSError] = deque()  # of a one-to-one socket
        self.failed_with = 0  # what `pending_error` says
        self.infos: list[SendInfo] = []  # of what was sent
        self.arrivals: deque[Arrival] = deque()
        self.states: dict[int, StatusState] = {}
        self.dry: set[int] = set()  # ids of associations of which all is acknowledged
        self.sent: list[tuple[int, bytes]] = []
        self.calls: list[tuple[str, int]] = []
        self.room = 10**9
        self.peel_off_error: OSError | None = None
        self.receive_error: OSError | None = None
        self.option_error: OSError | None = None
        self.send_error: OSError | None = None
        self.request_error: OSError | None = None
        self.queued_messages = False  # whether a request has to wait for them
        # Requests to reset or to add streams, and whom to tell of the answer.
        self.requests: list[tuple[ReconfigurationRequest, Callable[[int], None]]] = []
        self.refuses = False  # the peer, each INIT at once
        self.peeled: dict[int, FakeSocket] = {}
        self.closed: str | None = None
        self._next_id = 3
        self._readable = trio.lowlevel.ParkingLot()
        self._writable = trio.lowlevel.ParkingLot()

    # What a test calls.

    def arrive(self, *arrivals: Arrival) -> None:
        self.arrivals.extend(arrivals)
        for arrival in arrivals:
            if isinstance(arrival, AssociationChange):
                if arrival.state == AssociationState.COMM_UP:
                    self.states[arrival.association_id] = StatusState.ESTABLISHED
                else:
                    self.states.pop(arrival.association_id, None)
        self._readable.unpark_all()

    def let_in(self, *accepted: FakeSocket | OSError) -> None:
        """Have `accept` return these sockets, or raise these errors."""
        self.to_accept.extend(accepted)
        self._readable.unpark_all()

    def fail(self, error: OSError) -> None:
        """Have receiving fail from now on."""
        self.receive_error = error
        self._readable.unpark_all()

    def make_room(self, messages: int) -> None:
        self.room += messages
        self._writable.unpark_all()

    # What the library calls.

    def receive(self, limit: int) -> list[Arrival]:
        if self.receive_error is not None:
            raise self.receive_error
        return [self.arrivals.popleft() for _ in range(min(limit, len(self.arrivals)))]

    def has_unread(self) -> bool:
        return bool(self.arrivals)

    def send(
        self, data: bytes | bytearray | memoryview, association_id: int, info: SendInfo
    ) -> None:
        if association_id not in self.states:
            raise os_error(errno.EPIPE)
        if self.send_error is not None:
            raise self.send_error
        if not self.room:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        self.room -= 1
        self.sent.append((association_id, bytes(data)))
        self.infos.append(info)

    async def wait_readable(self, waiter: Interruptible) -> None:
        await waiter.interruptible(self._wait_readable)

    async def _wait_readable(self) -> None:
        if self.arrivals or self.to_accept or self.receive_error is not None:
            await trio.lowlevel.checkpoint()
        else:
            await self._readable.park()
            self._check_closed()

    async def wait_writable(self, association_id: int | None) -> None:
        if self.room:
            await trio.lowlevel.checkpoint()
        else:
            await self._writable.park()
            self._check_closed()

    def _check_closed(self) -> None:
        if self.closed is not None:
            raise trio.ClosedResourceError

    def connect(self, addresses: Sequence[Address]) -> int:
        id, self._next_id = self._next_id, self._next_id + 1
        self.states[id] = StatusState.COOKIE_WAIT
        self.calls.append(("connect", id))
        if self.refuses:
            self.arrive(change(id, AssociationState.CANT_ASSOC))
        return id

    def shutdown(self, association_id: int) -> None:
        self.calls.append(("shutdown", association_id))

    def abort(self, association_id: int, reason: bytes) -> None:
        self.calls.append(("abort", association_id))
        state = self.states.get(association_id)
        if state is None:
            raise os_error(errno.EPIPE)
        half_open = state < StatusState.ESTABLISHED
        end = AssociationState.CANT_ASSOC if half_open else AssociationState.COMM_LOST
        self.arrive(change(association_id, end, 12))

    def listen(self, backlog: int) -> None:
        self.calls.append(("listen", backlog))

    def accept(self) -> FakeSocket:
        assert self.one_to_one
        if not self.to_accept:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        accepted = self.to_accept.popleft()
        if isinstance(accepted, OSError):
            raise accepted
        return accepted

    def peel_off(self, association_id: int) -> FakeSocket:
        if self.peel_off_error is not None:
            raise self.peel_off_error
        if association_id not in self.states:
            raise os_error(errno.EINVAL)
        peeled = self.peeled[association_id] = FakeSocket()
        peeled.states[association_id] = self.states.pop(association_id)
        return peeled

    def association_ids(self) -> list[int]:
        return list(self.states)

    def status(self, association_id: int) -> Status:
        if association_id not in self.states:
            raise os_error(errno.EINVAL)
        path = PeerAddressInfo(
            address=PEER, state=PathState.ACTIVE, primary=True, cwnd=0, srtt=0, rto=0, mtu=1500
        )
        return Status(
            association_id=association_id,
            state=self.states[association_id],
            rwnd=0,
            unackdata=0,
            penddata=0,
            instrms=10,
            outstrms=10,
            fragmentation_point=1400,
            primary=path,
        )

    def is_dry(self, association_id: int) -> bool:
        if association_id not in self.states:
            raise os_error(errno.EINVAL)
        return association_id in self.dry

    def ping(
        self, association_id: int, address: Address | None, answered: Callable[[float], None]
    ) -> Callable[[], None]:
        raise AssertionError("no test of this stack calls that")

    def reconfigure(
        self, association_id: int, request: ReconfigurationRequest, answered: Callable[[int], None]
    ) -> Callable[[], bool]:
        if self.queued_messages:
            raise BlockingIOError
        if self.request_error is not None:
            raise self.request_error
        self.requests.append((request, answered))
        return lambda: False

    def statistics(self, association_id: int) -> AssociationStatistics:
        raise AssertionError("no test of this stack calls that")

    def pending_error(self) -> int:
        return self.failed_with

    def local_addresses(self, association_id: int | None) -> list[Address]:
        return list(self.bound)

    def peer_addresses(self, association_id: int) -> list[Address]:
        return [PEER]

    def association_at(self, address: Address) -> int | None:
        return None

    def bind(self, address: Address) -> None:
        if self.bind_error is not None:
            raise self.bind_error
        self.bound.append(address)

    def unbind(self, address: Address) -> None:
        if self.bind_error is not None:
            raise self.bind_error
        self.bound.remove(address)

    def get_option(
        self,
        kind: type[T],
        association_id: int | None,
        address: Address | None = None,
        stream: int | None = None,
    ) -> T:
        option: object
        if kind in self.own:
            option = self.own[kind]
        elif kind is DefaultSendParams:
            option = DefaultSendParams(stream=0, ppid=0, unordered=False, context=0, lifetime=0)
        elif kind is Linger:
            option = Linger(False)
        elif kind is ReceiveBuffer:
            option = ReceiveBuffer(1000)
        elif kind is InitMsg:
            option = InitMsg(num_ostreams=10, max_instreams=10, max_attempts=2, max_init_timeo=0)
        else:
            assert kind is RtoInfo
            option = RtoInfo(initial=3000, max=60000, min=1000)
        return option  # type: ignore[return-value]

    def set_option(self, option: Option, association_id: int | None) -> None:
        if self.option_error is not None and association_id is not None:
            raise self.option_error
        self.options.append((option, association_id))

    def subscribe(self, events: EventSubscription, association_id: int | None) -> None:
        self.subscriptions[association_id] = events
        if association_id is None:
            self.subscriptions.update(dict.fromkeys(self.states, events))

    def subscription(self, association_id: int | None) -> EventSubscription:
        return self.subscriptions.get(association_id) or self.subscriptions.get(None, NO_EVENTS)

    def report_dry(self, association_id: int, on: bool) -> None:
        self.calls.append(("report dry" if on else "report dry no more", association_id))

    def max_send_size(self) -> tuple[int, str]:
        return 10_000, "use a larger one"

    def close(self, *, abort: bool) -> None:
        self.closed = "abort" if abort else "graceful"
        self._readable.unpark_all()
        self._writable.unpark_all()

    def drop(self) -> None:
        self.closed = "abort"

    def detach(self) -> int:
        self.closed = "detached"
        return DESCRIPTOR


class FakeStack:
    """A stack of `FakeSocket` objects, which a test finds in ``sockets``."""

    name = "fake"
    peer_udp_port = 0

    def __init__(self) -> None:
        self.sockets: list[FakeSocket] = []
        self.open_error: OSError | None = None
        self.opened_with: list[Option] = []
        self.addresses = ["192.0.2.2"]

    def open(
        self,
        local_addresses: Sequence[Address],
        port: int,
        *,
        ipv6: bool,
        options: Sequence[Option],
    ) -> FakeSocket:
        if self.open_error is not None:
            raise self.open_error
        self.opened_with = list(options)
        self.sockets.append(FakeSocket())
        return self.sockets[-1]

    def adopt(self, sock: object, check: Callable[[StackSocket], None]) -> FakeSocket:
        assert isinstance(sock, FakeSocket)
        check(sock)
        return sock

    def resolve(self, name: str) -> None:
        return None

    def own_addresses(self) -> list[str]:
        return self.addresses

    def report(self) -> StackReport:
        return StackReport(name=self.name, available=True, reason="it is a fake")


_opened: list[Endpoint | Listener | AssociationChannel] = []


def opened(face: F) -> F:
    """Have `release_all` give up what a test has opened on a fake stack."""
    _opened.append(face)
    return face


def release_all() -> None:
    """Give up what was opened, so that it is no object that was forgotten."""
    for face in _opened:
        face._socket.release(abort=True)
    _opened.clear()
