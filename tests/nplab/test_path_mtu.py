"""Path MTU discovery (RFC 8899), on a network that passes packets up to some size.

The scripts watch an idle association.  This engine probes when there is more to send than a packet
holds, so here it has something to send.
"""

from __future__ import annotations

from typing import Literal

import trio

from trio_sctp._engine import Parameters, Route, wire
from trio_sctp._engine.path import Path
from trio_sctp._engine.path_mtu import MAX_PROBES, RAISE_INTERVALS
from trio_sctp._engine.wire import ChunkType
from trio_sctp._userland.userland import Userland

from ..engine.simulation import Simulation
from ..etsi.tester import THERE, quick
from ..support.engines import PEER_PORT, A, B, Sent, info, payloads
from .tester import accepted, for_each, runs

Version = Literal[4, 6]
HEADERS: dict[Version, int] = {4: 20, 6: 40}
BASE, ETHERNET = 1280, 1500
PRECISION = 16
"""Bytes by which what is found may be below what there is."""


class Discovery(Simulation):
    """A sender that looks for the path MTU, and its peer.

    Sizes are those of IP packets, as in the scripts.
    """

    def __init__(self, width: int, version: Version = 4, *, enabled: bool = True) -> None:
        super().__init__(mtu=width)
        self.headers = HEADERS[version]
        local, remote = (A, B) if version == 4 else ("fd00::1", "fd00::2")
        self.sender = self.host(
            local,
            path_mtu=BASE - self.headers,
            path_mtu_discovery=enabled,
            largest_path_mtu=ETHERNET - self.headers,
        )
        self.receiver = self.host(remote, port=PEER_PORT)
        self.id = self.sender.connect([Route(local, remote)], PEER_PORT, self.now)
        self.run(1.0)
        self._remote = remote

    def send(self, size: int = 20_000) -> None:
        self.sender.send(self.id, bytes(size), info(), self.now)

    def passes(self, width: int) -> None:
        """From now on the path passes packets up to this size."""
        self.network.default_link.mtu = width

    @property
    def path(self) -> Path:
        return self.sender.associations[self.id].paths[self._remote]

    @property
    def found(self) -> int:
        """The path MTU that the sender goes by."""
        return self.path.mtu + self.headers

    def probes(self, since: float = 0.0) -> list[int]:
        """The sizes of the probes that have left."""
        return [sent.size + self.headers for sent in self.sent if padded(sent, since)]

    def all_arrives(self, *sizes: int) -> bool:
        return payloads(self.events[self.receiver]) == [bytes(size) for size in sizes]


def padded(sent: Sent, since: float) -> bool:
    chunks = sent.chunks(wire.UnknownChunk)
    return sent.time >= since and any(chunk.type == ChunkType.PAD for chunk in chunks)


@for_each({"plpmtud/ipv4_1500_optbinary_1500": 4, "plpmtud/ipv6_1500_optbinary_1500": 6})
def test_the_largest_size_is_tried_first(variant: Version) -> None:
    search = Discovery(ETHERNET, variant)
    search.send()
    search.run(5.0)
    assert search.probes() == [ETHERNET]
    assert search.found == ETHERNET
    assert search.all_arrives(20_000)


def test_larger_packets_make_no_larger_window() -> None:
    """RFC 8899 section 3, 7."""
    peer = accepted(
        quick(path_mtu=BASE - 20, path_mtu_discovery=True, largest_path_mtu=ETHERNET - 20)
    )
    left = peer.send(bytes(20_000))
    (probe,) = [sent for sent in left if padded(sent, 0.0)]
    path = peer.association.paths[THERE]
    window = path.cwnd
    peer.give(wire.heartbeat_chunk(probe.get(wire.Heartbeat).info, ack=True))
    assert path.mtu == ETHERNET - 20
    assert path.cwnd == window


@for_each(
    {
        "plpmtud/ipv4_1500_optbinary_1492": 4,
        "plpmtud/ipv4_1500_optbinary_1492_noptb": 4,
        "plpmtud/ipv6_1500_optbinary_1492": 6,
    }
)
def test_a_size_between_is_found_by_halving(variant: Version) -> None:
    """Nobody tells the engine of an ICMP message that a packet is too big."""
    search = Discovery(1492, variant)
    search.send()
    search.run(30.0)
    assert 1492 - PRECISION <= search.found <= 1492
    probes = search.probes()
    assert probes[:MAX_PROBES] == [ETHERNET] * MAX_PROBES
    known, too_large = BASE, ETHERNET
    for size in dict.fromkeys(probes[MAX_PROBES:]):
        assert known < size < too_large
        assert abs(size - (known + too_large) / 2) <= 4
        known, too_large = (size, too_large) if size <= 1492 else (known, size)
    count = len(probes)
    search.send()
    search.run(30.0)
    assert len(search.probes()) == count
    assert search.all_arrives(20_000, 20_000)


