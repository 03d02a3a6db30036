"""``trio-sctp connect``: the near end of a netcat for SCTP."""

from __future__ import annotations

import math
from collections.abc import Sequence

import click
import trio

from trio_sctp import AssociationChannel

from .interrupting import INTERRUPTED, Interrupts, run
from .peers import answered_within
from .screen import tell
from .talk import Talk, talk_options
from .target import Local, Seconds, bind_port_option, capture_option, hosts_and_port, stack_options

PATIENCE = 2
"""Seconds that a user waits without being told for what."""


@click.command()
@hosts_and_port
@talk_options(wait=1)
@click.option(
    "-W",
    "--timeout",
    type=Seconds(0, min_open=True),
    help="Give up if the association is not up by then.  [after about a minute]",
)
@bind_port_option
@capture_option
@stack_options
def connect(
    local: Local, talk: Talk, hosts: Sequence[str], port: int | str, timeout: float | None
) -> int:
    """Connect to a peer, and send it what comes on standard input.

    Several HOSTs are the addresses of one multi-homed peer.  Messages go to standard output, all
    else to standard error.  Ctrl-C ends the association gracefully, a second one aborts it.

    \b
    Examples:
      trio-sctp connect 192.0.2.1 2905
      trio-sctp connect 192.0.2.1 38412 --ppid ngap --format hex -m 00150033
      trio-sctp connect 192.0.2.1 198.51.100.1 2905 --send image.iso --streams 16
    """

    local.quiet = talk.session.quiet

    async def program(interrupts: Interrupts) -> int:
        async with local.open_stack() as stack:
            peer = f"{' '.join(hosts)} port {port}"

            async def connect() -> AssociationChannel:
                with answered_within(math.inf if timeout is None else timeout, peer):
                    return await local.connect(stack, hosts, port, talk.options)

            association: AssociationChannel | None = None
            async with trio.open_nursery() as nursery:
                if not local.quiet:
                    nursery.start_soon(_tell_if_it_lasts, peer)
                association = await interrupts.unless_interrupted(connect)
                nursery.cancel_scope.cancel()
            if association is None:
                return INTERRUPTED
            return await talk.run(association, interrupts)

    return run(program)


async def _tell_if_it_lasts(peer: str) -> None:
    await trio.sleep(PATIENCE)
    tell(f"* connecting to {peer}; Ctrl-C gives up")
