"""The registered payload protocol identifiers."""

from __future__ import annotations

from trio_sctp import Ppid

# As IANA has them, at its registries of payload protocol identifiers and of service names.
REGISTERED = """
IUA 1 9900
M2UA 2 2904
M3UA 3 2905
SUA 4 14001
M2PA 5 3565
V5UA 6 5675
ASAP 11 3863
ENRP 12 9901
S1AP 18 36412
RUA 19 29169
HNBAP 20 29169
FORCES_HP 21 6704
FORCES_MP 22 6705
FORCES_LP 23 6706
SBC_AP 24 29168
X2AP 27 36422
LCS_AP 29 9082
ECHO 38 7
DISCARD 39 9
DAYTIME 40 13
CHARGEN 41 19
M2AP 43 36443
M3AP 44 36444
SSH 45 22
DIAMETER 46 3868
DIAMETER_DTLS 47 5868
XW_CONTROL_PLANE 59 36462
NGAP 60 38412
XNAP 61 38422
F1AP 62 38472
HTTP 63 80
E1AP 64 38462
NGAP_DTLS 66 38412
XNAP_DTLS 67 38422
F1AP_DTLS 68 38472
E1AP_DTLS 69 38462
W1AP 73 37472
"""


def test_an_identifier_is_its_number_and_knows_its_port() -> None:
    with_port = {ppid.name: (int(ppid), ppid.default_port) for ppid in Ppid if ppid.default_port}
    lines = [line.split() for line in REGISTERED.split("\n") if line]
    assert with_port == {name: (int(number), int(port)) for name, number, port in lines}


def test_one_without_a_port() -> None:
    assert Ppid(53) is Ppid.WEBRTC_BINARY
    assert Ppid.WEBRTC_BINARY.default_port is None


def test_a_number_has_one_name() -> None:
    assert len({int(ppid) for ppid in Ppid}) == len(Ppid.__members__)
