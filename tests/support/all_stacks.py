"""The stacks, as the parameters of a fixture; only the simulated one's time is not real."""

from __future__ import annotations

import pytest

from . import virtual_time

ON_ALL_STACKS = [
    pytest.param("kernel", marks=pytest.mark.kernel),
    "userland",
    pytest.param("simulated", marks=pytest.mark.trio(run=virtual_time.run)),
]
