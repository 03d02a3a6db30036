"""Linux tells smoothed round trips in jiffies, and programs read milliseconds."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("the kernel stack is Linux's", allow_module_level=True)

from trio_sctp import PathState
from trio_sctp._kernel import _options
from trio_sctp._kernel._layouts import STORAGE_SIZE, pack_address


def test_the_length_of_a_jiffy_is_found_out() -> None:
    assert 1_000_000 // _options.jiffy() in (100, 250, 300, 1000)


@pytest.mark.parametrize(("tick", "milliseconds"), [(1000, 25), (3333, 83), (4000, 100)])
def test_a_round_trip(monkeypatch: pytest.MonkeyPatch, tick: int, milliseconds: int) -> None:
    monkeypatch.setattr(_options, "jiffy", lambda: tick)
    address = ("192.0.2.1", 2905)
    path = _options._path(
        {
            "address": pack_address(address).ljust(STORAGE_SIZE, b"\0"),
            "state": PathState.ACTIVE,
            "cwnd": 4380,
            "srtt": 25,
            "rto": 300,
            "mtu": 1500,
        },
        primary=True,
    )
    assert (path.address, path.srtt, path.rto) == (address, milliseconds, 300)
