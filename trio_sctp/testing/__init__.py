"""A simulated network, for tests of programs that speak SCTP.

`Network` carries packets between IP addresses over links that delay, lose, reorder, duplicate and
corrupt them.  It knows no clock: each call is told the time, so a test of minutes takes
milliseconds, and the same seed gives the same test.

    fixtures  for pytest
    _hosts    hosts on which programs open their sockets, driven by Trio's clock
    _network  links, and the packets on them
    _capture  packets into a pcapng file

`simulated_network` drives one by Trio's clock, with hosts on which programs open their sockets;
`association_pair` is the shortest way to two ends of an association.
"""

from __future__ import annotations

from ._capture import Capture as Capture
from ._hosts import SimulatedHost as SimulatedHost
from ._hosts import SimulatedNetwork as SimulatedNetwork
from ._hosts import association_pair as association_pair
from ._hosts import simulated_network as simulated_network
from ._network import Delivery as Delivery
from ._network import Link as Link
from ._network import LinkStatistics as LinkStatistics
from ._network import Network as Network
from ._network import RoutedPacket as RoutedPacket
