"""``trio-sctp listen`` and ``connect``: with each other, in pipes and on a terminal."""

from __future__ import annotations

import math
import os
import re
import signal
from pathlib import Path

import pytest
import trio

import trio_sctp
from trio_sctp import (
    AssociationChannel,
    AssociationReset,
    Event,
    InitMsg,
    Listener,
    Ppid,
    SendBuffer,
    StreamChange,
    StreamReset,
)
from trio_sctp import (
    ReconfigurationFlags as Flags,
)
from trio_sctp._cli.session import Session, told
from trio_sctp.testing import association_pair, simulated_network

from ..support.udp_proxy import always, udp_proxy
from .conftest import HOST, ROOT, OnTerminal, RunCommand, Terminal, command, listening, port_of
from .test_main import done

# -- with each other ---------------------------------------------------------------------------


async def test_lines_go_to_and_fro(run: RunCommand, stack: list[object]) -> None:
    server = await listening(run, *stack)
    client = await run("connect", HOST, port_of(server), *stack, "-s", 3, "-p", "ngap")
    await client.write(b"question\n")
    await server.out.expect("question")
    assert "< 9 bytes on stream 3, PPID NGAP (60)\n" in str(server.err)
    await server.write(b"answer\n")
    await client.out.expect("answer")
    await client.close_input()
    assert await client.wait() == 0
    assert await server.wait() == 0
    assert (bytes(server.out.data), bytes(client.out.data)) == (b"question\n", b"answer\n")
    assert "* the peer shuts down\n* ended gracefully\n" in str(server.err)


async def test_in_a_pipe_every_byte_comes_out_at_the_other_end(
    run: RunCommand, stack: list[object]
) -> None:
    data = bytes(range(256)) * 1000
    server = await listening(run, *stack)
    client = await run("connect", HOST, port_of(server), *stack, "--quiet", "--wait", 0)
    await client.write(data)
    await client.close_input()
    assert await client.wait() == 0
    assert await server.wait() == 0
    assert bytes(server.out.data) == data
    assert not client.err.data


async def test_without_input_a_listener_stays(run: RunCommand, stack: list[object]) -> None:
    server = await listening(run, *stack)
    await server.close_input()
    client = await run("connect", HOST, port_of(server), *stack)
    for line in b"one\n", b"two\n":
        await client.write(line)
        await server.out.expect(line.decode().strip())
    await client.close_input()
    assert await client.wait() == 0
    assert await server.wait() == 0


async def test_a_listener_says_that_it_is_for_ipv4(run: RunCommand, stack: list[object]) -> None:
    server = await listening(run, *stack)
    assert f"port {port_of(server)} (IPv4; --bind :: is for IPv6)\n" in str(server.err)
    server.interrupt()
    server = await listening(run, *stack, "--bind", "::")
    client = await run("connect", "::1", port_of(server), *stack, "-m", "six")
    assert await client.wait() == 0
    assert await server.wait() == 0
    assert bytes(server.out.data) == b"six"


async def test_an_echo_for_all_who_come(run: RunCommand, stack: list[object]) -> None:
    server = await listening(run, *stack, "--echo", "--keep-open")
    arguments = [HOST, port_of(server), *stack, "--format", "hex"]
    clients = [
        await run("connect", *arguments, "-m", f"{n:02x}:ff", "--unordered", "--wait", "inf")
        for n in range(3)
    ]
    for number, client in enumerate(clients):
        await client.out.expect(f"^{number:02x}ff\n")
        assert "unordered" in str(client.err)
        client.interrupt()
        assert await client.wait() == 0
    server.interrupt()
    assert await server.wait() == 0
    told = re.findall(r"^< (\d+): 2 bytes on stream 0, PPID 0, unordered$", str(server.err), re.M)
    assert len({*told}) == 3
    assert {*re.findall(r"^\* (\d+): ended gracefully$", str(server.err), re.M)} == {*told}


