"""``python -m trio_sctp`` is the command ``trio-sctp``."""

from __future__ import annotations

from ._cli import start

if __name__ == "__main__":
    start()