@runs("plpmtud/ipv4_1280_min1280", "plpmtud/ipv6_1280_min1280", "plpmtud/ipv4_1500_up_1200")
def test_a_path_that_passes_just_the_base_size_keeps_it() -> None:
    versions: list[Version] = [4, 6]
    for version in versions:
        search = Discovery(BASE, version)
        search.send()
        search.run(60.0)
        assert search.found == BASE
        assert all(search.probes().count(size) == MAX_PROBES for size in search.probes())
        assert search.all_arrives(20_000)


@runs("plpmtud/ipv4_1500_optbinary_1280-1492")
def test_a_path_that_has_become_wider_is_found_out_later() -> None:
    search = Discovery(1300)
    search.send()
    search.run(60.0)
    assert 1300 - PRECISION <= search.found <= 1300
    search.passes(1492)
    search.run(RAISE_INTERVALS * Parameters().probe_interval)
    search.send()
    search.run(60.0)
    assert 1492 - PRECISION <= search.found <= 1492


@for_each({"plpmtud/ipv4_1500_optbinary_1500-1492": 4, "plpmtud/ipv6_1500_optbinary_1500-1492": 6})
def test_a_path_that_has_become_narrower_is_found_out_by_losses(variant: Version) -> None:
    """Back to the base size, and then another search (RFC 8899 section 4.3)."""
    search = Discovery(ETHERNET, variant)
    search.send()
    search.run(5.0)
    assert search.found == ETHERNET
    search.passes(1492)
    search.send(200)
    search.run(1.0)
    assert search.all_arrives(20_000, 200)  # it fits
    began = search.now
    search.send()
    search.run(60.0)
    assert search.all_arrives(20_000, 200, 20_000)
    assert 1492 - PRECISION <= search.found <= 1492
    assert search.probes(began)[:MAX_PROBES] == [ETHERNET] * MAX_PROBES


@runs("plpmtud/ipv4_1500_optbinary_1500_error_ack")
def test_if_the_base_size_gets_lost_smaller_ones_are_tried() -> None:
    """And larger ones again later."""
    search = Discovery(ETHERNET)
    search.passes(700)
    search.send()
    search.run(30.0)
    assert search.all_arrives(20_000)
    search.run(60.0)
    assert 700 - PRECISION <= search.found <= 700
    search.passes(ETHERNET)
    search.run(RAISE_INTERVALS * Parameters().probe_interval)
    search.send()
    search.run(5.0)
    assert search.found == ETHERNET


@for_each(
    {
        "plpmtud/ipv4_1500_optbinary_1500_error_fail": 4,
        "plpmtud/ipv6_1500_optbinary_1500_error_fail": 6,
    }
)
def test_if_nothing_gets_through_the_size_stays(variant: Version) -> None:
    """On IPv4 a probe of the smallest size asks for it; IPv6 paths pass the base size."""
    search = Discovery(ETHERNET, variant)
    search.drop = lambda sent: True
    began = search.now
    search.send(BASE - search.headers - 28)
    search.run(2.0)
    search.run(10.0)
    assert search.found == BASE
    smallest = {size for size in search.probes(began) if size < BASE}
    assert len(smallest) == (variant == 4)
    assert len(search.probes(began)) <= MAX_PROBES
    search.drop = lambda sent: False
    search.run(60.0)
    assert search.all_arrives(BASE - search.headers - 28)
    assert search.found == BASE


@for_each(
    {"plpmtud/ipv4_1500_optbinary_1500_loss1": 4, "plpmtud/ipv6_1500_optbinary_1500_loss1": 6}
)
def test_a_probe_that_is_lost_is_repeated(variant: Version) -> None:
    """One loss says nothing about the size (RFC 8899 section 5.1.2)."""
    search = Discovery(ETHERNET, variant)
    search.drop = lambda sent: padded(sent, 0.0) and len(search.probes()) == 1
    search.send()
    search.run(10.0)
    assert search.probes() == [ETHERNET] * 2
    assert search.found == ETHERNET


