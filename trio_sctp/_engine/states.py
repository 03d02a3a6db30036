"""The states of an association (RFC 9260 section 4), and which may follow which.

    CLOSED ── connect ──> COOKIE_WAIT ── INIT ACK ──> COOKIE_ECHOED ── COOKIE ACK ──> ESTABLISHED
       └──────────────────────────────── COOKIE ECHO ─────────────────────────────────────^

    ESTABLISHED ── shutdown ──> SHUTDOWN_PENDING ── all acknowledged ──> SHUTDOWN_SENT
         └──────── SHUTDOWN ──> SHUTDOWN_RECEIVED ── all acknowledged ──> SHUTDOWN_ACK_SENT

Every change of state goes through `EngineAssociation._enter`, which holds it against this table.
"""

from __future__ import annotations

from typing import Final

from .._options import StatusState

_S = StatusState

HALF_OPEN: Final = frozenset({_S.COOKIE_WAIT, _S.COOKIE_ECHOED})
SHUTTING_DOWN: Final = frozenset(
    {_S.SHUTDOWN_PENDING, _S.SHUTDOWN_SENT, _S.SHUTDOWN_RECEIVED, _S.SHUTDOWN_ACK_SENT}
)
DATA_MAY_ARRIVE: Final = frozenset({_S.ESTABLISHED, _S.SHUTDOWN_PENDING, _S.SHUTDOWN_SENT})
DATA_MAY_LEAVE: Final = frozenset({_S.ESTABLISHED, _S.SHUTDOWN_PENDING, _S.SHUTDOWN_RECEIVED})
# Whoever has said that it shuts down takes no request (RFC 6525 does not say so; Linux does not).
MAY_RECONFIGURE: Final = frozenset({_S.ESTABLISHED, _S.SHUTDOWN_PENDING})
ADDRESSES_MAY_CHANGE: Final = frozenset(
    {_S.ESTABLISHED, _S.SHUTDOWN_PENDING, _S.SHUTDOWN_RECEIVED, _S.SHUTDOWN_SENT}
)
"""Where ASCONF and ASCONF ACK may leave and arrive (RFC 5061 section 5.1.1, C4)."""

# A restart (section 5.2.4, action A) leads from anywhere but SHUTDOWN_ACK_SENT to ESTABLISHED.
TRANSITIONS: Final[dict[StatusState, frozenset[StatusState]]] = {
    _S.CLOSED: frozenset({_S.COOKIE_WAIT, _S.ESTABLISHED}),
    # The INITs of both sides may cross: the peer's COOKIE ECHO then overtakes (5.2.4, action B).
    _S.COOKIE_WAIT: frozenset({_S.COOKIE_ECHOED, _S.ESTABLISHED, _S.CLOSED}),
    # A stale cookie is asked for anew (5.2.6).
    _S.COOKIE_ECHOED: frozenset({_S.ESTABLISHED, _S.COOKIE_WAIT, _S.CLOSED}),
    _S.ESTABLISHED: frozenset(
        {_S.SHUTDOWN_PENDING, _S.SHUTDOWN_RECEIVED, _S.ESTABLISHED, _S.CLOSED}
    ),
    # Both sides may shut down at once (9.2).
    _S.SHUTDOWN_PENDING: frozenset(
        {_S.SHUTDOWN_SENT, _S.SHUTDOWN_RECEIVED, _S.ESTABLISHED, _S.CLOSED}
    ),
    _S.SHUTDOWN_SENT: frozenset({_S.SHUTDOWN_ACK_SENT, _S.ESTABLISHED, _S.CLOSED}),
    _S.SHUTDOWN_RECEIVED: frozenset({_S.SHUTDOWN_ACK_SENT, _S.ESTABLISHED, _S.CLOSED}),
    _S.SHUTDOWN_ACK_SENT: frozenset({_S.CLOSED}),
}
"""From each state, those that may come next; ABORT leads from each to CLOSED (section 9.1)."""
