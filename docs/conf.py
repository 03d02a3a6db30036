"""How Sphinx makes a site of this folder's pages; `make docs` does it."""

from __future__ import annotations

import enum
import inspect
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["TRIO_SCTP_PURE"] = "1"  # Sphinx reads sources, which the compiled engine has not.

from docutils import nodes
from sphinx.addnodes import download_reference, pending_xref
from sphinx.pycode import ModuleAnalyzer

import trio_sctp
import trio_sctp.testing
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

nitpick_ignore_regex = [
    # Types that appear in signatures and are nobody's to name.
    ("py:.*", r"trio_sctp\._[\w.]+\.(T|R|Half|ONCE)"),
    # The standard library's, and Trio's.
    ("py:.*", r"(collections|contextlib|enum|os|socket|ssl|trio)\..*"),
]

# Those lead to their own sites if `--tag online` says that these can be asked.
if tags.has("online"):  # noqa: F821 - Sphinx defines it
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

copybutton_prompt_text = "$ "

html_theme = "furo"
pygments_dark_style = "github-dark"
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
    if kind != "class":
        return None
    ours = (inspect.getdoc(value.__init__) or "").startswith("Not for programs")
    abstract = getattr(value, "_is_protocol", False) or issubclass(value, enum.Enum)
    return ("", returns) if ours or abstract else None


def read_sources(package):
    """Have autodoc find the texts behind attributes, and their order.

    Public classes say that they are the package's, so it would look for them in its `__init__.py`.
    """
    whole = ModuleAnalyzer.for_module(package)
    whole.analyze()
    for name in sorted(sys.modules):
        if name.startswith(f"{package}._") and hasattr(sys.modules[name], "__file__"):
            part = ModuleAnalyzer.for_module(name)
            part.analyze()
            whole.attr_docs |= part.attr_docs
            whole.tagorder |= part.tagorder


def link_names(app, doctree):
    """Make each public name in a page's text a link to its entry in the reference."""
    if app.env.current_document.docname.startswith("reference/"):
        return
    for node in list(doctree.findall(nodes.literal)):
        found = re.fullmatch(r"(?:trio_sctp\.)?(\w+)(?:\.(\w+))?(?:\(.*\))?", node.astext())
        if found and found[1] in trio_sctp.__all__ and type(node.parent) is not nodes.reference:
            target = _entry(*found.groups())
            link = pending_xref("", refdomain="py", reftype="obj", reftarget=target)
            node.replace_self(link)
            link += node


def _entry(name, attribute):
    """What the reference calls a public name, or an attribute that it may have inherited."""
    bases = getattr(getattr(trio_sctp, name), "__mro__", [])
    for base in bases if attribute else ():
        if attribute in vars(base) and base.__module__ == "trio_sctp":
            return f"trio_sctp.{base.__name__}.{attribute}"
    return f"trio_sctp.{name}"


def link_programs(app, doctree):
    """Make a link to a program in examples/ lead to its page, if it has one, not to a download."""
    for node in list(doctree.findall(download_reference)):
        page = f"programs/{Path(node['reftarget']).stem}"
        if page in app.env.found_docs and app.env.current_document.docname != page:
            link = pending_xref("", refdomain="std", reftype="doc", reftarget=f"/{page}")
            link["refexplicit"] = True
            node.replace_self(link)
            link += node.children


def setup(app):
    read_sources("trio_sctp")
    read_sources("trio_sctp.testing")
    app.connect("doctree-read", link_programs)
    app.connect("doctree-read", link_names)
    app.connect("autodoc-skip-member", leave_out)
    app.connect("autodoc-process-signature", hide_constructors)
