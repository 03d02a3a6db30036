"""docs/tables/names-in-c.md has every name of Linux's SCTP, and what it says of them is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

import trio_sctp
from trio_sctp._kernel._layouts import Note, Opt

PAGE = (Path(__file__).parents[2] / "docs/tables/names-in-c.md").read_text()

LINUX = "6.17"
"""The version whose `<linux/sctp.h>` has the names and numbers below."""

HEADER = """
    SCTP_FUTURE_ASSOC=0 SCTP_CURRENT_ASSOC=1 SCTP_ALL_ASSOC=2 SCTP_RTOINFO=0 SCTP_ASSOCINFO=1
    SCTP_INITMSG=2 SCTP_NODELAY=3 SCTP_AUTOCLOSE=4 SCTP_SET_PEER_PRIMARY_ADDR=5
    SCTP_PRIMARY_ADDR=6 SCTP_ADAPTATION_LAYER=7 SCTP_DISABLE_FRAGMENTS=8 SCTP_PEER_ADDR_PARAMS=9
    SCTP_DEFAULT_SEND_PARAM=10 SCTP_EVENTS=11 SCTP_I_WANT_MAPPED_V4_ADDR=12 SCTP_MAXSEG=13
    SCTP_STATUS=14 SCTP_GET_PEER_ADDR_INFO=15 SCTP_DELAYED_ACK_TIME=16 SCTP_DELAYED_ACK=16
    SCTP_DELAYED_SACK=16 SCTP_CONTEXT=17 SCTP_FRAGMENT_INTERLEAVE=18
    SCTP_PARTIAL_DELIVERY_POINT=19 SCTP_MAX_BURST=20 SCTP_AUTH_CHUNK=21 SCTP_HMAC_IDENT=22
    SCTP_AUTH_KEY=23 SCTP_AUTH_ACTIVE_KEY=24 SCTP_AUTH_DELETE_KEY=25 SCTP_PEER_AUTH_CHUNKS=26
    SCTP_LOCAL_AUTH_CHUNKS=27 SCTP_GET_ASSOC_NUMBER=28 SCTP_GET_ASSOC_ID_LIST=29
    SCTP_AUTO_ASCONF=30 SCTP_PEER_ADDR_THLDS=31 SCTP_RECVRCVINFO=32 SCTP_RECVNXTINFO=33
    SCTP_DEFAULT_SNDINFO=34 SCTP_AUTH_DEACTIVATE_KEY=35 SCTP_REUSE_PORT=36
    SCTP_PEER_ADDR_THLDS_V2=37 SCTP_SOCKOPT_BINDX_ADD=100 SCTP_SOCKOPT_BINDX_REM=101
    SCTP_SOCKOPT_PEELOFF=102 SCTP_SOCKOPT_CONNECTX_OLD=107 SCTP_GET_PEER_ADDRS=108
    SCTP_GET_LOCAL_ADDRS=109 SCTP_SOCKOPT_CONNECTX=110 SCTP_SOCKOPT_CONNECTX3=111
    SCTP_GET_ASSOC_STATS=112 SCTP_PR_SUPPORTED=113 SCTP_DEFAULT_PRINFO=114
    SCTP_PR_ASSOC_STATUS=115 SCTP_PR_STREAM_STATUS=116 SCTP_RECONFIG_SUPPORTED=117
    SCTP_ENABLE_STREAM_RESET=118 SCTP_RESET_STREAMS=119 SCTP_RESET_ASSOC=120
    SCTP_ADD_STREAMS=121 SCTP_SOCKOPT_PEELOFF_FLAGS=122 SCTP_STREAM_SCHEDULER=123
    SCTP_STREAM_SCHEDULER_VALUE=124 SCTP_INTERLEAVING_SUPPORTED=125 SCTP_SENDMSG_CONNECT=126
    SCTP_EVENT=127 SCTP_ASCONF_SUPPORTED=128 SCTP_AUTH_SUPPORTED=129 SCTP_ECN_SUPPORTED=130
    SCTP_EXPOSE_POTENTIALLY_FAILED_STATE=131 SCTP_EXPOSE_PF_STATE=131
    SCTP_REMOTE_UDP_ENCAPS_PORT=132 SCTP_PLPMTUD_PROBE_INTERVAL=133 SCTP_PR_SCTP_NONE=0
    SCTP_PR_SCTP_TTL=16 SCTP_PR_SCTP_RTX=32 SCTP_PR_SCTP_PRIO=48 SCTP_PR_SCTP_MAX=48
    SCTP_PR_SCTP_MASK=48 SCTP_ENABLE_RESET_STREAM_REQ=1 SCTP_ENABLE_RESET_ASSOC_REQ=2
    SCTP_ENABLE_CHANGE_ASSOC_REQ=4 SCTP_ENABLE_STRRESET_MASK=7 SCTP_STREAM_RESET_INCOMING=1
    SCTP_STREAM_RESET_OUTGOING=2 MSG_NOTIFICATION=32768 SCTP_UNORDERED=1 SCTP_ADDR_OVER=2
    SCTP_ABORT=4 SCTP_SACK_IMMEDIATELY=8 SCTP_SENDALL=64 SCTP_PR_SCTP_ALL=128
    SCTP_NOTIFICATION=32768 SCTP_EOF=512 SCTP_INIT=0 SCTP_SNDRCV=1 SCTP_SNDINFO=2 SCTP_RCVINFO=3
    SCTP_NXTINFO=4 SCTP_PRINFO=5 SCTP_AUTHINFO=6 SCTP_DSTADDRV4=7 SCTP_DSTADDRV6=8
    SCTP_COMM_UP=0 SCTP_COMM_LOST=1 SCTP_RESTART=2 SCTP_SHUTDOWN_COMP=3 SCTP_CANT_STR_ASSOC=4
    SCTP_ADDR_AVAILABLE=0 SCTP_ADDR_UNREACHABLE=1 SCTP_ADDR_REMOVED=2 SCTP_ADDR_ADDED=3
    SCTP_ADDR_MADE_PRIM=4 SCTP_ADDR_CONFIRMED=5 SCTP_ADDR_POTENTIALLY_FAILED=6 SCTP_ADDR_PF=6
    SCTP_DATA_UNSENT=0 SCTP_DATA_SENT=1 SCTP_PARTIAL_DELIVERY_ABORTED=0 SCTP_AUTH_NEW_KEY=0
    SCTP_AUTH_NEWKEY=0 SCTP_AUTH_FREE_KEY=1 SCTP_AUTH_NO_AUTH=2 SCTP_STREAM_RESET_INCOMING_SSN=1
    SCTP_STREAM_RESET_OUTGOING_SSN=2 SCTP_STREAM_RESET_DENIED=4 SCTP_STREAM_RESET_FAILED=8
    SCTP_ASSOC_RESET_DENIED=4 SCTP_ASSOC_RESET_FAILED=8 SCTP_ASSOC_CHANGE_DENIED=4
    SCTP_ASSOC_CHANGE_FAILED=8 SCTP_STREAM_CHANGE_DENIED=4 SCTP_STREAM_CHANGE_FAILED=8
    SCTP_SN_TYPE_BASE=32768 SCTP_DATA_IO_EVENT=32768 SCTP_ASSOC_CHANGE=32769
    SCTP_PEER_ADDR_CHANGE=32770 SCTP_SEND_FAILED=32771 SCTP_REMOTE_ERROR=32772
    SCTP_SHUTDOWN_EVENT=32773 SCTP_PARTIAL_DELIVERY_EVENT=32774 SCTP_ADAPTATION_INDICATION=32775
    SCTP_AUTHENTICATION_EVENT=32776 SCTP_AUTHENTICATION_INDICATION=32776
    SCTP_SENDER_DRY_EVENT=32777 SCTP_STREAM_RESET_EVENT=32778 SCTP_ASSOC_RESET_EVENT=32779
    SCTP_STREAM_CHANGE_EVENT=32780 SCTP_SEND_FAILED_EVENT=32781 SCTP_SN_TYPE_MAX=32781
    SCTP_FAILED_THRESHOLD=0 SCTP_RECEIVED_SACK=1 SCTP_HEARTBEAT_SUCCESS=2
    SCTP_RESPONSE_TO_USER_REQ=3 SCTP_INTERNAL_ERROR=4 SCTP_SHUTDOWN_GUARD_EXPIRES=5
    SCTP_PEER_FAULTY=6 SPP_HB_ENABLE=1 SPP_HB_DISABLE=2 SPP_HB=3 SPP_HB_DEMAND=4
    SPP_PMTUD_ENABLE=8 SPP_PMTUD_DISABLE=16 SPP_PMTUD=24 SPP_SACKDELAY_ENABLE=32
    SPP_SACKDELAY_DISABLE=64 SPP_SACKDELAY=96 SPP_HB_TIME_IS_ZERO=128 SPP_IPV6_FLOWLABEL=256
    SPP_DSCP=512 SCTP_AUTH_HMAC_ID_SHA1=1 SCTP_AUTH_HMAC_ID_SHA256=3 SCTP_INACTIVE=0 SCTP_PF=1
    SCTP_POTENTIALLY_FAILED=1 SCTP_ACTIVE=2 SCTP_UNCONFIRMED=3 SCTP_UNKNOWN=65535 SCTP_EMPTY=0
    SCTP_CLOSED=1 SCTP_COOKIE_WAIT=2 SCTP_COOKIE_ECHOED=3 SCTP_ESTABLISHED=4
    SCTP_SHUTDOWN_PENDING=5 SCTP_SHUTDOWN_SENT=6 SCTP_SHUTDOWN_RECEIVED=7
    SCTP_SHUTDOWN_ACK_SENT=8 SCTP_BINDX_ADD_ADDR=1 SCTP_BINDX_REM_ADDR=2 SCTP_SS_FCFS=0
    SCTP_SS_DEFAULT=0 SCTP_SS_PRIO=1 SCTP_SS_RR=2 SCTP_SS_MAX=4 SCTP_SS_FC=3 SCTP_SS_WFQ=4
