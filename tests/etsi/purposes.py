"""The test purposes of ETSI TS 102 369 by identifier, and what became of each.

The document dates from 2004 and tests against RFC 2960.  Its purposes are told here in our own
words, as far as RFC 9260, which replaced RFC 2960 and RFC 4960, asks for the same.
"""

from __future__ import annotations

import dataclasses
import enum


class Verdict(enum.Enum):
    """What became of a purpose."""

    RUN = "run"
    """A script checks it."""

    CONTRADICTED = "contradicted"
    """RFC 9260 asks for something else; a script checks that instead."""

    NOT_APPLICABLE = "not applicable"
    """It asks for something that this engine does not have."""


RUN, CONTRADICTED, NOT_APPLICABLE = Verdict.RUN, Verdict.CONTRADICTED, Verdict.NOT_APPLICABLE


@dataclasses.dataclass(frozen=True, slots=True)
class Purpose:
    """One test purpose: what the implementation must do, in one sentence.

    ``reason`` says why a purpose is not run; RFC sections in it are those of RFC 9260.
    """

    id: str
    title: str
    verdict: Verdict = RUN
    reason: str = ""

    @property
    def group(self) -> str:
        """The letters that follow SCTP in the identifier."""
        return self.id.split("_")[1]

    @property
    def test(self) -> str:
        """The name of the test function."""
        return "test_" + self.id.removeprefix("SCTP_").lower()


GROUPS = {
    "AS": 33,
    "AT": 16,
    "IMH": 10,
    "DM": 15,
    "FH": 8,
    "E": 6,
    "BDC": 8,
    "D": 15,
    "A": 3,
    "M": 4,
    "RT": 3,
}
"""How many purposes the document has in each group."""

