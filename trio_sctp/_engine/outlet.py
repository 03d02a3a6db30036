"""What the associations of an endpoint share.

It is their way out: packets that have to leave, messages and events for the program; and addresses
and random numbers for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from .._values import FailedFragment, Notification, PeerAddressChange, PeerAddressState
from .addresses import AddressBook
from .arrivals import Arrivals
from .path import Path, Route


class Outgoing(NamedTuple):
    """A packet that has to leave; `fragment` says that IP may fragment it.

    `tos` is its type of service.
    """

    data: bytes
    route: Route
    tos: int
    fragment: bool


class Outlet:
    """The way out of an endpoint, which its associations share and which knows none of them.

    Attributes:
      port: The endpoint's SCTP port.
      packets: Those that have to leave; whoever sends them puts an empty list there.
      arrivals: What was reported and delivered to the program.
      address_book: Our addresses, and whose the peers' are.
      randomness: Gives as many random bytes as it is asked for.
    """

    __slots__ = ("address_book", "arrivals", "packets", "port", "randomness")

    def __init__(
        self, port: int, addresses: Sequence[str], randomness: Callable[[int], bytes]
    ) -> None:
        self.port: int = port
        self.arrivals: Arrivals = Arrivals()
        self.address_book: AddressBook = AddressBook(addresses)
        self.randomness: Callable[[int], bytes] = randomness
        self.packets: list[Outgoing] = []

    def transmit(self, data: bytes, route: Route, tos: int, *, fragment: bool = False) -> None:
        """Have a packet leave."""
        self.packets.append(Outgoing(data, route, tos, fragment))

    def report(self, event: Notification | FailedFragment) -> None:
        """Tell the program of an event."""
        unread = self.arrivals.of(event.association_id)
        if unread is not None:
            unread.report(event)

    def report_path(self, id: int, path: Path, state: PeerAddressState) -> None:
        """Tell the program what an address of an association's peer has become."""
        self.report(PeerAddressChange(association_id=id, address=path.peer, state=state, error=0))

    def report_failures(self, id: int, failed: list[FailedFragment]) -> None:
        """Tell the program of messages of an association that were given up; none are left."""
        for one in failed:
            one.association_id = id
            self.report(one)
        failed.clear()

    def number(self) -> int:
        """Return a random number of 32 bits."""
        return int.from_bytes(self.randomness(4), "big")

    def fraction(self) -> float:
        """Return a random number from 0 to 1."""
        return self.number() / 2**32