async def test_what_is_too_large_for_an_echo_concerns_its_sender_alone(
    run: RunCommand, udp_port: int
) -> None:
    server = await listening(run, "--udp-port", udp_port, "--echo", "--keep-open")
    async with (
        trio_sctp.userland(peer_udp_port=udp_port),
        await trio_sctp.open_association(
            HOST, port_of(server), options=[SendBuffer(4_000_000)]
        ) as association,
    ):
        await association.send(bytes(3_000_000))
        assert b"3000000 bytes are too many" in (await association.wait_ended()).reason
    client = await run("connect", HOST, port_of(server), "--udp-port", udp_port, "-m", "small")
    await client.out.expect("small")
    assert await client.wait() == 0
    server.interrupt()
    assert await server.wait() == 0
    assert "* association 1: 3000000 bytes are too many to send them back\n" in str(server.err)
    assert "Traceback" not in str(server.err)


async def test_it_waits_for_answers_before_it_leaves(run: RunCommand, stack: list[object]) -> None:
    server = await listening(run, *stack, "--echo", "--keep-open")
    client = await run("connect", HOST, port_of(server), *stack, "-m", "a", "-m", "b", "-w", 2)
    assert await client.wait() == 0
    assert bytes(client.out.data) == b"ab"


async def test_credit(run: RunCommand, stack: list[object]) -> None:
    server = await listening(run, *stack, "--active", 2, "--format", "lines")
    client = await run("connect", HOST, port_of(server), *stack, "--format", "lines", "--wait", 0)
    await client.write(b"".join(b"%d\n" % number for number in range(5)))
    await client.close_input()
    assert await client.wait() == 0
    assert await server.wait() == 0
    assert bytes(server.out.data) == b"0\n1\n2\n3\n4\n"
    records = "* COMM_UP", "<", "* passive", "<", "<", "* passive", "<", "<", "* passive"
    told = str(server.err).splitlines()[2:]
    for line, beginning in zip(told, records, strict=False):
        assert line.startswith(beginning)
    assert "* passive: 2 records taken, 2 more granted" in told


async def test_credit_is_granted_for_what_came_before_an_end_that_is_known(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """The end of an association may be read long before its messages are taken."""
    session = Session(
        stream=0,
        ppid=0,
        unordered=False,
        format="lines",
        messages=[],
        echo=False,
        active=2,
        wait=math.inf,
        quiet=False,
    )
    async with association_pair() as (sender, receiver), trio.open_nursery() as nursery:
        for number in range(5):
            await sender.send(b"%d" % number)
        nursery.start_soon(sender.eof)
        await receiver.wait_ended()
        await session.run(receiver)
    assert capfdbinary.readouterr().out == b"0\n1\n2\n3\n4\n"


@pytest.mark.parametrize("policy", ["lifetime", "retransmissions"])
async def test_a_message_is_given_up(
    policy: str, capfd: pytest.CaptureFixture[str], autojump_clock: trio.testing.MockClock
) -> None:
    session = Session(
        stream=0,
        ppid=0,
        unordered=False,
        format="lines",
        messages=["lost"],
        echo=False,
        active=None,
        wait=5,
        quiet=False,
        **{policy: 0 if policy == "retransmissions" else 500},  # type: ignore[arg-type]
    )
    async with simulated_network() as simulation:
        left, right = simulation.host("192.0.2.1"), simulation.host("192.0.2.2")
        async with await trio_sctp.open_listener(2905, stack=right) as listener:
            client = await trio_sctp.open_association("192.0.2.2", 2905, stack=left)
            server = await listener.accept()
        async with client, server, trio.open_nursery() as nursery:
            simulation.network.partition(["192.0.2.1"], ["192.0.2.2"])
            nursery.start_soon(session.run, client)
            await trio.sleep(1.5)
            simulation.network.heal()
            with pytest.raises(trio.EndOfChannel):
                await server.receive()
    assert "* not delivered: 4 bytes on stream 0\n" in capfd.readouterr().err


async def test_a_message_with_a_priority_arrives(run: RunCommand, stack: list[object]) -> None:
    server = await listening(run, *stack)
    client = await run("connect", HOST, port_of(server), *stack, "--priority", 5, "-m", "urgent")
    assert await client.wait() == 0
    assert await server.wait() == 0
    assert bytes(server.out.data) == b"urgent"


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            StreamReset(association_id=1, flags=Flags.OUTGOING, streams=(3, 4)),
            "outgoing streams 3 4 begin anew",
        ),
        (
            StreamReset(association_id=1, flags=Flags.INCOMING, streams=()),
            "all incoming streams begin anew",
        ),
        (
            StreamReset(association_id=1, flags=Flags.OUTGOING | Flags.DENIED, streams=(7,)),
            "refused: to reset outgoing streams 7",
        ),
        (
            StreamReset(association_id=1, flags=Flags.INCOMING | Flags.FAILED, streams=()),
            "failed: to reset all incoming streams",
        ),
        (
            AssociationReset(association_id=1, flags=Flags(0), local_tsn=5, remote_tsn=6),
            "all streams and TSNs begin anew",
        ),
        (
            AssociationReset(association_id=1, flags=Flags.DENIED, local_tsn=5, remote_tsn=6),
            "refused: to reset all streams and TSNs",
        ),
        (
            StreamChange(association_id=1, flags=Flags(0), inbound_streams=10, outbound_streams=12),
            "streams: 12 out, 10 in",
        ),
        (
            StreamChange(
                association_id=1, flags=Flags.FAILED, inbound_streams=10, outbound_streams=10
            ),
            "failed: to add streams",
        ),
    ],
)
def test_what_is_told_of_streams_that_change(event: Event, text: str) -> None:
    assert told(event) == text


