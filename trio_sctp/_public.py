"""The module that public classes and functions say they are from."""

from __future__ import annotations

import functools
import inspect
import sys
import typing


def claim(module_name: str) -> None:
    """Make a module the ``__module__`` of every class and function in its ``__all__``.

    Tracebacks and ``help`` then say ``trio_sctp.AssociationLost``, and a pickle does not depend on
    the file that a class is written in.

    The annotations of a class still belong to that file, which is where
    ``typing.get_type_hints`` has to look their names up, so each of them keeps a reference to it.
    ``inspect.getsource`` goes on finding functions and methods.  It does not find classes, whose
    text it looks for in the file of ``__module__``.
    """
    module = sys.modules[module_name]
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value):
            annotations = inspect.get_annotations(value)
            for field, text in annotations.items():
                if isinstance(text, str):
                    annotations[field] = _reference(text, value.__module__)
            value.__annotations__ = annotations
            value.__module__ = module_name
        elif inspect.isfunction(value):
            value.__module__ = module_name


@functools.cache  # each is compiled, and there are hundreds, most of them ``int``
def _reference(text: str, module_name: str) -> typing.ForwardRef:
    return typing.ForwardRef(text, module=module_name, is_class=True)
