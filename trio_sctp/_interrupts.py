"""Ctrl-C in the midst of the library: it waits for the next checkpoint, as in Trio's own channels.

A ``KeyboardInterrupt`` that is raised between two statements of ours could lose a record that was
read and not yet stored, or stop the task that carries all packets.  At a checkpoint it is like a
cancellation: nothing is lost, and a program's clean-up finds everything in order.
"""

from __future__ import annotations

import inspect
from typing import TypeVar

from trio.lowlevel import enable_ki_protection

C = TypeVar("C", bound=type)


def interrupted_at_checkpoints(cls: C) -> C:
    """Have ``KeyboardInterrupt`` arrive only at the checkpoints of a class's methods.

    The protection is that of what they call, too, up to the program's own functions: a block's body
    is not protected, nor is a handler, as it runs in a task of its own.
    """
    for value in vars(cls).values():
        # Class methods and properties have theirs inside, as have generators of context managers.
        for name in ("__func__", "fget", "fset"):
            value = getattr(value, name, value)
        if inspect.isfunction(value):
            enable_ki_protection(value)
            enable_ki_protection(inspect.unwrap(value))
    return cls
