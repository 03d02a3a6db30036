"""Packets as text, and the report of a test that fails."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from trio_sctp._engine import wire
from trio_sctp._engine.wire import ChunkType, Tlv
from trio_sctp._ladder.chart import CapturedPacket, draw
from trio_sctp._ladder.text import text

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Tests that fail inside a test close nothing; that is nothing for the tests after this one."""
    gc.disable()
    try:
        yield
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        gc.enable()


ROOT = Path(__file__).parents[2]
A, B, C, B2 = "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.1.0.2"
TAG = 7
WHOLE = wire.WHOLE


def ladder(
    packets: list[CapturedPacket], titles: dict[str, str] | None = None, start: float = 0.0
) -> str:
    """Packets of a simulation, as text."""
    return text(draw(packets, titles or {}, start, infer=False))


def packet(
    source: str,
    destination: str,
    *chunks: bytes,
    time: float = 0.0,
    comment: str = "",
    ports: tuple[int, int] = (2905, 2905),
    tag: int = TAG,
) -> CapturedPacket:
    data = wire.seal(*ports, tag, chunks)
    return CapturedPacket(time, source, destination, data, comment)


def init(tsn: int, *addresses: str, tag: int = TAG) -> bytes:
    parameters = [wire.address_parameter(address) for address in addresses]
    return wire.init_chunk(wire.Init(tag, 65536, 10, 2048, tsn, parameters))


def init_ack(tsn: int) -> bytes:
    return wire.init_chunk(wire.InitAck(TAG, 65536, 5, 10, tsn, []))


def data(tsn: int, payload: bytes = b"x", *, flags: int = WHOLE, ppid: int = 0) -> bytes:
    return wire.data_chunk(tsn % 2**32, 3, 0, ppid, payload, flags)


def drawn(text: str) -> list[str]:
    """Lines, of which those that end in a backslash go on in the next one."""
    return textwrap.dedent(text).replace("\\\n", "").strip("\n").splitlines()


def labels(*packets: CapturedPacket) -> list[str]:
    """What stands beside the rungs between two hosts."""
    lines = ladder([*packets]).splitlines()
    return [line.split("|  ", 1)[1] for line in lines if "|  " in line]


def test_an_association() -> None:
    cookie, cookie_ack = wire.chunk(ChunkType.COOKIE_ECHO, b"c"), wire.chunk(ChunkType.COOKIE_ACK)
    packets = [
        packet(A, B, init(2**32 - 1), time=100.0),
        packet(B, A, init_ack(50), time=100.02),
        packet(A, B, cookie, data(2**32 - 1), time=100.04),
        packet(B, A, cookie_ack, wire.sack_chunk(2**32 - 1, 900, [], []), time=100.06),
        packet(A, B, data(0, ppid=46), time=101.0, comment="dropped: lost"),
        packet(B, A, data(50), comment="duplicated", time=101.5),
        packet(A, B, data(0, ppid=46), time=102.0),
        packet(A, B, wire.shutdown_chunk(50), time=1000.0),
    ]
    assert ladder(packets, {A: "gnb", B: "amf"}, 100.0).splitlines() == drawn(
        """
        seconds  gnb       amf
          0.000  |-------->|  INIT streams 10/2048
          0.020  |<--------|  INIT ACK streams 5/10
          0.040  |-------->|  COOKIE ECHO, DATA 1 stream 3 b'x'
          0.060  |<--------|  COOKIE ACK, SACK 1 rwnd 900
          1.000  |----X    |  DATA 2 stream 3 ppid 46 DIAMETER b'x' [dropped: lost]
          1.500  |<--------|  DATA 1 stream 3 b'x' [duplicated]
          2.000  |-------->|  DATA 2 again stream 3 ppid 46 DIAMETER b'x'
        900.000  |-------->|  SHUTDOWN 1
        """
    )


