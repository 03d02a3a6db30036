"""SCTP as a function of packets and time (RFC 9260): no clock, no socket, no task.

    engine        an endpoint: which association a packet is of; set-up; out of the blue
    association   one association: its timers, paths, bundling, shutdown
    states        its states, and which may follow which
    outlet        what an association may do to the world: send packets, report to the program
    routes        whose a peer's address is; which of ours reaches it
    arrivals      what has arrived for programs, until they take it
    offer         what an INIT or INIT ACK says
    cookie        the state cookie
    inbound       receiving: order, reassembly, window, acknowledging
    outbound      sending: fragments, TSNs, acknowledgements, retransmission
    packet        a packet that is being filled
    path          one destination: round trips, congestion window, heartbeats
    path_mtu      how large its packets may be
    deadlines     whose timers expire next
    wire          packets and chunks as bytes and as values
    tsn           numbers that wrap around on the wire
    parameters    protocol parameters and limits

Who drives it calls `Engine.receive_packet` and `Engine.handle_timeout`, and sends what
`Engine.packets_to_send` gives.  Nothing that a peer sends makes it raise.
"""

from __future__ import annotations

from .engine import Engine as Engine
from .outlet import Outgoing as Outgoing
from .parameters import Parameters as Parameters
from .path import Route as Route
