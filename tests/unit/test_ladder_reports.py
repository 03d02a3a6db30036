"""The packets in the report of a test that fails, and on the pages that show them."""

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


def drawn(text: str) -> list[str]:
    """Lines, of which those that end in a backslash go on in the next one."""
    return textwrap.dedent(text).replace("\\\n", "").strip("\n").splitlines()


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
    monkeypatch.setenv("COLUMNS", "200")


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


def without_extensions(lines: list[str]) -> list[str]:
    """The lines without what an INIT offers, which other tests are about."""
    return [re.sub(r"(INIT.*) with .*", r"\1", line) for line in lines]


def test_a_failing_test_shows_its_packets(pytester: pytest.Pytester) -> None:
    shown = report(pytester)
    assert "test_passes" not in shown
    assert shown["test_no_network"] == []
    assert shown["test_no_packet"] == [("SCTP packets", ["no packet was sent"])]
    ((_, lines),) = shown["test_fixture"]
    assert without_extensions(lines[:6]) == drawn(
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
    assert without_extensions(lines) == drawn(
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
    given = re.search(r"packets: begin -->\n(.*)\n<!--", page, re.DOTALL)
    assert given
    assert re.fullmatch(re.escape(given[1]).replace(r"\.\.\.", ".*"), shown, re.DOTALL)


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
