"""Protocol parameters (RFC 9260 section 16) and limits, each with the reason for its default."""

from __future__ import annotations

import dataclasses

from .._options import Scheduler
from .keys import EMPTY_KEY, SharedKeys
from .wire import LEAST_RWND


@dataclasses.dataclass(slots=True)
class Parameters:
    """The parameters that an association is set up with.  Times are in seconds, sizes in bytes."""

    # Section 16.
    rto_initial: float = 1.0
    rto_min: float = 1.0
    rto_max: float = 60.0
    max_burst: int = 4  # packets of new data on one occasion to send; 0 for no bound
    cookie_life: float = 60.0
    association_max_retrans: int = 10
    path_max_retrans: int = 5
    max_init_retrans: int = 8
    max_init_timeout: float = 0.0  # 0 stands for RTO.Max
    heartbeat_interval: float = 30.0
    heartbeats: bool = True
    heartbeat_burst: int = 1  # HB.Max.Burst: unconfirmed addresses that are probed in one RTO
    sack_delay: float = 0.2
    sack_frequency: int = 2

    # RFC 7829.
    pf_threshold: int = 0  # PotentiallyFailed.Max.Retrans
    potentially_failed: bool = True
    primary_switchover: int = 65535  # Primary.Switchover.Max.Retrans; the largest means never
    expose_potentially_failed: bool = True

    # Numbers of streams: what Linux asks for, and what it allows.
    outbound_streams: int = 10
    inbound_streams: int = 65535

    # A size that usually passes tunnels: an IPv6 link has to pass 1280 (RFC 8200 section 5).
    # Whoever sets this or the largest one subtracts the IP and UDP headers before the SCTP packet.
    path_mtu: int = 1280
    smallest_path_mtu: int = 512  # to fall back to on IPv4 paths that do not pass that
    path_mtu_discovery: bool = False
    probe_interval: float = 20.0  # of which 30 pass between two searches (RFC 8899, 5.1.1)
    largest_path_mtu: int = 1500  # the largest that is looked for: Ethernet's

    receive_window: int = 2**20
    # What is promised of it before it is known how large the messages are.  Small ones take more
    # room than that; but Linux and FreeBSD begin with it as their slow-start threshold (7.2.1), and
    # a smaller one slows them for seconds: 16 KiB to 0.07 of their speed at 100 ms.
    first_window: int = 2**20
    send_buffer: int = 2**20
    send_buffer_messages: int = 16384

    max_peer_addresses: int = 16  # a peer could make us probe this many hosts of others
    max_cookie_size: int = 2048  # bytes of its own that an INIT can make us send back
    max_duplicates: int = 64  # TSNs that one SACK reports
    max_error_bytes: int = 2**13  # of errors that the peer reported and nobody has taken
    max_associations: int = 65536  # of an endpoint; checked when a peer wants one more
    max_replies_per_second: int = 100  # to packets out of the blue (8.4); ICMP has such limits

    peer_udp_port: int = 0  # of peers to connect to (RFC 6951); 0 without UDP
    tos: int = 0  # type of service of the packets that leave

    no_delay: bool = True
    disable_fragments: bool = False
    max_segment: int = 0
    autoclose: float = 0.0
    adaptation_indication: int | None = None
    partial_reliability: bool = True
    ecn: bool = False  # explicit congestion notification
    scheduler: Scheduler = Scheduler.FCFS
    interleaving: bool = False
    receive_context: int = 0  # of messages; what the program knows the association by
    partial_delivery_point: int = 0  # bytes; 0 where only a full window has parts delivered

    # RFC 5061: addresses may change while an association is up, if what says so is authenticated.
    asconf: bool = True
    asconf_without_auth: bool = False

    # RFC 4895.
    authentication: bool = True
    auth_chunks: tuple[int, ...] = ()
    hmac_algorithms: tuple[int, ...] = (3, 1)  # SHA-256 before SHA-1, which every peer knows
    shared_keys: SharedKeys = EMPTY_KEY
    report_keys: bool = False  # whether the program wants AuthenticationChange events
    reconfiguration: bool = True  # RFC 6525
    grants: int = 0  # which requests of the peer are granted, see `reconfiguration`

    def copy(self) -> Parameters:
        """Return parameters of its own for an association, which can change."""
        # `dataclasses.replace` takes four times as long.
        return Parameters(*[getattr(self, name) for name in _NAMES])

    @property
    def first_promise(self) -> int:
        """Bytes that a peer may send before anything is known of how large its messages are."""
        return max(min(self.first_window, self.receive_window), LEAST_RWND)

    def rto(self, value: float) -> float:
        """Return an RTO within RTO.Min and RTO.Max (section 6.3.1, C6 and C7)."""
        return min(max(value, self.rto_min), self.rto_max)


_NAMES = [field.name for field in dataclasses.fields(Parameters)]
