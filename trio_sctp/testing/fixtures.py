"""A plugin for pytest with pytest-trio: ``pytest_plugins = ["trio_sctp.testing.fixtures"]``.

    async def test_my_protocol(sctp_pair, autojump_clock):
        client, server = sctp_pair
        ...

With pytest-trio's ``autojump_clock`` a test of minutes takes milliseconds.  If a test fails, its
report shows the last packets on each simulated network, whether that is a fixture's or the test's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Generator

import pytest
import trio

from .._association import AssociationChannel
from ._hosts import SimulatedNetwork, association_pair, simulated_network, watchers
from ._ladder import CapturedPacket, ladder

_PACKETS = 200
"""Packets of a network that are kept for the report."""

_NETWORKS = 2
"""Networks of a test that are kept: Hypothesis makes one for each example, and fails last."""


class _Recording:
    """The last packets on a network."""

    def __init__(self, network: SimulatedNetwork) -> None:
        self._network = network
        self._start = trio.current_time()
        self._packets: deque[CapturedPacket] = deque(maxlen=_PACKETS)
        self._count = 0
        network.network.record(self._write, self._dropped)

    def _write(self, data: bytes, source: str, destination: str, now: float, comment: str) -> None:
        self._packets.append(CapturedPacket(now, source, destination, data, comment))
        self._count += 1

    def _dropped(self, data: bytes, source: str, destination: str) -> None:
        """Mark a packet whose link has gone down since it was sent."""
        for number, packet in enumerate(self._packets):
            if packet.data is data and packet[1:] == (source, destination, data, ""):
                self._packets[number] = packet._replace(comment="dropped: the link went down")
                return

    def text(self) -> str:
        """A ladder of the packets, or that there were none."""
        if not self._packets:
            return "no packet was sent"
        titles = self._network.titles()
        for packet in self._packets:
            titles.setdefault(packet.destination, f"{packet.destination} (no host)")
        text = ladder(self._packets, titles, self._start)
        left_out = self._count - len(self._packets)
        return f"{left_out} packets before these\n{text}" if left_out else text


_recordings = pytest.StashKey[deque[_Recording]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Record the packets of the networks that a test makes."""
    recordings = item.stash[_recordings] = deque[_Recording](maxlen=_NETWORKS)

    def watch(network: SimulatedNetwork) -> None:
        recordings.append(_Recording(network))

    watchers.append(watch)
    try:
        return (yield)
    finally:
        watchers.remove(watch)
        del item.stash[_recordings]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show them if it fails."""
    report = yield
    if report.failed:
        recordings = item.stash.get(_recordings, ())
        for number, recording in enumerate(recordings, 1):
            which = f", network {number} of {len(recordings)}" if len(recordings) > 1 else ""
            report.sections.append((f"SCTP packets{which}", recording.text()))
    return report


@pytest.fixture
async def sctp_network() -> AsyncGenerator[SimulatedNetwork, None]:
    """A `SimulatedNetwork` without hosts, whose random choices are the same in each run."""
    async with simulated_network() as network:
        yield network


@pytest.fixture
async def sctp_pair() -> AsyncGenerator[tuple[AssociationChannel, AssociationChannel], None]:
    """Both ends of an association: the channel that connected and the one that was accepted."""
    async with association_pair() as pair:
        yield pair
