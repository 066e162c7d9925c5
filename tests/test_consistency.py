"""The table, reference, __all__, stubs and documentation list the same names with the same arguments."""

import ast
import inspect
import pathlib
import re
import runpy
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import nonlin as nl
from nonlin import _core, reference

from .fuzz import PIECES
from .oracle import FUNCTIONS, Function, as_tuple

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = pathlib.Path(nl.__file__).parent

RUNTIME = {
    "get_num_threads",
    "set_num_threads",
    "num_threads",
    "reuse_buffers",
    "simd_target",
    "simd_targets",
    "show_config",
}
MODULES = {"reference", "testing"}
ROWS = {f"{name}{suffix}" for name in ("softmax", "log_softmax", "logsumexp") for suffix in ("", "_backward")}
ROWS |= {"softmax_jacobian", "log_softmax_jacobian", *PIECES}
LOSSES = {row["name"] + ending for row in _core.losses() for ending in ("", "_backward")}
LOSSES |= {row["name"] + "_with_grad" for row in _core.losses() if row["with_grad"]}
WITHOUT_OUT = {name for name in ROWS if name.endswith(("jacobian", "partial", "merge", "finish"))}
WITHOUT_OUT |= {row["name"] for row in _core.losses()}
LINEAR = {"linear_cross_entropy" + ending for ending in ("", "_backward", "_with_grad")}
WITHOUT_OUT |= LINEAR

table = {f.called for f in FUNCTIONS.values()}
public = {name for name in nl.__all__ if not name.startswith("__")} - MODULES
formulas = {
    name
    for name, f in vars(reference).items()
    if inspect.isfunction(f) and f.__module__ == reference.__name__ and not name.startswith("_") and name != "erfc"
}


def test_all_lists_the_table_and_the_rest() -> None:
    assert public == table | ROWS | LOSSES | LINEAR | RUNTIME
    assert len(set(nl.__all__)) == len(nl.__all__)
    assert all(hasattr(nl, name) for name in nl.__all__)


def test_reference_has_a_formula_for_every_function() -> None:
    assert formulas == public - RUNTIME


def test_table_is_complete() -> None:
    rows = _core.activations()
    assert len({row["name"] for row in rows}) == len(rows)
    for row in rows:
        assert set(row["parameters"]) <= set(row["forward_inputs"])
        assert row["backward_inputs"][0] == "grad"
        assert row["backward_outputs"] == len([name for name in row["forward_inputs"] if name not in row["parameters"]])
        assert row["summary"]
        for name, inputs, outputs in (
            (row["name"], row["forward_inputs"], row["outputs"]),
            (f"{row['name']}_backward", row["backward_inputs"], row["backward_outputs"]),
        ):
            ufunc = getattr(_core, name)
            assert isinstance(ufunc, np.ufunc)
            assert (ufunc.__name__, ufunc.nin, ufunc.nout) == (name, len(inputs), outputs)


def signature(f: Callable[..., Any]) -> dict[str, Any]:
    return {name: p.default for name, p in inspect.signature(f).parameters.items()}


@pytest.mark.parametrize("f", [f for f in FUNCTIONS.values() if f.parameters], ids=lambda f: f.name)
def test_parameters_have_the_defaults_of_the_table(f: Function) -> None:
    for function in (f.public, f.reference):
        given = signature(function)
        assert list(given)[: len(f.inputs) + len(f.parameters)] == [*f.inputs, *f.parameters]
        assert {name: given[name] for name in f.parameters} == f.parameters


@pytest.mark.parametrize("name", sorted(ROWS | LOSSES | LINEAR))
def test_rows_and_losses_have_the_signature_of_their_formula(name: str) -> None:
    given = signature(getattr(nl, name))
    assert ("out" in given) == (name not in WITHOUT_OUT)
    given.pop("out", None)
    assert given == signature(getattr(reference, name))


@pytest.mark.parametrize("row", _core.losses(), ids=lambda row: row["name"])
def test_losses_have_the_arguments_and_options_of_the_table(row: dict[str, Any]) -> None:
    for ending in ("", "_backward", *(["_with_grad"] if row["with_grad"] else [])):
        parameters = inspect.signature(getattr(nl, row["name"] + ending)).parameters.values()
        positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        assert positional == ["grad"] * (ending == "_backward") + row["arguments"]
        assert keywords == row["options"] + ["out"] * (ending != "")
        assert len(parameters) == len(positional) + len(keywords)


STUBS = runpy.run_path(str(ROOT / "tools" / "stubs.py"))


def declarations(stub: str) -> set[str]:
    """The statements of a stub; a public name that is imported is one, an import that the others need is none."""
    nodes = ast.parse(stub).body
    found = {ast.unparse(node) for node in nodes if not isinstance(node, ast.Import | ast.ImportFrom)}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names if alias.asname}
    return found


@pytest.mark.parametrize("module", STUBS["MODULES"], ids=lambda module: module.__name__)
def test_stubs_are_those_that_make_stubs_writes(module: ModuleType) -> None:
    path = PACKAGE / ("__init__.pyi" if module is nl else module.__name__.split(".")[1] + ".pyi")
    made = STUBS["HEADER"] + "\n".join(STUBS["MODULES"][module]())
    assert declarations(path.read_text()) == declarations(made)
    assert (PACKAGE / "py.typed").exists()


@pytest.mark.parametrize("name", sorted(public))
def test_every_docstring_is_complete(name: str) -> None:
    doc = getattr(nl, name).__doc__ or ""
    assert len(doc.strip().splitlines()[0]) > 10
    if name not in RUNTIME:
        for section in ("Parameters", "Returns", "Examples", ">>> "):
            assert section in doc, f"{name} has no {section}"


def test_version_comes_from_one_place() -> None:
    version = re.search(r'^version = "(.+?)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert nl.__version__ == version[1]


def test_every_output_has_the_promised_count(rng: np.random.Generator) -> None:
    for f in FUNCTIONS.values():
        assert len(as_tuple(f.public(*f.points(rng, 3, np.float64)))) == f.outputs
