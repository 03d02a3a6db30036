"""A plugin for pytest with pytest-trio: ``pytest_plugins = ["trio_sctp.testing.fixtures"]``.

    async def test_my_protocol(sctp_pair, autojump_clock):
        client, server = sctp_pair
        ...

With pytest-trio's ``autojump_clock`` a test of minutes takes milliseconds.  If a test fails, its
report shows the last packets on each simulated network, whether that is a fixture's or the test's.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import AsyncGenerator, Generator

import pytest

from .._association import AssociationChannel
from .._ladder.text import NARROWEST
from ._hosts import SimulatedNetwork, association_pair, simulated_network, watchers

_PACKETS = 200
"""Packets of a network that the report shows."""

_NETWORKS = 2
"""Networks of a test that are kept: Hypothesis makes one for each example, and fails last."""

_made = pytest.StashKey[deque[SimulatedNetwork]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Take note of the networks that a test makes."""
    made = item.stash[_made] = deque[SimulatedNetwork](maxlen=_NETWORKS)
    watchers.append(made.append)
    try:
        return (yield)
    finally:
        watchers.remove(made.append)
        del item.stash[_made]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show them if it fails."""
    report = yield
    if report.failed:
        made = item.stash.get(_made, ())
        width = max(NARROWEST, shutil.get_terminal_size().columns)
        for number, network in enumerate(made, 1):
            which = f", network {number} of {len(made)}" if len(made) > 1 else ""
            ladder = network.ladder(last=_PACKETS)
            report.sections.append((f"SCTP packets{which}", ladder.text(width)))
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
