"""The requests to change addresses, and their answers: ASCONF and ASCONF ACK (RFC 5061).

Either end asks the other, by an ASCONF, to add an address of its own, to delete one, or to send to
one.  The other end answers by an ASCONF ACK.  What is asked and answered, in which order and how
often, stands here; what that does to the paths, in `address_changes`.

    ask ──> waiting ──begin──> outstanding ──take_ack──> done
                                  │    ^
                                  └ T4 ┘  the same chunk again, also from an address that it adds

One request is outstanding at a time (section 5.1.1, C1), and each has a chunk of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from . import wire
from .path import Path
from .tsn import MASK
from .wire import AsconfParameter, Cause, Tlv

_KEPT_ANSWERS: Final = 8
"""Answers that are kept for ASCONFs that come again.  Of ours, one is outstanding; others may send
a few in one packet."""

_HIGHER: Final = 2**31
_CORRELATION: Final = 4  # bytes of the number by which a response names its request
_RESPONSE: Final = 4 + _CORRELATION + 4  # bytes of an error beside the request that it copies


class Request(NamedTuple):
    """One change that this end asks for: what (`AsconfParameter`), and of which address of ours."""

    kind: int
    address: str


class Change(NamedTuple):
    """The address that a request of the peer is of.

    Attributes:
      address: None if it is none that a host can have.
      wildcard: Whether the request names the address that stands for any.
    """

    address: str | None
    wildcard: bool = False


class Requests:
    """The requests of both ends of an association.

    Attributes:
      outstanding: Our request that was sent and not answered; None if there is none.
      waiting: Those that follow, in order.
      chunk: The ASCONF with the outstanding request.
      path: The path on which it was sent last; None before the first.
      tries: How often it was sent.
      heard_at: The address that it adds, once the peer sends there; "" before.
    """

    __slots__ = (
        "_answer_room",
        "_answers",
        "_no_add_delete",
        "_no_set_primary",
        "_peer_serial",
        "_serial",
        "chunk",
        "heard_at",
        "outstanding",
        "path",
        "tries",
        "waiting",
    )

    def __init__(self, our_tsn: int, their_tsn: int) -> None:
        """Both ends count from their first TSN (5.1, A2)."""
        self.outstanding: Request | None = None
        self.waiting: list[Request] = []
        self.chunk: bytes = b""
        self.path: Path | None = None
        self.tries: int = 0
        self.heard_at: str = ""
        self._serial: int = our_tsn & MASK  # of the next ASCONF
        self._no_add_delete: bool = False  # the peer does not know such requests (5.3, F3a)
        self._no_set_primary: bool = False  # nor such (F3b)
        self._peer_serial: int = (their_tsn - 1) & MASK  # of the last ASCONF that was worked off
        self._answers: dict[int, bytes] = {}
        self._answer_room: int = 0  # bytes that the answers to the packet at hand may still take

    # -- what this end asks for (5.1) ---

    def ask(self, kind: int, address: str) -> bool:
        """Have a request wait for its turn; return whether it does.

        It does not if the peer does not know such requests, or if it takes back one that waits.
        """
        if kind == AsconfParameter.SET_PRIMARY:
            if self._no_set_primary:
                return False
            self.waiting = [one for one in self.waiting if one.kind != kind]
        elif self._no_add_delete:
            return False
        else:
            add, delete = AsconfParameter.ADD_ADDRESS, AsconfParameter.DELETE_ADDRESS
            opposite = Request(delete if kind == add else add, address)
            if opposite in self.waiting:
                self.waiting.remove(opposite)
                return False
        self.waiting.append(Request(kind, address))
        return True

    def is_asked(self, kind: int, address: str) -> bool:
        """Whether a request is outstanding or waits."""
        request = Request(kind, address)
        return request == self.outstanding or request in self.waiting

    def unanswered(self) -> list[Request]:
        """Return the requests that are outstanding or wait, in order."""
        return self.waiting if self.outstanding is None else [self.outstanding, *self.waiting]

    def begin(self, request: Request, known: str) -> None:
        """Make the chunk for a request that has waited.

        `known` is an address of ours by which the peer finds the association.
        """
        self.waiting.remove(request)
        self.outstanding = request
        self.tries = 0
        self.heard_at = ""
        self.path = None
        serial, self._serial = self._serial, (self._serial + 1) & MASK
        address = wire.tlvs([wire.address_parameter(request.address)])
        parameter = Tlv(request.kind, serial.to_bytes(_CORRELATION, "big") + address)
        self.chunk = wire.asconf_chunk(serial, wire.address_parameter(known), [parameter])

    def is_illegal(self, ack: wire.AsconfAck) -> bool:
        """Whether an ASCONF ACK answers what was never sent (5.3, F0)."""
        return self.outstanding is None and (ack.serial - self._serial) & MASK < _HIGHER

    def take_ack_untrusted(self, ack: wire.AsconfAck) -> tuple[Request, int] | None:
        """Return the request that an ASCONF ACK answers, and the cause of its failure, 0 if none.

        Returns None if it answers an earlier one, or none.
        """
        request = self.outstanding
        if request is None or (ack.serial + 1) & MASK != self._serial:
            return None
        self.outstanding = None
        self.path = None
        cause = _failure(ack.responses)
        if cause == Cause.UNRECOGNIZED_PARAMETERS:
            if request.kind == AsconfParameter.SET_PRIMARY:
                self._no_set_primary = True
                self.waiting = [one for one in self.waiting if one.kind != request.kind]
            else:
                self._no_add_delete = True
                kept = AsconfParameter.SET_PRIMARY
                self.waiting = [one for one in self.waiting if one.kind == kept]
        return request, cause

    # -- what the peer asks for (5.2) ---

    def begin_packet(self, room: int) -> None:
        """Answer the ASCONFs of the next packet, in one packet with so many bytes for chunks."""
        self._answer_room = room

    def may_answer(self, answer: bytes) -> bool:
        """Whether the packet that answers has room for one more (E7)."""
        self._answer_room -= len(answer)
        return self._answer_room >= 0

    def answer_before(self, serial: int) -> bytes | None:
        """Return the answer to an ASCONF that was worked off before, if it is still known (E2)."""
        return self._answers.get(serial)

    def is_next(self, serial: int) -> bool:
        """Whether an ASCONF is the one after those that were worked off (E1)."""
        return serial == (self._peer_serial + 1) & MASK

    def answered(self, serial: int, responses: list[Tlv]) -> bytes:
        """Keep the answer to an ASCONF, and return it (E4)."""
        self._peer_serial = serial
        answer = wire.asconf_ack_chunk(serial, responses)
        self._answers[serial] = answer
        if len(self._answers) > _KEPT_ANSWERS:
            del self._answers[next(iter(self._answers))]
        return answer


class Responses:
    """The answer to one ASCONF, while its requests are worked off in order (5.2, V1 to V3).

    What is not named is a success, but behind a failure (5.1, A7 and A8).

    Attributes:
      listed: The parameters of the ASCONF ACK.
      failing: Why all further requests to add or delete fail (5.3, F11); 0 if they do not.
    """

    __slots__ = ("_room", "failing", "listed")

    def __init__(self, room: int) -> None:
        """`room` is how many bytes the chunks of a packet may have."""
        self.listed: list[Tlv] = []
        self.failing: int = 0
        self._room: int = room - len(wire.asconf_ack_chunk(0))

    def have_room(self, parameter: Tlv) -> bool:
        """Whether the answer to one more request fits, whatever it is (C5)."""
        return self._room >= _RESPONSE + 4 + len(parameter.value) + (-len(parameter.value) & 3)

    def add(self, parameter: Tlv, cause: int) -> None:
        """Note what has become of a request; a cause of 0 is a success."""
        if cause:
            self._list(AsconfParameter.ERROR, parameter, [Tlv(cause, wire.tlvs([parameter]))])
        elif self.listed:
            self._list(AsconfParameter.SUCCESS, parameter)

    def refuse_rest(self, parameter: Tlv) -> None:
        """Note that neither a request is done, nor what follows it.

        Behind a failure that goes without saying.
        """
        if not self.listed:
            self._list(AsconfParameter.ERROR, parameter, [Tlv(Cause.RESOURCE_SHORTAGE, b"")])

    def _list(self, kind: int, parameter: Tlv, causes: Sequence[Tlv] = ()) -> None:
        correlation = parameter.value[:_CORRELATION].ljust(_CORRELATION, b"\0")
        response = Tlv(kind, correlation + wire.tlvs(causes))
        self.listed.append(response)
        self._room -= 4 + len(response.value)


def read_change_untrusted(parameter: Tlv, source: str) -> Change:
    """Return what a parameter of an ASCONF asks for.

    The address that stands for any is that of the packet, `source` (4.2.1, 4.2.2, 4.2.4).
    """
    found = wire.parse_tlvs_untrusted(parameter.value[_CORRELATION:])
    if not found:
        return Change(None)
    if is_wildcard(found[0]):
        return Change(source, wildcard=True)
    return Change(wire.address_untrusted(found[0]))


def is_wildcard(address: Tlv) -> bool:
    """Whether an Address parameter stands for any address: 0.0.0.0 or ::."""
    size = wire.ADDRESS_SIZES.get(address.type)
    return size is not None and address.value == bytes(size)


def _failure(responses: list[Tlv]) -> int:
    """Return the first cause of an error in an ASCONF ACK; 0 if it has none."""
    for response in responses:
        if response.type == AsconfParameter.ERROR:
            causes = wire.parse_tlvs_untrusted(response.value[_CORRELATION:])
            return causes[0].type if causes else Cause.PROTOCOL_VIOLATION
    return 0
