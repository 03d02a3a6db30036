"""The simulated network on which the programs of a page run."""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import ipaddress
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import trio
import trio.testing

import trio_sctp
from trio_sctp import Association, AssociationChannel, AssociationLost, ConnectFailed, Endpoint
from trio_sctp.testing import (
    Link,
    SimulatedNetwork,
    association_pair,
    simulated_network,
)

from .blocks import Program

LONGEST = 600
"""Seconds, of virtual time, that a program may run."""

IDLE = 60
"""Seconds after which the peer of a program takes leave."""

MOST = 1000
"""Messages that it echoes."""

CONNECTING = {"open_association", "connect", "connect_init", "reconnect"}
SERVING = {"serve", "open_listener", "listen"}
ITS_OWN = re.compile(r"\b(simulated_network|association_pair|sctp_network|sctp_pair)\b")


async def run_beside(programs: list[Program], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run the programs until the last one has ended; returns what each has printed."""
    source = "\n".join(program.source for program in programs)
    printed: list[list[str]] = [[] for _ in programs]
    async with trio.open_nursery() as nursery, _world(ast.parse(source), source) as world:
        mains = [
            functools.partial(_run, program, world, lines, monkeypatch)
            for program, lines in zip(programs, printed, strict=True)
        ]
        for main in mains[:-1]:
            nursery.start_soon(main)
            await trio.testing.wait_all_tasks_blocked()
        if world is not None:
            nursery.start_soon(world.visit)
        if "SIGTERM" in source:
            nursery.start_soon(_terminate)
        with trio.move_on_after(LONGEST):
            await mains[-1]()
        nursery.cancel_scope.cancel()
    return ["".join(lines) for lines in printed]


async def _terminate() -> None:
    await trio.sleep(IDLE / 2)
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        signal.raise_signal(signal.SIGTERM)


# -- the hosts -------------------------------------------------------------------------------------


class World:
    """The program's host, another host, and who is on them."""

    def __init__(self, network: SimulatedNetwork, tree: ast.AST) -> None:
        texts = _constants(tree, str)
        own = _own_addresses(tree)
        if _serves(tree):
            own.append("127.0.0.1")
            texts = [text for text in texts if text != "localhost"]
        own = list(dict.fromkeys(own))
        theirs = [text for text in texts if _is_address(text) and text not in own]
        names = [text for text in texts if re.fullmatch(r"[\w.-]+\.example|localhost", text)]
        self.ports = [port for port in _constants(tree, int) if 1024 <= port <= 65535]
        self.ports += [port for port in map(_default_port, ast.walk(tree)) if port]
        self.ports = self.ports or [2905]
        self.own = own
        self.here = network.host("203.0.113.1", *own)
        self.theirs = theirs or ["203.0.113.2"]
        self.there = [network.host(*self.theirs)] + [
            network.host(f"203.0.113.{number}", name=name)
            for number, name in enumerate(dict.fromkeys(names), 3)
        ]

    async def visit(self) -> None:
        """Be a client of each port of the program's host."""
        for host in self.own:
            stack = self.here if host == "127.0.0.1" else self.there[0]
            for port in self.ports:
                with contextlib.suppress(ConnectFailed, AssociationLost, trio.EndOfChannel):
                    client = await trio_sctp.open_association(host, port, stack=stack)
                    async with client:
                        await client.send(b"hello")
                        with trio.move_on_after(5):
                            await client.receive()


async def _echo(channel: AssociationChannel) -> None:
    for _ in range(MOST):  # An echo may talk to an echo.
        message = None
        with contextlib.suppress(trio.EndOfChannel), trio.move_on_after(IDLE):
            message = await channel.receive()
        if message is None:
            break
        await channel.send(message.data, stream=message.stream, ppid=message.ppid)


@contextlib.asynccontextmanager
async def _world(tree: ast.AST, source: str) -> AsyncIterator[World | None]:
    if ITS_OWN.search(source):
        yield None
        return
    link = Link(delay=0.01)
    async with simulated_network(default_link=link) as network, trio.open_nursery() as nursery:
        world = World(network, tree)
        for host in world.there:
            for port in dict.fromkeys(world.ports):
                await nursery.start(functools.partial(trio_sctp.serve, stack=host), _echo, port)
        async with world.here:
            yield world
        nursery.cancel_scope.cancel()


def _constants(tree: ast.AST, kind: type[Any]) -> list[Any]:
    values = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return list(dict.fromkeys(value for value in values if type(value) is kind))


def _is_address(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text)) and text not in ("0.0.0.0", "::")
    except ValueError:
        return False