@runs("plpmtud/ipv4_1500_optbinary_1500_late1")
def test_a_probe_that_is_answered_late_costs_time_only() -> None:
    search = Discovery(ETHERNET)
    late: list[Sent] = []

    def delayed(sent: Sent) -> bool:
        if sent.has(wire.HeartbeatAck) and not late:
            late.append(sent)
            return True
        return False

    search.drop = delayed
    search.send()
    search.run(1.5)
    assert search.probes() == [ETHERNET] * 2
    (answer,) = late
    (ack,) = answer.chunks(wire.HeartbeatAck)
    data = wire.seal(
        answer.packet.source_port,
        answer.packet.destination_port,
        answer.packet.tag,
        [wire.heartbeat_chunk(ack.info, ack=True)],
    )
    search.sender.receive_packet(data, Route(A, B), search.now)
    search.run(10.0)
    assert search.found == ETHERNET
    assert search.probes() == [ETHERNET] * 2


@runs("plpmtud/ipv4_1500_up_1500_check1", "plpmtud/ipv4_1500_up_1500_check2")
def test_each_answer_counts_at_once() -> None:
    """For what the user is told, and for the packets that follow."""
    search = Discovery(1492)
    told: list[tuple[float, int]] = []
    while search.step(60.0):
        mtu = search.sender.status(search.id).primary.mtu + search.headers
        if not told or told[-1][1] != mtu:
            told.append((search.now, mtu))
            search.send(3000)
    found = sorted({size for size in search.probes() if size <= 1492})
    assert len(found) > 2
    assert [mtu for _, mtu in told] == [BASE, *found]
    for time, mtu in told:
        assert search.packets(wire.Data, A, since=time)[0].size + search.headers == mtu


@runs("plpmtud/ipv4_passive")
def test_the_probes_of_a_peer_are_answered() -> None:
    peer = accepted()
    probe = wire.heartbeat_chunk(b"how wide is the path?")
    peer.give(probe, wire.pad_chunk(1200))
    assert peer.expect(wire.HeartbeatAck).info == b"how wide is the path?"
    peer.works()


async def _parameters_over_udp() -> Parameters:
    return Userland("udp", 0, 0).parameters()


@for_each({"plpmtud/ipv4_udp_1500_optbinary_1500": 4, "plpmtud/ipv6_udp_1500_optbinary_1500": 6})
def test_in_udp_its_header_takes_room(variant: Version) -> None:
    """The largest packet fits Ethernet; the userland stack leaves room for an IPv6 header."""
    udp = trio.run(_parameters_over_udp)
    assert udp.path_mtu == BASE - HEADERS[6] - 8
    assert udp.largest_path_mtu == ETHERNET - HEADERS[6] - 8
    assert udp.path_mtu_discovery
    peer = accepted(udp)
    left = peer.send(bytes(20_000))
    (probe,) = [sent for sent in left if padded(sent, 0.0)]
    assert probe.size + 8 + HEADERS[variant] <= ETHERNET
    (heartbeat,) = probe.chunks(wire.Heartbeat)
    peer.give(wire.heartbeat_chunk(heartbeat.info, ack=True))
    assert peer.engine.status(peer.id).primary.mtu == udp.largest_path_mtu


# -- switching it on and off -------------------------------------------------------------------


@runs("plpmtud/ipv4_1500_sockopt_net_enable", "plpmtud/ipv4_1500_sockopt_asoc_enable")
def test_a_search_that_is_switched_on_begins() -> None:
    search = Discovery(ETHERNET, enabled=False)
    search.send()
    search.run(5.0)
    assert search.probes() == []
    assert search.found == BASE
    search.path.discover_mtu()
    search.send()
    search.run(5.0)
    assert search.probes() == [ETHERNET]
    assert search.found == ETHERNET


@runs("plpmtud/ipv4_1500_sockopt_net_disable", "plpmtud/ipv4_1500_sockopt_asoc_disable")
def test_a_search_that_is_switched_off_stops() -> None:
    search = Discovery(1400)
    search.send()
    while len(search.probes()) <= MAX_PROBES:
        assert search.step()
    search.path.discover_mtu(False)
    search.path.mtu = 1400 - search.headers
    count = len(search.probes())
    search.run(60.0)
    began = search.now
    search.send()
    search.run(60.0)
    assert len(search.probes()) == count
    assert search.found == 1400
    data = [sent.size for sent in search.packets(wire.Data, A, since=began)]
    assert max(data) + search.headers == 1400
    assert search.all_arrives(20_000, 20_000)