async def test_several_addresses_on_each_side(run: RunCommand, udp_port: int) -> None:
    addresses = ["127.0.0.1", "127.0.0.2"]
    bind = [word for address in addresses for word in ("--bind", address)]
    server = await listening(run, *bind, "--udp-port", udp_port)
    here = ["--bind", "127.0.0.3", "--bind", "127.0.0.4", "--bind-port", 2777]
    client = await run("connect", *addresses, port_of(server), *here, "--udp-port", udp_port)
    await client.err.expect(r"up: 127.0.0.1 port \d+, 127.0.0.2 port \d+")
    await server.err.expect(r"up: 127.0.0.[34] port 2777, 127.0.0.[34] port 2777")
    await client.close_input()
    assert await client.wait() == 0


async def test_a_capture(run: RunCommand, udp_port: int, tmp_path: Path) -> None:
    server = await listening(run, "--udp-port", udp_port)
    file = tmp_path / "trace.pcapng"
    client = await run(
        "connect", HOST, port_of(server), "--udp-port", udp_port, "--capture", file, "-m", "needle"
    )
    assert await client.wait() == 0
    assert b"needle" in file.read_bytes()


# -- Ctrl-C ------------------------------------------------------------------------------------


async def test_ctrl_c_while_nobody_has_come(run: RunCommand, stack: list[object]) -> None:
    server = await listening(run, *stack)
    server.interrupt()
    assert await server.wait() == 0


async def test_ctrl_c_while_connecting(run: RunCommand, udp_port: int) -> None:
    async with udp_proxy(udp_port) as proxy:
        sent = trio.Event()

        def lose(packet: bytes, outbound: bool) -> bool:
            sent.set()
            return True

        proxy.lose = lose
        client = await run("connect", HOST, 2905, "--udp-port", proxy.port)
        await sent.wait()
        await client.err.expect("Ctrl-C gives up")
        client.interrupt()
        assert await client.wait() == 130
        assert str(client.err) == "* connecting to 127.0.0.1 port 2905; Ctrl-C gives up\n"


