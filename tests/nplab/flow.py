"""Messages that arrive in fragments and not in their order, some of which are skipped."""

from __future__ import annotations

from collections.abc import Sequence

from trio_sctp._engine import wire
from trio_sctp._engine.wire import FIRST, LAST, UNORDERED
from trio_sctp._values import Message

from . import tester
from .tester import NplabTester, skipping


class _Message:
    """One message of the script's.

    ``kind`` is ``U`` if it is unordered, else its stream and stream sequence number: ``1.0``.
    """

    def __init__(self, kind: str, tsns: range) -> None:
        self.tsns = tsns
        self.ordered = kind != "U"
        stream, ssn = kind.split(".") if self.ordered else ("0", "0")
        self.stream, self.ssn = int(stream), int(ssn)
        self.payload = b"".join(_payload(tsn) for tsn in tsns)

    def chunk(self, peer: NplabTester, tsn: int) -> bytes:
        flags = 0 if self.ordered else UNORDERED
        if tsn == self.tsns[0]:
            flags |= FIRST
        if tsn == self.tsns[-1]:
            flags |= LAST
        return peer.data(
            _payload(tsn),
            flags=flags,
            stream=self.stream,
            tsn=tsn,
            ssn=self.ssn,
            fsn=tsn - self.tsns[0],
        )


class Flow:
    """An association on which messages arrive, and what the engine has to do about each packet.

    The messages are numbered from 1, and have their TSNs in that order, also from 1.

    Args:
      kinds: What each message is: ``U`` is unordered, ``1.0`` has that stream and SSN.
      sizes: The number of fragments of each message; 2 of each if it is not given.
    """

    def __init__(self, kinds: str, sizes: Sequence[int] = ()) -> None:
        self.peer = skipping()
        self._messages: list[_Message] = []
        tsn = 1
        unordered = 0
        for number, kind in enumerate(kinds.split()):
            size = sizes[number] if sizes else 2
            message = _Message(kind, range(tsn, tsn + size))
            if tester.interleaving and not message.ordered:
                message.ssn, unordered = unordered, unordered + 1
            self._messages.append(message)
            tsn += size
        self._arrived: set[int] = set()
        self._point = 0  # the highest TSN of a FORWARD TSN
        self._delivered: set[int] = set()  # numbers of messages

    def packet(
        self, *tsns: int, skips: Sequence[int] = (), sack: int, gaps: Sequence[tuple[int, int]] = ()
    ) -> None:
        """Send one packet, and expect its SACK, and the messages that it makes deliverable.

        Args:
          tsns: The DATA chunks.
          skips: The TSNs up to which FORWARD TSNs in front of them skip.
          sack: The cumulative TSN of the SACK.
          gaps: The gap blocks of the SACK: first and last TSN, from 1 and not from ``sack``.
        """
        chunks = [self._skip(point) for point in skips]
        chunks += [self._message_of(tsn).chunk(self.peer, tsn) for tsn in tsns]
        self._arrived.update(tsns)
        self.peer.give(*chunks)
        answer = self._sack()
        assert answer.cumulative_tsn == sack
        assert [(first + sack, last + sack) for first, last in answer.gaps] == list(gaps)
        messages = [event for event in self.peer.events() if isinstance(event, Message)]
        due = [self._messages[number] for number in self._due()]
        # On each stream the order matters; those that are unordered count as one.
        messages.sort(key=lambda message: -1 if message.unordered else message.stream)
        due.sort(key=lambda message: message.stream if message.ordered else -1)
        assert [message.data for message in messages] == [message.payload for message in due]
        for message, sent in zip(messages, due, strict=True):
            assert (message.stream, message.unordered) == (sent.stream, not sent.ordered)
            assert message.tsn == sent.tsns[0]
            assert (message.mid if tester.interleaving else message.ssn) == sent.ssn

    def close(self) -> None:
        """End the association; what was skipped has left nothing behind."""
        inbound = self.peer.association.inbound
        assert inbound is not None
        assert inbound.held == 0
        self.peer.closes()

    def _skip(self, point: int) -> bytes:
        """A FORWARD TSN; it names the streams of all messages since the last one."""
        ordered, unordered = (
            {
                message.stream: message.ssn
                for message in self._messages
                if message.ordered is order and self._point < message.tsns[0] <= point
            }
            for order in (True, False)
        )
        self._point = point
        return self.peer.skip(point, *ordered.items(), unordered=list(unordered.items()))

    def _sack(self) -> wire.Sack:
        """The SACK; only one without gaps may be delayed."""
        at_once = self.peer.chunks()
        (sack,) = at_once or (self.peer.advance(0.5) and self.peer.chunks())
        assert isinstance(sack, wire.Sack)
        assert at_once or not sack.gaps
        return sack

    def _due(self) -> list[int]:
        """The messages that are complete, and before which no other is waited for."""
        due = []
        for number, message in enumerate(self._messages):
            if number in self._delivered or not self._arrived.issuperset(message.tsns):
                continue
            before = [
                earlier
                for earlier in range(number)
                if message.ordered
                and self._messages[earlier].ordered
                and self._messages[earlier].stream == message.stream
            ]
            if all(
                earlier in self._delivered or self._messages[earlier].tsns[0] <= self._point
                for earlier in before
            ):
                self._delivered.add(number)
                due.append(number)
        return due

    def _message_of(self, tsn: int) -> _Message:
        (message,) = [message for message in self._messages if tsn in message.tsns]
        return message


def _payload(tsn: int) -> bytes:
    """What a DATA chunk carries: data that no other has."""
    return b"%d." % tsn
