"""The command ``trio-sctp``: its sub-commands by name, and what becomes of errors.

A user's error is one line on standard error, which says what to do.  The exit status is 0 if all
went well, 1 if it did not, 2 if the command was written wrongly, and 130 after Ctrl-C.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence

import click

import trio_sctp

from .interrupting import INTERRUPTED

COMMANDS = ("check", "listen", "connect", "ping", "perf", "watch", "ladder")
"""Each is a module beside this one, which is imported only when it is asked for."""

FAILED, WRONG_USAGE = 1, 2


class Commands(click.Group):
    """The sub-commands, imported by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f".{cmd_name}", __package__)
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(trio_sctp.__version__, prog_name="trio-sctp")
def trio_sctp_command() -> None:
    """SCTP from the command line: try it, debug it, measure it."""


def run(arguments: Sequence[str]) -> int:
    """Run a command; gives the exit status."""
    try:
        status = trio_sctp_command.main(arguments, prog_name="trio-sctp", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return WRONG_USAGE
    except click.UsageError as error:
        text = " ".join(error.format_message().split()).rstrip(".")
        if error.ctx is None:
            return _fail(f"trio-sctp: {text}", WRONG_USAGE)
        where = error.ctx.command_path
        return _fail(f"{where}: {text}; see {where} --help", WRONG_USAGE)
    except click.ClickException as error:
        return _fail(f"trio-sctp: {error.format_message()}")
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left; Python would complain when it closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (OSError, trio_sctp.AssociationLost) as error:
        return _fail(f"trio-sctp: {_text(error)}")
    return status if isinstance(status, int) else 0


def _text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        named = [str(name) for name in (error.filename,) if name is not None]
        return ": ".join([*named, error.strerror])
    return str(error) or type(error).__name__


def _fail(text: str, status: int = FAILED) -> int:
    with contextlib.suppress(OSError):  # the terminal may have gone
        click.echo(text, err=True)
    return status
