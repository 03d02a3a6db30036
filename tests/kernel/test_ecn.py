"""Explicit congestion notification between Linux and the userland stack, over a link that marks."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from trio_sctp import (
    EcnSupported,
    Option,
    open_association,
    open_listener,
    userland,
)
from trio_sctp._kernel._libc import network_namespace

from ..support.live_capture import ladder
from .network import Network

UDP_PORT = 9899
ON: list[Option] = [EcnSupported(True)]


@pytest.fixture
def hosts(net: Network) -> Iterator[Network]:
    """Linux is at the right end, in UDP."""
    _set_ports(UDP_PORT)
    net.sysctl("addip_enable", 0)  # without AUTH, which is off there, no peer may offer ASCONF
    with open("/run/netns/left") as left, network_namespace(left.fileno()):
        yield net
    _set_ports(0)


def _set_ports(port: int) -> None:
    script = f"cd /proc/sys/net/sctp; echo {port} > udp_port; echo {port} > encap_port"
    subprocess.run(["ip", "netns", "exec", "right", "sh", "-c", script], check=True)


@pytest.mark.parametrize("sender", ["userland", "kernel"])
async def test_who_sends_is_told_of_marks_and_answers(
    hosts: Network, sender: str, tmp_path: Path
) -> None:
    capture = tmp_path / "marks.pcapng"
    async with (
        userland(udp_port=UDP_PORT, peer_udp_port=UDP_PORT, capture=capture) as stack,
        await open_listener(
            0, hosts=hosts.right_hosts[0], options=[hosts.right, *ON], stack="kernel"
        ) as listener,
    ):
        ours = await open_association(hosts.right_hosts[0], listener.port, stack=stack, options=ON)
        theirs = await listener.accept()
        assert ours.get_option(EcnSupported) == theirs.get_option(EcnSupported) == ON[0]
        here, there = (ours, theirs) if sender == "userland" else (theirs, ours)
        hosts.mark(0)  # only now, since it loses control chunks
        for number in range(100):
            await here.send(b"%d" % number)
            assert (await there.receive()).data == b"%d" % number
        for channel in ours, theirs:
            await trio.aclose_forcefully(channel)
    end = {"userland": hosts.left_hosts[0], "kernel": hosts.right_hosts[0]}[sender]
    told, answered = (
        [
            arrow.destination.address == end if name == "ECNE" else arrow.source.address == end
            for arrow in ladder(capture).arrows
            for chunk in arrow.chunks
            if chunk.name == name
        ]
        for name in ("ECNE", "CWR")
    )
    assert told
    assert all(told)
    assert answered
    assert all(answered)
