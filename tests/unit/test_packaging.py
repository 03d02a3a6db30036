"""What importing the package does: as little as it can."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import trio_sctp

ROOT = Path(trio_sctp.__file__).parents[1]


def python(code: str, *options: str) -> str:
    """Run a program in a fresh interpreter, beside the package; give its output."""
    done = subprocess.run(
        [sys.executable, *options, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def test_it_warns_of_nothing() -> None:
    python("import trio_sctp", "-W", "error", "-X", "dev")


def test_without_its_compiled_part_the_checksum_warns_of_nothing() -> None:
    """As with musl, where google-crc32c has no wheel."""
    python(
        "import sys\n"
        "sys.modules['google_crc32c.cext'] = None\n"
        "import trio_sctp, google_crc32c\n"
        "from trio_sctp._engine import wire\n"
        "assert google_crc32c.implementation == 'python'\n"
        "packet = wire.seal(1, 2, 3, [wire.heartbeat_chunk(b'')])\n"
        "assert wire.parse_packet_untrusted(packet).tag == 3\n",
        *("-W", "error"),
    )


def test_the_warnings_of_others_are_left_as_they_were() -> None:
    python(
        "import warnings, trio\n"
        "before = [*warnings.filters]\n"
        "import trio_sctp\n"
        "assert [*warnings.filters] == before\n"
    )


def test_it_imports_little_beside_trio() -> None:
    """Modules that a program would not have needed otherwise: each takes time to load."""
    output = python(
        "import sys, trio, trio.testing\n"
        "before = set(sys.modules)\n"
        "import trio_sctp\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})\n"
    )
    assert {*output.split()} <= {"trio_sctp", "google_crc32c", "dataclasses", "ctypes", "secrets"}


def test_it_imports_no_pysctp() -> None:
    assert python("import sys, trio_sctp; print({'sctp', '_sctp'} & {*sys.modules})") == "set()\n"


def test_importing_it_compiles_little() -> None:
    """`dataclasses` compiles its methods anew whenever a program starts, six for a frozen class.

    That was half of what an import cost: values are `Frozen` for that reason.
    """
    output = python(
        "import dataclasses, sys, trio.testing\n"
        "compiled = 0\n"
        "def hook(event, arguments):\n"
        "    global compiled\n"
        "    if event == 'compile':\n"
        "        caller = sys._getframe(1).f_code.co_filename\n"
        "        compiled += caller == dataclasses.__file__\n"
        "sys.addaudithook(hook)\n"
        "import trio_sctp\n"
        "print(compiled)\n"
    )
    assert 0 < int(output) <= 60
