"""Scripts that are there twice run twice: with DATA and FORWARD TSN, and with I-DATA."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import tester


@pytest.fixture(autouse=True)
def interleaved(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether the association of a test agrees on interleaving (RFC 8260)."""
    tester.interleaving = getattr(request, "param", False)
    yield tester.interleaving
    tester.interleaving = False
