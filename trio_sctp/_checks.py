"""Whether arguments are what they have to be.

Each text names the argument, says what would be right, and repeats what was given.  What has the
wrong type is a ``TypeError``, what is out of range a ``ValueError``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import cast

U32_MAX = 2**32 - 1

_LONGEST = 200
"""Characters of a wrong value that are repeated: it may be a long message."""


def shown(value: object) -> str:
    """A value as a text shows it, cut if it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _number(n: int) -> str:
    """A bound, as documentation writes it: ``2**32 - 1``."""
    if n >= 2**16 and not n & (n - 1):
        return f"2**{n.bit_length() - 1}"
    if n >= 2**16 and not n & (n + 1):
        return f"2**{n.bit_length()} - 1"
    return str(n)


def check_integer(
    name: str, value: object, low: int | None = None, high: int | None = None
) -> None:
    """Refuse what is no integer from ``low`` to ``high``; True and False are none."""
    if not isinstance(value, int) or isinstance(value, bool):
        bounds = "" if low is None else f" of {_number(low)} or more"
        if low is not None and high is not None:
            bounds = f" from {_number(low)} to {_number(high)}"
        raise TypeError(f"{name} must be an integer{bounds}, not {shown(value)}")
    if low is None:
        return
    if high is None:
        if value < low:
            raise ValueError(f"{name} must be {_number(low)} or more, not {value}")
    elif not low <= value <= high:
        raise ValueError(
            f"{name} must be between {_number(low)} and {_number(high)}, not {shown(value)}"
        )


def check_number(name: str, value: object, what: str = "a number") -> None:
    """Refuse what is neither an integer nor a float; ``what`` says what would be right."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be {what}, not {shown(value)}")


def check_bool(name: str, value: object) -> None:
    """Refuse what only counts as True or False."""
    if value is not True and value is not False:
        raise TypeError(f"{name} must be True or False, not {shown(value)}")


def check_str(name: str, value: object) -> None:
    """Refuse what is no str."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {shown(value)}")


def check_bytes(name: str, value: object) -> None:
    """Refuse what holds no bytes."""
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"{name} must be bytes, bytearray or memoryview, not {shown(value)}")


def check_packet(value: object) -> None:
    """Refuse what is not the bytes of a packet."""
    if not isinstance(value, bytes):
        raise TypeError(f"a packet must be bytes, not {shown(value)}")


def ip_address(value: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IP address that a program gave, which has to be one and a str."""
    check_str("an address", value)
    return ipaddress.ip_address(cast(str, value))


def check_ip_address(name: str, value: object) -> None:
    """Refuse what is no IP address, as a str."""
    check_str(name, value)
    try:
        ipaddress.ip_address(cast(str, value))
    except ValueError:
        raise ValueError(
            f"{name} must be an IPv4 or IPv6 address, not {shown(value)}: names are for connect"
        ) from None


def check_address(address: object, name: str = "an address") -> None:
    """Refuse what is not a transport address.

    A transport address is a tuple ``(host, port)``, or ``(host, port, flow info, scope id)`` for
    IPv6, whose host is an IP address.
    """
    given = address
    parts = list(cast("tuple[object, ...]", address)) if isinstance(address, tuple) else []
    if len(parts) not in (2, 4):
        raise TypeError(f"{name} must be a tuple (host, port), not {shown(given)}")
    check_ip_address(f"the host of {name}, (host, port),", parts[0])
    port = parts[1]
    if not isinstance(port, int) or isinstance(port, bool):
        raise TypeError(f"the port of {name}, (host, port), must be an integer, not {shown(port)}")
    if not 0 <= port <= 65535:
        raise ValueError(f"{name} must have a port between 0 and 65535, not {port}")
    for what, value in zip(("flow info", "scope id"), parts[2:], strict=False):
        check_integer(f"the {what} of {name}", value, 0, U32_MAX)


def check_numbers(
    stream: int | None,
    ppid: int | None,
    unordered: bool | None,
    context: int | None,
    streams: int,
) -> None:
    """Refuse what no message can be sent with; None is for the default, which is right.

    Plain integers, which they nearly always are, cost no call.  Whether the association has the
    stream is another question.
    """
    if not (stream is None or type(stream) is int):
        check_integer("stream", stream, 0, streams - 1)
    if not (ppid is None or (type(ppid) is int and 0 <= ppid <= U32_MAX)):
        check_ppid(ppid)
    if not (unordered is None or unordered is True or unordered is False):
        check_bool("unordered", unordered)
    if not (context is None or (type(context) is int and 0 <= context <= U32_MAX)):
        check_integer("context", context, 0, U32_MAX)


POLICIES = ("lifetime", "retransmissions", "priority")
"""What may say when a message is given up (RFC 7496): at most one of them does."""


def check_policy(lifetime: object, retransmissions: object, priority: object) -> None:
    """Refuse what does not say when a message is given up; None says nothing."""
    given = [
        (name, value)
        for name, value in zip(POLICIES, (lifetime, retransmissions, priority), strict=True)
        if value is not None
    ]
    for name, value in given:
        check_integer(name, value, 0, U32_MAX)
    check_one_policy([name for name, _ in given])


def check_one_policy(given: Sequence[str]) -> None:
    """Refuse more than one of `POLICIES`."""
    if len(given) > 1:
        raise ValueError(
            f"{given[0]}= and {given[1]}= are both given: a message has one of lifetime=, "
            "retransmissions= and priority= at most"
        )


def check_ppid(ppid: object) -> None:
    """Refuse what is no payload protocol identifier: an integer of 32 bits."""
    if isinstance(ppid, bytes) and len(ppid) == 4:
        number = int.from_bytes(ppid, "big")
        raise TypeError(f"ppid must be an integer, {number} for {ppid!r}, not bytes")
    check_integer("ppid", ppid, 0, U32_MAX)
