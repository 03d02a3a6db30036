"""``trio-sctp listen``: the far end of a netcat for SCTP."""

from __future__ import annotations

import click

from trio_sctp import AssociationChannel

from .interrupting import Interrupts, run
from .peers import one_of_many, serve_all
from .screen import tell
from .talk import Talk, talk_options
from .target import Local, capture_option, stack_options, to_port


@click.command()
@click.argument("port", type=to_port, metavar="PORT")
@click.option("-k", "--keep-open", is_flag=True, help="Stay for all who come; read no input.")
@talk_options(wait=None)
@capture_option
@stack_options
def listen(local: Local, talk: Talk, port: int | str, keep_open: bool) -> int:
    """Wait for a peer, show what it sends, and send it what comes on standard input.

    Messages go to standard output, all else to standard error.  Ctrl-C ends the association
    gracefully, a second one aborts it.

    \b
    Examples:
      trio-sctp listen 2905
      trio-sctp listen 38412 --format hex --keep-open --echo
      trio-sctp listen 2905 --bind 192.0.2.1 --bind 198.51.100.1 --receive downloads
    """

    local.quiet = talk.session.quiet

    async def talk_to_one(association: AssociationChannel, interrupts: Interrupts) -> None:
        with one_of_many(association):
            await talk.run(association, interrupts)

    async def program(interrupts: Interrupts) -> int:
        async with (
            local.open_stack(listening=True) as stack,
            await local.listen(stack, port, talk.options) as listener,
        ):
            if not talk.session.quiet:
                only = "" if local.bind else " (IPv4; --bind :: is for IPv6)"
                tell(f"* listening on port {listener.port}{only}")
            if keep_open:
                talk.session.many = True
                await serve_all(listener, interrupts, talk_to_one)
                return 0
            association = await interrupts.unless_interrupted(listener.accept)
            if association is None:
                return 0
            await listener.aclose()
            return await talk.run(association, interrupts)

    return run(program)
