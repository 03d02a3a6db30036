"""SCTP for Trio programs.

A map of the package; each layer imports only from those below it, annotations aside:

    __main__      ``python -m trio_sctp``
    _cli          the command ``trio-sctp``
    testing       a simulated network, for tests in virtual time
    _endpoint     Endpoint: many associations, one queue
    _reconnect    reconnect: a client that comes back
    _listener     Listener and serve
    _association  Association (a handle), AssociationChannel (with a queue of its own)
    _inbox        Inbox: what a program receives from in active mode
    _views        a channel in other shapes: events, payloads, a stream of bytes
    _socket       one socket under Trio: its queue, credit, associations, closing
    _choice       which stack ``stack=`` means
    _userland     the userland stack: the engine on real sockets
    _kernel       the kernel stack: Linux SCTP sockets
    _stack        the seam: what a stack supplies, and the stack whose block a program is in
    _handlers     the program's functions that serve and reconnect run
    _attempts     the addresses of a name, tried side by side or in turn
    _interrupts   Ctrl-C waits for the next checkpoint
    _background   runs a task of the library's for the length of an ``async with`` block
    _ladder       message sequence charts of packets
    _engine       SCTP as a function of packets and time; no Trio
    _capture      packets into a pcapng file
    _addresses    host names and ports into addresses, and this machine's addresses
    _errors       errors and cause codes
    _timers       options with which failures are noticed soon enough
    _options      the options, the table of events, and the states that `Status` tells of
    _ppid         the registered payload protocol identifiers
    _log          the logger ``trio_sctp``
    _values       messages, events and enums, and what else crosses the seam
    _checks       whether arguments are what they have to be
    _frozen       frozen dataclasses that cost little to import
    _public       claim, which makes public names say that they are the package's

A folder lists its own modules in the same way, at the head of its ``__init__.py``.  `_socket` knows
stacks only by the seam, and stacks know nothing of it.  A message from the network passes through

    a carrier -> UserlandStack -> Engine -> EngineAssociation -> Arrivals -> UserlandSocket
    Linux -> KernelSocket

and from either, by `StackSocket.receive`, through

    Intake -> Queue -> Delivery (in active mode, against credit) -> the program
"""

from __future__ import annotations

from . import _engine, _public
from ._addresses import Hosts, Port
from ._association import Association, AssociationChannel, open_association
from ._choice import stacks
from ._endpoint import Endpoint, open_endpoint
from ._errors import (
    AssociationLost,
    ConnectFailed,
    OptionUnsupported,
    ReconfigurationFailed,
    StackUnavailable,
    error_string,
)
from ._inbox import Inbox
from ._listener import Listener, open_listener, serve
from ._options import (
    Abandoned,
    ActiveKey,
    AdaptationLayer,
    AsconfSupported,
    AsconfWithoutAuth,
    AssociationCount,
    AssocParams,
    AuthChunks,
    AuthKey,
    AuthSupported,
    AutoAsconf,
    AutoClose,
    BindToDevice,
    Context,
    DefaultSendParams,
    DelayedAck,
    DisableFragments,
    DontRoute,
    EcnSupported,
    EnableStreamReset,
    EncapsulationPort,
    EventSubscription,
    ExposePotentiallyFailed,
    FragmentInterleave,
    HmacAlgorithm,
    HmacAlgorithms,
    InitMsg,
    Interleaving,
    IPv6Only,
    Linger,
    LocalAuthChunks,
    MappedV4,
    MaxBurst,
    MaxSegment,
    NetworkNamespace,
    NoDelay,
    Option,
    PartialDeliveryPoint,
    PathState,
    PeerAddressFlags,
    PeerAddressInfo,
    PeerAddressParams,
    PeerAddressThresholds,
    PeerAuthChunks,
    PrimaryAddress,
    Priority,
    ProbeInterval,
    PrStatus,
    PrSupported,
    ReceiveBuffer,
    ReceiveTos,
    ReceiveTrafficClass,
    ReceiveTtl,
    ReconfigSupported,
    ReuseAddress,
    ReusePort,
    RtoInfo,
    Scheduler,
    SendBuffer,
    SetPeerPrimaryAddress,
    Status,
    StatusState,
    StreamPriority,
    StreamScheduler,
    Tos,
    TrafficClass,
)
from ._ppid import Ppid
from ._reconnect import Backoff, reconnect
from ._socket.credit import ONCE, Mode, Window
from ._socket.socket import SocketStatistics
from ._stack import Stack, StackReport
from ._timers import detection_time, timers
from ._userland.userland import Userland, UserlandStatistics, userland
from ._values import (
    AdaptationIndication,
    Address,
    AssociationChange,
    AssociationEnd,
    AssociationReset,
    AssociationState,
    AssociationStatistics,
    AuthenticationChange,
    AuthenticationState,
    Event,
    Message,
    PartialDeliveryAborted,
    Passive,
    PeerAddressChange,
    PeerAddressState,
    ReconfigurationFlags,
    Record,
    RemoteError,
    SenderDry,
    SendFailed,
    ShutdownReceived,
    StreamChange,
    StreamReset,
    UnknownEvent,
)

