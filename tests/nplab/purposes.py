"""What the test suites of nplab ask, script by script, and what became of each.

- PR_SCTP_Testsuite: FORWARD TSN (RFC 3758, RFC 7496), with packetdrill, for FreeBSD and Linux.
- SCTP-PLPMTUD-Tests: path MTU discovery (RFC 8899), with packetdrill, for FreeBSD.
- sctp-tests: with guile; here is what they have beyond ETSI's purposes (tests/etsi).

The purposes are told in our own words.  The names of scripts are shortened:
``receiver/ordered/2_1`` is ``receiver-side-implementation/packet-loss/ordered/
ordered-packet-loss-2_1.pkt``, and ``i-receiver/ordered/2_1`` is the same of ``i-forward-tsn``.
The suites have no lists of expected failures; what their notes say of FreeBSD and Linux, of 2016
and 2017, stands in ``elsewhere``.
"""

from __future__ import annotations

import dataclasses
import enum

from .tester import with_interleaving


class Verdict(enum.Enum):
    """What became of a purpose."""

    RUN = "run"
    """A test checks it."""

    OPEN = "open"
    """The RFCs leave it open, and this engine does something else; a test checks that."""

    CONTRADICTED = "contradicted"
    """An RFC asks for something else; a test checks that instead."""

    NOT_APPLICABLE = "not applicable"
    """It asks for something that this engine does not have."""


RUN, OPEN = Verdict.RUN, Verdict.OPEN
CONTRADICTED, NOT_APPLICABLE = Verdict.CONTRADICTED, Verdict.NOT_APPLICABLE


@dataclasses.dataclass(frozen=True, slots=True)
class Purpose:
    """What some scripts have in common: what the implementation must do, in one sentence.

    Attributes:
      title: That sentence.
      scripts: The scripts.
      verdict: What became of them.
      reason: Why it is not just run.
      elsewhere: Where FreeBSD or Linux did something else.
    """

    title: str
    scripts: list[str]
    verdict: Verdict = RUN
    reason: str = ""
    elsewhere: str = ""


SCRIPTS = {
    # PR_SCTP_Testsuite: 184 scripts.  Its README counts 176.
    "handshake": 8,
    "error-cases": 8,
    "error-cases/ordered": 14,
    "receiver": 11,
    "receiver/ordered": 20,
    "receiver/unordered": 14,
    "receiver/mixed": 31,
    "sender/ttl": 13,
    "sender/rtx": 13,
    "shutdown/ttl": 14,
    "shutdown/rtx": 13,
    "shutdown-received/ttl": 12,
    "shutdown-received/rtx": 13,
    # The same with I-DATA.
    "i-handshake": 15,
    "i-error-cases": 3,
    "i-receiver": 11,
    "i-receiver/ordered": 20,
    "i-receiver/unordered": 14,
    "i-receiver/mixed": 31,
    "i-sender/ttl": 12,
    "i-shutdown/ttl": 13,
    "i-shutdown-received/ttl": 12,
    # SCTP-PLPMTUD-Tests.
    "plpmtud": 38,
    # sctp-tests, as far as they are not ETSI's.
    "as": 6,
    "d": 2,
    "dm": 3,
    "bundling": 3,
    "checksum": 8,
    "data": 16,
    "misc": 15,
    "rfc-4460": 28,
}
"""How many scripts there are in each group."""

LEFT_OUT = {
    "nr-sack": "83 scripts of PR_SCTP_Testsuite need NR-SACK, which never became an RFC.",
}
"""The groups that ask for an extension that is not there, each with the reason."""


def both(*names: str) -> list[str]:
    """The scripts of these names for either policy: a lifetime, or a number of retransmissions."""
    return [
        f"{group}/{policy}/{number}"
        for group, number in (name.rsplit("/", 1) for name in names)
        for policy in ("ttl", "rtx")
    ]


def received(*names: str) -> list[str]:
    """Scripts of a receiver that loses packets."""
    return [f"receiver/{name}" for name in names]


