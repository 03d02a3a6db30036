"""Hosts on a simulated network, under Trio.

Programs use a host as they use a kernel: it is a stack, and inside its block it is the one that
``stack=None`` means.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextvars import Token
from math import inf
from random import Random
from types import TracebackType
from typing import Any, final

import trio
from trio.lowlevel import enable_ki_protection

from .._association import AssociationChannel, open_association
from .._background import background
from .._engine import Engine, Outgoing, Route
from .._listener import open_listener
from .._options import Option
from .._stack import StackReport, enter_stack, leave_stack
from .._userland.stack import UserlandStack
from ._network import Network


@final
class SimulatedHost(UserlandStack):
    """A machine on a `SimulatedNetwork`, and a stack for ``stack=``.

    ``async with host:`` makes it what ``stack=None`` means inside the block, also in tasks that are
    started there.
    """

    name = "simulated"

    def __init__(
        self,
        addresses: Sequence[str],
        network: Network,
        randomness: Callable[[int], bytes],
        woken: Callable[[], None],
    ) -> None:
        """Not for programs to call.

        Args:
          addresses: The host's own.
          network: What carries its packets.
          randomness: Returns as many random bytes as it is asked for.
          woken: Called when there is something to deliver or to send, or a timer has changed.
        """
        super().__init__(randomness)
        self._addresses = list(addresses)
        self._network = network
        self._woken = woken
        self._tokens: list[Token[Any]] = []

    def __repr__(self) -> str:
        return f"<SimulatedHost {' '.join(self._addresses)}>"

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

    def release(self, engine: Engine) -> None:
        """Do nothing: a host holds nothing for an endpoint."""

    def transmit(self, packet: Outgoing) -> None:
        """Put a packet on the network."""
        self._network.transmit(
            packet.data,
            packet.route.local,
            packet.route.remote,
            trio.current_time(),
            fragment=packet.fragment,
        )
        self._woken()

    def wake(self) -> None:
        """Have the network's task call `flush`."""
        self._woken()

    def timers_changed(self) -> None:
        """Have the network's task look at `next_deadline` again."""
        self._woken()

    async def __aenter__(self) -> SimulatedHost:
        self._tokens.append(enter_stack(self))
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        leave_stack(self._tokens.pop())
        await trio.lowlevel.cancel_shielded_checkpoint()


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

    def host(self, *addresses: str) -> SimulatedHost:
        """Add a host.

        Args:
          addresses: One or more IPv4 or IPv6 addresses that no other host has.

        Raises:
          ValueError: there is no address, or another host has one of them.
        """
        if not addresses:
            raise ValueError("a host needs at least one address")
        return self._driver.add_host(addresses)


class _Driver:
    """What carries packets between simulated hosts, and runs their timers, by Trio's clock."""

    def __init__(self, seed: int) -> None:
        self.network: Network = Network(seed)
        self._random = Random(seed)
        self._hosts: list[SimulatedHost] = []
        self._by_address: dict[str, SimulatedHost] = {}
        self._woken = trio.Event()

    def add_host(self, addresses: Sequence[str]) -> SimulatedHost:
        """A new host; ValueError if another one has one of its addresses."""
        for address in addresses:
            if address in self._by_address:
                raise ValueError(f"another host has the address {address!r}")
        host = SimulatedHost(addresses, self.network, self._random.randbytes, self._wake)
        self._hosts.append(host)
        self._by_address.update(dict.fromkeys(addresses, host))
        return host

    def _wake(self) -> None:
        self._woken.set()

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
                        delivery.data, Route(delivery.destination, delivery.source)
                    )
            for host in self._hosts:
                host.handle_timeouts()
            deadlines = [host.next_deadline() for host in self._hosts]
            deadlines.append(self.network.next_deadline())
            deadline = min((d for d in deadlines if d is not None), default=inf)
            with trio.move_on_at(deadline):
                await self._woken.wait()


@contextlib.asynccontextmanager
async def simulated_network(seed: int = 0) -> AsyncGenerator[SimulatedNetwork, None]:
    """Run a simulated network for the length of a block.

    Args:
      seed: Makes what is random here the same in each run: losses, tags, the jitter of heartbeats.
        The order in which Trio runs tasks that are ready together is still Trio's.

    Yields the `SimulatedNetwork`, whose packets a task in this block carries.  The block's own
    exception passes unchanged.  Whatever is still open when the block is left is cut off.
    """
    driver = _Driver(seed)
    async with background(driver.run, "trio_sctp simulated network"):
        yield SimulatedNetwork(driver)


@contextlib.asynccontextmanager
async def association_pair(
    *, options: Sequence[Option] = (), seed: int = 0
) -> AsyncGenerator[tuple[AssociationChannel, AssociationChannel], None]:
    """Set up both ends of an association on a network of their own, to test a protocol.

    Args:
      options: Options of both ends.
      seed: See `simulated_network`.

    Yields the channel that connected and the one that was accepted.  Both are aborted when the
    block is left, unless they have ended.
    """
    async with simulated_network(seed) as network:
        left, right = network.host("192.0.2.1"), network.host("192.0.2.2")
        async with await open_listener(0, options=options, stack=right) as listener:
            client = await open_association("192.0.2.2", listener.port, options=options, stack=left)
            server = await listener.accept()
        try:
            yield client, server
        finally:
            client.abort()
            server.abort()
