"""The addresses of this machine, and the order in which those of a name are tried."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
import sys

import pytest

from trio_sctp._addresses import own_addresses

SIOCGIFADDR = 0x8915

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it asks Linux")


def first_addresses() -> list[str]:
    """The first IPv4 address of each interface that has one, asked for in another way."""
    found: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode())
            try:
                answer = fcntl.ioctl(sock, SIOCGIFADDR, request)
            except OSError:
                continue
            found.append(socket.inet_ntoa(answer[20:24]))
    return found


def test_the_addresses_of_all_interfaces_are_found() -> None:
    own = own_addresses()
    assert "127.0.0.1" in own
    assert set(own) >= set(first_addresses())
    assert len(set(own)) == len(own)
    for host in own:
        address = ipaddress.ip_address(host)
        assert isinstance(address, ipaddress.IPv4Address) or (
            bool(address.scope_id) is address.is_link_local
        )


def test_each_of_them_can_be_bound() -> None:
    for host in own_addresses():
        ((family, kind, _, _, where), *_) = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
        with socket.socket(family, kind) as sock:
            sock.bind(where)


def test_ipv6_addresses_are_told_where_there_are_any() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    assert "::1" in own_addresses()
