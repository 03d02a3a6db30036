"""What the script ``trio-sctp`` runs; in no package, as importing one takes long.

Who presses Ctrl-C meanwhile is to see no traceback.
"""

from __future__ import annotations

import sys


def start() -> None:
    """Run the command of ``sys.argv``, and exit."""
    try:
        from trio_sctp._cli import start as start_command
    except KeyboardInterrupt:
        sys.exit(130)
    start_command()
