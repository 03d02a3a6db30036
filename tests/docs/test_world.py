"""What tests/docs/blocks.py promises of a block of code, so that a block that is wrong fails."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio.testing

from .blocks import Program, runs
from .world import run_beside

SERVER = """\
import trio_sctp

async def show(association: trio_sctp.AssociationChannel) -> None:
    async for message in association:
        print(message.data.decode())

async def main() -> None:
    await trio_sctp.serve(show, 2905)
"""
CLIENT = """\
import trio, trio_sctp

async def main():
    async with await trio_sctp.open_association("127.0.0.1", 2905) as association:
        await association.send(b"from the client")
        with trio.move_on_after(1):
            print("answer", (await association.receive()).data)

trio.run(main)
"""


async def output(*sources: str, arguments: str = "") -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        return await run_beside([Program(source, arguments) for source in sources], patch)


def page(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(text)
    return path


async def test_a_client_is_answered(autojump_clock: trio.testing.MockClock) -> None:
    assert await output(CLIENT) == ["answer b'from the client'\n"]


async def test_a_server_is_visited(autojump_clock: trio.testing.MockClock) -> None:
    assert await output(SERVER) == ["hello\n"]


async def test_a_server_and_a_client_meet(autojump_clock: trio.testing.MockClock) -> None:
    printed = await output(SERVER, CLIENT)
    assert "from the client" in printed[0].splitlines()
    assert printed[1] == ""


@pytest.mark.parametrize(
    ("source", "printed"),
    [
        ("def f(channel: trio_sctp.AssociationChannel): print(channel.stack.name)", "simulated\n"),
        ("def f(endpoint: trio_sctp.Endpoint, id): print(id in endpoint.associations)", "True\n"),
        ("async def f(text: str) -> None: print(text)", "given\n"),
        ("def used(): print('called')\ndef f(): used()", "called\n"),
        ("await trio.sleep(3)\nprint(trio.current_time())", "3.0\n"),
        ("import signal\nwith trio.open_signal_receiver(signal.SIGTERM) as s:\n"
         "    print(await anext(s) == signal.SIGTERM)", "True\n"),
    ],
)  # fmt: skip
async def test_functions_get_what_their_parameters_say(
    source: str, printed: str, autojump_clock: trio.testing.MockClock
) -> None:
    source = f"import trio, trio_sctp\n{source}"
    assert await output(source, arguments='text = "given"') == [printed]


@pytest.mark.parametrize(
    "source",
    [
        "def f(association) -> None: pass",
        "raise TypeError",
        "import trio\nasync def main(): raise TypeError\ntrio.run(main)",
        "async def main(): raise TypeError",
    ],
)
async def test_a_program_that_fails_fails_its_test(
    source: str, autojump_clock: trio.testing.MockClock
) -> None:
    with pytest.RaisesGroup(TypeError, flatten_subgroups=True):
        await output(source)


def test_blocks_become_programs(tmp_path: Path) -> None:
    text = """\
```python
# server.py
```

```python
a = 1
```

<!-- goes on -->
```python
print(a)
```

```output
1
```

<!-- beside -->
```python
b = 2
```

- in a list:
  <!-- not run: a reason -->
  ```python
  c = 3
  ```
"""
    first, second = runs(page(tmp_path, text))
    assert first.programs == [Program("a = 1\nprint(a)\n", "", "1\n"), Program("b = 2\n", "")]
    assert (first.reason, second.reason) == (None, "a reason")
    assert second.programs == [Program("c = 3\n", "")]


def test_a_mark_that_says_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="says nothing: not-run"):
        runs(page(tmp_path, "<!-- not-run -->\n```python\n```\n"))