"""
SYSCTLS = """
    addip_enable addip_noauth_enable addr_scope_policy association_max_retrans auth_enable
    cookie_hmac_alg cookie_preserve_enable default_auto_asconf ecn_enable encap_port hb_interval
    intl_enable l3mdev_accept max_autoclose max_burst max_init_retransmits path_max_retrans
    pf_enable pf_expose pf_retrans plpmtud_probe_interval prsctp_enable ps_retrans rcvbuf_policy
    reconf_enable rto_alpha_exp_divisor rto_beta_exp_divisor rto_initial rto_max rto_min
    rwnd_update_shift sack_timeout sctp_mem sctp_rmem sctp_wmem sndbuf_policy udp_port
    valid_cookie_life
"""

NUMBERS = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", HEADER)}


class Row(NamedTuple):
    name: str
    number: int | None
    ours: str


def rows(text: str = PAGE) -> list[Row]:
    found = re.findall(r"^\| `(\w+)` \| (?:(\d+) \| )?(.*) \|$", text, re.MULTILINE)
    return [Row(name, int(number) if number else None, ours) for name, number, ours in found]


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_name_of_the_header_has_a_row_with_its_number() -> None:
    assert f"as of Linux {LINUX}" in PAGE
    numbered = [row for row in rows() if row.number is not None]
    assert {row.name: row.number for row in numbered} == NUMBERS
    assert len(numbered) == len(NUMBERS)


def test_every_sysctl_has_a_row() -> None:
    assert [row.name for row in rows(section("Sysctls"))] == SYSCTLS.split()


def test_nothing_is_left_for_later() -> None:
    assert not re.search(r"\bnot yet\b|\bnone\b", PAGE, re.IGNORECASE)


def names_in(text: str) -> list[str]:
    """Names in a text that have to be the library's."""
    named = re.findall(r"`([A-Z][\w.]+)[^`]*`", text)
    return [name for name in named if name not in NUMBERS]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_a_row_names_what_the_library_has_or_says_why_it_has_not(row: Row) -> None:
    for name in names_in(row.ours):
        first, _, attribute = name.partition(".")
        assert first in trio_sctp.__all__
        assert not attribute or hasattr(getattr(trio_sctp, first), attribute)
    whole_sentence = re.fullmatch(r"[A-Z`].*\.", row.ours)
    assert whole_sentence or names_in(row.ours) or "`open_association`" in row.ours


@pytest.mark.parametrize("member", [*Opt, *Note], ids=lambda member: member.name)
def test_the_kernel_stack_uses_the_headers_numbers(member: Opt | Note) -> None:
    assert NUMBERS[f"SCTP_{member.name}"] == member