__version__ = "0.2.0"

# Whether the userland stack's engine runs compiled, or as pure Python.
__compiled__: bool = _engine.COMPILED

__all__ = (  # noqa: RUF022 - in groups, as a program meets them
    # One-to-one: an association with a socket of its own, and servers of such.
    "open_association",
    "AssociationChannel",
    "reconnect",
    "Backoff",
    "open_listener",
    "Listener",
    "serve",
    # One-to-many: many associations on one socket.
    "open_endpoint",
    "Endpoint",
    "Association",
    # What went over the network, and what a queue holds.
    "AssociationStatistics",
    "SocketStatistics",
    # Active mode: delivery against credit.
    "Inbox",
    "Mode",
    "ONCE",
    "Window",
    "Passive",
    # Messages, and how an association ended.
    "Message",
    "AssociationEnd",
    # Events.
    "Event",
    "Record",
    "AssociationChange",
    "AssociationState",
    "PeerAddressChange",
    "PeerAddressState",
    "RemoteError",
    "SendFailed",
    "ShutdownReceived",
    "AdaptationIndication",
    "PartialDeliveryAborted",
    "AuthenticationChange",
    "AuthenticationState",
    "SenderDry",
    "StreamReset",
    "AssociationReset",
    "StreamChange",
    "ReconfigurationFlags",
    "UnknownEvent",
    # Options of SCTP.
    "Option",
    "EventSubscription",
    "InitMsg",
    "AdaptationLayer",
    "AutoClose",
    "RtoInfo",
    "AssocParams",
    "PeerAddressParams",
    "PeerAddressFlags",
    "DefaultSendParams",
    "DelayedAck",
    "MaxSegment",
    "PrimaryAddress",
    "SetPeerPrimaryAddress",
    "EncapsulationPort",
    "EnableStreamReset",
    "Status",
    "StatusState",
    "PeerAddressInfo",
    "PathState",
    "PrStatus",
    "Abandoned",
    "NoDelay",
    "DisableFragments",
    "MappedV4",
    # Which stream's message is sent next, or a part of it.
    "Interleaving",
    "StreamScheduler",
    "Scheduler",
    "StreamPriority",
    "Context",
    "MaxBurst",
    "PartialDeliveryPoint",
    "FragmentInterleave",
    "AssociationCount",
    "ProbeInterval",
    "PeerAddressThresholds",
    "ExposePotentiallyFailed",
    "EcnSupported",
    "PrSupported",
    "ReconfigSupported",
    "AsconfSupported",
    "AsconfWithoutAuth",
    "AuthSupported",
    "AutoAsconf",
    # Authenticated chunks.
    "AuthChunks",
    "LocalAuthChunks",
    "PeerAuthChunks",
    "HmacAlgorithms",
    "HmacAlgorithm",
    "AuthKey",
    "ActiveKey",
    # How soon failures are noticed.
    "timers",
    "detection_time",
    # Options of sockets in general.
    "SendBuffer",
    "ReceiveBuffer",
    "Linger",
    "Tos",
    "TrafficClass",
    "Priority",
    "DontRoute",
    "BindToDevice",
    "ReuseAddress",
    "ReusePort",
    "IPv6Only",
    "NetworkNamespace",
    "ReceiveTos",
    "ReceiveTrafficClass",
    "ReceiveTtl",
    # Errors.
    "AssociationLost",
    "ConnectFailed",
    "StackUnavailable",
    "OptionUnsupported",
    "ReconfigurationFailed",
    "error_string",
    # Stacks.
    "stacks",
    "Stack",
    "StackReport",
    "userland",
    "Userland",
    "UserlandStatistics",
    # Hosts, ports and addresses; whose protocol a message is in.
    "Ppid",
    "Hosts",
    "Port",
    "Address",
)

_public.claim(__name__)
