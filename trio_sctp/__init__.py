"""SCTP for Trio programs.

A map of the package; each layer imports only from those below it:

    testing       a simulated network, for tests in virtual time
    _endpoint     Endpoint: many associations, one queue
    _listener     Listener and serve
    _association  Association (a handle), AssociationChannel (with a queue of its own)
    _inbox        active mode: delivery against credit
    _choice       which stack ``stack=`` means
    _userland     the userland stack: the engine on real sockets
    _socket       one socket under Trio: its queue, its associations, closing
    _kernel       the kernel stack: Linux SCTP sockets
    _stack        the seam: what a stack supplies
    _background   a task of ours beside a block of the program's
    _engine       SCTP as a function of packets and time; no Trio
    _addresses    host names and ports into addresses
    _errors       errors and cause codes
    _options      the socket options
    _values       messages, events and enums, and what else crosses the seam

A folder lists its own modules in the same way, at the head of its ``__init__.py``.
"""

from __future__ import annotations

from ._association import Association as Association
from ._association import AssociationChannel as AssociationChannel
from ._association import open_association as open_association
from ._choice import stacks as stacks
from ._endpoint import Endpoint as Endpoint
from ._endpoint import open_endpoint as open_endpoint
from ._errors import AssociationLost as AssociationLost
from ._errors import ConnectFailed as ConnectFailed
from ._errors import OptionUnsupported as OptionUnsupported
from ._errors import StackUnavailable as StackUnavailable
from ._errors import error_string as error_string
from ._inbox import ONCE as ONCE
from ._inbox import Inbox as Inbox
from ._inbox import Window as Window
from ._listener import Listener as Listener
from ._listener import open_listener as open_listener
from ._listener import serve as serve
from ._options import AdaptationLayer as AdaptationLayer
from ._options import AssocParams as AssocParams
from ._options import AutoClose as AutoClose
from ._options import BindToDevice as BindToDevice
from ._options import DefaultSendParams as DefaultSendParams
from ._options import DelayedAck as DelayedAck
from ._options import DisableFragments as DisableFragments
from ._options import DontRoute as DontRoute
from ._options import EventSubscription as EventSubscription
from ._options import InitMsg as InitMsg
from ._options import IPv6Only as IPv6Only
from ._options import Linger as Linger
from ._options import MappedV4 as MappedV4
from ._options import MaxSegment as MaxSegment
from ._options import NetworkNamespace as NetworkNamespace
from ._options import NoDelay as NoDelay
from ._options import Option as Option
from ._options import PathState as PathState
from ._options import PeerAddressFlags as PeerAddressFlags
from ._options import PeerAddressInfo as PeerAddressInfo
from ._options import PeerAddressParams as PeerAddressParams
from ._options import PrimaryAddress as PrimaryAddress
from ._options import Priority as Priority
from ._options import ReceiveBuffer as ReceiveBuffer
from ._options import ReceiveTos as ReceiveTos
from ._options import ReceiveTrafficClass as ReceiveTrafficClass
from ._options import ReceiveTtl as ReceiveTtl
from ._options import ReuseAddress as ReuseAddress
from ._options import ReusePort as ReusePort
from ._options import RtoInfo as RtoInfo
from ._options import SendBuffer as SendBuffer
from ._options import SetPeerPrimaryAddress as SetPeerPrimaryAddress
from ._options import Status as Status
from ._options import StatusState as StatusState
from ._options import Tos as Tos
from ._options import TrafficClass as TrafficClass
from ._socket.socket import SocketStatistics as SocketStatistics
from ._stack import StackReport as StackReport
from ._userland.userland import Userland as Userland
from ._userland.userland import UserlandStatistics as UserlandStatistics
from ._userland.userland import userland as userland
from ._values import AdaptationIndication as AdaptationIndication
from ._values import AssociationChange as AssociationChange
from ._values import AssociationEnd as AssociationEnd
from ._values import AssociationReset as AssociationReset
from ._values import AssociationState as AssociationState
from ._values import AuthenticationChange as AuthenticationChange
from ._values import Event as Event
from ._values import Message as Message
from ._values import PartialDeliveryAborted as PartialDeliveryAborted
from ._values import Passive as Passive
from ._values import PeerAddressChange as PeerAddressChange
from ._values import PeerAddressState as PeerAddressState
from ._values import RemoteError as RemoteError
from ._values import SenderDry as SenderDry
from ._values import SendFailed as SendFailed
from ._values import ShutdownReceived as ShutdownReceived
from ._values import StreamChange as StreamChange
from ._values import StreamReset as StreamReset
from ._values import UnknownEvent as UnknownEvent

__version__ = "0.1.0"
