"""``trio-sctp watch``: what it shows is what the library knows of the same associations."""

from __future__ import annotations

import os
import re

import pytest
import trio

import trio_sctp
from trio_sctp._cli.watch import NONE, NONE_OF_THEM

from ..kernel.network import network
from .conftest import OnTerminal, RunCommand, listening, port_of
from .test_main import done

HOSTS = "127.0.0.1", "127.0.0.2"


@pytest.mark.skipif(trio_sctp.stacks()[0].available, reason="is for kernels without SCTP")
def test_without_sctp_in_the_kernel_it_says_what_to_do() -> None:
    wrong = done("watch")
    assert wrong.returncode == 1
    assert "modprobe sctp" in wrong.stderr
    assert wrong.stderr.count("\n") == 1


@pytest.mark.kernel
def test_with_no_association_it_says_so() -> None:
    none = done("watch")
    assert (none.returncode, none.stdout) == (0, NONE + "\n")


def row(text: str, near: int, far: int) -> str:
    """The line of an end of an association, by its ports."""
    (found,) = re.findall(rf"^.*:{near} +\S+:{far} .*$", text, re.M)
    return str(found)


@pytest.mark.kernel
async def test_both_ends_with_all_that_is_known() -> None:
    async with (
        await trio_sctp.open_listener(0, hosts=HOSTS) as listener,
        await trio_sctp.open_association(HOSTS, listener.port, local_hosts=HOSTS[0]) as here,
    ):
        await here.send(bytes(1000))
        await here.wait_sent()
        text = await trio.to_thread.run_sync(lambda: done("watch").stdout)
        (path, _) = here.paths()
        line = row(text, here.local_addresses[0][1], listener.port)
        assert " ESTAB " in line
        assert f" {here.outbound_streams}/{here.inbound_streams} " in line
        assert f"{path.srtt} ms" in line
        assert f"{path.rto} ms" in line
        assert f" {path.cwnd} " in line
        assert f"({os.getpid()})" in line
        assert text.count("127.0.0.2") == 2


@pytest.mark.kernel
async def test_one_to_many_and_ipv6() -> None:
    async with (
        await trio_sctp.open_endpoint(hosts="::1") as server,
        await trio_sctp.open_endpoint(hosts="::1") as client,
    ):
        server.listen()
        await client.connect("::1", server.port)
        text = await trio.to_thread.run_sync(lambda: done("watch").stdout)
        for ports in (client.port, server.port), (server.port, client.port):
            line = row(text, *ports)
            assert re.search(r"ESTAB +\[::1\]:\d+ +\[::1\]:\d+ .* \d+ ms +\d+ ms +\d+ ", line)


@pytest.mark.kernel
async def test_narrow_terminals_have_less(terminal: OnTerminal) -> None:
    async with (
        await trio_sctp.open_listener(0, hosts=HOSTS) as listener,
        await trio_sctp.open_association(HOSTS, listener.port) as here,
    ):
        for columns in 80, 40:
            shown = await terminal("watch", "--once", columns=columns)
            assert await shown.wait() == 0
            ends = rf"127\.0\.0\.1:{here.local_addresses[0][1]} +127\.0\.0\.1:{listener.port}"
            assert re.search(rf"^ESTAB +{ends}", str(shown.screen), re.M)
            assert ("ms" in str(shown.screen)) == (columns == 80)


@pytest.mark.kernel
async def test_a_choice() -> None:
    async with (
        await trio_sctp.open_listener(0, hosts=HOSTS) as one,
        await trio_sctp.open_listener(0, hosts=HOSTS[0]) as other,
        await trio_sctp.open_association(HOSTS, one.port),
        await trio_sctp.open_association(HOSTS[0], other.port),
    ):
        for which in f":{one.port}", "127.0.0.2", f"127.0.0.2:{one.port}":
            text = (await trio.to_thread.run_sync(done, "watch", which)).stdout
            assert f":{one.port}" in text
            assert f":{other.port}" not in text
        none = await trio.to_thread.run_sync(done, "watch", "192.0.2.1")
        assert none.stdout == NONE_OF_THEM + "\n"


@pytest.mark.kernel
async def test_live_and_a_path_that_fails(run: RunCommand, terminal: OnTerminal) -> None:
    with network(2) as hosts:
        shown = await terminal("watch", "--interval", 0.1, namespace="left")
        await shown.screen.expect(NONE)
        bind = [word for host in hosts.right_hosts for word in ("--bind", host)]
        server = await listening(run, *bind, namespace="right")
        here = [word for host in hosts.left_hosts for word in ("--bind", host)]
        client = await run("connect", *hosts.right_hosts, port_of(server), *here, namespace="left")
        await shown.screen.expect(r"ESTAB +10\.99\.0\.1:\d+ +10\.99\.0\.2:\d+ ")
        hosts.down(1)
        await shown.screen.expect(r"10\.99\.1\.2\((POTENTIALLY_FAILED|INACTIVE)\)")
        await client.close_input()
        assert await client.wait() == 0
        await shown.screen.expect(NONE)
        await shown.type("\x03")
        assert await shown.wait() == 0
