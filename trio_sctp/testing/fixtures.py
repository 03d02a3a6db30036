"""Fixtures for pytest with pytest-trio: ``pytest_plugins = ["trio_sctp.testing.fixtures"]``.

    async def test_my_protocol(sctp_pair, autojump_clock):
        client, server = sctp_pair
        ...

With pytest-trio's ``autojump_clock`` a test of minutes takes milliseconds.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from .._association import AssociationChannel
from ._hosts import SimulatedNetwork, association_pair, simulated_network


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
