"""How Sphinx makes a site of this folder's pages; `make docs` does it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import trio_sctp

project = "trio_sctp"
author = "The trio_sctp authors"
copyright = author
version = release = trio_sctp.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinxcontrib_trio",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
nitpicky = True

# A folder may have no page yet.  Sphinx gives this warning no name to suppress it by.
logging.getLogger("sphinx.sphinx.directives.other").addFilter(
    lambda record: "didn't match any documents" not in record.getMessage()
)

# Names of the standard library and of Trio lead to their own sites.  Tests build without a network.
if not tags.has("offline"):  # noqa: F821 - Sphinx defines it
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "trio": ("https://trio.readthedocs.io/en/stable", None),
    }

myst_heading_anchors = 4  # the same anchors that code hosts make

html_theme = "furo"
html_title = "trio_sctp"
html_show_sphinx = False
