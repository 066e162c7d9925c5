"""Sphinx configuration."""

import sys
from pathlib import Path

from numpydoc.xref import DEFAULT_LINKS
from sphinx.application import Sphinx

import nonlin

sys.path.insert(0, str(Path(__file__).parent))
import mathematics
from api import pages
from pictures import Pictures

project = "nonlin"
author = "nonlin developers"
copyright = f"2026, {author}"
version = release = nonlin.__version__

extensions = ["myst_parser", "numpydoc", "sphinx_design"]
extensions += ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.extlinks"]
exclude_patterns = ["build"]
nitpicky = True
default_role = "autolink"  # names of functions in docstrings are links, those of arguments are not
autosummary_generate = False
nitpick_ignore_regex = [("py:obj", r"(asyncio|numpy)\..*")]  # of others: names without a link

html_theme = "pydata_sphinx_theme"
html_title = f"nonlin {version}"
html_static_path = ["static", "generated/fonts"]
html_math_renderer = "mathml"
html_css_files = ["nonlin.css"]
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "icon_links": [{"name": "Source", "url": "https://github.com/nonlin/nonlin", "icon": "fa-brands fa-github"}],
}
html_show_sourcelink = False
# The signature of a ufunc is the first line of its docstring.
autodoc_docstring_signature = True
autodoc_typehints = "none"  # the docstrings say what arguments are, in words
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
numpydoc_show_class_members = False  # autodoc shows them, on the page of the class
autodoc_default_options = {"members": True}
# Of the words in the types of arguments, NumPy's own are links; no inventory of names is loaded for them.
extlinks = {"numpy": ("https://numpy.org/doc/stable/%s", None)}
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = {word: word for word in DEFAULT_LINKS} | {
    "array_like": ":numpy:`array_like <glossary.html#term-array_like>`",
    "ndarray": ":numpy:`ndarray <reference/generated/numpy.ndarray.html>`",
}

generated = Path(__file__).parent / "generated"
generated.mkdir(exist_ok=True)
made = pages()
for path in generated.iterdir():  # of functions that were renamed, or by another version
    if path.is_file() and path.name not in made:
        path.unlink()
for file_name, text in made.items():
    path = generated / file_name
    if not path.exists() or path.read_text() != text:  # else Sphinx reads it anew
        path.write_text(text)


def setup(app: Sphinx) -> None:
    """Add what the pages use."""
    app.add_directive("pictures", Pictures)
    mathematics.setup(app)
