"""The choice of a stack."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

import trio_sctp
from trio_sctp import StackUnavailable
from trio_sctp.testing import simulated_network


@pytest.fixture
def no_kernel_sctp(monkeypatch: pytest.MonkeyPatch) -> None:
    no_such_protocol = 250
    monkeypatch.setattr("trio_sctp._kernel._socket.SOL_SCTP", no_such_protocol)


@pytest.fixture(autouse=True)
def no_choice_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIO_SCTP_STACK", raising=False)


async def exchange(stack: str | None = None) -> None:
    """Set up an association and send a message over it."""
    async with await trio_sctp.open_listener(0, hosts="127.0.0.1", stack=stack) as listener:
        client = await trio_sctp.open_association("127.0.0.1", listener.port, stack=stack)
        server = await listener.accept()
        await client.send(b"hello")
        assert (await server.receive()).data == b"hello"
        client.abort()
        await trio.aclose_forcefully(server)


@pytest.mark.usefixtures("no_kernel_sctp")
async def test_without_kernel_sctp_the_error_names_the_remedy() -> None:
    kernel, userland = trio_sctp.stacks()
    assert (kernel.name, kernel.available) == ("kernel", False)
    assert "modprobe sctp" in kernel.remedy
    assert (userland.name, userland.available, userland.remedy) == ("userland", True, "")
    assert "UDP" in userland.reason
    with pytest.raises(StackUnavailable, match="modprobe sctp"):
        await trio_sctp.open_endpoint(stack="kernel")


@pytest.mark.usefixtures("no_kernel_sctp")
async def test_without_kernel_sctp_the_default_is_userland_with_one_warning() -> None:
    with pytest.warns(RuntimeWarning, match=r"UDP packets.*9899.*modprobe sctp") as warned:
        await exchange()
    (warning,) = warned
    assert warning.filename == __file__


async def not_called(*_: object) -> None:
    raise AssertionError


@pytest.mark.usefixtures("no_kernel_sctp")
@pytest.mark.parametrize(
    "call",
    [
        lambda: trio_sctp.open_association("127.0.0.1", 2905),
        lambda: trio_sctp.serve(not_called, 0),
        lambda: trio_sctp.reconnect(not_called, "127.0.0.1", 2905),
    ],
    ids=["open_association", "serve", "reconnect"],
)
async def test_the_warning_points_at_the_programs_own_line(
    call: Callable[[], Awaitable[object]],
) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        with pytest.warns(RuntimeWarning, match="UDP packets") as warned:
            await call()
    assert [warning.filename for warning in warned] == [__file__]


@pytest.mark.usefixtures("no_kernel_sctp")
async def test_what_is_asked_for_and_not_there_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRIO_SCTP_STACK", "kernel")
    with pytest.raises(StackUnavailable, match="modprobe sctp"):
        await trio_sctp.open_endpoint()


async def test_the_environment_chooses_userland_without_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRIO_SCTP_STACK", "userland")
    await exchange()


async def test_userland_by_name() -> None:
    await exchange("userland")


async def test_userland_by_name_is_that_of_the_block() -> None:
    async with trio_sctp.userland(udp_port=9898, peer_udp_port=9898):
        async with (
            await trio_sctp.open_endpoint(2905, stack="userland"),
            await trio_sctp.open_endpoint(2906),
        ):
            pass
        await exchange("userland")


async def test_the_stack_of_the_block_comes_before_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRIO_SCTP_STACK", "kernel")
    async with simulated_network() as network, network.host("127.0.0.1") as host:
        await exchange()
        endpoint = await trio_sctp.open_endpoint()
        assert endpoint.port in host.engines
        await trio.aclose_forcefully(endpoint)


async def test_tasks_that_are_started_in_the_block_have_its_stack() -> None:
    async with trio_sctp.userland(udp_port=9898, peer_udp_port=9898) as stack:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(exchange)
        assert not stack.engines


@pytest.mark.usefixtures("no_kernel_sctp")
def test_each_run_of_trio_has_a_default_stack_of_its_own() -> None:
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="UDP"):
            trio.run(exchange)


async def test_a_stack_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="'kernal'"):
        await trio_sctp.open_endpoint(stack="kernal")
