"""The registered payload protocol identifiers."""

from __future__ import annotations

import pytest

from trio_sctp import Ppid


@pytest.mark.parametrize(
    ("ppid", "number", "port"),
    [
        (Ppid.M3UA, 3, 2905),
        (Ppid.S1AP, 18, 36412),
        (Ppid.DIAMETER, 46, 3868),
        (Ppid.DIAMETER_DTLS, 47, 5868),
        (Ppid.WEBRTC_BINARY, 53, None),
        (Ppid.NGAP, 60, 38412),
        (Ppid.XNAP, 61, 38422),
        (Ppid.F1AP, 62, 38472),
        (Ppid.NGAP_DTLS, 66, 38412),
    ],
)
def test_an_identifier_is_its_number_and_knows_its_port(
    ppid: Ppid, number: int, port: int | None
) -> None:
    assert ppid == number
    assert ppid.default_port == port


def test_a_number_has_one_name() -> None:
    assert len({int(ppid) for ppid in Ppid}) == len(Ppid.__members__)
