"""The M3UA example: what a gateway and an ASP say to each other, and to peers that are wrong."""

from __future__ import annotations

import contextlib
import struct

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

import trio_sctp
from examples import m3ua_application_server as m3ua
from examples.m3ua_application_server import Code, Kind, Transfer
from trio_sctp import AssociationChannel, AssociationEnd, AssociationLost, InitMsg, Ppid
from trio_sctp.testing import SimulatedNetwork

from ..conformance.helpers import until
from .conftest import until_up

HOST, PORT = "127.0.0.1", 2905
ANSWER = "to the SS7 network: Transfer(opc=2, dpc=1, service=8, network=2, priority=0, sls={}, "


async def connect() -> AssociationChannel:
    return await trio_sctp.open_association(HOST, PORT, options=m3ua.STREAMS)


async def until_printed(capsys: pytest.CaptureFixture[str], *wanted: str) -> None:
    """Read on until all of it was printed."""
    printed = ""
    while not all(text in printed for text in wanted):
        await trio.sleep(0.001)
        printed += capsys.readouterr().out


async def receive(peer: AssociationChannel) -> tuple[int, Kind, dict[int, bytes]]:
    """The next message: its stream, its kind and its parameters."""
    message = await peer.receive()
    assert message.ppid == Ppid.M3UA
    return message.stream, *m3ua.decode(message.data)


async def refusal(peer: AssociationChannel) -> Code:
    """The code of an ERR that comes next."""
    stream, kind, parameters = await receive(peer)
    assert (stream, kind) == (0, Kind.ERR)
    return Code(*struct.unpack("!L", parameters[m3ua.ERROR_CODE]))


async def come_up(asp: AssociationChannel) -> None:
    for request, answer in (Kind.ASPUP, Kind.ASPUP_ACK), (Kind.ASPAC, Kind.ASPAC_ACK):
        await m3ua.send(asp, request, {})
        assert await receive(asp) == (0, answer, {})


@pytest.fixture
async def gateway(programs: trio.Nursery) -> None:
    """A gateway that is up."""
    programs.start_soon(m3ua.run_gateway, HOST, PORT)
    await until_up(connect)


