"""``trio-sctp check``: which stacks work here, and which settings of the system matter."""

from __future__ import annotations

import errno
import os
import platform
import socket
import sys
from pathlib import Path
from typing import NamedTuple

import click
import trio
from rich.table import Table

import trio_sctp
from trio_sctp import StackReport

from .screen import results, show, table
from .target import UDP_PORT

SETTINGS = Path("/proc/sys")
MIB4 = 2**22


class Setting(NamedTuple):
    """A sysctl, and what has no effect while it is less than something."""

    name: str
    least: int
    what: str
    remedy: int | None = None
    kernel: bool = True

    def hinders(self, value: int) -> bool:
        return value < self.least


SETTINGS_THAT_MATTER = (
    Setting("net.sctp.addip_enable", 1, "add_address, remove_address, SetPeerPrimaryAddress"),
    Setting(
        "net.sctp.auth_enable",
        1,
        "AuthChunks, AuthKey; and ASCONF with peers that require it to be authenticated",
    ),
    Setting("net.sctp.prsctp_enable", 1, "lifetime=, retransmissions= and priority= of send"),
    Setting("net.sctp.reconf_enable", 1, "reset_streams, reset_association, add_streams"),
    Setting("net.sctp.pf_enable", 1, "leaving a path after its first timeouts"),
    Setting("net.sctp.pf_expose", 2, "ADDR_POTENTIALLY_FAILED"),
    Setting("net.sctp.udp_port", 1, "EncapsulationPort; peers that use UDP", remedy=UDP_PORT),
    Setting(
        "net.sctp.sndbuf_policy",
        1,
        "send buffers of their own: a slow peer holds up the others of its endpoint",
    ),
    Setting(
        "net.sctp.rcvbuf_policy",
        1,
        "receive buffers of their own: unread messages take the others' room",
    ),
    Setting(
        "net.core.rmem_max",
        MIB4,
        "receive buffers of 4 MiB, which lose fewer packets",
        kernel=False,
    ),
    Setting("net.core.wmem_max", MIB4, "a SendBuffer of 4 MiB, and with it messages as large"),
)


def read_setting(name: str) -> int | None:
    """The value of a sysctl; None if this system does not have it."""
    try:
        return int(SETTINGS.joinpath(*name.split(".")).read_text())
    except (OSError, ValueError):
        return None


def udp_port_taken() -> str | None:
    """Why a listener cannot have the usual UDP port; None if it can."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("0.0.0.0", UDP_PORT))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return str(error.strerror)
            if read_setting("net.sctp.udp_port") == UDP_PORT:
                return "the kernel's SCTP has it, by net.sctp.udp_port"
            return f"another program has it: sudo ss -lunp 'sport = {UDP_PORT}' names it"
    return None


def what_programs_get(
    asked: str | None, reports: dict[str, StackReport], taken: str | None
) -> tuple[str, bool]:
    """What a program uses that names no stack, or the one that is asked for; and if it works."""
    named = asked or os.environ.get("TRIO_SCTP_STACK") or None
    why = "as you ask" if asked else "as TRIO_SCTP_STACK says" if named else ""
    if named is None:
        named = "kernel" if reports["kernel"].available else "userland"
        why = "the kernel has SCTP" if named == "kernel" else "the kernel has no SCTP"
    report = reports.get(named)
    if report is None:
        return f"TRIO_SCTP_STACK is {named!r}: it has to be kernel or userland", False
    if not report.available:
        return f"{named}, {why}, does not work: {report.remedy}", False
    if named == "userland" and taken:
        return (
            f"userland, {why}; but nobody can listen on UDP port {UDP_PORT}: {taken}. Choose "
            "another port with userland(udp_port=…) or --udp-port",
            False,
        )
    return f"{named}, {why}", True


def settings_table(*, kernel: bool) -> Table | None:
    """The sysctls that there are, and what each takes away."""
    shown = table("SETTING", "IS ", "HAS NO EFFECT HERE", "UNLESS ", title="Settings (sysctl)")
    for setting in SETTINGS_THAT_MATTER:
        value = read_setting(setting.name)
        if value is None or (setting.kernel and not kernel):
            continue
        hindered = setting.hinders(value)
        remedy = f"it is {setting.remedy or setting.least}"
        shown.add_row(
            setting.name, str(value), *((setting.what, remedy) if hindered else ("nothing", ""))
        )
    return shown if shown.row_count else None


@click.command()
@click.option(
    "--stack",
    type=click.Choice(["kernel", "userland"]),
    help="Exit with status 1 if this one does not work.",
)
def check(stack: str | None) -> int:
    """Say which stacks work here, why not, and which settings matter.

    The exit status is 0 if a program that names no stack can connect and listen here.
    """
    reports = {report.name: report for report in trio_sctp.stacks()}
    taken = udp_port_taken()
    text, works = what_programs_get(stack, reports, taken)

    shown = table("STACK", "WORKS", "WHY", "WHAT TO DO", title="Stacks")
    for report in reports.values():
        shown.add_row(
            report.name, "yes" if report.available else "no", report.reason, report.remedy
        )
    show(shown)
    results.print()
    kernel = reports["kernel"].available
    if settings := settings_table(kernel=kernel):
        show(settings)
        results.print()
    facts = table("", "")
    facts.show_header = False
    facts.add_row("UDP port", f"{UDP_PORT} is {'not free: ' + taken if taken else 'free'}")
    facts.add_row(
        "Engine", "compiled" if trio_sctp.__compiled__ else "pure Python, which is slower"
    )
    facts.add_row(
        "Versions",
        f"trio_sctp {trio_sctp.__version__}, Trio {trio.__version__}, Python "
        f"{platform.python_version()}, {platform.system()} {platform.release()} on "
        f"{platform.machine() or sys.platform}",
    )
    facts.add_row("Programs get", text)
    show(facts)
    return 0 if works else 1
