"""Path MTU discovery (RFC 8899), and chunks that have become too large for a packet."""

from __future__ import annotations

import pytest

from trio_sctp._engine import wire

from ..support.engines import B2, PEER_PORT, A, Sent, info, payloads
from ..support.scripted_peer import ScriptedPeer
from .simulation import Pair

IP = 20
BASE, LARGEST = 1200, 1480


def discovering(mtu: int = 1500, homes: int = 1, **parameters: int) -> Pair:
    """A pair whose ``a`` looks for the path MTU, which is ``mtu`` with the IP header."""
    here = {"path_mtu": BASE, "path_mtu_discovery": True, "largest_path_mtu": LARGEST}
    return Pair(homes, here=here | parameters, there={"path_mtu": BASE}, link={"mtu": mtu})


def probes(sent: list[Sent]) -> list[Sent]:
    """The packets with a PAD chunk."""
    return [
        packet
        for packet in sent
        if any(chunk.type == wire.ChunkType.PAD for chunk in packet.chunks(wire.UnknownChunk))
    ]


def test_an_idle_path_is_not_probed() -> None:
    pair = discovering()
    pair.send(b"fits into a packet")
    pair.run(100.0)
    assert probes(pair.sent) == []


def test_the_largest_size_is_found_with_one_probe() -> None:
    pair = discovering()
    pair.send(bytes(20_000))
    pair.run(1.0)
    (probe,) = probes(pair.sent)
    assert probe.size == LARGEST
    assert probe.packet.chunks[0] == wire.Heartbeat(probe.chunks(wire.Heartbeat)[0].info)
    assert pair.path().mtu == LARGEST
    pair.send(bytes(20_000))
    pair.run(1.0)
    assert max(packet.size for packet in pair.data(A)) == LARGEST
    assert payloads(pair.events[pair.b]) == [bytes(20_000)] * 2


@pytest.mark.parametrize("mtu", [1300, 1400, 1492])
def test_a_size_between_is_found(mtu: int) -> None:
    pair = discovering(mtu)
    pair.send(bytes(20_000))
    pair.run(60.0)
    assert mtu - IP - 16 <= pair.path().mtu <= mtu - IP
    sizes = [probe.size for probe in probes(pair.sent)]
    lost = [size for size in sizes if size > mtu - IP]
    # RFC 8899 section 5.1.2: a size does not work when MAX_PROBES of it are lost.
    assert all(lost.count(size) == 3 for size in lost)
    assert len(sizes) < 20


def test_lost_probes_say_nothing_of_congestion_or_of_the_path() -> None:
    pair = discovering(1300)
    pair.send(bytes(20_000))
    pair.run(1.0)
    window, rto = pair.path().cwnd, pair.path().rto
    pair.run(20.0)
    assert any(probe.size > 1300 - IP for probe in probes(pair.sent))
    assert (pair.path().cwnd, pair.path().rto) == (window, rto)
    assert (pair.path().error_count, pair.association.error_count) == (0, 0)


@pytest.mark.parametrize(("interval", "seconds"), [(None, 600.0), (5.0, 150.0)])
def test_a_search_is_repeated_after_30_intervals_of_use(
    interval: float | None, seconds: float
) -> None:
    """Ten minutes unless an interval is set (RFC 8899 section 5.1.1)."""
    pair = discovering(1300)
    search = pair.path().search
    assert search is not None
    search.interval = interval or search.interval
    pair.send(bytes(20_000))
    pair.run(60.0)
    found, count = pair.path().mtu, len(probes(pair.sent))
    pair.network.default_link.mtu = 1500
    pair.send(bytes(20_000))
    pair.run(10.0)
    assert (pair.path().mtu, len(probes(pair.sent))) == (found, count)
    pair.run(seconds)
    assert len(probes(pair.sent)) == count
    pair.send(bytes(20_000))
    pair.run(10.0)
    assert pair.path().mtu == LARGEST


def test_a_path_that_passes_less_than_before_costs_nothing_but_time() -> None:
    """RFC 8899 section 4.3: a black hole."""
    pair = discovering()
    pair.send(bytes(20_000))
    pair.run(1.0)
    assert pair.path().mtu == LARGEST
    pair.network.default_link.mtu = 1300
    pair.send(bytes(50_000))
    pair.run(60.0)
    assert pair.path().mtu < 1300
    assert payloads(pair.events[pair.b]) == [bytes(20_000), bytes(50_000)]
    # A chunk has its TSN, so it cannot be cut anew: IP fragments it (RFC 9260 section 7.3).
    assert any(packet.size > 1300 for packet in pair.data(A))


