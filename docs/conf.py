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

generated = Path(__file__).parent / "generated"
generated.mkdir(exist_ok=True)
for file_name, text in pages().items():
    (generated / file_name).write_text(text)