def plpmtud(*names: str) -> list[str]:
    """Scripts of path MTU discovery."""
    return [f"plpmtud/{name}" for name in names]


_OUT_OF_DATE = "Linux's SACK leaves out the DATA that is bundled with the FORWARD TSN."
_WITHHELD = "FreeBSD withholds a whole message while fragments of an earlier one are there."
_NO_TSN = "FreeBSD gives some of the messages a wrong TSN."
_INCOMPLETE = (
    "RFC 9260 section 6.9 tells senders how to cut messages, and receivers nothing of those that "
    "are cut wrongly; this engine keeps the parts, as it would while one is missing, and goes on"
)

_PURPOSES = [
    # -- RFC 3758 section 3.3: who knows FORWARD TSN ---
    Purpose(
        "Without the extension, it reports the parameter of an INIT as unrecognized.",
        ["handshake/1"],
        elsewhere="FreeBSD does not report it.",
    ),
    Purpose("Without the extension, its INIT does not announce it.", ["handshake/2"]),
    Purpose(
        "Without the extension, it reports the parameter of an INIT ACK with its COOKIE ECHO.",
        ["handshake/3"],
        elsewhere="FreeBSD does not report it.",
    ),
    Purpose(
        "It answers a FORWARD TSN of a peer whose INIT announced none by an ERROR.",
        ["handshake/4"],
        elsewhere="Linux drops it in silence.",
    ),
    Purpose(
        "It answers a FORWARD TSN of a peer whose INIT ACK announced none by an ERROR.",
        ["handshake/5"],
        elsewhere="Linux takes it.",
    ),
    Purpose("It uses the extension if both sides have announced it.", ["handshake/6"]),
    Purpose(
        "Of two INITs the one counts whose cookie comes back.",
        ["handshake/7"],
        elsewhere="Neither could be tested with packetdrill.",
    ),
    Purpose(
        "It sends no FORWARD TSN to a peer that reported the parameter as unrecognized.",
        ["handshake/operational-error"],
    ),
    # -- Wrong lengths ---
    Purpose(
        "It drops a FORWARD TSN that is longer than its packet, or ends the association.",
        ["error-cases/forward-tsn-tlv-too-long"],
        elsewhere="Linux sends an ABORT, FreeBSD none.",
    ),
    Purpose(
        "It drops a FORWARD TSN that is no multiple of its parts, or ends the association.",
        ["error-cases/forward-tsn-tlv-too-short"],
        elsewhere="Neither could be tested with packetdrill.",
    ),
    Purpose(
        "It drops a FORWARD TSN without a TSN, or ends the association.",
        ["error-cases/forward-tsn-too-short"],
    ),
    Purpose(
        "It takes nothing from an INIT that its packet, or its header, cuts off.",
        [
            "error-cases/init-with-forward-tsn-tlv-too-long",
            "error-cases/init-with-forward-tsn-tlv-too-short",
            "error-cases/init-with-forward-tsn-too-short",
        ],
        elsewhere="FreeBSD answers the latter two by an INIT ACK.",
    ),
    Purpose(
        "It drops an INIT whose Forward-TSN-supported is not empty, or answers by an ABORT.",
        ["error-cases/init-with-forward-tsn-too-long"],
        OPEN,
        "RFC 3758 section 3.1 has it empty, and says nothing of others; what it has is not read",
        "Linux answers by an INIT ACK too, FreeBSD by an ABORT.",
    ),
    Purpose(
        "It takes no FORWARD TSN to before its cumulative TSN.",
        ["error-cases/invalid-forward-tsn-1"],
    ),
    # -- RFC 9260 section 6.9: fragments with different stream sequence numbers ---
    Purpose(
        "It ends the association when fragments come whose numbers differ, around a skip.",
        [f"error-cases/ordered/{number}" for number in (1, 10, 11)],
        elsewhere="Linux delivers the message of 10 and 11.",
    ),
    Purpose(
        "It delivers no message whose fragments have different numbers, around a skip.",
        [f"error-cases/ordered/{number}" for number in (2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14)],
        reason="the scripts expect that the chunks are acknowledged; here they end the association",
        elsewhere="Linux delivers it.",
    ),
    # -- RFC 3758 section 3.6: the receiver ---
    Purpose(
        "It moves its cumulative TSN past what never came.",
        ["receiver/1", "receiver/3"],
        elsewhere="FreeBSD did nothing before the first DATA, until its revision 304837.",
    ),
    Purpose(
        "It delivers what came, although it is skipped later, and answers with a SACK.",
        ["receiver/2", "receiver/4", "receiver/7"],
    ),
    Purpose("It takes a stream that is named twice for one.", ["receiver/5"]),
    Purpose("It moves on each stream that is named.", ["receiver/6"]),
    Purpose("It answers a skip of what is there already with a SACK.", ["receiver/8"]),
    Purpose("It forgets a fragment of what is skipped.", ["receiver/9"]),
    Purpose("It takes the rest of what it has skipped for a duplicate.", ["receiver/10"]),
    Purpose(
        "It skips nearly 100,000 TSNs at once.",
        ["receiver/11"],
        elsewhere="Linux ignores it.",
    ),
    Purpose(
        "A message that ends is skipped beside the beginning of the next.",
        received("ordered/1", "unordered/1", "mixed/1", "mixed/2"),
    ),
    Purpose(
        "The first is skipped beside the beginning of the second, whose end is there.",
        received("ordered/2", "unordered/2", "mixed/3", "mixed/4"),
        elsewhere=f"{_OUT_OF_DATE} {_NO_TSN}",
    ),
    Purpose("A skip frees a whole message of the same stream.", received("ordered/2_1")),
    Purpose(
        "The first is skipped, and then the second is completed.",
        received("ordered/3", "unordered/3", "mixed/5", "mixed/6"),
        elsewhere=_NO_TSN,
    ),
    Purpose(
        "The first of three is skipped, and the others are completed in their order.",
        received("ordered/4", "ordered/4_1", "unordered/4"),
    ),
    Purpose(
        "The first of three is skipped beside the beginning of the second.",
        received("ordered/5", "ordered/5_1", "unordered/5", "mixed/7", "mixed/8", "mixed/9"),
        elsewhere=f"{_OUT_OF_DATE} {_NO_TSN}",
    ),
    Purpose(
        "The first of three is skipped, and the third is completed before the second.",
        received("ordered/6", "ordered/6_1", "unordered/6"),
        elsewhere=_WITHHELD,
    ),
    Purpose(
        "Nothing is skipped, and the second is completed before the first.",
        received("ordered/7", "unordered/7"),
        elsewhere=_WITHHELD,
    ),
    Purpose(
        "Whole messages behind a gap wait for nothing, and a skip closes the gap.",
        received("ordered/8", "unordered/8"),
    ),
    Purpose(
        "Two of three are skipped one by one.",
        received("ordered/9", "ordered/9_1", "unordered/9")
        + received("mixed/13", "mixed/14", "mixed/15", "mixed/16"),
        elsewhere=_NO_TSN,
    ),
    Purpose(
        "What never came is skipped beside the end of the last.",
        received("ordered/10", "unordered/10"),
        elsewhere="FreeBSD aborts if they are unordered.",
    ),
    Purpose(
        "What had begun to come is skipped beside the end of the last.",
        received("ordered/11", "unordered/11", "mixed/20", "mixed/21", "mixed/22", "mixed/23"),
        elsewhere=f"{_WITHHELD} {_NO_TSN}",
    ),
    Purpose(
        "What never came is skipped beside the beginning of the last.",
        received("ordered/12", "unordered/12"),
        elsewhere=_OUT_OF_DATE,
    ),
    Purpose(
        "Two skips in one packet have one SACK.",
        received("ordered/13", "unordered/13")
        + received("mixed/24", "mixed/25", "mixed/26", "mixed/27", "mixed/28"),
        elsewhere=f"Linux answers by two SACKs. {_WITHHELD} {_NO_TSN}",
    ),
    Purpose(
        "A message of which a part has come is skipped beside what completes another.",
        received("ordered/14", "ordered/14_1", "unordered/14", "mixed/29", "mixed/30", "mixed/31"),
        elsewhere=f"{_WITHHELD} {_NO_TSN}",
    ),
    Purpose(
        "A skip ends within a message of three fragments.",
        received("mixed/10", "mixed/11", "mixed/12"),
        elsewhere=_NO_TSN,
    ),
    Purpose(
        "The last message is skipped, whose end is there.",
        received("mixed/17", "mixed/18", "mixed/19"),
    ),
    # -- RFC 3758 section 3.5: the sender ---
    Purpose(
        "It skips an ordered message of which a part has arrived, and goes on with the next SSN.",
        [*both("sender/1"), "sender/rtx/1_2", "sender/rtx/1_3"],
    ),
    Purpose("It skips an unordered message without naming its stream.", both("sender/2")),
    Purpose("It gives all fragments of a message up at once.", both("sender/3")),
    Purpose(
        "It bundles the FORWARD TSN with what it retransmits.",
        both("sender/4"),
        elsewhere="FreeBSD does not.",
    ),
    Purpose("It delays the FORWARD TSN by no more than 500 ms.", both("sender/5")),
    Purpose("It skips no message that has not been sent.", ["sender/ttl/6"]),
    Purpose(
        "It gives a second message up after the first.",
        [*both("sender/7"), "sender/ttl/7_1"],
        elsewhere="Linux does not retransmit the second when the first skip is acknowledged.",
    ),
    Purpose("It gives an ordered message up, and then an unordered one.", both("sender/8")),
    Purpose("Its FORWARD TSN names each stream once.", both("sender/9")),
    Purpose("It repeats a FORWARD TSN that is not acknowledged.", both("sender/10")),
    Purpose("It skips no further than a message that lives.", both("sender/11")),
    Purpose(
        "It skips no further than a message that has arrived before its turn.",
        both("sender/12"),
    ),
    # -- Closing meanwhile ---
    Purpose(
        "Its SHUTDOWN goes out when all is skipped, and its user can send no more.",
        both("shutdown/1"),
        elsewhere="Linux's port stays taken afterwards.",
    ),
    Purpose(
        "Its SHUTDOWN waits for the acknowledgement of a skip, and its user can send no more.",
        both("shutdown/2", "shutdown/3"),
        elsewhere="Linux's port stays taken afterwards.",
    ),
    Purpose(
        "Its SHUTDOWN waits while a message is skipped of which a part has arrived.",
        both("shutdown/4"),
    ),
    Purpose(
        "Its SHUTDOWN waits while a message is retransmitted and then skipped.",
        both("shutdown/5", "shutdown/6", "shutdown/10"),
    ),
    Purpose(
        "Its SHUTDOWN waits while a message is retransmitted, which then arrives.",
        both("shutdown/7", "shutdown/8", "shutdown/11", "shutdown/12"),
    ),
    Purpose(
        "Its SHUTDOWN waits while a FORWARD TSN is repeated.",
        both("shutdown/9", "shutdown/13"),
    ),
    Purpose("It closes an association that has carried nothing.", ["shutdown/ttl/14"]),
    Purpose(
        "It answers a SHUTDOWN when all is skipped, and its user can send no more.",
        ["shutdown-received/rtx/1"],
    ),
    Purpose(
        "Its SHUTDOWN ACK waits for the acknowledgement of a skip.",
        [*both("shutdown-received/2"), "shutdown-received/rtx/3"],
        elsewhere="Linux's port stays taken afterwards.",
    ),
    Purpose(
        "Its SHUTDOWN ACK waits while a message is skipped of which a part has arrived.",
        both("shutdown-received/4"),
    ),
    Purpose(
        "Its SHUTDOWN ACK waits while a message is retransmitted and then skipped.",
        [
            "shutdown-received/ttl/1",
            *both("shutdown-received/5", "shutdown-received/6", "shutdown-received/10"),
        ],
    ),
    Purpose(
        "Its SHUTDOWN ACK waits while a message is retransmitted, which then arrives.",
        both("shutdown-received/7", "shutdown-received/8")
        + both("shutdown-received/11", "shutdown-received/12"),
    ),
    Purpose(
        "Its SHUTDOWN ACK waits while a FORWARD TSN is repeated.",
        both("shutdown-received/9", "shutdown-received/13"),
    ),
    # -- RFC 8899: path MTU discovery ---
    Purpose(
        "It keeps the base size on a path that passes no more.",
        plpmtud("ipv4_1280_min1280", "ipv6_1280_min1280", "ipv4_1500_up_1200"),
        reason="the scripts expect that the base size is probed; here data shows that it passes",
    ),
    Purpose(
        "It cuts the base size to what the interface passes.",
        plpmtud("ipv4_1280_min1500", "ipv6_1280_min1500"),
        NOT_APPLICABLE,
        "the engine knows of no interface, and the stack's base size passes any IPv6 link",
    ),
    Purpose(
        "It tries the largest size first, and keeps it if it passes.",
        plpmtud("ipv4_1500_optbinary_1500", "ipv6_1500_optbinary_1500"),
    ),
    Purpose(
        "It finds a size between, in some ten probes.",
        plpmtud("ipv4_1500_optbinary_1492", "ipv6_1500_optbinary_1492"),
        reason="to 16 bytes, where the scripts expect 4",
    ),
    Purpose(
        "It finds a size between when it heeds no packet-too-big message.",
        plpmtud("ipv4_1500_optbinary_1492_noptb"),
    ),
    Purpose(
        "It heeds packet-too-big messages that answer probes.",
        plpmtud("ipv4_1500_optbinary_1492_ptb", "ipv4_1500_optbinary_1492_ptb2")
        + plpmtud("ipv6_1500_optbinary_1492_ptb", "ipv6_1500_optbinary_1492_ptb2"),
        NOT_APPLICABLE,
        "RFC 8899 section 3, 6 lets a sender ignore them, and this one does: anybody can send them",
    ),
    Purpose(
        "It heeds packet-too-big messages that answer data, and sends that again.",
        plpmtud("ipv4_1500_optbinary_1500-1492_ptb", "ipv6_1500_optbinary_1500-1492_ptb"),
        NOT_APPLICABLE,
        "RFC 8899 section 3, 6 lets a sender ignore them, and this one does: anybody can send them",
    ),
    Purpose(
        "It begins another association with what an earlier one has found.",
        plpmtud("ipv4_1500_optbinary_1492_hc", "ipv6_1500_optbinary_1492_hc"),
        NOT_APPLICABLE,
        "the engine keeps nothing of hosts with which it has no association",
    ),
    Purpose(
        "It looks again later whether a path has become wider.",
        plpmtud("ipv4_1500_optbinary_1280-1492"),
        reason="after ten minutes and when there is much to send, not by a timer",
    ),
    Purpose(
        "It looks again at once when its interface passes less than before.",
        plpmtud("ipv4_1500_optbinary_1500-1492", "ipv6_1500_optbinary_1500-1492"),
        reason="the engine knows of no interface: it finds it out by what gets lost",
    ),
    Purpose(
        "It looks again when a router advertises a smaller MTU.",
        plpmtud("ipv6_1500_optbinary_1500-1492_nd"),
        NOT_APPLICABLE,
        "router advertisements are the operating system's",
    ),
    Purpose(
        "It tries less than the base size if that gets lost, and more again if that passes.",
        plpmtud("ipv4_1500_optbinary_1500_error_ack"),
        reason="it tries more ten minutes later, where the script expects it at once",
    ),
    Purpose(
        "It stops to probe when nothing gets through.",
        plpmtud("ipv4_1500_optbinary_1500_error_fail", "ipv6_1500_optbinary_1500_error_fail"),
        reason="it probes the smallest size only, since data in flight has shown the rest",
    ),
    Purpose(
        "It takes one lost probe for no proof that a size is too large.",
        plpmtud("ipv4_1500_optbinary_1500_loss1", "ipv6_1500_optbinary_1500_loss1"),
        reason="it repeats the probe, where the scripts expect smaller ones in between",
    ),
    Purpose(
        "It takes a late answer to a probe for no proof that a size is too large.",
        plpmtud("ipv4_1500_optbinary_1500_late1"),
        reason="it repeats the probe, where the script expects smaller ones in between",
    ),
    Purpose(
        "It stops a search that its user switches off, and uses the size that is given.",
        plpmtud("ipv4_1500_sockopt_asoc_disable", "ipv4_1500_sockopt_net_disable"),
    ),
    Purpose(
        "It begins a search that its user switches on.",
        plpmtud("ipv4_1500_sockopt_asoc_enable", "ipv4_1500_sockopt_net_enable"),
    ),
    Purpose(
        "It searches upwards in steps of 4 bytes.",
        plpmtud("ipv4_1500_up_1500"),
        NOT_APPLICABLE,
        "there is one way to search, which halves",
    ),
    Purpose(
        "It tells its user of each size that is found, and uses it, at once.",
        plpmtud("ipv4_1500_up_1500_check1", "ipv4_1500_up_1500_check2"),
        reason="on a search that halves",
    ),
    Purpose("It answers the probes of a peer.", plpmtud("ipv4_passive")),
    Purpose(
        "In UDP it leaves room for UDP's header.",
        plpmtud("ipv4_udp_1500_optbinary_1500", "ipv6_udp_1500_optbinary_1500"),
        reason="and for IPv6's header, even over IPv4",
    ),
    # -- sctp-tests: set-up ---
    Purpose(
        "It answers an INIT that supports a type of addresses it does not know.", ["as/v-1-6-1-alt"]
    ),
    Purpose(
        "It treats unknown parameters of an INIT ACK as the bits of their types say.",
        [f"as/i-1-8-{number}-alt" for number in (1, 2, 3, 4)],
    ),
    Purpose(
        "It goes on if an INIT ACK announces FORWARD TSN in front of the cookie.",
        ["as/i-1-8-1-alt-alt"],
    ),
    Purpose(
        "It takes a COOKIE ACK from another address that the INIT ACK lists.",
        ["misc/cookie-ack-from-other-address"],
    ),
    Purpose(
        "It answers nothing to a COOKIE ECHO with an ABORT behind it.",
        ["misc/cookie-ack-bundled-with-abort"],
    ),
    Purpose(
        "It takes an INIT ACK with more streams than it allowed.",
        ["misc/init-ack-stream-test"],
        reason="the script has no verdict",
    ),
    Purpose(
        "It answers an INIT with Set Primary Address.",
        [f"misc/init-with-set-primary-{kind}-address" for kind in ("valid", "invalid", "hostname")],
    ),
    Purpose(
        "It answers an INIT ACK with Set Primary Address.",
        [
            f"misc/init-ack-with-set-primary-{kind}-address"
            for kind in ("valid", "invalid", "hostname")
        ],
    ),
    Purpose(
        "It survives a RE-CONFIG whose parameter is cut off.",
        ["misc/malformed-stream-reset-request"],
    ),
    Purpose(
        "It takes a COOKIE ECHO from another address than the INIT's.",
        ["misc/cookie-with-wrong-address"],
    ),
    Purpose(
        "An INIT that it cannot accept harms no association.",
        [f"misc/init-with-zero-{field}" for field in ("initiate-tag", "a-rwnd", "os", "mis")],
    ),
    Purpose("It ignores a SHUTDOWN ACK that answers nothing.", ["dm/o-4-7-2-established"]),
    Purpose(
        "It takes a SHUTDOWN ACK during the set-up for one out of the blue.",
        ["dm/o-4-7-2-cookie-wait", "dm/o-4-7-2-cookie-echoed"],
    ),
    # -- sctp-tests: packets ---
    Purpose("It answers many HEARTBEATs in a packet by one packet.", ["bundling/heartbeats"]),
    Purpose("It reports many unknown chunks in a packet by one packet.", ["bundling/unknowns"]),
    Purpose(
        "It answers many SHUTDOWN ACKs out of the blue in a packet once.",
        ["bundling/shutdown-acks"],
    ),
    Purpose(
        "It takes packets with a CRC32c, and no others.",
        [
            f"checksum/{checksum}-{padding}-padding"
            for checksum in ("crc32c", "adler32", "zero", "wrong")
            for padding in ("with", "without")
        ],
    ),
    # -- sctp-tests: user data ---
    Purpose(
        "It sends no DATA again that is acknowledged in time, and gives up after enough of it.",
        ["d/v-8-4-alt", "d/i-8-5-alt"],
        NOT_APPLICABLE,
        "they are ETSI's D_V_8_4 and D_I_8_5 for programs that echo; see tests/etsi",
    ),
    Purpose(
        "It reports I-DATA that was not agreed on.",
        ["data/send-ndata"],
        CONTRADICTED,
        "RFC 8260 section 2.2.3 has it end the association",
    ),
    Purpose(
        "It ends the association when neighbouring fragments belong to different messages.",
        [
            f"data/{name}"
            for name in ("send-on-different-streams", "ssn-not-same", "unordered-fragmented")
        ],
    ),
    Purpose(
        "It ends the association when a message lacks a part that can never come.",
        [
            f"data/{name}"
            for name in (
                "double-begin",
                "start-with-end",
                "unordered-incomplete-message",
                "ordered-incomplete-message",
                "complete-after-middle-fragment",
                "only-end",
            )
        ],
        OPEN,
        _INCOMPLETE,
        "FreeBSD failed three of them when the scripts were written.",
    ),
    Purpose("It ends the association when DATA has no data.", ["data/no-user-data"]),
    Purpose("It goes on when the TSNs begin anew.", ["data/wrap-TSN"]),
    Purpose(
        "It answers an ABORT behind DATA by an ABORT.",
        ["data/bundle-data-abort"],
        CONTRADICTED,
        "RFC 9260 section 3.3.7: an ABORT is never answered by another",
    ),
    Purpose("It reports DATA on a stream that there is not.", ["data/invalid-stream"]),
    Purpose(
        "It takes DATA before the cookie for out of the blue.",
        ["data/data-before-cookie-echo", "data/data-oob"],
    ),
    # -- sctp-tests: RFC 4460 ---
    Purpose("It reports an unknown chunk that stops the packet.", ["rfc-4460/2-1-01"]),
    Purpose(
        "It accepts an INIT with the last padding counted or not.",
        ["rfc-4460/2-3-01", "rfc-4460/2-3-02"],
    ),
    Purpose("Its INIT ACK has no more streams than the INIT allows.", ["rfc-4460/2-5-01"]),
    Purpose(
        "It drops an INIT that is not alone in its packet.",
        [f"rfc-4460/2-11-0{number}" for number in (1, 2, 3, 4)],
    ),
    Purpose(
        "It drops an INIT with a verification tag.",
        ["rfc-4460/2-11-05", "rfc-4460/2-11-06"],
    ),
    Purpose(
        "It drops what comes from port 0 or goes to it.", ["rfc-4460/2-40-01", "rfc-4460/2-40-02"]
    ),
    Purpose(
        "It answers an INIT by an ABORT with the INIT's tag where nobody listens.",
        ["rfc-4460/2-41-01"],
    ),
    Purpose(
        "It answers an INIT by an ABORT with the INIT's tag if it cannot be accepted.",
        [f"rfc-4460/2-41-0{number}" for number in (2, 3, 4)],
    ),
    Purpose(
        "It answers an INIT without a tag by an ABORT without one.",
        ["rfc-4460/2-41-05"],
        CONTRADICTED,
        "RFC 9260 section 3.3.2: it is dropped",
    ),
    Purpose("It answers a SHUTDOWN ACK out of the blue with its tag.", ["rfc-4460/2-41-06"]),
    Purpose("It answers a HEARTBEAT out of the blue with its tag.", ["rfc-4460/2-41-07"]),
    Purpose(
        "It takes an ABORT with its tag, or with the peer's tag and the T bit, and no other.",
        [f"rfc-4460/2-41-{number}" for number in ("08", "09", "10", "11")],
    ),
    Purpose(
        "It takes a SHUTDOWN COMPLETE with its tag, or with the peer's and the T bit, no other.",
        [f"rfc-4460/2-41-{number}" for number in (12, 13, 14, 15)],
    ),
    Purpose(
        "It accepts no INIT with an unknown parameter where nobody listens.",
        ["rfc-4460/2-42-01"],
    ),
]

