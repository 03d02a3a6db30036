"""What a peer says in JSON."""

from __future__ import annotations

import json
from typing import cast

LONGEST = 65536
"""Bytes: many times what any of the messages needs."""


def json_object(data: bytes | bytearray | str, longest: int = LONGEST) -> dict[str, object]:
    """The fields of an object; raises ValueError if a peer has sent anything else."""
    if len(data) > longest:
        raise ValueError(f"{len(data)} bytes are too long")
    try:
        value = json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    return cast("dict[str, object]", value)


def count_in(fields: dict[str, object], name: str) -> int:
    """A field that counts something; raises ValueError if it is no such number."""
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError(f"{name} is no number of things")
    return value
