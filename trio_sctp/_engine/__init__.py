"""SCTP as a function of packets and time (RFC 9260): no clock, no socket, no task.

    engine         an endpoint: which association a packet is of, before its chunks are read
    handshake      what answers an INIT, and what a COOKIE ECHO comes to
    tags           our verification tags: whose each is, and which are used up
    association    one association: its states, and what each chunk means to it; restart, shutdown
    initiation     the active half of its handshake: INIT, COOKIE ECHO, and how often
    address_changes  addresses of both ends that are added and deleted, once the other end agrees
    heartbeats     what is sent to see whether its addresses work, and whether the peer is there
    reconfiguration  streams that begin again, or are added: requests of both ends
    bundling       what leaves when, and in which packet
    recovery       what follows from a SACK, or from none: windows, T3-rtx, probes of a shut window
    acknowledging  when a SACK of ours leaves, and what it says
    states         its states, and which may follow which
    asconf         which changes of addresses either end asks for, and how they are answered
    outlet         what an endpoint's associations share: the way to the network and to the program
    addresses      our addresses, and which association a peer's address belongs to
    offer          the parameters of an INIT or INIT ACK: the peer's, read once, and ours
    cookie         the state cookie: sealed, and opened
    extensions     what goes beyond RFC 9260, and is used if both ends offer it
    authentication  which chunks need an AUTH chunk before them, and whether it is right
    interleaved    receiving where messages are interleaved: order and reassembly
    inbound        receiving: order, reassembly, window
    arrivals       messages and events that have arrived for programs, until they take them
    intervals      which TSNs have arrived although others before them have not
    parts          user data as it is kept: the bytes of DATA chunks
    outbound       sending: fragments, TSNs, what a SACK of the peer acknowledges
    schedulers     which stream's message is sent next
    abandoned      how many messages were given up, by stream and by policy
    paths          the peer's addresses: which to use, which have failed, which to probe
    path           one destination: round trips, congestion window, heartbeats
    path_mtu       how large its packets may be
    timers         the timers of an association
    deadlines      whose timers expire next
    account        the memory that peers make a stack hold, and who gives way when it is full
    parameters     protocol parameters (section 16) and limits; those of an INIT are in offer
    keys           shared keys, which are secrets, and which of them is used
    wire           packets and chunks as bytes and as values
    tsn            numbers that wrap around on the wire

The program that drives it calls `Engine.receive_packet` and `Engine.handle_timeout`, and sends what
`Engine.packets_to_send` gives.  Nothing that a peer sends makes it raise: functions that read what
was written by anybody have names that end in ``_untrusted``.
"""

from __future__ import annotations

import os
from typing import Final

# Compiled modules, if there are any, stand in a folder of their own and are imported under the same
# names.  One that was compiled for another Python is not found there.
if os.environ.get("TRIO_SCTP_PURE", "0") in ("", "0"):
    __path__.insert(0, os.path.join(os.path.dirname(__file__), "compiled"))

from . import engine
from .engine import Engine as Engine
from .outlet import Outgoing as Outgoing
from .parameters import Parameters as Parameters
from .path import Route as Route

COMPILED: Final = not engine.__file__.endswith(".py")
"""Whether the compiled form runs."""
