"""Turning hosts and ports, as programs write them, into transport addresses."""

from __future__ import annotations

import array
import contextlib
import ipaddress
import itertools
import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import trio

from ._checks import check_integer, shown
from ._values import Address

if sys.platform == "linux":
    import fcntl

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
        if not port or "\0" in port:
            raise ValueError(f"a port must be a number or the name of a service, not {port!r}")
        return
    if not isinstance(port, int) or isinstance(port, bool):
        raise TypeError(f"a port must be an integer or the name of a service, not {shown(port)}")
    check_integer("a port", port, lowest, 65535)


def check_hosts(hosts: Hosts, name: str = "hosts") -> list[str]:
    """The hosts that an argument names, as a list; raise if one cannot be a host."""
    if isinstance(hosts, str):
        listed = [hosts]
    elif isinstance(hosts, Iterable) and not isinstance(hosts, (bytes, bytearray, memoryview)):
        listed = list(hosts)
    else:
        raise TypeError(
            f"{name} must be a str, a name or an address, or a list of them, not {shown(hosts)}"
        )
    for host in listed:
        if not isinstance(host, str):
            hint = ": the port is an argument of its own" if _has_port(host) else ""
            raise TypeError(f"a host must be a str, a name or an address, not {shown(host)}{hint}")
        _check_host(host)
    return listed


def _has_port(host: object) -> bool:
    """Whether it looks like a port, or an address with one, in a host's place."""
    return isinstance(host, (int, tuple)) and not isinstance(host, bool)


def _check_host(host: str) -> None:
    """Refuse what is written as a host in other places, and would be looked up in vain."""
    if "://" in host:
        hint = ", without a scheme"
    elif host.startswith("["):
        hint = ", without brackets; the port is an argument of its own"
    elif host.count(":") == 1:
        hint = ": the port is an argument of its own"
    elif not host or "\0" in host:
        hint = ""
    else:
        return
    raise ValueError(f"a host must be a name or an address, not {shown(host)}{hint}")


async def _lookup(host: str, port: int, stack: Stack) -> list[Address]:
    addresses: list[Address] = []
    try:
        known = None if is_literal(host) else stack.resolve(host)
        for one in [host] if known is None else known:
            found = await trio.socket.getaddrinfo(one, port, type=socket.SOCK_STREAM)
            for family, _, _, _, address in found:
                if family in (socket.AF_INET, socket.AF_INET6) and address not in addresses:
                    check_scope(address)  # type: ignore[arg-type]
                    addresses.append(address)  # type: ignore[arg-type]
    except UnicodeError:
        raise ValueError(f"a host must be a name or an address, not {host!r}") from None
    except socket.gaierror as error:
        raise socket.gaierror(error.errno, f"{host!r}: {error.strerror}") from None
    if not addresses:
        raise socket.gaierror(socket.EAI_NONAME, f"{host!r} has no IPv4 or IPv6 address")
    return addresses


def check_scope(address: Address) -> None:
    """Refuse a link-local address that does not say on which link."""
    if ":" not in address[0]:
        return
    host = ipaddress.ip_address(address[0])
    if (
        isinstance(host, ipaddress.IPv6Address)
        and host.is_link_local
        and not (host.scope_id or (len(address) == 4 and address[3]))
    ):
        raise ValueError(
            f"{address[0]!r} is a link-local address: say the interface, as in '{address[0]}%eth0'"
        )


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
        except socket.gaierror:
            continue
        for _, _, _, _, address in found:
            number = address[1]
            assert isinstance(number, int)
            check_port(number, lowest=lowest)
            return number
    raise socket.gaierror(socket.EAI_SERVICE, f"{port!r} is not a service that this machine knows")


async def resolve_local(
    hosts: Hosts, port: int, stack: Stack, name: str = "hosts"
) -> list[Address]:
    """The addresses to bind: one for each host; an empty list stands for any address.

    ``name`` is that of the argument.
    """
    return [(await _lookup(host, port, stack))[0] for host in check_hosts(hosts, name)]


def is_literal(host: str) -> bool:
    """Whether a host is an IP address, so that it need not be looked up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def resolve_peer(hosts: Hosts, port: Port, stack: Stack) -> list[list[Address]]:
    """The address lists to try, in this order, to reach one peer.

    Several hosts are one multi-homed peer.  Each address of a single name is tried on its own, as
    they may belong to different machines.
    """
    listed = check_hosts(hosts)
    if not listed:
        raise ValueError("there is no host to connect to")
    number = await resolve_port(port, lowest=1)
    if len(listed) == 1 and not is_literal(listed[0]):
        found = await _lookup(listed[0], number, stack)
        return [[address] for address in _interleave(found)]
    return [[(await _lookup(host, number, stack))[0] for host in listed]]


def _interleave(addresses: Sequence[Address]) -> list[Address]:
    """Let the families take turns, the first one first, each in its order (RFC 8305 section 4).

    A machine that has no way to one family so loses one delay, not one for each address.
    """
    first = [address for address in addresses if is_ipv6(address) is is_ipv6(addresses[0])]
    second = [address for address in addresses if address not in first]
    pairs = itertools.zip_longest(first, second)
    return [address for pair in pairs for address in pair if address is not None]


def is_ipv6(address: Address) -> bool:
    """Whether a transport address is an IPv6 one."""
    return ":" in address[0]


# -- this machine's ---

_SIOCGIFCONF = 0x8912
_IFREQ_SIZE = 16 + struct.calcsize("LLHBBB0L")  # a name, and a union whose largest is struct ifmap


def own_addresses() -> list[str]:
    """The IP addresses of this machine; a link-local one has the number of its link behind a %.

    Outside of Linux: the loopback addresses, and those that its name resolves to.
    """
    if sys.platform == "linux":
        return _linux_addresses()
    found = {"127.0.0.1": None, "::1": None}
    with contextlib.suppress(OSError):
        for family, _, _, _, address in socket.getaddrinfo(socket.gethostname(), None):
            if family in (socket.AF_INET, socket.AF_INET6):
                found[str(address[0])] = None
    return list(found)


if sys.platform == "linux":

    def _linux_addresses() -> list[str]:
        """The addresses of all interfaces: netdevice(7), and /proc/net/if_inet6."""
        room = array.array("B", bytes(2**16))
        where, size = room.buffer_info()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            answer = fcntl.ioctl(sock, _SIOCGIFCONF, struct.pack("iP", size, where))
        (used,) = struct.unpack_from("i", answer)
        found = [socket.inet_ntoa(room[at + 20 : at + 24]) for at in range(0, used, _IFREQ_SIZE)]
        with contextlib.suppress(FileNotFoundError), open("/proc/net/if_inet6") as file:
            for line in file:
                digits, index, *_ = line.split()
                host = ipaddress.IPv6Address(bytes.fromhex(digits))
                found.append(f"{host}%{int(index, 16)}" if host.is_link_local else str(host))
        return found
