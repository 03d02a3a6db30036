"""The documentation agrees with the code: defaults, names, links, examples."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from pathlib import Path

import pytest
import trio

import trio_sctp
from benchmarks import measuring
from benchmarks import page as speed_page
from trio_sctp._inbox import DEFAULT_BATCH
from trio_sctp._listener import DEFAULT_BACKLOG
from trio_sctp._options import DEFAULTS, Default, Scope
from trio_sctp._socket.opening import DEFAULT_MAX_MESSAGE_SIZE
from trio_sctp._socket.queue import STORE_BYTES, STORE_RECORDS

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", *DOCS]
MIB = 2**20

PUBLIC = {name: getattr(trio_sctp, name) for name in trio_sctp.__all__}


def code_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


EXAMPLES = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, block in enumerate(code_blocks(page), 1)
]
each_page = pytest.mark.parametrize(
    "page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES]
)


# -- defaults ----------------------------------------------------------------------------------


def default_row(default: Default) -> str:
    """The row of docs/defaults.md that this default has to have."""
    option = default.option
    values = {
        field.name: getattr(option, field.name)
        for field in dataclasses.fields(option)
        if getattr(option, field.name) is not None
    }
    if len(values) > 1 and all(isinstance(value, bool) for value in values.values()):
        on, off = (
            ", ".join(f"`{name}`" for name, value in values.items() if value is wanted)
            for wanted in (True, False)
        )
        shown = f"on: {on}; off: {off}"
    else:
        shown = ", ".join(f"`{name}={value}`" for name, value in values.items())
    return f"| `{type(option).__name__}` | {shown} | {default.reason} | {default.gen_sctp} |"


def test_the_table_of_defaults_is_that_of_the_code() -> None:
    text = (ROOT / "docs/defaults.md").read_text()
    table = text.split("<!-- defaults: begin -->\n")[1].split("<!-- defaults: end -->")[0]
    assert table.splitlines()[2:] == [default_row(default) for default in DEFAULTS]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("`max_message_size`", f"{DEFAULT_MAX_MESSAGE_SIZE // MIB} MiB"),
        ("`backlog`", f"{DEFAULT_BACKLOG}"),
        ("store, read ahead", f"{STORE_RECORDS} records or {STORE_BYTES // MIB} MiB"),
        ("`limit` of `receive_batch`", f"{DEFAULT_BATCH}"),
    ],
)
def test_fixed_settings_are_those_of_the_code(setting: str, value: str) -> None:
    assert f"\n| {setting} | {value} |" in (ROOT / "docs/defaults.md").read_text()


SCOPES = {
    Scope.SOCKET: "socket",
    Scope.NEW: "new associations",
    Scope.ASSOCIATION: "association",
    Scope.ONE_ASSOCIATION: "one association",
}


def test_the_options_scopes_are_those_of_the_code() -> None:
    guide = (ROOT / "docs/guide.md").read_text()
    kinds = [k for k in PUBLIC.values() if isinstance(k, type) and issubclass(k, trio_sctp.Option)]
    for kind in kinds:
        if kind is not trio_sctp.Option:
            scope = SCOPES[kind.scope]
            scope += ", negotiated" * kind.negotiated
            scope += ", read-only" * kind.read_only + ", write-only" * kind.write_only
            scope += ", at opening" * kind.at_open_only
            assert f"| `{kind.__name__}` | {scope} |" in guide


def test_default_subscriptions_are_those_of_the_code() -> None:
    events = (ROOT / "docs/events.md").read_text()
    (subscription,) = (
        default.option
        for default in DEFAULTS
        if isinstance(default.option, trio_sctp.EventSubscription)
    )
    for field in dataclasses.fields(subscription):
        shown = "on" if getattr(subscription, field.name) else "off"
        assert f"| `{field.name}` | {shown} |" in events


# -- measured speeds ---------------------------------------------------------------------------


@pytest.mark.parametrize("part", speed_page.PARTS)
def test_the_tables_of_a_benchmark_replace_its_own_and_nothing_else(part: str) -> None:
    text = (ROOT / "docs/speed.md").read_text()
    begin, end = speed_page.markers(part)
    before, after = text.split(begin)[0], text.split(end)[1]
    table = measuring.Table("Measured", ["", "µs"], [["batches", "2.19"]]).markdown()
    written = speed_page.with_tables(text, part, table)
    assert written == before + begin + table + end + after
    assert speed_page.with_tables(written, part, text.split(begin)[1].split(end)[0]) == text


def test_the_speed_page_has_tables_for_each_benchmark_and_no_other_markers() -> None:
    text = speed_page.PAGE.read_text()
    assert re.findall(r"<!-- (\w+): begin -->\n\S.*:\n\n\| .*\n\| ---", text) == re.findall(
        r"\n<!-- (\w+): end -->", text
    )
    assert sorted(re.findall(r"<!-- (\w+): begin -->", text)) == sorted(speed_page.PARTS)


# -- names and links ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_is_in_the_docs(name: str) -> None:
    text = "\n".join(page.read_text() for page in DOCS)
    assert re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", text), f"{name} is on no page of docs/"


@each_page
def test_attributes_named_in_the_text_exist(page: Path) -> None:
    for owner, attribute in re.findall(r"`(?:trio_sctp\.)?(\w+)\.(\w+)[^`]*`", prose(page)):
        if owner == "trio_sctp":
            assert attribute in {*PUBLIC, "__version__", "__compiled__", "testing"}
        value = PUBLIC.get(owner)
        if not inspect.isclass(value) or issubclass(value, BaseException):
            continue  # errors have their attributes from __init__
        assert hasattr(value, attribute), f"{owner} has no {attribute}"


def anchor(heading: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@each_page
def test_relative_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if fragment:
            headings = re.findall(r"^#+ (.+)$", prose(file), re.MULTILINE)
            assert fragment in map(anchor, headings), target


# -- examples ----------------------------------------------------------------------------------


@pytest.mark.parametrize("block", EXAMPLES)
def test_examples_compile_and_use_names_that_exist(block: str) -> None:
    source = textwrap.dedent(block)
    compile(source, "example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(module="trio_sctp", names=names):
                assert {alias.name for alias in names} <= set(PUBLIC)
            case ast.Attribute(value=ast.Name(id="trio_sctp"), attr=attribute):
                assert attribute in {*PUBLIC, "__version__", "__compiled__"}
            case ast.Attribute(value=ast.Name(id="trio"), attr=attribute):
                assert hasattr(trio, attribute)
            case ast.Call(func=ast.Name(id=name), keywords=keywords) if name in PUBLIC:
                parameters = inspect.signature(PUBLIC[name]).parameters
                assert {keyword.arg for keyword in keywords} <= set(parameters)
