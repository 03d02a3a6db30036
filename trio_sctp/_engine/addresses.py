"""Our addresses, and the association that each address of a peer belongs to."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Sequence
from math import inf
from typing import TYPE_CHECKING

from .path import Route

if TYPE_CHECKING:
    from .association import EngineAssociation


class AddressBook:
    """The addresses of an endpoint, and those of its associations' peers.

    Only a confirmed address is an association's own.  That a peer lists an address says nothing of
    whose it is: many may list the same one, and whoever is there may come and set up another
    association (RFC 5062 section 2).

    Attributes:
      addresses: Local IP addresses that peers are told of; with one or none, the address that a
        packet leaves from is all that its receiver has to know.
      owners: The association in which a peer's address and SCTP port are confirmed.
      listers: The associations whose peers list an address and SCTP port that they have not
        confirmed.
      changed_at: When `addresses` has changed last.
      kept: The associations that still have a local address which `addresses` no longer has: their
        peers do not know yet that it is gone, or cannot be told.
      freed: Local addresses that no association keeps any more, until somebody takes them.
    """

    __slots__ = ("addresses", "changed_at", "freed", "kept", "listers", "owners")

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses: list[str] = list(addresses)
        self.owners: dict[tuple[str, int], EngineAssociation] = {}
        self.listers: dict[tuple[str, int], list[EngineAssociation]] = {}
        self.changed_at: float = -inf
        self.kept: dict[str, list[EngineAssociation]] = {}
        self.freed: list[str] = []

    # -- whose a peer's address is ---

    def owner_of_any(self, addresses: Iterable[str], port: int) -> EngineAssociation | None:
        """Return the association that has one of these addresses; the first found counts."""
        for address in addresses:
            owner = self.owners.get((address, port))
            if owner is not None:
                return owner
        return None

    def claimants(self, address: str, port: int) -> list[EngineAssociation]:
        """Return the associations whose peers have or list an address; the owner is the first."""
        key = address, port
        owner, listers = self.owners.get(key), self.listers.get(key, ())
        return list(listers) if owner is None else [owner, *listers]

    def register(self, address: str, association: EngineAssociation, *, confirmed: bool) -> None:
        """Note an address of an association's peer."""
        key = address, association.peer_port
        if confirmed:
            self._unlist(key, association)
            self.owners[key] = association
        else:
            self.listers.setdefault(key, []).append(association)

    def release(self, association: EngineAssociation) -> None:
        """Give up the addresses of an association's peer."""
        for address in association.paths:
            key = address, association.peer_port
            self._unlist(key, association)
            if self.owners.get(key) is association:
                del self.owners[key]
        for local in list(self.kept):
            self.give_up(local, association)

    def _unlist(self, key: tuple[str, int], association: EngineAssociation) -> None:
        listers = self.listers.get(key)
        if listers is not None and association in listers:
            listers.remove(association)
            if not listers:
                del self.listers[key]

    # -- our own addresses ---

    def has_local(self, local: str, association: EngineAssociation) -> bool:
        """Whether an association may have a local address, as the endpoint has it, or it alone."""
        addresses = self.addresses
        return not addresses or local in addresses or association in self.kept.get(local, ())

    def keep(self, local: str, association: EngineAssociation) -> None:
        """Have an association go on with a local address that the endpoint gives up."""
        keepers = self.kept.setdefault(local, [])
        if association not in keepers:
            keepers.append(association)

    def give_up(self, local: str, association: EngineAssociation) -> None:
        """Note that an association needs a local address no longer."""
        keepers = self.kept.get(local)
        if keepers is not None and association in keepers:
            keepers.remove(association)
            if not keepers:
                del self.kept[local]
                if local not in self.addresses:
                    self.freed.append(local)

    def told_to(self, route: Route) -> list[str]:
        """Return which of our addresses the peer at the other end of a route is told of."""
        return self.told_by([route])

    def told_by(self, routes: Sequence[Route]) -> list[str]:
        """Return which of our addresses a peer is told of to whom these routes lead.

        They are those of the endpoint, or, where that has not been given any, those that the
        routes begin with: packets from an address that it does not know are not taken by a peer.
        None, unless there are several; and none whose scope is narrower than that of an address of
        the peer, where it could mean another host.
        """
        addresses = self.addresses or list(dict.fromkeys(route.local for route in routes))
        if len(addresses) < 2:
            return []
        return [address for address in addresses if self.may_be_told(address, routes)]

    def may_be_told(self, address: str, routes: Sequence[Route]) -> bool:
        """Whether one of our addresses means the same host to a peer to whom these routes lead."""
        return _scope(address) >= max([_scope(route.remote) for route in routes])

    def is_credible(self, address: str, route: Route, *, same_port: bool) -> bool:
        """Whether a peer may have an address that it lists in a packet that came by this route.

        An address whose scope is narrower than that of the packet's source would mean another
        host here than it does there, and no peer has one of ours and our port as well.
        """
        if same_port and (address == route.local or address in self.addresses):
            return False
        return _scope(address) >= _scope(route.remote)

    def forget(self, address: str, association: EngineAssociation) -> None:
        """Give up an address of an association's peer."""
        key = address, association.peer_port
        self._unlist(key, association)
        if self.owners.get(key) is association:
            del self.owners[key]


def local_for(address: str, route: Route, told: Sequence[str]) -> str | None:
    """Return our address from which another address of a peer is reached; None if none is.

    Args:
      address: The peer's other address.
      route: The way that is known to lead to it.
      told: Our addresses that it was told of.
    """
    six = ":" in address
    known = [local for local in (route.local, *told) if (":" in local) == six]
    network = _network(address)
    for local in known:
        if _network(local) == network:
            return local
    return known[0] if known else None


def is_nearer(local: str, other: str, address: str) -> bool:
    """Whether a local address is on the network of an address of a peer, and another is not."""
    network = _network(address)
    return _network(local) == network != _network(other)


@functools.lru_cache(maxsize=4096)
def is_unicast(address: str) -> bool:
    """Whether a packet may come from an address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    return not (ip.is_unspecified or is_group(address))


@functools.lru_cache(maxsize=4096)
def is_group(address: str) -> bool:
    """Whether an address is that of many hosts: multicast or broadcast."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    return ip.is_multicast or address == "255.255.255.255"


@functools.lru_cache(maxsize=4096)
def _network(address: str) -> str:
    """The usual subnet of an address: enough to pair those of two hosts."""
    if ":" in address:
        return str(ipaddress.ip_network(address.partition("%")[0] + "/64", strict=False))
    return address.rpartition(".")[0]


@functools.lru_cache(maxsize=4096)
def _scope(address: str) -> int:
    """0 loopback, 1 link-local, 2 private, 3 global."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.is_loopback:
        return 0
    if ip.is_link_local:
        return 1
    return 3 if ip.is_global else 2