def test_arrows_lead_past_other_hosts_and_stop_halfway_if_dropped() -> None:
    heartbeat = wire.heartbeat_chunk(b"h")
    packets = [
        packet(A, B, heartbeat),
        packet(C, B, heartbeat),
        packet(C, A, heartbeat),
        packet(A, C, heartbeat, comment="dropped: the link is down"),
        packet(C, A, heartbeat, comment="dropped: the link is down"),
        packet(B, B, heartbeat),
        packet(B, B, heartbeat, comment="dropped: lost"),
    ]
    lines = ladder(packets, {A: "one", B: "the second", C: "three"}).splitlines()
    titles = "seconds  one         the second  three"
    assert [line.partition("  #")[0] for line in lines[lines.index(titles) :]] == drawn(
        """
        seconds  one         the second  three
          0.000  |---------->|           |
          0.000  |           |<----------|
          0.000  |<----------------------|
          0.000  |-----------X           |
          0.000  |           X-----------|
          0.000  |           o           |
          0.000  |           X           |
        """
    )


def test_without_the_handshake_tsns_count_from_the_first_that_is_seen() -> None:
    assert labels(
        packet(A, B, data(1000)),
        packet(A, B, data(999)),
        packet(B, A, wire.sack_chunk(1001, 1500, [(2, 3), (5, 5)], [999])),
        packet(A, B, wire.forward_tsn_chunk(1004, [])),
    ) == [
        "DATA 1 stream 3 b'x'",
        "DATA 0 stream 3 b'x'",
        "SACK 2 also 4-5 7-7 rwnd 1500 twice 0",
        "FORWARD TSN 5",
    ]


def test_a_restart_is_an_association_of_its_own_which_counts_anew() -> None:
    assert labels(
        packet(A, B, init(5), tag=0),
        packet(A, B, data(5)),
        packet(A, B, init(5), tag=0),
        packet(A, B, data(5)),
        packet(A, B, init(1005, tag=9), tag=0),
        packet(A, B, data(1005), tag=8),
    ) == [
        "#1 INIT streams 10/2048",
        "#1 DATA 1 stream 3 b'x'",
        "#1 INIT again streams 10/2048",
        "#1 DATA 1 again stream 3 b'x'",
        "#2 INIT streams 10/2048 [restart of association 1]",
        "#2 DATA 1 stream 3 b'x'",
    ]


def test_user_data() -> None:
    assert labels(
        packet(A, B, data(1, b"begins" * 3, flags=wire.FIRST)),
        packet(A, B, data(2, bytes(range(16)), flags=0)),
        packet(A, B, data(3, bytes(1000), flags=wire.LAST | wire.UNORDERED)),
    ) == [
        "DATA 1 begin stream 3 b'beginsbeginsbegi'... 18 bytes",
        "DATA 2 middle stream 3 000102030405060708090a0b0c0d0e0f",
        "DATA 3 end unordered 00000000000000000000000000000000... 1000 bytes",
    ]


def test_other_chunks() -> None:
    invalid = Tlv(wire.Cause.INVALID_STREAM, b"\0\1\0\0")
    reason = Tlv(wire.Cause.USER_INITIATED_ABORT, b"going home")
    packets = [
        packet(A, B, wire.abort_chunk([reason])),
        packet(A, B, wire.abort_chunk()),
        packet(A, B, wire.error_chunk([invalid, reason])),
        packet(A, B, wire.shutdown_complete_chunk()),
        packet(A, B, wire.heartbeat_chunk(b"h", ack=True)),
        packet(A, B, init(1, A, B2), tag=0),
        packet(A, B, wire.pad_chunk(8), wire.chunk(99)),
        packet(A, B, wire.chunk(ChunkType.SHUTDOWN)),
        packet(A, B, *[wire.chunk(ChunkType.COOKIE_ACK)] * 9),
    ]
    assert [label for one in packets for label in labels(one)] == [
        "ABORT: user-initiated abort b'going home'",
        "ABORT",
        "ERROR: invalid stream identifier, user-initiated abort b'going home'",
        "SHUTDOWN COMPLETE",
        "HEARTBEAT ACK",
        "INIT streams 10/2048 addresses 10.0.0.1 10.1.0.2",
        "PAD, chunk of type 99",
        "SHUTDOWN malformed (wrong length)",
        ", ".join(["COOKIE ACK"] * 7) + ", and 2 more chunks",
    ]


