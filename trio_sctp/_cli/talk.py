"""What `connect` and `listen` have in common: their options, and what becomes of an association."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from trio_sctp import AssociationChannel, EventSubscription, Option

from .._checks import POLICIES
from .interrupting import INTERRUPTED, Interrupts, say_how_to_abort
from .session import Session
from .target import Number, Seconds, enough_streams, to_ppid
from .transfer import Refused, check_name, receive_file, send_file

F = TypeVar("F", bound=Callable[..., Any])

RECONFIGURED = EventSubscription(
    stream_reset_event=True, association_reset_event=True, stream_change_event=True
)
"""What is told besides the usual: that streams were reset, or added."""


@dataclass
class Talk:
    """What to do on an association, as the options say."""

    session: Session
    streams: int | None
    send: str | None
    receive: str | None

    @property
    def options(self) -> list[Option]:
        """What an association needs for it."""
        return [*enough_streams(streams=self.streams, stream=self.session.stream), RECONFIGURED]

    async def run(self, association: AssociationChannel, interrupts: Interrupts) -> int:
        """Do it, until it is done or Ctrl-C is pressed, and end the association.

        Gives the exit status: a file or an input that was cut short has not arrived.
        """
        quiet = self.session.quiet
        whole = False
        async with association:
            with interrupts.gently():
                if self.send is not None:
                    await send_file(association, self.send, quiet=quiet)
                elif self.receive is not None:
                    await receive_file(association, self.receive, quiet=quiet)
                else:
                    await self.session.run(association)
                whole = True
            if not quiet:
                say_how_to_abort(interrupts)
        if self.send is None and self.receive is None:
            whole = whole or not self.session.cut_short
        return 0 if whole else INTERRUPTED


def talk_options(*, wait: float | None) -> Callable[[F], F]:
    """The options, which the command gets as ``talk``.

    Args:
      wait: Seconds to wait for answers after the end of the input; None means for ever.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def command(
            streams: int | None, send: str | None, receive: str | None, **options: Any
        ) -> Any:
            _check_exclusions(click.get_current_context())
            _check_policies(options)
            _check_paths(send, receive)
            names = Session.__dataclass_fields__
            fields = {name: options.pop(name) for name in names if name in options}
            try:
                session = Session(**fields)
            except ValueError as error:
                raise click.UsageError(str(error)) from None
            talk = Talk(session, streams, send, receive)
            return function(talk=talk, **options)

        for option in reversed(_options(wait)):
            command = option(command)
        return command  # type: ignore[return-value]

    return decorate


def _check_exclusions(context: click.Context) -> None:
    """A transfer knows only of streams, and of silence."""
    given = [
        option
        for option in context.command.params
        if option.name in {"send", "receive", *Session.__dataclass_fields__} - {"quiet"}
        and context.get_parameter_source(option.name) is click.core.ParameterSource.COMMANDLINE
    ]
    names = [max(option.opts, key=len) for option in given]
    for name in "--send", "--receive":
        if name in names and len(names) > 1:
            other = next(other for other in names if other != name)
            raise click.UsageError(f"{name} and {other} exclude each other")


def _check_policies(options: dict[str, Any]) -> None:
    given = [f"--{name}" for name in POLICIES if options[name] is not None]
    if len(given) > 1:
        raise click.UsageError(f"{given[0]} and {given[1]} exclude each other")


def _check_paths(send: str | None, receive: str | None) -> None:
    if send is not None and send != "-":
        try:
            check_name(Path(send).name)
        except Refused as error:
            raise click.UsageError(f"{error}; --send - sends what comes on the input") from None
    if receive is not None and receive.endswith(("/", os.sep)) and not os.path.isdir(receive):
        raise click.UsageError(f"--receive {receive}: there is no such folder")


_U32 = Number(0, 2**32 - 1)


def _options(wait: float | None) -> Sequence[Callable[[Any], Any]]:
    return (
        click.option("-s", "--stream", type=Number(0, 65534), default=0, metavar="N"),
        click.option(
            "-p",
            "--ppid",
            type=to_ppid,
            metavar="PPID",
            default="0",
            help="Payload protocol identifier, by name (ngap, diameter, m3ua…) or number.  [0]",
        ),
        click.option("--unordered", is_flag=True, help="Messages may overtake each other."),
        click.option(
            "--lifetime",
            type=_U32,
            metavar="MS",
            help="Give messages up that have not arrived after so many milliseconds.",
        ),
        click.option(
            "--retransmissions",
            type=_U32,
            metavar="N",
            help="Give messages up that were sent again so many times.",
        ),
        click.option(
            "--priority",
            type=_U32,
            metavar="N",
            help="Give messages up to make room for others, which have lower numbers.",
        ),
        click.option(
            "-f",
            "--format",
            type=click.Choice(["raw", "lines", "hex"]),
            default="raw",
            help="What a message is in the input, and how it is shown: raw, as it comes; lines, a "
            "line of text; hex, a line of hex digits.  [raw]",
        ),
        click.option(
            "-m",
            "--message",
            "messages",
            multiple=True,
            metavar="TEXT",
            help="Send this instead of the input; may be given several times.",
        ),
        click.option(
            "--send",
            type=click.Path(exists=True, dir_okay=False, allow_dash=True),
            metavar="FILE",
            help="Send a file, or - for the input, to a peer with --receive.",
        ),
        click.option(
            "--receive",
            metavar="PATH",
            help="Receive a file into a folder, a new file, or - for standard output.",
        ),
        click.option(
            "--streams",
            type=Number(1, 65535),
            metavar="N",
            help="Outbound streams to ask for; --send uses all that the peer allows.  [10]",
        ),
        click.option("--echo", is_flag=True, help="Send back what comes."),
        click.option(
            "--active",
            type=Number(1, 32767),
            metavar="N",
            help="Take records against a credit of N, and tell when it is used up.",
        ),
        click.option(
            "-w",
            "--wait",
            type=Seconds(0, endless=True),
            default=wait if wait is not None else "inf",
            help="After the end of the input, end the association once nothing has come for so "
            f"long.  [{'1' if wait is not None else 'never'}]",
        ),
        click.option("-q", "--quiet", is_flag=True, help="Tell nothing but errors."),
    )
