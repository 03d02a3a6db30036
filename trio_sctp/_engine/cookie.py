"""The state cookie (RFC 9260 section 5.1.3): what we need to know of an INIT, kept by the peer.

An INIT costs us no memory: the cookie holds all that an association needs, and is signed.  The
signature covers both ports and the verification tags, which section 5.2.4 compares, and the UDP
port that the INIT came from (RFC 6951 section 5.4).
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable
from typing import NamedTuple

_FIXED = struct.Struct("!BddIIQQHHIIHHIIHIHHBH")
_MAC_SIZE = 32
_VERSION = 1
KEY_LIFE = 3600.0
"""Seconds after which a new key signs; the one before it still opens the cookies that it signed."""


class Cookie(NamedTuple):
    """The contents of a cookie; fields that begin with ``their_`` are what the INIT said.

    `created` and `expires` are seconds; the peer may have asked for a longer life (5.2.6).
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
    extensions: int  # a bit for each extension that both know
    adaptation: int | None
    udp_local: int
    udp_remote: int
    local: str
    remote: str
    addresses: tuple[str, ...]


FORWARD_TSN = 1
"""The bit of `Cookie.extensions` for FORWARD TSN (RFC 3758)."""


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
        names = "\n".join((cookie.local, cookie.remote, *cookie.addresses)).encode()
        fixed = _FIXED.pack(
            _VERSION,
            cookie.created,
            cookie.expires,
            cookie.our_tag,
            cookie.their_tag,
            cookie.our_tie_tag,
            cookie.their_tie_tag,
            cookie.our_port,
            cookie.their_port,
            cookie.our_tsn,
            cookie.their_tsn,
            cookie.outbound_streams,
            cookie.inbound_streams,
            cookie.their_rwnd,
            cookie.adaptation or 0,
            cookie.extensions,
            0 if cookie.adaptation is None else 1,
            cookie.udp_local,
            cookie.udp_remote,
            0,
            len(names),
        )
        body = fixed + names
        return body + hmac.digest(self._keys[0], body, hashlib.sha256)

    def open_untrusted(self, data: bytes, now: float) -> Cookie | None:
        """Return the contents of a cookie; None if none of our keys signed it.

        The caller has to check its age.
        """
        self._rotate(now)
        body, mac = data[:-_MAC_SIZE], data[-_MAC_SIZE:]
        if len(body) < _FIXED.size or not any(
            hmac.compare_digest(mac, hmac.digest(key, body, hashlib.sha256)) for key in self._keys
        ):
            return None
        f = _FIXED.unpack_from(body)
        local, remote, *addresses = body[_FIXED.size :].decode().split("\n")
        return Cookie(
            created=f[1],
            expires=f[2],
            our_tag=f[3],
            their_tag=f[4],
            our_tie_tag=f[5],
            their_tie_tag=f[6],
            our_port=f[7],
            their_port=f[8],
            our_tsn=f[9],
            their_tsn=f[10],
            outbound_streams=f[11],
            inbound_streams=f[12],
            their_rwnd=f[13],
            adaptation=f[14] if f[16] else None,
            extensions=f[15],
            udp_local=f[17],
            udp_remote=f[18],
            local=local,
            remote=remote,
            addresses=tuple(addresses),
        )
