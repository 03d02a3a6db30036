"""The command line, ``trio-sctp``: a program that uses the package as others do.

From the top down:

    main     the command, and what becomes of errors
    check    which stacks work here, and which settings matter
    screen   what is written, and where

A command is a module that `main` names, with a function of the same name.
"""

from __future__ import annotations

import sys

HOW_TO_INSTALL = "trio-sctp needs click and rich: pip install 'trio_sctp[cli]'"


def start() -> None:
    """Run the command of ``sys.argv``, and exit."""
    try:
        from .main import run

        sys.exit(run(sys.argv[1:]))
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in ("click", "rich"):
            raise
        sys.exit(HOW_TO_INSTALL)
