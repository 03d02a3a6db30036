"""Checks of arguments, so that nonsense is refused by name at the call that it is given to."""

from __future__ import annotations

import ipaddress


def check_number(name: str, value: object) -> None:
    """Raise TypeError if ``value`` is not an integer or a float."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, not {value!r}")


def check_integer(name: str, value: object) -> None:
    """Raise TypeError if ``value`` is not an integer."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {value!r}")


def check_bool(name: str, value: object) -> None:
    """Raise TypeError if ``value`` is neither True nor False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")


def check_data(value: object) -> None:
    """Raise TypeError if ``value`` is not the bytes of a packet."""
    if not isinstance(value, bytes):
        raise TypeError(f"a packet must be bytes, not {value!r}")


def address_of(value: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IP address that a program gave.

    Raises:
      TypeError: it is not a str.
      ValueError: it is not an IP address.
    """
    if not isinstance(value, str):
        raise TypeError(f"an address must be a str, not {value!r}")
    return ipaddress.ip_address(value)
