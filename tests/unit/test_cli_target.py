"""What users may call ports."""

from __future__ import annotations

import click
import pytest

from trio_sctp._cli.target import to_port


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("2905", 2905),
        ("m3ua", 2905),
        ("NGAP", 38412),
        ("diameter", 3868),
        ("domain", "domain"),
        (0, 0),
    ],
)
def test_ports(text: str | int, port: int | str) -> None:
    assert to_port(text) == port


def test_a_port_that_is_none() -> None:
    with pytest.raises(click.BadParameter, match="up to 65535, not 65536"):
        to_port("65536")
