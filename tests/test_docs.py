"""The documentation's tables and formulas hold, and its programs run."""

import importlib.util
import json
import re
import runpy
import sys
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special

import nonlin as nl
from nonlin import _core

DOCS = Path(__file__).parents[1] / "docs"
if not DOCS.exists():
    pytest.skip("no documentation beside the tests", allow_module_level=True)

LIBRARIES = {"numpy": "numpy", "scipy": "scipy", "scikit_learn": "sklearn", "torch": "torch", "jax": "jax"}
FUNCTIONS: dict[str, dict[str, Any]] = tomllib.loads((DOCS / "functions.toml").read_text())
PIECES = ("logsumexp_partial", "logsumexp_merge", "logsumexp_finish", "softmax_from", "log_softmax_from")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


# Their call, our call, and what differs.
CASES = [(library, row) for library in LIBRARIES for entry in FUNCTIONS.values() for row in entry.get(library, [])]


@pytest.mark.filterwarnings("ignore")  # of the others
@pytest.mark.parametrize(("library", "row"), CASES, ids=[f"{library}-{row[1]}" for library, row in CASES])
def test_theirs_is_ours(library: str, row: list[str]) -> None:
    pytest.importorskip(LIBRARIES[library])
    theirs, ours, differs = row
    assert "nl." in ours
    assert differs
    values: dict[str, Any] = {}
    for block in blocks(DOCS / "coming_from" / f"{library}.md", "py"):
        exec(block, values)
    results = [eval(code, values) for code in (theirs, ours)]
    for a, b in zip(*(x if isinstance(x, tuple) else (x,) for x in results), strict=True):
        b = np.asarray(b)
        tolerance = 1e-5 if b.dtype == np.float32 else 1e-7
        assert np.shape(np.asarray(a)) == b.shape
        np.testing.assert_allclose(np.asarray(a), b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("library", LIBRARIES)
def test_page_of_the_library_names_what_it_needs(library: str) -> None:
    """The first line of SciPy's page is the one that costs most, the default of axis."""
    page = (DOCS / "coming_from" / f"{library}.md").read_text()
    assert "import nonlin as nl" in page
    assert f".. include:: ../generated/{library}.txt" in page
    if library == "scipy":
        assert "`axis` is None" in page.split("\n\n")[1]


def test_every_function_has_its_entry() -> None:
    """Also for torch and JAX: what they have no call for is written in theirs."""
    names = {row["name"] for row in [*_core.activations(), *_core.losses()]}
    names |= {"softmax", "log_softmax", "logsumexp", "pieces", "linear_cross_entropy"}
    assert not names - set(FUNCTIONS), f"docs/functions.toml has no {names - set(FUNCTIONS)}"
    assert not set(FUNCTIONS) - names, f"docs/functions.toml has {set(FUNCTIONS) - names}, which nonlin has not"
    without = {"torch": {"pieces"}, "jax": {"pieces", "focal_loss", "linear_cross_entropy"}}
    for name, entry in FUNCTIONS.items():
        needed = {"value", "slope", "why"} | {library for library, others in without.items() if name not in others}
        known = needed | {"plain", "at", "stable", *LIBRARIES}
        assert needed <= entry.keys(), f"docs/functions.toml has no {needed - entry.keys()} of {name}"
        assert entry.keys() <= known, f"docs/functions.toml has {entry.keys() - known} of {name}, which no page shows"
        for key in entry.keys() & {"value", "slope", "stable"}:
            text = entry[key]
            assert text.count("{") == text.count("}"), (name, key)
            assert text.count(r"\left") == text.count(r"\right"), (name, key)


def test_every_function_has_its_errors() -> None:
    swept = {entry["function"] for entry in json.loads((DOCS / "accuracy.json").read_text())["entries"]}
    lacking = [row["name"] for row in _core.activations() if not {row["name"], row["name"] + "_backward"} <= swept]
    assert not lacking, f'docs/accuracy.json: make ulp ARGS="--stride 257 --filter {lacking[0]}" adds what is missing'


def operands(name: str) -> tuple[dict[str, Any], Any]:
    """Ordinary arguments by name, and what nonlin gives for them."""
    x = np.linspace(-4, 4, 33)
    row = next((row for row in _core.activations() if row["name"] == name), None)
    if row:
        arrays = {"gate": x, "up": np.cos(x)} if "up" in row["forward_inputs"] else {"x": x}
        return arrays, getattr(nl, row["form_of"] or name)(*arrays.values(), **row["option"])
    z, p = np.array([0.3, -1.0, 2.0]), np.array([0.7, 0.2, 0.1])
    loss = next((row for row in _core.losses() if row["name"] == name), None)
    if loss is None:
        return {"x": z}, getattr(nl, name)(z)
    if loss["kind"] == "rows":
        values = {"p": p, loss["arguments"][1]: z if loss["arguments"][1] == "logits" else p[::-1]}
        return values, getattr(nl, name)(*values.values())
    first = loss["arguments"][0]
    value = {"logits": z, "probs": p, "log_probs": np.log(p)}[first]
    if loss["kind"] == "elements":
        return {first: value}, getattr(nl, name)(value, np.ones_like(value), reduction="none")
    return {first: value}, getattr(nl, name)(value, 0)


@pytest.mark.parametrize("name", [name for name, entry in FUNCTIONS.items() if "plain" in entry])
def test_plain_formula_is_the_function(name: str) -> None:
    arrays, ours = operands(name)
    plain = eval(FUNCTIONS[name]["plain"], {"np": np, "scipy": scipy} | arrays)
    np.testing.assert_allclose(plain, ours, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("page", [p for p in sorted(DOCS.glob("*.md")) if blocks(p, "py")], ids=lambda p: p.name)
def test_programs_with_packages_of_others(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of ``py`` stand by themselves, and are skipped where what they import is missing."""
    missing = []
    for block in blocks(page, "py"):
        modules = re.findall(r"^(?:import|from) (\w+)", block, re.MULTILINE)
        lacking = [name for name in modules if importlib.util.find_spec(name) is None]
        if lacking:
            missing += lacking
            continue
        module = types.ModuleType(page.stem)  # numba looks for the names that a function uses there
        monkeypatch.setitem(sys.modules, page.stem, module)
        exec(compile(block, page.name, "exec"), vars(module))
    if missing:
        pytest.skip(f"without {', '.join(missing)}")


@pytest.fixture(scope="module")
def pages() -> Iterator[dict[str, str]]:
    pytest.importorskip("matplotlib")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(DOCS), *sys.path])
        yield runpy.run_path(str(DOCS / "api.py"))["pages"]()


def test_every_name_has_an_entry(pages: dict[str, str]) -> None:
    public = {name for name in nl.__all__ if not name.startswith("__")}
    entries = re.findall(r"^\.\. auto\w+:: (\w+)", "\n".join(pages.values()), re.MULTILINE)
    assert public <= set(entries)
    assert len(set(entries)) == len(entries)


FORMS = {row["name"] for row in _core.activations() if row["form_of"]}  # which are on the page of another function


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in FORMS])
def test_page_of_a_function(pages: dict[str, str], name: str) -> None:
    page = pages[f"{name}.rst"]
    for part in (".. math::", ".. autofunction:: ", "Formula\n-------", "Call\n----"):
        assert part in page, part
    assert (".. pictures:: " in page) == (name != "linear_cross_entropy")
    assert ("Elsewhere" in page) == (name != "pieces")
    assert ":doc:`torch </coming_from/torch>`" in page or name == "pieces"


@pytest.mark.parametrize("library", LIBRARIES)
def test_table_of_a_library_has_its_rows(pages: dict[str, str], library: str) -> None:
    found = re.findall(r"^   \* - ``(.+)``\n     - ``(.+)``$", pages[f"{library}.txt"], re.MULTILINE)
    assert found == [(row[0], row[1]) for name, row in CASES if name == library]


@pytest.mark.slow  # `make docs` draws them all
def test_pictures_can_be_drawn(pages: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of each kind; the dark one differs, in its colours alone."""
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(sys, "path", [str(DOCS), *sys.path])
    figures = importlib.import_module("figures")
    importlib.import_module("drawings")
    monkeypatch.setattr(figures, "FOLDER", tmp_path)
    wanted = "\n".join([*pages.values(), *(path.read_text() for path in DOCS.glob("*.md"))])
    names = [name for line in re.findall(r"(?:\.\. pictures::|\{pictures\}) (.+)", wanted) for name in line.split()]
    one_of_each = {name.partition("-")[0]: name for name in names}
    assert set(one_of_each) == set(figures.KINDS)
    if importlib.util.find_spec("sklearn") is None:
        del one_of_each["example"]
    for name in one_of_each.values():
        assert len(figures.picture(name)) > 10
        light, dark = ((tmp_path / f"{name}-{theme}.svg").read_text() for theme in ("light", "dark"))
        assert light != dark
        assert len(light) == len(dark)
