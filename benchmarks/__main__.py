"""The command line: python -m benchmarks native|engine|udp|scale|kernel [--markdown]"""

from __future__ import annotations

import argparse
import importlib

import trio
from rich.console import Console


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="How fast trio_sctp is beside what else there is."
    )
    parser.add_argument(
        "where",
        choices=["native", "engine", "udp", "scale", "kernel"],
        help="kernel: one with SCTP; all others: any machine",
    )
    parser.add_argument("--markdown", action="store_true", help="tables for a README")
    arguments = parser.parse_args()

    part = importlib.import_module(f".{arguments.where}", __package__)
    console = Console()
    for table in trio.run(part.run):
        if arguments.markdown:
            print(table.markdown())
        else:
            table.show(console)


if __name__ == "__main__":
    main()
