"""The Diameter example: what peers say to each other, and to peers that are wrong."""

from __future__ import annotations

import contextlib

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

import trio_sctp
from examples import diameter_peer as diameter
from examples.diameter_peer import ERROR, PROXIABLE, REQUEST, Avps, Command, Header, Result
from trio_sctp import AssociationChannel, AssociationEnd, AssociationLost, Ppid
from trio_sctp.testing import SimulatedNetwork

from .conftest import until_up

HOST, PORT = "127.0.0.1", 3868
APPLICATION = diameter.AUTH_APPLICATION_ID, diameter.unsigned32(diameter.CREDIT_CONTROL)
CAPABILITIES: Avps = [(diameter.ORIGIN_HOST, b"us.example.net"), APPLICATION]


def request(command: int, *avps: tuple[int, bytes], application: int = 0) -> bytes:
    flags = REQUEST | PROXIABLE if application else REQUEST
    return diameter.encode(Header(flags, command, application, 17, 4), [*avps])


async def connect() -> AssociationChannel:
    return await trio_sctp.open_association(HOST, PORT)


async def receive(peer: AssociationChannel) -> tuple[Header, dict[int, bytes]]:
    message = await peer.receive()
    assert (message.stream, message.ppid) == (0, Ppid.DIAMETER)
    return diameter.decode_header(message.data), dict(diameter.decode_avps(message.data))


async def ask(peer: AssociationChannel, data: bytes) -> Result:
    """Ask, and give the answer's result."""
    await peer.send(data, ppid=Ppid.DIAMETER)
    header, avps = await receive(peer)
    asked = diameter.decode_header(data)
    result = Result(int.from_bytes(avps[diameter.RESULT_CODE], "big"))
    assert header.flags == asked.flags - REQUEST + (ERROR if 3000 <= result < 4000 else 0)
    assert header[1:] == asked[1:]
    assert avps[diameter.ORIGIN_HOST] == b"server.example.org"
    assert avps[diameter.ORIGIN_REALM] == b"example.org"
    return result


async def open_peer() -> AssociationChannel:
    peer = await connect()
    assert await ask(peer, request(Command.CAPABILITIES_EXCHANGE, *CAPABILITIES)) is Result.SUCCESS
    return peer


async def until_printed(capsys: pytest.CaptureFixture[str], *wanted: str) -> None:
    """Read on until all of it was printed."""
    printed = ""
    while not all(text in printed for text in wanted):
        await trio.sleep(0.001)
        printed += capsys.readouterr().out


@pytest.fixture
async def server(programs: trio.Nursery) -> None:
    """A server that is up."""
    programs.start_soon(diameter.serve, HOST, PORT)
    await until_up(connect)


async def test_a_client_opens_and_takes_leave(
    server: None, capsys: pytest.CaptureFixture[str]
) -> None:
    async with trio.open_nursery() as client:
        client.start_soon(diameter.connect, HOST, PORT, 0.2)
        await until_printed(capsys, "open: 'server.example.org'", "open: 'client.example.org'")


async def test_capabilities_tell_addresses_vendor_and_product(server: None) -> None:
    async with await connect() as peer:
        await peer.send(request(Command.CAPABILITIES_EXCHANGE, *CAPABILITIES), ppid=Ppid.DIAMETER)
        _, avps = await receive(peer)
        assert avps[diameter.HOST_IP_ADDRESS] == b"\0\1\x7f\0\0\1"
        assert avps[diameter.VENDOR_ID] == bytes(4)
        assert avps[diameter.PRODUCT_NAME] == b"trio_sctp"
        assert APPLICATION in avps.items()


async def test_a_watchdog_is_answered_and_leave_is_taken(server: None) -> None:
    async with await open_peer() as peer:
        assert await ask(peer, request(Command.DEVICE_WATCHDOG)) is Result.SUCCESS
        leave = request(Command.DISCONNECT_PEER, (diameter.DISCONNECT_CAUSE, bytes(4)))
        assert await ask(peer, leave) is Result.SUCCESS
        assert (await peer.wait_ended()).graceful


REFUSED_BEFORE = {
    "no application": ([CAPABILITIES[0]], Result.NO_COMMON_APPLICATION),
    "another application": (
        [CAPABILITIES[0], (diameter.AUTH_APPLICATION_ID, diameter.unsigned32(16777251))],
        Result.NO_COMMON_APPLICATION,
    ),
    "an application of one byte": (
        [CAPABILITIES[0], (diameter.AUTH_APPLICATION_ID, b"\4")],
        Result.NO_COMMON_APPLICATION,
    ),
    "no name": ([APPLICATION], Result.MISSING_AVP),
}


@pytest.mark.parametrize("name", REFUSED_BEFORE)
async def test_capabilities_that_do_not_fit_are_refused_and_the_server_goes_on(
    name: str, server: None
) -> None:
    avps, result = REFUSED_BEFORE[name]
    async with await connect() as peer:
        assert await ask(peer, request(Command.CAPABILITIES_EXCHANGE, *avps)) is result
        assert (await peer.wait_ended()).graceful
    async with await open_peer():
        pass


