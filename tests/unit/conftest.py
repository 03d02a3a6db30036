"""What the tests of single modules have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..support.fake_stack import release_all


@pytest.fixture(autouse=True)
def released() -> Iterator[None]:
    """Give up what a test has opened on a fake stack."""
    yield
    release_all()