PURPOSES = [
    # Association set-up.
    Purpose(
        "SCTP_AS_V_1_1_1",
        "Asked by its user, it sets an association up: INIT, COOKIE ECHO, and then data flows.",
    ),
    Purpose(
        "SCTP_AS_V_1_1_2",
        "It answers INIT and COOKIE ECHO of a peer, and the association is up.",
    ),
    Purpose(
        "SCTP_AS_I_1_2_1",
        "If no INIT ACK comes until T1-init expires, it sends the same INIT again.",
    ),
    Purpose(
        "SCTP_AS_I_1_2_2",
        "If no COOKIE ACK comes until T1-cookie expires, it sends the same COOKIE ECHO again.",
    ),
    Purpose(
        "SCTP_AS_I_1_3_1",
        "It gives the set-up up after Max.Init.Retransmits retransmissions of the INIT, says so, "
        "and can start afresh.",
    ),
    Purpose(
        "SCTP_AS_I_1_3_2",
        "It gives the set-up up after Max.Init.Retransmits retransmissions of the COOKIE ECHO, "
        "says so, and can start afresh.",
    ),
    Purpose(
        "SCTP_AS_I_1_4",
        "It answers INITs for which no COOKIE ECHO ever comes, and keeps nothing of them.",
    ),
    Purpose(
        "SCTP_AS_V_1_5_1",
        "Each time that it sets up an association to the same peer its INIT has another tag.",
    ),
    Purpose(
        "SCTP_AS_V_1_5_2",
        "Each time that the same peer sets up an association its INIT ACK has another tag.",
    ),
    Purpose(
        "SCTP_AS_V_1_6_1",
        "It accepts an INIT with every optional parameter: addresses of both families, the types "
        "supported, and Cookie Preservative.",
    ),
    Purpose(
        "SCTP_AS_V_1_6_2",
        "It accepts an INIT ACK with optional parameters in any order: addresses of both families, "
        "Unrecognized Parameter, and even the Cookie Preservative, which is none of INIT ACK's.",
    ),
    Purpose(
        "SCTP_AS_V_1_7_1",
        "If an INIT allows fewer streams than it would like to send on, it takes as many as "
        "allowed, and its user cannot send on more.",
    ),
    Purpose(
        "SCTP_AS_I_1_7_2",
        "It answers an INIT with zero outbound or inbound streams by an ABORT, and stays closed.",
    ),
    Purpose(
        "SCTP_AS_V_1_7_3",
        "If an INIT ACK allows fewer streams than it asked for, it takes as many as allowed, and "
        "its user cannot send on more.",
    ),
    Purpose(
        "SCTP_AS_I_1_7_4",
        "It answers an INIT ACK with zero outbound or inbound streams by an ABORT, and gives the "
        "set-up up.",
    ),
    Purpose(
        "SCTP_AS_V_1_7_5",
        "It can have two streams in either direction, and carries messages on both.",
    ),
    Purpose(
        "SCTP_AS_I_1_8_1",
        "It skips unknown parameters of an INIT whose type begins with bits 11, and reports each.",
    ),
    Purpose(
        "SCTP_AS_I_1_8_2",
        "It looks at no parameter behind an unknown one whose type begins with bits 00, does not "
        "report that one, and answers the INIT.",
    ),
    Purpose(
        "SCTP_AS_I_1_8_3",
        "It looks at no parameter behind an unknown one whose type begins with bits 01, reports "
        "that one, and answers the INIT.",
    ),
    Purpose(
        "SCTP_AS_I_1_8_4",
        "It skips unknown parameters of an INIT whose type begins with bits 10, without a word.",
    ),
    Purpose(
        "SCTP_AS_O_1_9_1",
        "It answers an INIT from the peer of an established association, with no new address, by "
        "an INIT ACK with a new tag, and the association goes on.",
    ),
    Purpose(
        "SCTP_AS_O_1_9_2",
        "It answers an INIT that would add addresses to an established association by an ABORT, "
        "and the association goes on.",
    ),
    Purpose(
        "SCTP_AS_V_1_10_1",
        "If an INIT lists no addresses, it sends to the one that the INIT came from, and there "
        "only.",
    ),
    Purpose(
        "SCTP_AS_V_1_10_2",
        "If an INIT ACK lists no addresses, it sends to the one that the INIT ACK came from, and "
        "there only.",
    ),
    Purpose(
        "SCTP_AS_V_1_11_1",
        "The addresses that an INIT lists, and the one it came from, are the peer's: data is "
        "taken from each, and sent again to another one.",
    ),
    Purpose(
        "SCTP_AS_V_1_11_2",
        "The addresses that an INIT ACK lists, and the one it came from, are the peer's: data is "
        "taken from each, and sent again to another one.",
    ),
    Purpose(
        "SCTP_AS_V_1_12_1",
        "It answers an INIT with a host name that it does not resolve by an ABORT to where the "
        "INIT came from.",
    ),
    Purpose(
        "SCTP_AS_I_1_12_2",
        "It answers an INIT ACK with a host name that it does not resolve by an ABORT to where the "
        "INIT ACK came from.",
    ),
    Purpose(
        "SCTP_AS_V_1_13_1",
        "It accepts an INIT that says which types of address are supported, and names its own "
        "addresses of those types only.",
    ),
    Purpose(
        "SCTP_AS_I_1_13_2",
        "It answers an INIT that supports no type of address that it could use by an ABORT with "
        "the cause Unresolvable Address.",
        CONTRADICTED,
        "section 5.1.2: the family that the INIT was sent in counts as supported, whatever the "
        "list says, and no error is to be sent; the script checks that the set-up succeeds",
    ),
    Purpose(
        "SCTP_AS_I_1_14_1",
        "It answers an INIT with the tag 0 by an ABORT.",
        CONTRADICTED,
        "section 3.3.2: such a packet MUST be discarded silently; the script checks that",
    ),
    Purpose(
        "SCTP_AS_I_1_14_2",
        "It gives the set-up up if the INIT ACK has the tag 0, and sends an ABORT.",
    ),
    Purpose(
        "SCTP_AS_I_1_15",
        "If its user gave several addresses of the peer, it sends INITs again to each of them.",
    ),
    # Association termination.
    Purpose(
        "SCTP_AT_V_2_2",
        "An ABORT ends the association; it tells its user and answers nothing.",
    ),
    Purpose(
        "SCTP_AT_I_2_3",
        "Asked to shut down, it sends SHUTDOWN only once all that it has sent is acknowledged.",
    ),
    Purpose(
        "SCTP_AT_I_2_4",
        "It sends the SHUTDOWN again when T2-shutdown expires.",
    ),
    Purpose(
        "SCTP_AT_I_2_5",
        "After Association.Max.Retrans retransmissions of the SHUTDOWN it gives the association "
        "up, and tells its user.",
    ),
    Purpose(
        "SCTP_AT_V_2_6",
        "It answers the SHUTDOWN ACK by a SHUTDOWN COMPLETE, and the association is gone.",
    ),
    Purpose(
        "SCTP_AT_I_2_7_1",
        "Once SHUTDOWN is sent it takes no more messages from its user, and goes on shutting down.",
    ),
    Purpose(
        "SCTP_AT_I_2_7_2",
        "Once SHUTDOWN has come it takes no more messages from its user, and goes on shutting "
        "down.",
    ),
    Purpose(
        "SCTP_AT_I_2_7_3",
        "While a SHUTDOWN waits for acknowledgements it takes no more messages from its user.",
    ),
    Purpose(
        "SCTP_AT_I_2_7_4",
        "Once SHUTDOWN ACK is sent it takes no more messages from its user, and goes on shutting "
        "down.",
    ),
    Purpose(
        "SCTP_AT_I_2_8",
        "After its SHUTDOWN it answers data at once by SHUTDOWN, starts T2-shutdown anew, and "
        "delivers the data.",
    ),
    Purpose(
        "SCTP_AT_I_2_9",
        "Data that comes after the peer's SHUTDOWN is neither acknowledged nor delivered.",
    ),
    Purpose(
        "SCTP_AT_I_2_10",
        "A second SHUTDOWN while its own data is outstanding changes nothing: the data is sent "
        "again, and SHUTDOWN ACK follows its acknowledgement.",
    ),
    Purpose(
        "SCTP_AT_I_2_11",
        "It sends the SHUTDOWN ACK again when T2-shutdown expires.",
    ),
    Purpose(
        "SCTP_AT_I_2_12",
        "After Association.Max.Retrans retransmissions of the SHUTDOWN ACK it gives the "
        "association up, and tells its user.",
    ),
    Purpose(
        "SCTP_AT_I_2_13",
        "SHUTDOWN COMPLETE, with the peer's tag and the T bit too, ends the association.",
    ),
    Purpose(
        "SCTP_AT_V_2_14",
        "A SHUTDOWN that acknowledges all that is outstanding is answered by SHUTDOWN ACK.",
    ),
    # Invalid messages.
    Purpose(
        "SCTP_IMH_I_3_1",
        "It sets nothing up for an INIT too short for its fixed fields.",
    ),
    Purpose(
        "SCTP_IMH_I_3_2",
        "It sends no COOKIE ECHO for an INIT ACK too short for its fixed fields.",
    ),
    Purpose(
        "SCTP_IMH_I_3_3",
        "It drops packets with a wrong verification tag without a word, whatever is in them.",
    ),
    Purpose(
        "SCTP_IMH_I_3_4",
        "It drops packets with a wrong checksum without a word, whatever is in them.",
    ),
    Purpose(
        "SCTP_IMH_I_3_5",
        "It drops a COOKIE ECHO with a cookie that it did not sign, and stays closed.",
    ),
    Purpose(
        "SCTP_IMH_I_3_6",
        "It answers a cookie whose life is over by an ERROR with the cause Stale Cookie, and stays "
        "closed.",
    ),
    Purpose(
        "SCTP_IMH_I_3_7",
        "It ignores an ABORT with a tag that is neither end's.",
    ),
    Purpose(
        "SCTP_IMH_I_3_8",
        "It drops a chunk that is longer than the packet which it is in.",
    ),
    Purpose(
        "SCTP_IMH_I_3_9",
        "It ignores a SHUTDOWN ACK with a wrong tag after its SHUTDOWN.",
    ),
    Purpose(
        "SCTP_IMH_I_3_10",
        "It ignores a SHUTDOWN COMPLETE with a wrong tag, and one with the peer's tag but no T "
        "bit, after its SHUTDOWN ACK.",
    ),
    # Duplicate and unexpected messages.
    Purpose(
        "SCTP_DM_O_4_1",
        "Waiting for an INIT ACK, it answers an INIT by an INIT ACK with the tag of its own INIT, "
        "and T1-init goes on.",
    ),
    Purpose(
        "SCTP_DM_O_4_2_1",
        "An INIT for an established association is answered by an INIT ACK with a new tag, sent "
        "with the INIT's tag, and changes nothing.",
    ),
    Purpose(
        "SCTP_DM_O_4_2_2",
        "After its SHUTDOWN ACK it answers an INIT by another SHUTDOWN ACK.",
    ),
    Purpose(
        "SCTP_DM_O_4_3",
        "It ignores a second INIT ACK when it has sent its COOKIE ECHO.",
    ),
    Purpose(
        "SCTP_DM_O_4_4",
        "It ignores a COOKIE ACK when the association is established.",
    ),
    Purpose(
        "SCTP_DM_O_4_5",
        "If SHUTDOWNs cross, it answers by SHUTDOWN ACK.",
    ),
    Purpose(
        "SCTP_DM_O_4_6_1",
        "It ignores a SHUTDOWN while it sets the association up.",
    ),
    Purpose(
        "SCTP_DM_O_4_6_2",
        "Without an association it answers a SHUTDOWN by an ABORT with the SHUTDOWN's tag and the "
        "T bit.",
    ),
    Purpose(
        "SCTP_DM_O_4_6_3",
        "If SHUTDOWNs cross, T2-shutdown starts anew, and then SHUTDOWN ACK is sent again.",
    ),
    Purpose(
        "SCTP_DM_O_4_7_1",
        "While it sets an association up it answers SHUTDOWN ACK by SHUTDOWN COMPLETE with the "
        "same tag and the T bit, and goes on.",
    ),
    Purpose(
        "SCTP_DM_O_4_7_2",
        "It ignores a SHUTDOWN ACK when it has sent no SHUTDOWN.",
    ),
    Purpose(
        "SCTP_DM_O_4_7_3",
        "If SHUTDOWN ACKs cross, it answers by SHUTDOWN COMPLETE, and the association is gone.",
    ),
    Purpose(
        "SCTP_DM_O_4_8",
        "A COOKIE ECHO with a cookie that it did not sign changes nothing in an association.",
    ),
    Purpose(
        "SCTP_DM_O_4_9",
        "It ignores a SHUTDOWN COMPLETE in all states but after its SHUTDOWN ACK.",
    ),
    Purpose(
        "SCTP_DM_O_4_10",
        "Data that comes after its SHUTDOWN ACK is neither acknowledged nor delivered.",
    ),
    # Faults.
    Purpose(
        "SCTP_FH_I_5_1_1",
        "After Association.Max.Retrans retransmissions in a row it gives the association up, and "
        "tells its user.",
    ),
    Purpose(
        "SCTP_FH_I_5_1_2",
        "A SACK for what was retransmitted makes it count retransmissions from zero again.",
    ),
    Purpose(
        "SCTP_FH_V_5_2",
        "It answers a HEARTBEAT by a HEARTBEAT ACK with the same contents.",
    ),
    Purpose(
        "SCTP_FH_O_5_3_1",
        "Without an association it answers data by an ABORT with the data's tag and the T bit.",
    ),
    Purpose(
        "SCTP_FH_O_5_3_2",
        "Without an association it does not answer an ABORT.",
    ),
    Purpose(
        "SCTP_FH_O_5_3_3",
        "Without an association it answers SHUTDOWN ACK by SHUTDOWN COMPLETE with the same tag and "
        "the T bit.",
    ),
    Purpose(
        "SCTP_FH_O_5_3_4",
        "Without an association it does not answer a SHUTDOWN COMPLETE.",
    ),
    Purpose(
        "SCTP_FH_O_5_3_5",
        "It drops packets from and to addresses that are not one host's, without a word.",
    ),
    # Errors.
    Purpose(
        "SCTP_E_O_6_1",
        "Told that its cookie is stale, it tries again with an INIT, or gives up and tells its "
        "user.",
    ),
    Purpose(
        "SCTP_E_O_6_2",
        "Told that a cookie is stale when it has not just sent one, it does nothing.",
    ),
    Purpose(
        "SCTP_E_I_6_3",
        "It acknowledges data on a stream that there is not, does not deliver it, and reports "
        "the stream in an ERROR.",
    ),
    Purpose(
        "SCTP_E_I_6_4",
        "It answers an INIT ACK without a cookie by an ABORT that says what is missing.",
    ),
    Purpose(
        "SCTP_E_I_6_5",
        "It reports an unknown parameter of an INIT ACK in an ERROR, with its COOKIE ECHO or "
        "after it, and goes on.",
    ),
    Purpose(
        "SCTP_E_I_6_6",
        "A COOKIE ECHO that comes with an ERROR about unknown parameters sets the association up.",
    ),
    # Bundling.
    Purpose(
        "SCTP_BDC_I_7_1",
        "It drops a packet with data behind an INIT.",
    ),
    Purpose(
        "SCTP_BDC_I_7_2",
        "It drops a packet with an INIT ACK and data, and waits on.",
    ),
    Purpose(
        "SCTP_BDC_I_7_3",
        "It drops a packet with data behind a SHUTDOWN COMPLETE, and waits on.",
    ),
    Purpose(
        "SCTP_BDC_V_7_4",
        "It takes data behind a COOKIE ECHO, and acknowledges it at once.",
    ),
    Purpose(
        "SCTP_BDC_V_7_5",
        "It takes data behind a COOKIE ACK, and acknowledges it at once.",
    ),
    Purpose(
        "SCTP_BDC_V_7_6",
        "It accepts a SHUTDOWN with a SACK before it or behind it.",
    ),
    Purpose(
        "SCTP_BDC_V_7_7",
        "It accepts a SACK and the data behind it.",
    ),
    Purpose(
        "SCTP_BDC_V_7_8",
        "It accepts a SHUTDOWN ACK, and does not take the data that comes behind it.",
    ),
    # Data.
    Purpose(
        "SCTP_D_V_8_1",
        "It sends a message that fits a packet as one chunk, with the bits B and E.",
    ),
    Purpose(
        "SCTP_D_V_8_2",
        "It sends a longer message as chunks with TSNs in a row and one SSN: B, neither, E.",
    ),
    Purpose(
        "SCTP_D_V_8_3",
        "It puts a message together from first, middle and last chunk, and delivers it whole.",
    ),
    Purpose(
        "SCTP_D_V_8_4",
        "A SACK for all that is outstanding stops T3-rtx; the next data starts it.",
    ),
    Purpose(
        "SCTP_D_I_8_5",
        "It sends data again when T3-rtx expires, and starts the timer again.",
    ),
    Purpose(
        "SCTP_D_O_8_6",
        "It reports each duplicate in a SACK at once, does not deliver it again, and does not "
        "report it twice.",
    ),
    Purpose(
        "SCTP_D_O_8_7",
        "If the peer's window is closed it has one packet in flight, no more, until room is told.",
    ),
    Purpose(
        "SCTP_D_O_8_8",
        "If the peer's window is closed it takes messages from its user, probes, and sends all of "
        "them when there is room.",
    ),
    Purpose(
        "SCTP_D_V_8_9",
        "It sends what is to be sent again before it sends what is new.",
    ),
    Purpose(
        "SCTP_D_V_8_10",
        "A SACK from another address of the peer counts.",
    ),
    Purpose(
        "SCTP_D_I_8_11",
        "It answers a DATA chunk without data by an ABORT with the cause No User Data.",
    ),
    Purpose(
        "SCTP_D_O_8_12",
        "It drops a SACK that acknowledges less than an earlier one did.",
    ),
    Purpose(
        "SCTP_D_V_8_13",
        "It receives a message as long as the longest one that it sends itself.",
    ),
    Purpose(
        "SCTP_D_V_8_14",
        "It sends a message of the maximum size, whole and in order, and none that is longer.",
    ),
    Purpose(
        "SCTP_D_V_8_15",
        "It deals with a received message that is longer than the longest that it can receive.",
        NOT_APPLICABLE,
        "there is no longest message to receive: one that the window does not hold is handed up in "
        "pieces (section 6.9)",
    ),
    # Acknowledgements.
    Purpose(
        "SCTP_A_V_9_1",
        "It acknowledges the first data of an association at once, and later data in time.",
    ),
    Purpose(
        "SCTP_A_V_9_2",
        "One SACK can acknowledge many chunks: those of one packet, and those of two packets.",
    ),
    Purpose(
        "SCTP_A_O_9_3",
        "It acknowledges data behind a gap at once, reports the gap, and delivers in order.",
    ),
    # Unknown chunks.
    Purpose(
        "SCTP_M_I_10_1",
        "It skips an unknown chunk whose type begins with bits 11, reports it, and takes the rest.",
    ),
    Purpose(
        "SCTP_M_I_10_2",
        "It drops a packet from an unknown chunk on whose type begins with bits 00, without a "
        "word.",
    ),
    Purpose(
        "SCTP_M_I_10_3",
        "It drops a packet from an unknown chunk on whose type begins with bits 01, and reports "
        "that chunk.",
    ),
    Purpose(
        "SCTP_M_I_10_4",
        "It skips an unknown chunk whose type begins with bits 10, without a word, and takes the "
        "rest.",
    ),
    # Retransmission timer.
    Purpose(
        "SCTP_RT_I_11_1",
        "Each time that T3-rtx expires, the retransmission timeout of that address doubles.",
    ),
    Purpose(
        "SCTP_RT_I_11_2",
        "The document has the same purpose once more; here: the timeout doubles up to RTO.Max and "
        "no further.",
    ),
    Purpose(
        "SCTP_RT_I_11_3",
        "Data that is sent again to another address waits for the timeout of that address.",
    ),
]
