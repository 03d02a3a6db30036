"""The ladder of what tshark has captured of the kernel's SCTP, beside what tshark says itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from trio_sctp import open_association, open_listener
from trio_sctp._ladder.flows import Fate
from trio_sctp._ladder.svg import svg
from trio_sctp._ladder.text import text

from ..support.ladders import in_picture, in_text
from ..support.live_capture import as_tshark_says, as_we_say, capturing, ladder
from .network import Network

HOST = "127.0.0.1"
pytestmark = pytest.mark.peer("tshark")


async def test_an_association_on_one_host(tmp_path: Path) -> None:
    file = tmp_path / "loopback.pcapng"
    async with capturing(file, "-i", "lo", "-f", "sctp"):
        async with await open_listener(0, hosts=HOST) as listener:
            channel = await open_association(HOST, listener.port)
            accepted = await listener.accept()
        async with accepted:
            await channel.send(b"hello", stream=3, ppid=60)
            assert (await accepted.receive()).data == b"hello"
            await channel.eof()
        await channel.aclose()
    chart = ladder(file)
    assert as_we_say(chart) == await as_tshark_says(file)
    assert not any(arrow.notes or arrow.fate is not Fate.ARRIVED for arrow in chart.arrows)
    (association,) = chart.associations
    assert (association.begun, association.ended) == (True, "SHUTDOWN COMPLETE")
    labels = [arrow.label for arrow in in_text(text(chart))]
    assert "DATA 1 stream 3 ppid 60 NGAP b'hello'" in labels
    assert [arrow[:3] for arrow in in_picture(svg(chart))] == [
        arrow[:3] for arrow in in_text(text(chart))
    ]


async def test_a_failover_on_all_interfaces_of_a_host(net: Network, tmp_path: Path) -> None:
    file = tmp_path / "any.pcapng"
    before = ["ip", "netns", "exec", "left"]
    async with capturing(file, "-i", "any", "-f", "sctp", before=before):
        async with await open_listener(0, hosts=net.right_hosts, options=[net.right]) as listener:
            channel = await open_association(
                net.right_hosts, listener.port, local_hosts=net.left_hosts, options=[net.left]
            )
            accepted = await listener.accept()
        async with accepted, channel:
            await channel.send(b"before", ppid=60)
            assert (await accepted.receive()).data == b"before"
            net.down(0)
            await channel.send(b"after", ppid=60)
            assert (await accepted.receive()).data == b"after"
            await channel.eof()
            async for _ in accepted:
                pass
    chart = ladder(file)
    assert as_we_say(chart) == await as_tshark_says(file)
    assert [sorted(chart.addresses[line] for line in host.lines) for host in chart.hosts] == [
        net.left_hosts,
        net.right_hosts,
    ]
    # netem drops what was to leave before it is captured: only the second copy passed.
    after = [arrow for arrow in chart.arrows if "b'after'" in str(arrow.chunks)]
    assert after
    assert after[-1].old_path == (net.left_hosts[0], net.right_hosts[0])
    assert after[-1].source.address == net.left_hosts[1]


@pytest.fixture(autouse=True)
def on_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIO_SCTP_STACK", "kernel")
