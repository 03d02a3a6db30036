"""The extensions of SCTP that an association may use: those that both ends offer.

An end names the chunk types of its extensions in its INIT or INIT ACK (Supported Extensions, RFC
5061 section 4.2.7).  An INIT offers what its sender knows; an INIT ACK, what both know.
"""

from __future__ import annotations

import enum
from typing import Final

from .parameters import Parameters
from .wire import ChunkType, ParameterType, Tlv


class Extension(enum.IntFlag):
    """What goes beyond RFC 9260, and that a peer need not know."""

    FORWARD_TSN = 1
    """Messages can be given up (RFC 3758)."""
    INTERLEAVING = 4
    """Messages of different streams can be interleaved (RFC 8260)."""
    AUTH = 8
    """Chunks can be authenticated (RFC 4895)."""
    I_FORWARD_TSN = 64
    """Messages can be given up that were interleaved (RFC 8260)."""
    LATE_NUMBERS = 128
    """The number 0 is that of the second part of an interleaved message, not of the first: what
    Linux takes RFC 8260 section 2.1 to say.  Nobody names it; `Offer` recognizes Linux."""
    RECONFIG = 2
    """Streams can be reset and added (RFC 6525)."""
    ASCONF = 16
    """Addresses can change (RFC 5061)."""
    ECN = 32
    """Routers' marks are told of and heeded (RFC 3168; RFC 4960 appendix A)."""


_CHUNKS: Final[list[tuple[int, int]]] = [
    (Extension.FORWARD_TSN, ChunkType.FORWARD_TSN),
    (Extension.INTERLEAVING, ChunkType.I_DATA),
    (Extension.AUTH, ChunkType.AUTH),
    (Extension.I_FORWARD_TSN, ChunkType.I_FORWARD_TSN),
    (Extension.RECONFIG, ChunkType.RE_CONFIG),
    (Extension.ASCONF, ChunkType.ASCONF),
    (Extension.ASCONF, ChunkType.ASCONF_ACK),
]
"""The chunk types by which an extension is named."""

ASCONF_TYPES: Final = frozenset({ChunkType.ASCONF, ChunkType.ASCONF_ACK})
"""Those that have to be authenticated, whether they are listed or not (RFC 5061 section 4.1)."""


def offered(parameters: Parameters) -> int:
    """Return the extensions that we offer, a sum of `Extension`."""
    extensions = 0
    if parameters.partial_reliability:
        extensions |= Extension.FORWARD_TSN
    if parameters.interleaving:
        extensions |= Extension.INTERLEAVING | Extension.LATE_NUMBERS
        if parameters.partial_reliability:
            extensions |= Extension.I_FORWARD_TSN
    if parameters.authentication:
        extensions |= Extension.AUTH
    if parameters.reconfiguration:
        extensions |= Extension.RECONFIG
    if parameters.asconf and (parameters.authentication or parameters.asconf_without_auth):
        extensions |= Extension.ASCONF
    if parameters.ecn:
        extensions |= Extension.ECN
    return extensions


def agreed(theirs: int, parameters: Parameters) -> int:
    """Return which of a peer's extensions are used: those that we offer too.

    ASCONF needs AUTH (RFC 5061 section 4.1.1), unless the program says otherwise.
    """
    extensions = theirs & offered(parameters)
    if not (extensions & Extension.AUTH or parameters.asconf_without_auth):
        extensions &= ~Extension.ASCONF
    return extensions


def is_unsafe(theirs: int, parameters: Parameters) -> bool:
    """Whether a peer wants addresses to change without authentication, while we insist on it.

    No association is made with one (RFC 5061 section 6).
    """
    return bool(
        theirs & Extension.ASCONF
        and not theirs & Extension.AUTH
        and offered(parameters) & Extension.ASCONF
        and not parameters.asconf_without_auth
    )


def named_untrusted(chunk_types: bytes) -> int:
    """Return the extensions that a Supported Extensions parameter names."""
    extensions = 0
    for extension, chunk_type in _CHUNKS:
        if chunk_type in chunk_types:
            extensions |= extension
    return extensions


def parameters_for(extensions: int) -> list[Tlv]:
    """Return what an INIT or INIT ACK says of these extensions."""
    listed: list[Tlv] = []
    if extensions & Extension.FORWARD_TSN:
        listed.append(Tlv(ParameterType.FORWARD_TSN_SUPPORTED, b""))
    if extensions & Extension.ECN:
        listed.append(Tlv(ParameterType.ECN_CAPABLE, b""))
    chunk_types = [chunk_type for extension, chunk_type in _CHUNKS if extensions & extension]
    if chunk_types:
        listed.append(Tlv(ParameterType.SUPPORTED_EXTENSIONS, bytes(chunk_types)))
    return listed
