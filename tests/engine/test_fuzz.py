"""Whatever arrives, in whatever state: no exception, bounded work, bounded memory."""

from __future__ import annotations

import os
from collections import Counter

from trio_sctp._options import StatusState

from . import fuzzing

PACKETS = int(os.environ.get("TRIO_SCTP_FUZZ_PACKETS", "100000"))
"""2000000 make a long run, for which pytest needs ``-o faulthandler_timeout=0``."""

SEED = int(os.environ.get("TRIO_SCTP_FUZZ_SEED", "1"))
AT_A_TIME = 60  # packets for one association at most


def test_mutated_packets_in_every_state() -> None:
    seen: Counter[StatusState | None] = Counter()
    fed = 0
    for bench, situation, expected in fuzzing.situations(fuzzing.benches(SEED)):
        if fed >= PACKETS:
            break
        fuzzing.check(bench.target)
        state = fuzzing.state_of(bench)
        assert expected in (state, None), situation
        had_association = state is not None
        for number in range(AT_A_TIME):
            data, route = bench.packet(), bench.route()
            try:
                bench.feed(data, route)
            except BaseException as error:
                error.add_note(
                    f"seed {SEED}, packet {fed}: {situation.__name__}, in {state}, number {number}"
                    f" from {route}:\n{data.hex()}"
                )
                raise
            seen[state] += 1
            fed += 1
            state = fuzzing.state_of(bench)
            if had_association and state is None:
                break
    for state in (
        None,
        StatusState.COOKIE_WAIT,
        StatusState.COOKIE_ECHOED,
        StatusState.ESTABLISHED,
        StatusState.SHUTDOWN_PENDING,
        StatusState.SHUTDOWN_SENT,
        StatusState.SHUTDOWN_RECEIVED,
        StatusState.SHUTDOWN_ACK_SENT,
    ):
        assert seen[state] > PACKETS // 100, f"{state} was hardly tried: {seen}"
