"""Which stack the argument ``stack=`` means.  Stands above all stacks, as it imports them.

None means the stack whose block the program is in (`userland`, a simulated host); outside of all
blocks, the one that the environment variable TRIO_SCTP_STACK names; else the kernel's, if the
kernel has SCTP; else the userland stack, with a warning.
"""

from __future__ import annotations

import os
import sys
import warnings

import trio

from ._checks import shown
from ._errors import StackUnavailable
from ._stack import Stack, StackReport, enclosing_stack
from ._userland import userland
from ._userland.stack import UserlandStack

if sys.platform == "linux":
    from ._kernel import KernelStack


def _kernel_report() -> StackReport:
    if sys.platform == "linux":
        return KernelStack().report()
    return StackReport(
        name="kernel",
        available=False,
        reason=f"this library can use kernel SCTP on Linux only, and this is {sys.platform}",
        remedy="use stack='userland'",
    )


def _userland() -> Stack:
    enclosing = enclosing_stack()
    if enclosing is not None and enclosing.name == "userland":
        return enclosing
    return userland.default_stack()


def stacks() -> list[StackReport]:
    """Report which SCTP stacks work on this machine and, if one does not, why and what to do.

    Never raises, and changes nothing.
    """
    return [_kernel_report(), userland.report()]


def choose_stack(stack: Stack | str | None) -> Stack:
    """The stack that ``stack=`` means; raises `StackUnavailable` if it does not work here."""
    whose = "stack"
    if stack is None:
        stack = enclosing_stack()
    if stack is None:
        whose = "the environment variable TRIO_SCTP_STACK"
        stack = os.environ.get("TRIO_SCTP_STACK")
        if not stack:
            return _first_that_works()
    if stack == "kernel":
        report = _kernel_report()
        if not report.available:
            raise StackUnavailable(f"{report.reason}; {report.remedy}")
        return KernelStack()
    if stack == "userland":
        return _userland()
    if isinstance(stack, str):
        raise ValueError(f"{whose} must be 'kernel' or 'userland', not {shown(stack)}")
    if isinstance(stack, UserlandStack):
        return stack  # to compare all methods with the protocol's takes 50 µs
    if not isinstance(stack, Stack) or isinstance(stack, type):
        raise TypeError(
            "stack must be 'kernel', 'userland', or what `async with userland()` or host() gave, "
            f"not {shown(stack)}"
        )
    return stack


_warned: trio.lowlevel.RunVar[bool] = trio.lowlevel.RunVar("trio_sctp fallback", False)


def _first_that_works() -> Stack:
    """The kernel stack if the kernel has SCTP; else the userland stack, with a warning, because
    peers then have to use UDP too."""
    report = _kernel_report()
    if report.available:
        return KernelStack()
    if not _warned.get():
        _warned.set(True)
        warnings.warn(
            f"{report.reason}, so SCTP runs in this process, in UDP packets (RFC 6951): peers have "
            f"to do the same, and listen on UDP port 9899. To use the kernel's: {report.remedy}. "
            "To do without this warning: TRIO_SCTP_STACK=userland, or trio_sctp.userland()",
            RuntimeWarning,
            stacklevel=4,  # the caller of the function that opens something
        )
    return _userland()
