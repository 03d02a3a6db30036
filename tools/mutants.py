#!/usr/bin/env python3
"""Draw mutants of the package, and say how many of them its tests notice: tools/mutants.py

    tools/mutants.py engine --count 200 --seed 1    as `make mutants` does
    tools/mutants.py trio                           as `make mutants SIDE=trio` does

A mutant is the package with one thing changed: a comparison, a constant, an operator.  A test that
fails kills it; one that all tests pass shows what they do not see, unless it is equivalent, which
only a reader can tell.  Places are drawn, each as likely as any other, and then what is done to
them, since there are ten ways to spoil a sum and one to spoil an `and`.

Cosmic Ray makes the mutants.  Each is tested in one of as many copies of this tree as there are
CPUs, which are thrown away: nothing here is changed.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import os
import random
import shlex
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import Queue
from pathlib import Path

import cosmic_ray.commands
from cosmic_ray.mutating import mutate_and_test, mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.testing import run_tests
from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkResult

TREE = Path(__file__).resolve().parent.parent
WANTED = 92  # percent


@dataclasses.dataclass(frozen=True)
class Side:
    """A part of the package that is changed, and what tests it.

    Attributes:
      modules: Patterns of its files, in `trio_sctp`.
      tests: Folders with tests.
      left_out: Files there that take long for what they see, or look at the text of the modules.
      last: Files that take long: a run ends at the first failure, so others come before them.
      chosen: More arguments of pytest's.
    """

    modules: Sequence[str]
    tests: Sequence[str]
    left_out: Sequence[str]
    last: Sequence[str] = ()
    chosen: Sequence[str] = ()


SIDES = {
    # Congestion takes five times as long as all others together.
    "engine": Side(
        modules=["_engine/*.py"],
        tests=["tests/nplab", "tests/etsi", "tests/engine"],
        left_out=["test_congestion.py", "test_tshark.py", "test_no_patches.py"],
        last=[
            "test_adversaries.py",
            "test_formal_properties.py",
            "test_memory.py",
            "test_packet_costs.py",
            "test_properties.py",
            "test_receive_window.py",
            "test_flood.py",
            "test_fuzz.py",
        ],
    ),
    # On the simulated network, which needs no sockets: what opens them is not changed.  Of the
    # tests over UDP those take part that see what no other does and can run beside each other.
    "trio": Side(
        modules=["_*.py", "_socket/*.py", "_userland/options.py", "_userland/stack.py"],
        tests=["tests/conformance", "tests/unit", "tests/userland"],
        left_out=[
            "test_docs.py",
            "test_gen_sctp_table.py",
            "test_ladder*.py",
            "test_layers.py",
            "test_misuse_of_testing.py",
            "test_network.py",
            "test_packaging.py",
            "test_project_files.py",
            "test_workflow.py",
        ],
        last=[
            "test_timers.py",
            "test_attempts.py",
            "test_reconnect_cut_short.py",
            "test_encapsulation_port.py",
            "test_max_held.py",
            "test_trains.py",
        ],
        chosen=[
            "-m",
            "not kernel",
            "-k",
            "not userland or test_encapsulation_port or test_max_held or test_trains",
        ],
    ),
}

# `==` in place of `is` makes no other program, nor the other way round, of enums and small numbers.
EQUIVALENT = "_Eq_Is", "_NotEq_IsNot", "_Is_Eq", "_IsNot_NotEq"


def test_command(side: Side) -> str:
    """The command that tests a copy, run in it."""
    tests = [
        path
        for folder in side.tests
        for path in sorted((TREE / folder).glob("test_*.py"))
        if not any(map(path.match, side.left_out))
    ]
    tests.sort(key=lambda path: side.last.index(path.name) if path.name in side.last else -1)
    names = [str(path.relative_to(TREE)) for path in tests]
    quiet = [
        "-x",
        "-q",
        "--no-header",
        "--tb=line",
        "-p",
        "no:cacheprovider",
        "--hypothesis-seed=0",
    ]
    return shlex.join([sys.executable, "-m", "pytest", *quiet, *side.chosen, *names])


# -- drawing -----------------------------------------------------------------------------------


def all_mutations(side: Side) -> list[MutationSpec]:
    """All that can be done to a side, in the same order each time."""
    package = TREE / "trio_sctp"
    found_in = {path for pattern in side.modules for path in package.glob(pattern)}
    modules = sorted(path.relative_to(TREE) for path in found_in)
    with tempfile.TemporaryDirectory() as folder, use_db(f"{folder}/session.sqlite") as session:
        cosmic_ray.commands.init(modules, session, {})
        found = [item.mutations[0] for item in session.work_items]
    found.sort(key=lambda m: (m.module_path, m.start_pos, m.operator_name, m.occurrence))
    return found


def inert(module: Path) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Where that begins and ends of which a change changes nothing: annotations, and `slots=True`,
    `strict=True`, `repr=False` and caches, which cost or check what no test can see."""
    for node in ast.walk(ast.parse((TREE / module).read_text())):
        parts = [getattr(node, name, None) for name in ("annotation", "returns")]
        if isinstance(node, ast.keyword) and node.arg in ("slots", "strict", "repr"):
            parts.append(node.value)
        if isinstance(node, ast.FunctionDef):
            parts += [one for one in node.decorator_list if "lru_cache" in ast.unparse(one)]
        for part in parts:
            if isinstance(part, ast.expr):
                assert part.end_lineno is not None
                assert part.end_col_offset is not None
                yield (part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)