async def test_a_peer_that_does_not_answer(run: RunCommand, udp_port: int) -> None:
    async with udp_proxy(udp_port) as proxy:
        proxy.lose = always
        client = await run("connect", HOST, 2905, "--udp-port", proxy.port, "--timeout", 0.5)
        assert await client.wait() == 1
    assert (
        str(client.err)
        == "trio-sctp: 127.0.0.1 port 2905 has not answered within 0.5 s; -W waits longer\n"
    )


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_an_input_that_is_cut_short_is_told_by_the_status(
    which: signal.Signals, run: RunCommand, udp_port: int
) -> None:
    server = await listening(run, "--udp-port", udp_port)
    client = await run("connect", HOST, port_of(server), "--udp-port", udp_port)
    await client.write(b"a part")
    await server.out.expect("a part")
    client.process.send_signal(which)
    assert await client.wait() == 130
    assert await server.wait() == 0
    assert "* ended gracefully\n" in str(server.err)


async def test_a_hangup_that_is_ignored_ends_nothing(run: RunCommand, udp_port: int) -> None:
    """As with ``nohup``."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        server = await listening(run, "--udp-port", udp_port)
    finally:
        signal.signal(signal.SIGHUP, before)
    server.process.send_signal(signal.SIGHUP)
    client = await run("connect", HOST, port_of(server), "--udp-port", udp_port, "-m", "x")
    assert await client.wait() == 0
    assert await server.wait() == 0
    assert bytes(server.out.data) == b"x"


async def test_how_to_abort_is_told_once(run: RunCommand, udp_port: int) -> None:
    server = await listening(run, "--udp-port", udp_port, "--keep-open")
    arguments = [HOST, port_of(server), "--udp-port", udp_port]
    clients = [await run("connect", *arguments) for _ in range(3)]
    for client in clients:
        await client.err.expect("up: ")
    await server.err.expect("(?s)(up: .*){3}")
    server.interrupt()
    assert await server.wait() == 0
    assert str(server.err).count("ending gracefully") == 1


async def test_a_second_ctrl_c_aborts(run: RunCommand, udp_port: int) -> None:
    server = await listening(run, "--udp-port", udp_port)
    async with udp_proxy(udp_port) as proxy:
        client = await run("connect", HOST, port_of(server), "--udp-port", proxy.port)
        await client.err.expect("up: ")
        await server.err.expect("up: ")
        proxy.lose = always
        client.interrupt()
        await client.err.expect("ending gracefully; Ctrl-C again aborts")
        proxy.lose = lambda packet, outbound: not outbound
        client.interrupt()
        assert await client.wait() == 130
        assert await server.wait() == 1
        assert "COMM_LOST: user-initiated abort" in str(server.err)
        assert "Traceback" not in str(server.err)


# -- on a terminal -----------------------------------------------------------------------------


async def on_terminal(
    terminal: OnTerminal, peer: Listener, udp_port: int, *options: object
) -> tuple[Terminal, AssociationChannel]:
    shown = await terminal("connect", HOST, peer.port, "--udp-port", udp_port, *options)
    association = await peer.accept()
    await shown.screen.expect("up: ")
    return shown, association


async def test_typed_lines_are_messages(
    terminal: OnTerminal, peer: Listener, udp_port: int
) -> None:
    shown, association = await on_terminal(terminal, peer, udp_port)
    async with association:
        await shown.type("hello\n")
        assert (await association.receive()).data == b"hello\n"
        await association.send(b"no line end")
        await shown.screen.expect(r"< 11 bytes on stream 0, PPID 0\nno line end\n")
        await shown.type("\x03")
        with pytest.raises(trio.EndOfChannel):
            await association.receive()
    assert await shown.wait() == 0


async def test_what_a_peer_writes_cannot_steer_the_terminal(
    terminal: OnTerminal, peer: Listener, udp_port: int
) -> None:
    shown, association = await on_terminal(terminal, peer, udp_port)
    async with association:
        await association.send(b"\x1b[2J\x1b]0;title\x07\xff end")
        await shown.screen.expect(re.escape(r"\x1b[2J\x1b]0;title\x07\xff end"))
        association.abort(b"\x1b[2Jbye")
    await shown.screen.expect(re.escape(r"b'\x1b[2Jbye'"))
    assert await shown.wait() == 1


async def test_hex_is_a_dump(terminal: OnTerminal, peer: Listener, udp_port: int) -> None:
    shown, association = await on_terminal(terminal, peer, udp_port, "--format", "hex")
    async with association:
        await shown.type("xx\n")
        await shown.screen.expect("'xx' is not a message in hex digits")
        await shown.type("00 15:ff\n")
        assert (await association.receive()).data == b"\x00\x15\xff"
        await association.send(b"Hello, world 12345\x00")
        await shown.screen.expect(r"0000  48 65 6c 6c 6f .* 33  Hello, world 123\n0010  34 35 00 ")
        await shown.type("\x04")
        with pytest.raises(trio.EndOfChannel):
            await association.receive()
    assert await shown.wait() == 0


async def test_events_as_they_come(terminal: OnTerminal, peer: Listener, udp_port: int) -> None:
    shown, association = await on_terminal(terminal, peer, udp_port, "-p", "m3ua", "-s", 4)
    async with association:
        await shown.type("x\n")
        message = await association.receive()
        assert (message.stream, message.ppid) == (4, Ppid.M3UA)
        await association.eof()
        await shown.screen.expect("the peer shuts down")
        await shown.screen.expect("ended gracefully")
    assert await shown.wait() == 0


async def test_who_stops_reading_ends_it(run: RunCommand, peer: Listener, udp_port: int) -> None:
    """As with ``trio-sctp connect … | head -1``."""
    client = await run("connect", HOST, peer.port, "--udp-port", udp_port)
    async with await peer.accept() as association:
        await client.err.expect("up: ")
        assert client.process.stdout is not None
        await client.process.stdout.aclose()
        await association.send(b"anything")
        end = await association.wait_ended()
    assert not end.graceful
    assert await client.wait() == 1
    assert "Traceback" not in str(client.err)


async def test_a_peer_with_fewer_streams(run: RunCommand, peer: Listener, udp_port: int) -> None:
    few = await trio_sctp.open_listener(0, hosts=HOST, options=[InitMsg(max_instreams=2)])
    async with few:
        arguments = [HOST, few.port, "--udp-port", udp_port, "-m", "x", "-s", 2]
        client = await run("connect", *arguments)
        assert await client.wait() == 1
        async with await few.accept() as association:
            with pytest.raises(trio.EndOfChannel):
                await association.receive()
    last = str(client.err).splitlines()[-1]
    assert re.fullmatch(r"trio-sctp: .*stream.*", last)


def test_quiet_is_quiet_of_the_stack_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIO_SCTP_STACK", raising=False)
    for option, lines in ([], 2), (["--quiet"], 1):
        told = done("connect", HOST, "1", *option).stderr.splitlines()
        if not trio_sctp.stacks()[0].available:
            assert len(told) == lines
            assert told[0].startswith("* this kernel has no SCTP: using UDP port 9899") or option
        assert told[-1].startswith("trio-sctp: cannot associate with 127.0.0.1 port 1")


# -- wrong arguments ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["connect", HOST], 2, "Missing argument 'HOST…'"),
        (["connect", HOST, "99999"], 2, "a port is a number up to 65535, not 99999"),
        (["connect", HOST, "2905", "-p", "nope"], 2, "'nope' is no PPID: give a number, or a name"),
        (["connect", "http://x", "2905"], 2, "a host must be a name or an address"),
        (["connect", HOST, "2905", "-f", "hex", "-m", "xyz"], 2, "not a message in hex digits"),
        (["connect", HOST, "2905"], 1, "Connection refused"),
        (["connect", HOST, "2905", HOST], 2, "'127.0.0.1' is no port; the port comes last"),
        (["connect", HOST, "no-such"], 1, "'no-such' is not a service"),
        (["connect", HOST, "M3UA"], 1, "with 127.0.0.1 port 2905 over UDP"),
        (["connect", HOST, "1", "--send", "-", "-m", "x"], 2, "--send and --message exclude each"),
        (
            ["connect", HOST, "1", "--lifetime", "5", "--priority", "0", "-m", "x"],
            2,
            "--lifetime and --priority exclude each other",
        ),
        (["listen", "0", "--priority", "-1"], 2, "-1 is not in the range 0<=x<=4294967295"),
        (["listen", "0", "--priority", "low"], 2, "'low' is not a valid number"),
        (
            ["connect", HOST, "1", "--send", "-", "--retransmissions", "1"],
            2,
            "--send and --retransmissions exclude each",
        ),
        (["listen", "0", "--receive", ".", "--echo"], 2, "--receive and --echo exclude each other"),
        (["connect", HOST, "2905", "--send", "no such file"], 2, "does not exist"),
        (["connect", HOST, "2905", "--send", "-", "--receive", "-"], 2, "exclude each other"),
        (["connect", HOST, "2905", "--capture", "/no/such/x"], 1, "No such file or directory"),
        (["listen", "2905", "--bind", "192.0.2.99"], 1, "cannot bind 192.0.2.99 port 2905"),
        (["listen"], 2, "Missing argument 'PORT'"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str], status: int, text: str, udp_port: int
) -> None:
    wrong = done(*arguments, "--stack", "userland", "--udp-port", udp_port)
    assert wrong.returncode == status
    assert wrong.stderr.count("\n") == 1
    assert text in wrong.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["connect", HOST, "2905", "--capture", "x"], "tcpdump -i any -w x sctp"),
        (["listen", "2905", "--capture", "x"], "tcpdump -i any -w x sctp"),
        (["listen", "2905", "--udp-port", "9900"], "sysctl net.sctp.udp_port=9900"),
    ],
)
def test_what_the_kernel_does_not_do_is_said_with_what_to_do(
    arguments: list[str], text: str
) -> None:
    wrong = done(*arguments, "--stack", "kernel")
    assert wrong.returncode == 2
    assert text in wrong.stderr
    assert wrong.stderr.count("\n") == 1


async def test_a_second_listener_is_told_of_the_udp_port(run: RunCommand, udp_port: int) -> None:
    await listening(run, "--udp-port", udp_port)
    second = await run("listen", 0, "--udp-port", udp_port)
    assert await second.wait() == 1
    assert str(second.err) == (
        f"trio-sctp: another program has UDP port {udp_port}: choose another one with --udp-port, "
        "here and for the peer\n"
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
async def test_a_standard_stream_that_is_closed(
    closed: str, peer: Listener, udp_port: int, nursery: trio.Nursery
) -> None:
    arguments = command("connect", HOST, peer.port, "--udp-port", udp_port, "--wait", 0)
    program = ["sh", "-c", f'exec "$@" {closed}', "-", *arguments]

    async def finish() -> None:
        ended = await trio.run_process(
            program, cwd=ROOT, capture_stdout=True, capture_stderr=True, check=False
        )
        assert (ended.returncode, ended.stdout) == (0, b"")
        assert b"* ended gracefully\n" in ended.stderr or closed == "2>&-"

    nursery.start_soon(finish)
    async with await peer.accept() as association:
        with pytest.raises(trio.EndOfChannel):
            await association.receive()


async def test_an_argument_that_is_no_text(run: RunCommand, peer: Listener, udp_port: int) -> None:
    arguments = [HOST, peer.port, "--udp-port", udp_port, "-m", os.fsdecode(b"\xff")]
    client = await run("connect", *arguments)
    async with await peer.accept() as association:
        assert (await association.receive()).data == b"\xff"
    assert await client.wait() == 0


async def test_a_line_that_is_no_hex_is_named(run: RunCommand, udp_port: int) -> None:
    server = await listening(run, "--udp-port", udp_port)
    client = await run("connect", HOST, port_of(server), "--udp-port", udp_port, "-f", "hex")
    await client.write(b"00\n\nnope\n")
    assert await client.wait() == 1
    assert await server.wait() == 0
    assert bytes(server.out.data) == b"\0"
    assert "* ended gracefully" in str(server.err)
    assert str(client.err).splitlines()[-1] == (
        "trio-sctp: line 3 of the input: 'nope' is not a message in hex digits, such as 00:15 ff"
    )
