"""reconnect: a client that comes back, as `serve` is a server that goes on."""

from __future__ import annotations

import dataclasses
import errno
import math
import random
import socket
from collections.abc import Awaitable, Callable, Sequence

import trio
from trio.lowlevel import enable_ki_protection

from ._addresses import Hosts, Port
from ._association import AssociationChannel, open_association
from ._attempts import DEFAULT_ATTEMPT_DELAY
from ._checks import check_number
from ._choice import choose_stack
from ._errors import OVERLOADED, ConnectFailed
from ._frozen import Frozen, frozen
from ._handlers import Judged, check_handler, run_handler
from ._options import Option
from ._socket.opening import DEFAULT_MAX_MESSAGE_SIZE
from ._stack import Stack
from ._values import AssociationEnd

# What may be over at the next attempt: the network is down, or this machine has run out.
_PASSING = (
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    *OVERLOADED,
)


@frozen(kw_only=True)
class Backoff(Frozen):
    """How long `reconnect` waits between two attempts, and for one.

    The delay grows from ``initial`` by ``factor`` to ``max``, and begins anew once an association
    was up for ``max`` seconds.

    Attributes:
      initial: Seconds before the second attempt, more than 0.
      factor: By what the delay is multiplied after each attempt, 1 or more.
      max: Seconds that it grows to, ``initial`` or more.
      jitter: The fraction, 0 to 1, by which each delay is made longer or shorter at random, so that
        the clients of a server that was down do not all come back at once.
      attempt: Seconds that an attempt may take, more than 0; ``math.inf`` leaves it to the stack.
    """

    initial: float = 0.5
    factor: float = 2
    max: float = 30
    jitter: float = 0.2
    attempt: float = 10

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check_number(f"Backoff.{field.name}", getattr(self, field.name))
        for name, value, right, text in (
            ("initial", self.initial, 0 < self.initial < math.inf, "more than 0"),
            ("factor", self.factor, 1 <= self.factor < math.inf, "1 or more"),
            ("max", self.max, self.initial <= self.max < math.inf, f"{self.initial} or more"),
            ("jitter", self.jitter, 0 <= self.jitter <= 1, "between 0 and 1"),
            ("attempt", self.attempt, self.attempt > 0, "more than 0"),
        ):
            if not right:
                raise ValueError(f"Backoff.{name} must be {text}, not {value}")


_DEFAULT_BACKOFF = Backoff()


@enable_ki_protection
async def reconnect(
    handler: Callable[[AssociationChannel, AssociationEnd | None], Awaitable[object]],
    hosts: Hosts,
    port: Port,
    *,
    backoff: Backoff = _DEFAULT_BACKOFF,
    local_hosts: Hosts = (),
    local_port: Port = 0,
    options: Sequence[Option] = (),
    attempt_delay: float = DEFAULT_ATTEMPT_DELAY,
    max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
    stack: Stack | str | None = None,
    task_status: trio.TaskStatus[AssociationChannel] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Connect to one peer, and again whenever the association has ended.

    Runs ``await handler(association, last)`` inside ``async with association``, one at a time.
    Any end that is not ours is followed by a new attempt, the peer's graceful shutdown included.
    Returns if the handler has returned while the association was up, or after the program's own
    ``eof``, ``aclose`` or ``abort``.

    Args:
      handler: An async function, called with an `AssociationChannel` and the `AssociationEnd` of
        the one before, None at first.  ``last.undelivered`` holds what was sent and not
        acknowledged, so that it can be sent again; it is for this handler to keep what it has not
        sent again when its own association ends.
      backoff: How long to wait between two attempts, and for one; see `Backoff`.
      task_status: ``await nursery.start(reconnect, handler, host, port)`` returns the first
        `AssociationChannel` when it is up.
      hosts, port, local_hosts, local_port, options, attempt_delay, max_message_size, stack: See
        `open_association`.

    Error handling: attempts that fail with `ConnectFailed`, with a host name that is not known, or
    with ``ENETUNREACH``, ``EHOSTUNREACH``, ``ENETDOWN``, ``EMFILE``, ``ENFILE``, ``ENOBUFS`` or
    ``ENOMEM`` are followed by others.  A handler that fails only with the `AssociationLost` of its
    own association has ended.  All else propagates, and a group with anything else in it; the
    association is aborted, with the reason ``handler failed``.

    Raises:
      TypeError: ``handler`` is no async function.
      OSError, ValueError, StackUnavailable: as `open_association`, unless it is one of the above.

    Cancellation: while it waits or connects, nothing is left; while the handler runs, the
    association is aborted.
    """
    check_handler(handler, "reconnect")
    if not isinstance(backoff, Backoff):
        raise TypeError(f"backoff must be a Backoff, not {backoff!r}")
    chosen = choose_stack(stack)
    last: AssociationEnd | None = None
    first = True
    delay = backoff.initial
    while True:
        association: AssociationChannel | None = None
        with trio.move_on_after(backoff.attempt):
            try:
                association = await open_association(
                    hosts,
                    port,
                    local_hosts=local_hosts,
                    local_port=local_port,
                    options=options,
                    attempt_delay=attempt_delay,
                    max_message_size=max_message_size,
                    stack=chosen,
                )
            except (ConnectFailed, socket.gaierror):
                pass
            except OSError as error:
                if error.errno not in _PASSING:
                    raise
        if association is not None:
            came_up = trio.current_time()
            async with association:
                if first:
                    task_status.started(association)
                    first = False
                ours = await _run(handler, association, last)
            if ours:
                return
            # A Linger may have cut the wait for the end short.
            last = association.ended or association._tcb.lost_error().end
            if trio.current_time() - came_up >= backoff.max:
                delay = backoff.initial
        await trio.sleep(delay * (1 + backoff.jitter * (2 * random.random() - 1)))
        delay = min(delay * backoff.factor, backoff.max)


async def _run(
    handler: Callable[[AssociationChannel, AssociationEnd | None], Awaitable[object]],
    association: AssociationChannel,
    last: AssociationEnd | None,
) -> bool:
    """Run the handler; returns whether the association's end is ours."""
    with Judged(association):
        await run_handler(handler, association, last)
        return association._tcb.closed_first or association.up
    return association._tcb.closed_first