def test_what_was_sent_on_a_wide_path_passes_a_narrow_one() -> None:
    pair = discovering(homes=2)
    pair.send(bytes(20_000))
    pair.run(5.0)
    assert pair.path().mtu == LARGEST
    assert pair.path(B2).mtu == BASE
    pair.send(bytes(100_000))
    pair.cut(A)
    pair.run(20.0)
    assert payloads(pair.events[pair.b]) == [bytes(20_000), bytes(100_000)]


def test_packets_that_must_not_be_fragmented_are_marked_so() -> None:
    peer = ScriptedPeer(path_mtu=1200)
    peer.accept()
    peer.engine.send(peer.association.id, bytes(5000), info(), peer.now)
    assert [packet.fragment for packet in peer.engine.packets_to_send()] == [False] * 4
    (path,) = peer.association.paths.values()
    path.mtu = 600
    left = peer.advance(0.0)
    peer.engine.handle_timeout(peer.now + 1.0)
    again = peer.engine.packets_to_send()
    assert left == []
    assert [(len(packet.data), packet.fragment) for packet in again] == [(1200, True)]


def test_a_search_ends_with_the_association() -> None:
    pair = discovering(1300)
    pair.send(bytes(20_000))
    pair.run(1.5)
    pair.a.shutdown(pair.id, pair.now)
    pair.finish(20.0)


def test_an_answer_to_another_probe_proves_nothing() -> None:
    peer = ScriptedPeer(path_mtu=BASE, path_mtu_discovery=True, largest_path_mtu=LARGEST)
    peer.accept()
    (path,) = peer.association.paths.values()
    left = peer.send(bytes(20_000))
    (probe,) = probes(left)
    (heartbeat,) = probe.chunks(wire.Heartbeat)
    forged = heartbeat.info[:8] + bytes(8) + heartbeat.info[16:]
    peer.give(wire.heartbeat_chunk(forged, ack=True))
    assert path.mtu == BASE
    peer.give(wire.heartbeat_chunk(heartbeat.info, ack=True))
    assert path.mtu == LARGEST


@pytest.mark.parametrize("mtu", [1199, 1000, 600, 576])
def test_an_ipv4_path_below_the_base_size_is_found_and_works(mtu: int) -> None:
    pair = discovering(mtu)
    for number in range(50):
        pair.send(bytes([number]) * (BASE - 28))
    pair.run_until(lambda: len(payloads(pair.events[pair.b])) == 50, 60.0)
    assert 512 <= pair.path().mtu <= mtu - IP
    pair.run(60.0)
    assert pair.path().mtu > mtu - IP - 20
    assert not pair.path().unreachable


@pytest.mark.parametrize("mtu", [1199, 1000, 600])
def test_a_search_for_larger_sizes_gives_way_when_packets_of_the_base_size_are_lost(
    mtu: int,
) -> None:
    """It begins with the first message that does not fit into a packet, and can take minutes."""
    pair = discovering(mtu)
    pair.send(bytes(20_000))
    pair.run_until(lambda: payloads(pair.events[pair.b]), 30.0)


@pytest.mark.parametrize("mtu", [1000, 600, 576])
def test_an_association_comes_up_on_a_narrow_path_though_a_message_goes_with_the_cookie(
    mtu: int,
) -> None:
    pair = Pair(both={"path_mtu": BASE}, link={"mtu": mtu}, connect=False)
    pair.id = pair.a.connect(pair.routes, PEER_PORT, pair.now)
    pair.send(bytes(800))
    pair.run(3.0)
    assert payloads(pair.events[pair.b]) == [bytes(800)]


def test_a_path_on_which_nothing_passes_for_a_while_keeps_its_size() -> None:
    pair = discovering(BASE + IP)
    pair.run(1.0)
    pair.cut(A)
    pair.send(bytes(10_000))
    pair.run(20.0)
    pair.heal()
    pair.run(60.0)
    assert payloads(pair.events[pair.b]) == [bytes(10_000)]
    assert pair.path().mtu == BASE


def test_an_ipv6_path_never_passes_less_than_the_base_size() -> None:
    peer = ScriptedPeer(["fd00::1"], remote="fd00::2", path_mtu=BASE, path_mtu_discovery=True)
    peer.accept()
    peer.send(bytes(BASE - 28))
    peer.advance(30.0)
    assert not probes(peer.sent)