_INTERLEAVED = [
    # -- RFC 8260 section 2.3.1: who knows I-FORWARD-TSN ---
    Purpose(
        "Without partial reliability, its INIT ACK reports the parameter, and names neither chunk.",
        ["i-handshake/1"],
        elsewhere="FreeBSD does not report it.",
    ),
    Purpose("Without partial reliability, its INIT names neither chunk.", ["i-handshake/2"]),
    Purpose(
        "Without partial reliability, its COOKIE ECHO brings an ERROR that reports the parameter.",
        ["i-handshake/3"],
        elsewhere="FreeBSD does not report it.",
    ),
    Purpose(
        "It answers an I-FORWARD-TSN that was not agreed on by an ERROR.",
        ["i-handshake/4", "i-handshake/5"],
        CONTRADICTED,
        "RFC 8260 section 2.3.1 has it end the association",
        "FreeBSD takes it if FORWARD TSN was agreed on.",
    ),
    Purpose(
        "It sends I-DATA and I-FORWARD-TSN if both sides have named both.",
        [f"i-handshake/{number}" for number in (6, 7, 11, 12)],
    ),
    Purpose(
        "It sends DATA and FORWARD TSN to a peer that did not name I-DATA.",
        [f"i-handshake/{number}" for number in (8, 10, 13, 15)],
    ),
    Purpose(
        "It sends FORWARD TSN to a peer that named I-DATA and not I-FORWARD-TSN.",
        ["i-handshake/9", "i-handshake/14"],
        CONTRADICTED,
        "RFC 8260 section 2.3.1 forbids FORWARD TSN beside I-DATA, so nothing is given up",
        "FreeBSD sends I-FORWARD-TSN.",
    ),
    # -- Wrong lengths of I-FORWARD-TSN ---
    Purpose(
        "It drops an I-FORWARD-TSN that is longer than its packet.",
        ["i-error-cases/i-forward-tsn-tlv-too-long"],
    ),
    Purpose(
        "It ends the association on an I-FORWARD-TSN that is no multiple of its parts.",
        ["i-error-cases/i-forward-tsn-tlv-too-short"],
        elsewhere="FreeBSD could not be tested with packetdrill.",
    ),
    Purpose(
        "It drops an I-FORWARD-TSN without a TSN.",
        ["i-error-cases/i-forward-tsn-too-short"],
        OPEN,
        "RFC 8260 says nothing of it; what is malformed ends the association here",
    ),
]

PURPOSES = [
    dataclasses.replace(purpose, scripts=purpose.scripts + with_interleaving(purpose.scripts))
    for purpose in [*_PURPOSES, *_INTERLEAVED]
]
