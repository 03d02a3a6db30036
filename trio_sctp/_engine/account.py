"""The account of a stack: how much memory peers make its endpoints hold, and who gives way."""

from __future__ import annotations

import ipaddress
from typing import Final, Protocol

from .._log import Drops

DEFAULT_LIMIT: Final = 2**28
"""Bytes that all peers of a stack together can make it hold."""

ASSOCIATION_COST: Final = 8192
"""Bytes that an association takes while nothing has arrived on it, with one address of its peer."""

PATH_COST: Final = 1024
"""Bytes that each further address of its peer takes."""

LEFT_COST: Final = 1536
"""Bytes that an association takes which has ended, and has left something that is unread."""

PRECISION: Final = 2048
"""Bytes by which a share may change before it is counted anew: not for every packet."""

EVENT_COST: Final = 192
"""Bytes that an event takes beside the bytes in it."""


class Holder(Protocol):
    """What holds memory for peers: an endpoint."""

    def give_way(self, id: int, reason: str, now: float) -> None:
        """End an association, and forget the messages that have come on it.

        Args:
          id: The association's; it may have ended.
          reason: Why, for the peer to read.
          now: Seconds.
        """
        ...


class Share:
    """The part of an account that is one association's.

    Attributes:
      account: The account.
      held: Bytes that are held for the association.
      address: The address of its peer, to which they are counted.
      holder: The endpoint that holds them.
      id: The association's id there.
    """

    __slots__ = ("account", "address", "held", "holder", "id")

    def __init__(self, account: Account, address: _Address, holder: Holder, id: int) -> None:
        self.account: Account = account
        self.address: _Address = address
        self.holder: Holder = holder
        self.id: int = id
        self.held: int = 0

    @property
    def room(self) -> int:
        """How much more may be held for associations with that address; it may be below zero.

        They may fill half of what the others leave, so that there is always room for those that
        hold little.
        """
        account = self.account
        return (account.limit - account.held - self.address.held) >> 1


class _Address:
    """The shares of all associations with an address: largest first is who gives way."""

    __slots__ = ("held", "level", "name", "shares")

    def __init__(self, name: str) -> None:
        self.name: str = name
        self.held: int = 0
        self.level: int = 0  # the bits of `held`
        self.shares: dict[Share, None] = {}


class Account:
    """What the peers of a stack make it hold, with a limit for all of them together.

    What is counted is of the order of what it takes in memory.  Addresses are those of IP; IPv6
    addresses of one network of 64 bits count as one, since a host may have all of them.

    Attributes:
      limit: Bytes that may be held.
      held: Bytes that are held.
      drops: Warns of what was dropped, for lack of memory or as it is no packet.
    """

    __slots__ = ("_addresses", "_levels", "drops", "held", "limit")

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self.limit: int = limit
        self.held: int = 0
        self._addresses: dict[str, _Address] = {}
        self._levels: list[dict[_Address, None]] = [{} for _ in range(64)]
        self.drops: Drops = Drops()

    def open(self, address: str, holder: Holder, id: int) -> Share:
        """Start to count what is held for an association with a peer at this address."""
        name = _name(address)
        entry = self._addresses.get(name)
        if entry is None:
            entry = self._addresses[name] = _Address(name)
            self._levels[0][entry] = None
        share = Share(self, entry, holder, id)
        entry.shares[share] = None
        return share

    def count(self, share: Share, held: int) -> None:
        """Note how much is held for an association now."""
        more = held - share.held
        address = share.address
        share.held = held
        self.held += more
        address.held += more
        level = address.held.bit_length()
        if level != address.level:
            del self._levels[address.level][address]
            self._levels[level][address] = None
            address.level = level

    def close(self, share: Share) -> None:
        """Forget an association for which nothing is held any more."""
        self.count(share, 0)
        address = share.address
        del address.shares[share]
        if not address.shares:
            del self._levels[address.level][address]
            del self._addresses[address.name]

    # -- when it is full ---

    def has_room_for(self, address: str) -> bool:
        """Whether one more association with this address may be set up.

        If there is no room, it may if others hold far more, since these then give way.
        """
        if self.held + ASSOCIATION_COST <= self.limit:
            return True
        entry = self._addresses.get(_name(address))
        level = (ASSOCIATION_COST + (0 if entry is None else entry.held)).bit_length()
        return any(self._levels[level + 1 :])

    def refuse(self, address: str, now: float) -> str:
        """Note that an association with this address is not set up; return why, for its peer."""
        entry = self._addresses.get(_name(address))
        held = 0 if entry is None else entry.held
        reason = f"no memory is left for peers; {address} holds {held} of {self.held} bytes"
        self.drops.warn("refused", now, "an association is refused: %s", reason)
        return reason

    def make_room(self, now: float) -> list[Holder]:
        """Have associations give way until no more is held than may be.

        Those of the address that holds most are the first, and of these the largest.  Returns whose
        they were.
        """
        holders: dict[Holder, None] = {}
        spared: set[_Address] = set()  # those that hold only what cannot be given up
        while self.held > self.limit:
            address = self._largest(spared)
            if address is None:
                break
            spared.add(address)
            reason = (
                f"no memory is left for peers, and {address.name} holds most: "
                f"{address.held} of {self.held} bytes"
            )
            count = 0
            for share in sorted(address.shares, key=_held, reverse=True):
                share.holder.give_way(share.id, reason, now)
                holders[share.holder] = None
                count += 1
                if self.held <= self.limit:
                    break
            self.drops.warn("ended", now, "%s; associations ended: %d", reason, count)
        return list(holders)

    def _largest(self, spared: set[_Address]) -> _Address | None:
        for level in reversed(self._levels):
            found = [address for address in level if address not in spared]
            if found:
                return max(found, key=_held)
        return None


def _held(one: Share | _Address) -> int:
    return one.held


def _name(address: str) -> str:
    """Return what stands for an address: of IPv6 the network."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network(address.partition("%")[0] + "/64", strict=False))
