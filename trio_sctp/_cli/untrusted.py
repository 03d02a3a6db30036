"""What a peer says in JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, cast

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


def fields(
    value: object,
    needed: Mapping[str, type],
    optional: Mapping[str, type] | None = None,
    *,
    longest: int = LONGEST,
) -> dict[str, Any]:
    """Fields of a JSON object that a peer has sent; others are left out.

    Args:
      value: The text as it came, or an object in one that has been read.
      needed: The names of fields, and their types: bool, int, float (or int), str, list.  Numbers
        are not negative.
      optional: The same of fields that may be missing.
      longest: Bytes of the longest text that is read.

    Raises:
      ValueError: it is something else.
    """
    if isinstance(value, bytes | bytearray):
        value = json_object(value, longest)
    if not isinstance(value, dict) or not needed.keys() <= value.keys():
        raise ValueError(f"no JSON object with {', '.join(needed)}")
    kinds = {**needed, **(optional or {})}
    found: dict[str, Any] = {name: value[name] for name in kinds if name in value}
    for name, one in found.items():
        if not _is(one, kinds[name]):
            raise ValueError(f"{name} has a wrong value")
    return found


def _is(value: object, kind: type) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return isinstance(value, kind) and kind is not int
    fits = isinstance(value, int) if kind is int else kind is float
    return fits and math.isfinite(value) and 0 <= value < 2**63
