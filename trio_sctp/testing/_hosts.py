"""Hosts on a simulated network, under Trio.

Programs use them as they use a kernel: a host is a stack, and inside its block it is the one that
``stack=None`` means.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import AsyncGenerator, Sequence
from contextvars import Token
from math import inf
from random import Random
from types import TracebackType
from typing import Any, final

import trio

from .._association import AssociationChannel, open_association
from .._background import background
from .._engine.engine import Engine, Outgoing
from .._engine.path import Route
from .._listener import open_listener
from .._options import Option
from .._stack import StackReport, enter_stack, leave_stack
from .._userland.stack import UserlandStack
from ._network import Network


@final
class SimulatedHost(UserlandStack):
    """A machine on a `SimulatedNetwork`; a stack for ``stack=``.

    ``async with host:`` makes it what ``stack=None`` means there, also for tasks that are started
    inside.
    """

    name = "simulated"

    def __init__(self, network: SimulatedNetwork, addresses: Sequence[str]) -> None:
        """Not for programs to call."""
        super().__init__(network._random.randbytes)
        self._network = network
        self._addresses = list(addresses)
        self._tokens: list[Token[Any]] = []

    def __repr__(self) -> str:
        return f"<SimulatedHost {' '.join(self._addresses)}>"

    def report(self) -> StackReport:
        """That it works."""
        return StackReport(name=self.name, available=True, reason="it needs nothing of the kernel")

    def bind(self, hosts: Sequence[str], *, ipv6: bool) -> list[str]:
        """Those of its addresses that are asked for, or all."""
        for host in hosts:
            if host not in self._addresses:
                raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        return list(hosts) or [host for host in self._addresses if ipv6 or ":" not in host]

    def listen(self, engine: Engine, bound: Sequence[str]) -> None:
        """Packets come anyway."""

    def route_to(self, engine: Engine, remote: str, bound: Sequence[str]) -> Route:
        """From the address that shares most with the other, as of its network."""
        candidates = [host for host in bound if (":" in host) == (":" in remote)]
        if not candidates:
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

        def shared(host: str) -> int:
            return next(
                (n for n, (a, b) in enumerate(zip(host, remote, strict=False)) if a != b), 99
            )

        return Route(max(candidates, key=shared), remote)

    def release(self, engine: Engine) -> None:
        """Nothing was held for it."""

    def transmit(self, packet: Outgoing) -> None:
        """Put a packet on the network."""
        self._network.network.transmit(
            packet.data,
            packet.route.local,
            packet.route.remote,
            trio.current_time(),
            fragment=packet.fragment,
        )
        self._network._wake()

    def wake(self) -> None:
        """Something is to be done."""
        self._network._wake()

    def timers_changed(self) -> None:
        """When that is."""
        self._network._wake()

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
    """Hosts and what is between them, driven by Trio's clock.

    Made by `simulated_network`.  With ``trio.testing.MockClock(autojump_threshold=0)`` minutes pass
    in milliseconds.

    Attributes:
      network: The `Network`: links, partitions, the ``route`` hook, captures, statistics.
    """

    def __init__(self, seed: int) -> None:
        """Not for programs to call."""
        self.network: Network = Network(seed)
        self._random = Random(seed)
        self._hosts: list[SimulatedHost] = []
        self._by_address: dict[str, SimulatedHost] = {}
        self._woken = trio.Event()

    def host(self, *addresses: str) -> SimulatedHost:
        """A new host.

        Args:
          addresses: One or more IPv4 or IPv6 addresses, which no other host has.

        Raises:
          ValueError: no address, or one that is taken.
        """
        if not addresses:
            raise ValueError("a host has one address at least")
        for address in addresses:
            if address in self._by_address:
                raise ValueError(f"another host has the address {address!r}")
        host = SimulatedHost(self, addresses)
        self._hosts.append(host)
        self._by_address.update(dict.fromkeys(addresses, host))
        return host

    def _wake(self) -> None:
        self._woken.set()

    async def _run(self) -> None:
        while True:
            # Let everybody send what they have to send: it then shares packets.
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
    """A network for the length of a block.

    Args:
      seed: Makes what is random here the same in each run: losses, tags, the jitter of heartbeats.
        The order in which Trio runs tasks that are ready together is still Trio's.

    The block runs a task that carries the packets; an exception of the block's own passes
    unchanged.  What is still open when the block is left is cut off.
    """
    network = SimulatedNetwork(seed)
    async with background(network._run, "trio_sctp simulated network"):
        yield network


@contextlib.asynccontextmanager
async def association_pair(
    *, options: Sequence[Option] = (), seed: int = 0
) -> AsyncGenerator[tuple[AssociationChannel, AssociationChannel], None]:
    """Both ends of an association, on a network of their own: to test a program's protocol.

    Args:
      options: Of both ends.
      seed: See `simulated_network`.

    Yields the channel that connected, and the one that was accepted.  Both are aborted when the
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