def _name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _serves(tree: ast.AST) -> bool:
    return any(_name(node) in SERVING for node in ast.walk(tree))


def _own_addresses(tree: ast.AST) -> list[str]:
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            own = {"local_hosts"} if _name(node.func) in CONNECTING else {"local_hosts", "hosts"}
            for keyword in node.keywords:
                if keyword.arg in own:
                    found += filter(_is_address, _constants(keyword.value, str))
    return found


def _default_port(node: ast.AST) -> int | None:
    """The port of a protocol that the program names."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        ppid = getattr(trio_sctp.Ppid, node.attr, None) if node.value.id == "Ppid" else None
        return ppid.default_port if isinstance(ppid, trio_sctp.Ppid) else None
    return None


# -- a program -------------------------------------------------------------------------------------


async def _run(
    program: Program,
    world: World | None,
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def show(*values: object, sep: str = " ", end: str = "\n", **options: object) -> None:
        lines.append(sep.join(map(str, values)) + end)

    code = compile(
        program.source,
        "the block",
        "exec",
        ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        dont_inherit=True,
    )
    names: dict[str, Any] = {"__name__": "block", "print": show}
    mains: list[Callable[[], Awaitable[object]]] = []
    with monkeypatch.context() as patch:
        patch.setattr(trio, "run", lambda main, *args: mains.append(functools.partial(main, *args)))
        running = eval(code, names)
    if running is not None:
        await running
    for main in mains:
        await main()
    given: dict[str, Any] = {}
    exec(program.arguments, names, given)
    for function in map(names.__getitem__, _entries(program.source)):
        async with _arguments(function, names, world, given) as arguments:
            result = function(**arguments)
            if inspect.isawaitable(result):
                result = await result
            if isinstance(result, trio.abc.AsyncResource):
                await trio.aclose_forcefully(result)


def _entries(source: str) -> Iterator[str]:
    """The functions at the top level that nothing in the program refers to."""
    tree = ast.parse(source)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = set(ast.walk(node))
            used = {
                other.id
                for other in ast.walk(tree)
                if isinstance(other, ast.Name) and other not in inside
            }
            if node.name not in used:
                yield node.name


@contextlib.asynccontextmanager
async def _arguments(
    function: Callable[..., object],
    names: dict[str, Any],
    world: World | None,
    given: dict[str, Any],
) -> AsyncIterator[dict[str, Any]]:
    """What the function's parameters ask for."""
    async with contextlib.AsyncExitStack() as stack:
        arguments: dict[str, Any] = {}
        handle: Association | None = None
        for parameter in inspect.signature(function).parameters.values():
            kind = parameter.annotation
            if isinstance(kind, str):
                kind = eval(kind, names)
            value: object
            if parameter.name in given:
                value = given[parameter.name]
            elif parameter.default is not parameter.empty:
                continue
            elif kind in (AssociationChannel, trio.abc.SendChannel, trio.abc.Channel):
                value = await stack.enter_async_context(await _channel(world))
            elif kind in (Endpoint, Association):
                endpoint = await trio_sctp.open_endpoint()
                await stack.enter_async_context(endpoint)
                assert world is not None
                handle = await endpoint.connect(world.theirs[0], world.ports[0])
                value = endpoint if kind is Endpoint else handle
            elif parameter.name == "id" and handle is not None:
                value = handle.id
            elif kind is trio.Nursery:
                value = await stack.enter_async_context(trio.open_nursery())
            elif parameter.name == "sctp_network":
                value = await stack.enter_async_context(simulated_network())
            elif parameter.name == "sctp_pair":
                value = await stack.enter_async_context(association_pair())
            elif parameter.name.endswith("_clock"):
                value = trio.lowlevel.current_clock()
            else:
                raise TypeError(
                    f"{function.__name__} needs {parameter}: give it by "
                    "<!-- with: name = value -->, see tests/docs/blocks.py"
                )
            arguments[parameter.name] = value
        yield arguments


async def _channel(world: World | None) -> AssociationChannel:
    assert world is not None
    return await trio_sctp.open_association(world.theirs[0], world.ports[0])
