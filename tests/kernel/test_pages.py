"""Code of the documentation that needs Linux's SCTP, and so does not run with the rest of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

import trio_sctp
from trio_sctp import AssociationChannel, EncapsulationPort, Endpoint

from ..docs.blocks import ROOT, runs

HOST, PORT = "127.0.0.1", 2905


def load(page: str) -> dict[str, Any]:
    """Run a page's one program that others leave out, here; returns its names."""
    (run,) = (run for run in runs(ROOT / "docs" / page) if run.reason)
    (program,) = run.programs
    names: dict[str, Any] = {"__name__": page}
    exec(program.source.replace("192.0.2.1", HOST), names)
    return names


async def echo(association: AssociationChannel) -> None:
    async for message in association:
        await association.send(message.data)


async def test_a_socket_of_pysctp_becomes_an_endpoint() -> None:
    pytest.importorskip("sctp")
    endpoint: Endpoint = load("moving/pysctp.md")["endpoint"]
    async with endpoint, await trio_sctp.open_association(HOST, PORT) as client:
        await client.send(b"hello")
        while not isinstance(record := await endpoint.receive(), trio_sctp.Message):
            pass
        assert record.data == b"hello"
        endpoint.abort(record.association_id)


async def test_a_client_that_is_a_plain_socket(
    nursery: trio.Nursery, capsys: pytest.CaptureFixture[str]
) -> None:
    await nursery.start(trio_sctp.serve, echo, PORT)
    await trio.to_thread.run_sync(load, "moving/plain-sockets.md")
    assert capsys.readouterr().out == "b'hello'\n"
    nursery.cancel_scope.cancel()


async def test_an_association_in_udp(
    nursery: trio.Nursery, sysctl: Callable[[str, object], None]
) -> None:
    sysctl("net.sctp.encap_port", 0)
    sysctl("net.sctp.udp_port", 9899)
    await nursery.start(trio_sctp.serve, echo, PORT)
    async with await load("howto/other-stacks.md")["connect"]() as association:
        await association.send(b"hello")
        assert (await association.receive()).data == b"hello"
        assert association.get_option(EncapsulationPort).port == 9899
    nursery.cancel_scope.cancel()
