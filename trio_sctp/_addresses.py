"""Turning hosts and ports, as programs write them, into transport addresses."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import trio

from ._values import Address

if TYPE_CHECKING:
    from ._stack import Stack

Hosts: TypeAlias = str | Sequence[str]
"""A host name or an IP address, or a list of them."""

Port: TypeAlias = int | str
"""A port number, or the name of a service in the system's database (``/etc/services``)."""

_IPPROTO_SCTP = 132


def check_port(port: Port, *, lowest: int) -> None:
    """Raise if ``port`` is not a port, ``lowest`` to 65535, or the name of a service."""
    if isinstance(port, str):
        if not port:
            raise ValueError("a port must be a number or the name of a service, not ''")
        return
    if not isinstance(port, int) or isinstance(port, bool):
        raise TypeError(f"a port must be an integer or the name of a service, not {port!r}")
    if not lowest <= port <= 65535:
        raise ValueError(f"a port must be between {lowest} and 65535, not {port}")


def _host_list(hosts: Hosts) -> list[str]:
    listed = [hosts] if isinstance(hosts, str) else list(hosts)
    for host in listed:
        if not isinstance(host, str) or not host:
            raise ValueError(f"a host must be a name or an address, not {host!r}")
    return listed


async def _lookup(host: str, port: int, stack: Stack) -> list[Address]:
    addresses: list[Address] = []
    try:
        known = None if is_literal(host) else stack.resolve(host)
        for one in [host] if known is None else known:
            found = await trio.socket.getaddrinfo(one, port, type=socket.SOCK_STREAM)
            for family, _, _, _, address in found:
                if family in (socket.AF_INET, socket.AF_INET6) and address not in addresses:
                    addresses.append(address)  # type: ignore[arg-type]
    except UnicodeError:
        raise ValueError(f"a host must be a name or an address, not {host!r}") from None
    except socket.gaierror as error:
        raise socket.gaierror(error.errno, f"{host!r}: {error.strerror}") from None
    return addresses


async def resolve_port(port: Port, *, lowest: int) -> int:
    """The number of a port.  May be cancelled while it looks up the name of a service."""
    check_port(port, lowest=lowest)
    if not isinstance(port, str):
        return port
    # Few services are registered for SCTP, even if they use the same numbers there.
    for protocol in (_IPPROTO_SCTP, 0):
        try:
            found = await trio.socket.getaddrinfo(
                None, port, type=socket.SOCK_STREAM, proto=protocol
            )
        except socket.gaierror as error:
            failure = error
        else:
            number = found[0][4][1]
            assert isinstance(number, int)
            check_port(number, lowest=lowest)
            return number
    raise socket.gaierror(failure.errno, f"{port!r} is not a service that this machine knows")


async def resolve_local(hosts: Hosts, port: int, stack: Stack) -> list[Address]:
    """The addresses to bind: one for each host; an empty list stands for any address."""
    return [(await _lookup(host, port, stack))[0] for host in _host_list(hosts)]


def is_literal(host: str) -> bool:
    """Whether a host is an IP address, so that it need not be looked up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def resolve_peer(hosts: Hosts, port: Port, stack: Stack) -> list[list[Address]]:
    """The address lists to try, one after the other, to reach one peer.

    Several hosts are one multi-homed peer.  The addresses of a single name are tried in turn, as
    they may belong to different machines.
    """
    listed = _host_list(hosts)
    if not listed:
        raise ValueError("there is no host to connect to")
    number = await resolve_port(port, lowest=1)
    if len(listed) == 1 and not is_literal(listed[0]):
        return [[address] for address in await _lookup(listed[0], number, stack)]
    return [[(await _lookup(host, number, stack))[0] for host in listed]]


def is_ipv6(address: Address) -> bool:
    """Whether a transport address is an IPv6 one."""
    return ":" in address[0]
