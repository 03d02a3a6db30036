"""The command line, ``trio-sctp``: a program that uses the package as others do.

From the top down:

    main                 the command, and what becomes of errors
    check                which stacks work here, and which settings matter
    listen               the far end of a netcat for SCTP
    connect              its near end
    ping                 the round trip and the state of each path, failover as it happens
    perf                 throughput, latency and retransmissions
    watch                the associations of this host's kernel
    ladder               a message sequence chart of a capture
    talk                 what listen and connect have in common: their options
    transfer             a file over several streams, checked at the other end
    session              what goes to and fro: lines of input, messages, events
    iperf3               the other end of ``iperf3 --sctp``
    measuring            what perf sends, its progress, and the figures in the end
    kernel_associations  what the kernel tells of its associations
    target               what several commands are told: hosts, ports, stacks, PPIDs
    peers                silence and faults of one peer, which concern no other
    untrusted            what a peer says in JSON
    interrupting         Ctrl-C: the first one ends what runs gracefully, the second at once
    screen               what is written, and where

A command is a module that `main` names, with a function of the same name.
"""

from __future__ import annotations

import os
import sys

HOW_TO_INSTALL = "trio-sctp needs click and rich: pip install 'trio_sctp[cli]'"


def start() -> None:
    """Run the command of ``sys.argv``, and exit."""
    _open_standard_streams()
    try:
        from .main import run

        sys.exit(run(sys.argv[1:]))
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in ("click", "rich"):
            raise
        sys.exit(HOW_TO_INSTALL)
    except KeyboardInterrupt:  # while it starts
        sys.exit(130)


def _open_standard_streams() -> None:
    """Those that are closed get the null device, or the next file would have their number."""
    for number, name, mode in (0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w"):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
