"""Coverage-guided fuzzing of `Engine.receive_packet`; not part of the test suite.

    python -m venv fuzz && fuzz/bin/pip install atheris .
    fuzz/bin/python -m tests.engine.fuzz_atheris -max_len=1500 corpus/

from the project's directory; the options are libFuzzer's, for example ``-max_total_time=3600``, and
``-rss_limit_mb=512``, with which it stops when memory grows.  What a packet costs is bounded as in
`fuzzing`, more strictly with ``TRIO_SCTP_FUZZ_CPU=4``.

An input is a byte for the situation (see `fuzzing`), a byte for the bench, and then packets, each a
16-bit length and its chunks.  Header and checksum are put in front of these, so that the fuzzer
finds its way through the chunks; lengths and types within them are its own.
"""

from __future__ import annotations

import sys

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["trio_sctp._engine"]):
    from tests.engine import fuzzing
    from trio_sctp._engine import wire

BENCHES = fuzzing.benches(1)


def one_input(data: bytes) -> None:
    """Feed one input to the engine; libFuzzer calls this."""
    source = atheris.FuzzedDataProvider(data)
    situation, _ = fuzzing.SITUATIONS[source.ConsumeIntInRange(0, len(fuzzing.SITUATIONS) - 1)]
    bench = BENCHES[source.ConsumeIntInRange(0, len(BENCHES) - 1)]
    bench.random.seed(1)  # so that the same input takes the same way
    situation(bench)
    for _ in range(16):
        if not source.remaining_bytes():
            break
        body = source.ConsumeBytes(source.ConsumeIntInRange(4, 400))
        association = bench.association
        tag = association.our_tag if association is not None else 7
        if body[:1] == bytes([wire.ChunkType.INIT]):
            tag = 0
        bench.feed(fuzzing.seal(fuzzing.PEER_PORT, fuzzing.PORT, tag, body), bench.routes[0])
        fuzzing.check(bench.target)


def main() -> None:
    """Run until something is found, or for as long as the options say."""
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
