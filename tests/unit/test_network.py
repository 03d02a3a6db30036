"""The simulated network: each kind of fault, exact times, and that nothing gets lost uncounted."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_sctp.testing import Delivery, Link, LinkStatistics, Network, RoutedPacket

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
A6, B6 = "fd00::1", "fd00::2"
IP = 20
IP6 = 40


def network(seed: int = 0, **fields: Any) -> Network:
    return Network(seed, default_link=Link(**fields))


def everything(net: Network) -> list[Delivery]:
    """All packets that will arrive, each at its deadline."""
    deliveries: list[Delivery] = []
    while (deadline := net.next_deadline()) is not None:
        deliveries += net.deliver(deadline)
    return deliveries


def payloads(net: Network) -> list[bytes]:
    return [delivery.data for delivery in everything(net)]


def counts(net: Network, source: str = A, destination: str = B) -> LinkStatistics:
    return net.statistics()[source, destination]


def numbered(net: Network, count: int, *, every: float = 0.0) -> list[bytes]:
    """Transmit a number of packets, all different."""
    packets = [b"%06d" % number for number in range(count)]
    for number, packet in enumerate(packets):
        net.transmit(packet, A, B, number * every)
    return packets


# -- delivery ----------------------------------------------------------------------------------


def test_a_packet_arrives_after_the_delay() -> None:
    net = network(delay=0.25)
    assert net.next_deadline() is None
    net.transmit(b"x", A, B, 1.0)
    assert net.next_deadline() == 1.25
    assert net.deliver(1.125) == []
    assert net.deliver(2.0) == [Delivery(b"x", A, B, 1.25)]
    assert net.deliver(2.0) == []
    assert net.next_deadline() is None


def test_deliveries_are_in_order_of_time_then_of_transmission() -> None:
    net = network(delay=1.0)
    net.set_link(A, C, Link(delay=0.5))
    net.transmit(b"late", A, B, 0.0)
    net.transmit(b"early", A, C, 0.0)
    net.transmit(b"tie 1", C, B, 0.0)
    net.transmit(b"tie 2", B, A, 0.0)
    assert [d.data for d in net.deliver(1.0)] == [b"early", b"late", b"tie 1", b"tie 2"]


def test_a_packet_on_the_way_is_in_flight() -> None:
    net = network(delay=1.0)
    net.transmit(b"x", A, B, 0.0)
    assert counts(net).in_flight == 1
    net.deliver(1.0)
    assert counts(net).in_flight == 0


def test_time_may_begin_before_zero() -> None:
    net = network(delay=1.0, bandwidth=8e3)
    net.transmit(bytes(1000 - IP), A, B, -100.0)
    assert everything(net)[0].time == -98.0


def test_addresses_may_be_spelled_in_any_way() -> None:
    net = network()
    net.link(A6, B6).delay = 1.0
    net.transmit(b"x", "FD00:0::1", "fd00:0:0:0::2", 0.0)
    net.transmit(b"y", "FD00:0::1", "fd00:0:0:0::2", 0.0)
    assert net.deliver(1.0) == [Delivery(b"x", A6, B6, 1.0), Delivery(b"y", A6, B6, 1.0)]
    assert set(net.statistics()) == {(A6, B6), (B6, A6)}


@pytest.mark.parametrize(("source", "destination"), [("host", B), (A, ""), (A, B6), (A6, B)])
def test_addresses_that_no_packet_can_have(source: str, destination: str) -> None:
    net = network()
    with pytest.raises(ValueError, match=r"does not appear|nothing leads from"):
        net.transmit(b"x", source, destination, 0.0)
    assert net.statistics() == {}


# -- links -------------------------------------------------------------------------------------


def test_a_link_of_its_own_starts_as_the_default_and_is_shared_by_both_directions() -> None:
    net = network(delay=0.5)
    link = net.link(A, B)
    assert link == net.default_link
    assert link is not net.default_link
    assert net.link(B, A) is link
    link.delay = 2.0
    net.default_link.delay = 1.0
    for source, destination in (A, B), (B, A), (A, C):
        net.transmit(b"x", source, destination, 0.0)
    assert [d.time for d in everything(net)] == [1.0, 2.0, 2.0]


def test_one_direction_may_have_a_link_of_its_own() -> None:
    net = network(delay=1.0)
    net.set_link(A, B, Link(delay=5.0), both=False)
    back = net.link(B, A)
    assert back.delay == 1.0
    back.delay = 2.0
    assert net.link(A, B).delay == 5.0


def test_changes_hold_for_what_is_transmitted_from_then_on() -> None:
    net = network(delay=1.0)
    net.transmit(b"1", A, B, 0.0)
    net.default_link.delay = 4.0
    net.transmit(b"2", A, B, 0.0)
    assert [d.time for d in everything(net)] == [1.0, 4.0]


def test_a_shorter_delay_keeps_the_order() -> None:
    net = network(delay=4.0)
    net.transmit(b"1", A, B, 0.0)
    net.default_link.delay = 1.0
    net.transmit(b"2", A, B, 1.0)
    net.transmit(b"3", A, B, 4.0)
    assert [(d.data, d.time) for d in everything(net)] == [(b"1", 4.0), (b"2", 4.0), (b"3", 5.0)]


@pytest.mark.parametrize("field", ["loss", "reordering", "duplication", "corruption"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), None])
def test_a_probability_is_from_0_to_1(field: str, value: float | None) -> None:
    with pytest.raises(ValueError, match=f"{field} must be a probability"):
        setattr(Link(), field, value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("delay", -1.0),
        ("delay", float("inf")),
        ("jitter", float("nan")),
        ("reorder_delay", -1.0),
        ("overhead", -1),
        ("bandwidth", 0),
        ("queue", -1),
        ("mtu", 0),
    ],
)
def test_settings_that_no_link_can_have(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        Link(**{field: value})  # type: ignore[arg-type]
    link = Link()
    with pytest.raises(ValueError, match=field):
        setattr(link, field, value)
    assert link == Link()


# -- bandwidth, queue and MTU --------------------------------------------------------------------


@pytest.mark.parametrize(("source", "destination", "header"), [(A, B, IP), (A6, B6, IP6)])
def test_packets_are_transmitted_one_after_the_other(
    source: str, destination: str, header: int
) -> None:
    net = network(delay=1.0, bandwidth=8192, overhead=8)
    data = bytes(512 - header - 8)  # half a second
    for now in 0.0, 0.0, 0.25, 2.0:
        net.transmit(data, source, destination, now)
    assert [d.time for d in everything(net)] == [1.5, 2.0, 2.5, 3.5]


def test_each_direction_has_a_transmitter_of_its_own() -> None:
    net = network(bandwidth=8192)
    net.link(A, B)
    for source, destination in (A, B), (B, A), (A, C):
        net.transmit(bytes(1024 - IP), source, destination, 0.0)
    assert [d.time for d in everything(net)] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("queue", [0, 1, 5])
def test_a_full_queue_drops_what_comes_last(queue: int) -> None:
    net = network(bandwidth=8192, queue=queue)
    packets = [bytes([number]) * (1024 - IP) for number in range(10)]  # a second each
    for packet in packets:
        net.transmit(packet, A, B, 0.0)
    assert counts(net).queue_drops == 10 - (1 + queue)
    # After 0.5 s the queue is as full as it was; after 1 s there is room for one.
    net.transmit(packets[0], A, B, 0.5)
    assert counts(net).queue_drops == 10 - queue
    net.transmit(packets[9], A, B, 1.0)
    net.transmit(packets[9], A, B, 1.0)
    assert counts(net).queue_drops == 11 - queue
    deliveries = everything(net)
    assert [d.data for d in deliveries] == [*packets[: queue + 1], packets[9]]
    assert [d.time for d in deliveries] == [float(second) for second in range(1, queue + 3)]


def test_a_queue_without_limit_takes_all() -> None:
    net = network(bandwidth=8192)
    for _ in range(1000):
        net.transmit(bytes(1024 - IP), A, B, 0.0)
    assert [d.time for d in everything(net)] == [float(second) for second in range(1, 1001)]


def test_an_overloaded_link_carries_its_bandwidth() -> None:
    net = network(bandwidth=1e6, queue=10, delay=0.05)
    for number in range(20_000):  # 2 Mbit/s for 10 s
        net.transmit(bytes(125 - IP), A, B, number * 0.0005)
        net.deliver(number * 0.0005)
    everything(net)
    assert counts(net).delivered == pytest.approx(10_000, abs=12)


@pytest.mark.parametrize(("source", "destination", "header"), [(A, B, IP), (A6, B6, IP6)])
def test_the_mtu_is_that_of_the_whole_packet(source: str, destination: str, header: int) -> None:
    net = network(mtu=1500, overhead=8)
    fits = 1500 - header - 8
    net.transmit(bytes(fits), source, destination, 0.0)
    net.transmit(bytes(fits + 1), source, destination, 0.0)
    assert [len(data) for data in payloads(net)] == [fits]
    assert counts(net, source, destination).mtu_drops == 1


def test_no_packet_is_larger_than_ip_allows() -> None:
    net = network()
    net.transmit(bytes(65535 - IP), A, B, 0.0)
    net.transmit(bytes(65536 - IP), A, B, 0.0)
    assert counts(net).mtu_drops == 1


# -- faults ------------------------------------------------------------------------------------


def test_loss() -> None:
    net = network(loss=0.25)
    numbered(net, 10_000)
    assert 2300 < counts(net).lost < 2700
    assert len(payloads(net)) == 10_000 - counts(net).lost


def test_a_lost_packet_has_taken_its_bandwidth() -> None:
    net = network(loss=1.0, bandwidth=8192)
    net.transmit(bytes(1024 - IP), A, B, 0.0)
    net.default_link.loss = 0.0
    net.transmit(bytes(1024 - IP), A, B, 0.0)
    assert [d.time for d in everything(net)] == [2.0]


def test_jitter_keeps_the_order() -> None:
    net = network(delay=1.0, jitter=0.5)
    packets = numbered(net, 1000, every=0.001)
    deliveries = everything(net)
    assert [d.data for d in deliveries] == packets
    delays = [d.time - 0.001 * number for number, d in enumerate(deliveries)]
    assert 1.0 <= min(delays) < max(delays) < 1.5


def test_jitter_is_uniform() -> None:
    net = network(delay=1.0, jitter=0.5)
    numbered(net, 4000, every=1.0)  # too far apart to meet
    extra = [d.time - 1.0 - number for number, d in enumerate(everything(net))]
    assert min(extra) >= 0
    assert [sum(n / 8 <= e < (n + 1) / 8 for e in extra) for n in range(4)] == [
        pytest.approx(1000, abs=150)
    ] * 4


def test_reordering_holds_packets_back() -> None:
    net = network(delay=1.0, reordering=0.1, reorder_delay=0.0625)
    packets = numbered(net, 1000, every=0.03125)
    deliveries = everything(net)
    held_back = counts(net).reordered
    assert 70 < held_back < 130
    assert sorted(d.data for d in deliveries) == packets != [d.data for d in deliveries]
    delays = Counter(d.time - int(d.data) * 0.03125 for d in deliveries)
    assert delays == {1.0: 1000 - held_back, 1.0625: held_back}


def test_duplication() -> None:
    net = network(delay=1.0, duplication=0.1)
    packets = numbered(net, 1000, every=0.01)
    arrived = Counter(payloads(net))
    assert set(arrived) == set(packets)
    assert set(arrived.values()) == {1, 2}
    assert 70 < counts(net).duplicated < 130
    assert arrived.total() == 1000 + counts(net).duplicated == counts(net).delivered


def test_a_copy_follows_directly() -> None:
    net = network(duplication=1.0)
    numbered(net, 2)
    assert payloads(net) == [b"000000", b"000000", b"000001", b"000001"]


def test_corruption_flips_one_bit() -> None:
    net = network(corruption=0.5)
    packets = numbered(net, 1000)
    flips = [
        (int.from_bytes(sent, "big") ^ int.from_bytes(data, "big")).bit_count()
        for sent, data in zip(packets, payloads(net), strict=True)
    ]
    assert set(flips) == {0, 1}
    assert sum(flips) == counts(net).corrupted == pytest.approx(500, abs=60)


def test_nothing_of_an_empty_packet_can_be_corrupted() -> None:
    net = network(corruption=1.0)
    net.transmit(b"", A, B, 0.0)
    assert payloads(net) == [b""]
    assert counts(net).corrupted == 0


def test_a_link_that_is_down_drops_all_and_what_is_on_the_way() -> None:
    net = network(delay=1.0)
    link = net.link(A, B)
    net.transmit(b"arrives", A, B, 0.0)
    net.transmit(b"on the way", A, B, 1.0)
    assert [d.data for d in net.deliver(1.5)] == [b"arrives"]
    link.up = False
    net.transmit(b"down", B, A, 1.5)
    net.transmit(b"another link", A, C, 1.5)
    assert [d.data for d in net.deliver(3.0)] == [b"another link"]
    link.up = True
    net.transmit(b"up", A, B, 3.0)
    assert payloads(net) == [b"up"]
    assert (counts(net).down_drops, counts(net, B, A).down_drops) == (1, 1)


def test_a_partition_cuts_two_groups_until_it_is_healed() -> None:
    net = network()
    net.partition([A, A6], [B, B6])
    net.link(A, C).up = False
    pairs = [(A, B), (B, A), (A6, B6), (B6, A6), (A, C), (B, C), (C, B)]
    for source, destination in pairs:
        net.transmit(b"x", source, destination, 0.0)
    assert [d[1:3] for d in everything(net)] == [(B, C), (C, B)]
    net.heal()
    for source, destination in pairs:
        net.transmit(b"x", source, destination, 0.0)
    assert [d[1:3] for d in everything(net)] == [pair for pair in pairs if pair != (A, C)]
    assert sum(s.down_drops for s in net.statistics().values()) == 6


def test_a_group_is_not_one_address() -> None:
    with pytest.raises(TypeError, match="must be a list"):
        network().partition(A, [B])


# -- the route hook ------------------------------------------------------------------------------


def test_the_hook_sees_every_packet_and_may_leave_it_alone() -> None:
    net = network(delay=1.0)
    seen: list[RoutedPacket] = []
    net.route = seen.append
    net.transmit(b"x", A, B, 3.0)
    assert seen == [RoutedPacket(b"x", A, B, 3.0, delay=0.0)]
    assert everything(net) == [Delivery(b"x", A, B, 4.0)]
    net.route = None
    net.transmit(b"y", A, B, 5.0)
    assert len(seen) == 1


def test_the_hook_drops() -> None:
    net = network()
    net.route = lambda packet: [packet] if int(packet.data) % 2 else []
    numbered(net, 4)
    assert payloads(net) == [b"000001", b"000003"]
    assert (counts(net).sent, counts(net).route_drops, counts(net).delivered) == (4, 2, 2)


def test_the_hook_changes_copies_and_diverts() -> None:
    net = network()
    net.set_link(A, C, Link(delay=1.0))
    net.route = lambda packet: [
        packet._replace(data=b"changed"),
        packet,
        packet._replace(destination=C),
    ]
    net.transmit(b"x", A, B, 0.0)
    assert everything(net) == [
        Delivery(b"changed", A, B, 0.0),
        Delivery(b"x", A, B, 0.0),
        Delivery(b"x", A, C, 1.0),
    ]
    assert (counts(net).sent, counts(net, A, C).sent) == (2, 1)


def test_what_the_hook_delays_others_pass() -> None:
    net = network(delay=1.0)
    net.route = lambda packet: (packet._replace(delay=2.0 * (packet.data == b"1")),)
    net.transmit(b"1", A, B, 0.0)
    net.transmit(b"2", A, B, 0.5)
    assert [(d.data, d.time) for d in everything(net)] == [(b"2", 1.5), (b"1", 3.0)]


def test_what_the_hook_returns_meets_the_link() -> None:
    net = network(mtu=1500)
    net.route = lambda packet: [packet._replace(data=bytes(1500))]
    net.transmit(b"x", A, B, 0.0)
    assert counts(net).mtu_drops == 1


def test_a_hook_that_returns_nonsense() -> None:
    net = network()
    net.route = lambda packet: packet  # type: ignore[assignment, return-value]
    with pytest.raises(TypeError, match="not one packet"):
        net.transmit(b"x", A, B, 0.0)
    for delay in -1.0, float("inf"):
        net.route = lambda packet, delay=delay: [packet._replace(delay=delay)]
        with pytest.raises(ValueError, match="the delay of a packet"):
            net.transmit(b"x", A, B, 0.0)


# -- determinism -------------------------------------------------------------------------------

FAULTS = {
    "delay": 0.05,
    "jitter": 0.02,
    "bandwidth": 1e6,
    "queue": 20,
    "loss": 0.05,
    "reordering": 0.05,
    "duplication": 0.05,
    "corruption": 0.05,
}


def eventful(seed: int) -> str:
    """A digest of everything that happens in a network with every fault."""
    net = network(seed, **FAULTS)
    net.partition({A6, "fd00::3", "fd00::4"}, {B6, "fd00::5", "fd00::6"})
    digest = hashlib.sha256()
    for number in range(3000):
        source, destination = [(A, B), (B, A), (A, C)][number % 3]
        net.transmit(b"%d" % number * 30, source, destination, number * 0.0005)
        digest.update(repr(net.deliver(number * 0.0005)).encode())
    digest.update(repr(everything(net)).encode())
    digest.update(repr(net.statistics()).encode())
    return digest.hexdigest()


def test_the_same_seed_gives_the_same_result() -> None:
    assert eventful(1) == eventful(1)
    assert eventful(1) != eventful(2)


def test_the_result_does_not_depend_on_hashes() -> None:
    program = "from tests.unit.test_network import eventful; print(eventful(1))"
    results = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hash_seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert results == {eventful(1)}


# -- whatever happens --------------------------------------------------------------------------

probabilities = st.sampled_from([0.0, 0.0, 0.3, 1.0])
seconds = st.sampled_from([0.0, 0.001, 0.1])
links = st.builds(
    Link,
    delay=seconds,
    jitter=seconds,
    bandwidth=st.sampled_from([None, 1e4, 1e6]),
    queue=st.sampled_from([None, 0, 3]),
    loss=probabilities,
    reordering=probabilities,
    duplication=probabilities,
    corruption=probabilities,
    mtu=st.sampled_from([None, 60]),
    up=st.sampled_from([True, True, False]),
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["transmit", "transmit", "transmit", "deliver", "change", "cut", "heal"]),
        st.sampled_from([(A, B), (B, A), (A, C)]),
        seconds,
        st.binary(max_size=60),
        links,
    ),
    max_size=40,
)


@given(steps, st.integers(0, 5))
def test_every_packet_is_one_that_was_sent_and_every_packet_is_counted(
    steps: list[tuple[str, tuple[str, str], float, bytes, Link]], seed: int
) -> None:
    net = network(seed)
    now = 0.0
    sent: dict[tuple[str, str], list[bytes]] = {}
    arrived: list[Delivery] = []
    for step, (source, destination), wait, data, link in steps:
        now += wait
        match step:
            case "transmit":
                sent.setdefault((source, destination), []).append(data)
                net.transmit(data, source, destination, now)
            case "deliver":
                deliveries = net.deliver(now)
                assert all(d.time <= now for d in deliveries)
                arrived += deliveries
            case "change":
                net.set_link(source, destination, link)
            case "cut":
                net.partition([source], [destination])
            case _:
                net.heal()
        assert_all_counted(net, sent, arrived)
    arrived += everything(net)
    assert_all_counted(net, sent, arrived)
    assert all(s.in_flight == 0 for s in net.statistics().values())
    assert [d.time for d in arrived] == sorted(d.time for d in arrived)
    for pair, counted in net.statistics().items():
        originals = sent.get(pair, [])
        got = [d.data for d in arrived if (d.source, d.destination) == pair]
        strangers = [data for data in got if data not in originals]
        assert len(strangers) <= counted.corrupted
        assert {len(data) for data in strangers} <= {len(data) for data in originals}


def assert_all_counted(
    net: Network, sent: dict[tuple[str, str], list[bytes]], arrived: list[Delivery]
) -> None:
    delivered = Counter((d.source, d.destination) for d in arrived)
    for pair, c in net.statistics().items():
        assert c.sent == len(sent.get(pair, []))
        assert c.delivered == delivered[pair]
        drops = c.lost + c.queue_drops + c.mtu_drops + c.down_drops + c.route_drops
        assert c.sent + c.duplicated == c.delivered + c.in_flight + drops


@given(
    st.lists(st.tuples(st.sampled_from([(A, B), (B, A), (A, C)]), seconds, links), max_size=40),
    st.integers(0, 5),
)
def test_without_faults_the_order_is_kept(
    packets: list[tuple[tuple[str, str], float, Link]], seed: int
) -> None:
    """Packets keep their order whatever the delays are, and however links change meanwhile."""
    net = network(seed)
    sent: dict[tuple[str, str], list[bytes]] = {}
    now = 0.0
    for number, (pair, wait, link) in enumerate(packets):
        now += wait
        fields = {"delay": link.delay, "jitter": link.jitter, "bandwidth": link.bandwidth}
        net.set_link(*pair, Link(**fields))  # type: ignore[arg-type]
        data = b"%d" % number
        sent.setdefault(pair, []).append(data)
        net.transmit(data, *pair, now)
    arrived: dict[tuple[str, str], list[bytes]] = {}
    for delivery in everything(net):
        arrived.setdefault(delivery[1:3], []).append(delivery.data)
    assert arrived == sent


def test_a_long_queue_is_told_by_marks_of_packets_that_may_have_them() -> None:
    """RFC 3168 section 5: of those that may not, no bit changes."""
    size = 1000 - 20
    network = Network(default_link=Link(bandwidth=8000.0, marking=2))
    for tos in (2, 2, 2, 2, 1, 0, 0xB8 | 2, 3):
        network.transmit(bytes(size), "10.0.0.1", "10.0.0.2", 0.0, tos=tos)
    # One is being transmitted, and two wait.
    assert [delivery.tos for delivery in network.deliver(10.0)] == [2, 2, 2, 3, 3, 0, 0xB8 | 3, 3]
