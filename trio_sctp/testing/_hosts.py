"""Hosts on a simulated network, under Trio.

Programs use a host as they use a kernel: it is a stack, and inside its block it is the one that
``stack=None`` means.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import AsyncGenerator, Callable, Sequence
from contextvars import Token
from math import inf
from random import Random
from types import TracebackType
from typing import Any, final

import trio
from trio.lowlevel import enable_ki_protection

from .._addresses import is_literal
from .._association import AssociationChannel, open_association
from .._background import background
from .._checks import check_integer, ip_address
from .._engine import Engine, Outgoing, Route
from .._errors import StackUnavailable
from .._listener import open_listener
from .._options import Option
from .._stack import StackReport, StackSocket, enter_stack, leave_stack
from .._userland.stack import UserlandStack
from .._values import Address
from ._ladder import KEPT, Ladder, Recording
from ._network import Link, Network


@final
class SimulatedHost(UserlandStack):
    """A machine on a `SimulatedNetwork`, and a stack for ``stack=``.

    ``async with host:`` makes it what ``stack=None`` means inside the block, also in tasks that are
    started there.  Several tasks may be in its block at the same time.
    """

    name = "simulated"

    def __init__(
        self,
        addresses: Sequence[str],
        name: str | None,
        driver: _Driver,
        randomness: Callable[[int], bytes],
    ) -> None:
        """Not for programs to call.

        Args:
          addresses: The host's own.
          name: What it is called; None if it has no name.
          driver: What carries its packets.
          randomness: Returns as many random bytes as it is asked for.
        """
        super().__init__(randomness)
        self._addresses = list(addresses)
        self.title: str = name or addresses[0]
        self._driver = driver
        self._tokens: dict[trio.lowlevel.Task, list[Token[Any]]] = {}

    def __repr__(self) -> str:
        words = dict.fromkeys([self.title, *self._addresses])
        return f"<SimulatedHost {' '.join(words)}>"

    def own_addresses(self) -> list[str]:
        """The addresses of this host."""
        return list(self._addresses)

    def add_address(self, address: str) -> None:
        """Give the host one more address, as a machine gets that joins another network.

        Endpoints do not have it by that alone: see `Endpoint.add_address`.

        Args:
          address: An IPv4 or IPv6 address that no host has.

        Raises:
          TypeError, ValueError, trio.BrokenResourceError: see `SimulatedNetwork.host`.
        """
        self._addresses.append(self._driver.add_address(self, address))

    def remove_address(self, address: str) -> None:
        """Take an address away from the host: packets to it and from it are lost.

        Endpoints that are bound to it stay so: see `Endpoint.remove_address`.

        Args:
          address: One of `own_addresses`, if it is not the only one.

        Raises:
          ValueError: it is none of them, or the only one.
        """
        address = str(ip_address(address))
        if address not in self._addresses:
            raise ValueError(f"{address!r} is none of the host's addresses, {self._addresses!r}")
        if len(self._addresses) == 1:
            raise ValueError(f"{address!r} is the host's last address")
        self._addresses.remove(address)
        self._driver.remove_address(address)

    def report(self) -> StackReport:
        """Report that a simulated host works on every machine."""
        return StackReport(name=self.name, available=True, reason="it needs nothing of the kernel")

    def bind(self, hosts: Sequence[str], *, ipv6: bool) -> list[str]:
        """The addresses that an endpoint binds: ``hosts``, or all of the host's own if empty.

        Raises:
          OSError: one of ``hosts`` is not an address of this host (EADDRNOTAVAIL).
        """
        for host in hosts:
            if host not in self._addresses:
                raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        return list(hosts) or [host for host in self._addresses if ipv6 or ":" not in host]

    def listen(self, engine: Engine, bound: Sequence[str]) -> None:
        """Do nothing: the network delivers packets to every endpoint anyway."""

    def route_to(self, engine: Engine, remote: str, bound: Sequence[str]) -> Route:
        """The route from the bound address that has the longest prefix in common with ``remote``.

        Raises:
          OSError: no bound address is of ``remote``'s family (ENETUNREACH).
        """
        candidates = [host for host in bound if (":" in host) == (":" in remote)]
        if not candidates:
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

        def shared(host: str) -> int:
            return next(
                (n for n, (a, b) in enumerate(zip(host, remote, strict=False)) if a != b), 99
            )

        return Route(max(candidates, key=shared), remote)

    def bind_further(self, engine: Engine, host: str) -> None:
        """Do nothing: the network delivers packets to every address anyway."""

    def unbind(self, engine: Engine, host: str) -> None:
        """Do nothing: a host holds nothing for an address."""

    def release(self, engine: Engine) -> None:
        """Do nothing: a host holds nothing for an endpoint."""

    def transmit(self, packets: Sequence[Outgoing]) -> None:
        """Put packets on the network."""
        if self.ended:
            return  # the network is over, and would deliver nothing
        for packet in packets:
            if packet.route.local not in self._addresses:
                continue  # the host has it no longer
            self._driver.network.transmit(
                packet.data,
                packet.route.local,
                packet.route.remote,
                trio.current_time(),
                fragment=packet.fragment,
                tos=packet.tos,
            )
        self._driver.wake()

    def heed_marks(self) -> None:
        """Do nothing: the network tells of marks."""

    def wake(self) -> None:
        """Have the network's task call `flush`."""
        self._driver.wake()

    def timers_changed(self) -> None:
        """Have the network's task look at `next_deadline` again."""
        self._driver.wake()

    def check_running(self) -> None:
        """Raise BrokenResourceError if the network's block was left."""
        if self.ended:
            raise trio.BrokenResourceError(_OVER)

    def resolve(self, name: str) -> Sequence[str] | None:
        """The addresses of a host of this network; ``localhost`` is this host.

        Other names are left to the resolver that the program has set for Trio, if it has set one.

        Raises:
          socket.gaierror: there is no such name.
          UnicodeError: it is no name.
        """
        name.encode("idna")
        host = self._driver.by_name.get(name.lower())
        if host is None and name.lower() == "localhost":
            host = self
        if host is not None:
            return host._addresses
        if _program_has_a_resolver():
            return None
        names = ", ".join(host.title for host in self._driver.by_name.values())
        if not names:
            names = "no names, as network.host(..., name=) gives them"
        raise socket.gaierror(
            socket.EAI_NONAME, f"no host of the simulated network has this name; there are {names}"
        )

    async def __aenter__(self) -> SimulatedHost:
        self._tokens.setdefault(trio.lowlevel.current_task(), []).append(enter_stack(self))
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task = trio.lowlevel.current_task()
        leave_stack(self._tokens[task].pop())
        if not self._tokens[task]:
            del self._tokens[task]
        await trio.lowlevel.cancel_shielded_checkpoint()


