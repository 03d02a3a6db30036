"""The ladder of what tshark has captured of the userland stack, beside what tshark says itself."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from trio_sctp import userland
from trio_sctp._ladder.flows import Fate

from ..support.live_capture import as_tshark_says, as_we_say, capturing, ladder, needs_root
from ..support.udp_peers import HOST, channels, exchange, server
from ..support.udp_proxy import udp_proxy


@needs_root
@pytest.mark.peer("tshark")
async def test_a_lossy_path_over_udp(tmp_path: Path) -> None:
    file = tmp_path / "udp.pcapng"
    async with server() as (listener, port), udp_proxy(port) as proxy:
        decode = ["-d", f"udp.port=={port},sctp"]
        # What the proxy loses passes on the client's side of it, and not on the server's.
        only = ["-f", f"udp port {proxy.port} and not udp port {proxy.server_side}"]
        lost: list[bytes] = []

        def lose_the_first_data(packet: bytes, outbound: bool) -> bool:
            if outbound and not lost and b"lost once" in packet:
                lost.append(packet)
                return True
            return False

        proxy.lose = lose_the_first_data
        decode = ["-d", f"udp.port=={proxy.port},sctp"]
        async with (
            capturing(file, "-i", "lo", *only, *decode, last="ABORT"),
            userland(peer_udp_port=proxy.port) as stack,
            channels(listener, stack) as (there, here),
        ):
            await exchange(there, here)
            await there.send(b"lost once", ppid=60)
            assert (await here.receive()).data == b"lost once"
    chart = ladder(file)
    ours = as_we_say(chart)
    numbers = Counter(number for number, *_ in ours)
    # Of trains of packets, which the system passes on as one, tshark does not see the second.
    assert [one for one in ours if numbers[one[0]] == 1] == [
        one for one in await as_tshark_says(file, *decode) if numbers[one[0]] == 1
    ]
    assert len(chart.hosts) == 2
    first, *_, last = (
        arrow for arrow in chart.arrows if any("lost once" in c.details for c in arrow.chunks)
    )
    assert (first.fate, first.reason) == (Fate.LOST, "sent again")
    assert last.again
    assert {arrow.source.address for arrow in chart.arrows} == {HOST}
