"""Two hosts with several links between them: network namespaces, and pairs of interfaces.

An endpoint is on a host if it is opened with ``options=[host]``.  The links join 10.99.0.1 with
10.99.0.2, 10.99.1.1 with 10.99.1.2 and so on; and fd99:1::1 with fd99:1::2.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from trio_sctp import NetworkNamespace

SYSCTLS = {
    "addip_enable": 1,
    "addip_noauth_enable": 1,
    "reconf_enable": 1,
    "pf_expose": 2,
    "rto_initial": 200,
    "rto_min": 100,
    "rto_max": 400,
    "hb_interval": 200,
    "path_max_retrans": 2,
    "sack_timeout": 20,  # less than the least RTO, or messages would seem lost
    "max_init_retransmits": 5,
}
"""Impatient, so that what takes minutes elsewhere takes a second here."""

HOSTS = ("left", "right")


class Network:
    """Two hosts; `left` has the addresses that end in 1, `right` those that end in 2."""

    def __init__(self, links: int) -> None:
        self.left = NetworkNamespace("/run/netns/left")
        self.right = NetworkNamespace("/run/netns/right")
        self.left_hosts = [f"10.99.{n}.1" for n in range(links)]
        self.right_hosts = [f"10.99.{n}.2" for n in range(links)]
        self.left_hosts6 = [f"fd99:{n + 1}::1" for n in range(links)]
        self.right_hosts6 = [f"fd99:{n + 1}::2" for n in range(links)]
        self._cut: set[int] = set()
        self._set: set[str] = set()

    def down(self, link: int) -> None:
        """Cut a link: what is sent on it is lost, and nobody is told."""
        # Not the interface itself: then the kernel would know that it has lost an address.
        for host in HOSTS:
            _run(f"tc -n {host} qdisc replace dev link{link} root netem loss 100%")
        self._cut.add(link)

    def mark(self, link: int) -> None:
        """Say that there is congestion (RFC 3168): one packet in ten on a link is marked, or lost
        if it may not be marked."""
        for host in HOSTS:
            _run(f"tc -n {host} qdisc replace dev link{link} root netem loss 10% ecn")
        self._cut.add(link)

    def slow(self, link: int, milliseconds: int) -> None:
        """Delay what is sent on a link, in either direction."""
        for host in HOSTS:
            _run(f"tc -n {host} qdisc replace dev link{link} root netem delay {milliseconds}ms")
        self._cut.add(link)

    def up(self, link: int) -> None:
        """Mend a link."""
        for host in HOSTS:
            _run(f"tc -n {host} qdisc delete dev link{link} root")
        self._cut.remove(link)

    def sysctl(self, name: str, value: int) -> None:
        """Set one of `SYSCTLS` on both hosts."""
        for host in HOSTS:
            set_sysctls(host, {name: value})
        self._set.add(name)

    def mend(self) -> None:
        """As it was in the beginning."""
        for link in list(self._cut):
            self.up(link)
        for name in list(self._set):
            self.sysctl(name, SYSCTLS[name])
        self._set.clear()

    def interface_index(self, host: str, link: int) -> int:
        """The number of an interface, which is the scope id of its link-local address."""
        command = f"ip -n {host} -o link show link{link}".split()
        return int(subprocess.run(command, check=True, capture_output=True).stdout.split(b":")[0])


def _run(command: str) -> None:
    subprocess.run(command.split(), check=True)


def set_sysctls(host: str, values: dict[str, int]) -> None:
    """Set sysctls of SCTP on one host."""
    # /proc/sys shows those of the network namespace that looks at it.
    commands = ";".join(f"echo {value} > {name}" for name, value in values.items())
    script = f"set -e; cd /proc/sys/net/sctp; {commands}"
    subprocess.run(["ip", "netns", "exec", host, "sh", "-c", script], check=True)


@contextmanager
def network(links: int = 2) -> Iterator[Network]:
    try:
        for host in HOSTS:
            _run(f"ip netns add {host}")
        for n in range(links):
            _run(f"ip link add link{n} netns left type veth peer name link{n} netns right")
        result = Network(links)
        for host, number in (("left", 1), ("right", 2)):
            batch = ["link set lo up"]
            for n in range(links):
                batch += [
                    f"address add 10.99.{n}.{number}/24 dev link{n}",
                    f"address add fd99:{n + 1}::{number}/64 dev link{n} nodad",
                    f"address add fe80::{number}/64 dev link{n} nodad",
                    f"link set link{n} up",
                ]
            subprocess.run(
                ["ip", "-n", host, "-batch", "-"], input="\n".join(batch).encode(), check=True
            )
            set_sysctls(host, SYSCTLS)
        yield result
    finally:
        for host in HOSTS:
            subprocess.run(["ip", "netns", "delete", host], check=False)
