"""The state cookie (RFC 9260 section 5.1.3): what we need to know of an INIT, kept by the peer.

An INIT costs us no memory: the cookie holds all that an association needs, and is signed.  The
signature covers both ports and the verification tags, which section 5.2.4 compares, and the UDP
port that the INIT came from (RFC 6951 section 5.4).

The numbers that every cookie has are followed by parameters, each with a type and a length: what
only some associations need takes no room in the cookies of others.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from . import wire
from .authentication import AuthOffer, read_offer
from .wire import ParameterType, Tlv

_NUMBERS: Final = struct.Struct("!ddIIIIHHIIHHIHHI")
"""The first fields of `Cookie`, in their order."""
_COUNT: Final = 16
"""How many they are."""
_MAC_SIZE: Final = 32
KEY_LIFE: Final = 3600.0
"""Seconds after which a new key signs; the one before it still opens the cookies that it signed."""

# Types of the parameters in a cookie.
_LOCAL: Final = 1
_REMOTE: Final = 2
_ADDRESS: Final = 3
_ADAPTATION: Final = 4
_AUTH_OFFERS: Final = 5


class Cookie(NamedTuple):
    """The contents of a cookie; fields that begin with ``their_`` are what the INIT said.

    `created` and `expires` are seconds; the peer may have asked for a longer life (5.2.6).
    `extensions` are those that both ends offer, a sum of `Extension`.
    """

    created: float
    expires: float
    our_tag: int
    their_tag: int
    our_tie_tag: int
    their_tie_tag: int
    our_port: int
    their_port: int
    our_tsn: int
    their_tsn: int
    outbound_streams: int
    inbound_streams: int
    their_rwnd: int
    udp_local: int
    udp_remote: int
    extensions: int
    local: str
    remote: str
    addresses: tuple[str, ...] = ()
    adaptation: int | None = None
    auth_offers: tuple[AuthOffer, AuthOffer] | None = None  # ours, and the peer's


class CookieJar:
    """Makes and opens cookies, with keys that nobody else knows."""

    def __init__(self, randomness: Callable[[int], bytes]) -> None:
        self._randomness = randomness
        self._keys = [randomness(32), randomness(32)]
        self._renewed: float | None = None

    def _rotate(self, now: float) -> None:
        """Make a new key when the present one is old; forget the one before it."""
        if self._renewed is None:
            self._renewed = now
        elif now - self._renewed > KEY_LIFE:
            self._keys = [self._randomness(32), self._keys[0]]
            self._renewed = now

    def seal(self, cookie: Cookie, now: float) -> bytes:
        """Return a cookie as bytes, signed."""
        self._rotate(now)
        body = _written(cookie)
        return body + hmac.digest(self._keys[0], body, hashlib.sha256)

    def open_untrusted(self, data: bytes, now: float) -> Cookie | None:
        """Return the contents of a cookie; None if none of our keys signed it.

        The caller has to check its age.
        """
        self._rotate(now)
        body, mac = data[:-_MAC_SIZE], data[-_MAC_SIZE:]
        for key in self._keys:
            if hmac.compare_digest(mac, hmac.digest(key, body, hashlib.sha256)):
                return _read(body)
        return None


def _written(cookie: Cookie) -> bytes:
    parameters = [Tlv(_LOCAL, cookie.local.encode()), Tlv(_REMOTE, cookie.remote.encode())]
    parameters += [Tlv(_ADDRESS, address.encode()) for address in cookie.addresses]
    if cookie.adaptation is not None:
        parameters.append(Tlv(_ADAPTATION, cookie.adaptation.to_bytes(4, "big")))
    if cookie.auth_offers is not None:
        ours, theirs = cookie.auth_offers
        parameters.append(Tlv(_AUTH_OFFERS, wire.tlvs([*ours.parameters, *theirs.parameters])))
    return _NUMBERS.pack(*cookie[:_COUNT]) + wire.tlvs(parameters)


def _read(body: bytes) -> Cookie:
    """Return the contents of a cookie that we have written."""
    local = remote = ""
    addresses: list[str] = []
    adaptation: int | None = None
    auth_offers: tuple[AuthOffer, AuthOffer] | None = None
    for kind, value in wire.parse_tlvs_untrusted(body[_NUMBERS.size :]) or ():
        if kind == _LOCAL:
            local = value.decode()
        elif kind == _REMOTE:
            remote = value.decode()
        elif kind == _ADDRESS:
            addresses.append(value.decode())
        elif kind == _ADAPTATION:
            adaptation = int.from_bytes(value, "big")
        elif kind == _AUTH_OFFERS:
            auth_offers = _read_auth_offers(value)
    numbers = _NUMBERS.unpack_from(body)
    return Cookie._make((*numbers, local, remote, tuple(addresses), adaptation, auth_offers))


def _read_auth_offers(value: bytes) -> tuple[AuthOffer, AuthOffer] | None:
    """Return both ends' parameters, each of which begin with a RANDOM."""
    listed = wire.parse_tlvs_untrusted(value) or []
    starts = [at for at, one in enumerate(listed) if one.type == ParameterType.RANDOM]
    ours, theirs = read_offer(listed[: starts[1]]), read_offer(listed[starts[1] :])
    return None if ours is None or theirs is None else (ours, theirs)
