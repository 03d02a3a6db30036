"""What an INIT or INIT ACK says (RFC 9260 sections 3.3.2, 3.3.3): the peer's, read once, and ours.

Both ends of the handshake use it: the one that answers an INIT, and the one that its INIT ACK
answers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from . import wire
from .authentication import AuthOffer, make_offer, read_offer, violation_untrusted
from .extensions import ASCONF_TYPES, Extension, is_unsafe, named_untrusted, parameters_for
from .parameters import Parameters
from .wire import ParameterType, Tlv

_OF_AUTHENTICATION: Final = (
    ParameterType.RANDOM,
    ParameterType.CHUNK_LIST,
    ParameterType.HMAC_ALGORITHMS,
)


class Offer:
    """One end's terms for an association.

    Attributes:
      tag, tsn, rwnd: Its verification tag, first TSN, and receiver window in bytes.
      outbound_streams, inbound_streams: As it counts them: what it sends on, and what it allows.
      addresses: The addresses that it lists, each once, in order; no more than an association may
        have, since a packet can list thousands.
      extensions: Those that it offers, a sum of `Extension`.
      authentication: What it says of authentication (RFC 4895); None if it offers none.
      violation: Why nobody that says so is to be answered but with an ABORT; "" if there is no
        reason.
      adaptation: Its adaptation layer indication (RFC 5061); None if it has none.
      cookie: The state cookie; None if there is none, as in an INIT.
      cookie_life: Seconds by which it wants the cookie to live longer.
      families: Types of the address parameters that it takes; empty if it does not say.
      host_name: The first Host Name Address parameter; None if there is none.
      unrecognized: Reports of parameters that we do not know and that ask for a report
        (section 3.2.1), as far as `Parameters.max_cookie_size` bytes hold them.
    """

    __slots__ = (
        "adaptation",
        "addresses",
        "authentication",
        "cookie",
        "cookie_life",
        "extensions",
        "families",
        "host_name",
        "inbound_streams",
        "outbound_streams",
        "rwnd",
        "tag",
        "tsn",
        "unrecognized",
        "violation",
    )

    def __init__(self, init: wire.Init, limits: Parameters) -> None:
        self.tag: int = init.tag
        self.tsn: int = init.tsn
        self.rwnd: int = init.rwnd
        self.outbound_streams: int = init.outbound_streams
        self.inbound_streams: int = init.inbound_streams
        self.addresses: list[str] = []
        self.extensions: int = 0
        self.authentication: AuthOffer | None = None
        self.violation: str = ""
        self.adaptation: int | None = None
        self.cookie: bytes | None = None
        self.cookie_life: float = 0.0
        self.families: tuple[int, ...] = ()
        self.host_name: Tlv | None = None
        self.unrecognized: list[Tlv] = []
        self.authentication = read_offer(self._read_untrusted(init.parameters, limits))
        if self.authentication is None:
            self.extensions &= ~Extension.AUTH  # naming the chunk type alone offers nothing
        else:
            self.extensions |= Extension.AUTH
        if not self.violation and is_unsafe(self.extensions, limits):
            self.violation = "ASCONF without AUTH"

    def _read_untrusted(self, parameters: list[Tlv], limits: Parameters) -> list[Tlv]:
        """Read all but those of authentication, which are looked at and returned."""
        of_authentication: list[Tlv] = []
        room = limits.max_cookie_size
        stopped = False
        for parameter in parameters:
            kind, value = parameter
            if kind == ParameterType.FORWARD_TSN_SUPPORTED and (
                self.extensions & Extension.INTERLEAVING
            ):
                # Linux names its extensions before the others' parameters.  The other stacks that
                # have I-DATA (FreeBSD, usrsctp, dcSCTP) and we have this one first.  It does not
                # name I-FORWARD-TSN, which it sends and takes.
                self.extensions |= Extension.LATE_NUMBERS | Extension.I_FORWARD_TSN
            if kind == ParameterType.STATE_COOKIE:
                # Without it there is no association: it counts wherever it stands.
                if self.cookie is None:
                    self.cookie = value
            elif stopped:
                pass
            elif kind in (ParameterType.IPV4_ADDRESS, ParameterType.IPV6_ADDRESS):
                if len(self.addresses) < limits.max_peer_addresses:
                    address = wire.address_untrusted(parameter)
                    if address is not None and address not in self.addresses:
                        self.addresses.append(address)
            elif kind not in wire.KNOWN_PARAMETERS or (
                kind == ParameterType.FORWARD_TSN_SUPPORTED and not limits.partial_reliability
            ):
                # The two highest bits say what is to be done with it (section 3.2.1).
                if kind & 0x4000:
                    room -= len(value) + 12
                    if room >= 0:
                        self.unrecognized.append(wire.unrecognized(parameter))
                stopped = not kind & 0x8000
            elif kind in _OF_AUTHENTICATION:
                # Each comes once; of others only the first counts.
                if limits.authentication and all(kind != one.type for one in of_authentication):
                    self.violation = self.violation or violation_untrusted(parameter)
                    of_authentication.append(parameter)
            else:
                self._read_known_untrusted(parameter)
        return of_authentication

    def _read_known_untrusted(self, parameter: Tlv) -> None:
        kind, value = parameter
        if kind == ParameterType.FORWARD_TSN_SUPPORTED:
            self.extensions |= Extension.FORWARD_TSN
        elif kind == ParameterType.ECN_CAPABLE:
            self.extensions |= Extension.ECN
        elif kind == ParameterType.SUPPORTED_EXTENSIONS:
            self.extensions |= named_untrusted(value)
        elif kind == ParameterType.ADAPTATION_INDICATION:
            if len(value) == 4:
                self.adaptation = int.from_bytes(value, "big")
        elif kind == ParameterType.COOKIE_PRESERVATIVE:
            self.cookie_life = int.from_bytes(value[:4], "big") / 1000
        elif kind == ParameterType.SUPPORTED_ADDRESS_TYPES:
            self.families = struct.unpack_from(f"!{len(value) // 2}H", value)
        elif kind == ParameterType.HOST_NAME and self.host_name is None:
            self.host_name = parameter

    @property
    def valid(self) -> bool:
        """Whether an association can be made of it (section 3.3.2), its tag aside."""
        return (
            self.outbound_streams > 0 and self.inbound_streams > 0 and self.rwnd >= wire.LEAST_RWND
        )

    def takes(self, address: Tlv, source: str) -> bool:
        """Whether an address of this family may be listed to it, whose INIT came from `source`.

        The family that the INIT came in is supported, whatever it says (section 5.1.2).
        """
        return (
            not self.families
            or address.type in self.families
            or (":" in source) == (address.type == ParameterType.IPV6_ADDRESS)
        )


def auth_offer(
    parameters: Parameters, extensions: int, randomness: Callable[[int], bytes]
) -> AuthOffer | None:
    """Return what an INIT or INIT ACK with these extensions says of authentication."""
    if not extensions & Extension.AUTH:
        return None
    also = sorted(ASCONF_TYPES) if extensions & Extension.ASCONF else ()
    return make_offer(parameters, also, randomness)


def init_parameters(
    parameters: Parameters, extensions: int, authentication: AuthOffer | None
) -> list[Tlv]:
    """Return what an INIT or INIT ACK of ours says beyond RFC 9260.

    Args:
      parameters: Those of the association.
      extensions: What it offers, a sum of `Extension`.
      authentication: What it says of authentication.
    """
    listed = parameters_for(extensions)
    if authentication is not None:
        listed += authentication.parameters
    if parameters.adaptation_indication is not None:
        value = parameters.adaptation_indication.to_bytes(4, "big")
        listed.append(Tlv(ParameterType.ADAPTATION_INDICATION, value))
    return listed
