"""HMACs of AUTH chunks (RFC 4895), computed from the bytes of packets without the engine."""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Sequence

from trio_sctp._engine.wire import Tlv

SHA_1, SHA_256 = 1, 3
DIGESTS = {SHA_1: "sha1", SHA_256: "sha256"}


def key_vector(parameters: Sequence[Tlv]) -> bytes:
    """Section 6.1: RANDOM, CHUNKS and HMAC-ALGO, each with its header and without padding."""
    vector = b""
    for kind in 0x8002, 0x8003, 0x8004:
        for parameter in parameters:
            if parameter.type == kind:
                vector += struct.pack("!HH", kind, 4 + len(parameter.value)) + parameter.value
    return vector


def association_key(secret: bytes, one: Sequence[Tlv], other: Sequence[Tlv]) -> bytes:
    """Section 6.1: the secret, the vector that is the smaller number, and the larger one.

    The vectors are of the parameters of the INIT and of the INIT ACK, in any order.
    """
    vectors = [key_vector(one), key_vector(other)]
    vectors.sort(key=lambda vector: (int.from_bytes(vector, "big"), len(vector)))
    return secret + vectors[0] + vectors[1]


def auth_chunk(key: bytes, *chunks: bytes, key_id: int, algorithm: int) -> bytes:
    """Section 6.2: the AUTH chunk for chunks that follow it."""
    size = hashlib.new(DIGESTS[algorithm]).digest_size
    head = struct.pack("!BBHHH", 15, 0, 8 + size, key_id, algorithm)
    data = head + bytes(size) + b"".join(chunks)
    return head + hmac.new(key, data, DIGESTS[algorithm]).digest()


def is_right(packet: bytes, offset: int, key: bytes) -> bool:
    """Section 6.3: whether the HMAC is right of the AUTH chunk that stands there in a packet."""
    kind, _, length, key_id, algorithm = struct.unpack_from("!BBHHH", packet, offset)
    assert kind == 15
    end = offset + length
    return packet[offset:end] == auth_chunk(key, packet[end:], key_id=key_id, algorithm=algorithm)
