"""FORWARD TSNs of wrong lengths, and parameters that announce them with wrong lengths.

Each script accepts that the packet is dropped, or that an ABORT answers it.
"""

from __future__ import annotations

from trio_sctp._engine import wire
from trio_sctp._engine.wire import Cause

from ..etsi.tester import causes_of
from ..support.engines import PEER_PORT, PORT
from ..support.scripted_peer import ScriptedPeer
from .tester import SUPPORTED, connected, for_each, fresh, runs

FORWARD_TSN = 0xC0


@runs("error-cases/forward-tsn-tlv-too-long")
def test_a_forward_tsn_that_is_longer_than_its_packet_is_dropped() -> None:
    peer = connected(None, SUPPORTED)
    peer.give(bytes([FORWARD_TSN, 0, 0, 12, 0, 0, 0, 1]))
    peer.silent()
    peer.works()


@for_each(
    {
        "error-cases/forward-tsn-tlv-too-short": bytes([FORWARD_TSN, 0, 0, 6, 0, 0, 0, 1])
        + bytes([0, 1, 0, 0, 0, 2, 0, 0]),
        "error-cases/forward-tsn-too-short": bytes([FORWARD_TSN, 0, 0, 4]),
    }
)
def test_a_forward_tsn_of_a_wrong_length_ends_the_association(variant: bytes) -> None:
    peer = connected(None, SUPPORTED)
    peer.give(variant)
    assert causes_of(peer.expect(wire.Abort)) == [Cause.PROTOCOL_VIOLATION]
    peer.expect_no_association()


def init_with(parameter: bytes, length: int) -> bytes:
    """An INIT whose header gives that length, and that ends with this parameter."""
    chunk = bytearray(ScriptedPeer().init([]) + parameter)
    chunk[2:4] = length.to_bytes(2, "big")
    return bytes(chunk)


@for_each(
    {
        "error-cases/init-with-forward-tsn-tlv-too-long": (wire.tlv(*SUPPORTED), 255),
        "error-cases/init-with-forward-tsn-tlv-too-short": (wire.tlv(*SUPPORTED), 22),
        "error-cases/init-with-forward-tsn-too-short": (wire.tlv(*SUPPORTED)[:2], 22),
    }
)
def test_an_init_that_is_cut_off_is_not_answered_by_an_init_ack(variant: tuple[bytes, int]) -> None:
    parameter, length = variant
    peer = fresh()
    peer.give_raw(wire.seal(PEER_PORT, PORT, 0, [init_with(parameter, length)]))
    assert not any(isinstance(chunk, wire.InitAck) for chunk in peer.chunks())
    # And the next one is.
    peer.give(peer.init([SUPPORTED]), tag=0)
    peer.expect(wire.InitAck)


@for_each({"error-cases/init-with-forward-tsn-too-long": None})
def test_a_parameter_with_something_in_it_is_read_as_if_it_had_nothing(variant: None) -> None:
    peer = fresh()
    peer.give(peer.init([SUPPORTED._replace(value=bytes([1, 2, 3, 4]))]), tag=0)
    peer.expect(wire.InitAck)
