"""Other programs that the benchmarks run, and command line by line."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping


class Program:
    """A program that reads commands, one a line, and answers each with a line."""

    def __init__(self, *command: str, environment: Mapping[str, str] | None = None) -> None:
        pipe = subprocess.PIPE
        env = {**os.environ, **(environment or {})}
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, bufsize=1, env=env
        )

    def ask(self, *words: str | int) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(*words, file=self._process.stdin)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self._process.args!r} died of {words!r}")
        return answer.strip()

    def end(self) -> None:
        self._process.communicate()
