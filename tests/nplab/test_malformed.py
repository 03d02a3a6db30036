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


# -- fragments of one message with different stream sequence numbers ---------------------------
# The scripts have it acknowledged and not delivered.  This engine ends the association when two
# neighbours do not fit: what follows would have to be guessed.

BEGIN, END = wire.FIRST, wire.LAST


def fragment(tsn: int, flags: int, stream: int, ssn: int) -> bytes:
    """A DATA chunk."""
    return wire.data_chunk(tsn, stream, ssn, 0, b"x", flags)


ENDS = [[fragment(2 * n, END, n, 1)] for n in (1, 2, 3)]
"""The ends of three messages, with TSNs 2, 4 and 6 on streams 1, 2 and 3; each has SSN 1."""
BEGIN_2, BEGIN_3 = fragment(3, BEGIN, 2, 0), fragment(5, BEGIN, 3, 0)
"""The beginnings of the second and the third, with SSN 0."""
SKIP, SKIP_2 = wire.forward_tsn_chunk(2, [(1, 0)]), wire.forward_tsn_chunk(4, [(2, 0)])


@for_each(
    {
        "error-cases/ordered/1": [
            ENDS[0],
            [SKIP, fragment(3, BEGIN, 1, 2)],
            [fragment(4, END, 1, 3)],
        ],
        "error-cases/ordered/2": [*ENDS[:2], [SKIP, BEGIN_2]],
        "error-cases/ordered/3": [*ENDS[:2], [SKIP], [BEGIN_2]],
        "error-cases/ordered/4": [*ENDS, [SKIP], [BEGIN_2]],
        "error-cases/ordered/5": [*ENDS, [SKIP, BEGIN_2]],
        "error-cases/ordered/6": [*ENDS, [SKIP], [BEGIN_3]],
        "error-cases/ordered/7": [*ENDS[:2], [BEGIN_2]],
        "error-cases/ordered/9": [*ENDS, [SKIP], [SKIP_2], [BEGIN_3]],
        "error-cases/ordered/10": [ENDS[1], [BEGIN_2]],
        "error-cases/ordered/11": [*ENDS[:2], [BEGIN_2]],
        "error-cases/ordered/12": [ENDS[1], [BEGIN_2]],
        "error-cases/ordered/13": [*ENDS, [BEGIN_3]],
        "error-cases/ordered/14": [[fragment(8, END, 4, 1)], [BEGIN_3], [fragment(6, END, 3, 1)]],
    }
)
def test_fragments_with_different_ssns_end_the_association(variant: list[list[bytes]]) -> None:
    peer = connected(None, SUPPORTED)
    for packet in variant[:-1]:
        peer.give(*packet)
        peer.advance(0.5)
        assert all(isinstance(chunk, wire.Sack) for chunk in peer.chunks())
    peer.give(*variant[-1])
    assert causes_of(peer.expect(wire.Abort)) == [Cause.PROTOCOL_VIOLATION]
    assert peer.messages() == []
    peer.expect_no_association()


@runs("error-cases/ordered/8")
def test_whole_messages_beside_them_are_delivered_before() -> None:
    peer = connected(None, SUPPORTED)
    peer.give(*ENDS[0])
    for number in range(14):
        peer.give(peer.data(b"%d" % number, tsn=3 + number, stream=2, ssn=number))
    peer.packets()
    peer.give(fragment(1, BEGIN, 1, 0))
    assert causes_of(peer.expect(wire.Abort)) == [Cause.PROTOCOL_VIOLATION]
    assert peer.messages() == [b"%d" % number for number in range(14)]
    peer.expect_no_association()