def _program_has_a_resolver() -> bool:
    """Whether a resolver for host names was set in this run of Trio, which does not tell."""
    resolver = trio.socket.set_custom_hostname_resolver(None)
    trio.socket.set_custom_hostname_resolver(resolver)
    return resolver is not None


class _NoHost:
    """What ``stack=None`` means within a network's block and outside those of its hosts.

    Any other stack would be one of the real machine, whose packets no simulated host sees.
    """

    name = "simulated"
    peer_udp_port = 0

    def open(
        self,
        local_addresses: Sequence[Address],
        port: int,
        *,
        ipv6: bool,
        options: Sequence[Option],
    ) -> StackSocket:
        raise self._refusal()

    def adopt(self, sock: object, check: Callable[[StackSocket], None]) -> StackSocket:
        raise self._refusal()

    def resolve(self, name: str) -> Sequence[str]:
        raise self._refusal()

    def own_addresses(self) -> list[str]:
        return []

    def report(self) -> StackReport:
        return StackReport(
            name=self.name,
            available=False,
            reason="this is in the block of a simulated network, but in that of none of its hosts",
            remedy="say on which: `async with host:` around it, or stack=host",
        )

    def _refusal(self) -> StackUnavailable:
        report = self.report()
        return StackUnavailable(f"{report.reason}; {report.remedy}")


