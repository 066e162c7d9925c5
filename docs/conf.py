"""Sphinx configuration."""

import sys
from pathlib import Path

from sphinx.application import Sphinx

import nonlin

sys.path.insert(0, str(Path(__file__).parent))
from api import pages
from pictures import Pictures

project = "nonlin"
author = "nonlin developers"
copyright = f"2026, {author}"
version = release = nonlin.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx_design"]
exclude_patterns = ["build"]
nitpicky = True

html_theme = "pydata_sphinx_theme"
html_title = f"nonlin {version}"
html_static_path = ["static"]
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
