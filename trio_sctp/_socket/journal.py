"""What the log says of associations: that they came up, ended, moved, and what was dropped."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import trio

from .._errors import why_it_ended
from .._log import Drops, logger, shown, transport, whose
from .._values import (
    Address,
    AssociationEnd,
    PeerAddressChange,
    PeerAddressState,
)
from .tcb import Phase, Tcb

_drops: trio.lowlevel.RunVar[Drops] = trio.lowlevel.RunVar("trio_sctp drops")

_PATH_NEWS = {
    PeerAddressState.ADDR_AVAILABLE: "is available again",
    PeerAddressState.ADDR_UNREACHABLE: "is unreachable",
    PeerAddressState.ADDR_REMOVED: "was removed",
    PeerAddressState.ADDR_ADDED: "was added",
    PeerAddressState.ADDR_MADE_PRIM: "is primary now",
    PeerAddressState.ADDR_CONFIRMED: "is confirmed",
    PeerAddressState.ADDR_POTENTIALLY_FAILED: "has potentially failed",
}

_BY_ASCONF = (
    PeerAddressState.ADDR_ADDED,
    PeerAddressState.ADDR_REMOVED,
    PeerAddressState.ADDR_MADE_PRIM,
)
"""What a peer can bring about as often as it likes."""


def connecting(tcb: Tcb, addresses: Sequence[Address]) -> None:
    """An INIT is on its way."""
    if logger.isEnabledFor(logging.DEBUG):
        peers = ", ".join(map(transport, addresses))
        logger.debug("association %d: connecting to %s", tcb.id, peers)


def given_up(tcb: Tcb) -> None:
    """Nobody wants an association any more that was being set up."""
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("%s: the attempt to connect was given up here", name(tcb))


def up(tcb: Tcb, *, restarted: bool) -> None:
    """An association has come up, or its peer has started anew."""
    if logger.isEnabledFor(logging.INFO):
        logger.info(
            "%s %s; streams: %d out, %d in",
            name(tcb),
            "was restarted by the peer" if restarted else "is up",
            tcb.outbound_streams,
            tcb.inbound_streams,
        )


def ended(tcb: Tcb, end: AssociationEnd) -> None:
    """An association has ended, which the tcb does not say yet."""
    was_up = tcb.phase is Phase.UP
    level = logging.INFO
    if not was_up and tcb.closed_by_us:
        level = logging.DEBUG  # an attempt, which the program knows to have given up
    if not logger.isEnabledFor(level):
        return
    if end.graceful:
        by = "here" if tcb.closed_by_us else "by the peer"
        text = f"ended: it was shut down {by}"
    else:
        silent = "the peer did not answer, or refused without a reason"
        why = why_it_ended(end, "it was", silent, shown, by_us=tcb.our_abort is not None)
        text = f"{'was lost' if was_up else 'could not be set up'}: {why}"
    if end.undelivered:
        text += f"; messages not delivered: {len(end.undelivered)}"
    logger.log(level, "%s %s", name(tcb), text)


def left(tcb: Tcb, *, abort: bool) -> None:
    """The socket of an association was closed, and nothing will be heard of it any more."""
    if tcb.phase is Phase.HALF_OPEN:
        given_up(tcb)
    elif not logger.isEnabledFor(logging.INFO):
        pass
    elif abort:
        logger.info("%s was lost: it was aborted here, as its socket was closed", name(tcb))
    else:
        logger.info("%s ends: its socket was closed while it shut down", name(tcb))


def path_changed(tcb: Tcb, change: PeerAddressChange) -> None:
    """A path of an association is not what it was."""
    # Each association with several addresses begins with that.
    confirmed = change.state is PeerAddressState.ADDR_CONFIRMED
    level = logging.INFO if confirmed else logging.WARNING
    if not logger.isEnabledFor(level):
        return
    if isinstance(change.state, PeerAddressState):
        news = _PATH_NEWS[change.state]
        if change.state in _BY_ASCONF:
            warn_seldom(news, tcb, "path to %s %s", transport(change.address), news)
            return
    else:
        news = f"has the state {change.state}"
    error = f" (error {change.error})" if change.error else ""
    logger.log(level, "%s: path to %s %s%s", name(tcb), transport(change.address), news, error)


def warn_seldom(kind: str, tcb: Tcb, text: str, *args: object) -> None:
    """Warn of what a peer can bring about as often as it likes; lines of one kind are few."""
    try:
        drops = _drops.get()
    except LookupError:
        drops = Drops()
        _drops.set(drops)
    drops.warn(kind, trio.current_time(), f"%s: {text}", name(tcb), *args)


def name(tcb: Tcb) -> str:
    """The association as a line names it."""
    return whose(tcb.id, tcb.peer)