@final
class SimulatedNetwork:
    """Hosts and the network between them, driven by Trio's clock.

    Made by `simulated_network`.  With ``trio.testing.MockClock(autojump_threshold=0)`` minutes pass
    in milliseconds.

    Attributes:
      network: The `Network`: links, partitions, the ``route`` hook, captures, statistics.
    """

    def __init__(self, driver: _Driver) -> None:
        """Not for programs to call."""
        self._driver = driver
        self.network: Network = driver.network

    def ladder(self, *, last: int = KEPT) -> Ladder:
        """Draw the packets that were sent so far::

            print(network.ladder())

        Args:
          last: How many packets to draw at most.  No more than the last 10,000 are remembered.

        Raises:
          TypeError: ``last`` is not an integer.
          ValueError: ``last`` is less than 1.
        """
        check_integer("last", last, 1)
        return self._driver.recording.ladder(self._driver.titles(), last)

    def host(self, *addresses: str, name: str | None = None) -> SimulatedHost:
        """Add a host.

        Args:
          addresses: One or more IPv4 or IPv6 addresses that no other host has.
          name: What programs on this network may call it.  It stands for all of its addresses,
            which race.  Upper and lower case are the same.

        Raises:
          TypeError: an address or the name is not a str.
          ValueError: there is no address, or one that no host can have or that a host has already;
            or ``name`` is an address, no name, or another host's.
          trio.BrokenResourceError: the network's block was left.
        """
        return self._driver.add_host(addresses, name)


watchers: list[Callable[[SimulatedNetwork], object]] = []
"""Who is told of each new network: the plugin for pytest."""

_OVER = "the simulated network is over: its block, `async with simulated_network()`, was left"


class _Driver:
    """What carries packets between simulated hosts, and runs their timers, by Trio's clock."""

    def __init__(self, seed: int, default_link: Link | None) -> None:
        self.network: Network = Network(seed, default_link=default_link)
        self.by_name: dict[str, SimulatedHost] = {}
        self._random = Random(seed)
        self._hosts: list[SimulatedHost] = []
        self._by_address: dict[str, SimulatedHost] = {}
        self._woken = trio.Event()
        self._over = False
        self.network.hosts_are(self._by_address)
        self.recording: Recording = Recording(trio.current_time())
        self.network.record(self.recording.write, self.recording.dropped)

    def add_host(self, addresses: Sequence[str], name: str | None) -> SimulatedHost:
        """A new host; `SimulatedNetwork.host` says what it raises."""
        if self._over:
            raise trio.BrokenResourceError(_OVER)
        own = self._free(addresses)
        if name is not None:
            _check_name(name)
            if name.lower() in self.by_name:
                raise ValueError(f"another host has the name {name!r}")
        host = SimulatedHost(own, name, self, self._random.randbytes)
        self._hosts.append(host)
        self._by_address.update(dict.fromkeys(own, host))
        if name is not None:
            self.by_name[name.lower()] = host
        return host

    def add_address(self, host: SimulatedHost, address: str) -> str:
        """Give a host one more address; returns it as packets spell it."""
        if self._over:
            raise trio.BrokenResourceError(_OVER)
        (own,) = self._free([address])
        self._by_address[own] = host
        return own

    def remove_address(self, address: str) -> None:
        """Take an address away from its host."""
        del self._by_address[address]

    def _free(self, addresses: Sequence[str]) -> list[str]:
        own = _addresses_of_a_host(addresses)
        for address in own:
            if address in self._by_address:
                raise ValueError(f"another host has the address {address!r}")
        return own

    def titles(self) -> dict[str, str]:
        return {address: host.title for address, host in self._by_address.items()}

    def wake(self) -> None:
        """Have what hosts have queued sent, and their timers looked at."""
        self._woken.set()

    def end(self) -> None:
        """Cut off whatever is still open, so that nobody waits for packets any more."""
        self._over = True
        for host in self._hosts:
            host.end(None)

    @enable_ki_protection
    async def run(self) -> None:
        """Deliver, send and run timers whenever one of them is due, until cancelled."""
        while True:
            # Every task that is ready may first queue what it has to send: it then shares packets.
            await trio.lowlevel.checkpoint()
            self._woken = trio.Event()
            for host in self._hosts:
                host.flush()
            now = trio.current_time()
            for delivery in self.network.deliver(now):
                target = self._by_address.get(delivery.destination)
                if target is not None:
                    target.packet_arrived(
                        delivery.data,
                        Route(delivery.destination, delivery.source),
                        marked=delivery.tos & 3 == 3,
                    )
            for host in self._hosts:
                host.handle_timeouts()
            deadlines = [host.next_deadline() for host in self._hosts]
            deadlines.append(self.network.next_deadline())
            deadline = min((d for d in deadlines if d is not None), default=inf)
            with trio.move_on_at(deadline):
                await self._woken.wait()


