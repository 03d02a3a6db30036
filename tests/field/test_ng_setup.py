"""The NG Setup example: a gNB and an AMF, a path that fails, and peers that are wrong."""

from __future__ import annotations

import contextlib
import functools
import re

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pycrate_asn1dir.NGAP")  # of the dependency group `examples`

import trio_sctp
from examples import ng_setup as ng
from examples.ng_setup import Elements
from trio_sctp import AssociationChannel, AssociationEnd, InitMsg, Ppid
from trio_sctp.testing import SimulatedNetwork

from .conftest import HOSTS, Homes, until_up

PORT = 38412
OTHER_PLMN = b"\x99\xf9\x99"
INCOMPATIBLE = ("protocol", "message-not-compatible-with-receiver-state")


async def connect() -> AssociationChannel:
    return await trio_sctp.open_association(HOSTS[0], PORT, options=ng.OPTIONS)


async def receive(peer: AssociationChannel) -> tuple[int, str, Elements]:
    message = await peer.receive()
    return message.stream, *ng.decode(message.data)


async def set_up(amf: AssociationChannel) -> None:
    await ng.send(amf, "NGSetupRequest", ng.gnb_of(ng.PLMN))
    stream, name, elements = await receive(amf)
    assert (stream, name, elements) == (0, "NGSetupResponse", ng.AMF)


async def complaint(peer: AssociationChannel) -> object:
    """The cause of an ErrorIndication that comes next."""
    stream, name, elements = await receive(peer)
    assert (stream, name) == (0, "ErrorIndication")
    return elements["Cause"]


@pytest.fixture
async def amf(programs: trio.Nursery) -> None:
    """An AMF that is up."""
    programs.start_soon(ng.run_amf, list(HOSTS), PORT)
    await until_up(connect)


async def test_ues_are_served_on_while_the_primary_path_is_cut(
    homes: Homes, capsys: pytest.CaptureFixture[str]
) -> None:
    """No UE is without its answer, and each has its answer on its stream."""
    paths = homes.paths
    options = [*ng.OPTIONS, *homes.server_options]
    serve = functools.partial(trio_sctp.serve, hosts=paths.server_hosts, options=options)

    async def session(amf: AssociationChannel, last: AssociationEnd | None) -> None:
        assert last is None, "the association was lost"
        await ng.serve_amf(amf, interval=0.05)

    printed = ""

    async def until_printed(*patterns: str) -> None:
        nonlocal printed
        while not all(re.search(pattern, printed) for pattern in patterns):
            await trio.sleep(0.01)
            printed += capsys.readouterr().out

    async with trio.open_nursery() as nursery:
        await nursery.start(functools.partial(serve, stack=paths.server), ng.serve_gnb, PORT)
        nursery.start_soon(
            functools.partial(
                trio_sctp.reconnect,
                options=[*ng.OPTIONS, *homes.client_options],
                local_hosts=paths.client_hosts,
                stack=paths.client,
            ),
            session,
            paths.server_hosts,
            PORT,
        )
        first = re.escape(paths.server_hosts[0])
        second = re.escape(paths.client_hosts[1])  # of the gNB, which the AMF has to ask
        await until_printed("UE 10:", f"path to {second}: ADDR_CONFIRMED")
        paths.cut()
        await until_printed(f"path to {first}: ADDR_UNREACHABLE")
        at_the_cut = len(re.findall("^UE", printed, re.MULTILINE))
        await until_printed(f"UE {at_the_cut + 10}:")
        paths.mend()
        await until_printed(f"path to {first}: ADDR_AVAILABLE")
        nursery.cancel_scope.cancel()
    answers = re.findall(r"^UE (\d+): b'this is UE (\d+)' on stream (\d+)$", printed, re.MULTILINE)
    ues = sorted(int(ue) for ue, _, _ in answers)
    assert ues == [*range(1, len(ues) + 1)]
    assert all(ue == said and int(stream) == 1 + int(ue) % 7 for ue, said, stream in answers)


async def test_what_a_gnb_tells_and_is_told(amf: None) -> None:
    async with await connect() as gnb:
        await set_up(gnb)
        elements = {
            "RAN-UE-NGAP-ID": 4711,
            "NAS-PDU": b"hello",
            "UserLocationInformation": ("userLocationInformationNR", ng.CELL),
            "RRCEstablishmentCause": "emergency",
        }
        for number in 1, 2:
            await ng.send(gnb, "InitialUEMessage", elements, 5)
            answer = {"AMF-UE-NGAP-ID": number, "RAN-UE-NGAP-ID": 4711, "NAS-PDU": b"hello"}
            assert await receive(gnb) == (5, "DownlinkNASTransport", answer)


