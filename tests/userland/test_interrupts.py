"""Ctrl-C in the midst of the library, on real sockets: at any of its calls, in any of its tasks."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TypeAlias

import pytest
import trio

import trio_sctp
from trio_sctp import AssociationChannel, AssociationEnd
from trio_sctp._background import leaves

from ..support.udp_proxy import free_port

CALLS, TIMES = 40, 200
"""It comes at every so manieth call of the library's functions, so many times."""


Stack: TypeAlias = Callable[[], contextlib.AbstractAsyncContextManager[object]]


class Interrupt:
    """Sends SIGINT to this process at the nth call of a function of trio_sctp."""

    def __init__(self, nth: int) -> None:
        self.left = nth

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        # What calls a handler is as little protected as the handler.
        if event == "call" and "/trio_sctp/" in code.co_filename and code.co_name != "call_handler":
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGINT)


async def echo(channel: AssociationChannel) -> None:
    async for message in channel:
        await channel.send(message.data)


async def busy(stack: Stack, ends: list[AssociationEnd], nth: int) -> None:
    async with stack(), trio.open_nursery() as nursery:
        listener = await nursery.start(partial(trio_sctp.serve, echo, 0, hosts="127.0.0.1"))
        channel = await trio_sctp.open_association("127.0.0.1", listener.port)
        try:
            sys.setprofile(Interrupt(nth))
            while True:
                await channel.send(bytes(100))
                await channel.receive()
        finally:
            with trio.CancelScope(shield=True):
                await channel.aclose()
                ends.append(await channel.wait_ended())


@pytest.mark.parametrize("stack", [trio_sctp.userland, contextlib.nullcontext])
def test_a_program_can_still_clean_up_gracefully(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIO_SCTP_STACK", "userland")
    # The usual port may be another program's, such as that of a test that runs beside this one.
    monkeypatch.setattr("trio_sctp._userland.userland.UDP_PORT", free_port())
    for time in range(TIMES):
        ends: list[AssociationEnd] = []
        with pytest.raises(BaseExceptionGroup) as caught:
            trio.run(busy, stack, ends, 1 + time * CALLS)
        assert caught.group_contains(KeyboardInterrupt)
        assert len(list(leaves(caught.value))) == 1
        assert [end.graceful for end in ends] == [True]
