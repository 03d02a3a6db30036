"""``trio-sctp connect``: the near end of a netcat for SCTP."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import click

from .interrupting import INTERRUPTED, Interrupts, run
from .talk import Talk, talk_options
from .target import Local, bind_port_option, capture_option, hosts_and_port, stack_options


@click.command()
@hosts_and_port
@talk_options(wait=1)
@bind_port_option
@capture_option
@stack_options
def connect(local: Local, talk: Talk, hosts: Sequence[str], port: int | str) -> int:
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
            connect = functools.partial(local.connect, stack, hosts, port, talk.options)
            association = await interrupts.unless_interrupted(connect)
            if association is None:
                return INTERRUPTED
            return await talk.run(association, interrupts)

    return run(program)
