"""The option types as Linux socket options: one entry each."""

from __future__ import annotations

import dataclasses
import errno
import socket
import struct
from collections.abc import Callable
from typing import Any, TypeVar

from .._errors import OptionUnsupported
from .._options import (
    InitMsg,
    NoDelay,
    Option,
    PathState,
    PeerAddressInfo,
    ReceiveBuffer,
    RtoInfo,
    SendBuffer,
    Status,
    StatusState,
)
from ._getsockopt import getsockopt
from ._layouts import FUTURE_ASSOCIATIONS, SOL_SCTP, STATUS_STRUCT, Opt, unpack_address
from ._notifications import known

T = TypeVar("T", bound=Option)

ID = "association id"
"""The place of the association id in a struct."""


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """How one option type is a socket option: its number, its struct, and the struct's fields.

    ``decode`` is for the few whose struct is not simply their fields.
    """

    level: int
    number: int
    struct: struct.Struct
    fields: tuple[str, ...]
    decode: Callable[[tuple[Any, ...]], Any] | None = None


def _status(f: tuple[Any, ...]) -> Status:
    return Status(
        association_id=f[0],
        state=known(StatusState, f[1]),
        rwnd=f[2],
        unackdata=f[3],
        penddata=f[4],
        instrms=f[5],
        outstrms=f[6],
        fragmentation_point=f[7],
        primary=PeerAddressInfo(
            address=unpack_address(f[9])[0],
            state=known(PathState, f[10]),
            cwnd=f[11],
            srtt=f[12],
            rto=f[13],
            mtu=f[14],
        ),
    )


LAYOUTS: dict[type[Any], Layout] = {
    InitMsg: Layout(
        SOL_SCTP,
        Opt.INITMSG,
        struct.Struct("=HHHH"),
        ("num_ostreams", "max_instreams", "max_attempts", "max_init_timeo"),
    ),
    RtoInfo: Layout(SOL_SCTP, Opt.RTOINFO, struct.Struct("=iIII"), (ID, "initial", "max", "min")),
    NoDelay: Layout(
        SOL_SCTP, Opt.NODELAY, struct.Struct("=i"), ("enabled",), lambda f: NoDelay(bool(f[0]))
    ),
    SendBuffer: Layout(socket.SOL_SOCKET, socket.SO_SNDBUF, struct.Struct("=i"), ("size",)),
    ReceiveBuffer: Layout(socket.SOL_SOCKET, socket.SO_RCVBUF, struct.Struct("=i"), ("size",)),
    Status: Layout(SOL_SCTP, Opt.STATUS, STATUS_STRUCT, (ID,), _status),
}


def _layout(kind: type[Any]) -> Layout:
    try:
        return LAYOUTS[kind]
    except KeyError:
        raise OptionUnsupported(
            errno.ENOPROTOOPT, f"the kernel stack has no option {kind.__name__}"
        ) from None


def get_option(sock: socket.socket, kind: type[T], association_id: int | None) -> T:
    """Read an option, all fields filled."""
    layout = _layout(kind)
    id = FUTURE_ASSOCIATIONS if association_id is None else association_id
    if layout.level == SOL_SCTP:
        request = b"".join(struct.pack("=i", id) for name in layout.fields if name == ID)
        _, data = getsockopt(sock.fileno(), layout.number, request, layout.struct.size)
    else:
        data = sock.getsockopt(layout.level, layout.number, layout.struct.size)
    values = layout.struct.unpack(data)
    if layout.decode is not None:
        return layout.decode(values)  # type: ignore[no-any-return]
    fields = {name: value for name, value in zip(layout.fields, values, strict=True) if name != ID}
    return kind(**fields)


def set_option(sock: socket.socket, option: Option, association_id: int | None) -> None:
    """Write an option, every field of which must be set."""
    layout = _layout(type(option))
    id = FUTURE_ASSOCIATIONS if association_id is None else association_id
    values = [id if name == ID else getattr(option, name) for name in layout.fields]
    sock.setsockopt(layout.level, layout.number, layout.struct.pack(*values))