def _addresses_of_a_host(addresses: Sequence[str]) -> list[str]:
    """The addresses as packets spell them; `SimulatedNetwork.host` says what it raises."""
    own: list[str] = []
    for given in addresses:
        try:
            address = ip_address(given)
        except ValueError as error:
            raise ValueError(f"{error}; a name is given as name={given!r}, beside one") from None
        if address.is_multicast or address.is_unspecified:
            raise ValueError(f"no host can have the address {given!r}")
        if str(address) in own:
            raise ValueError(f"the address {given!r} was given twice")
        own.append(str(address))
    if not own:
        raise ValueError("a host needs at least one address")
    return own


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, not {name!r}")
    try:
        name.encode("idna")
    except UnicodeError:
        raise ValueError(f"name must be that of a host, such as 'amf', not {name!r}") from None
    if not name or is_literal(name):
        raise ValueError(f"name must be that of a host, such as 'amf', not {name!r}")


@contextlib.asynccontextmanager
async def simulated_network(
    seed: int = 0, *, default_link: Link | None = None
) -> AsyncGenerator[SimulatedNetwork, None]:
    """Run a simulated network for the length of a block.

    Args:
      seed: An integer that makes what is random here the same in each run: losses, tags, the jitter
        of heartbeats.  The order in which Trio runs tasks that are ready together is still Trio's.
      default_link: The link between all addresses that get none of their own; None for a perfect
        wire.

    Yields the `SimulatedNetwork`, whose packets a task in this block carries.  The block's own
    exception passes unchanged.  Whatever is still open when the block is left is cut off: tasks
    that use it get a BrokenResourceError.

    In the block, ``stack=None`` is refused outside the blocks of hosts, with
    `trio_sctp.StackUnavailable`.
    """
    driver = _Driver(seed, default_link)
    network = SimulatedNetwork(driver)
    for tell in watchers:
        tell(network)
    async with background(driver.run, "trio_sctp simulated network"):
        token = enter_stack(_NoHost())
        try:
            yield network
        finally:
            leave_stack(token)
            driver.end()


@contextlib.asynccontextmanager
async def association_pair(
    *, options: Sequence[Option] = (), seed: int = 0, default_link: Link | None = None
) -> AsyncGenerator[tuple[AssociationChannel, AssociationChannel], None]:
    """Set up both ends of an association on a network of their own, to test a protocol.

    Args:
      options: Options of both ends.
      seed, default_link: See `simulated_network`.

    Yields the channel that connected and the one that was accepted.  Both are aborted when the
    block is left, unless they have ended.
    """
    async with simulated_network(seed, default_link=default_link) as network:
        left, right = network.host("192.0.2.1"), network.host("192.0.2.2")
        async with await open_listener(0, options=options, stack=right) as listener:
            client = await open_association("192.0.2.2", listener.port, options=options, stack=left)
            server = await listener.accept()
        try:
            yield client, server
        finally:
            client.abort()
            server.abort()
