"""A simulated network, for tests of programs that speak SCTP.

`Network` carries packets between IP addresses over links that delay, lose, reorder, duplicate and
corrupt them.  It knows no clock: each call is told the time.  So a test of minutes takes
milliseconds, and the same seed gives the same run.  `simulated_network` drives one by Trio's clock,
with hosts on which programs open their sockets; `association_pair` is the shortest way to both ends
of an association.

    fixtures  for pytest: fixtures, and the packets of a test that fails
    _hosts    hosts on which programs open their sockets, driven by Trio's clock
    _ladder   the last packets of a network, and a drawing of them
    _network  links, and the packets on them

The packets of a capture are for Wireshark and its kin.
"""

from __future__ import annotations

from .. import _public
from .._capture import Capture
from ._hosts import SimulatedHost, SimulatedNetwork, association_pair, simulated_network
from ._ladder import Ladder
from ._network import Delivery, Link, LinkStatistics, Network, RoutedPacket

__all__ = (  # noqa: RUF022 - in groups, as a test meets them
    # Under Trio's clock: programs on simulated hosts.
    "association_pair",
    "simulated_network",
    "SimulatedNetwork",
    "SimulatedHost",
    "Ladder",
    # The network alone, which is told the time.
    "Network",
    "Link",
    "LinkStatistics",
    "RoutedPacket",
    "Delivery",
    "Capture",
)

_public.claim(__name__)
