"""Say how many tests passed where, and how many of the conformance suite on each stack.

    python -m tests.summary ENGINE.xml HERE.xml PURE-ENGINE.xml PURE.xml KERNEL.xml

It fails if the conformance suite ran on none of its tests for a stack.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as tree
from collections import Counter

WHERE = (
    "of the compiled engine",
    "of all else here",
    "of the engine as pure Python",
    "of all else with that",
    "on a kernel with SCTP",
)
STACKS = "kernel", "userland", "simulated"


def main() -> None:
    passed: Counter[str] = Counter()
    for where, file in zip(WHERE, sys.argv[1:], strict=True):
        suite = tree.parse(file).find("testsuite")
        assert suite is not None
        skipped = int(suite.attrib["skipped"])
        print(f"tests {where}: {int(suite.attrib['tests']) - skipped} passed, {skipped} skipped")
        for case in suite.iter("testcase"):
            if case.attrib["classname"].startswith("tests.conformance.") and not len(case):
                parameters = case.attrib["name"].partition("[")[2].rstrip("]").split("-")
                passed.update(stack for stack in STACKS if stack in parameters)
    print("conformance:", ", ".join(f"{passed[stack]} on {stack}" for stack in STACKS))
    for stack in STACKS:
        if not passed[stack]:
            sys.exit(f"no test of the conformance suite has run on the {stack} stack")


if __name__ == "__main__":
    main()
