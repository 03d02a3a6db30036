"""A gNB and an AMF: NG Setup, and UEs that are served on while a path fails (3GPP TS 38.412).

    python -m examples.ng_setup amf 127.0.0.1 127.0.0.2
    python -m examples.ng_setup gnb 127.0.0.1 127.0.0.2

NGAP messages (TS 38.413) are ASN.1, so this needs pycrate: ``pip install pycrate``.  That is 270 MB
on disk, under the LGPL.  To import its NGAP takes half a second and 27 MB; the first time, as
Python has to compile it, three seconds and 260 MB.

What concerns no UE has a stream of its own, 0, and all of one UE goes on one of the others.  Both
ends notice within three seconds that a path is dead.  What phones and the AMF say to each other,
NAS, is opaque to a gNB, and left out here: the AMF says what the UE said.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import trio
from pycrate_asn1dir.NGAP import NGAP_PDU_Descriptions
from pycrate_core.utils import PycrateErr

import trio_sctp
from trio_sctp import (
    Association,
    AssociationChannel,
    AssociationEnd,
    InitMsg,
    PeerAddressChange,
    Ppid,
)

OPTIONS = [*trio_sctp.timers(detect=3), InitMsg(num_ostreams=8)]
PDU = NGAP_PDU_Descriptions.NGAP_PDU  # one for the process: it holds the last value
PLMN = b"\x00\xf1\x10"  # 001 01, for tests
SLICES = [{"s-NSSAI": {"sST": b"\x01"}}]

MESSAGES = {  # what it is, its procedure, and what who does not know it shall do
    "NGSetupRequest": ("initiatingMessage", 21, "reject"),
    "NGSetupResponse": ("successfulOutcome", 21, "reject"),
    "NGSetupFailure": ("unsuccessfulOutcome", 21, "reject"),
    "InitialUEMessage": ("initiatingMessage", 15, "ignore"),
    "DownlinkNASTransport": ("initiatingMessage", 4, "ignore"),
    "ErrorIndication": ("initiatingMessage", 9, "ignore"),
}
ELEMENTS = {
    "AMFName": (1, "reject"),
    "AMF-UE-NGAP-ID": (10, "reject"),
    "Cause": (15, "ignore"),
    "PagingDRX": (21, "ignore"),
    "GlobalRANNodeID": (27, "reject"),
    "NAS-PDU": (38, "reject"),
    "PLMNSupportList": (80, "reject"),
    "RANNodeName": (82, "ignore"),
    "RAN-UE-NGAP-ID": (85, "reject"),
    "RelativeAMFCapacity": (86, "ignore"),
    "RRCEstablishmentCause": (90, "ignore"),
    "ServedGUAMIList": (96, "reject"),
    "SupportedTAList": (102, "reject"),
    "TimeToWait": (107, "ignore"),
    "UserLocationInformation": (121, "reject"),
}


GUAMI = {"pLMNIdentity": PLMN, "aMFRegionID": (1, 8), "aMFSetID": (1, 10), "aMFPointer": (0, 6)}
AMF = {
    "AMFName": "amf",
    "ServedGUAMIList": [{"gUAMI": GUAMI}],
    "RelativeAMFCapacity": 255,
    "PLMNSupportList": [{"pLMNIdentity": PLMN, "sliceSupportList": SLICES}],
}
CELL = {
    "nR-CGI": {"pLMNIdentity": PLMN, "nRCellIdentity": (1, 36)},
    "tAI": {"pLMNIdentity": PLMN, "tAC": b"\x00\x00\x01"},
}


def gnb_of(plmn: bytes) -> dict[str, object]:
    """What a gNB of a PLMN tells of itself."""
    broadcast = [{"pLMNIdentity": plmn, "tAISliceSupportList": SLICES}]
    node = {"pLMNIdentity": plmn, "gNB-ID": ("gNB-ID", (1, 22))}
    return {
        "GlobalRANNodeID": ("globalGNB-ID", node),
        "RANNodeName": "gnb",
        "SupportedTAList": [{"tAC": b"\x00\x00\x01", "broadcastPLMNList": broadcast}],
        "PagingDRX": "v128",
    }


class Wrong(Exception):
    """A message cannot be handled; its argument is the `Cause` for an ErrorIndication."""


class Elements(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        raise Wrong(("protocol", "abstract-syntax-error-reject"))


def encode(name: str, elements: Mapping[str, object]) -> bytes:
    outcome, procedure, criticality = MESSAGES[name]
    content = [
        {"id": ELEMENTS[element][0], "criticality": ELEMENTS[element][1], "value": (element, value)}
        for element, value in elements.items()
    ]
    body = {"value": (name, {"protocolIEs": content}), "criticality": criticality}
    PDU.set_val((outcome, {"procedureCode": procedure, **body}))
    data: bytes = PDU.to_aper()
    return data


def decode(data: bytes) -> tuple[str, Elements]:
    try:
        PDU.from_aper(data)
    except PycrateErr as error:
        raise Wrong(("protocol", "transfer-syntax-error")) from error
    match PDU.get_val():
        case (_, {"value": (str(name), {"protocolIEs": list(content)})}):
            return name, Elements(element["value"] for element in content)
    raise Wrong(("protocol", "abstract-syntax-error-reject"))


async def send(
    peer: AssociationChannel, name: str, elements: Mapping[str, object], stream: int = 0
) -> None:
    await peer.send(encode(name, elements), stream=stream, ppid=Ppid.NGAP)


async def watch_paths(peer: AssociationChannel) -> None:
    async with peer.events() as events:
        async for event in events:
            if isinstance(event, PeerAddressChange):
                print(f"path to {event.address[0]}: {event.state}")


Handler = Callable[[str, Elements, int], Awaitable[None]]


async def converse(peer: AssociationChannel, handle: Handler) -> None:
    """Handle what arrives, with its stream, until the peer shuts down; tell it what is wrong."""
    if peer.outbound_streams < 2:
        peer.abort(b"NGAP needs a stream for UEs besides stream 0")
    async for message in peer:
        try:
            if message.ppid != Ppid.NGAP:
                raise Wrong(("transport", "unspecified"))
            name, elements = decode(message.data)
            if name == "ErrorIndication":
                print(f"{peer!r} complains: {elements.get('Cause')}")
            else:
                await handle(name, elements, message.stream)
        except Wrong as wrong:
            (cause,) = wrong.args
            print(f"{peer!r} is wrong: {cause}")
            await send(peer, "ErrorIndication", {"Cause": cause})


async def serve_gnb(gnb: AssociationChannel) -> None:
    """The AMF's side."""
    set_up, ids = False, itertools.count(1)

    async def handle(name: str, elements: Elements, stream: int) -> None:
        nonlocal set_up
        match name:
            case "NGSetupRequest":
                areas, _ = elements["SupportedTAList"], elements["GlobalRANNodeID"]
                plmns = [
                    item["pLMNIdentity"] for area in areas for item in area["broadcastPLMNList"]
                ]
                if set_up := PLMN in plmns:
                    print(f"{elements.get('RANNodeName', 'a gNB')!r} is set up")
                    await send(gnb, "NGSetupResponse", AMF)
                else:
                    cause = "misc", "unknown-PLMN-or-SNPN"
                    await send(gnb, "NGSetupFailure", {"Cause": cause, "TimeToWait": "v10s"})
            case "InitialUEMessage" if set_up:
                ids_and_nas = {
                    "AMF-UE-NGAP-ID": next(ids),
                    "RAN-UE-NGAP-ID": elements["RAN-UE-NGAP-ID"],
                    "NAS-PDU": elements["NAS-PDU"],
                }
                await send(gnb, "DownlinkNASTransport", ids_and_nas, stream)
            case _:
                raise Wrong(("protocol", "message-not-compatible-with-receiver-state"))

    async with gnb.while_up(), trio.open_nursery() as nursery:
        nursery.start_soon(watch_paths, gnb)
        await converse(gnb, handle)
        nursery.cancel_scope.cancel()


