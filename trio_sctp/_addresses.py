"""Hosts and ports, as programs write them, into transport addresses."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import TypeAlias

import trio

from ._values import Address

Hosts: TypeAlias = str | Sequence[str]


def check_port(port: int, *, lowest: int) -> None:
    """Refuse what is no port number."""
    if not isinstance(port, int) or isinstance(port, bool):
        raise TypeError(f"a port is an integer, not {port!r}")
    if not lowest <= port <= 65535:
        raise ValueError(f"a port lies within {lowest} and 65535, not {port}")


def _host_list(hosts: Hosts) -> list[str]:
    listed = [hosts] if isinstance(hosts, str) else list(hosts)
    for host in listed:
        if not isinstance(host, str) or not host:
            raise ValueError(f"a host is a name or an address, not {host!r}")
    return listed


async def _lookup(host: str, port: int) -> list[Address]:
    found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses: list[Address] = []
    for family, _, _, _, address in found:
        if family in (socket.AF_INET, socket.AF_INET6) and address not in addresses:
            addresses.append(address)  # type: ignore[arg-type]
    return addresses


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def resolve_local(hosts: Hosts, port: int) -> list[Address]:
    """The addresses to bind: one for each host, none for any."""
    check_port(port, lowest=0)
    return [(await _lookup(host, port))[0] for host in _host_list(hosts)]


async def resolve_peer(hosts: Hosts, port: int) -> list[list[Address]]:
    """The address lists to try, one after the other, to reach one peer.

    Several hosts are one multi-homed peer.  The addresses of a single name are tried in turn: they
    may well be those of different machines.
    """
    check_port(port, lowest=1)
    listed = _host_list(hosts)
    if not listed:
        raise ValueError("there is no host to connect to")
    if len(listed) == 1 and not _is_literal(listed[0]):
        return [[address] for address in await _lookup(listed[0], port)]
    return [[(await _lookup(host, port))[0] for host in listed]]


def is_ipv6(address: Address) -> bool:
    """Whether it is an IPv6 address."""
    return ":" in address[0]