def draw(side: Side, count: int, seed: int) -> list[MutationSpec]:
    """Draw as many mutants, all at different places."""
    places: dict[tuple[Path, tuple[int, int]], list[MutationSpec]] = defaultdict(list)
    unread: dict[Path, list[tuple[tuple[int, int], tuple[int, int]]]] = {}
    for mutation in all_mutations(side):
        module, at = mutation.module_path, mutation.start_pos
        if module not in unread:
            unread[module] = list(inert(module))
        if not mutation.operator_name.endswith(EQUIVALENT) and not any(
            start <= at < end for start, end in unread[module]
        ):
            places[module, at].append(mutation)
    chance = random.Random(seed)
    drawn: list[MutationSpec] = []
    for place in chance.sample(list(places), len(places)):
        mutation = chance.choice(places[place])
        if len(drawn) < count and is_program(mutation):
            drawn.append(mutation)
    return drawn


def is_program(mutation: MutationSpec) -> bool:
    """Whether a mutant can be made, and compiled."""
    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    source = (TREE / mutation.module_path).read_text()
    try:
        code = mutate_code(source, operator, mutation.occurrence)
        compile(code, mutation.module_path, "exec")
    except (SyntaxError, AttributeError):  # Cosmic Ray fails at a dotted name in `except (a.B, C)`.
        return False
    return True


# -- testing -----------------------------------------------------------------------------------


def make_copy(folder: Path) -> None:
    """Copy what the tests need."""
    for name in ("trio_sctp", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(TREE / name, folder / name, ignore=ignored)
    shutil.copy(TREE / "pyproject.toml", folder)


def enter_copy(copies: Queue[Path]) -> None:
    """Give a process a copy of its own to work in."""
    os.chdir(copies.get())


def test(mutation: MutationSpec, command: str, timeout: float) -> WorkResult:
    """Test one mutant, in the copy that this process is in."""
    return mutate_and_test([mutation], command, timeout)


def describe(mutation: MutationSpec, result: WorkResult) -> str:
    """What a mutant is, as the lines of its diff that differ."""
    lines = (result.diff or "").splitlines()
    changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    where = f"{mutation.module_path}:{mutation.start_pos[0]}"
    return "\n".join([f"{where} in {mutation.definition_name}", *changed])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("side", choices=SIDES, help="what is changed")
    parser.add_argument("--count", type=int, default=200, help="how many to draw")
    parser.add_argument("--seed", type=int, default=1, help="the same seed draws the same ones")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at a time")
    options = parser.parse_args()

    os.chdir(TREE)
    side = SIDES[options.side]
    drawn = draw(side, options.count, options.seed)
    command = test_command(side)
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        copies: Queue[Path] = Queue()
        for job in range(options.jobs):
            copy = Path(name, str(job))
            make_copy(copy)
            copies.put(copy)
        with ProcessPoolExecutor(options.jobs, initializer=enter_copy, initargs=(copies,)) as pool:
            start = time.monotonic()
            outcome, output = pool.submit(run_tests, command, None).result()
            if outcome is not TestOutcome.SURVIVED:
                sys.exit(f"the tests fail without any mutant:\n{output}")
            taken = time.monotonic() - start
            # One that runs on for ever is noticed; the others share the CPUs.
            timeout = 20 + 4 * taken
            print(
                f"{len(drawn)} mutants, seed {options.seed}; tests take {taken:.0f} s", flush=True
            )
            running = {pool.submit(test, one, command, timeout): one for one in drawn}
            alive = endless = 0
            for done, future in enumerate(as_completed(running), 1):
                result = future.result()
                if result.test_outcome is TestOutcome.SURVIVED:
                    alive += 1
                    one = describe(running[future], result)
                    print(f"number {done} survives: {one}", flush=True)
                elif result.test_outcome is not TestOutcome.KILLED:
                    sys.exit(f"{running[future]} could not be tested:\n{result.output}")
                endless += result.output == "timeout"
    dead = len(drawn) - alive
    share = 100 * dead / len(drawn)
    print(f"{dead} of {len(drawn)} mutants die: {share:.1f} %, wanted {WANTED} %", end="")
    print(f" ({endless} by running on for {timeout:.0f} s)" if endless else "")
    sys.exit(share < WANTED)


if __name__ == "__main__":
    main()
