"""The site is built without a warning, its links lead somewhere, and the reference is complete."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urldefrag
from xml.etree import ElementTree

import pytest

import trio_sctp
import trio_sctp.testing

pytest.importorskip("sphinx")

ROOT = Path(__file__).parents[2]
PICTURES = sorted((ROOT / "docs/pictures").glob("*.svg"))


class Page(HTMLParser):
    """The links of a built page, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.anchors.add(found.get("id") or "")
        for name in "href", "src":
            if link := found.get(name):
                self.links.add(unquote(link))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """The built pages, by their files."""
    built = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--keep-going"]
    result = subprocess.run(
        [*command, "--doctree-dir", built / "doctrees", ROOT / "docs", built / "html"],
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return {path: Page(path.read_text()) for path in (built / "html").rglob("*.html")}


def test_every_page_is_built(site: dict[Path, Page]) -> None:
    built = {path.name for path in site}
    assert {page.stem + ".html" for page in (ROOT / "docs").rglob("*.md")} <= built


def test_every_link_leads_somewhere(site: dict[Path, Page]) -> None:
    followed = 0
    for path, page in site.items():
        for link in page.links:
            target, anchor = urldefrag(link)
            if ":" in target:
                continue  # another site's
            file = (path.parent / target.partition("?")[0]).resolve() if target else path
            assert file.exists(), f"{path.name}: {link}"
            if file in site:
                assert anchor in site[file].anchors, f"{path.name}: {link}"
                followed += bool(anchor)
    assert followed > 100


@pytest.mark.parametrize("module", [trio_sctp, trio_sctp.testing], ids=lambda m: m.__name__)
def test_the_reference_has_every_public_name(site: dict[Path, Page], module: ModuleType) -> None:
    anchors = set().union(
        *(page.anchors for path, page in site.items() if "reference" in str(path))
    )
    name = module.__name__
    assert {f"{name}.{public}" for public in module.__all__} <= anchors


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_well_formed_and_shown_with_a_text_in_its_place(picture: Path) -> None:
    assert ElementTree.parse(picture).find("{http://www.w3.org/2000/svg}title") is not None
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    shown = re.compile(rf"!\[[^\]]+\]\([^)]*\b{re.escape(picture.name)}\)")
    assert any(shown.search(page.read_text()) for page in pages)


def test_the_reference_has_the_texts_behind_members_and_aliases(site: dict[Path, Page]) -> None:
    """They stand in modules that public names do not say they are from."""
    (events,) = (path for path in site if path.match("reference/events.html"))
    text = events.read_text()
    assert "The association is ready, and messages can be exchanged." in text
    assert "What a program receives besides messages." in text
