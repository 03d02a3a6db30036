"""The choice of a stack, where there is none to be had."""

from __future__ import annotations

import pytest

import trio_sctp
from trio_sctp import StackUnavailable


@pytest.fixture
def no_kernel_sctp(monkeypatch: pytest.MonkeyPatch) -> None:
    no_such_protocol = 250
    monkeypatch.setattr("trio_sctp._kernel._socket.SOL_SCTP", no_such_protocol)


@pytest.mark.usefixtures("no_kernel_sctp")
async def test_without_kernel_sctp_the_error_names_the_remedy() -> None:
    (report,) = trio_sctp.stacks()
    assert report.name == "kernel"
    assert not report.available
    assert "modprobe sctp" in report.remedy
    for stack in (None, "kernel"):
        with pytest.raises(StackUnavailable, match="modprobe sctp"):
            await trio_sctp.open_endpoint(stack=stack)


async def test_a_stack_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="'kernal'"):
        await trio_sctp.open_endpoint(stack="kernal")
    with pytest.raises(StackUnavailable, match="userland"):
        await trio_sctp.open_listener(0, stack="userland")
    monkeypatch.setenv("TRIO_SCTP_STACK", "userland")
    with pytest.raises(StackUnavailable, match="userland"):
        await trio_sctp.open_association("127.0.0.1", 2905)