def test_what_is_no_packet() -> None:
    good = packet(A, B, data(1))
    assert labels(
        good._replace(data=b"x"),
        good._replace(data=good.data[:-1] + b"?"),
        packet(A, B, data(1), b"rest"),
    ) == [
        "no SCTP packet: shorter than a header and a chunk",
        "DATA stream 3 b'x' [wrong CRC32c]",
        "DATA 1 stream 3 b'x' [and bytes that are no chunk]",
    ]


def test_paths_and_associations_are_told_apart_where_there_are_several() -> None:
    shown = ladder(
        [
            packet(A, B, data(1)),
            packet(A, B2, data(1)),
            packet(A, C, data(1), ports=(5000, 2905)),
            packet(C, A, data(7), ports=(2905, 5000)),
            packet(A, C, data(7), ports=(5001, 2905)),
            packet(B2, C, data(1)),
            packet(B, C, data(9))._replace(data=b"x"),
        ],
        {B: "two", B2: "two"},
    )
    assert shown.splitlines() == drawn(
        """
        #1  10.0.0.1:2905 > 10.0.0.2 10.1.0.2:2905: 2 packets, 0.000 to 0.000 s, began earlier
        #2  10.0.0.1:5000 > 10.0.0.3:2905: 2 packets, 0.000 to 0.000 s, began earlier
        #3  10.0.0.1:5001 > 10.0.0.3:2905: 1 packet, 0.000 to 0.000 s, began earlier
        #4  10.1.0.2:2905 > 10.0.0.3:2905: 1 packet, 0.000 to 0.000 s, began earlier
        two: 1 is 10.0.0.2, 2 is 10.1.0.2
        seconds  10.0.0.1     two          10.0.0.3
                              1  2
          0.000  |----------->|  |         |  #1 DATA 1 stream 3 b'x'
          0.000  |-------------->|         |  #1 DATA 1 again stream 3 b'x' \\
        [path change: now 10.0.0.1 > 10.1.0.2]
          0.000  |------------------------>|  #2 DATA 1 stream 3 b'x'
          0.000  |<------------------------|  #2 DATA 1 stream 3 b'x'
          0.000  |------------------------>|  #3 DATA 1 stream 3 b'x'
          0.000  |            |  |-------->|  #4 DATA 1 stream 3 b'x'
          0.000  |            |----------->|  no SCTP packet: shorter than a header and a chunk
        """
    )


def test_nothing() -> None:
    assert ladder([]) == "seconds"


# -- in the report of a test that fails ------------------------------------------------------------

TESTS = """
    import pytest
    import trio
    from trio_sctp import open_association, open_listener
    from trio_sctp.testing import Link, association_pair, simulated_network

    async def test_fixture(sctp_pair, autojump_clock):
        client, server = sctp_pair
        await client.send(b"hello", stream=3, ppid=4711)
        assert (await server.receive()).data == b"goodbye"

    async def test_own_network(autojump_clock):
        async with simulated_network(default_link=Link(delay=0.01)) as network:
            amf, gnb = network.host("10.0.0.1", name="amf"), network.host("10.0.0.2", name="gnb")
            async with await open_listener(38412, stack=amf) as listener:
                channel = await open_association("amf", 38412, stack=gnb)
                server = await listener.accept()
            await channel.send(b"sent")
            await trio.sleep(0.005)  # it is on its way
            network.network.partition(["10.0.0.1"], ["10.0.0.2"])
            await channel.send(b"more")
            with trio.move_on_after(0.5):
                await server.receive()
            with trio.move_on_after(0.1):
                await open_association("10.0.0.3", 38412, stack=gnb)
            assert False

    async def test_many_packets(sctp_pair, autojump_clock):
        client, server = sctp_pair
        for number in range(300):
            await client.send(b"%d" % number)
            await server.receive()
        assert False

    async def test_many_networks(autojump_clock):
        for number in range(4):
            async with association_pair() as (client, _):
                await client.send(b"%d" % number)
                await trio.sleep(1)
        assert False

    async def test_no_packet(sctp_network):
        assert False

    def test_no_network():
        assert False

    async def test_passes(sctp_pair):
        pass
"""


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def report(pytester: pytest.Pytester) -> dict[str, list[tuple[str, list[str]]]]:
    """For each test that fails: the titles and lines of the sections with packets."""
    pytester.makeconftest('pytest_plugins = ["trio_sctp.testing.fixtures"]')
    pytester.makepyfile(TESTS)
    pytester.makeini("[pytest]\ntrio_mode = true")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=6, passed=1)
    text = result.stdout.str().partition("= short test summary")[0]
    parts = re.split(r"^_+ (test_\w+) _+$", text, flags=re.MULTILINE)
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for test, part in zip(parts[1::2], parts[2::2], strict=True):
        sections = re.split(r"^-+ (SCTP packets.*?) -+$", part, flags=re.MULTILINE)
        bodies = (body.strip("\n").splitlines() for body in sections[2::2])
        found[test] = list(zip(sections[1::2], bodies, strict=True))
    return found


