"""How a socket comes to be: opened by a stack, or made by somebody else and taken over."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .._checks import check_integer
from .._errors import cannot_bind
from .._options import EVENTS, Option, check_options
from .._stack import Stack
from .._values import Address, AssociationState
from .queue import Role
from .socket import Socket
from .tcb import Phase, Tcb

if TYPE_CHECKING:
    from .._association import Association

DEFAULT_MAX_MESSAGE_SIZE = 2**24
"""16 MiB: above any signalling message, below what would hurt a server with many peers."""


def open_socket(
    stack: Stack,
    local_addresses: Sequence[Address],
    port: int,
    *,
    role: Role,
    ipv6: bool,
    options: Sequence[Option],
    max_message_size: int,
    make_handle: Callable[[Tcb], Association],
) -> Socket:
    """Open a socket of a stack and set its options."""
    check_options(options)
    at_open = [option for option in options if option.at_open_only]
    try:
        raw = stack.open(local_addresses, port, ipv6=ipv6, options=at_open)
    except OSError as error:
        if error.errno == errno.EINVAL and at_open:
            raise ValueError(f"the stack refuses one of {at_open!r}") from None
        hosts = [address[0] for address in local_addresses]
        raise cannot_bind(error, hosts, port, stack.own_addresses) from None
    socket = Socket(stack, raw, role, max_message_size, make_handle)
    try:
        socket.settings.configure(options)
    except BaseException:
        socket.release(abort=True)
        raise
    return socket


def adopt(socket: Socket) -> None:
    """Take over the options and the associations of a socket that somebody else made.

    It keeps what it was set to, except that no socket is born with a subscription: one that has
    none gets the default.
    """
    raw = socket.raw
    found = raw.subscription(None)
    if any(getattr(found, row.field) for row in EVENTS):
        own = {id: raw.subscription(id) for id in raw.association_ids()}
        socket.subscribe(found, None)
    else:
        own = {}
        socket.subscribe(socket.subscription, None)
    socket.adopt_associations()
    for id, subscription in own.items():
        if subscription != found and id in socket.tcbs:
            socket.subscribe(subscription, socket.tcbs[id])


def adopt_ended(socket: Socket) -> Tcb | None:
    """The association that a socket carried before it was adopted, if it left records."""
    while socket.intake.read():
        pass
    store = socket.queue.store
    if not store:
        return None
    tcb = Tcb(store[0].association_id, socket)
    tcb.phase = Phase.UP  # as it was before we saw it
    lost = socket.raw.pending_error()
    state = AssociationState.COMM_LOST if lost else AssociationState.SHUTDOWN_COMP
    socket.end(tcb, state, 0, b"")
    return tcb


def check_max_message_size(size: int) -> None:
    """Refuse a bound that no message could keep."""
    check_integer("max_message_size", size, 1)
