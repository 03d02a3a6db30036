"""The page of measured speeds, docs/speed.md: the tables of each part stand between its markers."""

from __future__ import annotations

from pathlib import Path

PARTS = ("native", "engine", "udp", "crowd", "scale", "kernel")
PAGE = Path(__file__).parents[1] / "docs" / "speed.md"


def markers(part: str) -> tuple[str, str]:
    """The lines before and after the tables of a part."""
    return f"<!-- {part}: begin -->\n", f"<!-- {part}: end -->\n"


def with_tables(page: str, part: str, tables: str) -> str:
    """A page with new tables for one part; everything else stays as it is."""
    begin, end = markers(part)
    before, rest = page.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}{tables}{end}{after}"


def write(part: str, tables: str) -> None:
    """Put the tables of a part on the page."""
    PAGE.write_text(with_tables(PAGE.read_text(), part, tables))
