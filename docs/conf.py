"""How Sphinx makes a site of this folder's pages; `make docs` does it."""

from __future__ import annotations

import inspect
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import trio_sctp
from trio_sctp import _options

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

# Types that appear in signatures and are nobody's to name.
nitpick_ignore_regex = [("py:.*", r"trio_sctp\._[\w.]+\.(T|R|Half|ONCE)")]

# Names of the standard library and of Trio lead to their own sites.  Tests build without a network.
if tags.has("offline"):  # noqa: F821 - Sphinx defines it
    others = "collections|contextlib|enum|os|socket|ssl|trio"
    nitpick_ignore_regex += [("py:.*", rf"({others})\..*")]
else:
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "trio": ("https://trio.readthedocs.io/en/stable", None),
    }

napoleon_attr_annotations = False  # The signature has the types.
default_role = "py:obj"  # what a docstring has in single backquotes
autodoc_default_options = {"undoc-members": True}
autodoc_use_legacy_class_based = True  # sphinxcontrib-trio adds "async with" and the like to these
autodoc_member_order = "bysource"
add_module_names = False
python_maximum_signature_line_length = 88

myst_heading_anchors = 4  # the same anchors that code hosts make

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = "trio_sctp"
html_show_sphinx = False


def _documented_class(app):
    """The class whose members autodoc looks at."""
    document = app.env.current_document
    module = sys.modules.get(document.autodoc_module)
    return getattr(module, document.autodoc_class, None)


def leave_out(app, kind, name, value, skip, options):
    """Leave out the fields that the docstring of their class describes."""
    _, _, attributes = (inspect.getdoc(_documented_class(app)) or "").partition("\nAttributes:\n")
    named = [line.partition(":")[0] for line in attributes.splitlines()]
    described = {field.strip() for line in named for field in line.split(",")}
    of_options = isinstance(value, bool | _options.Scope)  # which the guide's table shows
    return True if name in described or of_options else None


def hide_constructors(app, kind, name, value, options, signature, returns):
    """Show no parameters of a class that programs do not make themselves."""
    of_ours = (inspect.getdoc(getattr(value, "__init__", None)) or "").startswith(
        "Not for programs"
    )
    return ("", returns) if kind == "class" and of_ours else None


def setup(app):
    app.connect("autodoc-skip-member", leave_out)
    app.connect("autodoc-process-signature", hide_constructors)