async def test_an_asp_answers_what_comes_from_the_ss7_network(
    programs: trio.Nursery, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.start_soon(m3ua.run_asp, HOST, PORT)  # it waits for its gateway
    programs.start_soon(m3ua.run_gateway, HOST, PORT)
    await until_printed(capsys, "active", *(ANSWER.format(sls) for sls in range(16)))


async def test_data_has_a_stream_by_its_sls_and_none_before_the_asp_is_active(
    gateway: None,
) -> None:
    async with await connect() as asp:
        await come_up(asp)
        for sls in range(16):
            stream, kind, parameters = await receive(asp)
            assert kind is Kind.DATA
            assert m3ua.decode_transfer(parameters) == Transfer(1, 2, 8, 2, 0, sls, b"hello")
            assert stream == 1 + sls


async def test_an_asp_gets_no_data_while_it_is_inactive(
    gateway: None, stack: SimulatedNetwork | None
) -> None:
    if stack is None:
        pytest.skip("only in virtual time nobody has to wait")
    async with await connect() as asp:
        await come_up(asp)
        await m3ua.send(asp, Kind.ASPIA, {})
        with trio.move_on_after(45):
            last = await receive(asp)
            while last[1] is not Kind.ASPIA_ACK:
                last = await receive(asp)
            while True:  # what has left on other streams may come behind that
                last = await receive(asp)
        assert last[1] is Kind.BEAT
    async with await connect() as asp:
        await come_up(asp)
        await m3ua.send(asp, Kind.ASPDN, {})
        while (await receive(asp))[1] is not Kind.ASPDN_ACK:
            pass
        await m3ua.send(asp, Kind.ASPAC, {})
        assert await refusal(asp) is Code.UNEXPECTED_MESSAGE


WRONG = {
    "empty": (b"\0", Code.PROTOCOL_ERROR),
    "garbage": (b"GET / HTTP/1.1\r\n\r\n", Code.INVALID_VERSION),
    "another version": (struct.pack("!BxBBL", 2, 3, 1, 8), Code.INVALID_VERSION),
    "an unknown class": (struct.pack("!BxBBL", 1, 77, 1, 8), Code.UNSUPPORTED_CLASS),
    "an unknown type": (struct.pack("!BxBBL", 1, 3, 77, 8), Code.UNSUPPORTED_TYPE),
    "half a message": (m3ua.encode(Kind.ASPUP, {4: b"somebody"})[:12], Code.PROTOCOL_ERROR),
    "too long": (m3ua.encode(Kind.ASPUP, {}) + b"more", Code.PROTOCOL_ERROR),
    "half a parameter": (struct.pack("!BxBBLHH", 1, 3, 1, 12, 4, 400), Code.PARAMETER_FIELD),
    "no parameter": (struct.pack("!BxBBLHH", 1, 3, 1, 12, 4, 0), Code.PARAMETER_FIELD),
    "three bytes": (struct.pack("!BxBBL3s", 1, 3, 1, 11, b"abc"), Code.PARAMETER_FIELD),
    "not yet up": (m3ua.encode(Kind.ASPAC, {}), Code.UNEXPECTED_MESSAGE),
    "an answer": (m3ua.encode(Kind.ASPUP_ACK, {}), Code.UNEXPECTED_MESSAGE),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_wrong_is_refused_and_the_association_goes_on(
    name: str, gateway: None
) -> None:
    data, code = WRONG[name]
    async with await connect() as asp:
        await asp.send(data, ppid=Ppid.M3UA)
        assert await refusal(asp) is code
        await come_up(asp)


@given(st.binary(max_size=40), st.sampled_from(Kind), st.booleans())
def test_any_bytes_are_read_or_refused(data: bytes, kind: Kind, headed: bool) -> None:
    if headed:
        data = struct.pack("!BxBBL", 1, kind >> 8, kind & 0xFF, 8 + len(data)) + data
    with contextlib.suppress(m3ua.Refused):
        m3ua.decode_transfer(m3ua.decode(data)[1])


async def test_an_asp_that_cannot_decide_is_served_on(gateway: None) -> None:
    async with await connect() as asp:
        await m3ua.send(asp, Kind.ASPUP, {})
        for _ in range(5):
            for kind in Kind.ASPAC, Kind.ASPAC, Kind.ASPIA:
                await m3ua.send(asp, kind, {})
        answers = [Kind.ASPUP_ACK, *[Kind.ASPAC_ACK, Kind.ASPAC_ACK, Kind.ASPIA_ACK] * 5]
        while answers:
            kind = (await receive(asp))[1]
            assert kind is Kind.DATA or kind is answers.pop(0)


async def test_an_active_asp_that_comes_up_once_more_is_told_that_it_is_inactive(
    gateway: None,
) -> None:
    async with await connect() as asp:
        await come_up(asp)
        await m3ua.send(asp, Kind.ASPUP, {})
        kinds = []
        while Kind.ERR not in kinds:
            kind, parameters = (await receive(asp))[1:]
            kinds += [kind] if kind is not Kind.DATA else []
        assert kinds == [Kind.ASPUP_ACK, Kind.ERR]
        assert parameters[m3ua.ERROR_CODE] == struct.pack("!L", Code.UNEXPECTED_MESSAGE)


async def test_data_that_is_wrong_is_refused(gateway: None) -> None:
    async with await connect() as asp:
        await m3ua.send(asp, Kind.ASPUP, {})
        assert (await receive(asp))[1] is Kind.ASPUP_ACK
        for stream, parameters, code in (
            (0, {m3ua.PROTOCOL_DATA: bytes(20)}, Code.INVALID_STREAM),
            (1, {}, Code.MISSING_PARAMETER),
            (1, {m3ua.PROTOCOL_DATA: bytes(11)}, Code.PARAMETER_FIELD),
        ):
            await asp.send(m3ua.encode(Kind.DATA, parameters), stream=stream, ppid=Ppid.M3UA)
            assert await refusal(asp) is code


async def test_no_error_answers_an_error(gateway: None) -> None:
    async with await connect() as asp:
        await asp.send(struct.pack("!BxBBL", 2, 0, 0, 8), ppid=Ppid.M3UA)
        await m3ua.send(asp, Kind.ERR, {})
        await come_up(asp)  # with nothing before the answers


async def test_a_peer_with_a_single_stream_is_put_out_and_others_are_served(gateway: None) -> None:
    single = await trio_sctp.open_association(HOST, PORT, options=[InitMsg(max_instreams=1)])
    end = await single.wait_ended()
    assert end.reason == b"M3UA needs a stream besides stream 0"
    await single.aclose()
    async with await connect() as asp:
        await come_up(asp)


async def test_a_heartbeat_comes_back_with_its_data(gateway: None) -> None:
    async with await connect() as asp:
        await m3ua.send(asp, Kind.BEAT, {m3ua.HEARTBEAT_DATA: b"17"})
        assert await receive(asp) == (0, Kind.BEAT_ACK, {m3ua.HEARTBEAT_DATA: b"17"})


async def test_a_gateway_whose_program_hangs_is_given_up(
    programs: trio.Nursery, stack: SimulatedNetwork | None
) -> None:
    """Its stack answers, so SCTP sees nothing wrong."""
    asked: list[Kind] = []
    ends: list[AssociationEnd] = []

    async def hang(asp: AssociationChannel) -> None:
        with contextlib.suppress(AssociationLost):
            async for message in asp:
                asked.append(m3ua.decode(message.data)[0])
        ends.append(await asp.wait_ended())

    await programs.start(trio_sctp.serve, hang, PORT)
    async with await connect() as gateway:
        await m3ua.application_server(gateway, t_beat=m3ua.T_BEAT if stack else 0.1)
    await until(lambda: ends)
    assert ends[0].reason == b"no answer to a heartbeat"
    assert asked == [Kind.ASPUP, Kind.BEAT]
