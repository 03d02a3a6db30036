"""The options of a socket: what each may be set for, and what a refusal means.

`_options` says what an option looks like, and each stack how it reads and writes it.
"""

from __future__ import annotations

import contextlib
import errno
import math
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, TypeVar

from .._checks import check_address, check_integer, shown
from .._errors import OptionUnsupported
from .._options import (
    DEFAULTS,
    OF_PATHS,
    OF_STREAMS,
    ActiveKey,
    AuthChunks,
    AutoAsconf,
    DeactivateKey,
    DefaultSendParams,
    DelayedAck,
    DeleteKey,
    EncapsulationPort,
    EventSubscription,
    HmacAlgorithms,
    InitMsg,
    Linger,
    Option,
    PartialDeliveryPoint,
    PeerAddressInfo,
    PeerAddressParams,
    PeerAddressThresholds,
    PrimaryAddress,
    ProbeInterval,
    RtoInfo,
    Scope,
    StreamPriority,
    check_option,
    check_options,
    is_complete,
    merge,
)
from .._values import Address, AssociationStatistics
from .queue import Role
from .sender import ANY_STREAM
from .tcb import Tcb

if TYPE_CHECKING:
    from .socket import Socket

T = TypeVar("T", bound=Option)

# Options that may name an address of the peer, or that have no value of the socket's to go back to,
# are set on the association once it has an id; all others before the INIT, so that a refusal comes
# first.
_SET_ON_ASSOCIATION = (
    PrimaryAddress,
    PeerAddressParams,
    PeerAddressThresholds,
    ProbeInterval,
    StreamPriority,
    DelayedAck,
    EventSubscription,
)

# Options of a whole socket that only associations to come have: a channel has none of these.
_TO_COME = (AuthChunks, HmacAlgorithms)

_NOT_THE_ACTIVE_KEY = "is there such a key, and another one that is active?"
_HINTS: dict[type[Option], str] = {
    ActiveKey: "is there such a key, and was it not deactivated?",
    DeactivateKey: _NOT_THE_ACTIVE_KEY,
    DeleteKey: _NOT_THE_ACTIVE_KEY,
    AutoAsconf: "is the socket bound to all addresses?",
    PartialDeliveryPoint: "is it more than half of the ReceiveBuffer?",
}
"""What is wrong with a value, where a stack does not say so itself."""


