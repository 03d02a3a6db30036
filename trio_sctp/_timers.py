"""How soon a failure of the network, or of the peer, is noticed (RFC 9260 sections 8.1 to 8.3)."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from ._checks import check_number
from ._options import (
    AssocParams,
    Option,
    PeerAddressFlags,
    PeerAddressParams,
    RtoInfo,
    check_options,
)

# RFC 9260 section 16, times in milliseconds.
_RTO_INITIAL, _RTO_MIN, _RTO_MAX = 1000, 1000, 60_000
_HB_INTERVAL = 30_000
_PATH_MAX_RETRANS, _ASSOCIATION_MAX_RETRANS = 5, 10

_LEAST_RTO = 300
"""Milliseconds that an acknowledgement may take on a good path: SACKs are delayed by 200."""

_LEAST_ROUND = _LEAST_RTO * 3 // 2 + 50
"""Milliseconds of the shortest round of heartbeats, 50 of which are its interval."""

_LEAST_DETECT = 3 * _LEAST_ROUND / 1000


def _round(hbinterval: float, rto_max: float) -> float:
    """The longest time from one heartbeat on an idle path to the next: half of the RTO is jitter
    (section 8.3)."""
    return hbinterval + 1.5 * rto_max


def timers(detect: float = 2.0) -> list[Option]:
    """Choose options with which failures are noticed within a number of seconds::

        await trio_sctp.open_association(hosts, 2905, options=trio_sctp.timers(detect=2.0))

    A path that is cut is reported by then (ADDR_UNREACHABLE), and a peer that falls silent is lost
    by then (COMM_LOST), also if nothing is sent: `detection_time` says when at the latest.  Each
    end notices for itself, by its own options, which may be set on an endpoint or on an
    association.  The values are RFC 9260's where these are quick enough.  Linux rounds them up to
    its jiffies.

    The round trip has to stay below ``rto.max``, or a path that is only slow counts as failed: that
    is 300 milliseconds at least, and a fourteenth of ``detect`` from 4.2 seconds on.  The fewer
    seconds there are, the fewer losses in a row are taken for a failure: two for less than 2
    seconds, three for less than 2.5, six from 3.5 on.  The peer's losses are counted over all paths
    until one of them answers.  So with less than 3 seconds a cut path can cost the association, if
    nothing is sent on the other paths but heartbeats.  Connecting gives up sooner, too.

    Args:
      detect: Seconds, 1.5 or more.  With less, an acknowledgement that the peer may delay would
        count as lost.

    Returns:
      `RtoInfo`, `PeerAddressParams` and `AssocParams`.

    Raises:
      ValueError: ``detect`` is less than 1.5.

    Source: RFC 9260 sections 8.1 to 8.3 and 16.
    """
    check_number("detect", detect, "a number of seconds")
    if not detect >= _LEAST_DETECT:
        raise ValueError(
            f"detect must be {_LEAST_DETECT} seconds or more, not {detect}: acknowledgements may "
            "be delayed, so a timeout below 300 milliseconds is no sign of a failure"
        )
    slowest, _ = detection_time([])
    numerator, denominator = min(detect, slowest).as_integer_ratio()
    total = numerator * 1000 // denominator  # exact: a product of floats could be rounded up
    # The peer gets as many retransmissions as a path: more than all paths together have would keep
    # an association alive that no path is left for (section 8.2).
    retransmissions = min(_PATH_MAX_RETRANS, total // _LEAST_ROUND - 2)
    one_round = total // (retransmissions + 2)
    # As in RFC 9260, half of the round's timeout is left for the interval, if there is so much.
    rto = max(_LEAST_RTO, one_round // 2)
    interval = int(one_round - 1.5 * rto)
    return [
        RtoInfo(initial=min(rto, _RTO_INITIAL), min=min(rto, _RTO_MIN), max=rto),
        PeerAddressParams(
            hbinterval=interval, pathmaxrxt=retransmissions, flags=PeerAddressFlags.HB_ENABLE
        ),
        AssocParams(asocmaxrxt=retransmissions),
    ]


def detection_time(options: Sequence[Option]) -> tuple[float, float]:
    """Compute when failures are noticed at the latest, if nothing but heartbeats is sent.

    A path is reported within (pathmaxrxt + 2) (hbinterval + 1.5 rto.max).  The peer is lost within
    the same with asocmaxrxt, if it has one path; with several it is sooner.

    Args:
      options: For all paths.  A field that none of them gives has RFC 9260's value, also where the
        kernel's settings (``net.sctp``) say otherwise.  Of several values for one field the last
        counts.

    Returns:
      Seconds until a path, and until the peer, is given up; infinite without heartbeats.

    Raises:
      ValueError: one of the options is for one path.

    Source: RFC 9260 sections 8.1 to 8.3 and 16.
    """
    check_options(options)
    rto_max, interval = _RTO_MAX, _HB_INTERVAL
    path, peer = _PATH_MAX_RETRANS, _ASSOCIATION_MAX_RETRANS
    heartbeats = True
    for option in options:
        if isinstance(option, RtoInfo):
            rto_max = rto_max if option.max is None else option.max
        elif isinstance(option, AssocParams):
            peer = option.asocmaxrxt or peer
        elif isinstance(option, PeerAddressParams):
            if option.address is not None:
                raise ValueError(f"the options must be for all paths, not {option!r}")
            path = option.pathmaxrxt or path
            interval = interval if option.hbinterval is None else option.hbinterval
            flags = option.flags or PeerAddressFlags(0)
            if flags & (PeerAddressFlags.HB_ENABLE | PeerAddressFlags.HB_DISABLE):
                heartbeats = bool(flags & PeerAddressFlags.HB_ENABLE)
    if not heartbeats:
        return inf, inf
    one_round = _round(interval, rto_max)
    return (path + 2) * one_round / 1000, (peer + 2) * one_round / 1000
