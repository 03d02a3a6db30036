"""The command line: python -m benchmarks native|engine|udp|scale|kernel [--page]"""

from __future__ import annotations

import argparse
import importlib

import trio
from rich.console import Console

from . import page


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="How fast trio_sctp is, compared with what else there is.",
    )
    parser.add_argument(
        "part",
        choices=page.PARTS,
        help="kernel needs SCTP in the kernel; the others run on any machine",
    )
    parser.add_argument(
        "--page", action="store_true", help="also write the tables into docs/speed.md"
    )
    arguments = parser.parse_args()

    part = importlib.import_module(f".{arguments.part}", __package__)
    tables = trio.run(part.run)
    console = Console()
    for table in tables:
        table.show(console)
    if arguments.page:
        shown = [table.markdown() for table in tables if not table.of_bounds]
        page.write(arguments.part, "\n".join(shown))


if __name__ == "__main__":
    main()