class Settings:
    """The options of one socket and its associations."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket

    def configure(self, options: Sequence[Option]) -> None:
        """Set our defaults, then the caller's options, except those that were set at opening."""
        for default in DEFAULTS:  # which are right and complete
            self._put(default.option, None, None)
        for option in options:
            if not option.at_open_only:
                self.set(option, None)

    def get(
        self,
        kind: type[T],
        tcb: Tcb | None,
        address: Address | None = None,
        stream: int | None = None,
    ) -> T:
        """Read an option of an association, or of the socket if ``tcb`` is None."""
        socket = self._socket
        socket.check_not_released()
        if not isinstance(kind, type) or not issubclass(kind, Option) or kind is Option:
            raise TypeError(f"an option is read by its class, such as InitMsg, not {shown(kind)}")
        if kind.write_only:
            raise ValueError(f"{kind.__name__} can only be set")
        id = self._id(kind, tcb, read=True)
        if address is not None or kind is PeerAddressInfo:
            _check_address_of(kind, id, address)
        if stream is not None:
            _check_stream_of(kind, tcb, stream)
        elif kind is StreamPriority:
            raise ValueError("StreamPriority needs stream=, one of the outbound streams")
        if issubclass(kind, EventSubscription):
            own = None if tcb is None else tcb.subscription
            return own or socket.subscription  # type: ignore[return-value]
        try:
            return socket.raw.get_option(kind, id, address, stream)
        except OSError as error:
            raise self._error(error, kind.__name__, tcb, address) from None

    def set(self, option: Option, tcb: Tcb | None) -> None:
        """Set an option of an association, or of the socket if ``tcb`` is None."""
        socket = self._socket
        socket.check_not_released()
        check_option(option)
        kind = type(option)
        if kind.at_open_only:
            raise ValueError(f"{kind.__name__} is for opening: give it to open_... in options=")
        if tcb is not None and (
            kind.scope is Scope.NEW
            or (isinstance(option, _TO_COME) and socket.role is Role.CHANNEL)
        ):
            raise self._wrong_scope(kind)
        id = self._id(kind, tcb)
        if isinstance(option, StreamPriority):
            _check_stream_of(kind, tcb, option.stream)
        address = getattr(option, "address", None)
        if isinstance(option, OF_PATHS) and address is not None:
            _check_address_of(kind, id, address)
        if not kind.sparse and not is_complete(option):
            of = address if isinstance(option, OF_PATHS) else None
            option = merge(option, self.get(kind, tcb, of))
        try:
            self._put(option, tcb, id)
        except OSError as error:
            hint = _HINTS.get(kind, "")
            raise self._error(error, repr(option), tcb, address, hint) from None
        finally:
            socket.sender.forget_size()
        if isinstance(option, DefaultSendParams) and tcb is not None:
            tcb.default_send = None

    def _put(self, option: Option, tcb: Tcb | None, id: int | None) -> None:
        """Set an option that was looked at; ``id`` is what the stack knows its association by."""
        if isinstance(option, EventSubscription):
            self._socket.subscribe(option, tcb)
        else:
            self._socket.raw.set_option(option, id)

    def paths(self, tcb: Tcb) -> list[PeerAddressInfo]:
        """All paths of an association."""
        raw = self._socket.raw
        try:
            return [
                raw.get_option(PeerAddressInfo, tcb.id, address)
                for address in raw.peer_addresses(tcb.id)
            ]
        except OSError as error:
            raise self._error(error, "to list the paths", tcb, None) from None

    def statistics(self, tcb: Tcb) -> AssociationStatistics:
        """What has passed between an association and its peer."""
        try:
            return self._socket.raw.statistics(tcb.id)
        except OSError as error:
            raise self._error(error, "to tell the statistics", tcb, None) from None

    @contextlib.contextmanager
    def temporarily(
        self, options: Sequence[Option], addresses: Sequence[Address]
    ) -> Generator[Callable[[Tcb], None], None, None]:
        """Set options for as long as a block takes to start an association with these addresses.

        Yields a function that sets the rest: those that can only be set on the association itself.
        """
        check_options(options, at_connect=True)
        for option in options:
            _check_peer_address(option, addresses)
        later: list[Option] = [
            option for option in options if isinstance(option, _SET_ON_ASSOCIATION)
        ]
        first = [option for option in options if not isinstance(option, _SET_ON_ASSOCIATION)]
        ports = [option for option in options if isinstance(option, EncapsulationPort)]
        if any(option.address for option in ports):
            # The INIT leaves before there are paths, to the first of the addresses.
            general = [option for option in ports if not option.address]
            general = general or [self.get(EncapsulationPort, None)]
            by_host = {option.address[:2]: option for option in ports if option.address}
            for_init = by_host.get(addresses[0][:2], general[-1])
            first = [option for option in first if option not in ports]
            first.append(EncapsulationPort(for_init.port))
            later += [*general, *by_host.values()]

        def set_later(tcb: Tcb) -> None:
            for option in later:
                self.set(option, tcb)

        before = [self.get(type(option), None) for option in first]
        try:
            for option in first:
                self.set(option, None)
            yield set_later
        finally:
            for option in reversed(before):
                self.set(option, None)

    def handshake_timeout(self) -> float:
        """Seconds within which the stack has certainly not given up waiting for an INIT ACK."""
        raw = self._socket.raw
        init = raw.get_option(InitMsg, None)
        rto = raw.get_option(RtoInfo, None)
        assert init.max_attempts is not None
        assert rto.initial is not None
        longest = init.max_init_timeo or rto.max or rto.initial
        waits = [min(rto.initial * 2**n, longest) for n in range(init.max_attempts)]
        return sum(waits) / 1000 if waits else math.inf

    def linger_seconds(self) -> float:
        """Seconds for which closing may wait."""
        try:
            linger = self._socket.raw.get_option(Linger, None)
        except OSError:
            return math.inf  # the association has ended, and with it the stack's socket
        return linger.seconds if linger.enabled else math.inf

    def _id(self, kind: type[Option], tcb: Tcb | None, *, read: bool = False) -> int | None:
        """The association to name to the stack; an option that has no such scope is refused."""
        if tcb is None:
            if kind.scope is Scope.ONE_ASSOCIATION:
                which = "say which" if self._socket.role is Role.ENDPOINT else "a listener has none"
                raise ValueError(f"{kind.__name__} belongs to one association: {which}")
            return None
        if kind.negotiated or kind.scope in (Scope.ASSOCIATION, Scope.ONE_ASSOCIATION):
            return tcb.id
        if self._socket.role is Role.CHANNEL:
            return None  # the socket is the channel's own, so its options are the channel's too
        raise self._wrong_scope(kind, read=read)

    def _wrong_scope(self, kind: type[Option], *, read: bool = False) -> ValueError:
        """The error for an option that one association cannot have, which says what can."""
        scope = kind.scope
        if self._socket.role is Role.CHANNEL:
            scope = Scope.NEW
            where = "give it to open_association or to the listener, in options="
        elif read:
            where = "read it from the endpoint"
        elif scope is Scope.NEW:
            where = "give it to connect, in options=, or set it on the endpoint"
        else:
            where = "set it on the endpoint"
        return ValueError(f"{kind.__name__} holds for {scope.value}: {where}")

    def _error(
        self,
        error: OSError,
        what: str,
        tcb: Tcb | None,
        address: Address | None,
        hint: str = "",
    ) -> Exception:
        """The error to raise for an option that the stack refused."""
        if isinstance(error, OptionUnsupported):
            return error
        if tcb is not None:
            try:
                self._socket.raw.status(tcb.id)
            except OSError:
                self._socket.intake.read_ahead()  # to say how it ended, if that is within reach
                return tcb.lost_error()
        if error.errno == errno.EINVAL:
            if address:
                hint = f"is {address!r} an address of this association?"
            return ValueError(f"the stack refuses {what}: {hint}".removesuffix(": "))
        return OSError(error.errno, f"the stack refuses {what}: {error.strerror}")


def _check_address_of(
    kind: type[Option], association_id: int | None, address: Address | None
) -> None:
    if kind is not PeerAddressInfo and kind not in OF_PATHS:
        raise ValueError(f"{kind.__name__} takes no address=")
    if association_id is None:
        raise ValueError(f"{kind.__name__} for one address needs the association")
    if address is None:
        raise ValueError(f"{kind.__name__} needs address=, one of the peer's addresses")
    check_address(address, "address")


def _check_stream_of(kind: type[Option], tcb: Tcb | None, stream: int) -> None:
    streams = 0 if tcb is None else tcb.outbound_streams
    check_integer("stream", stream, 0, (streams or ANY_STREAM) - 1)
    if kind not in OF_STREAMS:
        raise ValueError(f"{kind.__name__} takes no stream=")


def _check_peer_address(option: Option, addresses: Sequence[Address]) -> None:
    """Refuse, before the INIT, an option that names an address we do not connect to."""
    if isinstance(option, (PrimaryAddress, *OF_PATHS)):
        address = option.address
        if address is not None and address[:2] not in [known[:2] for known in addresses]:
            raise ValueError(f"{option!r} names none of the peer's addresses, {addresses!r}")
