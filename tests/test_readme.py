"""The Python in the README and in every docstring of a ufunc runs and prints what it says."""

import doctest
import pathlib
import re

import numpy as np
import pytest

import nonlin as nl

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def run(source: str, name: str) -> None:
    test = doctest.DocTestParser().get_doctest(source, {"nl": nl, "np": np}, name, name, 0)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    output: list[str] = []
    runner.run(test, out=output.append)
    assert runner.failures == 0, "".join(output)


def python_blocks(page: pathlib.Path) -> list[str]:
    return re.findall(r"^```(?:python|pycon)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", [p for p in PAGES if p.exists()], ids=lambda p: p.name)
def test_python_blocks(page: pathlib.Path) -> None:
    """Blocks with prompts are doctests, the others just run, all of a page in one namespace."""
    if page.parent.name == "engines":
        pytest.importorskip(page.stem)
    namespace: dict[str, object] = {}
    for block in python_blocks(page):
        if ">>>" in block:
            test = doctest.DocTestParser().get_doctest(block, namespace, page.name, page.name, 0)
            output: list[str] = []
            runner = doctest.DocTestRunner(optionflags=FLAGS)
            runner.run(test, out=output.append, clear_globs=False)
            assert runner.failures == 0, "".join(output)
            namespace.update(test.globs)
        else:
            exec(compile(block, page.name, "exec"), namespace)


def test_readme_has_an_example() -> None:
    assert any("nonlin" in block for block in python_blocks(ROOT / "README.md"))


@pytest.mark.parametrize("name", sorted(name for name in nl.__all__ if isinstance(getattr(nl, name), np.ufunc)))
def test_docstring_of_ufunc(name: str) -> None:
    """pytest collects the docstrings of Python functions by itself, but not those of ufuncs."""
    run(getattr(nl, name).__doc__, name)


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake ([\w-]+)", "\n".join(p.read_text() for p in PAGES[:2] if p.exists()))):
        assert re.search(rf"^([\w-]+ )*{target}( [\w-]+)*:", makefile, re.MULTILINE), target


def test_links_of_the_readme_exist() -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)|src=\"([^\"]+)\"", (ROOT / "README.md").read_text()):
        path = "".join(link)
        assert path.startswith("http") or (ROOT / path).exists(), path