async def serve_amf(amf: AssociationChannel, *, interval: float = 1.0, plmn: bytes = PLMN) -> None:
    """The gNB's side: after the setup a UE comes whenever an interval is over."""

    set_up = trio.Event()

    async def bring_ues() -> None:
        await set_up.wait()
        for ue in itertools.count(1):
            message = {
                "RAN-UE-NGAP-ID": ue,
                "NAS-PDU": b"this is UE %d" % ue,
                "UserLocationInformation": ("userLocationInformationNR", CELL),
                "RRCEstablishmentCause": "mo-Signalling",
            }
            await send(amf, "InitialUEMessage", message, 1 + ue % (amf.outbound_streams - 1))
            await trio.sleep(interval)

    async def handle(name: str, elements: Elements, stream: int) -> None:
        match name:
            case "NGSetupResponse" if not set_up.is_set():
                print(f"set up with {elements['AMFName']!r}")
                set_up.set()
            case "NGSetupFailure":
                print(f"refused: {elements['Cause']}, for {elements.get('TimeToWait')}")
                await trio.sleep(int(elements.get("TimeToWait", "v60s").strip("vs")))
                await send(amf, "NGSetupRequest", gnb_of(plmn))
            case "DownlinkNASTransport":
                print(
                    f"UE {elements['RAN-UE-NGAP-ID']}: {elements['NAS-PDU']!r} on stream {stream}"
                )
            case _:
                raise Wrong(("protocol", "message-not-compatible-with-receiver-state"))

    async with amf.while_up(), trio.open_nursery() as nursery:
        nursery.start_soon(watch_paths, amf)
        nursery.start_soon(bring_ues)
        await send(amf, "NGSetupRequest", gnb_of(plmn))
        await converse(amf, handle)
        nursery.cancel_scope.cancel()


async def run_amf(hosts: list[str], port: int) -> None:
    def report(error: Exception, gnb: Association) -> None:
        print(f"{gnb!r}: {error!r}")

    await trio_sctp.serve(serve_gnb, port, hosts=hosts, options=OPTIONS, on_error=report)


async def run_gnb(hosts: list[str], port: int) -> None:
    async def session(amf: AssociationChannel, last: AssociationEnd | None) -> None:
        await serve_amf(amf)

    await trio_sctp.reconnect(session, hosts, port, options=OPTIONS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    sides = {"amf": run_amf, "gnb": run_gnb}
    parser.add_argument("side", choices=sides)
    parser.add_argument("hosts", nargs="+", help="the AMF's addresses")
    parser.add_argument("--port", type=int, default=Ppid.NGAP.default_port)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # associations that come and go
    try:
        trio.run(sides[arguments.side], arguments.hosts, arguments.port)
    except OSError as error:
        sys.exit(error.strerror)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
