"""The payload protocol identifiers that IANA has registered."""

from __future__ import annotations

from typing import Final

from ._values import NamedInt


class Ppid(NamedInt):
    """Payload protocol identifiers by name, for ``ppid=`` and `Message.ppid`.

    They say whose protocol a message is in, to whoever looks at a capture; SCTP itself does not
    look at them.  An integer that is not here is as good: IANA registers more, and private ones
    need no registration.  Those of DTLS are for messages in DTLS over SCTP.

    Source: IANA's registry "SCTP Payload Protocol Identifiers" (RFC 9260 section 15.5).
    """

    IUA = 1
    M2UA = 2
    M3UA = 3
    SUA = 4
    M2PA = 5
    V5UA = 6
    H248 = 7
    BICC = 8
    TALI = 9
    DUA = 10
    ASAP = 11
    ENRP = 12
    H323 = 13
    QIPC = 14
    SIMCO = 15
    DDP_SEGMENT = 16
    DDP_STREAM_SESSION_CONTROL = 17
    S1AP = 18
    RUA = 19
    HNBAP = 20
    FORCES_HP = 21
    FORCES_MP = 22
    FORCES_LP = 23
    SBC_AP = 24
    NBAP = 25
    X2AP = 27
    IRCP = 28
    LCS_AP = 29
    MPICH2 = 30
    SABP = 31
    FGP = 32
    PPP = 33
    CALCAPP = 34
    SSP = 35
    NPMP_CONTROL = 36
    NPMP_DATA = 37
    ECHO = 38
    DISCARD = 39
    DAYTIME = 40
    CHARGEN = 41
    RNA = 42
    M2AP = 43
    M3AP = 44
    SSH = 45
    DIAMETER = 46
    DIAMETER_DTLS = 47
    R14P = 48
    GDT = 49
    WEBRTC_DCEP = 50
    WEBRTC_STRING = 51
    WEBRTC_BINARY_PARTIAL = 52
    WEBRTC_BINARY = 53
    WEBRTC_STRING_PARTIAL = 54
    PUA = 55
    WEBRTC_STRING_EMPTY = 56
    WEBRTC_BINARY_EMPTY = 57
    XWAP = 58
    XW_CONTROL_PLANE = 59
    NGAP = 60
    XNAP = 61
    F1AP = 62
    HTTP = 63
    E1AP = 64
    ELE2 = 65
    NGAP_DTLS = 66
    XNAP_DTLS = 67
    F1AP_DTLS = 68
    E1AP_DTLS = 69
    E2_CP = 70
    E2_UP = 71
    E2_DU = 72
    W1AP = 73

    @property
    def default_port(self) -> int | None:
        """The SCTP port that IANA has registered for the protocol; None if it has none."""
        return _PORTS.get(self)


_PORTS: Final[dict[int, int]] = {
    Ppid.IUA: 9900,
    Ppid.M2UA: 2904,
    Ppid.M3UA: 2905,
    Ppid.SUA: 14001,
    Ppid.M2PA: 3565,
    Ppid.V5UA: 5675,
    Ppid.ASAP: 3863,
    Ppid.ENRP: 9901,
    Ppid.S1AP: 36412,
    Ppid.RUA: 29169,
    Ppid.HNBAP: 29169,
    Ppid.FORCES_HP: 6704,
    Ppid.FORCES_MP: 6705,
    Ppid.FORCES_LP: 6706,
    Ppid.SBC_AP: 29168,
    Ppid.X2AP: 36422,
    Ppid.LCS_AP: 9082,
    Ppid.ECHO: 7,
    Ppid.DISCARD: 9,
    Ppid.DAYTIME: 13,
    Ppid.CHARGEN: 19,
    Ppid.M2AP: 36443,
    Ppid.M3AP: 36444,
    Ppid.SSH: 22,
    Ppid.DIAMETER: 3868,
    Ppid.DIAMETER_DTLS: 5868,
    Ppid.XW_CONTROL_PLANE: 36462,
    Ppid.NGAP: 38412,
    Ppid.XNAP: 38422,
    Ppid.F1AP: 38472,
    Ppid.HTTP: 80,
    Ppid.E1AP: 38462,
    Ppid.NGAP_DTLS: 38412,
    Ppid.XNAP_DTLS: 38422,
    Ppid.F1AP_DTLS: 38472,
    Ppid.E1AP_DTLS: 38462,
    Ppid.W1AP: 37472,
}
