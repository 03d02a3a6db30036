"""Frozen dataclasses that cost little to import.

`dataclasses` writes and compiles six methods for each frozen class whenever a program starts, which
was half of the time that importing the package took.  Here the methods stand once, in `Frozen`.
Otherwise a `frozen` class is a dataclass with slots like any other, for `dataclasses.fields` and
`dataclasses.replace` too.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn, TypeVar, dataclass_transform

_T = TypeVar("_T", bound="Frozen")


class _Signature:
    """What `inspect.signature` says of a frozen class."""

    def __get__(self, instance: object, kind: type[Frozen]) -> inspect.Signature:
        return inspect.Signature(
            [
                inspect.Parameter(
                    name,
                    inspect.Parameter.POSITIONAL_OR_KEYWORD
                    if name in kind.__match_args__
                    else inspect.Parameter.KEYWORD_ONLY,
                    default=kind._defaults.get(name, inspect.Parameter.empty),
                    annotation=field.type,
                )
                for name, field in kind._fields.items()
            ],
            return_annotation=None,
        )


class Frozen:
    """The base of every `frozen` class: the methods that a dataclass would have of its own."""

    __slots__ = ()
    __signature__: ClassVar[_Signature] = _Signature()
    __dataclass_fields__: ClassVar[dict[str, Any]]
    __match_args__: ClassVar[tuple[str, ...]] = ()
    _fields: ClassVar[dict[str, dataclasses.Field[Any]]] = {}
    _defaults: ClassVar[dict[str, Any]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kind = type(self)
        given = dict(zip(kind.__match_args__, args, strict=False)) | kwargs if args else kwargs
        values = kind._defaults | given
        if values.keys() != kind._fields.keys() or len(given) < len(args) + len(kwargs):
            # It says what is wrong, as Python says it of functions.
            inspect.signature(kind).bind(*args, **kwargs)
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self.__post_init__()

    def __post_init__(self) -> None:
        """Check the values."""

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
        return f"{type(self).__qualname__}({values})"

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._fields)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self._fields))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), *(getattr(self, name) for name in self._fields))


def _restored(kind: type[Frozen], *values: object) -> Frozen:
    return kind(**dict(zip(kind._fields, values, strict=True)))


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def frozen(*, kw_only: bool = False) -> Callable[[type[_T]], type[_T]]:
    """Make a subclass of `Frozen` a frozen dataclass with slots."""

    def decorate(plain: type[_T]) -> type[_T]:
        kind = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(
            plain
        )
        kind.__dataclass_params__.frozen = True  # type: ignore[attr-defined]
        kind._fields = {field.name: field for field in dataclasses.fields(kind)}
        kind._defaults = {
            name: field.default
            for name, field in kind._fields.items()
            if field.default is not dataclasses.MISSING
        }
        return kind

    return decorate