async def test_a_gnb_of_another_plmn_is_refused_and_asks_again_later(
    amf: None, stack: SimulatedNetwork | None, capsys: pytest.CaptureFixture[str]
) -> None:
    async with await connect() as gnb:
        await ng.send(gnb, "NGSetupRequest", ng.gnb_of(OTHER_PLMN))
        cause = "misc", "unknown-PLMN-or-SNPN"
        expected = {"Cause": cause, "TimeToWait": "v10s"}
        assert await receive(gnb) == (0, "NGSetupFailure", expected)
        await ng.send(gnb, "InitialUEMessage", {})
        assert await complaint(gnb) == INCOMPATIBLE
        await set_up(gnb)
    if stack:
        capsys.readouterr()
        with trio.move_on_after(25):
            async with await connect() as gnb:
                await ng.serve_amf(gnb, plmn=OTHER_PLMN)
        assert capsys.readouterr().out.count("refused: ('misc', 'unknown-PLMN-or-SNPN')") == 3


REQUEST = ng.encode("NGSetupRequest", ng.gnb_of(ng.PLMN))
WRONG = {
    "a byte": (b"\0", Ppid.NGAP, ("protocol", "transfer-syntax-error")),
    "garbage": (b"GET / HTTP/1.1\r\n\r\n", Ppid.NGAP, ("protocol", "transfer-syntax-error")),
    "half a message": (REQUEST[:25], Ppid.NGAP, ("protocol", "transfer-syntax-error")),
    "another protocol": (REQUEST, Ppid.S1AP, ("transport", "unspecified")),
    "no PPID": (REQUEST, 0, ("transport", "unspecified")),
    "an extension": (b"\x80" + REQUEST, Ppid.NGAP, ("protocol", "abstract-syntax-error-reject")),
    "no elements": (
        ng.encode("NGSetupRequest", {}),
        Ppid.NGAP,
        ("protocol", "abstract-syntax-error-reject"),
    ),
    "an answer": (ng.encode("NGSetupResponse", ng.AMF), Ppid.NGAP, INCOMPATIBLE),
    "a UE before the setup": (ng.encode("InitialUEMessage", {}), Ppid.NGAP, INCOMPATIBLE),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_wrong_is_told_and_the_association_goes_on(name: str, amf: None) -> None:
    data, ppid, cause = WRONG[name]
    async with await connect() as gnb:
        await gnb.send(data, ppid=ppid)
        assert await complaint(gnb) == cause
        await ng.send(gnb, "ErrorIndication", {"Cause": cause})  # is not answered
        await set_up(gnb)


@given(st.binary(max_size=len(REQUEST)), st.integers(0, len(REQUEST)))
def test_any_bytes_are_read_or_wrong(data: bytes, at: int) -> None:
    mixed = REQUEST[:at] + data + REQUEST[at + len(data) :]
    with contextlib.suppress(ng.Wrong):
        name, elements = ng.decode(mixed)
        assert isinstance(name, str)
        assert isinstance(elements, Elements)


async def test_a_gnb_with_a_single_stream_is_put_out_and_others_are_served(amf: None) -> None:
    single = await trio_sctp.open_association(HOSTS[0], PORT, options=[InitMsg(max_instreams=1)])
    end = await single.wait_ended()
    assert end.reason == b"NGAP needs a stream for UEs besides stream 0"
    await single.aclose()
    async with await connect() as gnb:
        await set_up(gnb)


async def test_a_gnb_tells_an_amf_that_is_wrong(
    programs: trio.Nursery, capsys: pytest.CaptureFixture[str]
) -> None:
    causes: list[object] = []
    told = trio.Event()

    async def misbehave(gnb: AssociationChannel) -> None:
        assert (await receive(gnb))[1] == "NGSetupRequest"
        for data in b"garbage", REQUEST:
            await gnb.send(data, ppid=Ppid.NGAP)
            causes.append(await complaint(gnb))
        told.set()

    await programs.start(trio_sctp.serve, misbehave, PORT)
    programs.start_soon(ng.run_gnb, [HOSTS[0]], PORT)
    await told.wait()
    assert causes == [("protocol", "transfer-syntax-error"), INCOMPATIBLE]
