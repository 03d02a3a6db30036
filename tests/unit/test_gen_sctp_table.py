"""docs/gen_sctp.md has every name of gen_sctp, and what it says of them is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

import trio_sctp

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/gen_sctp.md").read_text()

FUNCTIONS = """
    open/0 open/1 open/2 close/1 listen/2 connect/4 connect/5 connect_init/4 connect_init/5
    connectx_init/3 connectx_init/4 connectx_init/5 peeloff/2 eof/2 abort/2 send/3 send/4 recv/1
    recv/2 error_string/1 controlling_process/2
    inet:port/1 inet:sockname/1 inet:socknames/1 inet:socknames/2 inet:peername/1 inet:peernames/2
    inet:getopts/2 inet:setopts/2 inet:getstat/1
"""
OPTIONS = """
    ip ifaddr port type inet inet6 netns sctp_module debug exclusiveaddruse
    mode list binary active buffer high_msgq_watermark low_msgq_watermark non_block_send
    inet_default_sctp_options
    tos tclass priority dontroute reuseaddr reuseport reuseport_lb sndbuf recbuf linger
    ipv6_v6only bind_to_device recvtos recvtclass recvttl ttl
    sctp_rtoinfo sctp_associnfo sctp_initmsg sctp_autoclose sctp_nodelay sctp_disable_fragments
    sctp_i_want_mapped_v4_addr sctp_maxseg sctp_primary_addr sctp_set_peer_primary_addr
    sctp_adaptation_layer sctp_peer_addr_params sctp_default_send_param sctp_events
    sctp_delayed_ack_time sctp_status sctp_get_peer_addr_info
    data_io_event hb_enable hb_disable hb_demand pmtud_enable pmtud_disable sackdelay_enable
    sackdelay_disable
"""
EVENTS = """
    sctp_assoc_change comm_up comm_lost restart shutdown_comp cant_assoc
    sctp_paddr_change addr_available addr_unreachable addr_removed addr_added addr_made_prim
    addr_confirmed
    sctp_send_failed sctp_remote_error sctp_shutdown_event sctp_adaptation_event sctp_pdapi_event
    sctp_partial_delivery_aborted sctp_error sctp_passive
"""
RECORDS = """
    sctp_sndrcvinfo stream ppid context timetolive ssn tsn cumtsn assoc_id unordered addr_over abort
    eof
    sctp_state_empty sctp_state_closed sctp_state_cookie_wait sctp_state_cookie_echoed
    sctp_state_established sctp_state_shutdown_pending sctp_state_shutdown_sent
    sctp_state_shutdown_received sctp_state_shutdown_ack_sent
    inactive active unconfirmed
"""
EXAMPLES = "sctp_server sctp_client ex3"

NAMES = " ".join([FUNCTIONS, OPTIONS, EVENTS, RECORDS, EXAMPLES]).split()


class Row(NamedTuple):
    gen_sctp: str
    ours: str
    difference: str
    test: str


ROWS = [
    Row(*(cell.strip() for cell in line.strip("|").split(" | ")))
    for table in re.findall(r"<!-- table -->\n(.*?)<!-- end -->", PAGE, re.DOTALL)
    for line in table.replace("| |", "|  |").splitlines()[2:]
]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("name", sorted(set(NAMES)))
def test_a_name_of_gen_sctp_is_in_the_table(name: str) -> None:
    assert any(name in words(row.gen_sctp) for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: words(row.gen_sctp)[0])
def test_a_row_names_what_exists_and_a_test_that_proves_it(row: Row) -> None:
    for name in words(row.ours):
        if name.endswith("="):
            continue  # an argument
        owner, _, attribute = name.partition(".")
        assert hasattr(trio_sctp, owner), name
        assert not attribute or hasattr(getattr(trio_sctp, owner), attribute), name
    if not words(row.ours) and "](" not in row.ours:
        assert row.ours == "none"
        assert row.difference
    assert words(row.test)
    for test in words(row.test):
        file, _, function = test.partition("::")
        assert re.search(rf"^(async )?def {function}\(", (ROOT / "tests" / file).read_text(), re.M)


UNKNOWN_TO_GEN_SCTP = {
    # RFC 6951, RFC 7496, RFC 4895, RFC 7829, RFC 8899.
    *("EncapsulationPort", "PrStatus", "PrSupported"),
    *("AuthChunks", "LocalAuthChunks", "PeerAuthChunks", "HmacAlgorithms", "AuthKey", "ActiveKey"),
    *("AuthSupported", "PeerAddressThresholds", "ExposePotentiallyFailed", "ProbeInterval"),
    # RFC 8260.
    *("Interleaving", "StreamScheduler", "StreamPriority"),
    # RFC 6458, and Linux.
    *("Context", "MaxBurst", "PartialDeliveryPoint", "FragmentInterleave", "AssociationCount"),
    *("AutoAsconf", "AsconfSupported", "AsconfWithoutAuth", "ReconfigSupported"),
    *("EcnSupported", "EnableStreamReset"),
}


@pytest.mark.parametrize(
    "kind", [trio_sctp.Option, trio_sctp.AssociationState, trio_sctp.PeerAddressState]
)
def test_nothing_of_ours_that_gen_sctp_has_is_missing(kind: type) -> None:
    """An option, or a state, that is on this page in no row was forgotten."""
    ours = {word for row in ROWS for word in words(row.ours)}
    if kind is trio_sctp.Option:
        wanted = {
            name
            for name, value in vars(trio_sctp).items()
            if isinstance(value, type) and issubclass(value, kind) and value is not kind
        }
        wanted -= UNKNOWN_TO_GEN_SCTP
    else:
        wanted = {f"{kind.__name__}.{state.name}" for state in kind}  # type: ignore[attr-defined]
        wanted.discard("PeerAddressState.ADDR_POTENTIALLY_FAILED")  # of RFC 7829
    assert wanted <= ours


def test_each_case_of_gen_sctps_suite_has_its_test() -> None:
    suite = (ROOT / "tests/kernel/test_gen_sctp_suite.py").read_text()
    assert len(re.findall(r"^async def test_", suite, re.M)) == 35