def test_a_failing_test_shows_its_packets(pytester: pytest.Pytester) -> None:
    shown = report(pytester)
    assert "test_passes" not in shown
    assert shown["test_no_network"] == []
    assert shown["test_no_packet"] == [("SCTP packets", ["no packet was sent"])]
    ((_, lines),) = shown["test_fixture"]
    assert lines[:6] == drawn(
        """
        seconds  192.0.2.1  192.0.2.2
          0.000  |--------->|  INIT streams 10/65535
          0.000  |<---------|  INIT ACK streams 10/65535
          0.000  |--------->|  COOKIE ECHO
          0.000  |<---------|  COOKIE ACK
          0.000  |--------->|  DATA 1 stream 3 ppid 4711 b'hello'
        """
    )
    ((_, lines),) = shown["test_own_network"]
    assert lines == drawn(
        """
        #1  10.0.0.2:49152 > 10.0.0.1:38412: 6 packets, 0.000 to 0.045 s
        #2  10.0.0.2:49153 > 10.0.0.3:38412: 1 packet, 0.545 to 0.545 s
        seconds  gnb       amf       10.0.0.3 (no host)
          0.000  |-------->|         |  #1 INIT streams 10/65535
          0.010  |<--------|         |  #1 INIT ACK streams 10/65535
          0.020  |-------->|         |  #1 COOKIE ECHO
          0.030  |<--------|         |  #1 COOKIE ACK
          0.040  |----X    |         |  #1 DATA 1 stream 0 b'sent' \\
        [dropped: the link went down]
          0.045  |----X    |         |  #1 DATA 2 stream 0 b'more' \\
        [dropped: the link is down]
          0.545  |------------------>|  #2 INIT streams 10/65535
        """
    )


def test_the_report_is_bounded(pytester: pytest.Pytester) -> None:
    shown = report(pytester)
    ((_, lines),) = shown["test_many_packets"]
    assert re.fullmatch(r"\d+ packets before these", lines[0])
    assert len(lines) == 2 + 200
    assert "b'299'" in "".join(lines[-4:])
    assert [title for title, _ in shown["test_many_networks"]] == [
        "SCTP packets, network 1 of 2",
        "SCTP packets, network 2 of 2",
    ]
    for number, (_, lines) in enumerate(shown["test_many_networks"], 2):
        assert f"  0.000  |--------->|  DATA 1 stream 0 b'{number}'" in lines


def test_only_the_plugin_imports_pytest() -> None:
    program = "import sys, trio_sctp.testing; assert not {'pytest', '_pytest'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


# -- in the documentation --------------------------------------------------------------------------


def test_the_packets_in_the_documentation_are_those_of_its_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    page = (ROOT / "docs/testing.md").read_text()
    (test,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    pytester.makepyfile(test)
    pytester.makeini("[pytest]\ntrio_mode = true")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*trio.TooSlowError"])
    section = re.search(r"^-+ SCTP packets.*?(?=^===)", result.stdout.str(), re.DOTALL | re.M)
    assert section
    shown = textwrap.indent(section[0].rstrip(), "    ")
    assert f"packets: begin -->\n{shown}\n<!--" in page


def test_the_tests_in_the_documentation_pass(pytester: pytest.Pytester) -> None:
    page = (ROOT / "docs/simulation.md").read_text()
    tests = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    pytester.makepyfile("\n".join(tests))
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture(autouse=True)
        def virtual_time(autojump_clock):
            pass
        """
    )
    pytester.makeini("[pytest]\ntrio_mode = true")
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=len(tests))