ABORTED = {
    "garbage": b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "a watchdog": request(Command.DEVICE_WATCHDOG),
    "half a header": request(Command.CAPABILITIES_EXCHANGE, *CAPABILITIES)[:19],
}


@pytest.mark.parametrize("name", ABORTED)
async def test_who_does_not_begin_with_capabilities_is_put_out(name: str, server: None) -> None:
    stranger = await connect()
    await stranger.send(ABORTED[name])
    assert (await stranger.wait_ended()).reason == b"that is not Diameter, or not what comes first"
    await stranger.aclose()
    async with await open_peer():
        pass


WATCHDOG = request(Command.DEVICE_WATCHDOG, *CAPABILITIES)
WRONG = {
    "another version": (b"\2" + WATCHDOG[1:], Result.UNSUPPORTED_VERSION),
    "half a message": (WATCHDOG[:30], Result.INVALID_MESSAGE_LENGTH),
    "two messages": (WATCHDOG + WATCHDOG, Result.INVALID_MESSAGE_LENGTH),
    "a long AVP": (
        b"\1\0\0\x1c" + WATCHDOG[4:20] + bytes.fromhex("0000010840ffffff"),
        Result.INVALID_AVP_LENGTH,
    ),
    "an AVP without a length": (
        b"\1\0\0\x1c" + WATCHDOG[4:20] + bytes.fromhex("0000010840000000"),
        Result.INVALID_AVP_LENGTH,
    ),
    "another application": (
        request(272, *CAPABILITIES, application=77),
        Result.APPLICATION_UNSUPPORTED,
    ),
    "a request of the application": (
        request(272, *CAPABILITIES, application=4),
        Result.COMMAND_UNSUPPORTED,
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_wrong_is_refused_and_the_connection_goes_on(name: str, server: None) -> None:
    data, result = WRONG[name]
    async with await open_peer() as peer:
        assert await ask(peer, data) is result
        answer = diameter.encode(Header(0, 272, 4, 1, 1), [])
        await peer.send(answer)  # to what nobody has asked
        await peer.send(answer[:30] + b"half")
        assert await ask(peer, WATCHDOG) is Result.SUCCESS


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_read_or_refused(data: bytes, headed: bool) -> None:
    if headed:
        data = (1 << 24 | 20 + len(data)).to_bytes(4, "big") + WATCHDOG[4:20] + data
    if len(data) >= 20:
        diameter.decode_header(data)
        with contextlib.suppress(diameter.Refused):
            diameter.decode_avps(data)


async def test_a_client_that_is_refused_ends(
    programs: trio.Nursery, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refuse(client: AssociationChannel) -> None:
        header, _ = await receive(client)
        result = diameter.unsigned32(Result.NO_COMMON_APPLICATION)
        answer = diameter.encode(header._replace(flags=0), [(diameter.RESULT_CODE, result)])
        await client.send(answer)
        await client.wait_ended()

    await programs.start(trio_sctp.serve, refuse, PORT)
    await diameter.connect(HOST, PORT)
    assert "refused by" in capsys.readouterr().out


async def test_a_server_whose_program_hangs_is_suspect_and_then_given_up(
    programs: trio.Nursery, stack: SimulatedNetwork | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its stack answers, so SCTP sees nothing wrong.  The client comes back, and is served."""
    asked: list[list[int]] = []
    alive = trio.Event()
    ends: list[AssociationEnd] = []
    times: list[float] = []

    async def hang(client: AssociationChannel) -> None:
        asked.append(commands := [])
        with contextlib.suppress(AssociationLost):
            while True:
                header, _ = await receive(client)
                commands.append(header.command)
                times.append(trio.current_time())
                if header.command == Command.CAPABILITIES_EXCHANGE:
                    success = diameter.RESULT_CODE, diameter.unsigned32(Result.SUCCESS)
                    avps = [success, *CAPABILITIES]
                    await client.send(diameter.encode(header._replace(flags=0), avps))
                elif len(asked) > 1:
                    await client.send(diameter.encode(header._replace(flags=0), []))
                    if asked[1].count(Command.DEVICE_WATCHDOG) == 2:
                        alive.set()
        ends.append(await client.wait_ended())
        times.append(trio.current_time())

    await programs.start(trio_sctp.serve, hang, PORT)
    tw = diameter.TW if stack else 0.1
    programs.start_soon(diameter.connect, HOST, PORT, 1e9, tw)
    await alive.wait()
    assert ends[0].reason == b"no sign of life"
    assert asked[0] == [Command.CAPABILITIES_EXCHANGE, Command.DEVICE_WATCHDOG]
    assert "suspect: 'us.example.net'" in capsys.readouterr().out
    if stack:
        begun, watchdog, lost = times[:3]
        assert 28 <= watchdog - begun <= 33
        assert 56 <= lost - watchdog <= 65


async def test_a_client_that_says_nothing_is_put_out(
    server: None, stack: SimulatedNetwork | None
) -> None:
    if stack is None:
        pytest.skip("only in virtual time nobody has to wait")
    silent = await connect()
    assert (await silent.wait_ended()).reason == b"no sign of life"
    await silent.aclose()
