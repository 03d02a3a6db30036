"""What several commands are told in the same words: hosts, ports, stacks, PPIDs."""

from __future__ import annotations

import contextlib
import errno
import functools
import math
import os
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click

import trio_sctp
from trio_sctp import (
    Address,
    AssociationChannel,
    EncapsulationPort,
    InitMsg,
    Listener,
    Option,
    Ppid,
    Stack,
)

from .screen import tell

UDP_PORT = 9899

F = TypeVar("F", bound=Callable[..., Any])


_PROTOCOLS = (
    Ppid.DIAMETER,
    Ppid.E1AP,
    Ppid.F1AP,
    Ppid.IUA,
    Ppid.LCS_AP,
    Ppid.M2AP,
    Ppid.M2PA,
    Ppid.M2UA,
    Ppid.M3AP,
    Ppid.M3UA,
    Ppid.NGAP,
    Ppid.S1AP,
    Ppid.SUA,
    Ppid.X2AP,
    Ppid.XNAP,
)
WELL_KNOWN_PORTS = {
    "sgsap": 29118,  # which has no PPID of its own
    **{ppid.name.lower().replace("_", ""): ppid.default_port or 0 for ppid in _PROTOCOLS},
}
"""Those of IANA's registry, by the names of the protocols, as `Ppid` has them."""


def to_port(text: str | int) -> int | str:
    """A port number, or the name of a protocol or of a service that this machine knows."""
    text = str(text)
    if text.lower() in WELL_KNOWN_PORTS:
        return WELL_KNOWN_PORTS[text.lower()]
    if "." in text or ":" in text:
        raise click.BadParameter(f"{text!r} is no port; the port comes last")
    if not text.isascii() or not text.isdigit():
        return text
    if int(text) > 65535:
        raise click.BadParameter(f"a port is a number up to 65535, not {text}")
    return int(text)


class Number(click.IntRange):
    """A whole number within bounds."""

    name = "number"  # as complaints call it


class Seconds(click.FloatRange):
    """A number of seconds; only where that is said, it may be ``inf``."""

    name = "seconds"

    def __init__(self, least: float, *, min_open: bool = False, endless: bool = False) -> None:
        super().__init__(least, min_open=min_open)
        self._most = math.inf if endless else sys.float_info.max

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if not number <= self._most:
            self.fail(f"{value} is no number of seconds", param, ctx)
        return number


def to_ppid(text: str) -> int:
    """A payload protocol identifier, by its number or its registered name."""
    name = text.upper().replace("-", "_")
    if name in Ppid.__members__:
        return Ppid[name]
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if not 0 <= number < 2**32:
        raise click.BadParameter(
            f"{text!r} is no PPID: give a number, or a name such as ngap, diameter or m3ua"
        )
    return number


def shown_ppid(ppid: int) -> str:
    """A PPID with its name, if it has one."""
    return f"{Ppid(ppid)} ({ppid})" if ppid in Ppid.__members__.values() else str(ppid)


def shown(address: Address) -> str:
    return f"{address[0]} port {address[1]}"


def hosts_and_port(function: F) -> F:
    """The arguments of whoever connects: a peer's addresses, and its port."""
    hosts = click.argument("hosts", nargs=-1, required=True, metavar="HOST…")
    port = click.argument("port", type=to_port, metavar="PORT")
    return hosts(port(function))


