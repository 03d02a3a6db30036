"""Authenticated chunks (RFC 4895): which an AUTH chunk has to precede, and whether it is right.

    INIT      RANDOM, CHUNKS, HMAC-ALGO ─┐
    INIT ACK  RANDOM, CHUNKS, HMAC-ALGO ─┴─ key vectors ──┐
    a secret that both ends know (a shared key) ──────────┴─> association shared key ──> HMACs

Both ends send the three parameters, or there is no authentication.  Each lists the chunk types that
it takes only behind an AUTH chunk, whose HMAC covers the rest of the packet.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from . import wire
from .parameters import Parameters
from .wire import ChunkType, ParameterType, Tlv

_RANDOM_SIZE: Final = 32
_MOST_CHUNKS: Final = 256
_MOST_HMACS: Final = 64
"""How many HMAC identifiers of a peer are kept.  Two are assigned."""
_SHA_1: Final = 1
_DIGESTS: Final[dict[int, str]] = {_SHA_1: "sha1", 3: "sha256"}
"""The algorithms that we know, by their HMAC identifiers."""
_SIZES: Final[dict[int, int]] = {_SHA_1: 20, 3: 32}
NEVER_LISTED: Final = frozenset(
    {ChunkType.INIT, ChunkType.INIT_ACK, ChunkType.SHUTDOWN_COMPLETE, ChunkType.AUTH}
)
"""Chunk types that cannot be asked for (section 3.2)."""
_BESIDE_USER_DATA: Final = frozenset(
    {
        ChunkType.DATA,
        ChunkType.SACK,
        ChunkType.ECNE,
        ChunkType.I_DATA,
        ChunkType.FORWARD_TSN,
        ChunkType.I_FORWARD_TSN,
    }
)
"""What packets with user data are made of, control chunks that wait for a packet aside."""


class AuthOffer(NamedTuple):
    """What one end's INIT or INIT ACK says of authentication: the values of three parameters.

    `chunks` is None if there was no CHUNKS parameter, which is optional.
    """

    random: bytes
    chunks: bytes | None
    hmacs: bytes

    @property
    def parameters(self) -> list[Tlv]:
        """The parameters, in the order in which they become a key vector."""
        listed = [Tlv(ParameterType.RANDOM, self.random)]
        if self.chunks is not None:
            listed.append(Tlv(ParameterType.CHUNK_LIST, self.chunks))
        listed.append(Tlv(ParameterType.HMAC_ALGORITHMS, self.hmacs))
        return listed

    @property
    def listed(self) -> bytes:
        """The chunk types that its sender takes only if they are authenticated, in order.

        A set of all of them would take 8 KiB.
        """
        return bytes(sorted({*(self.chunks or b"")} - NEVER_LISTED))

    @property
    def hmac_ids(self) -> list[int]:
        """The HMAC identifiers, the most preferred first."""
        values = self.hmacs
        return [int.from_bytes(values[at : at + 2], "big") for at in range(0, len(values), 2)]

    @property
    def key_vector(self) -> bytes:
        """The parameters without their padding (section 6.1)."""
        return b"".join([wire.tlvs([parameter]) for parameter in self.parameters])


def make_offer(
    parameters: Parameters, also: Sequence[int], randomness: Callable[[int], bytes]
) -> AuthOffer:
    """Return what an INIT or INIT ACK of ours says.

    Args:
      parameters: Those of the association.
      also: Chunk types that are to be authenticated beside those that the program wants to be.
      randomness: Gives as many random bytes as it is asked for.
    """
    chunks = bytes(sorted({*parameters.auth_chunks, *also}))
    hmacs = b"".join([id.to_bytes(2, "big") for id in parameters.hmac_algorithms])
    return AuthOffer(randomness(_RANDOM_SIZE), chunks or None, hmacs)


def read_offer(parameters: Sequence[Tlv]) -> AuthOffer | None:
    """Return what an INIT or INIT ACK says, whose parameters have been found right; None if it
    has no RANDOM or no HMAC-ALGO, and so offers nothing."""
    random: bytes | None = None
    chunks: bytes | None = None
    hmacs: bytes | None = None
    for kind, value in parameters:
        if kind == ParameterType.RANDOM and random is None:
            random = value
        elif kind == ParameterType.CHUNK_LIST and chunks is None:
            chunks = value
        elif kind == ParameterType.HMAC_ALGORITHMS and hmacs is None:
            hmacs = value
    if random is None or hmacs is None:
        return None
    return AuthOffer(random, chunks, hmacs)


def violation_untrusted(parameter: Tlv) -> str:
    """Return why no association is made with whoever sends one of the parameters; "" if it may."""
    kind, value = parameter
    if kind == ParameterType.RANDOM and len(value) != _RANDOM_SIZE:
        return "a RANDOM that has not 32 bytes"
    if kind == ParameterType.CHUNK_LIST and len(value) > _MOST_CHUNKS:
        return "a list of chunks that is too long"
    if kind == ParameterType.HMAC_ALGORITHMS:
        if len(value) % 2 or len(value) > 2 * _MOST_HMACS:
            return "a list of HMAC identifiers with a wrong length"
        if _SHA_1 not in AuthOffer(b"", None, value).hmac_ids:
            return "no SHA-1 among the HMAC identifiers"
    return ""


class Authentication:
    """Authentication in one association, or in one that a cookie may set up.

    Attributes:
      authenticated: Whether the packet at hand has an AUTH chunk, which is right.
      required: The chunk types that we take only if they are authenticated.
      wanted: Those that the peer takes only if they are.
      size: Bytes of an AUTH chunk of ours.
      peer_key: The identifier of the shared key that the peer has used last.
      unsupported: The HMAC identifier in the packet at hand that we did not offer; -1 if there is
        none.
    """

    __slots__ = (
        "_accepted",
        "_hmac",
        "_parameters",
        "_vectors",
        "authenticated",
        "peer_key",
        "required",
        "size",
        "unsupported",
        "wanted",
    )

    def __init__(self, ours: AuthOffer, theirs: AuthOffer, parameters: Parameters) -> None:
        self.authenticated: bool = False
        self.required: bytes = ours.listed
        self.wanted: bytes = theirs.listed
        self.peer_key: int = 0
        self.unsupported: int = -1
        self._parameters: Parameters = parameters  # which have the shared keys
        self._accepted: list[int] = ours.hmac_ids
        # Section 6.1: the first that the peer lists, of those that we know.
        self._hmac: int = next(id for id in theirs.hmac_ids if id in _DIGESTS)
        self.size: int = wire.AUTH_OVERHEAD + _SIZES[self._hmac]
        first, second = ours.key_vector, theirs.key_vector
        if (int.from_bytes(first, "big"), len(first)) > (
            int.from_bytes(second, "big"),
            len(second),
        ):
            first, second = second, first
        self._vectors: bytes = first + second

    @property
    def guards_user_data(self) -> bool:
        """Whether packets of user data and SACKs alone have to be looked at, too."""
        return not _BESIDE_USER_DATA.isdisjoint(self.required)

    @property
    def reserve(self) -> int:
        """Bytes that a packet with user data has to leave for an AUTH chunk."""
        return 0 if _BESIDE_USER_DATA.isdisjoint(self.wanted) else self.size

    def _mac(self, key: int, algorithm: int, data: bytes) -> bytes | None:
        """Return the HMAC of data; None if there is no such shared key."""
        secret = self._parameters.shared_keys.secret(key)
        if secret is None:
            return None
        return hmac.digest(secret + self._vectors, data, _DIGESTS[algorithm])

    # -- sending (6.2) ---

    def protect(self, chunks: list[bytes]) -> list[bytes]:
        """Put an AUTH chunk before the first chunk that the peer wants to be authenticated."""
        wanted = self.wanted
        at = 0
        while chunks[at][0] not in wanted:
            at += 1
            if at == len(chunks):
                return chunks
        key, algorithm = self._parameters.shared_keys.active, self._hmac
        blank = wire.auth_chunk(key, algorithm, bytes(_SIZES[algorithm]))
        mac = self._mac(key, algorithm, b"".join((blank, *chunks[at:])))
        assert mac is not None  # the active key cannot be deleted
        return [*chunks[:at], wire.auth_chunk(key, algorithm, mac), *chunks[at:]]

    # -- receiving (6.3) ---

    def admit(self, chunks: Sequence[wire.Chunk], kinds: Sequence[int]) -> list[wire.Chunk]:
        """Return those chunks of a packet that may be processed.

        Args:
          chunks: All of them, or the last ones.
          kinds: Their types.
        """
        self.unsupported = -1
        admitted: list[wire.Chunk] = []
        self.authenticated = authenticated = False
        required = self.required
        for chunk, kind in zip(chunks, kinds, strict=False):
            if isinstance(chunk, wire.Auth):
                # A packet has one.
                if authenticated or not self._is_right(chunk):
                    break
                self.authenticated = authenticated = True
            elif authenticated or not (
                kind in required
                # What makes no sense ends the association, as an ABORT does.
                or (ChunkType.ABORT in required and isinstance(chunk, wire.BadChunk))
            ):
                admitted.append(chunk)
        return admitted

    def _is_right(self, auth: wire.Auth) -> bool:
        if auth.hmac not in self._accepted:
            self.unsupported = auth.hmac
            return False
        mac = self._mac(auth.key, auth.hmac, auth.covered)
        if mac is None or not hmac.compare_digest(mac, auth.mac):
            return False
        self.peer_key = auth.key
        return True
