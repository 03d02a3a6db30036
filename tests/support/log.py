"""The lines that the library has written to its log."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest


class Log:
    """The lines so far."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def lines(self, level: int = logging.INFO) -> list[str]:
        """Those of this level."""
        return [
            record.getMessage()
            for record in self._caplog.records
            if record.name == "trio_sctp" and record.levelno == level
        ]

    def find(self, pattern: str, level: int = logging.INFO) -> str:
        """The one line of this level that the pattern matches as a whole."""
        (line,) = [line for line in self.lines(level) if re.fullmatch(pattern, line)]
        return line

    def clear(self) -> None:
        self._caplog.clear()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Log]:
    with caplog.at_level(logging.DEBUG, logger="trio_sctp"):
        yield Log(caplog)
