"""The table of ``trio-sctp watch``: what is shown first, and what is left out."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from trio_sctp import PathState
from trio_sctp._cli.watch import NONE_OF_THEM, look, table_of

if sys.platform != "linux":
    pytest.skip("needs Linux", allow_module_level=True)

from trio_sctp._cli import kernel_associations
from trio_sctp._cli.kernel_associations import KernelAssociation, PeerPath, Primary

HEALTHY = KernelAssociation(
    id=1,
    state="ESTABLISHED",
    local_hosts=["192.0.2.111"],
    local_port=38412,
    paths=[PeerPath("198.51.100.22", True, PathState.ACTIVE)],
    peer_port=41234,
    inbound_streams=10,
    outbound_streams=10,
    unsent=0,
    unread=0,
    retransmitted=0,
    inode=5,
    user="root",
    primary=Primary(20, 1000, 131064),
)
FAILING = replace(
    HEALTHY,
    id=3,
    paths=[*HEALTHY.paths, PeerPath("198.51.100.23", False, PathState.INACTIVE)],
)
LOSING = replace(HEALTHY, id=2, retransmitted=7, state="SHUTDOWN_PENDING")
ALL = [HEALTHY, LOSING, FAILING]


def lines(width: int | None) -> list[str]:
    return [line for row in table_of(ALL, {5: "python (705)"}, width) for line in row]


def test_with_enough_room_all_is_shown_and_those_in_trouble_first() -> None:
    assert lines(None) == [
        "ID  STATE         LOCAL              PEER                     STREAMS    RTT      RTO"
        "    CWND  QUEUED  RTX  OWNER",
        " 3  ESTAB         192.0.2.111:38412  198.51.100.22:41234        10/10  20 ms  1000 ms"
        "  131064     0/0    0  python (705)",
        "                                     198.51.100.23(INACTIVE)",
        " 2  SHUT_PENDING  192.0.2.111:38412  198.51.100.22:41234        10/10  20 ms  1000 ms"
        "  131064     0/0    7  python (705)",
        " 1  ESTAB         192.0.2.111:38412  198.51.100.22:41234        10/10  20 ms  1000 ms"
        "  131064     0/0    0  python (705)",
    ]


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (200, "ID STATE LOCAL PEER STREAMS RTT RTO CWND QUEUED RTX OWNER"),
        (100, "STATE LOCAL PEER RTT RTO QUEUED RTX OWNER"),
        (80, "STATE LOCAL PEER RTT RTX"),
        (60, "STATE LOCAL PEER"),
        (20, "STATE LOCAL PEER"),
    ],
)
def test_a_narrow_terminal_has_fewer_columns(width: int, headings: str) -> None:
    assert lines(width)[0].split() == headings.split()
    if width >= 60:
        assert max(map(len, lines(width))) <= width


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [replace(HEALTHY, id=n, peer_port=1000 + n) for n in range(104)]
    monkeypatch.setattr(kernel_associations, "read_associations", lambda: found)
    monkeypatch.setattr(kernel_associations, "find_owners", lambda inodes: {})


@pytest.mark.usefixtures("many")
def test_what_the_screen_has_no_room_for_is_told() -> None:
    said, text = look([], 80, 12)
    assert said == "104 associations, 11 shown"
    assert text.count("\n") == 11
    said, text = look([], 80, None)
    assert said == "104 associations"
    assert text.count("\n") == 104


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("which", "count"),
    [(":1003", 1), ("198.51.100.22:1004", 1), ("192.0.2.111", 104), ("198.51.100.23", 0)],
)
def test_a_choice(which: str, count: int) -> None:
    said, text = look([which], 80, None)
    assert said.startswith(f"{count} association")
    assert (text == NONE_OF_THEM) == (not count)
