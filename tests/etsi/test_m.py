"""ETSI TS 102 369, miscellaneous: unknown chunks (M)."""

from __future__ import annotations

from trio_sctp._engine import wire
from trio_sctp._engine.wire import Cause
from trio_sctp._options import StatusState

from .tester import EtsiTester, active, passive, shutdown_ack_sent, shutdown_sent


def unknown_before_data(
    t: EtsiTester, kind: int
) -> tuple[list[bytes], list[wire.Sack], list[bytes]]:
    """Give a packet with an unknown chunk and data behind it, which ends nothing.

    Returns what the ERRORs report, the SACKs, and the messages for the user.
    """
    t.events()
    t.give(t.data(b"before"))
    t.advance(0.5)
    t.packets()
    assert t.messages() == [b"before"]
    t.give(wire.chunk(kind, b"\1"), t.data(b"behind", tsn=t.tsn, ssn=1))
    t.advance(0.5)
    reports: list[bytes] = []
    sacks: list[wire.Sack] = []
    for chunk in t.chunks():
        if isinstance(chunk, wire.Error):
            for cause in chunk.causes:
                assert cause.type == Cause.UNRECOGNIZED_CHUNK
                reports.append(cause.value)
        else:
            assert isinstance(chunk, wire.Sack)
            sacks.append(chunk)
    assert t.state() is StatusState.ESTABLISHED
    return reports, sacks, t.messages()


def assert_reported(reports: list[bytes], kind: int) -> None:
    """Check that the chunk is reported once and whole, with its padding or without."""
    (report,) = reports
    assert report.ljust(8, b"\0") == wire.chunk(kind, b"\1")
    assert report[3] == 5


def resumes(t: EtsiTester, *, taken: bool) -> None:
    """Send the data again if it was not taken, and check that the association works."""
    if not taken:
        t.give(t.data(b"behind"))
        t.advance(0.5)
        assert t.packets()[-1].get(wire.Sack).cumulative_tsn == t.tsn - 1
        assert t.messages() == [b"behind"]
    else:
        t.data(b"behind")
    t.works()


def test_m_i_10_1() -> None:
    for t in (active(), passive()):
        reports, (sack,), messages = unknown_before_data(t, 0xEF)
        assert_reported(reports, 0xEF)
        assert sack.cumulative_tsn == t.tsn
        assert messages == [b"behind"]
        resumes(t, taken=True)


def test_m_i_10_2() -> None:
    for t in (active(), passive()):
        assert unknown_before_data(t, 0x2F) == ([], [], [])
        resumes(t, taken=False)


def test_m_i_10_3() -> None:
    for t in (active(), passive()):
        reports, sacks, messages = unknown_before_data(t, 0x6F)
        assert_reported(reports, 0x6F)
        assert (sacks, messages) == ([], [])
        resumes(t, taken=False)
    for t in (shutdown_sent(), shutdown_ack_sent()):
        before = t.state()
        t.give(wire.chunk(0x6F, b"\1"))
        (cause,) = t.expect(wire.Error).causes
        assert cause.type == Cause.UNRECOGNIZED_CHUNK
        assert t.state() is before


def test_m_i_10_4() -> None:
    for t in (active(), passive()):
        reports, (sack,), messages = unknown_before_data(t, 0xAF)
        assert reports == []
        assert sack.cumulative_tsn == t.tsn
        assert messages == [b"behind"]
        resumes(t, taken=True)