@dataclass
class Local:
    """The near end: which stack, and which of this machine's addresses."""

    stack: str | None
    udp_port: int | None
    bind: Sequence[str]
    bind_port: int | str = 0
    capture: str | None = None
    quiet: bool = False
    _options: list[Option] = field(default_factory=list[Option])

    def _name(self) -> str:
        named = self.stack or os.environ.get("TRIO_SCTP_STACK")
        if named:
            return named
        if self.udp_port is not None:
            return "userland"
        if trio_sctp.stacks()[0].available:
            return "kernel"
        if not self.quiet:
            tell(
                f"* this kernel has no SCTP: using UDP port {UDP_PORT}; the peer has to do the same"
            )
        return "userland"

    @contextlib.asynccontextmanager
    async def open_stack(self, *, listening: bool = False) -> AsyncGenerator[Stack | str, None]:
        """Open the stack; gives what ``stack=`` takes."""
        name = self._name()
        if name == "userland":
            own, peers = (self.udp_port, None) if listening else (None, self.udp_port)
            try:
                async with trio_sctp.userland(
                    udp_port=own, peer_udp_port=peers, capture=self.capture
                ) as stack:
                    yield stack
            except ImportError as error:
                raise click.ClickException(str(error)) from None
            return
        if self.capture is not None:
            raise click.UsageError(
                "--capture is for the userland stack; the kernel's packets are caught by "
                f"tcpdump -i any -w {self.capture} sctp"
            )
        if self.udp_port is not None:
            if listening:
                raise click.UsageError(
                    "--udp-port is for the userland stack; the kernel listens on the UDP port "
                    f"of sysctl net.sctp.udp_port={self.udp_port}"
                )
            self._options = [EncapsulationPort(self.udp_port)]
        yield name

    async def connect(
        self,
        stack: Stack | str,
        hosts: Sequence[str],
        port: int | str,
        options: Sequence[Option] = (),
    ) -> AssociationChannel:
        """Connect to a peer; a wrong argument is the user's error."""
        peer = hosts[0] if len(hosts) == 1 else hosts
        try:
            return await trio_sctp.open_association(
                peer,
                port,
                local_hosts=self.bind,
                local_port=self.bind_port,
                options=[*self._options, *options],
                stack=stack,
            )
        except ValueError as error:
            raise click.UsageError(str(error)) from None

    async def listen(
        self, stack: Stack | str, port: int | str, options: Sequence[Option] = ()
    ) -> Listener:
        """Listen on a port; a wrong argument is the user's error."""
        try:
            return await trio_sctp.open_listener(
                port, hosts=self.bind, options=options, stack=stack
            )
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE and "UDP port" in str(error):
                raise click.ClickException(
                    f"another program has UDP port {self.udp_port or UDP_PORT}: choose another "
                    "one with --udp-port, here and for the peer"
                ) from None
            raise


def stack_options(function: F) -> F:
    """Options that choose the near end; the command gets them as ``local``."""

    @functools.wraps(function)
    def command(
        stack: str | None,
        udp_port: int | None,
        bind: Sequence[str],
        bind_port: int | str = 0,
        capture: str | None = None,
        **others: Any,
    ) -> Any:
        local = Local(stack, udp_port, bind, bind_port, capture)
        return function(local=local, **others)

    for option in (
        click.option(
            "--udp-port",
            type=Number(1, 65535),
            metavar="N",
            help="SCTP in UDP packets (RFC 6951): the UDP port to listen on, or the peer's.  "
            f"[{UDP_PORT}]",
        ),
        click.option(
            "--stack",
            type=click.Choice(["kernel", "userland"]),
            help="The kernel's SCTP, or this program's own over UDP.  [the kernel's, if it has it]",
        ),
        click.option(
            "-b",
            "--bind",
            multiple=True,
            metavar="ADDRESS",
            help="An address of this machine to use; several make it multi-homed.",
        ),
    ):
        command = option(command)
    return command  # type: ignore[return-value]


bind_port_option = click.option(
    "--bind-port", type=to_port, default=0, metavar="PORT", help="Our own port.  [any]"
)

capture_option = click.option(
    "--capture",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write all packets to a pcapng file, for Wireshark or `trio-sctp ladder`.",
)


def enough_streams(*, streams: int | None, stream: int = 0) -> list[Option]:
    """The options that ask for as many outbound streams as are to be used."""
    if streams is None and stream == 0:
        return []
    return [InitMsg(num_ostreams=max(streams or 10, stream + 1))]
