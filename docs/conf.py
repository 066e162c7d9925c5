"""Sphinx configuration."""

import sys
from pathlib import Path

import nonlin

sys.path.insert(0, str(Path(__file__).parent))
from api import pages

project = "nonlin"
author = "nonlin developers"
copyright = f"2026, {author}"
version = release = nonlin.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.mathjax"]
exclude_patterns = ["build"]
html_theme = "pydata_sphinx_theme"
html_title = f"nonlin {version}"
# The signature of a ufunc is the first line of its docstring.
autodoc_docstring_signature = True
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]  # the README's links to files that are no pages
numpydoc_show_class_members = False  # autodoc shows them, on the page of the class
autodoc_default_options = {"members": True}

generated = Path(__file__).parent / "generated"
generated.mkdir(exist_ok=True)
for file_name, text in pages().items():
    (generated / file_name).write_text(text)
