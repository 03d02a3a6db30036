"""What a peer sends and does: JSON that is checked, and faults that concern no other peer."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Generator, Mapping
from typing import Any

import click
import trio

from trio_sctp import AssociationChannel

from .screen import harmless, tell

LARGEST = 2**20
"""Bytes of the largest JSON text that is read."""

_FIRST_TOO_LARGE = 2**63


def fields(
    value: object, needed: Mapping[str, type], optional: Mapping[str, type] | None = None
) -> dict[str, Any]:
    """Fields of a JSON object that a peer has sent; others are left out.

    Args:
      value: The text as it came, or an object in one that has been read.
      needed: The names of fields, and their types: bool, int, float (or int), str, list.  Numbers
        are not negative.
      optional: The same of fields that may be missing.

    Raises:
      ValueError: it is something else.
    """
    if isinstance(value, bytes | bytearray):
        if len(value) > LARGEST:
            raise ValueError("the JSON text is too long")
        try:
            value = json.loads(value)
        except RecursionError:
            raise ValueError("the JSON text has too many brackets") from None
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
    return fits and math.isfinite(value) and 0 <= value < _FIRST_TOO_LARGE


@contextlib.contextmanager
def one_of_many(association: AssociationChannel | None = None) -> Generator[None, None, None]:
    """A fault of a peer is a line, and the end of its association; the others are not concerned."""
    try:
        yield
    except* trio.EndOfChannel:
        pass  # it has left
    except* (click.ClickException, trio.BrokenResourceError, ValueError) as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if association is not None:
            association.abort(str(error).encode()[:200])
        tell(harmless(f"* {error}"))


@contextlib.contextmanager
def answered_within(
    seconds: float, who: str, association: AssociationChannel | None = None
) -> Generator[None, None, None]:
    """Give up a peer that has not answered within ``--timeout``; abort what there is with it."""
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        if association is not None:
            association.abort(b"there was no answer in time")
        raise click.ClickException(
            f"{who} has not answered within {seconds:g} s; -W waits longer"
        ) from None
