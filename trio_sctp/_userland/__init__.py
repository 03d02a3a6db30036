"""The userland stack's engine: SCTP as a function of packets and time (RFC 9260).

    engine.py       Engine: an endpoint; which association a packet is of; set-up; out of the blue
    association.py  the control block: states, timers, paths, shutdown
    outbound.py     sending: fragments, TSNs, acknowledgements, retransmission
    inbound.py      receiving: order, reassembly, window, acknowledging
    path.py         one destination: round trips, congestion window, heartbeats
    path_mtu.py     how large its packets may be
    cookie.py       the state cookie
    deadlines.py    whose timers expire next
    wire.py         packets and chunks as bytes and as values
    parameters.py   protocol parameters and limits

No clock, no socket, no task and no exception for what a peer sends.  Who drives it calls
`Engine.receive_packet` and `Engine.handle_timeout`, and sends what `Engine.packets_to_send` gives.
"""

from __future__ import annotations

from .engine import Engine as Engine
from .engine import Outgoing as Outgoing
from .parameters import Parameters as Parameters
from .path import Route as Route
