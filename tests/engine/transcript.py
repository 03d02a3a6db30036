"""All that an engine says to random packets, sends and times, line by line.

    TRIO_SCTP_PURE=1 python -m tests.engine.transcript pure SEED

The other form of the engine says the same (`test_forms.py`): the same bytes leave, the same
messages and events are told of, the same errors raised, and the same deadlines named.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from random import Random
from typing import Any

from trio_sctp._engine import COMPILED, Engine
from trio_sctp._values import SendInfo

from ..support.engines import PEER_PORT
from . import fuzzing
from .simulation import Pair

PACKETS = 3_000
"""Mutated packets of a transcript."""


class Noted:
    """An engine, and a line for each call of it that returns or raises something."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self._engine: Engine
        vars(self)["_engine"] = Engine(*arguments, **more)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._engine, name)
        return self._noted(name, value) if callable(value) else value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._engine, name, value)

    def __hash__(self) -> int:
        return self._engine.port  # so that a set of them has the same order in both forms

    def _noted(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            try:
                returned = method(*arguments, **more)
            except OSError as error:
                print(self._engine.port, name, repr(error))
                raise
            if returned and not callable(returned):  # which each form shows in its own way
                print(self._engine.port, name, repr(returned))
            return returned

        return call


def noted(*arguments: Any, **more: Any) -> Any:
    """Make an engine that is called like any other."""
    return Noted(*arguments, **more)


def mutated(seed: int) -> None:
    """Packets that nobody would send, in every state."""
    fed = 0
    for bench, _, _ in fuzzing.situations(fuzzing.benches(seed, make_engine=noted)):
        for _ in range(20):
            bench.feed(bench.packet(), bench.route())
            bench.target.next_deadline()
            fed += 1
        if fed >= PACKETS:
            return


def conversation(seed: int) -> None:
    """Messages of all kinds on bad links, restarts, and every kind of end."""
    random = Random(seed)
    link = {
        "loss": random.choice((0.0, 0.02, 0.3)),
        "reordering": random.choice((0.0, 0.3)),
        "reorder_delay": 0.03,
        "duplication": random.choice((0.0, 0.2)),
        "corruption": random.choice((0.0, 0.1)),
        "delay": random.choice((0.001, 0.05)),
    }
    both = {
        "receive_window": random.choice((3_000, 2**17)),
        "sack_frequency": random.choice((1, 2)),
        "no_delay": random.random() < 0.5,
        "path_mtu_discovery": random.random() < 0.5,
        "rto_max": 4.0,
    }
    homes = random.choice((1, 2, 3))
    pair = Pair(homes, seed=seed, link=link, both=both, connect=False, make_engine=noted)
    for _ in range(40):
        if not pair.a.associations:
            pair.id = pair.a.connect(pair.routes, PEER_PORT, pair.now)
        pair.run(random.choice((0.0, 0.001, 0.05, 0.7, 5.0)))
        for engine in pair.engines:
            for id in list(engine.associations):
                act(engine, id, random, pair.now)
        if random.random() < 0.03 and pair.id in pair.a.associations:
            pair.a.abort(pair.id, b"", pair.now)
            pair.a.packets_to_send()  # lost: what follows is a restart
        if homes > 1 and random.random() < 0.1:
            pair.cut(random.choice(pair.routes).local)
        elif random.random() < 0.1:
            pair.heal()
    pair.heal()
    pair.run(100.0)


def act(engine: Engine, id: int, random: Random, now: float) -> None:
    """Have a program do something."""
    what = random.random()
    paths = list(engine.associations[id].paths)
    if what < 0.02:
        engine.shutdown(id, now)
    elif what < 0.03:
        engine.abort(id, b"enough", now)
    elif what < 0.06:
        engine.request_heartbeat(id, random.choice(paths), now)
    elif what < 0.08:
        engine.set_primary(id, random.choice(paths))
    for _ in range(random.choice((0, 1, 2, 20))):
        data = random.randbytes(random.choice((1, 50, 1200, 1300, 9000)))
        how = SendInfo(
            random.randrange(12),
            5,
            random.random() < 0.3,
            7,
            lifetime=random.choice((0, 0, 0, 200)),
            retransmissions=random.choice((None, None, 0, 2)),
            priority=random.choice((None, None, 3)),
        )
        try:
            engine.send(id, data, how, now)
        except OSError:
            return
    engine.next_deadline()


def main(form: str, seed: int) -> None:
    assert (form == "compiled") == COMPILED, "the other form of the engine runs"
    mutated(seed)
    for number in range(12):
        conversation(12 * seed + number)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
